/*
 * schema.c - the JSON Schema of a policy document, made of key.def, operator.def, action.def and claim.def.
 * Invariant: whatever loads is valid, and nothing is said of a key, an operator or an action but what its row says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/layout.h"

/* Regular expressions that ECMAScript and Python read alike. */
#define CONTROL	 "\\u0000-\\u001f\\u007f"
#define DOLLAR	 "\\$(?!\\{)"
#define ESCAPE	 "\\$\\{[*?$]\\}"
#define VARIABLE "\\$\\{(?!set:)[^}|, ]+(?:\\|(?:lower|path|segment))*(?:, *'(?:[^']|'')*')?\\}"
#define NAME	 "^[A-Za-z0-9._-]{1,64}$"
#define DAY	 "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
#define DAYS	 DAY "(?:-" DAY ")?(?:," DAY "(?:-" DAY ")?)*"
#define CLOCK	 "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define HOURS	 CLOCK "-(?:" CLOCK "|24:00)"
#define DATE                                                                                       \
	"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:" \
	"(?:[0-5][0-9]|60)(?:\\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define OCTET  "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define V4     "(?:" OCTET "\\.){3}" OCTET "(?:/(?:[12]?[0-9]|3[0-2]))?"
#define V6     "(?=[^/]*:)[0-9A-Fa-f:.]+(?:/(?:[1-9]?[0-9]|1[01][0-9]|12[0-8]))?"
#define NUMBER	 "-?[0-9]+(?:\\.[0-9]{1,9})?"

struct builder {
	json_t *definitions;
	bool failed;
};

/* ---- pieces; each takes what it is given, NULL included, and fails the whole for it ---- */

static void
set(struct builder *b, json_t *o, const char *name, json_t *v)
{
	if (json_object_set_new(o, name, v) != 0)
		b->failed = true;
}

static void
add(struct builder *b, json_t *array, json_t *v)
{
	if (json_array_append_new(array, v) != 0)
		b->failed = true;
}

static json_t *
ref(const char *name)
{
	return json_pack("{s:s++}", "$ref", "#/definitions/", name, "");
}

/* VS Code's own keyword says the meaning in place of the regular expression that failed; others skip it. */
static json_t *
text(const char *pattern, const char *meaning)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:s}", "type", "string", "maxLength", (int)PATTERN_MAX, "pattern", pattern, "description",
	    meaning, "patternErrorMessage", meaning);
}

static json_t *
constant(const char *value, const char *meaning)
{
	return json_pack("{s:s, s:s}", "const", value, "description", meaning);
}

/* A value, or an array of at least one. */
static json_t *
one_or_many(const char *name)
{
	return json_pack("{s:[o, {s:s, s:o, s:i}]}", "anyOf", ref(name), "type", "array", "items", ref(name), "minItems", 1);
}

