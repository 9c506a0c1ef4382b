/*
 * test_view.c - an identity reduced to what a policy can tell apart gets the same answers from it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/arena.h"
#include "policy/view.h"
#include "tests/unit/check.h"

static struct arena *arena;
static uint32_t seed = 20261127;

static uint32_t
dice(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	if (*(bool *)ctx)
		fprintf(stderr, "%d: %s\n", f->line, f->reason);
}

/* NULL when the linter does not take it, which must: it does. */
static struct policy *
policy_of(const char *statements, bool must)
{
	struct span text = arena_printf(arena, "{\"Version\":\"2026-11-01\",\"Statement\":[%s]}", statements);
	struct policy_source source = { "p", text };
	struct policy *p = policy_load(&source, 1, NULL, on_problem, &must);

	if (must)
		CHECK_ROW(p != NULL, text.p);
	return p;
}

#define STATEMENT(principal, condition) "{\"Sid\":\"S\",\"Effect\":\"Allow\",\"Principal\":[" principal "]," \
	"\"Action\":[\"registry:Pull*\"],\"Resource\":[\"repo:up/${jwt:team, 'x'}/*\"]" condition "}"

static void
name_of(const char *statement, char out[static VIEW_NAME + 1])
{
	struct policy *p = policy_of(statement, true);
	struct view *v = view_new(p);

	CHECK(v != NULL && strlen(view_name(v)) == VIEW_NAME);
	snprintf(out, VIEW_NAME + 1, "%s", view_name(v));
	view_free(v);
	policy_unref(p);
}

/* Which policies look at the same things? */
static void
test_names(void)
{
	char base[VIEW_NAME + 1], other[VIEW_NAME + 1];
	static const struct {
		const char *statement;
		bool same;
	} rows[] = {
		{ STATEMENT("\"group:a/x\"", ""), true },
		{ STATEMENT("\"group:a/x\", \"subject:a/me\"", ""), true },
		{ STATEMENT("\"group:a/x\"", ",\"Condition\":{\"IpAddress\":{\"net:SourceIp\":[\"192.0.2.0/24\"]}}"), true },
		{ STATEMENT("\"group:a/x\"", ",\"Condition\":{\"StringEquals\":{\"jwt:team\":[\"x\"]}}"), true },
		{ STATEMENT("\"group:a/y\"", ""), false },
		{ STATEMENT("\"group:a/x\", \"group:a/y\"", ""), false },
		{ STATEMENT("\"group:a/x*\"", ""), false },
		{ STATEMENT("\"role:a/x\"", ""), false },
		{ STATEMENT("\"group:a/x\"", ",\"Condition\":{\"StringEquals\":{\"jwt:other\":[\"x\"]}}"), false },
		{ STATEMENT("\"group:a/x\"", ",\"Condition\":{\"StringEquals\":{\"registry:Tag\":[\"${jwt:other, 'v1'}\"]}}"), false },
		{ STATEMENT("\"group:a/x\"", ",\"Condition\":{\"ForAnyValue:StringLike\":{\"principal:ids\":[\"role:*\"]}}"), false },
	};

	name_of(rows[0].statement, base);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		name_of(rows[i].statement, other);
		CHECK_ROW((strcmp(base, other) == 0) == rows[i].same, rows[i].statement);
	}
}

