/*
 * authn.c - Authorization to identity, with a cache of tokens already checked.
 * Invariant: a slot with who == NULL and until > 0 is a refusal.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/identity/authn.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define SLOTS		4096u	/* a power of two */
#define LOGINS		256u	/* a power of two */
#define REFUSED_FOR	5	/* seconds a refusal is remembered */
#define BASIC_MAX	(TOKEN_MAX + 1024u)

struct slot {
	unsigned char key[32];
	const struct identity *who;
	enum token_outcome outcome;
	bool own;		/* who is a token of our own */
	uint32_t generation;
	int64_t until;		/* seconds since the epoch; 0: empty */
};

struct authn {
	struct metrics *metrics;
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
	struct slot slots[SLOTS];
	unsigned char secret[32];	/* of the keys below */
	struct { unsigned char key[32]; int64_t until; } logins[LOGINS];	/* verified passwords, none of them in it */
	char password[BASIC_MAX];	/* decoded Basic credentials of the request at hand */
};

struct authn *
authn_new(struct metrics *m)
{
	struct authn *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->metrics = m;
	a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	a->ctx = EVP_MD_CTX_new();
	if (a->sha256 == NULL || a->ctx == NULL || RAND_bytes(a->secret, sizeof a->secret) != 1) {
		authn_free(a);
		return NULL;
	}
	return a;
}

static void
slot_clear(struct slot *s)
{
	identity_unref(s->who);
	*s = (struct slot){ 0 };
}

void
authn_free(struct authn *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		slot_clear(&a->slots[i]);
	EVP_MD_CTX_free(a->ctx);
	EVP_MD_free(a->sha256);
	OPENSSL_cleanse(a->secret, sizeof a->secret);
	free(a);
}

/* Two choices a key: a hot token is not thrown out by one cold one. */
static struct slot *
slot_for(struct authn *a, const unsigned char key[static 32], bool *hit)
{
	size_t i = ((size_t)key[0] << 8 | key[1]) % SLOTS, j = ((size_t)key[2] << 8 | key[3]) % SLOTS;

	*hit = true;
	if (a->slots[i].until != 0 && memcmp(a->slots[i].key, key, 32) == 0)
		return &a->slots[i];
	if (a->slots[j].until != 0 && memcmp(a->slots[j].key, key, 32) == 0)
		return &a->slots[j];
	*hit = false;
	return a->slots[i].until <= a->slots[j].until ? &a->slots[i] : &a->slots[j];
}

static void
remember(struct slot *s, const unsigned char key[static 32], const struct identity *who, bool own,
    enum token_outcome outcome, uint32_t generation, int64_t until)
{
	slot_clear(s);
	s->own = own;
	memcpy(s->key, key, 32);
	s->who = who == NULL ? NULL : identity_ref(who);
	s->outcome = outcome;
	s->generation = generation;
	s->until = until;
}

/* who is taken over. Our own tokens come as Bearer only: as a password they would be good for another one. */
static enum refuse
accept(const struct identity *who, bool own, bool bearer, struct authn_result *out)
{
	if (own && !bearer) {
		identity_unref(who);
		out->detail = "own_token";
		return REFUSE_BAD_TOKEN;
	}
	*(own ? &out->token : &out->who) = who;
	return REFUSE_NONE;
}

static enum refuse
verify(struct authn *a, const struct authn_ask *q, struct span token, bool bearer, struct authn_result *out)
{
	unsigned char key[32];
	const struct identity *who = NULL;
	uint32_t generation = issuer_table_generation(q->issuers);
	const char *issuer = NULL;
	int64_t now = q->now, grace = q->grace;
	enum token_outcome outcome;
	struct slot *s;
	bool hit, own;

	if (token.n > TOKEN_MAX) {
		out->detail = token_outcome_symbol(TOKEN_TOO_LONG);
		return REFUSE_BAD_TOKEN;
	}
	if (EVP_DigestInit_ex2(a->ctx, a->sha256, NULL) != 1 ||
	    EVP_DigestUpdate(a->ctx, token.p, token.n) != 1 || EVP_DigestFinal_ex(a->ctx, key, NULL) != 1)
		return REFUSE_INTERNAL;
	s = slot_for(a, key, &hit);
	if (hit && s->generation == generation && now < s->until && (s->who != NULL || grace == 0)) {
		metric_add(a->metrics, METRIC_TOKEN_HITS, 1);
		if (s->who != NULL)
			return accept(identity_ref(s->who), s->own, bearer, out);
		out->detail = token_outcome_symbol(s->outcome);
		return REFUSE_BAD_TOKEN;
	}
	own = q->tokens != NULL && token_is_own(token);
	outcome = own ? token_accept(q->tokens, q->issuers, token, now, grace, &who) :
	    token_verify_from(q->issuers, token, now, grace, &who, &issuer);
	metric_add(a->metrics, outcome == TOKEN_OK ? METRIC_TOKEN_VERIFIED : METRIC_TOKEN_REFUSED, 1);
	if (outcome != TOKEN_OK) {
		out->detail = token_outcome_symbol(outcome);
		/* what other keys may change is not remembered: the next one with this token waits for them too */
		if (issuer != NULL && (outcome == TOKEN_KEY_UNKNOWN || outcome == TOKEN_NO_KEYS))
			out->issuer = issuer;
		else if (grace == 0 && outcome != TOKEN_NO_MEMORY)
			remember(s, key, NULL, own, outcome, generation, now + REFUSED_FOR);
		return outcome == TOKEN_NO_MEMORY ? REFUSE_NO_MEMORY :
		    outcome == TOKEN_NO_KEYS ? REFUSE_ISSUER_UNAVAILABLE : REFUSE_BAD_TOKEN;
	}
	if (who->expires_at > now)
		remember(s, key, who, own, outcome, generation,
		    who->expires_at < now + q->cache_s ? who->expires_at : now + q->cache_s);
	return accept(who, own, bearer, out);
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 section 4, canonical or nothing. Returns the length, or -1. */
static ssize_t
base64_decode(struct span in, char *out, size_t size)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned have = 0;

	if (in.n % 4 != 0)
		return -1;
	while (in.n > 0 && in.p[in.n - 1] == '=' && in.n % 4 != 2)
		in.n--;
	for (size_t i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);

		if (v < 0 || n == size)
			return -1;
		bits = (bits << 6 | (uint32_t)v) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (char)(bits >> have & 0xff);
		}
	}
	return (bits & ((1u << have) - 1)) != 0 || have >= 6 ? -1 : (ssize_t)n;
}

