/*
 * login.c - what all ways to log in at a registry share.
 * Invariant: nothing that came over the wire goes into a header before it was looked at byte by byte.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/base64url.h"
#include "policy/json.h"

#define WORD_MAX  16384u
#define DEPTH_MAX 16u

enum login_next
login_fail(struct registry_login *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->reason, sizeof l->reason, fmt, ap);
	va_end(ap);
	return LOGIN_FAILED;
}

enum login_next
login_step(struct registry_login *l, const struct login_answer *answer)
{
	enum login_next next = LOGIN_FAILED;

	if (answer != NULL && answer->status == 0)
		return login_fail(l, "%s %.*s: %.*s", l->call.method, SPAN_FMT(l->call.url), SPAN_FMT(answer->body));
	switch (l->upstream->credentials) {
	case CREDENTIALS_NONE:
		return LOGIN_DONE;
	case CREDENTIALS_BASIC:
		l->authorization = span_of(l->upstream->authorization);
		l->expires = INT64_MAX;
		return LOGIN_DONE;
	case CREDENTIALS_TOKEN:
		next = login_token(l, answer);
		break;
	case CREDENTIALS_ACR:
		next = login_acr(l, answer);
		break;
	case CREDENTIALS_ECR:
		next = login_ecr(l, answer);
		break;
	case CREDENTIALS_GAR:
		next = login_gar(l, answer);
		break;
	}
	if (next != LOGIN_FAILED && arena_failed(l->arena))
		return login_fail(l, "out of memory");
	return next;
}

/* ---- calls ---- */

enum login_next
login_ask(struct registry_login *l, unsigned at, const char *method, enum login_target target, struct span url)
{
	l->at = at;
	l->call = (struct login_call){ .method = method, .url = url, .target = target };
	return LOGIN_CALL;
}

void
login_header(struct registry_login *l, const char *name, struct span value)
{
	struct login_call *c = &l->call;

	if (c->n_headers < sizeof c->headers / sizeof c->headers[0])
		c->headers[c->n_headers++] = (struct sigv4_pair){ span_of(name), value };
}

struct span
login_form(struct registry_login *l, const struct sigv4_pair *pairs, size_t n)
{
	struct span out = SPAN("");

	for (size_t i = 0; i < n; i++) {
		struct span value = pairs[i].value.p == NULL ? SPAN_NONE : sigv4_encode(pairs[i].value, false, l->arena);

		if (value.p != NULL)
			out = arena_printf(l->arena, "%.*s%s%.*s=%.*s", SPAN_FMT(out), out.n > 0 ? "&" : "",
			    SPAN_FMT(pairs[i].name), SPAN_FMT(value));
	}
	return out;
}

void
login_post_form(struct registry_login *l, const struct sigv4_pair *pairs, size_t n)
{
	login_header(l, "Content-Type", SPAN("application/x-www-form-urlencoded"));
	l->call.body = login_form(l, pairs, n);
}

/* ---- answers ---- */

json_t *
login_object(struct registry_login *l, const struct login_answer *a, const char *whose)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o;

	if (a->status != 200) {
		(void)login_fail(l, "%s answered %u to %s %.*s", whose, a->status, l->call.method,
		    SPAN_FMT(((struct span){ l->call.url.p, strcspn(l->call.url.p, "?") })));
		return NULL;
	}
	o = json_strict(a->body, DEPTH_MAX, err, sizeof err, NULL);
	if (o == NULL || !json_is_object(o)) {
		(void)login_fail(l, "the answer of %s is no JSON object", whose);
		json_decref(o);
		return NULL;
	}
	return o;
}

static bool
is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= WORD_MAX;
}

struct span
login_word(struct registry_login *l, const json_t *o, const char *name)
{
	struct span s = json_span(o, name);

	return is_word(s) ? arena_dup(l->arena, s) : SPAN_NONE;
}

struct span
login_token_of(struct registry_login *l, const struct login_answer *a, const char *whose, const char *name, int64_t *lifetime)
{
	json_t *o = login_object(l, a, whose);
	struct span token;

	if (o == NULL)
		return SPAN_NONE;
	token = login_word(l, o, name);
	if (lifetime != NULL)
		*lifetime = (int64_t)json_integer_value(json_object_get(o, "expires_in"));
	json_decref(o);
	if (token.p == NULL)
		(void)login_fail(l, "%s answered without %s", whose, name);
	return token;
}

int64_t
login_jwt_expiry(struct span token)
{
	const char *first = token.n == 0 ? NULL : memchr(token.p, '.', token.n), *second;
	unsigned char claims[BASE64URL_DECODED(WORD_MAX)];
	char err[64];
	size_t n;
	json_t *o;
	int64_t exp;

	if (first == NULL)
		return 0;
	first++;
	second = memchr(first, '.', token.n - (size_t)(first - token.p));
	if (second == NULL || (size_t)(second - first) > WORD_MAX ||
	    !base64url_decode((struct span){ first, (size_t)(second - first) }, claims, &n))
		return 0;
	o = json_strict((struct span){ (const char *)claims, n }, DEPTH_MAX, err, sizeof err, NULL);
	exp = (int64_t)json_integer_value(json_object_get(o, "exp"));
	json_decref(o);
	return exp > 0 ? exp : 0;
}

struct span
login_basic(struct registry_login *l, struct span name, struct span password)
{
	struct span plain = arena_printf(l->arena, "%.*s:%.*s", SPAN_FMT(name), SPAN_FMT(password));
	char *text = arena_alloc(l->arena, plain.n * 4 / 3 + 16);
	int n;

	if (plain.p == NULL || text == NULL)
		return SPAN_NONE;
	memcpy(text, "Basic ", 6);
	n = EVP_EncodeBlock((unsigned char *)text + 6, (const unsigned char *)plain.p, (int)plain.n);
	return (struct span){ text, 6 + (size_t)n };
}

/* ---- memory ---- */

void
login_keep(char **to, struct span text)
{
	if (*to != NULL)
		OPENSSL_cleanse(*to, strlen(*to));
	free(*to);
	*to = text.p == NULL ? NULL : strndup(text.p, text.n);
}

void
login_memory_clear(struct login_memory *m)
{
	login_keep(&m->realm, SPAN_NONE);
	login_keep(&m->service, SPAN_NONE);
	login_keep(&m->refresh, SPAN_NONE);
	login_keep(&m->access_key, SPAN_NONE);
	login_keep(&m->secret, SPAN_NONE);
	login_keep(&m->session, SPAN_NONE);
	*m = (struct login_memory){ 0 };
}
