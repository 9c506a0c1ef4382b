/*
 * regex_shape.c - does a regular expression repeat a repetition, so that a text has many ways to match?
 *
 * Told by its shape: a group repeated without bound in which an alternative is made of repetitions only, (a+)+, or
 * holds a repeated dot, (.*x)*. What stands unrepeated between two turns, (\.[0-9]+)*, tells them apart.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/regex.h"

#define GROUPS_MAX 64u

/* What is known of the alternative being read. */
struct group {
	bool fixed; /* something in it is not repeated */
	bool unbounded; /* something in it is repeated without bound */
	bool dot; /* a dot is */
	bool risky; /* an alternative before it was */
	bool atomic; /* what matched is not tried again */
};

static bool
is_risky(const struct group *g)
{
	return !g->atomic && (g->risky || g->dot || (g->unbounded && !g->fixed));
}

enum quantifier {
	QUANTIFIER_NONE = 0, /* or {n}, {n,m}: as good as written out */
	QUANTIFIER_OPTIONAL,
	QUANTIFIER_UNBOUNDED,
};

/* The quantifier at the start of s, which is taken. */
static enum quantifier
take_quantifier(struct span *s)
{
	enum quantifier q = QUANTIFIER_NONE;
	size_t n = 1;

	if (s->n == 0)
		return q;
	if (s->p[0] == '*' || s->p[0] == '+') {
		q = QUANTIFIER_UNBOUNDED;
	} else if (s->p[0] == '?') {
		q = QUANTIFIER_OPTIONAL;
	} else if (s->p[0] == '{') {
		while (n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == ','))
			n++;
		if (n == 1 || n == s->n || s->p[n] != '}')
			return q; /* the character */
		if (s->p[n - 1] == ',')
			q = QUANTIFIER_UNBOUNDED;
		n++;
	} else {
		return q;
	}
	*s = span_skip(*s, n);
	if (s->n > 0 && s->p[0] == '+') {
		q = QUANTIFIER_NONE; /* possessive: never tried another way */
		*s = span_skip(*s, 1);
	} else if (s->n > 0 && s->p[0] == '?') {
		*s = span_skip(*s, 1);
	}
	return q;
}

/* [...] at the start of s, which is taken. */
static void
take_class(struct span *s)
{
	size_t n = 1;

	n += n < s->n && s->p[n] == '^';
	n += n < s->n && s->p[n] == ']';
	for (; n < s->n && s->p[n] != ']'; n++) {
		if (s->p[n] == '\\')
			n++;
		else if (s->p[n] == '[' && n + 1 < s->n && s->p[n + 1] == ':')
			for (n += 2; n < s->n && s->p[n] != ']';)
				n++; /* [:alpha:] */
	}
	*s = span_skip(*s, n < s->n ? n + 1 : s->n);
}

/* What stands behind the parenthesis: "?:", "?<name>", "?>" ... */
static void
open_group(struct span *s, struct group *g)
{
	*g = (struct group){ .fixed = false };
	*s = span_skip(*s, 1);
	if (s->n < 2 || s->p[0] != '?')
		return;
	g->atomic = s->p[1] == '>';
	*s = span_skip(*s, 1);
	while (s->n > 0 && strchr(":=!>)", s->p[0]) == NULL)
		*s = span_skip(*s, 1);
	if (s->n > 0 && s->p[0] != ')')
		*s = span_skip(*s, 1);
}

/* One thing that may be repeated; not a group. True: a dot. */
static bool
take_item(struct span *s)
{
	bool dot = s->p[0] == '.';

	if (s->p[0] == '[')
		take_class(s);
	else
		*s = span_skip(*s, s->p[0] == '\\' && s->n > 1 ? 2 : 1);
	return dot;
}

static void
add_item(struct group *g, enum quantifier q, bool dot)
{
	g->fixed |= q == QUANTIFIER_NONE;
	g->unbounded |= q == QUANTIFIER_UNBOUNDED;
	g->dot |= q == QUANTIFIER_UNBOUNDED && dot;
}

bool
regex_repeats_repetition(struct span s)
{
	struct group stack[GROUPS_MAX] = { 0 };
	unsigned depth = 0;

	while (s.n > 0) {
		struct group *g = &stack[depth];
		enum quantifier q;
		bool risky;

		if (s.p[0] == '(') {
			if (++depth == GROUPS_MAX)
				return false; /* too deep to tell */
			open_group(&s, &stack[depth]);
		} else if (s.p[0] == '|') {
			*g = (struct group){ .risky = is_risky(g), .atomic = g->atomic };
			s = span_skip(s, 1);
		} else if (s.p[0] == ')' && depth > 0) {
			risky = is_risky(g);
			s = span_skip(s, 1);
			q = take_quantifier(&s);
			if (risky && q == QUANTIFIER_UNBOUNDED)
				return true;
			/* a group in a group: (((a+)))+ is (a+)+ */
			add_item(&stack[--depth], risky ? QUANTIFIER_UNBOUNDED : q, false);
		} else {
			bool dot = take_item(&s);

			add_item(g, take_quantifier(&s), dot);
		}
	}
	return false;
}
