/*
 * ledger_delete.c - deletes: hold what would go, say what that is, tombstones before DELETE is sent, then the end.
 *
 * The first holding is of the tag, or of the digest, and owns the names; every name is held as well, under the same
 * token. After a crash nobody holds anything, and the tombstones that were marked stay.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/ledger_held.h"
#include "gateway/tags/ledger_store.h"

static bool
by_digest(const struct ledger_op *op)
{
	return op->tag.n == 0;
}

/* What the operation deletes, as the table of holdings names it. */
static struct span
target(const struct ledger_op *op)
{
	return by_digest(op) ? span_of(op->digest) : op->tag;
}

void
ledger_names_free(struct ledger_name *first)
{
	struct ledger_name *next;

	for (; first != NULL; first = next) {
		next = first->next;
		free(first);
	}
}

static bool
add_name(struct ledger_name **first, struct span tag, const char digest[static LEDGER_DIGEST],
    bool deleted)
{
	struct ledger_name *n = calloc(1, sizeof *n + tag.n + 1);

	if (n == NULL)
		return false;
	memcpy(n->digest, digest, LEDGER_DIGEST);
	n->deleted = deleted;
	if (tag.n > 0)
		memcpy(n->bytes, tag.p, tag.n);
	n->tag = (struct span){ n->bytes, tag.n };
	n->next = *first;
	*first = n;
	return true;
}

static struct ledger_name *
copy_names(const struct ledger_name *from)
{
	struct ledger_name *first = NULL, **end = &first;

	for (; from != NULL; from = from->next) {
		if (!add_name(end, from->tag, from->digest, from->deleted)) {
			ledger_names_free(first);
			return NULL;
		}
		end = &(*end)->next;
	}
	return first;
}

/* ---- beginning ---- */

struct gathering {
	struct claims *claims;
	struct ledger_op *op;
	struct ledger_name *names;
	unsigned n;
	enum ledger_answer answer; /* LEDGER_OK as long as nothing speaks against it */
};

/* One record that would go. False: it may not, and nothing else matters. */
static bool
gather(void *ctx, struct span tag, const struct tag_record *r)
{
	struct gathering *g = ctx;

	g->answer = LEDGER_DOWN;
	if (held_find(g->claims, g->op, tag) != NULL)
		g->answer = LEDGER_BUSY;
	else if (r->state == TAG_CLAIMED)
		g->answer = LEDGER_UNRESOLVED;
	else if (g->n++ >= LEDGER_NAMES_MAX)
		g->answer = LEDGER_MANY;
	else if (add_name(&g->names, tag, r->digest, r->state == TAG_DELETED))
		g->answer = LEDGER_OK;
	return g->answer == LEDGER_OK;
}

/* False: the database failed. */
static bool
gather_all(struct store *s, struct gathering *g)
{
	struct ledger_op *op = g->op;
	struct tag_record r;
	enum store_found found;

	if (by_digest(op)) {
		found = store_names(s, op, op->digest, gather, g);
	} else {
		found = store_get(s, op, op->tag, &r);
		if (found == STORE_RECORD)
			(void)gather(g, op->tag, &r);
	}
	if (found == STORE_DAMAGED)
		g->answer = LEDGER_DOWN;
	return found != STORE_FAILED;
}

/* Hold the target and every name. On failure nothing of it is held. */
static bool
hold_all(struct claims *c, struct ledger_op *op, struct ledger_name *names)
{
	struct held *first = held_add(c, op, target(op), HELD_DELETE, 0), *h;
	const struct ledger_name *n = names;

	if (first == NULL)
		return false;
	while (n != NULL &&
	    (span_eq(n->tag, op->tag) || held_add(c, op, n->tag, HELD_DELETE, op->token) != NULL))
		n = n->next;
	if (n == NULL) {
		first->names = names;
		return true;
	}
	for (const struct ledger_name *held = names; held != n; held = held->next)
		if ((h = held_mine(c, op, held->tag)) != NULL && h != first)
			held_drop(c, h);
	held_drop(c, first);
	return false;
}

