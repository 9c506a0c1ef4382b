/*
 * outcome.c - what follows from evidence: events, and blocks of pushes that end or become FAILED.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/audit/event.h"
#include "gateway/evidence/parts.h"
#include "gateway/log.h"

/* ---- events ---- */

static void
record(struct evidence *e, struct audit_event *event)
{
	char line[EVENT_MAX];
	char id[EVENT_ID_LEN + 1];
	size_t n;

	memcpy(id, event->id, sizeof id);
	event->action = SPAN("none");
	event_now(event);
	if (id[0] != '\0')
		memcpy(event->id, id, sizeof id);
	n = event_write(event, line, sizeof line);
	if (n == 0 || !spool_put(e->env.spool, (struct span){ line, n }, NULL))
		log_warn("msg=%s could not be recorded", event->event);
}

void
outcome_tell(struct gathering *g, const struct exhibit *x)
{
	const struct subject *s = g->subject;
	bool news = (x->kind == EVIDENCE_MALWARE && x->state == STATE_FAIL) || x->state == STATE_UNSCANNABLE;
	struct audit_event event = { .event = "evidence.verdict", .decision = AUDIT_DENY,
		.reason = x->state == STATE_FAIL ? "malware" : "unscannable", .detail = span_of(x->why) };

	atomic_fetch_add_explicit(&g->evidence->count[x->kind][x->state], 1, memory_order_relaxed);
	if (x->state == STATE_ERROR)
		log_warn("msg=%s of %.*s@%s could not be learned: %s", evidence_kind_name(x->kind), SPAN_FMT(s->repository), s->digest, x->why);
	if (!news)
		return;
	event.registry.upstream = span_of(g->upstream->alias);
	event.registry.repository = s->repository;
	event.registry.digest = span_of(s->digest);
	record(g->evidence, &event);
}

void
outcome_engine(struct evidence *e, bool fit, const char *why)
{
	struct audit_event event = { .event = fit ? "engine.fit" : "engine.unfit", .decision = fit ? AUDIT_ALLOW : AUDIT_ERROR,
		.reason = fit ? "ok" : "engine_unfit", .detail = span_of(why) };

	if (fit)
		log_info("msg=the malware engine is fit again");
	else
		log_error("msg=the malware engine is not fit, and what it says counts for nothing: %s", why);
	record(e, &event);
}

/* ---- blocks of pushes ---- */

struct lifting {
	struct block_change change;
	struct evidence *evidence;
	struct setup *setup; /* a reference; the alias is its */
	const char *alias;
	struct span registry, repository;
	char why[160];
	char event_id[EVENT_ID_LEN + 1];
	char bytes[];
};

/* At the desk. */
static void
on_lifted(struct block_change *c)
{
	struct lifting *l = (struct lifting *)(void *)((char *)c - offsetof(struct lifting, change));
	bool good = c->kind == BLOCK_NONE;
	struct audit_event event = { .event = good ? "quarantine.removed" : "quarantine.failed",
		.decision = good ? AUDIT_ALLOW : AUDIT_DENY, .reason = good ? "ok" : "evidence_failed", .detail = span_of(l->why) };

	/* what could not be written down stays as it was, and is tried again at the next pulse */
	if (c->ok && c->was) {
		event.registry.upstream = span_of(l->alias);
		event.registry.repository = l->repository;
		event.registry.digest = span_of(c->digest);
		memcpy(event.id, l->event_id, sizeof event.id);
		record(l->evidence, &event);
	}
	setup_unref(l->setup);
	free(l);
}

static void
lift(struct evidence *e, struct subject *s, struct setup *setup, const struct config_upstream *u, enum block_kind kind, const char *why)
{
	struct lifting *l = calloc(1, sizeof *l + s->registry.n + s->repository.n);
	struct audit_event id;
	char *at;

	if (l == NULL)
		return;
	at = l->bytes;
	event_now(&id);
	l->evidence = e;
	l->setup = setup_ref(setup);
	l->alias = u->alias;
	l->registry = span_keep(&at, s->registry);
	l->repository = span_keep(&at, s->repository);
	snprintf(l->why, sizeof l->why, "%s", why);
	memcpy(l->event_id, id.id, sizeof l->event_id);
	l->change = (struct block_change){ .kind = kind, .registry = l->registry, .repository = l->repository, .who = SPAN("gateway"),
		.reason = span_of(l->why), .event_id = span_of(l->event_id), .now = time(NULL), .reply_to = e->desk, .done = on_lifted };
	memcpy(l->change.digest, s->digest, LEDGER_DIGEST);
	blocks_change(e->env.blocks, &l->change);
}

void
outcome_lift_known(struct evidence *e, struct subject *s, struct setup *setup, const struct config_upstream *u)
{
	const char *why = "";
	bool again = false, bad = false;

	/* an operator may have ended it, or quarantined the digest: then there is nothing to lift here */
	if (blocks_find(e->env.blocks, s->registry, s->repository, span_of(s->digest)) == BLOCK_NONE) {
		s->lift = 0;
		return;
	}
	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++) {
		const struct exhibit *x = s->of[k];

		if ((s->lift & 1u << k) == 0)
			continue;
		if (x == NULL || x->state == STATE_ERROR || x->state == STATE_PENDING)
			again = true;
		else if (x->state == STATE_UNSCANNABLE || (x->state == STATE_FAIL && k == EVIDENCE_MALWARE)) {
			bad = true;
			why = x->why;
		}
	}
	if (bad || !again)
		lift(e, s, setup, u, bad ? BLOCK_FAILED : BLOCK_NONE, why);
	/* what is to be tried again the desk asks for again */
	s->lift = 0;
}

/* ---- what was pending ---- */

struct pending {
	struct pending *next;
	struct span registry, repository;
	char digest[LEDGER_DIGEST];
	unsigned kinds;
	char bytes[];
};

static void
collect(void *ctx, struct span registry, struct span repository, const char *digest, unsigned kinds)
{
	struct pending **all = ctx, *p = calloc(1, sizeof *p + registry.n + repository.n);
	char *at;

	if (p == NULL)
		return;
	at = p->bytes;
	p->registry = span_keep(&at, registry);
	p->repository = span_keep(&at, repository);
	memcpy(p->digest, digest, LEDGER_DIGEST);
	p->kinds = kinds;
	p->next = *all;
	*all = p;
}

static const struct config_upstream *
upstream_of(const struct config *c, struct span registry)
{
	for (size_t i = 0; i < c->n_upstream; i++)
		if (span_eq(span_of(c->upstream[i].registry), registry))
			return &c->upstream[i];
	return NULL;
}

void
outcome_resume(struct evidence *e)
{
	struct pending *all = NULL, *next;
	struct setup *s;

	if (!blocks_any(e->env.blocks))
		return;
	blocks_each_pending(e->env.blocks, collect, &all);
	pthread_mutex_lock(&e->lock);
	s = setup_ref(e->setup);
	pthread_mutex_unlock(&e->lock);
	for (; all != NULL; all = next) {
		struct evidence_ask a = { .setup = s, .upstream = upstream_of(s->config, all->registry), .repository = all->repository,
			.kinds = all->kinds & ((1u << EVIDENCE_KIND_MAX) - 1), .lifts_block = true };

		next = all->next;
		memcpy(a.digest, all->digest, LEDGER_DIGEST);
		if (a.upstream != NULL)
			evidence_ask(e, &a);
		free(all);
	}
	setup_unref(s);
}
