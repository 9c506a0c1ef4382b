/*
 * test_storage.c - where a redirect leads, and to where it may.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/upstream/storage.h"
#include "tests/unit/check.h"

static const struct {
	const char *url;
	const char *host; /* NULL: refused */
	unsigned port;
	const char *target;
} urls[] = {
	{ "https://s3.example.com/b/x?y=1&z=%2F", "s3.example.com", 443, "/b/x?y=1&z=%2F" },
	{ "https://S3.Example.com:8443/b", "s3.example.com", 8443, "/b" },
	{ "https://s3.example.com", "s3.example.com", 443, "/" },
	{ "https://s3.example.com?q", "s3.example.com", 443, "/?q" },
	{ "http://127.0.0.1:9000/up/load", "127.0.0.1", 9000, "/up/load" },
	{ "http://h/", "h", 80, "/" },
	{ "https://s3.example.com/a@b:c", "s3.example.com", 443, "/a@b:c" },
	{ "https://user@s3.example.com/", NULL, 0, NULL },
	{ "https://user:pw@s3.example.com/", NULL, 0, NULL },
	{ "https://s3.example.com:443@evil.test/", NULL, 0, NULL },
	{ "https://s3.example.com\\@evil.test/", NULL, 0, NULL },
	{ "https://s3.example.com/#f", NULL, 0, NULL },
	{ "https://s3.example.com/a b", NULL, 0, NULL },
	{ "https://s3.example.com/\xc3\xa9", NULL, 0, NULL },
	{ "https://s3.example.com/\r\nX: y", NULL, 0, NULL },
	{ "https://[::1]/", NULL, 0, NULL },
	{ "https://:443/", NULL, 0, NULL },
	{ "https://s3.example.com:/", NULL, 0, NULL },
	{ "https://s3.example.com:0/", NULL, 0, NULL },
	{ "https://s3.example.com:65536/", NULL, 0, NULL },
	{ "https://s3.example.com:443x/", NULL, 0, NULL },
	{ "https:///x", NULL, 0, NULL },
	{ "https://", NULL, 0, NULL },
	{ "https://-s3/", NULL, 0, NULL },
	{ "https://s3_x/", NULL, 0, NULL },
	{ "HTTPS://s3.example.com/", NULL, 0, NULL },
	{ "ftp://s3.example.com/", NULL, 0, NULL },
	{ "//s3.example.com/x", NULL, 0, NULL },
	{ "/v2/x", NULL, 0, NULL },
	{ "", NULL, 0, NULL },
};

static void
check_urls(void)
{
	for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
		struct arena *a = arena_new(4096);
		struct storage_place p;
		bool ok = storage_place_parse(span_of(urls[i].url), a, &p);

		CHECK_ROW(ok == (urls[i].host != NULL), urls[i].url);
		if (ok && urls[i].host != NULL) {
			CHECK_ROW(span_eq(p.host, span_of(urls[i].host)) && p.port == urls[i].port, urls[i].url);
			CHECK_ROW(span_eq(p.target, span_of(urls[i].target)), urls[i].url);
			CHECK_ROW(p.tls == (urls[i].url[4] == 's'), urls[i].url);
		}
		arena_free(a);
	}
}

static const struct {
	const char *host;
	unsigned port;
	bool allowed;
} hosts[] = {
	{ "b.s3.example.com", 443, true },
	{ "a.b.s3.example.com", 443, true },
	{ "s3.example.com", 443, false },
	{ "xs3.example.com", 443, false },
	{ ".s3.example.com", 443, false },
	{ "b.s3.example.com", 444, false },
	{ "b.s3.example.com.evil.test", 443, false },
	{ "cdn.example.com", 8443, true },
	{ "cdn.example.com", 443, false },
	{ "x.cdn.example.com", 8443, false },
	{ "", 443, false },
};

static void
check_hosts(void)
{
	char one[] = "*.s3.example.com", two[] = "cdn.example.com:8443", *list[] = { one, two };
	const struct config_upstream u = { .redirect_hosts = list, .n_redirect_hosts = 2 };

	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
		CHECK_ROW(config_redirect_allowed(&u, span_of(hosts[i].host), hosts[i].port) == hosts[i].allowed,
		    hosts[i].host);
}

int
main(void)
{
	check_urls();
	check_hosts();
	return check_done();
}
