/*
 * ledger_held.c - the table of ledger_held.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/ledger_held.h"

#include <stdlib.h>

#include "gateway/tags/ledger_store.h"

#define BUCKETS 1024u /* a power of two; as many pushes may be in flight before chains grow */

struct claims {
	uint64_t last_token;
	struct held *bucket[BUCKETS];
};

/* FNV-1a; the keys are names that policy let through, and a long chain costs time only. */
static size_t
bucket_of(struct span registry, struct span repository, struct span tag)
{
	const struct span part[] = { registry, repository, tag };
	uint64_t h = 14695981039346656037u;

	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; i < part[p].n; i++)
			h = (h ^ (unsigned char)part[p].p[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32) & (BUCKETS - 1);
}

static bool
is_of(const struct held *h, const struct ledger_op *op, struct span tag)
{
	return span_eq(h->tag, tag) && span_eq(h->repository, op->repository) &&
	    span_eq(h->registry, op->registry);
}

struct held *
held_find(const struct claims *c, const struct ledger_op *op, struct span tag)
{
	struct held *h = c->bucket[bucket_of(op->registry, op->repository, tag)];

	while (h != NULL && !is_of(h, op, tag))
		h = h->next;
	return h;
}

struct held *
held_mine(const struct claims *c, const struct ledger_op *op, struct span tag)
{
	struct held *h = c->bucket[bucket_of(op->registry, op->repository, tag)];

	while (h != NULL && !(h->token == op->token && is_of(h, op, tag)))
		h = h->next;
	return h;
}

struct held *
held_add(
    struct claims *c, struct ledger_op *op, struct span tag, enum held_kind kind, uint64_t token)
{
	struct held *h = calloc(1, sizeof *h + op->registry.n + op->repository.n + tag.n);
	struct held **bucket = &c->bucket[bucket_of(op->registry, op->repository, tag)];
	char *at;

	if (h == NULL)
		return NULL;
	at = h->bytes;
	h->registry = span_keep(&at, op->registry);
	h->repository = span_keep(&at, op->repository);
	h->tag = span_keep(&at, tag);
	h->kind = kind;
	memcpy(h->digest, op->digest, LEDGER_DIGEST);
	h->in_batch = true;
	if (token == 0)
		token = op->token = ++c->last_token;
	h->token = token;
	h->next = *bucket;
	*bucket = h;
	return h;
}

static void
held_free(struct held *h)
{
	ledger_names_free(h->names);
	free(h);
}

void
held_drop(struct claims *c, struct held *gone)
{
	struct held **at = &c->bucket[bucket_of(gone->registry, gone->repository, gone->tag)];

	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
	held_free(gone);
}

struct claims *
claims_new(void)
{
	return calloc(1, sizeof(struct claims));
}

/* Forget all holdings that are not durable, or simply all. */
static void
forget(struct claims *c, bool all)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct held **at = &c->bucket[i];

		while (*at != NULL) {
			struct held *h = *at;

			if (all || h->in_batch) {
				*at = h->next;
				held_free(h);
			} else {
				at = &h->next;
			}
		}
	}
}

void
claims_free(struct claims *c)
{
	if (c != NULL)
		forget(c, true);
	free(c);
}

void
claims_batch_ended(struct claims *c, bool kept)
{
	if (!kept) {
		forget(c, false);
		return;
	}
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct held *h = c->bucket[i]; h != NULL; h = h->next)
			h->in_batch = false;
}
