/*
 * codec.c - base64 in its one form, PEM, DER, and texts and numbers of JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/signature/parts.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "policy/base64url.h"

bool
unbase64(struct arena *a, struct span text, size_t max, struct span *out)
{
	size_t n = text.n;
	unsigned char *bytes;
	char *url;

	*out = SPAN_NONE;
	if (n == 0 || n % 4 != 0 || n / 4 > max / 3 + 1)
		return false;
	for (unsigned i = 0; i < 2 && text.p[n - 1] == '='; i++)
		n--;
	url = arena_alloc(a, n + 1);
	bytes = arena_alloc(a, BASE64URL_DECODED(n));
	if (url == NULL || bytes == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text.p[i] == '-' || text.p[i] == '_')
			return false;
		url[i] = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
	}
	if (!base64url_decode((struct span){ url, n }, bytes, &out->n) || out->n > max)
		return false;
	out->p = (const char *)bytes;
	return true;
}

json_t *
read_json(struct span text)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o = json_strict(text, JSON_DEPTH, err, sizeof err, NULL);

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

bool
json_int64(const json_t *o, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(o, key);
	struct span s = json_span(o, key);

	*out = 0;
	if (json_is_integer(v)) {
		*out = json_integer_value(v);
		return *out >= 0;
	}
	if (s.n == 0 || s.n > 18)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*out = *out * 10 + (s.p[i] - '0');
	}
	return true;
}

static int
hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
digest_bytes(struct span text, unsigned char out[static 32])
{
	if (text.n != 71 || !span_starts(text, SPAN("sha256:")))
		return false;
	text = span_skip(text, 7);
	for (size_t i = 0; i < 32; i++) {
		int high = hex_value(text.p[2 * i]), low = hex_value(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

void
sha256(struct span s, unsigned char out[static 32])
{
	SHA256((const unsigned char *)(s.p == NULL ? "" : s.p), s.n, out);
}

X509 *
certificate_der(struct span der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	X509 *x = der.n == 0 || der.n > 65536 ? NULL : d2i_X509(NULL, &p, (long)der.n);

	if (x != NULL && p != (const unsigned char *)der.p + der.n) {
		X509_free(x);
		x = NULL;
	}
	ERR_clear_error();
	return x;
}

bool
certificates_pem(struct span pem, STACK_OF(X509) *to)
{
	BIO *bio = pem.n == 0 || pem.n > (1u << 20) ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
	bool ok = bio != NULL, end = false;
	X509 *x;

	while (ok && !end) {
		x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (x == NULL) {
			end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
			ok = end;
		} else if (sk_X509_num(to) >= (int)CHAIN_MAX || sk_X509_push(to, x) <= 0) {
			X509_free(x);
			ok = false;
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	return ok && sk_X509_num(to) > 0;
}

bool
key_hash(EVP_PKEY *key, unsigned char out[static 32])
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	if (n > 0)
		sha256((struct span){ (const char *)der, (size_t)n }, out);
	OPENSSL_free(der);
	return n > 0;
}

void
signing_clear(struct signing *s)
{
	X509_free(s->leaf);
	sk_X509_pop_free(s->chain, X509_free);
	s->leaf = NULL;
	s->chain = NULL;
}
