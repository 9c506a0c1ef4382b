/*
 * collect.h - inside of evidence: the signatures and attestations that are attached to a digest, fetched and verified.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COLLECT_H
#define TW_COLLECT_H

#include "gateway/evidence/exhibit.h"

struct gathering;

/* What it ends with: PASS when verified, FAIL when unsigned or untrusted. NULL: out of memory. */
struct exhibit *collect_signatures(struct gathering *g) NONNULL(1);

#endif
