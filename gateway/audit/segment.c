/*
 * segment.c - current.jsonl, from the first line to its closing.
 * Invariant: the first `size` bytes of current.jsonl are complete lines of the chain, on the disk.
 *
 * Somebody else's hand in the directory never stops the log, and never goes unseen: a file that is not the one we
 * wrote is renamed to lost.<time>, a new one goes on with the chain, and `audit verify` finds the gap.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/log.h"

bool
segment_is_closed_name(const char *name, uint64_t *first_seq)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 20; i++) {
		if (name[i] < '0' || name[i] > '9' || (i == 0 && name[i] != '0'))
			return false;
		v = v * 10 + (uint64_t)(name[i] - '0');	/* 19 digits: fits */
	}
	*first_seq = v;
	return strcmp(name + 20, ".jsonl") == 0;
}

/* ---- creating and setting aside ---- */

/* A name that is free: <prefix>.<time>, with a number behind it when that second has one already. */
static void
aside_name(char *name, size_t size, const char *prefix, unsigned n)
{
	long long now = (long long)time(NULL);

	if (n == 0)
		snprintf(name, size, "%s.%lld", prefix, now);
	else
		snprintf(name, size, "%s.%lld-%u", prefix, now, n);
}

static bool
set_aside(const struct segment *g, const char *name)
{
	char to[64];

	for (unsigned n = 0; n < 100; n++) {
		aside_name(to, sizeof to, "lost", n);
		if (renameat2(g->dir, name, g->dir, to, RENAME_NOREPLACE) == 0) {
			log_error("msg=audit: %s/%s is not what was written there: renamed to %s", g->path, name, to);
			return true;
		}
		if (errno != EEXIST)
			return errno == ENOENT;
	}
	return false;
}

/* A new current.jsonl, and the directory knows it. */
static bool
create_current(struct segment *g, uint64_t first_seq)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, saved;

	g->fd = openat(g->dir, SEGMENT_CURRENT, flags, 0600);
	if (g->fd < 0 && errno == EEXIST && set_aside(g, SEGMENT_CURRENT))
		g->fd = openat(g->dir, SEGMENT_CURRENT, flags, 0600);
	if (g->fd < 0)
		return false;
	if (fsync(g->dir) != 0) {
		saved = errno;
		unlinkat(g->dir, SEGMENT_CURRENT, 0);
		close(g->fd);
		g->fd = -1;
		errno = saved;
		return false;
	}
	g->first_seq = first_seq;
	g->size = 0;
	g->dirty = false;
	return true;
}

static void
forget_current(struct segment *g)
{
	close(g->fd);
	g->fd = -1;
}

/* ---- while running ---- */

/* The file may be full; the caller creates the next one, which also makes the rename durable. */
static bool
close_full(struct segment *g)
{
	char name[SEGMENT_NAME];

	snprintf(name, sizeof name, "%020llu.jsonl", (unsigned long long)g->first_seq);
	if (renameat2(g->dir, SEGMENT_CURRENT, g->dir, name, RENAME_NOREPLACE) != 0) {
		if (errno != EEXIST || !set_aside(g, name))
			return false;
		if (renameat2(g->dir, SEGMENT_CURRENT, g->dir, name, RENAME_NOREPLACE) != 0)
			return false;
	}
	forget_current(g);
	return true;
}

static bool
cut_to(struct segment *g, uint64_t size)
{
	return ftruncate(g->fd, (off_t)size) == 0 && fsync(g->fd) == 0;
}

bool
segment_ready(struct segment *g, uint64_t next_seq)
{
	struct stat ours, there;

	if (g->fd >= 0) {
		if (fstat(g->fd, &ours) != 0)
			return false;
		if (fstatat(g->dir, SEGMENT_CURRENT, &there, AT_SYMLINK_NOFOLLOW) != 0) {
			if (errno != ENOENT)
				return false;
			log_error("msg=audit: %s/" SEGMENT_CURRENT " was removed: its events from seq %llu on are gone, "
			    "a new one goes on with the chain", g->path, (unsigned long long)g->first_seq);
			forget_current(g);
		} else if (there.st_ino != ours.st_ino || there.st_dev != ours.st_dev || (uint64_t)ours.st_size < g->size)
			forget_current(g);	/* create_current() sets it aside and says so */
	}
	if (g->fd < 0)
		return create_current(g, next_seq);
	if (g->dirty || (uint64_t)ours.st_size > g->size) {
		if (!g->dirty)
			log_error("msg=audit: %lld bytes that somebody appended to %s/" SEGMENT_CURRENT " are cut off",
			    (long long)ours.st_size - (long long)g->size, g->path);
		if (!cut_to(g, g->size))
			return false;
	}
	g->dirty = false;
	if (g->size < g->limit)
		return true;
	return close_full(g) && create_current(g, next_seq);
}

