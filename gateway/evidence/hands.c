/*
 * hands.c - the threads of evidence.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/parts.h"

int64_t
monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- jobs ---- */

bool
job_put(struct evidence *e, enum lane lane, struct job *j)
{
	if (e->closed || e->n_jobs >= JOBS_MAX)
		return false;
	j->next = NULL;
	*e->last[lane] = j;
	e->last[lane] = &j->next;
	e->n_jobs++;
	pthread_cond_signal(&e->wake[lane]);
	return true;
}

/* The lock is held. */
static struct job *
job_take(struct evidence *e, enum lane lane)
{
	struct job *j = e->first[lane];

	if (j == NULL)
		return NULL;
	e->first[lane] = j->next;
	if (e->first[lane] == NULL)
		e->last[lane] = &e->first[lane];
	e->n_jobs--;
	return j;
}

static void *
work(void *arg)
{
	struct hand *h = arg;
	struct evidence *e = h->evidence;
	struct job *j;

	pthread_mutex_lock(&e->lock);
	while (!atomic_load(&e->stopping)) {
		j = job_take(e, h->lane);
		if (j == NULL) {
			pthread_cond_wait(&e->wake[h->lane], &e->lock);
			continue;
		}
		e->busy++;
		pthread_mutex_unlock(&e->lock);
		j->run(j, h);
		pthread_mutex_lock(&e->lock);
		e->busy--;
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* ---- the desk ---- */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct evidence *e = arg;

	(void)fd;
	(void)what;
	evidence_expire(e, monotonic_ms());
}

/* What was tried in vain is tried again, and the engine looked at, as often as `retry` says. */
static void
on_pulse(evutil_socket_t fd, short what, void *arg)
{
	struct evidence *e = arg;
	struct setup *s;

	(void)fd;
	(void)what;
	outcome_resume(e);
	engine_pulse(e);
	pthread_mutex_lock(&e->lock);
	s = setup_ref(e->setup);
	pthread_mutex_unlock(&e->lock);
	evtimer_add(e->pulse, &(struct timeval){ .tv_sec = (time_t)s->config->evidence.retry });
	setup_unref(s);
}

/* event_add() of another thread is fine: libevent was told of threads. */
void
desk_wake(struct evidence *e)
{
	if (!evtimer_pending(e->tick, NULL))
		evtimer_add(e->tick, &(struct timeval){ .tv_usec = TICK_US });
}

static void *
sit(void *arg)
{
	struct evidence *e = arg;

	event_base_loop(e->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

/* ---- life ---- */

static bool
start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	bool ok;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(thread, NULL, run, arg) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

static bool
make_desk(struct evidence *e)
{
	e->base = event_base_new();
	if (e->base == NULL)
		return false;
	e->desk = mailbox_new(e->base);
	e->tick = evtimer_new(e->base, on_tick, e);
	e->pulse = evtimer_new(e->base, on_pulse, e);
	if (e->desk == NULL || e->tick == NULL || e->pulse == NULL || evtimer_add(e->pulse, &(struct timeval){ 0 }) != 0)
		return false;
	e->desk_started = start_thread(&e->desk_thread, sit, e);
	return e->desk_started;
}

bool
hands_start(struct evidence *e, unsigned scan_threads, char *err, size_t err_size)
{
	const unsigned n[LANE_MAX] = { [LANE_LOOK] = LOOK_THREADS, [LANE_SCAN] = scan_threads, [LANE_REPORT] = REPORT_THREADS };

	snprintf(err, err_size, "no memory or no thread");
	e->hands = calloc((size_t)n[0] + n[1] + n[2], sizeof *e->hands);
	if (e->hands == NULL)
		return false;
	for (unsigned lane = 0; lane < LANE_MAX; lane++) {
		for (unsigned i = 0; i < n[lane]; i++) {
			struct hand *h = &e->hands[e->n_hands++];

			h->evidence = e;
			h->lane = (enum lane)lane;
			h->puller = puller_new();
			h->started = h->puller != NULL && start_thread(&h->thread, work, h);
			if (!h->started)
				return false;
		}
	}
	return make_desk(e);
}

void
hands_stop(struct evidence *e)
{
	struct job *j;

	pthread_mutex_lock(&e->lock);
	atomic_store(&e->stopping, true);
	e->closed = true;
	for (unsigned lane = 0; lane < LANE_MAX; lane++)
		pthread_cond_broadcast(&e->wake[lane]);
	pthread_cond_broadcast(&e->answered);
	pthread_mutex_unlock(&e->lock);
	for (unsigned i = 0; i < e->n_hands; i++)
		if (e->hands[i].started)
			pthread_join(e->hands[i].thread, NULL);
	for (unsigned lane = 0; lane < LANE_MAX; lane++) {
		while (true) {
			pthread_mutex_lock(&e->lock);
			j = job_take(e, (enum lane)lane);
			pthread_mutex_unlock(&e->lock);
			if (j == NULL)
				break;
			j->run(j, NULL);
		}
	}
	if (e->desk_started) {
		event_base_loopbreak(e->base);
		pthread_join(e->desk_thread, NULL);
	}
	e->desk_started = false;
}

void
hands_free(struct evidence *e)
{
	if (e->desk != NULL)
		mailbox_empty(e->desk);
	for (unsigned i = 0; i < e->n_hands; i++)
		puller_free(e->hands[i].puller);
	free(e->hands);
	if (e->tick != NULL)
		event_free(e->tick);
	if (e->pulse != NULL)
		event_free(e->pulse);
	if (e->desk != NULL)
		mailbox_free(e->desk);
	if (e->base != NULL)
		event_base_free(e->base);
}
