/*
 * mint.c - see mint.h. The one file that knows libjwt; of it only what 1.10 and 1.17 have in common.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/mint.h"

#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>

static jwt_alg_t
libjwt_alg(enum jws_alg alg)
{
	switch (alg) {
	case JWS_RS256:
		return JWT_ALG_RS256;
	case JWS_RS384:
		return JWT_ALG_RS384;
	case JWS_RS512:
		return JWT_ALG_RS512;
	case JWS_ES256:
		return JWT_ALG_ES256;
	case JWS_ES384:
		return JWT_ALG_ES384;
	case JWS_ES512:
		return JWT_ALG_ES512;
	case JWS_PS256:	/* libjwt 1.10 does not know them */
	case JWS_PS384:
	case JWS_PS512:
	case JWS_EdDSA:
	case JWS_ALG_NONE:
	case JWS_ALG_MAX:
		break;
	}
	return JWT_ALG_NONE;
}

char *
mint_token(struct span key, const char *kid, const char *cty, enum jws_alg alg, const json_t *claims, char *err, size_t err_size)
{
	char *text = json_dumps(claims, JSON_COMPACT), *token = NULL;
	const char *what = NULL;
	jwt_t *jwt = NULL;

	/* without algorithm or key libjwt would make an unsigned token */
	if (libjwt_alg(alg) == JWT_ALG_NONE || key.n == 0)
		what = "libjwt has no such algorithm, or there is no key to sign with";
	else if (text == NULL || jwt_new(&jwt) != 0)
		what = "out of memory";
	else if (jwt_add_grants_json(jwt, text) != 0)
		what = "libjwt does not accept the claims";
	else if (jwt_add_header(jwt, "kid", kid) != 0 || (cty != NULL && jwt_add_header(jwt, "cty", cty) != 0) ||
	    jwt_set_alg(jwt, libjwt_alg(alg), (const unsigned char *)key.p, (int)key.n) != 0)
		what = "libjwt does not accept the key";
	else if ((token = jwt_encode_str(jwt)) == NULL)
		what = "libjwt cannot sign: is it a private key of this algorithm?";
	if (what != NULL)
		snprintf(err, err_size, "%s", what);
	jwt_free(jwt);
	free(text);
	return token;
}
