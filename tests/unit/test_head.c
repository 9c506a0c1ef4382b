/*
 * test_head.c - heads of requests and responses: tests/unit/heads.txt in one piece and byte by byte, and the corpus.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>

#include "gateway/http/write.h"
#include "gateway/refuse.h"
#include "gateway/registry/route.h"
#include "tests/unit/check.h"

#define HEAD_MAX 65536

/* ---- reading a head whole, and in two pieces ---- */

static enum refuse
scan(const char *text, size_t n, size_t cut, bool response, size_t *length)
{
	struct http_scan s = { .response = response };
	enum http_read got = cut > 0 ? http_scan(&s, text, cut, &http_limits_default) : HTTP_READ_MORE;

	if (got == HTTP_READ_MORE)
		got = http_scan(&s, text, n, &http_limits_default);
	*length = s.length;
	/* a reader that waits for ever is a reader that refuses; the timers end it */
	return got == HTTP_READ_DONE ? REFUSE_NONE : got == HTTP_READ_MORE ? REFUSE_REQUEST_TIMEOUT : s.why;
}

static enum refuse
read_head(const char *text, size_t n, size_t cut, bool response, struct arena *a, struct http_head *out)
{
	size_t length;
	enum refuse why = scan(text, n, cut, response, &length);

	*out = (struct http_head){ 0 };
	if (why != REFUSE_NONE)
		return why;
	if (response)
		return http_response_parse((struct span){ text, length }, &http_limits_default, a, HTTP_GET, out);
	return http_request_parse((struct span){ text, length }, &http_limits_default, a, out);
}

static bool
same(const struct http_head *a, const struct http_head *b)
{
	return a->method == b->method && a->status == b->status && a->minor == b->minor && a->n_fields == b->n_fields &&
	    a->framing == b->framing && a->length == b->length && a->keep_alive == b->keep_alive &&
	    a->expect_continue == b->expect_continue && span_eq(a->target, b->target) && span_eq(a->host, b->host);
}

/* The answer does not depend on how the bytes came in. Returns it. */
static enum refuse
check_splits(const char *text, size_t n, bool response, struct http_head *out, struct arena *a, const char *name)
{
	enum refuse whole = read_head(text, n, 0, response, a, out);
	size_t wrong = 0;

	for (size_t cut = 1; cut < n; cut++) {
		struct arena *b = arena_new(1 << 20);
		struct http_head h;
		enum refuse why = read_head(text, n, cut, response, b, &h);

		wrong += why != whole || (why == REFUSE_NONE && !same(&h, out));
		arena_free(b);
	}
	CHECK_ROW(wrong == 0, name);
	return whole;
}

/* An accepted request, written again field by field, reads the same. */
static void
check_rewritten(const struct http_head *h, const char *name)
{
	static char buf[HEAD_MAX * 2];
	struct arena *a = arena_new(1 << 20);
	struct http_writer w;
	struct http_head again;
	struct span out;

	http_writer_init(&w, buf, sizeof buf);
	http_write_request_line(&w, h->method, h->target);
	for (size_t i = 0; i < h->n_fields; i++)
		http_write_field(&w, h->fields[i].name, h->fields[i].value);
	out = http_write_end(&w);
	if (CHECK_ROW(out.p != NULL && read_head(out.p, out.n, 0, false, a, &again) == REFUSE_NONE, name)) {
		again.minor = h->minor;	/* we always write 1.1 */
		again.keep_alive = h->keep_alive;
		again.expect_continue = h->expect_continue;	/* 1.0 has none */
		CHECK_ROW(same(h, &again), name);
	}
	arena_free(a);
}

/* ---- heads.txt ---- */

