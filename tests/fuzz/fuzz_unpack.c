/*
 * fuzz_unpack.c - any bytes unpacked, and what comes out read as a tar.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/scan/tar.h"
#include "gateway/scan/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
begin(void *ctx, const char *path, uint64_t size)
{
	(void)ctx;
	(void)size;
	return path[0] != '\1';
}

static bool
bytes(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	return n > 0 && p[0] != '\1';
}

static bool
end(void *ctx)
{
	(void)ctx;
	return true;
}

static bool
pass_on(void *ctx, const char *p, size_t n)
{
	return tar_put(ctx, p, n) == TAR_GOING;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tar_sink sink = { begin, bytes, end };
	static const struct unpack_bounds bounds = { 1u << 22, 1000 };
	struct tar *t = tar_new(&sink, NULL, 100);
	struct unpack *u = t == NULL ? NULL : unpack_new(&bounds, pass_on, t);
	const char *p = (const char *)data;

	if (u != NULL) {
		unpack_put(u, p, size / 3);
		unpack_put(u, p + size / 3, size - size / 3);
		if (unpack_end(u) == UNPACK_DONE && tar_end(t) == TAR_GOING)
			abort();
		if (unpack_out(u) > bounds.max_unpacked + 65536)
			abort();
	}
	unpack_free(u);
	tar_free(t);
	return 0;
}
