/*
 * forward.c - to upstream and back: the head written anew, bodies streamed both ways with back-pressure.
 * Invariant: of the client's head only the fields listed here go upstream.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"

#include "gateway/credentials/logins.h"
#include "gateway/log.h"

#define HEAD_MAX	16384u

/* Accept may come in many fields; order does not matter to its meaning. */
static struct span
join_fields(struct request *r, enum http_field_id id)
{
	struct span first = r->head.field[id];
	size_t n = 0, count = 0;
	char *p;

	for (size_t i = 0; i < r->head.n_fields; i++) {
		if (r->head.fields[i].id == id) {
			n += r->head.fields[i].value.n + 2;
			count++;
		}
	}
	if (count < 2)
		return first;
	p = arena_alloc(r->arena, n);
	if (p == NULL)
		return SPAN_NONE;
	n = 0;
	for (size_t i = 0; i < r->head.n_fields; i++) {
		const struct http_field *f = &r->head.fields[i];

		if (f->id != id || f->value.n == 0)
			continue;
		if (n > 0) {
			memcpy(p + n, ", ", 2);
			n += 2;
		}
		memcpy(p + n, f->value.p, f->value.n);
		n += f->value.n;
	}
	return (struct span){ p, n };
}

struct span
forward_accept(struct request *r)
{
	return join_fields(r, HTTP_FIELD_ACCEPT);
}

static void
pass_field(const struct request *r, struct http_writer *w, enum http_field_id id)
{
	if (r->head.field[id].p != NULL)
		http_write_field_id(w, id, r->head.field[id]);
}

/* One for all: at most one request of ours is under way. */
static char *
room_for_head(struct request *r)
{
	if (r->head_room == NULL)
		r->head_room = arena_alloc(r->arena, HEAD_MAX);
	return r->head_room;
}

static void
write_common(struct request *r, struct http_writer *w, enum http_method method, struct span target)
{
	const struct config_upstream *u = r->upstream_config;

	http_write_request_line(w, method, target);
	http_write_field_id(w, HTTP_FIELD_HOST, span_of(upstream_config(r->upstream)->host_header));
	/* the registry's alone: not for a host that it sends uploads to */
	if (r->answered_by.p == NULL) {
		if (u->credentials == CREDENTIALS_BASIC)
			http_write_field_id(w, HTTP_FIELD_AUTHORIZATION, span_of(u->authorization));
		else if (r->credential != NULL && r->credential->authorization.n > 0)
			http_write_field_id(w, HTTP_FIELD_AUTHORIZATION, r->credential->authorization);
		http_write_field_id(w, HTTP_FIELD_X_FORWARDED_FOR, span_of(r->client.ip));
	}
	http_write_field(w, SPAN("Accept-Encoding"), SPAN("identity"));
	if (r->head.field[HTTP_FIELD_USER_AGENT].p != NULL)
		pass_field(r, w, HTTP_FIELD_USER_AGENT);
	else
		http_write_field_id(w, HTTP_FIELD_USER_AGENT, SPAN("tidewaiter/" TW_VERSION));
}

static bool
is_upload(const struct request *r)
{
	return r->route.reference_type == REFERENCE_LEASE || r->route.op == ROUTE_UPLOAD_START ||
	    r->route.op == ROUTE_BLOB_MOUNT;
}

/* The rest of the client's head, and how its body is framed. */
static void
write_request_fields(struct request *r, struct http_writer *w)
{
	struct span accept = join_fields(r, HTTP_FIELD_ACCEPT);
	bool takes_body = r->head.method == HTTP_POST || r->head.method == HTTP_PUT ||
	    r->head.method == HTTP_PATCH;

	if (accept.p != NULL)
		http_write_field_id(w, HTTP_FIELD_ACCEPT, accept);
	if (!takes_body) {
		pass_field(r, w, HTTP_FIELD_RANGE);
		pass_field(r, w, HTTP_FIELD_IF_NONE_MATCH);
		return;
	}
	if (r->route.op == ROUTE_MANIFEST_PUT) {
		http_write_field_id(w, HTTP_FIELD_CONTENT_TYPE, r->manifest.media_type);
		http_write_number(w, HTTP_FIELD_CONTENT_LENGTH, r->n_bytes);
		return;
	}
	if (is_upload(r)) {
		http_write_field_id(w, HTTP_FIELD_CONTENT_TYPE, SPAN("application/octet-stream"));
		pass_field(r, w, HTTP_FIELD_CONTENT_RANGE);
	}
	if (r->head.framing == HTTP_FRAMING_CHUNKED)
		http_write_field_id(w, HTTP_FIELD_TRANSFER_ENCODING, SPAN("chunked"));
	else
		http_write_number(w, HTTP_FIELD_CONTENT_LENGTH, r->head.length);
}

