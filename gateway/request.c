/*
 * request.c - the straight line: one request, one walk through one table of steps, one exit.
 *
 * Invariants: `step` changes in enter() only; a request ends in finish() only, which writes the one audit event;
 * its memory goes at the end of that turn, so every caller on the stack may still look at it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/steps/gate.h"
#include "gateway/steps/held.h"
#include "gateway/token/form.h"

#define DISCARD_BYTES	(8u << 20)	/* of a refused body, so that the connection can go on */
#define DISCARD_MS	10000u

/* The life of a request, in order. A step does one thing and says what next. */
static const struct {
	enum next (*run)(struct request *r);
	const char *name;
} steps[] = {
#define X(name) [STEP_##name] = { step_##name, #name },
	REQUEST_STEPS(X)
#undef X
};

static void finish(struct request *r);
static void refuse_now(struct request *r);

static void
enter(struct request *r, enum request_step step)
{
	log_debug("req=%s msg=%s -> %s", r->id, r->step < STEP_done ? steps[r->step].name : "done",
	    step < STEP_done ? steps[step].name : "done");
	r->step = step;
}

static void
run(struct request *r)
{
	r->running = true;
	while (r->step != STEP_done) {
		enum next n = steps[r->step].run(r);

		if (n == WAIT && r->woken != WOKEN_NOT) {
			/* what it waits for happened before it returned */
			bool again = r->woken == WOKEN_AGAIN;

			n = r->woken == WOKEN_CONTINUE ? NEXT : STOP;
			r->woken = WOKEN_NOT;
			if (again) {
				enter(r, STEP_forward);
				continue;
			}
		}
		if (n == WAIT)
			break;
		enter(r, n == NEXT ? r->step + 1 : STEP_done);
	}
	r->running = false;
	if (r->step == STEP_done && r->refused != REFUSE_NONE && r->status == 0)
		refuse_now(r);
}

void
request_continue(struct request *r)
{
	if (r->finished || r->step == STEP_done)
		return;
	if (r->running) {
		r->woken = WOKEN_CONTINUE;
		return;
	}
	enter(r, r->step + 1);
	run(r);
}

void
request_lend(struct request *r)
{
	r->lent = true;
	/* nobody is timed meanwhile: the other thread's time is not the client's */
	conn_want_body(r->conn, false);
}

bool
request_returned(struct request *r)
{
	r->lent = false;
	if (!r->conn->lost)
		return true;
	conn_abort(r->conn);
	return false;
}

void
request_forward_again(struct request *r)
{
	if (r->finished || r->step == STEP_done)
		return;
	r->exchange = NULL;	/* it is complete */
	r->exchange_sent = r->kept_back = false;
	r->answer = (struct answer){ .body = r->answer.body };
	if (r->running) {
		r->woken = WOKEN_AGAIN;
		return;
	}
	enter(r, STEP_forward);
	run(r);
}

enum next
request_refuse(struct request *r, enum refuse why)
{
	if (r->refused == REFUSE_NONE)
		r->refused = why;
	return STOP;
}

void
request_fail(struct request *r, enum refuse why)
{
	if (r->finished || r->step == STEP_done)
		return;
	(void)request_refuse(r, why);
	if (r->running) {
		r->woken = WOKEN_STOP;
		return;
	}
	enter(r, STEP_done);
	if (r->status == 0)
		refuse_now(r);
}

bool
request_is_delete(const struct request *r)
{
	return r->route.op == ROUTE_TAG_DELETE || r->route.op == ROUTE_MANIFEST_DELETE || r->route.op == ROUTE_BLOB_DELETE;
}

