/*
 * image.c - what a manifest and the config of an image say, as facts.
 * Invariant: what is read here a runtime reads the same: members that Go would fold into a known one are refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/image.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "policy/json.h"
#include "policy/scalar.h"
#include "policy/secret.h"

#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define DEPTH_MAX    16u
#define LIST_MAX     4096u	/* layers, ports, variables, labels, history */

static const char *const root_keys[] = { "created", "author", "architecture", "os", "os.version", "os.features", "variant", "config",
	"rootfs", "history", "container_config" };
static const char *const config_keys[] = { "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels",
	"StopSignal", "Memory", "MemorySwap", "CpuShares", "Healthcheck" };
static const char *const rootfs_keys[] = { "type", "diff_ids" };
static const char *const history_keys[] = { "created", "author", "created_by", "comment", "empty_layer" };

struct telling {
	struct arena *arena;
	struct fact *facts;
	bool ok;
};

static void
tell_one(struct telling *t, enum policy_key key, struct span value)
{
	t->facts[key] = (struct fact){ .state = value.n > 0 ? FACT_PRESENT : FACT_ABSENT, .value = value };
}

static void
tell_many(struct telling *t, enum policy_key key, const struct span *values, size_t n)
{
	t->facts[key] = (struct fact){ .state = n > 0 ? FACT_PRESENT : FACT_ABSENT, .values = values, .n_values = n };
}

static void
tell_number(struct telling *t, enum policy_key key, int64_t n)
{
	struct span text = arena_printf(t->arena, "%" PRId64, n);

	t->ok = t->ok && text.p != NULL;
	tell_one(t, key, text);
}

static struct span *
room(struct telling *t, size_t n)
{
	struct span *out = arena_zalloc(t->arena, n + 1, sizeof *out);

	t->ok = t->ok && out != NULL;
	return out;
}

/* Its own, its children's, its subject's. */
static void
tell_digests(struct telling *t, const struct manifest *m)
{
	struct span *all = room(t, m->n_children + 2);
	size_t n = 0;

	if (all == NULL)
		return;
	all[n] = arena_dup(t->arena, span_of(m->digest));
	t->ok = t->ok && all[n].p != NULL;
	n++;
	for (size_t i = 0; i < m->n_children; i++)
		all[n++] = m->children[i].digest;
	if (m->has_subject)
		all[n++] = m->subject.digest;
	tell_many(t, KEY_IMAGE_DIGESTS, all, n);
}

static void
tell_platforms(struct telling *t, const struct manifest *m)
{
	struct span *all = room(t, m->n_children);
	size_t n = 0;

	if (m->kind != MANIFEST_INDEX || all == NULL)
		return; /* an image's is its config's */
	for (size_t i = 0; i < m->n_children; i++) {
		const struct descriptor *d = &m->children[i];

		if (d->os.n == 0)
			continue;
		all[n] = arena_printf(t->arena, "%.*s/%.*s%s%.*s", SPAN_FMT(d->os), SPAN_FMT(d->architecture), d->variant.n > 0 ? "/" : "",
		    SPAN_FMT(d->variant));
		t->ok = t->ok && all[n].p != NULL;
		n++;
	}
	tell_many(t, KEY_IMAGE_PLATFORMS, all, n);
}

static void
tell_size(struct telling *t, const struct manifest *m)
{
	int64_t sum = m->config.size;

	if (m->kind != MANIFEST_IMAGE) {
		tell_one(t, KEY_IMAGE_SIZE_BYTES, SPAN_NONE);
		tell_one(t, KEY_IMAGE_LAYER_COUNT, SPAN_NONE);
		return;
	}
	for (size_t i = 0; i < m->n_layers; i++)
		sum = m->layers[i].size > INT64_MAX - sum ? INT64_MAX : sum + m->layers[i].size;
	tell_number(t, KEY_IMAGE_SIZE_BYTES, sum);
	tell_number(t, KEY_IMAGE_LAYER_COUNT, (int64_t)m->n_layers);
}

