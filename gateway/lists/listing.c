/*
 * listing.c - pages of upstream's, read strictly, filtered, written anew.
 * Invariant: an entry is in the document only if it is of the grammar and visible() said yes to it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/listing.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/registry/route.h"
#include "policy/json.h"

#define DEPTH_MAX	16u	/* a descriptor's platform is at 4 */
#define FIRST_SIZE	4096u
#define INDEX_TYPE	"application/vnd.oci.image.index.v1+json"
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const char *const members[] = { "repositories", "name", "tags", "schemaVersion", "mediaType", "manifests" };
static const char *const descriptor_members[] = { "mediaType", "digest", "size", "urls", "annotations", "data",
	"artifactType", "platform" };

/* ---- text ---- */

static bool
put(struct listing *l, struct span s)
{
	if (s.n > l->size - l->n) {
		size_t size = l->size == 0 ? FIRST_SIZE : l->size;
		char *more;

		while (size - l->n < s.n)
			size *= 2;
		more = realloc(l->text, size);
		if (more == NULL)
			return false;
		l->text = more;
		l->size = size;
	}
	if (s.n > 0)
		memcpy(l->text + l->n, s.p, s.n);
	l->n += s.n;
	return true;
}

bool
listing_begin(struct listing *l, const struct listing_rules *rules)
{
	switch (rules->kind) {
	case LISTING_REPOSITORIES:
		return put(l, SPAN("{\"repositories\":["));
	case LISTING_TAGS:
		/* a name of the grammar needs no escape */
		return put(l, SPAN("{\"name\":\"")) && put(l, rules->name) && put(l, SPAN("\",\"tags\":["));
	case LISTING_REFERRERS:
		return put(l, SPAN("{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":["));
	}
	return false;
}

bool
listing_end(struct listing *l, const struct listing_rules *rules)
{
	(void)rules;
	return put(l, SPAN("]}"));
}

void
listing_clear(struct listing *l)
{
	free(l->text);
	*l = (struct listing){ 0 };
}

/* ---- reading ---- */

static bool
bad(char *err, size_t err_size, const char *reason)
{
	snprintf(err, err_size, "%s", reason);
	return false;
}

static bool
spelled_otherwise(const json_t *o, const char *const *known, size_t n)
{
	const char *key;
	json_t *value;

	/* the iteration does not change it; jansson's macro has no const */
	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		(void)value;
		if (json_key_is_variant(key, known, n))
			return true;
	}
	return false;
}

/* The array of entries; NULL with a reason. `null` is how Go writes an empty one: *none. */
static const json_t *
entries_of(const json_t *root, const struct listing_rules *rules, bool *none, char *err, size_t err_size)
{
	static const char *const key[] = {
		[LISTING_REPOSITORIES] = "repositories",
		[LISTING_TAGS] = "tags",
		[LISTING_REFERRERS] = "manifests",
	};
	const json_t *array = json_object_get(root, key[rules->kind]);

	*none = json_is_null(array);
	if (!json_is_object(root) || spelled_otherwise(root, members, COUNT(members)))
		(void)bad(err, err_size, "a list that is no object, or spells a member in another way");
	else if (rules->kind == LISTING_TAGS && !span_eq(json_span(root, "name"), rules->name))
		(void)bad(err, err_size, "tags of another repository than was asked for");
	else if (rules->kind == LISTING_REFERRERS && (!json_is_integer(json_object_get(root, "schemaVersion")) ||
	    json_integer_value(json_object_get(root, "schemaVersion")) != 2 ||
	    (json_object_get(root, "mediaType") != NULL &&
	    !span_eq(json_span(root, "mediaType"), SPAN(INDEX_TYPE)))))
		(void)bad(err, err_size, "referrers that are no image index");
	else if (!json_is_array(array) && !*none)
		(void)bad(err, err_size, "a list without its entries");
	else
		return array;
	return NULL;
}

/* What names an entry; {NULL,0} when it has no name of the grammar. */
static struct span
name_of(const json_t *entry, const struct listing_rules *rules)
{
	struct span s = { json_string_value(entry), json_is_string(entry) ? json_string_length(entry) : 0 };
	bool valid = false;

	switch (rules->kind) {
	case LISTING_REPOSITORIES:
		valid = repository_valid(s);
		break;
	case LISTING_TAGS:
		valid = tag_valid(s, rules->tag_max < LISTING_ENTRY_MAX ? rules->tag_max : LISTING_ENTRY_MAX);
		break;
	case LISTING_REFERRERS:
		s = json_span(entry, "digest");
		valid = digest_valid(s);
		break;
	}
	return valid ? s : SPAN_NONE;
}

/* What a client is told about a referrer must read the same to everybody. */
static bool
descriptor_valid(const json_t *o)
{
	const json_t *size = json_object_get(o, "size");

	return json_is_object(o) && !spelled_otherwise(o, descriptor_members, COUNT(descriptor_members)) &&
	    json_span(o, "mediaType").n > 0 && json_is_integer(size) && json_integer_value(size) >= 0;
}

static bool
put_entry(struct listing *l, const struct listing_rules *rules, const json_t *entry, struct span name)
{
	char *text;
	bool ok;

	if (l->shown > 0 && !put(l, SPAN(",")))
		return false;
	if (rules->kind != LISTING_REFERRERS)
		return put(l, SPAN("\"")) && put(l, name) && put(l, SPAN("\""));
	text = json_dumps(entry, JSON_COMPACT | JSON_ENSURE_ASCII);
	ok = text != NULL && put(l, span_of(text));
	free(text);
	return ok;
}

static void
note(struct listing_name *to, struct span name)
{
	to->n = name.n;
	if (name.n > 0)
		memcpy(to->text, name.p, name.n);
}

static bool
add_entries(struct listing *l, const struct listing_rules *rules, const json_t *array, size_t max, char *err,
    size_t err_size)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *entry = json_array_get(array, i);
		struct span name = name_of(entry, rules);

		if (rules->kind == LISTING_REFERRERS && (name.p == NULL || !descriptor_valid(entry)))
			return bad(err, err_size, "a referrer whose descriptor is malformed");
		note(&l->last, name);
		if (name.p == NULL) {
			l->dropped++;
			continue;
		}
		if (!rules->visible(rules->ctx, name))
			continue;
		if (l->shown >= max) {
			l->cut = true;
			return true;
		}
		if (!put_entry(l, rules, entry, name))
			return bad(err, err_size, "out of memory");
		l->shown++;
		note(&l->last_shown, name);
	}
	return true;
}

bool
listing_add(struct listing *l, const struct listing_rules *rules, struct span page, size_t max, char *err,
    size_t err_size)
{
	struct listing was = *l;
	const json_t *array;
	json_t *root;
	bool none, ok = false;

	if (page.n > LISTING_PAGE_MAX)
		return bad(err, err_size, "a list longer than the gateway reads");
	root = json_strict(page, DEPTH_MAX, err, err_size, NULL);
	if (root == NULL)
		return false;
	note(&l->last, SPAN_NONE);
	array = entries_of(root, rules, &none, err, err_size);
	if (array != NULL)
		ok = none || add_entries(l, rules, array, max, err, err_size);
	json_decref(root);
	if (!ok) {
		was.text = l->text;	/* it may have moved */
		was.size = l->size;
		*l = was;
	}
	return ok;
}
