/*
 * check.c - `tidewaiter policy check`: are these documents in order?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>

#include "gateway/commands/policy/tool.h"

static const char usage[] =
    "usage: tidewaiter policy check [--json] FILE...\n"
    "\n"
    "Reads documents as the gateway does, together. Every mistake goes to standard error as file:line: reason.\n"
    "\n"
    "  --json  the result as one JSON object on standard output\n";

static int
check(struct documents *d, char **paths, size_t n)
{
	struct policy *p = documents_load(d, paths, n);
	size_t statements = p == NULL ? 0 : policy_statements(p);
	const char *hash = p == NULL ? "" : policy_hash(p);
	int status = p == NULL;

	if (d->problems != NULL) {
		if (!tool_print(json_pack("{s:b, s:I, s:I, s:s, s:O}", "ok", p != NULL, "files", (json_int_t)n,
			"statements", (json_int_t)statements, "hash", hash, "problems", d->problems)))
			status = 1;
	} else if (p != NULL) {
		printf("ok: %zu statements in %zu files, %s\n", statements, n, hash);
	}
	policy_unref(p);
	return fflush(stdout) == 0 ? status : 1;
}

int
tool_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct documents *d;
	bool json = false;
	int opt, status;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (opt != 'j')
			return fputs(usage, stderr), 2;
		json = true;
	}
	if (optind == argc)
		return fputs(usage, stderr), 2;
	d = documents_new(json);
	status = d == NULL ? 1 : check(d, argv + optind, (size_t)(argc - optind));
	documents_free(d);
	return status;
}
