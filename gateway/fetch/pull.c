/*
 * pull.c - GETs by libcurl's multi interface, driven while somebody reads.
 *
 * Nothing moves between two reads: the socket's buffers are all that fills meanwhile, so that a slow reader is never taken for a
 * slow registry.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/fetch/pull.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "gateway/upstream/storage.h"
#include "policy/manifest.h"

#define BUFFER	    262144u
#define HOPS_MAX    3u
#define STEP_MS	    50
#define CONNECTIONS 8L
#define URL_MAX	    16384u

struct puller {
	CURLM *multi;
};

struct pull {
	struct puller *puller;
	const struct pull_ask *ask;
	CURL *curl; /* NULL: none under way */
	struct curl_slist *fields;
	EVP_MD_CTX *hash; /* NULL: not to be checked */
	char *location;	  /* of a redirect; NULL */
	char content_type[256], next[2048];
	bool elsewhere;	  /* at storage: no credentials */
	bool head, ended, paused;
	CURLcode rc; /* ended: how */
	enum pull_outcome outcome;
	uint64_t total;
	int64_t waited; /* ms spent on waiting for the body */
	size_t n;
	char buffer[BUFFER];
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool
stopped(const struct pull *t)
{
	return t->ask->stop != NULL && atomic_load_explicit(t->ask->stop, memory_order_relaxed);
}

/* ---- what comes in ---- */

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct pull *t = arg;

	(void)one;
	t->head = true;
	if (n > sizeof t->buffer - t->n) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(t->buffer + t->n, p, n);
	t->n += n;
	return n;
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n' || s.p[s.n - 1] == ' '))
		s.n--;
	return s;
}

static bool
is_field(struct span line, struct span name, struct span *value)
{
	if (line.n < name.n || !span_eq_nocase((struct span){ line.p, name.n }, name))
		return false;
	*value = trimmed(span_skip(line, name.n));
	return true;
}

/* <anything?QUERY>; rel="next": the query alone is taken, it goes where we asked before. */
static void
read_next(struct pull *t, struct span value)
{
	const char *end = memchr(value.p, '>', value.n), *query = memchr(value.p, '?', value.n);
	size_t n;

	if (end == NULL || query == NULL || query > end || memmem(end, value.n - (size_t)(end - value.p), "next", 4) == NULL)
		return;
	n = (size_t)(end - query) - 1;
	if (n >= sizeof t->next)
		return;
	memcpy(t->next, query + 1, n);
	t->next[n] = '\0';
	for (const char *p = t->next; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			t->next[0] = '\0';
}

static size_t
on_field(char *p, size_t one, size_t n, void *arg)
{
	struct pull *t = arg;
	struct span line = { p, n }, value;

	(void)one;
	if (span_starts(line, SPAN("HTTP/"))) {
		t->next[0] = t->content_type[0] = '\0';
		free(t->location);
		t->location = NULL;
	}
	if (is_field(line, SPAN("link:"), &value) && value.n > 0)
		read_next(t, value);
	if (is_field(line, SPAN("content-type:"), &value) && value.n < sizeof t->content_type) {
		if (value.n > 0)
			memcpy(t->content_type, value.p, value.n);
		t->content_type[value.n] = '\0';
	}
	if (is_field(line, SPAN("location:"), &value) && value.n < URL_MAX && t->location == NULL)
		t->location = strndup(value.p, value.n);
	if (trimmed(line).n == 0) {
		long status = 0;

		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
		t->head = status >= 200;
	}
	return n;
}

/* ---- one transfer ---- */

static void
transfer_end(struct pull *t)
{
	if (t->curl != NULL) {
		curl_multi_remove_handle(t->puller->multi, t->curl);
		curl_easy_cleanup(t->curl);
	}
	curl_slist_free_all(t->fields);
	t->curl = NULL;
	t->fields = NULL;
	t->head = t->ended = t->paused = false;
	t->n = 0;
}

static bool
add_field(struct pull *t, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	if (value == NULL || *value == '\0')
		return true;
	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	more = curl_slist_append(t->fields, line);
	free(line);
	if (more != NULL)
		t->fields = more;
	return more != NULL;
}

static bool
prepare(struct pull *t, const char *url)
{
	const struct config_upstream *u = t->ask->upstream;
	const char *ca = t->elsewhere ? u->redirect_ca_file : u->ca_file;
	CURL *c = t->curl;

	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(c, CURLOPT_PRIVATE, t) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->fields) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, u->tls || t->elsewhere ? "https" : "http") == CURLE_OK &&
	    (ca == NULL || curl_easy_setopt(c, CURLOPT_CAINFO, ca) == CURLE_OK) &&
	    (ca == NULL || curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK) &&
	    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_USERAGENT, "tidewaiter/" TW_VERSION) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER / 2) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)t->ask->limits->upstream_connect) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK && curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_field) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK;
}

