/*
 * tar.h - a tar read as it comes: ustar, pax (path, size), GNU long names. What readers disagree about is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TAR_H
#define TW_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/attr.h"

#define TAR_BLOCK 512u
#define TAR_META_MAX (1u << 20)		/* pax records, or a long name */

enum tar_state {
	TAR_FAILED = 0,		/* no memory */
	TAR_NONE,		/* the first block is no header: no tar */
	TAR_REFUSED,
	TAR_STOPPED,		/* by the sink */
	TAR_GOING,
	TAR_DONE,
};

/* Each false: stop. `path` and `p` are valid during the call. */
struct tar_sink {
	bool (*begin)(void *ctx, const char *path, uint64_t size);	/* a file with contents */
	bool (*bytes)(void *ctx, const char *p, size_t n);
	bool (*end)(void *ctx);
};

struct tar;
struct tar *tar_new(const struct tar_sink *sink, void *ctx, uint64_t max_entries) WUNRES;
void tar_free(struct tar *t);
enum tar_state tar_put(struct tar *t, const char *p, size_t n);
enum tar_state tar_end(struct tar *t);
const char *tar_why(const struct tar *t);	/* REFUSED: one line */
uint64_t tar_entries(const struct tar *t);

#endif
