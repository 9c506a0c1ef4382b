/*
 * test_policy.c - the vectors of tests/policy: decisions, and documents that must not load.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <glob.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

#define SOURCES_MAX 8
#define NOW		1796122800	/* Tuesday, 1 December 2026, 11:00 UTC */

static const char *const issuers[] = { "gh", "gl" };
static const char *const upstreams[] = { "up", "up2", "v" };
static const struct policy_names names = { .issuers = issuers, .n_issuers = 2, .upstreams = upstreams, .n_upstreams = 3,
	.fetch = reads_fetch, .linting = LINTING_OFF };
static struct policy_names unchecked = { .fetch = reads_fetch, .linting = LINTING_OFF };	/* any_vocabulary: of the group being run */

/* ---- loading ---- */

struct problems {
	size_t n;
	int line;
	char reason[2048];
	char all[8192];
};

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	struct problems *p = ctx;
	char text[FINDING_TEXT_MAX];
	size_t used = strlen(p->all);

	policy_finding_text(f, text);
	if (lint_row(f->code)->severity == SEVERITY_ERROR && p->n++ == 0) {
		p->line = f->line;
		snprintf(p->reason, sizeof p->reason, "%s", f->reason);
	}
	snprintf(p->all + used, sizeof p->all - used, "%s:%d: %s\n", f->file, f->line, text);
}

static struct policy *
load_text(struct span text, struct problems *problems)
{
	struct policy_source s = { "policy.json", text };

	*problems = (struct problems){ 0 };
	return policy_load(&s, 1, &names, on_problem, problems);
}

/* The documents of an array, and `extra` (NULL: none) as one more. */
static struct policy *
load_documents(const json_t *documents, const char *extra)
{
	struct policy_source sources[SOURCES_MAX + 1];
	char *texts[SOURCES_MAX];
	struct problems problems = { 0 };
	size_t n = json_array_size(documents);
	struct policy *p;

	for (size_t i = 0; i < n; i++) {
		texts[i] = json_dumps(json_array_get(documents, i), 0);
		sources[i] = (struct policy_source){ "vector", span_of(texts[i]) };
	}
	if (extra != NULL)
		sources[n] = (struct policy_source){ "extra", span_of(extra) };
	p = policy_load(sources, n + (extra != NULL), &unchecked, on_problem, &problems);
	if (p == NULL)
		fputs(problems.all, stderr);
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	return p;
}

static bool
has_cut(const json_t *context)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)context, key, v)
		if (json_object_get(v, "cut") != NULL)
			return true;
	return false;
}

/* The request that a record keeps, asked again, is answered as it was: the record has all that the answer hung on. */
static void
check_replay(const struct policy *p, const json_t *record, const struct decision *d, const char *name)
{
	json_t *o = json_pack("{s:O, s:O, s:O, s:O}", "principal", json_object_get(record, "principal"), "action",
	    json_object_get(record, "action"), "resource", json_object_get(record, "resource"), "context",
	    json_object_get(record, "context"));
	struct policy_query q = { .arena = NULL };
	struct decision again = { .verdict = VERDICT_DENY };
	char err[512] = "a member is missing";

	if (!CHECK_ROW(o != NULL && policy_query_read_part(&q, o, 0, err, sizeof err), name))
		fprintf(stderr, "    %s\n", err);
	else
		policy_decide(p, &q.request, &again);
	/* of a long value only the beginning is kept: then it cannot be told, or never hung on that */
	if (again.verdict == VERDICT_NEED && d->verdict != VERDICT_NEED && has_cut(json_object_get(record, "context")))
		again = *d;
	CHECK_ROW(again.verdict == d->verdict && span_eq(again.sid, d->sid) && again.unknown == d->unknown &&
	    memcmp(&again.need, &d->need, sizeof again.need) == 0 && again.shadow.differs == d->shadow.differs, name);
	policy_query_clear(&q);
	json_decref(o);
}

