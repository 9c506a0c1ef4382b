/*
 * serving.h - what one worker serves with: a setup, and connections to the upstreams it names.
 *
 * A worker has a current one; a request keeps the one it began with to its end, so that no request ever sees parts of
 * two configurations. References are the worker's thread's own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SERVING_H
#define TW_SERVING_H

#include "gateway/setup.h"
#include "gateway/upstream/storage.h"

struct serving {
	struct setup *setup;			/* a reference */
	const struct config *config;		/* setup's */
	struct upstream **upstreams;		/* as config->upstream */
	struct login_cache *logins;
	struct storage *storage;		/* hosts they send us to */
	struct issuer_table *issuers;		/* a reference; see serving_issuers() */
	unsigned refs;
};

/*
 * Takes a reference to the setup; one reference to the result. May run on another thread than the worker's, which it is
 * then given to. NULL when out of memory.
 */
struct serving *serving_new(struct setup *s, struct loop *loop, struct evdns_base *dns, struct metrics *m)
    NONNULL(1, 2, 3, 4) WUNRES;
struct serving *serving_ref(struct serving *v) RETURNS_NONNULL NONNULL(1);
/* NULL is fine. The last one closes the upstream connections. */
void serving_unref(struct serving *v);
/* The issuers with the keys they have now, until the next call. */
const struct issuer_table *serving_issuers(struct serving *v) RETURNS_NONNULL NONNULL(1);
/* No new request will begin with it: idle upstream connections close now, the others after their exchange. */
void serving_retire(struct serving *v) NONNULL(1);

#endif
