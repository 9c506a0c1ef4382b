/*
 * ledger_held.h - inside of the ledger: who holds what. In memory only: after a restart nobody holds anything, and
 * every claim is unresolved.
 *
 * One table for tags and for digests under deletion: a tag has no ':' and is never a digest. All that is held of one
 * tag is of one kind: a claim and a delete are alone, shares are many.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_HELD_H
#define TW_LEDGER_HELD_H

#include "gateway/tags/ledger.h"

enum held_kind {
	HELD_CLAIM = 0,
	HELD_SHARE,	/* a push of the digest that is confirmed already */
	HELD_DELETE,
};

struct held {
	struct held *next;
	uint64_t token;
	enum held_kind kind;
	char digest[LEDGER_DIGEST];
	bool again;		/* an earlier push of the same digest had left the claim unresolved ... */
	int64_t since;		/* ... then */
	bool in_batch;		/* not durable yet */
	struct ledger_name *names;	/* the first holding of a delete: what it removes */
	struct span registry, repository, tag;	/* in bytes[] */
	char bytes[];
};

struct claims;

/* Some holding of `tag` (or digest) in the operation's repository; NULL: nobody. */
struct held *held_find(const struct claims *c, const struct ledger_op *op, struct span tag) NONNULL(1, 2);
/* That of op->token. */
struct held *held_mine(const struct claims *c, const struct ledger_op *op, struct span tag) NONNULL(1, 2);
/* Hold it for `token`; 0: a new one, which op learns. NULL when out of memory. */
struct held *held_add(struct claims *c, struct ledger_op *op, struct span tag, enum held_kind kind, uint64_t token)
	NONNULL(1, 2) WUNRES;
void held_drop(struct claims *c, struct held *gone) NONNULL(1, 2);

#endif
