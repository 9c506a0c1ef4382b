/*
 * blocks.c - a table of blocked digests in memory, and its way to the ledger's database.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/evidence/blocks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/log.h"
#include "policy/hash.h"

#define BUCKETS 4096u /* a power of two */

struct block {
	struct block *next;
	enum block_kind kind;
	unsigned kinds;
	uint64_t generation; /* of the change that put it */
	char digest[LEDGER_DIGEST];
	struct span registry, repository; /* in bytes[] */
	char bytes[];
};

struct blocks {
	struct ledger *ledger;
	pthread_rwlock_t lock;
	struct block *bucket[BUCKETS]; /* under lock, by digest */
	uint64_t generation; /* under lock */
	_Atomic size_t any;
	_Atomic size_t count[BLOCK_QUARANTINED + 1];
	struct {
		void (*blocked)(void *ctx, struct span registry, struct span repository, struct span digest);
		void *ctx;
	} watcher[BLOCKS_WATCHERS]; /* set before threads run */
	unsigned n_watchers;
};

/* X: as block_kind */
static const char *const names[] = { "", "pending", "failed", "quarantined" };

const char *
block_kind_name(enum block_kind kind)
{
	return names[kind];
}

enum block_kind
block_kind_parse(struct span name)
{
	for (unsigned i = BLOCK_PENDING; i <= BLOCK_QUARANTINED; i++)
		if (span_eq(name, span_of(names[i])))
			return (enum block_kind)i;
	return BLOCK_NONE;
}

bool
blocks_any(const struct blocks *b)
{
	return atomic_load_explicit(&b->any, memory_order_acquire) > 0;
}

size_t
blocks_count(const struct blocks *b, enum block_kind kind)
{
	return atomic_load_explicit(&b->count[kind], memory_order_relaxed);
}

/* ---- the table; the lock is held ---- */

static size_t
bucket_of(struct span digest)
{
	return (size_t)hash_span(digest) & (BUCKETS - 1);
}

static struct block **
find(struct blocks *b, struct span registry, struct span repository, struct span digest)
{
	struct block **at = &b->bucket[bucket_of(digest)];

	while (*at != NULL &&
	    !(span_eq(span_of((*at)->digest), digest) && span_eq((*at)->repository, repository) && span_eq((*at)->registry, registry)))
		at = &(*at)->next;
	return at;
}

static void
count(struct blocks *b, enum block_kind kind, bool more)
{
	if (more) {
		atomic_fetch_add(&b->count[kind], 1);
		atomic_fetch_add_explicit(&b->any, 1, memory_order_release);
	} else {
		atomic_fetch_sub(&b->count[kind], 1);
		atomic_fetch_sub(&b->any, 1);
	}
}

static bool
put(struct blocks *b, struct span registry, struct span repository, const char *digest, enum block_kind kind, unsigned kinds)
{
	struct block **at = find(b, registry, repository, span_of(digest)), *new;
	char *bytes;

	if (*at != NULL) {
		count(b, kind, true);
		count(b, (*at)->kind, false);
		(*at)->kind = kind;
		(*at)->kinds = kinds;
		(*at)->generation = ++b->generation;
		return true;
	}
	if (kind != BLOCK_QUARANTINED && blocks_count(b, BLOCK_PENDING) + blocks_count(b, BLOCK_FAILED) >= BLOCKS_MAX)
		return false;
	new = calloc(1, sizeof *new + registry.n + repository.n);
	if (new == NULL)
		return false;
	bytes = new->bytes;
	new->registry = span_keep(&bytes, registry);
	new->repository = span_keep(&bytes, repository);
	memcpy(new->digest, digest, LEDGER_DIGEST);
	new->kind = kind;
	new->kinds = kinds;
	new->generation = ++b->generation;
	*at = new;
	count(b, kind, true);
	return true;
}

static void
drop(struct blocks *b, struct span registry, struct span repository, const char *digest, uint64_t generation)
{
	struct block **at = find(b, registry, repository, span_of(digest)), *gone = *at;

	/* blocked anew since: that stands behind the end in the ledger's queue, too */
	if (gone == NULL || gone->generation > generation)
		return;
	*at = gone->next;
	count(b, gone->kind, false);
	free(gone);
}

/* ---- looking ---- */

enum block_kind
blocks_find(const struct blocks *b, struct span registry, struct span repository, struct span digest)
{
	struct blocks *self = (struct blocks *)(uintptr_t)b;
	enum block_kind worst = BLOCK_NONE;

	if (!blocks_any(b))
		return BLOCK_NONE;
	pthread_rwlock_rdlock(&self->lock);
	for (const struct block *x = b->bucket[bucket_of(digest)]; x != NULL; x = x->next)
		if (x->kind > worst && span_eq(span_of(x->digest), digest) &&
		    (x->kind == BLOCK_QUARANTINED || (span_eq(x->repository, repository) && span_eq(x->registry, registry))))
			worst = x->kind;
	pthread_rwlock_unlock(&self->lock);
	return worst;
}

void
blocks_each_pending(struct blocks *b, void (*each)(void *ctx, struct span registry, struct span repository, const char *digest,
    unsigned kinds), void *ctx)
{
	pthread_rwlock_rdlock(&b->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct block *x = b->bucket[i]; x != NULL; x = x->next)
			if (x->kind == BLOCK_PENDING && x->kinds != 0)
				each(ctx, x->registry, x->repository, x->digest, x->kinds);
	pthread_rwlock_unlock(&b->lock);
}

