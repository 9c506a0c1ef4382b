/*
 * mutate.h - are the tests of a policy any good? Each statement is spoilt in every small way, one at a time; a test
 * suite that notices none of it tests nothing. Pure.
 *
 * A mutant is the whole policy with one statement changed: dropped, its Effect flipped, one condition dropped or
 * negated, one value, principal or resource taken out, its Principal, Resource or Action widened, a date dropped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_MUTATE_H
#define TW_MUTATE_H

#include "policy/suite.h"

struct mutant {
	const struct statement *of; /* as the policy has it */
	const char *mutation; /* "drop StringEquals jwt:ref": unlike all others of its statement */
	const struct suite_case *by; /* the first case that notices; NULL: it survives */
	const struct policy *changed; /* for policy_decide_linear() only, as long as visit runs */
};
/* False: enough. */
typedef bool mutant_visit(void *ctx, const struct mutant *m);
/*
 * Every mutant of the first n statements, in the order of the documents. All cases must pass on p itself. False when out
 * of memory; true, too, when visit has had enough.
 */
bool policy_mutate(const struct policy *p, size_t n, const struct suite *s, mutant_visit *visit, void *ctx)
    NONNULL(1, 3, 4) WUNRES;

/*
 * A request that a policy and a mutant of it answer differently, as a case that passes on the policy: what a test suite
 * lacks. Found by trying; NULL: none was found, which does not mean that there is none. (witness.c)
 */
json_t *policy_witness(const struct policy *p, const struct mutant *m, const struct suite *s) NONNULL(1, 2, 3) WUNRES;

#endif
