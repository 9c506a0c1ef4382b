/*
 * listing.h - the files of an audit directory, in the order of their events, while a gateway writes there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUDIT_LISTING_H
#define TW_AUDIT_LISTING_H

#include "gateway/audit/segment.h"

enum listing_current {
	CURRENT_ABSENT = 0,	/* there is no current.jsonl */
	CURRENT_THERE,		/* it comes behind the closed segments */
	CURRENT_CLOSED,		/* it was closed while we looked, and is the last of them */
};
struct listing {
	int dir;			/* the directory; -1: none */
	enum listing_current state;
	int current;			/* current.jsonl; -1: none */
	uint64_t *first_seq;		/* of the closed segments, ascending */
	size_t n, space;		/* space: private */
};

/* What was set aside there: "torn.<time>" or "lost.<time>". */
typedef void listing_aside(void *ctx, const char *name);

/* Look into a directory; aside may be NULL. False: errno. Close it in either case. */
bool listing_open(struct listing *l, const char *path, listing_aside *aside, void *ctx) NONNULL(1, 2) WUNRES;
void listing_close(struct listing *l) NONNULL(1);
/* The name of closed segment i. */
void listing_name(const struct listing *l, size_t i, char out[static SEGMENT_NAME]) NONNULL(1);
/* A regular file to be read: nothing that blocks, nothing that never ends. -1: errno, EINVAL when it is no file. */
int listing_file(int dir, const char *path) NONNULL(2) WUNRES;

#endif
