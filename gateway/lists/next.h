/*
 * next.h - Link: rel="next" (RFC 8288) of an answer: where upstream's next page is.
 *
 * Pure. Vendors write it absolute, as a path, or as a query alone, with parameters of their own in any order. Whatever
 * it says, the next page is at the path that was asked for, and only its query counts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_NEXT_H
#define TW_NEXT_H

#include "gateway/http/head.h"

#define NEXT_TARGET_MAX 2048u	/* it is sealed and comes back in a target of ours */

/* The URI reference of the first link whose relation is `next`; {NULL,0}: there is none, or it is not well formed. */
struct span next_link(const struct http_head *h) NONNULL(1);

/*
 * Path and query to ask upstream for next, given the path that was asked: "/prefix/v2/_catalog". Scheme and host of
 * the reference do not count: upstream may not know by what name we reach it. {NULL,0} when it leads to another path,
 * is not fit for a request line, is too long, or without memory.
 */
struct span next_target(struct span reference, struct span path, struct arena *a) NONNULL(3) WUNRES;

#endif
