/*
 * lease.c - upload leases: sealed, so that nothing has to be remembered.
 * Invariant: a lease opens only for the repository it was sealed for, with a key of this cluster, byte for byte.
 *
 * Plain text, integers big-endian: expiry 8 | upstream length 1 | upstream | origin length 2 | origin | url length 2 |
 * url | holder 32.  A nonce is 96 random bits; at 2^32 leases a key the chance of a repeat is 2^-33 (NIST SP 800-38D).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/registry/lease.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "policy/base64url.h"

#define KEYS_MAX     4u
#define SECRET_MIN   32u
#define KEY_SIZE     32u
#define KEY_ID	     4u
#define TAG_SIZE     16u
#define FORMAT	     1 /* first byte of every lease */
#define FRAME	     (1u + KEY_ID + LEASE_NONCE + TAG_SIZE)
#define FIXED	     (8u + 1u + 2u + 2u + LEASE_HOLDER)
#define UPSTREAM_MAX 255u
#define ORIGIN_MAX   512u
#define RAW_MAX	     (LEASE_MAX / 4 * 3)

struct lease_key {
	unsigned char id[KEY_ID], key[KEY_SIZE];
};
struct lease_keys {
	struct lease_key key[KEYS_MAX];
	size_t n;
};

/* HKDF-SHA-256 (RFC 5869) of the secret for one purpose. */
static bool
derive(struct span secret, const char *purpose, unsigned char *out, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	char digest[] = "SHA256";
	OSSL_PARAM params[4];
	bool ok = false;

	if (ctx != NULL) {
		params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
		/* the parameters are read only; OpenSSL's type has no const */
		params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
		    (void *)(uintptr_t)secret.p, secret.n);
		params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose,
		    strlen(purpose));
		params[3] = OSSL_PARAM_construct_end();
		ok = EVP_KDF_derive(ctx, out, n, params) == 1;
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

struct lease_keys *
lease_keys_new(const struct span *secrets, size_t n)
{
	struct lease_keys *k;

	if (n == 0 || n > KEYS_MAX)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return NULL;
	for (; k->n < n; k->n++) {
		struct lease_key *key = &k->key[k->n];

		if (secrets[k->n].n < SECRET_MIN ||
		    !derive(secrets[k->n], "tidewaiter lease key id", key->id, KEY_ID) ||
		    !derive(secrets[k->n], "tidewaiter lease key", key->key, KEY_SIZE)) {
			lease_keys_free(k);
			return NULL;
		}
	}
	return k;
}

