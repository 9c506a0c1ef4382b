/*
 * test_record.c - the record of a decision: whole whatever the room, in one order of importance, without memory taken.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "tests/unit/check.h"

#define NOW 1796122800 /* Tuesday, 1 December 2026, 11:00 UTC */

/* ---- counting what is taken; sanitizers have a malloc of their own ---- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static unsigned long taken;

#ifndef SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *
malloc(size_t n)
{
	taken++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	taken++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	taken++;
	return __libc_realloc(p, n);
}
#endif

/* ---- policies and requests ---- */

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	char text[FINDING_TEXT_MAX];

	(void)ctx;
	policy_finding_text(f, text);
	if (lint_row(f->code)->severity == SEVERITY_ERROR)
		fprintf(stderr, "%s:%d: %s\n", f->file, f->line, text);
}

static struct policy *
load(const char *text)
{
	struct policy_source s = { "dir/policy.json", span_of(text) };
	const struct policy_names names = { .linting = LINTING_OFF };
	struct policy *p = policy_load(&s, 1, &names, on_problem, NULL);

	if (p == NULL)
		exit(1);
	return p;
}

/* The record as JSON; NULL: none, or not one object in printable ASCII within its size. */
static json_t *
record_of(const struct policy *p, const struct policy_request *r, const struct decision *d, size_t size)
{
	char *buf = malloc(size + 1);
	size_t n = policy_record_write(p, r, d, NULL, buf, size);
	json_t *o = NULL;
	bool ascii = n <= size;

	for (size_t i = 0; ascii && i < n; i++)
		ascii = buf[i] >= 0x20 && buf[i] <= 0x7e;
	if (n > 0 && ascii)
		o = json_loadb(buf, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	CHECK((n > 0) == json_is_object(o));
	free(buf);
	return o;
}

/* ---- what it says: records.json ---- */

static json_t *rows;
static struct policy *short_policy;

static void
read_rows(void)
{
	json_t *o = json_load_file("tests/unit/records.json", JSON_REJECT_DUPLICATES, NULL), *line;
	char text[8192] = "";
	size_t i, n = 0;

	json_array_foreach (json_object_get(o, "policy"), i, line)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", json_string_value(line));
	rows = json_incref(json_object_get(o, "rows"));
	json_decref(o);
	if (!CHECK(json_array_size(rows) > 0))
		exit(1);
	short_policy = load(text);
}

/* Row i asked. */
static const char *
ask_row(size_t i, struct policy_query *q, struct decision *d)
{
	json_t *row = json_array_get(rows, i);
	const char *name = json_string_value(json_object_get(row, "name"));
	char err[256];

	if (!CHECK_ROW(policy_query_read(q, json_object_get(row, "ask"), NOW, err, sizeof err), name))
		exit(1);
	policy_decide(short_policy, &q->request, d);
	return name;
}

static void
test_rows(void)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		struct policy_query q;
		struct decision d;
		const char *name = ask_row(i, &q, &d);
		json_t *o = record_of(short_policy, &q.request, &d, RECORD_LEAST);
		char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

		if (!CHECK_ROW(json_equal(o, json_object_get(json_array_get(rows, i), "record")), name))
			fprintf(stderr, "    %s\n", text);
		free(text);
		json_decref(o);
		policy_query_clear(&q);
	}
}

/* ---- bounds ---- */

/* What is left out, the last first; each may only come back with more room. */
static const char *const importance[] = { "principal", "labels", "why", "near", "context" };
#define N_IMPORTANCE (sizeof importance / sizeof *importance)

/* Everything long and hostile: 300 groups, labels, values that are all escaped, four near misses. */
static json_t *
big_request(void)
{
	json_t *o = json_pack("{s:[s, s], s:s, s:s, s:{}}", "principal", "issuer:gh", "subject:gh/\x01\x02", "action",
	    "registry:PushBlob", "resource", "repo:up/web/app", "context");
	json_t *context = json_object_get(o, "context"), *ids = json_object_get(o, "principal");
	char text[600];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(text, sizeof text, "group:gh/a-group-of-people-%u", i);
		json_array_append_new(ids, json_string(text));
	}
	memset(text, 7, sizeof text - 1);
	text[sizeof text - 1] = '\0';
	for (unsigned i = 0; i < 40; i++) {
		char key[32];

		snprintf(key, sizeof key, "jwt:c%02u", i);
		text[200 + i] = '\0';
		json_object_set_new(context, key, i % 2 ? json_string(text) : json_pack("[s, s]", text, "x"));
		text[200 + i] = 7;
	}
	return o;
}

static struct policy *
big_policy(void)
{
	json_t *doc = json_pack("{s:s, s:[]}", "Version", "2026-11-01", "Statement"), *s, *c;
	struct policy *p;
	char *text;

	for (unsigned i = 0; i < 40; i++) {
		char key[32], sid[32];

		snprintf(sid, sizeof sid, "S%u", i);
		snprintf(key, sizeof key, "jwt:c%02u", i);
		c = json_pack("{s:{s:[s, s]}}", i % 2 ? "StringEquals" : "ForAllValues:StringEquals", key, "nothing", "\"\xe2\x82\xac\"");
		s = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:{s:s}}", "Sid", sid, "Effect", "Allow", "Principal", "*", "Action",
		    "registry:PushBlob", "Resource", "*", "Condition", c, "Labels", "a", "b");
		json_array_append_new(json_object_get(doc, "Statement"), s);
	}
	text = json_dumps(doc, 0);
	p = load(text);
	free(text);
	json_decref(doc);
	return p;
}

static bool
names(const json_t *list, const char *name)
{
	size_t i;
	json_t *v;

	json_array_foreach (list, i, v)
		if (strcmp(json_string_value(v), name) == 0)
			return true;
	return false;
}

