/*
 * step.c - steps `form` and `token`: a token is asked for, and issued; the keys are told.
 *
 * GET: credentials in Authorization, or a client certificate, or none. POST: a form with grant_type=password. What
 * they may do is asked of policy now, with all that is known of the request; what later facts could still allow is granted
 * too, as policy is asked again about every use. A scope that is not granted is left out, and no error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/request.h"
#include "gateway/token/form.h"
#include "gateway/token/request.h"

struct token_request {
	struct form form;
	struct span user, password;	/* of a POST */
	struct scopes asked, granted;
	char id[OWN_ID + 1];		/* of what was issued; "": nothing */
	struct span scope;		/* granted, as text */
};

/* ---- what is asked for ---- */

/* One field that must be there once at most. */
static bool
field(struct request *r, struct span name, struct span *out)
{
	if (form_one(&r->token->form, name, out))
		return true;
	r->message = "malformed token request: a parameter is there twice";
	return false;
}

/* grant_type=password; a refresh token is nothing that was ever given out. */
static enum refuse
read_grant(struct request *r)
{
	struct token_request *t = r->token;
	struct span grant;

	if (!field(r, SPAN("grant_type"), &grant) || !field(r, SPAN("username"), &t->user) ||
	    !field(r, SPAN("password"), &t->password))
		return REFUSE_BAD_FORM;
	if (!span_eq(grant, SPAN("password")))
		return grant.p == NULL ? REFUSE_BAD_FORM : REFUSE_GRANT_TYPE;
	if (t->user.p == NULL || t->password.n == 0) {
		r->message = "malformed token request: username or password is missing";
		return REFUSE_BAD_FORM;
	}
	if (r->head.field[HTTP_FIELD_AUTHORIZATION].p != NULL) {
		r->message = "malformed token request: credentials in the form and in Authorization";
		return REFUSE_BAD_FORM;
	}
	return REFUSE_NONE;
}

static enum refuse
read_scopes(struct request *r)
{
	struct token_request *t = r->token;
	struct span service;

	if (!field(r, SPAN("service"), &service))
		return REFUSE_BAD_FORM;
	if (service.n > 0 && !span_eq(service, span_of(token_service_audience(r->config->token_service)))) {
		r->message = "malformed token request: no service of that name is here";
		return REFUSE_BAD_FORM;
	}
	for (size_t i = 0; i < t->form.n; i++) {
		if (!span_eq(t->form.fields[i].name, SPAN("scope")) || scopes_add(&t->asked, t->form.fields[i].value))
			continue;
		r->message = "malformed token request: a scope is not type:name:actions, or there are too many";
		return REFUSE_BAD_FORM;
	}
	return REFUSE_NONE;
}

/* The form is there, in the query or as the body. */
static enum refuse
read_request(struct request *r)
{
	bool post = r->head.method == HTTP_POST;
	enum refuse why = REFUSE_NONE;

	r->token = arena_zalloc(r->arena, 1, sizeof *r->token);
	if (r->token == NULL)
		return REFUSE_NO_MEMORY;
	if (!form_read(post ? (struct span){ r->bytes, r->n_bytes } : r->route.form, r->arena, &r->token->form))
		return arena_failed(r->arena) ? REFUSE_NO_MEMORY : REFUSE_BAD_FORM;
	if (post)
		why = read_grant(r);
	return why == REFUSE_NONE ? read_scopes(r) : why;
}

enum next
step_form(struct request *r)
{
	if (r->route.op != ROUTE_TOKEN || r->body_done)
		return NEXT;
	request_want_body(r, SINK_COLLECT);
	return WAIT;
}

enum next
step_grant(struct request *r)
{
	enum refuse why = r->route.op == ROUTE_TOKEN ? read_request(r) : REFUSE_NONE;

	return why == REFUSE_NONE ? NEXT : request_refuse(r, why);
}

struct span
token_user(const struct request *r)
{
	return r->token == NULL ? SPAN_NONE : r->token->user;
}

struct span
token_password(const struct request *r)
{
	return r->token == NULL ? SPAN_NONE : r->token->password;
}

