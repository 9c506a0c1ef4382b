/*
 * signature.c - what may be a signature by its shape; all artifacts of one image; what policy is told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/signature/signature.h"

#include <stdio.h>

#include "policy/key.h"
#include "policy/signature/parts.h"

#define SMALL	   (1 << 20)
#define CONFIG_MAX (64 << 10)
#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))

/* ---- shapes ---- */

#define IMAGE_CONFIG  "application/vnd.oci.image.config.v1+json"
#define DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define EMPTY_CONFIG  "application/vnd.oci.empty.v1+json"

/* Layer types, the configs and artifact types that come with them, and sizes. NULL: none. */
static const struct shape {
	enum signature_shape shape;
	const char *layer;
	const char *artifact;	/* its own artifactType, or type of config */
	int64_t max;		/* bytes of a layer */
	bool one;		/* exactly one layer */
	bool named;		/* must say artifact */
} shapes[] = {
	{ SIGNATURE_COSIGN, "application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dev.cosign.artifact.sig.v1+json", SMALL,
	    false, false },
	{ SIGNATURE_COSIGN_ATTESTATION, "application/vnd.dsse.envelope.v1+json", "application/vnd.dev.cosign.artifact.att.v1+json",
	    SIGNATURE_PAYLOAD, false, false },
	{ SIGNATURE_BUNDLE, "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle.v0.3+json",
	    SIGNATURE_PAYLOAD, true, true },
	{ SIGNATURE_NOTATION, "application/jose+json", "application/vnd.cncf.notary.signature", SMALL, true, true },
	{ SIGNATURE_NOTATION, "application/cose", "application/vnd.cncf.notary.signature", SMALL, true, true },
#define SBOM(type) { SIGNATURE_SBOM, type, type, SIGNATURE_PAYLOAD, true, false }
	SBOM("application/spdx+json"),
	SBOM("text/spdx"),
	SBOM("text/spdx+json"),
	SBOM("text/spdx+xml"),
	SBOM("application/vnd.cyclonedx"),
	SBOM("application/vnd.cyclonedx+json"),
	SBOM("application/vnd.cyclonedx+xml"),
	SBOM("application/vnd.syft+json"),
#undef SBOM
};

static bool
has_shape(const struct shape *s, const struct manifest *m)
{
	struct span type = m->config.media_type, own = span_of(s->artifact);
	bool named = span_eq(m->artifact_type, own) || span_eq(type, own);

	if ((s->one && m->n_layers != 1) || (s->named && !named))
		return false;
	if (m->artifact_type.n > 0 && !span_eq(m->artifact_type, own))
		return false;
	if (!span_eq(type, own) && !span_eq(type, SPAN(EMPTY_CONFIG)) &&
	    (s->named || (!span_eq(type, SPAN(IMAGE_CONFIG)) && !span_eq(type, SPAN(DOCKER_CONFIG)))))
		return false;
	for (size_t i = 0; i < m->n_layers; i++)
		if (!span_eq(m->layers[i].media_type, span_of(s->layer)) || m->layers[i].size > s->max || m->layers[i].has_urls)
			return false;
	return true;
}

enum signature_shape
signature_shape_of(const struct manifest *m)
{
	if (m->kind != MANIFEST_IMAGE || m->n_layers == 0 || m->config.size > CONFIG_MAX || m->config.has_urls)
		return SIGNATURE_NONE;
	for (size_t i = 0; i < COUNT(shapes); i++)
		if (has_shape(&shapes[i], m))
			return shapes[i].shape;
	return SIGNATURE_NONE;
}

bool
signature_may_be(struct span artifact_type)
{
	/* of a manifest without artifactType a list says the type of its config */
	if (artifact_type.n == 0 || span_eq(artifact_type, SPAN(IMAGE_CONFIG)) || span_eq(artifact_type, SPAN(EMPTY_CONFIG)))
		return true;
	for (size_t i = 0; i < COUNT(shapes); i++)
		if (span_eq(artifact_type, span_of(shapes[i].artifact)))
			return true;
	return false;
}

/* ---- votes counted ---- */

