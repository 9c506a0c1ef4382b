/*
 * test_config.c - gateway.conf: values, the scan, the table, every file under tests/config, the example.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config/config_parts.h"
#include "gateway/file.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/tidewaiter-test-config-XXXXXX";

/* ---- files ---- */

static const char *
in_dir(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", dir, name);
	return p;
}

static void
write_file(const char *name, struct span text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, mode);

	CHECK_ROW(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n, name);
	if (fd >= 0) {
		fchmod(fd, mode);
		close(fd);
	}
}

static char *
slurp(const char *path, size_t *n)
{
	char err[128] = "";
	char *text = file_read(path, 1u << 20, n, err, sizeof err);

	CHECK_ROW(text != NULL, path);
	return text != NULL ? text : calloc(1, 1);
}

static void
copy_file(const char *name)
{
	char from[256];
	size_t n = 0;
	char *text;

	snprintf(from, sizeof from, "tests/config/files/%s", name);
	text = slurp(from, &n);
	write_file(name, (struct span){ text, n }, 0600);
	free(text);
}

/* A key and a certificate that signs itself; what is in it does not matter here. */
static void
make_pair(EVP_PKEY *key, const char *certificate, const char *private_key)
{
	X509 *x = X509_new();
	FILE *f = fopen(in_dir(certificate), "w");

	CHECK(key != NULL && x != NULL && f != NULL);
	if (key == NULL || x == NULL || f == NULL)
		exit(1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"registry.example.com", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	CHECK(X509_sign(x, key, EVP_sha256()) > 0);
	CHECK(PEM_write_X509(f, x) == 1);
	fclose(f);
	umask(077);
	f = fopen(in_dir(private_key), "w");
	CHECK(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	if (f != NULL)
		fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
make_files(void)
{
	static const char *const copies[] = { "policy.json", "broken.json", "jwks.json", "no-keys.json", "their.test.json",
		"exceptions.json", "exceptions-bad.json", "vex.json", "vex-bad.json", "kev.json", "cosign.pub", "bad.yar",
		"rsa1024.pub", "roots.pem" };
	char *key;
	size_t n = 0;

	if (mkdtemp(dir) == NULL)
		exit(1);
	make_pair(EVP_EC_gen("P-256"), "ec.crt", "ec.key");
	make_pair(EVP_EC_gen("P-256"), "other.crt", "other.key");
	make_pair(EVP_RSA_gen(2048), "rsa.crt", "rsa.key");
	key = slurp(in_dir("ec.key"), &n);
	write_file("open.key", (struct span){ key, n }, 0644);
	free(key);
	for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
		copy_file(copies[i]);
	write_file("garbage", SPAN("this is neither PEM nor JSON\n"), 0600);
	write_file("empty", SPAN(""), 0600);
	write_file("htpasswd", SPAN("robot:$2y$05$aaaaaaaaaaaaaaaaaaaaaONxqmMvDU5nGSkaHSXzCoAxgOn44Ta4e\n"
	    "ci:$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7\n"), 0600);
	write_file("htpasswd-md5", SPAN("robot:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n"), 0600);
	write_file("htpasswd-twice", SPAN("a:$2y$05$aaaaaaaaaaaaaaaaaaaaaONxqmMvDU5nGSkaHSXzCoAxgOn44Ta4e\n"
	    "a:$2y$05$aaaaaaaaaaaaaaaaaaaaaONxqmMvDU5nGSkaHSXzCoAxgOn44Ta4e\n"), 0600);
	write_file("htgroups", SPAN("# teams\ndeploy: robot ci\nci: ci\n"), 0600);
	write_file("htgroups-stranger", SPAN("deploy: robot nobody\n"), 0600);
	write_file("revoked", SPAN("# gone\n\njti:abc\nsubject:corp/ann\r\n basic:robot \n"), 0600);
	write_file("password", SPAN("secret\n"), 0600);
	write_file("authorization", SPAN("Bearer abcdefghijklmnop\n"), 0600);
	write_file("password-crlf", SPAN("secret\r\n"), 0600);
	write_file("two-lines", SPAN("secret\nother\n"), 0600);
	write_file("two-keys", SPAN("0123456789abcdef0123456789abcdefABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP"), 0600);
}

/* Directories one level below are the most there is. */
static void
remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char below[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof below, "%s/%s", path, e->d_name);
		if (unlink(below) != 0 && errno == EISDIR)
			remove_all(below);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

/* A copy of text with every `what` replaced by the name of the temporary directory. */
static char *
with_dir(const char *text, const char *what)
{
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);

	while (f != NULL && *text != '\0') {
		if (strncmp(text, what, strlen(what)) == 0) {
			fputs(dir, f);
			text += strlen(what);
		} else {
			fputc(*text++, f);
		}
	}
	if (f == NULL || fclose(f) != 0)
		exit(1);
	return out;
}

/* Load text as <dir>/gateway.conf. *said: what was reported, to be freed. */
static struct config *
load_text(struct span text, bool create, char **said)
{
	size_t n = 0;
	FILE *out = open_memstream(said, &n);
	struct config *c;

	write_file("gateway.conf", text, 0600);
	if (out == NULL)
		exit(1);
	c = config_load_into(in_dir("gateway.conf"), create, out);
	fclose(out);
	return c;
}

/* ---- values ---- */

static void
test_sizes(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{ "0", true, 0 }, { "512", true, 512 }, { "512 B", true, 512 }, { "64KiB", true, 65536 },
		{ "64 KiB", true, 65536 }, { "4 MiB", true, 4194304 }, { "1 GiB", true, 1073741824 },
		{ "999999999 GiB", true, 999999999ull << 30 }, { "007", true, 7 },
		{ "", false, 0 }, { " ", false, 0 }, { "KiB", false, 0 }, { "-1", false, 0 }, { "+1", false, 0 },
		{ "1 ", false, 0 }, { " 1", false, 0 }, { "1  KiB", false, 0 }, { "1 kib", false, 0 },
		{ "1 KB", false, 0 }, { "1 K", false, 0 }, { "1.5 KiB", false, 0 }, { "1e3", false, 0 },
		{ "0x10", false, 0 }, { "1000000000", false, 0 }, { "1 KiB ", false, 0 }, { "1 TiB", false, 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t v = 0;

		CHECK_ROW(config_size_parse(span_of(rows[i].text), &v) == rows[i].ok, rows[i].text);
		CHECK_ROW(!rows[i].ok || v == rows[i].value, rows[i].text);
	}
}

static void
test_times(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t ms;
	} rows[] = {
		{ "0 s", true, 0 }, { "500 ms", true, 500 }, { "30 s", true, 30000 }, { "30s", true, 30000 },
		{ "15 min", true, 900000 }, { "1 h", true, 3600000 }, { "999999999 h", true, 999999999ull * 3600000 },
		{ "", false, 0 }, { "30", false, 0 }, { "0", false, 0 }, { "30 m", false, 0 }, { "30 sec", false, 0 },
		{ "30 S", false, 0 }, { "1 d", false, 0 }, { "-1 s", false, 0 }, { "1.5 s", false, 0 },
		{ "1 h 5 min", false, 0 }, { "1000000000 ms", false, 0 }, { "s", false, 0 }, { "1\ts", false, 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t v = 0;

		CHECK_ROW(config_time_parse(span_of(rows[i].text), &v) == rows[i].ok, rows[i].text);
		CHECK_ROW(!rows[i].ok || v == rows[i].ms, rows[i].text);
	}
}

static void
test_urls(void)
{
	static const struct {
		const char *text, *origin;	/* origin NULL: refused */
		const char *path;
	} rows[] = {
		{ "https://harbor.internal", "https://harbor.internal", "" },
		{ "https://Harbor.Internal:443/", "https://harbor.internal", "/" },
		{ "https://harbor.internal:80", "https://harbor.internal:80", "" },
		{ "http://localhost:80/a/b", "http://localhost", "/a/b" },
		{ "http://127.0.0.1:443", "http://127.0.0.1:443", "" },
		{ "https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443", "/x" },
		{ "https://a-b.c/a_b~c.d-e", "https://a-b.c", "/a_b~c.d-e" },
		{ "https://h:00443", "https://h", "" },
		{ "", NULL, NULL }, { "https://", NULL, NULL }, { "https:///x", NULL, NULL },
		{ "HTTPS://h", NULL, NULL }, { "//h", NULL, NULL }, { "ftp://h", NULL, NULL },
		{ "https://u:p@h", NULL, NULL }, { "https://h?x", NULL, NULL }, { "https://h/#x", NULL, NULL },
		{ "https://h:", NULL, NULL }, { "https://h:0", NULL, NULL }, { "https://h:65536", NULL, NULL },
		{ "https://h:1x", NULL, NULL }, { "https://h:-1", NULL, NULL }, { "https://h:1:2", NULL, NULL },
		{ "https://h//x", NULL, NULL }, { "https://h/./x", NULL, NULL }, { "https://h/../x", NULL, NULL },
		{ "https://h/%2e", NULL, NULL }, { "https://h/a b", NULL, NULL }, { "https://h\\x", NULL, NULL },
		{ "https://[::1", NULL, NULL }, { "https://[]", NULL, NULL }, { "https://[::1]x", NULL, NULL },
		{ "https://[127.0.0.1]", NULL, NULL }, { "https://[fe80::1%25eth0]", NULL, NULL },
		{ "https://-a", NULL, NULL }, { "https://a-", NULL, NULL }, { "https://a..b", NULL, NULL },
		{ "https://a.", NULL, NULL }, { "https://a_b", NULL, NULL }, { "https://1.2.3", NULL, NULL },
		{ "https://1.2.3.256", NULL, NULL }, { "https://0x7f.1", NULL, NULL },
	};
	struct config *c = config_new();

	for (size_t i = 0; c != NULL && i < sizeof rows / sizeof *rows; i++) {
		struct config_url u;
		const char *why = config_url_parse(span_of(rows[i].text), &u);
		char *origin;

		CHECK_ROW((why == NULL) == (rows[i].origin != NULL), rows[i].text);
		if (why != NULL || rows[i].origin == NULL)
			continue;
		origin = config_url_origin(c, &u);
		CHECK_ROW(origin != NULL && strcmp(origin, rows[i].origin) == 0, rows[i].text);
		CHECK_ROW(span_eq(u.path, span_of(rows[i].path)), rows[i].text);
	}
	config_free(c);
}

static void
test_hosts(void)
{
	static const char *const local[] = { "localhost", "LOCALHOST", "127.0.0.1", "127.255.255.254", "::1" };
	static const char *const remote[] = { "", "128.0.0.1", "127.0.0.1.example.com", "127.0.0", "localhost.example.com",
		"::2", "10.0.0.1", "localhost.", "127.1" };
	static const char *const good[] = { "0.0.0.0:1", "127.0.0.1:65535", "[::]:5443", "[2001:db8::1]:443" };
	static const char *const bad[] = { "", ":5443", "5443", "0.0.0.0", "0.0.0.0:", "0.0.0.0:0", "0.0.0.0:65536",
		"::1:5443", "[::1]", "[::1]5443", "localhost:5443", "0.0.0.0:5443 ", "0.0.0.0:5443/", "1.2.3:5" };
	char name[256];

	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		CHECK_ROW(config_host_loopback(span_of(local[i])), local[i]);
	for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
		CHECK_ROW(!config_host_loopback(span_of(remote[i])), remote[i]);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_ROW(config_address_check(good[i]) == NULL, good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ROW(config_address_check(bad[i]) != NULL, bad[i]);
	memset(name, 'a', sizeof name);
	CHECK(config_host_valid((struct span){ name, 63 }));
	CHECK(!config_host_valid((struct span){ name, 64 }));
	for (size_t i = 60; i < sizeof name; i += 60)
		name[i] = '.';
	CHECK(config_host_valid((struct span){ name, 253 }));
	CHECK(!config_host_valid((struct span){ name, 254 }));
}

static void
test_patterns(void)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} rows[] = {
		{ "*", "", true }, { "*", "a/b", true }, { "**", "a", true }, { "", "", true }, { "", "a", false },
		{ "a", "a", true }, { "a", "ab", false }, { "ab", "a", false }, { "a/*", "a/b/c", true },
		{ "a/*", "a", false }, { "a/*", "a/", true }, { "a*", "a", true }, { "*a", "bca", true },
		{ "*a", "ab", false }, { "*ab", "aab", true }, { "a*b*c", "a/b/b/c", true }, { "a*b*c", "acb", false },
		{ "*a*a*a*", "aa", false }, { "*a*a*a*", "xaxaxax", true }, { "A", "a", false }, { "a?", "ab", false },
		{ "*b", "b/", false }, { "team-*/prod", "team-a/x/prod", true },
	};
	struct span nul = { "a\0b", 3 };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		CHECK_ROW(config_pattern_match(rows[i].pattern, span_of(rows[i].text)) == rows[i].match,
		    rows[i].pattern);
	CHECK(!config_pattern_match("a", nul));
	CHECK(config_pattern_match("a*", nul));
}

/* ---- the table ---- */

static void
test_table(void)
{
	char *print = NULL, path[64], before[64] = "";
	size_t n = 0;
	FILE *f = open_memstream(&print, &n);

	if (f == NULL)
		exit(1);
	config_print_options_to(f);
	fclose(f);
	for (size_t i = 0; i < config_n_options; i++) {
		const struct config_option *o = &config_options[i];
		bool number = o->type == OPTION_SIZE || o->type == OPTION_TIME || o->type == OPTION_INT;

		config_option_path(o, path, sizeof path);
		CHECK_ROW(strstr(print, path) != NULL && strstr(print, o->meaning) != NULL, path);
		CHECK_ROW(!number || o->fallback != NULL, path);
		CHECK_ROW(!number || o->later || (o->min != NULL && o->max != NULL), path);
		CHECK_ROW((o->type == OPTION_WORD || o->type == OPTION_WORDS) == (o->words != NULL), path);
		CHECK_ROW(o->width > 0 || o->later || o->words != NULL, path);
		CHECK_ROW(strcmp(path, before) != 0, path);
		snprintf(before, sizeof before, "%s", path);
	}
	CHECK(strstr(print, "upstream.*.url\n    the registry") != NULL);
	CHECK(strstr(print, "size, \"4 KiB\" to \"64 KiB\"; default \"32 KiB\"") != NULL);
	CHECK(strstr(print, "\"deny\" | \"pass\" | \"follow\"; default \"deny\"") != NULL);
	CHECK(strstr(print, "default [\"*\"]") != NULL);
	free(print);
}

static bool
limits_equal(const struct config_limits *a, const struct config_limits *b)
{
	return memcmp(&a->http, &b->http, sizeof a->http) == 0 && memcmp(&a->route, &b->route, sizeof a->route) == 0 &&
	    a->manifest == b->manifest && a->manifests == b->manifests && a->connections == b->connections &&
	    a->connections_per_ip == b->connections_per_ip &&
	    a->requests_per_connection == b->requests_per_connection && a->tls_handshake == b->tls_handshake &&
	    a->first_byte == b->first_byte && a->head_total == b->head_total && a->keep_alive == b->keep_alive &&
	    a->body_idle == b->body_idle && a->body_grace == b->body_grace && a->body_min_rate == b->body_min_rate &&
	    a->write_idle == b->write_idle && a->connection_age == b->connection_age &&
	    a->upstream_connect == b->upstream_connect && a->upstream_first_byte == b->upstream_first_byte &&
	    a->upstream_idle == b->upstream_idle && a->upstream_age == b->upstream_age && a->drain == b->drain &&
	    a->token_cache == b->token_cache && a->auth_failures == b->auth_failures;
}

/* The figures promised in config.h. */
static const struct config_limits default_limits = {
	.http = { 32768, 8192, 100, 64, 8192, 24576 },
	.route = { 4096, 8192, 128 },
	.manifest = 4u << 20,
	.manifests = 512u << 20,
	.connections = 10000, .connections_per_ip = 100, .requests_per_connection = 1000,
	.tls_handshake = 5000, .first_byte = 10000, .head_total = 10000, .keep_alive = 60000, .body_idle = 30000,
	.body_grace = 60000, .body_min_rate = 1024, .write_idle = 60000, .connection_age = 3600000,
	.upstream_connect = 3000, .upstream_first_byte = 60000, .upstream_idle = 30000, .upstream_age = 600000,
	.drain = 30000, .token_cache = 60000, .auth_failures = 60,
};

/* ---- files under tests/config ---- */

/* "# expect: 12: text" at *text; false when the line is another. */
static bool
expectation(const char **text, const char *kind, char *want, size_t size)
{
	char prefix[32];
	size_t n, skip;
	const char *end = strchr(*text, '\n');
	char *with;

	skip = (size_t)snprintf(prefix, sizeof prefix, "# %s: ", kind);
	if (end == NULL || strncmp(*text, prefix, skip) != 0)
		return false;
	n = (size_t)(end - *text) - skip;
	with = strndup(*text + skip, n);
	if (with == NULL)
		exit(1);
	snprintf(want, size, "%s", with);
	free(with);
	*text = end + 1;
	return true;
}

static size_t
count_lines(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += *s == '\n';
	return n;
}

/* Is there a line "<dir>/gateway.conf:<line>: ...<text>..." ? want: "12: text". */
static bool
was_said(const char *said, const char *want)
{
	const char *colon = strchr(want, ':');
	char prefix[300];
	int n;

	if (colon == NULL)
		return false;
	n = snprintf(prefix, sizeof prefix, "%s/gateway.conf:%.*s: ", dir, (int)(colon - want), want);
	for (const char *line = said; line != NULL && *line != '\0';) {
		const char *end = strchr(line, '\n');
		const char *hit = strncmp(line, prefix, (size_t)n) == 0 ? strstr(line, colon + 2) : NULL;

		if (hit != NULL && (end == NULL || hit < end))
			return true;
		line = end == NULL ? NULL : end + 1;
	}
	return false;
}

static void
check_bad(const char *name, const char *text)
{
	char want[512], *said = NULL;
	const char *rest = text;
	struct config *c = load_text(span_of(text), false, &said);
	size_t n = 0;
	bool ok;

	ok = CHECK_ROW(c == NULL, name);
	while (expectation(&rest, "expect", want, sizeof want)) {
		ok = CHECK_ROW(was_said(said, want), name) && ok;
		n++;
	}
	ok = CHECK_ROW(n > 0 && count_lines(said) == n, name) && ok;
	if (!ok)
		fprintf(stderr, "    said:\n%s", said);
	config_free(c);
	free(said);
}

static void
check_good(const char *name, const char *text)
{
	char want[512], *said = NULL;
	const char *rest = text;
	struct config *c = load_text(span_of(text), false, &said);
	size_t n = 0;
	bool ok;

	ok = CHECK_ROW(c != NULL, name);
	while (expectation(&rest, "warning", want, sizeof want)) {
		ok = CHECK_ROW(was_said(said, want), name) && ok;
		n++;
	}
	ok = CHECK_ROW(count_lines(said) == n, name) && ok;
	if (!ok)
		fprintf(stderr, "    said:\n%s", said);
	config_free(c);
	free(said);
}

static void
each_file(const char *folder, size_t at_least, void (*check)(const char *name, const char *text))
{
	DIR *d = opendir(folder);
	struct dirent *e;
	size_t n = 0, size;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char path[512], *text, *copy;

		if (!span_ends(span_of(e->d_name), SPAN(".conf")))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		text = slurp(path, &size);
		copy = with_dir(text, "$DIR");
		check(path, copy);
		free(copy);
		free(text);
		n++;
	}
	if (d != NULL)
		closedir(d);
	CHECK(n >= at_least);
}

