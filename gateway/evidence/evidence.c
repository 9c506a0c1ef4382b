/*
 * evidence.c - questions, answers, and what is kept in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/parts.h"
#include "policy/hash.h"

#define REFRESH_PART 10 /* of its life is left: time to make it anew */

/* ---- texts ---- */

static struct text *
text_new(struct span manifest, struct span media_type)
{
	struct text *t;
	char *at;

	if (manifest.n == 0 || manifest.n > EVIDENCE_MANIFEST)
		return NULL;
	t = malloc(sizeof *t + manifest.n + media_type.n);
	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	t->n = manifest.n;
	t->type_n = media_type.n;
	at = t->bytes;
	(void)span_keep(&at, manifest);
	(void)span_keep(&at, media_type);
	return t;
}

void
text_unref(struct text *t)
{
	if (t != NULL && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
		free(t);
}

/* ---- subjects; the lock is held ---- */

static size_t
bucket_of(struct span digest)
{
	return (size_t)hash_span(digest) & (SUBJECT_BUCKETS - 1);
}

static struct subject **
find(struct evidence *e, struct span registry, struct span repository, const char *digest)
{
	struct subject **at = &e->bucket[bucket_of(span_of(digest))];

	while (*at != NULL && !(strcmp((*at)->digest, digest) == 0 && span_eq((*at)->repository, repository) &&
	    span_eq((*at)->registry, registry)))
		at = &(*at)->next;
	return at;
}

static void
unlink_use(struct evidence *e, struct subject *s)
{
	*(s->newer == NULL ? &e->newest : &s->newer->older) = s->older;
	*(s->older == NULL ? &e->oldest : &s->older->newer) = s->newer;
}

static void
link_use(struct evidence *e, struct subject *s)
{
	s->newer = NULL;
	s->older = e->newest;
	*(e->newest == NULL ? &e->oldest : &e->newest->newer) = s;
	e->newest = s;
}

static void
forget_dossier(struct subject *s)
{
	dossier_unref(s->dossier);
	s->dossier = NULL;
}

static void
subject_free(struct evidence *e, struct subject *s)
{
	*find(e, s->registry, s->repository, s->digest) = s->next;
	unlink_use(e, s);
	e->n_subjects--;
	e->subjects_size -= s->size;
	forget_dossier(s);
	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		exhibit_unref(s->of[k]);
	free(s);
}

/* Those that nobody works on or waits for, from the least recently used on; a bounded look at the others. */
static void
trim(struct evidence *e)
{
	struct subject *s = e->oldest, *newer;

	for (unsigned looks = 0; looks < 64 && s != NULL; looks++, s = newer) {
		if (e->n_subjects <= SUBJECTS_MAX && e->subjects_size <= SUBJECTS_BYTES)
			return;
		newer = s->newer;
		if (s->running == 0 && s->asks == NULL)
			subject_free(e, s);
	}
}

/* NULL: no memory. */
static struct subject *
find_or_make(struct evidence *e, struct span registry, struct span repository, const char *digest)
{
	struct subject **at = find(e, registry, repository, digest), *s = *at;
	char *bytes;

	if (s != NULL) {
		unlink_use(e, s);
		link_use(e, s);
		return s;
	}
	s = calloc(1, sizeof *s + registry.n + repository.n);
	if (s == NULL)
		return NULL;
	bytes = s->bytes;
	s->registry = span_keep(&bytes, registry);
	s->repository = span_keep(&bytes, repository);
	memcpy(s->digest, digest, LEDGER_DIGEST);
	*at = s;
	link_use(e, s);
	e->n_subjects++;
	return s;
}

/* Is what is known of this kind good at this time, under this configuration? */
static bool
is_good(const struct subject *s, unsigned kind, const struct setup *setup, const struct config_upstream *u, int64_t now)
{
	const struct exhibit *x = s->of[kind];
	char version[72];

	if (x == NULL || now >= x->until)
		return false;
	if (!version_of(setup, u, (enum evidence_kind)kind, version))
		return x->state == STATE_NONE;
	return strcmp(version, x->version) == 0;
}

/* Those of `kinds` that are not good. */
static unsigned
not_good(const struct subject *s, unsigned kinds, const struct setup *setup, const struct config_upstream *u, int64_t now)
{
	unsigned out = 0;

	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if ((kinds & 1u << k) != 0 && !is_good(s, k, setup, u, now))
			out |= 1u << k;
	return out;
}

/* ---- answering; the lock is held ---- */

static void
on_answer(struct mail *m)
{
	struct evidence_ask *a = (struct evidence_ask *)(void *)((char *)m - offsetof(struct evidence_ask, mail));

	a->done(a);
}

static void
answer(struct subject *s, struct evidence_ask *a)
{
	int64_t now = time(NULL);
	unsigned stale = s == NULL ? 0 : not_good(s, a->kinds, a->setup, a->upstream, now);

	a->dossier = s == NULL ? NULL
			       : dossier_new(a->digest, a->setup, a->upstream, a->repository, a->kinds, s->of, stale, now);
	a->mail.deliver = on_answer;
	mailbox_post(a->reply_to, &a->mail);
}

/* Out of its list. */
static void
unwait(struct evidence_ask *a)
{
	struct evidence_ask **at = &a->subject->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	*a->earlier = a->later;
	if (a->later != NULL)
		a->later->earlier = a->earlier;
	a->waiting = false;
}

static void
wait_for(struct evidence *e, struct subject *s, struct evidence_ask *a)
{
	a->subject = s;
	a->deadline = monotonic_ms() + a->wait_ms;
	a->waiting = true;
	a->next = s->asks;
	s->asks = a;
	a->later = e->waiting;
	a->earlier = &e->waiting;
	if (a->later != NULL)
		a->later->earlier = &a->later;
	e->waiting = a;
	desk_wake(e);
}

/* Those who wait and whose time is over, or (all) everybody. */
static void
answer_due(struct evidence *e, int64_t now_ms, bool all)
{
	for (struct evidence_ask *a = e->waiting, *later; a != NULL; a = later) {
		later = a->later;
		if (!all && a->deadline > now_ms)
			continue;
		unwait(a);
		answer(a->subject, a);
	}
}

void
evidence_expire(struct evidence *e, int64_t now_ms)
{
	pthread_mutex_lock(&e->lock);
	answer_due(e, now_ms, false);
	if (e->waiting != NULL)
		desk_wake(e);
	pthread_mutex_unlock(&e->lock);
}

/* ---- asking ---- */

static void
set_exhibit(struct evidence *e, struct subject *s, struct exhibit *x)
{
	struct exhibit *old = s->of[x->kind];
	size_t size = x->size + (x->good == NULL ? 0 : x->good->size);
	size_t was = old == NULL ? 0 : old->size + (old->good == NULL ? 0 : old->good->size);

	forget_dossier(s);
	s->seen[x->kind] = 0;
	s->of[x->kind] = x;
	s->size += size - was;
	e->subjects_size += size - was;
	exhibit_unref(old);
}

/* The last one that was known. */
static struct exhibit *
good_of(struct exhibit *x)
{
	if (x == NULL)
		return NULL;
	return exhibit_known(x) ? x : x->good;
}

/* Does it have to wait for what is under way? */
static bool
must_wait(const struct subject *s, const struct evidence_ask *a)
{
	return (s->running & not_good(s, a->kinds, a->setup, a->upstream, time(NULL))) != 0;
}

/* Without work: nobody can say, or there is too much to do. */
static void
settle(struct evidence *e, struct subject *s, unsigned kind, enum evidence_state state, int64_t until, const char *why)
{
	struct exhibit *x = exhibit_new((enum evidence_kind)kind, state, time(NULL), until), *good;

	if (x == NULL)
		return;
	snprintf(x->why, sizeof x->why, "%s", why);
	good = state == STATE_NONE ? NULL : good_of(s->of[kind]);
	if (good != NULL)
		x->good = exhibit_ref(good);
	set_exhibit(e, s, x);
}

static void
start(struct evidence *e, struct subject *s, unsigned kind, struct setup *setup, const struct config_upstream *u, struct text *text)
{
	static const enum lane lanes[EVIDENCE_KIND_MAX] = { [EVIDENCE_REPORT] = LANE_REPORT };
	int64_t now = time(NULL);
	struct gathering *g;
	struct exhibit *good;
	char version[72];

	if (!version_of(setup, u, (enum evidence_kind)kind, version)) {
		settle(e, s, kind, STATE_NONE, EXHIBIT_FOREVER, "nothing is configured that could tell");
		return;
	}
	g = calloc(1, sizeof *g);
	if (g == NULL)
		return;
	g->job.run = gathering_run;
	g->evidence = e;
	g->subject = s;
	g->kind = (enum evidence_kind)kind;
	memcpy(g->version, version, sizeof version);
	if (!job_put(e, lanes[kind], &g->job)) {
		free(g);
		settle(e, s, kind, STATE_ERROR, now + 1, "too much is waiting to be looked at");
		return;
	}
	/* a hand that takes it needs the lock that we hold */
	g->setup = setup_ref(setup);
	g->upstream = u;
	g->ahead = is_good(s, kind, setup, u, now);
	g->text = text;
	if (text != NULL)
		atomic_fetch_add_explicit(&text->refs, 1, memory_order_relaxed);
	good = good_of(s->of[kind]);
	g->good = good == NULL ? NULL : exhibit_ref(good);
	s->running |= 1u << kind;
}

/* What is not known and nobody works on; the lock is held. */
static void
start_all(struct evidence *e, struct subject *s, const struct evidence_ask *a, struct text *text)
{
	unsigned kinds = not_good(s, a->kinds & ~s->running, a->setup, a->upstream, time(NULL));

	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if ((kinds & 1u << k) != 0)
			start(e, s, k, a->setup, a->upstream, text);
}

void
evidence_ask(struct evidence *e, struct evidence_ask *a)
{
	struct text *text = text_new(a->manifest, a->media_type);
	struct subject *s = NULL;

	a->dossier = NULL;
	a->waiting = false;
	pthread_mutex_lock(&e->lock);
	if (!e->closed) {
		s = find_or_make(e, span_of(a->upstream->registry), a->repository, a->digest);
		if (s != NULL)
			start_all(e, s, a, text);
	}
	if (s != NULL && a->lifts_block)
		s->lift |= a->kinds;
	if (a->reply_to != NULL) {
		if (s == NULL || a->wait_ms == 0 || !must_wait(s, a))
			answer(s, a);
		else
			wait_for(e, s, a);
	}
	if (s != NULL && s->lift != 0 && (s->running & s->lift) == 0)
		outcome_lift_known(e, s, a->setup, a->upstream);
	trim(e);
	pthread_mutex_unlock(&e->lock);
	text_unref(text);
}

void
evidence_cancel(struct evidence *e, struct evidence_ask *a)
{
	pthread_mutex_lock(&e->lock);
	if (a->waiting) {
		unwait(a);
		answer(a->subject, a);
	}
	pthread_mutex_unlock(&e->lock);
}

void
subject_learned(struct evidence *e, struct gathering *g, struct exhibit *x)
{
	struct subject *s = g->subject;
	int64_t now = time(NULL);

	pthread_mutex_lock(&e->lock);
	s->running &= ~(1u << g->kind);
	/* ahead of time, and in vain: what is there is good for a while */
	if (x != NULL && !exhibit_known(x) && g->ahead && is_good(s, g->kind, g->setup, g->upstream, now)) {
		s->again[g->kind] = now + g->setup->config->evidence.retry;
		exhibit_unref(x);
		x = NULL;
	}
	if (x != NULL)
		set_exhibit(e, s, x);
	for (struct evidence_ask *a = s->asks, *next; a != NULL; a = next) {
		next = a->next;
		if (must_wait(s, a))
			continue;
		unwait(a);
		answer(s, a);
	}
	if (s->lift != 0 && (s->running & s->lift) == 0)
		outcome_lift_known(e, s, g->setup, g->upstream);
	trim(e);
	pthread_mutex_unlock(&e->lock);
}

/* ---- finding ---- */

/* Under the setup in force; looked up by number, for every pull that is gated comes by here. */
static bool
is_good_now(struct evidence *e, struct subject *s, unsigned kind, const struct config_upstream *u, int64_t now)
{
	if (s->seen[kind] == e->generation)
		return now < s->of[kind]->until;
	if (!is_good(s, kind, e->setup, u, now))
		return false;
	s->seen[kind] = e->generation;
	return true;
}

/* What will soon not be good any more is made anew while it is, if anybody still asks for it. */
static void
refresh(struct evidence *e, struct subject *s, unsigned kinds, const struct config_upstream *u, int64_t now)
{
	const struct config *c = e->setup->config;

	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++) {
		const struct exhibit *x = s->of[k];

		if ((kinds & ~s->running & 1u << k) == 0 || !exhibit_known(x) || x->until == EXHIBIT_FOREVER || now < s->again[k])
			continue;
		if (x->until - now > (x->until - x->at) / REFRESH_PART)
			continue;
		/* its own upstream: the place may be of another setup */
		for (size_t i = 0; i < c->n_upstream; i++)
			if (strcmp(c->upstream[i].registry, u->registry) == 0)
				start(e, s, k, e->setup, &c->upstream[i], NULL);
	}
}

