/*
 * hold.c - the claim protocol for one PUT by tag.
 *
 * At most one of these is under way: an operation of the ledger, a probe, a comparison, a timer. Whatever is called last in a
 * function may come back at once and may free the hold, so nothing looks at the hold after submit(), ask(), wait_a_bit(),
 * grant(), send() or end(). With an operation under way the hold outlives hold_abandon(): its memory is the operation's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/hold.h"

#include <stdlib.h>

#define BUSY_MS	     5000u /* what a second push of the same digest waits for the first */
#define BUSY_STEP_MS 50u /* the first wait; it doubles up to BUSY_MAX_MS */
#define BUSY_MAX_MS  800u
#define ROUNDS	     8u /* claims asked for beside those waits: others keep moving the tag */
#define NAMES_MAX    65536u /* of all names together: far more than a request head may have */

enum hold_state {
	HELD_NOTHING = 0, /* not started */
	CLAIMING, /* ledger: CLAIM */
	WAITING, /* timer: another push of our digest is in flight */
	LOOKING, /* probe: we hold a claim, what does upstream have? */
	LOOKING_AFTER, /* probe: what became of a claim of another digest that nobody holds? */
	CLEARING, /* ledger: SETTLE or ADOPT of that claim */
	FINDING, /* ledger: FOUND */
	COMPARING, /* append: a tag that grows, may our manifest follow what is there? */
	GIVEN, /* the PUT may be on its way */
	READING_BACK, /* probe: 201 came, what does upstream have? */
	ENDING, /* ledger: CONFIRM, RELEASE or UNRESOLVE, then `last` */
	ENDED,
};

struct hold {
	struct ledger_op op;
	struct hold_env env;
	enum hold_state state;
	bool abandoned;
	bool again; /* our claim was unresolved before: an earlier push may still arrive */
	bool share; /* the token is of a share: the tag is confirmed with our digest, nothing is written */
	uint64_t token; /* of the claim we hold; 0: none */
	char digest[LEDGER_DIGEST]; /* ours */
	char old_digest[LEDGER_DIGEST];
	bool may_overwrite; /* it was asked, and granted */
	bool old_deleted; /* by a delete through us: what it was is not to be kept */
	int64_t settle;
	int64_t claimed_at; /* by us */
	int64_t asked; /* when the last probe began: what it says may be as old as that */
	bool read_back, append_only;
	unsigned waited_ms, step_ms, rounds;
	/* after ENDING */
	enum hold_event last;
	enum refuse why;
	char names[];
};

static void on_ledger(struct mail *m);

static bool
same(const char a[static LEDGER_DIGEST], const char b[static LEDGER_DIGEST])
{
	return a[0] != '\0' && strncmp(a, b, LEDGER_DIGEST) == 0;
}

static void
copy(char to[static LEDGER_DIGEST], const char from[static LEDGER_DIGEST])
{
	memcpy(to, from, LEDGER_DIGEST);
	to[LEDGER_DIGEST - 1] = '\0';
}

/* ---- ways out of a function: nothing may follow them ---- */

static void
gone(struct hold *h)
{
	struct hold_env env = h->env;

	free(h);
	if (env.gone != NULL)
		env.gone(env.ctx);
}

static void
end(struct hold *h, enum hold_event ev, enum refuse why)
{
	h->state = ENDED;
	if (!h->abandoned)
		h->env.event(h->env.ctx, h, ev, why);
	gone(h);
}

static void
refuse(struct hold *h, enum refuse why)
{
	end(h, HOLD_REFUSED, why);
}

static void
submit(struct hold *h, enum ledger_verb verb, enum hold_state state)
{
	h->state = state;
	h->op.verb = verb;
	/* what upstream said was true when it was asked, and may not be now */
	h->op.now = state == CLEARING ? h->asked : h->env.now(h->env.ctx);
	h->op.token = h->token;
	ledger_submit(h->env.ledger, &h->op);
}

