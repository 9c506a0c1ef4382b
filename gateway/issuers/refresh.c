/*
 * refresh.c - when a key set is fetched, and how long one is good.
 * Invariant: at most one fetch is under way, and a failed one never makes a set last longer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/issuers/refresh.h"

#include "gateway/courier/courier.h"

/* Waiting after failures: nothing works without keys, with keys there is time. */
#define RETRY_BARE	REFRESH_SECOND
#define RETRY_BARE_MAX	(60 * REFRESH_SECOND)
#define RETRY		(5 * REFRESH_SECOND)
#define RETRY_MAX	(300 * REFRESH_SECOND)

void
refresh_init(struct refresh *r, int64_t stale_limit, int64_t now)
{
	*r = (struct refresh){ .stale_limit = stale_limit, .fetched = REFRESH_NEVER, .asked = REFRESH_NEVER, .due = now };
}

bool
refresh_has_keys(const struct refresh *r)
{
	return r->fetched != REFRESH_NEVER;
}

bool
refresh_restore(struct refresh *r, int64_t age, int64_t now)
{
	if (age < 0 || age >= r->stale_limit)
		return false;
	r->fetched = now - age;
	r->lifetime = 0;	/* how fresh it is the next fetch will tell */
	return true;
}

bool
refresh_due(const struct refresh *r, int64_t now)
{
	return !r->under_way && now >= r->due;
}

void
refresh_begin(struct refresh *r)
{
	r->under_way = true;
}

void
refresh_done(struct refresh *r, int64_t max_age, uint32_t random, int64_t now)
{
	int64_t lifetime = REFRESH_AGE_DEFAULT;

	if (max_age >= 0)
		lifetime = max_age < REFRESH_AGE_MAX / REFRESH_SECOND ? max_age * REFRESH_SECOND : REFRESH_AGE_MAX;
	if (lifetime < REFRESH_AGE_MIN)
		lifetime = REFRESH_AGE_MIN;
	if (lifetime > r->stale_limit)
		lifetime = r->stale_limit;
	r->under_way = false;
	r->failures = 0;
	r->fetched = now;
	r->lifetime = lifetime;
	/* at 80 %, or up to a tenth before that: replicas do not come together */
	r->due = now + lifetime * 8 / 10 - lifetime / 10 * (int64_t)(random % 1024) / 1024;
}

void
refresh_failed(struct refresh *r, uint32_t random, int64_t now)
{
	bool bare = !refresh_has_keys(r);

	r->under_way = false;
	if (r->failures < UINT16_MAX)
		r->failures++;
	r->due = now + backoff_ms(r->failures, bare ? RETRY_BARE : RETRY, bare ? RETRY_BARE_MAX : RETRY_MAX, random);
}

enum refresh_answer
refresh_ask(struct refresh *r, int64_t now)
{
	if (r->under_way)
		return REFRESH_JOIN;
	/* without keys the next try comes soon by itself, and asking more often helps nobody */
	if (!refresh_has_keys(r) || (r->asked != REFRESH_NEVER && now - r->asked < REFRESH_COOLDOWN))
		return REFRESH_NO;
	r->asked = now;
	return REFRESH_BEGIN;
}

bool
refresh_expired(const struct refresh *r, int64_t now)
{
	return refresh_has_keys(r) && now - r->fetched >= r->stale_limit;
}

void
refresh_forget(struct refresh *r)
{
	r->fetched = REFRESH_NEVER;
}

int64_t
refresh_next(const struct refresh *r)
{
	int64_t at = r->under_way ? INT64_MAX : r->due;

	if (refresh_has_keys(r) && r->fetched + r->stale_limit < at)
		at = r->fetched + r->stale_limit;
	return at;
}
