/*
 * record.c - the record of a decision as JSON: for the audit event, and for `policy explain`.
 * Invariant: it names conditions and their values; it never holds a token, since no key does.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/compiled.h"
#include "policy/query.h"

#define HAVE_MAX   256u /* bytes of a value */
#define VALUES_MAX 8u /* of a list */

/* Bytes that are no UTF-8 are shown as question marks: a record must not fail for what a client sent. */
static json_t *
text(struct span s)
{
	char buf[HAVE_MAX];
	size_t n = s.n < sizeof buf ? s.n : sizeof buf;
	json_t *out;

	/* no half of a character at the end */
	while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	out = json_stringn(s.p == NULL ? "" : s.p, n);
	if (out != NULL || s.p == NULL)
		return out;
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
	return json_stringn(buf, n);
}

static void
set_text(json_t *o, const char *key, struct span s)
{
	if (s.n > 0)
		json_object_set_new(o, key, text(s));
}

static const char *
state_name(enum fact_state state)
{
	switch (state) {
	case FACT_ABSENT:
		return "absent";
	case FACT_UNKNOWN:
		return "unknown";
	case FACT_LATER:
		return "later";
	case FACT_PRESENT:
		break;
	}
	return "present";
}

static json_t *
values(const struct value *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n && i < VALUES_MAX; i++) {
		struct span one;
		char buf[40];

		json_array_append_new(list, value_at(v, i, &one, buf) == FACT_PRESENT ? text(one) : json_null());
	}
	return list;
}

static const char *
tri_name(enum tri t)
{
	switch (t) {
	case TRI_NO:
		return "no match";
	case TRI_YES:
		return "match";
	case TRI_UNKNOWN:
		return "unknown";
	case TRI_LATER:
		break;
	}
	return "later";
}

/* {"op","key","have","want","r"} */
static json_t *
atom_record(struct evaluation *q, const struct atom *atom)
{
	json_t *o = json_object(), *want = json_array();
	struct value v;

	for (size_t i = 0; i < atom->n_values && i < VALUES_MAX; i++)
		json_array_append_new(want, text(atom->values[i]));
	key_value(q, &atom->key, &v);
	json_object_set_new(o, "op", text(atom->op));
	json_object_set_new(o, "key", text(atom->name));
	if (v.state != FACT_PRESENT)
		json_object_set_new(o, "state", json_string(state_name(v.state)));
	else
		json_object_set_new(o, "have", v.many ? values(&v) : text(v.text));
	json_object_set_new(o, "want", want);
	json_object_set_new(o, "r", json_string(tri_name(atom_matches(q, atom))));
	return o;
}

static void
place_record(json_t *o, const struct statement *s)
{
	set_text(o, "sid", s->sid);
	json_object_set_new(o, "file", text(span_of(s->document->file)));
	json_object_set_new(o, "line", json_integer(s->line));
}

static json_t *
near_record(struct evaluation *q, const struct decision *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->n_near; i++) {
		json_t *o = json_object();

		place_record(o, d->near[i].statement);
		json_object_set_new(o, "failed", atom_record(q, d->near[i].atom));
		json_array_append_new(list, o);
	}
	return list;
}

static void
set_keys(json_t *o, const char *name, const struct key_set *keys)
{
	json_t *list;

	if (key_set_is_empty(keys))
		return;
	list = json_array();
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++)
		if (key_set_has(keys, (enum policy_key)k))
			json_array_append_new(list, json_string(key_row((enum policy_key)k)->name));
	json_object_set_new(o, name, list);
}

static void
why_record(json_t *o, struct evaluation *q, const struct decision *d)
{
	json_t *why = json_array(), *labels = json_object();

	place_record(o, d->by);
	for (size_t i = 0; i < d->by->n_atoms; i++)
		json_array_append_new(why, atom_record(q, &d->by->atoms[i]));
	json_object_set_new(o, "why", why);
	for (size_t i = 0; i < d->by->n_labels; i++)
		json_object_set_new(labels, d->by->labels[i].name.p, text(d->by->labels[i].value));
	if (d->by->n_labels > 0)
		json_object_set(o, "labels", labels);
	json_decref(labels);
}

static void
shadow_record(json_t *o, const struct decision *d)
{
	json_t *shadow;

	if (!d->shadow.differs)
		return;
	shadow = json_object();
	json_object_set_new(shadow, "decision", json_string(verdict_name(d->shadow.verdict)));
	place_record(shadow, d->shadow.by);
	json_object_set_new(o, "shadow", shadow);
}

json_t *
policy_record(const struct policy *p, const struct policy_request *r, const struct decision *d)
{
	char resource[RESOURCE_MAX];
	struct evaluation q;
	json_t *o = json_object();

	if (o == NULL || !evaluation_begin(&q, p, r, resource))
		return o;
	json_object_set_new(o, "decision", json_string(verdict_name(d->verdict)));
	json_object_set_new(o, "action", text(p->bundle->any_vocabulary ? r->any_action : span_of(policy_action_name(r->action))));
	set_text(o, "resource", q.resource);
	if (d->by != NULL)
		why_record(o, &q, d);
	if (d->unknown)
		json_object_set_new(o, "for_unknown", json_true());
	if (d->n_near > 0)
		json_object_set_new(o, "near", near_record(&q, d));
	set_keys(o, "need", &d->need);
	set_keys(o, "missing", &d->missing);
	set_keys(o, "unknown", &d->unknowns);
	shadow_record(o, d);
	json_object_set_new(o, "bundle", json_string(p->hash));
	json_object_set_new(o, "candidates", json_integer(d->candidates));
	return o;
}