/* Our claim ends, and then so do we. */
static void
finish(struct hold *h, enum ledger_verb verb, enum hold_event last, enum refuse why)
{
	h->last = last;
	h->why = why;
	submit(h, verb, ENDING);
}

static void
claim(struct hold *h)
{
	if (h->rounds++ >= ROUNDS) {
		refuse(h, REFUSE_TAG_BUSY);
		return;
	}
	copy(h->op.digest, h->digest);
	h->token = 0;
	h->again = h->share = false;
	submit(h, LEDGER_CLAIM, CLAIMING);
}

static void
ask(struct hold *h, enum hold_state state)
{
	h->state = state;
	h->asked = h->env.now(h->env.ctx);
	h->env.probe(h->env.ctx, h);
}

/*
 * `settle` counts from the claim: one that grew old before anything was sent (the machine slept) could be settled while
 * the PUT is on its way.
 */
bool
hold_too_old(const struct hold *h)
{
	return h->token != 0 && !h->share && h->env.now(h->env.ctx) - h->claimed_at > h->settle / 2 + 1;
}

static void
grant(struct hold *h)
{
	if (hold_too_old(h)) {
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, REFUSE_TAG_BUSY);
		return;
	}
	h->state = GIVEN;
	h->env.event(h->env.ctx, h, HOLD_GRANTED, REFUSE_NONE);
}

/* The claim is ours and the PUT may change the tag; one that grows is compared first. */
static void
send(struct hold *h)
{
	if (!h->append_only) {
		grant(h);
		return;
	}
	h->state = COMPARING;
	h->env.append(h->env.ctx, h, h->old_deleted ? "" : h->old_digest);
}

static void
wait_a_bit(struct hold *h)
{
	unsigned ms = h->step_ms < BUSY_MS - h->waited_ms ? h->step_ms : BUSY_MS - h->waited_ms;

	if (ms == 0) {
		refuse(h, REFUSE_TAG_BUSY);
		return;
	}
	h->waited_ms += ms;
	h->step_ms = h->step_ms * 2 < BUSY_MAX_MS ? h->step_ms * 2 : BUSY_MAX_MS;
	h->state = WAITING;
	h->env.timer(h->env.ctx, h, ms);
}

/* ---- small questions ---- */

static void
note(struct hold *h, const char *event, const char *digest, const char *old_digest)
{
	if (h->env.note != NULL)
		h->env.note(h->env.ctx, event, digest, old_digest);
}

/* Is another digest than the tag's refused? A tag that grows may change, and is compared; not so once it was deleted. */
static enum refuse
change_refused(struct hold *h)
{
	bool deleted = h->op.deleted;

	if (h->append_only && !deleted)
		return REFUSE_NONE;
	h->may_overwrite = h->may_overwrite || h->env.may_overwrite(h->env.ctx, h);
	if (h->may_overwrite)
		return REFUSE_NONE;
	return deleted ? REFUSE_TAG_DELETED : REFUSE_TAG_LOCKED;
}

/* ---- before the PUT ---- */

static void
locked(struct hold *h)
{
	enum refuse why;

	copy(h->old_digest, h->op.current_digest);
	why = change_refused(h);
	if (why != REFUSE_NONE) {
		refuse(h, why);
		return;
	}
	h->op.overwrite = true;
	claim(h);
}

/* A tag that grows is claimed over without OverwriteTag; if it was deleted meanwhile, it takes that after all. */
static void
send_over(struct hold *h)
{
	enum refuse why = h->old_deleted && !h->may_overwrite ? change_refused(h) : REFUSE_NONE;

	if (why == REFUSE_NONE)
		send(h);
	else
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, why);
}

