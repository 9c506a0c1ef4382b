/*
 * peek.h - GET a manifest of upstream's whole: at most limits.manifest bytes, hashed by us as they come. Or PUT one.
 *
 * For what the gateway wants to know itself: what a tag names, what is behind a digest. One at a time a request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PEEK_H
#define TW_PEEK_H

#include <openssl/evp.h>

#include "gateway/tags/hold.h"
#include "gateway/upstream/exchange.h"

struct request;

struct peek {
	struct span accept;		/* the caller's: media types to ask for; p NULL: every manifest's */
	/* What came, until the next start or peek_clear() */
	enum refuse failed;		/* no answer, or one longer than any manifest may be */
	unsigned status;		/* 0: failed */
	const struct http_head *head;	/* in the request's arena */
	char *bytes;
	size_t n;
	char digest[LEDGER_DIGEST];	/* of a 200 with a body, else empty */
	/* private */
	struct request *request;
	void (*done)(struct peek *p);
	struct exchange *exchange;
	EVP_MD_CTX *md;
	size_t size;
};

/*
 * Ask with every manifest media type. done() comes exactly once, also from inside of this call when nothing can be asked;
 * not after peek_cancel(), and not after the request ended.
 */
void peek_start(struct peek *p, struct request *r, struct span target, void (*done)(struct peek *p)) NONNULL(1, 2, 4);
/* The same with a PUT of the manifest that the request brought: what came is the answer to it. */
void peek_put(struct peek *p, struct request *r, struct span target, void (*done)(struct peek *p)) NONNULL(1, 2, 4);
void peek_cancel(struct peek *p);	/* NULL is fine */
void peek_clear(struct peek *p) NONNULL(1);
/* Only a registry that says so in its own words has no such tag. */
enum probe_result peek_says(const struct peek *p) NONNULL(1);

#endif
