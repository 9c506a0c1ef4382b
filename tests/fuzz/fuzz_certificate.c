/*
 * fuzz_certificate.c - any DER as a client certificate, read by every rule: nobody, or somebody whose names are clean and whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "gateway/identity/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(struct span s, size_t max)
{
	if (s.n == 0 || s.n > max)
		abort();
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			abort();
}

static void
check_identity(const struct identity *who, const struct certificate_rule *rule)
{
	if (who->type != PRINCIPAL_CERT || !span_eq(who->issuer, span_of(rule->issuer)) ||
	    who->n_groups > CERTIFICATE_GROUPS_MAX || who->n_ids != 2 + who->n_groups || who->n_roles != 0 ||
	    who->expires_at <= 0)
		abort();
	if (rule->groups == CERTIFICATE_GROUPS_NONE && who->n_groups > 0)
		abort();
	check_name(who->subject, IDENTITY_SUBJECT_MAX);
	for (size_t i = 0; i < who->n_groups; i++)
		check_name(who->groups[i], IDENTITY_NAME_MAX);
	/* only a SPIFFE ID looks like one */
	if (memmem(who->subject.p, who->subject.n, "://", 3) != NULL && !certificate_is_spiffe_id(who->subject))
		abort();
}

/* Most of the time of a whole certificate goes into its public key. So also: "<subject DER><subjectAltName DER>". */
static X509 *
from_parts(const uint8_t *data, size_t size)
{
	const unsigned char *p = data;
	X509_NAME *subject = d2i_X509_NAME(NULL, &p, (long)size);
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	X509 *x = X509_new();
	X509_EXTENSION *e;

	if (x == NULL || octets == NULL)
		abort();
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	if (subject != NULL)
		X509_set_subject_name(x, subject);
	size -= subject == NULL ? 0 : (size_t)(p - data);
	ASN1_OCTET_STRING_set(octets, p, (int)size);
	e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, octets);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(octets);
	X509_NAME_free(subject);
	return x;
}

static void
read_by_all_rules(X509 *x)
{
	for (unsigned i = 0; x != NULL && i < 6; i++) {
		struct certificate_rule rule = { "mtls", (enum certificate_subject)(i % 2), (enum certificate_groups)(i / 2) };
		const struct identity *who = NULL;
		enum certificate_outcome o = certificate_identity(x, &rule, NULL, 0, &who);

		if ((o == CERTIFICATE_OK) != (who != NULL))
			abort();
		if (who != NULL)
			check_identity(who, &rule);
		identity_unref(who);
	}
	X509_free(x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *p = data;

	if (size > 100000)
		return 0;
	read_by_all_rules(d2i_X509(NULL, &p, (long)size));
	read_by_all_rules(from_parts(data, size));
	return 0;
}
