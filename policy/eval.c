/*
 * eval.c - one question to a snapshot.
 * Invariant: nothing is allowed unless an Allow is certainly YES and every Deny is certainly NO.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/compiled.h"

struct evaluation {
	const struct policy_request *r;
	struct span resource;
	struct key_set need; /* keys of every LATER met */
};

static enum tri not(enum tri t) {
	return t == TRI_YES ? TRI_NO : t == TRI_NO ? TRI_YES
						   : t;
}

/* NO wins; then LATER, which may become NO; then UNKNOWN. */
static enum tri and (enum tri a, enum tri b) {
	if (a == TRI_NO || b == TRI_NO) return TRI_NO;
	return a > b ? a : b;
}

/* YES wins; then LATER, which may become YES; then UNKNOWN. */
static enum tri or (enum tri a, enum tri b) {
	if (a == TRI_YES || b == TRI_YES) return TRI_YES;
	return a > b ? a : b;
}

/* ---- one value against the values of an atom ---- */

static enum tri
string_matches(struct evaluation *q, const struct atom *atom, struct span v)
{
	enum tri any = TRI_NO;

	for (size_t i = 0; i < atom->n && any != TRI_YES; i++)
		any = or (any, pattern_match(&atom->patterns[i], atom->row->flags, q->r, v, &q->need));
	return any;
}

static enum tri
address_matches(const struct atom *atom, struct span v)
{
	struct network address;

	if (!address_parse(v, &address))
		return TRI_UNKNOWN;
	for (size_t i = 0; i < atom->n; i++)
		if (network_contains(&atom->networks[i], &address))
			return TRI_YES;
	return TRI_NO;
}

static bool
ordered(enum compare compare, int order)
{
	switch (compare) {
	case COMPARE_EQUAL:
		return order == 0;
	case COMPARE_LESS:
		return order < 0;
	case COMPARE_LESS_EQUAL:
		return order <= 0;
	case COMPARE_GREATER:
		return order > 0;
	case COMPARE_GREATER_EQUAL:
		return order >= 0;
	}
	return false;
}

static enum tri
number_matches(const struct atom *atom, bool read, const struct number *v)
{
	if (!read)
		return TRI_UNKNOWN;
	for (size_t i = 0; i < atom->n; i++)
		if (ordered(atom->row->compare, number_compare(v, &atom->numbers[i])))
			return TRI_YES;
	return TRI_NO;
}

static enum tri
version_matches(const struct atom *atom, struct span text)
{
	struct version v;

	if (!version_parse(text, &v))
		return TRI_UNKNOWN;
	for (size_t i = 0; i < atom->n; i++)
		if (ordered(atom->row->compare, version_compare(&v, &atom->versions[i])))
			return TRI_YES;
	return TRI_NO;
}

static enum tri
text_matches(struct evaluation *q, const struct atom *atom, struct span v)
{
	struct number number = { 0 };
	bool read;

	switch (atom->row->kind) {
	case OPERATOR_NONE:
		break;
	case OPERATOR_BOOL:
		number.whole = span_eq_nocase(v, SPAN("true"));
		read = number.whole == 1 || span_eq_nocase(v, SPAN("false"));
		return number_matches(atom, read, &number);
	case OPERATOR_NUMBER:
		read = number_parse(v, &number);
		return number_matches(atom, read, &number);
	case OPERATOR_DATE:
		read = date_parse(v, &number);
		return number_matches(atom, read, &number);
	case OPERATOR_VERSION:
		return version_matches(atom, v);
	case OPERATOR_STRING:
		return string_matches(q, atom, v);
	case OPERATOR_IP:
		return address_matches(atom, v);
	}
	return TRI_UNKNOWN;
}

static enum tri
value_matches(struct evaluation *q, const struct atom *atom, const struct value *v, size_t i)
{
	char buf[40];
	struct span text;
	enum tri t;

	if (value_at(v, i, &text, buf) != FACT_PRESENT)
		return TRI_UNKNOWN;
	t = text_matches(q, atom, text);
	return atom->negated ? not(t) : t;
}

/* ---- a key under an operator ---- */

/* A key that is absent, [] or "" is null. */
static bool
is_null(const struct value *v)
{
	return v->state == FACT_ABSENT || v->n == 0 || (!v->many && v->text.n == 0);
}

/* What an operator says when there is nothing to compare: IfExists is content, a negated one finds no value that is. */
static enum tri
of_nothing(const struct atom *atom)
{
	if (atom->if_exists || atom->qualifier == QUALIFIER_ALL)
		return TRI_YES;
	return atom->negated && atom->qualifier == QUALIFIER_NONE ? TRI_YES : TRI_NO;
}

static enum tri
values_match(struct evaluation *q, const struct atom *atom, const struct value *v)
{
	bool all = atom->qualifier == QUALIFIER_ALL;
	enum tri t = all ? TRI_YES : TRI_NO;

	if (atom->qualifier == QUALIFIER_NONE) {
		if (v->state == FACT_ABSENT)
			return of_nothing(atom);
		/* one value was asked for: no guess which */
		return v->many ? TRI_UNKNOWN : value_matches(q, atom, v, 0);
	}
	if (is_null(v))
		return of_nothing(atom);
	for (size_t i = 0; i < v->n && t != (all ? TRI_NO : TRI_YES); i++) {
		enum tri one = value_matches(q, atom, v, i);

		t = all ? and(t, one) : or (t, one);
	}
	return t;
}