/* Every reading of a dotted path stays, and nothing else. */
static void
test_claims(void)
{
	static const struct {
		const char *claims, *want;
	} rows[] = {
		{ "{}", "{}" },
		{ "{\"a\":1}", "{}" },
		{ "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":3}}", "{\"a\":{\"b\":{\"c\":1}}}" },
		{ "{\"a.b.c\":1,\"a\":{\"b.c\":2,\"b\":{\"c\":3}}}", "{\"a\":{\"b\":{\"c\":3},\"b.c\":2},\"a.b.c\":1}" },
		{ "{\"a.b\":{\"c\":[1,2],\"x\":0}}", "{\"a.b\":{\"c\":[1,2]}}" },
		{ "{\"a\":5}", "{}" },
		{ "{\"w\":{\"any\":{\"thing\":1}}}", "{\"w\":{\"any\":{\"thing\":1}}}" },
		{ "{\"w\":null}", "{\"w\":null}" },
		{ "{\"_claim_names\":{\"w\":\"src\"},\"x\":1}", "{\"_claim_names\":{\"w\":\"src\"}}" },
		{ "{\"hasgroups\":true}", "{\"hasgroups\":true}" },
	};
	struct policy *p = policy_of(STATEMENT("\"issuer:a\"",
	    ",\"Condition\":{\"StringEquals\":{\"jwt:a.b.c\":[\"1\"],\"jwt:w\":[\"1\"],\"jwt:w.any\":[\"1\"]}}"), true);
	struct view *v = view_new(p);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *in = json_loads(rows[i].claims, 0, NULL), *want = json_loads(rows[i].want, 0, NULL), *got = view_claims(v, in);
		char *before = json_dumps(in, JSON_SORT_KEYS), *after;

		CHECK_ROW(json_equal(got, want), rows[i].claims);
		json_decref(got);
		after = json_dumps(in, JSON_SORT_KEYS);
		CHECK_ROW(strcmp(before, after) == 0, rows[i].claims);	/* what it was made of is as it was */
		free(before);
		free(after);
		json_decref(in);
		json_decref(want);
	}
	view_free(v);
	policy_unref(p);
}

/* ---- any policy, any identity ---- */

static const char *const principals[] = { "*", "issuer:a", "subject:a/me", "subject:a/*", "group:a/g1", "group:a/g2", "group:a/g*",
	"group:a/?9", "group:b/g1", "role:a/r1", "role:a/*", "group:a/*x*" };
static const char *const conditions[] = {
	"\"StringEquals\":{\"jwt:team\":[\"t1\"]}",
	"\"ForAnyValue:StringEquals\":{\"jwt:teams\":[\"t1\",\"t2\"]}", "\"Null\":{\"jwt:deep.er\":\"false\"}",
	"\"StringLike\":{\"jwt:deep.er\":[\"t*\"]}",
	"\"NumericLessThan\":{\"principal:AuthAgeSeconds\":\"50\"}", "\"ForAnyValue:StringLike\":{\"principal:ids\":[\"group:a/g7*\"]}" };
static const char *const resources[] = { "repo:up/app", "repo:up/*", "repo:up/${jwt:team}", "repo:up/${jwt:deep.er, 'app'}" };

static struct policy *
any_policy(void)
{
	char text[8192] = "";
	size_t n = 0;
	uint32_t count = 1 + dice(5);

	for (uint32_t i = 0; i < count; i++) {
		/* what looks at all ids makes the rest pointless: seldom */
		uint32_t c = dice(40) == 0 ? 5 : dice(5);
		bool conditional = dice(2) == 0;

		n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"Sid\":\"S%u\",\"Effect\":\"%s\",\"Principal\":[\"%s\",\"%s\"],"
		    "\"Action\":[\"registry:PullBlob\"],\"Resource\":[\"%s\"]%s%s%s}", i > 0 ? "," : "", i, dice(3) == 0 ? "Deny" : "Allow",
		    principals[dice(12)], principals[1 + dice(11)], resources[dice(4)], conditional ? ",\"Condition\":{" : "",
		    conditional ? conditions[c] : "", conditional ? "}" : "");
	}
	return policy_of(text, false);
}

