/*
 * json_write.c - see json_write.h.
 * Invariant: what is written is printable ASCII and never more than the buffer holds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/json_write.h"

#define PUT(w, lit) json_write_bytes((w), (lit), sizeof(lit) - 1)

void
json_write_bytes(struct json_writer *w, const char *p, size_t n)
{
	if (w->full || n > (size_t)(w->end - w->p)) {
		w->full = true;
		return;
	}
	memcpy(w->p, p, n);
	w->p += n;
}

void
json_write_number(struct json_writer *w, uint64_t v)
{
	char digits[20];
	size_t i = sizeof digits;

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	json_write_bytes(w, digits + i, sizeof digits - i);
}

/* ---- text ---- */

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
put_unit(struct json_writer *w, unsigned u)
{
	static const char hex[] = "0123456789abcdef";
	const char text[6] = { '\\', 'u', hex[u >> 12 & 15], hex[u >> 8 & 15], hex[u >> 4 & 15], hex[u & 15] };

	json_write_bytes(w, text, sizeof text);
}

/* The character at p (n >= 1 bytes, p[0] >= 0x80) and its length; 0xfffd and 1 when it is not UTF-8 (RFC 3629 section 4). */
static uint32_t
decode(const unsigned char *p, size_t n, size_t *length)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t want = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t u = p[0] & (0x7fu >> want);

	*length = 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || want > n)
		return 0xfffd;
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		u = u << 6 | (p[i] & 0x3fu);
	}
	if (u < least[want] || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
		return 0xfffd;
	*length = want;
	return u;
}

static void
put_character(struct json_writer *w, uint32_t u)
{
	if (u == '"')
		PUT(w, "\\\"");
	else if (u == '\\')
		PUT(w, "\\\\");
	else if (u < 0x10000)
		put_unit(w, u);
	else {
		put_unit(w, 0xd800 + ((u - 0x10000) >> 10));
		put_unit(w, 0xdc00 + ((u - 0x10000) & 0x3ff));
	}
}

static void
put_escaped(struct json_writer *w, struct span s, size_t cut)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t end = s.n < cut ? s.n : cut, i = 0, n;

	while (i < end && !w->full) {
		size_t run = i;
		uint32_t u;

		while (i < end && plain(p[i]))
			i++;
		json_write_bytes(w, s.p + run, i - run);
		if (i == end)
			return;
		n = 1;
		/* the whole text is looked at, so that a character across the cut is seen as one, and left out */
		u = p[i] < 0x80 ? p[i] : decode(p + i, s.n - i, &n);
		if (n > end - i)
			return;
		put_character(w, u);
		i += n;
	}
}

void
json_write_text(struct json_writer *w, struct span s, size_t cut)
{
	PUT(w, "\"");
	put_escaped(w, s, cut);
	PUT(w, "\"");
}

bool
json_write_exact(struct span s, size_t cut)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;

	if (s.n > cut)
		return false;
	for (size_t i = 0; i < s.n; i += n) {
		n = 1;
		if (p[i] >= 0x80 && decode(p + i, s.n - i, &n) == 0xfffd && n == 1)
			return false;
	}
	return true;
}

/* ---- structure ---- */

void
json_write_next(struct json_writer *w)
{
	if (w->comma)
		PUT(w, ",");
	w->comma = true;
}

void
json_write_key(struct json_writer *w, const char *key)
{
	json_write_next(w);
	PUT(w, "\"");
	json_write_bytes(w, key, strlen(key));
	PUT(w, "\":");
}

void
json_write_open(struct json_writer *w, char bracket)
{
	json_write_bytes(w, &bracket, 1);
	w->comma = false;
}

void
json_write_close(struct json_writer *w, char bracket)
{
	json_write_bytes(w, &bracket, 1);
	w->comma = true;
}
