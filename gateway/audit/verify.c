/*
 * verify.c - `tidewaiter audit verify`: is every event there, unchanged, in order?
 * Invariant: "chain ok" is said only when every line of every file was read and follows the line before it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/listing.h"
#include "gateway/commands/command.h"

#define NOTES_MAX	8u

struct verify {
	struct chain_scan scan;
	bool json;
	uint64_t files;
	unsigned n_notes;
	char notes[NOTES_MAX][256];
	/* the first problem; line 0: the file as a whole */
	char *file;
	uint64_t line;
	char reason[256];
};

static bool
problem(struct verify *v, const char *file, uint64_t line, const char *reason)
{
	if (v->reason[0] != '\0')
		return false;
	v->file = strdup(file);
	v->line = line;
	snprintf(v->reason, sizeof v->reason, "%s", reason);
	return false;
}

/* Beyond NOTES_MAX the last one again: nobody reads more. */
static void PRINTF(2, 3)
note(struct verify *v, const char *fmt, ...)
{
	char *to = v->notes[v->n_notes < NOTES_MAX ? v->n_notes++ : NOTES_MAX - 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to, sizeof v->notes[0], fmt, ap);
	va_end(ap);
}

static void
on_progress(uint64_t bytes)
{
	static time_t last;
	time_t now = time(NULL);

	if (last == 0)
		last = now;
	if (now <= last)
		return;
	last = now;
	fprintf(stderr, "\r%" PRIu64 " MiB of this file ", bytes / (1024 * 1024));
}

/* ---- one file ---- */

/* A half line at the end of the file that is being written is not a break: it will be finished, or moved away. */
static bool
unfinished(struct verify *v, const char *name, const char *base)
{
	if (!v->scan.torn || strcmp(base, SEGMENT_CURRENT) != 0 || v->scan.size - v->scan.good > CHAIN_LINE)
		return false;
	note(v, "%s ends in the middle of a line: being written, or left by a crash", name);
	v->scan.reason[0] = '\0';
	return true;
}

static bool
verify_fd(struct verify *v, int fd, const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash == NULL ? name : slash + 1;
	uint64_t named = 0;
	char reason[128];

	v->files++;
	if (!chain_scan_file(&v->scan, fd))
		return problem(v, name, 0, errno == 0 ? "out of memory" : strerror(errno));
	if (v->scan.reason[0] != '\0' && !unfinished(v, name, base))
		return problem(v, name, v->scan.file_lines + 1, v->scan.reason);
	if (!segment_is_closed_name(base, &named))
		return true;
	if (v->scan.file_lines == 0)
		return problem(v, name, 0, "a closed segment without events");
	if (named == v->scan.file_first_seq)
		return true;
	snprintf(reason, sizeof reason, "begins with seq %" PRIu64 ", which is not its name", v->scan.file_first_seq);
	return problem(v, name, 1, reason);
}

static bool
verify_file(struct verify *v, int dir, const char *path, const char *shown)
{
	int fd = listing_file(dir, path);
	bool ok;

	if (fd < 0)
		return problem(v, shown, 0, errno == EINVAL ? "not a file" : strerror(errno));
	ok = verify_fd(v, fd, shown);
	close(fd);
	return ok;
}

/* ---- a directory ---- */

struct looking {
	struct verify *v;
	const char *path;
};

static void
on_aside(void *ctx, const char *name)
{
	struct looking *at = ctx;

	if (name[0] == 't')
		note(at->v, "%s/%s: cut off after a crash; look into it if there was none", at->path, name);
	else
		note(at->v, "%s/%s: somebody put it in the place of a segment", at->path, name);
}

static bool
verify_listed(struct verify *v, const char *path, const struct listing *l)
{
	char name[SEGMENT_NAME], shown[4096];

	for (size_t i = 0; i < l->n; i++) {
		listing_name(l, i, name);
		snprintf(shown, sizeof shown, "%s/%s", path, name);
		if (!verify_file(v, l->dir, name, shown))
			return false;
	}
	snprintf(shown, sizeof shown, "%s/" SEGMENT_CURRENT, path);
	switch (l->state) {
	case CURRENT_ABSENT:
		note(v, "%s is not there", shown);
		return true;
	case CURRENT_THERE:
		return verify_fd(v, l->current, shown);
	case CURRENT_CLOSED:
		break;
	}
	return true;
}

static bool
verify_path(struct verify *v, const char *path)
{
	struct looking at = { v, path };
	struct listing l;
	bool ok;

	if (!listing_open(&l, path, on_aside, &at))
		ok = errno == ENOTDIR ? verify_file(v, AT_FDCWD, path, path) :
		    problem(v, path, 0, errno == 0 ? "out of memory" : errno == EINVAL ? SEGMENT_CURRENT " is not a file" : strerror(errno));
	else if (l.state == CURRENT_ABSENT && l.n == 0)
		ok = problem(v, path, 0, "no audit log here");
	else
		ok = verify_listed(v, path, &l);
	listing_close(&l);
	return ok;
}

