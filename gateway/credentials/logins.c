/*
 * logins.c - logins at registries, made and kept on the courier's thread.
 *
 * An entry is a registry, the gateway's account there and a scope. At most one login is under way for an entry; who asks
 * meanwhile waits for it. After a failure there is a pause, in which everybody hears of it at once.
 * Invariant: all of struct logins belongs to the courier's thread, from the first mail to the last.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/logins.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/credentials/login.h"
#include "gateway/file.h"
#include "gateway/log.h"

#define BUCKETS	     256u
#define ENTRIES_MAX  4096u
#define SPARE	     30 /* seconds before its end at which a credential is not used any more */
#define ANSWER_MAX   ((size_t)64 << 10)
#define CALL_MS	     5000u
#define STEPS_MAX    8u
#define PAUSE_MS     1000 /* after a failure; doubled for each further one */
#define PAUSE_MAX_MS 30000

/* A registry and the gateway's account there: what its logins share. */
struct registry_account {
	struct registry_account *next;
	char id[65];
	struct login_memory memory;
};

struct entry {
	struct entry *next; /* in its bucket */
	struct logins *logins;
	struct registry_account *account;
	struct credential *credential; /* the last good one, or NULL */
	struct login_wait *waits;
	int64_t used; /* seconds: when it was last asked for */
	int64_t quiet_until; /* ms: after a failure */
	unsigned failures;
	char why[200];
	/* a login under way */
	bool busy;
	unsigned steps;
	struct setup *setup;
	struct registry_login login;
	struct errand errand;
	const char *fields[8];
	size_t scope_n;
	char scope[];
};

struct logins {
	struct courier *courier;
	struct login_world world;
	struct registry_account *accounts;
	struct entry *buckets[BUCKETS];
	unsigned n;
};

/* ---- credentials ---- */

struct credential *
credential_ref(struct credential *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
credential_unref(struct credential *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	OPENSSL_cleanse(c->text, c->authorization.n);
	free(c);
}

bool
credential_good(const struct credential *c, int64_t now)
{
	return c != NULL && now < c->expires - SPARE && !atomic_load_explicit(&c->refused, memory_order_relaxed);
}

static struct credential *
credential_new(struct span authorization, int64_t now, int64_t expires)
{
	struct credential *c = calloc(1, sizeof *c + authorization.n + 1);

	if (c == NULL)
		return NULL;
	c->refs = 1;
	/* short ones are used to their end as well: no token is renewed at every request */
	c->expires = expires < now + 2 * SPARE ? now + 2 * SPARE : expires;
	c->renew = now + (c->expires - now) / 5 * 4;
	if (authorization.n > 0)
		memcpy(c->text, authorization.p, authorization.n);
	c->authorization = (struct span){ c->text, authorization.n };
	return c;
}

/* ---- waits ---- */

struct login_wait *
login_wait_new(struct setup *s, const struct config_upstream *u, struct span scope)
{
	struct login_wait *w = calloc(1, sizeof *w + scope.n + 1);

	if (w == NULL)
		return NULL;
	w->setup = setup_ref(s);
	w->upstream = u;
	w->scope_n = scope.n;
	if (scope.n > 0)
		memcpy(w->scope, scope.p, scope.n);
	return w;
}

void
login_wait_free(struct login_wait *w)
{
	if (w == NULL)
		return;
	setup_unref(w->setup);
	credential_unref(w->credential);
	free(w);
}

static void
on_answer(struct mail *m)
{
	struct login_wait *w = (struct login_wait *)(void *)((char *)m - offsetof(struct login_wait, mail));

	w->done(w);
}

static void
answer(struct login_wait *w, struct credential *c, const char *why)
{
	w->credential = c == NULL ? NULL : credential_ref(c);
	snprintf(w->why, sizeof w->why, "%s", why);
	if (w->reply_to == NULL) {
		login_wait_free(w);
		return;
	}
	w->mail.deliver = on_answer;
	mailbox_post(w->reply_to, &w->mail);
}

static void
answer_all(struct entry *e, struct credential *c, const char *why)
{
	struct login_wait *w = e->waits, *next;

	e->waits = NULL;
	for (; w != NULL; w = next) {
		next = w->next;
		answer(w, c, why);
	}
}

/* ---- a login under way ---- */

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
end(struct entry *e)
{
	errand_clear(&e->errand);
	arena_free(e->login.arena);
	setup_unref(e->setup);
	e->login = (struct registry_login){ 0 };
	e->setup = NULL;
	e->busy = false;
}

static void
failed(struct entry *e, const char *why)
{
	uint32_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof random);
	e->quiet_until = now_ms() + backoff_ms(e->failures++, PAUSE_MS, PAUSE_MAX_MS, random);
	snprintf(e->why, sizeof e->why, "%s", why);
	log_warn("upstream=%s msg=cannot log in: %s", e->login.upstream->alias, why);
	/* what is there still serves as long as it is good */
	if (e->credential != NULL)
		atomic_store_explicit(&e->credential->renewing, false, memory_order_relaxed);
	answer_all(e, credential_good(e->credential, time(NULL)) ? e->credential : NULL, e->why);
	end(e);
}

