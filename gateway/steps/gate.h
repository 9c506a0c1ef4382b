/*
 * gate.h - evidence on the way of a request: facts that policy asks for are told to it, and it is asked again.
 *
 * A decision that is open (r->open) waits for facts that are FACT_LATER: what a manifest says, and what gateway/evidence/ knows of
 * it. Nothing is served and no tag is claimed before it is made. Where a fact cannot be had it is UNKNOWN, and policy says what
 * that means.
 *
 * A gate is memory of its own: what it asked of other threads comes back to it, whatever became of the request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_GATE_H
#define TW_GATE_H

#include "gateway/evidence/blocks.h"
#include "gateway/evidence/evidence.h"
#include "gateway/evidence/grants.h"
#include "gateway/request.h"
#include "gateway/steps/peek.h"

/* One image that is asked about: to be pulled, pushed, or as one that lists a blob. */
struct inspected {
	const char *digest;
	const struct manifest *manifest;
	struct span bytes;
};

struct gate {
	struct request *request;	/* NULL: it is over */
	unsigned busy;			/* answers that other threads still owe */
	struct setup *setup;		/* a reference */
	struct peek peek;		/* a manifest of upstream's, or the answer to a staged one */
	struct offload_job job;		/* reads a large one */

	/* gate_weigh() */
	struct inspected image;
	struct evidence_ask ask;
	int64_t until;			/* monotonic ms: the time for evidence is over */
	unsigned asked;			/* bits: kinds that were asked for */
	struct dossier *dossier;	/* the latest */
	enum refuse (*question)(struct request *r);
	void (*done)(struct request *r, enum refuse why);

	struct block_change change;
	void (*changed)(struct request *r, bool ok);

	/* of a blob: manifests that list it, and the one being looked at (not r->manifest: the event is of the blob) */
	struct manifest manifest;
	struct grants_ask grants;
	char blob[LEDGER_DIGEST];
	struct fact *facts;		/* the request's, while another question is asked with them */
	size_t at, tried;

	bool blocked;			/* a push: its digest is said to be PENDING */
	size_t child;			/* ... whose block is being lifted */
	char bytes[];			/* names for others */
};

/* The request's gate, made when it is first needed. NULL: out of memory. */
struct gate *gate_of(struct request *r) NONNULL(1) WUNRES;
/* The request is over. */
void gate_abandon(struct request *r) NONNULL(1);
/* Another thread gave back what it was lent. The request; NULL: it is over, and perhaps the gate is. */
struct request *gate_back(struct gate *g) NONNULL(1) WUNRES;

/* Facts that may still be had for this request are FACT_LATER from here on. */
void gate_promise(struct request *r) NONNULL(1);
/* Policy waits for facts that a gate can fetch: the decision is open, and j is kept as what it needs. False: it does not. */
bool gate_waits(struct request *r, const struct judged *j) NONNULL(1, 2) WUNRES;
/* What the manifest itself says. False: out of memory. */
bool gate_tell_manifest(struct request *r, const struct manifest *m, struct span bytes) NONNULL(1, 2) WUNRES;

/*
 * Ask question(r), which sets r->open and r->need when it waits for more; fetch that, at most wait_ms long, and ask again, until it
 * does not: then done(r, its answer), perhaps from inside of this call. What is not known by then is UNKNOWN.
 */
void gate_weigh(struct request *r, const struct inspected *image, unsigned wait_ms, enum refuse (*question)(struct request *r),
    void (*done)(struct request *r, enum refuse why)) NONNULL(1, 2, 4, 5);
/* All that was asked for is known. */
bool gate_settled(const struct request *r) NONNULL(1) PURE;
/* The refusal with what evidence says: pending, unknown, or policy's own with the reason behind it. */
enum refuse gate_refusal(struct request *r, enum refuse why) NONNULL(1) WUNRES;

/*
 * Say what a digest of this repository is from now on; then changed(r, it is durable). kinds: a PENDING block ends by itself when
 * these are known and good; 0: it does not. False: that is no digest.
 */
bool gate_block(struct request *r, enum block_kind kind, struct span digest, unsigned kinds, const char *reason,
    void (*changed)(struct request *r, bool ok)) NONNULL(1, 5, 6) WUNRES;

/* Is this digest, or one that the manifest (NULL: none) lists, blocked here? */
enum block_kind gate_blocked(const struct request *r, struct span digest, const struct manifest *m) NONNULL(1) WUNRES;
/*
 * Is that blob blocked, or known here only from manifests that are? Memory is asked: where it knows nothing of the blob, PENDING,
 * until the database was (grants_ask()).
 */
enum block_kind gate_blob_blocked(struct request *r, struct span repository, struct span blob) NONNULL(1) WUNRES;
/* A manifest went through here. */
void gate_note(struct request *r, struct span tag, const struct manifest *m) NONNULL(1, 3);

/* inspect.c: upstream's answer to a pull, whole: judged and given to the client, or refused. */
bool inspect_wanted(const struct request *r) NONNULL(1) WUNRES;
void inspect_answer(struct request *r, const struct peek *f) NONNULL(1, 2);
/* ... given as it is. The request may be over, and what it saw gone, when this returns. */
void inspect_give(struct request *r, const struct peek *f) NONNULL(1, 2);

#endif
