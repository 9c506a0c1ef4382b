/*
 * reference.c - `tidewaiter policy reference`: the tables of the language.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdlib.h>

#include "gateway/commands/policy/tool.h"
#include "policy/reference.h"

static const char usage[] =
    "usage: tidewaiter policy reference\n"
    "\n"
    "Prints the actions, condition keys, operators, well-known claims and lint codes of this gateway, as Markdown tables.\n"
    "policy/MANUAL.md has them, too, and tells the language around them.\n";

int
tool_reference(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *text;
	bool ok;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return fputs(usage, opt == 'h' ? stdout : stderr), opt == 'h' ? 0 : 2;
	if (optind != argc)
		return fputs(usage, stderr), 2;
	text = policy_reference();
	ok = text != NULL && fputs(text, stdout) != EOF && fflush(stdout) == 0;
	if (text == NULL)
		fputs("tidewaiter policy: out of memory\n", stderr);
	free(text);
	return ok ? 0 : 1;
}
