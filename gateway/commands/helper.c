/*
 * helper.c - credentials for clients: a kubelet credential provider, and a credential helper of docker's.
 *
 * Both turn a token that is there anyway - of a pod's service account, of a CI job - into what a client logs in with. Nothing is
 * stored, and nothing but the token leaves this program.
 * Sources: Kubernetes "Configure a kubelet image credential provider" and KEP-4412 (credentialprovider.kubelet.k8s.io/v1);
 * docker/docker-credential-helpers, README; GitHub "OpenID Connect in cloud providers" (ACTIONS_ID_TOKEN_REQUEST_URL).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <curl/curl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "gateway/commands/command.h"
#include "gateway/credentials/login.h"
#include "gateway/file.h"
#include "policy/json.h"

#define INPUT_MAX ((size_t)1 << 20)
#define TOKEN_MAX 16384u
#define SPARE	  60 /* seconds before a token's end at which nobody should begin to use it */

/* Standard input to its end; to be freed. NULL: more than INPUT_MAX, or out of memory. */
static char *
read_input(size_t *n)
{
	char *text = malloc(INPUT_MAX + 1);

	if (text == NULL)
		return NULL;
	*n = fread(text, 1, INPUT_MAX + 1, stdin);
	if (*n <= INPUT_MAX && !ferror(stdin)) {
		text[*n] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (unsigned char)s.p[s.n - 1] <= ' ')
		s.n--;
	while (s.n > 0 && (unsigned char)s.p[0] <= ' ')
		s = span_skip(s, 1);
	return s;
}

/* Three parts of base64url: what a JWT looks like. */
static bool
is_token(struct span s)
{
	unsigned dots = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		dots += c == '.';
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return dots == 2 && s.n <= TOKEN_MAX;
}

static int
print_and_free(json_t *o)
{
	bool ok = o != NULL && json_dumpf(o, stdout, 0) == 0 && putchar('\n') != EOF && fflush(stdout) == 0;

	json_decref(o);
	return ok ? 0 : 1;
}

/* ---- kubelet ---- */

static const char provider_usage[] =
    "usage: tidewaiter credential-provider [--username NAME] < REQUEST\n"
    "\n"
    "A kubelet credential provider (credentialprovider.kubelet.k8s.io/v1): the token of the pod's service account, which the\n"
    "kubelet asks for on the pod's behalf, becomes the password for the image's registry. It needs tokenAttributes in the\n"
    "CredentialProviderConfig; see deploy/kubernetes/credential-provider.yaml.\n"
    "\n"
    "  --username NAME  of the login; the gateway does not look at it (default: jwt)\n";

static const char no_token[] = "no serviceAccountToken in the request: the CredentialProviderConfig needs tokenAttributes with a "
			       "serviceAccountTokenAudience (Kubernetes 1.34)";

static int
provide(const char *username)
{
	char err[JSON_ERROR_TEXT_LENGTH + 64], duration[32], host[256];
	struct span token, image;
	const char *slash;
	size_t n;
	char *text = read_input(&n);
	json_t *o = text == NULL ? NULL : json_strict((struct span){ text, n }, 16, err, sizeof err, NULL);
	int64_t left;
	int status;

	free(text);
	if (o == NULL || !span_eq(json_span(o, "apiVersion"), SPAN("credentialprovider.kubelet.k8s.io/v1")) ||
	    !span_eq(json_span(o, "kind"), SPAN("CredentialProviderRequest"))) {
		fputs("tidewaiter credential-provider: standard input is no CredentialProviderRequest of "
		      "credentialprovider.kubelet.k8s.io/v1\n",
		    stderr);
		json_decref(o);
		return 1;
	}
	token = json_span(o, "serviceAccountToken");
	image = json_span(o, "image");
	slash = image.n == 0 ? NULL : memchr(image.p, '/', image.n);
	if (!is_token(token) || slash == NULL || (size_t)(slash - image.p) >= sizeof host) {
		fprintf(stderr, "tidewaiter credential-provider: %s\n", slash == NULL ? "the request names no image of a registry" : no_token);
		json_decref(o);
		return 1;
	}
	memcpy(host, image.p, (size_t)(slash - image.p));
	host[slash - image.p] = '\0';
	left = login_jwt_expiry(token) - SPARE - time(NULL);
	snprintf(duration, sizeof duration, "%llds", (long long)(left > 0 ? left : 0));
	status = print_and_free(json_pack("{s:s, s:s, s:s, s:s, s:{s:{s:s, s:s%}}}", "apiVersion", "credentialprovider.kubelet.k8s.io/v1", "kind",
	    "CredentialProviderResponse", "cacheKeyType", "Registry", "cacheDuration", duration, "auth", host, "username", username,
	    "password", token.p, token.n));
	json_decref(o);
	return status;
}

