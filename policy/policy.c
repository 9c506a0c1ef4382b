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

#define SNAPSHOT_MAX ((size_t)1 << 30) /* bytes of compiled statements */

static bool
hash_sources(const struct policy_source *sources, size_t n, char *out, size_t size)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	unsigned md_size = 0;

	for (size_t i = 0; ok && i < n; i++) {
		unsigned char length[8];

		/* a byte moved from one file to the next is another policy */
		for (size_t k = 0; k < sizeof length; k++)
			length[k] = (unsigned char)((uint64_t)sources[i].text.n >> (56 - 8 * k));
		ok = EVP_DigestUpdate(ctx, length, sizeof length) == 1 &&
		    EVP_DigestUpdate(ctx, sources[i].text.p, sources[i].text.n) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, md, &md_size) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return false;
	snprintf(out, size, "sha256:");
	for (size_t i = 0; i < md_size; i++)
		snprintf(out + 7 + 2 * i, size - 7 - 2 * i, "%02x", md[i]);
	return true;
}

static void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	arena_free(p->arena);
	free(p->statements);
	free(p);
}

static struct policy *
policy_new(void)
{
	struct policy *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->arena = arena_new(SNAPSHOT_MAX);
	if (p->arena == NULL) {
		free(p);
		return NULL;
	}
	atomic_init(&p->refs, 1);
	return p;
}

struct policy *
policy_load(const struct policy_source *sources, size_t n, const struct policy_names *names, policy_problem *problem,
    void *ctx)
{
	struct policy_reader r = { .names = names, .problem = problem, .ctx = ctx };
	const char *name = n > 0 ? sources[0].name : "policy";

	r.policy = policy_new();
	r.sids = json_object();
	for (size_t i = 0; r.policy != NULL && r.sids != NULL && i < n; i++) {
		r.source = &sources[i];
		policy_parse(&r);
	}
	if (r.problems == 0 && (r.policy == NULL || r.sids == NULL || !index_build(r.policy) ||
	    !hash_sources(sources, n, r.policy->hash, sizeof r.policy->hash))) {
		r.problems++;
		problem(ctx, name, 1, "out of memory");
	}
	json_decref(r.sids);
	if (r.problems == 0)
		return r.policy;
	policy_free(r.policy);
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

size_t
policy_statements(const struct policy *p)
{
	return p->n;
}

const char *
policy_hash(const struct policy *p)
{
	return p->hash;
}
