/*
 * suite.c - a test file of policies, read strictly: a member that nobody knows would be a test that tests nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/json.h"

#define DEPTH_MAX 32u

struct reader {
	struct suite *s;
	struct span text;
	suite_problem *problem;
	void *ctx;
	size_t problems;
};

PRINTF(3, 4)
static void
refuse(struct reader *r, const struct place *at, const char *fmt, ...)
{
	char reason[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	r->problems++;
	r->problem(r->ctx, place_line(r->text, at), reason);
}

/* Members among the known ones only. */
static void
check_members(struct reader *r, const struct place *at, const json_t *o, const char *const *known, size_t n)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		const struct place here = { .up = at, .key = key };
		size_t i = 0;

		while (i < n && strcmp(known[i], key) != 0)
			i++;
		if (i == n)
			refuse(r, &here, "no member \"%s\" belongs here", key);
	}
}

/* ---- expect ---- */

static bool
verdict_parse(const char *name, enum verdict *out)
{
	static const enum verdict all[] = { VERDICT_DENY, VERDICT_EXPLICIT_DENY, VERDICT_NEED, VERDICT_ALLOW };

	for (size_t i = 0; name != NULL && i < sizeof all / sizeof *all; i++) {
		if (strcmp(name, verdict_name(all[i])) == 0) {
			*out = all[i];
			return true;
		}
	}
	return false;
}

static void
read_expect(struct reader *r, const struct place *at, const json_t *v, struct suite_case *c, bool shadow)
{
	static const char *const members[] = { "decision", "sid", "shadow", "//" };
	struct suite_expect *out = shadow ? &c->shadow : &c->expect;
	const json_t *sid = json_object_get(v, "sid"), *other = json_object_get(v, "shadow");

	out->given = true;
	if (!json_is_object(v)) {
		refuse(r, at, "expect is an object: {\"decision\": \"Allow\", \"sid\": \"...\"}");
		return;
	}
	check_members(r, at, v, members, sizeof members / sizeof *members);
	if (!verdict_parse(json_string_value(json_object_get(v, "decision")), &out->verdict))
		refuse(r, at, "decision is Allow, ExplicitDeny, ImplicitDeny or Need");
	if (sid != NULL && !json_is_string(sid))
		refuse(r, at, "sid is the name of a statement");
	if (sid != NULL && (out->verdict == VERDICT_DENY || out->verdict == VERDICT_NEED))
		refuse(r, at, "no statement decides when the answer is %s: leave sid out", verdict_name(out->verdict));
	out->sid = json_span(v, "sid");
	if (json_is_null(other) && !shadow) {
		c->shadow = (struct suite_expect){ .given = true, .nothing = true };
	} else if (other != NULL && !shadow) {
		const struct place here = { .up = at, .key = "shadow" };

		read_expect(r, &here, other, c, true);
	}
}

static bool
is_decided(const struct suite_expect *e, enum verdict verdict, struct span sid)
{
	return e->verdict == verdict && (e->sid.p == NULL || span_eq(e->sid, sid));
}

bool
suite_case_passes(const struct suite_case *c, const struct decision *d)
{
	struct span shadow = d->shadow.by == NULL ? SPAN_NONE : d->shadow.by->sid;

	if (!is_decided(&c->expect, d->verdict, d->sid))
		return false;
	if (!c->shadow.given || c->shadow.nothing)
		return !c->shadow.given || !d->shadow.differs;
	return d->shadow.differs && is_decided(&c->shadow, d->shadow.verdict, shadow);
}

/* ---- cases ---- */

/* The case's own member, or that of the defaults. */
static json_t *
member(const json_t *defaults, const json_t *o, const char *name)
{
	json_t *own = json_object_get(o, name);

	return own != NULL ? own : json_object_get(defaults, name);
}

/* The context of the case over that of the defaults; null takes a key out. */
static json_t *
merged_context(const json_t *defaults, const json_t *o)
{
	const json_t *own = json_object_get(o, "context");
	json_t *out = json_object(), *v;
	const char *key;

	json_object_update(out, json_object_get(defaults, "context"));
	json_object_foreach ((json_t *)(uintptr_t)own, key, v) {
		if (json_is_null(v))
			json_object_del(out, key);
		else
			json_object_set(out, key, v);
	}
	return out;
}

static bool
read_now(const json_t *v, int64_t *now)
{
	struct number n = { .whole = 0 };

	if (v == NULL)
		return true;
	if (json_is_integer(v))
		n.whole = json_integer_value(v);
	else if (!json_is_string(v) || !date_parse(span_of(json_string_value(v)), &n))
		return false;
	*now = n.whole;
	return n.whole > 0;
}

static void
read_case(struct reader *r, const struct place *at, const json_t *defaults, const json_t *o, struct suite_case *c)
{
	static const char *const members[] = { "name", "principal", "action", "resource", "context", "now", "expect", "//" };
	static const char *const request[] = { "principal", "action", "resource" };
	const struct place expect = { .up = at, .key = "expect" };
	const json_t *context = json_object_get(o, "context");
	char err[1024];

	c->line = place_line(r->text, at);
	c->name = json_string_value(json_object_get(o, "name"));
	c->request = json_object();
	if (!json_is_object(o) || c->name == NULL || *c->name == '\0') {
		refuse(r, at, "a case is an object with a name, and what it expects");
		return;
	}
	check_members(r, at, o, members, sizeof members / sizeof *members);
	for (size_t i = 0; i < sizeof request / sizeof *request; i++)
		if (member(defaults, o, request[i]) != NULL)
			json_object_set(c->request, request[i], member(defaults, o, request[i]));
	if (context != NULL && !json_is_object(context))
		refuse(r, at, "context is an object");
	json_object_set_new(c->request, "context", merged_context(defaults, o));
	if (!read_now(member(defaults, o, "now"), &c->now))
		refuse(r, at, "now is a date with its time and zone, or seconds since 1970");
	if (json_object_get(o, "expect") == NULL)
		refuse(r, at, "\"%s\" expects nothing: write \"expect\": {\"decision\": ...}", c->name);
	else
		read_expect(r, &expect, json_object_get(o, "expect"), c, false);
	if (!policy_query_read(&c->query, c->request, c->now, err, sizeof err))
		refuse(r, at, "\"%s\": %s", c->name, err);
}

