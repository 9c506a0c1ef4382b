/*
 * rate.c - GETs over keep-alive connections, each with the next request as soon as the last answer is complete.
 *
 * rate -p PORT -u PATH -H HEADER-FILE [-c CONNECTIONS] [-t SECONDS | -n REQUESTS | -T TOKENS] [-w WARM-UP]
 *
 * -T: one request for each line of TOKENS, which is its bearer token; nothing is asked with one token twice.
 * Connects, warms up with HEADER-FILE, prints "ready" and waits for a line on standard input, so that the caller
 * can read clocks around the requests alone. Then one JSON object; the connections stay open until input ends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "wire.h"

#define ANSWER_MAX	32768u

struct client {
	struct wire w;
	double sent_at;
	size_t have;
	bool waiting;
	char answer[ANSWER_MAX];
};

static struct {
	int port, epoll;
	const char *path, *header;
	char *token;		/* next line of the token file; NULL: the header file's */
	char *request;
	size_t request_size;
	SSL_CTX *ctx;
} load;

static struct {
	unsigned long requests, bad, redials, room;
	double *latency;
} result;

static bool counting, stopped;

static void
connect_client(struct client *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	if (!wire_dial(&c->w, load.ctx, load.port))
		wire_die("connect");
	c->have = 0;
	c->waiting = false;
	if (fcntl(c->w.fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->w.fd, &e) != 0)
		wire_die("epoll");
}

static void
reconnect(struct client *c)
{
	result.redials++;
	wire_close(&c->w);
	connect_client(c);
}

/* False: no token is left. */
static bool
send_request(struct client *c)
{
	char *token = load.token;
	int n;

	if (counting && token != NULL) {
		char *end = strchr(token, '\n');

		if (end == NULL)
			return false;
		*end = '\0';
		load.token = end + 1;
		n = snprintf(load.request, load.request_size, "GET %s HTTP/1.1\r\nHost: localhost\r\n"
		    "User-Agent: bench/1\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n"
		    "Authorization: Bearer %s\r\n\r\n", load.path, token);
	} else {
		n = snprintf(load.request, load.request_size, "GET %s HTTP/1.1\r\nHost: localhost\r\n"
		    "User-Agent: bench/1\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n"
		    "%s\r\n", load.path, load.header);
	}
	c->have = 0;
	c->waiting = true;
	c->sent_at = wire_now();
	if (!wire_send(&c->w, load.request, (size_t)n))
		wire_die("send");
	return true;
}

/* Length of the whole answer; 0: its head is not complete. */
static size_t
answer_length(struct client *c, bool *closes)
{
	const char *end, *field;

	c->answer[c->have] = '\0';
	end = strstr(c->answer, "\r\n\r\n");
	if (end == NULL)
		return 0;
	field = strcasestr(c->answer, "\r\nconnection: close");
	*closes = field != NULL && field < end;
	field = strcasestr(c->answer, "\r\ncontent-length:");
	if (field == NULL || field > end)
		return (size_t)(end - c->answer) + 4;
	return (size_t)(end - c->answer) + 4 + (size_t)strtoul(field + 17, NULL, 10);
}

static void
count(struct client *c)
{
	if (!counting)
		return;
	if (result.requests == result.room) {
		result.room = result.room > 0 ? 2 * result.room : 1u << 16;
		result.latency = realloc(result.latency, result.room * sizeof *result.latency);
		if (result.latency == NULL)
			wire_die("realloc");
	}
	result.latency[result.requests++] = wire_now() - c->sent_at;
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0)
		result.bad++;
}

