/*
 * tag_import.c - reads every tag of the registry and records it; lists first, so that the end is in sight.
 *
 * A repository is marked as imported only when each of its tags was read or is known to be recorded rightly: what
 * could not be learned is not "no tag". A tag that has a record is never changed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/tag_import.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gateway/fetch/fetch.h"
#include "policy/manifest.h"

#define LIST_MAX   (8u << 20) /* a page of a list */
#define PAGES_MAX  100000u
#define BATCH	   64u /* tags that are recorded together */
#define PROGRESS_S 1 /* plain lines */

/* One tag that is to be read. */
struct tag {
	struct repository *repository;
	char digest[72];
	bool again; /* it differed: it may have changed while we looked */
	char name[];
};

struct repository {
	const struct config_upstream *upstream;
	char *registry, *name;
	json_t *recorded; /* tag -> digest by an earlier import, which need not be read again */
	json_t *records; /* for a dry run: tag -> digest of everything that is recorded */
	struct tag **tag;
	size_t n, room;
	size_t left; /* tags that are not done */
	bool skips; /* what an import recorded is not read again */
	unsigned long imported, known, drift, pending, gone, unknown;
	struct repository *next;
};

struct run {
	const struct config *config;
	struct tag_client *client;
	const struct tag_import *how;
	struct fetch *fetch; /* of the upstream at hand */
	struct repository *first, **last;
	json_t *drift; /* for the summary */
	struct tag *batch[BATCH];
	unsigned n_batch;
	size_t total, done;
	unsigned long complete, incomplete;
	time_t began, told;
	bool terminal, failed;
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- telling ---- */

static void
clear_progress(const struct run *run)
{
	if (run->terminal)
		fputs("\r\033[K", stderr);
}

static void
progress(struct run *run, const char *at)
{
	time_t now = time(NULL), spent = now - run->began;
	double rate = spent > 0 ? (double)run->done / (double)spent : (double)run->done;
	unsigned long eta = rate > 0 ? (unsigned long)((double)(run->total - run->done) / rate) : 0;
	unsigned filled = run->total == 0 ? 0 : (unsigned)(run->done * 30 / run->total);

	if (now - run->told < (run->terminal ? 1 : 10 * PROGRESS_S) && run->done != run->total)
		return;
	run->told = now;
	if (run->terminal)
		fprintf(stderr, "\r\033[K[%-30.*s] %zu/%zu tags  %.0f/s  %lu s left  %.40s",
		    (int)filled, "##############################", run->done, run->total, rate, eta,
		    at);
	else if (run->done != run->total)
		fprintf(stderr, "%zu of %zu tags, %.0f/s, %lu s left\n", run->done, run->total,
		    rate, eta);
}

static void
complain(struct run *run, const struct repository *r, const char *tag, const char *what)
{
	clear_progress(run);
	fprintf(stderr, "tidewaiter tag import: %s/%s%s%s: %s\n", r->upstream->alias, r->name,
	    *tag == '\0' ? "" : ":", tag, what);
}

static void
tell_repository(struct run *run, const struct repository *r, bool marked)
{
	const char *end = marked || run->how->dry_run ? "" : "; NOT marked as imported";
	json_t *o;

	clear_progress(run);
	if (!run->how->json) {
		printf(
		    "%s/%s: %lu imported, %lu known, %lu differ, %lu unresolved or in flight, %lu unknown%s\n",
		    r->upstream->alias, r->name, r->imported, r->known, r->drift, r->pending,
		    r->unknown, end);
		return;
	}
	o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "upstream",
	    r->upstream->alias, "repository", r->name, "imported", (json_int_t)r->imported, "known",
	    (json_int_t)r->known, "drift", (json_int_t)r->drift, "pending", (json_int_t)r->pending,
	    "gone", (json_int_t)r->gone, "unknown", (json_int_t)r->unknown, "complete", marked);
	tag_print_json(o);
}

/* ---- what is to be read ---- */

static void
repository_free(struct repository *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->tag[i]);
	free(r->tag);
	free(r->name);
	free(r->registry);
	json_decref(r->recorded);
	json_decref(r->records);
	free(r);
}