/* The record says what was decided, by which statement, and why: for every vector. */
static void
check_record(const struct policy *p, const struct policy_request *r, const struct decision *d, const char *name)
{
	char text[65536];
	size_t n = policy_record_write(p, r, d, NULL, text, sizeof text), i;
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL), *near = json_object_get(o, "near"), *miss;

	CHECK_ROW(o != NULL && json_object_get(o, "cut") == NULL, name);
	CHECK_ROW(strcmp(json_string_value(json_object_get(o, "decision")), verdict_name(d->verdict)) == 0, name);
	CHECK_ROW((d->by != NULL) == json_is_array(json_object_get(o, "why")), name);
	CHECK_ROW(d->by == NULL || json_array_size(json_object_get(o, "why")) == d->by->n_atoms, name);
	if (d->sid.n > 0)
		CHECK_ROW(span_eq(d->sid, span_of(json_string_value(json_object_get(o, "sid")))), name);
	CHECK_ROW(json_array_size(near) == d->n_near && (near == NULL || d->verdict != VERDICT_ALLOW), name);
	json_array_foreach (near, i, miss) {
		const char *result = json_string_value(json_object_get(json_object_get(miss, "failed"), "r"));

		CHECK_ROW(result != NULL && strcmp(result, "match") != 0, name);	/* what it failed by */
	}
	CHECK_ROW(json_is_array(json_object_get(o, "need")) == (d->verdict == VERDICT_NEED), name);
	CHECK_ROW(json_is_object(json_object_get(o, "shadow")) == d->shadow.differs, name);
	if (!unchecked.any_vocabulary)
		check_replay(p, o, d, name);
	json_decref(o);
}

static enum verdict
ask(const struct policy *p, const json_t *o, struct decision *d)
{
	struct policy_query q;
	char err[512];

	*d = (struct decision){ 0 };
	if (!CHECK_ROW(unchecked.any_vocabulary ? policy_query_read_any(&q, o, NOW, err, sizeof err) :
		policy_query_read(&q, o, NOW, err, sizeof err), json_string_value(json_object_get(o, "name"))))
		fprintf(stderr, "    %s\n", err);
	else
		policy_decide(p, &q.request, d), check_record(p, &q.request, d, json_string_value(json_object_get(o, "name")));
	policy_query_clear(&q);
	return d->verdict;
}

/* ---- what must hold of every vector beside its own expectation ---- */

static json_t *
reversed(const json_t *documents)
{
	json_t *out = json_deep_copy(documents);
	size_t i;
	json_t *doc;

	json_array_foreach (out, i, doc) {
		json_t *list = json_object_get(doc, "Statement"), *back = json_array();

		if (!json_is_array(list)) {
			json_decref(back);
			continue;
		}
		for (size_t k = json_array_size(list); k > 0; k--)
			json_array_append(back, json_array_get(list, k - 1));
		json_object_set_new(doc, "Statement", back);
	}
	return out;
}

/* A fact that becomes unknown never gives a right. */
static void
check_unknown(const struct policy *p, const json_t *request, enum verdict before, const char *name)
{
	json_t *context = json_object_get(request, "context"), *v;
	const char *key;

	json_object_foreach (context, key, v) {
		json_t *other = json_deep_copy(request);
		struct decision d;

		if (json_is_object(v)) {	/* a claim with others inside: they would be gone, not unknown */
			json_decref(other);
			continue;
		}
		json_object_set_new(json_object_get(other, "context"), key, json_pack("{s:b}", "unknown", 1));
		CHECK_ROW(before == VERDICT_ALLOW || before == VERDICT_NEED || ask(p, other, &d) != VERDICT_ALLOW, name);
		json_decref(other);
	}
}

static void
check_case(const struct policy *p, const struct policy *back, const struct policy *denied, const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *expect = json_string_value(json_object_get(o, "expect"));
	const json_t *sid = json_object_get(o, "sid");
	struct decision d, other;

	ask(p, o, &d);
	if (!CHECK_ROW(strcmp(verdict_name(d.verdict), expect) == 0, name))
		fprintf(stderr, "    got %s, want %s\n", verdict_name(d.verdict), expect);
	if (sid != NULL)
		CHECK_ROW(span_eq(d.sid, span_of(json_string_value(sid))), name);
	else
		CHECK_ROW(d.verdict != VERDICT_DENY || d.sid.n == 0, name);
	CHECK_ROW((d.verdict == VERDICT_NEED) == !key_set_is_empty(&d.need), name);
	CHECK_ROW(ask(back, o, &other) == d.verdict, name);
	CHECK_ROW(ask(denied, o, &other) == VERDICT_EXPLICIT_DENY, name);
	check_unknown(p, o, d.verdict, name);
}

