/*
 * fmt.c - `tidewaiter policy fmt`: documents in their canonical form.
 * Invariant: a file is replaced whole, and only by a text that compiles to the same statements.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/commands/policy/tool.h"
#include "policy/format.h"

#define FORMAT_BYTES_MAX ((size_t)1 << 30)

static const char usage[] =
    "usage: tidewaiter policy fmt [-w | --check] FILE...\n"
    "\n"
    "Prints documents in their canonical form: two blanks a level, members of documents and statements in the order of\n"
    "the manual, actions and keys in their own case, a list on one line where it fits into 100 columns. Strings, numbers,\n"
    "comments (\"//\") and the order of statements, operators and values stay as they are. What a document means never\n"
    "changes: one that does not load, by itself or together with the other files, is refused.\n"
    "\n"
    "  -w, --write  replace the files instead\n"
    "  --check      print the names of files that are not in this form, and exit with 1 if there are any\n";

enum mode { MODE_PRINT = 0, MODE_WRITE, MODE_CHECK };

static bool
write_whole(int fd, struct span text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n <= 0)
			return false;
		text = span_skip(text, (size_t)n);
	}
	return fsync(fd) == 0;
}

/* In its folder, under another name first; a symbolic link stays one. */
static bool
replace(const char *name, struct span text)
{
	char *path = realpath(name, NULL), other[4096];
	struct stat st;
	bool ok = false;
	int fd;

	if (path != NULL && stat(path, &st) == 0 && snprintf(other, sizeof other, "%s.XXXXXX", path) < (int)sizeof other) {
		fd = mkstemp(other);
		ok = fd >= 0 && fchmod(fd, st.st_mode & 07777) == 0 && write_whole(fd, text);
		ok = fd >= 0 && close(fd) == 0 && ok && rename(other, path) == 0;
		if (!ok && fd >= 0)
			unlink(other);
	}
	if (!ok)
		fprintf(stderr, "%s: cannot be replaced: %s\n", name, strerror(errno));
	free(path);
	return ok;
}

/* False: something is wrong, or differs where that is asked. */
static bool
deliver(enum mode mode, const struct policy_source *s, struct span text)
{
	bool differs = !span_eq(s->text, text);

	switch (mode) {
	case MODE_PRINT:
		return fwrite(text.p, 1, text.n, stdout) == text.n;
	case MODE_WRITE:
		return !differs || replace(s->name, text);
	case MODE_CHECK:
		if (differs)
			puts(s->name);
		return !differs;
	}
	return false;
}

/* Documents that load together; what comes out must compile to what went in. */
static bool
format_all(struct documents *d, const struct policy *before, enum mode mode)
{
	struct policy_source *formatted = calloc(d->n, sizeof *formatted);
	struct arena *a = arena_new(FORMAT_BYTES_MAX);
	struct policy *after = NULL;
	bool ok = formatted != NULL && a != NULL;

	for (size_t i = 0; ok && i < d->n; i++) {
		formatted[i] = (struct policy_source){ d->sources[i].name, policy_format(a, d->sources[i].text) };
		ok = formatted[i].text.p != NULL;
	}
	if (!ok) {
		fputs("tidewaiter policy: out of memory\n", stderr);
	} else {
		after = documents_compile(d, formatted, d->n);
		ok = after != NULL && policy_same(before, after);
		if (!ok)
			fprintf(stderr, "%s: its canonical form would mean something else: nothing is changed; please report it\n",
			    d->sources[0].name);
	}
	for (size_t i = 0; after != NULL && policy_same(before, after) && i < d->n; i++)
		ok = deliver(mode, &d->sources[i], formatted[i].text) && ok;
	policy_unref(after);
	arena_free(a);
	free(formatted);
	return ok;
}

/* False after saying why they do not load, if wanted. */
static bool
format_files(char **paths, size_t n, enum mode mode, bool say, bool *loads)
{
	struct documents *d = documents_new(true, LINTING_OFF);
	struct policy *p = d == NULL ? NULL : documents_load(d, paths, n);
	bool ok = p != NULL && format_all(d, p, mode);

	*loads = p != NULL;
	if (p == NULL && d != NULL && say)
		documents_say(d);
	policy_unref(p);
	documents_free(d);
	return ok;
}

static int
fmt(char **paths, size_t n, enum mode mode)
{
	bool loads = false, ok = n > 1 && format_files(paths, n, mode, false, &loads);

	if (loads)
		return ok && fflush(stdout) == 0 ? 0 : 1;
	/* no bundle, but files that stand for themselves */
	ok = true;
	for (size_t i = 0; i < n; i++)
		ok = format_files(paths + i, 1, mode, true, &loads) && ok;
	return fflush(stdout) == 0 && ok ? 0 : 1;
}

int
tool_fmt(int argc, char **argv)
{
	static const struct option options[] = {
		{ "write", no_argument, NULL, 'w' },
		{ "check", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	enum mode mode = MODE_PRINT;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hw", options, NULL)) != -1) {
		if (opt == 'h')
			return fputs(usage, stdout), 0;
		if ((opt != 'w' && opt != 'c') || mode != MODE_PRINT)
			return fputs(usage, stderr), 2;
		mode = opt == 'w' ? MODE_WRITE : MODE_CHECK;
	}
	if (optind == argc)
		return fputs(usage, stderr), 2;
	return fmt(argv + optind, (size_t)(argc - optind), mode);
}
