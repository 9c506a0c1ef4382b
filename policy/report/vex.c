/*
 * vex.c - OpenVEX: statements that a vulnerability does not affect a product, or is fixed in it.
 *
 * Source: OpenVEX specification v0.2.0. A product is an image here when its identifier is a package URL of type oci, by digest
 * (pkg:oci/app@sha256%3A...) or by ?repository_url= with the gateway's own name of the repository, "upstream/repository"; or by
 * its hash sha-256. Any other product is not ours to know, and the statement does not apply. Of several statements about one
 * vulnerability in one finding the latest decides; a statement of a later time than now is none yet.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report/exemptions.h"

#include <stdlib.h>

static const char *const document_keys[] = { "@context", "timestamp", "last_updated", "statements" };
static const char *const statement_keys[] = { "vulnerability", "timestamp", "last_updated", "products", "status", "justification",
	"impact_statement" };
static const char *const vulnerability_keys[] = { "@id", "name", "aliases" };
static const char *const product_keys[] = { "@id", "identifiers", "hashes", "subcomponents" };
static const char *const justifications[] = { "component_not_present", "vulnerable_code_not_present",
	"vulnerable_code_not_in_execute_path", "vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist" };

struct statement_read {
	struct exemption_reader *r;
	struct vex_row row;		/* with all but name, product and parts */
	const json_t *vulnerability;
	const struct place *at;
};

/* ---- package URLs ---- */

struct purl {
	struct span type, namespace, name, version, repository_url;
};

static int
hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct span
decoded(struct exemption_reader *r, struct span s)
{
	struct span out = arena_dup(r->e->arena, s);
	char *to = (char *)(uintptr_t)out.p;

	if (to == NULL) {
		r->no_memory = true;
		return SPAN("");
	}
	out.n = 0;
	for (size_t i = 0; i < s.n; i++) {
		bool escape = s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0;

		to[out.n++] = s.p[i];
		if (!escape)
			continue;
		to[out.n - 1] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
		i += 2;
	}
	return out;
}

/* What stands behind the last `c`, which goes; {NULL,0}: there is none. */
static struct span
cut_last(struct span *s, char c)
{
	const char *at = s->n == 0 ? NULL : memrchr(s->p, c, s->n);
	struct span tail;

	if (at == NULL)
		return SPAN_NONE;
	tail = span_skip(*s, (size_t)(at - s->p) + 1);
	s->n = (size_t)(at - s->p);
	return tail;
}

static struct span
qualifier(struct span query, struct span name)
{
	while (query.n > 0) {
		const char *end = memchr(query.p, '&', query.n);
		struct span one = { query.p, end == NULL ? query.n : (size_t)(end - query.p) };

		if (one.n > name.n && one.p[name.n] == '=' && span_starts(one, name))
			return span_skip(one, name.n + 1);
		query = span_skip(query, end == NULL ? query.n : one.n + 1);
	}
	return SPAN_NONE;
}

/* package-url/purl-spec: pkg:type/namespace/name@version?qualifiers#subpath */
static bool
purl_read(struct exemption_reader *r, struct span s, struct purl *out)
{
	struct span query;
	const char *slash;

	*out = (struct purl){ 0 };
	if (!span_starts(s, SPAN("pkg:")))
		return false;
	s = span_skip(s, 4);
	(void)cut_last(&s, '#');
	query = cut_last(&s, '?');
	out->version = cut_last(&s, '@');
	if (out->version.n > 0 && memchr(out->version.p, '/', out->version.n) != NULL)
		return false;
	slash = s.n == 0 ? NULL : memchr(s.p, '/', s.n);
	if (slash == NULL)
		return false;
	out->type = (struct span){ s.p, (size_t)(slash - s.p) };
	s = span_skip(s, out->type.n + 1);
	out->name = cut_last(&s, '/');
	if (out->name.p == NULL)
		out->name = s;
	else
		out->namespace = s;
	out->name = decoded(r, out->name);
	out->namespace = decoded(r, out->namespace);
	out->version = decoded(r, out->version);
	out->repository_url = decoded(r, qualifier(query, SPAN("repository_url")));
	return out->name.n > 0;
}

/* ---- reading ---- */

static struct span
identifier(const json_t *product)
{
	struct span purl = json_span(json_object_get(product, "identifiers"), "purl");

	return purl.n > 0 ? purl : json_span(product, "@id");
}

/* Which image is it? False: none that we know. */
static bool
product_is_image(struct exemption_reader *r, const json_t *product, struct vex_row *row)
{
	struct span hash = json_span(json_object_get(product, "hashes"), "sha-256");
	struct purl of;

	if (hash.n == 64) {
		memcpy(row->digest, "sha256:", 7);
		memcpy(row->digest + 7, hash.p, 64);
		return true;
	}
	if (!purl_read(r, identifier(product), &of) || !span_eq(of.type, SPAN("oci")))
		return false;
	if (of.version.n == 71 && span_starts(of.version, SPAN("sha256:"))) {
		memcpy(row->digest, of.version.p, 71);
		return true;
	}
	row->repository = of.repository_url;
	return of.version.n == 0 && of.repository_url.n > 0;
}

