/*
 * explain.c - `tidewaiter policy explain`: why was this allowed or refused? Of an event of the audit log, or of a request
 * that is asked now; the same record, in words.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/audit/event.h"
#include "gateway/commands/policy/tally.h"
#include "gateway/commands/policy/tool.h"
#include "gateway/file.h"
#include "policy/json.h"

#define SOURCE_MAX   ((size_t)16 << 20)
#define REQUEST_MAX  ((size_t)1 << 20)
#define REQUEST_DEEP 32u

static const char usage[] =
    "usage: tidewaiter policy explain EVENT-ID --audit DIR [--json]\n"
    "       tidewaiter policy explain -p FILE... [--now DATE] [--json] REQUEST.json\n"
    "\n"
    "Why was a request allowed or refused: who asked for what, the statement that decided and its text, which of its\n"
    "conditions held, which statements would have allowed it but for one condition, and what to change.\n"
    "EVENT-ID is in every refusal's text: (event 01ARZ3NDEKTSV4RRFFQ69G5FAV).\n"
    "REQUEST.json is a request as `tidewaiter policy decide` takes it; - or nothing: standard input.\n"
    "\n"
    "  --audit DIR  the audit directory, or one file of it\n"
    "  -p FILE      policy documents; what stands before REQUEST.json are documents, too\n"
    "  --now DATE   time of a request that does not say time:Now; default: now\n"
    "  --json       the record as one JSON object on standard output\n";

/* ---- text of a statement ---- */

/* The object at p, if it is the statement of this Sid: its length; else 0. */
static size_t
statement_at(const char *p, size_t n, const char *sid)
{
	json_error_t e;
	json_t *o = json_loadb(p, n, JSON_DISABLE_EOF_CHECK, &e);
	bool found = o != NULL && strcmp(log_text(o, "Sid", NULL), sid) == 0;

	json_decref(o);
	return found && e.position > 0 ? (size_t)e.position : 0;
}

/* The statement that begins in that line; NULL when it is not there (any more). To be freed. */
static char *
statement_text(const char *file, json_int_t line, const char *sid)
{
	char err[256], *text, *p, *end, *out = NULL;
	size_t n = 0, length;

	text = file_read(file, SOURCE_MAX, &n, err, sizeof err);
	if (text == NULL)
		return NULL;
	for (p = text; line > 1 && (p = memchr(p, '\n', (size_t)(text + n - p))) != NULL; line--)
		p++;
	end = p == NULL ? NULL : strchrnul(p, '\n');
	for (; p != NULL && p < end && out == NULL; p++) {
		length = *p == '{' ? statement_at(p, (size_t)(text + n - p), sid) : 0;
		if (length > 0)
			out = strndup(p, length);
	}
	free(text);
	return out;
}

static void
print_statement(const json_t *s)
{
	const char *sid = log_text(s, "sid", NULL), *file = log_text(s, "file", NULL);
	json_int_t line = json_integer_value(json_object_get(s, "line"));
	char *text = statement_text(file, line, sid);

	say(sid);
	printf(" (");
	say(file);
	printf(":%" JSON_INTEGER_FORMAT ")", line);
	if (text == NULL)
		printf(": its text is not there, or not there any more");
	printf("\n");
	for (char *p = text, *end; p != NULL; p = *end == '\n' ? end + 1 : NULL) {
		end = strchrnul(p, '\n');
		printf("            | %.*s\n", (int)(end - p), p);
	}
	free(text);
}

/* ---- conditions ---- */

static void
print_list(const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach (list, i, v) {
		printf("%s\"", i > 0 ? ", " : "");
		say(json_string_value(v) == NULL ? "?" : json_string_value(v));
		putchar('"');
	}
	if (json_array_size(list) == 0)
		printf("nothing");
}

