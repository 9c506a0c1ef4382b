/*
 * test_issuer.c - what issuers are like: presets, required claims, quirks, discovery documents.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/issuer.h"
#include "policy/preset.h"
#include "tests/unit/check.h"
#include "tests/unit/signer.h"

#define NOW 1700000000

static EVP_PKEY *key;

static struct keyset *
keys_for(const char *use, const char *more)
{
	char jwk[1024], text[2048], err[256];

	signer_jwk(key, more, jwk, sizeof jwk);
	snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
	return keyset_parse_for(use, text, strlen(text), err, sizeof err);
}

/* "a=b c" in place to claims; how many. */
static size_t
claims_of(char *text, struct issuer_claim out[static 8])
{
	size_t n = 0;

	for (char *save = NULL, *w = strtok_r(text, " ", &save); w != NULL && n < 8; w = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(w, '=');

		if (equals != NULL)
			*equals = '\0';
		out[n++] = (struct issuer_claim){ w, equals == NULL ? NULL : equals + 1 };
	}
	return n;
}

/* ---- tokens against one issuer ---- */

struct row {
	const char *required;
	unsigned quirks;
	const char *claims;	/* besides iss, aud and exp, unless they are in `whole` */
	enum token_outcome outcome;
	const char *header, *whole;
	bool groups_unknown;
};

