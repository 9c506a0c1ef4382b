/*
 * login.c - step `login`: the gateway's own credentials at the registry, for what is about to be asked there.
 *
 * The scope is the least that the request needs, told by our own reading of it: not by what the registry's challenge asks for.
 * Invariant: a worker never waits for a login; it comes by mail, and who has gone meanwhile is not told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/logins.h"

#include "gateway/log.h"
#include "gateway/request.h"

/* "repository:a/b:pull,push"; registries that give one login for everything are asked without. */
static struct span
scope_of(struct request *r)
{
	const char *actions = "pull";

	if (r->upstream_config->credentials == CREDENTIALS_ECR || r->upstream_config->credentials == CREDENTIALS_GAR ||
	    r->route.op == ROUTE_PING)
		return SPAN("");
	if (r->route.op == ROUTE_CATALOG)
		return SPAN("registry:catalog:*");
	if (r->route.op == ROUTE_BLOB_MOUNT)
		return arena_printf(r->arena, "repository:%.*s:pull,push repository:%.*s:pull", SPAN_FMT(r->route.repository),
		    SPAN_FMT(r->route.from));
	if (request_is_delete(r) || r->route.op == ROUTE_UPLOAD_CANCEL)
		actions = "pull,push,delete";
	else if (r->head.method != HTTP_GET && r->head.method != HTTP_HEAD)
		actions = "pull,push";
	else if (r->route.reference_type == REFERENCE_LEASE)
		actions = "pull,push";
	return arena_printf(r->arena, "repository:%.*s:%s", SPAN_FMT(r->route.repository), actions);
}

static void
on_login(struct login_wait *w)
{
	struct request *r = w->ctx;

	if (r == NULL) {
		login_wait_free(w);
		return;
	}
	r->login_wait = NULL;
	if (w->credential == NULL) {
		r->detail = arena_dup(r->arena, span_of(w->why));
	} else {
		login_cache_put(r->serving->logins, r->upstream_config, (struct span){ w->scope, w->scope_n }, w->credential);
		r->credential = credential_ref(w->credential);
	}
	login_wait_free(w);
	r->login_then(r, r->credential != NULL);
}

static void
go_on(struct request *r, bool ok)
{
	if (ok)
		request_continue(r);
	else
		request_fail(r, REFUSE_UPSTREAM_LOGIN);
}

static enum refuse
ask(struct request *r, struct span scope, void (*then)(struct request *r, bool ok))
{
	struct login_wait *w = login_wait_new(r->serving->setup, r->upstream_config, scope);

	if (w == NULL)
		return REFUSE_NO_MEMORY;
	w->reply_to = r->worker->mailbox;
	w->done = on_login;
	w->ctx = r;
	r->login_wait = w;
	r->login_then = then;
	logins_ask(r->worker->gateway->credentials, w);
	return REFUSE_NONE;
}

/* The next one is asked for in good time, by the first who notices. */
static void
renew(struct request *r, struct span scope)
{
	struct credential *c = r->credential;
	struct login_wait *w;

	if (r->time_us / 1000000 < c->renew || atomic_exchange_explicit(&c->renewing, true, memory_order_relaxed))
		return;
	w = login_wait_new(r->serving->setup, r->upstream_config, scope);
	if (w == NULL)
		return;
	w->anew = true;
	logins_ask(r->worker->gateway->credentials, w);
}

void
login_abandon(struct request *r)
{
	if (r->login_wait != NULL)
		r->login_wait->ctx = NULL;
	r->login_wait = NULL;
	credential_unref(r->credential);
	r->credential = NULL;
}

bool
login_again(struct request *r, void (*then)(struct request *r, bool ok))
{
	struct span scope;

	if (r->credential == NULL || r->login_repeated || r->upstream_config->credentials < CREDENTIALS_TOKEN)
		return false;
	r->login_repeated = true;
	atomic_store_explicit(&r->credential->refused, true, memory_order_relaxed);
	credential_unref(r->credential);
	r->credential = NULL;
	scope = scope_of(r);
	return scope.p != NULL && ask(r, scope, then) == REFUSE_NONE;
}

enum next
step_login(struct request *r)
{
	struct credential *c;
	struct span scope;
	enum refuse why;

	if (r->upstream_config->credentials < CREDENTIALS_TOKEN)
		return NEXT;
	scope = scope_of(r);
	if (scope.p == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	c = login_cache_find(r->serving->logins, r->upstream_config, scope);
	if (credential_good(c, r->time_us / 1000000)) {
		r->credential = credential_ref(c);
		renew(r, scope);
		return NEXT;
	}
	why = ask(r, scope, go_on);
	return why == REFUSE_NONE ? WAIT : request_refuse(r, why);
}