/* The lock is held: a dossier of all that is good. */
static struct dossier *
dossier_of(struct evidence *e, struct subject *s, const struct evidence_place *at, int64_t now)
{
	unsigned kinds = 0;

	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if (is_good_now(e, s, k, at->upstream, now))
			kinds |= 1u << k;
	if (s->dossier != NULL && (s->dossier->kinds != kinds || s->dossier->facts->setup != e->setup))
		forget_dossier(s);
	if (s->dossier == NULL && kinds != 0)
		s->dossier = dossier_new(s->digest, e->setup, at->upstream, at->repository, kinds, s->of, 0, now);
	return s->dossier;
}

struct dossier *
evidence_find(struct evidence *e, const struct evidence_place *at, unsigned kinds, int64_t now)
{
	struct dossier *d = NULL;
	struct subject *s;

	pthread_mutex_lock(&e->lock);
	s = *find(e, span_of(at->upstream->registry), at->repository, at->digest);
	if (s != NULL) {
		d = dossier_of(e, s, at, now);
		if (d != NULL && (kinds & ~d->kinds) == 0) {
			dossier_ref(d);
			unlink_use(e, s);
			link_use(e, s);
			refresh(e, s, kinds, at->upstream, now);
		} else {
			d = NULL;
		}
	}
	pthread_mutex_unlock(&e->lock);
	return d;
}

