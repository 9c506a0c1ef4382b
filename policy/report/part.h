/*
 * part.h - what the readers of reports share. Between the files of this folder.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REPORT_PART_H
#define TW_REPORT_PART_H

#include "policy/json.h"
#include "policy/json_walk.h"
#include "policy/report.h"

#define PART_DEPTH	32u
#define PART_VALUE_MAX	((size_t)1 << 20)	/* one finding, or one member that is not a list of them */
#define PART_COUNT(a)	(sizeof(a) / sizeof((a)[0]))

struct report_reader {
	struct arena *arena;
	struct report *out;
};

/* The report is none: out->status and why; what was read of it is gone. Always false. */
bool part_fail(struct report_reader *p, enum report_status status, const char *fmt, ...) NONNULL(1, 3) PRINTF(3, 4);
/* False only when memory is over: what the public readers return. */
bool part_done(struct report_reader *p) NONNULL(1);

/* A value read strictly; NULL after part_fail(). `what` names it. */
json_t *part_value(struct report_reader *p, struct span text, const char *what) NONNULL(1, 3) WUNRES;
/* An object, with none of its members named like one of `known` but for case. NULL after part_fail(). */
json_t *part_object(struct report_reader *p, struct span text, const char *what, const char *const *known, size_t n)
    NONNULL(1, 3, 4) WUNRES;
/* The same of one that is read already. False after part_fail(). */
bool part_is_object(struct report_reader *p, const json_t *o, const char *what, const char *const *known, size_t n) NONNULL(1, 3, 4) WUNRES;
/*
 * Which of `known` (at most 32) is this member of an object that is walked? -1: none, and its value was read over. -2 after
 * part_fail(): a variant of one, one twice (*seen), or a value that is no JSON.
 */
int part_member(struct report_reader *p, const char *key, struct span value, const char *const *known, size_t n, uint32_t *seen)
    NONNULL(1, 2, 4, 6) WUNRES;
/* What json_walk.h does not look at: is a name plain ASCII, which all of the formats are? False after part_fail(). */
bool part_plain_name(struct report_reader *p, const char *key) NONNULL(1, 2) WUNRES;
/* Behind the last member. False after part_fail(). */
bool part_end(struct report_reader *p, const struct json_walk *w, const char *what) NONNULL(1, 2, 3) WUNRES;

/*
 * A member that is a text without control characters: copied; absent or null: empty. False after part_fail() for another type,
 * or when memory is over.
 */
bool part_text(struct report_reader *p, const json_t *o, const char *name, struct span *out) NONNULL(1, 3, 4) WUNRES;
/* Join by ", " or the like: only what is new. */
bool part_join(struct report_reader *p, struct span *list, struct span more, const char *by) NONNULL(1, 2, 4) WUNRES;
/* Times of JSON: RFC 3339, or a number of seconds. 0: none. */
int64_t part_time(const json_t *v) PURE;
/* CVSS of a number, or of a text with one: times 10, rounded up. -1: null or absent. -2: none from 0 to 10. */
int part_score(const json_t *v) PURE;
/* In whatever words; UNKNOWN for all others. */
enum report_severity part_severity(struct span word) PURE;
/* What a CVSS score makes of it (FIRST, CVSS v3.1 section 5). UNKNOWN: of none. */
enum report_severity part_severity_of_score(int score) PURE;
/* out->digest from a text that is one. False after part_fail(): it is none, or another one than before. */
bool part_digest(struct report_reader *p, struct span digest) NONNULL(1) WUNRES;

/* One more. False after part_fail(), or when memory is over. */
bool part_add(struct report_reader *p, const struct report_finding *f) NONNULL(1, 2) WUNRES;

/* An adapter's report, wherever it stands. False after part_fail(). */
bool part_adapter_report(struct report_reader *p, struct span text) NONNULL(1);

#endif
