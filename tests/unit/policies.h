/*
 * policies.h - big policies made by rule, and requests to them: for tests and timings of what depends on their size.
 *
 * Statement i lets the CI of acme/team<i> push to repo:up/team<i>/app/...; every tenth is a Deny of a place of its own.
 * Of a hundred statements some are others, that no index can find by their resource:
 *   POLICIES_PATTERNS  1 Deny of subjects by pattern, everywhere
 *   POLICIES_REGEXES   1 Deny by regular expression, everywhere
 *   POLICIES_MIXED     1 such Deny, and 5 Allow of repositories behind a leading *
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_POLICIES_H
#define TW_TESTS_POLICIES_H

#include <stdio.h>
#include <stdlib.h>

#include "policy/policy.h"

#define POLICIES_NOW	  1796122800 /* Tuesday, 1 December 2026, 11:00 UTC */
#define POLICIES_REQUESTS 1024u

enum policies_kind {
	POLICIES_INDEXABLE = 0,
	POLICIES_PATTERNS,
	POLICIES_REGEXES,
	POLICIES_MIXED,
	POLICIES_KINDS
};
static const char *const policies_kind_names[] = { "indexable", "patterns", "regexes", "mixed" };

static inline const char *
policies_rule(enum policies_kind kind, size_t i)
{
	size_t of = i % 100;

	if (kind == POLICIES_PATTERNS && of == 50)
		return "{\"Sid\":\"s%zu\",\"Effect\":\"Deny\",\"Principal\":\"subject:gh/bot-%zu-*\",\"Action\":\"registry:*\","
		       "\"Resource\":\"repo:*\"}";
	if ((kind == POLICIES_REGEXES || kind == POLICIES_MIXED) && of == 50)
		return "{\"Sid\":\"s%zu\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"registry:*\",\"Resource\":\"repo:*\","
		       "\"Condition\":{\"Null\":{\"jwt:ref\":\"false\"},\"StringMatches\":{\"jwt:ref\":\"refs/(heads|tags)/tmp-%zu-[a-z]+\"}}}";
	if (kind == POLICIES_MIXED && of % 20 == 7)
		return "{\"Sid\":\"s%zu\",\"Effect\":\"Allow\",\"Principal\":\"issuer:gh\",\"Action\":\"registry:Pull*\","
		       "\"Resource\":\"repo:*/shared-%zu/*\"}";
	if (of % 10 == 9)
		return "{\"Sid\":\"s%zu\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"registry:Push*\","
		       "\"Resource\":\"repo:up/team%zu/app/frozen*\"}";
	return "{\"Sid\":\"s%zu\",\"Effect\":\"Allow\",\"Principal\":\"issuer:gh\",\"Action\":[\"registry:Push*\",\"registry:Pull*\"],"
	       "\"Resource\":\"repo:up/team%zu/app/*\",\"Condition\":{\"StringEquals\":{\"jwt:ref\":\"refs/heads/main\","
	       "\"jwt:repository\":\"acme/team%zu\"}}}";
}

/* A document of statements i to i + n; to be freed. */
static inline struct span
policies_text(enum policies_kind kind, size_t from, size_t n)
{
	size_t room = 64 + n * 400;
	char *text = malloc(room);
	size_t used = (size_t)snprintf(text, room, "{\"Version\":\"2026-11-01\",\"Statement\":[");

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	for (size_t i = from; i < from + n; i++) {
		used += (size_t)snprintf(text + used, room - used, i == from ? "\n" : ",\n");
		used += (size_t)snprintf(text + used, room - used, policies_rule(kind, i), i, i, i);
	}
#pragma GCC diagnostic pop
	used += (size_t)snprintf(text + used, room - used, "\n]}\n");
	return (struct span){ text, used };
}

static inline void
policies_problem(void *ctx, const struct policy_finding *f)
{
	char text[FINDING_TEXT_MAX];

	(void)ctx;
	if (lint_row(f->code)->severity != SEVERITY_ERROR)
		return;
	policy_finding_text(f, text);
	fprintf(stderr, "%s:%d: %s\n", f->file, f->line, text);
}