static struct repository *
repository_add(struct run *run, const struct config_upstream *u, const char *name)
{
	struct repository *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->upstream = u;
	r->name = strdup(name);
	r->registry = tag_registry(u);
	r->recorded = json_object();
	r->records = json_object();
	if (r->name == NULL || r->registry == NULL || r->recorded == NULL || r->records == NULL) {
		repository_free(r);
		return NULL;
	}
	*run->last = r;
	run->last = &r->next;
	return r;
}

static void
repositories_free(struct run *run)
{
	struct repository *r, *next;

	for (r = run->first; r != NULL; r = next) {
		next = r->next;
		repository_free(r);
	}
}

static bool
tag_add(struct repository *r, const char *name)
{
	struct tag *t = calloc(1, sizeof *t + strlen(name) + 1);

	if (t == NULL)
		return false;
	memcpy(t->name, name, strlen(name) + 1);
	t->repository = r;
	if (r->n == r->room) {
		size_t room = r->room == 0 ? 64 : r->room * 2;
		struct tag **more = realloc(r->tag, room * sizeof(struct tag *));

		if (more == NULL) {
			free(t);
			return false;
		}
		r->tag = more;
		r->room = room;
	}
	r->tag[r->n++] = t;
	r->left++;
	return true;
}

/* ---- lists, page by page ---- */

/* The names of one page. */
struct list {
	struct run *run;
	const struct config_upstream *upstream;
	struct repository *repository; /* of tags; NULL: the catalog */
	const char *key;
	char query[2048]; /* of the next page; "" at the end */
	bool ok;
};

