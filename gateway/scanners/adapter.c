/*
 * adapter.c - a scanner with Harbor's Pluggable Scanner API: what it can, a scan asked for, its report waited for.
 *
 * Source: goharbor/pluggable-scanner-spec, api/spec/scanner-adapter-openapi-v1.1.yaml and v1.2. While a scan runs the report is
 * answered by 302 with Refresh-After and without Location: not a redirect, and none is followed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/state.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/credentials/sigv4.h"
#include "gateway/token/pass.h"
#include "policy/json.h"

#define FACTS_MS	(5 * 60 * 1000)	/* metadata are asked for again after that */
#define FACTS_MAX	64u		/* scanners they are kept of */
#define PASS_MAX	8192u
#define SUBMITS_MAX	2u		/* an id that is not known any more: once again */
#define REFRESH_MAX_MS	60000
#define REPORT_1_1	"application/vnd.security.vulnerability.report; version=1.1"
#define REPORT_1_0	"application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"

/* What a scanner says of itself. */
struct scanner_facts {
	struct scanner_facts *next;
	char *url, *authorization;
	int64_t until;			/* monotonic ms */
	char name[128];			/* "Trivy 0.65.0" */
	char database[64];		/* when its database was made; "" not told */
	char consumes[2048];		/* media types it reads, a newline behind each */
	bool reports;			/* it makes reports of vulnerabilities that we read */
};

static void ask_report(struct scan_state *st);
static void submit(struct scan_state *st);

/* ---- metadata ---- */

static void
facts_free_one(struct scanner_facts *f)
{
	if (f->authorization != NULL)
		OPENSSL_cleanse(f->authorization, strlen(f->authorization));
	free(f->authorization);
	free(f->url);
	free(f);
}

void
scanner_facts_free(struct scanner_facts *f)
{
	for (struct scanner_facts *next; f != NULL; f = next) {
		next = f->next;
		facts_free_one(f);
	}
}

static const char *
or_empty(const char *s)
{
	return s != NULL ? s : "";
}

/* Of this scanner, and still good; NULL. Those that are not are forgotten. */
static const struct scanner_facts *
facts_find(struct scan_state *st)
{
	const struct config_scanner *s = st->job->scanner;
	int64_t now = state_now_ms();
	unsigned n = 0;

	for (struct scanner_facts **at = state_facts(st), *f; (f = *at) != NULL;) {
		if (now >= f->until || n++ >= FACTS_MAX) {
			*at = f->next;
			facts_free_one(f);
			continue;
		}
		if (strcmp(f->url, s->url) == 0 && strcmp(f->authorization, or_empty(s->authorization)) == 0)
			return f;
		at = &f->next;
	}
	return NULL;
}

/* "version=1.1" is a parameter: what is before it says which report. */
static bool
is_report_type(struct span type)
{
	return span_starts(type, SPAN("application/vnd.security.vulnerability.report")) ||
	    span_starts(type, SPAN("application/vnd.scanner.adapter.vuln.report.harbor+json"));
}

static void
read_capability(struct scanner_facts *f, const json_t *o)
{
	const json_t *consumes = json_object_get(o, "consumes_mime_types"), *produces = json_object_get(o, "produces_mime_types"), *v;
	struct span type = json_span(o, "type");
	bool reports = false;
	size_t i, n = strlen(f->consumes);

	if (type.n > 0 && !span_eq(type, SPAN("vulnerability")))
		return;
	json_array_foreach(produces, i, v)
		reports |= json_is_string(v) && is_report_type((struct span){ json_string_value(v), json_string_length(v) });
	if (!reports)
		return;
	f->reports = true;
	json_array_foreach(consumes, i, v) {
		size_t more = json_string_length(v);

		if (more == 0 || n + more + 2 > sizeof f->consumes)
			continue;
		memcpy(f->consumes + n, json_string_value(v), more);
		n += more;
		f->consumes[n++] = '\n';
	}
}

static void
put_text(char *out, size_t size, struct span a, struct span b)
{
	snprintf(out, size, "%.*s%s%.*s", SPAN_FMT(a), b.n > 0 ? " " : "", SPAN_FMT(b));
	for (; *out != '\0'; out++)
		if ((unsigned char)*out < ' ' || (unsigned char)*out > '~')
			*out = '?';
}

