/*
 * metrics.h - counters without locks, and the Prometheus text of all of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_METRICS_H
#define TW_METRICS_H

#include <stdatomic.h>

#include "gateway/refuse.h"

enum metric {
#define METRIC(symbol, name, type, help) METRIC_##symbol,
#include "gateway/operator/metrics.def"
#undef METRIC
	METRIC_MAX
};

struct metrics {		/* one a worker; only that worker writes */
	_Atomic int64_t value[METRIC_MAX];
	_Atomic int64_t refused[REFUSE_MAX];
};

static inline void
metric_add(struct metrics *m, enum metric which, int64_t n)
{
	atomic_fetch_add_explicit(&m->value[which], n, memory_order_relaxed);
}

struct blocks;
struct courier;
struct evidence;
struct ledger;
struct setup;
struct spool;
/* What /metrics prints beside the workers' counters. */
struct metrics_view {
	struct metrics *const *workers;
	size_t n_workers;
	const struct ledger *ledger;	/* may be NULL */
	const struct spool *spool;	/* may be NULL */
	const struct courier *courier;	/* may be NULL */
	const struct evidence *evidence;	/* may be NULL */
	const struct blocks *blocks;	/* may be NULL */
	const struct setup *setup;	/* the one in force; may be NULL */
	const char *policy_hash;	/* of the policy in force */
	int64_t started;		/* seconds since the epoch */
	struct {
		bool ok;		/* the last one, or the start, was done */
		int64_t done, failed;	/* so often */
		int64_t last;		/* one was done: seconds since the epoch; the start's at first */
	} reload;
};
/* Prometheus text format 0.0.4 in a malloc()ed, NUL-terminated string; NULL when out of memory. */
char *metrics_text(const struct metrics_view *v, size_t *n) NONNULL(1, 2) WUNRES;

#endif
