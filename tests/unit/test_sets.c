/*
 * test_sets.c - Sets of policies: large ones, read again alone, and what is no set; and snapshots of many statements.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "policy/set.h"
#include "tests/unit/check.h"

#define MANY 100000

static char *text;		/* of the set file as it is now */
static bool broken;

static bool
fetch(void *ctx, enum policy_file kind, const char *from, const char *name, struct span *out, char *err, size_t err_size)
{
	(void)ctx;
	(void)from;
	if (kind != POLICY_FILE_SET || strcmp(name, "bad.txt") != 0 || broken) {
		snprintf(err, err_size, "cannot be read");
		return false;
	}
	*out = span_of(text);
	return true;
}

static unsigned problems;

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	(void)ctx;
	CHECK(f->reason[0] != '\0');
	problems++;
}

static void
fill(unsigned from, unsigned n)
{
	char *at = text = realloc(text, (size_t)n * 80 + 1);

	for (unsigned i = 0; i < n; i++)
		at += snprintf(at, 80, "sha256:%064x\n", from + i);
	*at = '\0';
}

static enum verdict
pull(const struct policy *p, unsigned digest)
{
	char ask[512], err[256];
	struct policy_query q;
	struct decision d;
	json_t *o;

	snprintf(ask, sizeof ask, "{\"principal\":[\"anonymous\"],\"action\":\"registry:PullManifest\",\"resource\":\"repo:up/a\","
	    "\"context\":{\"registry:Digest\":\"sha256:%064x\"}}", digest);
	o = json_loads(ask, 0, NULL);
	CHECK(policy_query_read(&q, o, 1796122800, err, sizeof err));
	policy_decide(p, &q.request, &d);
	policy_query_clear(&q);
	json_decref(o);
	return d.verdict;
}

static void
test_reload(void)
{
	static const char document[] = "{\"Version\":\"2026-11-01\",\"Sets\":{\"bad\":\"file:bad.txt\"},\"Statement\":["
	    "{\"Sid\":\"All\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"registry:Pull*\",\"Resource\":\"*\"},"
	    "{\"Sid\":\"Bad\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"registry:*\",\"Resource\":\"*\","
	    "\"Condition\":{\"StringEquals\":{\"registry:Digest\":\"${set:bad}\"}}}]}";
	struct policy_source source = { "sets.json", SPAN(document) };
	struct policy_names names = { .fetch = fetch };
	struct policy *p, *fresh;
	char before[128];

	fill(0, MANY);
	p = policy_load(&source, 1, &names, on_problem, NULL);
	if (!CHECK(p != NULL && problems == 0))
		return;
	CHECK(pull(p, 0) == VERDICT_EXPLICIT_DENY && pull(p, MANY - 1) == VERDICT_EXPLICIT_DENY && pull(p, MANY) == VERDICT_ALLOW);
	snprintf(before, sizeof before, "%s", policy_hash(p));
	fill(MANY, 3);
	fresh = policy_reload_sets(p, fetch, NULL, on_problem, NULL);
	CHECK(fresh != NULL && strcmp(policy_hash(fresh), before) != 0 && strcmp(policy_hash(p), before) == 0);
	CHECK(pull(fresh, 0) == VERDICT_ALLOW && pull(fresh, MANY + 2) == VERDICT_EXPLICIT_DENY);
	CHECK(pull(p, 0) == VERDICT_EXPLICIT_DENY && pull(p, MANY + 2) == VERDICT_ALLOW);	/* what began goes on with what it had */
	policy_unref(fresh);
	broken = true;
	CHECK(policy_reload_sets(p, fetch, NULL, on_problem, NULL) == NULL && problems > 0);
	broken = false;
	CHECK(pull(p, 0) == VERDICT_EXPLICIT_DENY);
	policy_unref(p);
}

static void
test_files(void)
{
	static const struct {
		const char *text;
		size_t n;		/* values; SIZE_MAX: refused */
		int line;
	} rows[] = {
		{ "", 0, 0 }, { "\n\n# none\n", 0, 0 }, { "a", 1, 0 }, { "a\nb\na\n", 2, 0 }, { "  a \t\r\nb", 2, 0 }, { "a b\n", 1, 0 },
		{ "a\nb\x01\n", SIZE_MAX, 2 }, { "a\n\x7f\n", SIZE_MAX, 2 },
	};
	char *large = malloc(SET_VALUE_MAX + 2), err[256];
	struct set *s;
	int line;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		line = 0;
		s = set_parse(span_of(rows[i].text), &line, err, sizeof err);
		CHECK_ROW((s == NULL) == (rows[i].n == SIZE_MAX), rows[i].text);
		CHECK_ROW(s != NULL ? set_size(s) == rows[i].n : line == rows[i].line, rows[i].text);
		set_unref(s == NULL ? NULL : set_ref(s));
		set_unref(s);
	}
	for (size_t n = SET_VALUE_MAX; n <= SET_VALUE_MAX + 1; n++) {
		memset(large, 'a', n);
		s = set_parse((struct span){ large, n }, &line, err, sizeof err);
		CHECK((s != NULL) == (n == SET_VALUE_MAX));
		CHECK(s == NULL || (set_contains(s, (struct span){ large, n }) && !set_contains(s, (struct span){ large, n - 1 })));
		set_unref(s);
	}
	free(large);
}

static void
test_too_many(void)
{
	char *many = malloc((SET_VALUES_MAX + 1) * 9), err[256] = "", *at = many;
	int line = 0;

	for (unsigned i = 0; i <= SET_VALUES_MAX; i++)
		at += snprintf(at, 9, "%07x\n", i);
	CHECK(set_parse((struct span){ many, (size_t)(at - many) }, &line, err, sizeof err) == NULL && strstr(err, "values") != NULL);
	free(many);
}

/* Many statements, each for another team and key: every one is found, and none speaks for another. */
static void
test_statements(void)
{
	enum { N = 5000 };
	char *document = malloc((N + 2) * 400u), *at = document;
	struct policy_source source = { "many.json", SPAN_NONE };
	struct policy *p;
	unsigned wrong = 0;

	at += snprintf(at, 400, "{\"Version\":\"2026-11-01\",\"Statement\":[");
	for (unsigned i = 0; i < N; i++)
		at += snprintf(at, 400, "%s{\"Sid\":\"S%u\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"registry:PullManifest\","
		    "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"registry:Digest\":\"sha256:%064x\"}}}", i > 0 ? "," : "", i, i);
	at += snprintf(at, 400, "]}");
	source.text = (struct span){ document, (size_t)(at - document) };
	p = policy_load(&source, 1, NULL, on_problem, NULL);
	if (CHECK(p != NULL && policy_statements(p) == N)) {
		for (unsigned i = 0; i < N + 10; i += 7)
			wrong += pull(p, i) != (i < N ? VERDICT_ALLOW : VERDICT_DENY);
		CHECK(wrong == 0);
	}
	policy_unref(p);
	free(document);
}

int
main(void)
{
	test_reload();
	test_files();
	test_too_many();
	test_statements();
	free(text);
	return check_done();
}