int
provider_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "username", required_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *username = "jwt";
	int opt;

	while ((opt = getopt_long(argc, argv, "hu:", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(provider_usage, stdout), 0;
		if (opt != 'u')
			return fputs(provider_usage, stderr), 2;
		username = optarg;
	}
	return optind == argc ? provide(username) : (fputs(provider_usage, stderr), 2);
}

/* ---- docker ---- */

static const char helper_usage[] =
    "usage: tidewaiter docker-credential get|store|erase|list\n"
    "   or: docker-credential-tidewaiter get|store|erase|list      (a link of that name to tidewaiter)\n"
    "\n"
    "A credential helper of docker, podman, skopeo, buildah, crane, oras and others: { \"credHelpers\": { \"registry.example.com\":\n"
    "\"tidewaiter\" } } in ~/.docker/config.json. The password is a token from the first of\n"
    "\n"
    "  TIDEWAITER_TOKEN          the token itself (GitLab: id_tokens: { TIDEWAITER_TOKEN: { aud: ... } })\n"
    "  TIDEWAITER_TOKEN_FILE     a file that holds it (Kubernetes: a projected service account token)\n"
    "  TIDEWAITER_TOKEN_COMMAND  a command that prints it\n"
    "  ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN   GitHub Actions (permissions: id-token: write); the audience is\n"
    "                            TIDEWAITER_AUDIENCE, or the registry's host\n"
    "\n"
    "Nothing is stored: store and erase do nothing.\n";

struct text {
	char p[65536];
	size_t n;
};

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct text *t = ctx;

	(void)size;
	if (n > sizeof t->p - t->n)
		return 0;
	memcpy(t->p + t->n, p, n);
	t->n += n;
	return n;
}

/* GET with a bearer token; the answer's body in t. False: *why says. */
static bool
get(const char *url, const char *bearer, struct text *t, const char **why)
{
	CURL *c = curl_easy_init();
	struct curl_slist *fields = NULL;
	char *line = NULL;
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	long status = 0;
	/* GitHub says https; plain http is for this machine, in tests */
	bool local = strncmp(url, "http://127.0.0.1:", 17) == 0;

	if (c != NULL && asprintf(&line, "Authorization: bearer %s", bearer) >= 0 && (fields = curl_slist_append(NULL, line)) != NULL &&
	    curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, local ? "http" : "https") == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L) == CURLE_OK && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK)
		rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(fields);
	free(line);
	curl_easy_cleanup(c);
	*why = rc != CURLE_OK ? curl_easy_strerror(rc) : "the answer is not 200; has the job the permission id-token: write?";
	return rc == CURLE_OK && status == 200;
}

/* GitHub's token for this audience into t. */
static bool
github(const char *url, const char *bearer, struct span host, struct text *t, const char **why)
{
	const char *wanted = getenv("TIDEWAITER_AUDIENCE");
	struct arena *a = arena_new(65536);
	struct span audience = a == NULL ? SPAN_NONE : sigv4_encode(wanted != NULL ? span_of(wanted) : host, false, a), full, value;
	char err[JSON_ERROR_TEXT_LENGTH + 64];
	json_t *o = NULL;
	bool ok = false;

	*why = "out of memory";
	full = SPAN_NONE;
	if (audience.p != NULL)
		full = arena_printf(a, "%s%caudience=%.*s", url, strchr(url, '?') != NULL ? '&' : '?', SPAN_FMT(audience));
	if (full.p != NULL && get(full.p, bearer, t, why)) {
		o = json_strict((struct span){ t->p, t->n }, 8, err, sizeof err, NULL);
		value = json_span(o, "value");
		*why = "GitHub answered without a token";
		ok = value.n > 0 && value.n <= sizeof t->p;
		if (ok) {
			memcpy(t->p, value.p, value.n);
			t->n = value.n;
		}
	}
	json_decref(o);
	arena_free(a);
	return ok;
}

