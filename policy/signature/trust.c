/*
 * trust.c - whose signatures count: keys, roots, logs, identities and repositories, read once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/signature/parts.h"

#define RSA_BITS_MIN	2048
#define RSA_BITS_MAX	8192
#define ROOTS_MAX	64
#define AUTH_LEVEL	2	/* of OpenSSL: 112 bits, no SHA-1 */

/* ---- patterns ---- */

bool
glob_match(const char *pattern, struct span s)
{
	const char *p = pattern, *star = NULL;
	size_t i = 0, from = 0;

	while (i < s.n) {
		if (*p == '*') {
			star = p++;
			from = i;
		} else if (*p != '\0' && *p == s.p[i]) {
			p++;
			i++;
		} else if (star != NULL) {
			p = star + 1;
			i = ++from;
		} else
			return false;
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

bool
glob_any(char *const *patterns, size_t n, struct span s)
{
	for (size_t i = 0; i < n; i++)
		if (glob_match(patterns[i], s))
			return true;
	return false;
}

/* ---- messages ---- */

struct report {
	char *err;
	size_t size, n;
	EVP_MD_CTX *hash;
	bool failed;
};

static void complain(struct report *e, const char *fmt, ...) PRINTF(2, 3);
static void
complain(struct report *e, const char *fmt, ...)
{
	va_list args;
	int n;

	e->failed = true;
	if (e->n + 1 >= e->size)
		return;
	if (e->n > 0)
		e->err[e->n++] = '\n';
	va_start(args, fmt);
	n = vsnprintf(e->err + e->n, e->size - e->n, fmt, args);
	va_end(args);
	e->n = n < 0 ? e->n : e->n + (size_t)n < e->size ? e->n + (size_t)n : e->size - 1;
}

/* Into the hash of all, so that no two trusts have one. */
static void
mix(struct report *e, struct span s)
{
	uint64_t n = s.n;

	if (EVP_DigestUpdate(e->hash, &n, sizeof n) != 1 || (n > 0 && EVP_DigestUpdate(e->hash, s.p, s.n) != 1))
		complain(e, "out of memory");
}

/* ---- keys ---- */

/* NULL: it may be used. */
static const char *
key_refused(EVP_PKEY *key)
{
	char curve[32] = "";
	size_t n;
	int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);

	if (key == NULL)
		return "a key that cannot be read";
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		return NULL;
	case EVP_PKEY_RSA:
		return bits < RSA_BITS_MIN ? "an RSA key of fewer than 2048 bits" : bits > RSA_BITS_MAX ? "an RSA key of more than 8192 bits" : NULL;
	case EVP_PKEY_EC:
		if (EVP_PKEY_get_group_name(key, curve, sizeof curve, &n) == 1 &&
		    (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0 || strcmp(curve, "secp521r1") == 0))
			return NULL;
		return "an EC key on another curve than P-256, P-384 and P-521";
	}
	return "no EC, RSA or Ed25519 key";
}

static void
read_key(struct report *e, const char *alias, const char *option, const struct trust_pem *pem, struct trust_key *out)
{
	BIO *bio = BIO_new_mem_buf(pem->text.p, (int)pem->text.n);
	EVP_PKEY *more = NULL;
	const char *why;

	mix(e, pem->text);
	out->key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	why = out->key == NULL ? "is no PEM file with a public key" : key_refused(out->key);
	if (why == NULL) {
		more = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
		if (more != NULL)
			why = "has more than one key: give each a file of its own";
	}
	if (why == NULL && !key_hash(out->key, out->hash))
		why = "out of memory";
	if (why != NULL)
		complain(e, "trust.%s.%s: %s: %s", alias, option, pem->name, why);
	else
		digest_text(out->hash, out->id);
	EVP_PKEY_free(more);
	BIO_free(bio);
	ERR_clear_error();
}

static struct trust_key *
read_keys(struct report *e, const char *alias, const char *option, const struct trust_pem *pems, size_t n)
{
	struct trust_key *keys = calloc(n + 1, sizeof *keys);

	mix(e, span_of(option));
	if (keys == NULL)
		complain(e, "out of memory");
	for (size_t i = 0; keys != NULL && i < n; i++)
		read_key(e, alias, option, &pems[i], &keys[i]);
	return keys;
}

/* ---- roots ---- */

static void
add_root(struct report *e, struct trust_one *t, X509 *x, const char *name, size_t *roots)
{
	bool root = X509_check_issued(x, x) == X509_V_OK;
	const char *why = key_refused(X509_get0_pubkey(x));

	if (why != NULL)
		complain(e, "trust.%s.roots: %s: a certificate has %s", t->alias, name, why);
	else if (root && X509_STORE_add_cert(t->store, x) == 1)
		++*roots;
	else if (root || !X509_up_ref(x) || sk_X509_push(t->intermediates, x) <= 0)
		complain(e, "trust.%s.roots: %s: out of memory", t->alias, name);
}

