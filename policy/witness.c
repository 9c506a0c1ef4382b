/*
 * witness.c - a request that tells a mutant from its policy, found by trying: requests the statement is meant for, and the
 * cases there are, each with one thing changed.
 * Invariant: what is handed out was decided by both, and they differed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <time.h>

#include "policy/compiled.h"
#include "policy/mutate.h"

#define BASES_MAX  64u /* cases that are varied */
#define VALUES_MAX 8u /* of a condition */
#define SOME_TIME  1796122800 /* a Tuesday; tweaks walk a week from there */
#define OTHER	   "something-else"

struct search {
	const struct policy *p;
	const struct mutant *m;
	json_t *tweaks; /* array of objects: members of a request that are put over it */
	bool sid_counts; /* another statement that decides is a difference, too */
};

/* ---- values a condition could meet ---- */

/* What a part could stand for: of a variable what the context says, or its default. */
static struct span
filled(const struct part *part, const json_t *context)
{
	char name[PATTERN_MAX + 8];
	const json_t *v = NULL;

	if (part->kind == PART_TEXT)
		return part->text;
	if (part->kind != PART_VARIABLE)
		return SPAN("x");
	if (part->key.key == KEY_JWT) {
		snprintf(name, sizeof name, "jwt:%.*s", SPAN_FMT(part->key.param));
		v = json_object_get(context, name);
	}
	if (json_string_length(v) > 0)
		return (struct span){ json_string_value(v), json_string_length(v) };
	return part->text.n > 0 ? part->text : SPAN("x");
}

/* The pattern with its holes filled; context may be NULL. */
static json_t *
instance(const struct pattern *p, const json_t *context, const char *tail)
{
	char text[2 * PATTERN_MAX];
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct span s = filled(&p->parts[i], context);

		if (n + s.n > sizeof text)
			return json_string(OTHER);
		memcpy(text + n, s.p, s.n);
		n += s.n;
	}
	return json_sprintf("%.*s%s", (int)n, text, tail);
}

static void
add_number(json_t *to, const struct number *n)
{
	for (int64_t d = -1; d <= 1; d++)
		json_array_append_new(to, json_integer(n->whole + d));
}

/* Values near value i of a condition: one that compares, one that does not. */
static void
add_values(json_t *to, const struct atom *atom, size_t i)
{
	struct span text = i < atom->n_values ? atom->values[i] : SPAN_NONE;
	const char *slash = text.n == 0 ? NULL : memchr(text.p, '/', text.n);

	switch (atom->row->kind) {
	case OPERATOR_STRING:
		json_array_append_new(to, instance(&atom->patterns[i], NULL, ""));
		json_array_append_new(to, instance(&atom->patterns[i], NULL, "-other"));
		break;
	case OPERATOR_NUMBER:
	case OPERATOR_DATE:
		add_number(to, &atom->numbers[i]);
		break;
	case OPERATOR_BOOL:
		json_array_append_new(to, json_string("true"));
		json_array_append_new(to, json_string("false"));
		break;
	case OPERATOR_VERSION:
		json_array_append_new(to, json_stringn(text.p, text.n));
		json_array_append_new(to, json_string("0.0.1"));
		json_array_append_new(to, json_string("999999.0"));
		break;
	case OPERATOR_IP:
		json_array_append_new(to, json_stringn(text.p, slash == NULL ? text.n : (size_t)(slash - text.p)));
		json_array_append_new(to, json_string("203.0.113.254"));
		json_array_append_new(to, json_string("2001:db8:ffff::1"));
		break;
	case OPERATOR_REGEX:
	case OPERATOR_WINDOW:
	case OPERATOR_NONE:
		break;
	}
}

static json_t *
values_of(const struct atom *atom)
{
	json_t *out = json_array();

	for (size_t i = 0; i < atom->n && i < VALUES_MAX; i++)
		add_values(out, atom, i);
	json_array_append_new(out, json_string(OTHER));
	json_array_append_new(out, json_null());
	return out;
}

/* ---- tweaks ---- */

static void
add_tweak(json_t *tweaks, const char *member, json_t *value)
{
	json_array_append_new(tweaks, json_pack("{s:o}", member, value));
}