static void
test_bounds(void)
{
	struct policy *p = big_policy();
	json_t *ask = big_request();
	struct policy_query q;
	struct decision d;
	char err[256];
	size_t last[N_IMPORTANCE] = { 0 }, least = 0;

	if (!CHECK(policy_query_read(&q, ask, NOW, err, sizeof err)))
		exit(1);
	policy_decide(p, &q.request, &d);
	CHECK(d.n_near == NEAR_MISSES_MAX);
	for (size_t size = 0; size <= 65536; size += size < 2048 ? 1 : 61) {
		json_t *o = record_of(p, &q.request, &d, size), *cut = json_object_get(o, "cut");

		if (o == NULL) {
			CHECK(least == 0 && size < RECORD_LEAST);
			continue;
		}
		least = least == 0 ? size : least;
		for (size_t i = 0; i < N_IMPORTANCE; i++) {
			const json_t *v = json_object_get(o, importance[i]);
			size_t n = json_is_array(v) ? json_array_size(v) : json_object_size(v);

			/* not there at all, or not whole: the record says so */
			if (strcmp(importance[i], "principal") == 0)
				CHECK(n == q.who.n_ids || names(cut, "principal"));
			if (strcmp(importance[i], "near") == 0)
				CHECK(n == d.n_near || names(cut, "near"));
			if (strcmp(importance[i], "context") == 0)
				CHECK(n == 41 || names(cut, "context"));
			last[i] = n > last[i] ? n : last[i];
		}
		json_decref(o);
	}
	CHECK(least > 0 && least < 1024);
	CHECK(last[0] > 50 && last[0] < q.who.n_ids && last[3] == d.n_near && last[4] == 41);
	policy_query_clear(&q);
	json_decref(ask);
	policy_unref(p);
}

static void
test_takes_nothing(void)
{
	char buf[RECORD_LEAST];

	for (size_t i = 0; i < json_array_size(rows); i++) {
		struct policy_query q;
		struct decision d;
		const char *name = ask_row(i, &q, &d);
		unsigned long before = taken;
		size_t n = policy_record_write(short_policy, &q.request, &d, NULL, buf, sizeof buf);

		CHECK_ROW(n > 0 && taken == before, name);
#ifndef SANITIZED
		CHECK(taken > 0);
#endif
		policy_query_clear(&q);
	}
}

/* ---- another question of the same request ---- */

static void
test_beside(void)
{
	struct policy_request other;
	struct fact facts[KEY_MAX];
	struct policy_query q;
	struct decision d;
	char buf[RECORD_LEAST];
	json_t *o, *context;
	size_t n;

	(void)ask_row(0, &q, &d);
	memcpy(facts, q.facts, sizeof facts);
	facts[KEY_REGISTRY_TAG].value = SPAN("f2");
	other = q.request;
	other.facts = facts;
	policy_decide(short_policy, &other, &d);
	n = policy_record_write(short_policy, &other, &d, &q.request, buf, sizeof buf);
	o = json_loadb(buf, n, 0, NULL);
	context = json_object_get(o, "context");
	CHECK(d.verdict == VERDICT_EXPLICIT_DENY && json_object_get(o, "principal") == NULL);
	CHECK(json_object_size(context) == 1 && json_object_get(context, "registry:Tag") != NULL);
	json_decref(o);
	policy_query_clear(&q);
}

/* ---- near misses, wherever the index has them ---- */

/* Five ways to be found, and by each of them more near misses than are kept. */
static void
test_near(void)
{
	static const char *const resources[] = { "*", "repo:up/*", "repo:up/web/*", "repo:*/app", "repo:up/web/app" };
	json_t *doc = json_pack("{s:s, s:[]}", "Version", "2026-11-01", "Statement");
	json_t *ask = json_pack("{s:[s, s], s:s, s:s, s:{s:s}}", "principal", "issuer:gh", "subject:gh/ci", "action",
	    "registry:PullBlob", "resource", "repo:up/web/app", "context", "jwt:ref", "side");
	struct policy_query q;
	struct policy *p;
	char err[256], sid[16], *text;

	for (unsigned i = 0; i < 40; i++) {
		snprintf(sid, sizeof sid, "S%u", i);
		json_array_append_new(json_object_get(doc, "Statement"), json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:{s:s}}}", "Sid", sid,
		    "Effect", "Allow", "Principal", i % 2 ? "subject:gh/ci" : "subject:gh/c*", "Action", "registry:PullBlob", "Resource",
		    resources[i / 8], "Condition", "StringEquals", "jwt:ref", i % 3 ? "main" : "trunk"));
	}
	text = json_dumps(doc, 0);
	p = load(text);
	if (!CHECK(policy_query_read(&q, ask, NOW, err, sizeof err)))
		exit(1);
	for (unsigned linear = 0; linear < 2; linear++) {
		struct decision d;

		(linear ? policy_decide_linear : policy_decide)(p, &q.request, &d);
		CHECK(d.verdict == VERDICT_DENY && d.n_near == NEAR_MISSES_MAX);
		for (unsigned i = 0; i < NEAR_MISSES_MAX; i++)
			CHECK(d.near[i].sid.n >= 2 && d.near[i].sid.p[0] == 'S' && span_eq(d.near[i].key, SPAN("jwt:ref")));
		CHECK(key_set_is_empty(&d.missing) && d.candidates <= 40);
	}
	policy_query_clear(&q);
	policy_unref(p);
	free(text);
	json_decref(ask);
	json_decref(doc);
}

int
main(void)
{
	read_rows();
	test_rows();
	test_bounds();
	test_takes_nothing();
	test_beside();
	test_near();
	policy_unref(short_policy);
	json_decref(rows);
	return check_done();
}
