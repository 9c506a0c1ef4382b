/*
 * ledger_page.c - pages of records and of history for those who look: bounded work in one turn of the ledger.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/ledger_sqlite.h"

#define TEXTS 10 /* the columns before the numbers */

/* `*` is any text, `?` any character. */
static bool
matches(struct span pattern, struct span text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			from = t;
		} else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

struct ledger_row *
store_read_row(sqlite3_stmt *q)
{
	struct ledger_row *r;
	struct span text[TEXTS];
	size_t n = 0;
	char *at;

	for (int i = 0; i < TEXTS; i++) {
		text[i] = text_at(q, i);
		n += text[i].n;
	}
	r = calloc(1, sizeof *r + n);
	if (r == NULL)
		return NULL;
	at = r->bytes;
	for (int i = 0; i < TEXTS; i++) {
		if (text[i].n > 0)
			memcpy(at, text[i].p, text[i].n);
		text[i].p = at;
		at += text[i].n;
	}
	r->registry = text[0];
	r->repository = text[1];
	r->tag = text[2];
	r->state = text[3];
	r->digest = text[4];
	r->old_state = text[5];
	r->old_digest = text[6];
	r->who = text[7];
	r->source = text[8];
	r->event_id = text[9];
	r->seq = sqlite3_column_int64(q, TEXTS);
	r->at = sqlite3_column_int64(q, TEXTS + 1);
	r->claimed_at = sqlite3_column_int64(q, TEXTS + 2);
	return r;
}

static bool
is_key(const struct ledger_row *r, const struct ledger_op *op)
{
	return span_eq(r->tag, op->tag) && span_eq(r->repository, op->repository) &&
	    span_eq(r->registry, op->registry);
}

static bool
wanted(const struct ledger_row *r, const struct ledger_op *op)
{
	const struct ledger_page *p = op->page;

	/* the key itself was on the page before, or is all that is asked for */
	if (op->verb == LEDGER_LIST && is_key(r, op) != p->at_key)
		return false;
	return (p->registry.n == 0 || span_eq(p->registry, r->registry)) &&
	    (p->pattern.n == 0 || matches(p->pattern, r->repository));
}

/* One more than the page: whether there is more. */
static bool
bind_page(sqlite3_stmt *q, const struct ledger_op *op)
{
	const struct ledger_page *p = op->page;

	if (op->verb == LEDGER_LIST)
		return bind_key(q, op, op->tag) &&
		    bind_number(q, 4, p->at_key ? 1 : (int64_t)p->limit + 1);
	return bind_key(q, op, op->tag.n == 0 ? p->after_tag : op->tag) &&
	    bind_number(q, 4, (int64_t)p->limit + 1) && bind_number(q, 5, p->after_seq);
}

bool
store_page(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[op->verb == LEDGER_LIST ? LIST
		: op->tag.n == 0			  ? HISTORY
							  : TAG_HISTORY];
	struct ledger_row **end = &op->page->rows, *r;
	unsigned seen = 0;
	int rc;

	rc = bind_page(q, op) ? sqlite3_step(q) : SQLITE_ERROR;
	for (; rc == SQLITE_ROW && seen < op->page->limit; rc = sqlite3_step(q), seen++) {
		r = store_read_row(q);
		if (r == NULL) {
			rc = SQLITE_NOMEM;
			break;
		}
		ledger_rows_free(op->page->last);
		op->page->last = NULL;
		if (!wanted(r, op)) {
			op->page->last = r;
			continue;
		}
		*end = r;
		end = &r->next;
	}
	op->page->more = rc == SQLITE_ROW;
	done(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, "read a page");
}
