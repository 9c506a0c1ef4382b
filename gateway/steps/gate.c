/*
 * gate.c - see gate.h.
 *
 * Invariant: while `busy` is not 0, other threads have memory of the gate's; the last of them frees it when the request is over.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/gate.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/image.h"

static void
gate_free(struct gate *g)
{
	peek_clear(&g->peek);
	dossier_unref(g->dossier);
	setup_unref(g->setup);
	free(g);
}

struct gate *
gate_of(struct request *r)
{
	const struct identity *who = r->authn.who;
	size_t n = r->route.repository.n + strlen(r->upstream_config->registry) + who->issuer.n + who->subject.n + 1 +
	    sizeof r->client.ip + EVENT_ID_LEN;
	struct gate *g = r->gate;
	char *at;

	if (g != NULL)
		return g;
	g = calloc(1, sizeof *g + n);
	if (g == NULL)
		return NULL;
	g->request = r;
	g->setup = setup_ref(r->serving->setup);
	at = g->bytes;
	g->change.registry = span_keep(&at, span_of(r->upstream_config->registry));
	g->change.repository = span_keep(&at, r->route.repository);
	g->change.who = span_keep(&at, who->issuer);
	*at++ = '/';
	(void)span_keep(&at, who->subject);
	g->change.who.n += 1 + who->subject.n;
	g->change.source = span_keep(&at, span_of(r->client.ip));
	g->change.event_id = span_keep(&at, (struct span){ r->id, EVENT_ID_LEN });
	r->gate = g;
	return g;
}

void
gate_abandon(struct request *r)
{
	struct gate *g = r->gate;

	r->gate = NULL;
	if (g == NULL)
		return;
	g->request = NULL;
	if (g->busy == 0)
		gate_free(g);
	else if (g->ask.reply_to != NULL)
		evidence_cancel(r->worker->gateway->evidence, &g->ask);
}

struct request *
gate_back(struct gate *g)
{
	struct request *r = g->request;

	g->busy--;
	if (r == NULL && g->busy == 0)
		gate_free(g);
	return r;
}

/* ---- facts ---- */

static bool
is_of_image(unsigned key)
{
	return key >= KEY_IMAGE_MEDIA_TYPE && key <= KEY_SBOM_PRESENT;
}

void
gate_promise(struct request *r)
{
	bool manifest = r->route.op == ROUTE_MANIFEST_GET || r->route.op == ROUTE_MANIFEST_PUT || r->route.op == ROUTE_CATALOG;

	for (unsigned k = 0; manifest && k < KEY_MAX; k++)
		if (is_of_image(k))
			r->facts[k] = (struct fact){ .state = FACT_LATER };
	if (r->route.op == ROUTE_BLOB_GET)
		r->facts[KEY_REGISTRY_BLOB_GRANTED] = (struct fact){ .state = FACT_LATER };
}

bool
gate_waits(struct request *r, const struct judged *j)
{
	bool any = false;

	if (j->decision.verdict != VERDICT_NEED)
		return false;
	for (unsigned k = 0; k < KEY_MAX; k++) {
		if (!key_set_has(&j->decision.need, (enum policy_key)k))
			continue;
		/* what only a later question knows is that question's */
		if (r->facts[k].state == FACT_LATER && (is_of_image(k) || k == KEY_REGISTRY_BLOB_GRANTED)) {
			key_set_add(&r->need, (enum policy_key)k);
			any = true;
		}
	}
	if (!any)
		return false;
	if (!r->open || j->decision.on_push < r->on_push)
		r->on_push = j->decision.on_push;
	r->open = true;
	return true;
}

bool
gate_tell_manifest(struct request *r, const struct manifest *m, struct span bytes)
{
	return manifest_tell(m, bytes, r->arena, r->facts);
}

/* Of these kinds nothing more is learned. */
static void
give_up(struct request *r, unsigned kinds)
{
	for (unsigned k = 0; k < KEY_MAX; k++) {
		struct key_set one = { 0 };

		if (r->facts[k].state != FACT_LATER || !is_of_image(k))
			continue;
		key_set_add(&one, (enum policy_key)k);
		if (evidence_kinds_of(&one) == 0 || (evidence_kinds_of(&one) & kinds) != 0)
			r->facts[k] = (struct fact){ .state = FACT_UNKNOWN };
	}
}

