/*
 * config_issuer.c - issuers: what their options say together with a preset, keys from files, the table made of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/file.h"
#include "gateway/stream/tls.h"

#define BEARER_MAX 65536u

static bool
given(const char *s)
{
	return s != NULL && *s != '\0';
}

/* Was it written, or is it the default of the table? */
static bool
written(const struct config_place *at, const char *option)
{
	return config_setting_get_member(at->group, option) != NULL;
}

/* ---- url and preset ---- */

static const char *
trust_domain_check(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < '0' || s.p[i] > '9') && strchr(".-_", s.p[i]) == NULL)
			return "a trust domain is a name in lower case, as in spiffe://example.org";
	return s.n == 0 ? "names no trust domain" : NULL;
}

/* The path of an issuer is not ours to judge: it is compared byte for byte with `iss`. */
static const char *
url_check(enum preset preset, struct span s)
{
	size_t slashes = 0, authority = 0;
	struct config_url url;
	const char *why;

	if (preset == PRESET_SPIFFE && span_starts(s, SPAN("spiffe://")))
		return trust_domain_check(span_skip(s, strlen("spiffe://")));
	while (authority < s.n && (s.p[authority] != '/' || ++slashes < 3))
		authority++;
	for (size_t i = authority; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '?' || s.p[i] == '#')
			return "an issuer has no query, fragment or blanks";
	why = config_url_parse((struct span){ s.p, authority }, &url);
	if (why == NULL && !url.tls && !config_host_loopback(url.host))
		return "must be https (OpenID Connect Core section 2)";
	return why;
}

/* 8-4-4-4-12 hexadecimal digits. */
static bool
is_guid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s.p[i] != '-' : strchr("0123456789abcdefABCDEF", s.p[i]) == NULL || s.p[i] == '\0')
			return false;
	}
	return s.n == 36;
}

/* Defaults and rules of the preset. *star: what its url leaves open. */
static void
check_preset(struct config_reader *r, const struct config_place *at, struct config_issuer *s, struct span *star)
{
	const struct preset_row *row = preset_row(s->preset);

	s->quirks = row->quirks & ~PRESET_TENANT;
	if (!written(at, "algorithms"))
		s->algorithms = preset_algorithms(s->preset);
	if (!written(at, "groups-claim") && *row->groups != '\0')
		s->groups_claim = config_string(r->config, span_of(row->groups));
	if (!written(at, "roles-claim") && *row->roles != '\0')
		s->roles_claim = config_string(r->config, span_of(row->roles));
	if (s->url != NULL && !preset_url_fits(s->preset, span_of(s->url), star))
		config_problem(r, at, "url", "is none of preset \"%s\": %s", row->name, row->urls);
	else if (s->url != NULL && (row->quirks & PRESET_TENANT) != 0 && !is_guid(*star))
		config_problem(r, at, "url", "must name one tenant by its id, as in 11111111-2222-3333-4444-555555555555");
	for (size_t i = 0; i < s->n_audiences; i++)
		if (preset_audience_shared(s->preset, span_of(s->audiences[i])))
			config_problem(r, at, "audiences", "\"%s\" is the audience of tokens made for others; have some made for this registry",
			    s->audiences[i]);
}

/* ---- required claims ---- */

static bool
claim_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '.' && (i == 0 || i + 1 == s.n || s.p[i + 1] == '.'))
			return false;
	return s.n > 0;
}

/* "name=value"; "$1" in a value is `star`. */
static void
add_claim(struct config_reader *r, struct config_issuer *s, struct span text, struct span star)
{
	const char *equals = memchr(text.p, '=', text.n);
	struct span name = { text.p, equals == NULL ? text.n : (size_t)(equals - text.p) }, value;
	struct issuer_claim *c = &s->required[s->n_required];

	c->path = config_string(r->config, name);
	c->value = NULL;
	if (equals != NULL) {
		value = span_skip(text, name.n + 1);
		c->value = config_string(r->config, star.p != NULL && span_eq(value, SPAN("$1")) ? star : value);
	}
	if (c->path != NULL && (equals == NULL || c->value != NULL))
		s->n_required++;
}

