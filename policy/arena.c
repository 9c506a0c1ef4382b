/*
 * arena.c - blocks in a list, a pointer that only moves forward.
 * Invariant: used <= size in every block; total never exceeds limit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BLOCK	4096u
#define ALIGN		alignof(max_align_t)

struct block {
	struct block *next;
	size_t size, used;
	alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *first, *current;
	size_t total, limit;
	bool failed;
};

static struct block *
block_new(size_t size)
{
	struct block *b = malloc(sizeof *b + size);

	if (b == NULL)
		return NULL;
	b->next = NULL;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *
arena_new(size_t limit)
{
	struct arena *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->first = a->current = block_new(FIRST_BLOCK);
	if (a->first == NULL) {
		free(a);
		return NULL;
	}
	a->limit = limit;
	return a;
}

static void
free_from(struct block *b)
{
	while (b != NULL) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	free_from(a->first);
	free(a);
}

void
arena_reset(struct arena *a)
{
	free_from(a->first->next);
	a->first->next = NULL;
	a->first->used = 0;
	a->current = a->first;
	a->total = 0;
	a->failed = false;
}

size_t
arena_used(const struct arena *a)
{
	return a->total;
}

bool
arena_failed(const struct arena *a)
{
	return a->failed;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	size_t rounded;
	struct block *b = a->current;

	if (__builtin_add_overflow(n == 0 ? 1 : n, ALIGN - 1, &rounded))
		goto fail;
	rounded &= ~(ALIGN - 1);
	if (rounded > a->limit - a->total)
		goto fail;
	if (b->size - b->used < rounded) {
		/* each block doubles, so that a big request does not mean many blocks */
		size_t size = b->size * 2 < 65536 ? b->size * 2 : 65536;
		struct block *more = block_new(size > rounded ? size : rounded);

		if (more == NULL)
			goto fail;
		b->next = more;
		a->current = b = more;
	}
	b->used += rounded;
	a->total += rounded;
	return b->bytes + (b->used - rounded);
fail:
	a->failed = true;
	return NULL;
}

void *
arena_zalloc(struct arena *a, size_t count, size_t size)
{
	size_t n;
	void *p;

	if (__builtin_mul_overflow(count, size, &n)) {
		a->failed = true;
		return NULL;
	}
	p = arena_alloc(a, n);
	if (p != NULL)
		memset(p, 0, n);
	return p;
}

struct span
arena_dup(struct arena *a, struct span s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (p == NULL)
		return SPAN_NONE;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct span){ p, s.n };
}

struct span
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	struct span out = SPAN_NONE;
	int n;
	char *p;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p != NULL && vsnprintf(p, (size_t)n + 1, fmt, again) == n)
		out = (struct span){ p, (size_t)n };
	va_end(again);
	va_end(ap);
	return out;
}
