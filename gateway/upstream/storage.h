/*
 * storage.h - one worker's connections to hosts that registries send it to: object storage behind a redirect, and
 * hosts that take uploads. Made when first needed, a bounded number of them, and never told our credentials.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_STORAGE_H
#define TW_STORAGE_H

#include "gateway/upstream/upstream.h"

struct storage;

/* A host elsewhere, as an absolute URL names it. */
struct storage_place {
	bool tls;
	struct span host; /* lower case, without brackets */
	unsigned port;
	struct span target; /* path and query, "/" at least */
};
/*
 * Read an absolute http(s) URL, strictly: visible ASCII, no user information, no fragment, no backslash or quote. Parts of
 * it may be copied to the arena. False for anything else.
 */
bool storage_place_parse(struct span url, struct arena *a, struct storage_place *out) NONNULL(2, 3) WUNRES;

struct storage *storage_new(const struct upstream_env *env) NONNULL(1) WUNRES;
/* Closes every connection; exchanges still running end without a callback. NULL is fine. */
void storage_free(struct storage *s);
/* As upstream_retire(). */
void storage_retire(struct storage *s) NONNULL(1);
/*
 * The connections to that host on behalf of this registry; tls: the context to be used when the place has TLS, kept by the
 * caller as long as the storage. Valid until the next call when no exchange runs on it. NULL: out of memory, or
 * STORAGE_MAX hosts are busy.
 */
#define STORAGE_MAX 64u
struct upstream *storage_at(struct storage *s, const struct config_upstream *registry, SSL_CTX *tls,
    const struct storage_place *place) NONNULL(1, 2, 4) WUNRES;

#endif