/* \r \n \t \0 \xHH, ^N for N letters a; REQ and RES for the start of a good head. */
static size_t
expand(const char *in, char *out)
{
	static const char req[] = "GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n", res[] = "HTTP/1.1 200 OK\r\n";
	char *start = out, *end;

	for (; *in != '\0' && *in != '\n'; in++) {
		if (strncmp(in, "REQ", 3) == 0) {
			out = mempcpy(out, req, sizeof req - 1);
			in += 2;
		} else if (strncmp(in, "RES", 3) == 0) {
			out = mempcpy(out, res, sizeof res - 1);
			in += 2;
		} else if (*in == '^' && in[1] >= '0' && in[1] <= '9') {
			size_t n = strtoul(in + 1, &end, 10);

			memset(out, 'a', n);
			out += n;
			in = end - 1;
		} else if (*in == '\\' && in[1] == 'x') {
			char hex[3] = { in[2], in[3], '\0' };

			*out++ = (char)strtoul(hex, NULL, 16);
			in += 3;
		} else if (*in == '\\') {
			in++;
			*out++ = *in == 'r' ? '\r' : *in == 'n' ? '\n' : *in == 't' ? '\t' : *in == '0' ? '\0' : *in;
		} else {
			*out++ = *in;
		}
	}
	return (size_t)(out - start);
}

static void
describe(enum refuse why, const struct http_head *h, bool response, char *out, size_t size)
{
	static const char *const framings[] = { "none", "length", "chunked", "until-close" };
	int n;

	if (why != REFUSE_NONE) {
		snprintf(out, size, "%s", refusal_of(why)->symbol);
		return;
	}
	if (response)
		n = snprintf(out, size, "%u", h->status);
	else
		n = snprintf(out, size, "%.*s %.*s", SPAN_FMT(http_method_name(h->method)), SPAN_FMT(h->host));
	snprintf(out + n, size - (size_t)n, " %s %llu%s%s%s", framings[h->framing], (unsigned long long)h->length,
	    h->keep_alive ? " keep" : " close", h->expect_continue ? " expect" : "", h->minor == 0 ? " 1.0" : "");
}

static void
one(char *line, bool print)
{
	static char text[HEAD_MAX * 4], got[1024];
	bool response = strncmp(line, "<\t", 2) == 0;
	char *tab = strchr(line + 2, '\t'), *eol = strchr(line, '\n');
	struct arena *a = arena_new(1 << 20);
	struct http_head h;
	enum refuse why;
	size_t n;

	if (eol != NULL)
		*eol = '\0';
	if (tab != NULL)
		*tab = '\0';
	n = expand(line + 2, text);
	why = n < 4096 ? check_splits(text, n, response, &h, a, line) : read_head(text, n, 0, response, a, &h);
	describe(why, &h, response, got, sizeof got);
	if (print)
		printf("%s\t%s\n", line, got);
	else if (!CHECK_ROW(tab != NULL && strcmp(got, tab + 1) == 0, line))
		fprintf(stderr, "    got  %s\n    want %s\n", got, tab == NULL ? "" : tab + 1);
	if (why == REFUSE_NONE && !response)
		check_rewritten(&h, line);
	arena_free(a);
}

static void
test_file(bool print)
{
	static char line[1 << 16];
	FILE *f = fopen("tests/unit/heads.txt", "r");
	size_t n = 0;

	CHECK(f != NULL);
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (line[0] == '#' || line[0] == '\n') {
			if (print)
				fputs(line, stdout);
			continue;
		}
		one(line, print);
		n++;
	}
	if (f != NULL)
		fclose(f);
	CHECK(n > 120);
}

/* ---- the corpus: split at every byte; and refused here when nothing may reach upstream because of its head ---- */

static bool
expects_status(const json_t *c, unsigned status)
{
	const json_t *list = json_object_get(json_object_get(c, "expect"), "status"), *v;
	size_t i;

	json_array_foreach (list, i, v)
		if (json_integer_value(v) == (json_int_t)status)
			return true;
	return false;
}

static void
corpus_case(const json_t *c, const char *raw, size_t n, size_t *heads, size_t *refused)
{
	const char *id = json_string_value(json_object_get(c, "id"));
	const char *audit = json_string_value(json_object_get(json_object_get(c, "expect"), "audit"));
	struct arena *a = arena_new(1 << 20);
	struct http_head h;
	struct route r;
	enum refuse why;
	size_t length;

	if (scan(raw, n, 0, false, &length) == REFUSE_NONE)
		n = length;
	if (n > 2048) {
		arena_free(a);
		return;
	}
	++*heads;
	why = check_splits(raw, n, false, &h, a, id);
	if (why == REFUSE_NONE)
		why = route_resolve(h.method, h.target, &route_limits_default, a, &r);
	if (why != REFUSE_NONE && why != REFUSE_REQUEST_TIMEOUT) {
		++*refused;
		if (audit != NULL)	/* what is to be allowed is not refused by its form */
			CHECK_ROW(strcmp(audit, "allow") != 0, id);
		if (audit != NULL && strcmp(audit, "reject.protocol") == 0 && !expects_status(c, refusal_of(why)->status))
			CHECK_ROW(refusal_of(why)->status < 500, id);
	}
	arena_free(a);
}

