/*
 * listing.h - the lists of the registry API: upstream's pages in, one page of what may be seen out.
 *
 * Pure: bytes in, bytes out. A page is one JSON document, read strictly: no duplicate member, no other spelling of a
 * known one (Go reads "Tags" as "tags"). Names are read by the registry grammar; what does not fit it is dropped and
 * counted, for nobody could ask for it here. The document is written anew: nothing of upstream's goes through but
 * names, and the descriptors of referrers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LISTING_H
#define TW_LISTING_H

#include "policy/attr.h"
#include "policy/span.h"

#define LISTING_PAGE_MAX	(4u << 20)	/* bytes of one page of upstream's, as large as a manifest */
#define LISTING_ENTRY_MAX	300u		/* a repository has at most 255, a tag up to 300 */

enum listing_kind {
	LISTING_REPOSITORIES = 0,	/* {"repositories":[...]} */
	LISTING_TAGS,			/* {"name":"...","tags":[...]} */
	LISTING_REFERRERS,		/* an image index; an entry is a descriptor, known by its digest */
};

struct listing_rules {
	enum listing_kind kind;
	struct span name;	/* tags: the repository asked for, which the page must name */
	size_t tag_max;		/* tags longer than this are dropped */
	/* May the caller see it? A repository, a tag or a digest. Called in upstream's order, on the thread of the add. */
	bool (*visible)(void *ctx, struct span entry);
	void *ctx;
};

struct listing_name {
	size_t n;		/* 0: none */
	char text[LISTING_ENTRY_MAX];
};

struct listing {		/* zeroed before listing_begin() */
	char *text;		/* heap: the document as far as it goes */
	size_t n, size;
	size_t shown;		/* entries in it */
	size_t dropped;		/* entries of upstream's that are none of the grammar's */
	bool cut;		/* the page had more to show than was wanted */
	struct listing_name last_shown;
	struct listing_name last;	/* the last entry of the page, seen or not; none when it is not of the grammar */
};

/* False: out of memory. */
bool listing_begin(struct listing *l, const struct listing_rules *rules) NONNULL(1, 2) WUNRES;
/*
 * Add what may be seen of a page until `max` entries are shown in all (SIZE_MAX: no bound). False with a one-line
 * reason when the page is not what it should be, or without memory; the listing is then as it was.
 */
bool listing_add(struct listing *l, const struct listing_rules *rules, struct span page, size_t max, char *err,
    size_t err_size) NONNULL(1, 2, 5) WUNRES;
/* Complete the document. False: out of memory. */
bool listing_end(struct listing *l, const struct listing_rules *rules) NONNULL(1, 2) WUNRES;
void listing_clear(struct listing *l) NONNULL(1);

static inline struct span
listing_name_span(const struct listing_name *n)
{
	return (struct span){ n->text, n->n };
}

#endif
