/*
 * observe.c - policy.mode = "observe": what policy would refuse is let through, and the event says so.
 *
 * It lifts what policy denies and nothing else: protocol, authentication, the ledger's other answers and the audit log
 * refuse as ever. The first denial of a request is the one that enforcing would have ended it with.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"

bool
observe_lifts(struct request *r, enum refuse why, const struct judged *j)
{
	if (!r->config->observe || j->beyond || !refuse_is_policy(why))
		return false;
	r->message = NULL;
	judge_decides(r, j);
	if (r->observed.why == REFUSE_NONE) {
		r->observed.why = why;
		r->observed.sid = j->decision.sid;
		metric_add(&r->worker->metrics, METRIC_OBSERVED, 1);
	}
	return true;
}
