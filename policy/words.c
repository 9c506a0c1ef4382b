/*
 * words.c - statements and conditions in words.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/words.h"

#include <stdio.h>

#include "policy/compiled.h"

#define VALUES_MAX 8u /* of a list */
#define VALUE_MAX  256u /* bytes of a value */

/* A text of a request or a policy; what is no UTF-8 is shown as question marks. */
static json_t *
text(struct span s)
{
	char buf[VALUE_MAX];
	size_t n = s.n < sizeof buf ? s.n : sizeof buf;
	json_t *out = json_stringn(s.n == 0 ? "" : s.p, n);

	if (out != NULL)
		return out;
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
	return json_stringn(buf, n);
}

/* The texts of an array, joined. Steals it. */
static json_t *
joined(json_t *list, const char *between, bool more)
{
	json_t *out = json_string(""), *v;
	size_t i;

	json_array_foreach (list, i, v) {
		json_t *longer = json_sprintf("%s%s%s", json_string_value(out), i == 0 ? "" : between, json_string_value(v));

		json_decref(out);
		out = longer;
	}
	if (more) {
		json_t *longer = json_sprintf("%s%s...", json_string_value(out), between);

		json_decref(out);
		out = longer;
	}
	json_decref(list);
	return out;
}

static json_t *
wanted(const struct atom *atom)
{
	json_t *list = json_array();

	for (size_t i = 0; i < atom->n_values && i < VALUES_MAX; i++)
		json_array_append_new(list, text(atom->values[i]));
	return list;
}

/* What an operator says of its values; of a plain comparison as people would. */
static const char *
verb(const struct atom *atom)
{
	bool one = atom->n_values == 1, plain = atom->row->compare == COMPARE_EQUAL;

	if (atom->row->kind == OPERATOR_BOOL && one)
		return atom->negated ? "is not" : "is";
	if (!plain || (atom->row->flags & (PATTERN_WILDCARDS | PATTERN_NOCASE)) ||
	    (atom->row->kind != OPERATOR_STRING && atom->row->kind != OPERATOR_NUMBER && atom->row->kind != OPERATOR_DATE &&
	    atom->row->kind != OPERATOR_VERSION))
		return NULL;
	if (atom->negated)
		return one ? "is not" : "is none of";
	return one ? "is" : "is one of";
}

json_t *
condition_words(const struct atom *atom)
{
	static const char *const whose[] = { [QUALIFIER_NONE] = "", [QUALIFIER_ANY] = "one value of ", [QUALIFIER_ALL] = "each value of " };
	json_t *want, *out;

	if (atom->row->kind == OPERATOR_NONE)
		return json_sprintf("%.*s %s", SPAN_FMT(atom->name), atom->negated ? "is there" : "is absent or empty");
	want = joined(wanted(atom), ", ", atom->n_values > VALUES_MAX);
	out = json_sprintf("%s%.*s %s%s %s%s", whose[atom->qualifier], SPAN_FMT(atom->name),
	    verb(atom) != NULL ? verb(atom) : atom->row->meaning, verb(atom) != NULL ? "" : ":", json_string_value(want),
	    atom->if_exists ? ", or it is absent" : "");
	json_decref(want);
	return out;
}

json_t *
condition_json(const struct atom *atom)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "op", text(atom->op), "key", text(atom->name), "want", wanted(atom), "words",
	    condition_words(atom));
}

/* ---- why not ---- */

/* What the request has for a key. */
static json_t *
had(struct evaluation *q, const struct atom *atom)
{
	struct value v;
	json_t *list;

	key_value(q, &atom->key, &v);
	switch (v.state) {
	case FACT_ABSENT:
		return json_string("it is absent");
	case FACT_UNKNOWN:
		return json_string("it is unknown");
	case FACT_LATER:
		return json_string("it is not known yet");
	case FACT_PRESENT:
		break;
	}
	if (atom->row->kind == OPERATOR_WINDOW)
		return json_sprintf("it is %s %02d:%02d there", &"Mon\0Tue\0Wed\0Thu\0Fri\0Sat\0Sun"[4 * v.local.weekday],
		    v.local.hour, v.local.minute);
	if (v.many && v.n == 0)
		return json_string("it has no value");
	list = json_array();
	for (size_t i = 0; i < v.n && i < VALUES_MAX; i++) {
		struct span one;
		char buf[40];

		json_array_append_new(list, value_at(&v, i, &one, buf) == FACT_PRESENT ? text(one) : json_string("(no text)"));
	}
	list = joined(list, ", ", v.n > VALUES_MAX);
	return joined(json_pack("[s, o]", "it is ", list), "", false);
}

static json_t *
listed(const char *what, const struct pattern *patterns, size_t n)
{
	json_t *list = json_array(), *names, *out;

	for (size_t i = 0; i < n && i < VALUES_MAX; i++)
		json_array_append_new(list, text(patterns[i].source));
	names = joined(list, ", ", n > VALUES_MAX);
	out = json_sprintf("%s: %s", what, json_string_value(names));
	json_decref(names);
	return out;
}

/* Whether its Principal matches, or its Resource, whatever the rest of it says. */
static bool
speaks(struct evaluation *q, const struct statement *s, bool principal, bool resource)
{
	struct statement probe = *s;

	probe.actions = UINT32_MAX;
	probe.not_before = probe.expires = 0;
	if (!principal)
		probe.n_principals = 0;
	if (!resource)
		probe.n_resources = 0;
	return statement_speaks(q, &probe) == TRI_YES;
}

json_t *
statement_misses(const struct policy *p, const struct policy_request *r, const struct statement *s)
{
	json_t *out = json_array();
	char resource[RESOURCE_MAX];
	struct evaluation q;

	if (!evaluation_begin(&q, p, r, resource))
		return out;
	if (!speaks(&q, s, true, false))
		json_array_append_new(out, listed("the caller is not of its Principal", s->principals, s->n_principals));
	if (!(s->actions >> r->action & 1u))
		json_array_append_new(out, json_sprintf("%s is none of its actions", policy_action_name(r->action)));
	if (!speaks(&q, s, false, true))
		json_array_append_new(out, listed("the resource does not match", s->resources, s->n_resources));
	if (s->not_before != 0 || s->expires != 0) {
		struct statement probe = *s;

		probe.actions = UINT32_MAX;
		probe.n_principals = probe.n_resources = 0;
		if (statement_speaks(&q, &probe) != TRI_YES)
			json_array_append_new(out, json_string("it is not in force then (NotBefore, Expires)"));
	}
	for (size_t i = 0; i < s->n_atoms; i++) {
		json_t *words, *have;

		if (atom_matches(&q, &s->atoms[i]) == TRI_YES)
			continue;
		words = condition_words(&s->atoms[i]);
		have = had(&q, &s->atoms[i]);
		json_array_append_new(out, json_sprintf("%s (%s)", json_string_value(words), json_string_value(have)));
		json_decref(words);
		json_decref(have);
	}
	return out;
}