static void
claimed(struct hold *h)
{
	enum ledger_answer a = h->op.answer;

	h->token = h->op.token;
	h->claimed_at = h->op.claimed_at;
	h->again = a == LEDGER_CLAIMED_AGAIN;
	copy(h->old_digest, h->op.current_digest);
	h->old_deleted = h->op.deleted;
	note(h, "tag.claimed", h->digest, h->old_digest);
	if (h->abandoned) {
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, REFUSE_NONE);
		return;
	}
	/*
	 * The claim that is held again may be of a push that died before it asked, or of somebody who may change
	 * the tag when we may not: upstream is asked then, too.
	 */
	if (a != LEDGER_CLAIMED_OVER)
		ask(h, LOOKING);
	else if (same(h->old_digest, h->digest))
		grant(h); /* what was deleted returns */
	else
		send_over(h);
}

static void
on_claim(struct hold *h)
{
	switch (h->op.answer) {
	case LEDGER_CLAIMED_NEW:
	case LEDGER_CLAIMED_OVER:
	case LEDGER_CLAIMED_AGAIN:
		claimed(h);
		return;
	case LEDGER_DOWN:
	case LEDGER_ABSENT:
	case LEDGER_MANY:
	case LEDGER_OK:
		refuse(h, REFUSE_LEDGER_DOWN);
		return;
	case LEDGER_SAME:
		h->share = true;
		h->token = h->op.token;
		break;
	case LEDGER_RESTORED:
	case LEDGER_LOCKED:
	case LEDGER_BUSY:
	case LEDGER_CLAIMED_OTHER:
	case LEDGER_UNRESOLVED:
		break;
	}
	if (h->abandoned && h->share) {
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, REFUSE_NONE);
	} else if (h->abandoned) {
		end(h, HOLD_REFUSED, REFUSE_NONE);
	} else if (h->op.answer == LEDGER_RESTORED) {
		refuse(h, REFUSE_TAG_RESTORED);
	} else if (h->op.answer == LEDGER_SAME) {
		copy(h->old_digest, h->op.current_digest);
		grant(h);
	} else if (h->op.answer == LEDGER_LOCKED) {
		locked(h);
	} else if (h->op.answer == LEDGER_BUSY) {
		wait_a_bit(h);
	} else if (h->op.answer == LEDGER_UNRESOLVED) {
		ask(h, LOOKING_AFTER);
	} else {
		refuse(h, h->append_only ? REFUSE_TAG_CHANGED : REFUSE_TAG_PENDING);
	}
}

/* We hold a claim of an earlier push, and upstream does not have its digest (yet): is it ours to send? */
static void
send_again(struct hold *h, const char *found)
{
	enum refuse why = REFUSE_NONE;

	/* a tag that grows must still be what the ledger says */
	if (found != NULL && (!h->append_only || h->old_digest[0] == '\0'))
		copy(h->old_digest, found);
	if (h->old_digest[0] != '\0' && !same(h->old_digest, h->digest))
		why = change_refused(h);
	if (why == REFUSE_NONE)
		send(h);
	else
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, why);
}

static void
looked(struct hold *h, enum probe_result r, const char found[static LEDGER_DIGEST])
{
	switch (r) {
	case PROBE_UNKNOWN:
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, REFUSE_TAG_UNKNOWN);
		return;
	case PROBE_ABSENT:
		send_again(h, NULL);
		return;
	case PROBE_PRESENT:
		if (h->again && !same(found, h->digest)) {
			send_again(h, found);
			return;
		}
		copy(h->op.found, found);
		submit(h, LEDGER_FOUND, FINDING);
		return;
	}
}

/* Upstream had it before us, and the ledger knows that now. We hold nothing any more. */
static void
on_found(struct hold *h)
{
	bool ok = h->op.answer == LEDGER_OK;

	h->token = 0;
	if (ok)
		note(h, "tag.found", h->op.found, h->old_digest);
	if (!ok || h->abandoned) {
		refuse(h, h->op.answer == LEDGER_DOWN ? REFUSE_LEDGER_DOWN : REFUSE_TAG_UNKNOWN);
		return;
	}
	/* shares the tag if it is ours, and answers as it does to every other digest if not */
	claim(h);
}

