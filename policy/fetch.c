/*
 * fetch.c - what documents refer to by name and the caller reads: time zones and sets.
 * Invariant: each zone is read once a bundle, each set once a snapshot.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/compiled.h"

struct zone_list {
	struct zone_list *next;
	struct span name;
	const struct zone *zone;
};

const struct zone *
fetch_zone(struct policy_reader *r, const struct place *at, struct span name)
{
	struct zone_list *z;
	struct span text = SPAN_NONE;
	char err[256] = "time zones but UTC cannot be read here";

	for (z = r->time_zones; z != NULL; z = z->next)
		if (span_eq(z->name, name))
			return z->zone;
	z = arena_zalloc(r->bundle->arena, 1, sizeof *z);
	if (z == NULL) {
		parse_out_of_memory(r, at);
		return NULL;
	}
	z->name = name;
	if (r->names->fetch != NULL && r->names->fetch(r->names->fetch_ctx, POLICY_FILE_ZONE, r->source->name, name.p, &text, err, sizeof err))
		z->zone = zone_parse(text, r->bundle->arena, err, sizeof err);
	if (z->zone == NULL) {
		parse_problem(r, at, LINT_E113, "the time zone \"%.*s\": %s", SPAN_FMT(name), err);
		return NULL;
	}
	z->next = r->time_zones;
	r->time_zones = z;
	return z->zone;
}

bool
fetch_sets(struct policy *p, policy_fetch *fetch, void *fetch_ctx, policy_problem *problem, void *ctx)
{
	const struct bundle *b = p->bundle;
	bool ok = true;

	for (size_t i = 0; i < b->n_sets; i++) {
		char err[256] = "sets cannot be read here", reason[512];
		struct span text = SPAN_NONE;
		int line = 0;

		if (fetch != NULL && fetch(fetch_ctx, POLICY_FILE_SET, b->sets[i].from, b->sets[i].file.p, &text, err, sizeof err))
			p->sets[i] = set_parse(text, &line, err, sizeof err);
		if (p->sets[i] != NULL)
			continue;
		ok = false;
		if (line > 0)
			finding_report(problem, ctx, LINT_E100, b->sets[i].file.p, line, SPAN_NONE, err, NULL);
		snprintf(reason, sizeof reason, "the set \"%.*s\", %.*s: %s", SPAN_FMT(b->sets[i].name), SPAN_FMT(b->sets[i].file), err);
		finding_report(problem, ctx, LINT_E100, b->sets[i].from, b->sets[i].line, SPAN_NONE, reason, NULL);
	}
	return ok;
}
