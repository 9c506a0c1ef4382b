/*
 * test_token.c - forms, scopes, keys, the deny list, ends of tokens; tokens minted and accepted, and those that are not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <time.h>

#include "gateway/token/form.h"
#include "gateway/token/mint.h"
#include "gateway/token/revoked.h"
#include "gateway/token/service.h"
#include "policy/base64url.h"
#include "policy/jws.h"
#include "policy/view.h"
#include "tests/unit/check.h"
#include "tests/unit/signer.h"

#define NOW	INT64_C(1700000000)
#define OURS	"https://gw.test:5443"
#define SERVICE "gw.test:5443"

static struct arena *arena;

/* ---- forms ---- */

static void
test_form(void)
{
	static const struct {
		const char *text, *name, *want;	/* want NULL: the field is not there */
		bool good;
	} rows[] = {
		{ "", "a", NULL, true },
		{ "a=1", "a", "1", true },
		{ "a=", "a", "", true },
		{ "a=b=c", "a", "b=c", true },
		{ "a=1&b=2&c=3", "b", "2", true },
		{ "a=x+y%2Bz", "a", "x y+z", true },
		{ "scope=repository%3Aa%2Fb%3Apull%2Cpush", "scope", "repository:a/b:pull,push", true },
		{ "%61=1", "a", "1", true },
		{ "a=%C3%A9", "a", "\xc3\xa9", true },
		{ "a=1&A=2", "A", "2", true },
		{ "a", "a", NULL, false },
		{ "=1", "a", NULL, false },
		{ "a=1&", "a", NULL, false },
		{ "&a=1", "a", NULL, false },
		{ "a=1&&b=2", "a", NULL, false },
		{ "a=%", "a", NULL, false },
		{ "a=%4", "a", NULL, false },
		{ "a=%zz", "a", NULL, false },
		{ "a=%00", "a", NULL, false },
		{ "a=%0a", "a", NULL, false },
		{ "a=1\n", "a", NULL, false },
		{ "a=\x7f", "a", NULL, false },
		{ "a%0d=1", "a", NULL, false },
	};
	static char many[FORM_MAX + 2];
	struct form f;
	struct span v;
	size_t n = 0;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool good = form_read(span_of(rows[i].text), arena, &f);

		CHECK_ROW(good == rows[i].good, rows[i].text);
		if (!good)
			continue;
		CHECK_ROW(form_one(&f, span_of(rows[i].name), &v) && (v.p != NULL) == (rows[i].want != NULL), rows[i].text);
		CHECK_ROW(rows[i].want == NULL || span_eq(v, span_of(rows[i].want)), rows[i].text);
	}
	CHECK(form_read(SPAN("a=1&a=1"), arena, &f) && !form_one(&f, SPAN("a"), &v) && form_one(&f, SPAN("b"), &v));
	for (unsigned i = 0; i < FORM_FIELDS_MAX; i++)
		n += (size_t)snprintf(many + n, sizeof many - n, "%sa=%u", i > 0 ? "&" : "", i);
	CHECK(form_read((struct span){ many, n }, arena, &f) && f.n == FORM_FIELDS_MAX);
	memcpy(many + n, "&a=x", 4);
	CHECK(!form_read((struct span){ many, n + 4 }, arena, &f));
	memset(many, 'a', sizeof many);
	many[1] = '=';
	CHECK(form_read((struct span){ many, FORM_MAX }, arena, &f));
	CHECK(!form_read((struct span){ many, FORM_MAX + 1 }, arena, &f));
}

/* ---- scopes ---- */

static void
test_scopes(void)
{
	static const struct {
		const char *text[3], *want;	/* want NULL: refused */
	} rows[] = {
		{ { "" }, "" },
		{ { "repository:app:pull" }, "repository:app:pull" },
		{ { "repository:app:push,pull" }, "repository:app:pull,push" },
		{ { "repository:app:pull repository:app:pull,push" }, "repository:app:pull,push" },
		{ { "repository:a:pull", "repository:b:push", "repository:a:push" }, "repository:a:pull,push repository:b:push" },
		{ { "  repository:a:pull   repository:b:pull " }, "repository:a:pull repository:b:pull" },
		{ { "repository:team/app:*" }, "repository:team/app:pull,push,delete" },
		{ { "repository:app:pull,pull,frobnicate," }, "repository:app:pull" },
		{ { "repository:app:" }, "" },
		{ { "repository:app:PULL" }, "" },
		{ { "registry:catalog:*" }, "registry:catalog:*" },
		{ { "registry:catalog:pull" }, "" },
		{ { "registry:catalog:*,pull" }, "" },
		{ { "registry:other:*" }, "" },
		{ { "repository:*:*" }, "" },
		{ { "repository:a*:pull" }, "" },
		{ { "repository:App:pull" }, "" },
		{ { "repository:../app:pull" }, "" },
		{ { "repository:a//b:pull" }, "" },
		{ { "repository:catalog:*" }, "repository:catalog:pull,push,delete" },
		/* the name reaches from the first colon to the last: a host with a port is no repository of ours */
		{ { "repository:host:5000/app:pull" }, "" },
		{ { "repository(plugin):app:pull" }, "" },
		{ { "Repository:app:pull" }, "" },
		{ { "namespace:x:admin repository:app:pull" }, "repository:app:pull" },
		{ { "repository:app" }, NULL },
		{ { "repository" }, NULL },
		{ { "repository:app:pull x" }, NULL },
		{ { "repository:app:pu\"ll" }, NULL },
		{ { "repository:app:pull\n" }, NULL },
		{ { "repository:app:pull\trepository:b:pull" }, NULL },
		{ { "repository:a\\p:pull" }, NULL },
	};
	struct scopes s;
	char text[64];
	bool good = true;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		s.n = 0;
		good = true;
		for (size_t k = 0; k < 3 && rows[i].text[k] != NULL; k++)
			good = good && scopes_add(&s, span_of(rows[i].text[k]));
		CHECK_ROW(good == (rows[i].want != NULL), rows[i].text[0]);
		if (good && rows[i].want != NULL)
			CHECK_ROW(span_eq(scopes_text(&s, arena), span_of(rows[i].want)), rows[i].text[0]);
	}
	s.n = 0;
	good = true;
	for (unsigned i = 0; i < SCOPES_MAX; i++) {
		snprintf(text, sizeof text, "repository:app%u:pull", i);
		good = good && scopes_add(&s, arena_dup(arena, span_of(text)));
	}
	CHECK(good && s.n == SCOPES_MAX && scopes_add(&s, SPAN("repository:app0:push")) && !scopes_add(&s, SPAN("repository:more:pull")));
}