static void
succeeded(struct entry *e)
{
	struct credential *c = credential_new(e->login.authorization, e->login.now, e->login.expires);

	if (c == NULL) {
		failed(e, "out of memory");
		return;
	}
	credential_unref(e->credential);
	e->credential = c;
	e->failures = 0;
	e->quiet_until = 0;
	answer_all(e, c, "");
	end(e);
}

static void step(struct entry *e, const struct login_answer *a);

static void
on_done(struct errand *errand)
{
	struct entry *e = (struct entry *)(void *)((char *)errand - offsetof(struct entry, errand));
	struct login_answer a = { .status = errand->status };

	if (errand->outcome != ERRAND_OK && errand->outcome != ERRAND_STATUS)
		a = (struct login_answer){ .status = 0, .body = span_of(errand->why) };
	else
		a.body = (struct span){ errand->answer, errand->answer_n };
	a.challenge = errand_field(errand, SPAN("WWW-Authenticate"), 0);
	step(e, &a);
}

/* The call as an errand. Texts are the arena's. False: out of memory. */
static bool
send(struct entry *e)
{
	const struct login_call *call = &e->login.call;
	const struct config_upstream *u = e->login.upstream;
	struct arena *a = e->login.arena;
	struct span url = arena_dup(a, call->url);
	size_t n = 0;

	for (; n < call->n_headers; n++)
		e->fields[n] = arena_printf(a, "%.*s: %.*s", SPAN_FMT(call->headers[n].name), SPAN_FMT(call->headers[n].value)).p;
	e->fields[n] = NULL;
	errand_clear(&e->errand);
	e->errand = (struct errand){
		.kind = ERRAND_KIND_CREDENTIALS,
		.method = call->method,
		.url = url.p,
		.fields = e->fields,
		.body = strcmp(call->method, "GET") == 0 ? SPAN_NONE : call->body.p != NULL ? call->body
											    : SPAN(""),
		/* a token service that realm-hosts names is the registry's as well */
		.ca_file = call->target == LOGIN_REGISTRY || u->credentials == CREDENTIALS_TOKEN ? u->ca_file : NULL,
		.max = ANSWER_MAX,
		.timeout_ms = CALL_MS,
		.allow_http = call->target == LOGIN_METADATA || (call->target == LOGIN_REGISTRY && !u->tls),
		/* all are configured, or written down here; clouds give their services private addresses */
		.allow_private = true,
		.done = on_done,
	};
	if (arena_failed(a))
		return false;
	courier_submit(e->logins->courier, &e->errand);
	return true;
}

static void
step(struct entry *e, const struct login_answer *a)
{
	e->login.now = time(NULL);
	switch (login_step(&e->login, a)) {
	case LOGIN_DONE:
		succeeded(e);
		return;
	case LOGIN_CALL:
		if (e->steps++ == STEPS_MAX)
			failed(e, "it does not come to an end");
		else if (!send(e))
			failed(e, "out of memory");
		return;
	case LOGIN_FAILED:
		break;
	}
	failed(e, e->login.reason);
}

