/*
 * test_signature.c - signatures and attestations of images: each format made by OpenSSL here, then broken in each way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <openssl/pem.h>
#include <time.h>

#include "policy/json.h"
#include "policy/signature/parts.h"
#include "tests/unit/certificates.h"
#include "tests/unit/check.h"
#include "tests/unit/signer.h"

#define D     "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI   "application/vnd.oci.image.manifest.v1+json"
#define BUNDLE_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define WHO   "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
#define OIDC  "https://token.actions.githubusercontent.com"
#define ROOM  65536u

enum { RELEASE, SECOND, RSA_KEY, ED, P384, STRANGER, ROOT, LOG, LEAF, WRONG_ROOT, N_KEYS };
static EVP_PKEY *keys[N_KEYS];
static char *pems[N_KEYS];
static X509 *root, *wrong_root;
static char *root_pem;
static struct arena *arena;
static int64_t now;

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* ---- text ---- */

static char *
text_of_bio(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	char *copy = arena_dup(arena, (struct span){ p, (size_t)n }).n == (size_t)n ? strndup(p, (size_t)n) : NULL;

	BIO_free(bio);
	return copy;
}

static const char *
b64(const void *in, size_t n)
{
	char *out = arena_alloc(arena, n / 3 * 4 + 8);

	EVP_EncodeBlock((unsigned char *)out, in, (int)n);
	return out;
}

static const char *
b64_text(const char *s)
{
	return b64(s, strlen(s));
}

static const char *
certificate_pem(X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *kept;

	PEM_write_bio_X509(bio, x);
	text = text_of_bio(bio);
	kept = (char *)(uintptr_t)arena_dup(arena, span_of(text)).p;
	free(text);
	return kept;
}

static const char *
certificate_b64(X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	const char *s = b64(der, (size_t)n);

	OPENSSL_free(der);
	return s;
}

/* ---- signing ---- */

static size_t
sign_as(int key, bool pss, const void *in, size_t n, unsigned char *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey = NULL;
	size_t len = 1024;

	if (EVP_DigestSignInit(ctx, &pkey, key == ED ? NULL : EVP_sha256(), NULL, keys[key]) != 1)
		abort();
	if (pss && (EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) != 1 || EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, -1) != 1))
		abort();
	if (EVP_DigestSign(ctx, out, &len, in, n) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	return len;
}

static const char *
signed_b64(int key, struct span s)
{
	unsigned char out[1024];
	size_t n = sign_as(key, false, s.p, s.n, out);

	return b64(out, n);
}

/* Of a hash that was made elsewhere. */
static const char *
signed_hash(int key, const unsigned char hash[static 32])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(keys[key], NULL);
	unsigned char out[1024];
	size_t n = sizeof out;

	if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, out, &n, hash, 32) != 1)
		abort();
	EVP_PKEY_CTX_free(ctx);
	return b64(out, n);
}

/* ---- certificates ---- */

enum cert { CERT_NONE = 0, CERT_GOOD, CERT_SHORT, CERT_EXPIRED, CERT_NO_USAGE, CERT_SERVER, CERT_ROOT, CERT_CRITICAL, CERT_SOMEBODY,
	CERT_ISSUER, CERT_EMAIL, CERT_V1, CERT_CA };

static void
add_oid(X509 *x, const char *oid, const char *text, bool der, bool critical)
{
	ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
	unsigned char bytes[256];
	size_t n = strlen(text);
	X509_EXTENSION *e;

	bytes[0] = 0x0c;
	bytes[1] = (unsigned char)n;
	memcpy(bytes + 2, text, n);
	ASN1_OCTET_STRING_set(s, der ? bytes : bytes + 2, (int)(der ? n + 2 : n));
	e = X509_EXTENSION_create_by_OBJ(NULL, o, critical, s);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(s);
	ASN1_OBJECT_free(o);
}

static X509 *
leaf_make(enum cert c)
{
	static const char *const who = WHO;
	struct certificate_spec s = { .sans = { { GEN_URI, span_of(who) } }, .cns = { { V_ASN1_UTF8STRING, SPAN("release") } },
		.os = { { V_ASN1_UTF8STRING, SPAN("acme") } }, .usage = "critical,digitalSignature", .from = -7200, .until = 7200 };
	X509 *x;
	int signer = c == CERT_ROOT ? WRONG_ROOT : ROOT;

	if (c == CERT_SHORT || c == CERT_EXPIRED)
		s.until = -3600;
	if (c == CERT_SOMEBODY) {
		s.sans[0].text = SPAN("https://github.com/evil/app");
		s.cns[0].text = SPAN("evil");
	}
	if (c == CERT_EMAIL)
		s.sans[0] = (struct certificate_name){ GEN_EMAIL, SPAN("release@acme.example") };
	if (c == CERT_CA)
		s.constraints = "critical,CA:TRUE";
	x = certificate_make(&s, keys[LEAF], signer == ROOT ? root : wrong_root, keys[signer]);
	if (c != CERT_NO_USAGE)
		certificate_add_extension(x, NID_ext_key_usage, c == CERT_SERVER ? "serverAuth" : "codeSigning");
	if (c != CERT_V1)
		add_oid(x, "1.3.6.1.4.1.57264.1.8", c == CERT_ISSUER ? "https://evil.example" : OIDC, true, false);
	else
		add_oid(x, "1.3.6.1.4.1.57264.1.1", OIDC, false, false);
	if (c == CERT_CRITICAL)
		add_oid(x, "1.2.3.4.5", "x", true, true);
	X509_sign(x, keys[signer], EVP_sha256());
	return x;
}

/* ---- logs ---- */

enum log { LOG_NONE = 0, LOG_SET, LOG_PROOF, LOG_BOTH, LOG_NO_TIME, LOG_SET_BAD, LOG_SET_LATE, LOG_PROOF_BAD, LOG_ROOT_BAD, LOG_NOTE_BAD,
	LOG_NOTE_SIZE, LOG_OF_OTHER, LOG_BARE };

static void
node(const unsigned char *a, const unsigned char *b, unsigned char out[static 32])
{
	char bytes[65] = { 1 };

	memcpy(bytes + 1, a, 32);
	memcpy(bytes + 33, b, 32);
	sha256((struct span){ bytes, 65 }, out);
}

