/*
 * tally.c - see tally.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/policy/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/commands/policy/tool.h"

bool
tally_begin(struct tally *t)
{
	t->groups = json_object();
	return t->groups != NULL;
}

void
tally_clear(struct tally *t)
{
	json_decref(t->groups);
	t->groups = NULL;
}

static void
count(json_t *o, const char *key)
{
	json_object_set_new(o, key, json_integer(json_integer_value(json_object_get(o, key)) + 1));
}

void
tally_add(struct tally *t, json_t *what, const json_t *event)
{
	char *key = what == NULL ? NULL : json_dumps(what, JSON_COMPACT | JSON_SORT_KEYS), who[600];
	json_t *group = key == NULL ? NULL : json_object_get(t->groups, key), *identities, *samples;

	if (key == NULL) {
		json_decref(what);
		return;
	}
	if (group == NULL) {
		group = json_pack("{s:O, s:{}, s:[], s:i}", "what", what, "identities", "samples", "count", 0);
		json_object_set_new(t->groups, key, group);
	}
	count(group, "count");
	identities = json_object_get(group, "identities");
	log_identity(event, who, sizeof who);
	if (json_object_get(identities, who) == NULL && json_object_size(identities) >= TALLY_IDENTITIES)
		snprintf(who, sizeof who, "others");
	count(identities, who);
	samples = json_object_get(group, "samples");
	if (json_array_size(samples) < TALLY_SAMPLES)
		json_array_append(samples, json_object_get(event, "id"));
	free(key);
	json_decref(what);
}

static int
by_count(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	json_int_t n = json_integer_value(json_object_get(x, "count")), m = json_integer_value(json_object_get(y, "count"));

	return n > m ? -1 : n < m;
}

json_t *
tally_groups(const struct tally *t)
{
	size_t n = json_object_size(t->groups), i = 0;
	json_t **sorted = calloc(n + 1, sizeof *sorted), *out = json_array(), *group;
	const char *key;

	if (sorted == NULL || out == NULL) {
		free(sorted);
		return out;
	}
	json_object_foreach (t->groups, key, group)
		sorted[i++] = group;
	qsort(sorted, n, sizeof(json_t *), by_count);
	for (i = 0; i < n; i++) {
		json_t *o = json_copy(json_object_get(sorted[i], "what"));

		json_object_set(o, "count", json_object_get(sorted[i], "count"));
		json_object_set(o, "identities", json_object_get(sorted[i], "identities"));
		json_object_set(o, "samples", json_object_get(sorted[i], "samples"));
		json_array_append_new(out, o);
	}
	free(sorted);
	return out;
}

void
say(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		/* UTF-8 passes but for the control characters at U+0080, and those that turn the direction of text */
		if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else if (c == 0xc2 && (unsigned char)text[1] < 0xa0)
			printf("\\x%02x", (unsigned char)*++text);
		else if (c == 0xe2 && ((unsigned char)text[1] == 0x80 || (unsigned char)text[1] == 0x81) && text[2] != '\0')
			text += 2, putchar('?');
		else
			putchar(c);
	}
}

void
tally_print(const json_t *group)
{
	const json_t *samples = json_object_get(group, "samples"), *v;
	const char *who;
	unsigned shown = 0;
	size_t i;

	fputs("       by", stdout);
	json_object_foreach ((json_t *)(uintptr_t)json_object_get(group, "identities"), who, v) {
		if (shown++ == 5)
			break;
		putchar(' ');
		say(who);
		printf(" (%" JSON_INTEGER_FORMAT ")", json_integer_value(v));
	}
	if (json_object_size(json_object_get(group, "identities")) > 5)
		printf(" and %zu more", json_object_size(json_object_get(group, "identities")) - 5);
	fputs("\n       events", stdout);
	json_array_foreach (samples, i, v) {
		putchar(' ');
		say(json_string_value(v) == NULL ? "" : json_string_value(v));
	}
	putchar('\n');
}

static bool
report(const struct tally_tool *tool, const struct log *l, const struct tally *t)
{
	json_t *groups = tally_groups(t), *g;
	bool ok = groups != NULL;
	size_t i;

	if (l->json) {
		ok = tool_print(json_pack("{s:I, s:s, s:s, s:O*}", "events", (json_int_t)l->events, "first", l->first, "last",
		    l->last, "groups", groups)) && ok;
	} else {
		if (json_array_size(groups) == 0)
			puts(tool->none);
		json_array_foreach (groups, i, g) {
			tool->print(g);
			tally_print(g);
		}
	}
	json_decref(groups);
	return fflush(stdout) == 0 && ok;
}

int
tally_run(const struct tally_tool *tool, int argc, char **argv)
{
	static const struct option options[] = { LOG_OPTIONS, { 0 } };
	struct log l = { .only = tool->only };
	struct tally t;
	int opt;
	bool ok;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(tool->usage, stdout), 0;
		if (!log_option(&l, opt, optarg))
			return fputs(tool->usage, stderr), 2;
	}
	if (l.reader.path == NULL || optind != argc)
		return fputs(tool->usage, stderr), 2;
	ok = tally_begin(&t) && log_read(&l, tool->name, tool->each, &t) && report(tool, &l, &t);
	tally_clear(&t);
	return ok ? 0 : 1;
}
