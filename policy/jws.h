/*
 * jws.h - inside of token verification: keys, and what a verified token is made of.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_JWS_H
#define TW_JWS_H

#include <openssl/evp.h>

#include "policy/issuer.h"

#define IDENTITY_MEMORY	((size_t)4 << 20)	/* bound of one identity's arena */

/* A verified identity: the public part first, so that a pointer to one is a pointer to the other. */
struct verified {
	struct identity identity;
	struct arena *arena;	/* texts and lists of the identity */
	json_t *claims;		/* what the identity's claims are in; NULL */
};
/* Fill in the ids of an identity whose issuer, subject, groups and roles are there (identity.c). */
void identity_make_ids(struct arena *a, struct identity *who) NONNULL(1, 2);

struct jwk {
	char *kid;		/* NULL when it has none */
	unsigned algorithms;	/* bits of the algorithms it may be used with */
	EVP_PKEY *key;
};
struct keyset {
	_Atomic(unsigned) refs;
	struct jwk *keys;
	size_t n;
};

struct issuer {
	char *alias, *url;
	char **audiences;
	size_t n_audiences;
	unsigned algorithms;
	int64_t max_lifetime, leeway;
	char *groups_claim, *roles_claim;
	struct issuer_claim *required;	/* texts owned */
	size_t n_required;
	unsigned quirks;
	struct keyset *keys;		/* NULL: none yet */
};
enum jws_family { FAMILY_NONE = 0, FAMILY_RSA, FAMILY_PSS, FAMILY_EC, FAMILY_ED };
struct jws_alg_row {
	const char *name;
	enum jws_family family;
	const char *digest;	/* NULL: the algorithm hashes itself */
	size_t bytes;
};
const struct jws_alg_row *jws_alg_row(enum jws_alg alg) RETURNS_NONNULL PURE;

/* The issuer of exactly this `iss`; NULL. */
const struct issuer *issuer_find(const struct issuer_table *t, struct span url) NONNULL(1) PURE;

/* The one that speaks for the trust domain of "spiffe://domain/..."; NULL. */
const struct issuer *issuer_find_domain(const struct issuer_table *t, struct span subject) NONNULL(1) PURE;

/* The key for a header's kid (p == NULL: none given) and alg; NULL unless exactly one fits. */
const struct jwk *keyset_find(const struct keyset *ks, struct span kid, enum jws_alg alg) NONNULL(1) PURE;

/* Is `signature` (raw, as in the token) one over `input` by this key? */
bool jws_signature_ok(const struct jwk *key, enum jws_alg alg, struct span input, const unsigned char *signature,
    size_t n) NONNULL(1, 4) WUNRES;

#endif
