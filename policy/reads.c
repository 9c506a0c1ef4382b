/*
 * reads.c - which keys the statements of a bundle read: what a record of a decision must hold to be asked again.
 * Invariant: a key that is not in the list is read by no statement, or reads_full says that the list ended early.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

struct reads {
	struct bundle *bundle;
	struct key_read found[READS_MAX];
	size_t n;
	bool ok; /* memory lasted */
};

/* What a key is made of, or KEY_NONE when every record has that anyway: ids, issuer, time. */
static enum policy_key
source_of(enum policy_key key)
{
	if (key == KEY_NET_ZONE)
		return KEY_NET_SOURCE_IP;
	if (key == KEY_PRINCIPAL_IDS || key == KEY_PRINCIPAL_ISSUER || key == KEY_PRINCIPAL_TYPE || key == KEY_TIME_NOW ||
	    key_row(key)->param == PARAM_ZONE)
		return KEY_NONE;
	return key;
}

static struct key_read *
find(struct reads *r, const struct key_ref *ref)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->found[i].ref.key == ref->key && span_eq(r->found[i].ref.param, ref->param))
			return &r->found[i];
	return NULL;
}

static void
add(struct reads *r, const struct key_ref *ref, uint32_t actions)
{
	struct key_ref key = *ref;
	struct key_read *k;

	key.key = source_of(ref->key);
	if (key.key == KEY_NONE)
		return;
	k = find(r, &key);
	if (k == NULL && r->n == READS_MAX) {
		r->bundle->reads_full = true;
		return;
	}
	if (k == NULL) {
		k = &r->found[r->n++];
		*k = (struct key_read){ .ref = key };
		k->name = arena_printf(r->bundle->arena, "%s%.*s", key_row(key.key)->name, SPAN_FMT(key.param));
		r->ok = r->ok && k->name.p != NULL;
	}
	k->actions |= actions;
}

static void
add_variables(struct reads *r, const struct pattern *patterns, size_t n, uint32_t actions)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; patterns[i].variables && k < patterns[i].n; k++)
			if (patterns[i].parts[k].kind == PART_VARIABLE)
				add(r, &patterns[i].parts[k].key, actions);
}

static void
add_statement(struct reads *r, const struct statement *s)
{
	uint32_t actions = r->bundle->any_vocabulary ? UINT32_MAX : s->actions;

	add_variables(r, s->resources, s->n_resources, actions);
	for (size_t i = 0; i < s->n_atoms; i++) {
		add(r, &s->atoms[i].key, actions);
		if (s->atoms[i].row->kind == OPERATOR_STRING)
			add_variables(r, s->atoms[i].patterns, s->atoms[i].n, actions);
	}
}

bool
reads_build(struct bundle *b)
{
	struct reads r = { .bundle = b, .ok = true };
	struct key_read *out;
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		add_statement(&r, &b->statements[i]);
	out = arena_zalloc(b->arena, r.n, sizeof *out);
	if (out == NULL || !r.ok)
		return false;
	/* what came with the request first: it is what most decisions hang on, and a record is written until it is full */
	for (int phase = 1; phase <= 3; phase++)
		for (size_t i = 0; i < r.n; i++)
			if (key_row(r.found[i].ref.key)->phase == phase)
				out[n++] = r.found[i];
	b->reads = out;
	b->n_reads = n;
	return true;
}

bool
policy_asks(const struct policy *p, enum policy_action a, enum policy_key k)
{
	const struct bundle *b = p->bundle;

	for (size_t i = 0; i < b->n_reads; i++)
		if (b->reads[i].ref.key == k && (b->reads[i].actions & 1u << a) != 0)
			return true;
	return b->reads_full;
}
