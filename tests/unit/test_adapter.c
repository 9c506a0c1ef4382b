/*
 * test_adapter.c - the texts of the scanner API: requests, media types, reports; which registries a scan may go to.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdlib.h>

#include "gateway/adapter/api.h"
#include "gateway/adapter/look.h"
#include "tests/unit/check.h"

#define D "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define REGISTRY "\"registry\":{\"url\":\"https://harbor\",\"authorization\":\"Basic YTpi\"}"
#define ARTIFACT "\"artifact\":{\"repository\":\"shop/app\",\"digest\":\"" D "\",\"tag\":\"v1\",\"mime_type\":\"application/x\"}"

static const struct {
	const char *name, *text;
	enum api_read wanted;
} requests[] = {
	{ "as Harbor sends it", "{" REGISTRY "," ARTIFACT "}", API_READ },
	{ "members nobody knows", "{" REGISTRY "," ARTIFACT ",\"more\":[1]}", API_READ },
	{ "neither tag, type nor authorization",
	  "{\"registry\":{\"url\":\"u\"},\"artifact\":{\"repository\":\"a\",\"digest\":\"" D "\"}}", API_READ },
	{ "vulnerabilities wanted, as 1.2 says it",
	  "{" REGISTRY "," ARTIFACT ",\"enabled_capabilities\":[{\"type\":\"vulnerability\"}]}", API_READ },
	{ "an SBOM wanted", "{" REGISTRY "," ARTIFACT ",\"enabled_capabilities\":[{\"type\":\"sbom\"}]}", API_UNPROCESSABLE },
	{ "nothing wanted", "{" REGISTRY "," ARTIFACT ",\"enabled_capabilities\":[]}", API_UNPROCESSABLE },
	{ "no JSON", "{", API_BAD },
	{ "empty", "", API_BAD },
	{ "an array", "[]", API_BAD },
	{ "a member twice", "{" REGISTRY "," REGISTRY "," ARTIFACT "}", API_BAD },
	{ "Registry beside registry", "{" REGISTRY ",\"Registry\":{\"url\":\"https://other\"}," ARTIFACT "}", API_BAD },
	{ "URL for url", "{\"registry\":{\"url\":\"u\",\"URL\":\"v\"}," ARTIFACT "}", API_BAD },
	{ "dige\\u017ft", "{" REGISTRY ",\"artifact\":{\"repository\":\"a\",\"digest\":\"" D "\",\"dige\\u017ft\":\"x\"}}", API_BAD },
	{ "no registry", "{" ARTIFACT "}", API_UNPROCESSABLE },
	{ "no artifact", "{" REGISTRY "}", API_UNPROCESSABLE },
	{ "a registry that is a string", "{\"registry\":\"https://harbor\"," ARTIFACT "}", API_UNPROCESSABLE },
	{ "no url", "{\"registry\":{}," ARTIFACT "}", API_UNPROCESSABLE },
	{ "a line break in authorization", "{\"registry\":{\"url\":\"u\",\"authorization\":\"a\\r\\nX: y\"}," ARTIFACT "}", API_UNPROCESSABLE },
	{ "a number for authorization", "{\"registry\":{\"url\":\"u\",\"authorization\":1}," ARTIFACT "}", API_UNPROCESSABLE },
	{ "a tag for the digest", "{" REGISTRY ",\"artifact\":{\"repository\":\"a\",\"digest\":\"latest\"}}", API_UNPROCESSABLE },
	{ "dots in the repository", "{" REGISTRY ",\"artifact\":{\"repository\":\"a/../b\",\"digest\":\"" D "\"}}", API_UNPROCESSABLE },
	{ "a query in the repository", "{" REGISTRY ",\"artifact\":{\"repository\":\"a?b\",\"digest\":\"" D "\"}}", API_UNPROCESSABLE },
	{ "no repository", "{" REGISTRY ",\"artifact\":{\"digest\":\"" D "\"}}", API_UNPROCESSABLE },
	{ "an index", "{" REGISTRY ",\"artifact\":{\"repository\":\"a\",\"digest\":\"" D "\",\"mime_type\":"
	  "\"application/vnd.oci.image.index.v1+json\"}}", API_UNPROCESSABLE },
	{ "a list", "{" REGISTRY ",\"artifact\":{\"repository\":\"a\",\"digest\":\"" D "\",\"mime_type\":"
	  "\"application/vnd.docker.distribution.manifest.list.v2+json\"}}", API_UNPROCESSABLE },
};

static void
test_requests(void)
{
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		struct arena *a = arena_new(65536);
		struct api_request q;
		char err[200] = "";

		CHECK_ROW(api_request_read(span_of(requests[i].text), a, &q, err, sizeof err) == requests[i].wanted, requests[i].name);
		CHECK_ROW((err[0] == '\0') == (requests[i].wanted == API_READ), requests[i].name);
		if (i == 0)
			CHECK(span_eq(q.url, SPAN("https://harbor")) && span_eq(q.authorization, SPAN("Basic YTpi")) &&
			    span_eq(q.repository, SPAN("shop/app")) && span_eq(q.digest, SPAN(D)) && span_eq(q.tag, SPAN("v1")));
		arena_free(a);
	}
}

static const struct {
	const char *header;
	bool wanted;
} accepts[] = {
	{ NULL, true }, { "", true }, { "*/*", true }, { "a/b", true }, { "A/B", true }, { "a/b; version=1.1", true }, { "a/b;version=1.1", true },
	{ "a/b; version=\"1.1\"", true }, { "a/b; version=1.0", false }, { "a/b; q=0.5; version=1.1", true }, { "c/d, a/b", true },
	{ "c/d", false }, { "a/bc", false }, { "a/b; version=1.0, a/b; version=1.1", true }, { ",", false },
};

