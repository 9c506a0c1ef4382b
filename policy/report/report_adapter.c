/*
 * report_adapter.c - reports of Harbor's Pluggable Scanner API: vnd.security.vulnerability.report 1.1 and
 * vnd.scanner.adapter.vuln.report.harbor+json 1.0, which differ in nothing that is read here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

static const char *const report_keys[] = { "generated_at", "artifact", "scanner", "severity", "vulnerabilities" };
enum { AT_GENERATED, AT_ARTIFACT, AT_SCANNER, AT_SEVERITY, AT_LIST };
static const char *const finding_keys[] = { "id", "package", "version", "fix_version", "severity", "preferred_cvss" };
static const char *const cvss_keys[] = { "score_v3", "score_v2" };
static const char *const artifact_keys[] = { "repository", "digest" };
static const char *const scanner_keys[] = { "name", "vendor", "version" };

/* What a report has beside its list. */
struct beside {
	uint32_t seen;
	bool no_list;			/* null */
	enum report_severity overall;
};

static bool
read_cvss(struct report_reader *p, const json_t *o, int *score)
{
	const json_t *v = json_object_get(o, "preferred_cvss");

	*score = -1;
	if (v == NULL || json_is_null(v))
		return true;
	if (!part_is_object(p, v, "preferred_cvss", cvss_keys, PART_COUNT(cvss_keys)))
		return false;
	*score = part_score(json_object_get(v, "score_v3"));
	if (*score == -1)
		*score = part_score(json_object_get(v, "score_v2"));
	return *score != -2 || part_fail(p, REPORT_FAILED, "a CVSS score is none from 0 to 10");
}

static bool
read_finding(struct report_reader *p, const json_t *o)
{
	struct report_finding f = { 0 };
	struct span severity;

	if (!part_is_object(p, o, "a vulnerability", finding_keys, PART_COUNT(finding_keys)) || !part_text(p, o, "id", &f.id) ||
	    !part_text(p, o, "package", &f.package) || !part_text(p, o, "version", &f.version) ||
	    !part_text(p, o, "fix_version", &f.fix) || !part_text(p, o, "severity", &severity) || !read_cvss(p, o, &f.score))
		return false;
	if (f.id.n == 0)
		return part_fail(p, REPORT_FAILED, "a vulnerability has no id");
	f.severity = part_severity(severity);
	return part_add(p, &f);
}

static bool
read_list(struct report_reader *p, struct span text, struct beside *b)
{
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	b->no_list = span_eq(text, SPAN("null"));
	if (b->no_list)
		return true;
	if (!json_walk_open(&w, text, '['))
		return part_fail(p, REPORT_FAILED, "vulnerabilities is no list");
	while (json_walk_next(&w, key, &value)) {
		json_t *o = part_value(p, value, "a vulnerability");
		bool ok = o != NULL && read_finding(p, o);

		json_decref(o);
		if (!ok)
			return false;
	}
	return part_end(p, &w, "vulnerabilities");
}

static bool
read_scanner(struct report_reader *p, const json_t *o)
{
	struct span name, version;

	if (!part_is_object(p, o, "scanner", scanner_keys, PART_COUNT(scanner_keys)) || !part_text(p, o, "name", &name) ||
	    !part_text(p, o, "version", &version))
		return false;
	p->out->scanner = arena_printf(p->arena, "%.*s%s%.*s", SPAN_FMT(name), version.n > 0 ? " " : "", SPAN_FMT(version));
	return p->out->scanner.p != NULL;
}

static bool
read_member(struct report_reader *p, int which, const json_t *v, struct beside *b)
{
	switch (which) {
	case AT_GENERATED:
		p->out->at = part_time(v);
		return true;
	case AT_ARTIFACT:
		return part_is_object(p, v, "artifact", artifact_keys, PART_COUNT(artifact_keys)) && part_digest(p, json_span(v, "digest"));
	case AT_SCANNER:
		return read_scanner(p, v);
	default:
		b->overall = part_severity((struct span){ json_string_value(v), json_string_length(v) });
		return json_is_string(v) || json_is_null(v) || part_fail(p, REPORT_FAILED, "severity is no text");
	}
}

/* Is what was read a report? */
static bool
judge(struct report_reader *p, const struct beside *b)
{
	uint32_t whole = 1u << AT_GENERATED | 1u << AT_ARTIFACT | 1u << AT_SCANNER;

	if ((b->seen >> AT_LIST & 1u) == 0)
		return part_fail(p, REPORT_FAILED, "there is no list of vulnerabilities");
	/* Go writes an empty list as null: taken for one in a report that is complete but for that */
	if (b->no_list && (b->seen & whole) != whole)
		return part_fail(p, REPORT_FAILED, "vulnerabilities is null in a report that is not complete");
	if (p->out->n == 0 && b->overall >= REPORT_LOW)
		return part_fail(p, REPORT_FAILED, "it rates the image, and lists nothing");
	p->out->status = REPORT_HERE;
	return true;
}

bool
part_adapter_report(struct report_reader *p, struct span text)
{
	struct beside b = { 0 };
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	if (!json_walk_open(&w, text, '{'))
		return part_fail(p, REPORT_FAILED, "it is no JSON object");
	while (json_walk_next(&w, key, &value)) {
		int which = part_member(p, key, value, report_keys, PART_COUNT(report_keys), &b.seen);
		json_t *v;
		bool ok;

		if (which == -2)
			return false;
		if (which == -1)
			continue;
		if (which == AT_LIST) {
			if (!read_list(p, value, &b))
				return false;
			continue;
		}
		v = part_value(p, value, key);
		ok = v != NULL && read_member(p, which, v, &b);
		json_decref(v);
		if (!ok)
			return false;
	}
	return part_end(p, &w, "the report") && judge(p, &b);
}

bool
report_read_adapter(struct span text, struct arena *a, struct report *out)
{
	struct report_reader p = { .arena = a, .out = out };

	*out = (struct report){ 0 };
	if (text.n > REPORT_TEXT_MAX)
		(void)part_fail(&p, REPORT_FAILED, "it is larger than %zu bytes", REPORT_TEXT_MAX);
	else
		(void)part_adapter_report(&p, text);
	return part_done(&p);
}
