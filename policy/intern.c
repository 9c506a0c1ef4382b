/*
 * intern.c - what documents say again and again is kept once: texts, and patterns as they are compiled.
 * Invariant: the table forgets nothing and owns nothing; what it points to lives in the arena of the snapshot.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <limits.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/hash.h"

#define TEXT_ONLY UINT_MAX /* flags of what is no pattern */

struct interned {
	struct pattern pattern; /* source.p == NULL: free */
	unsigned flags;
};
struct intern {
	struct interned *slots;
	size_t n, mask;
};

static struct interned *
slot_of(const struct intern *t, struct span text, unsigned flags)
{
	size_t i = (size_t)hash_mix(hash_span(text) + flags) & t->mask;

	while (t->slots[i].pattern.source.p != NULL &&
	    (t->slots[i].flags != flags || !span_eq(t->slots[i].pattern.source, text)))
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static bool
grow(struct intern *t)
{
	struct intern more = { .mask = t->slots == NULL ? 1023 : 2 * t->mask + 1 };

	more.slots = calloc(more.mask + 1, sizeof *more.slots);
	if (more.slots == NULL)
		return false;
	for (size_t i = 0; t->slots != NULL && i <= t->mask; i++)
		if (t->slots[i].pattern.source.p != NULL)
			*slot_of(&more, t->slots[i].pattern.source, t->slots[i].flags) = t->slots[i];
	free(t->slots);
	more.n = t->n;
	*t = more;
	return true;
}

/* A free slot, or the one that has it; NULL when there is no memory for a table: then nothing is kept. */
static struct interned *
find(struct policy_reader *r, struct span text, unsigned flags)
{
	struct intern *t = r->intern;

	if (t == NULL)
		t = r->intern = calloc(1, sizeof *t);
	if (t == NULL || ((t->slots == NULL || 2 * t->n > t->mask) && !grow(t)))
		return NULL;
	return slot_of(t, text, flags);
}

static void
keep(struct policy_reader *r, struct interned *slot, const struct pattern *p, unsigned flags)
{
	if (slot == NULL || p->source.p == NULL)
		return;
	*slot = (struct interned){ *p, flags };
	r->intern->n++;
}

bool
intern_pattern(struct policy_reader *r, struct span s, unsigned flags, struct pattern *out, struct reason *why)
{
	struct interned *slot = find(r, s, flags);

	if (slot != NULL && slot->pattern.source.p != NULL) {
		*out = slot->pattern;
		return true;
	}
	if (!pattern_compile(r->bundle->arena, s, flags, out, why))
		return false;
	keep(r, slot, out, flags);
	return true;
}

struct span
intern_text(struct policy_reader *r, struct span s)
{
	struct interned *slot = find(r, s, TEXT_ONLY);
	struct pattern text = { .n = 0 };

	if (slot != NULL && slot->pattern.source.p != NULL)
		return slot->pattern.source;
	text.source = arena_dup(r->bundle->arena, s);
	keep(r, slot, &text, TEXT_ONLY);
	return text.source;
}

void
intern_free(struct intern *t)
{
	if (t != NULL)
		free(t->slots);
	free(t);
}