/* Different voters of a trust about one thing. */
static size_t
voters(const struct review *r, const struct vote *like)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_votes; i++) {
		const struct vote *v = &r->votes[i];
		bool again = v->trust != like->trust || !span_eq(v->type, like->type);

		for (size_t k = 0; !again && k < i; k++)
			again = r->votes[k].trust == v->trust && span_eq(r->votes[k].type, v->type) && span_eq(r->votes[k].voter, v->voter) &&
			    span_eq(r->votes[k].issuer, v->issuer);
		n += !again;
	}
	return n;
}

static void
add(struct span *list, size_t *n, struct span s)
{
	if (s.n == 0)
		return;
	for (size_t i = 0; i < *n; i++)
		if (span_eq(list[i], s))
			return;
	list[(*n)++] = s;
}

static void
ends(struct signature_proof *p, int64_t until)
{
	if (until != 0 && (p->until == 0 || until < p->until))
		p->until = until;
}

static bool
count_vote(struct review *r, const struct vote *v, struct signature_proof *p)
{
	struct span name;

	ends(p, v->until);
	if (v->type.n > 0) {
		add(p->types, &p->n_types, v->type);
		add(p->builders, &p->n_builders, v->builder);
		if (v->level > p->slsa_level)
			p->slsa_level = v->level;
		p->sbom_signed = p->sbom_signed || v->sbom;
		return true;
	}
	p->status = SIG_VERIFIED;
	if (!v->by_key) {
		add(p->identities, &p->n_identities, v->voter);
		add(p->issuers, &p->n_issuers, v->issuer);
		return true;
	}
	name = arena_printf(r->arena, "%s/%.*s", v->trust->alias, SPAN_FMT(v->voter));
	add(p->keys, &p->n_keys, arena_dup(r->arena, span_of(v->trust->alias)));
	add(p->keys, &p->n_keys, name);
	return name.n > 0;
}

static bool
count(struct review *r, struct signature_proof *p)
{
	size_t room = 2 * r->n_votes + 1;
	bool ok = true;

	p->keys = arena_zalloc(r->arena, room, sizeof *p->keys);
	p->identities = arena_zalloc(r->arena, room, sizeof *p->identities);
	p->issuers = arena_zalloc(r->arena, room, sizeof *p->issuers);
	p->types = arena_zalloc(r->arena, room, sizeof *p->types);
	p->builders = arena_zalloc(r->arena, room, sizeof *p->builders);
	if (arena_failed(r->arena))
		return false;
	for (size_t t = 0; t < r->n_good; t++) {
		for (size_t i = 0; i < r->n_votes; i++) {
			const struct vote *v = &r->votes[i];
			size_t n = v->trust == r->good[t] ? voters(r, v) : 0;

			if (v->trust != r->good[t])
				continue;
			if (n >= v->trust->threshold)
				ok = count_vote(r, v, p) && ok;
			else
				miss(r, NEAR_THRESHOLD, v->trust, "%zu of the %u that must sign", n, v->trust->threshold);
		}
	}
	return ok;
}

/* ---- all artifacts ---- */

static bool
is_signature(enum signature_shape s)
{
	return s == SIGNATURE_COSIGN || s == SIGNATURE_NOTATION;
}

static void
judge_artifact(struct review *r, const struct signature_artifact *x, enum signature_shape shape)
{
	switch (shape) {
	case SIGNATURE_COSIGN:
	case SIGNATURE_COSIGN_ATTESTATION:
		cosign_judge(r, x);
		return;
	case SIGNATURE_BUNDLE:
		bundle_judge(r, x);
		return;
	case SIGNATURE_NOTATION:
		notation_judge(r, x);
		return;
	case SIGNATURE_SBOM:
	case SIGNATURE_NONE:
		return;
	}
}

/* NULL: as many as may be. */
static const char *
too_many(const struct signature_ask *q)
{
	if (q->n > SIGNATURE_ARTIFACTS)
		return "more than 32 artifacts are attached";
	for (size_t i = 0; i < q->n; i++)
		if (q->artifacts[i].manifest->n_layers > SIGNATURE_ARTIFACTS && signature_shape_of(q->artifacts[i].manifest) != SIGNATURE_NONE)
			return "an artifact with more than 32 signatures";
	return NULL;
}

