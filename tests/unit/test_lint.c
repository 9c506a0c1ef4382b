/*
 * test_lint.c - the linter and the codes of lint.def, by the files of tests/policy/lint.
 *
 * CODE[-what].bad.json has the findings that its "//" names, as CODE@line, in their order, and no others; CODE[-what].good.json
 * is near to it and has none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <glob.h>
#include <stdlib.h>
#include <time.h>

#include "policy/compiled.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

#define DIR "tests/policy/lint/"
#define NOW 1796122800 /* Tuesday, 1 December 2026, 11:00 UTC */

struct findings {
	size_t n, errors, by_linter; /* errors that only the linter sees */
	char text[8192]; /* "E108@12 W201@3" */
};

static bool
is_linters(enum lint_code c)
{
	return c == LINT_E107 || c == LINT_E108 || c == LINT_E109 || c == LINT_E114 || c == LINT_E116;
}

static void
on_finding(void *ctx, const struct policy_finding *f)
{
	struct findings *found = ctx;
	size_t used = strlen(found->text);
	char text[FINDING_TEXT_MAX];
	bool error = lint_row(f->code)->severity == SEVERITY_ERROR;

	snprintf(found->text + used, sizeof found->text - used, "%s%s@%d", used > 0 ? " " : "", lint_row(f->code)->code, f->line);
	found->n++;
	found->errors += error;
	found->by_linter += error && is_linters(f->code);
	policy_finding_text(f, text);
	CHECK(strncmp(text, lint_row(f->code)->code, 4) == 0 && strstr(text, f->reason) != NULL && f->fix[0] != '\0');
	CHECK(f->sid.n == 0 || strstr(text, " Sid ") != NULL);
}

static struct policy *
load(struct span text, enum policy_linting linting, struct findings *found)
{
	const struct policy_names names = { .fetch = reads_fetch, .linting = linting, .now = NOW };
	struct policy_source source = { "lint.json", text };

	*found = (struct findings){ 0 };
	return policy_load(&source, 1, &names, on_finding, found);
}

/* The codes that the first "//" of a document names; empty: none. */
static void
expected(const char *text, char *out, size_t size)
{
	const char *p = strstr(text, "\"//\": \""), *end;
	size_t n = 0;

	out[0] = '\0';
	if (p == NULL)
		return;
	p += strlen("\"//\": \"");
	end = strchr(p, '"');
	for (; p < end; p++) {
		size_t length = strcspn(p, " \"");

		if (length > 5 && p[4] == '@' && (p[0] == 'E' || p[0] == 'W'))
			n += (size_t)snprintf(out + n, size - n, "%s%.*s", n > 0 ? " " : "", (int)length, p);
		p += length;
	}
}

