/*
 * park.c - a token whose key nobody knows here, or not yet: its request waits for the issuer's next keys, once.
 *
 * The wait is the issuers' (issuers.h) until it comes back; a request that goes before leaves it to itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/request.h"

#define PARKED_MAX 1024u	/* requests of a worker that wait */

struct parking {
	struct key_wait wait;		/* first */
	struct request *request;	/* NULL: it is gone */
	struct worker *worker;
};

/* On the worker: there are other keys, or there will be none for a while. */
static void
on_keys(struct key_wait *w)
{
	struct parking *p = (struct parking *)(void *)w;
	struct request *r = p->request;
	enum refuse why;

	p->worker->parked--;
	free(p);
	if (r == NULL)
		return;
	r->parking = NULL;
	why = identify_parked(r);
	if (why == REFUSE_NONE)
		request_continue(r);
	else
		request_fail(r, why);
}

static bool
may_park(const struct request *r)
{
	return r->authn.issuer != NULL && !r->parked && r->worker->parked < PARKED_MAX;
}

bool
park(struct request *r)
{
	struct parking *p = may_park(r) ? calloc(1, sizeof *p) : NULL;

	if (p == NULL)
		return false;
	p->wait.reply_to = r->worker->mailbox;
	p->wait.done = on_keys;
	p->request = r;
	p->worker = r->worker;
	/* before it is posted: from then on it is the issuers' */
	r->parked = true;
	r->parking = p;
	r->worker->parked++;
	if (issuers_wait(r->worker->gateway->issuers, r->serving->setup->issuers, r->authn.issuer, &p->wait))
		return true;
	r->worker->parked--;
	r->parking = NULL;
	free(p);
	return false;
}

void
park_abandon(struct request *r)
{
	if (r->parking != NULL)
		r->parking->request = NULL;
	r->parking = NULL;
}
