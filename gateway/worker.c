/*
 * worker.c - threads that serve: a loop, listeners of their own, an orderly end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/worker.h"

#include <errno.h>
#include <event2/dns.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/conn.h"
#include "gateway/log.h"
#include "gateway/operator/pulse.h"
#include "gateway/steps/granted.h"
#include "gateway/steps/recheck.h"

#define ACCEPT_BATCH	16	/* connections taken a wake-up: the others' requests come in between */
#define BACKLOG		1024
#define NO_ROOM_MS	100	/* not listening when there is no descriptor for who waits */

/* memory that is used again is memory that AddressSanitizer cannot watch */
#if defined(__SANITIZE_ADDRESS__)
#define KEEPS_ARENAS	false
#else
#define KEEPS_ARENAS	true
#endif

struct listener {
	struct worker *worker;
	size_t number;
};

/* ---- listening ---- */

static int
open_socket(const char *address, char *err, size_t err_size)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV }, *res = NULL;
	const char *colon = strrchr(address, ':');
	char host[64];
	size_t n = colon == NULL ? sizeof host : (size_t)(colon - address);
	int fd = -1, one = 1;

	snprintf(err, err_size, "listen address %s: not address:port", address);
	if (n >= sizeof host)
		return -1;
	memcpy(host, address, n);
	host[n] = '\0';
	if (host[0] == '[' && n > 1 && host[n - 1] == ']') {
		host[n - 1] = '\0';
		memmove(host, host + 1, n - 1);
	}
	if (getaddrinfo(host[0] == '\0' ? NULL : host, colon + 1, &hints, &res) != 0)
		return -1;
	fd = socket(res->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
	    bind(fd, res->ai_addr, res->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		snprintf(err, err_size, "cannot listen on %s: %s", address, strerror(errno));
		if (fd != -1)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(res);
	return fd;
}

/* The sockets stay readable: listening on would be running in circles until somebody goes. */
static void
rest(struct worker *w)
{
	struct timeval tv = { .tv_usec = NO_ROOM_MS * 1000 };

	for (size_t i = 0; i < w->n_listen; i++)
		event_del(w->listeners[i]);
	event_add(w->accept_timer, &tv);
}

static void
on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < w->n_listen; i++)
		if (w->listeners[i] != NULL)
			event_add(w->listeners[i], NULL);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct worker *w = l->worker;
	unsigned limit = w->serving->config->limits.connections;

	(void)what;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;
		int c = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (c == -1) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				rest(w);
			return;
		}
		if (atomic_load_explicit(&w->gateway->connections, memory_order_relaxed) >= limit) {
			close(c);
			atomic_fetch_add_explicit(&w->metrics.refused[REFUSE_OVERLOAD], 1,
			    memory_order_relaxed);
			continue;
		}
		conn_accept(w, c, (const struct sockaddr *)&peer, l->number);
	}
}

static bool
listen_all(struct worker *w, char *err, size_t err_size)
{
	const struct config *c = w->serving->config;

	w->n_listen = c->n_listen;
	w->listeners = calloc(c->n_listen, sizeof *w->listeners);
	w->listen_fds = calloc(c->n_listen, sizeof *w->listen_fds);
	if (w->listeners == NULL || w->listen_fds == NULL) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	for (size_t i = 0; i < c->n_listen; i++)
		w->listen_fds[i] = -1;
	for (size_t i = 0; i < c->n_listen; i++) {
		struct listener *l = calloc(1, sizeof *l);

		w->listen_fds[i] = open_socket(c->listen[i].address, err, err_size);
		if (l == NULL || w->listen_fds[i] == -1) {
			free(l);
			return false;
		}
		l->worker = w;
		l->number = i;
		w->listeners[i] = event_new(w->loop->base, w->listen_fds[i], EV_READ | EV_PERSIST, on_accept, l);
		if (w->listeners[i] == NULL || event_add(w->listeners[i], NULL) != 0) {
			snprintf(err, err_size, "out of memory");
			free(l);
			return false;
		}
	}
	return true;
}

static void
stop_listening(struct worker *w)
{
	for (size_t i = 0; w->listeners != NULL && i < w->n_listen; i++) {
		if (w->listeners[i] != NULL) {
			free(event_get_callback_arg(w->listeners[i]));
			event_free(w->listeners[i]);
			w->listeners[i] = NULL;
		}
		if (w->listen_fds[i] != -1)
			close(w->listen_fds[i]);
		w->listen_fds[i] = -1;
	}
}

/* ---- draining ---- */

static void
on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	log_warn("worker=%u connections=%zu msg=drain time is over, closing what is left", w->number, w->n_conns);
	event_base_loopbreak(w->loop->base);
}

static void
drain(struct mail *m)
{
	struct worker *w = (struct worker *)(void *)((char *)m - offsetof(struct worker, drain_mail));
	unsigned ms = w->serving->config->limits.drain;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	w->draining = true;
	stop_listening(w);
	for (struct conn *c = w->conns, *next; c != NULL; c = next) {
		next = c->next;
		conn_drain(c);
	}
	event_add(w->drain_timer, &tv);
	worker_conn_gone(w);
}

static void
on_blocked(struct mail *m)
{
	struct worker *w = (struct worker *)(void *)((char *)m - offsetof(struct worker, blocked_mail));

	atomic_store(&w->blocked, false);
	recheck_quarantined(w);
}

void
worker_blocked(struct worker *w)
{
	if (atomic_exchange(&w->blocked, true))
		return;
	w->blocked_mail.deliver = on_blocked;
	mailbox_post(w->mailbox, &w->blocked_mail);
}

