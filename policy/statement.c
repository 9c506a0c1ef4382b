/*
 * statement.c - a statement of a document: who, what, where; its conditions are condition.c's.
 * Invariant: a statement says what it is in full, or the document does not load.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "policy/compiled.h"

#define SID_MAX	    64u
#define MESSAGE_MAX 512u
#define LABELS_MAX  16u
#define LABEL_MAX   128u

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

static bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

/* ---- Principal ---- */

static const char *
alias_problem(const struct policy_reader *r, struct span alias)
{
	if (alias.n == 0)
		return "the alias of an issuer is missing";
	if (has_wildcard(alias))
		return "the alias of an issuer is no pattern: a name means something only together with its issuer";
	if (r->names->issuers != NULL && !known(r->names->issuers, r->names->n_issuers, alias))
		return "no issuer of this alias is configured";
	return NULL;
}

/* issuer:<alias>, subject:<alias>/<pattern> ...: the alias is an issuer's own, never a pattern of several. */
static const char *
principal_problem(const struct policy_reader *r, struct span s)
{
	static const char *const kinds[] = { "issuer:", "subject:", "group:", "role:" };

	if (span_eq(s, SPAN("*")) || span_eq(s, SPAN("anonymous")))
		return NULL;
	if (span_starts(s, SPAN("cert:")))
		return s.n > 5 ? NULL : "write cert:<URI or DNS name, or SHA-256, of the certificate>";
	if (span_starts(s, SPAN("basic:")))
		return s.n > 6 ? NULL : "write basic:<user>";
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
		return alias_problem(r, alias);
	}
	return "a principal is *, anonymous, issuer:<alias>, subject:<alias>/<name>, group:<alias>/<name>, role:<alias>/<name>, "
	       "cert:<name> or basic:<user>";
}

static bool
add_principal(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	const char *why = r->names->any_vocabulary ? NULL : principal_problem(r, s);

	if (why != NULL) {
		parse_problem(r, at, LINT_E101, "\"%.*s\": %s", SPAN_FMT(s), why);
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
	if (r->names->upstreams != NULL && !known(r->names->upstreams, r->names->n_upstreams, rest))
		return "no upstream of this alias is configured";
	return NULL;
}

bool
parse_resource(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	const char *why = r->names->any_vocabulary ? NULL : resource_problem(r, s);

	if (why != NULL) {
		parse_problem(r, at, LINT_E101, "\"%.*s\": %s", SPAN_FMT(s), why);
		return false;
	}
	return parse_pattern(r, at, s, PATTERN_WILDCARDS | PATTERN_VARIABLES, (struct pattern *)to + i);
}

/* A variable never climbs out of the text before it: its value is checked when it is put in. */
static bool
within(const struct pattern *scope, const struct pattern *p)
{
	if (pattern_is_literal(scope))
		return pattern_is_literal(p) && span_eq(pattern_prefix(scope), pattern_prefix(p));
	return span_starts(pattern_prefix(p), pattern_prefix(scope));
}

static bool
add_resource(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	const struct document *d = r->document;
	size_t k = 0;

	if (!parse_resource(r, at, s, to, i))
		return false;
	while (k < d->n_scope && !within(&d->scope[k], (struct pattern *)to + i))
		k++;
	if (d->kind == DOCUMENT_GRANT && k == d->n_scope) {
		parse_problem(r, at, LINT_E115, "\"%.*s\" reaches beyond the Scope of this Grant", SPAN_FMT(s));
		return false;
	}
	return true;
}

/* ---- Action ---- */

static bool
add_action(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	uint32_t mask = action_mask(s), *actions = to;

	(void)i;
	*actions |= mask;
	if (mask == 0)
		parse_problem(r, at, LINT_E101, "no action \"%.*s\"", SPAN_FMT(s));
	return mask != 0;
}

static bool
add_any_action(struct policy_reader *r, const struct place *at, struct span s, void *to, size_t i)
{
	return parse_pattern(r, at, s, PATTERN_WILDCARDS, (struct pattern *)to + i);
}

/* ---- the elements ---- */

typedef void element_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s);

