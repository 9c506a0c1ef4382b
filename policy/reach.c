/*
 * reach.c - who can do this, and what can they do?
 * Invariant: what is left out cannot match, and what is not mentioned holds, whatever is open turns out to be; where that
 * cannot be told, it is mentioned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/reach.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "policy/words.h"

struct reach {
	const struct policy *p;
	const struct reach_question *ask;
	json_t *request; /* the query borrows from it */
	struct policy_query query;
	struct evaluation q;
	char resource[RESOURCE_MAX];
};

/* A statement that can match, and what is left of it. */
struct rest {
	const struct statement *s;
	bool certain; /* no condition and no date is left */
	bool variable; /* its resource depends on what a variable stands for */
	json_t *json;
};

/* ---- resources by pattern ---- */

static bool
is_open_byte(const struct part *part, char c)
{
	if (part->kind != PART_VARIABLE)
		return true;
	if (c == '/')
		return part->path;
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* The bytes that can follow the part, of those marked in at[0..s.n]: what has been matched so far. */
static void
step(const struct part *part, struct span s, bool *at)
{
	bool next[RESOURCE_MAX + 1] = { false };

	for (size_t i = 0; i <= s.n; i++) {
		struct span rest = span_skip(s, i), text = part->text;
		size_t k = i;

		if (!at[i])
			continue;
		if (part->kind == PART_TEXT || (part->kind == PART_VARIABLE && text.n > 0))
			next[span_starts(rest, text) ? i + text.n : i] |= span_starts(rest, text);
		if (part->kind == PART_TEXT)
			continue;
		next[i] |= part->kind == PART_ANY;
		for (; k < s.n && is_open_byte(part, s.p[k]); k++) {
			next[k + 1] = true;
			if (part->kind == PART_ONE)
				break;
		}
	}
	memcpy(at, next, (s.n + 1) * sizeof *at);
}

/* Can it match, with variables standing for whatever they may stand for? */
static bool
may_match(const struct pattern *p, struct span s)
{
	bool at[RESOURCE_MAX + 1] = { true };

	if (s.n > RESOURCE_MAX)
		return true;
	for (size_t i = 0; i < p->n; i++)
		step(&p->parts[i], s, at);
	return at[s.n];
}

/* One byte of a pattern for comparing two; '*' of a star or a variable. */
struct glyph {
	char byte;
	enum part_kind kind;
};

static size_t
glyphs_of(const struct pattern *p, struct glyph *out)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct part *part = &p->parts[i];

		if (part->kind != PART_TEXT) {
			out[n++] = (struct glyph){ '*', part->kind == PART_ONE ? PART_ONE : PART_ANY };
			continue;
		}
		for (size_t k = 0; k < part->text.n; k++)
			out[n++] = (struct glyph){ part->text.p[k], PART_TEXT };
	}
	return n;
}

/* Is there a text that both match? A variable is taken for a star: yes when in doubt. */
static bool
overlap(const struct pattern *a, const struct pattern *b)
{
	struct glyph x[PATTERN_MAX + 1], y[PATTERN_MAX + 1];
	struct span pa = pattern_prefix(a), pb = pattern_prefix(b);
	size_t common = pa.n < pb.n ? pa.n : pb.n, nx, ny;
	bool row[2][PATTERN_MAX + 2];

	if (common > 0 && memcmp(pa.p, pb.p, common) != 0)
		return false;
	nx = glyphs_of(a, x);
	ny = glyphs_of(b, y);
	/* from the ends: row[j] is whether x[i..] and y[j..] have a text in common */
	for (size_t i = nx + 1; i-- > 0;) {
		bool *here = row[i & 1], *next = row[(i + 1) & 1];

		for (size_t j = ny + 1; j-- > 0;) {
			bool ax = i < nx && x[i].kind == PART_ANY, ay = j < ny && y[j].kind == PART_ANY;

			if (i == nx && j == ny)
				here[j] = true;
			else if (ax || ay)
				here[j] = (ax && (next[j] || (j < ny && here[j + 1]))) ||
				    (ay && (here[j + 1] || (i < nx && next[j])));
			else
				here[j] = i < nx && j < ny && next[j + 1] &&
				    (x[i].kind == PART_ONE || y[j].kind == PART_ONE || x[i].byte == y[j].byte);
		}
	}
	return row[0][0];
}

