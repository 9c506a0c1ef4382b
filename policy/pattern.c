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
	bool in_place; /* that room is the source: its text stays where it stands */
	unsigned variables;
	struct reason *why;
};

static bool
refuse_as(struct compiler *c, enum lint_code code, const char *reason)
{
	c->why->code = code;
	snprintf(c->why->text, sizeof c->why->text, "%s", reason);
	return false;
}

static bool
refuse(struct compiler *c, const char *reason)
{
	return refuse_as(c, LINT_E100, reason);
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
	c->used += c->in_place;
	if (kind == PART_ANY && c->n > 0 && c->parts[c->n - 1].kind == PART_ANY)
		return; /* ** is * */
	c->parts[c->n++] = (struct part){ .kind = kind };
}

/* ", 'it''s'" at the start of s, in the text of the pattern; {NULL,0} when it is not written so. */
static struct span
take_default(struct compiler *c, struct span *s)
{
	struct span out = { c->text + c->used, 0 };

	*s = span_skip(*s, 1);
	while (s->n > 0 && s->p[0] == ' ')
		*s = span_skip(*s, 1);
	if (s->n == 0 || s->p[0] != '\'')
		return SPAN_NONE;
	for (*s = span_skip(*s, 1); s->n > 0; *s = span_skip(*s, 1)) {
		if (s->p[0] == '\'') {
			*s = span_skip(*s, 1);
			if (s->n == 0 || s->p[0] != '\'')
				return out;
		}
		c->text[c->used++] = s->p[0];
		out.n++;
	}
	return SPAN_NONE;
}

/* "|lower", "|path", "|segment" at the start of s. */
static bool
take_filter(struct span *s, struct part *part)
{
	*s = span_skip(*s, 1);
	if (span_starts(*s, SPAN("lower"))) {
		part->lower = true;
		*s = span_skip(*s, 5);
		return true;
	}
	if (span_starts(*s, SPAN("segment"))) {
		part->path = false;
		part->segment = true;
		*s = span_skip(*s, 7);
		return true;
	}
	part->path = span_starts(*s, SPAN("path"));
	*s = span_skip(*s, part->path ? 4 : 0);
	return part->path;
}

/* What stands behind the name, up to and with the }. */
static bool
take_modifiers(struct compiler *c, struct span *s, struct part *part)
{
	while (s->n > 0 && s->p[0] == '|')
		if (!take_filter(s, part))
			return refuse(c, "a filter of a variable is |lower, |path or |segment");
	if (s->n > 0 && s->p[0] == ',') {
		part->text = take_default(c, s);
		if (part->text.p == NULL)
			return refuse(c, "a default is written in quotes: ${key, 'text'}");
	}
	if (s->n == 0 || s->p[0] != '}')
		return refuse(c, "${ without }");
	*s = span_skip(*s, 1);
	return true;
}

static bool
key_of_variable(struct compiler *c, struct span name, unsigned flags, struct part *part)
{
	const struct claim_row *claim;

	if (flags & PATTERN_ANY_KEY) {
		part->key = (struct key_ref){ .key = KEY_OTHER, .param = name };
		return true;
	}
	c->why->code = LINT_E101;
	if (!key_parse(name, &part->key, c->why->text, sizeof c->why->text))
		return false;
	if (key_row(part->key.key)->cardinality == CARDINALITY_MANY)
		return refuse_as(c, LINT_E105, "a key of several values cannot be a variable");
	if (part->key.key == KEY_TIME_NOW || key_row(part->key.key)->param == PARAM_ZONE)
		return refuse_as(c, LINT_E102, "a time cannot be a variable");
	claim = part->key.key == KEY_JWT ? claim_row(part->key.param) : NULL;
	if (claim != NULL && claim->cardinality == CARDINALITY_MANY)
		return refuse_as(c, LINT_E105, "a key of several values cannot be a variable");
	part->path = (claim != NULL && claim->shape == SHAPE_PATH) || part->key.key == KEY_REGISTRY_REPOSITORY;
	return true;
}

