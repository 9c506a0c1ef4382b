/*
 * compiled.h - inside of the policy engine: what documents are compiled to, and the parts that make and read it.
 *
 * Tools that look at statements (linter, who-can, fmt ...) read policy_statement_at() and what hangs below it; all of it
 * is constant and lives as long as the snapshot.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COMPILED_H
#define TW_COMPILED_H

#include "policy/address.h"
#include "policy/arena.h"
#include "policy/key.h"
#include "policy/policy.h"
#include "policy/regex.h"
#include "policy/scalar.h"
#include "policy/set.h"
#include "policy/window.h"
#include "policy/zone.h"

#define POLICY_VERSION "2026-11-01" /* of the language */
#define PATTERN_MAX   1024u /* bytes of one string of a policy */
#define VARIABLES_MAX 8u /* in one string */
#define SETS_MAX      64u /* in a bundle */
#define ZONES_MAX     64u /* Zones of a bundle */

/* Kleene's three values, and "ask me again when the fact is there". NO is zero. */
enum tri {
	TRI_NO = 0,
	TRI_YES,
	TRI_UNKNOWN,
	TRI_LATER,
};

/* What a claim was, the last time it was asked for. */
struct claim_seen {
	const char *path; /* of the snapshot, so that the address tells */
	enum fact_state state;
	bool many;
	size_t n;
	struct span text;
	const json_t *array;
};
#define CLAIMS_SEEN 4u

/* One question while it is answered (eval.c). */
struct evaluation {
	const struct policy *p;
	const struct policy_request *r;
	struct span resource;
	struct key_set need; /* keys of every LATER met */
	struct key_set missing, unknowns; /* keys met absent and unknown */
	const struct statement *lenient; /* being asked, and it has OnUnknown */
	bool leaned; /* ... which was made use of */
	bool swayed; /* after statement_matches(): ... and its answer is another for it */
	struct claim_seen claims[CLAIMS_SEEN]; /* the latest, in turn */
	unsigned n_claims; /* seen so far */
	bool zones_known; /* net:Zone is computed once a question */
	enum fact_state zones_state;
	size_t n_zones;
	struct span zones[ZONES_MAX];
};

/* ---- patterns (pattern.c): text with * ? ${key} ---- */

enum part_kind {
	PART_TEXT,
	PART_ANY,
	PART_ONE,
	PART_VARIABLE,
};
struct part {
	enum part_kind kind;
	struct span text; /* TEXT; VARIABLE: its default, p == NULL when there is none */
	struct key_ref key; /* VARIABLE */
	uint8_t variable; /* VARIABLE: its number in the pattern */
	bool lower; /* VARIABLE: |lower */
	bool path; /* VARIABLE: may be several path segments: |path, or the claim is known to be one */
	bool segment; /* VARIABLE: |segment: one, though the claim may hold anything */
};
struct pattern {
	struct span source; /* as written */
	const struct part *parts;
	size_t n;
	bool variables; /* there are some */
};

enum pattern_flags {
	PATTERN_WILDCARDS = 1, /* * and ? match; without it they are refused */
	PATTERN_VARIABLES = 2, /* ${key} stands for a value; without it it is refused */
	PATTERN_SEGMENT = 4, /* when matched: a value must be one path segment [a-z0-9._-]+, or several of a path */
	PATTERN_NOCASE = 8, /* when matched: the case of A-Z does not count */
	PATTERN_ANY_KEY = 16, /* when compiled: any name is a key */
	PATTERN_LITERAL = 32, /* when compiled: a star that must not stand here is text */
};
/* Why a text of a policy is refused. */
struct reason {
	enum lint_code code;
	char text[PATTERN_MAX + 128];
};
/* Compile a copy of s in the arena. False with the reason why. */
bool pattern_compile(struct arena *a, struct span s, unsigned flags, struct pattern *out, struct reason *why)
    NONNULL(1, 4, 5) WUNRES;
/*
 * Does it match the whole of s? A value put in for a variable never acts as a wildcard. A variable without value
 * matches nothing; with one that must not be used (several values, no path segment): UNKNOWN. q->need collects the
 * keys of a LATER.
 */