/* The claim of another digest (op.current_digest, op.claimed_at): did its push arrive, or can it still? */
static void
looked_after(struct hold *h, enum probe_result r, const char found[static LEDGER_DIGEST])
{
	bool arrived = r == PROBE_PRESENT && same(found, h->op.current_digest);

	if (r == PROBE_UNKNOWN) {
		refuse(h, REFUSE_TAG_UNKNOWN);
		return;
	}
	/* too young to be settled: the ledger would say the same, this spares it the question */
	if (!arrived && h->asked - h->op.claimed_at <= h->settle) {
		refuse(h, REFUSE_TAG_PENDING);
		return;
	}
	copy(h->op.digest, h->op.current_digest);
	copy(h->op.found, found);
	submit(h, r == PROBE_ABSENT ? LEDGER_SETTLE : LEDGER_ADOPT, CLEARING);
}

static void
on_cleared(struct hold *h)
{
	/* the verb and both digests are still what we sent */
	if (h->op.answer == LEDGER_OK && h->op.verb == LEDGER_SETTLE)
		note(h, "tag.settled", h->op.digest, "");
	else if (h->op.answer == LEDGER_OK)
		note(h, same(h->op.found, h->op.digest) ? "tag.confirmed" : "tag.settled", h->op.digest, "");
	if (h->abandoned)
		end(h, HOLD_REFUSED, REFUSE_NONE);
	else if (h->op.answer == LEDGER_DOWN)
		refuse(h, REFUSE_LEDGER_DOWN);
	else if (h->op.answer == LEDGER_UNRESOLVED)
		refuse(h, REFUSE_TAG_PENDING);
	else
		claim(h); /* it is gone, by us or by somebody else */
}

/* ---- after the PUT ---- */

static void
read_back(struct hold *h, enum probe_result r, const char found[static LEDGER_DIGEST])
{
	bool ours = r == PROBE_PRESENT && same(found, h->digest);

	if (h->token == 0)
		end(h, ours ? HOLD_DONE : HOLD_REFUSED, ours ? REFUSE_NONE : REFUSE_NOT_CONFIRMED);
	else if (ours)
		finish(h, LEDGER_CONFIRM, HOLD_DONE, REFUSE_NONE);
	else
		finish(h, LEDGER_UNRESOLVE, HOLD_REFUSED, REFUSE_NOT_CONFIRMED);
}

static void
on_ended(struct hold *h)
{
	bool ok = h->op.answer == LEDGER_OK;
	const char *event = h->op.verb == LEDGER_CONFIRM ? "tag.confirmed" : "tag.unresolved";

	h->token = 0;
	if (h->share) {
		end(h, h->last, h->why);
		return;
	}
	/* what an earlier push left unresolved is not settled by our not sending it */
	if (h->op.verb == LEDGER_RELEASE && !h->again)
		event = "tag.released";
	if (ok)
		note(h, event, h->digest, h->old_digest);
	/* only a confirmation that failed changes the answer: every other claim is left in a state that refuses more */
	if (h->op.verb == LEDGER_CONFIRM && !ok)
		refuse(h, h->op.answer == LEDGER_DOWN ? REFUSE_LEDGER_DOWN : REFUSE_NOT_CONFIRMED);
	else
		end(h, h->last, h->why);
}

/* ---- what comes in ---- */

static void
on_ledger(struct mail *m)
{
	struct hold *h = (struct hold *)(void *)((char *)m - offsetof(struct hold, op.mail));

	switch (h->state) {
	case CLAIMING:
		on_claim(h);
		return;
	case CLEARING:
		on_cleared(h);
		return;
	case FINDING:
		on_found(h);
		return;
	case ENDING:
		on_ended(h);
		return;
	case HELD_NOTHING:
	case WAITING:
	case LOOKING:
	case LOOKING_AFTER:
	case COMPARING:
	case GIVEN:
	case READING_BACK:
	case ENDED:
		return;
	}
}

