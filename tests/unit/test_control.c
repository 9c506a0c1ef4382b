/*
 * test_control.c - the control socket: who may have its name, lines that are none, long answers to slow readers, clients
 * that go away.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/operator/control.h"
#include "gateway/log.h"
#include "tests/unit/check.h"

#define ROWS 3000 /* several pages, and more than a socket holds */

static char dir[] = "/tmp/test_control.XXXXXX";
static char path[64], url[80], file[64];
static struct event_base *base;
static struct control *control;

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	(void)arg;
	(void)fd;
	event_base_loopexit(base, NULL);
}

static void *
serve(void *arg)
{
	(void)arg;
	event_base_dispatch(base);
	return NULL;
}

static int
connect_to(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
		abort();
	return fd;
}

static void
say(int fd, const char *text)
{
	size_t n = strlen(text);

	if (write(fd, text, n) != (ssize_t)n)
		abort();
}

/* Lines until the last one of an answer; the number of rows, -1 for an error that holds `words`. */
static int
answer(FILE *in, const char *words)
{
	char *line = NULL;
	size_t room = 0;
	int rows = 0, end = -2;

	while (end == -2 && getline(&line, &room, in) > 0) {
		if (strncmp(line, "{\"row\":", 7) == 0)
			rows++;
		else if (strncmp(line, "{\"end\":", 7) == 0)
			end = rows;
		else
			end = words != NULL && strstr(line, words) != NULL ? -1 : -3;
	}
	free(line);
	return end;
}

/* ---- lines ---- */

static const struct row {
	const char *name, *line, *words; /* words NULL: an answer */
	int rows;
} rows[] = {
	{ "no JSON", "hello", "not a request", 0 },
	{ "empty", "", "not a request", 0 },
	{ "an array", "[1]", "not a request", 0 },
	{ "a key twice", "{\"verb\":\"help\",\"verb\":\"help\"}", "not a request", 0 },
	{ "verb is no text", "{\"verb\":1}", "not a request", 0 },
	{ "a user with a newline", "{\"verb\":\"help\",\"user\":\"a\\nb\"}", "not a request", 0 },
	{ "a user with a NUL", "{\"verb\":\"help\",\"user\":\"a\\u0000b\"}", "not a request", 0 },
	{ "no such verb", "{\"verb\":\"tag.move\",\"user\":\"me\"}", "no verb tag.move", 0 },
	{ "help", "{\"verb\":\"help\",\"user\":\"me\"}", NULL, 11 },
	{ "a digest that is none", "{\"verb\":\"tag.release\",\"tag\":\"v\",\"digest\":\"sha256:abc\"}", "not a sha256 digest", 0 },
	{ "release of nothing", "{\"verb\":\"tag.release\",\"tag\":\"v\"}", "needs a tag and the digest", 0 },
	{ "import of nothing", "{\"verb\":\"tag.import\",\"tags\":[]}", "too much at once", 0 },
	{ "import of no pairs", "{\"verb\":\"tag.import\",\"tags\":[\"v\"]}", "pairs of a tag and a sha256", 0 },
	{ "import-end of nothing", "{\"verb\":\"tag.import-end\"}", "needs a registry", 0 },
	{ "list of numbers", "{\"verb\":\"tag.list\",\"pattern\":7}", "are text", 0 },
	{ "quarantine without one", "{\"verb\":\"quarantine.add\",\"digest\":\"sha256:abc\"}", "no quarantine here", 0 },
	{ "no quarantine", "{\"verb\":\"quarantine.list\"}", NULL, 0 },
	{ "listed by nobody", "{\"verb\":\"blob.listed\",\"digest\":\"sha256:"
	  "0000000000000000000000000000000000000000000000000000000000000000\"}", NULL, 0 },
	{ "listed, no digest", "{\"verb\":\"blob.listed\"}", "a digest that is none", 0 },
	{ "repository", "{\"verb\":\"tag.repository\",\"registry\":\"r\",\"repository\":\"a\"}", NULL, 0 },
};

static void
lines(void)
{
	int fd = connect_to();
	FILE *in = fdopen(fd, "r");

	/* all of them on one connection: an error ends a request, not the connection */
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		say(fd, rows[i].line);
		say(fd, "\n");
		CHECK_ROW(answer(in, rows[i].words) == (rows[i].words == NULL ? rows[i].rows : -1), rows[i].name);
	}
	fclose(in);
}

/* A line without an end is not read for ever. */
static void
endless_line(void)
{
	static char much[65536];
	int fd = connect_to();
	ssize_t n = 0;

	memset(much, 'a', sizeof much);
	for (int i = 0; i < 64 && n >= 0; i++)
		n = send(fd, much, sizeof much, MSG_NOSIGNAL);
	CHECK(n < 0);
	close(fd);
}

/* ---- long answers ---- */

