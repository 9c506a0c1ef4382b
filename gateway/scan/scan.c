/*
 * scan.c - see scan.h: bytes to a hash and to the unpacker; what comes out of that to a hash, to clamd, and through the tar reader
 * file by file to the rules.
 *
 * Invariant: CLEAN only when all of it was read to its end by everybody who is asked.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/scan.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/scan/clamd.h"
#include "gateway/scan/rules.h"
#include "gateway/scan/tar.h"
#include "gateway/scan/unpack.h"
#include "policy/manifest.h"

#define VERSIONS_MAX 64u	/* of clamd's signatures in the life of an engine; behind that the last one stays */

struct engine {
	struct rules *rules;	/* NULL: clamd only */
	char *clamd;		/* NULL: none */
	struct unpack_bounds bounds;
	uint64_t max_entries;
	int64_t max_ms;
	_Atomic bool fit;
	pthread_mutex_t lock;
	char *_Atomic version;
	char *old[VERSIONS_MAX];	/* under lock; somebody may still read them */
	unsigned n_old;
};

struct scanning {
	const struct engine *engine;
	struct scan_result *out;
	EVP_MD_CTX *packed, *unpacked;
	struct unpack *unpack;
	struct tar *tar;
	struct matcher *matcher;
	struct clamd clamd;
	char path[sizeof ((struct scan_finding *)0)->path];	/* of the file being read; "" for a blob that is none of files */
	char head[TAR_BLOCK];		/* the first bytes, until it is known whether they begin a tar */
	size_t n_head;
	bool plain;			/* it is no tar: one file */
	bool failed, unscannable;	/* why is set */
	int64_t until;			/* monotonic ms */
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what is found ---- */

static void
add_finding(struct scanning *s, bool secret, const char *by, const char *rule)
{
	struct scan_result *out = s->out;
	struct scan_finding f = { .secret = secret };

	if (secret)
		out->secrets = true;
	else
		out->malware = true;
	snprintf(f.rule, sizeof f.rule, "%s:%s", by, rule);
	snprintf(f.path, sizeof f.path, "%s", s->path);
	/* a file of several windows may match in each */
	for (unsigned i = 0; i < out->n_findings; i++)
		if (strcmp(out->finding[i].rule, f.rule) == 0 && strcmp(out->finding[i].path, f.path) == 0)
			return;
	if (out->n_findings < SCAN_FINDINGS)
		out->finding[out->n_findings++] = f;
}

static void
on_rule(void *ctx, bool secret, const char *rule)
{
	add_finding(ctx, secret, "yara", rule);
}

static bool
fail(struct scanning *s, const char *why)
{
	if (!s->failed && !s->unscannable)
		snprintf(s->out->why, sizeof s->out->why, "%s", why);
	s->failed = true;
	return false;
}

static bool
unscannable(struct scanning *s, const char *why)
{
	if (!s->failed && !s->unscannable)
		snprintf(s->out->why, sizeof s->out->why, "%s", why);
	s->unscannable = true;
	return false;
}

static bool
rules_ended(struct scanning *s, enum rules_end end)
{
	if (end == RULES_OK)
		return true;
	return end == RULES_SLOW ? unscannable(s, "a YARA rule takes too long, or matches too often") : fail(s, "libyara failed");
}

/* ---- files ---- */

static bool
on_file(void *ctx, const char *path, uint64_t size)
{
	struct scanning *s = ctx;

	snprintf(s->path, sizeof s->path, "%s", path);
	/* folders and links have nothing to look at */
	if (s->matcher != NULL && (size > 0 || s->plain))
		matcher_begin(s->matcher);
	return true;
}

static bool
on_file_bytes(void *ctx, const char *p, size_t n)
{
	struct scanning *s = ctx;

	return s->matcher == NULL || rules_ended(s, matcher_put(s->matcher, p, n));
}

static bool
on_file_end(void *ctx)
{
	struct scanning *s = ctx;
	bool ok = s->matcher == NULL || rules_ended(s, matcher_end(s->matcher));

	s->path[0] = '\0';
	return ok;
}

static const struct tar_sink files = { on_file, on_file_bytes, on_file_end };

/* It is no tar: all of it is one file, from its first byte. */
static bool
go_plain(struct scanning *s)
{
	s->plain = true;
	return on_file(s, "", 0) && on_file_bytes(s, s->head, s->n_head);
}

static bool
tar_went(struct scanning *s, enum tar_state state)
{
	switch (state) {
	case TAR_GOING:
	case TAR_DONE:
		return true;
	case TAR_NONE:
		return go_plain(s);
	case TAR_REFUSED:
		return unscannable(s, tar_why(s->tar));
	case TAR_STOPPED:
		return false;	/* by us, who said why */
	case TAR_FAILED:
		break;
	}
	return fail(s, "out of memory");
}

/* ---- what is unpacked ---- */

static bool
on_unpacked(void *ctx, const char *p, size_t n)
{
	struct scanning *s = ctx;
	size_t head = 0;

	if (EVP_DigestUpdate(s->unpacked, p, n) != 1)
		return fail(s, "out of memory");
	if (s->clamd.fd >= 0)
		clamd_put(&s->clamd, p, n);
	if (now_ms() > s->until)
		return unscannable(s, "it takes longer than malware.max-time");
	if (!s->plain && s->n_head < TAR_BLOCK) {
		/* block by block until the first one is whole: what is no tar is given to the rules from its beginning */
		head = TAR_BLOCK - s->n_head < n ? TAR_BLOCK - s->n_head : n;
		memcpy(s->head + s->n_head, p, head);
		s->n_head += head;
		if (!tar_went(s, tar_put(s->tar, p, head)))
			return false;
	}
	if (head == n)
		return true;
	return s->plain ? on_file_bytes(s, p + head, n - head) : tar_went(s, tar_put(s->tar, p + head, n - head));
}

static bool
unpack_went(struct scanning *s, enum unpack_state state)
{
	switch (state) {
	case UNPACK_GOING:
	case UNPACK_DONE:
		return true;
	case UNPACK_REFUSED:
		return unscannable(s, unpack_why(s->unpack));
	case UNPACK_STOPPED:
		return false;
	case UNPACK_FAILED:
		break;
	}
	return fail(s, "out of memory");
}

/* ---- the walk ---- */

static bool
begin(struct scanning *s)
{
	const struct engine *e = s->engine;

	s->packed = EVP_MD_CTX_new();
	s->unpacked = EVP_MD_CTX_new();
	s->unpack = unpack_new(&e->bounds, on_unpacked, s);
	s->tar = tar_new(&files, s, e->max_entries);
	if (e->rules != NULL)
		s->matcher = matcher_new(e->rules, on_rule, s);
	if (s->packed == NULL || s->unpacked == NULL || s->unpack == NULL || s->tar == NULL || (e->rules != NULL && s->matcher == NULL) ||
	    EVP_DigestInit_ex(s->packed, EVP_sha256(), NULL) != 1 || EVP_DigestInit_ex(s->unpacked, EVP_sha256(), NULL) != 1)
		return fail(s, "out of memory");
	if (e->clamd != NULL && !clamd_begin(&s->clamd, e->clamd, e->max_ms))
		return fail(s, s->clamd.text);
	return true;
}

static bool
read_all(struct scanning *s, scan_read *read, void *ctx, const _Atomic bool *stop)
{
	char err[sizeof s->out->why] = "the blob could not be read";

	for (;;) {
		const char *p;
		long n = read(ctx, &p, err, sizeof err);

		if (n < 0 || (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed)))
			return fail(s, n < 0 ? err : "the gateway stops");
		if (n == 0)
			return true;
		s->out->bytes += (uint64_t)n;
		if (EVP_DigestUpdate(s->packed, p, (size_t)n) != 1)
			return fail(s, "out of memory");
		if (!unpack_went(s, unpack_put(s->unpack, p, (size_t)n)))
			return false;
	}
}

