/*
 * query.c - see query.h.
 * Invariant: a member that is not understood is an error: an answer to another question helps nobody.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/query.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "policy/client.h"
#include "policy/compiled.h"

#define QUERY_MAX	((size_t)16 << 20)

struct reader {
	struct policy_query *q;
	int64_t age;		/* principal:AuthAgeSeconds; -1: none, -2: not said */
	char *err;
	size_t err_size;
};

PRINTF(2, 3)
static bool
refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->err, r->err_size, fmt, ap);
	va_end(ap);
	return false;
}

static struct span
span_of_json(const json_t *s)
{
	return (struct span){ json_string_value(s), json_string_length(s) };
}

/* The ids, as the gateway builds them; what kind of principal and whose follows. */
static bool
read_principal(struct reader *r, const json_t *v)
{
	struct identity *who = &r->q->who;
	struct span *ids = arena_zalloc(r->q->arena, json_array_size(v), sizeof *ids);

	if (!json_is_array(v) || json_array_size(v) == 0)
		return refuse(r, "principal is not an array of ids");
	if (ids == NULL)
		return refuse(r, "out of memory");
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (!json_is_string(json_array_get(v, i)))
			return refuse(r, "principal is not an array of strings");
		ids[i] = span_of_json(json_array_get(v, i));
		if (span_starts(ids[i], SPAN("issuer:")))
			who->issuer = span_skip(ids[i], 7);
		who->groups_unknown |= span_starts(ids[i], SPAN("groups-unknown:"));
	}
	who->ids = ids;
	who->n_ids = json_array_size(v);
	who->type = span_eq(ids[0], SPAN("anonymous")) ? PRINCIPAL_ANONYMOUS : PRINCIPAL_JWT;
	return true;
}

static bool
read_action(struct reader *r, const json_t *v)
{
	r->q->request.action = policy_action_parse(span_of_json(v));
	return r->q->request.action != ACTION_NONE ||
	    refuse(r, "no action \"%s\"", json_is_string(v) ? json_string_value(v) : "");
}

static bool
read_resource(struct reader *r, const json_t *v)
{
	struct policy_request *q = &r->q->request;
	struct span s = span_of_json(v);
	const char *slash;

	if (span_starts(s, SPAN("registry:")) && s.n > 9) {
		q->upstream = span_skip(s, 9);
		return true;
	}
	if (!span_starts(s, SPAN("repo:")))
		return refuse(r, "resource is not repo:<upstream>/<repository> or registry:<upstream>");
	s = span_skip(s, 5);
	slash = s.n == 0 ? NULL : memchr(s.p, '/', s.n);
	if (slash == NULL || slash == s.p || slash + 1 == s.p + s.n)
		return refuse(r, "resource is not repo:<upstream>/<repository>");
	q->upstream = (struct span){ s.p, (size_t)(slash - s.p) };
	q->repository = span_skip(s, q->upstream.n + 1);
	return true;
}

