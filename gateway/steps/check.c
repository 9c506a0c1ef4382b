/*
 * check.c - the steps before anybody is known: what any request must keep to, and what it asks for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/forwarded.h"
#include "gateway/request.h"
#include "gateway/token/form.h"

static bool
host_served(const struct config *c, struct span host)
{
	if (span_eq_nocase(host, span_of(c->external_host)))
		return true;
	for (size_t i = 0; i < c->n_host_names; i++)
		if (span_eq_nocase(host, span_of(c->host_names[i])))
			return true;
	return false;
}

enum next
step_check(struct request *r)
{
	const struct config_listen *listen = &r->config->listen[r->conn->listener];
	const struct http_head *h = &r->head;
	struct span sni;

	if (r->head_refused != REFUSE_NONE)
		return request_refuse(r, r->head_refused);
	if (!forwarded_client(h, &r->conn->client, listen->trusted, listen->n_trusted_proxies, &r->client))
		return request_refuse(r, REFUSE_BAD_FORWARDED);
	if (!host_served(r->config, h->host))
		return request_refuse(r, REFUSE_MISDIRECTED);
	sni = stream_sni(r->conn->stream);
	if (sni.n > 0 && !span_eq_nocase(sni, h->host))
		return request_refuse(r, REFUSE_MISDIRECTED);
	switch (h->method) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_DELETE:
	case HTTP_METHOD_NONE:
		if (!r->body_done)
			return request_refuse(r, REFUSE_BODY_NOT_EXPECTED);
		return NEXT;
	case HTTP_POST:
	case HTTP_PUT:
	case HTTP_PATCH:
		return NEXT;
	}
	return request_refuse(r, REFUSE_INTERNAL);
}

static bool
digits(struct span *s)
{
	size_t n = 0;

	while (n < s->n && n < 19 && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	*s = span_skip(*s, n);
	return n > 0;
}

static bool
take_byte(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* One range of bytes (RFC 9110 section 14.1.2): several are a way to make upstream work for nothing. */
static bool
one_range(struct span s)
{
	bool from, to;

	if (!span_starts(s, SPAN("bytes=")))
		return false;
	s = span_skip(s, 6);
	from = digits(&s);
	if (!take_byte(&s, '-'))
		return false;
	to = digits(&s);
	return s.n == 0 && (from || to);
}

/* "0-1023" (OCI distribution-spec: no unit, no total). */
static bool
chunk_range(struct span s)
{
	return digits(&s) && take_byte(&s, '-') && digits(&s) && s.n == 0;
}

/* A form, as POST /token has it (RFC 6749 section 4.3.2); a charset may stand behind the type. */
static enum refuse
check_form(const struct request *r)
{
	static const struct span form = { "application/x-www-form-urlencoded", 33 };
	struct span type = r->head.field[HTTP_FIELD_CONTENT_TYPE];

	if (r->head.method != HTTP_POST)
		return REFUSE_NONE;
	if (type.n < form.n || !span_eq_nocase((struct span){ type.p, form.n }, form) ||
	    (type.n > form.n && type.p[form.n] != ';' && type.p[form.n] != ' '))
		return REFUSE_BAD_CONTENT_TYPE;
	if (r->head.framing == HTTP_FRAMING_NONE)
		return REFUSE_LENGTH_REQUIRED;
	return r->head.framing == HTTP_FRAMING_LENGTH && r->head.length > FORM_MAX ? REFUSE_FORM_TOO_LARGE : REFUSE_NONE;
}

static enum refuse
check_fields(const struct request *r)
{
	const struct span *field = r->head.field;
	bool upload = r->route.reference_type == REFERENCE_LEASE || r->route.op == ROUTE_UPLOAD_START ||
	    r->route.op == ROUTE_BLOB_MOUNT;

	if (field[HTTP_FIELD_RANGE].p != NULL && !one_range(field[HTTP_FIELD_RANGE]))
		return REFUSE_BAD_RANGE;
	if (field[HTTP_FIELD_CONTENT_ENCODING].p != NULL)
		return REFUSE_BAD_CONTENT_TYPE;
	if (r->route.op == ROUTE_TOKEN)
		return check_form(r);
	/* distribution reads mount and from out of a form body; crane and cosign name a type where there is no body */
	if (upload && (r->head.framing == HTTP_FRAMING_CHUNKED || r->head.length > 0) &&
	    field[HTTP_FIELD_CONTENT_TYPE].p != NULL &&
	    !span_eq_nocase(field[HTTP_FIELD_CONTENT_TYPE], SPAN("application/octet-stream")))
		return REFUSE_BAD_CONTENT_TYPE;
	if (upload && field[HTTP_FIELD_CONTENT_RANGE].p != NULL &&
	    !chunk_range(field[HTTP_FIELD_CONTENT_RANGE]))
		return REFUSE_BAD_RANGE;
	if ((r->route.op == ROUTE_MANIFEST_PUT || r->route.op == ROUTE_UPLOAD_CHUNK) &&
	    r->head.framing == HTTP_FRAMING_NONE)
		return REFUSE_LENGTH_REQUIRED;
	if (r->route.op == ROUTE_MANIFEST_PUT && r->head.framing == HTTP_FRAMING_LENGTH &&
	    r->head.length > r->config->limits.manifest)
		return REFUSE_MANIFEST_TOO_LARGE;
	return REFUSE_NONE;
}

static const struct config_upstream *
upstream_of(const struct request *r)
{
	const struct config *c = r->config;

	/* what is asked of the registry as a whole, is asked of the first */
	if (r->route.repository.p == NULL)
		return &c->upstream[0];
	return config_upstream_for(c, r->route.repository);
}

enum next
step_route(struct request *r)
{
	const struct config *c = r->config;
	enum refuse why = route_resolve(r->head.method, r->head.target, &c->limits.route, r->arena, &r->route);

	if (why != REFUSE_NONE)
		return request_refuse(r, why);
	why = check_fields(r);
	if (why != REFUSE_NONE)
		return request_refuse(r, why);
	if (r->route.op == ROUTE_CATALOG && c->n_upstream > 1)
		return request_refuse(r, REFUSE_NO_ROUTE);
	if ((r->route.op == ROUTE_TOKEN || r->route.op == ROUTE_JWKS) && c->token_service == NULL)
		return request_refuse(r, REFUSE_NO_ROUTE);
	r->upstream_config = upstream_of(r);
	if (r->upstream_config == NULL)
		return NEXT;	/* said after we know who asks */
	if (r->route.reference_type == REFERENCE_TAG && r->route.reference.n > r->upstream_config->tag_max)
		return request_refuse(r, REFUSE_BAD_TAG);
	for (size_t i = 0; i < r->route.n_tags; i++)
		if (r->route.tags[i].n > r->upstream_config->tag_max)
			return request_refuse(r, REFUSE_BAD_TAG);
	r->upstream = r->serving->upstreams[r->upstream_config - c->upstream];
	return NEXT;
}
