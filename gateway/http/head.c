/*
 * head.c - strict heads of requests and responses.
 * Invariant: one reading only. What RFC 9112 lets a recipient repair is refused here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/http/head.h"

#define REQUEST_LINE_EXTRA	32u	/* method, spaces and version around the target */
#define FIELD_LINE_EXTRA	8u	/* colon, white space and CRLF around name and value */

const struct http_limits http_limits_default = {
	.head = 32768,
	.target = 8192,
	.fields = 100,
	.name = 64,
	.value = 8192,
	.authorization = 24576,
};

/* ---- bytes ---- */

enum { TOKEN = 1, VALUE = 2, TARGET = 4, TOKEN68 = 8, HOSTNAME = 16 };

static unsigned char class_of[256];

static void
allow(const char *bytes, unsigned char class)
{
	for (; *bytes != '\0'; bytes++)
		class_of[(unsigned char)*bytes] |= class;
}

/* ---- field names by a hash made once ---- */

#define NAME_SLOTS	128u	/* four times the rows: few collisions */

struct name_row {
	struct span wire;	/* lower case */
	char written[40];	/* "Content-Length" */
	bool multi_request, multi_response;
};
static struct name_row names[HTTP_FIELD_MAX] = {
#define X(symbol, name, multi_request, multi_response) \
	[HTTP_FIELD_##symbol] = { { name, sizeof(name) - 1 }, "", multi_request, multi_response },
	HTTP_FIELDS(X)
#undef X
};
static unsigned char slots[NAME_SLOTS];

static size_t
name_hash(struct span s)
{
	return (s.n * 7 + (unsigned char)ascii_lower(s.p[0]) * 5 +
	    (unsigned char)ascii_lower(s.p[s.n - 1]) * 3 + (unsigned char)ascii_lower(s.p[s.n / 2])) % NAME_SLOTS;
}

__attribute__((constructor)) static void
make_tables(void)
{
	allow("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", TOKEN);
	allow("-._~+/=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", TOKEN68);
	allow("-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", HOSTNAME);
	for (unsigned c = 0x20; c < 256; c++)
		class_of[c] |= c == 0x7f ? 0 : VALUE;
	class_of['\t'] |= VALUE;
	for (unsigned c = 0x21; c < 0x7f; c++)
		class_of[c] |= TARGET;
	for (unsigned i = 1; i < HTTP_FIELD_MAX; i++) {
		bool up = true;
		size_t h = name_hash(names[i].wire);

		for (size_t k = 0; k < names[i].wire.n; k++) {
			char c = names[i].wire.p[k];

			names[i].written[k] = up && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
			up = c == '-';
		}
		while (slots[h] != 0)
			h = (h + 1) % NAME_SLOTS;
		slots[h] = (unsigned char)i;
	}
}

static enum http_field_id
field_id(struct span name)
{
	for (size_t h = name_hash(name); slots[h] != 0; h = (h + 1) % NAME_SLOTS)
		if (span_eq_nocase(name, names[slots[h]].wire))
			return slots[h];
	return HTTP_FIELD_OTHER;
}

/* "Content_Length": what reads fields CGI-style takes it for the field we would not see. */
static bool
is_disguised(struct span name)
{
	char folded[sizeof names[0].written];

	if (memchr(name.p, '_', name.n) == NULL || name.n > sizeof folded)
		return false;
	for (size_t i = 0; i < name.n; i++)
		folded[i] = name.p[i] == '_' ? '-' : name.p[i];
	return field_id((struct span){ folded, name.n }) != HTTP_FIELD_OTHER;
}

static bool
all(struct span s, unsigned char class)
{
	unsigned char seen = 0xff;

	for (size_t i = 0; i < s.n; i++)
		seen &= class_of[(unsigned char)s.p[i]];
	return (seen & class) != 0;
}

static bool
digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* ---- lines ---- */

/* Cut the first line off *rest; false unless it ends with CRLF. The line comes without it. */
static bool
take_line(struct span *rest, struct span *line)
{
	const char *lf = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
	size_t n;

	if (lf == NULL || lf == rest->p || lf[-1] != '\r')
		return false;
	n = (size_t)(lf - rest->p);
	*line = (struct span){ rest->p, n - 1 };
	*rest = span_skip(*rest, n + 1);
	return true;
}

/* "name: value" (RFC 9112 section 5): no folding, no white space before the colon. */
static enum refuse
split_field(struct span line, const struct http_limits *limits, struct http_field *f)
{
	const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
	struct span v;

	if (colon == NULL || colon == line.p)
		return REFUSE_BAD_REQUEST;
	f->name = (struct span){ line.p, (size_t)(colon - line.p) };
	if (!all(f->name, TOKEN))
		return REFUSE_BAD_REQUEST;
	if (f->name.n > limits->name)
		return REFUSE_HEAD_TOO_LARGE;
	if (is_disguised(f->name))
		return REFUSE_BAD_REQUEST;
	v = span_skip(line, f->name.n + 1);
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = span_skip(v, 1);
	while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	if (!all(v, VALUE))
		return REFUSE_BAD_REQUEST;
	f->value = v;
	f->id = field_id(f->name);
	if (v.n > (f->id == HTTP_FIELD_AUTHORIZATION ? limits->authorization : limits->value))
		return REFUSE_HEAD_TOO_LARGE;
	return REFUSE_NONE;
}

static enum refuse
read_version(struct span v, unsigned *minor)
{
	bool numbered = v.n >= 8 && span_starts(v, SPAN("HTTP/")) && v.p[6] == '.' &&
	    digits((struct span){ v.p + 5, 1 }) && digits(span_skip(v, 7));

	if (!numbered)
		return REFUSE_BAD_REQUEST;
	if (v.n != 8 || v.p[5] != '1' || v.p[7] > '1')
		return REFUSE_VERSION;
	*minor = (unsigned)(v.p[7] - '0');
	return REFUSE_NONE;
}

static const struct span methods[] = {
	[HTTP_METHOD_NONE] = { "-", 1 },
	[HTTP_GET] = { "GET", 3 },
	[HTTP_HEAD] = { "HEAD", 4 },
	[HTTP_POST] = { "POST", 4 },
	[HTTP_PUT] = { "PUT", 3 },
	[HTTP_PATCH] = { "PATCH", 5 },
	[HTTP_DELETE] = { "DELETE", 6 },
};
#define N_METHODS (sizeof methods / sizeof methods[0])

static enum refuse
read_request_line(struct span line, const struct http_limits *limits, struct http_head *out)
{
	const char *sp = line.n == 0 ? NULL : memchr(line.p, ' ', line.n);
	struct span method, rest;
	enum refuse why;

	if (sp == NULL || sp == line.p)
		return REFUSE_BAD_REQUEST;
	method = (struct span){ line.p, (size_t)(sp - line.p) };
	rest = span_skip(line, method.n + 1);
	for (size_t m = 1; m < N_METHODS; m++)
		if (span_eq(method, methods[m]))
			out->method = (enum http_method)m;
	sp = rest.n == 0 ? NULL : memchr(rest.p, ' ', rest.n);
	out->target = sp == NULL ? rest : (struct span){ rest.p, (size_t)(sp - rest.p) };
	if (sp == NULL || !all(method, TOKEN) || out->target.n == 0 || !all(out->target, TARGET))
		return REFUSE_BAD_REQUEST;
	if (out->target.n > limits->target)
		return REFUSE_TARGET_TOO_LONG;
	why = read_version(span_skip(rest, out->target.n + 1), &out->minor);
	if (why != REFUSE_NONE)
		return why;
	/* origin-form only: an absolute target could name another host than Host does */
	if (out->target.p[0] != '/' || memchr(out->target.p, '#', out->target.n) != NULL)
		return REFUSE_BAD_TARGET;
	return out->method == HTTP_METHOD_NONE ? REFUSE_METHOD_UNKNOWN : REFUSE_NONE;
}

/* "HTTP/1.1 200 reason"; the reason may be empty, its space may not be missing (RFC 9112 section 4). */
static enum refuse
read_status_line(struct span line, struct http_head *out)
{
	enum refuse why;

	if (line.n < 13 || line.p[8] != ' ' || line.p[12] != ' ' || !digits((struct span){ line.p + 9, 3 }) || !all(line, VALUE))
		return REFUSE_BAD_REQUEST;
	why = read_version((struct span){ line.p, 8 }, &out->minor);
	if (why != REFUSE_NONE)
		return why;
	out->status = (unsigned)(line.p[9] - '0') * 100 + (unsigned)(line.p[10] - '0') * 10 +
	    (unsigned)(line.p[11] - '0');
	return out->status >= 100 && out->status <= 599 ? REFUSE_NONE : REFUSE_BAD_REQUEST;
}

/* ---- the scanner ---- */

static enum refuse
check_line(const struct http_scan *s, struct span line, const struct http_limits *limits)
{
	struct http_head start = { 0 };
	struct http_field f;

	if (s->lines > 0)
		return s->lines > limits->fields ? REFUSE_HEAD_TOO_LARGE : split_field(line, limits, &f);
	return s->response ? read_status_line(line, &start) : read_request_line(line, limits, &start);
}

/* The longest the line at hand may be, its CRLF included. */
static size_t
line_limit(const struct http_scan *s, const struct http_limits *limits)
{
	if (s->lines == 0)
		return limits->target + REQUEST_LINE_EXTRA;
	return limits->name + FIELD_LINE_EXTRA + (limits->authorization > limits->value ? limits->authorization :
	    limits->value);
}

static enum http_read
bad(struct http_scan *s, enum refuse why)
{
	s->why = why;
	return HTTP_READ_BAD;
}

enum http_read
http_scan(struct http_scan *s, const char *buf, size_t n, const struct http_limits *limits)
{
	const char *lf;

	while (s->seen < n && (lf = memchr(buf + s->seen, '\n', n - s->seen)) != NULL) {
		size_t end = (size_t)(lf - buf) + 1;
		struct span rest = { buf + s->line, end - s->line }, line;
		enum refuse why;

		if (end > limits->head)
			return bad(s, REFUSE_HEAD_TOO_LARGE);
		if (rest.n > line_limit(s, limits))
			return bad(s, s->lines == 0 ? REFUSE_TARGET_TOO_LONG : REFUSE_HEAD_TOO_LARGE);
		if (!take_line(&rest, &line))
			return bad(s, REFUSE_BAD_REQUEST);
		s->seen = end;
		if (line.n == 0 && s->lines > 0) {
			s->length = end;
			return HTTP_READ_DONE;
		}
		/* one empty line before a request is forgiven (RFC 9112 section 2.2) */
		if (line.n == 0 && !s->response && s->line == 0) {
			s->line = end;
			continue;
		}
		why = check_line(s, line, limits);
		if (why != REFUSE_NONE)
			return bad(s, why);
		s->line = end;
		s->lines++;
	}
	if (n > limits->head)
		return bad(s, REFUSE_HEAD_TOO_LARGE);
	if (n - s->line > line_limit(s, limits))
		return bad(s, s->lines == 0 ? REFUSE_TARGET_TOO_LONG : REFUSE_HEAD_TOO_LARGE);
	s->seen = n;
	return HTTP_READ_MORE;
}

/* ---- fields and what they mean ---- */

static enum refuse
read_fields(struct span rest, const struct http_limits *limits, struct arena *a, bool response,
    struct http_head *out)
{
	struct span line;

