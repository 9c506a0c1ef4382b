/*
 * upstream.c - name look-up, dialling and the keep-alive pool of one upstream in one worker.
 * Invariant: a link is idle (in the pool, no exchange), busy (an exchange), or dead (about to be freed).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/upstream/upstream.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/upstream/link.h"

#define IDLE_MAX	64u	/* kept connections of one worker to one upstream */
#define RESOLVE_TTL	30000	/* ms an answer of the resolver is used */

/* ---- the pool ---- */

static void
idle_remove(struct link *l)
{
	if (l->prev_idle == NULL)
		return;
	*l->prev_idle = l->next_idle;
	if (l->next_idle != NULL)
		l->next_idle->prev_idle = l->prev_idle;
	l->prev_idle = NULL;
	l->upstream->n_idle--;
	metric_add(l->upstream->env.metrics, METRIC_UPSTREAM_IDLE, -1);
}

static void
idle_insert(struct link *l)
{
	struct upstream *u = l->upstream;

	l->next_idle = u->idle;
	l->prev_idle = &u->idle;
	if (u->idle != NULL)
		u->idle->prev_idle = &l->next_idle;
	u->idle = l;
	u->n_idle++;
	metric_add(u->env.metrics, METRIC_UPSTREAM_IDLE, 1);
}

static void
link_close(struct link *l)
{
	if (l->dead)
		return;
	l->dead = true;
	idle_remove(l);
	if (l->lookup != NULL)
		evdns_getaddrinfo_cancel(l->lookup);
	stream_close(l->stream);
	l->stream = NULL;
	loop_later(l->upstream->env.loop, &l->task);
}

static void
link_free(struct link *l)
{
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	loop_cancel(l->upstream->env.loop, &l->task);
	free(l);
}

static void
link_fail(struct link *l, enum refuse why)
{
	struct exchange *x = l->exchange;

	l->exchange = NULL;
	link_close(l);
	if (x != NULL)
		exchange_link_failed(x, why);
}

static void
on_task(struct loop_task *t)
{
	struct link *l = (struct link *)(void *)((char *)t - offsetof(struct link, task));

	if (!l->dead && l->failed != REFUSE_NONE)
		link_fail(l, l->failed);
	else if (!l->dead && l->ready && l->exchange != NULL)
		exchange_link_ready(l->exchange);
	if (l->dead && l->lookup == NULL)
		link_free(l);
}

/* ---- stream callbacks ---- */

static void
on_ready(void *ctx)
{
	struct link *l = ctx;

	l->ready = true;
	stream_deadline(l->stream, 0);
	if (l->exchange != NULL)
		exchange_link_ready(l->exchange);
}

static size_t
on_data(void *ctx, struct span in)
{
	struct link *l = ctx;

	if (l->exchange == NULL) {
		/* nobody asked: whatever this is, it must not become an answer */
		log_warn("upstream=%s msg=unexpected bytes on an idle connection, closed",
		    l->upstream->config->alias);
		link_close(l);
		return in.n;
	}
	return exchange_link_data(l->exchange, in);
}

static void
on_drain(void *ctx)
{
	struct link *l = ctx;

	if (l->exchange != NULL)
		exchange_link_drained(l->exchange);
}

static void
on_eof(void *ctx)
{
	link_fail(ctx, REFUSE_UPSTREAM_CLOSED);
}

static void
on_fail(void *ctx, enum stream_fail why, const char *text)
{
	struct link *l = ctx;
	enum refuse r = REFUSE_UPSTREAM_CLOSED;

	if (why == STREAM_FAIL_TIMEOUT)
		r = REFUSE_UPSTREAM_TIMEOUT;
	else if (why == STREAM_FAIL_TLS)
		r = REFUSE_UPSTREAM_TLS;
	else if (!l->ready)
		r = REFUSE_UPSTREAM_CONNECT;
	if (l->exchange != NULL)
		log_warn("upstream=%s msg=%s: %s", l->upstream->config->alias, refusal_of(r)->text, text);
	if (!l->ready)
		l->upstream->resolved = 0;	/* look again: the address may have moved */
	link_fail(l, r);
}

static const struct stream_ops link_ops = { on_ready, on_data, on_drain, on_eof, on_fail, NULL };

/* ---- dialling ---- */

static void
fail_later(struct link *l, enum refuse why)
{
	l->failed = why;
	loop_later(l->upstream->env.loop, &l->task);
}

static void
dial(struct link *l)
{
	struct upstream *u = l->upstream;
	unsigned i = u->turn++ % u->n_addresses;

	l->stream = stream_connect(u->env.loop, (const struct sockaddr *)&u->address[i], u->address_len[i],
	    u->ssl_ctx, u->config->host, u->session, &link_ops, l);
	if (l->stream == NULL) {
		fail_later(l, REFUSE_UPSTREAM_CONNECT);
		return;
	}
	metric_add(u->env.metrics, METRIC_UPSTREAM_DIALED, 1);
	stream_deadline(l->stream, u->env.limits->upstream_connect);
}

static void
add_address(struct upstream *u, const struct sockaddr *sa, socklen_t len)
{
	if (u->n_addresses == sizeof u->address / sizeof u->address[0] || len > sizeof u->address[0])
		return;
	memcpy(&u->address[u->n_addresses], sa, len);
	u->address_len[u->n_addresses++] = len;
}

