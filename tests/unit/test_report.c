/*
 * test_report.c - tests/reports/: each row is a document of a source (or its pages), what does not count, and what policy is told.
 *
 * A row: name, reader, text (JSON as it is, or a string: bytes) or pages; status and why (a part of it); exceptions, vex, kev; image,
 * digest, now; facts: a text, a list, null for absent, "?" for unknown. What is told must be the same after report_save().
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report.h"

#include <glob.h>
#include <stdlib.h>
#include <time.h>

#include "policy/key.h"
#include "policy/scalar.h"
#include "tests/unit/check.h"

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char *const statuses[] = { "failed", "pending", "absent", "unsupported", "here" };

static const char *
text_of(const json_t *o, const char *key, const char *otherwise)
{
	const json_t *v = json_object_get(o, key);

	return v == NULL ? otherwise : json_string_value(v);
}

/* A string as it is, JSON as text. NULL: neither. */
static char *
bytes_of(const json_t *v)
{
	return v == NULL ? NULL : json_is_string(v) ? strdup(json_string_value(v)) : json_dumps(v, JSON_COMPACT);
}

static bool
read_page(const json_t *row, const json_t *page, struct arena *a, struct report *r)
{
	const char *reader = text_of(row, "reader", "");
	char *text = bytes_of(page);
	struct span s = span_of(text);
	bool ok;

	if (strcmp(reader, "adapter") == 0)
		ok = report_read_adapter(s, a, r);
	else if (strcmp(reader, "harbor") == 0)
		ok = report_read_harbor(s, a, r);
	else if (strcmp(reader, "ecr") == 0)
		ok = report_read_ecr(s, a, r);
	else
		ok = report_read_defender(s, SPAN("shop.azurecr.io"), SPAN("shop/app"), text_of(row, "digest", DIGEST), a, r);
	free(text);
	return ok;
}

static bool
fact_is(const struct fact *f, const json_t *want)
{
	if (json_is_null(want))
		return f->state == FACT_ABSENT;
	if (json_is_string(want) && strcmp(json_string_value(want), "?") == 0)
		return f->state == FACT_UNKNOWN;
	if (f->state != FACT_PRESENT)
		return false;
	if (json_is_string(want))
		return span_eq(f->value, span_of(json_string_value(want)));
	if (json_array_size(want) != f->n_values)
		return false;
	for (size_t i = 0; i < f->n_values; i++)
		if (!span_eq(f->values[i], span_of(json_string_value(json_array_get(want, i)))))
			return false;
	return true;
}

static void
check_facts(const json_t *row, const struct exemptions *e, const struct report *r, struct arena *a, const char *name)
{
	struct fact *facts = arena_zalloc(a, KEY_MAX, sizeof *facts);
	const struct report *list[] = { r };
	struct number now = { 0 };
	const json_t *want;
	const char *key;
	char label[256];

	CHECK_ROW(date_parse(span_of(text_of(row, "now", "2026-11-27T12:00:00Z")), &now), name);
	CHECK_ROW(report_tell(list, 1, e, span_of(text_of(row, "image", "acr/shop/app")), text_of(row, "digest", DIGEST), now.whole,
		a, facts), name);
	json_object_foreach(json_object_get(row, "facts"), key, want) {
		const struct fact *f = &facts[key_find(span_of(key))];

		snprintf(label, sizeof label, "%s: %s is %.*s (state %d)", name, key, SPAN_FMT(f->value), (int)f->state);
		CHECK_ROW(fact_is(f, want), label);
	}
}

static struct exemptions *
exemptions_of(const json_t *row, const char *name)
{
	const json_t *x = json_object_get(row, "exceptions"), *vex = json_object_get(row, "vex"), *kev = json_object_get(row, "kev");
	struct exemptions_source sources[8];
	char *texts[8] = { bytes_of(x), bytes_of(kev) }, err[1024];
	size_t n = 2;
	struct exemptions *e;

	for (; n - 2 < json_array_size(vex) && n < 8; n++)
		texts[n] = bytes_of(json_array_get(vex, n - 2));
	for (size_t i = 0; i < n; i++)
		sources[i] = (struct exemptions_source){ i == 0 ? "exceptions.json" : i == 1 ? "kev.json" : "vex.json", span_of(texts[i]) };
	e = exemptions_new(x != NULL ? &sources[0] : NULL, sources + 2, n - 2, kev != NULL ? &sources[1] : NULL, err, sizeof err);
	if (json_object_get(row, "problem") == NULL) {
		if (!CHECK_ROW(e != NULL, name))
			fprintf(stderr, "    %s\n", err);
	} else if (!CHECK_ROW(e == NULL && strcmp(err, text_of(row, "problem", "")) == 0, name)) {
		fprintf(stderr, "    %s\n", err);
	}
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	return e;
}

