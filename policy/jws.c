/*
 * jws.c - one compact JWS against the issuers (RFC 7515, 7518, 7519, 8725, 9068).
 * Invariant: nothing a token says is believed before its signature is checked, but which issuer and key to check it
 * with; and these are configuration, found by exact strings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/jws.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/base64url.h"
#include "policy/json.h"

#define DEPTH_MAX	32u
#define KID_MAX		256u
#define SIGNATURE_MAX	1024u
#define COORDINATE_MAX	66u
#define CLOCK_MAX	((int64_t)1 << 53)	/* no time is later: sums of times do not overflow */

/* ---- names ---- */

static const struct jws_alg_row algorithms[JWS_ALG_MAX] = {
	[JWS_ALG_NONE] = { "none", FAMILY_NONE, NULL, 0 },
#define ALG(name, family, digest, bytes) [JWS_##name] = { #name, FAMILY_##family, digest, bytes },
#include "policy/jws_alg.def"
#undef ALG
};

const struct jws_alg_row *
jws_alg_row(enum jws_alg alg)
{
	return &algorithms[alg < JWS_ALG_MAX ? alg : JWS_ALG_NONE];
}

enum jws_alg
jws_alg_parse(struct span name)
{
	for (unsigned a = JWS_ALG_NONE + 1; a < JWS_ALG_MAX; a++)
		if (span_eq(span_of(algorithms[a].name), name))
			return (enum jws_alg)a;
	return JWS_ALG_NONE;
}

const char *
jws_alg_name(enum jws_alg alg)
{
	return jws_alg_row(alg)->name;
}

static const struct {
	const char *symbol, *text;
} outcomes[] = {
#define X(outcome, symbol, text) [TOKEN_##outcome] = { symbol, text },
	TOKEN_OUTCOMES(X)
#undef X
};

const char *
token_outcome_symbol(enum token_outcome o)
{
	return outcomes[o <= TOKEN_OK ? o : TOKEN_MALFORMED].symbol;
}

const char *
token_outcome_text(enum token_outcome o)
{
	return outcomes[o <= TOKEN_OK ? o : TOKEN_MALFORMED].text;
}

/* ---- signatures ---- */

/* r || s of fixed length (RFC 7518 section 3.4) to the DER OpenSSL reads; its length, 0 when it cannot be one. */
static size_t
der_from_raw(const unsigned char *raw, size_t n, unsigned char *der, size_t size)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)(n / 2), NULL), *s = BN_bin2bn(raw + n / 2, (int)(n / 2), NULL);
	unsigned char *end = der;
	int len = 0;

	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else if (!BN_is_zero(r) && !BN_is_zero(s)) {
		len = i2d_ECDSA_SIG(sig, NULL);
		len = len > 0 && (size_t)len <= size ? i2d_ECDSA_SIG(sig, &end) : 0;
	}
	ECDSA_SIG_free(sig);
	return len > 0 ? (size_t)len : 0;
}

/* A signature of the length this key makes, as OpenSSL reads it; 0 when it cannot be one. */
static size_t
signature_for(const struct jwk *key, const struct jws_alg_row *row, const unsigned char **signature, size_t n,
    unsigned char *der, size_t size)
{
	switch (row->family) {
	case FAMILY_RSA:
	case FAMILY_PSS:
		return n == (size_t)EVP_PKEY_get_size(key->key) ? n : 0;
	case FAMILY_ED:
		return n == row->bytes ? n : 0;
	case FAMILY_EC:
		if (n != 2 * row->bytes)
			return 0;
		n = der_from_raw(*signature, n, der, size);
		*signature = der;
		return n;
	case FAMILY_NONE:
		break;
	}
	return 0;
}

static bool
verify_init(EVP_MD_CTX *ctx, const struct jwk *key, const struct jws_alg_row *row)
{
	EVP_PKEY_CTX *pkey = NULL;

	if (EVP_DigestVerifyInit_ex(ctx, &pkey, row->digest, NULL, NULL, key->key, NULL) != 1)
		return false;
	return row->family != FAMILY_PSS || (EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1);
}

