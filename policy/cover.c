/*
 * cover.c - see cover.h.
 * Invariant: "covers" is never said of a statement that lets something through which the other would have refused; only
 * where the search was cut short is it assumed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/cover.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/hash.h"

#define PAIRS_MAX    256u   /* principals times resources of one statement that are looked up */
#define LOOKS_MAX    256u   /* statements looked at for one question */
#define COMPARES_MAX 65536u /* patterns of two statements compared */
#define ATOMS_MAX    64u    /* conditions of a statement compared */

struct entry {
	uint64_t hash;
	uint32_t statement;
};
struct cover {
	const struct bundle *b;
	struct entry *entries; /* by hash */
	size_t n, room;
	bool whole_prefix[PATTERN_MAX + 1]; /* a resource "text*" with so much text is among them */
	bool cut; /* a statement has more pairs than are here */
};

/* ---- one condition ---- */

enum tri
atom_when_absent(const struct atom *a)
{
	if (a->row->kind == OPERATOR_NONE)
		return a->negated ? TRI_NO : TRI_YES;
	if (a->if_exists || a->qualifier == QUALIFIER_ALL)
		return TRI_YES;
	return a->negated && a->qualifier == QUALIFIER_NONE ? TRI_YES : TRI_NO;
}

bool
atom_same_key(const struct atom *a, const struct atom *b)
{
	return a->key.key == b->key.key && span_eq(a->key.param, b->key.param);
}

static bool
atom_same(const struct atom *a, const struct atom *b)
{
	if (!span_eq(a->op, b->op) || !atom_same_key(a, b) || a->n_values != b->n_values)
		return false;
	for (size_t i = 0; i < a->n_values; i++)
		if (!span_eq(a->values[i], b->values[i]))
			return false;
	return true;
}

/* ---- wider than ---- */

/* "text*" or "*": text and nothing else before a star at the end. */
static bool
is_beginning(const struct pattern *p)
{
	return (p->n == 1 && p->parts[0].kind == PART_ANY) ||
	    (p->n == 2 && p->parts[0].kind == PART_TEXT && p->parts[1].kind == PART_ANY);
}

static bool
pattern_covers(const struct pattern *wide, const struct pattern *narrow)
{
	if (span_eq(wide->source, narrow->source))
		return true;
	return is_beginning(wide) && span_starts(pattern_prefix(narrow), pattern_prefix(wide));
}

/* "corp" of "group:corp/ci"; empty when the principal is none of an issuer. */
static struct span
alias_of(const struct pattern *principal)
{
	struct span s = principal->source, alias;
	const char *colon = s.n == 0 ? NULL : memchr(s.p, ':', s.n), *slash;

	if (colon == NULL || span_starts(s, SPAN("cert:")) || span_starts(s, SPAN("basic:")))
		return SPAN_NONE;
	alias = span_skip(s, (size_t)(colon - s.p) + 1);
	slash = alias.n == 0 ? NULL : memchr(alias.p, '/', alias.n);
	if (slash != NULL)
		alias.n = (size_t)(slash - alias.p);
	return alias;
}

static bool
principal_covers(const struct pattern *wide, const struct pattern *narrow)
{
	return pattern_covers(wide, narrow) ||
	    (span_starts(wide->source, SPAN("issuer:")) && alias_of(narrow).n > 0 && span_eq(alias_of(wide), alias_of(narrow)));
}

typedef bool covers_one(const struct pattern *wide, const struct pattern *narrow);

static bool
list_covers(const struct pattern *wide, size_t n_wide, const struct pattern *narrow, size_t n_narrow, covers_one *covers)
{
	for (size_t i = 0; i < n_narrow; i++) {
		size_t k = 0;

		while (k < n_wide && !covers(&wide[k], &narrow[i]))
			k++;
		if (k == n_wide)
			return false;
	}
	return true;
}

