/*
 * record.c - the record of a decision as JSON: for the audit event, and for `policy explain`.
 * Invariant: it is one whole JSON object, whatever had to be left out; it never holds a token, since no key does.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"
#include "policy/json_write.h"
#include "policy/query.h"

#define HAVE_MAX   256u /* bytes of a value */
#define VALUES_MAX 8u /* of a list that is shown */
#define LISTED_MAX 64u /* of a list that is there to be asked again */
#define IDS_MAX	   4096u /* bytes of the caller's ids */

/* What may be left out. */
enum member {
	MEMBER_PRINCIPAL,
	MEMBER_LABELS,
	MEMBER_WHY,
	MEMBER_NEED,
	MEMBER_MISSING,
	MEMBER_UNKNOWN,
	MEMBER_LENIENT,
	MEMBER_SHADOW,
	MEMBER_NEAR,
	MEMBER_CONTEXT,
	MEMBER_MAX
};
static const char *const member_names[MEMBER_MAX] = { "principal", "labels", "why", "need", "missing", "unknown",
	"lenient", "shadow", "near", "context" };
#define CUT_ROOM 160u /* ,"cut":[ all of them ]} */

struct record {
	struct json_writer w;
	struct evaluation q;
	const struct decision *d;
	const struct policy_request *base;
	unsigned cut; /* bits of members */
};

/* What was written since the mark does not fit: it never was. True when it stays. */
static bool
keep(struct record *o, const struct json_writer *mark, enum member m)
{
	if (!o->w.full)
		return true;
	o->w = *mark;
	o->cut |= 1u << m;
	return false;
}

/* Begin a list, with room kept for its end. False: it does not fit. */
static bool
list_open(struct record *o, const char *key, char bracket, enum member m)
{
	struct json_writer mark = o->w;

	json_write_key(&o->w, key);
	json_write_open(&o->w, bracket);
	o->w.full = o->w.full || o->w.p == o->w.end;
	if (!keep(o, &mark, m))
		return false;
	o->w.end--;
	return true;
}

static void
list_close(struct record *o, char bracket)
{
	o->w.end++;
	json_write_close(&o->w, bracket);
}

static void
text(struct record *o, const char *key, struct span s, size_t cut)
{
	if (s.n == 0)
		return;
	json_write_key(&o->w, key);
	json_write_text(&o->w, s, cut);
}

static void
number(struct record *o, const char *key, uint64_t v)
{
	json_write_key(&o->w, key);
	json_write_number(&o->w, v);
}

static void
place(struct record *o, const struct statement *s)
{
	text(o, "sid", s->sid, HAVE_MAX);
	text(o, "file", span_of(s->document->file), HAVE_MAX);
	number(o, "line", (uint64_t)s->line);
}

/* ---- conditions ---- */

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

/* The values as a list, up to max of them. False: not all, or not each as it is. */
static bool
values(struct record *o, const struct value *v, size_t max)
{
	bool whole = v->n <= max;

	json_write_open(&o->w, '[');
	for (size_t i = 0; i < v->n && i < max; i++) {
		struct span one;
		char buf[40];

		json_write_next(&o->w);
		if (value_at(v, i, &one, buf) != FACT_PRESENT) {
			json_write_bytes(&o->w, "null", 4);
			continue;
		}
		json_write_text(&o->w, one, HAVE_MAX);
		whole = whole && json_write_exact(one, HAVE_MAX);
	}
	json_write_close(&o->w, ']');
	return whole;
}

