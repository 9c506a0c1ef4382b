/*
 * format.c - see format.h.
 * Invariant: nothing is changed but blanks, the order of members that has no meaning, and the case of names that have none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/format.h"

#include "policy/compiled.h"

/* ---- the order of members ---- */

static const char *const document_order[] = { "//", "$schema", "Version", "Id", "Kind", "Scope", "Zones", "Sets", "Statement", NULL };
static const char *const statement_order[] = { "//", "Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition",
	"Mode", "OnUnknown", "OnPush", "NotBefore", "Expires", "Message", "Labels", NULL };

/* Without its quotes. */
static struct span
inside(struct span quoted)
{
	return quoted.n >= 2 ? (struct span){ quoted.p + 1, quoted.n - 2 } : SPAN_NONE;
}

static size_t
rank(struct span name, const char *const *order)
{
	size_t i = 0;

	while (order[i] != NULL && !span_eq(inside(name), span_of(order[i])))
		i++;
	return i;
}

/* By insertion: members are few, and those of one rank (with an escape in their name) keep their order. */
static void
sort(struct node *object, const char *const *order)
{
	struct node *sorted = NULL, *next;

	for (struct node *m = object->first; m != NULL; m = next) {
		struct node **to = &sorted;

		next = m->next;
		while (*to != NULL && rank((*to)->name, order) <= rank(m->name, order))
			to = &(*to)->next;
		m->next = *to;
		*to = m;
	}
	object->first = sorted;
}

/* ---- the case of names ---- */

static struct span
quoted(struct arena *a, struct span before, struct span behind)
{
	return arena_printf(a, "\"%.*s%.*s\"", SPAN_FMT(before), SPAN_FMT(behind));
}

/* As its row writes it; what stands behind jwt: or a slash has a case of its own. */
static bool
key_case(struct arena *a, struct span *name)
{
	struct span raw = inside(*name), row;
	enum policy_key key = key_find(raw);

	if (key == KEY_NONE)
		return true;
	row = span_of(key_row(key)->name);
	if (!span_starts(raw, row))
		*name = quoted(a, row, span_skip(raw, row.n));
	return name->p != NULL;
}

static bool
is_wildcard(char c)
{
	return c == '*' || c == '?';
}

/* As an action that it names writes it: the text before its first star, and behind its last. */
static bool
action_case(struct arena *a, struct span *text)
{
	struct span raw = inside(*text), name;
	uint32_t actions = action_mask(raw);
	size_t head = 0, tail = 0;
	char *to;

	if (actions == 0)
		return true;
	name = span_of(policy_action_name((enum policy_action)__builtin_ctz(actions)));
	*text = quoted(a, raw, SPAN_NONE);
	if (text->p == NULL)
		return false;
	to = (char *)(uintptr_t)text->p + 1;
	for (; head < raw.n && raw.p[head] != '*'; head++)
		if (!is_wildcard(raw.p[head]))
			to[head] = name.p[head];
	for (; tail < raw.n - head && raw.p[raw.n - 1 - tail] != '*'; tail++)
		if (!is_wildcard(raw.p[raw.n - 1 - tail]))
			to[raw.n - 1 - tail] = name.p[name.n - 1 - tail];
	return true;
}

/* ---- the parts of a document ---- */

/* More than one member: a line each, so that a difference shows which. */
static void
open_many(struct node *object)
{
	object->open |= object->kind == NODE_OBJECT && object->n > 1;
}

static bool
format_condition(struct arena *a, struct node *condition)
{
	bool ok = true;

	condition->open = true;
	for (struct node *op = condition->first; op != NULL; op = op->next) {
		open_many(op);
		for (struct node *key = op->first; key != NULL; key = key->next)
			ok = key_case(a, &key->name) && ok;
	}
	return ok;
}

static bool
format_action(struct arena *a, struct node *action)
{
	bool ok = action->kind != NODE_LEAF || action_case(a, &action->text);

	for (struct node *one = action->first; one != NULL; one = one->next)
		ok = action_case(a, &one->text) && ok;
	return ok;
}

static bool
format_statement(struct arena *a, struct node *statement)
{
	bool ok = true;

	statement->open = true;
	sort(statement, statement_order);
	for (struct node *m = statement->first; m != NULL; m = m->next) {
		struct span name = inside(m->name);

		if (span_eq(name, SPAN("Action")) || span_eq(name, SPAN("NotAction")))
			ok = format_action(a, m) && ok;
		else if (span_eq(name, SPAN("Condition")))
			ok = format_condition(a, m) && ok;
		else
			open_many(m);
	}
	return ok;
}

