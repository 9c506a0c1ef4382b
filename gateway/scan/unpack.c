/*
 * unpack.c - four decompressors behind one step.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/unpack.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define UNPACK_CHUNK 65536u
#define UNPACK_HEAD 6u
#define UNPACK_WINDOW_LOG 27		/* zstd: 128 MiB, what its own tool takes */
#define UNPACK_XZ_MEMORY (128ull << 20)

enum packing { PACKING_UNKNOWN = 0, PACKING_NONE, PACKING_GZIP, PACKING_ZSTD, PACKING_BZIP2, PACKING_XZ };

/* What is left of the input, and what there is room for. */
struct step {
	const char *in;
	size_t n;
	char *out;
	size_t room;
};

struct unpack {
	struct unpack_bounds bounds;
	unpack_sink *sink;
	void *ctx;
	enum packing packing;
	enum unpack_state state;
	bool between;		/* a member, frame or stream ended just now */
	bool zeros;		/* behind the last gzip member */
	bool open;		/* z or bz is initialised */
	z_stream z;
	bz_stream bz;
	lzma_stream xz;
	ZSTD_DCtx *zstd;
	const char *why;
	uint64_t in, out;
	char head[UNPACK_HEAD];
	size_t n_head;
	char chunk[UNPACK_CHUNK];
};

struct unpack *
unpack_new(const struct unpack_bounds *bounds, unpack_sink *sink, void *ctx)
{
	struct unpack *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->bounds = *bounds;
	u->sink = sink;
	u->ctx = ctx;
	u->state = UNPACK_GOING;
	return u;
}

void
unpack_free(struct unpack *u)
{
	if (u == NULL)
		return;
	if (u->open && u->packing == PACKING_GZIP)
		inflateEnd(&u->z);
	if (u->open && u->packing == PACKING_BZIP2)
		BZ2_bzDecompressEnd(&u->bz);
	if (u->packing == PACKING_XZ)
		lzma_end(&u->xz);
	ZSTD_freeDCtx(u->zstd);
	free(u);
}

static enum unpack_state
refuse(struct unpack *u, const char *why)
{
	u->why = why;
	u->state = UNPACK_REFUSED;
	return u->state;
}

static enum unpack_state
give(struct unpack *u, const char *p, size_t n)
{
	if (n == 0)
		return u->state;
	u->out += n;
	if (u->out > u->bounds.max_unpacked)
		return refuse(u, "unpacks to more than max-unpacked");
	if (u->out > UNPACK_RATIO_FREE && u->bounds.max_ratio > 0 && u->out / u->bounds.max_ratio > u->in)
		return refuse(u, "unpacks to more than max-ratio times its size");
	if (!u->sink(u->ctx, p, n))
		u->state = UNPACK_STOPPED;
	return u->state;
}

static enum packing
packing_of(const char *head, size_t n)
{
	static const struct {
		const char *magic;
		size_t n;
		enum packing packing;
	} known[] = {
		{ "\x1f\x8b", 2, PACKING_GZIP },
		{ "\x28\xb5\x2f\xfd", 4, PACKING_ZSTD },
		{ "BZh", 3, PACKING_BZIP2 },
		{ "\xfd" "7zXZ\0", 6, PACKING_XZ },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (n >= known[i].n && memcmp(head, known[i].magic, known[i].n) == 0)
			return known[i].packing;
	if (n >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0)
		return PACKING_ZSTD;		/* a skippable frame comes first */
	return PACKING_NONE;
}

static bool
open_packing(struct unpack *u)
{
	if (u->packing == PACKING_GZIP)
		u->open = inflateInit2(&u->z, 15 + 16) == Z_OK;
	else if (u->packing == PACKING_BZIP2)
		u->open = BZ2_bzDecompressInit(&u->bz, 0, 0) == BZ_OK;
	else if (u->packing == PACKING_XZ)
		u->open = lzma_stream_decoder(&u->xz, UNPACK_XZ_MEMORY, LZMA_CONCATENATED) == LZMA_OK;
	else if (u->packing == PACKING_ZSTD)
		u->open = (u->zstd = ZSTD_createDCtx()) != NULL &&
		    !ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG));
	else
		u->open = true;
	return u->open;
}

static enum unpack_state
step_gzip(struct unpack *u, struct step *s)
{
	int rc;

	if (u->between && *s->in == '\0')
		u->zeros = true;
	if (u->zeros) {
		for (; s->n > 0 && *s->in == '\0'; s->n--)
			s->in++;
		return s->n == 0 ? u->state : refuse(u, "bytes behind the last gzip member");
	}
	u->z.next_in = (Bytef *)(uintptr_t)s->in;
	u->z.avail_in = (uInt)s->n;
	u->z.next_out = (Bytef *)s->out;
	u->z.avail_out = (uInt)s->room;
	rc = inflate(&u->z, Z_NO_FLUSH);
	s->in += s->n - u->z.avail_in;
	s->n = u->z.avail_in;
	s->room = u->z.avail_out;
	u->between = rc == Z_STREAM_END;
	if (rc == Z_MEM_ERROR)
		return u->state = UNPACK_FAILED;
	if (rc == Z_STREAM_END)
		return inflateReset(&u->z) == Z_OK ? u->state : (u->state = UNPACK_FAILED);
	return rc == Z_OK || rc == Z_BUF_ERROR ? u->state : refuse(u, "gzip: broken, or followed by other bytes");
}