static void
check_group(const json_t *group)
{
	static const char deny_all[] = "{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"deny-all\",\"Effect\":\"Deny\","
				       "\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"*\"}]}";
	json_t *policy = json_object_get(group, "policy");	/* documents, one, or the file of one */
	json_t *documents = json_is_array(policy) ? json_incref(policy) : json_is_string(policy) ?
	    json_pack("[o]", json_load_file(json_string_value(policy), 0, NULL)) : json_pack("[O]", policy);
	const json_t *any = json_object_get(group, "vocabulary");
	json_t *back = reversed(documents), *o;
	struct policy *p, *b, *d;
	size_t i;

	unchecked.any_vocabulary = any != NULL;
	p = load_documents(documents, NULL);
	b = load_documents(back, NULL);
	d = load_documents(documents, deny_all);

	CHECK(p != NULL && b != NULL && d != NULL);
	json_array_foreach (json_object_get(group, "cases"), i, o) {
		if (p != NULL && b != NULL && d != NULL)
			check_case(p, b, d, o);
	}
	unchecked.any_vocabulary = false;
	policy_unref(p);
	policy_unref(b);
	policy_unref(d);
	json_decref(back);
	json_decref(documents);
}

static void
test_vectors(void)
{
	glob_t files;
	size_t groups = 0;

	CHECK(glob("tests/policy/*.json", 0, NULL, &files) == 0);
	for (size_t f = 0; f < files.gl_pathc; f++) {
		json_error_t e;
		json_t *list = json_load_file(files.gl_pathv[f], JSON_REJECT_DUPLICATES, &e), *group;
		size_t i;

		if (strstr(files.gl_pathv[f], "errors.json") == NULL) {
			if (!CHECK_ROW(list != NULL, files.gl_pathv[f]))
				fprintf(stderr, "    %d: %s\n", e.line, e.text);
			json_array_foreach (list, i, group) {
				check_group(group);
				groups++;
			}
		}
		json_decref(list);
	}
	globfree(&files);
	CHECK(groups > 50);
}

/* ---- documents that must not load ---- */

static const char *const lines[] = {
	"{", "  \"Version\": \"2026-11-01\",", "  \"Statement\": [", "    {", "      \"Sid\": \"S\",", "      \"Effect\": \"Allow\",",
	"      \"Principal\": \"*\",", "      \"Action\": \"registry:Pull*\",", "      \"Resource\": \"*\",", "      \"Condition\": {}",
	"    }", "  ]", "}"
};

/* The sample with some of its lines changed, with LF or CRLF. */
static size_t
sample(const json_t *change, const char *eol, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		char number[8];
		const json_t *text;

		snprintf(number, sizeof number, "%zu", i + 1);
		text = json_object_get(change, number);
		n += (size_t)snprintf(out + n, size - n, "%s%s", text == NULL ? lines[i] : json_string_value(text), eol);
	}
	return n;
}

static void
test_errors(void)
{
	static char text[1 << 16];
	json_t *rows = json_load_file("tests/policy/errors.json", JSON_REJECT_DUPLICATES, NULL), *row;
	struct problems problems;
	struct policy *p;
	size_t i, n;

	p = load_text((struct span){ text, sample(NULL, "\n", text, sizeof text) }, &problems);
	CHECK(p != NULL && policy_statements(p) == 1);
	policy_unref(p);
	CHECK(json_array_size(rows) >= 70);
	json_array_foreach (rows, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));
		int line = (int)json_integer_value(json_object_get(row, "line"));

		for (int crlf = 0; crlf < 2; crlf++) {
			n = sample(json_object_get(row, "change"), crlf ? "\r\n" : "\n", text, sizeof text);
			p = load_text((struct span){ text, n }, &problems);
			CHECK_ROW(p == NULL && problems.n > 0, name);
			if (!CHECK_ROW(problems.line == line &&
			    strstr(problems.reason, json_string_value(json_object_get(row, "reason"))) != NULL, name))
				fprintf(stderr, "    %s", problems.all);
			policy_unref(p);
		}
		/* cut anywhere, it is no document */
		for (size_t cut = n - 7; cut > 0; cut -= cut > 37 ? 37 : cut) {
			p = load_text((struct span){ text, cut }, &problems);
			CHECK_ROW(p == NULL && problems.n > 0 && problems.line >= 1, name);
			policy_unref(p);
		}
	}
	json_decref(rows);
}

