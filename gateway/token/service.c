/*
 * service.c - the gateway's own tokens.
 * Invariant: a token says no more than what was shown for it, and is good no longer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/service.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/http/chars.h"
#include "gateway/token/mint.h"
#include "gateway/token/pass.h"
#include "policy/base64url.h"
#include "policy/json.h"
#include "policy/view.h"

#define LEEWAY 60	/* seconds that the clocks of replicas may differ */

struct token_service {
	char *issuer, *audience;
	int64_t lifetime;
	struct token_keys *keys;
	struct view *view;
};

struct token_service *
token_service_new(const struct token_rule *rule)
{
	struct token_service *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->issuer = strdup(rule->issuer);
	s->audience = strdup(rule->audience);
	s->lifetime = rule->lifetime;
	s->view = view_new(rule->policy);
	if (s->issuer == NULL || s->audience == NULL || s->view == NULL) {
		token_service_free(s);
		return NULL;
	}
	s->keys = rule->keys;
	return s;
}

void
token_service_free(struct token_service *s)
{
	if (s == NULL)
		return;
	free(s->issuer);
	free(s->audience);
	view_free(s->view);
	token_keys_free(s->keys);
	free(s);
}

const char *
token_service_audience(const struct token_service *s)
{
	return s->audience;
}

const struct token_keys *
token_service_keys(const struct token_service *s)
{
	return s->keys;
}

/* ---- minting ---- */

int64_t
token_end(int64_t now, int64_t lifetime, int64_t issued_at, int64_t ends, int64_t session)
{
	int64_t end = now + lifetime;

	if (ends != 0 && issued_at != 0 && issued_at + session > ends)
		ends = issued_at + session;
	if (ends != 0 && ends < end)
		end = ends;
	return end - now < OWN_LEAST ? 0 : end;
}