/* NULL: out of memory. */
static struct scanner_facts *
facts_of(const struct config_scanner *s, const json_t *o)
{
	const json_t *scanner = json_object_get(o, "scanner"), *v;
	struct scanner_facts *f = calloc(1, sizeof *f);
	size_t i;

	if (f == NULL)
		return NULL;
	f->url = strdup(s->url);
	f->authorization = strdup(or_empty(s->authorization));
	if (f->url == NULL || f->authorization == NULL) {
		facts_free_one(f);
		return NULL;
	}
	f->until = state_now_ms() + FACTS_MS;
	put_text(f->name, sizeof f->name, json_span(scanner, "name"), json_span(scanner, "version"));
	put_text(f->database, sizeof f->database, json_span(json_object_get(o, "properties"),
	    "harbor.scanner-adapter/vulnerability-database-updated-at"), SPAN(""));
	json_array_foreach(json_object_get(o, "capabilities"), i, v)
		read_capability(f, v);
	return f;
}

/* Does it read such images? */
static bool
consumes(const struct scanner_facts *f, struct span type)
{
	struct span rest = span_of(f->consumes);

	while (rest.n > 0) {
		const char *end = memchr(rest.p, '\n', rest.n);
		struct span one = { rest.p, (size_t)(end - rest.p) };

		if (span_eq(one, type))
			return true;
		rest = span_skip(rest, one.n + 1);
	}
	return false;
}

static void
use_facts(struct scan_state *st, const struct scanner_facts *f)
{
	if (!f->reports)
		state_fail(st, REPORT_FAILED, "%s makes no report of vulnerabilities that is read here", f->name);
	else if (st->job->media_type.n > 0 && !consumes(f, st->job->media_type))
		state_fail(st, REPORT_UNSUPPORTED, "%s does not read %.*s", f->name, (int)(st->job->media_type.n > 90 ? 90 : st->job->media_type.n),
		    st->job->media_type.p);
	else
		submit(st);
}

/* ---- calls ---- */

static struct span
url_of(struct scan_state *st, const char *path, struct span id, const char *tail)
{
	struct span base = span_of(st->job->scanner->url);

	while (span_ends(base, SPAN("/")))
		base.n--;
	return arena_printf(st->scratch, "%.*s/api/v1/%s%.*s%s", SPAN_FMT(base), path, SPAN_FMT(id), tail);
}

static void
authorize(struct scan_state *st)
{
	if (st->job->scanner->authorization != NULL)
		state_field(st, "Authorization", span_of(st->job->scanner->authorization));
}

static void ask_metadata(struct scan_state *st);

static void
on_metadata(struct scan_state *st)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	struct scanner_facts *f;
	json_t *o;

	if (state_retry(st, "the scanner", ask_metadata))
		return;
	if (st->errand.status != 200) {
		state_fail_answer(st, REPORT_FAILED, "the scanner");
		return;
	}
	o = json_strict(state_answer(st), 16, err, sizeof err, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		state_fail(st, REPORT_FAILED, "the scanner's metadata are no JSON object");
		return;
	}
	f = facts_of(st->job->scanner, o);
	json_decref(o);
	if (f == NULL) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	f->next = *state_facts(st);
	*state_facts(st) = f;
	use_facts(st, f);
}

static void
ask_metadata(struct scan_state *st)
{
	authorize(st);
	state_field(st, "Accept", SPAN("application/vnd.scanner.adapter.metadata+json; version=1.0"));
	state_call(st, "GET", url_of(st, "metadata", SPAN(""), ""), SPAN_NONE, false, on_metadata);
}

/* ---- a scan ---- */

static struct span
dumped(struct scan_state *st, json_t *o)
{
	char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	struct span kept = text == NULL ? SPAN_NONE : arena_dup(st->scratch, span_of(text));

	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	json_decref(o);
	return kept;
}

/* {NULL,0}: no pass, or out of memory. */
static struct span
scan_request(struct scan_state *st)
{
	const struct scanners_job *j = st->job;
	const struct config *c = j->setup->config;
	char pass[PASS_MAX];
	unsigned char random[16];
	struct span authorization;

	if (RAND_bytes(random, sizeof random) != 1 || !pass_mint(c, j->repository, j->digest, time(NULL), random, pass, sizeof pass))
		return SPAN_NONE;
	authorization = arena_printf(st->scratch, "Bearer %s", pass);
	OPENSSL_cleanse(pass, sizeof pass);
	return dumped(st, json_pack("{s:{s:s,s:s#}, s:{s:s#,s:s,s:s#}}", "registry", "url",
	    j->scanner->registry_url != NULL ? j->scanner->registry_url : c->external_url, "authorization",
	    authorization.p == NULL ? "" : authorization.p, (int)authorization.n, "artifact", "repository", j->repository.p,
	    (int)j->repository.n, "digest", j->digest, "mime_type", j->media_type.n == 0 ? "" : j->media_type.p, (int)j->media_type.n));
}

