/*
 * test_spool.c - the audit spool on a real directory: chain, segments, restart, crash, full disk, and every tampering
 * that `audit verify` has to find.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/event.h"
#include "gateway/audit/spool.h"
#include "gateway/commands/command.h"
#include "tests/unit/check.h"

static struct event_base *base;
static struct mailbox *box;
static char top[] = "/tmp/tidewaiter-spool-XXXXXX";
static char dir[128], err[512];
static int said;		/* what audit verify prints */

/* ---- helpers ---- */

struct waiter {
	struct spool_wait wait;
	bool answered, durable;
	int tell;		/* descriptor to write `number` to when durable; -1 none */
	uint32_t number;
};

static unsigned answers;

static void
on_durable(struct mail *m)
{
	struct waiter *w = (struct waiter *)(void *)((char *)m - offsetof(struct waiter, wait.mail));

	CHECK(!w->answered);
	w->answered = true;
	w->durable = w->wait.durable;
	answers++;
	if (w->durable && w->tell >= 0 && write(w->tell, &w->number, sizeof w->number) != sizeof w->number)
		_exit(3);
}

static struct waiter
waiter_new(void)
{
	return (struct waiter){ .wait = { .mail.deliver = on_durable, .reply_to = box }, .tell = -1 };
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Run the loop until n answers came; false after a time no machine needs. */
static bool
await_answers(unsigned n)
{
	bool late = false;
	struct event *t = evtimer_new(base, on_timeout, &late);
	struct timeval tv = { 60, 0 };

	evtimer_add(t, &tv);
	while (answers < n && !late)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(t);
	return !late;
}

static size_t
make_line(char line[static EVENT_MAX], uint32_t number, size_t path)
{
	static char text[1025];
	struct audit_event e = { .id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", .event = "request", .action = SPAN("blob.get"), .reason = "ok" };

	if (text[0] == '\0')
		memset(text, 'p', sizeof text - 1);
	e.time_us = INT64_C(1772323199000000) + number;
	e.http.path = (struct span){ text, path };
	e.duration_us = number;
	return event_write(&e, line, EVENT_MAX);
}

static bool
put(struct spool *s, uint32_t number, size_t path, struct waiter *w)
{
	char line[EVENT_MAX];
	size_t n = make_line(line, number, path);

	return n > 0 && spool_put(s, (struct span){ line, n }, w == NULL ? NULL : &w->wait);
}

/* The longest line, and no time spent on making it: hashing and writing cannot keep up with these. */
static bool
put_longest(struct spool *s)
{
	static char line[EVENT_MAX] = "{\"time\":\"2026-02-28T23:59:59.000042Z\",\"x\":\"";

	if (line[sizeof line - 1] == '\0') {
		memset(line + strlen(line), 'x', sizeof line - strlen(line));
		line[sizeof line - 1] = '"';
	}
	return spool_put(s, (struct span){ line, sizeof line }, NULL);
}

/* One event that is waited for; what the answer was. */
static bool
put_durable(struct spool *s, uint32_t number)
{
	struct waiter w = waiter_new();

	answers = 0;
	return put(s, number, 10, &w) && await_answers(1) && w.durable;
}

static struct spool *
open_spool(uint64_t segment_size)
{
	struct spool_options o = { .directory = dir, .segment_size = segment_size };

	err[0] = '\0';
	return spool_open(&o, err, sizeof err);
}

/* A fresh directory for the next test (not created). */
static void
fresh(void)
{
	static unsigned n;

	snprintf(dir, sizeof dir, "%s/%u", top, n++);
}

static const char *
in_dir(const char *name)
{
	static char path[2][512];
	static unsigned i;

	i ^= 1;
	snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
	return path[i];
}

/* All of a file, NUL-terminated; the caller frees. */
static char *
slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rbe");
	char *text;

	*n = 0;
	if (f == NULL)
		return NULL;
	text = malloc(1 << 24);
	if (text != NULL) {
		*n = fread(text, 1, (1 << 24) - 1, f);
		text[*n] = '\0';
	}
	fclose(f);
	return text;
}

static void
spit(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
	if (fd >= 0)
		close(fd);
}

/* Files of the directory whose names begin with it; the last of them into name. */
static unsigned
files(const char *prefix, char name[static 64])
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	unsigned n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strlen(e->d_name) < 64) {
			memcpy(name, e->d_name, strlen(e->d_name) + 1);
			n++;
		}
	if (d != NULL)
		closedir(d);
	return n;
}

