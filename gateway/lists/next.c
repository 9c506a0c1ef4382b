/*
 * next.c - the next page of a list, as upstream's Link tells.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/next.h"

static void
skip_blanks(struct span *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		*s = span_skip(*s, 1);
}

static bool
take(struct span *s, char c)
{
	skip_blanks(s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* The bytes before the first of `ends`, or all. */
static struct span
take_until(struct span *s, const char *ends)
{
	struct span out = { s->p, 0 };

	while (out.n < s->n && (s->p[out.n] == '\0' || strchr(ends, s->p[out.n]) == NULL))
		out.n++;
	*s = span_skip(*s, out.n);
	return out;
}

/* A token, or what is between quotes; a quoted backslash is more than any registry needs. */
static bool
take_value(struct span *s, struct span *value)
{
	skip_blanks(s);
	if (s->n == 0 || s->p[0] != '"') {
		*value = take_until(s, " \t;,\"");
		return value->n > 0;
	}
	*s = span_skip(*s, 1);
	*value = take_until(s, "\"\\");
	return take(s, '"');
}

/* One link value: its reference, and whether its relation is next. False: malformed. */
static bool
take_link(struct span *s, struct span *reference, bool *next)
{
	bool rel = false;

	*next = false;
	if (!take(s, '<'))
		return false;
	*reference = take_until(s, ">");
	if (!take(s, '>'))
		return false;
	while (take(s, ';')) {
		struct span name, value = SPAN_NONE;

		skip_blanks(s);
		name = take_until(s, " \t=;,");
		if (take(s, '=') && !take_value(s, &value))
			return false;
		/* the first one counts (RFC 8288 section 3.3) */
		if (span_eq_nocase(name, SPAN("rel")) && !rel) {
			rel = true;
			*next = span_eq_nocase(value, SPAN("next"));
		}
	}
	return true;
}

struct span
next_link(const struct http_head *h)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		struct span s = h->fields[i].value, reference;
		bool next;

		if (h->fields[i].id != HTTP_FIELD_LINK)
			continue;
		do {
			if (!take_link(&s, &reference, &next))
				return SPAN_NONE;
			if (next)
				return reference;
		} while (take(&s, ','));
		skip_blanks(&s);
		if (s.n > 0)
			return SPAN_NONE;
	}
	return SPAN_NONE;
}

/* Goes into a request line: visible ASCII only, and no fragment. */
static bool
fit_for_target(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("#\"\\<>", s.p[i]) != NULL)
			return false;
	return true;
}

/* What follows scheme and authority. */
static struct span
without_origin(struct span s)
{
	struct span rest = s;

	(void)take_until(&rest, ":/?");
	if (rest.n >= 3 && rest.p[0] == ':' && rest.p[1] == '/' && rest.p[2] == '/')
		rest = span_skip(rest, 1);
	else if (s.n < 2 || s.p[0] != '/' || s.p[1] != '/')
		return s;
	rest = span_skip(rest, 2);
	(void)take_until(&rest, "/?");
	return rest;
}

struct span
next_target(struct span reference, struct span path, struct arena *a)
{
	const char *v2 = path.n == 0 ? NULL : memmem(path.p, path.n, "/v2/", 4);
	struct span rest = without_origin(reference);

	if (span_starts(rest, path))
		rest = span_skip(rest, path.n);
	else if (v2 != NULL && span_starts(rest, span_skip(path, (size_t)(v2 - path.p))))
		rest = span_skip(rest, path.n - (size_t)(v2 - path.p));
	if (rest.n < 2 || rest.p[0] != '?' || !fit_for_target(rest) || path.n + rest.n > NEXT_TARGET_MAX)
		return SPAN_NONE;
	return arena_printf(a, "%.*s%.*s", SPAN_FMT(path), SPAN_FMT(rest));
}