static void
check_required(struct config_reader *r, const struct config_place *at, struct config_issuer *s, struct span star)
{
	struct span list = span_of(preset_row(s->preset)->required), text;
	size_t n = s->n_required_claims;

	for (struct span rest = list; preset_next(&rest).p != NULL;)
		n++;
	s->required = arena_zalloc(r->config->arena, n + 1, sizeof *s->required);
	if (s->required == NULL)
		return;
	while ((text = preset_next(&list)).p != NULL)
		add_claim(r, s, text, star);
	for (size_t i = 0; i < s->n_required_claims; i++) {
		text = span_of(s->required_claims[i]);
		if (text.p[0] == '=' || text.p[text.n - 1] == '=' ||
		    !claim_valid((struct span){ text.p, (size_t)(strchrnul(text.p, '=') - text.p) }))
			config_problem(r, at, "required-claims", "\"%s\" is not name, name=value or name=beginning*", text.p);
		else
			add_claim(r, s, text, SPAN_NONE);
	}
}

/* ---- keys ---- */

/* Options that only mean something when keys are fetched. */
static void
check_file_keys(struct config_reader *r, const struct config_place *at, const struct config_issuer *s)
{
	const struct {
		const char *option;
		bool there;
	} unused[] = {
		{ "jwks-url", s->jwks_url != NULL },
		{ "jwks-hosts", s->n_jwks_hosts > 0 },
		{ "ca-file", s->ca_file != NULL },
		{ "bearer-token-file", s->bearer_token_file != NULL },
		{ "allow-private", s->allow_private },
	};

	for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
		if (unused[i].there)
			config_problem(r, at, unused[i].option, "has no use with jwks-file: no key is fetched");
}

static bool
is_https(const char *url)
{
	struct config_url u;
	const char *query = strchrnul(url, '?');

	return config_url_parse((struct span){ url, (size_t)(query - url) }, &u) == NULL && u.tls;
}

static void
check_hosts(struct config_reader *r, const struct config_place *at, struct config_issuer *s)
{
	struct span list = span_of(preset_row(s->preset)->hosts), host;
	size_t n = s->n_jwks_hosts;
	unsigned port;
	char **all;

	for (size_t i = 0; i < n; i++)
		if (!config_host_port(span_of(s->jwks_hosts[i]), &host, &port) || !config_host_valid(host))
			config_problem(r, at, "jwks-hosts", "\"%s\" is not a host name, or host:port", s->jwks_hosts[i]);
	for (struct span rest = list; preset_next(&rest).p != NULL;)
		n++;
	all = arena_zalloc(r->config->arena, n + 1, sizeof *all);
	if (all == NULL)
		return;
	for (size_t i = 0; i < s->n_jwks_hosts; i++)
		all[i] = s->jwks_hosts[i];
	for (; (host = preset_next(&list)).p != NULL; s->n_jwks_hosts++)
		if ((all[s->n_jwks_hosts] = config_string(r->config, host)) == NULL)
			return;
	s->jwks_hosts = all;
}

static void
check_fetched_keys(struct config_reader *r, const struct config_place *at, struct config_issuer *s)
{
	if (s->jwks_url != NULL && !is_https(s->jwks_url))
		config_problem(r, at, "jwks-url", "must be an https URL: whoever can change the keys on their way can be anybody");
	if (s->jwks_url != NULL && s->n_jwks_hosts > 0)
		config_problem(r, at, "jwks-hosts", "has no use with jwks-url: nothing else is asked where the keys are");
	if (s->jwks_url == NULL && s->url != NULL && !span_starts(span_of(s->url), SPAN("https://")))
		config_problem(r, at, "url", "is not https, so that discovery cannot say where its keys are: give jwks-url or jwks-file");
	check_hosts(r, at, s);
	if (!given(r->config->state_directory)) {
		struct config_place top = config_place_of(r, SECTION_ROOT, 0);

		config_problem(r, &top, "state-directory", "must not be empty: keys of issuer.%s are kept there", s->alias);
	}
}

static void
check_issuer(struct config_reader *r, const struct config_place *at, size_t n)
{
	struct config_issuer *s = &r->config->issuer[n];
	const char *why = s->url == NULL ? NULL : url_check(s->preset, span_of(s->url));
	struct span star = SPAN_NONE;

	s->jwks_file = given(s->jwks_file) ? s->jwks_file : NULL;
	s->jwks_url = given(s->jwks_url) ? s->jwks_url : NULL;
	s->ca_file = given(s->ca_file) ? s->ca_file : NULL;
	s->bearer_token_file = given(s->bearer_token_file) ? s->bearer_token_file : NULL;
	if (why != NULL)
		config_problem(r, at, "url", "%s", why);
	for (size_t i = 0; i < n && s->url != NULL; i++) {
		const struct config_issuer *other = &r->config->issuer[i];

		if (other->url != NULL && strcmp(other->url, s->url) == 0)
			config_problem(r, at, "url", "%s is issuer.%s already", s->url, other->alias);
	}
	if (why == NULL)
		check_preset(r, at, s, &star);
	check_required(r, at, s, star);
	if (s->jwks_file != NULL)
		check_file_keys(r, at, s);
	else if (why == NULL)
		check_fetched_keys(r, at, s);
	if (s->groups_claim != NULL && !claim_valid(span_of(s->groups_claim)))
		config_problem(r, at, "groups-claim", "\"%s\" has an empty part", s->groups_claim);
	if (s->roles_claim != NULL && !claim_valid(span_of(s->roles_claim)))
		config_problem(r, at, "roles-claim", "\"%s\" has an empty part", s->roles_claim);
}

