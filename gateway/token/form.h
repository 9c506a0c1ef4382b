/*
 * form.h - application/x-www-form-urlencoded, read strictly: bodies of POST /token, and queries of GET /token.
 *
 * Pure. Names and values are decoded once ('+' is a space); a bad escape, a control character, an empty name or a pair
 * without '=' refuses the whole. What is not asked for is ignored (RFC 6749 section 3.2), what is asked for once may not
 * be there twice.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_FORM_H
#define TW_TOKEN_FORM_H

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

#define FORM_MAX	32768u	/* bytes of a form: a token as the password, and 32 scopes */
#define FORM_FIELDS_MAX	64u

struct form_field {
	struct span name, value;	/* decoded, in the arena */
};
struct form {
	struct form_field fields[FORM_FIELDS_MAX];
	size_t n;
};

/* False when it is malformed, or out of memory (arena_failed()). An empty text is a form without fields. */
bool form_read(struct span text, struct arena *a, struct form *out) NONNULL(2, 3) WUNRES;
/* The value of a field that may be there once; p == NULL when it is not. False when it is there twice. */
bool form_one(const struct form *f, struct span name, struct span *out) NONNULL(1, 3) WUNRES;

#endif
