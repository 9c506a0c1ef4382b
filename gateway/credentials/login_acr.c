/*
 * login_acr.c - Azure: an Entra ID token of the gateway's own identity, exchanged at the registry for a refresh token,
 * and that for an access token of the scope. The first two are kept.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/login.h"

#define REGISTRIES "https://containerregistry.azure.net/"
#define MANAGEMENT "https://management.azure.com/"
#define METADATA "http://169.254.169.254"

enum { AT_BEGIN = 0,
	AT_IDENTITY,
	AT_REFRESH,
	AT_ACCESS };

static const char *
setting(const struct registry_login *l, const char *configured, const char *variable)
{
	return configured != NULL && *configured != '\0' ? configured : l->world->env(l->world->ctx, variable);
}

static bool
for_management(const struct registry_login *l)
{
	return span_eq(l->scope, SPAN(LOGIN_SCOPE_MANAGEMENT));
}

/* ---- who are we? ---- */

static enum login_next
managed_identity(struct registry_login *l)
{
	const char *client = setting(l, l->upstream->client_id, "AZURE_CLIENT_ID");
	const char *host = l->world->env(l->world->ctx, "AZURE_POD_IDENTITY_AUTHORITY_HOST");
	const struct sigv4_pair query[] = {
		{ SPAN("api-version"), SPAN("2018-02-01") },
		{ SPAN("resource"), for_management(l) ? SPAN(MANAGEMENT) : SPAN(REGISTRIES) },
		{ SPAN("client_id"), span_of(client) },
	};

	(void)login_ask(l, AT_IDENTITY, "GET", LOGIN_METADATA,
	    arena_printf(l->arena, "%s/metadata/identity/oauth2/token?%.*s", host != NULL ? host : METADATA,
		SPAN_FMT(login_form(l, query, 3))));
	login_header(l, "Metadata", SPAN("true"));
	return LOGIN_CALL;
}

static enum login_next
application(struct registry_login *l, const char *secret_file, const char *assertion_file)
{
	const char *tenant = setting(l, l->upstream->tenant_id, "AZURE_TENANT_ID");
	const char *client = setting(l, l->upstream->client_id, "AZURE_CLIENT_ID");
	const char *authority = setting(l, l->upstream->authority, "AZURE_AUTHORITY_HOST");
	bool assertion = secret_file == NULL;
	struct span proof, base = span_of(authority == NULL ? "https://login.microsoftonline.com" : authority);

	if (tenant == NULL || client == NULL)
		return login_fail(l, "credentials = \"acr\" needs client-id and tenant-id (or AZURE_CLIENT_ID and AZURE_TENANT_ID)");
	proof = l->world->file(l->world->ctx, assertion ? assertion_file : secret_file, l->arena, l->reason, sizeof l->reason);
	if (proof.p == NULL)
		return LOGIN_FAILED;
	while (span_ends(base, SPAN("/")))
		base.n--;
	(void)login_ask(l, AT_IDENTITY, "POST", span_starts(base, SPAN("http:")) ? LOGIN_METADATA : LOGIN_ELSEWHERE,
	    arena_printf(l->arena, "%.*s/%.*s/oauth2/v2.0/token", SPAN_FMT(base), SPAN_FMT(sigv4_encode(span_of(tenant), false, l->arena))));
	login_post_form(l,
	    (const struct sigv4_pair[]){
		{ SPAN("grant_type"), SPAN("client_credentials") },
		{ SPAN("client_id"), span_of(client) },
		{ SPAN("scope"), for_management(l) ? SPAN(MANAGEMENT ".default") : SPAN(REGISTRIES ".default") },
		{ SPAN("client_secret"), assertion ? SPAN_NONE : proof },
		{ SPAN("client_assertion_type"),
		    assertion ? SPAN("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") : SPAN_NONE },
		{ SPAN("client_assertion"), assertion ? proof : SPAN_NONE },
	    },
	    6);
	return LOGIN_CALL;
}

static enum login_next
ask_identity(struct registry_login *l)
{
	const char *secret = l->upstream->client_secret_file;
	const char *assertion = setting(l, l->upstream->federated_token_file, "AZURE_FEDERATED_TOKEN_FILE");

	if (secret != NULL)
		return application(l, secret, NULL);
	return assertion != NULL ? application(l, NULL, assertion) : managed_identity(l);
}

/* ---- at the registry ---- */

static struct span
at_registry(struct registry_login *l, const char *path)
{
	return arena_printf(l->arena, "%s%s", l->upstream->origin, path);
}