static enum tri
atom_matches(struct evaluation *q, const struct atom *atom)
{
	struct value v;

	key_value(q->r, atom->key, &v);
	if (v.state == FACT_LATER) {
		key_set_add(&q->need, atom->key.key);
		return TRI_LATER;
	}
	if (v.state == FACT_UNKNOWN)
		return TRI_UNKNOWN;
	if (atom->row->kind == OPERATOR_NONE)
		return is_null(&v) != atom->negated ? TRI_YES : TRI_NO;
	return values_match(q, atom, &v);
}

static enum tri
principal_matches(struct evaluation *q, const struct statement *s)
{
	const struct identity *who = q->r->who;

	for (size_t i = 0; i < s->n_principals; i++)
		for (size_t k = 0; k < who->n_ids; k++)
			if (pattern_match(&s->principals[i], 0, q->r, who->ids[k], &q->need) == TRI_YES)
				return TRI_YES;
	return TRI_NO;
}

static enum tri
resource_matches(struct evaluation *q, const struct statement *s)
{
	enum tri any = TRI_NO;

	for (size_t i = 0; i < s->n_resources && any != TRI_YES; i++)
		any = or (any, pattern_match(&s->resources[i], PATTERN_SEGMENT, q->r, q->resource, &q->need));
	return any;
}

/* What can be told from the request line first, conditions last. `need` counts only when the result is LATER. */
static enum tri
statement_matches(struct evaluation *q, const struct statement *s)
{
	struct key_set need = q->need;
	enum tri t = resource_matches(q, s);

	if (t != TRI_NO)
		t = and(t, principal_matches(q, s));
	for (size_t i = 0; i < s->n_atoms && t != TRI_NO; i++)
		t = and(t, atom_matches(q, &s->atoms[i]));
	if (t != TRI_LATER)
		q->need = need;
	return t;
}

static void
decided_by(struct decision *out, enum verdict verdict, const struct statement *s, bool unknown)
{
	out->verdict = verdict;
	out->unknown = unknown;
	if (s != NULL) {
		out->sid = s->sid;
		out->message = s->message;
	}
}

/* The first statements of one effect that match, and that might; and whether any depends on what comes later. */
struct found {
	struct evaluation *q;
	const struct statement *yes, *unknown;
	bool later;
};

static bool
visit(void *ctx, const struct statement *s)
{
	struct found *f = ctx;

	if (f->yes != NULL && s >= f->yes)
		return false;	/* an earlier one has matched */
	switch (statement_matches(f->q, s)) {
	case TRI_YES:
		f->yes = s;
		return false;
	case TRI_UNKNOWN:
		f->unknown = f->unknown == NULL || s < f->unknown ? s : f->unknown;
		break;
	case TRI_LATER:
		f->later = true;
		break;
	case TRI_NO:
		break;
	}
	return true;
}

static void
search(const struct policy *p, struct evaluation *q, bool deny, struct found *f)
{
	*f = (struct found){ .q = q };
	index_each(&p->index[deny][q->r->action], q->resource, visit, f);
}

static void
decide(const struct policy *p, struct evaluation *q, struct decision *out)
{
	struct found deny, allow;
	struct key_set need;

	search(p, q, true, &deny);
	if (deny.yes != NULL || deny.unknown != NULL) {
		decided_by(out, VERDICT_EXPLICIT_DENY, deny.yes != NULL ? deny.yes : deny.unknown, deny.yes == NULL);
		return;
	}
	need = q->need;
	search(p, q, false, &allow);
	if (allow.yes == NULL && !allow.later) {
		/* whatever is asked for later, nothing can allow it */
		decided_by(out, VERDICT_DENY, NULL, allow.unknown != NULL);
		return;
	}
	if (allow.yes != NULL)
		q->need = need; /* only a Deny is still open, if anything */
	if (deny.later || allow.yes == NULL) {
		out->verdict = VERDICT_NEED;
		out->need = q->need;
		return;
	}
	decided_by(out, VERDICT_ALLOW, allow.yes, false);
}

void
policy_decide(const struct policy *p, const struct policy_request *r, struct decision *out)
{
	char text[512];
	struct evaluation q = { .r = r };
	int n;

	*out = (struct decision){ 0 };
	if (r->action <= ACTION_NONE || r->action >= ACTION_MAX || r->who == NULL)
		return;
	if (r->repository.p == NULL)
		n = snprintf(text, sizeof text, "registry:%.*s", SPAN_FMT(r->upstream));
	else
		n = snprintf(text, sizeof text, "repo:%.*s/%.*s", SPAN_FMT(r->upstream), SPAN_FMT(r->repository));
	if (n < 0 || (size_t)n >= sizeof text)
		return; /* no name is that long: nothing allows it */
	q.resource = (struct span){ text, (size_t)n };
	decide(p, &q, out);
}
