/*
 * conn.c - client connections: heads in, one request at a time, an orderly end.
 * Invariant: bytes of the next request are never read while one is being served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/conn.h"

#include <stdlib.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/request.h"
#include "gateway/stream/tls.h"

#define LINGER_BYTES	65536u	/* discarded after our last answer, so that the client reads it before a reset */
#define LINGER_MS	1000u
#define CROWDED_TOLD_MS	60000

static void
free_task(struct loop_task *t)
{
	struct conn *c = (struct conn *)(void *)((char *)t - offsetof(struct conn, task));
	struct worker *w = c->worker;

	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	w->n_conns--;
	if (c->counted)
		source_disconnect(c->source);
	certificate_free(c->certificate);
	setup_unref(c->verified_by);
	atomic_fetch_sub_explicit(&w->gateway->connections, 1, memory_order_relaxed);
	metric_add(&w->metrics, METRIC_CONNECTIONS, -1);
	free(c);
	worker_conn_gone(w);
}

static void
close_now(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	stream_close(c->stream);
	if (c->request == NULL)
		loop_later(c->worker->loop, &c->task);
}

void
conn_abort(struct conn *c)
{
	struct request *r = c->request;

	if (c->state == CONN_CLOSED)
		return;
	if (r != NULL && r->lent) {
		c->lost = true;
		stream_pause(c->stream);
		stream_deadline(c->stream, 0);
		return;
	}
	close_now(c);
	if (r != NULL)
		request_client_gone(r, REFUSE_CLIENT_GONE);
}

static void
linger(struct conn *c)
{
	c->state = CONN_LINGER;
	c->linger_left = LINGER_BYTES;
	stream_shutdown(c->stream);
	stream_deadline(c->stream, LINGER_MS);
	stream_resume(c->stream);
}

static void
await_head(struct conn *c, unsigned ms)
{
	c->state = CONN_HEAD;
	c->head_begun = false;
	c->scan = (struct http_scan){ 0 };
	stream_deadline(c->stream, ms);
}

void
conn_request_done(struct conn *c, bool keep_alive)
{
	const struct config_limits *limits = &c->worker->serving->config->limits;

	c->request = NULL;
	c->served++;
	if (c->state == CONN_CLOSED) {
		loop_later(c->worker->loop, &c->task);
		return;
	}
	if (!keep_alive || c->closing) {
		linger(c);
		return;
	}
	await_head(c, limits->keep_alive);
	stream_resume(c->stream);
}

bool
conn_may_go_on(const struct conn *c)
{
	const struct config_limits *limits = &c->worker->serving->config->limits;

	return c->state == CONN_REQUEST && !c->closing && !c->worker->draining &&
	    c->served + 1 < limits->requests_per_connection &&
	    loop_monotonic_ms(c->worker->loop) - c->since < limits->connection_age;
}

void
conn_want_body(struct conn *c, bool wanted)
{
	if (c->state == CONN_CLOSED)
		return;
	if (!wanted) {
		stream_pause(c->stream);
		stream_deadline(c->stream, 0);
		return;
	}
	stream_resume(c->stream);
	stream_deadline(c->stream, c->worker->serving->config->limits.body_idle);
}

void
conn_drain(struct conn *c)
{
	c->closing = true;
	if (c->state == CONN_HANDSHAKE || (c->state == CONN_HEAD && !c->head_begun))
		close_now(c);
}

/* ---- stream callbacks ---- */

/* Has this address room for another connection? If not that is counted, and told once a minute. */
static bool
has_room(struct worker *w, const struct endpoint *client, unsigned source)
{
	int64_t now = loop_monotonic_ms(w->loop);

	if (source_connect(source, w->serving->config->limits.connections_per_ip))
		return true;
	metric_add(&w->metrics, METRIC_CROWDED, 1);
	if (w->crowded_told == 0 || now - w->crowded_told > CROWDED_TOLD_MS) {
		w->crowded_told = now;
		log_warn("source=%s msg=has as many connections as one address may have (limits.connections-per-ip): more are closed",
		    client->ip);
	}
	return false;
}