/* Names and values; the text was read once already. */
static void
tell_annotations(struct telling *t, struct span bytes)
{
	json_t *root = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, NULL), *all = json_object_get(root, "annotations"), *value;
	struct span *out = room(t, 2 * json_object_size(all));
	const char *name;
	size_t n = 0;

	t->ok = t->ok && root != NULL;
	json_object_foreach(all, name, value) {
		if (out == NULL || !json_is_string(value))
			continue;
		out[n] = arena_dup(t->arena, span_of(name));
		out[n + 1] = arena_dup(t->arena, (struct span){ json_string_value(value), json_string_length(value) });
		t->ok = t->ok && out[n].p != NULL && out[n + 1].p != NULL;
		n += 2;
	}
	json_decref(root);
	tell_many(t, KEY_IMAGE_ANNOTATION, out, n);
}

/* Of layers, each once. */
static void
tell_layers(struct telling *t, const struct manifest *m)
{
	struct span *types = room(t, m->n_layers);
	bool foreign = false;
	size_t n = 0;

	for (size_t i = 0; types != NULL && i < m->n_layers; i++) {
		size_t at = 0;

		foreign |= m->layers[i].has_urls;
		while (at < n && !span_eq_nocase(types[at], m->layers[i].media_type))
			at++;
		if (at == n)
			types[n++] = m->layers[i].media_type;
	}
	tell_many(t, KEY_IMAGE_LAYER_MEDIA_TYPES, types, n);
	tell_one(t, KEY_IMAGE_FOREIGN_LAYERS, foreign ? SPAN("true") : SPAN("false"));
}

bool
manifest_tell(const struct manifest *m, struct span bytes, struct arena *a, struct fact facts[static KEY_MAX])
{
	static const enum policy_key keys[] = { KEY_IMAGE_MEDIA_TYPE, KEY_IMAGE_ARTIFACT_TYPE, KEY_IMAGE_DIGESTS, KEY_IMAGE_SIZE_BYTES,
		KEY_IMAGE_LAYER_COUNT, KEY_IMAGE_ANNOTATION, KEY_IMAGE_LAYER_MEDIA_TYPES, KEY_IMAGE_FOREIGN_LAYERS };
	struct telling t = { a, facts, true };

	tell_one(&t, KEY_IMAGE_MEDIA_TYPE, m->media_type);
	tell_one(&t, KEY_IMAGE_ARTIFACT_TYPE, m->artifact_type.n > 0 ? m->artifact_type : m->config.media_type);
	tell_digests(&t, m);
	tell_platforms(&t, m);
	tell_size(&t, m);
	tell_layers(&t, m);
	tell_annotations(&t, bytes);
	for (size_t i = 0; !t.ok && i < sizeof keys / sizeof keys[0]; i++)
		facts[keys[i]] = (struct fact){ .state = FACT_UNKNOWN };
	return t.ok;
}

/* ---- the config ---- */

struct reader {
	struct arena *arena;
	char *err;
	size_t err_size;
};

static bool fail(struct reader *rd, const char *fmt, ...) PRINTF(2, 3);
static bool
fail(struct reader *rd, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(rd->err, rd->err_size, fmt, args);
	va_end(args);
	return false;
}

/* Go reads members without case: one that it would take for a known one is no other member. */
static bool
no_variants(struct reader *rd, const json_t *o, const char *where, const char *const *known, size_t n)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		(void)value;
		if (json_key_is_variant(key, known, n))
			return fail(rd, "%s: key \"%.40s\" is another spelling of a known one", where, key);
	}
	return true;
}

/* An optional string, copied; {NULL,0} when it is absent or null. */
static bool
read_text(struct reader *rd, const json_t *o, const char *key, struct span *out)
{
	const json_t *v = json_object_get(o, key);

	*out = SPAN_NONE;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v))
		return fail(rd, "%s is not a string", key);
	*out = arena_dup(rd->arena, json_span(o, key));
	return out->p != NULL || fail(rd, "out of memory");
}