/* What may stand in the path of a request to upstream: the grammar of names, wherever they come from. */
static bool
name_valid(const char *name, size_t max, bool slashes)
{
	size_t n = strspn(name,
	    slashes ? "abcdefghijklmnopqrstuvwxyz0123456789._-/"
		    : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n <= max && name[n] == '\0' && name[0] != '.' && name[0] != '-' &&
	    name[0] != '/' && strstr(name, "//") == NULL && strstr(name, "/.") == NULL;
}

static bool
take_tag(struct list *l, const char *name)
{
	struct repository *r = l->repository;

	if (name == NULL || !name_valid(name, l->upstream->tag_max, false)) {
		complain(l->run, r, "", "has a tag with a name that no tag may have");
		r->unknown++;
		return true;
	}
	if (json_object_get(r->recorded, name) != NULL) {
		r->known++;
		return true;
	}
	return tag_add(r, name);
}

static bool
take_repository(struct list *l, const char *name)
{
	if (name == NULL || !name_valid(name, 255, true)) {
		fprintf(stderr,
		    "tidewaiter tag import: the catalog of %s has a name that no repository may have\n",
		    l->upstream->alias);
		l->run->failed = true;
		return true;
	}
	/* what the gateway sends elsewhere is not this upstream's for anybody */
	if (config_upstream_for(l->run->config, span_of(name)) != l->upstream)
		return true;
	return repository_add(l->run, l->upstream, name) != NULL;
}

static void
on_page(void *ctx, const struct fetch_answer *a)
{
	struct list *l = ctx;
	json_t *o, *names, *name;
	char digest[72];
	size_t i;

	l->ok = false;
	l->query[0] = '\0';
	/* a repository that is not there has no tags */
	if (l->repository != NULL && fetch_manifest_of(a, digest) == FETCH_ABSENT) {
		l->ok = true;
		return;
	}
	if (a->status != 200)
		return;
	o = json_loadb(a->body.p == NULL ? "" : a->body.p, a->body.n, JSON_REJECT_DUPLICATES, NULL);
	names = json_object_get(o, l->key);
	l->ok = json_is_array(names) || json_is_null(names);
	json_array_foreach(names, i, name)
		l->ok = l->ok &&
		    (l->repository != NULL ? take_tag : take_repository)(
			l, json_string_value(name));
	if (a->link != NULL)
		snprintf(l->query, sizeof l->query, "%s", a->link);
	json_decref(o);
}

/* All pages of `path`. False: some could not be had. */
static bool
read_list(struct list *l, const char *path)
{
	char query[sizeof l->query] = "n=1000", *target;

	for (unsigned pages = 0; pages < PAGES_MAX && !interrupted; pages++) {
		if (asprintf(&target, "%s?%s", path, query) < 0)
			return false;
		l->ok = false;
		if (!fetch_one(l->run->fetch, target, NULL, LIST_MAX, on_page, l))
			l->ok = false;
		free(target);
		if (!l->ok || l->query[0] == '\0')
			return l->ok;
		/* a page that leads to itself would never end */
		if (strcmp(query, l->query) == 0)
			return false;
		memcpy(query, l->query, sizeof query);
	}
	return false;
}

static void
on_recorded(void *ctx, json_t *row)
{
	struct repository *r = ctx;

	json_object_set_new(r->records, tag_text(row, "tag"), json_string(tag_text(row, "digest")));
	/* an import compared it with upstream; what a push left is read once */
	if (r->skips && strcmp(tag_text(row, "state"), "confirmed") == 0 &&
	    strncmp(tag_text(row, "who"), "operator:", 9) == 0)
		json_object_set_new(
		    r->recorded, tag_text(row, "tag"), json_string(tag_text(row, "digest")));
}

static void
read_state(struct run *run, struct repository *r)
{
	json_t *end = NULL,
	       *rq = json_pack("{s:s, s:s, s:s}", "verb", "tag.repository", "registry", r->registry,
		   "repository", r->name);

	if (rq == NULL || !tag_ask(run->client, rq, NULL, NULL, &end)) {
		run->failed = true;
		return;
	}
	/* the last import found drift, or the ledger was put back: everything is compared again */
	r->skips = !run->how->verify && !json_is_true(json_object_get(end, "restored")) &&
	    (json_is_true(json_object_get(end, "imported")) ||
		json_integer_value(json_object_get(end, "imported_at")) == 0);
	json_decref(end);
}

/* The tags of a repository that are to be read. */
static void
list_tags(struct run *run, struct repository *r)
{
	struct list l = { .run = run, .upstream = r->upstream, .repository = r, .key = "tags" };
	char *path = NULL;
	json_t *rq;

	read_state(run, r);
	if (r->skips || run->how->dry_run) {
		rq = json_pack("{s:s, s:s, s:s}", "verb", "tag.list", "registry", r->registry,
		    "pattern", r->name);
		if (rq == NULL || !tag_ask(run->client, rq, on_recorded, r, NULL))
			run->failed = true;
	}
	if (asprintf(&path, "%s/tags/list", r->name) < 0 || !read_list(&l, path)) {
		if (!interrupted)
			complain(run, r, "", "its tags could not be listed");
		r->unknown++;
	}
	free(path);
	run->total += r->left;
}

/* ---- recording ---- */

static void
tag_done(struct run *run, struct tag *t)
{
	t->repository->left--;
	run->done++;
	progress(run, t->repository->name);
}

static void
tell_drift(struct run *run, const struct tag *t, const char *recorded)
{
	struct repository *r = t->repository;
	char text[256];

	r->drift++;
	snprintf(text, sizeof text, "the registry has %s, the ledger %s", t->digest, recorded);
	complain(run, r, t->name, text);
	json_array_append_new(run->drift,
	    json_pack("{s:s, s:s, s:s, s:s, s:s}", "upstream", r->upstream->alias, "repository",
		r->name, "tag", t->name, "found", t->digest, "recorded", recorded));
}

static void
on_recorded_tag(void *ctx, json_t *row)
{
	struct run *run = ctx;
	const char *answer = tag_text(row, "answer"), *recorded = tag_text(row, "recorded");
	struct tag *t = NULL;
	struct repository *r;

	for (unsigned i = 0; i < run->n_batch && t == NULL; i++)
		if (run->batch[i] != NULL && strcmp(run->batch[i]->name, tag_text(row, "tag")) == 0)
			t = run->batch[i], run->batch[i] = NULL;
	if (t == NULL)
		return;
	r = t->repository;
	if (strcmp(answer, "differs") == 0 && !t->again) {
		/* it may have been pushed between our look and this */
		t->again = true;
		t->digest[0] = '\0';
		return;
	}
	if (strcmp(answer, "done") == 0) {
		r->imported++;
	} else if (strcmp(answer, "same") == 0) {
		r->known++;
	} else if (strcmp(answer, "differs") == 0) {
		tell_drift(run, t, recorded);
	} else if (*recorded != '\0') {
		r->pending++;
	} else {
		complain(run, r, t->name, "could not be recorded");
		r->unknown++;
	}
	tag_done(run, t);
}

/* What would become of the batch. */
static void
compare_batch(struct run *run)
{
	for (unsigned i = 0; i < run->n_batch; i++) {
		struct tag *t = run->batch[i];
		const char *recorded = tag_text(t->repository->records, t->name);

		if (*recorded == '\0')
			t->repository->imported++;
		else if (strcmp(recorded, t->digest) == 0)
			t->repository->known++;
		else
			tell_drift(run, t, recorded);
		tag_done(run, t);
	}
	run->n_batch = 0;
}

/* What was read goes into the ledger; all of one repository. */
static void
flush_batch(struct run *run)
{
	struct repository *r = run->n_batch == 0 ? NULL : run->batch[0]->repository;
	json_t *tags, *rq;

	if (r == NULL)
		return;
	if (run->how->dry_run) {
		compare_batch(run);
		return;
	}
	tags = json_array();
	for (unsigned i = 0; i < run->n_batch; i++)
		json_array_append_new(
		    tags, json_pack("[s, s]", run->batch[i]->name, run->batch[i]->digest));
	rq = json_pack("{s:s, s:s, s:s, s:o}", "verb", "tag.import", "registry", r->registry,
	    "repository", r->name, "tags", tags);
	if (rq == NULL || !tag_ask(run->client, rq, on_recorded_tag, run, NULL))
		run->failed = true;
	for (unsigned i = 0; i < run->n_batch; i++)
		if (run->batch[i] != NULL) {
			r->unknown++;
			tag_done(run, run->batch[i]);
		}
	run->n_batch = 0;
}

struct reading {
	struct run *run;
	struct tag *tag;
};

static void
on_manifest(void *ctx, const struct fetch_answer *a)
{
	struct reading *x = ctx;
	struct run *run = x->run;
	struct tag *t = x->tag;
	char text[128];

	free(x);
	switch (fetch_manifest_of(a, t->digest)) {
	case FETCH_PRESENT:
		run->batch[run->n_batch++] = t;
		if (run->n_batch == BATCH)
			flush_batch(run);
		return;
	case FETCH_ABSENT:
		t->repository->gone++;
		tag_done(run, t);
		return;
	case FETCH_UNKNOWN:
		break;
	}
	if (a->status == 0)
		snprintf(text, sizeof text, "could not be read: %s", a->why);
	else
		snprintf(text, sizeof text, "could not be read: status %ld", a->status);
	complain(run, t->repository, t->name, text);
	t->repository->unknown++;
	tag_done(run, t);
}

static bool
read_tag(struct run *run, struct tag *t)
{
	struct reading *x = calloc(1, sizeof *x);
	char *path = NULL;
	bool ok = false;

	if (x != NULL && asprintf(&path, "%s/manifests/%s", t->repository->name, t->name) >= 0) {
		*x = (struct reading){ run, t };
		ok = fetch_start(run->fetch, path, manifest_accept, run->config->limits.manifest,
		    on_manifest, x);
		free(path);
	}
	if (!ok)
		free(x);
	return ok;
}

/* Every tag once, and once more those that differed. */
static void
read_tags(struct run *run, struct repository *r, bool again)
{
	for (size_t i = 0; i < r->n && !interrupted && !run->failed; i++) {
		if (r->tag[i]->again != again)
			continue;
		while (fetch_running(run->fetch) >= run->how->jobs)
			fetch_step(run->fetch);
		if (!read_tag(run, r->tag[i])) {
			r->unknown++;
			run->failed = true;
		}
	}
	/* also when interrupted: what is on its way is soon there */
	while (fetch_running(run->fetch) > 0)
		fetch_step(run->fetch);
	flush_batch(run);
}

static bool
mark_imported(struct run *run, const struct repository *r)
{
	json_t *rq = json_pack("{s:s, s:s, s:s, s:b}", "verb", "tag.import-end", "registry",
	    r->registry, "repository", r->name, "drift", r->drift > 0);

	if (rq != NULL && tag_ask(run->client, rq, NULL, NULL, NULL))
		return r->drift == 0;
	run->failed = true;
	return false;
}

static void
import_repository(struct run *run, struct repository *r)
{
	bool marked = false;

	read_tags(run, r, false);
	read_tags(run, r, true);
	if (interrupted || run->failed)
		return;
	if (!run->how->dry_run && r->unknown == 0 && r->left == 0)
		marked = mark_imported(run, r);
	run->complete += marked;
	run->incomplete += !marked;
	tell_repository(run, r, marked);
}

/* ---- all of it ---- */

static bool
use_upstream(struct run *run, const struct config_upstream *u)
{
	fetch_free(run->fetch);
	run->fetch = fetch_new(u, &run->config->limits, run->how->jobs);
	return run->fetch != NULL;
}

static bool
read_catalogs(struct run *run)
{
	for (size_t i = 0; i < run->config->n_upstream; i++) {
		struct list l = {
			.run = run, .upstream = &run->config->upstream[i], .key = "repositories"
		};

		if (!use_upstream(run, l.upstream))
			return false;
		if (!read_list(&l, "_catalog")) {
			fprintf(stderr,
			    "tidewaiter tag import: the catalog of %s could not be read; name the repositories\n",
			    l.upstream->alias);
			return false;
		}
	}
	return true;
}

static bool
name_repositories(struct run *run, char **names, int n_names)
{
	for (int i = 0; i < n_names; i++) {
		struct tag_name n;
		bool ok = tag_name_parse(run->config, names[i], &n) && n.upstream != NULL &&
		    n.tag == NULL && name_valid(n.repository, 255, true) &&
		    repository_add(run, n.upstream, n.repository) != NULL;

		tag_name_free(&n);
		if (!ok) {
			fprintf(stderr,
			    "tidewaiter tag import: %s is not a repository that an upstream serves\n",
			    names[i]);
			return false;
		}
	}
	return true;
}

static void
summary(const struct run *run)
{
	unsigned long imported = 0, known = 0, pending = 0, unknown = 0;
	size_t differ = json_array_size(run->drift);

	for (const struct repository *r = run->first; r != NULL; r = r->next) {
		imported += r->imported;
		known += r->known;
		pending += r->pending;
		unknown += r->unknown;
	}
	clear_progress(run);
	if (run->how->json) {
		tag_print_json(json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:b, s:b}}",
		    "summary", "complete", (json_int_t)run->complete, "incomplete",
		    (json_int_t)run->incomplete, "imported", (json_int_t)imported, "known",
		    (json_int_t)known, "pending", (json_int_t)pending, "unknown",
		    (json_int_t)unknown, "drift", run->drift, "interrupted", interrupted != 0,
		    "dry_run", run->how->dry_run));
		return;
	}
	printf(
	    "%s%lu tags %s, %lu known already, %zu differ, %lu unresolved or in flight, %lu unknown; %lu repositories complete, %lu "
	    "not\n",
	    interrupted ? "interrupted: " : "", imported,
	    run->how->dry_run ? "would be imported" : "imported", known, differ, pending, unknown,
	    run->complete, run->incomplete);
	if (interrupted)
		puts("what was imported stays; run the same command again to go on");
}

