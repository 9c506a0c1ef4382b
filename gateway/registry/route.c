/*
 * route.c - the registry grammar.
 * Invariant: what route_target() writes is made of checked pieces only, and route_resolve() reads it back the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/registry/route.h"

#include "gateway/http/chars.h"
#include "gateway/registry/lease.h"

#define REPOSITORY_MAX 255u /* distribution's RepositoryNameTotalLengthMax, and what clients cap at */
#define VALUE_MAX      255u /* of artifactType and ns */
#define PAGE_MAX       1000u /* above it distribution answers 400 */
#define NUMBER_DIGITS  10u

const struct route_limits route_limits_default = { .target = 4096, .upload_target = 8192, .tag = 128 };

/* ---- the table ---- */

enum place {
	PLACE_NONE = 0,
	PLACE_ROOT, /* /v2/ */
	PLACE_CATALOG, /* /v2/_catalog */
	PLACE_MANIFEST, /* /v2/<name>/manifests/<reference> */
	PLACE_BLOB, /* /v2/<name>/blobs/<digest> */
	PLACE_TAGS, /* /v2/<name>/tags/list */
	PLACE_REFERRERS, /* /v2/<name>/referrers/<digest> */
	PLACE_UPLOADS, /* /v2/<name>/blobs/uploads/ */
	PLACE_UPLOAD, /* /v2/<name>/blobs/uploads/<lease> */
	PLACE_TOKEN, /* /token */
	PLACE_JWKS, /* /.well-known/jwks.json */
};

enum query_key {
	QUERY_TAG,
	QUERY_N,
	QUERY_LAST,
	QUERY_DIGEST,
	QUERY_DIGEST_ALGORITHM,
	QUERY_MOUNT,
	QUERY_FROM,
	QUERY_ARTIFACT_TYPE,
	QUERY_NS,
	QUERY_CURSOR,
	QUERY_KEYS
};
static const struct span key_name[QUERY_KEYS] = {
	[QUERY_TAG] = { "tag", 3 },
	[QUERY_N] = { "n", 1 },
	[QUERY_LAST] = { "last", 4 },
	[QUERY_DIGEST] = { "digest", 6 },
	[QUERY_DIGEST_ALGORITHM] = { "digest-algorithm", 16 },
	[QUERY_MOUNT] = { "mount", 5 },
	[QUERY_FROM] = { "from", 4 },
	[QUERY_ARTIFACT_TYPE] = { "artifactType", 12 },
	[QUERY_NS] = { "ns", 2 },
	[QUERY_CURSOR] = { "cursor", 6 },
};

#define KEY(k) (1u << QUERY_##k)

static const struct row {
	enum place place;
	enum http_method method;
	enum route_op op;
	unsigned keys; /* query keys the row knows */
} rows[] = {
	{ PLACE_ROOT, HTTP_GET, ROUTE_PING, 0 },
	{ PLACE_ROOT, HTTP_HEAD, ROUTE_PING, 0 },
	{ PLACE_CATALOG, HTTP_GET, ROUTE_CATALOG, KEY(N) | KEY(LAST) | KEY(CURSOR) },
	{ PLACE_MANIFEST, HTTP_GET, ROUTE_MANIFEST_GET, KEY(NS) },
	{ PLACE_MANIFEST, HTTP_HEAD, ROUTE_MANIFEST_GET, KEY(NS) },
	{ PLACE_MANIFEST, HTTP_PUT, ROUTE_MANIFEST_PUT, KEY(TAG) },
	{ PLACE_MANIFEST, HTTP_DELETE, ROUTE_MANIFEST_DELETE, 0 },
	{ PLACE_BLOB, HTTP_GET, ROUTE_BLOB_GET, KEY(NS) },
	{ PLACE_BLOB, HTTP_HEAD, ROUTE_BLOB_GET, KEY(NS) },
	{ PLACE_BLOB, HTTP_DELETE, ROUTE_BLOB_DELETE, 0 },
	{ PLACE_TAGS, HTTP_GET, ROUTE_TAGS_LIST, KEY(N) | KEY(LAST) | KEY(CURSOR) },
	{ PLACE_REFERRERS, HTTP_GET, ROUTE_REFERRERS, KEY(ARTIFACT_TYPE) | KEY(CURSOR) },
	{ PLACE_UPLOADS, HTTP_POST, ROUTE_UPLOAD_START,
	    KEY(MOUNT) | KEY(FROM) | KEY(DIGEST) | KEY(DIGEST_ALGORITHM) },
	{ PLACE_UPLOAD, HTTP_GET, ROUTE_UPLOAD_STATUS, 0 },
	{ PLACE_UPLOAD, HTTP_PATCH, ROUTE_UPLOAD_CHUNK, 0 },
	{ PLACE_UPLOAD, HTTP_PUT, ROUTE_UPLOAD_FINISH, KEY(DIGEST) },
	{ PLACE_UPLOAD, HTTP_DELETE, ROUTE_UPLOAD_CANCEL, 0 },
	{ PLACE_TOKEN, HTTP_GET, ROUTE_TOKEN, 0 },
	{ PLACE_TOKEN, HTTP_POST, ROUTE_TOKEN, 0 },
	{ PLACE_JWKS, HTTP_GET, ROUTE_JWKS, 0 },
	{ PLACE_JWKS, HTTP_HEAD, ROUTE_JWKS, 0 },
};