/* Everything the narrow one matches, the wide one does, too: certain only of "text*". */
static bool
covers(const struct pattern *wide, const struct pattern *narrow)
{
	bool beginning = wide->n > 0 && wide->n <= 2 && wide->parts[wide->n - 1].kind == PART_ANY &&
	    (wide->n == 1 || wide->parts[0].kind == PART_TEXT);

	if (beginning)
		return span_starts(pattern_prefix(narrow), pattern_prefix(wide));
	return !wide->variables && span_eq(wide->source, narrow->source);
}

/* ---- principals ---- */

static struct span
kind_of(struct span s)
{
	const char *colon = s.n == 0 ? NULL : memchr(s.p, ':', s.n);

	return colon == NULL ? s : (struct span){ s.p, (size_t)(colon - s.p) };
}

/* "corp" of "group:corp/ci" and "issuer:corp"; {NULL,0} where there is no issuer. */
static struct span
alias_of(struct span s)
{
	struct span kind = kind_of(s), alias;
	const char *slash;

	if (kind.n == s.n || span_eq(kind, SPAN("cert")) || span_eq(kind, SPAN("basic")))
		return SPAN_NONE;
	alias = span_skip(s, kind.n + 1);
	slash = alias.n == 0 ? NULL : memchr(alias.p, '/', alias.n);
	if (slash != NULL)
		alias.n = (size_t)(slash - alias.p);
	return alias;
}

/* Callers of the one: are they certainly (YES), perhaps (LATER) or never (NO) callers of the other? */
static enum tri
principal_is(const struct pattern *one, const struct pattern *other)
{
	struct span a = one->source, b = other->source, alias_a = alias_of(a), alias_b = alias_of(b);

	if (span_eq(b, SPAN("*")) || (pattern_is_literal(one) && span_eq(a, b)))
		return TRI_YES;
	if (span_eq(a, SPAN("*")))
		return TRI_LATER;
	if (span_eq(a, SPAN("anonymous")) || span_eq(b, SPAN("anonymous")))
		return TRI_NO;
	if (alias_a.n == 0 || alias_b.n == 0)
		return TRI_LATER;
	if (!span_eq(alias_a, alias_b))
		return TRI_NO; /* nobody comes from two issuers */
	if (span_eq(kind_of(b), SPAN("issuer")))
		return TRI_YES;
	if (covers(other, one))
		return TRI_YES;
	/* one subject each; of groups and roles there may be several */
	if (span_eq(kind_of(a), SPAN("subject")) && span_eq(kind_of(b), SPAN("subject")) && !overlap(one, other))
		return TRI_NO;
	return TRI_LATER;
}

/* YES: every caller of s is one of d. */
static enum tri
callers_are(const struct statement *s, const struct statement *d)
{
	bool all = true, any = false;

	for (size_t i = 0; i < s->n_principals; i++) {
		enum tri best = TRI_NO;

		for (size_t k = 0; k < d->n_principals && best != TRI_YES; k++) {
			enum tri t = principal_is(&s->principals[i], &d->principals[k]);

			best = t == TRI_NO ? best : t;
		}
		all = all && best == TRI_YES;
		any = any || best != TRI_NO;
	}
	return all ? TRI_YES : any ? TRI_LATER : TRI_NO;
}

/* ---- conditions ---- */

static bool
is_open(const struct reach *r, enum policy_key key)
{
	if (key == KEY_TIME_NOW || key_row(key)->param == PARAM_ZONE)
		return r->query.request.now == 0;
	if (key == KEY_PRINCIPAL_TYPE)
		return json_object_get(r->ask->context, "principal:Type") == NULL &&
		    (r->ask->principal == NULL || r->query.who.type != PRINCIPAL_ANONYMOUS);
	return (key == KEY_PRINCIPAL_IDS || key == KEY_PRINCIPAL_ISSUER) && r->ask->principal == NULL;
}

