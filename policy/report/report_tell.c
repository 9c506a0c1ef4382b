/*
 * report_tell.c - what policy is told of reports: the largest counts, lists united.
 * Invariant: a report that is not HERE makes unknown what it could have changed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/exemptions.h"

#include <stdlib.h>

#define AHEAD	3600	/* seconds that a scanner's clock may be ahead of ours */

struct sums {
	int64_t by[REPORT_SEVERITIES], fixable, kev;	/* -1: not told */
	int score;			/* highest, times 10 */
};

struct telling {
	const struct exemptions *e;
	struct exemption_ask ask;
	struct arena *arena;
	struct span *names;		/* of what counts */
	size_t n, n_kev;
	struct sums largest;
	int64_t oldest;			/* INT64_MAX: none yet; 0: one does not say */
	bool unlisted;			/* one has counts only, and they are not all 0 */
};

/* The severity that counts: see report.h. */
static enum report_severity
severity_of(const struct report_finding *f)
{
	enum report_severity s = f->severity != REPORT_UNKNOWN ? f->severity : part_severity_of_score(f->score);

	return s == REPORT_UNKNOWN || s >= REPORT_SEVERITIES ? REPORT_CRITICAL : s;
}

/* The highest score of a severity: what a finding without one may have. */
static int
score_of_severity(enum report_severity s)
{
	switch (s) {
	case REPORT_CRITICAL:
	case REPORT_UNKNOWN:
	case REPORT_SEVERITIES:
		return 100;
	case REPORT_HIGH:
		return 89;
	case REPORT_MEDIUM:
		return 69;
	case REPORT_LOW:
	case REPORT_NEGLIGIBLE:
		break;
	}
	return 39;
}

static void
raise_sums(struct sums *to, const struct sums *of)
{
	for (unsigned i = 0; i < REPORT_SEVERITIES; i++)
		to->by[i] = of->by[i] < 0 || to->by[i] < 0 ? -1 : of->by[i] > to->by[i] ? of->by[i] : to->by[i];
	to->fixable = of->fixable < 0 || to->fixable < 0 ? -1 : of->fixable > to->fixable ? of->fixable : to->fixable;
	to->score = of->score > to->score ? of->score : to->score;
}

static void
add_findings(struct telling *t, const struct report *r)
{
	struct sums s = { 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct report_finding *f = &r->finding[i];
		enum report_severity severity = severity_of(f);
		int score = f->score >= 0 ? f->score : score_of_severity(severity);

		if (t->e != NULL && exemptions_cover(t->e, f, &t->ask))
			continue;
		s.by[severity]++;
		s.fixable += severity == REPORT_CRITICAL && f->fix.n > 0;
		s.score = score > s.score ? score : s.score;
		t->names[t->n++] = f->id;
	}
	raise_sums(&t->largest, &s);
}

/* Nothing can be taken off: what is exempt is not told apart. */
static void
add_counts(struct telling *t, const struct report *r)
{
	struct sums s = { .fixable = r->fixable_critical };

	memcpy(s.by, r->counts, sizeof s.by);
	if (s.by[REPORT_UNKNOWN] != 0)
		s.by[REPORT_CRITICAL] = s.by[REPORT_UNKNOWN] < 0 || s.by[REPORT_CRITICAL] < 0 ? -1 : s.by[REPORT_CRITICAL] + s.by[REPORT_UNKNOWN];
	for (unsigned i = REPORT_NEGLIGIBLE; i < REPORT_SEVERITIES; i++) {
		if (s.by[i] == 0)
			continue;
		t->unlisted = true;
		s.score = score_of_severity((enum report_severity)i);
	}
	raise_sums(&t->largest, &s);
}

static void
add_age(struct telling *t, const struct report *r)
{
	int64_t at = r->at > 0 && r->at <= t->ask.now + AHEAD ? r->at : 0;

	if (at > t->ask.now)
		at = t->ask.now;
	t->oldest = at < t->oldest ? at : t->oldest;
}

/* ---- rows ---- */

static int
by_text(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return exemption_compare(*x, *y);
}

static void
sort_names(struct telling *t)
{
	size_t n = 0;

	if (t->n > 0)
		qsort(t->names, t->n, sizeof *t->names, by_text);
	for (size_t i = 0; i < t->n; i++)
		if (n == 0 || !span_eq(t->names[n - 1], t->names[i]))
			t->names[n++] = t->names[i];
	t->n = n;
	for (size_t i = 0; i < n; i++)
		t->n_kev += t->e != NULL && exemptions_kev(t->e, t->names[i]);
}

