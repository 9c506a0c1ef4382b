/*
 * chain.c - certificates of signers: where they lead, what they may, and whose they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "policy/signature/parts.h"

#define ISSUER_V2    "1.3.6.1.4.1.57264.1.8"	/* Fulcio: the token's issuer, a UTF8String in DER */
#define ISSUER_V1    "1.3.6.1.4.1.57264.1.1"	/* the same, bare bytes */
#define IDENTITY_LEN 1024u
#define SANS_MAX     16

bool
time_of(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

/* ---- where it leads ---- */

/* NULL: it may sign. */
static const char *
usage_refused(X509 *leaf)
{
	uint32_t flags = X509_get_extension_flags(leaf);

	if ((flags & (EXFLAG_INVALID | EXFLAG_CRITICAL)) != 0)
		return "the certificate has a critical extension that is not known";
	if ((flags & EXFLAG_CA) != 0)
		return "the certificate is an authority's, no signer's";
	if ((flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
		return "the certificate's key usage is not digitalSignature";
	if ((flags & EXFLAG_XKUSAGE) == 0 || (X509_get_extended_key_usage(leaf) & XKU_CODE_SIGN) == 0)
		return "the certificate's extended key usage is not code signing";
	return NULL;
}

static bool
add_all(STACK_OF(X509) *to, STACK_OF(X509) *from)
{
	for (int i = 0; i < sk_X509_num(from); i++)
		if (sk_X509_push(to, sk_X509_value(from, i)) <= 0)
			return false;
	return true;
}

static bool
verify(const struct trust_one *t, X509 *leaf, STACK_OF(X509) *helpers, int64_t when, int *error)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = false;

	*error = X509_V_ERR_OUT_OF_MEM;
	if (ctx != NULL && X509_STORE_CTX_init(ctx, t->store, leaf, helpers) == 1) {
		X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)when);
		X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), (int)CHAIN_MAX);
		ok = X509_verify_cert(ctx) == 1;
		*error = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok && *error == X509_V_OK;
}

bool
chain_good(const struct trust_one *t, X509 *leaf, STACK_OF(X509) *chain, int64_t when, bool *expired, char *why, size_t size)
{
	STACK_OF(X509) *helpers = sk_X509_new_null();
	const char *refused = usage_refused(leaf);
	int error = X509_V_ERR_OUT_OF_MEM;
	bool ok = helpers != NULL && add_all(helpers, t->intermediates) && add_all(helpers, chain) && verify(t, leaf, helpers, when, &error);

	sk_X509_free(helpers);
	*expired = error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
	if (!ok)
		snprintf(why, size, "the certificate: %s", X509_verify_cert_error_string(error));
	else if (refused != NULL)
		snprintf(why, size, "%s", refused);
	return ok && refused == NULL;
}

/* ---- whose it is ---- */

static struct span
text_of(struct arena *a, const ASN1_STRING *s)
{
	struct span text = { (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s) };

	/* a NUL would end it for whoever reads it after us */
	if (text.n == 0 || text.n > IDENTITY_LEN || memchr(text.p, '\0', text.n) != NULL)
		return SPAN_NONE;
	return arena_dup(a, text);
}

static struct span
extension(struct arena *a, X509 *x, const char *oid, bool der)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	int at = object == NULL ? -1 : X509_get_ext_by_OBJ(x, object, -1);
	const ASN1_OCTET_STRING *data = at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(x, at));
	ASN1_UTF8STRING *text = NULL;
	const unsigned char *p;
	struct span s = SPAN_NONE;

	if (data != NULL && X509_get_ext_by_OBJ(x, object, at) >= 0)
		data = NULL;	/* twice */
	ASN1_OBJECT_free(object);
	if (data != NULL && der) {
		p = ASN1_STRING_get0_data(data);
		text = d2i_ASN1_UTF8STRING(NULL, &p, ASN1_STRING_length(data));
		if (text != NULL && p == ASN1_STRING_get0_data(data) + ASN1_STRING_length(data))
			s = text_of(a, text);
		ASN1_UTF8STRING_free(text);
	} else if (data != NULL)
		s = text_of(a, data);
	ERR_clear_error();
	return s;
}

static bool
issuer_allowed(struct review *r, const struct trust_one *t, const struct vote *v)
{
	if (t->n_issuers == 0 || glob_any(t->issuers, t->n_issuers, v->issuer))
		return true;
	return miss(r, NEAR_IDENTITY, t, "signed by %.60s of another issuer: %.50s", v->voter.p, v->issuer.n == 0 ? "none" : v->issuer.p);
}

bool
leaf_identity(struct review *r, const struct trust_one *t, X509 *leaf, struct vote *v)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	struct span first = SPAN_NONE, s;

	v->issuer = extension(r->arena, leaf, ISSUER_V2, true);
	if (v->issuer.n == 0)
		v->issuer = extension(r->arena, leaf, ISSUER_V1, false);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < SANS_MAX && v->voter.n == 0; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_URI && name->type != GEN_EMAIL)
			continue;
		s = text_of(r->arena, name->d.ia5);
		if (first.n == 0)
			first = s;
		if (s.n > 0 && glob_any(t->identities, t->n_identities, s))
			v->voter = s;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	if (v->voter.n == 0)
		return miss(r, NEAR_IDENTITY, t, "signed by somebody else: %.100s", first.n == 0 ? "a certificate without name" : first.p);
	return issuer_allowed(r, t, v);
}

/* "x509.subject:CN=...,O=..." (RFC 2253). */
static struct span
name_of(struct arena *a, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct span s = SPAN_NONE;
	char *p;
	long n;

	if (bio != NULL && BIO_puts(bio, "x509.subject:") > 0 && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		n = BIO_get_mem_data(bio, &p);
		if (n > 0 && (size_t)n <= IDENTITY_LEN && memchr(p, '\0', (size_t)n) == NULL)
			s = arena_dup(a, (struct span){ p, (size_t)n });
	}
	BIO_free(bio);
	ERR_clear_error();
	return s;
}

bool
leaf_subject(struct review *r, const struct trust_one *t, X509 *leaf, struct vote *v)
{
	v->voter = name_of(r->arena, X509_get_subject_name(leaf));
	v->issuer = name_of(r->arena, X509_get_issuer_name(leaf));
	if (v->voter.n == 0 || !glob_any(t->identities, t->n_identities, v->voter))
		return miss(r, NEAR_IDENTITY, t, "signed by somebody else: %.100s", v->voter.n == 0 ? "a certificate without name" : v->voter.p);
	return issuer_allowed(r, t, v);
}
