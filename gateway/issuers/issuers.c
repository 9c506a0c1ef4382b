/*
 * issuers.c - views of issuers, the sources they share, and who waits.
 * Invariant: under the lock, every view's table has the keys its sources have.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/issuers/issuers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "gateway/issuers/source.h"
#include "gateway/log.h"

struct issuer_view {
	const struct config *config;
	struct issuers *issuers;	/* NULL: joined none */
	struct key_source **sources;	/* as config->issuer; NULL: keys from a file */
	struct issuer_view *next;	/* under the issuers' lock */
	pthread_mutex_t lock;		/* of table; the last one taken */
	struct issuer_table *table;
	_Atomic uint32_t generation;	/* of table */
};

struct issuers {
	struct source_env env;
	char *directory;
	pthread_mutex_t lock;		/* held by the main thread, the courier's, and whoever drops a setup; never by a request */
	struct key_source *sources;
	struct issuer_view *views;
	struct mail sweep_mail;
	_Atomic bool sweep_posted;
};

/* ---- tables ---- */

/* Under the issuers' lock. False when out of memory: the table of before stays. */
static bool
publish(struct issuer_view *v)
{
	struct keyset **keys = calloc(v->config->n_issuer + 1, sizeof *keys);
	struct issuer_table *t = NULL, *old;

	for (size_t i = 0; keys != NULL && i < v->config->n_issuer; i++)
		keys[i] = v->sources[i] != NULL ? v->sources[i]->keys : v->config->issuer[i].keys;
	if (keys != NULL)
		t = config_issuer_table(v->config, keys);
	free(keys);
	if (t == NULL)
		return false;
	pthread_mutex_lock(&v->lock);
	old = v->table;
	v->table = t;
	atomic_store_explicit(&v->generation, issuer_table_generation(t), memory_order_release);
	pthread_mutex_unlock(&v->lock);
	issuer_table_unref(old);
	return true;
}

static bool
names(const struct issuer_view *v, const struct key_source *s)
{
	for (size_t i = 0; i < v->config->n_issuer; i++)
		if (v->sources[i] == s)
			return true;
	return false;
}

/* Courier's thread: a source has other keys. */
static bool
on_changed(void *ctx, struct key_source *s, struct keyset *keys)
{
	struct issuers *is = ctx;
	struct keyset *old;
	bool ok = true;

	pthread_mutex_lock(&is->lock);
	old = s->keys;
	s->keys = keys;
	for (struct issuer_view *v = is->views; v != NULL; v = v->next)
		if (names(v, s))
			ok = publish(v) && ok;
	if (!ok)
		s->keys = old;
	pthread_mutex_unlock(&is->lock);
	if (ok)
		keyset_free(old);
	return ok;
}

struct issuer_table *
issuer_view_take(struct issuer_view *v)
{
	struct issuer_table *t;

	pthread_mutex_lock(&v->lock);
	t = issuer_table_ref(v->table);
	pthread_mutex_unlock(&v->lock);
	return t;
}

uint32_t
issuer_view_generation(const struct issuer_view *v)
{
	return atomic_load_explicit(&v->generation, memory_order_acquire);
}

/* ---- sources come and go ---- */

/* Courier's thread: begin those that are wanted, drop those that nobody names. One at work is dropped the next time. */
static void
on_sweep(struct mail *m)
{
	struct issuers *is = (struct issuers *)(void *)((char *)m - offsetof(struct issuers, sweep_mail));
	struct key_source **at = &is->sources, *s, *dropped = NULL;

	atomic_store_explicit(&is->sweep_posted, false, memory_order_seq_cst);
	pthread_mutex_lock(&is->lock);
	while ((s = *at) != NULL) {
		if (s->users == 0 && !source_busy(s)) {
			*at = s->next;
			s->next = dropped;
			dropped = s;
			continue;
		}
		if (s->wanted && !s->started)
			source_start(s);
		at = &s->next;
	}
	pthread_mutex_unlock(&is->lock);
	while ((s = dropped) != NULL) {
		dropped = s->next;
		source_free(s);
	}
}

static void sweep(struct issuers *is);

/* Courier's thread: it may have been waited for to be dropped. */
static void
on_idle(void *ctx, struct key_source *s)
{
	struct issuers *is = ctx;
	bool dropped;

	pthread_mutex_lock(&is->lock);
	dropped = s->users == 0;
	pthread_mutex_unlock(&is->lock);
	if (dropped)
		sweep(is);
}

static void
sweep(struct issuers *is)
{
	if (!atomic_exchange_explicit(&is->sweep_posted, true, memory_order_seq_cst) && !courier_post(is->env.courier, &is->sweep_mail))
		atomic_store_explicit(&is->sweep_posted, false, memory_order_seq_cst);
}

/* Under the lock. NULL when out of memory. */
static struct key_source *
source_for(struct issuers *is, const struct config_issuer *c)
{
	char *same = source_same(c);
	struct key_source *s = is->sources;

	if (same == NULL)
		return NULL;
	while (s != NULL && strcmp(s->same, same) != 0)
		s = s->next;
	free(same);
	if (s != NULL)
		return s;
	s = source_new(&is->env, c);
	if (s == NULL)
		return NULL;
	s->next = is->sources;
	is->sources = s;
	return s;
}

