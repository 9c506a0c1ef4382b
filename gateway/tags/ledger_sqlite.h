/*
 * ledger_sqlite.h - inside of the store: what ledger_sqlite.c and ledger_page.c share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_SQLITE_H
#define TW_LEDGER_SQLITE_H

#include <limits.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "gateway/log.h"
#include "gateway/tags/ledger_mark.h"
#include "gateway/tags/ledger_store.h"

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	GET,
	PUT,
	REMOVE,
	REMEMBER,
	NAMES,
	REPOSITORY,
	PUT_REPOSITORY,
	LIST,
	HISTORY,
	TAG_HISTORY,
	EVIDENCE_PUT,
	EVIDENCE_GET,
	EVIDENCE_TRIM,
	BLOCK_PUT,
	BLOCK_GET,
	BLOCK_END,
	BLOCK_ALL,
	GRANT_PUT,
	GRANT_GET,
	GRANT_ALL,
	GRANT_TRIM,
	STATEMENTS
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *stmt[STATEMENTS];
	char *path, *wal;
	struct stat path_was, wal_was;
	bool told; /* of the failure that still lasts */
	struct mark *mark; /* NULL: none */
	bool mark_told;
	char id[LEDGER_ID + 1];
	int64_t restores; /* how often this ledger was found to be behind its mark */
	int64_t seq, marked; /* the last change, and the one the mark knows */
	unsigned evidence_puts, grant_puts; /* since the last trim */
};

/* The tables of schema version 3, and what is asked of them: ledger_evidence.c. */
extern const char ledger_evidence_schema[];
extern const char *const ledger_evidence_sql[STATEMENTS];

/* ---- of ledger_page.c ---- */
/* A row of ten texts and three numbers, as LIST has them. NULL: out of memory. */
struct ledger_row *store_read_row(sqlite3_stmt *q) NONNULL(1) WUNRES;

/* ---- of ledger_sqlite.c ---- */
/* Run to the end. */
bool store_run(struct store *s, enum statement which) NONNULL(1);
bool store_begin(struct store *s) NONNULL(1) WUNRES;
/* A row of tag_history. */
bool store_remember(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_change *change)
    NONNULL(1, 2, 4) WUNRES;
/* Column `at` as a digest, which may be empty when `none`. */
bool store_read_digest(sqlite3_stmt *q, int at, bool none, char out[static LEDGER_DIGEST]) NONNULL(1) WUNRES;

/* False, and said once. */
static inline bool
failed(struct store *s, const char *doing)
{
	if (!s->told)
		log_error("msg=tag ledger %s: %s: %s", s->path, doing, sqlite3_errmsg(s->db));
	s->told = true;
	return false;
}

static inline bool
bind_span(sqlite3_stmt *q, int at, struct span s)
{
	return s.n <= INT_MAX && sqlite3_bind_text(q, at, s.n == 0 ? "" : s.p, (int)s.n, SQLITE_STATIC) == SQLITE_OK;
}

static inline bool
bind_key(sqlite3_stmt *q, const struct ledger_op *key, struct span tag)
{
	return bind_span(q, 1, key->registry) && bind_span(q, 2, key->repository) && bind_span(q, 3, tag);
}

static inline bool
bind_number(sqlite3_stmt *q, int at, int64_t n)
{
	return sqlite3_bind_int64(q, at, n) == SQLITE_OK;
}

/* Nothing of the caller's stays bound. */
static inline void
done(sqlite3_stmt *q)
{
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
}

static inline struct span
text_at(sqlite3_stmt *q, int at)
{
	const unsigned char *text = sqlite3_column_text(q, at);

	return (struct span){ (const char *)text, text == NULL ? 0 : (size_t)sqlite3_column_bytes(q, at) };
}

#endif