static void
patterns_parse(struct policy_reader *r, const struct place *at, const json_t *v, add_string *add,
    const struct pattern **out, size_t *n)
{
	struct pattern *p = arena_zalloc(r->bundle->arena, parse_count(v), sizeof *p);

	if (p == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	if (parse_strings(r, at, at->key, v, add, p)) {
		*out = p;
		*n = parse_count(v);
	}
}

/* {"AWS": "...", "Federated": [...]}: all of them, whatever they are called. */
static void
any_principals(struct policy_reader *r, const struct place *at, const json_t *o, struct statement *s)
{
	json_t *all = json_array(), *v, *one;
	const char *key;
	size_t i;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		if (!json_is_array(v)) {
			json_array_append(all, v);
			continue;
		}
		json_array_foreach (v, i, one)
			json_array_append(all, one);
	}
	patterns_parse(r, at, all, add_principal, &s->principals, &s->n_principals);
	json_decref(all);
}

static void
principal_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	s->not_principal = strcmp(at->key, "NotPrincipal") == 0;
	if (r->names->any_vocabulary && json_is_object(v))
		any_principals(r, at, v, s);
	else
		patterns_parse(r, at, v, add_principal, &s->principals, &s->n_principals);
}

static void
resource_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	s->not_resource = strcmp(at->key, "NotResource") == 0;
	patterns_parse(r, at, v, add_resource, &s->resources, &s->n_resources);
}

static void
action_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	bool not = strcmp(at->key, "NotAction") == 0;

	if (r->names->any_vocabulary) {
		s->not_action = not;
		s->actions = UINT32_MAX;
		patterns_parse(r, at, v, add_any_action, &s->any_actions, &s->n_any_actions);
		return;
	}
	parse_strings(r, at, at->key, v, add_action, &s->actions);
	if (not)
		s->actions = ~s->actions & action_mask(SPAN("*"));
}

static void
effect_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	const char *effect = json_is_string(v) ? json_string_value(v) : "";

	s->deny = strcmp(effect, "Deny") == 0;
	if (!s->deny && strcmp(effect, "Allow") != 0)
		parse_problem(r, at, LINT_E100, "Effect is \"Allow\" or \"Deny\"");
	else if (!s->deny && r->document->kind == DOCUMENT_GUARDRAIL)
		parse_problem(r, at, LINT_E115, "a Guardrail only denies: an Allow belongs into a Grant");
}

static void
message_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span m = parse_text(v);

	if (m.p == NULL || m.n == 0 || m.n > MESSAGE_MAX) {
		parse_problem(r, at, LINT_E100, "Message is a text of at most %u bytes", MESSAGE_MAX);
		return;
	}
	if (has_control(m)) {
		parse_problem(r, at, LINT_E100, "Message has a control character");
		return;
	}
	s->message = intern_text(r, m);
	if (s->message.p == NULL)
		parse_out_of_memory(r, at);
}

static bool
sid_ok(struct span sid, bool any)
{
	for (size_t i = 0; i < sid.n; i++) {
		char c = sid.p[i];

		if (!any && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			c == '_' || c == '.'))
			return false;
	}
	return sid.n > 0 && sid.n <= (any ? PATTERN_MAX : SID_MAX) && !has_control(sid);
}

/* Of a statement not yet read, for what is said of it; empty when it has none that could be said. */
static struct span
sid_of(const json_t *o, bool any)
{
	struct span sid = parse_text(json_object_get(o, "Sid"));

	return sid_ok(sid, any) ? sid : SPAN_NONE;
}

static void
sid_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span sid = parse_text(v);
	const json_t *first;
	json_t *here;

	if (sid.p == NULL || !sid_ok(sid, r->names->any_vocabulary)) {
		parse_problem(r, at, LINT_E100, "Sid is 1 to %u of A-Z a-z 0-9 . _ -", SID_MAX);
		return;
	}
	first = json_object_getn(r->sids, sid.p, sid.n);
	if (first != NULL && !r->names->any_vocabulary) {
		parse_problem(r, at, LINT_E103, "Sid \"%.*s\" is taken: %s", SPAN_FMT(sid), json_string_value(first));
		return;
	}
	here = json_sprintf("%s:%d", r->source->name, place_line(r->source->text, at));
	s->sid = arena_dup(r->bundle->arena, sid);
	if (here == NULL || json_object_setn_new(r->sids, sid.p, sid.n, here) != 0 || s->sid.p == NULL)
		parse_out_of_memory(r, at);
}

