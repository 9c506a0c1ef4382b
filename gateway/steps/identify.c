/*
 * identify.c - who asks: a token, else the connection's certificate, else nobody.
 * Invariant: what was shown and is not good is never taken for nothing shown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"

#define UPLOAD_GRACE 3600	/* seconds an upload may outlive its token (a manifest PUT never does) */

/* The head brought no credentials: the connection's certificate speaks, or nobody does. */
static enum refuse
identify_certificate(struct request *r, int64_t now)
{
	const struct certificate *c = r->conn->certificate;
	enum certificate_outcome o = CERTIFICATE_OK;

	if (c == NULL && r->config->listen[r->conn->listener].client_certificate != CLIENT_CERTIFICATE_REQUIRED)
		return REFUSE_NONE;
	r->authn = (struct authn_result){ .method = "certificate" };
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

enum next
step_identify(struct request *r)
{
	const struct config *c = r->config;
	int64_t now = r->time_us / 1000000;
	uint32_t minute = (uint32_t)(now / 60);
	int64_t grace = r->route.reference_type == REFERENCE_LEASE ? UPLOAD_GRACE : 0;
	struct span field = r->head.field[HTTP_FIELD_AUTHORIZATION];
	unsigned source = source_slot(&r->client.address);
	enum refuse why;

	if ((field.p != NULL || r->conn->certificate != NULL) && source_blocked(source, minute, c->limits.auth_failures))
		return request_refuse(r, REFUSE_TOO_MANY_FAILURES);
	if (!conn_certificate_refresh(r->conn, r->serving->setup))
		return request_refuse(r, REFUSE_NO_MEMORY);
	why = authn_identify(r->worker->authn, c->issuers, field, now, grace, c->limits.token_cache / 1000, &r->authn);
	if (why == REFUSE_NONE && r->authn.who->type == PRINCIPAL_ANONYMOUS)
		why = identify_certificate(r, now);
	if (why != REFUSE_NONE) {
		source_failed(source, minute);
		r->detail = span_of(r->authn.detail);
		return request_refuse(r, why);
	}
	/* a 200 here would make docker never send credentials */
	if (r->route.op == ROUTE_PING && r->authn.who->type == PRINCIPAL_ANONYMOUS && c->n_issuer > 0)
		return request_refuse(r, REFUSE_NO_CREDENTIALS);
	return NEXT;
}
