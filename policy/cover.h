/*
 * cover.h - inside of the linter: which Deny is at least as wide as another statement?
 *
 * Looking is by hash, so that a bundle of many statements is not compared each with each. Where there is too much to
 * look at the answer is yes: a linter that is not sure says nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COVER_H
#define TW_COVER_H

#include "policy/compiled.h"

/* What is true of a condition whose key is absent: TRI_YES or TRI_NO. */
enum tri atom_when_absent(const struct atom *a) NONNULL(1) PURE;
bool atom_same_key(const struct atom *a, const struct atom *b) NONNULL(1, 2) PURE;

struct cover;
/* Of the Deny statements of a bundle; NULL when out of memory. */
struct cover *cover_new(const struct bundle *b) NONNULL(1) WUNRES;
void cover_free(struct cover *c);

/*
 * Is there another Deny for at least these actions, and the callers, resources and dates of s, ...
 * ... that is true when the key of the atom is absent, its other conditions being among those of s?
 */
bool cover_of_absence(const struct cover *c, const struct statement *s, const struct atom *a, uint32_t actions)
    NONNULL(1, 2, 3) WUNRES;
/* ... that has no condition? NULL: no. */
const struct statement *cover_whole(const struct cover *c, const struct statement *s, uint32_t actions)
    NONNULL(1, 2) WUNRES;
/* ... that asks for this key in a condition? */
bool cover_by_key(const struct cover *c, const struct statement *s, enum policy_key key, uint32_t actions)
    NONNULL(1, 2) WUNRES;

#endif
