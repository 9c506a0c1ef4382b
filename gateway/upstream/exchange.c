/*
 * exchange.c - one request on one link: write it, read the answer strictly, hand the link back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/upstream/exchange.h"

#include "gateway/log.h"
#include "gateway/upstream/link.h"

struct exchange {
	struct upstream *upstream;
	struct link *link;		/* NULL when over */
	struct exchange_request rq;
	struct arena *arena;
	const struct exchange_ops *ops;
	void *ctx;
	struct http_scan scan;
	struct http_body body;
	bool started;			/* bytes of the request were written */
	bool finished;			/* request complete */
	bool heard;			/* a byte of the answer came */
	bool in_body, keep, paused, repeated;
};

/* It answered, or it did not. */
static void
note(const struct exchange *x, bool answered)
{
	int64_t now = loop_monotonic_ms(x->upstream->env.loop);

	if (x->upstream->outcome != NULL)
		atomic_store_explicit(x->upstream->outcome, answered ? now : -now, memory_order_relaxed);
}

static void
fail(struct exchange *x, enum refuse why)
{
	metric_add(x->upstream->env.metrics, METRIC_UPSTREAM_FAILED, 1);
	note(x, false);
	x->ops->on_fail(x->ctx, why);
}

/* Give up the link and report. */
static void
broken(struct exchange *x, enum refuse why)
{
	struct link *l = x->link;

	x->link = NULL;
	link_put(l, false);
	fail(x, why);
}

static bool
attach(struct exchange *x, bool fresh)
{
	x->link = link_get(x->upstream, fresh);
	if (x->link == NULL)
		return false;
	x->link->exchange = x;
	return true;
}

struct exchange *
exchange_start(struct upstream *u, const struct exchange_request *rq, struct arena *a,
    const struct exchange_ops *ops, void *ctx)
{
	struct exchange *x = arena_zalloc(a, 1, sizeof *x);

	if (x == NULL)
		return NULL;
	x->upstream = u;
	x->rq = *rq;
	x->arena = a;
	x->ops = ops;
	x->ctx = ctx;
	x->scan.response = true;
	return attach(x, false) ? x : NULL;
}

bool
exchange_repeat(struct exchange *x, struct span head)
{
	x->rq.head = head;
	x->scan = (struct http_scan){ .response = true };
	x->started = x->finished = x->heard = x->in_body = x->keep = x->paused = x->repeated = false;
	return attach(x, false);
}

void
exchange_link_ready(struct exchange *x)
{
	struct link *l = x->link;

	l->uses++;
	x->started = true;
	stream_write(l->stream, x->rq.head);
	stream_write(l->stream, x->rq.body);
	stream_deadline(l->stream, x->upstream->env.limits->upstream_first_byte);
	x->finished = !x->rq.streams;
	if (x->rq.streams)
		x->ops->on_ready(x->ctx);
}

void
exchange_write(struct exchange *x, struct span payload)
{
	char head[HTTP_CHUNK_HEAD_MAX];
	struct stream *s;

	if (x->link == NULL || payload.n == 0)
		return;
	s = x->link->stream;
	if (x->rq.framing == HTTP_FRAMING_CHUNKED)
		stream_write(s, (struct span){ head, http_chunk_head(head, payload.n) });
	stream_write(s, payload);
	if (x->rq.framing == HTTP_FRAMING_CHUNKED)
		stream_write(s, SPAN("\r\n"));
	stream_deadline(s, x->upstream->env.limits->upstream_first_byte);
	if (payload.n >= 8192)
		stream_flush(s);
}

void
exchange_finish(struct exchange *x)
{
	if (x->link == NULL || x->finished)
		return;
	x->finished = true;
	if (x->rq.framing == HTTP_FRAMING_CHUNKED)
		stream_write(x->link->stream, HTTP_CHUNK_LAST);
	stream_deadline(x->link->stream, x->upstream->env.limits->upstream_first_byte);
}

bool
exchange_blocked(const struct exchange *x)
{
	return x->link != NULL && x->link->stream != NULL && stream_blocked(x->link->stream);
}

void
exchange_link_drained(struct exchange *x)
{
	if (x->ops->on_drain != NULL)
		x->ops->on_drain(x->ctx);
}

