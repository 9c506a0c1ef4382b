/*
 * judge.c - one signing against all trusts of the repository: a vote, or the reason why not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdarg.h>
#include <stdio.h>

#include "policy/signature/parts.h"

bool
miss(struct review *r, enum nearness near, const struct trust_one *t, const char *fmt, ...)
{
	va_list args;
	int n = 0;

	if (near <= r->near)
		return false;
	r->near = near;
	if (t == NULL && r->n_good == 1)
		t = r->good[0];
	if (t != NULL)
		n = snprintf(r->why, sizeof r->why, "%.64s: ", t->alias);
	va_start(args, fmt);
	vsnprintf(r->why + n, sizeof r->why - (size_t)n, fmt, args);
	va_end(args);
	return false;
}

/* ---- one key ---- */

struct scheme {
	int type;		/* of the key */
	int bits;		/* 0: any */
	const EVP_MD *(*md)(void);
	int padding;
};

/* What signers do with a key: cosign hashes with SHA-256 whatever the curve is, others with what fits it. */
static const struct scheme schemes[] = {
	{ EVP_PKEY_EC, 0, EVP_sha256, 0 },
	{ EVP_PKEY_EC, 384, EVP_sha384, 0 },
	{ EVP_PKEY_EC, 521, EVP_sha512, 0 },
	{ EVP_PKEY_RSA, 0, EVP_sha256, RSA_PKCS1_PADDING },
	{ EVP_PKEY_RSA, 0, EVP_sha256, RSA_PKCS1_PSS_PADDING },
	{ EVP_PKEY_RSA, 0, EVP_sha512, RSA_PKCS1_PADDING },
};

static bool
verify_hash(EVP_PKEY *key, const struct scheme *c, const unsigned char *hash, size_t n, struct span signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && (c->padding == 0 || EVP_PKEY_CTX_set_rsa_padding(ctx, c->padding) == 1) &&
	    EVP_PKEY_CTX_set_signature_md(ctx, c->md()) == 1 &&
	    EVP_PKEY_verify(ctx, (const unsigned char *)signature.p, signature.n, hash, n) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool
verify_bytes(EVP_PKEY *key, const struct scheme *c, struct span input, struct span signature)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	return EVP_Digest(input.p, input.n, hash, &n, c->md(), NULL) == 1 && verify_hash(key, c, hash, n, signature);
}

static bool
verify_ed25519(EVP_PKEY *key, struct span input, struct span signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)input.p, input.n) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool
fits(const struct scheme *c, EVP_PKEY *key)
{
	return c->type == EVP_PKEY_get_base_id(key) && (c->bits == 0 || c->bits == EVP_PKEY_get_bits(key));
}

bool
signed_by_bytes(EVP_PKEY *key, struct span input, struct span signature)
{
	bool ok = false;

	/* of a certificate whose key OpenSSL cannot read there is none */
	if (key == NULL || input.n == 0 || signature.n == 0)
		return false;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		ok = verify_ed25519(key, input, signature);
	for (size_t i = 0; !ok && i < sizeof schemes / sizeof *schemes; i++)
		ok = fits(&schemes[i], key) && verify_bytes(key, &schemes[i], input, signature);
	ERR_clear_error();
	return ok;
}

bool
signed_by(EVP_PKEY *key, const struct review *r, const struct signing *s)
{
	bool ok = false;

	if (key == NULL || s->says != SAYS_DIGEST)
		return signed_by_bytes(key, s->input, s->signature);
	for (size_t i = 0; !ok && i < sizeof schemes / sizeof *schemes; i++)
		ok = schemes[i].md == EVP_sha256 && fits(&schemes[i], key) &&
		    verify_hash(key, &schemes[i], r->digest, sizeof r->digest, s->signature);
	ERR_clear_error();
	return ok;
}

/* ---- votes ---- */

void
vote_add(struct review *r, const struct vote *v)
{
	for (size_t i = 0; i < r->n_votes; i++) {
		struct vote *o = &r->votes[i];

		if (o->trust != v->trust || o->by_key != v->by_key || !span_eq(o->voter, v->voter) || !span_eq(o->issuer, v->issuer) ||
		    !span_eq(o->type, v->type) || !span_eq(o->builder, v->builder) || o->level != v->level)
			continue;
		/* the same again: the later end counts */
		if (o->until != 0 && (v->until == 0 || v->until > o->until))
			o->until = v->until;
		return;
	}
	if (r->n_votes == VOTES_MAX)
		r->too_many = true;
	else
		r->votes[r->n_votes++] = *v;
}

bool
vote_for(struct review *r, const struct signing *s, struct vote *v)
{
	bool ok = true;

	v->level = -1;
	if (s->says == SAYS_SIMPLE)
		ok = simple_read(r, v->trust, s->payload);
	else if (s->says == SAYS_STATEMENT)
		ok = statement_read(r, v->trust, s->payload, v);
	if (ok)
		vote_add(r, v);
	return ok;
}

/* ---- trusts ---- */

static bool
judge_keys(struct review *r, const struct trust_one *t, const struct signing *s)
{
	bool found = false;

	for (size_t i = 0; i < t->n_keys; i++) {
		struct vote v = { .trust = t, .voter = span_of(t->keys[i].id), .by_key = true };

		if (!signed_by(t->keys[i].key, r, s))
			continue;
		found = true;
		vote_for(r, s, &v);
	}
	return found;
}

/* The time that a log of the trust proves; false after miss(). */
static bool
prove_time(struct review *r, const struct trust_one *t, const struct signing *s, int64_t *when)
{
	const char *why = "no entry of a log";
	bool proved = false;
	int64_t one;

	*when = 0;
	if (t->n_logs == 0)
		return true;
	for (size_t i = 0; i < s->n_entries; i++) {
		if (!entry_proves(r, t, s, &s->entries[i], &one, &why))
			continue;
		proved = true;
		if (one != 0 && (*when == 0 || one < *when))
			*when = one;
	}
	return proved || miss(r, NEAR_TIME, t, "%s", why);
}

static bool
judge_certificate(struct review *r, const struct trust_one *t, const struct signing *s)
{
	struct vote v = { .trust = t };
	bool expired = false;
	int64_t when;
	char why[120];

	if (t->store == NULL || s->leaf == NULL)
		return false;
	if (!signed_by(X509_get0_pubkey(s->leaf), r, s))
		return miss(r, NEAR_KEY, t, "the certificate's key did not make it");
	if (!prove_time(r, t, s, &when))
		return true;
	if (!chain_good(t, s->leaf, s->chain, when == 0 ? r->ask->now : when, &expired, why, sizeof why))
		miss(r, expired ? NEAR_TIME : NEAR_KEY, t, "%s", why);
	else if (leaf_identity(r, t, s->leaf, &v)) {
		if (when == 0 && !time_of(X509_get0_notAfter(s->leaf), &v.until))
			v.until = r->ask->now;
		vote_for(r, s, &v);
	}
	return true;
}

void
judge(struct review *r, const struct signing *s)
{
	bool found = false;

	for (size_t i = 0; i < r->n_good; i++) {
		found = judge_keys(r, r->good[i], s) || found;
		found = judge_certificate(r, r->good[i], s) || found;
	}
	if (!found)
		miss(r, NEAR_KEY, NULL, s->leaf != NULL ? "no trusted certificate made it" : "no trusted key made it");
}
