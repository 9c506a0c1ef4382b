/*
 * ledger_rules.c - what each operation of the ledger does to a tag.
 *
 * Between a claim and its end nothing else changes the record: a claim that is held answers every other push at
 * once, a claim that nobody holds lets only its own digest through.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/ledger_store.h"

#define BUCKETS 1024u /* a power of two; as many pushes may be in flight before chains grow */

struct held {
	struct held *next;
	uint64_t token;
	char digest[LEDGER_DIGEST];
	bool again; /* an earlier push of the same digest had left the claim unresolved ... */
	int64_t since; /* ... then */
	bool in_batch; /* not durable yet */
	struct span registry, repository, tag; /* in bytes[] */
	char bytes[];
};

struct claims {
	uint64_t last_token;
	struct held *bucket[BUCKETS];
};

bool
ledger_digest_valid(const char digest[static LEDGER_DIGEST])
{
	if (memcmp(digest, "sha256:", 7) != 0)
		return false;
	for (size_t i = 7; i < LEDGER_DIGEST - 1; i++)
		if (!((digest[i] >= '0' && digest[i] <= '9') || (digest[i] >= 'a' && digest[i] <= 'f')))
			return false;
	return digest[LEDGER_DIGEST - 1] == '\0';
}

static bool
same(const char a[static LEDGER_DIGEST], const char b[static LEDGER_DIGEST])
{
	return strncmp(a, b, LEDGER_DIGEST) == 0;
}

static void
copy(char to[static LEDGER_DIGEST], const char from[static LEDGER_DIGEST])
{
	memcpy(to, from, LEDGER_DIGEST);
}

/* ---- who holds what ---- */

/* FNV-1a; the keys are names that policy let through, and a long chain costs time only. */
static size_t
bucket_of(const struct ledger_op *op)
{
	const struct span part[] = { op->registry, op->repository, op->tag };
	uint64_t h = 14695981039346656037u;

	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; i < part[p].n; i++)
			h = (h ^ (unsigned char)part[p].p[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32) & (BUCKETS - 1);
}

static struct held *
find(const struct claims *c, const struct ledger_op *op)
{
	struct held *h = c->bucket[bucket_of(op)];

	while (h != NULL && !(span_eq(h->tag, op->tag) && span_eq(h->repository, op->repository) && span_eq(h->registry, op->registry)))
		h = h->next;
	return h;
}

static struct span
keep(char **at, struct span s)
{
	struct span kept = { *at, s.n };

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

/* Hold op's tag for op, which learns its token. */
static struct held *
hold(struct claims *c, struct ledger_op *op)
{
	struct held *h = calloc(1, sizeof *h + op->registry.n + op->repository.n + op->tag.n);
	struct held **bucket = &c->bucket[bucket_of(op)];
	char *at;

	if (h == NULL)
		return NULL;
	at = h->bytes;
	h->registry = keep(&at, op->registry);
	h->repository = keep(&at, op->repository);
	h->tag = keep(&at, op->tag);
	copy(h->digest, op->digest);
	h->in_batch = true;
	h->token = op->token = ++c->last_token;
	h->next = *bucket;
	*bucket = h;
	return h;
}

static void
drop(struct claims *c, const struct ledger_op *op, struct held *gone)
{
	struct held **at = &c->bucket[bucket_of(op)];

	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
	free(gone);
}

struct claims *
claims_new(void)
{
	return calloc(1, sizeof(struct claims));
}

/* Forget all holdings that are not durable, or simply all. */
static void
forget(struct claims *c, bool all)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct held **at = &c->bucket[i];

		while (*at != NULL) {
			struct held *h = *at;

			if (all || h->in_batch) {
				*at = h->next;
				free(h);
			} else {
				at = &h->next;
			}
		}
	}
}

void
claims_free(struct claims *c)
{
	if (c != NULL)
		forget(c, true);
	free(c);
}

