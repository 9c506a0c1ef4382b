/*
 * request.h - a request to the token service on its walk: what other steps ask about it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_REQUEST_H
#define TW_TOKEN_REQUEST_H

#include <jansson.h>

#include "gateway/http/write.h"
#include "policy/attr.h"
#include "policy/span.h"

struct request;

/* The user name and password of a form; p == NULL: there is none. */
struct span token_user(const struct request *r) NONNULL(1);
struct span token_password(const struct request *r) NONNULL(1);
/* Seconds that a token may have ended ago: the longest `session` of an issuer, held against its own one later. */
int64_t token_grace(const struct request *r) NONNULL(1);

/* For the event: the id and the scope of a token that was issued, or the id of the one that was shown. */
struct span token_event_id(const struct request *r) NONNULL(1);
struct span token_event_scope(const struct request *r) NONNULL(1);

/* WWW-Authenticate of a 401 (challenge.c). */
void token_challenge(struct request *r, struct http_writer *w) NONNULL(1, 2);
/* What RFC 6749 section 5.2 calls a refusal; NULL: not asked in its words. */
const char *token_oauth_error(const struct request *r) NONNULL(1);

#endif
