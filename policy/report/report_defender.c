/*
 * report_defender.c - pages of Azure Resource Graph with what Defender for Cloud knows of an image in an ACR.
 *
 * Two shapes of rows: sub-assessments (one vulnerability each), which Microsoft retired in July 2026, and the individual
 * recommendations that came in their place (one package each, with its CVEs). Sources: Microsoft Learn, "Container vulnerability
 * assessments REST API" and "Transition from grouped to individual recommendations in Defender for Cloud". The two write the
 * names of members in different case, and lists as JSON or as texts of JSON: both are taken.
 *
 * A row can prove an image bad whatever registry it names: its digest is its content. That it is good is said only by a row
 * about this image that is Healthy. No row says nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

#include <strings.h>

static const char *const page_keys[] = { "data", "totalRecords", "resultTruncated", "$skipToken", "error" };
enum { AT_DATA, AT_TOTAL, AT_TRUNCATED, AT_NEXT, AT_ERROR };

struct asked {
	struct span registry, repository, digest;
};

struct page {
	struct report_reader part;
	struct asked asked;
	bool truncated, has_data;
	struct span error;
};

/* ---- members, in whatever case ---- */

/* NULL: absent, null, or `o` is no object. Two spellings of one name: *twice. */
static const json_t *
member(struct report_reader *p, const json_t *o, const char *name)
{
	const json_t *found = NULL, *v;
	const char *key;
	bool twice = false;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		if (strcasecmp(key, name) != 0)
			continue;
		twice |= found != NULL;
		found = v;
	}
	if (twice)
		(void)part_fail(p, REPORT_FAILED, "a row has %s in two spellings", name);
	return json_is_null(found) ? NULL : found;
}

/* An empty span: no text there. */
static struct span
text_of(struct report_reader *p, const json_t *o, const char *name)
{
	const json_t *v = member(p, o, name);
	struct span s = { json_string_value(v), json_string_length(v) };

	if (!json_is_string(v))
		return SPAN("");
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return SPAN("");
	return s;
}

/* A member that is JSON, or a text of JSON: a reference. NULL: neither. */
static json_t *
parsed(struct report_reader *p, const json_t *o, const char *name)
{
	const json_t *v = member(p, o, name);
	char err[JSON_ERROR_TEXT_LENGTH + 64];

	if (json_is_string(v))
		return json_strict((struct span){ json_string_value(v), json_string_length(v) }, PART_DEPTH, err, sizeof err, NULL);
	return json_incref((json_t *)(uintptr_t)v);
}

static struct span
either(struct span a, struct span b)
{
	return a.n > 0 ? a : b;
}

static bool
keep(struct report_reader *p, struct span s, struct span *out)
{
	*out = arena_dup(p->arena, s);
	return out->p != NULL;
}

/* ---- a row ---- */

/* Is this row about the image, and of this registry as far as it says? */
static bool
is_here(const struct page *g, struct span registry, struct span repository)
{
	return (registry.n == 0 || span_eq_nocase(registry, g->asked.registry)) &&
	    (repository.n == 0 || span_eq(repository, g->asked.repository));
}

static void
note_time(struct report_reader *p, const json_t *properties)
{
	int64_t at = part_time(member(p, properties, "timeGenerated"));

	if (at > p->out->at)
		p->out->at = at;
}

/* The best of {"3.0":{"base":7.5}}; an older CVSS only when there is no other. */
static int
score_by_version(struct report_reader *p, const json_t *cvss)
{
	const json_t *v;
	const char *key;
	int best = -1, older = -1;

	json_object_foreach((json_t *)(uintptr_t)cvss, key, v) {
		int *to = key[0] == '2' ? &older : &best, score = part_score(member(p, v, "base"));

		if (score > *to)
			*to = score;
	}
	return best >= 0 ? best : older;
}

/* [{"Key":"3","Value":{"Base":7.1}}] */
static int
score_of_list(struct report_reader *p, const json_t *list)
{
	const json_t *v;
	int best = -1, older = -1;
	size_t i;

	json_array_foreach(list, i, v) {
		int *to = span_starts(text_of(p, v, "Key"), SPAN("2")) ? &older : &best;
		int score = part_score(member(p, member(p, v, "Value"), "Base"));

		if (score > *to)
			*to = score;
	}
	return best >= 0 ? best : older;
}

