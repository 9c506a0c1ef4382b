/*
 * manifest.c - manifests and indexes, read strictly.
 * Invariant: what is accepted here every later reader understands the same, whatever it ignores or folds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/manifest.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

#include "policy/json.h"

#define DEPTH_MAX	32u
#define DIGEST_LEN	71u
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* Every type the gateway takes. Docker's require their name in the document, OCI's may leave it out. */
static const struct type {
	struct span name;
	enum manifest_kind kind;
	bool named;
} types[] = {
	{ { "application/vnd.oci.image.manifest.v1+json", 42 }, MANIFEST_IMAGE, false },
	{ { "application/vnd.oci.image.index.v1+json", 39 }, MANIFEST_INDEX, false },
	{ { "application/vnd.docker.distribution.manifest.v2+json", 52 }, MANIFEST_IMAGE, true },
	{ { "application/vnd.docker.distribution.manifest.list.v2+json", 57 }, MANIFEST_INDEX, true },
};
const char manifest_accept[] = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
	"application/vnd.docker.distribution.manifest.v2+json, "
	"application/vnd.docker.distribution.manifest.list.v2+json, "
	"application/vnd.docker.distribution.manifest.v1+prettyjws, application/vnd.docker.distribution.manifest.v1+json, "
	"application/vnd.oci.artifact.manifest.v1+json";

static const char *const manifest_keys[] = { "schemaVersion", "mediaType", "artifactType", "config", "layers",
	"manifests", "subject", "annotations", "blobs", "fsLayers", "history", "signatures" };
static const char *const descriptor_keys[] = { "mediaType", "digest", "size", "urls", "annotations", "data",
	"artifactType", "platform" };
static const char *const platform_keys[] = { "architecture", "os", "os.version", "os.features", "variant", "features" };

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

void
digest_text(const unsigned char hash[static 32], char out[static 72])
{
	size_t at = 7;

	memcpy(out, "sha256:", 7);
	for (unsigned i = 0; i < 32; i++) {
		out[at++] = "0123456789abcdef"[hash[i] >> 4];
		out[at++] = "0123456789abcdef"[hash[i] & 15];
	}
	out[at] = '\0';
}

void
digest_sha256(struct span bytes, char out[static 72])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	/* without memory it is no digest at all, which equals none */
	out[0] = '\0';
	if (EVP_Digest(bytes.p, bytes.n, hash, &n, EVP_sha256(), NULL) == 1 && n == 32)
		digest_text(hash, out);
}

static bool
digest_ok(struct span s)
{
	if (s.n != DIGEST_LEN || !span_starts(s, SPAN("sha256:")))
		return false;
	for (size_t i = 7; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
			return false;
	return true;
}

/* type "/" subtype of RFC 6838 section 4.2; at most 255 bytes. */
static bool
media_type_ok(struct span s)
{
	size_t slashes = 0;

	if (s.n == 0 || s.n > 255 || s.p[0] == '/' || s.p[s.n - 1] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		slashes += c == '/';
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$&-^_.+/", c) == NULL))
			return false;
	}
	return slashes == 1;
}

static bool
no_variants(struct reader *rd, const json_t *o, const char *where, const char *const *known, size_t n)
{
	const char *key;
	json_t *value;

	/* the iteration does not change it; jansson's macro has no const */
	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		(void)value;
		if (json_key_is_variant(key, known, n))
			return fail(rd, "%s: key \"%.40s\" is another spelling of a known one", where, key);
	}
	return true;
}

/* An optional string member, copied; {NULL,0} when absent. */
static bool
read_text(struct reader *rd, const json_t *o, const char *where, const char *key, struct span *out)
{
	*out = SPAN_NONE;
	if (json_object_get(o, key) == NULL)
		return true;
	if (!json_is_string(json_object_get(o, key)))
		return fail(rd, "%s: %s is not a string", where, key);
	*out = arena_dup(rd->arena, json_span(o, key));
	return out->p != NULL || fail(rd, "out of memory");
}

