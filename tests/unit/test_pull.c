/*
 * test_pull.c - GETs read as they come, from a server of a few lines that lies, stalls, redirects and asks for credentials.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/fetch/pull.h"
#include "policy/manifest.h"
#include "tests/unit/check.h"

#define LARGE ((size_t)4 << 20)

static unsigned port;
static _Atomic int logins, asked;
static _Atomic bool stop;

/* ---- the server: one thread a connection, an answer by path ---- */

static const struct {
	const char *path, *answer;
} pages[] = {
	{ "hi", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nLink: </v2/x?n=1&last=b>; rel=\"next\"\r\n\r\nhi" },
	{ "empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	{ "chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n" },
	{ "absent", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" },
	{ "no", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" },
	{ "broken", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" },
	{ "cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhi" },
	{ "garbage", "no HTTP at all\r\n\r\n" },
	{ "elsewhere", "HTTP/1.1 307 T\r\nLocation: https://storage.test/x?sig=secret\r\nContent-Length: 0\r\n\r\n" },
	{ "nearby", "HTTP/1.1 307 T\r\nLocation: /v2/a/hi\r\nContent-Length: 0\r\n\r\n" },
	{ "plain", "HTTP/1.1 307 T\r\nLocation: http://allowed.test/x\r\nContent-Length: 0\r\n\r\n" },
	{ "nowhere", "HTTP/1.1 302 T\r\nContent-Length: 0\r\n\r\n" },
	{ "continued", "HTTP/1.1 103 Early\r\nLink: </y>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" },
	{ "silent", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi" }, /* and the connection stays */
	{ "mute", "" },
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

static void
answer(int fd, const char *path, const char *head)
{
	static char large[LARGE];
	char text[200];

	atomic_fetch_add(&asked, 1);
	if (strcmp(path, "secret") == 0 && strstr(head, "Authorization: Bearer 2\r\n") == NULL) {
		put(fd, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", strlen("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"));
		return;
	}
	if (strcmp(path, "secret") == 0)
		path = "hi";
	if (strcmp(path, "large") == 0) {
		snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", LARGE);
		put(fd, text, strlen(text));
		put(fd, large, LARGE);
		return;
	}
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(path, pages[i].path) == 0)
			put(fd, pages[i].answer, strlen(pages[i].answer));
}

static void *
talk(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[4096], path[64] = "";
	size_t n = 0;
	ssize_t k;

	while (n < sizeof text - 1 && (k = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
		n += (size_t)k;
		text[n] = '\0';
		if (strstr(text, "\r\n\r\n") == NULL)
			continue;
		n = 0;
		if (sscanf(text, "GET /v2/a/%63s", path) != 1)
			break;
		answer(fd, path, text);
		if (strcmp(path, "cut") == 0 || strcmp(path, "garbage") == 0)
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

static void
start_server(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t t;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0 || pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) != 0)
		abort();
	port = ntohs(a.sin_port);
	pthread_detach(t);
}

/* ---- asking ---- */

static char origin[64], none[] = "", allowed[] = "allowed.test";
static char *hosts[] = { allowed };
static struct config_upstream upstream = { .origin = origin, .path = none, .redirect_hosts = hosts, .n_redirect_hosts = 1 };
static struct config_limits limits = { .upstream_connect = 2000, .upstream_first_byte = 300, .body_idle = 300, .body_grace = 60000 };

static const char *
login(void *ctx, bool anew, char *err, size_t err_size)
{
	atomic_fetch_add(&logins, 1);
	if (ctx == NULL)
		return anew ? "Bearer 2" : "Bearer 1";
	snprintf(err, err_size, "no login");
	return NULL;
}

static struct pull_ask
ask_for(const char *path)
{
	return (struct pull_ask){ .upstream = &upstream, .limits = &limits, .repository = SPAN("a"), .path = path, .max = 2 * LARGE,
		.login = login, .stop = &stop };
}

#define HI "sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"

static const struct row {
	const char *path, *digest;
	uint64_t size, max;
	enum pull_outcome outcome;
	const char *body, *why;
} rows[] = {
	{ "hi", NULL, 0, 10, PULL_OK, "hi", "" },
	{ "hi", HI, 2, 2, PULL_OK, "hi", "" },
	{ "chunked", HI, 2, 2, PULL_OK, "hi", "" },
	{ "continued", HI, 0, 10, PULL_OK, "hi", "" },
	{ "empty", NULL, 0, 10, PULL_OK, "", "" },
	{ "empty", HI, 0, 10, PULL_FAILED, NULL, "not those of the digest" },
	{ "hi", HI, 3, 10, PULL_FAILED, NULL, "2 bytes instead of 3" },
	{ "chunked", HI, 3, 10, PULL_FAILED, NULL, "not as long" },
	{ "hi", NULL, 0, 1, PULL_TOO_LARGE, NULL, "more than 1" },
	{ "chunked", NULL, 0, 1, PULL_TOO_LARGE, NULL, "longer than allowed" },
	{ "cut", NULL, 0, 10, PULL_FAILED, NULL, "" },
	{ "garbage", NULL, 0, 10, PULL_FAILED, NULL, "" },
	{ "absent", NULL, 0, 10, PULL_ABSENT, NULL, "404" },
	{ "no", NULL, 0, 10, PULL_FAILED, NULL, "403" },
	{ "broken", NULL, 0, 10, PULL_FAILED, NULL, "503" },
	{ "silent", NULL, 0, 10, PULL_FAILED, NULL, "too slowly" },
	{ "mute", NULL, 0, 10, PULL_FAILED, NULL, "does not answer" },
	{ "secret", HI, 2, 10, PULL_OK, "hi", "" },
	/* a host that is not listed, none at all, one that is listed without TLS, a path */
	{ "elsewhere", NULL, 0, 10, PULL_FAILED, NULL, "redirect-hosts" },
	{ "nearby", NULL, 0, 10, PULL_FAILED, NULL, "redirect-hosts" },
	{ "plain", NULL, 0, 10, PULL_FAILED, NULL, "redirect-hosts" },
	{ "nowhere", NULL, 0, 10, PULL_FAILED, NULL, "redirect-hosts" },
};

static void
table(struct puller *p)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *r = &rows[i];
		struct pull_ask q = ask_for(r->path);
		struct arena *a = arena_new(1 << 20);
		char err[200] = "";
		struct span body, type;
		enum pull_outcome outcome;

		q.digest = r->digest;
		q.size = r->size;
		q.max = r->max;
		outcome = pull_whole(p, &q, a, &body, &type, err, sizeof err);
		if (!CHECK_ROW(outcome == r->outcome && (outcome == PULL_OK ? span_eq(body, span_of(r->body)) : strstr(err, r->why) != NULL), r->path))
			fprintf(stderr, "    got %d: %s\n", outcome, err);
		CHECK_ROW(strstr(err, "secret") == NULL, r->path);
		arena_free(a);
	}
}

/* A slow reader loses nothing, and is not taken for a slow registry. */
static void
slowly(struct puller *p)
{
	struct pull_ask q = ask_for("large");
	struct pull *t;
	char err[200], digest[72];
	static char zeros[LARGE];
	const char *bytes;
	size_t n = 0;
	long got;

	digest_sha256((struct span){ zeros, LARGE }, digest);
	q.digest = digest;
	CHECK(pull_open(p, &q, &t, err, sizeof err) == PULL_OK);
	while ((got = pull_read(t, &bytes, err, sizeof err)) > 0) {
		n += (size_t)got;
		if (n < 400000)
			usleep(400000);
	}
	CHECK(got == 0 && n == LARGE && pull_outcome(t) == PULL_OK);
	pull_close(t);
}

static void *
stop_soon(void *arg)
{
	(void)arg;
	usleep(100000);
	atomic_store(&stop, true);
	return NULL;
}

static void
stopped(struct puller *p)
{
	struct pull_ask q = ask_for("silent");
	struct pull *t;
	const char *bytes;
	char err[200];
	pthread_t thread;

	limits.body_idle = 60000;
	CHECK(pull_open(p, &q, &t, err, sizeof err) == PULL_OK && pull_read(t, &bytes, err, sizeof err) == 2);
	if (pthread_create(&thread, NULL, stop_soon, NULL) != 0)
		abort();
	CHECK(pull_read(t, &bytes, err, sizeof err) == -1 && pull_outcome(t) == PULL_STOPPED);
	pull_close(t);
	pthread_join(thread, NULL);
	CHECK(pull_open(p, &q, &t, err, sizeof err) == PULL_STOPPED && t == NULL);
	atomic_store(&stop, false);
}

int
main(void)
{
	struct pull_ask q = ask_for("hi");
	struct puller *p = puller_new();
	struct pull *t;
	char err[200];
	int before;

	signal(SIGPIPE, SIG_IGN);
	start_server();
	snprintf(origin, sizeof origin, "http://127.0.0.1:%u", port);
	table(p);
	before = atomic_load(&asked);
	q.ctx = p;
	CHECK(pull_open(p, &q, &t, err, sizeof err) == PULL_FAILED && strcmp(err, "no login") == 0 && atomic_load(&asked) == before);
	q.ctx = NULL;
	CHECK(pull_open(p, &q, &t, err, sizeof err) == PULL_OK && strcmp(pull_content_type(t), "text/plain") == 0 &&
	    strcmp(pull_next(t), "n=1&last=b") == 0);
	pull_close(t);
	slowly(p);
	stopped(p);
	puller_free(p);
	return check_done();
}
