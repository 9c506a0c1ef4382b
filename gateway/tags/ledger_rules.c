/*
 * ledger_rules.c - what each operation of the ledger does to a tag.
 *
 * Between a claim and its end nothing else changes the record: a claim that is held answers every other push at
 * once, a claim that nobody holds lets only its own digest through.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/ledger_held.h"
#include "gateway/tags/ledger_store.h"

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

bool
ledger_digest_same(const char a[static LEDGER_DIGEST], const char b[static LEDGER_DIGEST])
{
	return a[0] != '\0' && strncmp(a, b, LEDGER_DIGEST) == 0;
}

static bool
same(const char a[static LEDGER_DIGEST], const char b[static LEDGER_DIGEST])
{
	return ledger_digest_same(a, b);
}

static void
copy(char to[static LEDGER_DIGEST], const char from[static LEDGER_DIGEST])
{
	memcpy(to, from, LEDGER_DIGEST);
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
	if (held != NULL && held->kind == HELD_CLAIM) {
		copy(op->current_digest, held->digest);
		copy(op->old_digest, r->old_digest);
		op->deleted = r->old_deleted;
		op->answer = same(held->digest, op->digest) ? LEDGER_BUSY : LEDGER_CLAIMED_OTHER;
	} else if (found == STORE_NONE) {
		op->answer = LEDGER_ABSENT;
	} else {
		copy(op->current_digest, r->digest);
		op->claimed_at = r->claimed_at;
		copy(op->old_digest, r->old_digest);
		op->deleted = r->state == TAG_DELETED || r->old_deleted;
		if (r->state == TAG_CLAIMED)
			op->answer = LEDGER_UNRESOLVED;
		else
			op->answer = same(r->digest, op->digest) ? LEDGER_SAME : LEDGER_LOCKED;
	}
	return true;
}

/* Is a delete of the tag, or of `digest` under whatever tag, under way? Then everybody else waits. */
static bool
under_delete(const struct claims *c, const struct ledger_op *op, const struct held *held, const char *digest)
{
	return (held != NULL && held->kind == HELD_DELETE) || held_find(c, op, span_of(digest)) != NULL;
}

/* What the claim would stand over, and the answer if it is made. False: the answer that is there stands. */
static bool
may_claim(struct claims *c, struct ledger_op *op, const struct held *held, const struct tag_record *was,
    struct tag_record *now, enum ledger_answer *made)
{
	enum ledger_answer seen = op->answer;

	if (seen == LEDGER_DOWN)
		return false;
	if (under_delete(c, op, held, op->digest)) {
		op->answer = LEDGER_BUSY;
		return false;
	}
	if (seen == LEDGER_ABSENT) {
		*made = LEDGER_CLAIMED_NEW;
		return true;
	}
	if (seen == LEDGER_UNRESOLVED && same(was->digest, op->digest)) {
		copy(now->old_digest, was->old_digest);
		now->old_deleted = was->old_deleted;
		*made = LEDGER_CLAIMED_AGAIN;
		return true;
	}
	/* a tombstone's own digest may always return */
	if ((seen == LEDGER_SAME && op->deleted) || (seen == LEDGER_LOCKED && op->overwrite)) {
		if (held != NULL) {
			op->answer = LEDGER_BUSY;
			return false;
		}
		copy(now->old_digest, was->digest);
		now->old_deleted = op->deleted;
		*made = LEDGER_CLAIMED_OVER;
		return true;
	}
	return false;
}

/* Nothing is written: as long as it is shared, nobody changes or deletes the tag. */
static bool
share(struct claims *c, struct ledger_op *op)
{
	if (held_add(c, op, op->tag, HELD_SHARE, 0) == NULL)
		op->answer = LEDGER_DOWN;
	return true;
}

