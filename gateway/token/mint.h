/*
 * mint.h - signing tokens, with libjwt. It signs only: what it says about a token of somebody else decides nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_MINT_H
#define TW_MINT_H

#include <jansson.h>

#include "policy/issuer.h"

/*
 * A compact JWS of these claims (an object), header {"alg","typ":"JWT","kid"}, and "cty" unless it is NULL. key is a
 * private key as PEM text.
 * The caller's to free(); NULL with a reason.
 */
char *mint_token(struct span key, const char *kid, const char *cty, enum jws_alg alg, const json_t *claims, char *err,
    size_t err_size) NONNULL(2, 5, 6) WUNRES;

#endif