static json_t *
proof_of(const char *body, enum log l)
{
	unsigned char left[32], right[32], leaf[32], pair[32], top[32], sig[1024 + 4] = { 0 };
	char *bytes = arena_alloc(arena, strlen(body) + 1);
	struct span note, whole;
	size_t n;

	/* leaf 2 of 4: [0 1] [2 3] */
	memset(left, 1, 32);
	memset(right, 2, 32);
	bytes[0] = 0;
	memcpy(bytes + 1, body, strlen(body));
	sha256((struct span){ bytes, strlen(body) + 1 }, leaf);
	node(leaf, right, pair);
	node(left, pair, top);
	if (l == LOG_PROOF_BAD)
		right[5] ^= 1;
	note = arena_printf(arena, "log.example - 1\n%d\n%s\n", l == LOG_NOTE_SIZE ? 5 : 4, b64(top, 32));
	n = sign_as(l == LOG_NOTE_BAD ? STRANGER : LOG, false, note.p, note.n, sig + 4);
	whole = arena_printf(arena, "%s\n\xe2\x80\x94 log.example %s\n", note.p, b64(sig, n + 4));
	if (l == LOG_ROOT_BAD)
		top[0] ^= 1;
	return json_pack("{s:s, s:s, s:s, s:[s, s], s:{s:s}}", "logIndex", "2", "rootHash", b64(top, 32), "treeSize", "4", "hashes",
	    b64(right, 32), b64(left, 32), "checkpoint", "envelope", whole.p);
}

static const char *
promise_of(const char *body, enum log l, int64_t at)
{
	unsigned char hash[32];
	char id[72];
	struct span text;

	must(key_hash(keys[LOG], hash));
	digest_text(hash, id);
	text = arena_printf(arena, "{\"body\":\"%s\",\"integratedTime\":%" PRId64 ",\"logID\":\"%s\",\"logIndex\":7}", b64_text(body),
	    at, id + 7);
	return signed_b64(l == LOG_SET_BAD ? STRANGER : LOG, text);
}

static json_t *
entry_of(const char *body, enum log l)
{
	unsigned char hash[32];
	int64_t at = now - 5400;
	json_t *e;

	must(key_hash(keys[LOG], hash));
	e = json_pack("{s:s, s:{s:s}, s:o, s:s}", "logIndex", "7", "logId", "keyId", b64(hash, 32), "integratedTime",
	    json_string(arena_printf(arena, "%" PRId64, l == LOG_SET_LATE ? at + 5000 : at).p), "canonicalizedBody", b64_text(body));
	if (l != LOG_PROOF && l != LOG_BARE && l != LOG_NO_TIME)
		json_object_set_new(e, "inclusionPromise", json_pack("{s:s}", "signedEntryTimestamp", promise_of(body, l, at)));
	if (l != LOG_SET && l != LOG_BARE && l != LOG_SET_BAD && l != LOG_SET_LATE)
		json_object_set_new(e, "inclusionProof", proof_of(body, l));
	return e;
}

/* "hashedrekord" of what was signed. */
static const char *
body_of(struct span input, const unsigned char *hash, const char *signature, X509 *leaf, enum log l)
{
	unsigned char made[32];
	char digest[72];

	if (hash == NULL)
		sha256(input, made);
	digest_text(hash == NULL ? made : hash, digest);
	return arena_printf(arena,
	    "{\"apiVersion\":\"0.0.1\",\"kind\":\"hashedrekord\",\"spec\":{\"data\":{\"hash\":{\"algorithm\":\"sha256\",\"value\":"
	        "\"%s\"}},"
	    "\"signature\":{\"content\":\"%s\",\"publicKey\":{\"content\":\"%s\"}}}}", digest + 7, l == LOG_OF_OTHER ?
	    b64_text("other") : signature,
	    b64_text(certificate_pem(leaf))).p;
}

/* ---- artifacts ---- */

struct made {
	struct span manifest, layer;
	struct manifest m;
	struct signature_artifact artifact;
	struct span layers[40];
};

static void
finish(struct made *x, json_t *annotations, const char *layer_type, const char *config, const char *artifact_type, size_t n_layers)
{
	char digest[72], err[160];
	json_t *o, *layers = json_array();
	char *text;

	digest_sha256(x->layer, digest);
	for (size_t i = 0; i < n_layers; i++) {
		json_array_append_new(layers, json_pack("{s:s, s:s, s:I, s:O?}", "mediaType", layer_type, "digest", digest, "size",
		    (json_int_t)x->layer.n,
		    "annotations", annotations));
		x->layers[i] = x->layer;
	}
	o = json_pack("{s:i, s:s, s:{s:s, s:s, s:i}, s:o}", "schemaVersion", 2, "mediaType", OCI, "config", "mediaType", config,
	    "digest", D, "size", 2,
	    "layers", layers);
	if (artifact_type != NULL)
		json_object_set_new(o, "artifactType", json_string(artifact_type));
	text = json_dumps(o, JSON_COMPACT);
	x->manifest = arena_dup(arena, span_of(text));
	free(text);
	json_decref(o);
	json_decref(annotations);
	if (!manifest_read(x->manifest, SPAN(OCI), arena, &x->m, err, sizeof err)) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	x->artifact = (struct signature_artifact){ .bytes = x->manifest, .manifest = &x->m, .layers = x->layers };
}

enum format { SIMPLE = 0, ATTESTATION, BUNDLE_STATEMENT, BUNDLE_DIGEST, NOTATION };

struct row {
	const char *name;
	enum format format;
	int key;
	enum cert cert;
	enum log log;
	const char *payload;		/* NULL: the usual one */
	const char *from, *to;		/* in the layer, after it was signed */
	const char *trust;		/* NULL: "keys" */
	int status;
	const char *why;
	bool pss;
};

#define PAYLOAD(digest, reference) "{\"critical\":{\"identity\":{\"docker-reference\":\"" \
	reference "\"},\"image\":{\"docker-manifest-digest\":\"" digest \
	"\"},\"type\":\"cosign container image signature\"},\"optional\":null}"
#define STATEMENT(version, hex, type, predicate) "{\"_type\":\"https://in-toto.io/Statement/" \
	version "\",\"subject\":[{\"name\":\"x\",\"digest\":{\"sha256\":\"" hex \
	"\"}}],\"predicateType\":\"" type "\",\"predicate\":" predicate "}"
#define SIGN_TYPE "https://sigstore.dev/cosign/sign/v1"
#define HEADER(alg, crit, more) "{\"alg\":\"" \
	alg "\",\"cty\":\"application/vnd.cncf.notary.payload.v1+json\",\"crit\":[\"io.cncf.notary.signingScheme\"" crit \
	"],\"io.cncf.notary.signingScheme\":\"notary.x509\",\"io.cncf.notary.signingTime\":\"2026-01-02T03:04:05Z\"" more "}"
#define TARGET(digest) "{\"targetArtifact\":{\"mediaType\":\"" OCI "\",\"digest\":\"" digest "\",\"size\":2}}"

static struct span
patched(struct span layer, const struct row *row)
{
	const char *at = row->from == NULL ? NULL : strstr(layer.p, row->from);

	if (row->from != NULL && at == NULL) {
		fprintf(stderr, "%s: nothing to patch in %s\n", row->name, layer.p);
		abort();
	}
	return at == NULL ? layer : arena_printf(arena, "%.*s%s%s", (int)(at - layer.p), layer.p, row->to, at + strlen(row->from));
}