/* ---- changing ---- */

void
blocks_on_change(struct blocks *b, void (*blocked)(void *ctx, struct span registry, struct span repository, struct span digest),
    void *ctx)
{
	if (b->n_watchers == BLOCKS_WATCHERS)
		return;
	b->watcher[b->n_watchers].blocked = blocked;
	b->watcher[b->n_watchers++].ctx = ctx;
}

static struct span
registry_of(const struct block_change *c)
{
	return c->everywhere ? SPAN_NONE : c->registry;
}

static struct span
repository_of(const struct block_change *c)
{
	return c->everywhere ? SPAN_NONE : c->repository;
}

/* On reply_to's thread. */
static void
on_kept(struct mail *m)
{
	struct block_change *c = (struct block_change *)(void *)((char *)m - offsetof(struct block_change, op.mail));
	struct blocks *b = c->blocks;
	bool kept = c->op.answer == LEDGER_OK || c->op.answer == LEDGER_SAME;

	/* it may have been in memory alone */
	if (c->kind == BLOCK_NONE && kept) {
		pthread_rwlock_wrlock(&b->lock);
		drop(b, registry_of(c), repository_of(c), c->digest, c->generation);
		pthread_rwlock_unlock(&b->lock);
	}
	if (!kept)
		log_error("msg=a block of %s could not be %s on disk: it %s", c->digest, c->kind == BLOCK_NONE ? "ended" : "kept",
		    c->kind == BLOCK_NONE ? "stays" : "lasts until a restart");
	c->ok = c->ok && kept;
	c->done(c);
}

void
blocks_change(struct blocks *b, struct block_change *c)
{
	struct span registry = registry_of(c), repository = repository_of(c);
	struct block **had;

	c->blocks = b;
	c->ok = true;
	pthread_rwlock_wrlock(&b->lock);
	had = find(b, registry, repository, span_of(c->digest));
	c->was = *had != NULL && (c->kind == BLOCK_NONE || (*had)->kind == c->kind);
	if (c->kind != BLOCK_NONE)
		c->ok = put(b, registry, repository, c->digest, c->kind, c->kinds);
	c->generation = b->generation;
	pthread_rwlock_unlock(&b->lock);
	if (c->kind != BLOCK_NONE)
		for (unsigned i = 0; i < b->n_watchers; i++)
			b->watcher[i].blocked(b->watcher[i].ctx, registry, repository, span_of(c->digest));
	memset(&c->row, 0, sizeof c->row);
	c->row.kind = span_of(block_kind_name(c->kind));
	c->row.kinds = c->kinds;
	c->row.reason = c->reason;
	c->op = (struct ledger_op){ .mail.deliver = on_kept, .reply_to = c->reply_to, .verb = LEDGER_BLOCK_PUT, .registry = registry,
		.repository = repository, .who = c->who, .source = c->source, .event_id = c->event_id, .now = c->now,
		.block = &c->row };
	memcpy(c->op.digest, c->digest, LEDGER_DIGEST);
	ledger_submit(b->ledger, &c->op);
}

/* ---- life ---- */

struct reading {
	struct ledger_op op;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
};

static void
on_read(struct mail *m)
{
	struct reading *r = (struct reading *)(void *)((char *)m - offsetof(struct reading, op.mail));

	pthread_mutex_lock(&r->lock);
	r->done = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

static bool
read_all(struct blocks *b, char *err, size_t err_size)
{
	struct reading r = { .op = { .mail.deliver = on_read, .verb = LEDGER_BLOCKS }, .lock = PTHREAD_MUTEX_INITIALIZER,
		.wake = PTHREAD_COND_INITIALIZER };
	bool ok;

	ledger_submit(b->ledger, &r.op);
	pthread_mutex_lock(&r.lock);
	while (!r.done)
		pthread_cond_wait(&r.wake, &r.lock);
	pthread_mutex_unlock(&r.lock);
	ok = r.op.answer == LEDGER_OK;
	for (const struct ledger_block *x = r.op.block; ok && x != NULL; x = x->next) {
		enum block_kind kind = block_kind_parse(x->kind);

		ok = kind != BLOCK_NONE && x->digest[0] != '\0' && put(b, x->registry, x->repository, x->digest, kind, x->kinds);
	}
	if (!ok)
		snprintf(err, err_size, "which digests are quarantined cannot be read from the tag ledger");
	ledger_blocks_free(r.op.block);
	return ok;
}

struct blocks *
blocks_open(struct ledger *l, char *err, size_t err_size)
{
	struct blocks *b = calloc(1, sizeof *b);

	if (b == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	b->ledger = l;
	pthread_rwlock_init(&b->lock, NULL);
	if (read_all(b, err, err_size))
		return b;
	blocks_free(b);
	return NULL;
}

void
blocks_free(struct blocks *b)
{
	struct block *next;

	if (b == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct block *x = b->bucket[i]; x != NULL; x = next) {
			next = x->next;
			free(x);
		}
	}
	pthread_rwlock_destroy(&b->lock);
	free(b);
}
