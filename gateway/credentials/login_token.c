/*
 * login_token.c - the Bearer dance: /v2/ says where tokens are, and there they are asked for, for a scope.
 *
 * The realm comes from the registry, and our password goes there: so it must be https (or the registry's own host, when
 * that is plain http on this machine) and its host the registry's own or one of realm-hosts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/login.h"
#include "gateway/upstream/storage.h"

#define REALM_AGE 3600 /* seconds a challenge is remembered */
#define LEAST	  60 /* seconds a token lives at least (distribution's specification) */
#define MOST	  86400

enum { AT_BEGIN = 0,
	AT_CHALLENGE,
	AT_TOKEN };

/* ---- the challenge ---- */

static bool
is_token_char(char c)
{
	return c > ' ' && c <= '~' && strchr("()<>@,;:\\\"/[]?={}", c) == NULL;
}

static struct span
take_token(struct span *in)
{
	size_t n = 0;
	struct span out;

	while (n < in->n && is_token_char(in->p[n]))
		n++;
	out = (struct span){ in->p, n };
	*in = span_skip(*in, n);
	return out;
}

static void
skip_blanks(struct span *in)
{
	while (in->n > 0 && (in->p[0] == ' ' || in->p[0] == '\t'))
		*in = span_skip(*in, 1);
}

/* A quoted string or a token. False: neither. */
static bool
take_value(struct span *in, struct arena *a, struct span *out)
{
	char *text;
	size_t n = 0;

	if (in->n == 0 || in->p[0] != '"') {
		*out = take_token(in);
		return out->n > 0;
	}
	text = arena_alloc(a, in->n);
	*in = span_skip(*in, 1);
	while (text != NULL && in->n > 0 && in->p[0] != '"') {
		if (in->p[0] == '\\' && in->n > 1)
			*in = span_skip(*in, 1);
		text[n++] = in->p[0];
		*in = span_skip(*in, 1);
	}
	if (text == NULL || in->n == 0)
		return false;
	*in = span_skip(*in, 1);
	*out = (struct span){ text, n };
	return true;
}

bool
login_challenge(struct span in, struct arena *a, struct span *realm, struct span *service, bool *basic)
{
	enum { NOBODYS,
		BEARER,
		OTHER } scheme = NOBODYS;
	bool found = false;

	*realm = *service = SPAN_NONE;
	*basic = false;
	for (;;) {
		struct span name, value, rest;

		while (skip_blanks(&in), in.n > 0 && in.p[0] == ',')
			in = span_skip(in, 1);
		if (in.n == 0)
			return found && realm->n > 0;
		name = take_token(&in);
		if (name.n == 0)
			return false;
		rest = in;
		skip_blanks(&rest);
		if (rest.n == 0 || rest.p[0] != '=') {
			/* a new scheme */
			*basic |= span_eq_nocase(name, SPAN("Basic"));
			scheme = !found && span_eq_nocase(name, SPAN("Bearer")) ? BEARER : OTHER;
			found |= scheme == BEARER;
			continue;
		}
		in = span_skip(rest, 1);
		skip_blanks(&in);
		if (scheme == NOBODYS || !take_value(&in, a, &value))
			return false;
		if (scheme == BEARER && span_eq_nocase(name, SPAN("realm")))
			*realm = value;
		else if (scheme == BEARER && span_eq_nocase(name, SPAN("service")))
			*service = value;
	}
}

/* ---- the realm ---- */

static bool
realm_allowed(const struct config_upstream *u, const struct storage_place *place)
{
	struct span host;
	unsigned port;

	if (span_eq(place->host, span_of(u->host)) && place->port == u->port && place->tls == u->tls)
		return true;
	if (!place->tls)
		return false;
	/* its own host on another port is somebody else */
	for (size_t i = 0; i < u->n_realm_hosts; i++)
		if (config_host_port(span_of(u->realm_hosts[i]), &host, &port) && span_eq(host, place->host) && port == place->port)
			return true;
	return false;
}