bool
request_is_write(const struct request *r)
{
	switch (r->route.op) {
	case ROUTE_MANIFEST_PUT:
	case ROUTE_UPLOAD_FINISH:
	case ROUTE_BLOB_MOUNT:
	case ROUTE_BLOB_DELETE:
	case ROUTE_MANIFEST_DELETE:
	case ROUTE_TAG_DELETE:
		return true;
	case ROUTE_UPLOAD_START:
		return r->route.digest.p != NULL;
	case ROUTE_NONE:
	case ROUTE_PING:
	case ROUTE_BLOB_GET:
	case ROUTE_MANIFEST_GET:
	case ROUTE_TAGS_LIST:
	case ROUTE_UPLOAD_STATUS:
	case ROUTE_UPLOAD_CHUNK:
	case ROUTE_UPLOAD_CANCEL:
	case ROUTE_REFERRERS:
	case ROUTE_CATALOG:
	case ROUTE_TOKEN:
	case ROUTE_JWKS:
	case ROUTE_MAX:
		return false;
	}
	return false;
}

/* ---- the way out ---- */

/* After these the client and we may disagree where the next request begins. */
static bool
must_close(const struct request *r)
{
	if (r->head_refused != REFUSE_NONE || r->body_broken || r->client_gone || r->failed)
		return true;
	switch ((int)r->refused) {
	case REFUSE_BODY_NOT_EXPECTED:
	case REFUSE_LENGTH_REQUIRED:
	case REFUSE_REQUEST_TIMEOUT:
	case REFUSE_MISDIRECTED:
	case REFUSE_MANIFEST_TOO_LARGE:
	case REFUSE_FORM_TOO_LARGE:
	case REFUSE_NO_MEMORY:
		return true;
	default:
		/* it waits for a 100 that never came: will it send the body? nobody knows */
		return r->head.expect_continue && !r->continued && !r->body_done;
	}
}

bool
request_keeps_alive(const struct request *r)
{
	return r->head.keep_alive && !r->until_close && !must_close(r) && conn_may_go_on(r->conn);
}

static void
on_finished(struct loop_task *t)
{
	struct request *r = (struct request *)(void *)((char *)t - offsetof(struct request, task));
	struct conn *c = r->conn;
	struct worker *w = r->worker;
	struct serving *v = r->serving;
	struct arena *a = r->arena;
	bool keep = r->keep_alive && r->body_done && !r->failed && !r->body_broken;

	if (r->route.op == ROUTE_TOKEN && r->bytes != NULL)
		OPENSSL_cleanse(r->bytes, r->size_bytes);
	free(r->bytes);
	held_end(r);
	list_free(r->list);
	policy_unref(r->policy);
	identity_unref(r->authn.who);
	identity_unref(r->authn.token);
	worker_arena_done(w, a);	/* r is gone */
	serving_unref(v);
	conn_request_done(c, keep);
}

static void
finish(struct request *r)
{
	struct metrics *m = &r->worker->metrics;

	if (r->finished)
		return;
	r->finished = true;
	exchange_cancel(r->exchange);
	peek_cancel(r->peek);
	identify_abandon(r);
	claim_abandon(r);
	remove_abandon(r);
	pin_abandon(r);
	gate_abandon(r);
	login_abandon(r);
	park_abandon(r);
	r->ended_ms = loop_monotonic_ms(r->worker->loop);
	if (!r->audited)
		(void)record_request(r, NULL);
	metric_add(m, METRIC_REQUESTS, 1);
	metric_add(m, METRIC_REQUEST_US, (r->ended_ms - r->began_ms) * 1000);
	metric_add(m, METRIC_BYTES_IN, (int64_t)r->bytes_in);
	metric_add(m, METRIC_BYTES_OUT, (int64_t)r->bytes_out);
	if (r->refused == REFUSE_NONE)
		metric_add(m, METRIC_ALLOWED, 1);
	else
		atomic_fetch_add_explicit(&m->refused[r->refused], 1, memory_order_relaxed);
	if (r->refused == REFUSE_TAG_LOCKED || r->refused == REFUSE_TAG_DELETED ||
	    r->refused == REFUSE_TAG_APPEND_ONLY)
		metric_add(m, METRIC_TAGS_REFUSED, 1);
	conn_want_body(r->conn, false);
	loop_later(r->worker->loop, &r->task);
}

/* A manifest that will be refused is read first: containerd waits for ever for an answer that comes early. */
static bool
body_comes_first(const struct request *r)
{
	return r->route.op == ROUTE_MANIFEST_PUT && !r->body_done && !must_close(r) &&
	    !(r->head.framing == HTTP_FRAMING_LENGTH && r->head.length > r->config->limits.manifest);
}

