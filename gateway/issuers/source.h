/*
 * source.h - where the keys of one issuer are fetched, and those that came. Inside of issuers/: issuers.h is for the others.
 *
 * Made on any thread, then the courier's thread's own, but for what is marked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SOURCE_KEYS_H
#define TW_SOURCE_KEYS_H

#include <event2/event.h>
#include <stdatomic.h>

#include "gateway/audit/spool.h"
#include "gateway/config/config.h"
#include "gateway/courier/courier.h"
#include "gateway/issuers/issuers.h"
#include "gateway/issuers/refresh.h"

struct key_source;

struct source_env {
	struct courier *courier;
	struct spool *spool;
	const char *directory;		/* of kept sets */
	/* These keys (a reference to take) from now on, NULL: none. False when out of memory: they are not in force. */
	bool (*changed)(void *ctx, struct key_source *s, struct keyset *keys);
	/* A fetch is over. */
	void (*idle)(void *ctx, struct key_source *s);
	void *ctx;
};

struct key_source {
	const struct source_env *env;
	/* options, owned; `same` is all of them in one text: two sources that agree in it are one */
	char *same, *alias, *url, *jwks_url, *ca_file, *bearer_token_file, *path;
	char **hosts;
	size_t n_hosts;
	const char *use;
	bool allow_private;

	/* under the lock of struct issuers */
	struct key_source *next;
	struct keyset *keys;		/* in force; NULL: none */
	unsigned users;			/* views that name it */
	bool wanted;			/* by the configuration in force: to be started */

	/* for all to read */
	_Atomic int64_t fetched;	/* seconds since the epoch; 0: no keys */
	_Atomic unsigned n_keys;
	_Atomic int64_t failures;	/* fetches that failed, ever */
	_Atomic bool fresh;		/* the last fetch went well */

	bool started;
	struct refresh refresh;
	struct event *timer;
	struct errand errand;
	char where[DISCOVERY_URL];	/* being fetched */
	bool discovering;
	int64_t began;
	char *authorization;		/* "Authorization: Bearer ..." of the fetch under way; wiped */
	const char *fields[3];
	char *document;			/* the set in force as it came */
	size_t document_n;
	struct key_wait *waiting;
};

/* With the kept set, when there is a good one. NULL when out of memory. */
struct key_source *source_new(const struct source_env *env, const struct config_issuer *c) NONNULL(1, 2) WUNRES;
/* The text by which it would be known; to be freed. */
char *source_same(const struct config_issuer *c) NONNULL(1) WUNRES;
/* Courier's thread. NULL is fine for source_free(); nothing may be under way. */
void source_start(struct key_source *s) NONNULL(1);
void source_wait(struct key_source *s, struct key_wait *w) NONNULL(1, 2);
bool source_busy(const struct key_source *s) NONNULL(1) PURE;
void source_free(struct key_source *s);

#endif
