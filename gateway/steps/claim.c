/*
 * claim.c - the steps around a manifest PUT: every tag it names is claimed before, and confirmed after.
 *
 * One PUT may name several tags (?tag=a&tag=b with a digest, OCI distribution-spec). All are claimed, in order, before the
 * first is sent; one refusal lets go of all. Then the manifest is sent by tag, once for each, which every registry knows:
 *
 *   hold: claim 0 .. n-1 -> [ forward -> settle: confirm ] for each -> the answer
 *
 * After the first that fails nothing more is sent, and the claims that are left are released. Two such requests claim in the
 * same order, so neither waits for the other for ever.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/steps/grow.h"
#include "gateway/steps/peek.h"
#include "gateway/request.h"
#include "gateway/tags/append.h"

/* The environment of one hold: it may outlive the request, which then is NULL. */
struct claim {
	struct request *request;
	struct worker *worker;
	struct event *timer;
	struct hold *hold;
	struct peek peek;		/* what the tag names upstream */
	size_t index;			/* among the request's */
};

enum claims_state {
	CLAIMS_TAKING = 0,	/* `at` is being claimed, those before it are ours */
	CLAIMS_SENDING,		/* `at` is being sent or confirmed */
	CLAIMS_DROPPING,	/* all that are left are given back; then `why`, or upstream's answer */
};

/* In the request's arena. */
struct request_claims {
	enum claims_state state;
	size_t n, at;
	struct span tag[ROUTE_TAGS_MAX];
	struct claim *claim[ROUTE_TAGS_MAX];	/* NULL: not begun, or ended */
	enum refuse why;
};

static void
claim_free(struct claim *c)
{
	if (c->timer != NULL)
		event_free(c->timer);
	peek_clear(&c->peek);
	free(c);
}

static struct span
tag_of(const struct claim *c)
{
	return c->request->claims->tag[c->index];
}

/* The request's route, by tag. */
static struct route
route_by(const struct request *r, struct span tag)
{
	return (struct route){ .op = r->route.op, .repository = r->route.repository, .reference_type = REFERENCE_TAG,
		.reference = tag };
}

struct span
claim_target(struct request *r)
{
	struct route route;

	if (r->claims == NULL)
		return forward_target(r, &r->route);
	route = route_by(r, r->claims->tag[r->claims->at]);
	return forward_target(r, &route);
}

/* ---- asking upstream what a tag names ---- */

static void
on_probed(struct peek *p)
{
	const struct request_claims *s = p->request->claims;

	hold_probed(s->claim[s->at]->hold, peek_says(p), p->digest);
}

static void
start_probe(void *ctx, struct hold *h)
{
	static const char none[LEDGER_DIGEST];
	struct claim *c = ctx;
	struct route route;

	if (c->request == NULL) {
		hold_probed(h, PROBE_UNKNOWN, none);
		return;
	}
	route = route_by(c->request, tag_of(c));
	peek_start(&c->peek, c->request, forward_target(c->request, &route), on_probed);
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
		grow_start(c->request, tag_of(c), old, on_grown, c);
}

/* ---- the rest of the hold's environment ---- */

static bool
may_overwrite(void *ctx, struct hold *h)
{
	struct claim *c = ctx;
	struct request *r = c->request;
	struct judged j;

	(void)h;
	if (r == NULL)
		return false;
	if (judge_ask(r, ACTION_OverwriteTag, r->route.repository, tag_of(c), &j) == VERDICT_ALLOW) {
		judge_also(r, &j);
		return true;
	}
	if (observe_lifts(r, REFUSE_TAG_LOCKED, &j))
		return true;
	judge_decides(r, &j);
	return false;
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
		record_state(c->request, event, tag_of(c), span_of(digest), span_of(old_digest));
}

static void
on_gone(void *ctx)
{
	claim_free(ctx);
}

/* ---- one claim after the other ---- */

static size_t
put(char *to, struct span s)
{
	memcpy(to, s.p, s.n);
	return s.n;
}