/* A list of strings; absent and null are an empty one. */
static bool
read_list(struct reader *rd, const json_t *list, const char *what, struct span **out, size_t *n)
{
	const json_t *v;
	size_t i;

	*n = 0;
	if (list != NULL && !json_is_null(list) && !json_is_array(list))
		return fail(rd, "%s is not a list", what);
	if (json_array_size(list) > LIST_MAX)
		return fail(rd, "more than %u %s", LIST_MAX, what);
	*out = arena_zalloc(rd->arena, json_array_size(list) + 1, sizeof **out);
	if (*out == NULL)
		return fail(rd, "out of memory");
	json_array_foreach(list, i, v) {
		if (!json_is_string(v))
			return fail(rd, "%s[%zu] is not a string", what, i);
		(*out)[*n] = arena_dup(rd->arena, (struct span){ json_string_value(v), json_string_length(v) });
		if ((*out)[*n].p == NULL)
			return fail(rd, "out of memory");
		(*n)++;
	}
	return true;
}

/* The names of an object, or names and values when these are strings. */
static bool
read_object(struct reader *rd, const json_t *o, const char *what, bool values, struct span **out, size_t *n)
{
	const char *name;
	json_t *v;

	*n = 0;
	if (o != NULL && !json_is_null(o) && !json_is_object(o))
		return fail(rd, "%s is not an object", what);
	if (json_object_size(o) > LIST_MAX)
		return fail(rd, "more than %u %s", LIST_MAX, what);
	*out = arena_zalloc(rd->arena, 2 * json_object_size(o) + 1, sizeof **out);
	if (*out == NULL)
		return fail(rd, "out of memory");
	json_object_foreach((json_t *)(uintptr_t)o, name, v) {
		if (values && !json_is_string(v))
			return fail(rd, "%s: \"%.40s\" is not a string", what, name);
		(*out)[(*n)++] = arena_dup(rd->arena, span_of(name));
		if (values)
			(*out)[(*n)++] = arena_dup(rd->arena, (struct span){ json_string_value(v), json_string_length(v) });
	}
	return !arena_failed(rd->arena) || fail(rd, "out of memory");
}

/* Commands of the build: kept in every image, and secrets of the build with them. */
static bool
read_history(struct reader *rd, const json_t *history, struct image_config *out)
{
	const json_t *entry;
	size_t i;

	if (history != NULL && !json_is_null(history) && !json_is_array(history))
		return fail(rd, "history is not a list");
	if (json_array_size(history) > LIST_MAX)
		return fail(rd, "more than %u entries of history", LIST_MAX);
	json_array_foreach(history, i, entry) {
		if (!json_is_object(entry))
			return fail(rd, "history[%zu] is not an object", i);
		if (!no_variants(rd, entry, "history", history_keys, COUNT(history_keys)))
			return false;
		out->secrets |= secret_looks(json_span(entry, "created_by")) || secret_looks(json_span(entry, "comment"));
	}
	return true;
}

/* Of variables only the names are kept: what they hold is nobody's business. */
static bool
read_env(struct reader *rd, const json_t *env, struct image_config *out)
{
	if (!read_list(rd, env, "Env", &out->env, &out->n_env))
		return false;
	for (size_t i = 0; i < out->n_env; i++) {
		struct span *v = &out->env[i];
		const char *end = memchr(v->p, '=', v->n);

		out->secrets |= secret_looks(*v);
		if (end != NULL)
			v->n = (size_t)(end - v->p);
	}
	return true;
}

static void
look_at_labels(struct image_config *out)
{
	for (size_t i = 0; i + 1 < out->n_labels; i += 2)
		out->secrets |= secret_looks(out->labels[i + 1]);
}

