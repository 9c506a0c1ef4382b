/*
 * key.c - condition keys: the registry, and the value of a key in a request.
 * Invariant: a value that cannot be had as asked is UNKNOWN, never absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>

#include "policy/compiled.h"

static const struct key_row rows[KEY_MAX] = {
	[KEY_NONE] = { "jwt:<claim>", TYPE_STRING, CARDINALITY_ONE, PRESENCE_OPTIONAL, 1, "a claim of the verified token" },
#define KEY(id, name, type, cardinality, presence, phase, meaning) \
	[KEY_##id] = { name, TYPE_##type, CARDINALITY_##cardinality, PRESENCE_##presence, phase, meaning },
#include "policy/key.def"
#undef KEY
};

const struct key_row *
key_row(enum policy_key key)
{
	return &rows[key < KEY_MAX ? key : KEY_NONE];
}

enum policy_key
key_find(struct span name)
{
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++)
		if (span_eq_nocase(span_of(rows[k].name), name))
			return (enum policy_key)k;
	return KEY_NONE;
}

static bool
claim_ok(struct span claim)
{
	unsigned dots = 0;

	if (claim.p == NULL || claim.n == 0 || claim.p[0] == '.' || claim.p[claim.n - 1] == '.')
		return false;
	for (size_t i = 0; i < claim.n; i++) {
		if ((unsigned char)claim.p[i] <= ' ' || claim.p[i] == 0x7f)
			return false;
		dots += claim.p[i] == '.';
	}
	return dots <= CLAIM_DOTS_MAX;
}

bool
key_parse(struct span name, struct key_ref *out, char *err, size_t err_size)
{
	*out = (struct key_ref){ .key = KEY_NONE };
	if (name.n > 4 && span_eq_nocase((struct span){ name.p, 4 }, SPAN("jwt:"))) {
		out->claim = span_skip(name, 4);
		if (claim_ok(out->claim))
			return true;
		snprintf(err, err_size, "\"%.*s\": the path of a claim is names joined by dots, at most %u of them",
		    SPAN_FMT(name), CLAIM_DOTS_MAX + 1);
		return false;
	}
	out->key = key_find(name);
	if (out->key != KEY_NONE)
		return true;
	snprintf(err, err_size, "no condition key \"%.*s\"", SPAN_FMT(name));
	return false;
}

static void
value_of_fact(const struct fact *f, enum key_cardinality cardinality, struct value *out)
{
	out->state = f->state;
	if (f->state != FACT_PRESENT)
		return;
	out->many = cardinality == CARDINALITY_MANY;
	out->n = out->many ? f->n_values : 1;
	out->text = f->value;
}

static void
value_of_text(struct span text, struct value *out)
{
	out->state = FACT_PRESENT;
	out->n = 1;
	out->text = text;
}

static struct span
principal_type(enum principal_type type)
{
	switch (type) {
	case PRINCIPAL_ANONYMOUS:
		return SPAN("anonymous");
	case PRINCIPAL_JWT:
		return SPAN("jwt");
	case PRINCIPAL_CERT:
		return SPAN("cert");
	case PRINCIPAL_BASIC:
		return SPAN("basic");
	}
	return SPAN_NONE;
}

/* Numbers and booleans in their text form; an object has none. */
static void
value_of_claim(const json_t *v, struct value *out)
{
	int n;

	out->state = FACT_PRESENT;
	out->n = 1;
	switch (json_typeof(v)) {
	case JSON_STRING:
		out->text = (struct span){ json_string_value(v), json_string_length(v) };
		return;
	case JSON_ARRAY:
		out->many = true;
		out->n = json_array_size(v);
		return;
	case JSON_TRUE:
		out->text = SPAN("true");
		return;
	case JSON_FALSE:
		out->text = SPAN("false");
		return;
	case JSON_INTEGER:
		n = snprintf(out->buf, sizeof out->buf, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		out->text = (struct span){ out->buf, n > 0 ? (size_t)n : 0 };
		return;
	case JSON_NULL:
		out->state = FACT_ABSENT;
		return;
	case JSON_OBJECT:
	case JSON_REAL: /* no text form that two readers agree on */
		break;
	}
	out->state = FACT_UNKNOWN;
}

void
key_value(const struct policy_request *r, struct key_ref ref, struct value *out)
{
	const struct identity *who = r->who;
	unsigned found = 0;
	const json_t *v;

	out->state = FACT_ABSENT;
	out->many = false;
	out->n = 0;
	out->text = SPAN_NONE;
	if (ref.key == KEY_NONE) {
		v = claim_find(who->claims, ref.claim, &found);
		if (found > 1)
			out->state = FACT_UNKNOWN;
		else if (v != NULL)
			value_of_claim(v, out);
	} else if (ref.key == KEY_PRINCIPAL_IDS) {
		out->state = FACT_PRESENT;
		out->many = true;
		out->n = who->n_ids;
	} else if (ref.key == KEY_PRINCIPAL_TYPE) {
		value_of_text(principal_type(who->type), out);
	} else if (ref.key == KEY_PRINCIPAL_ISSUER) {
		if (who->issuer.n > 0)
			value_of_text(who->issuer, out);
	} else {
		value_of_fact(&r->facts[ref.key], rows[ref.key].cardinality, out);
	}
}
