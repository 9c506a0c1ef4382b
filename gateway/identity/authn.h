/*
 * authn.h - the Authorization field to an identity: Bearer JWT, the gateway's own tokens, or Basic with a JWT as the password,
 * or with the password of an account.
 *
 * One per worker. Verified tokens are remembered by the SHA-256 of the token, for at most the configured time and
 * never past exp; refused ones for a few seconds, so that a flood of one bad token costs no signature checks.
 * Nothing about a token is kept with the connection: every request authenticates itself. (A client certificate is the
 * connection's; where a request brings a token too, the token says who asks.)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUTHN_H
#define TW_AUTHN_H

#include "gateway/identity/accounts.h"
#include "gateway/operator/metrics.h"
#include "gateway/token/service.h"
#include "policy/issuer.h"

struct authn;

/* What is believed, and when. */
struct authn_ask {
	const struct issuer_table *issuers;
	const struct token_service *tokens;	/* NULL: there are no tokens of our own */
	const struct accounts *accounts;	/* NULL: a password is a token, or nothing */
	int64_t now;
	int64_t grace;			/* see token_verify(); a token that only verifies thanks to it is not remembered */
	int64_t cache_s;		/* seconds an entry may live */
};

struct authn_result {
	const struct identity *who;	/* a reference the caller gives back; anonymous when nothing was sent */
	/*
	 * A token of our own, likewise: then who is NULL, and whom it stands for is the caller's to find (see
	 * token_accept()). NULL: something else was shown.
	 */
	const struct identity *token;
	/* A name and a password, to be checked on another thread: who is NULL. The caller's; NULL: something else was shown. */
	struct login *login;
	const char *method;		/* "bearer", "basic", "certificate", "anonymous" */
	const char *detail;		/* for the audit event: why a token was refused; NULL */
	const char *issuer;		/* alias in q->issuers: with other keys of this issuer the token might be good; NULL */
};

struct authn *authn_new(struct metrics *m) NONNULL(1) WUNRES;
void authn_free(struct authn *a);

/*
 * REFUSE_NONE: out->who is set, or out->token, or out->login. REFUSE_BAD_CREDENTIALS, REFUSE_BAD_TOKEN,
 * REFUSE_ISSUER_UNAVAILABLE (and those of want): it is not.
 * field.p == NULL: no Authorization was sent.
 */
enum refuse authn_identify(struct authn *a, const struct authn_ask *q, struct span field, struct authn_result *out)
    NONNULL(1, 2, 4) WUNRES;
/* The same of a user name and password that came in another way. */
enum refuse authn_password(struct authn *a, const struct authn_ask *q, struct span user, struct span password,
    struct authn_result *out) NONNULL(1, 2, 5) WUNRES;
/* The login was checked, and good: for cache_s from now on the same one is believed at once, while the account has that hash. */
void authn_remember_login(struct authn *a, const struct login *l, int64_t now, int64_t cache_s) NONNULL(1, 2);

#endif
