/*
 * config_check.c - values against each other and against what this release serves; no file is opened.
 *
 * A value that already failed in the table is NULL or its default here: it is not reported twice.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <unistd.h>

#include "gateway/tags/append.h"

#define CONTROL_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static bool
given(const char *s)
{
	return s != NULL && *s != '\0';
}

static void
lower(char *s)
{
	for (; *s != '\0'; s++)
		*s = ascii_lower(*s);
}

/* ---- top level ---- */

static void
check_external_url(struct config_reader *r, const struct config_place *at)
{
	struct config *c = r->config;
	struct config_url url;
	const char *why;

	if (c->external_url == NULL)
		return;
	why = config_url_parse(span_of(c->external_url), &url);
	if (why == NULL && !url.tls)
		why = "must be https: clients send credentials";
	if (why == NULL && url.path.n > 0 && !span_eq(url.path, SPAN("/")))
		why = "a path is not possible: clients always ask for /v2/ at the root";
	if (why != NULL) {
		config_problem(r, at, "external-url", "%s", why);
		return;
	}
	c->external_url[strlen(c->external_url) - url.path.n] = '\0';
	c->external_host = config_printf(c, "%s%.*s%s", url.ipv6 ? "[" : "", SPAN_FMT(url.host), url.ipv6 ? "]" : "");
	if (c->external_host != NULL)
		lower(c->external_host);
}

static void
check_host_names(struct config_reader *r, const struct config_place *at)
{
	struct config *c = r->config;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_host_names; i++) {
		char *name = c->host_names[i];

		lower(name);
		if (!config_host_valid(span_of(name)))
			config_problem(r, at, "host-names", "\"%s\" is not a host name (no scheme, no port)", name);
		if (c->external_host == NULL || strcmp(name, c->external_host) != 0)
			c->host_names[kept++] = name;
	}
	c->n_host_names = kept;
}

static void
check_top(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ROOT, 0);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	check_external_url(r, &at);
	check_host_names(r, &at);
	if (r->config->workers == 0)
		r->config->workers = cores > 0 ? (unsigned)cores : 1;
}

/* Not there, or empty: of another type was said by the table. */
static bool
is_absent(const struct config_place *root, const char *name)
{
	const config_setting_t *s = config_setting_get_member(root->group, name);

	return s == NULL || (config_setting_is_aggregate(s) && config_setting_length(s) == 0);
}

/* ---- listeners ---- */

static void
check_trusted_proxies(struct config_reader *r, const struct config_place *at, struct config_listen *l)
{
	char err[160];

	if (l->proxy_protocol && l->n_trusted_proxies == 0)
		config_problem(r, at, "proxy-protocol", "needs trusted-proxies: anybody else could write any address");
	l->trusted = arena_zalloc(r->config->arena, l->n_trusted_proxies, sizeof *l->trusted);
	for (size_t i = 0; l->trusted != NULL && i < l->n_trusted_proxies; i++) {
		if (!network_parse(span_of(l->trusted_proxies[i]), &l->trusted[i], err, sizeof err))
			config_problem(r, at, "trusted-proxies", "%s", err);
		else if (l->trusted[i].bits == 0)
			config_problem(r, at, "trusted-proxies", "%s trusts everybody", l->trusted_proxies[i]);
	}
}

/* One name in policies is one source of identities. */
static void
check_certificate_issuer(struct config_reader *r, const struct config_place *at, size_t n)
{
	const struct config_listen *l = &r->config->listen[n];
	struct span alias = span_of(l->certificate.issuer);

	for (size_t i = 0; i < alias.n; i++)
		if ((alias.p[i] < 'a' || alias.p[i] > 'z') && (alias.p[i] < 'A' || alias.p[i] > 'Z') &&
		    (alias.p[i] < '0' || alias.p[i] > '9') && alias.p[i] != '-' && alias.p[i] != '_')
			alias.n = 0;
	if (alias.n == 0 || alias.n > 64)
		config_problem(r, at, "certificate-issuer", "must be 1 to 64 of A-Z a-z 0-9 - _");
	for (size_t i = 0; i < r->config->n_issuer; i++)
		if (span_eq(alias, span_of(r->config->issuer[i].alias)))
			config_problem(r, at, "certificate-issuer", "issuer.%s exists: a token and a certificate would be one person",
			    r->config->issuer[i].alias);
	for (size_t i = 0; i < n; i++) {
		const struct config_listen *other = &r->config->listen[i];

		if (other->client_certificate == CLIENT_CERTIFICATE_NONE || !span_eq(alias, span_of(other->certificate.issuer)))
			continue;
		if (!span_eq(span_of(l->client_ca), span_of(other->client_ca)) ||
		    l->certificate.subject != other->certificate.subject || l->certificate.groups != other->certificate.groups)
			config_problem(r, at, "certificate-issuer",
			    "\"%s\" names the clients of %s too, but by another client-ca, certificate-subject or certificate-groups",
			    l->certificate.issuer, other->address == NULL ? "another listener" : other->address);
	}
}

