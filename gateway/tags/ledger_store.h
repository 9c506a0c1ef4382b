/*
 * ledger_store.h - inside of the ledger: rows as a database keeps them, and the rules that change them.
 *
 * ledger.c has the thread and the queue, ledger_rules.c, ledger_delete.c and ledger_import.c decide, ledger_held.c
 * knows who holds what, ledger_sqlite.c keeps. One thread calls all of this. Fuzzers put a store of their own under
 * the rules.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_STORE_H
#define TW_LEDGER_STORE_H

#include "gateway/tags/ledger.h"

enum tag_state {
	TAG_CLAIMED = 0,
	TAG_CONFIRMED,
	TAG_DELETED,
};

struct tag_record {
	enum tag_state state;
	char digest[LEDGER_DIGEST];
	/* claimed: what the claim stands over; old_digest is "" when there was nothing */
	bool old_deleted;
	char old_digest[LEDGER_DIGEST];
	int64_t claimed_at;			/* seconds since the epoch, >= 0 */
};

/* A row of tag_history; key, who, source, event id and time come from the operation. */
struct tag_change {
	/*
	 * claimed, found, confirmed, released, settled, adopted, unresolved; deleted, delete-done, delete-unsure,
	 * delete-undone; imported, and import-ended with an empty tag
	 */
	const char *what;
	const char *digest, *old_digest;
};

enum store_found {
	STORE_FAILED = 0,	/* the database did not answer */
	STORE_DAMAGED,		/* there is a row, and it cannot be one that we wrote */
	STORE_NONE,
	STORE_RECORD,
};

/* What is known of a repository as a whole. */
struct repository_record {
	bool imported;		/* every tag upstream has, has a record */
	bool restored;		/* the ledger is a backup and this repository was not imported since */
	int64_t imported_at;
};

struct store;

/* An absolute or relative path; mark: see ledger_open(). NULL with a one-line reason. */
struct store *store_open(const char *path, const char *mark, char *err, size_t err_size) NONNULL(1, 3) WUNRES;
void store_close(struct store *s);
/* The record of (the operation's repository, tag), valid to the last field when STORE_RECORD. */
enum store_found store_get(struct store *s, const struct ledger_op *key, struct span tag, struct tag_record *out)
	NONNULL(1, 2, 4) WUNRES;
/*
 * Within a transaction, which the first change begins: the record of (the operation's repository, tag) (NULL: none
 * any more) and its history.
 */
bool store_put(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_record *now,
	const struct tag_change *change) NONNULL(1, 2, 5) WUNRES;
/*
 * Every record of the operation's repository that names `digest`, now or under a claim, until each() says no.
 * STORE_RECORD: all were shown. STORE_NONE: each() said no.
 */
enum store_found store_names(struct store *s, const struct ledger_op *key, const char *digest,
	bool (*each)(void *ctx, struct span tag, const struct tag_record *r), void *ctx) NONNULL(1, 2, 3, 4) WUNRES;
/* False: the database failed. */
bool store_repository(struct store *s, const struct ledger_op *key, struct repository_record *out)
	NONNULL(1, 2, 3) WUNRES;
/* All tags of the repository have records by now: it takes new ones. imported: and no record differs. */
bool store_put_repository(struct store *s, const struct ledger_op *key, bool imported) NONNULL(1, 2) WUNRES;
/* LIST and HISTORY: fill op->page. False: the database failed, or no memory. */
bool store_page(struct store *s, struct ledger_op *op) NONNULL(1, 2) WUNRES;
/* EVIDENCE_*, BLOCK*, GRANT_*: do it and set op->answer (LEDGER_DOWN when it is not asked as it must be). False: the database failed. */
bool store_evidence(struct store *s, struct ledger_op *op) NONNULL(1, 2) WUNRES;
/*
 * End what was begun: keep (one fsync, if anything was written) or undo. False when it is not kept, or when the
 * files are not where they were: what is written to a deleted file is lost with us.
 */
bool store_end(struct store *s, bool keep) NONNULL(1) WUNRES;
/* Can it be written to? Changes nothing. */
bool store_works(struct store *s) NONNULL(1) WUNRES;

struct claims;

struct claims *claims_new(void) WUNRES;
void claims_free(struct claims *c);
/*
 * Do one operation and set its answer. False when the database failed: undo the whole batch.
 * FOUND, CONFIRM, RELEASE, UNRESOLVE and DELETE_END end the holding whatever the answer is: their caller will not
 * come again.
 */
bool ledger_apply(struct claims *c, struct store *s, struct ledger_op *op) NONNULL(1, 2, 3) WUNRES;
/* The batch is durable, or undone: then what was claimed in it is held by nobody. */
void claims_batch_ended(struct claims *c, bool kept) NONNULL(1);

/* Parts of ledger_apply(), in ledger_delete.c and ledger_import.c; op is cleared for its answer (LEDGER_DOWN). */
bool ledger_apply_delete(struct claims *c, struct store *s, struct ledger_op *op) NONNULL(1, 2, 3) WUNRES;
bool ledger_apply_import(struct claims *c, struct store *s, struct ledger_op *op) NONNULL(1, 2, 3) WUNRES;

#endif