void
hold_probed(struct hold *h, enum probe_result r, const char digest[static LEDGER_DIGEST])
{
	/* a digest that is none was not learned */
	if (r == PROBE_PRESENT && (memchr(digest, '\0', LEDGER_DIGEST) == NULL || digest[0] == '\0'))
		r = PROBE_UNKNOWN;
	if (h->state == LOOKING)
		looked(h, r, digest);
	else if (h->state == LOOKING_AFTER)
		looked_after(h, r, digest);
	else if (h->state == READING_BACK)
		read_back(h, r, digest);
}

void
hold_appended(struct hold *h, enum refuse why)
{
	if (h->state != COMPARING)
		return;
	if (why == REFUSE_NONE)
		grant(h);
	else
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, why);
}

void
hold_timer(struct hold *h)
{
	if (h->state != WAITING)
		return;
	h->rounds--; /* waits are bounded by their own time */
	claim(h);
}

void
hold_start(struct hold *h)
{
	if (h->state == HELD_NOTHING)
		claim(h);
}

void
hold_finish(struct hold *h, enum put_outcome outcome)
{
	if (h->state != GIVEN)
		return;
	switch (outcome) {
	case PUT_STORED:
		if (h->read_back)
			ask(h, READING_BACK);
		else if (h->token != 0)
			finish(h, LEDGER_CONFIRM, HOLD_DONE, REFUSE_NONE);
		else
			end(h, HOLD_DONE, REFUSE_NONE);
		return;
	case PUT_UNSURE:
	case PUT_NOT_SENT:
	case PUT_REFUSED:
		if (h->token == 0)
			end(h, HOLD_DONE, REFUSE_NONE);
		else
			finish(h, outcome == PUT_UNSURE ? LEDGER_UNRESOLVE : LEDGER_RELEASE, HOLD_DONE, REFUSE_NONE);
		return;
	}
}

void
hold_abandon(struct hold *h)
{
	h->abandoned = true;
	switch (h->state) {
	case WAITING:
		h->env.timer(h->env.ctx, h, 0);
		gone(h);
		return;
	case HELD_NOTHING:
	case LOOKING_AFTER:
		gone(h);
		return;
	case LOOKING:
	case COMPARING:
		finish(h, LEDGER_RELEASE, HOLD_REFUSED, REFUSE_NONE);
		return;
	case GIVEN:
	case READING_BACK:
		/* what was sent, or how it ended, nobody will learn any more */
		if (h->token == 0)
			gone(h);
		else
			finish(h, LEDGER_UNRESOLVE, HOLD_REFUSED, REFUSE_NONE);
		return;
	case CLAIMING:
	case CLEARING:
	case FINDING:
	case ENDING:
	case ENDED:
		/* when the answer is in; or end() is on the stack */
		return;
	}
}

/* ---- the beginning ---- */

struct hold *
hold_new(const struct hold_env *env, const struct hold_request *rq)
{
	const struct span all[] = { rq->registry, rq->repository, rq->tag, rq->who, rq->source, rq->event_id };
	size_t n = 0;
	struct hold *h;
	char *at;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (all[i].n > NAMES_MAX - n)
			return NULL;
		n += all[i].n;
	}
	h = calloc(1, sizeof *h + n);
	if (h == NULL)
		return NULL;
	at = h->names;
	h->op.registry = span_keep(&at, rq->registry);
	h->op.repository = span_keep(&at, rq->repository);
	h->op.tag = span_keep(&at, rq->tag);
	h->op.who = span_keep(&at, rq->who);
	h->op.source = span_keep(&at, rq->source);
	h->op.event_id = span_keep(&at, rq->event_id);
	h->op.mail.deliver = on_ledger;
	h->op.reply_to = env->mailbox;
	h->op.settle = rq->settle;
	h->env = *env;
	copy(h->digest, rq->digest);
	h->settle = rq->settle;
	h->read_back = rq->read_back;
	h->append_only = rq->append_only;
	h->step_ms = BUSY_STEP_MS;
	return h;
}

bool
hold_leaves_claim(const struct hold *h)
{
	return (h->state == GIVEN || h->state == READING_BACK) && h->token != 0 && !h->share;
}

const char *
hold_old_digest(const struct hold *h)
{
	return h->old_digest;
}
