/*
 * test_exchange.c - answers of an upstream, good and bad, over loopback: what is handed up, what closes the
 * connection, what is sent again, what is never joined to another answer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/stream/loop.h"
#include "gateway/upstream/exchange.h"
#include "tests/unit/check.h"

/* ---- an upstream that says what it is told to ---- */

struct server {
	int fd;
	pthread_t thread;
	const char *answer;	/* to every request */
	size_t n;
	bool piecewise;		/* a byte at a time */
	bool close_after;
	bool close_second;	/* hangs up on the second request of a connection without a word */
	bool speaks_first;
	_Atomic unsigned connections, requests, said, closed;
};

static void
say(struct server *s, int fd)
{
	size_t step = s->piecewise ? 1 : s->n;

	for (size_t i = 0; i < s->n; i += step)
		if (send(fd, s->answer + i, step, MSG_NOSIGNAL) <= 0)
			break;
	atomic_fetch_add(&s->said, 1);
}

/* Reads one request without a body; false at the end of the connection. */
static bool
hear(int fd)
{
	char last[4] = "";
	char c;

	while (recv(fd, &c, 1, 0) == 1) {
		memmove(last, last + 1, 3);
		last[3] = c;
		if (memcmp(last, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static void
serve(struct server *s, int fd)
{
	if (s->speaks_first)
		say(s, fd);
	for (unsigned n = 1; hear(fd); n++) {
		atomic_fetch_add(&s->requests, 1);
		if (s->close_second && n == 2)
			break;
		say(s, fd);
		if (s->close_after)
			break;
	}
	close(fd);
	atomic_fetch_add(&s->closed, 1);
}

static void *
server_main(void *arg)
{
	struct server *s = arg;
	int one = 1;

	for (;;) {
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		atomic_fetch_add(&s->connections, 1);
		serve(s, fd);
	}
}

static unsigned
server_start(struct server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;

	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s->fd, (struct sockaddr *)&at, len) != 0 || listen(s->fd, 8) != 0 ||
	    getsockname(s->fd, (struct sockaddr *)&at, &len) != 0 ||
	    pthread_create(&s->thread, NULL, server_main, s) != 0)
		abort();
	return ntohs(at.sin_port);
}

static void
server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

/* ---- the asking side ---- */

struct bench {
	struct loop *loop;
	struct metrics metrics;
	struct config_limits limits;
	struct config_upstream config;
	struct upstream_env env;
	struct upstream *upstream;
	struct arena *arena;
	struct exchange *x;
	unsigned status, heads, ends, fails;
	enum refuse why;
	char body[256];
	size_t n;
	bool pause_at_head;
};

static void
on_ready(void *ctx)
{
	(void)ctx;
}

static void
on_head(void *ctx, const struct http_head *h)
{
	struct bench *b = ctx;

	b->heads++;
	b->status = h->status;
	if (b->pause_at_head)
		exchange_pause(b->x);
}

static void
on_body(void *ctx, struct span payload)
{
	struct bench *b = ctx;

	if (payload.n > sizeof b->body - b->n)
		payload.n = sizeof b->body - b->n;
	memcpy(b->body + b->n, payload.p, payload.n);
	b->n += payload.n;
}

static void
on_end(void *ctx)
{
	struct bench *b = ctx;

	b->ends++;
	event_base_loopbreak(b->loop->base);
}

static void
on_drain(void *ctx)
{
	(void)ctx;
}

static void
on_fail(void *ctx, enum refuse why)
{
	struct bench *b = ctx;

	b->fails++;
	b->why = why;
	event_base_loopbreak(b->loop->base);
}

static const struct exchange_ops ops = { on_ready, on_head, on_body, on_end, on_drain, on_fail };

static void
bench_open(struct bench *b, unsigned port)
{
	static char host[] = "127.0.0.1", alias[] = "test";

	*b = (struct bench){ .loop = loop_new(), .arena = arena_new(1 << 20) };
	b->limits = (struct config_limits){ .http = http_limits_default, .upstream_connect = 3000,
	    .upstream_first_byte = 3000, .upstream_idle = 30000, .upstream_age = 600000 };
	b->config = (struct config_upstream){ .alias = alias, .host = host, .port = port };
	b->env = (struct upstream_env){ b->loop, NULL, &b->limits, &b->metrics };
	b->upstream = upstream_new(&b->env, &b->config, NULL);
	if (b->loop == NULL || b->arena == NULL || b->upstream == NULL)
		abort();
}

static void
bench_close(struct bench *b)
{
	upstream_free(b->upstream);
	arena_free(b->arena);
	loop_free(b->loop);
}

static void
ask(struct bench *b, enum http_method method)
{
	struct exchange_request rq = { .method = method, .repeatable = true,
	    .head = method == HTTP_HEAD ? SPAN("HEAD /v2/ HTTP/1.1\r\nHost: test\r\n\r\n") :
	    SPAN("GET /v2/ HTTP/1.1\r\nHost: test\r\n\r\n") };
	struct timeval bound = { 10, 0 };

	b->status = b->heads = b->ends = b->fails = 0;
	b->n = 0;
	b->why = REFUSE_NONE;
	b->x = exchange_start(b->upstream, &rq, b->arena, &ops, b);
	if (b->x == NULL)
		abort();
	event_base_loopexit(b->loop->base, &bound);
	event_base_dispatch(b->loop->base);
}

/* What the server still had to say is on the idle connection, and seen, before that is used again. */
static void
settle(struct bench *b, struct server *s, unsigned said, unsigned closed)
{
	while (atomic_load(&s->said) < said && atomic_load(&s->closed) < closed)
		usleep(200);
	event_base_loop(b->loop->base, EVLOOP_NONBLOCK);
}

/* ---- rows ---- */

#define OK "HTTP/1.1 200 OK\r\n"
static const struct row {
	const char *name;
	enum http_method method;
	const char *answer;
	bool close_after;
	enum refuse why;
	unsigned status;
	const char *body;
	bool kept;		/* a second request goes over the same connection */
} rows[] = {
	{ "length", HTTP_GET, OK "Content-Length: 5\r\n\r\nhello", false, REFUSE_NONE, 200, "hello", true },
	{ "empty", HTTP_GET, OK "Content-Length: 0\r\n\r\n", false, REFUSE_NONE, 200, "", true },
	{ "chunked", HTTP_GET, OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n", false,
	    REFUSE_NONE, 200, "hello", true },
	{ "204", HTTP_GET, "HTTP/1.1 204 No Content\r\n\r\n", false, REFUSE_NONE, 204, "", true },
	{ "304 with length", HTTP_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false, REFUSE_NONE, 304, "",
	    true },
	{ "HEAD with length", HTTP_HEAD, OK "Content-Length: 99\r\n\r\n", false, REFUSE_NONE, 200, "", true },
	{ "100 first", HTTP_GET, "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", false, REFUSE_NONE, 200,
	    "x", true },
	{ "close asked for", HTTP_GET, OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", false, REFUSE_NONE, 200, "x",
	    false },
	{ "HTTP/1.0", HTTP_GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, REFUSE_NONE, 200, "x", false },
	{ "surplus bytes", HTTP_GET, OK "Content-Length: 1\r\n\r\nx" OK, false, REFUSE_NONE, 200, "x", false },
	{ "until close", HTTP_GET, OK "\r\nhello", true, REFUSE_UPSTREAM_BAD, 0, "", false },
	{ "cut body", HTTP_GET, OK "Content-Length: 9\r\n\r\nhello", true, REFUSE_UPSTREAM_CLOSED, 200, "hello", false },
	{ "cut chunk", HTTP_GET, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", true, REFUSE_UPSTREAM_CLOSED, 200, "hel",
	    false },
	{ "no last chunk", HTTP_GET, OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", true, REFUSE_UPSTREAM_CLOSED, 200,
	    "hel", false },
	{ "bad chunk size", HTTP_GET, OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", true, REFUSE_UPSTREAM_BAD, 200, "",
	    false },
	{ "both framings", HTTP_GET, OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true,
	    REFUSE_UPSTREAM_BAD, 0, "", false },
	{ "two lengths", HTTP_GET, OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", true, REFUSE_UPSTREAM_BAD, 0, "",
	    false },
	{ "bare LF", HTTP_GET, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", true, REFUSE_UPSTREAM_BAD, 0, "", false },
	{ "101", HTTP_GET, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n", false, REFUSE_UPSTREAM_BAD, 0,
	    "", false },
	{ "not HTTP", HTTP_GET, "SSH-2.0-OpenSSH_9.2\r\n", false, REFUSE_UPSTREAM_BAD, 0, "", false },
	{ "nothing", HTTP_GET, "", true, REFUSE_UPSTREAM_CLOSED, 0, "", false },
	{ "half a head", HTTP_GET, "HTTP/1.1 200 OK\r\nContent-Le", true, REFUSE_UPSTREAM_CLOSED, 0, "", false },
};

static void
run_row(const struct row *row, bool piecewise)
{
	struct server s = { .answer = row->answer, .n = strlen(row->answer), .close_after = row->close_after,
	    .piecewise = piecewise };
	struct bench b;

	bench_open(&b, server_start(&s));
	for (unsigned turn = 0; turn < 2; turn++) {
		ask(&b, row->method);
		CHECK_ROW(b.why == row->why, row->name);
		CHECK_ROW(b.status == row->status, row->name);
		CHECK_ROW(b.n == strlen(row->body) && memcmp(b.body, row->body, b.n) == 0, row->name);
		CHECK_ROW(b.ends + b.fails == 1, row->name);
		settle(&b, &s, turn + 1, turn + 1);
	}
	/* bytes after the answer may come too late to be seen with it: then they close the idle connection */
	if (!piecewise)
		CHECK_ROW(atomic_load(&s.connections) == (row->kept ? 1 : 2), row->name);
	bench_close(&b);
	server_stop(&s);
}

/* A kept connection that dies at the second request: asked again once, on a new one, and only once. */
static void
test_repeat(void)
{
	static const char answer[] = OK "Content-Length: 1\r\n\r\nx";
	struct server s = { .answer = answer, .n = sizeof answer - 1, .close_second = true };
	struct bench b;

	bench_open(&b, server_start(&s));
	for (unsigned i = 0; i < 3; i++) {
		ask(&b, HTTP_GET);
		CHECK(b.ends == 1 && b.status == 200);
	}
	CHECK(atomic_load(&s.connections) == 3 && atomic_load(&s.requests) == 5);
	bench_close(&b);
	server_stop(&s);
}

static void
test_speaks_first(void)
{
	static const char answer[] = OK "Content-Length: 1\r\n\r\nx";
	struct server s = { .answer = answer, .n = sizeof answer - 1, .speaks_first = true };
	struct bench b;

	bench_open(&b, server_start(&s));
	ask(&b, HTTP_GET);
	settle(&b, &s, 2, 1);
	ask(&b, HTTP_GET);
	/* what came unasked on a connection may answer the first request at most, never a later one */
	CHECK(b.ends + b.fails == 1);
	bench_close(&b);
	server_stop(&s);
	CHECK(atomic_load(&s.connections) >= 2);	/* counted by its thread: it may lag behind */
}

static void
test_refused_connection(void)
{
	struct server s = { .answer = "" };
	struct bench b;
	unsigned port = server_start(&s);

	server_stop(&s);
	bench_open(&b, port);
	ask(&b, HTTP_GET);
	CHECK(b.fails == 1 && b.why == REFUSE_UPSTREAM_CONNECT);
	bench_close(&b);
}

static void
test_timeout(void)
{
	static const char answer[] = OK;
	struct server s = { .answer = answer, .n = sizeof answer - 1 };
	struct bench b;

	bench_open(&b, server_start(&s));
	b.limits.upstream_first_byte = 50;
	ask(&b, HTTP_GET);
	CHECK(b.fails == 1 && b.why == REFUSE_UPSTREAM_TIMEOUT);
	bench_close(&b);
	server_stop(&s);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		run_row(&rows[i], false);
		run_row(&rows[i], true);
	}
	test_repeat();
	test_speaks_first();
	test_refused_connection();
	test_timeout();
	return check_done();
}