static bool
has_open_variable(const struct reach *r, const struct pattern *p)
{
	for (size_t i = 0; p->variables && i < p->n; i++)
		if (p->parts[i].kind == PART_VARIABLE && is_open(r, p->parts[i].key.key))
			return true;
	return false;
}

/* LATER: it depends on what is open. What is given and cannot be used allows nothing, and denies. */
static enum tri
condition_holds(struct reach *r, const struct statement *s, const struct atom *atom)
{
	enum tri t;

	if (is_open(r, atom->key.key))
		return TRI_LATER;
	for (size_t i = 0; atom->row->kind == OPERATOR_STRING && i < atom->n; i++)
		if (has_open_variable(r, &atom->patterns[i]))
			return TRI_LATER;
	t = atom_matches(&r->q, atom);
	return t != TRI_UNKNOWN ? t : s->deny ? TRI_YES : TRI_NO;
}

/* May the key have one of these values only? Those of an Allow's Bool, and of StringEquals without variables. */
static bool
pins(const struct atom *a)
{
	if (a->row->kind == OPERATOR_BOOL)
		return a->n == 1 && !a->if_exists && a->qualifier == QUALIFIER_NONE;
	if (a->row->kind != OPERATOR_STRING || a->row->flags & (PATTERN_WILDCARDS | PATTERN_NOCASE) || a->negated || a->if_exists ||
	    a->qualifier != QUALIFIER_NONE || a->sets != 0)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!pattern_is_literal(&a->patterns[i]))
			return false;
	return true;
}

/* No value that the one condition wants will do for the other, of the same key. */
static bool
excludes(struct reach *r, const struct atom *pin, const struct atom *other)
{
	if (other->row->kind == OPERATOR_NONE)
		return !other->negated; /* that there is none */
	if (pin->row->kind == OPERATOR_BOOL)
		return other->row->kind == OPERATOR_BOOL && other->n == 1 && !other->if_exists && other->qualifier == QUALIFIER_NONE &&
		    (pin->numbers[0].whole == other->numbers[0].whole) != (pin->negated == other->negated);
	if (other->row->kind != OPERATOR_STRING || other->qualifier != QUALIFIER_NONE || other->sets != 0)
		return false;
	for (size_t i = 0; i < pin->n; i++) {
		bool any = false;

		for (size_t k = 0; k < other->n && !any; k++) {
			if (other->patterns[k].variables)
				return false;
			any = pattern_match(&other->patterns[k], other->row->flags, &r->q, pattern_prefix(&pin->patterns[i])) == TRI_YES;
		}
		if (any != other->negated)
			return false;
	}
	return true;
}

/* "Whoever has none of these ids": no caller of the Allow is one. */
static bool
spares(struct reach *r, const struct atom *atom, const struct statement *allow)
{
	if (atom->key.key != KEY_PRINCIPAL_IDS || atom->row->kind != OPERATOR_STRING || atom->qualifier != QUALIFIER_ALL ||
	    !atom->negated)
		return false;
	for (size_t i = 0; i < allow->n_principals; i++) {
		bool any = false;

		for (size_t k = 0; pattern_is_literal(&allow->principals[i]) && k < atom->n && !any; k++)
			any = !atom->patterns[k].variables && pattern_match(&atom->patterns[k], atom->row->flags, &r->q,
			    allow->principals[i].source) == TRI_YES;
		if (!any)
			return false;
	}
	return true;
}

/* Whenever the Allow matches, the Deny does not. */
static bool
never_meet(struct reach *r, const struct statement *allow, const struct statement *deny)
{
	for (size_t k = 0; k < deny->n_atoms; k++)
		if (spares(r, &deny->atoms[k], allow))
			return true;
	for (size_t i = 0; i < allow->n_atoms; i++) {
		const struct atom *pin = &allow->atoms[i];

		for (size_t k = 0; pins(pin) && k < deny->n_atoms; k++)
			if (deny->atoms[k].key.key == pin->key.key && span_eq(deny->atoms[k].key.param, pin->key.param) &&
			    excludes(r, pin, &deny->atoms[k]))
				return true;
	}
	return false;
}

