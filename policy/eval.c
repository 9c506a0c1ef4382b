/*
 * eval.c - one question to one statement.
 * Invariant: YES and NO are certain; what cannot be told is UNKNOWN, what may be told later is LATER.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

static enum tri
negate(enum tri t)
{
	return t == TRI_YES ? TRI_NO : t == TRI_NO ? TRI_YES : t;
}

/* NO wins; then LATER, which may become NO; then UNKNOWN. */
static enum tri
both(enum tri a, enum tri b)
{
	if (a == TRI_NO || b == TRI_NO)
		return TRI_NO;
	return a > b ? a : b;
}

/* YES wins; then LATER, which may become YES; then UNKNOWN. */
static enum tri
either(enum tri a, enum tri b)
{
	if (a == TRI_YES || b == TRI_YES)
		return TRI_YES;
	return a > b ? a : b;
}

/* ---- one value against the values of an atom ---- */

static enum tri
string_matches(struct evaluation *q, const struct atom *atom, struct span v)
{
	enum tri any = TRI_NO;

	for (uint64_t sets = atom->sets; sets != 0; sets &= sets - 1)
		if (set_contains(q->p->sets[__builtin_ctzll(sets)], v))
			return TRI_YES;
	for (size_t i = 0; i < atom->n && any != TRI_YES; i++)
		any = either(any, pattern_match(&atom->patterns[i], atom->row->flags, q, v));
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
regex_matches(const struct atom *atom, struct span v)
{
	enum tri any = TRI_NO;

	for (size_t i = 0; i < atom->n && any != TRI_YES; i++) {
		switch (regex_match(atom->regexes[i], v)) {
		case REGEX_YES:
			return TRI_YES;
		case REGEX_UNKNOWN:
			any = TRI_UNKNOWN;
			break;
		case REGEX_NO:
			break;
		}
	}
	return any;
}

static enum tri
window_matches(const struct atom *atom, const struct civil *local)
{
	for (size_t i = 0; i < atom->n; i++)
		if (window_contains(&atom->windows[i], local))
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
	case OPERATOR_WINDOW:
		break;
	case OPERATOR_REGEX:
		return regex_matches(atom, v);
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

	if (atom->row->kind == OPERATOR_WINDOW)
		t = window_matches(atom, &v->local);
	else if (value_at(v, i, &text, buf) != FACT_PRESENT)
		return TRI_UNKNOWN;
	else
		t = text_matches(q, atom, text);
	return atom->negated ? negate(t) : t;
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

		t = all ? both(t, one) : either(t, one);
	}
	return t;
}

/* A fact is UNKNOWN, and the statement's OnUnknown may have what was known last stand for it, or let it pass. */
static bool
leans(struct evaluation *q, const struct atom *atom, struct value *v, enum tri *t)
{
	const struct statement *s = q->lenient;
	const struct fact *f;

	if (s == NULL || key_row(atom->key.key)->phase < 2)
		return false;
	f = &q->r->facts[atom->key.key];
	if (f->state != FACT_UNKNOWN || (!s->open && (!f->was_known || f->age > s->stale)))
		return false;
	q->leaned = true;
	*t = TRI_UNKNOWN;
	if (f->was_known)
		key_value_then(q, &atom->key, v);
	else
		*t = s->deny ? TRI_NO : TRI_YES;
	return true;
}

enum tri
atom_matches(struct evaluation *q, const struct atom *atom)
{
	enum tri t;
	UNSET struct value v; /* key_value() sets what is read */

	key_value(q, &atom->key, &v);
	if (v.state == FACT_LATER) {
		key_set_add(&q->need, atom->key.key);
		return TRI_LATER;
	}
	if (v.state == FACT_UNKNOWN) {
		key_set_add(&q->unknowns, atom->key.key);
		if (!leans(q, atom, &v, &t))
			return TRI_UNKNOWN;
		if (t != TRI_UNKNOWN)
			return t;
	}
	if (v.state == FACT_ABSENT)
		key_set_add(&q->missing, atom->key.key);
	if (atom->row->kind == OPERATOR_NONE)
		return is_null(&v) != atom->negated ? TRI_YES : TRI_NO;
	t = values_match(q, atom, &v);
	if (t == TRI_UNKNOWN)
		key_set_add(&q->unknowns, atom->key.key);
	return t;
}

