/*
 * config_files.c - what the configuration names: certificates, keys, passwords, key sets, policies.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <errno.h>
#include <glob.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/file.h"
#include "gateway/config/policy_reads.h"
#include "gateway/stream/tls.h"

#define CLUSTER_KEY		32u
#define CLUSTER_KEYS_MAX	4u
#define PASSWORD_MAX		4096u
#define POLICY_FILES_MAX	1024u
#define POLICY_FILE_MAX		((size_t)16 << 20)

void
config_warn_if_open(struct config_reader *r, const struct config_place *at, const char *option, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		config_warning(r, at, option, "%s is open to group or others (mode %03o); chmod 600", path,
		    (unsigned)(st.st_mode & 0777));
}

/* ---- listeners ---- */

/* The kind of key of one pair; 0 after a problem. */
static int
try_pair(struct config_reader *r, const struct config_place *at, const struct config_listen *l, size_t i)
{
	char err[512];
	SSL_CTX *ctx = tls_server_new(l->certificates + i, l->private_keys + i, 1, err, sizeof err);
	int kind;

	if (ctx == NULL) {
		config_problem(r, at, "certificates", "%s", err);
		return 0;
	}
	kind = EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(ctx));
	SSL_CTX_free(ctx);
	return kind;
}

bool
config_ask_clients(const struct config_listen *l, SSL_CTX *ctx, char *err, size_t err_size)
{
	struct tls_clients clients = { l->client_ca, l->client_crl, l->client_certificate == CLIENT_CERTIFICATE_REQUIRED };

	return l->client_certificate == CLIENT_CERTIFICATE_NONE || tls_server_ask(ctx, &clients, err, err_size);
}

/* Can clients be asked as the file says? */
static void
try_clients(struct config_reader *r, const struct config_place *at, const struct config_listen *l)
{
	char err[512];
	SSL_CTX *ctx;

	if (l->client_ca == NULL)
		return;
	ctx = tls_server_new(NULL, NULL, 0, err, sizeof err);
	if (ctx == NULL || !config_ask_clients(l, ctx, err, sizeof err))
		config_problem(r, at, "client-ca", "%s", err);
	SSL_CTX_free(ctx);
}

static void
load_listener(struct config_reader *r, const struct config_place *at, const struct config_listen *l)
{
	size_t n = l->n_certificates < l->n_private_keys ? l->n_certificates : l->n_private_keys;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int kind = try_pair(r, at, l, i);

		config_warn_if_open(r, at, "private-keys", l->private_keys[i]);
		if (kind != 0 && kind == first)
			config_problem(r, at, "certificates", "%s hides one before it with the same kind of key",
			    l->certificates[i]);
		if (first == 0)
			first = kind;
	}
	try_clients(r, at, l);
}

/* ---- upstreams ---- */

/* Basic credentials (RFC 7617), ready to send. */
static char *
basic(struct config *c, const char *username, struct span password)
{
	size_t user = strlen(username), n = user + 1 + password.n;
	unsigned char *plain = malloc(n);
	char *out = arena_alloc(c->arena, strlen("Basic ") + 4 * ((n + 2) / 3) + 1);

	if (plain == NULL || out == NULL) {
		free(plain);
		return NULL;
	}
	memcpy(plain, username, user);
	plain[user] = ':';
	if (password.n > 0)
		memcpy(plain + user + 1, password.p, password.n);
	memcpy(out, "Basic ", strlen("Basic "));
	EVP_EncodeBlock((unsigned char *)out + strlen("Basic "), plain, (int)n);
	OPENSSL_cleanse(plain, n);
	free(plain);
	return out;
}

static bool
password_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

static void
load_password(struct config_reader *r, const struct config_place *at, struct config_upstream *u)
{
	char err[256];
	size_t n;
	char *text = file_read(u->password_file, PASSWORD_MAX, &n, err, sizeof err);
	struct span password = { text, n };

	if (text == NULL) {
		config_problem(r, at, "password-file", "%s: %s", u->password_file, err);
		return;
	}
	if (span_ends(password, SPAN("\n")))
		password.n--;
	if (span_ends(password, SPAN("\r")))
		password.n--;
	if (!password_valid(password))
		config_problem(r, at, "password-file", "%s: must be one line with a password", u->password_file);
	else if ((u->authorization = basic(r->config, u->username, password)) == NULL)
		config_problem(r, at, "password-file", "out of memory");
	OPENSSL_cleanse(text, n);
	free(text);
}

