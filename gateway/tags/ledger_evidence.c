/*
 * ledger_evidence.c - evidence, blocks and grants in the ledger's database: schema version 3.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/ledger_evidence.h"

#include <stdlib.h>

#include "gateway/tags/ledger_sqlite.h"

#define TRIM_EVERY 1024u /* rows put */
#define TEXT_(x)   #x
#define TEXT(x)	   TEXT_(x)

/* What is put anew gets a new rowid: the lowest ones are the oldest. */
const char ledger_evidence_schema[] =
    "CREATE TABLE evidence_record("
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,"
    "  version TEXT NOT NULL, state TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,"
    "  good TEXT NOT NULL, good_at INTEGER NOT NULL, UNIQUE(digest, kind, source, registry, repository)) STRICT;"
    "CREATE TABLE block_record("
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, kinds INTEGER NOT NULL,"
    "  who TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,"
    "  PRIMARY KEY(registry, repository, digest)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE grant_record("
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, blob TEXT NOT NULL, manifest TEXT NOT NULL, tag TEXT NOT NULL,"
    "  at INTEGER NOT NULL, UNIQUE(registry, repository, blob, manifest)) STRICT;"
    "CREATE INDEX grant_by_blob ON grant_record(blob, registry, repository);";

const char *const ledger_evidence_sql[STATEMENTS] = {
	[EVIDENCE_PUT] = "INSERT OR REPLACE INTO evidence_record(registry, repository, digest, kind, source, version, state, value,"
			 " good, at, until, good_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[EVIDENCE_GET] = "SELECT version, state, value, good, at, until, good_at FROM evidence_record WHERE registry = ?1 AND"
			 " repository = ?2 AND digest = ?3 AND kind = ?4 AND source = ?5",
	[EVIDENCE_TRIM] = "DELETE FROM evidence_record WHERE rowid <= (SELECT max(rowid) FROM evidence_record) - " TEXT(EVIDENCE_ROWS_MAX),
	[BLOCK_PUT] = "INSERT INTO block_record(registry, repository, digest, kind, kinds, who, source, event_id, reason, at)"
		      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET kind = excluded.kind,"
		      " kinds = excluded.kinds, who = excluded.who, source = excluded.source, event_id = excluded.event_id,"
		      " reason = excluded.reason, at = excluded.at",
	[BLOCK_GET] = "SELECT kind, kinds FROM block_record WHERE registry = ?1 AND repository = ?2 AND digest = ?3",
	[BLOCK_END] = "DELETE FROM block_record WHERE registry = ?1 AND repository = ?2 AND digest = ?3",
	[BLOCK_ALL] = "SELECT registry, repository, kind, reason, who, source, event_id, digest, kinds, at FROM block_record"
		      " ORDER BY at, digest, registry, repository",
	[GRANT_PUT] = "INSERT OR REPLACE INTO grant_record(registry, repository, manifest, tag, at, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[GRANT_GET] = "SELECT manifest, tag, at FROM grant_record WHERE registry = ?1 AND repository = ?2 AND blob = ?3"
		      " ORDER BY rowid DESC LIMIT " TEXT(GRANT_ANSWER),
	[GRANT_ALL] = "SELECT registry, repository, tag, '', manifest, '', '', '', '', '', 0, at, 0 FROM grant_record WHERE blob = ?1"
		      " ORDER BY registry, repository, rowid LIMIT ?2",
	[GRANT_TRIM] = "DELETE FROM grant_record WHERE rowid <= (SELECT max(rowid) FROM grant_record) - " TEXT(GRANT_ROWS_MAX),
};

static bool
bind_place(sqlite3_stmt *q, const struct ledger_op *op)
{
	return bind_key(q, op, span_of(op->digest));
}

/* Now and then, in the transaction that is open. */
static bool
trim(struct store *s, unsigned *puts, enum statement how)
{
	if (++*puts < TRIM_EVERY)
		return true;
	*puts = 0;
	return store_run(s, how);
}

/* ---- evidence ---- */

