/*
 * proof.c - what is proved, to be kept and back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/signature/parts.h"

#define LIST_MAX  (4u * VOTES_MAX)
#define LEVEL_MAX 9

static const char *const statuses[] = { [SIG_ERROR] = "error", [SIG_UNSIGNED] = "unsigned", [SIG_UNTRUSTED] = "untrusted",
	[SIG_VERIFIED] = "verified" };

const char *
status_name(unsigned status)
{
	return statuses[status <= SIG_VERIFIED ? status : SIG_ERROR];
}

/* ---- out ---- */

static json_t *
texts(const struct span *list, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; all != NULL && i < n; i++) {
		if (json_array_append_new(all, json_stringn(list[i].p, list[i].n)) != 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

json_t *
signature_save(const struct signature_proof *p)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:b, s:I}", "status", status_name(p->status), "why", p->why,
	    "keys", texts(p->keys, p->n_keys), "identities", texts(p->identities, p->n_identities),
	    "issuers", texts(p->issuers, p->n_issuers), "types", texts(p->types, p->n_types),
	    "builders", texts(p->builders, p->n_builders), "level", p->slsa_level, "sbom", p->sbom, "sbom_signed", p->sbom_signed,
	    "until", (json_int_t)p->until);
}

/* ---- and back ---- */

static bool
read_texts(const json_t *o, const char *key, struct arena *a, struct span **list, size_t *n)
{
	const json_t *all = json_object_get(o, key);
	size_t size = json_array_size(all);

	*list = arena_zalloc(a, size + 1, sizeof **list);
	if (*list == NULL || !json_is_array(all) || size > LIST_MAX)
		return false;
	for (*n = 0; *n < size; ++*n) {
		const json_t *s = json_array_get(all, *n);

		if (json_string_length(s) == 0)
			return false;
		(*list)[*n] = arena_dup(a, (struct span){ json_string_value(s), json_string_length(s) });
	}
	return !arena_failed(a);
}

static bool
read_status(struct span name, struct signature_proof *out)
{
	if (span_eq(name, SPAN("verified")))
		out->status = SIG_VERIFIED;
	else if (span_eq(name, SPAN("unsigned")))
		out->status = SIG_UNSIGNED;
	else if (span_eq(name, SPAN("untrusted")))
		out->status = SIG_UNTRUSTED;
	else
		return false;
	return true;
}

bool
signature_load(const json_t *o, struct arena *a, struct signature_proof *out)
{
	const json_t *level = json_object_get(o, "level"), *sbom = json_object_get(o, "sbom"), *is = json_object_get(o, "sbom_signed");
	struct span why = json_span(o, "why");

	memset(out, 0, sizeof *out);
	if (!read_status(json_span(o, "status"), out) || why.n >= sizeof out->why || !json_is_integer(level) || !json_is_boolean(sbom) ||
	    !json_is_boolean(is) || !json_int64(o, "until", &out->until))
		return false;
	if (json_integer_value(level) < -1 || json_integer_value(level) > LEVEL_MAX)
		return false;
	out->slsa_level = (int)json_integer_value(level);
	out->sbom = json_is_true(sbom);
	out->sbom_signed = json_is_true(is);
	if (why.n > 0)
		memcpy(out->why, why.p, why.n);
	return read_texts(o, "keys", a, &out->keys, &out->n_keys) && read_texts(o, "identities", a, &out->identities, &out->n_identities) &&
	    read_texts(o, "issuers", a, &out->issuers, &out->n_issuers) && read_texts(o, "types", a, &out->types, &out->n_types) &&
	    read_texts(o, "builders", a, &out->builders, &out->n_builders);
}
