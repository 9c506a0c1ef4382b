/*
 * view.c - what of an identity the statements of a snapshot can tell apart.
 * Invariant: what view_claims() and view_names() leave out changes no answer of the snapshot.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/view.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "policy/base64url.h"
#include "policy/compiled.h"

#define ID_MAX	(IDENTITY_NAME_MAX + 128u)	/* "group:<alias>/<name>" */

struct list {
	struct span *items;	/* sorted, each once, when the view is made */
	size_t n, room;
};

struct view {
	const struct policy *policy;
	struct list claims;	/* paths */
	struct list literals;	/* principals that are exact groups or roles */
	const struct pattern **patterns;	/* likewise, with wildcards */
	size_t n_patterns, room_patterns;
	struct list sources;	/* of all that the name is made of */
	bool all_ids;		/* some statement looks at principal:ids themselves */
	bool failed;
	char name[VIEW_NAME + 1];
};

/* ---- collecting ---- */

static void
add(struct view *v, struct list *l, struct span s)
{
	struct span *grown;

	if (l->n == l->room) {
		grown = reallocarray(l->items, l->room * 2 + 16, sizeof *grown);
		if (grown == NULL) {
			v->failed = true;
			return;
		}
		l->items = grown;
		l->room = l->room * 2 + 16;
	}
	l->items[l->n++] = s;
}

static int
compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int d = n == 0 ? 0 : memcmp(x->p, y->p, n);

	return d != 0 ? d : (x->n > y->n) - (x->n < y->n);
}

static void
sort(struct list *l)
{
	size_t kept = 0;

	if (l->n == 0)
		return;
	qsort(l->items, l->n, sizeof *l->items, compare);
	for (size_t i = 0; i < l->n; i++)
		if (kept == 0 || !span_eq(l->items[kept - 1], l->items[i]))
			l->items[kept++] = l->items[i];
	l->n = kept;
}

static bool
has(const struct list *l, struct span s)
{
	return l->n > 0 && bsearch(&s, l->items, l->n, sizeof s, compare) != NULL;
}

static void
see_key(struct view *v, const struct key_ref *ref)
{
	if (ref->key == KEY_JWT)
		add(v, &v->claims, ref->param);
	v->all_ids |= ref->key == KEY_PRINCIPAL_IDS;
}

static void
see_variables(struct view *v, const struct pattern *patterns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; patterns[i].variables && k < patterns[i].n; k++)
			if (patterns[i].parts[k].kind == PART_VARIABLE)
				see_key(v, &patterns[i].parts[k].key);
}

static void
see_atom(struct view *v, const struct atom *a)
{
	see_key(v, &a->key);
	switch (a->row->kind) {
	case OPERATOR_STRING:
		see_variables(v, a->patterns, a->n);
		return;
	case OPERATOR_NONE:
	case OPERATOR_BOOL:
	case OPERATOR_NUMBER:
	case OPERATOR_DATE:
	case OPERATOR_WINDOW:
	case OPERATOR_VERSION:
	case OPERATOR_IP:
	case OPERATOR_REGEX:
		return;
	}
}

/* Aliases are no patterns: a principal of one kind begins with its name. */
static bool
is_membership(struct span principal)
{
	return span_starts(principal, SPAN("group:")) || span_starts(principal, SPAN("role:"));
}

static void
see_principal(struct view *v, const struct pattern *p)
{
	const struct pattern **grown;

	if (!is_membership(p->source))
		return;
	add(v, &v->sources, p->source);
	if (pattern_is_literal(p)) {
		add(v, &v->literals, pattern_prefix(p));
		return;
	}
	if (v->n_patterns == v->room_patterns) {
		grown = reallocarray(v->patterns, v->room_patterns * 2 + 16, sizeof *grown);
		if (grown == NULL) {
			v->failed = true;
			return;
		}
		v->patterns = grown;
		v->room_patterns = v->room_patterns * 2 + 16;
	}
	v->patterns[v->n_patterns++] = p;
}

static void
see_statement(struct view *v, const struct statement *s)
{
	see_variables(v, s->principals, s->n_principals);
	see_variables(v, s->resources, s->n_resources);
	for (size_t i = 0; i < s->n_atoms; i++)
		see_atom(v, &s->atoms[i]);
	for (size_t i = 0; i < s->n_principals; i++)
		see_principal(v, &s->principals[i]);
}

/* ---- its name ---- */

