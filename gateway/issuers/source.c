/*
 * source.c - one issuer's keys: discovery, the set, when to fetch it again, who waits for it.
 * Invariant: keys are in force only from a complete answer of the issuer's own (or its kept copy), and never longer than
 * stale-limit after it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/issuers/source.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/audit/event.h"
#include "gateway/file.h"
#include "gateway/issuers/keystore.h"
#include "gateway/log.h"

#define BUDGET_MS	5000	/* for one fetch, discovery included: somebody may be waiting */
#define BEARER_MAX	65536u
#define DETAIL_MAX	480u

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);	/* keys grow old while a machine sleeps */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t
random32(void)
{
	uint32_t v = 0;

	/* only spreads fetches of replicas: no secret */
	if (RAND_bytes((unsigned char *)&v, sizeof v) != 1)
		return 0;
	return v;
}

/* ---- events ---- */

static void
record(const struct key_source *s, const char *event, const char *reason, const char *detail)
{
	struct audit_event e = { .event = event, .action = SPAN("none"), .reason = reason, .detail = span_of(detail),
		.decision = strcmp(reason, "ok") == 0 ? AUDIT_ALLOW : AUDIT_ERROR, .actor.issuer = span_of(s->alias) };
	char line[EVENT_MAX];
	size_t n;

	event_now(&e);
	n = event_write(&e, line, sizeof line);
	if (n == 0 || !spool_put(s->env->spool, (struct span){ line, n }, NULL))
		log_warn("msg=%s of issuer %s could not be recorded", event, s->alias);
}

/* " kid kid ..." of the keys of one set that are not in the other (NULL: all). */
static void
add_kids(FILE *f, const char *head, const struct keyset *ks, const struct keyset *other)
{
	for (size_t i = 0; ks != NULL && i < keyset_count(ks); i++) {
		const char *kid = keyset_kid(ks, i);

		if (other != NULL && keyset_has(other, span_of(kid)))
			continue;
		fprintf(f, "%s %s", head, *kid == '\0' ? "(no kid)" : kid);
		head = "";
	}
}

static void
say_refreshed(const struct key_source *s, const struct keyset *before, const struct keyset *now)
{
	char detail[DETAIL_MAX];
	FILE *f = fmemopen(detail, sizeof detail, "w");

	detail[0] = '\0';
	if (f != NULL) {
		fprintf(f, "%zu keys:", keyset_count(now));
		add_kids(f, "", now, NULL);
		if (before != NULL)
			add_kids(f, "; gone:", before, now);
		fclose(f);
	}
	detail[sizeof detail - 1] = '\0';
	log_info("issuer=%s msg=keys refreshed from %s: %s", s->alias, s->where, detail);
	record(s, "keys.refreshed", "ok", detail);
}

/* ---- who waits ---- */

static void
on_waited(struct mail *m)
{
	struct key_wait *w = (struct key_wait *)(void *)m;

	w->done(w);
}

static void
answer(struct key_wait *w)
{
	w->mail.deliver = on_waited;
	mailbox_post(w->reply_to, &w->mail);
}

static void
answer_all(struct key_source *s)
{
	for (struct key_wait *w = s->waiting, *next; w != NULL; w = next) {
		next = w->next;
		answer(w);
	}
	s->waiting = NULL;
}

/* ---- a set ---- */

static void
schedule(struct key_source *s)
{
	int64_t at = refresh_next(&s->refresh), wait = at == INT64_MAX ? BUDGET_MS : at - now_ms();
	struct timeval tv;

	wait = wait < 0 ? 0 : wait;
	tv = (struct timeval){ .tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000 };
	event_add(s->timer, &tv);
}

static void
keep(const struct key_source *s, int64_t now)
{
	struct kept_keys k = { .issuer = s->url, .source = s->same, .fetched = now, .document = s->document, .n = s->document_n };
	char err[512];

	if (!keystore_save(s->path, &k, err, sizeof err))
		log_warn("issuer=%s msg=its keys could not be kept for the next start: %s", s->alias, err);
}

