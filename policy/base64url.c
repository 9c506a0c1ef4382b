/*
 * base64url.c - see base64url.h.
 * Invariant: decode(encode(x)) is x, and encode(decode(t)) is t whenever decode accepts t.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a character; 64 for none of them. */
static unsigned
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '-' ? 62 : c == '_' ? 63 : 64;
}

bool
base64url_decode(struct span text, unsigned char *out, size_t *n)
{
	uint32_t bits = 0;
	unsigned held = 0;

	*n = 0;
	if (text.n % 4 == 1)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned v = value_of(text.p[i]);

		if (v == 64)
			return false;
		bits = (bits << 6 | v) & 0xffff;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[(*n)++] = (unsigned char)(bits >> held);
		}
	}
	return (bits & ((1u << held) - 1)) == 0;
}

size_t
base64url_encode(const unsigned char *in, size_t n, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
		    (left > 2 ? in[i + 2] : 0);

		for (size_t k = 0; k < (left > 2 ? 4 : left + 1); k++)
			out[len++] = alphabet[v >> (18 - 6 * k) & 63];
	}
	return len;
}
