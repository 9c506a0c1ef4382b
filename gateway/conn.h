/*
 * conn.h - one client connection: reads heads, runs one request at a time, lingers, closes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CONN_H
#define TW_CONN_H

#include <sys/socket.h>

#include "gateway/endpoint.h"
#include "gateway/http/head.h"
#include "gateway/source.h"
#include "gateway/worker.h"

struct request;

enum conn_state {
	CONN_HANDSHAKE = 0,
	CONN_HEAD,		/* waiting for, or reading, a request head */
	CONN_REQUEST,		/* a request is being served */
	CONN_LINGER,		/* answered for the last time; what still arrives is discarded */
	CONN_CLOSED,		/* waits for its request to end, then goes */
};

struct conn {
	struct worker *worker;
	size_t listener;		/* which of config->listen: a reload cannot change how many there are */
	struct stream *stream;
	struct conn *next, **prev;
	enum conn_state state;
	struct http_scan scan;
	struct request *request;
	struct loop_task task;		/* frees it at the end of a turn */
	unsigned served;		/* requests so far */
	int64_t since;			/* monotonic ms of the accept */
	unsigned source;		/* slot of the client's address */
	bool counted;			/* ... in which it counts; trusted proxies do not */
	size_t linger_left;		/* bytes still discarded before the connection is cut */
	bool head_begun, closing;
	bool lost;			/* to be aborted as soon as another thread gives the request back */
	struct endpoint peer;		/* of the socket */
	struct endpoint client;		/* the peer, or who the PROXY header of a trusted one names */
	struct certificate *certificate;	/* that it showed; NULL: none */
	struct setup *verified_by;	/* a reference: by what the certificate was verified and read; NULL: none was asked for */
};

/* Take over a socket that connected to config->listen[listener]. */
void conn_accept(struct worker *w, int fd, const struct sockaddr *sa, size_t listener) NONNULL(1, 3);
/*
 * What a request of setup `s` may believe of the connection's certificate: after a reload it is verified and read again.
 * False when out of memory.
 */
bool conn_certificate_refresh(struct conn *c, struct setup *s) NONNULL(1, 2) WUNRES;
/* The request is over and audited: go on with the next one, or end. */
void conn_request_done(struct conn *c, bool keep_alive) NONNULL(1);
/* The request wants its body (again), or not now. */
void conn_want_body(struct conn *c, bool wanted) NONNULL(1);
/* May another request follow the one being served? */
bool conn_may_go_on(const struct conn *c) NONNULL(1);
/* Draining: end now if idle, else after this request. */
void conn_drain(struct conn *c) NONNULL(1);
/* End without another word. A request still running is told it lost its client. */
void conn_abort(struct conn *c) NONNULL(1);

#endif
