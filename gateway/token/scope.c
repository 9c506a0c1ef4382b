/*
 * scope.c - sets of actions on repositories.
 * Invariant: what nobody knows grants nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/scope.h"

#include "gateway/registry/route.h"

static const struct {
	struct span name;
	enum scope_action action;
	enum policy_action means[6];	/* ends with ACTION_NONE */
} words[] = {
	{ { "pull", 4 }, SCOPE_PULL,
	    { ACTION_PullManifest, ACTION_PullBlob, ACTION_ListTags, ACTION_ListReferrers, ACTION_NONE } },
	{ { "push", 4 }, SCOPE_PUSH,
	    { ACTION_PushManifest, ACTION_PushBlob, ACTION_MountBlob, ACTION_CancelUpload, ACTION_AppendReferrer, ACTION_NONE } },
	{ { "delete", 6 }, SCOPE_DELETE, { ACTION_DeleteManifest, ACTION_DeleteTag, ACTION_DeleteBlob, ACTION_NONE } },
	{ { "*", 1 }, SCOPE_CATALOG, { ACTION_ListRepositories, ACTION_NONE } },
};
#define WORDS		(sizeof words / sizeof *words)
#define EVERYTHING	((unsigned)SCOPE_PULL | SCOPE_PUSH | SCOPE_DELETE)

const enum policy_action *
scope_actions(enum scope_action s)
{
	for (size_t i = 0; i + 1 < WORDS; i++)
		if (words[i].action == s)
			return words[i].means;
	return words[WORDS - 1].means;
}

/* ---- reading ---- */

