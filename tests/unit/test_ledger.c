/*
 * test_ledger.c - the ledger on a real SQLite file: every verb in every state, restarts, races, damage, kill -9.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/tags/ledger_store.h"
#include "tests/unit/check.h"

#define SETTLE 900

static char dir[] = "/tmp/test_ledger.XXXXXX";
static char file[64], url[80];

/* ---- asking and waiting for the answer ---- */

struct asker {
	struct event_base *base;
	struct mailbox *box;
};

struct question {
	struct ledger_op op; /* first */
	struct asker *asker;
	int left; /* answers until the loop ends */
	int *count;
};

static void
on_answer(struct mail *m)
{
	struct question *q = (struct question *)(void *)m;

	if (--*q->count == 0)
		event_base_loopbreak(q->asker->base);
}

static struct asker
asker_new(void)
{
	struct asker a = { event_base_new(), NULL };

	if (a.base == NULL || (a.box = mailbox_new(a.base)) == NULL)
		abort();
	return a;
}

static void
asker_free(struct asker *a)
{
	mailbox_free(a->box);
	event_base_free(a->base);
}

static struct asker me;

static void
digest_of(char c, char out[static LEDGER_DIGEST])
{
	if (c == '-') {
		memset(out, 0, LEDGER_DIGEST);
		return;
	}
	memcpy(out, "sha256:", 7);
	memset(out + 7, c, 64);
	out[71] = '\0';
}

static void
prepare(struct question *q, struct asker *a, int *count, enum ledger_verb verb, const char *tag)
{
	memset(q, 0, sizeof *q);
	q->asker = a;
	q->count = count;
	q->op.mail.deliver = on_answer;
	q->op.reply_to = a->box;
	q->op.verb = verb;
	q->op.registry = SPAN("https://r.example");
	q->op.repository = SPAN("team/app");
	q->op.tag = span_of(tag);
	q->op.who = SPAN("iss/sub");
	q->op.source = SPAN("192.0.2.1");
	q->op.event_id = SPAN("01");
	q->op.settle = SETTLE;
}

static enum ledger_answer
ask_op(struct ledger *l, struct question *q)
{
	ledger_submit(l, &q->op);
	while (*q->count > 0)
		event_base_dispatch(q->asker->base);
	return q->op.answer;
}

/* One operation, to the end. digest and found are single letters, '-' for none. */
static struct ledger_op
ask(struct ledger *l, enum ledger_verb verb, const char *tag, char digest, char found, bool overwrite, uint64_t token,
    int64_t now)
{
	struct question q;
	int count = 1;

	prepare(&q, &me, &count, verb, tag);
	digest_of(digest, q.op.digest);
	digest_of(found, q.op.found);
	q.op.overwrite = overwrite;
	q.op.token = token;
	q.op.now = now;
	ask_op(l, &q);
	return q.op;
}

/* "none", "=a" confirmed, "!a" held, "?a" unresolved, "down". 'N' is nobody's digest. */
static const char *
look(struct ledger *l, const char *tag)
{
	static char text[8];
	struct ledger_op op = ask(l, LEDGER_LOOKUP, tag, 'N', '-', false, 0, 0);
	char sign = op.answer == LEDGER_LOCKED ? '=' : op.answer == LEDGER_CLAIMED_OTHER ? '!' : '?';

	if (op.answer == LEDGER_ABSENT)
		return "none";
	if (sign == '?' && op.answer != LEDGER_UNRESOLVED)
		return "down";
	snprintf(text, sizeof text, "%c%c", sign, op.current_digest[70]);
	return text;
}

static struct ledger *
open_ledger(void)
{
	char err[256] = "";
	struct ledger *l = ledger_open(url, NULL, err, sizeof err);

	if (l == NULL) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	return l;
}

/* ---- every verb in every state ---- */

static const char *const answers[] = { "down", "absent", "same", "locked", "new", "over", "again", "busy", "other", "unresolved",
	"restored", "many", "ok" };