int64_t
token_grace(const struct request *r)
{
	int64_t longest = 0;

	for (size_t i = 0; i < r->config->n_issuer; i++)
		if (r->config->issuer[i].session > longest)
			longest = r->config->issuer[i].session;
	return longest;
}

/* ---- what is granted ---- */

/* What the request that will use the token may be about: unknown now, told then. */
static void
later_facts(struct fact *facts)
{
	for (unsigned k = 0; k < KEY_MAX; k++)
		if (facts[k].state == FACT_UNKNOWN)
			facts[k].state = FACT_LATER;
	for (unsigned k = KEY_CLIENT_USER_AGENT; k <= KEY_CLIENT_OS; k++)
		facts[k].state = FACT_LATER;	/* daemons fetch tokens by another library than layers */
	facts[KEY_REGISTRY_TAG].state = FACT_LATER;
	facts[KEY_REGISTRY_DIGEST].state = FACT_LATER;
	facts[KEY_REGISTRY_REFERENCE_TYPE].state = FACT_LATER;
	facts[KEY_REGISTRY_MOUNT_FROM].state = FACT_LATER;
}

static bool
could_be_allowed(struct request *r, struct policy_request *q, enum scope_action action)
{
	for (const enum policy_action *a = scope_actions(action); *a != ACTION_NONE; a++) {
		struct decision d;

		q->action = *a;
		policy_decide(r->policy, q, &d);
		if (d.verdict == VERDICT_ALLOW || d.verdict == VERDICT_NEED)
			return true;
	}
	return false;
}

static unsigned
granted_of(struct request *r, const struct scope *s, struct fact *facts)
{
	static const enum scope_action each[] = { SCOPE_PULL, SCOPE_PUSH, SCOPE_DELETE, SCOPE_CATALOG };
	const struct config *c = r->config;
	const struct config_upstream *u = s->repository.p == NULL ? &c->upstream[0] : config_upstream_for(c, s->repository);
	struct policy_request q = { .repository = s->repository, .who = r->authn.who, .now = r->time_us / 1000000, .facts = facts };
	unsigned granted = 0;

	if (u == NULL || (s->repository.p == NULL && c->n_upstream > 1))
		return 0;
	q.upstream = span_of(u->alias);
	facts[KEY_REGISTRY_UPSTREAM] = (struct fact){ .state = FACT_PRESENT, .value = q.upstream };
	facts[KEY_REGISTRY_REPOSITORY] = (struct fact){ .state = s->repository.p == NULL ? FACT_ABSENT : FACT_PRESENT,
		.value = s->repository };
	for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
		/* in observe mode nothing of policy's stands in the way */
		bool lifted = c->observe && r->authn.who->type != PRINCIPAL_ANONYMOUS;

		if ((s->actions & each[i]) && (lifted || could_be_allowed(r, &q, each[i])))
			granted |= each[i];
	}
	return granted;
}

static bool
grant(struct request *r)
{
	struct token_request *t = r->token;
	struct fact *facts = arena_alloc(r->arena, KEY_MAX * sizeof *facts);

	if (facts == NULL)
		return false;
	memcpy(facts, r->facts, KEY_MAX * sizeof *facts);
	later_facts(facts);
	for (size_t i = 0; i < t->asked.n; i++) {
		unsigned actions = granted_of(r, &t->asked.items[i], facts);

		if (actions != 0)
			t->granted.items[t->granted.n++] = (struct scope){ t->asked.items[i].repository, actions };
	}
	t->scope = scopes_text(&t->granted, r->arena);
	return t->scope.p != NULL;
}

/* registry:IssueToken on the first upstream, as registry:Ping: whoever is known gets one, unless policy says no in so many words. */
static enum refuse
may_have_one(struct request *r)
{
	bool anonymous = r->authn.who->type == PRINCIPAL_ANONYMOUS;
	enum verdict v;
	struct judged j;

	v = judge_ask(r, ACTION_IssueToken, SPAN_NONE, SPAN_NONE, &j);
	judge_decides(r, &j);
	if (v != VERDICT_ALLOW && v != VERDICT_DENY) {
		enum refuse why = decide_refusal(r, &j);

		if (!observe_lifts(r, why, &j))
			return why;
	}
	if (!grant(r))
		return REFUSE_NO_MEMORY;
	/* who is nobody, and may do nothing here, is to log in */
	return anonymous && r->token->granted.n == 0 ? REFUSE_NO_CREDENTIALS : REFUSE_NONE;
}

