/*
 * report_ecr.c - pages of Amazon ECR's DescribeImageScanFindings, of basic scanning and of Amazon Inspector's.
 *
 * Source: Amazon ECR API reference: DescribeImageScanFindings, ImageScanStatus, ImageScanFinding, EnhancedImageScanFinding.
 * Usable are COMPLETE (basic) and ACTIVE (enhanced, continuous); whatever else ECR says, there is no verdict.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

static const char *const page_keys[] = { "imageId", "imageScanFindings", "imageScanStatus", "nextToken", "__type" };
enum { AT_IMAGE, AT_FINDINGS, AT_STATUS, AT_NEXT, AT_ERROR };
static const char *const findings_keys[] = { "findings", "enhancedFindings", "findingSeverityCounts", "imageScanCompletedAt",
	"vulnerabilitySourceUpdatedAt" };
enum { IN_BASIC, IN_ENHANCED, IN_COUNTS, IN_COMPLETED, IN_SOURCE };
static const char *const basic_keys[] = { "name", "severity", "attributes" };
static const char *const attribute_keys[] = { "key", "value" };
static const char *const enhanced_keys[] = { "severity", "status", "score", "packageVulnerabilityDetails", "fixAvailable", "findingArn",
	"title", "type" };
static const char *const details_keys[] = { "vulnerabilityId", "vulnerablePackages", "cvss" };
static const char *const package_keys[] = { "name", "version", "fixedInVersion" };
static const char *const status_keys[] = { "status", "description" };

static const struct {
	struct span word;
	enum report_status status;
} statuses[] = {
	{ { "COMPLETE", 8 }, REPORT_HERE },
	{ { "ACTIVE", 6 }, REPORT_HERE },
	{ { "IN_PROGRESS", 11 }, REPORT_PENDING },
	{ { "PENDING", 7 }, REPORT_PENDING },
	{ { "UNSUPPORTED_IMAGE", 17 }, REPORT_UNSUPPORTED },
	{ { "SCAN_ELIGIBILITY_EXPIRED", 24 }, REPORT_ABSENT },
	{ { "FINDINGS_UNAVAILABLE", 20 }, REPORT_ABSENT },
	{ { "IMAGE_ARCHIVED", 14 }, REPORT_ABSENT },
	{ { "FAILED", 6 }, REPORT_FAILED },
	{ { "LIMIT_EXCEEDED", 14 }, REPORT_FAILED },
};

struct page {
	uint32_t seen, lists;		/* members of the page, of imageScanFindings */
	enum report_status status;
	struct span word, description;
	int64_t completed, source;
	struct span error;
};

/* ---- one finding ---- */

static bool
read_attribute(struct report_reader *p, const json_t *o, struct report_finding *f, int *older)
{
	struct span key, value;

	if (!part_is_object(p, o, "an attribute", attribute_keys, PART_COUNT(attribute_keys)) || !part_text(p, o, "key", &key) ||
	    !part_text(p, o, "value", &value))
		return false;
	if (span_eq_nocase(key, SPAN("package_name")))
		f->package = value;
	else if (span_eq_nocase(key, SPAN("package_version")))
		f->version = value;
	else if (span_eq_nocase(key, SPAN("patched_versions")) || span_eq_nocase(key, SPAN("fixed_version")))
		f->fix = value;
	else if (span_eq_nocase(key, SPAN("CVSS3_SCORE")) || span_eq_nocase(key, SPAN("CVSS4_SCORE")))
		f->score = part_score(json_object_get(o, "value")) > f->score ? part_score(json_object_get(o, "value")) : f->score;
	else if (span_eq_nocase(key, SPAN("CVSS2_SCORE")))
		*older = part_score(json_object_get(o, "value"));
	return true;
}

static bool
read_basic(struct report_reader *p, const json_t *o)
{
	struct report_finding f = { .score = -1 };
	const json_t *attributes = json_object_get(o, "attributes"), *v;
	struct span severity;
	int older = -1;
	size_t i;

	if (!part_is_object(p, o, "a finding", basic_keys, PART_COUNT(basic_keys)) || !part_text(p, o, "name", &f.id) ||
	    !part_text(p, o, "severity", &severity))
		return false;
	if (attributes != NULL && !json_is_null(attributes) && !json_is_array(attributes))
		return part_fail(p, REPORT_FAILED, "attributes are no list");
	json_array_foreach(attributes, i, v)
		if (!read_attribute(p, v, &f, &older))
			return false;
	if (f.id.n == 0)
		return part_fail(p, REPORT_FAILED, "a finding has no name");
	if (f.score < 0)
		f.score = older < 0 ? -1 : older;
	f.severity = part_severity(severity);
	return part_add(p, &f);
}