/* Time: states are made at 1000; young is 1100, old 1000 + SETTLE + 1. */
static const struct action {
	const char *name;
	enum ledger_verb verb;
	char digest, found;
	bool overwrite, wrong_token, old;
} actions[] = {
	{ "lookup a", LEDGER_LOOKUP, 'a', '-', false, false, false },
	{ "lookup b", LEDGER_LOOKUP, 'b', '-', false, false, false },
	{ "claim a", LEDGER_CLAIM, 'a', '-', false, false, false },
	{ "claim c", LEDGER_CLAIM, 'c', '-', false, false, false },
	{ "claim c over", LEDGER_CLAIM, 'c', '-', true, false, true },
	{ "claim nothing", LEDGER_CLAIM, '-', '-', true, false, true },
	{ "found a", LEDGER_FOUND, 'a', 'a', false, false, false },
	{ "found c", LEDGER_FOUND, 'a', 'c', false, false, true },
	{ "found nothing", LEDGER_FOUND, 'a', '-', false, false, false },
	{ "confirm", LEDGER_CONFIRM, 'a', '-', false, false, false },
	{ "confirm, not holder", LEDGER_CONFIRM, 'a', '-', false, true, false },
	{ "release", LEDGER_RELEASE, 'a', '-', false, false, false },
	{ "release, not holder", LEDGER_RELEASE, 'a', '-', false, true, false },
	{ "unresolve", LEDGER_UNRESOLVE, 'a', '-', false, false, false },
	{ "settle young", LEDGER_SETTLE, 'a', '-', false, false, false },
	{ "settle old", LEDGER_SETTLE, 'a', '-', false, false, true },
	{ "settle old, other", LEDGER_SETTLE, 'c', '-', false, false, true },
	{ "adopt a", LEDGER_ADOPT, 'a', 'a', false, false, false },
	{ "adopt c young", LEDGER_ADOPT, 'a', 'c', false, false, false },
	{ "adopt c old", LEDGER_ADOPT, 'a', 'c', false, false, true },
	{ "adopt nothing", LEDGER_ADOPT, 'a', '-', false, false, true },
};
#define ACTIONS (sizeof actions / sizeof *actions)