/* Parts that are no package URL are no package that a scanner names: they match nothing. */
static bool
read_parts(struct exemption_reader *r, const struct place *at, const json_t *list, struct vex_row *row)
{
	struct vex_part *parts;
	const json_t *v;
	size_t i;

	if (list == NULL)
		return true;
	if (!json_is_array(list) || json_array_size(list) == 0) {
		exemption_problem(r, at, "subcomponents must be an array that is not empty");
		return false;
	}
	parts = arena_zalloc(r->e->arena, json_array_size(list), sizeof *parts);
	if (parts == NULL)
		return !(r->no_memory = true);
	json_array_foreach(list, i, v) {
		struct purl of;

		if (!exemption_members(r, at, v, product_keys, PART_COUNT(product_keys), false))
			return false;
		if (!purl_read(r, identifier(v), &of))
			continue;
		/* distributions name the vendor before the package, languages a part of its name */
		parts[i].name = of.namespace.n == 0 || span_eq(of.type, SPAN("deb")) || span_eq(of.type, SPAN("apk")) || span_eq(of.type, SPAN("rpm"))
		    ? of.name
		    : arena_printf(r->e->arena, "%.*s/%.*s", SPAN_FMT(of.namespace), SPAN_FMT(of.name));
		parts[i].version = of.version;
	}
	row->parts = parts;
	row->n_parts = i;
	return true;
}

static bool
more_room(struct statement_read *s)
{
	struct exemptions *e = s->r->e;
	size_t room = e->vex_room == 0 ? 256 : e->vex_room * 2;
	struct vex_row *more;

	if (e->n_vex >= STATEMENTS_MAX) {
		exemption_problem(s->r, s->at, "more than %u products and names in all", STATEMENTS_MAX);
		return false;
	}
	more = arena_zalloc(e->arena, room, sizeof *more);
	if (more == NULL)
		return !(s->r->no_memory = true);
	if (e->n_vex > 0)
		memcpy(more, e->vex, e->n_vex * sizeof *more);
	e->vex = more;
	e->vex_room = room;
	return true;
}

static void
add_row(struct statement_read *s, struct span name)
{
	struct exemptions *e = s->r->e;
	struct vex_row *row;

	if (name.n == 0 || s->r->no_memory)
		return;
	if (e->n_vex == e->vex_room && !more_room(s))
		return;
	row = &e->vex[e->n_vex++];
	*row = s->row;
	row->name = arena_dup(e->arena, name);
	s->r->no_memory |= row->name.p == NULL;
}

static void
read_product(struct statement_read *s, const struct place *at, const json_t *o)
{
	const json_t *aliases = json_object_get(s->vulnerability, "aliases"), *v;
	struct vex_row plain = s->row;
	size_t i;

	if (!exemption_members(s->r, at, o, product_keys, PART_COUNT(product_keys), false))
		return;
	if (product_is_image(s->r, o, &s->row) && read_parts(s->r, at, json_object_get(o, "subcomponents"), &s->row)) {
		add_row(s, json_is_string(s->vulnerability) ? (struct span){ json_string_value(s->vulnerability),
						json_string_length(s->vulnerability) } : json_span(s->vulnerability, "name"));
		json_array_foreach(aliases, i, v)
			add_row(s, (struct span){ json_string_value(v), json_string_length(v) });
	}
	s->row = plain;
}

/* not_affected must say why. False after a problem. */
static bool
read_status(struct statement_read *s, const json_t *o)
{
	struct place at = { .up = s->at, .key = "status" }, why = { .up = s->at, .key = "justification" };
	struct span status = json_span(o, "status"), justification = json_span(o, "justification");
	bool known = false;

	s->row.exempt = span_eq(status, SPAN("not_affected")) || span_eq(status, SPAN("fixed"));
	if (!s->row.exempt && !span_eq(status, SPAN("affected")) && !span_eq(status, SPAN("under_investigation"))) {
		exemption_problem(s->r, json_object_get(o, "status") == NULL ? s->at : &at,
		    "status must be not_affected, affected, fixed or under_investigation");
		return false;
	}
	for (size_t i = 0; i < PART_COUNT(justifications); i++)
		known |= span_eq(justification, span_of(justifications[i]));
	if (json_object_get(o, "justification") != NULL && !known) {
		exemption_problem(s->r, &why, "justification is none of OpenVEX's");
		return false;
	}
	if (!span_eq(status, SPAN("not_affected")) || known || json_span(o, "impact_statement").n > 0)
		return true;
	exemption_problem(s->r, s->at, "not_affected needs a justification or an impact_statement");
	return false;
}