static bool
ask_clamd(struct scanning *s)
{
	if (s->clamd.fd < 0)
		return true;
	switch (clamd_end(&s->clamd)) {
	case CLAMD_CLEAN:
		return true;
	case CLAMD_FOUND:
		add_finding(s, false, "clamd", s->clamd.text);
		return true;
	case CLAMD_LIMIT:
		return unscannable(s, "it is over a limit of clamd");
	case CLAMD_FAILED:
		break;
	}
	return fail(s, s->clamd.text);
}

static bool
finish(struct scanning *s)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (!unpack_went(s, unpack_end(s->unpack)))
		return false;
	if (!s->plain && !tar_went(s, tar_end(s->tar)))
		return false;
	if (s->plain && !on_file_end(s))
		return false;
	if (!ask_clamd(s))
		return false;
	if (EVP_DigestFinal_ex(s->packed, hash, NULL) != 1)
		return fail(s, "out of memory");
	digest_text(hash, s->out->digest);
	if (!s->plain && EVP_DigestFinal_ex(s->unpacked, hash, NULL) == 1)
		digest_text(hash, s->out->diff_id);
	return true;
}

static void
clear(struct scanning *s)
{
	clamd_close(&s->clamd);
	matcher_free(s->matcher);
	tar_free(s->tar);
	unpack_free(s->unpack);
	EVP_MD_CTX_free(s->packed);
	EVP_MD_CTX_free(s->unpacked);
}

