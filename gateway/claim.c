/*
 * claim.c - the steps around a write: the tag is claimed before, confirmed after, and the event is on disk before
 * the client hears of success.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/grow.h"
#include "gateway/peek.h"
#include "gateway/request.h"
#include "gateway/tags/append.h"

/* The environment of one hold: it may outlive the request, which then is NULL. */
struct claim {
	struct request *request;
	struct worker *worker;
	struct event *timer;
	struct hold *hold;
	struct peek peek;		/* what the tag names upstream */
};

static void
claim_free(struct claim *c)
{
	if (c->timer != NULL)
		event_free(c->timer);
	peek_clear(&c->peek);
	free(c);
}

/* ---- asking upstream what a tag names ---- */

static void
on_probed(struct peek *f)
{
	struct claim *c = f->request->claim;

	hold_probed(c->hold, peek_says(f), f->digest);
}

static void
start_probe(void *ctx, struct hold *h)
{
	static const char none[LEDGER_DIGEST];
	struct claim *c = ctx;

	if (c->request == NULL)
		hold_probed(h, PROBE_UNKNOWN, none);
	else
		peek_start(&c->peek, c->request, forward_target(c->request, &c->request->route), on_probed);
}

static void
on_grown(void *ctx, enum refuse why)
{
	struct claim *c = ctx;

	hold_appended(c->hold, why);
}

static void
start_append(void *ctx, struct hold *h, const char *old)
{
	struct claim *c = ctx;

	if (c->request == NULL)
		hold_appended(h, REFUSE_CLIENT_GONE);
	else
		grow_start(c->request, c->request->route.reference, old, on_grown, c);
}

/* ---- the rest of the hold's environment ---- */

static bool
may_overwrite(void *ctx, struct hold *h)
{
	struct claim *c = ctx;
	struct decision d;

	(void)h;
	return c->request != NULL &&
	    decide(c->request, ACTION_OverwriteTag, c->request->route.repository, &d) == VERDICT_ALLOW;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct claim *c = arg;

	(void)fd;
	(void)what;
	hold_timer(c->hold);
}

static void
set_timer(void *ctx, struct hold *h, unsigned ms)
{
	struct claim *c = ctx;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)h;
	if (ms == 0)
		event_del(c->timer);
	else
		event_add(c->timer, &tv);
}

static int64_t
now_s(void *ctx)
{
	return loop_wall_s(((struct claim *)ctx)->worker->loop);
}

static void
note(void *ctx, const char *event, const char *digest, const char *old_digest)
{
	struct claim *c = ctx;

	if (c->request != NULL)
		record_state(c->request, event, c->request->route.reference, span_of(digest), span_of(old_digest));
}

static void
on_event(void *ctx, struct hold *h, enum hold_event ev, enum refuse why)
{
	struct claim *c = ctx;
	struct request *r = c->request;

	if (ev != HOLD_GRANTED && r != NULL)
		r->hold = NULL;	/* it frees itself */
	if (r == NULL)
		return;
	r->old_digest = arena_printf(r->arena, "%s", hold_old_digest(h)).p;
	if (ev == HOLD_REFUSED)
		request_fail(r, why);
	else if (ev == HOLD_DONE && r->exchange_failed != REFUSE_NONE)
		request_fail(r, r->exchange_failed);
	else
		request_continue(r);
}

static void
on_gone(void *ctx)
{
	claim_free(ctx);
}

