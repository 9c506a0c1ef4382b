/*
 * address.c - IP addresses and networks.
 * Invariant: two texts of one address compare equal; ::ffff:a.b.c.d is a.b.c.d.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/address.h"

#include <arpa/inet.h>
#include <stdio.h>

bool
address_parse(struct span s, struct network *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN];

	*out = (struct network){ .bits = 128 };
	if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, out->address) == 1) {
		out->v4 = true;
		out->bits = 32;
		return true;
	}
	if (inet_pton(AF_INET6, text, out->address) != 1)
		return false;
	if (memcmp(out->address, mapped, sizeof mapped) == 0) {
		memmove(out->address, out->address + 12, 4);
		memset(out->address + 4, 0, 12);
		out->v4 = true;
		out->bits = 32;
	}
	return true;
}

/* Decimal without sign, leading zero or anything behind it; -1 when it is not. */
static int
bits_parse(struct span s)
{
	int n = 0;

	if (s.n == 0 || s.n > 3 || (s.n > 1 && s.p[0] == '0'))
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		n = n * 10 + (s.p[i] - '0');
	}
	return n;
}

static bool
has_host_bits(const struct network *n)
{
	for (unsigned i = n->bits; i < (n->v4 ? 32u : 128u); i++)
		if (n->address[i / 8] & (0x80u >> (i % 8)))
			return true;
	return false;
}

bool
network_parse(struct span s, struct network *out, char *err, size_t err_size)
{
	const char *slash = s.n == 0 ? NULL : memchr(s.p, '/', s.n);
	struct span address = s;
	int bits;

	if (slash != NULL)
		address.n = (size_t)(slash - s.p);
	if (!address_parse(address, out)) {
		snprintf(err, err_size, "\"%.*s\" is not an IP address or network", SPAN_FMT(s));
		return false;
	}
	if (slash == NULL)
		return true;
	bits = bits_parse(span_skip(s, address.n + 1));
	if (bits >= 96 && out->v4 && memchr(address.p, ':', address.n) != NULL)
		bits -= 96; /* written as an IPv4-mapped IPv6 network */
	else if (out->v4 && memchr(address.p, ':', address.n) != NULL)
		bits = -1;
	if (bits < 0 || bits > (out->v4 ? 32 : 128)) {
		snprintf(err, err_size, "\"%.*s\": the prefix length is not 0 to %d", SPAN_FMT(s),
		    out->v4 ? 32 : 128);
		return false;
	}
	out->bits = (unsigned)bits;
	if (has_host_bits(out)) {
		snprintf(err, err_size, "\"%.*s\" has bits set behind its prefix: write the network's own address",
		    SPAN_FMT(s));
		return false;
	}
	return true;
}

bool
network_contains(const struct network *net, const struct network *address)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (net->v4 != address->v4 || memcmp(net->address, address->address, whole) != 0)
		return false;
	return rest == 0 || ((net->address[whole] ^ address->address[whole]) >> (8 - rest)) == 0;
}
