/*
 * policy.h - may they?  An immutable snapshot of policy documents, and one question to it.
 *
 * IAM-style: statements, default deny, explicit deny wins. Three-valued: a fact that could not be learned is
 * UNKNOWN - a Deny that needs it matches, an Allow that needs it does not. Pure: no clock, file or socket.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_POLICY_H
#define TW_POLICY_H

#include "arena.h"
#include "attr.h"
#include "identity.h"
#include "span.h"

enum policy_action {
	ACTION_NONE = 0,
#define ACTION(service, name, meaning) ACTION_##name,
#include "action.def"
#undef ACTION
	ACTION_MAX
};
/* "registry:PushManifest" <-> enum; ACTION_NONE when unknown. */
enum policy_action policy_action_parse(struct span name) PURE;
const char *policy_action_name(enum policy_action a) RETURNS_NONNULL PURE;
/* In a few words. */
const char *policy_action_meaning(enum policy_action a) RETURNS_NONNULL PURE;

enum policy_key {
	KEY_NONE = 0,
#define KEY(id, name, type, cardinality, on, always, phase, param, meaning) KEY_##id,
#include "key.def"
#undef KEY
	KEY_MAX,
	KEY_OTHER = KEY_MAX	/* of a snapshot of any vocabulary: told by its name only */
};

/* A set of keys. Zeroed means empty. */
#define KEY_WORDS	(KEY_MAX / 64 + 1)
struct key_set {
	uint64_t word[KEY_WORDS];
};
static inline void
key_set_add(struct key_set *s, enum policy_key k)
{
	s->word[(unsigned)k / 64] |= (uint64_t)1 << ((unsigned)k % 64);
}
static inline bool
key_set_has(const struct key_set *s, enum policy_key k)
{
	return s->word[(unsigned)k / 64] >> ((unsigned)k % 64) & 1u;
}
static inline bool
key_set_is_empty(const struct key_set *s)
{
	for (size_t i = 0; i < KEY_WORDS; i++)
		if (s->word[i] != 0)
			return false;
	return true;
}

/* One fact of the request. Zeroed means absent. */
enum fact_state {
	FACT_ABSENT = 0,	/* known not to exist */
	FACT_PRESENT,
	FACT_UNKNOWN,		/* asked for, could not be learned */
	FACT_LATER,		/* not fetched yet: a decision that depends on it is VERDICT_NEED */
};
struct fact {
	enum fact_state state;
	struct span value;		/* ONE; IPs, numbers and dates in their text form */
	const struct span *values;	/* MANY; of a key with a name or window behind it: name, value (p NULL: absent), name, value ... */
	size_t n_values;
	bool was_known;			/* UNKNOWN: the value is what was known last, `age` seconds ago (empty: it was absent) */
	int64_t age;
};

struct policy_request {
	enum policy_action action;
	struct span upstream;		/* alias; resource is repo:<upstream>/<repository>, or registry:<upstream> */
	struct span repository;		/* p == NULL: the registry itself (ping, catalog) */
	const struct identity *who;	/* principal:* and jwt:* come from here */
	int64_t now;			/* seconds since the epoch: time:* come from here; 0: unknown */
	const struct fact *facts;	/* KEY_MAX of them: all other keys; rows of principal:*, jwt: and time:* are ignored */
	bool part;			/* from a log: a claim, a name of several or an age that is not here is LATER, not absent */
	/* of a snapshot of any vocabulary only, instead of action, upstream, repository and facts */
	struct span any_action, any_resource;
	const json_t *any_context;	/* object: a value, an array of values, {"unknown":true}; names without case */
};

/* What becomes of a push that waits for facts of phase 3 (member OnPush of a statement), the strictest first. */
enum policy_on_push {
	ON_PUSH_STAGE = 0,	/* stored by digest, not pullable; the tag comes when all is known and allowed */
	ON_PUSH_HOLD,		/* held in the gateway, nothing goes upstream before */
	ON_PUSH_QUARANTINE,	/* stored with its tag, not pullable before */
};

enum verdict {
	VERDICT_DENY = 0,	/* no statement allows it */
	VERDICT_EXPLICIT_DENY,	/* a Deny statement matched */
	VERDICT_NEED,		/* undecided until the facts in `need` are known */
	VERDICT_ALLOW,
};

