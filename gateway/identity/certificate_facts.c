/*
 * certificate_facts.c - what a client showed, kept with its connection: who it names, and what policy may ask about it.
 * Invariant: a text that is in here is printable; what is not is unknown to policy, never absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "gateway/identity/certificate.h"
#include "policy/arena.h"

#define FACTS_MEMORY	((size_t)256 << 10)

/* ---- texts ---- */

/* RFC 2253, whatever is not printable ASCII escaped. */
static struct span
name_text(struct arena *a, const X509_NAME *name)
{
	BIO *out = BIO_new(BIO_s_mem());
	struct span text = SPAN_NONE;
	char *p;

	if (out != NULL && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0) {
		long n = BIO_get_mem_data(out, &p);

		text = arena_dup(a, (struct span){ p, n > 0 ? (size_t)n : 0 });
	}
	BIO_free(out);
	return text;
}

static struct span
digest_text(struct arena *a, const X509 *x)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	char *text = arena_alloc(a, 64);

	if (text == NULL || X509_digest(x, EVP_sha256(), digest, &n) != 1 || n != 32)
		return SPAN_NONE;
	for (unsigned i = 0; i < n; i++) {
		text[2 * i] = hex[digest[i] >> 4];
		text[2 * i + 1] = hex[digest[i] & 15];
	}
	return (struct span){ text, 64 };
}

static bool
is_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

/* The names of one kind. Not known when one is no printable text, or there are too many to look at. */
static void
collect(struct arena *a, const GENERAL_NAMES *san, int kind, struct certificate_names *out)
{
	struct span *texts = arena_zalloc(a, CERTIFICATE_NAMES_MAX, sizeof *texts);

	out->texts = texts;
	for (int i = 0; texts != NULL && i < sk_GENERAL_NAME_num(san); i++) {
		int type;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(san, i), &type);
		struct span text;

		if (type != kind)
			continue;
		text = (struct span){ (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s) };
		if (out->n == CERTIFICATE_NAMES_MAX || !is_printable(text))
			return;
		texts[out->n++] = arena_dup(a, text);
	}
	out->known = texts != NULL;
}

/* ---- the certificate ---- */

static bool
fill(struct certificate *c, X509 *x)
{
	int critical = 0;
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);

	c->subject = name_text(c->arena, X509_get_subject_name(x));
	c->issuer = name_text(c->arena, X509_get_issuer_name(x));
	c->sha256 = digest_text(c->arena, x);
	if (san != NULL || critical == -1) {
		collect(c->arena, san, GEN_URI, &c->uris);
		collect(c->arena, san, GEN_DNS, &c->hosts);
	}
	GENERAL_NAMES_free(san);
	ERR_clear_error();
	return c->sha256.n > 0 && !arena_failed(c->arena);
}

/* All names that policy may call it by. False: one of them is not known, and so might be one that is denied. */
static bool
all_names(const struct certificate *c, struct span names[static 2 * CERTIFICATE_NAMES_MAX + 1], size_t *n)
{
	*n = 0;
	names[(*n)++] = c->sha256;
	for (size_t i = 0; i < c->uris.n; i++)
		names[(*n)++] = c->uris.texts[i];
	for (size_t i = 0; i < c->hosts.n; i++)
		names[(*n)++] = c->hosts.texts[i];
	for (size_t i = 0; i < *n; i++)
		if (!identity_name_ok(names[i], IDENTITY_NAME_MAX))
			return false;
	return c->uris.known && c->hosts.known;
}

struct certificate *
certificate_new(const STACK_OF(X509) *chain, const struct certificate_rule *rule)
{
	struct certificate *c = calloc(1, sizeof *c);
	struct span names[2 * CERTIFICATE_NAMES_MAX + 1];
	X509 *x = sk_X509_value(chain, 0);
	size_t n;

	if (c == NULL || x == NULL)
		goto fail;
	c->arena = arena_new(FACTS_MEMORY);
	if (c->arena == NULL || !fill(c, x))
		goto fail;
	if (!all_names(c, names, &n))
		c->outcome = CERTIFICATE_BAD_NAME;
	else if (certificate_end(chain, &c->expires_at))
		c->outcome = certificate_identity(x, rule, names, n, &c->who);
	if (c->outcome != CERTIFICATE_NO_MEMORY)
		return c;
fail:
	certificate_free(c);
	return NULL;
}

void
certificate_distrust(struct certificate *c)
{
	identity_unref(c->who);
	c->who = NULL;
	c->outcome = CERTIFICATE_DISTRUSTED;
}

void
certificate_free(struct certificate *c)
{
	if (c == NULL)
		return;
	identity_unref(c->who);
	arena_free(c->arena);
	free(c);
}