/* The same with words of its own, for an element. */
static json_t *
element(const char *name, const char *meaning)
{
	json_t *o = one_or_many(name);

	if (json_object_set_new(o, "description", json_string(meaning)) == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- the values that operators take ---- */

static void
define_texts(struct builder *b)
{
	static const char byte[] = "^(?:[^$" CONTROL "]|" DOLLAR "|" VARIABLE ")*$";
	static const char plain[] = "^(?:[^*?$" CONTROL "]|" DOLLAR "|" VARIABLE ")*$";

	set(b, b->definitions, "text", text(plain, "a text without wildcards (StringLike has them); ${key} is a value of the request, "
	    "${*} ${?} ${$} are the characters themselves"));
	set(b, b->definitions, "text-or-set", json_pack("{s:[o, o]}", "anyOf", ref("text"),
	    text("^\\$\\{set:[A-Za-z0-9._-]{1,64}\\}$", "all values of one of Sets")));
	set(b, b->definitions, "pattern", text(byte, "a pattern: * any text, ? one character; ${key} is a value of the request"));
	set(b, b->definitions, "regex", json_pack("{s:s, s:i, s:s}", "type", "string", "maxLength", (int)PATTERN_MAX, "description",
	    "a regular expression (PCRE2) that matches the whole value"));
}

static void
define_values(struct builder *b)
{
	define_texts(b);
	set(b, b->definitions, "number", json_pack("{s:[{s:s}, o]}", "anyOf", "type", "number",
	    text("^" NUMBER "$", "a decimal number: 10, -1 or 7.5")));
	set(b, b->definitions, "date", json_pack("{s:[o, o, {s:s}], s:[s]}", "anyOf", text("^" DATE "$", "a date with its time and zone"),
	    text("^" NUMBER "$", "seconds since 1970"), "type", "number", "examples", "2026-12-18T17:00:00Z"));
	set(b, b->definitions, "version", text("^[0-9]{1,9}(?:\\.[0-9]{1,9}){0,7}$", "numbers joined by dots: 24.0"));
	set(b, b->definitions, "bool", json_pack("{s:[b, b, s, s]}", "enum", 1, 0, "true", "false"));
	set(b, b->definitions, "network", text("^(?:" V4 "|" V6 ")$", "an IP address, or a network without bits behind "
	    "its prefix: 192.0.2.0/24, 2001:db8::/32"));
	set(b, b->definitions, "window", json_pack("{s:[o], s:[s, s, s]}", "allOf",
	    text("^(?:" DAYS "(?: " HOURS ")?|" HOURS ")$", "days, hours or both; 22:00-06:00 reaches into the next day"), "examples",
	    "Mon-Fri 08:00-18:00", "22:00-06:00", "Sat,Sun"));
}

/* The definition of what an operator compares with; NULL: Null's true or false. */
static const char *
values_of(const struct operator_row *row)
{
	switch (row->kind) {
	case OPERATOR_NONE:
		return NULL;
	case OPERATOR_BOOL:
		return "bool";
	case OPERATOR_NUMBER:
		return "number";
	case OPERATOR_DATE:
		return "date";
	case OPERATOR_WINDOW:
		return "window";
	case OPERATOR_VERSION:
		return "version";
	case OPERATOR_STRING:
		return row->flags & PATTERN_WILDCARDS ? "pattern" : row->flags & PATTERN_NOCASE ? "text" : "text-or-set";
	case OPERATOR_IP:
		return "network";
	case OPERATOR_REGEX:
		return "regex";
	}
	return NULL;
}

/* ---- condition keys ---- */

/* What an editor shows: the meaning, then type, number and presence. */
static json_t *
described(const struct key_row *row, const char *meaning)
{
	static const char *const fetched[] = { "", "", "; known once the manifest is read", "; looked up when a statement needs it" };
	const char *presence = row->always == row->on ? "always there" : row->always == 0 ? "may be absent" : "there";
	bool part = row->always != 0 && row->always != row->on;

	return json_pack("{s:o}", "description", json_sprintf("%s. %s%s; in requests: %s; %s%s%s%s", meaning,
	    row->cardinality == CARDINALITY_MANY ? "Several of: " : "",
	    key_type_name(row->type), action_group_meaning(row->on), presence,
	    part ? " in those " : "", part ? action_group_meaning(row->always) : "",
	    row->phase > 0 && row->phase <= 3 ? fetched[row->phase] : ""));
}

/* A regular expression for names without case, and what stands behind them. */
static void
key_pattern(const struct key_row *row, char *out, size_t size)
{
	static const char *const params[] = {
		[PARAM_NONE] = "",
		[PARAM_CLAIM] = "[^\\s.](?:\\S*[^\\s.])?",
		[PARAM_NAME] = ".+",
		[PARAM_ZONE] = "[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z][A-Za-z0-9_+-]*)*",
		[PARAM_WINDOW] = "1[mhd]",
	};
	size_t n = 0;

	for (const char *c = row->name; *c != '\0' && n + 8 < size; c++) {
		if (*c >= 'A' && *c <= 'Z')
			n += (size_t)snprintf(out + n, size - n, "[%c%c]", *c, ascii_lower(*c));
		else if (*c >= 'a' && *c <= 'z')
			n += (size_t)snprintf(out + n, size - n, "[%c%c]", *c - 'a' + 'A', *c);
		else
			out[n++] = *c;
	}
	snprintf(out + n, size - n, "%s", params[row->param]);
}

/* Names that an editor may offer: of keys with something behind them the likely ones. */
static void
offer_key(struct builder *b, json_t *properties, const struct key_row *row)
{
	static const struct {
		enum key_param param;
		const char *text;
	} likely[] = { { PARAM_WINDOW, "1m" }, { PARAM_WINDOW, "1h" }, { PARAM_WINDOW, "1d" }, { PARAM_ZONE, "UTC" },
		{ PARAM_ZONE, "Europe/Berlin" }, { PARAM_ZONE, "America/New_York" }, { PARAM_NAME, "org.opencontainers.image.source" } };
	char name[128];

	if (row->param == PARAM_NONE)
		set(b, properties, row->name, described(row, row->meaning));
	for (size_t i = 0; i < sizeof likely / sizeof *likely; i++) {
		if (likely[i].param != row->param)
			continue;
		snprintf(name, sizeof name, "%s%s", row->name, likely[i].text);
		set(b, properties, name, described(row, row->meaning));
	}
}

static void
offer_claims(struct builder *b, json_t *properties, enum operator_kind kind, bool many)
{
	char name[128];

	for (size_t i = 0; i < claim_count; i++) {
		const struct claim_row *c = &claim_rows[i];
		struct key_row row = { "", c->type, c->cardinality, key_row(KEY_JWT)->on, 0, 1, PARAM_NONE, "" };

		if (c->cardinality == (many ? CARDINALITY_ONE : CARDINALITY_MANY) || !operator_compares(kind, c->type))
			continue;
		snprintf(name, sizeof name, "%s%s", key_row(KEY_JWT)->name, c->path);
		set(b, properties, name, described(&row, c->meaning));
	}
}

/* An object of the keys that operators of this kind can be asked of. False: there are none. */
static bool
define_keys(struct builder *b, const char *name, enum operator_kind kind, bool many)
{
	json_t *properties = json_object(), *patterns = json_object(), *any;
	char all[8192], one[512];
	size_t n = 0;

	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		const struct key_row *row = key_row((enum policy_key)k);

		if (kind != OPERATOR_NONE && (row->cardinality == (many ? CARDINALITY_ONE : CARDINALITY_MANY) ||
						 !operator_compares(kind, row->type)))
			continue;
		offer_key(b, properties, row);
		if (row->param == PARAM_CLAIM)
			offer_claims(b, properties, kind, many);
		key_pattern(row, one, sizeof one);
		n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n == 0 ? "^(?:" : "|", one);
		b->failed |= n + 4 >= sizeof all;
		if (b->failed)
			break;
	}
	any = json_pack("{s:s, s:i, s:o, s:o, s:b}", "type", "object", "minProperties", 1, "properties", properties,
	    "patternProperties", patterns, "additionalProperties", 0);
	if (n == 0 || b->failed) {
		json_decref(any);
		return false;
	}
	snprintf(all + n, sizeof all - n, ")$");
	set(b, patterns, all, json_true());
	set(b, b->definitions, name, any);
	return true;
}

