/*
 * test_schema.c - what is generated from the tables of the language is what the repository holds, and names every row.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/json.h"
#include "policy/layout.h"
#include "policy/query.h"
#include "policy/reference.h"
#include "policy/schema.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

static struct span
file_text(const char *path, struct arena *a)
{
	FILE *f = fopen(path, "rb");
	size_t room = (size_t)1 << 20, n;
	char *text = arena_alloc(a, room);

	if (!CHECK_ROW(f != NULL && text != NULL, path))
		return SPAN_NONE;
	n = fread(text, 1, room, f);
	fclose(f);
	return (struct span){ text, n };
}

/* ---- layout ---- */

static void
test_layout(void)
{
	static const struct {
		size_t columns;
		const char *text, *out;
	} rows[] = {
		{ 80, "{}", "{}\n" },
		{ 80, " [ ] ", "[]\n" },
		{ 80, "\"a\\\"]\"", "\"a\\\"]\"\n" },
		{ 80, "[1,2 , 3.50,\ttrue,null]", "[1, 2, 3.50, true, null]\n" },
		{ 80, "{\"a\":{\"b\":[]},\"c\":\"\\u00e4\\/\"}", "{ \"a\": { \"b\": [] }, \"c\": \"\\u00e4\\/\" }\n" },
		{ 5, "[1,2]", "[\n  1,\n  2\n]\n" },
		{ 7, "[1,2]", "[1, 2]\n" },
		{ 10, "{\"a\":[\"b\"]}", "{\n  \"a\": [\n    \"b\"\n  ]\n}\n" },
		{ 12, "[\"\xc3\xa4\xc3\xb6\xc3\xbc\", 1]", "[\"\xc3\xa4\xc3\xb6\xc3\xbc\", 1]\n" },	/* characters, not bytes */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(1 << 20);
		struct node *root = layout_read(a, span_of(rows[i].text));
		struct span out = root == NULL ? SPAN_NONE : layout_write(a, root, rows[i].columns);

		if (!CHECK_ROW(span_eq(out, span_of(rows[i].out)), rows[i].text))
			fprintf(stderr, "    got %.*s", SPAN_FMT(out));
		arena_free(a);
	}
}

/* Out of memory at any moment: none, never half of it. */
static void
test_layout_memory(void)
{
	static const char text[] = "{\"a\":[1,2,{\"b\":[]}]}";
	bool whole = false;

	for (size_t limit = 0; limit < 4096; limit += 16) {
		struct arena *a = arena_new(limit);
		struct node *root = layout_read(a, SPAN(text));
		struct span out = root == NULL ? SPAN_NONE : layout_write(a, root, 80);

		CHECK((out.p == NULL) == arena_failed(a));
		whole |= out.p != NULL;
		arena_free(a);
	}
	CHECK(whole);
}

/* ---- the schema ---- */

static void
test_schema_is_fresh(void)
{
	struct arena *a = arena_new((size_t)8 << 20);
	struct span text = schema_text(a), kept = file_text("policy/policy.schema.json", a);

	if (!CHECK(text.n > 0 && span_eq(text, kept)))
		fputs("    policy/policy.schema.json is not what the tables say: `make generated` writes it\n", stderr);
	arena_free(a);
}

static void
test_manual_is_fresh(void)
{
	static const char begin[] = "<!-- begin generated -->\n", end[] = "<!-- end generated -->";
	struct arena *a = arena_new((size_t)8 << 20);
	char *reference = policy_reference();
	const char *text = NULL;
	struct span manual = file_text("policy/MANUAL.md", a);
	const char *from, *to;

	if (manual.p != NULL)
		text = arena_dup(a, manual).p;
	from = text == NULL ? NULL : strstr(text, begin);
	to = from == NULL ? NULL : strstr(from, end);
	if (!CHECK(reference != NULL && to != NULL && span_eq(span_of(reference),
	    (struct span){ from + strlen(begin), (size_t)(to - from) - strlen(begin) })))
		fputs("    policy/MANUAL.md is not what the tables say: `make generated` writes it\n", stderr);
	/* every row, by its name and meaning */
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX && reference != NULL; k++)
		CHECK_ROW(strstr(reference, key_row((enum policy_key)k)->name) != NULL, key_row((enum policy_key)k)->name);
	for (size_t i = 0; i < operator_count && reference != NULL; i++)
		CHECK_ROW(strstr(reference, operator_rows[i].name) != NULL, operator_rows[i].name);
	for (size_t i = 0; i < claim_count && reference != NULL; i++)
		CHECK_ROW(strstr(reference, claim_rows[i].path) != NULL, claim_rows[i].path);
	for (unsigned c = LINT_NONE + 1; c < LINT_MAX && reference != NULL; c++)
		CHECK_ROW(strstr(reference, lint_row((enum lint_code)c)->code) != NULL, lint_row((enum lint_code)c)->code);
	free(reference);
	arena_free(a);
}

static json_t *
definition(json_t *schema, const char *name)
{
	return json_object_get(json_object_get(schema, "definitions"), name);
}

