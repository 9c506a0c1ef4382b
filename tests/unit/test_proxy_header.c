/*
 * test_proxy_header.c - PROXY headers, good and bad, each also cut at every byte.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "gateway/stream/proxy_header.h"
#include "tests/unit/check.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define V4_BLOCK	"\xc0\x00\x02\x07" "\x7f\x00\x00\x01" "\x30\x39" "\x01\xbb"
#define V6_BLOCK	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" "\x30\x39" "\x01\xbb"
#define TLVS		"\x03\x00\x04\xde\xad\xbe\xef" "\x04\x00\x01\x00"
#define UNIX_BLOCK	"/run/a\0"
#define X10(s)		s s s s s s s s s s
#define BYTES(lit)	{ lit, sizeof(lit) - 1 }

static const struct {
	const char *name;
	struct span in;
	const char *ip;		/* NULL: refused; "": the peer's own */
	unsigned port;
} rows[] = {
	/* version 1 */
	{ "v1 TCP4", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12345 443\r\n"), "192.0.2.7", 12345 },
	{ "v1 TCP6", BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n"), "2001:db8::1", 12345 },
	{ "v1 mapped", BYTES("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), "::ffff:192.0.2.7", 1 },
	{ "v1 port 0", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 0 0\r\n"), "192.0.2.7", 0 },
	{ "v1 port 65535", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 65535 65535\r\n"), "192.0.2.7", 65535 },
	{ "v1 longest", BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535 },
	{ "v1 unknown", BYTES("PROXY UNKNOWN\r\n"), "", 0 },
	{ "v1 unknown, more", BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "", 0 },
	{ "v1 unknown, 107 bytes", BYTES("PROXY UNKNOWN " X10("a") X10("a") X10("a") X10("a") X10("a") X10("a") X10("a")
	    X10("a") X10("a") "a\r\n"), "", 0 },
	{ "v1 unknown, 108 bytes", BYTES("PROXY UNKNOWN " X10("a") X10("a") X10("a") X10("a") X10("a") X10("a") X10("a")
	    X10("a") X10("a") "aa\r\n"), NULL, 0 },
	{ "v1 UNKNOWNX", BYTES("PROXY UNKNOWNX\r\n"), NULL, 0 },
	{ "v1 no CR", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12345 443\n"), NULL, 0 },
	{ "v1 lower case", BYTES("proxy TCP4 192.0.2.7 127.0.0.1 12345 443\r\n"), NULL, 0 },
	{ "v1 tcp4", BYTES("PROXY tcp4 192.0.2.7 127.0.0.1 12345 443\r\n"), NULL, 0 },
	{ "v1 UDP4", BYTES("PROXY UDP4 192.0.2.7 127.0.0.1 12345 443\r\n"), NULL, 0 },
	{ "v1 two spaces", BYTES("PROXY TCP4  192.0.2.7 127.0.0.1 12345 443\r\n"), NULL, 0 },
	{ "v1 space at the end", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12345 443 \r\n"), NULL, 0 },
	{ "v1 seven words", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12345 443 9\r\n"), NULL, 0 },
	{ "v1 five words", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12345\r\n"), NULL, 0 },
	{ "v1 tab", BYTES("PROXY TCP4\t192.0.2.7 127.0.0.1 12345 443\r\n"), NULL, 0 },
	{ "v1 port too large", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 65536 443\r\n"), NULL, 0 },
	{ "v1 port leading zero", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 012 443\r\n"), NULL, 0 },
	{ "v1 port sign", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 +12 443\r\n"), NULL, 0 },
	{ "v1 destination port", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12 x\r\n"), NULL, 0 },
	{ "v1 address octal", BYTES("PROXY TCP4 192.0.2.07 127.0.0.1 12 443\r\n"), NULL, 0 },
	{ "v1 address short", BYTES("PROXY TCP4 192.0.2 127.0.0.1 12 443\r\n"), NULL, 0 },
	{ "v1 address of the other kind", BYTES("PROXY TCP4 ::1 ::1 12 443\r\n"), NULL, 0 },
	{ "v1 address v4 for v6", BYTES("PROXY TCP6 192.0.2.7 ::1 12 443\r\n"), NULL, 0 },
	{ "v1 destination bad", BYTES("PROXY TCP4 192.0.2.7 localhost 12 443\r\n"), NULL, 0 },
	{ "v1 zone", BYTES("PROXY TCP6 fe80::1%eth0 ::1 12 443\r\n"), NULL, 0 },
	{ "v1 NUL", BYTES("PROXY TCP4 192.0.2.7\0 127.0.0.1 12 443\r\n"), NULL, 0 },
	{ "v1 empty", BYTES("PROXY \r\n"), NULL, 0 },
	{ "v1 CR inside", BYTES("PROXY TCP4 192.0.2.7 127.0.0.1 12 4\r43\r\n"), NULL, 0 },
	/* version 2 */
	{ "v2 TCP4", BYTES(SIGNATURE "\x21\x11\x00\x0c" V4_BLOCK), "192.0.2.7", 12345 },
	{ "v2 TCP6", BYTES(SIGNATURE "\x21\x21\x00\x24" V6_BLOCK), "2001:db8::1", 12345 },
	{ "v2 TCP4 with TLVs", BYTES(SIGNATURE "\x21\x11\x00\x17" V4_BLOCK TLVS), "192.0.2.7", 12345 },
	{ "v2 TCP6 with TLVs", BYTES(SIGNATURE "\x21\x21\x00\x2f" V6_BLOCK TLVS), "2001:db8::1", 12345 },
	{ "v2 LOCAL", BYTES(SIGNATURE "\x20\x00\x00\x00"), "", 0 },
	{ "v2 LOCAL with addresses", BYTES(SIGNATURE "\x20\x11\x00\x0c" V4_BLOCK), "", 0 },
	{ "v2 UNSPEC", BYTES(SIGNATURE "\x21\x00\x00\x00"), "", 0 },
	{ "v2 UNSPEC with TLVs", BYTES(SIGNATURE "\x21\x00\x00\x0b" TLVS), "", 0 },
	{ "v2 TCP4 block too short", BYTES(SIGNATURE "\x21\x11\x00\x0b" V4_BLOCK), NULL, 0 },
	{ "v2 TCP6 block too short", BYTES(SIGNATURE "\x21\x21\x00\x23" V6_BLOCK), NULL, 0 },
	{ "v2 TCP6 with a TCP4 block", BYTES(SIGNATURE "\x21\x21\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 UDP4", BYTES(SIGNATURE "\x21\x12\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 AF_UNIX", BYTES(SIGNATURE "\x21\x31\x00\x07" UNIX_BLOCK), NULL, 0 },
	{ "v2 unspecified transport of IPv4", BYTES(SIGNATURE "\x21\x10\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 version 1", BYTES(SIGNATURE "\x11\x11\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 version 3", BYTES(SIGNATURE "\x31\x11\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 command 2", BYTES(SIGNATURE "\x22\x11\x00\x0c" V4_BLOCK), NULL, 0 },
	{ "v2 length over the bound", BYTES(SIGNATURE "\x21\x11\x07\xf1" V4_BLOCK), NULL, 0 },
	{ "v2 length 65535", BYTES(SIGNATURE "\x21\x11\xff\xff" V4_BLOCK), NULL, 0 },
	{ "v2 signature off by one", BYTES("\r\n\r\n\0\r\nQUIT\r" "\x21\x11\x00\x0c" V4_BLOCK), NULL, 0 },
	/* neither */
	{ "TLS", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), NULL, 0 },
	{ "HTTP", BYTES("GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"), NULL, 0 },
	{ "line feed first", BYTES("\nPROXY TCP4"), NULL, 0 },
};

/* What the header says, as text. */
static const char *
ip_of(const struct proxy_header *h, char *text, size_t size, unsigned *port)
{
	*port = 0;
	if (h->local)
		return "";
	*port = ntohs(h->source.any.sa_family == AF_INET ? h->source.v4.sin_port : h->source.v6.sin6_port);
	return inet_ntop(h->source.any.sa_family, h->source.any.sa_family == AF_INET ?
	    (const void *)&h->source.v4.sin_addr : (const void *)&h->source.v6.sin6_addr, text, (socklen_t)size);
}

static void
check_whole(size_t i)
{
	/* the client's first bytes come in the same segment */
	static const char hello[] = "\x16\x03\x01PROXY \r\n";
	size_t n = rows[i].in.n;
	char *all = malloc(n + sizeof hello), text[INET6_ADDRSTRLEN];
	struct proxy_header h;
	enum proxy_read got;
	unsigned port;

	memcpy(all, rows[i].in.p, n);
	memcpy(all + n, hello, sizeof hello);
	got = proxy_header_read((struct span){ all, n + sizeof hello }, &h);
	if (rows[i].ip == NULL)
		CHECK_ROW(got == PROXY_BAD, rows[i].name);
	else if (CHECK_ROW(got == PROXY_DONE, rows[i].name)) {
		CHECK_ROW(h.length == n, rows[i].name);
		CHECK_ROW(strcmp(ip_of(&h, text, sizeof text, &port), rows[i].ip) == 0, rows[i].name);
		CHECK_ROW(port == rows[i].port, rows[i].name);
	}
	free(all);
}

/* Before its end a good header is MORE; a bad one is MORE or BAD, never DONE, and BAD stays BAD. */
static void
check_cuts(size_t i)
{
	bool bad = false;

	for (size_t n = 0; n < rows[i].in.n; n++) {
		/* of its own size: a byte read behind the end is seen by ASan */
		char *exact = n == 0 ? NULL : memcpy(malloc(n), rows[i].in.p, n);
		struct proxy_header h;
		enum proxy_read got = proxy_header_read((struct span){ exact, n }, &h);

		if (rows[i].ip != NULL)
			CHECK_ROW(got == PROXY_MORE, rows[i].name);
		else
			CHECK_ROW(got != PROXY_DONE && (!bad || got == PROXY_BAD), rows[i].name);
		bad |= got == PROXY_BAD;
		free(exact);
	}
}

/* The longest header that is taken: 2048 bytes, most of them TLVs. */
static void
check_longest(void)
{
	static char all[PROXY_HEADER_MAX + 1];
	struct proxy_header h;

	memcpy(all, SIGNATURE "\x21\x11\x07\xf0" V4_BLOCK, 28);
	CHECK(proxy_header_read((struct span){ all, PROXY_HEADER_MAX - 1 }, &h) == PROXY_MORE);
	CHECK(proxy_header_read((struct span){ all, sizeof all }, &h) == PROXY_DONE && h.length == PROXY_HEADER_MAX);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		check_whole(i);
		check_cuts(i);
	}
	check_longest();
	return check_done();
}
