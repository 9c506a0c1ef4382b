/*
 * schema.h - what is generated from the tables of the language: the JSON Schema of a policy document.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCHEMA_H
#define TW_SCHEMA_H

#include <jansson.h>

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

/*
 * JSON Schema, draft-07: the newest that editors know in full (VS Code knows 2019-09 and 2020-12 in part). Every
 * document that policy_load() accepts is valid; what depends on other files, on the order of values or on two places of
 * a document is left to policy_load(). NULL when out of memory.
 */
json_t *policy_schema(void) WUNRES;
/* It as text, as policy/policy.schema.json holds it, in the arena; {NULL,0} when out of memory. */
struct span schema_text(struct arena *a) NONNULL(1) WUNRES;

#endif