/* StringEquals jwt:ref is "x", wanted "y" or "z" */
static void
print_condition(const json_t *c)
{
	const json_t *have = json_object_get(c, "have"), *more = json_object_get(c, "want_more");

	say(log_text(c, "op", NULL));
	putchar(' ');
	say(log_text(c, "key", NULL));
	if (json_is_array(have)) {
		printf(" has ");
		print_list(have);
	} else if (json_is_string(have)) {
		printf(" is \"");
		say(json_string_value(have));
		putchar('"');
	} else {
		printf(" is %s", log_text(c, "state", NULL));
	}
	printf(", wanted ");
	print_list(json_object_get(c, "want"));
	if (more != NULL)
		printf(" and %" JSON_INTEGER_FORMAT " more", json_integer_value(more));
	putchar('\n');
}

static void
print_conditions(const json_t *record)
{
	const json_t *c;
	size_t i;

	json_array_foreach (json_object_get(record, "why"), i, c) {
		const char *r = log_text(c, "r", NULL);

		printf("%-11s ", strcmp(r, "match") == 0 ? "  holds" : strcmp(r, "unknown") == 0 ? "  unknown" : "  fails");
		print_condition(c);
	}
}

static void
print_names(const char *label, const json_t *list)
{
	const json_t *v;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	printf("%-11s", label);
	json_array_foreach (list, i, v) {
		printf("%s", i > 0 ? ", " : " ");
		say(json_string_value(v) == NULL ? "" : json_string_value(v));
	}
	putchar('\n');
}

/* ---- what to change ---- */

static void
advise_near(const json_t *near)
{
	const json_t *s;
	size_t i;

	json_array_foreach (near, i, s) {
		const json_t *c = json_object_get(s, "failed");
		const char *r = log_text(c, "r", NULL);

		printf("            %s", i > 0 ? "or " : "");
		if (strcmp(r, "unknown") == 0)
			printf("see why ");
		else
			printf("come with another ");
		say(log_text(c, "key", NULL));
		printf("%s, or widen ", strcmp(r, "unknown") == 0 ? " could not be learned" : "");
		say(log_text(c, "op", NULL));
		printf(" of ");
		say(log_text(s, "sid", NULL));
		printf(" (");
		say(log_text(s, "file", NULL));
		printf(":%" JSON_INTEGER_FORMAT ")\n", json_integer_value(json_object_get(s, "line")));
	}
}

static void
advise(const json_t *record)
{
	const char *decision = log_text(record, "decision", NULL);
	const json_t *near = json_object_get(record, "near");

	if (strcmp(decision, "Allow") == 0 || strcmp(decision, "Need") == 0)
		return;
	printf("to change   ");
	if (strcmp(decision, "ExplicitDeny") == 0 && json_object_get(record, "for_unknown") != NULL) {
		printf("a Deny stands while what it asks for is not known: see why that could not be learned\n");
	} else if (strcmp(decision, "ExplicitDeny") == 0) {
		printf("a Deny wins over every Allow: narrow its conditions, Principal or Resource, or meet what it asks for\n");
	} else if (json_array_size(near) > 0) {
		printf("one condition is missing:\n");
		advise_near(near);
	} else {
		printf("no Allow statement comes near: one has to name ");
		say(log_text(record, "action", NULL));
		printf(", ");
		say(log_text(record, "resource", NULL));
		printf(" and one of the principals above\n");
	}
}

/* ---- a record ---- */

static void
print_by(const json_t *record)
{
	const char *decision = log_text(record, "decision", NULL);

	if (strcmp(decision, "Allow") == 0)
		printf("decision    allowed by ");
	else if (strcmp(decision, "ExplicitDeny") == 0)
		printf("decision    denied by ");
	else if (strcmp(decision, "Need") == 0)
		printf("decision    open, until more is known");
	else
		printf("decision    denied: no statement allows it");
	if (json_object_get(record, "sid") != NULL)
		print_statement(record);
	else
		putchar('\n');
}