static void
import_rows(void)
{
	int fd = connect_to();
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	int done = 0;

	for (int at = 0; at < ROWS; at += 100) {
		fprintf(out, "{\"verb\":\"tag.import\",\"user\":\"me\",\"registry\":\"r\",\"repository\":\"app\",\"tags\":[");
		for (int i = at; i < at + 100; i++)
			fprintf(out, "%s[\"v%d\",\"sha256:%064d\"]", i == at ? "" : ",", i, i);
		fputs("]}\n", out);
		fflush(out);
		done += answer(in, NULL);
	}
	CHECK(done == ROWS);
	fclose(in);
	fclose(out);
}

static void
long_answers(void)
{
	static const char list[] = "{\"verb\":\"tag.list\",\"pattern\":\"app\"}\n";
	static const char history[] = "{\"verb\":\"tag.history\",\"registry\":\"r\",\"repository\":\"app\"}\n";
	int slow = connect_to(), gone = connect_to(), fd = connect_to();
	FILE *in = fdopen(fd, "r"), *slow_in = fdopen(slow, "r");

	/* one takes nothing for now, one goes away in the middle: the others are served */
	say(slow, list);
	say(slow, history);
	say(gone, list);
	close(gone);
	say(fd, list);
	CHECK(answer(in, NULL) == ROWS);
	say(fd, "{\"verb\":\"tag.list\",\"pattern\":\"other*\"}\n");
	CHECK(answer(in, NULL) == 0);
	say(fd, "{\"verb\":\"tag.list\",\"registry\":\"r\",\"pattern\":\"a?p\"}\n");
	CHECK(answer(in, NULL) == ROWS);
	say(fd, "{\"verb\":\"tag.list\",\"registry\":\"r\",\"repository\":\"app\",\"tag\":\"v7\"}\n");
	CHECK(answer(in, NULL) == 1);
	/* in order, both of them */
	CHECK(answer(slow_in, NULL) == ROWS);
	CHECK(answer(slow_in, NULL) == ROWS);
	fclose(slow_in);
	fclose(in);
}

/* ---- the name ---- */

static bool
refused(const struct control_env *env, const char *words)
{
	char err[256] = "";
	struct control *c = control_listen(env, path, err, sizeof err);
	bool ok = c == NULL && strstr(err, words) != NULL;

	if (!ok)
		fprintf(stderr, "wanted \"%s\", got \"%s\"\n", words, err);
	control_free(c);
	return ok;
}

/* What a gateway leaves that was killed. */
static void
leave_socket(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
		abort();
	close(fd);
}

/* ---- another user ---- */

/* In a child: what a process of user 65534 hears, when the file modes let it connect. */
static int
as_nobody(void)
{
	static const char line[] = "{\"verb\":\"help\",\"user\":\"me\"}\n";
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char said[64];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path));
	if (fd < 0 || setgid(65534) != 0 || setuid(65534) != 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
		return 2;
	/* turned away before or after the line was taken: either way there is no answer */
	if (send(fd, line, sizeof line - 1, MSG_NOSIGNAL) < 0)
		return 0;
	return read(fd, said, sizeof said) > 0 ? 1 : 0;
}

/* The mode of the file is not all that keeps others out. Only root can play another user. */
static void
another_user(void)
{
	int status = -1;
	pid_t pid;

	if (geteuid() != 0)
		return;
	CHECK(chmod(dir, 0755) == 0 && chmod(path, 0666) == 0);
	pid = fork();
	if (pid == 0)
		_exit(as_nobody());
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0);
	CHECK(chmod(dir, 0700) == 0 && chmod(path, 0600) == 0);
	lines();	/* we are served as ever */
}

int
main(void)
{
	struct control_env env = { .settle = 900 };
	char err[256] = "";
	struct event *stop;
	struct stat st;
	pthread_t thread;
	FILE *f;

	if (mkdtemp(dir) == NULL || evthread_use_pthreads() != 0 || (base = event_base_new()) == NULL)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_ERROR);
	snprintf(path, sizeof path, "%s/control.sock", dir);
	snprintf(file, sizeof file, "%s/tags.db", dir);
	snprintf(url, sizeof url, "sqlite:%s", file);
	env.base = base;
	env.ledger = ledger_open(url, NULL, err, sizeof err);
	if ((f = fopen(path, "w")) != NULL)
		fclose(f);
	CHECK(refused(&env, "is not a socket"));
	unlink(path);
	leave_socket();
	control = control_listen(&env, path, err, sizeof err);
	stop = event_new(base, -1, 0, on_stop, NULL);
	if (!CHECK(control != NULL && env.ledger != NULL && stop != NULL))
		return check_done();
	CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
	CHECK(refused(&env, "another gateway listens"));
	if (pthread_create(&thread, NULL, serve, NULL) != 0)
		return 1;
	lines();
	another_user();
	endless_line();
	import_rows();
	long_answers();
	event_active(stop, EV_TIMEOUT, 0);
	pthread_join(thread, NULL);
	ledger_close(env.ledger);
	control_free(control);
	event_free(stop);
	event_base_free(base);
	CHECK(stat(path, &st) != 0);
	unlink(file);
	rmdir(dir);
	return check_done();
}