static bool
set_up(struct review *r, const struct trust *t)
{
	r->good = arena_zalloc(r->arena, t->n + 1, sizeof *r->good);
	r->votes = arena_zalloc(r->arena, VOTES_MAX, sizeof *r->votes);
	if (r->good == NULL || r->votes == NULL)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (glob_any(t->rows[i].repositories, t->rows[i].n_repositories, r->ask->image))
			r->good[r->n_good++] = &t->rows[i];
	return true;
}

static void
conclude(const struct review *r, bool claimed, struct signature_proof *p)
{
	if (r->too_many) {
		p->status = SIG_ERROR;
		snprintf(p->why, sizeof p->why, "too many signatures");
	} else if (p->status != SIG_VERIFIED && (claimed || r->near != NEAR_NOT)) {
		p->status = SIG_UNTRUSTED;
		snprintf(p->why, sizeof p->why, "%s", r->n_good == 0 ? "no trust is configured for this repository" : r->why);
	} else if (p->status != SIG_VERIFIED) {
		p->status = SIG_UNSIGNED;
		snprintf(p->why, sizeof p->why, "%s", p->n_types > 0 ? "no signature, attestations only" : "no signature");
	}
}

bool
signature_verify(const struct trust *t, const struct signature_ask *q, struct arena *a, struct signature_proof *out)
{
	struct review r = { .trust = t, .ask = q, .arena = a };
	const char *why = too_many(q);
	bool claimed = false;

	memset(out, 0, sizeof *out);
	out->slsa_level = -1;
	if (why != NULL || !digest_bytes(span_of(q->digest), r.digest)) {
		snprintf(out->why, sizeof out->why, "%s", why != NULL ? why : "no sha256 digest");
		return true;
	}
	out->status = SIG_UNSIGNED;
	if (!set_up(&r, t))
		return false;
	for (size_t i = 0; i < q->n; i++) {
		enum signature_shape shape = signature_shape_of(q->artifacts[i].manifest);

		claimed = claimed || is_signature(shape);
		out->sbom = out->sbom || shape == SIGNATURE_SBOM;
		if (r.n_good > 0)
			judge_artifact(&r, &q->artifacts[i], shape);
		else
			claimed = claimed || shape == SIGNATURE_BUNDLE;
	}
	if (!count(&r, out) || arena_failed(a))
		return false;
	out->sbom = out->sbom || out->sbom_signed;
	conclude(&r, claimed, out);
	return true;
}

/* ---- facts ---- */

static void
tell_many(struct fact *f, const struct span *values, size_t n)
{
	*f = n == 0 ? (struct fact){ .state = FACT_ABSENT } : (struct fact){ .state = FACT_PRESENT, .values = values, .n_values = n };
}

bool
signature_tell(const struct signature_proof *p, struct arena *a, struct fact facts[static KEY_MAX])
{
	struct span level = p->slsa_level < 0 ? SPAN_NONE : arena_printf(a, "%d", p->slsa_level);

	facts[KEY_SIG_STATUS] = (struct fact){ .state = FACT_PRESENT, .value = span_of(status_name(p->status)) };
	tell_many(&facts[KEY_SIG_KEYS], p->keys, p->n_keys);
	tell_many(&facts[KEY_SIG_IDENTITIES], p->identities, p->n_identities);
	tell_many(&facts[KEY_SIG_ISSUERS], p->issuers, p->n_issuers);
	tell_many(&facts[KEY_ATTEST_TYPES], p->types, p->n_types);
	tell_many(&facts[KEY_ATTEST_BUILDER_IDS], p->builders, p->n_builders);
	facts[KEY_ATTEST_SLSA_LEVEL] = (struct fact){ .state = p->slsa_level < 0 ? FACT_ABSENT : FACT_PRESENT, .value = level };
	facts[KEY_SBOM_PRESENT] = (struct fact){ .state = FACT_PRESENT, .value = p->sbom ? SPAN("true") : SPAN("false") };
	return p->slsa_level < 0 || level.n > 0;
}