/* ---- life ---- */

struct evidence *
evidence_start(const struct evidence_env *env, struct setup *s, char *err, size_t err_size)
{
	struct evidence *e = calloc(1, sizeof *e);

	if (e == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	e->env = *env;
	e->setup = setup_ref(s);
	e->generation = 1;
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->test_lock, NULL);
	pthread_cond_init(&e->answered, NULL);
	for (unsigned lane = 0; lane < LANE_MAX; lane++) {
		pthread_cond_init(&e->wake[lane], NULL);
		e->last[lane] = &e->first[lane];
	}
	/* without a courier (tests) nobody is asked */
	if (env->courier != NULL && env->credentials != NULL)
		e->scanners = scanners_new(env->courier, env->credentials);
	if (hands_start(e, s->config->evidence.threads, err, err_size))
		return e;
	evidence_stop(e);
	evidence_free(e);
	return NULL;
}

void
evidence_follow(struct evidence *e, struct setup *s)
{
	struct setup *old;

	pthread_mutex_lock(&e->lock);
	old = e->setup;
	e->setup = setup_ref(s);
	e->generation++;
	pthread_mutex_unlock(&e->lock);
	setup_unref(old);
}

void
evidence_stop(struct evidence *e)
{
	hands_stop(e);
	pthread_mutex_lock(&e->lock);
	answer_due(e, 0, true);
	pthread_mutex_unlock(&e->lock);
}

void
evidence_free(struct evidence *e)
{
	if (e == NULL)
		return;
	hands_free(e);
	scanners_free(e->scanners);
	while (e->oldest != NULL)
		subject_free(e, e->oldest);
	verdicts_free(e);
	setup_unref(e->setup);
	for (unsigned lane = 0; lane < LANE_MAX; lane++)
		pthread_cond_destroy(&e->wake[lane]);
	pthread_cond_destroy(&e->answered);
	pthread_mutex_destroy(&e->test_lock);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

/* ---- for metrics ---- */

static unsigned
number(const struct evidence *e, bool queued)
{
	struct evidence *self = (struct evidence *)(uintptr_t)e;
	unsigned n;

	pthread_mutex_lock(&self->lock);
	n = queued ? e->n_jobs : e->busy;
	pthread_mutex_unlock(&self->lock);
	return n;
}

unsigned
evidence_running(const struct evidence *e)
{
	return number(e, false);
}

unsigned
evidence_queued(const struct evidence *e)
{
	return number(e, true);
}

int64_t
evidence_count(const struct evidence *e, enum evidence_kind k, enum evidence_state s)
{
	return atomic_load_explicit(&e->count[k][s], memory_order_relaxed);
}