/* Just before and after it, and all hours of some days around it: there may be a window as well. */
static void
add_moment(json_t *tweaks, int64_t t)
{
	for (int64_t d = -1; d <= 1; d++)
		add_tweak(tweaks, "now", json_integer(t + d));
	for (int64_t hour = -72; hour <= 72; hour++)
		add_tweak(tweaks, "now", json_integer(t + hour * 3600));
}

static void
add_condition(json_t *tweaks, const struct atom *atom, int64_t now)
{
	const struct key_row *row = key_row(atom->key.key);
	bool many = row->cardinality == CARDINALITY_MANY || atom->qualifier != QUALIFIER_NONE;
	json_t *values, *v;
	size_t i;

	if (atom->key.key == KEY_TIME_NOW)
		for (i = 0; i < atom->n; i++)
			add_moment(tweaks, atom->numbers[i].whole);
	if (row->param == PARAM_ZONE)
		for (int64_t hour = 0; hour < 168; hour++)
			add_tweak(tweaks, "now", json_integer(now + hour * 3600));
	if (atom->key.key == KEY_TIME_NOW || row->param == PARAM_ZONE || atom->key.key == KEY_PRINCIPAL_IDS ||
	    atom->key.key == KEY_PRINCIPAL_ISSUER)
		return;
	values = values_of(atom);
	json_array_foreach (values, i, v) {
		json_t *o = json_object(), *value = json_is_null(v) || !many ? json_incref(v) : json_pack("[O]", v);

		json_object_setn_new(o, atom->name.p, atom->name.n, value);
		add_tweak(tweaks, "context", o);
	}
	json_decref(values);
}

/* Somebody whom the principal means. */
static json_t *
someone(const struct pattern *p)
{
	struct span s = p->source;
	const char *colon = s.n == 0 ? NULL : memchr(s.p, ':', s.n), *slash = s.n == 0 ? NULL : memchr(s.p, '/', s.n);

	if (span_eq(s, SPAN("*")))
		return json_pack("[s, s]", "issuer:example", "subject:example/somebody");
	if (span_starts(s, SPAN("issuer:")))
		return json_pack("[s%, o]", s.p, s.n, json_sprintf("subject:%.*s/somebody", (int)s.n - 7, s.p + 7));
	if (colon == NULL || slash == NULL || span_starts(s, SPAN("cert:")) || span_starts(s, SPAN("basic:")))
		return json_pack("[o]", instance(p, NULL, ""));
	return json_pack("[o, o]", json_sprintf("issuer:%.*s", (int)(slash - colon - 1), colon + 1), instance(p, NULL, ""));
}

/* Somebody else of the same issuer. */
static void
add_principal(json_t *tweaks, const struct pattern *p)
{
	json_t *who = someone(p);

	add_tweak(tweaks, "principal", json_incref(who));
	if (json_array_size(who) == 2) {
		const char *issuer = json_string_value(json_array_get(who, 0));

		json_array_set_new(who, 1, json_sprintf("subject:%s/%s", issuer + strlen("issuer:"), OTHER));
		add_tweak(tweaks, "principal", json_incref(who));
	}
	json_decref(who);
}

/* A resource the pattern means; one that it nearly means. */
static json_t *
somewhere(const struct pattern *p, const json_t *context, const char *tail)
{
	json_t *text = instance(p, context, tail), *out;
	const char *s = json_string_value(text);
	bool repo = strncmp(s, "repo:", 5) == 0;

	if (strncmp(s, "registry:", 9) == 0)
		return text;
	out = !repo ? json_string("repo:example/app") : strchr(s, '/') == NULL ? json_sprintf("%s/app", s) : json_incref(text);
	json_decref(text);
	return out;
}

