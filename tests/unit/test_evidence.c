/*
 * test_evidence.c - evidence gathered from a registry of a few lines by an engine of a few lines: states, shared work, deadlines, what is
 * kept, blocks that end, and what a registry that lies achieves.
 *
 * What others build (modules.h) is played here: a blob that holds EVIL is malware, SECRET a secret, BROKEN unscannable, and SLOW waits for
 * `gate`. Every blob is its own tar.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/evidence/parts.h"
#include "tests/unit/check.h"

#define IMAGE_TYPE  "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE  "application/vnd.oci.image.index.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE  "application/vnd.oci.image.layer.v1.tar"
#define MALWARE	    (1u << EVIDENCE_MALWARE)
#define IMAGE	    (1u << EVIDENCE_IMAGE)
#define REPORT	    (1u << EVIDENCE_REPORT)

static char dir[] = "/tmp/test_evidence.XXXXXX";

/* ---- the modules ---- */

static atomic_int scans, tests, gate, unfit, no_engine, report_state, scanning;
static const char *_Atomic version = "1";

struct engine *
module_engine(const struct config *c)
{
	static int engine;

	(void)c;
	return atomic_load(&no_engine) ? NULL : (struct engine *)(void *)&engine;
}

const char *
module_engine_version(const struct engine *e)
{
	(void)e;
	return atomic_load(&version);
}

bool
module_engine_test(struct engine *e, char *err, size_t err_size)
{
	(void)e;
	atomic_fetch_add(&tests, 1);
	snprintf(err, err_size, "clamd is away");
	return !atomic_load(&unfit);
}

static void
sha256(const char *p, size_t n, char out[static 72])
{
	digest_sha256((struct span){ p, n }, out);
}

void
module_scan(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out)
{
	static _Thread_local char all[65536];
	const char *p;
	size_t n = 0;
	long got;

	(void)e;
	(void)size;
	memset(out, 0, sizeof *out);
	while ((got = read(ctx, &p, out->why, sizeof out->why)) > 0 && n + (size_t)got <= sizeof all) {
		memcpy(all + n, p, (size_t)got);
		n += (size_t)got;
	}
	if (got != 0)
		return;
	atomic_fetch_add(&scans, 1);
	atomic_fetch_add(&scanning, 1);
	while (memmem(all, n, "SLOW", 4) != NULL && !atomic_load(&gate) && !atomic_load(stop))
		usleep(1000);
	atomic_fetch_sub(&scanning, 1);
	snprintf(out->why, sizeof out->why, "stopped");
	if (atomic_load(stop))
		return;
	sha256(all, n, out->digest);
	sha256(all, n, out->diff_id);
	out->malware = memmem(all, n, "EVIL", 4) != NULL;
	out->secrets = memmem(all, n, "SECRET", 6) != NULL;
	out->outcome = memmem(all, n, "BROKEN", 6) != NULL ? SCAN_UNSCANNABLE : out->malware || out->secrets ? SCAN_FOUND : SCAN_CLEAN;
	snprintf(out->why, sizeof out->why, "broken");
	if (out->outcome == SCAN_FOUND) {
		out->n_findings = 1;
		out->finding[0].secret = !out->malware;
		snprintf(out->finding[0].rule, sizeof out->finding[0].rule, "yara:%s", out->malware ? "Evil" : "Secret");
		snprintf(out->finding[0].path, sizeof out->finding[0].path, "usr/bin/\x01x");
	}
}

bool
module_save(const struct exhibit *x, json_t *o)
{
	return x->kind == EVIDENCE_MALWARE || !exhibit_known(x) || json_object_set_new(o, "n", json_integer((json_int_t)x->n_configs)) == 0;
}

bool
module_load(struct exhibit *x, const json_t *o)
{
	x->n_configs = (size_t)json_integer_value(json_object_get(o, "n"));
	return true;
}

bool
module_tell(const struct dossier *d, const struct exhibit *x, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	(void)d;
	(void)now;
	(void)a;
	if (x->kind == EVIDENCE_IMAGE)
		facts[KEY_IMAGE_CREATED_AGE] = (struct fact){ .state = FACT_PRESENT, .value = x->n_configs == 2 ? SPAN("2") : SPAN("1") };
	return true;
}

bool
module_trust(const struct config *c, uint64_t *h)
{
	(void)c;
	(void)h;
	return false;
}