/* Bytes of one scope (RFC 6749 section 3.3). */
static bool
is_scope_text(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

static unsigned
actions_of(struct span list)
{
	unsigned actions = 0;

	while (list.n > 0) {
		const char *comma = memchr(list.p, ',', list.n);
		struct span word = { list.p, comma == NULL ? list.n : (size_t)(comma - list.p) };

		if (span_eq(word, SPAN("*")))
			actions |= EVERYTHING;
		for (size_t i = 0; i + 1 < WORDS; i++)
			if (span_eq(word, words[i].name))
				actions |= words[i].action;
		list = span_skip(list, comma == NULL ? word.n : word.n + 1);
	}
	return actions;
}

static bool
add(struct scopes *s, struct span repository, unsigned actions)
{
	if (actions == 0)
		return true;
	for (size_t i = 0; i < s->n; i++) {
		if ((s->items[i].repository.p == NULL) == (repository.p == NULL) && span_eq(s->items[i].repository, repository)) {
			s->items[i].actions |= actions;
			return true;
		}
	}
	if (s->n == SCOPES_MAX)
		return false;
	s->items[s->n++] = (struct scope){ repository, actions };
	return true;
}

/* type:name:actions; a name may hold colons itself. */
static bool
add_one(struct scopes *s, struct span text)
{
	const char *first = memchr(text.p, ':', text.n), *last = memrchr(text.p, ':', text.n);
	struct span type, name, actions;

	if (first == last || !is_scope_text(text))
		return false;
	type = (struct span){ text.p, (size_t)(first - text.p) };
	name = (struct span){ first + 1, (size_t)(last - first) - 1 };
	actions = span_skip(text, (size_t)(last - text.p) + 1);
	if (span_eq(type, SPAN("repository")))
		return !repository_valid(name) || add(s, name, actions_of(actions));
	if (span_eq(type, SPAN("registry")) && span_eq(name, SPAN("catalog")) && span_eq(actions, SPAN("*")))
		return add(s, SPAN_NONE, SCOPE_CATALOG);
	return true;
}

bool
scopes_add(struct scopes *s, struct span text)
{
	while (text.n > 0) {
		const char *space = memchr(text.p, ' ', text.n);
		struct span one = { text.p, space == NULL ? text.n : (size_t)(space - text.p) };

		if (one.n > 0 && !add_one(s, one))
			return false;
		text = span_skip(text, space == NULL ? one.n : one.n + 1);
	}
	return true;
}

/* ---- writing ---- */

static size_t
put(char *out, size_t at, struct span s)
{
	memcpy(out + at, s.p, s.n);
	return at + s.n;
}

static size_t
put_actions(char *out, size_t at, unsigned actions)
{
	bool more = false;

	for (size_t i = 0; i < WORDS; i++) {
		if (!(actions & words[i].action))
			continue;
		if (more)
			out[at++] = ',';
		at = put(out, at, words[i].name);
		more = true;
	}
	return at;
}

struct span
scopes_text(const struct scopes *s, struct arena *a)
{
	size_t size = 1, n = 0;
	char *out;

	for (size_t i = 0; i < s->n; i++)
		size += s->items[i].repository.n + sizeof "repository::pull,push,delete,*" + sizeof "registry:catalog";
	out = arena_alloc(a, size);
	if (out == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < s->n; i++) {
		const struct scope *one = &s->items[i];

		if (i > 0)
			out[n++] = ' ';
		n = put(out, n, one->repository.p == NULL ? SPAN("registry:catalog") : SPAN("repository:"));
		if (one->repository.p != NULL)
			n = put(out, n, one->repository);
		out[n++] = ':';
		n = put_actions(out, n, one->actions);
	}
	return (struct span){ out, n };
}

static json_t *
access_of(const struct scope *s)
{
	json_t *actions = json_array();
	struct span name = s->repository.p == NULL ? SPAN("catalog") : s->repository;

	for (size_t i = 0; i < WORDS; i++)
		if (s->actions & words[i].action)
			json_array_append_new(actions, json_stringn(words[i].name.p, words[i].name.n));
	return json_pack("{s:s, s:s%, s:o}", "type", s->repository.p == NULL ? "registry" : "repository", "name", name.p, name.n,
	    "actions", actions);
}

json_t *
scopes_access(const struct scopes *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < s->n; i++) {
		if (json_array_append_new(all, access_of(&s->items[i])) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

/* ---- asking ---- */

static struct span
member(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return (struct span){ json_string_value(v), json_string_length(v) };
}

bool
access_valid(const json_t *access)
{
	for (size_t i = 0; i < json_array_size(access); i++) {
		const json_t *o = json_array_get(access, i), *actions = json_object_get(o, "actions");

		if (member(o, "type").p == NULL || member(o, "name").p == NULL || !json_is_array(actions))
			return false;
		for (size_t k = 0; k < json_array_size(actions); k++)
			if (!json_is_string(json_array_get(actions, k)))
				return false;
	}
	return json_is_array(access) && json_array_size(access) <= SCOPES_MAX;
}

/* What a token must hold for an action, any of these bits. */
static unsigned
needed_for(enum policy_action action)
{
	/* asked in addition, of who pushes over a tag or deletes what one names */
	if (action == ACTION_OverwriteTag)
		return SCOPE_PUSH | SCOPE_DELETE;
	for (size_t i = 0; i < WORDS; i++)
		for (const enum policy_action *a = words[i].means; *a != ACTION_NONE; a++)
			if (*a == action)
				return words[i].action;
	return 0;
}

static bool
has_action(const json_t *o, unsigned wanted)
{
	const json_t *actions = json_object_get(o, "actions");

	for (size_t k = 0; k < json_array_size(actions); k++) {
		const json_t *v = json_array_get(actions, k);

		for (size_t i = 0; i < WORDS; i++)
			if ((wanted & words[i].action) &&
			    span_eq(words[i].name, (struct span){ json_string_value(v), json_string_length(v) }))
				return true;
	}
	return false;
}

bool
access_covers(const json_t *access, enum policy_action action, struct span repository)
{
	unsigned wanted = needed_for(action);
	bool catalog = wanted == SCOPE_CATALOG;

	if (action == ACTION_Ping)
		return true;
	for (size_t i = 0; i < json_array_size(access) && wanted != 0; i++) {
		const json_t *o = json_array_get(access, i);

		if (span_eq(member(o, "type"), catalog ? SPAN("registry") : SPAN("repository")) &&
		    span_eq(member(o, "name"), catalog ? SPAN("catalog") : repository) && has_action(o, wanted))
			return true;
	}
	return false;
}