/* audit verify's exit status; what it printed on both outputs into text. */
static int
verify(const char *option, const char *path, char *text, size_t size)
{
	char name[] = "audit", command[] = "verify", json[512], where[512];
	char *argv[] = { name, command, json, where, NULL };
	int out = dup(1), diag = dup(2), status;
	ssize_t n;

	snprintf(json, sizeof json, "%s", option);
	snprintf(where, sizeof where, "%s", path);
	fflush(stdout);
	if (ftruncate(said, 0) != 0 || lseek(said, 0, SEEK_SET) != 0)
		return -1;
	dup2(said, 1);
	dup2(said, 2);
	status = audit_command(4, argv);
	fflush(stdout);
	dup2(out, 1);
	dup2(diag, 2);
	close(out);
	close(diag);
	n = pread(said, text, size - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	return status;
}

static bool
chain_ok(uint64_t events)
{
	char text[4096], want[64];
	int status = verify("--", dir, text, sizeof text);

	snprintf(want, sizeof want, "chain ok: %llu events", (unsigned long long)events);
	if (status == 0 && strstr(text, want) != NULL)
		return true;
	fprintf(stderr, "    wanted %s, it said: %s\n", want, text);
	return false;
}

/* ---- writing ---- */

static void
test_chain(void)
{
	static struct waiter w[500];
	char text[4096];
	struct spool_stats st;
	struct spool *s;
	size_t n;
	char *got;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL))
		return;
	CHECK(spool_healthy(s));
	CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "chain ok: no events") != NULL);
	answers = 0;
	for (uint32_t i = 0; i < 500; i++) {
		w[i] = waiter_new();
		CHECK(put(s, i, i % 7 == 0 ? 1024 : 20, i % 3 == 0 ? &w[i] : NULL));
	}
	CHECK(await_answers(167));
	for (uint32_t i = 0; i < 500; i++)
		CHECK(w[i].answered == (i % 3 == 0) && w[i].durable == (i % 3 == 0));
	CHECK(!spool_put(s, SPAN_NONE, NULL));
	spool_close(s);
	CHECK(chain_ok(500));
	got = slurp(in_dir("current.jsonl"), &n);
	CHECK(got != NULL && strstr(got, ",\"seq\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}\n") != NULL);
	free(got);

	s = open_spool(0);	/* the chain goes on */
	CHECK(s != NULL && put_durable(s, 500));
	if (s != NULL) {
		spool_stats(s, &st);
		CHECK(st.events == 1 && st.queue == 0 && st.failures == 0 && st.syncs == 1 && st.bytes > 100);
	}
	spool_close(s);
	CHECK(chain_ok(501));
}

/* A line nobody waits for gets there by itself. */
static void
test_no_wait(void)
{
	struct timespec nap = { 0, 10000000 };
	struct spool_stats st = { 0 };
	struct spool *s;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL && put(s, 1, 10, NULL)))
		return;
	for (int i = 0; i < 3000 && st.events == 0; i++) {
		nanosleep(&nap, NULL);
		spool_stats(s, &st);
	}
	CHECK(st.events == 1 && st.queue == 0);
	CHECK(chain_ok(1));	/* while it is open */
	spool_close(s);
}

static void
test_rotation(void)
{
	struct spool *s;
	char name[64], text[4096];

	fresh();
	for (uint32_t round = 0; round < 4; round++) {
		s = open_spool(4096);
		if (!CHECK(s != NULL))
			return;
		for (uint32_t i = 0; i < 100; i++)
			CHECK(put(s, round * 100 + i, 100, NULL));
		CHECK(put_durable(s, 0));
		spool_close(s);
		CHECK(chain_ok((round + 1) * 101));
	}
	CHECK(files("0000", name) > 20);
	CHECK(access(in_dir("00000000000000000001.jsonl"), F_OK) == 0);
	/* old segments may go */
	CHECK(unlink(in_dir("00000000000000000001.jsonl")) == 0);
	CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "what came before is not here") != NULL);
	/* a crash between the rename and the new file */
	CHECK(files("0000", name) > 20 && unlink(in_dir("current.jsonl")) == 0);
	s = open_spool(4096);
	CHECK(s != NULL && put_durable(s, 1));
	spool_close(s);
	CHECK(verify("--", dir, text, sizeof text) == 0);
	/* the name of a segment is taken */
	fresh();
	s = open_spool(4096);
	if (!CHECK(s != NULL))
		return;
	spit(in_dir("00000000000000000001.jsonl"), "mine\n", 5);
	for (uint32_t i = 0; i < 30; i++)
		CHECK(put_durable(s, i));
	spool_close(s);
	CHECK(files("lost.", name) == 1);
	CHECK(chain_ok(30));
}

/* ---- what a crash leaves ---- */

