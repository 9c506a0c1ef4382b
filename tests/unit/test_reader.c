/*
 * test_reader.c - the events of an audit directory in order, whatever else lies there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/reader.h"
#include "tests/unit/check.h"

#define LINE(second, n) "{\"time\":\"2026-11-27T12:00:" second ".000000Z\",\"n\":" n "}\n"

static char top[] = "/tmp/tidewaiter-reader-XXXXXX";

static void
put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", top, name);
	f = fopen(path, "a");
	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		exit(1);
}

struct seen {
	char n[64];	/* the numbers, in order */
	size_t most;	/* lines wanted; 0: all */
	size_t got;
};

static bool
on_line(void *ctx, struct span line)
{
	struct seen *s = ctx;
	size_t at = strlen(s->n);

	snprintf(s->n + at, sizeof s->n - at, "%c", line.p[line.n - 2]);
	return ++s->got != s->most;
}

static const struct row {
	const char *name, *path;
	int64_t since, until;
	size_t most;
	const char *seen;
	uint64_t broken;
} rows[] = {
	{ "all, closed segments first", "", 0, 0, 0, "123456", 3 },
	{ "from a second on", "", 1795780803, 0, 0, "3456", 3 },
	{ "before a second", "", 0, 1795780803, 0, "12", 3 },
	{ "between", "", 1795780802, 1795780804, 0, "23", 3 },
	{ "enough", "", 0, 0, 4, "1234", 1 },
	{ "one file", "/current.jsonl", 0, 0, 0, "56", 2 },
};

static bool
read_row(const struct row *r, struct seen *s, struct audit_reader *reader, char *err, size_t err_size)
{
	static char path[256];

	snprintf(path, sizeof path, "%s%s", top, r->path);
	*s = (struct seen){ .most = r->most };
	*reader = (struct audit_reader){ .path = path, .since = r->since, .until = r->until };
	return audit_read(reader, on_line, s, err, err_size);
}

static void
test_rows(void)
{
	char *long_line = malloc(3000001), err[256];
	struct audit_reader reader;
	struct seen s;

	memset(long_line, 'x', 3000000);
	long_line[3000000] = '\0';
	put("00000000000000000001.jsonl", LINE("01", "1") LINE("02", "2"));
	put("00000000000000000003.jsonl", LINE("03", "3") "no event\n" LINE("04", "4"));
	put("torn.1795780000", LINE("05", "9"));
	put("notes.jsonl", LINE("05", "8"));
	put("current.jsonl", LINE("05", "5"));
	put("current.jsonl", long_line);
	put("current.jsonl", "\n" LINE("06", "6") "{\"time\":\"2026\"}\n" "{\"time\":\"2026-11-27T12:00:07.000000Z\",\"n\":7");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		CHECK_ROW(read_row(&rows[i], &s, &reader, err, sizeof err), rows[i].name);
		if (!CHECK_ROW(strcmp(s.n, rows[i].seen) == 0 && reader.lines == strlen(rows[i].seen) && reader.broken == rows[i].broken,
			rows[i].name))
			fprintf(stderr, "    %s, %lu broken\n", s.n, (unsigned long)reader.broken);
	}
	free(long_line);
}

/* What was written last before that time is not even opened for reading; its name is looked at. */
static void
test_old(void)
{
	const struct row later = { .path = "", .since = 1795780805 };
	const struct timespec then[2] = { { .tv_sec = 1795780804 }, { .tv_sec = 1795780804 } };
	struct audit_reader reader;
	char path[256], err[256];
	struct seen s;

	snprintf(path, sizeof path, "%s/00000000000000000003.jsonl", top);
	put("00000000000000000003.jsonl", LINE("09", "a"));
	CHECK(read_row(&later, &s, &reader, err, sizeof err) && strcmp(s.n, "a56") == 0);
	CHECK(utimensat(AT_FDCWD, path, then, 0) == 0);
	CHECK(read_row(&later, &s, &reader, err, sizeof err) && strcmp(s.n, "56") == 0);
}

static void
test_none(void)
{
	struct row nothing = { .path = "/nothing" };
	struct audit_reader reader;
	char path[256], err[256];
	struct seen s;

	CHECK(!read_row(&nothing, &s, &reader, err, sizeof err) && strstr(err, "No such file") != NULL);
	snprintf(path, sizeof path, "%s/empty", top);
	CHECK(mkdir(path, 0700) == 0);
	nothing.path = "/empty";
	CHECK(!read_row(&nothing, &s, &reader, err, sizeof err) && strstr(err, "no audit log here") != NULL);
	snprintf(path, sizeof path, "%s/empty/current.jsonl", top);
	CHECK(mkfifo(path, 0600) == 0);
	CHECK(!read_row(&nothing, &s, &reader, err, sizeof err) && strstr(err, "Invalid argument") != NULL);
	CHECK(unlink(path) == 0);
	put("empty/current.jsonl", "");
	CHECK(read_row(&nothing, &s, &reader, err, sizeof err) && reader.lines == 0 && reader.broken == 0);
}

static void
clean(void)
{
	static const char *const names[] = { "00000000000000000001.jsonl", "00000000000000000003.jsonl", "torn.1795780000", "notes.jsonl",
		"current.jsonl", "empty/current.jsonl", "empty" };
	char path[256];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", top, names[i]);
		CHECK(remove(path) == 0);
	}
	CHECK(rmdir(top) == 0);
}

int
main(void)
{
	if (mkdtemp(top) == NULL)
		return 1;
	test_rows();
	test_old();
	test_none();
	clean();
	return check_done();
}