static bool
read_created(struct reader *rd, const json_t *root, struct image_config *out)
{
	struct number at;
	struct span text;

	out->created = INT64_MIN;
	if (!read_text(rd, root, "created", &text))
		return false;
	/* an unreadable date is one that is not told */
	if (text.n > 0 && date_parse(text, &at))
		out->created = at.whole;
	return true;
}

static bool
read_root(struct reader *rd, const json_t *root, struct image_config *out)
{
	const json_t *config = json_object_get(root, "config"), *rootfs = json_object_get(root, "rootfs");

	if (!json_is_object(root))
		return fail(rd, "not a JSON object");
	if (!no_variants(rd, root, "config", root_keys, COUNT(root_keys)))
		return false;
	if (config != NULL && !json_is_null(config) && !json_is_object(config))
		return fail(rd, "config is not an object");
	if (!json_is_object(rootfs))
		return fail(rd, "rootfs is missing");
	return no_variants(rd, rootfs, "rootfs", rootfs_keys, COUNT(rootfs_keys)) &&
	    (!json_is_object(config) || no_variants(rd, config, "config", config_keys, COUNT(config_keys))) &&
	    read_text(rd, root, "os", &out->os) && read_text(rd, root, "architecture", &out->architecture) &&
	    read_text(rd, root, "variant", &out->variant) && read_text(rd, config, "User", &out->user) &&
	    read_env(rd, json_object_get(config, "Env"), out) &&
	    read_list(rd, json_object_get(rootfs, "diff_ids"), "diff_ids", &out->diff_ids, &out->n_diff_ids) &&
	    read_object(rd, json_object_get(config, "ExposedPorts"), "ExposedPorts", false, &out->ports, &out->n_ports) &&
	    read_object(rd, json_object_get(config, "Labels"), "Labels", true, &out->labels, &out->n_labels) &&
	    read_history(rd, json_object_get(root, "history"), out) && read_created(rd, root, out);
}

bool
image_config_read(struct span bytes, struct arena *a, struct image_config *out, char *err, size_t err_size)
{
	struct reader rd = { a, err, err_size };
	char reason[120];
	json_t *root;
	bool ok;

	*out = (struct image_config){ .created = INT64_MIN };
	if (bytes.n > IMAGE_CONFIG_MAX)
		return fail(&rd, "more than %u bytes", IMAGE_CONFIG_MAX);
	root = json_strict(bytes, DEPTH_MAX, reason, sizeof reason, NULL);
	if (root == NULL)
		return fail(&rd, "%s", reason);
	ok = read_root(&rd, root, out);
	json_decref(root);
	look_at_labels(out);
	return ok;
}

/* ---- its facts ---- */

static void
tell_age(struct telling *t, const struct image_config *const *configs, size_t n, int64_t now)
{
	int64_t oldest = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		if (configs[i]->created == INT64_MIN) {
			tell_one(t, KEY_IMAGE_CREATED_AGE, SPAN_NONE);
			return;
		}
		if (configs[i]->created < oldest)
			oldest = configs[i]->created;
	}
	/* one that is from the future is not old, and not younger than new */
	tell_number(t, KEY_IMAGE_CREATED_AGE, oldest > now ? 0 : (now - oldest) / 3600);
}

static struct span
label_of(const struct image_config *c, struct span name)
{
	for (size_t i = 0; i + 1 < c->n_labels; i += 2)
		if (span_eq(c->labels[i], name))
			return c->labels[i + 1];
	return SPAN_NONE;
}