static void
make_simple(struct made *x, const struct row *row)
{
	struct span payload = span_of(row->payload != NULL ? row->payload : PAYLOAD(D, "gateway.example:8443/up/app"));
	const char *signature = signed_b64(row->key, payload), *body;
	json_t *annotations = json_pack("{s:s}", "dev.cosignproject.cosign/signature", signature), *bundle;
	unsigned char hash[32];
	X509 *leaf = NULL;
	char *text, id[72];

	if (row->pss) {
		unsigned char out[1024];

		json_object_set_new(annotations, "dev.cosignproject.cosign/signature", json_string(b64(out, sign_as(row->key, true,
		    payload.p, payload.n, out))));
	}
	if (row->cert != CERT_NONE) {
		leaf = leaf_make(row->cert);
		json_object_set_new(annotations, "dev.sigstore.cosign/certificate", json_string(certificate_pem(leaf)));
	}
	if (row->log != LOG_NONE) {
		body = body_of(payload, NULL, signature, leaf, row->log);
		must(key_hash(keys[LOG], hash));
		digest_text(hash, id);
		bundle = json_pack("{s:s, s:{s:s, s:I, s:i, s:s}}", "SignedEntryTimestamp", promise_of(body, row->log, now - 5400),
		    "Payload", "body", b64_text(body),
		    "integratedTime", (json_int_t)(row->log == LOG_SET_LATE ? now - 400 : now - 5400), "logIndex", 7, "logID", id + 7);
		text = json_dumps(bundle, 0);
		json_object_set_new(annotations, "dev.sigstore.cosign/bundle", json_string(text));
		free(text);
		json_decref(bundle);
	}
	x->layer = patched(payload, row);
	finish(x, annotations, "application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.oci.image.config.v1+json", NULL, 1);
	X509_free(leaf);
}

static json_t *
envelope_of(const struct row *row, const char *payload, struct span *input, const char **signature)
{
	*input = arena_printf(arena, "DSSEv1 28 application/vnd.in-toto+json %zu %s", strlen(payload), payload);
	*signature = signed_b64(row->key, *input);
	return json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "payloadType", "application/vnd.in-toto+json", "payload", b64_text(payload),
	    "signatures", "keyid", "",
	    "sig", *signature);
}

static void
make_envelope(struct made *x, const struct row *row)
{
	const char *payload = row->payload != NULL ? row->payload : STATEMENT("v0.1", HEX, "https://slsa.dev/provenance/v1",
	    "{\"runDetails\":{\"builder\":{\"id\":\"https://builder.example\"}}}"), *signature;
	struct span input;
	json_t *o = envelope_of(row, payload, &input, &signature);
	char *text = json_dumps(o, JSON_COMPACT);

	x->layer = patched(arena_dup(arena, span_of(text)), row);
	free(text);
	json_decref(o);
	finish(x, NULL, "application/vnd.dsse.envelope.v1+json", "application/vnd.oci.image.config.v1+json", NULL, 1);
}

static void
make_bundle(struct made *x, const struct row *row)
{
	const char *payload = row->payload != NULL ? row->payload : STATEMENT("v1", HEX, SIGN_TYPE, "{}"), *signature, *body;
	json_t *material = json_object(), *o;
	unsigned char hash[32];
	struct span input = SPAN_NONE;
	X509 *leaf = NULL;
	char *text;

	must(digest_bytes(SPAN(D), hash));
	o = json_pack("{s:s, s:o}", "mediaType", BUNDLE_TYPE, "verificationMaterial", material);
	if (row->format == BUNDLE_DIGEST) {
		signature = signed_hash(row->key, hash);
		json_object_set_new(o, "messageSignature", json_pack("{s:{s:s, s:s}, s:s}", "messageDigest", "algorithm", "SHA2_256",
		    "digest", b64(hash, 32),
		    "signature", signature));
	} else
		json_object_set_new(o, "dsseEnvelope", envelope_of(row, payload, &input, &signature));
	if (row->cert == CERT_NONE)
		json_object_set_new(material, "publicKey", json_pack("{s:s}", "hint", "abc"));
	else {
		leaf = leaf_make(row->cert);
		json_object_set_new(material, "certificate", json_pack("{s:s}", "rawBytes", certificate_b64(leaf)));
	}
	if (row->log != LOG_NONE) {
		body = body_of(input, row->format == BUNDLE_DIGEST ? hash : NULL, signature, leaf, row->log);
		json_object_set_new(material, "tlogEntries", json_pack("[o]", entry_of(body, row->log)));
	}
	text = json_dumps(o, JSON_COMPACT);
	x->layer = patched(arena_dup(arena, span_of(text)), row);
	free(text);
	json_decref(o);
	X509_free(leaf);
	finish(x, NULL, BUNDLE_TYPE, "application/vnd.oci.empty.v1+json", BUNDLE_TYPE, 1);
}

/* The payload is "header|payload". */
static void
make_notation(struct made *x, const struct row *row)
{
	const char *both = row->payload != NULL ? row->payload : HEADER("ES256", "", "") "|" TARGET(D), *bar = strchr(both, '|');
	char *header = arena_alloc(arena, ROOM), *payload = arena_alloc(arena, ROOM), *signature = arena_alloc(arena, ROOM), *text;
	unsigned char raw[1024];
	struct span input;
	X509 *leaf = leaf_make(row->cert);
	json_t *o;
	size_t n;

	signer_b64((const unsigned char *)both, (size_t)(bar - both), header);
	signer_b64((const unsigned char *)bar + 1, strlen(bar + 1), payload);
	input = arena_printf(arena, "%s.%s", header, payload);
	n = signer_sign_as(keys[row->key], "SHA256", false, input.p, input.n, false, raw);
	signer_b64(raw, n, signature);
	o = json_pack("{s:s, s:s, s:{s:[s, s]}, s:s}", "payload", payload, "protected", header, "header", "x5c", certificate_b64(leaf),
	    certificate_b64(root),
	    "signature", signature);
	text = json_dumps(o, JSON_COMPACT);
	x->layer = patched(arena_dup(arena, span_of(text)), row);
	free(text);
	json_decref(o);
	X509_free(leaf);
	finish(x, NULL, "application/jose+json", "application/vnd.cncf.notary.signature", NULL, 1);
}

static void
make(struct made *x, const struct row *row)
{
	memset(x, 0, sizeof *x);
	switch (row->format) {
	case SIMPLE:
		make_simple(x, row);
		return;
	case ATTESTATION:
		make_envelope(x, row);
		return;
	case BUNDLE_STATEMENT:
	case BUNDLE_DIGEST:
		make_bundle(x, row);
		return;
	case NOTATION:
		make_notation(x, row);
		return;
	}
}

/* ---- trusts ---- */

static const char *const everywhere[] = { "up/*" };
static const char *const acme[] = { "https://github.com/acme/*", "*@acme.example", "x509.subject:CN=release,*" };
static const char *const oidc[] = { OIDC };

