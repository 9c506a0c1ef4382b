/*
 * preset.h - well-known issuers (rows in preset.def) and OpenID Connect discovery documents.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PRESET_H
#define TW_PRESET_H

#include "policy/issuer.h"

#define PRESET_TENANT	(1u << 16)	/* beside quirks: the url names a tenant by its GUID */

enum preset {
	PRESET_NONE = 0,
#define PRESET(symbol, name, urls, algorithms, groups, roles, required, hosts, audiences, quirks, meaning) PRESET_##symbol,
#include "policy/preset.def"
#undef PRESET
	PRESET_MAX
};

struct preset_row {
	const char *name, *urls, *algorithms, *groups, *roles, *required, *hosts, *audiences;
	unsigned quirks;
	const char *meaning;
};
const struct preset_row *preset_row(enum preset p) RETURNS_NONNULL PURE;

/* The next text of a list separated by blanks, taken off *list; {NULL,0} at its end. */
struct span preset_next(struct span *list) NONNULL(1);
/* Is it a url of this issuer? *star: what the first '*' stood for, {NULL,0} without one. Any url fits a preset without urls. */
bool preset_url_fits(enum preset p, struct span url, struct span *star) NONNULL(3) WUNRES;
/* May tokens for this audience come from somebody who did not want to come here? */
bool preset_audience_shared(enum preset p, struct span audience);
/* Bits (1u << enum jws_alg). */
unsigned preset_algorithms(enum preset p);

#define DISCOVERY_MAX	((size_t)1 << 20)	/* bytes of a discovery document, and of a key set */
#define DISCOVERY_URL	2048u			/* of jwks_uri, with its NUL */

/*
 * jwks_uri of a discovery document (OpenID Connect Discovery section 3): its issuer is ours byte for byte, and jwks_uri
 * is https on the issuer's own host and port or on one of `hosts` ("host" or "host:port"). False with a reason.
 */
bool discovery_read(struct span document, const char *issuer, const char *const *hosts, size_t n_hosts,
    char jwks_uri[static DISCOVERY_URL], char *err, size_t err_size) NONNULL(2, 5, 6) WUNRES;
/* Are both https URLs on one host and port? */
bool discovery_same_host(const char *a, const char *b) NONNULL(1, 2) PURE;

#endif
