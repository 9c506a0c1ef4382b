/*
 * remove.c - step `remove` and what follows it: a DELETE of a tag, a manifest or a blob, around the ledger.
 *
 *   begin (what would go? nobody else may touch it) -> may this caller overwrite each of these tags? -> mark: tombstones,
 *   durable -> DELETE to upstream -> end
 *
 * A tag that goes could come back as another image, so it takes OverwriteTag for every one. Which tags name a digest
 * is known only where the repository was imported. A registry may keep manifests among its blobs: deleting a blob is
 * deleting whatever has that digest.
 *
 * A removal outlives its request while the ledger works on it, and then ends what was begun.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/steps/peek.h"
#include "gateway/request.h"

enum removal_state {
	REMOVE_BEGIN = 0,	/* the ledger says what would go */
	REMOVE_LOOK,		/* a tag without a record: upstream is asked what it names */
	REMOVE_MARK,		/* the ledger writes tombstones */
	REMOVE_GRANTED,		/* DELETE may be on its way */
	REMOVE_END,		/* the ledger hears how it ended, and then the request goes on, or is refused */
};

struct removal {
	struct ledger_op op;
	struct request *request;	/* NULL: over before the removal was */
	struct ledger *ledger;
	enum removal_state state;
	bool asking;			/* the ledger has `op` */
	bool marked;
	enum refuse why;		/* after REMOVE_END */
	struct ledger_name *names;
	struct peek peek;
	char bytes[];			/* names for the ledger */
};

static void
removal_free(struct removal *m)
{
	ledger_names_free(m->names);
	peek_clear(&m->peek);
	free(m);
}

static void
submit(struct removal *m, enum ledger_verb verb, enum removal_state state)
{
	m->state = state;
	m->op.verb = verb;
	m->asking = true;
	ledger_submit(m->ledger, &m->op);
}

/* The hold ends; then the request is refused with `why`, or goes on. */
static void
end(struct removal *m, enum ledger_outcome outcome, enum refuse why)
{
	m->why = why;
	m->op.outcome = outcome;
	submit(m, LEDGER_DELETE_END, REMOVE_END);
}

static void
refuse(struct removal *m, enum refuse why)
{
	end(m, LEDGER_DELETE_KEPT, why);
}

/* ---- may it go? ---- */

/* A tag that was not asked for is named only to who may see it. */
static void
tell_locked(struct request *r, struct span tag)
{
	struct judged j;

	if (r->route.op == ROUTE_TAG_DELETE || judge_ask(r, ACTION_ListTags, r->route.repository, tag, &j) == VERDICT_ALLOW)
		r->message = arena_printf(r->arena, "tag %.*s is immutable: deleting it takes OverwriteTag", SPAN_FMT(tag)).p;
	else
		r->message = "a tag of this digest is immutable: deleting it takes OverwriteTag";
}

static enum refuse
may_go(struct request *r, struct span tag)
{
	struct judged j;

	if (judge_ask(r, ACTION_OverwriteTag, r->route.repository, tag, &j) == VERDICT_ALLOW) {
		judge_also(r, &j);
		return REFUSE_NONE;
	}
	if (observe_lifts(r, REFUSE_TAG_LOCKED, &j))
		return REFUSE_NONE;
	judge_decides(r, &j);
	if (j.decision.verdict == VERDICT_DENY && !j.decision.unknown) {
		tell_locked(r, tag);
		return REFUSE_TAG_LOCKED;
	}
	return decide_refusal(r, &j);
}

static enum refuse
all_may_go(struct removal *m)
{
	struct request *r = m->request;

	if (r->route.op == ROUTE_TAG_DELETE)
		return may_go(r, r->route.reference);
	if (!m->op.imported)
		return REFUSE_NOT_IMPORTED;
	for (const struct ledger_name *n = m->names; n != NULL; n = n->next) {
		enum refuse why = may_go(r, n->tag);

		if (why != REFUSE_NONE)
			return why;
	}
	return REFUSE_NONE;
}

static void
mark(struct removal *m)
{
	submit(m, LEDGER_DELETE_MARK, REMOVE_MARK);
}

static void
on_looked(struct peek *p)
{
	struct removal *m = p->request->removal;

	switch (peek_says(p)) {
	case PROBE_PRESENT:
		memcpy(m->op.found, p->digest, sizeof m->op.found);
		mark(m);
		return;
	case PROBE_ABSENT:
		refuse(m, REFUSE_TAG_ABSENT);
		return;
	case PROBE_UNKNOWN:
		refuse(m, REFUSE_TAG_UNKNOWN);
		return;
	}
}

static void
on_begun(struct removal *m)
{
	struct request *r = m->request;
	enum refuse why;

	m->names = m->op.names;
	m->op.names = NULL;
	why = all_may_go(m);
	if (why != REFUSE_NONE) {
		refuse(m, why);
	} else if (r->route.op == ROUTE_TAG_DELETE && m->names == NULL) {
		m->state = REMOVE_LOOK;
		peek_start(&m->peek, r, forward_target(r, &r->route), on_looked);
	} else {
		mark(m);
	}
}

/* ---- what the ledger answers ---- */

