/*
 * granted.h - one worker's memory of who may pull which manifest, for blobs that ask it again and again: a minute, and until
 * policy or configuration change. What is blocked is looked at each time, beside it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_GRANTED_H
#define TW_GRANTED_H

#include "gateway/evidence/grants.h"

struct request;
struct granted;

struct granted *granted_new(void) WUNRES;
void granted_free(struct granted *g);
/* False: not known; else *may. */
bool granted_known(const struct granted *g, const struct request *r, const struct grant *m, bool *may) NONNULL(1, 2, 3, 4) WUNRES;
void granted_remember(struct granted *g, const struct request *r, const struct grant *m, bool may) NONNULL(1, 2, 3);

#endif
