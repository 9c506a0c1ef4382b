/*
 * test_stats.c - what a bundle takes, and what the index makes of its statements.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/stats.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	(void)ctx;
	if (lint_row(f->code)->severity == SEVERITY_ERROR)
		CHECK_ROW(f->reason == NULL, f->reason);
}

static struct policy *
load(const char *text)
{
	static const struct policy_names names = { .fetch = reads_fetch };
	struct policy_source s = { "policy.json", span_of(text) };

	return policy_load(&s, 1, &names, on_problem, NULL);
}

#define DOCUMENT(more) "{\"Version\":\"2026-11-01\",\"Zones\":{\"a\":[\"10.0.0.0/8\",\"192.0.2.0/24\"],\"b\":\"::/0\"}," \
	"\"Sets\":{\"bad\":\"file:bad.txt\"},\"Statement\":[" more "]}"
#define STATEMENT(sid, principal, resource, condition) "{\"Sid\":\"" sid "\",\"Effect\":\"Allow\",\"Action\":\"registry:Pull*\"," \
	"\"Principal\":\"" principal "\",\"Resource\":" resource ",\"Condition\":{" condition "}}"

/* ---- how each is found ---- */

static const struct {
	const char *sid;
	int by; /* of enum way */
	size_t fullest;
	const char *why; /* part of a reason that it is residual; NULL: it is not */
} ways[] = {
	{ "Whole", WAY_RESOURCE, 1, NULL },
	{ "Prefix", WAY_RESOURCE, 1, NULL },
	{ "Suffix", WAY_RESOURCE, 1, NULL },
	{ "Two", WAY_RESOURCE, 1, NULL },
	{ "Principal", WAY_PRINCIPAL, 1, NULL },
	{ "Value", WAY_VALUE, 1, NULL },
	{ "Repo", WAY_RESOURCE, 2, "Resource names no repository" },
	{ "Repo2", WAY_RESOURCE, 2, "no condition finds it" },
	{ "Repo3", WAY_PRINCIPAL, 1, NULL },
	{ "Star1", WAY_ALWAYS, 3, "Principal is everybody" },
	{ "Star2", WAY_ALWAYS, 3, "no StringEquals finds it" },
	{ "Mixed", WAY_ALWAYS, 3, "no condition finds it" }, /* one resource says much, the other nothing */
};

static void
test_ways(void)
{
	struct policy *p = load(DOCUMENT(
	    STATEMENT("Whole", "*", "\"repo:up/a\"", "") ","
	    STATEMENT("Prefix", "*", "\"repo:up/team/*\"", "") ","
	    STATEMENT("Suffix", "*", "\"repo:*/sbom\"", "") ","
	    STATEMENT("Two", "*", "[\"repo:up/b\",\"repo:*/c\"]", "") ","
	    STATEMENT("Principal", "group:gh/ops", "\"repo:*\"", "") ","
	    STATEMENT("Value", "*", "\"repo:*\"", "\"StringEquals\":{\"registry:Tag\":[\"v1\",\"v2\"]}") ","
	    STATEMENT("Repo", "*", "\"repo:*\"", "") ","
	    STATEMENT("Repo2", "*", "\"repo:*\"", "\"NumericLessThan\":{\"scan:Critical\":\"1\"}") ","
	    STATEMENT("Repo3", "group:gh/o*", "\"repo:*\"", "\"StringEquals\":{\"net:Sni\":\"${jwt:x}\"}") ","
	    STATEMENT("Star1", "*", "\"*\"", "") ","
	    STATEMENT("Star2", "*", "\"*\"", "\"StringLike\":{\"registry:Tag\":\"v*\"}") ","
	    STATEMENT("Mixed", "*", "[\"repo:up/d\",\"*\"]", "")));

	if (!CHECK(p != NULL && policy_statements(p) == sizeof ways / sizeof *ways))
		return;
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		const struct statement *s = policy_statement_at(p, i);
		struct index_way way;
		struct residual why;
		bool said = false;

		index_way(p->bundle->index[0], s, &way);
		CHECK_ROW(span_eq(s->sid, span_of(ways[i].sid)), ways[i].sid);
		if (!CHECK_ROW((int)way.by == ways[i].by && way.fullest == ways[i].fullest, ways[i].sid))
			fprintf(stderr, "    by %d, fullest %zu\n", (int)way.by, way.fullest);
		CHECK_ROW((way.atom != NULL) == (way.by == WAY_VALUE), ways[i].sid);
		CHECK_ROW(statement_residual(p, s, &why) == (ways[i].why != NULL), ways[i].sid);
		for (size_t k = 0; k < why.n; k++)
			said |= ways[i].why != NULL && strstr(why.why[k], ways[i].why) != NULL;
		CHECK_ROW(said == (ways[i].why != NULL) && (why.n == 3) == said, ways[i].sid);
		/* not of the other index */
		index_way(p->bundle->index[1], s, &way);
		CHECK_ROW(way.by == WAY_ALWAYS && way.fullest == 0, ways[i].sid);
	}
	policy_unref(p);
}

