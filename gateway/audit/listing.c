/*
 * listing.c - see listing.h.
 *
 * current.jsonl is opened first: a gateway that closes it while we list cannot hide it from us.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
add(struct listing *l, uint64_t seq)
{
	uint64_t *more;

	if (l->n == l->space) {
		l->space = l->space == 0 ? 64 : l->space * 2;
		more = reallocarray(l->first_seq, l->space, sizeof *more);
		if (more == NULL)
			return false;
		l->first_seq = more;
	}
	l->first_seq[l->n++] = seq;
	return true;
}

static int
by_seq(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* prefix, then nothing but a time: what we named, and may print */
static bool
is_aside(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && name[n] != '\0' && strspn(name + n, "0123456789-") == strlen(name + n);
}

static bool
list(struct listing *l, const char *path, listing_aside *aside, void *ctx)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	uint64_t seq;
	int why;

	if (d == NULL)
		return false;
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (segment_is_closed_name(e->d_name, &seq) && !add(l, seq))
			break;
		if (aside != NULL && (is_aside(e->d_name, "torn.") || is_aside(e->d_name, "lost.")))
			aside(ctx, e->d_name);
	}
	why = errno;
	closedir(d);
	errno = why;
	if (l->n > 0)
		qsort(l->first_seq, l->n, sizeof *l->first_seq, by_seq);
	return why == 0;
}

/* Was current.jsonl closed since it was opened, and so is a segment of the list? */
static bool
is_listed(const struct listing *l)
{
	struct stat ours, st;
	char name[SEGMENT_NAME];

	if (fstat(l->current, &ours) != 0)
		return false;
	for (size_t i = l->n; i-- > 0;) {
		listing_name(l, i, name);
		if (fstatat(l->dir, name, &st, 0) == 0 && st.st_ino == ours.st_ino && st.st_dev == ours.st_dev)
			return true;
	}
	return false;
}

bool
listing_open(struct listing *l, const char *path, listing_aside *aside, void *ctx)
{
	*l = (struct listing){ .current = -1, .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (l->dir < 0)
		return false;
	l->current = listing_file(l->dir, SEGMENT_CURRENT);
	if ((l->current < 0 && errno != ENOENT) || !list(l, path, aside, ctx))
		return false;
	if (l->current >= 0)
		l->state = is_listed(l) ? CURRENT_CLOSED : CURRENT_THERE;
	return true;
}

void
listing_close(struct listing *l)
{
	if (l->current >= 0)
		close(l->current);
	if (l->dir >= 0)
		close(l->dir);
	free(l->first_seq);
	*l = (struct listing){ .dir = -1, .current = -1 };
}

void
listing_name(const struct listing *l, size_t i, char out[static SEGMENT_NAME])
{
	snprintf(out, SEGMENT_NAME, "%020" PRIu64 ".jsonl", l->first_seq[i]);
}

int
listing_file(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}