struct span
forward_target(struct request *r, const struct route *route)
{
	const struct config_upstream *u = r->upstream_config;
	struct span target = route_target(route, route->repository, r->arena);

	if (target.p == NULL || u->path[0] == '\0')
		return target;
	return arena_printf(r->arena, "%s%.*s", u->path, SPAN_FMT(target));
}

/* What to ask upstream for. */
static struct span
upstream_target(struct request *r)
{
	const struct config_upstream *u = r->upstream_config;
	struct span target;

	if (r->route.reference_type == REFERENCE_LEASE) {
		target = span_skip(r->lease.url, r->answered_by.p != NULL ? r->answered_by.n : strlen(u->origin));
		if (r->route.op != ROUTE_UPLOAD_FINISH)
			return target;
		return arena_printf(r->arena, "%.*s%cdigest=%.*s", SPAN_FMT(target),
		    memchr(target.p, '?', target.n) != NULL ? '&' : '?', SPAN_FMT(r->route.digest));
	}
	return claim_target(r);
}

enum refuse
forward_check(struct request *r, const struct http_head *h)
{
	struct storage_place place;
	enum refuse why;

	if (h->status == 401)
		return REFUSE_UPSTREAM_AUTH;
	if (h->status < 300 || h->status >= 400 || h->status == 304)
		return REFUSE_NONE;
	if (r->upstream_config->redirects != REDIRECT_PASS)
		return REFUSE_UPSTREAM_REDIRECT;
	why = redirect_check(r, h, &place);
	if (why == REFUSE_NONE)
		r->redirect = h->field[HTTP_FIELD_LOCATION];
	return why;
}

/* ---- the answer ---- */

/* The answer went wrong: say so if nothing was said yet, else cut the client off so that it knows. */
static void
answer_broken(struct request *r, enum refuse why)
{
	r->exchange_sent = exchange_sent(r->exchange);
	exchange_cancel(r->exchange);
	r->exchange = NULL;
	if (r->status == 0) {
		if (request_is_write(r)) {
			r->exchange_failed = why;
			request_continue(r);	/* the claim must hear of it */
		} else {
			request_fail(r, why);
		}
		return;
	}
	r->refused = why;
	r->failed = true;
	conn_abort(r->conn);
}

static void
on_ready(void *ctx)
{
	struct request *r = ctx;

	if (!r->body_done)
		request_want_body(r, SINK_FORWARD);
	else
		exchange_finish(r->exchange);
}

/* A redirect is followed: true when this answer is not for the client, or not yet. */
static bool
followed(struct request *r, const struct http_head **h)
{
	enum refuse why;

	if (follow_wanted(r, *h)) {
		why = follow_begin(r, *h);
		*h = NULL;
	} else if (r->follow != NULL) {
		*h = follow_answer(r, *h, &why);
	} else {
		return false;
	}
	if (why != REFUSE_NONE)
		answer_broken(r, why);
	return *h == NULL;
}

/* The head is all there is to it: what follows of the answer is nobody's. */
static void
end_with_head(struct request *r)
{
	exchange_cancel(r->exchange);
	r->exchange = NULL;
	request_replied(r);
}

/* Nothing of a body has gone there that could not go again. */
static bool
may_ask_again(const struct request *r)
{
	bool streamed = r->head.framing == HTTP_FRAMING_CHUNKED || (r->head.framing == HTTP_FRAMING_LENGTH && r->head.length > 0);

	return r->follow == NULL && (!streamed || r->route.op == ROUTE_MANIFEST_PUT);
}

static void
on_login(struct request *r, bool ok)
{
	if (ok) {
		request_forward_again(r);
	} else if (request_is_write(r)) {
		/* it was answered 401: nothing is there */
		r->exchange = NULL;
		r->exchange_failed = REFUSE_UPSTREAM_LOGIN;
		r->exchange_sent = false;
		request_continue(r);
	} else {
		request_fail(r, REFUSE_UPSTREAM_LOGIN);
	}
}

static void
on_head(void *ctx, const struct http_head *h)
{
	struct request *r = ctx;
	enum refuse why;

	r->upstream_status = h->status;
	if (h->status == 401 && may_ask_again(r) && login_again(r, on_login)) {
		exchange_cancel(r->exchange);
		return;
	}
	if (followed(r, &h))
		return;
	r->answer_digest = h->field[HTTP_FIELD_DOCKER_CONTENT_DIGEST];
	if (request_is_write(r)) {
		r->kept_back = true;
		r->answer.head = h;
		return;
	}
	why = forward_check(r, h);
	if (why == REFUSE_NONE)
		why = answer_relay(r, h, NULL);
	if (why != REFUSE_NONE)
		answer_broken(r, why);
	else if (r->route.op == ROUTE_MANIFEST_GET && r->route.reference_type == REFERENCE_TAG && h->status == 200)
		drift_watch(r, r->answer_digest);
	if (why == REFUSE_NONE && r->follow != NULL && r->head.method == HTTP_HEAD)
		end_with_head(r);
}

