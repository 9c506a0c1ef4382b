/*
 * fuzz_config.c - any bytes as gateway.conf: the scan, libconfig, the table and the checks; no file is opened.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/config/config_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the string it was reading when a syntax error ends the file: tens of bytes a broken file. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_reader r = { .file = "gateway.conf", .config = config_new() };
	bool parsed;

	if (r.config == NULL)
		return 0;
	config_init(&r.tree);
	parsed = config_parse(&r, (struct span){ (const char *)data, size });
	/* @include never reaches libconfig */
	if (r.tree.num_filenames != 0)
		abort();
	/* what cannot be parsed is a problem, and what has no problem has its must-haves */
	if (!parsed && r.problems == 0)
		abort();
	if (r.problems == 0 && !arena_failed(r.config->arena) && (r.config->external_host == NULL || r.config->n_listen == 0 ||
	    r.config->n_upstream == 0 || r.config->upstream[0].origin == NULL || r.config->n_policy_files == 0))
		abort();
	config_destroy(&r.tree);
	config_free(r.config);
	return 0;
}
