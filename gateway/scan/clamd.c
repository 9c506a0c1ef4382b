/*
 * clamd.c - see clamd.h. The protocol is that of clamd(8): zINSTREAM, chunks of a 32-bit length and bytes, one of length 0.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/clamd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK	 (1u << 20)
#define TEST_MS	 20000
#define DEPTH	 110u	/* MaxRecursion is 100 at most */
#define NEST_MAX 65536u

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool
ready_for(struct clamd *c, short what)
{
	struct pollfd p = { c->fd, what, 0 };
	int64_t left = c->until - now_ms();
	int rc;

	do
		rc = left <= 0 ? 0 : poll(&p, 1, left > 1000000 ? 1000000 : (int)left);
	while (rc < 0 && errno == EINTR);
	return rc > 0;
}

static bool
send_all(struct clamd *c, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent;

		if (!ready_for(c, POLLOUT))
			return false;
		sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool
dial(struct clamd *c, const char *path, int64_t ms)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	*c = (struct clamd){ .fd = -1, .until = now_ms() + ms };
	if (strlen(path) >= sizeof at.sun_path) {
		snprintf(c->text, sizeof c->text, "clamd: the path of its socket is too long");
		return false;
	}
	memcpy(at.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&at, sizeof at) != 0) {
		snprintf(c->text, sizeof c->text, "clamd is away: %s", strerror(errno));
		clamd_close(c);
		return false;
	}
	return true;
}

/* An answer up to its NUL, into c->text. */
static bool
hear(struct clamd *c)
{
	size_t n = 0;

	while (n < sizeof c->text - 1 && ready_for(c, POLLIN)) {
		ssize_t got = recv(c->fd, c->text + n, 1, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || c->text[n] == '\0') {
			c->text[n] = '\0';
			return n > 0;
		}
		n++;
	}
	c->text[n] = '\0';
	return false;
}

bool
clamd_begin(struct clamd *c, const char *socket, int64_t ms)
{
	static const char command[] = "zINSTREAM";

	if (!dial(c, socket, ms))
		return false;
	if (send_all(c, command, sizeof command))
		return true;
	snprintf(c->text, sizeof c->text, "clamd takes nothing");
	clamd_close(c);
	return false;
}

void
clamd_put(struct clamd *c, const char *p, size_t n)
{
	while (n > 0 && !c->refused) {
		uint32_t part = n < CHUNK ? (uint32_t)n : CHUNK;
		unsigned char head[4] = { (unsigned char)(part >> 24), (unsigned char)(part >> 16), (unsigned char)(part >> 8), (unsigned char)part };

		c->refused = !send_all(c, head, sizeof head) || !send_all(c, p, part);
		p += part;
		n -= part;
	}
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

enum clamd_answer
clamd_end(struct clamd *c)
{
	static const unsigned char last[4] = { 0 };
	static const char before[] = "stream: ";
	char *name = c->text;

	if (!c->refused)
		c->refused = !send_all(c, last, sizeof last);
	if (!hear(c)) {
		snprintf(c->text, sizeof c->text, "clamd did not answer");
		return CLAMD_FAILED;
	}
	if (strncmp(name, before, sizeof before - 1) == 0)
		name += sizeof before - 1;
	if (strstr(name, "size limit exceeded") != NULL || strncmp(name, "Heuristics.Limits.Exceeded", 26) == 0)
		return CLAMD_LIMIT;
	if (ends_with(name, " FOUND")) {
		size_t n = strlen(name) - strlen(" FOUND");

		memmove(c->text, name, n);
		c->text[n] = '\0';
		return CLAMD_FOUND;
	}
	/* what it did not take whole it cannot call clean */
	return strcmp(name, "OK") == 0 && !c->refused ? CLAMD_CLEAN : CLAMD_FAILED;
}

void
clamd_close(struct clamd *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

bool
clamd_version(const char *socket, char *out, size_t size)
{
	static const char command[] = "zVERSION";
	struct clamd c;
	bool ok = dial(&c, socket, TEST_MS) && send_all(&c, command, sizeof command) && hear(&c);

	snprintf(out, size, "%s", c.text[0] == '\0' ? "clamd does not say its version" : c.text);
	clamd_close(&c);
	return ok;
}

/* ---- the test ---- */

/* The n bytes at p gzipped, to be freed. */
static char *
gzipped(const char *p, size_t n, size_t *out_n)
{
	char *out = malloc(NEST_MAX);
	z_stream z = { 0 };
	bool ok = out != NULL && deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;

	if (ok) {
		z.next_in = (Bytef *)(uintptr_t)p;
		z.avail_in = (uInt)n;
		z.next_out = (Bytef *)out;
		z.avail_out = NEST_MAX;
		ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
		*out_n = NEST_MAX - z.avail_out;
		deflateEnd(&z);
	}
	if (ok)
		return out;
	free(out);
	return NULL;
}

static char *
nested(size_t *n)
{
	static const char seed[] = "what is too deep to be looked at";
	char *in = strdup(seed);

	*n = sizeof seed - 1;
	for (unsigned i = 0; i < DEPTH && in != NULL; i++) {
		char *out = gzipped(in, *n, n);

		free(in);
		in = out;
	}
	return in;
}

bool
clamd_test(const char *socket, char *err, size_t err_size)
{
	size_t n;
	char *deep = nested(&n);
	enum clamd_answer answer = CLAMD_FAILED;
	struct clamd c;

	if (deep == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	if (clamd_begin(&c, socket, TEST_MS)) {
		clamd_put(&c, deep, n);
		answer = clamd_end(&c);
		clamd_close(&c);
	}
	free(deep);
	if (answer == CLAMD_LIMIT)
		return true;
	if (answer == CLAMD_FAILED)
		snprintf(err, err_size, "%s", c.text);
	else
		snprintf(err, err_size, "clamd calls clean what is over its limits: set AlertExceedsMax yes in clamd.conf");
	return false;
}
