/*
 * exemptions.c - exceptions with owner, reason and end, and the list of vulnerabilities that are known to be exploited.
 * Invariant: when a source has a problem there are no exemptions at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/exemptions.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/manifest.h"
#include "policy/scalar.h"

#define DEPTH_MAX	24u
#define PROBLEMS_MAX	20u
#define ARENA_MAX	((size_t)256 << 20)

static const char *const document_keys[] = { "exceptions" };
static const char *const exception_keys[] = { "cve", "images", "packages", "owner", "reason", "expires" };
static const char *const kev_keys[] = { "vulnerabilities", "count" };
static const char *const kev_row_keys[] = { "cveID" };

/* ---- reading ---- */

void
exemption_problem(struct exemption_reader *r, const struct place *at, const char *fmt, ...)
{
	int line = place_line(r->source->text, at);
	va_list ap;
	int n;

	if (r->problems++ >= PROBLEMS_MAX || r->used >= r->err_size)
		return;
	n = snprintf(r->err + r->used, r->err_size - r->used, "%s%s:%d: ", r->used > 0 ? "\n" : "", r->source->name, line);
	r->used += n > 0 ? (size_t)n : 0;
	if (r->used >= r->err_size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(r->err + r->used, r->err_size - r->used, fmt, ap);
	va_end(ap);
	r->used += n > 0 ? (size_t)n : 0;
}

bool
exemption_members(struct exemption_reader *r, const struct place *at, const json_t *o, const char *const *known, size_t n, bool only_known)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o)) {
		exemption_problem(r, at, "must be an object");
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		struct place member = { .up = at, .key = key };
		bool is_known = false;

		(void)v;
		for (size_t i = 0; i < n; i++)
			is_known |= strcmp(key, known[i]) == 0;
		if (is_known || (!only_known && !json_key_is_variant(key, known, n)))
			continue;
		exemption_problem(r, &member, "\"%s\" is %s", key, only_known ? "no member that is known here" : "another spelling of a member");
		return false;
	}
	return true;
}

json_t *
exemption_document(struct exemption_reader *r, const char *const *known, size_t n, bool only_known)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	struct place root = { .up = NULL };
	int line = 1;
	json_t *o = json_strict(r->source->text, DEPTH_MAX, err, sizeof err, &line);

	if (o == NULL) {
		int used = snprintf(r->err + r->used, r->err_size - r->used, "%s%s:%d: %s", r->used > 0 ? "\n" : "", r->source->name, line, err);

		r->used += used > 0 ? (size_t)used : 0;
		r->problems++;
		return NULL;
	}
	root.at = r->source->text.p;
	root.line = 1;
	if (exemption_members(r, &root, o, known, n, only_known))
		return o;
	json_decref(o);
	return NULL;
}

static struct span
copy(struct exemption_reader *r, struct span s)
{
	struct span c = arena_dup(r->e->arena, s);

	r->no_memory |= c.p == NULL;
	return c;
}

struct span
exemption_text(struct exemption_reader *r, const struct place *at, const json_t *o, const char *name)
{
	struct span s = json_span(o, name);
	struct place member = { .up = at, .key = name };

	if (s.n > 0)
		return copy(r, s);
	exemption_problem(r, json_object_get(o, name) == NULL ? at : &member, "%s %s", name,
	    json_object_get(o, name) == NULL ? "is missing" : "must be a text that is not empty");
	return SPAN_NONE;
}

bool
exemption_time(struct exemption_reader *r, const struct place *at, const json_t *o, const char *name, int64_t *out)
{
	struct span s = json_span(o, name);
	struct place member = { .up = at, .key = name };
	struct number when;

	if (s.n > 0 && memchr(s.p, 'T', s.n) != NULL && date_parse(s, &when)) {
		*out = when.whole;
		return true;
	}
	exemption_problem(r, json_object_get(o, name) == NULL ? at : &member, "%s %s", name,
	    json_object_get(o, name) == NULL ? "is missing" : "must be a time, as in 2026-12-31T00:00:00Z");
	return false;
}

/* An array of texts; absent: none. False after a problem. */
static bool
read_texts(struct exemption_reader *r, const struct place *at, const json_t *o, const char *name, const struct span **out, size_t *n)
{
	const json_t *list = json_object_get(o, name), *v;
	struct place member = { .up = at, .key = name };
	struct span *texts;
	size_t i;

	if (list == NULL)
		return true;
	if (json_array_size(list) == 0) {
		exemption_problem(r, &member, "%s must be an array of texts that is not empty; leave it out for all", name);
		return false;
	}
	texts = arena_zalloc(r->e->arena, json_array_size(list), sizeof *texts);
	if (texts == NULL)
		return !(r->no_memory = true);
	json_array_foreach(list, i, v) {
		if (json_string_length(v) == 0) {
			exemption_problem(r, &member, "%s must be texts that are not empty", name);
			return false;
		}
		texts[i] = copy(r, (struct span){ json_string_value(v), json_string_length(v) });
	}
	*out = texts;
	*n = i;
	return true;
}