static struct config *
load_good(const char *path, bool create)
{
	size_t n = 0;
	char *text = slurp(path, &n), *copy = with_dir(text, "$DIR"), *said = NULL;
	struct config *c = load_text(span_of(copy), create, &said);

	if (!CHECK_ROW(c != NULL, path))
		fprintf(stderr, "%s", said);
	free(said);
	free(copy);
	free(text);
	return c;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

static void
test_minimal(void)
{
	struct config *c = load_good("tests/config/good/minimal.conf", false);

	if (c == NULL)
		return;
	CHECK(same(c->external_url, "https://registry.example.com"));
	CHECK(same(c->external_host, "registry.example.com"));
	CHECK(c->n_host_names == 0 && c->workers >= 1);
	CHECK(c->n_cluster_keys == 0 && access(in_dir("cluster.key"), F_OK) != 0);	/* check writes nothing */
	CHECK(c->n_listen == 1 && c->n_upstream == 1 && c->n_issuer == 0);
	CHECK(c->upstream[0].ca_file == NULL && c->upstream[0].authorization == NULL);
	CHECK(c->upstream[0].credentials == CREDENTIALS_NONE && c->upstream[0].redirects == REDIRECT_DENY);
	CHECK(c->upstream[0].n_repositories == 1 && same(c->upstream[0].repositories[0], "*"));
	CHECK(c->upstream[0].tag_max == 128);
	CHECK(same(c->ledger_url, "sqlite:/var/lib/tidewaiter/tags.db") && c->settle == 900 && c->read_back);
	CHECK(same(c->audit_directory, "/var/log/tidewaiter/audit") && c->audit_segment_size == 128u << 20);
	CHECK(c->admin_listen == NULL);
	CHECK(limits_equal(&c->limits, &default_limits));
	CHECK(memcmp(&c->limits.http, &http_limits_default, sizeof http_limits_default) == 0);
	CHECK(memcmp(&c->limits.route, &route_limits_default, sizeof route_limits_default) == 0);
	CHECK(issuer_table_count(c->file_issuers) == 0);
	CHECK(policy_statements(c->policy) == 2);
	config_free(c);
}

static void
check_everything_upstream(const struct config *c)
{
	const struct config_upstream *u = &c->upstream[0];

	CHECK(same(u->alias, "team_a") && u->tls && same(u->host, "harbor.internal") && u->port == 8443);
	CHECK(same(u->path, "/sub/path") && same(u->origin, "https://harbor.internal:8443"));
	CHECK(same(u->host_header, "harbor.internal:8443"));
	CHECK(u->credentials == CREDENTIALS_BASIC && u->redirects == REDIRECT_PASS && u->tag_max == 300);
	CHECK(same(u->authorization, "Basic cm9ib3QkZ2F0ZXdheTpzZWNyZXQ="));	/* robot$gateway:secret */
	CHECK(u->n_redirect_hosts == 2 && same(u->redirect_hosts[0], "*.s3.eu-west-1.amazonaws.com"));
	CHECK(u->n_upload_hosts == 2 && same(u->upload_hosts[0], "https://uploads.example.com"));
	CHECK(same(u->upload_hosts[1], "http://127.0.0.1:9000"));
	u = &c->upstream[1];
	CHECK(same(u->alias, "sidecar") && !u->tls && u->port == 5000 && same(u->path, ""));
	CHECK(same(u->host_header, "127.0.0.1:5000"));
	CHECK(config_upstream_for(c, SPAN("team-a/app")) == &c->upstream[0]);
	CHECK(config_upstream_for(c, SPAN("shared")) == &c->upstream[0]);
	CHECK(config_upstream_for(c, SPAN("shared/x")) == &c->upstream[1]);
}

static void
test_everything(void)
{
	static const struct config_limits limits = {
		.http = { 49152, 9216, 50, 128, 4096, 20480 },
		.route = { 2048, 9216, 300 },
		.manifest = 1u << 20, .manifests = 512u << 20, .connections = 16, .connections_per_ip = 0, .requests_per_connection = 2,
		.tls_handshake = 1500, .first_byte = 2000, .head_total = 3000, .keep_alive = 4000, .body_idle = 5000,
		.body_grace = 6000, .body_min_rate = 0, .write_idle = 7000, .connection_age = 120000,
		.upstream_connect = 200, .upstream_first_byte = 8000, .upstream_idle = 0, .upstream_age = 9000,
		.drain = 10000, .token_cache = 11000, .auth_failures = 12,
	};
	struct config *c = load_good("tests/config/good/everything.conf", false);

	if (c == NULL)
		return;
	CHECK(same(c->external_host, "registry.example.com") && c->workers == 3);
	CHECK(c->n_host_names == 2 && same(c->host_names[0], "mirror.example.com"));
	CHECK(c->n_cluster_keys == 2 && span_eq(c->cluster_keys[0], SPAN("0123456789abcdef0123456789abcdef")) &&
	    span_eq(c->cluster_keys[1], SPAN("ABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP")));
	CHECK(c->n_listen == 2 && c->listen[0].n_certificates == 2 && c->listen[0].n_private_keys == 2);
	CHECK(c->listen[0].client_certificate == CLIENT_CERTIFICATE_NONE && c->listen[0].client_ca == NULL &&
	    !c->listen[0].proxy_protocol && c->listen[0].n_trusted_proxies == 0);
	CHECK(c->listen[1].client_certificate == CLIENT_CERTIFICATE_REQUIRED && c->listen[1].client_crl == NULL &&
	    same(c->listen[1].certificate.issuer, "Certs_1") && c->listen[1].certificate.subject == CERTIFICATE_SUBJECT_CN &&
	    c->listen[1].certificate.groups == CERTIFICATE_GROUPS_OU);
	CHECK(c->listen[1].proxy_protocol && c->listen[1].n_trusted_proxies == 3 && c->listen[1].trusted[0].bits == 8 &&
	    !c->listen[1].trusted[1].v4 && c->listen[1].trusted[2].bits == 32);
	CHECK(c->n_upstream == 2);
	check_everything_upstream(c);
	CHECK(c->n_issuer == 2 && issuer_table_count(c->file_issuers) == 2);
	CHECK(c->issuer[0].algorithms == ((1u << JWS_RS256) | (1u << JWS_ES256)));
	CHECK(c->issuer[1].algorithms == 1u << JWS_RS256);
	CHECK(c->issuer[0].max_lifetime == 7200 && c->issuer[1].max_lifetime == 86400);
	CHECK(c->issuer[0].session == 43200 && c->issuer[1].session == 0 && c->token_lifetime == 300 && c->basic_realm);
	CHECK(c->token_service != NULL && same(token_service_audience(c->token_service), "Registry:5443"));
	CHECK(c->accounts != NULL && accounts_count(c->accounts) == 2 && accounts_find(c->accounts, SPAN("ci"))->n_groups == 2);
	CHECK(revoked_token(c->revoked, SPAN("abc")) && !revoked_token(c->revoked, SPAN("abcd")));
	CHECK(same(c->issuer[0].roles_claim, "cognito:groups") && same(c->issuer[1].roles_claim, "roles"));
	CHECK(policy_statements(c->policy) == 2);	/* the file both patterns name counts once */
	CHECK(c->settle == 90 && !c->read_back && c->audit_segment_size == 1u << 20);
	CHECK(span_ends(span_of(c->ledger_url), SPAN("/tags.db")) && same(c->admin_listen, "127.0.0.1:5480"));
	CHECK(limits_equal(&c->limits, &limits));
	config_free(c);
}

static bool
requires(const struct config_issuer *s, const char *path, const char *value)
{
	for (size_t i = 0; i < s->n_required; i++)
		if (same(s->required[i].path, path))
			return value == NULL ? s->required[i].value == NULL : same(s->required[i].value, value);
	return false;
}

static void
test_issuers(void)
{
	struct config *c = load_good("tests/config/good/issuers.conf", false);
	struct keyset *keys[10] = { NULL };
	struct issuer_table *t;
	const struct config_issuer *s;

	if (c == NULL)
		return;
	s = c->issuer;
	CHECK(same(c->state_directory, "/var/lib/elsewhere") && c->n_issuer == 10 && issuer_table_count(c->file_issuers) == 10);
	CHECK(s[0].preset == PRESET_GITHUB && requires(&s[0], "repository_owner_id", NULL) && s[0].jwks_url == NULL);
	CHECK(s[0].stale_limit == 86400 && s[0].leeway == 60 && !s[0].allow_private && s[1].allow_private);
	CHECK(same(s[2].groups_claim, "groups_direct") && requires(&s[2], "ref_protected", "true") && requires(&s[2], "project_id", NULL));
	CHECK(s[3].algorithms == (1u << JWS_RS256 | 1u << JWS_ES256) && s[3].stale_limit == 3600 && s[3].bearer_token_file != NULL);
	CHECK(requires(&s[3], "sub", "system:serviceaccount:*"));
	CHECK(requires(&s[4], "tid", "11111111-2222-3333-4444-555555555555") && s[4].n_jwks_hosts == 3 && s[4].leeway == 5);
	CHECK(same(s[4].jwks_hosts[0], "more.example:8443") && same(s[4].jwks_hosts[2], "login.windows.net"));
	CHECK(s[5].quirks == ISSUER_EMAIL && s[5].algorithms == 1u << JWS_ES256);
	CHECK(s[6].quirks == ISSUER_CLIENT_ID && same(s[6].groups_claim, "groups") && same(s[6].roles_claim, "cognito:roles"));
	CHECK(same(s[7].roles_claim, "realm_access.roles") && s[7].algorithms == 1u << JWS_RS256);
	CHECK(s[8].quirks == ISSUER_SPIFFE && same(s[8].jwks_url, "https://keys.example.org/bundle?x=1"));
	CHECK(s[9].keys != NULL && requires(&s[9], "team", NULL) && requires(&s[9], "a.b", "c*") && s[9].n_required == 2);
	/* keys that came, in place of those of files */
	keys[0] = s[9].keys;
	t = config_issuer_table(c, keys);
	CHECK(t != NULL && issuer_table_generation(t) != issuer_table_generation(c->file_issuers));
	CHECK(issuer_table_vouches(t, SPAN("github"), span_of(keyset_kid(s[9].keys, 0))));
	CHECK(!issuer_table_vouches(t, SPAN("local"), span_of(keyset_kid(s[9].keys, 0))));
	CHECK(issuer_table_vouches(c->file_issuers, SPAN("local"), span_of(keyset_kid(s[9].keys, 0))));
	issuer_table_unref(t);
	config_free(c);
}

static void
test_edges(void)
{
	struct config *c = load_good("tests/config/good/edges.conf", false);

	if (c == NULL)
		return;
	CHECK(same(c->external_host, "[::1]"));
	CHECK(same(c->upstream[0].host, "fd00::1") && same(c->upstream[0].origin, "https://[fd00::1]"));
	CHECK(same(c->upstream[0].path, "/a_b~c/d.e") && same(c->upstream[1].path, ""));
	CHECK(same(c->upstream[1].username, "back\\slash and \"quote\" /* # //"));
	/* back\slash and "quote" / * # //:secret */
	CHECK(same(c->upstream[1].authorization, "Basic YmFja1xzbGFzaCBhbmQgInF1b3RlIiAvKiAjIC8vOnNlY3JldA=="));
	CHECK(config_upstream_for(c, SPAN("c/d")) == NULL);
	config_free(c);
}

/* ---- what a text file cannot show ---- */

static void
test_bytes(void)
{
	static const char conf[] = "external-url = \"https://a.example\";\n# a comment\0\nworkers = 1;\n";
	char *said = NULL, *large;
	struct config *c = load_text((struct span){ conf, sizeof conf - 1 }, false, &said);

	CHECK(c == NULL && was_said(said, "2: NUL byte") && count_lines(said) == 1);
	config_free(c);
	free(said);
	large = malloc(CONFIG_FILE_MAX + 1);
	if (large == NULL)
		exit(1);
	memset(large, '\n', CONFIG_FILE_MAX + 1);
	c = load_text((struct span){ large, CONFIG_FILE_MAX + 1 }, false, &said);
	CHECK(c == NULL && strstr(said, "gateway.conf: larger than 1048576 bytes") != NULL);
	free(said);
	c = load_text((struct span){ large, CONFIG_FILE_MAX }, false, &said);
	CHECK(c == NULL && strstr(said, "external-url is missing") != NULL);
	free(said);
	free(large);
}

static void
test_no_file(void)
{
	char *said = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&said, &n);
	struct config *c;

	if (out == NULL)
		exit(1);
	CHECK(mkfifo(in_dir("fifo"), 0600) == 0);
	c = config_load_into(in_dir("absent.conf"), false, out);
	CHECK(c == NULL);
	c = config_load_into(in_dir("fifo"), false, out);	/* and does not wait for a writer */
	CHECK(c == NULL);
	c = config_load_into(dir, false, out);
	CHECK(c == NULL);
	fclose(out);
	CHECK(strstr(said, "absent.conf: cannot be read: No such file") != NULL);
	CHECK(strstr(said, "fifo: cannot be read: not a regular file") != NULL);
	CHECK(count_lines(said) == 3);
	free(said);
}

