/*
 * decide.c - `tidewaiter policy decide`: the machine's door, a request a line in, an answer a line out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "gateway/commands/policy/tool.h"
#include "policy/json.h"
#include "policy/key.h"
#include "policy/query.h"

#define DEPTH_MAX 32u

static const char usage[] =
    "usage: tidewaiter policy decide -p FILE... [--vocabulary none] [--now DATE] < REQUESTS\n"
    "\n"
    "Answers requests, one JSON object a line on standard input, with one JSON object a line:\n"
    "  {\"principal\":[\"issuer:gh\",\"subject:gh/ci\"],\"action\":\"registry:PullManifest\",\n"
    "   \"resource\":\"repo:local/team/app\",\"context\":{\"jwt:project\":\"team\",\"net:SourceIp\":\"192.0.2.1\"}}\n"
    "  {\"decision\":\"Allow\",\"sid\":\"TeamsPull\"}\n"
    "decision is Allow, ExplicitDeny, ImplicitDeny (no statement allows it) or Need (with the keys that are\n"
    "{\"later\":true} in the request and would tell). {\"unknown\":true} is a fact that could not be learned.\n"
    "What only the linter objects to is said on standard error, and the policy is asked as it is written.\n"
    "\n"
    "  --now   time of requests that do not say time:Now: 2026-12-18T17:00:00Z; default: now\n"
    "  --vocabulary none  any service, action, resource and key, untyped, as IAM has them: for policies that were not\n"
    "          written for a registry\n";

struct asking {
	const struct policy *policy;
	bool any, ok;
	int64_t now;
};

static bool
answer_print(const struct decision *d)
{
	json_t *sid = d->sid.n > 0 ? json_stringn(d->sid.p, d->sid.n) : json_null();
	json_t *o = json_pack("{s:s, s:o}", "decision", verdict_name(d->verdict), "sid", sid);

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
	return tool_print(o);
}

/* One request, one answer; a line that is no request is answered with the reason. */
static bool
answer(void *ctx, struct span line, size_t number)
{
	struct asking *a = ctx;
	char err[JSON_ERROR_TEXT_LENGTH + 256];
	json_t *o = json_strict(line, DEPTH_MAX, err, sizeof err, NULL);
	struct policy_query q = { .arena = NULL };
	struct decision d;
	bool written;

	if (o != NULL && (a->any ? policy_query_read_any(&q, o, a->now, err, sizeof err) :
				   policy_query_read(&q, o, a->now, err, sizeof err))) {
		policy_decide(a->policy, &q.request, &d);
		written = answer_print(&d);
	} else {
		fprintf(stderr, "stdin:%zu: %s\n", number, err);
		written = tool_print(json_pack("{s:s}", "error", err));
		a->ok = false;
	}
	policy_query_clear(&q);
	json_decref(o);
	return written;
}

static int
decide(struct documents *d, struct paths *files, int64_t now)
{
	struct policy *p = documents_load(d, files->path, files->n);
	struct asking a = { .policy = p, .any = d->any_vocabulary, .ok = true, .now = now };
	bool ok = p != NULL && tool_lines(stdin, "stdin", answer, &a);

	policy_unref(p);
	return fflush(stdout) == 0 && ok && a.ok ? 0 : 1;
}

int
tool_decide(int argc, char **argv)
{
	static const struct option options[] = {
		{ "now", required_argument, NULL, 'n' },
		{ "vocabulary", required_argument, NULL, 'v' },
		{ "policy", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct documents *d;
	struct paths files = { .n = 0 };
	int64_t now = time(NULL);
	bool any = false;
	int opt, status;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hp:", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if (opt == 'v' && strcmp(optarg, "none") == 0)
			any = true;
		else if (!(opt == 'n' && tool_date(optarg, &now)) && !(opt == 'p' && paths_add(&files, optarg)))
			return fputs(usage, stderr), 2;
	}
	/* -p a -p b, and -p a b */
	for (int i = optind; i < argc; i++)
		if (files.n == 0 || !paths_add(&files, argv[i]))
			return fputs(usage, stderr), 2;
	if (files.n == 0)
		return fputs(usage, stderr), 2;
	d = documents_new(false, LINTING_REPORTED);
	if (d != NULL)
		d->any_vocabulary = any;
	status = d == NULL ? 1 : decide(d, &files, now);
	documents_free(d);
	return status;
}