static void
read_exception(struct exemption_reader *r, const struct place *at, const json_t *o)
{
	struct exception *x = &r->e->exceptions[r->e->n_exceptions];
	unsigned before = r->problems;

	if (!exemption_members(r, at, o, exception_keys, PART_COUNT(exception_keys), true))
		return;
	x->cve = exemption_text(r, at, o, "cve");
	(void)!exemption_text(r, at, o, "owner").p;
	(void)!exemption_text(r, at, o, "reason").p;
	if (read_texts(r, at, o, "images", &x->images, &x->n_images) && read_texts(r, at, o, "packages", &x->packages, &x->n_packages) &&
	    exemption_time(r, at, o, "expires", &x->expires) && r->problems == before)
		r->e->n_exceptions++;
}

static void
read_exceptions(struct exemption_reader *r)
{
	json_t *o = exemption_document(r, document_keys, PART_COUNT(document_keys), true);
	const json_t *list = json_object_get(o, "exceptions"), *v;
	struct place root = { .at = r->source->text.p, .line = 1 }, all = { .up = &root, .key = "exceptions" };
	size_t i;

	if (o != NULL && (!json_is_array(list) || json_array_size(list) > EXCEPTIONS_MAX))
		exemption_problem(r, list == NULL ? &root : &all, "exceptions must be an array of at most %u", EXCEPTIONS_MAX);
	else if (o != NULL) {
		r->e->exceptions = arena_zalloc(r->e->arena, json_array_size(list) + 1, sizeof *r->e->exceptions);
		r->no_memory |= r->e->exceptions == NULL;
		json_array_foreach(list, i, v) {
			struct place at = { .up = &all, .index = i };

			if (r->no_memory || r->problems >= PROBLEMS_MAX)
				break;
			read_exception(r, &at, v);
		}
	}
	json_decref(o);
}

static void
read_kev(struct exemption_reader *r)
{
	json_t *o = exemption_document(r, kev_keys, PART_COUNT(kev_keys), false);
	const json_t *list = json_object_get(o, "vulnerabilities"), *count = json_object_get(o, "count"), *v;
	struct place root = { .at = r->source->text.p, .line = 1 }, all = { .up = &root, .key = "vulnerabilities" };
	size_t i;

	r->e->has_kev = true;
	if (o != NULL && (json_array_size(list) == 0 || json_array_size(list) > KEV_MAX))
		exemption_problem(r, list == NULL ? &root : &all, "vulnerabilities must be an array of 1 to %u", KEV_MAX);
	else if (o != NULL && count != NULL && json_integer_value(count) != (json_int_t)json_array_size(list))
		exemption_problem(r, &all, "count is %lld, and %zu are listed", (long long)json_integer_value(count), json_array_size(list));
	else if (o != NULL) {
		r->e->kev = arena_zalloc(r->e->arena, json_array_size(list), sizeof *r->e->kev);
		r->no_memory |= r->e->kev == NULL;
		json_array_foreach(list, i, v) {
			struct place at = { .up = &all, .index = i };

			if (r->no_memory || r->problems >= PROBLEMS_MAX ||
			    !exemption_members(r, &at, v, kev_row_keys, PART_COUNT(kev_row_keys), false))
				break;
			r->e->kev[r->e->n_kev] = exemption_text(r, &at, v, "cveID");
			r->e->n_kev += r->e->kev[r->e->n_kev].p != NULL;
		}
	}
	json_decref(o);
}

/* ---- tables ---- */

int
exemption_compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

	return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int
by_cve(const void *a, const void *b)
{
	const struct exception *x = a, *y = b;

	return exemption_compare(x->cve, y->cve);
}

static int
by_text(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return exemption_compare(*x, *y);
}

static bool
hash_sources(struct exemptions *e, const struct exemptions_source *const *sources, size_t n)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < n; i++) {
		uint64_t size = sources[i] == NULL ? UINT64_MAX : sources[i]->text.n;

		ok = EVP_DigestUpdate(ctx, &size, sizeof size) == 1 &&
		    (sources[i] == NULL || size == 0 || EVP_DigestUpdate(ctx, sources[i]->text.p, sources[i]->text.n) == 1);
	}
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (ok)
		digest_text(out, e->hash);
	return ok;
}

