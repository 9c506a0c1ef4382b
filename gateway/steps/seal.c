/*
 * seal.c - a place at upstream, given to a client to come back to: an upload, or the next page of a list.
 * Invariant: it opens for the same identity, upstream and purpose only, and tells nothing to who holds it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/crypto.h>

#include "gateway/request.h"

#define LIFETIME (24 * 3600)	/* seconds */

struct span
seal_target(struct request *r, struct span origin, struct span target, struct span bound)
{
	const struct config_upstream *u = r->upstream_config;
	unsigned char nonce[LEASE_NONCE];
	struct lease l = {
		.expires = r->time_us / 1000000 + LIFETIME,
		.upstream = span_of(u->alias),
		.origin = span_of(u->origin),
		.url = arena_printf(r->arena, "%.*s%.*s", SPAN_FMT(origin), SPAN_FMT(target)),
	};

	if (l.url.p == NULL || !lease_holder(r->authn.who->issuer, r->authn.who->subject, l.holder))
		return SPAN_NONE;
	worker_random(r->worker, nonce, sizeof nonce);
	return lease_seal(r->serving->setup->lease_keys, &l, bound, nonce, r->arena);
}

bool
seal_open(struct request *r, struct span text, struct span bound, struct lease *out)
{
	unsigned char holder[LEASE_HOLDER];

	if (!lease_open(r->serving->setup->lease_keys, text, bound, r->time_us / 1000000, r->arena, out))
		return false;
	return lease_holder(r->authn.who->issuer, r->authn.who->subject, holder) &&
	    CRYPTO_memcmp(holder, out->holder, sizeof holder) == 0 &&
	    span_eq(out->upstream, span_of(r->upstream_config->alias)) &&
	    span_eq(out->origin, span_of(r->upstream_config->origin));
}
