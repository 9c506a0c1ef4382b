/*
 * mutate.c - a policy with one statement spoilt, in every small way.
 * Invariant: a mutant shares everything with its policy but the array of statements, which is a copy with one changed.
 *
 * It works on what was compiled, not on the documents: a mutant need not be one that loads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/mutate.h"

#include <stdlib.h>

#include "policy/compiled.h"

#define SCRATCH_MAX  ((size_t)64 << 20)
#define VALUES_MAX   8u /* lists that are longer are taken as a whole */

struct mutation {
	const struct policy *p;
	const struct suite *suite;
	struct policy changed;
	struct bundle bundle;
	struct statement *statements;
	enum tri *before; /* what the statement says to each case */
	struct arena *arena; /* of the mutants of one statement */
	const struct statement *of;
	mutant_visit *visit;
	void *ctx;
	bool enough;
};

static enum tri
says(const struct policy *p, const struct policy_request *r, const struct statement *s)
{
	char text[RESOURCE_MAX];
	struct evaluation q;

	return evaluation_begin(&q, p, r, text) ? statement_matches(&q, s) : TRI_NO;
}

static const struct suite_case *
noticed_by(struct mutation *m, const struct statement *changed)
{
	for (size_t i = 0; i < m->suite->n; i++) {
		const struct suite_case *c = &m->suite->cases[i];
		struct decision d;

		/* one that says the same changes nothing */
		if (says(m->p, &c->query.request, changed) == m->before[i] &&
		    (changed->deny == m->of->deny || m->before[i] == TRI_NO))
			continue;
		policy_decide_linear(&m->changed, &c->query.request, &d);
		if (!suite_case_passes(c, &d))
			return c;
	}
	return NULL;
}

/* One mutant: its statement is in place already. */
static void
try(struct mutation *m, const struct statement *changed, struct span what)
{
	struct statement *here = &m->statements[m->of->number];

	if (what.p == NULL || m->enough)
		return;
	*here = *changed;
	m->enough = !m->visit(m->ctx, &(struct mutant){ m->of, what.p, noticed_by(m, changed), &m->changed });
	*here = *m->of;
}

/* ---- the whole statement ---- */

static void
mutate_whole(struct mutation *m)
{
	struct statement s = *m->of;

	s.actions = 0;
	try(m, &s, SPAN("drop the statement"));
	s = *m->of;
	s.deny = !s.deny;
	try(m, &s, SPAN("flip Effect"));
	s = *m->of;
	s.actions = action_mask(SPAN("*"));
	if (s.actions != m->of->actions)
		try(m, &s, SPAN("widen Action to *"));
	s = *m->of;
	s.not_before = 0;
	if (m->of->not_before != 0)
		try(m, &s, SPAN("drop NotBefore"));
	s = *m->of;
	s.expires = 0;
	if (m->of->expires != 0)
		try(m, &s, SPAN("drop Expires"));
}

/* ---- conditions ---- */

/* Bytes of one value as compiled. */
static size_t
value_size(enum operator_kind kind)
{
	switch (kind) {
	case OPERATOR_NONE:
		break;
	case OPERATOR_BOOL:
	case OPERATOR_NUMBER:
	case OPERATOR_DATE:
		return sizeof(struct number);
	case OPERATOR_WINDOW:
		return sizeof(struct window);
	case OPERATOR_VERSION:
		return sizeof(struct version);
	case OPERATOR_STRING:
		return sizeof(struct pattern);
	case OPERATOR_IP:
		return sizeof(struct network);
	case OPERATOR_REGEX:
		return sizeof(struct regex *);
	}
	return 0;
}

/* Element i of an array taken out of a copy. NULL when out of memory. */
static void *
without(struct arena *a, const void *array, size_t n, size_t size, size_t i)
{
	const char *from = array;
	char *copy = arena_alloc(a, n * size);

	if (copy == NULL)
		return NULL;
	memcpy(copy, from, i * size);
	memcpy(copy + i * size, from + (i + 1) * size, (n - i - 1) * size);
	return copy;
}

