/*
 * identity.c - who is asking.
 * Invariant: but for its count an identity never changes; every one but the anonymous is a struct verified.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/identity.h"

#include <stdlib.h>

#include "policy/jws.h"

static const struct span anonymous_ids[] = { { "anonymous", 9 } };
static const struct identity anonymous = {
	.type = PRINCIPAL_ANONYMOUS,
	.subject = { "anonymous", 9 },
	.ids = anonymous_ids,
	.n_ids = 1,
	.refs = 1,
};

const struct identity *
identity_anonymous(void)
{
	return &anonymous;
}

const struct identity *
identity_ref(const struct identity *id)
{
	/* made by token_verify(), in memory of its own: only the count changes */
	if (id != &anonymous)
		((struct verified *)(uintptr_t)id)->identity.refs++;
	return id;
}

void
identity_unref(const struct identity *id)
{
	struct verified *v = (struct verified *)(uintptr_t)id;

	if (id == NULL || id == &anonymous || --v->identity.refs > 0)
		return;
	json_decref(v->claims);
	arena_free(v->arena);
	free(v);
}

const json_t *
claim_find(const json_t *claims, struct span path, unsigned *found)
{
	const json_t *v, *hit;

	*found = 0;
	if (!json_is_object(claims))
		return NULL;
	hit = json_object_getn(claims, path.p, path.n);
	*found = hit != NULL;
	for (size_t i = 1; i + 1 < path.n; i++) {
		unsigned deeper;

		if (path.p[i] != '.')
			continue;
		v = claim_find(json_object_getn(claims, path.p, i), span_skip(path, i + 1), &deeper);
		*found += deeper;
		hit = v != NULL ? v : hit;
	}
	return hit;
}