/* One value as text; {NULL,0} when it has none. */
static struct span
text_of(struct reader *r, const json_t *v)
{
	if (json_is_string(v))
		return span_of_json(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? SPAN("true") : SPAN("false");
	if (json_is_real(v))
		return arena_printf(r->q->arena, "%.15g", json_real_value(v));
	if (json_is_integer(v))
		return arena_printf(r->q->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return SPAN_NONE;
}

static bool
read_values(struct reader *r, const char *key, const json_t *v, struct fact *f)
{
	struct span *values = arena_zalloc(r->q->arena, json_array_size(v), sizeof *values);

	if (values == NULL)
		return refuse(r, "out of memory");
	for (size_t i = 0; i < json_array_size(v); i++) {
		values[i] = text_of(r, json_array_get(v, i));
		if (values[i].p == NULL)
			return refuse(r, "\"%s\": an array holds strings, numbers and booleans", key);
	}
	*f = (struct fact){ .state = FACT_PRESENT, .values = values, .n_values = json_array_size(v) };
	return true;
}

static bool
is_mark(const json_t *v, const char *mark)
{
	return json_object_size(v) == 1 && json_is_true(json_object_get(v, mark));
}

/* Of a log: only the beginning of it was kept. */
static bool
is_cut(const struct reader *r, const json_t *v)
{
	return r->q->request.part && json_object_size(v) == 1 && json_object_get(v, "cut") != NULL;
}

/* {"unknown":true,"was":...,"age":3600}: not known now, and what was known last. */
static bool
is_was(const json_t *v)
{
	const json_t *age = json_object_get(v, "age");

	return json_object_size(v) == 3 && json_is_true(json_object_get(v, "unknown")) && json_object_get(v, "was") != NULL &&
	    json_is_integer(age) && json_integer_value(age) >= 0;
}

static bool read_fact(struct reader *r, const char *name, enum policy_key key, const json_t *v);

static bool
read_was(struct reader *r, const char *name, enum policy_key key, const json_t *v)
{
	struct fact *f = &r->q->facts[key];

	if (!read_fact(r, name, key, json_object_get(v, "was")))
		return false;
	f->was_known = f->state == FACT_PRESENT || f->state == FACT_ABSENT;
	f->state = FACT_UNKNOWN;
	f->age = json_integer_value(json_object_get(v, "age"));
	return true;
}

static bool
read_fact(struct reader *r, const char *name, enum policy_key key, const json_t *v)
{
	bool many = key_row(key)->cardinality == CARDINALITY_MANY;
	struct fact *f = &r->q->facts[key];

	if (json_is_null(v)) {
		f->state = FACT_ABSENT;
		return true;
	}
	if (is_cut(r, v))
		return true;
	if (is_was(v))
		return !is_was(json_object_get(v, "was")) ? read_was(r, name, key, v) : refuse(r, "\"%s\": was is a value", name);
	if (is_mark(v, "unknown") || is_mark(v, "later")) {
		f->state = is_mark(v, "unknown") ? FACT_UNKNOWN : FACT_LATER;
		return true;
	}
	if (json_is_array(v) != many)
		return refuse(r, "\"%s\" %s", name, many ? "takes an array" : "takes one value");
	if (many)
		return read_values(r, name, v, f);
	*f = (struct fact){ .state = FACT_PRESENT, .value = text_of(r, v) };
	return f->value.p != NULL || refuse(r, "\"%s\" is a string, number, boolean, null or {\"unknown\":true}", name);
}

/* image:Label/x, rate:Pulls/1h: one more of the names of the fact. */
static bool
read_named(struct reader *r, const char *name, struct key_ref ref, const json_t *v)
{
	struct fact *f = &r->q->facts[ref.key];
	struct span *values;

	if (is_mark(v, "unknown") || is_mark(v, "later")) {
		*f = (struct fact){ .state = is_mark(v, "unknown") ? FACT_UNKNOWN : FACT_LATER };
		return true;
	}
	if (f->state == FACT_UNKNOWN || (f->state == FACT_LATER && !r->q->request.part) || is_cut(r, v))
		return true;	/* what is not known of one is known of none */
	values = arena_zalloc(r->q->arena, f->n_values + 2, sizeof *values);
	if (values == NULL)
		return refuse(r, "out of memory");
	if (f->n_values > 0)
		memcpy(values, f->values, f->n_values * sizeof *values);
	values[f->n_values] = ref.param;
	values[f->n_values + 1] = text_of(r, v);
	if (values[f->n_values + 1].p == NULL && !json_is_null(v))
		return refuse(r, "\"%s\" is a string, number, boolean, null or {\"unknown\":true}", name);
	*f = (struct fact){ .state = FACT_PRESENT, .values = values, .n_values = f->n_values + 2 };
	return true;
}

static bool
read_now(struct reader *r, const json_t *v)
{
	struct number now = { 0 };

	if (is_mark(v, "unknown")) {
		r->q->request.now = 0;
		return true;
	}
	if (!date_parse(text_of(r, v), &now) || now.whole <= 0)
		return refuse(r, "time:Now is a date with its time and zone, or seconds since 1970");
	r->q->request.now = now.whole;
	return true;
}

static bool
read_age(struct reader *r, const json_t *v)
{
	struct number age = { 0 };

	if (json_is_null(v)) {
		r->age = -1;
		return true;
	}
	if (!number_parse(text_of(r, v), &age) || age.whole < 0)
		return refuse(r, "principal:AuthAgeSeconds is a number of seconds, or null");
	r->age = age.whole;
	return true;
}

static bool
read_principal_type(struct reader *r, const json_t *v)
{
	static const char *const types[] = {
		[PRINCIPAL_ANONYMOUS] = "anonymous",
		[PRINCIPAL_JWT] = "jwt",
		[PRINCIPAL_CERT] = "cert",
		[PRINCIPAL_BASIC] = "basic",
	};

	for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
		if (json_is_string(v) && span_eq(span_of_json(v), span_of(types[i]))) {
			r->q->who.type = (enum principal_type)i;
			return true;
		}
	}
	return refuse(r, "principal:Type is anonymous, jwt, cert or basic");
}

static bool
read_key(struct reader *r, const char *name, json_t *v)
{
	struct key_ref ref;

	if (!key_parse(span_of(name), &ref, r->err, r->err_size))
		return false;
	if (ref.key == KEY_JWT) {
		if (is_mark(v, "later"))
			return refuse(r, "\"%s\": a claim is known from the beginning, never later", name);
		if (is_cut(r, v))
			return true;
		return json_object_set(r->q->claims, ref.param.p, v) == 0 || refuse(r, "out of memory");
	}
	if (ref.key == KEY_PRINCIPAL_TYPE)
		return read_principal_type(r, v);
	if (ref.key == KEY_PRINCIPAL_IDS || ref.key == KEY_PRINCIPAL_ISSUER)
		return refuse(r, "\"%s\" follows from principal", name);
	if (ref.key == KEY_PRINCIPAL_AUTH_AGE)
		return read_age(r, v);
	if (ref.key == KEY_TIME_NOW)
		return read_now(r, v);
	if (key_row(ref.key)->param == PARAM_ZONE)
		return refuse(r, "\"%s\" follows from time:Now", name);
	if (key_row(ref.key)->param != PARAM_NONE)
		return read_named(r, name, ref, v);
	return read_fact(r, name, ref.key, v);
}

static bool
read_context(struct reader *r, const json_t *v)
{
	const char *key;
	json_t *value;

	if (v != NULL && !json_is_object(v))
		return refuse(r, "context is not an object");
	json_object_foreach ((json_t *)(uintptr_t)v, key, value) {
		if (!read_key(r, key, value))
			return false;
	}
	return true;
}

static void
present(struct policy_query *q, enum policy_key key, struct span value)
{
	if (value.n > 0 && q->facts[key].state == FACT_ABSENT)
		q->facts[key] = (struct fact){ .state = FACT_PRESENT, .value = value };
}

static bool
known_members(struct reader *r, const json_t *o)
{
	static const char *const members[] = { "principal", "action", "resource", "context", "name", "expect", "sid", "//" };
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		size_t i = 0;

		while (i < sizeof members / sizeof *members && strcmp(members[i], key) != 0)
			i++;
		if (i == sizeof members / sizeof *members)
			return refuse(r, "a request has no member \"%s\"", key);
	}
	return true;
}

