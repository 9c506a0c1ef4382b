/*
 * observe_report.c - `tidewaiter policy observe-report`: what observe mode let through that enforcing would refuse.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "gateway/commands/policy/tally.h"
#include "gateway/commands/policy/tool.h"

static const char usage[] =
    "usage: tidewaiter policy observe-report --audit DIR [--since DATE] [--until DATE] [--json]\n"
    "\n"
    "What policy.mode = \"observe\" let through and enforcing would have refused: by reason, statement and action, with the\n"
    "Allow statements that failed by one condition only, who it was, and a few events to look at (tidewaiter policy\n"
    "explain EVENT-ID). An empty report means that enforcing would have refused nothing of policy's.\n"
    "\n" LOG_USAGE;

/* "Ci (jwt:ref)", joined. */
static json_t *
near_of(const json_t *record)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach (json_object_get(record, "near"), i, v)
		json_array_append_new(out, json_pack("{s:s, s:s}", "sid", log_text(v, "sid", NULL), "key",
		    log_text(v, "failed", "key", NULL)));
	return out;
}

static bool
on_event(void *ctx, const json_t *event)
{
	const json_t *observed = json_object_get(event, "observed"), *record = log_record(event, 0);

	if (observed != NULL)
		tally_add(ctx, json_pack("{s:s, s:s, s:s, s:o, s:O*, s:O*}", "reason", log_text(observed, "reason", NULL), "sid",
		    log_text(observed, "sid", NULL), "action", log_text(record, "action", NULL), "near", near_of(record), "file",
		    json_object_get(record, "file"), "line", json_object_get(record, "line")), event);
	return true;
}

static void
print(const json_t *g)
{
	const char *sid = log_text(g, "sid", NULL);
	const json_t *v;
	size_t i;

	printf("%6" JSON_INTEGER_FORMAT " %s: ", json_integer_value(json_object_get(g, "count")), log_text(g, "reason", NULL));
	say(log_text(g, "action", NULL));
	if (*sid == '\0') {
		printf(", no statement allows it\n");
	} else {
		printf(", by ");
		say(sid);
		printf(" (");
		say(log_text(g, "file", NULL));
		printf(":%" JSON_INTEGER_FORMAT ")\n", json_integer_value(json_object_get(g, "line")));
	}
	json_array_foreach (json_object_get(g, "near"), i, v) {
		printf("       ");
		say(log_text(v, "sid", NULL));
		printf(" would, but for ");
		say(log_text(v, "key", NULL));
		putchar('\n');
	}
}

int
tool_observe_report(int argc, char **argv)
{
	static const struct tally_tool tool = {
		.name = "observe-report",
		.usage = usage,
		.only = "\"observed\":{",
		.none = "nothing of this time was let through that enforcing would have refused",
		.each = on_event,
		.print = print,
	};

	return tally_run(&tool, argc, argv);
}
