/*
 * identify.c - who asks: a token, else the connection's certificate, else nobody.
 * Invariant: what was shown and is not good is never taken for nothing shown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"
#include "gateway/token/request.h"
#include "policy/json.h"

#define LOGINS_WAITING 32u	/* passwords waiting for their check; more are told to come back */
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
	const struct account *account;
	char thumbprint[THUMBPRINT + 2];
	enum refuse why;

	switch (t->type) {
	case PRINCIPAL_JWT:
		r->authn.who = identity_ref(t);
		r->scanner = t->pass.n > 0;
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
		/* its groups are those of now */
		account = r->config->accounts == NULL ? NULL : accounts_find(r->config->accounts, t->subject);
		if (account == NULL || !span_eq(span_of(account->check), t->key_id))
			break;
		r->authn.who = account_identity(account);
		return r->authn.who == NULL ? REFUSE_NO_MEMORY : REFUSE_NONE;
	}
	r->authn.detail = "other_proof";
	return REFUSE_BAD_TOKEN;
}

/*
 * A token that says which key its holder has (cnf, RFC 7800) is good with that key only. A certificate's thumbprint (RFC 8705) is the
 * one kind that can be seen here; any other is refused.
 */
static enum refuse
check_binding(struct request *r, int64_t now)
{
	const struct certificate *c = r->conn->certificate;
	const json_t *cnf = json_object_get(r->authn.who->claims, "cnf");
	char thumbprint[THUMBPRINT + 2];

	if (cnf == NULL)
		return REFUSE_NONE;
	if (json_object_size(cnf) == 1 && c != NULL && c->outcome != CERTIFICATE_DISTRUSTED && now < c->expires_at &&
	    token_thumbprint(c->sha256, thumbprint) && span_eq(json_span(cnf, "x5t#S256"), span_of(thumbprint)))
		return REFUSE_NONE;
	r->authn.detail = "other_proof";
	return REFUSE_BAD_TOKEN;
}

static enum refuse
identify(struct request *r, int64_t now)
{
	const struct config *c = r->config;
	const struct authn_ask q = {
		.issuers = serving_issuers(r->serving),
		.tokens = c->token_service,
		.accounts = c->accounts,
		.now = now,
		.grace = r->route.op == ROUTE_TOKEN ? token_grace(r) : r->route.reference_type == REFERENCE_LEASE ? UPLOAD_GRACE : 0,
		.cache_s = c->limits.token_cache / 1000,
	};
	struct span password = token_password(r);
	enum refuse why;

	if (password.p != NULL)
		why = authn_password(r->worker->authn, &q, token_user(r), password, &r->authn);
	else
		why = authn_identify(r->worker->authn, &q, r->head.field[HTTP_FIELD_AUTHORIZATION], &r->authn);
	if (why != REFUSE_NONE || r->authn.login != NULL)
		return why;
	if (r->authn.token != NULL && r->route.op == ROUTE_TOKEN) {
		r->authn.detail = "own_token";	/* one that renewed itself would never end */
		return REFUSE_BAD_TOKEN;
	}
	if (r->authn.token != NULL)
		why = identify_token(r, now);
	else if (r->authn.who->type == PRINCIPAL_ANONYMOUS)
		why = identify_certificate(r, now);
	return why == REFUSE_NONE && r->authn.who != NULL ? check_binding(r, now) : why;
}

enum refuse
identify_again(struct request *r, struct serving *v, int64_t now)
{
	const struct config *c = v->config;
	const struct authn_ask q = { .issuers = serving_issuers(v), .tokens = c->token_service, .accounts = c->accounts, .now = now,
		.cache_s = c->limits.token_cache / 1000 };
	struct authn_result again;
	enum refuse why;

	if (r->authn.token == NULL && r->authn.who->type != PRINCIPAL_JWT)
		return REFUSE_NONE;
	why = authn_identify(r->worker->authn, &q, r->head.field[HTTP_FIELD_AUTHORIZATION], &again);
	if (why == REFUSE_NONE && again.who == NULL && again.token == NULL)
		why = REFUSE_BAD_TOKEN;	/* a password now: it was none then */
	if (why != REFUSE_NONE)
		r->detail = span_of(again.detail);
	identity_unref(again.who);
	identity_unref(again.token);
	login_free(again.login);
	return why;
}

