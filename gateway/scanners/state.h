/*
 * state.h - one job of the scanners on its way. Inside of scanners; the courier's thread only.
 *
 * A source is functions that each end with exactly one of: state_call(), state_pause(), state_login(), state_read() or state_end().
 * What was asked for there comes back in the function that was given along.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCANNERS_STATE_H
#define TW_SCANNERS_STATE_H

#include <pthread.h>

#include "gateway/scanners/scanners.h"

#define STATE_FIELDS	 10u
#define STATE_PAGE_MAX	 ((size_t)16 << 20)	/* an answer that is not a whole report */
#define STATE_CALL_MS	 30000u			/* for one call that is not a report */
#define STATE_TRIES	 5u			/* of one call, in a row */
#define STATE_POLL_MS	 1000			/* first pause between two looks; it grows */
#define STATE_POLL_MAX_MS 30000

struct scanner_facts;	/* what its metadata says: adapter.c */

struct scan_state {
	struct scan_state *next, **at;
	struct scanners *owner;
	struct scanners_job *job;
	struct arena *scratch;		/* texts of calls; freed with the state */
	void (*then)(struct scan_state *st);
	bool over;			/* cancelled, or the gateway stops: it ends as soon as nothing is under way */
	int64_t deadline;		/* monotonic ms */
	/* a call */
	struct errand errand;
	bool flying;
	const char *fields[STATE_FIELDS + 1];
	unsigned n_fields;
	unsigned failures;		/* of this call in a row */
	/* a pause */
	struct event *timer;
	/* a login */
	struct login_wait *login;	/* under way */
	struct credential *credential;	/* the last; a reference */
	char login_why[200];
	/* a document */
	bool (*read)(struct scan_state *st);
	bool reading, read_ok;
	pthread_t reader;
	struct mail read_mail;
	/* ---- the sources' own ---- */
	struct span id;			/* adapter: of the scan */
	unsigned submitted, polls, pages;
	bool triggered, anew;
	struct report counted;		/* harbor: by its overview */
};

/* ---- sources ---- */
void adapter_begin(struct scan_state *st) NONNULL(1);
void harbor_begin(struct scan_state *st) NONNULL(1);
void ecr_begin(struct scan_state *st) NONNULL(1);
void defender_begin(struct scan_state *st) NONNULL(1);

/* ---- what they are made of ---- */
/* A field of the next call. Texts live in scratch. */
void state_field(struct scan_state *st, const char *name, struct span value) NONNULL(1, 2);
/*
 * method NULL: GET, or POST with a body. url p == NULL: out of memory. The answer is st->errand until the next call. Fields are
 * forgotten with it. `whole`: it may take all of the time that is left, and be REPORT_TEXT_MAX long.
 */
void state_call(struct scan_state *st, const char *method, struct span url, struct span body, bool whole,
    void (*then)(struct scan_state *st)) NONNULL(1, 6);
/* A while later; ends the job when that would be behind its deadline. */
void state_pause(struct scan_state *st, int64_t ms, void (*then)(struct scan_state *st)) NONNULL(1, 3);
/* The next look at something that takes its time. */
void state_poll(struct scan_state *st, void (*then)(struct scan_state *st)) NONNULL(1, 2);
/*
 * The call came to nothing, for now: after a pause `again`, as often as STATE_TRIES allows; then the job ends. False: the answer
 * is one to look at, and nothing was asked for.
 */
bool state_retry(struct scan_state *st, const char *whose, void (*again)(struct scan_state *st)) NONNULL(1, 2, 3) WUNRES;
/* st->credential for a scope of the upstream's login; NULL then: st->login_why. */
void state_login(struct scan_state *st, const char *scope, bool anew, void (*then)(struct scan_state *st)) NONNULL(1, 2, 4);
/* st->read() of the answer, into job->report; st->read_ok false: out of memory. A long one on a thread of its own. */
void state_read(struct scan_state *st, bool (*read)(struct scan_state *st), void (*then)(struct scan_state *st)) NONNULL(1, 2, 3);
/* done(). st is gone. */
void state_end(struct scan_state *st) NONNULL(1);
/* The report is none: then state_end(). */
void state_fail(struct scan_state *st, enum report_status status, const char *fmt, ...) NONNULL(1, 3) PRINTF(3, 4);
/* "whose answered 500: message", with {"error":{"message"}}, {"errors":[{"message"}]} or {"message"} of the answer. */
void state_fail_answer(struct scan_state *st, enum report_status status, const char *whose) NONNULL(1, 3);

/* The answer's body. */
struct span state_answer(const struct scan_state *st) NONNULL(1);
/* What the report says it is about is what was asked for; then it is said there. False after state_fail(). */
bool state_is_ours(struct scan_state *st) NONNULL(1) WUNRES;
int64_t state_now_ms(void);

/* What belongs to all jobs: adapter.c keeps there what scanners say of themselves. */
struct scanner_facts **state_facts(struct scan_state *st) RETURNS_NONNULL NONNULL(1);
void scanner_facts_free(struct scanner_facts *f);
struct courier *state_courier(struct scan_state *st) RETURNS_NONNULL NONNULL(1);

#endif
