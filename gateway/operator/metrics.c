/*
 * metrics.c - the workers' counters as Prometheus text (exposition format 0.0.4).
 * Invariant: the number of lines depends on the tables only, never on traffic.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/audit/spool.h"
#include "gateway/courier/courier.h"
#include "gateway/evidence/blocks.h"
#include "gateway/evidence/evidence.h"
#include "gateway/operator/ready.h"
#include "gateway/setup.h"
#include "gateway/tags/ledger.h"

#define TEXT_MAX (1u << 18)

static const struct {
	const char *name, *type, *help;
} rows[METRIC_MAX] = {
#define METRIC(symbol, name, type, help) [METRIC_##symbol] = { name, #type, help },
#include "gateway/operator/metrics.def"
#undef METRIC
};

struct text {
	char *p;
	size_t n;
	bool failed;
};

static void add(struct text *t, const char *fmt, ...) PRINTF(2, 3);
static void
add(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->p + t->n, TEXT_MAX - t->n, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= TEXT_MAX - t->n)
		t->failed = true;
	else
		t->n += (size_t)n;
}

static void
head(struct text *t, const char *name, const char *type, const char *help)
{
	add(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
one(struct text *t, const char *name, const char *type, const char *help, int64_t value)
{
	head(t, name, type, help);
	add(t, "%s %" PRId64 "\n", name, value);
}

static int64_t
sum(const struct metrics_view *v, size_t metric, bool refused)
{
	int64_t total = 0;

	for (size_t i = 0; i < v->n_workers; i++) {
		const struct metrics *m = v->workers[i];

		total += atomic_load_explicit(refused ? &m->refused[metric] : &m->value[metric], memory_order_relaxed);
	}
	return total;
}

static void
add_refusals(struct text *t, const struct metrics_view *v)
{
	head(t, "tidewaiter_refusals_total", "counter", "requests refused, by reason");
	for (unsigned i = 1; i < REFUSE_MAX; i++)
		add(t, "tidewaiter_refusals_total{reason=\"%s\"} %" PRId64 "\n", refusal_of((enum refuse)i)->symbol,
		    sum(v, i, true));
}

static void
add_stores(struct text *t, const struct metrics_view *v)
{
	struct spool_stats s;

	if (v->ledger != NULL)
		one(t, "tidewaiter_ledger_up", "gauge", "1 while the tag ledger can be written", ledger_healthy(v->ledger));
	if (v->spool == NULL)
		return;
	spool_stats(v->spool, &s);
	one(t, "tidewaiter_audit_up", "gauge", "1 while audit events can be written", spool_healthy(v->spool));
	one(t, "tidewaiter_audit_events_total", "counter", "audit events written", (int64_t)s.events);
	one(t, "tidewaiter_audit_bytes_total", "counter", "bytes of audit events written", (int64_t)s.bytes);
	one(t, "tidewaiter_audit_syncs_total", "counter", "groups of audit events made durable", (int64_t)s.syncs);
	one(t, "tidewaiter_audit_failures_total", "counter", "failed writes of audit events", (int64_t)s.failures);
	one(t, "tidewaiter_audit_dropped_total", "counter", "audit events not taken: queue full or disk failing",
	    (int64_t)s.dropped);
	one(t, "tidewaiter_audit_queue_bytes", "gauge", "audit events waiting to be written, bytes", (int64_t)s.queue);
}

static void
add_courier(struct text *t, const struct metrics_view *v)
{
	if (v->courier == NULL)
		return;
	head(t, "tidewaiter_courier_calls_total", "counter", "calls beside requests, by what they were for and how they ended");
	for (unsigned k = 0; k < ERRAND_KIND_MAX; k++)
		for (unsigned o = 0; o < ERRAND_OUTCOME_MAX; o++)
			add(t, "tidewaiter_courier_calls_total{kind=\"%s\",outcome=\"%s\"} %" PRId64 "\n",
			    errand_kind_label((enum errand_kind)k), errand_outcome_label((enum errand_outcome)o),
			    courier_count(v->courier, (enum errand_kind)k, (enum errand_outcome)o));
}

static void
add_evidence(struct text *t, const struct metrics_view *v)
{
	if (v->evidence != NULL) {
		one(t, "tidewaiter_evidence_running", "gauge", "jobs of gathering evidence under way", evidence_running(v->evidence));
		one(t, "tidewaiter_evidence_queued", "gauge", "jobs of gathering evidence that wait", evidence_queued(v->evidence));
		head(t, "tidewaiter_evidence_total", "counter", "evidence gathered, by kind and the state it ended in");
		for (unsigned k = 0; k < EVIDENCE_KIND_MAX; k++)
			for (unsigned s = 0; s <= STATE_PASS; s++)
				add(t, "tidewaiter_evidence_total{kind=\"%s\",state=\"%s\"} %" PRId64 "\n",
				    evidence_kind_name((enum evidence_kind)k), evidence_state_name((enum evidence_state)s),
				    evidence_count(v->evidence, (enum evidence_kind)k, (enum evidence_state)s));
	}
	if (v->blocks == NULL)
		return;
	head(t, "tidewaiter_blocked_digests", "gauge", "digests that nobody gets, by why");
	for (unsigned k = BLOCK_PENDING; k <= BLOCK_QUARANTINED; k++)
		add(t, "tidewaiter_blocked_digests{kind=\"%s\"} %zu\n", block_kind_name((enum block_kind)k),
		    blocks_count(v->blocks, (enum block_kind)k));
}

static void
add_readiness(struct text *t, const struct metrics_view *v)
{
	if (v->setup == NULL)
		return;
	one(t, "tidewaiter_ready", "gauge", "1 while /readyz answers 200, draining aside", ready_is(v, false));
	head(t, "tidewaiter_upstream_up", "gauge", "1 when the upstream answered the last time it was asked");
	for (size_t i = 0; i < v->setup->config->n_upstream; i++)
		add(t, "tidewaiter_upstream_up{upstream=\"%s\"} %d\n", v->setup->config->upstream[i].alias,
		    atomic_load_explicit(&v->setup->outcomes[i], memory_order_relaxed) > 0);
}

static void
add_issuers(struct text *t, const struct metrics_view *v)
{
	static const struct {
		const char *name, *type, *help;
	} series[] = {
		{ "tidewaiter_issuer_keys", "gauge", "keys of the issuer in force; without any its tokens are refused" },
		{ "tidewaiter_issuer_keys_age_seconds", "gauge", "since the keys were fetched; -1 without keys" },
		{ "tidewaiter_issuer_fetch_failures_total", "counter", "failed fetches of the issuer's keys" },
		{ "tidewaiter_issuer_fresh", "gauge", "1 when the last fetch of the issuer's keys went well" },
	};

	for (size_t k = 0; v->setup != NULL && k < sizeof series / sizeof *series; k++) {
		head(t, series[k].name, series[k].type, series[k].help);
		for (size_t i = 0; i < v->setup->config->n_issuer; i++) {
			struct issuer_stats s;

			issuer_view_stats(v->setup->issuers, i, &s);
			if (k > 0 && !s.fetched)
				continue;
			add(t, "%s{issuer=\"%s\"} %" PRId64 "\n", series[k].name, v->setup->config->issuer[i].alias,
			    k == 0 ? (int64_t)s.keys : k == 1 ? s.age : k == 2 ? s.failures : (int64_t)s.fresh);
		}
	}
}

static void
add_reloads(struct text *t, const struct metrics_view *v)
{
	head(t, "tidewaiter_reloads_total", "counter", "reloads of the configuration, by outcome");
	add(t, "tidewaiter_reloads_total{outcome=\"done\"} %" PRId64 "\n", v->reload.done);
	add(t, "tidewaiter_reloads_total{outcome=\"failed\"} %" PRId64 "\n", v->reload.failed);
	one(t, "tidewaiter_reload_ok", "gauge", "1 while the configuration in force is the one of the last attempt", v->reload.ok);
	one(t, "tidewaiter_reload_last_success_time_seconds", "gauge",
	    "when the configuration in force was read, seconds since the epoch", v->reload.last);
}

char *
metrics_text(const struct metrics_view *v, size_t *n)
{
	struct text t = { malloc(TEXT_MAX), 0, false };

	*n = 0;
	if (t.p == NULL)
		return NULL;
	for (size_t i = 0; i < METRIC_MAX; i++)
		one(&t, rows[i].name, rows[i].type, rows[i].help, sum(v, i, false));
	add_refusals(&t, v);
	add_stores(&t, v);
	add_courier(&t, v);
	add_evidence(&t, v);
	add_readiness(&t, v);
	add_issuers(&t, v);
	head(&t, "tidewaiter_build_info", "gauge", "version of the gateway");
	add(&t, "tidewaiter_build_info{version=\"%s\"} 1\n", TW_VERSION);
	head(&t, "tidewaiter_policy_info", "gauge", "hash of the policy in force");
	add(&t, "tidewaiter_policy_info{hash=\"%s\"} 1\n", v->policy_hash == NULL ? "" : v->policy_hash);
	add_reloads(&t, v);
	one(&t, "tidewaiter_start_time_seconds", "gauge", "when the gateway started, seconds since the epoch", v->started);
	if (t.failed) {
		free(t.p);
		return NULL;
	}
	*n = t.n;
	return t.p;
}