bool
jws_signature_ok(const struct jwk *key, enum jws_alg alg, struct span input, const unsigned char *signature, size_t n)
{
	const struct jws_alg_row *row = jws_alg_row(alg);
	unsigned char der[2 * COORDINATE_MAX + 16];
	EVP_MD_CTX *ctx;
	bool ok;

	if (row->family == FAMILY_NONE || !(key->algorithms >> alg & 1u))
		return false;
	n = signature_for(key, row, &signature, n, der, sizeof der);
	if (n == 0)
		return false;
	ctx = EVP_MD_CTX_new();
	ok = ctx != NULL && verify_init(ctx, key, row) &&
	    EVP_DigestVerify(ctx, signature, n, (const unsigned char *)input.p, input.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();	/* a failed check leaves a queue for whoever asks OpenSSL next */
	return ok;
}

/* ---- the token apart ---- */

struct parts {
	struct span header, payload, signature;	/* base64url text */
	struct span signed_text;
};

static bool
split(struct span token, struct parts *out)
{
	const char *dot = token.n == 0 ? NULL : memchr(token.p, '.', token.n);
	struct span rest;

	if (dot == NULL)
		return false;
	out->header = (struct span){ token.p, (size_t)(dot - token.p) };
	rest = span_skip(token, out->header.n + 1);
	dot = memchr(rest.p, '.', rest.n);
	if (dot == NULL)
		return false;
	out->payload = (struct span){ rest.p, (size_t)(dot - rest.p) };
	out->signature = span_skip(rest, out->payload.n + 1);
	out->signed_text = (struct span){ token.p, (size_t)(dot - token.p) };
	return out->header.n > 0 && out->payload.n > 0 && out->signature.n > 0 &&
	    memchr(out->signature.p, '.', out->signature.n) == NULL;
}

/* A base64url segment as a JSON object; NULL. */
static json_t *
object_of(struct span segment)
{
	unsigned char bytes[BASE64URL_DECODED(TOKEN_MAX)];
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o;
	size_t n;

	if (!base64url_decode(segment, bytes, &n))
		return NULL;
	o = json_strict((struct span){ (const char *)bytes, n }, DEPTH_MAX, err, sizeof err, NULL);
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

struct header {
	enum jws_alg alg;
	bool jose;	/* typ JOSE: of SPIFFE only */
	bool has_kid;
	char kid[KID_MAX];
	size_t kid_n;
};

static bool
is_token_type(struct span typ)
{
	return span_eq_nocase(typ, SPAN("JWT")) || span_eq_nocase(typ, SPAN("at+jwt")) ||
	    span_eq_nocase(typ, SPAN("application/at+jwt"));
}

static bool
is_own(const json_t *header)
{
	return span_eq(json_span(header, "cty"), SPAN(TOKEN_OWN_TYPE));
}

static enum token_outcome
header_read(const json_t *o, bool own, struct header *out)
{
	static const char *const key_members[] = { "jku", "jwk", "x5u", "x5c" };
	struct span kid = json_span(o, "kid");

	if (json_object_get(o, "crit") != NULL || json_object_get(o, "b64") != NULL)
		return TOKEN_CRIT;
	/* keys, or where to get some: who sends these wants them used */
	for (size_t i = 0; i < sizeof key_members / sizeof *key_members; i++)
		if (json_object_get(o, key_members[i]) != NULL)
			return TOKEN_BAD_HEADER;
	out->jose = span_eq(json_span(o, "typ"), SPAN("JOSE"));
	if (is_own(o) != own || (json_object_get(o, "typ") != NULL && !out->jose && !is_token_type(json_span(o, "typ"))))
		return TOKEN_BAD_HEADER;
	out->has_kid = json_object_get(o, "kid") != NULL;
	if (out->has_kid && (kid.n == 0 || kid.n > sizeof out->kid))
		return TOKEN_BAD_HEADER;
	memcpy(out->kid, kid.p == NULL ? "" : kid.p, kid.n);
	out->kid_n = kid.n;
	if (!json_is_string(json_object_get(o, "alg")))
		return TOKEN_BAD_HEADER;
	out->alg = jws_alg_parse(json_span(o, "alg"));
	return out->alg == JWS_ALG_NONE ? TOKEN_ALG_REFUSED : TOKEN_OK;
}

/* ---- claims ---- */

/* A NumericDate of whole seconds. False when it is there and is none; *out is 0 when it is absent. */
static bool
date_of(const json_t *claims, const char *name, int64_t *out)
{
	const json_t *v = json_object_get(claims, name);

	*out = 0;
	if (v == NULL)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) <= 0 || json_integer_value(v) > CLOCK_MAX)
		return false;
	*out = json_integer_value(v);
	return true;
}

