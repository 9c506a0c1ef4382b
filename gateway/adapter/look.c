/*
 * look.c - manifest, config and layers of one image, fetched and given to the engine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/adapter/look.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/config/config_parts.h"
#include "gateway/evidence/modules.h"
#include "policy/manifest.h"

#define MEMORY ((size_t)4 * (MANIFEST_MAX + IMAGE_CONFIG_MAX))

/* ---- whom we may ask ---- */

static struct span
without_slash(struct span s)
{
	while (span_ends(s, SPAN("/")))
		s.n--;
	return s;
}

static bool
is_at(const struct config_upstream *u, const struct config_url *url)
{
	return u->tls == url->tls && u->port == url->port && span_eq_nocase(span_of(u->host), url->host) &&
	    span_eq(span_of(u->path), without_slash(url->path));
}

const struct config_upstream *
look_upstream(const struct config *c, struct span url, struct span repository)
{
	struct config_url asked, own;

	if (config_url_parse(url, &asked) != NULL)
		return NULL;
	for (size_t i = 0; i < c->n_upstream; i++)
		if (is_at(&c->upstream[i], &asked))
			return &c->upstream[i];
	if (config_url_parse(span_of(c->external_url), &own) != NULL || asked.tls != own.tls || asked.port != own.port ||
	    !span_eq_nocase(asked.host, own.host) || without_slash(asked.path).n > 0)
		return NULL;
	return config_upstream_for(c, repository);
}

/* ---- one image ---- */

struct look {
	const struct config *config;
	struct puller *puller;
	const struct api_request *request;
	const struct config_upstream *upstream;
	const _Atomic bool *stop;
	struct api_report *report;
	struct arena *arena;
	struct scan_result *result;	/* of the blob at hand */
	bool found;			/* malware: that counts whatever else fails */
	bool failed;			/* a blob could not be read now */
	char *err;
	size_t err_size;
};

static const char *
login(void *ctx, bool anew, char *err, size_t err_size)
{
	const struct look *l = ctx;

	if (!anew)
		return l->request->authorization.p;
	snprintf(err, err_size, "the registry refuses the authorization of the scan request");
	return NULL;
}

static struct pull_ask
ask_for(struct look *l, const char *path, const char *digest, uint64_t size, uint64_t max)
{
	return (struct pull_ask){ .upstream = l->upstream, .limits = &l->config->limits, .repository = l->request->repository, .path = path,
		.digest = digest, .size = size, .max = max, .login = login, .ctx = l, .stop = l->stop };
}

static bool
add(struct look *l, enum api_severity severity, const char *id, const char *path, const char *digest, const char *description)
{
	struct api_finding f = { .severity = severity };

	snprintf(f.id, sizeof f.id, "%s", id);
	snprintf(f.path, sizeof f.path, "%s", path);
	snprintf(f.digest, sizeof f.digest, "%s", digest);
	snprintf(f.description, sizeof f.description, "%s", description);
	if (api_report_add(l->report, &f))
		return true;
	snprintf(l->err, l->err_size, "out of memory");
	return false;
}

static bool
add_findings(struct look *l, const char *digest)
{
	const struct scan_result *r = l->result;
	char id[160];

	l->found = l->found || r->malware;
	for (unsigned i = 0; i < r->n_findings; i++) {
		const struct scan_finding *f = &r->finding[i];

		snprintf(id, sizeof id, "TW-%s-%s", f->secret ? "SECRET" : "MALWARE", f->rule);
		if (!add(l, f->secret ? API_HIGH : API_CRITICAL, id, f->path, digest,
		    f->secret ? "a secret in the image" : "malware in the image"))
			return false;
	}
	return true;
}

/* Harbor lets an image pass of which it has no report: what nobody can look through is therefore in the report, as critical. */
static bool
add_unscannable(struct look *l, const char *digest, const char *why)
{
	char text[256];

	snprintf(text, sizeof text, "cannot be looked through: %.200s", why);
	return add(l, API_CRITICAL, "TW-UNSCANNABLE", "", digest, text);
}

static bool
add_outcome(struct look *l, const char *digest, struct span diff_id)
{
	const struct scan_result *r = l->result;

	switch (r->outcome) {
	case SCAN_ERROR:
		break;
	case SCAN_UNSCANNABLE:
		return add_unscannable(l, digest, r->why);
	case SCAN_FOUND:
	case SCAN_CLEAN:
		if (strcmp(r->digest, digest) != 0) {
			snprintf(l->err, l->err_size, "the registry's bytes are not those of the digest");
			l->failed = true;
			return true;
		}
		if (!add_findings(l, digest))
			return false;
		if (diff_id.n > 0 && !span_eq(diff_id, span_of(r->diff_id)))
			return add(l, API_CRITICAL, "TW-DIFF-ID", "", digest, "the layer is not what the config says");
		return true;
	}
	snprintf(l->err, l->err_size, "%s", r->why);
	l->failed = true;
	return true;
}

