/*
 * reach.c - what who-can and what-can share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/policy/reach.h"

#include <getopt.h>
#include <string.h>
#include <time.h>

#include "policy/json.h"

#define DEPTH_MAX 16u

int
reach_command_read(struct reach_command *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "context", required_argument, NULL, 'c' },
		{ "now", required_argument, NULL, 'n' },
		LOG_OPTIONS,
		{ 0 },
	};
	char err[512];
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hp:", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(c->usage, stdout), 0;
		if (opt == 'c' && c->context == NULL) {
			c->context = json_strict(span_of(optarg), DEPTH_MAX, err, sizeof err, NULL);
			if (c->context == NULL)
				return fprintf(stderr, "--context: %s\n", err), 2;
		} else if (!(opt == 'n' && tool_date(optarg, &c->now)) && !(opt == 'p' && paths_add(&c->files, optarg)) &&
		    !log_option(&c->log, opt, optarg)) {
			return fputs(c->usage, stderr), 2;
		}
	}
	c->words = argv + optind;
	c->n_words = (size_t)(argc - optind);
	return c->files.n > 0 ? -1 : (fputs(c->usage, stderr), 2);
}

void
reach_command_free(struct reach_command *c)
{
	json_decref(c->context);
}

json_t *
reach_command_ask(struct reach_command *c, struct reach_question *question)
{
	struct documents *d = documents_new(false, LINTING_REPORTED);
	struct policy *p = d == NULL ? NULL : documents_load(d, c->files.path, c->files.n);
	char err[1024];
	json_t *out = NULL;

	question->context = c->context;
	question->now = c->now;
	question->today = time(NULL);
	if (p != NULL) {
		out = policy_reach(p, question, err, sizeof err);
		if (out == NULL)
			fprintf(stderr, "tidewaiter policy: %s\n", err);
	}
	policy_unref(p);
	documents_free(d);
	return out;
}

/* ---- in words ---- */

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

void
reach_print_list(const json_t *list, const char *head)
{
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)(uintptr_t)list, i, v) {
		const char *s = json_string_value(v);

		printf("%s%s", i == 0 ? "" : ", ", strncmp(s, head, strlen(head)) == 0 ? s + strlen(head) : s);
	}
	putchar('\n');
}

static void
print_date(const char *word, const json_t *when)
{
	time_t t = (time_t)json_integer_value(when);
	char text[32];
	struct tm tm;

	if (when != NULL && gmtime_r(&t, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		printf("    %s %s\n", word, text);
}

static void
print_conditions(const json_t *list, const char *first, const char *more)
{
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)(uintptr_t)list, i, v)
		printf("%s%s\n", i == 0 ? first : more, text_of(v, "words"));
}

static void
print_unless(const json_t *o, bool resources)
{
	bool always = json_object_get(o, "always") != NULL;

	printf("    %s %s (%s:%" JSON_INTEGER_FORMAT ")", always ? "NEVER, for" : "unless", text_of(o, "sid"), text_of(o, "file"),
	    json_integer_value(json_object_get(o, "line")));
	printf(always ? " denies it: " : " denies it, to ");
	reach_print_list(json_object_get(o, "principal"), "");
	if (resources) {
		printf("        of ");
		reach_print_list(json_object_get(o, "action"), "registry:");
	}
	if (resources || json_object_get(o, "variable") != NULL) {
		printf("        on ");
		reach_print_list(json_object_get(o, "resource"), "");
	}
	print_conditions(json_object_get(o, "if"), "        if ", "        and ");
}

void
reach_print_rest(const json_t *o, bool resources)
{
	json_t *list = json_object_get(o, "unless"), *v;
	size_t i;

	print_conditions(json_object_get(o, "if"), "    if ", "    and ");
	if (json_object_get(o, "variable") != NULL) {
		printf("    where it is ");
		reach_print_list(json_object_get(o, "resource"), "");
	}
	print_date("from", json_object_get(o, "from"));
	print_date("until", json_object_get(o, "until"));
	json_array_foreach (list, i, v)
		print_unless(v, resources);
}
