/*
 * state.c - a call, a pause, a login, a document: what a job does, one at a time.
 * Invariant: at most one of flying, timer, login and reading is under way; when it comes back, a job that is over ends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/state.h"

#include <event2/event.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "gateway/log.h"
#include "policy/json.h"

#define READ_HERE_MAX ((size_t)256 << 10)	/* longer ones are read on a thread of their own */

int64_t
state_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Something came back: go on, or end. */
static void
go_on(struct scan_state *st)
{
	if (st->over)
		state_fail(st, REPORT_FAILED, "cancelled, or the gateway stops");
	else
		st->then(st);
}

/* ---- the end ---- */

void
state_fail(struct scan_state *st, enum report_status status, const char *fmt, ...)
{
	struct report *r = &st->job->report;
	char why[sizeof r->why];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	for (char *c = why; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	*r = (struct report){ 0 };
	r->status = status;
	memcpy(r->why, why, sizeof why);
	state_end(st);
}

/* A message in whatever shape errors have; empty: none. */
static struct span
message_of(const json_t *o)
{
	const json_t *error = json_object_get(o, "error"), *first = json_array_get(json_object_get(o, "errors"), 0);
	struct span s = json_span(error, "message");

	s = s.n > 0 ? s : json_span(first, "message");
	return s.n > 0 ? s : json_span(o, "message");
}

void
state_fail_answer(struct scan_state *st, enum report_status status, const char *whose)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o = st->errand.answer_n > 0 && st->errand.answer_n <= 65536 ? json_strict(state_answer(st), 16, err, sizeof err, NULL) : NULL;
	struct span s = json_is_object(o) ? message_of(o) : SPAN("");

	if (st->errand.outcome != ERRAND_STATUS && st->errand.outcome != ERRAND_OK)
		state_fail(st, status, "%s: %s", whose, st->errand.why);
	else
		state_fail(st, status, "%s answered %u%s%.*s", whose, st->errand.status, s.n > 0 ? ": " : "", (int)(s.n > 100 ? 100 : s.n),
		    s.n > 0 ? s.p : "");
	json_decref(o);
}

bool
state_is_ours(struct scan_state *st)
{
	struct report *r = &st->job->report;

	if (r->status == REPORT_HERE && r->digest[0] != '\0' && strcmp(r->digest, st->job->digest) != 0) {
		state_fail(st, REPORT_FAILED, "the report is about %.71s, which is another image", r->digest);
		return false;
	}
	memcpy(r->digest, st->job->digest, sizeof r->digest);
	return true;
}

/* ---- a call ---- */

void
state_field(struct scan_state *st, const char *name, struct span value)
{
	if (st->n_fields < STATE_FIELDS)
		st->fields[st->n_fields++] = arena_printf(st->scratch, "%s: %.*s", name, SPAN_FMT(value)).p;
}

struct span
state_answer(const struct scan_state *st)
{
	return (struct span){ st->errand.answer, st->errand.answer_n };
}

static void
on_answer(struct errand *e)
{
	struct scan_state *st = (struct scan_state *)(void *)((char *)e - offsetof(struct scan_state, errand));

	st->flying = false;
	go_on(st);
}

void
state_call(struct scan_state *st, const char *method, struct span url, struct span body, bool whole, void (*then)(struct scan_state *st))
{
	const struct config_scanner *s = st->job->scanner;
	int64_t left = st->deadline - state_now_ms();
	bool complete = url.p != NULL && !arena_failed(st->scratch);

	for (unsigned i = 0; i < st->n_fields; i++)
		complete &= st->fields[i] != NULL;
	st->fields[st->n_fields] = NULL;
	st->n_fields = 0;
	if (!complete) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	if (left <= 0) {
		state_fail(st, REPORT_FAILED, "no report within %u ms", s->timeout);
		return;
	}
	errand_clear(&st->errand);
	st->errand = (struct errand){
		.kind = ERRAND_KIND_SCANNER,
		.method = method,
		.url = url.p,
		.fields = st->fields,
		.body = body,
		.ca_file = s->ca_file != NULL || s->url != NULL ? s->ca_file : s->type == SCANNER_HARBOR ? st->job->upstream->ca_file : NULL,
		.max = whole ? REPORT_TEXT_MAX : STATE_PAGE_MAX,
		.timeout_ms = (unsigned)(!whole && left > STATE_CALL_MS ? STATE_CALL_MS : left),
		/* the configuration has seen to it that http is on this machine, or allowed (or the upstream itself, or an endpoint, is so) */
		.allow_http = span_starts(url, SPAN("http:")),
		.allow_private = s->allow_private || s->url == NULL,
		.done = on_answer,
	};
	st->then = then;
	st->flying = true;
	courier_submit(state_courier(st), &st->errand);
}