static const struct {
	const char *audit;
	enum policy_action action;
} ops[ROUTE_MAX] = {
	[ROUTE_NONE] = { "none", ACTION_NONE },
#define X(symbol, audit, action) [ROUTE_##symbol] = { audit, ACTION_##action },
	ROUTE_OPS(X)
#undef X
};

const char *
route_audit_name(enum route_op op)
{
	return ops[op].audit;
}

enum policy_action
route_action(enum route_op op)
{
	return ops[op].action;
}

/* ---- the pieces ---- */

/* Sets of bytes, for char_in(). */
static const uint64_t target_bytes[4] = { 0x27ffe80000000000, 0x47fffffe87fffffe }; /* [A-Za-z0-9._:/=+~-] */
static const uint64_t tag_bytes[4] = { 0x03ff600000000000, 0x07fffffe87fffffe }; /* [A-Za-z0-9._-] */
static const uint64_t lease_bytes[4] = { 0x03ff200000000000, 0x07fffffe87fffffe }; /* [A-Za-z0-9_-] */
static const uint64_t type_bytes[4] = { 0x03ffe85a00000000, 0x07fffffec7fffffe }; /* RFC 6838 4.2, and '/' */
static const uint64_t host_bytes[4] = { 0x07ff600000000000, 0x07fffffe07fffffe }; /* [A-Za-z0-9.:-] */

static bool
made_of(struct span s, const uint64_t set[static 4], size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!char_in(set, s.p[i]))
			return false;
	return true;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || http_is_digit(c);
}

/* Length of the separator at p, n > 0 bytes: '.', '_', "__" or a run of '-'. 0 when there is none. */
static size_t
separator(const char *p, size_t n)
{
	size_t dashes = 0;

	if (p[0] == '.')
		return 1;
	if (p[0] == '_')
		return n > 1 && p[1] == '_' ? 2 : 1;
	while (dashes < n && p[dashes] == '-')
		dashes++;
	return dashes;
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* and not a word of the grammar itself. */
static bool
component_valid(struct span s)
{
	static const struct span words[] = {
		{ "manifests", 9 },
		{ "blobs", 5 },
		{ "tags", 4 },
		{ "referrers", 9 },
		{ "uploads", 7 },
	};
	size_t i = 0;

	for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
		if (span_eq(s, words[k]))
			return false;
	while (i < s.n && is_name_char(s.p[i])) {
		i++;
		if (i < s.n && !is_name_char(s.p[i])) {
			size_t sep = separator(s.p + i, s.n - i);

			if (sep == 0 || i + sep == s.n)
				return false;
			i += sep;
		}
	}
	return s.n > 0 && i == s.n;
}

/* The bytes of s before the first c, or all of it. */
static struct span
until(struct span s, char c)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return (struct span){ s.p, at == NULL ? s.n : (size_t)(at - s.p) };
}

bool
repository_valid(struct span s)
{
	if (s.n == 0 || s.n > REPOSITORY_MAX)
		return false;
	for (;;) {
		struct span c = until(s, '/');

		if (!component_valid(c))
			return false;
		if (c.n == s.n)
			return true;
		s = span_skip(s, c.n + 1);
	}
}