static void
test_cluster_key(void)
{
	struct config *c = load_good("tests/config/good/minimal.conf", true);
	struct config *again = load_good("tests/config/good/minimal.conf", true);
	struct stat st = { 0 };
	char *said = NULL, *bad;
	unsigned n = 0;
	DIR *d;

	CHECK(c != NULL && c->n_cluster_keys == 1 && c->cluster_keys[0].n == 32);
	CHECK(c != NULL && again != NULL && again->n_cluster_keys == 1 &&
	    span_eq(c->cluster_keys[0], again->cluster_keys[0]));
	CHECK(stat(in_dir("cluster.key"), &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size == 32);
	d = opendir(dir);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		n += span_starts(span_of(e->d_name), SPAN("cluster.key"));
	if (d != NULL)
		closedir(d);
	CHECK(n == 1);	/* nothing temporary is left */
	config_free(c);
	config_free(again);
	unlink(in_dir("cluster.key"));

	/* a configuration with a problem leaves no key behind */
	bad = with_dir("cluster-key = \"$DIR/cluster.key\";\n", "$DIR");
	c = load_text(span_of(bad), true, &said);
	CHECK(c == NULL && access(in_dir("cluster.key"), F_OK) != 0);
	free(said);
	free(bad);
}

static void
test_cluster_key_cannot_be_made(void)
{
	size_t n = 0;
	char *text = slurp("tests/config/good/minimal.conf", &n), *said = NULL, *place, *copy;
	struct config *c;

	place = strstr(text, "$DIR/cluster.key");
	CHECK(place != NULL);
	if (place != NULL)
		memcpy(place, "$DIR/absent/.key", strlen("$DIR/absent/.key"));
	copy = with_dir(text, "$DIR");
	c = load_text(span_of(copy), true, &said);
	CHECK(c == NULL && was_said(said, "2: cluster-key: cannot create") && count_lines(said) == 1);
	free(said);
	c = load_text(span_of(copy), false, &said);
	CHECK(c != NULL && *said == '\0');	/* check does not try */
	config_free(c);
	free(said);
	free(copy);
	free(text);
}

static void
test_policy_problems(void)
{
	char *said = NULL, *text = with_dir("policy = { files = [\"$DIR/broken.json\"]; };\n", "$DIR");
	struct config *c = load_text(span_of(text), false, &said);
	char want[300];

	snprintf(want, sizeof want, "%s/broken.json:", dir);
	CHECK(c == NULL && strstr(said, want) != NULL);
	free(said);
	free(text);
	text = with_dir("policy = { files = [\"$DIR*\"]; };\n", "$DIR");
	c = load_text(span_of(text), false, &said);
	snprintf(want, sizeof want, "%s: cannot be read: not a regular file", dir);
	CHECK(c == NULL && strstr(said, want) != NULL);
	free(said);
	free(text);
}

/* A warning is said as one; what is wrong with the rest of the file stays all that is counted. */
static void
test_policy_warning(void)
{
	static const char policy[] = "{\"Version\":\"2026-11-01\",\n\"Statement\":[{\"Sid\":\"Open\",\"Effect\":\"Allow\",\"Principal\":\"*\","
				     "\"Action\":\"registry:Push*\",\"Resource\":\"*\"}]}";
	char *said = NULL, *text = with_dir("policy = { files = [\"$DIR/warned.json\"]; };\n", "$DIR"), want[300], *line;

	write_file("warned.json", SPAN(policy), 0600);
	config_free(load_text(span_of(text), false, &said));
	snprintf(want, sizeof want, "%s/warned.json:2: ", dir);
	line = strstr(said, want);
	CHECK(line != NULL && strncmp(line + strlen(want), "warning: W207 Sid Open: ", 24) == 0);
	free(said);
	free(text);
}

/* Exceptions, OpenVEX and the list of exploited ones: problems by file and line; read whole, or not at all. */
static void
test_exemptions(void)
{
	static const struct {
		const char *option, *file, *said;	/* said NULL: nothing, and there are exemptions */
	} rows[] = {
		{ "exceptions = \"$DIR/exceptions.json\"; kev = \"$DIR/kev.json\"; vex = [\"$DIR/vex.json\", \"$DIR/ve?.json\"]", "", NULL },
		{ "exceptions = \"$DIR/exceptions-bad.json\"", "exceptions-bad.json", ":3: owner is missing" },
		{ "exceptions = \"$DIR/exceptions-bad.json\"", "exceptions-bad.json", ":6: expires must be a time" },
		{ "vex = [\"$DIR/vex*.json\"]", "vex-bad.json", ":4: justification is none of OpenVEX's" },
		{ "kev = \"$DIR/exceptions.json\"", "exceptions.json", ":1: vulnerabilities must be an array" },
		{ "exceptions = \"$DIR/absent.json\"", "absent.json", ": cannot be read" },
		{ "vex = [\"$DIR/absent*.json\"]", "absent*.json", ": no such file" },
		{ "kev = \"$DIR/garbage\"", "garbage", ":1: " },
	};
	size_t n = 0;
	char *minimal = slurp("tests/config/good/minimal.conf", &n), want[400], whole[4096];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *said = NULL, *text;
		struct config *c;

		snprintf(whole, sizeof whole, "%sevidence = { %s; };\n", minimal, rows[i].option);
		text = with_dir(whole, "$DIR");
		c = load_text(span_of(text), false, &said);
		snprintf(want, sizeof want, "%s/%s%s", dir, rows[i].file, rows[i].said != NULL ? rows[i].said : "");
		if (!CHECK_ROW((c != NULL) == (rows[i].said == NULL) && (c != NULL ? c->exemptions != NULL : strstr(said, want) != NULL), rows[i].option))
			fprintf(stderr, "%s", said);
		config_free(c);
		free(said);
		free(text);
	}
	free(minimal);
}

