/*
 * who_can.c - `tidewaiter policy who-can`: who can do this there?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/policy/reach.h"

static const char usage[] =
    "usage: tidewaiter policy who-can ACTION RESOURCE -p FILE... [--context JSON] [--now DATE] [--json]\n"
    "\n"
    "Names the Allow statements that can match, by their principals, with the conditions that are left, and the Deny\n"
    "statements that may take it back. What cannot match is left out, what holds anyway is not mentioned.\n"
    "  tidewaiter policy who-can registry:PushManifest repo:harbor/prod/shop -p grants.json -p guardrails.json\n"
    "\n"
    "  --context  what is known of the request, as in `policy decide`: '{\"registry:Tag\":\"latest\",\"jwt:team\":null}';\n"
    "             null is a key known to be absent, and what is not said may be anything\n"
    "  --now      time of the request; default: any. Statements that have expired by today are left out\n"
    "  --json     one JSON object\n";

static void
print(const char *action, const char *resource, const json_t *allow)
{
	size_t i;
	json_t *o;

	printf("%s on %s\n", action, resource);
	json_array_foreach ((json_t *)(uintptr_t)allow, i, o) {
		putchar('\n');
		reach_print_list(json_object_get(o, "principal"), "");
		printf("    by %s (%s:%" JSON_INTEGER_FORMAT ")\n", json_string_value(json_object_get(o, "sid")),
		    json_string_value(json_object_get(o, "file")), json_integer_value(json_object_get(o, "line")));
		reach_print_rest(o, false);
	}
	if (json_array_size(allow) == 0)
		puts("\nnobody: no statement allows it");
}

static int
who_can(struct reach_command *c)
{
	struct reach_question question = { .action = c->words[0], .resource = c->words[1] };
	bool ok = true;
	json_t *allow;

	for (size_t i = 2; i < c->n_words; i++)
		if (!paths_add(&c->files, c->words[i]))
			return fputs(usage, stderr), 2;
	allow = reach_command_ask(c, &question);
	if (allow == NULL)
		return 1;
	if (c->json)
		ok = tool_print(json_pack("{s:s, s:s, s:O}", "action", question.action, "resource", question.resource, "allow", allow));
	else
		print(question.action, question.resource, allow);
	json_decref(allow);
	return fflush(stdout) == 0 && ok ? 0 : 1;
}

int
tool_who_can(int argc, char **argv)
{
	struct reach_command c = { .usage = usage };
	int status = reach_command_read(&c, argc, argv);

	if (status < 0)
		status = c.n_words >= 2 ? who_can(&c) : (fputs(usage, stderr), 2);
	reach_command_free(&c);
	return status;
}