static bool
add_literal(struct upstream *u, const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)u->config->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)u->config->port) };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		add_address(u, (const struct sockaddr *)&v4, sizeof v4);
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		add_address(u, (const struct sockaddr *)&v6, sizeof v6);
	else
		return false;
	return true;
}

static void
on_resolved(int result, struct evutil_addrinfo *res, void *arg)
{
	struct link *l = arg;
	struct upstream *u = l->upstream;

	l->lookup = NULL;
	if (l->dead) {
		/* cancelled; the link waited for this call only */
		if (res != NULL)
			evutil_freeaddrinfo(res);
		if (u == NULL)
			free(l);
		else
			loop_later(u->env.loop, &l->task);
		return;
	}
	if (result == 0 && res != NULL) {
		u->n_addresses = 0;
		for (const struct evutil_addrinfo *a = res; a != NULL; a = a->ai_next)
			add_address(u, a->ai_addr, (socklen_t)a->ai_addrlen);
		u->resolved = loop_monotonic_ms(u->env.loop);
	}
	if (res != NULL)
		evutil_freeaddrinfo(res);
	if (u->n_addresses == 0) {
		log_warn("upstream=%s msg=cannot resolve %s: %s", u->config->alias, u->config->host,
		    evutil_gai_strerror(result));
		fail_later(l, REFUSE_UPSTREAM_CONNECT);
		return;
	}
	dial(l);
}

static void
resolve(struct link *l)
{
	struct upstream *u = l->upstream;
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
	    .ai_protocol = IPPROTO_TCP };
	char port[16];
	struct evdns_getaddrinfo_request *lookup;

	snprintf(port, sizeof port, "%u", u->config->port);
	lookup = evdns_getaddrinfo(u->env.dns, u->config->host, port, &hints, on_resolved, l);
	/* NULL: on_resolved() was called already */
	if (lookup != NULL)
		l->lookup = lookup;
}

static struct link *
link_new(struct upstream *u)
{
	struct link *l = calloc(1, sizeof *l);
	int64_t now = loop_monotonic_ms(u->env.loop);

	if (l == NULL)
		return NULL;
	l->upstream = u;
	l->task.run = on_task;
	l->born = now;
	l->next = u->links;
	l->prev = &u->links;
	if (u->links != NULL)
		u->links->prev = &l->next;
	u->links = l;
	if (u->resolved != 0 && now - u->resolved < RESOLVE_TTL)
		dial(l);
	else
		resolve(l);
	return l;
}

struct link *
link_get(struct upstream *u, bool fresh)
{
	int64_t now = loop_monotonic_ms(u->env.loop);

	while (!fresh && u->idle != NULL) {
		struct link *l = u->idle;

		idle_remove(l);
		if (now - l->born >= u->env.limits->upstream_age) {
			link_close(l);
			continue;
		}
		stream_deadline(l->stream, 0);
		l->reused = true;
		metric_add(u->env.metrics, METRIC_UPSTREAM_REUSED, 1);
		loop_later(u->env.loop, &l->task);	/* tells the exchange it is ready */
		return l;
	}
	return link_new(u);
}

void
link_put(struct link *l, bool keep)
{
	struct upstream *u = l->upstream;
	SSL_SESSION *session;

	l->exchange = NULL;
	if (l->dead)
		return;
	if (l->uses == 1 && (session = stream_take_session(l->stream)) != NULL) {
		SSL_SESSION_free(u->session);
		u->session = session;
	}
	if (!keep || u->retired || u->n_idle >= IDLE_MAX) {
		link_close(l);
		return;
	}
	stream_resume(l->stream);	/* it must hear when upstream closes */
	stream_deadline(l->stream, u->env.limits->upstream_idle);
	idle_insert(l);
}

/* ---- life ---- */

struct upstream *
upstream_new(const struct upstream_env *env, const struct config_upstream *config, SSL_CTX *ssl_ctx)
{
	struct upstream *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->env = *env;
	u->config = config;
	u->ssl_ctx = ssl_ctx;
	if (add_literal(u, config->host))
		u->resolved = INT64_MAX / 2;	/* never asked */
	if (strcmp(config->host, "localhost") == 0 && add_literal(u, "127.0.0.1"))
		u->resolved = INT64_MAX / 2;
	return u;
}

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	for (struct link *l = u->links, *next; l != NULL; l = next) {
		next = l->next;
		l->exchange = NULL;
		link_close(l);
		if (l->lookup == NULL) {
			link_free(l);
		} else {
			loop_cancel(u->env.loop, &l->task);
			l->upstream = NULL;	/* on_resolved() frees it */
		}
	}
	SSL_SESSION_free(u->session);
	free(u);
}

void
upstream_report(struct upstream *u, _Atomic int64_t *outcome)
{
	u->outcome = outcome;
}

void
upstream_retire(struct upstream *u)
{
	u->retired = true;
	while (u->idle != NULL)
		link_close(u->idle);	/* takes itself off the list */
}

const struct config_upstream *
upstream_config(const struct upstream *u)
{
	return u->config;
}
