/*
 * part.c - what the readers of reports share.
 * Invariant: out->status is HERE only when a reader has seen all of its document.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/scalar.h"

bool
part_fail(struct report_reader *p, enum report_status status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->out->why, sizeof p->out->why, fmt, ap);
	va_end(ap);
	for (char *c = p->out->why; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	p->out->status = status;
	p->out->n = 0;
	p->out->next = SPAN_NONE;
	return false;
}

bool
part_done(struct report_reader *p)
{
	if (!arena_failed(p->arena))
		return true;
	(void)part_fail(p, REPORT_FAILED, "out of memory");
	return false;
}

/* ---- values ---- */

json_t *
part_value(struct report_reader *p, struct span text, const char *what)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64] = "";
	json_t *v;

	if (text.n > PART_VALUE_MAX) {
		(void)part_fail(p, REPORT_FAILED, "%s is larger than %zu bytes", what, PART_VALUE_MAX);
		return NULL;
	}
	v = json_strict(text, PART_DEPTH, err, sizeof err, NULL);
	if (v == NULL)
		(void)part_fail(p, REPORT_FAILED, "%s: %s", what, err);
	return v;
}

bool
part_is_object(struct report_reader *p, const json_t *o, const char *what, const char *const *known, size_t n)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return part_fail(p, REPORT_FAILED, "%s is no object", what);
	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		(void)v;
		if (json_key_is_variant(key, known, n))
			return part_fail(p, REPORT_FAILED, "%s: \"%s\" is another spelling of a member", what, key);
	}
	return true;
}

json_t *
part_object(struct report_reader *p, struct span text, const char *what, const char *const *known, size_t n)
{
	json_t *o = part_value(p, text, what);

	if (o == NULL || part_is_object(p, o, what, known, n))
		return o;
	json_decref(o);
	return NULL;
}

bool
part_plain_name(struct report_reader *p, const char *key)
{
	for (const char *c = key; *c != '\0'; c++)
		if ((unsigned char)*c > '~')
			return part_fail(p, REPORT_FAILED, "a member has a name that is not ASCII");
	return true;
}

int
part_member(struct report_reader *p, const char *key, struct span value, const char *const *known, size_t n, uint32_t *seen)
{
	json_t *v;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(key, known[i]) != 0)
			continue;
		if ((*seen >> i & 1u) != 0) {
			(void)part_fail(p, REPORT_FAILED, "\"%s\" is there twice", key);
			return -2;
		}
		*seen |= 1u << i;
		return (int)i;
	}
	if (json_key_is_variant(key, known, n)) {
		(void)part_fail(p, REPORT_FAILED, "\"%s\" is another spelling of a member", key);
		return -2;
	}
	v = part_plain_name(p, key) ? part_value(p, value, key) : NULL;
	if (v == NULL)
		return -2;
	json_decref(v);
	return -1;
}

bool
part_end(struct report_reader *p, const struct json_walk *w, const char *what)
{
	return json_walk_whole(w) || part_fail(p, REPORT_FAILED, "%s: not JSON, or cut off", what);
}

/* ---- texts and numbers ---- */

bool
part_text(struct report_reader *p, const json_t *o, const char *name, struct span *out)
{
	const json_t *v = json_object_get(o, name);
	struct span s = json_span(o, name);

	*out = SPAN("");
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v))
		return part_fail(p, REPORT_FAILED, "%s is no text", name);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return part_fail(p, REPORT_FAILED, "%s holds a control character", name);
	*out = arena_dup(p->arena, s);
	return out->p != NULL;
}

bool
part_join(struct report_reader *p, struct span *list, struct span more, const char *by)
{
	size_t gap = strlen(by);
	struct span rest = *list;

	if (more.n == 0)
		return true;
	while (rest.n >= more.n) {
		const char *end = memmem(rest.p, rest.n, by, gap);
		struct span one = { rest.p, end == NULL ? rest.n : (size_t)(end - rest.p) };

		if (span_eq(one, more))
			return true;
		rest = span_skip(rest, end == NULL ? rest.n : one.n + gap);
	}
	*list = arena_printf(p->arena, "%.*s%s%.*s", SPAN_FMT(*list), list->n > 0 ? by : "", SPAN_FMT(more));
	return list->p != NULL;
}