/* ---- a pause ---- */

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct scan_state *st = arg;

	(void)fd;
	(void)what;
	event_free(st->timer);
	st->timer = NULL;
	go_on(st);
}

void
state_pause(struct scan_state *st, int64_t ms, void (*then)(struct scan_state *st))
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (state_now_ms() + ms >= st->deadline) {
		state_fail(st, REPORT_FAILED, "no report within %u ms", st->job->scanner->timeout);
		return;
	}
	st->then = then;
	st->timer = event_new(courier_base(state_courier(st)), -1, 0, on_time, st);
	if (st->timer != NULL && event_add(st->timer, &tv) == 0)
		return;
	if (st->timer != NULL)
		event_free(st->timer);
	st->timer = NULL;
	state_fail(st, REPORT_FAILED, "out of memory");
}

static int64_t
backoff(unsigned n)
{
	uint32_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof random);
	return backoff_ms(n, STATE_POLL_MS, STATE_POLL_MAX_MS, random);
}

void
state_poll(struct scan_state *st, void (*then)(struct scan_state *st))
{
	state_pause(st, backoff(st->polls++ / 2), then);
}

/* Seconds that a server asks for by that field; -1: it does not. */
static int64_t
asked_pause(const struct scan_state *st, struct span name)
{
	struct span s = errand_field(&st->errand, name, 0);
	int64_t v = 0;

	if (s.n == 0 || s.n > 5)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		v = v * 10 + (s.p[i] - '0');
	}
	return v;
}

bool
state_retry(struct scan_state *st, const char *whose, void (*again)(struct scan_state *st))
{
	const struct errand *e = &st->errand;
	bool busy = e->outcome == ERRAND_STATUS && (e->status == 429 || e->status == 502 || e->status == 503 || e->status == 504);
	int64_t wanted = busy ? asked_pause(st, SPAN("Retry-After")) : -1, ms;

	if (!busy && e->outcome != ERRAND_FAILED && e->outcome != ERRAND_TIMEOUT) {
		if (e->outcome == ERRAND_OK || e->outcome == ERRAND_STATUS) {
			st->failures = 0;
			return false;
		}
		state_fail_answer(st, REPORT_FAILED, whose);	/* TLS, an address, too large: it will not change */
		return true;
	}
	if (++st->failures >= STATE_TRIES) {
		state_fail_answer(st, REPORT_FAILED, whose);
		return true;
	}
	ms = backoff(st->failures - 1);
	if (wanted >= 0 && wanted * 1000 > ms)
		ms = wanted * 1000 < STATE_POLL_MAX_MS * 2 ? wanted * 1000 : STATE_POLL_MAX_MS * 2;
	state_pause(st, ms, again);
	return true;
}

/* ---- a document ---- */

static void
on_read(struct mail *m)
{
	struct scan_state *st = (struct scan_state *)(void *)((char *)m - offsetof(struct scan_state, read_mail));

	pthread_join(st->reader, NULL);
	st->reading = false;
	errand_clear(&st->errand);
	go_on(st);
}

static void *
read_long(void *arg)
{
	struct scan_state *st = arg;

	st->read_ok = st->read(st);
	/* once the courier has stopped, scanners_free() waits for this thread */
	if (!courier_post(state_courier(st), &st->read_mail))
		return NULL;
	return NULL;
}

static bool
start_reader(struct scan_state *st)
{
	sigset_t all, old;
	bool ok;

	st->read_mail.deliver = on_read;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&st->reader, NULL, read_long, st) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

void
state_read(struct scan_state *st, bool (*read)(struct scan_state *st), void (*then)(struct scan_state *st))
{
	st->read = read;
	st->then = then;
	if (st->errand.answer_n > READ_HERE_MAX) {
		st->reading = true;
		if (start_reader(st))
			return;
		st->reading = false;
	}
	st->read_ok = st->read(st);
	errand_clear(&st->errand);
	go_on(st);
}
