/*
 * config_fixed.c - the options that a running gateway cannot change: what is open already, and how many threads there are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

static const struct {
	enum config_section section;
	const char *name;
} fixed[] = {
	{ SECTION_ROOT, "workers" },
	{ SECTION_TAGS, "ledger" },
	{ SECTION_ROOT, "control" },	/* beside the ledger, unless it says otherwise */
	{ SECTION_AUDIT, "directory" },
	{ SECTION_AUDIT, "segment-size" },
	{ SECTION_ADMIN, "listen" },
	{ SECTION_ADAPTER, "listen" },
	{ SECTION_ROOT, "state-directory" },
};

static const struct config_option *
option_of(enum config_section section, const char *name)
{
	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == section && strcmp(config_options[i].name, name) == 0)
			return &config_options[i];
	return NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Options of struct config itself: text or a number. */
static bool
same(const struct config_option *o, const struct config *a, const struct config *b)
{
	const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

	if (o->type == OPTION_STRING)
		return same_text(*(char *const *)(const void *)x, *(char *const *)(const void *)y);
	return memcmp(x, y, o->width) == 0;
}

static bool
same_listeners(const struct config *a, const struct config *b)
{
	if (a->n_listen != b->n_listen)
		return false;
	for (size_t i = 0; i < a->n_listen; i++)
		if (strcmp(a->listen[i].address, b->listen[i].address) != 0)
			return false;
	return true;
}

bool
config_replaces(const struct config *old, const struct config *c, FILE *out)
{
	static const char why[] = "differs from what the running gateway has: needs a restart";
	bool ok = same_listeners(old, c);
	char path[64];

	if (!ok)
		fprintf(out, "%s: listen.*.address %s\n", c->file, why);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		const struct config_option *o = option_of(fixed[i].section, fixed[i].name);

		if (o != NULL && same(o, old, c))
			continue;
		if (o != NULL)
			config_option_path(o, path, sizeof path);
		fprintf(out, "%s: %s %s\n", c->file, o == NULL ? fixed[i].name : path, why);
		ok = false;
	}
	return ok;
}
