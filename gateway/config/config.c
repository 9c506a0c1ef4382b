/*
 * config.c - from a file name to one immutable configuration.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>

#include "gateway/config/config_parts.h"
#include "gateway/scan/scan.h"
#include "gateway/file.h"

#define CONFIG_MEMORY	(64u << 20)	/* bound of all strings and arrays of one configuration */

/* ---- memory ---- */

struct config *
config_new(void)
{
	struct config *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->arena = arena_new(CONFIG_MEMORY);
	if (c->arena == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static void
forget(char *secret)
{
	if (secret != NULL)
		OPENSSL_cleanse(secret, strlen(secret));
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n_upstream; i++)
		forget(c->upstream[i].authorization);
	if (c->cluster_secret != NULL)
		OPENSSL_cleanse(c->cluster_secret, c->cluster_secret_size);
	for (size_t i = 0; i < c->n_issuer; i++)
		keyset_free(c->issuer[i].keys);
	issuer_table_unref(c->file_issuers);
	token_service_free(c->token_service);	/* it looks at the policy */
	revoked_free(c->revoked);
	accounts_free(c->accounts);
	exemptions_free(c->exemptions);
	trust_free(c->trust_store);
	engine_free(c->engine);
	policy_unref(c->policy);
	arena_free(c->arena);
	free(c);
}

char *
config_string(struct config *c, struct span s)
{
	char *copy = arena_alloc(c->arena, s.n + 1);

	if (copy == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

char *
config_printf(struct config *c, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = n < 0 ? NULL : arena_alloc(c->arena, (size_t)n + 1);
	if (text == NULL)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

/* ---- problems ---- */

static int
line_of(const struct config_place *at, const char *option)
{
	const config_setting_t *s = NULL;
	int line;

	if (at->group == NULL)
		return 1;
	if (option != NULL && config_setting_type(at->group) == CONFIG_TYPE_GROUP)
		s = config_setting_get_member(at->group, option);
	line = (int)config_setting_source_line(s != NULL ? s : at->group);
	return line > 0 ? line : 1;
}

/* "gateway.conf:12: upstream.harbor.url: " */
static void
say_where(struct config_reader *r, const struct config_place *at, const char *option, const char *kind)
{
	const char *section = config_section_name(at->section);
	const char *dot = "";

	fprintf(r->out, "%s:%d: %s", r->file, line_of(at, option), kind);
	if (*section != '\0') {
		fputs(section, r->out);
		dot = ".";
	}
	if (at->alias != NULL)
		fprintf(r->out, ".%s", at->alias);
	if (option != NULL)
		fprintf(r->out, "%s%s", dot, option);
	if (*section != '\0' || option != NULL)
		fputs(": ", r->out);
}

void
config_problem(struct config_reader *r, const struct config_place *at, const char *option, const char *fmt, ...)
{
	va_list ap;

	r->problems++;
	if (r->out == NULL)
		return;
	say_where(r, at, option, "");
	va_start(ap, fmt);
	vfprintf(r->out, fmt, ap);
	va_end(ap);
	fputc('\n', r->out);
}

void
config_warning(struct config_reader *r, const struct config_place *at, const char *option, const char *fmt, ...)
{
	va_list ap;

	if (r->out == NULL)
		return;
	say_where(r, at, option, "warning: ");
	va_start(ap, fmt);
	vfprintf(r->out, fmt, ap);
	va_end(ap);
	fputc('\n', r->out);
}

static void PRINTF(5, 0)
say_of_file(struct config_reader *r, const char *file, int line, const char *kind, const char *fmt, va_list ap)
{
	if (r->out == NULL)
		return;
	if (line > 0)
		fprintf(r->out, "%s:%d: ", file, line);
	else
		fprintf(r->out, "%s: ", file);
	fputs(kind, r->out);
	vfprintf(r->out, fmt, ap);
	fputc('\n', r->out);
}

void
config_file_problem(struct config_reader *r, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	r->problems++;
	va_start(ap, fmt);
	say_of_file(r, file, line, "", fmt, ap);
	va_end(ap);
}

void
config_file_warning(struct config_reader *r, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_of_file(r, file, line, "warning: ", fmt, ap);
	va_end(ap);
}

struct config_place
config_place_of(const struct config_reader *r, enum config_section section, size_t n)
{
	const config_setting_t *s = config_root_setting(&r->tree);
	struct config_place at = { section, s, NULL };

	if (section == SECTION_ROOT)
		return at;
	at.group = config_setting_get_member(s, config_section_name(section));
	if (config_section_shape(section) == SHAPE_GROUP)
		return at;
	at.group = config_setting_get_elem(at.group, (unsigned)n);
	at.alias = config_setting_name(at.group);
	return at;
}

/* ---- reading ---- */

bool
config_parse(struct config_reader *r, struct span text)
{
	char *copy;

	if (!config_text_check(r, text))
		return false;
	copy = config_string(r->config, text);
	if (copy == NULL) {
		config_file_problem(r, r->file, 0, "out of memory");
		return false;
	}
	if (config_read_string(&r->tree, copy) != CONFIG_TRUE) {
		config_file_problem(r, r->file, config_error_line(&r->tree), "%s", config_error_text(&r->tree));
		return false;
	}
	config_table_read(r);
	config_check(r);
	return true;
}

struct config *
config_load_into(const char *file, bool create, FILE *out)
{
	struct config_reader r = { .file = file, .out = out, .config = config_new() };
	char err[256] = "out of memory";
	char *text;
	size_t n;

	text = r.config == NULL ? NULL : file_read(file, CONFIG_FILE_MAX, &n, err, sizeof err);
	if (text == NULL) {
		config_file_problem(&r, file, 0, "%s", err);
		config_free(r.config);
		return NULL;
	}
	config_init(&r.tree);
	r.config->file = config_string(r.config, span_of(file));
	if (config_parse(&r, (struct span){ text, n }))
		config_files_load(&r, create);
	config_destroy(&r.tree);
	free(text);
	if (arena_failed(r.config->arena))
		config_file_problem(&r, file, 0, "out of memory");
	if (r.problems == 0)
		return r.config;
	config_free(r.config);
	return NULL;
}

struct config *
config_load(const char *file, bool create)
{
	return config_load_into(file, create, stderr);
}

/* ---- questions ---- */

bool
config_pattern_match(const char *pattern, struct span s)
{
	const char *star = NULL;	/* after the last '*' seen, and where its run may begin */
	size_t i = 0, begin = 0;

	while (i < s.n) {
		if (*pattern == '*') {
			star = ++pattern;
			begin = i;
		} else if (*pattern == s.p[i] && *pattern != '\0') {
			pattern++;
			i++;
		} else if (star != NULL) {
			pattern = star;
			i = ++begin;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool
config_host_port(struct span s, struct span *host, unsigned *port)
{
	const char *colon = s.n == 0 ? NULL : memchr(s.p, ':', s.n);
	unsigned v = 0;

	*port = 443;
	*host = s;
	if (colon == NULL)
		return true;
	host->n = (size_t)(colon - s.p);
	s = span_skip(s, host->n + 1);
	if (s.n == 0 || s.n > 5 || s.p[0] == '0')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	*port = v;
	return v <= 65535;
}

bool
config_redirect_allowed(const struct config_upstream *u, struct span host, unsigned port)
{
	for (size_t i = 0; i < u->n_redirect_hosts; i++) {
		struct span want;
		unsigned at;

		if (!config_host_port(span_of(u->redirect_hosts[i]), &want, &at) || at != port)
			continue;
		if (span_starts(want, SPAN("*.")) ? host.n > want.n - 1 && span_ends(host, span_skip(want, 1)) : span_eq(host, want))
			return true;
	}
	return false;
}

const struct config_upstream *
config_upstream_for(const struct config *c, struct span repository)
{
	for (size_t i = 0; i < c->n_upstream; i++) {
		const struct config_upstream *u = &c->upstream[i];

		for (size_t k = 0; k < u->n_repositories; k++)
			if (config_pattern_match(u->repositories[k], repository))
				return u;
	}
	return NULL;
}