void
exchange_pause(struct exchange *x)
{
	x->paused = true;
	if (x->link == NULL || x->link->stream == NULL)
		return;
	stream_pause(x->link->stream);
	stream_deadline(x->link->stream, 0);	/* the client is slow: its own deadline counts */
}

void
exchange_resume(struct exchange *x)
{
	x->paused = false;
	if (x->link == NULL || x->link->stream == NULL)
		return;
	stream_resume(x->link->stream);
	stream_deadline(x->link->stream, x->upstream->env.limits->upstream_first_byte);
}

bool
exchange_sent(const struct exchange *x)
{
	return x->started;
}

bool
exchange_repeated(const struct exchange *x)
{
	return x->repeated;
}

void
exchange_cancel(struct exchange *x)
{
	struct link *l;

	if (x == NULL || x->link == NULL)
		return;
	l = x->link;
	x->link = NULL;
	link_put(l, false);
}

void
exchange_link_failed(struct exchange *x, enum refuse why)
{
	bool reused = x->link->reused;

	x->link = NULL;
	/* a kept connection that upstream closed at the same moment: hardly anybody saw the request */
	if (reused && !x->heard && x->rq.repeatable && !x->rq.streams && !x->repeated &&
	    why == REFUSE_UPSTREAM_CLOSED) {
		x->repeated = true;
		if (attach(x, true))
			return;
		why = REFUSE_NO_MEMORY;
	}
	fail(x, why);
}

/* ---- the answer ---- */

/* Returns the bytes taken; *final when a final head was handed up. */
static size_t
read_head(struct exchange *x, struct span in, bool *final)
{
	const struct http_limits *limits = &x->upstream->env.limits->http;
	enum http_read found = http_scan(&x->scan, in.p, in.n, limits);
	struct http_head *h;
	struct span head;
	size_t length = x->scan.length;

	if (found == HTTP_READ_MORE)
		return 0;
	h = arena_zalloc(x->arena, 1, sizeof *h);
	head = found == HTTP_READ_DONE ? arena_dup(x->arena, (struct span){ in.p, length }) : SPAN_NONE;
	if (found == HTTP_READ_BAD || h == NULL || head.p == NULL ||
	    http_response_parse(head, limits, x->arena, x->rq.method, h) != REFUSE_NONE ||
	    h->status == 101 || h->framing == HTTP_FRAMING_UNTIL_CLOSE) {
		/* without framing a cut answer looks like a whole one */
		broken(x, REFUSE_UPSTREAM_BAD);
		return in.n;
	}
	x->scan = (struct http_scan){ .response = true };
	if (h->status < 200)
		return length;
	note(x, true);
	x->in_body = *final = true;
	x->keep = h->keep_alive;
	http_body_init(&x->body, h->framing, h->length);
	x->ops->on_head(x->ctx, h);
	return length;
}

static void
complete(struct exchange *x, bool surplus)
{
	struct link *l = x->link;

	x->link = NULL;
	link_put(l, x->keep && x->finished && !surplus);
	x->ops->on_end(x->ctx);
}

static size_t
read_body(struct exchange *x, struct span in)
{
	size_t taken = 0;

	/* an end that needs no more bytes is told even while paused: nothing would wake us for it */
	while (x->link != NULL && (!x->paused || http_body_done(&x->body))) {
		struct span payload;
		size_t used;
		enum http_body_state state = http_body_read(&x->body, span_skip(in, taken), &used, &payload);

		taken += used;
		if (state == HTTP_BODY_MORE)
			break;
		if (state == HTTP_BODY_DATA) {
			x->ops->on_body(x->ctx, payload);
			continue;
		}
		if (state == HTTP_BODY_END)
			complete(x, taken < in.n);
		else
			broken(x, REFUSE_UPSTREAM_BAD);
		return in.n;
	}
	return x->link == NULL ? in.n : taken;
}

size_t
exchange_link_data(struct exchange *x, struct span in)
{
	size_t taken = 0;

	x->heard = true;
	if (!x->started) {
		broken(x, REFUSE_UPSTREAM_BAD);	/* an answer before the question */
		return in.n;
	}
	stream_deadline(x->link->stream, x->upstream->env.limits->upstream_first_byte);
	while (!x->in_body) {
		bool final = false;
		size_t used = read_head(x, span_skip(in, taken), &final);

		taken += used;
		if (x->link == NULL)
			return in.n;
		if (used == 0)
			return taken;
	}
	return taken + read_body(x, span_skip(in, taken));
}