/* False: no memory, or it moves no further. */
static bool
turn(struct pull *t, bool wait)
{
	CURLMsg *m;
	int n;

	if (curl_multi_perform(t->puller->multi, &n) != CURLM_OK)
		return false;
	while ((m = curl_multi_info_read(t->puller->multi, &n)) != NULL) {
		if (m->msg != CURLMSG_DONE || m->easy_handle != t->curl)
			continue;
		t->ended = true;
		t->rc = m->data.result;
	}
	if (wait && !t->ended && t->n == 0 && !t->head)
		curl_multi_poll(t->puller->multi, NULL, 0, STEP_MS, NULL);
	return true;
}

/* Send it, and wait for the head. */
static bool
begin(struct pull *t, const char *url, const char *authorization, char *err, size_t err_size)
{
	int64_t until = now_ms() + t->ask->limits->upstream_connect + t->ask->limits->upstream_first_byte;

	transfer_end(t);
	t->curl = curl_easy_init();
	if (t->curl == NULL || !add_field(t, "Accept", t->ask->accept) || !add_field(t, "Authorization", authorization) ||
	    !add_field(t, "Accept-Encoding", "identity") || !prepare(t, url) ||
	    curl_multi_add_handle(t->puller->multi, t->curl) != CURLM_OK) {
		snprintf(err, err_size, "out of memory");
		return false;
	}
	while (!t->head && !t->ended) {
		if (stopped(t)) {
			t->outcome = PULL_STOPPED;
			snprintf(err, err_size, "stopped");
			return false;
		}
		if (now_ms() > until || !turn(t, true)) {
			snprintf(err, err_size, "the registry does not answer");
			return false;
		}
	}
	if (t->ended && t->rc != CURLE_OK) {
		snprintf(err, err_size, "%s", curl_easy_strerror(t->rc));
		return false;
	}
	return true;
}

/* ---- to the answer that counts ---- */

static bool
is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where it leads, if we may go there; the query is a secret and is not told. NULL with a reason. */
static char *
place_of(const struct pull *t, char *err, size_t err_size)
{
	struct storage_place place;
	struct arena *a = arena_new((size_t)4 * URL_MAX);
	char *url = NULL;

	if (a != NULL && t->location != NULL && storage_place_parse(span_of(t->location), a, &place) && place.tls &&
	    config_redirect_allowed(t->ask->upstream, place.host, place.port))
		url = strdup(t->location);
	if (url == NULL)
		snprintf(err, err_size, "redirected to where redirect-hosts does not allow");
	arena_free(a);
	return url;
}

/* 200 at the end of redirects. */
static enum pull_outcome
ask(struct pull *t, char *url, char *err, size_t err_size)
{
	const struct pull_ask *q = t->ask;
	const char *authorization = q->login == NULL ? "" : q->login(q->ctx, false, err, err_size);
	bool again = false;
	long status = 0;

	for (unsigned hops = 0; url != NULL && authorization != NULL; hops++) {
		if (!begin(t, url, t->elsewhere ? "" : authorization, err, err_size))
			break;
		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status == 401 && !t->elsewhere && !again && q->login != NULL) {
			again = true;
			authorization = q->login(q->ctx, true, err, err_size);
			continue;
		}
		if (!is_redirect(status) || hops > HOPS_MAX) {
			free(url);
			snprintf(err, err_size, "the %s answered %ld", t->elsewhere ? "storage" : "registry", status);
			return status == 200 ? PULL_OK : status == 404 ? PULL_ABSENT : PULL_FAILED;
		}
		free(url);
		url = place_of(t, err, err_size);
		t->elsewhere = true;
	}
	free(url);
	return t->outcome;
}

/* What the head says of the length, against what it must be. */
static enum pull_outcome
check_length(const struct pull *t, char *err, size_t err_size)
{
	curl_off_t length = -1;

	curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && (uint64_t)length > t->ask->max) {
		snprintf(err, err_size, "%lld bytes are more than %llu", (long long)length, (unsigned long long)t->ask->max);
		return PULL_TOO_LARGE;
	}
	if (length >= 0 && t->ask->size != 0 && (uint64_t)length != t->ask->size) {
		snprintf(err, err_size, "%lld bytes instead of %llu", (long long)length, (unsigned long long)t->ask->size);
		return PULL_FAILED;
	}
	return PULL_OK;
}

enum pull_outcome
pull_open(struct puller *p, const struct pull_ask *q, struct pull **out, char *err, size_t err_size)
{
	struct pull *t = calloc(1, sizeof *t);
	enum pull_outcome outcome = PULL_FAILED;
	char *url = NULL;

	*out = NULL;
	snprintf(err, err_size, "out of memory");
	if (t == NULL)
		return PULL_FAILED;
	t->puller = p;
	t->ask = q;
	if (q->digest != NULL) {
		t->hash = EVP_MD_CTX_new();
		if (t->hash == NULL || EVP_DigestInit_ex(t->hash, EVP_sha256(), NULL) != 1)
			goto fail;
	}
	if (asprintf(&url, "%s%s/v2/%.*s/%s", q->upstream->origin, q->upstream->path, SPAN_FMT(q->repository), q->path) < 0)
		goto fail;
	outcome = ask(t, url, err, err_size);
	if (outcome == PULL_OK)
		outcome = check_length(t, err, err_size);
	if (outcome != PULL_OK)
		goto fail;
	*out = t;
	return PULL_OK;
fail:
	pull_close(t);
	return outcome;
}