/* clang-format off */
/* answer, state after, state after a restart and a SETTLE of whatever is unresolved then */
static const struct state {
	const char *name;
	const char *expect[ACTIONS];
} states[] = {
	{ "none", {
		/* lookup    */ "absent none none", "absent none none",
		/* claim     */ "new !a none", "new !c none", "new !c none", "down none none",
		/* found     */ "absent none none", "absent none none", "absent none none",
		/* confirm   */ "absent none none", "absent none none",
		/* release   */ "absent none none", "absent none none",
		/* unresolve */ "absent none none",
		/* settle    */ "absent none none", "absent none none", "absent none none",
		/* adopt     */ "absent none none", "absent none none", "absent none none", "absent none none",
	} },
	{ "confirmed", {
		/* lookup    */ "same =a =a", "locked =a =a",
		/* claim     */ "same =a =a", "locked =a =a", "over !c =a", "down =a =a",
		/* found     */ "absent =a =a", "absent =a =a", "absent =a =a",
		/* confirm   */ "absent =a =a", "absent =a =a",
		/* release   */ "absent =a =a", "absent =a =a",
		/* unresolve */ "absent =a =a",
		/* settle    */ "absent =a =a", "absent =a =a", "absent =a =a",
		/* adopt     */ "absent =a =a", "absent =a =a", "absent =a =a", "absent =a =a",
	} },
	{ "held", {
		/* lookup    */ "busy !a none", "other !a none",
		/* claim     */ "busy !a none", "other !a none", "other !a none", "down !a none",
		/* found     */ "ok =a =a", "ok =c =c", "absent ?a none",
		/* confirm   */ "ok =a =a", "absent !a none",
		/* release   */ "ok none none", "absent !a none",
		/* unresolve */ "ok ?a none",
		/* settle    */ "absent !a none", "absent !a none", "absent !a none",
		/* adopt     */ "absent !a none", "absent !a none", "absent !a none", "absent !a none",
	} },
	{ "held over", {
		/* lookup    */ "busy !a =b", "other !a =b",
		/* claim     */ "busy !a =b", "other !a =b", "other !a =b", "down !a =b",
		/* found     */ "ok =a =a", "absent ?a =b", "absent ?a =b",
		/* confirm   */ "ok =a =a", "absent !a =b",
		/* release   */ "ok =b =b", "absent !a =b",
		/* unresolve */ "ok ?a =b",
		/* settle    */ "absent !a =b", "absent !a =b", "absent !a =b",
		/* adopt     */ "absent !a =b", "absent !a =b", "absent !a =b", "absent !a =b",
	} },
	{ "unresolved", {
		/* lookup    */ "unresolved ?a none", "unresolved ?a none",
		/* claim     */ "again !a none", "unresolved ?a none", "unresolved ?a none", "down ?a none",
		/* found     */ "absent ?a none", "absent ?a none", "absent ?a none",
		/* confirm   */ "absent ?a none", "absent ?a none",
		/* release   */ "absent ?a none", "absent ?a none",
		/* unresolve */ "absent ?a none",
		/* settle    */ "unresolved ?a none", "ok none none", "absent ?a none",
		/* adopt     */ "ok =a =a", "unresolved ?a none", "ok =c =c", "down ?a none",
	} },
	{ "unresolved over", {
		/* lookup    */ "unresolved ?a =b", "unresolved ?a =b",
		/* claim     */ "again !a =b", "unresolved ?a =b", "unresolved ?a =b", "down ?a =b",
		/* found     */ "absent ?a =b", "absent ?a =b", "absent ?a =b",
		/* confirm   */ "absent ?a =b", "absent ?a =b",
		/* release   */ "absent ?a =b", "absent ?a =b",
		/* unresolve */ "absent ?a =b",
		/* settle    */ "unresolved ?a =b", "ok =b =b", "absent ?a =b",
		/* adopt     */ "ok =a =a", "unresolved ?a =b", "ok =b =b", "down ?a =b",
	} },
	{ "again", {
		/* lookup    */ "busy !a none", "other !a none",
		/* claim     */ "busy !a none", "other !a none", "other !a none", "down !a none",
		/* found     */ "ok =a =a", "absent ?a none", "absent ?a none",
		/* confirm   */ "ok =a =a", "absent !a none",
		/* release   */ "ok ?a none", "absent !a none",
		/* unresolve */ "ok ?a none",
		/* settle    */ "absent !a none", "absent !a none", "absent !a none",
		/* adopt     */ "absent !a none", "absent !a none", "absent !a none", "absent !a none",
	} },
	{ "again over", {
		/* lookup    */ "busy !a =b", "other !a =b",
		/* claim     */ "busy !a =b", "other !a =b", "other !a =b", "down !a =b",
		/* found     */ "ok =a =a", "absent ?a =b", "absent ?a =b",
		/* confirm   */ "ok =a =a", "absent !a =b",
		/* release   */ "ok ?a =b", "absent !a =b",
		/* unresolve */ "ok ?a =b",
		/* settle    */ "absent !a =b", "absent !a =b", "absent !a =b",
		/* adopt     */ "absent !a =b", "absent !a =b", "absent !a =b", "absent !a =b",
	} },
};
/* clang-format on */
#define STATES (sizeof states / sizeof *states)

/* Bring `tag` into the state; the token that holds it, or 0. */
static uint64_t
make_state(struct ledger *l, const char *state, const char *tag)
{
	struct ledger_op op;

	if (strcmp(state, "none") == 0)
		return 0;
	if (strstr(state, "over") != NULL) {
		op = ask(l, LEDGER_CLAIM, tag, 'b', '-', false, 0, 1000);
		ask(l, LEDGER_CONFIRM, tag, 'b', '-', false, op.token, 1000);
	}
	op = ask(l, LEDGER_CLAIM, tag, 'a', '-', true, 0, 1000);
	CHECK_ROW(op.token != 0, state);
	if (strcmp(state, "confirmed") == 0)
		ask(l, LEDGER_CONFIRM, tag, 'a', '-', false, op.token, 1000);
	if (strncmp(state, "unresolved", 10) == 0 || strncmp(state, "again", 5) == 0)
		ask(l, LEDGER_UNRESOLVE, tag, 'a', '-', false, op.token, 1000);
	if (strncmp(state, "held", 4) == 0)
		return op.token;
	if (strncmp(state, "again", 5) == 0) {
		op = ask(l, LEDGER_CLAIM, tag, 'a', '-', false, 0, 1000);
		CHECK_ROW(op.answer == LEDGER_CLAIMED_AGAIN, state);
		return op.token;
	}
	return 0;
}