static void
load_upstream(struct config_reader *r, const struct config_place *at, struct config_upstream *u)
{
	char err[512];

	if (u->ca_file != NULL) {
		SSL_CTX *ctx = tls_client_new(u->ca_file, err, sizeof err);

		if (ctx == NULL)
			config_problem(r, at, "ca-file", "%s", err);
		SSL_CTX_free(ctx);
	}
	if (u->redirect_ca_file != NULL) {
		SSL_CTX *ctx = tls_client_new(u->redirect_ca_file, err, sizeof err);

		if (ctx == NULL)
			config_problem(r, at, "redirect-ca-file", "%s", err);
		SSL_CTX_free(ctx);
	}
	if ((u->credentials == CREDENTIALS_BASIC || u->credentials == CREDENTIALS_TOKEN) && u->username != NULL && u->password_file != NULL &&
	    *u->username != '\0' && *u->password_file != '\0')
		load_password(r, at, u);
}

/* ---- cluster key ---- */

/* 32 fresh random bytes in a new file. */
static bool
create_key(const char *path)
{
	unsigned char key[CLUSTER_KEY];
	bool ok;

	errno = EIO;
	ok = RAND_bytes(key, sizeof key) == 1 && file_create(path, (struct span){ (const char *)key, sizeof key });
	OPENSSL_cleanse(key, sizeof key);
	return ok;
}

static void
keep_cluster_keys(struct config *c, const char *text, size_t n)
{
	char *secret = arena_alloc(c->arena, n);

	c->cluster_keys = arena_zalloc(c->arena, n / CLUSTER_KEY, sizeof *c->cluster_keys);
	if (secret == NULL || c->cluster_keys == NULL)
		return;
	memcpy(secret, text, n);
	c->cluster_secret = secret;
	c->cluster_secret_size = n;
	c->n_cluster_keys = n / CLUSTER_KEY;
	for (size_t i = 0; i < c->n_cluster_keys; i++)
		c->cluster_keys[i] = (struct span){ secret + i * CLUSTER_KEY, CLUSTER_KEY };
}

static void
load_cluster_key(struct config_reader *r, const struct config_place *at, bool create)
{
	const char *path = r->config->cluster_key_file;
	char err[256];
	char *text;
	size_t n;

	if (access(path, F_OK) != 0 && errno == ENOENT) {
		if (!create)
			return;	/* `run` makes it */
		if (!create_key(path)) {
			config_problem(r, at, "cluster-key", "cannot create %s: %s", path, strerror(errno));
			return;
		}
	}
	config_warn_if_open(r, at, "cluster-key", path);
	text = file_read(path, CLUSTER_KEY * CLUSTER_KEYS_MAX, &n, err, sizeof err);
	if (text == NULL) {
		config_problem(r, at, "cluster-key", "%s: %s", path, err);
		return;
	}
	if (n == 0 || n % CLUSTER_KEY != 0)
		config_problem(r, at, "cluster-key", "%s: %zu bytes; must be 1 to %u keys of %u bytes each", path, n,
		    CLUSTER_KEYS_MAX, CLUSTER_KEY);
	else
		keep_cluster_keys(r->config, text, n);
	OPENSSL_cleanse(text, n);
	free(text);
}

/* ---- policy ---- */

struct policy_files {
	struct policy_source sources[POLICY_FILES_MAX];
	char *texts[POLICY_FILES_MAX];
	size_t n;
};

static bool
have(const struct policy_files *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->sources[i].name, path) == 0)
			return true;
	return false;
}

static void
add_policy_file(struct config_reader *r, struct policy_files *f, const char *path)
{
	char err[256];
	size_t n;
	char *name, *text;

	if (have(f, path))
		return;	/* two patterns may meet */
	if (f->n == POLICY_FILES_MAX) {
		config_file_problem(r, path, 0, "more than %u policy files", POLICY_FILES_MAX);
		return;
	}
	text = file_read(path, POLICY_FILE_MAX, &n, err, sizeof err);
	if (text == NULL) {
		config_file_problem(r, path, 0, "%s", err);
		return;
	}
	name = config_string(r->config, span_of(path));
	if (name == NULL) {
		free(text);
		return;
	}
	f->texts[f->n] = text;
	f->sources[f->n++] = (struct policy_source){ name, { text, n } };
}