	out->fields = arena_alloc(a, limits->fields * sizeof *out->fields);
	if (out->fields == NULL)
		return REFUSE_NO_MEMORY;
	for (;;) {
		struct http_field *f = &out->fields[out->n_fields];
		enum refuse why;

		if (!take_line(&rest, &line))
			return REFUSE_BAD_REQUEST;
		if (line.n == 0)
			return rest.n == 0 ? REFUSE_NONE : REFUSE_BAD_REQUEST;
		if (out->n_fields == limits->fields)
			return REFUSE_HEAD_TOO_LARGE;
		why = split_field(line, limits, f);
		if (why != REFUSE_NONE)
			return why;
		out->n_fields++;
		if (f->id == HTTP_FIELD_OTHER)
			continue;
		if (out->field[f->id].p == NULL)
			out->field[f->id] = f->value;
		else if (!(response ? names[f->id].multi_response : names[f->id].multi_request))
			return REFUSE_BAD_REQUEST;
	}
}

/* Content-Length or chunked, never both, never twice, never spelled another way (RFC 9112 section 6). */
static enum refuse
read_framing(struct http_head *h, enum http_framing otherwise)
{
	struct span length = h->field[HTTP_FIELD_CONTENT_LENGTH], coding = h->field[HTTP_FIELD_TRANSFER_ENCODING];

	h->framing = otherwise;
	if (coding.p != NULL) {
		if (length.p != NULL || h->minor == 0 || !span_eq_nocase(coding, SPAN("chunked")))
			return REFUSE_BAD_REQUEST;
		h->framing = HTTP_FRAMING_CHUNKED;
	}
	if (length.p != NULL) {
		if (length.n > 18 || !digits(length))
			return REFUSE_BAD_REQUEST;
		for (size_t i = 0; i < length.n; i++)
			h->length = h->length * 10 + (uint64_t)(length.p[i] - '0');
		h->framing = HTTP_FRAMING_LENGTH;
	}
	return REFUSE_NONE;
}

static struct span
next_token(struct span *list)
{
	const char *comma = list->n == 0 ? NULL : memchr(list->p, ',', list->n);
	size_t n = comma == NULL ? list->n : (size_t)(comma - list->p);
	struct span t = { list->p, n };

	*list = span_skip(*list, comma == NULL ? n : n + 1);
	while (t.n > 0 && (t.p[0] == ' ' || t.p[0] == '\t'))
		t = span_skip(t, 1);
	while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
		t.n--;
	return t;
}

/*
 * Options from a fixed list: a client must not name fields of ours as hop-by-hop, and upstream has no reason to
 * name any that matter, as nothing is passed on unread.
 */
static bool
read_connection(struct http_head *h, bool response)
{
	static const struct span harmless[] = { { "keep-alive", 10 }, { "close", 5 }, { "te", 2 },
		{ "upgrade", 7 }, { "http2-settings", 14 }, { "trailer", 7 } };
	bool close = false, keep = false;

	for (size_t i = 0; i < h->n_fields; i++) {
		struct span list = h->fields[i].value;

		if (h->fields[i].id != HTTP_FIELD_CONNECTION)
			continue;
		do {
			struct span t = next_token(&list);
			bool known = response;

			for (size_t k = 0; k < sizeof harmless / sizeof harmless[0]; k++)
				known |= span_eq_nocase(t, harmless[k]);
			if (!known)
				return false;
			close |= span_eq_nocase(t, SPAN("close"));
			keep |= span_eq_nocase(t, SPAN("keep-alive"));
		} while (list.n > 0);
	}
	h->keep_alive = !close && (h->minor == 1 || keep);
	return true;
}

/* uri-host [":" port] (RFC 9110 section 7.2), without what only confuses: user info, lists, empty ports. */
static bool
read_host(struct span value, struct span *host)
{
	struct span s = value, port;
	size_t n = 0;

	if (s.n > 0 && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		n = end == NULL ? 0 : (size_t)(end - s.p) + 1;
		for (size_t i = 1; i + 1 < n; i++)
			if (memchr("0123456789abcdefABCDEF:.", s.p[i], 24) == NULL || s.p[i] == '\0')
				return false;
		if (n < 4)
			return false;
	} else {
		while (n < s.n && (class_of[(unsigned char)s.p[n]] & HOSTNAME))
			n++;
	}
	if (n == 0 || n > 255)
		return false;
	*host = (struct span){ s.p, n };
	port = span_skip(s, n);
	if (port.n == 0)
		return true;
	if (port.p[0] != ':' || port.n > 6 || !digits(span_skip(port, 1)))
		return false;
	n = 0;
	for (size_t i = 1; i < port.n; i++)
		n = n * 10 + (size_t)(port.p[i] - '0');
	return n > 0 && n <= 65535;
}

/* One scheme, one token68: two credentials in one value are somebody's trick (RFC 9110 section 11.4). */
static bool
authorization_valid(struct span v)
{
	const char *sp = v.n == 0 ? NULL : memchr(v.p, ' ', v.n);
	struct span scheme, rest;

	if (sp == NULL)
		return false;
	scheme = (struct span){ v.p, (size_t)(sp - v.p) };
	rest = span_skip(v, scheme.n + 1);
	return scheme.n > 0 && all(scheme, TOKEN) && rest.n > 0 && all(rest, TOKEN68);
}

enum refuse
http_request_parse(struct span head, const struct http_limits *limits, struct arena *a, struct http_head *out)
{
	struct span line;
	enum refuse why;

	*out = (struct http_head){ 0 };
	if (head.n > limits->head)
		return REFUSE_HEAD_TOO_LARGE;
	if (span_starts(head, SPAN("\r\n")))
		head = span_skip(head, 2);
	if (!take_line(&head, &line))
		return REFUSE_BAD_REQUEST;
	why = read_request_line(line, limits, out);
	if (why == REFUSE_NONE)
		why = read_fields(head, limits, a, false, out);
	if (why == REFUSE_NONE)
		why = read_framing(out, HTTP_FRAMING_NONE);
	if (why != REFUSE_NONE)
		return why;
	if (!read_host(out->field[HTTP_FIELD_HOST], &out->host) || !read_connection(out, false))
		return REFUSE_BAD_REQUEST;
	if (out->field[HTTP_FIELD_AUTHORIZATION].p != NULL &&
	    !authorization_valid(out->field[HTTP_FIELD_AUTHORIZATION]))
		return REFUSE_BAD_REQUEST;
	if (out->field[HTTP_FIELD_EXPECT].p != NULL && out->minor == 1) {
		if (!span_eq_nocase(out->field[HTTP_FIELD_EXPECT], SPAN("100-continue")))
			return REFUSE_BAD_EXPECT;
		out->expect_continue = true;
	}
	return REFUSE_NONE;
}

enum refuse
http_response_parse(struct span head, const struct http_limits *limits, struct arena *a, enum http_method request,
    struct http_head *out)
{
	struct span line;
	enum refuse why;

