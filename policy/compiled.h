/*
 * compiled.h - inside of the policy engine: what documents are compiled to, and the parts that make and read it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COMPILED_H
#define TW_COMPILED_H

#include "policy/arena.h"
#include "policy/policy.h"

#define PATTERN_MAX    1024u /* bytes of one string of a policy */
#define VARIABLES_MAX  8u /* in one string */
#define CLAIM_DOTS_MAX 8u /* in the path of a claim */

/* Kleene's three values, and "ask me again when the fact is there". NO is zero. */
enum tri {
	TRI_NO = 0,
	TRI_YES,
	TRI_UNKNOWN,
	TRI_LATER,
};

/* ---- keys (key.c) ---- */

enum key_type { TYPE_STRING,
	TYPE_NUMBER,
	TYPE_BOOL,
	TYPE_IP,
	TYPE_DATE };
enum key_cardinality { CARDINALITY_ONE,
	CARDINALITY_MANY };
enum key_presence { PRESENCE_ALWAYS,
	PRESENCE_OPTIONAL };

struct key_row {
	const char *name;
	enum key_type type;
	enum key_cardinality cardinality;
	enum key_presence presence;
	int phase;
	const char *meaning;
};
/* Row of a key; the row of KEY_NONE is what a claim is taken for: an optional string. */
const struct key_row *key_row(enum policy_key key) RETURNS_NONNULL PURE;
/* Names are compared without case, as IAM does. KEY_NONE when unknown. */
enum policy_key key_find(struct span name) PURE;

/* A key as a policy names it: a row of key.def, or jwt:<path of a claim> (then key is KEY_NONE). */
struct key_ref {
	enum policy_key key;
	struct span claim;
};
/* False with a reason when there is no such key. claim borrows from name. */
bool key_parse(struct span name, struct key_ref *out, char *err, size_t err_size) NONNULL(2, 3) WUNRES;

/* The value of a key in one request. */
struct value {
	enum fact_state state;
	bool many; /* several values: no operator of one value may compare them */
	size_t n; /* how many */
	struct span text; /* the one; may point into buf */
	char buf[40];
};
void key_value(const struct policy_request *r, struct key_ref ref, struct value *out) NONNULL(1, 3);

/* ---- patterns (pattern.c): text with * ? ${key} ---- */

enum part_kind { PART_TEXT,
	PART_ANY,
	PART_ONE,
	PART_VARIABLE };
struct part {
	enum part_kind kind;
	struct span text; /* TEXT */
	struct key_ref key; /* VARIABLE */
	unsigned variable; /* VARIABLE: its number in the pattern */
};
struct pattern {
	const struct part *parts;
	size_t n;
};

enum pattern_flags {
	PATTERN_WILDCARDS = 1, /* * and ? match; without it they are refused */
	PATTERN_VARIABLES = 2, /* ${key} stands for a value; without it it is refused */
	PATTERN_SEGMENT = 4, /* when matched: a value must be one path segment [a-z0-9._-]+ */
};
/* Compile a copy of s in the arena. False with a reason. */
bool pattern_compile(struct arena *a, struct span s, unsigned flags, struct pattern *out, char *err, size_t err_size)
    NONNULL(1, 4, 5) WUNRES;
/*
 * Does it match the whole of s? A value put in for a variable never acts as a wildcard. A variable without value
 * matches nothing; with one that must not be used (several values, no path segment): UNKNOWN. *need collects the
 * keys of a LATER.
 */
enum tri pattern_match(const struct pattern *p, unsigned flags, const struct policy_request *r, struct span s,
    uint64_t *need) NONNULL(1, 5) WUNRES;
/* The text before the first part that is not text. */
struct span pattern_prefix(const struct pattern *p) NONNULL(1) PURE;

/* ---- addresses (address.c) ---- */

struct network {
	unsigned char address[16]; /* IPv4 in the first four bytes */
	bool v4; /* ::ffff:a.b.c.d is a.b.c.d */
	unsigned bits;
};
/* A textual address, no zone. */
bool address_parse(struct span s, struct network *out) NONNULL(2) WUNRES;
/* An address or address/bits without host bits. False with a reason. */
bool network_parse(struct span s, struct network *out, char *err, size_t err_size) NONNULL(2, 3) WUNRES;
bool network_contains(const struct network *net, const struct network *address) NONNULL(1, 2) PURE;

/* ---- statements ---- */

enum operator_kind { OPERATOR_STRING,
	OPERATOR_IP,
	OPERATOR_NULL };
struct atom {
	enum operator_kind kind;
	bool negated; /* NULL: the key must be there ("false") */
	unsigned flags; /* STRING: enum pattern_flags */
	struct key_ref key;
	const struct pattern *patterns; /* STRING */
	const struct network *networks; /* IP */
	size_t n;
};
struct statement {
	struct span sid, message;
	bool deny;
	uint32_t actions; /* bit (1u << enum policy_action) */
	const struct pattern *principals, *resources;
	size_t n_principals, n_resources;
	const struct atom *atoms;
	size_t n_atoms;
};
_Static_assert(ACTION_MAX <= 32, "actions are bits of 32");
_Static_assert(KEY_MAX <= 64, "keys are bits of 64");

/* Bits of the actions a pattern ("registry:Push*") names; without case, as IAM does. 0: none. */
uint32_t action_mask(struct span pattern) PURE;

/* ---- the index (index.c) ---- */

struct index_entry {
	uint64_t key;
	const struct statement *statement;
};
struct index {
	struct index_entry *entries;	/* by key, then in the order of the documents */
	size_t n;
};
bool index_build(struct policy *p) NONNULL(1) WUNRES;
/* Every statement whose resources may match, some twice; each bucket in the order of the documents until visit says false. */
typedef bool index_visit(void *ctx, const struct statement *s);
void index_each(const struct index *x, struct span resource, index_visit *visit, void *ctx) NONNULL(1, 3);

struct policy {
	_Atomic(unsigned) refs;
	struct arena *arena;
	struct statement *statements; /* in the order of the documents */
	size_t n, room;
	struct index index[2][ACTION_MAX];	/* of the Allow and the Deny statements of an action */
	char hash[sizeof "sha256:" + 64];
};

/* ---- documents (parse.c) ---- */

struct policy_reader {
	struct policy *policy;
	const struct policy_names *names;
	const struct policy_source *source;
	json_t *sids; /* sid -> "file:line" of the first */
	policy_problem *problem;
	void *ctx;
	size_t problems;
};
/* Add the statements of r->source to r->policy; report every problem. */
void policy_parse(struct policy_reader *r) NONNULL(1);

/* ---- places (locate.c) ---- */

/* Where in a document: a chain from a value up to its root. */
struct place {
	const struct place *up; /* NULL: the document itself */
	const char *key; /* member of an object; NULL: element `index` of an array */
	size_t index;
};
/* Line (from 1) of that value in text, which json_strict() accepted; of the nearest value above when there is none. */
int place_line(struct span text, const struct place *p);

#endif
