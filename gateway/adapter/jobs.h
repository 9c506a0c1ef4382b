/*
 * jobs.h - scans that were asked for: a bounded queue, threads that may wait, and reports kept for an hour.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADAPTER_JOBS_H
#define TW_ADAPTER_JOBS_H

#include "gateway/adapter/api.h"
#include "gateway/setup.h"

#define JOBS_WAITING_MAX 64u	/* more are refused */
#define JOBS_KEPT_MAX	 512u	/* with those that are over; the oldest of those is forgotten for a new one */
#define JOBS_KEPT_S	 3600	/* ... and each after so long */
#define JOB_ID		 33u	/* 128 random bits in hex, and NUL: nobody guesses another's */

struct jobs;
/* NULL when out of memory, or no thread can be started. */
struct jobs *jobs_start(unsigned threads) WUNRES;
/* What runs ends soon, what waits never begins; then no thread of it runs. NULL is fine. */
void jobs_free(struct jobs *j);

/* A reference to s is taken, and q is copied. False: too many wait (or there is no memory). */
bool jobs_add(struct jobs *j, struct setup *s, const struct api_request *q, char id[static JOB_ID]) NONNULL(1, 2, 3) WUNRES;

enum job_state { JOB_UNKNOWN = 0, JOB_RUNNING, JOB_DONE, JOB_FAILED };
/* DONE: *text is the report on the heap, the caller's; FAILED: *text is the reason. NULL text there: out of memory. */
enum job_state jobs_find(struct jobs *j, struct span id, char **text) NONNULL(1, 3) WUNRES;

#endif
