/*
 * file.c - see file.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
read_all(int fd, char *text, size_t want, size_t *n)
{
	for (*n = 0; *n < want;) {
		ssize_t got = read(fd, text + *n, want - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;
		*n += (size_t)got;
	}
	return true;
}

char *
file_read(const char *path, size_t max, size_t *n, char *err, size_t err_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	struct stat st;
	size_t want;

	if (fd < 0 || fstat(fd, &st) != 0) {
		snprintf(err, err_size, "cannot be read: %s", strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, err_size, "cannot be read: not a regular file");
		goto fail;
	}
	if ((uintmax_t)st.st_size > max) {
		snprintf(err, err_size, "larger than %zu bytes", max);
		goto fail;
	}
	want = (size_t)st.st_size;
	text = malloc(want + 2);	/* one more than there is, to see it grow; and a NUL */
	if (text == NULL || !read_all(fd, text, want + 1, n)) {
		snprintf(err, err_size, "cannot be read: %s", strerror(errno));
		goto fail;
	}
	if (*n != want) {
		snprintf(err, err_size, "changed while it was read");
		goto fail;
	}
	text[*n] = '\0';
	close(fd);
	return text;
fail:
	free(text);
	if (fd >= 0)
		close(fd);
	return NULL;
}

bool
file_create(const char *path, struct span bytes)
{
	char temporary[4096];
	bool ok;
	int fd, n = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof temporary) {
		errno = ENAMETOOLONG;
		return false;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	errno = EIO;
	ok = write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok)
		ok = link(temporary, path) == 0 || errno == EEXIST;
	n = errno;
	unlink(temporary);
	errno = n;
	return ok;
}
