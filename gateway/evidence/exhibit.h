/*
 * exhibit.h - inside of evidence: what one kind of evidence says about one digest, immutable, and what a dossier is made of.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_EXHIBIT_H
#define TW_EXHIBIT_H

#include "gateway/evidence/evidence.h"
#include "policy/image.h"
#include "policy/report.h"
#include "policy/signature/signature.h"

#define EXHIBIT_MEMORY	(256u << 20)	/* bound of one arena: a report of 64 MiB with its findings */
#define EXHIBIT_FOREVER INT64_MAX

/* What was learned. Filled by who makes it, then never changed but for its references. */
struct exhibit {
	_Atomic unsigned refs;
	enum evidence_kind kind;
	enum evidence_state state;	/* NONE, ERROR, UNSCANNABLE, FAIL, PASS; PENDING: a scanner says so */
	int64_t at, until;		/* seconds since the epoch: learned; to be made anew */
	char version[72];		/* digest of what it rests on: rules, scanners, trust; another one: make it anew */
	char why[160];
	struct arena *arena;		/* all below; NULL: nothing */
	size_t size;			/* bytes, about */
	/* of PASS and FAIL */
	const struct image_config *const *configs;	/* IMAGE */
	size_t n_configs;
	bool malware, secrets;				/* MALWARE */
	const struct report *const *reports;		/* REPORT */
	size_t n_reports;
	const struct signature_proof *proof;		/* SIGNATURES */
	/* the last one that was PASS or FAIL, when this one is neither; a reference */
	struct exhibit *good;
};

/* One reference, an arena. NULL: out of memory. */
struct exhibit *exhibit_new(enum evidence_kind kind, enum evidence_state state, int64_t at, int64_t until) WUNRES;
struct exhibit *exhibit_ref(struct exhibit *x) RETURNS_NONNULL NONNULL(1);
void exhibit_unref(struct exhibit *x);
static inline bool
exhibit_known(const struct exhibit *x)
{
	return x->state == STATE_PASS || x->state == STATE_FAIL;
}

/* What a dossier holds: private to it. */
struct dossier_facts {
	struct exhibit *of[EVIDENCE_KIND_MAX];	/* references; NULL: not looked for, or still under way and nothing known */
	struct setup *setup;			/* a reference: exemptions are its */
	char image[600];			/* upstream/repository */
};

/*
 * Of what there is: of[] are borrowed (a reference is taken). stale: the kinds whose exhibit is not there, or not good any more. NULL:
 * out of memory.
 */
struct dossier *dossier_new(const char *digest, struct setup *s, const struct config_upstream *u, struct span repository, unsigned kinds,
    struct exhibit *const of[static EVIDENCE_KIND_MAX], unsigned stale, int64_t now) NONNULL(1, 2, 3) WUNRES;

/* To be kept and back: what dossier_tell() needs. NULL: out of memory, or not what exhibit_save() made. */
char *exhibit_save(const struct exhibit *x) NONNULL(1) WUNRES;
struct exhibit *exhibit_load(enum evidence_kind kind, enum evidence_state state, struct span text) WUNRES;

#endif
