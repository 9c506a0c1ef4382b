/*
 * diff.c - `tidewaiter policy diff`: the requests of the audit log asked again, under two policies.
 *
 * Three-valued: what hangs on a key that the log does not have is unknown, never a guess.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/commands/policy/tally.h"
#include "gateway/commands/policy/tool.h"
#include "policy/compiled.h"

static const char usage[] =
    "usage: tidewaiter policy diff OLD NEW --audit DIR [--since DATE] [--until DATE] [--json]\n"
    "\n"
    "Asks every request of the audit log that policy decided under OLD and under NEW, each a file, a directory (its *.json)\n"
    "or a list of files joined by commas, and counts what changes by the statements that decide, with who it was and a few\n"
    "events to look at (tidewaiter policy explain EVENT-ID). allow, deny, or part: a list of which some entries are seen.\n"
    "unknown: it hangs on a key that the log does not have, because no statement read it when the request was made.\n"
    "Exit status: 0 whatever changes, 1 when the log or a policy cannot be read.\n"
    "\n" LOG_USAGE;

enum outcome {
	OUTCOME_DENY = 0,
	OUTCOME_PART, /* hangs on what was open in the request itself: each entry of a list is asked about */
	OUTCOME_ALLOW,
	OUTCOME_UNKNOWN,
};

struct side {
	struct documents *documents;
	struct policy *policy;
};
struct comparing {
	struct side old, new;
	struct tally changed;
	uint64_t decisions, same, changes, unknown, unreadable;
};

/* ---- reading a side ---- */

static bool
is_json(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && name[0] != '.' && strcmp(name + n - 5, ".json") == 0;
}

static bool
add_path(struct paths *p, const char *directory, const char *name, size_t n)
{
	char *path = NULL;

	if (asprintf(&path, "%s%s%.*s", directory, *directory == '\0' ? "" : "/", (int)n, name) < 0)
		return false;
	if (paths_add(p, path))
		return true;
	free(path);
	return false;
}

static bool
add_directory(struct paths *p, const char *path)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, NULL, alphasort);
	bool ok = n >= 0;

	for (int i = 0; i < n; i++) {
		if (is_json(names[i]->d_name))
			ok = add_path(p, path, names[i]->d_name, strlen(names[i]->d_name)) && ok;
		free(names[i]);
	}
	free(names);
	return ok;
}

static bool
add_list(struct paths *p, const char *list)
{
	bool ok = true;

	for (const char *end; ok && *list != '\0'; list = *end == ',' ? end + 1 : end) {
		end = strchrnul(list, ',');
		ok = end == list || add_path(p, "", list, (size_t)(end - list));
	}
	return ok;
}

static bool
side_load(struct side *s, const char *what)
{
	struct paths *p = calloc(1, sizeof *p);
	struct stat st;
	bool ok = p != NULL;

	s->documents = documents_new(false, LINTING_REPORTED);
	if (ok && stat(what, &st) == 0 && S_ISDIR(st.st_mode))
		ok = add_directory(p, what);
	else if (ok)
		ok = add_list(p, what);
	if (ok && p->n == 0) {
		fprintf(stderr, "tidewaiter policy diff: %s: no documents there\n", what);
		ok = false;
	}
	if (ok && s->documents != NULL)
		s->policy = documents_load(s->documents, p->path, p->n);
	for (size_t i = 0; p != NULL && i < p->n; i++)
		free(p->path[i]);
	free(p);
	return s->policy != NULL;
}

static void
side_clear(struct side *s)
{
	policy_unref(s->policy);
	documents_free(s->documents);
}

/* ---- asking ---- */

/* Names of the keys that the answer hangs on and the log does not have, joined. */
static json_t *
lacking(const struct policy *p, const struct policy_request *q, const struct decision *d, const json_t *context)
{
	const struct bundle *b = p->bundle;
	char text[1024] = "";
	bool open = false; /* in the request itself: a tag of a list, a digest that was not read yet */
	size_t n = 0;

	if (d->verdict != VERDICT_NEED)
		return NULL;
	for (size_t i = 0; i < b->n_reads; i++) {
		const struct key_read *k = &b->reads[i];
		const json_t *v = json_object_get(context, k->name.p);
		bool needed = key_set_has(&d->need, k->ref.key) ||
		    (k->ref.key == KEY_NET_SOURCE_IP && key_set_has(&d->need, KEY_NET_ZONE));

		if (!needed || !(k->actions >> q->action & 1u))
			continue;
		open = open || json_is_true(json_object_get(v, "later"));
		if ((v == NULL || json_object_get(v, "cut") != NULL) && n + k->name.n + 3 < sizeof text)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "", k->name.p);
	}
	if (n > 0)
		return json_string(text);
	return open ? NULL : json_string("a key beyond those that are kept");
}

static enum outcome
outcome_of(const struct decision *d, bool lacks)
{
	switch (d->verdict) {
	case VERDICT_ALLOW:
		return OUTCOME_ALLOW;
	case VERDICT_NEED:
		return lacks ? OUTCOME_UNKNOWN : OUTCOME_PART;
	case VERDICT_DENY:
	case VERDICT_EXPLICIT_DENY:
		break;
	}
	return OUTCOME_DENY;
}

static const char *
outcome_name(enum outcome o)
{
	switch (o) {
	case OUTCOME_DENY:
		return "deny";
	case OUTCOME_PART:
		return "part";
	case OUTCOME_ALLOW:
		return "allow";
	case OUTCOME_UNKNOWN:
		break;
	}
	return "unknown";
}

