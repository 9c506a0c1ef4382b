/*
 * fuzz_decide.c - a document, a NUL, and a request as JSON: both from anywhere. Deciding is total; the index and one
 * statement after the other say the same, once more when they are asked again; only a statement allows; facts that become
 * unknown never give a right; the record is JSON and fits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "tests/unit/reads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1796122800

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	(void)ctx;
	(void)f;
}

static bool
same(const struct decision *a, const struct decision *b)
{
	return a->verdict == b->verdict && a->by == b->by && a->unknown == b->unknown && span_eq(a->sid, b->sid) &&
	    memcmp(&a->need, &b->need, sizeof a->need) == 0 && a->shadow.differs == b->shadow.differs &&
	    a->shadow.verdict == b->shadow.verdict && a->shadow.by == b->shadow.by &&
	    memcmp(&a->shadow.need, &b->shadow.need, sizeof a->shadow.need) == 0;
}

static void
check_record(const struct policy *p, const struct policy_request *r, const struct decision *d)
{
	static char record[RECORD_LEAST];
	size_t n = policy_record_write(p, r, d, NULL, record, sizeof record);
	json_t *o = json_loadb(record, n, JSON_REJECT_DUPLICATES, NULL);

	if (n == 0 || n > sizeof record || !json_is_object(o))
		abort();
	json_decref(o);
}

/* Facts that could not be learned after all. */
static void
check_unknown(const struct policy *p, struct policy_query *q)
{
	struct decision d;

	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++)
		q->facts[k] = (struct fact){ .state = FACT_UNKNOWN };
	policy_decide(p, &q->request, &d);
	if (d.verdict == VERDICT_ALLOW || d.verdict == VERDICT_NEED)
		abort();
}

/* A request that was refused stays so, whatever is not known of it. */
static void
decide(const struct policy *p, struct policy_query *q, bool any)
{
	struct decision one, again, linear;

	policy_decide(p, &q->request, &one);
	policy_decide(p, &q->request, &again);
	policy_decide_linear(p, &q->request, &linear);
	if (!same(&one, &again) || !same(&one, &linear) || one.n_near > NEAR_MISSES_MAX)
		abort();
	if ((one.verdict == VERDICT_ALLOW && (one.by == NULL || one.by->deny || one.by->shadow)) ||
	    (one.verdict == VERDICT_EXPLICIT_DENY && (one.by == NULL || !one.by->deny || one.by->shadow)) ||
	    (one.verdict == VERDICT_NEED) != !key_set_is_empty(&one.need))
		abort();
	check_record(p, &q->request, &one);
	if (!any && (one.verdict == VERDICT_DENY || one.verdict == VERDICT_EXPLICIT_DENY))
		check_unknown(p, q);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
	size_t n = end == NULL ? size : (size_t)(end - data);
	json_t *request = end == NULL ? NULL : json_loadb((const char *)end + 1, size - n - 1, JSON_REJECT_DUPLICATES, NULL);

	for (unsigned any = 0; request != NULL && any < 2; any++) {
		const struct policy_names names = { .fetch = reads_fetch, .linting = LINTING_OFF, .any_vocabulary = any != 0 };
		struct policy_source source = { "fuzz", { (const char *)data, n } };
		struct policy *p = policy_load(&source, 1, &names, on_problem, NULL);
		struct policy_query q;
		char err[512];

		if (p == NULL)
			continue;
		if (any ? policy_query_read_any(&q, request, NOW, err, sizeof err) : policy_query_read(&q, request, NOW, err, sizeof err))
			decide(p, &q, any != 0);
		policy_query_clear(&q);
		policy_unref(p);
	}
	json_decref(request);
	return 0;
}