/* ---- a statement ---- */

/* Could it be the name of a group that the token does not list? */
static bool
may_be_group(const struct pattern *p, const struct identity *who)
{
	struct span prefix = pattern_prefix(p), group = SPAN("group:");

	if (prefix.n <= group.n)
		return span_starts(group, prefix);
	if (!span_starts(prefix, group))
		return false;
	prefix = span_skip(prefix, group.n);
	if (prefix.n <= who->issuer.n)
		return span_starts(who->issuer, prefix);
	return span_starts(prefix, who->issuer) && prefix.p[who->issuer.n] == '/';
}

static enum tri
principal_matches(struct evaluation *q, const struct statement *s)
{
	const struct identity *who = q->r->who;

	if (s->n_principals == 0)
		return TRI_YES; /* of any vocabulary only */
	for (size_t i = 0; i < s->n_principals; i++)
		for (size_t k = 0; k < who->n_ids; k++)
			if (pattern_match(&s->principals[i], 0, q, who->ids[k]) == TRI_YES)
				return s->not_principal ? TRI_NO : TRI_YES;
	for (size_t i = 0; who->groups_unknown && i < s->n_principals; i++) {
		if (may_be_group(&s->principals[i], who)) {
			key_set_add(&q->unknowns, KEY_PRINCIPAL_IDS);
			return TRI_UNKNOWN;
		}
	}
	return s->not_principal ? TRI_YES : TRI_NO;
}

static enum tri
resource_matches(struct evaluation *q, const struct statement *s)
{
	unsigned flags = q->p->bundle->any_vocabulary ? 0 : PATTERN_SEGMENT;
	enum tri any = s->n_resources == 0 ? TRI_YES : TRI_NO;

	/* all but what cannot be told is no answer: the statement is invalid (IAM, policy variables) */
	for (size_t i = 0; i < s->n_resources && s->not_resource; i++)
		if (!pattern_has_values(&s->resources[i], q))
			return TRI_NO;
	for (size_t i = 0; i < s->n_resources && any != TRI_YES; i++)
		any = either(any, pattern_match(&s->resources[i], flags, q, q->resource));
	return s->not_resource ? negate(any) : any;
}

static bool
any_action_matches(struct evaluation *q, const struct statement *s)
{
	bool any = false;

	for (size_t i = 0; i < s->n_any_actions && !any; i++)
		any = pattern_match(&s->any_actions[i], PATTERN_NOCASE, q, q->r->any_action) == TRI_YES;
	return any != s->not_action;
}

/* NotBefore and Expires. */
static enum tri
is_in_force(const struct policy_request *r, const struct statement *s)
{
	if (s->not_before == 0 && s->expires == 0)
		return TRI_YES;
	if (r->now <= 0)
		return TRI_UNKNOWN;
	return r->now >= s->not_before && (s->expires == 0 || r->now < s->expires) ? TRI_YES : TRI_NO;
}

enum tri
statement_speaks(struct evaluation *q, const struct statement *s)
{
	enum tri t = is_in_force(q->r, s);

	if (s->n_any_actions == 0 ? !(s->actions >> q->r->action & 1u) : !any_action_matches(q, s))
		return TRI_NO;
	if (t != TRI_NO)
		t = both(t, resource_matches(q, s));
	return t == TRI_NO ? TRI_NO : both(t, principal_matches(q, s));
}

/* What can be told from the request line first, conditions last. */
static enum tri
all_match(struct evaluation *q, const struct statement *s)
{
	struct key_set need = q->need;
	enum tri t = statement_speaks(q, s);

	for (size_t i = 0; i < s->n_atoms && t != TRI_NO; i++)
		t = both(t, atom_matches(q, &s->atoms[i]));
	if (t != TRI_LATER)
		q->need = need;
	return t;
}

enum tri
statement_matches(struct evaluation *q, const struct statement *s)
{
	enum tri t;

	q->swayed = q->leaned = false;
	if (s->stale == 0 || q->p->bundle->any_vocabulary)
		return all_match(q, s);
	q->lenient = s;
	t = all_match(q, s);
	q->lenient = NULL;
	if (q->leaned)
		q->swayed = all_match(q, s) != t;
	return t;
}