static void
check_client_certificates(struct config_reader *r, const struct config_place *at, size_t n)
{
	struct config_listen *l = &r->config->listen[n];

	if (!given(l->client_ca))
		l->client_ca = NULL;
	if (!given(l->client_crl))
		l->client_crl = NULL;
	switch (l->client_certificate) {
	case CLIENT_CERTIFICATE_NONE:
		if (l->client_ca != NULL)
			config_problem(r, at, "client-ca", "has no use unless client-certificate is \"optional\" or \"required\"");
		if (l->client_crl != NULL)
			config_problem(r, at, "client-crl", "has no use unless client-certificate is \"optional\" or \"required\"");
		return;
	case CLIENT_CERTIFICATE_OPTIONAL:
	case CLIENT_CERTIFICATE_REQUIRED:
		if (l->client_ca == NULL)
			config_problem(r, at, "client-certificate", "needs client-ca: who vouches for clients?");
		check_certificate_issuer(r, at, n);
		return;
	}
}

static void
check_listener(struct config_reader *r, const struct config_place *at, size_t n)
{
	struct config_listen *l = &r->config->listen[n];
	const char *why = l->address == NULL ? NULL : config_address_check(l->address);

	if (why != NULL)
		config_problem(r, at, "address", "%s", why);
	for (size_t i = 0; i < n && l->address != NULL; i++) {
		const char *other = r->config->listen[i].address;

		if (other != NULL && strcmp(other, l->address) == 0)
			config_problem(r, at, "address", "%s is listened on twice", l->address);
	}
	if (l->certificates != NULL && l->private_keys != NULL && l->n_certificates != l->n_private_keys)
		config_problem(r, at, "private-keys", "%zu keys for %zu certificates: each needs its own",
		    l->n_private_keys, l->n_certificates);
	check_client_certificates(r, at, n);
	check_trusted_proxies(r, at, l);
}

static void
check_listeners(struct config_reader *r)
{
	struct config_place all = config_place_of(r, SECTION_ROOT, 0);

	if (is_absent(&all, "listen"))
		config_problem(r, &all, "listen", "no listener: listen = ( { address = \"0.0.0.0:5443\"; ... } );");
	for (size_t i = 0; i < r->config->n_listen; i++) {
		struct config_place at = config_place_of(r, SECTION_LISTEN, i);

		check_listener(r, &at, i);
	}
}

/* ---- upstreams ---- */

/* The parts of an upstream's URL. False after a problem. */
static bool
split_url(struct config_reader *r, const struct config_place *at, struct config_upstream *u)
{
	struct config_url url;
	const char *why = config_url_parse(span_of(u->url), &url);

	if (why == NULL && !url.tls && !config_host_loopback(url.host))
		why = "http:// is only for a registry on this machine (localhost, 127.0.0.1, [::1]); use https://";
	while (why == NULL && span_ends(url.path, SPAN("/")))
		url.path.n--;
	if (why == NULL && span_ends(url.path, SPAN("/v2")))
		why = "leave /v2 out: it is added";
	if (why != NULL) {
		config_problem(r, at, "url", "%s", why);
		return false;
	}
	u->tls = url.tls;
	u->port = url.port;
	u->host = config_string(r->config, url.host);
	u->path = config_string(r->config, url.path);
	u->origin = config_url_origin(r->config, &url);
	if (u->host == NULL || u->path == NULL || u->origin == NULL)
		return false;
	u->registry = config_printf(r->config, "%s%s", u->origin, u->path);
	if (u->registry == NULL)
		return false;
	lower(u->host);
	u->host_header = u->origin + strlen(url.tls ? "https://" : "http://");
	return true;
}