static enum unpack_state
step_zstd(struct unpack *u, struct step *s)
{
	ZSTD_inBuffer in = { s->in, s->n, 0 };
	ZSTD_outBuffer out = { s->out, s->room, 0 };
	size_t rc = ZSTD_decompressStream(u->zstd, &out, &in);

	s->in += in.pos;
	s->n -= in.pos;
	s->room -= out.pos;
	if (ZSTD_isError(rc))
		return refuse(u, "zstd: broken, followed by other bytes, or of a window over 128 MiB");
	u->between = rc == 0;
	return u->state;
}

static enum unpack_state
step_bzip2(struct unpack *u, struct step *s)
{
	int rc;

	if (!u->open && !open_packing(u))
		return u->state = UNPACK_FAILED;
	u->bz.next_in = (char *)(uintptr_t)s->in;
	u->bz.avail_in = (unsigned)s->n;
	u->bz.next_out = s->out;
	u->bz.avail_out = (unsigned)s->room;
	rc = BZ2_bzDecompress(&u->bz);
	s->in += s->n - u->bz.avail_in;
	s->n = u->bz.avail_in;
	s->room = u->bz.avail_out;
	u->between = rc == BZ_STREAM_END;
	if (u->between) {
		BZ2_bzDecompressEnd(&u->bz);
		memset(&u->bz, 0, sizeof u->bz);
		u->open = false;
	}
	if (rc == BZ_MEM_ERROR)
		return u->state = UNPACK_FAILED;
	return rc == BZ_OK || rc == BZ_STREAM_END ? u->state : refuse(u, "bzip2: broken, or followed by other bytes");
}

static enum unpack_state
step_xz(struct unpack *u, struct step *s, bool last)
{
	lzma_ret rc;

	u->xz.next_in = (const uint8_t *)s->in;
	u->xz.avail_in = s->n;
	u->xz.next_out = (uint8_t *)s->out;
	u->xz.avail_out = s->room;
	rc = lzma_code(&u->xz, last ? LZMA_FINISH : LZMA_RUN);
	s->in += s->n - u->xz.avail_in;
	s->n = u->xz.avail_in;
	s->room = u->xz.avail_out;
	u->between = rc == LZMA_STREAM_END;
	if (rc == LZMA_MEM_ERROR)
		return u->state = UNPACK_FAILED;
	if (rc == LZMA_OK || rc == LZMA_STREAM_END || (rc == LZMA_BUF_ERROR && !last))
		return u->state;
	return refuse(u, "xz: broken, cut off, or of a window over 128 MiB");
}

static enum unpack_state
run(struct unpack *u, const char *p, size_t n, bool last)
{
	struct step s = { p, n, NULL, 0 };

	if (u->packing == PACKING_NONE)
		return give(u, p, n);
	do {
		s.out = u->chunk;
		s.room = sizeof u->chunk;
		if (u->packing == PACKING_GZIP)
			step_gzip(u, &s);
		else if (u->packing == PACKING_ZSTD)
			step_zstd(u, &s);
		else if (u->packing == PACKING_BZIP2)
			step_bzip2(u, &s);
		else
			step_xz(u, &s, last);
		if (give(u, u->chunk, sizeof u->chunk - s.room) != UNPACK_GOING)
			return u->state;
	} while (s.n > 0 || (s.room == 0 && !u->between) || (last && u->packing == PACKING_XZ && !u->between));
	return u->state;
}

static enum unpack_state
begin(struct unpack *u)
{
	u->packing = packing_of(u->head, u->n_head);
	if (!open_packing(u))
		return u->state = UNPACK_FAILED;
	return u->n_head == 0 ? u->state : run(u, u->head, u->n_head, false);
}

enum unpack_state
unpack_put(struct unpack *u, const char *p, size_t n)
{
	while (u->state == UNPACK_GOING && n > 0 && u->packing == PACKING_UNKNOWN) {
		u->head[u->n_head++] = *p++;
		u->in++;
		n--;
		if (u->n_head == UNPACK_HEAD)
			begin(u);
	}
	while (u->state == UNPACK_GOING && n > 0) {
		size_t part = n < UNPACK_CHUNK ? n : UNPACK_CHUNK;

		u->in += part;
		run(u, p, part, false);
		p += part;
		n -= part;
	}
	return u->state;
}

enum unpack_state
unpack_end(struct unpack *u)
{
	if (u->state == UNPACK_GOING && u->packing == PACKING_UNKNOWN)
		begin(u);
	if (u->state == UNPACK_GOING && u->packing == PACKING_XZ)
		run(u, "", 0, true);
	if (u->state != UNPACK_GOING)
		return u->state;
	if (u->packing != PACKING_NONE && !u->between && !u->zeros)
		return refuse(u, "is cut off");
	return u->state = UNPACK_DONE;
}

const char *
unpack_why(const struct unpack *u)
{
	return u->why == NULL ? "" : u->why;
}

uint64_t
unpack_in(const struct unpack *u)
{
	return u->in;
}

uint64_t
unpack_out(const struct unpack *u)
{
	return u->out;
}
