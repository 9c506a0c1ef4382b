/*
 * commit.c - the steps after a write: its event is on disk before the client hears of success.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/gate.h"

/* ---- the event before the answer ---- */

static void
on_durable(struct mail *m)
{
	struct spool_wait *wait = (struct spool_wait *)(void *)((char *)m - offsetof(struct spool_wait, mail));
	struct request *r = (struct request *)(void *)((char *)wait - offsetof(struct request, wait));

	if (!request_returned(r))
		return;
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
	request_lend(r);
	if (record_request(r, &r->wait))
		return WAIT;
	r->lent = false;
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
	/* those who pull it by and by will ask for its blobs */
	if (r->route.op == ROUTE_MANIFEST_PUT && r->answer.head->status == 201 && (r->gate != NULL ||
	    policy_asks(r->policy, ACTION_PullBlob, KEY_REGISTRY_BLOB_GRANTED)))
		gate_note(r, r->route.reference_type == REFERENCE_TAG ? r->route.reference : SPAN_NONE, &r->manifest);
	request_replied(r);
	return STOP;
}