void
claims_batch_ended(struct claims *c, bool kept)
{
	if (!kept) {
		forget(c, false);
		return;
	}
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct held *h = c->bucket[i]; h != NULL; h = h->next)
			h->in_batch = false;
}

/* ---- verbs of everybody ---- */

/* What a push of op->digest would meet, as long as nothing is written. False: the database failed. */
static bool
look(const struct held *held, enum store_found found, const struct tag_record *r, struct ledger_op *op)
{
	if (found == STORE_FAILED)
		return false;
	if (found == STORE_DAMAGED)
		return true; /* LEDGER_DOWN for this one: neither locked nor absent by accident */
	if (held != NULL) {
		copy(op->current_digest, held->digest);
		op->answer = same(held->digest, op->digest) ? LEDGER_BUSY : LEDGER_CLAIMED_OTHER;
	} else if (found == STORE_NONE) {
		op->answer = LEDGER_ABSENT;
	} else {
		copy(op->current_digest, r->digest);
		op->claimed_at = r->claimed_at;
		if (!r->confirmed)
			op->answer = LEDGER_UNRESOLVED;
		else
			op->answer = same(r->digest, op->digest) ? LEDGER_SAME : LEDGER_LOCKED;
	}
	return true;
}

static bool
claim(struct claims *c, struct store *s, struct ledger_op *op, const struct tag_record *was)
{
	struct tag_record now = { .claimed_at = op->now };
	struct tag_change change = { "claimed", op->digest, now.old_digest };
	enum ledger_answer seen = op->answer;
	struct held *h;

	if (seen == LEDGER_LOCKED && op->overwrite)
		copy(now.old_digest, was->digest);
	else if (seen == LEDGER_UNRESOLVED && same(was->digest, op->digest))
		copy(now.old_digest, was->old_digest);
	else if (seen != LEDGER_ABSENT)
		return true; /* the answer stands */
	op->answer = LEDGER_DOWN;
	h = hold(c, op);
	if (h == NULL)
		return true;
	copy(now.digest, op->digest);
	h->again = seen == LEDGER_UNRESOLVED;
	h->since = was->claimed_at;
	if (!store_put(s, op, &now, &change))
		return false;
	copy(op->current_digest, now.old_digest);
	op->claimed_at = now.claimed_at;
	op->answer = seen == LEDGER_ABSENT ? LEDGER_CLAIMED_NEW : seen == LEDGER_LOCKED ? LEDGER_CLAIMED_OVER
											: LEDGER_CLAIMED_AGAIN;
	return true;
}

/* ---- how a claim ends ---- */

/* The tag names `digest` from now on. */
static bool
confirm(struct store *s, struct ledger_op *op, const struct tag_record *was, const char *what,
    const char digest[static LEDGER_DIGEST])
{
	struct tag_record now = { .confirmed = true, .claimed_at = was->claimed_at };
	struct tag_change change = { what, now.digest, was->old_digest };

	copy(now.digest, digest);
	if (!store_put(s, op, &now, &change))
		return false;
	op->answer = LEDGER_OK;
	return true;
}

/* The claim never was: back to the digest confirmed before it, or to nothing. */
static bool
undo(struct store *s, struct ledger_op *op, const struct tag_record *was, const char *what)
{
	struct tag_record now = { .confirmed = true, .claimed_at = was->claimed_at };
	struct tag_change change = { what, was->digest, was->old_digest };

	copy(now.digest, was->old_digest);
	if (!store_put(s, op, now.digest[0] == '\0' ? NULL : &now, &change))
		return false;
	op->answer = LEDGER_OK;
	return true;
}

/* Nobody holds it any more; something may have been sent until `since`. */
static bool
leave(struct store *s, struct ledger_op *op, const struct tag_record *was, int64_t since)
{
	struct tag_record now = *was;
	struct tag_change change = { "unresolved", was->digest, was->old_digest };

	now.claimed_at = since;
	if (!store_put(s, op, &now, &change))
		return false;
	op->answer = LEDGER_OK;
	return true;
}

