/*
 * test_refresh.c - when key sets are fetched and forgotten, as a script of times; and the set that is kept on disk.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/issuers/keystore.h"
#include "gateway/issuers/refresh.h"
#include "tests/unit/check.h"

#define S	 REFRESH_SECOND
#define LIMIT	 (86400 * S)
#define T0	 (1000 * S)

/* ---- the machine ---- */

static void
lifetimes(void)
{
	static const struct {
		int64_t max_age, limit, lifetime;
	} rows[] = {
		{ -1, LIMIT, 600 * S }, { 0, LIMIT, 60 * S }, { 59, LIMIT, 60 * S }, { 60, LIMIT, 60 * S }, { 61, LIMIT, 61 * S },
		{ 3600, LIMIT, 3600 * S }, { 86400, LIMIT, 86400 * S }, { 86401, LIMIT, 86400 * S }, { INT64_MAX, LIMIT, 86400 * S },
		{ INT64_MAX, 744 * 3600 * S, 86400 * S }, { 86400, 3600 * S, 3600 * S }, { -1, 60 * S, 60 * S },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct refresh r;

		refresh_init(&r, rows[i].limit, T0);
		CHECK(refresh_due(&r, T0));
		refresh_begin(&r);
		CHECK(!refresh_due(&r, T0 + LIMIT));	/* one at a time */
		refresh_done(&r, rows[i].max_age, 0, T0);
		CHECK(r.lifetime == rows[i].lifetime && r.due == T0 + rows[i].lifetime * 8 / 10);
		refresh_begin(&r);
		refresh_done(&r, rows[i].max_age, UINT32_MAX, T0);
		CHECK(r.due < T0 + rows[i].lifetime * 8 / 10 && r.due >= T0 + rows[i].lifetime * 7 / 10);
		CHECK(!refresh_due(&r, r.due - 1) && refresh_due(&r, r.due) && refresh_next(&r) == r.due);
	}
}

static void
failures(void)
{
	struct refresh r;
	int64_t now = T0, longest = 0;

	/* never had keys: soon again, then once a minute */
	refresh_init(&r, LIMIT, now);
	for (int i = 0; i < 20; i++) {
		refresh_begin(&r);
		refresh_failed(&r, 0, now);
		CHECK(!refresh_has_keys(&r) && r.due > now && r.due - now <= 60 * S && r.due - now >= longest);
		longest = r.due - now;
		now = r.due;
	}
	CHECK(longest == 60 * S && r.failures == 20);
	refresh_begin(&r);
	refresh_done(&r, 60, 0, now);
	CHECK(r.failures == 0 && refresh_has_keys(&r));
	/* has keys: they stay, and nothing makes them last longer */
	now = r.due;
	for (int i = 0; i < 2000 && !refresh_expired(&r, now); i++) {
		refresh_begin(&r);
		refresh_failed(&r, UINT32_MAX, now);
		CHECK(r.due > now && r.due - now <= 300 * S && refresh_has_keys(&r));
		now = refresh_next(&r);
	}
	CHECK(now == r.fetched + LIMIT && !refresh_expired(&r, now - 1));
	refresh_forget(&r);
	CHECK(!refresh_has_keys(&r) && !refresh_expired(&r, now + LIMIT));
	CHECK(refresh_next(&r) == r.due);
}

static void
asking(void)
{
	static const struct {
		int64_t at;	/* seconds after the first fetch */
		enum refresh_answer answer;
	} script[] = {
		{ 1, REFRESH_BEGIN }, { 2, REFRESH_NO }, { 30, REFRESH_NO }, { 31, REFRESH_BEGIN }, { 60, REFRESH_NO },
		{ 61, REFRESH_BEGIN }, { 61, REFRESH_NO }, { 200, REFRESH_BEGIN },
	};
	struct refresh r;

	refresh_init(&r, LIMIT, T0);
	/* the first set is not there: wait for the fetch, but do not begin more of them */
	CHECK(refresh_ask(&r, T0) == REFRESH_NO);
	refresh_begin(&r);
	CHECK(refresh_ask(&r, T0) == REFRESH_JOIN);
	refresh_failed(&r, 0, T0);
	CHECK(refresh_ask(&r, T0) == REFRESH_NO && r.asked == REFRESH_NEVER);
	refresh_begin(&r);
	refresh_done(&r, 3600, 0, T0);
	for (size_t i = 0; i < sizeof script / sizeof *script; i++) {
		enum refresh_answer a = refresh_ask(&r, T0 + script[i].at * S);

		CHECK(a == script[i].answer);
		if (a != REFRESH_BEGIN)
			continue;
		refresh_begin(&r);
		CHECK(refresh_ask(&r, T0 + script[i].at * S) == REFRESH_JOIN);
		if (i % 2 == 0)
			refresh_done(&r, 3600, 0, T0 + script[i].at * S);
		else
			refresh_failed(&r, 0, T0 + script[i].at * S);
	}
}