static struct trust *
trust_of(const char *name, unsigned threshold)
{
	struct trust_pem pem[5], log = { "log.pem", span_of(pems[LOG]) };
	struct trust_rule rule = { .alias = name, .repositories = everywhere, .n_repositories = 1, .threshold = threshold };
	char err[1024];
	struct trust *t;

	for (int i = 0; i < 5; i++)
		pem[i] = (struct trust_pem){ "key.pem", span_of(pems[i]) };
	if (strcmp(name, "keys") == 0) {
		rule.keys = pem;
		rule.n_keys = 5;
	} else {
		rule.roots = (struct trust_pem){ "roots.pem", span_of(root_pem) };
		rule.identities = acme;
		rule.n_identities = 3;
	}
	if (strcmp(name, "ci") == 0) {
		rule.rekor_keys = &log;
		rule.n_rekor_keys = 1;
		rule.issuers = oidc;
		rule.n_issuers = 1;
	}
	t = trust_new(&rule, 1, err, sizeof err);
	if (t == NULL) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	return t;
}

static struct signature_proof
verified(const struct trust *t, const struct signature_artifact *all, size_t n)
{
	struct signature_ask q = { .digest = D, .image = SPAN("up/app"), .now = now, .artifacts = all, .n = n };
	struct signature_proof p;

	if (!signature_verify(t, &q, arena, &p))
		abort();
	return p;
}

/* ---- rows ---- */