static json_t *
tweaks_of(const struct statement *s, const json_t *context, int64_t now)
{
	json_t *out = json_array();

	json_array_append_new(out, json_object());	/* as it is */
	for (size_t i = 0; i < s->n_atoms; i++)
		add_condition(out, &s->atoms[i], now);
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++)
		add_tweak(out, "action", json_string(policy_action_name((enum policy_action)a)));
	for (size_t i = 0; i < s->n_resources && i < VALUES_MAX; i++) {
		add_tweak(out, "resource", somewhere(&s->resources[i], context, ""));
		add_tweak(out, "resource", somewhere(&s->resources[i], context, "-other"));
	}
	add_tweak(out, "resource", json_string("repo:" OTHER "/app"));
	for (size_t i = 0; i < s->n_principals && i < VALUES_MAX; i++)
		add_principal(out, &s->principals[i]);
	add_tweak(out, "principal", json_pack("[s]", "anonymous"));
	add_tweak(out, "principal", json_pack("[s, s]", "issuer:" OTHER, "subject:" OTHER "/somebody"));
	if (s->not_before != 0)
		add_moment(out, s->not_before);
	if (s->expires != 0)
		add_moment(out, s->expires);
	return out;
}

static json_t *
tweaked(const json_t *base, const json_t *tweak)
{
	json_t *out = json_deep_copy(base), *context = json_object_get(out, "context"), *v;
	const char *key;

	json_object_foreach (json_object_get(tweak, "context"), key, v) {
		if (json_is_null(v))
			json_object_del(context, key);
		else
			json_object_set(context, key, v);
	}
	json_object_foreach ((json_t *)(uintptr_t)tweak, key, v)
		if (strcmp(key, "context") != 0)
			json_object_set(out, key, v);
	return out;
}

/* ---- asking ---- */

/* A request with its time among the members; false: it is none. */
static bool
query_read(struct policy_query *q, const json_t *with_now)
{
	json_t *o = json_copy((json_t *)(uintptr_t)with_now);
	int64_t now = json_integer_value(json_object_get(o, "now"));
	char err[512];
	bool ok;

	json_object_del(o, "now");
	ok = policy_query_read(q, o, now, err, sizeof err);
	json_decref(o);
	return ok;
}

static bool
differ(const struct search *s, const struct decision *a, const struct decision *b)
{
	if (a->verdict != b->verdict || (s->sid_counts && !span_eq(a->sid, b->sid)))
		return true;
	return s->m->of->shadow && (a->shadow.differs != b->shadow.differs || a->shadow.verdict != b->shadow.verdict);
}

static json_t *
expectation(enum verdict verdict, const struct statement *by)
{
	json_t *o = json_pack("{s:s}", "decision", verdict_name(verdict));

	if (by != NULL)
		json_object_set_new(o, "sid", json_stringn(by->sid.p, by->sid.n));
	return o;
}

/* As people write it. */
static void
date_now(json_t *o)
{
	time_t now = (time_t)json_integer_value(json_object_get(o, "now"));
	char text[32];
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		json_object_set_new(o, "now", json_string(text));
}

/* The request as a case, when policy and mutant answer it differently; NULL otherwise. */
static json_t *
told_apart(const struct search *s, const json_t *request)
{
	struct policy_query q = { .arena = NULL };
	struct decision a, b;
	json_t *out = NULL;

	if (query_read(&q, request)) {
		policy_decide_linear(s->p, &q.request, &a);
		policy_decide_linear(s->m->changed, &q.request, &b);
		if (differ(s, &a, &b)) {
			json_t *expect = expectation(a.verdict, a.by);

			if (s->m->of->shadow)
				json_object_set_new(expect, "shadow", !a.shadow.differs ? json_null() :
				    expectation(a.shadow.verdict, a.shadow.by));
			out = json_deep_copy(request);
			if (json_object_get(out, "now") != NULL)
				date_now(out);
			json_object_set_new(out, "expect", expect);
		}
	}
	policy_query_clear(&q);
	return out;
}

static json_t *
try_base(const struct search *s, const json_t *base)
{
	json_t *found = NULL, *tweak;
	size_t i;

	json_array_foreach (s->tweaks, i, tweak) {
		json_t *request = tweaked(base, tweak);

		found = told_apart(s, request);
		json_decref(request);
		if (found != NULL)
			break;
	}
	return found;
}

/* ---- where to begin ---- */

