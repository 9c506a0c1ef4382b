/*
 * identity.c - who is asking.
 * Invariant: but for its count an identity never changes; every one but the anonymous is a struct verified.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/identity.h"

#include <stdlib.h>

#include "policy/jws.h"

static const struct span anonymous_ids[] = { { "anonymous", 9 } };
static const struct identity anonymous = {
	.type = PRINCIPAL_ANONYMOUS,
	.subject = { "anonymous", 9 },
	.ids = anonymous_ids,
	.n_ids = 1,
	.refs = 1,
};

const struct identity *
identity_anonymous(void)
{
	return &anonymous;
}

const struct identity *
identity_ref(const struct identity *id)
{
	/* made by token_verify() or identity_new(), in memory of its own: only the count changes */
	if (id != &anonymous)
		((struct verified *)(uintptr_t)id)->identity.refs++;
	return id;
}

void
identity_unref(const struct identity *id)
{
	struct verified *v = (struct verified *)(uintptr_t)id;

	if (id == NULL || id == &anonymous || --v->identity.refs > 0)
		return;
	json_decref(v->claims);
	arena_free(v->arena);
	free(v);
}

/* ---- making one ---- */

bool
identity_name_ok(struct span s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= max;
}

/* The names of the caller itself: how many of the first two ids there are. */
static size_t
own_ids(struct arena *a, const struct identity *who, struct span ids[static 2])
{
	switch (who->type) {
	case PRINCIPAL_ANONYMOUS:
		ids[0] = anonymous_ids[0];
		return 1;
	case PRINCIPAL_BASIC:
		ids[0] = arena_printf(a, "basic:%.*s", SPAN_FMT(who->subject));
		return 1;
	case PRINCIPAL_JWT:
	case PRINCIPAL_CERT:
		break;
	}
	ids[0] = arena_printf(a, "issuer:%.*s", SPAN_FMT(who->issuer));
	ids[1] = arena_printf(a, "subject:%.*s/%.*s", SPAN_FMT(who->issuer), SPAN_FMT(who->subject));
	return 2;
}

void
identity_make_ids(struct arena *a, struct identity *who)
{
	struct span *ids = arena_zalloc(a, 2 + who->n_groups + who->n_roles + who->n_names + who->groups_unknown, sizeof *ids);
	size_t n;

	if (ids == NULL)
		return;
	n = own_ids(a, who, ids);
	for (size_t i = 0; i < who->n_groups; i++)
		ids[n++] = arena_printf(a, "group:%.*s/%.*s", SPAN_FMT(who->issuer), SPAN_FMT(who->groups[i]));
	for (size_t i = 0; i < who->n_roles; i++)
		ids[n++] = arena_printf(a, "role:%.*s/%.*s", SPAN_FMT(who->issuer), SPAN_FMT(who->roles[i]));
	for (size_t i = 0; i < who->n_names; i++)
		ids[n++] = arena_printf(a, "cert:%.*s", SPAN_FMT(who->names[i]));
	if (who->groups_unknown)
		ids[n++] = arena_printf(a, "groups-unknown:%.*s", SPAN_FMT(who->issuer));
	who->ids = ids;
	who->n_ids = n;
}

/* Copies of names. False when one is no name. */
static bool
copy_names(struct arena *a, const struct span *names, size_t n, const struct span **out)
{
	struct span *copies = n > IDENTITY_NAMES_MAX ? NULL : arena_zalloc(a, n, sizeof *copies);

	if (copies == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!identity_name_ok(names[i], IDENTITY_NAME_MAX))
			return false;
		copies[i] = arena_dup(a, names[i]);
	}
	*out = copies;
	return true;
}

const struct identity *
identity_new(const struct identity *parts)
{
	struct identity plain = *parts;

	plain.claims = plain.access = NULL;
	plain.token_id = plain.pass = SPAN_NONE;
	return identity_within(&plain, NULL);
}

const struct identity *
identity_within(const struct identity *parts, json_t *document)
{
	struct verified *v = calloc(1, sizeof *v);
	struct identity *who;

	if (v == NULL) {
		json_decref(document);
		return NULL;
	}
	who = &v->identity;
	*who = *parts;
	who->refs = 1;
	v->claims = document;
	v->arena = arena_new(IDENTITY_MEMORY);
	if (v->arena == NULL ||
	    (parts->type != PRINCIPAL_ANONYMOUS && !identity_name_ok(parts->issuer, IDENTITY_NAME_MAX)) ||
	    !identity_name_ok(parts->subject, IDENTITY_SUBJECT_MAX) ||
	    !copy_names(v->arena, parts->groups, parts->n_groups, &who->groups) ||
	    !copy_names(v->arena, parts->roles, parts->n_roles, &who->roles) ||
	    !copy_names(v->arena, parts->names, parts->n_names, &who->names))
		goto fail;
	who->issuer = arena_dup(v->arena, parts->issuer);
	who->subject = arena_dup(v->arena, parts->subject);
	who->key_id = arena_dup(v->arena, parts->key_id);
	identity_make_ids(v->arena, who);
	if (!arena_failed(v->arena))
		return who;
fail:
	identity_unref(who);
	return NULL;
}

/* ---- claims ---- */

const json_t *
claim_find(const json_t *claims, struct span path, unsigned *found)
{
	const json_t *v, *hit;

	*found = 0;
	if (!json_is_object(claims))
		return NULL;
	hit = json_object_getn(claims, path.p, path.n);
	*found = hit != NULL;
	for (size_t i = 1; i + 1 < path.n; i++) {
		unsigned deeper;

		if (path.p[i] != '.')
			continue;
		v = claim_find(json_object_getn(claims, path.p, i), span_skip(path, i + 1), &deeper);
		*found += deeper;
		hit = v != NULL ? v : hit;
	}
	return hit;
}

bool
claim_is_elsewhere(const json_t *claims, struct span path)
{
	const json_t *names = json_object_get(claims, "_claim_names");
	const char *dot = path.n == 0 ? NULL : memchr(path.p, '.', path.n);

	/* what the implicit flow of Entra ID says instead */
	if (span_eq(path, SPAN("groups")) && json_is_true(json_object_get(claims, "hasgroups")))
		return true;
	if (names == NULL)
		return false;
	if (!json_is_object(names))
		return true;	/* who knows what is elsewhere */
	return json_object_getn(names, path.p, path.n) != NULL ||
	    (dot != NULL && json_object_getn(names, path.p, (size_t)(dot - path.p)) != NULL);
}