static void
check_kept(const json_t *row, const struct exemptions *e, const struct report *r, const char *name)
{
	struct arena *a = arena_new(REPORT_ARENA);
	json_t *kept = report_save(r), *again;
	struct report back;

	if (CHECK_ROW(kept != NULL && report_load(kept, a, &back), name)) {
		check_facts(row, e, &back, a, name);
		again = report_save(&back);
		CHECK_ROW(json_equal(kept, again), name);
		CHECK_ROW(back.status == r->status && strcmp(back.why, r->why) == 0 && strcmp(back.digest, r->digest) == 0, name);
		json_decref(again);
	}
	json_decref(kept);
	arena_free(a);
}

static void
check_row(const json_t *row)
{
	const char *name = text_of(row, "name", "?");
	const json_t *pages = json_object_get(row, "pages"), *page;
	struct arena *a = arena_new(REPORT_ARENA);
	struct report r = { 0 };
	struct exemptions *e = exemptions_of(row, name);
	char label[512];
	size_t i;

	if (json_object_get(row, "text") != NULL)
		CHECK_ROW(read_page(row, json_object_get(row, "text"), a, &r), name);
	json_array_foreach(pages, i, page)
		CHECK_ROW(read_page(row, page, a, &r), name);
	snprintf(label, sizeof label, "%s: status %s: %s", name, statuses[r.status], r.why);
	if (json_object_get(row, "status") != NULL) {
		CHECK_ROW(strcmp(statuses[r.status], text_of(row, "status", "")) == 0, label);
		CHECK_ROW(strstr(r.why, text_of(row, "why", "")) != NULL, label);
		CHECK_ROW((r.why[0] == '\0') == (r.status == REPORT_HERE), label);
	}
	if (json_object_get(row, "problem") == NULL) {
		check_facts(row, e, &r, a, name);
		check_kept(row, e, &r, name);
	}
	exemptions_free(e);
	arena_free(a);
}

static void
check_files(void)
{
	glob_t files;

	if (!CHECK(glob("tests/reports/*.json", 0, NULL, &files) == 0))
		return;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		json_error_t err;
		json_t *rows = json_load_file(files.gl_pathv[i], JSON_REJECT_DUPLICATES, &err), *row;
		size_t k;

		if (!CHECK_ROW(json_array_size(rows) > 0, files.gl_pathv[i]))
			fprintf(stderr, "    line %d: %s\n", err.line, err.text);
		json_array_foreach(rows, k, row)
			check_row(row);
		json_decref(rows);
	}
	globfree(&files);
}

/* ---- many ---- */

#define ROW \
	"{\"id\":\"CVE-2026-%zu\",\"package\":\"openssl\",\"version\":\"3.0.1\",\"fix_version\":\"3.0.2\",\"severity\":\"%s\"," \
	"\"description\":\"%0*d\"}"

static char *
long_report(size_t n, int padding, size_t *size)
{
	static const char *const words[] = { "Critical", "High", "Medium", "Low" };
	size_t room = n * (200 + (size_t)padding) + 100, at = 0;
	char *text = malloc(room);

	at += (size_t)snprintf(text, room, "{\"generated_at\":\"2026-11-27T11:00:00Z\",\"vulnerabilities\":[");
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, room - at, "%s" ROW, i > 0 ? "," : "", i, words[i % 4], padding, 7);
	at += (size_t)snprintf(text + at, room - at, "]}");
	*size = at;
	return text;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Counted right up to the bound, and refused behind it; 50 MB. */
static void
check_many(void)
{
	struct fact *facts = calloc(KEY_MAX, sizeof *facts);

	for (size_t n = REPORT_FINDINGS_MAX; n <= REPORT_FINDINGS_MAX + 1; n++) {
		struct arena *a = arena_new(REPORT_ARENA), *b = arena_new(REPORT_ARENA), *c = arena_new(REPORT_ARENA);
		struct report r, back;
		const struct report *list[] = { &back };
		size_t size;
		char *text = long_report(n, 130, &size);
		double start = seconds(), read;
		json_t *kept;

		CHECK(size > 50000000 && size < REPORT_TEXT_MAX);
		CHECK(report_read_adapter((struct span){ text, size }, a, &r));
		read = seconds() - start;
		free(text);
		if (n > REPORT_FINDINGS_MAX) {
			CHECK(r.status == REPORT_FAILED && strstr(r.why, "more than 200000 findings") != NULL && r.n == 0);
		} else if (CHECK(r.status == REPORT_HERE && r.n == n)) {
			printf("a report of %.0f MB, %zu findings: %.2f s, arena %.0f MB\n", (double)size / 1e6, n, read, (double)arena_used(a) / 1e6);
			kept = report_save(&r);
			CHECK(kept != NULL && report_load(kept, b, &back));
			json_decref(kept);
			CHECK(report_tell(list, 1, NULL, SPAN("a/b"), DIGEST, 1795777200, c, facts));
			CHECK(span_eq(facts[KEY_SCAN_CRITICAL].value, SPAN("50000")) && facts[KEY_SCAN_CVES].n_values == n);
		}
		arena_free(a);
		arena_free(b);
		arena_free(c);
	}
	free(facts);
}

