/*
 * parse.c - a policy document: its own elements, and the strings that all elements are made of.
 * Invariant: an element that is not understood is a problem, never skipped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>

#include "policy/compiled.h"

/* ---- problems ---- */

void
parse_problem(struct policy_reader *r, const struct place *at, enum lint_code code, const char *fmt, ...)
{
	char reason[PATTERN_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	r->problems += lint_row(code)->severity == SEVERITY_ERROR;
	finding_report(r->problem, r->ctx, code, r->source->name, place_line(r->source->text, at), r->sid, reason, NULL);
}

void
parse_out_of_memory(struct policy_reader *r, const struct place *at)
{
	parse_problem(r, at, LINT_E100, "out of memory");
}

/* ---- strings: one, or an array of at least one ---- */

struct span
parse_text(const json_t *v)
{
	return (struct span){ json_string_value(v), json_string_length(v) };
}

size_t
parse_count(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) : 1;
}

/* What is too long for every reader of strings is not quoted: its reason would be lost behind it. */
static bool
add_one(struct policy_reader *r, const struct place *at, const char *what, struct span s, add_string *add, void *to, size_t i)
{
	if (s.n <= PATTERN_MAX)
		return add(r, at, s, to, i);
	parse_problem(r, at, LINT_E100, "%s has a string longer than %u bytes", what, PATTERN_MAX);
	return false;
}

bool
parse_strings(struct policy_reader *r, const struct place *at, const char *what, const json_t *v, add_string *add,
    void *to)
{
	bool ok = true;

	if (json_is_string(v))
		return add_one(r, at, what, parse_text(v), add, to, 0);
	if (!json_is_array(v)) {
		parse_problem(r, at, LINT_E100, "%s is not a string or an array of strings", what);
		return false;
	}
	if (json_array_size(v) == 0) {
		parse_problem(r, at, LINT_E111, "%s is empty", what);
		return false;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *s = json_array_get(v, i);
		struct place here = { .up = at, .index = i };

		if (!json_is_string(s)) {
			parse_problem(r, &here, LINT_E100, "%s is not an array of strings", what);
			ok = false;
		} else if (!add_one(r, &here, what, parse_text(s), add, to, i)) {
			ok = false;
		}
	}
	return ok;
}

bool
parse_pattern(struct policy_reader *r, const struct place *at, struct span s, unsigned flags, struct pattern *out)
{
	struct reason why;

	if (r->names->any_vocabulary)
		flags |= PATTERN_ANY_KEY | (flags & PATTERN_WILDCARDS ? 0 : PATTERN_LITERAL);
	if (intern_pattern(r, s, flags, out, &why))
		return true;
	parse_problem(r, at, why.code, "\"%.*s\": %s", SPAN_FMT(s), why.text);
	return false;
}

/* ---- Zones ---- */

static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			(name[i] >= '0' && name[i] <= '9') || strchr("-_.", name[i]) != NULL))
			return false;
	return n > 0 && n <= 64;
}

static bool
add_network(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	char err[PATTERN_MAX + 128];

	if (network_parse(s, (struct network *)to + i, err, sizeof err))
		return true;
	parse_problem(r, at, LINT_E113, "%s", err);
	return false;
}

static void
zone_parse_member(struct policy_reader *r, const struct place *at, const json_t *v)
{
	struct bundle *b = r->bundle;
	struct network *networks = arena_zalloc(b->arena, parse_count(v), sizeof *networks);
	struct span name = arena_dup(b->arena, span_of(at->key));

	if (networks == NULL || name.p == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	for (size_t i = 0; i < b->n_zones; i++) {
		if (span_eq(b->zones[i].name, name)) {
			parse_problem(r, at, LINT_E104, "the zone \"%s\" is there twice", at->key);
			return;
		}
	}
	if (!name_ok(at->key))
		parse_problem(r, at, LINT_E100, "the name of a zone is 1 to 64 of A-Z a-z 0-9 . _ -");
	else if (b->n_zones == ZONES_MAX)
		parse_problem(r, at, LINT_E100, "more than %u zones", ZONES_MAX);
	else if (parse_strings(r, at, "a zone", v, add_network, networks))
		b->zones[b->n_zones++] = (struct network_zone){ name, networks, parse_count(v) };
}

/* ---- Sets ---- */

static void
set_parse_member(struct policy_reader *r, const struct place *at, const json_t *v)
{
	struct bundle *b = r->bundle;
	struct span file = parse_text(v);

	if (!span_starts(file, SPAN("file:")) || file.n == 5 || memchr(file.p, '\0', file.n) != NULL) {
		parse_problem(r, at, LINT_E100, "a set is \"file:<path>\": one value a line, the path from here");
		return;
	}
	for (size_t i = 0; i < b->n_sets; i++) {
		if (span_eq(b->sets[i].name, span_of(at->key))) {
			parse_problem(r, at, LINT_E104, "the set \"%s\" is there twice", at->key);
			return;
		}
	}
	if (!name_ok(at->key)) {
		parse_problem(r, at, LINT_E100, "the name of a set is 1 to 64 of A-Z a-z 0-9 . _ -");
		return;
	}
	if (b->n_sets == SETS_MAX) {
		parse_problem(r, at, LINT_E100, "more than %u sets", SETS_MAX);
		return;
	}
	b->sets[b->n_sets].name = arena_dup(b->arena, span_of(at->key));
	b->sets[b->n_sets].file = arena_dup(b->arena, span_skip(file, 5));
	b->sets[b->n_sets].from = r->document->file;
	b->sets[b->n_sets].line = place_line(r->source->text, at);
	if (b->sets[b->n_sets].name.p == NULL || b->sets[b->n_sets].file.p == NULL)
		parse_out_of_memory(r, at);
	else
		b->n_sets++;
}

typedef void member_of(struct policy_reader *r, const struct place *at, const json_t *v);

static void
each_member(struct policy_reader *r, const struct place *at, const json_t *o, member_of *parse)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o)) {
		parse_problem(r, at, LINT_E100, "%s is not an object of names", at->key);
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		struct place here = { .up = at, .key = key };

		if (strcmp(key, "//") != 0)
			parse(r, &here, v);
	}
}

