/*
 * locate.c - on which line of a document does a value stand?
 * jansson tells the line of a syntax error only; for all others the text is walked again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

struct cursor {
	const char *p, *end;
	int line;
};

static void
skip_space(struct cursor *c)
{
	for (; c->p < c->end && strchr(" \t\r\n", *c->p) != NULL; c->p++)
		c->line += *c->p == '\n';
}

/* A string, quotes and all. */
static struct span
skip_string(struct cursor *c)
{
	const char *start = c->p++;

	while (c->p < c->end && *c->p != '"')
		c->p += *c->p == '\\' ? 2 : 1;
	c->p = c->p < c->end ? c->p + 1 : c->end;
	return (struct span){ start, (size_t)(c->p - start) };
}

static void
skip_value(struct cursor *c)
{
	unsigned depth = 0;

	do {
		skip_space(c);
		if (c->p >= c->end)
			return;
		if (*c->p == '"') {
			skip_string(c);
		} else if (*c->p == '{' || *c->p == '[') {
			depth++;
			c->p++;
		} else if (*c->p == '}' || *c->p == ']') {
			depth--;
			c->p++;
		} else if (*c->p == ',' || *c->p == ':') {
			c->p++;
		} else {
			while (c->p < c->end && strchr(" \t\r\n,:]}", *c->p) == NULL)
				c->p++;
		}
	} while (depth > 0);
}

static bool
is_key(struct span quoted, const char *key)
{
	json_t *s;
	bool same;

	if (memchr(quoted.p, '\\', quoted.n) == NULL)
		return quoted.n == strlen(key) + 2 && memcmp(quoted.p + 1, key, quoted.n - 2) == 0;
	s = json_loadb(quoted.p, quoted.n, JSON_DECODE_ANY, NULL);
	same = s != NULL && strcmp(json_string_value(s), key) == 0;
	json_decref(s);
	return same;
}

/* From an opening bracket to the wanted member or element; false when it is not there. */
static bool
enter(struct cursor *c, const struct place *want, int *line)
{
	if (*c->p != (want->key != NULL ? '{' : '['))
		return false;
	c->p++;
	for (size_t i = 0;; i++) {
		bool here = want->key == NULL && i == want->index;
		int at;

		skip_space(c);
		if (c->p >= c->end || *c->p == '}' || *c->p == ']')
			return false;
		at = c->line;
		if (want->key != NULL) {
			here = is_key(skip_string(c), want->key);
			skip_space(c);
			if (c->p < c->end)
				c->p++; /* the colon */
			skip_space(c);
		}
		if (here) {
			*line = at;
			return c->p < c->end;
		}
		skip_value(c);
		skip_space(c);
		if (c->p >= c->end || *c->p != ',')
			return false;
		c->p++;
	}
}

static bool
descend(struct cursor *c, const struct place *p, int *line)
{
	if (p->at != NULL) {
		c->p = p->at;
		c->line = *line = p->line;
		return true;
	}
	if (p->up == NULL)
		return true;
	return descend(c, p->up, line) && enter(c, p, line);
}

int
place_line(struct span text, const struct place *p)
{
	struct cursor c = { text.p, text.p + text.n, 1 };
	int line;

	skip_space(&c);
	line = c.line;
	if (c.p < c.end)
		descend(&c, p, &line);
	return line;
}

void
place_next(struct span text, const struct place *array, struct place *element)
{
	struct cursor c = { text.p, text.p + text.n, 1 };
	int line = 1;

	if (element->at == NULL) {
		skip_space(&c);
		if (!descend(&c, array, &line))
			return;
		/* at the array's bracket, or at its only element */
		if (c.p < c.end && *c.p == '[')
			c.p++;
	} else {
		c.p = element->at;
		c.line = element->line;
		skip_value(&c);
		skip_space(&c);
		if (c.p < c.end && *c.p == ',')
			c.p++;
		element->index++;
	}
	skip_space(&c);
	element->at = c.p;
	element->line = c.line;
}
