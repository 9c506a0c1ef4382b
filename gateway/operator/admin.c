/*
 * admin.c - /healthz, /readyz and /metrics for a loopback or pod-internal address.
 * Invariant: at most CLIENTS_MAX connections of one request and DEADLINE_S seconds each; a full table closes new ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/admin.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/head.h"
#include "gateway/http/write.h"
#include "gateway/operator/ready.h"

#define CLIENTS_MAX	64u
#define DEADLINE_S	5
#define HEAD_MAX	8192u
#define ARENA_MAX	65536u

struct client {
	struct admin *admin;
	struct bufferevent *io;
	struct event *deadline;
	struct http_scan scan;
	struct client *next, **prev;
	bool answered;
};

struct admin {
	struct event_base *base;
	struct evconnlistener *listener;
	const struct metrics_view *view;
	struct client *clients;
	unsigned n_clients;
	bool draining;
};

static void
client_free(struct client *c)
{
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->admin->n_clients--;
	if (c->deadline != NULL)
		event_free(c->deadline);
	if (c->io != NULL)
		bufferevent_free(c->io);
	free(c);
}

/* body is not kept. */
static void
answer(struct client *c, unsigned status, const char *type, struct span body, bool with_body)
{
	char head[512];
	struct http_writer w;
	struct span out;

	http_writer_init(&w, head, sizeof(head));
	http_write_status_line(&w, status, span_of(http_reason(status)));
	http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, span_of(type));
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, body.n);
	http_write_field_id(&w, HTTP_FIELD_CONNECTION, SPAN("close"));
	if (status == 405)
		http_write_field(&w, SPAN("Allow"), SPAN("GET, HEAD"));
	out = http_write_end(&w);
	c->answered = true;
	bufferevent_disable(c->io, EV_READ);
	if (out.p == NULL || bufferevent_write(c->io, out.p, out.n) != 0 ||
	    (with_body && body.n > 0 && bufferevent_write(c->io, body.p, body.n) != 0))
		client_free(c);
}

static void
answer_metrics(struct client *c, bool with_body)
{
	size_t n;
	char *text = metrics_text(c->admin->view, &n);

	if (text == NULL)
		answer(c, 503, "text/plain", SPAN("out of memory\n"), with_body);
	else
		answer(c, 200, "text/plain; version=0.0.4", (struct span){ text, n }, with_body);
	free(text);
}

static void
answer_ready(struct client *c, bool with_body)
{
	bool draining = c->admin->draining, ready = ready_is(c->admin->view, draining);
	char *text = ready_text(c->admin->view, draining);

	answer(c, ready && text != NULL ? 200 : 503, "application/json", text == NULL ? SPAN("{}") : span_of(text), with_body);
	free(text);
}

static void
serve(struct client *c, const struct http_head *h)
{
	bool get = h->method == HTTP_GET;

	if (!get && h->method != HTTP_HEAD)
		answer(c, 405, "text/plain", SPAN("only GET and HEAD are served here\n"), true);
	else if (span_eq(h->target, SPAN("/metrics")))
		answer_metrics(c, get);
	else if (span_eq(h->target, SPAN("/readyz")))
		answer_ready(c, get);
	else if (!span_eq(h->target, SPAN("/healthz")))
		answer(c, 404, "text/plain", SPAN("only /healthz, /readyz and /metrics are served here\n"), get);
	else if (c->admin->draining)
		answer(c, 503, "text/plain", SPAN("draining\n"), get);
	else
		answer(c, 200, "text/plain", SPAN("ok\n"), get);
}

static void
on_read(struct bufferevent *io, void *arg)
{
	struct client *c = arg;
	struct evbuffer *in = bufferevent_get_input(io);
	size_t n = evbuffer_get_length(in);
	const char *p = (const char *)evbuffer_pullup(in, -1);
	enum http_read found = p == NULL ? HTTP_READ_MORE : http_scan(&c->scan, p, n, &http_limits_default);
	struct http_head head = { 0 };
	struct arena *a;

	if (c->answered)
		return;
	if (found == HTTP_READ_MORE && n < HEAD_MAX)
		return;
	a = found == HTTP_READ_DONE ? arena_new(ARENA_MAX) : NULL;
	if (a != NULL && http_request_parse((struct span){ p, c->scan.length }, &http_limits_default, a, &head) ==
	    REFUSE_NONE)
		serve(c, &head);
	else
		answer(c, 400, "text/plain", SPAN("malformed request\n"), true);
	arena_free(a);
}

static void
on_written(struct bufferevent *io, void *arg)
{
	struct client *c = arg;

	(void)io;
	if (c->answered)
		client_free(c);
}

static void
on_event(struct bufferevent *io, short what, void *arg)
{
	(void)io;
	(void)what;
	client_free(arg);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
	struct admin *a = arg;
	struct timeval bound = { DEADLINE_S, 0 };
	struct client *c = a->n_clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	(void)l;
	(void)peer;
	(void)len;
	if (c == NULL) {
		evutil_closesocket(fd);
		return;
	}
	c->admin = a;
	c->next = a->clients;
	c->prev = &a->clients;
	if (a->clients != NULL)
		a->clients->prev = &c->next;
	a->clients = c;
	a->n_clients++;
	c->io = bufferevent_socket_new(a->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->deadline = event_new(a->base, -1, 0, on_deadline, c);
	if (c->io == NULL)
		evutil_closesocket(fd);
	if (c->io == NULL || c->deadline == NULL || event_add(c->deadline, &bound) != 0) {
		client_free(c);
		return;
	}
	bufferevent_setcb(c->io, on_read, on_written, on_event, c);
	bufferevent_enable(c->io, EV_READ | EV_WRITE);
}

struct admin *
admin_start(struct event_base *base, const char *address, const struct metrics_view *view, char *err, size_t err_size)
{
	struct sockaddr_storage at;
	int len = sizeof(at);
	struct admin *a;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&at, &len) != 0) {
		snprintf(err, err_size, "\"%s\" is not an address and port", address);
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	if (a == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	a->base = base;
	a->view = view;
	a->listener = evconnlistener_new_bind(base, on_accept, a,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 64, (struct sockaddr *)&at, len);
	if (a->listener == NULL) {
		snprintf(err, err_size, "cannot listen on %s: %s", address,
		    evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
		free(a);
		return NULL;
	}
	return a;
}

void
admin_draining(struct admin *a)
{
	a->draining = true;
}

void
admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	while (a->clients != NULL)
		client_free(a->clients);
	evconnlistener_free(a->listener);
	free(a);
}