/* A label that the images do not share is none of the index: it is left out, and a condition on it has nothing to match. */
static void
tell_labels(struct telling *t, const struct image_config *const *configs, size_t n)
{
	const struct image_config *first = configs[0];
	struct span *all = room(t, first->n_labels);
	size_t kept = 0;

	for (size_t i = 0; all != NULL && i + 1 < first->n_labels; i += 2) {
		bool shared = true;

		for (size_t k = 1; shared && k < n; k++) {
			struct span other = label_of(configs[k], first->labels[i]);

			shared = other.p != NULL && span_eq(other, first->labels[i + 1]);
		}
		if (!shared)
			continue;
		all[kept++] = first->labels[i];
		all[kept++] = first->labels[i + 1];
	}
	tell_many(t, KEY_IMAGE_LABEL, all, kept);
}

static void
tell_config_platforms(struct telling *t, const struct image_config *const *configs, size_t n)
{
	struct span *all = room(t, n);

	for (size_t i = 0; all != NULL && i < n; i++) {
		all[i] = arena_printf(t->arena, "%.*s/%.*s%s%.*s", SPAN_FMT(configs[i]->os), SPAN_FMT(configs[i]->architecture),
		    configs[i]->variant.n > 0 ? "/" : "", SPAN_FMT(configs[i]->variant));
		t->ok = t->ok && all[i].p != NULL;
	}
	tell_many(t, KEY_IMAGE_PLATFORMS, all, n);
}

/* "root", "0", "0:0", "root:wheel" and nothing at all. */
static bool
is_root(struct span user)
{
	const char *colon = user.n == 0 ? NULL : memchr(user.p, ':', user.n);
	struct span name = { user.p, colon == NULL ? user.n : (size_t)(colon - user.p) };
	size_t zeros = 0;

	while (zeros < name.n && name.p[zeros] == '0')
		zeros++;
	return zeros == name.n || span_eq(name, SPAN("root"));
}

static struct span
yes_or_no(bool yes)
{
	return yes ? SPAN("true") : SPAN("false");
}

static void
tell_user(struct telling *t, const struct image_config *const *configs, size_t n)
{
	bool root = false, same = true;

	for (size_t i = 0; i < n; i++) {
		root |= is_root(configs[i]->user);
		same &= span_eq(configs[i]->user, configs[0]->user);
	}
	tell_one(t, KEY_IMAGE_USER, same ? configs[0]->user : SPAN_NONE);
	tell_one(t, KEY_IMAGE_RUNS_AS_ROOT, yes_or_no(root));
}

/* Of all images, each once. `list` gives the i-th of a config, or p NULL behind the last. */
static void
tell_union(struct telling *t, enum policy_key key, const struct image_config *const *configs, size_t n,
    struct span (*list)(const struct image_config *c, size_t i))
{
	size_t most = 0, kept = 0;
	struct span *all;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; list(configs[i], k).p != NULL; k++)
			most++;
	all = room(t, most);
	for (size_t i = 0; all != NULL && i < n; i++) {
		for (size_t k = 0; list(configs[i], k).p != NULL; k++) {
			struct span s = list(configs[i], k);
			size_t at = 0;

			/* one image's own are not compared with each other: the first comes whole */
			while (i > 0 && at < kept && !span_eq(all[at], s))
				at++;
			if (i == 0 || at == kept)
				all[kept++] = s;
		}
	}
	tell_many(t, key, all, kept);
}

static struct span
port_at(const struct image_config *c, size_t i)
{
	return i < c->n_ports ? c->ports[i] : SPAN_NONE;
}

static struct span
variable_at(const struct image_config *c, size_t i)
{
	return i < c->n_env ? c->env[i] : SPAN_NONE;
}

/* In order; of an index none: its images have different ones. */
static void
tell_diff_ids(struct telling *t, const struct image_config *const *configs, size_t n)
{
	if (n == 1)
		tell_many(t, KEY_IMAGE_DIFF_IDS, configs[0]->diff_ids, configs[0]->n_diff_ids);
	else
		t->facts[KEY_IMAGE_DIFF_IDS] = (struct fact){ .state = FACT_UNKNOWN };
}

static bool
any_secrets(const struct image_config *const *configs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (configs[i]->secrets)
			return true;
	return false;
}

