/*
 * probe.c - `tidewaiter probe`: ask the admin listener of a running gateway, for images that have no other program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <event2/util.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "gateway/commands/command.h"

#define ANSWER_MAX	4096u
#define TIMEOUT_S	3	/* of each read and write */

static const char usage[] =
    "usage: tidewaiter probe [-p PATH] ADDRESS:PORT\n"
    "\n"
    "Ask the admin listener (admin.listen) of a running gateway; 0 if it answers 200. The answer is printed.\n"
    "\n"
    "  -p PATH   /healthz (default), /readyz or /metrics\n";

/* A connected socket, or -1 with errno set. */
static int
connect_to(const char *address)
{
	struct sockaddr_storage ss;
	struct timeval limit = { .tv_sec = TIMEOUT_S };
	int n = (int)sizeof ss, fd;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&ss, &n) != 0) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
	    connect(fd, (struct sockaddr *)&ss, (socklen_t)n) == 0)
		return fd;
	n = errno;
	close(fd);
	errno = n;
	return -1;
}

/* The whole answer, at most size - 1 bytes and a NUL; false with errno set. */
static bool
ask(int fd, const char *address, const char *path, char *text, size_t size)
{
	char head[512];
	int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address);
	size_t have = 0;
	ssize_t got = 1;

	if (n < 0 || (size_t)n >= sizeof head) {
		errno = ENAMETOOLONG;
		return false;
	}
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	while (have < size - 1 && (got = recv(fd, text + have, size - 1 - have, 0)) > 0)
		have += (size_t)got;
	text[have] = '\0';
	return got >= 0;
}

static int
probe(const char *address, const char *path)
{
	char text[ANSWER_MAX];
	const char *body;
	int fd = connect_to(address);
	bool ok = fd >= 0 && ask(fd, address, path, text, sizeof text);

	if (!ok)
		fprintf(stderr, "tidewaiter probe: %s: %s\n", address, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (!ok)
		return 1;
	body = strstr(text, "\r\n\r\n");
	fputs(body == NULL ? text : body + 4, stdout);
	return strncmp(text, "HTTP/1.1 200 ", 13) == 0 ? 0 : 1;
}

int
probe_command(int argc, char **argv)
{
	const char *path = "/healthz";
	int opt;

	optind = 1;
	while ((opt = getopt(argc, argv, "p:h")) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt != 'p') {
			fputs(usage, stderr);
			return 2;
		}
		path = optarg;
	}
	if (optind != argc - 1 || *path != '/') {
		fputs(usage, stderr);
		return 2;
	}
	return probe(argv[optind], path);
}
