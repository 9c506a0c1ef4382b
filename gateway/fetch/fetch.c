/*
 * fetch.c - GETs by libcurl's multi interface.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/fetch/fetch.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "gateway/fetch/fetch_login.h"
#include "policy/manifest.h"

#define ATTEMPTS     5u
#define PAUSE_MS     500 /* before the second attempt; it doubles */
#define PAUSE_MAX_MS 30000
#define STEP_MS	     200

struct transfer {
	struct fetch *fetch;
	CURL *curl;
	struct curl_slist *fields;
	void (*done)(void *ctx, const struct fetch_answer *a);
	void *ctx;
	char *body;
	size_t n, room, max;
	char link[2048];
	unsigned attempts;
	int64_t due; /* ms; 0: under way */
	struct transfer *next;
};

struct fetch {
	CURLM *multi;
	const struct config_upstream *upstream;
	const struct config_limits *limits;
	struct fetch_login login;
	unsigned parallel, running;
	struct transfer *all;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what comes in ---- */

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;
	char *more;

	(void)one;
	if (n > t->max - t->n)
		return 0;
	if (t->n + n > t->room) {
		more = realloc(t->body, (t->n + n) * 2);
		if (more == NULL)
			return 0;
		t->body = more;
		t->room = (t->n + n) * 2;
	}
	memcpy(t->body + t->n, p, n);
	t->n += n;
	return n;
}

/* <anything?QUERY>; rel="next": the query alone is taken, it goes where we asked before. */
static void
read_link(struct transfer *t, struct span value)
{
	const char *end = memchr(value.p, '>', value.n), *query = memchr(value.p, '?', value.n);
	size_t n;

	if (end == NULL || query == NULL || query > end ||
	    memmem(end, value.n - (size_t)(end - value.p), "next", 4) == NULL)
		return;
	n = (size_t)(end - query) - 1;
	if (n >= sizeof t->link)
		return;
	memcpy(t->link, query + 1, n);
	t->link[n] = '\0';
	for (const char *p = t->link; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			t->link[0] = '\0';
}

static size_t
on_field(char *p, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;

	(void)one;
	if (n >= 5 && strncmp(p, "HTTP/", 5) == 0)
		t->link[0] = '\0';
	if (n > 5 && strncasecmp(p, "link:", 5) == 0)
		read_link(t, (struct span){ p + 5, n - 5 });
	return n;
}

/* ---- transfers ---- */

static void
transfer_free(struct transfer *t)
{
	struct transfer **at = &t->fetch->all;

	while (*at != NULL && *at != t)
		at = &(*at)->next;
	if (*at == t) {
		*at = t->next;
		t->fetch->running--;
	}
	if (t->curl != NULL) {
		if (t->due == 0)
			curl_multi_remove_handle(t->fetch->multi, t->curl);
		curl_easy_cleanup(t->curl);
	}
	curl_slist_free_all(t->fields);
	free(t->body);
	free(t);
}

static bool
add_field(struct transfer *t, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	if (value == NULL)
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
prepare(struct transfer *t, const char *url)
{
	const struct config_upstream *u = t->fetch->upstream;
	const struct config_limits *l = t->fetch->limits;
	CURL *c = t->curl;

	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PRIVATE, t) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->fields) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, u->tls ? "https" : "http") == CURLE_OK &&
	    (u->ca_file == NULL || curl_easy_setopt(c, CURLOPT_CAINFO, u->ca_file) == CURLE_OK) &&
	    (u->ca_file == NULL || curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK) &&
	    curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_USERAGENT, "tidewaiter/" TW_VERSION) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)l->upstream_connect) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)l->upstream_first_byte) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_field) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK;
}

bool
fetch_start(struct fetch *f, const char *path, const char *accept, size_t max,
    void (*done)(void *ctx, const struct fetch_answer *a), void *ctx)
{
	struct transfer *t = f->running < f->parallel ? calloc(1, sizeof *t) : NULL;
	const char *authorization = NULL;
	char *url = NULL;
	bool ok;

	if (t == NULL || !fetch_login(&f->login, path, &authorization)) {
		free(t);
		return false;
	}
	t->fetch = f;
	t->done = done;
	t->ctx = ctx;
	t->max = max;
	t->curl = curl_easy_init();
	ok = t->curl != NULL &&
	    asprintf(&url, "%s%s/v2/%s", f->upstream->origin, f->upstream->path, path) >= 0 &&
	    add_field(t, "Accept", accept) &&
	    add_field(t, "Authorization", authorization) &&
	    add_field(t, "Accept-Encoding", "identity") && prepare(t, url) &&
	    curl_multi_add_handle(f->multi, t->curl) == CURLM_OK;
	free(url);
	if (!ok) {
		t->due = -1; /* never was added */
		transfer_free(t);
		return false;
	}
	t->next = f->all;
	f->all = t;
	f->running++;
	return true;
}

