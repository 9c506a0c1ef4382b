/*
 * reach.c - bytes from the registry for a thread of evidence, with the gateway's login there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/evidence/parts.h"

/* A login that a hand waits for. It is the desk's as well: the hand may be told to stop before it comes. */
struct call {
	struct evidence *evidence;
	struct login_wait *wait;
	bool done, abandoned;	/* under the lock */
};

static void
call_free(struct call *c)
{
	login_wait_free(c->wait);
	free(c);
}

/* At the desk. */
static void
on_login(struct login_wait *w)
{
	struct call *c = w->ctx;
	struct evidence *e = c->evidence;
	bool abandoned;

	pthread_mutex_lock(&e->lock);
	c->done = true;
	abandoned = c->abandoned;
	pthread_cond_broadcast(&e->answered);
	pthread_mutex_unlock(&e->lock);
	if (abandoned)
		call_free(c);
}

static struct call *
call_new(struct reach *r, bool anew)
{
	const struct config_upstream *u = r->upstream;
	bool whole = u->credentials == CREDENTIALS_ECR || u->credentials == CREDENTIALS_GAR;
	struct call *c = calloc(1, sizeof *c);
	char *scope;

	if (c == NULL || asprintf(&scope, "repository:%.*s:pull", SPAN_FMT(r->repository)) < 0) {
		free(c);
		return NULL;
	}
	c->evidence = r->hand->evidence;
	c->wait = login_wait_new(r->setup, u, whole ? SPAN("") : span_of(scope));
	free(scope);
	if (c->wait == NULL) {
		free(c);
		return NULL;
	}
	c->wait->reply_to = c->evidence->desk;
	c->wait->done = on_login;
	c->wait->ctx = c;
	c->wait->anew = anew;
	return c;
}

/* False: told to stop; it frees itself then. */
static bool
wait_for(struct evidence *e, struct call *c)
{
	bool done;

	pthread_mutex_lock(&e->lock);
	while (!c->done && !atomic_load(&e->stopping))
		pthread_cond_wait(&e->answered, &e->lock);
	done = c->done;
	c->abandoned = !done;
	pthread_mutex_unlock(&e->lock);
	return done;
}

static const char *
log_in(void *ctx, bool anew, char *err, size_t err_size)
{
	struct reach *r = ctx;
	struct evidence *e = r->hand->evidence;
	struct call *c;

	if (r->upstream->credentials < CREDENTIALS_TOKEN)
		return r->upstream->authorization == NULL ? "" : r->upstream->authorization;
	if (!anew && r->credential != NULL && credential_good(r->credential, time(NULL)))
		return r->credential->authorization.n == 0 ? "" : r->credential->authorization.p;
	snprintf(err, err_size, "out of memory");
	c = call_new(r, anew);
	if (c == NULL)
		return NULL;
	logins_ask(e->env.credentials, c->wait);
	if (!wait_for(e, c)) {
		snprintf(err, err_size, "stopped");
		return NULL;
	}
	credential_unref(r->credential);
	r->credential = c->wait->credential == NULL ? NULL : credential_ref(c->wait->credential);
	if (r->credential == NULL)
		snprintf(err, err_size, "%s", c->wait->why);
	call_free(c);
	if (r->credential == NULL)
		return NULL;
	return r->credential->authorization.n == 0 ? "" : r->credential->authorization.p;
}

void
reach_clear(struct reach *r)
{
	credential_unref(r->credential);
	r->credential = NULL;
}

void
reach_ask(struct reach *r, struct pull_ask *q, const char *path, const char *digest, uint64_t size, uint64_t max)
{
	*q = (struct pull_ask){ .upstream = r->upstream, .limits = &r->setup->config->limits, .repository = r->repository, .path = path,
		.digest = digest, .size = size, .max = max,
		.login = log_in, .ctx = r, .stop = &r->hand->evidence->stopping };
}

enum pull_outcome
reach_get(struct reach *r, const char *what, struct span digest, uint64_t size, uint64_t max, struct arena *a, struct span *out,
    struct span *content_type, char *err, size_t err_size)
{
	char path[128], text[LEDGER_DIGEST] = "";
	struct pull_ask q;

	*out = SPAN_NONE;
	if (digest.n == LEDGER_DIGEST - 1)
		memcpy(text, digest.p, digest.n);
	if (!ledger_digest_valid(text)) {
		snprintf(err, err_size, "its digest is no sha256 digest");
		return PULL_FAILED;
	}
	snprintf(path, sizeof path, "%s%s", what, text);
	reach_ask(r, &q, path, text, size, max);
	q.accept = strcmp(what, "manifests/") == 0 ? manifest_accept : NULL;
	return pull_whole(r->hand->puller, &q, a, out, content_type, err, err_size);
}
