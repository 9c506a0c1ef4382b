/*
 * test_zone.c - time zones: the C library, told the same rule, is the second opinion; and data that must not be read.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <time.h>

#include "policy/zone.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

#define HOUR 3600
#define YEAR (365 * 24 * (int64_t)HOUR)

static const char *const rules[] = {
	"UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "IST-5:30", "<+14>-14", "<-1130>11:30:15",
	"AEST-10AEDT,M10.1.0,M4.1.0/3",			/* south: summer goes over the new year */
	"IST-1GMT0,M10.5.0,M3.5.0/1",			/* Ireland: its winter is the exception */
	"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",		/* Greenland, hours before midnight */
	"XST3XDT,J60/0,J300/24:30", "XST3XDT,59,300/1:30:15", "XST-3XDT-4:30,J32,J334/25", "XST0XDT,0/0,364",
};

static void
test_rules(void)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		struct arena *a = arena_new(1 << 16);
		char buf[512], err[256] = "";
		const struct zone *z = zone_parse(reads_tzif(rules[i], buf, sizeof buf), a, err, sizeof err);
		unsigned wrong = 0;

		setenv("TZ", rules[i], 1);
		tzset();
		/* every 97 minutes of nine years, which end in one with a leap day */
		for (int64_t t = 50 * YEAR; z != NULL && t < 59 * YEAR; t += 97 * 60) {
			time_t at = (time_t)t;
			struct civil mine;
			struct tm libc;

			localtime_r(&at, &libc);
			zone_local(z, t, &mine);
			wrong += zone_offset(z, t) != libc.tm_gmtoff || mine.hour != libc.tm_hour || mine.minute != libc.tm_min;
		}
		if (!CHECK_ROW(z != NULL && wrong == 0, rules[i]))
			fprintf(stderr, "    %u wrong %s\n", wrong, err);
		arena_free(a);
	}
}

/* A zone with a past: two transitions, the older type first, and a rule for what comes after. */
static struct span
with_past(char *buf, const char *rule, int64_t first, int64_t second, unsigned type)
{
	char *at = buf;

	memset(buf, 0, 512);
	memcpy(at, "TZif2", 5);
	at[39] = 1;		/* version 1's block: one type, one byte of names */
	at[43] = 1;
	at += 44 + 6 + 1;
	memcpy(at, "TZif2", 5);
	at[35] = 2;		/* transitions */
	at[39] = 2;		/* types */
	at[43] = 1;
	at += 44;
	for (int i = 0; i < 8; i++) {
		at[i] = (char)(first >> (56 - 8 * i));
		at[8 + i] = (char)(second >> (56 - 8 * i));
	}
	at += 16;
	*at++ = 1;
	*at++ = (char)type;
	at[2] = 0x0e;		/* 3600 */
	at[3] = 0x10;
	at[8] = 0x1c;		/* 7200 */
	at[9] = 0x20;
	at += 12 + 1;
	at += snprintf(at, 64, "\n%s\n", rule);
	return (struct span){ buf, (size_t)(at - buf) };
}

static void
past(const char *name, int64_t first, int64_t second, unsigned type, const char *rule, bool ok)
{
	struct arena *a = arena_new(1 << 16);
	char buf[512], err[256] = "";
	const struct zone *z = zone_parse(with_past(buf, rule, first, second, type), a, err, sizeof err);

	CHECK_ROW((z != NULL) == ok, name);
	if (z != NULL) {
		CHECK_ROW(zone_offset(z, first - 1) == 3600, name);
		CHECK_ROW(zone_offset(z, first) == 7200 && zone_offset(z, second - 1) == 7200, name);
		CHECK_ROW(zone_offset(z, second) == (rule[0] == '\0' ? 3600 : 5 * HOUR), name);
	}
	arena_free(a);
}

static void
test_broken(void)
{
	char buf[512], copy[512];
	struct span whole = with_past(buf, "XST-5", 1000, 2000, 0);

	for (size_t n = 0; n < whole.n; n++) {
		struct arena *a = arena_new(1 << 16);
		char err[256] = "";

		memcpy(copy, whole.p, n);
		CHECK(zone_parse((struct span){ copy, n }, a, err, sizeof err) == NULL && err[0] != '\0');
		arena_free(a);
	}
}

static void
test_bad_rules(void)
{
	static const char *const bad[] = { "X-1", "<X-1", "CET", "CET-25", "CET-1:60", "CET-1CEST", "CET-1CEST,M0.1.0,M1.1.0",
		"CET-1CEST,M13.1.0,M1.1.0", "CET-1CEST,M3.6.0,M1.1.0", "CET-1CEST,M3.0.0,M1.1.0", "CET-1CEST,M3.1.7,M1.1.0",
		"CET-1CEST,J0,J5", "CET-1CEST,J366,J5", "CET-1CEST,366,5", "CET-1CEST,M3.1.0", "CET-1CEST,M3.1.0/168,M1.1.0",
		"CET-1CEST,M3.1.0,M1.1.0x", "CET-1CEST-25,M3.1.0,M1.1.0", "CET-1C,M3.1.0,M1.1.0", "CET-1CEST,M3.1,M1.1.0" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct arena *a = arena_new(1 << 16);
		char buf[512], err[256] = "";

		CHECK_ROW(zone_parse(reads_tzif(bad[i], buf, sizeof buf), a, err, sizeof err) == NULL && err[0] != '\0', bad[i]);
		arena_free(a);
	}
}

static void
test_names(void)
{
	static const char *const good[] = { "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3" };
	static const char *const bad[] = { "", "/etc/passwd", "../x", "Europe/../x", "Europe//Berlin", "Europe/", "Eu rope", "a.b" };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_ROW(zone_name_ok(span_of(good[i])), good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ROW(!zone_name_ok(span_of(bad[i])), bad[i]);
	CHECK(zone_offset(NULL, 1000) == 0);
}

int
main(void)
{
	test_rules();
	past("two transitions, then a rule", 1000, 2000, 0, "XST-5", true);
	past("no rule behind them", 1000, 2000, 0, "", true);
	past("before 1970", -5000, -4000, 0, "XST-5", true);
	past("not in order", 2000, 1000, 0, "XST-5", false);
	past("twice the same", 1000, 1000, 0, "XST-5", false);
	past("a type that is not there", 1000, 2000, 2, "XST-5", false);
	test_broken();
	test_bad_rules();
	test_names();
	return check_done();
}
