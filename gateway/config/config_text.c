/*
 * config_text.c - a look at the bytes of gateway.conf before libconfig reads them.
 *
 * libconfig 1.5 stops at a NUL, lets numbers wrap around at 32 bits, drops "\x00" from strings, takes a comment that
 * is never closed for the end of the file, and opens the files of @include. All of that is refused here, with its
 * line. What is a string and what a comment follows libconfig's own scanner.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#define NUMBER_MAX 9	/* characters: always fits an int, in hexadecimal too */

struct scan {
	struct config_reader *reader;
	struct span rest;
	int line;
};

static bool
refuse(struct scan *s, int line, const char *why)
{
	config_file_problem(s->reader, s->reader->file, line, "%s", why);
	return false;
}

static void
step(struct scan *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->rest.p[i] == '\n')
			s->line++;
	s->rest = span_skip(s->rest, n);
}

static bool
block_comment(struct scan *s)
{
	int line = s->line;

	step(s, 2);
	while (s->rest.n > 0 && !span_starts(s->rest, SPAN("*/")))
		step(s, 1);
	if (s->rest.n == 0)
		return refuse(s, line, "the comment that begins here never ends");
	step(s, 2);
	return true;
}

static void
line_comment(struct scan *s)
{
	while (s->rest.n > 0 && s->rest.p[0] != '\n')
		step(s, 1);
}

static bool
string(struct scan *s)
{
	int line = s->line;

	step(s, 1);
	while (s->rest.n > 0 && s->rest.p[0] != '"') {
		if (span_starts(s->rest, SPAN("\\x00")))
			return refuse(s, s->line, "a string may not hold a NUL byte");
		if ((unsigned char)s->rest.p[0] < ' ' || s->rest.p[0] == 0x7f)
			return refuse(s, s->line, "control character in a string (was its quote forgotten?)");
		step(s, span_starts(s->rest, SPAN("\\\"")) || span_starts(s->rest, SPAN("\\\\")) ? 2 : 1);
	}
	if (s->rest.n == 0)
		return refuse(s, line, "the string that begins here never ends");
	step(s, 1);
	return true;
}

static bool
word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	    c == '*' || c == '.';
}

/* A name, a number, true or false. */
static bool
word(struct scan *s)
{
	bool number = s->rest.p[0] >= '0' && s->rest.p[0] <= '9';
	size_t n = 1;

	while (n < s->rest.n && word_byte(s->rest.p[n]))
		n++;
	if (number && n > NUMBER_MAX)
		return refuse(s, s->line, "number too long");
	step(s, n);
	return true;
}

/* Anywhere, comments included, it would cut the text short. */
static bool
no_nul(struct scan *s)
{
	int line = 1;

	for (size_t i = 0; i < s->rest.n; i++) {
		if (s->rest.p[i] == '\0')
			return refuse(s, line, "NUL byte");
		if (s->rest.p[i] == '\n')
			line++;
	}
	return true;
}

bool
config_text_check(struct config_reader *r, struct span text)
{
	struct scan s = { r, text, 1 };

	if (!no_nul(&s))
		return false;
	while (s.rest.n > 0) {
		char c = s.rest.p[0];

		if (c == '@')
			return refuse(&s, s.line, "@include is not allowed: one file says it all");
		if (span_starts(s.rest, SPAN("/*"))) {
			if (!block_comment(&s))
				return false;
		} else if (c == '#' || span_starts(s.rest, SPAN("//"))) {
			line_comment(&s);
		} else if (c == '"') {
			if (!string(&s))
				return false;
		} else if (word_byte(c) && c != '-') {
			if (!word(&s))
				return false;
		} else {
			step(&s, 1);
		}
	}
	return true;
}