static bool
annotations_ok(struct reader *rd, const json_t *o, const char *where)
{
	json_t *annotations = json_object_get(o, "annotations"), *value;
	const char *key;

	if (annotations == NULL || json_is_null(annotations))
		return true;
	if (!json_is_object(annotations))
		return fail(rd, "%s: annotations is not an object", where);
	json_object_foreach(annotations, key, value)
		if (!json_is_string(value))
			return fail(rd, "%s: annotation \"%.40s\" is not a string", where, key);
	return true;
}

static bool
read_urls(struct reader *rd, const json_t *o, const char *where, struct descriptor *out)
{
	json_t *urls = json_object_get(o, "urls"), *url;
	size_t i;

	if (urls == NULL || json_is_null(urls))
		return true;
	if (!json_is_array(urls))
		return fail(rd, "%s: urls is not an array", where);
	json_array_foreach(urls, i, url)
		if (!json_is_string(url))
			return fail(rd, "%s: urls[%zu] is not a string", where, i);
	out->has_urls = json_array_size(urls) > 0;
	return true;
}

static bool
read_platform(struct reader *rd, const json_t *o, const char *where, struct descriptor *out)
{
	const json_t *platform = json_object_get(o, "platform");

	if (platform == NULL)
		return true;
	if (!json_is_object(platform))
		return fail(rd, "%s: platform is not an object", where);
	return no_variants(rd, platform, where, platform_keys, COUNT(platform_keys)) &&
	    read_text(rd, platform, where, "os", &out->os) &&
	    read_text(rd, platform, where, "architecture", &out->architecture) &&
	    read_text(rd, platform, where, "variant", &out->variant);
}

static bool
read_descriptor(struct reader *rd, const json_t *o, const char *where, struct descriptor *out)
{
	const json_t *size = json_object_get(o, "size"), *data = json_object_get(o, "data");

	*out = (struct descriptor){ .size = 0 };
	if (!json_is_object(o))
		return fail(rd, "%s: not a descriptor", where);
	if (!no_variants(rd, o, where, descriptor_keys, COUNT(descriptor_keys)) ||
	    !read_text(rd, o, where, "mediaType", &out->media_type) ||
	    !read_text(rd, o, where, "digest", &out->digest) ||
	    !read_text(rd, o, where, "artifactType", &out->artifact_type))
		return false;
	if (!media_type_ok(out->media_type))
		return fail(rd, "%s: mediaType missing or malformed", where);
	if (out->artifact_type.n > 0 && !media_type_ok(out->artifact_type))
		return fail(rd, "%s: artifactType malformed", where);
	if (!digest_ok(out->digest))
		return fail(rd, "%s: digest missing or not sha256:<64 lower-case hex digits>", where);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return fail(rd, "%s: size missing or not a number of bytes", where);
	out->size = json_integer_value(size);
	if (data != NULL && !json_is_string(data))
		return fail(rd, "%s: data is not a string", where);
	return annotations_ok(rd, o, where) && read_urls(rd, o, where, out) && read_platform(rd, o, where, out);
}

static bool
read_list(struct reader *rd, const json_t *array, const char *name, size_t max, struct descriptor **out, size_t *n)
{
	char where[32];

	if (!json_is_array(array))
		return fail(rd, "%s missing or not an array", name);
	*n = json_array_size(array);
	if (*n > max)
		return fail(rd, "more than %zu %s", max, name);
	*out = arena_zalloc(rd->arena, *n + 1, sizeof(**out));
	if (*out == NULL)
		return fail(rd, "out of memory");
	for (size_t i = 0; i < *n; i++) {
		snprintf(where, sizeof(where), "%s[%zu]", name, i);
		if (!read_descriptor(rd, json_array_get(array, i), where, &(*out)[i]))
			return false;
	}
	return true;
}

