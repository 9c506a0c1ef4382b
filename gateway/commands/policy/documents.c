/*
 * documents.c - policy documents from files, read together as the gateway does.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/commands/policy/tool.h"
#include "gateway/file.h"

#define FILE_MAX ((size_t)16 << 20)

const char *
severity_name(enum lint_severity s)
{
	switch (s) {
	case SEVERITY_ERROR:
		return "error";
	case SEVERITY_WARNING:
		return "warning";
	}
	return "";
}

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	const struct lint_row *row = lint_row(f->code);
	struct documents *d = ctx;
	char text[FINDING_TEXT_MAX];

	if (row->severity == SEVERITY_WARNING && d->linting != LINTING_ENFORCED)
		return;
	d->warnings += row->severity == SEVERITY_WARNING;
	if (d->problems == NULL) {
		policy_finding_text(f, text);
		fprintf(stderr, "%s:%d: %s\n", f->file, f->line, text);
		return;
	}
	json_array_append_new(d->problems, json_pack("{s:s, s:s, s:s, s:i, s:s%, s:s, s:s}", "code", row->code, "severity",
	    severity_name(row->severity), "file", f->file, "line", f->line, "sid", f->sid.p == NULL ? "" : f->sid.p, f->sid.n,
	    "reason", f->reason, "fix", f->fix));
}

/* A file that cannot be read. */
static void
unreadable(struct documents *d, const char *path, const char *reason)
{
	const struct policy_finding f = { .code = LINT_E100, .file = path, .line = 1, .reason = reason, .fix = lint_row(LINT_E100)->fix };

	on_problem(d, &f);
}

static bool
add(struct documents *d, const char *path)
{
	char err[256];
	size_t n = 0;

	if (d->n == DOCUMENTS_MAX) {
		unreadable(d, path, "more than 1024 files");
		return false;
	}
	d->texts[d->n] = file_read(path, FILE_MAX, &n, err, sizeof err);
	if (d->texts[d->n] == NULL) {
		unreadable(d, path, err);
		return false;
	}
	d->sources[d->n] = (struct policy_source){ path, { d->texts[d->n], n } };
	d->n++;
	return true;
}

struct policy *
documents_compile(struct documents *d, const struct policy_source *sources, size_t n)
{
	const struct policy_names names = {
		.fetch = policy_reads_fetch,
		.fetch_ctx = &d->reads,
		.any_vocabulary = d->any_vocabulary,
		.linting = d->linting,
		.now = time(NULL),
	};

	return policy_load(sources, n, &names, on_problem, d);
}

struct policy *
documents_load(struct documents *d, char **paths, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		/* a shell's *.json brings them along; alone, one is a mistake to be told */
		if (n > 1 && policy_reads_is_test(paths[i]))
			fprintf(stderr, "%s is left out: a test file of policies (tidewaiter policy test)\n", paths[i]);
		else
			ok = add(d, paths[i]) && ok;
	}
	return ok ? documents_compile(d, d->sources, d->n) : NULL;
}

void
documents_say(const struct documents *d)
{
	json_t *f;
	size_t i;

	json_array_foreach (d->problems, i, f) {
		const char *file, *code, *severity, *sid, *reason, *fix;
		int line;

		if (json_unpack(f, "{s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "file", &file, "line", &line, "code", &code, "severity", &severity,
			"sid", &sid, "reason", &reason, "fix", &fix) == 0 && strcmp(severity, severity_name(SEVERITY_ERROR)) == 0)
			fprintf(stderr, "%s:%d: %s%s%s: %s; %s\n", file, line, code, sid[0] == '\0' ? "" : " Sid ", sid, reason, fix);
	}
}

struct documents *
documents_new(bool json, enum policy_linting linting)
{
	struct documents *d = calloc(1, sizeof *d);

	if (d != NULL && json)
		d->problems = json_array();
	if (d != NULL)
		d->linting = linting;
	if (d == NULL || (json && d->problems == NULL)) {
		fputs("tidewaiter policy: out of memory\n", stderr);
		free(d);
		return NULL;
	}
	return d;
}

void
documents_free(struct documents *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		free(d->texts[i]);
	policy_reads_free(&d->reads);
	json_decref(d->problems);
	free(d);
}