/* What was written is not to be believed: away with it now, if that works, and durably before the next line. */
static bool
spoiled(struct segment *g)
{
	int saved = errno;

	g->dirty = true;
	if (ftruncate(g->fd, (off_t)g->size) != 0)
		log_debug("msg=audit: %s: cannot be cut: %s", g->path, strerror(errno));
	errno = saved;
	return false;
}

bool
segment_write(struct segment *g, uint64_t at, struct iovec *iov, int n)
{
	ssize_t did;

	while (n > 0) {
		did = pwritev(g->fd, iov, n, (off_t)at);
		if (did < 0 && errno == EINTR)
			continue;
		if (did == 0)
			errno = EIO;
		if (did <= 0)
			return spoiled(g);
		at += (uint64_t)did;
		while (n > 0 && (size_t)did >= iov->iov_len) {
			did -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + did;
			iov->iov_len -= (size_t)did;
		}
	}
	return true;
}

bool
segment_sync(struct segment *g, uint64_t size)
{
	/* a second fdatasync may lie about what the first could not write */
	if (fdatasync(g->fd) != 0)
		return spoiled(g);
	g->size = size;
	return true;
}

/* ---- at the start ---- */

static bool
fail(const struct segment *g, char *err, size_t err_size, const char *what, const char *advice)
{
	const char *why = errno == 0 ? "" : strerror(errno);

	snprintf(err, err_size, "%s: %s%s%s%s%s", g->path, what, *why != '\0' ? ": " : "", why,
	    *advice != '\0' ? "; " : "", advice);
	return false;
}

static bool
open_directory(struct segment *g, char *err, size_t err_size)
{
	bool created = mkdir(g->path, 0700) == 0;
	int up;

	if (!created && errno != EEXIST)
		return fail(g, err, err_size, "cannot be created", "create it, owned by the user of the gateway");
	g->dir = open(g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->dir < 0)
		return fail(g, err, err_size, "cannot be opened", "the gateway needs to read and write there");
	if (flock(g->dir, LOCK_EX | LOCK_NB) != 0)
		return fail(g, err, err_size, "another process writes its audit log here",
		    "stop it, or name another audit.directory");
	if (created) {
		/* else a crash could take the directory away, with all that was promised to be in it */
		up = openat(g->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up < 0 || fsync(up) != 0) {
			if (up >= 0)
				close(up);
			return fail(g, err, err_size, "cannot be made durable", "");
		}
		close(up);
	}
	return true;
}

/* The closed segment with the highest number; false when reading the directory failed. */
static bool
newest_closed(const struct segment *g, char name[static SEGMENT_NAME])
{
	int fd = openat(g->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint64_t seq, newest = 0;

	name[0] = '\0';
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (errno = 0, (entry = readdir(d)) != NULL)
		if (segment_is_closed_name(entry->d_name, &seq) && seq > newest) {
			newest = seq;
			snprintf(name, SEGMENT_NAME, "%020llu.jsonl", (unsigned long long)seq);
		}
	fd = errno;
	closedir(d);
	errno = fd;
	return fd == 0;
}

/* current.jsonl has no line: the chain goes on from the last closed segment, if there is one. */
static bool
chain_of_closed(struct segment *g, struct chain *last, char *err, size_t err_size)
{
	struct chain_scan scan = { .lines = 0 };
	char name[SEGMENT_NAME], what[192];
	bool ok;
	int fd;

	if (!newest_closed(g, name))
		return fail(g, err, err_size, "cannot be read", "");
	if (name[0] == '\0')
		return true;
	fd = openat(g->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ok = fd >= 0 && chain_scan_file(&scan, fd);
	if (fd >= 0)
		close(fd);
	if (!ok)
		return fail(g, err, err_size, name, "it has to be readable, the chain goes on from it");
	errno = 0;
	if (scan.reason[0] != '\0' || scan.lines == 0) {
		snprintf(what, sizeof what, "%s:%llu: %s", name, (unsigned long long)scan.file_lines + 1,
		    scan.lines == 0 && scan.reason[0] == '\0' ? "empty" : scan.reason);
		return fail(g, err, err_size, what, "keep it as evidence and move it elsewhere");
	}
	*last = scan.chain;
	return true;
}

static bool
copy_range(int from, off_t at, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = pread(from, buf, sizeof buf, at)) > 0) {
		if (write(to, buf, (size_t)n) != n) {
			if (errno == 0)
				errno = ENOSPC;
			return false;
		}
		at += n;
	}
	return n == 0;
}

