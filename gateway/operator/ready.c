/*
 * ready.c - may traffic be sent here?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/ready.h"

#include <jansson.h>

#include "gateway/audit/spool.h"
#include "gateway/setup.h"
#include "gateway/tags/ledger.h"

static const char *
state_of(const struct setup *s, size_t upstream)
{
	int64_t last = atomic_load_explicit(&s->outcomes[upstream], memory_order_relaxed);

	return last > 0 ? "up" : last < 0 ? "down" : "unknown";
}

bool
ready_is(const struct metrics_view *v, bool draining)
{
	bool ok = !draining && (v->ledger == NULL || ledger_healthy(v->ledger)) &&
	    (v->spool == NULL || spool_healthy(v->spool)) && v->setup != NULL;

	for (size_t i = 0; ok && i < v->setup->config->n_upstream; i++)
		ok = atomic_load_explicit(&v->setup->outcomes[i], memory_order_relaxed) > 0;
	return ok;
}

/* Of issuers whose keys are fetched: an outage of theirs is not one of ours, so they do not count for readiness. */
static json_t *
issuers_of(const struct setup *s)
{
	json_t *o = json_object();

	for (size_t i = 0; s != NULL && i < s->config->n_issuer; i++) {
		struct issuer_stats st;

		issuer_view_stats(s->issuers, i, &st);
		json_object_set_new(o, s->config->issuer[i].alias, st.fetched ?
		    json_pack("{s:s, s:i, s:I}", "state", st.age < 0 ? "none" : st.fresh ? "fresh" : "stale", "keys", (int)st.keys,
		    "age", (json_int_t)st.age) : json_pack("{s:s, s:i}", "state", "file", "keys", (int)st.keys));
	}
	return o;
}

char *
ready_text(const struct metrics_view *v, bool draining)
{
	json_t *upstreams = json_object(), *all;
	char *text;

	for (size_t i = 0; v->setup != NULL && i < v->setup->config->n_upstream; i++)
		json_object_set_new(upstreams, v->setup->config->upstream[i].alias, json_string(state_of(v->setup, i)));
	all = json_pack("{s:b, s:b, s:s, s:s, s:s, s:s, s:o, s:o}", "ready", ready_is(v, draining), "draining", draining, "ledger",
	    v->ledger == NULL || ledger_healthy(v->ledger) ? "up" : "down", "audit",
	    v->spool == NULL || spool_healthy(v->spool) ? "up" : "down", "policy", v->policy_hash == NULL ? "" : v->policy_hash,
	    "reload", v->reload.ok ? "ok" : "failed", "upstream", upstreams, "issuer", issuers_of(v->setup));
	text = all == NULL ? NULL : json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(all);
	return text;
}
