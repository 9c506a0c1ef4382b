/*
 * evidence.c - step `evidence`: a push whose decision waits for what has to be found out about the image.
 *
 * What the statements that are open say (OnPush) becomes of it meanwhile:
 *
 *   stage       the digest is blocked durably, the manifest stored by digest; when all is known and allowed the block is lifted,
 *               and the walk goes on to claim the tag. Refused: the block says so and stays. Not known in time: it stays, too,
 *               and the next push of the same image finds what was learned by then
 *   hold        nothing goes upstream; a scanner that has to pull the image makes it `stage`
 *   quarantine  the digest is blocked durably, and the push goes on; who lifts the block is gateway/evidence/
 *
 * Invariant: an image that waits is blocked, on disk, before its first byte is upstream; and nothing is lifted but by a decision.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/gate.h"

#include "gateway/log.h"
#include "gateway/steps/recheck.h"

static void conclude(struct request *r, enum refuse why);
static void weigh(struct request *r);

/* ---- what was blocked for this push is free ---- */

static void lift_next(struct request *r, bool ok);

/* Blocked by a push, and not by an operator. */
static bool
is_lifted(const struct request *r, struct span digest)
{
	enum block_kind kind = blocks_find(r->worker->gateway->blocks, span_of(r->upstream_config->registry), r->route.repository, digest);

	return kind == BLOCK_PENDING || kind == BLOCK_FAILED;
}

/* The image itself, then the children of an index: it was allowed with them. */
static void
lift_next(struct request *r, bool ok)
{
	struct gate *g = r->gate;
	struct span digest = SPAN_NONE;

	if (!ok) {
		request_fail(r, REFUSE_LEDGER_DOWN);
		return;
	}
	while (digest.p == NULL && g->child <= r->manifest.n_children) {
		struct span d = g->child == 0 ? span_of(r->manifest.digest) : r->manifest.children[g->child - 1].digest;

		if (is_lifted(r, d))
			digest = d;
		g->child++;
	}
	if (digest.p == NULL)
		request_continue(r);
	else if (!gate_block(r, BLOCK_NONE, digest, 0, "allowed", lift_next))
		request_fail(r, REFUSE_NO_MEMORY);
}

static bool
anything_lifted(const struct request *r)
{
	bool any = is_lifted(r, span_of(r->manifest.digest));

	for (size_t i = 0; !any && i < r->manifest.n_children; i++)
		any = is_lifted(r, r->manifest.children[i].digest);
	return any;
}

static void
pass(struct request *r)
{
	if (r->judged.decision.lenient != NULL)
		record_bypass(r);
	if (!blocks_any(r->worker->gateway->blocks) || !anything_lifted(r)) {
		request_continue(r);
		return;
	}
	r->gate->child = 0;
	lift_next(r, true);
}

/* ---- stage ---- */

static void
weigh(struct request *r)
{
	struct inspected image = { r->manifest.digest, &r->manifest, { r->bytes, r->n_bytes } };

	gate_weigh(r, &image, r->config->evidence.push_wait, decide_push, conclude);
}

/* Upstream does not take it: its own words, as for any push. */
static void
not_stored(struct request *r, const struct peek *f)
{
	enum refuse why = f->status == 0 ? f->failed : forward_check(r, f->head);

	r->upstream_status = f->status;
	if (why == REFUSE_NONE && f->status < 400)
		why = REFUSE_UPSTREAM_BAD;
	if (why == REFUSE_NONE)
		why = answer_whole(r, f->head, (struct span){ f->bytes, f->n });
	if (why != REFUSE_NONE)
		request_fail(r, why);
}

static void
on_stored(struct peek *f)
{
	struct request *r = f->request;

	if (f->status != 201) {
		not_stored(r, f);
		return;
	}
	weigh(r);
}

static void
on_blocked(struct request *r, bool ok)
{
	struct route route = r->route;
	struct gate *g = r->gate;

	if (!ok) {
		request_fail(r, REFUSE_LEDGER_DOWN);
		return;
	}
	g->blocked = true;
	route.reference_type = REFERENCE_DIGEST;
	route.reference = span_of(r->manifest.digest);
	route.n_tags = 0;
	peek_put(&g->peek, r, forward_target(r, &route), on_stored);
}

static void
on_failed(struct request *r, bool ok)
{
	if (!ok)
		log_warn("req=%s msg=that the image failed could not be recorded: it stays pending", r->id);
	request_fail(r, r->failing);
}

/* ---- how it ends ---- */

static void
conclude(struct request *r, enum refuse why)
{
	struct policy *by = r->policy;
	struct gate *g = r->gate;

	/* it may have taken a while: is it still who it was, and by which policy? */
	if (why == REFUSE_NONE)
		why = recheck_push(r);
	if (why == REFUSE_NONE && r->policy != by) {
		if (gate_tell_manifest(r, &r->manifest, (struct span){ r->bytes, r->n_bytes }))
			weigh(r);
		else
			request_fail(r, REFUSE_NO_MEMORY);
		return;
	}
	if (why == REFUSE_NONE) {
		pass(r);
		return;
	}
	why = gate_refusal(r, why);
	if (!g->blocked || why == REFUSE_EVIDENCE_PENDING || why == REFUSE_EVIDENCE_UNKNOWN) {
		request_fail(r, why);
		return;
	}
	r->failing = why;
	if (!gate_block(r, BLOCK_FAILED, span_of(r->manifest.digest), 0, "refused by policy for what was found", on_failed))
		request_fail(r, why);
}