static void
test_same_principal(void)
{
	struct policy *p = load(DOCUMENT(
	    STATEMENT("A", "issuer:gh", "\"*\"", "") ","
	    STATEMENT("B", "issuer:gh", "\"repo:up/a\"", "")));
	struct residual why;

	CHECK(statement_residual(p, policy_statement_at(p, 0), &why) && why.n == 3);
	CHECK(strstr(why.why[1], "the same Principal") != NULL);
	policy_unref(p);
}

/* ---- counts ---- */

static void
test_counts(void)
{
	struct policy *p = load(DOCUMENT(
	    STATEMENT("A", "*", "\"repo:up/a\"", "\"StringMatches\":{\"registry:Tag\":[\"a\",\"b\"]},\"Null\":{\"net:Sni\":\"false\"}") ","
	    "{\"Sid\":\"D\",\"Effect\":\"Deny\",\"Mode\":\"Shadow\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}"));
	struct policy *none = load("{\"Version\":\"2026-11-01\",\"Statement\":[]}");
	struct policy_stats s;

	policy_stats(p, &s);
	CHECK(s.statements == 2 && s.allow == 1 && s.deny == 1 && s.shadow == 1 && s.atoms == 2 && s.regexes == 2);
	CHECK(s.zones == 2 && s.networks == 3 && s.sets == 1 && s.values == 2 && s.set_bytes > 16 * sizeof(struct span));
	CHECK(s.index[0].statements == 1 && s.index[1].statements == 1 && s.index[1].always == 1 && s.index[0].always == 0);
	CHECK(s.regex_bytes > 0 && s.index_bytes > 0 && s.statement_bytes > 2 * sizeof(struct statement));
	CHECK(s.bytes == s.statement_bytes + s.index_bytes + s.regex_bytes && s.bytes_each == s.bytes / 2);
	policy_unref(p);
	policy_stats(none, &s);
	CHECK(s.statements == 0 && s.bytes_each == 0 && s.index[0].buckets == 0);
	policy_unref(none);
}

/* 10,000 statements as teams have them take at most 2 KiB each. */
static void
test_memory(void)
{
	const size_t n = 10000, room = n * 700;
	char *text = malloc(room);
	size_t used = (size_t)snprintf(text, room, "{\"Version\":\"2026-11-01\",\"Statement\":[");
	struct policy_stats s;
	struct policy *p;

	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, room - used,
		    "%s{\"Sid\":\"TeamPushes-%zu\",\"Effect\":\"Allow\",\"Principal\":[\"issuer:github\",\"group:corp/team-%zu\"],"
		    "\"Action\":[\"registry:Push*\",\"registry:Pull*\"],\"Resource\":[\"repo:prod/team-%zu\",\"repo:prod/team-%zu/*\"],"
		    "\"Message\":\"pushes come from the main branch\",\"Labels\":{\"ticket\":\"SEC-%zu\"},"
		    "\"Condition\":{\"StringEquals\":{\"jwt:ref\":\"refs/heads/main\",\"jwt:repository\":\"acme/team-%zu\","
		    "\"jwt:event_name\":[\"push\",\"workflow_dispatch\"]},\"StringLike\":{\"registry:Tag\":\"v*\"}}}",
		    i > 0 ? "," : "", i, i, i, i, i, i);
	snprintf(text + used, room - used, "]}");
	p = load(text);
	if (CHECK(p != NULL)) {
		policy_stats(p, &s);
		if (!CHECK(s.statements == n && s.bytes_each <= 2048))
			fprintf(stderr, "    %zu bytes a statement\n", s.bytes_each);
		CHECK(s.index[0].largest == 1 && s.index[0].always == 0);
	}
	policy_unref(p);
	free(text);
}

int
main(void)
{
	test_ways();
	test_same_principal();
	test_counts();
	test_memory();
	return check_done();
}
