/*
 * test_offload.c - jobs in their order, on another thread; a queue that takes no more than it is told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "gateway/offload.h"
#include "tests/unit/check.h"

#define MOST 4

struct work {
	struct offload_job job;	/* first */
	unsigned n;
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;	/* held: no job gets on */
static _Atomic bool begun;
static unsigned done[MOST + 2], n_done, elsewhere;	/* under gate */
static unsigned delivered;
static pthread_t here;
static struct event_base *base;

static void
run(struct offload_job *j)
{
	begun = true;
	pthread_mutex_lock(&gate);
	done[n_done++] = ((struct work *)(void *)j)->n;
	elsewhere += !pthread_equal(pthread_self(), here);
	pthread_mutex_unlock(&gate);
}

static void
deliver(struct mail *m)
{
	(void)m;
	CHECK(pthread_equal(pthread_self(), here));
	if (++delivered == MOST + 1)
		event_base_loopbreak(base);
}

int
main(void)
{
	struct work jobs[MOST + 2];
	struct mailbox *b;
	struct offload *o;

	evthread_use_pthreads();
	here = pthread_self();
	base = event_base_new();
	b = mailbox_new(base);
	o = offload_start();
	CHECK(base != NULL && b != NULL && o != NULL);
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < MOST + 2; i++)
		jobs[i] = (struct work){ .job.work = run, .n = i };
	CHECK(offload_try(o, MOST, &jobs[0].job, deliver, b));
	while (!begun)	/* it is at work, and waits no more */
		sched_yield();
	for (unsigned i = 1; i <= MOST; i++)
		CHECK(offload_try(o, MOST, &jobs[i].job, deliver, b));
	CHECK(!offload_try(o, MOST, &jobs[MOST + 1].job, deliver, b));
	CHECK(delivered == 0);
	pthread_mutex_unlock(&gate);
	event_base_dispatch(base);
	offload_stop(o);
	CHECK(n_done == MOST + 1 && elsewhere == n_done && delivered == MOST + 1);
	for (unsigned i = 0; i < n_done; i++)
		CHECK(done[i] == i);
	mailbox_free(b);
	event_base_free(base);
	return check_done();
}
