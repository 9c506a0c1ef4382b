/*
 * observe.c - policy.mode = "observe": what policy would refuse is let through, and the event says so.
 *
 * It lifts what policy denies and nothing else: protocol, authentication, the ledger's other answers and the audit log
 * refuse as ever. The first denial of a request is the one that enforcing would have ended it with.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"

static bool
is_policy(enum refuse why)
{
	switch ((int)why) {
	case REFUSE_NOT_ALLOWED:
	case REFUSE_DENIED_BY_POLICY:
	case REFUSE_FACT_UNKNOWN:
	case REFUSE_TAG_LOCKED:
	case REFUSE_TAG_DELETED:
		return true;
	default:
		return false;
	}
}

bool
observe_lifts(struct request *r, enum refuse why, const struct decision *d)
{
	if (!r->config->observe || !is_policy(why))
		return false;
	r->message = NULL;
	if (r->observed.why == REFUSE_NONE) {
		r->observed.why = why;
		r->observed.sid = d->sid;
		metric_add(&r->worker->metrics, METRIC_OBSERVED, 1);
	}
	return true;
}
