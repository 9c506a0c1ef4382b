/*
 * test_body.c - bodies: framings and chunk syntax, in one piece and cut everywhere.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/http/body.h"
#include "tests/unit/check.h"

struct result {
	enum http_body_state state;	/* END, BAD or MORE */
	size_t used;
	char payload[4096];
	size_t n;
};

/* Feed in[from..to); false when it is over. */
static bool
feed(struct http_body *b, const char *in, size_t from, size_t to, struct result *r)
{
	while (from <= to) {
		struct span payload = SPAN_NONE;
		size_t used = 0;

		r->state = http_body_read(b, (struct span){ in + from, to - from }, &used, &payload);
		from += used;
		r->used = from;
		if (r->state == HTTP_BODY_DATA) {
			CHECK(payload.n > 0 && r->n + payload.n <= sizeof r->payload);
			memcpy(r->payload + r->n, payload.p, payload.n);
			r->n += payload.n;
			continue;
		}
		return r->state == HTTP_BODY_MORE;
	}
	return true;
}

static struct result
read_cut(enum http_framing framing, uint64_t length, struct span in, size_t cut)
{
	struct result r = { .state = HTTP_BODY_MORE };
	struct http_body b;

	http_body_init(&b, framing, length);
	if (http_body_done(&b)) {
		r.state = HTTP_BODY_END;
		return r;
	}
	if (feed(&b, in.p, 0, cut, &r))
		feed(&b, in.p, cut, in.n, &r);
	CHECK((r.state == HTTP_BODY_END) == http_body_done(&b) || r.state == HTTP_BODY_BAD);
	CHECK(r.state != HTTP_BODY_MORE || http_body_eof(&b) == (framing == HTTP_FRAMING_UNTIL_CLOSE));
	return r;
}

#define E HTTP_BODY_END
#define B HTTP_BODY_BAD
#define M HTTP_BODY_MORE
#define L18 "111111111111111111"

static const struct {
	const char *in;		/* chunked; "|" marks where the message ends and the next begins */
	enum http_body_state want;
	const char *payload;
} rows[] = {
	{ "0\r\n\r\n|", E, "" },
	{ "5\r\nhello\r\n0\r\n\r\n|", E, "hello" },
	{ "5\r\nhello\r\n0\r\n\r\n|GET / HTTP/1.1\r\n", E, "hello" },
	{ "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n|", E, "hello" },
	{ "A\r\n0123456789\r\n0\r\n\r\n|", E, "0123456789" },
	{ "a\r\n0123456789\r\n0\r\n\r\n|", E, "0123456789" },
	{ "00005\r\nhello\r\n00000\r\n\r\n|", E, "hello" },
	{ "5;x\r\nhello\r\n0\r\n\r\n|", E, "hello" },
	{ "5;x=y;z\r\nhello\r\n0;q\r\n\r\n|", E, "hello" },
	{ "5;x=\"y;\\\"z\"\r\nhello\r\n0\r\n\r\n|", E, "hello" },
	{ "0\r\nA: b\r\n\r\n|", E, "" },
	{ "5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nContent-Length: 7\r\n\r\n|rest", E, "hello" },
	{ "5\r\nhel", M, "hel" },
	{ "5\r\nhello", M, "hello" },
	{ "5\r\nhello\r\n", M, "hello" },
	{ "5\r\nhello\r\n0\r\n", M, "hello" },
	{ "5", M, "" },
	/* sizes */
	{ "\r\n", B, "" }, { "x\r\n", B, "" }, { "0x5\r\nhello", B, "" }, { "+5\r\nhello", B, "" }, { "-5\r\nhello", B, "" },
	{ " 5\r\nhello", B, "" }, { "\t5\r\nhello", B, "" }, { "5 \r\nhello", B, "" }, { "5\t\r\nhello", B, "" },
	{ "5g\r\nhello", B, "" }, { "5.0\r\nhello", B, "" }, { "5,5\r\nhello", B, "" }, { ";x\r\nhello", B, "" },
	{ "0000000000000005\r\nhello", B, "" },	/* sixteen digits */
	{ "ffffffffffffffff\r\nhello", B, "" }, { "10000000000000005\r\nhello", B, "" }, { L18 "\r\n", B, "" },
	/* line ends */
	{ "5\nhello\r\n0\r\n\r\n", B, "" }, { "5\rhello", B, "" }, { "5\r\r\nhello", B, "" }, { "5\n\rhello", B, "" },
	{ "5\r\nhello\n0\r\n\r\n", B, "hello" }, { "5\r\nhello\r0\r\n\r\n", B, "hello" }, { "5\r\nhelloX\r\n0\r\n\r\n", B, "hello" },
	{ "5\r\nhello0\r\n\r\n", B, "hello" }, { "4\r\nhello\r\n", B, "hell" }, { "0\n\r\n", B, "" }, { "0\r\n\n", B, "" },
	{ "0\r\n\rX", B, "" }, { "0\r\nX\r\n\r\n", B, "" }, { "0\r\n\r\r\n", B, "" },
	/* extensions and trailers */
	{ "5;x\nhello", B, "" }, { "5;x\rhello", B, "" }, { "5;\x01\r\nhello", B, "" }, { "5;x=\"y\r\nhello", B, "" },
	{ "5;x=\"\ny\"\r\nhello", B, "" }, { "0\r\nA : b\r\n\r\n", B, "" }, { "0\r\n A: b\r\n\r\n", B, "" }, { "0\r\n: b\r\n\r\n", B, "" },
	{ "0\r\nA: b\n\r\n", B, "" }, { "0\r\nA: \x01\r\n\r\n", B, "" }, { "0\r\nA: b\r\n c\r\n\r\n", B, "" }, { "0\r\nA b\r\n\r\n", B, "" },
};