static void
test_corpus(void)
{
	static char raw[4 << 20];
	size_t heads = 0, refused = 0;
	glob_t files;

	CHECK(glob("tests/corpus/cases/*.json", 0, NULL, &files) == 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		json_t *c = json_load_file(files.gl_pathv[i], 0, NULL);
		const char *name = json_string_value(json_object_get(c, "raw"));
		char path[512];
		FILE *f;

		snprintf(path, sizeof path, "tests/corpus/cases/%s", name == NULL ? "" : name);
		f = name == NULL ? NULL : fopen(path, "r");
		if (f != NULL) {
			corpus_case(c, raw, fread(raw, 1, sizeof raw, f), &heads, &refused);
			fclose(f);
		}
		json_decref(c);
	}
	globfree(&files);
	CHECK(heads > 200 && refused > 120);
	printf("note: %zu heads of the corpus split at every byte, %zu refused by their form\n", heads, refused);
}

/* ---- the parser alone: it does not rely on a scan before it ---- */

static void
parse(const char *name, const char *text, bool response, enum refuse want)
{
	struct arena *a = arena_new(1 << 20);
	struct http_head h;
	struct span head = span_of(text);
	enum refuse why = response ? http_response_parse(head, &http_limits_default, a, HTTP_GET, &h) :
	    http_request_parse(head, &http_limits_default, a, &h);

	CHECK_ROW(why == want, name);
	arena_free(a);
}

static void
test_parser(void)
{
	static char large[HEAD_MAX], many[HEAD_MAX];
	size_t n;

	n = (size_t)snprintf(large, sizeof large, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	memset(large + n, 'a', http_limits_default.head);
	parse("head too large", large, false, REFUSE_HEAD_TOO_LARGE);
	parse("answer too large", large, true, REFUSE_HEAD_TOO_LARGE);
	n = (size_t)snprintf(many, sizeof many, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; i < http_limits_default.fields; i++)
		n += (size_t)snprintf(many + n, sizeof many - n, "X%u: a\r\n", i);
	snprintf(many + n, sizeof many - n, "\r\n");
	parse("too many fields", many, false, REFUSE_HEAD_TOO_LARGE);
	parse("no line", "GET / HTTP/1.1", false, REFUSE_BAD_REQUEST);
	parse("no status line", "HTTP/1.1 200 OK", true, REFUSE_BAD_REQUEST);
	parse("no end", "GET / HTTP/1.1\r\nHost: a\r\n", false, REFUSE_BAD_REQUEST);
	parse("half a line", "GET / HTTP/1.1\r\nHost: a\r\nX: b", false, REFUSE_BAD_REQUEST);
	parse("bytes behind the end", "GET / HTTP/1.1\r\nHost: a\r\n\r\nX", false, REFUSE_BAD_REQUEST);
	parse("no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", false, REFUSE_BAD_REQUEST);
	parse("empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false, REFUSE_NONE);
	parse("empty line before an answer", "\r\nHTTP/1.1 200 OK\r\n\r\n", true, REFUSE_BAD_REQUEST);
	parse("connection of an answer: read, not obeyed", "HTTP/1.1 200 OK\r\nConnection: @\r\n\r\n", true, REFUSE_NONE);
}

/* With less and less memory: read whole, or refused as that. */
static void
test_starved(void)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n";
	bool read_once = false;

	for (size_t limit = 0; limit < 16384; limit += 256) {
		struct arena *a = arena_new(limit);
		struct http_head h;
		enum refuse why = http_request_parse(SPAN(head), &http_limits_default, a, &h);

		CHECK(why == REFUSE_NONE || (why == REFUSE_NO_MEMORY && !read_once));
		read_once |= why == REFUSE_NONE;
		arena_free(a);
	}
	CHECK(read_once);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		test_file(true);
		return 0;
	}
	test_file(false);
	test_corpus();
	test_parser();
	test_starved();
	return check_done();
}
