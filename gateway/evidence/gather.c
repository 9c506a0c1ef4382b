/*
 * gather.c - one kind of evidence about one digest: from what is kept, or from the registry and those who look at it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/parts.h"
#include "policy/hash.h"

#define GATHER_MEMORY ((size_t)64 << 20)

/* ---- what it rests on ---- */

static uint64_t
mix(uint64_t h, const char *text)
{
	return hash_mix(h ^ hash_span(span_of(text)));
}

bool
version_of(const struct setup *s, const struct config_upstream *u, enum evidence_kind kind, char out[static 72])
{
	const struct config *c = s->config;
	const struct engine *engine;
	uint64_t h = HASH_START;

	switch (kind) {
	case EVIDENCE_IMAGE:
		break;
	case EVIDENCE_MALWARE:
		engine = module_engine(c);
		if (engine == NULL)
			return false;
		h = mix(h, module_engine_version(engine));
		break;
	case EVIDENCE_REPORT:
		if (u->n_scanners == 0)
			return false;
		for (size_t i = 0; i < u->n_scanners; i++)
			h = mix(h, u->scanners[i]);
		for (size_t i = 0; i < c->n_scanner; i++)
			h = mix(mix(h, c->scanner[i].alias), c->scanner[i].url == NULL ? "" : c->scanner[i].url);
		break;
	case EVIDENCE_SIGNATURES:
		if (!module_trust(c, &h))
			return false;
		break;
	case EVIDENCE_KIND_MAX:
		return false;
	}
	snprintf(out, 72, "%016" PRIx64, h);
	return true;
}

/* ---- how it ends ---- */

static int64_t
until_of(const struct gathering *g, enum evidence_state state, int64_t now)
{
	const struct config *c = g->setup->config;

	switch (state) {
	case STATE_PASS:
		/* the bytes of a digest never change */
		if (g->kind == EVIDENCE_IMAGE)
			return EXHIBIT_FOREVER;
		return now + (g->kind == EVIDENCE_SIGNATURES ? c->evidence.signatures_fresh : c->evidence.fresh);
	case STATE_FAIL:
	case STATE_UNSCANNABLE:
		return now + (g->kind == EVIDENCE_SIGNATURES ? c->evidence.signatures_fresh : c->evidence.fresh);
	case STATE_NONE:
	case STATE_PENDING:
	case STATE_ERROR:
	case STATE_STALE:
		break;
	}
	return now + c->evidence.retry;
}

struct exhibit *
gathering_fail(struct gathering *g, enum evidence_state state, const char *fmt, ...)
{
	int64_t now = time(NULL);
	struct exhibit *x = exhibit_new(g->kind, state, now, until_of(g, state, now));
	va_list args;

	if (x == NULL)
		return NULL;
	va_start(args, fmt);
	vsnprintf(x->why, sizeof x->why, fmt, args);
	va_end(args);
	return x;
}

struct exhibit *
gathering_unreached(struct gathering *g, enum pull_outcome outcome, const char *what, const char *err)
{
	return gathering_fail(g, outcome == PULL_TOO_LARGE ? STATE_UNSCANNABLE : STATE_ERROR, "%s: %s", what, err);
}

struct exhibit *
gathering_known(struct gathering *g, enum evidence_state state)
{
	struct exhibit *x = gathering_fail(g, state, "%s", "");

	if (x != NULL)
		x->arena = arena_new(EXHIBIT_MEMORY);
	if (x == NULL || x->arena == NULL) {
		exhibit_unref(x);
		return NULL;
	}
	return x;
}

static void
finish(struct gathering *g, struct exhibit *x)
{
	subject_learned(g->evidence, g, x);
	exhibit_unref(g->good);
	reach_clear(&g->reach);
	text_unref(g->text);
	arena_free(g->arena);
	setup_unref(g->setup);
	free(g);
}

void
gathering_end(struct gathering *g, struct exhibit *x)
{
	if (x != NULL) {
		memcpy(x->version, g->version, sizeof x->version);
		if (x->arena != NULL)
			x->size = arena_used(x->arena);
		if (!exhibit_known(x) && g->good != NULL)
			x->good = exhibit_ref(g->good);
		outcome_tell(g, x);
		if (exhibit_known(x) || x->state == STATE_UNSCANNABLE)
			keep_put(g->evidence, g->subject, x);
	}
	finish(g, x);
}

/* ---- manifests ---- */

static bool
read_manifest(struct gathering *g, struct span bytes, struct span media_type, struct arena *a, struct manifest *m,
    struct exhibit **failed)
{
	char err[160];

	if (manifest_read(bytes, media_type, a, m, err, sizeof err))
		return true;
	*failed = gathering_fail(g, arena_failed(a) ? STATE_ERROR : STATE_UNSCANNABLE, "the manifest: %s", err);
	return false;
}

bool
gathering_manifest(struct gathering *g, struct manifest *m, struct exhibit **failed)
{
	struct span bytes, media_type;
	enum pull_outcome outcome;
	char err[160], digest[72];

	if (g->text != NULL) {
		bytes = (struct span){ g->text->bytes, g->text->n };
		media_type = (struct span){ g->text->bytes + g->text->n, g->text->type_n };
		digest_sha256(bytes, digest);
		if (strcmp(digest, g->subject->digest) == 0)
			return read_manifest(g, bytes, media_type, g->arena, m, failed);
	}
	outcome = reach_get(&g->reach, "manifests/", span_of(g->subject->digest), 0, EVIDENCE_MANIFEST, g->arena, &bytes, &media_type, err,
	    sizeof err);
	if (outcome == PULL_OK)
		return read_manifest(g, bytes, media_type, g->arena, m, failed);
	*failed = gathering_unreached(g, outcome, "the manifest", err);
	return false;
}

