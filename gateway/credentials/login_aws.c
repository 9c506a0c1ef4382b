/*
 * login_aws.c - Amazon ECR: AWS keys from wherever this gateway runs, and with them GetAuthorizationToken.
 *
 * Keys, in the order of the AWS SDKs: environment; a web identity token (IRSA) at STS; the container credentials endpoint (ECS,
 * EKS Pod Identity); the instance metadata service, version 2. The answer of ECR is ready to be sent: base64("AWS:...").
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/login.h"

#include <arpa/inet.h>

#include "gateway/upstream/storage.h"
#include "policy/json.h"
#include "policy/scalar.h"

#define SPARE 300 /* seconds before their end at which keys are fetched anew */

enum { AT_BEGIN = 0,
	AT_STS,
	AT_CONTAINER,
	AT_IMDS_TOKEN,
	AT_IMDS_ROLE,
	AT_IMDS_KEYS,
	AT_ECR };

static const char *
env(const struct registry_login *l, const char *name)
{
	const char *v = l->world->env(l->world->ctx, name);

	return v != NULL && *v != '\0' ? v : NULL;
}

struct span
login_ecr_region(struct span host, struct span *suffix)
{
	static const char *const marks[] = { ".dkr.ecr.", ".dkr.ecr-fips." };

	*suffix = SPAN_NONE;
	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		const char *at = host.n == 0 ? NULL : memmem(host.p, host.n, marks[i], strlen(marks[i])), *dot;
		struct span rest;

		if (at == NULL)
			continue;
		rest = span_skip(host, (size_t)(at - host.p) + strlen(marks[i]));
		dot = memchr(rest.p, '.', rest.n);
		if (dot == NULL)
			break;
		*suffix = span_skip(rest, (size_t)(dot - rest.p) + 1);
		if (span_eq(*suffix, SPAN("amazonaws.com")) || span_eq(*suffix, SPAN("amazonaws.com.cn")))
			return (struct span){ rest.p, (size_t)(dot - rest.p) };
	}
	return SPAN_NONE;
}

static struct span
region_of(const struct registry_login *l, struct span *suffix)
{
	struct span region = login_ecr_region(span_of(l->upstream->host), suffix);

	if (l->upstream->region != NULL)
		region = span_of(l->upstream->region);
	else if (region.n == 0)
		region = span_of(env(l, "AWS_REGION"));
	if (suffix->n == 0)
		*suffix = span_starts(region, SPAN("cn-")) ? SPAN("amazonaws.com.cn") : SPAN("amazonaws.com");
	return region;
}

/* ---- ECR itself ---- */

enum login_next
login_ecr_call(struct registry_login *l, const char *action, struct span payload_text)
{
	struct span suffix, region = region_of(l, &suffix), url, said;
	const char *endpoint = l->upstream->endpoint != NULL ? l->upstream->endpoint : env(l, "AWS_ENDPOINT_URL_ECR");
	char date[SIGV4_DATE_LEN + 1], payload[65];
	struct sigv4_pair headers[5];
	struct storage_place place;
	struct sigv4_request r = { .method = SPAN("POST"), .path = SPAN("/"), .headers = headers };

	if (region.n == 0)
		return login_fail(l, "which AWS region? set region for this upstream, or AWS_REGION");
	url = endpoint != NULL ? span_of(endpoint) : arena_printf(l->arena, "https://api.ecr.%.*s.%.*s", SPAN_FMT(region), SPAN_FMT(suffix));
	if (!storage_place_parse(url, l->arena, &place) || !sigv4_payload(payload_text, payload))
		return login_fail(l, "endpoint %.*s is no URL", SPAN_FMT(url));
	sigv4_date(l->now, date);
	headers[r.n_headers++] = (struct sigv4_pair){ SPAN("host"),
		place.port == (place.tls ? 443 : 80) ? place.host : arena_printf(l->arena, "%.*s:%u", SPAN_FMT(place.host), place.port) };
	headers[r.n_headers++] = (struct sigv4_pair){ SPAN("content-type"), SPAN("application/x-amz-json-1.1") };
	headers[r.n_headers++] = (struct sigv4_pair){ SPAN("x-amz-date"), arena_dup(l->arena, span_of(date)) };
	headers[r.n_headers++] = (struct sigv4_pair){ SPAN("x-amz-target"),
		arena_printf(l->arena, "AmazonEC2ContainerRegistry_V20150921.%s", action) };
	if (l->keys.session_token.p != NULL)
		headers[r.n_headers++] = (struct sigv4_pair){ SPAN("x-amz-security-token"), l->keys.session_token };
	r.payload = span_of(payload);
	said = sigv4_authorization(&l->keys, region, SPAN("ecr"), date, &r, l->arena);
	(void)login_ask(l, AT_ECR, "POST", place.tls ? LOGIN_ELSEWHERE : LOGIN_METADATA,
	    arena_printf(l->arena, "%s://%.*s/", place.tls ? "https" : "http", SPAN_FMT(headers[0].value)));
	for (size_t i = 1; i < r.n_headers; i++)
		login_header(l, headers[i].name.p, headers[i].value);
	login_header(l, "Authorization", said);
	l->call.body = payload_text;
	return LOGIN_CALL;
}