/* Read what is there. True: an answer is complete. */
static bool
on_readable(struct client *c)
{
	bool closes = false;

	for (;;) {
		ssize_t n = wire_recv(&c->w, c->answer + c->have, ANSWER_MAX - 1 - c->have);
		size_t length;

		if (n <= 0) {
			if (SSL_get_error(c->w.ssl, (int)n) == SSL_ERROR_WANT_READ)
				return false;
			if (!c->waiting) {	/* closed between two requests */
				reconnect(c);
				return false;
			}
			c->answer[0] = '\0';
			count(c);
			reconnect(c);
			return true;
		}
		c->have += (size_t)n;
		length = answer_length(c, &closes);
		if (length > ANSWER_MAX - 1)
			wire_die("answer too long");
		if (length == 0 || c->have < length)
			continue;
		count(c);
		c->waiting = false;
		if (closes)
			reconnect(c);
		return true;
	}
}

static struct client *
set_up(int n)
{
	struct client *c = calloc((size_t)n, sizeof *c);

	load.request_size = 65536;
	load.request = malloc(load.request_size);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.ctx = wire_client(false);
	if (c == NULL || load.request == NULL || load.epoll < 0)
		wire_die("start");
	for (int i = 0; i < n; i++)
		connect_client(&c[i]);
	return c;
}

static void
tear_down(struct client *c, int n)
{
	for (int i = 0; i < n; i++)
		wire_close(&c[i].w);
	free(c);
	free(load.request);
	free(result.latency);
	SSL_CTX_free(load.ctx);
}

/* At most `limit` requests, none begun after `until` (0: no end); what is still out then comes in. */
static void
drive(struct client *clients, int n, double until, unsigned long limit)
{
	struct epoll_event ready[256];
	unsigned long sent = 0;
	int out = 0;

	stopped = false;
	for (int i = 0; i < n && sent < limit; i++, sent++)
		out += send_request(&clients[i]);
	while (out > 0) {
		int k = epoll_wait(load.epoll, ready, 256, 10000);

		if (k == 0)
			wire_die("no answer for 10 s");
		for (int i = 0; i < k; i++) {
			struct client *c = ready[i].data.ptr;

			if (!on_readable(c))
				continue;
			out--;
			if (sent >= limit || (until > 0 && wire_now() >= until))
				stopped = true;
			if (!stopped && send_request(c)) {
				sent++;
				out++;
			}
		}
	}
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
quantile(double q)
{
	return result.latency[(size_t)((double)(result.requests - 1) * q)] * 1e6;
}

static void
report(double seconds)
{
	if (result.requests == 0)
		wire_die("no request");
	qsort(result.latency, result.requests, sizeof *result.latency, compare);
	printf("{\"requests\":%lu,\"seconds\":%.4f,\"rps\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"bad\":%lu,"
	    "\"redials\":%lu}\n", result.requests, seconds, (double)result.requests / seconds, quantile(0.5),
	    quantile(0.99), result.bad, result.redials);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	int connections = 64, warm_up = 2000, o;
	unsigned long limit = (unsigned long)-1;
	double seconds = 1.5, began;
	struct client *clients;
	char line[16];

	signal(SIGPIPE, SIG_IGN);
	load.header = "";
	while ((o = getopt(argc, argv, "p:u:H:c:t:n:T:w:")) != -1) {
		if (o == 'p')
			load.port = atoi(optarg);
		else if (o == 'u')
			load.path = optarg;
		else if (o == 'H')
			load.header = wire_file(optarg);
		else if (o == 'c')
			connections = atoi(optarg);
		else if (o == 't')
			seconds = atof(optarg);
		else if (o == 'n')
			limit = strtoul(optarg, NULL, 10);
		else if (o == 'T')
			load.token = wire_file(optarg);
		else if (o == 'w')
			warm_up = atoi(optarg);
		else
			return 2;
	}
	if (load.path == NULL || connections < 1)
		return 2;
	clients = set_up(connections);
	drive(clients, connections, 0, (unsigned long)warm_up);
	puts("ready");
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return 2;
	counting = true;
	began = wire_now();
	drive(clients, connections, load.token != NULL || limit != (unsigned long)-1 ? 0 : began + seconds, limit);
	report(wire_now() - began);
	while (fgets(line, sizeof line, stdin) != NULL)
		;
	tear_down(clients, connections);
	return 0;
}