/* False: no report at all. */
static bool
look_at_blob(struct look *l, const struct descriptor *d, struct span diff_id)
{
	const struct engine *engine = module_engine(l->config);
	char path[96], digest[72], err[160];
	struct pull_ask q;
	struct pull *pull;
	enum pull_outcome outcome;

	if (d->digest.n != 71)
		return add_unscannable(l, l->report->digest, "a blob has no sha256 digest");
	memcpy(digest, d->digest.p, 71);
	digest[71] = '\0';
	snprintf(path, sizeof path, "blobs/%s", digest);
	q = ask_for(l, path, NULL, (uint64_t)d->size, l->config->malware.max_blob);
	outcome = pull_open(l->puller, &q, &pull, err, sizeof err);
	if (outcome == PULL_TOO_LARGE || (outcome == PULL_ABSENT && d->has_urls))
		return add_unscannable(l, digest, err);
	if (outcome != PULL_OK) {
		snprintf(l->err, l->err_size, "%s: %s", digest, err);
		l->failed = true;
		return true;
	}
	module_scan(engine, pull_read, pull, (uint64_t)d->size, l->stop, l->result);
	pull_close(pull);
	return add_outcome(l, digest, diff_id);
}

static bool
fetch(struct look *l, const char *what, const char *digest, uint64_t size, uint64_t max, struct span *bytes, struct span *type)
{
	char path[96], err[160];
	struct pull_ask q;

	snprintf(path, sizeof path, "%s%s", what, digest);
	q = ask_for(l, path, digest, size, max);
	q.accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
	if (pull_whole(l->puller, &q, l->arena, bytes, type, err, sizeof err) == PULL_OK)
		return true;
	snprintf(l->err, l->err_size, "%s%s: %s", what, digest, err);
	return false;
}

static bool
is_image(const struct manifest *m)
{
	return span_eq(m->config.media_type, SPAN("application/vnd.oci.image.config.v1+json")) ||
	    span_eq(m->config.media_type, SPAN("application/vnd.docker.container.image.v1+json"));
}

/* What the config says of the layers. */
static bool
read_config(struct look *l, const struct manifest *m, struct image_config *c)
{
	struct span bytes;
	char digest[72] = "", err[160];

	if (!is_image(m) || m->config.digest.n != 71)
		return true;
	memcpy(digest, m->config.digest.p, 71);
	if (!fetch(l, "blobs/", digest, (uint64_t)m->config.size, IMAGE_CONFIG_MAX, &bytes, NULL))
		return false;
	if (!module_config_read(bytes, l->arena, c, err, sizeof err)) {
		c->n_diff_ids = 0;
		return add_unscannable(l, digest, err);
	}
	return c->n_diff_ids == m->n_layers || add_unscannable(l, digest, "the config does not name as many layers as the manifest");
}

/* The same layer twice is one. */
static bool
was_seen(const struct manifest *m, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (span_eq(m->layers[k].digest, m->layers[i].digest))
			return true;
	return false;
}

static bool
look_at_image(struct look *l)
{
	struct image_config c = { .n_diff_ids = 0 };
	struct manifest m;
	struct span bytes, type;
	char err[160];

	if (!fetch(l, "manifests/", l->report->digest, 0, MANIFEST_MAX, &bytes, &type))
		return false;
	if (!manifest_read(bytes, type, l->arena, &m, err, sizeof err)) {
		snprintf(l->err, l->err_size, "the manifest: %s", err);
		return false;
	}
	if (m.kind != MANIFEST_IMAGE) {
		snprintf(l->err, l->err_size, "an index is not scanned itself: its manifests are");
		return false;
	}
	if (!read_config(l, &m, &c) || !look_at_blob(l, &m.config, SPAN_NONE))
		return false;
	for (size_t i = 0; i < m.n_layers && !atomic_load_explicit(l->stop, memory_order_relaxed); i++)
		if (!was_seen(&m, i) && !look_at_blob(l, &m.layers[i], i < c.n_diff_ids ? c.diff_ids[i] : SPAN_NONE))
			return false;
	if (atomic_load_explicit(l->stop, memory_order_relaxed)) {
		snprintf(l->err, l->err_size, "the gateway stops");
		return false;
	}
	if (!l->failed)
		return true;
	return l->found && add(l, API_CRITICAL, "TW-UNFINISHED", "", l->report->digest, "a part of the image could not be read");
}

bool
look_through(const struct config *c, struct puller *p, const struct api_request *q, const _Atomic bool *stop, struct api_report *out,
    char *err, size_t err_size)
{
	struct look l = { .config = c, .puller = p, .request = q, .upstream = look_upstream(c, q->url, q->repository), .stop = stop,
		.report = out, .arena = arena_new(MEMORY), .result = calloc(1, sizeof *l.result), .err = err, .err_size = err_size };
	bool ok = false;

	snprintf(out->repository, sizeof out->repository, "%.*s", SPAN_FMT(q->repository));
	snprintf(out->digest, sizeof out->digest, "%.*s", SPAN_FMT(q->digest));
	snprintf(out->tag, sizeof out->tag, "%.*s", SPAN_FMT(q->tag));
	snprintf(out->media_type, sizeof out->media_type, "%.*s", SPAN_FMT(q->media_type));
	out->at = time(NULL);
	if (module_engine(c) == NULL || l.upstream == NULL) {
		snprintf(err, err_size, "%s",
		    l.upstream == NULL ? "this gateway stands in front of no such registry" : "nothing is configured that scans");
	} else if (module_engine_test(module_engine(c), err, err_size)) {
		snprintf(err, err_size, "out of memory");
		ok = l.arena != NULL && l.result != NULL && look_at_image(&l);
	}
	free(l.result);
	arena_free(l.arena);
	return ok;
}