/* Tags from..to-1 as "a, b". */
static struct span
names(struct request *r, size_t from, size_t to)
{
	const struct request_claims *s = r->claims;
	size_t size = 1, n = 0;
	char *p;

	for (size_t i = from; i < to; i++)
		size += s->tag[i].n + 2;
	p = arena_alloc(r->arena, size);
	for (size_t i = from; p != NULL && i < to; i++) {
		if (i > from)
			n += put(p + n, SPAN(", "));
		n += put(p + n, s->tag[i]);
	}
	return (struct span){ p, n };
}

struct span
claim_tags(struct request *r)
{
	return r->route.n_tags == 0 || r->claims == NULL ? SPAN_NONE : names(r, 0, r->claims->n);
}

static void drop_next(struct request *r);

/* It goes no further. What is sent is sent: the client and the event are told what. */
static void
failed(struct request *r, enum refuse why)
{
	struct request_claims *s = r->claims;

	if (r->route.n_tags > 0) {
		r->at_tag = s->tag[s->at];
		r->detail = s->state == CLAIMS_TAKING || s->at == 0 ?
		    arena_printf(r->arena, "stored under none of %.*s", SPAN_FMT(names(r, 0, s->n))) :
		    arena_printf(r->arena, "stored under %.*s, not under %.*s", SPAN_FMT(names(r, 0, s->at)),
		    SPAN_FMT(names(r, s->at, s->n)));
		if (why != REFUSE_NONE)
			r->message = arena_printf(r->arena, "%.*s: %s; %.*s", SPAN_FMT(r->at_tag),
			    r->message != NULL ? r->message : refusal_of(why)->text, SPAN_FMT(r->detail)).p;
	}
	s->state = CLAIMS_DROPPING;
	s->why = why;
	drop_next(r);
}

static void
drop_next(struct request *r)
{
	struct request_claims *s = r->claims;

	for (size_t i = 0; i < s->n; i++)
		if (s->claim[i] != NULL) {
			hold_finish(s->claim[i]->hold, PUT_NOT_SENT);
			return;
		}
	if (s->why != REFUSE_NONE)
		request_fail(r, s->why);
	else
		request_continue(r);
}

static bool start_claim(struct request *r, size_t i);

static void
take_next(struct request *r)
{
	struct request_claims *s = r->claims;

	if (++s->at < s->n) {
		if (!start_claim(r, s->at))
			failed(r, REFUSE_NO_MEMORY);
		return;
	}
	s->state = CLAIMS_SENDING;
	s->at = 0;
	request_continue(r);
}

/* One PUT is over, and its claim. */
static void
sent(struct request *r, enum refuse why)
{
	struct request_claims *s = r->claims;

	if (why == REFUSE_NONE)
		why = r->exchange_failed;
	if (why == REFUSE_NONE && r->answer.head->status == 201) {
		if (++s->at == s->n)
			request_continue(r);
		else if (hold_too_old(s->claim[s->at]->hold))
			failed(r, REFUSE_TAG_BUSY);
		else
			request_forward_again(r);
		return;
	}
	failed(r, why);
}

static void
on_event(void *ctx, struct hold *h, enum hold_event ev, enum refuse why)
{
	struct claim *c = ctx;
	struct request *r = c->request;
	struct request_claims *s;

	if (r == NULL)
		return;
	s = r->claims;
	if (ev != HOLD_GRANTED)
		s->claim[c->index] = NULL;	/* it frees itself */
	if (s->n == 1 || ev == HOLD_REFUSED)
		r->old_digest = arena_printf(r->arena, "%s", hold_old_digest(h)).p;
	switch (s->state) {
	case CLAIMS_TAKING:
		if (ev == HOLD_GRANTED)
			take_next(r);
		else
			failed(r, why != REFUSE_NONE ? why : REFUSE_INTERNAL);
		return;
	case CLAIMS_SENDING:
		sent(r, why);
		return;
	case CLAIMS_DROPPING:
		drop_next(r);
		return;
	}
}

