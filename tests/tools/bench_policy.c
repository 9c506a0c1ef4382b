/*
 * bench_policy.c - what one size and kind of policy costs: a line of JSON. tests/bench/policy asks in rounds.
 *
 * usage: bench_policy KIND N [SECONDS]
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tests/unit/counted.h"

#include <string.h>
#include <time.h>

#include "policy/compiled.h"
#include "tests/unit/policies.h"

#define SAMPLES 200000u

static double
seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char record[1 << 15];

static void
evaluate(const struct policy *p, const struct policies_request *r, bool recorded)
{
	struct decision d;

	policy_decide(p, &r->request, &d);
	if (recorded && policy_record_write(p, &r->request, &d, NULL, record, sizeof record) == 0)
		abort();
}

/* Evaluations a second of CPU, counted over at least `least` seconds. */
static double
rate(const struct policy *p, const struct policies_request *all, bool recorded, double least)
{
	double begun = seconds(CLOCK_PROCESS_CPUTIME_ID), taken;
	size_t n = 0;

	do {
		for (size_t i = 0; i < POLICIES_REQUESTS; i++)
			evaluate(p, &all[i], recorded);
		n += POLICIES_REQUESTS;
		taken = seconds(CLOCK_PROCESS_CPUTIME_ID) - begun;
	} while (taken < least);
	return (double)n / taken;
}

static int
by_value(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Microseconds of single evaluations, by the clock on the wall. */
static void
percentiles(const struct policy *p, const struct policies_request *all, bool recorded, double least, double out[static 2])
{
	static float samples[SAMPLES];
	double begun = seconds(CLOCK_MONOTONIC), before = begun;
	size_t n = 0;

	while (n < SAMPLES && (n < 1000 || before - begun < least)) {
		double after;

		evaluate(p, &all[n % POLICIES_REQUESTS], recorded);
		after = seconds(CLOCK_MONOTONIC);
		samples[n++] = (float)(1e6 * (after - before));
		before = after;
	}
	qsort(samples, n, sizeof *samples, by_value);
	out[0] = (double)samples[n / 2];
	out[1] = (double)samples[n - 1 - n / 100];
}

int
main(int argc, char **argv)
{
	enum policies_kind kind = POLICIES_INDEXABLE;
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, calls;
	double least = argc > 3 ? strtod(argv[3], NULL) : 0.3, begun, load, plain, recorded, p[2], q[2], bytes;
	struct policies_request *all;
	struct policy *policy;

	while (kind < POLICIES_KINDS && argc > 1 && strcmp(argv[1], policies_kind_names[kind]) != 0)
		kind++;
	if (n == 0 || kind == POLICIES_KINDS) {
		fputs("usage: bench_policy indexable|patterns|regexes|mixed N [SECONDS]\n", stderr);
		return 2;
	}
	all = policies_requests(n);
	bytes = -(double)counted_bytes;
	begun = seconds(CLOCK_PROCESS_CPUTIME_ID);
	policy = policies_load(kind, n, NULL);
	load = seconds(CLOCK_PROCESS_CPUTIME_ID) - begun;
	bytes += (double)counted_bytes;
	if (policy == NULL || all == NULL)
		return 1;
	rate(policy, all, true, 0.01);
	calls = counted_calls;
	plain = rate(policy, all, false, least);
	recorded = rate(policy, all, true, least);
	calls = counted_calls - calls;
	percentiles(policy, all, false, least, p);
	percentiles(policy, all, true, least, q);
	printf("{\"engine\":\"tidewaiter\",\"kind\":\"%s\",\"n\":%zu,\"rate\":%.0f,\"p50\":%.3f,\"p99\":%.3f,"
	       "\"record_rate\":%.0f,\"record_p50\":%.3f,\"record_p99\":%.3f,"
	       "\"load_ms\":%.1f,\"bytes\":%.0f,\"mallocs\":%zu}\n", policies_kind_names[kind], n, plain,
	    p[0], p[1], recorded, q[0], q[1],
	    1e3 * load, bytes / (double)n, calls);
	policy_unref(policy);
	policies_requests_free(all);
	return calls > 0;
}