static void
told(struct request *r, struct dossier *d, unsigned kinds)
{
	struct gate *g = r->gate;

	dossier_unref(g->dossier);
	g->dossier = d;
	if (d == NULL || !dossier_tell(d, r->time_us / 1000000, r->arena, r->facts))
		give_up(r, kinds);
	/* whatever it did not speak of */
	give_up(r, kinds);
}

/* ---- weighing ---- */

static void weigh(struct request *r);

static void
on_evidence(struct evidence_ask *a)
{
	struct gate *g = (struct gate *)(void *)((char *)a - offsetof(struct gate, ask));
	struct dossier *d = a->dossier;
	struct request *r;

	a->reply_to = NULL;
	r = gate_back(g);
	if (r == NULL) {
		dossier_unref(d);
		return;
	}
	told(r, d, g->asked);
	weigh(r);
}

static void
ask_evidence(struct request *r, unsigned kinds)
{
	struct gate *g = r->gate;
	int64_t left = g->until - loop_monotonic_ms(r->worker->loop);

	g->ask = (struct evidence_ask){
		.setup = g->setup,
		.upstream = r->upstream_config,
		.repository = g->change.repository,
		.media_type = g->image.manifest->media_type,
		.manifest = g->image.bytes,
		.kinds = kinds,
		.wait_ms = left > 0 ? (unsigned)left : 0,
		.reply_to = r->worker->mailbox,
		.done = on_evidence,
	};
	snprintf(g->ask.digest, sizeof g->ask.digest, "%s", g->image.digest);
	g->busy++;
	evidence_ask(r->worker->gateway->evidence, &g->ask);
}

/* What is known at once. */
static bool
find_evidence(struct request *r, unsigned kinds)
{
	struct gate *g = r->gate;
	struct evidence_place at = { r->upstream_config, r->route.repository, g->image.digest };
	struct dossier *d = evidence_find(r->worker->gateway->evidence, &at, kinds, r->time_us / 1000000);

	if (d == NULL)
		return false;
	told(r, d, kinds);
	return true;
}

static void
weigh(struct request *r)
{
	struct gate *g = r->gate;
	enum refuse why;

	for (;;) {
		unsigned kinds;

		r->open = false;
		r->need = (struct key_set){ 0 };
		why = g->question(r);
		if (!r->open || why != REFUSE_NONE)
			break;
		kinds = evidence_kinds_of(&r->need) | g->asked;
		g->asked = kinds;
		/* keys that no kind fills in */
		if (evidence_kinds_of(&r->need) == 0) {
			give_up(r, 0);
			continue;
		}
		if (find_evidence(r, kinds))
			continue;
		ask_evidence(r, kinds);
		return;
	}
	g->done(r, why);
}

void
gate_weigh(struct request *r, const struct inspected *image, unsigned wait_ms, enum refuse (*question)(struct request *r),
    void (*done)(struct request *r, enum refuse why))
{
	struct gate *g = r->gate;

	g->image = *image;
	g->question = question;
	g->done = done;
	g->asked = 0;
	g->until = loop_monotonic_ms(r->worker->loop) + wait_ms;
	weigh(r);
}

bool
gate_settled(const struct request *r)
{
	const struct gate *g = r->gate;

	return g == NULL || g->asked == 0 || (g->dossier != NULL && dossier_settled(g->dossier, g->asked));
}

/* What is said of the kinds that are not as they should be. {NULL,0}: nothing. */
static struct span
reasons(struct request *r)
{
	const struct gate *g = r->gate;
	struct span all = SPAN_NONE;

	for (unsigned k = 0; g->dossier != NULL && k < EVIDENCE_KIND_MAX; k++) {
		const char *why = g->dossier->why[k];

		if ((g->asked & 1u << k) == 0 || *why == '\0')
			continue;
		all = arena_printf(r->arena, "%.*s%s%s", SPAN_FMT(all), all.n > 0 ? "; " : "", why);
	}
	return all;
}

