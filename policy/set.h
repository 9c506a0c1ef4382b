/*
 * set.h - a large set of texts (quarantined digests), one a line of a file; read once, asked often. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SET_H
#define TW_SET_H

#include "attr.h"
#include "span.h"

#define SET_VALUES_MAX	1000000u
#define SET_VALUE_MAX	1024u	/* bytes of one */

struct set;

/*
 * One value a line, blanks around it left out; empty lines and lines that begin with # hold none. The text is copied.
 * One reference. NULL with a reason and the line.
 */
struct set *set_parse(struct span text, int *line, char *err, size_t err_size) NONNULL(2, 3) WUNRES;
struct set *set_ref(struct set *s) RETURNS_NONNULL NONNULL(1);
void set_unref(struct set *s);

size_t set_size(const struct set *s) NONNULL(1) PURE;
/* Of memory. */
size_t set_bytes(const struct set *s) NONNULL(1) PURE;
bool set_contains(const struct set *s, struct span value) NONNULL(1) PURE;
/* SHA-256 of the text it was read from: 32 bytes. */
const unsigned char *set_digest(const struct set *s) RETURNS_NONNULL NONNULL(1) PURE;

#endif
