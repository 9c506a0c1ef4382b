/*
 * rules.c - see rules.h. The one file that knows libyara.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scan/rules.h"

#include <glob.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yara.h>

#include "gateway/file.h"

#define FILE_MAX   ((size_t)32 << 20)
#define MALWARE	   "malware"	/* name spaces: a rule says by its own what its match means */
#define SECRET	   "secret"
#define SECONDS	   60		/* for one window */
#define BUFFER_MIN 65536u

struct rules {
	YR_RULES *compiled;
	char version[128];
};

struct matcher {
	YR_SCANNER *scanner;
	rules_found *found;
	void *ctx;
	char *buffer;
	size_t n, size;
	bool fresh;	/* bytes of the buffer that were not looked at yet */
};

/* ---- compiling ---- */

struct compiling {
	YR_COMPILER *compiler;
	EVP_MD_CTX *md;
	const char *file;
	char *err;
	size_t err_size, n;
	bool failed;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

static void
initialize(void)
{
	ready = yr_initialize() == ERROR_SUCCESS;
}

static void complain(struct compiling *c, int line, const char *text) NONNULL(1, 3);
static void
complain(struct compiling *c, int line, const char *text)
{
	int n = line > 0 ? snprintf(c->err + c->n, c->err_size - c->n, "%s:%d: %s\n", c->file, line, text) :
	    snprintf(c->err + c->n, c->err_size - c->n, "%s: %s\n", c->file, text);

	c->n = n < 0 || (size_t)n >= c->err_size - c->n ? c->err_size - 1 : c->n + (size_t)n;
	c->failed = true;
}

static void
on_message(int level, const char *file, int line, const YR_RULE *rule, const char *message, void *ctx)
{
	(void)file;
	(void)rule;
	if (level == YARA_ERROR_LEVEL_ERROR)
		complain(ctx, line, message);
}

static void
add_file(struct compiling *c, const char *path, const char *space)
{
	char err[256], *text;
	size_t n;

	c->file = path;
	text = file_read(path, FILE_MAX, &n, err, sizeof err);
	if (text == NULL) {
		complain(c, 0, err);
		return;
	}
	if (memchr(text, '\0', n) != NULL)
		complain(c, 0, "has a NUL byte");
	else if (yr_compiler_add_string(c->compiler, text, space) != 0 && !c->failed)
		complain(c, 0, "does not compile");
	EVP_DigestUpdate(c->md, space, strlen(space) + 1);
	EVP_DigestUpdate(c->md, text, n);
	free(text);
}

static void
add_pattern(struct compiling *c, const char *pattern, const char *space)
{
	glob_t found;
	int rc = glob(pattern, 0, NULL, &found);

	c->file = pattern;
	if (rc != 0) {
		complain(c, 0, rc == GLOB_NOMATCH ? "no such file" : "cannot be searched");
		return;
	}
	/* behind an error libyara takes no more */
	for (size_t i = 0; i < found.gl_pathc && !c->failed; i++)
		add_file(c, found.gl_pathv[i], space);
	globfree(&found);
}

static bool
compile(struct compiling *c, struct rules *r, char *const *malware, size_t n_malware, char *const *secrets, size_t n_secrets)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	size_t at;

	yr_compiler_set_callback(c->compiler, on_message, c);
	yr_compiler_set_include_callback(c->compiler, NULL, NULL, NULL);
	for (size_t i = 0; i < n_malware && !c->failed; i++)
		add_pattern(c, malware[i], MALWARE);
	for (size_t i = 0; i < n_secrets && !c->failed; i++)
		add_pattern(c, secrets[i], SECRET);
	if (c->failed)
		return false;
	if (yr_compiler_get_rules(c->compiler, &r->compiled) != ERROR_SUCCESS || EVP_DigestFinal_ex(c->md, hash, NULL) != 1) {
		complain(c, 0, "out of memory");
		return false;
	}
	at = (size_t)snprintf(r->version, sizeof r->version, "yara:%s:", YR_VERSION);
	for (size_t i = 0; i < 32; i++)
		at += (size_t)snprintf(r->version + at, sizeof r->version - at, "%02x", hash[i]);
	return true;
}

