/*
 * pattern.c - text with wildcards and variables: compiled once, matched piece by piece.
 * Invariant: what a request brings is compared byte for byte; only the policy's own text holds wildcards.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/compiled.h"

/* ---- compile ---- */

struct compiler {
	struct part *parts;
	size_t n;
	char *text; /* room for all text of the pattern */
	size_t used;
	unsigned variables;
	char *err;
	size_t err_size;
};

static bool
refuse(struct compiler *c, const char *reason)
{
	snprintf(c->err, c->err_size, "%s", reason);
	return false;
}

static void
add_text(struct compiler *c, char byte)
{
	struct part *last = c->n == 0 ? NULL : &c->parts[c->n - 1];

	if (last == NULL || last->kind != PART_TEXT) {
		last = &c->parts[c->n++];
		*last = (struct part){ .kind = PART_TEXT, .text = { c->text + c->used, 0 } };
	}
	c->text[c->used++] = byte;
	last->text.n++;
}

static void
add_wildcard(struct compiler *c, enum part_kind kind)
{
	if (kind == PART_ANY && c->n > 0 && c->parts[c->n - 1].kind == PART_ANY)
		return; /* ** is * */
	c->parts[c->n++] = (struct part){ .kind = kind };
}

/* "${name}" at the start of s, name a copy that lives as long as the pattern; bytes taken, 0 when refused. */
static size_t
add_variable(struct compiler *c, struct arena *a, struct span s, unsigned flags)
{
	const char *close = memchr(s.p, '}', s.n);
	struct span name;
	struct part part = { .kind = PART_VARIABLE, .variable = c->variables };

	if (close == NULL)
		return refuse(c, "${ without }"), 0;
	name = (struct span){ s.p + 2, (size_t)(close - s.p) - 2 };
	if (name.n == 1 && strchr("*?$", name.p[0]) != NULL) {
		add_text(c, name.p[0]);
		return name.n + 3;
	}
	if (!(flags & PATTERN_VARIABLES))
		return refuse(c, "no variable may stand here"), 0;
	if (name.n == 0 || memchr(name.p, ' ', name.n) != NULL)
		return refuse(c, "a variable is ${key}, without spaces"), 0;
	if (memchr(name.p, ',', name.n) != NULL || memchr(name.p, '|', name.n) != NULL)
		return refuse(c, "defaults and filters of variables are not served yet"), 0;
	if (c->variables == VARIABLES_MAX)
		return refuse(c, "more than 8 variables in one string"), 0;
	name = arena_dup(a, name);
	if (name.p == NULL)
		return refuse(c, "out of memory"), 0;
	if (!key_parse(name, &part.key, c->err, c->err_size))
		return 0;
	if (key_row(part.key.key)->cardinality == CARDINALITY_MANY)
		return refuse(c, "a key of several values cannot be a variable"), 0;
	if (part.key.key == KEY_TIME_NOW || key_row(part.key.key)->param == PARAM_ZONE)
		return refuse(c, "a time cannot be a variable"), 0;
	c->variables++;
	c->parts[c->n++] = part;
	return name.n + 3;
}

static bool
compile(struct compiler *c, struct arena *a, struct span s, unsigned flags)
{
	for (size_t i = 0; i < s.n; i++) {
		char byte = s.p[i];

		if ((unsigned char)byte < ' ' || byte == 0x7f)
			return refuse(c, "control character");
		if (byte == '$' && i + 1 < s.n && s.p[i + 1] == '{') {
			size_t taken = add_variable(c, a, span_skip(s, i), flags);

			if (taken == 0)
				return false;
			i += taken - 1;
		} else if ((byte == '*' || byte == '?') && !(flags & PATTERN_WILDCARDS)) {
			return refuse(c, "* and ? are no wildcards here: use StringLike, or ${*} and ${?} for the "
					 "characters themselves");
		} else if (byte == '*') {
			add_wildcard(c, PART_ANY);
		} else if (byte == '?') {
			add_wildcard(c, PART_ONE);
		} else {
			add_text(c, byte);
		}
	}
	return true;
}

