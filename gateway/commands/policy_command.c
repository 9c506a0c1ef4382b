/*
 * policy_command.c - `tidewaiter policy`: documents checked and asked without a gateway.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/commands/command.h"
#include "gateway/file.h"
#include "gateway/config/policy_reads.h"
#include "policy/compiled.h"
#include "policy/json.h"
#include "policy/query.h"

#define FILE_MAX	((size_t)16 << 20)
#define REQUEST_MAX	((size_t)1 << 20)	/* bytes of one line */
#define FILES_MAX	1024u
#define DEPTH_MAX	32u

static const char usage[] =
    "usage: tidewaiter policy check [--json] FILE...\n"
    "       tidewaiter policy decide -p FILE... [--vocabulary none] [--now DATE] < REQUESTS\n"
    "\n"
    "check   read documents as the gateway does, together: every mistake on standard error as file:line: reason\n"
    "decide  answer requests, one JSON object a line on standard input, with one JSON object a line:\n"
    "        {\"principal\":[\"issuer:gh\",\"subject:gh/ci\"],\"action\":\"registry:PullManifest\",\n"
    "         \"resource\":\"repo:local/team/app\",\"context\":{\"jwt:project\":\"team\",\"net:SourceIp\":\"192.0.2.1\"}}\n"
    "        {\"decision\":\"Allow\",\"sid\":\"TeamsPull\"}\n"
    "        decision is Allow, ExplicitDeny, ImplicitDeny (no statement allows it) or Need (with the keys that are\n"
    "        {\"later\":true} in the request and would tell). {\"unknown\":true} is a fact that could not be learned.\n"
    "\n"
    "  --now   time of requests that do not say time:Now: 2026-12-18T17:00:00Z; default: now\n"
    "  --vocabulary none  any service, action, resource and key, untyped, as IAM has them: for policies that were not\n"
    "          written for a registry\n"
    "  --json  the result as one JSON object on standard output\n"
    "\n"
    "Aliases of issuers and upstreams are not looked up: `tidewaiter check -c FILE` does that.\n"
    "Exit status: 0 fine, 1 a problem, 2 the command line was not understood.\n";

struct documents {
	struct policy_source sources[FILES_MAX];
	char *texts[FILES_MAX];
	size_t n;
	struct policy_reads reads;
	bool any_vocabulary;
	json_t *problems;	/* for --json; NULL: said on standard error */
};

static void
on_problem(void *ctx, const char *file, int line, const char *reason)
{
	struct documents *d = ctx;

	if (d->problems == NULL)
		fprintf(stderr, "%s:%d: %s\n", file, line, reason);
	else
		json_array_append_new(d->problems, json_pack("{s:s, s:i, s:s}", "file", file, "line", line, "reason", reason));
}

static bool
documents_add(struct documents *d, const char *path)
{
	char err[256];
	size_t n = 0;

	if (d->n == FILES_MAX) {
		on_problem(d, path, 1, "more than 1024 files");
		return false;
	}
	d->texts[d->n] = file_read(path, FILE_MAX, &n, err, sizeof err);
	if (d->texts[d->n] == NULL) {
		on_problem(d, path, 1, err);
		return false;
	}
	d->sources[d->n] = (struct policy_source){ path, { d->texts[d->n], n } };
	d->n++;
	return true;
}

static struct policy *
documents_load(struct documents *d, char **paths, int n)
{
	struct policy_names names = {
		.fetch = policy_reads_fetch,
		.fetch_ctx = &d->reads,
		.any_vocabulary = d->any_vocabulary,
	};
	bool ok = true;

	for (int i = 0; i < n; i++)
		ok = documents_add(d, paths[i]) && ok;
	return ok ? policy_load(d->sources, d->n, &names, on_problem, d) : NULL;
}

static void
documents_free(struct documents *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->texts[i]);
	policy_reads_free(&d->reads);
	json_decref(d->problems);
	free(d);
}

/* ---- check ---- */

static int
check(struct documents *d, char **paths, int n)
{
	struct policy *p = documents_load(d, paths, n);
	size_t statements = p == NULL ? 0 : policy_statements(p);
	const char *hash = p == NULL ? "" : policy_hash(p);
	int status = p == NULL;

	if (d->problems != NULL) {
		json_t *o = json_pack("{s:b, s:I, s:I, s:s, s:O}", "ok", p != NULL, "files", (json_int_t)n, "statements",
		    (json_int_t)statements, "hash", hash, "problems", d->problems);

		if (o == NULL || json_dumpf(o, stdout, 0) != 0 || putchar('\n') == EOF)
			status = 1;
		json_decref(o);
	} else if (p != NULL) {
		printf("ok: %zu statements in %d files, %s\n", statements, n, hash);
	}
	policy_unref(p);
	return fflush(stdout) == 0 ? status : 1;
}

