/*
 * reference.h - the tables of the language as Markdown: the generated part of MANUAL.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REFERENCE_H
#define TW_REFERENCE_H

#include "policy/attr.h"

/* Actions, condition keys, operators, claims and lint codes; to be freed with free(). NULL when out of memory. */
char *policy_reference(void) WUNRES;

#endif