#define V SIG_VERIFIED
#define U SIG_UNTRUSTED
static const struct row rows[] = {
	{ .name = "simple", .format = SIMPLE, .status = V, .why = "" },
	{ .name = "simple, RSA", .format = SIMPLE, .key = RSA_KEY, .status = V, .why = "" },
	{ .name = "simple, RSA, PSS", .format = SIMPLE, .key = RSA_KEY, .pss = true, .status = V, .why = "" },
	{ .name = "simple, Ed25519", .format = SIMPLE, .key = ED, .status = V, .why = "" },
	{ .name = "simple, P-384 with SHA-256", .format = SIMPLE, .key = P384, .status = V, .why = "" },
	{ .name = "simple, no reference", .format = SIMPLE, .payload = PAYLOAD(D, ""), .status = V, .why = "" },
	{ .name = "simple, as the registry names it", .format = SIMPLE, .payload = PAYLOAD(D, "registry.example/app"), .status = V,
	    .why = "" },
	{ .name = "simple, with a tag and no host", .format = SIMPLE, .payload = PAYLOAD(D, "up/app:1"), .status = V, .why = "" },
	{ .name = "simple, another repository", .format = SIMPLE, .payload = PAYLOAD(D, "registry.example/up/other"), .status = U,
	    .why = "keys: signed for another repository" },
	{ .name = "simple, a repository that ends so", .format = SIMPLE, .payload = PAYLOAD(D, "registry.example/evil/app"),
	    .status = U, .why = "another repository" },
	{ .name = "simple, another digest", .format = SIMPLE, .payload = PAYLOAD(OTHER, "up/app"), .status = U,
	    .why = "keys: signed for another digest" },
	{ .name = "simple, Docker-manifest-digest", .format = SIMPLE,
	    .payload = "{\"critical\":{\"identity\":{},\"image\":{\"Docker-manifest-digest\":\"" D
	    "\"},\"type\":\"cosign container image signature\"}}", .status = U, .why = "no docker-manifest-digest" },
	{ .name = "simple, two digests", .format = SIMPLE,
	    .payload = "{\"critical\":{\"identity\":{},\"image\":{\"docker-manifest-digest\":\"" OTHER
	    "\",\"docker-manifest-digest\":\"" D "\"},\"type\":\"cosign container image signature\"}}", .status = U, .why = "not JSON" },
	{ .name = "simple, another type", .format = SIMPLE,
	    .payload = "{\"critical\":{\"identity\":{},\"image\":{\"docker-manifest-digest\":\"" D
	    "\"},\"type\":\"git tag\"}}", .status = U, .why = "something else" },
	{ .name = "simple, wrong key", .format = SIMPLE, .key = STRANGER, .status = U, .why = "keys: no trusted key made it" },
	{ .name = "simple, one byte changed", .format = SIMPLE, .from = "\"optional\":null", .to = "\"optional\":nul1", .status = U,
	    .why = "no trusted key" },

	{ .name = "keyless", .format = SIMPLE, .key = LEAF, .cert = CERT_SHORT, .log = LOG_SET, .trust = "ci", .status = V, .why = "" },
	{ .name = "keyless, email", .format = SIMPLE, .key = LEAF, .cert = CERT_EMAIL, .log = LOG_SET, .trust = "ci", .status = V,
	    .why = "" },
	{ .name = "keyless, issuer of v1", .format = SIMPLE, .key = LEAF, .cert = CERT_V1, .log = LOG_SET, .trust = "ci", .status = V,
	    .why = "" },
	{ .name = "keyless, no log", .format = SIMPLE, .key = LEAF, .cert = CERT_GOOD, .log = LOG_NONE, .trust = "ci", .status = U,
	    .why = "ci: no entry of a log" },
	{ .name = "keyless, SET by another log", .format = SIMPLE, .key = LEAF, .cert = CERT_SHORT, .log = LOG_SET_BAD, .trust = "ci",
	    .status = U, .why = "promise (SET) is not of" },
	{ .name = "keyless, time moved", .format = SIMPLE, .key = LEAF, .cert = CERT_GOOD, .log = LOG_SET_LATE, .trust = "ci",
	    .status = U, .why = "promise (SET) is not of" },
	{ .name = "keyless, entry of another", .format = SIMPLE, .key = LEAF, .cert = CERT_SHORT, .log = LOG_OF_OTHER, .trust = "ci",
	    .status = U, .why = "about another signature" },
	{ .name = "keyless, somebody else", .format = SIMPLE, .key = LEAF, .cert = CERT_SOMEBODY, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "ci: signed by somebody else: https://github.com/evil/app" },
	{ .name = "keyless, another issuer", .format = SIMPLE, .key = LEAF, .cert = CERT_ISSUER, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "another issuer: https://evil.example" },
	{ .name = "keyless, no code signing", .format = SIMPLE, .key = LEAF, .cert = CERT_NO_USAGE, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "extended key usage" },
	{ .name = "keyless, a server's", .format = SIMPLE, .key = LEAF, .cert = CERT_SERVER, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "extended key usage" },
	{ .name = "keyless, an authority's", .format = SIMPLE, .key = LEAF, .cert = CERT_CA, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "authority's" },
	{ .name = "keyless, untrusted root", .format = SIMPLE, .key = LEAF, .cert = CERT_ROOT, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "ci: the certificate: " },
	{ .name = "keyless, unknown critical extension", .format = SIMPLE, .key = LEAF, .cert = CERT_CRITICAL, .log = LOG_SET,
	    .trust = "ci", .status = U, .why = "critical extension" },
	{ .name = "keyless, another key", .format = SIMPLE, .key = STRANGER, .cert = CERT_GOOD, .log = LOG_SET, .trust = "ci",
	    .status = U, .why = "key did not make it" },
	{ .name = "certificate, valid now", .format = SIMPLE, .key = LEAF, .cert = CERT_GOOD, .log = LOG_NONE, .trust = "corp",
	    .status = V, .why = "" },
	{ .name = "certificate, expired", .format = SIMPLE, .key = LEAF, .cert = CERT_EXPIRED, .log = LOG_NONE, .trust = "corp",
	    .status = U, .why = "expired" },
	{ .name = "certificate, expired; the log is not ours", .format = SIMPLE, .key = LEAF, .cert = CERT_EXPIRED, .log = LOG_SET,
	    .trust = "corp", .status = U, .why = "expired" },

	{ .name = "attestation", .format = ATTESTATION, .status = SIG_UNSIGNED, .why = "attestations only" },
	{ .name = "attestation, wrong key", .format = ATTESTATION, .key = STRANGER, .status = U, .why = "no trusted key" },
	{ .name = "attestation, another digest", .format = ATTESTATION, .payload = STATEMENT("v1", "bbbb", "https://x", "{}"),
	    .status = U, .why = "another digest" },
	{ .name = "attestation, Statement/v2", .format = ATTESTATION, .payload = STATEMENT("v2", HEX, "https://x", "{}"), .status = U,
	    .why = "not in-toto's" },
	{ .name = "attestation, no type", .format = ATTESTATION, .payload = STATEMENT("v1", HEX, "", "{}"), .status = U,
	    .why = "without predicateType" },
	{ .name = "attestation, payloadType", .format = ATTESTATION, .from = "vnd.in-toto", .to = "vnd.in-tot0", .status = U,
	    .why = "no in-toto" },
	{ .name = "attestation, duplicate key", .format = ATTESTATION, .from = "{\"payloadType\"",
	    .to = "{\"payloadType\":\"application/vnd.in-toto+json\",\"payloadType\"", .status = U, .why = "not JSON" },
	{ .name = "attestation, base64 with a blank", .format = ATTESTATION, .from = "\"payload\":\"", .to = "\"payload\":\" ",
	    .status = U, .why = "not base64" },

	{ .name = "bundle, key", .format = BUNDLE_STATEMENT, .status = V, .why = "" },
	{ .name = "bundle, key, digest", .format = BUNDLE_DIGEST, .status = V, .why = "" },
	{ .name = "bundle, key, digest of another", .format = BUNDLE_DIGEST, .from = "\"digest\":\"qqqq", .to = "\"digest\":\"rrrr",
	    .status = U, .why = "for another digest" },
	{ .name = "bundle, wrong key", .format = BUNDLE_STATEMENT, .key = STRANGER, .status = U, .why = "no trusted key" },
	{ .name = "bundle, another digest", .format = BUNDLE_STATEMENT, .payload = STATEMENT("v1", "bbbb", SIGN_TYPE, "{}"),
	    .status = U, .why = "another digest" },
	{ .name = "bundle v0.2", .format = BUNDLE_STATEMENT, .from = "v0.3", .to = "v0.2", .status = U, .why = "another version" },
	{ .name = "bundle, key and certificate", .format = BUNDLE_STATEMENT, .from = "{\"publicKey\":",
	    .to = "{\"certificate\":{},\"publicKey\":", .status = U, .why = "exactly one key" },
	{ .name = "bundle, both kinds", .format = BUNDLE_STATEMENT, .from = "\"dsseEnvelope\"",
	    .to = "\"messageSignature\":{},\"dsseEnvelope\"", .status = U, .why = "exactly one signature" },
	{ .name = "bundle, two signatures", .format = BUNDLE_STATEMENT, .from = "\"signatures\":[", .to = "\"signatures\":[{},",
	    .status = U, .why = "2 signatures" },
	{ .name = "bundle, keyless", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_BOTH, .trust = "ci",
	    .status = V, .why = "" },
	{ .name = "bundle, keyless, SET only", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_SET,
	    .trust = "ci", .status = V, .why = "" },
	{ .name = "bundle, keyless, digest", .format = BUNDLE_DIGEST, .key = LEAF, .cert = CERT_SHORT, .log = LOG_BOTH, .trust = "ci",
	    .status = V, .why = "" },
	{ .name = "bundle, proof only, valid now", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_GOOD, .log = LOG_PROOF,
	    .trust = "ci", .status = V, .why = "" },
	{ .name = "bundle, proof only, expired", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_PROOF,
	    .trust = "ci", .status = U, .why = "expired" },
	{ .name = "bundle, entry with nothing", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_GOOD, .log = LOG_BARE,
	    .trust = "ci", .status = U, .why = "without promise or proof" },
	{ .name = "bundle, inclusion proof altered", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_PROOF_BAD,
	    .trust = "ci", .status = U, .why = "inclusion proof does not hold" },
	{ .name = "bundle, root altered", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_ROOT_BAD,
	    .trust = "ci", .status = U, .why = "inclusion proof does not hold" },
	{ .name = "bundle, checkpoint of another log", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT,
	    .log = LOG_NOTE_BAD, .trust = "ci", .status = U, .why = "checkpoint" },
	{ .name = "bundle, checkpoint of another size", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT,
	    .log = LOG_NOTE_SIZE, .trust = "ci", .status = U, .why = "checkpoint" },
	{ .name = "bundle, entry of another", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_OF_OTHER,
	    .trust = "ci", .status = U, .why = "about another signature" },

	{ .name = "notation", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp", .status = V, .why = "" },
	{ .name = "notation, expiry to come", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp",
	    .payload = HEADER("ES256", ",\"io.cncf.notary.expiry\"",
	    ",\"io.cncf.notary.expiry\":\"2999-01-01T00:00:00Z\"") "|" TARGET(D), .status = V, .why = "" },
	{ .name = "notation, expired", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp", .payload = HEADER("ES256",
	    ",\"io.cncf.notary.expiry\"",
	    ",\"io.cncf.notary.expiry\":\"2020-01-01T00:00:00Z\"") "|" TARGET(D), .status = U, .why = "corp: the signature expired" },
	{ .name = "notation, expiry not critical", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp",
	    .payload = HEADER("ES256", "",
	    ",\"io.cncf.notary.expiry\":\"2999-01-01T00:00:00Z\"") "|" TARGET(D), .status = U, .why = "not critical" },
	{ .name = "notation, unknown critical", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp",
	    .payload = HEADER("ES256", ",\"io.cncf.notary.verificationPlugin\"",
	    ",\"io.cncf.notary.verificationPlugin\":\"x\"") "|" TARGET(D), .status = U, .why = "critical header that is not known" },
	{ .name = "notation, another digest", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp",
	    .payload = HEADER("ES256", "", "") "|" TARGET(OTHER), .status = U, .why = "another digest" },
	{ .name = "notation, alg of another key", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp",
	    .payload = HEADER("ES384", "", "") "|" TARGET(D), .status = U, .why = "algorithm" },
	{ .name = "notation, alg none", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .trust = "corp", .payload = HEADER("none",
	    "", "") "|" TARGET(D), .status = U, .why = "algorithm" },
	{ .name = "notation, somebody else", .format = NOTATION, .key = LEAF, .cert = CERT_SOMEBODY, .trust = "corp", .status = U,
	    .why = "somebody else: x509.subject:CN=evil" },
	{ .name = "notation, untrusted root", .format = NOTATION, .key = LEAF, .cert = CERT_ROOT, .trust = "corp", .status = U,
	    .why = "the certificate: " },
	{ .name = "notation, expired certificate", .format = NOTATION, .key = LEAF, .cert = CERT_EXPIRED, .trust = "corp", .status = U,
	    .why = "expired" },
	{ .name = "notation, no code signing", .format = NOTATION, .key = LEAF, .cert = CERT_NO_USAGE, .trust = "corp", .status = U,
	    .why = "extended key usage" },
	{ .name = "notation, wrong key", .format = NOTATION, .key = STRANGER, .cert = CERT_GOOD, .trust = "corp", .status = U,
	    .why = "key did not make it" },
	{ .name = "notation, where keys are trusted", .format = NOTATION, .key = LEAF, .cert = CERT_GOOD, .status = U,
	    .why = "no roots" },
};