/* "Tue 08:05" */
static void
local_time(struct record *o, const struct civil *t)
{
	static const char days[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
	const unsigned h = (unsigned)t->hour % 24, m = (unsigned)t->minute % 60;
	char at[] = "ddd 00:00";

	memcpy(at, days[(unsigned)t->weekday % 7], 3);
	at[4] = (char)('0' + h / 10);
	at[5] = (char)('0' + h % 10);
	at[7] = (char)('0' + m / 10);
	at[8] = (char)('0' + m % 10);
	json_write_text(&o->w, SPAN(at), sizeof at);
}

static void
have(struct record *o, const struct atom *atom, const struct value *v)
{
	json_write_key(&o->w, v->state == FACT_PRESENT ? "have" : "state");
	if (v->state != FACT_PRESENT)
		json_write_text(&o->w, span_of(state_name(v->state)), HAVE_MAX);
	else if (v->many)
		(void)values(o, v, VALUES_MAX);
	else if (atom->row->kind == OPERATOR_WINDOW)
		local_time(o, &v->local);
	else
		json_write_text(&o->w, v->text, HAVE_MAX);
}

/* {"op","key","have","want","r"} */
static void
condition(struct record *o, const struct atom *atom, bool holds)
{
	enum tri t = holds ? TRI_YES : atom_matches(&o->q, atom);
	struct value v;

	key_value(&o->q, &atom->key, &v);
	json_write_open(&o->w, '{');
	text(o, "op", atom->op, HAVE_MAX);
	text(o, "key", atom->name, HAVE_MAX);
	have(o, atom, &v);
	json_write_key(&o->w, "want");
	json_write_open(&o->w, '[');
	for (size_t i = 0; i < atom->n_values && i < VALUES_MAX; i++) {
		json_write_next(&o->w);
		json_write_text(&o->w, atom->values[i], HAVE_MAX);
	}
	json_write_close(&o->w, ']');
	if (atom->n_values > VALUES_MAX)
		number(o, "want_more", atom->n_values - VALUES_MAX);
	text(o, "r", span_of(tri_name(t)), HAVE_MAX);
	json_write_close(&o->w, '}');
}

static void
write_why(struct record *o)
{
	const struct statement *by = o->d->by;

	if (by == NULL || !list_open(o, "why", '[', MEMBER_WHY))
		return;
	for (size_t i = 0; i < by->n_atoms; i++) {
		struct json_writer mark = o->w;

		json_write_next(&o->w);
		/* of an Allow all of them hold */
		condition(o, &by->atoms[i], o->d->verdict == VERDICT_ALLOW);
		if (!keep(o, &mark, MEMBER_WHY))
			break;
	}
	list_close(o, ']');
}

static void
write_near(struct record *o)
{
	const struct decision *d = o->d;

	if (d->n_near == 0 || !list_open(o, "near", '[', MEMBER_NEAR))
		return;
	for (size_t i = 0; i < d->n_near; i++) {
		struct json_writer mark = o->w;

		json_write_next(&o->w);
		json_write_open(&o->w, '{');
		place(o, d->near[i].statement);
		json_write_key(&o->w, "failed");
		condition(o, d->near[i].atom, false);
		json_write_close(&o->w, '}');
		if (!keep(o, &mark, MEMBER_NEAR))
			break;
	}
	list_close(o, ']');
}

/* ---- what can be said of any decision ---- */

/* Of a key with a name behind it, as claims are: those of them that statements read, and that are in this state. */
static void
write_named(struct record *o, enum policy_key key, enum fact_state state)
{
	const struct bundle *b = o->q.p->bundle;

	for (size_t i = 0; i < b->n_reads; i++) {
		const struct key_read *k = &b->reads[i];
		struct value v;

		if (k->ref.key != key || !(k->actions >> o->q.r->action & 1u))
			continue;
		key_value(&o->q, &k->ref, &v);
		if (v.state != state)
			continue;
		json_write_next(&o->w);
		json_write_text(&o->w, k->name, HAVE_MAX);
	}
}

static void
write_keys(struct record *o, const char *name, const struct key_set *keys, enum fact_state state, enum member m)
{
	struct json_writer mark = o->w;

	if (key_set_is_empty(keys))
		return;
	json_write_key(&o->w, name);
	json_write_open(&o->w, '[');
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);

		if (!key_set_has(keys, (enum policy_key)k))
			continue;
		if (row->param != PARAM_NONE && row->param != PARAM_ZONE) {
			write_named(o, (enum policy_key)k, state);
			continue;
		}
		json_write_next(&o->w);
		json_write_text(&o->w, span_of(row->name), HAVE_MAX);
	}
	json_write_close(&o->w, ']');
	(void)keep(o, &mark, m);
}

static void
write_labels(struct record *o)
{
	const struct statement *by = o->d->by;
	struct json_writer mark = o->w;

	if (by == NULL || by->n_labels == 0)
		return;
	json_write_key(&o->w, "labels");
	json_write_open(&o->w, '{');
	for (size_t i = 0; i < by->n_labels; i++) {
		json_write_next(&o->w);
		json_write_text(&o->w, by->labels[i].name, HAVE_MAX);
		json_write_bytes(&o->w, ":", 1);
		json_write_text(&o->w, by->labels[i].value, HAVE_MAX);
	}
	json_write_close(&o->w, '}');
	(void)keep(o, &mark, MEMBER_LABELS);
}

