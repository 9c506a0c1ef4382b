/*
 * pulse.c - GET /v2/ of each upstream that was not heard of lately.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/pulse.h"

#include <stdlib.h>

#include "gateway/http/write.h"
#include "gateway/upstream/exchange.h"
#include "gateway/worker.h"

#define EVERY_MS	2000	/* a look at what is known */
#define FRESH_MS	8000	/* an outcome younger than that is good enough */
#define SLOW_MS		5000	/* a question so old, and nobody else was answered meanwhile: it is down, whatever comes later */
#define BEAT_MEMORY	131072u
#define HEAD_MAX	4096u

/* One question under way. */
struct beat {
	struct loop_task task;		/* frees it at the end of a turn */
	struct pulse *pulse;
	struct serving *serving;	/* a reference */
	struct arena *arena;
	struct exchange *exchange;
	struct beat *next, **prev;
	size_t upstream;
	int64_t began;			/* monotonic ms */
};

struct pulse {
	struct worker *worker;
	struct event *timer;
	struct beat *beats;
};

static void
beat_free(struct beat *b)
{
	*b->prev = b->next;
	if (b->next != NULL)
		b->next->prev = b->prev;
	serving_unref(b->serving);
	arena_free(b->arena);
	free(b);
}

static void
on_over(struct loop_task *t)
{
	beat_free((struct beat *)(void *)t);
}

static void
over(struct beat *b)
{
	b->exchange = NULL;
	loop_later(b->pulse->worker->loop, &b->task);
}

/* The exchange itself tells the setup what came of it. */
static void
on_head(void *ctx, const struct http_head *h)
{
	(void)ctx;
	(void)h;
}

static void
on_body(void *ctx, struct span payload)
{
	(void)ctx;
	(void)payload;
}

static void
on_end(void *ctx)
{
	over(ctx);
}

static void
on_fail(void *ctx, enum refuse why)
{
	(void)why;
	over(ctx);
}

static const struct exchange_ops ops = { .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail };

static struct span
head_for(struct arena *a, const struct config_upstream *u)
{
	char *buf = arena_alloc(a, HEAD_MAX);
	struct http_writer w;

	if (buf == NULL)
		return SPAN_NONE;
	http_writer_init(&w, buf, HEAD_MAX);
	http_write_request_line(&w, HTTP_GET, arena_printf(a, "%s/v2/", u->path));
	http_write_field_id(&w, HTTP_FIELD_HOST, span_of(u->host_header));
	if (u->credentials == CREDENTIALS_BASIC)
		http_write_field_id(&w, HTTP_FIELD_AUTHORIZATION, span_of(u->authorization));
	http_write_field_id(&w, HTTP_FIELD_USER_AGENT, SPAN("tidewaiter/" TW_VERSION));
	return http_write_end(&w);
}

static void
ask(struct pulse *p, size_t upstream)
{
	struct serving *v = p->worker->serving;
	struct beat *b = calloc(1, sizeof *b);
	struct exchange_request rq = { .method = HTTP_GET, .repeatable = true };

	if (b == NULL)
		return;
	b->task.run = on_over;
	b->pulse = p;
	b->serving = serving_ref(v);
	b->upstream = upstream;
	b->began = loop_monotonic_ms(p->worker->loop);
	b->next = p->beats;
	b->prev = &p->beats;
	if (p->beats != NULL)
		p->beats->prev = &b->next;
	p->beats = b;
	b->arena = arena_new(BEAT_MEMORY);
	rq.head = b->arena == NULL ? SPAN_NONE : head_for(b->arena, &v->config->upstream[upstream]);
	if (rq.head.p != NULL)
		b->exchange = exchange_start(v->upstreams[upstream], &rq, b->arena, &ops, b);
	if (b->exchange == NULL)
		beat_free(b);
}

static bool
is_asked(const struct pulse *p, size_t upstream)
{
	for (const struct beat *b = p->beats; b != NULL; b = b->next)
		if (b->serving == p->worker->serving && b->upstream == upstream)
			return true;
	return false;
}

/* Upstreams that take a question and say nothing would be up until limits.upstream-first-byte is over. */
static void
note_slow(const struct pulse *p, int64_t now)
{
	for (const struct beat *b = p->beats; b != NULL; b = b->next) {
		_Atomic int64_t *outcome = &b->serving->setup->outcomes[b->upstream];

		if (now - b->began > SLOW_MS && llabs(atomic_load_explicit(outcome, memory_order_relaxed)) < b->began)
			atomic_store_explicit(outcome, -now, memory_order_relaxed);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pulse *p = arg;
	struct serving *v = p->worker->serving;
	int64_t now = loop_monotonic_ms(p->worker->loop);
	struct timeval again = { .tv_sec = EVERY_MS / 1000, .tv_usec = EVERY_MS % 1000 * 1000 };

	(void)fd;
	(void)what;
	if (p->worker->draining || v == NULL)
		return;
	note_slow(p, now);
	for (size_t i = 0; i < v->config->n_upstream; i++) {
		int64_t last = atomic_load_explicit(&v->setup->outcomes[i], memory_order_relaxed);

		if ((last == 0 || now - llabs(last) > FRESH_MS) && !is_asked(p, i))
			ask(p, i);
	}
	event_add(p->timer, &again);
}

struct pulse *
pulse_new(struct worker *w)
{
	struct pulse *p = calloc(1, sizeof *p);
	struct timeval now = { 0 };

	if (p == NULL)
		return NULL;
	p->worker = w;
	p->timer = event_new(w->loop->base, -1, 0, on_timer, p);
	if (p->timer != NULL && event_add(p->timer, &now) == 0)
		return p;
	pulse_free(p);
	return NULL;
}

void
pulse_free(struct pulse *p)
{
	if (p == NULL)
		return;
	while (p->beats != NULL) {
		struct beat *b = p->beats;

		exchange_cancel(b->exchange);
		loop_cancel(p->worker->loop, &b->task);
		beat_free(b);
	}
	if (p->timer != NULL)
		event_free(p->timer);
	free(p);
}
