/*
 * test_forwarded.c - endpoints in all their spellings; who the client is behind trusted proxies.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "gateway/forwarded.h"
#include "tests/unit/check.h"

#define BYTES(lit)	{ lit, sizeof(lit) - 1 }

static const struct {
	struct span text;
	const char *ip;		/* NULL: refused */
	unsigned port;
} spellings[] = {
	{ BYTES("192.0.2.1"), "192.0.2.1", 0 },
	{ BYTES("192.0.2.1:4711"), "192.0.2.1", 4711 },
	{ BYTES("2001:db8::1"), "2001:db8::1", 0 },
	{ BYTES("2001:DB8:0:0::1"), "2001:db8::1", 0 },
	{ BYTES("[2001:db8::1]"), "2001:db8::1", 0 },
	{ BYTES("[2001:db8::1]:65535"), "2001:db8::1", 65535 },
	{ BYTES("::ffff:192.0.2.1"), "192.0.2.1", 0 },
	{ BYTES("[::ffff:192.0.2.1]:1"), "192.0.2.1", 1 },
	{ BYTES(""), NULL, 0 },
	{ BYTES("unknown"), NULL, 0 },
	{ BYTES("_hidden"), NULL, 0 },
	{ BYTES("localhost"), NULL, 0 },
	{ BYTES("192.0.2.1:"), NULL, 0 },
	{ BYTES("192.0.2.1:0"), NULL, 0 },
	{ BYTES("192.0.2.1:65536"), NULL, 0 },
	{ BYTES("192.0.2.1:http"), NULL, 0 },
	{ BYTES("192.0.2.1:1:1"), NULL, 0 },
	{ BYTES("[192.0.2.1]"), NULL, 0 },
	{ BYTES("[192.0.2.1]:1"), NULL, 0 },
	{ BYTES("[2001:db8::1"), NULL, 0 },
	{ BYTES("[2001:db8::1]x"), NULL, 0 },
	{ BYTES("[2001:db8::1]:"), NULL, 0 },
	{ BYTES("[]"), NULL, 0 },
	{ BYTES("["), NULL, 0 },
	{ BYTES("]"), NULL, 0 },
	{ BYTES(":"), NULL, 0 },
	{ BYTES("::"), "::", 0 },
	{ BYTES("fe80::1%eth0"), NULL, 0 },
	{ BYTES("192.0.2.1/24"), NULL, 0 },
	{ BYTES("192.0.02.1"), NULL, 0 },
	{ BYTES("192.0.2.1\0"), NULL, 0 },
	{ BYTES("\"192.0.2.1\""), NULL, 0 },
	{ BYTES("for=192.0.2.1"), NULL, 0 },
};

#define HOP4	"10.0.0.9, 10.0.0.9, 10.0.0.9, 10.0.0.9, "
/* trusted: 10.0.0.0/8 and 2001:db8:1::/48 */
static const struct {
	const char *name, *from;
	const char *fields[3];
	const char *client;	/* NULL: refused */
} cases[] = {
	{ "no field", "10.0.0.1", { NULL }, "10.0.0.1" },
	{ "a stranger writes it", "192.0.2.9", { "198.51.100.1" }, "192.0.2.9" },
	{ "a stranger writes nonsense", "192.0.2.9", { "unknown, , x" }, "192.0.2.9" },
	{ "one proxy", "10.0.0.1", { "198.51.100.1" }, "198.51.100.1" },
	{ "one proxy, with port", "10.0.0.1", { "198.51.100.1:999" }, "198.51.100.1" },
	{ "two proxies", "10.0.0.1", { "198.51.100.1, 10.0.0.2" }, "198.51.100.1" },
	{ "what the client invented stays outside", "10.0.0.1", { "203.0.113.5, 198.51.100.1, 10.0.0.2" }, "198.51.100.1" },
	{ "a trusted address invented by the client", "10.0.0.1", { "10.0.0.7, 198.51.100.1" }, "198.51.100.1" },
	{ "all trusted: the left-most", "10.0.0.1", { "10.0.0.3, 10.0.0.2" }, "10.0.0.3" },
	{ "several fields are one list", "10.0.0.1", { "203.0.113.5", "198.51.100.1", "10.0.0.2" }, "198.51.100.1" },
	{ "several fields, lists in them", "10.0.0.1", { "203.0.113.5,198.51.100.1", "10.0.0.2\t,  10.0.0.3" }, "198.51.100.1" },
	{ "IPv6", "2001:db8:1::1", { "2001:db8:2::7" }, "2001:db8:2::7" },
	{ "IPv4 in IPv6", "::ffff:10.0.0.1", { "::ffff:198.51.100.1" }, "198.51.100.1" },
	{ "empty", "10.0.0.1", { "" }, NULL },
	{ "empty hop", "10.0.0.1", { "198.51.100.1,, 10.0.0.2" }, NULL },
	{ "comma at the end", "10.0.0.1", { "198.51.100.1," }, NULL },
	{ "comma first", "10.0.0.1", { ",198.51.100.1" }, NULL },
	{ "unknown", "10.0.0.1", { "unknown" }, NULL },
	{ "nonsense left of the client", "10.0.0.1", { "x, 198.51.100.1" }, NULL },
	{ "nonsense in another field", "10.0.0.1", { "x", "198.51.100.1" }, NULL },
	{ "spaces for commas", "10.0.0.1", { "198.51.100.1 10.0.0.2" }, NULL },
	{ "comma and space at the end", "10.0.0.1", { "198.51.100.1, " HOP4 HOP4 HOP4 }, NULL },
	{ "32 hops in two fields", "10.0.0.1", { "198.51.100.1, 10.0.0.9, 10.0.0.9, 10.0.0.9, " HOP4 HOP4 HOP4
	    "10.0.0.9, 10.0.0.9, 10.0.0.9, 10.0.0.9", HOP4 HOP4 "10.0.0.9, 10.0.0.9, 10.0.0.9, 10.0.0.9" }, "198.51.100.1" },
	{ "33 hops", "10.0.0.1", { "203.0.113.5, 198.51.100.1, 10.0.0.9, 10.0.0.9, 10.0.0.9, " HOP4 HOP4 HOP4
	    "10.0.0.9, 10.0.0.9, 10.0.0.9, 10.0.0.9", HOP4 HOP4 "10.0.0.9, 10.0.0.9, 10.0.0.9, 10.0.0.9" }, NULL },
};