/* BEGIN was not granted: nothing is held. */
static enum refuse
refusal_of_begin(enum ledger_answer a)
{
	if (a == LEDGER_BUSY || a == LEDGER_CLAIMED_OTHER)
		return REFUSE_TAG_BUSY;
	if (a == LEDGER_MANY)
		return REFUSE_TOO_MANY_TAGS;
	return a == LEDGER_UNRESOLVED ? REFUSE_TAG_PENDING : REFUSE_LEDGER_DOWN;
}

static void
note(struct removal *m, const char *event)
{
	for (const struct ledger_name *n = m->names; n != NULL; n = n->next)
		record_state(m->request, event, n->tag, SPAN_NONE, span_of(n->digest));
	if (m->names == NULL && m->op.found[0] != '\0')
		record_state(m->request, event, m->op.tag, SPAN_NONE, span_of(m->op.found));
}

static void
on_ended(struct removal *m)
{
	struct request *r = m->request;
	enum refuse why = m->why;
	bool kept = m->op.outcome == LEDGER_DELETE_KEPT;

	if (m->marked && (kept ? m->op.answer == LEDGER_OK : m->op.outcome == LEDGER_DELETE_UNSURE))
		note(m, kept ? "tag.delete_undone" : "tag.delete_unresolved");
	r->removal = NULL;
	removal_free(m);
	if (why != REFUSE_NONE)
		request_fail(r, why);
	else
		request_continue(r);
}

/* The request is gone: nothing may stay held. */
static void
wind_up(struct removal *m)
{
	bool held = m->state == REMOVE_BEGIN ? m->op.answer == LEDGER_OK : m->state != REMOVE_END;

	ledger_names_free(m->op.names);
	m->op.names = NULL;
	if (!held) {
		removal_free(m);
		return;
	}
	/* GRANTED: something may have been sent */
	end(m, m->state == REMOVE_GRANTED ? LEDGER_DELETE_UNSURE : LEDGER_DELETE_KEPT, REFUSE_NONE);
}

static void
on_ledger(struct mail *mail)
{
	struct removal *m = (struct removal *)(void *)((char *)mail - offsetof(struct removal, op.mail));

	m->asking = false;
	if (m->request == NULL) {
		wind_up(m);
		return;
	}
	switch (m->state) {
	case REMOVE_BEGIN:
		if (m->op.answer == LEDGER_OK) {
			on_begun(m);
			return;
		}
		m->state = REMOVE_END;	/* nothing is held */
		request_fail(m->request, refusal_of_begin(m->op.answer));
		return;
	case REMOVE_MARK:
		if (m->op.answer != LEDGER_OK) {
			refuse(m, REFUSE_LEDGER_DOWN);
			return;
		}
		m->marked = true;
		m->state = REMOVE_GRANTED;
		note(m, "tag.deleted");
		request_continue(m->request);
		return;
	case REMOVE_END:
		on_ended(m);
		return;
	case REMOVE_LOOK:
	case REMOVE_GRANTED:
		return;
	}
}

void
remove_abandon(struct request *r)
{
	struct removal *m = r->removal;

	r->removal = NULL;
	if (m == NULL)
		return;
	m->request = NULL;
	if (!m->asking)
		wind_up(m);
}

/* ---- the steps ---- */

static struct removal *
removal_new(struct request *r)
{
	const struct identity *who = r->authn.who;
	struct span registry = span_of(r->upstream_config->registry), tag = SPAN_NONE;
	struct span ip = span_of(r->client.ip), id = span_of(r->id);
	size_t n = registry.n + r->route.repository.n + r->route.reference.n + who->issuer.n + 1 + who->subject.n + ip.n + id.n;
	struct removal *m = calloc(1, sizeof *m + n);
	char *at;

	if (m == NULL)
		return NULL;
	at = m->bytes;
	if (r->route.op == ROUTE_TAG_DELETE)
		tag = r->route.reference;
	else
		memcpy(m->op.digest, r->route.reference.p, r->route.reference.n);	/* sha256:<64>: the grammar saw to it */
	m->op.registry = span_keep(&at, registry);
	m->op.repository = span_keep(&at, r->route.repository);
	m->op.tag = span_keep(&at, tag);
	m->op.source = span_keep(&at, ip);
	m->op.event_id = span_keep(&at, id);
	m->op.who = span_keep(&at, who->issuer);
	*at++ = '/';
	span_keep(&at, who->subject);
	m->op.who.n += 1 + who->subject.n;
	m->op.now = loop_wall_s(r->worker->loop);
	m->op.mail.deliver = on_ledger;
	m->op.reply_to = r->worker->mailbox;
	m->request = r;
	m->ledger = r->worker->gateway->ledger;
	return m;
}

enum next
step_remove(struct request *r)
{
	if (!request_is_delete(r))
		return NEXT;
	r->removal = removal_new(r);
	if (r->removal == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	submit(r->removal, LEDGER_DELETE_BEGIN, REMOVE_BEGIN);
	return WAIT;
}

void
remove_settle(struct request *r)
{
	unsigned status = r->exchange_failed != REFUSE_NONE ? 0 : r->answer.head->status;
	enum ledger_outcome outcome = LEDGER_DELETE_UNSURE;

	if ((status >= 200 && status < 300) || status == 404)
		outcome = LEDGER_DELETE_DONE;
	else if ((status >= 400 && status < 500 && !exchange_repeated(r->exchange)) || (status == 0 && !r->exchange_sent))
		outcome = LEDGER_DELETE_KEPT;
	end(r->removal, outcome, r->exchange_failed);
}
