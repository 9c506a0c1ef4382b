/*
 * config_options.c - the one table of options: what may stand in gateway.conf, and what it means.
 *
 * Defaults and ranges are texts in the spelling of the file: they go through the same readers as the file does.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <assert.h>

static_assert(sizeof(enum credentials_kind) == sizeof(unsigned) && sizeof(enum redirect_mode) == sizeof(unsigned) &&
    sizeof(enum client_certificate) == sizeof(unsigned) && sizeof(enum certificate_subject) == sizeof(unsigned) &&
    sizeof(enum certificate_groups) == sizeof(unsigned) && sizeof(enum preset) == sizeof(unsigned), "words are stored as unsigned");

static const struct config_word client_certificates[] = {
	{ "none", CLIENT_CERTIFICATE_NONE, true }, { "optional", CLIENT_CERTIFICATE_OPTIONAL, true },
	{ "required", CLIENT_CERTIFICATE_REQUIRED, true }, { NULL, 0, false }
};
static const struct config_word certificate_subjects[] = {
	{ "san", CERTIFICATE_SUBJECT_SAN, true }, { "cn", CERTIFICATE_SUBJECT_CN, true }, { NULL, 0, false }
};
static const struct config_word certificate_groups[] = {
	{ "none", CERTIFICATE_GROUPS_NONE, true }, { "o", CERTIFICATE_GROUPS_O, true },
	{ "ou", CERTIFICATE_GROUPS_OU, true }, { NULL, 0, false }
};
static const struct config_word credentials[] = {
	{ "none", CREDENTIALS_NONE, true }, { "basic", CREDENTIALS_BASIC, true },
	{ "token", CREDENTIALS_TOKEN, true }, { "ecr", CREDENTIALS_ECR, true }, { "acr", CREDENTIALS_ACR, true },
	{ "gar", CREDENTIALS_GAR, true }, { NULL, 0, false }
};
static const struct config_word redirects[] = {
	{ "deny", REDIRECT_DENY, true }, { "pass", REDIRECT_PASS, true },
	{ "follow", REDIRECT_FOLLOW, true }, { NULL, 0, false }
};
static const struct config_word drifts[] = {
	{ "alarm", DRIFT_ALARM, true }, { "refuse", DRIFT_REFUSE, true }, { "pin", DRIFT_PIN, true }, { NULL, 0, false }
};
static const struct config_word scanner_types[] = {
	{ "adapter", SCANNER_ADAPTER, true }, { "harbor", SCANNER_HARBOR, true }, { "ecr", SCANNER_ECR, true },
	{ "defender", SCANNER_DEFENDER, true }, { NULL, 0, false }
};
static const struct config_word algorithms[] = {
#define ALG(name, family, digest, bytes) { #name, 1u << JWS_##name, true },
#include "policy/jws_alg.def"
#undef ALG
	{ NULL, 0, false }
};
static const struct config_word presets[] = {
	{ "none", PRESET_NONE, true },
#define PRESET(symbol, name, urls, algs, groups, roles, required, hosts, audiences, quirks, meaning) { name, PRESET_##symbol, true },
#include "policy/preset.def"
#undef PRESET
	{ NULL, 0, false }
};
static const struct config_word realms[] = {
	{ "token", 0, true }, { "basic", 1, true }, { NULL, 0, false }
};
static const struct config_word modes[] = {
	{ "enforce", 0, true }, { "observe", 1, true }, { NULL, 0, false }
};

#define KEEP(type, member)	offsetof(struct type, member), sizeof(((struct type *)NULL)->member)
#define PLAIN(type, member)	NULL, KEEP(type, member), 0, false
#define LIST(type, member)	NULL, NULL, NULL, KEEP(type, member), offsetof(struct type, n_##member), false
/* ... of a structure within struct config */
#define LIST_OF(part, member) \
	NULL, NULL, NULL, KEEP(config, part.member), offsetof(struct config, part.n_##member), false
#define STRING(type, member)	NULL, NULL, PLAIN(type, member)
#define WORD(words, type, member) NULL, NULL, words, KEEP(type, member), 0, false
#define LATER			NULL, NULL, NULL, 0, 0, 0, true
#define LIMIT(type, name, fallback, min, max, member, meaning) \
	{ SECTION_LIMITS, OPTION_##type, name, fallback, min, max, PLAIN(config, limits.member), meaning }

const struct config_option config_options[] = {
	{ SECTION_ROOT, OPTION_STRING, "external-url", NULL, STRING(config, external_url),
	    "https URL that clients use; nothing is ever derived from a Host header" },
	{ SECTION_ROOT, OPTION_STRINGS, "host-names", "", LIST(config, host_names),
	    "further host names clients may use" },
	{ SECTION_ROOT, OPTION_INT, "workers", "0", "0", "256", PLAIN(config, workers),
	    "threads that serve clients; 0: one per core" },
	{ SECTION_ROOT, OPTION_STRING, "cluster-key", NULL, STRING(config, cluster_key_file),
	    "file with 1 to 4 secrets of 32 bytes, newest first, shared by replicas; generated if absent" },
	{ SECTION_ROOT, OPTION_STRING, "control", "auto", STRING(config, control),
	    "socket for tidewaiter tag; auto: beside the ledger, as in tags.db.sock; empty: none" },

	{ SECTION_ROOT, OPTION_STRING, "state-directory", "/var/lib/tidewaiter", STRING(config, state_directory),
	    "where key sets that were fetched are kept for the next start; used and created only when an issuer's are" },
	{ SECTION_ROOT, OPTION_STRING, "revoked", "", STRING(config, revoked_file),
	    "file of what is believed no longer, one a line: jti:<id>, subject:<issuer>/<name>, basic:<user>; empty: none" },

	{ SECTION_LISTEN, OPTION_STRING, "address", NULL, STRING(config_listen, address),
	    "IP address and port, as in 0.0.0.0:5443 or [::]:5443" },
	{ SECTION_LISTEN, OPTION_STRINGS, "certificates", NULL, LIST(config_listen, certificates),
	    "PEM chains, leaf first; an EC and an RSA one may stand side by side" },
	{ SECTION_LISTEN, OPTION_STRINGS, "private-keys", NULL, LIST(config_listen, private_keys),
	    "PEM keys in the order of certificates" },
	{ SECTION_LISTEN, OPTION_STRING, "client-ca", "", STRING(config_listen, client_ca),
	    "PEM file of the only CAs whose client certificates are believed, roots included" },
	{ SECTION_LISTEN, OPTION_WORD, "client-certificate", "none",
	    WORD(client_certificates, config_listen, client_certificate),
	    "are clients asked for a certificate? required: without one there is no connection" },
	{ SECTION_LISTEN, OPTION_STRING, "client-crl", "", STRING(config_listen, client_crl),
	    "PEM file with a current revocation list of every CA in client-ca; empty: revocation is not checked" },
	{ SECTION_LISTEN, OPTION_STRING, "certificate-issuer", "mtls", STRING(config_listen, certificate.issuer),
	    "what policies call these identities, as in subject:mtls/<name>" },
	{ SECTION_LISTEN, OPTION_WORD, "certificate-subject", "san",
	    WORD(certificate_subjects, config_listen, certificate.subject),
	    "whose name a certificate without a SPIFFE ID bears: its one DNS name or mail address (san), or its common name (cn)" },
	{ SECTION_LISTEN, OPTION_WORD, "certificate-groups", "none",
	    WORD(certificate_groups, config_listen, certificate.groups),
	    "the part of a certificate's subject that lists groups" },
	{ SECTION_LISTEN, OPTION_BOOL, "proxy-protocol", "false", NULL, NULL, PLAIN(config_listen, proxy_protocol),
	    "every connection begins with a PROXY v1 or v2 header; only trusted-proxies may connect" },
	{ SECTION_LISTEN, OPTION_STRINGS, "trusted-proxies", "", LIST(config_listen, trusted_proxies),
	    "networks whose word on the client's address is believed: PROXY headers, or X-Forwarded-For" },

	{ SECTION_UPSTREAM, OPTION_STRING, "url", NULL, STRING(config_upstream, url),
	    "the registry, with the path before /v2/ if it has one; http:// only on this machine" },
	{ SECTION_UPSTREAM, OPTION_STRING, "ca-file", "", STRING(config_upstream, ca_file),
	    "PEM file of the only CAs believed; empty: those of the system" },
	{ SECTION_UPSTREAM, OPTION_STRINGS, "repositories", "*", LIST(config_upstream, repositories),
	    "patterns, * crosses /; the first upstream that matches is used" },
	{ SECTION_UPSTREAM, OPTION_WORD, "credentials", "none", WORD(credentials, config_upstream, credentials),
	    "how the gateway proves itself: with a password, or with tokens of the registry's token service, AWS, Azure or Google" },
	{ SECTION_UPSTREAM, OPTION_STRING, "username", "", STRING(config_upstream, username),
	    "for credentials = \"basic\" or \"token\"" },
	{ SECTION_UPSTREAM, OPTION_STRING, "password-file", "", STRING(config_upstream, password_file),
	    "for credentials = \"basic\" or \"token\"; a newline at its end does not count" },
	{ SECTION_UPSTREAM, OPTION_STRINGS, "realm-hosts", "", LIST(config_upstream, realm_hosts),
	    "for credentials = \"token\": hosts beside the registry's that may be its token service (https, host:port unless 443)" },
	{ SECTION_UPSTREAM, OPTION_STRING, "region", "", STRING(config_upstream, region),
	    "for credentials = \"ecr\"; default: as in the registry's name, or AWS_REGION" },
	{ SECTION_UPSTREAM, OPTION_STRING, "endpoint", "", STRING(config_upstream, endpoint),
	    "for credentials = \"ecr\": URL of the ECR API; default: https://api.ecr.<region>.amazonaws.com" },
	{ SECTION_UPSTREAM, OPTION_STRING, "client-id", "", STRING(config_upstream, client_id),
	    "for credentials = \"acr\": of the application or user-assigned identity; default: AZURE_CLIENT_ID" },
	{ SECTION_UPSTREAM, OPTION_STRING, "tenant-id", "", STRING(config_upstream, tenant_id),
	    "for credentials = \"acr\"; default: AZURE_TENANT_ID" },
	{ SECTION_UPSTREAM, OPTION_STRING, "client-secret-file", "", STRING(config_upstream, client_secret_file),
	    "for credentials = \"acr\": secret of a service principal" },
	{ SECTION_UPSTREAM, OPTION_STRING, "federated-token-file", "", STRING(config_upstream, federated_token_file),
	    "for credentials = \"acr\": workload identity; default: AZURE_FEDERATED_TOKEN_FILE, and without it the managed identity" },
	{ SECTION_UPSTREAM, OPTION_STRING, "authority", "", STRING(config_upstream, authority),
	    "for credentials = \"acr\": Entra ID; default: AZURE_AUTHORITY_HOST, or https://login.microsoftonline.com" },
	{ SECTION_UPSTREAM, OPTION_WORD, "redirects", "deny", WORD(redirects, config_upstream, redirects),
	    "a redirect of the registry to its object storage: refused, passed to the client, or followed by the gateway" },
	{ SECTION_UPSTREAM, OPTION_STRINGS, "redirect-hosts", "", LIST(config_upstream, redirect_hosts),
	    "hosts that redirects may name, over https; *.example.com for all below, host:port unless it is 443" },
	{ SECTION_UPSTREAM, OPTION_STRING, "redirect-ca-file", "", STRING(config_upstream, redirect_ca_file),
	    "for redirects = \"follow\": PEM file of the only CAs believed there; empty: those of the system" },
	{ SECTION_UPSTREAM, OPTION_STRINGS, "upload-hosts", "", LIST(config_upstream, upload_hosts),
	    "further origins (https://host:port) an upload Location may name" },
	{ SECTION_UPSTREAM, OPTION_INT, "tag-max", "128", "1", "300", PLAIN(config_upstream, tag_max),
	    "longest tag the registry takes" },
	{ SECTION_UPSTREAM, OPTION_STRINGS, "scanners", "", LIST(config_upstream, scanners),
	    "names of scanners whose reports count for its images; of several the worst does" },

	{ SECTION_ISSUER, OPTION_STRING, "url", NULL, STRING(config_issuer, url),
	    "the exact iss of its tokens" },
	{ SECTION_ISSUER, OPTION_WORD, "preset", "none", WORD(presets, config_issuer, preset),
	    "a well-known kind of issuer: what its tokens are like, and which mistakes are easily made (deploy/guides/issuers.md)" },
	{ SECTION_ISSUER, OPTION_STRINGS, "audiences", NULL, LIST(config_issuer, audiences),
	    "a token must be meant for one of these (aud)" },
	{ SECTION_ISSUER, OPTION_WORDS, "algorithms", "RS256", WORD(algorithms, config_issuer, algorithms),
	    "signature algorithms accepted; a preset has its own default" },
	{ SECTION_ISSUER, OPTION_STRING, "jwks-file", "", STRING(config_issuer, jwks_file),
	    "its public keys (RFC 7517), instead of fetching them" },
	{ SECTION_ISSUER, OPTION_STRING, "jwks-url", "", STRING(config_issuer, jwks_url),
	    "https URL of its public keys; without it and jwks-file: discovery, at url/.well-known/openid-configuration" },
	{ SECTION_ISSUER, OPTION_STRINGS, "jwks-hosts", "", LIST(config_issuer, jwks_hosts),
	    "hosts besides its own where discovery may say the keys are; host:port unless it is 443" },
	{ SECTION_ISSUER, OPTION_STRING, "ca-file", "", STRING(config_issuer, ca_file),
	    "for fetching: PEM file of the only CAs believed; empty: those of the system" },
	{ SECTION_ISSUER, OPTION_STRING, "bearer-token-file", "", STRING(config_issuer, bearer_token_file),
	    "for fetching: file with a token to show the issuer itself, read anew each time (Kubernetes API)" },
	{ SECTION_ISSUER, OPTION_BOOL, "allow-private", "false", NULL, NULL, PLAIN(config_issuer, allow_private),
	    "it may be at a private address: without it only public ones are connected to, and localhost if the URL says so" },
	{ SECTION_ISSUER, OPTION_TIME, "stale-limit", "24 h", "1 min", "744 h", PLAIN(config_issuer, stale_limit),
	    "keys that cannot be fetched again are used so long, over a restart too" },
	{ SECTION_ISSUER, OPTION_STRING, "groups-claim", "groups", STRING(config_issuer, groups_claim),
	    "claim that lists groups; dots lead into objects" },
	{ SECTION_ISSUER, OPTION_STRING, "roles-claim", "roles", STRING(config_issuer, roles_claim),
	    "claim that lists roles; dots lead into objects" },
	{ SECTION_ISSUER, OPTION_STRINGS, "required-claims", "", LIST(config_issuer, required_claims),
	    "claims a token must have: name, name=value or name=beginning*; dots lead into objects" },
	{ SECTION_ISSUER, OPTION_TIME, "leeway", "60 s", "0 s", "5 min", PLAIN(config_issuer, leeway),
	    "how far its clock may be off" },
	{ SECTION_ISSUER, OPTION_TIME, "max-lifetime", "24 h", "1 min", "744 h", PLAIN(config_issuer, max_lifetime),
	    "longest exp - iat accepted" },
	{ SECTION_ISSUER, OPTION_TIME, "session", "0 s", "0 s", "24 h", PLAIN(config_issuer, session),
	    "how long after its token was issued a subject gets tokens of ours, be that token over" },

	{ SECTION_TOKEN_SERVICE, OPTION_STRING, "signing-key", "", STRING(config, token_key),
	    "PEM file of the P-256 key that signs the gateway's own tokens, shared by replicas; generated if absent; "
	    "empty: no token service" },
	{ SECTION_TOKEN_SERVICE, OPTION_STRINGS, "next-keys", "", LIST(config, next_keys),
	    "keys that will sign: published, and believed already; private or public" },
	{ SECTION_TOKEN_SERVICE, OPTION_STRINGS, "retiring-keys", "", LIST(config, retiring_keys),
	    "keys that signed until lately: believed for as long as their tokens live; private or public" },
	{ SECTION_TOKEN_SERVICE, OPTION_TIME, "lifetime", "900 s", "60 s", "1 h", PLAIN(config, token_lifetime),
	    "how long the gateway's own tokens live, at most" },
	{ SECTION_TOKEN_SERVICE, OPTION_STRING, "service", "", STRING(config, token_audience),
	    "what the token service is called (aud); empty: host and port of external-url" },
	{ SECTION_TOKEN_SERVICE, OPTION_WORD, "realm-mode", "token", WORD(realms, config, basic_realm),
	    "what a 401 asks for: a token of the service, or credentials with every request" },

	{ SECTION_ACCOUNTS, OPTION_STRING, "file", "", STRING(config, accounts_file),
	    "htpasswd file of robots, user:hash a line, yescrypt or bcrypt; empty: passwords are tokens only" },
	{ SECTION_ACCOUNTS, OPTION_STRING, "groups", "", STRING(config, account_groups),
	    "their groups, group: user user a line" },

	{ SECTION_POLICY, OPTION_STRINGS, "files", NULL, LIST(config, policy_files),
	    "policy documents; * and ? match as in a shell, sorted" },
	{ SECTION_POLICY, OPTION_WORD, "mode", "enforce", WORD(modes, config, observe),
	    "what becomes of policy denials" },

	{ SECTION_TAGS, OPTION_STRING, "ledger", "sqlite:/var/lib/tidewaiter/tags.db", STRING(config, ledger_url),
	    "write-once store of tags: sqlite:/path" },
	{ SECTION_TAGS, OPTION_TIME, "settle", "15 min", "1 s", "24 h", PLAIN(config, settle),
	    "how long an unanswered push may still reach the registry" },
	{ SECTION_TAGS, OPTION_WORD, "drift", "alarm", WORD(drifts, config, drift),
	    "what becomes of pulls of a tag that was moved behind the gateway" },
	{ SECTION_TAGS, OPTION_STRINGS, "artifact-types", "", LIST(config, artifact_types),
	    "artifacts beside signatures, attestations and SBOMs that a sha256-... tag may list; a * may end one" },
	{ SECTION_TAGS, OPTION_BOOL, "read-back", "true", NULL, NULL, PLAIN(config, read_back),
	    "confirm a push by reading the tag before the client hears 201" },

	{ SECTION_EVIDENCE, OPTION_TIME, "push-wait", "25 s", "0 s", "15 min", PLAIN(config, evidence.push_wait),
	    "how long a push waits for verdicts that policy needs" },
	{ SECTION_EVIDENCE, OPTION_TIME, "pull-wait", "10 s", "0 s", "5 min", PLAIN(config, evidence.pull_wait),
	    "how long a pull waits for them" },
	{ SECTION_EVIDENCE, OPTION_INT, "threads", "0", "0", "64", PLAIN(config, evidence.threads),
	    "threads that fetch and scan; 0: one for every two cores" },
	{ SECTION_EVIDENCE, OPTION_TIME, "fresh", "24 h", "1 s", "8760 h", PLAIN(config, evidence.fresh),
	    "verdicts and reports older than this are made anew when they are asked for; the last good one counts meanwhile" },
	{ SECTION_EVIDENCE, OPTION_TIME, "signatures-fresh", "10 min", "1 s", "744 h", PLAIN(config, evidence.signatures_fresh),
	    "signatures are looked for again after this" },
	{ SECTION_EVIDENCE, OPTION_TIME, "retry", "15 s", "1 s", "1 h", PLAIN(config, evidence.retry),
	    "what could not be learned is tried again after this, when it is asked for" },
	{ SECTION_EVIDENCE, OPTION_STRING, "exceptions", "", STRING(config, evidence.exceptions),
	    "JSON file of vulnerabilities that do not count: with owner, reason and expiry (deploy/guides/vulnerabilities.md)" },
	{ SECTION_EVIDENCE, OPTION_STRINGS, "vex", "", LIST_OF(evidence, vex),
	    "OpenVEX files: what they call not_affected or fixed does not count; * and ? match as in a shell" },
	{ SECTION_EVIDENCE, OPTION_STRING, "kev", "", STRING(config, evidence.kev),
	    "JSON file of vulnerabilities known to be exploited, as CISA publishes it" },

	{ SECTION_MALWARE, OPTION_STRINGS, "rules", "", LIST_OF(malware, rules),
	    "YARA files: what they match is malware; * and ? match as in a shell" },
	{ SECTION_MALWARE, OPTION_STRINGS, "secrets", "", LIST_OF(malware, secrets),
	    "YARA files: what they match is a secret" },
	{ SECTION_MALWARE, OPTION_STRING, "clamd", "", STRING(config, malware.clamd),
	    "socket of clamd, which scans layers too; it must have AlertExceedsMax; empty: none" },
	{ SECTION_MALWARE, OPTION_SIZE, "max-blob", "10 GiB", "1 MiB", "1024 GiB", PLAIN(config, malware.max_blob),
	    "a larger layer is unscannable" },
	{ SECTION_MALWARE, OPTION_SIZE, "max-unpacked", "64 GiB", "1 MiB", "4096 GiB", PLAIN(config, malware.max_unpacked),
	    "a layer that unpacks to more is unscannable" },
	{ SECTION_MALWARE, OPTION_INT, "max-ratio", "200", "2", "100000", PLAIN(config, malware.max_ratio),
	    "a layer that unpacks to so many times its size (and 100 MiB) is unscannable" },
	{ SECTION_MALWARE, OPTION_INT, "max-entries", "1000000", "1", "100000000", PLAIN(config, malware.max_entries),
	    "files in a layer" },
	{ SECTION_MALWARE, OPTION_TIME, "max-time", "15 min", "1 s", "24 h", PLAIN(config, malware.max_time),
	    "a layer that takes longer is unscannable" },

	{ SECTION_SCANNER, OPTION_WORD, "type", NULL, WORD(scanner_types, config_scanner, type),
	    "a scanner with Harbor's adapter API (Trivy, Clair, Anchore ...), or what the registry itself reports" },
	{ SECTION_SCANNER, OPTION_STRING, "url", "", STRING(config_scanner, url),
	    "of the scanner; default: told by the upstream, or Azure's; http:// only on this machine or with allow-private" },
	{ SECTION_SCANNER, OPTION_STRING, "authorization-file", "", STRING(config_scanner, authorization_file),
	    "file with the value of Authorization that it wants, as in \"Bearer abc\"; default: none, or the upstream's login" },
	{ SECTION_SCANNER, OPTION_STRING, "ca-file", "", STRING(config_scanner, ca_file),
	    "PEM file of the only CAs believed; empty: those of the system" },
	{ SECTION_SCANNER, OPTION_STRING, "registry-url", "", STRING(config_scanner, registry_url),
	    "for type = \"adapter\": where it pulls from, with a token for one image; default: external-url" },
	{ SECTION_SCANNER, OPTION_STRINGS, "subscriptions", "", LIST(config_scanner, subscriptions),
	    "for type = \"defender\": ids of the Azure subscriptions to ask" },
	{ SECTION_SCANNER, OPTION_BOOL, "allow-private", "false", NULL, NULL, PLAIN(config_scanner, allow_private),
	    "it may be at a private address, over http too" },
	{ SECTION_SCANNER, OPTION_TIME, "timeout", "10 min", "1 s", "24 h", PLAIN(config_scanner, timeout),
	    "a report that takes longer is an error" },

	{ SECTION_TRUST, OPTION_STRINGS, "keys", "", LIST(config_trust, keys),
	    "PEM files with public keys that sign" },
	{ SECTION_TRUST, OPTION_STRING, "roots", "", STRING(config_trust, roots),
	    "PEM file of roots (and intermediates) of certificates that sign" },
	{ SECTION_TRUST, OPTION_STRINGS, "rekor-keys", "", LIST(config_trust, rekor_keys),
	    "PEM files with public keys of transparency logs; with roots of Fulcio a proof of theirs tells when it was signed" },
	{ SECTION_TRUST, OPTION_STRINGS, "identities", "", LIST(config_trust, identities),
	    "who certificates must name: patterns over SAN (Sigstore) or subject (Notation); needed with roots" },
	{ SECTION_TRUST, OPTION_STRINGS, "issuers", "", LIST(config_trust, issuers),
	    "patterns over the OIDC issuer that Fulcio's certificates name" },
	{ SECTION_TRUST, OPTION_STRINGS, "repositories", "*", LIST(config_trust, repositories),
	    "what it is good for: patterns over upstream/repository, as in harbor/prod/*" },
	{ SECTION_TRUST, OPTION_INT, "threshold", "1", "1", "32", PLAIN(config_trust, threshold),
	    "how many different keys or identities of it must have signed" },

	{ SECTION_ADAPTER, OPTION_STRING, "listen", "", STRING(config, adapter.listen),
	    "Harbor's scanner API in front of our own engine, so that Harbor can call it; empty: none" },
	{ SECTION_ADAPTER, OPTION_STRING, "certificate", "", STRING(config, adapter.certificate),
	    "PEM chain; without it plain HTTP, on this machine only" },
	{ SECTION_ADAPTER, OPTION_STRING, "private-key", "", STRING(config, adapter.private_key),
	    "PEM key of certificate" },
	{ SECTION_ADAPTER, OPTION_STRING, "authorization-file", "", STRING(config, adapter.authorization_file),
	    "file with the value of Authorization that Harbor sends; needed with listen" },

	{ SECTION_AUDIT, OPTION_STRING, "directory", "/var/log/tidewaiter/audit", STRING(config, audit_directory),
	    "hash-chained events, one JSON object a line; created if absent" },
	{ SECTION_AUDIT, OPTION_SIZE, "segment-size", "128 MiB", "64 KiB", "4 GiB", PLAIN(config, audit_segment_size),
	    "size at which a segment is closed" },
	{ SECTION_AUDIT, OPTION_STRING, "signing-key", "", LATER,
	    "Ed25519 key of checkpoints" },

	{ SECTION_ADMIN, OPTION_STRING, "listen", "", STRING(config, admin_listen),
	    "plain HTTP for /healthz, /readyz and /metrics; empty: none" },

	LIMIT(SIZE, "head", "32 KiB", "4 KiB", "64 KiB", http.head, "whole head of a request"),
	LIMIT(SIZE, "target", "4 KiB", "1 KiB", "16 KiB", route.target, "request target"),
	LIMIT(SIZE, "upload-target", "8 KiB", "7 KiB", "16 KiB", route.upload_target, "request target of an upload"),
	LIMIT(INT, "fields", "100", "20", "1000", http.fields, "fields of a head"),
	LIMIT(SIZE, "field-name", "64", "32", "256", http.name, "name of a field"),
	LIMIT(SIZE, "field-value", "8 KiB", "1 KiB", "32 KiB", http.value, "value of a field"),
	LIMIT(SIZE, "authorization", "24 KiB", "1 KiB", "32 KiB", http.authorization,
	    "value of Authorization; a token is at most 16 KiB of it"),
	LIMIT(SIZE, "manifest", "4 MiB", "64 KiB", "4 MiB", manifest, "body of a manifest"),
	LIMIT(SIZE, "manifests", "512 MiB", "8 MiB", "64 GiB", manifests, "all manifests that are held in memory at a time"),
	LIMIT(INT, "connections", "10000", "1", "1000000", connections, "open client connections"),
	LIMIT(INT, "connections-per-ip", "100", "0", "1000000", connections_per_ip,
	    "open connections of one address; 0: no limit"),
	LIMIT(INT, "requests-per-connection", "1000", "1", "1000000", requests_per_connection,
	    "requests before a connection is closed"),
	LIMIT(TIME, "tls-handshake", "5 s", "100 ms", "60 s", tls_handshake, "end of the handshake"),
	LIMIT(TIME, "first-byte", "10 s", "100 ms", "5 min", first_byte, "first byte of the first request"),
	LIMIT(TIME, "head-total", "10 s", "100 ms", "5 min", head_total, "whole head, from its first byte"),
	LIMIT(TIME, "keep-alive", "60 s", "100 ms", "1 h", keep_alive, "first byte of a further request"),
	LIMIT(TIME, "body-idle", "30 s", "100 ms", "10 min", body_idle, "next bytes of a body"),
	LIMIT(TIME, "body-grace", "60 s", "0 s", "1 h", body_grace, "a manifest has so long; of other bodies body-min-rate counts from here on"),
	LIMIT(SIZE, "body-min-rate", "1 KiB", "0", "1 GiB", body_min_rate, "bytes of a body a second; 0: no limit"),
	LIMIT(TIME, "write-idle", "60 s", "100 ms", "1 h", write_idle, "peer takes none of what we send"),
	LIMIT(TIME, "connection-age", "1 h", "100 ms", "24 h", connection_age, "no further request after it"),
	LIMIT(TIME, "upstream-connect", "3 s", "100 ms", "60 s", upstream_connect, "connection to the registry"),
	LIMIT(TIME, "upstream-first-byte", "60 s", "100 ms", "15 min", upstream_first_byte,
	    "first byte of the registry's answer"),
	LIMIT(TIME, "upstream-idle", "30 s", "0 s", "10 min", upstream_idle, "idle connection to the registry"),
	LIMIT(TIME, "upstream-age", "10 min", "100 ms", "24 h", upstream_age, "oldest connection that is used again"),
	LIMIT(TIME, "drain", "30 s", "0 s", "1 h", drain, "requests may finish after SIGTERM"),
	LIMIT(TIME, "token-cache", "60 s", "0 s", "60 s", token_cache, "a verified token is remembered"),
	LIMIT(INT, "auth-failures", "60", "0", "1000000", auth_failures,
	    "failed authentications of one address a minute; 0: no limit"),
};

const size_t config_n_options = sizeof config_options / sizeof *config_options;

static const struct {
	const char *name;
	enum config_shape shape;
} sections[SECTION_MAX] = {
	[SECTION_ROOT] = { "", SHAPE_GROUP },
	[SECTION_LISTEN] = { "listen", SHAPE_LIST },
	[SECTION_UPSTREAM] = { "upstream", SHAPE_NAMED },
	[SECTION_ISSUER] = { "issuer", SHAPE_NAMED },
	[SECTION_ACCOUNTS] = { "accounts", SHAPE_GROUP },
	[SECTION_TOKEN_SERVICE] = { "token-service", SHAPE_GROUP },
	[SECTION_POLICY] = { "policy", SHAPE_GROUP },
	[SECTION_TAGS] = { "tags", SHAPE_GROUP },
	[SECTION_EVIDENCE] = { "evidence", SHAPE_GROUP },
	[SECTION_MALWARE] = { "malware", SHAPE_GROUP },
	[SECTION_SCANNER] = { "scanner", SHAPE_NAMED },
	[SECTION_TRUST] = { "trust", SHAPE_NAMED },
	[SECTION_ADAPTER] = { "adapter", SHAPE_GROUP },
	[SECTION_AUDIT] = { "audit", SHAPE_GROUP },
	[SECTION_ADMIN] = { "admin", SHAPE_GROUP },
	[SECTION_LIMITS] = { "limits", SHAPE_GROUP },
};

const char *
config_section_name(enum config_section s)
{
	return sections[s].name;
}

enum config_shape
config_section_shape(enum config_section s)
{
	return sections[s].shape;
}

/* ---- the table in print ---- */

void
config_option_path(const struct config_option *o, char *buf, size_t size)
{
	const char *name = sections[o->section].name;
	bool many = sections[o->section].shape != SHAPE_GROUP;

	snprintf(buf, size, "%s%s%s%s", name, many ? ".*" : "", *name != '\0' ? "." : "", o->name);
}

/* "deny | pass"; words of later releases are left out. */
static void
print_words(FILE *out, const struct config_option *o)
{
	const char *between = "";

	for (const struct config_word *w = o->words; w->name != NULL; w++) {
		if (!w->served)
			continue;
		fprintf(out, "%s\"%s\"", between, w->name);
		between = " | ";
	}
}

static void
print_type(FILE *out, const struct config_option *o)
{
	switch (o->type) {
	case OPTION_STRING:
		fputs("string", out);
		break;
	case OPTION_STRINGS:
		fputs("list of strings", out);
		break;
	case OPTION_SIZE:
		fputs("size", out);
		break;
	case OPTION_TIME:
		fputs("time", out);
		break;
	case OPTION_BOOL:
		fputs("true | false", out);
		break;
	case OPTION_INT:
		fputs("number", out);
		break;
	case OPTION_WORD:
		print_words(out, o);
		break;
	case OPTION_WORDS:
		fputs("list of ", out);
		print_words(out, o);
		break;
	}
}

/* As it would be written in the file. */
static void
print_value(FILE *out, const struct config_option *o, const char *text)
{
	switch (o->type) {
	case OPTION_STRINGS:
	case OPTION_WORDS:
		if (*text == '\0')
			fputs("[]", out);
		else
			fprintf(out, "[\"%s\"]", text);
		return;
	case OPTION_STRING:
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_WORD:
		fprintf(out, "\"%s\"", text);
		return;
	case OPTION_BOOL:
	case OPTION_INT:
		fputs(text, out);
		return;
	}
}

static void
print_option(FILE *out, const struct config_option *o)
{
	char path[64];

	config_option_path(o, path, sizeof path);
	fprintf(out, "%s\n    %s; ", path, o->meaning);
	if (o->later) {
		fputs("not served yet\n", out);
		return;
	}
	print_type(out, o);
	if (o->min != NULL) {
		fputs(", ", out);
		print_value(out, o, o->min);
		fputs(" to ", out);
		print_value(out, o, o->max);
	}
	if (o->fallback == NULL) {
		fputs("; must be given\n", out);
		return;
	}
	fputs("; default ", out);
	print_value(out, o, o->fallback);
	fputc('\n', out);
}

void
config_print_options_to(FILE *out)
{
	for (size_t i = 0; i < config_n_options; i++)
		print_option(out, &config_options[i]);
}

void
config_print_options(void)
{
	config_print_options_to(stdout);
}
