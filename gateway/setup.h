/*
 * setup.h - one configuration and what is made of it once for all workers: TLS contexts and lease keys.
 *
 * Immutable from setup_new() on and counted by reference: a reload makes a new one, and the old one lives as long as
 * a request that began with it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SETUP_H
#define TW_SETUP_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "gateway/config/config.h"
#include "gateway/issuers/issuers.h"
#include "gateway/registry/lease.h"

struct setup {
	_Atomic unsigned refs;
	struct config *config;		/* owned */
	SSL_CTX **listen_tls;		/* as config->listen */
	SSL_CTX **upstream_tls;		/* as config->upstream; NULL for http */
	SSL_CTX **storage_tls;		/* as config->upstream: for hosts it sends us to; NULL: to none */
	struct lease_keys *lease_keys;
	struct issuer_view *issuers;	/* with the keys they have now; changes in itself */
	/*
	 * As config->upstream: when it last answered (monotonic ms), or, negative, when it last did not; 0: never asked. The one
	 * thing here that changes: workers note, the admin listener looks.
	 */
	_Atomic int64_t *outcomes;
};

/* Takes over a loaded configuration, in failure too: then NULL with a reason. One reference. */
struct setup *setup_new(struct config *c, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
/* Any thread that holds a reference. */
struct setup *setup_ref(struct setup *s) RETURNS_NONNULL NONNULL(1);
/* Any thread; NULL is fine. */
void setup_unref(struct setup *s);

#endif
