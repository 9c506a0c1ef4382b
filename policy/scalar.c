/*
 * scalar.c - see scalar.h.
 * Invariant: a text is read whole or not at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/scalar.h"

#define NANO	1000000000u

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at the start of s; false when there are none or the number does not fit. */
static bool
take_digits(struct span *s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; i < s->n && is_digit(s->p[i]); i++) {
		uint64_t digit = (uint64_t)(s->p[i] - '0');

		if (n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*s = span_skip(*s, i);
	*out = n;
	return i > 0;
}

static bool
take(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* ".digits" at the start of s, in nanos; nothing there is 0. */
static bool
take_fraction(struct span *s, uint32_t *nano)
{
	uint32_t unit = NANO / 10;

	*nano = 0;
	if (!take(s, '.'))
		return true;
	if (s->n == 0 || !is_digit(s->p[0]))
		return false;
	for (; s->n > 0 && is_digit(s->p[0]); *s = span_skip(*s, 1), unit /= 10) {
		if (unit == 0)
			return false;
		*nano += unit * (uint32_t)(s->p[0] - '0');
	}
	return true;
}

bool
number_parse(struct span s, struct number *out)
{
	bool negative = take(&s, '-');
	uint64_t whole;
	uint32_t nano;

	if (!take_digits(&s, (uint64_t)INT64_MAX, &whole) || !take_fraction(&s, &nano) || s.n > 0)
		return false;
	*out = (struct number){ (int64_t)whole, nano };
	if (negative)
		*out = nano == 0 ? (struct number){ -(int64_t)whole, 0 } :
				   (struct number){ -(int64_t)whole - 1, NANO - nano };
	return true;
}

int
number_compare(const struct number *a, const struct number *b)
{
	if (a->whole != b->whole)
		return a->whole < b->whole ? -1 : 1;
	return a->nano < b->nano ? -1 : a->nano > b->nano;
}

/* ---- dates ---- */

int64_t
civil_days(int year, int month, int day)
{
	/* years begin in March, so that the leap day is the last of a year; eras of 400 years are alike */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void
civil_of(int64_t seconds, struct civil *out)
{
	int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
	int second = (int)(seconds - days * 86400);
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;

	out->day = (int)(of_year - (153 * m + 2) / 5 + 1);
	out->month = (int)(m < 10 ? m + 3 : m - 9);
	out->year = (int)(y + era * 400) + (out->month <= 2);
	out->hour = second / 3600;
	out->minute = second / 60 % 60;
	out->second = second % 60;
	out->weekday = (int)(((days + 3) % 7 + 7) % 7);	/* 1 January 1970 was a Thursday */
}

static int
days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* Exactly n digits; -1 when they are not there. */
static int
fixed(struct span *s, unsigned n)
{
	int value = 0;

	if (s->n < n)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		if (!is_digit(s->p[i]))
			return -1;
		value = value * 10 + (s->p[i] - '0');
	}
	*s = span_skip(*s, n);
	return value;
}

/* "Z" or "+01:00", and nothing behind it; in seconds. */
static bool
offset_parse(struct span s, int *offset)
{
	int sign, hour, minute;

	*offset = 0;
	if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z'))
		return true;
	sign = take(&s, '+') ? 1 : take(&s, '-') ? -1 : 0;
	hour = fixed(&s, 2);
	if (sign == 0 || !take(&s, ':'))
		return false;
	minute = fixed(&s, 2);
	*offset = sign * (hour * 3600 + minute * 60);
	return s.n == 0 && hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

static bool
rfc3339_parse(struct span s, struct number *out)
{
	int year = fixed(&s, 4), month, day, hour, minute, second, offset;

	if (year < 0 || !take(&s, '-'))
		return false;
	month = fixed(&s, 2);
	if (month < 1 || month > 12 || !take(&s, '-'))
		return false;
	day = fixed(&s, 2);
	if (day < 1 || day > days_of_month(year, month) || !(take(&s, 'T') || take(&s, 't')))
		return false;
	hour = fixed(&s, 2);
	if (hour < 0 || hour > 23 || !take(&s, ':'))
		return false;
	minute = fixed(&s, 2);
	if (minute < 0 || minute > 59 || !take(&s, ':'))
		return false;
	second = fixed(&s, 2);
	if (second < 0 || second > 60 || !take_fraction(&s, &out->nano) || !offset_parse(s, &offset))
		return false;
	out->whole = civil_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
	return true;
}

bool
date_parse(struct span s, struct number *out)
{
	return number_parse(s, out) || rfc3339_parse(s, out);
}

/* ---- versions ---- */

bool
version_parse(struct span s, struct version *out)
{
	*out = (struct version){ { 0 } };
	for (unsigned i = 0; i < VERSION_PARTS; i++) {
		uint64_t part;

		if (!take_digits(&s, 999999999, &part))
			return false;
		out->part[i] = (uint32_t)part;
		if (s.n == 0)
			return true;
		if (!take(&s, '.'))
			return false;
	}
	return false;
}

int
version_compare(const struct version *a, const struct version *b)
{
	for (unsigned i = 0; i < VERSION_PARTS; i++)
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	return 0;
}
