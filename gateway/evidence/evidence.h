/*
 * evidence.h - what is known of an image beside its name: asked for by digest, gathered by threads of its own, kept.
 *
 * A worker finds what is known already without waiting (evidence_find()), or asks and is answered by mail: when all it wants
 * is known, or when its time is over, with what there is. Questions about one digest share the work. An answer is a dossier:
 * immutable, counted by reference.
 *
 * A kind of evidence about one digest in one repository has a state:
 *   NONE         nobody here can say: no scanner, no rules, no trust is configured for it
 *   PENDING      being gathered
 *   PASS, FAIL   known. FAIL only where the evidence itself is a verdict: malware was found, or signatures are there and none
 *                is good. What numbers mean is for policy to say: a report with 100 critical ones is a PASS
 *   ERROR        could not be learned this time; tried again after evidence.retry
 *   UNSCANNABLE  can never be learned of this digest as it is: a layer over the bounds, or broken
 *   STALE        older than evidence.fresh and being made anew, or that failed: what was known stands beside it
 * Facts of a kind in PASS or FAIL are PRESENT or ABSENT; in every other state they are UNKNOWN, and what was last known stands
 * beside it with its age (struct fact). scan:Status and sig:Status always say which it is.
 *
 * An index is its children: counts are the largest, verdicts the worst, lists united; a child that cannot be read makes all
 * UNKNOWN. At most EVIDENCE_CHILDREN of them, or it is UNSCANNABLE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_EVIDENCE_H
#define TW_EVIDENCE_H

#include "gateway/audit/spool.h"
#include "gateway/credentials/logins.h"
#include "gateway/courier/courier.h"
#include "gateway/mailbox.h"
#include "gateway/setup.h"
#include "gateway/tags/ledger.h"
#include "policy/policy.h"

#define EVIDENCE_CHILDREN 64u
#define EVIDENCE_MANIFEST (4u << 20)

/* X(symbol, "name") */
#define EVIDENCE_KINDS(X) \
	X(IMAGE, "image")		/* the config: image:Label/, image:CreatedAgeHours, image:User ... */ \
	X(MALWARE, "malware")		/* scan:Malware, scan:Secrets: each blob looked through */ \
	X(REPORT, "report")		/* scan:Critical ...: vulnerabilities */ \
	X(SIGNATURES, "signatures")	/* sig:, attest:, sbom: */

enum evidence_kind {
#define X(symbol, name) EVIDENCE_##symbol,
	EVIDENCE_KINDS(X)
#undef X
	EVIDENCE_KIND_MAX
};

enum evidence_state {
	STATE_NONE = 0, STATE_PENDING, STATE_ERROR, STATE_UNSCANNABLE, STATE_STALE, STATE_FAIL, STATE_PASS
};
const char *evidence_kind_name(enum evidence_kind k) RETURNS_NONNULL PURE;
const char *evidence_state_name(enum evidence_state s) RETURNS_NONNULL PURE;

/* Bits (1u << kind) that these keys need; keys that a manifest, a head or the ledger tells need none. */
unsigned evidence_kinds_of(const struct key_set *keys) NONNULL(1) PURE;

struct dossier {
	_Atomic unsigned refs;
	char digest[LEDGER_DIGEST];
	unsigned kinds;				/* bits: what was looked for */
	enum evidence_state state[EVIDENCE_KIND_MAX];
	int64_t until[EVIDENCE_KIND_MAX];	/* seconds since the epoch: no answer after that without looking again */
	char why[EVIDENCE_KIND_MAX][160];	/* of what is not PASS: one line for the client: "layer 3: EICAR-Test-File", "no signature" */
	struct dossier_facts *facts;		/* private to evidence/dossier.c */
};
struct dossier *dossier_ref(struct dossier *d) RETURNS_NONNULL NONNULL(1);
void dossier_unref(struct dossier *d);
/*
 * Set the rows of `facts` that the kinds in `d` speak of, as of `now`; what they point to lives in the dossier or in `a`. Rows of
 * kinds not in `d` are not touched. False: out of memory, and all of these rows are UNKNOWN.
 */