/* ---- quarantine ---- */

/* Whatever policy asked for: malware is looked for. */
static unsigned
kinds_of(const struct request *r)
{
	return evidence_kinds_of(&r->need) | (r->config->engine != NULL ? 1u << EVIDENCE_MALWARE : 0);
}

static void
on_quarantined(struct request *r, bool ok)
{
	struct gate *g = r->gate;

	if (!ok) {
		request_fail(r, REFUSE_LEDGER_DOWN);
		return;
	}
	/* nobody waits for this one: it lifts the block itself */
	g->ask = (struct evidence_ask){
		.setup = g->setup,
		.upstream = r->upstream_config,
		.repository = g->change.repository,
		.media_type = r->manifest.media_type,
		.manifest = { r->bytes, r->n_bytes },
		.kinds = kinds_of(r),
		.lifts_block = true,
	};
	memcpy(g->ask.digest, r->manifest.digest, sizeof g->ask.digest);
	evidence_ask(r->worker->gateway->evidence, &g->ask);
	r->open = false;
	r->detail = SPAN("pushed into quarantine: nobody pulls it before its verdict");
	record_state(r, "image.quarantined", SPAN_NONE, span_of(r->manifest.digest), SPAN_NONE);
	request_continue(r);
}

/* ---- the step ---- */

/* A scanner that pulls from the registry needs it there. */
static bool
scanner_pulls(const struct request *r)
{
	const struct config_upstream *u = r->upstream_config;

	return (evidence_kinds_of(&r->need) & 1u << EVIDENCE_REPORT) != 0 && u->n_scanners > 0;
}

static enum next
begin(struct request *r)
{
	enum policy_on_push mode = r->on_push == ON_PUSH_HOLD && scanner_pulls(r) ? ON_PUSH_STAGE : r->on_push;
	struct inspected image = { r->manifest.digest, &r->manifest, { r->bytes, r->n_bytes } };
	struct span digest = span_of(r->manifest.digest);
	bool ok;

	gate_note(r, r->route.reference_type == REFERENCE_TAG ? r->route.reference : SPAN_NONE, &r->manifest);
	if (r->config->observe) {
		/* nobody waits for what refuses nothing */
		gate_weigh(r, &image, 0, decide_push, conclude);
		return WAIT;
	}
	switch (mode) {
	case ON_PUSH_HOLD:
		weigh(r);
		return WAIT;
	case ON_PUSH_QUARANTINE:
		ok = gate_block(r, BLOCK_PENDING, digest, kinds_of(r), "pushed, not looked at yet", on_quarantined);
		break;
	case ON_PUSH_STAGE:
	default:
		ok = gate_block(r, BLOCK_PENDING, digest, 0, "staged, not looked at yet", on_blocked);
		break;
	}
	return ok ? WAIT : request_refuse(r, REFUSE_NO_MEMORY);
}

/* All that policy waits for may be known already. */
static bool
known_already(struct request *r)
{
	unsigned kinds = evidence_kinds_of(&r->need);
	struct evidence_place at = { r->upstream_config, r->route.repository, r->manifest.digest };
	struct dossier *d = evidence_find(r->worker->gateway->evidence, &at, kinds, r->time_us / 1000000);
	bool settled = d != NULL && dossier_settled(d, kinds);

	dossier_unref(d);
	return settled;
}

enum next
step_evidence(struct request *r)
{
	struct blocks *blocks = r->worker->gateway->blocks;
	struct span blob = r->route.op == ROUTE_BLOB_MOUNT ? r->route.mount : r->route.digest;

	if (r->route.op != ROUTE_MANIFEST_PUT) {
		if (blob.p != NULL && blocks_any(blocks) && gate_blocked(r, blob, NULL) == BLOCK_QUARANTINED)
			return request_refuse(r, REFUSE_QUARANTINED);
		return NEXT;
	}
	if (gate_blocked(r, span_of(r->manifest.digest), &r->manifest) == BLOCK_QUARANTINED ||
	    (r->manifest.has_subject && gate_blocked(r, r->manifest.subject.digest, NULL) == BLOCK_QUARANTINED))
		return request_refuse(r, REFUSE_QUARANTINED);
	if (!r->open && !(blocks_any(blocks) && anything_lifted(r)))
		return NEXT;
	if (gate_of(r) == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	if (!r->open) {
		pass(r);
		return WAIT;
	}
	if (!known_already(r))
		return begin(r);
	/* blocked or not, the decision is there at once */
	r->gate->blocked = is_lifted(r, span_of(r->manifest.digest));
	weigh(r);
	return WAIT;
}