static enum login_next
exchange(struct registry_login *l, const struct login_answer *a)
{
	int64_t expires;
	struct span token = login_token_of(l, a, "Entra ID", "access_token", NULL);
	const char *tenant = setting(l, l->upstream->tenant_id, "AZURE_TENANT_ID");

	if (token.p == NULL)
		return LOGIN_FAILED;
	if (for_management(l)) {
		expires = login_jwt_expiry(token);
		l->authorization = arena_printf(l->arena, "Bearer %.*s", SPAN_FMT(token));
		l->expires = expires > l->now ? expires : l->now + 300;
		return LOGIN_DONE;
	}
	(void)login_ask(l, AT_REFRESH, "POST", LOGIN_REGISTRY, at_registry(l, "/oauth2/exchange"));
	login_post_form(l,
	    (const struct sigv4_pair[]){
		{ SPAN("grant_type"), SPAN("access_token") },
		{ SPAN("service"), span_of(l->upstream->host) },
		{ SPAN("tenant"), span_of(tenant) },
		{ SPAN("access_token"), token },
	    },
	    4);
	return LOGIN_CALL;
}

static enum login_next
ask_access(struct registry_login *l)
{
	(void)login_ask(l, AT_ACCESS, "POST", LOGIN_REGISTRY, at_registry(l, "/oauth2/token"));
	login_post_form(l,
	    (const struct sigv4_pair[]){
		{ SPAN("grant_type"), SPAN("refresh_token") },
		{ SPAN("service"), span_of(l->upstream->host) },
		{ SPAN("scope"), l->scope },
		{ SPAN("refresh_token"), span_of(l->memory->refresh) },
	    },
	    4);
	return LOGIN_CALL;
}

static enum login_next
read_refresh(struct registry_login *l, const struct login_answer *a)
{
	struct span token = login_token_of(l, a, "the registry", "refresh_token", NULL);
	int64_t expires;

	if (token.p == NULL)
		return LOGIN_FAILED;
	login_keep(&l->memory->refresh, token);
	if (l->memory->refresh == NULL)
		return login_fail(l, "out of memory");
	expires = login_jwt_expiry(token);
	l->memory->refresh_until = expires > 0 ? expires - 300 : l->now + 3600;
	return ask_access(l);
}

static enum login_next
read_access(struct registry_login *l, const struct login_answer *a)
{
	struct span token;
	int64_t expires;

	/* the refresh token may have been revoked: a new one, once */
	if ((a->status == 401 || a->status == 400) && !l->again) {
		l->again = true;
		l->memory->refresh_until = 0;
		return ask_identity(l);
	}
	token = login_token_of(l, a, "the registry", "access_token", NULL);
	if (token.p == NULL)
		return LOGIN_FAILED;
	expires = login_jwt_expiry(token);
	l->authorization = arena_printf(l->arena, "Bearer %.*s", SPAN_FMT(token));
	l->expires = expires > l->now ? expires : l->now + 60;
	return LOGIN_DONE;
}

enum login_next
login_acr(struct registry_login *l, const struct login_answer *a)
{
	switch (l->at) {
	case AT_BEGIN:
		if (l->memory->refresh != NULL && l->now < l->memory->refresh_until && !for_management(l))
			return ask_access(l);
		l->again = true;
		return ask_identity(l);
	case AT_IDENTITY:
		return exchange(l, a);
	case AT_REFRESH:
		return read_refresh(l, a);
	case AT_ACCESS:
		return read_access(l, a);
	}
	return LOGIN_FAILED;
}

/* ---- Google: one token of the metadata service, for every scope ---- */

enum login_next
login_gar(struct registry_login *l, const struct login_answer *a)
{
	const char *host = l->world->env(l->world->ctx, "GCE_METADATA_HOST");
	struct span token;
	int64_t lifetime;

	if (l->at == AT_BEGIN) {
		(void)login_ask(l, AT_IDENTITY, "GET", LOGIN_METADATA,
		    arena_printf(l->arena, "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
			host != NULL ? host : "metadata.google.internal"));
		login_header(l, "Metadata-Flavor", SPAN("Google"));
		return LOGIN_CALL;
	}
	token = login_token_of(l, a, "the metadata service", "access_token", &lifetime);
	if (token.p == NULL)
		return LOGIN_FAILED;
	l->authorization = login_basic(l, SPAN("oauth2accesstoken"), token);
	l->expires = l->now + (lifetime < 60 ? 60 : lifetime > 86400 ? 86400
								     : lifetime);
	return LOGIN_DONE;
}
