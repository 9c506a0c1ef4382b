/*
 * fuzz_signature.c - any bytes as the layer of a signature, attestation, bundle or Notation envelope, and as a manifest's annotations.
 *
 * Nothing here was signed by the trusted key but what the seeds hold for one digest, so nothing is ever verified for another one;
 * what is proved is told alike after it was kept.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/signature/signature.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define D      "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI    "application/vnd.oci.image.manifest.v1+json"
#define NOW    1795777200
#define NOTARY "application/vnd.cncf.notary.signature"
#define BUNDLE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define CONFIG "application/vnd.oci.image.config.v1+json"

static const struct {
	const char *layer, *config, *artifact;
} kinds[] = {
	{ "application/vnd.dev.cosign.simplesigning.v1+json", CONFIG, NULL },
	{ "application/vnd.dsse.envelope.v1+json", CONFIG, NULL },
	{ BUNDLE, "application/vnd.oci.empty.v1+json", BUNDLE },
	{ "application/jose+json", NOTARY, NULL },
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* The key and root of the seeds; their private halves are gone. */
static struct trust *
trusted(void)
{
	static const char *const any[] = { "*" };
	static struct trust *t;
	static char text[2][8192];
	static const char *const files[] = { "tests/config/files/cosign.pub", "tests/config/files/roots.pem" };
	struct trust_pem key = { "key", SPAN_NONE };
	struct trust_rule rule = { .alias = "t", .keys = &key, .n_keys = 1, .rekor_keys = &key, .n_rekor_keys = 1, .identities = any,
		.n_identities = 1, .repositories = any, .n_repositories = 1, .threshold = 1 };
	char err[256];

	if (t != NULL)
		return t;
	for (unsigned i = 0; i < 2; i++) {
		FILE *f = fopen(files[i], "r");

		must(f != NULL && fread(text[i], 1, sizeof text[i] - 1, f) > 0);
		fclose(f);
	}
	key.text = span_of(text[0]);
	rule.roots = (struct trust_pem){ "roots", span_of(text[1]) };
	t = trust_new(&rule, 1, err, sizeof err);
	must(t != NULL);
	return t;
}

static struct span
dumped(const struct signature_proof *p, struct arena *a)
{
	json_t *o = signature_save(p);
	struct signature_proof back;
	char *text;
	struct span s;

	must(o != NULL);
	text = json_dumps(o, JSON_SORT_KEYS);
	must(p->status == SIG_ERROR || signature_load(o, a, &back));
	s = arena_dup(a, span_of(text));
	free(text);
	json_decref(o);
	return s;
}

static void
verify(const struct signature_artifact *x, struct arena *a)
{
	struct signature_ask q = { .digest = D, .image = SPAN("up/app"), .now = NOW, .artifacts = x, .n = 1 };
	struct fact *facts = calloc(KEY_MAX, sizeof *facts);
	struct signature_proof p, again;

	must(facts != NULL && signature_verify(trusted(), &q, a, &p) && signature_tell(&p, a, facts));
	must((p.status == SIG_VERIFIED) == (p.n_keys + p.n_identities > 0));
	must((p.status == SIG_VERIFIED) == (p.why[0] == '\0'));
	must(signature_verify(trusted(), &q, a, &again));
	must(span_eq(dumped(&p, a), dumped(&again, a)));
	q.digest = OTHER;
	must(signature_verify(trusted(), &q, a, &p) && p.status != SIG_VERIFIED && p.n_types == 0);
	free(facts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new((size_t)64 << 20);
	unsigned kind = size < 2 ? 0 : data[0] % 4;
	const uint8_t *line = size < 2 ? NULL : memchr(data, '\n', size);
	struct span layer, annotations, bytes;
	struct manifest m;
	char err[160];

	/* "kind annotations \n layer" */
	if (a != NULL && line != NULL && memchr(data, '\0', (size_t)(line - data)) == NULL) {
		annotations = (struct span){ (const char *)data + 1, (size_t)(line - data) - 1 };
		layer = (struct span){ (const char *)line + 1, size - (size_t)(line - data) - 1 };
		bytes = arena_printf(a, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\""
		    D "\",\"size\":2},%s%s%s\"layers\":"
		    "[{\"mediaType\":\"%s\",\"digest\":\"" D "\",\"size\":%zu,\"annotations\":%.*s}]}", kinds[kind].config,
		    kinds[kind].artifact == NULL ? "" : "\"artifactType\":\"", kinds[kind].artifact == NULL ? "" : kinds[kind].artifact,
		    kinds[kind].artifact == NULL ? "" : "\",", kinds[kind].layer, layer.n, SPAN_FMT(annotations));
		if (manifest_read(bytes, SPAN(OCI), a, &m, err, sizeof err) && m.n_layers == 1 &&
		    signature_shape_of(&m) != SIGNATURE_NONE)
			verify(&(struct signature_artifact){ .bytes = bytes, .manifest = &m, .layers = &layer }, a);
	}
	arena_free(a);
	return 0;
}