/* ---- a statement ---- */

static json_t *
sources_of(const struct pattern *patterns, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_stringn(patterns[i].source.p, patterns[i].source.n));
	return list;
}

static json_t *
actions_of(uint32_t actions)
{
	json_t *list = json_array();

	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++)
		if (actions >> a & 1u)
			json_array_append_new(list, json_string(policy_action_name((enum policy_action)a)));
	return list;
}

/* In force at the time that is asked about, or at some time from today on. */
static bool
add_dates(const struct reach *r, struct rest *rest)
{
	const struct statement *s = rest->s;
	int64_t now = r->query.request.now, today = r->ask->today;

	if (now != 0)
		return now >= s->not_before && (s->expires == 0 || now < s->expires);
	if (s->expires != 0 && today >= s->expires)
		return false;
	if (s->not_before > today)
		json_object_set_new(rest->json, "from", json_integer(s->not_before));
	if (s->expires != 0)
		json_object_set_new(rest->json, "until", json_integer(s->expires));
	rest->certain = s->not_before <= today && s->expires == 0;
	return true;
}

/* The resources that can be the one asked about; all of them when none is. */
static bool
add_resources(struct reach *r, struct rest *rest)
{
	const struct statement *s = rest->s;
	json_t *list = json_array();
	bool certain = false;

	for (size_t i = 0; r->ask->resource != NULL && i < s->n_resources; i++) {
		const struct pattern *p = &s->resources[i];
		enum tri t = has_open_variable(r, p) ? TRI_LATER : pattern_match(p, PATTERN_SEGMENT, &r->q, r->q.resource);

		if (t == TRI_UNKNOWN)
			t = s->deny ? TRI_YES : TRI_NO;
		if (t == TRI_NO || (t == TRI_LATER && !may_match(p, r->q.resource)))
			continue;
		certain = certain || t == TRI_YES;
		json_array_append_new(list, json_stringn(p->source.p, p->source.n));
	}
	if (r->ask->resource == NULL) {
		json_decref(list);
		list = sources_of(s->resources, s->n_resources);
	} else if (!certain) {
		rest->variable = true;
		json_object_set_new(rest->json, "variable", json_true());
	}
	json_object_set_new(rest->json, "resource", list);
	return json_array_size(list) > 0;
}

static bool
add_conditions(struct reach *r, struct rest *rest)
{
	json_t *list = json_array();
	bool possible = true;

	for (size_t i = 0; i < rest->s->n_atoms && possible; i++) {
		enum tri t = condition_holds(r, rest->s, &rest->s->atoms[i]);

		if (t == TRI_LATER)
			json_array_append_new(list, condition_json(&rest->s->atoms[i]));
		possible = t != TRI_NO;
	}
	rest->certain = rest->certain && json_array_size(list) == 0;
	if (json_array_size(list) > 0)
		json_object_set(rest->json, "if", list);
	json_decref(list);
	return possible;
}

static bool
is_caller(struct reach *r, const struct statement *s)
{
	const struct identity *who = &r->query.who;

	for (size_t i = 0; r->ask->principal != NULL && i < s->n_principals; i++)
		for (size_t k = 0; k < who->n_ids; k++)
			if (pattern_match(&s->principals[i], 0, &r->q, who->ids[k]) == TRI_YES)
				return true;
	return r->ask->principal == NULL;
}

/* False: it cannot match. */
static bool
rest_of(struct reach *r, const struct statement *s, struct rest *out)
{
	*out = (struct rest){ .s = s, .certain = true };
	if (s->shadow || (r->ask->action != NULL && !(s->actions >> r->query.request.action & 1u)) || !is_caller(r, s))
		return false;
	out->json = json_pack("{s:s%, s:s, s:i, s:o, s:o}", "sid", s->sid.p, s->sid.n, "file", s->document->file, "line", s->line,
	    "principal", sources_of(s->principals, s->n_principals), "action", actions_of(s->actions));
	if (out->json != NULL && add_dates(r, out) && add_resources(r, out) && add_conditions(r, out))
		return true;
	json_decref(out->json);
	return false;
}

