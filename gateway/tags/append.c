/*
 * append.c - tags that only grow.
 * Invariant: what was in the list before is there afterwards, the same and in the same order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/append.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/json.h"

#define DEPTH_MAX 32u
#define TAG_LEN	  71u /* sha256-<64 hex> */
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

#define IN(kind) (1u << (kind))
#define ATTESTED (IN(APPEND_REFERRERS) | IN(APPEND_ATTESTATIONS))
#define BOM	 (IN(APPEND_REFERRERS) | IN(APPEND_SBOMS))

/* What may be in which list: an index by artifactType, the others by the layers' mediaType. */
static const struct shape {
	const char *type;
	unsigned kinds;
} shapes[] = {
	{ "application/vnd.dev.cosign.simplesigning.v1+json", IN(APPEND_REFERRERS) | IN(APPEND_SIGNATURES) },
	{ "application/vnd.dev.cosign.artifact.sig.v1+json", IN(APPEND_REFERRERS) },
	{ "application/vnd.dev.cosign.artifact.att.v1+json", IN(APPEND_REFERRERS) },
	{ "application/vnd.dev.cosign.artifact.sbom.v1+json", IN(APPEND_REFERRERS) },
	{ "application/vnd.dev.sigstore.bundle.v0.1+json", ATTESTED },
	{ "application/vnd.dev.sigstore.bundle.v0.2+json", ATTESTED },
	{ "application/vnd.dev.sigstore.bundle.v0.3+json", ATTESTED },
	{ "application/vnd.dsse.envelope.v1+json", ATTESTED },
	{ "application/vnd.in-toto+json", ATTESTED },
	{ "application/vnd.cncf.notary.signature", IN(APPEND_REFERRERS) },
	{ "application/spdx+json", BOM },
	{ "text/spdx", BOM },
	{ "text/spdx+json", BOM },
	{ "text/spdx+xml", BOM },
	{ "application/vnd.cyclonedx", BOM },
	{ "application/vnd.cyclonedx+json", BOM },
	{ "application/vnd.cyclonedx+xml", BOM },
	{ "application/vnd.syft+json", BOM },
	{ "application/sarif+json", IN(APPEND_REFERRERS) },
	{ "application/vnd.openvex+json", IN(APPEND_REFERRERS) },
};

static const char *const configs[] = { "application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json",
	"application/vnd.docker.container.image.v1+json" };
static const char *const referrers[] = { "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json" };

enum append_kind
append_kind_of(struct span tag)
{
	if (tag.n < TAG_LEN || !span_starts(tag, SPAN("sha256-")))
		return APPEND_NONE;
	for (size_t i = 7; i < TAG_LEN; i++)
		if (!((tag.p[i] >= '0' && tag.p[i] <= '9') || (tag.p[i] >= 'a' && tag.p[i] <= 'f')))
			return APPEND_NONE;
	tag = span_skip(tag, TAG_LEN);
	if (tag.n == 0)
		return APPEND_REFERRERS;
	if (span_eq(tag, SPAN(".sig")))
		return APPEND_SIGNATURES;
	if (span_eq(tag, SPAN(".att")))
		return APPEND_ATTESTATIONS;
	return span_eq(tag, SPAN(".sbom")) ? APPEND_SBOMS : APPEND_NONE;
}

void
append_subject(struct span tag, char out[static 72])
{
	out[0] = '\0';
	if (append_kind_of(tag) == APPEND_NONE)
		return;
	memcpy(out, tag.p, TAG_LEN);
	out[6] = ':';
	out[TAG_LEN] = '\0';
}

static bool fail(struct append *a, const char *fmt, ...) PRINTF(2, 3);
static bool
fail(struct append *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(a->err, sizeof a->err, fmt, args);
	va_end(args);
	return false;
}

static const char *
list_of(enum append_kind kind)
{
	return kind == APPEND_REFERRERS ? "manifests" : "layers";
}

static bool
one_of(struct span s, const char *const *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq(s, span_of(known[i])))
			return true;
	return false;
}

static bool
has_shape(struct span type, enum append_kind kind)
{
	for (size_t i = 0; i < COUNT(shapes); i++)
		if ((shapes[i].kinds & IN(kind)) != 0 && span_eq(type, span_of(shapes[i].type)))
			return true;
	return false;
}

/* ---- what stays ---- */

/* All members of `of` but the list, and but what the kind lets change, are in `in`, the same. */
static bool
members_kept(const json_t *of, const json_t *in, enum append_kind kind, struct append *a)
{
	const char *key;
	json_t *value;

	/* the iteration does not change it; jansson's macro has no const */
	json_object_foreach((json_t *)(uintptr_t)of, key, value) {
		if (strcmp(key, list_of(kind)) == 0)
			continue;
		/* cosign writes a new config each time, with what the layers are: its type stays */
		if (strcmp(key, "config") == 0 && kind != APPEND_REFERRERS) {
			if (!json_equal(json_object_get(value, "mediaType"),
				json_object_get(json_object_get(in, key), "mediaType")))
				return fail(a, "the type of its config changed");
			continue;
		}
		if (!json_equal(value, json_object_get(in, key)))
			return fail(a, "more than its list is not what it was");
	}
	return true;
}

