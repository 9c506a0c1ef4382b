/*
 * spool.h - the audit thread: hash-chained JSON lines in <directory>/current.jsonl, group commit.
 *
 * Each line carries seq (from 1, no gaps, across segments and restarts) and prev (SHA-256 of the line before it,
 * without its newline; 64 zeros for the first). A segment that reaches its size is closed as
 * <first seq, 20 digits>.jsonl and current.jsonl starts anew, the chain going on. After a crash a torn last line
 * is moved to <directory>/torn.<time> and the chain continues.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SPOOL_H
#define TW_SPOOL_H

#include "gateway/mailbox.h"
#include "policy/attr.h"
#include "policy/span.h"

struct spool;

/* A wish to know when an event is durable. */
struct spool_wait {
	struct mail mail;		/* delivered on reply_to's thread */
	struct mailbox *reply_to;
	bool durable;			/* out: false = could not be written: refuse */
	struct spool_wait *next;	/* private */
};

struct spool_options {
	const char *directory;		/* created 0700 when absent */
	uint64_t segment_size;		/* bytes; default 128 MiB */
};

/* Open, recover, start the thread. NULL with a one-line reason that says what to do. */
struct spool *spool_open(const struct spool_options *o, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
/* Write what is queued, fsync, stop. */
void spool_close(struct spool *s);

/*
 * Queue one line made by event_write() (copied). wait may be NULL: then the line is written within 100 ms and
 * synced with the next group. False when the queue is full or the spool is failing: the event was NOT taken;
 * wait will not be delivered. Any thread.
 */
bool spool_put(struct spool *s, struct span line, struct spool_wait *wait) NONNULL(1) WUNRES;

/* Is the last write known good and the queue not full? */
bool spool_healthy(const struct spool *s) NONNULL(1);
/* Counters for metrics. */
struct spool_stats { uint64_t events, bytes, syncs, failures, dropped, queue; };
void spool_stats(const struct spool *s, struct spool_stats *out) NONNULL(1, 2);

#endif
