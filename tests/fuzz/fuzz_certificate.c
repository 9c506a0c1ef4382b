/*
 * fuzz_certificate.c - any DER as a client certificate, read by every rule: nobody, or somebody whose names are clean and whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *p = data;
	X509 *x = d2i_X509(NULL, &p, (long)size);

	for (unsigned i = 0; x != NULL && i < 6; i++) {
		struct certificate_rule rule = { "mtls", (enum certificate_subject)(i % 2), (enum certificate_groups)(i / 2) };
		const struct identity *who = NULL;
		enum certificate_outcome o = certificate_identity(x, &rule, &who);

		if ((o == CERTIFICATE_OK) != (who != NULL))
			abort();
		if (who != NULL)
			check_identity(who, &rule);
		identity_unref(who);
	}
	X509_free(x);
	return 0;
}