/* A row of a table is all that it takes: every key, operator and action is in the schema, with its meaning. */
static void
test_rows(void)
{
	json_t *schema = policy_schema(), *keys = json_object_get(definition(schema, "keys"), "properties");
	json_t *operators = json_object_get(definition(schema, "condition"), "properties");
	json_t *patterns = json_object_get(definition(schema, "keys"), "patternProperties");
	char *actions = json_dumps(definition(schema, "action"), 0);

	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);
		const char *about = json_string_value(json_object_get(json_object_get(keys, row->name), "description"));

		if (row->param == PARAM_NONE)
			CHECK_ROW(about != NULL && strstr(about, row->meaning) == about, row->name);
	}
	for (size_t i = 0; i < operator_count; i++) {
		const char *about = json_string_value(json_object_get(json_object_get(operators, operator_rows[i].name), "description"));

		CHECK_ROW(about != NULL && strcmp(about, operator_rows[i].meaning) == 0, operator_rows[i].name);
	}
	for (unsigned i = ACTION_NONE + 1; i < ACTION_MAX; i++)
		CHECK_ROW(strstr(actions, policy_action_name((enum policy_action)i)) != NULL, policy_action_name((enum policy_action)i));
	CHECK(json_object_size(patterns) == 1 && json_object_get(operators, "NullIfExists") == NULL);
	CHECK(json_object_get(operators, "ForAnyValue:StringLikeIfExists") != NULL);
	CHECK(json_object_get(operators, "ForAnyValue:TimeWindow") == NULL);	/* no key of several local times */
	free(actions);
	json_decref(schema);
}

/* ---- a key is a row ---- */

static void
no_problem(void *ctx, const struct policy_finding *f)
{
	(void)ctx;
	CHECK_ROW(f->reason == NULL, f->reason);
}

/* What a key of this type may be, and an operator that holds for it. */
static const char *const values[][2] = {
	[TYPE_STRING] = { "StringEquals", "x" },
	[TYPE_NUMBER] = { "NumericEquals", "7" },
	[TYPE_BOOL] = { "Bool", "true" },
	[TYPE_IP] = { "IpAddress", "192.0.2.1" },
	[TYPE_DATE] = { "DateEquals", "2026-12-01T00:00:00Z" },
	[TYPE_VERSION] = { "VersionEquals", "1.2" },
	[TYPE_LOCAL] = { "TimeWindow", "Mon-Sun" },
	[TYPE_ANY] = { "StringEquals", "x" },
};
static const char *const params[] = { [PARAM_NONE] = "", [PARAM_CLAIM] = "x.y", [PARAM_NAME] = "a b", [PARAM_ZONE] = "UTC",
	[PARAM_WINDOW] = "1h" };

/* Every row of key.def: statements may ask for it, and requests that have it, lack it or do not know it are told apart. */
static void
test_keys_are_rows(void)
{
	static const char text[] = "{\"Version\":\"2026-11-01\",\"Zones\":{\"x\":\"10.0.0.0/8\"},\"Statement\":["
	    "{\"Sid\":\"S\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\","
	    "\"Resource\":\"*\",\"Condition\":{\"%s%s\":{\"%s%s\":\"%s\"}}}]}";
	static const struct span ids[] = { { "anonymous", 9 } };
	const struct policy_names names = { .fetch = reads_fetch, .linting = LINTING_OFF };
	unsigned asked = 0;

	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);
		const char *const *v = values[row->type];
		struct arena *a = arena_new(1 << 16);
		bool many = row->cardinality == CARDINALITY_MANY;
		struct span document = arena_printf(a, text, many ? "ForAnyValue:" : "", v[0], row->name, params[row->param], v[1]);
		struct policy_source source = { row->name, document };
		struct policy *p = policy_load(&source, 1, &names, no_problem, NULL);
		struct span value[] = { span_of(params[row->param]), span_of(v[1]) };
		struct fact facts[KEY_MAX] = { 0 };
		struct identity who = { .type = PRINCIPAL_ANONYMOUS, .ids = ids, .n_ids = 1 };
		struct policy_request r = { .action = ACTION_PullManifest, .upstream = SPAN("up"), .repository = SPAN("a"),
			.who = &who, .now = 1796122800, .facts = facts };
		struct decision d;

		/* those that the engine knows itself have tests of their own */
		if (p != NULL && k != KEY_JWT && k != KEY_NET_ZONE && k != KEY_TIME_NOW && row->param != PARAM_ZONE &&
		    strncmp(row->name, "principal:", 10) != 0) {
			policy_decide(p, &r, &d);
			CHECK_ROW(d.verdict == VERDICT_DENY && key_set_has(&d.missing, (enum policy_key)k), row->name);
			facts[k].state = FACT_UNKNOWN;
			policy_decide(p, &r, &d);
			CHECK_ROW(d.verdict == VERDICT_DENY && key_set_has(&d.unknowns, (enum policy_key)k), row->name);
			facts[k] = (struct fact){ FACT_PRESENT, value[1], row->param != PARAM_NONE ? value : value + 1,
				row->param != PARAM_NONE ? 2 : many, false, 0 };
			policy_decide(p, &r, &d);
			CHECK_ROW(d.verdict == VERDICT_ALLOW, row->name);
			asked++;
		}
		policy_unref(p);
		arena_free(a);
	}
	CHECK(asked > 50);
}

int
main(void)
{
	test_layout();
	test_layout_memory();
	test_schema_is_fresh();
	test_manual_is_fresh();
	test_rows();
	test_keys_are_rows();
	return check_done();
}
