/*
 * pass.c - see pass.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/pass.h"

#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/request.h"

bool
pass_mint(const struct config *c, struct span repository, const char *digest, int64_t now, const unsigned char random[static 16],
    char *out, size_t size)
{
	char err[160], *token;
	size_t n;

	if (c->token_service == NULL)
		return false;
	token = token_mint_pass(c->token_service, repository, digest, now, random, err, sizeof err);
	if (token == NULL) {
		log_warn("msg=no pass for a scanner: %s", err);
		return false;
	}
	n = strlen(token);
	if (n < size)
		memcpy(out, token, n + 1);
	free(token);
	return n < size;
}

bool
pass_allows(const struct request *r)
{
	const struct identity *token = r->authn.token;

	if (r->route.op == ROUTE_PING)
		return true;
	if (!access_covers(token->access, ACTION_PullManifest, r->route.repository))
		return false;
	if (r->route.op == ROUTE_MANIFEST_GET)
		return r->route.reference_type == REFERENCE_DIGEST && span_eq(r->route.reference, token->pass);
	return r->route.op == ROUTE_BLOB_GET;	/* step inspect looks whether the image lists it */
}
