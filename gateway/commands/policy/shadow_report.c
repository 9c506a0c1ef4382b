/*
 * shadow_report.c - `tidewaiter policy shadow-report`: what statements of Mode Shadow would have decided otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>

#include "gateway/commands/policy/tally.h"
#include "gateway/commands/policy/tool.h"

static const char usage[] =
    "usage: tidewaiter policy shadow-report --audit DIR [--since DATE] [--until DATE] [--json]\n"
    "\n"
    "What statements of Mode Shadow would have decided otherwise, were they enforced: by Sid, with who it was and a few\n"
    "events to look at (tidewaiter policy explain EVENT-ID). Of several that would have, each is counted. What was denied\n"
    "anyway is left out: a statement that is not in the report would have changed nothing.\n"
    "\n" LOG_USAGE;

static bool
is_denied(const char *decision)
{
	return strcmp(decision, "ExplicitDeny") == 0 || strcmp(decision, "ImplicitDeny") == 0;
}

static bool
on_event(void *ctx, const json_t *event)
{
	const json_t *record, *shadow, *by;
	size_t k;

	for (size_t i = 0; (record = log_record(event, i)) != NULL; i++) {
		shadow = json_object_get(record, "shadow");
		/* denied by another statement is denied */
		if (is_denied(log_text(shadow, "decision", NULL)) && is_denied(log_text(record, "decision", NULL)))
			continue;
		json_array_foreach (json_object_get(shadow, "by"), k, by)
			tally_add(ctx, json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O*}", "sid", log_text(by, "sid", NULL), "would",
			    log_text(shadow, "decision", NULL), "decision", log_text(record, "decision", NULL), "action",
			    log_text(record, "action", NULL), "file", json_object_get(by, "file"), "line",
			    json_object_get(by, "line")), event);
	}
	return true;
}

static void
print(const json_t *g)
{
	printf("%6" JSON_INTEGER_FORMAT " ", json_integer_value(json_object_get(g, "count")));
	say(log_text(g, "sid", NULL));
	printf(": ");
	say(log_text(g, "action", NULL));
	printf(", %s would be %s (", log_text(g, "decision", NULL), log_text(g, "would", NULL));
	say(log_text(g, "file", NULL));
	printf(":%" JSON_INTEGER_FORMAT ")\n", json_integer_value(json_object_get(g, "line")));
}

int
tool_shadow_report(int argc, char **argv)
{
	static const struct tally_tool tool = {
		.name = "shadow-report",
		.usage = usage,
		.only = "\"shadow\":{",
		.none = "no statement of Mode Shadow would have decided anything of this time otherwise",
		.each = on_event,
		.print = print,
	};

	return tally_run(&tool, argc, argv);
}
