/*
 * courier.c - the thread: errands come in, flights go out, answers go back.
 * Invariant: an errand is in the mailbox, in one flight, or on its way back; so it is told once.
 *
 * libcurl must not be called from its own callbacks: those only note sockets and times, and free events where it says so.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/courier/courier.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/courier/transfer.h"

#define FLIGHTS_MAX	1024u	/* those over PARALLEL wait, on their own time */
#define PARALLEL	64L
#define PARALLEL_HOST	8L

struct courier {
	pthread_t thread;
	struct event_base *base;
	struct mailbox *mailbox;
	CURLM *multi;
	struct event *timer;		/* libcurl's */
	struct mail stop_mail, cancel_mail;
	_Atomic bool cancel_posted;	/* cancel_mail is in the mailbox */
	pthread_mutex_t lock;
	bool stopped;			/* under lock: nothing is taken in any more */
	/* the thread's own */
	struct flight *flights;
	unsigned n_flights;
	_Atomic int64_t counts[ERRAND_KIND_MAX][ERRAND_OUTCOME_MAX];
};

/* ---- names ---- */

const char *
errand_outcome_label(enum errand_outcome o)
{
	static const char *const labels[] = {
#define X(name, label) [ERRAND_##name] = label,
		ERRAND_OUTCOMES(X)
#undef X
	};

	return labels[o < ERRAND_OUTCOME_MAX ? o : ERRAND_FAILED];
}

const char *
errand_kind_label(enum errand_kind k)
{
	static const char *const labels[] = {
#define X(name, label) [ERRAND_KIND_##name] = label,
		ERRAND_KINDS(X)
#undef X
	};

	return labels[k < ERRAND_KIND_MAX ? k : 0];
}

/* ---- answers ---- */

void
errand_clear(struct errand *e)
{
	OPENSSL_clear_free(e->answer, e->answer_n);
	OPENSSL_clear_free(e->head, e->head_n);
	e->answer = e->head = NULL;
	e->answer_n = e->head_n = 0;
	e->status = 0;
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

struct span
errand_field(const struct errand *e, struct span name, unsigned n)
{
	struct span rest = { e->head, e->head_n };

	while (rest.n > 0) {
		const char *end = memchr(rest.p, '\n', rest.n);
		struct span line = { rest.p, end == NULL ? rest.n : (size_t)(end - rest.p) };

		if (line.n > name.n && line.p[name.n] == ':' && span_eq_nocase((struct span){ line.p, name.n }, name) && n-- == 0)
			return trimmed(span_skip(line, name.n + 1));
		rest = span_skip(rest, end == NULL ? rest.n : line.n + 1);
	}
	return SPAN_NONE;
}

/* The value of one directive; -1 when it is another one, or no number. */
static int64_t
age_of(struct span directive)
{
	int64_t v = 0;

	if (span_eq_nocase(directive, SPAN("no-store")) || span_eq_nocase(directive, SPAN("no-cache")))
		return 0;
	if (directive.n < 9 || directive.n > 8 + 10 || !span_eq_nocase((struct span){ directive.p, 8 }, SPAN("max-age=")))
		return -1;
	for (size_t i = 8; i < directive.n; i++) {
		if (directive.p[i] < '0' || directive.p[i] > '9')
			return -1;
		v = v * 10 + (directive.p[i] - '0');
	}
	return v;
}

int64_t
errand_max_age(const struct errand *e)
{
	int64_t found = -1;
	struct span s;

	for (unsigned i = 0; (s = errand_field(e, SPAN("cache-control"), i)).p != NULL; i++) {
		while (s.n > 0) {
			const char *comma = memchr(s.p, ',', s.n);
			struct span d = { s.p, comma == NULL ? s.n : (size_t)(comma - s.p) };
			int64_t age = age_of(trimmed(d));

			if (age >= 0 && (found < 0 || age < found))
				found = age;
			s = span_skip(s, comma == NULL ? s.n : d.n + 1);
		}
	}
	return found;
}

/* ---- back to who asked ---- */

static void
on_reply(struct mail *m)
{
	struct errand *e = (struct errand *)(void *)((char *)m - offsetof(struct errand, mail));

	e->done(e);
}

/* The errand is its submitter's again. */
static void
reply(struct courier *c, struct errand *e)
{
	atomic_fetch_add_explicit(&c->counts[e->kind][e->outcome], 1, memory_order_relaxed);
	if (e->reply_to == NULL) {
		e->done(e);
		return;
	}
	e->mail.deliver = on_reply;
	mailbox_post(e->reply_to, &e->mail);
}

/* ---- flights ---- */

static void
forget(struct courier *c, struct flight *f)
{
	*f->at = f->next;
	if (f->next != NULL)
		f->next->at = f->at;
	c->n_flights--;
	curl_multi_remove_handle(c->multi, f->curl);
}

/* Tell all that waited for it. What done() submits or cancels comes in by mailbox: the list of flights stays. */
static void
land(struct courier *c, struct flight *f, CURLcode rc, const char *stopped)
{
	struct errand *e, *next;

	forget(c, f);
	if (stopped == NULL)
		flight_land(f, rc);
	e = f->errands;
	flight_free(f);
	for (; e != NULL; e = next) {
		next = e->next;
		if (stopped != NULL)
			errand_fail(e, ERRAND_STOPPED, stopped);
		reply(c, e);
	}
}

static void
land_all(struct courier *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		CURLcode rc = m->data.result;
		char *f = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
		land(c, (struct flight *)(void *)f, rc, NULL);
	}
}

