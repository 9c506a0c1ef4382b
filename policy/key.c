/*
 * key.c - condition keys: the registry, and the value of a key in a request.
 * Invariant: a value that cannot be had as asked is UNKNOWN, never absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

#include <inttypes.h>
#include <stdio.h>

/* Actions of which a request may have the key, or always has it. */
enum {
#define BIT(name)		      (1 << ACTION_##name)
#define GROUP(name, actions, meaning) ON_##name = (actions),
#include "policy/group.def"
#undef GROUP
#undef BIT
};

const struct action_group action_groups[] = {
#define GROUP(name, actions, meaning) { ON_##name, meaning },
#include "policy/group.def"
#undef GROUP
};
const size_t action_group_count = sizeof action_groups / sizeof *action_groups;

const char *
action_group_meaning(uint32_t actions)
{
	for (size_t i = 0; i < action_group_count; i++)
		if (action_groups[i].actions == actions)
			return action_groups[i].meaning;
	return "";
}

const char *
key_type_name(enum key_type type)
{
	switch (type) {
	case TYPE_STRING:
		return "text";
	case TYPE_NUMBER:
		return "number";
	case TYPE_BOOL:
		return "true or false";
	case TYPE_IP:
		return "IP address";
	case TYPE_DATE:
		return "date";
	case TYPE_VERSION:
		return "version";
	case TYPE_LOCAL:
		return "local time";
	case TYPE_ANY:
		return "any";
	}
	return "";
}

