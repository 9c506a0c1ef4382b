/*
 * reload.h - SIGHUP: a new configuration for every worker, or for none.
 *
 * Everything is read, checked and made on the main thread before any worker hears of it: the file, certificates, keys,
 * passwords, key sets, policies, TLS contexts, upstream pools. When something is wrong every problem is logged as
 * file:line: reason and nothing changes. Otherwise each worker swaps at once: requests that run keep what they began
 * with, and live downloads are asked about again (recheck.h).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_RELOAD_H
#define TW_RELOAD_H

#include "gateway/operator/metrics.h"
#include "gateway/worker.h"

struct reload_env {		/* borrowed for the life of the reload */
	struct event_base *base;	/* the main thread's */
	struct worker *const *workers;
	unsigned n_workers;
	struct spool *spool;
	struct issuers *issuers;	/* of the process */
	struct evidence *evidence;	/* likewise */
	struct metrics_view *view;	/* told of what is in force */
	/* It is in force: main thread; the one before is freed afterwards. */
	void (*in_force)(void *ctx, struct setup *s);
	void *ctx;
};

struct reload;

/* Takes over a reference to the setup the workers began with. NULL when out of memory. */
struct reload *reload_new(const struct reload_env *env, struct setup *in_force) NONNULL(1, 2) WUNRES;
/* Begin; while one is under way, another one follows it. */
void reload_begin(struct reload *r) NONNULL(1);
/* No further one begins. */
void reload_stop(struct reload *r) NONNULL(1);
/* Once the workers have settled. */
void reload_free(struct reload *r);
const struct setup *reload_in_force(const struct reload *r) RETURNS_NONNULL NONNULL(1) PURE;

#endif