static const struct identity *
any_identity(json_t **claims)
{
	static char names[2][16][8];
	struct span lists[2][16];
	struct identity parts = { .type = PRINCIPAL_JWT, .issuer = SPAN("a"), .subject = SPAN("me"), .issued_at = 1000 };

	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 16; i++) {
			snprintf(names[k][i], sizeof names[k][i], "%c%u%s", k == 0 ? 'g' : 'r', dice(12), dice(4) == 0 ? "x" : "");
			lists[k][i] = span_of(names[k][i]);
		}
	}
	parts.groups = lists[0];
	parts.n_groups = dice(16);
	parts.roles = lists[1];
	parts.n_roles = dice(4);
	*claims = json_object();
	if (dice(2) == 0)
		json_object_set_new(*claims, "team", dice(2) == 0 ? json_string("t1") : json_integer(1));
	if (dice(2) == 0)
		json_object_set_new(*claims, "teams", json_pack("[s,s]", "t2", "t3"));
	if (dice(2) == 0)
		json_object_set_new(*claims, "deep", dice(3) == 0 ? json_string("t") : json_pack("{s:s,s:s}", "er", "app", "other", "x"));
	if (dice(3) == 0)
		json_object_set_new(*claims, "deep.er", json_string("t9"));
	json_object_set_new(*claims, "noise", json_string("noise"));
	/* some of it elsewhere: unknown, not absent */
	parts.groups_unknown = dice(4) == 0;
	if (dice(4) == 0)
		json_object_set_new(*claims, "_claim_names", dice(4) == 0 ? json_string("x") : json_pack("{s:s}", dice(2) == 0 ? "team" : "deep", "s"));
	parts.claims = *claims;
	return identity_within(&parts, *claims);
}

static const struct identity *
reduced(const struct view *v, const struct identity *who)
{
	struct identity parts = *who;
	struct span groups[16], roles[16];
	bool keep[2][16];
	json_t *claims = view_claims(v, who->claims);

	CHECK(claims != NULL && view_names(v, "group", who->issuer, who->groups, who->n_groups, keep[0]) &&
	    view_names(v, "role", who->issuer, who->roles, who->n_roles, keep[1]));
	parts.n_groups = parts.n_roles = 0;
	for (size_t i = 0; i < who->n_groups; i++)
		if (keep[0][i])
			groups[parts.n_groups++] = who->groups[i];
	for (size_t i = 0; i < who->n_roles; i++)
		if (keep[1][i])
			roles[parts.n_roles++] = who->roles[i];
	parts.groups = groups;
	parts.roles = roles;
	parts.claims = claims;
	return identity_within(&parts, claims);
}

static void
test_any(void)
{
	static const char *const repositories[] = { "app", "t1", "t9", "other" };
	static struct fact facts[KEY_MAX];
	unsigned long kept = 0, all = 0, allowed = 0;
	unsigned taken = 0;

	for (unsigned round = 0; round < 8000; round++) {
		struct policy *p = any_policy();
		const struct identity *who, *small;
		struct view *v;
		json_t *claims;

		arena_reset(arena);
		if (p == NULL)
			continue;
		taken++;
		v = view_new(p);
		who = any_identity(&claims);
		small = reduced(v, who);
		all += who->n_ids;
		kept += small->n_ids;
		for (unsigned i = 0; i < 4; i++) {
			struct policy_request q = { .action = ACTION_PullBlob, .upstream = SPAN("up"), .repository = span_of(repositories[i]),
				.who = who, .now = 1040, .facts = facts };
			struct decision full, less;

			policy_decide(p, &q, &full);
			q.who = small;
			policy_decide(p, &q, &less);
			CHECK(full.verdict == less.verdict && span_eq(full.sid, less.sid) && full.unknown == less.unknown);
			allowed += full.verdict == VERDICT_ALLOW;
		}
		identity_unref(small);
		identity_unref(who);
		view_free(v);
		policy_unref(p);
	}
	CHECK(taken > 1000 && allowed > 500 && kept < all * 3 / 4);
	printf("note: %u policies, %lu of %lu ids kept, %lu questions allowed\n", taken, kept, all, allowed);
}

int
main(void)
{
	arena = arena_new((size_t)1 << 20);
	test_names();
	test_claims();
	test_any();
	arena_free(arena);
	return check_done();
}