static bool
command(const char *line, struct text *t, const char **why)
{
	FILE *f = popen(line, "re");
	int status;

	*why = "TIDEWAITER_TOKEN_COMMAND failed";
	if (f == NULL)
		return false;
	t->n = fread(t->p, 1, sizeof t->p, f);
	status = pclose(f);
	return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The token, trimmed, as a part of t. {NULL,0}: *why. */
static struct span
find_token(struct span host, struct text *t, const char **why)
{
	const char *token = getenv("TIDEWAITER_TOKEN"), *file = getenv("TIDEWAITER_TOKEN_FILE");
	const char *line = getenv("TIDEWAITER_TOKEN_COMMAND"), *url = getenv("ACTIONS_ID_TOKEN_REQUEST_URL");
	const char *bearer = getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
	static char err[256];
	struct span found;
	bool ok = true;

	*why = "no token: none of TIDEWAITER_TOKEN, TIDEWAITER_TOKEN_FILE, TIDEWAITER_TOKEN_COMMAND and ACTIONS_ID_TOKEN_REQUEST_URL is set";
	if (token != NULL && *token != '\0') {
		t->n = strnlen(token, sizeof t->p);
		memcpy(t->p, token, t->n);
	} else if (file != NULL) {
		char *text = file_read(file, TOKEN_MAX, &t->n, err, sizeof err);

		*why = err;
		ok = text != NULL;
		if (ok)
			memcpy(t->p, text, t->n);
		free(text);
	} else if (line != NULL) {
		ok = command(line, t, why);
	} else {
		ok = url != NULL && bearer != NULL && github(url, bearer, host, t, why);
	}
	if (!ok)
		return SPAN_NONE;
	found = trimmed((struct span){ t->p, t->n });
	*why = "what was found is no JSON Web Token";
	return is_token(found) ? found : SPAN_NONE;
}

/* "https://registry.example.com:5443/v2/" and "registry.example.com" are one. */
static struct span
host_of(struct span s)
{
	size_t n = 0;

	if (span_starts(s, SPAN("https://")))
		s = span_skip(s, 8);
	while (n < s.n && s.p[n] != '/' && s.p[n] != ':')
		n++;
	return (struct span){ s.p, n };
}

static int
get_credentials(void)
{
	size_t n;
	char *text = read_input(&n);
	struct text *t = calloc(1, sizeof *t);
	struct span server, token = SPAN_NONE;
	const char *why = "no registry on standard input";
	int status = 1;

	server = text == NULL ? SPAN_NONE : trimmed((struct span){ text, n });
	if (t != NULL && server.n > 0 && host_of(server).n > 0)
		token = find_token(host_of(server), t, &why);
	if (token.p != NULL)
		status = print_and_free(json_pack("{s:s%, s:s, s:s%}", "ServerURL", server.p, server.n, "Username", "jwt", "Secret", token.p, token.n));
	else
		fprintf(stderr, "docker-credential-tidewaiter: %s\n", why);
	/* clients know this sentence: they go on without a login */
	if (token.p == NULL && t != NULL && t->n == 0 && strncmp(why, "no token", 8) == 0)
		puts("credentials not found in native keychain");
	if (t != NULL)
		OPENSSL_cleanse(t, sizeof *t);
	free(t);
	free(text);
	return status;
}

int
helper_command(int argc, char **argv)
{
	const char *verb = argc == 2 ? argv[1] : "";
	size_t n;

	if (strcmp(verb, "get") == 0)
		return get_credentials();
	if (strcmp(verb, "list") == 0)
		return puts("{}") == EOF;
	if (strcmp(verb, "store") == 0 || strcmp(verb, "erase") == 0) {
		free(read_input(&n));
		return 0;
	}
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0)
		return fputs(helper_usage, stdout), 0;
	fputs(helper_usage, stderr);
	return 2;
}
