/*
 * test_write.c - heads that are written: whole and clean, or not at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/http/write.h"
#include "tests/unit/check.h"

static const char whole[] = "PUT /v2/a/manifests/v1?x=y HTTP/1.1\r\nHost: registry.test\r\nContent-Length: "
			    "18446744073709551615\r\nX-Note: caf\xc3\xa9\ttab\r\nAccept: \r\n\r\n";

static struct span
write_request(char *buf, size_t size)
{
	struct http_writer w;

	http_writer_init(&w, buf, size);
	http_write_request_line(&w, HTTP_PUT, SPAN("/v2/a/manifests/v1?x=y"));
	http_write_field_id(&w, HTTP_FIELD_HOST, SPAN("registry.test"));
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, UINT64_MAX);
	http_write_field(&w, SPAN("X-Note"), SPAN("caf\xc3\xa9\ttab"));
	http_write_field_id(&w, HTTP_FIELD_ACCEPT, SPAN_NONE);
	return http_write_end(&w);
}

/* At every size: the whole head, or nothing, and never a byte too many. */
static void
test_sizes(void)
{
	char buf[sizeof whole + 8];
	unsigned wrong = 0;

	for (size_t size = 0; size < sizeof buf; size++) {
		struct span out;

		memset(buf, '#', sizeof buf);
		out = write_request(buf, size);
		wrong += (out.p != NULL) != (size >= sizeof whole - 1);
		wrong += out.p != NULL && !span_eq(out, SPAN(whole));
		wrong += memchr(buf + size, '#', sizeof buf - size) != buf + size;
	}
	CHECK(wrong == 0);
}

/* A byte that would end a field, or begin another one, fails the head, wherever it stands. */
static void
test_bytes(void)
{
	unsigned wrong = 0;

	for (unsigned b = 0; b < 256; b++) {
		char byte[3] = { 'a', (char)b, 'z' }, buf[256];
		struct span s = { byte, 3 };
		bool value_ok = b == '\t' || (b >= ' ' && b != 0x7f), target_ok = b > ' ' && b <= '~';
		struct http_writer w;

		http_writer_init(&w, buf, sizeof buf);
		http_write_field(&w, SPAN("X"), s);
		wrong += (http_write_end(&w).p != NULL) != value_ok;
		byte[0] = '/';
		http_writer_init(&w, buf, sizeof buf);
		http_write_request_line(&w, HTTP_GET, s);
		wrong += (http_write_end(&w).p != NULL) != target_ok;
	}
	CHECK(wrong == 0);
}

static void
status(unsigned code, struct span reason, const char *want)
{
	char buf[128];
	struct http_writer w;
	struct span out;

	http_writer_init(&w, buf, sizeof buf);
	http_write_status_line(&w, code, reason);
	out = http_write_end(&w);
	CHECK(want == NULL ? out.p == NULL : span_eq(out, span_of(want)));
}

static void
field(struct span name, bool want)
{
	char buf[128];
	struct http_writer w;

	http_writer_init(&w, buf, sizeof buf);
	http_write_field(&w, name, SPAN("v"));
	CHECK((http_write_end(&w).p != NULL) == want);
}

static void
request_line(enum http_method method, struct span target)
{
	char buf[128];
	struct http_writer w;

	http_writer_init(&w, buf, sizeof buf);
	http_write_request_line(&w, method, target);
	CHECK(http_write_end(&w).p == NULL);
}

int
main(void)
{
	test_sizes();
	test_bytes();
	status(200, SPAN("OK"), "HTTP/1.1 200 OK\r\n\r\n");
	status(403, SPAN("denied: \xc3\xa9"), "HTTP/1.1 403 denied: \r\n\r\n");
	status(403, SPAN("denied\r\nSet-Cookie: x"), "HTTP/1.1 403 denied\r\n\r\n");
	status(299, SPAN_NONE, "HTTP/1.1 299 \r\n\r\n");
	status(99, SPAN("x"), NULL);
	status(600, SPAN("x"), NULL);
	field(SPAN("X-Name"), true);
	field(SPAN_NONE, false);
	field(SPAN("X Name"), false);
	field(SPAN("X:"), false);
	field(SPAN("X\r\n"), false);
	request_line(HTTP_METHOD_NONE, SPAN("/"));
	request_line(HTTP_GET, SPAN_NONE);
	request_line(HTTP_GET, SPAN("v2/"));
	CHECK(strcmp(http_reason(404), "Not Found") == 0 && http_reason(299)[0] == '\0');
	return check_done();
}
