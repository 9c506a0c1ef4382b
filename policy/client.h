/*
 * client.h - who a client says it is: product, version and system out of User-Agent. Pure.
 *
 * A claim, never a proof: good for turning away what is old, never for letting somebody in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CLIENT_H
#define TW_CLIENT_H

#include "attr.h"
#include "span.h"

struct client {
	struct span product;	/* lower case, in text[]; empty when User-Agent does not begin with a product */
	struct span version;	/* its dotted numbers, in User-Agent; empty when there are none */
	struct span os;		/* "linux", "darwin", "windows" (static), or empty */
	char text[32];
};
/* Whatever it holds: total, no byte is an error. User-Agent: RFC 9110 section 10.1.5. */
void client_parse(struct span user_agent, struct client *out) NONNULL(2);

#endif
