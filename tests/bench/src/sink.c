/*
 * sink.c - an upstream for uploads that costs as little as one can, and a drain for syslog datagrams.
 *
 * sink PORT CERTIFICATE KEY DATAGRAM-PORT
 * POST and PATCH: the body is discarded, 202 with a Location. PUT: 201. Anything else: 404.
 * One thread for each connection, blocking.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

static SSL_CTX *ctx;
static _Atomic unsigned uploads;

/* Discard a body; chunked when length is -1. */
static bool
discard(struct wire *w, long long length)
{
	char line[64];

	if (length >= 0)
		return wire_skip(w, length);
	for (;;) {
		long long n;

		if (wire_line(w, line, sizeof line) == 0)
			return false;
		n = strtoll(line, NULL, 16);
		if (n == 0)
			return wire_line(w, line, sizeof line) != 0;
		if (!wire_skip(w, n + 2))
			return false;
	}
}

static bool
answer(struct wire *w, const char *request_line)
{
	char head[256];
	int n;

	if (strncmp(request_line, "POST ", 5) == 0 || strncmp(request_line, "PATCH ", 6) == 0)
		n = snprintf(head, sizeof head, "HTTP/1.1 202 Accepted\r\n"
		    "Location: /v2/app/blobs/uploads/%u?_state=bench\r\nContent-Length: 0\r\n\r\n", ++uploads);
	else
		n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
		    strncmp(request_line, "PUT ", 4) == 0 ? "201 Created" : "404 Not Found");
	return wire_send(w, head, (size_t)n);
}

static bool
serve(struct wire *w)
{
	char request_line[16384], line[16384];
	long long length = 0;
	bool closes = false;

	if (wire_line(w, request_line, sizeof request_line) == 0)
		return false;
	for (;;) {
		if (wire_line(w, line, sizeof line) == 0)
			return false;
		if (line[0] == '\r' || line[0] == '\n')
			break;
		if (strncasecmp(line, "content-length:", 15) == 0)
			length = atoll(line + 15);
		else if (strncasecmp(line, "transfer-encoding:", 18) == 0)
			length = -1;
		else if (strncasecmp(line, "connection: close", 17) == 0)
			closes = true;
		else if (strncasecmp(line, "expect:", 7) == 0 &&
		    !wire_send(w, "HTTP/1.1 100 Continue\r\n\r\n", 25))
			return false;
	}
	return discard(w, length) && answer(w, request_line) && !closes;
}

static void *
connection(void *fd)
{
	struct wire w;

	if (wire_accept(&w, ctx, (int)(intptr_t)fd)) {
		while (serve(&w))
			;
		wire_close(&w);
	}
	return NULL;
}

static void *
datagrams(void *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char datagram[65536];

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
		wire_die("datagram port");
	while (recv(fd, datagram, sizeof datagram, 0) >= 0)
		;
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_attr_t detached;
	pthread_t t;
	int listening;

	if (argc != 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	ctx = wire_server(argv[2], argv[3], true);
	listening = wire_listen(atoi(argv[1]));
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &detached, datagrams, argv[4]) != 0)
		wire_die("pthread_create");
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			continue;
		if (pthread_create(&t, &detached, connection, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}
