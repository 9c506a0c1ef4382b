/*
 * test_unpack.c - what comes out of packed blobs, whole, joined, cut, followed by other bytes, and too much of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"

#define BLOB_MAX (1u << 20)

struct got {
	char text[4096];
	size_t n;
	uint64_t all;
};

static bool
sink(void *ctx, const char *p, size_t n)
{
	struct got *g = ctx;

	for (size_t i = 0; i < n && g->n < sizeof g->text; i++)
		g->text[g->n++] = p[i];
	g->all += n;
	return true;
}

/* What a shell command prints. */
static size_t
made(const char *command, char *out)
{
	FILE *f = popen(command, "r");
	size_t n = 0, k;

	CHECK(f != NULL);
	while (f != NULL && n < BLOB_MAX && (k = fread(out + n, 1, BLOB_MAX - n, f)) > 0)
		n += k;
	if (f != NULL)
		CHECK(pclose(f) == 0);
	return n;
}

static enum unpack_state
unpacked(const char *p, size_t n, size_t piece, const struct unpack_bounds *b, struct got *g)
{
	struct unpack *u = unpack_new(b, sink, g);
	enum unpack_state state = UNPACK_GOING;

	CHECK(u != NULL);
	memset(g, 0, sizeof *g);
	for (size_t at = 0; at < n && state == UNPACK_GOING; at += piece)
		state = unpack_put(u, p + at, n - at < piece ? n - at : piece);
	if (state == UNPACK_GOING)
		state = unpack_end(u);
	CHECK((state == UNPACK_REFUSED) == (*unpack_why(u) != '\0'));
	unpack_free(u);
	return state;
}

static const struct {
	const char *command, *text;
	enum unpack_state state;
	bool cuts;		/* every shorter part of it is refused */
} cases[] = {
	{ "printf plain", "plain", UNPACK_DONE, false },
	{ "true", "", UNPACK_DONE, false },
	{ "printf one | gzip", "one", UNPACK_DONE, true },
	{ "printf one | zstd -q", "one", UNPACK_DONE, true },
	{ "printf one | bzip2", "one", UNPACK_DONE, true },
	{ "printf one | xz", "one", UNPACK_DONE, true },
	{ "printf one | gzip; printf two | gzip", "onetwo", UNPACK_DONE, false },
	{ "printf one | zstd -q; printf two | zstd -q", "onetwo", UNPACK_DONE, false },
	{ "printf one | zstd -q; printf '\\120\\052\\115\\030\\003\\000\\000\\000abc'", "one", UNPACK_DONE, false },
	{ "printf '\\120\\052\\115\\030\\003\\000\\000\\000abc'; printf one | zstd -q", "one", UNPACK_DONE, false },
	{ "printf one | bzip2; printf two | bzip2", "onetwo", UNPACK_DONE, false },
	{ "printf one | xz; printf two | xz", "onetwo", UNPACK_DONE, false },
	{ "printf one | gzip; head -c 700 /dev/zero", "one", UNPACK_DONE, false },
	{ "printf one | gzip; printf behind", "one", UNPACK_REFUSED, false },
	{ "printf one | gzip; printf '\\000\\000x'", "one", UNPACK_REFUSED, false },
	{ "printf one | zstd -q; printf behind", "one", UNPACK_REFUSED, false },
	{ "printf one | bzip2; printf behind", "one", UNPACK_REFUSED, false },
	{ "printf one | xz; printf behind", "one", UNPACK_REFUSED, false },
};

static void
test_cases(char *blob)
{
	static const struct unpack_bounds b = { 1u << 30, 1000 };
	struct got g;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t n = made(cases[i].command, blob);

		for (size_t piece = 1; piece < 2000; piece *= 7) {
			enum unpack_state state = unpacked(blob, n, piece, &b, &g);

			CHECK_ROW(state == cases[i].state, cases[i].command);
			CHECK_ROW(g.n == strlen(cases[i].text) && memcmp(g.text, cases[i].text, g.n) == 0, cases[i].command);
		}
		/* Shorter than six bytes it may be no packed blob at all: as it is. */
		for (size_t k = 6; cases[i].cuts && k < n; k++)
			CHECK(unpacked(blob, k, 16, &b, &g) == UNPACK_REFUSED);
	}
}

static void
test_bounds(char *blob)
{
	static const struct unpack_bounds small = { 1000, 1000 }, ratio = { 1ull << 40, 100 };
	static const char *const tools[] = { "gzip -1", "zstd -q", "bzip2", "xz -0" };
	struct got g;
	char command[100];

	for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++) {
		snprintf(command, sizeof command, "head -c 115343360 /dev/zero | %s", tools[i]);
		size_t n = made(command, blob);

		CHECK(n > 0 && n < BLOB_MAX);
		CHECK(unpacked(blob, n, 4096, &small, &g) == UNPACK_REFUSED && g.all <= 1000);
		CHECK(unpacked(blob, n, 4096, &ratio, &g) == UNPACK_REFUSED && g.all <= UNPACK_RATIO_FREE);
	}
}

int
main(void)
{
	char *blob = malloc(BLOB_MAX);

	CHECK(blob != NULL);
	test_cases(blob);
	test_bounds(blob);
	free(blob);
	return check_done();
}
