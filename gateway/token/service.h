/*
 * service.h - the gateway's own tokens: what is in one, who gets one for how long, and which are believed.
 *
 * A token is ES256, cty "reg+jwt": iss is the external URL, aud the service, sub, jti, iat, nbf, exp; `access`, the most
 * it may be used for; and `proof`, what the caller had shown:
 *
 *	{"type":"jwt","issuer":ALIAS,"kid":KID,"iat":N,"groups":[...],"roles":[...],"claims":{...},"view":NAME}
 *	{"type":"cert","issuer":ALIAS}, with "cnf":{"x5t#S256":...} beside it (RFC 8705): good on connections of that certificate
 *	{"type":"basic","check":...}: good while the account has that password
 *	{"type":"anonymous"}
 *	{"type":"pass","digest":D}: a scanner's, see pass.h
 *
 * Of an issuer's token only what the policy can tell apart is carried (policy/view.h), so that a token stays small however
 * many groups there are; after a reload that makes the policy look at something else it is refused, and the client gets
 * another one. It dies with the issuer, or with the key that had signed for the caller.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TOKEN_SERVICE_H
#define TW_TOKEN_SERVICE_H

#include "gateway/token/keys.h"
#include "gateway/token/scope.h"
#include "policy/issuer.h"

#define OWN_MAX			4096u	/* bytes of one of our tokens: it comes with every request */
#define OWN_ID			22u	/* characters of a jti */
#define OWN_LEAST		60	/* seconds that a token must live: clients take no less (distribution's oauth.md) */
#define OWN_LIFETIME_MAX	3600	/* seconds, at most */

struct token_service;

struct token_rule {
	const char *issuer;		/* iss: the external URL; copied, as audience is */
	const char *audience;
	int64_t lifetime;		/* seconds */
	struct token_keys *keys;	/* sealed; taken over on success */
	const struct policy *policy;	/* must outlive the service */
};
struct token_service *token_service_new(const struct token_rule *rule) NONNULL(1) WUNRES;
void token_service_free(struct token_service *s);

const char *token_service_audience(const struct token_service *s) RETURNS_NONNULL NONNULL(1) PURE;
const struct token_keys *token_service_keys(const struct token_service *s) RETURNS_NONNULL NONNULL(1) PURE;

/*
 * When a token ends that is issued at `now`: after the lifetime, but not after what the caller showed: `ends` (0: it has no
 * end), or `session` seconds after it was issued, whichever is later. 0: less than OWN_LEAST would be left.
 */
int64_t token_end(int64_t now, int64_t lifetime, int64_t issued_at, int64_t ends, int64_t session) PURE;

enum mint_outcome { MINT_FAILED = 0, MINT_TOO_SHORT, MINT_TOO_LARGE, MINT_OK };
struct mint {
	/* in */
	const struct identity *who;
	const char *certificate;	/* of a certificate: SHA-256 in lower-case hex */
	struct span check;		/* of an account: what ties it to its password */
	int64_t now, ends, session;	/* ends: of what was shown, 0: none */
	const struct scopes *granted;
	unsigned char random[16];	/* what the jti is made of */
	/* out */
	char *token;			/* OK: to be freed */
	size_t size;			/* OK, TOO_LARGE */
	int64_t expires_at;
	char id[OWN_ID + 1];
	char error[160];		/* FAILED, TOO_LARGE: why, for the log */
};
enum mint_outcome token_mint(const struct token_service *s, struct mint *m) NONNULL(1, 2) WUNRES;

/*
 * Is `token` one of ours, good at `now` (a little later with grace, as token_verify())? OK: *out is new: its access and
 * token_id, and who had shown what: JWT: the caller, ready to be asked about; CERT: key_id is the certificate's SHA-256 as
 * base64url, to be compared with the connection's; BASIC: key_id is the check of the account.
 */
enum token_outcome token_accept(const struct token_service *s, const struct issuer_table *issuers, struct span token,
    int64_t now, int64_t grace, const struct identity **out) NONNULL(1, 2, 6) WUNRES;

/*
 * A pass (pass.h): subject "scanner", access to pull from `repository`, the service's lifetime. To be freed; NULL with a reason.
 */
char *token_mint_pass(const struct token_service *s, struct span repository, const char *digest, int64_t now,
    const unsigned char random[static 16], char *err, size_t err_size) NONNULL(1, 3, 5, 6) WUNRES;

/* SHA-256 from lower-case hex to base64url, as key_id has it. False: it is none. */
#define THUMBPRINT 43u
bool token_thumbprint(struct span hex, char out[static THUMBPRINT + 2]) NONNULL(2) WUNRES;

#endif