bool
pattern_compile(struct arena *a, struct span s, unsigned flags, struct pattern *out, char *err, size_t err_size)
{
	struct compiler c = { .err = err, .err_size = err_size };
	size_t special = 0;

	if (s.n > PATTERN_MAX)
		return refuse(&c, "longer than 1024 bytes");
	for (size_t i = 0; i < s.n; i++)
		special += s.p[i] == '*' || s.p[i] == '?' || s.p[i] == '$';
	c.parts = arena_zalloc(a, 2 * special + 1, sizeof *c.parts);
	c.text = arena_alloc(a, s.n + 1);
	if (c.parts == NULL || c.text == NULL)
		return refuse(&c, "out of memory");
	if (!compile(&c, a, s, flags))
		return false;
	*out = (struct pattern){ c.parts, c.n };
	return true;
}

struct span
pattern_prefix(const struct pattern *p)
{
	return p->n > 0 && p->parts[0].kind == PART_TEXT ? p->parts[0].text : SPAN_NONE;
}

/* ---- match ---- */

static bool
is_segment(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
			return false;
	}
	return s.n > 0;
}

/* YES: all variables have a value that may be put in. */
static enum tri
resolve(const struct pattern *p, unsigned flags, const struct policy_request *r, struct value *values, struct key_set *need)
{
	enum tri all = TRI_YES;

	for (size_t i = 0; i < p->n; i++) {
		const struct part *part = &p->parts[i];
		struct value *v = &values[part->variable];

		if (part->kind != PART_VARIABLE)
			continue;
		key_value(r, part->key, v);
		if (v->state == FACT_ABSENT || (v->state == FACT_PRESENT && !v->many && v->text.n == 0))
			return TRI_NO;
		if (v->state == FACT_LATER) {
			key_set_add(need, part->key.key);
			all = TRI_LATER;
		} else if (all == TRI_YES && (v->state == FACT_UNKNOWN || v->many || ((flags & PATTERN_SEGMENT) && !is_segment(v->text)))) {
			all = TRI_UNKNOWN;
		}
	}
	return all;
}

static bool
same_byte(char a, char b, bool nocase)
{
	return a == b || (nocase && ascii_lower(a) == ascii_lower(b));
}

/*
 * Greedy: each star takes as little as it can, and only the last one met ever takes more. When the subject ends
 * before the pattern does, a longer star leaves even less: no match.
 */
static bool
matches(const struct pattern *p, const struct value *values, bool nocase, struct span s)
{
	size_t part = 0, offset = 0, i = 0, after_star = SIZE_MAX, star_end = 0;

	for (;;) {
		const struct part *at = part < p->n ? &p->parts[part] : NULL;
		struct span text = SPAN_NONE;

		if (at != NULL && at->kind == PART_ANY) {
			if (part + 1 == p->n)
				return true;
			after_star = ++part;
			star_end = i;
			offset = 0;
			continue;
		}
		if (at != NULL && at->kind != PART_ONE) {
			text = at->kind == PART_TEXT ? at->text : values[at->variable].text;
			if (offset == text.n) {
				part++;
				offset = 0;
				continue;
			}
		}
		if (i == s.n)
			return at == NULL;
		if (at != NULL && at->kind == PART_ONE) {
			part++;
			i++;
		} else if (at != NULL && same_byte(text.p[offset], s.p[i], nocase)) {
			offset++;
			i++;
		} else if (after_star != SIZE_MAX) {
			i = ++star_end;
			part = after_star;
			offset = 0;
		} else {
			return false;
		}
	}
}

enum tri
pattern_match(const struct pattern *p, unsigned flags, const struct policy_request *r, struct span s,
    struct key_set *need)
{
	struct value values[VARIABLES_MAX];
	bool variables = false;
	enum tri ready;

	/* most statements speak of something else: their first bytes tell */
	if (!(flags & PATTERN_NOCASE) && !span_starts(s, pattern_prefix(p)))
		return TRI_NO;
	for (size_t i = 0; i < p->n; i++)
		variables |= p->parts[i].kind == PART_VARIABLE;
	if (variables) {
		ready = resolve(p, flags, r, values, need);
		if (ready != TRI_YES)
			return ready;
	}
	return matches(p, values, (flags & PATTERN_NOCASE) != 0, s) ? TRI_YES : TRI_NO;
}