/* Something was not known, and the OnUnknown of this statement let that pass. */
static void
write_lenient(struct record *o)
{
	struct json_writer mark = o->w;

	if (o->d->lenient == NULL)
		return;
	json_write_key(&o->w, "lenient");
	json_write_open(&o->w, '{');
	place(o, o->d->lenient);
	json_write_close(&o->w, '}');
	(void)keep(o, &mark, MEMBER_LENIENT);
}

static void
write_shadow(struct record *o)
{
	const struct decision *d = o->d;
	struct json_writer mark = o->w;

	if (!d->shadow.differs)
		return;
	json_write_key(&o->w, "shadow");
	json_write_open(&o->w, '{');
	text(o, "decision", span_of(verdict_name(d->shadow.verdict)), HAVE_MAX);
	json_write_key(&o->w, "by");
	json_write_open(&o->w, '[');
	for (unsigned i = 0; i < d->shadow.n; i++) {
		json_write_next(&o->w);
		json_write_open(&o->w, '{');
		place(o, d->shadow.all[i]);
		json_write_close(&o->w, '}');
	}
	json_write_close(&o->w, ']');
	json_write_close(&o->w, '}');
	(void)keep(o, &mark, MEMBER_SHADOW);
}

/* The latest phase of what it hangs on. */
static unsigned
phase(const struct decision *d)
{
	int latest = 1;

	for (size_t i = 0; d->by != NULL && i < d->by->n_atoms; i++)
		if (key_row(d->by->atoms[i].key.key)->phase > latest)
			latest = key_row(d->by->atoms[i].key.key)->phase;
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++)
		if ((key_set_has(&d->missing, (enum policy_key)k) || key_set_has(&d->unknowns, (enum policy_key)k) ||
			key_set_has(&d->need, (enum policy_key)k)) && key_row((enum policy_key)k)->phase > latest)
			latest = key_row((enum policy_key)k)->phase;
	return (unsigned)latest;
}

static void
write_decision(struct record *o)
{
	const struct policy_request *r = o->q.r;
	const struct decision *d = o->d;
	bool any = o->q.p->bundle->any_vocabulary;

	text(o, "decision", span_of(verdict_name(d->verdict)), HAVE_MAX);
	text(o, "action", any ? r->any_action : span_of(policy_action_name(r->action)), HAVE_MAX);
	text(o, "resource", o->q.resource, RESOURCE_MAX);
	if (d->by != NULL)
		place(o, d->by);
	number(o, "phase", phase(d));
	number(o, "candidates", d->candidates);
	if (d->unknown) {
		json_write_key(&o->w, "for_unknown");
		json_write_bytes(&o->w, "true", 4);
	}
}

/* ---- the request, to be asked again ---- */

static void
write_principal(struct record *o)
{
	const struct identity *who = o->q.r->who;
	const char *began;

	if (o->base != NULL || !list_open(o, "principal", '[', MEMBER_PRINCIPAL))
		return;
	began = o->w.p;
	for (size_t i = 0; i < who->n_ids; i++) {
		struct json_writer mark = o->w;

		json_write_next(&o->w);
		json_write_text(&o->w, who->ids[i], HAVE_MAX);
		o->w.full = o->w.full || !json_write_exact(who->ids[i], HAVE_MAX) || (size_t)(o->w.p - began) > IDS_MAX;
		if (!keep(o, &mark, MEMBER_PRINCIPAL))
			break;
	}
	list_close(o, ']');
}

/* Does the record beside this one say it already? */
static bool
is_common(const struct record *o, const struct key_read *k)
{
	enum policy_key key = k->ref.key;
	const struct fact *a, *b;

	if (o->base == NULL || !(k->actions >> o->base->action & 1u))
		return false;
	if (key >= KEY_MAX || key == KEY_JWT || key == KEY_PRINCIPAL_AUTH_AGE || o->base->facts == NULL)
		return true;
	a = &o->q.r->facts[key];
	b = &o->base->facts[key];
	return a->state == b->state && span_eq(a->value, b->value) && a->values == b->values && a->n_values == b->n_values;
}

static void
write_value(struct record *o, const struct value *v)
{
	switch (v->state) {
	case FACT_ABSENT:
		json_write_bytes(&o->w, "null", 4);
		return;
	case FACT_UNKNOWN:
		json_write_bytes(&o->w, "{\"unknown\":true}", 16);
		return;
	case FACT_LATER:
		json_write_bytes(&o->w, "{\"later\":true}", 14);
		return;
	case FACT_PRESENT:
		break;
	}
	if (v->many) {
		/* a part of a list would be another list */
		o->w.full = !values(o, v, LISTED_MAX) || o->w.full;
	} else if (json_write_exact(v->text, HAVE_MAX)) {
		json_write_text(&o->w, v->text, HAVE_MAX);
	} else {
		json_write_open(&o->w, '{');
		text(o, "cut", v->text, HAVE_MAX);
		json_write_close(&o->w, '}');
	}
}