struct span
policy_format(struct arena *a, struct span text)
{
	struct node *root = layout_read(a, text);
	bool ok = root != NULL;

	if (!ok)
		return SPAN_NONE;
	root->open = true;
	sort(root, document_order);
	for (struct node *m = root->first; m != NULL; m = m->next) {
		open_many(m);
		if (!span_eq(inside(m->name), SPAN("Statement")))
			continue;
		if (m->kind == NODE_OBJECT)
			ok = format_statement(a, m) && ok;
		else
			for (struct node *s = m->first; s != NULL; s = s->next)
				ok = format_statement(a, s) && ok;
	}
	return ok ? layout_write(a, root, FORMAT_COLUMNS) : SPAN_NONE;
}

/* ---- the same ---- */

static bool
same_spans(const struct span *a, size_t na, const struct span *b, size_t nb)
{
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = span_eq(a[i], b[i]);
	return same;
}

static bool
same_patterns(const struct pattern *a, size_t na, const struct pattern *b, size_t nb)
{
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = span_eq(a[i].source, b[i].source);
	return same;
}

static bool
same_atom(const struct atom *a, const struct atom *b)
{
	return a->row == b->row && a->qualifier == b->qualifier && a->if_exists == b->if_exists && a->negated == b->negated &&
	    a->key.key == b->key.key && span_eq(a->key.param, b->key.param) && a->n == b->n && a->sets == b->sets &&
	    same_spans(a->values, a->n_values, b->values, b->n_values);
}

static bool
same_labels(const struct statement *a, const struct statement *b)
{
	bool same = a->n_labels == b->n_labels;

	for (size_t i = 0; same && i < a->n_labels; i++)
		same = span_eq(a->labels[i].name, b->labels[i].name) && span_eq(a->labels[i].value, b->labels[i].value);
	return same;
}

static bool
same_document(const struct document *a, const struct document *b)
{
	return a->kind == b->kind && span_eq(a->id, b->id) && same_patterns(a->scope, a->n_scope, b->scope, b->n_scope);
}

static bool
same_statement(const struct statement *a, const struct statement *b)
{
	bool same = span_eq(a->sid, b->sid) && span_eq(a->message, b->message) && a->deny == b->deny && a->shadow == b->shadow &&
	    a->stale == b->stale && a->open == b->open && a->on_push == b->on_push && a->actions == b->actions &&
	    a->not_before == b->not_before && a->expires == b->expires &&
	    a->not_action == b->not_action && a->not_principal == b->not_principal && a->not_resource == b->not_resource &&
	    same_document(a->document, b->document) && same_labels(a, b) && a->n_atoms == b->n_atoms &&
	    same_patterns(a->principals, a->n_principals, b->principals, b->n_principals) &&
	    same_patterns(a->resources, a->n_resources, b->resources, b->n_resources) &&
	    same_patterns(a->any_actions, a->n_any_actions, b->any_actions, b->n_any_actions);

	for (size_t i = 0; same && i < a->n_atoms; i++)
		same = same_atom(&a->atoms[i], &b->atoms[i]);
	return same;
}

static bool
same_zone(const struct network_zone *a, const struct network_zone *b)
{
	bool same = span_eq(a->name, b->name) && a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = a->networks[i].bits == b->networks[i].bits && a->networks[i].v4 == b->networks[i].v4 &&
		    memcmp(a->networks[i].address, b->networks[i].address, sizeof a->networks[i].address) == 0;
	return same;
}

bool
policy_same(const struct policy *a, const struct policy *b)
{
	const struct bundle *x = a->bundle, *y = b->bundle;
	bool same = x->n == y->n && x->n_zones == y->n_zones && x->n_sets == y->n_sets && x->any_vocabulary == y->any_vocabulary;

	for (size_t i = 0; same && i < x->n_zones; i++)
		same = same_zone(&x->zones[i], &y->zones[i]);
	for (size_t i = 0; same && i < x->n_sets; i++)
		same = span_eq(x->sets[i].name, y->sets[i].name) && span_eq(x->sets[i].file, y->sets[i].file);
	for (size_t i = 0; same && i < x->n; i++)
		same = same_statement(&x->statements[i], &y->statements[i]);
	return same;
}
