/*
 * reach.h - who can do this, and what can they do? Statements asked with most of the request left open. Pure.
 *
 * What is not said of the request (the caller, claims, facts, the time) is open: a statement that cannot match whatever it
 * turns out to be is left out; a condition that holds whatever it turns out to be is not mentioned; what is left is the
 * answer. Statements of Mode Shadow are no part of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REACH_H
#define TW_REACH_H

#include "policy/policy.h"

/* What is known of the request. */
struct reach_question {
	const char *action, *resource; /* who can: both; what can: NULL */
	const json_t *principal; /* what can: array of ids, all that the caller has; who can: NULL */
	const json_t *context; /* keys as in query.h, or NULL; null is a key known to be absent */
	int64_t now; /* time of the request; 0: any */
	int64_t today; /* statements that expired before it are left out; 0: none are */
};

/*
 * Array of the Allow statements that can match:
 * {"sid","file","line","principal":[...],"action":[...],"resource":[...],
 *  "if":[{"op","key","want","words"}],	the conditions that are left; missing: none
 *  "from","until":seconds,		NotBefore and Expires, where they matter
 *  "variable":true,			who can: none of its resources matches whatever its variables stand for
 *  "unless":[like it, and "always":true where it takes all of it back],	the Deny statements that may take it back
 *  "void":true}			one of them takes back all of it
 * NULL with a reason in err.
 */
json_t *policy_reach(const struct policy *p, const struct reach_question *question, char *err, size_t err_size)
    NONNULL(1, 2, 3) WUNRES;

#endif
