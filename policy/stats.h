/*
 * stats.h - what a snapshot is made of and takes: for `policy stats`.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_STATS_H
#define TW_STATS_H

#include "policy/compiled.h"

struct policy_stats {
	size_t statements, allow, deny, shadow;
	size_t atoms, regexes;
	size_t zones, networks;
	size_t sets, values; /* values of all sets */
	/* bytes of memory; the sum is of all but sets, which come and go by themselves */
	size_t statement_bytes, index_bytes, regex_bytes, set_bytes;
	size_t bytes, bytes_each; /* sum, and a statement's share of it */
	struct index_stats index[2]; /* of Allow and Deny */
};
void policy_stats(const struct policy *p, struct policy_stats *out) NONNULL(1, 2);

/*
 * Why nearly every request has to be asked about a statement, and what would change that: lines of text, static; none
 * when the index finds it by something particular.
 */
#define RESIDUAL_LINES 4u
struct residual {
	const char *why[RESIDUAL_LINES];
	size_t n;
};
bool statement_residual(const struct policy *p, const struct statement *s, struct residual *out) NONNULL(1, 2, 3);

#endif
