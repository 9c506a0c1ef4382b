/*
 * grants.c - blobs and the manifests that list them: a bounded table, the least recently used goes.
 *
 * What the table has forgotten the database may still know; a blob is `known` from the moment at which an answer of the database
 * was put into the table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/evidence/grants.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/tags/ledger_evidence.h"
#include "policy/hash.h"

#define BUCKETS	   16384u	/* a power of two */
#define BLOBS_MAX  100000u	/* in memory, about 100 MiB at the worst: most blobs have one manifest */
#define AGAIN	   3600		/* seconds: a manifest that was written down so lately is not written down again */
#define NOTES_MAX  1024u	/* on their way to the database at a time; more are left to the next pull */

struct listed {
	struct grant grant;
	int64_t kept;	/* seconds since the epoch: given to the database; 0: by what it told */
};

struct blob {
	struct blob *next;		/* of the bucket */
	struct blob *newer, *older;	/* by use */
	char digest[LEDGER_DIGEST];
	struct span registry, repository;	/* in bytes[] */
	bool known;
	unsigned n, room;
	struct listed *listed;		/* the latest first */
	char bytes[];
};

struct grants {
	struct ledger *ledger;
	pthread_mutex_t lock;
	/* under lock */
	struct blob *bucket[BUCKETS];
	struct blob *newest, *oldest;
	unsigned n, notes;
};

/* ---- the table; the lock is held ---- */

static size_t
bucket_of(struct span digest)
{
	return (size_t)hash_span(digest) & (BUCKETS - 1);
}

static void
unlink_use(struct grants *g, struct blob *b)
{
	*(b->newer == NULL ? &g->newest : &b->newer->older) = b->older;
	*(b->older == NULL ? &g->oldest : &b->older->newer) = b->newer;
}

static void
link_use(struct grants *g, struct blob *b)
{
	b->newer = NULL;
	b->older = g->newest;
	*(g->newest == NULL ? &g->oldest : &g->newest->newer) = b;
	g->newest = b;
}

static struct blob **
find(struct grants *g, struct span registry, struct span repository, struct span digest)
{
	struct blob **at = &g->bucket[bucket_of(digest)];

	while (*at != NULL &&
	    !(span_eq(span_of((*at)->digest), digest) && span_eq((*at)->repository, repository) && span_eq((*at)->registry, registry)))
		at = &(*at)->next;
	return at;
}

static void
blob_free(struct blob *b)
{
	free(b->listed);
	free(b);
}

static void
forget_oldest(struct grants *g)
{
	struct blob *b = g->oldest;

	*find(g, b->registry, b->repository, span_of(b->digest)) = b->next;
	unlink_use(g, b);
	g->n--;
	blob_free(b);
}

/* NULL: no memory. */
static struct blob *
find_or_make(struct grants *g, struct span registry, struct span repository, struct span digest)
{
	struct blob **at = find(g, registry, repository, digest), *b = *at;
	char *bytes;

	if (b != NULL) {
		unlink_use(g, b);
		link_use(g, b);
		return b;
	}
	if (digest.n != LEDGER_DIGEST - 1)
		return NULL;
	b = calloc(1, sizeof *b + registry.n + repository.n);
	if (b == NULL)
		return NULL;
	bytes = b->bytes;
	b->registry = span_keep(&bytes, registry);
	b->repository = span_keep(&bytes, repository);
	memcpy(b->digest, digest.p, digest.n);
	*at = b;
	link_use(g, b);
	if (++g->n > BLOBS_MAX)
		forget_oldest(g);
	return b;
}

static bool
make_room(struct blob *b)
{
	unsigned room = b->room == 0 ? 1 : b->room * 2 > GRANTS_MAX ? GRANTS_MAX : b->room * 2;
	struct listed *more;

	if (b->n < b->room)
		return true;
	if (b->room == GRANTS_MAX) {
		b->n--; /* the one that went through here longest ago */
		return true;
	}
	more = realloc(b->listed, room * sizeof *more);
	if (more == NULL)
		return false;
	b->listed = more;
	b->room = room;
	return true;
}