static const struct row tokens[] = {
	{ "", 0, "\"sub\":\"a\"", TOKEN_OK, NULL, NULL, false },
	/* required claims */
	{ "x", 0, "\"sub\":\"a\"", TOKEN_CLAIM, NULL, NULL, false },
	{ "x", 0, "\"sub\":\"a\",\"x\":null", TOKEN_CLAIM, NULL, NULL, false },
	{ "x", 0, "\"sub\":\"a\",\"x\":\"\"", TOKEN_OK, NULL, NULL, false },
	{ "x=1", 0, "\"sub\":\"a\",\"x\":\"1\"", TOKEN_OK, NULL, NULL, false },
	{ "x=1", 0, "\"sub\":\"a\",\"x\":1", TOKEN_OK, NULL, NULL, false },
	{ "x=1", 0, "\"sub\":\"a\",\"x\":1.0", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=1", 0, "\"sub\":\"a\",\"x\":\"12\"", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=true", 0, "\"sub\":\"a\",\"x\":true", TOKEN_OK, NULL, NULL, false },
	{ "x=true", 0, "\"sub\":\"a\",\"x\":\"true\"", TOKEN_OK, NULL, NULL, false },
	{ "x=true", 0, "\"sub\":\"a\",\"x\":false", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=b", 0, "\"sub\":\"a\",\"x\":[\"a\",\"b\"]", TOKEN_OK, NULL, NULL, false },
	{ "x=c", 0, "\"sub\":\"a\",\"x\":[\"a\",\"b\"]", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=b", 0, "\"sub\":\"a\",\"x\":[[\"b\"]]", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=b", 0, "\"sub\":\"a\",\"x\":{\"b\":\"b\"}", TOKEN_CLAIM, NULL, NULL, false },
	{ "x=ab*", 0, "\"sub\":\"a\",\"x\":\"abc\"", TOKEN_OK, NULL, NULL, false },
	{ "x=ab*", 0, "\"sub\":\"a\",\"x\":\"a\"", TOKEN_CLAIM, NULL, NULL, false },
	{ "kubernetes.io.namespace=ns", 0, "\"sub\":\"a\",\"kubernetes.io\":{\"namespace\":\"ns\"}", TOKEN_OK, NULL, NULL, false },
	{ "kubernetes.io.namespace", 0, "\"sub\":\"a\",\"kubernetes.io/serviceaccount/namespace\":\"ns\"", TOKEN_CLAIM, NULL, NULL, false },
	{ "a.b", 0, "\"sub\":\"a\",\"a\":{\"b\":1},\"a.b\":1", TOKEN_CLAIM, NULL, NULL, false },	/* two ways to read it */
	{ "x y=2", 0, "\"sub\":\"a\",\"x\":1", TOKEN_CLAIM, NULL, NULL, false },
	{ "x y=2", 0, "\"sub\":\"a\",\"x\":1,\"y\":2", TOKEN_OK, NULL, NULL, false },
	/* Cognito */
	{ "", 0, NULL, TOKEN_AUDIENCE, NULL, "{\"iss\":\"https://a\",\"client_id\":\"gw\",\"exp\":1700000600,\"sub\":\"a\"}", false },
	{ "", ISSUER_CLIENT_ID, NULL, TOKEN_OK, NULL, "{\"iss\":\"https://a\",\"client_id\":\"gw\",\"exp\":1700000600,\"sub\":\"a\"}", false },
	{ "", ISSUER_CLIENT_ID, NULL, TOKEN_AUDIENCE, NULL,
	    "{\"iss\":\"https://a\",\"client_id\":\"no\",\"exp\":1700000600,\"sub\":\"a\"}", false },
	{ "", ISSUER_CLIENT_ID, NULL, TOKEN_AUDIENCE, NULL, "{\"iss\":\"https://a\",\"exp\":1700000600,\"sub\":\"a\"}", false },
	{ "", ISSUER_CLIENT_ID, NULL, TOKEN_AUDIENCE, NULL,
	    "{\"iss\":\"https://a\",\"aud\":\"no\",\"client_id\":\"gw\",\"exp\":1700000600,\"sub\":\"a\"}", false },
	/* an address that was not verified is not there, for whoever requires one either */
	{ "email=e", ISSUER_EMAIL, "\"sub\":\"a\",\"email\":\"e\",\"email_verified\":false", TOKEN_CLAIM, NULL, NULL, false },
	{ "email=e", ISSUER_EMAIL, "\"sub\":\"a\",\"email\":\"e\"", TOKEN_CLAIM, NULL, NULL, false },
	{ "email=e", ISSUER_EMAIL, "\"sub\":\"a\",\"email\":\"e\",\"email_verified\":true", TOKEN_OK, NULL, NULL, false },
	/* groups that are elsewhere */
	{ "", 0, "\"sub\":\"a\",\"_claim_names\":{\"groups\":\"src1\"}", TOKEN_OK, NULL, NULL, true },
	{ "", 0, "\"sub\":\"a\",\"_claim_names\":{\"roles\":\"src1\"}", TOKEN_OK, NULL, NULL, false },
	{ "", 0, "\"sub\":\"a\",\"_claim_names\":[]", TOKEN_OK, NULL, NULL, true },
	{ "", 0, "\"sub\":\"a\",\"hasgroups\":true", TOKEN_OK, NULL, NULL, true },
	{ "", 0, "\"sub\":\"a\",\"hasgroups\":false", TOKEN_OK, NULL, NULL, false },
	/* SPIFFE: no iss, typ JOSE */
	{ "", ISSUER_SPIFFE, NULL, TOKEN_OK, NULL, "{\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"spiffe://dom/x\"}", false },
	{ "", ISSUER_SPIFFE, NULL, TOKEN_ISSUER_UNKNOWN, NULL, "{\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"spiffe://dom2/x\"}", false },
	{ "", ISSUER_SPIFFE, NULL, TOKEN_ISSUER_UNKNOWN, NULL, "{\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"spiffe://dom\"}", false },
	{ "", ISSUER_SPIFFE, NULL, TOKEN_ISSUER_UNKNOWN, NULL, "{\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"https://a/x\"}", false },
	{ "", ISSUER_SPIFFE, NULL, TOKEN_ISSUER_UNKNOWN, NULL,
	    "{\"iss\":null,\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"spiffe://dom/x\"}", false },
	{ "", 0, NULL, TOKEN_ISSUER_UNKNOWN, NULL, "{\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"spiffe://dom/x\"}", false },
	{ "", ISSUER_SPIFFE, "\"sub\":\"a\"", TOKEN_OK, "{\"alg\":\"ES256\",\"typ\":\"JOSE\"}", NULL, false },
	{ "", 0, "\"sub\":\"a\"", TOKEN_BAD_HEADER, "{\"alg\":\"ES256\",\"typ\":\"JOSE\"}", NULL, false },
};

static void
verify_row(const struct row *row, char *name, size_t size)
{
	static const char *const audiences[] = { "gw" };
	struct issuer_claim required[8];
	char text[256], payload[1024], token[4096];
	const struct identity *who = NULL;
	const char *alias;
	struct issuer_table *t = issuer_table_new(1);
	struct issuer_rule rule = { .alias = "a", .url = "https://a", .audiences = audiences, .n_audiences = 1,
		.algorithms = 1u << JWS_ES256, .leeway = 60, .quirks = row->quirks, .required = required };
	enum token_outcome o;
	size_t n;

	snprintf(text, sizeof text, "%s", row->required);
	rule.n_required = claims_of(text, required);
	rule.keys = keys_for(NULL, "");
	CHECK(issuer_table_add(t, &rule));
	rule.alias = "d";
	rule.url = "spiffe://dom";
	rule.keys = keys_for(NULL, "");
	CHECK(issuer_table_add(t, &rule));
	if (row->whole != NULL)
		snprintf(payload, sizeof payload, "%s", row->whole);
	else
		snprintf(payload, sizeof payload, "{\"iss\":\"https://a\",\"aud\":\"gw\",\"exp\":1700000600,%s}", row->claims);
	n = signer_token(key, span_of(row->header != NULL ? row->header : "{\"alg\":\"ES256\"}"), span_of(payload), false, token);
	o = token_verify_from(t, (struct span){ token, n }, NOW, 0, &who, &alias);
	snprintf(name, size, "%s %s: %s", row->required, payload, token_outcome_symbol(o));
	CHECK_ROW(o == row->outcome, name);
	CHECK_ROW((alias == NULL) == (o == TOKEN_ISSUER_UNKNOWN), name);
	if (who != NULL) {
		CHECK_ROW(who->groups_unknown == row->groups_unknown, name);
		CHECK_ROW(who->n_ids == 2u + row->groups_unknown, name);
		CHECK_ROW(span_eq(who->ids[who->n_ids - 1], SPAN("groups-unknown:a")) == row->groups_unknown, name);
	}
	identity_unref(who);
	issuer_table_unref(t);
}

static void
emails(void)
{
	static const struct {
		unsigned quirks;
		const char *verified;
		bool there;
	} rows[] = {
		{ 0, "", true }, { ISSUER_EMAIL, "", false }, { ISSUER_EMAIL, ",\"email_verified\":false", false },
		{ ISSUER_EMAIL, ",\"email_verified\":\"true\"", false }, { ISSUER_EMAIL, ",\"email_verified\":true", true },
	};
	static const char *const audiences[] = { "gw" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct issuer_rule rule = { .alias = "a", .url = "https://a", .audiences = audiences, .n_audiences = 1,
			.algorithms = 1u << JWS_ES256, .quirks = rows[i].quirks, .keys = keys_for(NULL, "") };
		struct issuer_table *t = issuer_table_new(1);
		const struct identity *who = NULL;
		char payload[256], token[4096];
		size_t n;

		CHECK(issuer_table_add(t, &rule));
		snprintf(payload, sizeof payload, "{\"iss\":\"https://a\",\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"a\",\"email\":\"e\"%s}",
		    rows[i].verified);
		n = signer_token(key, SPAN("{\"alg\":\"ES256\"}"), span_of(payload), false, token);
		if (CHECK_ROW(token_verify(t, (struct span){ token, n }, NOW, 0, &who) == TOKEN_OK, payload))
			CHECK_ROW((json_object_get(who->claims, "email") != NULL) == rows[i].there, payload);
		identity_unref(who);
		issuer_table_unref(t);
	}
}

/* ---- keys ---- */

static void
key_sets(void)
{
	static const char *const audiences[] = { "gw" };
	struct issuer_rule rule = { .alias = "a", .url = "https://a", .audiences = audiences, .n_audiences = 1,
		.algorithms = 1u << JWS_ES256 };
	struct keyset *ks = keys_for(NULL, "\"kid\":\"k1\","), *svid, *none;
	struct issuer_table *t = issuer_table_new(1);
	const struct identity *who;
	const char *alias;
	char token[4096];
	size_t n = signer_token(key, SPAN("{\"alg\":\"ES256\",\"kid\":\"k2\"}"),
	    SPAN("{\"iss\":\"https://a\",\"aud\":\"gw\",\"exp\":1700000600,\"sub\":\"a\"}"), false, token);

	CHECK(strcmp(keyset_kid(ks, 0), "k1") == 0 && *keyset_kid(ks, 1) == '\0');
	CHECK(keyset_has(ks, SPAN("k1")) && !keyset_has(ks, SPAN("k2")));
	/* a set lives as long as somebody holds it */
	CHECK(keyset_ref(ks) == ks);
	keyset_free(ks);
	CHECK(keyset_count(ks) == 1);
	rule.keys = NULL;
	CHECK(issuer_table_add(t, &rule));
	CHECK(token_verify_from(t, (struct span){ token, n }, NOW, 0, &who, &alias) == TOKEN_NO_KEYS && strcmp(alias, "a") == 0);
	CHECK(!issuer_table_vouches(t, SPAN("a"), SPAN("k1")));
	rule.alias = "b";
	rule.url = "https://b";
	rule.keys = ks;
	CHECK(issuer_table_add(t, &rule) && issuer_table_vouches(t, SPAN("b"), SPAN("k1")));
	issuer_table_unref(t);
	t = issuer_table_new(2);
	rule.url = "https://a";
	rule.keys = keys_for(NULL, "\"kid\":\"k1\",");
	CHECK(issuer_table_add(t, &rule));
	CHECK(token_verify_from(t, (struct span){ token, n }, NOW, 0, &who, &alias) == TOKEN_KEY_UNKNOWN && strcmp(alias, "b") == 0);
	issuer_table_unref(t);
	svid = keys_for("jwt-svid", "\"use\":\"jwt-svid\",");
	none = keys_for(NULL, "\"use\":\"jwt-svid\",");
	CHECK(svid != NULL && keyset_count(svid) == 1 && none != NULL && keyset_count(none) == 0);
	keyset_free(svid);
	keyset_free(none);
	none = keys_for("jwt-svid", "\"use\":\"x509-svid\",");
	CHECK(none != NULL && keyset_count(none) == 0);
	keyset_free(none);
}

/* ---- presets ---- */

static void
presets(void)
{
	static const struct {
		enum preset preset;
		const char *url;
		bool fits;
		const char *star;
	} urls[] = {
		{ PRESET_NONE, "https://anything", true, "" },
		{ PRESET_GITHUB, "https://token.actions.githubusercontent.com", true, "" },
		{ PRESET_GITHUB, "https://token.actions.githubusercontent.com/", false, "" },
		{ PRESET_GITHUB, "https://ghes.corp.example/_services/token", true, "ghes.corp.example" },
		{ PRESET_GITHUB, "https://evil.example/x/_services/token", false, "" },
		{ PRESET_GITHUB, "http://token.actions.githubusercontent.com", false, "" },
		{ PRESET_GITLAB, "https://gitlab.example/sub", true, "" },
		{ PRESET_ENTRA, "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", true,
		    "11111111-2222-3333-4444-555555555555" },
		{ PRESET_ENTRA, "https://sts.windows.net/11111111-2222-3333-4444-555555555555/", true,
		    "11111111-2222-3333-4444-555555555555" },
		{ PRESET_ENTRA, "https://sts.windows.net/11111111-2222-3333-4444-555555555555", false, "" },
		{ PRESET_ENTRA, "https://login.microsoftonline.com//v2.0", false, "" },
		{ PRESET_ENTRA, "https://login.microsoftonline.com/a/b/v2.0", false, "" },
		{ PRESET_GOOGLE, "https://accounts.google.com", true, "" },
		{ PRESET_GOOGLE, "accounts.google.com", false, "" },
		{ PRESET_COGNITO, "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc", true, "eu-west-1" },
		{ PRESET_COGNITO, "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_abc", true, "cn-north-1" },
		{ PRESET_COGNITO, "https://cognito-idp.eu-west-1.amazonaws.com", false, "" },
		{ PRESET_KEYCLOAK, "https://sso.example/realms/corp", true, "sso.example" },
		{ PRESET_KEYCLOAK, "https://sso.example/auth/realms/corp", true, "sso.example" },
		{ PRESET_KEYCLOAK, "https://sso.example/realms/", false, "" },
		{ PRESET_SPIFFE, "spiffe://example.org", true, "example.org" },
		{ PRESET_SPIFFE, "https://oidc.example.org", true, "oidc.example.org" },
	};
	static const struct {
		enum preset preset;
		const char *audience;
		bool shared;
	} audiences[] = {
		{ PRESET_NONE, "account", false }, { PRESET_KEYCLOAK, "account", true }, { PRESET_KEYCLOAK, "accounts", false },
		{ PRESET_GITHUB, "https://github.com/octo", true }, { PRESET_GITHUB, "registry.example.com", false },
		{ PRESET_KUBERNETES, "https://kubernetes.default.svc", true },
		{ PRESET_KUBERNETES, "https://kubernetes.default.svc.cluster.local", true },
	};

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct span star;

		CHECK_ROW(preset_url_fits(urls[i].preset, span_of(urls[i].url), &star) == urls[i].fits, urls[i].url);
		CHECK_ROW(span_eq(star, span_of(urls[i].star)), urls[i].url);
	}
	for (size_t i = 0; i < sizeof audiences / sizeof *audiences; i++)
		CHECK_ROW(preset_audience_shared(audiences[i].preset, span_of(audiences[i].audience)) == audiences[i].shared,
		    audiences[i].audience);
	for (unsigned p = 0; p < PRESET_MAX; p++) {
		struct span list = span_of(preset_row(p)->algorithms), s;
		unsigned n = 0;

		for (; (s = preset_next(&list)).p != NULL; n++)
			CHECK_ROW(jws_alg_parse(s) != JWS_ALG_NONE, preset_row(p)->name);
		CHECK_ROW(n == (unsigned)__builtin_popcount(preset_algorithms(p)), preset_row(p)->name);
	}
}

/* ---- discovery ---- */

static void
discovery(void)
{
	static const char *const hosts[] = { "keys.example", "other.example:8443" };
	static const struct {
		const char *document, *uri, *says;
	} rows[] = {
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example/keys\"}", "https://i.example/keys", "" },
		{ "{\"jwks_uri\":\"https://i.example/keys?p=1\",\"x\":[1,{}],\"issuer\":\"https://i.example\"}", "https://i.example/keys?p=1", "" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://I.EXAMPLE:443/keys\"}", "https://I.EXAMPLE:443/keys", "" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://keys.example\"}", "https://keys.example", "" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://other.example:8443/k\"}", "https://other.example:8443/k", "" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://other.example/k\"}", NULL, "jwks-hosts" },
		{ "{\"issuer\":\"https://i.example/\",\"jwks_uri\":\"https://i.example/keys\"}", NULL, "another issuer" },
		{ "{\"issuer\":\"https://I.example\",\"jwks_uri\":\"https://i.example/keys\"}", NULL, "another issuer" },
		{ "{\"issuer\":[\"https://i.example\"],\"jwks_uri\":\"https://i.example/keys\"}", NULL, "names no issuer" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"http://i.example/keys\"}", NULL, "not an https" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"file:///etc/passwd\"}", NULL, "not an https" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example@evil.example/\"}", NULL, "not an https" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example.evil.example/\"}", NULL, "another host" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://evil.example#i.example/\"}", NULL, "no URL" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://evil.example\\\\i.example/\"}", NULL, "no URL" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example:8443/keys\"}", NULL, "another host" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https:///keys\"}", NULL, "not an https" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"\"}", NULL, "missing" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":7}", NULL, "missing" },
		{ "{\"issuer\":\"https://i.example\"}", NULL, "missing" },
		{ "{\"issuer\":\"x\",\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example/keys\"}", NULL, "duplicate" },
		{ "[]", NULL, "names no issuer" },
		{ "<html><body>Sign in</body></html>", NULL, "" },
		{ "", NULL, "" },
		{ "{\"issuer\":\"https://i.example\",\"jwks_uri\":\"https://i.example/\xc3\xa4\"}", NULL, "no URL" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char uri[DISCOVERY_URL] = "", err[512] = "";
		bool ok = discovery_read(span_of(rows[i].document), "https://i.example", hosts, 2, uri, err, sizeof err);

		CHECK_ROW(ok == (rows[i].uri != NULL), rows[i].document);
		CHECK_ROW(!ok || strcmp(uri, rows[i].uri) == 0, rows[i].document);
		CHECK_ROW(strstr(err, rows[i].says) != NULL && (ok || err[0] != '\0'), err);
	}
}

int
main(void)
{
	char name[2048];

	key = EVP_EC_gen("P-256");
	for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
		verify_row(&tokens[i], name, sizeof name);
	emails();
	key_sets();
	presets();
	discovery();
	EVP_PKEY_free(key);
	return check_done();
}