/* "user:password". p == NULL: it is no such text. */
static struct span
basic_password(struct authn *a, struct span encoded, struct span *user)
{
	ssize_t n = base64_decode(encoded, a->password, sizeof a->password);
	const char *colon = n <= 0 ? NULL : memchr(a->password, ':', (size_t)n);

	if (colon == NULL)
		return SPAN_NONE;
	*user = (struct span){ a->password, (size_t)(colon - a->password) };
	return (struct span){ colon + 1, (size_t)(a->password + n - (colon + 1)) };
}

/* ---- accounts ---- */

/* HMAC of what was checked: hash, name and password, the first two ended by a NUL. */
static bool
login_key(const struct authn *a, struct login *l)
{
	char text[sizeof l->hash + sizeof l->user + sizeof l->password];
	size_t hash = strlen(l->hash) + 1, user = strlen(l->user) + 1;
	unsigned n = 0;
	bool ok;

	memcpy(text, l->hash, hash);
	memcpy(text + hash, l->user, user);
	memcpy(text + hash + user, l->password, l->password_n);
	ok = HMAC(EVP_sha256(), a->secret, sizeof a->secret, (unsigned char *)text, hash + user + l->password_n, l->key, &n) != NULL;
	OPENSSL_cleanse(text, sizeof text);
	return ok && n == sizeof l->key;
}

static size_t
login_slot(const struct login *l)
{
	return ((size_t)l->key[0] << 8 | l->key[1]) % LOGINS;
}

static enum refuse
ask_account(struct authn *a, const struct authn_ask *q, struct span user, struct span password, struct authn_result *out)
{
	const struct account *account = accounts_find(q->accounts, user);
	struct login *l = login_new(q->accounts, user, password);
	size_t i;

	if (l == NULL)
		return REFUSE_BAD_CREDENTIALS;
	if (!login_key(a, l)) {
		login_free(l);
		return REFUSE_INTERNAL;
	}
	i = login_slot(l);
	if (account == NULL || q->now >= a->logins[i].until || CRYPTO_memcmp(a->logins[i].key, l->key, sizeof l->key) != 0) {
		out->login = l;
		return REFUSE_NONE;
	}
	login_free(l);
	out->who = account_identity(account);
	return out->who == NULL ? REFUSE_NO_MEMORY : REFUSE_NONE;
}

void
authn_remember_login(struct authn *a, const struct login *l, int64_t now, int64_t cache_s)
{
	size_t i = login_slot(l);

	memcpy(a->logins[i].key, l->key, sizeof l->key);
	a->logins[i].until = now + cache_s;
}

/* What a JWT begins with: {" in base64url. A user name beside one is the client's business and believed by nobody. */
static bool
looks_like_token(struct span password)
{
	return span_starts(password, SPAN("eyJ"));
}

enum refuse
authn_password(struct authn *a, const struct authn_ask *q, struct span user, struct span password, struct authn_result *out)
{
	*out = (struct authn_result){ .method = "basic" };
	if (password.n == 0)
		return REFUSE_BAD_CREDENTIALS;
	if (q->accounts != NULL && !looks_like_token(password))
		return ask_account(a, q, user, password, out);
	return verify(a, q, password, false, out);
}

enum refuse
authn_identify(struct authn *a, const struct authn_ask *q, struct span field, struct authn_result *out)
{
	*out = (struct authn_result){ .method = "anonymous" };
	if (field.p == NULL) {
		out->who = identity_anonymous();
		return REFUSE_NONE;
	}
	if (field.n > 7 && span_eq_nocase((struct span){ field.p, 7 }, SPAN("bearer "))) {
		out->method = "bearer";
		return verify(a, q, span_skip(field, 7), true, out);
	}
	/* ":" is what skopeo and podman send when they have no credentials */
	if (field.n == 10 && span_eq_nocase((struct span){ field.p, 6 }, SPAN("basic ")) &&
	    span_eq(span_skip(field, 6), SPAN("Og=="))) {
		out->who = identity_anonymous();
		return REFUSE_NONE;
	}
	if (field.n > 6 && span_eq_nocase((struct span){ field.p, 6 }, SPAN("basic "))) {
		struct span user = SPAN_NONE, password = basic_password(a, span_skip(field, 6), &user);
		enum refuse r = authn_password(a, q, user, password, out);

		OPENSSL_cleanse(a->password, sizeof a->password);
		return r;
	}
	return REFUSE_BAD_CREDENTIALS;
}