/* ---- the example ---- */

/* "# name = value;" after tabs: an option that is commented out. */
static bool
is_commented_option(const char *line)
{
	size_t n;

	if (strncmp(line, "# ", 2) != 0)
		return false;
	n = strspn(line + 2, "abcdefghijklmnopqrstuvwxyz-");
	return n > 0 && strncmp(line + 2 + n, " = ", 3) == 0;
}

static char *
uncomment(const char *text)
{
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);
	bool begin = true;

	if (f == NULL)
		exit(1);
	while (*text != '\0') {
		if (begin && is_commented_option(text))
			text += 2;
		begin = *text == '\n' || (begin && *text == '\t');
		fputc(*text++, f);
	}
	fclose(f);
	return out;
}

/* Every option this release serves stands in the example, as itself or commented out with its default. */
static void
check_example_complete(const char *text)
{
	config_t tree;

	config_init(&tree);
	CHECK(config_read_string(&tree, text) == CONFIG_TRUE);
	for (size_t i = 0; i < config_n_options; i++) {
		const struct config_option *o = &config_options[i];
		const char *section = config_section_name(o->section);
		char path[96];

		switch (config_section_shape(o->section)) {
		case SHAPE_GROUP:
			snprintf(path, sizeof path, "%s%s%s", section, *section != '\0' ? "." : "", o->name);
			break;
		case SHAPE_NAMED:
			/* those of which none is needed are shown as a comment */
			snprintf(path, sizeof path, "\n#\t\t%s = ", o->name);
			if (o->section == SECTION_SCANNER || o->section == SECTION_TRUST) {
				CHECK_ROW(strstr(text, path) != NULL, path);
				continue;
			}
			snprintf(path, sizeof path, "%s.%s.%s", section,
			    o->section == SECTION_UPSTREAM ? "harbor" : "github", o->name);
			break;
		case SHAPE_LIST:
			snprintf(path, sizeof path, "%s.[0].%s", section, o->name);
			break;
		}
		if (!o->later)
			CHECK_ROW(config_lookup(&tree, path) != NULL, path);
	}
	config_destroy(&tree);
}

