/*
 * test_login.c - logins at registries, played: which calls are made, with what, and what comes of the answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/credentials/login.h"
#include "tests/unit/check.h"

#define NOW    1800000000
#define STEPS  7
#define ENV    8

/* {"exp":1800010800}, unsigned: nobody here verifies it */
#define JWT_3H "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMTA4MDB9.c2ln"

struct step {
	const char *call; /* "METHOD url" as it must be; NULL: no more */
	const char *header; /* "Name: value" that must be among the fields; NULL: none is looked for */
	const char *body; /* that must be sent */
	unsigned status;
	const char *answer; /* body; of a 401: WWW-Authenticate */
};

static const struct row {
	const char *name;
	enum credentials_kind kind;
	const char *host, *scope, *basic, *realm_host;
	const char *env[ENV]; /* name, value ... */
	struct step steps[STEPS];
	const char *authorization; /* NULL: it fails */
	const char *reason; /* then: part of it */
	int64_t lives; /* seconds, when not 0 */
} rows[] = {
	{ "basic", CREDENTIALS_BASIC, "h", "", "Basic eA==", NULL, { 0 }, { { 0 } }, "Basic eA==", NULL, 0 },

	/* the Bearer dance */
	{ "token", CREDENTIALS_TOKEN, "up.test", "repository:a/b:pull,push repository:c:pull", "Basic eA==", "auth.up.test", { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://auth.up.test/token\",service=\"up.test\",scope=\"x\"" },
		{ "GET https://auth.up.test/token?service=up.test&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull",
		    "Authorization: Basic eA==", "", 200, "{\"token\":\"t.t.t\",\"expires_in\":300}" } },
	    "Bearer t.t.t", NULL, 300 },
	{ "token: access_token, no lifetime, nobody's name", CREDENTIALS_TOKEN, "up.test", "repository:a:pull", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test/t?x=1\"" },
		{ "GET https://up.test/t?x=1&service=&scope=repository%3Aa%3Apull", NULL, "", 200, "{\"access_token\":\"u\"}" } },
	    "Bearer u", NULL, 60 },
	{ "token: a lifetime that is too short is 60 s", CREDENTIALS_TOKEN, "up.test", "", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test/t\"" },
		{ "GET https://up.test/t?service=", NULL, "", 200, "{\"token\":\"u\",\"expires_in\":1}" } },
	    "Bearer u", NULL, 60 },
	{ "token: Basic is asked for (Harbor, htpasswd)", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Basic realm=\"harbor\"" } }, "Basic eA==", NULL, 3600 },
	{ "token: nothing is asked for", CREDENTIALS_TOKEN, "up.test", "", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 200, "{}" } }, "", NULL, 60 },
	{ "token: a realm elsewhere", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://evil.test/token\"" } }, NULL, "realm-hosts", 0 },
	{ "token: the registry's host, another port", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test:444/token\"" } }, NULL, "realm-hosts", 0 },
	{ "token: a realm over plain http", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", "auth.up.test", { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"http://auth.up.test/token\"" } }, NULL, "realm-hosts", 0 },
	{ "token: a realm with a user name", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test@evil.test/token\"" } },
	        NULL, "realm-hosts", 0 },
	{ "token: refused", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test/token\"" },
		{ "GET https://up.test/token?service=", NULL, "", 401, "Basic realm=x" } },
	    NULL, "token service answered 401 to GET https://up.test/token", 0 },
	{ "token: a token with a newline", CREDENTIALS_TOKEN, "up.test", "", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test/token\"" },
		{ "GET https://up.test/token?service=", NULL, "", 200, "{\"token\":\"a\\r\\nX: y\"}" } },
	    NULL, "without", 0 },
	{ "token: HTML", CREDENTIALS_TOKEN, "up.test", "", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Bearer realm=\"https://up.test/token\"" },
		{ "GET https://up.test/token?service=", NULL, "", 200, "<html>" } },
	    NULL, "no JSON object", 0 },
	{ "token: no answer", CREDENTIALS_TOKEN, "up.test", "", NULL, NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 0, "connection refused" } }, NULL, "connection refused", 0 },
	{ "token: a challenge nobody knows", CREDENTIALS_TOKEN, "up.test", "", "Basic eA==", NULL, { 0 },
	    { { "GET https://up.test/v2/", NULL, "", 401, "Negotiate" } }, NULL, "not understood", 0 },

	/* Azure */
	{ "acr: managed identity", CREDENTIALS_ACR, "r.azurecr.io", "repository:a:pull", NULL, NULL, { 0 },
	    { { "GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&"
	        "resource=https%3A%2F%2Fcontainerregistry.azure.net%2F",
		  "Metadata: true", "", 200, "{\"access_token\":\"aad\"}" },
		{ "POST https://r.azurecr.io/oauth2/exchange", "Content-Type: application/x-www-form-urlencoded",
		    "grant_type=access_token&service=r.azurecr.io&access_token=aad", 200, "{\"refresh_token\":\"" JWT_3H "\"}" },
		{ "POST https://r.azurecr.io/oauth2/token", NULL,
		    "grant_type=refresh_token&service=r.azurecr.io&scope=repository%3Aa%3Apull&refresh_token=" JWT_3H, 200,
		    "{\"access_token\":\"" JWT_3H "\"}" } },
	    "Bearer " JWT_3H, NULL, 10800 },
	{ "acr: workload identity", CREDENTIALS_ACR, "r.azurecr.io", "repository:a:pull", NULL, NULL,
	    { "AZURE_CLIENT_ID", "cid", "AZURE_TENANT_ID", "tid", "AZURE_FEDERATED_TOKEN_FILE", "/federated" },
	    { { "POST https://login.microsoftonline.com/tid/oauth2/v2.0/token", NULL,
		  "grant_type=client_credentials&client_id=cid&scope=https%3A%2F%2Fcontainerregistry.azure.net%2F.default&client_assertion_type="
		  "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=text-of%2Ffederated",
		  200, "{\"access_token\":\"aad\"}" },
		{ "POST https://r.azurecr.io/oauth2/exchange", NULL,
		    "grant_type=access_token&service=r.azurecr.io&tenant=tid&access_token=aad",
		    200, "{\"refresh_token\":\"opaque\"}" },
		{ "POST https://r.azurecr.io/oauth2/token", NULL,
		    "grant_type=refresh_token&service=r.azurecr.io&scope=repository%3Aa%3Apull&refresh_token=opaque", 200,
		    "{\"access_token\":\"opaque\"}" } },
	    "Bearer opaque", NULL, 60 },
	{ "acr: no tenant", CREDENTIALS_ACR, "r.azurecr.io", "", NULL, NULL, { "AZURE_FEDERATED_TOKEN_FILE", "/f" },
	    { { 0 } }, NULL, "tenant-id", 0 },
	{ "acr: Entra ID says no", CREDENTIALS_ACR, "r.azurecr.io", "", NULL, NULL,
	    { "AZURE_CLIENT_ID", "cid", "AZURE_TENANT_ID", "tid", "AZURE_FEDERATED_TOKEN_FILE", "/f" },
	    { { "POST https://login.microsoftonline.com/tid/oauth2/v2.0/token", NULL, NULL, 400, "{}" } }, NULL,
	        "Entra ID answered 400", 0 },
	{ "acr: no token file", CREDENTIALS_ACR, "r.azurecr.io", "", NULL, NULL,
	    { "AZURE_CLIENT_ID", "cid", "AZURE_TENANT_ID", "tid", "AZURE_FEDERATED_TOKEN_FILE", "/absent" },
	        { { 0 } }, NULL, "/absent", 0 },

	/* Google */
	{ "gar", CREDENTIALS_GAR, "europe-docker.pkg.dev", "", NULL, NULL, { 0 },
	    { { "GET http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
	        "Metadata-Flavor: Google", "",
		200, "{\"access_token\":\"ya29\",\"expires_in\":3599}" } },
	    "Basic b2F1dGgyYWNjZXNzdG9rZW46eWEyOQ==", NULL, 3599 },

	/* Amazon */
	{ "ecr: keys in the environment", CREDENTIALS_ECR, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY", "s" },
	    { { "POST https://api.ecr.eu-west-1.amazonaws.com/",
	        "x-amz-target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "{}",
		200, "{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnB3\",\"expiresAt\":1.8000432E9}]}" } },
	    "Basic QVdTOnB3", NULL, 43200 },
	{ "ecr: China", CREDENTIALS_ECR, "1.dkr.ecr.cn-north-1.amazonaws.com.cn", "", NULL, NULL,
	    { "AWS_ACCESS_KEY_ID", "A", "AWS_SECRET_ACCESS_KEY", "s" },
	    { { "POST https://api.ecr.cn-north-1.amazonaws.com.cn/", NULL, "{}", 200,
	        "{\"authorizationData\":[{\"authorizationToken\":\"QQ==\"}]}" } },
	    "Basic QQ==", NULL, 3600 },
	{ "ecr: IRSA", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_ROLE_ARN", "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE", "/sa" },
	    { { "POST https://sts.eu-west-1.amazonaws.com/", NULL,
		  "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=tidewaiter&"
		  "WebIdentityToken=text-of%2Fsa&DurationSeconds=3600",
		  200,
		      "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s+/=</SecretAccessKey>"
		       "<SessionToken>st==</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration></Credentials>"
		       "</AssumeRoleWithWebIdentityResponse>" },
		{ "POST https://api.ecr.eu-west-1.amazonaws.com/", "x-amz-security-token: st==", "{}", 200,
		    "{\"authorizationData\":[{\"authorizationToken\":\"QQ==\"}]}" } },
	    "Basic QQ==", NULL, 3600 },
	{ "ecr: STS says no", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_ROLE_ARN", "r", "AWS_WEB_IDENTITY_TOKEN_FILE", "/sa" },
	    { { "POST https://sts.eu-west-1.amazonaws.com/", NULL, NULL, 403,
	        "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>" } },
	    NULL, "STS answered 403 AccessDenied", 0 },
	{ "ecr: EKS Pod Identity", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials",
	        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/pod" },
	    { { "GET http://169.254.170.23/v1/credentials", "Authorization: text-of/pod", "", 200,
		  "{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Token\":\"st\",\"Expiration\":\"2027-01-15T09:00:00Z\"}" },
		{ "POST https://api.ecr.eu-west-1.amazonaws.com/", "x-amz-security-token: st", "{}", 200,
		    "{\"authorizationData\":[{\"authorizationToken\":\"QQ==\"}]}" } },
	    "Basic QQ==", NULL, 0 },
	{ "ecr: ECS", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/c?id=1" },
	    { { "GET http://169.254.170.2/v2/c?id=1", NULL, "", 200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}" },
		{ "POST https://api.ecr.eu-west-1.amazonaws.com/", NULL, "{}", 200,
		    "{\"authorizationData\":[{\"authorizationToken\":\"QQ==\"}]}" } },
	    "Basic QQ==", NULL, 0 },
	{ "ecr: an instance's role", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL, { 0 },
	    { { "PUT http://169.254.169.254/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600", "", 200, "tok\n" },
		{ "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/",
		    "X-aws-ec2-metadata-token: tok", "", 200, "role" },
		{ "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/role", "X-aws-ec2-metadata-token: tok", "", 200,
		    "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"st\",\"Expiration\":\"2027-01-15T09:00:00Z\"}" },
		{ "POST https://api.ecr.eu-west-1.amazonaws.com/", NULL, "{}", 200,
		    "{\"authorizationData\":[{\"authorizationToken\":\"QQ==\"}]}" } },
	    "Basic QQ==", NULL, 0 },
	{ "ecr: an instance without a role", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL, { 0 },
	    { { "PUT http://169.254.169.254/latest/api/token", NULL, "", 200, "tok" },
		{ "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/", NULL, "", 404, "" } },
	    NULL, "has this machine a role", 0 },
	{ "ecr: a role's name that is none", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL, { 0 },
	    { { "PUT http://169.254.169.254/latest/api/token", NULL, "", 200, "tok\r\nX: y" } }, NULL, "no AWS keys", 0 },
	{ "ecr: no region", CREDENTIALS_ECR, "registry.test", "", NULL, NULL, { "AWS_ACCESS_KEY_ID", "A",
	    "AWS_SECRET_ACCESS_KEY", "s" }, { { 0 } }, NULL,
	    "which AWS region", 0 },
	{ "ecr: a token that is no base64", CREDENTIALS_ECR, "1.dkr.ecr.eu-west-1.amazonaws.com", "", NULL, NULL,
	    { "AWS_ACCESS_KEY_ID", "A", "AWS_SECRET_ACCESS_KEY", "s" },
	    { { "POST https://api.ecr.eu-west-1.amazonaws.com/", NULL, "{}", 200,
	        "{\"authorizationData\":[{\"authorizationToken\":\"a\\r\\nb\"}]}" } },
	    NULL, "without authorizationToken", 0 },
};