static void
drop_values(struct mutation *m, struct statement *s, struct atom *atom)
{
	const struct atom whole = *atom;

	if (whole.n < 2 || whole.n > VALUES_MAX || whole.sets != 0)
		return;
	for (size_t i = 0; i < whole.n; i++) {
		atom->patterns = without(m->arena, whole.patterns, whole.n, value_size(whole.row->kind), i);
		atom->n = whole.n - 1;
		if (atom->patterns != NULL)
			try(m, s, arena_printf(m->arena, "drop %.*s of %.*s %.*s", SPAN_FMT(whole.values[i]), SPAN_FMT(whole.op),
			    SPAN_FMT(whole.name)));
		*atom = whole;
	}
}

static void
mutate_conditions(struct mutation *m)
{
	const struct statement *of = m->of;

	for (size_t i = 0; i < of->n_atoms; i++) {
		struct atom *atoms = arena_alloc(m->arena, of->n_atoms * sizeof *atoms);
		const struct atom *atom = &of->atoms[i];
		struct statement s = *of;

		s.atoms = without(m->arena, of->atoms, of->n_atoms, sizeof *atoms, i);
		s.n_atoms--;
		if (atoms == NULL || s.atoms == NULL)
			return;
		try(m, &s, arena_printf(m->arena, "drop %.*s %.*s", SPAN_FMT(atom->op), SPAN_FMT(atom->name)));
		memcpy(atoms, of->atoms, of->n_atoms * sizeof *atoms);
		s.atoms = atoms;
		s.n_atoms++;
		atoms[i].negated = !atoms[i].negated;
		try(m, &s, arena_printf(m->arena, "negate %.*s %.*s", SPAN_FMT(atom->op), SPAN_FMT(atom->name)));
		atoms[i].negated = !atoms[i].negated;
		drop_values(m, &s, &atoms[i]);
	}
}

/* ---- Principal and Resource ---- */

static const struct part any_part = { .kind = PART_ANY };
static const struct pattern any_pattern = { { "*", 1 }, &any_part, 1, false };

static bool
is_any(const struct pattern *p)
{
	return p->n == 1 && p->parts[0].kind == PART_ANY;
}

/* The pattern list with element i another one; NULL when out of memory. */
static const struct pattern *
with(struct arena *a, const struct pattern *list, size_t n, size_t i, const struct pattern *other)
{
	struct pattern *copy = arena_alloc(a, n * sizeof *copy);

	if (copy == NULL)
		return NULL;
	memcpy(copy, list, n * sizeof *copy);
	copy[i] = *other;
	return copy;
}

/* A pattern that has a star where this one has variables, and one more at its end when `open`. */
static bool
widened(struct arena *a, const struct pattern *p, bool open, struct pattern *out)
{
	struct part *parts = arena_alloc(a, (p->n + 1) * sizeof *parts);

	if (parts == NULL)
		return false;
	*out = *p;
	out->parts = parts;
	memcpy(parts, p->parts, p->n * sizeof *parts);
	if (open) {
		parts[out->n++] = any_part;
		return true;
	}
	for (size_t i = 0; i < p->n; i++)
		if (parts[i].kind == PART_VARIABLE)
			parts[i] = any_part;
	out->variables = false;
	return true;
}

static void
try_resource(struct mutation *m, size_t i, const struct pattern *wider, struct span what)
{
	struct statement s = *m->of;

	s.resources = with(m->arena, s.resources, s.n_resources, i, wider);
	if (s.resources != NULL)
		try(m, &s, what);
}

static void
mutate_resources(struct mutation *m)
{
	const struct statement *of = m->of;

	for (size_t i = 0; i < of->n_resources; i++) {
		const struct pattern *p = &of->resources[i];
		struct statement s = *of;
		struct pattern wider;

		if (is_any(p))
			continue;
		if (p->variables && widened(m->arena, p, false, &wider))
			try_resource(m, i, &wider, arena_printf(m->arena, "widen Resource %.*s: * for its variables",
			    SPAN_FMT(p->source)));
		if (p->parts[p->n - 1].kind == PART_ANY)
			try_resource(m, i, &any_pattern, arena_printf(m->arena, "widen Resource %.*s to *", SPAN_FMT(p->source)));
		else if (widened(m->arena, p, true, &wider))
			try_resource(m, i, &wider, arena_printf(m->arena, "widen Resource %.*s to %.*s*", SPAN_FMT(p->source),
			    SPAN_FMT(p->source)));
		s.resources = without(m->arena, of->resources, of->n_resources, sizeof wider, i);
		s.n_resources--;
		if (of->n_resources > 1 && of->n_resources <= VALUES_MAX && s.resources != NULL)
			try(m, &s, arena_printf(m->arena, "drop Resource %.*s", SPAN_FMT(p->source)));
	}
}