static bool
statement_covers(const struct statement *wide, const struct statement *narrow, uint32_t actions)
{
	if (wide == narrow || (actions & ~wide->actions) != 0 || (wide->shadow && !narrow->shadow))
		return false;
	if (wide->not_before > narrow->not_before ||
	    (wide->expires != 0 && (narrow->expires == 0 || narrow->expires > wide->expires)))
		return false;
	if (wide->n_resources * narrow->n_resources > COMPARES_MAX || wide->n_principals * narrow->n_principals > COMPARES_MAX)
		return true;
	return list_covers(wide->principals, wide->n_principals, narrow->principals, narrow->n_principals, principal_covers) &&
	    list_covers(wide->resources, wide->n_resources, narrow->resources, narrow->n_resources, pattern_covers);
}

/* ---- the table ---- */

#define TOPIC_WHOLE 0u

/* A topic is what a Deny is looked up for: having no condition, one of a key, or one that is true when it is absent. */
static uint64_t
topic_of(const struct key_ref *key, bool absent)
{
	return hash_mix(hash_span(key->param) + 2 * (uint64_t)key->key + (absent ? 1 : 0));
}

/* How a principal is looked up: as it is written, or among those that are patterns of another shape. */
static struct span
principal_name(const struct pattern *p)
{
	bool whole = p->n == 2 && is_beginning(p) && p->parts[0].text.p[p->parts[0].text.n - 1] == '/';

	return pattern_is_literal(p) || whole || (p->n == 1 && is_beginning(p)) ? p->source : SPAN("?");
}

static uint64_t
entry_hash(uint64_t topic, struct span resource, bool beginning, struct span principal)
{
	uint64_t h = hash_mix(topic ^ hash_span(resource));

	return hash_mix(h + hash_span(principal) * 2 + (beginning ? 1 : 0));
}

static bool
add(struct cover *c, uint64_t hash, const struct statement *s)
{
	if (c->n == c->room) {
		size_t room = c->room == 0 ? 256 : 2 * c->room;
		struct entry *grown = reallocarray(c->entries, room, sizeof *grown);

		if (grown == NULL)
			return false;
		c->entries = grown;
		c->room = room;
	}
	c->entries[c->n++] = (struct entry){ hash, s->number };
	return true;
}

static bool
add_topic(struct cover *c, uint64_t topic, const struct statement *s)
{
	if (s->n_principals * s->n_resources > PAIRS_MAX) {
		c->cut = true;
		return true;
	}
	for (size_t i = 0; i < s->n_resources; i++) {
		bool beginning = is_beginning(&s->resources[i]);
		struct span text = beginning ? pattern_prefix(&s->resources[i]) : s->resources[i].source;

		if (beginning)
			c->whole_prefix[text.n] = true;
		for (size_t k = 0; k < s->n_principals; k++)
			if (!add(c, entry_hash(topic, text, beginning, principal_name(&s->principals[k])), s))
				return false;
	}
	return true;
}

static bool
add_statement(struct cover *c, const struct statement *s)
{
	if (!s->deny)
		return true;
	if (s->n_atoms == 0)
		return add_topic(c, TOPIC_WHOLE, s);
	for (size_t i = 0; i < s->n_atoms; i++) {
		if (atom_when_absent(&s->atoms[i]) == TRI_YES && !add_topic(c, topic_of(&s->atoms[i].key, true), s))
			return false;
		if (s->atoms[i].key.key == KEY_REGISTRY_BLOB_GRANTED && !add_topic(c, topic_of(&s->atoms[i].key, false), s))
			return false;
	}
	return true;
}

static int
by_hash(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->statement < y->statement ? -1 : x->statement > y->statement;
}

struct cover *
cover_new(const struct bundle *b)
{
	struct cover *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->b = b;
	for (size_t i = 0; i < b->n; i++) {
		if (!add_statement(c, &b->statements[i])) {
			cover_free(c);
			return NULL;
		}
	}
	if (c->n > 0)
		qsort(c->entries, c->n, sizeof *c->entries, by_hash);
	return c;
}

void
cover_free(struct cover *c)
{
	if (c != NULL)
		free(c->entries);
	free(c);
}

/* ---- looking ---- */