/* What a crash left behind the last good line: copied first, then cut off. */
static bool
move_torn(struct segment *g, const struct chain_scan *scan)
{
	char name[64];
	int fd = -1;
	bool ok;

	for (unsigned n = 0; fd < 0 && n < 100; n++) {
		aside_name(name, sizeof name, "torn", n);
		fd = openat(g->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			return false;
	}
	if (fd < 0)
		return false;
	errno = 0;
	ok = copy_range(g->fd, (off_t)scan->good, fd) && fsync(fd) == 0 && fsync(g->dir) == 0;
	close(fd);
	if (!ok || !cut_to(g, scan->good))
		return false;
	/* half a line is what a killed process leaves; more than that only a crash of the machine, or somebody's hand */
	log_line(scan->torn ? LOG_WARN : LOG_ERROR, "msg=audit: %s/" SEGMENT_CURRENT ":%llu: %s: %llu bytes moved to %s",
	    g->path, (unsigned long long)scan->file_lines + 1, scan->reason,
	    (unsigned long long)(scan->size - scan->good), name);
	return true;
}

static bool
recover_current(struct segment *g, struct chain *last, uint64_t unsynced, char *err, size_t err_size)
{
	struct chain_scan scan = { .lines = 0 };
	char what[192];

	if (!chain_scan_file(&scan, g->fd))
		return fail(g, err, err_size, SEGMENT_CURRENT " cannot be read", "");
	if (scan.size - scan.good > unsynced) {
		errno = 0;
		snprintf(what, sizeof what, SEGMENT_CURRENT ":%llu: %s", (unsigned long long)scan.file_lines + 1, scan.reason);
		return fail(g, err, err_size, what, "no crash does that: keep it as evidence and move it elsewhere");
	}
	if (scan.size > scan.good && !move_torn(g, &scan))
		return fail(g, err, err_size, "the torn end of " SEGMENT_CURRENT " cannot be moved away", "free some space");
	g->size = scan.good;
	g->first_seq = scan.first_seq;
	if (scan.lines > 0) {
		*last = scan.chain;
		return true;
	}
	if (!chain_of_closed(g, last, err, err_size))
		return false;
	g->first_seq = last->seq + 1;
	return true;
}

static bool
open_current(struct segment *g, struct chain *last, uint64_t unsynced, char *err, size_t err_size)
{
	struct stat st;

	g->fd = openat(g->dir, SEGMENT_CURRENT, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (g->fd < 0) {
		if (errno != ENOENT)
			return fail(g, err, err_size, SEGMENT_CURRENT " cannot be opened", "the gateway needs to write it");
		if (!chain_of_closed(g, last, err, err_size))
			return false;
		if (!create_current(g, last->seq + 1))
			return fail(g, err, err_size, SEGMENT_CURRENT " cannot be created", "the gateway needs to write there");
		return true;
	}
	errno = 0;
	if (fstat(g->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return fail(g, err, err_size, SEGMENT_CURRENT " is not a file", "move it elsewhere");
	return recover_current(g, last, unsynced, err, err_size);
}

bool
segment_open(struct segment *g, struct chain *last, uint64_t unsynced, char *err, size_t err_size)
{
	g->dir = g->fd = -1;
	g->dirty = false;
	*last = (struct chain){ .seq = 0 };
	if (open_directory(g, err, err_size) && open_current(g, last, unsynced, err, err_size))
		return true;
	segment_close(g);
	return false;
}

void
segment_close(struct segment *g)
{
	if (g->fd >= 0)
		close(g->fd);
	if (g->dir >= 0)
		close(g->dir);
	g->dir = g->fd = -1;
}
