/*
 * inspect.c - step `inspect`: a pull whose decision waits for evidence, or where anything is blocked: looked at first.
 *
 * A manifest is read whole from upstream and hashed, and what the client gets are exactly these bytes: a tag that moves between
 * the look and the answer, and a digest that upstream claims, make no difference. A blob is given to those who may pull, now, a
 * manifest of its repository that lists it: each such manifest is fetched and judged like a pull of it. Whether it may is
 * remembered by the worker for a minute.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/gate.h"

#include "gateway/steps/granted.h"

#define CANDIDATES_TRIED 4u	/* manifests that are fetched for one blob */

bool
inspect_wanted(const struct request *r)
{
	if (r->route.op != ROUTE_MANIFEST_GET)
		return false;
	return r->open || blocks_any(r->worker->gateway->blocks) || policy_asks(r->policy, ACTION_PullBlob, KEY_REGISTRY_BLOB_GRANTED);
}

static struct span
tag_of(const struct request *r)
{
	return r->route.reference_type == REFERENCE_TAG ? r->route.reference : SPAN_NONE;
}

/* ---- a manifest ---- */

void
inspect_give(struct request *r, const struct peek *f)
{
	bool drifts = r->route.reference_type == REFERENCE_TAG && f->status == 200 && r->pin == NULL;
	enum refuse why = forward_check(r, f->head);

	/* where a redirect leads nobody has hashed anything */
	if (r->redirect.p != NULL)
		why = REFUSE_UPSTREAM_REDIRECT;
	if (why == REFUSE_NONE)
		why = answer_whole(r, f->head, (struct span){ f->bytes, f->n });
	if (why != REFUSE_NONE)
		request_fail(r, why);
	else if (drifts)
		drift_watch(r, r->answer_digest);
}

static enum refuse
may_pull(struct request *r)
{
	struct judged j;
	enum refuse why = REFUSE_NONE;

	if (judge_ask(r, ACTION_PullManifest, r->route.repository, SPAN_NONE, &j) != VERDICT_ALLOW) {
		if (gate_waits(r, &j))
			return REFUSE_NONE;
		why = decide_refusal(r, &j);
		if (observe_lifts(r, why, &j))
			why = REFUSE_NONE;
	}
	if (!r->open)
		judge_decides(r, &j);
	return why;
}

static void
bypassed(struct request *r)
{
	if (r->judged.decision.lenient != NULL)
		record_bypass(r);
}

static void
on_judged(struct request *r, enum refuse why)
{
	if (why != REFUSE_NONE) {
		request_fail(r, gate_refusal(r, why));
		return;
	}
	bypassed(r);
	gate_note(r, tag_of(r), &r->manifest);
	inspect_give(r, r->seen);
}

static enum refuse
refusal_of_block(enum block_kind kind)
{
	return kind == BLOCK_QUARANTINED ? REFUSE_QUARANTINED : kind == BLOCK_FAILED ? REFUSE_EVIDENCE_FAILED : REFUSE_EVIDENCE_PENDING;
}

static void
inspect(struct request *r)
{
	const struct peek *f = r->seen;
	struct span bytes = { f->bytes, f->n };
	struct inspected image = { f->digest, &r->manifest, bytes };
	enum block_kind kind;

	if (!r->manifest_read) {
		/* nothing can be said of it; where nothing has to be, it is passed on */
		if (!r->open && gate_blocked(r, span_of(f->digest), NULL) == BLOCK_NONE) {
			inspect_give(r, f);
			return;
		}
		r->detail = span_of(r->manifest_error);
		request_fail(r, REFUSE_EVIDENCE_UNKNOWN);
		return;
	}
	kind = r->scanner ? BLOCK_NONE : gate_blocked(r, span_of(f->digest), &r->manifest);
	if (kind != BLOCK_NONE) {
		request_fail(r, refusal_of_block(kind));
		return;
	}
	if (!r->open) {
		gate_note(r, tag_of(r), &r->manifest);
		inspect_give(r, f);
		return;
	}
	if (!gate_tell_manifest(r, &r->manifest, bytes))
		request_fail(r, REFUSE_NO_MEMORY);
	else
		gate_weigh(r, &image, r->config->observe ? 0 : r->config->evidence.pull_wait, may_pull, on_judged);
}