static bool
put_evidence(struct store *s, struct ledger_op *op)
{
	const struct ledger_evidence *e = op->evidence;
	sqlite3_stmt *q = s->stmt[EVIDENCE_PUT];

	if (e->value.n > EVIDENCE_VALUE_MAX || e->good.n > EVIDENCE_VALUE_MAX)
		return true;
	op->answer = LEDGER_OK;
	return store_begin(s) && bind_place(q, op) && bind_span(q, 4, e->kind) && bind_span(q, 5, e->source) &&
	    bind_span(q, 6, e->version) && bind_span(q, 7, e->state) && bind_span(q, 8, e->value) && bind_span(q, 9, e->good) &&
	    bind_number(q, 10, e->at) && bind_number(q, 11, e->until) && bind_number(q, 12, e->good_at) &&
	    store_run(s, EVIDENCE_PUT) && trim(s, &s->evidence_puts, EVIDENCE_TRIM);
}

static bool
keep_evidence(sqlite3_stmt *q, struct ledger_evidence *e)
{
	struct span *const texts[] = { &e->version, &e->state, &e->value, &e->good };
	size_t n = 0;
	char *at;

	for (int i = 0; i < 4; i++)
		n += text_at(q, i).n;
	e->bytes = at = malloc(n + 1);
	if (at == NULL)
		return false;
	for (int i = 0; i < 4; i++)
		*texts[i] = span_keep(&at, text_at(q, i));
	e->at = sqlite3_column_int64(q, 4);
	e->until = sqlite3_column_int64(q, 5);
	e->good_at = sqlite3_column_int64(q, 6);
	return true;
}

static bool
get_evidence(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[EVIDENCE_GET];
	bool ok = true;
	int rc;

	ledger_evidence_clear(op->evidence);
	rc = bind_place(q, op) && bind_span(q, 4, op->evidence->kind) && bind_span(q, 5, op->evidence->source) ? sqlite3_step(q)
													     : SQLITE_ERROR;
	op->answer = LEDGER_ABSENT;
	if (rc == SQLITE_ROW) {
		ok = keep_evidence(q, op->evidence);
		op->answer = ok ? LEDGER_OK : LEDGER_DOWN;
	}
	done(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, "read evidence");
}

/* ---- blocks ---- */

/* Is it like that already? False: the database failed. */
static bool
same_block(struct store *s, const struct ledger_op *op, bool *same)
{
	sqlite3_stmt *q = s->stmt[BLOCK_GET];
	int rc = bind_place(q, op) ? sqlite3_step(q) : SQLITE_ERROR;

	*same = rc == SQLITE_ROW ? span_eq(text_at(q, 0), op->block->kind) && sqlite3_column_int64(q, 1) == op->block->kinds
				 : op->block->kind.n == 0;
	done(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, "read a block");
}

static bool
put_block(struct store *s, struct ledger_op *op)
{
	const struct ledger_block *b = op->block;
	bool ends = b->kind.n == 0, same;
	struct tag_change change = { ends ? "unblocked" : "blocked", op->digest, "" };
	sqlite3_stmt *q = s->stmt[ends ? BLOCK_END : BLOCK_PUT];

	if (!same_block(s, op, &same))
		return false;
	op->answer = same ? LEDGER_SAME : LEDGER_OK;
	if (same)
		return true;
	if (!store_begin(s) || !bind_place(q, op))
		return false;
	if (!ends &&
	    (!bind_span(q, 4, b->kind) || !bind_number(q, 5, b->kinds) || !bind_span(q, 6, op->who) || !bind_span(q, 7, op->source) ||
		!bind_span(q, 8, op->event_id) || !bind_span(q, 9, b->reason) || !bind_number(q, 10, op->now)))
		return false;
	return store_run(s, ends ? BLOCK_END : BLOCK_PUT) && store_remember(s, op, SPAN_NONE, &change);
}

