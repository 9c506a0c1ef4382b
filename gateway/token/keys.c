/*
 * keys.c - the keys of the gateway's own tokens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/keys.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/base64url.h"

#define COORDINATE 32u

struct token_keys {
	char *pem;	/* of the one that signs, NUL-terminated */
	size_t pem_n;
	char kid[TOKEN_KEYS_MAX][TOKEN_KID + 1];
	size_t n;
	json_t *list;
	char *document;
	struct keyset *set;
};

struct token_keys *
token_keys_new(void)
{
	struct token_keys *k = calloc(1, sizeof *k);

	if (k == NULL)
		return NULL;
	k->list = json_array();
	if (k->list != NULL)
		return k;
	free(k);
	return NULL;
}

void
token_keys_free(struct token_keys *k)
{
	if (k == NULL)
		return;
	if (k->pem != NULL)
		OPENSSL_cleanse(k->pem, k->pem_n);
	free(k->pem);
	free(k->document);
	keyset_free(k->set);
	json_decref(k->list);
	free(k);
}

/* ---- reading one ---- */

/* A key that asks for a passphrase would ask the terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf, (void)size, (void)writing, (void)ctx;
	return 0;
}

static EVP_PKEY *
read_key(struct span pem, bool is_private)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = NULL;

	if (in != NULL)
		key = is_private ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) :
		    PEM_read_bio_PUBKEY(in, NULL, no_passphrase, NULL);
	BIO_free(in);
	ERR_clear_error();
	return key;
}

static bool
is_p256(const EVP_PKEY *key)
{
	char group[32];
	size_t n;

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
	    strcmp(group, "prime256v1") == 0;
}

/* Base32 (RFC 4648 section 6) of 30 bytes of the SHA-256 of the public key's DER, ABCD:EFGH:... */
static bool
fingerprint(EVP_PKEY *key, char out[static TOKEN_KID + 1])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	int len = i2d_PUBKEY(key, &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1;
	size_t n = 0;

	OPENSSL_free(der);
	for (unsigned bit = 0; ok && bit < 240; bit += 5) {
		unsigned two = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

		if (bit > 0 && bit % 20 == 0)
			out[n++] = ':';
		out[n++] = alphabet[two >> (11 - bit % 8) & 31];
	}
	out[n] = '\0';
	return ok;
}

static bool
coordinate(const EVP_PKEY *key, const char *param, char out[static BASE64URL_ENCODED(COORDINATE)])
{
	unsigned char bytes[COORDINATE];
	BIGNUM *bn = NULL;
	bool ok = EVP_PKEY_get_bn_param(key, param, &bn) == 1 && BN_bn2binpad(bn, bytes, COORDINATE) == (int)COORDINATE;

	BN_free(bn);
	if (ok)
		out[base64url_encode(bytes, COORDINATE, out)] = '\0';
	return ok;
}

static bool
add_public(struct token_keys *k, EVP_PKEY *key, const char *kid)
{
	char x[BASE64URL_ENCODED(COORDINATE)], y[BASE64URL_ENCODED(COORDINATE)];

	return coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, x) && coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, y) &&
	    json_array_append_new(k->list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kty", "EC", "crv", "P-256", "use",
	    "sig", "alg", "ES256", "kid", kid, "x", x, "y", y)) == 0;
}

static const char *
add_key(struct token_keys *k, EVP_PKEY *key)
{
	char *kid = k->kid[k->n];

	if (!is_p256(key))
		return "must be an EC key on P-256 (ES256)";
	if (!fingerprint(key, kid))
		return "cannot be read";
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->kid[i], kid) == 0)
			return "is the same key as another one";
	if (!add_public(k, key, kid))
		return "out of memory";
	k->n++;
	return NULL;
}

bool
token_keys_add(struct token_keys *k, struct span pem, bool signs, char *err, size_t err_size)
{
	const char *why = NULL;
	EVP_PKEY *key;

	if (k->n == TOKEN_KEYS_MAX) {
		snprintf(err, err_size, "more than %u keys", TOKEN_KEYS_MAX);
		return false;
	}
	key = read_key(pem, true);
	if (key == NULL && !signs)
		key = read_key(pem, false);
	if (key == NULL)
		why = signs ? "is no private key in PEM, without a passphrase" : "is no key in PEM, without a passphrase";
	else
		why = add_key(k, key);
	EVP_PKEY_free(key);
	if (why == NULL && signs) {
		k->pem = malloc(pem.n + 1);
		if (k->pem == NULL) {
			why = "out of memory";
		} else {
			memcpy(k->pem, pem.p, pem.n);
			k->pem[pem.n] = '\0';
			k->pem_n = pem.n;
		}
	}
	if (why != NULL)
		snprintf(err, err_size, "%s", why);
	return why == NULL;
}

bool
token_keys_seal(struct token_keys *k, char *err, size_t err_size)
{
	json_t *o = json_pack("{s:O}", "keys", k->list);

	k->document = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (k->document == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	k->set = keyset_parse(k->document, strlen(k->document), err, err_size);
	return k->set != NULL;
}

struct span
token_keys_private(const struct token_keys *k)
{
	return (struct span){ k->pem, k->pem_n };
}

const char *
token_keys_kid(const struct token_keys *k)
{
	return k->kid[0];
}

const struct keyset *
token_keys_set(const struct token_keys *k)
{
	return k->set;
}

struct span
token_keys_document(const struct token_keys *k)
{
	return span_of(k->document);
}

char *
token_key_generate(size_t *n)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *out = BIO_new(BIO_s_secmem());
	char *text = NULL, *pem;
	long len;

	if (key != NULL && out != NULL && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(out, &pem);
		text = len > 0 ? malloc((size_t)len) : NULL;
		if (text != NULL) {
			memcpy(text, pem, (size_t)len);
			*n = (size_t)len;
		}
	}
	BIO_free(out);
	EVP_PKEY_free(key);
	return text;
}