bool
gathering_child(struct gathering *g, const struct descriptor *d, struct arena *a, struct manifest *m, struct exhibit **failed)
{
	struct span bytes, media_type;
	enum pull_outcome outcome;
	char err[160];

	outcome = reach_get(&g->reach, "manifests/", d->digest, (uint64_t)d->size, EVIDENCE_MANIFEST, a, &bytes, &media_type, err, sizeof err);
	if (outcome != PULL_OK) {
		*failed = gathering_unreached(g, outcome, "a manifest of the index", err);
		return false;
	}
	if (!read_manifest(g, bytes, media_type, a, m, failed))
		return false;
	if (m->kind != MANIFEST_INDEX)
		return true;
	*failed = gathering_fail(g, STATE_UNSCANNABLE, "an index in an index");
	return false;
}

bool
child_attests(const struct descriptor *d)
{
	return span_eq(d->os, SPAN("unknown")) && span_eq(d->architecture, SPAN("unknown"));
}

bool
config_is_image(const struct manifest *m)
{
	return span_eq(m->config.media_type, SPAN("application/vnd.oci.image.config.v1+json")) ||
	    span_eq(m->config.media_type, SPAN("application/vnd.docker.container.image.v1+json"));
}

/* ---- images ---- */

/* The config of one image, into the exhibit. */
static bool
add_config(struct gathering *g, const struct manifest *m, struct exhibit *x, const struct image_config **out, struct exhibit **failed)
{
	struct image_config *c = arena_zalloc(x->arena, 1, sizeof *c);
	enum pull_outcome outcome;
	struct span bytes;
	char err[160];

	outcome = reach_get(&g->reach, "blobs/", m->config.digest, (uint64_t)m->config.size, IMAGE_CONFIG_MAX, x->arena, &bytes, NULL, err,
	    sizeof err);
	if (outcome != PULL_OK || c == NULL) {
		*failed = gathering_unreached(g, outcome, "the config", err);
		return false;
	}
	if (!module_config_read(bytes, x->arena, c, err, sizeof err)) {
		*failed = gathering_fail(g, arena_failed(x->arena) ? STATE_ERROR : STATE_UNSCANNABLE, "the config: %s", err);
		return false;
	}
	*out = c;
	return true;
}

static struct exhibit *
image_gather(struct gathering *g)
{
	struct exhibit *x = gathering_known(g, STATE_PASS), *failed = NULL;
	const struct image_config **configs;
	struct manifest m, child;

	if (x == NULL || !gathering_manifest(g, &m, &failed))
		goto fail;
	if (m.kind == MANIFEST_INDEX && m.n_children > EVIDENCE_CHILDREN) {
		failed = gathering_fail(g, STATE_UNSCANNABLE, "an index of more than %u manifests", EVIDENCE_CHILDREN);
		goto fail;
	}
	configs = arena_zalloc(x->arena, m.kind == MANIFEST_INDEX ? m.n_children + 1 : 1, sizeof *configs);
	if (configs == NULL)
		goto fail;
	if (m.kind != MANIFEST_INDEX && !add_config(g, &m, x, &configs[x->n_configs++], &failed))
		goto fail;
	for (size_t i = 0; m.kind == MANIFEST_INDEX && i < m.n_children; i++) {
		if (child_attests(&m.children[i]))
			continue;
		if (!gathering_child(g, &m.children[i], g->arena, &child, &failed) ||
		    !add_config(g, &child, x, &configs[x->n_configs++], &failed))
			goto fail;
	}
	x->configs = configs;
	return x;
fail:
	exhibit_unref(x);
	return failed;
}

/* ---- one of them ---- */

/* What was kept by an earlier run, or by another gateway. */
static bool
is_kept(struct gathering *g)
{
	struct exhibit *x = g->good == NULL ? keep_find(g->evidence, g->subject, g->kind) : NULL;

	if (x == NULL)
		return false;
	if (strcmp(x->version, g->version) == 0 && time(NULL) < x->until) {
		finish(g, x);
		return true;
	}
	if (exhibit_known(x))
		g->good = exhibit_ref(x);
	else if (x->good != NULL)
		g->good = exhibit_ref(x->good);
	exhibit_unref(x);
	return false;
}

void
gathering_run(struct job *j, struct hand *h)
{
	struct gathering *g = (struct gathering *)(void *)j;
	struct exhibit *x = NULL;

	g->arena = arena_new(GATHER_MEMORY);
	if (h == NULL || g->arena == NULL) {
		gathering_end(g, gathering_fail(g, STATE_ERROR, h == NULL ? "the gateway stops" : "out of memory"));
		return;
	}
	g->reach = (struct reach){ .hand = h, .setup = g->setup, .upstream = g->upstream, .repository = g->subject->repository };
	if (is_kept(g))
		return;
	switch (g->kind) {
	case EVIDENCE_IMAGE:
		x = image_gather(g);
		break;
	case EVIDENCE_MALWARE:
		malware_gather(g);
		return;
	case EVIDENCE_REPORT:
		x = module_report(g);
		break;
	case EVIDENCE_SIGNATURES:
		x = module_signatures(g);
		break;
	case EVIDENCE_KIND_MAX:
		break;
	}
	gathering_end(g, x != NULL ? x : gathering_fail(g, STATE_ERROR, "out of memory"));
}