/* What User-Agent says, where the request does not say it itself. */
static bool
present_client(struct reader *r)
{
	struct policy_query *q = r->q;
	struct client *c = arena_zalloc(q->arena, 1, sizeof *c);

	if (c == NULL)
		return refuse(r, "out of memory");
	if (q->facts[KEY_CLIENT_USER_AGENT].state != FACT_PRESENT) {
		/* what follows from what is not known is not known either */
		for (unsigned k = KEY_CLIENT_PRODUCT; k <= KEY_CLIENT_OS; k++)
			if (q->facts[k].state == FACT_ABSENT)
				q->facts[k].state = q->facts[KEY_CLIENT_USER_AGENT].state;
		return true;
	}
	client_parse(q->facts[KEY_CLIENT_USER_AGENT].value, c);
	present(q, KEY_CLIENT_PRODUCT, c->product);
	present(q, KEY_CLIENT_VERSION, c->version);
	present(q, KEY_CLIENT_OS, c->os);
	return true;
}

/* The same of a part: only what is not said follows from it. */
static bool
part_client(struct reader *r)
{
	struct policy_query *q = r->q;
	struct client *c = arena_zalloc(q->arena, 1, sizeof *c);
	struct span said[3];

	if (c == NULL)
		return refuse(r, "out of memory");
	client_parse(q->facts[KEY_CLIENT_USER_AGENT].value, c);
	said[0] = c->product;
	said[1] = c->version;
	said[2] = c->os;
	for (unsigned k = KEY_CLIENT_PRODUCT; k <= KEY_CLIENT_OS; k++) {
		struct span s = said[k - KEY_CLIENT_PRODUCT];

		if (q->facts[k].state != FACT_LATER)
			continue;
		q->facts[k].state = q->facts[KEY_CLIENT_USER_AGENT].state;
		if (q->facts[k].state == FACT_PRESENT)
			q->facts[k] = (struct fact){ .state = s.n > 0 ? FACT_PRESENT : FACT_ABSENT, .value = s };
	}
	return true;
}