static const char *
get_env(void *ctx, const char *name)
{
	const struct row *row = ctx;

	for (size_t i = 0; i + 1 < ENV && row->env[i] != NULL; i += 2)
		if (strcmp(row->env[i], name) == 0)
			return row->env[i + 1];
	return NULL;
}

static struct span
get_file(void *ctx, const char *path, struct arena *a, char *err, size_t err_size)
{
	(void)ctx;
	if (strcmp(path, "/absent") != 0)
		return arena_printf(a, "text-of%s", path);
	snprintf(err, err_size, "%s: no such file", path);
	return SPAN_NONE;
}

static bool
has_header(const struct login_call *c, const char *want, struct arena *a)
{
	for (size_t i = 0; i < c->n_headers; i++)
		if (span_eq(arena_printf(a, "%.*s: %.*s", SPAN_FMT(c->headers[i].name), SPAN_FMT(c->headers[i].value)), span_of(want)))
			return true;
	return want == NULL;
}

static enum login_next
play(struct registry_login *l, const struct row *row)
{
	enum login_next next = login_step(l, NULL);

	for (size_t i = 0; i < STEPS && next == LOGIN_CALL; i++) {
		const struct step *s = &row->steps[i];
		struct login_answer a = { .status = s->status, .body = span_of(s->answer) };
		struct span call = arena_printf(l->arena, "%s %.*s", l->call.method, SPAN_FMT(l->call.url));

		if (!CHECK_ROW(s->call != NULL, row->name) || !CHECK_ROW(span_eq(call, span_of(s->call)), row->name)) {
			fprintf(stderr, "    call %.*s\n", SPAN_FMT(call));
			return LOGIN_FAILED;
		}
		CHECK_ROW(has_header(&l->call, s->header, l->arena), row->name);
		if (s->body != NULL && !CHECK_ROW(span_eq(l->call.body, span_of(s->body)), row->name))
			fprintf(stderr, "    body %.*s\n", SPAN_FMT(l->call.body));
		CHECK_ROW((l->call.target == LOGIN_METADATA) == span_starts(l->call.url, SPAN("http:")), row->name);
		if (s->status == 401)
			a = (struct login_answer){ .status = 401, .challenge = span_of(s->answer) };
		next = login_step(l, &a);
	}
	return next;
}

