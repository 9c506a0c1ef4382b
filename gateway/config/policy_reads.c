/*
 * policy_reads.c - see policy_reads.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/policy_reads.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/file.h"

#define ZONE_DIRECTORY	"/usr/share/zoneinfo"
#define ZONE_FILE_MAX	((size_t)1 << 20)

static bool
keep(struct policy_reads *r, char *text)
{
	if (r->n == r->room) {
		size_t room = r->room == 0 ? 16 : 2 * r->room;
		char **grown = reallocarray(r->texts, room, sizeof *grown);

		if (grown == NULL)
			return false;
		r->texts = grown;
		r->room = room;
	}
	r->texts[r->n++] = text;
	return true;
}

static int
path_of(enum policy_file kind, const char *from, const char *name, char *out, size_t size)
{
	const char *slash = strrchr(from, '/');

	if (kind == POLICY_FILE_ZONE)
		return snprintf(out, size, ZONE_DIRECTORY "/%s", name);
	if (name[0] == '/' || slash == NULL)
		return snprintf(out, size, "%s", name);
	return snprintf(out, size, "%.*s/%s", (int)(slash - from), from, name);
}

bool
policy_reads_fetch(void *ctx, enum policy_file kind, const char *from, const char *name, struct span *text, char *err,
    size_t err_size)
{
	char path[PATH_MAX], *bytes;
	int length = path_of(kind, from, name, path, sizeof path);
	size_t n = 0;

	if (length < 0 || (size_t)length >= sizeof path) {
		snprintf(err, err_size, "the path is too long");
		return false;
	}
	bytes = file_read(path, kind == POLICY_FILE_ZONE ? ZONE_FILE_MAX : SET_FILE_MAX, &n, err, err_size);
	if (bytes == NULL)
		return false;
	*text = (struct span){ bytes, n };
	if (keep(ctx, bytes))
		return true;
	free(bytes);
	snprintf(err, err_size, "out of memory");
	return false;
}

void
policy_reads_free(struct policy_reads *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->texts[i]);
	free(r->texts);
	*r = (struct policy_reads){ 0 };
}

bool
policy_reads_is_test(const char *path)
{
	return span_ends(span_of(path), SPAN(".test.json"));
}
