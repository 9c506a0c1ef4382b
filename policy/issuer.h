/*
 * issuer.h - which issuers are trusted, for what, with which keys; a token against them.
 *
 * Verification is our own strict JWS over EVP (RFC 7515, 7517, 7518, 8725). libjwt 1.x must never decide
 * validity: it accepts RS256->HS256 confusion and any signature when the key is missing.
 * An issuer is configuration: it is found by the exact `iss` string before anything else is believed. A token whose
 * header brings a key or names an address of one (jwk, x5c, jku, x5u) is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ISSUER_H
#define TW_ISSUER_H

#include "arena.h"
#include "attr.h"
#include "identity.h"
#include "span.h"

#define TOKEN_MAX	16384u	/* bytes of a compact JWS */

/* Signature algorithms. JWS_ALG_NONE is "no algorithm", never accepted. */
enum jws_alg {
	JWS_ALG_NONE = 0,
#define ALG(name, family, digest, bytes) JWS_##name,
#include "jws_alg.def"
#undef ALG
	JWS_ALG_MAX
};
enum jws_alg jws_alg_parse(struct span name) PURE;	/* exact case; JWS_ALG_NONE when unknown */
const char *jws_alg_name(enum jws_alg alg) RETURNS_NONNULL PURE;

/* ---- key sets (RFC 7517) ---- */
struct keyset;

/*
 * Parse a JWKS document (<= 1 MiB, <= 64 keys). Refused whole on: duplicate JSON keys, RSA n < 2048 or > 8192
 * bits, even n or e, e < 3, EC coordinates or Ed25519 keys of the wrong length, off the curve, kty oct, the same kid
 * with different keys. Keys with use other than "sig" (absent is fine), or of a type we cannot use, are skipped.
 * A key without alg takes what its kty/crv allow. NULL with a reason in err.
 */
struct keyset *keyset_parse(const char *json, size_t n, char *err, size_t err_size) WUNRES;
/* The same with keys whose use is another one of these as well: "jwt-svid" in SPIFFE bundles. use NULL: "sig" only. */
struct keyset *keyset_parse_for(const char *use, const char *json, size_t n, char *err, size_t err_size) WUNRES;
/* Sets are shared: atomic count. */
struct keyset *keyset_ref(struct keyset *ks) RETURNS_NONNULL NONNULL(1);
/* One reference less; NULL is fine. */
void keyset_free(struct keyset *ks);
/* The kid of key i, "" when it has none. */
const char *keyset_kid(const struct keyset *ks, size_t i) RETURNS_NONNULL NONNULL(1) PURE;
/* Is there a key of that id? */
bool keyset_has(const struct keyset *ks, struct span kid) NONNULL(1) PURE;
size_t keyset_count(const struct keyset *ks) NONNULL(1) PURE;

/* ---- issuer table: immutable once built ---- */
struct issuer_claim {
	const char *path;		/* dotted */
	const char *value;		/* as text; a '*' at its end stands for anything; NULL: any value will do */
};

/* What issuers do in their own way; bits. */
enum issuer_quirk {
	ISSUER_CLIENT_ID = 1u << 0,	/* Cognito: an access token has no aud and is meant for its client_id */
	ISSUER_EMAIL = 1u << 1,		/* Google: an address counts only with email_verified */
	ISSUER_SPIFFE = 1u << 2,	/* a token may lack iss: sub names the trust domain; typ may be JOSE */
};

struct issuer_rule {			/* all strings are copied by issuer_table_add() */
	const char *alias;		/* configured name */
	const char *url;		/* exact `iss` */
	const char *const *audiences;	/* at least one; membership of any is required */
	size_t n_audiences;
	unsigned algorithms;		/* bit (1u << enum jws_alg) */
	int64_t max_lifetime;		/* exp - iat, seconds; 0: 24 h */
	int64_t leeway;			/* seconds; 60 */
	const char *groups_claim;	/* dotted path; default "groups" */
	const char *roles_claim;	/* default "roles" */
	const struct issuer_claim *required;
	size_t n_required;
	unsigned quirks;		/* bits of enum issuer_quirk */
	struct keyset *keys;		/* taken over by the table on success; NULL: none yet, no token verifies */
};

