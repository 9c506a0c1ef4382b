/*
 * body.c - where a body ends, and what of the bytes is payload.
 * Invariant: a chunked body is read by RFC 9112 section 7.1 to the letter: CRLF only, hex digits only, no bare LF.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/http/body.h"

#include "gateway/http/chars.h"

#define OVERHEAD_MAX 4096u /* bytes of chunk heads beyond their size, and of trailers, between two payloads */
#define SIZE_DIGITS  15u /* of a chunk size: below 2^60, no overflow anywhere */

/* Only PHASE_DATA hands out bytes; the rest is chunk syntax, a byte at a time. */
enum phase {
	PHASE_SIZE = 0, /* hex digits of a chunk size */
	PHASE_EXTENSION, /* after ';' */
	PHASE_QUOTED, /* within a quoted extension value */
	PHASE_ESCAPED, /* after '\' within it */
	PHASE_SIZE_LF, /* the LF of the chunk head */
	PHASE_DATA,
	PHASE_DATA_CR, /* the CRLF after the chunk's payload */
	PHASE_DATA_LF,
	PHASE_TRAILER, /* first byte of a trailer line, or the CR of the last one */
	PHASE_TRAILER_NAME,
	PHASE_TRAILER_VALUE,
	PHASE_TRAILER_LF,
	PHASE_LAST_LF,
	PHASE_END,
	PHASE_BAD,
};

void
http_body_init(struct http_body *b, enum http_framing framing, uint64_t length)
{
	*b = (struct http_body){
		.framing = framing,
		.left = framing == HTTP_FRAMING_LENGTH ? length : 0,
		.phase = framing == HTTP_FRAMING_CHUNKED ? PHASE_SIZE : PHASE_DATA,
	};
}

bool
http_body_done(const struct http_body *b)
{
	switch (b->framing) {
	case HTTP_FRAMING_NONE:
		return true;
	case HTTP_FRAMING_LENGTH:
		return b->left == 0;
	case HTTP_FRAMING_CHUNKED:
		return b->phase == PHASE_END;
	case HTTP_FRAMING_UNTIL_CLOSE:
		return false;
	}
	return false;
}

bool
http_body_eof(const struct http_body *b)
{
	return b->framing == HTTP_FRAMING_UNTIL_CLOSE || http_body_done(b);
}

static enum phase
size_byte(struct http_body *b, char c)
{
	int v = http_hex_value(c);

	if (v >= 0) {
		if (++b->digits > SIZE_DIGITS)
			return PHASE_BAD;
		b->left = b->left << 4 | (unsigned)v;
		return PHASE_SIZE;
	}
	if (b->digits == 0)
		return PHASE_BAD;
	return c == '\r' ? PHASE_SIZE_LF : c == ';' ? PHASE_EXTENSION
						    : PHASE_BAD;
}

/* Extensions are dropped; here they may only not hide a line end: token bytes, '=', ';' and quoted strings. */
static enum phase
extension_byte(enum phase now, char c)
{
	if (now == PHASE_ESCAPED)
		return http_is_value_char(c) ? PHASE_QUOTED : PHASE_BAD;
	if (now == PHASE_QUOTED) {
		if (c == '"')
			return PHASE_EXTENSION;
		if (c == '\\')
			return PHASE_ESCAPED;
		return http_is_value_char(c) ? PHASE_QUOTED : PHASE_BAD;
	}
	if (c == '\r')
		return PHASE_SIZE_LF;
	if (c == '"')
		return PHASE_QUOTED;
	return http_is_token_char(c) || c == '=' || c == ';' ? PHASE_EXTENSION : PHASE_BAD;
}