static void
refuse_now(struct request *r)
{
	exchange_cancel(r->exchange);
	if (r->client_gone) {
		finish(r);
		return;
	}
	if (body_comes_first(r)) {
		r->answer_after_body = true;
		request_want_body(r, SINK_DISCARD);
		return;
	}
	r->keep_alive = request_keeps_alive(r);
	answer_refusal(r, r->refused);
	request_replied(r);
}

void
request_replied(struct request *r)
{
	r->reply_ended = true;
	if (r->step != STEP_done && !r->running)
		enter(r, STEP_done);
	if (r->body_done || !r->keep_alive) {
		finish(r);
		return;
	}
	request_want_body(r, SINK_DISCARD);
	stream_deadline(r->conn->stream, DISCARD_MS);
}

void
request_client_gone(struct request *r, enum refuse why)
{
	if (r->finished)
		return;
	r->failed = true;
	if (why != REFUSE_REQUEST_TIMEOUT || r->status != 0)
		r->client_gone = true;
	if (r->status == 0) {
		if (!r->running && r->step != STEP_done)
			enter(r, STEP_done);
		/* an event that is written stands: it was done */
		if (r->refused == REFUSE_NONE && !r->audited)
			r->refused = why;
		r->answer_after_body = false;
		refuse_now(r);
		return;
	}
	finish(r);
}

/* ---- the client's body ---- */