static bool
hash_list(EVP_MD_CTX *ctx, const struct list *l)
{
	bool ok = EVP_DigestUpdate(ctx, &l->n, sizeof l->n) == 1;

	for (size_t i = 0; i < l->n && ok; i++)
		ok = EVP_DigestUpdate(ctx, &l->items[i].n, sizeof l->items[i].n) == 1 &&
		    EVP_DigestUpdate(ctx, l->items[i].p, l->items[i].n) == 1;
	return ok;
}

static bool
make_name(struct view *v)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char all = v->all_ids, digest[EVP_MAX_MD_SIZE];
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(ctx, &all, 1) == 1 &&
	    hash_list(ctx, &v->claims) && hash_list(ctx, &v->sources) && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (ok)
		v->name[base64url_encode(digest, 16, v->name)] = '\0';
	return ok;
}

struct view *
view_new(const struct policy *p)
{
	struct view *v = calloc(1, sizeof *v);

	if (v == NULL)
		return NULL;
	v->policy = p;
	for (size_t i = 0; i < policy_statements(p); i++)
		see_statement(v, policy_statement_at(p, i));
	sort(&v->claims);
	sort(&v->literals);
	sort(&v->sources);
	if (!v->failed && make_name(v))
		return v;
	view_free(v);
	return NULL;
}

void
view_free(struct view *v)
{
	if (v == NULL)
		return;
	free(v->claims.items);
	free(v->literals.items);
	free(v->sources.items);
	free(v->patterns);
	free(v);
}

const char *
view_name(const struct view *v)
{
	return v->name;
}

/* ---- claims ---- */

/* Put what the path leads to, by every way to read it, into `out` as it is in `in`. */
static bool
copy_path(json_t *out, const json_t *in, struct span path)
{
	json_t *v = json_object_getn(in, path.p, path.n);

	if (v != NULL && json_object_setn(out, path.p, path.n, v) != 0)
		return false;
	for (size_t i = 1; i + 1 < path.n; i++) {
		json_t *from, *to;

		if (path.p[i] != '.' || !json_is_object(from = json_object_getn(in, path.p, i)))
			continue;
		to = json_object_getn(out, path.p, i);
		if (to == from)
			continue;	/* all of it is there */
		if (to == NULL) {
			to = json_object();
			if (json_object_setn_new(out, path.p, i, to) != 0)
				return false;
		}
		if (!copy_path(to, from, span_skip(path, i + 1)))
			return false;
	}
	return true;
}

/* What says that claims are elsewhere (claim_is_elsewhere()): unknown stays unknown. */
static bool
copy_elsewhere(json_t *out, const json_t *claims)
{
	static const char *const members[] = { "_claim_names", "hasgroups" };

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		json_t *v = json_object_get(claims, members[i]);

		if (v != NULL && json_object_set(out, members[i], v) != 0)
			return false;
	}
	return true;
}

json_t *
view_claims(const struct view *v, const json_t *claims)
{
	json_t *out = json_object();

	if (out != NULL && !copy_elsewhere(out, claims)) {
		json_decref(out);
		return NULL;
	}
	for (size_t i = 0; i < v->claims.n && out != NULL && claims != NULL; i++) {
		if (!copy_path(out, claims, v->claims.items[i])) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

/* ---- groups and roles ---- */

/* Does it match a pattern that nothing kept matches yet? */
static bool
is_new(const struct view *v, struct span id, bool *matched)
{
	struct evaluation q = { .p = v->policy };
	bool new = false;

	for (size_t i = 0; i < v->n_patterns; i++) {
		/* of another kind or issuer, most of them */
		if (matched[i] || !span_starts(id, pattern_prefix(v->patterns[i])) ||
		    pattern_match(v->patterns[i], 0, &q, id) != TRI_YES)
			continue;
		matched[i] = new = true;
	}
	return new;
}

bool
view_names(const struct view *v, const char *kind, struct span issuer, const struct span *names, size_t n, bool *keep)
{
	bool *matched = calloc(v->n_patterns + 1, sizeof *matched);
	struct arena *a = arena_new((size_t)(n + 1) * (ID_MAX + 64) + 65536);
	bool ok = matched != NULL && a != NULL;

	for (size_t i = 0; i < n && ok; i++) {
		struct span id = arena_printf(a, "%s:%.*s/%.*s", kind, SPAN_FMT(issuer), SPAN_FMT(names[i]));

		ok = id.p != NULL;
		if (ok)
			keep[i] = v->all_ids || has(&v->literals, id) || is_new(v, id, matched);
	}
	arena_free(a);
	free(matched);
	return ok;
}
