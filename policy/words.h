/*
 * words.h - statements and conditions in words, for tools that explain to people. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_WORDS_H
#define TW_WORDS_H

#include "policy/policy.h"

/* "jwt:ref is refs/heads/main". A JSON string; at most 8 values of 256 bytes each. */
json_t *condition_words(const struct atom *atom) NONNULL(1) WUNRES;
/* {"op","key","want":[...],"words"} */
json_t *condition_json(const struct atom *atom) NONNULL(1) WUNRES;
/*
 * Why a statement does not match a request: an array of one text for each part of it that is not certainly met. Empty
 * when it matches.
 */
json_t *statement_misses(const struct policy *p, const struct policy_request *r, const struct statement *s)
    NONNULL(1, 2, 3) WUNRES;

#endif
