/*
 * parts.h - inside of evidence: subjects, the work on them, and the threads that do it.
 *
 *   evidence.c   questions, answers, what is kept in memory
 *   hands.c      threads: lanes of jobs, and the desk, where mail arrives and time passes
 *   gather.c     one kind of evidence about one digest, from what is kept or from the registry
 *   malware.c    each blob of an image once, wherever it is listed
 *   report.c     what all scanners of an upstream say
 *   keep.c       rows of the ledger's database
 *   reach.c      bytes from the registry
 *   outcome.c    what follows: events, blocks that end
 *
 * One lock, e->lock, guards what is marked (lock); sections are short and none calls out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_EVIDENCE_PARTS_H
#define TW_EVIDENCE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/evidence/blocks.h"
#include "gateway/evidence/exhibit.h"
#include "gateway/evidence/modules.h"
#include "gateway/fetch/pull.h"
#include "policy/manifest.h"

#define SUBJECT_BUCKETS	16384u		/* a power of two */
#define SUBJECTS_MAX	20000u		/* in memory; the least recently used goes */
#define SUBJECTS_BYTES	((size_t)256 << 20)
#define VERDICT_BUCKETS	16384u
#define VERDICTS_MAX	50000u		/* of blobs, in memory */
#define JOBS_MAX	20000u		/* waiting in all lanes; more are an ERROR at once */
#define LOOK_THREADS	8u		/* short fetches: manifests, configs, signatures; one dead registry does not take all */
#define REPORT_THREADS	8u		/* reports that are waited for at a time */
#define SCAN_BLOBS_MAX	4096u		/* of one image, with all its children; more are UNSCANNABLE */
#define TICK_US		20000		/* of the desk, while somebody waits */

/* Threads that do not wait for one another: a long scan holds up no signature. */
enum lane { LANE_LOOK = 0, LANE_SCAN, LANE_REPORT, LANE_MAX };

struct hand {			/* one thread */
	struct evidence *evidence;
	enum lane lane;
	pthread_t thread;
	bool started;
	struct puller *puller;
};

struct job {
	struct job *next;
	/* h is NULL when the gateway stops: end it at once. */
	void (*run)(struct job *j, struct hand *h);
};

/* Bytes that several jobs read. */
struct text {
	_Atomic unsigned refs;
	size_t n, type_n;
	char bytes[];		/* the manifest, and its media type behind it */
};

/* All that is known about one digest in one repository. */
struct subject {
	struct subject *next;		/* (lock) in its bucket */
	struct subject *newer, *older;	/* (lock) by use */
	char digest[LEDGER_DIGEST];
	struct span registry, repository;	/* in bytes[] */
	struct exhibit *of[EVIDENCE_KIND_MAX];	/* (lock) references */
	unsigned running;		/* (lock) kinds under way; it stays as long as there are any */
	unsigned lift;			/* (lock) its block ends with these kinds */
	struct evidence_ask *asks;	/* (lock) who waits */
	uint64_t seen[EVIDENCE_KIND_MAX];	/* (lock) the setup, by e->generation, that its exhibit is known to be good under */
	int64_t again[EVIDENCE_KIND_MAX];	/* (lock) seconds: not made anew ahead of time before */
	struct dossier *dossier;	/* (lock) of all that is good; NULL: to be made */
	size_t size;			/* (lock) of its exhibits */
	char bytes[];
};

struct blob_verdict;			/* malware.c: of one blob */
struct parts;

struct evidence {
	struct evidence_env env;
	struct scanners *scanners;	/* NULL: none can be asked */
	pthread_mutex_t lock;
	pthread_cond_t wake[LANE_MAX];	/* (lock) */
	pthread_cond_t answered;	/* (lock) somebody that a hand waits for has answered */
	struct job *first[LANE_MAX], **last[LANE_MAX];	/* (lock) */
	unsigned n_jobs, busy;		/* (lock) waiting; being done */
	struct hand *hands;
	unsigned n_hands;
	_Atomic bool stopping;
	bool closed;			/* (lock) no job is taken any more */
	struct setup *setup;		/* (lock) in force; a reference */
	uint64_t generation;		/* (lock) of it */
	struct subject *bucket[SUBJECT_BUCKETS];	/* (lock) */
	struct subject *newest, *oldest;	/* (lock) */
	unsigned n_subjects;		/* (lock) */
	struct evidence_ask *waiting;	/* (lock) */
	size_t subjects_size;		/* (lock) */
	struct blob_verdict *verdict[VERDICT_BUCKETS];	/* (lock) */
	struct blob_verdict *newest_verdict, *oldest_verdict;	/* (lock) */
	unsigned n_verdicts;		/* (lock) */
	/* the engine that proved itself last */
	pthread_mutex_t test_lock;
	struct setup *tested;		/* under test_lock: whose; a reference */
	bool fit;			/* under test_lock */
	uint64_t engine_version;	/* under test_lock: hash of what it calls itself */
	char unfit[256];		/* under test_lock: why */
	int64_t test_again;		/* under test_lock: seconds */
	/* the desk */
	struct event_base *base;
	struct mailbox *desk;
	struct event *tick, *pulse;
	pthread_t desk_thread;
	bool desk_started;
	_Atomic int64_t count[EVIDENCE_KIND_MAX][STATE_PASS + 1];
};

