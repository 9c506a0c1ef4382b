/*
 * api.c - scan requests read strictly; reports, metadata and errors written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/adapter/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/json.h"
#include "policy/json_write.h"
#include "policy/manifest.h"

#define AUTHORIZATION_MAX 16384u
#define TEXT_MAX	  2048u		/* of an entry of a report, with its escapes, beside the path */
#define ENTRY_MAX	  (TEXT_MAX + 6 * 2 * sizeof ((struct api_finding *)0)->path)

/* ---- what is asked ---- */

static bool
members_known(const json_t *o, const char *const *known, size_t n)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
		if (json_key_is_variant(key, known, n))
			return false;
	return true;
}

static bool
is_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool
is_digest(struct span s)
{
	if (s.n != 71 || !span_starts(s, SPAN("sha256:")))
		return false;
	for (size_t i = 7; i < s.n; i++)
		if (!is_hex(s.p[i]))
			return false;
	return true;
}

/* Path components of the distribution spec: lower case, and nothing that a URL reads in its own way. */
static bool
is_repository(struct span s)
{
	bool begins = true;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!word && (begins || (c != '.' && c != '_' && c != '-' && c != '/')))
			return false;
		begins = c == '/';
	}
	return s.n > 0 && s.n < 256 && !begins;
}

/* A member that is a string, or absent: "". False: it is something else. */
static bool
text_of(const json_t *o, const char *key, struct arena *a, size_t max, struct span *out)
{
	const json_t *v = json_object_get(o, key);
	struct span s = v == NULL ? SPAN("") : json_span(o, key);

	*out = SPAN("");
	if (s.p == NULL || s.n > max || !is_printable(s))
		return false;
	*out = arena_dup(a, s);
	return out->p != NULL;
}

static bool
is_index(struct span type)
{
	return span_eq(type, SPAN("application/vnd.oci.image.index.v1+json")) ||
	    span_eq(type, SPAN("application/vnd.docker.distribution.manifest.list.v2+json"));
}

/* Version 1.2 of the API: only this kind of report is made here. */
static bool
wants_vulnerabilities(const json_t *root)
{
	const json_t *list = json_object_get(root, "enabled_capabilities"), *one;
	size_t i;

	if (list == NULL || json_is_null(list))
		return true;
	json_array_foreach(list, i, one)
		if (!span_eq(json_span(one, "type"), SPAN("vulnerability")))
			return false;
	return json_array_size(list) > 0;
}

/* What Go's reader would take for another value. */
static bool
is_ambiguous(const json_t *root)
{
	static const char *const top[] = { "registry", "artifact", "enabled_capabilities" }, *const of_registry[] = { "url", "authorization" },
	    *const of_artifact[] = { "repository", "digest", "tag", "mime_type" };
	const json_t *registry = json_object_get(root, "registry"), *artifact = json_object_get(root, "artifact");

	return !members_known(root, top, 3) || !members_known(registry, of_registry, 2) || !members_known(artifact, of_artifact, 4);
}

static const char *
read_members(const json_t *root, struct arena *a, struct api_request *out)
{
	const json_t *registry = json_object_get(root, "registry"), *artifact = json_object_get(root, "artifact");

	if (!json_is_object(registry) || !json_is_object(artifact))
		return "registry and artifact must be objects";
	if (!text_of(registry, "url", a, 2048, &out->url) || out->url.n == 0)
		return "registry.url is not a URL";
	if (!text_of(registry, "authorization", a, AUTHORIZATION_MAX, &out->authorization))
		return "registry.authorization is not a value of Authorization";
	if (!text_of(artifact, "repository", a, 255, &out->repository) || !is_repository(out->repository))
		return "artifact.repository is not a repository";
	if (!text_of(artifact, "digest", a, 71, &out->digest) || !is_digest(out->digest))
		return "artifact.digest is not a sha256 digest";
	if (!text_of(artifact, "tag", a, 300, &out->tag))
		return "artifact.tag is not a tag";
	if (!text_of(artifact, "mime_type", a, 127, &out->media_type))
		return "artifact.mime_type is not a media type";
	if (is_index(out->media_type))
		return "an index is not scanned itself: its manifests are";
	return wants_vulnerabilities(root) ? NULL : "enabled_capabilities: only vulnerability reports are made here";
}

