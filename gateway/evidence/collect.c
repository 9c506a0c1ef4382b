/*
 * collect.c - the signatures and attestations that are attached to a digest, fetched and verified.
 *
 * Where they are: the referrers API; where the registry has none, the index under sha256-<hex>; and cosign's tags .sig, .att and
 * .sbom. Invariant: what is not there is a 404, and nothing else is. Anything that could not be learned is an error: a registry that
 * is down does not make an image unsigned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/evidence/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/grants.h"
#include "gateway/evidence/parts.h"

#define COLLECT_MEMORY	((size_t)256 << 20)
#define COLLECT_BYTES	((int64_t)48 << 20)	/* of all artifacts of one image */
#define PARENTS_MAX	4u			/* indexes that list it and are looked at */
#define REFERRER_PAGES	16u
#define REFERRERS_MAX	1024u			/* of all kinds; most are none of ours */

struct found {		/* what is attached to one digest */
	struct gathering *g;
	struct arena *arena;
	const char *digest;
	struct signature_artifact artifact[SIGNATURE_ARTIFACTS];
	size_t n;
	int64_t bytes;
	struct exhibit *failed;		/* what it ends with: it could not be learned */
};

/* Always false. */
static bool
give_up(struct found *f, struct exhibit *x)
{
	exhibit_unref(f->failed);
	f->failed = x;
	return false;
}

static bool
is_blocked(const struct found *f, struct span digest)
{
	const struct subject *s = f->g->subject;

	return blocks_find(f->g->evidence->env.blocks, s->registry, s->repository, digest) != BLOCK_NONE;
}

/* ---- one artifact ---- */

/* Its layers; false after give_up(). *there: all of them are. */
static bool
fetch_layers(struct found *f, struct signature_artifact *x, bool *there)
{
	const struct manifest *m = x->manifest;
	struct span *layers = arena_zalloc(f->arena, m->n_layers, sizeof *layers);
	enum pull_outcome outcome;
	char err[160];

	*there = false;
	x->layers = layers;
	if (layers == NULL)
		return give_up(f, NULL);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct descriptor *d = &m->layers[i];

		if (is_blocked(f, d->digest))
			return true;
		f->bytes += d->size;
		if (f->bytes > COLLECT_BYTES)
			return give_up(f, gathering_fail(f->g, STATE_ERROR, "signatures and attestations of more than 48 MiB"));
		outcome = reach_get(&f->g->reach, "blobs/", d->digest, (uint64_t)d->size, (uint64_t)d->size, f->arena, &layers[i], NULL, err,
		    sizeof err);
		if (outcome == PULL_ABSENT)
			return true;
		if (outcome != PULL_OK)
			return give_up(f, gathering_fail(f->g, STATE_ERROR, "a signature's layer: %s", err));
	}
	*there = true;
	return true;
}

/* A manifest that may be an artifact; false after give_up(). */
static bool
add(struct found *f, struct span bytes, struct span media_type, bool by_tag)
{
	struct manifest *m = arena_zalloc(f->arena, 1, sizeof *m);
	struct signature_artifact x = { .bytes = bytes, .manifest = m, .by_tag = by_tag };
	char err[160];
	bool there;

	if (m == NULL)
		return give_up(f, NULL);
	if (!manifest_read(bytes, media_type, f->arena, m, err, sizeof err) || signature_shape_of(m) == SIGNATURE_NONE)
		return true;
	/* what says that it is about another one is none of this one's, wherever it stands */
	if (m->has_subject ? !span_eq(m->subject.digest, span_of(f->digest)) : !by_tag)
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->artifact[i].manifest->digest, m->digest) == 0)
			return true;
	if (f->n == SIGNATURE_ARTIFACTS)
		return give_up(f, gathering_fail(f->g, STATE_ERROR, "more than %u signatures and attestations", SIGNATURE_ARTIFACTS));
	if (is_blocked(f, span_of(m->digest)))
		return true;
	if (!fetch_layers(f, &x, &there))
		return false;
	if (there)
		f->artifact[f->n++] = x;
	return true;
}

/* ---- referrers ---- */

static bool
add_referrers(struct found *f, const struct manifest *index)
{
	struct span bytes, media_type;
	enum pull_outcome outcome;
	char err[160];

	for (size_t i = 0; i < index->n_children; i++) {
		const struct descriptor *d = &index->children[i];

		if (!signature_may_be(d->artifact_type) || is_blocked(f, d->digest))
			continue;
		outcome = reach_get(&f->g->reach, "manifests/", d->digest, (uint64_t)d->size, EVIDENCE_MANIFEST, f->arena, &bytes, &media_type,
		    err, sizeof err);
		if (outcome == PULL_ABSENT)
			continue;
		if (outcome != PULL_OK)
			return give_up(f, gathering_fail(f->g, STATE_ERROR, "a signature: %s", err));
		if (!add(f, bytes, media_type, false))
			return false;
	}
	return true;
}