/* There are keys: what for? */
static enum login_next
ask_ecr(struct registry_login *l)
{
	if (!span_eq(l->scope, SPAN(LOGIN_SCOPE_KEYS)))
		return login_ecr_call(l, "GetAuthorizationToken", SPAN("{}"));
	l->authorization = arena_printf(l->arena, "%.*s %.*s %.*s", SPAN_FMT(l->keys.access_key), SPAN_FMT(l->keys.secret),
	    SPAN_FMT(l->keys.session_token));
	l->expires = l->memory->secret != NULL && l->memory->keys_until > l->now ? l->memory->keys_until : l->now + 900;
	return LOGIN_DONE;
}

bool
login_keys_read(struct span authorization, struct sigv4_keys *out)
{
	const char *first = authorization.n == 0 ? NULL : memchr(authorization.p, ' ', authorization.n), *second;
	struct span rest;

	if (first == NULL)
		return false;
	out->access_key = (struct span){ authorization.p, (size_t)(first - authorization.p) };
	rest = span_skip(authorization, out->access_key.n + 1);
	second = rest.n == 0 ? NULL : memchr(rest.p, ' ', rest.n);
	if (second == NULL)
		return false;
	out->secret = (struct span){ rest.p, (size_t)(second - rest.p) };
	rest = span_skip(rest, out->secret.n + 1);
	out->session_token = rest.n > 0 ? rest : SPAN_NONE;
	return out->access_key.n > 0 && out->secret.n > 0;
}

static bool
is_base64(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '='))
			return false;
	}
	return s.n > 0 && s.n <= 8192;
}

static enum login_next
read_ecr(struct registry_login *l, const struct login_answer *a)
{
	json_t *o, *data;
	struct span token;

	if (a->status == 400 || a->status == 403)
		l->memory->keys_until = 0; /* perhaps they ended early: others next time */
	o = login_object(l, a, "ECR");
	if (o == NULL)
		return LOGIN_FAILED;
	data = json_array_get(json_object_get(o, "authorizationData"), 0);
	token = json_span(data, "authorizationToken");
	l->expires = (int64_t)json_number_value(json_object_get(data, "expiresAt"));
	if (is_base64(token))
		l->authorization = arena_printf(l->arena, "Basic %.*s", SPAN_FMT(token));
	json_decref(o);
	if (l->authorization.n == 0)
		return login_fail(l, "ECR answered without authorizationToken");
	/* 12 hours, and no more than that is believed */
	if (l->expires <= l->now || l->expires > l->now + 12 * 3600)
		l->expires = l->now + 3600;
	return LOGIN_DONE;
}

/* ---- keys ---- */

static enum login_next
use_keys(struct registry_login *l)
{
	l->keys = (struct sigv4_keys){ span_of(l->memory->access_key), span_of(l->memory->secret), span_of(l->memory->session) };
	return ask_ecr(l);
}