static const struct key_row rows[KEY_MAX] = {
	[KEY_NONE] = { "", TYPE_STRING, CARDINALITY_ONE, ON_NONE, ON_NONE, 1, PARAM_NONE, "no key" },
#define KEY(id, name, type, cardinality, on, always, phase, param, meaning) \
	[KEY_##id] = { name, TYPE_##type, CARDINALITY_##cardinality, ON_##on, ON_##always, phase, PARAM_##param, meaning },
#include "policy/key.def"
#undef KEY
};

static const struct key_row other = { "", TYPE_ANY, CARDINALITY_ANY, ON_ALL, ON_NONE, 1, PARAM_NONE, "any key" };

const struct key_row *
key_row(enum policy_key key)
{
	return key < KEY_MAX ? &rows[key] : &other;
}

const struct claim_row claim_rows[] = {
#define CLAIM(path, type, cardinality, shape, meaning) \
	{ path, TYPE_##type, CARDINALITY_##cardinality, SHAPE_##shape, meaning },
#include "policy/claim.def"
#undef CLAIM
};
const size_t claim_count = sizeof claim_rows / sizeof *claim_rows;

const struct claim_row *
claim_row(struct span path)
{
	for (size_t i = 0; i < claim_count; i++)
		if (span_eq(span_of(claim_rows[i].path), path))
			return &claim_rows[i];
	return NULL;
}

enum policy_key
key_find(struct span name)
{
	for (unsigned k = KEY_NONE + 1; k < KEY_MAX; k++) {
		struct span row = span_of(rows[k].name), head = name;

		if (rows[k].param != PARAM_NONE && head.n > row.n)
			head.n = row.n;
		if (span_eq_nocase(row, head))
			return (enum policy_key)k;
	}
	return KEY_NONE;
}

/* ---- names ---- */

static const char *
claim_problem(struct span claim)
{
	static const char why[] = "the path of a claim is names joined by dots, at most 9 of them";
	unsigned dots = 0;

	_Static_assert(CLAIM_DOTS_MAX == 8, "the text above");
	if (claim.n == 0 || claim.p[0] == '.' || claim.p[claim.n - 1] == '.')
		return why;
	for (size_t i = 0; i < claim.n; i++) {
		if ((unsigned char)claim.p[i] <= ' ' || claim.p[i] == 0x7f)
			return why;
		dots += claim.p[i] == '.';
	}
	return dots <= CLAIM_DOTS_MAX ? NULL : why;
}

static const char *
zone_problem(struct span zone)
{
	return zone_name_ok(zone) ? NULL : "a time zone is UTC or a name of the tz database: Europe/Berlin";
}

static const char *
window_problem(struct span window)
{
	if (span_eq(window, SPAN("1m")) || span_eq(window, SPAN("1h")) || span_eq(window, SPAN("1d")))
		return NULL;
	return "the window is 1m, 1h or 1d";
}

/* NULL when the param may stand behind the name. */
static const char *
param_problem(enum key_param kind, struct span param)
{
	switch (kind) {
	case PARAM_NONE:
		return NULL;
	case PARAM_CLAIM:
		return claim_problem(param);
	case PARAM_NAME:
		return param.n > 0 ? NULL : "a name is missing behind it";
	case PARAM_ZONE:
		return zone_problem(param);
	case PARAM_WINDOW:
		return window_problem(param);
	}
	return "";
}

bool
key_parse(struct span name, struct key_ref *out, char *err, size_t err_size)
{
	enum policy_key key = key_find(name);
	const char *why;

	*out = (struct key_ref){ .key = key };
	/* "jwt:" alone names nothing */
	if (key == KEY_NONE) {
		snprintf(err, err_size, "no condition key \"%.*s\"", SPAN_FMT(name));
		return false;
	}
	out->param = span_skip(name, span_of(rows[key].name).n);
	why = param_problem(rows[key].param, out->param);
	if (why == NULL)
		return true;
	snprintf(err, err_size, "no condition key \"%.*s\": %s", SPAN_FMT(name), why);
	return false;
}

/* ---- values ---- */

static void
value_of_text(struct span text, struct value *out)
{
	out->state = FACT_PRESENT;
	out->n = 1;
	out->text = text;
}

static void
value_of_number(int64_t n, struct value *out)
{
	int length = snprintf(out->buf, sizeof out->buf, "%" PRId64, n);

	value_of_text((struct span){ out->buf, length > 0 ? (size_t)length : 0 }, out);
}

/* One of a list name, value, name, value ... */
static void
value_of_map(const struct fact *f, struct span name, enum fact_state otherwise, struct value *out)
{
	out->state = otherwise;
	for (size_t i = 0; i + 1 < f->n_values; i += 2) {
		if (!span_eq(f->values[i], name))
			continue;
		if (f->values[i + 1].p == NULL)
			out->state = FACT_ABSENT;
		else
			value_of_text(f->values[i + 1], out);
	}
}

static void
value_of_fact(const struct policy_request *r, const struct fact *f, const struct key_ref *ref, const struct key_row *row,
    struct value *out)
{
	out->state = f->state;
	if (f->state != FACT_PRESENT)
		return;
	if (row->param != PARAM_NONE) {
		value_of_map(f, ref->param, r->part ? FACT_LATER : FACT_ABSENT, out);
		return;
	}
	out->many = row->cardinality == CARDINALITY_MANY;
	out->n = out->many ? f->n_values : 1;
	out->list = f->values;
	out->text = f->value;
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
static enum fact_state
text_of(const json_t *v, struct span *out, char buf[static 40])
{
	int n;

	switch (json_typeof(v)) {
	case JSON_STRING:
		*out = (struct span){ json_string_value(v), json_string_length(v) };
		return FACT_PRESENT;
	case JSON_TRUE:
		*out = SPAN("true");
		return FACT_PRESENT;
	case JSON_FALSE:
		*out = SPAN("false");
		return FACT_PRESENT;
	case JSON_INTEGER:
		n = snprintf(buf, 40, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		*out = (struct span){ buf, n > 0 ? (size_t)n : 0 };
		return FACT_PRESENT;
	case JSON_NULL:
		return FACT_ABSENT;
	case JSON_ARRAY:
	case JSON_OBJECT:
	case JSON_REAL: /* no text form that two readers agree on */
		break;
	}
	return FACT_UNKNOWN;
}

static void
value_of_claim(const struct policy_request *r, struct span path, struct value *out)
{
	unsigned found = 0;
	const json_t *v = claim_find(r->who->claims, path, &found);

	if (found > 1 || claim_is_elsewhere(r->who->claims, path)) {
		out->state = FACT_UNKNOWN;
	} else if (json_is_array(v)) {
		out->state = FACT_PRESENT;
		out->many = true;
		out->n = json_array_size(v);
		out->array = v;
	} else if (v != NULL) {
		out->n = 1;
		out->state = text_of(v, &out->text, out->buf);
	} else if (r->part) {
		out->state = FACT_LATER;
	}
}

/* A hundred statements that ask for the same claim look it up once. */
static void
value_of_claim_seen(struct evaluation *q, struct span path, struct value *out)
{
	unsigned known = q->n_claims < CLAIMS_SEEN ? q->n_claims : CLAIMS_SEEN;
	struct claim_seen *c;

	for (unsigned i = 0; i < known; i++) {
		c = &q->claims[i];
		if (c->path == path.p) {
			out->state = c->state;
			out->many = c->many;
			out->n = c->n;
			out->text = c->text;
			out->array = c->array;
			return;
		}
	}
	value_of_claim(q->r, path, out);
	if (out->text.p == out->buf)
		return; /* a number's text is the caller's */
	q->claims[q->n_claims++ % CLAIMS_SEEN] = (struct claim_seen){ path.p, out->state, out->many, out->n, out->text, out->array };
}

/* ---- what the engine knows itself: time, age, zones ---- */

static void
value_of_time(const struct policy_request *r, const struct key_ref *ref, struct value *out)
{
	static const char days[7][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };

	if (r->now <= 0 || r->now > CIVIL_MAX - 2 * 86400) {
		out->state = FACT_UNKNOWN;
		return;
	}
	if (ref->key == KEY_TIME_NOW) {
		value_of_number(r->now, out);
		return;
	}
	zone_local(ref->zone, r->now, &out->local);
	if (ref->key == KEY_TIME_MINUTE_OF_DAY)
		value_of_number(out->local.hour * 60 + out->local.minute, out);
	else
		value_of_text(span_of(days[out->local.weekday]), out);
}

static void
value_of_age(const struct policy_request *r, struct value *out)
{
	if (r->who->issued_at <= 0)
		out->state = r->part && r->who->issued_at == 0 ? FACT_LATER : FACT_ABSENT;
	else if (r->now <= 0)
		out->state = FACT_UNKNOWN;
	else
		value_of_number(r->now > r->who->issued_at ? r->now - r->who->issued_at : 0, out);
}

static bool
zone_has(const struct network_zone *z, const struct network *address)
{
	for (size_t i = 0; i < z->n; i++)
		if (network_contains(&z->networks[i], address))
			return true;
	return false;
}

/* The Zones that net:SourceIp lies in; an address that cannot be read lies nobody knows where. */
static void
find_zones(struct evaluation *q)
{
	const struct fact *source = &q->r->facts[KEY_NET_SOURCE_IP];
	struct network address;

	q->zones_known = true;
	q->n_zones = 0;
	q->zones_state = source->state;
	if (source->state != FACT_PRESENT)
		return;
	if (!address_parse(source->value, &address)) {
		q->zones_state = FACT_UNKNOWN;
		return;
	}
	for (size_t i = 0; i < q->p->bundle->n_zones; i++)
		if (zone_has(&q->p->bundle->zones[i], &address))
			q->zones[q->n_zones++] = q->p->bundle->zones[i].name;
}

static void
value_of_zones(struct evaluation *q, struct value *out)
{
	if (!q->zones_known)
		find_zones(q);
	out->state = q->zones_state;
	out->many = true;
	out->n = q->n_zones;
	out->list = q->zones;
}

/* ---- any vocabulary ---- */

static void
value_of_other(const json_t *context, struct span name, struct value *out)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)context, key, v) {
		if (!span_eq_nocase(span_of(key), name))
			continue;
		out->n = json_is_array(v) ? json_array_size(v) : 1;
		out->many = json_is_array(v);
		out->array = out->many ? v : NULL;
		out->state = out->many ? FACT_PRESENT : json_is_object(v) ? FACT_UNKNOWN : text_of(v, &out->text, out->buf);
		return;
	}
}

void
key_value(struct evaluation *q, const struct key_ref *ref, struct value *out)
{
	const struct identity *who = q->r->who;
	const struct key_row *row = key_row(ref->key);

	out->state = FACT_ABSENT;
	out->many = false;
	out->n = 0;
	out->text = SPAN_NONE;
	out->list = NULL;
	out->array = NULL;
	if (ref->key == KEY_OTHER) {
		value_of_other(q->r->any_context, ref->param, out);
	} else if (ref->key == KEY_JWT) {
		value_of_claim_seen(q, ref->param, out);
	} else if (ref->key == KEY_PRINCIPAL_IDS) {
		out->state = who->groups_unknown ? FACT_UNKNOWN : FACT_PRESENT;
		out->many = true;
		out->n = who->n_ids;
		out->list = who->ids;
	} else if (ref->key == KEY_PRINCIPAL_TYPE) {
		value_of_text(principal_type(who->type), out);
	} else if (ref->key == KEY_PRINCIPAL_ISSUER) {
		if (who->issuer.n > 0)
			value_of_text(who->issuer, out);
	} else if (ref->key == KEY_PRINCIPAL_AUTH_AGE) {
		value_of_age(q->r, out);
	} else if (ref->key == KEY_NET_ZONE) {
		value_of_zones(q, out);
	} else if (ref->key == KEY_TIME_NOW || row->param == PARAM_ZONE) {
		value_of_time(q->r, ref, out);
	} else {
		value_of_fact(q->r, &q->r->facts[ref->key], ref, row, out);
	}
}

void
key_value_then(struct evaluation *q, const struct key_ref *ref, struct value *out)
{
	struct fact f = q->r->facts[ref->key];

	f.state = f.value.n > 0 || f.n_values > 0 ? FACT_PRESENT : FACT_ABSENT;
	*out = (struct value){ .state = FACT_ABSENT };
	value_of_fact(q->r, &f, ref, key_row(ref->key), out);
}

enum fact_state
value_at(const struct value *v, size_t i, struct span *out, char buf[static 40])
{
	enum fact_state state = v->array != NULL ? text_of(json_array_get(v->array, i), out, buf) : FACT_PRESENT;

	if (v->array == NULL)
		*out = v->many ? v->list[i] : v->text;
	return state == FACT_PRESENT ? state : FACT_UNKNOWN;
}