static const struct {
	const char *name, *tail;
	size_t n;
	bool torn;
} tails[] = {
	{ "nothing", "", 0, false },
	{ "one byte", "{", 1, true },
	{ "half a line", "{\"time\":\"2026", 13, true },
	{ "half a line after a newline that is not one of ours", "\n{\"ti", 5, true },
	{ "NULs", "\0\0\0\0\0\0\0\0", 8, true },
	{ "a NUL and a newline", "\0\n", 2, true },
	{ "another line", "{\"time\":\"2026-02-28T23:59:59.000042Z\"}\n", 39, true },
};

static void
test_torn(void)
{
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		struct spool *s;
		char name[64] = "", *got;
		size_t n;
		int fd;

		fresh();
		s = open_spool(0);
		CHECK(s != NULL && put_durable(s, 1) && put_durable(s, 2));
		spool_close(s);
		fd = open(in_dir("current.jsonl"), O_WRONLY | O_APPEND | O_CLOEXEC);
		CHECK(fd >= 0 && write(fd, tails[i].tail, tails[i].n) == (ssize_t)tails[i].n);
		if (fd >= 0)
			close(fd);
		s = open_spool(0);
		CHECK_ROW(s != NULL && put_durable(s, 3), tails[i].name);
		spool_close(s);
		CHECK_ROW(chain_ok(3), tails[i].name);
		CHECK_ROW(files("torn.", name) == tails[i].torn, tails[i].name);
		got = slurp(in_dir(name), &n);
		CHECK_ROW(!tails[i].torn || (got != NULL && n == tails[i].n && memcmp(got, tails[i].tail, n) == 0), tails[i].name);
		free(got);
	}
}

/* The machine went down: a page in the middle of what was not synced never reached the disk. */
static void
test_hole(void)
{
	struct spool *s;
	char *got, name[64];
	size_t n;

	fresh();
	s = open_spool(0);
	for (uint32_t i = 0; s != NULL && i < 100; i++)
		CHECK(put(s, i, 200, NULL));
	spool_close(s);
	got = slurp(in_dir("current.jsonl"), &n);
	if (!CHECK(got != NULL && n > 20000))
		return;
	memset(got + 12288, 0, 4096);
	spit(in_dir("current.jsonl"), got, n);
	free(got);
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1));
	spool_close(s);
	CHECK(files("torn.", name) == 1);
	got = slurp(in_dir(name), &n);
	CHECK(n > 4096);
	free(got);
	s = open_spool(0);	/* and it is as good as any */
	CHECK(s != NULL);
	spool_close(s);
}

/* More than a crash can break: the gateway does not go on as if nothing were. */
static void
test_not_a_crash(void)
{
	struct spool *s;
	char *got;
	size_t n;

	fresh();
	s = open_spool(0);
	for (uint32_t i = 0; s != NULL && i < 9000; i++)
		while (!put(s, i, 1024, NULL))
			CHECK(put_durable(s, i));
	spool_close(s);
	got = slurp(in_dir("current.jsonl"), &n);
	if (!CHECK(got != NULL && n > 9u << 20))
		return;
	got[50] ^= 1;
	spit(in_dir("current.jsonl"), got, n);
	free(got);
	CHECK(open_spool(0) == NULL);
	CHECK(strstr(err, "current.jsonl:1: ") != NULL || strstr(err, "current.jsonl:2: ") != NULL);
}

/* ---- kill -9 ---- */

static struct waiter killed[100000];