void
config_check_issuers(struct config_reader *r)
{
	for (size_t i = 0; i < r->config->n_issuer; i++) {
		struct config_place at = config_place_of(r, SECTION_ISSUER, i);

		/* of another type was said by the table */
		if (config_setting_type(at.group) == CONFIG_TYPE_GROUP)
			check_issuer(r, &at, i);
	}
}

/* ---- files ---- */

static struct keyset *
load_keys(struct config_reader *r, const struct config_place *at, const struct config_issuer *s)
{
	const char *path = s->jwks_file;
	char err[256];
	size_t n;
	char *text = file_read(path, CONFIG_FILE_MAX, &n, err, sizeof err);
	struct keyset *keys = text == NULL ? NULL :
	    keyset_parse_for(s->preset == PRESET_SPIFFE ? "jwt-svid" : NULL, text, n, err, sizeof err);

	free(text);
	if (keys == NULL) {
		config_problem(r, at, "jwks-file", "%s: %s", path, err);
		return NULL;
	}
	if (keyset_count(keys) > 0)
		return keys;
	config_problem(r, at, "jwks-file", "%s: no key in it can verify a signature", path);
	keyset_free(keys);
	return NULL;
}

/* What fetching needs is there; nothing is fetched here. */
static void
check_files(struct config_reader *r, const struct config_place *at, const struct config_issuer *s)
{
	char err[512];
	char *text;
	size_t n;

	if (s->ca_file != NULL) {
		SSL_CTX *ctx = tls_client_new(s->ca_file, err, sizeof err);

		if (ctx == NULL)
			config_problem(r, at, "ca-file", "%s", err);
		SSL_CTX_free(ctx);
	}
	if (s->bearer_token_file == NULL)
		return;
	text = file_read(s->bearer_token_file, BEARER_MAX, &n, err, sizeof err);
	if (text == NULL)
		config_problem(r, at, "bearer-token-file", "%s: %s", s->bearer_token_file, err);
	else
		OPENSSL_cleanse(text, n);
	free(text);
}

void
config_load_issuers(struct config_reader *r)
{
	struct config *c = r->config;

	for (size_t i = 0; i < c->n_issuer; i++) {
		struct config_place at = config_place_of(r, SECTION_ISSUER, i);

		if (c->issuer[i].jwks_file != NULL)
			c->issuer[i].keys = load_keys(r, &at, &c->issuer[i]);
		else
			check_files(r, &at, &c->issuer[i]);
	}
	/* what is wrong was said: a table is only as good as what it is made of */
	if (r->problems > 0)
		return;
	c->file_issuers = config_issuer_table(c, NULL);
	if (c->file_issuers == NULL)
		config_file_problem(r, r->file, 0, "out of memory");
}

/* ---- the table ---- */

static bool
add(struct issuer_table *t, const struct config_issuer *s, struct keyset *keys)
{
	struct issuer_rule rule = {
		.alias = s->alias,
		.url = s->url,
		.audiences = (const char *const *)s->audiences,
		.n_audiences = s->n_audiences,
		.algorithms = s->algorithms,
		.max_lifetime = s->max_lifetime,
		.leeway = s->leeway,
		.groups_claim = s->groups_claim,
		.roles_claim = s->roles_claim,
		.required = s->required,
		.n_required = s->n_required,
		.quirks = s->quirks,
		.keys = keys == NULL ? NULL : keyset_ref(keys),
	};

	if (issuer_table_add(t, &rule))
		return true;
	keyset_free(rule.keys);
	return false;
}

struct issuer_table *
config_issuer_table(const struct config *c, struct keyset *const *keys)
{
	static _Atomic uint32_t generation;	/* a token verified by one table is not one verified by another */
	struct issuer_table *t = issuer_table_new(atomic_fetch_add(&generation, 1) + 1);
	bool ok = t != NULL;

	for (size_t i = 0; i < c->n_issuer && ok; i++)
		ok = add(t, &c->issuer[i], keys == NULL ? c->issuer[i].keys : keys[i]);
	if (ok)
		return t;
	issuer_table_unref(t);
	return NULL;
}
