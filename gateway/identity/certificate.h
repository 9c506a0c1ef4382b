/*
 * certificate.h - a client certificate that OpenSSL has verified, to an identity.
 *
 * The name comes from the SPIFFE ID, the only URI of the certificate (SPIFFE-ID and X509-SVID), else from the one place
 * the listener was told to look at. A certificate that could be read in two ways, or whose name holds bytes no name holds, is
 * nobody's: nothing is cut, chosen or repaired.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CERTIFICATE_H
#define TW_CERTIFICATE_H

#include <openssl/x509.h>

#include "policy/identity.h"

#define CERTIFICATE_GROUPS_MAX 64u

/* Where the name stands when the certificate has no SPIFFE ID. */
enum certificate_subject {
	CERTIFICATE_SUBJECT_SAN = 0,	/* the one DNS name or mail address of subjectAltName */
	CERTIFICATE_SUBJECT_CN,		/* the one common name of the subject */
};
enum certificate_groups { CERTIFICATE_GROUPS_NONE = 0, CERTIFICATE_GROUPS_O, CERTIFICATE_GROUPS_OU };

struct certificate_rule {
	const char *issuer;		/* alias under which policies name these identities */
	enum certificate_subject subject;
	enum certificate_groups groups;	/* which part of the subject lists groups */
};

/* X(enum, "symbol" for the audit event, "text" for the client) */
#define CERTIFICATE_OUTCOMES(X) \
	X(UNREADABLE, "unreadable", "client certificate refused: it is malformed") \
	X(IS_CA, "is_ca", "client certificate refused: it is the certificate of a CA") \
	X(NAMELESS, "nameless", "client certificate refused: it has no SPIFFE ID and no name where this listener looks") \
	X(AMBIGUOUS, "ambiguous", "client certificate refused: it names more than one subject") \
	X(BAD_NAME, "bad_name", "client certificate refused: its name is not a usable text") \
	X(BAD_SPIFFE_ID, "bad_spiffe_id", "client certificate refused: its URI is not a SPIFFE ID") \
	X(BAD_GROUP, "bad_group", "client certificate refused: too many groups, or one is not a usable text") \
	X(MISSING, "missing", "client certificate refused: this listener requires one now; connect again") \
	X(DISTRUSTED, "distrusted", "client certificate refused: its CA is no longer trusted, or it was revoked") \
	X(EXPIRED, "expired", "client certificate refused: it has expired; connect again with a new one") \
	X(NO_MEMORY, "no_memory", "out of memory") \
	X(OK, "ok", "ok")

enum certificate_outcome {
#define X(outcome, symbol, text) CERTIFICATE_##outcome,
	CERTIFICATE_OUTCOMES(X)
#undef X
};
const char *certificate_outcome_symbol(enum certificate_outcome o) RETURNS_NONNULL PURE;
const char *certificate_outcome_text(enum certificate_outcome o) RETURNS_NONNULL PURE;

/*
 * The identity of a verified certificate. OK: *out is new, with one reference; issued_at and expires_at are the
 * certificate's own. x is only read (OpenSSL keeps what it parsed in it). names: what principals cert:<name> may call it by.
 */
enum certificate_outcome certificate_identity(X509 *x, const struct certificate_rule *rule, const struct span *names,
    size_t n_names, const struct identity **out) NONNULL(1, 2, 5) WUNRES;

/* ---- what a connection keeps of it (certificate_facts.c) ---- */

#define CERTIFICATE_NAMES_MAX 64u

struct certificate_names {
	const struct span *texts;	/* printable ASCII */
	size_t n;
	bool known;			/* false: unreadable, or too many */
};

struct certificate {
	const struct identity *who;	/* NULL: it names nobody */
	enum certificate_outcome outcome;	/* why not */
	int64_t expires_at;		/* the earliest end in its chain, seconds since the epoch; 0: unreadable */
	struct span subject, issuer;	/* RFC 2253 */
	struct span sha256;		/* lower-case hex of its DER */
	struct certificate_names uris, hosts;	/* of subjectAltName */
	struct arena *arena;		/* private */
};

/* A verified chain, leaf first, read once for all requests of its connection. NULL when out of memory. */
struct certificate *certificate_new(const STACK_OF(X509) *chain, const struct certificate_rule *rule) NONNULL(1, 2) WUNRES;
void certificate_free(struct certificate *c);
/* From now on it names nobody: it does not verify any more. */
void certificate_distrust(struct certificate *c) NONNULL(1);

/* The earliest end in a chain, seconds since the epoch. False, and 0, when one cannot be read. */
bool certificate_end(const STACK_OF(X509) *chain, int64_t *out) NONNULL(1, 2) WUNRES;

/*
 * spiffe://trust-domain/path as the SPIFFE-ID standard has it (section 2): lower-case trust domain without port or user,
 * a path of non-empty segments of [A-Za-z0-9._-], none of them . or .., no escapes, query or fragment; and, for who asks
 * here, a path there must be (X509-SVID section 3.1).
 */
bool certificate_is_spiffe_id(struct span s) PURE;

#endif
