/*
 * view.h - what of an identity the statements of a snapshot can tell apart, so that a small token can stand for a large one.
 *
 * An identity reduced to it gets the same answers from this snapshot: every claim that a statement names is there whole
 * (claims with more than one reading stay so, and those that are elsewhere), and of groups and roles at least one for every
 * principal that they match.
 * Another snapshot may name what was left out: what was reduced is good for views of the same name only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_VIEW_H
#define TW_VIEW_H

#include "policy/policy.h"

#define VIEW_NAME 22u	/* characters: 128 bits, base64url */

struct view;

/* The snapshot must outlive it. NULL when out of memory. */
struct view *view_new(const struct policy *p) NONNULL(1) WUNRES;
void view_free(struct view *v);
/* The same for snapshots that look at the same things; NUL-terminated. */
const char *view_name(const struct view *v) RETURNS_NONNULL NONNULL(1) PURE;

/* The claims that a statement names: a new object. NULL when out of memory. */
json_t *view_claims(const struct view *v, const json_t *claims) NONNULL(1) WUNRES;
/*
 * Of n names of one kind ("group" or "role") at an issuer, those that are needed: keep[i] says which. False when out of
 * memory.
 */
bool view_names(const struct view *v, const char *kind, struct span issuer, const struct span *names, size_t n, bool *keep)
    NONNULL(1, 2) WUNRES;

#endif