/* Each configuration that the guide to issuers shows loads as it stands. */
static void
test_guide(void)
{
	static const char account[] = "/var/run/secrets/kubernetes.io/serviceaccount", open[] = "```conf\n";
	size_t n = 0, blocks = 0;
	char *text = slurp("deploy/guides/issuers.md", &n), *edited = with_dir(text, account);
	char *minimal = slurp("tests/config/good/minimal.conf", &n);

	CHECK(link(in_dir("ec.crt"), in_dir("ca.crt")) == 0 && link(in_dir("password"), in_dir("token")) == 0);
	for (char *p = strstr(edited, open); p != NULL; p = strstr(p, open)) {
		char *end = strstr(p += strlen(open), "```"), *whole = NULL, *said = NULL, *named = with_dir(minimal, "$DIR");
		struct config *c = NULL;

		if (!CHECK(end != NULL) || asprintf(&whole, "%s\nissuer = {\n%.*s};\n", named, (int)(end - p), p) < 0)
			break;
		c = load_text(span_of(whole), false, &said);
		if (!CHECK(c != NULL && *said == '\0' && c->n_issuer == 1))
			fprintf(stderr, "%.*s%s", (int)(end - p), p, said);
		blocks++;
		config_free(c);
		free(whole);
		free(said);
		free(named);
	}
	CHECK(blocks == PRESET_MAX);	/* one for each preset, and one without */
	free(text);
	free(edited);
	free(minimal);
}

