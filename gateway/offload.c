/*
 * offload.c - one thread and a queue.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct offload {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct offload_job *first, **last;	/* under lock */
	unsigned waiting;			/* under lock: in the list */
	bool stopping;				/* under lock */
};

static struct offload_job *
take(struct offload *o)
{
	struct offload_job *j;

	pthread_mutex_lock(&o->lock);
	while (o->first == NULL && !o->stopping)
		pthread_cond_wait(&o->wake, &o->lock);
	j = o->first;
	if (j != NULL) {
		o->first = j->next;
		o->waiting--;
		if (o->first == NULL)
			o->last = &o->first;
	}
	pthread_mutex_unlock(&o->lock);
	return j;
}

static void *
serve(void *arg)
{
	struct offload_job *j;

	while ((j = take(arg)) != NULL) {
		j->work(j);
		mailbox_post(j->reply_to, &j->mail);
	}
	return NULL;
}

struct offload *
offload_start(void)
{
	struct offload *o = calloc(1, sizeof *o);
	sigset_t all, old;
	bool ok;

	if (o == NULL)
		return NULL;
	o->last = &o->first;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->wake, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&o->thread, NULL, serve, o) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ok) {
		free(o);
		return NULL;
	}
	return o;
}

void
offload_stop(struct offload *o)
{
	if (o == NULL)
		return;
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_signal(&o->wake);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	pthread_cond_destroy(&o->wake);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

/* Under lock. */
static void
append(struct offload *o, struct offload_job *j)
{
	j->next = NULL;
	*o->last = j;
	o->last = &j->next;
	o->waiting++;
	pthread_cond_signal(&o->wake);
}

void
offload_submit(struct offload *o, struct offload_job *j)
{
	pthread_mutex_lock(&o->lock);
	append(o, j);
	pthread_mutex_unlock(&o->lock);
}

bool
offload_try(struct offload *o, unsigned most, struct offload_job *j, void (*deliver)(struct mail *m), struct mailbox *reply_to)
{
	bool room;

	j->mail.deliver = deliver;
	j->reply_to = reply_to;
	pthread_mutex_lock(&o->lock);
	room = o->waiting < most;
	if (room)
		append(o, j);
	pthread_mutex_unlock(&o->lock);
	return room;
}