static void
check_spelling(size_t i)
{
	struct endpoint e;
	bool ok = endpoint_parse(spellings[i].text, &e);

	CHECK_ROW(ok == (spellings[i].ip != NULL), spellings[i].text.p);
	if (ok && spellings[i].ip != NULL)
		CHECK_ROW(strcmp(e.ip, spellings[i].ip) == 0 && e.port == spellings[i].port, spellings[i].text.p);
}

static void
check_case(size_t i, const struct network trusted[static 2])
{
	struct http_field fields[4] = { { HTTP_FIELD_ACCEPT, SPAN_NONE, SPAN("10.0.0.2") } };
	struct http_head head = { .fields = fields, .n_fields = 1 };
	struct endpoint from, client;
	bool ok;

	for (size_t k = 0; k < 3 && cases[i].fields[k] != NULL; k++)
		fields[head.n_fields++] = (struct http_field){ HTTP_FIELD_X_FORWARDED_FOR, SPAN_NONE,
			span_of(cases[i].fields[k]) };
	if (head.n_fields > 1)
		head.field[HTTP_FIELD_X_FORWARDED_FOR] = fields[1].value;
	CHECK_ROW(endpoint_parse(span_of(cases[i].from), &from), cases[i].name);
	ok = forwarded_client(&head, &from, trusted, 2, &client);
	CHECK_ROW(ok == (cases[i].client != NULL), cases[i].name);
	CHECK_ROW(strcmp(client.ip, cases[i].client != NULL ? cases[i].client : from.ip) == 0, cases[i].name);
	/* without trust the field does not exist */
	CHECK_ROW(forwarded_client(&head, &from, NULL, 0, &client) && strcmp(client.ip, from.ip) == 0, cases[i].name);
}

static void
check_sockets(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(7) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr other = { .sa_family = AF_UNIX };
	struct endpoint e;

	inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
	CHECK(endpoint_from((const struct sockaddr *)&v4, &e) && strcmp(e.ip, "192.0.2.1") == 0 && e.port == 7 &&
	    e.address.v4 && e.address.bits == 32);
	inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
	CHECK(endpoint_from((const struct sockaddr *)&v6, &e) && strcmp(e.ip, "2001:db8::1") == 0 && e.port == 9 &&
	    !e.address.v4 && e.address.bits == 128);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);
	CHECK(endpoint_from((const struct sockaddr *)&v6, &e) && strcmp(e.ip, "192.0.2.1") == 0 && e.address.v4);
	CHECK(!endpoint_from(&other, &e));
}

int
main(void)
{
	struct network trusted[2];
	char err[128];

	CHECK(network_parse(SPAN("10.0.0.0/8"), &trusted[0], err, sizeof err));
	CHECK(network_parse(SPAN("2001:db8:1::/48"), &trusted[1], err, sizeof err));
	for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
		check_spelling(i);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_case(i, trusted);
	check_sockets();
	return check_done();
}
