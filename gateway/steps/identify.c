/*
 * identify.c - who asks: a token, else the connection's certificate, else nobody.
 * Invariant: what was shown and is not good is never taken for nothing shown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"
#include "gateway/token/request.h"

#define UPLOAD_GRACE 3600	/* seconds an upload may outlive its token (a manifest PUT never does) */

/* The head brought no credentials: the connection's certificate speaks, or nobody does. */
static enum refuse
identify_certificate(struct request *r, int64_t now)
{
	const struct certificate *c = r->conn->certificate;
	enum certificate_outcome o = CERTIFICATE_OK;

	if (c == NULL && r->config->listen[r->conn->listener].client_certificate != CLIENT_CERTIFICATE_REQUIRED)
		return REFUSE_NONE;
	r->authn.who = NULL;
	r->authn.method = "certificate";
	if (c == NULL)
		o = CERTIFICATE_MISSING;	/* required since a reload */
	else if (c->outcome != CERTIFICATE_OK)
		o = c->outcome;
	else if (now >= c->expires_at)
		o = CERTIFICATE_EXPIRED;
	if (o == CERTIFICATE_OK) {
		r->authn.who = identity_ref(c->who);
		return REFUSE_NONE;
	}
	r->authn.detail = certificate_outcome_symbol(o);
	r->message = certificate_outcome_text(o);
	return REFUSE_BAD_CERTIFICATE;
}

/* A token of our own: whom does it stand for, here and now? */
static enum refuse
identify_token(struct request *r, int64_t now)
{
	const struct identity *t = r->authn.token;
	char thumbprint[THUMBPRINT + 2];
	enum refuse why;

	switch (t->type) {
	case PRINCIPAL_JWT:
		r->authn.who = identity_ref(t);
		return REFUSE_NONE;
	case PRINCIPAL_ANONYMOUS:
		r->authn.who = identity_anonymous();
		return REFUSE_NONE;
	case PRINCIPAL_CERT:
		/* it is good on connections of that certificate, which says who asks */
		why = r->conn->certificate == NULL ? REFUSE_BAD_TOKEN : identify_certificate(r, now);
		if (why != REFUSE_NONE)
			return why;
		if (token_thumbprint(r->conn->certificate->sha256, thumbprint) && span_eq(span_of(thumbprint), t->key_id))
			return REFUSE_NONE;
		break;
	case PRINCIPAL_BASIC:
		break;
	}
	r->authn.detail = "other_proof";
	return REFUSE_BAD_TOKEN;
}

static enum refuse
identify(struct request *r, int64_t now)
{
	const struct config *c = r->config;
	const struct authn_ask q = {
		.issuers = c->issuers,
		.tokens = c->token_service,
		.now = now,
		.grace = r->route.op == ROUTE_TOKEN ? token_grace(r) : r->route.reference_type == REFERENCE_LEASE ? UPLOAD_GRACE : 0,
		.cache_s = c->limits.token_cache / 1000,
	};
	struct span password = token_password(r);
	enum refuse why;

	if (password.p != NULL)
		why = authn_password(r->worker->authn, &q, password, &r->authn);
	else
		why = authn_identify(r->worker->authn, &q, r->head.field[HTTP_FIELD_AUTHORIZATION], &r->authn);
	if (why != REFUSE_NONE)
		return why;
	if (r->authn.token != NULL && r->route.op == ROUTE_TOKEN) {
		r->authn.detail = "own_token";	/* one that renewed itself would never end */
		return REFUSE_BAD_TOKEN;
	}
	if (r->authn.token != NULL)
		return identify_token(r, now);
	return r->authn.who->type == PRINCIPAL_ANONYMOUS ? identify_certificate(r, now) : REFUSE_NONE;
}

enum next
step_identify(struct request *r)
{
	int64_t now = r->time_us / 1000000;
	uint32_t minute = (uint32_t)(now / 60);
	unsigned source = source_slot(&r->client.address);
	enum refuse why;

	if (r->route.op == ROUTE_JWKS)
		return NEXT;	/* for everybody */
	if ((r->head.field[HTTP_FIELD_AUTHORIZATION].p != NULL || r->conn->certificate != NULL || token_password(r).p != NULL) &&
	    source_blocked(source, minute, r->config->limits.auth_failures))
		return request_refuse(r, REFUSE_TOO_MANY_FAILURES);
	if (!conn_certificate_refresh(r->conn, r->serving->setup))
		return request_refuse(r, REFUSE_NO_MEMORY);
	why = identify(r, now);
	if (why == REFUSE_NONE)
		return NEXT;
	source_failed(source, minute);
	r->detail = span_of(r->authn.detail);
	return request_refuse(r, why);
}

enum next
step_known(struct request *r)
{
	const struct identity *who = r->authn.who, *token = r->authn.token;

	if (who == NULL)
		return NEXT;
	if (revoked_has(r->config->revoked, who) || (token != NULL && revoked_has(r->config->revoked, token)))
		return request_refuse(r, REFUSE_REVOKED);
	/* a 200 here would make docker never send credentials */
	if (r->route.op == ROUTE_PING && who->type == PRINCIPAL_ANONYMOUS && r->config->n_issuer > 0)
		return request_refuse(r, REFUSE_NO_CREDENTIALS);
	return NEXT;
}
