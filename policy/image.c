/*
 * image.c - what a manifest says, as facts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/image.h"

#include <inttypes.h>

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

bool
manifest_tell(const struct manifest *m, struct span bytes, struct arena *a, struct fact facts[static KEY_MAX])
{
	static const enum policy_key keys[] = { KEY_IMAGE_MEDIA_TYPE, KEY_IMAGE_ARTIFACT_TYPE, KEY_IMAGE_DIGESTS, KEY_IMAGE_SIZE_BYTES,
		KEY_IMAGE_LAYER_COUNT, KEY_IMAGE_ANNOTATION };
	struct telling t = { a, facts, true };

	tell_one(&t, KEY_IMAGE_MEDIA_TYPE, m->media_type);
	tell_one(&t, KEY_IMAGE_ARTIFACT_TYPE, m->artifact_type.n > 0 ? m->artifact_type : m->config.media_type);
	tell_digests(&t, m);
	tell_platforms(&t, m);
	tell_size(&t, m);
	tell_annotations(&t, bytes);
	for (size_t i = 0; !t.ok && i < sizeof keys / sizeof keys[0]; i++)
		facts[keys[i]] = (struct fact){ .state = FACT_UNKNOWN };
	return t.ok;
}