int64_t
part_time(const json_t *v)
{
	struct number at;
	double d;

	if (json_is_string(v))
		return date_parse((struct span){ json_string_value(v), json_string_length(v) }, &at) && at.whole > 0 ? at.whole : 0;
	d = json_number_value(v);
	return d > 0 && d < (double)CIVIL_MAX ? (int64_t)d : 0;
}

int
part_score(const json_t *v)
{
	struct number of;
	double d;

	if (v == NULL || json_is_null(v))
		return -1;
	if (json_is_string(v)) {
		if (!number_parse((struct span){ json_string_value(v), json_string_length(v) }, &of) || of.whole < 0 || of.whole > 10)
			return -2;
		d = (double)of.whole + (double)of.nano / 1e9;
	} else if (json_is_number(v)) {
		d = json_number_value(v);
	} else {
		return -2;
	}
	return d >= 0 && d <= 10 ? (int)(d * 10 + 0.999999) : -2;
}

enum report_severity
part_severity(struct span word)
{
	static const struct {
		struct span word;
		enum report_severity severity;
	} words[] = {
		{ { "critical", 8 }, REPORT_CRITICAL },
		{ { "high", 4 }, REPORT_HIGH },
		{ { "important", 9 }, REPORT_HIGH },
		{ { "medium", 6 }, REPORT_MEDIUM },
		{ { "moderate", 8 }, REPORT_MEDIUM },
		{ { "low", 3 }, REPORT_LOW },
		{ { "negligible", 10 }, REPORT_NEGLIGIBLE },
		{ { "informational", 13 }, REPORT_NEGLIGIBLE },
	};

	for (size_t i = 0; i < PART_COUNT(words); i++)
		if (span_eq_nocase(word, words[i].word))
			return words[i].severity;
	return REPORT_UNKNOWN;
}

enum report_severity
part_severity_of_score(int score)
{
	if (score < 0)
		return REPORT_UNKNOWN;
	return score >= 90 ? REPORT_CRITICAL : score >= 70 ? REPORT_HIGH : score >= 40 ? REPORT_MEDIUM
	    : score > 0 ? REPORT_LOW : REPORT_NEGLIGIBLE;
}

bool
part_digest(struct report_reader *p, struct span digest)
{
	struct report *out = p->out;

	if (digest.n == 0)
		return true;
	if (digest.n != 71 || !span_starts(digest, SPAN("sha256:")))
		return part_fail(p, REPORT_FAILED, "\"%.*s\" is no digest", (int)(digest.n > 80 ? 80 : digest.n), digest.p);
	if (out->digest[0] != '\0' && memcmp(out->digest, digest.p, digest.n) != 0)
		return part_fail(p, REPORT_FAILED, "it is about two images");
	memcpy(out->digest, digest.p, digest.n);
	out->digest[digest.n] = '\0';
	return true;
}

/* ---- findings ---- */

bool
part_add(struct report_reader *p, const struct report_finding *f)
{
	struct report *out = p->out;

	if (out->n == out->room) {
		size_t room = out->room == 0 ? 64 : out->room * 2;
		struct report_finding *more;

		if (out->n >= REPORT_FINDINGS_MAX)
			return part_fail(p, REPORT_FAILED, "more than %u findings", REPORT_FINDINGS_MAX);
		room = room > REPORT_FINDINGS_MAX ? REPORT_FINDINGS_MAX : room;
		more = arena_zalloc(p->arena, room, sizeof *more);
		if (more == NULL)
			return false;
		if (out->n > 0)
			memcpy(more, out->finding, out->n * sizeof *more);
		out->finding = more;
		out->room = room;
	}
	out->finding[out->n++] = *f;
	return true;
}