bool
tag_valid(struct span s, size_t max)
{
	return made_of(s, tag_bytes, max) && s.p[0] != '.' && s.p[0] != '-';
}

bool
digest_valid(struct span s)
{
	if (s.n != 71 || !span_starts(s, SPAN("sha256:")))
		return false;
	for (size_t i = 7; i < s.n; i++)
		if (!http_is_digit(s.p[i]) && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
			return false;
	return true;
}

/* ---- the query ---- */

/* Percent-decode one value. '+' is refused: some read it as a space. */
static bool
decode(struct span in, struct arena *a, struct span *out)
{
	char *p;
	size_t n = 0;

	*out = in;
	if (in.n == 0 || (memchr(in.p, '%', in.n) == NULL && memchr(in.p, '+', in.n) == NULL))
		return true;
	p = arena_alloc(a, in.n);
	if (p == NULL)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		int high, low;

		if (in.p[i] == '+')
			return false;
		if (in.p[i] != '%') {
			p[n++] = in.p[i];
			continue;
		}
		if (in.n - i < 3)
			return false;
		high = http_hex_value(in.p[i + 1]);
		low = http_hex_value(in.p[i + 2]);
		if (high < 0 || low < 0)
			return false;
		p[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*out = (struct span){ p, n };
	return true;
}

static enum refuse
page_size(struct span s, struct route *r)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > NUMBER_DIGITS)
		return REFUSE_BAD_QUERY;
	for (size_t i = 0; i < s.n; i++) {
		if (!http_is_digit(s.p[i]))
			return REFUSE_BAD_QUERY;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	r->has_n = true;
	r->n = v > PAGE_MAX ? PAGE_MAX : (unsigned)v;
	return REFUSE_NONE;
}

static enum refuse
add_tag(struct route *r, struct span v, const struct route_limits *limits)
{
	if (r->reference_type != REFERENCE_DIGEST)
		return REFUSE_BAD_QUERY;
	/* 414, as the OCI distribution-spec has it for too many of them */
	if (r->n_tags == ROUTE_TAGS_MAX)
		return REFUSE_TARGET_TOO_LONG;
	if (!tag_valid(v, limits->tag))
		return REFUSE_BAD_TAG;
	r->tags[r->n_tags++] = v;
	return REFUSE_NONE;
}

static enum refuse
keep(struct span *field, struct span v, bool valid, enum refuse why)
{
	if (valid)
		*field = v;
	return valid ? REFUSE_NONE : why;
}

static enum refuse
set(struct route *r, enum query_key k, struct span v, const struct route_limits *limits)
{
	switch (k) {
	case QUERY_TAG:
		return add_tag(r, v, limits);
	case QUERY_N:
		return page_size(v, r);
	case QUERY_LAST:
		return keep(&r->last, v, r->op == ROUTE_CATALOG ? repository_valid(v) : tag_valid(v, limits->tag),
		    REFUSE_BAD_QUERY);
	case QUERY_DIGEST:
		return keep(&r->digest, v, digest_valid(v), REFUSE_BAD_DIGEST);
	case QUERY_DIGEST_ALGORITHM:
		return keep(&r->digest_algorithm, v, span_eq(v, SPAN("sha256")), REFUSE_BAD_DIGEST);
	case QUERY_MOUNT:
		return keep(&r->mount, v, digest_valid(v), REFUSE_BAD_DIGEST);
	case QUERY_FROM:
		return keep(&r->from, v, repository_valid(v), REFUSE_BAD_NAME);
	case QUERY_ARTIFACT_TYPE:
		return keep(&r->artifact_type, v, made_of(v, type_bytes, VALUE_MAX), REFUSE_BAD_QUERY);
	case QUERY_NS:
		return keep(&r->ns, v, made_of(v, host_bytes, VALUE_MAX), REFUSE_BAD_QUERY);
	case QUERY_CURSOR:
		return keep(&r->cursor, v, made_of(v, lease_bytes, LEASE_MAX), REFUSE_BAD_CURSOR);
	case QUERY_KEYS:
		break;
	}
	return REFUSE_BAD_QUERY;
}

static enum query_key
find_key(struct span name, unsigned known)
{
	for (unsigned k = 0; k < QUERY_KEYS; k++)
		if ((known >> k & 1) != 0 && span_eq(name, key_name[k]))
			return (enum query_key)k;
	return QUERY_KEYS;
}

/* `query` without its '?'. An empty one is as good as none. */
static enum refuse
read_query(struct route *r, struct span query, unsigned known, const struct route_limits *limits, struct arena *a)
{
	unsigned seen = 0;

	while (query.n > 0) {
		struct span pair = until(query, '&'), name = until(pair, '='), value;
		enum query_key k = find_key(name, known);
		enum refuse why;

		/* what an upload's own URL held is in the lease: a query of the client's names no upload of ours */
		if (k == QUERY_KEYS)
			return r->reference_type == REFERENCE_LEASE ? REFUSE_UPLOAD_UNKNOWN : REFUSE_BAD_QUERY;
		if (name.n == pair.n || (k != QUERY_TAG && (seen >> k & 1) != 0) ||
		    !decode(span_skip(pair, name.n + 1), a, &value))
			return REFUSE_BAD_QUERY;
		seen |= 1u << k;
		why = set(r, k, value, limits);
		if (why != REFUSE_NONE)
			return why;
		if (pair.n + 1 == query.n) /* '&' and nothing after it */
			return REFUSE_BAD_QUERY;
		query = span_skip(query, pair.n == query.n ? pair.n : pair.n + 1);
	}
	return REFUSE_NONE;
}

/* ---- the path ---- */

/*
 * '%' and every other byte no row needs; empty and dot segments. The one empty segment that the grammar has is
 * the last one of /v2/ and of /blobs/uploads/: others do not match a row.
 */
static bool
path_clean(struct span path)
{
	struct span s = path;

	if (path.n == 0 || path.p[0] != '/' || !made_of(path, target_bytes, path.n))
		return false;
	while (s.n > 0) {
		struct span segment;

		s = span_skip(s, 1);
		segment = until(s, '/');
		if (span_eq(segment, SPAN(".")) || span_eq(segment, SPAN("..")))
			return false;
		if (segment.n == 0 && s.n > 0)
			return false;
		s = span_skip(s, segment.n);
	}
	return true;
}

/* Cut the last segment off: "a/b/c" to "a/b" and "c". Without a '/' all of it is the last one. */
static struct span
cut_last(struct span *s)
{
	size_t at = s->n;
	struct span last;

	while (at > 0 && s->p[at - 1] != '/')
		at--;
	last = span_skip(*s, at);
	s->n = at > 0 ? at - 1 : 0;
	return last;
}

/* Where does the path lead? Sets the name and the last segment, both unchecked. */
static enum place
find_place(struct span path, struct span *name, struct span *last)
{
	struct span rest, word;

	*name = *last = SPAN_NONE;
	if (span_eq(path, SPAN("/token")))
		return PLACE_TOKEN;
	if (span_eq(path, SPAN("/.well-known/jwks.json")))
		return PLACE_JWKS;
	if (!span_starts(path, SPAN("/v2/")))
		return PLACE_NONE;
	rest = span_skip(path, 4);
	if (rest.n == 0)
		return PLACE_ROOT;
	if (span_eq(rest, SPAN("_catalog")))
		return PLACE_CATALOG;
	*last = cut_last(&rest);
	word = cut_last(&rest);
	*name = rest;
	if (span_eq(word, SPAN("uploads"))) {
		if (!span_eq(cut_last(name), SPAN("blobs")))
			return PLACE_NONE;
		return last->n == 0 ? PLACE_UPLOADS : PLACE_UPLOAD;
	}
	if (last->n == 0)
		return PLACE_NONE;
	if (span_eq(word, SPAN("manifests")))
		return PLACE_MANIFEST;
	if (span_eq(word, SPAN("blobs")))
		return PLACE_BLOB;
	if (span_eq(word, SPAN("referrers")))
		return PLACE_REFERRERS;
	if (span_eq(word, SPAN("tags")) && span_eq(*last, SPAN("list")))
		return PLACE_TAGS;
	return PLACE_NONE;
}

static const struct row *
find_row(enum place place, enum http_method method)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].place == place && rows[i].method == method)
			return &rows[i];
	return NULL;
}