bool
image_tell(const struct image_config *const *configs, size_t n, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	static const enum policy_key keys[] = { KEY_IMAGE_LABEL, KEY_IMAGE_CREATED_AGE, KEY_IMAGE_PLATFORMS, KEY_IMAGE_USER,
		KEY_IMAGE_RUNS_AS_ROOT, KEY_IMAGE_EXPOSED_PORTS, KEY_IMAGE_ENV_NAMES, KEY_IMAGE_DIFF_IDS, KEY_IMAGE_SECRETS };
	struct telling t = { a, facts, n > 0 };

	if (n > 0) {
		tell_labels(&t, configs, n);
		tell_age(&t, configs, n, now);
		tell_config_platforms(&t, configs, n);
		tell_user(&t, configs, n);
		tell_union(&t, KEY_IMAGE_EXPOSED_PORTS, configs, n, port_at);
		tell_union(&t, KEY_IMAGE_ENV_NAMES, configs, n, variable_at);
		tell_diff_ids(&t, configs, n);
		tell_one(&t, KEY_IMAGE_SECRETS, yes_or_no(any_secrets(configs, n)));
	}
	for (size_t i = 0; !t.ok && i < COUNT(keys); i++)
		facts[keys[i]] = (struct fact){ .state = FACT_UNKNOWN };
	return t.ok;
}

/* ---- kept ---- */

#define CREATED_MOST 1000000000000 /* seconds either way: some 30,000 years */

static json_t *
save_list(const struct span *list, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; out != NULL && i < n; i++)
		if (json_array_append_new(out, json_stringn(list[i].p == NULL ? "" : list[i].p, list[i].n)) != 0) {
			json_decref(out);
			return NULL;
		}
	return out;
}

static json_t *
save_text(struct span s)
{
	return json_stringn(s.p == NULL ? "" : s.p, s.n);
}

json_t *
image_save(const struct image_config *c)
{
	/* takes over all of them, those it cannot use too */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I}", "user", save_text(c->user), "os", save_text(c->os),
	    "architecture", save_text(c->architecture), "variant", save_text(c->variant), "ports", save_list(c->ports, c->n_ports), "env",
	    save_list(c->env, c->n_env), "diff_ids", save_list(c->diff_ids, c->n_diff_ids), "labels", save_list(c->labels, c->n_labels),
	    "secrets", c->secrets, "created", (json_int_t)c->created);
}

static bool
load_text(const json_t *j, const char *key, struct arena *a, struct span *out)
{
	if (!json_is_string(json_object_get(j, key)))
		return false;
	*out = arena_dup(a, json_span(j, key));
	return out->p != NULL;
}

bool
image_load(const json_t *j, struct arena *a, struct image_config *out)
{
	char err[8];
	struct reader rd = { a, err, sizeof err };
	const json_t *created = json_object_get(j, "created");

	*out = (struct image_config){ .created = json_is_integer(created) ? json_integer_value(created) : INT64_MIN,
		.secrets = !json_is_false(json_object_get(j, "secrets")) };
	/* of any year that a date can be written of */
	if (out->created != INT64_MIN && (out->created > CREATED_MOST || out->created < -CREATED_MOST))
		return false;
	return json_is_integer(created) && load_text(j, "user", a, &out->user) && load_text(j, "os", a, &out->os) &&
	    load_text(j, "architecture", a, &out->architecture) && load_text(j, "variant", a, &out->variant) &&
	    read_list(&rd, json_object_get(j, "ports"), "ports", &out->ports, &out->n_ports) &&
	    read_list(&rd, json_object_get(j, "env"), "env", &out->env, &out->n_env) &&
	    read_list(&rd, json_object_get(j, "diff_ids"), "diff_ids", &out->diff_ids, &out->n_diff_ids) &&
	    read_list(&rd, json_object_get(j, "labels"), "labels", &out->labels, &out->n_labels) && out->n_labels % 2 == 0;
}
