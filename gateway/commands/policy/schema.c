/*
 * schema.c - `tidewaiter policy schema`: the JSON Schema of policy documents, for editors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>

#include "gateway/commands/policy/tool.h"
#include "policy/schema.h"

static const char usage[] =
    "usage: tidewaiter policy schema\n"
    "\n"
    "Prints the JSON Schema (draft-07) of policy documents, made from the tables this gateway was built with. An editor\n"
    "that is told of it completes names, shows what they mean and marks mistakes while a policy is written:\n"
    "\n"
    "  tidewaiter policy schema > policy.schema.json\n"
    "  { \"$schema\": \"./policy.schema.json\", \"Version\": \"2026-11-01\", \"Statement\": [] }\n"
    "\n"
    "What needs more than one place of a document, or other files, only `tidewaiter policy check` finds.\n";

int
tool_schema(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct arena *a;
	struct span text;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return fputs(usage, opt == 'h' ? stdout : stderr), opt == 'h' ? 0 : 2;
	if (optind != argc)
		return fputs(usage, stderr), 2;
	a = arena_new((size_t)16 << 20);
	text = a == NULL ? SPAN_NONE : schema_text(a);
	if (text.p == NULL)
		fputs("tidewaiter policy: out of memory\n", stderr);
	else
		fwrite(text.p, 1, text.n, stdout);
	opt = text.p != NULL && fflush(stdout) == 0 ? 0 : 1;
	arena_free(a);
	return opt;
}