/* Several reports: the largest counts, lists united, the oldest age; one that is not here makes all unknown. */
static void
check_several(void)
{
	struct arena *a = arena_new(REPORT_ARENA);
	struct report_finding one[] = { { SPAN("CVE-1"), SPAN("a"), SPAN("1"), SPAN("2"), REPORT_CRITICAL, 98 },
		{ SPAN("CVE-2"), SPAN("b"), SPAN("1"), SPAN(""), REPORT_HIGH, -1 } };
	struct report_finding two[] = { { SPAN("CVE-2"), SPAN("b"), SPAN("1"), SPAN(""), REPORT_HIGH, 70 },
		{ SPAN("CVE-3"), SPAN("b"), SPAN("1"), SPAN(""), REPORT_HIGH, 71 } };
	struct report r[3] = { { .status = REPORT_HERE, .scanner = SPAN("A 1"), .at = 7200, .finding = one, .n = 2 },
		{ .status = REPORT_HERE, .scanner = SPAN("B 1"), .at = 3600, .finding = two, .n = 2 }, { .status = REPORT_ABSENT } };
	const struct report *list[] = { &r[0], &r[1], &r[2] };
	struct fact *f = arena_zalloc(a, KEY_MAX, sizeof *f);

	CHECK(report_tell(list, 2, NULL, SPAN("a/b"), DIGEST, 10800, a, f));
	CHECK(span_eq(f[KEY_SCAN_CRITICAL].value, SPAN("1")) && span_eq(f[KEY_SCAN_HIGH].value, SPAN("2")));
	CHECK(span_eq(f[KEY_SCAN_AGE_HOURS].value, SPAN("2")) && span_eq(f[KEY_SCAN_MAX_CVSS].value, SPAN("9.8")));
	CHECK(f[KEY_SCAN_CVES].n_values == 3 && f[KEY_SCAN_SCANNER].n_values == 2 && f[KEY_SCAN_KEV_COUNT].state == FACT_UNKNOWN);
	CHECK(report_tell(list, 3, NULL, SPAN("a/b"), DIGEST, 10800, a, f));
	CHECK(f[KEY_SCAN_CRITICAL].state == FACT_UNKNOWN && f[KEY_SCAN_CVES].state == FACT_UNKNOWN);
	CHECK(report_tell(list, 0, NULL, SPAN("a/b"), DIGEST, 10800, a, f));
	CHECK(f[KEY_SCAN_CRITICAL].state == FACT_UNKNOWN);
	/* the clock of a scanner: a little ahead is now, more is no time */
	r[0].at = 10800 + 60;
	CHECK(report_tell(list, 1, NULL, SPAN("a/b"), DIGEST, 10800, a, f) && span_eq(f[KEY_SCAN_AGE_HOURS].value, SPAN("0")));
	r[0].at = 10800 + 86400;
	CHECK(report_tell(list, 1, NULL, SPAN("a/b"), DIGEST, 10800, a, f) && f[KEY_SCAN_AGE_HOURS].state == FACT_UNKNOWN);
	arena_free(a);
}

/* An arena of any size: never more than asked for, and false with all rows unknown. */
static void
check_memory(void)
{
	size_t size;
	char *text = long_report(200, 1, &size);
	unsigned refused = 0;

	for (size_t limit = 64; limit < 200000; limit += limit / 8 + 64) {
		struct arena *a = arena_new(limit), *b = arena_new(limit);
		struct report r;
		const struct report *list[] = { &r };
		struct fact *facts = calloc(KEY_MAX, sizeof *facts);

		if (!report_read_adapter((struct span){ text, size }, a, &r)) {
			CHECK(r.status == REPORT_FAILED && r.n == 0);
			refused++;
		} else if (!report_tell(list, 1, NULL, SPAN("a/b"), DIGEST, 1795777200, b, facts)) {
			CHECK(facts[KEY_SCAN_CRITICAL].state == FACT_UNKNOWN);
			refused++;
		}
		free(facts);
		arena_free(a);
		arena_free(b);
	}
	CHECK(refused > 10);
	free(text);
}

static void
check_hash(void)
{
	struct exemptions_source x = { "x", SPAN("{\"exceptions\":[]}") }, y = { "x", SPAN("{\"exceptions\": []}") };
	char err[256];
	struct exemptions *a = exemptions_new(&x, NULL, 0, NULL, err, sizeof err), *b = exemptions_new(&y, NULL, 0, NULL, err, sizeof err),
			  *c = exemptions_new(NULL, NULL, 0, NULL, err, sizeof err);

	if (CHECK(a != NULL && b != NULL && c != NULL))
		CHECK(strcmp(exemptions_hash(a), exemptions_hash(b)) != 0 && strcmp(exemptions_hash(a), exemptions_hash(c)) != 0);
	exemptions_free(a);
	exemptions_free(b);
	exemptions_free(c);
}

int
main(void)
{
	check_files();
	check_several();
	check_many();
	check_memory();
	check_hash();
	return check_done();
}
