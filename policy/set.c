/*
 * set.c - see set.h.
 * Invariant: the table is at most half full, so that looking for what is not there ends soon.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/set.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/hash.h"

struct set {
	_Atomic(unsigned) refs;
	size_t n, mask, bytes;
	char *text;
	struct span *table;	/* p == NULL: free */
	unsigned char digest[32];
};

/* The next line without its end and the blanks around it. */
static struct span
next_line(struct span *text)
{
	const char *end = memchr(text->p, '\n', text->n);
	struct span line = { text->p, end == NULL ? text->n : (size_t)(end - text->p) };

	*text = span_skip(*text, end == NULL ? text->n : line.n + 1);
	while (line.n > 0 && strchr(" \t\r", line.p[line.n - 1]) != NULL)
		line.n--;
	while (line.n > 0 && strchr(" \t", line.p[0]) != NULL)
		line = span_skip(line, 1);
	return line;
}

static const char *
value_problem(struct span value)
{
	if (value.n > SET_VALUE_MAX)
		return "a value longer than 1024 bytes";
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
			return "a control character";
	return NULL;
}

static size_t
slot_of(const struct set *s, struct span value)
{
	size_t i = (size_t)hash_span(value) & s->mask;

	while (s->table[i].p != NULL && !span_eq(s->table[i], value))
		i = (i + 1) & s->mask;
	return i;
}

static bool
fill(struct set *s, struct span text, int *line, char *err, size_t err_size)
{
	const char *why = NULL;

	for (*line = 1; text.n > 0; ++*line) {
		struct span value = next_line(&text);
		size_t slot;

		if (value.n == 0 || value.p[0] == '#')
			continue;
		why = value_problem(value);
		if (why == NULL && s->n == SET_VALUES_MAX)
			why = "more than 1,000,000 values";
		if (why != NULL) {
			snprintf(err, err_size, "%s", why);
			return false;
		}
		slot = slot_of(s, value);
		s->n += s->table[slot].p == NULL;
		s->table[slot] = value;
	}
	return true;
}

struct set *
set_parse(struct span text, int *line, char *err, size_t err_size)
{
	struct set *s = calloc(1, sizeof *s);
	size_t lines = 1, size = 16;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	/* a file of empty lines must not ask for a table of its own size */
	for (lines = lines < text.n / 2 + 1 ? lines : text.n / 2 + 1; size < 2 * lines && size <= 2 * SET_VALUES_MAX;)
		size *= 2;
	*line = 1;
	snprintf(err, err_size, "out of memory");
	if (s == NULL)
		return NULL;
	atomic_init(&s->refs, 1);
	s->mask = size - 1;
	s->bytes = sizeof *s + text.n + 1 + size * sizeof *s->table;
	s->text = malloc(text.n + 1);
	s->table = calloc(size, sizeof *s->table);
	if (s->text == NULL || s->table == NULL || EVP_Digest(text.p == NULL ? "" : text.p, text.n, s->digest, NULL, EVP_sha256(), NULL) != 1) {
		set_unref(s);
		return NULL;
	}
	if (text.n > 0)
		memcpy(s->text, text.p, text.n);
	if (!fill(s, (struct span){ s->text, text.n }, line, err, err_size)) {
		set_unref(s);
		return NULL;
	}
	return s;
}

struct set *
set_ref(struct set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void
set_unref(struct set *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(s->text);
	free(s->table);
	free(s);
}

size_t
set_bytes(const struct set *s)
{
	return s->bytes;
}

size_t
set_size(const struct set *s)
{
	return s->n;
}

bool
set_contains(const struct set *s, struct span value)
{
	return s->table[slot_of(s, value)].p != NULL;
}

const unsigned char *
set_digest(const struct set *s)
{
	return s->digest;
}