static bool
claim(struct claims *c, struct store *s, struct ledger_op *op, const struct held *held, const struct tag_record *was)
{
	struct tag_record now = { .claimed_at = op->now };
	struct tag_change change = { "claimed", op->digest, now.old_digest };
	struct repository_record repository;
	enum ledger_answer made = LEDGER_DOWN;
	struct held *h;

	if (!may_claim(c, op, held, was, &now, &made))
		return op->answer == LEDGER_SAME ? share(c, op) : true;
	op->answer = LEDGER_DOWN;
	if (made == LEDGER_CLAIMED_NEW) {
		if (!store_repository(s, op, &repository))
			return false;
		if (repository.restored) {
			op->answer = LEDGER_RESTORED;
			return true;
		}
	}
	h = held_add(c, op, op->tag, HELD_CLAIM, 0);
	if (h == NULL)
		return true;
	copy(now.digest, op->digest);
	h->again = made == LEDGER_CLAIMED_AGAIN;
	h->since = was->claimed_at;
	if (!store_put(s, op, op->tag, &now, &change))
		return false;
	copy(op->current_digest, now.old_digest);
	op->deleted = now.old_deleted;
	op->claimed_at = now.claimed_at;
	op->answer = made;
	return true;
}

/* ---- how a claim ends ---- */

/* The tag names `digest` from now on. */
static bool
confirm(struct store *s, struct ledger_op *op, const struct tag_record *was, const char *what,
    const char digest[static LEDGER_DIGEST])
{
	struct tag_record now = { .state = TAG_CONFIRMED, .claimed_at = was->claimed_at };
	struct tag_change change = { what, now.digest, was->old_digest };

	copy(now.digest, digest);
	return store_put(s, op, op->tag, &now, &change);
}

/* The claim never was: back to what it stands over, or to nothing. */
static bool
undo(struct store *s, struct ledger_op *op, const struct tag_record *was, const char *what)
{
	struct tag_record now = { .state = was->old_deleted ? TAG_DELETED : TAG_CONFIRMED, .claimed_at = was->claimed_at };
	struct tag_change change = { what, was->digest, was->old_digest };

	copy(now.digest, was->old_digest);
	return store_put(s, op, op->tag, now.digest[0] == '\0' ? NULL : &now, &change);
}

/* Nobody holds it any more; something may have been sent until `since`. */
static bool
leave(struct store *s, struct ledger_op *op, const struct tag_record *was, int64_t since)
{
	struct tag_record now = *was;
	struct tag_change change = { "unresolved", was->digest, was->old_digest };

	now.claimed_at = since;
	return store_put(s, op, op->tag, &now, &change);
}

/* A clock that went back makes no claim older. */
static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool
found(const struct claims *c, struct store *s, struct ledger_op *op, const struct held *h, const struct tag_record *was)
{
	if (same(op->found, was->digest))
		return confirm(s, op, was, "found", op->found);
	/* only who is the first may find: an earlier push may still be on its way, an old digest is known */
	if (h->again || was->old_digest[0] != '\0' || !ledger_digest_valid(op->found)) {
		op->answer = LEDGER_ABSENT;
		return leave(s, op, was, later(op->now, was->claimed_at));
	}
	/* it is about to go: there is nothing to be found yet */
	if (under_delete(c, op, NULL, op->found)) {
		op->answer = LEDGER_BUSY;
		return undo(s, op, was, "released");
	}
	return confirm(s, op, was, "found", op->found);
}

/* FOUND, CONFIRM, RELEASE, UNRESOLVE of the claim in *h. */
static bool
end_held(const struct claims *c, struct store *s, struct ledger_op *op, const struct held *h,
    const struct tag_record *was)
{
	op->answer = LEDGER_OK;
	if (op->verb == LEDGER_FOUND)
		return found(c, s, op, h, was);
	if (op->verb == LEDGER_CONFIRM)
		return confirm(s, op, was, "confirmed", was->digest);
	/* our push did not happen, the earlier one still may have */
	if (op->verb == LEDGER_RELEASE)
		return h->again ? leave(s, op, was, h->since) : undo(s, op, was, "released");
	return leave(s, op, was, later(op->now, was->claimed_at));
}

