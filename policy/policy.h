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

enum policy_key {
	KEY_NONE = 0,
#define KEY(id, name, type, cardinality, always, phase, param, meaning) KEY_##id,
#include "key.def"
#undef KEY
	KEY_MAX
};

/* A set of keys. Zeroed means empty. */
#define KEY_WORDS	((KEY_MAX + 63) / 64)
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
	const struct span *values;	/* MANY; of a key with a name or window behind it: name, value, name, value ... */
	size_t n_values;
};

struct policy_request {
	enum policy_action action;
	struct span upstream;		/* alias; resource is repo:<upstream>/<repository>, or registry:<upstream> */
	struct span repository;		/* p == NULL: the registry itself (ping, catalog) */
	const struct identity *who;	/* principal:* and jwt:* come from here */
	int64_t now;			/* seconds since the epoch: time:* come from here; 0: unknown */
	const struct fact *facts;	/* KEY_MAX of them: all other keys; rows of principal:*, jwt: and time:* are ignored */
};

enum verdict {
	VERDICT_DENY = 0,	/* no statement allows it */
	VERDICT_EXPLICIT_DENY,	/* a Deny statement matched */
	VERDICT_NEED,		/* undecided until the facts in `need` are known */
	VERDICT_ALLOW,
};

struct decision {
	enum verdict verdict;
	struct span sid;	/* deciding statement; empty for the default deny. Lives as long as the snapshot */
	struct span message;	/* its Message, or empty */
	bool unknown;		/* an UNKNOWN fact made the difference */
	struct key_set need;	/* NEED: what must be known */
};

struct policy;

/* One file: name for messages, text to parse. Both borrowed during the call. */
struct policy_source {
	const char *name;
	struct span text;
};
/* What the documents may refer to. */
struct policy_names {
	const char *const *issuers;	/* configured aliases */
	size_t n_issuers;
	const char *const *upstreams;
	size_t n_upstreams;
};
/* Called for each problem: "file:line: reason" is what the user sees. */
typedef void policy_problem(void *ctx, const char *file, int line, const char *reason);

/*
 * Compile documents to a snapshot with one reference. NULL after reporting at least one problem. Zero sources
 * give a snapshot that denies everything. names may be NULL: aliases are then not checked.
 */
struct policy *policy_load(const struct policy_source *sources, size_t n, const struct policy_names *names,
    policy_problem *problem, void *ctx) NONNULL(4) WUNRES;

/*
 * Take a reference. Only a holder may call this: that is what keeps the snapshot alive while we count.
 * Atomic; the last policy_unref() frees.
 */
struct policy *policy_ref(struct policy *p) RETURNS_NONNULL NONNULL(1);
void policy_unref(struct policy *p);

size_t policy_statements(const struct policy *p) NONNULL(1) PURE;
/* "sha256:<hex>" over the sources in order; NUL-terminated, lives as long as p. */
const char *policy_hash(const struct policy *p) RETURNS_NONNULL NONNULL(1) PURE;

/* Decide. Never allocates; thread-safe on one snapshot. *out is always filled; starts as DENY. */
void policy_decide(const struct policy *p, const struct policy_request *r, struct decision *out)
    NONNULL(1, 2, 3);

#endif