enum api_read
api_request_read(struct span body, struct arena *a, struct api_request *out, char *err, size_t err_size)
{
	json_t *root = json_strict(body, 8, err, err_size, NULL);
	const char *why;

	memset(out, 0, sizeof *out);
	if (root == NULL)
		return API_BAD;
	if (!json_is_object(root) || is_ambiguous(root)) {
		json_decref(root);
		snprintf(err, err_size, "must be an object, whose members differ from the known ones in more than case");
		return API_BAD;
	}
	why = read_members(root, a, out);
	json_decref(root);
	if (why != NULL)
		snprintf(err, err_size, "%s", why);
	return why == NULL ? API_READ : API_UNPROCESSABLE;
}

/* ---- media types ---- */

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* What stands before the first `c`; *rest is what stands behind it, or has p == NULL. */
static struct span
before(struct span s, char c, struct span *rest)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	*rest = at == NULL ? SPAN_NONE : span_skip(s, (size_t)(at - s.p) + 1);
	return trimmed(at == NULL ? s : (struct span){ s.p, (size_t)(at - s.p) });
}

static bool
version_fits(struct span parameters, struct span version)
{
	struct span rest, one;

	for (; parameters.p != NULL; parameters = rest) {
		one = before(parameters, ';', &rest);
		if (one.n < 8 || !span_eq_nocase((struct span){ one.p, 8 }, SPAN("version=")))
			continue;
		one = span_skip(one, 8);
		if (one.n >= 2 && one.p[0] == '"' && one.p[one.n - 1] == '"')
			one = (struct span){ one.p + 1, one.n - 2 };
		if (!span_eq(one, version))
			return false;
	}
	return true;
}

bool
api_accepts(struct span header, struct span type, struct span version)
{
	struct span rest, parameters, name, item;

	if (header.p == NULL || trimmed(header).n == 0)
		return true;
	for (; header.p != NULL; header = rest) {
		item = before(header, ',', &rest);
		name = before(item, ';', &parameters);
		if (span_eq(name, SPAN("*/*")) || (span_eq_nocase(name, type) && version_fits(parameters, version)))
			return true;
	}
	return false;
}

/* ---- reports ---- */

bool
api_report_add(struct api_report *r, const struct api_finding *f)
{
	if (r->n_findings == API_FINDINGS_MAX) {
		r->dropped++;
		return true;
	}
	if (r->n_findings == r->room) {
		size_t room = r->room == 0 ? 8 : r->room * 2;
		struct api_finding *more = realloc(r->finding, room * sizeof *more);

		if (more == NULL)
			return false;
		r->finding = more;
		r->room = room;
	}
	r->finding[r->n_findings++] = *f;
	return true;
}

void
api_report_clear(struct api_report *r)
{
	free(r->finding);
	memset(r, 0, sizeof *r);
}

static void
member(struct json_writer *w, const char *key, const char *value)
{
	json_write_key(w, key);
	json_write_text(w, span_of(value), API_REPORT_MAX);
}

static const char *
severity_name(enum api_severity s)
{
	switch (s) {
	case API_NEGLIGIBLE:
		break;
	case API_HIGH:
		return "High";
	case API_CRITICAL:
		return "Critical";
	}
	return "Negligible";
}

static void
write_scanner(struct json_writer *w, const char *version)
{
	json_write_key(w, "scanner");
	json_write_open(w, '{');
	member(w, "name", "Tidewaiter");
	member(w, "vendor", "Tidewaiter");
	member(w, "version", version);
	json_write_close(w, '}');
}

static void
write_finding(struct json_writer *w, const struct api_finding *f)
{
	json_write_next(w);
	json_write_open(w, '{');
	member(w, "id", f->id);
	member(w, "package", f->path[0] == '\0' ? f->digest : f->path);
	member(w, "version", f->digest);
	member(w, "fix_version", "");
	member(w, "severity", severity_name(f->severity));
	member(w, "description", f->description);
	json_write_key(w, "links");
	json_write_open(w, '[');
	json_write_close(w, ']');
	json_write_close(w, '}');
}