/* ---- the end of one ---- */

static bool
worth_another(const struct transfer *t, long status)
{
	return t->attempts < ATTEMPTS && (status == 0 || status == 429 || status >= 500);
}

static void
try_later(struct transfer *t)
{
	int64_t pause = (int64_t)PAUSE_MS << (t->attempts - 1);
	curl_off_t asked = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &asked);
	if (asked > 0 && asked <= PAUSE_MAX_MS / 1000)
		pause = asked * 1000;
	curl_multi_remove_handle(t->fetch->multi, t->curl);
	t->n = 0;
	t->due = now_ms() + pause;
}

static void
finished(struct transfer *t, CURLcode rc)
{
	struct fetch_answer a = { .status = 0 };

	if (rc == CURLE_OK)
		curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &a.status);
	t->attempts++;
	if (worth_another(t, a.status)) {
		try_later(t);
		return;
	}
	a.body = (struct span){ t->body, t->n };
	a.link = t->link[0] == '\0' ? NULL : t->link;
	a.why = rc == CURLE_WRITE_ERROR ? "the answer is too long" : curl_easy_strerror(rc);
	t->done(t->ctx, &a);
	transfer_free(t);
}

static void
start_due(struct fetch *f)
{
	int64_t now = now_ms();

	for (struct transfer *t = f->all; t != NULL; t = t->next)
		if (t->due > 0 && t->due <= now &&
		    curl_multi_add_handle(f->multi, t->curl) == CURLM_OK)
			t->due = 0;
}

void
fetch_step(struct fetch *f)
{
	int n;
	CURLMsg *m;

	start_due(f);
	if (curl_multi_perform(f->multi, &n) != CURLM_OK)
		return;
	while ((m = curl_multi_info_read(f->multi, &n)) != NULL) {
		char *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		finished((struct transfer *)(void *)t, m->data.result);
	}
	if (f->running > 0)
		curl_multi_poll(f->multi, NULL, 0, STEP_MS, NULL);
}

bool
fetch_one(struct fetch *f, const char *path, const char *accept, size_t max,
    void (*done)(void *ctx, const struct fetch_answer *a), void *ctx)
{
	if (!fetch_start(f, path, accept, max, done, ctx))
		return false;
	while (f->running > 0)
		fetch_step(f);
	return true;
}

unsigned
fetch_running(const struct fetch *f)
{
	return f->running;
}

struct fetch *
fetch_new(const struct config_upstream *u, const struct config_limits *limits, unsigned parallel)
{
	struct fetch *f = calloc(1, sizeof *f);

	if (f == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(f);
		return NULL;
	}
	f->multi = curl_multi_init();
	if (f->multi == NULL) {
		free(f);
		return NULL;
	}
	curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)parallel);
	f->upstream = u;
	f->login.upstream = u;
	f->limits = limits;
	f->parallel = parallel;
	return f;
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	while (f->all != NULL)
		transfer_free(f->all);
	curl_multi_cleanup(f->multi);
	fetch_login_clear(&f->login);
	free(f);
}

/* ---- manifests ---- */

static bool
says_absent(struct span body)
{
	json_t *o = json_loadb(body.p == NULL ? "" : body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_string_value(
	    json_object_get(json_array_get(json_object_get(o, "errors"), 0), "code"));
	bool absent = code != NULL &&
	    (strcmp(code, "MANIFEST_UNKNOWN") == 0 || strcmp(code, "NAME_UNKNOWN") == 0);

	json_decref(o);
	return absent;
}

enum fetch_manifest
fetch_manifest_of(const struct fetch_answer *a, char digest[static 72])
{
	memset(digest, 0, 72);
	if (a->status == 404 && says_absent(a->body))
		return FETCH_ABSENT;
	if (a->status != 200 || a->body.n == 0)
		return FETCH_UNKNOWN;
	digest_sha256(a->body, digest);
	return FETCH_PRESENT;
}
