/*
 * modules.c - what others build, as it is called from here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/evidence/parts.h"

#include <stdio.h>

struct engine *
module_engine(const struct config *c)
{
	(void)c;
	return NULL;
}

const char *
module_engine_version(const struct engine *e)
{
	(void)e;
	return "";
}

bool
module_engine_test(struct engine *e, char *err, size_t err_size)
{
	(void)e;
	snprintf(err, err_size, "there is no engine");
	return false;
}

void
module_scan(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out)
{
	(void)e;
	(void)read;
	(void)ctx;
	(void)size;
	(void)stop;
	memset(out, 0, sizeof *out);
	snprintf(out->why, sizeof out->why, "there is no engine");
}

bool
module_save(const struct exhibit *x, json_t *o)
{
	(void)o;
	return x->kind == EVIDENCE_MALWARE || !exhibit_known(x);
}

bool
module_load(struct exhibit *x, const json_t *o)
{
	(void)x;
	(void)o;
	return false;
}

bool
module_tell(const struct dossier *d, const struct exhibit *x, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
{
	(void)d;
	(void)x;
	(void)now;
	(void)a;
	(void)facts;
	return false;
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
	(void)bytes;
	(void)a;
	memset(out, 0, sizeof *out);
	snprintf(err, err_size, "nothing reads it");
	return false;
}

struct exhibit *
module_report(struct gathering *g)
{
	return gathering_fail(g, STATE_ERROR, "nothing asks scanners");
}

struct exhibit *
module_signatures(struct gathering *g)
{
	return gathering_fail(g, STATE_ERROR, "nothing verifies signatures");
}