/* What was known last, beside what is not known: OnUnknown may have let it count. False: nothing was. */
static bool
write_was(struct record *o, const struct key_ref *ref)
{
	const struct fact *f;
	struct value was;

	if (ref->key >= KEY_MAX || ref->param.n > 0 || key_row(ref->key)->phase < 2 || o->q.r->facts == NULL)
		return false;
	f = &o->q.r->facts[ref->key];
	if (f->state != FACT_UNKNOWN || !f->was_known)
		return false;
	key_value_then(&o->q, ref, &was);
	json_write_bytes(&o->w, "{\"unknown\":true,\"was\":", 22);
	write_value(o, &was);
	json_write_bytes(&o->w, ",\"age\":", 7);
	json_write_number(&o->w, f->age > 0 ? (uint64_t)f->age : 0);
	json_write_bytes(&o->w, "}", 1);
	return true;
}

static void
write_read(struct record *o, const struct key_read *k)
{
	struct json_writer mark = o->w;
	struct value v;

	if (is_common(o, k))
		return;
	key_value(&o->q, &k->ref, &v);
	json_write_next(&o->w);
	json_write_text(&o->w, k->name, HAVE_MAX);
	json_write_bytes(&o->w, ":", 1);
	if (v.state != FACT_UNKNOWN || !write_was(o, &k->ref))
		write_value(o, &v);
	o->w.full = o->w.full || k->name.n > HAVE_MAX;
	(void)keep(o, &mark, MEMBER_CONTEXT);
}

static void
write_context(struct record *o)
{
	const struct bundle *b = o->q.p->bundle;
	const struct policy_request *r = o->q.r;
	struct json_writer mark;

	if (!list_open(o, "context", '{', MEMBER_CONTEXT))
		return;
	mark = o->w;
	if (o->base == NULL && r->now > 0 && !b->any_vocabulary)
		number(o, "time:Now", (uint64_t)r->now);
	/* the ids of the others say it themselves */
	if (o->base == NULL && (r->who->type == PRINCIPAL_CERT || r->who->type == PRINCIPAL_BASIC))
		text(o, "principal:Type", r->who->type == PRINCIPAL_CERT ? SPAN("cert") : SPAN("basic"), HAVE_MAX);
	(void)keep(o, &mark, MEMBER_CONTEXT);
	for (size_t i = 0; i < b->n_reads; i++)
		if (b->any_vocabulary || b->reads[i].actions >> r->action & 1u)
			write_read(o, &b->reads[i]);
	if (b->reads_full)
		o->cut |= 1u << MEMBER_CONTEXT;
	list_close(o, '}');
}

static void
write_cut(struct record *o)
{
	o->w.end += CUT_ROOM;
	if (o->cut != 0) {
		json_write_key(&o->w, "cut");
		json_write_open(&o->w, '[');
		for (unsigned m = 0; m < MEMBER_MAX; m++) {
			if (!(o->cut >> m & 1u))
				continue;
			json_write_next(&o->w);
			json_write_text(&o->w, span_of(member_names[m]), HAVE_MAX);
		}
		json_write_close(&o->w, ']');
	}
	json_write_close(&o->w, '}');
}

size_t
policy_record_write(const struct policy *p, const struct policy_request *r, const struct decision *d,
    const struct policy_request *base, char *buf, size_t size)
{
	char resource[RESOURCE_MAX];
	struct record o = { .w = { .p = buf, .end = buf + size - CUT_ROOM }, .d = d, .base = base };

	/* there is nothing to tell of what could not be asked */
	if (size < CUT_ROOM || !evaluation_begin(&o.q, p, r, resource))
		return 0;
	json_write_open(&o.w, '{');
	write_decision(&o);
	if (o.w.full)
		return 0;
	write_principal(&o);
	write_labels(&o);
	write_why(&o);
	write_keys(&o, "need", &d->need, FACT_LATER, MEMBER_NEED);
	write_keys(&o, "missing", &d->missing, FACT_ABSENT, MEMBER_MISSING);
	write_keys(&o, "unknown", &d->unknowns, FACT_UNKNOWN, MEMBER_UNKNOWN);
	write_lenient(&o);
	write_shadow(&o);
	write_near(&o);
	write_context(&o);
	write_cut(&o);
	return o.w.full ? 0 : (size_t)(o.w.p - buf);
}
