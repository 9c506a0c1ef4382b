/*
 * parse.c - a policy document to statements.
 * Invariant: an element that is not understood is a problem, never skipped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/json.h"

#define VERSION	    "2026-11-01"
#define DEPTH_MAX   8u
#define SID_MAX	    64u
#define MESSAGE_MAX 512u

/* ---- problems ---- */

void
parse_problem(struct policy_reader *r, const struct place *at, const char *fmt, ...)
{
	char reason[PATTERN_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	r->problems++;
	r->problem(r->ctx, r->source->name, place_line(r->source->text, at), reason);
}

void
parse_out_of_memory(struct policy_reader *r, const struct place *at)
{
	parse_problem(r, at, "out of memory");
}

/* ---- strings: one, or an array of at least one ---- */

size_t
parse_count(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) : 1;
}

bool
parse_strings(struct policy_reader *r, const struct place *at, const char *what, const json_t *v, add_string *add,
    void *to)
{
	bool ok = true;

	if (json_is_string(v))
		return add(r, at, (struct span){ json_string_value(v), json_string_length(v) }, to, 0);
	if (!json_is_array(v)) {
		parse_problem(r, at, "%s is not a string or an array of strings", what);
		return false;
	}
	if (json_array_size(v) == 0) {
		parse_problem(r, at, "%s is empty: write what it stands for, or leave the statement out", what);
		return false;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *s = json_array_get(v, i);
		struct place here = { at, NULL, i };

		if (!json_is_string(s)) {
			parse_problem(r, &here, "%s is not an array of strings", what);
			ok = false;
		} else if (!add(r, &here, (struct span){ json_string_value(s), json_string_length(s) }, to, i)) {
			ok = false;
		}
	}
	return ok;
}

bool
parse_pattern(struct policy_reader *r, const struct place *at, struct span s, unsigned flags, struct pattern *out)
{
	char err[PATTERN_MAX + 128];

	if (pattern_compile(r->policy->arena, s, flags, out, err, sizeof err))
		return true;
	parse_problem(r, at, "\"%.*s\": %s", SPAN_FMT(s), err);
	return false;
}

/* ---- Principal ---- */

static bool
has_wildcard(struct span s)
{
	return s.n > 0 && (memchr(s.p, '*', s.n) != NULL || memchr(s.p, '?', s.n) != NULL);
}

static bool
known(const char *const *names, size_t n, struct span alias)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq(span_of(names[i]), alias))
			return true;
	return false;
}

/* issuer:<alias>, subject:<alias>/<pattern> ...: the alias is an issuer's own, never a pattern of several. */
static const char *
principal_problem(const struct policy_reader *r, struct span s)
{
	static const char *const kinds[] = { "issuer:", "subject:", "group:", "role:" };

	if (span_eq(s, SPAN("*")) || span_eq(s, SPAN("anonymous")))
		return NULL;
	if (span_starts(s, SPAN("cert:")) || span_starts(s, SPAN("basic:")))
		return "cert: and basic: principals are not served yet";
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct span alias = s;
		const char *slash;

		if (!span_starts(s, span_of(kinds[i])))
			continue;
		alias = span_skip(s, strlen(kinds[i]));
		slash = alias.n == 0 ? NULL : memchr(alias.p, '/', alias.n);
		if (i == 0 && slash != NULL)
			return "issuer: takes the alias of an issuer and nothing behind it";
		if (i > 0 && (slash == NULL || slash + 1 == alias.p + alias.n))
			return "write subject:<issuer alias>/<name> (group: and role: likewise)";
		if (i > 0)
			alias.n = (size_t)(slash - alias.p);
		if (alias.n == 0)
			return "the alias of an issuer is missing";
		if (has_wildcard(alias))
			return "the alias of an issuer is no pattern: a name means something only together with its issuer";
		if (r->names != NULL && !known(r->names->issuers, r->names->n_issuers, alias))
			return "no issuer of this alias is configured";
		return NULL;
	}
	return "a principal is *, anonymous, issuer:<alias>, subject:<alias>/<name>, group:<alias>/<name> or "
	       "role:<alias>/<name>";
}

static bool
add_principal(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	const char *why = principal_problem(r, s);

	if (why != NULL) {
		parse_problem(r, at, "\"%.*s\": %s", SPAN_FMT(s), why);
		return false;
	}
	return parse_pattern(r, at, s, PATTERN_WILDCARDS, (struct pattern *)to + i);
}

/* ---- Resource ---- */

static bool
is_special(char c)
{
	return c == '*' || c == '?' || c == '$';
}

