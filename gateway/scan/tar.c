/*
 * tar.c - blocks of 512 bytes: headers, contents, padding, and what is said about the header that follows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { PART_HEADER = 0, PART_CONTENTS, PART_META, PART_PADDING, PART_BEHIND };

struct tar {
	const struct tar_sink *sink;
	void *ctx;
	enum tar_state state;
	enum part part;
	char block[TAR_BLOCK];
	size_t n_block;
	unsigned zeros;		/* blocks of zeros one behind the other */
	uint64_t left;		/* of the contents */
	size_t padding;
	char *meta;		/* of the pax header or long name being read */
	size_t n_meta;
	char meta_type;
	char *path;		/* for the next header; NULL: as it says itself */
	bool has_size;
	uint64_t size;
	uint64_t entries, max_entries;
	const char *why;
};

struct tar *
tar_new(const struct tar_sink *sink, void *ctx, uint64_t max_entries)
{
	struct tar *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->sink = sink;
	t->ctx = ctx;
	t->max_entries = max_entries;
	t->state = TAR_GOING;
	return t;
}

void
tar_free(struct tar *t)
{
	if (t == NULL)
		return;
	free(t->meta);
	free(t->path);
	free(t);
}

static void
refuse(struct tar *t, const char *why)
{
	t->why = why;
	t->state = TAR_REFUSED;
}

/* Octal, or base 256 behind 0x80. */
static bool
number(const char *p, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if ((unsigned char)p[0] == 0x80) {
		for (i = 1; i < n; i++) {
			if (v >> 54 != 0)
				return false;
			v = v << 8 | (unsigned char)p[i];
		}
		*out = v;
		return true;
	}
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	for (; i < n; i++)
		if (p[i] != ' ' && p[i] != '\0')
			return false;
	*out = v;
	return true;
}

static bool
checksum_right(const char *b)
{
	uint64_t said, sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)b[i];
	return number(b + 148, 8, &said) && said == sum;
}

/* One pax record, "path=..." without its length. */
static void
pax_record(struct tar *t, char *key, size_t n)
{
	char *value = memchr(key, '=', n), *end;
	size_t k, left;

	if (value == NULL || memchr(key, '\0', n) != NULL) {
		refuse(t, "tar: a broken pax record");
		return;
	}
	k = (size_t)(value++ - key);
	left = n - k - 1;
	if (k > 10 && memcmp(key, "GNU.sparse", 10) == 0)
		refuse(t, "tar: a sparse file");
	else if (t->meta_type == 'g' && ((k == 4 && memcmp(key, "path", 4) == 0) || (k == 4 && memcmp(key, "size", 4) == 0)))
		refuse(t, "tar: a path or size for all files");
	else if (k == 4 && memcmp(key, "path", 4) == 0) {
		free(t->path);
		t->path = strndup(value, left);
		if (t->path == NULL)
			t->state = TAR_FAILED;
	} else if (k == 4 && memcmp(key, "size", 4) == 0) {
		char digits[20];

		if (left == 0 || left > 18 || strspn(value, "0123456789") < left) {
			refuse(t, "tar: a broken pax size");
			return;
		}
		snprintf(digits, sizeof digits, "%.*s", (int)left, value);
		t->size = strtoull(digits, &end, 10);
		t->has_size = true;
	}
}

static void
pax(struct tar *t)
{
	for (size_t at = 0; at < t->n_meta && t->state == TAR_GOING;) {
		size_t n = 0, i = at;

		for (; i < t->n_meta && i < at + 8 && t->meta[i] >= '0' && t->meta[i] <= '9'; i++)
			n = n * 10 + (size_t)(t->meta[i] - '0');
		if (i == at || i == t->n_meta || t->meta[i] != ' ' || n > t->n_meta - at || n < i - at + 4 || t->meta[at + n - 1] != '\n') {
			refuse(t, "tar: a broken pax record");
			return;
		}
		pax_record(t, t->meta + i + 1, n - (i - at) - 2);
		at += n;
	}
}

static void
finish(struct tar *t)
{
	if (t->part == PART_CONTENTS && !t->sink->end(t->ctx))
		t->state = TAR_STOPPED;
	if (t->part == PART_META && (t->meta_type == 'x' || t->meta_type == 'g'))
		pax(t);
	else if (t->part == PART_META && t->meta_type == 'L') {
		free(t->path);
		t->path = t->meta;
		t->meta = NULL;
	}
	free(t->meta);
	t->meta = NULL;
	t->part = t->padding > 0 ? PART_PADDING : PART_HEADER;
}