/* Trailers are dropped too. A line that starts with white space is an obsolete fold: refused. */
static enum phase
trailer_byte(enum phase now, char c)
{
	switch (now) {
	case PHASE_TRAILER:
		return c == '\r' ? PHASE_LAST_LF : http_is_token_char(c) ? PHASE_TRAILER_NAME
									 : PHASE_BAD;
	case PHASE_TRAILER_NAME:
		return c == ':' ? PHASE_TRAILER_VALUE : http_is_token_char(c) ? PHASE_TRAILER_NAME
									      : PHASE_BAD;
	case PHASE_TRAILER_VALUE:
		return c == '\r' ? PHASE_TRAILER_LF : http_is_value_char(c) ? PHASE_TRAILER_VALUE
									    : PHASE_BAD;
	case PHASE_TRAILER_LF:
		return c == '\n' ? PHASE_TRAILER : PHASE_BAD;
	case PHASE_LAST_LF:
		return c == '\n' ? PHASE_END : PHASE_BAD;
	case PHASE_SIZE:
	case PHASE_EXTENSION:
	case PHASE_QUOTED:
	case PHASE_ESCAPED:
	case PHASE_SIZE_LF:
	case PHASE_DATA:
	case PHASE_DATA_CR:
	case PHASE_DATA_LF:
	case PHASE_END:
	case PHASE_BAD:
		break;
	}
	return PHASE_BAD;
}

/* One byte of chunk syntax: the phase after it. */
static enum phase
syntax_byte(struct http_body *b, char c)
{
	enum phase now = (enum phase)b->phase;

	switch (now) {
	case PHASE_SIZE:
		return size_byte(b, c);
	case PHASE_EXTENSION:
	case PHASE_QUOTED:
	case PHASE_ESCAPED:
		return ++b->overhead > OVERHEAD_MAX ? PHASE_BAD : extension_byte(now, c);
	case PHASE_SIZE_LF:
		b->digits = 0;
		return c != '\n' ? PHASE_BAD : b->left > 0 ? PHASE_DATA
							   : PHASE_TRAILER;
	case PHASE_DATA_CR:
		return c == '\r' ? PHASE_DATA_LF : PHASE_BAD;
	case PHASE_DATA_LF:
		return c == '\n' ? PHASE_SIZE : PHASE_BAD;
	case PHASE_TRAILER:
	case PHASE_TRAILER_NAME:
	case PHASE_TRAILER_VALUE:
	case PHASE_TRAILER_LF:
	case PHASE_LAST_LF:
		return ++b->overhead > OVERHEAD_MAX ? PHASE_BAD : trailer_byte(now, c);
	case PHASE_DATA:
	case PHASE_END:
	case PHASE_BAD:
		break;
	}
	return PHASE_BAD;
}

/* As much of `in` as belongs to what is left. */
static enum http_body_state
take(struct http_body *b, struct span in, size_t *used, struct span *payload)
{
	size_t n = in.n - *used;

	if (b->framing != HTTP_FRAMING_UNTIL_CLOSE) {
		if (n > b->left)
			n = (size_t)b->left;
		b->left -= n;
	}
	*payload = (struct span){ in.p + *used, n };
	*used += n;
	return HTTP_BODY_DATA;
}

enum http_body_state
http_body_read(struct http_body *b, struct span in, size_t *used, struct span *payload)
{
	*used = 0;
	*payload = SPAN_NONE;
	if (http_body_done(b))
		return HTTP_BODY_END;
	while (*used < in.n) {
		if (b->phase == PHASE_BAD)
			return HTTP_BODY_BAD;
		if (b->phase == PHASE_DATA) {
			enum http_body_state s = take(b, in, used, payload);

			if (b->framing == HTTP_FRAMING_CHUNKED && b->left == 0)
				b->phase = PHASE_DATA_CR;
			return s;
		}
		b->phase = syntax_byte(b, in.p[*used]);
		if (b->phase == PHASE_BAD)
			return HTTP_BODY_BAD;
		++*used;
		if (b->phase == PHASE_END)
			return HTTP_BODY_END;
	}
	return b->phase == PHASE_BAD ? HTTP_BODY_BAD : HTTP_BODY_MORE;
}

size_t
http_chunk_head(char out[static HTTP_CHUNK_HEAD_MAX], size_t n)
{
	char digits[16];
	size_t k = 0, len = 0;

	do {
		digits[k++] = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n > 0);
	while (k > 0)
		out[len++] = digits[--k];
	out[len++] = '\r';
	out[len++] = '\n';
	return len;
}
