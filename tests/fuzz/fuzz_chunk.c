/*
 * fuzz_chunk.c - any bytes as a chunked body: cut anywhere, the same payload and the same end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	enum http_body_state state;
	size_t used, payload;
	uint32_t sum;
};

static bool
feed(struct http_body *b, struct span in, struct result *r)
{
	size_t at = 0;

	for (;;) {
		struct span payload = SPAN_NONE;
		size_t used = 0;

		r->state = http_body_read(b, span_skip(in, at), &used, &payload);
		if (used > in.n - at)
			abort();
		at += used;
		r->used += used;
		if (r->state != HTTP_BODY_DATA)
			return r->state == HTTP_BODY_MORE;
		if (payload.n == 0 || payload.p < in.p || payload.p + payload.n > in.p + at)
			abort();
		for (size_t i = 0; i < payload.n; i++)
			r->sum = r->sum * 31 + (unsigned char)payload.p[i];
		r->payload += payload.n;
	}
}

static struct result
read_cut(struct span in, size_t step)
{
	struct result r = { .state = HTTP_BODY_MORE };
	struct http_body b;

	http_body_init(&b, HTTP_FRAMING_CHUNKED, 0);
	for (size_t at = 0; at < in.n; at += step) {
		size_t n = in.n - at < step ? in.n - at : step;

		if (!feed(&b, (struct span){ in.p + at, n }, &r))
			break;
	}
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct result whole = read_cut(in, size + 1);

	for (size_t step = 1; step < size && step < 40; step += 6) {
		struct result r = read_cut(in, step);

		if (r.state != whole.state || r.payload != whole.payload || r.sum != whole.sum ||
		    (r.state == HTTP_BODY_END && r.used != whole.used))
			abort();
	}
	return 0;
}
