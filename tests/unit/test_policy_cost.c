/*
 * test_policy_cost.c - what a decision costs, told by counts and by ratios on the same machine: no allocation, a bound on
 * memory, and a cost that does not grow with the number of statements. tests/bench/policy has the timings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/unit/counted.h"

#include <string.h>
#include <time.h>

#include "policy/compiled.h"
#include "tests/unit/check.h"
#include "tests/unit/policies.h"

#define BIG	      10000u
#define SMALL	      10u
#define BYTES_MAX     2048 /* a statement */
#define LINEAR_LEAST  20   /* so many times the index is faster at BIG; some 300 on an idle machine */
#define GROWTH_MOST   8    /* so many times BIG costs what SMALL does; some 2 */

static char record[1 << 15];

static double
cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef void decide(const struct policy *p, const struct policy_request *r, struct decision *out);

/* Seconds of n decisions: the least of some rounds, so that a neighbour does not count. */
static double
cost(const struct policy *p, const struct policies_request *all, decide *by, size_t n)
{
	double least = 1e9;

	for (unsigned round = 0; round < 5; round++) {
		double begun = cpu(), taken;

		for (size_t i = 0; i < n; i++) {
			struct decision d;

			by(p, &all[(i * 31) % POLICIES_REQUESTS].request, &d);
		}
		taken = cpu() - begun;
		least = taken < least ? taken : least;
	}
	return least / (double)n;
}

/* All kinds of rules, all kinds of requests, with and without record: nothing is allocated, both ways say the same. */
static void
test_counts(enum policies_kind kind)
{
	const char *name = policies_kind_names[kind];
	struct policies_request *all = policies_requests(BIG);
	ptrdiff_t held = counted_bytes;
	struct policy *p = policies_load(kind, BIG, NULL);
	unsigned verdicts[VERDICT_ALLOW + 1] = { 0 };
	size_t calls, unsaid = 0;

	if (!CHECK_ROW(p != NULL && all != NULL && policy_statements(p) == BIG, name)) {
		policies_requests_free(all);
		return;
	}
	CHECK_ROW(!COUNTED || (counted_bytes > held && (counted_bytes - held) / (ptrdiff_t)BIG <= BYTES_MAX), name);
	for (unsigned round = 0; round < 2; round++) { /* the second time nothing is new to a library either */
		calls = counted_calls;
		for (size_t i = 0; i < POLICIES_REQUESTS; i++) {
			struct decision d;

			policy_decide(p, &all[i].request, &d);
			unsaid += policy_record_write(p, &all[i].request, &d, NULL, record, sizeof record) == 0;
			verdicts[d.verdict]++;
		}
	}
	CHECK_ROW(counted_calls == calls && unsaid == 0, name);
	CHECK_ROW(verdicts[VERDICT_ALLOW] > POLICIES_REQUESTS && verdicts[VERDICT_DENY] > 100 && verdicts[VERDICT_EXPLICIT_DENY] > 100, name);
	for (size_t i = 0; i < 64; i++) {
		struct decision one, other;

		policy_decide(p, &all[i].request, &one);
		policy_decide_linear(p, &all[i].request, &other);
		CHECK_ROW(one.verdict == other.verdict && one.by == other.by, name);
	}
	policy_unref(p);
	policies_requests_free(all);
}

static void
test_ratios(void)
{
	struct policies_request *few = policies_requests(SMALL), *many = policies_requests(BIG);
	struct policy *small = policies_load(POLICIES_INDEXABLE, SMALL, NULL), *big = policies_load(POLICIES_INDEXABLE, BIG, NULL);
	double one, ten_thousand, linear;

	CHECK(small != NULL && big != NULL && few != NULL && many != NULL);
	one = cost(small, few, policy_decide, 4 * POLICIES_REQUESTS);
	ten_thousand = cost(big, many, policy_decide, 4 * POLICIES_REQUESTS);
	linear = cost(big, many, policy_decide_linear, 8);
	if (!CHECK(linear > LINEAR_LEAST * ten_thousand))
		fprintf(stderr, "    linear %.1f us, indexed %.1f us\n", 1e6 * linear, 1e6 * ten_thousand);
	if (!CHECK(ten_thousand < GROWTH_MOST * one))
		fprintf(stderr, "    %u statements %.2f us, %u statements %.2f us\n", BIG, 1e6 * ten_thousand, SMALL, 1e6 * one);
	policy_unref(small);
	policy_unref(big);
	policies_requests_free(few);
	policies_requests_free(many);
}

int
main(void)
{
	for (unsigned k = 0; k < POLICIES_KINDS; k++)
		test_counts((enum policies_kind)k);
	test_ratios();
	return check_done();
}
