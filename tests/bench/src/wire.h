/*
 * wire.h - one blocking TLS connection on the loopback, as the bench tools need it; not for any other use.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_BENCH_WIRE_H
#define TW_BENCH_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WIRE_BUFFER	(1u << 18)	/* holds the largest head, and bulk reads */

struct wire {
	int fd;
	SSL *ssl;
	char *buf;		/* WIRE_BUFFER bytes once something was read by line */
	size_t at, have;
};

struct reply {
	int status;
	long long length;	/* -1: none given */
	char location[8192];	/* path and query only; "" */
};

/* Bulk: large reads with read-ahead. Exits on failure: a bench tool has nothing better to do. */
SSL_CTX *wire_client(bool bulk);
SSL_CTX *wire_server(const char *certificate, const char *key, bool bulk);
int wire_listen(int port);

bool wire_dial(struct wire *w, SSL_CTX *ctx, int port);
bool wire_accept(struct wire *w, SSL_CTX *ctx, int fd);
void wire_close(struct wire *w);

bool wire_send(struct wire *w, const void *p, size_t n);
ssize_t wire_recv(struct wire *w, void *p, size_t n);
/* One line with its end, NUL added. 0 at the end of the stream or when it does not fit. */
size_t wire_line(struct wire *w, char *out, size_t size);
bool wire_skip(struct wire *w, long long n);
bool wire_reply(struct wire *w, struct reply *r);

double wire_now(void);			/* monotonic seconds */
char *wire_file(const char *name);	/* whole file, NUL added; exits when it cannot be read */
void wire_die(const char *what) __attribute__((noreturn));

#endif