void
request_want_body(struct request *r, enum body_sink sink)
{
	r->sink = sink;
	if (r->head.expect_continue && !r->continued && !r->body_done && sink != SINK_DISCARD) {
		r->continued = true;
		stream_write(r->conn->stream, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
	}
	r->waiting_since = loop_monotonic_ms(r->worker->loop);
	conn_want_body(r->conn, true);
}

/*
 * True when the body comes in slower than limits.body-min-rate, counting only time spent waiting for it. What is held in
 * memory meanwhile is at most 4 MiB, and has no more than limits.body-grace: nobody keeps it there by dribbling.
 */
static bool
too_slow(struct request *r)
{
	const struct config_limits *limits = &r->config->limits;
	int64_t now = loop_monotonic_ms(r->worker->loop);

	r->waited += now - r->waiting_since;
	r->waiting_since = now;
	return r->waited > limits->body_grace && (r->sink == SINK_COLLECT ||
	    r->bytes_in * 1000 / (uint64_t)r->waited < limits->body_min_rate);
}

static enum refuse
collect(struct request *r, struct span payload)
{
	size_t limit = r->route.op == ROUTE_TOKEN ? FORM_MAX : r->config->limits.manifest;

	if (payload.n > limit - r->n_bytes)
		return r->route.op == ROUTE_TOKEN ? REFUSE_FORM_TOO_LARGE : REFUSE_MANIFEST_TOO_LARGE;
	if (r->size_bytes - r->n_bytes < payload.n) {
		size_t want = r->head.framing == HTTP_FRAMING_LENGTH ? (size_t)r->head.length :
		    (r->n_bytes + payload.n) * 2;
		char *more;

		want = want < limit ? want : limit;
		if (!held_take(r, want - r->size_bytes))
			return REFUSE_CROWDED;
		more = realloc(r->bytes, want);
		if (more == NULL)
			return REFUSE_NO_MEMORY;
		r->bytes = more;
		r->size_bytes = want;
	}
	memcpy(r->bytes + r->n_bytes, payload.p, payload.n);
	r->n_bytes += payload.n;
	return REFUSE_NONE;
}

static void
take_payload(struct request *r, struct span payload)
{
	enum refuse why;

	r->bytes_in += payload.n;
	switch (r->sink) {
	case SINK_COLLECT:
		why = collect(r, payload);
		if (why != REFUSE_NONE)
			request_fail(r, why);
		return;
	case SINK_FORWARD:
		exchange_write(r->exchange, payload);
		if (exchange_blocked(r->exchange))
			conn_want_body(r->conn, false);
		return;
	case SINK_DISCARD:
		r->discarded += payload.n;
		if (r->discarded <= DISCARD_BYTES)
			return;
		r->body_broken = true;	/* enough: answered or not, this connection ends */
		if (r->answer_after_body) {
			r->answer_after_body = false;
			refuse_now(r);
		} else if (r->reply_ended) {
			finish(r);
		}
		return;
	case SINK_HELD:
		return;
	}
}

static void
body_ended(struct request *r)
{
	r->body_done = true;
	conn_want_body(r->conn, false);
	switch (r->sink) {
	case SINK_COLLECT:
		request_continue(r);
		return;
	case SINK_FORWARD:
		exchange_finish(r->exchange);
		return;
	case SINK_DISCARD:
		if (r->answer_after_body) {
			r->answer_after_body = false;
			refuse_now(r);
		} else if (r->reply_ended) {
			finish(r);
		}
		return;
	case SINK_HELD:
		return;
	}
}

static void
body_bad(struct request *r)
{
	r->body_broken = true;
	r->answer_after_body = false;
	if (r->status != 0) {
		r->failed = true;
		finish(r);
	} else if (r->step == STEP_done) {
		refuse_now(r);
	} else {
		request_fail(r, REFUSE_BAD_BODY);
	}
}

size_t
request_body(struct request *r, struct span in)
{
	size_t taken = 0;

	if (r->finished || r->body_done || r->sink == SINK_HELD) {
		/* the next request, or not wanted yet: the deadline that runs is the answer's */
		stream_pause(r->conn->stream);
		return 0;
	}
	if (too_slow(r)) {
		request_client_gone(r, REFUSE_REQUEST_TIMEOUT);
		return in.n;
	}
	if (!r->reply_ended)
		stream_deadline(r->conn->stream, r->config->limits.body_idle);
	while (!r->finished && !r->body_done && !r->body_broken && r->sink != SINK_HELD) {
		struct span payload;
		size_t used;
		enum http_body_state state = http_body_read(&r->body, span_skip(in, taken), &used, &payload);

		taken += used;
		if (state == HTTP_BODY_MORE)
			break;
		if (state == HTTP_BODY_DATA)
			take_payload(r, payload);
		else if (state == HTTP_BODY_END)
			body_ended(r);
		else
			body_bad(r);
		if (state == HTTP_BODY_DATA && r->sink == SINK_FORWARD && !r->finished &&
		    exchange_blocked(r->exchange) && taken < in.n)
			break;
	}
	return r->body_broken || (r->finished && !r->body_done) ? in.n : taken;
}

void
request_drained(struct request *r)
{
	if (r->finished)
		return;
	if (r->rest.n > 0) {
		answer_more(r);
		return;
	}
	if (r->exchange != NULL && r->status != 0 && !r->reply_ended) {
		stream_deadline(r->conn->stream, 0);
		exchange_resume(r->exchange);
	}
}

/* ---- the beginning ---- */

void
request_begin(struct conn *c, struct arena *a, const struct http_head *head, enum refuse why)
{
	struct request *r = arena_zalloc(a, 1, sizeof *r);
	unsigned char random[10];

	if (r == NULL) {
		worker_arena_done(c->worker, a);
		conn_abort(c);
		return;
	}
	c->request = r;
	r->conn = c;
	r->worker = c->worker;
	r->serving = serving_ref(c->worker->serving);
	r->config = r->serving->config;
	r->arena = a;
	r->task.run = on_finished;
	r->client = c->client;
	r->head = *head;
	r->head_refused = why;
	r->client_gone = why == REFUSE_CLIENT_GONE;
	r->time_us = loop_wall_us(c->worker->loop);
	r->began_ms = loop_monotonic_ms(c->worker->loop);
	worker_random(c->worker, random, sizeof random);
	event_id(r->time_us / 1000, random, r->id);
	http_body_init(&r->body, why == REFUSE_NONE ? head->framing : HTTP_FRAMING_NONE, head->length);
	r->body_done = http_body_done(&r->body);
	run(r);
}
