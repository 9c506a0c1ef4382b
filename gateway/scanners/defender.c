/*
 * defender.c - what Defender for Cloud knows of an image in an ACR, by Azure Resource Graph, page by page.
 *
 * Sources: Microsoft Learn, Resource Graph REST API (resources, 2022-10-01) and those of policy/report/report_defender.c. Rows are
 * asked for by digest alone: a row about the same content under another name proves as much.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/state.h"

#include <stdlib.h>

#include "gateway/credentials/login.h"

#define AZURE		"https://management.azure.com"
#define PAGE_ROWS	1000
#define PAGES_MAX	250u

static void ask_page(struct scan_state *st);
static void ask_token(struct scan_state *st);

/* A string of KQL: what would end it, or begin an escape, is escaped. */
static struct span
kql_string(struct scan_state *st, struct span s)
{
	char *out = arena_alloc(st->scratch, s.n * 2 + 3);
	size_t n = 0;

	if (out == NULL)
		return SPAN_NONE;
	out[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = (unsigned char)s.p[i] < ' ' ? '?' : s.p[i];
	}
	out[n++] = '"';
	out[n] = '\0';
	return (struct span){ out, n };
}

static struct span
query_of(struct scan_state *st)
{
	struct span digest = kql_string(st, span_of(st->job->digest));

	if (digest.p == NULL)
		return SPAN_NONE;
	return arena_printf(st->scratch,
	    "securityresources | where type in~ (\"microsoft.security/assessments/subassessments\", \"microsoft.security/assessments\")"
	    " | extend image = parse_json(tostring(properties.resourceAdditionalData))"
	    " | where tostring(properties.additionalData.artifactDetails.digest) =~ %.*s or tostring(image.Digest) =~ %.*s"
	    " | project id, type, properties | order by id asc",
	    SPAN_FMT(digest), SPAN_FMT(digest));
}

static struct span
page_request(struct scan_state *st)
{
	const struct config_scanner *s = st->job->scanner;
	struct span query = query_of(st), next = st->job->report.next, kept;
	json_t *o = query.p == NULL ? NULL : json_pack("{s:s#, s:[], s:{s:s, s:i}}", "query", query.p, (int)query.n, "subscriptions", "options",
	    "resultFormat", "objectArray", "$top", PAGE_ROWS);
	char *text;

	for (size_t i = 0; o != NULL && i < s->n_subscriptions; i++)
		json_array_append_new(json_object_get(o, "subscriptions"), json_string(s->subscriptions[i]));
	if (o != NULL && next.n > 0)
		json_object_set_new(json_object_get(o, "options"), "$skipToken", json_stringn(next.p, next.n));
	text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	kept = text == NULL ? SPAN_NONE : arena_dup(st->scratch, span_of(text));
	free(text);
	json_decref(o);
	return kept;
}

static bool
read_page(struct scan_state *st)
{
	struct scanners_job *j = st->job;

	return report_read_defender(state_answer(st), span_of(j->upstream->host), j->repository, j->digest, j->arena, &j->report);
}

static void
on_read(struct scan_state *st)
{
	struct report *r = &st->job->report;

	if (!st->read_ok)
		state_fail(st, REPORT_FAILED, "out of memory");
	else if (r->status != REPORT_HERE || r->next.n == 0)
		state_end(st);
	else if (++st->pages >= PAGES_MAX)
		state_fail(st, REPORT_FAILED, "more than %u pages", PAGES_MAX);
	else
		ask_page(st);
}

static void
on_page(struct scan_state *st)
{
	if (state_retry(st, "Azure", ask_page))
		return;
	if (st->errand.status == 401 && !st->anew && st->job->scanner->authorization == NULL) {
		st->anew = true;
		ask_token(st);
	} else if (st->errand.status == 200) {
		state_read(st, read_page, on_read);
	} else {
		state_fail_answer(st, REPORT_FAILED, "Azure");
	}
}

static void
ask_page(struct scan_state *st)
{
	const struct config_scanner *s = st->job->scanner;
	struct span base = span_of(s->url != NULL ? s->url : AZURE), body = page_request(st);

	while (span_ends(base, SPAN("/")))
		base.n--;
	if (body.p == NULL) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	state_field(st, "Authorization", s->authorization != NULL ? span_of(s->authorization) : st->credential->authorization);
	state_field(st, "Content-Type", SPAN("application/json"));
	state_call(st, "POST",
	    arena_printf(st->scratch, "%.*s/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01", SPAN_FMT(base)), body,
	    false, on_page);
}

static void
on_token(struct scan_state *st)
{
	if (st->credential == NULL) {
		state_fail(st, REPORT_FAILED, "Entra ID: %s", st->login_why);
		return;
	}
	st->job->report = (struct report){ 0 };
	st->pages = 0;
	ask_page(st);
}

static void
ask_token(struct scan_state *st)
{
	state_login(st, LOGIN_SCOPE_MANAGEMENT, st->anew, on_token);
}

void
defender_begin(struct scan_state *st)
{
	if (st->job->scanner->authorization != NULL)
		ask_page(st);
	else if (st->job->upstream->credentials == CREDENTIALS_ACR)
		ask_token(st);
	else
		state_fail(st, REPORT_FAILED, "its upstream has no credentials = \"acr\", and the scanner no authorization-file");
}
