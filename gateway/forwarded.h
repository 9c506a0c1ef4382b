/*
 * forwarded.h - X-Forwarded-For: which of the hops is the client.
 *
 * Each proxy adds the address it was connected from at the right end. So the list is read from the right, as long as
 * whoever wrote an entry is trusted; what stands left of the first address nobody of ours vouches for is that client's
 * own invention.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_FORWARDED_H
#define TW_FORWARDED_H

#include "gateway/endpoint.h"
#include "gateway/http/head.h"

#define FORWARDED_HOPS 32u	/* more are refused */

/*
 * The client of a request that `from` brought: `from` itself unless it is in the trusted networks and wrote the field, else the
 * right-most hop that is not trusted, or the left-most one when all are. Fields count in wire order, as one list. False, when
 * `from` is trusted and any hop is no IP address (with or without port) or there are too many: then *client is `from`.
 */
bool forwarded_client(const struct http_head *head, const struct endpoint *from, const struct network *trusted, size_t n,
    struct endpoint *client) NONNULL(1, 2, 5) WUNRES;

#endif
