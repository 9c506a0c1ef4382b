/*
 * key.h - inside of the policy engine: condition keys, and the value of a key in a request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_KEY_H
#define TW_KEY_H

#include "policy/policy.h"
#include "policy/scalar.h"
#include "policy/zone.h"

#define CLAIM_DOTS_MAX 8u /* in the path of a claim */

enum key_type {
	TYPE_STRING = 0,
	TYPE_NUMBER,
	TYPE_BOOL,
	TYPE_IP,
	TYPE_DATE,
	TYPE_VERSION,
	TYPE_LOCAL, /* a local time */
	TYPE_ANY, /* what the operator makes of it */
};
enum key_cardinality {
	CARDINALITY_ONE = 0,
	CARDINALITY_MANY,
	CARDINALITY_ANY,
};
/* What stands behind the name of a key. */
enum key_param {
	PARAM_NONE = 0,
	PARAM_CLAIM,
	PARAM_NAME,
	PARAM_ZONE,
	PARAM_WINDOW,
};

struct key_row {
	const char *name; /* with a param: up to and with its separator ("jwt:", "time:Local/") */
	enum key_type type;
	enum key_cardinality cardinality;
	uint32_t on, always; /* bits (1 << enum policy_action): requests that may have it; for which it is never absent */
	int phase;
	enum key_param param;
	const char *meaning;
};
/* "text", "number" ... */
const char *key_type_name(enum key_type type) RETURNS_NONNULL PURE;
/* Row of a key; those of KEY_NONE and KEY_OTHER have an empty name. */
const struct key_row *key_row(enum policy_key key) RETURNS_NONNULL PURE;
/* Names are compared without case, as IAM does; the param is not looked at. KEY_NONE when unknown. */
enum policy_key key_find(struct span name) PURE;

/* Sets of actions with a name (group.def); the first of equal ones. */
struct action_group {
	uint32_t actions;
	const char *meaning; /* "of a manifest": requests, in words */
};
extern const struct action_group action_groups[];
extern const size_t action_group_count;
/* Of exactly these actions; empty when they have no name. */
const char *action_group_meaning(uint32_t actions) RETURNS_NONNULL PURE;

/* A key as a policy names it. */
struct key_ref {
	enum policy_key key;
	struct span param; /* path of a claim, name of an annotation, time zone, window; name of a KEY_OTHER */
	const struct zone *zone; /* of a time zone; NULL: UTC */
};
/* False with a reason when there is no such key. param borrows from name. */
bool key_parse(struct span name, struct key_ref *out, char *err, size_t err_size) NONNULL(2, 3) WUNRES;

/* What is known of a claim by its path (claim.def). */
enum claim_shape {
	SHAPE_SEGMENT = 0, /* one part of a path */
	SHAPE_PATH, /* several */
	SHAPE_TEXT, /* anything */
};
struct claim_row {
	const char *path;
	enum key_type type;
	enum key_cardinality cardinality;
	enum claim_shape shape;
	const char *meaning;
};
extern const struct claim_row claim_rows[];
extern const size_t claim_count;
/* NULL: nothing is known of it. */
const struct claim_row *claim_row(struct span path) PURE;

/* The value of a key in one request. */
struct value {
	enum fact_state state;
	bool many; /* several values: no operator of one value may compare them */
	size_t n; /* how many */
	struct span text; /* the one; may point into buf */
	struct civil local; /* TYPE_LOCAL */
	const struct span *list; /* many: these, or */
	const json_t *array; /* these */
	char buf[40];
};
/* Value i < n in its text form, which may point into buf. UNKNOWN: it has none. */
enum fact_state value_at(const struct value *v, size_t i, struct span *out, char buf[static 40]) NONNULL(1, 3, 4);

#endif