static void
test_access(void)
{
	static const struct {
		const char *scope;
		enum policy_action action;
		const char *repository;
		bool want;
	} rows[] = {
		{ "repository:app:pull", ACTION_PullManifest, "app", true },
		{ "repository:app:pull", ACTION_PullBlob, "app", true },
		{ "repository:app:pull", ACTION_ListTags, "app", true },
		{ "repository:app:pull", ACTION_ListReferrers, "app", true },
		{ "repository:app:pull", ACTION_PushBlob, "app", false },
		{ "repository:app:pull", ACTION_OverwriteTag, "app", false },
		{ "repository:app:pull", ACTION_PullBlob, "app2", false },
		{ "repository:app:pull", ACTION_PullBlob, "ap", false },
		{ "repository:app:pull", ACTION_ListRepositories, NULL, false },
		{ "repository:app:push", ACTION_PullBlob, "app", false },
		{ "repository:app:push", ACTION_PushManifest, "app", true },
		{ "repository:app:push", ACTION_MountBlob, "app", true },
		{ "repository:app:push", ACTION_AppendReferrer, "app", true },
		{ "repository:app:push", ACTION_CancelUpload, "app", true },
		{ "repository:app:push", ACTION_OverwriteTag, "app", true },
		{ "repository:app:push", ACTION_DeleteTag, "app", false },
		{ "repository:app:delete", ACTION_DeleteTag, "app", true },
		{ "repository:app:delete", ACTION_DeleteManifest, "app", true },
		{ "repository:app:delete", ACTION_DeleteBlob, "app", true },
		{ "repository:app:delete", ACTION_OverwriteTag, "app", true },
		{ "repository:app:*", ACTION_IssueToken, "app", false },
		{ "registry:catalog:*", ACTION_ListRepositories, NULL, true },
		{ "registry:catalog:*", ACTION_PullManifest, "catalog", false },
		{ "repository:catalog:*", ACTION_ListRepositories, NULL, false },
		{ "", ACTION_Ping, NULL, true },
		{ "", ACTION_PullBlob, "app", false },
		{ "", ACTION_NONE, "app", false },
	};
	static const char *const broken[] = { "{}", "[1]", "[{\"type\":\"repository\"}]", "null",
		"[{\"type\":\"repository\",\"name\":\"a\",\"actions\":\"pull\"}]", "[{\"type\":\"repository\",\"name\":\"a\",\"actions\":[1]}]" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scopes s = { .n = 0 };
		json_t *access;

		CHECK_ROW(scopes_add(&s, span_of(rows[i].scope)), rows[i].scope);
		access = scopes_access(&s);
		CHECK_ROW(access_valid(access), rows[i].scope);
		CHECK_ROW(access_covers(access, rows[i].action, span_of(rows[i].repository)) == rows[i].want, rows[i].scope);
		json_decref(access);
	}
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		json_t *v = json_loads(broken[i], JSON_DECODE_ANY, NULL);

		CHECK_ROW(!access_valid(v), broken[i]);
		json_decref(v);
	}
	CHECK(!access_valid(NULL) && !access_covers(NULL, ACTION_PullBlob, SPAN("app")));
}

/* ---- when a token ends ---- */