static enum token_outcome
times_check(const struct issuer *i, const json_t *claims, int64_t now, int64_t grace, struct identity *who)
{
	int64_t nbf;

	if (!date_of(claims, "exp", &who->expires_at) || who->expires_at == 0)
		return TOKEN_NO_EXPIRY;
	if (!date_of(claims, "iat", &who->issued_at) || !date_of(claims, "nbf", &nbf))
		return TOKEN_BAD_PAYLOAD;
	if (now >= who->expires_at + i->leeway + grace)
		return TOKEN_EXPIRED;
	if (who->issued_at > now + i->leeway || nbf > now + i->leeway)
		return TOKEN_NOT_YET_VALID;
	if (who->expires_at - (who->issued_at != 0 ? who->issued_at : now) > i->max_lifetime)
		return TOKEN_TOO_LONG_LIVED;
	return TOKEN_OK;
}

static bool
is_audience(const struct issuer *i, struct span aud)
{
	for (size_t k = 0; k < i->n_audiences; k++)
		if (span_eq(span_of(i->audiences[k]), aud))
			return true;
	return false;
}

static enum token_outcome
audience_check(const struct issuer *i, const json_t *claims)
{
	const json_t *aud = json_object_get(claims, "aud");
	bool found = false;

	if (aud == NULL && (i->quirks & ISSUER_CLIENT_ID) != 0)
		aud = json_object_get(claims, "client_id");
	if (json_is_string(aud))
		return is_audience(i, (struct span){ json_string_value(aud), json_string_length(aud) }) ? TOKEN_OK : TOKEN_AUDIENCE;
	for (size_t k = 0; k < json_array_size(aud); k++) {
		const json_t *a = json_array_get(aud, k);

		if (!json_is_string(a))
			return TOKEN_BAD_PAYLOAD;
		found |= is_audience(i, (struct span){ json_string_value(a), json_string_length(a) });
	}
	return found ? TOKEN_OK : TOKEN_AUDIENCE;
}

/* Is it that text? A number or truth value is what JSON writes for it. */
static bool
value_is(const json_t *v, const char *wanted)
{
	struct span want = span_of(wanted), is;
	char number[32];

	if (json_is_integer(v)) {
		snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		is = span_of(number);
	} else if (json_is_boolean(v)) {
		is = json_is_true(v) ? SPAN("true") : SPAN("false");
	} else if (json_is_string(v)) {
		is = (struct span){ json_string_value(v), json_string_length(v) };
	} else {
		return false;
	}
	if (want.n > 0 && want.p[want.n - 1] == '*')
		return span_starts(is, (struct span){ want.p, want.n - 1 });
	return span_eq(is, want);
}

static bool
claim_is(const json_t *v, const char *wanted)
{
	if (v == NULL || json_is_null(v))
		return false;
	if (wanted == NULL)
		return true;
	if (!json_is_array(v))
		return value_is(v, wanted);
	for (size_t k = 0; k < json_array_size(v); k++)
		if (value_is(json_array_get(v, k), wanted))
			return true;
	return false;
}

