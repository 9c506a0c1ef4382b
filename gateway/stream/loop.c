/*
 * loop.c - one thread's event loop: clock, shared buffers, tasks at the end of a turn.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/stream/loop.h"

#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define CALLBACKS_MAX	64	/* run before the kernel is asked for new events */

void
loop_run_tasks(struct loop *l)
{
	/* what tasks queue in turn waits for the next turn, so that no stream can keep the loop to itself */
	for (size_t n = l->n_tasks; n > 0 && l->tasks != NULL; n--) {
		struct loop_task *t = l->tasks;

		l->tasks = t->next;
		if (l->tasks == NULL)
			l->tasks_end = &l->tasks;
		l->n_tasks--;
		t->queued = false;
		t->run(t);
	}
	if (l->tasks != NULL)
		event_active(l->later, EV_READ, 0);
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	loop_run_tasks(arg);
}

struct loop *
loop_new(void)
{
	struct loop *l = calloc(1, sizeof *l);
	struct event_config *cfg = event_config_new();

	if (l == NULL || cfg == NULL)
		goto fail;
	l->tasks_end = &l->tasks;
	event_config_set_max_dispatch_interval(cfg, NULL, CALLBACKS_MAX, 0);
	l->base = event_base_new_with_config(cfg);
	l->rx = malloc(LOOP_BUFFER);
	l->plain = malloc(LOOP_BUFFER);
	l->tx = malloc(LOOP_BUFFER);
	if (l->base == NULL || l->rx == NULL || l->plain == NULL || l->tx == NULL)
		goto fail;
	l->later = event_new(l->base, -1, EV_PERSIST, on_later, l);
	/* added before it is ever made active: libevent forgets an event that was only activated */
	if (l->later == NULL || event_add(l->later, NULL) != 0)
		goto fail;
	event_config_free(cfg);
	return l;
fail:
	if (cfg != NULL)
		event_config_free(cfg);
	loop_free(l);
	return NULL;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->tasks != NULL)
		loop_run_tasks(l);
	if (l->later != NULL)
		event_free(l->later);
	if (l->base != NULL)
		event_base_free(l->base);
	free(l->rx);
	free(l->plain);
	free(l->tx);
	free(l);
}

void
loop_later(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	if (l->tasks == NULL)
		event_active(l->later, EV_READ, 0);
	*l->tasks_end = t;
	l->tasks_end = &t->next;
	l->n_tasks++;
}

void
loop_cancel(struct loop *l, struct loop_task *t)
{
	struct loop_task **p = &l->tasks;

	if (!t->queued)
		return;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	if (*p == NULL)
		l->tasks_end = p;
	t->queued = false;
	l->n_tasks--;
}

int64_t
loop_monotonic_ms(const struct loop *l)
{
	struct timespec ts;

	(void)l;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
loop_wall_us(const struct loop *l)
{
	struct timeval tv;

	/* the time libevent woke up: one system clock reading for everything in this turn */
	if (event_base_gettimeofday_cached(l->base, &tv) != 0)
		return 0;
	return (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
}
