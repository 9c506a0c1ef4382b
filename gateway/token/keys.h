/*
 * keys.h - the keys of the gateway's own tokens: one signs, several verify, all are published.
 *
 * ES256 only. A key's id is the fingerprint of its public half, so that replicas that share the files agree, and so
 * does a registry of the distribution project that trusts the key (its libtrust form: 30 bytes of SHA-256 in base32, in
 * groups of four).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_KEYS_H
#define TW_TOKEN_KEYS_H

#include "policy/issuer.h"

#define TOKEN_KID	59u	/* characters of a key's id */
#define TOKEN_KEYS_MAX	16u

struct token_keys;

struct token_keys *token_keys_new(void) WUNRES;
/* Wipes the signing key. */
void token_keys_free(struct token_keys *k);
/*
 * A key as PEM text: private, or public unless it is to sign. The one that signs comes first. False with a reason: no PEM,
 * another kind of key, there already, or too many.
 */
bool token_keys_add(struct token_keys *k, struct span pem, bool signs, char *err, size_t err_size) NONNULL(1, 4) WUNRES;
/* All are there: make the set that verifies, and its document. False with a reason. */
bool token_keys_seal(struct token_keys *k, char *err, size_t err_size) NONNULL(1, 2) WUNRES;

struct span token_keys_private(const struct token_keys *k) NONNULL(1) PURE;	/* PEM of the one that signs */
const char *token_keys_kid(const struct token_keys *k) RETURNS_NONNULL NONNULL(1) PURE;
const struct keyset *token_keys_set(const struct token_keys *k) RETURNS_NONNULL NONNULL(1) PURE;
/* {"keys":[...]} (RFC 7517), public halves only, the one that signs first. */
struct span token_keys_document(const struct token_keys *k) NONNULL(1) PURE;

/* A new P-256 private key as PEM text, to be wiped and freed; NULL. */
char *token_key_generate(size_t *n) NONNULL(1) WUNRES;

#endif
