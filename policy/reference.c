/*
 * reference.c - see reference.h.
 * Invariant: every row of every table is there, and what is said of it comes from the row.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/reference.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"

/* A cell: what would end it is escaped. */
static void
cell(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|' || *text == '*' || *text == '<')
			putc('\\', out);
		putc(*text, out);
	}
}

/* ---- actions ---- */

static void
write_actions(FILE *out)
{
	fputs("### Actions\n\n| action | what it allows |\n|---|---|\n", out);
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++) {
		fprintf(out, "| `%s` | ", policy_action_name((enum policy_action)a));
		cell(out, policy_action_meaning((enum policy_action)a));
		fputs(" |\n", out);
	}
}

/* ---- keys ---- */

static const char *
cardinality_name(enum key_cardinality c)
{
	switch (c) {
	case CARDINALITY_ONE:
		return "one";
	case CARDINALITY_MANY:
		return "several";
	case CARDINALITY_ANY:
		return "either";
	}
	return "";
}

static const char *
param_name(enum key_param p)
{
	switch (p) {
	case PARAM_NONE:
		return "";
	case PARAM_CLAIM:
		return "<path>";
	case PARAM_NAME:
		return "<name>";
	case PARAM_ZONE:
		return "<zone>";
	case PARAM_WINDOW:
		return "<1m, 1h or 1d>";
	}
	return "";
}

static void
write_keys(FILE *out)
{
	static const char *const phases[] = { "", "head", "manifest", "looked up" };

	fputs("\n### Condition keys\n\n"
	      "Of which requests a key is asked, and in which it is always there, are groups of actions: the table below this one has\n"
	      "them. Known: from the head of a request, once its manifest (or a HEAD) is read, or when it has been looked up.\n\n"
	      "| key | type | values | in requests | always in those | known from | meaning |\n|---|---|---|---|---|---|---|\n",
	    out);
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);

		fprintf(out, "| `%s%s` | %s | %s | %s | %s | %s | ", row->name, param_name(row->param), key_type_name(row->type),
		    cardinality_name(row->cardinality), action_group_meaning(row->on), action_group_meaning(row->always), phases[row->phase & 3]);
		cell(out, row->meaning);
		fputs(" |\n", out);
	}
	fputs("\n| requests | are those of |\n|---|---|\n", out);
	for (size_t i = 0; i < action_group_count; i++) {
		const char *between = "";

		if (action_groups[i].actions == 0)
			continue;
		fprintf(out, "| %s | ", action_groups[i].meaning);
		for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++) {
			if (!(action_groups[i].actions >> a & 1u))
				continue;
			fprintf(out, "%s%s", between, policy_action_name((enum policy_action)a) + strlen("registry:"));
			between = ", ";
		}
		fputs(" |\n", out);
	}
}

/* ---- operators ---- */

static void
write_operators(FILE *out)
{
	static const char *const compares[] = {
		[OPERATOR_NONE] = "any",
		[OPERATOR_BOOL] = "bool",
		[OPERATOR_NUMBER] = "number",
		[OPERATOR_DATE] = "date",
		[OPERATOR_WINDOW] = "local time",
		[OPERATOR_VERSION] = "version",
		[OPERATOR_STRING] = "text",
		[OPERATOR_IP] = "address",
		[OPERATOR_REGEX] = "text",
	};

	fputs("\n### Operators\n\n| operator | compares | the value ... | key absent |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < operator_count; i++) {
		const struct operator_row *row = &operator_rows[i];

		fprintf(out, "| `%s` | %s | ", row->name, compares[row->kind]);
		cell(out, row->meaning);
		fprintf(out, " | %s |\n", row->kind == OPERATOR_NONE ? "asks that" : row->negated ? "true" : "false");
	}
}

/* ---- claims ---- */

static const char *
shape_name(enum claim_shape shape)
{
	switch (shape) {
	case SHAPE_SEGMENT:
		return "one segment";
	case SHAPE_PATH:
		return "a path";
	case SHAPE_TEXT:
		return "says which";
	}
	return "";
}

static void
write_claims(FILE *out)
{
	fputs("\n### Claims of well-known issuers\n\n"
	      "Any other claim may be asked for, too: as text, and in a Resource as one segment. One that holds any text has to say in a\n"
	      "Resource which it is: `|segment` or `|path`.\n\n"
	      "| key | type | values | in a Resource | meaning |\n|---|---|---|---|---|\n",
	    out);
	for (size_t i = 0; i < claim_count; i++) {
		const struct claim_row *row = &claim_rows[i];
		bool many = row->cardinality == CARDINALITY_MANY;

		fprintf(out, "| `jwt:%s` | %s | %s | %s | ", row->path, key_type_name(row->type), cardinality_name(row->cardinality),
		    many ? "no" : shape_name(row->shape));
		cell(out, row->meaning);
		fputs(" |\n", out);
	}
}

/* ---- findings ---- */

static void
write_findings(FILE *out)
{
	fputs("\n### What the reader and the linter find\n\n"
	      "E: the documents do not load. W: they do, and it is said.\n\n| code | what it is | what to do |\n|---|---|---|\n",
	    out);
	for (unsigned c = LINT_NONE + 1; c < LINT_MAX; c++) {
		const struct lint_row *row = lint_row((enum lint_code)c);

		fprintf(out, "| %s | ", row->code);
		cell(out, row->title);
		fputs(" | ", out);
		cell(out, row->fix);
		fputs(" |\n", out);
	}
}

char *
policy_reference(void)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	bool ok;

	if (out == NULL)
		return NULL;
	write_actions(out);
	write_keys(out);
	write_operators(out);
	write_claims(out);
	write_findings(out);
	ok = ferror(out) == 0;
	if (fclose(out) == 0 && ok)
		return text;
	free(text);
	return NULL;
}
