/*
 * test.c - `tidewaiter policy test`: test files of policies run, and the tests themselves put to the test.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/commands/policy/tool.h"
#include "gateway/file.h"
#include "policy/compiled.h"
#include "policy/mutate.h"
#include "policy/words.h"

#define FILE_MAX    ((size_t)16 << 20)
#define MUTANTS_MAX 100000u /* of one file */
#define ADVICE_MAX  100u /* survivors that get a request that would tell */

static const char usage[] =
    "usage: tidewaiter policy test [--coverage] [--mutate] [--json] CASES.test.json...\n"
    "\n"
    "Asks the requests of test files and compares the answers. A test file names its policies relative to itself:\n"
    "  {\"policy\": [\"freeze.json\"],\n"
    "   \"defaults\": {\"principal\": [\"issuer:corp\"], \"action\": \"registry:PushManifest\",\n"
    "                \"resource\": \"repo:harbor/prod/shop\", \"now\": \"2026-12-20T12:00:00Z\", \"context\": {}},\n"
    "   \"cases\": [{\"name\": \"frozen\", \"expect\": {\"decision\": \"ExplicitDeny\", \"sid\": \"YearEndFreeze\"}}]}\n"
    "A case says what differs from the defaults; null takes a key of their context out. decision is Allow, ExplicitDeny,\n"
    "ImplicitDeny (no statement allows it) or Need (a {\"later\":true} would tell); sid may be left out. Beside them\n"
    "\"shadow\": {\"decision\", \"sid\"} or null is what statements of Mode Shadow would change. \"with\": [\"grant.json\"]\n"
    "names policies that are only there, for the tested ones to work on.\n"
    "\n"
    "  --coverage  a statement that decides no case is a failure\n"
    "  --mutate    each statement is spoilt in every small way (dropped, flipped, widened, a condition dropped or negated);\n"
    "              a mutant that no case notices is a failure, unless \"survivors\" of the test file lists it:\n"
    "              {\"sid\": \"...\", \"mutation\": \"drop Null scan:Critical\", \"why\": \"...\"}\n"
    "  --json      one JSON object\n"
    "\n"
    "Ends with \"N passed, N failed\" (cases, and with the options statements and mutants); exit status 1 when one failed.\n";

struct run {
	bool coverage, mutate, json;
	size_t passed, failed;
	/* the file at hand */
	const char *file;
	struct suite suite;
	struct policy *p;
	size_t tested; /* statements; those behind them are only there */
	json_t *report;
	bool *decisive; /* statements, by number */
	bool *survived; /* survivors of the suite that are some */
	size_t mutants, noticed, accepted, advised;
	bool too_many;
};

static void
count(struct run *r, bool ok)
{
	r->passed += ok;
	r->failed += !ok;
}