/* All packages of a finding by name: "libssl3,openssl"; a version only of a single one. */
static bool
read_packages(struct report_reader *p, const json_t *packages, struct report_finding *f)
{
	const json_t *o;
	size_t i;

	if (packages == NULL || json_is_null(packages))
		return true;
	if (!json_is_array(packages))
		return part_fail(p, REPORT_FAILED, "vulnerablePackages is no list");
	json_array_foreach(packages, i, o) {
		struct span name, version, fix;

		if (!part_is_object(p, o, "a package", package_keys, PART_COUNT(package_keys)) || !part_text(p, o, "name", &name) ||
		    !part_text(p, o, "version", &version) || !part_text(p, o, "fixedInVersion", &fix) ||
		    !part_join(p, &f->package, name, ","))
			return false;
		f->version = json_array_size(packages) == 1 ? version : SPAN("");
		if (fix.n > 0 && !span_eq_nocase(fix, SPAN("NotAvailable")))
			f->fix = fix;
	}
	return true;
}

static bool
read_enhanced(struct report_reader *p, const json_t *o)
{
	struct report_finding f = { .score = -1 };
	const json_t *details = json_object_get(o, "packageVulnerabilityDetails");
	struct span severity, status, fix;

	if (!part_is_object(p, o, "a finding", enhanced_keys, PART_COUNT(enhanced_keys)) || !part_text(p, o, "severity", &severity) ||
	    !part_text(p, o, "status", &status) || !part_text(p, o, "fixAvailable", &fix))
		return false;
	if (span_eq_nocase(status, SPAN("CLOSED"))) {
		p->out->passed_over++;	/* it is not so any more; a SUPPRESSED one still is */
		return true;
	}
	f.score = part_score(json_object_get(o, "score"));
	if (f.score == -2)
		return part_fail(p, REPORT_FAILED, "a score is none from 0 to 10");
	if (details != NULL && !json_is_null(details)) {
		if (!part_is_object(p, details, "packageVulnerabilityDetails", details_keys, PART_COUNT(details_keys)) ||
		    !part_text(p, details, "vulnerabilityId", &f.id) || !read_packages(p, json_object_get(details, "vulnerablePackages"), &f))
			return false;
	}
	/* findings that are about no package have a title only */
	if (f.id.n == 0 && !part_text(p, o, "title", &f.id))
		return false;
	if (f.id.n == 0)
		return part_fail(p, REPORT_FAILED, "a finding has no vulnerabilityId");
	if (f.fix.n == 0 && (span_eq_nocase(fix, SPAN("YES")) || span_eq_nocase(fix, SPAN("PARTIAL"))))
		f.fix = SPAN("yes");
	f.severity = part_severity(severity);
	return part_add(p, &f);
}

static bool
read_list(struct report_reader *p, struct span text, bool enhanced)
{
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	if (span_eq(text, SPAN("null")))
		return true;
	if (!json_walk_open(&w, text, '['))
		return part_fail(p, REPORT_FAILED, "findings are no list");
	while (json_walk_next(&w, key, &value)) {
		json_t *o = part_value(p, value, "a finding");
		bool ok = o != NULL && (enhanced ? read_enhanced(p, o) : read_basic(p, o));

		json_decref(o);
		if (!ok)
			return false;
	}
	return part_end(p, &w, "findings");
}

/* ---- a page ---- */

/* How many there are in all, whatever is listed. */
static bool
read_severity_counts(struct report_reader *p, const json_t *o)
{
	int64_t sum = 0;
	const char *key;
	const json_t *v;

	if (json_is_null(o))
		return true;
	if (!json_is_object(o))
		return part_fail(p, REPORT_FAILED, "findingSeverityCounts is no object");
	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
			return part_fail(p, REPORT_FAILED, "findingSeverityCounts: %s is no count", key);
		sum += json_integer_value(v);
	}
	p->out->told = sum > p->out->told ? sum : p->out->told;
	return true;
}

static bool
read_findings(struct report_reader *p, struct span text, struct page *page)
{
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	if (span_eq(text, SPAN("null")))
		return true;
	if (!json_walk_open(&w, text, '{'))
		return part_fail(p, REPORT_FAILED, "imageScanFindings is no object");
	while (json_walk_next(&w, key, &value)) {
		int which = part_member(p, key, value, findings_keys, PART_COUNT(findings_keys), &page->lists);
		json_t *v;
		bool ok = true;

		if (which == -2)
			return false;
		if (which == IN_BASIC || which == IN_ENHANCED) {
			if (!read_list(p, value, which == IN_ENHANCED))
				return false;
			continue;
		}
		if (which == -1)
			continue;
		v = part_value(p, value, key);
		if (v != NULL && which == IN_COUNTS)
			ok = read_severity_counts(p, v);
		else if (which == IN_COMPLETED)
			page->completed = part_time(v);
		else if (which == IN_SOURCE)
			page->source = part_time(v);
		ok = ok && v != NULL;
		json_decref(v);
		if (!ok)
			return false;
	}
	return part_end(p, &w, "imageScanFindings");
}