static void
test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct trust *t = trust_of(rows[i].trust == NULL ? "keys" : rows[i].trust, 1);
		struct made *x = calloc(1, sizeof *x);
		struct signature_proof p;

		arena_reset(arena);
		make(x, &rows[i]);
		p = verified(t, &x->artifact, 1);
		CHECK_ROW(p.status == (unsigned)rows[i].status, rows[i].name);
		if (!CHECK_ROW(strstr(p.why, rows[i].why) != NULL && (*rows[i].why != '\0' || *p.why == '\0'), rows[i].name))
			fprintf(stderr, "    it says: %s\n", p.why);
		free(x);
		trust_free(t);
	}
}

/* ---- several ---- */

static const struct row good = { .name = "good", .format = SIMPLE }, again = { .name = "again", .format = SIMPLE, .payload = PAYLOAD(D,
    "up/app:again") },
	second = { .name = "second", .format = SIMPLE, .key = SECOND }, bad = { .name = "bad", .format = SIMPLE, .key = STRANGER },
	    elsewhere = { .name = "elsewhere", .format = SIMPLE, .payload = PAYLOAD(OTHER, "") },
	provenance = { .name = "provenance", .format = ATTESTATION }, sbom = { .name = "sbom", .format = ATTESTATION,
	    .payload = STATEMENT("v1", HEX, "https://spdx.dev/Document", "{}") },
	keyless = { .name = "keyless", .format = BUNDLE_STATEMENT, .key = LEAF, .cert = CERT_SHORT, .log = LOG_BOTH },
	    summary = { .name = "summary", .format = BUNDLE_STATEMENT, .payload = STATEMENT("v1", HEX,
	"https://slsa.dev/verification_summary/v1", "{\"verificationResult\":\"PASSED\",\"verifiedLevels\":[\"SLSA_BUILD_LEVEL_3\"]}") };

static const struct several {
	const char *name;
	const struct row *of[4];
	unsigned threshold;
	int status;
	size_t keys;
	const char *why;
} severals[] = {
	{ "nothing", { NULL }, 1, SIG_UNSIGNED, 0, "no signature" },
	{ "a bad one first", { &bad, &good }, 1, V, 2, "" },
	{ "a bad one last", { &good, &elsewhere, &bad }, 1, V, 2, "" },
	{ "the nearest is told", { &bad, &elsewhere }, 1, U, 0, "another digest" },
	{ "two keys", { &good, &second }, 1, V, 3, "" },
	{ "threshold 2, two keys", { &good, &second }, 2, V, 3, "" },
	{ "threshold 2, one", { &good }, 2, U, 0, "keys: 1 of the 2 that must sign" },
	{ "threshold 2, the same key twice", { &good, &again }, 2, U, 0, "1 of the 2" },
	{ "threshold 2, an attestation is no signature", { &good, &provenance }, 2, U, 0, "1 of the 2" },
	{ "a signature and an attestation", { &good, &provenance }, 1, V, 2, "" },
};

static void
test_several(void)
{
	for (size_t i = 0; i < sizeof severals / sizeof *severals; i++) {
		const struct several *s = &severals[i];
		struct trust *t = trust_of("keys", s->threshold);
		struct made *x = calloc(4, sizeof *x);
		struct signature_artifact all[4];
		struct signature_proof p;
		size_t n = 0;

		arena_reset(arena);
		for (; n < 4 && s->of[n] != NULL; n++) {
			make(&x[n], s->of[n]);
			all[n] = x[n].artifact;
		}
		p = verified(t, all, n);
		CHECK_ROW(p.status == (unsigned)s->status && p.n_keys == s->keys, s->name);
		CHECK_ROW(strstr(p.why, s->why) != NULL, s->name);
		free(x);
		trust_free(t);
	}
}

static void
test_bounds(void)
{
	struct trust *t = trust_of("keys", 1);
	struct signature_artifact all[SIGNATURE_ARTIFACTS + 1];
	struct made *x = calloc(1, sizeof *x);

	arena_reset(arena);
	make(x, &good);
	for (size_t i = 0; i < SIGNATURE_ARTIFACTS + 1; i++)
		all[i] = x->artifact;
	CHECK(verified(t, all, SIGNATURE_ARTIFACTS).status == V);
	CHECK(verified(t, all, SIGNATURE_ARTIFACTS + 1).status == SIG_ERROR);
	finish(x, NULL, "application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.oci.image.config.v1+json", NULL,
	    SIGNATURE_ARTIFACTS + 1);
	CHECK(verified(t, &x->artifact, 1).status == SIG_ERROR);
	free(x);
	trust_free(t);
}

static void
test_repositories(void)
{
	struct trust *t = trust_of("keys", 1);
	struct made *x = calloc(1, sizeof *x);
	struct signature_ask q = { .digest = D, .image = SPAN("other/app"), .now = now, .artifacts = &x->artifact, .n = 1 };
	struct signature_proof p;

	arena_reset(arena);
	make(x, &good);
	CHECK(trust_any(t, SPAN("up/app")) && !trust_any(t, SPAN("other/app")) && !trust_any(t, SPAN("up")));
	CHECK(signature_verify(t, &q, arena, &p) && p.status == U && strstr(p.why, "no trust is configured") != NULL);
	q.n = 0;
	CHECK(signature_verify(t, &q, arena, &p) && p.status == SIG_UNSIGNED);
	q.digest = "sha512:aa";
	CHECK(signature_verify(t, &q, arena, &p) && p.status == SIG_ERROR);
	free(x);
	trust_free(t);
}