static void
test_example(void)
{
	static const char *const renamed[][2] = { { "ec.crt", "tls-ec.crt" }, { "ec.key", "tls-ec.key" },
		{ "ec.crt", "harbor-ca.pem" }, { "password", "harbor.password" },
		{ "policy.json", "policy.d/policy.json" } };
	char *said = NULL, *again_said = NULL, *text, *edited, *full;
	struct config *c, *again;
	size_t n = 0;

	CHECK(mkdir(in_dir("policy.d"), 0700) == 0);
	for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
		CHECK_ROW(link(in_dir(renamed[i][0]), in_dir(renamed[i][1])) == 0, renamed[i][1]);
	text = slurp("gateway.conf.example", &n);
	edited = with_dir(text, "/etc/tidewaiter");
	full = uncomment(edited);
	CHECK(strlen(full) < strlen(edited) - 60);
	check_example_complete(full);
	c = load_text(span_of(edited), false, &said);
	again = load_text(span_of(full), false, &again_said);
	if (!CHECK(c != NULL && again != NULL && *said == '\0' && *again_said == '\0'))
		fprintf(stderr, "%s%s", said, again_said);
	if (c != NULL && again != NULL) {
		/* what is commented out there is the default */
		CHECK(limits_equal(&c->limits, &again->limits) && limits_equal(&c->limits, &default_limits));
		CHECK(same(c->ledger_url, again->ledger_url) && same(c->audit_directory, again->audit_directory));
		CHECK(c->settle == again->settle && c->read_back == again->read_back);
		CHECK(c->audit_segment_size == again->audit_segment_size && c->workers == again->workers);
		CHECK(c->upstream[0].tag_max == again->upstream[0].tag_max);
		CHECK(again->upstream[0].n_repositories == 1 && same(again->upstream[0].repositories[0], "*"));
		CHECK(c->issuer[0].algorithms == again->issuer[0].algorithms);
		CHECK(c->issuer[0].max_lifetime == again->issuer[0].max_lifetime && c->issuer[0].session == again->issuer[0].session);
		CHECK(c->token_lifetime == again->token_lifetime && same(c->token_audience, again->token_audience));
		CHECK(!c->basic_realm && !again->basic_realm && again->revoked_file == NULL);
		CHECK(same(c->issuer[0].groups_claim, again->issuer[0].groups_claim));
	}
	config_free(c);
	config_free(again);
	free(said);
	free(again_said);
	free(full);
	free(edited);
	free(text);
}

int
main(void)
{
	make_files();
	test_sizes();
	test_times();
	test_urls();
	test_hosts();
	test_patterns();
	test_table();
	test_minimal();
	test_everything();
	test_issuers();
	test_edges();
	each_file("tests/config/good", 5, check_good);
	each_file("tests/config/bad", 150, check_bad);
	test_bytes();
	test_no_file();
	test_cluster_key();
	test_cluster_key_cannot_be_made();
	test_policy_problems();
	test_policy_warning();
	test_exemptions();
	test_guide();
	test_example();
	remove_all(dir);
	return check_done();
}
