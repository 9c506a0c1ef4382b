/*
 * action.c - the actions: names, and patterns of names.
 * Invariant: every name comes from action.def.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

static const struct span names[ACTION_MAX] = {
#define ACTION(service, name, meaning) [ACTION_##name] = { #service ":" #name, sizeof #service ":" #name - 1 },
#include "policy/action.def"
#undef ACTION
};

enum policy_action
policy_action_parse(struct span name)
{
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++)
		if (span_eq(names[a], name))
			return (enum policy_action)a;
	return ACTION_NONE;
}

const char *
policy_action_name(enum policy_action a)
{
	return a > ACTION_NONE && a < ACTION_MAX ? names[a].p : "none";
}

const char *
policy_action_meaning(enum policy_action a)
{
	static const char *const meanings[ACTION_MAX] = {
#define ACTION(service, name, meaning) [ACTION_##name] = meaning,
#include "policy/action.def"
#undef ACTION
	};

	return a > ACTION_NONE && a < ACTION_MAX ? meanings[a] : "";
}

/* Names are short and few: recursion on a star is bounded by the name's length. */
static bool
matches(struct span pattern, struct span name)
{
	for (; pattern.n > 0; pattern = span_skip(pattern, 1), name = span_skip(name, 1)) {
		if (pattern.p[0] == '*') {
			while (pattern.n > 0 && pattern.p[0] == '*')
				pattern = span_skip(pattern, 1);
			for (size_t i = 0; i <= name.n; i++)
				if (matches(pattern, span_skip(name, i)))
					return true;
			return false;
		}
		if (name.n == 0 ||
		    (pattern.p[0] != '?' && ascii_lower(pattern.p[0]) != ascii_lower(name.p[0])))
			return false;
	}
	return name.n == 0;
}

uint32_t
action_mask(struct span pattern)
{
	uint32_t mask = 0;
	size_t stars = 0;

	for (size_t i = 0; i < pattern.n; i++)
		stars += pattern.p[i] == '*';
	if (pattern.n > 64 || stars > 4)
		return 0;
	for (unsigned a = ACTION_NONE + 1; a < ACTION_MAX; a++)
		if (matches(pattern, names[a]))
			mask |= 1u << a;
	return mask;
}
