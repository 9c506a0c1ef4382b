/*
 * config.h - gateway.conf (libconfig) through one table of options to one immutable structure.
 *
 * Every option has a type, a range and a default in the table in config.c; `tidewaiter check`, --help and the
 * documentation test read the same table. Unknown options, wrong types, ranges: "file:line: reason".
 * Sizes ("4 MiB") and times ("30 s", "15 min") are strings; a file with a NUL byte is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CONFIG_H
#define TW_CONFIG_H

#include <openssl/ssl.h>
#include <stdio.h>

#include "gateway/http/head.h"
#include "gateway/identity/accounts.h"
#include "gateway/identity/certificate.h"
#include "gateway/registry/route.h"
#include "gateway/token/revoked.h"
#include "gateway/token/service.h"
#include "policy/address.h"
#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/issuer.h"
#include "policy/policy.h"
#include "policy/preset.h"
#include "policy/report.h"
#include "policy/signature/signature.h"
#include "policy/span.h"

enum client_certificate { CLIENT_CERTIFICATE_NONE = 0, CLIENT_CERTIFICATE_OPTIONAL, CLIENT_CERTIFICATE_REQUIRED };

struct config_listen {
	char *address;			/* "0.0.0.0:5443", "[::]:5443" */
	char **certificates;		/* PEM chains, same order as private_keys; EC and RSA may stand side by side */
	char **private_keys;
	size_t n_certificates, n_private_keys;	/* equal once loaded */
	enum client_certificate client_certificate;
	char *client_ca, *client_crl;	/* NULL: none */
	struct certificate_rule certificate;	/* how client certificates are read */
	bool proxy_protocol;		/* a PROXY header comes first */
	char **trusted_proxies;		/* as written */
	size_t n_trusted_proxies;
	struct network *trusted;	/* the same, read */
};

enum credentials_kind {
	CREDENTIALS_NONE = 0,
	CREDENTIALS_BASIC,	/* username and password with every request */
	/* these are fetched: gateway/credentials/ */
	CREDENTIALS_TOKEN,
	CREDENTIALS_ECR,
	CREDENTIALS_ACR,
	CREDENTIALS_GAR,
};
enum redirect_mode { REDIRECT_DENY = 0, REDIRECT_PASS, REDIRECT_FOLLOW };

enum drift_mode { DRIFT_REFUSE = 0, DRIFT_PIN, DRIFT_ALARM };

struct config_upstream {
	char *alias;
	char *url;			/* as written */
	bool tls;
	char *host;			/* lower case, without brackets */
	unsigned port;
	char *path;			/* path prefix before /v2/, "" for none, no trailing slash */
	char *origin;			/* "https://harbor.internal:8443", default port left out */
	char *registry;			/* origin and path: what the ledger calls it */
	char *host_header;		/* Host we send */
	char *ca_file;			/* NULL: system store */
	char **repositories;		/* patterns, * crosses / */
	size_t n_repositories;
	enum credentials_kind credentials;
	char *username, *password_file;	/* what authorization is made of; "" for none */
	char *authorization;		/* "Basic ..." of these; sent to the registry for BASIC, to its token service for TOKEN; or NULL */
	char **realm_hosts;		/* TOKEN: further hosts of token services, as redirect_hosts but exact */
	size_t n_realm_hosts;
	char *region, *endpoint;	/* ECR; NULL: told by url or environment */
	char *client_id, *tenant_id, *authority, *client_secret_file, *federated_token_file;	/* ACR; NULL: environment */
	enum redirect_mode redirects;
	char **redirect_hosts;		/* exact, or "*." suffix; with ":port" when it is not 443 */
	size_t n_redirect_hosts;
	char *redirect_ca_file;		/* for FOLLOW; NULL: system store */
	char **upload_hosts;		/* further origins an upload Location may name */
	size_t n_upload_hosts;
	size_t tag_max;			/* default 128, at most 300 */
	char **scanners;		/* aliases of config->scanner whose reports count here */
	size_t n_scanners;
};

/* Who knows vulnerabilities of images. */
enum scanner_type {
	SCANNER_ADAPTER = 0,		/* Harbor's Pluggable Scanner API */
	SCANNER_HARBOR,			/* what the upstream, a Harbor, says itself */
	SCANNER_ECR,			/* ... an ECR */
	SCANNER_DEFENDER,		/* Defender for Cloud, of an ACR, by Azure Resource Graph */
};

struct config_scanner {
	char *alias;
	enum scanner_type type;
	char *url;			/* NULL: told by the upstream (HARBOR, ECR), or Azure's (DEFENDER) */
	char *authorization_file;	/* value of Authorization; NULL: none */
	char *authorization;		/* read from it; NULL: none */
	char *ca_file;			/* NULL: system store */
	char *registry_url;		/* ADAPTER: where it pulls from; NULL: external_url */
	char **subscriptions;		/* DEFENDER */
	size_t n_subscriptions;
	bool allow_private;
	unsigned timeout;		/* ms, from the request to the report */
};