bool
token_thumbprint(struct span hex, char out[static THUMBPRINT + 2])
{
	unsigned char bytes[32];

	if (hex.n != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = http_hex_value(hex.p[2 * i]), low = http_hex_value(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	out[base64url_encode(bytes, sizeof bytes, out)] = '\0';
	return true;
}

/* The groups or roles that the policy can tell apart. NULL: out of memory. */
static json_t *
names_needed(const struct token_service *s, const char *kind, struct span issuer, const struct span *names, size_t n)
{
	bool *keep = calloc(n + 1, sizeof *keep);
	json_t *list = json_array();
	bool ok = keep != NULL && list != NULL && view_names(s->view, kind, issuer, names, n, keep);

	for (size_t i = 0; i < n && ok; i++)
		ok = !keep[i] || json_array_append_new(list, json_stringn(names[i].p, names[i].n)) == 0;
	free(keep);
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

/* Empty ones are left out. Takes the value over. */
static bool
put(json_t *o, const char *name, json_t *v)
{
	if (v == NULL)
		return false;
	if (json_array_size(v) == 0 && json_object_size(v) == 0) {
		json_decref(v);
		return true;
	}
	return json_object_set_new(o, name, v) == 0;
}

static bool
put_membership(const struct token_service *s, const struct identity *who, json_t *o)
{
	return (!who->groups_unknown || json_object_set_new(o, "groups_unknown", json_true()) == 0) &&
	    put(o, "groups", names_needed(s, "group", who->issuer, who->groups, who->n_groups)) &&
	    put(o, "roles", names_needed(s, "role", who->issuer, who->roles, who->n_roles));
}

static json_t *
proof_of_jwt(const struct token_service *s, const struct identity *who)
{
	json_t *o = json_pack("{s:s, s:s%, s:s%, s:s}", "type", "jwt", "issuer", who->issuer.p, who->issuer.n, "kid",
	    who->key_id.n == 0 ? "" : who->key_id.p, who->key_id.n, "view", view_name(s->view));
	json_t *claims = view_claims(s->view, who->claims), *jti = json_object_get(who->claims, "jti");
	json_t *cnf = json_object_get(who->claims, "cnf");

	/* a token on the deny list takes those with it that were minted of it; one that is bound to a certificate binds them, too */
	if (claims != NULL && ((json_is_string(jti) && json_object_set(claims, "jti", jti) != 0) ||
	    (cnf != NULL && json_object_set(claims, "cnf", cnf) != 0))) {
		json_decref(claims);
		claims = NULL;
	}
	if (o != NULL && put(o, "claims", claims) && put_membership(s, who, o) &&
	    (who->issued_at == 0 || json_object_set_new(o, "iat", json_integer(who->issued_at)) == 0))
		return o;
	json_decref(o);
	return NULL;
}

static json_t *
proof_of(const struct token_service *s, const struct mint *m)
{
	switch (m->who->type) {
	case PRINCIPAL_JWT:
		return proof_of_jwt(s, m->who);
	case PRINCIPAL_CERT:
		return json_pack("{s:s, s:s%}", "type", "cert", "issuer", m->who->issuer.p, m->who->issuer.n);
	case PRINCIPAL_BASIC:
		return json_pack("{s:s, s:s%}", "type", "basic", "check", m->check.p, m->check.n);
	case PRINCIPAL_ANONYMOUS:
		break;
	}
	return json_pack("{s:s}", "type", "anonymous");
}

static json_t *
claims_of(const struct token_service *s, const struct mint *m)
{
	json_t *proof = proof_of(s, m), *access = scopes_access(m->granted), *o = NULL;
	char thumbprint[THUMBPRINT + 2];

	if (proof != NULL && access != NULL)
		o = json_pack("{s:s, s:s, s:s%, s:s, s:I, s:I, s:I, s:O, s:O}", "iss", s->issuer, "aud", s->audience, "sub",
		    m->who->subject.p, m->who->subject.n, "jti", m->id, "iat", (json_int_t)m->now, "nbf", (json_int_t)m->now, "exp",
		    (json_int_t)m->expires_at, "access", access, "proof", proof);
	json_decref(proof);
	json_decref(access);
	if (o != NULL && m->who->type == PRINCIPAL_CERT && (m->certificate == NULL ||
	    !token_thumbprint(span_of(m->certificate), thumbprint) ||
	    json_object_set_new(o, "cnf", json_pack("{s:s}", "x5t#S256", thumbprint)) != 0)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

enum mint_outcome
token_mint(const struct token_service *s, struct mint *m)
{
	json_t *claims;

	m->token = NULL;
	m->expires_at = token_end(m->now, s->lifetime, m->who->issued_at, m->ends, m->session);
	if (m->expires_at == 0)
		return MINT_TOO_SHORT;
	m->id[base64url_encode(m->random, sizeof m->random, m->id)] = '\0';
	claims = claims_of(s, m);
	if (claims == NULL) {
		snprintf(m->error, sizeof m->error, "out of memory");
		return MINT_FAILED;
	}
	m->token = mint_token(token_keys_private(s->keys), token_keys_kid(s->keys), TOKEN_OWN_TYPE, JWS_ES256, claims, m->error,
	    sizeof m->error);
	json_decref(claims);
	if (m->token == NULL)
		return MINT_FAILED;
	m->size = strlen(m->token);
	if (m->size <= OWN_MAX)
		return MINT_OK;
	snprintf(m->error, sizeof m->error, "%zu bytes, %u at most", m->size, OWN_MAX);
	free(m->token);
	m->token = NULL;
	return MINT_TOO_LARGE;
}

char *
token_mint_pass(const struct token_service *s, struct span repository, const char *digest, int64_t now,
    const unsigned char random[static 16], char *err, size_t err_size)
{
	struct scopes pull = { .items = { { repository, SCOPE_PULL } }, .n = 1 };
	json_t *access = scopes_access(&pull), *claims;
	char id[OWN_ID + 1], *token;

	id[base64url_encode(random, 16, id)] = '\0';
	claims = access == NULL ? NULL : json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:O, s:{s:s, s:s}}", "iss", s->issuer, "aud",
	    s->audience, "sub", PASS_SUBJECT, "jti", id, "iat", (json_int_t)now, "nbf", (json_int_t)now, "exp",
	    (json_int_t)(now + s->lifetime), "access", access, "proof", "type", "pass", "digest", digest);
	json_decref(access);
	if (claims == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	token = mint_token(token_keys_private(s->keys), token_keys_kid(s->keys), TOKEN_OWN_TYPE, JWS_ES256, claims, err, err_size);
	json_decref(claims);
	return token;
}

/* ---- accepting ---- */

/* What is read of a token, until it is an identity. */
struct reading {
	json_t *claims;
	const json_t *proof;
	struct identity who;
	struct span *names;	/* of groups, then roles */
};

static bool
date_of(const json_t *o, const char *name, int64_t *out)
{
	const json_t *v = json_object_get(o, name);

	*out = json_is_integer(v) ? json_integer_value(v) : 0;
	return *out > 0 && *out < (int64_t)1 << 53;
}

static enum token_outcome
check_times(const struct reading *rd, int64_t now, int64_t grace, int64_t *exp)
{
	int64_t iat, nbf;

	if (!date_of(rd->claims, "exp", exp))
		return TOKEN_NO_EXPIRY;
	if (!date_of(rd->claims, "iat", &iat) || !date_of(rd->claims, "nbf", &nbf))
		return TOKEN_BAD_PAYLOAD;
	if (now >= *exp + LEEWAY + grace)
		return TOKEN_EXPIRED;
	if (iat > now + LEEWAY || nbf > now + LEEWAY)
		return TOKEN_NOT_YET_VALID;
	return *exp - iat > OWN_LIFETIME_MAX ? TOKEN_TOO_LONG_LIVED : TOKEN_OK;
}

/* How many strings a list has; false when it is no list of strings. Absent is none. */
static bool
count_names(const json_t *list, size_t *n)
{
	*n = json_array_size(list);
	for (size_t i = 0; i < *n; i++)
		if (!json_is_string(json_array_get(list, i)))
			return false;
	return list == NULL || json_is_array(list);
}

static bool
read_names(struct reading *rd)
{
	const json_t *lists[2] = { json_object_get(rd->proof, "groups"), json_object_get(rd->proof, "roles") };
	size_t n = 0;

	if (!count_names(lists[0], &rd->who.n_groups) || !count_names(lists[1], &rd->who.n_roles))
		return false;
	rd->names = calloc(rd->who.n_groups + rd->who.n_roles + 1, sizeof *rd->names);
	if (rd->names == NULL)
		return false;
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < json_array_size(lists[k]); i++) {
			const json_t *v = json_array_get(lists[k], i);

			rd->names[n++] = (struct span){ json_string_value(v), json_string_length(v) };
		}
	}
	rd->who.groups = rd->names;
	rd->who.roles = rd->names + rd->who.n_groups;
	return true;
}

static enum token_outcome
accept_jwt(const struct token_service *s, const struct issuer_table *issuers, struct reading *rd)
{
	const json_t *claims = json_object_get(rd->proof, "claims");

	rd->who.type = PRINCIPAL_JWT;
	rd->who.issuer = json_span(rd->proof, "issuer");
	rd->who.key_id = json_span(rd->proof, "kid");
	rd->who.claims = claims;
	rd->who.groups_unknown = json_is_true(json_object_get(rd->proof, "groups_unknown"));
	(void)date_of(rd->proof, "iat", &rd->who.issued_at);
	if (claims != NULL && !json_is_object(claims))
		return TOKEN_BAD_PAYLOAD;
	if (!read_names(rd))
		return TOKEN_BAD_PAYLOAD;
	if (!issuer_table_vouches(issuers, rd->who.issuer, rd->who.key_id))
		return TOKEN_KEY_UNKNOWN;
	return span_eq(json_span(rd->proof, "view"), span_of(view_name(s->view))) ? TOKEN_OK : TOKEN_OUTGROWN;
}

static enum token_outcome
accept_proof(const struct token_service *s, const struct issuer_table *issuers, struct reading *rd)
{
	struct span type = json_span(rd->proof, "type");

	if (span_eq(type, SPAN("jwt")))
		return accept_jwt(s, issuers, rd);
	if (span_eq(type, SPAN("cert"))) {
		rd->who.type = PRINCIPAL_CERT;
		rd->who.issuer = json_span(rd->proof, "issuer");
		rd->who.key_id = json_span(json_object_get(rd->claims, "cnf"), "x5t#S256");
		return rd->who.key_id.n == THUMBPRINT ? TOKEN_OK : TOKEN_BAD_PAYLOAD;
	}
	if (span_eq(type, SPAN("basic"))) {
		rd->who.type = PRINCIPAL_BASIC;
		rd->who.issuer = SPAN(IDENTITY_BASIC);
		rd->who.key_id = json_span(rd->proof, "check");
		return rd->who.key_id.n > 0 ? TOKEN_OK : TOKEN_BAD_PAYLOAD;
	}
	if (span_eq(type, SPAN("pass"))) {
		rd->who.type = PRINCIPAL_JWT;
		rd->who.issuer = SPAN(PASS_ISSUER);
		rd->who.pass = json_span(rd->proof, "digest");
		return rd->who.pass.n > 0 ? TOKEN_OK : TOKEN_BAD_PAYLOAD;
	}
	rd->who.type = PRINCIPAL_ANONYMOUS;
	return span_eq(type, SPAN("anonymous")) ? TOKEN_OK : TOKEN_BAD_PAYLOAD;
}

static enum token_outcome
accept_claims(const struct token_service *s, const struct issuer_table *issuers, int64_t now, int64_t grace,
    struct reading *rd)
{
	struct identity *who = &rd->who;
	enum token_outcome outcome;

	if (!span_eq(json_span(rd->claims, "iss"), span_of(s->issuer)))
		return TOKEN_ISSUER_UNKNOWN;
	if (!span_eq(json_span(rd->claims, "aud"), span_of(s->audience)))
		return TOKEN_AUDIENCE;
	outcome = check_times(rd, now, grace, &who->expires_at);
	if (outcome != TOKEN_OK)
		return outcome;
	who->subject = json_span(rd->claims, "sub");
	who->token_id = json_span(rd->claims, "jti");
	who->access = json_object_get(rd->claims, "access");
	rd->proof = json_object_get(rd->claims, "proof");
	if (!identity_name_ok(who->subject, IDENTITY_SUBJECT_MAX))
		return TOKEN_SUBJECT;
	if (!identity_name_ok(who->token_id, IDENTITY_NAME_MAX) || !access_valid(who->access) || !json_is_object(rd->proof))
		return TOKEN_BAD_PAYLOAD;
	return accept_proof(s, issuers, rd);
}

enum token_outcome
token_accept(const struct token_service *s, const struct issuer_table *issuers, struct span token, int64_t now, int64_t grace,
    const struct identity **out)
{
	struct reading rd = { .who.generation = issuer_table_generation(issuers) };
	enum token_outcome outcome;

	*out = NULL;
	if (token.n > OWN_MAX)
		return TOKEN_TOO_LONG;
	outcome = token_open(token_keys_set(s->keys), 1u << JWS_ES256, token, &rd.claims);
	if (outcome != TOKEN_OK)
		return outcome;
	outcome = accept_claims(s, issuers, now, grace, &rd);
	if (outcome == TOKEN_OK) {
		*out = identity_within(&rd.who, rd.claims);
		outcome = *out == NULL ? TOKEN_NO_MEMORY : TOKEN_OK;
	} else {
		json_decref(rd.claims);
	}
	free(rd.names);
	return outcome;
}