/* What is read of a manifest that is looked at for a blob's sake is kept beside the request. */
static struct manifest *
seen_manifest(struct request *r)
{
	return r->route.op == ROUTE_MANIFEST_GET ? &r->manifest : &r->gate->manifest;
}

static void
read_seen(struct request *r)
{
	r->manifest_read = manifest_read((struct span){ r->seen->bytes, r->seen->n }, r->seen->head->field[HTTP_FIELD_CONTENT_TYPE], r->arena,
	    seen_manifest(r), r->manifest_error, sizeof r->manifest_error);
}

static void
work(struct offload_job *j)
{
	read_seen((struct request *)(void *)((char *)j - offsetof(struct request, job)));
}

static void
on_read(struct mail *m)
{
	struct offload_job *j = (struct offload_job *)(void *)((char *)m - offsetof(struct offload_job, mail));
	struct request *r = (struct request *)(void *)((char *)j - offsetof(struct request, job));

	if (request_returned(r))
		r->read_then(r);
}

/* Read what was seen, here or where it holds nobody up; then then(r). */
static void
read_then(struct request *r, void (*then)(struct request *r))
{
	r->read_then = then;
	if (r->seen->n < OFFLOAD_JSON) {
		read_seen(r);
		then(r);
		return;
	}
	r->job.work = work;
	r->job.mail.deliver = on_read;
	r->job.reply_to = r->worker->mailbox;
	request_lend(r);
	offload_submit(r->worker->gateway->offload, &r->job);
}

/* These bytes are of that name, and upstream does not say otherwise. */
static bool
is_named(const struct request *r, const struct peek *f)
{
	struct span said = f->head->field[HTTP_FIELD_DOCKER_CONTENT_DIGEST];

	if (said.p != NULL && !span_eq(said, span_of(f->digest)))
		return false;
	return r->route.reference_type != REFERENCE_DIGEST || span_eq(r->route.reference, span_of(f->digest));
}

void
inspect_answer(struct request *r, const struct peek *f)
{
	r->upstream_status = f->status;
	if (f->status == 0) {
		request_fail(r, f->failed);
	} else if (f->digest[0] == '\0' && f->status >= 300) {
		inspect_give(r, f);
	} else if (f->digest[0] == '\0' || !is_named(r, f)) {
		request_fail(r, REFUSE_UPSTREAM_BAD);
	} else {
		r->answer_digest = arena_dup(r->arena, span_of(f->digest));
		r->seen = f;
		read_then(r, inspect);
	}
}

static void
on_peeked(struct peek *f)
{
	inspect_answer(f->request, f);
}

