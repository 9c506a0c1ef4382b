/*
 * blocks.h - digests that nobody gets: quarantined by an operator (everywhere), or pushed and not through yet (in a repository).
 *
 * All of it is in memory, behind one flag: where nothing is blocked a look costs one load. What changes is on disk before it
 * counts as done: rows of the ledger's database, read back at the start.
 *
 *   QUARANTINED  an operator said so: manifest or blob, in every repository of every upstream
 *   PENDING      a push whose verdict is not there yet (staged, or on-push quarantine)
 *   FAILED       a push that policy refused for its evidence, or in which malware was found; a later one may pass
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_BLOCKS_H
#define TW_BLOCKS_H

#include "gateway/tags/ledger_evidence.h"

#define BLOCKS_MAX 262144u	/* PENDING and FAILED ones; an operator's are not counted */

enum block_kind { BLOCK_NONE = 0, BLOCK_PENDING, BLOCK_FAILED, BLOCK_QUARANTINED };

struct blocks;
/* Reads what there is. NULL with a reason. */
struct blocks *blocks_open(struct ledger *l, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
void blocks_free(struct blocks *b);

/*
 * Called after each change that blocks more than before, in memory already, on the thread that made it: what is on its way can be
 * cut. At most BLOCKS_WATCHERS of them; before anything is changed.
 */
#define BLOCKS_WATCHERS 4u
void blocks_on_change(struct blocks *b, void (*blocked)(void *ctx, struct span registry, struct span repository, struct span digest),
    void *ctx) NONNULL(1, 2);

/* Is anything blocked at all? */
bool blocks_any(const struct blocks *b) NONNULL(1);
/* What is said of this digest there; the strongest of several. registry: as the ledger calls it. Any thread. */
enum block_kind blocks_find(const struct blocks *b, struct span registry, struct span repository, struct span digest) NONNULL(1);

/* How many, for metrics. Any thread. */
size_t blocks_count(const struct blocks *b, enum block_kind kind) NONNULL(1);
/* "pending", "failed", "quarantined"; "" for NONE. */
const char *block_kind_name(enum block_kind kind) RETURNS_NONNULL PURE;
enum block_kind block_kind_parse(struct span name) PURE;
/* Those that wait for evidence (`kinds`), one after the other; borrowed during the call. Any thread. */
void blocks_each_pending(struct blocks *b, void (*each)(void *ctx, struct span registry, struct span repository, const char *digest,
    unsigned kinds), void *ctx) NONNULL(1, 2);

/* One change, durable before done(). Embedded; all spans are borrowed until then. */
struct block_change {
	/* ---- the asker's ---- */
	enum block_kind kind;			/* what it is from now on; NONE: no longer blocked */
	bool everywhere;			/* QUARANTINED, or the end of it: registry and repository are empty */
	struct span registry, repository;
	char digest[LEDGER_DIGEST];
	unsigned kinds;				/* PENDING: bits; it ends when these kinds of evidence are known and good. 0: who made it ends it */
	struct span who, source, event_id, reason;
	int64_t now;
	struct mailbox *reply_to;
	void (*done)(struct block_change *c);	/* on reply_to's thread (NULL: the ledger's), exactly once */
	/* ---- the answer ---- */
	/*
	 * False: the database failed; a block counts in memory all the same, an end of one does not. Nor does a PENDING or FAILED one
	 * that found BLOCKS_MAX there: who gets false must not go on.
	 */
	bool ok;
	bool was;				/* it was blocked before in the same way (or, for NONE, at all) */
	/* ---- private ---- */
	struct ledger_op op;
	struct ledger_block row;
	uint64_t generation;
	struct blocks *blocks;
};
/* Any thread. A block is in memory when this returns, an end of one when done() is called. */
void blocks_change(struct blocks *b, struct block_change *c) NONNULL(1, 2);

#endif
