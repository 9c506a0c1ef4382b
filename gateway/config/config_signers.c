/*
 * config_signers.c - the section trust: whose signatures count, read from the files that it names.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <stdlib.h>

#include "gateway/file.h"
#include "policy/signature/signature.h"

#define PEM_MAX	 ((size_t)1 << 20)
#define MESSAGES 8192u

struct texts {			/* of all files; freed together */
	struct config_reader *reader;
	char **text;
	size_t n, room;
	bool failed;
};

static struct trust_pem
read_pem(struct texts *f, const struct config_place *at, const char *option, const char *path)
{
	struct trust_pem pem = { .name = path };
	char err[256];
	char *text = file_read(path, PEM_MAX, &pem.text.n, err, sizeof err);

	if (text == NULL) {
		config_problem(f->reader, at, option, "%s: %s", path, err);
		f->failed = true;
		return pem;
	}
	f->text[f->n++] = text;
	pem.text.p = text;
	return pem;
}

static const struct trust_pem *
read_pems(struct texts *f, const struct config_place *at, const char *option, char *const *paths, size_t n)
{
	struct trust_pem *pems = arena_zalloc(f->reader->config->arena, n + 1, sizeof *pems);

	f->failed = f->failed || pems == NULL;
	for (size_t i = 0; pems != NULL && i < n; i++)
		pems[i] = read_pem(f, at, option, paths[i]);
	return pems;
}

static struct trust_rule
rule_of(struct texts *f, size_t i)
{
	struct config_place at = config_place_of(f->reader, SECTION_TRUST, i);
	const struct config_trust *t = &f->reader->config->trust[i];
	struct trust_rule rule = { .alias = t->alias, .n_keys = t->n_keys, .n_rekor_keys = t->n_rekor_keys,
		.identities = (const char *const *)t->identities, .issuers = (const char *const *)t->issuers,
		.repositories = (const char *const *)t->repositories, .n_identities = t->n_identities, .n_issuers = t->n_issuers,
		.n_repositories = t->n_repositories, .threshold = t->threshold };

	rule.keys = read_pems(f, &at, "keys", t->keys, t->n_keys);
	rule.rekor_keys = read_pems(f, &at, "rekor-keys", t->rekor_keys, t->n_rekor_keys);
	if (t->roots != NULL)
		rule.roots = read_pem(f, &at, "roots", t->roots);
	return rule;
}

/* "trust.<alias>.<option>: reason" at the line of that alias. */
static void
tell_line(struct config_reader *r, char *line)
{
	for (size_t i = 0; i < r->config->n_trust; i++) {
		struct config_place at = config_place_of(r, SECTION_TRUST, i);
		size_t n = strlen(r->config->trust[i].alias);
		char *option = line + strlen("trust.") + n + 1, *colon;

		if (strncmp(line, "trust.", 6) != 0 || strncmp(line + 6, r->config->trust[i].alias, n) != 0 || option[-1] != '.')
			continue;
		colon = strstr(option, ": ");
		if (colon == NULL)
			continue;
		*colon = '\0';
		config_problem(r, &at, option, "%s", colon + 2);
		return;
	}
	config_file_problem(r, r->file, 0, "%s", line);
}

static void
build(struct texts *f, const struct trust_rule *rules, size_t n)
{
	char *messages = calloc(1, MESSAGES), *next;

	if (messages == NULL) {
		config_file_problem(f->reader, f->reader->file, 0, "out of memory");
		return;
	}
	f->reader->config->trust_store = trust_new(rules, n, messages, MESSAGES);
	for (char *line = messages; line != NULL && *line != '\0'; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		tell_line(f->reader, line);
	}
	free(messages);
}

void
config_load_signers(struct config_reader *r)
{
	struct config *c = r->config;
	struct texts f = { .reader = r };
	struct trust_rule *rules;

	if (c->n_trust == 0)
		return;
	for (size_t i = 0; i < c->n_trust; i++) {
		if (c->trust[i].alias == NULL)
			return;
		f.room += c->trust[i].n_keys + c->trust[i].n_rekor_keys + 1;
	}
	rules = arena_zalloc(c->arena, c->n_trust, sizeof *rules);
	f.text = calloc(f.room, sizeof *f.text);
	if (rules == NULL || f.text == NULL) {
		config_file_problem(r, r->file, 0, "out of memory");
		free(f.text);
		return;
	}
	for (size_t i = 0; i < c->n_trust; i++)
		rules[i] = rule_of(&f, i);
	if (!f.failed)
		build(&f, rules, c->n_trust);
	for (size_t i = 0; i < f.n; i++)
		free(f.text[i]);
	free(f.text);
}
