/*
 * ledger_mark.h - inside of the ledger: a line outside of it that says which ledger this is and how far it came.
 *
 * The ledger may be put back from a backup, or lost; the mark is elsewhere (beside the audit log) and is not. It is
 * rewritten after each commit and never forced to disk: a mark that is behind its ledger says nothing, a ledger
 * that is behind its mark was restored.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_MARK_H
#define TW_LEDGER_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/attr.h"

#define LEDGER_ID 32 /* lower-case hex digits */

enum mark_says {
	MARK_BEHIND = 0,	/* the ledger is not the one we know, or not as far: it was restored or replaced */
	MARK_AGREES,
	MARK_NONE,		/* a first start */
};

struct mark;

/* NULL: the file can be neither made nor read; *err says why. */
struct mark *mark_open(const char *path, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
void mark_close(struct mark *m);
/* What it says of ledger `id` that came to `seq`. */
enum mark_says mark_look(const struct mark *m, const char *id, int64_t seq) NONNULL(1, 2) WUNRES;
/* False: it could not be written; the ledger itself is fine. */
bool mark_write(struct mark *m, const char *id, int64_t seq) NONNULL(1, 2) WUNRES;

#endif
