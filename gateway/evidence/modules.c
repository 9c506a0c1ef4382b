/*
 * modules.c - what others build, as it is called from here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/evidence/collect.h"
#include "gateway/evidence/parts.h"

#include <stdio.h>

#include "policy/hash.h"

/* ---- the malware engine ---- */

struct engine *
module_engine(const struct config *c)
{
	return c->engine;
}

const char *
module_engine_version(const struct engine *e)
{
	return engine_version(e);
}

bool
module_engine_test(struct engine *e, char *err, size_t err_size)
{
	return engine_self_test(e, err, err_size);
}

void
module_scan(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out)
{
	scan_blob(e, read, ctx, size, stop, out);
}

/* ---- signatures ---- */

bool
module_trust(const struct config *c, uint64_t *h)
{
	if (c->trust_store == NULL)
		return false;
	*h = hash_mix(*h ^ hash_span(span_of(trust_hash(c->trust_store))));
	return true;
}

struct exhibit *
module_signatures(struct gathering *g)
{
	return collect_signatures(g);
}

/* ---- configs and reports ---- */

bool
module_config_read(struct span bytes, struct arena *a, struct image_config *out, char *err, size_t err_size)
{
	return image_config_read(bytes, a, out, err, err_size);
}

struct exhibit *
module_report(struct gathering *g)
{
	return report_gather(g);
}

/* ---- to be kept, and back ---- */

static json_t *
save_all(const struct exhibit *x)
{
	json_t *all = json_array(), *one;
	size_t n = x->kind == EVIDENCE_IMAGE ? x->n_configs : x->n_reports;

	for (size_t i = 0; all != NULL && i < n; i++) {
		one = x->kind == EVIDENCE_IMAGE ? image_save(x->configs[i]) : report_save(x->reports[i]);
		if (one == NULL || json_array_append_new(all, one) != 0) {
			json_decref(all);
			all = NULL;
		}
	}
	return all;
}

bool
module_save(const struct exhibit *x, json_t *o)
{
	if (x->kind == EVIDENCE_MALWARE || !exhibit_known(x))
		return true;
	if (x->kind == EVIDENCE_SIGNATURES)
		return json_object_set_new(o, "proof", signature_save(x->proof)) == 0;
	return json_object_set_new(o, "all", save_all(x)) == 0;
}

static bool
load_configs(struct exhibit *x, const json_t *all)
{
	size_t n = json_array_size(all);
	const struct image_config **configs = arena_zalloc(x->arena, n + 1, sizeof *configs);
	struct image_config *one = arena_zalloc(x->arena, n + 1, sizeof *one);

	if (configs == NULL || one == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!image_load(json_array_get(all, i), x->arena, &one[i]))
			return false;
		configs[i] = &one[i];
	}
	x->configs = configs;
	x->n_configs = n;
	return true;
}

static bool
load_reports(struct exhibit *x, const json_t *all)
{
	size_t n = json_array_size(all);
	const struct report **reports = arena_zalloc(x->arena, n + 1, sizeof *reports);
	struct report *one = arena_zalloc(x->arena, n + 1, sizeof *one);

	if (reports == NULL || one == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!report_load(json_array_get(all, i), x->arena, &one[i]))
			return false;
		reports[i] = &one[i];
	}
	x->reports = reports;
	x->n_reports = n;
	return n > 0;
}

static bool
load_proof(struct exhibit *x, const json_t *o)
{
	struct signature_proof *p = arena_zalloc(x->arena, 1, sizeof *p);

	/* the state of a row is not believed against what stands in it */
	if (p == NULL || !signature_load(o, x->arena, p) || (p->status == SIG_VERIFIED) != (x->state == STATE_PASS))
		return false;
	x->proof = p;
	return true;
}

bool
module_load(struct exhibit *x, const json_t *o)
{
	const json_t *all = json_object_get(o, "all");

	if (x->kind == EVIDENCE_SIGNATURES)
		return load_proof(x, json_object_get(o, "proof"));
	if (!json_is_array(all))
		return false;
	switch (x->kind) {
	case EVIDENCE_IMAGE:
		return load_configs(x, all);
	case EVIDENCE_REPORT:
		return load_reports(x, all);
	case EVIDENCE_MALWARE:
	case EVIDENCE_SIGNATURES:
	case EVIDENCE_KIND_MAX:
		break;
	}
	return false;
}

/* ---- for policy ---- */

bool
module_tell(const struct dossier *d, const struct exhibit *x, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	switch (x->kind) {
	case EVIDENCE_IMAGE:
		return image_tell(x->configs, x->n_configs, now, a, facts);
	case EVIDENCE_REPORT:
		return report_tell(x->reports, x->n_reports, d->facts->setup->config->exemptions, span_of(d->facts->image), d->digest, now, a,
		    facts);
	case EVIDENCE_SIGNATURES:
		return signature_tell(x->proof, a, facts);
	case EVIDENCE_MALWARE:
	case EVIDENCE_KIND_MAX:
		break;
	}
	return false;
}