static struct flight *
flight_for(struct courier *c, const char *key)
{
	for (struct flight *f = c->flights; f != NULL && key != NULL; f = f->next) {
		/* the answer to a cancelled one may be cut short */
		if (f->errands->key != NULL && strcmp(f->errands->key, key) == 0 &&
		    !atomic_load_explicit(&f->errands->cancelled, memory_order_relaxed))
			return f;
	}
	return NULL;
}

static void
take_off(struct courier *c, struct errand *e)
{
	struct flight *f = flight_for(c, e->key);

	if (f != NULL) {
		flight_join(f, e);
		return;
	}
	f = c->n_flights < FLIGHTS_MAX ? flight_new(e) : NULL;
	if (f == NULL) {
		errand_fail(e, ERRAND_NO_MEMORY, c->n_flights < FLIGHTS_MAX ? "out of memory" : "too many calls under way");
		reply(c, e);
		return;
	}
	f->next = c->flights;
	f->at = &c->flights;
	if (f->next != NULL)
		f->next->at = &f->next;
	c->flights = f;
	c->n_flights++;
	if (curl_multi_add_handle(c->multi, f->curl) != CURLM_OK)
		land(c, f, CURLE_OUT_OF_MEMORY, NULL);
}

static void
on_errand(struct mail *m)
{
	struct errand *e = (struct errand *)(void *)((char *)m - offsetof(struct errand, mail));
	struct courier *c = e->courier;

	if (atomic_load_explicit(&e->cancelled, memory_order_relaxed)) {
		errand_fail(e, ERRAND_STOPPED, "cancelled");
		reply(c, e);
		return;
	}
	take_off(c, e);
}

/* Cancelled ones, wherever they are: those still in the mailbox are seen there. */
static void
on_cancel(struct mail *m)
{
	struct courier *c = (struct courier *)(void *)((char *)m - offsetof(struct courier, cancel_mail));

	atomic_store_explicit(&c->cancel_posted, false, memory_order_seq_cst);
	for (struct flight *f = c->flights, *next; f != NULL; f = next) {
		next = f->next;
		for (struct errand *e = f->errands->next, *after; e != NULL; e = after) {
			after = e->next;
			if (!atomic_load_explicit(&e->cancelled, memory_order_seq_cst) || !flight_leave(f, e))
				continue;
			errand_fail(e, ERRAND_STOPPED, "cancelled");
			reply(c, e);
		}
		if (f->errands->next == NULL && atomic_load_explicit(&f->errands->cancelled, memory_order_seq_cst))
			land(c, f, CURLE_OK, "cancelled");
	}
}

/* ---- libcurl and libevent ---- */

static void
on_socket_event(evutil_socket_t fd, short what, void *arg)
{
	struct courier *c = arg;
	int running;

	curl_multi_socket_action(c->multi, fd,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0), &running);
	land_all(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct courier *c = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	land_all(c);
}

