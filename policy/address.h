/*
 * address.h - IP addresses and networks as values: one reading of a text, or none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADDRESS_H
#define TW_ADDRESS_H

#include "policy/attr.h"
#include "policy/span.h"

struct network {
	unsigned char address[16];	/* IPv4 in the first four bytes */
	bool v4;			/* ::ffff:a.b.c.d is a.b.c.d */
	unsigned bits;			/* of the prefix: 32 or 128 for an address */
};

/* A textual address, no zone. */
bool address_parse(struct span s, struct network *out) NONNULL(2) WUNRES;
/* An address or address/bits without host bits. False with a reason. */
bool network_parse(struct span s, struct network *out, char *err, size_t err_size) NONNULL(2, 3) WUNRES;
bool network_contains(const struct network *net, const struct network *address) NONNULL(1, 2) PURE;

#endif