static const char *
resource_problem(const struct policy_reader *r, struct span s)
{
	bool repo = span_starts(s, SPAN("repo:"));
	struct span rest = s;
	size_t n = 0;

	if (span_eq(s, SPAN("*")))
		return NULL;
	if (span_starts(s, SPAN("gateway:")))
		return "gateway: resources are not served yet";
	if (!repo && !span_starts(s, SPAN("registry:")))
		return "a resource is *, repo:<upstream alias>/<repository> or registry:<upstream alias>";
	rest = span_skip(s, repo ? 5 : 9);
	while (n < rest.n && rest.p[n] != '/' && !is_special(rest.p[n]))
		n++;
	if (n < rest.n && is_special(rest.p[n]))
		return NULL; /* an alias by pattern */
	if (n == 0)
		return "the alias of an upstream is missing";
	if (repo && (n == rest.n || n + 1 == rest.n))
		return "names no repository: write repo:<upstream alias>/<repository>, or /* for all of them";
	if (!repo && n < rest.n)
		return "registry: takes the alias of an upstream and nothing behind it";
	rest.n = n;
	if (r->names != NULL && !known(r->names->upstreams, r->names->n_upstreams, rest))
		return "no upstream of this alias is configured";
	return NULL;
}

static bool
add_resource(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	const char *why = resource_problem(r, s);

	if (why != NULL) {
		parse_problem(r, at, "\"%.*s\": %s", SPAN_FMT(s), why);
		return false;
	}
	return parse_pattern(r, at, s, PATTERN_WILDCARDS | PATTERN_VARIABLES, (struct pattern *)to + i);
}

/* ---- Action ---- */

static bool
add_action(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	uint32_t mask = action_mask(s), *actions = to;

	(void)i;
	*actions |= mask;
	if (mask == 0)
		parse_problem(r, at, "no action \"%.*s\"", SPAN_FMT(s));
	return mask != 0;
}

/* ---- the elements of a statement ---- */

typedef void element_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s);

static void
patterns_parse(struct policy_reader *r, const struct place *at, const json_t *v, add_string *add,
    const struct pattern **out, size_t *n)
{
	struct pattern *p = arena_zalloc(r->policy->arena, parse_count(v), sizeof *p);

	if (p == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	if (parse_strings(r, at, at->key, v, add, p)) {
		*out = p;
		*n = parse_count(v);
	}
}

static void
principal_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	patterns_parse(r, at, v, add_principal, &s->principals, &s->n_principals);
}

static void
resource_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	patterns_parse(r, at, v, add_resource, &s->resources, &s->n_resources);
}

static void
action_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	parse_strings(r, at, at->key, v, add_action, &s->actions);
}

static void
effect_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	const char *effect = json_is_string(v) ? json_string_value(v) : "";

	s->deny = strcmp(effect, "Deny") == 0;
	if (!s->deny && strcmp(effect, "Allow") != 0)
		parse_problem(r, at, "Effect is \"Allow\" or \"Deny\"");
}

static void
message_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span m = { json_string_value(v), json_string_length(v) };

	if (m.p == NULL || m.n == 0 || m.n > MESSAGE_MAX) {
		parse_problem(r, at, "Message is a text of at most %u bytes", MESSAGE_MAX);
		return;
	}
	for (size_t i = 0; i < m.n; i++) {
		if ((unsigned char)m.p[i] < ' ' || m.p[i] == 0x7f) {
			parse_problem(r, at, "Message has a control character");
			return;
		}
	}
	s->message = arena_dup(r->policy->arena, m);
	if (s->message.p == NULL)
		parse_out_of_memory(r, at);
}

static bool
sid_ok(struct span sid)
{
	for (size_t i = 0; i < sid.n; i++) {
		char c = sid.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_' || c == '.'))
			return false;
	}
	return sid.n > 0 && sid.n <= SID_MAX;
}

static void
sid_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span sid = { json_string_value(v), json_string_length(v) };
	const json_t *first;
	json_t *here;

	if (sid.p == NULL || !sid_ok(sid)) {
		parse_problem(r, at, "Sid is 1 to %u of A-Z a-z 0-9 . _ -", SID_MAX);
		return;
	}
	first = json_object_getn(r->sids, sid.p, sid.n);
	if (first != NULL) {
		parse_problem(r, at, "Sid \"%.*s\" is taken: %s", SPAN_FMT(sid), json_string_value(first));
		return;
	}
	here = json_sprintf("%s:%d", r->source->name, place_line(r->source->text, at));
	s->sid = arena_dup(r->policy->arena, sid);
	if (here == NULL || json_object_setn_new(r->sids, sid.p, sid.n, here) != 0 || s->sid.p == NULL)
		parse_out_of_memory(r, at);
}

