/*
 * certificate.c - the names of a client certificate, read strictly.
 * Invariant: every text is taken with its length from ASN.1; a NUL in it is a byte like any other, and refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/identity/certificate.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#define TRUST_DOMAIN_MAX	255u
#define DNS_MAX			253u
#define LABEL_MAX		63u

static const struct {
	const char *symbol, *text;
} outcomes[] = {
#define X(outcome, symbol, text) [CERTIFICATE_##outcome] = { symbol, text },
	CERTIFICATE_OUTCOMES(X)
#undef X
};

const char *
certificate_outcome_symbol(enum certificate_outcome o)
{
	return outcomes[o <= CERTIFICATE_OK ? o : CERTIFICATE_UNREADABLE].symbol;
}

const char *
certificate_outcome_text(enum certificate_outcome o)
{
	return outcomes[o <= CERTIFICATE_OK ? o : CERTIFICATE_UNREADABLE].text;
}

/* ---- texts ---- */

/* A string type whose bytes are the text: ASCII or UTF-8. Others (BMP, T61, Universal) are read differently by different readers. */
static bool
text_of(const ASN1_STRING *s, struct span *out)
{
	int type = ASN1_STRING_type(s);

	*out = (struct span){ (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s) };
	return type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING || type == V_ASN1_IA5STRING;
}

/* UTF-8 without control characters (C0, DEL, C1), line and direction marks: what an operator reads is what policy compares. */
static bool
is_clean(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.n;) {
		unsigned long u;
		int n = UTF8_getc(p + i, (int)(s.n - i), &u);

		if (n <= 0 || u < ' ' || (u >= 0x7f && u < 0xa0) || (u >= 0xd800 && u < 0xe000) || u > 0x10ffff)
			return false;
		if ((u >= 0x200b && u <= 0x200f) || (u >= 0x2028 && u <= 0x202e) || (u >= 0x2060 && u <= 0x206f) || u == 0xfeff)
			return false;
		i += (size_t)n;
	}
	return s.n > 0 && s.p[0] != ' ' && s.p[s.n - 1] != ' ';
}

static bool
is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_name_character(char c)
{
	return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_';
}

/* A host, not a pattern: letters, digits, - and _ between single dots. */
static bool
is_dns_name(struct span s)
{
	size_t label = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' && label == 0)
			return false;
		if (!is_name_character(s.p[i]))
			return false;
		label = s.p[i] == '.' ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0 && s.n <= DNS_MAX;
}

/* local@domain, printable ASCII without blanks, quotes or a second @. */
static bool
is_mail_address(struct span s)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, '@', s.n);
	size_t local = at == NULL ? 0 : (size_t)(at - s.p);

	for (size_t i = 0; i < local; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"\\(),:;<>[]", s.p[i]) != NULL)
			return false;
	return local > 0 && is_dns_name(span_skip(s, local + 1));
}

/* ---- SPIFFE ---- */

bool
certificate_is_spiffe_id(struct span s)
{
	size_t n = 0, segment;

	if (!span_starts(s, SPAN("spiffe://")))
		return false;
	s = span_skip(s, strlen("spiffe://"));
	while (n < s.n && s.p[n] != '/') {
		char c = s.p[n++];

		if (!is_name_character(c) || (c >= 'A' && c <= 'Z'))
			return false;
	}
	if (n == 0 || n > TRUST_DOMAIN_MAX || n == s.n)
		return false;
	for (s = span_skip(s, n); s.n > 0; s = span_skip(s, segment + 1)) {
		struct span rest = span_skip(s, 1);

		for (segment = 0; segment < rest.n && rest.p[segment] != '/'; segment++)
			if (!is_name_character(rest.p[segment]))
				return false;
		rest.n = segment;
		if (segment == 0 || span_eq(rest, SPAN(".")) || span_eq(rest, SPAN("..")))
			return false;
	}
	return true;
}

/* ---- subjectAltName ---- */

struct names {
	struct span uri, other;	/* the last of each kind */
	bool mail;		/* other is a mail address */
	unsigned n_uris, n_others;
};

/* False: a name of a kind we read is no text. Kinds we do not read (addresses, directory names) name nobody here. */
static bool
collect(const GENERAL_NAMES *san, struct names *out)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
		int type;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(san, i), &type);
		bool uri = type == GEN_URI;

		if (!uri && type != GEN_DNS && type != GEN_EMAIL)
			continue;
		if (!text_of(s, uri ? &out->uri : &out->other))
			return false;
		out->mail = type == GEN_EMAIL;
		out->n_uris += uri;
		out->n_others += !uri;
	}
	return true;
}

/* Host names are equal without case (RFC 4343): one spelling, so that a Deny for one is one for all. */
static void
fold(char *p, size_t from, size_t n)
{
	for (size_t i = from; i < n; i++)
		p[i] = ascii_lower(p[i]);
}

static enum certificate_outcome
from_san(const struct names *names, char *subject, size_t *n)
{
	struct span s = names->other;
	const char *at;

	if (names->n_others != 1)
		return names->n_others == 0 ? CERTIFICATE_NAMELESS : CERTIFICATE_AMBIGUOUS;
	if (s.n > IDENTITY_SUBJECT_MAX || !(names->mail ? is_mail_address(s) : is_dns_name(s)))
		return CERTIFICATE_BAD_NAME;
	memcpy(subject, s.p, s.n);
	*n = s.n;
	at = memchr(subject, '@', s.n);
	fold(subject, at == NULL ? 0 : (size_t)(at - subject), s.n);
	return CERTIFICATE_OK;
}