static void
every_verb_in_every_state(void)
{
	static char got[STATES][ACTIONS][40];
	struct ledger *l = open_ledger();
	char tag[32], row[80];

	for (size_t s = 0; s < STATES; s++) {
		for (size_t a = 0; a < ACTIONS; a++) {
			const struct action *x = &actions[a];
			struct ledger_op op;
			uint64_t token;

			snprintf(tag, sizeof tag, "t%zu-%zu", s, a);
			token = make_state(l, states[s].name, tag);
			op = ask(l, x->verb, tag, x->digest, x->found, x->overwrite, x->wrong_token ? token + 1000000 : token,
			    x->old ? 1000 + SETTLE + 1 : 1100);
			snprintf(got[s][a], sizeof got[s][a], "%s %s", answers[op.answer], look(l, tag));
		}
	}
	ledger_close(l);
	l = open_ledger();
	for (size_t s = 0; s < STATES; s++) {
		for (size_t a = 0; a < ACTIONS; a++) {
			size_t n = strlen(got[s][a]);
			const char *is;

			snprintf(tag, sizeof tag, "t%zu-%zu", s, a);
			is = look(l, tag);
			CHECK_ROW(is[0] != '!', tag); /* nobody holds anything after a restart */
			if (is[0] == '?')
				ask(l, LEDGER_SETTLE, tag, is[1], '-', false, 0, 1 << 20);
			snprintf(got[s][a] + n, sizeof got[s][a] - n, " %s", look(l, tag));
			snprintf(row, sizeof row, "%s: %s: %s", states[s].name, actions[a].name, got[s][a]);
			CHECK_ROW(states[s].expect[a] != NULL && strcmp(got[s][a], states[s].expect[a]) == 0, row);
		}
	}
	ledger_close(l);
}

/* ---- 16 threads, one tag ---- */

#define RACERS 16
static struct ledger *race_ledger;
static pthread_barrier_t race_start;

static void *
race(void *arg)
{
	struct question *q = arg;
	struct asker a = asker_new();
	int count = 1;

	q->asker = &a;
	q->op.reply_to = a.box;
	q->count = &count;
	pthread_barrier_wait(&race_start);
	ask_op(race_ledger, q);
	asker_free(&a);
	return NULL;
}

static void
one_of_sixteen_wins(void)
{
	struct question q[RACERS];
	pthread_t t[RACERS];
	uint64_t token = 0;
	int winners = 0, refused = 0;
	char winner = '-', tag[32];

	race_ledger = open_ledger();
	pthread_barrier_init(&race_start, NULL, RACERS);
	for (int round = 0; round < 50; round++) {
		snprintf(tag, sizeof tag, "r%d", round);
		winners = refused = 0;
		for (int i = 0; i < RACERS; i++) {
			prepare(&q[i], &me, NULL, LEDGER_CLAIM, tag);
			digest_of("0123456789abcdef"[i], q[i].op.digest);
			q[i].op.now = 1000;
			q[i].op.overwrite = i % 2 == 0; /* of no use against a claim */
			if (pthread_create(&t[i], NULL, race, &q[i]) != 0)
				abort();
		}
		for (int i = 0; i < RACERS; i++)
			pthread_join(t[i], NULL);
		for (int i = 0; i < RACERS; i++) {
			refused += q[i].op.answer == LEDGER_CLAIMED_OTHER;
			if (q[i].op.answer != LEDGER_CLAIMED_NEW)
				continue;
			winners++;
			winner = q[i].op.digest[70];
			token = q[i].op.token;
		}
		CHECK(winners == 1 && refused == RACERS - 1);
		CHECK(ask(race_ledger, LEDGER_CONFIRM, tag, winner, '-', false, token, 1000).answer == LEDGER_OK);
		CHECK(look(race_ledger, tag)[0] == '=' && look(race_ledger, tag)[1] == winner);
	}
	pthread_barrier_destroy(&race_start);
	CHECK(ledger_healthy(race_ledger));
	ledger_close(race_ledger);
}

/* Who asks after the end hears so, and mail that waits is delivered without a loop. */
static void
stopped(void)
{
	struct ledger *l = open_ledger();
	struct question q;
	int count = 1;

	ledger_stop(l);
	prepare(&q, &me, &count, LEDGER_CLAIM, "late");
	digest_of('a', q.op.digest);
	q.op.answer = LEDGER_CLAIMED_NEW;
	ledger_submit(l, &q.op);
	mailbox_empty(me.box);
	CHECK(count == 0 && q.op.answer == LEDGER_DOWN);
	ledger_free(l);
}