static void
import_all(struct run *run)
{
	const struct config_upstream *at = NULL;

	for (struct repository *r = run->first; r != NULL && !interrupted && !run->failed;
	     r = r->next) {
		if (r->upstream != at && !use_upstream(run, r->upstream)) {
			run->failed = true;
			return;
		}
		at = r->upstream;
		list_tags(run, r);
	}
	run->began = run->told = time(NULL);
	for (struct repository *r = run->first; r != NULL && !interrupted && !run->failed;
	     r = r->next) {
		if (r->upstream != at && !use_upstream(run, r->upstream)) {
			run->failed = true;
			return;
		}
		at = r->upstream;
		import_repository(run, r);
	}
}

int
tag_import(const struct config *c, struct tag_client *t, const struct tag_import *how, char **names,
    int n_names)
{
	struct run run = { .config = c,
		.client = t,
		.how = how,
		.drift = json_array(),
		.terminal = isatty(STDERR_FILENO) };
	struct sigaction stop = { .sa_handler = on_interrupt };
	size_t differ;

	run.last = &run.first;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	if (how->all ? read_catalogs(&run) : name_repositories(&run, names, n_names)) {
		import_all(&run);
		summary(&run);
	} else {
		run.failed = true;
	}
	differ = json_array_size(run.drift);
	fetch_free(run.fetch);
	repositories_free(&run);
	json_decref(run.drift);
	if (run.failed || interrupted || (run.incomplete > 0 && differ == 0 && !how->dry_run))
		return 1;
	return differ > 0 ? 3 : 0;
}