static enum token_outcome
required_check(const struct issuer *i, const json_t *claims)
{
	for (size_t k = 0; k < i->n_required; k++) {
		unsigned found;
		const json_t *v = claim_find(claims, span_of(i->required[k].path), &found);

		if (found != 1 || !claim_is(v, i->required[k].value))
			return TOKEN_CLAIM;
	}
	return TOKEN_OK;
}

/* ---- the identity ---- */

/* The names of a claim: a string or an array of strings; absent or null is none. Anything else is no list to trust. */
static bool
names_of(struct arena *a, const json_t *claims, const char *path, const struct span **out, size_t *n)
{
	unsigned found;
	const json_t *v = claim_find(claims, span_of(path), &found);
	struct span *names;
	size_t count;

	*n = 0;
	*out = NULL;
	if (found > 1)
		return false;
	if (v == NULL || json_is_null(v))
		return true;
	count = json_is_array(v) ? json_array_size(v) : 1;
	if (count > IDENTITY_NAMES_MAX)
		return false;
	names = arena_zalloc(a, count, sizeof *names);
	for (size_t i = 0; names != NULL && i < count; i++) {
		const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;

		names[i] = (struct span){ json_string_value(s), json_string_length(s) };
		if (!json_is_string(s) || !identity_name_ok(names[i], IDENTITY_NAME_MAX))
			return false;
	}
	*out = names;
	*n = names == NULL ? 0 : count;
	return true;
}

/* Fill v from claims whose signature has been checked. */
static enum token_outcome
identity_fill(struct verified *v, const struct issuer *i, int64_t now, int64_t grace)
{
	struct identity *who = &v->identity;
	enum token_outcome outcome = times_check(i, v->claims, now, grace, who);

	if (outcome == TOKEN_OK)
		outcome = audience_check(i, v->claims);
	/* not there, then, for what is required either */
	if ((i->quirks & ISSUER_EMAIL) != 0 && !json_is_true(json_object_get(v->claims, "email_verified")))
		json_object_del(v->claims, "email");
	if (outcome == TOKEN_OK)
		outcome = required_check(i, v->claims);
	if (outcome != TOKEN_OK)
		return outcome;
	who->groups_unknown = claim_is_elsewhere(v->claims, span_of(i->groups_claim));
	who->subject = json_span(v->claims, "sub");
	if (!identity_name_ok(who->subject, IDENTITY_SUBJECT_MAX))
		return TOKEN_SUBJECT;
	who->type = PRINCIPAL_JWT;
	who->issuer = arena_dup(v->arena, span_of(i->alias));
	if (!names_of(v->arena, v->claims, i->groups_claim, &who->groups, &who->n_groups) ||
	    !names_of(v->arena, v->claims, i->roles_claim, &who->roles, &who->n_roles))
		return TOKEN_BAD_PAYLOAD;
	identity_make_ids(v->arena, who);
	who->claims = v->claims;
	return arena_failed(v->arena) ? TOKEN_NO_MEMORY : TOKEN_OK;
}

/* ---- verification ---- */

static enum token_outcome
signature_check(const struct keyset *keys, unsigned allowed, const struct parts *parts, const struct header *h,
    const struct jwk **key)
{
	unsigned char signature[BASE64URL_DECODED(SIGNATURE_MAX * 4 / 3 + 4)];
	size_t n;

	if (!(allowed >> h->alg & 1u))
		return TOKEN_ALG_REFUSED;
	if (parts->signature.n > SIGNATURE_MAX * 4 / 3 + 4 || !base64url_decode(parts->signature, signature, &n))
		return TOKEN_MALFORMED;
	if (keys == NULL)
		return TOKEN_NO_KEYS;
	*key = keyset_find(keys, (struct span){ h->has_kid ? h->kid : NULL, h->kid_n }, h->alg);
	if (*key == NULL)
		return TOKEN_KEY_UNKNOWN;
	return jws_signature_ok(*key, h->alg, parts->signed_text, signature, n) ? TOKEN_OK : TOKEN_BAD_SIGNATURE;
}