/* To the front. True: the database should hear of it. */
static bool
note(struct blob *b, const char *manifest, struct span tag, int64_t now)
{
	struct listed new = { .kept = now };
	unsigned i = 0;
	bool tell;

	memcpy(new.grant.digest, manifest, LEDGER_DIGEST);
	if (tag.n > 0 && tag.n < sizeof new.grant.tag)
		memcpy(new.grant.tag, tag.p, tag.n);
	while (i < b->n && !ledger_digest_same(b->listed[i].grant.digest, new.grant.digest))
		i++;
	if (i < b->n) {
		const struct listed *old = &b->listed[i];

		/* by digest now, by tag before: the tag is worth keeping */
		if (tag.n == 0)
			memcpy(new.grant.tag, old->grant.tag, sizeof new.grant.tag);
		tell = old->kept + AGAIN <= now || strcmp(old->grant.tag, new.grant.tag) != 0;
		if (!tell)
			new.kept = old->kept;
	} else {
		if (!make_room(b))
			return false;
		i = b->n++;
		tell = true;
	}
	memmove(b->listed + 1, b->listed, i * sizeof *b->listed);
	b->listed[0] = new;
	return tell;
}

/* ---- noting ---- */

struct note {
	struct ledger_op op;
	struct ledger_grants row;
	struct grants *grants;
	char tag[GRANT_TAG];
	char (*blobs)[LEDGER_DIGEST]; /* allocated with it */
};

/* On the ledger's thread. */
static void
on_noted(struct mail *m)
{
	struct note *n = (struct note *)(void *)((char *)m - offsetof(struct note, op.mail));

	pthread_mutex_lock(&n->grants->lock);
	n->grants->notes--;
	pthread_mutex_unlock(&n->grants->lock);
	free(n);
}

static struct note *
note_new(struct grants *g, struct span registry, struct span repository, struct span tag, const struct manifest *m, size_t blobs)
{
	struct note *n = calloc(1, sizeof *n + blobs * sizeof *n->blobs + registry.n + repository.n);
	char *at;

	if (n == NULL)
		return NULL;
	n->grants = g;
	n->blobs = (char (*)[LEDGER_DIGEST])(void *)(n + 1);
	at = (char *)(n->blobs + blobs);
	n->op = (struct ledger_op){ .mail.deliver = on_noted, .verb = LEDGER_GRANT_PUT, .registry = span_keep(&at, registry),
		.repository = span_keep(&at, repository), .now = time(NULL), .grants = &n->row };
	if (tag.n > 0 && tag.n < sizeof n->tag)
		memcpy(n->tag, tag.p, tag.n);
	n->op.tag = span_of(n->tag);
	memcpy(n->op.digest, m->digest, LEDGER_DIGEST);
	n->row.blobs = (const char (*)[LEDGER_DIGEST])n->blobs;
	return n;
}

static const struct descriptor *
listed_by(const struct manifest *m, size_t i)
{
	if (m->kind == MANIFEST_INDEX)
		return i < m->n_children ? &m->children[i] : NULL;
	return i == 0 ? &m->config : i <= m->n_layers ? &m->layers[i - 1] : NULL;
}

void
grants_note(struct grants *g, struct span registry, struct span repository, struct span tag, const struct manifest *m)
{
	size_t blobs = m->kind == MANIFEST_INDEX ? m->n_children : m->n_layers + 1;
	struct note *n;
	bool keep;

	if (blobs == 0 || blobs > GRANT_BATCH)
		return;
	n = note_new(g, registry, repository, tag, m, blobs);
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < blobs; i++) {
		const struct descriptor *d = listed_by(m, i);
		struct blob *b = d == NULL ? NULL : find_or_make(g, registry, repository, d->digest);

		if (b != NULL && note(b, m->digest, tag, n == NULL ? 0 : n->op.now) && n != NULL)
			memcpy(n->blobs[n->row.n_blobs++], b->digest, LEDGER_DIGEST);
	}
	keep = n != NULL && n->row.n_blobs > 0 && g->notes < NOTES_MAX;
	if (keep)
		g->notes++;
	pthread_mutex_unlock(&g->lock);
	if (keep)
		ledger_submit(g->ledger, &n->op);
	else
		free(n);
}