/* ---- what is said ---- */

static void
print_text(const struct verify *v)
{
	const struct chain_scan *s = &v->scan;
	char hash[2 * CHAIN_HASH + 1];

	for (unsigned i = 0; i < v->n_notes; i++)
		printf("note: %s\n", v->notes[i]);
	if (v->reason[0] != '\0') {
		if (v->line > 0)
			fprintf(stderr, "%s:%" PRIu64 ": %s\n", v->file, v->line, v->reason);
		else
			fprintf(stderr, "%s: %s\n", v->file == NULL ? "audit verify" : v->file, v->reason);
		fprintf(stderr, "chain BROKEN after %" PRIu64 " good events, seq %" PRIu64 "\n", s->lines, s->chain.seq);
		return;
	}
	if (s->lines == 0) {
		printf("chain ok: no events yet\n");
		return;
	}
	chain_hex(s->chain.hash, hash);
	printf("chain ok: %" PRIu64 " events in %" PRIu64 " files, seq %" PRIu64 " to %" PRIu64 ", %s to %s, last hash %s\n",
	    s->lines, v->files, s->first_seq, s->chain.seq, s->first_time, s->last_time, hash);
}

static bool
print_json(const struct verify *v)
{
	const struct chain_scan *s = &v->scan;
	char hash[2 * CHAIN_HASH + 1];
	json_t *notes = json_array(), *o;
	bool ok;

	chain_hex(s->chain.hash, hash);
	for (unsigned i = 0; i < v->n_notes; i++)
		json_array_append_new(notes, json_string(v->notes[i]));
	o = json_pack("{s:b, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:o}", "ok", v->reason[0] == '\0', "events", (json_int_t)s->lines,
	    "files", (json_int_t)v->files, "first_seq", (json_int_t)s->first_seq, "last_seq", (json_int_t)s->chain.seq,
	    "first_time", s->first_time, "last_time", s->last_time, "last_hash", hash, "notes", notes);
	if (v->reason[0] != '\0') {
		json_object_set_new(o, "file", json_string(v->file == NULL ? "" : v->file));
		json_object_set_new(o, "line", json_integer((json_int_t)v->line));
		json_object_set_new(o, "reason", json_string(v->reason));
	}
	ok = o != NULL && json_dumpf(o, stdout, 0) == 0;
	putchar('\n');
	json_decref(o);
	return ok;
}

/* ---- the command ---- */

static const char usage[] =
    "usage: tidewaiter audit verify [--json] DIRECTORY|FILE...\n"
    "\n"
    "Check that the audit log is whole: every line an event, seq without gaps, each line's prev the hash of the line\n"
    "before it. Of a directory, its closed segments in order, then current.jsonl; files in the order given. All\n"
    "arguments together are one chain. Segments missing at the beginning are allowed, and said.\n"
    "The first break is written to standard error as file:line: reason. The gateway may be running.\n"
    "\n"
    "  --json   the result as one JSON object on standard output\n"
    "\n"
    "Exit status: 0 whole, 1 broken or unreadable, 2 the command line was not understood.\n";

static int
verify_command(struct verify *v, int n, char **paths)
{
	bool tty = isatty(STDERR_FILENO) == 1;

	if (tty)
		v->scan.progress = on_progress;
	for (int i = 0; i < n && v->reason[0] == '\0'; i++)
		if (!verify_path(v, paths[i]))
			problem(v, paths[i], 0, "not verified");
	if (v->scan.first_seq > 1)
		note(v, "begins with seq %" PRIu64 ": what came before is not here, and was not checked", v->scan.first_seq);
	if (tty)
		fputs("\r\033[K", stderr);
	if (!v->json)
		print_text(v);
	else if (!print_json(v))
		problem(v, "standard output", 0, "cannot be written");
	if (fflush(stdout) != 0)
		problem(v, "standard output", 0, "cannot be written");
	return v->reason[0] == '\0' ? 0 : 1;
}

int
audit_command(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	struct verify v = { .json = false };
	int opt, status;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt != 'j') {
			fputs(usage, stderr);
			return 2;
		}
		v.json = true;
	}
	if (argc - optind < 2 || strcmp(argv[optind], "verify") != 0) {
		fputs(usage, stderr);
		return 2;
	}
	status = verify_command(&v, argc - optind - 1, argv + optind + 1);
	free(v.file);
	return status;
}
