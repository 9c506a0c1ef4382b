/*
 * verdict.c - one question to a snapshot: the statements that speak of it, and what they say together.
 * Invariant: nothing is allowed unless an Allow is certainly YES and every Deny is certainly NO.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

/* Looking through the statements of one effect. */
struct found {
	struct evaluation *q;
	const struct statement *yes, *unknown; /* the first of each in the order of the documents */
	const struct statement *shadow[SHADOWS_MAX]; /* of Mode Shadow: likewise, a Deny that is UNKNOWN included */
	unsigned n_shadow;
	struct key_set shadow_need;
	unsigned candidates;
	bool later;
	enum policy_on_push on_push; /* later: the strictest of them */
	const struct statement *lenient; /* yes, or a Deny that is NO, thanks to its OnUnknown */
};

static const struct statement *
first(const struct statement *a, const struct statement *b)
{
	return a == NULL || b < a ? b : a;
}

/* In the order of the documents; once, though the index may offer it twice. */
static void
keep_shadow(struct found *f, const struct statement *s)
{
	unsigned i = 0, last;

	while (i < f->n_shadow && f->shadow[i] < s)
		i++;
	if (i == SHADOWS_MAX || (i < f->n_shadow && f->shadow[i] == s))
		return;
	last = f->n_shadow < SHADOWS_MAX ? f->n_shadow++ : SHADOWS_MAX - 1;
	memmove(f->shadow + i + 1, f->shadow + i, (last - i) * sizeof f->shadow[0]);
	f->shadow[i] = s;
}

/* What is only tried out: it asks for nothing, it decides nothing. */
static void
visit_shadow(struct found *f, const struct statement *s)
{
	struct key_set need = f->q->need;
	enum tri t = statement_matches(f->q, s);

	if (t == TRI_YES || (t == TRI_UNKNOWN && s->deny))
		keep_shadow(f, s);
	for (size_t i = 0; t == TRI_LATER && i < KEY_WORDS; i++)
		f->shadow_need.word[i] |= f->q->need.word[i] & ~need.word[i];
	f->q->need = need;
}

static bool
visit(void *ctx, const struct statement *s)
{
	struct found *f = ctx;

	if (f->yes != NULL && s >= f->yes)
		return false; /* an earlier one has matched */
	f->candidates++;
	if (s->shadow) {
		visit_shadow(f, s);
		return true;
	}
	switch (statement_matches(f->q, s)) {
	case TRI_YES:
		f->yes = s;
		if (!s->deny)
			f->lenient = f->q->swayed ? s : NULL;
		return false;
	case TRI_UNKNOWN:
		f->unknown = first(f->unknown, s);
		break;
	case TRI_LATER:
		if (!f->later || s->on_push < f->on_push)
			f->on_push = s->on_push;
		f->later = true;
		break;
	case TRI_NO:
		if (s->deny && f->q->swayed)
			f->lenient = first(f->lenient, s);
		break;
	}
	return true;
}

/* Who offers statements: the index, or all of them one after the other. */
typedef void offer(struct evaluation *q, bool deny, index_visit *visit, void *ctx);

static void
offer_indexed(struct evaluation *q, bool deny, index_visit *each, void *ctx)
{
	index_each(q->p->bundle->index[deny], q, each, ctx);
}

static void
offer_near(struct evaluation *q, bool deny, index_visit *each, void *ctx)
{
	(void)deny;
	index_each(q->p->bundle->near, q, each, ctx);
}

static void
offer_all(struct evaluation *q, bool deny, index_visit *each, void *ctx)
{
	const struct bundle *b = q->p->bundle;

	for (size_t i = 0; i < b->n; i++)
		if (b->statements[i].deny == deny && !each(ctx, &b->statements[i]))
			return;
}

static void
search(struct evaluation *q, bool deny, offer *offer_each, struct decision *out, struct found *f)
{
	*f = (struct found){ .q = q };
	offer_each(q, deny, visit, f);
	out->candidates += f->candidates;
}

static void
decided_by(struct decision *out, enum verdict verdict, const struct statement *s, bool unknown)
{
	out->verdict = verdict;
	out->unknown = unknown;
	out->by = s;
	if (s != NULL) {
		out->sid = s->sid;
		out->message = s->message;
	}
}

/* With the statements of Mode Shadow enforced, too; a Deny that is enforced stands whatever they say. */
static void
decide_shadow(const struct found *deny, const struct found *allow, struct decision *out)
{
	const struct found *by = deny->n_shadow > 0 ? deny : allow;

	if (by->n_shadow == 0 || (by == allow && allow->yes != NULL))
		return;
	out->shadow.differs = true;
	out->shadow.verdict = by == deny ? VERDICT_EXPLICIT_DENY : VERDICT_ALLOW;
	out->shadow.n = by->n_shadow;
	out->shadow.by = by->shadow[0];
	memcpy(out->shadow.all, by->shadow, sizeof out->shadow.all);
	/* with an Allow that is enforced no other matters; how many were asked before it is the index's affair */
	for (size_t i = 0; i < KEY_WORDS; i++)
		out->shadow.need.word[i] = deny->shadow_need.word[i] | (allow->yes == NULL ? allow->shadow_need.word[i] : 0);
}

/* Of the statements that are open, and that matter. */
static enum policy_on_push
strictest(const struct found *deny, const struct found *allow)
{
	if (!deny->later)
		return allow->on_push;
	if (allow->yes != NULL || !allow->later || deny->on_push < allow->on_push)
		return deny->on_push;
	return allow->on_push;
}