/* Operations that are queued together see each other, and close() answers all of them. */
static void
a_batch(void)
{
	enum { N = 500 };
	static struct question q[N];
	struct ledger *l = open_ledger();
	int count = N, fresh = 0, busy = 0;

	for (int i = 0; i < N; i++) {
		prepare(&q[i], &me, &count, LEDGER_CLAIM, i % 2 == 0 ? "even" : "odd");
		digest_of('a', q[i].op.digest);
		ledger_submit(l, &q[i].op);
	}
	ledger_close(l);
	while (count > 0)
		event_base_dispatch(me.base);
	for (int i = 0; i < N; i++) {
		fresh += q[i].op.answer == LEDGER_CLAIMED_NEW;
		busy += q[i].op.answer == LEDGER_BUSY;
	}
	CHECK(fresh == 2 && busy == N - 2);
}

/* ---- the file ---- */

static bool
sql_on(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	bool ok = sqlite3_open(path, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;

	sqlite3_close(db);
	return ok;
}

static void
remove_files(void)
{
	char wal[80];

	snprintf(wal, sizeof wal, "%s-wal", file);
	unlink(file);
	unlink(wal);
}

static bool
refused_with(const char *what, const char *words)
{
	char err[512] = "";
	struct ledger *l = ledger_open(what, NULL, err, sizeof err);
	bool ok = l == NULL && strstr(err, words) != NULL && strchr(err, '\n') == NULL;

	if (!ok)
		fprintf(stderr, "%s: wanted \"%s\", got \"%s\"\n", what, words, err);
	ledger_close(l);
	return ok;
}

/* Rows that we cannot have written: this tag is refused, the others are served. */
static void
damaged_rows(void)
{
	static const char *const damage[] = {
		"digest = ''",
		"digest = 'sha256:abc'",
		"digest = upper(digest)",
		"digest = digest || 'a'",
		"digest = replace(digest, 'sha256', 'sha512')",
		"digest = digest || char(0)",
		"old_digest = 'x'",
		"old_digest = digest",
		"claimed_at = -1",
	};
	char sql[256];
	struct ledger *l;

	for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
		struct ledger_op op;

		l = open_ledger();
		snprintf(sql, sizeof sql, "d%zu", i);
		op = ask(l, LEDGER_CLAIM, sql, 'a', '-', false, 0, 1000);
		ask(l, LEDGER_CONFIRM, sql, 'a', '-', false, op.token, 1000);
		ledger_close(l);
		snprintf(sql, sizeof sql, "UPDATE tag_record SET %s WHERE tag = 'd%zu'", damage[i], i);
		CHECK_ROW(sql_on(file, sql), damage[i]);
		l = open_ledger();
		snprintf(sql, sizeof sql, "d%zu", i);
		CHECK_ROW(strcmp(look(l, sql), "down") == 0, damage[i]);
		CHECK_ROW(ask(l, LEDGER_CLAIM, sql, 'a', '-', true, 0, 1000).answer == LEDGER_DOWN, damage[i]);
		CHECK_ROW(ask(l, LEDGER_CLAIM, sql, 'b', '-', true, 0, 1000).answer == LEDGER_DOWN, damage[i]);
		CHECK_ROW(ask(l, LEDGER_SETTLE, sql, 'a', '-', true, 0, 5000).answer == LEDGER_DOWN, damage[i]);
		CHECK_ROW(strcmp(look(l, "another"), "none") == 0, damage[i]);
		ledger_close(l);
	}
	/* what STRICT and CHECK keep out */
	CHECK(!sql_on(file, "UPDATE tag_record SET state = 'gone'"));
	CHECK(!sql_on(file, "UPDATE tag_record SET claimed_at = 'soon'"));
	CHECK(!sql_on(file, "UPDATE tag_record SET digest = x'00'"));
}

static void
history_is_append_only(void)
{
	CHECK(!sql_on(file, "UPDATE tag_history SET who = 'nobody'"));
	CHECK(!sql_on(file, "DELETE FROM tag_history"));
	CHECK(!sql_on(file, "INSERT OR REPLACE INTO tag_history SELECT * FROM tag_history WHERE seq = 1"));
	CHECK(sql_on(file, "INSERT INTO tag_history(at, what, registry, repository, tag, digest, old_digest, who, source,"
			   " event_id) VALUES (1, 'x', '', '', '', '', '', '', '', '')"));
}

