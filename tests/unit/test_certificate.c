/*
 * test_certificate.c - client certificates to identities: which bytes name somebody, and which name nobody.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <time.h>

#include "gateway/identity/certificate.h"
#include "tests/unit/certificates.h"
#include "tests/unit/check.h"

#define T(lit)		{ lit, sizeof(lit) - 1 }
#define URI(lit)	{ GEN_URI, T(lit) }
#define DNS(lit)	{ GEN_DNS, T(lit) }
#define MAIL(lit)	{ GEN_EMAIL, T(lit) }
#define IP(lit)		{ GEN_IPADD, T(lit) }
#define UTF8(lit)	{ V_ASN1_UTF8STRING, T(lit) }
#define IA5(lit)	{ V_ASN1_IA5STRING, T(lit) }
#define X16(s)		s s s s s s s s s s s s s s s s
#define SAN		.rule = { "mtls", CERTIFICATE_SUBJECT_SAN, CERTIFICATE_GROUPS_NONE }
#define CN		.rule = { "mtls", CERTIFICATE_SUBJECT_CN, CERTIFICATE_GROUPS_NONE }
#define WITH_OU		.rule = { "mtls", CERTIFICATE_SUBJECT_SAN, CERTIFICATE_GROUPS_OU }
#define WITH_O		.rule = { "mtls", CERTIFICATE_SUBJECT_SAN, CERTIFICATE_GROUPS_O }
#define IS(text)	CERTIFICATE_OK, text
#define NOT(why)	CERTIFICATE_##why, NULL

static const struct {
	const char *name;
	struct certificate_spec spec;
	struct certificate_rule rule;
	enum certificate_outcome outcome;
	const char *subject;
	const char *groups;	/* joined by | */
} rows[] = {
	/* SPIFFE */
	{ "spiffe", { .sans = { URI("spiffe://prod.test/ns/web/sa/push") } }, SAN, IS("spiffe://prod.test/ns/web/sa/push"), "" },
	{ "spiffe before dns", { .sans = { DNS("a.test"), URI("spiffe://td/x"), DNS("b.test") } }, SAN, IS("spiffe://td/x"), "" },
	{ "spiffe before cn", { .sans = { URI("spiffe://td/x") }, .cns = { UTF8("ci") } }, CN, IS("spiffe://td/x"), "" },
	{ "spiffe with an address", { .sans = { URI("spiffe://td/x"), IP("\x7f\0\0\1") } }, SAN, IS("spiffe://td/x"), "" },
	{ "spiffe of 255 bytes", { .sans = { URI("spiffe://td/" X16("abcdefghijklmno") "abc") } }, SAN,
	    IS("spiffe://td/" X16("abcdefghijklmno") "abc"), "" },
	{ "spiffe of 256 bytes", { .sans = { URI("spiffe://td/" X16("abcdefghijklmno") "abcd") } }, SAN, NOT(BAD_SPIFFE_ID), "" },
	{ "two uris", { .sans = { URI("spiffe://td/x"), URI("spiffe://td/y") } }, SAN, NOT(AMBIGUOUS), "" },
	{ "the same uri twice", { .sans = { URI("spiffe://td/x"), URI("spiffe://td/x") } }, SAN, NOT(AMBIGUOUS), "" },
	{ "spiffe and another uri", { .sans = { URI("spiffe://td/x"), URI("https://a.test/") } }, SAN, NOT(AMBIGUOUS), "" },
	{ "another uri", { .sans = { URI("https://a.test/x"), DNS("a.test") } }, SAN, NOT(BAD_SPIFFE_ID), "" },
	{ "uri with NUL", { .sans = { URI("spiffe://td/ci\0.evil") } }, SAN, NOT(BAD_SPIFFE_ID), "" },
	{ "uri with NUL at the end", { .sans = { URI("spiffe://td/ci\0") } }, SAN, NOT(BAD_SPIFFE_ID), "" },
	{ "empty uri", { .sans = { URI("") } }, SAN, NOT(BAD_SPIFFE_ID), "" },
	/* one DNS name or mail address */
	{ "dns", { .sans = { DNS("push.ci.test") } }, SAN, IS("push.ci.test"), "" },
	{ "dns, upper case", { .sans = { DNS("Push.CI.test") } }, SAN, IS("push.ci.test"), "" },
	{ "dns and address", { .sans = { DNS("push.ci.test"), IP("\x7f\0\0\1") } }, SAN, IS("push.ci.test"), "" },
	{ "mail", { .sans = { MAIL("Ann.O@Ci.Test") } }, SAN, IS("Ann.O@ci.test"), "" },
	{ "two dns", { .sans = { DNS("a.test"), DNS("b.test") } }, SAN, NOT(AMBIGUOUS), "" },
	{ "dns and mail", { .sans = { DNS("a.test"), MAIL("a@b.test") } }, SAN, NOT(AMBIGUOUS), "" },
	{ "address only", { .sans = { IP("\x7f\0\0\1") } }, SAN, NOT(NAMELESS), "" },
	{ "nothing", { .cns = { UTF8("ci") } }, SAN, NOT(NAMELESS), "" },
	{ "dns with NUL", { .sans = { DNS("good.test\0.evil.test") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns wildcard", { .sans = { DNS("*.test") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns with dot at the end", { .sans = { DNS("a.test.") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns with an empty label", { .sans = { DNS("a..test") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns with a slash", { .sans = { DNS("a/b") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns with a line feed", { .sans = { DNS("a.test\n") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns beyond ASCII", { .sans = { DNS("b\xc3\xbc" "cher.test") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns empty", { .sans = { DNS("") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns label of 64", { .sans = { DNS(X16("abcd") ".test") } }, SAN, NOT(BAD_NAME), "" },
	{ "dns of 254", { .sans = { DNS(X16("abcdefg.abcdef.") "abcdefghijklm.") } }, SAN, NOT(BAD_NAME), "" },
	{ "mail with NUL", { .sans = { MAIL("ann@ci.test\0") } }, SAN, NOT(BAD_NAME), "" },
	{ "mail with two @", { .sans = { MAIL("ann@ci@test") } }, SAN, NOT(BAD_NAME), "" },
	{ "mail without domain", { .sans = { MAIL("ann@") } }, SAN, NOT(BAD_NAME), "" },
	{ "mail without local part", { .sans = { MAIL("@ci.test") } }, SAN, NOT(BAD_NAME), "" },
	{ "mail quoted", { .sans = { MAIL("\"a b\"@ci.test") } }, SAN, NOT(BAD_NAME), "" },
	/* the common name */
	{ "cn", { .cns = { UTF8("ci bot") } }, CN, IS("ci bot"), "" },
	{ "cn printable", { .cns = { { V_ASN1_PRINTABLESTRING, T("ci") } } }, CN, IS("ci"), "" },
	{ "cn in UTF-8", { .cns = { UTF8("J\xc3\xbcrgen") } }, CN, IS("J\xc3\xbcrgen"), "" },
	{ "cn beside dns names", { .cns = { UTF8("ci") }, .sans = { DNS("a.test"), DNS("b.test") } }, CN, IS("ci"), "" },
	{ "cn without", { .ous = { UTF8("x") } }, CN, NOT(NAMELESS), "" },
	{ "cn without, dns there", { .sans = { DNS("a.test") } }, CN, NOT(NAMELESS), "" },
	{ "two cns", { .cns = { UTF8("ci"), UTF8("admin") } }, CN, NOT(AMBIGUOUS), "" },
	{ "cn with NUL", { .cns = { UTF8("admin\0x") } }, CN, NOT(BAD_NAME), "" },
	{ "cn with a control character", { .cns = { UTF8("ci\x1b[2J") } }, CN, NOT(BAD_NAME), "" },
	{ "cn with DEL", { .cns = { UTF8("ci\x7f") } }, CN, NOT(BAD_NAME), "" },
	{ "cn with a C1 control", { .cns = { UTF8("ci\xc2\x85") } }, CN, NOT(BAD_NAME), "" },
	/* in a UTF8String these are refused by OpenSSL, with the whole certificate */
	{ "cn not UTF-8", { .cns = { IA5("ci\xff") } }, CN, NOT(BAD_NAME), "" },
	{ "cn overlong UTF-8", { .cns = { IA5("ci\xc0\xaf") } }, CN, NOT(BAD_NAME), "" },
	{ "cn cut UTF-8", { .cns = { IA5("ci\xc3") } }, CN, NOT(BAD_NAME), "" },
	{ "cn surrogate", { .cns = { IA5("ci\xed\xa0\x80") } }, CN, NOT(BAD_NAME), "" },
	{ "cn written from right to left", { .cns = { UTF8("ci\xe2\x80\xae" "x") } }, CN, NOT(BAD_NAME), "" },
	{ "cn zero width", { .cns = { UTF8("ci\xe2\x80\x8b") } }, CN, NOT(BAD_NAME), "" },
	{ "cn with a blank before", { .cns = { UTF8(" ci") } }, CN, NOT(BAD_NAME), "" },
	{ "cn with a blank behind", { .cns = { UTF8("ci ") } }, CN, NOT(BAD_NAME), "" },
	{ "cn that plays a spiffe id", { .cns = { UTF8("spiffe://td/admin") } }, CN, NOT(BAD_NAME), "" },
	{ "cn in UTF-16", { .cns = { { V_ASN1_BMPSTRING, T("\0c\0i") } } }, CN, NOT(BAD_NAME), "" },
	{ "cn in T61", { .cns = { { V_ASN1_T61STRING, T("ci") } } }, CN, NOT(BAD_NAME), "" },
	/* whose certificate */
	{ "a leaf that says so", { .sans = { DNS("a.test") }, .constraints = "critical,CA:FALSE", .usage = "digitalSignature" }, SAN,
	    IS("a.test"), "" },
	{ "a CA", { .sans = { URI("spiffe://td/x") }, .constraints = "critical,CA:TRUE" }, SAN, NOT(IS_CA), "" },
	{ "a key that signs certificates", { .sans = { URI("spiffe://td/x") }, .usage = "digitalSignature,keyCertSign" }, SAN,
	    NOT(IS_CA), "" },
	{ "a key that signs revocations", { .sans = { URI("spiffe://td/x") }, .usage = "digitalSignature,cRLSign" }, SAN,
	    NOT(IS_CA), "" },
	{ "SAN there twice", { .sans = { DNS("a.test") }, .two_sans = true }, SAN, NOT(UNREADABLE), "" },
	{ "SAN there twice, by cn", { .sans = { DNS("a.test") }, .cns = { UTF8("ci") }, .two_sans = true }, CN, NOT(UNREADABLE), "" },
	{ "SAN malformed", { .cns = { UTF8("ci") }, .broken_san = true }, CN, NOT(UNREADABLE), "" },
	/* groups */
	{ "groups from OU", { .sans = { DNS("a.test") }, .ous = { UTF8("dev"), UTF8("ops") }, .os = { UTF8("corp") } }, WITH_OU,
	    IS("a.test"), "dev|ops" },
	{ "groups from O", { .sans = { DNS("a.test") }, .ous = { UTF8("dev") }, .os = { UTF8("corp & co") } }, WITH_O, IS("a.test"),
	    "corp & co" },
	{ "groups not asked for", { .sans = { DNS("a.test") }, .ous = { UTF8("dev\n") } }, SAN, IS("a.test"), "" },
	{ "no groups", { .sans = { DNS("a.test") } }, WITH_OU, IS("a.test"), "" },
	{ "group with NUL", { .sans = { DNS("a.test") }, .ous = { UTF8("admin\0") } }, WITH_OU, NOT(BAD_GROUP), "" },
	{ "group with a line feed", { .sans = { DNS("a.test") }, .ous = { UTF8("dev"), UTF8("a\nb") } }, WITH_OU, NOT(BAD_GROUP), "" },
	{ "64 groups", { .sans = { DNS("a.test") }, .many_ous = 64 }, WITH_OU, IS("a.test"), NULL },
	{ "65 groups", { .sans = { DNS("a.test") }, .many_ous = 65 }, WITH_OU, NOT(BAD_GROUP), "" },
};

static EVP_PKEY *key;

static bool
groups_are(const struct identity *who, const char *joined)
{
	char text[1024];
	size_t n = 0;

	for (size_t i = 0; i < who->n_groups; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i > 0 ? "|" : "", SPAN_FMT(who->groups[i]));
	text[n] = '\0';
	return strcmp(text, joined) == 0;
}

static void
check_row(size_t i)
{
	X509 *x = certificate_make(&rows[i].spec, key, NULL, NULL);
	const struct identity *who = NULL;
	enum certificate_outcome o = certificate_identity(x, &rows[i].rule, NULL, 0, &who);
	int64_t now = time(NULL);

	if (!CHECK_ROW(o == rows[i].outcome, rows[i].name))
		fprintf(stderr, "    it was %s\n", certificate_outcome_symbol(o));
	CHECK_ROW((o == CERTIFICATE_OK) == (who != NULL), rows[i].name);
	if (who != NULL && rows[i].subject != NULL) {
		CHECK_ROW(span_eq(who->subject, span_of(rows[i].subject)), rows[i].name);
		CHECK_ROW(span_eq(who->issuer, SPAN("mtls")) && who->type == PRINCIPAL_CERT && who->claims == NULL, rows[i].name);
		CHECK_ROW(who->issued_at <= now - 3600 && who->expires_at >= now + 3590, rows[i].name);
		CHECK_ROW(who->n_ids == 2 + who->n_groups && span_eq(who->ids[0], SPAN("issuer:mtls")) &&
		    span_starts(who->ids[1], SPAN("subject:mtls/")) && span_ends(who->ids[1], who->subject), rows[i].name);
		if (rows[i].groups != NULL)
			CHECK_ROW(groups_are(who, rows[i].groups), rows[i].name);
		else
			CHECK_ROW(who->n_groups == 64, rows[i].name);
	}
	identity_unref(who);
	X509_free(x);
}

static const struct {
	struct span text;
	bool good;
} spiffe[] = {
	{ T("spiffe://td/a"), true },
	{ T("spiffe://td/a/b"), true },
	{ T("spiffe://a-b_c.d9/A.B-C_9"), true },
	{ T("spiffe://td/..."), true },
	{ T("spiffe://1.2.3.4/x"), true },
	{ T("spiffe://td"), false },
	{ T("spiffe://td/"), false },
	{ T("spiffe://td/a/"), false },
	{ T("spiffe://td//a"), false },
	{ T("spiffe://td/a//b"), false },
	{ T("spiffe://td/."), false },
	{ T("spiffe://td/a/../b"), false },
	{ T("spiffe://"), false },
	{ T("spiffe:///a"), false },
	{ T("spiffe:/td/a"), false },
	{ T("SPIFFE://td/a"), false },
	{ T("Spiffe://td/a"), false },
	{ T("https://td/a"), false },
	{ T(" spiffe://td/a"), false },
	{ T("spiffe://TD/a"), false },
	{ T("spiffe://td:8443/a"), false },
	{ T("spiffe://user@td/a"), false },
	{ T("spiffe://t d/a"), false },
	{ T("spiffe://td/a?b"), false },
	{ T("spiffe://td/a#b"), false },
	{ T("spiffe://td/a%2fb"), false },
	{ T("spiffe://td/a*"), false },
	{ T("spiffe://td/\xc3\xa4"), false },
	{ T("spiffe://td/a\0b"), false },
	{ T("spiffe://t\0d/a"), false },
	{ T(""), false },
	{ T("spiffe://" X16("abcdefghijklmno.") "/a"), false },	/* 256 bytes of trust domain */
};

int
main(void)
{
	key = EVP_EC_gen("P-256");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(i);
	for (size_t i = 0; i < sizeof spiffe / sizeof *spiffe; i++)
		CHECK_ROW(certificate_is_spiffe_id(spiffe[i].text) == spiffe[i].good, spiffe[i].text.p);
	EVP_PKEY_free(key);
	return check_done();
}
