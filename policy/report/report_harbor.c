/*
 * report_harbor.c - Harbor's own knowledge: an artifact asked for with_scan_overview, which counts, and its
 * additions/vulnerabilities, which lists.
 *
 * Source: Harbor's api/v2.0/swagger.yaml (Artifact, NativeReportSummary, VulnerabilitySummary).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

#define ADDITIONS_MAX 8u	/* reports of one artifact */

static const char *const artifact_keys[] = { "digest", "scan_overview" };
static const char *const native_keys[] = { "scan_status", "severity", "summary", "start_time", "end_time", "scanner" };
static const char *const summary_keys[] = { "total", "fixable", "summary" };
static const char *const severity_keys[] = { "Critical", "High", "Medium", "Low", "Negligible", "Unknown", "None" };
static const char *const scanner_keys[] = { "name", "vendor", "version" };

static bool
is_report_type(const char *key)
{
	return strncmp(key, "application/vnd.security.vulnerability.report", 45) == 0 ||
	    strncmp(key, "application/vnd.scanner.adapter.vuln.report.harbor+json", 55) == 0;
}

/* ---- counts ---- */

/* False: no count. Absent is 0. */
static bool
read_count(const json_t *o, const char *name, int64_t *out)
{
	const json_t *v = json_object_get(o, name);

	*out = v == NULL || json_is_null(v) ? 0 : json_integer_value(v);
	return (v == NULL || json_is_null(v) || json_is_integer(v)) && *out >= 0 && *out <= INT32_MAX;
}

static bool
read_counts(struct report_reader *p, const json_t *summary)
{
	struct report *out = p->out;
	const json_t *by = json_object_get(summary, "summary"), *v;
	int64_t total, fixable, sum = 0, n;
	const char *key;

	if (!part_is_object(p, summary, "summary", summary_keys, PART_COUNT(summary_keys)))
		return false;
	if (!json_is_integer(json_object_get(summary, "total")) || !read_count(summary, "total", &total) ||
	    !read_count(summary, "fixable", &fixable))
		return part_fail(p, REPORT_FAILED, "summary: total or fixable is no count");
	if (by != NULL && !json_is_null(by)) {
		if (!part_is_object(p, by, "summary", severity_keys, PART_COUNT(severity_keys)))
			return false;
		json_object_foreach((json_t *)(uintptr_t)by, key, v) {
			enum report_severity s = strcmp(key, "None") == 0 ? REPORT_NEGLIGIBLE : part_severity(span_of(key));

			if (!read_count(by, key, &n))
				return part_fail(p, REPORT_FAILED, "summary: %s is no count", key);
			out->counts[s] += n;
			sum += n;
		}
	}
	/* what is not told by severity is of none that is known */
	if (sum < total)
		out->counts[REPORT_UNKNOWN] += total - sum;
	/* of fixable ones only their number is told */
	out->fixable_critical = out->counts[REPORT_CRITICAL] + out->counts[REPORT_UNKNOWN] == 0 || fixable == 0 ? 0 : -1;
	return true;
}

/* ---- an overview ---- */

static enum report_status
status_of(struct span s)
{
	if (span_eq_nocase(s, SPAN("Success")))
		return REPORT_HERE;
	if (span_eq_nocase(s, SPAN("Running")) || span_eq_nocase(s, SPAN("Pending")) || span_eq_nocase(s, SPAN("Scheduled")))
		return REPORT_PENDING;
	return span_eq_nocase(s, SPAN("NotScanned")) || span_eq_nocase(s, SPAN("Not Scanned")) ? REPORT_ABSENT : REPORT_FAILED;
}

static bool
read_summary(struct report_reader *p, const json_t *o)
{
	const json_t *scanner = json_object_get(o, "scanner");
	struct span name, version;

	p->out->counts_only = true;
	p->out->at = part_time(json_object_get(o, "end_time"));
	if (!json_is_object(json_object_get(o, "summary")))
		return part_fail(p, REPORT_FAILED, "a scan with success, and no summary");
	if (!read_counts(p, json_object_get(o, "summary")))
		return false;
	if (scanner == NULL || json_is_null(scanner))
		return true;
	if (!part_is_object(p, scanner, "scanner", scanner_keys, PART_COUNT(scanner_keys)) || !part_text(p, scanner, "name", &name) ||
	    !part_text(p, scanner, "version", &version))
		return false;
	p->out->scanner = arena_printf(p->arena, "%.*s%s%.*s", SPAN_FMT(name), version.n > 0 ? " " : "", SPAN_FMT(version));
	return p->out->scanner.p != NULL;
}

