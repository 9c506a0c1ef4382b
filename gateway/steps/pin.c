/*
 * pin.c - step `pin`: a pull by tag answered with what the ledger says, when tags.drift is `refuse` or `pin`.
 *
 * The ledger is asked first, then upstream for the tag with every media type; its bytes are read whole and hashed, and
 * only then does the client hear of them: what upstream claims about a digest counts for nothing. A tag that moved is
 * refused, or (pin) the recorded digest is fetched, hashed as well, and answered with a Warning; when upstream does not
 * have it any more there is nothing to fall back to. A HEAD is answered from the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/steps/gate.h"

struct pin {
	struct ledger_op op;		/* while `asking`, the ledger's */
	struct request *request;	/* NULL: over before the ledger answered */
	bool asking, by_digest;
	char known[LEDGER_DIGEST];	/* what was confirmed, or stood before a claim */
	char claimed[LEDGER_DIGEST];	/* a push of that is under way, or ended nobody knows how: upstream may have either */
	struct peek peek;		/* what upstream has */
	char bytes[];			/* names for the ledger */
};

static void
pin_free(struct pin *p)
{
	peek_clear(&p->peek);
	free(p);
}

void
pin_abandon(struct request *r)
{
	struct pin *p = r->pin;

	r->pin = NULL;
	if (p == NULL)
		return;
	p->request = NULL;
	if (!p->asking)
		pin_free(p);
}

/* ---- what upstream has ---- */

static void ask(struct request *r, bool by_digest);

/* The tag moved, or is gone though it was not deleted through us. */
static void
drifted(struct request *r, struct span found)
{
	struct pin *p = r->pin;

	drift_report(r, found, span_of(p->known));
	if (r->config->drift == DRIFT_PIN && !p->by_digest) {
		ask(r, true);
		return;
	}
	r->old_digest = arena_dup(r->arena, span_of(p->known)).p;
	request_fail(r, REFUSE_TAG_DRIFTED);
}

static void
judge(struct request *r)
{
	struct pin *p = r->pin;
	const char *digest = p->peek.digest;
	struct span said = p->peek.head->field[HTTP_FIELD_DOCKER_CONTENT_DIGEST];

	if (strcmp(digest, p->known) != 0 && (p->by_digest || strcmp(digest, p->claimed) != 0)) {
		if (p->by_digest)
			request_fail(r, REFUSE_UPSTREAM_BAD);	/* these are not the bytes of that name */
		else
			drifted(r, span_of(digest));
		return;
	}
	/* what would be passed on must not contradict the bytes */
	if (said.p != NULL && !span_eq(said, span_of(digest))) {
		request_fail(r, REFUSE_UPSTREAM_BAD);
		return;
	}
	r->answer_digest = arena_dup(r->arena, span_of(digest));
	if (p->by_digest)
		r->warning = SPAN("299 - \"this tag was moved behind the gateway; this is the image that was pushed\"");
	if (inspect_wanted(r) && gate_of(r) == NULL)
		request_fail(r, REFUSE_NO_MEMORY);
	else if (inspect_wanted(r))
		inspect_answer(r, &p->peek);
	else
		inspect_give(r, &p->peek);
}

static void
on_probed(struct peek *f)
{
	struct request *r = f->request;
	struct pin *p = r->pin;

	r->upstream_status = f->status;
	if (f->status == 0)
		request_fail(r, f->failed);
	else if (f->digest[0] != '\0')
		judge(r);
	else if (f->status == 404 && p->by_digest)
		request_fail(r, REFUSE_TAG_DRIFTED);
	else if (f->status == 404 && r->config->drift == DRIFT_PIN && !p->op.deleted)
		drifted(r, SPAN_NONE);
	else if (f->status >= 300)
		inspect_give(r, &p->peek);
	else
		request_fail(r, REFUSE_UPSTREAM_BAD);
}

static void
ask(struct request *r, bool by_digest)
{
	struct pin *p = r->pin;
	struct route route = r->route;

	p->by_digest = by_digest;
	if (by_digest) {
		route.reference_type = REFERENCE_DIGEST;
		route.reference = arena_dup(r->arena, span_of(p->known));
	}
	peek_start(&p->peek, r, forward_target(r, &route), on_probed);
}

/* ---- what the ledger knows ---- */

static void
on_looked(struct mail *m)
{
	struct pin *p = (struct pin *)(void *)((char *)m - offsetof(struct pin, op.mail));
	struct request *r = p->request;

	p->asking = false;
	if (r == NULL) {
		pin_free(p);
		return;
	}
	switch (p->op.answer) {
	case LEDGER_LOCKED:
		memcpy(p->known, p->op.current_digest, sizeof p->known);
		ask(r, false);
		return;
	case LEDGER_BUSY:
	case LEDGER_CLAIMED_OTHER:
	case LEDGER_UNRESOLVED:
		if (p->op.old_digest[0] == '\0') {	/* the first push through here: what was there before is not known */
			request_continue(r);
			return;
		}
		memcpy(p->known, p->op.old_digest, sizeof p->known);
		memcpy(p->claimed, p->op.current_digest, sizeof p->claimed);
		ask(r, false);
		return;
	case LEDGER_ABSENT:	/* never pushed through here */
		request_continue(r);
		return;
	case LEDGER_DOWN:
	case LEDGER_SAME:
	case LEDGER_RESTORED:
	case LEDGER_MANY:
	case LEDGER_OK:
	case LEDGER_CLAIMED_NEW:
	case LEDGER_CLAIMED_OVER:
	case LEDGER_CLAIMED_AGAIN:
		break;
	}
	request_fail(r, REFUSE_LEDGER_DOWN);
}

enum next
step_pin(struct request *r)
{
	struct span registry;
	struct pin *p;
	char *at;

	if (r->route.op != ROUTE_MANIFEST_GET || r->route.reference_type != REFERENCE_TAG ||
	    r->config->drift == DRIFT_ALARM)
		return NEXT;
	registry = span_of(r->upstream_config->registry);
	p = calloc(1, sizeof *p + registry.n + r->route.repository.n + r->route.reference.n);
	if (p == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	r->pin = p;
	p->request = r;
	at = p->bytes;
	p->op.registry = span_keep(&at, registry);
	p->op.repository = span_keep(&at, r->route.repository);
	p->op.tag = span_keep(&at, r->route.reference);
	p->op.verb = LEDGER_LOOKUP;	/* of no digest: a record that speaks is LOCKED, and says its own */
	p->op.mail.deliver = on_looked;
	p->op.reply_to = r->worker->mailbox;
	p->asking = true;
	ledger_submit(r->worker->gateway->ledger, &p->op);
	return WAIT;
}
