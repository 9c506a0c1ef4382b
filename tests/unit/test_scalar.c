/*
 * test_scalar.c - numbers, dates, versions, calendars, and what clients say they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <time.h>

#include "policy/client.h"
#include "policy/scalar.h"
#include "tests/unit/check.h"

static void
test_numbers(void)
{
	static const struct {
		const char *text;
		int64_t whole;
		uint32_t nano;
	} rows[] = {
		{ "0", 0, 0 }, { "-0", 0, 0 }, { "007", 7, 0 }, { "-7", -7, 0 }, { "1.5", 1, 500000000 }, { "-1.5", -2, 500000000 },
		{ "-0.000000001", -1, 999999999 }, { "9223372036854775807.999999999", INT64_MAX, 999999999 },
		{ "-9223372036854775807", -INT64_MAX, 0 }, { "-9223372036854775807.5", INT64_MIN, 500000000 },
	};
	static const char *const bad[] = { "", "-", "+1", ".", "1.", ".1", "1e3", "0x1", " 1", "1 ", "1.1.1", "1.0000000000",
		"9223372036854775808", "99999999999999999999", "--1", "1-", "nan" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct number n;

		CHECK_ROW(number_parse(span_of(rows[i].text), &n) && n.whole == rows[i].whole && n.nano == rows[i].nano, rows[i].text);
		for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
			struct number m = { rows[k].whole, rows[k].nano };
			int order = rows[i].whole != rows[k].whole ? (rows[i].whole < rows[k].whole ? -1 : 1) :
								     (rows[i].nano > rows[k].nano) - (rows[i].nano < rows[k].nano);

			CHECK_ROW(number_compare(&n, &m) == order, rows[k].text);
		}
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct number n;

		CHECK_ROW(!number_parse(span_of(bad[i]), &n), bad[i]);
	}
	CHECK(!number_parse(SPAN("1\0"), &(struct number){ 0 }));
}

/* Every 997th hour of 1,300 years, against libc. */
static void
test_calendar(void)
{
	size_t differ = 0;

	for (int64_t t = -20000000000; t < 21000000000; t += 997 * 3600 + 61) {
		time_t libc = (time_t)t;
		struct tm tm;
		struct civil c;

		gmtime_r(&libc, &tm);
		civil_of(t, &c);
		differ += c.year != tm.tm_year + 1900 || c.month != tm.tm_mon + 1 || c.day != tm.tm_mday || c.hour != tm.tm_hour ||
		    c.minute != tm.tm_min || c.second != tm.tm_sec || c.weekday != (tm.tm_wday + 6) % 7;
		differ += civil_days(c.year, c.month, c.day) * 86400 + c.hour * 3600 + c.minute * 60 + c.second != t;
	}
	CHECK(differ == 0);
}

static void
test_dates(void)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 }, { "1970-01-01t00:00:00z", 0 }, { "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:30:00-00:30", 0 }, { "2000-02-29T00:00:00Z", 951782400 }, { "2100-03-01T00:00:00Z", 4107542400 },
		{ "9999-12-31T23:59:59Z", 253402300799 }, { "2016-12-31T23:59:60Z", 1483228800 }, { "1800000000", 1800000000 }, { "-1", -1 },
		{ "2026-12-01T11:00:00.999Z", 1796122800 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct number n;

		CHECK_ROW(date_parse(span_of(rows[i].text), &n) && n.whole == rows[i].seconds, rows[i].text);
		for (size_t cut = strlen(rows[i].text) - 1; cut > 4 && strchr(rows[i].text, '-') > rows[i].text; cut--)
			CHECK_ROW(!date_parse((struct span){ rows[i].text, cut }, &n), rows[i].text);
	}
	CHECK(!date_parse(SPAN("2100-02-29T00:00:00Z"), &(struct number){ 0 }));
	CHECK(!date_parse(SPAN("2026-12-01T11:00:61Z"), &(struct number){ 0 }));
	CHECK(!date_parse(SPAN("2026-12-01T11:00:00+24:00"), &(struct number){ 0 }));
}

