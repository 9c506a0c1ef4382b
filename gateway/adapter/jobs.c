/*
 * jobs.c - a table of jobs behind one lock, and threads that take from it.
 *
 * A job is in the list from jobs_add() until it is forgotten: waiting, running, over. Only one that is over is forgotten.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/adapter/jobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "gateway/adapter/look.h"
#include "gateway/evidence/modules.h"
#include "gateway/log.h"

#define REQUEST_MEMORY (2 * API_REQUEST_MAX)
#define THREADS_MAX    64u

struct scan_job {
	struct scan_job *next;
	char id[JOB_ID];
	enum job_state state;
	bool taken;
	struct setup *setup;		/* a reference, until it is over */
	struct arena *arena;		/* ... and the request in it */
	struct api_request request;
	char *text;			/* over: the report, or why there is none */
	int64_t over;			/* monotonic s */
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct scan_job *first, **end;	/* (lock) oldest first */
	unsigned n, n_waiting;		/* (lock) */
	_Atomic bool stopping;
	pthread_t thread[THREADS_MAX];
	unsigned n_threads;
};

static int64_t
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- one job ---- */

static void
end_of_work(struct scan_job *s)
{
	setup_unref(s->setup);
	arena_free(s->arena);
	s->setup = NULL;
	s->arena = NULL;
	memset(&s->request, 0, sizeof s->request);
}

static void
job_free(struct scan_job *s)
{
	end_of_work(s);
	free(s->text);
	free(s);
}

static void
work(struct jobs *j, struct scan_job *s, struct puller *p)
{
	const struct config *c = s->setup->config;
	struct api_report report = { .at = 0 };
	char err[256] = "out of memory", *text = NULL;
	size_t n;

	if (look_through(c, p, &s->request, &j->stopping, &report, err, sizeof err)) {
		text = api_report_text(&report, module_engine_version(module_engine(c)), &n);
		if (text == NULL)
			snprintf(err, sizeof err, "out of memory");
	}
	if (text == NULL)
		log_warn("msg=the adapter could not look through %.*s@%.*s: %s", SPAN_FMT(s->request.repository), SPAN_FMT(s->request.digest), err);
	api_report_clear(&report);
	end_of_work(s);
	pthread_mutex_lock(&j->lock);
	s->state = text == NULL ? JOB_FAILED : JOB_DONE;
	s->text = text == NULL ? strdup(err) : text;
	s->over = now_s();
	pthread_mutex_unlock(&j->lock);
}

static struct scan_job *
take(struct jobs *j)
{
	struct scan_job *s = NULL;

	pthread_mutex_lock(&j->lock);
	while (j->n_waiting == 0 && !atomic_load(&j->stopping))
		pthread_cond_wait(&j->more, &j->lock);
	for (s = atomic_load(&j->stopping) ? NULL : j->first; s != NULL && s->taken; s = s->next)
		;
	if (s != NULL) {
		s->taken = true;
		j->n_waiting--;
	}
	pthread_mutex_unlock(&j->lock);
	return s;
}

static void *
work_all(void *arg)
{
	struct jobs *j = arg;
	struct puller *p = puller_new();
	struct scan_job *s;

	if (p == NULL)
		log_error("msg=out of memory: a thread of the adapter ends");
	while (p != NULL && (s = take(j)) != NULL)
		work(j, s, p);
	puller_free(p);
	return NULL;
}

/* ---- the table; the lock is held ---- */

static void
forget_old(struct jobs *j)
{
	int64_t now = now_s();
	struct scan_job **at = &j->first, *s;
	bool full = j->n >= JOBS_KEPT_MAX;

	while ((s = *at) != NULL) {
		bool over = s->state == JOB_DONE || s->state == JOB_FAILED;

		if (over && (full || now - s->over >= JOBS_KEPT_S)) {
			full = false;
			*at = s->next;
			j->n--;
			job_free(s);
		} else {
			at = &s->next;
		}
	}
	j->end = at;
}

static bool
put(struct jobs *j, struct scan_job *s)
{
	forget_old(j);
	if (j->n_waiting >= JOBS_WAITING_MAX || j->n >= JOBS_KEPT_MAX)
		return false;
	*j->end = s;
	j->end = &s->next;
	j->n++;
	j->n_waiting++;
	pthread_cond_signal(&j->more);
	return true;
}

/* ---- asked from outside ---- */

static bool
copy_request(struct scan_job *s, const struct api_request *q)
{
	s->arena = arena_new(REQUEST_MEMORY);
	if (s->arena == NULL)
		return false;
	s->request = (struct api_request){ arena_dup(s->arena, q->url), arena_dup(s->arena, q->authorization),
		arena_dup(s->arena, q->repository), arena_dup(s->arena, q->digest), arena_dup(s->arena, q->tag),
		arena_dup(s->arena, q->media_type) };
	return !arena_failed(s->arena);
}

bool
jobs_add(struct jobs *j, struct setup *s, const struct api_request *q, char id[static JOB_ID])
{
	struct scan_job *one = calloc(1, sizeof *one);
	unsigned char random[16];
	bool ok;

	if (one == NULL || !copy_request(one, q) || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		goto fail;
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(one->id + 2 * i, 3, "%02x", random[i]);
	memcpy(id, one->id, JOB_ID);
	one->state = JOB_RUNNING;
	one->setup = setup_ref(s);
	pthread_mutex_lock(&j->lock);
	ok = put(j, one);
	pthread_mutex_unlock(&j->lock);
	if (ok)
		return true;
fail:
	if (one != NULL)
		job_free(one);
	return false;
}

enum job_state
jobs_find(struct jobs *j, struct span id, char **text)
{
	enum job_state state = JOB_UNKNOWN;

	*text = NULL;
	pthread_mutex_lock(&j->lock);
	forget_old(j);
	for (const struct scan_job *s = j->first; s != NULL; s = s->next)
		if (span_eq(id, span_of(s->id))) {
			state = s->state;
			*text = s->text == NULL ? NULL : strdup(s->text);
			break;
		}
	pthread_mutex_unlock(&j->lock);
	return state;
}

struct jobs *
jobs_start(unsigned threads)
{
	struct jobs *j = calloc(1, sizeof *j);

	if (j == NULL)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->more, NULL);
	j->end = &j->first;
	while (j->n_threads < threads && j->n_threads < THREADS_MAX && pthread_create(&j->thread[j->n_threads], NULL, work_all, j) == 0)
		j->n_threads++;
	if (j->n_threads > 0)
		return j;
	jobs_free(j);
	return NULL;
}

void
jobs_free(struct jobs *j)
{
	struct scan_job *s, *next;

	if (j == NULL)
		return;
	pthread_mutex_lock(&j->lock);
	atomic_store(&j->stopping, true);
	pthread_cond_broadcast(&j->more);
	pthread_mutex_unlock(&j->lock);
	for (unsigned i = 0; i < j->n_threads; i++)
		pthread_join(j->thread[i], NULL);
	for (s = j->first; s != NULL; s = next) {
		next = s->next;
		job_free(s);
	}
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->more);
	free(j);
}