enum tri pattern_match(const struct pattern *p, unsigned flags, struct evaluation *q, struct span s)
    NONNULL(1, 3) WUNRES;
/* Each of its variables has a value or a default, or may have one: it is UNKNOWN or LATER. */
bool pattern_has_values(const struct pattern *p, struct evaluation *q) NONNULL(1, 2) WUNRES;
/* The text before the first part that is not text, and behind the last one. The whole is both. */
struct span pattern_prefix(const struct pattern *p) NONNULL(1) PURE;
struct span pattern_suffix(const struct pattern *p) NONNULL(1) PURE;
/* Text and nothing else. */
bool pattern_is_literal(const struct pattern *p) NONNULL(1) PURE;

/* A name of Zones. */
struct network_zone {
	struct span name;
	const struct network *networks;
	size_t n;
};

/* ---- statements ---- */

/* In the order of their cost. */
enum operator_kind {
	OPERATOR_NONE = 0,
	OPERATOR_BOOL,
	OPERATOR_NUMBER,
	OPERATOR_DATE,
	OPERATOR_WINDOW,
	OPERATOR_VERSION,
	OPERATOR_STRING,
	OPERATOR_IP,
	OPERATOR_REGEX,
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
/* Whether an operator of this kind can be asked of a key of this type. */
bool operator_compares(enum operator_kind kind, enum key_type type) PURE;

struct atom {
	const struct operator_row *row;
	enum qualifier qualifier;
	bool if_exists;
	bool negated; /* Null: the key must be there ("false") */
	struct key_ref key;
	struct span op, name; /* operator and key, as written */
	int line; /* of the key in its document */
	union {
		const struct pattern *patterns; /* STRING */
		const struct network *networks; /* IP */
		const struct number *numbers; /* NUMBER, DATE; BOOL: whole is 0 or 1 */
		const struct version *versions; /* VERSION */
		const struct window *windows; /* WINDOW */
		struct regex *const *regexes; /* REGEX */
	};
	size_t n;
	const struct span *values; /* as written; n_values of them, sets among them */
	size_t n_values;
	uint64_t sets; /* STRING: bits of sets of the snapshot that are values, too */
};
_Static_assert(SETS_MAX <= 64, "sets are bits of 64");

struct label {
	struct span name, value;
};
struct document {
	const char *file;
	struct span id; /* or empty */
	enum document_kind {
		DOCUMENT_PLAIN = 0,
		DOCUMENT_GUARDRAIL, /* Deny only */
		DOCUMENT_GRANT, /* within its Scope */
	} kind;
	const struct pattern *scope;
	size_t n_scope;
};
struct statement {
	struct span sid, message;
	const struct document *document;
	int line; /* of its first byte */
	uint32_t number; /* in the order of the documents */
	bool deny, shadow;
	uint32_t actions; /* bit (1u << enum policy_action) */
	int64_t stale; /* OnUnknown: seconds that a value may be old which stands for one that is not known; 0: none does */
	bool open; /* ... and where none was ever known, the condition does not speak against access */
	enum policy_on_push on_push;
	int64_t not_before, expires; /* seconds since the epoch, 0: none; from the one on, up to before the other */
	const struct pattern *principals, *resources;
	size_t n_principals, n_resources;
	const struct atom *atoms; /* what costs least first */
	size_t n_atoms;
	const struct label *labels;
	size_t n_labels;
	/* any vocabulary only */
	const struct pattern *any_actions;
	size_t n_any_actions;
	bool not_action, not_principal, not_resource;
};
_Static_assert(ACTION_MAX <= 32, "actions are bits of 32");

/* Statement i < policy_statements(p), in the order of the documents. */
const struct statement *policy_statement_at(const struct policy *p, size_t i) RETURNS_NONNULL NONNULL(1) PURE;

/* Bits of the actions a pattern ("registry:Push*") names; without case, as IAM does. 0: none. */
uint32_t action_mask(struct span pattern) PURE;

/* The value of a key in one request (key.c). */
void key_value(struct evaluation *q, const struct key_ref *ref, struct value *out) NONNULL(1, 2, 3);
/* What was known last of a key that a fact of the request has, and that is UNKNOWN now. */
void key_value_then(struct evaluation *q, const struct key_ref *ref, struct value *out) NONNULL(1, 2, 3);

/* ---- evaluation (eval.c) ---- */

/* Whether a statement speaks of the request and all its conditions hold. need counts only when the result is LATER. */
enum tri statement_matches(struct evaluation *q, const struct statement *s) NONNULL(1, 2) WUNRES;
enum tri atom_matches(struct evaluation *q, const struct atom *atom) NONNULL(1, 2) WUNRES;
/* Its Principal, Resource, Action and dates, not its Condition. */
enum tri statement_speaks(struct evaluation *q, const struct statement *s) NONNULL(1, 2) WUNRES;
/* Ready to ask: false when the request cannot be asked about. text holds the resource. */
#define RESOURCE_MAX 512u
bool evaluation_begin(struct evaluation *q, const struct policy *p, const struct policy_request *r,
    char text[static RESOURCE_MAX]) NONNULL(1, 2, 3, 4) WUNRES;
/* As policy_decide(), but every statement is asked: what the index must agree with. */
void policy_decide_linear(const struct policy *p, const struct policy_request *r, struct decision *out)
    NONNULL(1, 2, 3);

/* ---- the index (index.c) ---- */

struct index;
/* Without values nothing is found by the value of a condition: for what fails by one. */
struct index *index_build(const struct statement *statements, size_t n, bool deny, bool values, struct arena *a)
    NONNULL(5) WUNRES;
/*
 * Every statement that may match, some twice; each bucket in the order of the documents until visit says false.
 * What is left out cannot match.
 */
typedef bool index_visit(void *ctx, const struct statement *s);
void index_each(const struct index *x, struct evaluation *q, index_visit *visit, void *ctx) NONNULL(1, 2, 3);
/* For `policy stats`. */
struct index_stats {
	size_t statements, entries, buckets;
	size_t largest; /* entries of the largest bucket */
	size_t always; /* entries offered whatever is asked */
	size_t by_resource, by_principal, by_value; /* statements by what finds them */
};
void index_stats(const struct index *x, struct index_stats *out) NONNULL(1, 2);
/* What finds a statement of the index, and how many the fullest of its buckets holds. */
struct index_way {
	enum {
		WAY_ALWAYS = 0, /* nothing: it is offered whatever is asked */
		WAY_RESOURCE, /* the whole, the beginning or the end of its resources */
		WAY_PRINCIPAL, /* its principals */
		WAY_VALUE, /* the values of `atom` */
	} by;
	const struct atom *atom;
	size_t fullest;
	bool vague; /* RESOURCE: by no more than "repo:" or "registry:", which stands before every one */
};
void index_way(const struct index *x, const struct statement *s, struct index_way *out) NONNULL(1, 2, 3);

/* ---- the keys that statements read (reads.c) ---- */

#define READS_MAX 128u
struct key_read {
	struct key_ref ref;
	struct span name; /* "jwt:team" */
	uint32_t actions; /* bits of the actions whose statements read it */
};
/* False when out of memory. */
struct bundle;
bool reads_build(struct bundle *b) NONNULL(1) WUNRES;

/* ---- the snapshot (policy.c) ---- */

/* What snapshots that differ in their sets share. */
struct bundle {
	_Atomic(unsigned) refs;
	struct arena *arena;
	struct statement *statements; /* in the order of the documents */
	size_t n, room;
	struct index *index[2]; /* of the Allow and of the Deny statements */
	struct index *near; /* of the Allow statements, for near misses */
	struct regex *regexes; /* a list, to be freed */
	size_t regex_bytes, index_bytes; /* what those and the indexes take */
	struct network_zone zones[ZONES_MAX];
	size_t n_zones;
	struct {
		struct span name, file;
		const char *from; /* the document that names it */
		int line;
	} sets[SETS_MAX];
	size_t n_sets;
	const struct key_read *reads; /* by phase; principals and time:Now are not among them */
	size_t n_reads;
	bool reads_full; /* there are more */
	bool any_vocabulary;
	unsigned char sources[32]; /* SHA-256 */
};
struct policy {
	_Atomic(unsigned) refs;
	struct bundle *bundle;
	struct set *sets[SETS_MAX];
	char hash[sizeof "sha256:" + 64];
};

/* ---- documents (parse.c, statement.c, condition.c) ---- */

/* Where in a document: a chain from a value up to its root, or to a value whose first byte is known. */
struct place {
	const struct place *up; /* NULL: the document itself */
	const char *key; /* member of an object; NULL: element `index` of an array */
	size_t index;
	const char *at; /* the value itself; NULL: to be found */
	int line; /* of `at` */
};
/* Line (from 1) of that value in text, which json_strict() accepted; of the nearest value above when there is none. */
int place_line(struct span text, const struct place *p);
/*
 * The elements of the array at `p` one after the other, so that 10,000 of them are not searched 10,000 times: sets
 * at and line of element->index 0, 1, 2 ...; element->at must be NULL at first.
 */
void place_next(struct span text, const struct place *array, struct place *element) NONNULL(3);

struct policy_reader {
	struct bundle *bundle;
	struct policy *policy;
	const struct policy_names *names; /* never NULL */
	const struct policy_source *source;
	struct document *document;
	struct span sid; /* of the statement being read; empty: of none, or it is none */
	json_t *sids; /* sid -> "file:line" of the first */
	struct zone_list *time_zones; /* read so far */
	struct intern *intern; /* texts and patterns met so far */
	policy_problem *problem;
	void *ctx;
	size_t problems; /* errors reported */
};
/* The elements that statements of all documents may refer to (Kind, Zones, Sets ...), then the statements. */
void document_parse(struct policy_reader *r, const json_t *o) NONNULL(1);
void document_parse_statements(struct policy_reader *r, const json_t *o) NONNULL(1);
/* One statement; at->at is known. */
void statement_parse(struct policy_reader *r, const struct place *at, const json_t *o) NONNULL(1, 2);
/* The Condition of a statement. */
void condition_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s) NONNULL(1, 4);