static void
read_roots(struct report *e, struct trust_one *t, const struct trust_pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text.p, (int)pem->text.n);
	size_t n = 0, roots = 0;
	bool before = e->failed;
	X509 *x;

	mix(e, pem->text);
	e->failed = false;
	t->store = X509_STORE_new();
	t->intermediates = sk_X509_new_null();
	if (bio == NULL || t->store == NULL || t->intermediates == NULL)
		complain(e, "out of memory");
	while (!e->failed && n < ROOTS_MAX && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		add_root(e, t, x, pem->name, &roots);
		X509_free(x);
		n++;
	}
	if (!e->failed && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		complain(e, "trust.%s.roots: %s: has a broken certificate, or more than %d", t->alias, pem->name, ROOTS_MAX);
	else if (!e->failed && roots == 0)
		complain(e, "trust.%s.roots: %s: has no certificate that signed itself: no chain could end", t->alias, pem->name);
	if (t->store != NULL)
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(t->store), AUTH_LEVEL);
	e->failed = e->failed || before;
	BIO_free(bio);
	ERR_clear_error();
}

/* ---- all of it ---- */

static char **
copy_texts(struct report *e, const char *option, const char *const *from, size_t n)
{
	char **to = calloc(n + 1, sizeof *to);

	mix(e, span_of(option));
	for (size_t i = 0; to != NULL && i < n; i++) {
		mix(e, span_of(from[i]));
		to[i] = strdup(from[i]);
		if (to[i] == NULL)
			complain(e, "out of memory");
	}
	if (to == NULL)
		complain(e, "out of memory");
	return to;
}

static void
read_rule(struct report *e, const struct trust_rule *rule, struct trust_one *t)
{
	uint32_t threshold = rule->threshold;

	mix(e, span_of(rule->alias));
	mix(e, (struct span){ (const char *)&threshold, sizeof threshold });
	t->alias = strdup(rule->alias);
	t->threshold = rule->threshold == 0 ? 1 : rule->threshold;
	t->identities = copy_texts(e, "identities", rule->identities, rule->n_identities);
	t->issuers = copy_texts(e, "issuers", rule->issuers, rule->n_issuers);
	t->repositories = copy_texts(e, "repositories", rule->repositories, rule->n_repositories);
	t->n_identities = rule->n_identities;
	t->n_issuers = rule->n_issuers;
	t->n_repositories = rule->n_repositories;
	t->keys = read_keys(e, rule->alias, "keys", rule->keys, rule->n_keys);
	t->n_keys = t->keys == NULL ? 0 : rule->n_keys;
	t->logs = read_keys(e, rule->alias, "rekor-keys", rule->rekor_keys, rule->n_rekor_keys);
	t->n_logs = t->logs == NULL ? 0 : rule->n_rekor_keys;
	if (t->alias == NULL)
		complain(e, "out of memory");
	else if (rule->roots.text.p != NULL)
		read_roots(e, t, &rule->roots);
}

static int
by_alias(const void *a, const void *b)
{
	return strcmp(((const struct trust_one *)a)->alias, ((const struct trust_one *)b)->alias);
}

struct trust *
trust_new(const struct trust_rule *rules, size_t n, char *err, size_t err_size)
{
	struct report e = { .err = err, .size = err_size, .hash = EVP_MD_CTX_new() };
	struct trust *t = calloc(1, sizeof *t);
	unsigned char hash[32];

	if (err_size > 0)
		err[0] = '\0';
	if (t != NULL)
		t->rows = calloc(n + 1, sizeof *t->rows);
	if (e.hash == NULL || t == NULL || t->rows == NULL || EVP_DigestInit_ex(e.hash, EVP_sha256(), NULL) != 1)
		complain(&e, "out of memory");
	for (size_t i = 0; t != NULL && t->rows != NULL && i < n; i++) {
		t->n = i + 1;
		read_rule(&e, &rules[i], &t->rows[i]);
	}
	if (!e.failed && EVP_DigestFinal_ex(e.hash, hash, NULL) != 1)
		complain(&e, "out of memory");
	EVP_MD_CTX_free(e.hash);
	if (e.failed) {
		trust_free(t);
		return NULL;
	}
	digest_text(hash, t->hash);
	qsort(t->rows, t->n, sizeof *t->rows, by_alias);
	return t;
}

static void
free_texts(char **texts, size_t n)
{
	for (size_t i = 0; texts != NULL && i < n; i++)
		free(texts[i]);
	free(texts);
}

static void
free_keys(struct trust_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		EVP_PKEY_free(keys[i].key);
	free(keys);
}

void
trust_free(struct trust *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++) {
		struct trust_one *one = &t->rows[i];

		free(one->alias);
		free_keys(one->keys, one->n_keys);
		free_keys(one->logs, one->n_logs);
		X509_STORE_free(one->store);
		sk_X509_pop_free(one->intermediates, X509_free);
		free_texts(one->identities, one->n_identities);
		free_texts(one->issuers, one->n_issuers);
		free_texts(one->repositories, one->n_repositories);
	}
	free(t->rows);
	free(t);
}

const char *
trust_hash(const struct trust *t)
{
	return t->hash;
}

bool
trust_any(const struct trust *t, struct span image)
{
	for (size_t i = 0; i < t->n; i++)
		if (glob_any(t->rows[i].repositories, t->rows[i].n_repositories, image))
			return true;
	return false;
}
