/*
 * format.h - the canonical text of a policy document, and whether two snapshots decide alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_FORMAT_H
#define TW_FORMAT_H

#include "policy/layout.h"
#include "policy/policy.h"

#define FORMAT_COLUMNS 100u

/*
 * The text of a document that policy_load() accepts, laid out: members of the document and of statements in the order of
 * the manual, everything else in the author's; actions and condition keys in the case of their tables; strings and
 * numbers as they are written; `//` members stay. Of its own result it makes the same again. In the arena; {NULL,0} when
 * out of memory.
 */
struct span policy_format(struct arena *a, struct span text) NONNULL(1) WUNRES;

/* Whether both hold the same statements, zones and sets, in the same order; lines and files are not looked at. */
bool policy_same(const struct policy *a, const struct policy *b) NONNULL(1, 2) PURE;

#endif
