/*
 * segment.h - the files of the audit directory: current.jsonl, closed segments, what was set aside.
 *
 * Belongs to the audit thread (and to spool_open before there is one). What is on the disk after a write that failed
 * is taken back before the next: a line is never written behind half a line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUDIT_SEGMENT_H
#define TW_AUDIT_SEGMENT_H

#include <sys/uio.h>

#include "gateway/audit/chain.h"

#define SEGMENT_CURRENT	"current.jsonl"
#define SEGMENT_NAME	32u	/* <20 digits>.jsonl and NUL */

struct segment {
	const char *path;	/* of the directory, for messages */
	uint64_t limit;		/* bytes after which the segment is closed */
	int dir, fd;		/* fd -1: there is no current.jsonl we know */
	uint64_t first_seq;	/* of current.jsonl */
	uint64_t size;		/* bytes known good: written and synced */
	bool dirty;		/* a write failed: there may be more bytes than `size` */
};

/*
 * Create, lock, recover: afterwards the next line follows `last`. `unsynced` is the most that can have been lost in a
 * crash; a chain that breaks earlier than that was not broken by one. False with a one-line reason.
 */
bool segment_open(struct segment *g, struct chain *last, uint64_t unsynced, char *err, size_t err_size) NONNULL(1, 2, 4) WUNRES;
void segment_close(struct segment *g);

/*
 * Is current.jsonl still the file we know, as long as we left it, with room for a line? Makes it so: takes back what a
 * failed write left, closes a full segment, sets a file that somebody put there aside. False (errno): not now.
 */
bool segment_ready(struct segment *g, uint64_t next_seq) NONNULL(1) WUNRES;
/* Write at `at` (>= size). False (errno): unknown how much of it; segment_ready() takes it back. */
bool segment_write(struct segment *g, uint64_t at, struct iovec *iov, int n) NONNULL(1, 3) WUNRES;
/* All up to `size` is durable, or false. */
bool segment_sync(struct segment *g, uint64_t size) NONNULL(1) WUNRES;

/* Is this <20 digits>.jsonl? */
bool segment_is_closed_name(const char *name, uint64_t *first_seq) NONNULL(1, 2);

#endif
