/*
 * fuzz_policy.c - any bytes as a policy document, and one request: loading is total; what loads twice decides the
 * same, by the index and one statement after the other; only an Allow allows; a Deny of everything always wins; every
 * decision has its record; the canonical form of a document means the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/format.h"
#include "policy/stats.h"
#include "tests/unit/reads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	char text[FINDING_TEXT_MAX];

	policy_finding_text(f, text);
	if (f->line < 1 || *f->file == '\0' || *f->reason == '\0' || f->code == LINT_NONE || text[0] == '\0')
		abort();
	*(size_t *)ctx += lint_row(f->code)->severity == SEVERITY_ERROR;
}

static struct policy *
load(struct span text, bool deny_all)
{
	static const char all[] = "{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"~\",\"Effect\":\"Deny\",\"Principal\":\"*\","
				  "\"Action\":\"*\",\"Resource\":\"*\"}]}";
	static char last[sizeof all];
	struct policy_source sources[] = { { "fuzz", text }, { "all", { last, sizeof all - 1 } } };
	static const struct policy_names names = { .fetch = reads_fetch, .linting = LINTING_REPORTED, .now = 1796122800 };
	static const struct policy_names enforced = { .fetch = reads_fetch };
	size_t problems = 0;
	struct policy *p, *q;

	memcpy(last, all, sizeof all);
	*strchr(last, '~') = '.';
	p = policy_load(sources, deny_all ? 2 : 1, &names, on_problem, &problems);
	if (p == NULL && problems == 0)
		abort();
	/* what the linter objects to keeps from loading, and nothing else does */
	problems = 0;
	q = policy_load(sources, deny_all ? 2 : 1, &enforced, on_problem, &problems);
	if ((q == NULL) != (problems > 0) || (p == NULL && q != NULL))
		abort();
	policy_unref(q);
	return p;
}

/* Whatever room there is: nothing, or one JSON object in printable ASCII; with room enough always one. */
static void
check_record(const struct policy *p, const struct policy_request *r, const struct decision *d, size_t seed)
{
	const size_t sizes[] = { seed * 131 % 4096, RECORD_LEAST };

	for (size_t i = 0; i < 2; i++) {
		char *buf = malloc(sizes[i] + 1);
		size_t n = buf == NULL ? 0 : policy_record_write(p, r, d, NULL, buf, sizes[i]);
		json_t *o = n == 0 ? NULL : json_loadb(buf, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

		if (n > sizes[i] || (n > 0) != json_is_object(o) || (i == 1 && buf != NULL && n == 0))
			abort();
		for (size_t k = 0; k < n; k++)
			if (buf[k] < 0x20 || buf[k] > 0x7e)
				abort();
		json_decref(o);
		free(buf);
	}
}

/* Its canonical form loads, means the same, and is its own; every statement is found by something. */
static void
check_form(const struct policy *p, struct span text)
{
	struct arena *a = arena_new((size_t)256 << 20);
	struct span once = policy_format(a, text), twice = once.p == NULL ? SPAN_NONE : policy_format(a, once);
	struct policy *q = once.p == NULL ? NULL : load(once, false);
	struct policy_stats stats;
	struct residual why;

	policy_stats(p, &stats);
	for (size_t i = 0; i < policy_statements(p); i++)
		if (statement_residual(p, policy_statement_at(p, i), &why) != (why.n == 3))
			abort();
	if (q == NULL || !policy_same(p, q) || !span_eq(once, twice) || stats.statements != policy_statements(p))
		abort();
	policy_unref(q);
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct span ids[] = { { "issuer:a", 8 }, { "subject:a/x", 11 }, { "group:a/g", 9 } };
	struct span text = { (const char *)data, size };
	struct policy *p = load(text, false), *q, *d;
	struct identity who = { .type = PRINCIPAL_JWT, .issuer = SPAN("a"), .subject = SPAN("x"), .ids = ids, .n_ids = 3 };
	struct fact facts[KEY_MAX] = { 0 };
	struct policy_request r = { .now = 1796122800, .facts = facts, .upstream = SPAN("up"), .repository = SPAN("a/b"), .who = &who };

	if (p == NULL)
		return 0;
	check_form(p, text);
	q = load(text, false);
	d = load(text, true);
	who.claims = json_loads("{\"a\":\"1\",\"b\":{\"c\":\"x\"},\"l\":[\"1\"],\"n\":7}", 0, NULL);
	facts[KEY_REGISTRY_TAG] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("v1") };
	facts[KEY_NET_SOURCE_IP] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("192.0.2.1") };
	facts[KEY_REGISTRY_DIGEST].state = FACT_LATER;
	facts[KEY_CLIENT_USER_AGENT].state = FACT_UNKNOWN;
	facts[KEY_CLIENT_VERSION] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("1.2") };
	facts[KEY_SCAN_CRITICAL] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("2") };
	facts[KEY_IMAGE_DIGESTS] = (struct fact){ .state = FACT_PRESENT, .values = ids, .n_values = 3 };
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++) {
		struct decision one, two;

		r.action = (enum policy_action)a;
		policy_decide(p, &r, &one);
		policy_decide_linear(q, &r, &two);
		check_record(p, &r, &one, size);
		if (one.verdict != two.verdict || !span_eq(one.sid, two.sid) || (one.verdict == VERDICT_ALLOW && one.sid.n == 0) ||
		    (one.verdict == VERDICT_NEED) != !key_set_is_empty(&one.need))
			abort();
		if (d != NULL) {
			policy_decide(d, &r, &two);
			if (two.verdict != VERDICT_EXPLICIT_DENY)
				abort();
		}
	}
	json_decref((json_t *)(uintptr_t)who.claims);
	policy_unref(p);
	policy_unref(q);
	policy_unref(d);
	return 0;
}
