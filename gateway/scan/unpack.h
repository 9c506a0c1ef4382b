/*
 * unpack.h - a blob unpacked as it comes: gzip, zstd, bzip2 or xz, told by its first bytes; anything else passes through.
 *
 * Several gzip members, zstd frames (skippable ones too), bzip2 and xz streams one behind the other are one. Zeros may follow the
 * last gzip member; other bytes there are refused: one reader would stop before them, another go on.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_UNPACK_H
#define TW_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/attr.h"

struct unpack_bounds {
	uint64_t max_unpacked;		/* bytes that come out */
	uint64_t max_ratio;		/* out / in, once more than UNPACK_RATIO_FREE came out */
};
#define UNPACK_RATIO_FREE (100ull << 20)

enum unpack_state {
	UNPACK_FAILED = 0,	/* no memory */
	UNPACK_REFUSED,		/* broken, cut off, over a bound: the same tomorrow */
	UNPACK_STOPPED,		/* by the sink */
	UNPACK_GOING,
	UNPACK_DONE,
};

/* Bytes that came out, valid during the call. False: stop. */
typedef bool unpack_sink(void *ctx, const char *p, size_t n);

struct unpack;
struct unpack *unpack_new(const struct unpack_bounds *bounds, unpack_sink *sink, void *ctx) WUNRES;
void unpack_free(struct unpack *u);
/* GOING, or why no more is taken. */
enum unpack_state unpack_put(struct unpack *u, const char *p, size_t n);
/* The blob ended: DONE, or why not. */
enum unpack_state unpack_end(struct unpack *u);
/* REFUSED: one line. */
const char *unpack_why(const struct unpack *u);
uint64_t unpack_in(const struct unpack *u);
uint64_t unpack_out(const struct unpack *u);

#endif
