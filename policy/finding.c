/*
 * finding.c - what is said about a document: the codes of lint.def, and the line a person reads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/compiled.h"

static const struct lint_row rows[LINT_MAX] = {
	[LINT_NONE] = { "", SEVERITY_ERROR, "", "" },
#define LINT(code, severity, title, fix) [LINT_##code] = { #code, SEVERITY_##severity, title, fix },
#include "policy/lint.def"
#undef LINT
};

const struct lint_row *
lint_row(enum lint_code code)
{
	return &rows[code < LINT_MAX ? code : LINT_NONE];
}

void
finding_report(policy_problem *problem, void *ctx, enum lint_code code, const char *file, int line, struct span sid,
    const char *reason, const char *fix)
{
	const struct policy_finding f = { code, file, line, sid, reason, fix != NULL ? fix : lint_row(code)->fix };

	problem(ctx, &f);
}

/* The reader's, whose reason says already what should stand there. */
static bool
reason_is_enough(enum lint_code c)
{
	return c == LINT_E100 || c == LINT_E102 || c == LINT_E105 || c == LINT_E106 || c == LINT_E113;
}

void
policy_finding_text(const struct policy_finding *f, char out[static FINDING_TEXT_MAX])
{
	bool sid = f->sid.n > 0;
	bool fix = f->fix[0] != '\0' && !reason_is_enough(f->code);

	snprintf(out, FINDING_TEXT_MAX, "%s%s%.*s: %s%s%s", lint_row(f->code)->code, sid ? " Sid " : "", SPAN_FMT(f->sid), f->reason,
	    fix ? "; " : "", fix ? f->fix : "");
}