/* ---- the subject ---- */

/* The one common name. A CN that looks like a URI would pass for a SPIFFE ID that the CA never vouched for. */
static enum certificate_outcome
from_cn(const X509 *x, char *subject, size_t *n)
{
	const X509_NAME *name = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	struct span s;

	if (at < 0)
		return CERTIFICATE_NAMELESS;
	if (X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
		return CERTIFICATE_AMBIGUOUS;
	if (!text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), &s) || !is_clean(s) ||
	    s.n > IDENTITY_SUBJECT_MAX || memmem(s.p, s.n, "://", 3) != NULL)
		return CERTIFICATE_BAD_NAME;
	memcpy(subject, s.p, s.n);
	*n = s.n;
	return CERTIFICATE_OK;
}

static bool
read_groups(const X509 *x, enum certificate_groups which, struct span groups[static CERTIFICATE_GROUPS_MAX], size_t *n)
{
	const X509_NAME *name = X509_get_subject_name(x);
	int nid = which == CERTIFICATE_GROUPS_O ? NID_organizationName : NID_organizationalUnitName;

	*n = 0;
	if (which == CERTIFICATE_GROUPS_NONE)
		return true;
	for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0; ++*n)
		if (*n == CERTIFICATE_GROUPS_MAX ||
		    !text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), &groups[*n]) || !is_clean(groups[*n]))
			return false;
	return true;
}

/* ---- the certificate ---- */

static bool
seconds_of(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = timegm(&tm);
	return *out > 0;
}

/* A key that signs certificates or revocations is a CA's, whatever else it says (X509-SVID section 4.3). */
static bool
is_ca(X509 *x)
{
	uint32_t usage = X509_get_key_usage(x);

	return X509_check_ca(x) != 0 || (usage != UINT32_MAX && (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0);
}

static enum certificate_outcome
read_subject(const X509 *x, const struct certificate_rule *rule, char subject[static IDENTITY_SUBJECT_MAX], size_t *n)
{
	int critical = 0;
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
	struct names names = { 0 };
	enum certificate_outcome o = CERTIFICATE_OK;

	if (san == NULL && critical != -1)	/* malformed, or there twice */
		return CERTIFICATE_UNREADABLE;
	if (san != NULL && !collect(san, &names))
		o = CERTIFICATE_BAD_NAME;
	else if (names.n_uris > 1)
		o = CERTIFICATE_AMBIGUOUS;
	else if (names.n_uris == 1 && (names.uri.n > IDENTITY_SUBJECT_MAX || !certificate_is_spiffe_id(names.uri)))
		o = CERTIFICATE_BAD_SPIFFE_ID;
	else if (names.n_uris == 1)
		memcpy(subject, names.uri.p, *n = names.uri.n);
	else
		o = rule->subject == CERTIFICATE_SUBJECT_CN ? from_cn(x, subject, n) : from_san(&names, subject, n);
	GENERAL_NAMES_free(san);
	return o;
}

bool
certificate_end(const STACK_OF(X509) *chain, int64_t *out)
{
	*out = 0;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		int64_t end;

		if (!seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)), &end)) {
			*out = 0;
			return false;
		}
		if (i == 0 || end < *out)
			*out = end;
	}
	return *out != 0;
}

enum certificate_outcome
certificate_identity(X509 *x, const struct certificate_rule *rule, const struct span *names, size_t n_names,
    const struct identity **out)
{
	struct span groups[CERTIFICATE_GROUPS_MAX];
	char subject[IDENTITY_SUBJECT_MAX];
	struct identity who = { .type = PRINCIPAL_CERT, .issuer = span_of(rule->issuer), .groups = groups,
		.names = names, .n_names = n_names };
	enum certificate_outcome o;
	size_t n = 0;

	*out = NULL;
	if ((X509_get_extension_flags(x) & EXFLAG_INVALID) != 0 ||
	    !seconds_of(X509_get0_notBefore(x), &who.issued_at) || !seconds_of(X509_get0_notAfter(x), &who.expires_at))
		o = CERTIFICATE_UNREADABLE;
	else if (is_ca(x))
		o = CERTIFICATE_IS_CA;
	else
		o = read_subject(x, rule, subject, &n);
	if (o == CERTIFICATE_OK && !read_groups(x, rule->groups, groups, &who.n_groups))
		o = CERTIFICATE_BAD_GROUP;
	ERR_clear_error();	/* what could not be parsed left words for whoever asks OpenSSL next */
	if (o != CERTIFICATE_OK)
		return o;
	who.subject = (struct span){ subject, n };
	if (!identity_name_ok(who.subject, IDENTITY_SUBJECT_MAX))
		return CERTIFICATE_BAD_NAME;
	for (size_t i = 0; i < who.n_groups; i++)
		if (!identity_name_ok(groups[i], IDENTITY_NAME_MAX))
			return CERTIFICATE_BAD_GROUP;
	*out = identity_new(&who);
	return *out == NULL ? CERTIFICATE_NO_MEMORY : CERTIFICATE_OK;
}