void
scan_blob(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out)
{
	struct scanning s = { .engine = e, .out = out, .clamd.fd = -1, .until = now_ms() + e->max_ms };

	(void)size;
	memset(out, 0, sizeof *out);
	if (e->clamd != NULL && !atomic_load(&e->fit)) {
		snprintf(out->why, sizeof out->why, "clamd has not shown yet that it is fit");
		return;
	}
	if (begin(&s) && read_all(&s, read, ctx, stop) && finish(&s))
		out->outcome = out->malware || out->secrets ? SCAN_FOUND : SCAN_CLEAN;
	else
		out->outcome = s.unscannable && !s.failed ? SCAN_UNSCANNABLE : SCAN_ERROR;
	out->unpacked = s.unpack == NULL ? 0 : unpack_out(s.unpack);
	out->entries = s.tar == NULL ? 0 : tar_entries(s.tar);
	clear(&s);
}

/* ---- the engine ---- */

/* What scans, from here on. Readers may still have the one before. */
static bool
set_version(struct engine *e, const char *clamd)
{
	const char *rules = e->rules == NULL ? "" : rules_version(e->rules);
	char *version, *before = atomic_load(&e->version);

	if (asprintf(&version, "%s%s%s", rules, e->rules != NULL && *clamd != '\0' ? " clamd:" : *clamd != '\0' ? "clamd:" : "", clamd) < 0)
		return false;
	pthread_mutex_lock(&e->lock);
	if (before == NULL) {
		atomic_store(&e->version, version);
	} else if (strcmp(before, version) != 0 && e->n_old < VERSIONS_MAX) {
		e->old[e->n_old++] = before;
		atomic_store(&e->version, version);
	} else {
		free(version);
	}
	pthread_mutex_unlock(&e->lock);
	return true;
}

struct engine *
engine_new(const struct config *c, char *err, size_t err_size)
{
	struct engine *e = calloc(1, sizeof *e);

	snprintf(err, err_size, "out of memory\n");
	if (e == NULL)
		return NULL;
	pthread_mutex_init(&e->lock, NULL);
	e->bounds = (struct unpack_bounds){ c->malware.max_unpacked, c->malware.max_ratio };
	e->max_entries = c->malware.max_entries;
	e->max_ms = c->malware.max_time * 1000;
	if (c->malware.clamd != NULL && (e->clamd = strdup(c->malware.clamd)) == NULL)
		goto fail;
	if (c->malware.n_rules + c->malware.n_secrets > 0) {
		e->rules = rules_new(c->malware.rules, c->malware.n_rules, c->malware.secrets, c->malware.n_secrets, err, err_size);
		if (e->rules == NULL)
			goto fail;
	}
	if (set_version(e, ""))
		return e;
fail:
	engine_free(e);
	return NULL;
}

void
engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	rules_free(e->rules);
	for (unsigned i = 0; i < e->n_old; i++)
		free(e->old[i]);
	free(atomic_load(&e->version));
	free(e->clamd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

const char *
engine_version(const struct engine *e)
{
	return atomic_load(&e->version);
}

bool
engine_self_test(struct engine *e, char *err, size_t err_size)
{
	char version[200] = "";
	bool fit = e->clamd == NULL;

	*err = '\0';
	if (e->clamd != NULL && !clamd_version(e->clamd, version, sizeof version))
		snprintf(err, err_size, "%s", version);
	else if (e->clamd != NULL)
		fit = clamd_test(e->clamd, err, err_size) && set_version(e, version);
	atomic_store(&e->fit, fit);
	return fit;
}