/* ---- what policy is told ---- */

static bool
has(const struct fact *f, const char *text)
{
	for (size_t i = 0; f->state == FACT_PRESENT && i < f->n_values; i++)
		if (span_eq(f->values[i], span_of(text)))
			return true;
	return false;
}

static void
test_facts(void)
{
	struct trust *t = trust_of("keys", 1), *ci = trust_of("ci", 1);
	struct made *x = calloc(4, sizeof *x);
	struct signature_artifact all[4];
	struct signature_proof p, back;
	struct fact *facts = calloc(KEY_MAX, sizeof *facts);
	const struct row *const of[] = { &good, &provenance, &sbom, &summary };
	json_t *o;

	arena_reset(arena);
	for (size_t i = 0; i < 4; i++) {
		make(&x[i], of[i]);
		all[i] = x[i].artifact;
	}
	p = verified(t, all, 4);
	o = signature_save(&p);
	CHECK(o != NULL && signature_load(o, arena, &back) && signature_tell(&back, arena, facts));
	CHECK(span_eq(facts[KEY_SIG_STATUS].value, SPAN("verified")) && has(&facts[KEY_SIG_KEYS], "keys"));
	CHECK(has(&facts[KEY_SIG_KEYS], arena_printf(arena, "keys/%s", t->rows[0].keys[0].id).p));
	CHECK(has(&facts[KEY_ATTEST_TYPES], "https://slsa.dev/provenance/v1") && has(&facts[KEY_ATTEST_TYPES],
	    "https://spdx.dev/Document"));
	CHECK(has(&facts[KEY_ATTEST_BUILDER_IDS], "https://builder.example"));
	CHECK(span_eq(facts[KEY_ATTEST_SLSA_LEVEL].value, SPAN("3")) && span_eq(facts[KEY_SBOM_PRESENT].value, SPAN("true")));
	CHECK(facts[KEY_SIG_IDENTITIES].state == FACT_ABSENT);
	json_object_set_new(o, "status", json_string("error"));
	CHECK(!signature_load(o, arena, &back));
	json_decref(o);
	make(&x[0], &keyless);
	p = verified(ci, &x[0].artifact, 1);
	CHECK(p.until == 0 && signature_tell(&p, arena, facts));
	CHECK(has(&facts[KEY_SIG_IDENTITIES], WHO) && has(&facts[KEY_SIG_ISSUERS], OIDC) && facts[KEY_SIG_KEYS].state == FACT_ABSENT);
	CHECK(facts[KEY_ATTEST_SLSA_LEVEL].state == FACT_ABSENT && span_eq(facts[KEY_SBOM_PRESENT].value, SPAN("false")));
	free(facts);
	free(x);
	trust_free(t);
	trust_free(ci);
}

/* ---- shapes ---- */

#define SIMPLE_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE  "application/vnd.oci.image.layer.v1.tar+gzip"
#define EMPTY_TYPE  "application/vnd.oci.empty.v1+json"
#define NOTARY	    "application/vnd.cncf.notary.signature"
static const struct {
	const char *layer, *second, *config, *artifact;
	long size;
	enum signature_shape want;
} shapes[] = {
	{ SIMPLE_TYPE, NULL, CONFIG_TYPE, NULL, 200, SIGNATURE_COSIGN },
	{ SIMPLE_TYPE, SIMPLE_TYPE, CONFIG_TYPE, NULL, 200, SIGNATURE_COSIGN },
	{ SIMPLE_TYPE, NULL, CONFIG_TYPE, NULL, 1048577, SIGNATURE_NONE },
	{ SIMPLE_TYPE, LAYER_TYPE, CONFIG_TYPE, NULL, 200, SIGNATURE_NONE },
	{ LAYER_TYPE, NULL, CONFIG_TYPE, NULL, 200, SIGNATURE_NONE },
	{ LAYER_TYPE, NULL, CONFIG_TYPE, BUNDLE_TYPE, 200, SIGNATURE_NONE },
	{ LAYER_TYPE, NULL, NOTARY, NULL, 200, SIGNATURE_NONE },
	{ BUNDLE_TYPE, NULL, EMPTY_TYPE, BUNDLE_TYPE, 200, SIGNATURE_BUNDLE },
	{ BUNDLE_TYPE, NULL, EMPTY_TYPE, NULL, 200, SIGNATURE_NONE },
	{ BUNDLE_TYPE, NULL, CONFIG_TYPE, BUNDLE_TYPE, 200, SIGNATURE_NONE },
	{ BUNDLE_TYPE, BUNDLE_TYPE, EMPTY_TYPE, BUNDLE_TYPE, 200, SIGNATURE_NONE },
	{ BUNDLE_TYPE, NULL, EMPTY_TYPE, BUNDLE_TYPE, 16777217, SIGNATURE_NONE },
	{ "application/jose+json", NULL, NOTARY, NULL, 200, SIGNATURE_NOTATION },
	{ "application/cose", NULL, EMPTY_TYPE, NOTARY, 200, SIGNATURE_NOTATION },
	{ "application/cose", NULL, CONFIG_TYPE, NULL, 200, SIGNATURE_NONE },
	{ "application/spdx+json", NULL, CONFIG_TYPE, NULL, 200, SIGNATURE_SBOM },
	{ "application/vnd.dsse.envelope.v1+json", NULL, CONFIG_TYPE, NULL, 200, SIGNATURE_COSIGN_ATTESTATION },
	{ "application/vnd.dsse.envelope.v1+json", NULL, CONFIG_TYPE, BUNDLE_TYPE, 200, SIGNATURE_NONE },
};

static void
test_shapes(void)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct descriptor layers[2] = { { .media_type = span_of(shapes[i].layer), .size = shapes[i].size },
			{ .media_type = span_of(shapes[i].second), .size = 10 } };
		struct manifest m = { .kind = MANIFEST_IMAGE, .artifact_type = span_of(shapes[i].artifact), .layers = layers,
			.n_layers = shapes[i].second == NULL ? 1 : 2, .config = { .media_type = span_of(shapes[i].config),
			    .size = 100 } };

		CHECK_ROW(signature_shape_of(&m) == shapes[i].want, shapes[i].layer);
		layers[0].has_urls = true;
		CHECK_ROW(signature_shape_of(&m) == SIGNATURE_NONE, shapes[i].layer);
		layers[0].has_urls = false;
		m.config.size = 1 << 20;
		CHECK_ROW(signature_shape_of(&m) == SIGNATURE_NONE, shapes[i].layer);
	}
}

/* ---- trusts that are refused ---- */

static char *
public_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PUBKEY(bio, key);
	return text_of_bio(bio);
}

