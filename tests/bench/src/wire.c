/*
 * wire.c - one blocking TLS connection on the loopback, as the bench tools need it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "wire.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_AHEAD	131072u

void
wire_die(const char *what)
{
	perror(what);
	exit(2);
}

double
wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

char *
wire_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	char *text;
	long n;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0)
		wire_die(name);
	rewind(f);
	text = malloc((size_t)n + 1);
	if (text == NULL || fread(text, 1, (size_t)n, f) != (size_t)n)
		wire_die(name);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void
tune(SSL_CTX *ctx, bool bulk)
{
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
		wire_die("TLS 1.3");
	if (bulk) {
		SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
		SSL_CTX_set_read_ahead(ctx, 1);
	} else {
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	}
}

SSL_CTX *
wire_client(bool bulk)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		wire_die("SSL_CTX_new");
	tune(ctx, bulk);
	return ctx;
}

SSL_CTX *
wire_server(const char *certificate, const char *key, bool bulk)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		wire_die(certificate);
	tune(ctx, bulk);
	return ctx;
}

static struct sockaddr_in
loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int
wire_listen(int port)
{
	struct sockaddr_in a = loopback(port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0)
		wire_die("listen");
	return fd;
}

static bool
start(struct wire *w, SSL_CTX *ctx, int fd)
{
	int one = 1;

	*w = (struct wire){ .fd = fd };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	w->ssl = SSL_new(ctx);
	return w->ssl != NULL && SSL_set_fd(w->ssl, fd) == 1;
}

bool
wire_dial(struct wire *w, SSL_CTX *ctx, int port)
{
	struct sockaddr_in a = loopback(port);
	static char name[] = "localhost";
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return false;
	if (start(w, ctx, fd) && SSL_set_tlsext_host_name(w->ssl, name) == 1 &&
	    connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && SSL_connect(w->ssl) == 1)
		return true;
	wire_close(w);
	return false;
}

bool
wire_accept(struct wire *w, SSL_CTX *ctx, int fd)
{
	if (start(w, ctx, fd) && SSL_accept(w->ssl) == 1)
		return true;
	wire_close(w);
	return false;
}

void
wire_close(struct wire *w)
{
	if (w->ssl != NULL) {
		SSL_shutdown(w->ssl);
		SSL_free(w->ssl);
	}
	close(w->fd);
	free(w->buf);
	*w = (struct wire){ .fd = -1 };
}

bool
wire_send(struct wire *w, const void *p, size_t n)
{
	size_t sent;

	return SSL_write_ex(w->ssl, p, n, &sent) == 1 && sent == n;
}

ssize_t
wire_recv(struct wire *w, void *p, size_t n)
{
	return SSL_read(w->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
}

static bool
fill(struct wire *w)
{
	ssize_t n;

	if (w->buf == NULL && (w->buf = malloc(WIRE_BUFFER)) == NULL)
		wire_die("malloc");
	if (w->at == w->have)
		w->at = w->have = 0;
	if (w->at > 0 && w->have == WIRE_BUFFER) {
		memmove(w->buf, w->buf + w->at, w->have - w->at);
		w->have -= w->at;
		w->at = 0;
	}
	if (w->have == WIRE_BUFFER)
		return false;
	n = wire_recv(w, w->buf + w->have, WIRE_BUFFER - w->have);
	if (n <= 0)
		return false;
	w->have += (size_t)n;
	return true;
}

size_t
wire_line(struct wire *w, char *out, size_t size)
{
	for (;;) {
		const char *from = w->buf + w->at;
		const char *end = w->have > w->at ? memchr(from, '\n', w->have - w->at) : NULL;

		if (end != NULL) {
			size_t n = (size_t)(end - from) + 1;

			if (n >= size)
				return 0;
			memcpy(out, from, n);
			out[n] = '\0';
			w->at += n;
			return n;
		}
		if (!fill(w))
			return 0;
	}
}

bool
wire_skip(struct wire *w, long long n)
{
	while (n > 0) {
		long long here = (long long)(w->have - w->at);

		if (here == 0) {
			if (!fill(w))
				return false;
			continue;
		}
		if (here > n)
			here = n;
		w->at += (size_t)here;
		n -= here;
	}
	return true;
}

/* "https://host/path" or "/path" to "/path". */
static void
keep_path(const char *value, char *out, size_t size)
{
	const char *p = strstr(value, "://");

	p = p != NULL ? strchr(p + 3, '/') : value;
	snprintf(out, size, "%s", p != NULL ? p : "");
	out[strcspn(out, "\r\n")] = '\0';
}

bool
wire_reply(struct wire *w, struct reply *r)
{
	char line[8192 + 64];

	*r = (struct reply){ .length = -1 };
	if (wire_line(w, line, sizeof line) < 12)
		return false;
	r->status = atoi(line + 9);
	for (;;) {
		size_t n = wire_line(w, line, sizeof line);

		if (n == 0)
			return false;
		if (line[0] == '\r' || line[0] == '\n')
			break;
		if (strncasecmp(line, "content-length:", 15) == 0)
			r->length = atoll(line + 15);
		else if (strncasecmp(line, "location:", 9) == 0)
			keep_path(line + 9 + strspn(line + 9, " \t"), r->location, sizeof r->location);
	}
	return r->status != 100 || wire_reply(w, r);
}
