/*
 * list.h - the catalog, tags and referrers on the request path (the step is step_list of request.h).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LIST_H
#define TW_LIST_H

#include "gateway/request.h"

/* visible.c. The context is the request; the entry a repository, a tag or a digest. */
bool list_visible(void *ctx, struct span entry) NONNULL(1) WUNRES;
/* After the decision on a list of tags: policy allows it, but not whatever the tag. */
bool list_some_tags(const struct request *r) NONNULL(1) PURE;

#endif
