/*
 * sigv4.c - AWS Signature Version 4.
 * Invariant: keys derived on the way are wiped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>

static const char hex_digits[] = "0123456789abcdef";

void
sigv4_date(int64_t now, char out[static SIGV4_DATE_LEN + 1])
{
	time_t t = (time_t)now;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, SIGV4_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) != SIGV4_DATE_LEN)
		memcpy(out, "19700101T000000Z", SIGV4_DATE_LEN + 1);
}

static void
to_hex(const unsigned char *in, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex_digits[in[i] >> 4];
		out[2 * i + 1] = hex_digits[in[i] & 15];
	}
	out[2 * n] = '\0';
}

bool
sigv4_payload(struct span body, char out[static 65])
{
	unsigned char digest[32];

	if (EVP_Digest(body.p == NULL ? "" : body.p, body.n, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	to_hex(digest, sizeof digest, out);
	return true;
}

static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	    c == '_' || c == '~';
}

struct span
sigv4_encode(struct span s, bool keep_slash, struct arena *a)
{
	static const char upper[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, s.n * 3 + 1);
	size_t n = 0;

	if (out == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_unreserved(s.p[i]) || (keep_slash && c == '/')) {
			out[n++] = s.p[i];
			continue;
		}
		out[n++] = '%';
		out[n++] = upper[c >> 4];
		out[n++] = upper[c & 15];
	}
	return (struct span){ out, n };
}

/* ---- the canonical request ---- */

static int
by_name(const void *x, const void *y)
{
	const struct sigv4_pair *a = x, *b = y;
	size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
	int order = n == 0 ? 0 : memcmp(a->name.p, b->name.p, n);

	if (order == 0 && a->name.n != b->name.n)
		return a->name.n < b->name.n ? -1 : 1;
	if (order != 0)
		return order;
	n = a->value.n < b->value.n ? a->value.n : b->value.n;
	order = n == 0 ? 0 : memcmp(a->value.p, b->value.p, n);
	return order != 0 ? order : (a->value.n > b->value.n) - (a->value.n < b->value.n);
}

/* Encoded first, then sorted: the order is that of the encoded bytes. */
static struct span
canonical_query(const struct sigv4_request *r, struct arena *a)
{
	struct sigv4_pair sorted[SIGV4_QUERY_MAX];
	struct span out = SPAN("");

	for (size_t i = 0; i < r->n_query; i++) {
		sorted[i].name = sigv4_encode(r->query[i].name, false, a);
		sorted[i].value = sigv4_encode(r->query[i].value, false, a);
		if (sorted[i].name.p == NULL || sorted[i].value.p == NULL)
			return SPAN_NONE;
	}
	qsort(sorted, r->n_query, sizeof sorted[0], by_name);
	for (size_t i = 0; i < r->n_query && out.p != NULL; i++)
		out = arena_printf(a, "%.*s%s%.*s=%.*s", SPAN_FMT(out), i > 0 ? "&" : "", SPAN_FMT(sorted[i].name),
		    SPAN_FMT(sorted[i].value));
	return out;
}

/* Runs of blanks are one, none at the ends. */
static struct span
trimmed(struct span s, struct arena *a)
{
	char *out = arena_alloc(a, s.n + 1);
	size_t n = 0;

	if (out == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = s.p[i];
	if (n > 0 && out[n - 1] == ' ')
		n--;
	return (struct span){ out, n };
}

/* "host:x\nx-amz-date:y\n" and "host;x-amz-date". */
static bool
canonical_headers(const struct sigv4_request *r, struct arena *a, struct span *lines, struct span *names)
{
	struct sigv4_pair sorted[SIGV4_HEADERS_MAX];

	*lines = *names = SPAN("");
	memcpy(sorted, r->headers, r->n_headers * sizeof sorted[0]);
	qsort(sorted, r->n_headers, sizeof sorted[0], by_name);
	for (size_t i = 0; i < r->n_headers; i++) {
		struct span value = trimmed(sorted[i].value, a);

		*lines = arena_printf(a, "%.*s%.*s:%.*s\n", SPAN_FMT(*lines), SPAN_FMT(sorted[i].name), SPAN_FMT(value));
		*names = arena_printf(a, "%.*s%s%.*s", SPAN_FMT(*names), i > 0 ? ";" : "", SPAN_FMT(sorted[i].name));
		if (value.p == NULL || lines->p == NULL || names->p == NULL)
			return false;
	}
	return true;
}

/* ---- the signature ---- */

static bool
mac(const unsigned char *key, size_t key_len, struct span text, unsigned char out[static 32])
{
	size_t n = 0;

	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, (const unsigned char *)text.p, text.n, out, 32, &n) != NULL &&
	    n == 32;
}

static bool
sign(const struct sigv4_keys *k, struct span region, struct span service, const char *date, struct span text,
    struct arena *a, char out[static 65])
{
	struct span first = arena_printf(a, "AWS4%.*s", SPAN_FMT(k->secret));
	unsigned char key[32];
	bool ok = first.p != NULL && mac((const unsigned char *)first.p, first.n, (struct span){ date, 8 }, key) &&
	    mac(key, sizeof key, region, key) && mac(key, sizeof key, service, key) &&
	    mac(key, sizeof key, SPAN("aws4_request"), key) && mac(key, sizeof key, text, key);

	if (ok)
		to_hex(key, sizeof key, out);
	OPENSSL_cleanse(key, sizeof key);
	if (first.p != NULL)
		OPENSSL_cleanse((void *)(uintptr_t)first.p, first.n);
	return ok;
}

struct span
sigv4_authorization(const struct sigv4_keys *k, struct span region, struct span service, const char *date,
    const struct sigv4_request *r, struct arena *a)
{
	struct span query, lines, names, path, request, scope, text;
	char digest[65], signature[65];

	if (r->n_query > SIGV4_QUERY_MAX || r->n_headers > SIGV4_HEADERS_MAX || !canonical_headers(r, a, &lines, &names))
		return SPAN_NONE;
	query = canonical_query(r, a);
	path = sigv4_encode(r->path, true, a);
	scope = arena_printf(a, "%.8s/%.*s/%.*s/aws4_request", date, SPAN_FMT(region), SPAN_FMT(service));
	if (query.p == NULL || path.p == NULL || scope.p == NULL)
		return SPAN_NONE;
	request = arena_printf(a, "%.*s\n%.*s\n%.*s\n%.*s\n%.*s\n%.*s", SPAN_FMT(r->method), SPAN_FMT(path), SPAN_FMT(query),
	    SPAN_FMT(lines), SPAN_FMT(names), SPAN_FMT(r->payload));
	if (request.p == NULL || !sigv4_payload(request, digest))
		return SPAN_NONE;
	text = arena_printf(a, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", date, SPAN_FMT(scope), digest);
	if (text.p == NULL || !sign(k, region, service, date, text, a, signature))
		return SPAN_NONE;
	return arena_printf(a, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
	    SPAN_FMT(k->access_key), SPAN_FMT(scope), SPAN_FMT(names), signature);
}
