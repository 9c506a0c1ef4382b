/*
 * index.c - which statements can speak of a resource: by action, effect, and the literal beginning of their resources.
 * Invariant: a statement that is left out cannot match; one that is offered is still asked.
 *
 * A resource pattern without wildcard or variable has its whole text as key; any other the text before its first
 * wildcard or variable, up to the last slash in it. A request asks for its whole resource and for its beginning up to
 * each slash. Keys are told apart by their hash only: two of the same hash share a bucket.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"

/* FNV-1a, a byte at a time. */
static uint64_t
hash_byte(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 0x100000001b3u;
}
#define HASH_START	0xcbf29ce484222325u
#define WHOLE		'\0'	/* ends the key of a whole text: no pattern and no resource holds it */
#define NO_KEY		0u

static uint64_t
key_of_pattern(const struct pattern *p)
{
	struct span text = pattern_prefix(p);
	bool whole = p->n == 1 && text.n > 0;
	uint64_t h = HASH_START;

	while (!whole && text.n > 0 && text.p[text.n - 1] != '/')
		text.n--;
	if (text.n == 0)
		return NO_KEY;
	for (size_t i = 0; i < text.n; i++)
		h = hash_byte(h, text.p[i]);
	return whole ? hash_byte(h, WHOLE) : h;
}

static int
compare(const void *a, const void *b)
{
	const struct index_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->statement < y->statement ? -1 : x->statement > y->statement;
}

/* One entry a resource; one alone under NO_KEY when any of them has no key. */
static size_t
entries_of(const struct statement *s, struct index_entry *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_resources; i++) {
		uint64_t key = key_of_pattern(&s->resources[i]);

		if (key == NO_KEY) {
			if (out != NULL)
				out[0] = (struct index_entry){ NO_KEY, s };
			return 1;
		}
		if (out != NULL)
			out[n] = (struct index_entry){ key, s };
		n++;
	}
	return n;
}

static bool
speaks_of(const struct statement *s, unsigned deny, unsigned action)
{
	return s->deny == (deny != 0) && (s->actions >> action & 1u);
}

bool
index_build(struct policy *p)
{
	for (unsigned deny = 0; deny < 2; deny++) {
		for (unsigned action = ACTION_NONE + 1; action < ACTION_MAX; action++) {
			struct index *x = &p->index[deny][action];
			size_t n = 0;

			for (size_t i = 0; i < p->n; i++)
				n += speaks_of(&p->statements[i], deny, action) ? entries_of(&p->statements[i], NULL) : 0;
			x->entries = arena_zalloc(p->arena, n, sizeof *x->entries);
			if (x->entries == NULL)
				return false;
			for (size_t i = 0; i < p->n; i++)
				if (speaks_of(&p->statements[i], deny, action))
					x->n += entries_of(&p->statements[i], x->entries + x->n);
			qsort(x->entries, x->n, sizeof *x->entries, compare);
		}
	}
	return true;
}

static size_t
bucket_begin(const struct index *x, uint64_t key)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->entries[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
offer(const struct index *x, uint64_t key, index_visit *visit, void *ctx)
{
	for (size_t i = bucket_begin(x, key); i < x->n && x->entries[i].key == key; i++)
		if (!visit(ctx, x->entries[i].statement))
			return;
}

void
index_each(const struct index *x, struct span resource, index_visit *visit, void *ctx)
{
	uint64_t h = HASH_START;

	if (x->n == 0)
		return;
	offer(x, NO_KEY, visit, ctx);
	for (size_t i = 0; i < resource.n; i++) {
		h = hash_byte(h, resource.p[i]);
		if (resource.p[i] == '/')
			offer(x, h, visit, ctx);
	}
	offer(x, hash_byte(h, WHOLE), visit, ctx);
}
