/*
 * write.c - heads from structure.
 * Invariant: no CR or LF leaves here but those written by this file, whatever a value holds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/http/write.h"

#include "gateway/http/chars.h"

void
http_writer_init(struct http_writer *w, char *buf, size_t size)
{
	*w = (struct http_writer){ .p = buf, .size = size };
}

static void
put(struct http_writer *w, struct span s)
{
	if (w->failed || s.n > w->size - w->n) {
		w->failed = true;
		return;
	}
	if (s.n > 0)
		memcpy(w->p + w->n, s.p, s.n);
	w->n += s.n;
}

static void
put_number(struct http_writer *w, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	put(w, (struct span){ digits + at, sizeof(digits) - at });
}

void
http_write_request_line(struct http_writer *w, enum http_method m, struct span target)
{
	if (m == HTTP_METHOD_NONE || target.n == 0 || target.p[0] != '/')
		w->failed = true;
	for (size_t i = 0; i < target.n; i++)
		if (target.p[i] <= ' ' || target.p[i] > '~')
			w->failed = true;
	put(w, http_method_name(m));
	put(w, SPAN(" "));
	put(w, target);
	put(w, SPAN(" HTTP/1.1\r\n"));
}

void
http_write_status_line(struct http_writer *w, unsigned status, struct span reason)
{
	size_t n = 0;

	if (status < 100 || status > 599)
		w->failed = true;
	while (n < reason.n && reason.p[n] >= ' ' && reason.p[n] <= '~')
		n++;
	put(w, SPAN("HTTP/1.1 "));
	put_number(w, status);
	put(w, SPAN(" "));
	put(w, (struct span){ reason.p, n });
	put(w, SPAN("\r\n"));
}

void
http_write_field(struct http_writer *w, struct span name, struct span value)
{
	if (name.n == 0)
		w->failed = true;
	for (size_t i = 0; i < name.n; i++)
		w->failed |= !http_is_token_char(name.p[i]);
	for (size_t i = 0; i < value.n; i++)
		w->failed |= !http_is_value_char(value.p[i]);
	put(w, name);
	put(w, SPAN(": "));
	put(w, value);
	put(w, SPAN("\r\n"));
}

void
http_write_field_id(struct http_writer *w, enum http_field_id id, struct span value)
{
	http_write_field(w, http_field_name(id), value);
}

void
http_write_number(struct http_writer *w, enum http_field_id id, uint64_t value)
{
	put(w, http_field_name(id));
	put(w, SPAN(": "));
	put_number(w, value);
	put(w, SPAN("\r\n"));
}

struct span
http_write_end(struct http_writer *w)
{
	put(w, SPAN("\r\n"));
	if (w->failed)
		return SPAN_NONE;
	return (struct span){ w->p, w->n };
}