void
lease_keys_free(struct lease_keys *k)
{
	if (k == NULL)
		return;
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

bool
lease_holder(struct span issuer, struct span subject, unsigned char out[static LEASE_HOLDER])
{
	const struct span part[2] = { issuer, subject };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < 2; i++) {
		unsigned char length[8];

		for (size_t k = 0; k < 8; k++)
			length[k] = (unsigned char)((uint64_t)part[i].n >> (56 - 8 * k));
		ok = ok && EVP_DigestUpdate(ctx, length, sizeof(length)) == 1 &&
		    EVP_DigestUpdate(ctx, part[i].p, part[i].n) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* ---- the plain text ---- */

static void
write_text(unsigned char **p, struct span s, unsigned length_bytes)
{
	if (length_bytes == 2)
		*(*p)++ = (unsigned char)(s.n >> 8);
	*(*p)++ = (unsigned char)s.n;
	if (s.n > 0)
		memcpy(*p, s.p, s.n);
	*p += s.n;
}

/* plain has room for FIXED and the three texts. */
static size_t
write_plain(const struct lease *l, unsigned char *plain)
{
	unsigned char *p = plain;

	for (unsigned k = 0; k < 8; k++)
		*p++ = (unsigned char)((uint64_t)l->expires >> (56 - 8 * k));
	write_text(&p, l->upstream, 1);
	write_text(&p, l->origin, 2);
	write_text(&p, l->url, 2);
	memcpy(p, l->holder, LEASE_HOLDER);
	return (size_t)(p - plain) + LEASE_HOLDER;
}

static bool
read_text(struct span *in, unsigned length_bytes, struct span *out)
{
	size_t n = 0;

	if (in->n < length_bytes)
		return false;
	for (unsigned k = 0; k < length_bytes; k++)
		n = n << 8 | (unsigned char)in->p[k];
	*in = span_skip(*in, length_bytes);
	if (in->n < n)
		return false;
	*out = (struct span){ in->p, n };
	*in = span_skip(*in, n);
	return true;
}

static bool
read_plain(struct span in, struct lease *out)
{
	uint64_t expires = 0;

	if (in.n < FIXED)
		return false;
	for (unsigned k = 0; k < 8; k++)
		expires = expires << 8 | (unsigned char)in.p[k];
	if (expires > INT64_MAX)
		return false;
	out->expires = (int64_t)expires;
	in = span_skip(in, 8);
	if (!read_text(&in, 1, &out->upstream) || !read_text(&in, 2, &out->origin) || !read_text(&in, 2, &out->url) ||
	    in.n != LEASE_HOLDER)
		return false;
	memcpy(out->holder, in.p, LEASE_HOLDER);
	return true;
}

/* ---- AES-256-GCM ---- */

/* Encrypts or decrypts in place, the repository as associated data; the tag is written, or compared. */
static bool
gcm(const struct lease_key *key, bool seal, const unsigned char *nonce, struct span aad, unsigned char *p, size_t n,
    unsigned char *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len, end = 0;
	bool ok;

	ok = ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, nonce, seal ? 1 : 0) == 1 &&
	    (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, (int)TAG_SIZE, tag) == 1) &&
	    EVP_CipherUpdate(ctx, NULL, &len, (const unsigned char *)aad.p, (int)aad.n) == 1 &&
	    EVP_CipherUpdate(ctx, p, &len, p, (int)n) == 1 && EVP_CipherFinal_ex(ctx, p + len, &end) == 1 &&
	    (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, (int)TAG_SIZE, tag) == 1);
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

struct span
lease_seal(const struct lease_keys *k, const struct lease *l, struct span repository,
    const unsigned char nonce[static LEASE_NONCE], struct arena *a)
{
	size_t n = FIXED + l->upstream.n + l->origin.n + l->url.n;
	unsigned char *raw, *plain;
	char *text;

	if (l->upstream.n > UPSTREAM_MAX || l->origin.n > ORIGIN_MAX || l->url.n > LEASE_URL_MAX || l->expires < 0 ||
	    repository.n == 0 || repository.n > LEASE_BOUND_MAX || FRAME + n > RAW_MAX)
		return SPAN_NONE;
	raw = arena_alloc(a, FRAME + n);
	if (raw == NULL)
		return SPAN_NONE;
	raw[0] = FORMAT;
	memcpy(raw + 1, k->key[0].id, KEY_ID);
	memcpy(raw + 1 + KEY_ID, nonce, LEASE_NONCE);
	plain = raw + 1 + KEY_ID + LEASE_NONCE;
	n = write_plain(l, plain);
	if (!gcm(&k->key[0], true, nonce, repository, plain, n, plain + n))
		return SPAN_NONE;
	text = arena_alloc(a, BASE64URL_ENCODED(FRAME + n));
	if (text == NULL)
		return SPAN_NONE;
	n = base64url_encode(raw, FRAME + n, text);
	return n > LEASE_MAX ? SPAN_NONE : (struct span){ text, n };
}

bool
lease_open(const struct lease_keys *k, struct span text, struct span repository, int64_t now, struct arena *a,
    struct lease *out)
{
	unsigned char *raw, *plain;
	size_t n;

	if (text.n == 0 || text.n > LEASE_MAX || repository.n == 0 || repository.n > LEASE_BOUND_MAX)
		return false;
	raw = arena_alloc(a, BASE64URL_DECODED(text.n));
	if (raw == NULL)
		return false;
	if (!base64url_decode(text, raw, &n) || n <= FRAME || raw[0] != FORMAT)
		return false;
	n -= FRAME;
	plain = raw + 1 + KEY_ID + LEASE_NONCE;
	for (size_t i = 0; i < k->n; i++) {
		if (memcmp(raw + 1, k->key[i].id, KEY_ID) != 0)
			continue;
		return gcm(&k->key[i], false, raw + 1 + KEY_ID, repository, plain, n, plain + n) &&
		    read_plain((struct span){ (const char *)plain, n }, out) && now < out->expires;
	}
	return false;
}
