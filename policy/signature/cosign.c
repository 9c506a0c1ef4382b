/*
 * cosign.c - simple signing, and envelopes under .att: a layer each, with annotations.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/signature/parts.h"

#define SIMPLE_MAX  (1u << 20)
#define SIGNATURE   "dev.cosignproject.cosign/signature"
#define CERTIFICATE "dev.sigstore.cosign/certificate"
#define CHAIN	    "dev.sigstore.cosign/chain"
#define BUNDLE	    "dev.sigstore.cosign/bundle"

/* ---- what it says ---- */

/* The path of "host/path:tag@digest", without the host: what has a dot or a port, or is localhost (as Docker tells them apart). */
static struct span
path_of(struct span s)
{
	const char *slash, *at = s.n == 0 ? NULL : memchr(s.p, '@', s.n);
	struct span host;

	if (at != NULL)
		s.n = (size_t)(at - s.p);
	slash = s.n == 0 ? NULL : memchr(s.p, '/', s.n);
	if (slash != NULL) {
		host = (struct span){ s.p, (size_t)(slash - s.p) };
		if (memchr(host.p, '.', host.n) != NULL || memchr(host.p, ':', host.n) != NULL || span_eq(host, SPAN("localhost")))
			s = span_skip(s, host.n + 1);
	}
	at = s.n == 0 ? NULL : memchr(s.p, ':', s.n);
	if (at != NULL)
		s.n = (size_t)(at - s.p);
	return s;
}

/* Of this repository, as the registry or as a client of the gateway names it. */
static bool
is_here(struct span reference, struct span image)
{
	struct span path = path_of(reference);
	const char *slash = memchr(image.p, '/', image.n);

	return span_eq(path, image) || (slash != NULL && span_eq(path, span_skip(image, (size_t)(slash - image.p) + 1)));
}

static bool
read_critical(struct review *r, const struct trust_one *t, const json_t *critical)
{
	struct span digest = json_span(json_object_get(critical, "image"), "docker-manifest-digest");
	struct span reference = json_span(json_object_get(critical, "identity"), "docker-reference");
	struct span type = json_span(critical, "type");

	if (!span_eq(type, SPAN("cosign container image signature")) && !span_eq(type, SPAN("atomic container signature")))
		return miss(r, NEAR_SUBJECT, t, "signed something else than an image");
	if (digest.n == 0)
		return miss(r, NEAR_SUBJECT, t, "signed no docker-manifest-digest");
	if (!span_eq(digest, span_of(r->ask->digest)))
		return miss(r, NEAR_SUBJECT, t, "signed for another digest");
	if (reference.n > 0 && !is_here(reference, r->ask->image))
		return miss(r, NEAR_SUBJECT, t, "signed for another repository: %.80s", reference.p);
	return true;
}

bool
simple_read(struct review *r, const struct trust_one *t, struct span payload)
{
	json_t *o = read_json(payload);
	bool ok;

	if (o == NULL)
		return miss(r, NEAR_SUBJECT, t, "signed a payload that is not JSON as it is to be");
	ok = read_critical(r, t, json_object_get(o, "critical"));
	json_decref(o);
	return ok;
}

/* ---- what comes with it ---- */

static bool
read_certificates(struct review *r, const json_t *annotations, struct signing *s)
{
	struct span leaf = json_span(annotations, CERTIFICATE), chain = json_span(annotations, CHAIN);

	if (leaf.n == 0)
		return true;
	s->chain = sk_X509_new_null();
	if (s->chain == NULL || !certificates_pem(leaf, s->chain))
		return miss(r, NEAR_BROKEN, NULL, "a certificate that cannot be read");
	s->leaf = sk_X509_shift(s->chain);
	if (chain.n > 0 && !certificates_pem(chain, s->chain))
		return miss(r, NEAR_BROKEN, NULL, "a chain of certificates that cannot be read");
	return true;
}

/* A SET beside the signature. */
static bool
read_entry(struct review *r, const json_t *annotations, struct signing *s)
{
	struct span text = json_span(annotations, BUNDLE);
	json_t *o;
	bool ok;

	if (text.n == 0)
		return true;
	o = read_json(text);
	ok = o != NULL && entry_of_annotation(r->arena, o, &s->entries[0]);
	s->n_entries = ok ? 1 : 0;
	json_decref(o);
	return ok || miss(r, NEAR_BROKEN, NULL, "an entry of a log that cannot be read");
}

static void
judge_simple(struct review *r, const json_t *annotations, struct span layer, struct signing *s)
{
	s->says = SAYS_SIMPLE;
	s->input = s->payload = layer;
	if (layer.n > SIMPLE_MAX)
		miss(r, NEAR_BROKEN, NULL, "a payload of more than 1 MiB");
	else if (!unbase64(r->arena, json_span(annotations, SIGNATURE), 2048, &s->signature))
		miss(r, NEAR_BROKEN, NULL, "a signature that is not base64");
	else
		judge(r, s);
}

static void
judge_envelope(struct review *r, struct span layer, struct signing *s)
{
	json_t *o = read_json(layer);

	if (o == NULL)
		miss(r, NEAR_BROKEN, NULL, "an envelope that is not JSON as it is to be");
	else
		envelope_judge(r, o, s, false);
	json_decref(o);
}

void
cosign_judge(struct review *r, const struct signature_artifact *x)
{
	bool envelopes = signature_shape_of(x->manifest) == SIGNATURE_COSIGN_ATTESTATION;
	json_t *manifest = read_json(x->bytes);
	const json_t *layers = json_object_get(manifest, "layers");

	for (size_t i = 0; i < x->manifest->n_layers; i++) {
		const json_t *annotations = json_object_get(json_array_get(layers, i), "annotations");
		struct signing s = { .leaf = NULL };

		if (read_certificates(r, annotations, &s) && read_entry(r, annotations, &s)) {
			if (envelopes)
				judge_envelope(r, x->layers[i], &s);
			else
				judge_simple(r, annotations, x->layers[i], &s);
		}
		signing_clear(&s);
	}
	json_decref(manifest);
}