static void
check_file(const char *path)
{
	size_t n = 0;
	char want[8192], code[8];
	struct findings found;
	struct policy *p;
	FILE *f = fopen(path, "rb");
	static char text[65536];

	if (f != NULL) {
		n = fread(text, 1, sizeof text - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	expected(text, want, sizeof want);
	snprintf(code, sizeof code, "%.4s@", path + strlen(DIR));
	CHECK_ROW(n > 0 && (strstr(path, ".bad.json") != NULL ? strstr(want, code) != NULL : want[0] == '\0'), path);

	p = load((struct span){ text, n }, LINTING_ENFORCED, &found);
	if (!CHECK_ROW(strcmp(found.text, want) == 0, path))
		fprintf(stderr, "    found \"%s\", not \"%s\"\n", found.text, want);
	CHECK_ROW((p == NULL) == (found.errors > 0), path);
	policy_unref(p);
	/* what only the linter sees stops nobody who only looks, and is not said where it is off */
	p = load((struct span){ text, n }, LINTING_REPORTED, &found);
	CHECK_ROW((p == NULL) == (found.errors > found.by_linter), path);
	policy_unref(p);
	p = load((struct span){ text, n }, LINTING_OFF, &found);
	CHECK_ROW((p == NULL) == (found.errors > 0) && found.by_linter == 0 && found.n == found.errors, path);
	policy_unref(p);
}

static size_t
files(const char *code, const char *kind)
{
	char pattern[64];
	glob_t found;
	size_t n = 0;

	snprintf(pattern, sizeof pattern, DIR "%s*.%s.json", code, kind);
	if (glob(pattern, 0, NULL, &found) == 0) {
		n = found.gl_pathc;
		for (size_t i = 0; i < n; i++)
			check_file(found.gl_pathv[i]);
		globfree(&found);
	}
	return n;
}

static void
test_files(void)
{
	size_t n = 0;
	glob_t all;

	for (unsigned c = LINT_NONE + 1; c < LINT_MAX; c++) {
		const struct lint_row *row = lint_row((enum lint_code)c);
		size_t bad = files(row->code, "bad"), good = files(row->code, "good");

		CHECK_ROW(bad > 0 && bad == good, row->code);
		CHECK_ROW((row->code[0] == 'E') == (row->severity == SEVERITY_ERROR) && row->title[0] != '\0' && row->fix[0] != '\0',
		    row->code);
		n += bad + good;
	}
	/* no file of a code that is not there */
	CHECK(glob(DIR "*.json", 0, NULL, &all) == 0 && all.gl_pathc == n);
	globfree(&all);
}

/* ---- examples ---- */

static void
test_examples(void)
{
	static const char *const patterns[] = { "policy/examples/*.json", "deploy/*.policy.json" };
	size_t n = 0;

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		glob_t found;

		CHECK(glob(patterns[i], 0, NULL, &found) == 0);
		for (size_t k = 0; k < found.gl_pathc; k++) {
			json_t *o = json_load_file(found.gl_pathv[k], 0, NULL);
			char *text = json_object_get(o, "Statement") == NULL ? NULL : json_dumps(o, 0);
			struct findings said;
			struct policy *p = text == NULL ? NULL : load(span_of(text), LINTING_ENFORCED, &said);

			/* a set beside the document is not there for this test */
			if (text != NULL && json_object_get(o, "Sets") == NULL && ++n &&
			    !CHECK_ROW(p != NULL && said.n == 0, found.gl_pathv[k]))
				fprintf(stderr, "    %s\n", said.text);
			policy_unref(p);
			free(text);
			json_decref(o);
		}
		globfree(&found);
	}
	CHECK(n >= 9);
}

/* ---- issuers by their URL ---- */

static void
test_issuers(void)
{
	static const struct {
		const char *alias, *url;
		bool open; /* E114 */
	} rows[] = {
		{ "github", "https://token.actions.githubusercontent.com", true },
		{ "ci", "https://token.actions.githubusercontent.com", true },
		{ "ci", "https://token.actions.githubusercontent.com/", true },
		{ "ci", "https://token.actions.githubusercontent.com/acme", false }, /* of one enterprise */
		{ "github", "https://github.example/_services/token", false },
		{ "gitlab", "https://gitlab.example", false },
		{ "gl", "https://gitlab.com", true },
		{ "gl", "https://gitlab.com.example", false },
		{ "gitlab", NULL, true },
		{ "gl", NULL, false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *const aliases[] = { "other", rows[i].alias }, *const urls[] = { "https://idp.example", rows[i].url };
		const struct policy_names names = { .issuers = aliases, .issuer_urls = urls, .n_issuers = 2 };
		struct findings found = { 0 };
		char text[512];
		struct policy_source source = { "issuer.json", SPAN_NONE };
		struct policy *p;

		snprintf(text, sizeof text,
		    "{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"S\",\"Effect\":\"Allow\",\"Principal\":\"issuer:%s\","
		    "\"Action\":\"registry:Pull*\",\"Resource\":\"*\"}]}",
		    rows[i].alias);
		source.text = span_of(text);
		p = policy_load(&source, 1, &names, on_finding, &found);
		CHECK_ROW((p == NULL) == rows[i].open && strcmp(found.text, rows[i].open ? "E114@1" : "") == 0, rows[i].alias);
		policy_unref(p);
	}
}

/* ---- regular expressions by their shape ---- */

static void
test_regexes(void)
{
	static const char *const risky[] = { "(a+)+", "(?:a+)+", "(a*)*", "(a|b+)*", "([a-z]+)*x", "((a+))+", "(((a+)b?)+)", "(a+?)+",
		"(a+){2,}", "(.*x)*", "(?<n>a+)+", "x(\\w+)*y", "([^/]*)*", "(a+b?)+", "([[:alpha:]]+)*" };
	static const char *const fine[] = { "a+", "v[0-9]+(\\.[0-9]+)*", "(a+b)*", "(?:[a-z]+-)*dev", "(ab)+", "(a+){2}", "(a+)?", "(a{1,3})+",
		"(a++)+", "(?>a+)+", "(a+)", "\\(a+\\)+", "[(a+)+]", "(?:/[^/]+)*", "sha256-[0-9a-f]{64}\\.(sig|att)",
		"a{,}", ".*-dev", "[]a+]+", ")", "a|", "" };

	for (size_t i = 0; i < sizeof risky / sizeof *risky; i++)
		CHECK_ROW(regex_repeats_repetition(span_of(risky[i])), risky[i]);
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
		CHECK_ROW(!regex_repeats_repetition(span_of(fine[i])), fine[i]);
}

/* ---- time ---- */

/* n Denies on an optional key and what covers each, so that every one has to be looked for. */
enum shape {
	SHAPE_APART = 0,	/* each pair has callers and a resource of its own */
	SHAPE_CALLERS,		/* callers only */
	SHAPE_HEAP,		/* none: all of them are found under one name, and no one covers another */
	SHAPES
};

static char *
many(unsigned n, enum shape shape)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "{\"Version\":\"2026-11-01\",\"Statement\":[");
	for (unsigned i = 0; i < n; i++) {
		unsigned pair = i / 2;

		fprintf(f, "%s{\"Sid\":\"s%u\",\"Effect\":\"Deny\",\"Action\":\"registry:PullManifest\",\"Principal\":\"group:corp/g%u\","
			   "\"Resource\":\"repo:up/%u*\",\"Condition\":{\"%s\":{\"scan:Critical\":\"%s\"}",
		    i > 0 ? "," : "", i, shape == SHAPE_HEAP ? 0 : pair, shape == SHAPE_APART ? pair : 0, i % 2 ? "Null" : "NumericGreaterThan",
		    i % 2 ? "true" : "0");
		if (shape == SHAPE_HEAP && i % 2)
			fprintf(f, ",\"StringNotEquals\":{\"jwt:x\":\"%u\"}", i);
		fprintf(f, "}}");
	}
	fprintf(f, "]}");
	fclose(f);
	return text;
}