bool
module_config_read(struct span bytes, struct arena *a, struct image_config *out, char *err, size_t err_size)
{
	json_t *o = json_loadb(bytes.p, bytes.n, 0, NULL), *ids = json_object_get(o, "diff_ids");

	memset(out, 0, sizeof *out);
	snprintf(err, err_size, "no config");
	out->n_diff_ids = json_array_size(ids);
	out->diff_ids = arena_zalloc(a, out->n_diff_ids + 1, sizeof *out->diff_ids);
	for (size_t i = 0; i < out->n_diff_ids; i++)
		out->diff_ids[i] = arena_dup(a, span_of(json_string_value(json_array_get(ids, i))));
	json_decref(o);
	return ids != NULL;
}

struct exhibit *
module_report(struct gathering *g)
{
	enum evidence_state state = (enum evidence_state)atomic_load(&report_state);

	return state == STATE_PASS ? gathering_known(g, state) : gathering_fail(g, state, "the scanner says so");
}

struct exhibit *
module_signatures(struct gathering *g)
{
	return gathering_fail(g, STATE_ERROR, "not here");
}

/* ---- a registry: one thread a connection ---- */

#define FILES 256u
static struct {
	char path[160], type[96], *body;
	size_t n;
} files[FILES];
static unsigned n_files;
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int gets;
static unsigned port;

static void
serve_file(const char *repository, const char *what, const char *digest, const char *type, const char *body, size_t n)
{
	pthread_mutex_lock(&files_lock);
	snprintf(files[n_files].path, sizeof files[n_files].path, "/v2/%s/%s/%s", repository, what, digest);
	snprintf(files[n_files].type, sizeof files[n_files].type, "%s", type);
	files[n_files].body = malloc(n);
	memcpy(files[n_files].body, body, n);
	files[n_files].n = n;
	if (++n_files == FILES)
		abort();
	pthread_mutex_unlock(&files_lock);
}

static void
put_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

static void
answer(int fd, const char *path)
{
	char head[300];

	pthread_mutex_lock(&files_lock);
	for (unsigned i = n_files; i-- > 0;) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		    files[i].type, files[i].n);
		put_all(fd, head, strlen(head));
		put_all(fd, files[i].body, files[i].n);
		pthread_mutex_unlock(&files_lock);
		return;
	}
	pthread_mutex_unlock(&files_lock);
	snprintf(head, sizeof head, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	put_all(fd, head, strlen(head));
}

static void *
talk(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[4096], path[256] = "";
	size_t n = 0;
	ssize_t k;

	while (n < sizeof text - 1 && (k = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
		n += (size_t)k;
		text[n] = '\0';
		if (strstr(text, "\r\n\r\n") == NULL)
			continue;
		if (sscanf(text, "%*s %255s", path) == 1) {
			atomic_fetch_add(&gets, 1);
			answer(fd, path);
		}
		break;
	}
	close(fd);
	return NULL;
}

static void *
serve(void *arg)
{
	int fd, listener = (int)(intptr_t)arg;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_t t;

		if (pthread_create(&t, NULL, talk, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	}
	return NULL;
}

static void
start_registry(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t t;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 64) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) != 0 || pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) != 0)
		abort();
	port = ntohs(a.sin_port);
	pthread_detach(t);
}

/* ---- images ---- */

struct image {
	char digest[LEDGER_DIGEST];
	char manifest[20000];
};

/* Layers are texts, up to NULL; lie: the config names another first layer. */
static struct image
push(const char *repository, const char *const *layers, bool lie)
{
	struct image m = { .digest = "" };
	char config[2048] = "{\"diff_ids\":[", digest[72], list[4096] = "";

	for (size_t i = 0; layers[i] != NULL; i++) {
		char other[72];

		sha256(layers[i], strlen(layers[i]), digest);
		sha256("other", 5, other);
		serve_file(repository, "blobs", digest, "application/octet-stream", layers[i], strlen(layers[i]));
		snprintf(config + strlen(config), sizeof config - strlen(config), "%s\"%s\"", i == 0 ? "" : ",", lie && i == 0 ? other : digest);
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\",\"size\":%zu}",
		    i == 0 ? "" : ",", digest, strlen(layers[i]));
	}
	snprintf(config + strlen(config), sizeof config - strlen(config), "]}");
	sha256(config, strlen(config), digest);
	serve_file(repository, "blobs", digest, "application/octet-stream", config, strlen(config));
	snprintf(m.manifest, sizeof m.manifest, "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE
	    "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}", digest, strlen(config), list);
	sha256(m.manifest, strlen(m.manifest), m.digest);
	serve_file(repository, "manifests", m.digest, IMAGE_TYPE, m.manifest, strlen(m.manifest));
	return m;
}