static enum login_next
keep_keys(struct registry_login *l, struct span access_key, struct span secret, struct span session, struct span expires)
{
	struct login_memory *m = l->memory;
	struct number until;

	if (access_key.n == 0 || secret.n == 0)
		return login_fail(l, "the answer holds no AWS keys");
	login_keep(&m->access_key, access_key);
	login_keep(&m->secret, secret);
	login_keep(&m->session, session);
	if (m->access_key == NULL || m->secret == NULL || (session.p != NULL && m->session == NULL))
		return login_fail(l, "out of memory");
	m->keys_until = date_parse(expires, &until) ? until.whole - SPARE : l->now + 900;
	return use_keys(l);
}

/* Keys as both metadata services give them. */
static enum login_next
read_keys(struct registry_login *l, const struct login_answer *a, const char *whose)
{
	json_t *o = login_object(l, a, whose);
	enum login_next next;

	if (o == NULL)
		return LOGIN_FAILED;
	next = keep_keys(l, login_word(l, o, "AccessKeyId"), login_word(l, o, "SecretAccessKey"), login_word(l, o, "Token"),
	    json_span(o, "Expiration"));
	json_decref(o);
	return next;
}

/* ---- a web identity at STS ---- */

static enum login_next
ask_sts(struct registry_login *l, const char *role, const char *file)
{
	struct span suffix, region = region_of(l, &suffix), url;
	const char *endpoint = env(l, "AWS_ENDPOINT_URL_STS"), *session = env(l, "AWS_ROLE_SESSION_NAME");
	struct span token = l->world->file(l->world->ctx, file, l->arena, l->reason, sizeof l->reason);

	if (token.p == NULL)
		return LOGIN_FAILED;
	if (endpoint == NULL && region.n == 0)
		return login_fail(l, "which AWS region? set region for this upstream, or AWS_REGION");
	url = arena_printf(l->arena, "https://sts.%.*s.%.*s/", SPAN_FMT(region), SPAN_FMT(suffix));
	if (endpoint != NULL)
		url = arena_printf(l->arena, "%s/", endpoint);
	(void)login_ask(l, AT_STS, "POST", span_starts(url, SPAN("http:")) ? LOGIN_METADATA : LOGIN_ELSEWHERE, url);
	login_post_form(l,
	    (const struct sigv4_pair[]){
		{ SPAN("Action"), SPAN("AssumeRoleWithWebIdentity") },
		{ SPAN("Version"), SPAN("2011-06-15") },
		{ SPAN("RoleArn"), span_of(role) },
		{ SPAN("RoleSessionName"), session != NULL ? span_of(session) : SPAN("tidewaiter") },
		{ SPAN("WebIdentityToken"), token },
		{ SPAN("DurationSeconds"), SPAN("3600") },
	    },
	    6);
	return LOGIN_CALL;
}

/* The text between <name> and </name>; such a value holds no entity. */
static struct span
element(struct registry_login *l, struct span xml, const char *name)
{
	struct span open = arena_printf(l->arena, "<%s>", name), close = arena_printf(l->arena, "</%s>", name), s;
	const char *at, *end;

	at = xml.n == 0 || open.p == NULL ? NULL : memmem(xml.p, xml.n, open.p, open.n);
	if (at == NULL || close.p == NULL)
		return SPAN_NONE;
	at += open.n;
	end = memmem(at, xml.n - (size_t)(at - xml.p), close.p, close.n);
	if (end == NULL)
		return SPAN_NONE;
	s = (struct span){ at, (size_t)(end - at) };
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '&' || s.p[i] == '<')
			return SPAN_NONE;
	return s;
}

static enum login_next
read_sts(struct registry_login *l, const struct login_answer *a)
{
	if (a->status != 200) {
		struct span code = element(l, a->body, "Code");

		return login_fail(l, "STS answered %u %.*s to AssumeRoleWithWebIdentity", a->status, SPAN_FMT(code));
	}
	return keep_keys(l, element(l, a->body, "AccessKeyId"), element(l, a->body, "SecretAccessKey"),
	    element(l, a->body, "SessionToken"), element(l, a->body, "Expiration"));
}

/* ---- the container credentials endpoint ---- */

