/*
 * test_keyset.c - key sets: what is refused, what is skipped, which key is found; base64url.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/base64url.h"
#include "policy/jws.h"
#include "tests/unit/check.h"
#include "tests/unit/signer.h"

static char ec[1024], ec_other[1024], rsa[2048], rsa_small[1024];
static char n_2048[512];

/* RFC 7517 appendix A.1: its EC key is for "enc", its RSA key has an alg. */
static const char rfc7517[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},{\"kty\":\"RSA\",\"n\":"
    "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4"
    "Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
    "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\","
    "\"kid\":\"2011-04-29\"}]}";

static size_t
count(const char *text)
{
	char err[512] = "";
	struct keyset *ks = keyset_parse(text, strlen(text), err, sizeof err);
	size_t n = ks == NULL ? SIZE_MAX : keyset_count(ks);

	CHECK((ks == NULL) == (err[0] != '\0'));
	keyset_free(ks);
	return n;
}

/* A document from a pattern: @e, @o, @r, @s are key members (without braces), @n is the modulus. */
static void
fill(const char *pattern, char *out)
{
	for (; *pattern != '\0'; pattern++) {
		const char *key = pattern[0] != '@' ? NULL : pattern[1] == 'e' ? ec : pattern[1] == 'o' ? ec_other :
		    pattern[1] == 'r' ? rsa : pattern[1] == 's' ? rsa_small : n_2048;

		if (key == NULL) {
			*out++ = *pattern;
			continue;
		}
		pattern++;
		if (*pattern == 'n') {
			out = stpcpy(out, key);
		} else {
			memcpy(out, key + 1, strlen(key) - 2);
			out += strlen(key) - 2;
		}
	}
	*out = '\0';
}

#define BAD SIZE_MAX
static const struct {
	const char *pattern;
	size_t want;
} rows[] = {
	{ "{\"keys\":[]}", 0 },
	{ "{\"keys\":[{@e}]}", 1 },
	{ "{\"keys\":[{\"kid\":\"a\",@e},{\"kid\":\"b\",@r}],\"more\":1}", 2 },
	{ "{\"keys\":[{\"kid\":\"a\",@e},{\"kid\":\"a\",@e}]}", 1 },	/* the same key twice */
	{ "{\"keys\":[{@e},{@o}]}", 2 },
	{ "{\"keys\":[{\"use\":\"sig\",\"alg\":\"ES256\",@e}]}", 1 },
	/* for something else: skipped */
	{ "{\"keys\":[{\"use\":\"enc\",@e},{@r}]}", 1 },
	{ "{\"keys\":[{\"use\":1,@e}]}", 0 },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}", 0 },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}]}", 0 },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}]}", 0 },
	{ "{\"keys\":[{\"kty\":\"new\"}]}", 0 },
	{ "{\"keys\":[{\"alg\":\"ES384\",@e}]}", 0 },
	{ "{\"keys\":[{\"alg\":\"RS256\",@e}]}", 0 },
	{ "{\"keys\":[{\"alg\":\"PS256\",@r}]}", 1 },
	{ "{\"keys\":[{\"alg\":\"ES256\",@r}]}", 0 },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 1 },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}]}", BAD },
	{ "{\"keys\":[{\"alg\":\"none\",@r}]}", 0 },
	{ "{\"keys\":[{\"alg\":7,@r}]}", 0 },
	/* no key set */
	{ "", BAD }, { "{}", BAD }, { "[]", BAD }, { "null", BAD }, { "{\"keys\":{}}", BAD }, { "{\"keys\":[1]}", BAD },
	{ "{\"keys\":[[]]}", BAD }, { "{\"keys\":[]}x", BAD }, { "{\"keys\":[],\"keys\":[]}", BAD },
	{ "{\"keys\":[{@e,\"kty\":\"EC\"}]}", BAD },	/* a member twice */
	/* keys that must not be there at all */
	{ "{\"keys\":[{}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"use\":\"enc\"}]}", BAD },
	{ "{\"keys\":[{\"kid\":\"\",@e}]}", BAD },
	{ "{\"keys\":[{\"kid\":1,@e}]}", BAD },
	{ "{\"keys\":[{\"kid\":\"a\",@e},{\"kid\":\"a\",@o}]}", BAD },
	{ "{\"keys\":[{\"kid\":\"a\",@e},{\"kid\":\"a\",@r}]}", BAD },
	{ "{\"keys\":[{@s}]}", BAD },	/* 1024 bits */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQ\"}]}", BAD },	/* 1 */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"Ag\"}]}", BAD },	/* 2 */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQAA\"}]}", BAD },	/* even */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AAEAAQ\"}]}", BAD },	/* leading zero */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQABAQABAQABAQAB\"}]}", BAD },	/* 12 bytes */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@n=\",\"e\":\"AQAB\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"@nAA\",\"e\":\"AQAB\"}]}", BAD },	/* even */
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AA@n\",\"e\":\"AQAB\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":1,\"e\":\"AQAB\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", BAD },
	/* 32 bytes each, and not on the curve; the point 0,0 */
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	  "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
	  "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}", BAD },
	{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	  "\"y\":\"AMf8Rc0bvZt-hyzf7brnvPSzaV1uqQskrYpGIyiFiOWt\"}]}", BAD },	/* 33 bytes */
};

static void
test_rows(void)
{
	static char text[1 << 16];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		fill(rows[i].pattern, text);
		CHECK_ROW(count(text) == rows[i].want, rows[i].pattern);
	}
	CHECK(count(rfc7517) == 1);
}

