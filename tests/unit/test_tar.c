/*
 * test_tar.c - tars that GNU tar writes, whole and cut, and what is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"

struct got {
	uint64_t files, bytes, ends;
	size_t longest;
};

static bool
begin(void *ctx, const char *path, uint64_t size)
{
	struct got *g = ctx;

	(void)size;
	g->files++;
	if (strlen(path) > g->longest)
		g->longest = strlen(path);
	return true;
}

static bool
bytes(void *ctx, const char *p, size_t n)
{
	(void)p;
	((struct got *)ctx)->bytes += n;
	return true;
}

static bool
end(void *ctx)
{
	((struct got *)ctx)->ends++;
	return true;
}

/* In a folder of its own: a file of 1000 bytes, and one with a name of 240. */
#define MAKE "d=$(mktemp -d); cd $d; n=$(printf 'n%.0s' $(seq 240)); head -c 1000 /dev/zero >a; printf hi >$n; "
#define GONE "; cd /; rm -r $d"

static const struct {
	const char *command;
	enum tar_state state;
	uint64_t files, bytes;
	size_t longest;
} rows[] = {
	{ MAKE "tar --format=gnu -cf - a $n" GONE, TAR_DONE, 2, 1002, 240 },
	{ MAKE "tar --format=pax -cf - a $n" GONE, TAR_DONE, 2, 1002, 240 },
	{ MAKE "tar --format=v7 -cf - a" GONE, TAR_DONE, 1, 1000, 1 },
	{ MAKE "tar --format=ustar -cf - a" GONE, TAR_DONE, 1, 1000, 1 },
	{ MAKE "tar --format=ustar -cf - a | head -c 1536" GONE, TAR_DONE, 1, 1000, 1 },
	{ MAKE "tar --format=ustar -cf - a | head -c 1535" GONE, TAR_REFUSED, 1, 1000, 1 },
	{ MAKE "tar --format=ustar -cf - a | head -c 600" GONE, TAR_REFUSED, 1, 88, 1 },
	{ MAKE "tar -cf - a; printf x" GONE, TAR_REFUSED, 1, 1000, 1 },
	{ MAKE "truncate -s 1M s; tar -S --format=gnu -cf - s" GONE, TAR_REFUSED, 0, 0, 0 },
	{ MAKE "truncate -s 1M s; tar -S --format=pax -cf - s" GONE, TAR_REFUSED, 0, 0, 0 },
	{ MAKE "i=0; while [ $i -lt 60 ]; do echo; i=$((i+1)); touch f$i; done >/dev/null; tar -cf - f*" GONE, TAR_REFUSED, 50, 0, 3 },
	{ "head -c 4000 /dev/zero | tr '\\0' x", TAR_NONE, 0, 0, 0 },
	{ "true", TAR_NONE, 0, 0, 0 },
	{ "head -c 1024 /dev/zero", TAR_DONE, 0, 0, 0 },
};

int
main(void)
{
	static const struct tar_sink sink = { begin, bytes, end };
	char *blob = malloc(1u << 20);

	for (size_t i = 0; blob != NULL && i < sizeof rows / sizeof *rows; i++) {
		FILE *f = popen(rows[i].command, "r");
		size_t n = f == NULL ? 0 : fread(blob, 1, 1u << 20, f);

		CHECK(f != NULL && pclose(f) == 0);
		for (size_t piece = 1; piece < 20000; piece *= 11) {
			struct got g = { 0 };
			struct tar *t = tar_new(&sink, &g, 50);
			enum tar_state state = TAR_GOING;

			CHECK(t != NULL);
			for (size_t at = 0; at < n && state == TAR_GOING; at += piece)
				state = tar_put(t, blob + at, n - at < piece ? n - at : piece);
			if (state == TAR_GOING)
				state = tar_end(t);
			CHECK_ROW(state == rows[i].state, rows[i].command);
			CHECK_ROW(g.files == rows[i].files && g.bytes == rows[i].bytes && g.longest == rows[i].longest, rows[i].command);
			CHECK_ROW(state != TAR_DONE || g.ends == g.files, rows[i].command);
			tar_free(t);
		}
	}
	free(blob);
	return check_done();
}
