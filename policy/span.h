/*
 * span.h - a view of bytes somebody else owns.
 *
 * Bytes from the wire are never NUL-terminated strings here: they may hold NULs,
 * and they end where the message says. A span never owns; the comment of the
 * field or function that hands one out says how long it stays valid.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SPAN_H
#define TW_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;		/* may be NULL only when n is 0 */
	size_t n;
};

#define SPAN(lit)	((struct span){ (lit), sizeof(lit) - 1 })
#define SPAN_NONE	((struct span){ NULL, 0 })
/* for printf("%.*s"): an int length, never larger than INT_MAX in this program (every buffer is bounded) */
#define SPAN_FMT(s)	(int)(s).n, (s).p == NULL ? "" : (s).p

static inline struct span
span_of(const char *cstr)
{
	return (struct span){ cstr, cstr == NULL ? 0 : strlen(cstr) };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII letters only: what HTTP and the registry grammar mean by case-insensitive. */
static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool
span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

static inline bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool
span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n &&
	    (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

/* A copy at *at, which moves behind it: for structures that bring their texts along. */
static inline struct span
span_keep(char **at, struct span s)
{
	struct span kept = { *at, s.n };

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

/* The first n bytes gone; n must be <= s.n. */
static inline struct span
span_skip(struct span s, size_t n)
{
	return (struct span){ s.p == NULL ? NULL : s.p + n, s.n - n };
}

#endif
