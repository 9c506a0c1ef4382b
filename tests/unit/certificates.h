/*
 * certificates.h - for tests: certificates with any bytes for names, signed by a key made here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_CERTIFICATES_H
#define TW_TESTS_CERTIFICATES_H

#include <openssl/x509v3.h>
#include <stdlib.h>

#include "policy/attr.h"
#include "policy/span.h"

struct certificate_name {	/* type 0 ends a list */
	int type;		/* GEN_URI ..., or a V_ASN1_ type of a subject's part */
	struct span text;
};

struct certificate_spec {
	struct certificate_name sans[4], cns[3], ous[3], os[3];
	size_t many_ous;	/* so many OUs more */
	const char *constraints, *usage;	/* as in openssl.cnf; NULL: without */
	bool two_sans, broken_san;
	int64_t from, until;	/* seconds from now; both 0: an hour each way */
};

static inline void
certificate_add_parts(X509_NAME *name, int nid, const struct certificate_name *parts, size_t n)
{
	for (size_t i = 0; i < n && parts[i].type != 0; i++)
		X509_NAME_add_entry_by_NID(name, nid, parts[i].type, (const unsigned char *)parts[i].text.p,
		    (int)parts[i].text.n, -1, 0);
}

static inline void
certificate_add_sans(X509 *x, const struct certificate_spec *s)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	ASN1_OCTET_STRING *octets;
	X509_EXTENSION *e;

	for (size_t i = 0; i < 4 && s->sans[i].type != 0; i++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		bool address = s->sans[i].type == GEN_IPADD;
		ASN1_STRING *text = ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

		ASN1_STRING_set(text, s->sans[i].text.p, (int)s->sans[i].text.n);
		GENERAL_NAME_set0_value(g, s->sans[i].type, text);
		sk_GENERAL_NAME_push(all, g);
	}
	if (sk_GENERAL_NAME_num(all) > 0 && !s->broken_san)
		X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_APPEND);
	if (s->two_sans)
		X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, X509V3_ADD_APPEND);
	if (s->broken_san) {
		octets = ASN1_OCTET_STRING_new();
		ASN1_OCTET_STRING_set(octets, (const unsigned char *)"\x30\x05\x86\x09x", 5);
		e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, octets);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
		ASN1_OCTET_STRING_free(octets);
	}
	GENERAL_NAMES_free(all);
}

static inline void
certificate_add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = value == NULL ? NULL : X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (e != NULL)
		X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* Signed by `ca_key` in the name of `issuer`; NULL: self-signed. The caller frees it. */
static inline X509 *
certificate_make(const struct certificate_spec *s, EVP_PKEY *key, const X509 *issuer, EVP_PKEY *ca_key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_NAME_new();
	bool times = s->from != 0 || s->until != 0;
	static long serial;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), times ? (long)s->from : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), times ? (long)s->until : 3600);
	certificate_add_parts(name, NID_organizationName, s->os, 3);
	certificate_add_parts(name, NID_organizationalUnitName, s->ous, 3);
	for (size_t i = 0; i < s->many_ous; i++)
		X509_NAME_add_entry_by_NID(name, NID_organizationalUnitName, V_ASN1_UTF8STRING,
		    (const unsigned char *)"many", 4, -1, 0);
	certificate_add_parts(name, NID_commonName, s->cns, 3);
	X509_set_subject_name(x, name);
	X509_set_issuer_name(x, issuer == NULL ? name : X509_get_subject_name(issuer));
	X509_NAME_free(name);
	X509_set_pubkey(x, key);
	certificate_add_extension(x, NID_basic_constraints, s->constraints);
	certificate_add_extension(x, NID_key_usage, s->usage);
	certificate_add_sans(x, s);
	X509_sign(x, ca_key == NULL ? key : ca_key, EVP_sha256());
	return x;
}

#endif