/* All of them are told, not only the first. */
static void
test_all_problems(void)
{
	static const char bad[] = "{\"Version\":\"2026-11-01\",\"Statement\":[\n{\"Sid\":\"a b\",\n\"Effect\":\"x\",\n\"Principal\":\"y\",\n"
				  "\"Action\":\"z\",\n\"Resource\":\"q\"},\n{}]}";
	struct problems problems;

	CHECK(load_text(SPAN(bad), &problems) == NULL);
	CHECK(problems.n == 5 + 5);
	for (int line = 2; line <= 7; line++) {
		char where[32];

		snprintf(where, sizeof where, "policy.json:%d: ", line);
		CHECK_ROW(strstr(problems.all, where) != NULL, where);
	}
}

static void
test_snapshot(void)
{
	static const char one[] = "{\"Version\":\"2026-11-01\",\"Statement\":[]}", other[] = "{\"Version\":\"2026-11-01\",\"Statement\":[] }";
	struct policy_source two[] = { { "a", SPAN(one) }, { "b", SPAN(other) } };
	struct policy *p = load_documents(NULL, one), *q = load_documents(NULL, other), *r = load_documents(NULL, one), *s;
	struct problems problems = { 0 };
	struct decision d = { .verdict = VERDICT_ALLOW };
	struct policy_request request = { .action = ACTION_Ping };

	CHECK(strlen(policy_hash(p)) == 71 && strncmp(policy_hash(p), "sha256:", 7) == 0);
	CHECK(strcmp(policy_hash(p), policy_hash(q)) != 0 && strcmp(policy_hash(p), policy_hash(r)) == 0);
	s = policy_load(two, 2, NULL, on_problem, &problems);
	CHECK(s != NULL && strcmp(policy_hash(s), policy_hash(p)) != 0);
	policy_decide(p, &request, &d);	/* nobody asks */
	CHECK(d.verdict == VERDICT_DENY);
	CHECK(policy_ref(p) == p);
	policy_unref(p);
	CHECK(policy_statements(p) == 0);
	policy_unref(p);
	policy_unref(q);
	policy_unref(r);
	policy_unref(s);
	policy_unref(NULL);
}

static void
test_names(void)
{
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++)
		CHECK(policy_action_parse(span_of(policy_action_name((enum policy_action)a))) == (enum policy_action)a);
	CHECK(policy_action_parse(SPAN("registry:pullblob")) == ACTION_NONE);
	CHECK(strcmp(policy_action_name(ACTION_MAX), "none") == 0);
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);

		CHECK_ROW(key_find(span_of(row->name)) == (enum policy_key)k, row->name);
		CHECK_ROW(row->on != 0 && (row->always & ~row->on) == 0, row->name);
	}
}

/* A request that is not understood is no question. */
static void
test_queries(void)
{
	static const char *const bad[] = {
		"[]", "{}", "{\"principal\":[],\"action\":\"registry:Ping\",\"resource\":\"registry:up\"}",
		"{\"principal\":\"x\",\"action\":\"registry:Ping\",\"resource\":\"registry:up\"}",
		"{\"principal\":[1],\"action\":\"registry:Ping\",\"resource\":\"registry:up\"}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Pong\",\"resource\":\"registry:up\"}",
		"{\"principal\":[\"x\"],\"action\":1,\"resource\":\"registry:up\"}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"up\"}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"repo:up\"}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"repo:up/\"}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"contxt\":{}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":[]}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"a:b\":1}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"registry:Tag\":[]}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"registry:Tag\":[1.5]}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"registry:Tag\":{}}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"principal:ids\":[\"x\"]}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"principal:Type\":\"x\"}}",
		"{\"principal\":[\"x\"],\"action\":\"registry:Ping\",\"resource\":\"registry:up\",\"context\":{\"jwt:x\":{\"later\":true}}}",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *o = json_loads(bad[i], 0, NULL);
		struct policy_query q;
		char err[512] = "";

		CHECK_ROW(!policy_query_read(&q, o, NOW, err, sizeof err) && err[0] != '\0', bad[i]);
		policy_query_clear(&q);
		json_decref(o);
	}
}

/* ---- the index against asking every statement ---- */

static uint32_t seed = 20261101;

