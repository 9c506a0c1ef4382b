/*
 * ledger_store.h - inside of the ledger: rows as a database keeps them, and the rules that change them.
 *
 * ledger.c has the thread and the queue, ledger_rules.c decides, ledger_sqlite.c keeps. One thread calls all of
 * this. Fuzzers put a store of their own under the rules.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_STORE_H
#define TW_LEDGER_STORE_H

#include "gateway/tags/ledger.h"

struct tag_record {
	bool confirmed;				/* or claimed */
	char digest[LEDGER_DIGEST];
	char old_digest[LEDGER_DIGEST];		/* claimed: what was confirmed before, "" for nothing */
	int64_t claimed_at;			/* seconds since the epoch, >= 0 */
};

/* A row of tag_history; key, who, source, event id and time come from the operation. */
struct tag_change {
	const char *what;			/* claimed, found, confirmed, released, settled, adopted, unresolved */
	const char *digest, *old_digest;
};

enum store_found {
	STORE_FAILED = 0,	/* the database did not answer */
	STORE_DAMAGED,		/* there is a row, and it cannot be one that we wrote */
	STORE_NONE,
	STORE_RECORD,
};

struct store;

/* An absolute or relative path. NULL with a one-line reason. */
struct store *store_open(const char *path, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
void store_close(struct store *s);
/* The record of the operation's tag, valid to the last field when STORE_RECORD. */
enum store_found store_get(struct store *s, const struct ledger_op *key, struct tag_record *out)
	NONNULL(1, 2, 3) WUNRES;
/* Within a transaction, which the first change begins: the tag's record (NULL: none any more) and its history. */
bool store_put(struct store *s, const struct ledger_op *key, const struct tag_record *now,
	const struct tag_change *change) NONNULL(1, 2, 4) WUNRES;
/*
 * End what was begun: keep (one fsync, if anything was written) or undo. False when it is not kept, or when the
 * files are not where they were: what is written to a deleted file is lost with us.
 */
bool store_end(struct store *s, bool keep) NONNULL(1) WUNRES;
/* Can it be written to? Changes nothing. */
bool store_works(struct store *s) NONNULL(1) WUNRES;

/*
 * Who holds which claim. In memory only: after a restart nobody holds anything, and every claim is unresolved.
 */
struct claims;

struct claims *claims_new(void) WUNRES;
void claims_free(struct claims *c);
/*
 * Do one operation and set its answer. False when the database failed: undo the whole batch.
 * FOUND, CONFIRM, RELEASE and UNRESOLVE end the holding whatever the answer is: their caller will not come again.
 */
bool ledger_apply(struct claims *c, struct store *s, struct ledger_op *op) NONNULL(1, 2, 3) WUNRES;
/* The batch is durable, or undone: then what was claimed in it is held by nobody. */
void claims_batch_ended(struct claims *c, bool kept) NONNULL(1);

/* "sha256:" and 64 lower-case hex digits, NUL-terminated. */
bool ledger_digest_valid(const char digest[static LEDGER_DIGEST]) PURE;

#endif