static void
refused(const char *name, const char *key_text, const char *roots, const char *want)
{
	struct trust_pem pem = { "file.pem", span_of(key_text) };
	struct trust_rule rule = { .alias = "bad", .keys = &pem, .n_keys = key_text != NULL, .repositories = everywhere,
	    .n_repositories = 1, .threshold = 1 };
	char err[512];
	struct trust *t;

	if (roots != NULL)
		rule.roots = (struct trust_pem){ "roots.pem", span_of(roots) };
	t = trust_new(&rule, 1, err, sizeof err);
	if (!CHECK_ROW(t == NULL && strstr(err, want) != NULL, name))
		fprintf(stderr, "    it says: %s\n", err);
	trust_free(t);
}

static void
test_trusts(void)
{
	EVP_PKEY *small = EVP_RSA_gen(1024), *curve = EVP_EC_gen("secp256k1");
	char *small_pem = public_pem(small), *curve_pem = public_pem(curve);
	X509 *leaf = leaf_make(CERT_GOOD);
	struct trust *a = trust_of("keys", 1), *b = trust_of("keys", 2), *c = trust_of("keys", 1);

	refused("no PEM", "hello", NULL, "trust.bad.keys: file.pem: is no PEM");
	refused("small RSA", small_pem, NULL, "fewer than 2048");
	refused("another curve", curve_pem, NULL, "another curve");
	refused("two keys in one file", arena_printf(arena, "%s%s", pems[RELEASE], pems[SECOND]).p, NULL, "more than one key");
	refused("no root", NULL, certificate_pem(leaf), "trust.bad.roots: roots.pem: has no certificate that signed itself");
	refused("broken root", NULL, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "broken");
	CHECK(strcmp(trust_hash(a), trust_hash(c)) == 0 && strcmp(trust_hash(a), trust_hash(b)) != 0);
	trust_free(a);
	trust_free(b);
	trust_free(c);
	X509_free(leaf);
	EVP_PKEY_free(small);
	EVP_PKEY_free(curve);
	free(small_pem);
	free(curve_pem);
}

/* ---- made by others ---- */

static struct span
file_of(const char *name)
{
	char path[128], *text = arena_alloc(arena, ROOM);
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "tests/signatures/%s", name);
	f = fopen(path, "r");
	must(f != NULL && text != NULL);
	n = fread(text, 1, ROOM - 1, f);
	fclose(f);
	text[n] = '\0';
	return (struct span){ text, n };
}

/* A bundle, with `from` (not NULL) changed; who signed, "" and *why when it does not count. */
static struct signature_proof
others(const char *name, const char *from, const char *to)
{
	static const char *const any[] = { "*" };
	struct trust_pem log = { "rekor.pub", file_of("rekor.pub") };
	struct trust_rule rule = { .alias = "mock", .roots = { "root.pem", file_of("root.pem") }, .rekor_keys = &log, .n_rekor_keys = 1,
		.identities = any, .n_identities = 1, .repositories = any, .n_repositories = 1, .threshold = 1 };
	struct row row = { .name = name, .from = from, .to = to };
	struct signature_ask q = { .digest = arena_printf(arena, "sha256:%s", file_of("digest").p).p, .image = SPAN("up/app"),
	    .now = now, .n = 1 };
	struct made *x = calloc(1, sizeof *x);
	struct signature_proof p;
	struct trust *t;
	char err[256];

	t = trust_new(&rule, 1, err, sizeof err);
	must(t != NULL);
	x->layer = patched(file_of(name), &row);
	finish(x, NULL, BUNDLE_TYPE, "application/vnd.oci.empty.v1+json", BUNDLE_TYPE, 1);
	q.artifacts = &x->artifact;
	must(signature_verify(t, &q, arena, &p));
	trust_free(t);
	free(x);
	return p;
}

static void
test_others(void)
{
	struct signature_proof p;

	arena_reset(arena);
	p = others("message.json", NULL, NULL);
	CHECK(p.status == V && p.n_identities == 1 && span_eq(p.identities[0], SPAN("me@acme.example")));
	CHECK(p.n_issuers == 1 && span_eq(p.issuers[0], SPAN("https://iss.test")));
	p = others("statement.json", NULL, NULL);
	CHECK(p.status == SIG_UNSIGNED && p.n_types == 1 && span_eq(p.types[0], SPAN("https://slsa.dev/provenance/v1")));
	p = others("message.json", "\"integratedTime\":\"17", "\"integratedTime\":\"16");
	CHECK(p.status == U && strstr(p.why, "promise (SET)") != NULL);
	p = others("statement.json", "\"treeSize\":\"", "\"treeSize\":\"1");
	CHECK(p.status == U && p.n_types == 0 && strstr(p.why, "inclusion proof") != NULL);
}

static void
test_globs(void)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} globs[] = { { "*", "", true }, { "a*", "a", true }, { "a*c", "abbc", true }, { "a*c", "abcd", false }, { "*@acme.example",
	    "x@acme.example", true },
		{ "*@acme.example", "x@acme.example.evil", false }, { "up/*", "up/a/b", true }, { "up", "up/a", false }, { "a**b*c",
		    "axbxbc", true }, { "", "", true }, { "", "a", false } };

	for (size_t i = 0; i < sizeof globs / sizeof *globs; i++)
		CHECK_ROW(glob_match(globs[i].pattern, span_of(globs[i].text)) == globs[i].want, globs[i].pattern);
}

static void
set_up(void)
{
	struct certificate_spec ca = { .cns = { { V_ASN1_UTF8STRING, SPAN("root") } }, .constraints = "critical,CA:TRUE",
	    .usage = "critical,keyCertSign",
		.from = -86400, .until = 86400 };
	BIO *bio = BIO_new(BIO_s_mem());

	now = (int64_t)time(NULL);
	arena = arena_new((size_t)64 << 20);
	for (int i = 0; i < N_KEYS; i++) {
		keys[i] = i == RSA_KEY ? EVP_RSA_gen(2048) : i == ED ? EVP_PKEY_Q_keygen(NULL, NULL,
		    "ED25519") : EVP_EC_gen(i == P384 ? "P-384" : "P-256");
		pems[i] = public_pem(keys[i]);
	}
	root = certificate_make(&ca, keys[ROOT], NULL, NULL);
	wrong_root = certificate_make(&ca, keys[WRONG_ROOT], NULL, NULL);
	PEM_write_bio_X509(bio, root);
	root_pem = text_of_bio(bio);
}

int
main(void)
{
	set_up();
	test_globs();
	test_trusts();
	test_shapes();
	test_rows();
	test_several();
	test_bounds();
	test_repositories();
	test_facts();
	test_others();
	for (int i = 0; i < N_KEYS; i++) {
		EVP_PKEY_free(keys[i]);
		free(pems[i]);
	}
	X509_free(root);
	X509_free(wrong_root);
	free(root_pem);
	arena_free(arena);
	return check_done();
}