struct rules *
rules_new(char *const *malware, size_t n_malware, char *const *secrets, size_t n_secrets, char *err, size_t err_size)
{
	struct compiling c = { .file = "yara", .err = err, .err_size = err_size };
	struct rules *r = calloc(1, sizeof *r);

	*err = '\0';
	pthread_once(&once, initialize);
	c.md = EVP_MD_CTX_new();
	if (r == NULL || c.md == NULL || !ready || EVP_DigestInit_ex(c.md, EVP_sha256(), NULL) != 1 ||
	    yr_compiler_create(&c.compiler) != ERROR_SUCCESS)
		complain(&c, 0, "out of memory");
	if (c.failed || !compile(&c, r, malware, n_malware, secrets, n_secrets)) {
		rules_free(r);
		r = NULL;
	}
	if (c.compiler != NULL)
		yr_compiler_destroy(c.compiler);
	EVP_MD_CTX_free(c.md);
	return r;
}

void
rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	if (r->compiled != NULL)
		yr_rules_destroy(r->compiled);
	free(r);
}

const char *
rules_version(const struct rules *r)
{
	return r->version;
}

/* ---- matching ---- */

static int
on_event(YR_SCAN_CONTEXT *context, int message, void *data, void *ctx)
{
	const YR_RULE *rule = data;
	struct matcher *m = ctx;

	(void)context;
	if (message == CALLBACK_MSG_RULE_MATCHING)
		m->found(m->ctx, strcmp(rule->ns->name, SECRET) == 0, rule->identifier);
	/* a string that matches so often is looked for no more: what its rule says then is nothing */
	return message == CALLBACK_MSG_TOO_MANY_MATCHES ? CALLBACK_ERROR : CALLBACK_CONTINUE;
}

struct matcher *
matcher_new(const struct rules *r, rules_found *found, void *ctx)
{
	struct matcher *m = calloc(1, sizeof *m);

	if (m == NULL)
		return NULL;
	m->found = found;
	m->ctx = ctx;
	if (yr_scanner_create(r->compiled, &m->scanner) != ERROR_SUCCESS) {
		free(m);
		return NULL;
	}
	yr_scanner_set_callback(m->scanner, on_event, m);
	yr_scanner_set_timeout(m->scanner, SECONDS);
	yr_scanner_set_flags(m->scanner, SCAN_FLAGS_REPORT_RULES_MATCHING);
	return m;
}

void
matcher_free(struct matcher *m)
{
	if (m == NULL)
		return;
	yr_scanner_destroy(m->scanner);
	free(m->buffer);
	free(m);
}

void
matcher_begin(struct matcher *m)
{
	m->n = 0;
	m->fresh = true;	/* an empty file is one, too */
}

static enum rules_end
look(struct matcher *m)
{
	int rc = yr_scanner_scan_mem(m->scanner, (const uint8_t *)(m->buffer == NULL ? "" : m->buffer), m->n);

	m->fresh = false;
	if (rc == ERROR_SUCCESS)
		return RULES_OK;
	return rc == ERROR_SCAN_TIMEOUT || rc == ERROR_CALLBACK_ERROR || rc == ERROR_TOO_MANY_MATCHES ? RULES_SLOW : RULES_FAILED;
}

static bool
make_room(struct matcher *m, size_t more)
{
	size_t size = m->size == 0 ? BUFFER_MIN : m->size;
	char *buffer;

	while (size < m->n + more && size < RULES_WINDOW)
		size *= 2;
	if (size == m->size)
		return true;
	buffer = realloc(m->buffer, size);
	if (buffer == NULL)
		return false;
	m->buffer = buffer;
	m->size = size;
	return true;
}

enum rules_end
matcher_put(struct matcher *m, const char *p, size_t n)
{
	enum rules_end end = RULES_OK;

	while (n > 0 && end == RULES_OK) {
		size_t part;

		if (!make_room(m, n))
			return RULES_FAILED;
		part = m->size - m->n < n ? m->size - m->n : n;
		memcpy(m->buffer + m->n, p, part);
		m->n += part;
		m->fresh = true;
		p += part;
		n -= part;
		if (m->n < RULES_WINDOW)
			continue;
		end = look(m);
		memmove(m->buffer, m->buffer + m->n - RULES_OVERLAP, RULES_OVERLAP);
		m->n = RULES_OVERLAP;
	}
	return end;
}

enum rules_end
matcher_end(struct matcher *m)
{
	return m->fresh ? look(m) : RULES_OK;
}
