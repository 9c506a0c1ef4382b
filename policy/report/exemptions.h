/*
 * exemptions.h - what a finding may be exempt by. Between the files of this folder.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REPORT_EXEMPTIONS_H
#define TW_REPORT_EXEMPTIONS_H

#include "policy/compiled.h"
#include "policy/report/part.h"

#define EXCEPTIONS_MAX	10000u
#define STATEMENTS_MAX	100000u	/* rows of vex: a name of a vulnerability and a product each */
#define KEV_MAX		100000u

struct exception {
	struct span cve;
	const struct span *images, *packages;
	size_t n_images, n_packages;	/* 0: all */
	int64_t expires;		/* from then on it does not apply */
};

/* One name of a vulnerability in one product (or all of its parts), as a statement of OpenVEX has it. */
struct vex_row {
	struct span name;
	struct span repository;		/* "upstream/repository"; empty: `digest` says which */
	char digest[72];		/* "": `repository` says which */
	const struct vex_part *parts;
	size_t n_parts;			/* 0: all of the image */
	bool exempt;			/* not_affected or fixed; else it is affected, or being looked at */
	int64_t at;
};
struct vex_part {
	struct span name, version;	/* version empty: all */
};

struct exemptions {
	struct arena *arena;
	struct exception *exceptions;	/* by cve */
	struct vex_row *vex;		/* by name */
	struct span *kev;		/* sorted */
	size_t n_exceptions, n_vex, vex_room, n_kev;
	bool has_kev;			/* there is a list */
	char hash[72];
};

/* A document being read. */
struct exemption_reader {
	struct exemptions *e;
	const struct exemptions_source *source;
	char *err;
	size_t err_size, used;
	unsigned problems;
	bool no_memory;
};
void exemption_problem(struct exemption_reader *r, const struct place *at, const char *fmt, ...) NONNULL(1, 2, 3) PRINTF(3, 4);
/* The object of the source; NULL after a problem. */
json_t *exemption_document(struct exemption_reader *r, const char *const *known, size_t n, bool only_known) NONNULL(1, 2) WUNRES;
/* Are its members spelled as they should be, and, with only_known, no others? False after a problem. */
bool exemption_members(struct exemption_reader *r, const struct place *at, const json_t *o, const char *const *known, size_t n,
    bool only_known) NONNULL(1, 2, 4) WUNRES;
/* A copy of a text that is not empty; {NULL,0} after a problem. */
struct span exemption_text(struct exemption_reader *r, const struct place *at, const json_t *o, const char *name) NONNULL(1, 2, 4) WUNRES;
/* RFC 3339. False after a problem. */
bool exemption_time(struct exemption_reader *r, const struct place *at, const json_t *o, const char *name, int64_t *out)
    NONNULL(1, 2, 4, 5) WUNRES;

/* Add the statements of a document, unsorted; they are sorted at the end. */
void vex_read(struct exemption_reader *r) NONNULL(1);
void vex_sort(struct exemptions *e) NONNULL(1);

struct exemption_ask {
	struct span image;
	const char *digests[2];		/* "" or NULL: not told */
	int64_t now;
};
/* Does it count? */
bool exemptions_cover(const struct exemptions *e, const struct report_finding *f, const struct exemption_ask *q) NONNULL(1, 2, 3) PURE;
bool vex_covers(const struct exemptions *e, const struct report_finding *f, const struct exemption_ask *q) NONNULL(1, 2, 3) PURE;
bool exemptions_kev(const struct exemptions *e, struct span id) NONNULL(1) PURE;
/* memcmp() of texts, the shorter one first. */
int exemption_compare(struct span a, struct span b) PURE;

#endif