static struct span
fix_of(struct span version, struct span status)
{
	return version.n > 0 ? version : span_eq_nocase(status, SPAN("FixAvailable")) ? SPAN("yes") : SPAN("");
}

static bool
read_sub_assessment(struct page *g, const json_t *properties, bool healthy)
{
	struct report_reader *p = &g->part;
	const json_t *more = member(p, properties, "additionalData"), *artifact = member(p, more, "artifactDetails");
	const json_t *details = member(p, more, "vulnerabilityDetails"), *software = member(p, more, "softwareDetails");
	struct report_finding f = { 0 };

	if (!span_eq(text_of(p, artifact, "digest"), g->asked.digest))
		return true;
	note_time(p, properties);
	if (healthy) {
		p->out->healthy |= is_here(g, text_of(p, artifact, "registryHost"), text_of(p, artifact, "repositoryName"));
		return true;
	}
	f.score = score_by_version(p, member(p, details, "cvss"));
	if (f.score < 0)
		f.score = part_score(member(p, more, "cvssV30Score"));
	f.score = f.score < 0 ? -1 : f.score;
	f.severity = part_severity(either(text_of(p, details, "severity"), text_of(p, member(p, properties, "status"), "severity")));
	if (!keep(p, either(either(text_of(p, properties, "id"), text_of(p, details, "cveId")), text_of(p, properties, "displayName")), &f.id) ||
	    !keep(p, text_of(p, software, "packageName"), &f.package) || !keep(p, text_of(p, software, "version"), &f.version) ||
	    !keep(p, fix_of(text_of(p, software, "fixedVersion"), text_of(p, software, "fixStatus")), &f.fix))
		return false;
	if (f.id.n == 0)
		return part_fail(p, REPORT_FAILED, "a row has no CVE");
	return part_add(p, &f);
}

static bool
read_cves(struct report_reader *p, const json_t *properties, const json_t *more, const json_t *cves)
{
	struct span severity = either(text_of(p, member(p, properties, "metadata"), "severity"),
	    text_of(p, member(p, properties, "status"), "severity"));
	struct report_finding f = { .score = -1 };
	const json_t *v;
	size_t i;

	if (!keep(p, text_of(p, more, "SoftwareName"), &f.package) || !keep(p, text_of(p, more, "DetectedSoftwareVersions"), &f.version))
		return false;
	json_array_foreach(cves, i, v) {
		f.score = score_of_list(p, member(p, v, "Cvss"));
		f.severity = part_severity(text_of(p, v, "Severity"));
		if (f.severity == REPORT_UNKNOWN && f.score < 0)
			f.severity = part_severity(severity);
		if (!keep(p, text_of(p, v, "CveId"), &f.id) ||
		    !keep(p, fix_of(either(text_of(p, v, "FixedVersion"), text_of(p, more, "FixedVersion")),
				 either(text_of(p, v, "FixStatus"), text_of(p, more, "FixStatus"))), &f.fix))
			return false;
		if (f.id.n == 0)
			return part_fail(p, REPORT_FAILED, "a row lists a CVE without its name");
		if (!part_add(p, &f))
			return false;
	}
	if (json_array_size(cves) > 0)
		return true;
	/* bad for a reason that it does not name: that counts all the same */
	f.severity = part_severity(severity);
	if (!keep(p, either(text_of(p, properties, "displayName"), SPAN("Defender")), &f.id))
		return false;
	return part_add(p, &f);
}

static bool
read_recommendation(struct page *g, const json_t *properties, bool healthy)
{
	struct report_reader *p = &g->part;
	const json_t *more = member(p, properties, "additionalData");
	json_t *image = parsed(p, properties, "resourceAdditionalData"), *cves = parsed(p, more, "CvesDetails");
	const json_t *repository = member(p, image, "RepositoryDetails");
	struct span category = text_of(p, member(p, properties, "metadata"), "recommendationCategory");
	bool ok = true;

	if (span_eq(text_of(p, image, "Digest"), g->asked.digest) && (category.n == 0 || span_eq_nocase(category, SPAN("SoftwareUpdate")))) {
		note_time(p, properties);
		if (healthy)
			p->out->healthy |= is_here(g, text_of(p, repository, "RegistryHost"), text_of(p, repository, "RepositoryName"));
		else
			ok = read_cves(p, properties, more, cves);
	}
	json_decref(image);
	json_decref(cves);
	return ok;
}