static unsigned
below(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

/* A resource pattern, or a resource, of a small alphabet. */
static size_t
random_resource(char *out, size_t size, bool pattern)
{
	static const char *const pieces[] = { "a", "b", "ab", "a-b", "*", "?", "${jwt:t}", "a*", "*b", "a/b" };
	size_t n = (size_t)snprintf(out, size, "repo:%s", pattern && below(8) == 0 ? "u*" : below(6) == 0 ? "v" : "up");

	if (pattern && below(12) == 0)
		return (size_t)snprintf(out, size, "%s", below(2) ? "*" : "registry:up");
	for (unsigned segments = 1 + below(3); segments > 0; segments--)
		n += (size_t)snprintf(out + n, size - n, "/%s", pieces[below(pattern ? 10 : 4)]);
	return n;
}

static size_t
random_policy(char *out, size_t size)
{
	static const char *const actions[] = { "registry:Pull*", "registry:PullBlob", "*", "registry:Push*" };
	static const char *const conditions[] = { "", ",\"Condition\":{\"StringEquals\":{\"registry:Tag\":\"v1\"}}",
		",\"Condition\":{\"StringNotEquals\":{\"registry:Digest\":\"x\"}}", ",\"Condition\":{\"Null\":{\"jwt:t\":\"false\"}}" };
	size_t n = (size_t)snprintf(out, size, "{\"Version\":\"2026-11-01\",\"Statement\":[");
	unsigned statements = 1 + below(12);

	for (unsigned i = 0; i < statements; i++) {
		char one[256], two[256];

		random_resource(one, sizeof one, true);
		random_resource(two, sizeof two, true);
		n += (size_t)snprintf(out + n, size - n,
		    "%s{\"Sid\":\"s%u\",\"Effect\":\"%s\",\"Principal\":\"*\",\"Action\":\"%s\",\"Resource\":[\"%s\",\"%s\"]%s}",
		    i > 0 ? "," : "", i, below(4) == 0 ? "Deny" : "Allow", actions[below(4)], one, below(2) ? one : two, conditions[below(4)]);
	}
	return n + (size_t)snprintf(out + n, size - n, "]}");
}

static void
test_index(void)
{
	static const struct span ids[] = { { "issuer:gh", 9 } };
	static const enum policy_action actions[] = { ACTION_PullBlob, ACTION_PushBlob, ACTION_ListTags };
	json_t *claims = json_loads("{\"t\":\"a\"}", 0, NULL);
	struct identity who = { .type = PRINCIPAL_JWT, .ids = ids, .n_ids = 1, .claims = claims };
	size_t differ = 0, allowed = 0, near = 0, asked = 0;

	for (unsigned round = 0; round < 4000; round++) {
		char text[8192], resource[256];
		struct problems problems;
		struct policy *p;

		random_policy(text, sizeof text);
		p = load_text(span_of(text), &problems);
		if (p == NULL)
			continue;	/* an alias by pattern only, or the like */
		for (unsigned k = 0; k < 12; k++) {
			struct fact facts[KEY_MAX] = { 0 };
			struct policy_request r = { .action = actions[below(3)], .who = &who, .facts = facts };
			struct decision one, other;
			char *slash;

			random_resource(resource, sizeof resource, false);
			slash = strchr(resource, '/');
			r.upstream = (struct span){ resource + 5, (size_t)(slash - resource) - 5 };
			r.repository = span_of(slash + 1);
			facts[KEY_REGISTRY_TAG] = (struct fact){ .state = (enum fact_state)below(3), .value = SPAN("v1") };
			facts[KEY_REGISTRY_DIGEST].state = below(2) ? FACT_LATER : FACT_ABSENT;
			policy_decide(p, &r, &one);
			policy_decide_linear(p, &r, &other);
			differ += one.verdict != other.verdict || memcmp(&one.need, &other.need, sizeof one.need) != 0 || one.unknown != other.unknown ||
			    !span_eq(one.sid, other.sid) || one.n_near != other.n_near;
			near += one.n_near;
			allowed += one.verdict == VERDICT_ALLOW;
			asked++;
		}
		policy_unref(p);
	}
	CHECK(differ == 0);
	CHECK(asked > 20000 && allowed > asked / 20 && near > 100);
	json_decref(claims);
}

int
main(void)
{
	test_vectors();
	test_index();
	test_errors();
	test_all_problems();
	test_snapshot();
	test_names();
	test_queries();
	return check_done();
}