/* ---- hands.c ---- */
bool hands_start(struct evidence *e, unsigned scan_threads, char *err, size_t err_size) WUNRES;
/* No thread runs; jobs that waited are ended. */
void hands_stop(struct evidence *e);
void hands_free(struct evidence *e);
/* The lock is held. False: too many, or the gateway stops. */
bool job_put(struct evidence *e, enum lane lane, struct job *j) WUNRES;
/* Asks have deadlines from now on. The lock is held. */
void desk_wake(struct evidence *e);
int64_t monotonic_ms(void);

/* ---- reach.c ---- */
struct reach {			/* GETs of one repository, with the login there */
	struct hand *hand;
	struct setup *setup;
	const struct config_upstream *upstream;
	struct span repository;
	struct credential *credential;	/* a reference */
};
void reach_clear(struct reach *r);
/* A question for pull.h; path: behind the repository. */
void reach_ask(struct reach *r, struct pull_ask *q, const char *path, const char *digest, uint64_t size, uint64_t max);
/* All of "blobs/" or "manifests/" and the digest, checked. */
enum pull_outcome reach_get(struct reach *r, const char *what, struct span digest, uint64_t size, uint64_t max, struct arena *a,
    struct span *out, struct span *content_type, char *err, size_t err_size) WUNRES;

/* ---- gather.c ---- */
/* One kind of evidence about one subject, under way. */
struct gathering {
	struct job job;
	struct evidence *evidence;
	struct subject *subject;	/* stays as long as its bit of `running` is set */
	enum evidence_kind kind;
	struct setup *setup;		/* a reference; upstream is its */
	const struct config_upstream *upstream;
	struct text *text;		/* a reference; NULL: to be fetched */
	char version[72];		/* of what it will rest on */
	struct reach reach;
	struct arena *arena;		/* its own manifest, and lists */
	struct exhibit *good;		/* a reference: what was known before */
	bool ahead;			/* what is known is good, and will soon not be */
	struct parts *parts;		/* MALWARE: see malware.c */
};
/* What evidence of this kind rests on now: rules, scanners, trust. False: nothing is configured, nobody can say. */
bool version_of(const struct setup *s, const struct config_upstream *u, enum evidence_kind kind, char out[static 72]) WUNRES;
void gathering_run(struct job *j, struct hand *h);
/* Ends it with this exhibit (taken over; NULL: out of memory); g is freed. */
void gathering_end(struct gathering *g, struct exhibit *x);
/* What it ends with. NULL: out of memory. */
struct exhibit *gathering_fail(struct gathering *g, enum evidence_state state, const char *fmt, ...) PRINTF(3, 4);
/* The same for bytes that could not be had. */
struct exhibit *gathering_unreached(struct gathering *g, enum pull_outcome outcome, const char *what, const char *err);
struct exhibit *gathering_known(struct gathering *g, enum evidence_state state);
/* The subject's own manifest, in g->arena; false: *failed is what it ends with. */
bool gathering_manifest(struct gathering *g, struct manifest *m, struct exhibit **failed) WUNRES;
/* A child of an index, in the arena. */
bool gathering_child(struct gathering *g, const struct descriptor *d, struct arena *a, struct manifest *m, struct exhibit **failed) WUNRES;
/* A child that says something about another one and runs nowhere: an attestation, as buildkit makes them. */
bool child_attests(const struct descriptor *d);
/* Does the manifest say that its config is one of an image? */
bool config_is_image(const struct manifest *m);

/* ---- evidence.c ---- */
/* The gathering has ended: x is of its kind; taken over. */
void subject_learned(struct evidence *e, struct gathering *g, struct exhibit *x);
void evidence_expire(struct evidence *e, int64_t now_ms);
void text_unref(struct text *t);

/* ---- report.c ---- */
/* Asks scanners and waits for them. NULL: out of memory. */
struct exhibit *report_gather(struct gathering *g);

/* ---- malware.c ---- */
/* It goes on by itself, on other threads, and ends by gathering_end(). */
void malware_gather(struct gathering *g);
void verdicts_free(struct evidence *e);
/* Is the engine fit? Proves it when that was long ago. A thread that may wait. */
bool engine_ready(struct evidence *e, struct setup *s, char *err, size_t err_size);
/* Has it look again, when it is time. The desk. */
void engine_pulse(struct evidence *e);

/* ---- keep.c ---- */
/* One operation to its answer; a thread that may wait. */
void keep_ask(struct evidence *e, struct ledger_op *op);
struct exhibit *keep_find(struct evidence *e, const struct subject *s, enum evidence_kind kind);
void keep_put(struct evidence *e, const struct subject *s, const struct exhibit *x);

/* ---- outcome.c ---- */
/* An exhibit that is new: counted, recorded. */
void outcome_tell(struct gathering *g, const struct exhibit *x);
/* None of the kinds that its block waits for is under way: it ends, becomes FAILED, or is tried again. The lock is held. */
void outcome_lift_known(struct evidence *e, struct subject *s, struct setup *setup, const struct config_upstream *u);
/* Blocks that wait for evidence: it is asked for again. */
void outcome_resume(struct evidence *e);
void outcome_engine(struct evidence *e, bool fit, const char *why);

#endif