/* ---- operators ---- */

static const char *
kind_name(enum operator_kind kind)
{
	switch (kind) {
	case OPERATOR_NONE:
		return "keys";
	case OPERATOR_BOOL:
		return "bool-keys";
	case OPERATOR_NUMBER:
		return "number-keys";
	case OPERATOR_DATE:
		return "date-keys";
	case OPERATOR_WINDOW:
		return "window-keys";
	case OPERATOR_VERSION:
		return "version-keys";
	case OPERATOR_STRING:
	case OPERATOR_REGEX: /* compares with the same types */
		return "text-keys";
	case OPERATOR_IP:
		return "network-keys";
	}
	return "";
}

static json_t *
operator_schema(const struct operator_row *row, const char *keys, const char *before, const char *behind)
{
	const char *values = values_of(row);

	return json_pack("{s:o, s:[o], s:o}", "description", json_sprintf("%s%s%s", before, row->meaning, behind), "allOf",
	    ref(keys), "additionalProperties", values == NULL ? ref("bool") : one_or_many(values));
}

static void
define_operator(struct builder *b, json_t *operators, const struct operator_row *row)
{
	static const struct {
		const char *prefix, *before;
	} qualifiers[] = { { "", "" }, { "ForAnyValue:", "at least one of the values " },
		{ "ForAllValues:", "each of the values (also when there is none) " } };
	char name[64], keys[64];

	for (size_t q = 0; q < 3; q++) {
		bool many = q > 0;

		if (many && row->kind == OPERATOR_NONE)
			return;
		snprintf(keys, sizeof keys, "%s%s", kind_name(row->kind), many ? "-many" : "");
		if (json_object_get(b->definitions, keys) == NULL && !define_keys(b, keys, row->kind, many))
			continue;
		snprintf(name, sizeof name, "%s%s", qualifiers[q].prefix, row->name);
		set(b, operators, name, operator_schema(row, keys, qualifiers[q].before, ""));
		if (row->kind == OPERATOR_NONE)
			continue;
		snprintf(name, sizeof name, "%s%sIfExists", qualifiers[q].prefix, row->name);
		set(b, operators, name, operator_schema(row, keys, qualifiers[q].before, "; true when the key is absent"));
	}
}

