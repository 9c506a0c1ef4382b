/*
 * grants.h - which manifests of a repository list a blob, so that a blob can be given to those who may pull one of them.
 *
 * Filled by every manifest that is pulled or pushed through here (when anybody asks: see the step `evidence`), config, layers and,
 * of an index, its children. Bounded memory, the least recently used goes; the ledger's database keeps all of it for the next start
 * and for replicas. A miss is no grant.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_GRANTS_H
#define TW_GRANTS_H

#include "gateway/tags/ledger.h"
#include "policy/manifest.h"

#define GRANTS_MAX 16u	/* manifests of one blob in one repository that are kept: the latest */

struct grants;
struct grants *grants_open(struct ledger *l) NONNULL(1) WUNRES;
void grants_free(struct grants *g);

/* A manifest went through here, under this tag (empty: by digest). In memory when this returns; on disk some time later. Any thread. */
void grants_note(struct grants *g, struct span registry, struct span repository, struct span tag, const struct manifest *m)
    NONNULL(1, 5);

/* One that lists a blob (or child). */
struct grant {
	char digest[LEDGER_DIGEST];	/* of the manifest */
	char tag[304];			/* it was last seen under; "": by digest only */
};
/* The latest first; how many. *known: memory has all there is (false: grants_ask() may know more). Any thread. */
size_t grants_find(struct grants *g, struct span registry, struct span repository, struct span blob, struct grant out[static GRANTS_MAX],
    bool *known) NONNULL(1, 5, 6);

/* The same with what the database has. Embedded; spans borrowed until done(), on reply_to's thread, exactly once. */
struct grants_ask {
	struct span registry, repository, blob;
	struct mailbox *reply_to;
	void (*done)(struct grants_ask *a);
	struct grant found[GRANTS_MAX];
	size_t n;
	/* private */
	struct ledger_op op;
	struct grants *grants;
};
void grants_ask(struct grants *g, struct grants_ask *a) NONNULL(1, 2);

#endif
