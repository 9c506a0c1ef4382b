/*
 * test_authn.c - Authorization to identity, and what is remembered of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/identity/authn.h"
#include "tests/unit/check.h"
#include "tests/unit/signer.h"

#define NOW 1700000000

static EVP_PKEY *key;
static char token[SIGNER_MAX], bearer[SIGNER_MAX], basic[SIGNER_MAX];

static struct issuer_table *
table(uint32_t generation)
{
	static const char *const audiences[] = { "gw" };
	struct issuer_rule rule = { .alias = "a", .url = "https://a", .audiences = audiences, .n_audiences = 1,
		.algorithms = 1u << JWS_ES256, .leeway = 60 };
	struct issuer_table *t = issuer_table_new(generation);
	char jwk[1024], text[2048], err[256];

	signer_jwk(key, "", jwk, sizeof jwk);
	snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
	rule.keys = keyset_parse(text, strlen(text), err, sizeof err);
	CHECK(rule.keys != NULL && issuer_table_add(t, &rule));
	return t;
}

static void
encode_basic(const char *credentials, size_t n, char *out)
{
	memcpy(out, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *)out + 6, (const unsigned char *)credentials, (int)n);
}

static enum refuse
ask(struct authn *a, const struct issuer_table *t, const char *field, int64_t now, int64_t grace, struct authn_result *out)
{
	const struct authn_ask q = { .issuers = t, .now = now, .grace = grace, .cache_s = 300 };
	enum refuse why = authn_identify(a, &q, span_of(field), out);

	CHECK((why == REFUSE_NONE) == (out->who != NULL));
	return why;
}

/* Asked once; the identity is given back. */
static enum refuse
once(struct authn *a, const struct issuer_table *t, const char *field, int64_t now, int64_t grace)
{
	struct authn_result r;
	enum refuse why = ask(a, t, field, now, grace, &r);

	identity_unref(r.who);
	return why;
}

static int64_t
count(const struct metrics *m, enum metric which)
{
	return atomic_load(&m->value[which]);
}

static void
test_forms(struct authn *a, const struct issuer_table *t)
{
	static const struct {
		const char *field;
		enum refuse want;
	} rows[] = {
		{ "Bearer", REFUSE_BAD_CREDENTIALS }, { "Bearer ", REFUSE_BAD_CREDENTIALS }, { "Bearer x", REFUSE_BAD_TOKEN },
		{ "Digest x", REFUSE_BAD_CREDENTIALS }, { "Basic", REFUSE_BAD_CREDENTIALS }, { "Basic ", REFUSE_BAD_CREDENTIALS },
		{ "Basic !!!!", REFUSE_BAD_CREDENTIALS }, { "Basic eA==", REFUSE_BAD_CREDENTIALS },	/* x */
		{ "Basic eDo=", REFUSE_BAD_CREDENTIALS },	/* x: */
		{ "Basic eDp5", REFUSE_BAD_TOKEN },	/* x:y */
		{ "Basic Og==", REFUSE_NONE },	/* : */
		{ "Basic Oh==", REFUSE_BAD_CREDENTIALS },	/* : with a bit that is not 0 */
		{ "Basic Og", REFUSE_BAD_CREDENTIALS }, { "Basic Og=", REFUSE_BAD_CREDENTIALS }, { "Basic =Og=", REFUSE_BAD_CREDENTIALS },
		{ "Basic Og==Og==", REFUSE_BAD_CREDENTIALS }, { "basic og==", REFUSE_BAD_CREDENTIALS }, { "", REFUSE_BAD_CREDENTIALS },
		{ "Negotiate abc", REFUSE_BAD_CREDENTIALS }, { "BearerX", REFUSE_BAD_CREDENTIALS },
	};
	struct authn_result r;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		CHECK_ROW(once(a, t, rows[i].field, NOW, 0) == rows[i].want, rows[i].field);
	CHECK(ask(a, t, NULL, NOW, 0, &r) == REFUSE_NONE && r.who == identity_anonymous());
	CHECK(ask(a, t, "basic Og==", NOW, 0, &r) == REFUSE_NONE && r.who == identity_anonymous());
	CHECK(ask(a, t, bearer, NOW, 0, &r) == REFUSE_NONE && span_eq(r.who->subject, SPAN("ci")) && strcmp(r.method, "bearer") == 0);
	identity_unref(r.who);
	CHECK(ask(a, t, basic, NOW, 0, &r) == REFUSE_NONE && span_eq(r.who->subject, SPAN("ci")) && strcmp(r.method, "basic") == 0);
	identity_unref(r.who);
}