/* A clock that went back makes no claim older. */
static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* FOUND, CONFIRM, RELEASE, UNRESOLVE of the claim in *h. */
static bool
end_held(struct store *s, struct ledger_op *op, const struct held *h, const struct tag_record *was)
{
	switch (op->verb) {
	case LEDGER_FOUND:
		if (same(op->found, was->digest))
			return confirm(s, op, was, "found", op->found);
		/* only who is the first may find: an earlier push may still be on its way, an old digest is known */
		if (h->again || was->old_digest[0] != '\0' || !ledger_digest_valid(op->found))
			return leave(s, op, was, later(op->now, was->claimed_at)) && (op->answer = LEDGER_ABSENT, true);
		return confirm(s, op, was, "found", op->found);
	case LEDGER_CONFIRM:
		return confirm(s, op, was, "confirmed", was->digest);
	case LEDGER_RELEASE:
		/* our push did not happen, the earlier one still may have */
		return h->again ? leave(s, op, was, h->since) : undo(s, op, was, "released");
	case LEDGER_UNRESOLVE:
		return leave(s, op, was, later(op->now, was->claimed_at));
	case LEDGER_LOOKUP:
	case LEDGER_CLAIM:
	case LEDGER_SETTLE:
	case LEDGER_ADOPT:
		break;
	}
	return true;
}

/* SETTLE, ADOPT: upstream was asked about a claim that nobody holds. */
static bool
end_unheld(struct store *s, struct ledger_op *op, const struct tag_record *was)
{
	/* the record moved on since upstream was asked */
	if (op->answer != LEDGER_UNRESOLVED || !same(was->digest, op->digest)) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	if (op->verb == LEDGER_ADOPT && same(op->found, was->digest))
		return confirm(s, op, was, "adopted", op->found);
	/* what was sent may still arrive: nothing but its own digest ends a claim early */
	if (op->now < 0 || op->now - was->claimed_at <= op->settle)
		return true;
	if (op->verb == LEDGER_ADOPT && !ledger_digest_valid(op->found)) {
		op->answer = LEDGER_DOWN;
		return true;
	}
	/* a digest that was confirmed once is not forgotten for one that came from elsewhere */
	if (op->verb == LEDGER_SETTLE || was->old_digest[0] != '\0')
		return undo(s, op, was, "settled");
	return confirm(s, op, was, "adopted", op->found);
}

static bool
apply_holder(struct claims *c, struct store *s, struct ledger_op *op, struct held *held)
{
	struct tag_record was;
	enum store_found found;
	bool ok = true;

	if (held == NULL || held->token != op->token) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	found = store_get(s, op, &was);
	if (found == STORE_FAILED)
		ok = false;
	else if (found == STORE_RECORD && !was.confirmed && same(was.digest, held->digest))
		ok = end_held(s, op, held, &was);
	else if (found != STORE_DAMAGED)
		op->answer = LEDGER_ABSENT;
	drop(c, op, held);
	return ok;
}

bool
ledger_apply(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct held *held = find(c, op);
	struct tag_record was = { .confirmed = false };

	op->answer = LEDGER_DOWN;
	op->current_digest[0] = '\0';
	op->claimed_at = 0;
	switch (op->verb) {
	case LEDGER_LOOKUP:
		return look(held, store_get(s, op, &was), &was, op);
	case LEDGER_CLAIM:
		if (!ledger_digest_valid(op->digest) || op->now < 0)
			return true;
		return look(held, store_get(s, op, &was), &was, op) && claim(c, s, op, &was);
	case LEDGER_SETTLE:
	case LEDGER_ADOPT:
		if (!look(held, store_get(s, op, &was), &was, op))
			return false;
		return op->answer == LEDGER_DOWN || end_unheld(s, op, &was);
	case LEDGER_FOUND:
	case LEDGER_CONFIRM:
	case LEDGER_RELEASE:
	case LEDGER_UNRESOLVE:
		return apply_holder(c, s, op, held);
	}
	return true;
}