static void
define_condition(struct builder *b)
{
	json_t *operators = json_object();

	set(b, b->definitions, "condition", json_pack("{s:s, s:s, s:O, s:b}", "type", "object", "description",
	    "operators, keys, values: all operators and keys must hold, with one of their values", "properties", operators,
	    "additionalProperties", 0));
	for (size_t i = 0; i < operator_count; i++)
		define_operator(b, operators, &operator_rows[i]);
	json_decref(operators);
}

/* ---- who, what, where ---- */

static void
define_actions(struct builder *b)
{
	static const char *const likely[][2] = { { "*", "all actions" }, { "registry:*", "all actions of the registry" },
		{ "registry:Pull*", "manifests and blobs, read" }, { "registry:Push*", "manifests and blobs, written" },
		{ "registry:List*", "all lists" }, { "registry:Delete*", "all deletes" } };
	json_t *any = json_array();
	char all[4096], one[256];
	size_t n = 0;

	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++) {
		struct key_row row = { .name = policy_action_name((enum policy_action)a), .param = PARAM_NONE };

		add(b, any, constant(row.name, policy_action_meaning((enum policy_action)a)));
		key_pattern(&row, one, sizeof one);
		n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n == 0 ? "^(?:" : "|", one);
		b->failed |= n + 4 >= sizeof all;
		if (b->failed)
			n = 0;
	}
	for (size_t i = 0; i < sizeof likely / sizeof *likely; i++)
		add(b, any, constant(likely[i][0], likely[i][1]));
	snprintf(all + n, sizeof all - n, ")$");
	add(b, any, text(all, "an action, without case"));
	add(b, any, text("^(?=[^*?]*[*?])(?:[*?]|[Rr])[A-Za-z:*?]{0,63}$", "actions by a pattern: * any text, ? one character"));
	set(b, b->definitions, "action", json_pack("{s:o}", "anyOf", any));
}

static void
define_principal(struct builder *b)
{
	static const char byte[] = "^(?:[^$" CONTROL "]|" DOLLAR "|" ESCAPE ")*$";
	json_t *any = json_array();

	add(b, any, constant("*", "everybody, anonymous callers too"));
	add(b, any, constant("anonymous", "whoever shows nothing"));
	add(b, any, text("^issuer:[^*?/]+$", "issuer:<alias>: whoever this issuer vouches for"));
	add(b, any, text("^subject:[^*?/]+/.", "subject:<issuer alias>/<subject>; * and ? in the subject"));
	add(b, any, text("^group:[^*?/]+/.", "group:<issuer alias>/<group>; * and ? in the group"));
	add(b, any, text("^role:[^*?/]+/.", "role:<issuer alias>/<role>; * and ? in the role"));
	add(b, any, text("^cert:.", "cert:<URI or DNS name, or SHA-256, of the client certificate>"));
	add(b, any, text("^basic:.", "basic:<user>"));
	set(b, b->definitions, "principal", json_pack("{s:o, s:[o]}", "anyOf", any, "allOf",
	    text(byte, "a principal holds no variable")));
}

