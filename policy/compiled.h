/*
 * compiled.h - inside of the policy engine: what documents are compiled to, and the parts that make and read it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COMPILED_H
#define TW_COMPILED_H

#include "policy/address.h"
#include "policy/arena.h"
#include "policy/key.h"
#include "policy/policy.h"
#include "policy/scalar.h"

#define PATTERN_MAX    1024u /* bytes of one string of a policy */
#define VARIABLES_MAX  8u /* in one string */

/* Kleene's three values, and "ask me again when the fact is there". NO is zero. */
enum tri {
	TRI_NO = 0,
	TRI_YES,
	TRI_UNKNOWN,
	TRI_LATER,
};

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
	PATTERN_NOCASE = 8, /* when matched: the case of A-Z does not count */
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
    struct key_set *need) NONNULL(1, 5) WUNRES;
/* The text before the first part that is not text. */
struct span pattern_prefix(const struct pattern *p) NONNULL(1) PURE;

/* ---- statements ---- */

/* In the order of their cost. */
enum operator_kind {
	OPERATOR_NONE = 0,
	OPERATOR_BOOL,
	OPERATOR_NUMBER,
	OPERATOR_DATE,
	OPERATOR_VERSION,
	OPERATOR_STRING,
	OPERATOR_IP,
};
enum compare {
	COMPARE_EQUAL = 0,
	COMPARE_LESS,
	COMPARE_LESS_EQUAL,
	COMPARE_GREATER,
	COMPARE_GREATER_EQUAL,
};
/* How an operator of one value is asked of several. */
enum qualifier {
	QUALIFIER_NONE = 0,
	QUALIFIER_ANY, /* ForAnyValue: */
	QUALIFIER_ALL, /* ForAllValues: */
};
struct operator_row {
	const char *name;
	enum operator_kind kind;
	enum compare compare;
	bool negated;
	unsigned flags; /* STRING: enum pattern_flags */
	const char *meaning;
};
extern const struct operator_row operator_rows[];
extern const size_t operator_count;
/* NULL: no such operator; its case counts, it comes without qualifier and IfExists. */
const struct operator_row *operator_find(struct span name) PURE;

struct atom {
	const struct operator_row *row;
	enum qualifier qualifier;
	bool if_exists;
	bool negated; /* NULL: the key must be there ("false") */
	struct key_ref key;
	struct span op, name; /* operator and key, as written */
	union {
		const struct pattern *patterns; /* STRING */
		const struct network *networks; /* IP */
		const struct number *numbers; /* NUMBER, DATE; BOOL: whole is 0 or 1 */
		const struct version *versions; /* VERSION */
	};
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

struct place;
/* Report what is wrong there. */
void parse_problem(struct policy_reader *r, const struct place *at, const char *fmt, ...) NONNULL(1, 3) PRINTF(3, 4);
void parse_out_of_memory(struct policy_reader *r, const struct place *at) NONNULL(1);
/* One value, or an array of at least one: how many, and each in turn; false after reporting a problem. */
size_t parse_count(const json_t *v) PURE;
typedef bool add_string(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i);
bool parse_strings(struct policy_reader *r, const struct place *at, const char *what, const json_t *v, add_string *add,
    void *to) NONNULL(1, 3, 5);
bool parse_pattern(struct policy_reader *r, const struct place *at, struct span s, unsigned flags, struct pattern *out)
    NONNULL(1, 5);
/* The Condition of a statement (condition.c). */
void condition_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s) NONNULL(1, 4);

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