struct issuer_table;
struct issuer_table *issuer_table_new(uint32_t generation) WUNRES;
/* False: duplicate alias or url, no audience, no algorithm, out of memory. */
bool issuer_table_add(struct issuer_table *t, const struct issuer_rule *rule) NONNULL(1, 2) WUNRES;
size_t issuer_table_count(const struct issuer_table *t) NONNULL(1) PURE;
/* Is there an issuer of that alias, with a key of that id? `kid` as in an identity. */
bool issuer_table_vouches(const struct issuer_table *t, struct span alias, struct span kid) NONNULL(1) PURE;
/* The number given to issuer_table_new(): a cache of verified tokens misses when it changes. */
uint32_t issuer_table_generation(const struct issuer_table *t) NONNULL(1) PURE;
/* Shared by workers: atomic reference count; create holds one. */
struct issuer_table *issuer_table_ref(struct issuer_table *t) RETURNS_NONNULL NONNULL(1);
void issuer_table_unref(struct issuer_table *t);

/* ---- verification ---- */
/* X(enum, "symbol", "text for the log and the audit detail"): neither is ever sent to the client */
#define TOKEN_OUTCOMES(X) \
	X(MALFORMED, "malformed", "not a compact JWS") \
	X(TOO_LONG, "too_long", "token too long") \
	X(BAD_HEADER, "bad_header", "header refused") \
	X(CRIT, "crit", "crit header not supported") \
	X(ALG_REFUSED, "alg_refused", "algorithm not allowed for this issuer") \
	X(BAD_PAYLOAD, "bad_payload", "payload refused") \
	X(ISSUER_UNKNOWN, "issuer_unknown", "issuer not configured") \
	X(NO_KEYS, "issuer_unavailable", "the keys of the issuer could not be fetched") \
	X(KEY_UNKNOWN, "key_unknown", "no key of the issuer fits") \
	X(BAD_SIGNATURE, "bad_signature", "signature does not verify") \
	X(NO_EXPIRY, "no_expiry", "exp missing or not a number") \
	X(EXPIRED, "expired", "token has expired") \
	X(NOT_YET_VALID, "not_yet_valid", "token not valid yet") \
	X(TOO_LONG_LIVED, "too_long_lived", "token lives longer than the issuer may grant") \
	X(AUDIENCE, "audience", "token is for another audience") \
	X(CLAIM, "claim", "a claim that the issuer requires is missing or another") \
	X(SUBJECT, "subject", "sub missing or not a usable string") \
	X(OUTGROWN, "outgrown", "policy looks at more than this token of ours carries") \
	X(NO_MEMORY, "no_memory", "out of memory") \
	X(OK, "ok", "ok")

enum token_outcome {
#define X(outcome, symbol, text) TOKEN_##outcome,
	TOKEN_OUTCOMES(X)
#undef X
};
const char *token_outcome_symbol(enum token_outcome o) RETURNS_NONNULL PURE;	/* "bad_signature" */
const char *token_outcome_text(enum token_outcome o) RETURNS_NONNULL PURE;

/*
 * Verify a compact JWS at time `now` (seconds). TOKEN_OK: *out is a new identity with one reference.
 * A token that expired less than `grace` seconds ago (beyond the leeway) still verifies: 0 but for uploads
 * on a lease.  Safe to call from many threads with one table.
 */
enum token_outcome token_verify(const struct issuer_table *t, struct span token, int64_t now, int64_t grace,
    const struct identity **out) NONNULL(1, 5) WUNRES;
/* The same, and the alias of the issuer that it names, as long as the table lives; NULL when it got not so far. */
enum token_outcome token_verify_from(const struct issuer_table *t, struct span token, int64_t now, int64_t grace,
    const struct identity **out, const char **alias) NONNULL(1, 5, 6) WUNRES;

/* ---- tokens of the gateway's own ---- */

/*
 * What their header says as `cty`. (Not as `typ`: the libjwt of Debian 12 writes "JWT" there, whatever it is told.) A token
 * of an issuer that says so is refused.
 */
#define TOKEN_OWN_TYPE "reg+jwt"
/* Does the header say so? Nothing of the token is believed. */
bool token_is_own(struct span token) WUNRES;
/*
 * A compact JWS of that type, signed with one of these algorithms (bits) by the key that its kid names. TOKEN_OK:
 * *claims is its payload, a new reference; times and names in it are the caller's to judge.
 */
enum token_outcome token_open(const struct keyset *keys, unsigned allowed, struct span token, json_t **claims)
    NONNULL(1, 4) WUNRES;

#endif
