/*
 * what_can.c - `tidewaiter policy what-can`: what can they do?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "gateway/commands/policy/reach.h"

static const char usage[] =
    "usage: tidewaiter policy what-can PRINCIPAL... -p FILE... [--context JSON] [--now DATE] [--json]\n"
    "\n"
    "Names the Allow statements that can match a caller, with their actions, their resources and the conditions that are\n"
    "left, and the Deny statements that may take it back. PRINCIPAL is anonymous, or every id the caller has:\n"
    "  tidewaiter policy what-can subject:corp/alice group:corp/devs -p grants.json -p guardrails.json\n"
    "(issuer:corp follows from them). What cannot match is left out, what holds anyway is not mentioned.\n"
    "\n"
    "  --context  what is known of the request, as in `policy decide`: '{\"net:SourceIp\":\"192.0.2.1\",\"jwt:team\":null}';\n"
    "             null is a key known to be absent, and what is not said may be anything\n"
    "  --now      time of the request; default: any. Statements that have expired by today are left out\n"
    "  --json     one JSON object\n";

static bool
is_principal(const char *word)
{
	static const char *const kinds[] = { "issuer:", "subject:", "group:", "role:", "cert:", "basic:" };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strncmp(word, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return strcmp(word, "anonymous") == 0;
}

static void
add_id(json_t *ids, const char *id, size_t n)
{
	size_t i;
	json_t *v;

	json_array_foreach (ids, i, v)
		if (json_string_length(v) == n && memcmp(json_string_value(v), id, n) == 0)
			return;
	json_array_append_new(ids, json_stringn(id, n));
}

/* And the issuer of a subject, group or role. NULL: nobody comes from two issuers, and an anonymous caller from none. */
static json_t *
ids_of(char **words, size_t n)
{
	json_t *ids = json_array();
	const char *alias = NULL;
	size_t length = 0;

	for (size_t i = 0; i < n; i++) {
		const char *colon = strchr(words[i], ':'), *slash = colon == NULL ? NULL : strchr(colon, '/');
		bool issued = colon != NULL && strncmp(words[i], "cert:", 5) != 0 && strncmp(words[i], "basic:", 6) != 0;
		size_t here = !issued ? 0 : slash != NULL ? (size_t)(slash - colon - 1) : strlen(colon + 1);

		if (!is_principal(words[i]))
			continue;
		if ((issued && alias != NULL && (here != length || memcmp(alias, colon + 1, here) != 0)) ||
		    (strcmp(words[i], "anonymous") == 0 && json_array_size(ids) > 0) ||
		    (json_array_size(ids) > 0 && strcmp(json_string_value(json_array_get(ids, 0)), "anonymous") == 0)) {
			json_decref(ids);
			return NULL;
		}
		if (issued && alias == NULL) {
			char issuer[1024];

			alias = colon + 1;
			length = here;
			snprintf(issuer, sizeof issuer, "issuer:%.*s", (int)length, alias);
			add_id(ids, issuer, strlen(issuer));
		}
		add_id(ids, words[i], strlen(words[i]));
	}
	return ids;
}

static void
print(const json_t *ids, const json_t *allow)
{
	size_t i;
	json_t *o;

	reach_print_list(ids, "");
	json_array_foreach ((json_t *)(uintptr_t)allow, i, o) {
		putchar('\n');
		reach_print_list(json_object_get(o, "action"), "registry:");
		printf("    on ");
		reach_print_list(json_object_get(o, "resource"), "");
		printf("    by %s (%s:%" JSON_INTEGER_FORMAT ")\n", json_string_value(json_object_get(o, "sid")),
		    json_string_value(json_object_get(o, "file")), json_integer_value(json_object_get(o, "line")));
		reach_print_rest(o, true);
	}
	if (json_array_size(allow) == 0)
		puts("\nnothing: no statement allows them anything");
}

static int
what_can(struct reach_command *c, const json_t *ids)
{
	struct reach_question question = { .principal = ids };
	json_t *allow = reach_command_ask(c, &question);
	bool ok = true;

	if (allow == NULL)
		return 1;
	if (c->log.json)
		ok = tool_print(json_pack("{s:O, s:O}", "principal", ids, "allow", allow));
	else
		print(ids, allow);
	json_decref(allow);
	return fflush(stdout) == 0 && ok ? 0 : 1;
}

int
tool_what_can(int argc, char **argv)
{
	struct reach_command c = { .usage = usage };
	int status = reach_command_read(&c, argc, argv);
	json_t *ids = status < 0 ? ids_of(c.words, c.n_words) : NULL;

	/* -p a b */
	for (size_t i = 0; status < 0 && i < c.n_words; i++)
		if (!is_principal(c.words[i]) && !paths_add(&c.files, c.words[i]))
			status = 2;
	if (status < 0 && ids == NULL)
		status = (fputs("tidewaiter policy what-can: these are ids of more than one caller\n", stderr), 2);
	else if (status < 0)
		status = json_array_size(ids) > 0 && c.log.reader.path == NULL ? what_can(&c, ids) : (fputs(usage, stderr), 2);
	json_decref(ids);
	reach_command_free(&c);
	return status;
}
