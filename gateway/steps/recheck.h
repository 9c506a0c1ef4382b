/*
 * recheck.h - live downloads, asked about again after a reload.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_RECHECK_H
#define TW_RECHECK_H

#include "gateway/serving.h"

struct worker;

/* The worker's thread, between requests' own turns: cut the downloads that `v` denies. Each has its one event. */
void recheck_downloads(struct worker *w, struct serving *v) NONNULL(1, 2);

#endif
