/*
 * ecr.c - DescribeImageScanFindings of Amazon ECR, page by page, signed with the gateway's own AWS keys.
 *
 * Source: Amazon ECR API reference. The keys need ecr:DescribeImageScanFindings (and, for Inspector's, inspector2:ListCoverage and
 * inspector2:ListFindings).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/state.h"

#include <stdlib.h>
#include <time.h>

#include "gateway/credentials/login.h"

#define PAGE_ROWS	1000
#define PAGES_MAX	400u

static void ask_page(struct scan_state *st);
static void ask_keys(struct scan_state *st);

/* "123456789012" of "123456789012.dkr.ecr...": the registry; empty: the account's own. */
static struct span
account_of(const char *host)
{
	size_t n = strspn(host, "0123456789");

	return n == 12 && host[n] == '.' ? (struct span){ host, n } : SPAN("");
}

static struct span
page_request(struct scan_state *st)
{
	const struct scanners_job *j = st->job;
	struct span account = account_of(j->upstream->host), next = j->report.next, kept;
	json_t *o = json_pack("{s:s#, s:{s:s}, s:i}", "repositoryName", j->repository.p, (int)j->repository.n, "imageId", "imageDigest",
	    j->digest, "maxResults", PAGE_ROWS);
	char *text;

	if (o != NULL && account.n > 0)
		json_object_set_new(o, "registryId", json_stringn(account.p, account.n));
	if (o != NULL && next.n > 0)
		json_object_set_new(o, "nextToken", json_stringn(next.p, next.n));
	text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	kept = text == NULL ? SPAN_NONE : arena_dup(st->scratch, span_of(text));
	free(text);
	json_decref(o);
	return kept;
}

static bool
read_page(struct scan_state *st)
{
	return report_read_ecr(state_answer(st), st->job->arena, &st->job->report);
}

static void
begin_anew(struct scan_state *st)
{
	st->job->report = (struct report){ 0 };
	st->pages = 0;
	ask_page(st);
}

static void
on_read(struct scan_state *st)
{
	struct report *r = &st->job->report;

	if (!st->read_ok)
		state_fail(st, REPORT_FAILED, "out of memory");
	else if (r->status == REPORT_PENDING)
		state_poll(st, begin_anew);
	else if (r->status != REPORT_HERE)
		state_end(st);
	else if (r->next.n == 0) {
		if (state_is_ours(st))
			state_end(st);
	} else if (++st->pages >= PAGES_MAX)
		state_fail(st, REPORT_FAILED, "more than %u pages", PAGES_MAX);
	else
		ask_page(st);
}

static bool
says(const struct scan_state *st, const char *type)
{
	struct span s = state_answer(st);

	return s.n > 0 && memmem(s.p, s.n, type, strlen(type)) != NULL;
}

static void
on_page(struct scan_state *st)
{
	unsigned status;

	/* "slow down" is a 400 of ECR's */
	if (st->errand.status == 400 && says(st, "ThrottlingException"))
		st->errand.status = 429;
	if (state_retry(st, "ECR", ask_page))
		return;
	status = st->errand.status;
	/* keys that ended early: others, once */
	if ((status == 400 || status == 403) && !st->anew &&
	    (says(st, "ExpiredToken") || says(st, "UnrecognizedClient") || says(st, "InvalidSignature"))) {
		st->anew = true;
		ask_keys(st);
		return;
	}
	if (status == 200 || (status == 400 && says(st, "__type")))
		state_read(st, read_page, on_read);
	else
		state_fail_answer(st, REPORT_FAILED, "ECR");
}

static void
ask_page(struct scan_state *st)
{
	struct config_upstream u = *st->job->upstream;
	struct registry_login l = { .upstream = &u, .world = &login_process, .arena = st->scratch, .now = time(NULL) };

	if (st->job->scanner->url != NULL)
		u.endpoint = st->job->scanner->url;
	if (!login_keys_read(st->credential->authorization, &l.keys)) {
		state_fail(st, REPORT_FAILED, "no AWS keys");
		return;
	}
	if (login_ecr_call(&l, "DescribeImageScanFindings", page_request(st)) != LOGIN_CALL) {
		state_fail(st, REPORT_FAILED, "%s", l.reason);
		return;
	}
	for (size_t i = 0; i < l.call.n_headers; i++)
		state_field(st, l.call.headers[i].name.p, l.call.headers[i].value);
	state_call(st, "POST", l.call.url, l.call.body, false, on_page);
}

static void
on_keys(struct scan_state *st)
{
	if (st->credential == NULL)
		state_fail(st, REPORT_FAILED, "AWS keys: %s", st->login_why);
	else
		begin_anew(st);
}

static void
ask_keys(struct scan_state *st)
{
	state_login(st, LOGIN_SCOPE_KEYS, st->anew, on_keys);
}

void
ecr_begin(struct scan_state *st)
{
	if (st->job->upstream->credentials != CREDENTIALS_ECR)
		state_fail(st, REPORT_FAILED, "its upstream has no credentials = \"ecr\"");
	else
		ask_keys(st);
}