/* "${name}" at the start of s, name a copy that lives as long as the pattern; bytes taken, 0 when refused. */
static size_t
add_variable(struct compiler *c, struct arena *a, struct span s, unsigned flags)
{
	struct part part = { .kind = PART_VARIABLE, .variable = (uint8_t)c->variables };
	struct span rest = span_skip(s, 2), name = { rest.p, 0 };

	if (rest.n > 1 && rest.p[1] == '}' && strchr("*?$", rest.p[0]) != NULL) {
		add_text(c, rest.p[0]);
		return 4;
	}
	if (!(flags & PATTERN_VARIABLES))
		return refuse(c, "no variable may stand here"), 0;
	while (name.n < rest.n && strchr("}|,", rest.p[name.n]) == NULL)
		name.n++;
	if (name.n == rest.n)
		return refuse(c, "${ without }"), 0;
	if (name.n == 0 || memchr(name.p, ' ', name.n) != NULL)
		return refuse(c, "a variable is ${key}, without spaces"), 0;
	if (c->variables == VARIABLES_MAX)
		return refuse(c, "more than 8 variables in one string"), 0;
	rest = span_skip(rest, name.n);
	name = arena_dup(a, name);
	if (name.p == NULL)
		return refuse(c, "out of memory"), 0;
	if (!key_of_variable(c, name, flags, &part) || !take_modifiers(c, &rest, &part))
		return 0;
	c->variables++;
	c->parts[c->n++] = part;
	return (size_t)(rest.p - s.p);
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
		} else if ((byte == '*' || byte == '?') && (flags & PATTERN_LITERAL)) {
			add_text(c, byte);
		} else if ((byte == '*' || byte == '?') && !(flags & PATTERN_WILDCARDS)) {
			return refuse_as(c, LINT_E112, "* and ? are no wildcards here: use StringLike");
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
pattern_compile(struct arena *a, struct span s, unsigned flags, struct pattern *out, struct reason *why)
{
	struct compiler c = { .why = why, .in_place = true };
	size_t parts = 0; /* at most: each begins at a special byte, or where others begin */
	bool text = false;
	struct span source;

	if (s.n > PATTERN_MAX)
		return refuse(&c, "longer than 1024 bytes");
	for (size_t i = 0; i < s.n; i++) {
		bool special = s.p[i] == '*' || s.p[i] == '?' || s.p[i] == '$';

		parts += special || !text;
		text = !special;
		c.in_place &= s.p[i] != '$';
	}
	c.parts = arena_zalloc(a, parts, sizeof *c.parts);
	source = arena_dup(a, s);
	c.text = c.in_place ? (char *)(uintptr_t)source.p : arena_alloc(a, s.n + 1);
	if (c.parts == NULL || c.text == NULL || source.p == NULL)
		return refuse(&c, "out of memory");
	if (!compile(&c, a, s, flags))
		return false;
	*out = (struct pattern){ source, c.parts, c.n, c.variables > 0 };
	return true;
}

struct span
pattern_prefix(const struct pattern *p)
{
	return p->n > 0 && p->parts[0].kind == PART_TEXT ? p->parts[0].text : SPAN_NONE;
}

struct span
pattern_suffix(const struct pattern *p)
{
	return p->n > 0 && p->parts[p->n - 1].kind == PART_TEXT ? p->parts[p->n - 1].text : SPAN_NONE;
}

bool
pattern_is_literal(const struct pattern *p)
{
	return p->n == 0 || (p->n == 1 && p->parts[0].kind == PART_TEXT);
}

/* ---- match ---- */

/* What a variable stands for in one request. */
struct put_in {
	struct span text;
	bool lower;
	char buf[40];
};

/* One part of a path, or several joined by slashes; as it will be put in. */
static bool
is_segment(struct span s, bool lower, bool path)
{
	bool start = true;

	for (size_t i = 0; i < s.n; i++) {
		char c = lower ? ascii_lower(s.p[i]) : s.p[i];

		if (c == '/' ? start || !path :
			       !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
			return false;
		start = c == '/';
	}
	return !start;
}

static enum tri
resolve_one(const struct part *part, unsigned flags, struct evaluation *q, struct put_in *out)
{
	struct value v;

	key_value(q, &part->key, &v);
	if (v.state == FACT_LATER) {
		key_set_add(&q->need, part->key.key);
		return TRI_LATER;
	}
	if (v.state == FACT_UNKNOWN || (v.state == FACT_PRESENT && v.many)) {
		key_set_add(&q->unknowns, part->key.key);
		return TRI_UNKNOWN;
	}
	out->lower = part->lower;
	out->text = v.text;
	if (v.state == FACT_ABSENT || v.text.n == 0) {
		key_set_add(&q->missing, part->key.key);
		out->lower = false;
		out->text = part->text;
		return part->text.p != NULL ? TRI_YES : TRI_NO;
	}
	if (v.text.p == v.buf) {
		memcpy(out->buf, v.buf, sizeof out->buf);
		out->text.p = out->buf;
	}
	return !(flags & PATTERN_SEGMENT) || is_segment(v.text, part->lower, part->path) ? TRI_YES : TRI_UNKNOWN;
}

/* YES: all variables have a value that may be put in. */
static enum tri
resolve(const struct pattern *p, unsigned flags, struct evaluation *q, struct put_in *values)
{
	enum tri all = TRI_YES;

	for (size_t i = 0; i < p->n; i++) {
		enum tri one;

		if (p->parts[i].kind != PART_VARIABLE)
			continue;
		one = resolve_one(&p->parts[i], flags, q, &values[p->parts[i].variable]);
		if (one == TRI_NO)
			return TRI_NO;
		if (one > all)
			all = one;
	}
	return all;
}

/* A text of the pattern while it is matched. */
struct piece {
	struct span text;
	bool lower; /* its letters become small ones */
};

/* Whether s begins with it. */
static bool
begins_with(struct span s, struct piece x, bool nocase)
{
	if (!nocase && !x.lower)
		return memcmp(s.p, x.text.p, x.text.n) == 0;
	for (size_t i = 0; i < x.text.n; i++) {
		char c = x.lower ? ascii_lower(x.text.p[i]) : x.text.p[i];

		if (c != s.p[i] && !(nocase && ascii_lower(c) == ascii_lower(s.p[i])))
			return false;
	}
	return true;
}

/* Where the character (UTF-8) at i ends; of what is none, each byte is one. */
static size_t
character_end(struct span s, size_t i)
{
	size_t end = i + 1, most = (unsigned char)s.p[i] >= 0xc0 ? i + 4 : end;

	while (end < s.n && end < most && ((unsigned char)s.p[end] & 0xc0) == 0x80)
		end++;
	return end;
}

/* A match that has to try more than this is UNKNOWN: some milliseconds at worst, whatever stands in pattern and value. */
#define WORK_MAX (1u << 16)

struct match {
	size_t part, i; /* next to match, of the pattern and of the subject */
	size_t after_star, star_end; /* of the last star: the part behind it, and where it ends; SIZE_MAX: none yet */
	size_t work;
};

/* The last star takes more: one character, or as many as it takes to get to the text behind it. False: it cannot. */
static bool
star_takes(struct match *m, const struct piece *behind, bool more, struct span s)
{
	size_t from = more ? character_end(s, m->star_end) : m->star_end;
	const char *hit = s.p + from;

	m->work++;
	if (behind != NULL && behind->text.n > 0) {
		hit = from > s.n ? NULL : memmem(s.p + from, s.n - from, behind->text.p, behind->text.n);
		m->work += ((hit == NULL ? s.n : (size_t)(hit - s.p)) - from + behind->text.n) / 16;
	}
	if (hit == NULL)
		return false;
	m->part = m->after_star;
	m->i = m->star_end = (size_t)(hit - s.p);
	return true;
}

/*
 * Greedy: each star takes as little as it can, and only the last one met ever takes more. When the subject ends
 * before the pattern does, a longer star leaves even less: no match.
 */
static enum tri
matches(const struct pattern *p, const struct put_in *values, bool nocase, struct span s)
{
	struct match m = { .after_star = SIZE_MAX };
	struct piece star_text = { .lower = false }; /* the text behind the last star, where it can be looked for */
	bool search = false;

	if (s.p == NULL)
		s = SPAN("");
	while (m.work < WORK_MAX) {
		const struct part *at = m.part < p->n ? &p->parts[m.part] : NULL;
		struct piece x = { .lower = false };
		bool ok;

		if (at != NULL && (at->kind == PART_TEXT || at->kind == PART_VARIABLE)) {
			x.text = at->kind == PART_TEXT ? at->text : values[at->variable].text;
			x.lower = at->kind == PART_VARIABLE && values[at->variable].lower;
		}
		if (at != NULL && at->kind == PART_ANY) {
			if (m.part + 1 == p->n)
				return TRI_YES;
			m.after_star = ++m.part;
			m.star_end = m.i;
			search = false;
			continue;
		}
		if (m.part == m.after_star && !search && !nocase && !x.lower && x.text.n > 0) {
			search = true;
			star_text = x;
			if (!star_takes(&m, &star_text, false, s))
				return TRI_NO;
		}
		m.work += 1 + x.text.n / 16;
		if (at == NULL) {
			if (m.i == s.n)
				return TRI_YES;
			ok = false;
		} else if (at->kind == PART_ONE) {
			if (m.i == s.n)
				return TRI_NO;
			m.i = character_end(s, m.i);
			ok = true;
		} else {
			if (s.n - m.i < x.text.n)
				return TRI_NO;
			ok = x.text.n == 0 || begins_with(span_skip(s, m.i), x, nocase);
			m.i += ok ? x.text.n : 0;
		}
		if (ok)
			m.part++;
		else if (m.after_star == SIZE_MAX || m.star_end == s.n || !star_takes(&m, search ? &star_text : NULL, true, s))
			return TRI_NO;
	}
	return TRI_UNKNOWN;
}

bool
pattern_has_values(const struct pattern *p, struct evaluation *q)
{
	struct put_in values[VARIABLES_MAX];

	return !p->variables || resolve(p, 0, q, values) != TRI_NO;
}

enum tri
pattern_match(const struct pattern *p, unsigned flags, struct evaluation *q, struct span s)
{
	UNSET struct put_in values[VARIABLES_MAX];
	bool nocase = (flags & PATTERN_NOCASE) != 0;
	enum tri ready;

	/* most statements speak of something else: their first bytes tell, or their last */
	if (!nocase && (!span_starts(s, pattern_prefix(p)) || !span_ends(s, pattern_suffix(p))))
		return TRI_NO;
	if (p->n == 2 && p->parts[0].kind == PART_TEXT && p->parts[1].kind == PART_ANY && !nocase)
		return TRI_YES;
	if (p->variables) {
		ready = resolve(p, flags, q, values);
		if (ready != TRI_YES)
			return ready;
	}
	return matches(p, values, nocase, s);
}
