/*
 * window.c - see window.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/window.h"

#define DAY (24 * 60)

static bool
take(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* -1: none. */
static int
take_day(struct span *s)
{
	static const char names[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };

	for (int i = 0; i < 7; i++) {
		if (span_starts(*s, span_of(names[i]))) {
			*s = span_skip(*s, 3);
			return i;
		}
	}
	return -1;
}

static bool
take_days(struct span *s, uint8_t *days)
{
	*days = 0;
	do {
		int from = take_day(s), to = from;

		if (take(s, '-'))
			to = take_day(s);
		if (from < 0 || to < 0)
			return false;
		*days |= (uint8_t)(1u << to);
		for (int d = from; d != to; d = (d + 1) % 7)
			*days |= (uint8_t)(1u << d);
	} while (take(s, ','));
	return true;
}

/* "08:00" in minutes; -1: none. */
static int
take_time(struct span *s)
{
	int minutes;

	if (s->n < 5 || s->p[2] != ':')
		return -1;
	for (size_t i = 0; i < 5; i++)
		if (i != 2 && (s->p[i] < '0' || s->p[i] > '9'))
			return -1;
	minutes = ((s->p[0] - '0') * 10 + s->p[1] - '0') * 60 + (s->p[3] - '0') * 10 + s->p[4] - '0';
	if (s->p[3] > '5' || minutes > DAY)
		return -1;
	*s = span_skip(*s, 5);
	return minutes;
}

bool
window_parse(struct span s, struct window *out, const char **why)
{
	int start, end;

	*why = "a window is days, hours or both: \"Mon-Fri 08:00-18:00\", \"22:00-06:00\", \"Sat,Sun\"";
	*out = (struct window){ .days = 0x7f, .start = 0, .end = DAY };
	if (s.n > 0 && !(s.p[0] >= '0' && s.p[0] <= '9')) {
		if (!take_days(&s, &out->days))
			return false;
		if (s.n == 0)
			return true;
		if (!take(&s, ' '))
			return false;
	}
	start = take_time(&s);
	if (start < 0 || start == DAY || !take(&s, '-'))
		return false;
	end = take_time(&s);
	if (end < 0 || s.n > 0)
		return false;
	if (start == end) {
		*why = "a window that begins when it ends: leave the hours out for the whole day";
		return false;
	}
	out->start = (uint16_t)start;
	out->end = (uint16_t)end;
	return true;
}

bool
window_contains(const struct window *w, const struct civil *local)
{
	unsigned today = (unsigned)local->weekday, yesterday = (today + 6) % 7;
	int minute = local->hour * 60 + local->minute;
	bool begins = w->days >> today & 1u;

	if (w->start < w->end)
		return begins && minute >= w->start && minute < w->end;
	return (begins && minute >= w->start) || ((w->days >> yesterday & 1u) && minute < w->end);
}
