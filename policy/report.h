/*
 * report.h - vulnerabilities of one image: reports of scanners read, exceptions and VEX applied, counted.
 *
 * Absence is never "clean": what a source does not say is told apart from what it says is none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REPORT_H
#define TW_REPORT_H

#include "arena.h"
#include "attr.h"
#include "policy.h"
#include "span.h"

#include <jansson.h>

enum report_severity { REPORT_UNKNOWN = 0, REPORT_NEGLIGIBLE, REPORT_LOW, REPORT_MEDIUM, REPORT_HIGH, REPORT_CRITICAL, REPORT_SEVERITIES };

#define REPORT_FINDINGS_MAX 200000u	/* more, and a report is refused (FAILED) */
#define REPORT_TEXT_MAX ((size_t)64 << 20)
#define REPORT_ARENA ((size_t)192 << 20)	/* an arena of this bound holds the largest one */

struct report_finding {
	struct span id;			/* CVE-2026-1234, GHSA-... as the scanner names it */
	struct span package, version, fix;	/* fix empty: none known */
	enum report_severity severity;
	int score;			/* CVSS times 10; -1: not told */
};
/*
 * package: when one finding is about several (ECR's enhanced ones), their names joined by commas; version is empty then.
 * A severity in no words that are known is that of the score (CVSS v3 bands); without one it counts as critical: what nobody has
 * rated is not taken for harmless, nor does it vanish.
 */

/* One report, as a source gave it. Spans live in the arena it was read into. */
struct report {
	enum report_status {
		REPORT_FAILED = 0,	/* not a report, or the source says that it failed: why */
		REPORT_PENDING,		/* it is being made: ask again */
		REPORT_ABSENT,		/* the source knows nothing of this image: unknown, not clean */
		REPORT_UNSUPPORTED,	/* it will never know: an image it cannot read */
		REPORT_HERE,
	} status;
	char why[160];
	char digest[72];		/* of the image that it is about, as the source says; "" not told */
	struct span scanner;		/* "Trivy 0.65.0" */
	struct span database;		/* its version or time; "" not told */
	int64_t at;			/* seconds since the epoch: when it was made; 0: not told */
	bool counts_only;		/* findings are not listed: `counts` is all there is */
	int64_t counts[REPORT_SEVERITIES], fixable_critical;	/* counts_only; -1: not told */
	struct report_finding *finding;
	size_t n;
	struct span next;		/* ECR, Defender: token of the next page; empty: this was the last one */
	/* ---- private ---- */
	size_t room, passed_over;	/* of `finding`; listed, but closed or of another image */
	int64_t told;			/* findings that the source counts; 0: it does not */
	bool healthy;			/* Defender: it was looked at, and found without */
};

/*
 * A document of the source's: text of up to REPORT_TEXT_MAX; *out zeroed before the first page. False only when out of memory: what is
 * wrong with it is a status.
 */
bool report_read_adapter(struct span text, struct arena *a, struct report *out) NONNULL(2, 3) WUNRES;	/* vuln.report 1.1, harbor+json 1.0 */
/* An artifact with scan_overview, or its additions/vulnerabilities. */
bool report_read_harbor(struct span text, struct arena *a, struct report *out) NONNULL(2, 3) WUNRES;
/* One page; findings are added to *out. */
bool report_read_ecr(struct span text, struct arena *a, struct report *out) NONNULL(2, 3) WUNRES;
/* One page of Resource Graph; rows of other images are passed over. Of the last one without any row: ABSENT. */
bool report_read_defender(struct span text, struct span registry, struct span repository, const char *digest, struct arena *a,
    struct report *out) NONNULL(4, 5, 6) WUNRES;

/* ---- what does not count ---- */
struct exemptions;	/* exceptions, OpenVEX and the list of known exploited ones. Immutable */
struct exemptions_source { const char *name; struct span text; };
/* NULL after messages "file:line: ..." in err. Each part may be empty. */
struct exemptions *exemptions_new(const struct exemptions_source *exceptions, const struct exemptions_source *vex, size_t n_vex,
    const struct exemptions_source *kev, char *err, size_t err_size) NONNULL(5) WUNRES;
void exemptions_free(struct exemptions *e);
const char *exemptions_hash(const struct exemptions *e) RETURNS_NONNULL NONNULL(1);	/* of all that went into it */

/* ---- what policy is told ---- */
/*
 * scan:Critical High Medium Low FixableCritical MaxCvss AgeHours Scanner Cves KevCount (and what is new in key.def) of several
 * reports about one image (or about the children of an index): the largest counts, lists united. At `now`: an exception that has
 * expired by then does not apply. `image`: upstream/repository, for exceptions of some repositories; digest: for VEX of products.
 * Rows are PRESENT, or UNKNOWN where a report does not say. False: out of memory.
 */
bool report_tell(const struct report *const *reports, size_t n, const struct exemptions *e, struct span image, const char *digest,
    int64_t now, struct arena *a, struct fact facts[static KEY_MAX]) NONNULL(1, 7, 8) WUNRES;

/* To be kept, and back: only what report_tell() reads. NULL: out of memory, or not what report_save() wrote. */
json_t *report_save(const struct report *r) NONNULL(1) WUNRES;
bool report_load(const json_t *j, struct arena *a, struct report *out) NONNULL(1, 2, 3) WUNRES;

#endif