static void
begin_meta(struct tar *t, char type, uint64_t size)
{
	if (size > TAR_META_MAX) {
		refuse(t, "tar: a name or pax header over 1 MiB");
		return;
	}
	t->meta = calloc(1, (size_t)size + 1);
	t->n_meta = 0;
	t->meta_type = type;
	t->part = PART_META;
	if (t->meta == NULL)
		t->state = TAR_FAILED;
}

static void
begin_file(struct tar *t, const char *b, uint64_t size)
{
	char name[260];
	bool ustar = memcmp(b + 257, "ustar\0", 6) == 0;

	if (ustar && b[345] != '\0')
		snprintf(name, sizeof name, "%.155s/%.100s", b + 345, b);
	else
		snprintf(name, sizeof name, "%.100s", b);
	t->part = PART_CONTENTS;
	if (!t->sink->begin(t->ctx, t->path != NULL ? t->path : name, size))
		t->state = TAR_STOPPED;
	free(t->path);
	t->path = NULL;
	t->has_size = false;
}

static void
header(struct tar *t)
{
	const char *b = t->block;
	uint64_t size;
	char type = b[156];

	if (!checksum_right(b) || !number(b + 124, 12, &size)) {
		refuse(t, "tar: a broken header");
		if (t->entries == 0)
			t->state = TAR_NONE;
		return;
	}
	if (++t->entries > t->max_entries) {
		refuse(t, "tar: more than max-entries");
		return;
	}
	if (type == 'S') {
		refuse(t, "tar: a sparse file");
		return;
	}
	if (type == 'x' || type == 'g' || type == 'L' || type == 'K')
		begin_meta(t, type, size);
	else {
		size = t->has_size ? t->size : size;
		if (type >= '1' && type <= '6')
			size = 0;	/* links, devices, folders: nothing follows, whatever is said */
		begin_file(t, b, size);
	}
	t->left = size;
	t->padding = (size_t)(-size & (TAR_BLOCK - 1));
	if (size == 0 && t->state == TAR_GOING)
		finish(t);
}

static void
block(struct tar *t)
{
	static const char zeros[TAR_BLOCK];

	t->n_block = 0;
	if (memcmp(t->block, zeros, TAR_BLOCK) != 0) {
		if (t->zeros > 0)
			refuse(t, "tar: a header behind a block of zeros");
		else
			header(t);
	} else if (++t->zeros == 2)
		t->part = PART_BEHIND;
}

static size_t
take(struct tar *t, const char *p, size_t n)
{
	size_t k = n;

	if (t->part == PART_HEADER) {
		k = TAR_BLOCK - t->n_block < n ? TAR_BLOCK - t->n_block : n;
		memcpy(t->block + t->n_block, p, k);
		t->n_block += k;
		if (t->n_block == TAR_BLOCK)
			block(t);
	} else if (t->part == PART_PADDING) {
		k = t->padding < n ? t->padding : n;
		t->padding -= k;
		if (t->padding == 0)
			t->part = PART_HEADER;
	} else if (t->part == PART_BEHIND) {
		for (size_t i = 0; i < n; i++)
			if (p[i] != '\0') {
				refuse(t, "tar: bytes behind its end");
				break;
			}
	} else {
		k = t->left < n ? (size_t)t->left : n;
		if (t->part == PART_META) {
			memcpy(t->meta + t->n_meta, p, k);
			t->n_meta += k;
		} else if (!t->sink->bytes(t->ctx, p, k))
			t->state = TAR_STOPPED;
		t->left -= k;
		if (t->left == 0 && t->state == TAR_GOING)
			finish(t);
	}
	return k;
}

enum tar_state
tar_put(struct tar *t, const char *p, size_t n)
{
	while (n > 0 && t->state == TAR_GOING) {
		size_t k = take(t, p, n);

		p += k;
		n -= k;
	}
	return t->state;
}

/* Without blocks of zeros too: runtimes take it. Cut off within something: refused. */
enum tar_state
tar_end(struct tar *t)
{
	if (t->state != TAR_GOING)
		return t->state;
	if (t->entries == 0 && t->zeros == 0)
		return t->state = TAR_NONE;
	if (t->n_block > 0 || (t->part != PART_HEADER && t->part != PART_BEHIND))
		refuse(t, "tar: is cut off");
	else
		t->state = TAR_DONE;
	return t->state;
}

const char *
tar_why(const struct tar *t)
{
	return t->why == NULL ? "" : t->why;
}

uint64_t
tar_entries(const struct tar *t)
{
	return t->entries;
}