static void
begin(struct entry *e, const struct login_wait *w)
{
	e->busy = true;
	e->steps = 0;
	e->setup = setup_ref(w->setup);
	e->login = (struct registry_login){
		.upstream = w->upstream,
		.world = &e->logins->world,
		.memory = &e->account->memory,
		.arena = arena_new((size_t)1 << 20),
		.scope = (struct span){ e->scope, e->scope_n },
	};
	if (e->login.arena == NULL)
		failed(e, "out of memory");
	else
		step(e, NULL);
}

/* ---- entries ---- */

static bool
hash_text(EVP_MD_CTX *ctx, const char *s)
{
	/* with its NUL: no two lists of texts are one */
	return EVP_DigestUpdate(ctx, s != NULL ? s : "", (s != NULL ? strlen(s) : 0) + 1) == 1;
}

/* Which account at which registry; a changed password is another one. False: out of memory. */
static bool
account_id(const struct config_upstream *u, char id[static 65])
{
	const char *const texts[] = { u->registry, u->authorization, u->client_id, u->tenant_id, u->client_secret_file,
		u->federated_token_file, u->authority, u->region, u->endpoint };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[32];
	unsigned kind = u->credentials;
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(ctx, &kind, sizeof kind) == 1;

	for (size_t i = 0; ok && i < sizeof texts / sizeof texts[0]; i++)
		ok = hash_text(ctx, texts[i]);
	ok = ok && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; ok && i < sizeof digest; i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	return ok;
}

static struct registry_account *
account_of(struct logins *l, const struct config_upstream *u)
{
	char id[65];
	struct registry_account *a;

	if (!account_id(u, id))
		return NULL;
	for (a = l->accounts; a != NULL; a = a->next)
		if (strcmp(a->id, id) == 0)
			return a;
	a = calloc(1, sizeof *a);
	if (a == NULL)
		return NULL;
	memcpy(a->id, id, sizeof id);
	a->next = l->accounts;
	l->accounts = a;
	return a;
}

static unsigned
bucket_of(const struct registry_account *a, struct span scope)
{
	uint32_t h = 2166136261u ^ (uint32_t)(uintptr_t)a;

	for (size_t i = 0; i < scope.n; i++)
		h = (h ^ (unsigned char)scope.p[i]) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static void
entry_free(struct entry *e)
{
	credential_unref(e->credential);
	free(e);
}

/* Room for one more: what nobody asked for longest goes. */
static void
make_room(struct logins *l)
{
	struct entry **oldest = NULL, *gone;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct entry **at = &l->buckets[i]; *at != NULL; at = &(*at)->next)
			if (!(*at)->busy && (oldest == NULL || (*at)->used < (*oldest)->used))
				oldest = at;
	if (oldest == NULL)
		return;
	gone = *oldest;
	*oldest = gone->next;
	entry_free(gone);
	l->n--;
}

static struct entry *
entry_of(struct logins *l, const struct config_upstream *u, struct span scope)
{
	struct registry_account *a = account_of(l, u);
	unsigned b;
	struct entry *e;

	if (a == NULL)
		return NULL;
	b = bucket_of(a, scope);
	for (e = l->buckets[b]; e != NULL; e = e->next)
		if (e->account == a && span_eq((struct span){ e->scope, e->scope_n }, scope))
			return e;
	if (l->n >= ENTRIES_MAX)
		make_room(l);
	e = l->n >= ENTRIES_MAX ? NULL : calloc(1, sizeof *e + scope.n + 1);
	if (e == NULL)
		return NULL;
	e->logins = l;
	e->account = a;
	e->scope_n = scope.n;
	if (scope.n > 0)
		memcpy(e->scope, scope.p, scope.n);
	e->next = l->buckets[b];
	l->buckets[b] = e;
	l->n++;
	return e;
}