/* Whose signatures count, and for what. */
struct config_trust {
	char *alias;
	char **keys;			/* PEM files with public keys */
	size_t n_keys;
	char *roots;			/* PEM file of X.509 roots; NULL: none */
	char **rekor_keys;		/* PEM files: logs whose inclusion proofs count */
	size_t n_rekor_keys;
	char **identities, **issuers;	/* of certificates: patterns */
	size_t n_identities, n_issuers;
	char **repositories;		/* patterns, * crosses /, with the upstream's alias: "harbor/prod/" "*" */
	size_t n_repositories;
	unsigned threshold;		/* so many different keys or identities */
};

struct config_issuer {
	char *alias;
	char *url;
	char **audiences;
	size_t n_audiences;
	unsigned algorithms;		/* bits (1u << enum jws_alg) */
	enum preset preset;
	unsigned quirks;		/* of the preset: enum issuer_quirk */
	char *jwks_file;		/* NULL: keys are fetched, and `keys` is NULL */
	char *jwks_url;			/* NULL: discovery says where */
	char **jwks_hosts;		/* hosts besides its own that discovery may name; those of the preset at the end */
	size_t n_jwks_hosts;
	char *ca_file, *bearer_token_file;	/* for fetching; NULL: those of the system, none */
	bool allow_private;		/* it may be at a private address */
	int64_t stale_limit;		/* seconds after which keys that cannot be fetched again are forgotten */
	char *groups_claim, *roles_claim;
	char **required_claims;		/* as written: "name", "name=value" */
	size_t n_required_claims;
	struct issuer_claim *required;	/* the same, and those of the preset */
	size_t n_required;
	int64_t leeway;
	int64_t max_lifetime;
	struct keyset *keys;		/* of jwks_file; a reference */
	int64_t session;		/* seconds after it was issued that a token of its is good for one of ours */
};

struct config_limits {
	struct http_limits http;
	struct route_limits route;
	size_t manifest;		/* 4 MiB */
	size_t manifests;		/* all that are held at a time, 512 MiB */
	unsigned connections;		/* 10000 */
	unsigned connections_per_ip;	/* 100; 0: no limit */
	unsigned requests_per_connection;	/* 1000 */
	/* milliseconds */
	unsigned tls_handshake;		/* 5 s */
	unsigned first_byte;		/* 10 s */
	unsigned head_total;		/* 10 s, not re-armed */
	unsigned keep_alive;		/* 60 s */
	unsigned body_idle;		/* 30 s */
	unsigned body_grace;		/* 60 s, then at least body_min_rate */
	unsigned body_min_rate;		/* bytes/s, 1024 */
	unsigned write_idle;		/* 60 s */
	unsigned connection_age;	/* 1 h */
	unsigned upstream_connect;	/* 3 s */
	unsigned upstream_first_byte;	/* 60 s */
	unsigned upstream_idle;		/* pool: 30 s */
	unsigned upstream_age;		/* pool: 10 min */
	unsigned drain;			/* 30 s */
	unsigned token_cache;		/* 60 s */
	unsigned auth_failures;		/* failed authentications per source address and minute, 60; 0: no limit */
};

struct engine;

