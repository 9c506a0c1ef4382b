/*
 * peek.c - a manifest of upstream's, whole and hashed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/peek.h"

#include <jansson.h>
#include <stdlib.h>

#include "gateway/steps/held.h"

static void
finish(struct peek *p)
{
	p->exchange = NULL;
	p->request->peek = NULL;
	p->done(p);
}

static void
on_head(void *ctx, const struct http_head *h)
{
	struct peek *p = ((struct request *)ctx)->peek;

	p->head = h;
	p->n = 0;
}

static enum refuse
take(struct peek *p, struct span payload)
{
	size_t limit = p->request->config->limits.manifest;

	if (payload.n > limit - p->n)
		return REFUSE_UPSTREAM_BAD;
	if (p->size - p->n < payload.n) {
		size_t want = (p->n + payload.n) * 2 < limit ? (p->n + payload.n) * 2 : limit;
		char *more;

		if (!held_take(p->request, want - p->size))
			return REFUSE_CROWDED;
		more = realloc(p->bytes, want);
		if (more == NULL)
			return REFUSE_NO_MEMORY;
		p->bytes = more;
		p->size = want;
	}
	memcpy(p->bytes + p->n, payload.p, payload.n);
	p->n += payload.n;
	return EVP_DigestUpdate(p->md, payload.p, payload.n) == 1 ? REFUSE_NONE : REFUSE_NO_MEMORY;
}

static void
on_body(void *ctx, struct span payload)
{
	struct peek *p = ((struct request *)ctx)->peek;

	enum refuse why = take(p, payload);

	if (why == REFUSE_NONE)
		return;
	exchange_cancel(p->exchange);
	p->failed = why;
	finish(p);
}

static void
on_end(void *ctx)
{
	struct peek *p = ((struct request *)ctx)->peek;
	unsigned char hash[EVP_MAX_MD_SIZE];

	p->status = p->head->status;
	if (p->status == 200 && p->n > 0 && EVP_DigestFinal_ex(p->md, hash, NULL) == 1)
		digest_text(hash, p->digest);
	finish(p);
}

static void
on_fail(void *ctx, enum refuse why)
{
	struct peek *p = ((struct request *)ctx)->peek;

	p->failed = why;
	finish(p);
}

static const struct exchange_ops ops = { .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail };

static bool
prepare(struct peek *p, struct request *r, void (*done)(struct peek *p))
{
	p->failed = REFUSE_NO_MEMORY;
	p->status = 0;
	p->head = NULL;
	p->n = 0;
	memset(p->digest, 0, sizeof p->digest);
	p->request = r;
	p->done = done;
	r->peek = p;
	if (p->md == NULL)
		p->md = EVP_MD_CTX_new();
	return p->md != NULL && EVP_DigestInit_ex(p->md, EVP_sha256(), NULL) == 1;
}

void
peek_start(struct peek *p, struct request *r, struct span target, void (*done)(struct peek *p))
{
	if (prepare(p, r, done))
		p->exchange = forward_get(r, target, p->accept.p != NULL ? p->accept : span_of(manifest_accept), &ops, &p->failed);
	if (p->exchange == NULL)
		finish(p);
}

void
peek_put(struct peek *p, struct request *r, struct span target, void (*done)(struct peek *p))
{
	if (prepare(p, r, done))
		p->exchange = forward_put(r, target, &ops, &p->failed);
	if (p->exchange == NULL)
		finish(p);
}

void
peek_cancel(struct peek *p)
{
	if (p == NULL)
		return;
	exchange_cancel(p->exchange);
	p->exchange = NULL;
	p->request->peek = NULL;
}

void
peek_clear(struct peek *p)
{
	EVP_MD_CTX_free(p->md);
	free(p->bytes);
	memset(p, 0, sizeof *p);
}

static bool
says_absent(const struct peek *p)
{
	json_error_t e;
	json_t *body = p->n > OFFLOAD_JSON ? NULL : json_loadb(p->bytes == NULL ? "" : p->bytes, p->n,
	    JSON_REJECT_DUPLICATES, &e);
	const char *code = json_string_value(json_object_get(json_array_get(json_object_get(body, "errors"), 0), "code"));
	bool absent = code != NULL && (strcmp(code, "MANIFEST_UNKNOWN") == 0 || strcmp(code, "NAME_UNKNOWN") == 0);

	json_decref(body);
	return absent;
}

enum probe_result
peek_says(const struct peek *p)
{
	if (p->digest[0] != '\0')
		return PROBE_PRESENT;
	return p->status == 404 && says_absent(p) ? PROBE_ABSENT : PROBE_UNKNOWN;
}
