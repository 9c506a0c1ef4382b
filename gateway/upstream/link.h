/*
 * link.h - a connection to an upstream, between the pool (upstream.c) and the protocol (exchange.c).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LINK_H
#define TW_LINK_H

#include "gateway/upstream/exchange.h"

struct evdns_getaddrinfo_request;

struct link {
	struct upstream *upstream;	/* NULL: freed before the name was found */
	struct stream *stream;		/* NULL while the name is looked up */
	struct exchange *exchange;	/* NULL while idle */
	struct link *next, **prev;	/* in upstream's list of all links */
	struct link *next_idle, **prev_idle;
	struct evdns_getaddrinfo_request *lookup;
	struct loop_task task;		/* a failure to report, or the end of a dead link */
	int64_t born;			/* monotonic ms */
	unsigned uses;			/* exchanges begun on it */
	unsigned address;		/* which of the upstream's addresses */
	bool ready, dead, reused;
	enum refuse failed;
};

struct upstream {
	struct upstream_env env;
	const struct config_upstream *config;
	SSL_CTX *ssl_ctx;		/* borrowed */
	_Atomic int64_t *outcome;	/* NULL: nobody wants to know */
	SSL_SESSION *session;		/* last resumable one */
	struct link *links, *idle;
	unsigned n_idle;
	struct sockaddr_storage address[8];
	socklen_t address_len[8];
	unsigned n_addresses, turn;
	int64_t resolved;		/* monotonic ms; 0: never */
	bool retired;			/* keep no connection */
};

/* A kept connection, or a new one that is being made; NULL when out of memory. */
struct link *link_get(struct upstream *u, bool fresh) NONNULL(1) WUNRES;
/* The exchange is over: keep the connection or close it. */
void link_put(struct link *l, bool keep) NONNULL(1);

/* Called by upstream.c, implemented in exchange.c. */
void exchange_link_ready(struct exchange *x) NONNULL(1);
size_t exchange_link_data(struct exchange *x, struct span in) NONNULL(1);
void exchange_link_drained(struct exchange *x) NONNULL(1);
void exchange_link_failed(struct exchange *x, enum refuse why) NONNULL(1);

#endif
