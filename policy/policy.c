/*
 * policy.c - a snapshot: loaded from documents, shared by reference.
 * Invariant: a snapshot never changes but for its count; one with a problem is never handed out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/policy.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/json.h"
#include "policy/lint.h"

#define SNAPSHOT_MAX ((size_t)1 << 30) /* bytes of compiled statements */
#define DEPTH_MAX    8u

/* ---- hashes ---- */

static bool
hash_sources(const struct policy_source *sources, size_t n, unsigned char out[static 32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < n; i++) {
		unsigned char length[8];

		/* a byte moved from one file to the next is another policy */
		for (size_t k = 0; k < sizeof length; k++)
			length[k] = (unsigned char)((uint64_t)sources[i].text.n >> (56 - 8 * k));
		ok = EVP_DigestUpdate(ctx, length, sizeof length) == 1 &&
		    EVP_DigestUpdate(ctx, sources[i].text.p, sources[i].text.n) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* Of the documents, and of the sets when there are some. */
static bool
hash_snapshot(struct policy *p)
{
	unsigned char bytes[32 * (SETS_MAX + 1)], md[32];
	const struct bundle *b = p->bundle;

	memcpy(bytes, b->sources, 32);
	memcpy(md, b->sources, 32);
	for (size_t i = 0; i < b->n_sets; i++)
		memcpy(bytes + 32 * (i + 1), set_digest(p->sets[i]), 32);
	if (b->n_sets > 0 && EVP_Digest(bytes, 32 * (b->n_sets + 1), md, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(p->hash, "sha256:", 7);
	for (size_t i = 0; i < sizeof md; i++)
		snprintf(p->hash + 7 + 2 * i, 3, "%02x", md[i]);
	return true;
}

/* ---- life ---- */

static void
bundle_unref(struct bundle *b)
{
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	regex_free_all(b->regexes);
	arena_free(b->arena);
	free(b->statements);
	free(b);
}

static void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < SETS_MAX; i++)
		set_unref(p->sets[i]);
	bundle_unref(p->bundle);
	free(p);
}

static struct policy *
policy_new(struct bundle *b)
{
	struct policy *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	atomic_init(&p->refs, 1);
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	p->bundle = b;
	return p;
}

static struct bundle *
bundle_new(const struct policy_names *names)
{
	struct bundle *b = calloc(1, sizeof *b);

	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->any_vocabulary = names->any_vocabulary;
	b->arena = arena_new(SNAPSHOT_MAX);
	if (b->arena == NULL) {
		free(b);
		return NULL;
	}
	return b;
}

/* ---- loading ---- */

static void
out_of_memory(struct policy_reader *r)
{
	r->problems++;
	finding_report(r->problem, r->ctx, LINT_E100, r->source->name, 1, SPAN_NONE, "out of memory", NULL);
}

/* What the documents say of themselves, all of them before the statements of any. */
static void
read_document(struct policy_reader *r, struct document *d, json_t **o)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	int line = 1;

	r->document = d;
	d->file = arena_dup(r->bundle->arena, span_of(r->source->name)).p;
	*o = json_strict(r->source->text, DEPTH_MAX, err, sizeof err, &line);
	if (d->file == NULL) {
		out_of_memory(r);
	} else if (*o == NULL) {
		r->problems++;
		finding_report(r->problem, r->ctx, strstr(err, "duplicate") != NULL ? LINT_E104 : LINT_E100, r->source->name, line,
		    SPAN_NONE, err, NULL);
	} else {
		document_parse(r, *o);
	}
}

static void
read_documents(struct policy_reader *r, const struct policy_source *sources, size_t n)
{
	struct document *documents = arena_zalloc(r->bundle->arena, n, sizeof *documents);
	json_t **objects = calloc(n + 1, sizeof *objects);

	r->source = sources;
	if ((documents == NULL || objects == NULL) && n > 0)
		out_of_memory(r);
	for (size_t i = 0; documents != NULL && objects != NULL && i < n; i++) {
		r->source = &sources[i];
		read_document(r, &documents[i], &objects[i]);
	}
	for (size_t i = 0; documents != NULL && objects != NULL && i < n; i++) {
		r->source = &sources[i];
		r->document = &documents[i];
		if (json_is_object(objects[i]))
			document_parse_statements(r, objects[i]);
	}
	for (size_t i = 0; objects != NULL && i < n; i++)
		json_decref(objects[i]);
	free(objects);
}

/* Statements are known now: those that there was room for and that did not come are given back. */
static void
trim(struct bundle *b)
{
	struct statement *exact = b->n == 0 ? NULL : reallocarray(b->statements, b->n, sizeof *exact);

	if (exact == NULL)
		return;
	b->statements = exact;
	b->room = b->n;
}

static bool
build(struct bundle *b)
{
	size_t before = arena_used(b->arena);
	struct index_stats stats;

	trim(b);
	for (unsigned deny = 0; deny < 2; deny++) {
		b->index[deny] = index_build(b->statements, b->n, deny != 0, true, b->arena);
		if (b->index[deny] == NULL)
			return false;
	}
	index_stats(b->index[0], &stats);
	b->near = stats.by_value == 0 ? b->index[0] : index_build(b->statements, b->n, false, false, b->arena);
	if (b->near == NULL)
		return false;
	b->index_bytes = arena_used(b->arena) - before;
	return reads_build(b);
}

struct policy *
policy_load(const struct policy_source *sources, size_t n, const struct policy_names *names, policy_problem *problem,
    void *ctx)
{
	static const struct policy_names unchecked = { .issuers = NULL };
	static const struct policy_source none = { "policy", { "", 0 } };
	struct policy_reader r = { .names = names != NULL ? names : &unchecked, .problem = problem, .ctx = ctx, .source = &none };

	r.bundle = bundle_new(r.names);
	r.policy = r.bundle == NULL ? NULL : policy_new(r.bundle);
	r.sids = json_object();
	if (r.policy == NULL || r.sids == NULL)
		out_of_memory(&r);
	else
		read_documents(&r, sources, n);
	if (n == 0)
		r.source = &none;
	if (r.problems == 0 && (!build(r.bundle) || !hash_sources(sources, n, r.bundle->sources)))
		out_of_memory(&r);
	if (r.problems == 0 && !fetch_sets(r.policy, r.names->fetch, r.names->fetch_ctx, problem, ctx))
		r.problems++;
	if (r.problems == 0 && !hash_snapshot(r.policy))
		out_of_memory(&r);
	if (r.problems == 0 && r.names->linting != LINTING_OFF && !r.names->any_vocabulary &&
	    lint_bundle(r.bundle, r.names, problem, ctx) > 0 && r.names->linting == LINTING_ENFORCED)
		r.problems++;
	json_decref(r.sids);
	intern_free(r.intern);
	bundle_unref(r.bundle);
	if (r.problems == 0)
		return r.policy;
	policy_free(r.policy);
	return NULL;
}

struct policy *
policy_reload_sets(struct policy *p, policy_fetch *fetch, void *fetch_ctx, policy_problem *problem, void *ctx)
{
	struct policy *fresh = policy_new(p->bundle);

	if (fresh != NULL && fetch_sets(fresh, fetch, fetch_ctx, problem, ctx) && hash_snapshot(fresh))
		return fresh;
	if (fresh == NULL)
		finding_report(problem, ctx, LINT_E100, "policy", 1, SPAN_NONE, "out of memory", NULL);
	policy_free(fresh);
	return NULL;
}

struct policy *
policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
policy_unref(struct policy *p)
{
	if (p != NULL && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		policy_free(p);
}

/* ---- looking at it ---- */

size_t
policy_statements(const struct policy *p)
{
	return p->bundle->n;
}

const struct statement *
policy_statement_at(const struct policy *p, size_t i)
{
	return &p->bundle->statements[i];
}

const char *
policy_hash(const struct policy *p)
{
	return p->hash;
}