static void
check_same_registry(struct config_reader *r, const struct config_place *at, size_t n)
{
	const struct config_upstream *u = &r->config->upstream[n];

	for (size_t i = 0; i < n; i++) {
		const struct config_upstream *other = &r->config->upstream[i];

		if (other->path != NULL && other->origin != NULL && strcmp(u->origin, other->origin) == 0 &&
		    strcmp(u->path, other->path) == 0)
			config_problem(r, at, "url", "%s%s is upstream.%s already: one registry has one ledger",
			    u->origin, u->path, other->alias);
	}
}

/* What could never equal a repository name is a mistake. */
static bool
pattern_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && strchr("._-/*", c) == NULL)
			return false;
		if (c == '/' && (i == 0 || i + 1 == s.n || s.p[i + 1] == '/'))
			return false;
	}
	return true;
}

static void
check_repositories(struct config_reader *r, const struct config_place *at, size_t n)
{
	const struct config_upstream *u = &r->config->upstream[n];

	if (u->repositories != NULL && u->n_repositories == 0)
		config_problem(r, at, "repositories", "must not be empty");
	for (size_t i = 0; i < u->n_repositories; i++)
		if (!pattern_valid(span_of(u->repositories[i])))
			config_problem(r, at, "repositories",
			    "\"%s\" matches no repository: a-z 0-9 . _ - between single slashes, * for any run",
			    u->repositories[i]);
	for (size_t i = 0; i < n; i++) {
		const struct config_upstream *before = &r->config->upstream[i];

		for (size_t k = 0; k < before->n_repositories; k++)
			if (strcmp(before->repositories[k], "*") == 0)
				config_warning(r, at, NULL, "never asked: upstream.%s before it takes every repository",
				    before->alias);
	}
}

/* The settings of a kind of credentials: empty is not given; given has no use with another kind. */
static void
check_kind(struct config_reader *r, const struct config_place *at, bool used, const char *kinds, const char *name, char **value)
{
	if (!given(*value))
		*value = NULL;
	else if (!used)
		config_problem(r, at, name, "has no use unless credentials = %s", kinds);
}

static void
check_login(struct config_reader *r, const struct config_place *at, const struct config_upstream *u)
{
	bool basic = u->credentials == CREDENTIALS_BASIC;
	const char *kind = basic ? "\"basic\"" : "\"token\"";

	if (u->username != NULL && strchr(u->username, ':') != NULL)
		config_problem(r, at, "username", "may not hold a colon (RFC 7617)");
	/* a token service may give tokens to anybody */
	if (!given(u->username) && (basic || given(u->password_file)))
		config_problem(r, at, "credentials", "%s needs username", kind);
	if (!given(u->password_file) && (basic || given(u->username)))
		config_problem(r, at, "credentials", "%s needs password-file", kind);
}

/* https, or this machine: secrets go there. */
static void
check_service(struct config_reader *r, const struct config_place *at, const char *name, const char *value)
{
	struct config_url url;
	const char *why = value == NULL ? NULL : config_url_parse(span_of(value), &url);

	if (value != NULL && why == NULL && !url.tls && !config_host_loopback(url.host))
		why = "must be https";
	if (why != NULL)
		config_problem(r, at, name, "\"%s\": %s", value, why);
}