static bool
start_claim(struct request *r, size_t i)
{
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
		.tag = r->claims->tag[i],
		.who = arena_printf(r->arena, "%.*s/%.*s", SPAN_FMT(r->authn.who->issuer), SPAN_FMT(r->authn.who->subject)),
		.source = span_of(r->client.ip),
		.event_id = span_of(r->id),
		.settle = r->config->settle,
		.read_back = r->config->read_back,
		.append_only = append_kind_of(r->claims->tag[i]) != APPEND_NONE,
	};
	struct claim *c = rq.who.p == NULL ? NULL : calloc(1, sizeof *c);

	if (c == NULL)
		return false;
	memcpy(rq.digest, r->manifest.digest, sizeof rq.digest);
	c->request = r;
	c->worker = r->worker;
	c->index = i;
	c->timer = event_new(r->worker->loop->base, -1, 0, on_timer, c);
	env.ctx = c;
	c->hold = c->timer == NULL ? NULL : hold_new(&env, &rq);
	if (c->hold == NULL) {
		claim_free(c);
		return false;
	}
	r->claims->claim[i] = c;
	hold_start(c->hold);
	return true;
}

/* ---- the steps ---- */

static int
by_bytes(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

/* The tags that are to be claimed: sorted, each once. */
static void
collect_tags(const struct request *r, struct request_claims *s)
{
	if (r->route.reference_type == REFERENCE_TAG) {
		s->tag[s->n++] = r->route.reference;
		return;
	}
	memcpy(s->tag, r->route.tags, r->route.n_tags * sizeof *s->tag);
	qsort(s->tag, r->route.n_tags, sizeof *s->tag, by_bytes);
	for (size_t i = 0; i < r->route.n_tags; i++)
		if (s->n == 0 || !span_eq(s->tag[s->n - 1], s->tag[i]))
			s->tag[s->n++] = s->tag[i];
}

enum next
step_hold(struct request *r)
{
	if (r->route.op != ROUTE_MANIFEST_PUT || (r->route.reference_type != REFERENCE_TAG && r->route.n_tags == 0))
		return NEXT;
	r->claims = arena_zalloc(r->arena, 1, sizeof *r->claims);
	if (r->claims == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	collect_tags(r, r->claims);
	if (r->route.n_tags > 0)
		r->detail = arena_printf(r->arena, "tags %.*s", SPAN_FMT(claim_tags(r)));
	return start_claim(r, 0) ? WAIT : request_refuse(r, REFUSE_NO_MEMORY);
}

static enum put_outcome
outcome_of(const struct request *r)
{
	if (r->exchange_failed != REFUSE_NONE)
		return r->exchange_sent ? PUT_UNSURE : PUT_NOT_SENT;
	if (r->answer.head->status == 201)
		return PUT_STORED;
	/* what went out on a connection that closed may be stored, whatever the second one was told */
	return r->answer.head->status >= 400 && r->answer.head->status < 500 && !exchange_repeated(r->exchange) ? PUT_REFUSED :
	    PUT_UNSURE;
}

enum next
step_settle(struct request *r)
{
	if (r->removal != NULL) {
		remove_settle(r);
		return WAIT;
	}
	if (r->claims != NULL) {
		hold_finish(r->claims->claim[r->claims->at]->hold, outcome_of(r));
		return WAIT;
	}
	return r->exchange_failed == REFUSE_NONE ? NEXT : request_refuse(r, r->exchange_failed);
}

/* May upstream have the manifest that is being sent, for all we know? */
static bool
may_be_stored(const struct request *r)
{
	if (r->claims->state != CLAIMS_SENDING)
		return false;
	return r->exchange != NULL ? exchange_sent(r->exchange) : r->exchange_sent;
}

void
claim_abandon(struct request *r)
{
	struct request_claims *s = r->claims;

	grow_abandon(r);
	for (size_t i = 0; s != NULL && i < s->n; i++) {
		struct claim *c = s->claim[i];
		bool stored = may_be_stored(r) && i == s->at;

		if (c == NULL)
			continue;
		s->claim[i] = NULL;
		if (stored && hold_leaves_claim(c->hold))
			record_state(r, "tag.unresolved", s->tag[i], span_of(r->manifest.digest), span_of(hold_old_digest(c->hold)));
		c->request = NULL;	/* the hold may live on until the ledger answered */
		if (stored || (s->state == CLAIMS_TAKING && i == s->at))
			hold_abandon(c->hold);
		else
			hold_finish(c->hold, PUT_NOT_SENT);
	}
}