static void
child(int tell)
{
	struct spool *s;

	base = event_base_new();
	box = mailbox_new(base);
	s = open_spool(64 * 1024);
	if (s == NULL)
		_exit(2);
	for (uint32_t i = 0; i < 100000; i++) {
		killed[i] = waiter_new();
		killed[i].tell = tell;
		killed[i].number = i + 1;
		while (!put(s, i + 1, i % 50, &killed[i]))
			event_base_loop(base, EVLOOP_ONCE);
		event_base_loop(base, i % 16 == 0 && answers < i ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
	}
	await_answers(100000);
	_exit(0);
}

/* duration_us of every event, marked. */
static void
mark(const char *path, bool *seen, size_t n)
{
	size_t length;
	char *text = slurp(path, &length), *p = text;

	while (p != NULL && (p = strstr(p, "\"duration_us\":")) != NULL) {
		unsigned long v = strtoul(p += 14, NULL, 10);

		if (v < n)
			seen[v] = true;
	}
	free(text);
}

static void
test_kill(void)
{
	static bool seen[100001];
	static const unsigned after[] = { 1, 40, 700, 3000 };

	for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
		uint32_t acked[4096];
		unsigned n = 0, lost = 0;
		int fd[2];
		pid_t pid;
		ssize_t got;
		struct spool *s;
		DIR *d;
		const struct dirent *e;
		char text[4096];

		fresh();
		if (!CHECK(pipe(fd) == 0))
			return;
		pid = fork();
		if (pid == 0)
			child(fd[1]);
		close(fd[1]);
		while (n < after[i] && read(fd[0], &acked[n], sizeof *acked) == sizeof *acked)
			n++;
		kill(pid, SIGKILL);
		/* what it said before it died counts too */
		while (n < 4096 && (got = read(fd[0], &acked[n], sizeof *acked)) == sizeof *acked)
			n++;
		close(fd[0]);
		waitpid(pid, NULL, 0);
		CHECK(n >= after[i]);
		CHECK(verify("--", dir, text, sizeof text) == 0);	/* a torn end is no break */
		s = open_spool(64 * 1024);
		CHECK(s != NULL && put_durable(s, 0));
		spool_close(s);
		CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "seq 1 to ") != NULL);
		memset(seen, 0, sizeof seen);
		d = opendir(dir);
		while (d != NULL && (e = readdir(d)) != NULL)
			if (strstr(e->d_name, ".jsonl") != NULL)
				mark(in_dir(e->d_name), seen, sizeof seen);
		if (d != NULL)
			closedir(d);
		for (unsigned k = 0; k < n; k++)
			lost += !seen[acked[k]];
		CHECK(lost == 0);
	}
}

/* ---- when it cannot be written ---- */

static bool
await_healthy(struct spool *s, bool healthy)
{
	struct timespec nap = { 0, 10000000 };

	for (int i = 0; i < 6000 && spool_healthy(s) != healthy; i++)
		nanosleep(&nap, NULL);
	return spool_healthy(s) == healthy;
}

static void
test_full_disk(void)
{
	struct rlimit was, small;
	struct waiter w = waiter_new(), late = waiter_new();
	struct spool_stats st;
	struct spool *s;
	size_t n;
	char *got;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL && put_durable(s, 1)))
		return;
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 1000;	/* in the middle of a line */
	setrlimit(RLIMIT_FSIZE, &small);
	answers = 0;
	for (uint32_t i = 2; i < 12; i++)
		CHECK(put(s, i, 100, NULL));
	CHECK(put(s, 999, 100, &w));
	CHECK(await_answers(1));
	CHECK(w.answered && !w.durable);
	CHECK(!spool_healthy(s));
	CHECK(!put(s, 998, 10, &late));
	spool_stats(s, &st);
	CHECK(st.failures >= 1 && st.dropped == 2 && st.queue == 10);
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK(await_healthy(s, true));
	CHECK(put_durable(s, 12));
	CHECK(!late.answered);
	spool_close(s);
	/* the lines nobody waited for are there; the one whose client was told no is not */
	CHECK(chain_ok(12));
	got = slurp(in_dir("current.jsonl"), &n);
	CHECK(got != NULL && strstr(got, "\"duration_us\":999") == NULL && strstr(got, "\"duration_us\":11,") != NULL);
	free(got);
}

/* Lines that came while the write was failing: each is answered before the disk has room again. */
static void
test_full_while_filling(void)
{
	static struct waiter w[20000];
	struct rlimit was, none;
	struct spool *s;
	uint32_t n = 0, longest = 0, yes = 0;
	struct spool_stats st;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL && put_durable(s, 1)))
		return;
	getrlimit(RLIMIT_FSIZE, &was);
	none = was;
	none.rlim_cur = 4 << 20;
	setrlimit(RLIMIT_FSIZE, &none);
	/* the thread is busy with long lines until there is no more room, and waits come all the time */
	answers = 0;
	do {
		longest += put_longest(s);
		w[n] = waiter_new();
		n += put(s, n, 1, &w[n]);
		spool_stats(s, &st);
	} while (n < 20000 && st.failures == 0);
	CHECK(n > 0 && st.failures > 0 && await_answers(n));
	for (uint32_t i = 0; i < n; i++) {
		CHECK(w[i].answered && (!w[i].durable || yes == i));	/* none after the first that was told no */
		yes += w[i].durable;
	}
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK(await_healthy(s, true) && put_durable(s, 2));
	spool_close(s);
	CHECK(chain_ok(longest + yes + 2));
}

/* Full for ever: closing ends, and what is there is whole. */
static void
test_close_full(void)
{
	struct rlimit was, small;
	struct waiter w = waiter_new();
	struct spool *s;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL && put_durable(s, 1)))
		return;
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 700;
	setrlimit(RLIMIT_FSIZE, &small);
	answers = 0;
	for (uint32_t i = 2; i < 12; i++)
		CHECK(put(s, i, 100, NULL));
	CHECK(put(s, 999, 100, &w));
	spool_close(s);
	CHECK(await_answers(1) && !w.durable);
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK(chain_ok(1));
}