/* A question, and what a Deny has to be beside being as wide. */
struct search {
	const struct cover *c;
	const struct statement *s;
	uint32_t actions;
	uint64_t topic;
	const struct atom *absent; /* its other conditions are among those of s; NULL: it does not matter */
	unsigned looks;
	const struct statement *found;
	bool cut; /* there was more to look at */
};

static bool
others_are_here(const struct statement *wide, const struct statement *s, const struct atom *absent)
{
	if (wide->n_atoms > ATOMS_MAX || s->n_atoms > ATOMS_MAX)
		return true;
	for (size_t i = 0; i < wide->n_atoms; i++) {
		const struct atom *a = &wide->atoms[i];
		size_t k = 0;

		if (atom_same_key(a, absent) && atom_when_absent(a) == TRI_YES)
			continue;
		while (k < s->n_atoms && !atom_same(a, &s->atoms[k]))
			k++;
		if (k == s->n_atoms)
			return false;
	}
	return true;
}

static void
look_at(struct search *x, uint64_t hash)
{
	const struct entry *e = x->c->entries;
	size_t low = 0, high = x->c->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < x->c->n && e[low].hash == hash && x->found == NULL && !x->cut; low++) {
		const struct statement *wide = &x->c->b->statements[e[low].statement];

		if (++x->looks > LOOKS_MAX)
			x->cut = true;
		else if (statement_covers(wide, x->s, x->actions) &&
		    (x->absent == NULL || others_are_here(wide, x->s, x->absent)))
			x->found = wide;
	}
}

/* Under every name that a principal as wide as this one may have. */
static void
look_for_principal(struct search *x, struct span resource, bool beginning)
{
	const struct pattern *principal = &x->s->principals[0];
	char name[PATTERN_MAX + 16];
	struct span alias = alias_of(principal), source = principal->source;
	const char *slash = source.n == 0 ? NULL : memchr(source.p, '/', source.n);
	int n;

	look_at(x, entry_hash(x->topic, resource, beginning, source));
	look_at(x, entry_hash(x->topic, resource, beginning, SPAN("*")));
	look_at(x, entry_hash(x->topic, resource, beginning, SPAN("?")));
	if (alias.n == 0)
		return;
	n = snprintf(name, sizeof name, "issuer:%.*s", SPAN_FMT(alias));
	look_at(x, entry_hash(x->topic, resource, beginning, (struct span){ name, (size_t)n }));
	if (slash == NULL)
		return;
	n = snprintf(name, sizeof name, "%.*s*", (int)(slash + 1 - source.p), source.p);
	look_at(x, entry_hash(x->topic, resource, beginning, (struct span){ name, (size_t)n }));
}

static void
look(struct search *x)
{
	const struct pattern *resource = &x->s->resources[0];
	struct span prefix = pattern_prefix(resource);

	if (x->c->cut || x->s->n_principals == 0 || x->s->n_resources == 0) {
		x->cut = true;
		return;
	}
	if (!is_beginning(resource))
		look_for_principal(x, resource->source, false);
	for (size_t n = 0; n <= prefix.n && x->found == NULL && !x->cut; n++)
		if (x->c->whole_prefix[n])
			look_for_principal(x, (struct span){ prefix.p, n }, true);
}

bool
cover_of_absence(const struct cover *c, const struct statement *s, const struct atom *a, uint32_t actions)
{
	struct search x = { .c = c, .s = s, .actions = actions, .topic = topic_of(&a->key, true), .absent = a };

	look(&x);
	return x.found != NULL || x.cut;
}

const struct statement *
cover_whole(const struct cover *c, const struct statement *s, uint32_t actions)
{
	struct search x = { .c = c, .s = s, .actions = actions, .topic = TOPIC_WHOLE };

	look(&x);
	return x.found;
}

bool
cover_by_key(const struct cover *c, const struct statement *s, enum policy_key key, uint32_t actions)
{
	const struct key_ref ref = { .key = key };
	struct search x = { .c = c, .s = s, .actions = actions, .topic = topic_of(&ref, false) };

	look(&x);
	return x.found != NULL || x.cut;
}
