/*
 * dossier.c - exhibits, and the dossier made of them: facts for policy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/evidence/modules.h"
#include "policy/key.h"

/* ---- names ---- */

const char *
evidence_kind_name(enum evidence_kind k)
{
	static const char *const names[] = {
#define X(symbol, name) [EVIDENCE_##symbol] = name,
		EVIDENCE_KINDS(X)
#undef X
	};

	return names[k];
}

const char *
evidence_state_name(enum evidence_state s)
{
	static const char *const names[] = {
		[STATE_NONE] = "none",
		[STATE_PENDING] = "pending",
		[STATE_ERROR] = "error",
		[STATE_UNSCANNABLE] = "unscannable",
		[STATE_STALE] = "stale",
		[STATE_FAIL] = "fail",
		[STATE_PASS] = "pass",
	};

	return names[s];
}

/* ---- which keys are of which kind ---- */

#define BIT(k) (1u << EVIDENCE_##k)

/* 0: of another phase, or nobody here knows it. */
static unsigned
kinds_of_key(enum policy_key k)
{
	const char *name;

	switch ((int)k) {
	case KEY_SCAN_MALWARE:
	case KEY_SCAN_SECRETS:
		return BIT(MALWARE);
	case KEY_SCAN_STATUS:
		return BIT(REPORT) | BIT(MALWARE);
	}
	if (k <= KEY_NONE || k >= KEY_MAX || key_row(k)->phase != 3)
		return 0;
	name = key_row(k)->name;
	if (strncmp(name, "scan:", 5) == 0)
		return BIT(REPORT);
	if (strncmp(name, "image:", 6) == 0)
		return BIT(IMAGE);
	if (strncmp(name, "sig:", 4) == 0 || strncmp(name, "attest:", 7) == 0 || strncmp(name, "sbom:", 5) == 0)
		return BIT(SIGNATURES);
	return 0;
}

unsigned
evidence_kinds_of(const struct key_set *keys)
{
	unsigned kinds = 0;

	for (int k = 0; k < KEY_MAX; k++)
		if (key_set_has(keys, (enum policy_key)k))
			kinds |= kinds_of_key((enum policy_key)k);
	/* platforms of an image are its config's, though a manifest tells those of an index */
	if (key_set_has(keys, KEY_IMAGE_PLATFORMS))
		kinds |= BIT(IMAGE);
	return kinds;
}

/* ---- exhibits ---- */

struct exhibit *
exhibit_new(enum evidence_kind kind, enum evidence_state state, int64_t at, int64_t until)
{
	struct exhibit *x = calloc(1, sizeof *x);

	if (x == NULL)
		return NULL;
	atomic_init(&x->refs, 1);
	x->kind = kind;
	x->state = state;
	x->at = at;
	x->until = until;
	return x;
}

struct exhibit *
exhibit_ref(struct exhibit *x)
{
	atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
	return x;
}

