/*
 * parts.h - inside of signatures: a signing, the trusts it is held against, and what comes of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SIGNATURE_PARTS_H
#define TW_SIGNATURE_PARTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "policy/json.h"
#include "policy/signature/signature.h"

#define JSON_DEPTH	64u
#define CHAIN_MAX	8u		/* certificates that come with a signature */
#define ENTRIES_MAX	4u		/* log entries of one signature */
#define SIGNATURES_MAX	8u		/* of one envelope */
#define VOTES_MAX	512u		/* of one image; more are an error */
#define TYPE_LEN	256u		/* of a predicate type or builder */

/* ---- trust.c ---- */
struct trust_key {
	EVP_PKEY *key;
	char id[72];			/* "sha256:" of its DER (SubjectPublicKeyInfo) */
	unsigned char hash[32];
};
struct trust_one {
	char *alias;
	struct trust_key *keys, *logs;
	size_t n_keys, n_logs;
	STACK_OF(X509) *intermediates;	/* of roots: those that are not self-signed */
	X509_STORE *store;		/* NULL: no roots */
	char **identities, **issuers, **repositories;
	size_t n_identities, n_issuers, n_repositories;
	unsigned threshold;
};
struct trust {
	struct trust_one *rows;
	size_t n;
	char hash[72];
};
/* Text against a pattern in which * is any text. */
bool glob_match(const char *pattern, struct span s) NONNULL(1) PURE;
bool glob_any(char *const *patterns, size_t n, struct span s) PURE;

/* ---- judge.c ---- */
/* How near it came, the nearest last: the reason that is told. */
enum nearness {
	NEAR_NOT = 0,		/* nothing there */
	NEAR_UNREAD,		/* of a format that is not read */
	NEAR_BROKEN,		/* it cannot be read */
	NEAR_KEY,		/* no trusted key or chain */
	NEAR_TIME,		/* chain good, time or log not */
	NEAR_IDENTITY,		/* certificate good, of somebody else */
	NEAR_SUBJECT,		/* signed by a trusted one, for something else */
	NEAR_THRESHOLD,		/* good, and too few */
};

struct log_entry {
	struct span body;		/* canonicalizedBody */
	struct span body_text;		/* the same in base64, as it came */
	struct span log_id;		/* 32 bytes */
	int64_t integrated, index;
	struct span promise;		/* the SET's signature; n 0: none */
	bool has_proof;
	int64_t proof_index, tree_size;
	struct span root, checkpoint;
	struct span hashes[64];
	size_t n_hashes;
};

/* What a signature is over. */
enum says {
	SAYS_SIMPLE = 0,		/* cosign's simple signing */
	SAYS_STATEMENT,			/* an in-toto statement in DSSE */
	SAYS_DIGEST,			/* the digest itself */
};
struct signing {
	enum says says;
	struct span input;		/* the bytes that are signed; SAYS_DIGEST: none, the hash is the digest asked about */
	struct span payload;		/* what they say */
	struct span signature;		/* DER (EC), or raw (RSA, Ed25519) */
	X509 *leaf;			/* NULL: by a key */
	STACK_OF(X509) *chain;
	struct log_entry entries[ENTRIES_MAX];
	size_t n_entries;
};

struct vote {
	const struct trust_one *trust;
	struct span voter;		/* "sha256:..." of a key, or an identity */
	struct span issuer;		/* of an identity; n 0: none */
	bool by_key;
	struct span type;		/* predicate type of an attestation; n 0: a signature */
	struct span builder;		/* n 0: none */
	int level;			/* -1: none */
	bool sbom;
	int64_t until;			/* 0: nothing ends */
};