/* The proxy in front told who connected. From here on that address is the client, and it is what counts. */
static void
on_proxy(void *ctx, const struct proxy_header *h)
{
	struct conn *c = ctx;
	const struct config *config = c->worker->serving->config;
	const struct config_listen *listen = &config->listen[c->listener];

	stream_deadline(c->stream, config->limits.tls_handshake);
	if (h->local)
		return;
	if (!endpoint_from(&h->source.any, &c->client)) {
		close_now(c);
		return;
	}
	if (endpoint_within(&c->client, listen->trusted, listen->n_trusted_proxies))
		return;
	c->source = source_slot(&c->client.address);
	c->counted = has_room(c->worker, &c->client, c->source);
	if (!c->counted)
		close_now(c);
}

/* False when out of memory: who showed a certificate must not pass for somebody who showed none. */
static bool
read_certificate(struct conn *c)
{
	STACK_OF(X509) *chain = stream_peer_chain(c->stream);

	if (chain != NULL && c->verified_by != NULL)
		c->certificate = certificate_new(chain, &c->verified_by->config->listen[c->listener].certificate);
	return chain == NULL || c->certificate != NULL;
}

bool
conn_certificate_refresh(struct conn *c, struct setup *s)
{
	const struct config_listen *listen = &s->config->listen[c->listener];
	STACK_OF(X509) *chain;
	struct certificate *fresh;

	if (c->certificate == NULL || c->verified_by == s)
		return true;
	chain = stream_peer_chain(c->stream);
	fresh = chain == NULL ? NULL : certificate_new(chain, &listen->certificate);
	if (fresh == NULL)
		return false;
	if (listen->client_certificate == CLIENT_CERTIFICATE_NONE || !tls_chain_ok(s->listen_tls[c->listener], chain))
		certificate_distrust(fresh);
	certificate_free(c->certificate);
	setup_unref(c->verified_by);
	c->certificate = fresh;
	c->verified_by = setup_ref(s);
	return true;
}

static void
on_ready(void *ctx)
{
	struct conn *c = ctx;

	if (!read_certificate(c)) {
		close_now(c);
		return;
	}
	metric_add(&c->worker->metrics, METRIC_HANDSHAKES, 1);
	await_head(c, c->worker->serving->config->limits.first_byte);
}

/* The head is whole, or as bad as it will get. */
static void
begin(struct conn *c, struct span bytes, enum refuse why)
{
	struct arena *a = worker_arena(c->worker);
	struct http_head head = { 0 };
	struct span copy = SPAN_NONE;
	enum refuse found = REFUSE_NO_MEMORY;

	if (a != NULL)
		copy = arena_dup(a, bytes);
	if (copy.p != NULL)
		found = http_request_parse(copy, &c->worker->serving->config->limits.http, a, &head);
	c->state = CONN_REQUEST;
	stream_deadline(c->stream, 0);
	if (a == NULL) {
		close_now(c);	/* not even a place to write the answer */
		return;
	}
	request_begin(c, a, &head, why != REFUSE_NONE ? why : found);
}

static size_t
read_head(struct conn *c, struct span in)
{
	const struct config_limits *limits = &c->worker->serving->config->limits;

	if (!c->head_begun) {
		c->head_begun = true;
		stream_deadline(c->stream, limits->head_total);	/* for the whole head: never re-armed */
	}
	switch (http_scan(&c->scan, in.p, in.n, &limits->http)) {
	case HTTP_READ_MORE:
		return 0;
	case HTTP_READ_DONE:
		begin(c, (struct span){ in.p, c->scan.length }, REFUSE_NONE);
		return c->scan.length;
	case HTTP_READ_BAD:
		break;
	}
	if (in.n > limits->http.head)
		in.n = limits->http.head;
	begin(c, in, c->scan.why != REFUSE_NONE ? c->scan.why : REFUSE_BAD_REQUEST);
	return in.n;
}

static size_t
on_data(void *ctx, struct span in)
{
	struct conn *c = ctx;
	size_t taken = 0;

	while (taken < in.n) {
		struct span rest = span_skip(in, taken);
		size_t used = 0;

		switch (c->state) {
		case CONN_HEAD:
			used = read_head(c, rest);
			break;
		case CONN_REQUEST:
			used = request_body(c->request, rest);
			break;
		case CONN_LINGER:
			if (rest.n > c->linger_left)
				close_now(c);
			else
				c->linger_left -= rest.n;
			return in.n;
		case CONN_HANDSHAKE:
		case CONN_CLOSED:
			return in.n;
		}
		if (used == 0)
			break;
		taken += used;
	}
	return taken;
}