static void
mode_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span mode = parse_text(v);

	s->shadow = span_eq(mode, SPAN("Shadow"));
	if (!s->shadow && !span_eq(mode, SPAN("Enforce")))
		parse_problem(r, at, LINT_E100, "Mode is \"Enforce\" or \"Shadow\" (recorded, never enforced)");
}

/* "deny", "allow", "allow-stale(24h)" */
static void
unknown_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span text = parse_text(v), begin = SPAN("allow-stale(");
	static const struct { char unit; int64_t seconds; } units[] = { { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	int64_t n = 0, unit = 0;
	size_t i = begin.n;

	s->stale = 0;
	s->open = span_eq(text, SPAN("allow"));
	if (s->open)
		s->stale = INT64_MAX;
	if (s->open || span_eq(text, SPAN("deny")))
		return;
	if (text.n > begin.n && span_starts(text, begin) && text.p[text.n - 1] == ')') {
		while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && n < 1000000)
			n = n * 10 + (text.p[i++] - '0');
		for (size_t k = 0; k < sizeof units / sizeof *units; k++)
			if (i + 2 == text.n && text.p[i] == units[k].unit)
				unit = units[k].seconds;
	}
	if (n <= 0 || n >= 1000000 || unit == 0)
		parse_problem(r, at, LINT_E100, "OnUnknown is \"deny\", \"allow\" or \"allow-stale(24h)\" (m, h or d)");
	else
		s->stale = n * unit;
}

static void
push_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct span text = parse_text(v);

	if (span_eq(text, SPAN("stage")))
		s->on_push = ON_PUSH_STAGE;
	else if (span_eq(text, SPAN("hold")))
		s->on_push = ON_PUSH_HOLD;
	else if (span_eq(text, SPAN("quarantine")))
		s->on_push = ON_PUSH_QUARANTINE;
	else
		parse_problem(r, at, LINT_E100, "OnPush is \"stage\", \"hold\" or \"quarantine\"");
}

static void
moment_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct number moment = { 0 };

	if (!json_is_string(v) || !date_parse(parse_text(v), &moment) || moment.whole <= 0) {
		parse_problem(r, at, LINT_E113, "%s is a date with its time and zone: 2026-12-18T17:00:00Z", at->key);
		return;
	}
	if (strcmp(at->key, "Expires") == 0)
		s->expires = moment.whole;
	else
		s->not_before = moment.whole;
	if (s->expires != 0 && s->expires <= s->not_before)
		parse_problem(r, at, LINT_E100, "the statement expires before it begins");
}