/* What belongs to the other kind, or to schema 1, makes two readings possible. */
static bool
only_its_kind(struct reader *rd, const json_t *root, enum manifest_kind kind)
{
	static const char *const of_others[] = { "blobs", "fsLayers", "history", "signatures" };

	if (kind == MANIFEST_IMAGE && json_object_get(root, "manifests") != NULL)
		return fail(rd, "an image manifest with \"manifests\"");
	if (kind == MANIFEST_INDEX && json_object_get(root, "layers") != NULL)
		return fail(rd, "an index with \"layers\"");
	if (kind == MANIFEST_INDEX && json_object_get(root, "config") != NULL)
		return fail(rd, "an index with \"config\"");
	for (size_t i = 0; i < COUNT(of_others); i++)
		if (json_object_get(root, of_others[i]) != NULL)
			return fail(rd, "\"%s\" belongs to another kind of manifest", of_others[i]);
	return true;
}

static bool
read_root(struct reader *rd, const json_t *root, const struct type *type, struct manifest *out)
{
	const json_t *version = json_object_get(root, "schemaVersion"), *subject = json_object_get(root, "subject");
	struct span named;

	if (!json_is_object(root))
		return fail(rd, "not a JSON object");
	if (!no_variants(rd, root, "manifest", manifest_keys, COUNT(manifest_keys)))
		return false;
	if (!json_is_integer(version) || json_integer_value(version) != 2)
		return fail(rd, "schemaVersion is not 2");
	if (!read_text(rd, root, "manifest", "mediaType", &named) ||
	    !read_text(rd, root, "manifest", "artifactType", &out->artifact_type))
		return false;
	if (named.p == NULL ? type->named : !span_eq(named, type->name))
		return fail(rd, "mediaType in the manifest is not its Content-Type");
	if (out->artifact_type.n > 0 && !media_type_ok(out->artifact_type))
		return fail(rd, "artifactType malformed");
	if (!only_its_kind(rd, root, type->kind) || !annotations_ok(rd, root, "manifest"))
		return false;
	out->has_subject = subject != NULL && !json_is_null(subject);
	if (out->has_subject && !read_descriptor(rd, subject, "subject", &out->subject))
		return false;
	if (type->kind == MANIFEST_INDEX)
		return read_list(rd, json_object_get(root, "manifests"), "manifests", MANIFEST_CHILDREN_MAX,
		    &out->children, &out->n_children);
	return read_descriptor(rd, json_object_get(root, "config"), "config", &out->config) &&
	    read_list(rd, json_object_get(root, "layers"), "layers", MANIFEST_LAYERS_MAX, &out->layers, &out->n_layers);
}

/* The type without parameters; NULL when it is none of ours. Media types have no case. */
static const struct type *
find_type(struct span content_type)
{
	const char *semicolon = content_type.n == 0 ? NULL : memchr(content_type.p, ';', content_type.n);

	if (semicolon != NULL)
		content_type.n = (size_t)(semicolon - content_type.p);
	while (content_type.n > 0 && (content_type.p[content_type.n - 1] == ' ' || content_type.p[content_type.n - 1] == '\t'))
		content_type.n--;
	for (size_t i = 0; i < COUNT(types); i++)
		if (span_eq_nocase(content_type, types[i].name))
			return &types[i];
	return NULL;
}

bool
manifest_read(struct span bytes, struct span content_type, struct arena *a, struct manifest *out, char *err,
    size_t err_size)
{
	struct reader rd = { a, err, err_size };
	const struct type *type = find_type(content_type);
	char reason[120];
	json_t *root;
	bool ok;

	*out = (struct manifest){ .kind = MANIFEST_NONE };
	digest_sha256(bytes, out->digest);
	if (out->digest[0] == '\0')
		return fail(&rd, "out of memory");
	if (content_type.n == 0)
		return fail(&rd, "Content-Type missing");
	if (type == NULL)
		return fail(&rd, "Content-Type is no manifest or index (schema 1 is not served)");
	if (bytes.n > MANIFEST_MAX)
		return fail(&rd, "more than %u bytes", MANIFEST_MAX);
	root = json_strict(bytes, DEPTH_MAX, reason, sizeof(reason), NULL);
	if (root == NULL)
		return fail(&rd, "%s", reason);
	ok = read_root(&rd, root, type, out);
	json_decref(root);
	if (!ok)
		return false;
	out->kind = type->kind;
	out->media_type = type->name;
	return true;
}