/* NUL behind it; NULL with the buffer freed when it did not fit. */
static char *
finished(struct json_writer *w, char *text, size_t *n)
{
	if (w->full || w->p == w->end) {
		free(text);
		return NULL;
	}
	*w->p = '\0';
	*n = (size_t)(w->p - text);
	return text;
}

char *
api_report_text(const struct api_report *r, const char *version, size_t *n)
{
	size_t size = 8192 + (r->n_findings + 1) * ENTRY_MAX;
	char *text = malloc(size), at[32];
	struct json_writer w = { .p = text, .end = text + size };
	enum api_severity worst = API_NEGLIGIBLE;
	time_t when = (time_t)r->at;
	struct tm tm;

	if (text == NULL || gmtime_r(&when, &tm) == NULL || strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < r->n_findings; i++)
		if (r->finding[i].severity > worst)
			worst = r->finding[i].severity;
	json_write_open(&w, '{');
	member(&w, "generated_at", at);
	json_write_key(&w, "artifact");
	json_write_open(&w, '{');
	member(&w, "repository", r->repository);
	member(&w, "digest", r->digest);
	member(&w, "tag", r->tag);
	member(&w, "mime_type", r->media_type);
	json_write_close(&w, '}');
	write_scanner(&w, version);
	member(&w, "severity", severity_name(worst));
	json_write_key(&w, "vulnerabilities");
	json_write_open(&w, '[');
	for (size_t i = 0; i < r->n_findings; i++)
		write_finding(&w, &r->finding[i]);
	if (r->dropped > 0) {
		struct api_finding more = { .severity = API_CRITICAL, .id = "TW-MORE" };

		snprintf(more.digest, sizeof more.digest, "%s", r->digest);
		snprintf(more.description, sizeof more.description, "%zu further findings are not listed", r->dropped);
		write_finding(&w, &more);
	}
	json_write_close(&w, ']');
	json_write_close(&w, '}');
	return finished(&w, text, n);
}

static void
write_list(struct json_writer *w, const char *key, const char *const *items, size_t n)
{
	json_write_key(w, key);
	json_write_open(w, '[');
	for (size_t i = 0; i < n; i++) {
		json_write_next(w);
		json_write_text(w, span_of(items[i]), API_REPORT_MAX);
	}
	json_write_close(w, ']');
}

char *
api_metadata_text(const char *version, size_t *n)
{
	static const char *const consumes[] = { "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json" };
	static const char *const produces[] = { API_TYPE_REPORT, API_TYPE_HARBOR };
	size_t size = 4096 + 6 * strlen(version);
	char *text = malloc(size);
	struct json_writer w = { .p = text, .end = text + size };

	if (text == NULL)
		return NULL;
	json_write_open(&w, '{');
	write_scanner(&w, version);
	json_write_key(&w, "capabilities");
	json_write_open(&w, '[');
	json_write_next(&w);
	json_write_open(&w, '{');
	write_list(&w, "consumes_mime_types", consumes, 2);
	write_list(&w, "produces_mime_types", produces, 2);
	json_write_close(&w, '}');
	json_write_close(&w, ']');
	json_write_key(&w, "properties");
	json_write_open(&w, '{');
	member(&w, "harbor.scanner-adapter/scanner-type", "os-package-vulnerability");
	json_write_close(&w, '}');
	json_write_close(&w, '}');
	return finished(&w, text, n);
}

char *
api_error_text(struct span message, size_t *n)
{
	size_t size = 64 + 6 * message.n;
	char *text = malloc(size);
	struct json_writer w = { .p = text, .end = text + size };

	if (text == NULL)
		return NULL;
	json_write_open(&w, '{');
	json_write_key(&w, "error");
	json_write_open(&w, '{');
	json_write_key(&w, "message");
	json_write_text(&w, message, message.n);
	json_write_close(&w, '}');
	json_write_close(&w, '}');
	return finished(&w, text, n);
}
