/*
 * fuzz_head.c - any bytes as a head. In one piece or cut, the reader says the same; what it accepts, written again,
 * reads the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/http/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_read
scan(const char *text, size_t n, size_t cut, bool response, struct http_scan *s)
{
	enum http_read got = HTTP_READ_MORE;

	*s = (struct http_scan){ .response = response };
	if (cut > 0)
		got = http_scan(s, text, cut, &http_limits_default);
	return got == HTTP_READ_MORE ? http_scan(s, text, n, &http_limits_default) : got;
}

static void
check_rewritten(const struct http_head *h, struct arena *a)
{
	size_t size = 1 << 17;
	char *buf = arena_alloc(a, size);
	struct http_writer w;
	struct http_head again;
	struct http_scan s;
	struct span out;

	if (buf == NULL)
		return;
	http_writer_init(&w, buf, size);
	http_write_request_line(&w, h->method, h->target);
	for (size_t i = 0; i < h->n_fields; i++)
		http_write_field(&w, h->fields[i].name, h->fields[i].value);
	out = http_write_end(&w);
	/* white space around a value goes, the rest stays: it cannot have grown past a limit by more than its spaces */
	if (out.p == NULL)
		abort();
	if (scan(out.p, out.n, 0, false, &s) != HTTP_READ_DONE) {
		if (out.n <= http_limits_default.head)
			abort();
		return;
	}
	if (http_request_parse(out, &http_limits_default, a, &again) != REFUSE_NONE)
		abort();
	if (again.method != h->method || again.framing != h->framing || again.length != h->length ||
	    again.n_fields != h->n_fields || !span_eq(again.target, h->target) || !span_eq(again.host, h->host))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool response = size > 0 && data[0] == '<';
	const char *text = (const char *)data + 1;
	struct http_scan whole, cut;
	struct http_head h = { 0 };
	struct arena *a;
	enum http_read got;
	enum refuse why;

	if (size < 3)
		return 0;
	size--;
	got = scan(text, size, 0, response, &whole);
	for (size_t at = 1; at < size; at += 1 + size / 16)
		if (scan(text, size, at, response, &cut) != got || cut.length != whole.length || cut.why != whole.why)
			abort();
	if (got != HTTP_READ_DONE)
		return 0;
	a = arena_new(1 << 20);
	if (a == NULL)
		return 0;
	if (response)
		why = http_response_parse((struct span){ text, whole.length }, &http_limits_default, a, HTTP_GET, &h);
	else
		why = http_request_parse((struct span){ text, whole.length }, &http_limits_default, a, &h);
	if (why == REFUSE_NONE && !response && h.minor == 1)	/* in 1.0 Expect means nothing, and we write 1.1 */
		check_rewritten(&h, a);
	arena_free(a);
	return 0;
}
