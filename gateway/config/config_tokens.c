/*
 * config_tokens.c - what the gateway's own tokens are made with, its accounts, and what is believed no longer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/file.h"

#define KEY_FILE_MAX 16384u

static bool
create_key(const char *path)
{
	size_t n = 0;
	char *pem = token_key_generate(&n);
	bool ok;

	errno = EIO;
	ok = pem != NULL && file_create(path, (struct span){ pem, n });
	if (pem != NULL)
		OPENSSL_cleanse(pem, n);
	free(pem);
	return ok;
}

static void
add_key(struct config_reader *r, const struct config_place *at, const char *option, const char *path, struct token_keys *keys)
{
	bool signs = strcmp(option, "signing-key") == 0;
	char err[256];
	size_t n;
	char *text = file_read(path, KEY_FILE_MAX, &n, err, sizeof err);

	if (text == NULL || !token_keys_add(keys, (struct span){ text, n }, signs, err, sizeof err))
		config_problem(r, at, option, "%s: %s", path, err);
	if (text == NULL)
		return;
	if (memmem(text, n, "PRIVATE KEY", strlen("PRIVATE KEY")) != NULL)
		config_warn_if_open(r, at, option, path);
	OPENSSL_cleanse(text, n);
	free(text);
}

static void
start_service(struct config_reader *r, const struct config_place *at, struct token_keys *keys)
{
	struct config *c = r->config;
	const struct token_rule rule = { .issuer = c->external_url, .audience = c->token_audience,
		.lifetime = c->token_lifetime, .keys = keys, .policy = c->policy };
	char err[256] = "out of memory";

	if (token_keys_seal(keys, err, sizeof err) && (c->token_service = token_service_new(&rule)) != NULL)
		return;
	config_problem(r, at, "signing-key", "%s", err);
	token_keys_free(keys);
}

static void
load_service(struct config_reader *r, bool create)
{
	struct config_place at = config_place_of(r, SECTION_TOKEN_SERVICE, 0);
	struct config *c = r->config;
	struct token_keys *keys;

	if (access(c->token_key, F_OK) != 0 && errno == ENOENT) {
		if (!create || r->problems > 0)
			return;	/* `run` makes it */
		if (!create_key(c->token_key)) {
			config_problem(r, &at, "signing-key", "cannot create %s: %s", c->token_key, strerror(errno));
			return;
		}
	}
	keys = token_keys_new();
	if (keys == NULL) {
		config_file_problem(r, r->file, 0, "out of memory");
		return;
	}
	add_key(r, &at, "signing-key", c->token_key, keys);
	for (size_t i = 0; i < c->n_next_keys; i++)
		add_key(r, &at, "next-keys", c->next_keys[i], keys);
	for (size_t i = 0; i < c->n_retiring_keys; i++)
		add_key(r, &at, "retiring-keys", c->retiring_keys[i], keys);
	if (r->problems == 0)
		start_service(r, &at, keys);
	else
		token_keys_free(keys);
}

static void
load_revoked(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ROOT, 0);
	const char *path = r->config->revoked_file;
	char err[256];
	size_t n;
	int line;
	char *text = file_read(path, REVOKED_FILE_MAX, &n, err, sizeof err);

	if (text == NULL) {
		config_problem(r, &at, "revoked", "%s: %s", path, err);
		return;
	}
	r->config->revoked = revoked_new((struct span){ text, n }, err, sizeof err, &line);
	if (r->config->revoked == NULL)
		config_problem(r, &at, "revoked", "line %d of %s: %s", line, path, err);
	free(text);
}

static void
load_accounts(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ACCOUNTS, 0);
	struct config *c = r->config;
	struct accounts_problem why;
	char err[256];
	size_t n = 0, groups_n = 0;
	char *text = file_read(c->accounts_file, ACCOUNTS_FILE_MAX, &n, err, sizeof err), *groups = NULL;

	if (text == NULL) {
		config_problem(r, &at, "file", "%s: %s", c->accounts_file, err);
		return;
	}
	config_warn_if_open(r, &at, "file", c->accounts_file);
	if (c->account_groups != NULL) {
		groups = file_read(c->account_groups, ACCOUNTS_FILE_MAX, &groups_n, err, sizeof err);
		if (groups == NULL)
			config_problem(r, &at, "groups", "%s: %s", c->account_groups, err);
	}
	c->accounts = accounts_new((struct span){ text, n }, (struct span){ groups, groups_n }, &why);
	if (c->accounts == NULL)
		config_problem(r, &at, why.groups ? "groups" : "file", "line %d of %s: %s", why.line,
		    why.groups ? c->account_groups : c->accounts_file, why.text);
	OPENSSL_cleanse(text, n);
	free(text);
	free(groups);
}

void
config_tokens_load(struct config_reader *r, bool create)
{
	if (r->config->accounts_file != NULL)
		load_accounts(r);
	if (r->config->revoked_file != NULL)
		load_revoked(r);
	if (r->config->token_key != NULL)
		load_service(r, create);
}
