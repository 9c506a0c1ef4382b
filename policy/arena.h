/*
 * arena.h - a bump allocator that lives as long as one request.
 *
 * Everything a request needs is taken from its arena and freed in one go after the
 * audit event. Running out of memory or over the bound sets a sticky flag and
 * returns NULL; a step may test the flag once instead of every call.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ARENA_H
#define TW_ARENA_H

#include "attr.h"
#include "span.h"

struct arena;

/* A new arena that may hold at most `limit` bytes in all. NULL when out of memory. */
struct arena *arena_new(size_t limit) WUNRES;
void arena_free(struct arena *a);
/* Forget everything, keep the first block for the next request. */
void arena_reset(struct arena *a) NONNULL(1);
/* Bytes handed out since arena_new/arena_reset, each request rounded up. */
size_t arena_used(const struct arena *a) NONNULL(1) PURE;
/* True once any allocation failed since arena_new/arena_reset. */
bool arena_failed(const struct arena *a) NONNULL(1) PURE;

/* n bytes aligned for any type, uninitialised; NULL (and the sticky flag) on failure. n = 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t n) NONNULL(1) WUNRES;
/* Same, zeroed, for count * size with overflow checked. */
void *arena_zalloc(struct arena *a, size_t count, size_t size) NONNULL(1) WUNRES;
/* A copy with a NUL after it (not counted in n). {NULL,0} on failure. */
struct span arena_dup(struct arena *a, struct span s) NONNULL(1) WUNRES;
/* printf into the arena; NUL-terminated. {NULL,0} on failure. */
struct span arena_printf(struct arena *a, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3) WUNRES;

#endif