	*out = (struct http_head){ 0 };
	if (head.n > limits->head)
		return REFUSE_HEAD_TOO_LARGE;
	if (!take_line(&head, &line))
		return REFUSE_BAD_REQUEST;
	why = read_status_line(line, out);
	if (why == REFUSE_NONE)
		why = read_fields(head, limits, a, true, out);
	if (why == REFUSE_NONE)
		why = read_framing(out, HTTP_FRAMING_UNTIL_CLOSE);
	if (why != REFUSE_NONE)
		return why;
	if (!read_connection(out, true))
		return REFUSE_BAD_REQUEST;
	if (request == HTTP_HEAD || out->status < 200 || out->status == 204 || out->status == 304)
		out->framing = HTTP_FRAMING_NONE;
	return REFUSE_NONE;
}

/* ---- names ---- */

struct span
http_method_name(enum http_method m)
{
	return methods[(size_t)m < N_METHODS ? m : HTTP_METHOD_NONE];
}

struct span
http_field_name(enum http_field_id id)
{
	return id < HTTP_FIELD_MAX ? (struct span){ names[id].written, names[id].wire.n } : SPAN_NONE;
}

const char *
http_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} rows[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
		{ 206, "Partial Content" }, { 301, "Moved Permanently" }, { 302, "Found" },
		{ 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" }, { 409, "Conflict" }, { 410, "Gone" }, { 412, "Precondition Failed" },
		{ 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" }, { 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
		{ 500, "Internal Server Error" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].status == status)
			return rows[i].reason;
	return "";
}
