/*
 * condition.c - the Condition of a statement to atoms: one operator asked of one key.
 * Invariant: an atom that compares what its key cannot be is a problem at load, never a guess at run time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"

#define REGEX_BYTES_MAX ((size_t)256 << 20)

/* ---- the name of an operator: ForAnyValue:StringLikeIfExists ---- */

struct use {
	const struct operator_row *row; /* NULL: reported */
	enum qualifier qualifier;
	bool if_exists;
	struct span name; /* as written, as long as the snapshot */
};

static struct use
use_parse(struct policy_reader *r, const struct place *at, const char *text)
{
	static const struct {
		struct span prefix;
		enum qualifier qualifier;
	} qualifiers[] = { { { "ForAnyValue:", 12 }, QUALIFIER_ANY }, { { "ForAllValues:", 13 }, QUALIFIER_ALL } };
	struct span name = span_of(text);
	struct use use = { .name = intern_text(r, name) };

	for (size_t i = 0; i < 2; i++) {
		if (span_starts(name, qualifiers[i].prefix)) {
			use.qualifier = qualifiers[i].qualifier;
			name = span_skip(name, qualifiers[i].prefix.n);
			break;
		}
	}
	use.if_exists = span_ends(name, SPAN("IfExists"));
	if (use.if_exists)
		name.n -= strlen("IfExists");
	use.row = operator_find(name);
	if (use.name.p == NULL)
		parse_out_of_memory(r, at);
	else if (use.row == NULL)
		parse_problem(r, at, LINT_E101, "no condition operator \"%s\"", text);
	else if (use.row->kind == OPERATOR_NONE && (use.qualifier != QUALIFIER_NONE || use.if_exists))
		parse_problem(r, at, LINT_E110, "\"%s\": Null takes no qualifier and no IfExists", text);
	else
		return use;
	use.row = NULL;
	return use;
}

/* ---- values ---- */

/* "${set:bad-digests}": all values of a set. False after reporting; *is: it is one. */
static bool
add_set(struct policy_reader *r, const struct place *at, struct span s, struct atom *atom, bool *is)
{
	struct span name = s;

	*is = span_starts(s, SPAN("${set:")) && span_ends(s, SPAN("}")) && !r->names->any_vocabulary;
	if (!*is)
		return true;
	name = (struct span){ s.p + 6, s.n - 7 };
	if (atom->row->flags & (PATTERN_NOCASE | PATTERN_WILDCARDS)) {
		parse_problem(r, at, LINT_E102, "\"%.*s\": a set holds texts byte for byte: use StringEquals or StringNotEquals", SPAN_FMT(s));
		return false;
	}
	for (size_t i = 0; i < r->bundle->n_sets; i++) {
		if (span_eq(r->bundle->sets[i].name, name)) {
			atom->sets |= (uint64_t)1 << i;
			return true;
		}
	}
	parse_problem(r, at, LINT_E101, "no set \"%.*s\" in Sets", SPAN_FMT(name));
	return false;
}

/* A name of Zones is one that is there. */
static bool
zone_is_known(struct policy_reader *r, const struct place *at, const struct atom *atom, struct span s)
{
	if (atom->key.key != KEY_NET_ZONE || (atom->row->flags & (PATTERN_NOCASE | PATTERN_WILDCARDS)))
		return true;
	for (size_t i = 0; i < r->bundle->n_zones; i++)
		if (span_eq(r->bundle->zones[i].name, s))
			return true;
	parse_problem(r, at, LINT_E101, "no zone \"%.*s\" in Zones", SPAN_FMT(s));
	return false;
}

static bool
add_string_value(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;
	struct span *value = (struct span *)(uintptr_t)atom->values + i;
	struct pattern *to_pattern;
	bool set;

	if (!add_set(r, at, s, atom, &set))
		return false;
	if (set) {
		*value = intern_text(r, s);
		return value->p != NULL;
	}
	if (!zone_is_known(r, at, atom, s))
		return false;
	to_pattern = (struct pattern *)(uintptr_t)atom->patterns + atom->n++;
	if (!parse_pattern(r, at, s, atom->row->flags, to_pattern))
		return false;
	*value = to_pattern->source;
	return true;
}