enum refuse
gate_refusal(struct request *r, enum refuse why)
{
	struct gate *g = r->gate;
	struct span said;

	if (g == NULL || g->asked == 0 || !refuse_is_policy(why))
		return why;
	said = reasons(r);
	if (said.n > 0)
		r->detail = said;
	if (why == REFUSE_FACT_UNKNOWN || r->judged.decision.unknown)
		why = gate_settled(r) ? REFUSE_EVIDENCE_UNKNOWN : REFUSE_EVIDENCE_PENDING;
	if (said.n > 0 && r->authn.who->type != PRINCIPAL_ANONYMOUS)
		r->message = arena_printf(r->arena, "%s: %.*s", r->message != NULL ? r->message : refusal_of(why)->text, SPAN_FMT(said)).p;
	return why;
}

/* ---- blocks and grants ---- */

static void
on_changed(struct block_change *c)
{
	struct gate *g = (struct gate *)(void *)((char *)c - offsetof(struct gate, change));
	bool ok = c->ok;
	struct request *r = gate_back(g);

	if (r != NULL)
		g->changed(r, ok);
}

bool
gate_block(struct request *r, enum block_kind kind, struct span digest, unsigned kinds, const char *reason,
    void (*changed)(struct request *r, bool ok))
{
	struct gate *g = r->gate;
	struct block_change *c = &g->change;

	if (digest.n >= sizeof c->digest)
		return false;
	memcpy(c->digest, digest.p, digest.n);
	c->digest[digest.n] = '\0';
	c->kind = kind;
	c->kinds = kinds;
	c->reason = span_of(reason);
	c->now = r->time_us / 1000000;
	c->reply_to = r->worker->mailbox;
	c->done = on_changed;
	g->changed = changed;
	g->busy++;
	blocks_change(r->worker->gateway->blocks, c);
	return true;
}

static enum block_kind
stronger(enum block_kind a, enum block_kind b)
{
	return a > b ? a : b;
}

enum block_kind
gate_blocked(const struct request *r, struct span digest, const struct manifest *m)
{
	const struct blocks *b = r->worker->gateway->blocks;
	struct span registry = span_of(r->upstream_config->registry), repository = r->route.repository;
	enum block_kind found;

	if (!blocks_any(b))
		return BLOCK_NONE;
	found = blocks_find(b, registry, repository, digest);
	if (m == NULL)
		return found;
	for (size_t i = 0; i < m->n_children; i++)
		found = stronger(found, blocks_find(b, registry, repository, m->children[i].digest));
	if (m->config.digest.n > 0)
		found = stronger(found, blocks_find(b, registry, repository, m->config.digest));
	for (size_t i = 0; i < m->n_layers; i++)
		found = stronger(found, blocks_find(b, registry, repository, m->layers[i].digest));
	return found;
}

enum block_kind
gate_blob_blocked(struct request *r, struct span repository, struct span blob)
{
	struct gateway *gw = r->worker->gateway;
	struct span registry = span_of(r->upstream_config->registry);
	struct grant found[GRANTS_MAX];
	enum block_kind kind, all = BLOCK_NONE;
	bool known;
	size_t n;

	if (!blocks_any(gw->blocks))
		return BLOCK_NONE;
	kind = blocks_find(gw->blocks, registry, repository, blob);
	if (kind != BLOCK_NONE)
		return kind;
	n = grants_find(gw->grants, registry, repository, blob, found, &known);
	if (n == 0 && !known)
		return BLOCK_PENDING;	/* it may be of one that was pushed before the gateway was started */
	for (size_t i = 0; i < n; i++) {
		kind = blocks_find(gw->blocks, registry, repository, span_of(found[i].digest));
		if (kind == BLOCK_NONE)
			return BLOCK_NONE;
		all = stronger(all, kind);
	}
	return all;
}

void
gate_note(struct request *r, struct span tag, const struct manifest *m)
{
	grants_note(r->worker->gateway->grants, span_of(r->upstream_config->registry), r->route.repository, tag, m);
}
