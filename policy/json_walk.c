/*
 * json_walk.c - brackets matched, strings skipped, values handed out.
 * Invariant: p never passes end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/json_walk.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
skip_blanks(struct json_walk *w)
{
	while (w->p < w->end && is_blank(*w->p))
		w->p++;
}

bool
json_walk_open(struct json_walk *w, struct span text, char open)
{
	*w = (struct json_walk){ .p = text.p, .end = text.p == NULL ? NULL : text.p + text.n, .open = open };
	if (text.n == 0)
		return false;
	skip_blanks(w);
	if (w->p == w->end || *w->p != open)
		return false;
	w->p++;
	return true;
}

/* From a quote to behind the one that ends it. */
static bool
skip_string(struct json_walk *w)
{
	for (w->p++; w->p < w->end; w->p++) {
		if (*w->p == '\\') {
			if (++w->p == w->end)
				return false;
		} else if (*w->p == '"') {
			w->p++;
			return true;
		}
	}
	return false;
}

static bool
skip_container(struct json_walk *w)
{
	size_t depth = 0;

	while (w->p < w->end) {
		char c = *w->p;

		if (c == '"') {
			if (!skip_string(w))
				return false;
			continue;
		}
		w->p++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return true;
	}
	return false;
}

static bool
skip_value(struct json_walk *w)
{
	const char *start = w->p;

	if (w->p == w->end)
		return false;
	if (*w->p == '"')
		return skip_string(w);
	if (*w->p == '{' || *w->p == '[')
		return skip_container(w);
	while (w->p < w->end && !is_blank(*w->p) && *w->p != ',' && *w->p != '}' && *w->p != ']')
		w->p++;
	return w->p > start;
}

static bool
take_key(struct json_walk *w, char key[static JSON_WALK_KEY])
{
	const char *start = w->p + 1;
	size_t n;

	if (w->p == w->end || *w->p != '"' || !skip_string(w))
		return false;
	n = (size_t)(w->p - 1 - start);
	if (memchr(start, '\\', n) != NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)start[i] < ' ')
			return false;
	n = n < JSON_WALK_KEY ? n : JSON_WALK_KEY - 1;
	memcpy(key, start, n);
	key[n] = '\0';
	skip_blanks(w);
	if (w->p == w->end || *w->p != ':')
		return false;
	w->p++;
	skip_blanks(w);
	return true;
}

bool
json_walk_next(struct json_walk *w, char key[static JSON_WALK_KEY], struct span *value)
{
	char close = w->open == '{' ? '}' : ']';

	key[0] = '\0';
	if (w->over || w->bad)
		return false;
	skip_blanks(w);
	if (w->p < w->end && *w->p == close) {
		w->p++;
		w->over = true;
		return false;
	}
	w->bad = true;
	if (w->begun) {
		if (w->p == w->end || *w->p != ',')
			return false;
		w->p++;
		skip_blanks(w);
	}
	if (w->open == '{' && !take_key(w, key))
		return false;
	value->p = w->p;
	if (!skip_value(w))
		return false;
	value->n = (size_t)(w->p - value->p);
	w->begun = true;
	w->bad = false;
	return true;
}

bool
json_walk_whole(const struct json_walk *w)
{
	struct json_walk rest = *w;

	skip_blanks(&rest);
	return w->over && !w->bad && rest.p == rest.end;
}
