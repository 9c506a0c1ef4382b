/*
 * test_arena.c - memory of one request: bounded, never half given, gone at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdint.h>

#include "policy/arena.h"
#include "tests/unit/check.h"

static void
test_limit(void)
{
	struct arena *a = arena_new(1000);
	char *first = arena_alloc(a, 1), *second = arena_alloc(a, 0);

	CHECK(first != NULL && second != NULL && first != second);
	CHECK(((uintptr_t)first | (uintptr_t)second) % _Alignof(max_align_t) == 0);
	CHECK(!arena_failed(a) && arena_alloc(a, 1001) == NULL && arena_failed(a));
	/* what fits is still given: who checks only the end sees that something failed */
	CHECK(arena_alloc(a, 100) != NULL && arena_failed(a));
	arena_reset(a);
	CHECK(!arena_failed(a) && arena_alloc(a, 900) != NULL);
	arena_free(a);
	arena_free(NULL);
}

static void
test_overflow(void)
{
	static const size_t counts[][2] = { { SIZE_MAX, 2 }, { 2, SIZE_MAX }, { SIZE_MAX / 2, 3 }, { SIZE_MAX, 1 } };

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct arena *a = arena_new(SIZE_MAX);

		CHECK(arena_zalloc(a, counts[i][0], counts[i][1]) == NULL && arena_failed(a));
		CHECK(arena_alloc(a, SIZE_MAX - i) == NULL);
		arena_free(a);
	}
}

static void
test_blocks(void)
{
	struct arena *a = arena_new(4 << 20);
	unsigned char *p[300];
	unsigned wrong = 0;

	/* again after a reset, in the memory of before */
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 300; i++) {
			p[i] = arena_zalloc(a, i * 40 + 1, 1);
			if (p[i] == NULL)
				break;
			wrong += p[i][0] != 0 || p[i][i * 40] != 0;
			memset(p[i], (int)(i & 0xff), i * 40 + 1);
		}
		for (unsigned i = 0; i < 300 && p[i] != NULL; i++)
			wrong += p[i][0] != (i & 0xff) || p[i][i * 40] != (i & 0xff);
		CHECK(wrong == 0 && !arena_failed(a));
		arena_reset(a);
	}
	arena_free(a);
}

static void
test_texts(void)
{
	struct arena *a = arena_new(64);
	struct span s = arena_dup(a, SPAN("abc")), none = arena_dup(a, SPAN_NONE);

	CHECK(span_eq(s, SPAN("abc")) && s.p[3] == '\0');
	CHECK(none.p != NULL && none.n == 0 && none.p[0] == '\0');
	s = arena_printf(a, "%d-%s", 7, "x");
	CHECK(span_eq(s, SPAN("7-x")) && s.p[3] == '\0' && !arena_failed(a));
	s = arena_printf(a, "%060d", 7);
	CHECK(s.p == NULL && s.n == 0 && arena_failed(a));
	CHECK(arena_dup(a, SPAN("0123456789012345678901234567890123456789")).p == NULL);
	arena_free(a);
}

int
main(void)
{
	test_limit();
	test_overflow();
	test_blocks();
	test_texts();
	return check_done();
}