static void
on_ask(struct mail *m)
{
	struct login_wait *w = (struct login_wait *)(void *)((char *)m - offsetof(struct login_wait, mail));
	struct entry *e = entry_of(w->logins, w->upstream, (struct span){ w->scope, w->scope_n });
	int64_t now = time(NULL);

	if (e == NULL) {
		answer(w, NULL, "out of memory");
		return;
	}
	e->used = now;
	if (!w->anew && credential_good(e->credential, now)) {
		answer(w, e->credential, "");
		return;
	}
	if (!e->busy && now_ms() < e->quiet_until) {
		answer(w, credential_good(e->credential, now) ? e->credential : NULL, e->why);
		return;
	}
	w->next = e->waits;
	e->waits = w;
	if (!e->busy)
		begin(e, w);
}

void
logins_ask(struct logins *l, struct login_wait *w)
{
	w->logins = l;
	w->mail.deliver = on_ask;
	if (!courier_post(l->courier, &w->mail))
		answer(w, NULL, "the gateway stops");
}

/* ---- life ---- */

static const char *
process_env(void *ctx, const char *name)
{
	(void)ctx;
	return getenv(name);
}

static struct span
process_file(void *ctx, const char *path, struct arena *a, char *err, size_t err_size)
{
	char why[256];
	size_t n;
	char *text = file_read(path, 65536, &n, why, sizeof why);
	struct span s = { text, n }, kept;

	(void)ctx;
	if (text == NULL) {
		snprintf(err, err_size, "%s: %s", path, why);
		return SPAN_NONE;
	}
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	kept = arena_dup(a, s);
	OPENSSL_cleanse(text, n);
	free(text);
	for (size_t i = 0; i < kept.n; i++)
		if ((unsigned char)kept.p[i] < ' ' || kept.p[i] == 0x7f)
			kept.n = 0;
	if (kept.n > 0)
		return kept;
	snprintf(err, err_size, "%s: must be one line", path);
	return SPAN_NONE;
}

const struct login_world login_process = { process_env, process_file, NULL };

struct logins *
logins_new(struct courier *c, const struct login_world *world)
{
	struct logins *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	l->courier = c;
	l->world = world != NULL ? *world : login_process;
	return l;
}

void
logins_free(struct logins *l)
{
	if (l == NULL)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct entry *e = l->buckets[i], *next; e != NULL; e = next) {
			next = e->next;
			entry_free(e);
		}
	}
	for (struct registry_account *a = l->accounts, *next; a != NULL; a = next) {
		next = a->next;
		login_memory_clear(&a->memory);
		free(a);
	}
	free(l);
}

/* ---- one worker's copy ---- */

#define SLOTS 256u

struct login_cache {
	struct slot {
		const struct config_upstream *upstream;
		struct credential *credential;
		char *scope;
		size_t scope_n;
	} slots[SLOTS];
};

struct login_cache *
login_cache_new(void)
{
	return calloc(1, sizeof(struct login_cache));
}

void
login_cache_free(struct login_cache *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		credential_unref(c->slots[i].credential);
		free(c->slots[i].scope);
	}
	free(c);
}

static struct slot *
slot_of(struct login_cache *c, const struct config_upstream *u, struct span scope)
{
	uint32_t h = 2166136261u ^ (uint32_t)((uintptr_t)u >> 4);

	for (size_t i = 0; i < scope.n; i++)
		h = (h ^ (unsigned char)scope.p[i]) * 16777619u;
	return &c->slots[(h ^ h >> 16) % SLOTS];
}

struct credential *
login_cache_find(struct login_cache *c, const struct config_upstream *u, struct span scope)
{
	struct slot *s = slot_of(c, u, scope);

	return s->upstream == u && span_eq((struct span){ s->scope, s->scope_n }, scope) ? s->credential : NULL;
}

void
login_cache_put(struct login_cache *c, const struct config_upstream *u, struct span scope, struct credential *found)
{
	struct slot *s = slot_of(c, u, scope);
	char *copy = malloc(scope.n + 1);

	if (copy == NULL)
		return; /* the next request asks again */
	if (scope.n > 0)
		memcpy(copy, scope.p, scope.n);
	free(s->scope);
	credential_unref(s->credential);
	*s = (struct slot){ u, credential_ref(found), copy, scope.n };
}