/* ---- the token ---- */

static int64_t
session_of(const struct config *c, struct span alias)
{
	for (size_t i = 0; i < c->n_issuer; i++)
		if (span_eq(span_of(c->issuer[i].alias), alias))
			return c->issuer[i].session;
	return 0;
}

static void
fill_mint(struct request *r, struct mint *m)
{
	const struct identity *who = r->authn.who;

	m->who = who;
	m->now = r->time_us / 1000000;
	m->granted = &r->token->granted;
	m->ends = who->expires_at;
	worker_random(r->worker, m->random, sizeof m->random);
	switch (who->type) {
	case PRINCIPAL_JWT:
		m->session = session_of(r->config, who->issuer);
		return;
	case PRINCIPAL_CERT:
		m->certificate = r->conn->certificate->sha256.p;
		m->ends = r->conn->certificate->expires_at;
		return;
	case PRINCIPAL_BASIC:
		m->check = who->key_id;
		return;
	case PRINCIPAL_ANONYMOUS:
		return;
	}
}

static enum refuse
mint(struct request *r, struct mint *m)
{
	fill_mint(r, m);
	switch (token_mint(r->config->token_service, m)) {
	case MINT_OK:
		memcpy(r->token->id, m->id, sizeof r->token->id);
		metric_add(&r->worker->metrics, METRIC_TOKENS_ISSUED, 1);
		return REFUSE_NONE;
	case MINT_TOO_SHORT:
		return REFUSE_ENDING_SOON;
	case MINT_TOO_LARGE:
		r->detail = arena_printf(r->arena, "%s", m->error);
		return REFUSE_TOKEN_TOO_LARGE;
	case MINT_FAILED:
		break;
	}
	r->detail = arena_printf(r->arena, "%s", m->error);
	return REFUSE_INTERNAL;
}

/* RFC 3339. */
static struct span
date_text(struct request *r, int64_t t)
{
	time_t seconds = (time_t)t;
	char text[32];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return SPAN_NONE;
	return arena_dup(r->arena, span_of(text));
}

static enum refuse
issue(struct request *r)
{
	struct mint m = { 0 };
	struct span issued, body;
	enum refuse why = may_have_one(r);

	if (why == REFUSE_NONE)
		why = mint(r, &m);
	if (why != REFUSE_NONE)
		return why;
	issued = date_text(r, m.now);
	/* none of these texts has a byte that JSON escapes */
	body = arena_printf(r->arena,
	    "{\"token\":\"%s\",\"access_token\":\"%s\",\"expires_in\":%lld,\"issued_at\":\"%.*s\",\"scope\":\"%.*s\"}", m.token, m.token,
	    (long long)(m.expires_at - m.now), SPAN_FMT(issued), SPAN_FMT(r->token->scope));
	free(m.token);
	if (issued.p == NULL || body.p == NULL)
		return REFUSE_NO_MEMORY;
	answer_json(r, SPAN("no-store"), body);
	return REFUSE_NONE;
}

enum next
step_token(struct request *r)
{
	enum refuse why;

	if (r->route.op == ROUTE_JWKS) {
		answer_json(r, SPAN("public, max-age=900"), token_keys_document(token_service_keys(r->config->token_service)));
		return STOP;
	}
	if (r->route.op != ROUTE_TOKEN)
		return NEXT;
	why = decide_prepare(r) ? issue(r) : REFUSE_NO_MEMORY;
	return why == REFUSE_NONE ? STOP : request_refuse(r, why);
}

/* ---- for the event ---- */

struct span
token_event_id(const struct request *r)
{
	if (r->authn.token != NULL)
		return r->authn.token->token_id;
	return r->token == NULL ? SPAN_NONE : span_of(r->token->id);
}

struct span
token_event_scope(const struct request *r)
{
	return r->token == NULL || r->token->id[0] == '\0' ? SPAN_NONE : r->token->scope;
}