/* ---- the elements of a document ---- */

static void
version_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	if (!json_is_string(v) || (!r->names->any_vocabulary && strcmp(json_string_value(v), POLICY_VERSION) != 0))
		parse_problem(r, at, LINT_E100, "Version is \"" POLICY_VERSION "\"");
}

static void
text_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	if (!json_is_string(v))
		parse_problem(r, at, LINT_E100, "%s is not a string", at->key);
}

static void
id_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	text_element(r, at, v);
	if (json_is_string(v))
		r->document->id = arena_dup(r->bundle->arena, parse_text(v));
}

static void
kind_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	struct span kind = parse_text(v);

	if (span_eq(kind, SPAN("Guardrail")))
		r->document->kind = DOCUMENT_GUARDRAIL;
	else if (span_eq(kind, SPAN("Grant")))
		r->document->kind = DOCUMENT_GRANT;
	else
		parse_problem(r, at, LINT_E100, "Kind is \"Guardrail\" (Deny only) or \"Grant\" (within its Scope)");
}

static bool
add_scope(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct pattern *p = (struct pattern *)to + i;

	if (!parse_resource(r, at, s, to, i))
		return false;
	/* a prefix, so that what lies within it can be told at load */
	if (!p->variables && (pattern_is_literal(p) || (p->n == 2 && p->parts[1].kind == PART_ANY)))
		return true;
	parse_problem(r, at, LINT_E100, "\"%.*s\": a Scope is a resource, or the beginning of some with one * behind it", SPAN_FMT(s));
	return false;
}

static void
scope_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	struct pattern *p = arena_zalloc(r->bundle->arena, parse_count(v), sizeof *p);

	if (p == NULL)
		parse_out_of_memory(r, at);
	else if (parse_strings(r, at, "Scope", v, add_scope, p)) {
		r->document->scope = p;
		r->document->n_scope = parse_count(v);
	}
}

static void
zones_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	each_member(r, at, v, zone_parse_member);
}

static void
sets_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	each_member(r, at, v, set_parse_member);
}

static void
statements_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	if (!json_is_object(v) && !json_is_array(v))
		parse_problem(r, at, LINT_E100, "Statement is not an array of statements");
}

static void
comment_element(struct policy_reader *r, const struct place *at, const json_t *v)
{
	(void)r;
	(void)at;
	(void)v;
}

static const struct {
	const char *name;
	member_of *parse;
} elements[] = {
	{ "Version", version_element },
	{ "Statement", statements_element },
	{ "Id", id_element },
	{ "Kind", kind_element },
	{ "Scope", scope_element },
	{ "Zones", zones_element },
	{ "Sets", sets_element },
	{ "$schema", text_element },
	{ "//", comment_element },
};
#define N_ELEMENTS (sizeof elements / sizeof *elements)

static void
member_parse(struct policy_reader *r, const struct place *at, const json_t *v)
{
	size_t i = 0;

	while (i < N_ELEMENTS && strcmp(elements[i].name, at->key) != 0)
		i++;
	if (i == N_ELEMENTS)
		parse_problem(r, at, LINT_E101, "a policy document has no element \"%s\"", at->key);
	else
		elements[i].parse(r, at, v);
}

void
document_parse(struct policy_reader *r, const json_t *o)
{
	const struct place top = { .up = NULL };
	const char *key;
	json_t *v;

	if (!json_is_object(o)) {
		parse_problem(r, &top, LINT_E100, "a policy document is an object");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		struct place here = { .up = &top, .key = key };

		member_parse(r, &here, v);
	}
	if (json_object_get(o, "Version") == NULL && !r->names->any_vocabulary)
		parse_problem(r, &top, LINT_E100, "the document has no Version (\"" POLICY_VERSION "\")");
	if (json_object_get(o, "Statement") == NULL)
		parse_problem(r, &top, LINT_E100, "the document has no Statement");
	if ((json_object_get(o, "Scope") != NULL) != (r->document->kind == DOCUMENT_GRANT) && r->problems == 0)
		parse_problem(r, &top, LINT_E100, "Kind \"Grant\" and Scope go together: a Grant reaches what its Scope names and no more");
}

void
document_parse_statements(struct policy_reader *r, const json_t *o)
{
	const struct place top = { .up = NULL }, list = { .up = &top, .key = "Statement" };
	const json_t *v = json_object_get(o, "Statement");
	struct place element = { .up = &list };

	for (size_t i = 0; i < parse_count(v) && (json_is_array(v) || json_is_object(v)); i++) {
		place_next(r->source->text, &list, &element);
		statement_parse(r, &element, json_is_array(v) ? json_array_get(v, i) : v);
	}
}