/* Only what needs no escape in a path goes there as it is. */
static bool
keep_id(struct scan_state *st)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o = json_strict(state_answer(st), 8, err, sizeof err, NULL);
	struct span id = json_span(o, "id");

	st->id = id.n > 0 && id.n <= 256 && !span_eq(id, SPAN(".")) && !span_eq(id, SPAN("..")) ? sigv4_encode(id, false, st->scratch) : SPAN_NONE;
	json_decref(o);
	return st->id.n > 0;
}

static void
on_submitted(struct scan_state *st)
{
	if (state_retry(st, "the scanner", submit))
		return;
	if (st->errand.outcome != ERRAND_OK)
		state_fail_answer(st, REPORT_FAILED, "the scanner");
	else if (!keep_id(st))
		state_fail(st, REPORT_FAILED, "the scanner took the scan, and gave it no id");
	else
		state_pause(st, STATE_POLL_MS / 4, ask_report);
}

static void
submit(struct scan_state *st)
{
	struct span body = scan_request(st);

	if (body.p == NULL) {
		state_fail(st, REPORT_FAILED, "no pass for the scanner: is there a token-service?");
		return;
	}
	authorize(st);
	state_field(st, "Content-Type", SPAN("application/vnd.scanner.adapter.scan.request+json; version=1.0"));
	state_field(st, "Accept", SPAN("application/vnd.scanner.adapter.scan.response+json; version=1.0"));
	state_call(st, "POST", url_of(st, "scan", SPAN(""), ""), body, false, on_submitted);
}

/* ---- its report ---- */

static bool
read_report(struct scan_state *st)
{
	return report_read_adapter(state_answer(st), st->job->arena, &st->job->report);
}

static void
on_read(struct scan_state *st)
{
	const struct scanner_facts *f = facts_find(st);
	struct report *r = &st->job->report;

	if (!st->read_ok) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	if (!state_is_ours(st))
		return;
	if (f != NULL && r->scanner.n == 0)
		r->scanner = arena_dup(st->job->arena, span_of(f->name));
	if (f != NULL)
		r->database = arena_dup(st->job->arena, span_of(f->database));
	state_end(st);
}

/* Milliseconds until it asks to be asked again; -1: it does not say. */
static int64_t
refresh_after(const struct scan_state *st)
{
	struct span s = errand_field(&st->errand, SPAN("Refresh-After"), 0);
	int64_t v = 0;

	if (s.n == 0 || s.n > 6)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		v = v * 10 + (s.p[i] - '0');
	}
	v *= 1000;
	return v < STATE_POLL_MS / 4 ? STATE_POLL_MS / 4 : v > REFRESH_MAX_MS ? REFRESH_MAX_MS : v;
}

static void
on_report(struct scan_state *st)
{
	int64_t ms;

	if (state_retry(st, "the scanner", ask_report))
		return;
	switch (st->errand.status) {
	case 200:
		state_read(st, read_report, on_read);
		return;
	case 302:
		ms = refresh_after(st);
		if (ms < 0)
			state_poll(st, ask_report);
		else
			state_pause(st, ms, ask_report);
		return;
	case 404:
		if (++st->submitted < SUBMITS_MAX) {
			submit(st);
			return;
		}
		break;
	}
	state_fail_answer(st, REPORT_FAILED, "the scanner");
}

static void
ask_report(struct scan_state *st)
{
	authorize(st);
	state_field(st, "Accept", SPAN(REPORT_1_1 ", " REPORT_1_0));
	state_call(st, "GET", url_of(st, "scan/", st->id, "/report"), SPAN_NONE, true, on_report);
}

void
adapter_begin(struct scan_state *st)
{
	const struct scanner_facts *f = facts_find(st);

	if (f != NULL)
		use_facts(st, f);
	else
		ask_metadata(st);
}