/* A row that cannot be one of ours still blocks what it names, where it can be read at all. */
static struct ledger_block *
read_block(sqlite3_stmt *q)
{
	struct ledger_block *b;
	size_t n = 0;
	char *at;

	for (int i = 0; i < 7; i++)
		n += text_at(q, i).n;
	b = calloc(1, sizeof *b + n);
	if (b == NULL)
		return NULL;
	at = (char *)(b + 1);
	b->registry = span_keep(&at, text_at(q, 0));
	b->repository = span_keep(&at, text_at(q, 1));
	b->kind = span_keep(&at, text_at(q, 2));
	b->reason = span_keep(&at, text_at(q, 3));
	b->who = span_keep(&at, text_at(q, 4));
	b->source = span_keep(&at, text_at(q, 5));
	b->event_id = span_keep(&at, text_at(q, 6));
	if (!store_read_digest(q, 7, false, b->digest))
		b->digest[0] = '\0';
	b->kinds = (unsigned)sqlite3_column_int64(q, 8);
	b->at = sqlite3_column_int64(q, 9);
	return b;
}

static bool
all_blocks(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[BLOCK_ALL];
	struct ledger_block **end = &op->block;
	int rc;

	*end = NULL;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		*end = read_block(q);
		if (*end == NULL)
			break;
		end = &(*end)->next;
	}
	done(q);
	op->answer = LEDGER_OK;
	return rc == SQLITE_DONE || failed(s, "read blocks");
}

/* ---- grants ---- */

static bool
put_grants(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[GRANT_PUT];

	op->answer = LEDGER_OK;
	for (size_t i = 0; i < op->grants->n_blobs; i++)
		if (!store_begin(s) || !bind_place(q, op) || !bind_span(q, 4, op->tag) || !bind_number(q, 5, op->now) ||
		    !bind_span(q, 6, span_of(op->grants->blobs[i])) || !store_run(s, GRANT_PUT) ||
		    !trim(s, &s->grant_puts, GRANT_TRIM))
			return false;
	return true;
}

static bool
get_grants(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[GRANT_GET];
	struct ledger_grants *g = op->grants;
	int rc = bind_place(q, op) ? sqlite3_step(q) : SQLITE_ERROR;

	op->answer = LEDGER_OK;
	for (g->n = 0; rc == SQLITE_ROW && g->n < GRANT_ANSWER; rc = sqlite3_step(q)) {
		struct ledger_grant *found = &g->found[g->n];
		struct span tag = text_at(q, 1);

		if (!store_read_digest(q, 0, false, found->digest) || tag.n >= sizeof found->tag)
			continue;
		memset(found->tag, 0, sizeof found->tag);
		if (tag.n > 0)
			memcpy(found->tag, tag.p, tag.n);
		found->at = sqlite3_column_int64(q, 2);
		g->n++;
	}
	done(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, "read grants");
}

static bool
all_grants(struct store *s, struct ledger_op *op)
{
	sqlite3_stmt *q = s->stmt[GRANT_ALL];
	struct ledger_row **end = &op->page->rows;
	int rc = bind_span(q, 1, span_of(op->digest)) && bind_number(q, 2, op->page->limit) ? sqlite3_step(q) : SQLITE_ERROR;

	*end = op->page->last = NULL;
	for (; rc == SQLITE_ROW; rc = sqlite3_step(q)) {
		*end = store_read_row(q);
		if (*end == NULL)
			break;
		end = &(*end)->next;
	}
	done(q);
	op->answer = LEDGER_OK;
	return rc == SQLITE_DONE || failed(s, "read grants");
}

/* ---- all of them ---- */

bool
store_evidence(struct store *s, struct ledger_op *op)
{
	bool everything = op->verb == LEDGER_BLOCKS;

	if (!everything && (!ledger_digest_valid(op->digest) || op->now < 0))
		return true;
	switch ((int)op->verb) {
	case LEDGER_EVIDENCE_PUT:
		return op->evidence == NULL || put_evidence(s, op);
	case LEDGER_EVIDENCE_GET:
		return op->evidence == NULL || get_evidence(s, op);
	case LEDGER_BLOCK_PUT:
		return op->block == NULL || put_block(s, op);
	case LEDGER_BLOCKS:
		return all_blocks(s, op);
	case LEDGER_GRANT_PUT:
		return op->grants == NULL || put_grants(s, op);
	case LEDGER_GRANT_GET:
		return op->grants == NULL || get_grants(s, op);
	case LEDGER_GRANT_ALL:
		return op->page == NULL || all_grants(s, op);
	}
	return true;
}