static void
test_bounds(void)
{
	static char text[(1 << 20) + 64];
	char err[256];
	size_t n = 0;

	for (unsigned keys = 64; keys <= 65; keys++) {
		n = (size_t)snprintf(text, sizeof text, "{\"keys\":[");
		for (unsigned i = 0; i < keys; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? "," : "", ec);
		snprintf(text + n, sizeof text - n, "]}");
		CHECK(count(text) == (keys == 64 ? 64 : BAD));
	}
	memset(text, ' ', sizeof text);
	memcpy(text, "{\"keys\":[]}", 11);
	CHECK(keyset_parse(text, (1 << 20) + 1, err, sizeof err) == NULL);
	keyset_free(NULL);
}

static void
test_find(void)
{
	static char text[1 << 16];
	static const struct {
		const char *kid;
		enum jws_alg alg;
		int want;	/* index of the key; -1: none */
	} finds[] = { { "a", JWS_ES256, 0 }, { "b", JWS_RS256, 1 }, { "a", JWS_RS256, -1 }, { "c", JWS_ES256, -1 },
		{ "A", JWS_ES256, -1 }, { "", JWS_ES256, -1 }, { NULL, JWS_RS256, 1 }, { NULL, JWS_ES256, -1 },
		{ "a", JWS_ALG_NONE, -1 }, { NULL, JWS_ALG_NONE, -1 } };
	char err[256];
	struct keyset *ks;

	fill("{\"keys\":[{\"kid\":\"a\",@e},{\"kid\":\"b\",@r},{@o}]}", text);
	ks = keyset_parse(text, strlen(text), err, sizeof err);
	for (size_t i = 0; ks != NULL && i < sizeof finds / sizeof *finds; i++) {
		const struct jwk *k = keyset_find(ks, span_of(finds[i].kid), finds[i].alg);

		CHECK(k == (finds[i].want < 0 ? NULL : &ks->keys[finds[i].want]));
	}
	CHECK(ks != NULL);
	keyset_free(ks);
}

static void
test_base64url(void)
{
	static const char *const bad[] = { "A", "AAAAA", "AA=", "AA==", "+A", "/A", "A A", "AB", "AAB", "A\n", "\xc3\xa9", "AA.A" };
	unsigned char in[64], out[128];
	char text[128];
	size_t n;

	for (size_t len = 0; len <= sizeof in; len++) {
		for (size_t i = 0; i < len; i++)
			in[i] = (unsigned char)(i * 37 + len * 11);
		n = base64url_encode(in, len, text);
		CHECK(n <= BASE64URL_ENCODED(len) && base64url_decode((struct span){ text, n }, out, &n));
		CHECK(n == len && memcmp(in, out, len) == 0);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ROW(!base64url_decode(span_of(bad[i]), out, &n), bad[i]);
	CHECK(base64url_decode(SPAN("-_8"), out, &n) && n == 2 && out[0] == 0xfb && out[1] == 0xff);
}

static void
test_issuers(void)
{
	static const char *const audiences[] = { "registry.test" };
	static const struct {
		const char *name, *alias, *url;
		size_t n_audiences;
		unsigned algorithms;
		bool keys, ok;
	} adds[] = {
		{ "first", "a", "https://a", 1, 1u << JWS_RS256, true, true },
		{ "the alias again", "a", "https://b", 1, 1u << JWS_RS256, true, false },
		{ "the url again", "b", "https://a", 1, 1u << JWS_RS256, true, false },
		{ "no audience", "b", "https://b", 0, 1u << JWS_RS256, true, false },
		{ "no algorithm", "b", "https://b", 1, 0, true, false },
		{ "only none", "b", "https://b", 1, 1u << JWS_ALG_NONE, true, false },
		{ "no keys yet", "c", "https://c", 1, 1u << JWS_RS256, false, true },
		{ "second", "b", "https://b", 1, 1u << JWS_EdDSA, true, true },
	};
	struct issuer_table *t = issuer_table_new(7);
	char err[256];

	for (size_t i = 0; i < sizeof adds / sizeof *adds; i++) {
		struct keyset *ks = adds[i].keys ? keyset_parse(rfc7517, sizeof rfc7517 - 1, err, sizeof err) : NULL;
		struct issuer_rule rule = { .alias = adds[i].alias, .url = adds[i].url, .audiences = audiences,
			.n_audiences = adds[i].n_audiences, .algorithms = adds[i].algorithms, .keys = ks };

		CHECK_ROW(issuer_table_add(t, &rule) == adds[i].ok, adds[i].name);
		if (!adds[i].ok)
			keyset_free(ks);	/* taken over on success only */
	}
	CHECK(issuer_table_count(t) == 3 && issuer_table_generation(t) == 7);
	CHECK(issuer_table_vouches(t, SPAN("a"), SPAN("2011-04-29")) && !issuer_table_vouches(t, SPAN("a"), SPAN("1")));
	CHECK(!issuer_table_vouches(t, SPAN("c"), SPAN("2011-04-29")) && !issuer_table_vouches(t, SPAN("b"), SPAN("2011-04-29")));
	issuer_table_unref(issuer_table_ref(t));
	CHECK(issuer_table_count(t) == 3);
	issuer_table_unref(t);
	issuer_table_unref(NULL);
}

int
main(void)
{
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-256"), *r = EVP_RSA_gen(2048), *s = EVP_RSA_gen(1024);

	signer_jwk(a, "", ec, sizeof ec);
	signer_jwk(b, "", ec_other, sizeof ec_other);
	signer_jwk(r, "", rsa, sizeof rsa);
	signer_jwk(s, "", rsa_small, sizeof rsa_small);
	signer_number(r, OSSL_PKEY_PARAM_RSA_N, 0, n_2048);
	test_rows();
	test_bounds();
	test_find();
	test_base64url();
	test_issuers();
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	EVP_PKEY_free(r);
	EVP_PKEY_free(s);
	return check_done();
}