static void
who_else(void)
{
	struct ledger *l;
	struct stat st;
	char other[80];

	remove_files();
	l = open_ledger();
	CHECK(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
	snprintf(other, sizeof other, "%s-wal", file);
	CHECK(stat(other, &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(refused_with(url, "another process has it open"));
	CHECK(strcmp(look(l, "x"), "none") == 0); /* the first one does not mind */
	ledger_close(l);

	CHECK(refused_with("postgres://x", "must be sqlite:/path"));
	CHECK(refused_with("sqlite:", "must be sqlite:/path"));
	snprintf(other, sizeof other, "sqlite:%s", dir);
	CHECK(refused_with(other, "is not a file"));
	CHECK(refused_with("sqlite:/nonexistent/tags.db", "No such file"));
	chmod(file, 0666);
	CHECK(refused_with(url, "chmod 600"));
	chmod(file, 0600);
	CHECK(sql_on(file, "PRAGMA user_version = 1"));
	CHECK(refused_with(url, "another version"));
	CHECK(sql_on(file, "PRAGMA user_version = 2; PRAGMA application_id = 7"));
	CHECK(refused_with(url, "not a tag ledger"));
	remove_files();
	CHECK(sql_on(file, "CREATE TABLE x(y)"));
	chmod(file, 0600);
	CHECK(refused_with(url, "not a tag ledger"));
	remove_files();
	ledger_close(open_ledger());
	CHECK(sql_on(file, "DROP TRIGGER tag_history_delete"));
	CHECK(refused_with(url, "damaged"));
	remove_files();
}

static void
not_a_database(void)
{
	FILE *f = fopen(file, "w");

	if (f == NULL)
		abort();
	for (int i = 0; i < 1000; i++)
		fputs("this is text", f);
	fclose(f);
	chmod(file, 0600);
	CHECK(refused_with(url, "is not a tag ledger"));
	remove_files();
}

/* Deleted or put back under us: what we write now is lost with us, so nothing is granted. */
static void
replaced_under_us(void)
{
	char wal[80];
	struct ledger *l = open_ledger();

	CHECK(ask(l, LEDGER_CLAIM, "x", 'a', '-', false, 0, 1000).answer == LEDGER_CLAIMED_NEW);
	CHECK(ledger_healthy(l));
	snprintf(wal, sizeof wal, "%s.kept", file);
	rename(file, wal);
	CHECK(ask(l, LEDGER_CLAIM, "y", 'a', '-', false, 0, 1000).answer == LEDGER_DOWN);
	CHECK(ask(l, LEDGER_LOOKUP, "y", 'a', '-', false, 0, 1000).answer == LEDGER_DOWN);
	CHECK(!ledger_healthy(l));
	rename(wal, file);
	CHECK(ask(l, LEDGER_CLAIM, "z", 'a', '-', false, 0, 1000).answer == LEDGER_CLAIMED_NEW);
	CHECK(ledger_healthy(l));
	snprintf(wal, sizeof wal, "%s-wal", file);
	unlink(wal);
	CHECK(ask(l, LEDGER_CLAIM, "zz", 'a', '-', false, 0, 1000).answer == LEDGER_DOWN);
	ledger_close(l);
	remove_files();
}

/* ---- in a child: what this process cannot do to itself ---- */

static void
in_child(int (*run)(void), const char *name)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(run());
	waitpid(pid, &status, 0);
	CHECK_ROW(WIFEXITED(status) && WEXITSTATUS(status) == 0, name);
}

static int
read_only_directory(void)
{
	bool ok;

	if (chmod(dir, 0555) != 0 || (geteuid() == 0 && setuid(65534) != 0))
		return 1;
	ok = refused_with(url, "ermission denied");
	return ok ? 0 : 2;
}

/* The file may not grow: the write fails, nobody is granted, and it works again when there is room. */
static int
no_room(void)
{
	struct rlimit none, was;
	struct ledger *l;
	struct ledger_op op;

	signal(SIGXFSZ, SIG_IGN);
	me = asker_new();
	l = open_ledger();
	op = ask(l, LEDGER_CLAIM, "before", 'a', '-', false, 0, 1000);
	if (op.answer != LEDGER_CLAIMED_NEW || getrlimit(RLIMIT_FSIZE, &was) != 0)
		return 1;
	none = was;
	none.rlim_cur = 4096;
	if (setrlimit(RLIMIT_FSIZE, &none) != 0)
		return 2;
	if (ask(l, LEDGER_CLAIM, "full", 'a', '-', false, 0, 1000).answer != LEDGER_DOWN || ledger_healthy(l))
		return 3;
	/* the holder's end fails as well, and ends the holding nevertheless */
	if (ask(l, LEDGER_CONFIRM, "before", 'a', '-', false, op.token, 1000).answer != LEDGER_DOWN)
		return 4;
	setrlimit(RLIMIT_FSIZE, &was);
	if (ask(l, LEDGER_CLAIM, "full", 'b', '-', false, 0, 1000).answer != LEDGER_CLAIMED_NEW || !ledger_healthy(l))
		return 5;
	if (strcmp(look(l, "before"), "?a") != 0)
		return 6;
	ledger_close(l);
	return 0;
}

/* ---- kill -9 ---- */

/* Claims tag after tag, and says so on fd only when the ledger did. Never returns. */
static void
claim_until_killed(int fd, int round)
{
	struct ledger *l;
	char tag[32];

	me = asker_new();
	l = open_ledger();
	for (int i = 0;; i++) {
		struct ledger_op op;

		snprintf(tag, sizeof tag, "k%d-%d", round, i);
		op = ask(l, LEDGER_CLAIM, tag, 'a', '-', false, 0, 1000);
		if (op.answer != LEDGER_CLAIMED_NEW || write(fd, "c", 1) != 1)
			_exit(1);
		if (i % 2 == 1)
			continue;
		if (ask(l, LEDGER_CONFIRM, tag, 'a', '-', false, op.token, 1000).answer != LEDGER_OK || write(fd, "k", 1) != 1)
			_exit(1);
	}
}

static void
killed(int round)
{
	int fd[2], status, claims = 0, confirms = 0;
	char c, tag[32];
	struct ledger *l;
	pid_t pid;

	if (pipe(fd) != 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		close(fd[0]);
		claim_until_killed(fd[1], round);
	}
	close(fd[1]);
	while (claims < 20 + round * 7 && read(fd[0], &c, 1) == 1)
		claims += c == 'c', confirms += c == 'k';
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (read(fd[0], &c, 1) == 1)
		claims += c == 'c', confirms += c == 'k';
	close(fd[0]);
	CHECK(WIFSIGNALED(status) && claims >= 20);
	/* what it was told is there; nothing is held; of another digest nothing may be claimed */
	l = open_ledger();
	for (int i = 0; i < claims; i++) {
		const char *is;

		snprintf(tag, sizeof tag, "k%d-%d", round, i);
		is = look(l, tag);
		if (i % 2 == 0 && i / 2 < confirms)
			CHECK_ROW(strcmp(is, "=a") == 0, tag);
		else
			CHECK_ROW(strcmp(is, "?a") == 0 || (i == claims - 1 && strcmp(is, "=a") == 0), tag);
		CHECK_ROW(ask(l, LEDGER_CLAIM, tag, 'b', '-', false, 0, 1000).answer != LEDGER_CLAIMED_NEW, tag);
	}
	ledger_close(l);
}

int
main(void)
{
	if (mkdtemp(dir) == NULL || evthread_use_pthreads() != 0)
		return 1;
	snprintf(file, sizeof file, "%s/tags.db", dir);
	snprintf(url, sizeof url, "sqlite:%s", file);
	/* children first: a fork of a process with threads is half a process */
	in_child(read_only_directory, "read-only directory");
	chmod(dir, 0700);
	in_child(no_room, "no room");
	me = asker_new();
	for (int round = 0; round < 4; round++)
		killed(round);
	remove_files();
	every_verb_in_every_state();
	one_of_sixteen_wins();
	a_batch();
	stopped();
	damaged_rows();
	history_is_append_only();
	who_else();
	not_a_database();
	replaced_under_us();
	asker_free(&me);
	remove_files();
	rmdir(dir);
	return check_done();
}