static void
find_policy_files(struct config_reader *r, const struct config_place *at, struct policy_files *f)
{
	for (size_t i = 0; i < r->config->n_policy_files; i++) {
		const char *pattern = r->config->policy_files[i];
		glob_t found;
		int rc = glob(pattern, GLOB_ERR, NULL, &found);

		if (rc == GLOB_NOMATCH || (rc == GLOB_ABORTED && errno == ENOENT))
			config_problem(r, at, "files", "%s: no such file", pattern);
		else if (rc != 0)
			config_problem(r, at, "files", "%s: cannot be searched: %s", pattern, strerror(errno));
		for (size_t k = 0; rc == 0 && k < found.gl_pathc; k++) {
			const char *path = found.gl_pathv[k];

			/* tests stand beside what they test; by its full name one is a document like any other */
			if (policy_reads_is_test(path) && strcmp(path, pattern) != 0)
				config_warning(r, at, "files", "%s is left out: a test file of policies (tidewaiter policy test)", path);
			else
				add_policy_file(r, f, path);
		}
		globfree(&found);
	}
}

static void
on_policy_problem(void *ctx, const struct policy_finding *f)
{
	char text[FINDING_TEXT_MAX];

	policy_finding_text(f, text);
	switch (lint_row(f->code)->severity) {
	case SEVERITY_ERROR:
		config_file_problem(ctx, f->file, f->line, "%s", text);
		return;
	case SEVERITY_WARNING:
		config_file_warning(ctx, f->file, f->line, "%s", text);
		return;
	}
}

static void
compile_policy(struct config_reader *r, const struct policy_files *f)
{
	struct config *c = r->config;
	const char **issuers = arena_zalloc(c->arena, c->n_issuer + c->n_listen + 2, sizeof *issuers);
	const char **urls = arena_zalloc(c->arena, c->n_issuer + c->n_listen + 2, sizeof *urls);
	const char **upstreams = arena_zalloc(c->arena, c->n_upstream + 1, sizeof *upstreams);
	struct policy_reads reads = { .n = 0 };
	struct policy_names names = {
		.fetch = policy_reads_fetch,
		.fetch_ctx = &reads,
		.issuers = issuers,
		.issuer_urls = urls,
		.now = time(NULL),
		.n_issuers = c->n_issuer,
		.upstreams = upstreams,
		.n_upstreams = c->n_upstream,
	};

	if (issuers == NULL || urls == NULL || upstreams == NULL)
		return;
	for (size_t i = 0; i < c->n_issuer; i++) {
		issuers[i] = c->issuer[i].alias;
		urls[i] = c->issuer[i].url;
	}
	for (size_t i = 0; i < c->n_listen; i++)
		if (c->listen[i].client_certificate != CLIENT_CERTIFICATE_NONE)
			issuers[names.n_issuers++] = c->listen[i].certificate.issuer;
	if (c->accounts_file != NULL)
		issuers[names.n_issuers++] = IDENTITY_BASIC;
	for (size_t i = 0; i < c->n_upstream; i++)
		upstreams[i] = c->upstream[i].alias;
	c->policy = policy_load(f->sources, f->n, &names, on_policy_problem, r);
	policy_reads_free(&reads);
}

static void
load_policy(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_POLICY, 0);
	struct policy_files *f = calloc(1, sizeof *f);

	if (f == NULL) {
		config_file_problem(r, r->file, 0, "out of memory");
		return;
	}
	find_policy_files(r, &at, f);
	if (f->n > 0)
		compile_policy(r, f);
	for (size_t i = 0; i < f->n; i++)
		free(f->texts[i]);
	free(f);
}

void
config_files_load(struct config_reader *r, bool create)
{
	struct config_place top = config_place_of(r, SECTION_ROOT, 0);
	struct config *c = r->config;

	for (size_t i = 0; i < c->n_listen; i++) {
		struct config_place at = config_place_of(r, SECTION_LISTEN, i);

		load_listener(r, &at, &c->listen[i]);
	}
	for (size_t i = 0; i < c->n_upstream; i++) {
		struct config_place at = config_place_of(r, SECTION_UPSTREAM, i);

		load_upstream(r, &at, &c->upstream[i]);
	}
	config_load_issuers(r);
	config_load_evidence(r);
	load_policy(r);
	/* last: nothing is written for a configuration that will not run */
	if (c->cluster_key_file != NULL)
		load_cluster_key(r, &top, create && r->problems == 0);
	config_tokens_load(r, create);
}