/* Another set comes into force; keys is taken over. */
static bool
put_in_force(struct key_source *s, struct keyset *keys)
{
	size_t n = keys == NULL ? 0 : keyset_count(keys);

	if (!s->env->changed(s->env->ctx, s, keys)) {
		keyset_free(keys);
		return false;
	}
	atomic_store_explicit(&s->n_keys, (unsigned)n, memory_order_relaxed);
	return true;
}

static void
failed(struct key_source *s, const char *what, const char *why)
{
	char detail[DETAIL_MAX];

	snprintf(detail, sizeof detail, "%s %.*s: %.200s", what, (int)strcspn(s->where, "?"), s->where, why);
	refresh_failed(&s->refresh, random32(), now_ms());
	atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
	atomic_store_explicit(&s->fresh, false, memory_order_relaxed);
	log_warn("issuer=%s msg=its keys could not be fetched, %s: %s", s->alias,
	    refresh_has_keys(&s->refresh) ? "those of before stay" : "its tokens are refused", detail);
	if (s->refresh.failures == 1)
		record(s, "keys.failed", "keys_failed", detail);
	answer_all(s);
	schedule(s);
}

static void
came(struct key_source *s, struct keyset *keys, int64_t max_age)
{
	struct errand *e = &s->errand;
	int64_t now = time(NULL);
	bool other = s->document == NULL || s->document_n != e->answer_n || memcmp(s->document, e->answer, e->answer_n) != 0;
	struct keyset *before = s->keys == NULL ? NULL : keyset_ref(s->keys), *after = keyset_ref(keys);
	bool tell = other || s->refresh.failures > 0;

	if (other && !put_in_force(s, keys)) {
		keyset_free(before);
		keyset_free(after);
		failed(s, "keys", "out of memory");
		return;
	}
	if (!other)
		keyset_free(keys);
	free(s->document);
	s->document = e->answer;
	s->document_n = e->answer_n;
	e->answer = NULL;
	refresh_done(&s->refresh, max_age, random32(), now_ms());
	atomic_store_explicit(&s->fetched, now, memory_order_relaxed);
	atomic_store_explicit(&s->fresh, true, memory_order_relaxed);
	if (tell)
		say_refreshed(s, before, after);
	keyset_free(before);
	keyset_free(after);
	keep(s, now);
	answer_all(s);
	schedule(s);
}

/* ---- fetching ---- */

static void on_errand(struct errand *e);

/* The issuer's own token file is for the issuer only: discovery may have named another host. */
static void
set_fields(struct key_source *s)
{
	const char *own = s->jwks_url != NULL ? s->jwks_url : s->url;

	s->fields[0] = "Accept: application/json, application/jwk-set+json";
	s->fields[1] = s->authorization != NULL && discovery_same_host(own, s->where) ? s->authorization : NULL;
	s->fields[2] = NULL;
}

static void
fetch(struct key_source *s)
{
	int64_t left = s->began + BUDGET_MS - now_ms();

	set_fields(s);
	s->errand = (struct errand){
		.kind = ERRAND_KIND_KEYS,
		.url = s->where,
		.fields = s->fields,
		.ca_file = s->ca_file,
		.max = DISCOVERY_MAX,
		.timeout_ms = left < 1 ? 1 : (unsigned)left,
		.allow_private = s->allow_private,
		.done = on_errand,
	};
	courier_submit(s->env->courier, &s->errand);
}

static void
forget_authorization(struct key_source *s)
{
	if (s->authorization != NULL)
		OPENSSL_clear_free(s->authorization, strlen(s->authorization) + 1);
	s->authorization = NULL;
}

/* One line of printable characters without blanks: it becomes a field. */
static bool
read_bearer(struct key_source *s, char *err, size_t err_size)
{
	static const char name[] = "Authorization: Bearer ";
	size_t n, good = 0;
	char *text = file_read(s->bearer_token_file, BEARER_MAX, &n, err, err_size);

	if (text == NULL)
		return false;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	while (good < n && text[good] > ' ' && text[good] <= '~')
		good++;
	if (good == n && n > 0)
		s->authorization = OPENSSL_zalloc(sizeof name + n);
	if (s->authorization != NULL) {
		memcpy(s->authorization, name, sizeof name - 1);
		memcpy(s->authorization + sizeof name - 1, text, n);
	} else {
		snprintf(err, err_size, "does not hold one token");
	}
	OPENSSL_clear_free(text, n);
	return s->authorization != NULL;
}

