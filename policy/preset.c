/*
 * preset.c - the table of well-known issuers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/preset.h"

static const struct preset_row rows[PRESET_MAX] = {
	[PRESET_NONE] = { "none", "", "RS256", "", "", "", "", "", 0, "none of these" },
#define PRESET(symbol, name, urls, algorithms, groups, roles, required, hosts, audiences, quirks, meaning) \
	[PRESET_##symbol] = { name, urls, algorithms, groups, roles, required, hosts, audiences, quirks, meaning },
#include "policy/preset.def"
#undef PRESET
};

const struct preset_row *
preset_row(enum preset p)
{
	return &rows[p < PRESET_MAX ? p : PRESET_NONE];
}

struct span
preset_next(struct span *list)
{
	struct span s = *list;
	size_t n = 0;

	while (s.n > 0 && s.p[0] == ' ')
		s = span_skip(s, 1);
	while (n < s.n && s.p[n] != ' ')
		n++;
	*list = span_skip(s, n);
	return n == 0 ? SPAN_NONE : (struct span){ s.p, n };
}

/* '*' is one byte or more without '/'. *star is set by the first one. */
static bool
matches(struct span pattern, struct span s, struct span *star)
{
	for (;; pattern = span_skip(pattern, 1), s = span_skip(s, 1)) {
		if (pattern.n == 0 || s.n == 0)
			return pattern.n == s.n;
		if (pattern.p[0] == '*')
			break;
		if (pattern.p[0] != s.p[0])
			return false;
	}
	for (size_t n = 1; n <= s.n && s.p[n - 1] != '/'; n++) {
		struct span inner = SPAN_NONE;

		if (!matches(span_skip(pattern, 1), span_skip(s, n), &inner))
			continue;
		*star = (struct span){ s.p, n };
		return true;
	}
	return false;
}

bool
preset_url_fits(enum preset p, struct span url, struct span *star)
{
	struct span list = span_of(preset_row(p)->urls), pattern = preset_next(&list);

	*star = SPAN_NONE;
	if (pattern.p == NULL)
		return true;
	for (; pattern.p != NULL; pattern = preset_next(&list))
		if (matches(pattern, url, star))
			return true;
	return false;
}

bool
preset_audience_shared(enum preset p, struct span audience)
{
	struct span list = span_of(preset_row(p)->audiences), s;

	while ((s = preset_next(&list)).p != NULL) {
		bool open = s.p[s.n - 1] == '*';

		if (open ? span_starts(audience, (struct span){ s.p, s.n - 1 }) : span_eq(audience, s))
			return true;
	}
	return false;
}

unsigned
preset_algorithms(enum preset p)
{
	struct span list = span_of(preset_row(p)->algorithms), s;
	unsigned bits = 0;

	while ((s = preset_next(&list)).p != NULL)
		bits |= 1u << jws_alg_parse(s);
	return bits & ~(1u << JWS_ALG_NONE);
}