static void
print_record(const json_t *record)
{
	const json_t *shadow = json_object_get(record, "shadow"), *s;
	size_t i;

	printf("asked       ");
	say(log_text(record, "action", NULL));
	printf(" on ");
	say(log_text(record, "resource", NULL));
	putchar('\n');
	print_by(record);
	print_conditions(record);
	json_array_foreach (json_object_get(record, "near"), i, s) {
		printf("near miss   ");
		print_statement(s);
		printf("  fails     ");
		print_condition(json_object_get(s, "failed"));
	}
	print_names("open      ", json_object_get(record, "need"));
	print_names("missing   ", json_object_get(record, "missing"));
	print_names("not known ", json_object_get(record, "unknown"));
	json_array_foreach (json_object_get(shadow, "by"), i, s) {
		printf("shadow      %s, were it enforced, by ", log_text(shadow, "decision", NULL));
		print_statement(s);
	}
	print_names("left out  ", json_object_get(record, "cut"));
	advise(record);
}

/* ---- an event ---- */

struct looking {
	const char *id;
	bool json, found, ok;
};

static void
print_event(const json_t *event)
{
	const json_t *main = log_record(event, 0), *record;
	char who[600];

	printf("event       ");
	say(log_text(event, "id", NULL));
	printf(" of ");
	say(log_text(event, "time", NULL));
	printf("\nwho         ");
	say(log_identity(event, who, sizeof who));
	printf(" by ");
	say(log_text(event, "actor", "method", NULL));
	printf(", from ");
	say(log_text(event, "source", "ip", NULL));
	printf(" with ");
	say(log_text(event, "http", "user_agent", NULL));
	printf("\nrequest     ");
	say(log_text(event, "http", "method", NULL));
	putchar(' ');
	say(log_text(event, "http", "path", NULL));
	printf("\nanswer      %" JSON_INTEGER_FORMAT " ", json_integer_value(json_object_get(json_object_get(event, "http"), "status")));
	say(log_text(event, "reason", NULL));
	if (json_object_get(event, "detail") != NULL) {
		printf(": ");
		say(log_text(event, "detail", NULL));
	}
	putchar('\n');
	if (json_object_get(event, "observed") != NULL) {
		printf("observed    let through; enforcing would refuse it as ");
		say(log_text(event, "observed", "reason", NULL));
		putchar('\n');
	}
	if (main == NULL) {
		printf("decision    policy was not asked: the reason above is not one of its\n");
		return;
	}
	printf("policy      ");
	say(log_text(event, "policy", NULL));
	putchar('\n');
	print_names("ids       ", json_object_get(main, "principal"));
	print_record(main);
	for (size_t i = 1; (record = log_record(event, i)) != NULL; i++) {
		printf("\nbeside it:\n");
		print_record(record);
	}
	/* what policy allows, something else may have refused */
	if (strcmp(log_text(event, "decision", NULL), "allow") != 0 && strcmp(log_text(main, "decision", NULL), "Allow") == 0)
		printf("to change   policy allowed it: what refused it is the reason above\n");
}

static bool
on_event(void *ctx, const json_t *event)
{
	struct looking *at = ctx;

	/* the id of a state event's request stands in its detail: not that one */
	if (strcmp(log_text(event, "id", NULL), at->id) != 0)
		return true;
	at->found = true;
	if (at->json)
		at->ok = tool_print(json_incref((json_t *)(uintptr_t)event));
	else
		print_event(event);
	return false;
}

/* When a ULID was made: what was written before that need not be read. */
static int64_t
seconds_of(const char *id)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	int64_t ms = 0;

	for (unsigned i = 0; i < 10; i++)
		ms = ms << 5 | (strchr(alphabet, id[i]) - alphabet);
	return ms / 1000;
}

static bool
is_id(const char *id)
{
	return strlen(id) == EVENT_ID_LEN && strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == EVENT_ID_LEN;
}

