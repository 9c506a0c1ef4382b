/*
 * fuzz_append.c - two documents, split at the first newline: may the second follow the first under a tag that grows?
 *
 * What must hold: whatever may follow still begins with all of the first's entries, and may follow itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "gateway/tags/append.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool what)
{
	if (!what)
		abort();
}

static void
check_prefix(struct span old, struct span now, const char *list)
{
	json_t *a = json_loadb(old.p, old.n, 0, NULL), *b = json_loadb(now.p, now.n, 0, NULL);
	json_t *before = json_object_get(a, list), *after = json_object_get(b, list);

	must(json_is_array(before) && json_is_array(after) && json_array_size(before) <= json_array_size(after));
	for (size_t i = 0; i < json_array_size(before); i++)
		must(json_equal(json_array_get(before, i), json_array_get(after, i)));
	must(json_equal(json_object_get(a, "mediaType"), json_object_get(b, "mediaType")) || json_object_get(a, "mediaType") == NULL);
	json_decref(a);
	json_decref(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = { (const char *)data, size }, old, now;
	enum append_kind kind;
	struct append out;
	char pattern[] = "application/vnd.example*", *patterns[] = { pattern };
	const struct append_types types = { patterns, 1 };
	const char *newline;

	if (size < 2)
		return 0;
	kind = (enum append_kind)((unsigned char)all.p[0] % 5);
	all = span_skip(all, 1);
	newline = memchr(all.p, '\n', all.n);
	if (newline == NULL)
		return 0;
	old = (struct span){ all.p, (size_t)(newline - all.p) };
	now = span_skip(all, old.n + 1);
	if (!append_check(kind, old, now, &types, &out)) {
		must(out.err[0] != '\0');
		return 0;
	}
	must(kind != APPEND_NONE && out.n <= APPEND_NEW_MAX);
	if (old.n > 0)
		check_prefix(old, now, kind == APPEND_REFERRERS ? "manifests" : "layers");
	must(append_check(kind, now, now, &types, &out) && out.n == 0);
	return 0;
}
