/*
 * notation.c - Notary Project signatures in JWS (JSON serialization, one signer). COSE is said not to be read.
 *
 * There is no timestamp here that anybody but the signer vouches for: the certificate must be valid now.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/base64url.h"
#include "policy/issuer.h"
#include "policy/jws.h"
#include "policy/scalar.h"
#include "policy/signature/parts.h"

#define NOTATION_MAX (1u << 20)
#define SCHEME	     "io.cncf.notary.signingScheme"
#define SIGNED_AT    "io.cncf.notary.signingTime"
#define AUTHENTIC_AT "io.cncf.notary.authenticSigningTime"
#define EXPIRY	     "io.cncf.notary.expiry"

struct envelope {
	struct span input;		/* protected "." payload */
	struct span signature;
	enum jws_alg alg;
	int64_t until;			/* of its expiry; 0: none */
	X509 *leaf;
	STACK_OF(X509) *chain;
};

static struct span
decode(struct arena *a, struct span text)
{
	unsigned char *bytes = text.n == 0 ? NULL : arena_alloc(a, BASE64URL_DECODED(text.n));
	size_t n;

	return bytes != NULL && base64url_decode(text, bytes, &n) ? (struct span){ (const char *)bytes, n } : SPAN_NONE;
}

/* ---- the protected header ---- */

/* The algorithm that the specification ties to each key. */
static enum jws_alg
alg_of(EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key), type = EVP_PKEY_get_base_id(key);

	if (type == EVP_PKEY_RSA)
		return bits == 2048 ? JWS_PS256 : bits == 3072 ? JWS_PS384 : bits == 4096 ? JWS_PS512 : JWS_ALG_NONE;
	if (type == EVP_PKEY_EC)
		return bits == 256 ? JWS_ES256 : bits == 384 ? JWS_ES384 : bits == 521 ? JWS_ES512 : JWS_ALG_NONE;
	return JWS_ALG_NONE;
}

static bool
lists(const json_t *critical, const char *name)
{
	for (size_t i = 0; i < json_array_size(critical); i++)
		if (span_eq(span_of(json_string_value(json_array_get(critical, i))), span_of(name)))
			return true;
	return false;
}

/* All that is critical is known here and present; what must be critical is. */
static const char *
critical_refused(const json_t *header)
{
	static const char *const known[] = { SCHEME, EXPIRY, AUTHENTIC_AT };
	const json_t *critical = json_object_get(header, "crit");

	for (size_t i = 0; i < json_array_size(critical); i++) {
		const char *name = json_string_value(json_array_get(critical, i));
		bool found = false;

		for (size_t k = 0; name != NULL && k < sizeof known / sizeof *known; k++)
			found = found || strcmp(name, known[k]) == 0;
		if (!found || json_object_get(header, name) == NULL)
			return "a critical header that is not known";
	}
	if (!lists(critical, SCHEME))
		return "its signing scheme is not critical";
	return json_object_get(header, EXPIRY) == NULL || lists(critical, EXPIRY) ? NULL : "its expiry is not critical";
}

/* NULL: as it is to be. */
static const char *
header_refused(const json_t *header, struct envelope *e)
{
	struct span scheme = json_span(header, SCHEME), expiry = json_span(header, EXPIRY);
	struct number at;

	e->alg = jws_alg_parse(json_span(header, "alg"));
	if (!span_eq(json_span(header, "cty"), SPAN("application/vnd.cncf.notary.payload.v1+json")))
		return "its content type is another";
	if (critical_refused(header) != NULL)
		return critical_refused(header);
	if (!span_eq(scheme, SPAN("notary.x509")) && !span_eq(scheme, SPAN("notary.x509.signingAuthority")))
		return "its signing scheme is another";
	if (!date_parse(json_span(header, span_eq(scheme, SPAN("notary.x509")) ? SIGNED_AT : AUTHENTIC_AT), &at))
		return "its signing time is missing";
	if (json_object_get(header, EXPIRY) == NULL)
		return NULL;
	if (!date_parse(expiry, &at) || at.whole <= 0)
		return "its expiry is no time";
	e->until = at.whole;
	return NULL;
}

/* ---- the certificates ---- */