static enum refuse
set_reference(struct route *r, enum place place, struct span s, const struct route_limits *limits)
{
	switch (place) {
	case PLACE_UPLOAD:
		r->reference_type = REFERENCE_LEASE;
		return keep(&r->reference, s, made_of(s, lease_bytes, LEASE_MAX), REFUSE_UPLOAD_UNKNOWN);
	case PLACE_MANIFEST:
	case PLACE_BLOB:
	case PLACE_REFERRERS:
		if (place == PLACE_MANIFEST && until(s, ':').n == s.n) {
			r->reference_type = REFERENCE_TAG;
			return keep(&r->reference, s, tag_valid(s, limits->tag), REFUSE_BAD_TAG);
		}
		r->reference_type = REFERENCE_DIGEST;
		return keep(&r->reference, s, digest_valid(s), REFUSE_BAD_DIGEST);
	case PLACE_NONE:
	case PLACE_ROOT:
	case PLACE_CATALOG:
	case PLACE_TAGS:
	case PLACE_UPLOADS:
	case PLACE_TOKEN:
	case PLACE_JWKS:
		break;
	}
	return REFUSE_NONE;
}

void
route_strip_mount(struct route *r)
{
	r->op = ROUTE_UPLOAD_START;
	r->stripped_mount = r->mount;
	r->stripped_from = r->from;
	r->mount = r->from = SPAN_NONE;
}