static struct image
push_index(const char *repository, const struct image *const *children, size_t n)
{
	struct image m = { .digest = "" };
	char list[19000] = "";

	for (size_t i = 0; i < n; i++)
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s{\"mediaType\":\"" IMAGE_TYPE "\",\"digest\":\"%s\",\"size\":%zu}",
		    i == 0 ? "" : ",", children[i % 2]->digest, strlen(children[i % 2]->manifest));
	snprintf(m.manifest, sizeof m.manifest, "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":[%s]}", list);
	sha256(m.manifest, strlen(m.manifest), m.digest);
	serve_file(repository, "manifests", m.digest, INDEX_TYPE, m.manifest, strlen(m.manifest));
	return m;
}

#define LAYERS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- the world ---- */

static struct config config;
static struct setup setup;
static struct config_upstream upstream;
static struct event_base *base;
static struct mailbox *box;
static struct ledger *ledger;
static struct spool *spool;
static struct blocks *blocks;
static struct evidence *evidence;

static void
open_world(void)
{
	char url[100], audit[100], err[256] = "";
	struct spool_options options = { audit, 0 };
	struct evidence_env env = { 0 };

	snprintf(url, sizeof url, "sqlite:%s/tags.db", dir);
	snprintf(audit, sizeof audit, "%s/audit", dir);
	ledger = ledger_open(url, NULL, err, sizeof err);
	spool = ledger == NULL ? NULL : spool_open(&options, err, sizeof err);
	blocks = spool == NULL ? NULL : blocks_open(ledger, err, sizeof err);
	env.ledger = ledger;
	env.spool = spool;
	env.blocks = blocks;
	evidence = blocks == NULL ? NULL : evidence_start(&env, &setup, err, sizeof err);
	if (evidence == NULL) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
}

static void
close_world(void)
{
	evidence_stop(evidence);
	ledger_stop(ledger);
	mailbox_empty(box);
	spool_close(spool);
	evidence_free(evidence);
	blocks_free(blocks);
	ledger_free(ledger);
}

static void
make_config(void)
{
	static char origin[64], alias[] = "up", path[] = "";
	static char *scanners[] = { alias };

	snprintf(origin, sizeof origin, "http://127.0.0.1:%u", port);
	upstream = (struct config_upstream){ .alias = alias, .origin = origin, .path = path, .registry = origin, .scanners = scanners,
		.n_scanners = 1 };
	config.upstream = &upstream;
	config.n_upstream = 1;
	config.evidence.threads = 2;
	config.evidence.fresh = 3600;
	config.evidence.signatures_fresh = 600;
	config.evidence.retry = 1;
	config.malware.max_blob = 1 << 20;
	config.limits.upstream_connect = 3000;
	config.limits.upstream_first_byte = 5000;
	config.limits.body_idle = 5000;
	config.limits.body_grace = 60000;
	atomic_init(&setup.refs, 1000000);
	setup.config = &config;
}

/* ---- asking ---- */

static unsigned answers; /* of this thread */

static void
on_done(struct evidence_ask *a)
{
	(void)a;
	answers++;
	event_base_loopbreak(base);
}

static void
prepare(struct evidence_ask *a, const char *repository, const char *digest, unsigned kinds, unsigned wait_ms)
{
	*a = (struct evidence_ask){ .setup = &setup, .upstream = &upstream, .repository = span_of(repository), .kinds = kinds,
		.wait_ms = wait_ms, .reply_to = box, .done = on_done };
	memcpy(a->digest, digest, LEDGER_DIGEST);
}

/* The answer; to be unreferenced. */
static struct dossier *
ask(const char *repository, const char *digest, unsigned kinds, unsigned wait_ms)
{
	struct evidence_ask a;

	prepare(&a, repository, digest, kinds, wait_ms);
	evidence_ask(evidence, &a);
	event_base_dispatch(base);
	return a.dossier;
}

static enum evidence_state
state_of(const struct dossier *d, enum evidence_kind k)
{
	return d == NULL ? STATE_NONE : d->state[k];
}

/* The state it ends in, and part of the reason. */
static bool
ends(const char *repository, const struct image *m, enum evidence_state wanted, const char *why)
{
	struct dossier *d = ask(repository, m->digest, MALWARE, 20000);
	char said[160] = "";
	bool ok;

	if (d != NULL)
		snprintf(said, sizeof said, "%s", d->why[EVIDENCE_MALWARE]);
	ok = state_of(d, EVIDENCE_MALWARE) == wanted && strstr(said, why) != NULL;
	if (!ok)
		fprintf(stderr, "    wanted %s, %s: got %s, %s\n", evidence_state_name(wanted), why,
		    evidence_state_name(state_of(d, EVIDENCE_MALWARE)), said);
	dossier_unref(d);
	return ok;
}