static void
test_refused_opens(void)
{
	struct spool *s, *other;
	int status = 0;
	pid_t pid;

	/* two in one process, two processes */
	fresh();
	s = open_spool(0);
	CHECK(s != NULL);
	other = open_spool(0);
	CHECK(other == NULL && strstr(err, "another process") != NULL);
	pid = fork();
	if (pid == 0)
		_exit(open_spool(0) == NULL && strstr(err, "another process") != NULL ? 0 : 1);
	waitpid(pid, &status, 0);
	CHECK(status == 0);
	spool_close(s);
	s = open_spool(0);
	CHECK(s != NULL);
	spool_close(s);

	/* a directory nobody may write to; root may, so as somebody else */
	fresh();
	CHECK(mkdir(dir, 0555) == 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (chmod(top, 0755) != 0 || setresuid(65534, 65534, 65534) != 0))
			_exit(2);
		_exit(open_spool(0) == NULL && strstr(err, dir) != NULL && strstr(err, "needs to write") != NULL ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK(status == 0);

	/* a parent that is not there; a file; current.jsonl that is a directory, a link, a FIFO */
	snprintf(dir, sizeof dir, "%s/none/there", top);
	CHECK(open_spool(0) == NULL && strstr(err, "create it") != NULL);
	fresh();
	spit(dir, "x", 1);
	CHECK(open_spool(0) == NULL && err[0] != '\0');
	fresh();
	CHECK(mkdir(dir, 0700) == 0 && mkdir(in_dir("current.jsonl"), 0700) == 0);
	CHECK(open_spool(0) == NULL && err[0] != '\0');
	fresh();
	CHECK(mkdir(dir, 0700) == 0 && symlink("elsewhere", in_dir("current.jsonl")) == 0);
	CHECK(open_spool(0) == NULL && err[0] != '\0');
	fresh();
	CHECK(mkdir(dir, 0700) == 0 && mkfifo(in_dir("current.jsonl"), 0600) == 0);
	CHECK(open_spool(0) == NULL && strstr(err, "not a file") != NULL);
	/* the segment the chain has to go on from is broken */
	fresh();
	CHECK(mkdir(dir, 0700) == 0);
	spit(in_dir("00000000000000000001.jsonl"), "x\n", 2);
	CHECK(open_spool(0) == NULL && strstr(err, "00000000000000000001.jsonl:1: not an audit event") != NULL);
}

/* More than the buffers hold: some are not taken, all that were taken are written. */
static void
test_queue_full(void)
{
	struct waiter w = waiter_new();
	struct spool_stats st;
	struct spool *s;
	uint64_t taken = 0, refused = 0;
	struct rlimit was, none;

	fresh();
	s = open_spool(0);
	if (!CHECK(s != NULL))
		return;
	getrlimit(RLIMIT_FSIZE, &was);
	none = was;
	none.rlim_cur = 0;
	for (uint32_t i = 0; i < 20000 && refused == 0; i++) {
		if (put_longest(s))
			taken++;
		else
			refused++;
	}
	CHECK(refused == 1);
	CHECK(await_healthy(s, true));
	answers = 0;
	while (!put(s, 0, 10, &w))
		refused++;
	CHECK(await_answers(1) && w.durable);
	spool_stats(s, &st);
	CHECK(st.dropped == refused && st.events == taken + 1 && st.queue == 0);
	setrlimit(RLIMIT_FSIZE, &none);
	for (uint32_t i = 0; i < 10; i++)
		CHECK(put(s, i, 10, NULL));
	CHECK(await_healthy(s, false));
	CHECK(!put(s, 1, 10, NULL));
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK(await_healthy(s, true));
	spool_close(s);
	CHECK(chain_ok(taken + 11));
}

/* ---- somebody's hand in the directory, while we run ---- */

static void
test_hands(void)
{
	struct spool *s;
	char name[64], text[4096];
	int fd;

	fresh();	/* removed: goes on with the chain, and the gap shows */
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1) && put_durable(s, 2) && unlink(in_dir("current.jsonl")) == 0 && put_durable(s, 3));
	CHECK(s != NULL && spool_healthy(s));
	spool_close(s);
	CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "begins with seq 3") != NULL);

	fresh();	/* moved away, as a log rotator does: both files together are whole */
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1) && rename(in_dir("current.jsonl"), in_dir("old")) == 0 && put_durable(s, 2));
	spool_close(s);
	CHECK(verify(in_dir("old"), in_dir("current.jsonl"), text, 1) == 0);

	fresh();	/* replaced */
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1) && rename(in_dir("current.jsonl"), in_dir("old")) == 0);
	spit(in_dir("current.jsonl"), "mine\n", 5);
	CHECK(s != NULL && put_durable(s, 2) && files("lost.", name) == 1);
	spool_close(s);
	CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "begins with seq 2") != NULL && strstr(text, "lost.") != NULL);

	fresh();	/* cut */
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1) && put_durable(s, 2) && truncate(in_dir("current.jsonl"), 40) == 0 && put_durable(s, 3));
	spool_close(s);
	CHECK(files("lost.", name) == 1);
	CHECK(verify("--", dir, text, sizeof text) == 0 && strstr(text, "begins with seq 3") != NULL);

	fresh();	/* appended to */
	s = open_spool(0);
	CHECK(s != NULL && put_durable(s, 1));
	fd = open(in_dir("current.jsonl"), O_WRONLY | O_APPEND | O_CLOEXEC);
	memset(text, '\n', sizeof text);	/* more than the next line covers */
	CHECK(fd >= 0 && write(fd, text, sizeof text) == sizeof text);
	if (fd >= 0)
		close(fd);
	CHECK(s != NULL && put_durable(s, 2));
	spool_close(s);
	CHECK(chain_ok(2));
}

