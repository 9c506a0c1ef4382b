/*
 * policy_reads.h - the files policies refer to by name: time zones of the system, sets beside the document.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_POLICY_READS_H
#define TW_POLICY_READS_H

#include "policy/policy.h"

#define SET_FILE_MAX ((size_t)128 << 20)	/* a million digests */

/* Zeroed at first; what was read is kept until it is freed. */
struct policy_reads {
	char **texts;
	size_t n, room;
};
/* A policy_fetch of a struct policy_reads. A relative set file is looked for beside the document that names it. */
bool policy_reads_fetch(void *ctx, enum policy_file kind, const char *from, const char *name, struct span *text, char *err,
    size_t err_size) NONNULL(1, 3, 4, 5, 6);
/* "x.test.json": what `tidewaiter policy test` reads. */
bool policy_reads_is_test(const char *path) NONNULL(1) PURE;
void policy_reads_free(struct policy_reads *r) NONNULL(1);

#endif