static const char *
chain_refused(struct arena *a, const json_t *header, struct envelope *e)
{
	const json_t *x5c = json_object_get(header, "x5c");
	size_t n = json_array_size(x5c);
	struct span der;
	X509 *x;

	if (n == 0 || n > CHAIN_MAX)
		return "it has no chain of certificates, or too long a one";
	e->chain = sk_X509_new_null();
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(x5c, i));

		x = text != NULL && unbase64(a, span_of(text), 65536, &der) ? certificate_der(der) : NULL;
		if (x == NULL || e->chain == NULL || sk_X509_push(e->chain, x) <= 0) {
			X509_free(x);
			return "a certificate that cannot be read";
		}
	}
	e->leaf = sk_X509_shift(e->chain);
	return NULL;
}

static const char *
envelope_refused(struct arena *a, const json_t *o, struct envelope *e)
{
	struct span protected = json_span(o, "protected"), payload = json_span(o, "payload");
	json_t *header = read_json(decode(a, protected));
	const char *why = header == NULL ? "its protected header is not JSON as it is to be" : header_refused(header, e);

	json_decref(header);
	if (why == NULL)
		why = chain_refused(a, json_object_get(o, "header"), e);
	if (why != NULL)
		return why;
	e->signature = decode(a, json_span(o, "signature"));
	e->input = arena_printf(a, "%.*s.%.*s", SPAN_FMT(protected), SPAN_FMT(payload));
	return e->signature.n == 0 || e->input.n == 0 ? "its signature is not base64url" : NULL;
}

/* ---- against the trusts ---- */

static void
judge_trust(struct review *r, const struct trust_one *t, struct span payload, const struct envelope *e)
{
	struct vote v = { .trust = t, .level = -1 };
	bool expired = false;
	char why[120];
	json_t *o;
	int64_t ends;

	if (!chain_good(t, e->leaf, e->chain, r->ask->now, &expired, why, sizeof why)) {
		miss(r, expired ? NEAR_TIME : NEAR_KEY, t, "%s", why);
		return;
	}
	if (!leaf_subject(r, t, e->leaf, &v))
		return;
	o = read_json(payload);
	if (o == NULL || !span_eq(json_span(json_object_get(o, "targetArtifact"), "digest"), span_of(r->ask->digest)))
		miss(r, NEAR_SUBJECT, t, "signed for another digest");
	else if (e->until != 0 && e->until <= r->ask->now)
		miss(r, NEAR_SUBJECT, t, "the signature expired");
	else {
		v.until = time_of(X509_get0_notAfter(e->leaf), &ends) ? ends : r->ask->now;
		if (e->until != 0 && e->until < v.until)
			v.until = e->until;
		vote_add(r, &v);
	}
	json_decref(o);
}

static void
judge_envelope(struct review *r, const json_t *o, struct envelope *e)
{
	const char *why = envelope_refused(r->arena, o, e);
	struct jwk key = { .kid = NULL };
	struct span payload;
	bool rooted = false;

	if (why != NULL) {
		miss(r, NEAR_BROKEN, NULL, "%s", why);
		return;
	}
	key.key = X509_get0_pubkey(e->leaf);
	key.algorithms = 1u << e->alg;
	if (key.key == NULL || e->alg == JWS_ALG_NONE || alg_of(key.key) != e->alg) {
		miss(r, NEAR_KEY, NULL, "its algorithm is not the one of its key");
		return;
	}
	if (!jws_signature_ok(&key, e->alg, e->input, (const unsigned char *)e->signature.p, e->signature.n)) {
		miss(r, NEAR_KEY, NULL, "the certificate's key did not make it");
		return;
	}
	payload = decode(r->arena, json_span(o, "payload"));
	for (size_t i = 0; i < r->n_good; i++) {
		if (r->good[i]->store == NULL)
			continue;
		rooted = true;
		judge_trust(r, r->good[i], payload, e);
	}
	if (!rooted)
		miss(r, NEAR_KEY, NULL, "a Notation signature, and no roots are configured");
}

void
notation_judge(struct review *r, const struct signature_artifact *x)
{
	struct envelope e = { .leaf = NULL };
	json_t *o;

	if (span_eq(x->manifest->layers[0].media_type, SPAN("application/cose"))) {
		miss(r, NEAR_UNREAD, NULL, "a Notation signature in COSE is not read: sign with JWS");
		return;
	}
	o = x->layers[0].n > NOTATION_MAX ? NULL : read_json(x->layers[0]);
	if (o == NULL)
		miss(r, NEAR_BROKEN, NULL, "a Notation signature that is not JSON as it is to be");
	else
		judge_envelope(r, o, &e);
	X509_free(e.leaf);
	sk_X509_pop_free(e.chain, X509_free);
	json_decref(o);
}
