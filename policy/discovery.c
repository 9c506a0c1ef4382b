/*
 * discovery.c - where an issuer says its keys are (OpenID Connect Discovery 1.0).
 * Invariant: a document that is not this issuer's, or that leads elsewhere, leads nowhere.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/json.h"
#include "policy/preset.h"

#define DEPTH_MAX 16u

/* "host:port" of an https URL without user information, the default port left out; {NULL,0} when it is none. */
static struct span
authority_of(struct span url)
{
	struct span s = url;
	size_t n = 0;

	if (!span_starts(url, SPAN("https://")))
		return SPAN_NONE;
	s = span_skip(url, 8);
	while (n < s.n && s.p[n] != '/' && s.p[n] != '?')
		n++;
	s.n = n;
	for (size_t i = 0; i < n; i++)
		if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < 'A' || s.p[i] > 'Z') && (s.p[i] < '0' || s.p[i] > '9') &&
		    memchr(".-_:[]", s.p[i], 6) == NULL)
			return SPAN_NONE;
	if (span_ends(s, SPAN(":443")))
		s.n -= 4;
	return s.n == 0 ? SPAN_NONE : s;
}

static bool
is_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

static bool
host_allowed(struct span host, const char *issuer, const char *const *hosts, size_t n_hosts)
{
	struct span own = authority_of(span_of(issuer));

	if (own.p != NULL && span_eq_nocase(host, own))
		return true;
	for (size_t i = 0; i < n_hosts; i++) {
		struct span other = span_of(hosts[i]);

		if (span_ends(other, SPAN(":443")))
			other.n -= 4;
		if (span_eq_nocase(host, other))
			return true;
	}
	return false;
}

static bool
read_document(const json_t *o, const char *issuer, const char *const *hosts, size_t n_hosts, struct span *uri, char *err,
    size_t err_size)
{
	struct span said = json_span(o, "issuer"), host;

	*uri = json_span(o, "jwks_uri");
	if (!json_is_object(o) || said.p == NULL) {
		snprintf(err, err_size, "not a discovery document: it names no issuer");
		return false;
	}
	if (!span_eq(said, span_of(issuer))) {
		snprintf(err, err_size, "it is of another issuer: \"%.*s\"", (int)(said.n < 100 ? said.n : 100), said.p);
		return false;
	}
	if (uri->n == 0 || uri->n >= DISCOVERY_URL || !is_printable(*uri)) {
		snprintf(err, err_size, "jwks_uri is missing, longer than %u bytes or no URL", DISCOVERY_URL - 1);
		return false;
	}
	host = authority_of(*uri);
	if (host.p == NULL) {
		snprintf(err, err_size, "jwks_uri is not an https URL");
		return false;
	}
	if (!host_allowed(host, issuer, hosts, n_hosts)) {
		snprintf(err, err_size, "jwks_uri is on another host, %.*s: if that is right put it into jwks-hosts",
		    (int)(host.n < 100 ? host.n : 100), host.p);
		return false;
	}
	return true;
}

bool
discovery_read(struct span document, const char *issuer, const char *const *hosts, size_t n_hosts,
    char jwks_uri[static DISCOVERY_URL], char *err, size_t err_size)
{
	struct span uri;
	json_t *o;
	bool ok;

	if (document.n > DISCOVERY_MAX) {
		snprintf(err, err_size, "larger than 1 MiB");
		return false;
	}
	o = json_strict(document, DEPTH_MAX, err, err_size, NULL);
	if (o == NULL)
		return false;
	ok = read_document(o, issuer, hosts, n_hosts, &uri, err, err_size);
	if (ok) {
		memcpy(jwks_uri, uri.p, uri.n);
		jwks_uri[uri.n] = '\0';
	}
	json_decref(o);
	return ok;
}

bool
discovery_same_host(const char *a, const char *b)
{
	struct span x = authority_of(span_of(a)), y = authority_of(span_of(b));

	return x.p != NULL && y.p != NULL && span_eq_nocase(x, y);
}
