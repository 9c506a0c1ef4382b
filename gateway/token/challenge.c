/*
 * challenge.c - what a 401 asks for: a token of the token service, or credentials.
 * Invariant: the realm is configuration. Nothing of a request is in it, so nobody can send a client's password elsewhere.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"
#include "gateway/token/request.h"

/* The scope that the request needs (distribution's token specification), or none. */
static struct span
scope_needed(struct request *r)
{
	struct span repository = r->route.repository, from = r->route.from.p != NULL ? r->route.from : r->route.stripped_from;
	const char *actions = "pull";

	if (r->route.op == ROUTE_CATALOG)
		return SPAN("registry:catalog:*");
	if (repository.p == NULL || r->route.op == ROUTE_NONE)
		return SPAN_NONE;
	if (request_is_delete(r))
		actions = "delete";
	else if (r->head.method != HTTP_GET && r->head.method != HTTP_HEAD)
		actions = "pull,push";
	if (from.p != NULL)
		return arena_printf(r->arena, "repository:%.*s:%s repository:%.*s:pull", SPAN_FMT(repository), actions, SPAN_FMT(from));
	return arena_printf(r->arena, "repository:%.*s:%s", SPAN_FMT(repository), actions);
}

static const char *
error_of(const struct request *r)
{
	if (r->refused == REFUSE_INSUFFICIENT_SCOPE)
		return "insufficient_scope";
	return r->refused == REFUSE_BAD_TOKEN ? "invalid_token" : NULL;
}

void
token_challenge(struct request *r, struct http_writer *w)
{
	const struct config *c = r->config;
	struct span value, scope;
	const char *error = error_of(r);

	if (c->token_service == NULL || c->basic_realm || r->route.op == ROUTE_TOKEN) {
		value = arena_printf(r->arena, "Basic realm=\"%s\"", c->external_host);
	} else {
		scope = scope_needed(r);
		value = arena_printf(r->arena, "Bearer realm=\"%s/token\",service=\"%s\"%s%.*s%s%s%s%s", c->external_url,
		    token_service_audience(c->token_service), scope.n > 0 ? ",scope=\"" : "", SPAN_FMT(scope),
		    scope.n > 0 ? "\"" : "", error != NULL ? ",error=\"" : "", error != NULL ? error : "", error != NULL ? "\"" : "");
	}
	http_write_field(w, SPAN("WWW-Authenticate"), value);
}

const char *
token_oauth_error(const struct request *r)
{
	if (r->route.op != ROUTE_TOKEN)
		return NULL;
	switch ((int)r->refused) {
	case REFUSE_GRANT_TYPE:
		return "unsupported_grant_type";
	case REFUSE_BAD_FORM:
	case REFUSE_FORM_TOO_LARGE:
	case REFUSE_BAD_CONTENT_TYPE:
	case REFUSE_LENGTH_REQUIRED:
		return "invalid_request";
	case REFUSE_TOKEN_TOO_LARGE:
		return "invalid_scope";
	default:
		return refusal_of(r->refused)->status == 401 ? "invalid_grant" : "temporarily_unavailable";
	}
}