static struct dossier *
find(const char *repository, const char *digest, unsigned kinds)
{
	struct evidence_place at = { &upstream, span_of(repository), digest };

	return evidence_find(evidence, &at, kinds, time(NULL));
}

static bool
soon(bool (*is)(void *ctx), void *ctx)
{
	for (int i = 0; i < 1000; i++) {
		if (is(ctx))
			return true;
		usleep(10000);
	}
	return false;
}

/* ---- verdicts ---- */

static void
verdicts(void)
{
	struct image clean = push("a", LAYERS("one", "two", "three"), false), evil = push("a", LAYERS("one", "two", "EVIL"), false);
	struct image secret = push("a", LAYERS("SECRET", "two"), false), broken = push("a", LAYERS("BROKEN", "two"), false);
	struct image lie = push("a", LAYERS("four", "five"), true), both = push("a", LAYERS("BROKEN", "EVIL"), false);
	struct image other = push("b", LAYERS("one", "two", "three"), false);
	struct fact facts[KEY_MAX] = { { 0 } };
	struct arena *a = arena_new(1 << 16);
	struct dossier *d;
	int before;

	CHECK(find("a", clean.digest, MALWARE) == NULL);
	CHECK(ends("a", &clean, STATE_PASS, "") && atomic_load(&scans) == 4);
	d = find("a", clean.digest, MALWARE);
	CHECK(d != NULL && dossier_settled(d, MALWARE) && !dossier_settled(d, MALWARE | IMAGE));
	CHECK(d != NULL && dossier_tell(d, time(NULL), a, facts) && span_eq(facts[KEY_SCAN_MALWARE].value, SPAN("false")) &&
	    span_eq(facts[KEY_SCAN_STATUS].value, SPAN("ok")) && facts[KEY_SCAN_CRITICAL].state == FACT_ABSENT);
	dossier_unref(d);
	CHECK(find("a", clean.digest, MALWARE | IMAGE) == NULL && find("b", clean.digest, MALWARE) == NULL);
	/* asked again: no work; another image of the same layers in another repository: its config alone is the same, too */
	before = atomic_load(&scans);
	CHECK(ends("a", &clean, STATE_PASS, "") && atomic_load(&scans) == before);
	CHECK(ends("b", &other, STATE_PASS, "") && atomic_load(&scans) == before);
	CHECK(ends("a", &evil, STATE_FAIL, "layer 3: yara:Evil in usr/bin/?x") && atomic_load(&scans) == before + 2);
	d = find("a", evil.digest, MALWARE);
	CHECK(d != NULL && dossier_tell(d, time(NULL), a, facts) && span_eq(facts[KEY_SCAN_MALWARE].value, SPAN("true")));
	dossier_unref(d);
	CHECK(ends("a", &secret, STATE_PASS, ""));
	d = find("a", secret.digest, MALWARE);
	CHECK(d != NULL && dossier_tell(d, time(NULL), a, facts) && span_eq(facts[KEY_SCAN_SECRETS].value, SPAN("true")) &&
	    span_eq(facts[KEY_SCAN_MALWARE].value, SPAN("false")));
	dossier_unref(d);
	CHECK(ends("a", &broken, STATE_UNSCANNABLE, "layer 1: broken"));
	d = find("a", broken.digest, MALWARE);
	CHECK(d != NULL && dossier_tell(d, time(NULL), a, facts) && facts[KEY_SCAN_MALWARE].state == FACT_UNKNOWN &&
	    !facts[KEY_SCAN_MALWARE].was_known && span_eq(facts[KEY_SCAN_STATUS].value, SPAN("unscannable")));
	dossier_unref(d);
	/* what was found was found, whatever else is not known */
	CHECK(ends("a", &both, STATE_FAIL, "layer 2: yara:Evil"));
	CHECK(ends("a", &lie, STATE_FAIL, "layer 1 is not what the config says"));
	arena_free(a);
}

/* ---- registries that lie, and what is not there ---- */

