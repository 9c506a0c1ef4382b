/*
 * bundle.c - Sigstore bundle v0.3: a signature with all that is needed to verify it, in one JSON object.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/signature/parts.h"

#define CERTIFICATE_MAX (64u << 10)

static X509 *
read_certificate(struct review *r, const json_t *o)
{
	struct span der;

	return unbase64(r->arena, json_span(o, "rawBytes"), CERTIFICATE_MAX, &der) ? certificate_der(der) : NULL;
}

/* certificate | x509CertificateChain | publicKey: exactly one. The hint of the last is not needed: all keys are tried. */
static bool
read_material(struct review *r, const json_t *material, struct signing *s)
{
	const json_t *certificate = json_object_get(material, "certificate"), *key = json_object_get(material, "publicKey");
	const json_t *chain = json_object_get(json_object_get(material, "x509CertificateChain"), "certificates");
	size_t n = json_array_size(chain);
	X509 *x;

	if ((certificate != NULL) + (key != NULL) + (chain != NULL) != 1 || n > CHAIN_MAX)
		return miss(r, NEAR_BROKEN, NULL, "a bundle without exactly one key or certificate");
	if (key != NULL)
		return true;
	s->chain = sk_X509_new_null();
	s->leaf = read_certificate(r, certificate != NULL ? certificate : json_array_get(chain, 0));
	if (s->leaf == NULL || s->chain == NULL)
		return miss(r, NEAR_BROKEN, NULL, "a certificate that cannot be read");
	for (size_t i = 1; i < n; i++) {
		x = read_certificate(r, json_array_get(chain, i));
		if (x == NULL || sk_X509_push(s->chain, x) <= 0) {
			X509_free(x);
			return miss(r, NEAR_BROKEN, NULL, "a chain of certificates that cannot be read");
		}
	}
	return true;
}

static bool
read_entries(struct review *r, const json_t *entries, struct signing *s)
{
	size_t n = json_array_size(entries);

	if (n > ENTRIES_MAX)
		return miss(r, NEAR_BROKEN, NULL, "a bundle with %zu entries of logs", n);
	for (size_t i = 0; i < n; i++)
		if (!entry_of_bundle(r->arena, json_array_get(entries, i), &s->entries[i]))
			return miss(r, NEAR_BROKEN, NULL, "an entry of a log that cannot be read");
	s->n_entries = n;
	return true;
}

/* A signature over the image's manifest: its hash is the digest. */
static void
judge_message(struct review *r, const json_t *message, struct signing *s)
{
	const json_t *digest = json_object_get(message, "messageDigest");
	struct span hash;

	s->says = SAYS_DIGEST;
	if (!unbase64(r->arena, json_span(message, "signature"), 2048, &s->signature)) {
		miss(r, NEAR_BROKEN, NULL, "a signature that is not base64");
		return;
	}
	if (digest != NULL && (!span_eq(json_span(digest, "algorithm"), SPAN("SHA2_256")) ||
	    !unbase64(r->arena, json_span(digest, "digest"), 64, &hash) || hash.n != 32 || memcmp(hash.p, r->digest, 32) != 0)) {
		miss(r, NEAR_KEY, NULL, "a bundle for another digest");
		return;
	}
	judge(r, s);
}

static void
judge_bundle(struct review *r, const json_t *o, struct signing *s)
{
	const json_t *material = json_object_get(o, "verificationMaterial"), *message = json_object_get(o, "messageSignature");
	const json_t *envelope = json_object_get(o, "dsseEnvelope");
	struct span type = json_span(o, "mediaType");

	if (!span_eq(type, SPAN("application/vnd.dev.sigstore.bundle.v0.3+json")) &&
	    !span_eq(type, SPAN("application/vnd.dev.sigstore.bundle+json;version=0.3"))) {
		miss(r, NEAR_UNREAD, NULL, "a bundle of another version than v0.3 is not read");
		return;
	}
	if ((message != NULL) + (envelope != NULL) != 1) {
		miss(r, NEAR_BROKEN, NULL, "a bundle without exactly one signature");
		return;
	}
	if (!read_material(r, material, s) || !read_entries(r, json_object_get(material, "tlogEntries"), s))
		return;
	if (message != NULL)
		judge_message(r, message, s);
	else
		envelope_judge(r, envelope, s, true);
}

void
bundle_judge(struct review *r, const struct signature_artifact *x)
{
	json_t *o = read_json(x->layers[0]);
	struct signing s = { .leaf = NULL };

	if (o == NULL)
		miss(r, NEAR_BROKEN, NULL, "a bundle that is not JSON as it is to be");
	else
		judge_bundle(r, o, &s);
	signing_clear(&s);
	json_decref(o);
}