static void
test_end(void)
{
	static const struct {
		const char *name;
		int64_t lifetime, issued_at, ends, session, want;	/* all but lifetime and session from NOW; want 0: none */
	} rows[] = {
		{ "no end: the lifetime", 900, 0, 0, 0, 900 },
		{ "ends later than that", 900, -100, 3600, 0, 900 },
		{ "ends sooner", 900, -100, 300, 0, 300 },
		{ "a minute is enough", 900, -100, 60, 0, 60 },
		{ "less is not", 900, -100, 59, 0, 0 },
		{ "over", 900, -3600, -1, 0, 0 },
		{ "over, the session is not", 900, -3600, -600, 7200, 900 },
		{ "the session ends soon", 900, -3600, -600, 3700, 100 },
		{ "the session is over", 900, -3600, -600, 3600, 0 },
		{ "a session shorter than the token", 900, -10, 300, 60, 300 },
		{ "a session without iat", 900, 0, 300, 86400, 300 },
		{ "a session of what has no end", 900, -100, 0, 60, 900 },
		{ "the shortest lifetime", 60, 0, 0, 0, 60 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t issued = rows[i].issued_at == 0 ? 0 : NOW + rows[i].issued_at, ends = rows[i].ends == 0 ? 0 : NOW + rows[i].ends;
		int64_t got = token_end(NOW, rows[i].lifetime, issued, ends, rows[i].session);

		CHECK_ROW(got == (rows[i].want == 0 ? 0 : NOW + rows[i].want), rows[i].name);
	}
}

/* ---- the deny list ---- */

static void
test_revoked(void)
{
	static const struct {
		const char *text;
		int line;	/* of the problem; 0: none */
	} rows[] = {
		{ "", 0 }, { "# x\n\n", 0 }, { "jti:1", 0 }, { "jti:1\r\nbasic:u\n", 0 }, { "jti:1\nnonsense\n", 2 }, { "subject:a\n", 1 },
		{ "subject:/x\n", 1 }, { "subject:a/\n", 1 }, { "jti:\n", 1 }, { "basic:\n", 1 }, { "group:a/x\n", 1 }, { "\n\njti:\x01\n", 3 },
	};
	static const struct span ids[] = { { "issuer:a", 8 }, { "subject:a/ann", 13 }, { "group:a/x", 9 } };
	struct identity who = { .type = PRINCIPAL_JWT, .ids = ids, .n_ids = 3 };
	json_t *claims = json_pack("{s:s}", "jti", "theirs");
	struct revoked *l;
	char err[128];
	int line;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		l = revoked_new(span_of(rows[i].text), err, sizeof err, &line);
		CHECK_ROW((l != NULL) == (rows[i].line == 0) && (l != NULL || line == rows[i].line), rows[i].text);
		revoked_free(l);
	}
	who.claims = claims;
	who.token_id = SPAN("ours");
	CHECK(!revoked_has(NULL, &who));
	for (unsigned i = 0; i < 5; i++) {
		static const char *const lists[] = { "jti:ours", "jti:theirs\njti:a\n", "subject:a/ann", "subject:a/an\nsubject:b/ann\njti:our",
			"# nobody" };

		l = revoked_new(span_of(lists[i]), err, sizeof err, &line);
		CHECK_ROW(l != NULL && revoked_has(l, &who) == (i < 3), lists[i]);
		revoked_free(l);
	}
	json_decref(claims);
}

/* ---- keys ---- */

static EVP_PKEY *active, *next, *retiring, *stranger, *idp;

static struct token_keys *
ring(EVP_PKEY *signs, EVP_PKEY *other)
{
	struct token_keys *k = token_keys_new();
	char pem[4096], err[256];
	size_t n = signer_pem(signs, true, pem, sizeof pem);

	CHECK(k != NULL && token_keys_add(k, (struct span){ pem, n }, true, err, sizeof err));
	if (other != NULL) {
		n = signer_pem(other, false, pem, sizeof pem);
		CHECK(token_keys_add(k, (struct span){ pem, n }, false, err, sizeof err));
	}
	CHECK(token_keys_seal(k, err, sizeof err));
	return k;
}

static void
test_keys(void)
{
	EVP_PKEY *p384 = EVP_EC_gen("P-384"), *rsa = EVP_RSA_gen(2048);
	struct token_keys *k = token_keys_new(), *same;
	char pem[4096], err[256], *text;
	struct span document;
	size_t n;

	n = signer_pem(p384, true, pem, sizeof pem);
	CHECK(!token_keys_add(k, (struct span){ pem, n }, true, err, sizeof err) && strstr(err, "P-256") != NULL);
	n = signer_pem(rsa, true, pem, sizeof pem);
	CHECK(!token_keys_add(k, (struct span){ pem, n }, true, err, sizeof err));
	n = signer_pem(active, false, pem, sizeof pem);
	CHECK(!token_keys_add(k, (struct span){ pem, n }, true, err, sizeof err));	/* a public key signs nothing */
	CHECK(!token_keys_add(k, SPAN("nonsense"), false, err, sizeof err) && !token_keys_add(k, SPAN_NONE, true, err, sizeof err));
	n = signer_pem(active, true, pem, sizeof pem);
	CHECK(token_keys_add(k, (struct span){ pem, n }, true, err, sizeof err));
	n = signer_pem(active, false, pem, sizeof pem);
	CHECK(!token_keys_add(k, (struct span){ pem, n }, false, err, sizeof err));	/* the same again */
	n = signer_pem(next, true, pem, sizeof pem);
	CHECK(token_keys_add(k, (struct span){ pem, n }, false, err, sizeof err));	/* a private key may verify */
	CHECK(token_keys_seal(k, err, sizeof err) && keyset_count(token_keys_set(k)) == 2);
	document = token_keys_document(k);
	CHECK(strlen(token_keys_kid(k)) == TOKEN_KID && memmem(document.p, document.n, token_keys_kid(k), TOKEN_KID) != NULL);
	CHECK(memmem(document.p, document.n, "\"d\"", 3) == NULL && memmem(document.p, document.n, "PRIVATE", 7) == NULL);
	same = ring(active, NULL);
	CHECK(strcmp(token_keys_kid(same), token_keys_kid(k)) == 0);	/* replicas agree */
	token_keys_free(same);
	token_keys_free(k);
	text = token_key_generate(&n);
	k = token_keys_new();
	CHECK(text != NULL && token_keys_add(k, (struct span){ text, n }, true, err, sizeof err));
	token_keys_free(k);
	free(text);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(rsa);
}

