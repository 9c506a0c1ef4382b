/*
 * harbor.c - what a Harbor says of an image that it has: its overview, and the report behind it. It is told to scan once, when it
 * has not, or when its scan failed.
 *
 * Source: Harbor's api/v2.0/swagger.yaml.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/state.h"

#include "gateway/credentials/sigv4.h"

#define TYPES "application/vnd.security.vulnerability.report; version=1.1, " \
	      "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
#define SETTLES 4u	/* looks at an overview that still says what it said before the scan was asked for */

static void ask_artifact(struct scan_state *st);

/* {NULL,0}: out of memory, or no name that Harbor has. */
static struct span
url_of(struct scan_state *st, const char *tail)
{
	const struct scanners_job *j = st->job;
	struct span base = span_of(j->scanner->url != NULL ? j->scanner->url : j->upstream->origin), name = j->repository;
	const char *slash = name.n == 0 ? NULL : memchr(name.p, '/', name.n);
	struct span project, rest;

	if (slash == NULL)
		return SPAN_NONE;
	while (span_ends(base, SPAN("/")))
		base.n--;
	project = sigv4_encode((struct span){ name.p, (size_t)(slash - name.p) }, false, st->scratch);
	rest = span_skip(name, (size_t)(slash - name.p) + 1);
	/* its own router decodes once: slashes of the name are encoded twice */
	rest = sigv4_encode(sigv4_encode(rest, false, st->scratch), false, st->scratch);
	if (project.p == NULL || rest.p == NULL)
		return SPAN_NONE;
	return arena_printf(st->scratch, "%.*s/api/v2.0/projects/%.*s/repositories/%.*s/artifacts/%s%s", SPAN_FMT(base), SPAN_FMT(project),
	    SPAN_FMT(rest), j->digest, tail);
}

static void
authorize(struct scan_state *st)
{
	const char *own = st->job->scanner->authorization, *registry = st->job->upstream->authorization;

	/* the registry's password goes to the registry only */
	if (own == NULL && st->job->scanner->url == NULL)
		own = registry;
	if (own != NULL)
		state_field(st, "Authorization", span_of(own));
	state_field(st, "Accept", SPAN("application/json"));
	state_field(st, "X-Accept-Vulnerabilities", SPAN(TYPES));
}

/* ---- the report ---- */

static bool
read_document(struct scan_state *st)
{
	return report_read_harbor(state_answer(st), st->job->arena, &st->job->report);
}

static int64_t
sum_of(const struct report *r)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < REPORT_SEVERITIES; i++)
		sum += r->counts[i] > 0 ? r->counts[i] : 0;
	return sum;
}

/* A report that lists less than the overview counts is not believed: the counts are. */
static void
on_report_read(struct scan_state *st)
{
	struct report *r = &st->job->report;

	if (!st->read_ok) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	if (r->status != REPORT_HERE || (int64_t)r->n < sum_of(&st->counted))
		*r = st->counted;
	if (r->at == 0)
		r->at = st->counted.at;
	if (r->scanner.n == 0)
		r->scanner = st->counted.scanner;
	if (state_is_ours(st))
		state_end(st);
}

static void ask_report(struct scan_state *st);

static void
on_report(struct scan_state *st)
{
	if (state_retry(st, "Harbor", ask_report))
		return;
	if (st->errand.status == 200) {
		state_read(st, read_document, on_report_read);
		return;
	}
	/* without the list there are still the counts */
	st->job->report = st->counted;
	if (state_is_ours(st))
		state_end(st);
}

static void
ask_report(struct scan_state *st)
{
	authorize(st);
	state_call(st, "GET", url_of(st, "/additions/vulnerabilities"), SPAN_NONE, true, on_report);
}

/* ---- the overview ---- */

static void trigger(struct scan_state *st);

static void
on_triggered(struct scan_state *st)
{
	if (state_retry(st, "Harbor", trigger))
		return;
	if (st->errand.outcome == ERRAND_OK || st->errand.status == 409) {
		st->triggered = true;
		st->polls = 0;
		state_poll(st, ask_artifact);
		return;
	}
	/* 422: this is nothing that its scanner reads */
	state_fail_answer(st, st->errand.status == 422 ? REPORT_UNSUPPORTED : REPORT_FAILED, "Harbor, asked to scan,");
}

static void
trigger(struct scan_state *st)
{
	authorize(st);
	state_call(st, "POST", url_of(st, "/scan"), SPAN(""), false, on_triggered);
}

static void
on_overview(struct scan_state *st)
{
	struct report *r = &st->job->report;

	if (!st->read_ok) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	if (r->digest[0] != '\0' && strcmp(r->digest, st->job->digest) != 0) {
		state_fail(st, REPORT_FAILED, "Harbor answered with another artifact, %.71s", r->digest);
		return;
	}
	switch (r->status) {
	case REPORT_HERE:
		st->counted = *r;
		ask_report(st);
		return;
	case REPORT_PENDING:
		state_poll(st, ask_artifact);
		return;
	case REPORT_ABSENT:
	case REPORT_FAILED:
		if (!st->triggered)
			trigger(st);
		else if (st->polls <= SETTLES)
			state_poll(st, ask_artifact);
		else
			state_end(st);
		return;
	case REPORT_UNSUPPORTED:
		break;
	}
	state_end(st);
}

static void
on_artifact(struct scan_state *st)
{
	if (state_retry(st, "Harbor", ask_artifact))
		return;
	if (st->errand.status == 200)
		state_read(st, read_document, on_overview);
	else
		state_fail_answer(st, st->errand.status == 404 ? REPORT_ABSENT : REPORT_FAILED, "Harbor");
}

static void
ask_artifact(struct scan_state *st)
{
	authorize(st);
	state_call(st, "GET", url_of(st, "?with_scan_overview=true&with_tag=false"), SPAN_NONE, false, on_artifact);
}

void
harbor_begin(struct scan_state *st)
{
	if (st->job->repository.n == 0 || memchr(st->job->repository.p, '/', st->job->repository.n) == NULL)
		state_fail(st, REPORT_FAILED, "Harbor's repositories are project/name");
	else
		ask_artifact(st);
}
