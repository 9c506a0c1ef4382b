/*
 * keyset.c - JSON Web Key Sets (RFC 7517, RFC 7518 section 6) to keys of OpenSSL.
 * Invariant: a key in a set is complete, on its curve and of a size worth having; what was skipped cannot verify.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/base64url.h"
#include "policy/json.h"
#include "policy/jws.h"

#define DOCUMENT_MAX	((size_t)1 << 20)
#define KEYS_MAX	64u
#define DEPTH_MAX	16u
#define RSA_BYTES_MIN	(2048u / 8)
#define RSA_BYTES_MAX	(8192u / 8)
#define COORDINATE_MAX	66u
#define ED25519_BYTES	32u
#define KID_MAX		256u
#define RSA_ALGORITHMS \
	(1u << JWS_RS256 | 1u << JWS_RS384 | 1u << JWS_RS512 | 1u << JWS_PS256 | 1u << JWS_PS384 | 1u << JWS_PS512)

struct reader {
	const char *use;	/* besides "sig"; NULL */
	struct keyset *ks;
	size_t index;	/* of the key at hand */
	char *err;
	size_t err_size;
};

PRINTF(2, 3)
static bool
refuse(struct reader *r, const char *fmt, ...)
{
	int n = snprintf(r->err, r->err_size, "key %zu: ", r->index);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < r->err_size)
		vsnprintf(r->err + n, r->err_size - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* A base64url member of at most `size` bytes; 0 after a refusal. */
static size_t
number_of(struct reader *r, const json_t *o, const char *name, unsigned char *out, size_t size)
{
	struct span text = json_span(o, name);
	unsigned char bytes[BASE64URL_DECODED(RSA_BYTES_MAX * 4 / 3 + 8)];
	size_t n;

	if (text.n == 0)
		return refuse(r, "%s is missing", name), 0;
	if (text.n > RSA_BYTES_MAX * 4 / 3 + 4)
		return refuse(r, "%s is longer than any key may be", name), 0;
	if (!base64url_decode(text, bytes, &n))
		return refuse(r, "%s is not base64url", name), 0;
	if (n == 0 || n > size)
		return refuse(r, "%s has %zu bytes, %zu at most", name, n, size), 0;
	memcpy(out, bytes, n);
	return n;
}

static EVP_PKEY *
key_from(struct reader *r, const char *type, OSSL_PARAM_BLD *b)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY_CTX *check = NULL;
	EVP_PKEY *key = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
		refuse(r, "OpenSSL does not accept it as a public %s key", type);
	} else {
		check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
		if (check == NULL || EVP_PKEY_public_check(check) != 1) {
			refuse(r, "the public %s key is not valid", type);
			EVP_PKEY_free(key);
			key = NULL;
		}
	}
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *
rsa_key(struct reader *r, const json_t *o)
{
	unsigned char n_bytes[RSA_BYTES_MAX], e_bytes[8];
	size_t n_size = number_of(r, o, "n", n_bytes, sizeof n_bytes);
	size_t e_size = n_size == 0 ? 0 : number_of(r, o, "e", e_bytes, sizeof e_bytes);
	OSSL_PARAM_BLD *b;
	BIGNUM *n, *e;
	EVP_PKEY *key = NULL;

	if (e_size == 0)
		return NULL;
	if (n_bytes[0] == 0 || e_bytes[0] == 0)
		return refuse(r, "n or e begins with a zero byte"), NULL;
	if (n_size < RSA_BYTES_MIN || (n_size == RSA_BYTES_MIN && n_bytes[0] < 0x80))
		return refuse(r, "an RSA key of fewer than 2048 bits"), NULL;
	if (n_bytes[n_size - 1] % 2 == 0 || e_bytes[e_size - 1] % 2 == 0 || (e_size == 1 && e_bytes[0] < 3))
		return refuse(r, "n is even, or e is even or less than 3"), NULL;
	b = OSSL_PARAM_BLD_new();
	n = BN_bin2bn(n_bytes, (int)n_size, NULL);
	e = BN_bin2bn(e_bytes, (int)e_size, NULL);
	if (b == NULL || n == NULL || e == NULL || OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		refuse(r, "out of memory");
	else
		key = key_from(r, "RSA", b);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static const struct curve {
	const char *name;
	size_t bytes;	/* of a coordinate */
	enum jws_alg alg;
} curves[] = { { "P-256", 32, JWS_ES256 }, { "P-384", 48, JWS_ES384 }, { "P-521", 66, JWS_ES512 } };

static const struct curve *
curve_of(const json_t *o)
{
	for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
		if (span_eq(json_span(o, "crv"), span_of(curves[i].name)))
			return &curves[i];
	return NULL;
}

static EVP_PKEY *
ec_key(struct reader *r, const json_t *o, const struct curve *c)
{
	unsigned char point[1 + 2 * COORDINATE_MAX] = { 4 };	/* uncompressed */
	size_t x = number_of(r, o, "x", point + 1, c->bytes);
	size_t y = x == 0 ? 0 : number_of(r, o, "y", point + 1 + c->bytes, c->bytes);
	OSSL_PARAM_BLD *b;
	EVP_PKEY *key = NULL;

	if (y == 0)
		return NULL;
	if (x != c->bytes || y != c->bytes)
		return refuse(r, "coordinates of %s have %zu bytes each", c->name, c->bytes), NULL;
	b = OSSL_PARAM_BLD_new();
	if (b == NULL || OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, c->name, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * c->bytes) != 1)
		refuse(r, "out of memory");
	else
		key = key_from(r, "EC", b);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static EVP_PKEY *
ed25519_key(struct reader *r, const json_t *o)
{
	unsigned char x[ED25519_BYTES];
	size_t n = number_of(r, o, "x", x, sizeof x);
	EVP_PKEY *key;

	if (n == 0)
		return NULL;
	if (n != sizeof x)
		return refuse(r, "a key of Ed25519 has 32 bytes"), NULL;
	key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, n);
	if (key == NULL)
		refuse(r, "OpenSSL does not accept it as a public Ed25519 key");
	return key;
}

/* The key and what it may verify. *skip: it is for something else. NULL without *skip: refused. */
static EVP_PKEY *
key_of(struct reader *r, const json_t *o, unsigned *algorithms, bool *skip)
{
	struct span kty = json_span(o, "kty"), alg = json_span(o, "alg"), use = json_span(o, "use");
	EVP_PKEY *key = NULL;

	*skip = false;
	if (kty.n == 0)
		return refuse(r, "kty is missing"), NULL;
	if (span_eq(kty, SPAN("oct")))
		return refuse(r, "a shared secret (kty oct) verifies nothing: take it out of the set"), NULL;
	if (json_object_get(o, "use") != NULL && !span_eq(use, SPAN("sig")) &&
	    (r->use == NULL || !span_eq(use, span_of(r->use)))) {
		*skip = true;
		return NULL;
	}
	if (span_eq(kty, SPAN("RSA"))) {
		*algorithms = RSA_ALGORITHMS;
		key = rsa_key(r, o);
	} else if (span_eq(kty, SPAN("EC")) && curve_of(o) != NULL) {
		*algorithms = 1u << curve_of(o)->alg;
		key = ec_key(r, o, curve_of(o));
	} else if (span_eq(kty, SPAN("OKP")) && span_eq(json_span(o, "crv"), SPAN("Ed25519"))) {
		*algorithms = 1u << JWS_EdDSA;
		key = ed25519_key(r, o);
	} else {
		*skip = true;
		return NULL;
	}
	if (json_object_get(o, "alg") != NULL)
		*algorithms &= 1u << jws_alg_parse(alg) & ~(1u << JWS_ALG_NONE);
	if (key != NULL && *algorithms == 0) {	/* for an algorithm we do not verify */
		EVP_PKEY_free(key);
		*skip = true;
		return NULL;
	}
	return key;
}

/* Two keys of one kid: the same key again is fine and dropped; another is not. False after a refusal. */
static bool
kid_is_new(struct reader *r, struct span kid, const EVP_PKEY *key, bool *again)
{
	*again = false;
	for (size_t i = 0; i < r->ks->n; i++) {
		const struct jwk *k = &r->ks->keys[i];

		if (k->kid == NULL || kid.p == NULL || !span_eq(span_of(k->kid), kid))
			continue;
		if (EVP_PKEY_eq(k->key, key) != 1)
			return refuse(r, "its kid is that of another key: no signature would be certain");
		*again = true;
	}
	return true;
}

static bool
add_key(struct reader *r, const json_t *o)
{
	struct span kid = json_span(o, "kid");
	unsigned algorithms = 0;
	bool skip, again;
	EVP_PKEY *key;
	struct jwk *k;

	if (!json_is_object(o))
		return refuse(r, "not an object");
	if (json_object_get(o, "kid") != NULL && (kid.n == 0 || kid.n > KID_MAX))
		return refuse(r, "kid is not a string of 1 to %u bytes", KID_MAX);
	key = key_of(r, o, &algorithms, &skip);
	if (key == NULL)
		return skip;
	if (!kid_is_new(r, kid, key, &again) || again) {
		EVP_PKEY_free(key);
		return again;
	}
	k = &r->ks->keys[r->ks->n];
	*k = (struct jwk){ .algorithms = algorithms, .key = key };
	r->ks->n++;
	if (kid.p != NULL && (k->kid = strndup(kid.p, kid.n)) == NULL)
		return refuse(r, "out of memory");
	return true;
}

static bool
parse(struct reader *r, const json_t *document)
{
	const json_t *keys = json_object_get(document, "keys");

	if (!json_is_array(keys)) {
		snprintf(r->err, r->err_size, "not a JWKS document: no array \"keys\"");
		return false;
	}
	if (json_array_size(keys) > KEYS_MAX) {
		snprintf(r->err, r->err_size, "%zu keys, %u at most", json_array_size(keys), KEYS_MAX);
		return false;
	}
	r->ks->keys = calloc(json_array_size(keys) + 1, sizeof *r->ks->keys);
	if (r->ks->keys == NULL) {
		snprintf(r->err, r->err_size, "out of memory");
		return false;
	}
	for (r->index = 0; r->index < json_array_size(keys); r->index++)
		if (!add_key(r, json_array_get(keys, r->index)))
			return false;
	return true;
}

struct keyset *
keyset_parse(const char *json, size_t n, char *err, size_t err_size)
{
	return keyset_parse_for(NULL, json, n, err, err_size);
}

struct keyset *
keyset_parse_for(const char *use, const char *json, size_t n, char *err, size_t err_size)
{
	struct reader r = { .use = use, .err = err, .err_size = err_size };
	json_t *document;
	bool ok;

	if (n > DOCUMENT_MAX) {
		snprintf(err, err_size, "larger than 1 MiB");
		return NULL;
	}
	document = json_strict((struct span){ json, n }, DEPTH_MAX, err, err_size, NULL);
	if (document == NULL)
		return NULL;
	r.ks = calloc(1, sizeof *r.ks);
	if (r.ks == NULL)
		snprintf(err, err_size, "out of memory");
	else
		atomic_init(&r.ks->refs, 1);
	ok = r.ks != NULL && parse(&r, document);
	json_decref(document);
	if (ok)
		return r.ks;
	keyset_free(r.ks);
	return NULL;
}

struct keyset *
keyset_ref(struct keyset *ks)
{
	atomic_fetch_add_explicit(&ks->refs, 1, memory_order_relaxed);
	return ks;
}

void
keyset_free(struct keyset *ks)
{
	if (ks == NULL || atomic_fetch_sub_explicit(&ks->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < ks->n; i++) {
		free(ks->keys[i].kid);
		EVP_PKEY_free(ks->keys[i].key);
	}
	free(ks->keys);
	free(ks);
}

size_t
keyset_count(const struct keyset *ks)
{
	return ks->n;
}

const char *
keyset_kid(const struct keyset *ks, size_t i)
{
	return i < ks->n && ks->keys[i].kid != NULL ? ks->keys[i].kid : "";
}

bool
keyset_has(const struct keyset *ks, struct span kid)
{
	for (size_t i = 0; i < ks->n; i++)
		if (span_eq(span_of(keyset_kid(ks, i)), kid))
			return true;
	return false;
}

const struct jwk *
keyset_find(const struct keyset *ks, struct span kid, enum jws_alg alg)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; i < ks->n; i++) {
		const struct jwk *k = &ks->keys[i];

		if (!(k->algorithms >> alg & 1u))
			continue;
		if (kid.p != NULL) {
			if (k->kid != NULL && span_eq(span_of(k->kid), kid))
				return k;
		} else if (found != NULL) {
			return NULL;	/* several fit: which one signed is not ours to guess */
		} else {
			found = k;
		}
	}
	return found;
}