static bool
add_network(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;
	char err[PATTERN_MAX + 128];

	if (network_parse(s, &((struct network *)(uintptr_t)atom->networks)[i], err, sizeof err))
		return true;
	parse_problem(r, at, LINT_E113, "%s", err);
	return false;
}

static bool
add_number(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;

	if (number_parse(s, &((struct number *)(uintptr_t)atom->numbers)[i]))
		return true;
	parse_problem(r, at, LINT_E102, "\"%.*s\" is not a decimal number: write 10, -1 or 7.5", SPAN_FMT(s));
	return false;
}

static bool
add_date(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;

	if (date_parse(s, &((struct number *)(uintptr_t)atom->numbers)[i]))
		return true;
	parse_problem(r, at, LINT_E113, "\"%.*s\" is not a date: write it with its time and zone, 2026-12-18T17:00:00Z, or as "
	    "seconds since 1970", SPAN_FMT(s));
	return false;
}

static bool
add_bool(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;
	bool yes = span_eq(s, SPAN("true"));

	((struct number *)(uintptr_t)atom->numbers)[i].whole = yes;
	if (yes || span_eq(s, SPAN("false")))
		return true;
	parse_problem(r, at, LINT_E102, "\"%.*s\" is neither \"true\" nor \"false\"", SPAN_FMT(s));
	return false;
}

static bool
add_version(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;

	if (version_parse(s, &((struct version *)(uintptr_t)atom->versions)[i]))
		return true;
	parse_problem(r, at, LINT_E102, "\"%.*s\" is not a version: write numbers joined by dots, 24.0", SPAN_FMT(s));
	return false;
}

static bool
add_window(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;
	const char *why;

	if (window_parse(s, &((struct window *)(uintptr_t)atom->windows)[i], &why))
		return true;
	parse_problem(r, at, LINT_E113, "\"%.*s\": %s", SPAN_FMT(s), why);
	return false;
}

static bool
add_regex(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	struct atom *atom = to;
	char err[256] = "longer than 1024 bytes";
	struct regex *x = NULL;

	if (s.n <= PATTERN_MAX && r->bundle->regex_bytes <= REGEX_BYTES_MAX)
		x = regex_new(s, &r->bundle->regexes, &r->bundle->regex_bytes, err, sizeof err);
	else if (s.n <= PATTERN_MAX)
		snprintf(err, sizeof err, "the regular expressions of the bundle take more than 256 MiB");
	((struct regex **)(uintptr_t)atom->regexes)[i] = x;
	if (x == NULL)
		parse_problem(r, at, LINT_E113, "\"%.*s\": %s", SPAN_FMT(s), err);
	return x != NULL;
}

static bool
null_value(struct policy_reader *r, const struct place *at, const json_t *v, struct atom *atom)
{
	const char *s = json_is_string(v) ? json_string_value(v) : "";

	if (json_is_boolean(v) || strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
		atom->negated = json_is_false(v) || strcmp(s, "false") == 0;
		return true;
	}
	parse_problem(r, at, LINT_E102, "Null takes \"true\" (the key is absent) or \"false\" (it is there)");
	return false;
}

/* What values of a kind are kept as, and how they are read. */
static const struct {
	add_string *add;
	size_t size;
	bool json; /* true, false and numbers of JSON are read as their text */
} kinds[] = {
	[OPERATOR_BOOL] = { add_bool, sizeof(struct number), true },
	[OPERATOR_NUMBER] = { add_number, sizeof(struct number), true },
	[OPERATOR_DATE] = { add_date, sizeof(struct number), true },
	[OPERATOR_VERSION] = { add_version, sizeof(struct version), false },
	[OPERATOR_STRING] = { add_string_value, sizeof(struct pattern), false },
	[OPERATOR_IP] = { add_network, sizeof(struct network), false },
	[OPERATOR_WINDOW] = { add_window, sizeof(struct window), false },
	[OPERATOR_REGEX] = { add_regex, sizeof(struct regex *), false },
};