static void
begin(struct key_source *s)
{
	char err[256];
	int n = (int)strlen(s->url);

	refresh_begin(&s->refresh);
	s->began = now_ms();
	s->discovering = s->jwks_url == NULL;
	if (n > 0 && s->url[n - 1] == '/')
		n--;
	if (s->discovering)
		snprintf(s->where, sizeof s->where, "%.*s/.well-known/openid-configuration", n, s->url);
	else
		snprintf(s->where, sizeof s->where, "%s", s->jwks_url);
	forget_authorization(s);
	if (s->bearer_token_file != NULL && !read_bearer(s, err, sizeof err)) {
		failed(s, "bearer-token-file for", err);
		return;
	}
	fetch(s);
	schedule(s);
}

/* Then the keys are on their way. False: it says nothing good. */
static bool
discovered(struct key_source *s)
{
	char uri[DISCOVERY_URL], err[512];

	if (!discovery_read((struct span){ s->errand.answer, s->errand.answer_n }, s->url, (const char *const *)s->hosts, s->n_hosts,
	    uri, err, sizeof err)) {
		failed(s, "discovery", err);
		return false;
	}
	errand_clear(&s->errand);
	s->discovering = false;
	snprintf(s->where, sizeof s->where, "%s", uri);
	fetch(s);
	return true;
}

static void
on_errand(struct errand *e)
{
	struct key_source *s = (struct key_source *)(void *)((char *)e - offsetof(struct key_source, errand));
	const char *what = s->discovering ? "discovery" : "keys";
	struct keyset *keys;
	char err[512];

	if (e->outcome == ERRAND_STOPPED) {
		s->refresh.under_way = false;
		answer_all(s);
	} else if (e->outcome != ERRAND_OK) {
		failed(s, what, e->why);
	} else if (s->discovering) {
		if (discovered(s))
			return;
	} else if ((keys = keyset_parse_for(s->use, e->answer, e->answer_n, err, sizeof err)) == NULL) {
		failed(s, what, err);
	} else {
		came(s, keys, errand_max_age(e));
	}
	errand_clear(e);
	forget_authorization(s);
	s->env->idle(s->env->ctx, s);
}

/* The set is too old to be believed. False when out of memory: it is still there. */
static bool
expire(struct key_source *s)
{
	if (!put_in_force(s, NULL))
		return false;
	refresh_forget(&s->refresh);
	free(s->document);
	s->document = NULL;
	atomic_store_explicit(&s->fetched, 0, memory_order_relaxed);
	log_error("issuer=%s msg=its keys are too old and could not be fetched again: its tokens are refused", s->alias);
	record(s, "keys.failed", "keys_expired", "older than stale-limit");
	return true;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct key_source *s = arg;
	int64_t now = now_ms();

	(void)fd;
	(void)what;
	if (refresh_expired(&s->refresh, now) && !expire(s)) {
		event_add(s->timer, &(struct timeval){ .tv_sec = 1 });
		return;
	}
	if (refresh_due(&s->refresh, now))
		begin(s);
	else
		schedule(s);
}

void
source_wait(struct key_source *s, struct key_wait *w)
{
	enum refresh_answer a = s->started ? refresh_ask(&s->refresh, now_ms()) : REFRESH_NO;

	if (a == REFRESH_NO) {
		answer(w);
		return;
	}
	w->next = s->waiting;
	s->waiting = w;
	if (a == REFRESH_BEGIN)
		begin(s);
}

bool
source_busy(const struct key_source *s)
{
	return s->refresh.under_way;
}

/* ---- life ---- */

static const char *
text_or(const char *s)
{
	return s == NULL ? "" : s;
}

char *
source_same(const struct config_issuer *c)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f == NULL)
		return NULL;
	fprintf(f, "%s\n%s\n%s\n%s\n%s\n%d %d %lld", c->alias, c->url, text_or(c->jwks_url), text_or(c->ca_file),
	    text_or(c->bearer_token_file), c->allow_private, c->preset == PRESET_SPIFFE, (long long)c->stale_limit);
	for (size_t i = 0; i < c->n_jwks_hosts; i++)
		fprintf(f, "\n%s", c->jwks_hosts[i]);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static char *