/* ---- many threads ---- */

struct sender {
	struct spool *spool;
	pthread_t thread;
	struct waiter w[200];
	unsigned taken;
};

static void *
send_all(void *arg)
{
	struct sender *t = arg;

	for (uint32_t i = 0; i < 2000; i++) {
		struct waiter *w = i % 10 == 0 ? &t->w[i / 10] : NULL;

		if (w != NULL)
			*w = waiter_new();
		t->taken += put(t->spool, i, i % 100 + 1, w);
		(void)spool_healthy(t->spool);
	}
	return NULL;
}

static void
test_threads(void)
{
	static struct sender t[4];
	struct spool *s;
	unsigned taken = 0;

	fresh();
	s = open_spool(100000);
	if (!CHECK(s != NULL))
		return;
	answers = 0;
	CHECK(put(s, 0, 1, NULL));	/* make_line's text is made by one thread */
	for (unsigned i = 0; i < 4; i++) {
		t[i].spool = s;
		CHECK(pthread_create(&t[i].thread, NULL, send_all, &t[i]) == 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i].thread, NULL);
		taken += t[i].taken;
	}
	CHECK(taken == 8000);
	CHECK(await_answers(800));
	spool_close(s);
	CHECK(chain_ok(8001));
}

/* ---- audit verify: what it has to find ---- */

enum change { REPLACE_BYTES, DELETE_LINE, SWAP_LINES, REPEAT_LINE, CUT_END, ADD_TEXT, REMOVE_FILE, RENAME_FILE, EMPTY_FILE };

#define FIRST	"00000000000000000001.jsonl"
#define SECOND	"00000000000000000002.jsonl"