/* Of several that came to an end the last; without one what gives most hope. */
static bool
read_overview(struct report_reader *p, const json_t *overview)
{
	const json_t *best = NULL, *o;
	enum report_status best_status = REPORT_ABSENT;
	struct span word = SPAN("NotScanned");
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)overview, key, o) {
		enum report_status status;

		if (!is_report_type(key))
			continue;
		if (!part_is_object(p, o, "scan_overview", native_keys, PART_COUNT(native_keys)))
			return false;
		status = status_of(json_span(o, "scan_status"));
		if (status == REPORT_HERE && best_status == REPORT_HERE &&
		    part_time(json_object_get(o, "end_time")) <= part_time(json_object_get(best, "end_time")))
			continue;
		if (best == NULL || status == REPORT_HERE || (status == REPORT_PENDING && best_status != REPORT_HERE)) {
			best = o;
			best_status = status;
			word = json_span(o, "scan_status");
		}
	}
	if (best != NULL && best_status == REPORT_HERE) {
		if (!read_summary(p, best))
			return false;
		p->out->status = REPORT_HERE;
		return true;
	}
	return part_fail(p, best_status, "Harbor's scan is \"%.*s\"", (int)(word.n > 40 ? 40 : word.n), word.p == NULL ? "" : word.p);
}

static bool
read_artifact(struct report_reader *p, struct span text)
{
	json_t *o = part_object(p, text, "the artifact", artifact_keys, PART_COUNT(artifact_keys));
	const json_t *overview = json_object_get(o, "scan_overview");
	bool ok = o != NULL && part_digest(p, json_span(o, "digest"));

	if (ok && json_span(o, "digest").n == 0)
		ok = part_fail(p, REPORT_FAILED, "it is neither an artifact nor a report");
	else if (ok && (overview == NULL || json_is_null(overview)))
		ok = part_fail(p, REPORT_ABSENT, "Harbor has not scanned it");
	else if (ok && !json_is_object(overview))
		ok = part_fail(p, REPORT_FAILED, "scan_overview is no object");
	else if (ok)
		ok = read_overview(p, overview);
	json_decref(o);
	return ok;
}

/* ---- additions/vulnerabilities ---- */

/* An object of reports by their types: the one that was made last. */
static bool
read_additions(struct report_reader *p, struct span text)
{
	struct report found = { 0 };
	char key[JSON_WALK_KEY], types[ADDITIONS_MAX][JSON_WALK_KEY];
	struct json_walk w;
	struct span value;
	unsigned n = 0;

	if (!json_walk_open(&w, text, '{'))
		return part_fail(p, REPORT_FAILED, "it is no JSON object");
	while (json_walk_next(&w, key, &value)) {
		if (!part_plain_name(p, key))
			return false;
		if (!is_report_type(key))
			return part_fail(p, REPORT_FAILED, "\"%s\" stands among reports", key);
		for (unsigned i = 0; i < n; i++)
			if (strcmp(types[i], key) == 0)
				return part_fail(p, REPORT_FAILED, "\"%s\" is there twice", key);
		if (n == ADDITIONS_MAX)
			return part_fail(p, REPORT_FAILED, "more than %u reports", ADDITIONS_MAX);
		memcpy(types[n++], key, sizeof key);
		*p->out = (struct report){ 0 };
		if (!part_adapter_report(p, value))
			return false;
		if (found.status != REPORT_HERE || p->out->at > found.at)
			found = *p->out;
	}
	*p->out = found;
	if (!part_end(p, &w, "the reports"))
		return false;
	return n > 0 || part_fail(p, REPORT_ABSENT, "Harbor has no report");
}

/* Does the object hold reports by type? Said by its first member. */
static bool
is_additions(struct span text)
{
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	return json_walk_open(&w, text, '{') && (!json_walk_next(&w, key, &value) ? w.over : is_report_type(key));
}

bool
report_read_harbor(struct span text, struct arena *a, struct report *out)
{
	struct report_reader p = { .arena = a, .out = out };

	*out = (struct report){ 0 };
	if (text.n > REPORT_TEXT_MAX)
		(void)part_fail(&p, REPORT_FAILED, "it is larger than %zu bytes", REPORT_TEXT_MAX);
	else if (is_additions(text))
		(void)read_additions(&p, text);
	else
		(void)read_artifact(&p, text);
	return part_done(&p);
}