/* ---- what a Deny takes back ---- */

static bool
resources_meet(const struct statement *a, const struct statement *b, bool all)
{
	for (size_t i = 0; i < a->n_resources; i++) {
		bool any = false;

		for (size_t k = 0; k < b->n_resources && !any; k++)
			any = all ? covers(&b->resources[k], &a->resources[i]) : overlap(&a->resources[i], &b->resources[k]);
		if (any != all)
			return any;
	}
	return all;
}

static void
add_unless(struct reach *r, const struct rest *allow, const struct rest *deny)
{
	const struct statement *a = allow->s, *d = deny->s;
	enum tri callers = r->ask->principal != NULL ? TRI_YES : callers_are(a, d);
	bool one = r->ask->resource != NULL, always;
	json_t *list = json_object_get(allow->json, "unless"), *o;

	if (callers == TRI_NO || (a->actions & d->actions) == 0 || (!one && !resources_meet(a, d, false)) || never_meet(r, a, d))
		return;
	always = callers == TRI_YES && deny->certain && !deny->variable &&
	    (one || ((a->actions & ~d->actions) == 0 && resources_meet(a, d, true)));
	o = json_copy(deny->json);
	json_object_set_new(o, "action", actions_of(a->actions & d->actions));
	if (always) {
		json_object_set_new(o, "always", json_true());
		json_object_set_new(allow->json, "void", json_true());
	}
	if (list == NULL) {
		list = json_array();
		json_object_set_new(allow->json, "unless", list);
	}
	json_array_append_new(list, o);
}

/* ---- the question ---- */

/* The request with what is known of it; what it must have beside that is never looked at. */
static bool
begin(struct reach *r, char *err, size_t err_size)
{
	const struct reach_question *ask = r->ask;
	json_t *o = json_pack("{s:o, s:s, s:s}", "principal", ask->principal == NULL ? json_pack("[s]", "anonymous") :
	    json_incref((json_t *)(uintptr_t)ask->principal), "action", ask->action == NULL ? "registry:Ping" : ask->action, "resource",
	    ask->resource == NULL ? "registry:any" : ask->resource);

	if (ask->context != NULL)
		json_object_set(o, "context", (json_t *)(uintptr_t)ask->context);
	r->request = o;
	if (!policy_query_read_part(&r->query, o, ask->now, err, err_size))
		return false;
	if (ask->resource == NULL)
		for (unsigned k = KEY_REGISTRY_UPSTREAM; k <= KEY_REGISTRY_REPOSITORY; k++)
			r->query.facts[k] = (struct fact){ .state = FACT_LATER };
	if (evaluation_begin(&r->q, r->p, &r->query.request, r->resource))
		return true;
	snprintf(err, err_size, "the resource is too long");
	return false;
}

json_t *
policy_reach(const struct policy *p, const struct reach_question *question, char *err, size_t err_size)
{
	struct reach r = { .p = p, .ask = question };
	size_t n = policy_statements(p), allows = 0, denies = 0;
	struct rest *rests = calloc(n + 1, sizeof *rests);
	json_t *out = rests == NULL ? NULL : json_array();

	snprintf(err, err_size, "out of memory");
	if (out != NULL && !begin(&r, err, err_size)) {
		json_decref(out);
		out = NULL;
	}
	/* what allows from the front, what denies from the back */
	for (size_t i = 0; out != NULL && i < n; i++) {
		const struct statement *s = policy_statement_at(p, i);

		if (rest_of(&r, s, s->deny ? &rests[n - 1 - denies] : &rests[allows]))
			*(s->deny ? &denies : &allows) += 1;
	}
	for (size_t i = 0; i < allows; i++) {
		for (size_t k = 0; k < denies; k++)
			add_unless(&r, &rests[i], &rests[n - 1 - k]);
		json_array_append(out, rests[i].json);
	}
	for (size_t i = 0; i < allows; i++)
		json_decref(rests[i].json);
	for (size_t k = 0; k < denies; k++)
		json_decref(rests[n - 1 - k].json);
	policy_query_clear(&r.query);
	json_decref(r.request);
	free(rests);
	return out;
}
