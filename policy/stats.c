/*
 * stats.c - see stats.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/stats.h"

void
policy_stats(const struct policy *p, struct policy_stats *out)
{
	const struct bundle *b = p->bundle;

	*out = (struct policy_stats){ .statements = b->n, .zones = b->n_zones, .sets = b->n_sets, .index_bytes = b->index_bytes,
		.regex_bytes = b->regex_bytes };
	for (size_t i = 0; i < b->n; i++) {
		const struct statement *s = &b->statements[i];

		out->allow += !s->deny;
		out->deny += s->deny;
		out->shadow += s->shadow;
		out->atoms += s->n_atoms;
		for (size_t k = 0; k < s->n_atoms; k++)
			out->regexes += s->atoms[k].row->kind == OPERATOR_REGEX ? s->atoms[k].n : 0;
	}
	for (size_t i = 0; i < b->n_zones; i++)
		out->networks += b->zones[i].n;
	for (size_t i = 0; i < b->n_sets; i++) {
		out->values += set_size(p->sets[i]);
		out->set_bytes += set_bytes(p->sets[i]);
	}
	out->statement_bytes = arena_used(b->arena) - b->index_bytes + b->room * sizeof *b->statements;
	out->bytes = out->statement_bytes + out->index_bytes + out->regex_bytes;
	out->bytes_each = b->n == 0 ? 0 : out->bytes / b->n;
	for (unsigned deny = 0; deny < 2; deny++)
		index_stats(b->index[deny], &out->index[deny]);
}

/* ---- what the index cannot find ---- */

static void
say(struct residual *out, const char *why)
{
	if (out->n < RESIDUAL_LINES)
		out->why[out->n++] = why;
}

static void
why_principal(const struct statement *s, struct residual *out)
{
	for (size_t i = 0; i < s->n_principals; i++) {
		if (span_eq(s->principals[i].source, SPAN("*"))) {
			say(out, "Principal is everybody: name those who are meant");
			return;
		}
	}
	say(out, "most statements name the same Principal, or one that begins so: it tells little");
}

static void
why_condition(const struct statement *s, struct residual *out)
{
	for (size_t i = 0; i < s->n_atoms; i++) {
		const struct atom *a = &s->atoms[i];

		if (a->row->kind != OPERATOR_STRING || key_row(a->key.key)->phase != 1 || a->negated)
			continue;
		say(out, "no StringEquals finds it: it must ask a key of one value that the head of a request tells, without "
			 "variable, set, IfExists or qualifier");
		return;
	}
	say(out, "no condition finds it: StringEquals on a key that the head of a request tells would (registry:Upstream, "
		 "registry:Repository, registry:Tag, a claim)");
}

bool
statement_residual(const struct policy *p, const struct statement *s, struct residual *out)
{
	struct index_way way;

	*out = (struct residual){ .n = 0 };
	index_way(p->bundle->index[s->deny], s, &way);
	if (way.by == WAY_VALUE || way.by == WAY_PRINCIPAL || (way.by == WAY_RESOURCE && !way.vague))
		return false;
	say(out, "its Resource names no repository or upstream: begin it with repo:<upstream>/<text>, or end it with text");
	why_principal(s, out);
	why_condition(s, out);
	return true;
}