static void
restoring(void)
{
	static const struct {
		int64_t age;
		bool good;
	} rows[] = { { 0, true }, { LIMIT - 1, true }, { LIMIT, false }, { LIMIT + 1, false }, { -1, false }, { INT64_MAX, false } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct refresh r;

		refresh_init(&r, LIMIT, T0);
		CHECK(refresh_restore(&r, rows[i].age, T0) == rows[i].good && refresh_has_keys(&r) == rows[i].good);
		CHECK(refresh_due(&r, T0));	/* fetched at once all the same */
		if (!rows[i].good)
			continue;
		CHECK(refresh_expired(&r, T0 + LIMIT - rows[i].age) && !refresh_expired(&r, T0 + LIMIT - rows[i].age - 1));
		refresh_begin(&r);
		refresh_failed(&r, 0, T0);
		CHECK(refresh_next(&r) <= T0 + LIMIT - rows[i].age);
		CHECK(refresh_ask(&r, T0) == REFRESH_BEGIN);
	}
}

/* ---- the file ---- */

static char dir[] = "/tmp/tidewaiter-test-keystore-XXXXXX", path[256];

static bool
load(const char *issuer, const char *source, int64_t now, struct kept_keys *k, char *err)
{
	*k = (struct kept_keys){ .issuer = issuer, .source = source };
	return keystore_load(path, k, now, err, 256);
}

static void
put(const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	if (CHECK(f != NULL) && f != NULL) {
		CHECK(fwrite(text, 1, n, f) == n);
		fclose(f);
	}
}

static char *
get(size_t *n)
{
	static char text[4096];
	FILE *f = fopen(path, "r");

	*n = f == NULL ? 0 : fread(text, 1, sizeof text, f);
	if (f != NULL)
		fclose(f);
	return text;
}

static void
garbled(void)
{
	static const char *const texts[] = {
		"", "{}", "[]", "null", "not JSON", "{\"version\":1}",
		"{\"version\":2,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":1000,\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":\"1000\",\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":1000,\"keys\":\"\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":1000,\"keys\":{}}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":-1,\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":1061,\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"issuer\":\"https://i\",\"source\":\"s\",\"fetched\":1000,\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://j\",\"source\":\"s\",\"fetched\":1000,\"keys\":\"{}\"}",
		"{\"version\":1,\"issuer\":\"https://i\",\"source\":\"t\",\"fetched\":1000,\"keys\":\"{}\"}",
	};
	struct kept_keys k;
	char err[256];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		put(texts[i], strlen(texts[i]));
		CHECK_ROW(!load("https://i", "s", 1000, &k, err) && k.document == NULL && err[0] != '\0', texts[i]);
	}
}

static void
keystore(void)
{
	static char document[] = "{\"keys\":[{\"kid\":\"\\u00e4 \\\"x\\\"\"}]}";
	struct kept_keys k = { "https://i", "s\n1", 1000, document, sizeof document - 1 }, back;
	char err[256], *text;
	struct stat st;
	size_t n;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/keys.json", dir);
	CHECK(!load("https://i", "s\n1", 1000, &back, err) && err[0] == '\0');	/* none was kept */
	CHECK(keystore_save(path, &k, err, sizeof err));
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	if (CHECK(load("https://i", "s\n1", 1000, &back, err)))
		CHECK(back.fetched == 1000 && back.n == k.n && memcmp(back.document, document, k.n) == 0);
	free(back.document);
	/* cut anywhere, it is not used */
	text = get(&n);
	text = memcpy(malloc(n + 1), text, n);
	for (size_t i = 0; i < n; i++) {
		put(text, i);
		CHECK(!load("https://i", "s\n1", 1000, &back, err) && back.document == NULL && err[0] != '\0');
	}
	/* garbled, it is not used, or it is what it was but for the document */
	for (size_t i = 0; i < n; i++) {
		text[i] ^= 4;
		put(text, n);
		text[i] ^= 4;
		if (load("https://i", "s\n1", 1000, &back, err))
			CHECK(back.fetched <= 1060 && back.document != NULL);
		free(back.document);
	}
	free(text);
	garbled();
	CHECK(keystore_save(path, &k, err, sizeof err));	/* over it */
	CHECK(load("https://i", "s\n1", 1000, &back, err));
	free(back.document);
	unlink(path);
	rmdir(dir);
	CHECK(!keystore_save(path, &k, err, sizeof err) && strstr(err, path) != NULL);
}

int
main(void)
{
	lifetimes();
	failures();
	asking();
	restoring();
	keystore();
	return check_done();
}