static void
keep_body(struct request *r, struct span payload)
{
	struct answer *a = &r->answer;

	if (a->body == NULL)
		a->body = arena_alloc(r->arena, ANSWER_MAX);
	if (a->body == NULL || payload.n > ANSWER_MAX - a->n) {
		a->cut = true;
		return;
	}
	memcpy(a->body + a->n, payload.p, payload.n);
	a->n += payload.n;
}

static void
on_body(void *ctx, struct span payload)
{
	struct request *r = ctx;
	struct stream *s = r->conn->stream;

	if (follow_reading(r)) {
		if (!follow_body(r, payload.n))
			answer_broken(r, REFUSE_UPSTREAM_BAD);
		return;
	}
	if (r->kept_back) {
		keep_body(r, payload);
		return;
	}
	if (r->finished)
		return;
	if (r->chunked) {
		char head[HTTP_CHUNK_HEAD_MAX];

		stream_write(s, (struct span){ head, http_chunk_head(head, payload.n) });
	}
	stream_write(s, payload);
	if (r->chunked)
		stream_write(s, SPAN("\r\n"));
	r->bytes_out += payload.n;
	if (payload.n >= 8192)
		stream_flush(s);
	if (stream_blocked(s)) {
		exchange_pause(r->exchange);
		stream_deadline(s, r->config->limits.write_idle);
	}
}

static const struct exchange_ops forward_ops;

static void
on_end(void *ctx)
{
	struct request *r = ctx;
	enum refuse why;

	if (follow_reading(r)) {
		r->exchange = follow_go(r, &forward_ops, &why);
		if (r->exchange == NULL)
			request_fail(r, why);
		return;
	}
	if (r->kept_back) {
		request_continue(r);
		return;
	}
	if (r->finished)
		return;
	if (r->chunked)
		stream_write(r->conn->stream, HTTP_CHUNK_LAST);
	request_replied(r);
}

/* Upstream can take more of the client's body. */
static void
on_drain(void *ctx)
{
	struct request *r = ctx;

	if (!r->finished && !r->body_done && r->sink == SINK_FORWARD)
		request_want_body(r, SINK_FORWARD);
}

static void
on_fail(void *ctx, enum refuse why)
{
	struct request *r = ctx;

	answer_broken(r, why);
}

static const struct exchange_ops forward_ops = { on_ready, on_head, on_body, on_end, on_drain, on_fail };

/* ---- sending ---- */

static struct exchange *
send_request(struct request *r, const struct exchange_request *rq, struct http_writer *w,
    const struct exchange_ops *ops, enum refuse *why)
{
	struct exchange_request q = *rq;
	struct exchange *x = NULL;

	*why = REFUSE_INTERNAL;
	q.head = http_write_end(w);
	if (q.head.p != NULL) {
		*why = REFUSE_NO_MEMORY;
		x = exchange_start(r->upstream, &q, r->arena, ops, r);
	}
	if (x != NULL)
		*why = REFUSE_NONE;
	return x;
}

/* accept.p == NULL: the manifest that was read is put there. */
static struct span
own_head(struct request *r, struct span target, struct span accept)
{
	char *buf = room_for_head(r);
	struct http_writer w;

	if (buf == NULL)
		return SPAN_NONE;
	http_writer_init(&w, buf, HEAD_MAX);
	write_common(r, &w, accept.p != NULL ? HTTP_GET : HTTP_PUT, target);
	if (accept.p != NULL) {
		http_write_field_id(&w, HTTP_FIELD_ACCEPT, accept);
	} else {
		http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, r->manifest.media_type);
		http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, r->n_bytes);
	}
	return http_write_end(&w);
}

/* A GET or PUT of our own: it is made once more when upstream refuses what we are logged in with. */
struct get {
	struct request *request;
	struct exchange *exchange;
	const struct exchange_ops *ops;
	struct span target, accept;
};

static void
on_get_login(struct request *r, bool ok)
{
	struct get *g = r->get;
	struct span head = ok ? own_head(r, g->target, g->accept) : SPAN_NONE;

	if (head.p == NULL || !exchange_repeat(g->exchange, head))
		g->ops->on_fail(r, ok ? REFUSE_NO_MEMORY : REFUSE_UPSTREAM_LOGIN);
}