copy(const char *s, bool *ok)
{
	char *c = s == NULL ? NULL : strdup(s);

	*ok = *ok && (s == NULL || c != NULL);
	return c;
}

static bool
copy_options(struct key_source *s, const struct config_issuer *c)
{
	bool ok = true;

	s->same = source_same(c);
	s->alias = copy(c->alias, &ok);
	s->url = copy(c->url, &ok);
	s->jwks_url = copy(c->jwks_url, &ok);
	s->ca_file = copy(c->ca_file, &ok);
	s->bearer_token_file = copy(c->bearer_token_file, &ok);
	s->hosts = calloc(c->n_jwks_hosts + 1, sizeof *s->hosts);
	for (; s->hosts != NULL && s->n_hosts < c->n_jwks_hosts; s->n_hosts++)
		s->hosts[s->n_hosts] = copy(c->jwks_hosts[s->n_hosts], &ok);
	s->use = c->preset == PRESET_SPIFFE ? "jwt-svid" : NULL;
	s->allow_private = c->allow_private;
	if (asprintf(&s->path, "%s/keys-%s.json", s->env->directory, c->alias) < 0)
		s->path = NULL;
	return ok && s->same != NULL && s->hosts != NULL && s->path != NULL;
}

static void
restore(struct key_source *s)
{
	struct kept_keys k = { .issuer = s->url, .source = s->same };
	int64_t now = time(NULL);
	char err[512];

	if (keystore_load(s->path, &k, now, err, sizeof err)) {
		int64_t age = now > k.fetched ? (now - k.fetched) * REFRESH_SECOND : 0;

		s->keys = keyset_parse_for(s->use, k.document, k.n, err, sizeof err);
		if (s->keys != NULL && !refresh_restore(&s->refresh, age, now_ms())) {
			snprintf(err, sizeof err, "older than stale-limit");
			keyset_free(s->keys);
			s->keys = NULL;
		}
	}
	if (s->keys == NULL) {
		if (err[0] != '\0')
			log_warn("issuer=%s msg=the keys kept in %s are not used: %s", s->alias, s->path, err);
		free(k.document);
		return;
	}
	s->document = k.document;
	s->document_n = k.n;
	atomic_store_explicit(&s->fetched, k.fetched, memory_order_relaxed);
	atomic_store_explicit(&s->n_keys, (unsigned)keyset_count(s->keys), memory_order_relaxed);
	log_info("issuer=%s msg=begins with the %zu keys kept in %s", s->alias, keyset_count(s->keys), s->path);
}

struct key_source *
source_new(const struct source_env *env, const struct config_issuer *c)
{
	struct key_source *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->env = env;
	s->timer = event_new(courier_base(env->courier), -1, 0, on_timer, s);
	refresh_init(&s->refresh, c->stale_limit * REFRESH_SECOND, now_ms());
	if (s->timer == NULL || !copy_options(s, c)) {
		source_free(s);
		return NULL;
	}
	restore(s);
	return s;
}

void
source_start(struct key_source *s)
{
	char detail[DETAIL_MAX];

	s->started = true;
	if (s->document != NULL) {
		snprintf(detail, sizeof detail, "%u keys kept from before the start; fetched %lld s ago",
		    atomic_load_explicit(&s->n_keys, memory_order_relaxed),
		    (long long)(time(NULL) - atomic_load_explicit(&s->fetched, memory_order_relaxed)));
		record(s, "keys.restored", "ok", detail);
	}
	schedule(s);
}

void
source_free(struct key_source *s)
{
	if (s == NULL)
		return;
	if (s->timer != NULL)
		event_free(s->timer);
	for (size_t i = 0; i < s->n_hosts; i++)
		free(s->hosts[i]);
	free(s->hosts);
	keyset_free(s->keys);
	forget_authorization(s);
	errand_clear(&s->errand);
	free(s->document);
	free(s->same);
	free(s->alias);
	free(s->url);
	free(s->jwks_url);
	free(s->ca_file);
	free(s->bearer_token_file);
	free(s->path);
	free(s);
}
