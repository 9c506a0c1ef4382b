/*
 * ledger_import.c - adopting what upstream has, and showing what is known.
 *
 * An import only adds: what has a record keeps it, whatever upstream says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/ledger_held.h"
#include "gateway/tags/ledger_store.h"

void
ledger_rows_free(struct ledger_row *first)
{
	struct ledger_row *next;

	for (; first != NULL; first = next) {
		next = first->next;
		free(first);
	}
}

static bool
import_new(struct claims *c, struct store *s, struct ledger_op *op)
{
	struct tag_record now = { .state = TAG_CONFIRMED, .claimed_at = op->now };
	struct tag_change change = { "imported", op->found, "" };

	/* a delete of it is under way: whether it is still there then is not known yet */
	if (held_find(c, op, op->tag) != NULL || held_find(c, op, span_of(op->found)) != NULL) {
		op->answer = LEDGER_BUSY;
		return true;
	}
	memcpy(now.digest, op->found, LEDGER_DIGEST);
	op->answer = LEDGER_OK;
	return store_put(s, op, op->tag, &now, &change);
}

static bool
import(struct claims *c, struct store *s, struct ledger_op *op)
{
	const struct held *held = held_find(c, op, op->tag);
	struct tag_record r;
	enum store_found found;

	if (!ledger_digest_valid(op->found) || op->now < 0 || op->tag.n == 0)
		return true;
	found = store_get(s, op, op->tag, &r);
	if (found == STORE_NONE)
		return import_new(c, s, op);
	if (found != STORE_RECORD)
		return found != STORE_FAILED;
	memcpy(op->current_digest, r.digest, LEDGER_DIGEST);
	op->claimed_at = r.claimed_at;
	op->deleted = r.state == TAG_DELETED;
	if (held != NULL && held->kind != HELD_SHARE)
		op->answer = LEDGER_BUSY;
	else if (r.state == TAG_CLAIMED)
		op->answer = LEDGER_UNRESOLVED;
	else
		op->answer = ledger_digest_same(r.digest, op->found) ? LEDGER_SAME : LEDGER_LOCKED;
	return true;
}

static bool
look_at_repository(struct store *s, struct ledger_op *op)
{
	struct repository_record r;

	if (!store_repository(s, op, &r))
		return false;
	op->imported = r.imported;
	op->restored = r.restored;
	op->claimed_at = r.imported_at;
	op->answer = LEDGER_OK;
	return true;
}

static bool
page(const struct claims *c, struct store *s, struct ledger_op *op)
{
	op->page->rows = op->page->last = NULL;
	op->page->more = false;
	if (!store_page(s, op))
		return false;
	for (struct ledger_row *r = op->page->rows; r != NULL; r = r->next) {
		const struct ledger_op key = { .registry = r->registry,
			.repository = r->repository };
		const struct held *h = held_find(c, &key, r->tag);

		r->held = h != NULL && h->kind == HELD_CLAIM;
	}
	op->answer = LEDGER_OK;
	return true;
}

bool
ledger_apply_import(struct claims *c, struct store *s, struct ledger_op *op)
{
	if (op->verb == LEDGER_IMPORT)
		return import(c, s, op);
	if (op->verb == LEDGER_REPOSITORY)
		return look_at_repository(s, op);
	if (op->verb != LEDGER_IMPORT_END)
		return op->page == NULL || page(c, s, op);
	if (op->now < 0)
		return true;
	op->answer = LEDGER_OK;
	return store_put_repository(s, op, !op->drift);
}
