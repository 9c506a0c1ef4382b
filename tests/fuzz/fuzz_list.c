/*
 * fuzz_list.c - any bytes as a page of a list, or as its Link: what comes out is a page of the same kind with only what
 * may be seen in it, which reads the same again; and the next page is at the same path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/lists/listing.h"
#include "gateway/lists/next.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
even(void *ctx, struct span entry)
{
	size_t *seen = ctx;

	*seen += 1;
	return (entry.p[entry.n - 1] & 1) == 0;
}

static bool
must_be_even(void *ctx, struct span entry)
{
	(void)ctx;
	if ((entry.p[entry.n - 1] & 1) != 0)
		abort();
	return true;
}

static void
page(enum listing_kind kind, struct span bytes)
{
	size_t seen = 0;
	struct listing_rules rules = { kind, SPAN("a/b"), 128, even, &seen };
	struct listing l = { 0 }, again = { 0 };
	char err[160];

	if (!listing_begin(&l, &rules))
		abort();
	if (listing_add(&l, &rules, bytes, 64, err, sizeof err)) {
		if (l.shown > seen || l.shown > 64 || !listing_end(&l, &rules) || !listing_begin(&again, &rules))
			abort();
		rules.visible = must_be_even;
		if (!listing_add(&again, &rules, (struct span){ l.text, l.n }, SIZE_MAX, err, sizeof err) ||
		    again.shown != l.shown || again.dropped != 0 || !listing_end(&again, &rules) ||
		    !span_eq((struct span){ again.text, again.n }, (struct span){ l.text, l.n }))
			abort();
	} else if (l.shown != 0) {
		abort();
	}
	listing_clear(&l);
	listing_clear(&again);
}

static void
link_field(struct span bytes)
{
	struct http_field field = { HTTP_FIELD_LINK, SPAN("link"), bytes };
	struct http_head h = { .fields = &field, .n_fields = 1 };
	struct span path = SPAN("/p/v2/_catalog"), reference = next_link(&h), target;
	struct arena *a = arena_new(1 << 16);

	if (a == NULL)
		return;
	target = reference.p == NULL ? SPAN_NONE : next_target(reference, path, a);
	if (target.p != NULL && (!span_starts(target, SPAN("/p/v2/_catalog?")) || target.n > NEXT_TARGET_MAX ||
	    memchr(target.p, ' ', target.n) != NULL))
		abort();
	arena_free(a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes;

	if (size == 0)
		return 0;
	bytes = (struct span){ (const char *)data + 1, size - 1 };
	if (data[0] % 4 == 3)
		link_field(bytes);
	else
		page((enum listing_kind)(data[0] % 4), bytes);
	return 0;
}
