/*
 * config_evidence.c - evidence, malware, scanner, trust and adapter: their values against each other, and the files they name.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/file.h"
#include "gateway/scan/scan.h"
#include "gateway/stream/tls.h"

#define AUTHORIZATION_MAX 16384u
#define MESSAGES 4096u	/* of rules that do not compile */

static bool
given(const char *s)
{
	return s != NULL && *s != '\0';
}

static void
absent_is_null(char **s)
{
	if (!given(*s))
		*s = NULL;
}

/* NULL: it may be asked. */
static const char *
url_refused(const char *text, bool allow_private)
{
	struct config_url url;
	const char *why = config_url_parse(span_of(text), &url);

	if (why != NULL)
		return why;
	if (!url.tls && !allow_private && !config_host_loopback(url.host))
		return "must begin with https://, unless it is on this machine, or allow-private is true";
	return NULL;
}

static void
check_scanner(struct config_reader *r, size_t i)
{
	struct config_place at = config_place_of(r, SECTION_SCANNER, i);
	struct config *c = r->config;
	struct config_scanner *s = &c->scanner[i];
	const char *why;

	absent_is_null(&s->url);
	absent_is_null(&s->authorization_file);
	absent_is_null(&s->ca_file);
	absent_is_null(&s->registry_url);
	if (s->url == NULL && s->type == SCANNER_ADAPTER)
		config_problem(r, &at, "url", "is missing: where is the scanner?");
	why = s->url == NULL ? NULL : url_refused(s->url, s->allow_private);
	if (why != NULL)
		config_problem(r, &at, "url", "%s", why);
	if (s->registry_url != NULL && s->type != SCANNER_ADAPTER)
		config_problem(r, &at, "registry-url", "is for type = \"adapter\" only");
	why = s->registry_url == NULL ? NULL : url_refused(s->registry_url, true);
	if (why != NULL)
		config_problem(r, &at, "registry-url", "%s", why);
	if ((s->n_subscriptions > 0) != (s->type == SCANNER_DEFENDER))
		config_problem(r, &at, "subscriptions", "%s", s->type == SCANNER_DEFENDER ? "is missing: which are to be asked?" :
		    "is for type = \"defender\" only");
	if (s->type == SCANNER_ADAPTER && !given(c->token_key))
		config_problem(r, &at, "type", "\"adapter\" needs token-service.signing-key: the scanner pulls with a token of ours");
}

static const struct config_scanner *
scanner_of(const struct config *c, const char *alias)
{
	for (size_t i = 0; i < c->n_scanner; i++)
		if (c->scanner[i].alias != NULL && strcmp(c->scanner[i].alias, alias) == 0)
			return &c->scanner[i];
	return NULL;
}

static void
check_upstream(struct config_reader *r, size_t i)
{
	struct config_place at = config_place_of(r, SECTION_UPSTREAM, i);
	struct config_upstream *u = &r->config->upstream[i];

	for (size_t k = 0; k < u->n_scanners; k++) {
		const struct config_scanner *s = scanner_of(r->config, u->scanners[k]);

		if (s == NULL)
			config_problem(r, &at, "scanners", "there is no scanner \"%s\"", u->scanners[k]);
		else if (s->type == SCANNER_ECR && u->credentials != CREDENTIALS_ECR)
			config_problem(r, &at, "scanners", "\"%s\" asks ECR: this upstream has no credentials = \"ecr\"", s->alias);
		else if (s->type == SCANNER_DEFENDER && u->credentials != CREDENTIALS_ACR && !given(s->authorization_file))
			config_problem(r, &at, "scanners", "\"%s\" asks Azure: this upstream has no credentials = \"acr\"", s->alias);
	}
}

static void
check_trust(struct config_reader *r, size_t i)
{
	struct config_place at = config_place_of(r, SECTION_TRUST, i);
	struct config_trust *t = &r->config->trust[i];

	absent_is_null(&t->roots);
	if (t->n_keys == 0 && t->roots == NULL)
		config_problem(r, &at, "keys", "is missing, and so is roots: nothing could be verified");
	if (t->roots != NULL && t->n_identities == 0)
		config_problem(r, &at, "identities", "is missing: whoever gets a certificate of these roots would be trusted");
	if (t->roots == NULL && (t->n_identities > 0 || t->n_issuers > 0 || t->n_rekor_keys > 0))
		config_problem(r, &at, "roots", "is missing: identities, issuers and rekor-keys are about certificates");
	if (t->roots == NULL && t->threshold > t->n_keys && t->n_keys > 0)
		config_problem(r, &at, "threshold", "is more than there are keys");
}

static void
check_malware(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_MALWARE, 0);

	absent_is_null(&r->config->malware.clamd);
	if (r->config->malware.clamd != NULL && r->config->malware.clamd[0] != '/')
		config_problem(r, &at, "clamd", "must be the path of a socket, as in /run/clamav/clamd.ctl");
}