/* Inside of a snapshot: compiled.h, for tools that look at statements. */
struct statement;
struct atom;

/* An Allow statement that failed by one condition only. */
struct near_miss {
	const struct statement *statement;
	const struct atom *atom;
	struct span sid, key;	/* their names */
};
#define NEAR_MISSES_MAX	4u
#define SHADOWS_MAX	4u

/*
 * The answer and its record: which statement decided, and what was missing. Pointers and spans live as long as the
 * snapshot. policy_record_write() makes text of it.
 */
struct decision {
	enum verdict verdict;
	struct span sid;	/* deciding statement; empty for the default deny */
	struct span message;	/* its Message, or empty */
	bool unknown;		/* an UNKNOWN fact made the difference */
	struct key_set need;	/* NEED: what must be known */
	enum policy_on_push on_push;	/* NEED: the strictest of the statements that are open */
	const struct statement *lenient;	/* ALLOW: a fact was not known, and the OnUnknown of this one made the difference; or NULL */
	const struct statement *by;	/* deciding statement; NULL for the default deny */
	struct {
		bool differs;		/* with the statements of Mode Shadow enforced the verdict would be another */
		enum verdict verdict;	/* that one: ALLOW, DENY or EXPLICIT_DENY */
		const struct statement *by;	/* the first that says so in the order of the documents, or NULL */
		const struct statement *all[SHADOWS_MAX];	/* it, and those that say so, too */
		unsigned n;
		struct key_set need;	/* what statements of Mode Shadow would have to know; nothing waits for it */
	} shadow;
	/* only when not allowed */
	struct key_set missing;	/* keys that statements asked for which could have allowed it, and that were absent */
	struct key_set unknowns;	/* likewise, keys whose value could not be learned */
	struct near_miss near[NEAR_MISSES_MAX];
	unsigned n_near;
	unsigned candidates;	/* statements the index offered */
};

struct policy;

/* One file: name for messages, text to parse. Both borrowed during the call. */
struct policy_source {
	const char *name;
	struct span text;
};

/* What documents refer to by name and somebody else must read. */
enum policy_file {
	POLICY_FILE_ZONE,	/* an IANA time zone ("Europe/Berlin"): its TZif data, RFC 9636; name is checked to climb nowhere */
	POLICY_FILE_SET,	/* the values of a set, one a line; name as the document writes it behind "file:" */
};
/* Read it, for the document `from`; the text is borrowed until the caller of this function returns. False with a reason. */
typedef bool policy_fetch(void *ctx, enum policy_file kind, const char *from, const char *name, struct span *text,
    char *err, size_t err_size);

/* What the documents may refer to. */
struct policy_names {
	const char *const *issuers;	/* configured aliases; NULL: not checked */
	const char *const *issuer_urls;	/* their URLs, for the linter; NULL, all or one: not known */
	size_t n_issuers;
	const char *const *upstreams;	/* likewise */
	size_t n_upstreams;
	policy_fetch *fetch;		/* NULL: no zone but UTC, no set */
	void *fetch_ctx;
	/*
	 * Any service, action, resource and key name, all values of any type, no Sid or Principal needed, NotResource
	 * and NotPrincipal as IAM has them: to run policies and vectors that were not written for a registry.
	 */
	bool any_vocabulary;
	enum policy_linting {
		LINTING_ENFORCED = 0,	/* errors of the linter are errors */
		LINTING_REPORTED,	/* they are said, and the documents load: for tools that look at what is written */
		LINTING_OFF,		/* for tests of the language */
	} linting;
	int64_t now;		/* seconds since the epoch, for the linter; 0: not known */
};

enum lint_code {
	LINT_NONE = 0,
#define LINT(code, severity, title, fix) LINT_##code,
#include "lint.def"
#undef LINT
	LINT_MAX
};
enum lint_severity {
	SEVERITY_ERROR = 0,	/* the documents do not load */
	SEVERITY_WARNING,	/* they do */
};
struct lint_row {
	const char *code;	/* "E108" */
	enum lint_severity severity;
	const char *title, *fix;
};
/* Row of a code; that of LINT_NONE is an error without a name. */
const struct lint_row *lint_row(enum lint_code code) RETURNS_NONNULL PURE;