/* n statements in three documents; bytes, if not NULL: of their texts. */
static inline struct policy *
policies_load(enum policies_kind kind, size_t n, size_t *bytes)
{
	const struct policy_names names = { .linting = LINTING_ENFORCED };
	struct policy_source sources[3];
	struct policy *p;
	size_t total = 0;

	for (size_t d = 0; d < 3; d++) {
		sources[d] = (struct policy_source){ "policy.json", policies_text(kind, d * n / 3, (d + 1) * n / 3 - d * n / 3) };
		total += sources[d].text.n;
	}
	p = policy_load(sources, 3, &names, policies_problem, NULL);
	for (size_t d = 0; d < 3; d++)
		free((char *)(uintptr_t)sources[d].text.p);
	if (bytes != NULL)
		*bytes = total;
	return p;
}

/* ---- requests ---- */

/* Of ten: seven that an Allow meets, one that a claim keeps out, one that nothing speaks of, one that a Deny meets. */
struct policies_request {
	struct policy_request request;
	struct identity who;
	struct span ids[3];
	struct fact facts[KEY_MAX];
	char repository[64], subject[32];
	json_t *claims;
};

static inline uint32_t
policies_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static inline void
policies_ask(struct policies_request *r, size_t n, uint32_t *seed)
{
	/* the same share of every size: the statement is drawn, the kind of request goes round */
	size_t i = policies_random(seed) % n, kind = policies_random(seed) % 10;
	char repository[64];
	int length;

	if (kind == 9 && n >= 10)
		i = i - i % 10 + 9 < n ? i - i % 10 + 9 : 9;
	else if (i % 10 == 9)
		i--;
	length = snprintf(r->repository, sizeof r->repository, kind == 8 ? "nobody%zu/app/web" :
	    kind == 9 ? "team%zu/app/frozen-1" : "team%zu/app/web", i);
	snprintf(r->subject, sizeof r->subject, "subject:gh/user-%zu", i % 100);
	snprintf(repository, sizeof repository, "acme/team%zu", i);
	r->claims = json_pack("{s:s,s:s,s:s,s:s}", "repository", repository, "ref", kind == 7 ? "refs/heads/feature-1" : "refs/heads/main",
	    "sub", "user", "event_name", "push");
	r->ids[0] = SPAN("issuer:gh");
	r->ids[1] = span_of(r->subject);
	r->ids[2] = SPAN("group:gh/developers");
	r->who = (struct identity){ .type = PRINCIPAL_JWT, .issuer = SPAN("gh"), .subject = span_skip(r->ids[1], 11),
		.ids = r->ids, .n_ids = 3, .claims = r->claims };
	r->facts[KEY_NET_SOURCE_IP] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("192.0.2.17") };
	r->facts[KEY_CLIENT_USER_AGENT] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("docker/27.3.1 go/go1.22.7") };
	r->facts[KEY_REGISTRY_TAG] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("v1.2.3") };
	r->facts[KEY_REGISTRY_REFERENCE_TYPE] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("tag") };
	r->request = (struct policy_request){ .action = ACTION_PushManifest, .upstream = SPAN("up"),
		.repository = { r->repository, (size_t)length },
		.who = &r->who, .now = POLICIES_NOW, .facts = r->facts };
}

/* POLICIES_REQUESTS of them. */
static inline struct policies_request *
policies_requests(size_t n)
{
	struct policies_request *all = calloc(POLICIES_REQUESTS, sizeof *all);
	uint32_t seed = 20261127;

	for (size_t i = 0; all != NULL && i < POLICIES_REQUESTS; i++)
		policies_ask(&all[i], n, &seed);
	return all;
}

static inline void
policies_requests_free(struct policies_request *all)
{
	for (size_t i = 0; all != NULL && i < POLICIES_REQUESTS; i++)
		json_decref(all[i].claims);
	free(all);
}

#endif
