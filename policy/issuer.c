/*
 * issuer.c - the table of trusted issuers.
 * Invariant: an issuer in the table is complete: an audience, an algorithm, and keys or none yet.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "policy/jws.h"

#define LIFETIME	(24 * 3600)

struct issuer_table {
	_Atomic(unsigned) refs;
	uint32_t generation;
	struct issuer *issuers;
	size_t n;
};

struct issuer_table *
issuer_table_new(uint32_t generation)
{
	struct issuer_table *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	t->generation = generation;
	return t;
}

static void
issuer_clear(struct issuer *i)
{
	for (size_t k = 0; k < i->n_audiences; k++)
		free(i->audiences[k]);
	free(i->audiences);
	free(i->alias);
	free(i->url);
	free(i->groups_claim);
	free(i->roles_claim);
	for (size_t k = 0; k < i->n_required; k++) {
		free((char *)(uintptr_t)i->required[k].path);
		free((char *)(uintptr_t)i->required[k].value);
	}
	free(i->required);
}

static bool
fill_required(struct issuer *i, const struct issuer_rule *rule)
{
	i->required = calloc(rule->n_required + 1, sizeof *i->required);
	if (i->required == NULL)
		return false;
	for (; i->n_required < rule->n_required; i->n_required++) {
		const struct issuer_claim *from = &rule->required[i->n_required];
		struct issuer_claim *to = &i->required[i->n_required];

		to->path = strdup(from->path);
		to->value = from->value == NULL ? NULL : strdup(from->value);
		if (to->path != NULL && (to->value != NULL) == (from->value != NULL))
			continue;
		free((char *)(uintptr_t)to->path);
		free((char *)(uintptr_t)to->value);
		return false;
	}
	return true;
}

static bool
issuer_fill(struct issuer *i, const struct issuer_rule *rule)
{
	*i = (struct issuer){
		.alias = strdup(rule->alias),
		.url = strdup(rule->url),
		.audiences = calloc(rule->n_audiences, sizeof(char *)),
		.algorithms = rule->algorithms,
		.max_lifetime = rule->max_lifetime > 0 ? rule->max_lifetime : LIFETIME,
		.leeway = rule->leeway,
		.groups_claim = strdup(rule->groups_claim != NULL ? rule->groups_claim : "groups"),
		.roles_claim = strdup(rule->roles_claim != NULL ? rule->roles_claim : "roles"),
		.quirks = rule->quirks,
		.keys = rule->keys,
	};
	if (i->alias == NULL || i->url == NULL || i->audiences == NULL || i->groups_claim == NULL || i->roles_claim == NULL)
		return false;
	for (; i->n_audiences < rule->n_audiences; i->n_audiences++) {
		i->audiences[i->n_audiences] = strdup(rule->audiences[i->n_audiences]);
		if (i->audiences[i->n_audiences] == NULL)
			return false;
	}
	return fill_required(i, rule);
}

bool
issuer_table_add(struct issuer_table *t, const struct issuer_rule *rule)
{
	struct issuer *grown;

	if (rule->n_audiences == 0 || (rule->algorithms & ~(1u << JWS_ALG_NONE)) == 0)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->issuers[i].alias, rule->alias) == 0 || strcmp(t->issuers[i].url, rule->url) == 0)
			return false;
	grown = reallocarray(t->issuers, t->n + 1, sizeof *grown);
	if (grown == NULL)
		return false;
	t->issuers = grown;
	if (!issuer_fill(&t->issuers[t->n], rule)) {
		issuer_clear(&t->issuers[t->n]);
		return false;
	}
	t->n++;
	return true;
}

size_t
issuer_table_count(const struct issuer_table *t)
{
	return t->n;
}

bool
issuer_table_vouches(const struct issuer_table *t, struct span alias, struct span kid)
{
	if (kid.n == 0)
		kid = SPAN_NONE;	/* the key has no name: then it is the only one that fits */
	for (size_t i = 0; i < t->n; i++) {
		const struct issuer *issuer = &t->issuers[i];

		if (!span_eq(span_of(issuer->alias), alias))
			continue;
		for (enum jws_alg alg = JWS_ALG_NONE + 1; alg < JWS_ALG_MAX && issuer->keys != NULL; alg++)
			if ((issuer->algorithms & 1u << alg) != 0 && keyset_find(issuer->keys, kid, alg) != NULL)
				return true;
	}
	return false;
}

uint32_t
issuer_table_generation(const struct issuer_table *t)
{
	return t->generation;
}

struct issuer_table *
issuer_table_ref(struct issuer_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void
issuer_table_unref(struct issuer_table *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->n; i++) {
		issuer_clear(&t->issuers[i]);
		keyset_free(t->issuers[i].keys);
	}
	free(t->issuers);
	free(t);
}

const struct issuer *
issuer_find(const struct issuer_table *t, struct span url)
{
	for (size_t i = 0; i < t->n; i++)
		if (span_eq(span_of(t->issuers[i].url), url))
			return &t->issuers[i];
	return NULL;
}

const struct issuer *
issuer_find_domain(const struct issuer_table *t, struct span subject)
{
	static const char scheme[] = "spiffe://";
	const struct issuer *i;
	const char *slash;

	if (!span_starts(subject, SPAN("spiffe://")))
		return NULL;
	slash = memchr(subject.p + sizeof scheme - 1, '/', subject.n - (sizeof scheme - 1));
	if (slash == NULL)
		return NULL;
	i = issuer_find(t, (struct span){ subject.p, (size_t)(slash - subject.p) });
	return i != NULL && (i->quirks & ISSUER_SPIFFE) != 0 ? i : NULL;
}