static const struct element {
	const char *name;
	element_parse *parse;
	bool required;
	const char *refusal; /* parse == NULL: why it cannot stand here */
} elements[] = {
	{ "Sid", sid_parse, true, NULL },
	{ "Effect", effect_parse, true, NULL },
	{ "Principal", principal_parse, true, NULL },
	{ "Action", action_parse, true, NULL },
	{ "Resource", resource_parse, true, NULL },
	{ "Condition", condition_parse, false, NULL },
	{ "Message", message_parse, false, NULL },
	{ "NotPrincipal", NULL, false, "is not part of the language: it grants to everybody who is not named" },
	{ "NotResource", NULL, false, "is not part of the language: it reaches what nobody has named" },
	{ "NotAction", NULL, false, "is not served yet" },
	{ "Mode", NULL, false, "is not served yet" },
	{ "NotBefore", NULL, false, "is not served yet" },
	{ "Expires", NULL, false, "is not served yet" },
	{ "Labels", NULL, false, "is not served yet" },
};
#define N_ELEMENTS (sizeof elements / sizeof *elements)

static struct statement *
statement_new(struct policy *p)
{
	if (p->n == p->room) {
		size_t room = p->room == 0 ? 64 : 2 * p->room;
		struct statement *grown = reallocarray(p->statements, room, sizeof *grown);

		if (grown == NULL)
			return NULL;
		p->statements = grown;
		p->room = room;
	}
	p->statements[p->n] = (struct statement){ 0 };
	return &p->statements[p->n++];
}

static void
statement_parse(struct policy_reader *r, const struct place *at, const json_t *o)
{
	struct statement *s = statement_new(r->policy);
	const char *key;
	json_t *v;

	if (s == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	if (!json_is_object(o)) {
		parse_problem(r, at, "a statement is an object");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		struct place here = { at, key, 0 };
		size_t i = 0;

		while (i < N_ELEMENTS && strcmp(elements[i].name, key) != 0)
			i++;
		if (i == N_ELEMENTS && strcmp(key, "//") != 0)
			parse_problem(r, &here, "a statement has no element \"%s\"", key);
		else if (i < N_ELEMENTS && elements[i].parse == NULL)
			parse_problem(r, &here, "%s %s", key, elements[i].refusal);
		else if (i < N_ELEMENTS)
			elements[i].parse(r, &here, v, s);
	}
	for (size_t i = 0; i < N_ELEMENTS; i++)
		if (elements[i].required && json_object_get(o, elements[i].name) == NULL)
			parse_problem(r, at, "the statement has no %s", elements[i].name);
}

/* ---- the document ---- */

static void
statements_parse(struct policy_reader *r, const struct place *at, const json_t *v)
{
	if (json_is_object(v)) {
		statement_parse(r, at, v);
		return;
	}
	if (!json_is_array(v)) {
		parse_problem(r, at, "Statement is not an array of statements");
		return;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		struct place here = { at, NULL, i };

		statement_parse(r, &here, json_array_get(v, i));
	}
}

static void
member_parse(struct policy_reader *r, const struct place *at, const json_t *v)
{
	static const char *const later[] = { "Kind", "Scope", "Zones", "Sets" };
	static const char *const texts[] = { "$schema", "Id" };

	if (strcmp(at->key, "//") == 0)
		return;
	if (strcmp(at->key, "Statement") == 0) {
		statements_parse(r, at, v);
		return;
	}
	if (strcmp(at->key, "Version") == 0) {
		if (!json_is_string(v) || strcmp(json_string_value(v), VERSION) != 0)
			parse_problem(r, at, "Version is \"" VERSION "\"");
		return;
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (strcmp(at->key, texts[i]) == 0) {
			if (!json_is_string(v))
				parse_problem(r, at, "%s is not a string", at->key);
			return;
		}
	}
	for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
		if (strcmp(at->key, later[i]) == 0) {
			parse_problem(r, at, "%s is not served yet", at->key);
			return;
		}
	}
	parse_problem(r, at, "a policy document has no element \"%s\"", at->key);
}

static void
document_parse(struct policy_reader *r, const json_t *o)
{
	const struct place top = { NULL, NULL, 0 };
	const char *key;
	json_t *v;

	if (!json_is_object(o)) {
		parse_problem(r, &top, "a policy document is an object");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		struct place here = { &top, key, 0 };

		member_parse(r, &here, v);
	}
	if (json_object_get(o, "Version") == NULL)
		parse_problem(r, &top, "the document has no Version (\"" VERSION "\")");
	if (json_object_get(o, "Statement") == NULL)
		parse_problem(r, &top, "the document has no Statement");
}

void
policy_parse(struct policy_reader *r)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	int line = 1;
	json_t *o = json_strict(r->source->text, DEPTH_MAX, err, sizeof err, &line);

	if (o == NULL) {
		r->problems++;
		r->problem(r->ctx, r->source->name, line, err);
		return;
	}
	document_parse(r, o);
	json_decref(o);
}
