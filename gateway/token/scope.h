/*
 * scope.h - what a token is asked for and may be used for: sets of actions on repositories.
 *
 * The words are those of the distribution project's token specification (docs/spec/auth/scope.md): a list, separated by spaces,
 * of repository:NAME:ACTION,ACTION and registry:catalog:*. Order and repetition mean nothing. Types, names and actions
 * that this gateway has not are no error: they are not granted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_SCOPE_H
#define TW_TOKEN_SCOPE_H

#include <jansson.h>

#include "policy/arena.h"
#include "policy/policy.h"

#define SCOPES_MAX 32u	/* repositories (and the catalog) of one token */

enum scope_action {
	SCOPE_PULL = 1,
	SCOPE_PUSH = 2,
	SCOPE_DELETE = 4,
	SCOPE_CATALOG = 8,	/* registry:catalog:* */
};
struct scope {
	struct span repository;	/* p == NULL: the catalog */
	unsigned actions;	/* bits of enum scope_action */
};
struct scopes {
	struct scope items[SCOPES_MAX];	/* each repository once */
	size_t n;
};

/* Add what a scope parameter lists. False when it is malformed, or names more than SCOPES_MAX. Spans borrow from text. */
bool scopes_add(struct scopes *s, struct span text) NONNULL(1) WUNRES;
/* "repository:app:pull,push registry:catalog:*"; {NULL,0}: out of memory. */
struct span scopes_text(const struct scopes *s, struct arena *a) NONNULL(1, 2) WUNRES;

/* The `access` claim: an array of {"type","name","actions"}. NULL: out of memory. */
json_t *scopes_access(const struct scopes *s) NONNULL(1) WUNRES;
/* Is that a claim scopes_access() could have made? */
bool access_valid(const json_t *access) PURE;
/* May a token of this access be used for the action on the repository? In doubt not. */
bool access_covers(const json_t *access, enum policy_action action, struct span repository) PURE;

/* The actions of policy that one scope action stands for, ACTION_NONE at the end. */
const enum policy_action *scope_actions(enum scope_action s) RETURNS_NONNULL;

#endif