static void
lies(void)
{
	struct image m = push("l", LAYERS("six"), false), n = push("l", LAYERS("seven"), false), gone = push("l", LAYERS("eight"), false);
	char digest[72];

	/* another manifest under the digest; another blob */
	serve_file("l", "manifests", m.digest, IMAGE_TYPE, n.manifest, strlen(n.manifest));
	CHECK(ends("l", &m, STATE_ERROR, "not those of the digest"));
	sha256("seven", 5, digest);
	serve_file("l", "blobs", digest, "application/octet-stream", "SEVEN", 5);
	CHECK(ends("l", &n, STATE_ERROR, "layer 1: the registry's bytes are not those of the digest"));
	/* longer than the manifest says */
	serve_file("l", "blobs", digest, "application/octet-stream", "seven and more", 14);
	sleep(2);
	CHECK(ends("l", &n, STATE_ERROR, "layer 1: 14 bytes instead of 5"));
	/* an image that is not there; a layer that comes later is found when it is tried again */
	memset(gone.digest + 10, '0', 10);
	CHECK(ends("l", &gone, STATE_ERROR, "404"));
	serve_file("l", "blobs", digest, "application/octet-stream", "seven", 5);
	sleep(2);
	CHECK(ends("l", &n, STATE_PASS, ""));
}

/* ---- indexes ---- */

static void
indexes(void)
{
	struct image good = push("i", LAYERS("nine"), false), bad = push("i", LAYERS("EVIL 2"), false);
	struct image one = push_index("i", (const struct image *const[]){ &good, &good }, 2);
	struct image two = push_index("i", (const struct image *const[]){ &good, &bad }, 3);
	struct image many = push_index("i", (const struct image *const[]){ &good, &good }, EVIDENCE_CHILDREN + 1);
	struct image nested, outer;
	struct fact facts[KEY_MAX] = { { 0 } };
	struct dossier *d;

	CHECK(ends("i", &one, STATE_PASS, "") && ends("i", &two, STATE_FAIL, "layer 1: yara:Evil"));
	CHECK(ends("i", &many, STATE_UNSCANNABLE, "more than"));
	d = ask("i", one.digest, IMAGE, 20000);
	CHECK(state_of(d, EVIDENCE_IMAGE) == STATE_PASS && dossier_tell(d, time(NULL), (struct arena *)(void *)facts, facts) &&
	    span_eq(facts[KEY_IMAGE_CREATED_AGE].value, SPAN("2")));
	dossier_unref(d);
	/* an index in an index is not looked into: and not passed */
	nested = one;
	outer = push_index("i", (const struct image *const[]){ &nested, &nested }, 1);
	CHECK(ends("i", &outer, STATE_UNSCANNABLE, "") || ends("i", &outer, STATE_ERROR, ""));
}

/* ---- shared work, deadlines ---- */

static bool
is_scanning(void *ctx)
{
	(void)ctx;
	return atomic_load(&scanning) > 0;
}

static void
deadlines(void)
{
	struct image m = push("d", LAYERS("SLOW 1"), false), n = push("e", LAYERS("SLOW 1"), false), slow = push("d", LAYERS("SLOW 2"), false);
	struct evidence_ask asks[8], cancelled;
	struct dossier *d;
	int before = atomic_load(&scans);

	atomic_store(&gate, 0);
	d = ask("d", m.digest, MALWARE, 30);
	CHECK(state_of(d, EVIDENCE_MALWARE) == STATE_PENDING && !dossier_settled(d, MALWARE));
	dossier_unref(d);
	CHECK(soon(is_scanning, NULL));
	/* many ask, of two images: one scan; one does not wait any more */
	for (unsigned i = 0; i < 8; i++) {
		prepare(&asks[i], i % 2 == 0 ? "d" : "e", i % 2 == 0 ? m.digest : n.digest, MALWARE, 60000);
		evidence_ask(evidence, &asks[i]);
	}
	prepare(&cancelled, "d", m.digest, MALWARE, 60000);
	evidence_ask(evidence, &cancelled);
	evidence_cancel(evidence, &cancelled);
	event_base_dispatch(base);
	CHECK(state_of(cancelled.dossier, EVIDENCE_MALWARE) == STATE_PENDING);
	dossier_unref(cancelled.dossier);
	evidence_cancel(evidence, &cancelled);
	answers = 0;
	atomic_store(&gate, 1);
	while (answers < 8)
		event_base_loop(base, EVLOOP_ONCE);
	for (unsigned i = 0; i < 8; i++) {
		CHECK(state_of(asks[i].dossier, EVIDENCE_MALWARE) == STATE_PASS);
		dossier_unref(asks[i].dossier);
	}
	/* "SLOW 1" once; the configs are the same blob */
	CHECK(atomic_load(&scans) == before + 2);
	/* not waited for at all */
	atomic_store(&gate, 0);
	d = ask("d", slow.digest, MALWARE, 0);
	CHECK(state_of(d, EVIDENCE_MALWARE) == STATE_PENDING);
	dossier_unref(d);
	atomic_store(&gate, 1);
	CHECK(ends("d", &slow, STATE_PASS, ""));
}