/* What the query makes of the operation. */
static enum refuse
refine(struct route *r)
{
	if (r->op == ROUTE_MANIFEST_DELETE && r->reference_type == REFERENCE_TAG)
		r->op = ROUTE_TAG_DELETE;
	if (r->op == ROUTE_UPLOAD_FINISH && r->digest.p == NULL)
		return REFUSE_BAD_DIGEST;
	if (r->cursor.p != NULL && r->last.p != NULL)
		return REFUSE_BAD_QUERY; /* two places at once */
	if (r->op != ROUTE_UPLOAD_START)
		return REFUSE_NONE;
	if (r->mount.p == NULL)
		return r->from.p == NULL ? REFUSE_NONE : REFUSE_BAD_QUERY;
	if (r->digest.p != NULL || r->digest_algorithm.p != NULL)
		return REFUSE_BAD_QUERY;
	/* from anywhere: it would read any repository */
	if (r->from.p == NULL)
		route_strip_mount(r);
	else
		r->op = ROUTE_BLOB_MOUNT;
	return REFUSE_NONE;
}

enum refuse
route_resolve(enum http_method method, struct span target, const struct route_limits *limits, struct arena *a,
    struct route *out)
{
	struct span path = until(target, '?'), query = SPAN_NONE, name, last;
	const struct row *row;
	enum place place;
	enum refuse why;

	*out = (struct route){ .op = ROUTE_NONE };
	if (target.n > limits->upload_target)
		return REFUSE_TARGET_TOO_LONG;
	if (!path_clean(path))
		return REFUSE_BAD_TARGET;
	if (path.n < target.n)
		query = span_skip(target, path.n + 1);
	place = find_place(path, &name, &last);
	if (place == PLACE_NONE)
		return REFUSE_NO_ROUTE;
	if (target.n > limits->target && place != PLACE_UPLOAD)
		return REFUSE_TARGET_TOO_LONG;
	if (place != PLACE_ROOT && place != PLACE_CATALOG && place != PLACE_TOKEN && place != PLACE_JWKS) {
		if (!repository_valid(name))
			return REFUSE_BAD_NAME;
		out->repository = name;
	}
	row = find_row(place, method);
	if (row == NULL)
		return REFUSE_METHOD;
	out->op = row->op;
	if (place == PLACE_TOKEN) {
		out->form = query;
		return REFUSE_NONE;
	}
	why = set_reference(out, place, last, limits);
	if (why == REFUSE_NONE)
		why = read_query(out, query, row->keys, limits, a);
	if (why == REFUSE_NONE)
		why = refine(out);
	return why == REFUSE_NONE && arena_failed(a) ? REFUSE_NO_MEMORY : why;
}

