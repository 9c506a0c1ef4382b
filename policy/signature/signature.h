/*
 * signature.h - signatures and attestations of images, verified: bytes, trust and a clock value in, what is proved out.
 *
 * cosign simple signing, Sigstore bundle v0.3, DSSE with in-toto statements, Notation (JWS; of COSE it is said that it is not read).
 * A signature counts only when all of it holds: the subject's digest is the one asked about, the key or the chain is of a trust that
 * is good for the repository, the time is known and within the certificate, no critical extension is unknown. What is not proved is
 * not told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SIGNATURE_H
#define TW_SIGNATURE_H

#include <jansson.h>

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/manifest.h"
#include "policy/policy.h"

#define SIGNATURE_ARTIFACTS	32u		/* looked at of one image; more are an error: nobody can hide the good one, nor the bad one count */
#define SIGNATURE_PAYLOAD	(16u << 20)	/* an attestation with its SBOM; a signature is at most 1 MiB */

/* ---- trust ---- */
struct trust;		/* all of it, immutable; any number of threads verify with one */
struct trust_pem { const char *name; struct span text; };
struct trust_rule {	/* as trust.<alias> of the configuration; copied */
	const char *alias;
	const struct trust_pem *keys, *rekor_keys;
	size_t n_keys, n_rekor_keys;
	struct trust_pem roots;			/* text.p NULL: none */
	const char *const *identities, *const *issuers, *const *repositories;
	size_t n_identities, n_issuers, n_repositories;
	unsigned threshold;
};
/* NULL after messages "trust.<alias>.keys: file: ..." in err, a line each. */
struct trust *trust_new(const struct trust_rule *rules, size_t n, char *err, size_t err_size) NONNULL(3) WUNRES;
void trust_free(struct trust *t);
const char *trust_hash(const struct trust *t) RETURNS_NONNULL NONNULL(1);
/* Is any trust good for upstream/repository? Without one sig:Status is "unsigned" of what has no signature, else "untrusted". */
bool trust_any(const struct trust *t, struct span image) NONNULL(1) PURE;

/* ---- what may be a signature ---- */
/* Of a manifest (by its shape alone): does it claim to sign or attest something, and are its bounds those of one? */
enum signature_shape {
	SIGNATURE_NONE = 0,	/* an image, or anything else: never counted */
	SIGNATURE_COSIGN,	/* simple signing: .sig tag or referrer */
	SIGNATURE_COSIGN_ATTESTATION,	/* DSSE in .att */
	SIGNATURE_BUNDLE,	/* Sigstore bundle v0.3 */
	SIGNATURE_NOTATION,
	SIGNATURE_SBOM,		/* attached and not signed: proves nothing */
};
enum signature_shape signature_shape_of(const struct manifest *m) NONNULL(1) PURE;
/* May a referrer with this artifactType be one? None given: it may. What is not need not be fetched. */
bool signature_may_be(struct span artifact_type) PURE;

/* One artifact: its manifest and the blobs it lists, in the order of its layers. The caller has checked their digests. */
struct signature_artifact {
	struct span bytes;
	const struct manifest *manifest;
	const struct span *layers;
	bool by_tag;		/* found under sha256-<hex>.sig or .att: it need have no subject */
};

/* ---- what is proved ---- */
struct signature_ask {
	const char *digest;	/* of the image (or index) that they are to be about */
	struct span image;	/* upstream/repository */
	int64_t now;
	const struct signature_artifact *artifacts;
	size_t n;
};
struct signature_proof {
	enum { SIG_ERROR = 0, SIG_UNSIGNED, SIG_UNTRUSTED, SIG_VERIFIED } status;
	char why[160];			/* of UNTRUSTED: the reason of the one that came nearest, named: "release: signed for another digest" */
	/* of trusts whose threshold was met: unique, in the order of their aliases; spans in the arena */
	struct span *keys;		/* "release" and "release/sha256:<of the key's DER>" */
	struct span *identities, *issuers;
	size_t n_keys, n_identities, n_issuers;
	struct span *types;		/* predicate types of verified attestations */
	struct span *builders;		/* of verified SLSA provenance */
	size_t n_types, n_builders;
	int slsa_level;			/* -1: none */
	bool sbom;			/* one is attached (signed or not) */
	bool sbom_signed;
	int64_t until;			/* seconds since the epoch: the first thing that ends; 0: nothing does */
};
/* False: out of memory. */
bool signature_verify(const struct trust *t, const struct signature_ask *q, struct arena *a, struct signature_proof *out)
    NONNULL(1, 2, 3, 4) WUNRES;
/* sig:Status Keys Identities Issuers, attest:Types BuilderIds SlsaLevel, sbom:Present. False: out of memory. */
bool signature_tell(const struct signature_proof *p, struct arena *a, struct fact facts[static KEY_MAX]) NONNULL(1, 2, 3) WUNRES;

/* To be kept and back; spans in the arena. NULL, false: out of memory, or not what signature_save() made. */
json_t *signature_save(const struct signature_proof *p) NONNULL(1) WUNRES;
bool signature_load(const json_t *o, struct arena *a, struct signature_proof *out) NONNULL(2, 3) WUNRES;

#endif