static void
one(size_t i)
{
	char text[512];
	const char *mark = strchr(rows[i].in, '|');
	size_t end = mark == NULL ? SIZE_MAX : (size_t)(mark - rows[i].in), n = 0, wrong = 0;

	for (const char *p = rows[i].in; *p != '\0'; p++)
		if (*p != '|')
			text[n++] = *p;
	for (size_t cut = 0; cut <= n; cut++) {
		struct result r = read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ text, n }, cut);

		wrong += r.state != rows[i].want || (r.state == E && r.used != end) ||
		    !span_eq((struct span){ r.payload, r.n }, span_of(rows[i].payload));
	}
	CHECK_ROW(wrong == 0, rows[i].in);
}

/* A body of one byte more of anything than is allowed. */
static void
test_bounds(void)
{
	static char text[8192];
	size_t n = (size_t)snprintf(text, sizeof text, "5;");

	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ "5\0\r\nhello", 9 }, 0).state == B);
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ "5;\0\r\nhello", 10 }, 0).state == B);
	memset(text + n, 'x', 5000);
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ text, n + 1000 }, 0).state == M);
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ text, n + 5000 }, 0).state == B);
	n = (size_t)snprintf(text, sizeof text, "0\r\n");
	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "A: b\r\n");
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ text, n }, 0).state == B);
	/* many small chunks are fine, each with its extension */
	n = 0;
	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "1\r\nx\r\n");
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, (struct span){ text, n }, 0).n == 1000);
}

static void
test_others(void)
{
	struct result r = read_cut(HTTP_FRAMING_LENGTH, 5, SPAN("hello world"), 3);

	CHECK(r.state == E && r.used == 5 && r.n == 5);
	CHECK(read_cut(HTTP_FRAMING_LENGTH, 5, SPAN("hell"), 2).state == M);
	CHECK(read_cut(HTTP_FRAMING_LENGTH, 0, SPAN("x"), 0).state == E);
	CHECK(read_cut(HTTP_FRAMING_NONE, 7, SPAN("x"), 0).state == E);
	r = read_cut(HTTP_FRAMING_UNTIL_CLOSE, 0, SPAN("hello"), 2);
	CHECK(r.state == M && r.n == 5);
}

/* What we write as chunk heads, we read. */
static void
test_heads(void)
{
	static const size_t sizes[] = { 1, 9, 10, 15, 16, 255, 256, 4095, 65536, (size_t)1 << 40, ((size_t)1 << 59) };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char head[HTTP_CHUNK_HEAD_MAX];
		size_t n = http_chunk_head(head, sizes[i]), used;
		struct span payload;
		struct http_body b;

		http_body_init(&b, HTTP_FRAMING_CHUNKED, 0);
		CHECK(n <= sizeof head && http_body_read(&b, (struct span){ head, n }, &used, &payload) == M && b.left == sizes[i]);
	}
	CHECK(read_cut(HTTP_FRAMING_CHUNKED, 0, HTTP_CHUNK_LAST, 0).state == E);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		one(i);
	test_bounds();
	test_others();
	test_heads();
	return check_done();
}
