/*
 * loop.h - what one thread's event loop shares among its streams: clock, buffers, work for later.
 *
 * Streams own no buffers while idle: bytes are received, decrypted and sent through three buffers of the thread.
 * Callbacks never run nested: whatever must happen "now" from inside a callback is put off to the end of the
 * turn. An object freed in a callback is freed only then, so a callback may free its own caller.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LOOP_H
#define TW_LOOP_H

#include <event2/event.h>

#include "policy/attr.h"
#include "policy/span.h"

#define LOOP_BUFFER	131072u	/* 128 KiB: the knee of CPU time per byte */

struct stream;

/* Something to run at the end of this turn of the loop; embedded, at most once in the list. */
struct loop_task {
	struct loop_task *next;
	bool queued;
	void (*run)(struct loop_task *t);
};

struct loop {
	struct event_base *base;
	struct event *later;		/* active while tasks are queued */
	struct loop_task *tasks, **tasks_end;
	size_t n_tasks;
	char *rx, *plain, *tx;		/* LOOP_BUFFER each: received, decrypted, to be sent */
	size_t tx_n;
	struct stream *tx_owner;	/* whose bytes are in tx */
};

struct loop *loop_new(void) WUNRES;
/* The loop has stopped; queued tasks are run first. */
void loop_free(struct loop *l);
/* Run t->run at the end of this turn. Queueing a queued task is a no-op. */
void loop_later(struct loop *l, struct loop_task *t) NONNULL(1, 2);
/* Run what is queued now: only when the loop has stopped. */
void loop_run_tasks(struct loop *l) NONNULL(1);
/* Take a task off the list again. */
void loop_cancel(struct loop *l, struct loop_task *t) NONNULL(1, 2);
/* Clocks, read once a turn by libevent. */
int64_t loop_monotonic_ms(const struct loop *l) NONNULL(1);
int64_t loop_wall_us(const struct loop *l) NONNULL(1);
static inline int64_t
loop_wall_s(const struct loop *l)
{
	return loop_wall_us(l) / 1000000;
}

#endif