static void
read_cases(struct reader *r, const struct place *root)
{
	static const char *const members[] = { "principal", "action", "resource", "context", "now", "//" };
	const struct place cases = { .up = root, .key = "cases" }, at = { .up = root, .key = "defaults" };
	const json_t *defaults = json_object_get(r->s->root, "defaults"), *list = json_object_get(r->s->root, "cases");
	struct place element = { .up = &cases };
	json_t *names = json_object();

	if (defaults != NULL && !json_is_object(defaults))
		refuse(r, &at, "defaults is an object");
	check_members(r, &at, defaults, members, sizeof members / sizeof *members);
	if (json_array_size(list) == 0 || json_array_size(list) > SUITE_CASES_MAX)
		refuse(r, &cases, "cases is an array of 1 to %u", SUITE_CASES_MAX);
	else
		r->s->cases = calloc(json_array_size(list), sizeof *r->s->cases);
	for (size_t i = 0; r->s->cases != NULL && i < json_array_size(list); i++) {
		struct suite_case *c = &r->s->cases[r->s->n++];

		place_next(r->text, &cases, &element);
		read_case(r, &element, defaults, json_array_get(list, i), c);
		if (c->name != NULL && json_object_get(names, c->name) != NULL)
			refuse(r, &element, "another case is named \"%s\"", c->name);
		if (c->name != NULL)
			json_object_set_new(names, c->name, json_true());
	}
	json_decref(names);
}

/* ---- the rest ---- */

/* The names of files under a key, behind those that are there already. */
static void
add_policies(struct reader *r, const struct place *root, const char *key)
{
	const struct place at = { .up = root, .key = key };
	const json_t *v = json_object_get(r->s->root, key);
	size_t n = json_is_string(v) ? 1 : json_array_size(v), first = r->s->n_policies;
	const char **grown = reallocarray(r->s->policies, first + n + 1, sizeof *grown);

	if (grown == NULL)
		return;
	r->s->policies = grown;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_is_string(v) ? v : json_array_get(v, i));

		if (name == NULL || *name == '\0')
			break;
		r->s->policies[r->s->n_policies++] = name;
	}
	if (n == 0 || r->s->n_policies != first + n)
		refuse(r, &at, "%s is a file, relative to this one, or an array of them", key);
}

static void
read_policies(struct reader *r, const struct place *root)
{
	add_policies(r, root, "policy");
	r->s->n_tested = r->s->n_policies;
	if (json_object_get(r->s->root, "with") != NULL)
		add_policies(r, root, "with");
}

static void
read_survivors(struct reader *r, const struct place *root)
{
	static const char *const members[] = { "sid", "mutation", "why", "//" };
	const struct place list = { .up = root, .key = "survivors" };
	const json_t *v = json_object_get(r->s->root, "survivors");
	size_t n = json_array_size(v);

	if (v != NULL && !json_is_array(v))
		refuse(r, &list, "survivors is an array");
	r->s->survivors = calloc(n + 1, sizeof *r->s->survivors);
	for (size_t i = 0; r->s->survivors != NULL && i < n; i++) {
		const struct place at = { .up = &list, .index = i };
		const json_t *o = json_array_get(v, i);
		struct suite_survivor *out = &r->s->survivors[r->s->n_survivors++];

		check_members(r, &at, o, members, sizeof members / sizeof *members);
		*out = (struct suite_survivor){ json_string_value(json_object_get(o, "sid")),
			json_string_value(json_object_get(o, "mutation")), json_string_value(json_object_get(o, "why")),
			place_line(r->text, &at) };
		if (out->sid == NULL || out->mutation == NULL || out->why == NULL || *out->why == '\0')
			refuse(r, &at, "a survivor is {\"sid\", \"mutation\", \"why\"}");
	}
}

bool
suite_read(struct suite *s, struct span text, suite_problem *problem, void *ctx)
{
	static const char *const members[] = { "$schema", "//", "policy", "with", "defaults", "cases", "survivors" };
	struct reader r = { .s = s, .text = text, .problem = problem, .ctx = ctx };
	const struct place root = { .up = NULL };
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	int line = 1;

	*s = (struct suite){ .root = json_strict(text, DEPTH_MAX, err, sizeof err, &line) };
	if (s->root == NULL) {
		problem(ctx, line, err);
		return false;
	}
	if (!json_is_object(s->root)) {
		problem(ctx, line, "a test file is an object with policy and cases");
		return false;
	}
	check_members(&r, &root, s->root, members, sizeof members / sizeof *members);
	read_policies(&r, &root);
	read_survivors(&r, &root);
	read_cases(&r, &root);
	if (r.problems == 0 && (s->policies == NULL || s->survivors == NULL || s->cases == NULL))
		refuse(&r, &root, "out of memory");
	return r.problems == 0;
}

void
suite_free(struct suite *s)
{
	for (size_t i = 0; i < s->n; i++) {
		policy_query_clear(&s->cases[i].query);
		json_decref(s->cases[i].request);
	}
	free(s->cases);
	free(s->policies);
	free(s->survivors);
	json_decref(s->root);
	*s = (struct suite){ .n = 0 };
}
