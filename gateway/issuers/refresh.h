/*
 * refresh.h - when a key set is fetched, and how long one is good. Pure: times are arguments.
 *
 * All times are milliseconds of one clock that does not jump. identity.md section 2 has the numbers' sources.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REFRESH_H
#define TW_REFRESH_H

#include "policy/attr.h"
#include "policy/span.h"

#define REFRESH_SECOND		INT64_C(1000)
#define REFRESH_AGE_DEFAULT	(600 * REFRESH_SECOND)
#define REFRESH_AGE_MIN		(60 * REFRESH_SECOND)
#define REFRESH_AGE_MAX		(86400 * REFRESH_SECOND)
#define REFRESH_COOLDOWN	(30 * REFRESH_SECOND)	/* between two fetches for keys that are not known */
#define REFRESH_NEVER		INT64_MIN

struct refresh {
	int64_t stale_limit;	/* a set is forgotten when it is older */
	int64_t lifetime;	/* the set in use is fresh so long */
	int64_t fetched;	/* when it was; REFRESH_NEVER: there is none */
	int64_t due;		/* the next fetch */
	int64_t asked;		/* when a fetch began because somebody asked for a key; REFRESH_NEVER */
	unsigned failures;	/* since the last success */
	bool under_way;
};

/* No set; to be fetched at once. */
void refresh_init(struct refresh *r, int64_t stale_limit, int64_t now) NONNULL(1);
/* A set of that age is there already, from before a restart; false (and nothing changes) when it is too old. */
bool refresh_restore(struct refresh *r, int64_t age, int64_t now) NONNULL(1) WUNRES;
/* Is it time to fetch? Then refresh_begin(). */
bool refresh_due(const struct refresh *r, int64_t now) NONNULL(1) PURE;
void refresh_begin(struct refresh *r) NONNULL(1);
/* A set came that says it is good for max_age seconds; -1: it says nothing. */
void refresh_done(struct refresh *r, int64_t max_age, uint32_t random, int64_t now) NONNULL(1);
void refresh_failed(struct refresh *r, uint32_t random, int64_t now) NONNULL(1);

enum refresh_answer {
	REFRESH_NO = 0,	/* nothing new is to be expected */
	REFRESH_JOIN,	/* a fetch is under way: wait for it */
	REFRESH_BEGIN,	/* begin one, and wait for it */
};
/* Somebody shows a key that is not in the set. */
enum refresh_answer refresh_ask(struct refresh *r, int64_t now) NONNULL(1) WUNRES;
/* Is there a set that is too old to be believed? Then refresh_forget(). */
bool refresh_expired(const struct refresh *r, int64_t now) NONNULL(1) PURE;
void refresh_forget(struct refresh *r) NONNULL(1);
bool refresh_has_keys(const struct refresh *r) NONNULL(1) PURE;
/* When to look again: the next fetch, or the end of the set. INT64_MAX: not by itself. */
int64_t refresh_next(const struct refresh *r) NONNULL(1) PURE;

#endif