static bool
hash_all(struct exemptions *e, const struct exemptions_source *exceptions, const struct exemptions_source *vex, size_t n_vex,
    const struct exemptions_source *kev)
{
	const struct exemptions_source **all = arena_zalloc(e->arena, n_vex + 2, sizeof *all);

	if (all == NULL)
		return false;
	all[0] = exceptions;
	all[1] = kev;
	for (size_t i = 0; i < n_vex; i++)
		all[i + 2] = &vex[i];
	return hash_sources(e, all, n_vex + 2);
}

struct exemptions *
exemptions_new(const struct exemptions_source *exceptions, const struct exemptions_source *vex, size_t n_vex,
    const struct exemptions_source *kev, char *err, size_t err_size)
{
	struct exemptions *e = calloc(1, sizeof *e);
	struct exemption_reader r = { .e = e, .err = err, .err_size = err_size };

	err[0] = '\0';
	if (e == NULL || (e->arena = arena_new(ARENA_MAX)) == NULL) {
		snprintf(err, err_size, "out of memory");
		free(e);
		return NULL;
	}
	if ((r.source = exceptions) != NULL)
		read_exceptions(&r);
	if ((r.source = kev) != NULL)
		read_kev(&r);
	for (size_t i = 0; i < n_vex; i++) {
		r.source = &vex[i];
		vex_read(&r);
	}
	r.no_memory |= !hash_all(e, exceptions, vex, n_vex, kev) || arena_failed(e->arena);
	if (r.no_memory || r.problems > 0) {
		if (r.problems == 0)
			snprintf(err, err_size, "out of memory");
		exemptions_free(e);
		return NULL;
	}
	if (e->n_exceptions > 0)
		qsort(e->exceptions, e->n_exceptions, sizeof *e->exceptions, by_cve);
	if (e->n_kev > 0)
		qsort(e->kev, e->n_kev, sizeof *e->kev, by_text);
	vex_sort(e);
	return e;
}

void
exemptions_free(struct exemptions *e)
{
	if (e == NULL)
		return;
	arena_free(e->arena);
	free(e);
}

const char *
exemptions_hash(const struct exemptions *e)
{
	return e->hash;
}

/* ---- asking ---- */

/* '*' matches any run of bytes, '/' too. */
static bool
matches(struct span pattern, struct span s)
{
	size_t i = 0, k = 0, star = SIZE_MAX, from = 0;

	while (k < s.n) {
		if (i < pattern.n && pattern.p[i] == '*') {
			star = i++;
			from = k;
		} else if (i < pattern.n && pattern.p[i] == s.p[k]) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++from;
		} else {
			return false;
		}
	}
	while (i < pattern.n && pattern.p[i] == '*')
		i++;
	return i == pattern.n;
}

/* Each package of the finding is one of these. */
static bool
has_packages(const struct exception *x, struct span packages)
{
	if (x->n_packages == 0)
		return true;
	do {
		const char *comma = packages.n == 0 ? NULL : memchr(packages.p, ',', packages.n);
		struct span one = { packages.p, comma == NULL ? packages.n : (size_t)(comma - packages.p) };
		bool found = false;

		for (size_t i = 0; i < x->n_packages; i++)
			found |= span_eq(x->packages[i], one);
		if (!found)
			return false;
		packages = span_skip(packages, comma == NULL ? packages.n : one.n + 1);
	} while (packages.n > 0);
	return true;
}

static bool
applies(const struct exception *x, const struct report_finding *f, const struct exemption_ask *q)
{
	bool image = x->n_images == 0;

	if (q->now >= x->expires || !has_packages(x, f->package))
		return false;
	for (size_t i = 0; i < x->n_images; i++)
		image |= matches(x->images[i], q->image);
	return image;
}

bool
exemptions_cover(const struct exemptions *e, const struct report_finding *f, const struct exemption_ask *q)
{
	size_t low = 0, high = e->n_exceptions;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (exemption_compare(e->exceptions[mid].cve, f->id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < e->n_exceptions && span_eq(e->exceptions[low].cve, f->id); low++)
		if (applies(&e->exceptions[low], f, q))
			return true;
	return vex_covers(e, f, q);
}

bool
exemptions_kev(const struct exemptions *e, struct span id)
{
	return e->n_kev > 0 && bsearch(&id, e->kev, e->n_kev, sizeof *e->kev, by_text) != NULL;
}
