/*
 * signer.h - for tests: makes compact JWSs, good ones and bad ones, over EVP and without the code under test.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_SIGNER_H
#define TW_TESTS_SIGNER_H

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/attr.h"
#include "policy/span.h"

#define SIGNER_MAX 65536u

/* base64url without padding, by OpenSSL's base64; returns the length, writes a NUL. */
static inline size_t
signer_b64(const unsigned char *in, size_t n, char *out)
{
	size_t len = (size_t)EVP_EncodeBlock((unsigned char *)out, in, (int)n);

	while (len > 0 && out[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	out[len] = '\0';
	return len;
}

/* A JWS signature over n bytes (EC: r || s, or DER when asked); digest NULL for EdDSA. Returns the length. */
static inline size_t
signer_sign_as(EVP_PKEY *key, const char *digest, bool pss, const void *text, size_t n, bool der, unsigned char *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey = NULL;
	unsigned char sig[1024];
	const unsigned char *p = sig;
	size_t size = sizeof sig;
	int half = (EVP_PKEY_get_bits(key) + 7) / 8;
	ECDSA_SIG *ec;

	EVP_DigestSignInit_ex(ctx, &pkey, digest, NULL, NULL, key, NULL);
	if (pss) {
		EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST);
	}
	EVP_DigestSign(ctx, sig, &size, text, n);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || der) {
		memcpy(out, sig, size);
		return size;
	}
	ec = d2i_ECDSA_SIG(NULL, &p, (long)size);
	BN_bn2binpad(ECDSA_SIG_get0_r(ec), out, half);
	BN_bn2binpad(ECDSA_SIG_get0_s(ec), out + half, half);
	ECDSA_SIG_free(ec);
	return 2 * (size_t)half;
}

/* RS256 or ES256, as the key is. */
static inline size_t
signer_sign(EVP_PKEY *key, const void *text, size_t n, bool der, unsigned char *out)
{
	return signer_sign_as(key, "SHA256", false, text, n, der, out);
}

/* header.payload, then the signature by key; NUL-terminated. out has SIGNER_MAX bytes. */
static inline size_t
signer_token(EVP_PKEY *key, struct span header, struct span payload, bool der, char *out)
{
	unsigned char sig[1024];
	size_t n = signer_b64((const unsigned char *)header.p, header.n, out), sig_n;

	out[n++] = '.';
	n += signer_b64((const unsigned char *)payload.p, payload.n, out + n);
	sig_n = signer_sign(key, out, n, der, sig);
	out[n++] = '.';
	return n + signer_b64(sig, sig_n, out + n);
}

static inline void
signer_number(const EVP_PKEY *key, const char *param, int size, char *out)
{
	unsigned char bytes[1024];
	BIGNUM *bn = NULL;

	EVP_PKEY_get_bn_param(key, param, &bn);
	if (size == 0)
		size = BN_num_bytes(bn);
	BN_bn2binpad(bn, bytes, size);
	signer_b64(bytes, (size_t)size, out);
	BN_free(bn);
}

/* The public key as a JWK, with `more` ("\"kid\":\"x\",") as its first members. */
static inline void
signer_jwk(const EVP_PKEY *key, const char *more, char *out, size_t size)
{
	char a[2048], b[2048];

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
		signer_number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32, a);
		signer_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32, b);
		snprintf(out, size, "{%.256s\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%.43s\",\"y\":\"%.43s\"}", more, a, b);
	} else {
		signer_number(key, OSSL_PKEY_PARAM_RSA_N, 0, a);
		signer_number(key, OSSL_PKEY_PARAM_RSA_E, 0, b);
		snprintf(out, size, "{%.256s\"kty\":\"RSA\",\"n\":\"%.700s\",\"e\":\"%.16s\"}", more, a, b);
	}
}

/* The public (or private) key as PEM text; returns the length. */
static inline size_t
signer_pem(EVP_PKEY *key, bool private_key, char *out, size_t size)
{
	BIO *b = BIO_new(BIO_s_mem());
	int n;

	if (private_key)
		PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	else
		PEM_write_bio_PUBKEY(b, key);
	n = BIO_read(b, out, (int)size - 1);
	BIO_free(b);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

#endif