static bool
begin(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct gathering g = { .claims = c, .op = op, .answer = LEDGER_OK };
	struct repository_record repository;

	op->token = 0;
	if (by_digest(op) && !ledger_digest_valid(op->digest))
		return true;
	if (held_find(c, op, target(op)) != NULL) {
		op->answer = LEDGER_BUSY;
		return true;
	}
	if (!gather_all(s, &g) || !store_repository(s, op, &repository)) {
		ledger_names_free(g.names);
		return false;
	}
	if (g.answer == LEDGER_OK && g.names != NULL) {
		op->names = copy_names(g.names);
		if (op->names == NULL)
			g.answer = LEDGER_DOWN;
	}
	if (g.answer != LEDGER_OK || !hold_all(c, op, g.names)) {
		op->answer = g.answer == LEDGER_OK ? LEDGER_DOWN : g.answer;
		ledger_names_free(g.names);
		ledger_names_free(op->names);
		op->names = NULL;
		op->token = 0;
		return true;
	}
	op->imported = repository.imported;
	op->answer = LEDGER_OK;
	return true;
}

/* ---- marking ---- */

static bool
mark_one(struct store *s, struct ledger_op *op, const struct ledger_name *n)
{
	struct tag_record now = { .state = TAG_DELETED, .claimed_at = op->now };
	struct tag_change change = { "deleted", n->digest, n->fresh ? "" : n->digest };

	memcpy(now.digest, n->digest, LEDGER_DIGEST);
	return store_put(s, op, n->tag, &now, &change);
}

static bool
mark(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct held *first = held_mine(c, op, target(op));

	if (first == NULL || first->kind != HELD_DELETE) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	if (op->now < 0)
		return true;
	/* a tag that we did not know: its tombstone is the first we hear of it */
	if (first->names == NULL && !by_digest(op) && ledger_digest_valid(op->found)) {
		if (!add_name(&first->names, op->tag, op->found, false))
			return true;
		first->names->fresh = true;
	}
	for (const struct ledger_name *n = first->names; n != NULL; n = n->next)
		if (!mark_one(s, op, n))
			return false;
	op->answer = LEDGER_OK;
	return true;
}

/* ---- ending ---- */

static const char *
ended(enum ledger_outcome how)
{
	switch (how) {
	case LEDGER_DELETE_UNSURE:
		return "delete-unsure";
	case LEDGER_DELETE_DONE:
		return "delete-done";
	case LEDGER_DELETE_KEPT:
		return "delete-undone";
	}
	return "delete-unsure";
}

/* Only our own tombstone is ended: MARK may never have come, or may not have been kept. */
static bool
end_one(struct store *s, struct ledger_op *op, const struct ledger_name *n)
{
	struct tag_change change = { ended(op->outcome), n->digest, n->fresh ? "" : n->digest };
	enum store_found found;
	struct tag_record r;

	found = store_get(s, op, n->tag, &r);
	if (found != STORE_RECORD || r.state != TAG_DELETED ||
	    !ledger_digest_same(r.digest, n->digest))
		return found != STORE_FAILED;
	if (op->outcome != LEDGER_DELETE_KEPT)
		return store_put(s, op, n->tag, &r, &change);
	r.state = n->deleted ? TAG_DELETED : TAG_CONFIRMED;
	return store_put(s, op, n->tag, n->fresh ? NULL : &r, &change);
}

static bool
end(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct held *first = held_mine(c, op, target(op)), *h;
	bool ok = true;

	if (first == NULL || first->kind != HELD_DELETE) {
		op->answer = LEDGER_ABSENT;
		return true;
	}
	for (const struct ledger_name *n = first->names; n != NULL; n = n->next) {
		ok = ok && end_one(s, op, n);
		if ((h = held_mine(c, op, n->tag)) != NULL && h != first)
			held_drop(c, h);
	}
	held_drop(c, first);
	op->answer = LEDGER_OK;
	return ok;
}

bool
ledger_apply_delete(struct claims *c, struct store *s, struct ledger_op *op)
{
	if (op->verb == LEDGER_DELETE_BEGIN)
		return begin(c, s, op);
	return op->verb == LEDGER_DELETE_MARK ? mark(c, s, op) : end(c, s, op);
}