static void
check_credentials(struct config_reader *r, const struct config_place *at, struct config_upstream *u)
{
	bool ecr = u->credentials == CREDENTIALS_ECR, acr = u->credentials == CREDENTIALS_ACR;
	bool token = u->credentials == CREDENTIALS_TOKEN;
	struct span host;
	unsigned port;

	if (token || u->credentials == CREDENTIALS_BASIC) {
		check_login(r, at, u);
	} else {
		check_kind(r, at, false, "\"basic\" or \"token\"", "username", &u->username);
		check_kind(r, at, false, "\"basic\" or \"token\"", "password-file", &u->password_file);
	}
	for (size_t i = 0; i < u->n_realm_hosts; i++) {
		lower(u->realm_hosts[i]);
		if (!config_host_port(span_of(u->realm_hosts[i]), &host, &port) || !config_host_valid(host))
			config_problem(r, at, "realm-hosts", "\"%s\" is not a host, with :port if it is not 443 (no scheme)",
			    u->realm_hosts[i]);
	}
	if (u->n_realm_hosts > 0 && !token)
		config_problem(r, at, "realm-hosts", "has no use unless credentials = \"token\"");
	check_kind(r, at, ecr, "\"ecr\"", "region", &u->region);
	check_kind(r, at, ecr, "\"ecr\"", "endpoint", &u->endpoint);
	check_kind(r, at, acr, "\"acr\"", "client-id", &u->client_id);
	check_kind(r, at, acr, "\"acr\"", "tenant-id", &u->tenant_id);
	check_kind(r, at, acr, "\"acr\"", "client-secret-file", &u->client_secret_file);
	check_kind(r, at, acr, "\"acr\"", "federated-token-file", &u->federated_token_file);
	check_kind(r, at, acr, "\"acr\"", "authority", &u->authority);
	check_service(r, at, "endpoint", u->endpoint);
	check_service(r, at, "authority", u->authority);
	if (u->client_secret_file != NULL && u->federated_token_file != NULL)
		config_problem(r, at, "client-secret-file", "not together with federated-token-file");
}

/* "storage.example.com", or "*.example.com" with two labels at least: not a whole top-level domain. Perhaps ":port". */
static bool
host_pattern_valid(struct span s)
{
	unsigned port;

	if (!config_host_port(s, &s, &port))
		return false;
	if (!span_starts(s, SPAN("*.")))
		return config_host_valid(s);
	s = span_skip(s, 2);
	return config_host_valid(s) && memchr(s.p, '.', s.n) != NULL;
}

static void
check_redirects(struct config_reader *r, const struct config_place *at, const struct config_upstream *u)
{
	for (size_t i = 0; i < u->n_redirect_hosts; i++) {
		lower(u->redirect_hosts[i]);
		if (!host_pattern_valid(span_of(u->redirect_hosts[i])))
			config_problem(r, at, "redirect-hosts",
			    "\"%s\" is not a host or *.domain.tld, with :port if it is not 443 (no scheme)", u->redirect_hosts[i]);
	}
	switch (u->redirects) {
	case REDIRECT_DENY:
		if (u->n_redirect_hosts > 0)
			config_problem(r, at, "redirect-hosts", "has no use with redirects = \"deny\"");
		break;
	case REDIRECT_PASS:
	case REDIRECT_FOLLOW:
		if (u->n_redirect_hosts == 0)
			config_problem(r, at, "redirects", "needs redirect-hosts: where to?");
		break;
	}
}

static void
check_upload_hosts(struct config_reader *r, const struct config_place *at, struct config_upstream *u)
{
	for (size_t i = 0; i < u->n_upload_hosts; i++) {
		struct config_url url;
		const char *why = config_url_parse(span_of(u->upload_hosts[i]), &url);
		char *origin;

		if (why == NULL && !url.tls && !config_host_loopback(url.host))
			why = "must be https";
		if (why == NULL && url.path.n > 0)
			why = "an origin has no path";
		if (why != NULL) {
			config_problem(r, at, "upload-hosts", "\"%s\": %s", u->upload_hosts[i], why);
			continue;
		}
		origin = config_url_origin(r->config, &url);
		if (origin != NULL)
			u->upload_hosts[i] = origin;
	}
}

static void
check_upstream(struct config_reader *r, const struct config_place *at, size_t n)
{
	struct config_upstream *u = &r->config->upstream[n];

	if (u->url != NULL && split_url(r, at, u))
		check_same_registry(r, at, n);
	if (!given(u->redirect_ca_file))
		u->redirect_ca_file = NULL;
	else if (u->redirects != REDIRECT_FOLLOW)
		config_problem(r, at, "redirect-ca-file", "has no use unless redirects = \"follow\"");
	if (!given(u->ca_file))
		u->ca_file = NULL;
	else if (u->origin != NULL && !u->tls)
		config_problem(r, at, "ca-file", "has no use with http://");
	check_repositories(r, at, n);
	check_credentials(r, at, u);
	check_redirects(r, at, u);
	check_upload_hosts(r, at, u);
}