/* ---- and back ---- */

struct text {
	char *p;
	size_t n;
};

static void
add(struct text *t, struct span s)
{
	if (s.n > 0)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

/* A parameter, when there is a value: percent-encoded but for what a query may hold and nobody reads otherwise. */
static void
add_parameter(struct text *t, char *mark, struct span name, struct span value)
{
	static const uint64_t plain[4] = { 0x07ffe00000000000, 0x47fffffe87fffffe }; /* [A-Za-z0-9._:/~-] */

	if (value.p == NULL)
		return;
	t->p[t->n++] = *mark;
	*mark = '&';
	add(t, name);
	t->p[t->n++] = '=';
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (char_in(plain, value.p[i])) {
			t->p[t->n++] = value.p[i];
		} else {
			t->p[t->n++] = '%';
			t->p[t->n++] = "0123456789ABCDEF"[c >> 4];
			t->p[t->n++] = "0123456789ABCDEF"[c & 15];
		}
	}
}

static struct span
place_word(enum route_op op)
{
	switch (op) {
	case ROUTE_MANIFEST_GET:
	case ROUTE_MANIFEST_PUT:
	case ROUTE_MANIFEST_DELETE:
	case ROUTE_TAG_DELETE:
		return SPAN("/manifests/");
	case ROUTE_BLOB_GET:
	case ROUTE_BLOB_DELETE:
		return SPAN("/blobs/");
	case ROUTE_REFERRERS:
		return SPAN("/referrers/");
	case ROUTE_TAGS_LIST:
		return SPAN("/tags/list");
	case ROUTE_UPLOAD_START:
	case ROUTE_BLOB_MOUNT:
	case ROUTE_UPLOAD_STATUS:
	case ROUTE_UPLOAD_CHUNK:
	case ROUTE_UPLOAD_FINISH:
	case ROUTE_UPLOAD_CANCEL:
		return SPAN("/blobs/uploads/");
	case ROUTE_CATALOG:
		return SPAN("_catalog");
	case ROUTE_NONE:
	case ROUTE_PING:
	case ROUTE_TOKEN:
	case ROUTE_JWKS:
	case ROUTE_MAX:
		break;
	}
	return SPAN_NONE;
}

struct span
route_target(const struct route *r, struct span repository, struct arena *a)
{
	/* every byte of a value may become three; names, marks and the words of the grammar fit into the rest */
	size_t values = r->digest.n + r->digest_algorithm.n + r->mount.n + r->from.n + r->last.n + r->artifact_type.n +
	    r->cursor.n;
	size_t size = 256 + repository.n + r->reference.n + 3 * values;
	struct text t = { NULL, 0 };
	struct span number = SPAN_NONE;
	char mark = '?';

	if (r->op == ROUTE_TOKEN || r->op == ROUTE_JWKS)
		return SPAN_NONE; /* not upstream's business */
	for (size_t i = 0; i < r->n_tags; i++)
		size += 8 + 3 * r->tags[i].n;
	t.p = arena_alloc(a, size);
	if (r->has_n)
		number = arena_printf(a, "%u", r->n);
	if (t.p == NULL || (r->has_n && number.p == NULL))
		return SPAN_NONE;
	add(&t, SPAN("/v2/"));
	add(&t, r->op == ROUTE_CATALOG || r->op == ROUTE_PING ? SPAN_NONE : repository);
	add(&t, place_word(r->op));
	add(&t, r->reference);
	add_parameter(&t, &mark, SPAN("n"), number);
	add_parameter(&t, &mark, SPAN("last"), r->last);
	add_parameter(&t, &mark, SPAN("artifactType"), r->artifact_type);
	add_parameter(&t, &mark, SPAN("cursor"), r->cursor);
	add_parameter(&t, &mark, SPAN("mount"), r->mount);
	add_parameter(&t, &mark, SPAN("from"), r->from);
	add_parameter(&t, &mark, SPAN("digest"), r->digest);
	add_parameter(&t, &mark, SPAN("digest-algorithm"), r->digest_algorithm);
	for (size_t i = 0; i < r->n_tags; i++)
		add_parameter(&t, &mark, SPAN("tag"), r->tags[i]);
	return (struct span){ t.p, t.n };
}