static void
labels_parse(struct policy_reader *r, const struct place *at, const json_t *v, struct statement *s)
{
	struct label *labels;
	const char *key;
	json_t *text;

	if (!json_is_object(v) || json_object_size(v) > LABELS_MAX) {
		parse_problem(r, at, LINT_E100, "Labels is an object of at most %u texts", LABELS_MAX);
		return;
	}
	labels = arena_zalloc(r->bundle->arena, json_object_size(v), sizeof *labels);
	if (labels == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	s->labels = labels;
	json_object_foreach ((json_t *)(uintptr_t)v, key, text) {
		struct place here = { .up = at, .key = key };
		struct span name = span_of(key), value = parse_text(text);

		if (name.n > LABEL_MAX || has_control(name) || value.p == NULL || value.n > LABEL_MAX || has_control(value)) {
			parse_problem(r, &here, LINT_E100, "a label is a text of at most %u bytes", LABEL_MAX);
			return;
		}
		labels[s->n_labels].name = intern_text(r, name);
		labels[s->n_labels++].value = intern_text(r, value);
	}
	if (arena_failed(r->bundle->arena))
		parse_out_of_memory(r, at);
}

enum need {
	NEED_NOT = 0,
	NEED_OURS, /* but not of any vocabulary */
	NEED_ALWAYS,
};
static const struct element {
	const char *name;
	element_parse *parse;
	enum need need;
	const char *refusal; /* why it cannot stand here; of any vocabulary it can, where it has a parser */
} elements[] = {
	{ "Sid", sid_parse, NEED_OURS, NULL },
	{ "Effect", effect_parse, NEED_ALWAYS, NULL },
	{ "Principal", principal_parse, NEED_OURS, NULL },
	{ "Action", action_parse, NEED_NOT, NULL },
	{ "NotAction", action_parse, NEED_NOT, NULL },
	{ "Resource", resource_parse, NEED_OURS, NULL },
	{ "Condition", condition_parse, NEED_NOT, NULL },
	{ "Message", message_parse, NEED_NOT, NULL },
	{ "Mode", mode_parse, NEED_NOT, NULL },
	{ "OnUnknown", unknown_parse, NEED_NOT, NULL },
	{ "OnPush", push_parse, NEED_NOT, NULL },
	{ "NotBefore", moment_parse, NEED_NOT, NULL },
	{ "Expires", moment_parse, NEED_NOT, NULL },
	{ "Labels", labels_parse, NEED_NOT, NULL },
	{ "NotPrincipal", principal_parse, NEED_NOT, "is not part of the language: it grants to everybody who is not named" },
	{ "NotResource", resource_parse, NEED_NOT, "is not part of the language: it reaches what nobody has named" },
};
#define N_ELEMENTS (sizeof elements / sizeof *elements)

static struct statement *
statement_new(struct bundle *b)
{
	if (b->n == b->room) {
		size_t room = b->room == 0 ? 64 : 2 * b->room;
		struct statement *grown = reallocarray(b->statements, room, sizeof *grown);

		if (grown == NULL)
			return NULL;
		b->statements = grown;
		b->room = room;
	}
	b->statements[b->n] = (struct statement){ .number = (uint32_t)b->n };
	return &b->statements[b->n++];
}

static void
element_of(struct policy_reader *r, const struct place *here, const json_t *v, struct statement *s)
{
	size_t i = 0;

	while (i < N_ELEMENTS && strcmp(elements[i].name, here->key) != 0)
		i++;
	if (i == N_ELEMENTS && strcmp(here->key, "//") != 0)
		parse_problem(r, here, LINT_E101, "a statement has no element \"%s\"", here->key);
	else if (i < N_ELEMENTS && elements[i].refusal != NULL && !r->names->any_vocabulary)
		parse_problem(r, here, LINT_E117, "%s %s", here->key, elements[i].refusal);
	else if (i < N_ELEMENTS)
		elements[i].parse(r, here, v, s);
}

/* NotPrincipal stands for Principal: it was refused, and that is enough. */
static bool
is_refused_by_name(const json_t *o, const char *name)
{
	char not[32];

	snprintf(not, sizeof not, "Not%s", name);
	return json_object_get(o, not) != NULL;
}

/* What must be there, and what must not be there together. */
static void
check_whole(struct policy_reader *r, const struct place *at, const json_t *o, const struct statement *s)
{
	bool action = json_object_get(o, "Action") != NULL, not_action = json_object_get(o, "NotAction") != NULL;
	const struct place here = { .up = at, .key = "NotAction" };

	for (size_t i = 0; i < N_ELEMENTS; i++)
		if (json_object_get(o, elements[i].name) == NULL && !is_refused_by_name(o, elements[i].name) &&
		    elements[i].need >= (r->names->any_vocabulary ? NEED_ALWAYS : NEED_OURS))
			parse_problem(r, at, LINT_E100, "the statement has no %s", elements[i].name);
	if (!action && !not_action)
		parse_problem(r, at, LINT_E100, "the statement has no Action");
	if (action && not_action)
		parse_problem(r, &here, LINT_E100, "Action and NotAction exclude each other");
	if (not_action && s->deny && r->names->linting != LINTING_OFF && !r->names->any_vocabulary)
		parse_problem(r, &here, LINT_W202, "NotAction denies every action but those it names");
	if (not_action && !s->deny && !r->names->any_vocabulary)
		parse_problem(r, &here, LINT_E100, "NotAction stands in a Deny only: in an Allow it grants what nobody has named");
}

void
statement_parse(struct policy_reader *r, const struct place *at, const json_t *o)
{
	struct statement *s = statement_new(r->bundle);
	const char *key;
	json_t *v;

	if (s == NULL) {
		parse_out_of_memory(r, at);
		return;
	}
	s->document = r->document;
	s->line = at->line;
	r->sid = sid_of(o, r->names->any_vocabulary);
	if (!json_is_object(o)) {
		parse_problem(r, at, LINT_E100, "a statement is an object");
		return;
	}
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		struct place here = { .up = at, .key = key };

		element_of(r, &here, v, s);
	}
	check_whole(r, at, o, s);
	r->sid = SPAN_NONE;
}