static void
check_upstreams(struct config_reader *r)
{
	struct config_place all = config_place_of(r, SECTION_ROOT, 0);

	if (is_absent(&all, "upstream"))
		config_problem(r, &all, "upstream", "no upstream: upstream = { name = { url = \"https://...\"; }; };");
	for (size_t i = 0; i < r->config->n_upstream; i++) {
		struct config_place at = config_place_of(r, SECTION_UPSTREAM, i);

		check_upstream(r, &at, i);
	}
}

/* ---- tokens of the gateway's own ---- */

/* It stands between quotes in a header. */
static bool
service_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == ',')
			return false;
	return s.n <= 255;
}

static void
check_token_service(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_TOKEN_SERVICE, 0);
	struct config *c = r->config;

	if (!given(c->revoked_file))
		c->revoked_file = NULL;
	if (!given(c->token_key)) {
		if (c->n_next_keys > 0 || c->n_retiring_keys > 0 || given(c->token_audience))
			config_problem(r, &at, "signing-key", "is missing: without it there is no token service");
		c->token_key = NULL;
		return;
	}
	if (c->external_url != NULL && !given(c->token_audience) && span_starts(span_of(c->external_url), SPAN("https://")))
		c->token_audience = config_string(c, span_skip(span_of(c->external_url), strlen("https://")));
	if (c->token_audience != NULL && !service_valid(span_of(c->token_audience)))
		config_problem(r, &at, "service", "must be printable, without blanks, quotes, commas and backslashes");
	for (size_t i = 0; i < c->n_issuer; i++) {
		struct config_place issuer = config_place_of(r, SECTION_ISSUER, i);

		if (c->issuer[i].url != NULL && c->external_url != NULL && strcmp(c->issuer[i].url, c->external_url) == 0)
			config_problem(r, &issuer, "url", "is external-url: tokens of the gateway's own come from there");
	}
}

/* What policies call robots is no issuer's alias. */
static void
check_accounts(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ACCOUNTS, 0);
	struct config *c = r->config;

	if (!given(c->account_groups))
		c->account_groups = NULL;
	if (!given(c->accounts_file)) {
		if (c->account_groups != NULL)
			config_problem(r, &at, "groups", "has no use without file");
		c->accounts_file = NULL;
		return;
	}
	for (size_t i = 0; i < c->n_issuer; i++) {
		struct config_place issuer = config_place_of(r, SECTION_ISSUER, i);

		if (c->issuer[i].alias != NULL && strcmp(c->issuer[i].alias, IDENTITY_BASIC) == 0)
			config_problem(r, &issuer, NULL, "\"" IDENTITY_BASIC "\" is what policies call accounts; take another name");
	}
	for (size_t i = 0; i < c->n_listen; i++) {
		struct config_place listen = config_place_of(r, SECTION_LISTEN, i);

		if (c->listen[i].certificate.issuer != NULL && strcmp(c->listen[i].certificate.issuer, IDENTITY_BASIC) == 0)
			config_problem(r, &listen, "certificate-issuer",
			    "\"" IDENTITY_BASIC "\" is what policies call accounts; take another name");
	}
}

/* ---- the rest ---- */

static void
check_stores(struct config_reader *r)
{
	struct config_place tags = config_place_of(r, SECTION_TAGS, 0);
	struct config_place audit = config_place_of(r, SECTION_AUDIT, 0);
	struct span url = span_of(r->config->ledger_url);

	if (span_starts(url, SPAN("postgresql:")) || span_starts(url, SPAN("postgres:")))
		config_problem(r, &tags, "ledger", "PostgreSQL is not served yet; use sqlite:/path");
	else if (url.p != NULL && (!span_starts(url, SPAN("sqlite:")) || url.n == strlen("sqlite:")))
		config_problem(r, &tags, "ledger", "must be sqlite:/path");
	if (r->config->audit_directory != NULL && *r->config->audit_directory == '\0')
		config_problem(r, &audit, "directory", "must not be empty: nothing happens unrecorded");
	else if (r->config->audit_directory != NULL)
		r->config->ledger_mark = config_printf(r->config, "%s/ledger.mark", r->config->audit_directory);
}