static void
on_drain(void *ctx)
{
	struct conn *c = ctx;

	if (c->request != NULL)
		request_drained(c->request);
}

static void
on_eof(void *ctx)
{
	struct conn *c = ctx;

	if (c->state == CONN_HEAD && c->head_begun)
		begin(c, SPAN_NONE, REFUSE_CLIENT_GONE);
	conn_abort(c);
}

static void
timed_out(struct conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
		/* an idle kept connection just ends; one that owes us a head is told */
		if (c->head_begun || c->served == 0)
			begin(c, SPAN_NONE, REFUSE_REQUEST_TIMEOUT);
		else
			close_now(c);
		return;
	case CONN_REQUEST:
		request_client_gone(c->request, REFUSE_REQUEST_TIMEOUT);
		return;
	case CONN_HANDSHAKE:
	case CONN_LINGER:
	case CONN_CLOSED:
		close_now(c);
	}
}

static void
on_fail(void *ctx, enum stream_fail why, const char *text)
{
	struct conn *c = ctx;

	if (c->state == CONN_HANDSHAKE) {
		metric_add(&c->worker->metrics, why == STREAM_FAIL_PROXY ? METRIC_PROXY_REFUSED : METRIC_HANDSHAKE_FAILED, 1);
		log_debug("source=%s peer=%s msg=TLS handshake failed: %s", c->client.ip, c->peer.ip, text);
	}
	if (why == STREAM_FAIL_TIMEOUT) {
		timed_out(c);
		return;
	}
	if (c->state == CONN_HEAD && c->head_begun)
		begin(c, SPAN_NONE, REFUSE_CLIENT_GONE);
	conn_abort(c);
}

static const struct stream_ops conn_ops = { on_ready, on_data, on_drain, on_eof, on_fail, on_proxy };

/* ---- accepting ---- */

/* May this peer connect at all? *counted: it has a place among the connections of its address. */
static bool
admit(struct worker *w, const struct endpoint *peer, const struct config_listen *listen, unsigned source, bool *counted)
{
	bool trusted = endpoint_within(peer, listen->trusted, listen->n_trusted_proxies);

	*counted = false;
	if (listen->proxy_protocol && !trusted) {
		metric_add(&w->metrics, METRIC_PROXY_REFUSED, 1);
		return false;
	}
	if (trusted)
		return true;	/* all of its clients come from one address */
	*counted = has_room(w, peer, source);
	return *counted;
}

static void
enter_list(struct worker *w, struct conn *c)
{
	c->next = w->conns;
	c->prev = &w->conns;
	if (w->conns != NULL)
		w->conns->prev = &c->next;
	w->conns = c;
	w->n_conns++;
	atomic_fetch_add_explicit(&w->gateway->connections, 1, memory_order_relaxed);
	metric_add(&w->metrics, METRIC_CONNECTIONS, 1);
	metric_add(&w->metrics, METRIC_ACCEPTED, 1);
}

void
conn_accept(struct worker *w, int fd, const struct sockaddr *sa, size_t listener)
{
	const struct config_listen *listen = &w->serving->config->listen[listener];
	struct endpoint peer;
	struct conn *c = NULL;
	unsigned source;
	bool counted;

	if (!endpoint_from(sa, &peer)) {
		close(fd);
		return;
	}
	source = source_slot(&peer.address);
	if (!admit(w, &peer, listen, source, &counted)) {
		close(fd);
		return;
	}
	c = calloc(1, sizeof *c);
	if (c == NULL)
		close(fd);
	else
		c->stream = stream_accept(w->loop, fd, w->serving->setup->listen_tls[listener], &conn_ops, c);
	if (c == NULL || c->stream == NULL) {
		if (counted)
			source_disconnect(source);
		free(c);
		return;
	}
	c->worker = w;
	c->listener = listener;
	if (listen->client_certificate != CLIENT_CERTIFICATE_NONE)
		c->verified_by = setup_ref(w->serving->setup);
	c->peer = c->client = peer;
	c->source = source;
	c->counted = counted;
	c->task.run = free_task;
	c->since = loop_monotonic_ms(w->loop);
	enter_list(w, c);
	if (listen->proxy_protocol)
		stream_expect_proxy(c->stream);
	stream_deadline(c->stream, w->serving->config->limits.tls_handshake);
}
