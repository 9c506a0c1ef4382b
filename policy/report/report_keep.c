/*
 * report_keep.c - a report as JSON, and back: what is kept between runs. Each finding is one text, fields divided by tabs, which
 * no reader lets into a field: a list of 200,000 is small so.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/part.h"

#include <stdio.h>
#include <stdlib.h>

#define FORMAT	1
#define FIELDS	6u	/* id, package, version, fix, severity, score */
#define LINE_MAX_BYTES ((size_t)4 << 20)

static json_t *
text_json(struct span s)
{
	return json_stringn(s.p == NULL ? "" : s.p, s.n);
}

static json_t *
finding_json(const struct report_finding *f, char **line, size_t *room)
{
	size_t want = f->id.n + f->package.n + f->version.n + f->fix.n + 32;
	int n;

	if (want > *room) {
		char *more = want > LINE_MAX_BYTES ? NULL : realloc(*line, want * 2);

		if (more == NULL)
			return NULL;
		*line = more;
		*room = want * 2;
	}
	n = snprintf(*line, *room, "%.*s\t%.*s\t%.*s\t%.*s\t%d\t%d", SPAN_FMT(f->id), SPAN_FMT(f->package), SPAN_FMT(f->version), SPAN_FMT(f->fix),
	    (int)f->severity, f->score);
	return json_stringn(*line, (size_t)n);
}

static json_t *
findings_json(const struct report *r)
{
	json_t *list = json_array();
	char *line = NULL;
	size_t room = 0;

	for (size_t i = 0; list != NULL && i < r->n; i++) {
		if (json_array_append_new(list, finding_json(&r->finding[i], &line, &room)) == 0)
			continue;
		json_decref(list);
		list = NULL;
	}
	free(line);
	return list;
}

static json_t *
counts_json(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i <= REPORT_SEVERITIES; i++)
		if (json_array_append_new(list, json_integer(i < REPORT_SEVERITIES ? r->counts[i] : r->fixable_critical)) != 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *
report_save(const struct report *r)
{
	json_t *o = json_object();
	bool ok = o != NULL && json_object_set_new(o, "format", json_integer(FORMAT)) == 0 &&
	    json_object_set_new(o, "status", json_integer(r->status)) == 0 && json_object_set_new(o, "why", json_string(r->why)) == 0 &&
	    json_object_set_new(o, "digest", json_string(r->digest)) == 0 && json_object_set_new(o, "scanner", text_json(r->scanner)) == 0 &&
	    json_object_set_new(o, "database", text_json(r->database)) == 0 && json_object_set_new(o, "at", json_integer(r->at)) == 0;

	ok = ok && (r->counts_only ? json_object_set_new(o, "counts", counts_json(r)) == 0
				   : json_object_set_new(o, "findings", findings_json(r)) == 0);
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- back ---- */

static bool
is_int(struct span s, int64_t least, int64_t most, int *out)
{
	bool minus = s.n > 0 && s.p[0] == '-';
	int64_t v = 0;

	if (minus)
		s = span_skip(s, 1);
	if (s.n == 0 || s.n > 9)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	v = minus ? -v : v;
	*out = (int)v;
	return v >= least && v <= most;
}

static bool
load_finding(const json_t *v, struct arena *a, struct report_finding *f)
{
	struct span line = arena_dup(a, (struct span){ json_string_value(v), json_string_length(v) }), field[FIELDS];
	int severity;

	if (!json_is_string(v) || line.p == NULL)
		return false;
	for (size_t i = 0; i < FIELDS; i++) {
		const char *tab = memchr(line.p, '\t', line.n);

		if ((tab == NULL) != (i == FIELDS - 1))
			return false;
		field[i] = (struct span){ line.p, tab == NULL ? line.n : (size_t)(tab - line.p) };
		line = span_skip(line, tab == NULL ? line.n : field[i].n + 1);
	}
	if (!is_int(field[4], 0, REPORT_SEVERITIES - 1, &severity) || !is_int(field[5], -1, 100, &f->score) || field[0].n == 0)
		return false;
	f->id = field[0];
	f->package = field[1];
	f->version = field[2];
	f->fix = field[3];
	f->severity = (enum report_severity)severity;
	return true;
}

static bool
load_findings(const json_t *list, struct arena *a, struct report *out)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > REPORT_FINDINGS_MAX)
		return false;
	out->finding = arena_zalloc(a, n > 0 ? n : 1, sizeof *out->finding);
	if (out->finding == NULL)
		return false;
	for (; out->n < n; out->n++)
		if (!load_finding(json_array_get(list, out->n), a, &out->finding[out->n]))
			return false;
	out->room = n;
	return true;
}

static bool
load_counts(const json_t *list, struct report *out)
{
	if (!json_is_array(list) || json_array_size(list) != REPORT_SEVERITIES + 1)
		return false;
	out->counts_only = true;
	for (size_t i = 0; i <= REPORT_SEVERITIES; i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_integer(v) || json_integer_value(v) < -1 || json_integer_value(v) > (json_int_t)1 << 40)
			return false;
		*(i < REPORT_SEVERITIES ? &out->counts[i] : &out->fixable_critical) = json_integer_value(v);
	}
	return true;
}

bool
report_load(const json_t *j, struct arena *a, struct report *out)
{
	const json_t *status = json_object_get(j, "status"), *at = json_object_get(j, "at"), *counts = json_object_get(j, "counts");
	struct span why = json_span(j, "why"), digest = json_span(j, "digest");

	*out = (struct report){ 0 };
	if (json_integer_value(json_object_get(j, "format")) != FORMAT || !json_is_integer(status) || !json_is_integer(at) ||
	    json_integer_value(status) < REPORT_FAILED || json_integer_value(status) > REPORT_HERE || why.n >= sizeof out->why ||
	    digest.n >= sizeof out->digest || !json_is_string(json_object_get(j, "scanner")) || !json_is_string(json_object_get(j, "database")))
		return false;
	if (!(counts != NULL ? load_counts(counts, out) : load_findings(json_object_get(j, "findings"), a, out))) {
		*out = (struct report){ 0 };
		return false;
	}
	memcpy(out->why, why.n > 0 ? why.p : "", why.n);
	memcpy(out->digest, digest.n > 0 ? digest.p : "", digest.n);
	out->scanner = arena_dup(a, json_span(j, "scanner"));
	out->database = arena_dup(a, json_span(j, "database"));
	out->at = json_integer_value(at);
	if (out->scanner.p == NULL || out->database.p == NULL)
		return false;
	switch (json_integer_value(status)) {
	case REPORT_PENDING: out->status = REPORT_PENDING; break;
	case REPORT_ABSENT: out->status = REPORT_ABSENT; break;
	case REPORT_UNSUPPORTED: out->status = REPORT_UNSUPPORTED; break;
	case REPORT_HERE: out->status = REPORT_HERE; break;
	default: break;
	}
	return true;
}