static bool
list_kept(const json_t *old, const json_t *now, struct append *a)
{
	if (json_array_size(old) > json_array_size(now))
		return fail(a, "it had %zu entries, and would have %zu", json_array_size(old), json_array_size(now));
	for (size_t i = 0; i < json_array_size(old); i++)
		if (!json_equal(json_array_get(old, i), json_array_get(now, i)))
			return fail(a, "entry %zu of the present ones is missing, changed or elsewhere", i + 1);
	return true;
}

static bool
kept(enum append_kind kind, struct span bytes, const json_t *now, size_t *n, struct append *a)
{
	char reason[120];
	json_t *old = bytes.n > APPEND_BYTES_MAX ? NULL : json_strict(bytes, DEPTH_MAX, reason, sizeof reason, NULL);
	const json_t *list = json_object_get(old, list_of(kind));
	bool ok = json_is_array(list) || fail(a, "what is there is no such list");

	*n = json_array_size(list);
	ok = ok && members_kept(old, now, kind, a) && members_kept(now, old, kind, a) &&
	    list_kept(list, json_object_get(now, list_of(kind)), a);
	json_decref(old);
	return ok;
}

/* ---- what is new ---- */

static bool
copy_text(struct span s, char *to, size_t size)
{
	if (s.n == 0 || s.n >= size || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	return true;
}

static bool
add_entry(const json_t *e, struct append *a)
{
	struct append_entry *to = &a->entries[a->n];

	if (a->n == APPEND_NEW_MAX)
		return fail(a, "more than %u new entries in one push", APPEND_NEW_MAX);
	if (!copy_text(json_span(e, "digest"), to->digest, sizeof to->digest) ||
	    !copy_text(json_span(e, "mediaType"), to->media_type, sizeof to->media_type) ||
	    !copy_text(json_span(e, "artifactType"), to->artifact_type, sizeof to->artifact_type))
		return fail(a, "a new entry is not the descriptor of an artifact");
	to->size = json_integer_value(json_object_get(e, "size"));
	a->n++;
	return true;
}

bool
append_type_matches(const char *pattern, struct span type)
{
	struct span p = span_of(pattern);

	return span_ends(p, SPAN("*")) ? span_starts(type, (struct span){ p.p, p.n - 1 }) : span_eq(type, p);
}

static bool
is_listed(const struct append_types *more, struct span type)
{
	for (size_t i = 0; more != NULL && type.n > 0 && i < more->n; i++)
		if (append_type_matches(more->patterns[i], type))
			return true;
	return false;
}

static bool
new_entry(enum append_kind kind, const json_t *e, size_t i, const struct append_types *more, struct append *a)
{
	struct span type = json_span(e, "mediaType"), artifact = json_span(e, "artifactType");

	if (json_object_get(e, "urls") != NULL || json_object_get(e, "data") != NULL)
		return fail(a, "entry %zu has \"urls\" or \"data\"", i + 1);
	if (kind != APPEND_REFERRERS)
		return has_shape(type, kind) ||
		    fail(a, "entry %zu is of a type that does not belong there: %.*s", i + 1, SPAN_FMT(type));
	if (!one_of(type, referrers, COUNT(referrers)))
		return fail(a, "entry %zu is no OCI manifest", i + 1);
	if (!has_shape(artifact, kind) && !is_listed(more, artifact))
		return fail(a, "entry %zu has no artifactType that tags.artifact-types lists: %.*s", i + 1, SPAN_FMT(artifact));
	return add_entry(e, a);
}

static bool
new_entries(enum append_kind kind, const json_t *now, size_t from, const struct append_types *more, struct append *a)
{
	const json_t *list = json_object_get(now, list_of(kind));
	struct span config = json_span(json_object_get(now, "config"), "mediaType");

	if (json_array_size(list) > APPEND_ENTRIES_MAX)
		return fail(a, "more than %u entries", APPEND_ENTRIES_MAX);
	/* what has no layer is no signature, and an image's config is told from cosign's by its layers alone */
	if (kind != APPEND_REFERRERS && (json_array_size(list) == 0 || !one_of(config, configs, COUNT(configs))))
		return fail(a, "it has no entry, or its config is of another type");
	for (size_t i = from; i < json_array_size(list); i++)
		if (!new_entry(kind, json_array_get(list, i), i, more, a))
			return false;
	return true;
}

bool
append_check(enum append_kind kind, struct span old, struct span now, const struct append_types *more, struct append *out)
{
	char reason[120];
	json_t *root;
	size_t n = 0;
	bool ok;

	memset(out, 0, sizeof *out);
	if (kind == APPEND_NONE)
		return fail(out, "not a tag that grows");
	if (now.n > APPEND_BYTES_MAX)
		return fail(out, "more than %u bytes", APPEND_BYTES_MAX);
	root = json_strict(now, DEPTH_MAX, reason, sizeof reason, NULL);
	if (root == NULL)
		return fail(out, "%s", reason);
	ok = json_is_array(json_object_get(root, list_of(kind))) ||
	    fail(out, "it is no %s", kind == APPEND_REFERRERS ? "index" : "manifest of layers");
	ok = ok && (old.n == 0 || kept(kind, old, root, &n, out)) && new_entries(kind, root, n, more, out);
	json_decref(root);
	return ok;
}
