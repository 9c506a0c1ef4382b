/*
 * scalar.h - numbers, dates and versions as policies compare them. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCALAR_H
#define TW_SCALAR_H

#include "attr.h"
#include "span.h"

/* whole + nano / 10^9, nano never negative: -0.5 is { -1, 500000000 }. A date is seconds since the epoch. */
struct number {
	int64_t whole;
	uint32_t nano;
};
/* Strict decimal: [-]digits[.digits], at most nine behind the point. No sign +, no exponent, no blank. */
bool number_parse(struct span s, struct number *out) NONNULL(2) WUNRES;
/* RFC 3339 with its zone ("2026-12-18T17:00:00Z", "...+01:00"), or a number of seconds since the epoch. */
bool date_parse(struct span s, struct number *out) NONNULL(2) WUNRES;
/* < 0, 0, > 0 */
int number_compare(const struct number *a, const struct number *b) NONNULL(1, 2) PURE;

#define VERSION_PARTS	8u
struct version {
	uint32_t part[VERSION_PARTS];	/* missing ones are 0: 24 is 24.0 */
};
/* Numbers joined by dots, at most eight of at most nine digits, and nothing else. */
bool version_parse(struct span s, struct version *out) NONNULL(2) WUNRES;
int version_compare(const struct version *a, const struct version *b) NONNULL(1, 2) PURE;

/* A point in time on a calendar and a clock. */
struct civil {
	int year, month, day;		/* 1-12, 1-31 */
	int hour, minute, second;
	int weekday;			/* 0 is Monday */
};
#define CIVIL_MAX	253402300799	/* the end of the year 9999 */
/* Of seconds since the epoch (UTC); |seconds| <= CIVIL_MAX. */
void civil_of(int64_t seconds, struct civil *out) NONNULL(2);
/* Days since the epoch of a date of the Gregorian calendar. */
int64_t civil_days(int year, int month, int day);

#endif