static void
name_statement(json_t *what, const char *side, const struct decision *d)
{
	if (d->by != NULL)
		json_object_set_new(what, side, json_pack("{s:s%, s:s, s:i}", "sid", d->sid.p, d->sid.n, "file",
		    d->by->document->file, "line", d->by->line));
}

static void
compare(struct comparing *c, const struct policy_request *q, const json_t *request, const json_t *event)
{
	const json_t *context = json_object_get(request, "context");
	struct decision old, new;
	json_t *lack_old, *lack_new, *what;
	enum outcome a, b;

	policy_decide(c->old.policy, q, &old);
	policy_decide(c->new.policy, q, &new);
	lack_old = lacking(c->old.policy, q, &old, context);
	lack_new = lacking(c->new.policy, q, &new, context);
	a = outcome_of(&old, lack_old != NULL);
	b = outcome_of(&new, lack_new != NULL);
	if (a == b && a != OUTCOME_UNKNOWN) {
		c->same++;
	} else {
		what = json_pack("{s:s, s:s, s:O, s:O*}", "old", outcome_name(a), "new", outcome_name(b), "action",
		    json_object_get(request, "action"), "lacks", lack_new != NULL ? lack_new : lack_old);
		name_statement(what, "old_by", &old);
		name_statement(what, "new_by", &new);
		if (a == OUTCOME_UNKNOWN || b == OUTCOME_UNKNOWN)
			c->unknown++;
		else
			c->changes++;
		tally_add(&c->changed, what, event);
	}
	json_decref(lack_old);
	json_decref(lack_new);
}

static bool
on_event(void *ctx, const json_t *event)
{
	struct comparing *c = ctx;
	char err[256];

	for (size_t i = 0; log_record(event, i) != NULL; i++) {
		json_t *request = log_request(event, i);
		struct policy_query q = { .arena = NULL };
		int64_t now = 0;

		c->decisions++;
		if (request != NULL && tool_date(log_text(event, "time", NULL), &now) &&
		    policy_query_read_part(&q, request, now, err, sizeof err))
			compare(c, &q.request, request, event);
		else
			c->unreadable++;
		policy_query_clear(&q);
		json_decref(request);
	}
	return true;
}

/* ---- telling ---- */

static void
print_side(const char *when, const json_t *by)
{
	printf(", %s ", when);
	if (by == NULL) {
		printf("by no statement");
		return;
	}
	printf("by ");
	say(log_text(by, "sid", NULL));
	printf(" (");
	say(log_text(by, "file", NULL));
	printf(":%" JSON_INTEGER_FORMAT ")", json_integer_value(json_object_get(by, "line")));
}

static void
print(const struct comparing *c, const struct log *l, const json_t *groups)
{
	const json_t *g;
	size_t i;

	printf("%" PRIu64 " decisions of %" PRIu64 " events, %s to %s\n", c->decisions, l->events, l->first, l->last);
	printf("%" PRIu64 " the same, %" PRIu64 " change, %" PRIu64 " unknown\n", c->same, c->changes, c->unknown);
	if (c->unreadable > 0)
		printf("%" PRIu64 " cannot be asked again: their records were cut\n", c->unreadable);
	json_array_foreach (groups, i, g) {
		printf("%6" JSON_INTEGER_FORMAT " %s -> %s: ", json_integer_value(json_object_get(g, "count")),
		    log_text(g, "old", NULL), log_text(g, "new", NULL));
		say(log_text(g, "action", NULL));
		print_side("was", json_object_get(g, "old_by"));
		print_side("is", json_object_get(g, "new_by"));
		putchar('\n');
		if (json_object_get(g, "lacks") != NULL) {
			printf("       the log lacks ");
			say(log_text(g, "lacks", NULL));
			putchar('\n');
		}
		tally_print(g);
	}
}

static bool
report(const struct comparing *c, const struct log *l)
{
	json_t *groups = tally_groups(&c->changed);
	bool ok = groups != NULL;

	if (l->json)
		ok = tool_print(json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:O*}", "events", (json_int_t)l->events, "first",
		    l->first, "last", l->last, "decisions", (json_int_t)c->decisions, "same", (json_int_t)c->same, "changed",
		    (json_int_t)c->changes, "unknown", (json_int_t)c->unknown, "unreadable", (json_int_t)c->unreadable, "groups",
		    groups)) && ok;
	else
		print(c, l, groups);
	json_decref(groups);
	return fflush(stdout) == 0 && ok;
}

int
tool_diff(int argc, char **argv)
{
	static const struct option options[] = { LOG_OPTIONS, { 0 } };
	struct log l = { .only = "\"policy_record\":{" };
	struct comparing c = { .decisions = 0 };
	bool ok;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (!log_option(&l, opt, optarg))
			return fputs(usage, stderr), 2;
	}
	if (l.reader.path == NULL || argc - optind != 2)
		return fputs(usage, stderr), 2;
	ok = tally_begin(&c.changed) && side_load(&c.old, argv[optind]) && side_load(&c.new, argv[optind + 1]) &&
	    log_read(&l, "diff", on_event, &c) && report(&c, &l);
	tally_clear(&c.changed);
	side_clear(&c.old);
	side_clear(&c.new);
	return ok ? 0 : 1;
}