/* libcurl wants to know about a socket, or no more: the one place where its event may be freed. */
static int
on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct courier *c = arg;
	struct event *ev = watch;

	(void)easy;
	if (ev != NULL)
		event_free(ev);
	curl_multi_assign(c->multi, fd, NULL);
	if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE)
		return 0;
	ev = event_new(c->base, fd, (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0)), on_socket_event, c);
	if (ev == NULL || event_add(ev, NULL) != 0) {
		if (ev != NULL)
			event_free(ev);
		return -1;
	}
	curl_multi_assign(c->multi, fd, ev);
	return 0;
}

static int
on_timeout_wanted(CURLM *multi, long ms, void *arg)
{
	struct courier *c = arg;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		event_del(c->timer);
	else if (event_add(c->timer, &tv) != 0)
		return -1;
	return 0;
}

/* ---- the door ---- */

bool
courier_post(struct courier *c, struct mail *m)
{
	bool ok;

	pthread_mutex_lock(&c->lock);
	ok = !c->stopped;
	if (ok)
		mailbox_post(c->mailbox, m);
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void
courier_submit(struct courier *c, struct errand *e)
{
	errand_clear(e);
	e->outcome = ERRAND_FAILED;
	e->why[0] = '\0';
	e->next = NULL;
	e->courier = c;
	atomic_store_explicit(&e->cancelled, false, memory_order_relaxed);
	e->mail.deliver = on_errand;
	if (courier_post(c, &e->mail))
		return;
	errand_fail(e, ERRAND_STOPPED, "the gateway stops");
	reply(c, e);
}

void
courier_cancel(struct courier *c, struct errand *e)
{
	atomic_store_explicit(&e->cancelled, true, memory_order_seq_cst);
	if (!atomic_exchange_explicit(&c->cancel_posted, true, memory_order_seq_cst) && !courier_post(c, &c->cancel_mail))
		atomic_store_explicit(&c->cancel_posted, false, memory_order_seq_cst);	/* told by the end of all */
}

struct event_base *
courier_base(const struct courier *c)
{
	return c->base;
}

int64_t
courier_count(const struct courier *c, enum errand_kind k, enum errand_outcome o)
{
	return atomic_load_explicit(&c->counts[k][o], memory_order_relaxed);
}

/* ---- life ---- */

static void *
serve(void *arg)
{
	struct courier *c = arg;

	event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

/* Everything posted before it was delivered, and nothing can be posted behind it. */
static void
on_stop(struct mail *m)
{
	struct courier *c = (struct courier *)(void *)((char *)m - offsetof(struct courier, stop_mail));

	while (c->flights != NULL)
		land(c, c->flights, CURLE_OK, "the gateway stops");
	event_base_loopbreak(c->base);
}

static bool
make(struct courier *c)
{
	c->base = event_base_new();
	if (c->base == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	c->mailbox = mailbox_new(c->base);
	c->multi = curl_multi_init();
	c->timer = event_new(c->base, -1, 0, on_timer, c);
	c->stop_mail.deliver = on_stop;
	c->cancel_mail.deliver = on_cancel;
	return c->mailbox != NULL && c->multi != NULL && c->timer != NULL &&
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_watch) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, PARALLEL) == CURLM_OK &&
	    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, PARALLEL_HOST) == CURLM_OK;
}

struct courier *
courier_start(char *err, size_t err_size)
{
	struct courier *c = calloc(1, sizeof *c);
	sigset_t all, old;
	bool ok;

	snprintf(err, err_size, "out of memory");
	if (c == NULL)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	c->stopped = true;
	if (!make(c)) {
		courier_free(c);
		return NULL;
	}
	c->stopped = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&c->thread, NULL, serve, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ok)
		return c;
	snprintf(err, err_size, "cannot start a thread");
	courier_free(c);
	return NULL;
}

void
courier_stop(struct courier *c)
{
	pthread_mutex_lock(&c->lock);
	c->stopped = true;
	mailbox_post(c->mailbox, &c->stop_mail);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
}

void
courier_free(struct courier *c)
{
	if (c == NULL)
		return;
	curl_multi_cleanup(c->multi);
	if (c->timer != NULL)
		event_free(c->timer);
	mailbox_free(c->mailbox);
	if (c->base != NULL)
		event_base_free(c->base);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