enum next
step_hold(struct request *r)
{
	struct claim *c;
	struct hold_env env = {
		.ledger = r->worker->gateway->ledger,
		.mailbox = r->worker->mailbox,
		.probe = start_probe,
		.may_overwrite = may_overwrite,
		.append = start_append,
		.timer = set_timer,
		.now = now_s,
		.event = on_event,
		.note = note,
		.gone = on_gone,
	};
	struct hold_request rq = {
		.registry = span_of(r->upstream_config->registry),
		.repository = r->route.repository,
		.tag = r->route.reference,
		.source = span_of(r->client.ip),
		.event_id = span_of(r->id),
		.settle = r->config->settle,
		.read_back = r->config->read_back,
		.append_only = append_kind_of(r->route.reference) != APPEND_NONE,
	};

	if (r->route.op != ROUTE_MANIFEST_PUT || r->route.reference_type != REFERENCE_TAG)
		return NEXT;
	rq.who = arena_printf(r->arena, "%.*s/%.*s", SPAN_FMT(r->authn.who->issuer),
	    SPAN_FMT(r->authn.who->subject));
	memcpy(rq.digest, r->manifest.digest, sizeof rq.digest);
	c = calloc(1, sizeof *c);
	if (c == NULL || rq.who.p == NULL) {
		free(c);
		return request_refuse(r, REFUSE_NO_MEMORY);
	}
	c->request = r;
	c->worker = r->worker;
	c->timer = event_new(r->worker->loop->base, -1, 0, on_timer, c);
	env.ctx = c;
	c->hold = c->timer == NULL ? NULL : hold_new(&env, &rq);
	if (c->hold == NULL) {
		claim_free(c);
		return request_refuse(r, REFUSE_NO_MEMORY);
	}
	r->claim = c;
	r->hold = c->hold;
	hold_start(c->hold);
	return WAIT;
}

void
claim_abandon(struct request *r)
{
	struct hold *h = r->hold;

	grow_abandon(r);
	if (r->claim != NULL && h != NULL)
		r->claim->request = NULL;	/* the hold may live on until the ledger answered */
	r->hold = NULL;
	if (h != NULL)
		hold_abandon(h);
}

/* ---- after upstream's answer ---- */

static enum put_outcome
outcome_of(const struct request *r)
{
	if (r->exchange_failed != REFUSE_NONE)
		return r->exchange_sent ? PUT_UNSURE : PUT_NOT_SENT;
	if (r->answer.head->status == 201)
		return PUT_STORED;
	return r->answer.head->status >= 400 && r->answer.head->status < 500 ? PUT_REFUSED : PUT_UNSURE;
}

enum next
step_settle(struct request *r)
{
	if (r->removal != NULL) {
		remove_settle(r);
		return WAIT;
	}
	if (r->hold != NULL) {
		hold_finish(r->hold, outcome_of(r));
		return WAIT;
	}
	return r->exchange_failed == REFUSE_NONE ? NEXT : request_refuse(r, r->exchange_failed);
}

/* ---- the event before the answer ---- */

static void
on_durable(struct mail *m)
{
	struct spool_wait *wait = (struct spool_wait *)(void *)((char *)m - offsetof(struct spool_wait, mail));
	struct request *r = (struct request *)(void *)((char *)wait - offsetof(struct request, wait));

	if (!wait->durable) {
		r->audited = false;	/* the event that is written instead says what the client was told */
		request_fail(r, REFUSE_AUDIT_DOWN);
		return;
	}
	request_continue(r);
}

enum next
step_commit(struct request *r)
{
	unsigned status = r->answer.head->status;

	/* the 202 of an upload begins it: nothing can be pulled yet */
	if (request_is_delete(r) ? status < 200 || status >= 300 : status != 201)
		return NEXT;
	r->wait.mail.deliver = on_durable;
	r->wait.reply_to = r->worker->mailbox;
	r->audited = true;
	if (record_request(r, &r->wait))
		return WAIT;
	r->audited = false;
	return request_refuse(r, REFUSE_AUDIT_DOWN);
}

enum next
step_reply(struct request *r)
{
	struct span body = { r->answer.body, r->answer.cut || r->answer.head->status < 300 ? 0 : r->answer.n };
	enum refuse why = forward_check(r, r->answer.head);

	if (why == REFUSE_NONE)
		why = answer_relay(r, r->answer.head, &body);
	if (why != REFUSE_NONE) {
		r->audited = false;
		return request_refuse(r, why);
	}
	request_replied(r);
	return STOP;
}