/* ---- tokens ---- */

static void
on_problem(void *ctx, const struct policy_finding *f)
{
	(void)ctx;
	fprintf(stderr, "%d: %s\n", f->line, f->reason);
}

static struct policy *
policy_of(const char *statements)
{
	struct span text = arena_printf(arena, "{\"Version\":\"2026-11-01\",\"Statement\":[%s]}", statements);
	struct policy_source source = { "p", text };
	struct policy *p = policy_load(&source, 1, NULL, on_problem, NULL);

	CHECK(p != NULL);
	return p;
}

#define ALLOW(sid, principal, resource, condition) "{\"Sid\":\"" sid "\",\"Effect\":\"Allow\",\"Principal\":[" principal "]," \
	"\"Action\":[\"registry:Pull*\"],\"Resource\":[\"" resource "\"]" condition "}"

static struct token_service *
service(EVP_PKEY *signs, EVP_PKEY *other, const struct policy *p, const char *issuer, const char *audience)
{
	struct token_rule rule = { .issuer = issuer, .audience = audience, .lifetime = 900, .keys = ring(signs, other), .policy = p };
	struct token_service *s = token_service_new(&rule);

	CHECK(s != NULL);
	return s;
}

static struct issuer_table *
issuers(const char *alias, EVP_PKEY *key, const char *kid)
{
	static const char *const audiences[] = { "gw" };
	struct issuer_rule rule = { .alias = alias, .url = "https://idp", .audiences = audiences, .n_audiences = 1,
		.algorithms = 1u << JWS_ES256, .leeway = 60 };
	struct issuer_table *t = issuer_table_new(7);
	char more[64], jwk[1024], text[2048], err[256];

	snprintf(more, sizeof more, "\"kid\":\"%s\",", kid);
	signer_jwk(key, more, jwk, sizeof jwk);
	snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
	rule.keys = keyset_parse(text, strlen(text), err, sizeof err);
	CHECK(rule.keys != NULL && issuer_table_add(t, &rule));
	return t;
}

/* What the identity provider says of ann: n groups, and a claim of `filler` bytes. */
static const struct identity *
ann(const struct issuer_table *t, unsigned n, size_t filler)
{
	static char token[SIGNER_MAX];
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:{s:{s:s}}, s:[s]}", "iss", "https://idp", "aud", "gw", "sub", "ann",
	    "jti", "theirs", "iat", (json_int_t)NOW - 100, "exp", (json_int_t)NOW + 3600, "kubernetes.io", "sa", "name", "robot", "roles",
	    "reader");
	json_t *groups = json_array();
	const struct identity *who = NULL;
	char *text, name[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%08x-0000-4000-8000-%012x", i * 2654435761u, i);
		json_array_append_new(groups, json_string(name));
	}
	json_array_append_new(groups, json_string("devs"));
	json_object_set_new(o, "groups", groups);
	if (filler > 0) {
		text = calloc(1, filler + 1);
		memset(text, 'x', filler);
		json_object_set_new(o, "filler", json_string(text));
		free(text);
	}
	text = json_dumps(o, JSON_COMPACT);
	signer_token(idp, SPAN("{\"alg\":\"ES256\",\"kid\":\"k1\"}"), span_of(text), false, token);
	CHECK(token_verify(t, span_of(token), NOW, 0, &who) == TOKEN_OK);
	free(text);
	json_decref(o);
	return who;
}

static enum mint_outcome
mint(const struct token_service *s, const struct identity *who, const char *scope, struct mint *m)
{
	static struct scopes granted;

	granted.n = 0;
	CHECK(scopes_add(&granted, span_of(scope)));
	*m = (struct mint){ .who = who, .now = NOW, .ends = who->expires_at, .granted = &granted, .random = { 1, 2, 3 } };
	return token_mint(s, m);
}

static enum token_outcome
accept(const struct token_service *s, const struct issuer_table *t, const char *token, int64_t now)
{
	const struct identity *who = NULL;
	enum token_outcome o = token_accept(s, t, span_of(token), now, 0, &who);

	CHECK((o == TOKEN_OK) == (who != NULL));
	identity_unref(who);
	return o;
}