void
worker_drain(struct worker *w)
{
	w->drain_mail.deliver = drain;
	mailbox_post(w->mailbox, &w->drain_mail);
}

void
worker_conn_gone(struct worker *w)
{
	if (w->draining && w->n_conns == 0)
		event_base_loopexit(w->loop->base, NULL);
}

/* ---- reload ---- */

struct serving *
worker_serving(struct worker *w, struct setup *s)
{
	return serving_new(s, w->loop, w->dns, &w->metrics);
}

void
worker_adopt(struct worker *w, struct serving *v)
{
	struct serving *old = w->serving;

	w->serving = v;
	if (old == NULL)
		return;	/* the worker has ended */
	recheck_downloads(w, v);
	serving_retire(old);
	serving_unref(old);
}

/* ---- stocks ---- */

void
worker_random(struct worker *w, unsigned char *out, size_t n)
{
	if (w->random_left < n) {
		/* without randomness there are no nonces: nothing good could follow */
		if (RAND_bytes(w->random, sizeof w->random) != 1)
			log_fatal("no random bytes from OpenSSL");
		w->random_left = sizeof w->random;
	}
	w->random_left -= n;
	memcpy(out, w->random + w->random_left, n);
}

struct arena *
worker_arena(struct worker *w)
{
	if (w->n_arenas > 0)
		return w->arenas[--w->n_arenas];
	return arena_new(REQUEST_MEMORY);
}

void
worker_arena_done(struct worker *w, struct arena *a)
{
	if (!KEEPS_ARENAS || w->n_arenas == WORKER_ARENAS) {
		arena_free(a);
		return;
	}
	arena_reset(a);
	w->arenas[w->n_arenas++] = a;
}

/* ---- life ---- */

struct worker *
worker_new(struct gateway *g, struct setup *s, unsigned number, char *err, size_t err_size)
{
	struct worker *w = calloc(1, sizeof *w);

	snprintf(err, err_size, "out of memory");
	if (w == NULL)
		return NULL;
	w->gateway = g;
	w->number = number;
	w->loop = loop_new();
	if (w->loop == NULL)
		goto fail;
	w->dns = evdns_base_new(w->loop->base, 0);
	w->mailbox = mailbox_new(w->loop->base);
	w->authn = authn_new(&w->metrics);
	w->drift = drift_new();
	w->granted = granted_new();
	w->drain_timer = event_new(w->loop->base, -1, 0, on_drain_over, w);
	w->accept_timer = event_new(w->loop->base, -1, 0, on_rested, w);
	if (w->dns == NULL || w->mailbox == NULL || w->authn == NULL || w->drift == NULL || w->granted == NULL || w->drain_timer == NULL ||
	    w->accept_timer == NULL)
		goto fail;
	/* a host without resolv.conf still reaches upstreams given as addresses */
	evdns_base_resolv_conf_parse(w->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	evdns_base_set_option(w->dns, "timeout", "2");
	evdns_base_set_option(w->dns, "attempts", "2");
	w->pulse = number == 0 ? pulse_new(w) : NULL;
	if (number == 0 && w->pulse == NULL)
		goto fail;
	w->serving = worker_serving(w, s);
	if (w->serving == NULL || !listen_all(w, err, err_size))
		goto fail;
	return w;
fail:
	worker_free(w);
	return NULL;
}

static void *
serve(void *arg)
{
	struct worker *w = arg;

	event_base_dispatch(w->loop->base);
	atomic_fetch_sub_explicit(&w->gateway->running, 1, memory_order_release);
	return NULL;
}

bool
worker_start(struct worker *w)
{
	sigset_t all, old;
	bool ok;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_fetch_add_explicit(&w->gateway->running, 1, memory_order_relaxed);
	ok = pthread_create(&w->thread, NULL, serve, w) == 0;
	if (!ok)
		atomic_fetch_sub_explicit(&w->gateway->running, 1, memory_order_relaxed);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = ok;
	return ok;
}

void
worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = false;
}

void
worker_end(struct worker *w)
{
	stop_listening(w);
	/* what the offload threads did last: its requests are still here */
	mailbox_empty(w->mailbox);
	for (struct conn *c = w->conns, *next; c != NULL; c = next) {
		next = c->next;
		conn_abort(c);
	}
	while (w->loop->tasks != NULL)
		loop_run_tasks(w->loop);
}

void
worker_deliver(struct worker *w)
{
	mailbox_empty(w->mailbox);
	while (w->loop->tasks != NULL)
		loop_run_tasks(w->loop);
}

void
worker_settle(struct worker *w)
{
	worker_deliver(w);
	serving_unref(w->serving);
	w->serving = NULL;
	/* name look-ups that this cancelled say so */
	event_base_loop(w->loop->base, EVLOOP_NONBLOCK);
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	pulse_free(w->pulse);
	serving_unref(w->serving);
	free(w->listeners);
	free(w->listen_fds);
	authn_free(w->authn);
	drift_free(w->drift);
	granted_free(w->granted);
	if (w->drain_timer != NULL)
		event_free(w->drain_timer);
	if (w->accept_timer != NULL)
		event_free(w->accept_timer);
	if (w->mailbox != NULL)
		mailbox_free(w->mailbox);
	if (w->dns != NULL)
		evdns_base_free(w->dns, 0);
	for (size_t i = 0; i < w->n_arenas; i++)
		arena_free(w->arenas[i]);
	loop_free(w->loop);
	free(w);
}