static void
check_row(const struct row *row, char *host, char *basic, char *realm_host, char *origin)
{
	struct login_memory memory = { 0 };
	struct config_upstream u = { .credentials = row->kind, .tls = true, .host = host, .port = 443,
	    .origin = origin, .registry = origin, .authorization = basic, .realm_hosts = &realm_host,
	        .n_realm_hosts = realm_host != NULL };
	struct login_world world = { get_env, get_file, (void *)(uintptr_t)row };
	struct registry_login l = { .upstream = &u, .world = &world, .memory = &memory, .arena = arena_new(1 << 20),
	    .scope = span_of(row->scope), .now = NOW };
	enum login_next next = play(&l, row);

	CHECK_ROW(next == (row->authorization != NULL ? LOGIN_DONE : LOGIN_FAILED), row->name);
	if (next == LOGIN_DONE && row->authorization != NULL) {
		CHECK_ROW(span_eq(l.authorization, span_of(row->authorization)), row->name);
		CHECK_ROW(row->lives == 0 || l.expires == NOW + row->lives, row->name);
	} else if (row->reason != NULL && !CHECK_ROW(strstr(l.reason, row->reason) != NULL, row->name)) {
		fprintf(stderr, "    reason %s\n", l.reason);
	}
	login_memory_clear(&memory);
	arena_free(l.arena);
}