static bool
query_read(struct policy_query *q, const json_t *o, bool part, int64_t now, char *err, size_t err_size)
{
	struct reader r = { .q = q, .age = -2, .err = err, .err_size = err_size };

	*q = (struct policy_query){ .arena = arena_new(QUERY_MAX), .claims = json_object() };
	q->request.part = part;
	for (unsigned k = 0; part && k < KEY_MAX; k++)
		q->facts[k].state = FACT_LATER;
	q->facts[KEY_REGISTRY_UPSTREAM].state = q->facts[KEY_REGISTRY_REPOSITORY].state = FACT_ABSENT;
	if (q->arena == NULL || q->claims == NULL)
		return refuse(&r, "out of memory");
	if (!json_is_object(o))
		return refuse(&r, "a request is an object");
	if (!known_members(&r, o) || !read_principal(&r, json_object_get(o, "principal")) ||
	    !read_action(&r, json_object_get(o, "action")) || !read_resource(&r, json_object_get(o, "resource")))
		return false;
	present(q, KEY_REGISTRY_UPSTREAM, q->request.upstream);
	present(q, KEY_REGISTRY_REPOSITORY, q->request.repository);
	q->request.now = now;
	if (!read_context(&r, json_object_get(o, "context")) || !(part ? part_client(&r) : present_client(&r)))
		return false;
	if (r.age > -2)
		q->who.issued_at = r.age < 0 || q->request.now <= r.age ? -1 : q->request.now - r.age;
	q->who.claims = q->claims;
	q->request.who = &q->who;
	q->request.facts = q->facts;
	return true;
}

bool
policy_query_read(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
{
	return query_read(q, o, false, now, err, err_size);
}

bool
policy_query_read_part(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
{
	return query_read(q, o, true, now, err, err_size);
}

/* ---- any vocabulary ---- */

/* Numbers with a fraction as their text; all else as it is. A value is never changed in the request itself. */
static json_t *
plain(struct reader *r, json_t *v)
{
	json_t *out, *element;
	size_t i;

	if (json_is_real(v))
		return json_string(text_of(r, v).p);
	if (!json_is_array(v))
		return json_incref(v);
	out = json_array();
	json_array_foreach (v, i, element)
		json_array_append_new(out, plain(r, element));
	return out;
}

static bool
read_any_context(struct reader *r, const json_t *v)
{
	const char *key;
	json_t *value;

	if (v != NULL && !json_is_object(v))
		return refuse(r, "context is not an object");
	json_object_foreach ((json_t *)(uintptr_t)v, key, value)
		if (json_object_set_new(r->q->claims, key, plain(r, value)) != 0)
			return refuse(r, "out of memory");
	return true;
}

static bool
read_any_principal(struct reader *r, const json_t *v)
{
	struct span *one = arena_zalloc(r->q->arena, 1, sizeof *one);

	if (json_is_array(v))
		return read_principal(r, v);
	if (one == NULL)
		return refuse(r, "out of memory");
	*one = json_is_string(v) ? span_of_json(v) : SPAN("anonymous");
	r->q->who.ids = one;
	r->q->who.n_ids = 1;
	return v == NULL || json_is_string(v) || refuse(r, "principal is not a string or an array of them");
}

bool
policy_query_read_any(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
{
	struct reader r = { .q = q, .err = err, .err_size = err_size };

	*q = (struct policy_query){ .arena = arena_new(QUERY_MAX), .claims = json_object() };
	if (q->arena == NULL || q->claims == NULL)
		return refuse(&r, "out of memory");
	if (!json_is_object(o))
		return refuse(&r, "a request is an object");
	q->request = (struct policy_request){
		.any_action = span_of_json(json_object_get(o, "action")),
		.any_resource = span_of_json(json_object_get(o, "resource")),
		.any_context = q->claims,
		.who = &q->who,
		.now = now,
		.facts = q->facts,
	};
	if (q->request.any_action.p == NULL || q->request.any_resource.p == NULL)
		return refuse(&r, "action and resource are strings");
	return known_members(&r, o) && read_any_principal(&r, json_object_get(o, "principal")) &&
	    read_any_context(&r, json_object_get(o, "context"));
}

void
policy_query_clear(struct policy_query *q)
{
	json_decref(q->claims);
	arena_free(q->arena);
	*q = (struct policy_query){ 0 };
}

const char *
verdict_name(enum verdict v)
{
	switch (v) {
	case VERDICT_ALLOW:
		return "Allow";
	case VERDICT_EXPLICIT_DENY:
		return "ExplicitDeny";
	case VERDICT_NEED:
		return "Need";
	case VERDICT_DENY:
		break;
	}
	return "ImplicitDeny";
}
