/*
 * reach.c - addresses that are not of the public network: what stands behind one of them did not expect us.
 * Invariant: a network that is not in the table is public; IPv4 inside of IPv6 is judged as IPv4.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/courier/reach.h"

/* IANA special-purpose registries (RFC 6890), and multicast: nothing here is an issuer on the Internet. */
static const struct network special[] = {
#define V4(bits, ...) { { __VA_ARGS__ }, true, bits }
#define V6(bits, ...) { { __VA_ARGS__ }, false, bits }
	V4(8, 0),			/* this network */
	V4(8, 10),			/* private */
	V4(10, 100, 64),		/* carrier-grade NAT; metadata of some clouds */
	V4(8, 127),			/* this machine */
	V4(16, 169, 254),		/* link-local: metadata of most clouds */
	V4(12, 172, 16),		/* private */
	V4(24, 192, 0, 0),		/* protocol assignments; metadata of some clouds */
	V4(16, 192, 168),		/* private */
	V4(15, 198, 18),		/* benchmarks */
	V4(4, 224),			/* multicast */
	V4(4, 240),			/* reserved, broadcast */
	V6(128, 0),			/* unspecified */
	V6(128, [15] = 1),		/* this machine */
	V6(64, 0x01, 0x00),		/* discard */
	V6(7, 0xfc),			/* unique local; fd00:ec2::254 is one */
	V6(10, 0xfe, 0x80),		/* link-local */
	V6(10, 0xfe, 0xc0),		/* site-local */
	V6(8, 0xff),			/* multicast */
};
static const struct network loopback[] = { V4(8, 127), V6(128, [15] = 1) };
/* IPv6 that carries IPv4, and where. */
static const struct {
	struct network net;
	unsigned at;
} carriers[] = {
	{ V6(96, 0), 12 },				/* IPv4-compatible */
	{ V6(96, 0x00, 0x64, 0xff, 0x9b), 12 },	/* NAT64 */
	{ V6(48, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), 12 },
	{ V6(16, 0x20, 0x02), 2 },			/* 6to4 */
};

static bool
within(const struct network *nets, size_t n, const struct network *address)
{
	for (size_t i = 0; i < n; i++)
		if (network_contains(&nets[i], address))
			return true;
	return false;
}

bool
reach_is_loopback(const struct network *address)
{
	return within(loopback, sizeof loopback / sizeof *loopback, address);
}

static bool
is_special(const struct network *address)
{
	for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++) {
		struct network inner = { .v4 = true, .bits = 32 };

		if (!network_contains(&carriers[i].net, address))
			continue;
		memcpy(inner.address, address->address + carriers[i].at, 4);
		if (within(special, sizeof special / sizeof *special, &inner))
			return true;
	}
	return within(special, sizeof special / sizeof *special, address);
}

bool
reach_names_loopback(struct span host)
{
	struct network address;

	return span_eq_nocase(host, SPAN("localhost")) || (address_parse(host, &address) && reach_is_loopback(&address));
}

bool
reach_allows(enum reach r, const struct network *address)
{
	switch (r) {
	case REACH_PUBLIC:
		return !is_special(address);
	case REACH_LOOPBACK:
		return !is_special(address) || reach_is_loopback(address);
	case REACH_ANY:
		return true;
	}
	return false;
}
