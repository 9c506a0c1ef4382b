/*
 * fetch_login.c - logins at registries for operators' commands: the calls of gateway/credentials/, each to its end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/fetch/fetch_login.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEPS_MAX 8u
#define SPARE	  30 /* seconds before its end at which a login is not used any more */

/* What comes in of one call. */
struct login_text {
	size_t n;
	char challenge[4096], text[65536];
};

static size_t
on_login_body(char *p, size_t size, size_t n, void *ctx)
{
	struct login_text *t = ctx;

	(void)size;
	if (n > sizeof t->text - t->n)
		return 0;
	memcpy(t->text + t->n, p, n);
	t->n += n;
	return n;
}

static size_t
on_login_field(char *p, size_t size, size_t n, void *ctx)
{
	struct login_text *t = ctx;
	struct span line = { p, n }, name = SPAN("WWW-Authenticate:");

	(void)size;
	if (n > name.n && span_eq_nocase((struct span){ p, name.n }, name) && t->challenge[0] == '\0') {
		line = span_skip(line, name.n);
		while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
			line.n--;
		if (line.n < sizeof t->challenge)
			memcpy(t->challenge, line.p, line.n);
	}
	return n;
}

/* One call of a login, to its end; the addresses are configured, or written down in gateway/credentials/. */
static void
login_call(const struct config_upstream *u, const struct registry_login *l, struct login_text *t, struct login_answer *a)
{
	const struct login_call *call = &l->call;
	bool http = call->target == LOGIN_METADATA || (call->target == LOGIN_REGISTRY && !u->tls);
	const char *ca = call->target == LOGIN_REGISTRY || u->credentials == CREDENTIALS_TOKEN ? u->ca_file : NULL;
	struct curl_slist *fields = curl_slist_append(NULL, "Expect:"), *more;
	struct span url = arena_dup(l->arena, call->url);
	CURL *c = curl_easy_init();
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	long status = 0;

	*t = (struct login_text){ .n = 0 };
	for (size_t i = 0; i < call->n_headers && fields != NULL; i++) {
		struct span line = arena_printf(l->arena, "%.*s: %.*s", SPAN_FMT(call->headers[i].name), SPAN_FMT(call->headers[i].value));

		more = line.p == NULL ? NULL : curl_slist_append(fields, line.p);
		if (more == NULL)
			curl_slist_free_all(fields);
		fields = more;
	}
	if (c != NULL && fields != NULL && url.p != NULL && curl_easy_setopt(c, CURLOPT_URL, url.p) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, http ? "http,https" : "https") == CURLE_OK &&
	    (ca == NULL || curl_easy_setopt(c, CURLOPT_CAINFO, ca) == CURLE_OK) &&
	    (ca == NULL || curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK) &&
	    curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 5000L) == CURLE_OK &&
	    (strcmp(call->method, "GET") == 0 ||
		(curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)call->body.n) == CURLE_OK &&
		    curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, call->body.n > 0 ? call->body.p : "") == CURLE_OK &&
		    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK)) &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_login_body) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_login_field) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK)
		rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	curl_slist_free_all(fields);
	*a = (struct login_answer){ .status = (unsigned)status, .body = { t->text, t->n }, .challenge = span_of(t->challenge) };
	if (rc != CURLE_OK)
		a->body = span_of(curl_easy_strerror(rc));
}

/* "repository:<name>:pull" of "<name>/manifests/..." and "<name>/tags/list...", as the gateway would ask. */
static struct span
scope_of(const struct config_upstream *u, const char *path, struct arena *a)
{
	static const char *const marks[] = { "/manifests/", "/tags/list", "/blobs/" };

	if (u->credentials == CREDENTIALS_ECR || u->credentials == CREDENTIALS_GAR)
		return SPAN("");
	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		const char *at = strstr(path, marks[i]);

		if (at != NULL)
			return arena_printf(a, "repository:%.*s:pull", (int)(at - path), path);
	}
	return SPAN("registry:catalog:*");
}

bool
fetch_login(struct fetch_login *f, const char *path, const char **authorization)
{
	const struct config_upstream *u = f->upstream;
	struct registry_login l = { .upstream = u, .world = &login_process, .memory = &f->memory, .now = time(NULL) };
	struct login_text *t = NULL;
	enum login_next next = LOGIN_FAILED;
	struct login_answer answer;

	*authorization = u->authorization;
	if (u->credentials < CREDENTIALS_TOKEN)
		return true;
	l.arena = arena_new((size_t)1 << 20);
	t = calloc(1, sizeof *t);
	if (l.arena == NULL || t == NULL)
		goto done;
	l.scope = scope_of(u, path, l.arena);
	if (f->text == NULL || l.now >= f->until || !span_eq(l.scope, span_of(f->scope))) {
		next = login_step(&l, NULL);
		for (unsigned i = 0; next == LOGIN_CALL && i < STEPS_MAX; i++) {
			login_call(u, &l, t, &answer);
			l.now = time(NULL);
			next = login_step(&l, &answer);
		}
		if (next != LOGIN_DONE) {
			fprintf(stderr, "tidewaiter: cannot log in at %s: %s\n", u->registry,
			    next == LOGIN_CALL ? "it does not come to an end" : l.reason);
			goto done;
		}
		login_keep(&f->text, l.authorization);
		login_keep(&f->scope, l.scope);
		f->until = l.expires - SPARE;
	}
	*authorization = f->text != NULL && *f->text != '\0' ? f->text : NULL;
	next = LOGIN_DONE;
done:
	free(t);
	arena_free(l.arena);
	return next == LOGIN_DONE;
}

void
fetch_login_clear(struct fetch_login *f)
{
	login_keep(&f->text, SPAN_NONE);
	login_keep(&f->scope, SPAN_NONE);
	login_memory_clear(&f->memory);
}
