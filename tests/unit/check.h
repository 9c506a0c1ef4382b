/*
 * check.h - the whole unit test framework: CHECK() counts, check_done() reports.
 *
 * Each test program ends with one line "N passed, N failed" and exits non-zero when anything failed or nothing ran.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_CHECK_H
#define TW_TESTS_CHECK_H

#include <stdio.h>

#include "policy/attr.h"
#include "policy/span.h"

static int check_passed, check_failed;

static inline bool
check_report(bool ok, const char *file, int line, const char *text)
{
	if (ok)
		check_passed++;
	else {
		check_failed++;
		fprintf(stderr, "%s:%d: FAILED: %s\n", file, line, text);
	}
	return ok;
}

#define CHECK(x)		check_report(!!(x), __FILE__, __LINE__, #x)
/* with the name of the table row that failed */
#define CHECK_ROW(x, name)	(check_report(!!(x), __FILE__, __LINE__, #x) ? true : \
	(fprintf(stderr, "    in row: %s\n", (name)), false))

static inline int
check_done(void)
{
	printf("%d passed, %d failed\n", check_passed, check_failed);
	return check_failed > 0 || check_passed == 0;
}

#endif