static bool
read_vulnerability(struct statement_read *s, const json_t *o)
{
	struct place at = { .up = s->at, .key = "vulnerability" };

	s->vulnerability = json_object_get(o, "vulnerability");
	if (json_is_string(s->vulnerability))
		return true;
	if (!exemption_members(s->r, s->vulnerability == NULL ? s->at : &at, s->vulnerability, vulnerability_keys,
		PART_COUNT(vulnerability_keys), false))
		return false;
	return exemption_text(s->r, &at, s->vulnerability, "name").p != NULL;
}

/* When it was said: of the statement, or else of the document. */
static bool
read_when(struct statement_read *s, const json_t *o, int64_t document)
{
	const char *name = json_object_get(o, "last_updated") != NULL ? "last_updated" : "timestamp";

	s->row.at = document;
	return json_object_get(o, name) == NULL || exemption_time(s->r, s->at, o, name, &s->row.at);
}

static void
read_statement(struct exemption_reader *r, const struct place *at, const json_t *o, int64_t document)
{
	struct statement_read s = { .r = r, .at = at };
	const json_t *products = json_object_get(o, "products"), *v;
	struct place all = { .up = at, .key = "products" };
	size_t i;

	if (!exemption_members(r, at, o, statement_keys, PART_COUNT(statement_keys), false) || !read_vulnerability(&s, o) ||
	    !read_status(&s, o) || !read_when(&s, o, document))
		return;
	if (products != NULL && !json_is_array(products)) {
		exemption_problem(r, &all, "products must be an array");
		return;
	}
	json_array_foreach(products, i, v) {
		struct place one = { .up = &all, .index = i };

		read_product(&s, &one, v);
	}
}

void
vex_read(struct exemption_reader *r)
{
	json_t *o = exemption_document(r, document_keys, PART_COUNT(document_keys), false);
	const json_t *statements = json_object_get(o, "statements"), *v;
	struct place root = { .at = r->source->text.p, .line = 1 }, all = { .up = &root, .key = "statements" };
	const char *when = json_object_get(o, "last_updated") != NULL ? "last_updated" : "timestamp";
	int64_t at = 0;
	size_t i;

	if (o != NULL && !span_starts(json_span(o, "@context"), SPAN("https://openvex.dev/ns")))
		exemption_problem(r, &root, "@context must be https://openvex.dev/ns, or a version of it: it is no OpenVEX document");
	else if (o != NULL && !json_is_array(statements))
		exemption_problem(r, statements == NULL ? &root : &all, "statements must be an array");
	else if (o != NULL && exemption_time(r, &root, o, when, &at)) {
		json_array_foreach(statements, i, v) {
			struct place one = { .up = &all, .index = i };

			if (r->no_memory || r->problems > 0)
				break;
			read_statement(r, &one, v, at);
		}
	}
	json_decref(o);
}

/* ---- asking ---- */

/* By name, the latest first; of two at a time what does not exempt. */
static int
by_name(const void *a, const void *b)
{
	const struct vex_row *x = a, *y = b;
	int c = exemption_compare(x->name, y->name);

	if (c != 0)
		return c;
	if (x->at != y->at)
		return x->at > y->at ? -1 : 1;
	return x->exempt - y->exempt;
}

void
vex_sort(struct exemptions *e)
{
	if (e->n_vex > 0)
		qsort(e->vex, e->n_vex, sizeof *e->vex, by_name);
}

static bool
is_product(const struct vex_row *row, const struct exemption_ask *q)
{
	if (row->digest[0] == '\0')
		return span_eq(row->repository, q->image);
	for (size_t i = 0; i < 2; i++)
		if (q->digests[i] != NULL && strcmp(q->digests[i], row->digest) == 0)
			return true;
	return false;
}

/* Is this package one of the parts? A version that is not known is none of theirs. */
static bool
is_part(const struct vex_row *row, struct span package, struct span version)
{
	for (size_t i = 0; i < row->n_parts; i++)
		if (row->parts[i].name.n > 0 && span_eq(row->parts[i].name, package) &&
		    (row->parts[i].version.n == 0 || span_eq(row->parts[i].version, version)))
			return true;
	return row->n_parts == 0;
}

static bool
package_is_exempt(const struct vex_row *row, const struct vex_row *end, struct span package, const struct report_finding *f,
    const struct exemption_ask *q)
{
	for (; row < end && span_eq(row->name, f->id); row++)
		if (row->at <= q->now && is_product(row, q) && is_part(row, package, f->version))
			return row->exempt;
	return false;
}

bool
vex_covers(const struct exemptions *e, const struct report_finding *f, const struct exemption_ask *q)
{
	struct span rest = f->package;
	size_t low = 0, high = e->n_vex;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (exemption_compare(e->vex[mid].name, f->id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	/* each package of a finding about several */
	do {
		const char *comma = rest.n == 0 ? NULL : memchr(rest.p, ',', rest.n);
		struct span one = { rest.p, comma == NULL ? rest.n : (size_t)(comma - rest.p) };

		if (!package_is_exempt(e->vex + low, e->vex + e->n_vex, one, f, q))
			return false;
		rest = span_skip(rest, comma == NULL ? rest.n : one.n + 1);
	} while (rest.n > 0);
	return true;
}
