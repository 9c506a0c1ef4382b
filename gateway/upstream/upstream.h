/*
 * upstream.h - one worker's connections to one upstream registry: name look-up, TLS, keep-alive pool.
 *
 * A connection carries one exchange at a time and is kept only after the exact end of the answer; bytes that
 * nobody asked for close it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_UPSTREAM_H
#define TW_UPSTREAM_H

#include <openssl/ssl.h>

#include "gateway/config/config.h"
#include "gateway/operator/metrics.h"
#include "gateway/stream/stream.h"

struct evdns_base;
struct upstream;

struct upstream_env {		/* borrowed, for the life of the upstream */
	struct loop *loop;
	struct evdns_base *dns;
	const struct config_limits *limits;
	struct metrics *metrics;
};

/* ssl_ctx NULL for http. NULL when out of memory. */
struct upstream *upstream_new(const struct upstream_env *env, const struct config_upstream *config,
    SSL_CTX *ssl_ctx) NONNULL(1, 2) WUNRES;
/* Closes every connection; exchanges still running end without a callback. */
void upstream_free(struct upstream *u);
/* Where to note when it last answered, or did not (struct setup, outcomes). */
void upstream_report(struct upstream *u, _Atomic int64_t *outcome) NONNULL(1, 2);
/* Its configuration is replaced: idle connections close now, and none is kept any more. */
void upstream_retire(struct upstream *u) NONNULL(1);
const struct config_upstream *upstream_config(const struct upstream *u) RETURNS_NONNULL NONNULL(1) PURE;

#endif
