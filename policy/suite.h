/*
 * suite.h - a test file of policies: requests, and what the answer must be. Pure: who reads the files is the caller.
 *
 * {"policy": ["freeze.json"],
 *  "defaults": {"principal": ["issuer:corp","group:corp/ci"], "action": "registry:PushManifest",
 *               "resource": "repo:harbor/prod/shop", "now": "2026-12-20T12:00:00Z", "context": {"registry:Tag": "1.0"}},
 *  "cases": [{"name": "frozen", "expect": {"decision": "ExplicitDeny", "sid": "YearEndFreeze"}},
 *            {"name": "before", "now": "2026-12-01T12:00:00Z", "expect": {"decision": "Allow", "sid": "CiPushes"}}],
 *  "survivors": [{"sid": "CiPushes", "mutation": "widen Resource to *", "why": "..."}]}
 *
 * A case says what differs from the defaults; its context is laid over theirs, and null takes a key out. Requests are
 * those of query.h; one without `now` has no time. expect may name the Sid that decides, and with
 * "shadow": {"decision","sid"} what the statements of Mode Shadow would have made of it (null: nothing else). "with" names
 * more policies, which are there but are not what is tested. `survivors` are mutants (mutate.h) that no case can or need
 * tell from the policy, each with the reason.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SUITE_H
#define TW_SUITE_H

#include "policy/query.h"

struct suite_expect {
	bool given;
	bool nothing; /* of Mode Shadow: the same as without */
	enum verdict verdict;
	struct span sid; /* p == NULL: not asked */
};
struct suite_case {
	const char *name;
	int line;
	json_t *request; /* all of it, as `policy decide` takes it, but for the time */
	int64_t now; /* 0: none */
	struct suite_expect expect, shadow;
	struct policy_query query;
};
struct suite_survivor {
	const char *sid, *mutation, *why;
	int line;
};
struct suite {
	struct suite_case *cases;
	size_t n;
	const char **policies; /* as written: relative to the test file */
	size_t n_policies, n_tested; /* behind the tested ones stand those of "with" */
	struct suite_survivor *survivors;
	size_t n_survivors;
	json_t *root;
};

#define SUITE_CASES_MAX 10000u

/* Called for each mistake of a test file. */
typedef void suite_problem(void *ctx, int line, const char *reason);
/* Read a test file; false after reporting at least one mistake. Free it in either case; it borrows nothing of text. */
bool suite_read(struct suite *s, struct span text, suite_problem *problem, void *ctx) NONNULL(1, 3) WUNRES;
void suite_free(struct suite *s) NONNULL(1);

/* Whether a decision is the one the case expects. */
bool suite_case_passes(const struct suite_case *c, const struct decision *d) NONNULL(1, 2) PURE;

#endif
