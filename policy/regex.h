/*
 * regex.h - bounded regular expressions (PCRE2): anchored at both ends, no more work than a limit allows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REGEX_H
#define TW_REGEX_H

#include "attr.h"
#include "span.h"

#define REGEX_SUBJECT_MAX 4096u		/* bytes of a value; a longer one is not judged */
#define REGEX_MATCH_LIMIT 10000u	/* PCRE2's match limit: some 30 us at worst */

struct regex;
enum regex_result {
	REGEX_NO = 0,
	REGEX_YES,
	REGEX_UNKNOWN,	/* too long, or a limit was hit */
};

/* Compile and put in front of *list. NULL with a reason; *bytes grows by what it takes. */
struct regex *regex_new(struct span pattern, struct regex **list, size_t *bytes, char *err, size_t err_size)
    NONNULL(2, 3, 4) WUNRES;
/* Whether it can take long: an unbounded repetition within another, so that a text has many ways to match. Told by its shape. */
bool regex_repeats_repetition(struct span pattern) PURE;
void regex_free_all(struct regex *list);

/* Whole s, thread-safe, without the heap as long as PCRE2 has its compiler to machine code. */
enum regex_result regex_match(const struct regex *x, struct span s) NONNULL(1) WUNRES;

#endif