static bool
holds(const struct policy *p, const json_t *request, const struct atom *atom)
{
	struct policy_query q = { .arena = NULL };
	char text[RESOURCE_MAX];
	struct evaluation e;
	bool yes = query_read(&q, request) && evaluation_begin(&e, p, &q.request, text) && atom_matches(&e, atom) == TRI_YES;

	policy_query_clear(&q);
	return yes;
}

/* Claims that are variables of the pattern: with the value that instance() puts in. */
static void
fill_claims(const struct pattern *p, json_t *context)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct key_ref *key = &p->parts[i].key;
		char name[PATTERN_MAX + 8];

		if (p->parts[i].kind != PART_VARIABLE || key->key != KEY_JWT || p->parts[i].text.n > 0)
			continue;
		snprintf(name, sizeof name, "jwt:%.*s", SPAN_FMT(key->param));
		json_object_set_new(context, name, json_string("x"));
	}
}

/* A request the statement is meant for: one condition after the other is made to hold. */
static json_t *
meant_by(const struct policy *p, const struct statement *s, size_t principal, size_t resource, int64_t now)
{
	unsigned action = s->actions == 0 ? (unsigned)ACTION_PullManifest : (unsigned)__builtin_ctz(s->actions);
	json_t *request = json_pack("{s:o, s:s, s:o, s:{}, s:I}", "principal", someone(&s->principals[principal]), "action",
	    policy_action_name((enum policy_action)action), "resource", somewhere(&s->resources[resource], NULL, ""), "context", "now",
	    (json_int_t)now);

	fill_claims(&s->resources[resource], json_object_get(request, "context"));
	for (size_t i = 0; i < s->n_atoms; i++) {
		json_t *tweaks = json_array(), *tweak;
		size_t k;

		add_condition(tweaks, &s->atoms[i], now);
		json_array_foreach (tweaks, k, tweak) {
			json_t *next = tweaked(request, tweak);

			if (holds(p, request, &s->atoms[i]) || !holds(p, next, &s->atoms[i])) {
				json_decref(next);
				continue;
			}
			json_decref(request);
			request = next;
		}
		json_decref(tweaks);
	}
	/* a condition may have changed what a variable of the resource stands for */
	json_object_set_new(request, "resource", somewhere(&s->resources[resource], json_object_get(request, "context"), ""));
	return request;
}

/* One for each principal and each resource. */
static json_t *
all_meant_by(const struct policy *p, const struct statement *s, int64_t now)
{
	json_t *out = json_array();

	for (size_t i = 0; i < s->n_resources && i < VALUES_MAX && s->n_principals > 0; i++)
		json_array_append_new(out, meant_by(p, s, 0, i, now));
	for (size_t i = 1; i < s->n_principals && i < VALUES_MAX && s->n_resources > 0; i++)
		json_array_append_new(out, meant_by(p, s, i, 0, now));
	return out;
}

/* The cases come first: theirs are the names people know. */
static json_t *
search(const struct search *s, const struct suite *suite, const json_t *meant)
{
	json_t *found = NULL;

	for (size_t i = 0; found == NULL && i < suite->n && i < BASES_MAX; i++) {
		json_t *base = json_deep_copy(suite->cases[i].request);

		if (suite->cases[i].now != 0)
			json_object_set_new(base, "now", json_integer(suite->cases[i].now));
		found = try_base(s, base);
		json_decref(base);
	}
	for (size_t i = 0; found == NULL && i < json_array_size(meant); i++)
		found = try_base(s, json_array_get(meant, i));
	return found;
}

json_t *
policy_witness(const struct policy *p, const struct mutant *m, const struct suite *suite)
{
	const struct statement *s = m->of;
	int64_t now = s->not_before != 0 ? s->not_before : suite->n > 0 && suite->cases[0].now != 0 ? suite->cases[0].now : SOME_TIME;
	json_t *meant = all_meant_by(p, s, now), *found = NULL;
	const json_t *context = json_object_get(json_array_get(meant, 0), "context");
	struct search x = { .p = p, .m = m, .tweaks = tweaks_of(s, context, now) };

	for (int pass = 0; found == NULL && pass < 2; pass++) {
		x.sid_counts = pass == 1;
		found = search(&x, suite, meant);
	}
	json_decref(meant);
	json_decref(x.tweaks);
	return found;
}