/* ---- asking ---- */

/* The lock is held. */
static size_t
tell(const struct blob *b, struct grant out[static GRANTS_MAX])
{
	for (unsigned i = 0; i < b->n; i++)
		out[i] = b->listed[i].grant;
	return b->n;
}

size_t
grants_find(struct grants *g, struct span registry, struct span repository, struct span blob, struct grant out[static GRANTS_MAX],
    bool *known)
{
	struct blob *b;
	size_t n = 0;

	pthread_mutex_lock(&g->lock);
	b = *find(g, registry, repository, blob);
	*known = b != NULL && b->known;
	if (b != NULL) {
		unlink_use(g, b);
		link_use(g, b);
		n = tell(b, out);
	}
	pthread_mutex_unlock(&g->lock);
	return n;
}

struct lookup {
	struct ledger_op op;
	struct ledger_grants row;
	struct grants_ask *ask;
};

/* On reply_to's thread: what the database has goes behind what memory has. */
static void
on_told(struct mail *m)
{
	struct lookup *l = (struct lookup *)(void *)((char *)m - offsetof(struct lookup, op.mail));
	struct grants_ask *a = l->ask;
	struct grants *g = a->grants;
	struct blob *b;

	a->n = 0;
	pthread_mutex_lock(&g->lock);
	b = find_or_make(g, a->registry, a->repository, a->blob);
	for (size_t i = 0; b != NULL && i < l->row.n; i++) {
		struct listed *x;
		unsigned k = 0;

		while (k < b->n && !ledger_digest_same(b->listed[k].grant.digest, l->row.found[i].digest))
			k++;
		if (k < b->n || b->n == GRANTS_MAX || !make_room(b))
			continue;
		x = &b->listed[b->n++];
		memset(x, 0, sizeof *x);
		memcpy(x->grant.digest, l->row.found[i].digest, LEDGER_DIGEST);
		memcpy(x->grant.tag, l->row.found[i].tag, sizeof x->grant.tag);
	}
	if (b != NULL) {
		b->known = l->op.answer == LEDGER_OK;
		a->n = tell(b, a->found);
	}
	pthread_mutex_unlock(&g->lock);
	free(l);
	a->done(a);
}

static void
on_no_memory(struct mail *m)
{
	struct grants_ask *a = (struct grants_ask *)(void *)((char *)m - offsetof(struct grants_ask, op.mail));
	bool known;

	a->n = grants_find(a->grants, a->registry, a->repository, a->blob, a->found, &known);
	a->done(a);
}

void
grants_ask(struct grants *g, struct grants_ask *a)
{
	struct lookup *l = a->blob.n == LEDGER_DIGEST - 1 ? calloc(1, sizeof *l) : NULL;

	a->grants = g;
	if (l == NULL) {
		a->op.mail.deliver = on_no_memory;
		mailbox_post(a->reply_to, &a->op.mail);
		return;
	}
	l->ask = a;
	l->op = (struct ledger_op){ .mail.deliver = on_told, .reply_to = a->reply_to, .verb = LEDGER_GRANT_GET,
		.registry = a->registry, .repository = a->repository, .grants = &l->row };
	memcpy(l->op.digest, a->blob.p, a->blob.n);
	ledger_submit(g->ledger, &l->op);
}

/* ---- life ---- */

struct grants *
grants_open(struct ledger *l)
{
	struct grants *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	g->ledger = l;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
grants_free(struct grants *g)
{
	if (g == NULL)
		return;
	while (g->oldest != NULL)
		forget_oldest(g);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