/* ---- reading ---- */

static long
fail_read(struct pull *t, enum pull_outcome outcome, char *err, size_t err_size, const char *why)
{
	t->outcome = outcome;
	snprintf(err, err_size, "%s", why);
	return -1;
}

static long
at_end(struct pull *t, char *err, size_t err_size)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char digest[72];

	if (t->rc != CURLE_OK)
		return fail_read(t, PULL_FAILED, err, err_size, curl_easy_strerror(t->rc));
	if (t->ask->size != 0 && t->total != t->ask->size)
		return fail_read(t, PULL_FAILED, err, err_size, "it is not as long as its manifest says");
	if (t->hash != NULL) {
		if (EVP_DigestFinal_ex(t->hash, hash, NULL) != 1)
			return fail_read(t, PULL_FAILED, err, err_size, "out of memory");
		EVP_MD_CTX_free(t->hash);
		t->hash = NULL;
		digest_text(hash, digest);
		if (strcmp(digest, t->ask->digest) != 0)
			return fail_read(t, PULL_FAILED, err, err_size, "the registry's bytes are not those of the digest");
	}
	t->outcome = PULL_OK;
	return 0;
}

static bool
too_slow(const struct pull *t, int64_t idle)
{
	const struct config_limits *l = t->ask->limits;

	return idle > l->body_idle ||
	    (t->waited > l->body_grace && t->total * 1000 / (uint64_t)t->waited < l->body_min_rate);
}

long
pull_read(void *pull, const char **p, char *err, size_t err_size)
{
	struct pull *t = pull;
	int64_t began = now_ms(), idle = 0;

	if (t->total > 0)
		t->n = 0;
	if (t->paused) {
		t->paused = false;
		curl_easy_pause(t->curl, CURLPAUSE_CONT);
	}
	while (t->n == 0 && !t->ended) {
		if (stopped(t))
			return fail_read(t, PULL_STOPPED, err, err_size, "stopped");
		if (too_slow(t, idle))
			return fail_read(t, PULL_FAILED, err, err_size, "the registry sends too slowly");
		if (!turn(t, false))
			return fail_read(t, PULL_FAILED, err, err_size, "out of memory");
		if (t->n == 0 && !t->ended)
			curl_multi_poll(t->puller->multi, NULL, 0, STEP_MS, NULL);
		idle = now_ms() - began;
	}
	t->waited += now_ms() - began;
	if (t->n == 0)
		return at_end(t, err, err_size);
	t->total += t->n;
	if (t->total > t->ask->max)
		return fail_read(t, PULL_TOO_LARGE, err, err_size, "it is longer than allowed");
	if (t->hash != NULL && EVP_DigestUpdate(t->hash, t->buffer, t->n) != 1)
		return fail_read(t, PULL_FAILED, err, err_size, "out of memory");
	*p = t->buffer;
	return (long)t->n;
}

enum pull_outcome
pull_outcome(const struct pull *t)
{
	return t->outcome;
}

const char *
pull_content_type(const struct pull *t)
{
	return t->content_type;
}

const char *
pull_next(const struct pull *t)
{
	return t->next;
}

void
pull_close(struct pull *t)
{
	if (t == NULL)
		return;
	transfer_end(t);
	EVP_MD_CTX_free(t->hash);
	free(t->location);
	free(t);
}

enum pull_outcome
pull_whole(struct puller *p, const struct pull_ask *q, struct arena *a, struct span *out, struct span *content_type, char *err,
    size_t err_size)
{
	struct pull *t;
	enum pull_outcome outcome = pull_open(p, q, &t, err, err_size);
	char *all = NULL, *more;
	const char *bytes;
	size_t n = 0;
	long got;

	*out = SPAN_NONE;
	if (outcome != PULL_OK)
		return outcome;
	while ((got = pull_read(t, &bytes, err, err_size)) > 0) {
		more = realloc(all, n + (size_t)got);
		if (more == NULL) {
			snprintf(err, err_size, "out of memory");
			goto fail;
		}
		all = more;
		memcpy(all + n, bytes, (size_t)got);
		n += (size_t)got;
	}
	outcome = t->outcome;
	if (got == 0) {
		*out = arena_dup(a, (struct span){ all, n });
		if (content_type != NULL)
			*content_type = arena_dup(a, span_of(t->content_type));
		if (arena_failed(a)) {
			snprintf(err, err_size, "out of memory");
			goto fail;
		}
	}
	pull_close(t);
	free(all);
	return outcome;
fail:
	pull_close(t);
	free(all);
	return PULL_FAILED;
}

/* ---- life ---- */

struct puller *
puller_new(void)
{
	struct puller *p = calloc(1, sizeof *p);

	if (p == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(p);
		return NULL;
	}
	p->multi = curl_multi_init();
	if (p->multi == NULL) {
		free(p);
		return NULL;
	}
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS);
	return p;
}

void
puller_free(struct puller *p)
{
	if (p == NULL)
		return;
	curl_multi_cleanup(p->multi);
	free(p);
}
