/*
 * reach.h - which addresses an errand may connect to.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REACH_H
#define TW_REACH_H

#include "policy/address.h"

enum reach {
	REACH_PUBLIC = 0,
	REACH_LOOPBACK,	/* and this machine */
	REACH_ANY,	/* whatever has a name */
};

/* Is it an address of this machine: 127.0.0.0/8, ::1? */
bool reach_is_loopback(const struct network *address) NONNULL(1);
/* Does a URL with this host (without brackets) itself say that it means this machine? */
bool reach_names_loopback(struct span host);
bool reach_allows(enum reach r, const struct network *address) NONNULL(2);

#endif
