/*
 * test_courier.c - errands to a server of a few lines: what comes back, what is refused, how they end early.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/courier/courier.h"
#include "gateway/courier/reach.h"
#include "tests/unit/check.h"

#define SLOW_US 300000

/* ---- a server: one thread a connection, an answer by path ---- */

static unsigned port;
static _Atomic int asked;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_request[4096];	/* under lock */

static const struct {
	const char *path, *answer;
} pages[] = {
	{ "/ok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: public, max-age=300\r\nX-A: 1\r\nx-a:  2 \r\n\r\nhi" },
	{ "/empty", "HTTP/1.1 204 No Content\r\n\r\n" },
	{ "/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" },
	{ "/absent", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope" },
	{ "/redirect", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n" },
	{ "/huge", "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\nx" },
	{ "/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx" },
	{ "/garbage", "\x01\x02\x03 no HTTP at all\r\n\r\n" },
	{ "/continued", "HTTP/1.1 100 Continue\r\nX-A: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" },
};

static void
put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

/* More and more, until nobody listens. */
static void
flood(int fd, const char *head, const char *piece)
{
	static const char chunk[] = "400\r\n";
	char kib[1026];

	put(fd, head, strlen(head));
	memset(kib, 'x', sizeof kib);
	memcpy(kib + 1024, "\r\n", 2);
	for (int i = 0; i < 4096; i++) {
		if (piece != NULL) {
			put(fd, piece, strlen(piece));
			continue;
		}
		put(fd, chunk, sizeof chunk - 1);
		put(fd, kib, sizeof kib);
	}
}

static void
answer(int fd, const char *path)
{
	if (strncmp(path, "/slow", 5) == 0)
		usleep(SLOW_US);
	if (strncmp(path, "/never", 6) == 0)
		usleep(SLOW_US * 5);
	if (strcmp(path, "/flood") == 0)
		flood(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", NULL);
	if (strcmp(path, "/fields") == 0)
		flood(fd, "HTTP/1.1 200 OK\r\n", "X-Field: 0123456789012345678901234567890123456789\r\n");
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(path, pages[i].path) == 0)
			put(fd, pages[i].answer, strlen(pages[i].answer));
	if (strncmp(path, "/slow", 5) == 0 || strncmp(path, "/never", 6) == 0)
		put(fd, pages[0].answer, strlen(pages[0].answer));
}

static void *
talk(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[4096], path[64] = "";
	size_t n = 0;
	ssize_t k;

	while (n < sizeof text - 1 && (k = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
		char *end;

		n += (size_t)k;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		/* "body!" is the one body that is sent here */
		if (end == NULL || (strncmp(text, "GET ", 4) != 0 && strstr(end, "body!") == NULL))
			continue;
		if (sscanf(text, "%*s %63s", path) == 1) {
			pthread_mutex_lock(&lock);
			memcpy(last_request, text, n + 1);
			pthread_mutex_unlock(&lock);
			atomic_fetch_add(&asked, 1);
			answer(fd, path);
		}
		break;
	}
	close(fd);
	return NULL;
}

static void *
serve(void *arg)
{
	int fd, listener = (int)(intptr_t)arg;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_t t;

		if (pthread_create(&t, NULL, talk, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	}
	return NULL;
}

static int
listen_here(pthread_t *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0 ||
	    pthread_create(t, NULL, serve, (void *)(intptr_t)fd) != 0)
		return -1;
	port = ntohs(a.sin_port);
	return fd;
}

/* ---- errands ---- */

struct trip {
	struct errand errand; /* first */
	char url[128];
	_Atomic int done;
};

static struct event_base *base;
static struct mailbox *mailbox;
static struct courier *courier;

static void
on_done(struct errand *e)
{
	atomic_fetch_add(&((struct trip *)(void *)e)->done, 1);
}

static void
prepare(struct trip *t, const char *host, const char *path)
{
	*t = (struct trip){ .errand = { .max = 65536, .timeout_ms = 5000, .allow_http = true, .reply_to = mailbox, .done = on_done } };
	snprintf(t->url, sizeof t->url, "http://%s:%u%s", host, port, path);
	t->errand.url = t->url;
}

static void
await(struct trip *t)
{
	for (int i = 0; i < 2000 && atomic_load(&t->done) == 0; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(5000);
	}
}

static void
outcomes(void)
{
	static const struct {
		const char *host, *path;
		size_t max;
		unsigned timeout;
		enum errand_outcome outcome;
		unsigned status;
		const char *body;
	} rows[] = {
		{ "127.0.0.1", "/ok", 2, 5000, ERRAND_OK, 200, "hi" },
		{ "localhost", "/ok", 2, 5000, ERRAND_OK, 200, "hi" },
		{ "127.0.0.1", "/ok", 1, 5000, ERRAND_TOO_LARGE, 0, NULL },
		{ "127.0.0.1", "/empty", 10, 5000, ERRAND_OK, 204, "" },
		{ "127.0.0.1", "/chunked", 11, 5000, ERRAND_OK, 200, "hello world" },
		{ "127.0.0.1", "/chunked", 10, 5000, ERRAND_TOO_LARGE, 0, NULL },
		{ "127.0.0.1", "/continued", 10, 5000, ERRAND_OK, 200, "hi" },
		{ "127.0.0.1", "/absent", 10, 5000, ERRAND_STATUS, 404, "nope" },
		{ "127.0.0.1", "/redirect", 10, 5000, ERRAND_STATUS, 302, "" },
		{ "127.0.0.1", "/huge", 65536, 5000, ERRAND_TOO_LARGE, 0, NULL },
		{ "127.0.0.1", "/flood", 65536, 5000, ERRAND_TOO_LARGE, 0, NULL },
		{ "127.0.0.1", "/fields", 65536, 5000, ERRAND_TOO_LARGE, 0, NULL },
		{ "127.0.0.1", "/cut", 65536, 5000, ERRAND_FAILED, 0, NULL },
		{ "127.0.0.1", "/garbage", 65536, 5000, ERRAND_FAILED, 0, NULL },
		{ "127.0.0.1", "/never", 65536, 100, ERRAND_TIMEOUT, 0, NULL },
		{ "0.0.0.0", "/ok", 10, 5000, ERRAND_ADDRESS, 0, NULL },
		{ "10.0.0.1", "/ok", 10, 5000, ERRAND_ADDRESS, 0, NULL },
		{ "169.254.169.254", "/ok", 10, 5000, ERRAND_ADDRESS, 0, NULL },
		{ "[::ffff:192.168.0.1]", "/ok", 10, 5000, ERRAND_ADDRESS, 0, NULL },
		{ "user:pass@127.0.0.1", "/ok", 10, 5000, ERRAND_FAILED, 0, NULL },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct trip t;
		struct errand *e = &t.errand;

		prepare(&t, rows[i].host, rows[i].path);
		e->max = rows[i].max;
		e->timeout_ms = rows[i].timeout;
		courier_submit(courier, e);
		await(&t);
		CHECK_ROW(t.done == 1 && e->outcome == rows[i].outcome && e->status == rows[i].status, t.url);
		CHECK_ROW((e->answer == NULL) == (rows[i].body == NULL) &&
		    (rows[i].body == NULL || strcmp(e->answer, rows[i].body) == 0), t.url);
		CHECK_ROW((e->why[0] == '\0') == (e->outcome == ERRAND_OK), t.url);
		errand_clear(e);
	}
	CHECK(courier_count(courier, ERRAND_KIND_KEYS, ERRAND_ADDRESS) == 4);
	CHECK(courier_count(courier, ERRAND_KIND_CREDENTIALS, ERRAND_ADDRESS) == 0);
}

/* Does the last request begin with one text, and hold another? */
static bool
was_asked(const char *begins, const char *holds)
{
	bool yes;

	pthread_mutex_lock(&lock);
	yes = strncmp(last_request, begins, strlen(begins)) == 0 && strcasestr(last_request, holds) != NULL;
	pthread_mutex_unlock(&lock);
	return yes;
}

static void
settings(void)
{
	static const char *const fields[] = { "Authorization: Bearer x", "X-B: b", NULL };
	struct trip t;

	prepare(&t, "127.0.0.1", "/ok");
	t.errand.allow_http = false;
	courier_submit(courier, &t.errand);
	await(&t);
	CHECK(t.errand.outcome == ERRAND_FAILED);	/* https only, unless it says so */
	prepare(&t, "0.0.0.0", "/ok");
	t.errand.allow_private = true;
	t.errand.fields = fields;
	t.errand.body = SPAN("body!");
	courier_submit(courier, &t.errand);
	await(&t);
	CHECK(t.errand.outcome == ERRAND_OK);
	CHECK(was_asked("POST /ok HTTP/1.1\r\n", "\r\nAuthorization: Bearer x\r\nX-B: b\r\n"));
	CHECK(!was_asked("", "expect") && !was_asked("", "encoding"));
	CHECK(errand_max_age(&t.errand) == 300);
	CHECK(span_eq(errand_field(&t.errand, SPAN("x-a"), 0), SPAN("1")));
	CHECK(span_eq(errand_field(&t.errand, SPAN("X-A"), 1), SPAN("2")));
	CHECK(errand_field(&t.errand, SPAN("X-A"), 2).p == NULL && errand_field(&t.errand, SPAN("X"), 0).p == NULL);
	errand_clear(&t.errand);
	prepare(&t, "127.0.0.1", "/ok");
	t.errand.method = "PUT";
	t.errand.body = SPAN("body!");
	courier_submit(courier, &t.errand);
	await(&t);
	CHECK(t.errand.outcome == ERRAND_OK && was_asked("PUT /ok ", "body!"));
	errand_clear(&t.errand);
	prepare(&t, "127.0.0.1", "/continued");
	courier_submit(courier, &t.errand);
	await(&t);
	CHECK(errand_field(&t.errand, SPAN("x-a"), 0).p == NULL);	/* that was the 100's */
	errand_clear(&t.errand);
}

static void
shared_flights(void)
{
	struct trip t[4];
	int before = atomic_load(&asked);

	for (int i = 0; i < 4; i++) {
		prepare(&t[i], "127.0.0.1", "/slow");
		t[i].errand.key = i < 3 ? "one" : "another";
		courier_submit(courier, &t[i].errand);
	}
	courier_cancel(courier, &t[1].errand);
	for (int i = 0; i < 4; i++)
		await(&t[i]);
	CHECK(atomic_load(&asked) - before == 2);
	CHECK(t[0].errand.outcome == ERRAND_OK && t[2].errand.outcome == ERRAND_OK && t[3].errand.outcome == ERRAND_OK);
	CHECK(t[1].errand.outcome == ERRAND_STOPPED && t[1].done == 1);
	CHECK(t[0].errand.answer != t[2].errand.answer && strcmp(t[2].errand.answer, "hi") == 0);
	for (int i = 0; i < 4; i++)
		errand_clear(&t[i].errand);
	/* the one whose call it is does not want it any more: the others do */
	for (int i = 0; i < 2; i++) {
		prepare(&t[i], "127.0.0.1", "/slow");
		t[i].errand.key = "one";
		courier_submit(courier, &t[i].errand);
	}
	courier_cancel(courier, &t[0].errand);
	await(&t[0]);
	await(&t[1]);
	CHECK(t[0].errand.outcome == ERRAND_STOPPED && t[1].errand.outcome == ERRAND_OK);
	errand_clear(&t[1].errand);
}

static void
cancelled(void)
{
	struct trip t;

	prepare(&t, "127.0.0.1", "/never");
	courier_submit(courier, &t.errand);
	usleep(50000);
	courier_cancel(courier, &t.errand);
	await(&t);
	CHECK(t.done == 1 && t.errand.outcome == ERRAND_STOPPED);
	/* ... after it was done, but before we heard */
	prepare(&t, "127.0.0.1", "/ok");
	courier_submit(courier, &t.errand);
	usleep(200000);
	courier_cancel(courier, &t.errand);
	await(&t);
	CHECK(t.done == 1);
	errand_clear(&t.errand);
}

/* On the courier's own thread; then again from there. */
static struct trip own;

static void
on_own_done(struct errand *e)
{
	if (atomic_fetch_add(&own.done, 1) == 0)
		courier_submit(courier, e);
}

static void
own_thread(void)
{
	prepare(&own, "127.0.0.1", "/ok");
	own.errand.reply_to = NULL;
	own.errand.done = on_own_done;
	courier_submit(courier, &own.errand);
	for (int i = 0; i < 1000 && atomic_load(&own.done) < 2; i++)
		usleep(5000);
	CHECK(atomic_load(&own.done) == 2 && own.errand.outcome == ERRAND_OK);
	errand_clear(&own.errand);
}

static void
stopping(void)
{
	static struct mail m;
	struct trip t[3];

	for (int i = 0; i < 2; i++) {
		prepare(&t[i], "127.0.0.1", "/never");
		courier_submit(courier, &t[i].errand);
	}
	usleep(50000);
	courier_stop(courier);
	await(&t[0]);
	await(&t[1]);
	CHECK(t[0].done == 1 && t[0].errand.outcome == ERRAND_STOPPED && t[1].errand.outcome == ERRAND_STOPPED);
	prepare(&t[2], "127.0.0.1", "/ok");
	courier_submit(courier, &t[2].errand);
	await(&t[2]);
	CHECK(t[2].done == 1 && t[2].errand.outcome == ERRAND_STOPPED);
	CHECK(!courier_post(courier, &m));
	courier_free(courier);
}

static void
ages(void)
{
	static const struct {
		const char *head;
		int64_t age;
	} rows[] = {
		{ "", -1 },
		{ "Cache-Control: max-age=60\r\n", 60 },
		{ "cache-control: public, MAX-AGE=60, must-revalidate\r\n", 60 },
		{ "Cache-Control: no-store\r\nCache-Control: max-age=60\r\n", 0 },
		{ "Cache-Control: no-cache, max-age=60\r\n", 0 },
		{ "Cache-Control: max-age=600, max-age=60\r\n", 60 },
		{ "Cache-Control: max-age=\r\n", -1 },
		{ "Cache-Control: max-age=-1\r\n", -1 },
		{ "Cache-Control: max-age=6e1\r\n", -1 },
		{ "Cache-Control: max-age=9999999999\r\n", 9999999999 },
		{ "Cache-Control: max-age=99999999999\r\n", -1 },
		{ "Cache-Control: s-maxage=60\r\n", -1 },
		{ "Cache-Control:", -1 },
		{ "X-Cache-Control: max-age=60\r\n", -1 },
		{ "Cache-Control: ,,max-age=1,\n", 1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char head[128];
		struct errand e = { .head = head, .head_n = strlen(rows[i].head) };

		snprintf(head, sizeof head, "%s", rows[i].head);
		CHECK_ROW(errand_max_age(&e) == rows[i].age, rows[i].head);
	}
}

static void
reaches(void)
{
	static const struct {
		const char *address;
		int publicly, locally;
	} rows[] = {
		{ "8.8.8.8", 1, 1 }, { "140.82.121.3", 1, 1 }, { "2606:50c0:8000::153", 1, 1 }, { "172.15.255.255", 1, 1 },
		{ "172.32.0.0", 1, 1 }, { "100.63.255.255", 1, 1 }, { "100.128.0.0", 1, 1 }, { "64:ff9b::808:808", 1, 1 },
		{ "2002:808:808::1", 1, 1 }, { "198.20.0.0", 1, 1 }, { "223.255.255.255", 1, 1 },
		{ "127.0.0.1", 0, 1 }, { "127.255.0.1", 0, 1 }, { "::1", 0, 1 }, { "::ffff:127.0.0.1", 0, 1 },
		{ "0.0.0.0", 0, 0 }, { "0.1.2.3", 0, 0 }, { "10.1.2.3", 0, 0 }, { "100.64.0.1", 0, 0 }, { "100.127.255.255", 0, 0 },
		{ "169.254.169.254", 0, 0 }, { "172.16.0.1", 0, 0 }, { "172.31.255.255", 0, 0 }, { "192.168.1.1", 0, 0 },
		{ "192.0.0.192", 0, 0 }, { "198.18.0.1", 0, 0 }, { "198.19.255.255", 0, 0 }, { "224.0.0.1", 0, 0 },
		{ "255.255.255.255", 0, 0 }, { "::", 0, 0 }, { "::2", 0, 0 }, { "fc00::1", 0, 0 }, { "fd00:ec2::254", 0, 0 },
		{ "fe80::1", 0, 0 }, { "fec0::1", 0, 0 }, { "ff02::1", 0, 0 }, { "100::1", 0, 0 }, { "::ffff:10.0.0.1", 0, 0 },
		{ "::10.0.0.1", 0, 0 }, { "64:ff9b::10.0.0.1", 0, 0 }, { "64:ff9b:1::10.0.0.1", 0, 0 }, { "2002:a00:1::1", 0, 0 },
	};
	static const struct {
		const char *host;
		bool names;
	} hosts[] = {
		{ "localhost", true }, { "LOCALHOST", true }, { "127.0.0.1", true }, { "127.9.9.9", true }, { "::1", true },
		{ "", false }, { "localhost.example.com", false }, { "127.0.0.1.example.com", false }, { "10.0.0.1", false },
		{ "0.0.0.0", false }, { "::", false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct network n;

		CHECK_ROW(address_parse(span_of(rows[i].address), &n), rows[i].address);
		CHECK_ROW(reach_allows(REACH_PUBLIC, &n) == rows[i].publicly, rows[i].address);
		CHECK_ROW(reach_allows(REACH_LOOPBACK, &n) == rows[i].locally, rows[i].address);
		CHECK_ROW(reach_allows(REACH_ANY, &n), rows[i].address);
	}
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		CHECK_ROW(reach_names_loopback(span_of(hosts[i].host)) == hosts[i].names, hosts[i].host);
}

static void
pauses(void)
{
	static const struct {
		unsigned failures;
		int64_t most;
	} rows[] = { { 0, 100 }, { 1, 100 }, { 2, 200 }, { 3, 400 }, { 4, 800 }, { 5, 1000 }, { 6, 1000 }, { 4000000000u, 1000 } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		CHECK(backoff_ms(rows[i].failures, 100, 1000, 0) == rows[i].most);
		CHECK(backoff_ms(rows[i].failures, 100, 1000, UINT32_MAX) >= rows[i].most * 3 / 4);
		CHECK(backoff_ms(rows[i].failures, 100, 1000, UINT32_MAX) < rows[i].most);
	}
}

int
main(void)
{
	pthread_t server;
	char err[128];
	int fd;

	ages();
	reaches();
	pauses();
	/* what the environment says is not asked */
	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	setenv("https_proxy", "http://127.0.0.1:1/", 1);
	fd = evthread_use_pthreads() == 0 ? listen_here(&server) : -1;
	base = event_base_new();
	mailbox = mailbox_new(base);
	courier = courier_start(err, sizeof err);
	if (!CHECK(fd >= 0 && base != NULL && mailbox != NULL && courier != NULL))
		return check_done();
	outcomes();
	settings();
	shared_flights();
	cancelled();
	own_thread();
	stopping();
	shutdown(fd, SHUT_RDWR);
	pthread_join(server, NULL);
	close(fd);
	mailbox_free(mailbox);
	event_base_free(base);
	return check_done();
}
