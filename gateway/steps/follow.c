/*
 * follow.c - redirects of a registry to its object storage: refused, passed on, or followed here.
 *
 * Followed, storage is asked in place of the client: over TLS, at a host of redirect-hosts, without any credential (the
 * URL is one), three hops at most. The client hears a plain answer of the registry's: none of storage's own fields, and
 * the digest it asked for. A HEAD that storage refuses - some presign for GET only - is asked as a GET of one byte.
 * Invariant: the query of such a URL is a secret. It goes into no log and no event.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/log.h"
#include "gateway/request.h"

#define HOPS_MAX 3u
#define BODY_MAX 65536u /* of a redirect */
#define HEAD_MAX 16384u

struct follow {
	struct storage_place place;
	const struct http_head *registry; /* the redirect the registry answered with */
	size_t body; /* bytes of a redirect's body read */
	unsigned hops;
	bool reading; /* an answer's body is read and forgotten, then storage is asked (again) */
	bool one_byte; /* a HEAD, asked as a GET of one byte */
};

enum refuse
redirect_check(struct request *r, const struct http_head *h, struct storage_place *place)
{
	struct span location = h->field[HTTP_FIELD_LOCATION];

	/* blobs and manifests may be elsewhere; for anything else a redirect makes no sense */
	if ((r->route.op != ROUTE_BLOB_GET && r->route.op != ROUTE_MANIFEST_GET) || location.p == NULL ||
	    !storage_place_parse(location, r->arena, place))
		return REFUSE_UPSTREAM_REDIRECT;
	r->detail = arena_printf(r->arena, "redirected to %.*s", SPAN_FMT(place->host));
	if (!place->tls || !config_redirect_allowed(r->upstream_config, place->host, place->port)) {
		log_warn("req=%s upstream=%s msg=redirects to %.*s:%u, which redirect-hosts does not list", r->id,
		    r->upstream_config->alias, SPAN_FMT(place->host), place->port);
		return REFUSE_UPSTREAM_REDIRECT;
	}
	return REFUSE_NONE;
}

static bool
is_redirect(const struct http_head *h)
{
	return h->status == 301 || h->status == 302 || h->status == 303 || h->status == 307 || h->status == 308;
}

bool
follow_wanted(const struct request *r, const struct http_head *h)
{
	return r->upstream_config->redirects == REDIRECT_FOLLOW && is_redirect(h) &&
	    (r->route.op == ROUTE_BLOB_GET || r->route.op == ROUTE_MANIFEST_GET);
}

enum refuse
follow_begin(struct request *r, const struct http_head *h)
{
	struct follow *f = r->follow;
	enum refuse why;

	if (f == NULL) {
		f = r->follow = arena_zalloc(r->arena, 1, sizeof *f);
		if (f == NULL)
			return REFUSE_NO_MEMORY;
		f->registry = h;
	}
	why = redirect_check(r, h, &f->place);
	if (why == REFUSE_NONE && f->hops++ == HOPS_MAX)
		why = REFUSE_UPSTREAM_REDIRECT;
	f->reading = true;
	f->body = 0;
	return why;
}

bool
follow_reading(const struct request *r)
{
	return r->follow != NULL && r->follow->reading;
}

bool
follow_body(struct request *r, size_t n)
{
	r->follow->body += n;
	return r->follow->body <= BODY_MAX;
}

struct exchange *
follow_go(struct request *r, const struct exchange_ops *ops, enum refuse *why)
{
	struct follow *f = r->follow;
	size_t i = (size_t)(r->upstream_config - r->config->upstream);
	struct upstream *u = storage_at(r->serving->storage, r->upstream_config, r->serving->setup->storage_tls[i], &f->place);
	char *buf = arena_alloc(r->arena, HEAD_MAX);
	struct exchange_request rq = { .method = f->one_byte ? HTTP_GET : r->head.method, .repeatable = true };
	struct exchange *x = NULL;
	struct http_writer w;

	f->reading = false;
	*why = REFUSE_NO_MEMORY;
	if (u == NULL || buf == NULL)
		return NULL;
	http_writer_init(&w, buf, HEAD_MAX);
	http_write_request_line(&w, rq.method, f->place.target);
	http_write_field_id(&w, HTTP_FIELD_HOST, span_of(upstream_config(u)->host_header));
	http_write_field_id(&w, HTTP_FIELD_USER_AGENT, SPAN("tidewaiter/" TW_VERSION));
	http_write_field(&w, SPAN("Accept-Encoding"), SPAN("identity"));
	if (f->one_byte)
		http_write_field_id(&w, HTTP_FIELD_RANGE, SPAN("bytes=0-0"));
	else if (r->head.field[HTTP_FIELD_RANGE].p != NULL)
		http_write_field_id(&w, HTTP_FIELD_RANGE, r->head.field[HTTP_FIELD_RANGE]);
	rq.head = http_write_end(&w);
	*why = REFUSE_UPSTREAM_REDIRECT;
	if (rq.head.p != NULL) {
		*why = REFUSE_NO_MEMORY;
		x = exchange_start(u, &rq, r->arena, ops, r);
	}
	if (x != NULL)
		*why = REFUSE_NONE;
	return x;
}

