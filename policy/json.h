/*
 * json.h - JSON read the one way every later reader will read it.
 *
 * jansson with JSON_REJECT_DUPLICATES, no NULs, no BOM, no trailing bytes, a depth bound, and the reader's
 * trap closed: Go registries match keys without case ("Config", "layer\u017f"), so a key that equals a known
 * key under Unicode simple folding but not byte for byte is refused where the caller names known keys.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_JSON_H
#define TW_JSON_H

#include <jansson.h>

#include "attr.h"
#include "span.h"

/*
 * Strict parse of exactly the given bytes; depth counts nested arrays and objects. NULL with a one-line reason
 * (and *line, 1-based, when line is not NULL). The result is the caller's to json_decref().
 */
json_t *json_strict(struct span text, unsigned depth, char *err, size_t err_size, int *line) NONNULL(3) WUNRES;

/* A string member, as a span (may be empty); {NULL,0} when absent or not a string. Valid as long as o. */
struct span json_span(const json_t *o, const char *key) NONNULL(2);

/* True when `key` folds to one of known[] without being equal to it (ASCII case, U+017F, U+212A). */
bool json_key_is_variant(const char *key, const char *const *known, size_t n) NONNULL(1);

#endif
