/*
 * policy.c - `tidewaiter policy`: documents checked, asked and explained, without a gateway.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/commands/command.h"
#include "gateway/commands/policy/tool.h"
#include "policy/scalar.h"

static const struct tool {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} tools[] = {
#define TOOL(name, summary) { #name, tool_##name, summary },
#include "gateway/commands/policy/tool.def"
#undef TOOL
};

bool
paths_add(struct paths *p, char *path)
{
	if (p->n == DOCUMENTS_MAX)
		return false;
	p->path[p->n++] = path;
	return true;
}

bool
tool_date(const char *text, int64_t *seconds)
{
	struct number n;

	if (!date_parse(span_of(text), &n))
		return false;
	*seconds = n.whole;
	return true;
}

bool
tool_print(json_t *o)
{
	bool ok = o != NULL && json_dumpf(o, stdout, 0) == 0 && putchar('\n') != EOF;

	json_decref(o);
	return ok;
}

bool
tool_lines(FILE *in, const char *name, tool_line *each, void *ctx)
{
	const size_t max = (size_t)1 << 20;
	char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t got;
	bool ok = true;

	while (ok && (got = getline(&line, &room, in)) >= 0) {
		struct span text = { line, (size_t)got };

		number++;
		while (text.n > 0 && strchr("\r\n", text.p[text.n - 1]) != NULL)
			text.n--;
		if (text.n > max) {
			fprintf(stderr, "%s:%zu: longer than 1 MiB\n", name, number);
			ok = false;
		} else if (text.n > 0) {
			ok = each(ctx, text, number);
		}
	}
	if (ferror(in)) {
		fprintf(stderr, "%s: cannot be read\n", name);
		ok = false;
	}
	free(line);
	return ok;
}

/* Names of tools are written with hyphens. */
static bool
is_named(const struct tool *t, const char *word)
{
	size_t i = 0;

	for (; t->name[i] != '\0'; i++)
		if (word[i] != (t->name[i] == '_' ? '-' : t->name[i]))
			return false;
	return word[i] == '\0';
}

static void
help(FILE *out)
{
	fputs("usage: tidewaiter policy TOOL ...\n\n", out);
	for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++) {
		char name[24];
		size_t n = 0;

		for (; tools[i].name[n] != '\0' && n + 1 < sizeof name; n++)
			name[n] = tools[i].name[n] == '_' ? '-' : tools[i].name[n];
		name[n] = '\0';
		fprintf(out, "%-14s %s\n", name, tools[i].summary);
	}
	fputs("\n`tidewaiter policy TOOL --help` says more. Aliases of issuers and upstreams are not looked up:\n"
	      "`tidewaiter check -c FILE` does that.\n"
	      "Exit status: 0 fine, 1 a problem, 2 the command line was not understood.\n",
	    out);
}

int
policy_command(int argc, char **argv)
{
	if (argc < 2)
		return help(stderr), 2;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return help(stdout), 0;
	for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
		if (is_named(&tools[i], argv[1]))
			return tools[i].run(argc - 1, argv + 1);
	fprintf(stderr, "tidewaiter policy: no tool is named %s\n\n", argv[1]);
	help(stderr);
	return 2;
}