static void
decide(struct evaluation *q, offer *offer_each, struct decision *out)
{
	struct found deny, allow;
	struct key_set need;

	search(q, true, offer_each, out, &deny);
	if (deny.yes != NULL || deny.unknown != NULL) {
		decided_by(out, VERDICT_EXPLICIT_DENY, deny.yes != NULL ? deny.yes : deny.unknown, deny.yes == NULL);
		return;
	}
	need = q->need;
	search(q, false, offer_each, out, &allow);
	decide_shadow(&deny, &allow, out);
	if (allow.yes == NULL && !allow.later) {
		/* whatever is asked for later, nothing can allow it */
		decided_by(out, VERDICT_DENY, NULL, allow.unknown != NULL);
		return;
	}
	if (allow.yes != NULL)
		q->need = need; /* only a Deny is still open, if anything */
	if (deny.later || allow.yes == NULL) {
		out->verdict = VERDICT_NEED;
		out->need = q->need;
		out->on_push = strictest(&deny, &allow);
		return;
	}
	decided_by(out, VERDICT_ALLOW, allow.yes, false);
	out->lenient = deny.lenient != NULL ? deny.lenient : allow.lenient;
}

/* ---- why not: only asked when the answer was no ---- */

#define NEAR_LOOKS 1024u /* statements that are looked at: a denial must not cost what a policy's author pleases */

struct nearest {
	struct evaluation *q;
	struct decision *out;
	unsigned looks;
};

/* The only condition that fails; NULL when none or several do. */
static const struct atom *
only_failure(struct evaluation *q, const struct statement *s)
{
	const struct atom *failed = NULL;

	for (size_t i = 0; i < s->n_atoms; i++) {
		if (atom_matches(q, &s->atoms[i]) == TRI_YES)
			continue;
		if (failed != NULL)
			return NULL;
		failed = &s->atoms[i];
	}
	return failed;
}

static bool
visit_nearest(void *ctx, const struct statement *s)
{
	struct nearest *n = ctx;
	struct decision *out = n->out;
	const struct atom *atom;

	/* each bucket of the index is begun, whatever was said of the one before */
	if (out->n_near == NEAR_MISSES_MAX || n->looks++ >= NEAR_LOOKS)
		return false;
	if (s->shadow || statement_speaks(n->q, s) != TRI_YES)
		return true;
	for (unsigned i = 0; i < out->n_near; i++)
		if (out->near[i].statement == s)
			return true; /* found by another of its resources */
	atom = only_failure(n->q, s);
	if (atom != NULL)
		out->near[out->n_near++] = (struct near_miss){ s, atom, s->sid, atom->name };
	return out->n_near < NEAR_MISSES_MAX;
}

static void
explain(struct evaluation *q, offer *offer_each, struct decision *out)
{
	struct nearest n = { .q = q, .out = out };
	struct key_set none = { { 0 } };

	if (out->verdict == VERDICT_ALLOW || out->verdict == VERDICT_NEED)
		return;
	q->missing = q->unknowns = none;
	if (out->verdict == VERDICT_DENY)
		offer_each(q, false, visit_nearest, &n);
	else if (out->by != NULL && statement_matches(q, out->by) == TRI_NO)
		return; /* it decided: it matches */
	out->missing = q->missing;
	out->unknowns = q->unknowns;
}

bool
evaluation_begin(struct evaluation *q, const struct policy *p, const struct policy_request *r, char text[static RESOURCE_MAX])
{
	struct span kind = r->repository.p == NULL ? SPAN("registry:") : SPAN("repo:");
	struct key_set none = { { 0 } };
	char *to = text;

	q->p = p;
	q->r = r;
	q->need = q->missing = q->unknowns = none;
	q->zones_known = false;
	q->lenient = NULL;
	q->n_claims = 0;
	if (r->who == NULL)
		return false;
	if (p->bundle->any_vocabulary) {
		q->resource = r->any_resource;
		return true;
	}
	if (r->action <= ACTION_NONE || r->action >= ACTION_MAX || r->facts == NULL ||
	    r->upstream.n + r->repository.n + 16 > RESOURCE_MAX)
		return false; /* no name is that long: nothing allows it */
	to = mempcpy(to, kind.p, kind.n);
	if (r->upstream.n > 0)
		to = mempcpy(to, r->upstream.p, r->upstream.n);
	if (r->repository.p != NULL) {
		*to++ = '/';
		to = mempcpy(to, r->repository.p, r->repository.n);
	}
	q->resource = (struct span){ text, (size_t)(to - text) };
	return true;
}

static void
answer(const struct policy *p, const struct policy_request *r, offer *offer_each, offer *offer_nearest, struct decision *out)
{
	char text[RESOURCE_MAX];
	struct evaluation q;

	*out = (struct decision){ .verdict = VERDICT_DENY };
	if (!evaluation_begin(&q, p, r, text))
		return;
	decide(&q, offer_each, out);
	explain(&q, offer_nearest, out);
}

void
policy_decide(const struct policy *p, const struct policy_request *r, struct decision *out)
{
	answer(p, r, offer_indexed, offer_near, out);
}

void
policy_decide_linear(const struct policy *p, const struct policy_request *r, struct decision *out)
{
	answer(p, r, offer_all, offer_all, out);
}
