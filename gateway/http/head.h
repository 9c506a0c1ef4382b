/*
 * head.h - strict HTTP/1.1 message heads, requests and responses (RFC 9112, RFC 9110).
 *
 * Pure: bytes in, structure out; no allocation but from the given arena, no I/O.
 * One reading only: what two implementations could read differently is refused.
 * The corpus under tests/corpus is the specification.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HTTP_HEAD_H
#define TW_HTTP_HEAD_H

#include "gateway/refuse.h"
#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

enum http_method {
	HTTP_METHOD_NONE = 0,	/* never in a parsed request */
	HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE,
};

/* Fields the gateway reads or passes on; every other field is checked for syntax, then dropped. */
#define HTTP_FIELDS(X) \
	/* symbol, wire name, may appear more than once in a request, ... in a response */ \
	X(HOST,                 "host",                  false, false) \
	X(CONTENT_LENGTH,       "content-length",        false, false) \
	X(TRANSFER_ENCODING,    "transfer-encoding",     false, false) \
	X(CONNECTION,           "connection",            true,  true)  \
	X(EXPECT,               "expect",                false, false) \
	X(AUTHORIZATION,        "authorization",         false, false) \
	X(CONTENT_TYPE,         "content-type",          false, false) \
	X(CONTENT_ENCODING,     "content-encoding",      false, false) \
	X(CONTENT_RANGE,        "content-range",         false, false) \
	X(ACCEPT,               "accept",                true,  false) \
	X(RANGE,                "range",                 false, false) \
	X(IF_NONE_MATCH,        "if-none-match",         true,  false) \
	X(USER_AGENT,           "user-agent",            false, false) \
	X(LOCATION,             "location",              false, false) \
	X(LINK,                 "link",                  true,  true)  \
	X(ETAG,                 "etag",                  false, false) \
	X(WARNING,              "warning",               true,  true)  \
	X(RETRY_AFTER,          "retry-after",           false, false) \
	X(ACCEPT_RANGES,        "accept-ranges",         true,  true)  \
	X(CACHE_CONTROL,        "cache-control",         true,  true)  \
	X(LAST_MODIFIED,        "last-modified",         false, false) \
	X(DOCKER_CONTENT_DIGEST,"docker-content-digest", false, false) \
	X(DOCKER_UPLOAD_UUID,   "docker-upload-uuid",    false, false) \
	X(DOCKER_API_VERSION,   "docker-distribution-api-version", true, true) \
	X(OCI_SUBJECT,          "oci-subject",           false, false) \
	X(OCI_TAG,              "oci-tag",               true,  true)  \
	X(OCI_FILTERS_APPLIED,  "oci-filters-applied",   true,  true)  \
	X(OCI_CHUNK_MIN_LENGTH, "oci-chunk-min-length",  false, false) \
	X(X_FORWARDED_FOR,      "x-forwarded-for",       true,  true)

enum http_field_id {
	HTTP_FIELD_OTHER = 0,
#define X(symbol, name, multi_request, multi_response) HTTP_FIELD_##symbol,
	HTTP_FIELDS(X)
#undef X
	HTTP_FIELD_MAX
};

struct http_field {
	enum http_field_id id;
	struct span name, value;	/* value without surrounding white space */
};

/* How the body that follows is framed (RFC 9112 section 6.3). */
enum http_framing {
	HTTP_FRAMING_NONE = 0,		/* no body follows */
	HTTP_FRAMING_LENGTH,		/* exactly `length` bytes, may be 0 */
	HTTP_FRAMING_CHUNKED,
	HTTP_FRAMING_UNTIL_CLOSE,	/* responses only */
};

struct http_limits {		/* bytes, but `fields` counts */
	size_t head;		/* whole head, default 32768 */
	size_t target;		/* default 4096; upload targets reach 8192, so the reader takes 8192 and the route checks */
	size_t fields;		/* default 100 */
	size_t name;		/* default 64 */
	size_t value;		/* default 8192, Authorization excepted */
	size_t authorization;	/* default 24576 */
};
extern const struct http_limits http_limits_default;

struct http_head {
	/* request */
	enum http_method method;
	struct span target;		/* origin-form, as sent */
	struct span host;		/* Host without port, as sent (not case-folded) */
	/* response */
	unsigned status;		/* 100..599 */
	/* both */
	unsigned minor;			/* HTTP/1.minor: 0 or 1 */
	struct http_field *fields;	/* in wire order */
	size_t n_fields;
	struct span field[HTTP_FIELD_MAX];	/* first value by id; p == NULL when absent */
	enum http_framing framing;
	uint64_t length;		/* for HTTP_FRAMING_LENGTH */
	bool keep_alive;		/* the sender lets the connection go on after this message */
	bool expect_continue;		/* Expect: 100-continue was sent */
};

enum http_read { HTTP_READ_BAD = 0, HTTP_READ_MORE, HTTP_READ_DONE };

/*
 * Incremental search for the end of a head. `buf` always holds the message from its first byte, n
 * grows from call to call; zero-initialise the scanner for each message. Every complete line is
 * checked as soon as its LF is there (so a bad request is refused without waiting for its end), and
 * before that the first line is bounded.
 * At most one CRLF before a request line is skipped (RFC 9112 2.2) - it is part of `length`.
 * DONE: length = bytes of the head, its empty line included.  BAD: why says what.
 */
struct http_scan {
	size_t seen;		/* bytes already looked at */
	size_t line;		/* start of the line being read */
	size_t lines;		/* complete lines so far */
	size_t length;		/* out */
	enum refuse why;	/* out */
	bool response;		/* in: reading a response head */
};
enum http_read http_scan(struct http_scan *s, const char *buf, size_t n, const struct http_limits *limits)
    NONNULL(1, 4) WUNRES;

/*
 * Parse a complete head found by http_scan(). Spans in *out point into `head`, arrays are taken from
 * `a`. REFUSE_NONE on success. On failure out->method/target/host hold whatever was already read
 * (audited, escaped).
 */
enum refuse http_request_parse(struct span head, const struct http_limits *limits, struct arena *a,
    struct http_head *out) NONNULL(2, 3, 4) WUNRES;

/*
 * Same for a response. `request` is the method it answers: HEAD, 1xx, 204 and 304 have no body
 * (but Content-Length is still checked and kept in length).
 */
enum refuse http_response_parse(struct span head, const struct http_limits *limits, struct arena *a,
    enum http_method request, struct http_head *out) NONNULL(2, 3, 5) WUNRES;

/* "GET"...; "-" for NONE. */
struct span http_method_name(enum http_method m) PURE;
/* Wire name as we write it: "Content-Length". */
struct span http_field_name(enum http_field_id id) PURE;
/* Reason phrase for a status we relay; "" when unknown to us. */
const char *http_reason(unsigned status) PURE;

#endif
