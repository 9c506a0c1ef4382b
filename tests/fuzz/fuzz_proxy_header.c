/*
 * fuzz_proxy_header.c - any bytes before TLS: what is DONE is DONE with less behind it, and was MORE before its end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/stream/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct proxy_header h, again;

	if (proxy_header_read(in, &h) != PROXY_DONE)
		return 0;
	if (h.length == 0 || h.length > size || h.length > PROXY_HEADER_MAX)
		abort();
	if (!h.local && h.source.any.sa_family != AF_INET && h.source.any.sa_family != AF_INET6)
		abort();
	/* nothing behind the header has a say, and no shorter part of it is one */
	in.n = h.length;
	if (proxy_header_read(in, &again) != PROXY_DONE || memcmp(&h, &again, sizeof h) != 0)
		abort();
	for (in.n = 0; in.n < h.length; in.n++)
		if (proxy_header_read(in, &again) != PROXY_MORE)
			abort();
	return 0;
}