bool dossier_tell(const struct dossier *d, int64_t now, struct arena *a, struct fact facts[static KEY_MAX]) NONNULL(1, 3, 4) WUNRES;
/* Nothing of `kinds` is PENDING. */
bool dossier_settled(const struct dossier *d, unsigned kinds) NONNULL(1) PURE;

/* Which image, where. Borrowed during a call. */
struct evidence_place {
	const struct config_upstream *upstream;
	struct span repository;			/* as the registry names it */
	const char *digest;			/* of the manifest: "sha256:..." */
};

struct blocks;
struct grants;
struct subject;
struct evidence;
struct evidence_env {			/* borrowed for its life */
	struct courier *courier;
	struct ledger *ledger;
	struct spool *spool;
	struct logins *credentials;
	struct blocks *blocks;
	struct grants *grants;		/* NULL: no index is known to list anything */
};
/* Threads are started; what was pending when the gateway stopped goes on. NULL with a reason. */
struct evidence *evidence_start(const struct evidence_env *env, struct setup *s, char *err, size_t err_size) NONNULL(1, 2, 3) WUNRES;
/* A reload: new questions are answered by what it says; takes a reference of its own. Main thread. */
void evidence_follow(struct evidence *e, struct setup *s) NONNULL(1, 2);
/* No further work; asks under way are answered with what there is. Then no thread of it runs. */
void evidence_stop(struct evidence *e) NONNULL(1);
void evidence_free(struct evidence *e);

/* A reference to what is known now of all these kinds, and still good; NULL: ask. Any thread, a few instructions. */
struct dossier *evidence_find(struct evidence *e, const struct evidence_place *at, unsigned kinds, int64_t now) NONNULL(1, 2) WUNRES;

/* A question. Embedded in what it belongs to, which must live until done(): exactly one call for each evidence_ask(). */
struct evidence_ask {
	/* ---- the asker's ---- */
	struct setup *setup;			/* a reference, held until done() by the asker; `upstream` is its */
	const struct config_upstream *upstream;
	struct span repository;			/* borrowed until done() */
	char digest[LEDGER_DIGEST];
	struct span media_type, manifest;	/* if it is at hand: copied; else fetched */
	unsigned kinds;
	unsigned wait_ms;			/* answered then at the latest */
	/*
	 * There is a PENDING block of this digest for these kinds: it ends when all of them are known and good, becomes FAILED when
	 * one is FAIL or UNSCANNABLE, and waits on while one is ERROR, which is tried again.
	 */
	bool lifts_block;
	struct mailbox *reply_to;		/* NULL: nobody waits, and evidence_ask() has forgotten it when it returns */
	void (*done)(struct evidence_ask *a);	/* on reply_to's thread */
	/* ---- the answer ---- */
	struct dossier *dossier;		/* a reference, the asker's; NULL: out of memory, or the gateway stops */
	/* ---- private ---- */
	struct mail mail;
	struct evidence_ask *next;		/* of its subject */
	struct evidence_ask *later, **earlier;	/* of all that wait */
	struct subject *subject;
	int64_t deadline;
	bool waiting;
};
void evidence_ask(struct evidence *e, struct evidence_ask *a) NONNULL(1, 2);
/* The answer is not waited for any more: done() comes soon. */
void evidence_cancel(struct evidence *e, struct evidence_ask *a) NONNULL(1, 2);

/* For metrics: digests being looked at, jobs that wait, and how many of a kind ended in a state. Any thread. */
unsigned evidence_running(const struct evidence *e) NONNULL(1);
unsigned evidence_queued(const struct evidence *e) NONNULL(1);
int64_t evidence_count(const struct evidence *e, enum evidence_kind k, enum evidence_state s) NONNULL(1);

#endif
