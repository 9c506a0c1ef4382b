/*
 * rules.h - YARA rules: compiled once, used by many threads, each with a matcher of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCAN_RULES_H
#define TW_SCAN_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/attr.h"

#define RULES_WINDOW  (16u << 20)	/* bytes of a file that are looked at together */
#define RULES_OVERLAP (64u << 10)	/* ... and once more with those behind: what is longer than this may be cut in two */

struct rules;

/*
 * Files by glob patterns: what malware[] match is malware, what secrets[] match is a secret. NULL after messages in err, a line
 * each: "file:line: ...". No rule may include another file.
 */
struct rules *rules_new(char *const *malware, size_t n_malware, char *const *secrets, size_t n_secrets, char *err, size_t err_size)
    NONNULL(5) WUNRES;
void rules_free(struct rules *r);
/* "yara:4.2.3:<SHA-256 of all files, in order>". */
const char *rules_version(const struct rules *r) RETURNS_NONNULL NONNULL(1);

/* A rule matched. */
typedef void rules_found(void *ctx, bool secret, const char *rule);

enum rules_end { RULES_FAILED = 0, RULES_SLOW, RULES_OK };	/* SLOW: a rule takes too long, or matches too often */

struct matcher;
struct matcher *matcher_new(const struct rules *r, rules_found *found, void *ctx) NONNULL(1, 2) WUNRES;
void matcher_free(struct matcher *m);
/* Files, one after the other. */
void matcher_begin(struct matcher *m) NONNULL(1);
enum rules_end matcher_put(struct matcher *m, const char *p, size_t n) NONNULL(1) WUNRES;
enum rules_end matcher_end(struct matcher *m) NONNULL(1) WUNRES;

#endif
