/*
 * zone.c - see zone.h.
 * Invariant: no byte is read that the counts of the header and the length of the data do not both cover.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/zone.h"

#include <stdio.h>

#define HEADER		44u
#define TYPE_SIZE	6u	/* of a local time type: offset, is-dst, designation */
#define OFFSET_MAX	(26 * 3600)

/* When a season begins: the forms of POSIX TZ. */
struct rule {
	enum { RULE_JULIAN = 0, RULE_DAY, RULE_WEEKDAY } form;
	int day;		/* JULIAN: 1-365 without 29 February; DAY: 0-365 */
	int month, week, weekday;	/* WEEKDAY: 1-12, 1-5 (5 is the last), 0 is Sunday */
	int time;		/* seconds after midnight; may be negative or beyond the day */
};
struct zone {
	size_t n;
	int64_t *times;		/* from each on ... */
	int32_t *offsets;	/* ... this offset; offsets[0] before the first: n + 1 of them */
	bool footer, dst;	/* after the last: standard time, and summer time by rules */
	int32_t std_offset, dst_offset;
	struct rule begin, end;
};

bool
zone_name_ok(struct span name)
{
	bool start = true;

	if (name.n > 64)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '/' ? start : !(letter || (!start && ((c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-'))))
			return false;
		start = c == '/';
	}
	return !start;
}

/* ---- the footer: a POSIX TZ string ---- */

static bool
take(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

static bool
take_number(struct span *s, int max, int *out)
{
	size_t i = 0;
	int n = 0;

	for (; i < s->n && i < 4 && s->p[i] >= '0' && s->p[i] <= '9'; i++)
		n = n * 10 + (s->p[i] - '0');
	*s = span_skip(*s, i);
	*out = n;
	return i > 0 && n <= max;
}

/* "CEST" or "<+0330>" */
static bool
skip_name(struct span *s)
{
	bool quoted = take(s, '<');
	size_t n = 0;

	while (n < s->n && (quoted ? s->p[n] != '>' : (s->p[n] >= 'A' && s->p[n] <= 'Z') || (s->p[n] >= 'a' && s->p[n] <= 'z')))
		n++;
	*s = span_skip(*s, n);
	return n >= 3 && (!quoted || take(s, '>'));
}

/* "[+-]hh[:mm[:ss]]" in seconds. */
static bool
take_time(struct span *s, int max_hours, int *out)
{
	bool negative = take(s, '-');
	int hours, minutes = 0, seconds = 0;

	if (!negative)
		take(s, '+');
	if (!take_number(s, max_hours, &hours) || (take(s, ':') && !take_number(s, 59, &minutes)) ||
	    (take(s, ':') && !take_number(s, 59, &seconds)))
		return false;
	*out = hours * 3600 + minutes * 60 + seconds;
	if (negative)
		*out = -*out;
	return true;
}

/* ",M3.5.0/2" */
static bool
take_rule(struct span *s, struct rule *r)
{
	*r = (struct rule){ .time = 2 * 3600 };
	if (!take(s, ','))
		return false;
	if (take(s, 'M')) {
		r->form = RULE_WEEKDAY;
		if (!take_number(s, 12, &r->month) || !take(s, '.') || !take_number(s, 5, &r->week) || !take(s, '.') ||
		    !take_number(s, 6, &r->weekday) || r->month < 1 || r->week < 1)
			return false;
	} else {
		r->form = take(s, 'J') ? RULE_JULIAN : RULE_DAY;
		if (!take_number(s, 365, &r->day) || (r->form == RULE_JULIAN && r->day < 1))
			return false;
	}
	return !take(s, '/') || take_time(s, 167, &r->time);
}

static bool
footer_parse(struct span s, struct zone *z)
{
	int west;

	z->footer = s.n > 0;
	if (!z->footer)
		return true;
	if (!skip_name(&s) || !take_time(&s, 24, &west))
		return false;
	z->std_offset = -west;
	z->dst = s.n > 0;
	if (!z->dst)
		return true;
	z->dst_offset = z->std_offset + 3600;
	if (!skip_name(&s))
		return false;
	if (s.n > 0 && s.p[0] != ',') {
		if (!take_time(&s, 24, &west))
			return false;
		z->dst_offset = -west;
	}
	return take_rule(&s, &z->begin) && take_rule(&s, &z->end) && s.n == 0;
}

/* ---- TZif ---- */

static uint32_t
be32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t
be64(const char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

struct block {
	uint32_t isut, isstd, leap, time, type, chars;
	size_t size;	/* without its header */
};

/* The header at the start of s; time_size: bytes of a moment in its data. */
static bool
header_parse(struct span s, size_t time_size, struct block *b)
{
	if (s.n < HEADER || !span_starts(s, SPAN("TZif")) || s.p[4] < '2')
		return false;
	b->isut = be32(s.p + 20);
	b->isstd = be32(s.p + 24);
	b->leap = be32(s.p + 28);
	b->time = be32(s.p + 32);
	b->type = be32(s.p + 36);
	b->chars = be32(s.p + 40);
	if (b->isut > 256 || b->isstd > 256 || b->leap > 1000 || b->time > 100000 || b->type > 256 || b->chars > 10000)
		return false;
	b->size = b->time * time_size + b->time + b->type * TYPE_SIZE + b->chars + b->leap * (time_size + 4) + b->isstd + b->isut;
	return s.n - HEADER >= b->size;
}

static bool
transitions_parse(const char *p, const struct block *b, struct arena *a, struct zone *z)
{
	const char *indexes = p + b->time * 8, *types = indexes + b->time;

	z->n = b->time;
	z->times = arena_zalloc(a, b->time, sizeof *z->times);
	z->offsets = arena_zalloc(a, b->time + 1, sizeof *z->offsets);
	if (z->times == NULL || z->offsets == NULL || b->type == 0)
		return false;
	for (size_t i = 0; i <= b->time; i++) {
		unsigned type = i == 0 ? 0 : (unsigned char)indexes[i - 1];

		if (type >= b->type)
			return false;
		z->offsets[i] = (int32_t)be32(types + type * TYPE_SIZE);
		if (z->offsets[i] < -OFFSET_MAX || z->offsets[i] > OFFSET_MAX)
			return false;
		if (i == 0)
			continue;
		z->times[i - 1] = be64(p + (i - 1) * 8);
		if (i > 1 && z->times[i - 1] <= z->times[i - 2])
			return false;
	}
	return true;
}

const struct zone *
zone_parse(struct span s, struct arena *a, char *err, size_t err_size)
{
	struct zone *z = arena_zalloc(a, 1, sizeof *z);
	struct block b;

	snprintf(err, err_size, "not the data of a time zone (TZif, version 2 or later)");
	if (z == NULL || !header_parse(s, 4, &b))
		return NULL;
	s = span_skip(s, HEADER + b.size);
	if (!header_parse(s, 8, &b) || !transitions_parse(s.p + HEADER, &b, a, z))
		return NULL;
	s = span_skip(s, HEADER + b.size);
	if (s.n < 2 || s.p[0] != '\n' || s.p[s.n - 1] != '\n')
		return NULL;
	return footer_parse((struct span){ s.p + 1, s.n - 2 }, z) ? z : NULL;
}

/* ---- the offset at a moment ---- */

/* Seconds since the epoch, were the zone at UTC. */
static int64_t
rule_moment(const struct rule *r, int year)
{
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	int64_t first, day;
	int weekday;

	if (r->form != RULE_WEEKDAY) {
		day = civil_days(year, 1, 1) + r->day;
		if (r->form == RULE_JULIAN)
			day += leap && r->day >= 60 ? 0 : -1;
		return day * 86400 + r->time;
	}
	first = civil_days(year, r->month, 1);
	weekday = (int)(((first + 4) % 7 + 7) % 7);	/* 0 is Sunday */
	day = first + (r->weekday - weekday + 7) % 7 + 7 * (r->week - 1);
	/* the fifth means the last */
	if (day >= (r->month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, r->month + 1, 1)))
		day -= 7;
	return day * 86400 + r->time;
}

static int32_t
offset_by_rules(const struct zone *z, int64_t seconds)
{
	struct civil local;
	int64_t begin, end;

	if (!z->dst)
		return z->std_offset;
	civil_of(seconds + z->std_offset, &local);
	begin = rule_moment(&z->begin, local.year) - z->std_offset;
	end = rule_moment(&z->end, local.year) - z->dst_offset;
	if (begin < end)
		return seconds >= begin && seconds < end ? z->dst_offset : z->std_offset;
	return seconds >= end && seconds < begin ? z->std_offset : z->dst_offset;
}

int32_t
zone_offset(const struct zone *z, int64_t seconds)
{
	size_t low = 0, high;

	if (z == NULL)
		return 0;
	if (z->footer && (z->n == 0 || seconds >= z->times[z->n - 1]))
		return offset_by_rules(z, seconds);
	for (high = z->n; low < high;) {
		size_t mid = low + (high - low) / 2;

		if (z->times[mid] <= seconds)
			low = mid + 1;
		else
			high = mid;
	}
	return z->offsets[low];
}

void
zone_local(const struct zone *z, int64_t seconds, struct civil *out)
{
	civil_of(seconds + zone_offset(z, seconds), out);
}
