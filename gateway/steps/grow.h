/*
 * grow.h - a push to a tag that grows: is it what is there, and more of the same? Asked under the claim, before the PUT.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_GROW_H
#define TW_GROW_H

#include "gateway/refuse.h"
#include "policy/attr.h"
#include "policy/span.h"

struct request;

/*
 * Compare the request's manifest with what upstream has under `tag`, which must be `old` ("": nothing is there), and look
 * at what is new. done() comes once, perhaps at once, unless it is abandoned; the request's message says why not.
 */
void grow_start(struct request *r, struct span tag, const char *old, void (*done)(void *ctx, enum refuse why), void *ctx)
	NONNULL(1, 3, 4);
/* The request is over. */
void grow_abandon(struct request *r) NONNULL(1);

#endif
