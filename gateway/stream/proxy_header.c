/*
 * proxy_header.c - the PROXY protocol, versions 1 and 2.
 * Invariant: DONE only when every byte up to `length` is there and was looked at or skipped by its own length field.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/stream/proxy_header.h"

#include <arpa/inet.h>

#define V1_MAX		107u	/* section 2.1: the longest line, CRLF included */
#define V2_FIXED	16u
#define WORDS_MAX	6u	/* PROXY TCP6 source destination port port */

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- version 1: one line of text ---- */

/* A port without sign, leading zero or anything behind it (section 2.1). */
static bool
port_parse(struct span s, in_port_t *port)
{
	unsigned n = 0;

	if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.p[i] - '0');
	}
	if (n > 65535)
		return false;
	*port = htons((in_port_t)n);
	return true;
}

static bool
address_read(int family, struct span s, void *out)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, out) == 1;
}

/* Words between single spaces; 0 when there are too many or an empty one. */
static size_t
split(struct span line, struct span words[static WORDS_MAX])
{
	size_t n = 0, from = 0;

	for (size_t i = 0; i <= line.n; i++) {
		if (i < line.n && line.p[i] != ' ')
			continue;
		if (i == from || n == WORDS_MAX)
			return 0;
		words[n++] = (struct span){ line.p + from, i - from };
		from = i + 1;
	}
	return n;
}

static bool
v1_addresses(const struct span words[static WORDS_MAX], struct proxy_header *out)
{
	struct in6_addr destination;
	in_port_t destination_port;

	if (!port_parse(words[5], &destination_port))
		return false;
	if (span_eq(words[1], SPAN("TCP4"))) {
		out->source.v4.sin_family = AF_INET;
		return address_read(AF_INET, words[2], &out->source.v4.sin_addr) &&
		    address_read(AF_INET, words[3], &destination) && port_parse(words[4], &out->source.v4.sin_port);
	}
	out->source.v6.sin6_family = AF_INET6;
	return span_eq(words[1], SPAN("TCP6")) && address_read(AF_INET6, words[2], &out->source.v6.sin6_addr) &&
	    address_read(AF_INET6, words[3], &destination) && port_parse(words[4], &out->source.v6.sin6_port);
}

static enum proxy_read
read_v1(struct span in, struct proxy_header *out)
{
	size_t known = in.n < V1_MAX ? in.n : V1_MAX;
	const char *end = memchr(in.p, '\n', known);
	struct span words[WORDS_MAX], line;
	size_t n;

	if (end == NULL)
		return known == V1_MAX ? PROXY_BAD : PROXY_MORE;
	out->length = (size_t)(end - in.p) + 1;
	if (out->length < 2 || end[-1] != '\r')
		return PROXY_BAD;
	line = (struct span){ in.p, out->length - 2 };
	/* what follows UNKNOWN is to be ignored up to the end of the line */
	if (span_eq(line, SPAN("PROXY UNKNOWN")) || span_starts(line, SPAN("PROXY UNKNOWN "))) {
		out->local = true;
		return PROXY_DONE;
	}
	n = split(line, words);
	return n == WORDS_MAX && v1_addresses(words, out) ? PROXY_DONE : PROXY_BAD;
}

/* ---- version 2: binary ---- */

/* Source address and port behind the fixed part (section 2.2). */
static enum proxy_read
v2_addresses(const char *p, unsigned char family, size_t n, struct proxy_header *out)
{
	switch (family) {
	case 0x11:	/* TCP over IPv4: source, destination, source port, destination port */
		if (n < 12)
			return PROXY_BAD;
		out->source.v4.sin_family = AF_INET;
		memcpy(&out->source.v4.sin_addr, p, 4);
		memcpy(&out->source.v4.sin_port, p + 8, 2);
		return PROXY_DONE;
	case 0x21:	/* TCP over IPv6 */
		if (n < 36)
			return PROXY_BAD;
		out->source.v6.sin6_family = AF_INET6;
		memcpy(&out->source.v6.sin6_addr, p, 16);
		memcpy(&out->source.v6.sin6_port, p + 32, 2);
		return PROXY_DONE;
	case 0x00:	/* UNSPEC */
		out->local = true;
		return PROXY_DONE;
	default:	/* datagrams, AF_UNIX: nobody who could be here */
		return PROXY_BAD;
	}
}

static enum proxy_read
read_v2(struct span in, struct proxy_header *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n;

	if (in.n > 12 && p[12] != 0x20 && p[12] != 0x21)
		return PROXY_BAD;
	if (in.n < V2_FIXED)
		return PROXY_MORE;
	n = (size_t)p[14] << 8 | p[15];
	if (V2_FIXED + n > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (in.n < V2_FIXED + n)
		return PROXY_MORE;
	out->length = V2_FIXED + n;
	if (p[12] == 0x20) {	/* LOCAL: the proxy itself, for a health check; its address block is not looked at */
		out->local = true;
		return PROXY_DONE;
	}
	return v2_addresses(in.p + V2_FIXED, p[13], n, out);
}

enum proxy_read
proxy_header_read(struct span in, struct proxy_header *out)
{
	static const char v1[6] = "PROXY ";
	size_t n1 = in.n < sizeof v1 ? in.n : sizeof v1;
	size_t n2 = in.n < sizeof v2_signature ? in.n : sizeof v2_signature;

	memset(out, 0, sizeof *out);
	if (in.n == 0)
		return PROXY_MORE;
	if (memcmp(in.p, v1, n1) == 0)
		return n1 < sizeof v1 ? PROXY_MORE : read_v1(in, out);
	if (memcmp(in.p, v2_signature, n2) == 0)
		return n2 < sizeof v2_signature ? PROXY_MORE : read_v2(in, out);
	return PROXY_BAD;
}