/* ---- storage's answer ---- */

/* The number behind the slash of "bytes 0-0/1234". */
static bool
read_total(struct span range, uint64_t *total)
{
	const char *slash = range.p == NULL ? NULL : memchr(range.p, '/', range.n);
	struct span digits;

	if (slash == NULL)
		return false;
	digits = span_skip(range, (size_t)(slash - range.p) + 1);
	*total = 0;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		*total = *total * 10 + (uint64_t)(digits.p[i] - '0');
	}
	return digits.n > 0 && digits.n < 19;
}

/* As if the registry had answered: what it said of the manifest, and of storage's answer only how long it is. */
static const struct http_head *
in_its_place(struct request *r, const struct http_head *h)
{
	const struct follow *f = r->follow;
	struct http_head *out = arena_alloc(r->arena, sizeof *out);
	struct span digest = f->registry->field[HTTP_FIELD_DOCKER_CONTENT_DIGEST];

	if (out == NULL)
		return NULL;
	*out = *h;
	memset(out->field, 0, sizeof out->field);
	out->field[HTTP_FIELD_CONTENT_LENGTH] = h->field[HTTP_FIELD_CONTENT_LENGTH];
	out->field[HTTP_FIELD_CONTENT_RANGE] = h->field[HTTP_FIELD_CONTENT_RANGE];
	out->field[HTTP_FIELD_ACCEPT_RANGES] = h->field[HTTP_FIELD_ACCEPT_RANGES];
	out->field[HTTP_FIELD_DOCKER_API_VERSION] = f->registry->field[HTTP_FIELD_DOCKER_API_VERSION];
	out->field[HTTP_FIELD_CONTENT_TYPE] = r->route.op == ROUTE_BLOB_GET ? SPAN("application/octet-stream") : h->field[HTTP_FIELD_CONTENT_TYPE];
	if (r->route.reference_type == REFERENCE_DIGEST)
		digest = r->route.reference;
	out->field[HTTP_FIELD_DOCKER_CONTENT_DIGEST] = digest;
	if (f->one_byte) {
		uint64_t total = h->length;

		if (h->status == 206 && !read_total(h->field[HTTP_FIELD_CONTENT_RANGE], &total))
			return NULL;
		out->status = 200;
		out->length = total;
		out->framing = HTTP_FRAMING_LENGTH;
		out->field[HTTP_FIELD_CONTENT_RANGE] = SPAN_NONE;
		out->field[HTTP_FIELD_CONTENT_LENGTH] = SPAN("0"); /* there is one; `length` says which */
	}
	return out;
}

const struct http_head *
follow_answer(struct request *r, const struct http_head *h, enum refuse *why)
{
	struct follow *f = r->follow;
	const struct http_head *out;

	*why = REFUSE_NONE;
	if (r->head.method == HTTP_HEAD && !f->one_byte && (h->status == 400 || h->status == 403 || h->status == 405)) {
		f->one_byte = f->reading = true;
		f->body = 0;
		return NULL;
	}
	if (h->status != 200 && h->status != 206 && h->status != 416) {
		r->detail = arena_printf(r->arena, "storage at %.*s answered %u", SPAN_FMT(f->place.host), h->status);
		log_warn("req=%s upstream=%s msg=%.*s", r->id, r->upstream_config->alias, SPAN_FMT(r->detail));
		*why = REFUSE_STORAGE;
		return NULL;
	}
	out = in_its_place(r, h);
	if (out == NULL)
		*why = arena_failed(r->arena) ? REFUSE_NO_MEMORY : REFUSE_UPSTREAM_BAD;
	return out;
}
