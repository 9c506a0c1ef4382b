/*
 * report.c - vulnerabilities of an image, or of each image of an index, asked of every scanner that counts for its registry.
 *
 * The thread waits: scanners have a deadline each, and are let go when the gateway stops. One report that is not there makes all
 * of it unknown: what a scanner did not look at is not clean.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/parts.h"

#define AT_ONCE	 8u	/* jobs of one gathering under way */
#define LOOK_MS	 200	/* between two looks whether the gateway stops */

struct report_round;

struct asked {
	struct scanners_job job;
	struct report_round *round;
	bool started, over;	/* under the round's lock */
};

struct report_round {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned running;	/* under lock */
	struct asked *asked;
	size_t n;
};

/* The scanner's thread. */
static void
on_done(struct scanners_job *j)
{
	struct asked *a = (struct asked *)(void *)((char *)j - offsetof(struct asked, job));
	struct report_round *r = a->round;

	pthread_mutex_lock(&r->lock);
	a->over = true;
	r->running--;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

/* Until fewer than `n` run, or the gateway stops. */
static void
wait_for(struct gathering *g, struct report_round *r, unsigned n)
{
	struct evidence *e = g->evidence;
	bool cancelled = false;

	pthread_mutex_lock(&r->lock);
	while (r->running >= n) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&r->wake, &r->lock, &until);
		if (cancelled || !atomic_load(&e->stopping))
			continue;
		cancelled = true;
		pthread_mutex_unlock(&r->lock);
		for (size_t i = 0; i < r->n; i++)
			if (r->asked[i].started)
				scanners_cancel(e->scanners, &r->asked[i].job);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
}

static void
ask_all(struct gathering *g, struct report_round *r)
{
	for (size_t i = 0; i < r->n && !atomic_load(&g->evidence->stopping); i++) {
		wait_for(g, r, AT_ONCE);
		pthread_mutex_lock(&r->lock);
		r->running++;
		r->asked[i].started = true;
		pthread_mutex_unlock(&r->lock);
		scanners_start(g->evidence->scanners, &r->asked[i].job);
	}
	wait_for(g, r, 1);
}

/* ---- what came of it ---- */

static enum evidence_state
state_of(const struct asked *a)
{
	if (!a->over || a->job.arena == NULL)
		return STATE_ERROR;
	switch (a->job.report.status) {
	case REPORT_HERE:
		return STATE_PASS;
	case REPORT_UNSUPPORTED:
		return STATE_UNSCANNABLE;
	case REPORT_PENDING:
	case REPORT_ABSENT:
	case REPORT_FAILED:
		break;
	}
	return STATE_ERROR;
}

/* A copy in the exhibit's arena. */
static const struct report *
copy(const struct report *r, struct arena *a)
{
	struct report *to = arena_zalloc(a, 1, sizeof *to);
	json_t *saved = to == NULL ? NULL : report_save(r);
	bool ok = saved != NULL && report_load(saved, a, to);

	json_decref(saved);
	return ok ? to : NULL;
}

static struct exhibit *
judge(struct gathering *g, const struct report_round *r)
{
	struct exhibit *x = gathering_known(g, STATE_PASS);
	const struct report **reports = x == NULL ? NULL : arena_zalloc(x->arena, r->n, sizeof *reports);
	const struct asked *bad = NULL;

	/* what may be learned yet comes before what never will */
	for (size_t i = 0; i < r->n; i++)
		if (state_of(&r->asked[i]) != STATE_PASS && (bad == NULL || state_of(&r->asked[i]) == STATE_ERROR))
			bad = &r->asked[i];
	if (bad != NULL) {
		exhibit_unref(x);
		return gathering_fail(g, state_of(bad), "%s: %s", bad->job.scanner->alias,
		    bad->job.report.why[0] != '\0' ? bad->job.report.why : "the gateway stops");
	}
	for (size_t i = 0; reports != NULL && i < r->n; i++) {
		reports[i] = copy(&r->asked[i].job.report, x->arena);
		if (reports[i] != NULL)
			continue;
		exhibit_unref(x);
		return gathering_fail(g, STATE_ERROR, "the reports are larger than %zu bytes", (size_t)EXHIBIT_MEMORY);
	}
	if (reports == NULL) {
		exhibit_unref(x);
		return NULL;
	}
	x->reports = reports;
	x->n_reports = r->n;
	return x;
}

/* ---- who is asked for what ---- */

static const struct config_scanner *
scanner_of(const struct config *c, const char *alias)
{
	for (size_t i = 0; i < c->n_scanner; i++)
		if (strcmp(c->scanner[i].alias, alias) == 0)
			return &c->scanner[i];
	return NULL;
}

static void
add_image(struct gathering *g, struct report_round *r, struct span digest, struct span media_type)
{
	for (size_t i = 0; i < g->upstream->n_scanners; i++) {
		struct asked *a = &r->asked[r->n++];

		a->round = r;
		a->job = (struct scanners_job){ .setup = g->setup, .upstream = g->upstream, .repository = g->subject->repository,
			.scanner = scanner_of(g->setup->config, g->upstream->scanners[i]), .media_type = media_type, .done = on_done };
		if (digest.n < sizeof a->job.digest)
			memcpy(a->job.digest, digest.p, digest.n);
	}
}

/* False: *failed. */
static bool
list_images(struct gathering *g, struct report_round *r, struct exhibit **failed)
{
	size_t images = 1;
	struct manifest m;

	if (!gathering_manifest(g, &m, failed))
		return false;
	if (m.kind == MANIFEST_INDEX)
		images = m.n_children;
	if (images > EVIDENCE_CHILDREN) {
		*failed = gathering_fail(g, STATE_UNSCANNABLE, "an index of more than %u manifests", EVIDENCE_CHILDREN);
		return false;
	}
	r->asked = calloc(images * g->upstream->n_scanners + 1, sizeof *r->asked);
	if (r->asked == NULL)
		return false;
	if (m.kind != MANIFEST_INDEX && config_is_image(&m))
		add_image(g, r, span_of(g->subject->digest), m.media_type);
	for (size_t i = 0; m.kind == MANIFEST_INDEX && i < m.n_children; i++)
		if (!child_attests(&m.children[i]))
			add_image(g, r, m.children[i].digest, m.children[i].media_type);
	if (r->n > 0)
		return true;
	*failed = gathering_fail(g, STATE_UNSCANNABLE, "it is no image, nor an index of images");
	return false;
}

struct exhibit *
report_gather(struct gathering *g)
{
	struct report_round r = { .n = 0 };
	struct exhibit *x = NULL;

	if (g->evidence->scanners == NULL)
		return gathering_fail(g, STATE_ERROR, "scanners cannot be asked");
	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.wake, NULL);
	if (list_images(g, &r, &x)) {
		ask_all(g, &r);
		x = judge(g, &r);
	}
	for (size_t i = 0; i < r.n; i++)
		arena_free(r.asked[i].job.arena);
	free(r.asked);
	pthread_cond_destroy(&r.wake);
	pthread_mutex_destroy(&r.lock);
	return x;
}