/* What was learned is used again, and forgotten when it is refused. */
static void
check_memory(void)
{
	char host[] = "r.azurecr.io", origin[] = "https://r.azurecr.io";
	struct config_upstream u = { .credentials = CREDENTIALS_ACR, .tls = true, .host = host, .port = 443,
	    .origin = origin, .registry = origin };
	struct row nothing = { .name = "memory" };
	struct login_world world = { get_env, get_file, &nothing };
	struct login_memory memory = { 0 };
	struct registry_login l = { .upstream = &u, .world = &world, .memory = &memory, .arena = arena_new(1 << 20),
	    .scope = SPAN("x"), .now = NOW };
	struct login_answer refused = { .status = 401 };

	login_keep(&memory.refresh, SPAN("kept"));
	memory.refresh_until = NOW + 1;
	CHECK(login_step(&l, NULL) == LOGIN_CALL && span_ends(l.call.url,
	    SPAN("/oauth2/token")) && span_ends(l.call.body, SPAN("refresh_token=kept")));
	/* revoked: from the beginning, once */
	CHECK(login_step(&l, &refused) == LOGIN_CALL && span_starts(l.call.url, SPAN("http://169.254.169.254/")));
	l = (struct registry_login){ .upstream = &u, .world = &world, .memory = &memory, .arena = l.arena, .scope = SPAN("x"), .now = NOW + 2 };
	CHECK(login_step(&l, NULL) == LOGIN_CALL && span_starts(l.call.url, SPAN("http://169.254.169.254/")));
	login_memory_clear(&memory);
	CHECK(memory.refresh == NULL && memory.refresh_until == 0);
	arena_free(l.arena);
}