static enum next
inspect_manifest(struct request *r)
{
	struct gate *g;

	if (!inspect_wanted(r))
		return NEXT;
	g = gate_of(r);
	if (g == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	g->peek.accept = r->head.field[HTTP_FIELD_ACCEPT].p == NULL ? SPAN_NONE : forward_accept(r);
	peek_start(&g->peek, r, forward_target(r, &r->route), on_peeked);
	return WAIT;
}

/* ---- a blob ---- */

static void next_candidate(struct request *r);

static void
conclude(struct request *r, bool granted)
{
	struct judged j;
	enum refuse why = REFUSE_NONE;

	r->open = false;
	r->facts[KEY_REGISTRY_BLOB_GRANTED] = (struct fact){ .state = FACT_PRESENT, .value = granted ? SPAN("true") : SPAN("false") };
	if (judge_ask(r, ACTION_PullBlob, r->route.repository, SPAN_NONE, &j) != VERDICT_ALLOW) {
		why = decide_refusal(r, &j);
		if (observe_lifts(r, why, &j))
			why = REFUSE_NONE;
	}
	judge_decides(r, &j);
	if (why == REFUSE_NONE) {
		bypassed(r);
		request_continue(r);
		return;
	}
	if (!granted && refuse_is_policy(why) && r->message == NULL)
		why = REFUSE_BLOB_NOT_GRANTED;
	request_fail(r, why);
}

/* The request's own facts are put back. */
static void
own_facts(struct request *r)
{
	memcpy(r->facts, r->gate->facts, KEY_MAX * sizeof *r->facts);
}

static enum refuse
may_pull_candidate(struct request *r)
{
	struct judged j;

	if (judge_ask(r, ACTION_PullManifest, r->route.repository, SPAN_NONE, &j) == VERDICT_ALLOW)
		return REFUSE_NONE;
	return gate_waits(r, &j) ? REFUSE_NONE : decide_refusal(r, &j);
}

static void
on_candidate_judged(struct request *r, enum refuse why)
{
	struct gate *g = r->gate;

	own_facts(r);
	r->message = NULL;
	granted_remember(r->worker->granted, r, &g->grants.found[g->at], why == REFUSE_NONE);
	if (why == REFUSE_NONE) {
		conclude(r, true);
		return;
	}
	g->at++;
	next_candidate(r);
}

static void
weigh_candidate(struct request *r)
{
	struct gate *g = r->gate;
	const struct grant *m = &g->grants.found[g->at];
	struct span bytes = { g->peek.bytes, g->peek.n };
	struct inspected image = { m->digest, &g->manifest, bytes };
	struct fact *f = r->facts;

	for (unsigned k = KEY_IMAGE_MEDIA_TYPE; k <= KEY_SBOM_PRESENT; k++)
		f[k] = (struct fact){ .state = FACT_LATER };
	f[KEY_REGISTRY_DIGEST] = (struct fact){ .state = m->tag[0] == '\0' ? FACT_PRESENT : FACT_ABSENT, .value = span_of(m->digest) };
	f[KEY_REGISTRY_TAG] = (struct fact){ .state = m->tag[0] != '\0' ? FACT_PRESENT : FACT_ABSENT, .value = span_of(m->tag) };
	f[KEY_REGISTRY_REFERENCE_TYPE] = (struct fact){ .state = FACT_PRESENT, .value = m->tag[0] != '\0' ? SPAN("tag") : SPAN("digest") };
	if (!r->manifest_read || !gate_tell_manifest(r, &g->manifest, bytes))
		on_candidate_judged(r, REFUSE_EVIDENCE_UNKNOWN);
	else
		gate_weigh(r, &image, r->config->observe ? 0 : r->config->evidence.pull_wait, may_pull_candidate, on_candidate_judged);
}

static void
on_candidate(struct peek *f)
{
	struct request *r = f->request;
	struct gate *g = r->gate;

	if (f->digest[0] == '\0' || strcmp(f->digest, g->grants.found[g->at].digest) != 0) {
		own_facts(r);
		g->at++;
		next_candidate(r);
		return;
	}
	r->seen = f;
	read_then(r, weigh_candidate);
}

static void
next_candidate(struct request *r)
{
	struct gateway *gw = r->worker->gateway;
	struct gate *g = r->gate;
	struct span registry = span_of(r->upstream_config->registry);
	struct route route = r->route;

	for (; g->at < g->grants.n && g->tried < CANDIDATES_TRIED; g->at++) {
		const struct grant *m = &g->grants.found[g->at];
		bool granted;

		if (blocks_find(gw->blocks, registry, r->route.repository, span_of(m->digest)) != BLOCK_NONE)
			continue;
		if (granted_known(r->worker->granted, r, m, &granted)) {
			if (!granted)
				continue;
			conclude(r, true);
			return;
		}
		g->tried++;
		route.op = ROUTE_MANIFEST_GET;
		route.reference_type = REFERENCE_DIGEST;
		route.reference = span_of(m->digest);
		peek_start(&g->peek, r, forward_target(r, &route), on_candidate);
		return;
	}
	conclude(r, false);
}

static void
begin_candidates(struct request *r)
{
	struct gate *g = r->gate;

	g->facts = arena_alloc(r->arena, KEY_MAX * sizeof *g->facts);
	if (g->facts == NULL) {
		request_fail(r, REFUSE_NO_MEMORY);
		return;
	}
	memcpy(g->facts, r->facts, KEY_MAX * sizeof *g->facts);
	next_candidate(r);
}

/* Who pushes asks what is there already: else an image that waits for its verdict could not be pushed again. */
static bool
asks_to_push(struct request *r)
{
	struct judged j;

	return r->head.method == HTTP_HEAD && judge_ask(r, ACTION_PushBlob, r->route.repository, SPAN_NONE, &j) == VERDICT_ALLOW;
}

/* Which manifests list it is known now. NEXT: it is given. */
static enum next
weigh_blob(struct request *r)
{
	enum block_kind kind = asks_to_push(r) ? BLOCK_NONE : gate_blob_blocked(r, r->route.repository, r->route.reference);

	if (kind != BLOCK_NONE)
		return request_refuse(r, refusal_of_block(kind));
	if (!r->open)
		return NEXT;
	begin_candidates(r);
	return WAIT;
}

static void
on_grants(struct grants_ask *a)
{
	struct gate *g = (struct gate *)(void *)((char *)a - offsetof(struct gate, grants));
	struct request *r = gate_back(g);
	enum next next = r == NULL ? WAIT : weigh_blob(r);

	if (next == NEXT)
		request_continue(r);
	else if (next == STOP)
		request_fail(r, r->refused);
}

/* ---- a blob for a scanner ---- */

static void
look_for_blob(struct request *r)
{
	const struct manifest *m = &r->gate->manifest;
	bool listed = r->manifest_read && span_eq(m->config.digest, r->route.reference);

	for (size_t i = 0; r->manifest_read && !listed && i < m->n_layers; i++)
		listed = span_eq(m->layers[i].digest, r->route.reference);
	if (listed)
		request_continue(r);
	else
		request_fail(r, REFUSE_BLOB_NOT_GRANTED);
}

static void
on_pass_manifest(struct peek *f)
{
	struct request *r = f->request;

	if (f->status == 0) {
		request_fail(r, f->failed);
	} else if (!span_eq(span_of(f->digest), r->authn.token->pass)) {
		request_fail(r, REFUSE_BLOB_NOT_GRANTED);
	} else {
		r->seen = f;
		read_then(r, look_for_blob);
	}
}

/* Does the image of the pass list it? */
static enum next
inspect_for_scanner(struct request *r)
{
	struct grant found[GRANTS_MAX];
	struct span pass = r->authn.token->pass;
	struct route route = r->route;
	struct gate *g;
	bool known;
	size_t n = grants_find(r->worker->gateway->grants, span_of(r->upstream_config->registry), r->route.repository,
	    r->route.reference, found, &known);

	for (size_t i = 0; i < n; i++)
		if (span_eq(span_of(found[i].digest), pass))
			return NEXT;
	g = gate_of(r);
	if (g == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	route.op = ROUTE_MANIFEST_GET;
	route.reference = pass;
	peek_start(&g->peek, r, forward_target(r, &route), on_pass_manifest);
	return WAIT;
}

static enum next
inspect_blob(struct request *r)
{
	struct gateway *gw = r->worker->gateway;
	struct span registry = span_of(r->upstream_config->registry);
	struct gate *g;
	bool known;

	if (r->scanner)
		return inspect_for_scanner(r);
	if (!r->open && (!blocks_any(gw->blocks) || asks_to_push(r)))
		return NEXT;
	g = gate_of(r);
	if (g == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	g->grants.n = grants_find(gw->grants, registry, r->route.repository, r->route.reference, g->grants.found, &known);
	if (g->grants.n > 0 || known)
		return weigh_blob(r);
	g->grants.registry = g->change.registry;
	g->grants.repository = g->change.repository;
	if (r->route.reference.n >= sizeof g->blob)
		return request_refuse(r, REFUSE_BAD_DIGEST);
	memcpy(g->blob, r->route.reference.p, r->route.reference.n);
	g->grants.blob = span_of(g->blob);
	g->grants.reply_to = r->worker->mailbox;
	g->grants.done = on_grants;
	g->busy++;
	grants_ask(gw->grants, &g->grants);
	return WAIT;
}

enum next
step_inspect(struct request *r)
{
	if (r->route.op == ROUTE_MANIFEST_GET)
		return inspect_manifest(r);
	if (r->route.op == ROUTE_BLOB_GET)
		return inspect_blob(r);
	/* nothing else waits for evidence */
	return r->open ? request_refuse(r, REFUSE_FACT_UNKNOWN) : NEXT;
}
