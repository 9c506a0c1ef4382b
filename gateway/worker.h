/*
 * worker.h - one thread: its event loop, listeners, client connections and upstream pools.
 *
 * Workers share nothing but setups, which are immutable, and what struct gateway holds, which has doors of its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_WORKER_H
#define TW_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/audit/spool.h"
#include "gateway/credentials/logins.h"
#include "gateway/evidence/blocks.h"
#include "gateway/evidence/evidence.h"
#include "gateway/evidence/grants.h"
#include "gateway/steps/drift.h"
#include "gateway/identity/authn.h"
#include "gateway/mailbox.h"
#include "gateway/operator/metrics.h"
#include "gateway/offload.h"
#include "gateway/serving.h"
#include "gateway/stream/stream.h"
#include "gateway/tags/ledger.h"

struct granted;

struct gateway {		/* what all workers see */
	struct courier *courier;
	struct logins *credentials;	/* at registries */
	struct issuers *issuers;
	struct ledger *ledger;
	struct spool *spool;
	struct blocks *blocks;		/* digests that nobody gets */
	struct grants *grants;		/* which manifests list a blob */
	struct evidence *evidence;
	struct offload *offload;
	struct offload *logins;		/* checks passwords of accounts: a thread of its own, or layers would wait for them */
	_Atomic size_t held;		/* bytes of manifests that requests hold: steps/held.h */
	_Atomic unsigned connections;	/* open client connections of all workers */
	_Atomic unsigned running;	/* worker threads */
};

struct conn;

#define WORKER_ARENAS	64u
#define REQUEST_MEMORY	(1u << 20)	/* bound of one request's arena; manifests have their own */

struct worker {
	struct gateway *gateway;
	struct serving *serving;	/* what new requests begin with; a reload replaces it */
	unsigned number;
	pthread_t thread;
	struct loop *loop;
	struct evdns_base *dns;
	struct mailbox *mailbox;
	struct metrics metrics;
	struct authn *authn;
	struct drift *drift;
	struct granted *granted;
	struct pulse *pulse;		/* of worker 0 */
	struct event **listeners;
	int *listen_fds;
	size_t n_listen;
	struct conn *conns;		/* all open client connections */
	size_t n_conns;
	unsigned parked;		/* requests that wait for keys (park.c) */
	bool draining, started;
	int64_t crowded_told;		/* monotonic ms: when an address with too many connections was last named */
	struct event *drain_timer;
	struct event *accept_timer;	/* out of descriptors: listens again */
	struct mail drain_mail, blocked_mail;
	_Atomic bool blocked;		/* blocked_mail is on its way */
	unsigned char random[256];	/* a stock of random bytes */
	size_t random_left;
	struct arena *arenas[WORKER_ARENAS];	/* to be used again */
	size_t n_arenas;
};

/* Sockets are opened here, on the caller's thread, so that an address in use is known at once. NULL with a reason. */
struct worker *worker_new(struct gateway *g, struct setup *s, unsigned number, char *err, size_t err_size)
    NONNULL(1, 2, 4) WUNRES;
bool worker_start(struct worker *w) NONNULL(1) WUNRES;
/* Any thread: stop accepting, end idle connections, let requests finish within limits.drain. */
void worker_drain(struct worker *w) NONNULL(1);
/* Any thread: something was blocked: downloads of what is quarantined are cut. */
void worker_blocked(struct worker *w) NONNULL(1);
/* Main thread: what the worker would serve this setup with. NULL when out of memory. */
struct serving *worker_serving(struct worker *w, struct setup *s) NONNULL(1, 2) WUNRES;
/* The worker's thread: serve with this one from now on; the reference is taken over. */
void worker_adopt(struct worker *w, struct serving *v) NONNULL(1, 2);
/* Wait for the thread to end. */
void worker_join(struct worker *w) NONNULL(1);
/* Then: cut what is left (each cut request writes its event). */
void worker_end(struct worker *w) NONNULL(1);
/* After the ledger was stopped: take what it still had to say, so that abandoned holds end. */
void worker_deliver(struct worker *w) NONNULL(1);
/* After the spool was closed: the same, and nothing is served any more. */
void worker_settle(struct worker *w) NONNULL(1);
void worker_free(struct worker *w);

/* n <= 64 random bytes from the worker's stock. */
void worker_random(struct worker *w, unsigned char *out, size_t n) NONNULL(1, 2);
/* An empty arena for a request, and back. NULL when out of memory. */
struct arena *worker_arena(struct worker *w) NONNULL(1) WUNRES;
void worker_arena_done(struct worker *w, struct arena *a) NONNULL(1, 2);
/* A connection is gone: when draining, the last one ends the loop. */
void worker_conn_gone(struct worker *w) NONNULL(1);

#endif
