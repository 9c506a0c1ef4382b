/*
 * endpoint.h - one end of a connection, as address, text and port; and which networks it lies in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ENDPOINT_H
#define TW_ENDPOINT_H

#include <sys/socket.h>

#include "policy/address.h"

struct endpoint {
	struct network address;	/* ::ffff:a.b.c.d is a.b.c.d */
	unsigned port;		/* 0: not known */
	char ip[46];		/* the address in its one text form */
};

/* False, and nobody in *out, for a socket that is neither IPv4 nor IPv6. */
bool endpoint_from(const struct sockaddr *sa, struct endpoint *out) NONNULL(1, 2) WUNRES;
/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711"; nothing else is read. */
bool endpoint_parse(struct span text, struct endpoint *out) NONNULL(2) WUNRES;
bool endpoint_within(const struct endpoint *e, const struct network *networks, size_t n) NONNULL(1) PURE;

#endif
