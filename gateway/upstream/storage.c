/*
 * storage.c - hosts that registries send us to.
 * Invariant: what is known of such a host is its name: no credentials, no path, no trust but in the CAs configured.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/upstream/storage.h"

#include <stdlib.h>

#include "gateway/upstream/link.h"

#define HOST_MAX 253u

struct place {
	struct upstream *upstream; /* NULL: free */
	const struct config_upstream *registry;
	struct config_upstream config;
	uint64_t used; /* turn of its last use */
	char host[HOST_MAX + 1];
	char header[HOST_MAX + 16]; /* Host */
	char origin[HOST_MAX + 24];
};
struct storage {
	struct upstream_env env;
	uint64_t turn;
	bool retired;
	struct place places[STORAGE_MAX];
};

static bool
is_host(struct span s)
{
	if (s.n == 0 || s.n > HOST_MAX || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'))
			return false;
	}
	return true;
}

/* ":port" or nothing. */
static bool
read_port(struct span s, unsigned *port)
{
	unsigned v = 0;

	if (s.n == 0)
		return true;
	if (s.p[0] != ':' || s.n < 2 || s.n > 6)
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	*port = v;
	return v > 0 && v <= 65535;
}

bool
storage_place_parse(struct span url, struct arena *a, struct storage_place *out)
{
	struct span authority;
	char *lower;
	size_t n = 0;

	*out = (struct storage_place){ .tls = span_starts(url, SPAN("https://")) };
	if (!out->tls && !span_starts(url, SPAN("http://")))
		return false;
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] > '~' || strchr("\\\"#<>", url.p[i]) != NULL)
			return false;
	n = out->tls ? 8 : 7;
	url = (struct span){ url.p + n, url.n - n };
	for (n = 0; n < url.n && url.p[n] != '/' && url.p[n] != '?';)
		n++;
	authority = (struct span){ url.p, n };
	out->target = (struct span){ url.p + n, url.n - n };
	if (out->target.n == 0 || out->target.p[0] != '/')
		out->target = arena_printf(a, "/%.*s", SPAN_FMT(out->target));
	/* user information would stand before an '@', an IPv6 address in brackets: neither is a host */
	for (n = 0; n < authority.n && authority.p[n] != ':';)
		n++;
	lower = arena_alloc(a, n + 1);
	if (lower == NULL || out->target.p == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(authority.p[i]);
	out->host = (struct span){ lower, n };
	out->port = out->tls ? 443 : 80;
	return is_host(out->host) && read_port(span_skip(authority, n), &out->port);
}

/* ---- the table ---- */

struct storage *
storage_new(const struct upstream_env *env)
{
	struct storage *s = calloc(1, sizeof *s);

	if (s != NULL)
		s->env = *env;
	return s;
}

void
storage_free(struct storage *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < STORAGE_MAX; i++)
		upstream_free(s->places[i].upstream);
	free(s);
}

void
storage_retire(struct storage *s)
{
	s->retired = true;
	for (size_t i = 0; i < STORAGE_MAX; i++)
		if (s->places[i].upstream != NULL)
			upstream_retire(s->places[i].upstream);
}

static bool
is_busy(const struct upstream *u)
{
	for (const struct link *l = u->links; l != NULL; l = l->next)
		if (l->exchange != NULL)
			return true;
	return false;
}

static bool
is_it(const struct place *p, const struct config_upstream *registry, const struct storage_place *place)
{
	return p->upstream != NULL && p->registry == registry && p->config.tls == place->tls &&
	    p->config.port == place->port && span_eq(span_of(p->host), place->host);
}

static struct upstream *
open_place(struct storage *s, struct place *p, const struct config_upstream *registry, SSL_CTX *tls,
    const struct storage_place *place)
{
	bool standard = place->port == (place->tls ? 443u : 80u);

	upstream_free(p->upstream);
	*p = (struct place){ .registry = registry };
	memcpy(p->host, place->host.p, place->host.n);
	if (standard)
		snprintf(p->header, sizeof p->header, "%s", p->host);
	else
		snprintf(p->header, sizeof p->header, "%s:%u", p->host, place->port);
	snprintf(p->origin, sizeof p->origin, "%s://%s", place->tls ? "https" : "http", p->header);
	p->config = (struct config_upstream){
		.alias = registry->alias,
		.tls = place->tls,
		.host = p->host,
		.port = place->port,
		.origin = p->origin,
		.host_header = p->header,
	};
	p->upstream = upstream_new(&s->env, &p->config, place->tls ? tls : NULL);
	if (p->upstream != NULL && s->retired)
		upstream_retire(p->upstream);
	return p->upstream;
}

struct upstream *
storage_at(struct storage *s, const struct config_upstream *registry, SSL_CTX *tls, const struct storage_place *place)
{
	struct place *best = NULL;

	for (size_t i = 0; i < STORAGE_MAX; i++) {
		struct place *p = &s->places[i];

		if (is_it(p, registry, place)) {
			p->used = ++s->turn;
			return p->upstream;
		}
		/* a free one, else the one that rests longest */
		if (p->upstream != NULL && is_busy(p->upstream))
			continue;
		if (best == NULL || (best->upstream != NULL && (p->upstream == NULL || p->used < best->used)))
			best = p;
	}
	if (best == NULL || (place->tls && tls == NULL) || open_place(s, best, registry, tls, place) == NULL)
		return NULL;
	best->used = ++s->turn;
	return best->upstream;
}
