/*
 * held.h - memory of manifests that are held whole: each within limits.manifest, all of them within limits.manifests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HELD_H
#define TW_HELD_H

#include "gateway/request.h"

/* So many more bytes for this request, until it ends. False: the gateway holds as much as it may. */
static inline bool
held_take(struct request *r, size_t bytes)
{
	_Atomic size_t *all = &r->worker->gateway->held;

	if (atomic_fetch_add_explicit(all, bytes, memory_order_relaxed) + bytes > r->config->limits.manifests) {
		atomic_fetch_sub_explicit(all, bytes, memory_order_relaxed);
		return false;
	}
	r->held += bytes;
	return true;
}

/* The request is over. */
static inline void
held_end(struct request *r)
{
	atomic_fetch_sub_explicit(&r->worker->gateway->held, r->held, memory_order_relaxed);
	r->held = 0;
}

#endif