/* All of a pull, and the query of the next page. */
static enum pull_outcome
read_page(struct found *f, const struct pull_ask *q, struct span *bytes, struct span *type, char next[static 512], char *err, size_t size)
{
	struct pull *t;
	enum pull_outcome outcome = pull_open(f->g->reach.hand->puller, q, &t, err, size);
	const char *p;
	size_t n = 0;
	char *all;
	long got;

	next[0] = '\0';
	if (outcome != PULL_OK)
		return outcome;
	all = arena_alloc(f->arena, EVIDENCE_MANIFEST);
	snprintf(err, size, "out of memory");
	outcome = all == NULL ? PULL_FAILED : PULL_OK;
	while (outcome == PULL_OK && (got = pull_read(t, &p, err, size)) != 0) {
		if (got < 0)
			outcome = pull_outcome(t);
		else if ((size_t)got > EVIDENCE_MANIFEST - n)
			outcome = PULL_TOO_LARGE;
		else {
			memcpy(all + n, p, (size_t)got);
			n += (size_t)got;
		}
	}
	if (outcome == PULL_OK && strlen(pull_next(t)) >= 512) {
		snprintf(err, size, "the next page has too long a name");
		outcome = PULL_FAILED;
	} else if (outcome == PULL_OK) {
		snprintf(next, 512, "%s", pull_next(t));
		*type = arena_dup(f->arena, span_of(pull_content_type(t)));
		*bytes = (struct span){ all, n };
	}
	pull_close(t);
	return outcome;
}

/* *absent: the registry has no such API. False after give_up(). */
static bool
from_api(struct found *f, bool *absent)
{
	struct span bytes, type;
	enum pull_outcome outcome;
	char path[640], next[512] = "", err[160];
	struct manifest m;
	struct pull_ask q;
	size_t listed = 0;

	*absent = false;
	for (unsigned page = 0; page < REFERRER_PAGES; page++) {
		snprintf(path, sizeof path, "referrers/%s%s%s", f->digest, next[0] == '\0' ? "" : "?", next);
		reach_ask(&f->g->reach, &q, path, NULL, 0, EVIDENCE_MANIFEST);
		q.accept = "application/vnd.oci.image.index.v1+json";
		outcome = read_page(f, &q, &bytes, &type, next, err, sizeof err);
		if (outcome == PULL_ABSENT && page == 0) {
			*absent = true;
			return true;
		}
		if (outcome != PULL_OK)
			return give_up(f, gathering_fail(f->g, STATE_ERROR, "its referrers: %s", err));
		if (!manifest_read(bytes, type, f->arena, &m, err, sizeof err) || m.kind != MANIFEST_INDEX)
			return give_up(f, gathering_fail(f->g, STATE_ERROR, "its referrers: %s", m.kind == MANIFEST_IMAGE ? "no index" : err));
		listed += m.n_children;
		if (listed > REFERRERS_MAX)
			break;
		if (!add_referrers(f, &m))
			return false;
		if (next[0] == '\0')
			return true;
	}
	return give_up(f, gathering_fail(f->g, STATE_ERROR, "more than %u referrers", REFERRERS_MAX));
}

/* ---- tags ---- */

/* sha256-<hex> and the suffix; false after give_up(). *bytes: {NULL,0} when it is not there. */
static bool
get_tag(struct found *f, const char *suffix, struct span *bytes, struct span *type)
{
	char path[128], err[160];
	enum pull_outcome outcome;
	struct pull_ask q;

	snprintf(path, sizeof path, "manifests/sha256-%s%s", f->digest + strlen("sha256:"), suffix);
	reach_ask(&f->g->reach, &q, path, NULL, 0, EVIDENCE_MANIFEST);
	q.accept = manifest_accept;
	*bytes = SPAN_NONE;
	outcome = pull_whole(f->g->reach.hand->puller, &q, f->arena, bytes, type, err, sizeof err);
	if (outcome == PULL_OK)
		return true;
	*bytes = SPAN_NONE;
	return outcome == PULL_ABSENT || give_up(f, gathering_fail(f->g, STATE_ERROR, "tag sha256-...%s: %s", suffix, err));
}

static bool
from_tag(struct found *f, const char *suffix)
{
	struct span bytes, type;

	return get_tag(f, suffix, &bytes, &type) && (bytes.p == NULL || add(f, bytes, type, true));
}

static bool
from_index_tag(struct found *f)
{
	struct span bytes, type;
	struct manifest m;
	char err[160];

	if (!get_tag(f, "", &bytes, &type))
		return false;
	if (bytes.p == NULL)
		return true;
	/* somebody's tag of that name that is no index: it lists nothing */
	if (!manifest_read(bytes, type, f->arena, &m, err, sizeof err) || m.kind != MANIFEST_INDEX)
		return true;
	return add_referrers(f, &m);
}

