/*
 * clamd.h - the ClamAV daemon on its socket: a stream given to it, and what it says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCAN_CLAMD_H
#define TW_SCAN_CLAMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/attr.h"

enum clamd_answer {
	CLAMD_FAILED = 0,	/* it is away, or says nothing that can be read, or not in time: text */
	CLAMD_LIMIT,		/* over one of its limits: nothing was learned */
	CLAMD_FOUND,		/* text: the name */
	CLAMD_CLEAN,
};

/* One stream under way. */
struct clamd {
	int fd;			/* -1: none */
	int64_t until;		/* monotonic ms */
	bool refused;		/* it took no more: its answer says why */
	char text[200];		/* of the answer */
};

/* Connect and begin a stream, to be over within `ms`. False with c->text. */
bool clamd_begin(struct clamd *c, const char *socket, int64_t ms) NONNULL(1, 2) WUNRES;
void clamd_put(struct clamd *c, const char *p, size_t n) NONNULL(1);
enum clamd_answer clamd_end(struct clamd *c) NONNULL(1) WUNRES;
/* NULL-safe for one that never began: fd -1. */
void clamd_close(struct clamd *c) NONNULL(1);

/* "ClamAV 1.4.6/27000/...". False with a reason in out. */
bool clamd_version(const char *socket, char *out, size_t size) NONNULL(1, 2) WUNRES;
/*
 * Does it say so when something is over its limits? It is given an archive nested deeper than any setting of MaxRecursion: without
 * AlertExceedsMax it calls that clean, as it calls everything beyond its limits. False with a reason that says what to do.
 */
bool clamd_test(const char *socket, char *err, size_t err_size) NONNULL(1, 2) WUNRES;

#endif