/* pattern_compile() and arena_dup(), each text once for the whole bundle. (intern.c) */
bool intern_pattern(struct policy_reader *r, struct span s, unsigned flags, struct pattern *out, struct reason *why)
    NONNULL(1, 4, 5) WUNRES;
struct span intern_text(struct policy_reader *r, struct span s) NONNULL(1) WUNRES;
void intern_free(struct intern *t);

/* A time zone, read once; NULL after reporting a problem. The name is terminated. (fetch.c) */
const struct zone *fetch_zone(struct policy_reader *r, const struct place *at, struct span name) NONNULL(1, 2) WUNRES;
/* All sets of the bundle into p; false after reporting problems. */
bool fetch_sets(struct policy *p, policy_fetch *fetch, void *fetch_ctx, policy_problem *problem, void *ctx)
    NONNULL(1, 4) WUNRES;

/* Report what is wrong there. */
void parse_problem(struct policy_reader *r, const struct place *at, enum lint_code code, const char *fmt, ...)
    NONNULL(1, 4) PRINTF(4, 5);
/* Report; fix NULL: that of the row. */
void finding_report(policy_problem *problem, void *ctx, enum lint_code code, const char *file, int line, struct span sid,
    const char *reason, const char *fix) NONNULL(1, 4, 7);
void parse_out_of_memory(struct policy_reader *r, const struct place *at) NONNULL(1);
/* One string, or an array of at least one: how many, and each in turn; false after reporting a problem. */
size_t parse_count(const json_t *v) PURE;
typedef bool add_string(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i);
bool parse_strings(struct policy_reader *r, const struct place *at, const char *what, const json_t *v, add_string *add,
    void *to) NONNULL(1, 3, 5);
bool parse_pattern(struct policy_reader *r, const struct place *at, struct span s, unsigned flags, struct pattern *out)
    NONNULL(1, 5);
struct span parse_text(const json_t *v); /* {NULL,0}: no string */
/* A resource pattern; as a scope it may not hold variables. */
bool parse_resource(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i) NONNULL(1, 4);

#endif
