/*
 * logins.h - what the gateway is logged in with at registries: one login for each of them and scope, made by the courier when
 * somebody first needs it, shared by all workers, renewed before it ends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LOGINS_H
#define TW_LOGINS_H

#include "gateway/courier/courier.h"
#include "gateway/setup.h"

/* Immutable but for its two flags; counted by reference, wiped at its end. */
struct credential {
	_Atomic unsigned refs;
	_Atomic bool renewing; /* somebody has asked for the next one */
	_Atomic bool refused; /* the registry did not take it */
	int64_t renew, expires; /* seconds since the epoch */
	struct span authorization; /* value of the field; empty: none is needed */
	char text[];
};
struct credential *credential_ref(struct credential *c) RETURNS_NONNULL NONNULL(1);
/* Any thread; NULL is fine. */
void credential_unref(struct credential *c);
/* Good for another request at this time? */
bool credential_good(const struct credential *c, int64_t now);

struct logins;

/* world may be NULL: the process's environment and files. NULL when out of memory. */
struct login_world;
struct logins *logins_new(struct courier *c, const struct login_world *world) NONNULL(1) WUNRES;
/* The courier has stopped. NULL is fine. */
void logins_free(struct logins *l);

/*
 * Somebody who needs a login. Heap, by login_wait_new(); done() runs once on the thread of reply_to, which then frees it with
 * login_wait_free(). reply_to NULL: nobody waits, it is only to be renewed, and freed when that is done.
 */
struct login_wait {
	struct mail mail;
	struct logins *logins;
	struct mailbox *reply_to;
	void (*done)(struct login_wait *w);
	void *ctx;
	struct setup *setup; /* a reference: `upstream` is its */
	const struct config_upstream *upstream;
	struct credential *credential; /* the answer, a reference; NULL: why */
	char why[200];
	bool anew; /* the one that is there will not do */
	/* private */
	struct login_wait *next;
	size_t scope_n;
	char scope[];
};
struct login_wait *login_wait_new(struct setup *s, const struct config_upstream *u, struct span scope) NONNULL(1, 2) WUNRES;
void login_wait_free(struct login_wait *w);
/* Any thread. */
void logins_ask(struct logins *l, struct login_wait *w) NONNULL(1, 2);

/* ---- one worker's copy: what it used last, found without asking anybody ---- */

struct login_cache;
struct login_cache *login_cache_new(void) WUNRES;
void login_cache_free(struct login_cache *c);
/* Not a reference. NULL: ask. */
struct credential *login_cache_find(struct login_cache *c, const struct config_upstream *u, struct span scope) NONNULL(1, 2);
void login_cache_put(struct login_cache *c, const struct config_upstream *u, struct span scope, struct credential *found)
    NONNULL(1, 2, 4);

#endif