static void
test_accepts(void)
{
	for (size_t i = 0; i < sizeof accepts / sizeof *accepts; i++)
		CHECK_ROW(api_accepts(accepts[i].header == NULL ? SPAN_NONE : span_of(accepts[i].header), SPAN("a/b"), SPAN("1.1")) ==
		    accepts[i].wanted, accepts[i].header == NULL ? "none" : accepts[i].header);
}

static json_t *
report_json(const struct api_report *r)
{
	size_t n = 0;
	char *text = api_report_text(r, "yara:4.2.3", &n);
	json_t *o = text == NULL ? NULL : json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	CHECK(text != NULL && strlen(text) == n && o != NULL);
	free(text);
	return o;
}

static const char *
string_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static void
test_report(void)
{
	struct api_report r = { .repository = "shop/app", .digest = D, .tag = "v1", .media_type = "t", .at = 1764200000 };
	struct api_finding f = { .severity = API_HIGH, .id = "TW-SECRET-yara:Key", .digest = D, .description = "a secret" };
	json_t *o = report_json(&r), *v;

	CHECK(strcmp(string_at(o, "severity"), "Negligible") == 0 && json_array_size(json_object_get(o, "vulnerabilities")) == 0);
	CHECK(strcmp(string_at(o, "generated_at"), "2025-11-26T23:33:20Z") == 0);
	CHECK(strcmp(string_at(json_object_get(o, "artifact"), "digest"), D) == 0);
	json_decref(o);
	CHECK(api_report_add(&r, &f));
	/* a name is its maker's: quotes, controls and what is no UTF-8 stay inside of the string */
	f.severity = API_CRITICAL;
	memset(f.path, '\xff', sizeof f.path - 1);
	memcpy(f.path, "\"}],\n", 5);
	CHECK(api_report_add(&r, &f));
	o = report_json(&r);
	v = json_object_get(o, "vulnerabilities");
	CHECK(strcmp(string_at(o, "severity"), "Critical") == 0 && json_array_size(v) == 2);
	CHECK(strcmp(string_at(json_array_get(v, 0), "package"), D) == 0 && strcmp(string_at(json_array_get(v, 0), "severity"), "High") == 0);
	CHECK(strncmp(string_at(json_array_get(v, 1), "package"), "\"}],\n", 5) == 0);
	json_decref(o);
	while (r.dropped < 3)
		CHECK(api_report_add(&r, &f));
	o = report_json(&r);
	v = json_object_get(o, "vulnerabilities");
	CHECK(json_array_size(v) == API_FINDINGS_MAX + 1);
	CHECK(strcmp(string_at(json_array_get(v, API_FINDINGS_MAX), "id"), "TW-MORE") == 0);
	json_decref(o);
	api_report_clear(&r);
}

static void
test_upstream(void)
{
	char all[] = "*", *patterns[] = { all }, host[] = "harbor.internal", path[] = "/reg", none[] = "", own[] = "https://gate.test:5443";
	struct config_upstream up[] = {
		{ .tls = true, .host = host, .port = 443, .path = path, .repositories = patterns, .n_repositories = 1 },
		{ .tls = false, .host = host, .port = 5000, .path = none, .repositories = patterns, .n_repositories = 1 },
	};
	struct config c = { .upstream = up, .n_upstream = 2, .external_url = own };
	static const struct {
		const char *url;
		int wanted;	/* -1: none */
	} rows[] = {
		{ "https://harbor.internal/reg", 0 }, { "https://harbor.internal:443/reg/", 0 }, { "https://HARBOR.internal/reg", 0 },
		{ "http://harbor.internal:5000", 1 }, { "https://gate.test:5443", 0 }, { "https://gate.test:5443/", 0 },
		{ "https://harbor.internal", -1 }, { "http://harbor.internal/reg", -1 }, { "https://harbor.internal:5000", -1 },
		{ "https://169.254.169.254/", -1 }, { "http://gate.test:5443", -1 }, { "https://gate.test", -1 }, { "https://gate.test:5443/x", -1 },
		{ "https://harbor.internal@evil/reg", -1 }, { "https://harbor.internal/reg?x", -1 }, { "ftp://harbor.internal/reg", -1 }, { "", -1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct config_upstream *u = look_upstream(&c, span_of(rows[i].url), SPAN("shop/app"));

		CHECK_ROW(u == (rows[i].wanted < 0 ? NULL : &up[rows[i].wanted]), rows[i].url);
	}
}

static void
test_other_texts(void)
{
	size_t n = 0;
	char *text = api_metadata_text("yara:4.2.3:sha256:\"x\"", &n);
	json_t *o = text == NULL ? NULL : json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	CHECK(strcmp(string_at(json_object_get(o, "scanner"), "version"), "yara:4.2.3:sha256:\"x\"") == 0);
	CHECK(json_array_size(json_object_get(o, "capabilities")) == 1);
	json_decref(o);
	free(text);
	text = api_error_text(SPAN("no \"such\"\nthing"), &n);
	o = text == NULL ? NULL : json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	CHECK(strcmp(string_at(json_object_get(o, "error"), "message"), "no \"such\"\nthing") == 0);
	json_decref(o);
	free(text);
}

int
main(void)
{
	test_requests();
	test_accepts();
	test_report();
	test_upstream();
	test_other_texts();
	return check_done();
}
