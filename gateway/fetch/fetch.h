/*
 * fetch.h - GETs from an upstream for operators' commands, by libcurl: side calls, never the data path.
 *
 * Some in parallel, each tried again with growing pauses after 429, 5xx or no answer. Nothing is followed, no proxy
 * and no .netrc is used; the upstream's credentials and CA are those of gateway.conf.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_FETCH_H
#define TW_FETCH_H

#include "gateway/config/config.h"

struct fetch;

struct fetch_answer {
	long status;		/* 0: none came, see why */
	struct span body;
	const char *link;	/* the query of Link: <...?query>; rel="next", or NULL */
	const char *why;	/* status 0: one line */
};

/* NULL when out of memory. */
struct fetch *fetch_new(const struct config_upstream *u, const struct config_limits *limits, unsigned parallel)
	NONNULL(1, 2) WUNRES;
/* What is under way ends without an answer. */
void fetch_free(struct fetch *f);
/*
 * GET <upstream>/v2/<path>; done() is called once, from fetch_step(). accept may be NULL; a body longer than max is no
 * answer. False when as many as `parallel` are under way, or out of memory.
 */
bool fetch_start(struct fetch *f, const char *path, const char *accept, size_t max,
    void (*done)(void *ctx, const struct fetch_answer *a), void *ctx) NONNULL(1, 2, 5) WUNRES;
unsigned fetch_running(const struct fetch *f) NONNULL(1) PURE;
/* Work for up to 200 ms, less when something is done. */
void fetch_step(struct fetch *f) NONNULL(1);
/* One GET to its end. */
bool fetch_one(struct fetch *f, const char *path, const char *accept, size_t max,
    void (*done)(void *ctx, const struct fetch_answer *a), void *ctx) NONNULL(1, 2, 5) WUNRES;

enum fetch_manifest {
	FETCH_UNKNOWN = 0,	/* anything but the two below */
	FETCH_ABSENT,		/* 404 in the words of a registry: MANIFEST_UNKNOWN or NAME_UNKNOWN */
	FETCH_PRESENT,		/* 200: digest is our SHA-256 of the bytes */
};
/* What the answer to a GET of a manifest says; digest as "sha256:...". */
enum fetch_manifest fetch_manifest_of(const struct fetch_answer *a, char digest[static 72]) NONNULL(1);

#endif
