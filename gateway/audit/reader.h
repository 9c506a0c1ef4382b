/*
 * reader.h - the events of an audit directory, one line after the other, for tools: in one pass and little memory, while
 * a gateway writes there. Nothing is verified: `tidewaiter audit verify` does that.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUDIT_READER_H
#define TW_AUDIT_READER_H

#include "policy/attr.h"
#include "policy/span.h"

struct audit_reader {
	const char *path;	/* a directory, or one file */
	int64_t since, until;	/* seconds since the epoch; events from the one on, up to before the other; 0: any */
	bool progress;		/* said on standard error, once it takes longer than a second */
	/* out */
	uint64_t lines;		/* in that time */
	uint64_t broken;	/* lines that are no event: nothing is known of their time */
};

/* One line, without its end, that begins like an event. False: that was enough. */
typedef bool audit_line(void *ctx, struct span line);
/* A line that is being written, the last one without its end, is left out. False with a reason when files cannot be read. */
bool audit_read(struct audit_reader *r, audit_line *each, void *ctx, char *err, size_t err_size) NONNULL(1, 2, 4) WUNRES;

#endif