/* What is wrong with a document, or unwise. All of it is borrowed during the call. */
struct policy_finding {
	enum lint_code code;
	const char *file;
	int line;		/* from 1 */
	struct span sid;	/* of the statement it is about; empty: of none */
	const char *reason;	/* what is wrong, here */
	const char *fix;	/* what to do */
};
/* Called for each. "file:line: " and policy_finding_text() behind it is what the user sees. */
typedef void policy_problem(void *ctx, const struct policy_finding *f);
/* "E108 Sid OldDocker: <reason>; <fix>", as far as there is room. */
#define FINDING_TEXT_MAX 4096u
void policy_finding_text(const struct policy_finding *f, char out[static FINDING_TEXT_MAX]) NONNULL(1, 2);

/*
 * Compile documents to a snapshot with one reference. NULL after reporting at least one error; warnings do not count. Zero sources
 * give a snapshot that denies everything. names may be NULL: aliases are then not checked.
 */
struct policy *policy_load(const struct policy_source *sources, size_t n, const struct policy_names *names,
    policy_problem *problem, void *ctx) NONNULL(4) WUNRES;

/*
 * A snapshot with the same statements and its Sets read anew. NULL after reporting at least one error. p stays what
 * it is: decisions that run keep the sets they began with.
 */
struct policy *policy_reload_sets(struct policy *p, policy_fetch *fetch, void *fetch_ctx, policy_problem *problem,
    void *ctx) NONNULL(1, 2, 4) WUNRES;

/*
 * Take a reference. Only a holder may call this: that is what keeps the snapshot alive while we count.
 * Atomic; the last policy_unref() frees.
 */
struct policy *policy_ref(struct policy *p) RETURNS_NONNULL NONNULL(1);
void policy_unref(struct policy *p);

size_t policy_statements(const struct policy *p) NONNULL(1) PURE;
/* "sha256:<hex>" over the sources and the sets, in order; NUL-terminated, lives as long as p. */
const char *policy_hash(const struct policy *p) RETURNS_NONNULL NONNULL(1) PURE;
/* Does a statement that may speak of this action read that key? True also when there are too many keys to tell. */
bool policy_asks(const struct policy *p, enum policy_action a, enum policy_key k) NONNULL(1) PURE;

/*
 * The record of a decision as one JSON object in printable ASCII, written without allocating:
 *
 *   {"decision","action","resource","sid","file","line","phase","candidates","for_unknown":true,"principal":[ID ...],
 *    "labels":{},"why":[CONDITION ...],"need":[KEY ...],"missing":[KEY ...],"unknown":[KEY ...],
 *    "shadow":{"decision","by":[{"sid","file","line"}]},"near":[{"sid","file","line","failed":CONDITION}],
 *    "context":{KEY:VALUE},"cut":[MEMBER ...]}
 *
 * without what does not apply. CONDITION is {"op","key","have" or "state","want":[...],"r"}, at most 8 values of 256 bytes
 * each ("want_more": how many were left out). phase: the latest of key.def that the decision hangs on. context, with
 * principal, action and resource, is the request as policy/query.h reads it: every key that a statement about this action
 * reads, null when it is absent, {"unknown":true} or {"later":true}, or {"cut":"its first 256 bytes"}; keys made of others
 * are left to them (net:Zone, time:Local/...). What does not fit is left out, the last first, and named in `cut`.
 *
 * r must be the request that was decided. With base, another question of the same request, whose record stands beside this
 * one: principal is left out, and what the context of both has in common. Returns the length, 0 when not even the statement
 * fits: RECORD_LEAST bytes are always enough for that. The hash of the snapshot is not in it: policy_hash().
 */
#define RECORD_LEAST 8192u
size_t policy_record_write(const struct policy *p, const struct policy_request *r, const struct decision *d,
    const struct policy_request *base, char *buf, size_t size) NONNULL(1, 2, 3, 5) WUNRES;

/* Decide. Never allocates; thread-safe on one snapshot. *out is always filled; starts as DENY. */
void policy_decide(const struct policy *p, const struct policy_request *r, struct decision *out)
    NONNULL(1, 2, 3);

#endif
