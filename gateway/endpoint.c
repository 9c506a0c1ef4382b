/*
 * endpoint.c - addresses of sockets and of texts, to one form.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* The address is there: its text. */
static bool
name(struct endpoint *e)
{
	return inet_ntop(e->address.v4 ? AF_INET : AF_INET6, e->address.address, e->ip, sizeof e->ip) != NULL;
}

bool
endpoint_from(const struct sockaddr *sa, struct endpoint *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct in6_addr v6;

	*out = (struct endpoint){ .address.bits = 128 };
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

		v6 = in6->sin6_addr;
		out->port = ntohs(in6->sin6_port);
	} else if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

		memcpy(&v6, mapped, sizeof mapped);
		memcpy(v6.s6_addr + 12, &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
	} else {
		return false;
	}
	out->address.v4 = memcmp(&v6, mapped, sizeof mapped) == 0;
	out->address.bits = out->address.v4 ? 32 : 128;
	memcpy(out->address.address, v6.s6_addr + (out->address.v4 ? 12 : 0), out->address.v4 ? 4 : 16);
	return name(out);
}

/* Decimal without sign or leading zero, 1 to 65535. */
static bool
port_parse(struct span s, unsigned *port)
{
	unsigned n = 0;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.p[i] - '0');
	}
	*port = n;
	return n <= 65535;
}

/* Address and port apart. False when brackets or colons are not as they should be. */
static bool
split(struct span text, struct span *address, struct span *port)
{
	const char *end = text.n == 0 ? NULL : memchr(text.p, ']', text.n), *colon;

	*port = SPAN_NONE;
	*address = text;
	if (text.n > 0 && text.p[0] == '[') {
		if (end == NULL)
			return false;
		*address = (struct span){ text.p + 1, (size_t)(end - text.p) - 1 };
		if (address->n == 0 || memchr(address->p, ':', address->n) == NULL)
			return false;
		if (++end == text.p + text.n)
			return true;
		*port = span_skip(text, address->n + 3);
		return *end == ':' && port->n > 0;
	}
	colon = text.n == 0 ? NULL : memchr(text.p, ':', text.n);
	if (colon == NULL || memchr(colon + 1, ':', text.n - (size_t)(colon + 1 - text.p)) != NULL)
		return true;	/* no port, or a bare IPv6 address */
	address->n = (size_t)(colon - text.p);
	*port = span_skip(text, address->n + 1);
	return port->n > 0;
}

bool
endpoint_parse(struct span text, struct endpoint *out)
{
	struct span address, port;

	*out = (struct endpoint){ .address.bits = 128 };
	return split(text, &address, &port) && address_parse(address, &out->address) &&
	    (port.p == NULL || port_parse(port, &out->port)) && name(out);
}

bool
endpoint_within(const struct endpoint *e, const struct network *networks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (network_contains(&networks[i], &e->address))
			return true;
	return false;
}
