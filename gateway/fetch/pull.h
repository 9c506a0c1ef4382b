/*
 * pull.h - one GET from a registry at a time, read as it comes, on a thread that may wait.
 *
 * Redirects are followed to hosts of redirect-hosts only (whether the upstream passes them on or follows them), over TLS, without
 * credentials, three of them at most. Nothing of libcurl's own is used: no proxy, .netrc, cookie or redirect. What is asked for by
 * digest is hashed here, whatever the registry says it is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PULL_H
#define TW_PULL_H

#include <stdatomic.h>

#include "gateway/config/config.h"

/* One thread's, with its connections: they are kept for the next GET. */
struct puller;
struct puller *puller_new(void) WUNRES;
/* No pull is open. NULL is fine. */
void puller_free(struct puller *p);

enum pull_outcome {
	PULL_FAILED = 0,	/* no answer, not what was asked for, or not to be had now: see err */
	PULL_STOPPED,		/* *stop was set */
	PULL_ABSENT,		/* 404 */
	PULL_TOO_LARGE,		/* more than max */
	PULL_OK,
};

/* Borrowed until pull_close(). */
struct pull_ask {
	const struct config_upstream *upstream;
	const struct config_limits *limits;	/* connect, first byte, idle and least rate are of these */
	struct span repository;
	const char *path;			/* behind it: "manifests/sha256:...", "blobs/sha256:...", "referrers/..." */
	const char *accept;			/* NULL: none */
	const char *digest;			/* checked at the end; NULL: not known, or checked by who reads */
	uint64_t size;				/* what it must be; 0: not known */
	uint64_t max;				/* bytes of the body */
	/* The value of Authorization at the registry, valid until the next call; "" for none, NULL with a reason. anew: that one was refused. */
	const char *(*login)(void *ctx, bool anew, char *err, size_t err_size);
	void *ctx;
	const _Atomic bool *stop;		/* NULL: never */
};

struct pull;
/* The head has come, 200, and *out is to be closed. Anything else: *out is NULL, and err says why. */
enum pull_outcome pull_open(struct puller *p, const struct pull_ask *q, struct pull **out, char *err, size_t err_size)
    NONNULL(1, 2, 3, 4) WUNRES;
/* Value of Content-Type, "" for none; as long as the pull. */
const char *pull_content_type(const struct pull *t) RETURNS_NONNULL NONNULL(1);
/* The query of Link: <...?query>; rel="next", "" for none. */
const char *pull_next(const struct pull *t) RETURNS_NONNULL NONNULL(1);
/* The next bytes of the pull (a struct pull), as scan.h wants them: 0 the end, all of it and what it must be; -1 with a reason. */
long pull_read(void *pull, const char **p, char *err, size_t err_size) NONNULL(1, 2, 3);
/* Why reading failed. */
enum pull_outcome pull_outcome(const struct pull *t) NONNULL(1) PURE;
void pull_close(struct pull *t);

/* All of it, in the arena. content_type may be NULL. */
enum pull_outcome pull_whole(struct puller *p, const struct pull_ask *q, struct arena *a, struct span *out, struct span *content_type,
    char *err, size_t err_size) NONNULL(1, 2, 3, 4, 6) WUNRES;

#endif
