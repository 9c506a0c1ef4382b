/*
 * recheck.c - a reload asks once more about the downloads that run: what the new configuration denies is cut.
 *
 * Uploads are left alone: nothing is published without the PUT of a manifest, which asks for itself.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/recheck.h"

#include "gateway/log.h"
#include "gateway/steps/gate.h"

#define PATIENCE 5	/* seconds that a body may take without its token being looked at again */

/* Asked and answered once already, and still being sent or waited for. */
static bool
is_download(const struct request *r)
{
	return (r->route.op == ROUTE_BLOB_GET || r->route.op == ROUTE_MANIFEST_GET) && r->policy != NULL &&
	    r->step > STEP_decide && !r->finished && !r->reply_ended && r->refused == REFUSE_NONE;
}

/* Is there still somebody who says that this is who it was? */
static bool
still_known(struct request *r, struct serving *v)
{
	const struct identity *who = r->authn.who;
	const struct account *account;

	if (r->scanner)
		return v->config->token_service != NULL;
	switch (who->type) {
	case PRINCIPAL_ANONYMOUS:
		return true;
	case PRINCIPAL_JWT:
		return issuer_table_vouches(serving_issuers(v), who->issuer, who->key_id);
	case PRINCIPAL_CERT:
		return conn_certificate_refresh(r->conn, v->setup) && r->conn->certificate != NULL &&
		    r->conn->certificate->who != NULL;
	case PRINCIPAL_BASIC:
		account = v->config->accounts == NULL ? NULL : accounts_find(v->config->accounts, who->subject);
		return account != NULL && span_eq(span_of(account->check), who->key_id);
	}
	return false;
}

/* ... and nobody says the contrary? */
static bool
stands(struct request *r, struct serving *v)
{
	const struct identity *token = r->authn.token;

	if (still_known(r, v) && !revoked_has(v->config->revoked, r->authn.who) &&
	    (token == NULL || !revoked_has(v->config->revoked, token)))
		return true;
	/* the certificate they speak of may be gone */
	for (unsigned k = KEY_CERT_SUBJECT; k <= KEY_CERT_DAYS_LEFT; k++)
		r->facts[k] = (struct fact){ .state = FACT_UNKNOWN };
	return false;
}

static bool
allowed(struct request *r, struct serving *v)
{
	struct policy *then = r->policy;
	struct judged j = { .action = ACTION_NONE };

	if (!stands(r, v))
		return false;
	r->policy = policy_ref(v->config->policy);
	if (r->open) {
		/* it waits for facts, and is decided by the policy in force when they are there */
		policy_unref(then);
		return true;
	}
	if (decide_again(r, &j) || v->config->observe) {
		policy_unref(r->policy);
		r->policy = then;
		return true;
	}
	/* the event names the statement, which lives as long as its snapshot; what the old one said does not */
	r->judged = j;
	r->n_also = 0;
	policy_unref(then);
	return false;
}

enum refuse
recheck_push(struct request *r)
{
	struct serving *v = r->worker->serving;
	int64_t now = loop_wall_s(r->worker->loop);
	enum refuse why;

	if (v == r->serving && now - r->time_us / 1000000 < PATIENCE)
		return REFUSE_NONE;
	why = identify_again(r, v, now);
	if (why != REFUSE_NONE)
		return why;
	if (r->authn.who->type == PRINCIPAL_CERT && (r->conn->certificate == NULL || now >= r->conn->certificate->expires_at))
		return REFUSE_BAD_CERTIFICATE;
	if (v == r->serving)
		return REFUSE_NONE;
	/* what observe mode let in is not let through by it any more; asked first: stands() may replace what the facts speak of */
	if ((r->config->observe && !v->config->observe) || !stands(r, v))
		return REFUSE_POLICY_CHANGED;
	if (r->policy == v->config->policy)
		return REFUSE_NONE;	/* it was decided by that one */
	return decide_anew(r, v->config->policy) ? REFUSE_NONE : REFUSE_NO_MEMORY;
}

/* What runs is cut. */
static void
cut(struct request *r, enum refuse why)
{
	if (r->status == 0) {
		request_fail(r, why);
		return;
	}
	r->refused = why;
	r->failed = true;
	conn_abort(r->conn);
}

void
recheck_quarantined(struct worker *w)
{
	for (struct conn *c = w->conns, *next; c != NULL; c = next) {
		struct request *r = c->request;
		struct span digest = SPAN_NONE;

		next = c->next;
		if (r == NULL || !is_download(r))
			continue;
		digest = r->route.reference_type == REFERENCE_DIGEST ? r->route.reference : r->answer_digest;
		if (digest.p == NULL || gate_blocked(r, digest, NULL) != BLOCK_QUARANTINED)
			continue;
		log_info("req=%s msg=its digest was quarantined: cut", r->id);
		cut(r, REFUSE_QUARANTINED);
	}
}

void
recheck_downloads(struct worker *w, struct serving *v)
{
	for (struct conn *c = w->conns, *next; c != NULL; c = next) {
		struct request *r = c->request;

		next = c->next;
		if (r == NULL || !is_download(r) || allowed(r, v))
			continue;
		log_info("req=%s msg=the new configuration denies it: cut", r->id);
		cut(r, REFUSE_POLICY_CHANGED);
	}
}
