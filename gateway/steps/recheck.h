/*
 * recheck.h - live downloads, asked about again after a reload; pushes, when their manifest is there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_RECHECK_H
#define TW_RECHECK_H

#include "gateway/refuse.h"
#include "gateway/serving.h"

struct request;
struct worker;

/* The worker's thread, between requests' own turns: cut the downloads that `v` denies. Each has its one event. */
void recheck_downloads(struct worker *w, struct serving *v) NONNULL(1, 2);

/* Likewise: something was quarantined: cut the downloads of it. */
void recheck_quarantined(struct worker *w) NONNULL(1);

/*
 * A manifest was read, which may have taken its client as long as it liked: is it still who it was, by the configuration that
 * is in force now? If so the policy in force is r->policy from here on, and its content is decided by that.
 */
enum refuse recheck_push(struct request *r) NONNULL(1) WUNRES;

#endif