static enum token_outcome
verify(const struct issuer_table *t, const struct parts *parts, int64_t now, int64_t grace, struct verified *v,
    const char **alias)
{
	json_t *o = object_of(parts->header);
	struct header h = { .alg = JWS_ALG_NONE };
	const struct issuer *i;
	const struct jwk *key = NULL;
	enum token_outcome outcome;

	if (o == NULL)
		return TOKEN_BAD_HEADER;
	outcome = header_read(o, false, &h);
	json_decref(o);
	if (outcome != TOKEN_OK)
		return outcome;
	v->claims = object_of(parts->payload);
	if (v->claims == NULL)
		return TOKEN_BAD_PAYLOAD;
	i = json_object_get(v->claims, "iss") != NULL ? issuer_find(t, json_span(v->claims, "iss")) :
	    issuer_find_domain(t, json_span(v->claims, "sub"));
	if (i == NULL)
		return TOKEN_ISSUER_UNKNOWN;
	*alias = i->alias;
	if (h.jose && (i->quirks & ISSUER_SPIFFE) == 0)
		return TOKEN_BAD_HEADER;
	outcome = signature_check(i->keys, i->algorithms, parts, &h, &key);
	if (outcome != TOKEN_OK)
		return outcome;
	v->identity.key_id = arena_dup(v->arena, span_of(key->kid));
	v->identity.generation = issuer_table_generation(t);
	return identity_fill(v, i, now, grace);
}

enum token_outcome
token_verify(const struct issuer_table *t, struct span token, int64_t now, int64_t grace, const struct identity **out)
{
	const char *alias;

	return token_verify_from(t, token, now, grace, out, &alias);
}

enum token_outcome
token_verify_from(const struct issuer_table *t, struct span token, int64_t now, int64_t grace, const struct identity **out,
    const char **alias)
{
	struct parts parts;
	enum token_outcome outcome;
	struct verified *v;

	*out = NULL;
	*alias = NULL;
	if (token.n > TOKEN_MAX)
		return TOKEN_TOO_LONG;
	if (!split(token, &parts))
		return TOKEN_MALFORMED;
	v = calloc(1, sizeof *v);
	if (v == NULL)
		return TOKEN_NO_MEMORY;
	v->identity.refs = 1;
	v->arena = arena_new(IDENTITY_MEMORY);
	outcome = v->arena == NULL ? TOKEN_NO_MEMORY : verify(t, &parts, now, grace, v, alias);
	if (outcome == TOKEN_OK)
		*out = &v->identity;
	else
		identity_unref(&v->identity);
	return outcome;
}

/* ---- tokens of the gateway's own ---- */

bool
token_is_own(struct span token)
{
	struct parts parts;
	json_t *o;
	bool is;

	if (token.n > TOKEN_MAX || !split(token, &parts))
		return false;
	o = object_of(parts.header);
	is = is_own(o);
	json_decref(o);
	return is;
}

enum token_outcome
token_open(const struct keyset *keys, unsigned allowed, struct span token, json_t **claims)
{
	struct header h = { .alg = JWS_ALG_NONE };
	const struct jwk *key;
	enum token_outcome outcome;
	struct parts parts;
	json_t *o;

	*claims = NULL;
	if (token.n > TOKEN_MAX)
		return TOKEN_TOO_LONG;
	if (!split(token, &parts))
		return TOKEN_MALFORMED;
	o = object_of(parts.header);
	outcome = o == NULL ? TOKEN_BAD_HEADER : header_read(o, true, &h);
	json_decref(o);
	if (outcome == TOKEN_OK && h.jose)
		outcome = TOKEN_BAD_HEADER;
	if (outcome == TOKEN_OK && !h.has_kid)
		outcome = TOKEN_KEY_UNKNOWN;
	if (outcome == TOKEN_OK)
		outcome = signature_check(keys, allowed, &parts, &h, &key);
	if (outcome != TOKEN_OK)
		return outcome;
	*claims = object_of(parts.payload);
	return *claims == NULL ? TOKEN_BAD_PAYLOAD : TOKEN_OK;
}