static void
on_get_head(void *ctx, const struct http_head *h)
{
	struct get *g = ctx;

	if (h->status == 401 && login_again(g->request, on_get_login)) {
		g->request->get = g;
		exchange_cancel(g->exchange);
		return;
	}
	g->ops->on_head(g->request, h);
}

static void
on_get_body(void *ctx, struct span payload)
{
	struct get *g = ctx;

	g->ops->on_body(g->request, payload);
}

static void
on_get_end(void *ctx)
{
	struct get *g = ctx;

	g->ops->on_end(g->request);
}

static void
on_get_fail(void *ctx, enum refuse why)
{
	struct get *g = ctx;

	g->ops->on_fail(g->request, why);
}

/* what streams has on_ready() and on_drain(); these do not */
static const struct exchange_ops get_ops = { NULL, on_get_head, on_get_body, on_get_end, NULL, on_get_fail };

static struct exchange *
own_exchange(struct request *r, struct span target, struct span accept, const struct exchange_ops *ops, enum refuse *why)
{
	struct get *g = arena_alloc(r->arena, sizeof *g);
	/* the same manifest under its own digest may go there twice */
	struct exchange_request rq = { .method = accept.p != NULL ? HTTP_GET : HTTP_PUT, .repeatable = true };

	if (accept.p == NULL)
		rq.body = (struct span){ r->bytes, r->n_bytes };
	*why = REFUSE_NO_MEMORY;
	if (g == NULL || target.p == NULL)
		return NULL;
	*g = (struct get){ .request = r, .ops = ops, .target = target, .accept = accept };
	rq.head = own_head(r, target, accept);
	if (rq.head.p == NULL) {
		*why = REFUSE_INTERNAL;
		return NULL;
	}
	g->exchange = exchange_start(r->upstream, &rq, r->arena, &get_ops, g);
	if (g->exchange != NULL)
		*why = REFUSE_NONE;
	return g->exchange;
}

struct exchange *
forward_get(struct request *r, struct span target, struct span accept, const struct exchange_ops *ops, enum refuse *why)
{
	return own_exchange(r, target, accept, ops, why);
}

struct exchange *
forward_put(struct request *r, struct span target, const struct exchange_ops *ops, enum refuse *why)
{
	return own_exchange(r, target, SPAN_NONE, ops, why);
}

/* An upload may go on at another host than the registry's, if upload-hosts (still) lists it. False: it may not. */
static bool
choose_upload_host(struct request *r)
{
	const struct config_upstream *u = r->upstream_config;
	struct span url = r->lease.url, origin = span_of(u->origin);
	size_t n = (size_t)(u - r->config->upstream);
	struct storage_place place;

	if (r->route.reference_type != REFERENCE_LEASE ||
	    (url.n > origin.n && url.p[origin.n] == '/' && span_starts(url, origin)))
		return true;
	for (size_t i = 0; i < u->n_upload_hosts; i++) {
		origin = span_of(u->upload_hosts[i]);
		if (url.n <= origin.n || url.p[origin.n] != '/' || !span_starts(url, origin) ||
		    !storage_place_parse(url, r->arena, &place))
			continue;
		r->answered_by = origin;
		r->upstream = storage_at(r->serving->storage, u, r->serving->setup->storage_tls[n], &place);
		return r->upstream != NULL;
	}
	return false;
}

enum next
step_forward(struct request *r)
{
	char *buf = room_for_head(r);
	struct span target;
	struct http_writer w;
	enum refuse why;
	struct exchange_request rq = {
		.method = r->head.method,
		.body = r->route.op == ROUTE_MANIFEST_PUT ? (struct span){ r->bytes, r->n_bytes } : SPAN_NONE,
		.streams = r->route.op != ROUTE_MANIFEST_PUT && !r->body_done,
		.framing = r->head.framing,
	};

	if (!choose_upload_host(r))
		return request_refuse(r, REFUSE_UPLOAD_UNKNOWN);
	target = upstream_target(r);
	if (buf == NULL || target.p == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	/* a manifest goes under a claim: the same bytes twice are the same push */
	rq.repeatable = !rq.streams && r->head.method != HTTP_PATCH && r->route.op != ROUTE_UPLOAD_FINISH;
	http_writer_init(&w, buf, HEAD_MAX);
	write_common(r, &w, r->head.method, target);
	write_request_fields(r, &w);
	r->exchange = send_request(r, &rq, &w, &forward_ops, &why);
	return r->exchange != NULL ? WAIT : request_refuse(r, why);
}