/* The manifest is at hand: nothing is fetched for it, unless it is another one. */
static void
at_hand(void)
{
	struct image m = push("h", LAYERS("one", "two", "three"), false);
	struct evidence_ask a;
	int before;

	/* the blobs are known: only the config is fetched, for the diff_ids */
	before = atomic_load(&gets);
	prepare(&a, "h", m.digest, MALWARE, 20000);
	a.manifest = span_of(m.manifest);
	a.media_type = SPAN(IMAGE_TYPE);
	evidence_ask(evidence, &a);
	event_base_dispatch(base);
	CHECK(state_of(a.dossier, EVIDENCE_MALWARE) == STATE_PASS && atomic_load(&gets) == before + 1);
	dossier_unref(a.dossier);
	m = push("h", LAYERS("ten"), false);
	prepare(&a, "h", m.digest, MALWARE, 20000);
	a.manifest = SPAN("{}");
	a.media_type = SPAN(IMAGE_TYPE);
	evidence_ask(evidence, &a);
	event_base_dispatch(base);
	CHECK(state_of(a.dossier, EVIDENCE_MALWARE) == STATE_PASS);
	dossier_unref(a.dossier);
}

/* ---- what is configured changes ---- */

static void
changes(void)
{
	struct image m = push("c", LAYERS("eleven"), false), fresh = push("c", LAYERS("twelve"), false), none = push("c", LAYERS("13"), false);
	struct fact facts[KEY_MAX] = { { 0 } };
	struct arena *a = arena_new(1 << 16);
	struct dossier *d;

	CHECK(ends("c", &m, STATE_PASS, ""));
	/* other rules, and an engine that is away: what was known is old, and not good */
	atomic_store(&version, "2");
	atomic_store(&unfit, 1);
	evidence->test_again = 0;
	evidence_follow(evidence, &setup);
	CHECK(find("c", m.digest, MALWARE) == NULL);
	CHECK(ends("c", &m, STATE_STALE, "the engine is not fit: clamd is away"));
	d = ask("c", m.digest, MALWARE, 20000);
	CHECK(dossier_settled(d, MALWARE) && dossier_tell(d, time(NULL) + 100, a, facts));
	CHECK(facts[KEY_SCAN_MALWARE].state == FACT_UNKNOWN && facts[KEY_SCAN_MALWARE].was_known && facts[KEY_SCAN_MALWARE].age >= 100 &&
	    span_eq(facts[KEY_SCAN_MALWARE].value, SPAN("false")) && span_eq(facts[KEY_SCAN_STATUS].value, SPAN("stale")));
	dossier_unref(d);
	CHECK(ends("c", &fresh, STATE_ERROR, "not fit"));
	atomic_store(&unfit, 0);
	sleep(2);
	CHECK(ends("c", &m, STATE_PASS, "") && ends("c", &fresh, STATE_PASS, ""));
	/* nothing scans: nobody can say */
	atomic_store(&no_engine, 1);
	evidence_follow(evidence, &setup);
	CHECK(ends("c", &none, STATE_NONE, ""));
	d = find("c", none.digest, MALWARE);
	CHECK(d != NULL && dossier_tell(d, time(NULL), a, facts) && facts[KEY_SCAN_MALWARE].state == FACT_UNKNOWN &&
	    span_eq(facts[KEY_SCAN_STATUS].value, SPAN("none")));
	dossier_unref(d);
	atomic_store(&no_engine, 0);
	evidence_follow(evidence, &setup);
	CHECK(find("c", none.digest, MALWARE) == NULL && ends("c", &none, STATE_PASS, ""));
	arena_free(a);
}

/* A report that is on its way, and several kinds of one image. */
static void
kinds(void)
{
	struct image m = push("k", LAYERS("14"), false);
	struct dossier *d;

	atomic_store(&report_state, STATE_PENDING);
	d = ask("k", m.digest, MALWARE | REPORT | IMAGE, 20000);
	CHECK(state_of(d, EVIDENCE_REPORT) == STATE_PENDING && state_of(d, EVIDENCE_MALWARE) == STATE_PASS && !dossier_settled(d, REPORT));
	dossier_unref(d);
	atomic_store(&report_state, STATE_PASS);
	sleep(2);
	d = ask("k", m.digest, MALWARE | REPORT | IMAGE, 20000);
	CHECK(state_of(d, EVIDENCE_REPORT) == STATE_PASS && dossier_settled(d, MALWARE | REPORT | IMAGE));
	dossier_unref(d);
	d = find("k", m.digest, REPORT | MALWARE);
	CHECK(d != NULL);
	dossier_unref(d);
	CHECK(evidence_count(evidence, EVIDENCE_REPORT, STATE_PASS) > 0 && evidence_queued(evidence) == 0);
}