void
exhibit_unref(struct exhibit *x)
{
	if (x == NULL || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
		return;
	exhibit_unref(x->good);
	arena_free(x->arena);
	free(x);
}

/* ---- dossiers ---- */

struct dossier *
dossier_ref(struct dossier *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void
dossier_unref(struct dossier *d)
{
	if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		exhibit_unref(d->facts->of[k]);
	setup_unref(d->facts->setup);
	free(d);
}

/* What stands in the dossier of one kind. */
static void
set_kind(struct dossier *d, unsigned k, struct exhibit *x, bool stale, int64_t now)
{
	const struct exhibit *good = x == NULL ? NULL : exhibit_known(x) ? x : x->good;

	d->facts->of[k] = x == NULL ? NULL : exhibit_ref(x);
	d->until[k] = x == NULL ? now : x->until;
	if (x == NULL || stale) {
		d->state[k] = good != NULL ? STATE_STALE : STATE_PENDING;
		d->until[k] = now;
		snprintf(d->why[k], sizeof d->why[k], "%s", good != NULL ? "what is known is old, and being made anew" : "not known yet");
		return;
	}
	d->state[k] = good != NULL && !exhibit_known(x) ? STATE_STALE : x->state;
	memcpy(d->why[k], x->why, sizeof d->why[k]);
}

struct dossier *
dossier_new(const char *digest, struct setup *s, const struct config_upstream *u, struct span repository, unsigned kinds,
    struct exhibit *const of[static EVIDENCE_KIND_MAX], unsigned stale, int64_t now)
{
	struct dossier *d = calloc(1, sizeof *d + sizeof *d->facts);

	if (d == NULL)
		return NULL;
	atomic_init(&d->refs, 1);
	d->facts = (struct dossier_facts *)(void *)(d + 1);
	d->facts->setup = setup_ref(s);
	memcpy(d->digest, digest, LEDGER_DIGEST);
	d->kinds = kinds;
	snprintf(d->facts->image, sizeof d->facts->image, "%s/%.*s", u->alias, SPAN_FMT(repository));
	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if ((kinds & 1u << k) != 0)
			set_kind(d, k, of[k], (stale & 1u << k) != 0, now);
	return d;
}

bool
dossier_settled(const struct dossier *d, unsigned kinds)
{
	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if ((kinds & 1u << k) != 0 && ((d->kinds & 1u << k) == 0 || d->state[k] == STATE_PENDING))
			return false;
	return true;
}

/* ---- facts ---- */

static void
set_text(struct fact facts[static KEY_MAX], enum policy_key k, struct span value)
{
	facts[k] = (struct fact){ .state = FACT_PRESENT, .value = value };
}

/* What this exhibit, which is PASS or FAIL, says. False: out of memory. */
static bool
tell_known(const struct dossier *d, const struct exhibit *x, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	if (x->kind != EVIDENCE_MALWARE)
		return module_tell(d, x, now, a, facts);
	set_text(facts, KEY_SCAN_MALWARE, x->malware ? SPAN("true") : SPAN("false"));
	set_text(facts, KEY_SCAN_SECRETS, x->secrets ? SPAN("true") : SPAN("false"));
	return true;
}

/* Facts that are not known now: what was known stands beside them. */
static void
make_old(struct fact *f, int64_t age, bool known)
{
	f->was_known = known && (f->state == FACT_PRESENT || f->state == FACT_ABSENT);
	f->age = age;
	f->state = FACT_UNKNOWN;
	if (!f->was_known)
		*f = (struct fact){ .state = FACT_UNKNOWN };
}

static bool
is_of(enum policy_key key, unsigned kind)
{
	if (key == KEY_SCAN_STATUS || key == KEY_SIG_STATUS)
		return false;
	return (kinds_of_key(key) & 1u << kind) != 0 || (kind == EVIDENCE_IMAGE && key == KEY_IMAGE_PLATFORMS);
}

static bool
tell_kind(const struct dossier *d, unsigned kind, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	const struct exhibit *x = d->facts->of[kind], *good = x == NULL ? NULL : exhibit_known(x) ? x : x->good;
	struct fact platforms = facts[KEY_IMAGE_PLATFORMS];
	int64_t age = good == NULL || now < good->at ? 0 : now - good->at;
	bool ok = true;

	for (int k = 0; k < KEY_MAX; k++)
		if (is_of((enum policy_key)k, kind))
			facts[k] = (struct fact){ .state = FACT_UNKNOWN };
	if (good != NULL)
		ok = tell_known(d, good, now, a, facts);
	if (!ok || (d->state[kind] != STATE_PASS && d->state[kind] != STATE_FAIL))
		for (int k = 0; k < KEY_MAX; k++)
			if (is_of((enum policy_key)k, kind))
				make_old(&facts[k], age, ok && good != NULL);
	/* of an index the manifest has told them */
	if (kind == EVIDENCE_IMAGE && (platforms.state == FACT_PRESENT || platforms.state == FACT_ABSENT))
		facts[KEY_IMAGE_PLATFORMS] = platforms;
	return ok;
}

/* The worst of what is configured; "none" when nothing is. */
static struct span
scan_status(const struct dossier *d)
{
	static const struct {
		enum evidence_state state;
		const char *name;
	} worst[] = {
		{ STATE_ERROR, "error" },
		{ STATE_UNSCANNABLE, "unscannable" },
		{ STATE_PENDING, "pending" },
		{ STATE_STALE, "stale" },
		{ STATE_FAIL, "ok" },
		{ STATE_PASS, "ok" },
	};

	for (size_t i = 0; i < sizeof worst / sizeof *worst; i++)
		for (unsigned k = EVIDENCE_MALWARE; k <= EVIDENCE_REPORT; k++)
			if ((d->kinds & 1u << k) != 0 && d->state[k] == worst[i].state)
				return span_of(worst[i].name);
	return SPAN("none");
}

bool
dossier_tell(const struct dossier *d, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	bool ok = true;

	for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
		if ((d->kinds & 1u << k) != 0)
			ok = tell_kind(d, k, now, a, facts) && ok;
	if ((d->kinds & (BIT(REPORT) | BIT(MALWARE))) != 0)
		set_text(facts, KEY_SCAN_STATUS, scan_status(d));
	if ((d->kinds & BIT(SIGNATURES)) != 0 && d->state[EVIDENCE_SIGNATURES] != STATE_PASS &&
	    d->state[EVIDENCE_SIGNATURES] != STATE_FAIL)
		set_text(facts, KEY_SIG_STATUS, span_of(evidence_state_name(d->state[EVIDENCE_SIGNATURES])));
	return ok;
}
