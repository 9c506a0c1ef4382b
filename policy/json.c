/*
 * json.c - JSON read strictly.
 * Invariant: a text is accepted only if every reader makes the same object of it.
 *
 * jansson refuses duplicate keys, invalid UTF-8, lone surrogates and trailing bytes; by its defaults it refuses
 * NULs in strings. What it does not have is a depth bound of the caller's choice and a word about a BOM.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/json.h"

#include <stdio.h>

/*
 * Nesting is bounded before jansson recurses. Brackets within strings do not count; whether the text is JSON at
 * all is not decided here. Sets *line to where the bound is passed.
 */
static bool
too_deep(struct span text, unsigned depth, int *line)
{
	unsigned level = 0;
	bool string = false;

	*line = 1;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\n')
			++*line;
		if (string) {
			if (c == '\\' && i + 1 < text.n)
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '{' || c == '[') {
			if (++level > depth)
				return true;
		} else if ((c == '}' || c == ']') && level > 0) {
			level--;
		}
	}
	return false;
}

static json_t *
refuse(const char *reason, int at, char *err, size_t err_size, int *line)
{
	snprintf(err, err_size, "%s", reason);
	if (line != NULL)
		*line = at;
	return NULL;
}

json_t *
json_strict(struct span text, unsigned depth, char *err, size_t err_size, int *line)
{
	json_error_t e;
	json_t *v;
	int at = 1;

	if (text.n == 0)
		return refuse("empty text", 1, err, err_size, line);
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		return refuse("byte order mark before the JSON text", 1, err, err_size, line);
	if (memchr(text.p, '\0', text.n) != NULL)
		return refuse("NUL byte in the JSON text", 1, err, err_size, line);
	if (too_deep(text, depth, &at))
		return refuse("nested too deeply", at, err, err_size, line);
	v = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (v == NULL)
		return refuse(e.text, e.line < 1 ? 1 : e.line, err, err_size, line);
	return v;
}

struct span
json_span(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v))
		return SPAN_NONE;
	return (struct span){ json_string_value(v), json_string_length(v) };
}

/* The next character of s, folded: ASCII case, U+017F as s, U+212A as k. Other bytes stand for themselves. */
static int
next_folded(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;

	if (p[0] == 0xc5 && p[1] == 0xbf) {
		*s += 2;
		return 's';
	}
	if (p[0] == 0xe2 && p[1] == 0x84 && p[2] == 0xaa) {
		*s += 3;
		return 'k';
	}
	*s += 1;
	return p[0] < 0x80 ? (unsigned char)ascii_lower((char)p[0]) : p[0];
}

static bool
folds_to(const char *key, const char *known)
{
	for (;;) {
		int a = next_folded(&key), b = next_folded(&known);

		if (a != b)
			return false;
		if (a == '\0')
			return true;
	}
}

bool
json_key_is_variant(const char *key, const char *const *known, size_t n)
{
	bool variant = false;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(key, known[i]) == 0)
			return false;
		variant |= folds_to(key, known[i]);
	}
	return variant;
}