/* A log of 8 events, a segment each of 1 and 2; current.jsonl has 3 to 8. */
static const struct {
	const char *name, *file;
	enum change change;
	unsigned line;			/* from 0 */
	const char *from, *to;		/* same length */
	const char *found;		/* in the directory's report; NULL: whole */
} tampered[] = {
	{ "nothing", "current.jsonl", ADD_TEXT, 0, NULL, "", NULL },
	{ "another decision", "current.jsonl", REPLACE_BYTES, 1, "\"deny\"", "\"Deny\"", "current.jsonl:3: prev is not" },
	{ "in a closed segment", FIRST, REPLACE_BYTES, 0, "\"deny\"", "\"Deny\"", SECOND ":1: prev is not" },
	{ "in the second segment", SECOND, REPLACE_BYTES, 0, "blob.get", "blob.put", "current.jsonl:1: prev is not" },
	{ "another seq", "current.jsonl", REPLACE_BYTES, 1, "\"seq\":4", "\"seq\":5", "current.jsonl:2: seq 5 follows seq 3" },
	{ "seq that is none", "current.jsonl", REPLACE_BYTES, 1, "\"seq\":4", "\"seq\":x", "current.jsonl:2: not an audit event" },
	{ "seq zero", FIRST, REPLACE_BYTES, 0, "\"seq\":1", "\"seq\":0", FIRST ":1: not an audit event" },
	{ "another prev", "current.jsonl", REPLACE_BYTES, 3, "\"prev\":\"", "\"prev\":'", "current.jsonl:4: not an audit event" },
	{ "prev of the first", FIRST, REPLACE_BYTES, 0, "\"prev\":\"0", "\"prev\":\"1", FIRST ":1: prev is not" },
	{ "not JSON", "current.jsonl", REPLACE_BYTES, 5, "\"event\":", "\"event\"{", "current.jsonl:6: not an audit event" },
	{ "an open string", "current.jsonl", REPLACE_BYTES, 5, "request\"", "request:", "current.jsonl:6: not an audit event" },
	{ "a byte of the last line", "current.jsonl", REPLACE_BYTES, 5, "request\"", "request\x01", "current.jsonl:6: not an audit event" },
	{ "a byte that is not ASCII", "current.jsonl", REPLACE_BYTES, 5, "request", "reque\xc3\xa9", "current.jsonl:6: not an audit event" },
	{ "another time's shape", "current.jsonl", REPLACE_BYTES, 5, "Z\",\"id\"", "Y\",\"id\"", "current.jsonl:6: not an audit event" },
	{ "a line gone", "current.jsonl", DELETE_LINE, 2, NULL, NULL, "current.jsonl:3: seq 6 follows seq 4" },
	{ "the first line gone", "current.jsonl", DELETE_LINE, 0, NULL, NULL, "current.jsonl:1: seq 4 follows seq 2" },
	{ "two lines changed places", "current.jsonl", SWAP_LINES, 2, NULL, NULL, "current.jsonl:3: seq 6 follows seq 4" },
	{ "a line twice", "current.jsonl", REPEAT_LINE, 2, NULL, NULL, "current.jsonl:4: seq 5 follows seq 5" },
	{ "an empty line", "current.jsonl", ADD_TEXT, 0, NULL, "\n", "current.jsonl:7: not an audit event" },
	{ "a line of somebody's", "current.jsonl", ADD_TEXT, 0, NULL, "{\"event\":\"request\"}\n", "current.jsonl:7: not an audit event" },
	{ "half a line: may be in the making", "current.jsonl", ADD_TEXT, 0, NULL, "{\"time\":", NULL },
	{ "half a line in a closed segment", SECOND, ADD_TEXT, 0, NULL, "{\"time\":", SECOND ":2: ends in the middle of a line" },
	{ "the end of a closed segment", SECOND, CUT_END, 0, NULL, NULL, SECOND ":1: ends in the middle of a line" },
	{ "first segment gone: said", FIRST, REMOVE_FILE, 0, NULL, NULL, NULL },
	{ "second segment gone", SECOND, REMOVE_FILE, 0, NULL, NULL, "current.jsonl:1: seq 3 follows seq 1" },
	{ "a segment under another name", SECOND, RENAME_FILE, 0, NULL, "00000000000000000007.jsonl",
	    "00000000000000000007.jsonl:1: begins with seq 2" },
	{ "an empty segment", SECOND, EMPTY_FILE, 0, NULL, NULL, SECOND ": a closed segment without events" },
};

/* Where line n of text begins. */
static char *
line_at(char *text, unsigned n)
{
	while (n-- > 0 && text != NULL) {
		text = strchr(text, '\n');
		text = text == NULL ? NULL : text + 1;
	}
	return text;
}

static void
edit(const char *file, enum change change, unsigned line, const char *from, const char *to)
{
	static char out[1 << 16];
	size_t n, used = 0;
	char *text = slurp(file, &n), *a = line_at(text, line), *b = line_at(text, line + 1), *c;

	if (!CHECK(text != NULL && a != NULL && n < sizeof out / 2)) {
		free(text);
		return;
	}
	memcpy(out, text, (size_t)(a - text));
	used = (size_t)(a - text);
	if (change == REPLACE_BYTES) {
		c = strstr(a, from);
		CHECK(c != NULL && strlen(from) == strlen(to));
		memcpy(c, to, strlen(to));
		b = a;
	} else if (change == SWAP_LINES) {
		c = line_at(text, line + 2);
		memcpy(out + used, b, (size_t)(c - b));
		memcpy(out + used + (c - b), a, (size_t)(b - a));
		used += (size_t)(c - a);
		b = c;
	} else if (change == REPEAT_LINE) {
		memcpy(out + used, a, (size_t)(b - a));
		used += (size_t)(b - a);
		b = a;
	} else if (change == ADD_TEXT || change == CUT_END)
		b = a;
	memcpy(out + used, b, n - (size_t)(b - text));
	used += n - (size_t)(b - text);
	if (change == ADD_TEXT) {
		memcpy(out + used, to, strlen(to));
		used += strlen(to);
	}
	spit(file, out, change == EMPTY_FILE ? 0 : change == CUT_END ? used - 5 : used);
	free(text);
}