/* ---- decide ---- */

static bool
answer_print(const struct decision *d)
{
	json_t *sid = d->sid.n > 0 ? json_stringn(d->sid.p, d->sid.n) : json_null();
	json_t *o = json_pack("{s:s, s:o}", "decision", verdict_name(d->verdict), "sid", sid);
	bool ok;

	if (d->message.n > 0)
		json_object_set_new(o, "message", json_stringn(d->message.p, d->message.n));
	if (d->unknown)
		json_object_set_new(o, "unknown", json_true());
	if (d->verdict == VERDICT_NEED) {
		json_t *need = json_array();

		for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++)
			if (key_set_has(&d->need, (enum policy_key)k))
				json_array_append_new(need, json_string(key_row((enum policy_key)k)->name));
		json_object_set_new(o, "need", need);
	}
	ok = o != NULL && json_dumpf(o, stdout, 0) == 0 && putchar('\n') != EOF;
	json_decref(o);
	return ok;
}

/* One request, one answer; a line that is no request is answered with the reason. */
static bool
answer(const struct policy *p, bool any, int64_t now, struct span line, size_t number)
{
	char err[JSON_ERROR_TEXT_LENGTH + 256];
	json_t *o = json_strict(line, DEPTH_MAX, err, sizeof err, NULL);
	struct policy_query q = { .arena = NULL };
	struct decision d;
	bool ok = o != NULL && (any ? policy_query_read_any(&q, o, now, err, sizeof err) :
				      policy_query_read(&q, o, now, err, sizeof err));

	if (ok) {
		policy_decide(p, &q.request, &d);
		ok = answer_print(&d);
	} else {
		json_t *problem = json_pack("{s:s}", "error", err);

		fprintf(stderr, "stdin:%zu: %s\n", number, err);
		json_dumpf(problem, stdout, 0);
		putchar('\n');
		json_decref(problem);
	}
	policy_query_clear(&q);
	json_decref(o);
	return ok;
}

static int
decide(struct documents *d, char **paths, int n, int64_t now)
{
	struct policy *p = documents_load(d, paths, n);
	char *line = NULL;
	size_t room = 0, number = 0;
	ssize_t got;
	bool ok = p != NULL;

	while (p != NULL && (got = getline(&line, &room, stdin)) >= 0) {
		struct span text = { line, (size_t)got };

		number++;
		while (text.n > 0 && strchr("\r\n", text.p[text.n - 1]) != NULL)
			text.n--;
		if (text.n > REQUEST_MAX) {
			fprintf(stderr, "stdin:%zu: longer than 1 MiB\n", number);
			ok = false;
			break;
		}
		if (text.n > 0)
			ok = answer(p, d->any_vocabulary, now, text, number) && ok;
	}
	ok = fflush(stdout) == 0 && !ferror(stdin) && ok;
	free(line);
	policy_unref(p);
	return ok ? 0 : 1;
}

/* ---- the command line ---- */

static int
run(struct documents *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "now", required_argument, NULL, 'n' },
		{ "vocabulary", required_argument, NULL, 'v' },
		{ "policy", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *files[FILES_MAX];
	int n_files = 0, opt;
	struct number now = { .whole = time(NULL) };
	bool json = false;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hjp:", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt == 'j')
			json = true;
		else if (opt == 'v' && strcmp(optarg, "none") == 0)
			d->any_vocabulary = true;
		else if (opt == 'n' && date_parse(span_of(optarg), &now))
			continue;
		else if (opt == 'p' && n_files < (int)FILES_MAX)
			files[n_files++] = optarg;
		else
			return fputs(usage, stderr), 2;
	}
	argc -= optind;
	argv += optind;
	if (argc > 1 && strcmp(argv[0], "check") == 0 && n_files == 0) {
		d->problems = json ? json_array() : NULL;
		return check(d, argv + 1, argc - 1);
	}
	/* -p a -p b, and -p a b */
	for (int i = 1; i < argc && n_files > 0 && n_files < (int)FILES_MAX; i++)
		files[n_files++] = argv[i];
	if (argc > 0 && strcmp(argv[0], "decide") == 0 && n_files > 0)
		return decide(d, files, n_files, now.whole);
	fputs(usage, stderr);
	return 2;
}

int
policy_command(int argc, char **argv)
{
	struct documents *d = calloc(1, sizeof *d);
	int status;

	if (d == NULL) {
		fputs("tidewaiter policy: out of memory\n", stderr);
		return 1;
	}
	status = run(d, argc, argv);
	documents_free(d);
	return status;
}