/* ---- the password of an account, checked on another thread ---- */

static void
on_checked(struct mail *m)
{
	struct login *l = (struct login *)(void *)((char *)m - offsetof(struct login, job.mail));
	struct request *r = l->owner;

	l->owner = NULL;
	if (r == NULL)
		login_free(l);	/* its request went while it was checked */
	else
		request_continue(r);
}

void
identify_abandon(struct request *r)
{
	struct login *l = r->authn.login;

	if (l == NULL)
		return;
	r->authn.login = NULL;
	if (l->owner == NULL)
		login_free(l);
	else
		l->owner = NULL;	/* on_checked() has it */
}

/* So many at a time, of all workers: each takes milliseconds, and those who wait have a connection open. */
static enum next
begin_check(struct request *r)
{
	struct login *l = r->authn.login;
	struct gateway *g = r->worker->gateway;

	if (!offload_try(g->logins, LOGINS_WAITING, &l->job, on_checked, r->worker->mailbox))
		return request_refuse(r, REFUSE_OVERLOAD);
	l->owner = r;
	return WAIT;
}

/* It was checked. */
static enum refuse
take_check(struct request *r, int64_t now)
{
	const struct account *account = accounts_find(r->config->accounts, span_of(r->authn.login->user));
	struct login *l = r->authn.login;

	metric_add(&r->worker->metrics, METRIC_LOGINS_CHECKED, 1);
	if (!l->ok || account == NULL)
		return REFUSE_BAD_CREDENTIALS;
	authn_remember_login(r->worker->authn, l, now, r->config->limits.token_cache / 1000);
	r->authn.who = account_identity(account);
	return r->authn.who == NULL ? REFUSE_NO_MEMORY : REFUSE_NONE;
}

/* ---- the steps ---- */

/* What is refused counts for where it came from; not an outage of an issuer. */
static void
login_failed(struct request *r, enum refuse why)
{
	if (why != REFUSE_ISSUER_UNAVAILABLE)
		source_failed(source_slot(&r->client.address), (uint32_t)(r->time_us / 60000000));
	r->detail = span_of(r->authn.detail);
}

static enum next
refuse_login(struct request *r, enum refuse why)
{
	login_failed(r, why);
	return request_refuse(r, why);
}

enum refuse
identify_parked(struct request *r)
{
	enum refuse why = identify(r, r->time_us / 1000000);

	if (why != REFUSE_NONE)
		login_failed(r, why);
	return why;
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
	if (why != REFUSE_NONE && park(r))
		return WAIT;
	if (why != REFUSE_NONE)
		return refuse_login(r, why);
	return r->authn.login == NULL ? NEXT : begin_check(r);
}

enum next
step_known(struct request *r)
{
	const struct identity *who, *token = r->authn.token;
	enum refuse why = r->authn.login == NULL ? REFUSE_NONE : take_check(r, r->time_us / 1000000);

	if (why != REFUSE_NONE)
		return refuse_login(r, why);
	who = r->authn.who;
	if (who == NULL)
		return NEXT;
	if (revoked_has(r->config->revoked, who) || (token != NULL && revoked_has(r->config->revoked, token)))
		return request_refuse(r, REFUSE_REVOKED);
	/* a 200 here would make docker never send credentials */
	if (r->route.op == ROUTE_PING && who->type == PRINCIPAL_ANONYMOUS && config_has_logins(r->config))
		return request_refuse(r, REFUSE_NO_CREDENTIALS);
	return NEXT;
}