/* Something to say about the file; steals o, which goes into the list of that name. */
PRINTF(4, 5)
static void
note(struct run *r, const char *list, json_t *o, const char *fmt, ...)
{
	json_t *to = json_object_get(r->report, list);
	va_list ap;

	if (to == NULL) {
		to = json_array();
		json_object_set_new(r->report, list, to);
	}
	json_array_append_new(to, o);
	if (r->json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

static json_t *
answer_json(enum verdict verdict, struct span sid)
{
	json_t *o = json_pack("{s:s}", "decision", verdict_name(verdict));

	if (sid.n > 0)
		json_object_set_new(o, "sid", json_stringn(sid.p, sid.n));
	return o;
}

/* ---- cases ---- */

static const struct statement *
statement_of(const struct policy *p, struct span sid)
{
	for (size_t i = 0; i < policy_statements(p); i++)
		if (span_eq(policy_statement_at(p, i)->sid, sid))
			return policy_statement_at(p, i);
	return NULL;
}

/* Why the statement that should have decided did not, and what the one that did had in mind. */
static json_t *
reasons(struct run *r, const struct suite_case *c, const struct suite_expect *e, const struct statement *by)
{
	const struct statement *wanted = e->sid.n == 0 ? NULL : statement_of(r->p, e->sid);
	json_t *out = json_array(), *list;
	size_t i;

	if (e->sid.n > 0 && wanted == NULL)
		json_array_append_new(out, json_sprintf("no statement has the Sid %.*s", SPAN_FMT(e->sid)));
	list = wanted == NULL || wanted == by ? json_array() : statement_misses(r->p, &c->query.request, wanted);
	if (wanted != NULL && wanted != by && json_array_size(list) == 0)
		json_array_append_new(out, json_sprintf("%.*s matches, too, but does not decide", SPAN_FMT(wanted->sid)));
	for (i = 0; i < json_array_size(list); i++)
		json_array_append_new(out, json_sprintf("%.*s (%s:%d) does not match: %s", SPAN_FMT(wanted->sid),
		    wanted->document->file, wanted->line, json_string_value(json_array_get(list, i))));
	json_decref(list);
	for (i = 0; by != NULL && by != wanted && i < by->n_atoms; i++) {
		json_t *words = condition_words(&by->atoms[i]);

		json_array_append_new(out, json_sprintf("%.*s (%s:%d) matches: %s", SPAN_FMT(by->sid), by->document->file, by->line,
		    json_string_value(words)));
		json_decref(words);
	}
	return out;
}

/* Allow statements that only one condition kept from deciding. */
static void
add_near(struct run *r, const struct suite_case *c, const struct decision *d, json_t *why)
{
	for (unsigned i = 0; i < d->n_near; i++) {
		const struct statement *s = d->near[i].statement;
		json_t *list;

		if (span_eq(s->sid, c->expect.sid))
			continue; /* told already */
		list = statement_misses(r->p, &c->query.request, s);
		json_array_append_new(why, json_sprintf("%.*s (%s:%d) nearly allows it: %s", SPAN_FMT(s->sid), s->document->file,
		    s->line, json_string_value(json_array_get(list, 0))));
		json_decref(list);
	}
}

static const char *
by_whom(struct span sid, char buf[static 128])
{
	snprintf(buf, 128, "%s%.*s", sid.n == 0 ? "" : " by ", SPAN_FMT(sid));
	return buf;
}

/* Expected one thing, came another: of the decision, or of that with the statements of Mode Shadow. */
static void
note_failure(struct run *r, const struct suite_case *c, const struct suite_expect *e, const char *shadow, enum verdict came,
    const struct statement *by, json_t *why)
{
	struct span sid = by == NULL ? SPAN_NONE : by->sid;
	char wanted_by[128], came_by[128];
	size_t i;
	json_t *v;

	note(r, "failures", json_pack("{s:s, s:i, s:b, s:o, s:o, s:O}", "case", c->name, "line", c->line, "shadow", *shadow != '\0',
	    "expected", e->nothing ? json_null() : answer_json(e->verdict, e->sid), "came", answer_json(came, sid), "why", why),
	    "%s:%d: \"%s\": expected %s%s%s, came %s%s\n", r->file, c->line, c->name, shadow,
	    e->nothing ? "nothing else" : verdict_name(e->verdict), by_whom(e->sid, wanted_by), verdict_name(came),
	    by_whom(sid, came_by));
	json_array_foreach (why, i, v)
		if (!r->json)
			printf("    %s\n", json_string_value(v));
	json_decref(why);
}

static void
run_case(struct run *r, const struct suite_case *c)
{
	struct suite_case plain = *c;
	struct decision d;
	json_t *why;

	policy_decide(r->p, &c->query.request, &d);
	if (d.by != NULL)
		r->decisive[d.by->number] = true;
	if (d.shadow.by != NULL)
		r->decisive[d.shadow.by->number] = true;
	count(r, suite_case_passes(c, &d));
	if (suite_case_passes(c, &d))
		return;
	plain.shadow.given = false;
	if (!suite_case_passes(&plain, &d)) {
		why = reasons(r, c, &c->expect, d.by);
		add_near(r, c, &d, why);
		note_failure(r, c, &c->expect, "", d.verdict, d.by, why);
		return;
	}
	note_failure(r, c, &c->shadow, "in shadow ", d.shadow.differs ? d.shadow.verdict : d.verdict,
	    d.shadow.differs ? d.shadow.by : d.by, reasons(r, c, &c->shadow, d.shadow.by));
}

/* ---- coverage ---- */

static void
run_coverage(struct run *r)
{
	size_t n = r->tested, covered = 0;

	for (size_t i = 0; i < n; i++) {
		const struct statement *s = policy_statement_at(r->p, i);

		covered += r->decisive[i];
		count(r, r->decisive[i]);
		if (!r->decisive[i])
			note(r, "never_decisive", json_pack("{s:s%, s:s, s:i, s:s}", "sid", s->sid.p, s->sid.n, "file", s->document->file,
			    "line", s->line, "effect", s->deny ? "Deny" : "Allow"), "%s:%d: %s %.*s decides no case\n",
			    s->document->file, s->line, s->deny ? "Deny" : "Allow", SPAN_FMT(s->sid));
	}
	json_object_set_new(r->report, "statements", json_integer((json_int_t)n));
	json_object_set_new(r->report, "decisive", json_integer((json_int_t)covered));
	if (!r->json)
		printf("%s: %zu of %zu statements decide a case (%zu %%)\n", r->file, covered, n, n == 0 ? 100 : 100 * covered / n);
}

/* ---- mutants ---- */

/* Whether the test file says so; it is looked at once more when all are known. */
static bool
is_accepted(struct run *r, const struct mutant *m)
{
	for (size_t i = 0; i < r->suite.n_survivors; i++) {
		const struct suite_survivor *s = &r->suite.survivors[i];

		if (span_eq(span_of(s->sid), m->of->sid) && strcmp(s->mutation, m->mutation) == 0)
			return r->survived[i] = true;
	}
	return false;
}

static void
note_survivor(struct run *r, const struct mutant *m)
{
	json_t *advice = r->advised++ < ADVICE_MAX ? policy_witness(r->p, m, &r->suite) : NULL;
	char *text = advice == NULL ? NULL : json_dumps(advice, JSON_COMPACT);
	const struct statement *s = m->of;

	note(r, "survivors", json_pack("{s:s%, s:s, s:i, s:s, s:o?}", "sid", s->sid.p, s->sid.n, "file", s->document->file, "line",
	    s->line, "mutation", m->mutation, "case", advice), "%s:%d: %.*s: no case notices \"%s\"\n%s%s%s", s->document->file,
	    s->line, SPAN_FMT(s->sid), m->mutation, r->advised > ADVICE_MAX ? "" : text == NULL ?
	    "    no request was found that would tell\n" : "    a case would: ", text == NULL ? "" : text, text == NULL ? "" : "\n");
	free(text);
}

static bool
on_mutant(void *ctx, const struct mutant *m)
{
	struct run *r = ctx;

	if (r->mutants == MUTANTS_MAX) {
		r->too_many = true;
		return false;
	}
	if (++r->mutants % 512 == 0 && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s: %zu mutants", r->file, r->mutants);
	if (m->by == NULL && is_accepted(r, m)) {
		r->accepted++;
		return true;
	}
	r->noticed += m->by != NULL;
	count(r, m->by != NULL);
	if (m->by == NULL)
		note_survivor(r, m);
	return true;
}

static void
run_mutants(struct run *r)
{
	r->mutants = r->noticed = r->accepted = r->advised = 0;
	r->too_many = false;
	if (!policy_mutate(r->p, r->tested, &r->suite, on_mutant, r)) {
		count(r, false);
		note(r, "problems", json_string("out of memory"), "%s: out of memory\n", r->file);
	}
	if (r->mutants >= 512 && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (r->too_many) {
		count(r, false);
		note(r, "problems", json_string("too many mutants"), "%s: more than %u mutants: test parts of the policy\n", r->file,
		    MUTANTS_MAX);
	}
	for (size_t i = 0; i < r->suite.n_survivors && !r->too_many; i++) {
		const struct suite_survivor *s = &r->suite.survivors[i];

		count(r, r->survived[i]);
		if (!r->survived[i])
			note(r, "problems", json_sprintf("no survivor: %s: %s", s->sid, s->mutation),
			    "%s:%d: %s: no mutant \"%s\" survives: take it out of survivors\n", r->file, s->line, s->sid, s->mutation);
	}
	json_object_set_new(r->report, "mutants", json_integer((json_int_t)r->mutants));
	json_object_set_new(r->report, "noticed", json_integer((json_int_t)r->noticed));
	json_object_set_new(r->report, "accepted", json_integer((json_int_t)r->accepted));
	if (!r->json)
		printf("%s: %zu of %zu mutants noticed, %zu more accepted\n", r->file, r->noticed, r->mutants, r->accepted);
}

/* ---- a file ---- */

static void
run_suite(struct run *r)
{
	size_t failed = r->failed;
	bool sound;

	r->decisive = calloc(policy_statements(r->p) + 1, sizeof *r->decisive);
	r->survived = calloc(r->suite.n_survivors + 1, sizeof *r->survived);
	if (r->decisive == NULL || r->survived == NULL) {
		count(r, false);
		note(r, "problems", json_string("out of memory"), "%s: out of memory\n", r->file);
	} else {
		for (size_t i = 0; i < r->suite.n; i++)
			run_case(r, &r->suite.cases[i]);
		sound = r->failed == failed;
		json_object_set_new(r->report, "cases", json_integer((json_int_t)r->suite.n));
		if (r->coverage)
			run_coverage(r);
		if (r->mutate && sound)
			run_mutants(r);
		else if (r->mutate)
			note(r, "problems", json_string("not mutated: cases failed"), "%s: not mutated: cases failed\n", r->file);
	}
	free(r->decisive);
	free(r->survived);
}

static void
on_problem(void *ctx, int line, const char *reason)
{
	struct run *r = ctx;

	note(r, "problems", json_pack("{s:i, s:s}", "line", line, "reason", reason), "%s:%d: %s\n", r->file, line, reason);
}

/* How many statements the first n documents have. */
static size_t
statements_of(const struct policy *p, char **paths, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < policy_statements(p); i++)
		for (size_t k = 0; k < n; k++)
			if (strcmp(policy_statement_at(p, i)->document->file, paths[k]) == 0) {
				count++;
				break;
			}
	return count;
}

/* The policies of the suite, beside its file. */
static void
load_and_run(struct run *r)
{
	struct documents *d = documents_new(r->json, LINTING_ENFORCED);
	struct paths paths = { .n = 0 };
	const char *slash = strrchr(r->file, '/');
	int dir = slash == NULL ? 0 : (int)(slash - r->file) + 1;
	bool ok = d != NULL;

	for (size_t i = 0; ok && i < r->suite.n_policies; i++) {
		const char *name = r->suite.policies[i];
		char *path = NULL;

		if (asprintf(&path, "%.*s%s", *name == '/' ? 0 : dir, r->file, name) < 0 || !paths_add(&paths, path))
			ok = false;
	}
	r->p = ok ? documents_load(d, paths.path, paths.n) : NULL;
	if (d != NULL && json_array_size(d->problems) > 0)
		json_object_set(r->report, "findings", d->problems);
	if (r->p != NULL) {
		r->tested = statements_of(r->p, paths.path, r->suite.n_tested);
		run_suite(r);
	} else {
		count(r, false);
		note(r, "problems", json_string("its policies do not load"), "%s: its policies do not load\n", r->file);
	}
	policy_unref(r->p);
	documents_free(d);
	for (size_t i = 0; i < paths.n; i++)
		free(paths.path[i]);
}

static json_t *
run_file(struct run *r, const char *file)
{
	char err[256];
	size_t n = 0;
	char *text = file_read(file, FILE_MAX, &n, err, sizeof err);

	r->file = file;
	r->report = json_pack("{s:s}", "file", file);
	if (text == NULL) {
		count(r, false);
		on_problem(r, 1, err);
	} else {
		if (suite_read(&r->suite, (struct span){ text, n }, on_problem, r))
			load_and_run(r);
		else
			count(r, false);
		suite_free(&r->suite);
	}
	free(text);
	return r->report;
}

int
tool_test(int argc, char **argv)
{
	static const struct option options[] = {
		{ "coverage", no_argument, NULL, 'c' },
		{ "mutate", no_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct run r = { .passed = 0 };
	json_t *files = json_array();
	bool written = true;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		r.coverage |= opt == 'c';
		r.mutate |= opt == 'm';
		r.json |= opt == 'j';
		if (opt == 'h' || strchr("cmj", opt) == NULL) {
			json_decref(files);
			return fputs(usage, opt == 'h' ? stdout : stderr), opt == 'h' ? 0 : 2;
		}
	}
	if (optind == argc) {
		json_decref(files);
		return fputs(usage, stderr), 2;
	}
	for (int i = optind; i < argc; i++)
		json_array_append_new(files, run_file(&r, argv[i]));
	if (r.json)
		written = tool_print(json_pack("{s:I, s:I, s:O}", "passed", (json_int_t)r.passed, "failed", (json_int_t)r.failed,
		    "files", files));
	else
		printf("%zu passed, %zu failed\n", r.passed, r.failed);
	json_decref(files);
	return fflush(stdout) == 0 && written && r.failed == 0 ? 0 : 1;
}
