/*
 * ready.h - may traffic be sent here? Every part that a push needs, in one answer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_READY_H
#define TW_READY_H

#include "gateway/operator/metrics.h"

/* All upstreams answer, the ledger and the audit log can be written, and nobody is draining. */
bool ready_is(const struct metrics_view *v, bool draining) NONNULL(1) WUNRES;
/*
 * {"ready":true,"draining":false,"ledger":"up","audit":"up","policy":"sha256:...","reload":"ok","upstream":{"harbor":"up"},
 * "issuer":{"github":{"state":"fresh","keys":4,"age":120}}} in a malloc()ed text. An upstream is "up", "down", or "unknown"
 * before it was heard of; keys of an issuer are "fresh", "stale" after a failed fetch or a restart, "none", or of a "file".
 * NULL when out of memory.
 */
char *ready_text(const struct metrics_view *v, bool draining) NONNULL(1) WUNRES;

#endif