static bool
read_status(struct report_reader *p, const json_t *o, struct page *page)
{
	if (!part_is_object(p, o, "imageScanStatus", status_keys, PART_COUNT(status_keys)) || !part_text(p, o, "status", &page->word) ||
	    !part_text(p, o, "description", &page->description))
		return false;
	for (size_t i = 0; i < PART_COUNT(statuses); i++)
		if (span_eq(page->word, statuses[i].word))
			page->status = statuses[i].status;
	return true;
}

static bool
read_member(struct report_reader *p, int which, const char *key, struct span value, struct page *page)
{
	json_t *v;
	bool ok = true;

	if (which == AT_FINDINGS)
		return read_findings(p, value, page);
	v = part_value(p, value, key);
	if (v == NULL)
		return false;
	switch (which) {
	case AT_IMAGE:
		ok = part_digest(p, json_span(v, "imageDigest"));
		break;
	case AT_STATUS:
		ok = read_status(p, v, page);
		break;
	case AT_NEXT:
	case AT_ERROR: {
		struct span *to = which == AT_NEXT ? &p->out->next : &page->error;

		ok = json_is_string(v) || json_is_null(v) || part_fail(p, REPORT_FAILED, "%s is no text", key);
		if (ok && json_is_string(v)) {
			*to = arena_dup(p->arena, (struct span){ json_string_value(v), json_string_length(v) });
			ok = to->p != NULL;
		}
		break;
	}
	}
	json_decref(v);
	return ok;
}

/* "com.amazonaws.ecr#ScanNotFoundException" and the like. */
static bool
judge_error(struct report_reader *p, struct span error)
{
	const char *hash = memchr(error.p, '#', error.n);

	if (hash != NULL)
		error = span_skip(error, (size_t)(hash - error.p) + 1);
	return part_fail(p, span_eq(error, SPAN("ScanNotFoundException")) ? REPORT_ABSENT : REPORT_FAILED, "ECR answered %.*s",
	    (int)(error.n > 100 ? 100 : error.n), error.p);
}

static bool
judge(struct report_reader *p, const struct page *page)
{
	struct report *out = p->out;
	uint32_t lists = 1u << IN_BASIC | 1u << IN_ENHANCED | 1u << IN_COUNTS;

	if (page->error.n > 0)
		return judge_error(p, page->error);
	if (page->status != REPORT_HERE)
		return part_fail(p, page->status, "ECR's scan is %.*s%s%.*s", (int)(page->word.n > 40 ? 40 : page->word.n),
		    page->word.n > 0 ? page->word.p : "", page->description.n > 0 ? ": " : "",
		    (int)(page->description.n > 100 ? 100 : page->description.n), page->description.n > 0 ? page->description.p : "");
	if ((page->lists & lists) == 0)
		return part_fail(p, REPORT_FAILED, "ECR says %.*s, and lists nothing", SPAN_FMT(page->word));
	if (out->at == 0)
		out->at = page->completed > 0 ? page->completed : page->source;
	if (out->database.n == 0 && page->source > 0)
		out->database = arena_printf(p->arena, "%lld", (long long)page->source);
	out->scanner = span_eq(page->word, SPAN("ACTIVE")) ? SPAN("Amazon Inspector") : SPAN("Amazon ECR");
	if (out->next.n == 0 && out->told > (int64_t)(out->n + out->passed_over))
		return part_fail(p, REPORT_FAILED, "ECR counts %lld findings, and lists %zu", (long long)out->told, out->n + out->passed_over);
	out->status = REPORT_HERE;
	return true;
}

static bool
read_page(struct report_reader *p, struct span text)
{
	struct page page = { .status = REPORT_FAILED };
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	p->out->next = SPAN_NONE;
	if (!json_walk_open(&w, text, '{'))
		return part_fail(p, REPORT_FAILED, "it is no JSON object");
	while (json_walk_next(&w, key, &value)) {
		int which = part_member(p, key, value, page_keys, PART_COUNT(page_keys), &page.seen);

		if (which == -2 || (which >= 0 && !read_member(p, which, key, value, &page)))
			return false;
	}
	return part_end(p, &w, "the page") && judge(p, &page);
}

bool
report_read_ecr(struct span text, struct arena *a, struct report *out)
{
	struct report_reader p = { .arena = a, .out = out };

	if (text.n > REPORT_TEXT_MAX)
		(void)part_fail(&p, REPORT_FAILED, "it is larger than %zu bytes", REPORT_TEXT_MAX);
	else
		(void)read_page(&p, text);
	return part_done(&p);
}