/* One call of signature_verify(). */
struct review {
	const struct trust *trust;
	const struct signature_ask *ask;
	struct arena *arena;
	unsigned char digest[32];	/* of ask->digest */
	const struct trust_one **good;	/* trusts of this repository */
	size_t n_good;
	struct vote *votes;
	size_t n_votes;
	bool too_many;
	enum nearness near;
	char why[160];
};
/* A reason, kept when it is nearer than the one before; trust NULL: of none, or of the only one. Always false. */
bool miss(struct review *r, enum nearness near, const struct trust_one *t, const char *fmt, ...) PRINTF(4, 5);
/* What the payload says, of a signature that is good by this trust, is added as a vote. `v` is who signed. */
bool vote_for(struct review *r, const struct signing *s, struct vote *v);
void vote_add(struct review *r, const struct vote *v);
/* All trusts: by key, or by certificate. */
void judge(struct review *r, const struct signing *s);
/* Is it a signature of this key (NULL: it is not), of an algorithm that the key is used with? */
bool signed_by(EVP_PKEY *key, const struct review *r, const struct signing *s);
/* The same over these bytes. */
bool signed_by_bytes(EVP_PKEY *key, struct span input, struct span signature);

/* ---- codec.c ---- */
/* Base64 (RFC 4648 section 4) with its padding, in its one form, at most max bytes. */
bool unbase64(struct arena *a, struct span text, size_t max, struct span *out) NONNULL(1, 4) WUNRES;
json_t *read_json(struct span text) WUNRES;
/* A number, or a text of digits as protobuf writes int64; false when it is neither, or below 0. */
bool json_int64(const json_t *o, const char *key, int64_t *out) NONNULL(2, 3) WUNRES;
/* "sha256:" and hex to 32 bytes. */
bool digest_bytes(struct span text, unsigned char out[static 32]) WUNRES;
void sha256(struct span s, unsigned char out[static 32]);
X509 *certificate_der(struct span der) WUNRES;
/* Certificates of a PEM text pushed to the list; false: a broken one, or more than CHAIN_MAX. */
bool certificates_pem(struct span pem, STACK_OF(X509) *to) NONNULL(2) WUNRES;
/* The hash of a public key in DER. */
bool key_hash(EVP_PKEY *key, unsigned char out[static 32]) WUNRES;
void signing_clear(struct signing *s);

/* ---- proof.c ---- */
/* "verified", ...: as sig:Status says it. */
const char *status_name(unsigned status) RETURNS_NONNULL PURE;

/* ---- dsse.c ---- */
/* The envelope's signings: by_key of them without certificate. False after miss(). */
void envelope_judge(struct review *r, const json_t *envelope, struct signing *s, bool one_only);
/* What a statement says about the image; false after miss(). */
bool statement_read(struct review *r, const struct trust_one *t, struct span payload, struct vote *v) WUNRES;

/* ---- cosign.c, bundle.c, notation.c: an artifact each ---- */
void cosign_judge(struct review *r, const struct signature_artifact *x);
bool simple_read(struct review *r, const struct trust_one *t, struct span payload) WUNRES;
void bundle_judge(struct review *r, const struct signature_artifact *x);
void notation_judge(struct review *r, const struct signature_artifact *x);

/* ---- rekor.c ---- */
bool entry_of_bundle(struct arena *a, const json_t *o, struct log_entry *e) WUNRES;	/* tlogEntries[] of a bundle */
bool entry_of_annotation(struct arena *a, const json_t *o, struct log_entry *e) WUNRES;	/* dev.sigstore.cosign/bundle */
/* A log of this trust has it, and it is about this signature; *when: the proved time, 0: none. */
bool entry_proves(struct review *r, const struct trust_one *t, const struct signing *s, const struct log_entry *e, int64_t *when,
    const char **why) WUNRES;

/* ---- chain.c ---- */
/* The leaf leads to a root of the trust at that time, and may sign code. */
bool chain_good(const struct trust_one *t, X509 *leaf, STACK_OF(X509) *chain, int64_t when, bool *expired, char *why, size_t size) WUNRES;
/* An identity of the leaf that the trust names, and the issuer; false after miss(). */
bool leaf_identity(struct review *r, const struct trust_one *t, X509 *leaf, struct vote *v) WUNRES;
bool leaf_subject(struct review *r, const struct trust_one *t, X509 *leaf, struct vote *v) WUNRES;
/* Seconds since the epoch; false: no such time. */
bool time_of(const ASN1_TIME *t, int64_t *out) WUNRES;

#endif