static void
test_cache(const struct issuer_table *t)
{
	struct metrics m = { 0 };
	struct authn *a = authn_new(&m);
	struct issuer_table *newer = table(2);
	char bad[SIGNER_MAX];

	CHECK(once(a, t, bearer, NOW, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_VERIFIED) == 1);
	CHECK(once(a, t, bearer, NOW + 1, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_HITS) == 1);
	CHECK(once(a, t, basic, NOW + 1, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_HITS) == 2);	/* the same token */
	CHECK(once(a, t, bearer, NOW + 299, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_HITS) == 3);
	CHECK(once(a, t, bearer, NOW + 300, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_VERIFIED) == 2);
	/* another table of issuers: nothing of the old one counts */
	CHECK(once(a, newer, bearer, NOW + 301, 0) == REFUSE_NONE && count(&m, METRIC_TOKEN_VERIFIED) == 3);
	/* a hit ends with the token (exp is NOW + 600, leeway 60) */
	CHECK(once(a, t, bearer, NOW + 599, 0) == REFUSE_NONE);
	CHECK(once(a, t, bearer, NOW + 659, 0) == REFUSE_NONE);
	CHECK(once(a, t, bearer, NOW + 660, 0) == REFUSE_BAD_TOKEN);
	/* the refusal is remembered for 5 seconds, and not for those with grace */
	CHECK(once(a, t, bearer, NOW + 661, 100) == REFUSE_NONE);
	CHECK(once(a, t, bearer, NOW + 661, 0) == REFUSE_BAD_TOKEN);
	memcpy(bad, bearer, strlen(bearer) + 1);
	bad[strlen(bad) - 8] = (char)(bad[strlen(bad) - 8] == 'A' ? 'B' : 'A');
	CHECK(once(a, t, bad, NOW, 0) == REFUSE_BAD_TOKEN);
	CHECK(count(&m, METRIC_TOKEN_REFUSED) >= 1);
	for (unsigned i = 0; i < 100; i++)
		CHECK(once(a, t, bad, NOW + 1, 0) == REFUSE_BAD_TOKEN);
	CHECK(count(&m, METRIC_TOKEN_REFUSED) <= 3);
	authn_free(a);
	issuer_table_unref(newer);
}

/* An identity in use outlives its place in the cache, and the cache itself. */
static void
test_references(const struct issuer_table *t)
{
	struct metrics m = { 0 };
	struct authn *a = authn_new(&m);
	struct authn_result r;

	CHECK(ask(a, t, bearer, NOW, 0, &r) == REFUSE_NONE);
	authn_free(a);
	CHECK(span_eq(r.who->subject, SPAN("ci")));
	identity_unref(r.who);
}

static void
test_sizes(struct authn *a, const struct issuer_table *t)
{
	static char big[(TOKEN_MAX + 4096) * 2];
	static char text[TOKEN_MAX + 4096];

	memset(text, 'a', sizeof text);
	memcpy(big, "Bearer ", 7);
	memset(big + 7, 'a', TOKEN_MAX + 1);
	CHECK(once(a, t, big, NOW, 0) == REFUSE_BAD_TOKEN);
	memset(big, 0, sizeof big);
	encode_basic(text, sizeof text, big);
	CHECK(once(a, t, big, NOW, 0) == REFUSE_BAD_CREDENTIALS);
}

int
main(void)
{
	static const char claims[] = "{\"iss\":\"https://a\",\"aud\":\"gw\",\"sub\":\"ci\",\"exp\":1700000600,\"iat\":1700000000}";
	struct metrics m = { 0 };
	struct issuer_table *t;
	struct authn *a;
	char credentials[SIGNER_MAX];
	int n;

	key = EVP_EC_gen("P-256");
	t = table(1);
	a = authn_new(&m);
	signer_token(key, SPAN("{\"alg\":\"ES256\"}"), SPAN(claims), false, token);
	snprintf(bearer, sizeof bearer, "bEaReR %.60000s", token);
	n = snprintf(credentials, sizeof credentials, "any:%.60000s", token);
	encode_basic(credentials, (size_t)n, basic);
	test_forms(a, t);
	test_cache(t);
	test_references(t);
	test_sizes(a, t);
	authn_free(a);
	authn_free(NULL);
	issuer_table_unref(t);
	EVP_PKEY_free(key);
	return check_done();
}
