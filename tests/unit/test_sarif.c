/*
 * test_sarif.c - `policy check --sarif`: what the schema of SARIF 2.1.0 requires of a log, and that nothing is lost.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/commands/policy/tool.h"
#include "tests/unit/check.h"

static const char *
text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

/* Of paths with what a URI may not hold. */
static json_t *
findings(void)
{
	static const struct {
		const char *code, *severity, *file, *sid, *uri;
		int line;
	} rows[] = {
		{ "E108", "error", "policies/p.json", "OldDocker", "policies/p.json", 12 },
		{ "W201", "warning", "./a b/%1:#?.json", "", "a%20b/%251%3A%23%3F.json", 3 },
		{ "E100", "error", "/etc/tidewaiter/p\xc3\xa4.json", "", "file:///etc/tidewaiter/p%C3%A4.json", 1 },
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "code", rows[i].code, "severity",
		    rows[i].severity, "file", rows[i].file, "line", rows[i].line, "sid", rows[i].sid, "reason", "why", "fix", "what to do", "uri",
		    rows[i].uri));
	return list;
}

/* section 3.49: reportingDescriptor */
static void
check_rules(const json_t *rules)
{
	CHECK(json_array_size(rules) == LINT_MAX - 1);
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		const char *id = text_at(rule, "id");
		const char *level = text_at(json_object_get(rule, "defaultConfiguration"), "level");

		CHECK_ROW(strlen(id) == 4, id);
		CHECK_ROW(strcmp(level, id[0] == 'E' ? "error" : "warning") == 0, id);
		CHECK_ROW(text_at(json_object_get(rule, "shortDescription"), "text")[0] != '\0', id);
		CHECK_ROW(text_at(json_object_get(rule, "help"), "text")[0] != '\0', id);
		for (size_t k = 0; k < i; k++)
			CHECK_ROW(strcmp(text_at(json_array_get(rules, k), "id"), id) != 0, id);
	}
}

/* sections 3.27, 3.28 and 3.29: result, location, physicalLocation */
static void
check_result(const json_t *result, const json_t *finding, const json_t *rules)
{
	const char *code = text_at(finding, "code"), *sid = text_at(finding, "sid");
	size_t index = (size_t)json_integer_value(json_object_get(result, "ruleIndex"));
	const json_t *location = json_array_get(json_object_get(result, "locations"), 0);
	const json_t *physical = json_object_get(location, "physicalLocation");
	const json_t *logical = json_object_get(location, "logicalLocations");

	CHECK_ROW(strcmp(text_at(result, "ruleId"), code) == 0, code);
	CHECK_ROW(strcmp(text_at(json_array_get(rules, index), "id"), code) == 0, code);
	CHECK_ROW(strcmp(text_at(result, "level"), text_at(finding, "severity")) == 0, code);
	CHECK_ROW(strcmp(text_at(json_object_get(result, "message"), "text"), "why; what to do") == 0, code);
	CHECK_ROW(json_array_size(json_object_get(result, "locations")) == 1, code);
	CHECK_ROW(strcmp(text_at(json_object_get(physical, "artifactLocation"), "uri"), text_at(finding, "uri")) == 0, code);
	CHECK_ROW(json_equal(json_object_get(json_object_get(physical, "region"), "startLine"), json_object_get(finding, "line")), code);
	CHECK_ROW(sid[0] == '\0' ? logical == NULL : strcmp(text_at(json_array_get(logical, 0), "name"), sid) == 0, code);
}

int
main(void)
{
	json_t *list = findings(), *none = json_array(), *log = sarif_new(list), *empty = sarif_new(none), *finding;
	const json_t *run = json_array_get(json_object_get(log, "runs"), 0);
	const json_t *driver = json_object_get(json_object_get(run, "tool"), "driver");
	const json_t *results = json_object_get(run, "results");
	size_t i;

	/* sections 3.13, 3.14, 3.18 and 3.19: sarifLog, run, tool, toolComponent */
	CHECK(strcmp(text_at(log, "version"), "2.1.0") == 0 && strstr(text_at(log, "$schema"), "sarif-schema-2.1.0.json") != NULL);
	CHECK(json_array_size(json_object_get(log, "runs")) == 1 && strcmp(text_at(driver, "name"), "tidewaiter") == 0);
	check_rules(json_object_get(driver, "rules"));
	CHECK(json_array_size(results) == json_array_size(list));
	json_array_foreach (list, i, finding)
		check_result(json_array_get(results, i), finding, json_object_get(driver, "rules"));
	/* nothing found is a result, too: it closes what was found before */
	results = json_object_get(json_array_get(json_object_get(empty, "runs"), 0), "results");
	CHECK(json_is_array(results) && json_array_size(results) == 0);
	json_decref(list);
	json_decref(none);
	json_decref(log);
	json_decref(empty);
	return check_done();
}