static bool
collect(struct found *f)
{
	bool absent;

	return from_api(f, &absent) && (!absent || from_index_tag(f)) && from_tag(f, ".sig") && from_tag(f, ".att") && from_tag(f, ".sbom");
}

/* ---- verified ---- */

static bool
verify(struct found *f, int64_t now, struct signature_proof *out)
{
	const struct config *c = f->g->setup->config;
	char image[600];
	struct signature_ask q = { .digest = f->digest, .now = now, .artifacts = f->artifact, .n = f->n };

	snprintf(image, sizeof image, "%s/%.*s", f->g->upstream->alias, SPAN_FMT(f->g->subject->repository));
	q.image = span_of(image);
	return signature_verify(c->trust_store, &q, f->arena, out) || give_up(f, NULL);
}

static struct exhibit *
exhibit_of(struct gathering *g, const struct signature_proof *p)
{
	struct exhibit *x;
	struct signature_proof *kept;
	json_t *o;

	if (p->status == SIG_ERROR)
		return gathering_fail(g, STATE_ERROR, "%s", p->why);
	x = gathering_known(g, p->status == SIG_VERIFIED ? STATE_PASS : STATE_FAIL);
	if (x == NULL)
		return NULL;
	memcpy(x->why, p->why, sizeof x->why);
	if (p->until != 0 && p->until < x->until)
		x->until = p->until;
	/* out of the arena with all payloads, by the way that it would take to the disk and back */
	o = signature_save(p);
	kept = arena_zalloc(x->arena, 1, sizeof *kept);
	if (o == NULL || kept == NULL || !signature_load(o, x->arena, kept)) {
		exhibit_unref(x);
		x = NULL;
	} else
		x->proof = kept;
	json_decref(o);
	return x;
}

/* All that is attached to this digest. False after give_up(). */
static bool
look(struct found *f, const char *digest, struct signature_proof *out)
{
	f->digest = digest;
	f->n = 0;
	f->bytes = 0;
	return collect(f) && verify(f, (int64_t)time(NULL), out);
}

/* Does it list the subject? False after give_up(). */
static bool
is_parent(struct found *f, const struct grant *parent, bool *lists)
{
	struct span bytes, media_type;
	enum pull_outcome outcome;
	struct manifest m;
	char err[160];

	*lists = false;
	if (is_blocked(f, span_of(parent->digest)))
		return true;
	outcome = reach_get(&f->g->reach, "manifests/", span_of(parent->digest), 0, EVIDENCE_MANIFEST, f->arena, &bytes, &media_type, err,
	    sizeof err);
	if (outcome == PULL_ABSENT)
		return true;
	if (outcome != PULL_OK)
		return give_up(f, gathering_fail(f->g, STATE_ERROR, "the index that lists it: %s", err));
	if (!manifest_read(bytes, media_type, f->arena, &m, err, sizeof err) || m.kind != MANIFEST_INDEX)
		return true;
	for (size_t i = 0; i < m.n_children; i++)
		*lists = *lists || span_eq(m.children[i].digest, span_of(f->g->subject->digest));
	return true;
}

/* A signature of an index is one of what it lists. Only those are known that went through here. False after give_up(). */
static bool
look_at_parents(struct found *f, struct signature_proof *p)
{
	const struct subject *s = f->g->subject;
	struct grant found[GRANTS_MAX];
	struct signature_proof other;
	bool known, lists;
	size_t n;

	if (f->g->evidence->env.grants == NULL)
		return true;
	n = grants_find(f->g->evidence->env.grants, s->registry, s->repository, span_of(s->digest), found, &known);
	for (size_t i = 0; i < n && i < PARENTS_MAX && p->status != SIG_VERIFIED; i++) {
		if (!is_parent(f, &found[i], &lists) || (lists && !look(f, found[i].digest, &other)))
			return false;
		if (lists && other.status == SIG_VERIFIED)
			*p = other;
	}
	return true;
}

struct exhibit *
collect_signatures(struct gathering *g)
{
	struct found *f = calloc(1, sizeof *f);
	struct signature_proof p;
	struct exhibit *x = NULL;

	if (f == NULL)
		return NULL;
	f->g = g;
	f->arena = arena_new(COLLECT_MEMORY);
	if (f->arena != NULL && look(f, g->subject->digest, &p) &&
	    (p.status == SIG_VERIFIED || p.status == SIG_ERROR || look_at_parents(f, &p)))
		x = exhibit_of(g, &p);
	else
		x = f->failed;
	arena_free(f->arena);
	free(f);
	return x;
}