/* "issuer:corp" of "group:corp/devs": all whom the same issuer vouches for; {NULL,0}: it has no name behind its issuer. */
static struct span
issuer_of(struct arena *a, struct span principal)
{
	const char *colon = memchr(principal.p, ':', principal.n), *slash = memchr(principal.p, '/', principal.n);

	if (colon == NULL || slash == NULL || slash < colon || span_starts(principal, SPAN("cert:")) ||
	    span_starts(principal, SPAN("basic:")))
		return SPAN_NONE;
	return arena_printf(a, "issuer:%.*s", (int)(slash - colon - 1), colon + 1);
}

static void
mutate_principals(struct mutation *m)
{
	const struct statement *of = m->of;

	for (size_t i = 0; i < of->n_principals; i++) {
		const struct pattern *p = &of->principals[i];
		struct span issuer = issuer_of(m->arena, p->source);
		struct part part = { .kind = PART_TEXT, .text = issuer };
		struct pattern wider = { issuer, &part, 1, false };
		struct statement s = *of;

		if (is_any(p))
			continue;
		s.principals = with(m->arena, of->principals, of->n_principals, i, issuer.p == NULL ? &any_pattern : &wider);
		if (s.principals != NULL)
			try(m, &s, arena_printf(m->arena, "widen Principal %.*s to %.*s", SPAN_FMT(p->source),
			    issuer.p == NULL ? 1 : (int)issuer.n, issuer.p == NULL ? "*" : issuer.p));
		s.principals = without(m->arena, of->principals, of->n_principals, sizeof wider, i);
		s.n_principals--;
		if (of->n_principals > 1 && of->n_principals <= VALUES_MAX && s.principals != NULL)
			try(m, &s, arena_printf(m->arena, "drop Principal %.*s", SPAN_FMT(p->source)));
	}
}

/* ---- all of them ---- */

static bool
mutate_statement(struct mutation *m, const struct statement *of)
{
	m->of = of;
	for (size_t i = 0; i < m->suite->n; i++)
		m->before[i] = says(m->p, &m->suite->cases[i].query.request, of);
	mutate_whole(m);
	mutate_conditions(m);
	mutate_resources(m);
	mutate_principals(m);
	return !arena_failed(m->arena);
}

bool
policy_mutate(const struct policy *p, size_t n, const struct suite *s, mutant_visit *visit, void *ctx)
{
	const struct bundle *b = p->bundle;
	struct mutation m = { .p = p, .suite = s, .visit = visit, .ctx = ctx };
	bool ok;

	m.bundle.arena = b->arena;
	m.bundle.n = b->n;
	m.bundle.n_zones = b->n_zones;
	memcpy(m.bundle.zones, b->zones, sizeof b->zones);
	m.changed.bundle = &m.bundle;
	memcpy(m.changed.sets, p->sets, sizeof p->sets);
	m.statements = reallocarray(NULL, b->n + 1, sizeof *m.statements);
	m.before = calloc(s->n + 1, sizeof *m.before);
	m.arena = arena_new(SCRATCH_MAX);
	ok = m.statements != NULL && m.before != NULL && m.arena != NULL;
	if (ok && b->n > 0)
		memcpy(m.statements, b->statements, b->n * sizeof *m.statements);
	m.bundle.statements = m.statements;
	for (size_t i = 0; ok && !m.enough && i < n && i < b->n; i++) {
		ok = mutate_statement(&m, &b->statements[i]);
		arena_reset(m.arena);
	}
	free(m.statements);
	free(m.before);
	arena_free(m.arena);
	return ok;
}
