/*
 * proxy_header.h - the PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt, 2020-03-05): who connected to the
 * proxy in front of us, said before the first byte of TLS.
 *
 * Pure: bytes in, meaning out. TLVs of version 2 are skipped, not read: nothing of them is believed, a checksum (CRC32C)
 * included, which guards against no attacker.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PROXY_HEADER_H
#define TW_PROXY_HEADER_H

#include <netinet/in.h>

#include "policy/attr.h"
#include "policy/span.h"

#define PROXY_HEADER_MAX 2048u	/* bytes, TLVs included; what is longer is refused */

enum proxy_read { PROXY_BAD = 0, PROXY_MORE, PROXY_DONE };

struct proxy_header {
	size_t length;		/* what follows belongs to the client */
	bool local;		/* it names nobody (LOCAL, UNKNOWN, UNSPEC): the peer speaks for itself */
	union {			/* who connected, unless local */
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} source;
};

/*
 * `in` always holds the connection's bytes from the first one on and grows from call to call. DONE: *out is filled. MORE: so
 * far it is a header. BAD: it is none, or one of a kind that is refused (AF_UNIX, datagrams).
 */
enum proxy_read proxy_header_read(struct span in, struct proxy_header *out) NONNULL(2) WUNRES;

#endif
