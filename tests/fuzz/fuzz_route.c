/*
 * fuzz_route.c - any bytes as method and target: what is accepted is asked upstream in one form, which reads the same
 * and holds nothing that could be read another way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/registry/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
plain_path(struct span t)
{
	const char *q = memchr(t.p, '?', t.n);
	struct span path = { t.p, q == NULL ? t.n : (size_t)(q - t.p) };

	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._:/-", c) != NULL))
			return false;
	}
	return span_starts(path, SPAN("/v2/")) && memmem(path.p, path.n, "//", 2) == NULL && memmem(path.p, path.n, "/.", 2) == NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(1 << 20);
	struct route r, again;
	struct span target, twice;
	enum http_method m;

	if (a == NULL || size == 0) {
		arena_free(a);
		return 0;
	}
	m = (enum http_method)(data[0] % (HTTP_DELETE + 1));
	if (route_resolve(m, (struct span){ (const char *)data + 1, size - 1 }, &route_limits_default, a, &r) != REFUSE_NONE) {
		arena_free(a);
		return 0;
	}
	if (r.op == ROUTE_NONE || (r.repository.p != NULL && !repository_valid(r.repository)))
		abort();
	if (r.reference_type == REFERENCE_LEASE) {
		arena_free(a);
		return 0;
	}
	target = route_target(&r, r.repository, a);
	if (r.op == ROUTE_TOKEN || r.op == ROUTE_JWKS) {
		/* the gateway's own: upstream never hears of them */
		if (target.p != NULL)
			abort();
		arena_free(a);
		return 0;
	}
	if (target.p == NULL || !plain_path(target) || route_resolve(m, target, &route_limits_default, a, &again) != REFUSE_NONE)
		abort();
	twice = route_target(&again, again.repository, a);
	if (again.op != r.op || !span_eq(again.repository, r.repository) || !span_eq(again.reference, r.reference) ||
	    !span_eq(twice, target))
		abort();
	arena_free(a);
	return 0;
}
