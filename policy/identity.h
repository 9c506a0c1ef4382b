/*
 * identity.h - who is asking, in one record, however they proved it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_IDENTITY_H
#define TW_IDENTITY_H

#include <jansson.h>

#include "attr.h"
#include "span.h"

enum principal_type {
	PRINCIPAL_ANONYMOUS = 0,
	PRINCIPAL_JWT,
	PRINCIPAL_CERT,
	PRINCIPAL_BASIC,
};

struct identity {
	enum principal_type type;
	struct span issuer;		/* the issuer's configured alias; empty for anonymous */
	struct span subject;		/* `sub`; "anonymous" for anonymous */
	struct span key_id;		/* kid of the key that verified it; empty for a certificate */
	const struct span *groups, *roles;
	size_t n_groups, n_roles;
	/* There are groups that the token does not list (too many of them): whether it is in one is unknown, not no. */
	bool groups_unknown;
	const struct span *names;	/* of a client certificate: URIs, DNS names and its SHA-256 in hex */
	size_t n_names;
	/*
	 * principal:ids of the policy language: "anonymous"; or "issuer:<alias>", "subject:<alias>/<sub>",
	 * "group:<alias>/<name>", "role:<alias>/<name>", "cert:<name>"; or "basic:<user>" and its groups. Built once, by whoever makes the
	 * identity. With groups_unknown the last one is "groups-unknown:<alias>": no principal of a policy, but what records
	 * and queries keep it by.
	 */
	const struct span *ids;
	size_t n_ids;
	const json_t *claims;		/* the verified payload object; NULL when there is none */
	/* of a token of the gateway's own */
	const json_t *access;		/* all that it may be used for; NULL: no such bound */
	struct span token_id;		/* its jti; empty: it is none */
	struct span pass;		/* it is a scanner's, good for the one image of this digest, and policy is not asked; empty: it is none */
	int64_t issued_at, expires_at;	/* seconds since the epoch; 0 or less when there is none */
	uint32_t generation;		/* of the issuer table that verified it */
	unsigned refs;			/* private: identities never cross threads */
};

#define IDENTITY_SUBJECT_MAX	255u	/* bytes */
#define IDENTITY_NAME_MAX	512u	/* bytes of a group or role */
#define IDENTITY_NAMES_MAX	2048u	/* groups of one identity, and roles */

#define IDENTITY_BASIC "basic"	/* issuer of those who log in with a password */

/*
 * An identity that no token vouches for: type, issuer, subject, groups, roles and times as in `parts`, everything copied,
 * ids made. NULL: a name that is none (see identity_name_ok()), too many of them, or out of memory.
 */
const struct identity *identity_new(const struct identity *parts) NONNULL(1) WUNRES;
/* The same with claims, access and token_id, which are inside of `document`: a reference to it is taken over, always. */
const struct identity *identity_within(const struct identity *parts, json_t *document) NONNULL(1) WUNRES;
/* 1 to max bytes without C0 controls and DEL: names end up in policies, logs and answers. */
bool identity_name_ok(struct span s, size_t max) PURE;

/* The one anonymous identity: static, taking references is a no-op. */
const struct identity *identity_anonymous(void) RETURNS_NONNULL;

/*
 * The claim at a dotted path ("realm_access.roles"). Names of claims hold dots themselves ("kubernetes.io"): every way
 * to read the path is tried, and *found counts those that lead somewhere; more than one is no answer. NULL: none.
 */
const json_t *claim_find(const json_t *claims, struct span path, unsigned *found) NONNULL(3);

/*
 * Does the token say that the value of this claim is to be had elsewhere (OpenID Connect Core section 5.6.2, _claim_names;
 * Entra ID's group overage)? The path's first part counts.
 */
bool claim_is_elsewhere(const json_t *claims, struct span path);

/* References are not atomic: an identity belongs to one worker. */
const struct identity *identity_ref(const struct identity *id) RETURNS_NONNULL NONNULL(1);
void identity_unref(const struct identity *id);

#endif
