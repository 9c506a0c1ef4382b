/*
 * check.c - `tidewaiter policy check`: are these documents in order?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>

#include "gateway/commands/policy/tool.h"

static const char usage[] =
    "usage: tidewaiter policy check [--strict] [--json | --sarif] FILE...\n"
    "\n"
    "Reads documents as the gateway does, together. Every finding goes to standard error: file:line: CODE Sid SID:\n"
    "what is wrong; what to do. Documents with errors (E...) do not load; with warnings (W...) they do.\n"
    "\n"
    "  --strict  warnings are errors\n"
    "  --json    the result as one JSON object on standard output\n"
    "  --sarif   the findings as a SARIF 2.1.0 log on standard output, for code scanning\n";

enum output {
	OUTPUT_TEXT = 0,
	OUTPUT_JSON,
	OUTPUT_SARIF,
};

static bool
print(const struct documents *d, const struct policy *p, size_t files, enum output output, bool ok)
{
	size_t statements = p == NULL ? 0 : policy_statements(p);
	const char *hash = p == NULL ? "" : policy_hash(p);

	switch (output) {
	case OUTPUT_TEXT:
		if (ok)
			printf("ok: %zu statements in %zu files, %s\n", statements, files, hash);
		else if (p != NULL)
			fprintf(stderr, "tidewaiter policy check: %zu warnings, and --strict\n", d->warnings);
		return true;
	case OUTPUT_JSON:
		return tool_print(json_pack("{s:b, s:I, s:I, s:s, s:I, s:O}", "ok", ok, "files", (json_int_t)files, "statements",
		    (json_int_t)statements, "hash", hash, "warnings", (json_int_t)d->warnings, "problems", d->problems));
	case OUTPUT_SARIF:
		return tool_print(sarif_new(d->problems));
	}
	return false;
}

static int
check(struct documents *d, char **paths, size_t n, enum output output, bool strict)
{
	struct policy *p = documents_load(d, paths, n);
	bool ok = p != NULL && !(strict && d->warnings > 0);
	bool printed = print(d, p, n, output, ok);

	policy_unref(p);
	return fflush(stdout) == 0 && printed && ok ? 0 : 1;
}

int
tool_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "strict", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "sarif", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	enum output output = OUTPUT_TEXT;
	struct documents *d;
	bool strict = false;
	int opt, status;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (opt == 's')
			strict = true;
		else if (output == OUTPUT_TEXT && (opt == 'j' || opt == 'f'))
			output = opt == 'j' ? OUTPUT_JSON : OUTPUT_SARIF;
		else
			return fputs(usage, stderr), 2;
	}
	if (optind == argc)
		return fputs(usage, stderr), 2;
	d = documents_new(output != OUTPUT_TEXT, LINTING_ENFORCED);
	status = d == NULL ? 1 : check(d, argv + optind, (size_t)(argc - optind), output, strict);
	documents_free(d);
	return status;
}