/* Asked for in the last tenth of its life: made anew, and nobody waits for it. */
static bool
is_new(void *ctx)
{
	struct dossier *d = find("n", ctx, MALWARE);
	bool yes = d != NULL && d->until[EVIDENCE_MALWARE] > time(NULL) + 3000;

	dossier_unref(d);
	return yes;
}

static void
ahead(void)
{
	struct image m = push("n", LAYERS("SLOW 9"), false);
	int before;

	atomic_store(&gate, 1);
	config.evidence.fresh = 3600;
	CHECK(ends("n", &m, STATE_PASS, ""));
	before = atomic_load(&scans);
	CHECK(is_new(m.digest) && atomic_load(&scans) == before);
	/* nearly over */
	pthread_mutex_lock(&evidence->lock);
	for (struct subject *s = evidence->newest; s != NULL; s = s->older)
		if (strcmp(s->digest, m.digest) == 0) {
			s->of[EVIDENCE_MALWARE]->until = time(NULL) + 30;
			s->of[EVIDENCE_MALWARE]->at = time(NULL) - 3570;
			dossier_unref(s->dossier);
			s->dossier = NULL;
		}
	pthread_mutex_unlock(&evidence->lock);
	config.evidence.fresh = 7200;
	CHECK(!is_new(m.digest) && ends("n", &m, STATE_PASS, ""));
	CHECK(soon(is_new, m.digest));
	CHECK(atomic_load(&scans) == before + 2);
	config.evidence.fresh = 3600;
}

/* ---- restarts ---- */

static void
restarts(void)
{
	struct image m = push("r", LAYERS("15", "16"), false), slow = push("r", LAYERS("SLOW 3"), false);
	struct evidence_ask a;
	int before;

	CHECK(ends("r", &m, STATE_PASS, ""));
	close_world();
	open_world();
	before = atomic_load(&gets);
	CHECK(ends("r", &m, STATE_PASS, "") && atomic_load(&gets) == before);
	/* stopped in the middle: whoever asks is answered */
	atomic_store(&gate, 0);
	prepare(&a, "r", slow.digest, MALWARE, 60000);
	evidence_ask(evidence, &a);
	CHECK(soon(is_scanning, NULL));
	close_world();
	CHECK(a.dossier != NULL && a.dossier->state[EVIDENCE_MALWARE] != STATE_PASS);
	dossier_unref(a.dossier);
	open_world();
	atomic_store(&gate, 1);
	CHECK(ends("r", &slow, STATE_PASS, ""));
}

/* ---- blocks ---- */

static void
on_block(struct block_change *c)
{
	(void)c;
	event_base_loopbreak(base);
}

static void
block(const char *repository, const struct image *m, unsigned what)
{
	struct block_change c = { .kind = BLOCK_PENDING, .registry = span_of(upstream.registry), .repository = span_of(repository),
		.kinds = what, .now = time(NULL), .reply_to = box, .done = on_block };
	struct evidence_ask a;

	memcpy(c.digest, m->digest, LEDGER_DIGEST);
	blocks_change(blocks, &c);
	event_base_dispatch(base);
	CHECK(c.ok);
	prepare(&a, repository, m->digest, what, 0);
	a.reply_to = NULL;
	a.lifts_block = true;
	evidence_ask(evidence, &a);
}

struct wanted {
	const char *repository;
	const struct image *image;
	enum block_kind kind;
};

static bool
is_blocked_so(void *ctx)
{
	const struct wanted *w = ctx;

	return blocks_find(blocks, span_of(upstream.registry), span_of(w->repository), span_of(w->image->digest)) == w->kind;
}