static bool
make_log(void)
{
	struct spool *s;
	bool ok = true;

	fresh();
	for (uint32_t i = 1; i <= 8 && ok; i++) {
		s = open_spool(i < 3 ? 1 : 1 << 20);
		ok = s != NULL && put_durable(s, i);
		spool_close(s);	/* the next to open with room for more closes the segment */
		if (i == 2 && ok) {
			s = open_spool(1);
			ok = s != NULL;
			spool_close(s);
		}
	}
	return ok;
}

static void
test_verify(void)
{
	for (size_t i = 0; i < sizeof tampered / sizeof *tampered; i++) {
		const char *path;
		char text[8192];
		int status;

		if (!CHECK_ROW(make_log() && access(in_dir(FIRST), F_OK) == 0 && access(in_dir(SECOND), F_OK) == 0, tampered[i].name))
			continue;
		path = in_dir(tampered[i].file);
		if (tampered[i].change == REMOVE_FILE)
			CHECK(unlink(path) == 0);
		else if (tampered[i].change == RENAME_FILE)
			CHECK(rename(path, in_dir(tampered[i].to)) == 0);
		else
			edit(path, tampered[i].change, tampered[i].line, tampered[i].from, tampered[i].to);
		status = verify("--", dir, text, sizeof text);
		if (tampered[i].found == NULL)
			CHECK_ROW(status == 0 && strstr(text, "chain ok: ") != NULL, tampered[i].name);
		else if (!CHECK_ROW(status == 1 && strstr(text, tampered[i].found) != NULL && strstr(text, "chain ok") == NULL, tampered[i].name))
			fprintf(stderr, "    it said: %s\n", text);
		status = verify("--json", dir, text, sizeof text);
		CHECK_ROW(status == (tampered[i].found != NULL), tampered[i].name);
		CHECK_ROW(strstr(text, tampered[i].found == NULL ? "\"ok\": true" : "\"ok\": false") != NULL, tampered[i].name);
	}
}

static void
test_verify_command(void)
{
	char audit[] = "audit", command[] = "verify", other[] = "other", bad[] = "--bad", help[] = "--help", text[4096];
	char *none[] = { audit, NULL }, *no_path[] = { audit, command, NULL }, *unknown[] = { audit, other, dir, NULL };
	char *option[] = { audit, command, bad, dir, NULL }, *helped[] = { audit, help, NULL };
	int out = dup(1), diag = dup(2);
	json_t *o;

	CHECK(make_log());
	CHECK(verify("--json", dir, text, sizeof text) == 0);
	o = json_loads(text, 0, NULL);
	CHECK(json_integer_value(json_object_get(o, "events")) == 8 && json_integer_value(json_object_get(o, "files")) == 3);
	CHECK(json_integer_value(json_object_get(o, "last_seq")) == 8 && json_string_length(json_object_get(o, "last_hash")) == 64);
	CHECK(strcmp(json_string_value(json_object_get(o, "first_time")), "2026-02-28T23:59:59.000001Z") == 0);
	CHECK(strcmp(json_string_value(json_object_get(o, "last_time")), "2026-02-28T23:59:59.000008Z") == 0);
	json_decref(o);
	CHECK(verify("--", in_dir("none"), text, sizeof text) == 1);
	CHECK(verify("--", "/dev/null", text, sizeof text) == 1);
	CHECK(verify("--", top, text, sizeof text) == 1 && strstr(text, "no audit log here") != NULL);
	CHECK(verify(in_dir(FIRST), in_dir(SECOND), text, sizeof text) == 0);
	CHECK(verify(in_dir(SECOND), in_dir(FIRST), text, sizeof text) == 1);
	fflush(stdout);
	dup2(said, 1);
	dup2(said, 2);
	CHECK(audit_command(1, none) == 2);
	CHECK(audit_command(2, no_path) == 2);
	CHECK(audit_command(3, unknown) == 2);
	CHECK(audit_command(4, option) == 2);
	CHECK(audit_command(2, helped) == 0);
	fflush(stdout);
	dup2(out, 1);
	dup2(diag, 2);
	close(out);
	close(diag);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int
main(void)
{
	char name[64];

	signal(SIGXFSZ, SIG_IGN);
	if (mkdtemp(top) == NULL)
		return 1;
	snprintf(name, sizeof name, "%s/said", top);
	said = open(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	base = event_base_new();
	box = base == NULL ? NULL : mailbox_new(base);
	if (box == NULL || said < 0)
		return 1;
	test_chain();
	test_no_wait();
	test_rotation();
	test_torn();
	test_hole();
	test_not_a_crash();
	test_kill();
	test_full_disk();
	test_full_while_filling();
	test_close_full();
	test_refused_opens();
	test_queue_full();
	test_hands();
	test_threads();
	test_verify();
	test_verify_command();
	mailbox_free(box);
	event_base_free(base);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return check_done();
}