static void
test_versions(void)
{
	/* in order; those on one line are equal */
	static const char *const order[][3] = { { "0", "0.0", "00" }, { "0.0.1" }, { "0.9" }, { "0.10" }, { "1", "1.0.0.0", "01" }, { "1.6.3" },
		{ "1.6.20" }, { "9.1" }, { "24", "24.0" }, { "999999999.1.2.3.4.5.6.7" } };
	static const char *const bad[] = { "", ".", "1.", ".1", "1..1", "v1", "1a", "1.1-rc", "1.2.3.4.5.6.7.8.9", "1000000000", "-1" };
	size_t n = sizeof order / sizeof *order;

	for (size_t i = 0; i < n * 3; i++) {
		for (size_t k = 0; k < n * 3; k++) {
			const char *a = order[i / 3][i % 3], *b = order[k / 3][k % 3];
			struct version x, y;

			if (a == NULL || b == NULL)
				continue;
			CHECK_ROW(version_parse(span_of(a), &x) && version_parse(span_of(b), &y), a);
			CHECK_ROW(version_compare(&x, &y) == (i / 3 > k / 3) - (i / 3 < k / 3), a);
		}
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ROW(!version_parse(span_of(bad[i]), &(struct version){ { 0 } }), bad[i]);
}

static void
test_clients(void)
{
	static const struct {
		const char *user_agent, *product, *version, *os;
	} rows[] = {
		/* as sent by the clients of Debian 12 */
		{ "docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64 "
		  "UpstreamClient(Docker-Client/20.10.24 \\(linux\\))", "docker", "20.10.24", "linux" },
		{ "containers/5.23.1 (github.com/containers/image)", "containers", "5.23.1", "" },
		{ "skopeo/1.9.3", "skopeo", "1.9.3", "" },
		{ "Buildah/1.28.2", "buildah", "1.28.2", "" },
		{ "containerd/1.6.20~ds1", "containerd", "1.6.20", "" },
		{ "minipass-fetch/5.0.2 (+https://github.com/isaacs/minipass-fetch)", "minipass-fetch", "5.0.2", "" },
		/* and by others */
		{ "libpod/4.3.1", "podman", "4.3.1", "" },
		{ "cosign/v2.2.0 (linux; amd64) go-containerregistry/v0.16.1", "cosign", "2.2.0", "linux" },
		{ "go-containerregistry/v0.16.1", "crane", "0.16.1", "" },
		{ "Helm/3.12.0", "helm", "3.12.0", "" },
		{ "oras-go", "oras", "", "" },
		{ "Docker-Client/28.2.2 (Darwin)", "docker-client", "28.2.2", "darwin" },
		{ "docker/27.0 (windows)", "docker", "27.0", "windows" },
		/* and by nobody in good faith */
		{ "", "", "", "" },
		{ "/1.2", "", "", "" },
		{ " docker/1", "", "", "" },
		{ "docker", "docker", "", "" },
		{ "docker/", "docker", "", "" },
		{ "docker /1", "docker", "", "" },
		{ "docker/v", "docker", "", "" },
		{ "docker/.1", "docker", "", "" },
		{ "docker/1..2", "docker", "1", "" },
		{ "docker/1.", "docker", "1", "" },
		{ "docker/vv1", "docker", "", "" },
		{ "DOCKER/24", "docker", "24", "" },
		{ "d\xc3\xb6" "cker/24", "d", "", "" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1", "", "1", "" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct client c;

		client_parse(span_of(rows[i].user_agent), &c);
		CHECK_ROW(span_eq(c.product, span_of(rows[i].product)), rows[i].user_agent);
		CHECK_ROW(span_eq(c.version, span_of(rows[i].version)), rows[i].user_agent);
		CHECK_ROW(span_eq(c.os, span_of(rows[i].os)), rows[i].user_agent);
	}
	client_parse(SPAN_NONE, &(struct client){ 0 });
}

int
main(void)
{
	test_numbers();
	test_calendar();
	test_dates();
	test_versions();
	test_clients();
	return check_done();
}
