/*
 * fuzz_scope.c - any bytes as a scope: names are repositories, the claim made of it covers exactly it, and its text reads as
 * the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/registry/route.h"
#include "gateway/token/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_one(const json_t *access, const struct scope *s)
{
	static const struct {
		enum scope_action scope;
		enum policy_action action;
	} rows[] = { { SCOPE_PULL, ACTION_PullBlob }, { SCOPE_PUSH, ACTION_PushManifest }, { SCOPE_DELETE, ACTION_DeleteTag },
		{ SCOPE_CATALOG, ACTION_ListRepositories } };

	if (s->actions == 0 || (s->repository.p != NULL && !repository_valid(s->repository)) ||
	    (s->repository.p == NULL) != (s->actions == SCOPE_CATALOG))
		abort();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if ((s->actions & rows[i].scope) && !access_covers(access, rows[i].action, s->repository))
			abort();
	for (size_t i = 0; i < 3 && s->repository.p != NULL; i++)
		if (!(s->actions & rows[i].scope) && access_covers(access, rows[i].action, s->repository))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new((size_t)1 << 20);
	struct scopes s = { .n = 0 }, again = { .n = 0 };
	json_t *access;
	struct span text;

	if (a == NULL || size > 32768 || !scopes_add(&s, (struct span){ (const char *)data, size })) {
		arena_free(a);
		return 0;
	}
	access = scopes_access(&s);
	text = scopes_text(&s, a);
	if (access == NULL || text.p == NULL || !access_valid(access) || !scopes_add(&again, text) || again.n != s.n)
		abort();
	for (size_t i = 0; i < s.n; i++) {
		check_one(access, &s.items[i]);
		if (again.items[i].actions != s.items[i].actions || !span_eq(again.items[i].repository, s.items[i].repository))
			abort();
		for (size_t k = 0; k < i; k++)
			if (span_eq(s.items[k].repository, s.items[i].repository) && s.items[k].actions != SCOPE_CATALOG &&
			    s.items[i].actions != SCOPE_CATALOG)
				abort();
	}
	json_decref(access);
	arena_free(a);
	return 0;
}
