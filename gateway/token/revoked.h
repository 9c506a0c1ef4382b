/*
 * revoked.h - the deny list: tokens and people that are believed no longer, whatever they show.
 *
 * A text file, one a line: "jti:<id>" of a token (an issuer's, then what was minted of it dies with it, or one of ours),
 * "subject:<issuer alias>/<name>" or "basic:<user>" as policies write them. Empty lines and those that begin with # do not count.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_REVOKED_H
#define TW_TOKEN_REVOKED_H

#include "policy/identity.h"

#define REVOKED_FILE_MAX	((size_t)16 << 20)

struct revoked;

/* Copies the text. NULL with a reason, and *line from 1. */
struct revoked *revoked_new(struct span text, char *err, size_t err_size, int *line) NONNULL(2, 4) WUNRES;
void revoked_free(struct revoked *l);
/* Is this one on the list: by name, by the token it showed, or by the token that one was minted of? NULL: an empty list. */
bool revoked_has(const struct revoked *l, const struct identity *who) NONNULL(2);
/* Is the token of this id? */
bool revoked_token(const struct revoked *l, struct span id);

#endif