static bool
has_id(const struct identity *who, const char *id)
{
	for (size_t i = 0; i < who->n_ids; i++)
		if (span_eq(who->ids[i], span_of(id)))
			return true;
	return false;
}

/* A token of a large identity is small, and means the same. */
static void
test_mint(void)
{
	struct policy *p = policy_of(ALLOW("Devs", "\"group:idp/devs\", \"group:idp/other\", \"group:idp/000*\", \"role:idp/*\"", "repo:up/*",
	    ",\"Condition\":{\"StringEquals\":{\"jwt:kubernetes.io.sa.name\":\"robot\"}}"));
	struct token_service *s = service(active, next, p, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1");
	const struct identity *who = ann(t, 180, 4000), *got = NULL;
	unsigned found;
	struct mint m;

	CHECK(who != NULL && mint(s, who, "repository:app:pull,push", &m) == MINT_OK);
	if (who == NULL || m.token == NULL)
		return;
	CHECK(m.size <= 1024 && m.expires_at == NOW + 900 && strlen(m.id) == OWN_ID);
	CHECK(token_is_own(span_of(m.token)));
	CHECK(token_accept(s, t, span_of(m.token), NOW + 1, 0, &got) == TOKEN_OK);
	if (got == NULL)
		return;
	CHECK(got->type == PRINCIPAL_JWT && span_eq(got->subject, SPAN("ann")) && span_eq(got->issuer, SPAN("idp")));
	CHECK(span_eq(got->key_id, SPAN("k1")) && got->issued_at == NOW - 100 && got->expires_at == NOW + 900);
	CHECK(has_id(got, "subject:idp/ann") && has_id(got, "group:idp/devs") && has_id(got, "role:idp/reader"));
	CHECK(got->n_ids == 5);	/* one group stands for the pattern 000* */
	CHECK(span_eq(got->token_id, span_of(m.id)) && access_covers(got->access, ACTION_PushBlob, SPAN("app")));
	CHECK(json_is_string(claim_find(got->claims, SPAN("kubernetes.io.sa.name"), &found)) && found == 1);
	CHECK(json_object_size(got->claims) == 2);	/* and the jti, for the deny list */
	identity_unref(who);
	/* an issuer's token it never is */
	CHECK(token_verify(t, span_of(m.token), NOW, 0, &who) == TOKEN_BAD_HEADER);
	identity_unref(got);
	free(m.token);
	token_service_free(s);
	issuer_table_unref(t);
	policy_unref(p);
}

/* Groups that the identity provider did not list are unknown in the minted token too, and so is the claim. */
static void
test_groups_unknown(void)
{
	static const char payload[] = "{\"iss\":\"https://idp\",\"aud\":\"gw\",\"sub\":\"ann\",\"exp\":1700003600,"
	    "\"iat\":1699999999,\"_claim_names\":{\"groups\":\"src1\"}}";
	struct policy *p = policy_of(ALLOW("Devs", "\"group:idp/devs\"", "repo:up/*", ""));
	struct token_service *s = service(active, NULL, p, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1");
	const struct identity *who = NULL, *got = NULL;
	static char token[SIGNER_MAX];
	struct mint m;

	signer_token(idp, SPAN("{\"alg\":\"ES256\",\"kid\":\"k1\"}"), span_of(payload), false, token);
	CHECK(token_verify(t, span_of(token), NOW, 0, &who) == TOKEN_OK && who->groups_unknown);
	CHECK(mint(s, who, "repository:app:pull", &m) == MINT_OK);
	CHECK(token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK && got->groups_unknown);
	CHECK(has_id(got, "groups-unknown:idp") && claim_is_elsewhere(got->claims, SPAN("groups")));
	free(m.token);
	identity_unref(who);
	identity_unref(got);
	token_service_free(s);
	issuer_table_unref(t);
	policy_unref(p);
}

/* Groups that the issuer keeps elsewhere stay unknown: a Deny that names one holds. */
static void
test_elsewhere(void)
{
	struct policy *p = policy_of(ALLOW("Devs", "\"group:idp/devs\"", "repo:up/*", ""));
	struct token_service *s = service(active, NULL, p, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1");
	struct identity parts = { .type = PRINCIPAL_JWT, .issuer = SPAN("idp"), .subject = SPAN("ann"), .key_id = SPAN("k1"),
		.groups_unknown = true };
	json_t *claims = json_pack("{s:{s:s}}", "_claim_names", "groups", "src1");
	const struct identity *who, *got = NULL;
	struct mint m;

	parts.claims = claims;
	who = identity_within(&parts, claims);
	CHECK(who != NULL && mint(s, who, "repository:app:pull", &m) == MINT_OK);
	CHECK(token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK);
	CHECK(got != NULL && got->groups_unknown && claim_is_elsewhere(got->claims, SPAN("groups")));
	identity_unref(got);
	identity_unref(who);
	free(m.token);
	token_service_free(s);
	issuer_table_unref(t);
	policy_unref(p);
}

/* What a token costs, in CPU time; printed, not judged. */
static void
note_costs(void)
{
	struct policy *p = policy_of(ALLOW("Devs", "\"group:idp/devs\"", "repo:up/*", ""));
	struct token_service *s = service(active, NULL, p, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1");
	const struct identity *who = ann(t, 180, 4000), *got;
	struct timespec a, b, c;
	struct mint m = { .token = NULL };

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (unsigned i = 0; i < 100; i++) {
		free(m.token);
		CHECK(mint(s, who, "repository:app:pull,push", &m) == MINT_OK);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	for (unsigned i = 0; i < 100; i++) {
		CHECK(token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK);
		identity_unref(got);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c);
	printf("note: CPU us of minting %.0f, of accepting %.0f; %zu bytes for 181 groups\n",
	    (double)(b.tv_sec - a.tv_sec) * 1e4 + (double)(b.tv_nsec - a.tv_nsec) / 1e5,
	    (double)(c.tv_sec - b.tv_sec) * 1e4 + (double)(c.tv_nsec - b.tv_nsec) / 1e5, m.size);
	free(m.token);
	identity_unref(who);
	token_service_free(s);
	issuer_table_unref(t);
	policy_unref(p);
}

/* All groups are needed, or a claim as it is: more than a token holds is refused, nothing is left out. */
static void
test_too_large(void)
{
	struct policy *all = policy_of(ALLOW("Ids", "\"issuer:idp\"", "repo:up/*",
	    ",\"Condition\":{\"ForAllValues:StringNotLike\":{\"principal:ids\":\"group:idp/x*\"}, \"Null\":{\"principal:ids\":\"false\"}}"));
	struct policy *claim = policy_of(ALLOW("Claim", "\"issuer:idp\"", "repo:up/*", ",\"Condition\":{\"StringLike\":{\"jwt:filler\":\"x*\"}}"));
	struct token_service *a = service(active, NULL, all, OURS, SERVICE), *b = service(active, NULL, claim, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1");
	const struct identity *many = ann(t, 180, 0), *few = ann(t, 20, 0), *filler = ann(t, 0, 4000);
	struct mint m;

	CHECK(mint(a, many, "repository:app:pull", &m) == MINT_TOO_LARGE && m.token == NULL && m.size > OWN_MAX);
	CHECK(mint(a, few, "repository:app:pull", &m) == MINT_OK && m.size <= 2048);
	free(m.token);
	CHECK(mint(b, filler, "repository:app:pull", &m) == MINT_TOO_LARGE);
	CHECK(mint(b, many, "repository:app:pull", &m) == MINT_OK && m.size <= 1024);
	free(m.token);
	identity_unref(many);
	identity_unref(few);
	identity_unref(filler);
	token_service_free(a);
	token_service_free(b);
	issuer_table_unref(t);
	policy_unref(all);
	policy_unref(claim);
}

/* A token with another header or payload, signed by `key`. */
static char *
forged(EVP_PKEY *key, const char *header, const char *token, const char *member, json_t *value)
{
	static char out[SIGNER_MAX];
	unsigned char bytes[8192];
	const char *dot = strchr(token, '.'), *end = strrchr(token, '.');
	size_t n = 0;
	json_t *o;
	char *text;

	CHECK(end - dot < 8000 && base64url_decode((struct span){ dot + 1, (size_t)(end - dot) - 1 }, bytes, &n));
	o = json_loadb((const char *)bytes, n, 0, NULL);
	if (member != NULL && value == NULL)
		json_object_del(o, member);
	else if (member != NULL)
		json_object_set_new(o, member, value);
	text = json_dumps(o, JSON_COMPACT);
	signer_token(key, span_of(header), span_of(text), false, out);
	free(text);
	json_decref(o);
	return out;
}

static void
test_attacks(void)
{
	struct policy *p = policy_of(ALLOW("Devs", "\"group:idp/devs\"", "repo:up/*", ""));
	struct policy *more = policy_of(ALLOW("Devs", "\"group:idp/devs\"", "repo:up/*", "") ","
	    ALLOW("Ops", "\"group:idp/ops\"", "repo:up/*", ""));
	struct policy *same = policy_of(ALLOW("Renamed", "\"group:idp/devs\"", "repo:other/*", ""));
	struct token_service *s = service(active, retiring, p, OURS, SERVICE), *ours_retired = service(retiring, NULL, p, OURS, SERVICE);
	struct token_service *strange = service(stranger, NULL, p, OURS, SERVICE), *other = service(active, NULL, p, OURS, "other");
	struct token_service *elsewhere = service(active, NULL, p, "https://elsewhere", SERVICE);
	struct token_service *reloaded = service(active, NULL, same, OURS, SERVICE), *grown = service(active, NULL, more, OURS, SERVICE);
	struct issuer_table *t = issuers("idp", idp, "k1"), *rolled = issuers("idp", next, "k2"), *gone = issuers("new", idp, "k1");
	const struct identity *who = ann(t, 3, 0);
	char header[256], pub[2048], *h, *broken;
	struct mint m, old;
	size_t n;

	CHECK(mint(s, who, "repository:app:pull", &m) == MINT_OK && mint(ours_retired, who, "repository:app:pull", &old) == MINT_OK);
	snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"cty\":\"reg+jwt\",\"kid\":\"%s\"}", token_keys_kid(token_service_keys(s)));
	CHECK(accept(s, t, m.token, NOW) == TOKEN_OK);
	CHECK(accept(s, t, old.token, NOW) == TOKEN_OK);	/* its key is retiring */
	CHECK(accept(reloaded, t, m.token, NOW) == TOKEN_OK);	/* another policy that looks at the same */
	CHECK(accept(grown, t, m.token, NOW) == TOKEN_OUTGROWN);
	CHECK(accept(reloaded, t, old.token, NOW) == TOKEN_KEY_UNKNOWN);	/* there it is gone */
	CHECK(accept(strange, t, m.token, NOW) == TOKEN_KEY_UNKNOWN);
	CHECK(accept(other, t, m.token, NOW) == TOKEN_AUDIENCE && accept(elsewhere, t, m.token, NOW) == TOKEN_ISSUER_UNKNOWN);
	CHECK(accept(s, rolled, m.token, NOW) == TOKEN_KEY_UNKNOWN && accept(s, gone, m.token, NOW) == TOKEN_KEY_UNKNOWN);
	CHECK(accept(s, t, m.token, NOW + 900 + 59) == TOKEN_OK && accept(s, t, m.token, NOW + 900 + 60) == TOKEN_EXPIRED);
	CHECK(accept(s, t, m.token, NOW - 61) == TOKEN_NOT_YET_VALID);
	/* what is forged with the right key shows that each check is there */
#define FORGED(member, value) accept(s, t, forged(active, header, m.token, member, value), NOW)
	CHECK(FORGED(NULL, NULL) == TOKEN_OK);
	CHECK(FORGED("exp", json_integer(NOW + 3601)) == TOKEN_TOO_LONG_LIVED && FORGED("exp", json_string("x")) == TOKEN_NO_EXPIRY);
	CHECK(FORGED("exp", NULL) == TOKEN_NO_EXPIRY && FORGED("iat", NULL) == TOKEN_BAD_PAYLOAD && FORGED("nbf", NULL) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("nbf", json_integer(NOW + 61)) == TOKEN_NOT_YET_VALID && FORGED("sub", json_string("")) == TOKEN_SUBJECT);
	CHECK(FORGED("sub", json_string("a\nb")) == TOKEN_SUBJECT && FORGED("jti", NULL) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("aud", json_pack("[s]", SERVICE)) == TOKEN_AUDIENCE && FORGED("access", NULL) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("access", json_object()) == TOKEN_BAD_PAYLOAD && FORGED("proof", NULL) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("proof", json_pack("{s:s}", "type", "root")) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("proof", json_pack("{s:s}", "type", "cert")) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("proof", json_pack("{s:s}", "type", "basic")) == TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("proof", json_pack("{s:s, s:s, s:s, s:s}", "type", "jwt", "issuer", "idp", "kid", "k1", "groups", "devs")) ==
	    TOKEN_BAD_PAYLOAD);
	CHECK(FORGED("proof", json_pack("{s:s, s:s, s:s}", "type", "jwt", "issuer", "idp", "kid", "k1")) == TOKEN_OUTGROWN);
	/* signed by somebody else under our key's name; not signed; under an issuer's key */
	CHECK(accept(s, t, forged(stranger, header, m.token, NULL, NULL), NOW) == TOKEN_BAD_SIGNATURE);
	for (unsigned i = 0; i < 7; i++) {
		static const char *const heads[] = { "{\"alg\":\"none\",\"cty\":\"reg+jwt\",\"kid\":\"%s\"}",
			"{\"alg\":\"HS256\",\"cty\":\"reg+jwt\",\"kid\":\"%s\"}",
			"{\"alg\":\"ES256\",\"typ\":\"reg+jwt\",\"kid\":\"%s\"}", "{\"alg\":\"ES256\",\"kid\":\"%s\"}",
			"{\"alg\":\"ES256\",\"cty\":\"REG+JWT\",\"kid\":\"%s\"}",
			"{\"alg\":\"ES256\",\"cty\":\"reg+jwt\",\"jwk\":{},\"kid\":\"%s\"}", "{\"alg\":\"ES384\",\"cty\":\"reg+jwt\",\"kid\":\"%s\"}" };
		struct span one = arena_printf(arena, "%.*s%s%s", (int)(strstr(heads[i], "%s") - heads[i]), heads[i],
		    token_keys_kid(token_service_keys(s)), strstr(heads[i], "%s") + 2);

		CHECK_ROW(accept(s, t, forged(active, one.p, m.token, NULL, NULL), NOW) != TOKEN_OK, heads[i]);
	}
	CHECK(accept(s, t, forged(active, "{\"alg\":\"ES256\",\"cty\":\"reg+jwt\"}", m.token, NULL, NULL), NOW) == TOKEN_KEY_UNKNOWN);
	CHECK(accept(s, t, forged(idp, "{\"alg\":\"ES256\",\"cty\":\"reg+jwt\",\"kid\":\"k1\"}", m.token, NULL, NULL), NOW) == TOKEN_KEY_UNKNOWN);
	/* HS256 with our public key as the secret, DER signatures, a byte changed, nothing, too much */
	n = signer_pem(active, false, pub, sizeof pub);
	h = forged(active, "{\"alg\":\"HS256\",\"cty\":\"reg+jwt\"}", m.token, NULL, NULL);
	*strrchr(h, '.') = '\0';
	broken = calloc(1, strlen(h) + 128);
	if (broken != NULL) {
		unsigned char mac[32];
		unsigned mac_n;
		char text[64];

		HMAC(EVP_sha256(), pub, (int)n, (const unsigned char *)h, strlen(h), mac, &mac_n);
		signer_b64(mac, mac_n, text);
		snprintf(broken, strlen(h) + 128, "%s.%s", h, text);
		CHECK(accept(s, t, broken, NOW) == TOKEN_ALG_REFUSED);
		free(broken);
	}
	m.token[strlen(m.token) - 40] ^= 1;
	CHECK(accept(s, t, m.token, NOW) == TOKEN_BAD_SIGNATURE || accept(s, t, m.token, NOW) == TOKEN_MALFORMED);
	CHECK(accept(s, t, "", NOW) == TOKEN_MALFORMED && accept(s, t, "a.b", NOW) == TOKEN_MALFORMED);
	free(m.token);
	free(old.token);
	identity_unref(who);
	token_service_free(s);
	token_service_free(ours_retired);
	token_service_free(strange);
	token_service_free(other);
	token_service_free(elsewhere);
	token_service_free(reloaded);
	token_service_free(grown);
	issuer_table_unref(t);
	issuer_table_unref(rolled);
	issuer_table_unref(gone);
	policy_unref(p);
	policy_unref(more);
	policy_unref(same);
}

/* Certificates, accounts, nobody. */
static void
test_kinds(void)
{
	static const char sha256[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct policy *p = policy_of(ALLOW("Any", "\"*\"", "repo:up/*", ""));
	struct token_service *s = service(active, NULL, p, OURS, SERVICE);
	struct issuer_table *t = issuer_table_new(1);
	struct identity parts = { .type = PRINCIPAL_CERT, .issuer = SPAN("mtls"), .subject = SPAN("node.test"), .issued_at = NOW - 5 };
	const struct identity *cert = identity_new(&parts), *robot, *got = NULL;
	char thumbprint[THUMBPRINT + 2];
	struct scopes none = { .n = 0 };
	struct mint m = { .who = cert, .now = NOW, .ends = NOW + 100, .granted = &none, .certificate = sha256 };

	CHECK(token_mint(s, &m) == MINT_OK && m.expires_at == NOW + 100);
	CHECK(token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK && got->type == PRINCIPAL_CERT);
	CHECK(token_thumbprint(span_of(sha256), thumbprint) && got != NULL && span_eq(got->key_id, span_of(thumbprint)));
	identity_unref(got);
	free(m.token);
	m.certificate = NULL;	/* bound to nothing: none is made */
	CHECK(token_mint(s, &m) == MINT_FAILED);
	m.ends = NOW + 59;
	CHECK(token_mint(s, &m) == MINT_TOO_SHORT);
	parts = (struct identity){ .type = PRINCIPAL_BASIC, .issuer = SPAN(IDENTITY_BASIC), .subject = SPAN("robot") };
	robot = identity_new(&parts);
	CHECK(robot != NULL && robot->n_ids == 1 && has_id(robot, "basic:robot"));
	m = (struct mint){ .who = robot, .now = NOW, .granted = &none, .check = SPAN("abc") };
	CHECK(token_mint(s, &m) == MINT_OK && token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK);
	CHECK(got != NULL && got->type == PRINCIPAL_BASIC && span_eq(got->key_id, SPAN("abc")) && span_eq(got->subject, SPAN("robot")));
	identity_unref(got);
	free(m.token);
	m = (struct mint){ .who = identity_anonymous(), .now = NOW, .granted = &none };
	CHECK(token_mint(s, &m) == MINT_OK && token_accept(s, t, span_of(m.token), NOW, 0, &got) == TOKEN_OK);
	CHECK(got != NULL && got->type == PRINCIPAL_ANONYMOUS && got->n_ids == 1 && has_id(got, "anonymous"));
	identity_unref(got);
	free(m.token);
	CHECK(!token_thumbprint(SPAN("00"), thumbprint));
	CHECK(!token_thumbprint(SPAN("zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"), thumbprint));
	identity_unref(cert);
	identity_unref(robot);
	token_service_free(s);
	issuer_table_unref(t);
	policy_unref(p);
}

int
main(void)
{
	arena = arena_new((size_t)8 << 20);
	active = EVP_EC_gen("P-256");
	next = EVP_EC_gen("P-256");
	retiring = EVP_EC_gen("P-256");
	stranger = EVP_EC_gen("P-256");
	idp = EVP_EC_gen("P-256");
	test_form();
	test_scopes();
	test_access();
	test_end();
	test_revoked();
	test_keys();
	test_mint();
	test_groups_unknown();
	test_elsewhere();
	test_too_large();
	test_attacks();
	test_kinds();
	note_costs();
	EVP_PKEY_free(active);
	EVP_PKEY_free(next);
	EVP_PKEY_free(retiring);
	EVP_PKEY_free(stranger);
	EVP_PKEY_free(idp);
	arena_free(arena);
	return check_done();
}