static enum login_next
ask_container(struct registry_login *l, struct span url)
{
	const char *file = env(l, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	struct span token = span_of(env(l, "AWS_CONTAINER_AUTHORIZATION_TOKEN"));

	if (file != NULL) {
		token = l->world->file(l->world->ctx, file, l->arena, l->reason, sizeof l->reason);
		if (token.p == NULL)
			return LOGIN_FAILED;
	}
	(void)login_ask(l, AT_CONTAINER, "GET", span_starts(url, SPAN("https:")) ? LOGIN_ELSEWHERE : LOGIN_METADATA, url);
	if (token.n > 0)
		login_header(l, "Authorization", token);
	return LOGIN_CALL;
}

/* ---- instance metadata ---- */

static struct span
imds(struct registry_login *l, const char *path, struct span more)
{
	const char *host = env(l, "AWS_EC2_METADATA_SERVICE_ENDPOINT");

	return arena_printf(l->arena, "%s/latest/%s%.*s", host != NULL ? host : "http://169.254.169.254", path, SPAN_FMT(more));
}

static enum login_next
ask_imds(struct registry_login *l, unsigned at, struct span role)
{
	(void)login_ask(l, at, "GET", LOGIN_METADATA, imds(l, "meta-data/iam/security-credentials/", role));
	login_header(l, "X-aws-ec2-metadata-token", l->imds);
	return LOGIN_CALL;
}

/* A name or token: one line of visible ASCII. */
static struct span
one_line(struct registry_login *l, struct span s)
{
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '?' || s.p[i] == '#')
			return SPAN_NONE;
	return s.n == 0 || s.n > 1024 ? SPAN_NONE : arena_dup(l->arena, s);
}

static enum login_next
read_imds(struct registry_login *l, const struct login_answer *a)
{
	struct span line = a->status == 200 ? one_line(l, a->body) : SPAN_NONE;

	if (line.p == NULL)
		return login_fail(l, "no AWS keys: none in the environment, and the instance metadata service answered %u to %.*s; has this "
				     "machine a role?",
		    a->status, SPAN_FMT(l->call.url));
	if (l->at == AT_IMDS_ROLE)
		return ask_imds(l, AT_IMDS_KEYS, line);
	l->imds = line;
	return ask_imds(l, AT_IMDS_ROLE, SPAN_NONE);
}

static enum login_next
ask_keys(struct registry_login *l)
{
	const char *id = env(l, "AWS_ACCESS_KEY_ID"), *secret = env(l, "AWS_SECRET_ACCESS_KEY");
	const char *role = env(l, "AWS_ROLE_ARN"), *file = env(l, "AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *relative = env(l, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), *full = env(l, "AWS_CONTAINER_CREDENTIALS_FULL_URI");

	if (id != NULL && secret != NULL) {
		l->keys = (struct sigv4_keys){ span_of(id), span_of(secret), span_of(env(l, "AWS_SESSION_TOKEN")) };
		return ask_ecr(l);
	}
	if (l->memory->secret != NULL && l->now < l->memory->keys_until)
		return use_keys(l);
	if (role != NULL && file != NULL)
		return ask_sts(l, role, file);
	if (relative != NULL)
		return ask_container(l, arena_printf(l->arena, "http://169.254.170.2%s", relative));
	if (full != NULL)
		return ask_container(l, span_of(full));
	(void)login_ask(l, AT_IMDS_TOKEN, "PUT", LOGIN_METADATA, imds(l, "api/token", SPAN_NONE));
	login_header(l, "X-aws-ec2-metadata-token-ttl-seconds", SPAN("21600"));
	return LOGIN_CALL;
}

enum login_next
login_ecr(struct registry_login *l, const struct login_answer *a)
{
	switch (l->at) {
	case AT_BEGIN:
		return ask_keys(l);
	case AT_STS:
		return read_sts(l, a);
	case AT_CONTAINER:
		return read_keys(l, a, "the container credentials endpoint");
	case AT_IMDS_TOKEN:
	case AT_IMDS_ROLE:
		return read_imds(l, a);
	case AT_IMDS_KEYS:
		return read_keys(l, a, "the instance metadata service");
	case AT_ECR:
		return read_ecr(l, a);
	}
	return LOGIN_FAILED;
}