static enum login_next
ask_realm(struct registry_login *l)
{
	const struct config_upstream *u = l->upstream;
	struct storage_place place;
	struct span scope = l->scope, realm = span_of(l->memory->realm), url;
	char joint = memchr(realm.p, '?', realm.n) == NULL ? '?' : '&';

	if (!storage_place_parse(realm, l->arena, &place) || !realm_allowed(u, &place))
		return login_fail(l, "the registry sends us to %.*s for tokens; list that host in realm-hosts if it is right",
		    SPAN_FMT(realm));
	url = arena_printf(l->arena, "%.*s%cservice=%.*s", SPAN_FMT(realm), joint,
	    SPAN_FMT(sigv4_encode(span_of(l->memory->service), false, l->arena)));
	while (scope.n > 0) {
		const char *blank = memchr(scope.p, ' ', scope.n);
		struct span one = { scope.p, blank == NULL ? scope.n : (size_t)(blank - scope.p) };

		url = arena_printf(l->arena, "%.*s&scope=%.*s", SPAN_FMT(url), SPAN_FMT(sigv4_encode(one, false, l->arena)));
		scope = span_skip(scope, blank == NULL ? scope.n : one.n + 1);
	}
	(void)login_ask(l, AT_TOKEN, "GET", span_eq(place.host, span_of(u->host)) && place.port == u->port ? LOGIN_REGISTRY : LOGIN_ELSEWHERE,
	    url);
	if (u->authorization != NULL)
		login_header(l, "Authorization", span_of(u->authorization));
	return LOGIN_CALL;
}

static enum login_next
read_challenge(struct registry_login *l, const struct login_answer *a)
{
	struct span realm, service;
	bool basic;

	if (a->status == 200) {
		/* it asks nobody for anything */
		l->expires = l->now + LEAST;
		return LOGIN_DONE;
	}
	if (a->status != 401)
		return login_fail(l, "the registry answered %u to GET /v2/", a->status);
	if (!login_challenge(a->challenge, l->arena, &realm, &service, &basic)) {
		/* Harbor's and htpasswd's way: the name and password themselves */
		if (!basic || l->upstream->authorization == NULL)
			return login_fail(l, "the registry asks for a login in a way that is not understood: %.*s", SPAN_FMT(a->challenge));
		l->authorization = span_of(l->upstream->authorization);
		l->expires = l->now + REALM_AGE;
		return LOGIN_DONE;
	}
	login_keep(&l->memory->realm, realm);
	login_keep(&l->memory->service, service.p == NULL ? SPAN("") : service);
	if (l->memory->realm == NULL || l->memory->service == NULL)
		return login_fail(l, "out of memory");
	l->memory->realm_until = l->now + REALM_AGE;
	return ask_realm(l);
}

static enum login_next
read_token(struct registry_login *l, const struct login_answer *a)
{
	int64_t lifetime;
	struct span token = login_token_of(l, a, "the token service", "token", &lifetime);

	if (token.p == NULL)
		token = login_token_of(l, a, "the token service", "access_token", &lifetime);
	if (token.p == NULL) {
		l->memory->realm_until = 0;
		return LOGIN_FAILED;
	}
	l->authorization = arena_printf(l->arena, "Bearer %.*s", SPAN_FMT(token));
	l->expires = l->now + (lifetime < LEAST ? LEAST : lifetime > MOST ? MOST
									  : lifetime);
	return LOGIN_DONE;
}

enum login_next
login_token(struct registry_login *l, const struct login_answer *a)
{
	switch (l->at) {
	case AT_BEGIN:
		if (l->memory->realm != NULL && l->now < l->memory->realm_until)
			return ask_realm(l);
		return login_ask(l, AT_CHALLENGE, "GET", LOGIN_REGISTRY, arena_printf(l->arena, "%s/v2/", l->upstream->registry));
	case AT_CHALLENGE:
		return read_challenge(l, a);
	case AT_TOKEN:
		return read_token(l, a);
	}
	return LOGIN_FAILED;
}