static void
lifted(void)
{
	struct image good = push("q", LAYERS("17"), false), bad = push("q", LAYERS("EVIL 17"), false), late = push("q", LAYERS("18"), false);
	struct image broken = push("q", LAYERS("BROKEN 18"), false), waits = push("q", LAYERS("SLOW 4"), false);
	char digest[72];

	block("q", &good, MALWARE);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &good, BLOCK_NONE }));
	/* known already: at once */
	block("q", &good, MALWARE);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &good, BLOCK_NONE }));
	block("q", &bad, MALWARE);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &bad, BLOCK_FAILED }));
	block("q", &broken, MALWARE | IMAGE);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &broken, BLOCK_FAILED }));
	/* an ERROR is tried again until it is none */
	sha256("18", 2, digest);
	serve_file("q", "blobs", digest, "application/octet-stream", "xx", 2);
	block("q", &late, MALWARE);
	usleep(300000);
	CHECK(is_blocked_so(&(struct wanted){ "q", &late, BLOCK_PENDING }));
	serve_file("q", "blobs", digest, "application/octet-stream", "18", 2);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &late, BLOCK_NONE }));
	/* pending when the gateway stops: the next one goes on by itself */
	atomic_store(&gate, 0);
	block("q", &waits, MALWARE);
	CHECK(soon(is_scanning, NULL));
	close_world();
	open_world();
	CHECK(is_blocked_so(&(struct wanted){ "q", &waits, BLOCK_PENDING }));
	atomic_store(&gate, 1);
	CHECK(soon(is_blocked_so, &(struct wanted){ "q", &waits, BLOCK_NONE }));
	CHECK(is_blocked_so(&(struct wanted){ "q", &bad, BLOCK_FAILED }));
}

/* ---- what is read back ---- */

static void
rows(void)
{
	static const struct {
		const char *name, *text;
		enum evidence_state state;
		bool ok;
	} table[] = {
		{ "clean", "{\"why\":\"\",\"malware\":false,\"secrets\":true}", STATE_PASS, true },
		{ "found", "{\"why\":\"x\",\"malware\":true,\"secrets\":false}", STATE_FAIL, true },
		{ "unscannable", "{\"why\":\"x\"}", STATE_UNSCANNABLE, true },
		{ "found, and passed", "{\"why\":\"\",\"malware\":true,\"secrets\":false}", STATE_PASS, false },
		{ "nothing said", "{}", STATE_PASS, false },
		{ "no boolean", "{\"malware\":0,\"secrets\":false}", STATE_PASS, false },
		{ "twice", "{\"malware\":true,\"malware\":false,\"secrets\":false}", STATE_PASS, false },
		{ "no object", "[]", STATE_PASS, false },
		{ "nothing", "", STATE_PASS, false },
		{ "cut", "{\"malware\":fal", STATE_PASS, false },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct exhibit *x = exhibit_load(EVIDENCE_MALWARE, table[i].state, span_of(table[i].text));

		CHECK_ROW((x != NULL) == table[i].ok, table[i].name);
		exhibit_unref(x);
	}
}

/* ---- keys ---- */

static void
key_kinds(void)
{
	static const struct {
		enum policy_key key;
		unsigned kinds;
	} table[] = {
		{ KEY_SCAN_MALWARE, MALWARE }, { KEY_SCAN_SECRETS, MALWARE }, { KEY_SCAN_CRITICAL, REPORT }, { KEY_SCAN_KEV_COUNT, REPORT },
		{ KEY_SCAN_STATUS, REPORT | MALWARE }, { KEY_IMAGE_LABEL, IMAGE }, { KEY_IMAGE_PLATFORMS, IMAGE },
		{ KEY_SIG_STATUS, 1u << EVIDENCE_SIGNATURES }, { KEY_ATTEST_TYPES, 1u << EVIDENCE_SIGNATURES },
		{ KEY_SBOM_PRESENT, 1u << EVIDENCE_SIGNATURES }, { KEY_IMAGE_DIGESTS, 0 }, { KEY_QUOTA_TAG_COUNT, 0 }, { KEY_NET_SOURCE_IP, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct key_set one = { 0 };

		key_set_add(&one, table[i].key);
		CHECK(evidence_kinds_of(&one) == table[i].kinds);
	}
}

int
main(void)
{
	char text[100];

	if (mkdtemp(dir) == NULL || evthread_use_pthreads() != 0 || (base = event_base_new()) == NULL || (box = mailbox_new(base)) == NULL)
		return 1;
	start_registry();
	make_config();
	atomic_store(&report_state, STATE_PASS);
	key_kinds();
	rows();
	open_world();
	verdicts();
	lies();
	indexes();
	deadlines();
	at_hand();
	changes();
	kinds();
	ahead();
	restarts();
	lifted();
	close_world();
	mailbox_free(box);
	event_base_free(base);
	snprintf(text, sizeof text, "rm -rf %s", dir);
	CHECK(system(text) == 0);
	return check_done();
}
