/*
 * sarif.c - findings as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code scanning.
 * One run; every code of lint.def is a rule, every finding a result with its line and, as logical location, its Sid.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/commands/policy/tool.h"

#define SCHEMA "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

static json_t *
rules(void)
{
	json_t *list = json_array();

	for (unsigned c = LINT_NONE + 1; c < LINT_MAX; c++) {
		const struct lint_row *row = lint_row((enum lint_code)c);

		json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}", "id", row->code, "shortDescription",
		    "text", row->title, "fullDescription", "text", row->title, "help", "text", row->fix, "defaultConfiguration", "level",
		    severity_name(row->severity)));
	}
	return list;
}

static json_int_t
rule_index(const char *code)
{
	for (unsigned c = LINT_NONE + 1; c < LINT_MAX; c++)
		if (strcmp(lint_row((enum lint_code)c)->code, code) == 0)
			return (json_int_t)c - 1;
	return -1;
}

/* A path as a URI reference, RFC 3986: what is not unreserved is written as its bytes. */
static json_t *
uri(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", hex[] = "0123456789ABCDEF";
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	json_t *s;

	if (out == NULL)
		return NULL;
	if (path[0] == '/')
		fputs("file://", out);
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	for (; *path != '\0'; path++) {
		unsigned char c = (unsigned char)*path;

		if (strchr(plain, c) != NULL)
			fputc(c, out);
		else
			fprintf(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
	}
	s = fclose(out) == 0 ? json_string(text) : NULL;
	free(text);
	return s;
}

static json_t *
result(const json_t *finding)
{
	const char *code = NULL, *severity = NULL, *file = NULL, *sid = NULL, *reason = NULL, *fix = NULL;
	json_t *o, *location;
	int line = 1;

	if (json_unpack((json_t *)(uintptr_t)finding, "{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "code", &code, "severity", &severity, "file", &file,
		"line", &line, "sid", &sid, "reason", &reason, "fix", &fix) != 0)
		return NULL;
	location = json_pack("{s:{s:{s:o}, s:{s:i}}}", "physicalLocation", "artifactLocation", "uri", uri(file), "region", "startLine", line);
	if (sid[0] != '\0')
		json_object_set_new(location, "logicalLocations",
		    json_pack("[{s:s, s:s, s:s}]", "name", sid, "fullyQualifiedName", sid, "kind", "object"));
	o = json_pack("{s:s, s:I, s:s, s:o, s:[o]}", "ruleId", code, "ruleIndex", rule_index(code), "level", severity, "message",
	    json_pack("{s:o}", "text", json_sprintf("%s; %s", reason, fix)), "locations", location);
	return o;
}

json_t *
sarif_new(const json_t *findings)
{
	json_t *results = json_array(), *finding;
	bool ok = results != NULL;
	size_t i;

	json_array_foreach (findings, i, finding)
		ok = json_array_append_new(results, result(finding)) == 0 && ok;
	if (!ok) {
		json_decref(results);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:o}]}", "$schema", SCHEMA, "version", "2.1.0", "runs", "tool", "driver",
	    "name", "tidewaiter", "version", TW_VERSION, "rules", rules(), "results", results);
}
