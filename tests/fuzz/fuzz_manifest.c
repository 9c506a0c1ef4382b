/*
 * fuzz_manifest.c - any bytes as a manifest or index: what is accepted reads the same to a reader that is not strict.
 *
 * Go's encoding/json, which registries use, takes keys without case. So no key of an accepted document may fold to one
 * that matters without being it; digests and sizes are what a plain look finds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

#include "policy/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = { "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws" };

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
no_other_spelling(const json_t *o)
{
	static const char *const known[] = { "schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "digest", "size",
		"urls", "artifactType" };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		(void)value;
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			must(strcasecmp(key, known[i]) != 0 || strcmp(key, known[i]) == 0);
	}
}

static void
same_descriptor(const json_t *o, const struct descriptor *d)
{
	no_other_spelling(o);
	must(span_eq(d->digest, span_of(json_string_value(json_object_get(o, "digest")))) && d->digest.n == 71);
	must(json_is_integer(json_object_get(o, "size")) && d->size == json_integer_value(json_object_get(o, "size")) && d->size >= 0);
	must(d->has_urls == (json_array_size(json_object_get(o, "urls")) > 0));
}

static void
same_list(const json_t *array, const struct descriptor *d, size_t n)
{
	must(json_array_size(array) == n);
	for (size_t i = 0; i < n; i++)
		same_descriptor(json_array_get(array, i), &d[i]);
}

static void
check(struct span text, const struct manifest *m)
{
	json_t *root = json_loadb(text.p, text.n, 0, NULL);
	char digest[72];

	must(json_is_object(root));
	digest_sha256(text, digest);
	must(strcmp(digest, m->digest) == 0);
	no_other_spelling(root);
	must(json_integer_value(json_object_get(root, "schemaVersion")) == 2);
	must(m->kind == MANIFEST_IMAGE || m->kind == MANIFEST_INDEX);
	if (m->kind == MANIFEST_IMAGE) {
		must(json_object_get(root, "manifests") == NULL);
		same_descriptor(json_object_get(root, "config"), &m->config);
		same_list(json_object_get(root, "layers"), m->layers, m->n_layers);
	} else {
		must(json_object_get(root, "layers") == NULL && json_object_get(root, "config") == NULL);
		same_list(json_object_get(root, "manifests"), m->children, m->n_children);
	}
	must(m->has_subject == json_is_object(json_object_get(root, "subject")));
	if (m->has_subject)
		same_descriptor(json_object_get(root, "subject"), &m->subject);
	json_decref(root);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* plenty, or as little as the second byte says */
	struct arena *plenty = arena_new(8 << 20), *little;
	struct manifest m;
	struct span text;
	char err[256] = "";
	bool ok;

	if (size < 2 || plenty == NULL) {
		arena_free(plenty);
		return 0;
	}
	text = (struct span){ (const char *)data + 2, size - 2 };
	ok = manifest_read(text, span_of(types[data[0] % 5]), plenty, &m, err, sizeof err);
	must(ok == (err[0] == '\0'));
	if (ok)
		check(text, &m);
	little = arena_new((size_t)data[1] * 64);
	if (little != NULL && manifest_read(text, span_of(types[data[0] % 5]), little, &m, err, sizeof err))
		must(ok && !arena_failed(little));
	arena_free(little);
	arena_free(plenty);
	return 0;
}