static const struct {
	const char *field, *realm, *service; /* realm NULL: none */
	bool basic;
} challenges[] = {
	{ "Bearer realm=\"https://a/t\",service=\"s\"", "https://a/t", "s", false },
	{ "bearer Realm=\"https://a/t\" , SERVICE=s", "https://a/t", "s", false },
	{ "Basic realm=\"x\", Bearer realm=\"https://a/t\"", "https://a/t", "", true },
	{ "Bearer realm=\"https://a/t\", Basic realm=\"x\"", "https://a/t", "", true },
	{ "Negotiate, Bearer realm=\"https://a/t\"", "https://a/t", "", false },
	{ "Bearer realm=\"a\\\"b\"", "a\"b", "", false },
	{ "Bearer realm=\"https://a/t\",error=\"insufficient_scope\"", "https://a/t", "", false },
	{ "Bearer realm=\"https://a/t\", Bearer realm=\"https://b/t\"", "https://a/t", "", false },
	{ "Basic realm=\"x\"", NULL, NULL, true },
	{ "Basic", NULL, NULL, true },
	{ "Bearer", NULL, NULL, false },
	{ "Bearer realm=\"", NULL, NULL, false },
	{ "Bearer realm=", NULL, NULL, false },
	{ "realm=\"x\"", NULL, NULL, false },
	{ "Bearer realm=\"x\" \"y\"", NULL, NULL, false },
	{ "", NULL, NULL, false },
};

static void
check_challenges(void)
{
	for (size_t i = 0; i < sizeof challenges / sizeof challenges[0]; i++) {
		struct arena *a = arena_new(4096);
		struct span realm, service;
		bool basic, ok = login_challenge(span_of(challenges[i].field), a, &realm, &service, &basic);

		CHECK_ROW(ok == (challenges[i].realm != NULL), challenges[i].field);
		CHECK_ROW(basic == challenges[i].basic, challenges[i].field);
		if (ok && challenges[i].realm != NULL)
			CHECK_ROW(span_eq(realm, span_of(challenges[i].realm)) && span_eq(service, span_of(challenges[i].service)),
			    challenges[i].field);
		arena_free(a);
	}
}

int
main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char *host = strdup(rows[i].host), *basic = rows[i].basic == NULL ? NULL : strdup(rows[i].basic);
		char *realm = rows[i].realm_host == NULL ? NULL : strdup(rows[i].realm_host), origin[128];

		snprintf(origin, sizeof origin, "https://%s", rows[i].host);
		check_row(&rows[i], host, basic, realm, origin);
		free(host);
		free(basic);
		free(realm);
	}
	check_memory();
	check_challenges();
	return check_done();
}