/* SETTLE, ADOPT: upstream was asked about a claim that nobody holds. */
static bool
end_unheld(const struct claims *c, struct store *s, struct ledger_op *op, const struct tag_record *was)
{
	/* the record moved on since upstream was asked */
	if (op->answer != LEDGER_UNRESOLVED || !same(was->digest, op->digest)) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	if (op->verb == LEDGER_ADOPT && under_delete(c, op, NULL, op->found)) {
		op->answer = LEDGER_BUSY;
		return true;
	}
	op->answer = LEDGER_OK;
	if (op->verb == LEDGER_ADOPT && same(op->found, was->digest))
		return confirm(s, op, was, "adopted", op->found);
	/* what was sent may still arrive: nothing but its own digest ends a claim early */
	if (op->now < 0 || op->now - was->claimed_at <= op->settle) {
		op->answer = LEDGER_UNRESOLVED;
		return true;
	}
	if (op->verb == LEDGER_ADOPT && !ledger_digest_valid(op->found)) {
		op->answer = LEDGER_DOWN;
		return true;
	}
	/* a digest that was known once is not forgotten for one that came from elsewhere */
	if (op->verb == LEDGER_SETTLE || was->old_digest[0] != '\0')
		return undo(s, op, was, "settled");
	return confirm(s, op, was, "adopted", op->found);
}

static bool
apply_holder(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct held *held = held_mine(c, op, op->tag);
	struct tag_record was;
	enum store_found seen;
	bool ok = true;

	if (held == NULL || held->kind == HELD_DELETE) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	if (held->kind == HELD_SHARE) {
		/* what is confirmed is neither found nor confirmed again */
		op->answer = op->verb == LEDGER_FOUND ? LEDGER_ABSENT : LEDGER_OK;
		held_drop(c, held);
		return true;
	}
	seen = store_get(s, op, op->tag, &was);
	if (seen == STORE_FAILED)
		ok = false;
	else if (seen == STORE_RECORD && was.state == TAG_CLAIMED && same(was.digest, held->digest))
		ok = end_held(c, s, op, held, &was);
	else if (seen != STORE_DAMAGED)
		op->answer = LEDGER_ABSENT;
	held_drop(c, held);
	return ok;
}

static bool
apply_unheld(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct held *held = held_find(c, op, op->tag);
	struct tag_record was = { .state = TAG_CLAIMED };

	if (!look(held, store_get(s, op, op->tag, &was), &was, op))
		return false;
	if (op->verb == LEDGER_LOOKUP)
		return true;
	if (op->verb == LEDGER_CLAIM)
		return claim(c, s, op, held, &was);
	return op->answer == LEDGER_DOWN || end_unheld(c, s, op, &was);
}

bool
ledger_apply(struct claims *c, struct store *s, struct ledger_op *op)
{
	op->answer = LEDGER_DOWN;
	op->current_digest[0] = op->old_digest[0] = '\0';
	op->claimed_at = 0;
	op->deleted = op->imported = op->restored = false;
	op->names = NULL;
	switch (op->verb) {
	case LEDGER_CLAIM:
		op->token = 0;
		return !ledger_digest_valid(op->digest) || op->now < 0 || apply_unheld(c, s, op);
	case LEDGER_LOOKUP:
	case LEDGER_SETTLE:
	case LEDGER_ADOPT:
		return apply_unheld(c, s, op);
	case LEDGER_FOUND:
	case LEDGER_CONFIRM:
	case LEDGER_RELEASE:
	case LEDGER_UNRESOLVE:
		return apply_holder(c, s, op);
	case LEDGER_DELETE_BEGIN:
	case LEDGER_DELETE_MARK:
	case LEDGER_DELETE_END:
		return ledger_apply_delete(c, s, op);
	case LEDGER_IMPORT:
	case LEDGER_IMPORT_END:
	case LEDGER_REPOSITORY:
	case LEDGER_LIST:
	case LEDGER_HISTORY:
		return ledger_apply_import(c, s, op);
	case LEDGER_EVIDENCE_PUT:
	case LEDGER_EVIDENCE_GET:
	case LEDGER_BLOCK_PUT:
	case LEDGER_BLOCKS:
	case LEDGER_GRANT_PUT:
	case LEDGER_GRANT_GET:
	case LEDGER_GRANT_ALL:
		return store_evidence(s, op);
	}
	return true;
}