/* "[::1]:8480", "127.0.0.1:8480": what is sent to it in the clear stays on this machine. */
static bool
is_loopback(const char *address)
{
	const char *colon = strrchr(address, ':');
	struct span host = { address, colon == NULL ? 0 : (size_t)(colon - address) };

	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct span){ host.p + 1, host.n - 2 };
	return config_host_loopback(host);
}

static void
check_adapter(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ADAPTER, 0);
	struct config *c = r->config;
	const char *why;

	absent_is_null(&c->adapter.listen);
	absent_is_null(&c->adapter.certificate);
	absent_is_null(&c->adapter.private_key);
	absent_is_null(&c->adapter.authorization_file);
	if (c->adapter.listen == NULL)
		return;
	why = config_address_check(c->adapter.listen);
	if (why != NULL)
		config_problem(r, &at, "listen", "%s", why);
	if (c->adapter.authorization_file == NULL)
		config_problem(r, &at, "authorization-file", "is missing: whoever comes would be served");
	if ((c->adapter.certificate == NULL) != (c->adapter.private_key == NULL))
		config_problem(r, &at, "certificate", "and private-key come together");
	if (why == NULL && c->adapter.certificate == NULL && !is_loopback(c->adapter.listen))
		config_problem(r, &at, "certificate", "is missing: without one the adapter listens on this machine only (127.0.0.1, [::1])");
}

void
config_check_evidence(struct config_reader *r)
{
	struct config *c = r->config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	absent_is_null(&c->evidence.exceptions);
	absent_is_null(&c->evidence.kev);
	if (c->evidence.threads == 0)
		c->evidence.threads = cores > 3 ? (unsigned)cores / 2 : 1;
	for (size_t i = 0; i < c->n_scanner; i++)
		check_scanner(r, i);
	for (size_t i = 0; i < c->n_upstream; i++)
		check_upstream(r, i);
	for (size_t i = 0; i < c->n_trust; i++)
		check_trust(r, i);
	check_malware(r);
	check_adapter(r);
}

/* A value of Authorization, one line. NULL after a problem. */
static char *
load_authorization(struct config_reader *r, const struct config_place *at, const char *path)
{
	char err[256], *text, *kept = NULL;
	size_t n;
	struct span value;

	text = file_read(path, AUTHORIZATION_MAX, &n, err, sizeof err);
	if (text == NULL) {
		config_problem(r, at, "authorization-file", "%s: %s", path, err);
		return NULL;
	}
	value = (struct span){ text, n };
	while (value.n > 0 && (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
		value.n--;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < ' ' || value.p[i] > '~')
			value.n = 0;
	if (value.n == 0 || memchr(value.p, ' ', value.n) == NULL)
		config_problem(r, at, "authorization-file", "%s: must be one line, as in Bearer abc", path);
	else
		kept = config_string(r->config, value);
	OPENSSL_cleanse(text, n);
	free(text);
	return kept;
}

static void
load_adapter_pair(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ADAPTER, 0);
	struct config *c = r->config;
	SSL_CTX *ctx;
	char err[256];

	if (c->adapter.listen == NULL || c->adapter.certificate == NULL || c->adapter.private_key == NULL)
		return;
	ctx = tls_server_new(&c->adapter.certificate, &c->adapter.private_key, 1, err, sizeof err);
	if (ctx == NULL)
		config_problem(r, &at, "certificate", "%s", err);
	SSL_CTX_free(ctx);
}

/* The rules are compiled here, so that `check` knows what is wrong with them. */
static void
load_engine(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_MALWARE, 0);
	struct config *c = r->config;
	char err[MESSAGES];

	if (c->malware.n_rules + c->malware.n_secrets == 0 && c->malware.clamd == NULL)
		return;
	c->engine = engine_new(c, err, sizeof err);
	for (char *line = err, *end; c->engine == NULL && *line != '\0'; line = end) {
		end = line + strcspn(line, "\n");
		config_problem(r, &at, "rules", "%.*s", (int)(end - line), line);
		end += *end == '\n';
	}
}

void
config_load_evidence(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ADAPTER, 0);
	struct config *c = r->config;

	config_load_exemptions(r);
	config_load_signers(r);
	load_engine(r);
	for (size_t i = 0; i < c->n_scanner; i++) {
		struct config_place scanner = config_place_of(r, SECTION_SCANNER, i);

		if (c->scanner[i].authorization_file != NULL)
			c->scanner[i].authorization = load_authorization(r, &scanner, c->scanner[i].authorization_file);
	}
	load_adapter_pair(r);
	if (c->adapter.listen != NULL && c->adapter.authorization_file != NULL)
		c->adapter.authorization = load_authorization(r, &at, c->adapter.authorization_file);
}