static void
define_resource(struct builder *b)
{
	json_t *any = json_array();

	add(b, any, constant("*", "everything"));
	add(b, any, text("^repo:(?:[^/*?$]+/.|[^/*?$]*[*?$])", "repo:<upstream alias>/<repository>; * crosses slashes, ${key} is a value "
	    "of the request"));
	add(b, any, text("^registry:(?:[^/*?$]+$|[^/*?$]*[*?$])", "registry:<upstream alias>: the login check and the catalog"));
	set(b, b->definitions, "resource", json_pack("{s:o, s:[o]}", "anyOf", any, "allOf", ref("pattern")));
	set(b, b->definitions, "scope", json_pack("{s:[o, o]}", "allOf", ref("resource"),
	    text("^(?:[^*?$" CONTROL "]|" DOLLAR "|" ESCAPE ")+\\*?$", "a resource, or the beginning of some with one * behind it")));
}

/* ---- statements and documents ---- */

static json_t *
statement_properties(void)
{
	json_t *o = json_object();
	struct builder b = { o, false };

	set(&b, o, "//", json_pack("{s:s}", "description", "a comment"));
	set(&b, o, "Sid", json_pack("{s:s, s:s, s:s}", "type", "string", "pattern", NAME, "description",
	    "its name in the audit log, unique over all documents"));
	set(&b, o, "Effect", json_pack("{s:[o, o]}", "anyOf", constant("Allow", "one Allow allows, unless something denies"),
	    constant("Deny", "one Deny wins over every Allow")));
	set(&b, o, "Principal", element("principal", "who"));
	set(&b, o, "Action", element("action", "what"));
	set(&b, o, "NotAction", element("action", "everything but this; in a Deny only"));
	set(&b, o, "Resource", element("resource", "where"));
	set(&b, o, "Condition", ref("condition"));
	set(&b, o, "Mode", json_pack("{s:[o, o]}", "anyOf", constant("Enforce", "as written; the default"),
	    constant("Shadow", "asked and recorded, never enforced")));
	set(&b, o, "OnUnknown", json_pack("{s:s, s:s, s:s}", "type", "string", "pattern", "^(deny|allow|allow-stale\\([1-9][0-9]{0,5}[mhd]\\))$",
	    "description", "when evidence cannot be learned: deny (default), allow, or let what was known last count for so long"));
	set(&b, o, "OnPush", json_pack("{s:[s, s, s], s:s}", "enum", "stage", "hold", "quarantine", "description",
	    "what becomes of a push whose evidence is not there yet: stored by digest, held, or stored with its tag and not pullable"));
	set(&b, o, "NotBefore", json_pack("{s:o}", "allOf", json_pack("[o, {s:s}]", ref("date"), "type", "string")));
	set(&b, o, "Expires", json_pack("{s:o}", "allOf", json_pack("[o, {s:s}]", ref("date"), "type", "string")));
	set(&b, o, "Message", json_pack("{s:s, s:i, s:i, s:s, s:s}", "type", "string", "minLength", 1, "maxLength", 512, "pattern",
	    "^[^" CONTROL "]+$", "description", "told to the client when this statement refuses"));
	set(&b, o, "Labels", json_pack("{s:s, s:i, s:{s:s, s:i, s:s}, s:s}", "type", "object", "maxProperties", 16, "additionalProperties",
	    "type", "string", "maxLength", 128, "pattern", "^[^" CONTROL "]*$", "description", "names and texts for the record of a decision"));
	if (!b.failed)
		return o;
	json_decref(o);
	return NULL;
}

