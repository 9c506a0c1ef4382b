/*
 * reader.c - see reader.h.
 * Invariant: memory is one buffer, whatever the size of the log or of a line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/listing.h"

#define BUFFER	   ((size_t)1 << 20)
#define BEGIN	   "{\"time\":\""
#define TIME_N	   19u /* 2026-01-31T23:59:59 */

_Static_assert(BUFFER > 2 * (size_t)CHAIN_LINE, "a line fits");

struct reading {
	struct audit_reader *r;
	audit_line *each;
	void *ctx;
	char since[TIME_N + 1], until[TIME_N + 1]; /* empty: any */
	char *buf;
	uint64_t done, whole; /* bytes */
	time_t began, told;
	bool enough;
};

static void
set_time(char out[static TIME_N + 1], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (seconds <= 0 || gmtime_r(&t, &tm) == NULL || strftime(out, TIME_N + 1, "%Y-%m-%dT%H:%M:%S", &tm) != TIME_N)
		out[0] = '\0';
}

static void
on_line(struct reading *g, struct span line)
{
	const size_t begin = sizeof BEGIN - 1;
	const char *at;

	if (line.n < begin + TIME_N || memcmp(line.p, BEGIN, begin) != 0 || line.p[line.n - 1] != '}') {
		g->r->broken += line.n > 0;
		return;
	}
	/* texts of this shape have the order of their times */
	at = line.p + begin;
	if ((g->since[0] != '\0' && memcmp(at, g->since, TIME_N) < 0) || (g->until[0] != '\0' && memcmp(at, g->until, TIME_N) >= 0))
		return;
	g->r->lines++;
	g->enough = !g->each(g->ctx, line);
}

static void
tell(struct reading *g)
{
	time_t now = time(NULL);

	if (!g->r->progress || now == g->told || now - g->began < 2)
		return;
	g->told = now;
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB ", g->done >> 20, g->whole >> 20);
}

/* Whole lines of the n bytes there are; how many bytes are left over. */
static size_t
cut_lines(struct reading *g, size_t n, bool *skipping)
{
	char *p = g->buf, *end = g->buf + n, *newline;

	while (!g->enough && (newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		if (!*skipping)
			on_line(g, (struct span){ p, (size_t)(newline - p) });
		*skipping = false;
		p = newline + 1;
	}
	n = (size_t)(end - p);
	if (n == BUFFER) {
		/* nobody writes such a line */
		g->r->broken += !*skipping;
		*skipping = true;
		n = 0;
	}
	memmove(g->buf, p, n);
	return n;
}

static bool
read_fd(struct reading *g, int fd)
{
	bool skipping = false;
	size_t n = 0;
	ssize_t got = 1;

	while (!g->enough && got > 0) {
		got = read(fd, g->buf + n, BUFFER - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0) {
			g->done += (uint64_t)got;
			n = cut_lines(g, n + (size_t)got, &skipping);
		}
		tell(g);
	}
	return got >= 0;
}

/* A file that was last written before `since` holds no event of later. */
static bool
is_older(const struct reading *g, int fd)
{
	struct stat st;

	return g->r->since > 0 && fstat(fd, &st) == 0 && st.st_mtime < (time_t)g->r->since;
}

static bool
read_file(struct reading *g, int dir, const char *name)
{
	int fd = listing_file(dir, name), why;
	bool ok;

	if (fd < 0)
		return false;
	ok = is_older(g, fd) || read_fd(g, fd);
	why = errno;
	close(fd);
	errno = why;
	return ok;
}

static uint64_t
size_of(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

static bool
read_listed(struct reading *g, const struct listing *l)
{
	char name[SEGMENT_NAME];

	g->whole = size_of(l->dir, SEGMENT_CURRENT);
	for (size_t i = 0; i < l->n; i++) {
		listing_name(l, i, name);
		g->whole += size_of(l->dir, name);
	}
	for (size_t i = 0; i < l->n && !g->enough; i++) {
		listing_name(l, i, name);
		if (!read_file(g, l->dir, name))
			return false;
	}
	return l->state != CURRENT_THERE || g->enough || read_fd(g, l->current);
}

static bool
read_all(struct reading *g, char *err, size_t err_size)
{
	struct listing l;
	bool ok;

	errno = 0;
	if (!listing_open(&l, g->r->path, NULL, NULL)) {
		g->whole = size_of(AT_FDCWD, g->r->path);
		ok = errno == ENOTDIR && read_file(g, AT_FDCWD, g->r->path);
	} else if (l.state == CURRENT_ABSENT && l.n == 0) {
		snprintf(err, err_size, "%s: no audit log here", g->r->path);
		listing_close(&l);
		return false;
	} else {
		ok = read_listed(g, &l);
	}
	if (!ok)
		snprintf(err, err_size, "%s: %s", g->r->path, errno == 0 ? "out of memory" : strerror(errno));
	listing_close(&l);
	return ok;
}

bool
audit_read(struct audit_reader *r, audit_line *each, void *ctx, char *err, size_t err_size)
{
	struct reading g = { .r = r, .each = each, .ctx = ctx, .buf = malloc(BUFFER), .began = time(NULL) };
	bool ok;

	r->lines = r->broken = 0;
	if (g.buf == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	set_time(g.since, r->since);
	set_time(g.until, r->until);
	ok = read_all(&g, err, err_size);
	if (g.told != 0)
		fputc('\n', stderr);
	free(g.buf);
	return ok;
}