static void
set_number(struct telling *t, struct fact *f, int64_t v)
{
	struct span text = v < 0 ? SPAN_NONE : arena_printf(t->arena, "%lld", (long long)v);

	*f = text.p == NULL ? (struct fact){ .state = FACT_UNKNOWN } : (struct fact){ .state = FACT_PRESENT, .value = text };
}

static void
set_list(struct fact *f, const struct span *values, size_t n)
{
	*f = (struct fact){ .state = n > 0 ? FACT_PRESENT : FACT_ABSENT, .values = values, .n_values = n };
}

static const enum policy_key rows[] = { KEY_SCAN_CRITICAL, KEY_SCAN_HIGH, KEY_SCAN_MEDIUM, KEY_SCAN_LOW, KEY_SCAN_FIXABLE_CRITICAL,
	KEY_SCAN_MAX_CVSS, KEY_SCAN_AGE_HOURS, KEY_SCAN_SCANNER, KEY_SCAN_CVES, KEY_SCAN_KEV_COUNT };

static void
set_rows(struct telling *t, struct fact facts[static KEY_MAX])
{
	struct sums *s = &t->largest;
	struct span score = arena_printf(t->arena, "%d.%d", s->score / 10, s->score % 10);

	set_number(t, &facts[KEY_SCAN_CRITICAL], s->by[REPORT_CRITICAL]);
	set_number(t, &facts[KEY_SCAN_HIGH], s->by[REPORT_HIGH]);
	set_number(t, &facts[KEY_SCAN_MEDIUM], s->by[REPORT_MEDIUM]);
	/* the key has no row of its own for negligible ones */
	set_number(t, &facts[KEY_SCAN_LOW], s->by[REPORT_LOW] < 0 || s->by[REPORT_NEGLIGIBLE] < 0 ? -1 : s->by[REPORT_LOW]);
	set_number(t, &facts[KEY_SCAN_FIXABLE_CRITICAL], s->fixable);
	if (score.p != NULL)
		facts[KEY_SCAN_MAX_CVSS] = (struct fact){ .state = FACT_PRESENT, .value = score };
	set_number(t, &facts[KEY_SCAN_AGE_HOURS], t->oldest <= 0 ? -1 : (t->ask.now - t->oldest) / 3600);
	if (t->unlisted)
		return;
	set_list(&facts[KEY_SCAN_CVES], t->names, t->n);
	set_number(t, &facts[KEY_SCAN_KEV_COUNT], t->n == 0 ? 0 : t->e != NULL && t->e->has_kev ? (int64_t)t->n_kev : -1);
}

/* The scanners that made the reports, each once. */
static bool
set_scanners(struct telling *t, const struct report *const *reports, size_t n, struct fact *f)
{
	struct span *names = arena_zalloc(t->arena, n + 1, sizeof *names);
	size_t k = 0;

	if (names == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool there = reports[i]->scanner.n == 0;

		for (size_t j = 0; j < k; j++)
			there |= span_eq(names[j], reports[i]->scanner);
		if (!there)
			names[k++] = reports[i]->scanner;
	}
	set_list(f, names, k);
	return true;
}

bool
report_tell(const struct report *const *reports, size_t n, const struct exemptions *e, struct span image, const char *digest, int64_t now,
    struct arena *a, struct fact facts[static KEY_MAX])
{
	struct telling t = { .e = e, .ask = { .image = image, .digests = { digest, NULL }, .now = now }, .arena = a, .oldest = INT64_MAX };
	size_t all = 0;
	bool here = n > 0;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		facts[rows[i]] = (struct fact){ .state = FACT_UNKNOWN };
	for (size_t i = 0; i < n; i++) {
		here &= reports[i]->status == REPORT_HERE;
		all += reports[i]->n;
	}
	if (!here)
		return true;
	t.names = arena_zalloc(a, all + 1, sizeof *t.names);
	if (t.names == NULL || !set_scanners(&t, reports, n, &facts[KEY_SCAN_SCANNER]))
		return false;
	for (size_t i = 0; i < n; i++) {
		t.ask.digests[1] = reports[i]->digest;
		add_age(&t, reports[i]);
		if (reports[i]->counts_only)
			add_counts(&t, reports[i]);
		else
			add_findings(&t, reports[i]);
	}
	sort_names(&t);
	set_rows(&t, facts);
	if (!arena_failed(a))
		return true;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		facts[rows[i]] = (struct fact){ .state = FACT_UNKNOWN };
	return false;
}