static void
make_directory(const struct issuers *is)
{
	if (mkdir(is->directory, 0700) != 0 && errno != EEXIST)
		log_warn("msg=state-directory %s: %s; a start while an issuer is down will have no keys of it", is->directory,
		    strerror(errno));
}

bool
issuers_join(struct issuers *is, struct issuer_view *v)
{
	bool ok = true, any = false;

	pthread_mutex_lock(&is->lock);
	v->issuers = is;
	v->next = is->views;
	is->views = v;
	for (size_t i = 0; i < v->config->n_issuer && ok; i++) {
		if (v->config->issuer[i].jwks_file != NULL)
			continue;
		if (!any)
			make_directory(is);
		any = true;
		v->sources[i] = source_for(is, &v->config->issuer[i]);
		ok = v->sources[i] != NULL;
		if (ok)
			v->sources[i]->users++;
	}
	ok = ok && (!any || publish(v));
	pthread_mutex_unlock(&is->lock);
	return ok;
}

void
issuers_follow(struct issuers *is, struct issuer_view *v)
{
	pthread_mutex_lock(&is->lock);
	for (size_t i = 0; i < v->config->n_issuer; i++)
		if (v->sources[i] != NULL)
			v->sources[i]->wanted = true;
	pthread_mutex_unlock(&is->lock);
	sweep(is);
}

struct issuer_view *
issuer_view_new(const struct config *c)
{
	struct issuer_view *v = calloc(1, sizeof *v);

	if (v == NULL)
		return NULL;
	v->config = c;
	v->sources = calloc(c->n_issuer + 1, sizeof *v->sources);
	if (v->sources == NULL) {
		free(v);
		return NULL;
	}
	pthread_mutex_init(&v->lock, NULL);
	v->table = issuer_table_ref(c->file_issuers);
	atomic_store_explicit(&v->generation, issuer_table_generation(v->table), memory_order_release);
	return v;
}

static void
leave(struct issuers *is, struct issuer_view *v)
{
	pthread_mutex_lock(&is->lock);
	for (struct issuer_view **at = &is->views; *at != NULL; at = &(*at)->next) {
		if (*at != v)
			continue;
		*at = v->next;
		break;
	}
	for (size_t i = 0; i < v->config->n_issuer; i++)
		if (v->sources[i] != NULL)
			v->sources[i]->users--;
	pthread_mutex_unlock(&is->lock);
	sweep(is);
}

void
issuer_view_free(struct issuer_view *v)
{
	if (v == NULL)
		return;
	if (v->issuers != NULL)
		leave(v->issuers, v);
	issuer_table_unref(v->table);
	pthread_mutex_destroy(&v->lock);
	free(v->sources);
	free(v);
}

/* ---- waiting ---- */

static void
on_wait(struct mail *m)
{
	struct key_wait *w = (struct key_wait *)(void *)m;

	source_wait(w->source, w);
}

bool
issuers_wait(struct issuers *is, struct issuer_view *v, const char *alias, struct key_wait *w)
{
	for (size_t i = 0; i < v->config->n_issuer; i++) {
		if (v->sources[i] == NULL || strcmp(v->config->issuer[i].alias, alias) != 0)
			continue;
		w->issuers = is;
		w->source = v->sources[i];
		w->mail.deliver = on_wait;
		return courier_post(is->env.courier, &w->mail);
	}
	return false;
}

/* ---- what operators see ---- */

void
issuer_view_stats(const struct issuer_view *v, size_t n, struct issuer_stats *out)
{
	const struct key_source *s = v->sources[n];
	int64_t fetched, now = time(NULL);

	*out = (struct issuer_stats){ .age = -1 };
	if (s == NULL) {
		out->keys = v->config->issuer[n].keys == NULL ? 0 : (unsigned)keyset_count(v->config->issuer[n].keys);
		return;
	}
	out->fetched = true;
	out->keys = atomic_load_explicit(&s->n_keys, memory_order_relaxed);
	out->failures = atomic_load_explicit(&s->failures, memory_order_relaxed);
	out->fresh = atomic_load_explicit(&s->fresh, memory_order_relaxed);
	fetched = atomic_load_explicit(&s->fetched, memory_order_relaxed);
	if (fetched > 0)
		out->age = now > fetched ? now - fetched : 0;
}

/* ---- life ---- */

struct issuers *
issuers_new(struct courier *c, struct spool *s, const char *directory)
{
	struct issuers *is = calloc(1, sizeof *is);

	if (is == NULL)
		return NULL;
	is->directory = strdup(directory);
	if (is->directory == NULL) {
		free(is);
		return NULL;
	}
	is->env = (struct source_env){ c, s, is->directory, on_changed, on_idle, is };
	is->sweep_mail.deliver = on_sweep;
	pthread_mutex_init(&is->lock, NULL);
	return is;
}

void
issuers_free(struct issuers *is)
{
	struct key_source *s;

	if (is == NULL)
		return;
	while ((s = is->sources) != NULL) {
		is->sources = s->next;
		source_free(s);
	}
	pthread_mutex_destroy(&is->lock);
	free(is->directory);
	free(is);
}