/* A JSON true, 7 or 7.5 as text; NULL when it is none of them. */
static const char *
text_of(const json_t *v, char buf[static 32])
{
	if (json_is_boolean(v))
		return json_is_true(v) ? "true" : "false";
	if (json_is_integer(v)) {
		snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return buf;
	}
	if (json_is_real(v)) {
		snprintf(buf, 32, "%.15g", json_real_value(v));
		return buf;
	}
	return NULL;
}

/* Values without quotes become strings, so that one reader reads both. */
static json_t *
as_strings(const json_t *v)
{
	char buf[32];
	const char *text = text_of(v, buf);
	json_t *out, *element;
	size_t i;

	if (text != NULL)
		return json_string(text);
	if (!json_is_array(v))
		return json_incref((json_t *)(uintptr_t)v);
	out = json_array();
	json_array_foreach (v, i, element) {
		text = text_of(element, buf);
		if (out != NULL && (text != NULL ? json_array_append_new(out, json_string(text)) :
						   json_array_append(out, element)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

/* As written, for those who explain; texts by add_string_value(). */
static bool
keep_values(struct policy_reader *r, const json_t *strings, struct atom *atom)
{
	size_t n = parse_count(strings);
	struct span *values = arena_zalloc(r->bundle->arena, n, sizeof *values);

	if (values == NULL)
		return false;
	for (size_t i = 0; i < n && atom->row->kind != OPERATOR_STRING; i++) {
		const json_t *v = json_is_array(strings) ? json_array_get(strings, i) : strings;

		values[i] = intern_text(r, json_is_string(v) ? parse_text(v) : SPAN_NONE);
	}
	atom->values = values;
	atom->n_values = n;
	return !arena_failed(r->bundle->arena);
}

static void
values_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct atom *atom)
{
	enum operator_kind kind = atom->row->kind;
	json_t *strings;

	if (kind == OPERATOR_NONE) {
		strings = as_strings(v);
		if (null_value(r, at, v, atom) && (strings == NULL || !keep_values(r, strings, atom)))
			parse_out_of_memory(r, at);
		json_decref(strings);
		return;
	}
	atom->patterns = arena_zalloc(r->bundle->arena, parse_count(v), kinds[kind].size);
	strings = kinds[kind].json || r->names->any_vocabulary ? as_strings(v) : json_incref((json_t *)(uintptr_t)v);
	if (atom->patterns == NULL || strings == NULL || !keep_values(r, strings, atom)) {
		parse_out_of_memory(r, at);
	} else {
		parse_strings(r, at, "the value of a condition", strings, kinds[kind].add, atom);
		/* texts are counted as they come: sets are not among them */
		if (kind != OPERATOR_STRING)
			atom->n = parse_count(strings);
	}
	json_decref(strings);
}

/* ---- one key under one operator ---- */

/* False after reporting that the operator cannot be asked of the key. */
static bool
fits(struct policy_reader *r, const struct place *at, const struct use *use, const struct key_row *key)
{
	if (use->row->kind == OPERATOR_NONE)
		return true;
	if (!operator_compares(use->row->kind, key->type)) {
		parse_problem(r, at, LINT_E102, "\"%s\" is not of the type %s compares", at->key, use->row->name);
		return false;
	}
	if (key->cardinality == CARDINALITY_MANY && use->qualifier == QUALIFIER_NONE) {
		parse_problem(r, at, LINT_E105, "\"%s\" has several values and %.*s compares one: use ForAnyValue:%.*s or "
		    "ForAllValues:%.*s", at->key, SPAN_FMT(use->name), SPAN_FMT(use->name), SPAN_FMT(use->name));
		return false;
	}
	if (key->cardinality == CARDINALITY_ONE && use->qualifier != QUALIFIER_NONE) {
		parse_problem(r, at, LINT_E106, "\"%s\" has one value: leave the ForAnyValue: or ForAllValues: of %.*s out", at->key,
		    SPAN_FMT(use->name));
		return false;
	}
	return true;
}

static bool
find_key(struct policy_reader *r, const struct place *at, struct atom *atom)
{
	char err[PATTERN_MAX + 128];

	if (r->names->any_vocabulary) {
		atom->key = (struct key_ref){ .key = KEY_OTHER, .param = atom->name };
		return true;
	}
	if (!key_parse(atom->name, &atom->key, err, sizeof err)) {
		parse_problem(r, at, key_find(atom->name) == KEY_NONE ? LINT_E101 : key_row(key_find(atom->name))->param == PARAM_ZONE ?
		    LINT_E113 : LINT_E101, "%s", err);
		return false;
	}
	if (key_row(atom->key.key)->param != PARAM_ZONE || span_eq(atom->key.param, SPAN("UTC")))
		return true;
	atom->key.zone = fetch_zone(r, at, atom->key.param);
	return atom->key.zone != NULL;
}

static void
atom_parse(struct policy_reader *r, const struct place *at, const struct use *use, const json_t *v, struct atom *atom)
{
	*atom = (struct atom){
		.row = use->row,
		.qualifier = use->qualifier,
		.if_exists = use->if_exists,
		.negated = use->row->negated,
		.op = use->name,
		.name = intern_text(r, span_of(at->key)),
		.line = place_line(r->source->text, at),
	};
	if (atom->name.p == NULL)
		parse_out_of_memory(r, at);
	else if (find_key(r, at, atom) && fits(r, at, use, key_row(atom->key.key)))
		values_parse(r, at, v, atom);
}

static bool
same_key(const struct atom *a, const struct atom *b)
{
	return a->key.key == b->key.key && (a->key.key == KEY_OTHER ? span_eq_nocase(a->key.param, b->key.param) :
								 span_eq(a->key.param, b->key.param));
}

static void
operator_body(struct policy_reader *r, const struct place *at, const json_t *keys, struct atom *atoms, size_t *n)
{
	struct use use = use_parse(r, at, at->key);
	size_t first = *n;
	const char *key;
	json_t *v;

	if (!json_is_object(keys) || json_object_size(keys) == 0) {
		parse_problem(r, at, LINT_E100, "\"%s\" is not an object of condition keys", at->key);
		return;
	}
	if (use.row == NULL)
		return;
	json_object_foreach ((json_t *)(uintptr_t)keys, key, v) {
		struct place here = { .up = at, .key = key };

		atom_parse(r, &here, &use, v, &atoms[*n]);
		for (size_t i = first; i < *n; i++)
			if (same_key(&atoms[i], &atoms[*n]))
				parse_problem(r, &here, LINT_E104, "\"%s\" stands twice under %s", key, use.name.p);
		++*n;
	}
}

/* What costs a look-up last, then by the cost of the comparison. */
static int
by_cost(const void *a, const void *b)
{
	const struct atom *x = a, *y = b;
	int px = key_row(x->key.key)->phase, py = key_row(y->key.key)->phase;

	if (px != py)
		return px < py ? -1 : 1;
	return x->row->kind < y->row->kind ? -1 : x->row->kind > y->row->kind;
}

void
condition_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct atom *atoms;
	const char *name;
	size_t total = 0;
	json_t *keys;

	if (!json_is_object(v)) {
		parse_problem(r, at, LINT_E100, "Condition is not an object of operators");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)v, name, keys)
		total += json_is_object(keys) ? json_object_size(keys) : 0;
	atoms = arena_zalloc(r->bundle->arena, total, sizeof *atoms);
	if (atoms == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)v, name, keys) {
		struct place here = { .up = at, .key = name };

		operator_body(r, &here, keys, atoms, &s->n_atoms);
	}
	if (r->problems == 0 && s->n_atoms > 1)
		qsort(atoms, s->n_atoms, sizeof *atoms, by_cost);
	s->atoms = atoms;
}