static bool
read_row(struct page *g, const json_t *row)
{
	struct report_reader *p = &g->part;
	const json_t *properties = member(p, row, "properties");
	struct span type = text_of(p, row, "type");
	bool healthy = span_eq_nocase(text_of(p, member(p, properties, "status"), "code"), SPAN("Healthy"));

	p->out->passed_over++;
	if (!json_is_object(properties))
		return part_fail(p, REPORT_FAILED, "a row has no properties");
	if (span_eq_nocase(type, SPAN("microsoft.security/assessments/subassessments")))
		return read_sub_assessment(g, properties, healthy);
	if (span_eq_nocase(type, SPAN("microsoft.security/assessments")))
		return read_recommendation(g, properties, healthy);
	return part_fail(p, REPORT_FAILED, "a row is of type \"%.*s\"", (int)(type.n > 60 ? 60 : type.n), type.p);
}

/* ---- a page ---- */

static bool
read_rows(struct page *g, struct span text)
{
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;

	g->has_data = true;
	if (!json_walk_open(&w, text, '['))
		return part_fail(&g->part, REPORT_FAILED, "data is no list of objects");
	while (json_walk_next(&w, key, &value)) {
		json_t *row = part_value(&g->part, value, "a row");
		bool ok = row != NULL && read_row(g, row) && g->part.out->why[0] == '\0';

		json_decref(row);
		if (!ok)
			return false;
	}
	return part_end(&g->part, &w, "data");
}

static bool
read_member(struct page *g, int which, const char *key, struct span value)
{
	struct report_reader *p = &g->part;
	json_t *v;
	bool ok = true;

	if (which == AT_DATA)
		return read_rows(g, value);
	v = part_value(p, value, key);
	if (v == NULL)
		return false;
	if (which == AT_TOTAL)
		p->out->told = json_integer_value(v);
	else if (which == AT_TRUNCATED)
		g->truncated = json_is_true(v) || span_eq_nocase((struct span){ json_string_value(v), json_string_length(v) }, SPAN("true"));
	else if (which == AT_NEXT && json_is_string(v))
		ok = keep(p, (struct span){ json_string_value(v), json_string_length(v) }, &p->out->next);
	else if (which == AT_ERROR)
		ok = keep(p, either(json_span(v, "code"), SPAN("an error")), &g->error);
	json_decref(v);
	return ok;
}

static bool
judge(struct page *g)
{
	struct report_reader *p = &g->part;
	struct report *out = p->out;

	if (g->error.n > 0)
		return part_fail(p, REPORT_FAILED, "Azure answered %.*s", (int)(g->error.n > 80 ? 80 : g->error.n), g->error.p);
	if (!g->has_data)
		return part_fail(p, REPORT_FAILED, "there is no data");
	out->scanner = SPAN("Microsoft Defender");
	out->status = REPORT_HERE;
	if (out->next.n > 0)
		return true;
	if (g->truncated || out->told > (int64_t)out->passed_over)
		return part_fail(p, REPORT_FAILED, "Azure left rows out: %lld, of which %zu came", (long long)out->told, out->passed_over);
	if (out->n == 0 && !out->healthy)
		return part_fail(p, REPORT_ABSENT, "Defender has no row about it, which says nothing");
	memcpy(out->digest, g->asked.digest.p, g->asked.digest.n < sizeof out->digest ? g->asked.digest.n : 0);
	return true;
}

bool
report_read_defender(struct span text, struct span registry, struct span repository, const char *digest, struct arena *a,
    struct report *out)
{
	struct page g = { .part = { .arena = a, .out = out }, .asked = { registry, repository, span_of(digest) } };
	struct report_reader *p = &g.part;
	char key[JSON_WALK_KEY];
	struct json_walk w;
	struct span value;
	uint32_t seen = 0;
	bool ok = true;

	out->next = SPAN_NONE;
	out->why[0] = '\0';
	if (text.n > REPORT_TEXT_MAX || !json_walk_open(&w, text, '{')) {
		(void)part_fail(p, REPORT_FAILED, "it is no JSON object, or larger than %zu bytes", REPORT_TEXT_MAX);
		return part_done(p);
	}
	while (ok && json_walk_next(&w, key, &value)) {
		int which = part_member(p, key, value, page_keys, PART_COUNT(page_keys), &seen);

		ok = which != -2 && (which < 0 || read_member(&g, which, key, value));
	}
	if (ok && part_end(p, &w, "the page"))
		(void)judge(&g);
	return part_done(p);
}