static double
seconds_to_load(unsigned n, enum shape shape, enum policy_linting linting)
{
	char *text = many(n, shape);
	double best = 1e9;

	for (unsigned i = 0; i < 3; i++) {
		struct findings found;
		clock_t begun = clock();
		struct policy *p = load(span_of(text), linting, &found);
		double took = (double)(clock() - begun) / CLOCKS_PER_SEC;

		CHECK(p != NULL && found.n == 0);
		policy_unref(p);
		best = took < best ? took : best;
	}
	free(text);
	return best;
}

/* Statements are not compared each with each: eight times as many take no more than twenty times as long. */
static void
test_growth(void)
{
	for (unsigned i = 0; i < SHAPES; i++) {
		enum shape shape = (enum shape)i;
		double few = seconds_to_load(1250, shape, LINTING_ENFORCED), lots = seconds_to_load(10000, shape, LINTING_ENFORCED);

		printf("  10,000 statements: %.0f ms, %.0f ms of it the linter (1,250: %.1f ms)\n", lots * 1e3,
		    (lots - seconds_to_load(10000, shape, LINTING_OFF)) * 1e3, few * 1e3);
		CHECK(lots < 20 * few + 0.05);
	}
}

int
main(void)
{
	test_files();
	test_examples();
	test_issuers();
	test_regexes();
	test_growth();
	return check_done();
}
