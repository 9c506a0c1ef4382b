/*
 * sigv4.h - AWS Signature Version 4: the Authorization of one request.
 * Source: AWS "Signature Version 4 signing process"; its published test suite is tests/unit/test_sigv4.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SIGV4_H
#define TW_SIGV4_H

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

struct sigv4_keys {
	struct span access_key, secret;
	struct span session_token; /* p == NULL: none; else it is sent, and signed, as X-Amz-Security-Token */
};

struct sigv4_pair {
	struct span name, value;
};

struct sigv4_request {
	struct span method;
	struct span path; /* decoded: "/bucket/a b"; what is sent is sigv4_encode() of it */
	const struct sigv4_pair *query; /* decoded, in any order */
	size_t n_query;
	const struct sigv4_pair *headers; /* all that are signed, host and x-amz-date among them; names in lower case */
	size_t n_headers;
	struct span payload; /* SHA-256 of the body, lower-case hex; or UNSIGNED-PAYLOAD */
};
#define SIGV4_HEADERS_MAX 16u
#define SIGV4_QUERY_MAX	  16u

/* "20150830T123600Z" of seconds since the epoch. */
#define SIGV4_DATE_LEN	  16u
void sigv4_date(int64_t now, char out[static SIGV4_DATE_LEN + 1]) NONNULL(2);

/* SHA-256 as lower-case hex; terminated. False when out of memory. */
bool sigv4_payload(struct span body, char out[static 65]) NONNULL(2) WUNRES;

/* Every byte but A-Z a-z 0-9 - . _ ~ (and '/', with keep_slash) as %XX. {NULL,0} when out of memory. */
struct span sigv4_encode(struct span s, bool keep_slash, struct arena *a) NONNULL(3) WUNRES;

/*
 * "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...". date: as sigv4_date() makes it, and as the header
 * says. {NULL,0} when out of memory, or with more headers or parameters than the bounds.
 */
struct span sigv4_authorization(const struct sigv4_keys *k, struct span region, struct span service, const char *date,
    const struct sigv4_request *r, struct arena *a) NONNULL(1, 4, 5, 6) WUNRES;

#endif