/* An image that may be appended could be pulled in a signature's place. */
static void
check_artifact_types(struct config_reader *r)
{
	static const char *const images[] = { "application/vnd.oci.image.config.v1+json",
		"application/vnd.docker.container.image.v1+json", "application/vnd.oci.empty.v1+json" };
	struct config_place at = config_place_of(r, SECTION_TAGS, 0);
	struct config *c = r->config;

	for (size_t i = 0; i < c->n_artifact_types; i++) {
		const char *type = c->artifact_types[i];
		size_t n = strcspn(type, "*");

		if (strchr(type, '/') == NULL ||
		    strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789.+-_/") != n ||
		    (type[n] == '*' && type[n + 1] != '\0'))
			config_problem(r, &at, "artifact-types", "\"%s\" is no media type in lower case (a * may end it)", type);
		for (size_t k = 0; k < sizeof images / sizeof images[0]; k++)
			if (append_type_matches(type, span_of(images[k])))
				config_problem(r, &at, "artifact-types", "\"%s\" takes in images: %s", type, images[k]);
	}
}

/* "auto" is beside the ledger; no path at all is no socket. */
static void
check_control(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ROOT, 0);
	struct config *c = r->config;
	bool automatic = c->control != NULL && strcmp(c->control, "auto") == 0;

	if (automatic && span_starts(span_of(c->ledger_url), SPAN("sqlite:")))
		c->control = config_printf(c, "%s.sock", c->ledger_url + strlen("sqlite:"));
	else if (automatic || !given(c->control))
		c->control = NULL;
	if (c->control == NULL || strlen(c->control) <= CONTROL_PATH_MAX)
		return;
	if (automatic)
		config_warning(r, &at, "control", "%s is longer than %zu bytes: there is no control socket", c->control, CONTROL_PATH_MAX);
	else
		config_problem(r, &at, "control", "is longer than %zu bytes, which no socket may be", CONTROL_PATH_MAX);
	c->control = NULL;
}

static void
check_admin(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_ADMIN, 0);
	struct config *c = r->config;
	const char *why;

	if (!given(c->admin_listen)) {
		c->admin_listen = NULL;
		return;
	}
	why = config_address_check(c->admin_listen);
	if (why != NULL)
		config_problem(r, &at, "listen", "%s", why);
	for (size_t i = 0; i < c->n_listen; i++)
		if (c->listen[i].address != NULL && strcmp(c->listen[i].address, c->admin_listen) == 0)
			config_problem(r, &at, "listen", "%s serves clients already", c->admin_listen);
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static void
check_limits(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_LIMITS, 0);
	struct config_limits *l = &r->config->limits;
	const struct { const char *name; size_t value; } parts[] = {
		{ "target", l->route.target },
		{ "upload-target", l->route.upload_target },
		{ "field-value", l->http.value },
		{ "authorization", l->http.authorization },
	};

	/* the reader takes the longest target there is, the route then knows which one it has */
	l->http.target = larger(l->route.target, l->route.upload_target);
	for (size_t i = 0; i < r->config->n_upstream; i++)
		l->route.tag = larger(l->route.tag, r->config->upstream[i].tag_max);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (parts[i].value >= l->http.head)
			config_problem(r, &at, parts[i].name, "%zu bytes do not fit into head (%zu)", parts[i].value,
			    l->http.head);
}

void
config_check(struct config_reader *r)
{
	check_top(r);
	check_listeners(r);
	check_upstreams(r);
	config_check_issuers(r);
	if (r->config->observe) {
		struct config_place at = config_place_of(r, SECTION_POLICY, 0);

		config_warning(r, &at, "mode", "observe: policy refuses nothing, and tags may be overwritten");
	}
	check_token_service(r);
	check_accounts(r);
	config_check_evidence(r);
	check_stores(r);
	check_artifact_types(r);
	check_control(r);
	check_admin(r);
	check_limits(r);
}
