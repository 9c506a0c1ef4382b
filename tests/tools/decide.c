/*
 * decide.c - the policy engine for judges that are programs of their own: a line in, a line out for each request.
 *
 * A line is {"policy": DOCUMENT or [DOCUMENT ...], "request": REQUEST or [REQUEST ...]}, with "vocabulary": "none" for one
 * of any vocabulary; requests are those of policy/query.h. What comes out is verdict, "unknown" or "-", Sid or "-", and
 * "same", or what asking one statement after the other said instead of the index; tabs between. A line that cannot be
 * read or loaded gives "error" and why. Exit status 0: all input was read; that is no judgement.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/query.h"
#include "tests/unit/reads.h"

#define NOW	  1796122800 /* Tuesday, 1 December 2026, 11:00 UTC */
#define DOCUMENTS 8

struct first_error {
	char text[FINDING_TEXT_MAX];
};

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	struct first_error *e = ctx;

	if (lint_row(f->code)->severity == SEVERITY_ERROR && e->text[0] == '\0')
		policy_finding_text(f, e->text);
}

static struct policy *
load(const json_t *documents, bool any, struct first_error *error)
{
	struct policy_names names = { .fetch = reads_fetch, .any_vocabulary = any, .linting = LINTING_OFF };
	struct policy_source sources[DOCUMENTS];
	char *texts[DOCUMENTS];
	size_t n = json_is_array(documents) ? json_array_size(documents) : 1;
	struct policy *p;

	n = n < DOCUMENTS ? n : DOCUMENTS;
	for (size_t i = 0; i < n; i++) {
		texts[i] = json_dumps(json_is_array(documents) ? json_array_get(documents, i) : documents, JSON_ENCODE_ANY);
		sources[i] = (struct policy_source){ "line", texts[i] == NULL ? SPAN_NONE : span_of(texts[i]) };
	}
	p = policy_load(sources, n, &names, on_problem, error);
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	return p;
}

static bool
same_keys(const struct key_set *a, const struct key_set *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* NULL when both say the same; near misses are told from what was asked, so they may differ. */
static const char *
difference(const struct decision *a, const struct decision *b)
{
	if (a->verdict != b->verdict)
		return verdict_name(b->verdict);
	if (a->by != b->by || !span_eq(a->sid, b->sid) || !span_eq(a->message, b->message))
		return "another statement";
	if (a->unknown != b->unknown)
		return "another unknown";
	if (!same_keys(&a->need, &b->need))
		return "another need";
	if (a->shadow.differs != b->shadow.differs || a->shadow.verdict != b->shadow.verdict || a->shadow.by != b->shadow.by)
		return "another shadow";
	return same_keys(&a->shadow.need, &b->shadow.need) ? NULL : "another need of the shadow";
}

static void
answer(const struct policy *p, const json_t *request, bool any)
{
	static char record[RECORD_LEAST];
	struct decision indexed, linear;
	struct policy_query q;
	char err[512];
	const char *other;

	if (any ? policy_query_read_any(&q, request, NOW, err, sizeof err) : policy_query_read(&q, request, NOW, err, sizeof err)) {
		policy_decide(p, &q.request, &indexed);
		policy_decide_linear(p, &q.request, &linear);
		other = difference(&indexed, &linear);
		if (policy_record_write(p, &q.request, &indexed, NULL, record, sizeof record) == 0)
			other = "no record";
		printf("%s\t%s\t%.*s\t%s\n", verdict_name(indexed.verdict), indexed.unknown ? "unknown" : "-",
		    SPAN_FMT(indexed.sid.n > 0 ? indexed.sid : SPAN("-")), other == NULL ? "same" : other);
	} else {
		printf("error\t%s\n", err);
	}
	policy_query_clear(&q);
}

static void
on_line(const char *line, size_t n)
{
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *request = json_object_get(o, "request");
	size_t requests = json_is_array(request) ? json_array_size(request) : 1;
	bool any = json_is_string(json_object_get(o, "vocabulary"));
	struct first_error error = { "" };
	struct policy *p = o == NULL ? NULL : load(json_object_get(o, "policy"), any, &error);

	for (size_t i = 0; i < requests; i++) {
		if (p == NULL)
			printf("error\t%s\n", o == NULL ? "no JSON" : error.text);
		else
			answer(p, json_is_array(request) ? json_array_get(request, i) : request, any);
	}
	policy_unref(p);
	json_decref(o);
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0)
		on_line(line, (size_t)n);
	free(line);
	return fflush(stdout) != 0 || ferror(stdin);
}
