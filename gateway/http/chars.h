/*
 * chars.h - the byte classes of HTTP (RFC 9110 sections 5.5 and 5.6.2), for the readers and the writer of this folder.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HTTP_CHARS_H
#define TW_HTTP_CHARS_H

#include "policy/span.h"

/* A set of bytes: bit c of the four words. */
static inline bool
char_in(const uint64_t set[static 4], char c)
{
	unsigned char u = (unsigned char)c;

	return (set[u >> 6] >> (u & 63) & 1) != 0;
}

/* tchar: letters, digits and !#$%&'*+-.^_`|~ */
static inline bool
http_is_token_char(char c)
{
	static const uint64_t set[4] = { 0x03ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0 };

	return char_in(set, c);
}

/* What a field value may hold: HTAB, SP, visible ASCII and obs-text; no other control. */
static inline bool
http_is_value_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x20 ? u != 0x7f : u == '\t';
}

static inline bool
http_is_space(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Value of a hex digit of either case; -1 for any other byte. */
static inline int
http_hex_value(char c)
{
	if (http_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