struct config {
	struct arena *arena;		/* every string and array below lives here */
	char *file;
	char *external_url;		/* "https://registry.example.com:5443" */
	char *external_host;		/* lower case, no port */
	char **host_names;		/* lower case; external_host is not repeated */
	size_t n_host_names;
	unsigned workers;		/* 0 was replaced by the number of cores */
	char *cluster_key_file;		/* created 0600 with 32 random bytes when absent */
	struct span *cluster_keys;	/* newest first */
	size_t n_cluster_keys;
	char *cluster_secret;		/* the bytes of all of them, wiped by config_free() */
	size_t cluster_secret_size;
	struct config_listen *listen;
	size_t n_listen;
	struct config_upstream *upstream;
	size_t n_upstream;
	struct config_issuer *issuer;
	size_t n_issuer;
	struct config_scanner *scanner;
	size_t n_scanner;
	struct config_trust *trust;
	size_t n_trust;
	struct {
		unsigned push_wait, pull_wait;	/* ms */
		unsigned threads;		/* 0 was replaced */
		int64_t fresh;			/* seconds after which a verdict or report is made anew */
		int64_t signatures_fresh;	/* ... signatures are looked for again */
		int64_t retry;			/* ... what failed is tried again */
		char *exceptions, *kev;		/* files; NULL: none */
		char **vex;
		size_t n_vex;
	} evidence;
	struct {
		char **rules, **secrets;	/* YARA files: globs as written */
		size_t n_rules, n_secrets;
		char *clamd;			/* socket; NULL: none */
		uint64_t max_blob, max_unpacked;	/* bytes */
		unsigned max_ratio, max_entries;
		int64_t max_time;		/* seconds */
	} malware;				/* neither rules, secrets nor clamd: no blob is scanned */
	struct {
		char *listen;			/* NULL: none */
		char *certificate, *private_key;	/* NULL: plain HTTP */
		char *authorization_file, *authorization;
	} adapter;				/* our own engine, as a scanner for Harbor */
	char *token_key;		/* token-service.signing-key; NULL: there is no token service */
	char **next_keys, **retiring_keys;
	size_t n_next_keys, n_retiring_keys;
	int64_t token_lifetime;		/* seconds */
	char *token_audience;		/* what the service is called */
	unsigned basic_realm;		/* 401s ask for credentials, not for a token */
	char *accounts_file, *account_groups;	/* NULL: none */
	char *revoked_file;		/* NULL: none */
	char **policy_files;		/* globs as written */
	size_t n_policy_files;
	unsigned observe;		/* policy.mode = "observe": denials are let through and recorded */
	char *ledger_url;		/* "sqlite:/var/lib/tidewaiter/tags.db" */
	char *ledger_mark;		/* a file in audit_directory that knows a ledger that was put back */
	int64_t settle;			/* seconds, 900 */
	enum drift_mode drift;		/* tags.drift, default alarm */
	char **artifact_types;		/* tags.artifact-types: beside the known ones, may be appended to a list of referrers */
	size_t n_artifact_types;
	bool read_back;			/* tags.read-back, default true */
	char *state_directory;		/* key sets that were fetched */
	char *control;			/* path of the control socket; NULL: none */
	char *audit_directory;
	uint64_t audit_segment_size;
	char *admin_listen;		/* NULL: no admin listener */
	struct config_limits limits;
	/* built from the files named above */
	struct issuer_table *file_issuers;	/* with the keys of files only: requests ask serving_issuers() */
	struct policy *policy;
	struct token_service *token_service;	/* NULL: none, or (check) its key is not there yet */
	struct revoked *revoked;	/* NULL: nobody */
	struct accounts *accounts;	/* NULL: none */
	struct engine *engine;		/* of the section malware; NULL: no blob is scanned */
	struct trust *trust_store;	/* of the section trust; NULL: nobody's signatures count */
	struct exemptions *exemptions;	/* of evidence.exceptions, vex and kev; NULL: none of them is configured */
};

/*
 * Read and check everything a gateway needs: the file, certificates and keys (readable and matching), passwords,
 * JWKS, policy. NULL after writing every problem found to standard error as "file:line: reason". With
 * create = false nothing is written to disk (`check`); with true a missing cluster key is generated.
 */
struct config *config_load(const char *file, bool create) NONNULL(1) WUNRES;
/* The same with the problems, and warnings as "file:line: warning: ...", written to `out`. */
struct config *config_load_into(const char *file, bool create, FILE *out) NONNULL(1, 3) WUNRES;
void config_free(struct config *c);
/*
 * May `c` take the place of `old` while the gateway runs? False after a line for every option that would need a restart:
 * what is open already (listen addresses, ledger, audit log, admin and control sockets), and the number of workers.
 */
bool config_replaces(const struct config *old, const struct config *c, FILE *out) NONNULL(1, 2, 3) WUNRES;

/*
 * A table of all issuers: keys[i] for config->issuer[i] (a new reference is taken), NULL for one without; of a file when
 * keys is NULL. NULL when out of memory.
 */
struct issuer_table *config_issuer_table(const struct config *c, struct keyset *const *keys) NONNULL(1) WUNRES;

/* Let the context of a listener ask clients for certificates as its options say. False with a reason. */
bool config_ask_clients(const struct config_listen *l, SSL_CTX *ctx, char *err, size_t err_size) NONNULL(1, 2, 3) WUNRES;
/* Is there any way to log in with credentials? Then a request without is told so. */
static inline bool
config_has_logins(const struct config *c)
{
	return c->n_issuer > 0 || c->accounts_file != NULL;
}
/* The first upstream whose patterns match; NULL. */
const struct config_upstream *config_upstream_for(const struct config *c, struct span repository) NONNULL(1) PURE;
/* "host" or "host:port" split; without a port it is 443. False: the port is none. */
bool config_host_port(struct span s, struct span *host, unsigned *port) NONNULL(2, 3) WUNRES;
/* May a redirect lead to this host (lower case) and port? */
bool config_redirect_allowed(const struct config_upstream *u, struct span host, unsigned port) NONNULL(1) PURE;
/* '*' matches any run of bytes, '/' too. */
bool config_pattern_match(const char *pattern, struct span s) NONNULL(1) PURE;

/* Print the option table (name, type, default, meaning) for --help and the documentation test. */
void config_print_options(void);

#endif
