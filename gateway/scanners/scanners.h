/*
 * scanners.h - reports of vulnerability scanners fetched: Harbor's adapter API, Harbor, ECR, Defender for ACR.
 *
 * Each call is a small state machine on the courier's thread: errands and timers, nothing waits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCANNERS_H
#define TW_SCANNERS_H

#include "gateway/courier/courier.h"
#include "gateway/credentials/logins.h"
#include "gateway/setup.h"
#include "gateway/token/pass.h"
#include "policy/report.h"

struct scanners;
struct scanners *scanners_new(struct courier *c, struct logins *credentials) NONNULL(1, 2) WUNRES;
/* The courier has stopped. What is still under way ends here: done() is called on this thread, with REPORT_FAILED. NULL is fine. */
void scanners_free(struct scanners *s);

/* One report wanted of one scanner. Embedded; what it points to is borrowed until done(): exactly one call for each start. */
struct scanners_job {
	/* ---- the asker's ---- */
	struct setup *setup;			/* scanner and upstream are its */
	const struct config_scanner *scanner;
	const struct config_upstream *upstream;
	struct span repository, media_type;	/* of an image, never of an index */
	char digest[72];
	void (*done)(struct scanners_job *j);	/* on the courier's thread; once that has stopped, on any */
	/* ---- the answer ---- */
	struct report report;			/* in `arena` */
	struct arena *arena;			/* the asker's to free; NULL: out of memory */
	/* ---- private ---- */
	struct mail mail;
	void *state;
	_Atomic bool cancelled;
};
/* Any thread. */
void scanners_start(struct scanners *s, struct scanners_job *j) NONNULL(1, 2);
/* done() comes soon, with REPORT_FAILED unless it was on its way. Any thread. */
void scanners_cancel(struct scanners *s, struct scanners_job *j) NONNULL(1, 2);

#endif