static void
define_statement(struct builder *b)
{
	json_t *rules = json_array();

	add(b, rules, json_pack("{s:[{s:[s]}, {s:[s]}]}", "oneOf", "required", "Action", "required", "NotAction"));
	add(b, rules, json_pack("{s:{s:[s]}, s:{s:{s:{s:s}}}}", "if", "required", "NotAction", "then", "properties", "Effect", "const",
	    "Deny"));
	set(b, b->definitions, "statement", json_pack("{s:s, s:o, s:[s, s, s, s], s:b, s:o}", "type", "object", "properties",
	    statement_properties(), "required", "Sid", "Effect", "Principal", "Resource", "additionalProperties", 0, "allOf", rules));
}

/* {"//": a comment, <name>: value ...} */
static json_t *
names_schema(json_t *value, const char *meaning)
{
	return json_pack("{s:s, s:{s:{}}, s:{s:o}, s:b, s:s}", "type", "object", "properties", "//", "patternProperties", NAME, value,
	    "additionalProperties", 0, "description", meaning);
}

static json_t *
document_properties(struct builder *b)
{
	json_t *o = json_object();

	set(b, o, "//", json_pack("{s:s}", "description", "a comment"));
	set(b, o, "$schema", json_pack("{s:s, s:s}", "type", "string", "description", "where this schema is, for editors"));
	set(b, o, "Version", constant(POLICY_VERSION, "version of the language"));
	set(b, o, "Kind", json_pack("{s:[o, o]}", "anyOf", constant("Guardrail", "Deny only"), constant("Grant", "within its Scope")));
	set(b, o, "Id", json_pack("{s:s, s:s}", "type", "string", "description", "name of the document, for records"));
	set(b, o, "Scope", element("scope", "no Resource of a Grant reaches beyond"));
	set(b, o, "Zones", names_schema(one_or_many("network"), "names of networks, for net:Zone"));
	set(b, o, "Sets", names_schema(text("^file:.", "file:<path>: one value a line, the path from this document"),
	    "lists of values, for ${set:name}"));
	set(b, o, "Statement", json_pack("{s:[{s:s, s:o}, o]}", "anyOf", "type", "array", "items", ref("statement"), ref("statement")));
	return o;
}

static json_t *
document_rules(struct builder *b)
{
	json_t *rules = json_array(), *deny = json_pack("{s:{s:{s:s}}}", "properties", "Effect", "const", "Deny");
	json_t *scope = json_pack("{s:[s]}", "required", "Scope");

	add(b, rules, json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:{s:{s:{s:[{s:O}, O]}}}}", "if", "properties", "Kind", "const", "Guardrail",
	    "required", "Kind", "then", "properties", "Statement", "allOf", "items", deny, deny));
	add(b, rules, json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:O, s:{s:O}}", "if", "properties", "Kind", "const", "Grant", "required",
	    "Kind", "then", scope, "else", "not", scope));
	json_decref(deny);
	json_decref(scope);
	return rules;
}

json_t *
policy_schema(void)
{
	struct builder b = { .definitions = json_object() };
	json_t *properties, *rules, *o;

	define_values(&b);
	define_actions(&b);
	define_principal(&b);
	define_resource(&b);
	define_condition(&b);
	define_statement(&b);
	properties = document_properties(&b);
	rules = document_rules(&b);
	o = json_pack("{s:s, s:s, s:s, s:o, s:[s, s], s:b, s:o, s:o}", "$schema", "http://json-schema.org/draft-07/schema#", "title",
	    "Tidewaiter policy, version " POLICY_VERSION, "type", "object", "properties", properties, "required", "Version", "Statement",
	    "additionalProperties", 0, "allOf", rules, "definitions", b.definitions);
	if (!b.failed)
		return o;
	json_decref(o);
	return NULL;
}

struct span
schema_text(struct arena *a)
{
	json_t *o = policy_schema();
	char *compact = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	struct node *root = compact == NULL ? NULL : layout_read(a, span_of(compact));
	struct span out = root == NULL ? SPAN_NONE : layout_write(a, root, 120);

	free(compact);
	json_decref(o);
	return out;
}
