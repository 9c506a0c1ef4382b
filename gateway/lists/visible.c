/*
 * visible.c - what of a list a caller may see: one function per entry.
 *
 * A tag is seen by whom policy lets list it (ListTags, with registry:Tag known). A repository is seen by whom a list of
 * its tags would be answered, or who may pull manifests there whatever their tag (if the image turns out to be fit): for them
 * it is no secret that it exists. In doubt an entry is not seen. May run on the offload thread: nothing here takes memory of the request's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/list.h"
#include "gateway/steps/gate.h"

/* Does nothing but the tag keep this open? */
static bool
tag_decides(const struct decision *d)
{
	struct key_set tag = { 0 };

	key_set_add(&tag, KEY_REGISTRY_TAG);
	return d->verdict == VERDICT_NEED && memcmp(&d->need, &tag, sizeof tag) == 0;
}

bool
list_some_tags(const struct request *r)
{
	return r->route.op == ROUTE_TAGS_LIST && tag_decides(&r->judged.decision);
}

/* Only facts of the image asked for keep this open: whether there is one that may be pulled, its pull will tell. */
static bool
image_decides(const struct request *r, const struct decision *d)
{
	static const enum policy_key names[] = { KEY_REGISTRY_TAG, KEY_REGISTRY_DIGEST, KEY_REGISTRY_REFERENCE_TYPE };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (r->facts[names[i]].state == FACT_LATER && key_set_has(&d->need, names[i]))
			return false;
	return d->verdict == VERDICT_NEED;
}

static void
later(struct request *r, enum policy_key key)
{
	r->facts[key] = (struct fact){ .state = FACT_LATER };
}

static void
absent(struct request *r, enum policy_key key)
{
	r->facts[key] = (struct fact){ .state = FACT_ABSENT };
}

/* Observe mode shows all there is, and notes that enforcing would not. */
static bool
shown(struct request *r, bool allowed)
{
	if (allowed || !r->config->observe)
		return allowed;
	r->hides = true;
	return true;
}

static bool
repository_visible(struct request *r, struct span repository)
{
	struct decision d;
	bool seen;

	if (config_upstream_for(r->config, repository) != r->upstream_config)
		return false;	/* not served here */
	later(r, KEY_REGISTRY_TAG);
	seen = decide(r, ACTION_ListTags, repository, &d) == VERDICT_ALLOW || tag_decides(&d);
	if (!seen) {
		later(r, KEY_REGISTRY_DIGEST);
		later(r, KEY_REGISTRY_REFERENCE_TYPE);
		seen = decide(r, ACTION_PullManifest, repository, &d) == VERDICT_ALLOW || image_decides(r, &d);
		absent(r, KEY_REGISTRY_DIGEST);
		absent(r, KEY_REGISTRY_REFERENCE_TYPE);
	}
	absent(r, KEY_REGISTRY_TAG);
	return shown(r, seen);
}

static bool
tag_visible(struct request *r, struct span tag)
{
	struct decision d;

	if (!list_some_tags(r))
		return true;	/* allowed whatever the tag */
	r->facts[KEY_REGISTRY_TAG] = (struct fact){ .state = FACT_PRESENT, .value = tag };
	return shown(r, decide(r, ACTION_ListTags, r->route.repository, &d) == VERDICT_ALLOW);
}

bool
list_visible(void *ctx, struct span entry)
{
	struct request *r = ctx;

	if (r->route.op == ROUTE_CATALOG)
		return repository_visible(r, entry);
	if (r->route.op == ROUTE_TAGS_LIST)
		return tag_visible(r, entry);
	/* who may list referrers sees all of them that may be pulled at all */
	return gate_blocked(r, entry, NULL) == BLOCK_NONE;
}
