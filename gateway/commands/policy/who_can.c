/*
 * who_can.c - `tidewaiter policy who-can`: who can do this there?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/commands/policy/reach.h"
#include "gateway/commands/policy/tally.h"

static const char usage[] =
    "usage: tidewaiter policy who-can ACTION RESOURCE -p FILE... [--context JSON] [--now DATE]\n"
    "                                 [--audit DIR [--since DATE] [--until DATE]] [--json]\n"
    "\n"
    "Names the Allow statements that can match, by their principals, with the conditions that are left, and the Deny\n"
    "statements that may take it back. What cannot match is left out, what holds anyway is not mentioned.\n"
    "  tidewaiter policy who-can registry:PushManifest repo:harbor/prod/shop -p grants.json -p guardrails.json\n"
    "\n"
    "  --context  what is known of the request, as in `policy decide`: '{\"registry:Tag\":\"latest\",\"jwt:team\":null}';\n"
    "             null is a key known to be absent, and what is not said may be anything\n"
    "  --now      time of the request; default: any. Statements that have expired by today are left out\n"
    "  --audit    and who did it: the identities of the audit log that were let through, with the statements that allowed it\n"
    "\n" LOG_USAGE;

#define IDENTITIES_MAX 10000u /* told apart; all others count as "others" */

/* ---- who did it ---- */

struct deeds {
	const struct reach_question *question;
	json_t *by; /* identity -> {"identity","count","last","sids":{SID:COUNT}} */
};

static json_t *
deeds_of(struct deeds *d, const char *identity)
{
	json_t *o = json_object_get(d->by, identity);

	if (o == NULL && json_object_size(d->by) >= IDENTITIES_MAX) {
		identity = "others";
		o = json_object_get(d->by, identity);
	}
	if (o == NULL) {
		o = json_pack("{s:s, s:i, s:s, s:{}}", "identity", identity, "count", 0, "last", "", "sids");
		json_object_set_new(d->by, identity, o);
	}
	return o;
}

static void
add_one(json_t *o, const char *key)
{
	json_object_set_new(o, key, json_integer(json_integer_value(json_object_get(o, key)) + 1));
}

static bool
on_event(void *ctx, const json_t *event)
{
	struct deeds *d = ctx;
	const char *time = log_text(event, "time", NULL);
	const json_t *record;
	char identity[1024];

	if (strcmp(log_text(event, "decision", NULL), "allow") != 0)
		return true;
	for (size_t i = 0; (record = log_record(event, i)) != NULL; i++) {
		const char *sid = log_text(record, "sid", NULL);
		json_t *o;

		if (strcmp(log_text(record, "action", NULL), d->question->action) != 0 ||
		    strcmp(log_text(record, "resource", NULL), d->question->resource) != 0)
			continue;
		o = deeds_of(d, log_identity(event, identity, sizeof identity));
		add_one(o, "count");
		add_one(json_object_get(o, "sids"), *sid == '\0' ? "(observe mode)" : sid);
		if (strcmp(time, log_text(o, "last", NULL)) > 0)
			json_object_set_new(o, "last", json_string(time));
		break;
	}
	return true;
}

static int
by_count(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "count"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "count"));

	return x > y ? -1 : x < y;
}

/* Array of them, who did it most first; NULL after saying what went wrong. */
static json_t *
deeds_read(struct reach_command *c, const struct reach_question *question)
{
	struct deeds d = { question, json_object() };
	json_t **list = NULL, *o, *out = NULL;
	const char *identity;
	size_t n = 0;

	if (d.by != NULL && log_read(&c->log, "who-can", on_event, &d))
		list = calloc(json_object_size(d.by) + 1, sizeof *list);
	if (list != NULL) {
		json_object_foreach (d.by, identity, o)
			list[n++] = o;
		qsort(list, n, sizeof *list, by_count);
		out = json_array();
		for (size_t i = 0; i < n; i++)
			json_array_append(out, list[i]);
	}
	free(list);
	json_decref(d.by);
	return out;
}

static void
print_deeds(const struct log *log, const json_t *did)
{
	const char *sid;
	json_t *o, *count;
	size_t i;

	printf("\ndid it (%" PRIu64 " events of %s to %s):\n", log->events, log->first, log->last);
	json_array_foreach ((json_t *)(uintptr_t)did, i, o) {
		const char *before = " by ";

		printf("%6" JSON_INTEGER_FORMAT " ", json_integer_value(json_object_get(o, "count")));
		say(log_text(o, "identity", NULL));
		json_object_foreach (json_object_get(o, "sids"), sid, count) {
			fputs(before, stdout);
			say(sid);
			before = ", ";
		}
		printf(", last %s\n", log_text(o, "last", NULL));
	}
	if (json_array_size(did) == 0)
		puts("       nobody");
}

/* ---- who can ---- */

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
	json_t *allow, *did = NULL;
	bool ok;

	for (size_t i = 2; i < c->n_words; i++)
		if (!paths_add(&c->files, c->words[i]))
			return fputs(usage, stderr), 2;
	allow = reach_command_ask(c, &question);
	if (allow == NULL)
		return 1;
	if (c->log.reader.path != NULL)
		did = deeds_read(c, &question);
	ok = did != NULL || c->log.reader.path == NULL;
	if (c->log.json) {
		ok = tool_print(json_pack("{s:s, s:s, s:O, s:O*}", "action", question.action, "resource", question.resource, "allow",
		    allow, "did", did)) && ok;
	} else {
		print(question.action, question.resource, allow);
		if (did != NULL)
			print_deeds(&c->log, did);
	}
	json_decref(allow);
	json_decref(did);
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