static int
explain_event(struct log *l, const char *id)
{
	struct looking at = { .id = id, .json = l->json, .ok = true };

	if (!is_id(id)) {
		fprintf(stderr, "tidewaiter policy explain: \"%s\" is no event id: 26 letters and digits, as a refusal names it\n", id);
		return 2;
	}
	l->only = id;
	l->reader.since = seconds_of(id) - 5;	/* its time is that of the head */
	if (!log_read(l, "explain", on_event, &at))
		return 1;
	if (!at.found)
		fprintf(stderr, "tidewaiter policy explain: no event %s in %s\n", id, l->reader.path);
	return at.found && at.ok && fflush(stdout) == 0 ? 0 : 1;
}

/* ---- a request asked now ---- */

/* The whole of a file or of standard input; NULL after saying why. To be freed. */
static char *
read_request(const char *path, size_t *n)
{
	char err[256] = "longer than 1 MiB", *text;

	if (strcmp(path, "-") != 0) {
		text = file_read(path, REQUEST_MAX, n, err, sizeof err);
	} else {
		text = malloc(REQUEST_MAX + 1);
		*n = text == NULL ? 0 : fread(text, 1, REQUEST_MAX + 1, stdin);
		if (*n > REQUEST_MAX) {
			free(text);
			text = NULL;
		}
	}
	if (text == NULL)
		fprintf(stderr, "%s: %s\n", path, err);
	return text;
}

static bool
print_answer(const struct policy *p, const struct policy_query *q, bool json)
{
	static char text[1 << 20];
	struct decision d;
	json_t *record;
	size_t n;

	policy_decide(p, &q->request, &d);
	n = policy_record_write(p, &q->request, &d, NULL, text, sizeof text);
	record = json_loadb(text, n, 0, NULL);
	if (record == NULL) {
		fputs("tidewaiter policy explain: out of memory\n", stderr);
		return false;
	}
	if (json)
		return tool_print(record);
	print_names("ids       ", json_object_get(record, "principal"));
	print_record(record);
	json_decref(record);
	return true;
}

static bool
explain_request(const struct policy *p, const char *path, int64_t now, bool json)
{
	char err[JSON_ERROR_TEXT_LENGTH + 256], *text;
	struct policy_query q = { .arena = NULL };
	size_t n = 0;
	json_t *o;
	int line = 1;
	bool ok = false;

	text = read_request(path, &n);
	if (text == NULL)
		return false;
	o = json_strict((struct span){ text, n }, REQUEST_DEEP, err, sizeof err, &line);
	if (o != NULL && policy_query_read(&q, o, now, err, sizeof err))
		ok = print_answer(p, &q, json);
	else
		fprintf(stderr, "%s:%d: %s\n", path, line, err);
	policy_query_clear(&q);
	json_decref(o);
	free(text);
	return ok && fflush(stdout) == 0;
}

static int
explain_now(struct paths *files, const char *request, int64_t now, bool json)
{
	struct documents *d = documents_new(false, LINTING_REPORTED);
	struct policy *p = d == NULL ? NULL : documents_load(d, files->path, files->n);
	bool ok = p != NULL && explain_request(p, request, now, json);

	policy_unref(p);
	documents_free(d);
	return ok ? 0 : 1;
}

int
tool_explain(int argc, char **argv)
{
	static const struct option options[] = { LOG_OPTIONS, { "policy", required_argument, NULL, 'p' },
		{ "now", required_argument, NULL, 'n' }, { 0 } };
	struct paths files = { .n = 0 };
	struct log l = { .json = false };
	int64_t now = time(NULL);
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hp:", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (opt == 's' || opt == 'u' || (!(opt == 'p' && paths_add(&files, optarg)) &&
			!(opt == 'n' && tool_date(optarg, &now)) && !log_option(&l, opt, optarg)))
			return fputs(usage, stderr), 2;
	}
	if (l.reader.path != NULL && files.n == 0 && argc - optind == 1)
		return explain_event(&l, argv[optind]);
	if (l.reader.path != NULL || files.n == 0)
		return fputs(usage, stderr), 2;
	while (optind < argc - 1)
		if (!paths_add(&files, argv[optind++]))
			return fputs(usage, stderr), 2;
	return explain_now(&files, optind < argc ? argv[optind] : "-", now, l.json);
}
