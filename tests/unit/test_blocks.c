/*
 * test_blocks.c - evidence, blocks and grants on a real ledger: migration, rows, order, a full disk, kill -9, what was put back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/evidence/blocks.h"
#include "gateway/evidence/grants.h"
#include "tests/unit/check.h"

#define REGISTRY SPAN("https://r.example")
#define REPO	 SPAN("team/app")

static char dir[] = "/tmp/test_blocks.XXXXXX";
static char file[64], url[80], mark[80], copy[80];
static struct event_base *base;
static struct mailbox *box;

/* ---- helpers ---- */

static void
digest_of(char c, char out[static LEDGER_DIGEST])
{
	memcpy(out, "sha256:", 7);
	memset(out + 7, c, 64);
	out[71] = '\0';
}

static struct span
digest(char c)
{
	static char text[128][LEDGER_DIGEST];

	digest_of(c, text[(unsigned char)c % 128]);
	return span_of(text[(unsigned char)c % 128]);
}

static struct ledger *
open_ledger(void)
{
	char err[256] = "";
	struct ledger *l = ledger_open(url, mark, err, sizeof err);

	if (l == NULL) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	return l;
}

static struct blocks *
open_blocks(struct ledger *l)
{
	char err[256] = "";
	struct blocks *b = blocks_open(l, err, sizeof err);

	if (b == NULL) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	return b;
}

static void
remove_files(void)
{
	char path[128];
	static const char *const ends[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s%s", file, ends[i]);
		unlink(path);
	}
	unlink(mark);
}

static void
sql(const char *text)
{
	sqlite3 *db = NULL;

	if (sqlite3_open(file, &db) != SQLITE_OK || sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

struct op {
	struct ledger_op op; /* first */
	bool done;
};

static void
on_op(struct mail *m)
{
	((struct op *)(void *)m)->done = true;
	event_base_loopbreak(base);
}

static enum ledger_answer
ask(struct ledger *l, struct ledger_op *op)
{
	struct op o = { .op = *op };

	o.op.mail.deliver = on_op;
	o.op.reply_to = box;
	ledger_submit(l, &o.op);
	while (!o.done)
		event_base_dispatch(base);
	*op = o.op;
	return op->answer;
}

static unsigned changed;

static void
on_change(struct block_change *c)
{
	(void)c;
	changed++;
	event_base_loopbreak(base);
}

static struct block_change
change(struct blocks *b, enum block_kind kind, bool everywhere, char c, unsigned kinds)
{
	struct block_change x = { .kind = kind, .everywhere = everywhere, .registry = REGISTRY, .repository = REPO, .who = SPAN("me"),
		.source = SPAN("here"), .event_id = SPAN("01"), .reason = SPAN("why"), .now = 1000, .kinds = kinds, .reply_to = box,
		.done = on_change };

	digest_of(c, x.digest);
	blocks_change(b, &x);
	event_base_dispatch(base);
	return x;
}

/* ---- version 2 becomes 3 ---- */

static void
migration(void)
{
	struct ledger_op op = { .verb = LEDGER_IMPORT, .registry = REGISTRY, .repository = REPO, .tag = SPAN("v1"), .who = SPAN("me"),
		.now = 5 };
	struct ledger_op look = { .verb = LEDGER_LOOKUP, .registry = REGISTRY, .repository = REPO, .tag = SPAN("v1"), .now = 6 };
	struct ledger *l = open_ledger();
	struct blocks *b;
	char err[256] = "";

	digest_of('a', op.found);
	CHECK(ask(l, &op) == LEDGER_OK);
	ledger_close(l);
	/* as the version before left it */
	sql("DROP TABLE evidence_record; DROP TABLE block_record; DROP TABLE grant_record; PRAGMA user_version = 2");
	l = open_ledger();
	digest_of('b', look.digest);
	CHECK(ask(l, &look) == LEDGER_LOCKED && look.current_digest[70] == 'a');
	b = open_blocks(l);
	CHECK(change(b, BLOCK_QUARANTINED, true, 'c', 0).ok);
	blocks_free(b);
	ledger_close(l);
	/* a table that is missing is damage, and one version more is somebody else's */
	sql("DROP TABLE block_record");
	CHECK(ledger_open(url, mark, err, sizeof err) == NULL && strstr(err, "damaged") != NULL);
	sql("PRAGMA user_version = 4");
	CHECK(ledger_open(url, mark, err, sizeof err) == NULL && strstr(err, "another version") != NULL);
	/* half of version 3 in version 2: nothing is brought up to date */
	sql("PRAGMA user_version = 2");
	CHECK(ledger_open(url, mark, err, sizeof err) == NULL);
	remove_files();
}

/* ---- evidence ---- */

static void
evidence(void)
{
	struct ledger *l = open_ledger();
	struct ledger_evidence row = { .kind = SPAN("report"), .source = SPAN("trivy"), .version = SPAN("1"), .state = SPAN("pass"),
		.value = SPAN("{\"a\":1}"), .at = 10, .until = 20, .good = SPAN("{}"), .good_at = 9 };
	struct ledger_evidence got = { .kind = SPAN("report"), .source = SPAN("trivy") };
	struct ledger_op put = { .verb = LEDGER_EVIDENCE_PUT, .registry = REGISTRY, .repository = REPO, .now = 1, .evidence = &row };
	struct ledger_op get = { .verb = LEDGER_EVIDENCE_GET, .registry = REGISTRY, .repository = REPO, .now = 1, .evidence = &got };

	digest_of('a', put.digest);
	digest_of('a', get.digest);
	CHECK(ask(l, &get) == LEDGER_ABSENT && got.value.n == 0);
	CHECK(ask(l, &put) == LEDGER_OK);
	CHECK(ask(l, &get) == LEDGER_OK && span_eq(got.value, row.value) && span_eq(got.version, row.version) &&
	    span_eq(got.state, row.state) && span_eq(got.good, row.good) && got.at == 10 && got.until == 20 && got.good_at == 9);
	row.version = SPAN("2");
	row.good = SPAN_NONE;
	CHECK(ask(l, &put) == LEDGER_OK && ask(l, &get) == LEDGER_OK && span_eq(got.version, SPAN("2")) && got.good.n == 0);
	/* of another digest, repository, kind or source nothing is known */
	digest_of('b', get.digest);
	CHECK(ask(l, &get) == LEDGER_ABSENT && got.bytes == NULL);
	digest_of('a', get.digest);
	get.repository = SPAN("team/other");
	CHECK(ask(l, &get) == LEDGER_ABSENT);
	get.repository = REPO;
	got.source = SPAN("clair");
	CHECK(ask(l, &get) == LEDGER_ABSENT);
	/* over a restart */
	ledger_close(l);
	l = open_ledger();
	got.source = SPAN("trivy");
	CHECK(ask(l, &get) == LEDGER_OK && span_eq(got.version, SPAN("2")));
	get.digest[10] = 'G';
	CHECK(ask(l, &get) == LEDGER_DOWN);
	ledger_evidence_clear(&got);
	ledger_close(l);
	remove_files();
}

/* ---- blocks ---- */

static unsigned n_cut;

static void
on_blocked(void *ctx, struct span registry, struct span repository, struct span d)
{
	(void)registry;
	(void)repository;
	CHECK(ctx == &n_cut && d.n == LEDGER_DIGEST - 1);
	n_cut++;
}

static void
on_pending(void *ctx, struct span registry, struct span repository, const char *d, unsigned kinds)
{
	CHECK(span_eq(registry, REGISTRY) && span_eq(repository, REPO) && d[10] == 'a');
	*(unsigned *)ctx += kinds;
}

static void
blocks(void)
{
	struct ledger *l = open_ledger();
	struct blocks *b = open_blocks(l);
	unsigned pending = 0;

	blocks_on_change(b, on_blocked, &n_cut);
	CHECK(!blocks_any(b) && blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_NONE);
	CHECK(change(b, BLOCK_PENDING, false, 'a', 6).ok && n_cut == 1);
	CHECK(blocks_any(b) && blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_PENDING);
	CHECK(blocks_find(b, REGISTRY, SPAN("team/other"), digest('a')) == BLOCK_NONE);
	CHECK(blocks_find(b, SPAN("https://other"), REPO, digest('a')) == BLOCK_NONE);
	CHECK(blocks_find(b, REGISTRY, REPO, digest('b')) == BLOCK_NONE);
	/* the strongest, and an operator's is everywhere */
	CHECK(change(b, BLOCK_QUARANTINED, true, 'a', 0).ok && n_cut == 2);
	CHECK(blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_QUARANTINED);
	CHECK(blocks_find(b, SPAN("https://other"), SPAN("x"), digest('a')) == BLOCK_QUARANTINED);
	CHECK(change(b, BLOCK_QUARANTINED, true, 'a', 0).was);
	/* the end of a push's block is not the end of the operator's, nor the other way round */
	CHECK(change(b, BLOCK_NONE, false, 'a', 0).was && blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_QUARANTINED);
	CHECK(!change(b, BLOCK_NONE, false, 'a', 0).was);
	CHECK(change(b, BLOCK_PENDING, false, 'a', 6).ok && change(b, BLOCK_NONE, true, 'a', 0).was);
	CHECK(blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_PENDING);
	CHECK(change(b, BLOCK_FAILED, false, 'b', 0).ok && blocks_count(b, BLOCK_FAILED) == 1 && blocks_count(b, BLOCK_PENDING) == 1 &&
	    blocks_count(b, BLOCK_QUARANTINED) == 0);
	blocks_free(b);
	ledger_close(l);
	/* the next start */
	l = open_ledger();
	b = open_blocks(l);
	CHECK(blocks_find(b, REGISTRY, REPO, digest('a')) == BLOCK_PENDING && blocks_find(b, REGISTRY, REPO, digest('b')) == BLOCK_FAILED);
	blocks_each_pending(b, on_pending, &pending);
	CHECK(pending == 6);
	CHECK(change(b, BLOCK_NONE, false, 'a', 0).was && change(b, BLOCK_NONE, false, 'b', 0).was && !blocks_any(b));
	blocks_free(b);
	ledger_close(l);
}

/* An end that is on its way does not end what was blocked anew behind it. */
static void
blocked_again(void)
{
	struct ledger *l = open_ledger();
	struct blocks *b = open_blocks(l);
	struct block_change end = { .kind = BLOCK_NONE, .registry = REGISTRY, .repository = REPO, .now = 1, .reply_to = box, .done = on_change };
	struct block_change again = { .kind = BLOCK_PENDING, .registry = REGISTRY, .repository = REPO, .now = 1, .reply_to = box,
		.done = on_change };

	digest_of('d', end.digest);
	digest_of('d', again.digest);
	CHECK(change(b, BLOCK_PENDING, false, 'd', 0).ok);
	changed = 0;
	blocks_change(b, &end);
	blocks_change(b, &again);
	while (changed < 2)
		event_base_loop(base, EVLOOP_ONCE);
	CHECK(again.ok && end.ok && blocks_find(b, REGISTRY, REPO, digest('d')) == BLOCK_PENDING);
	blocks_free(b);
	ledger_close(l);
	l = open_ledger();
	b = open_blocks(l);
	CHECK(blocks_find(b, REGISTRY, REPO, digest('d')) == BLOCK_PENDING);
	blocks_free(b);
	ledger_close(l);
	remove_files();
}

/* A row that cannot be one of ours: the gateway does not start as if nothing were blocked. */
static void
damaged(void)
{
	static const char *const rows[] = {
		"INSERT INTO block_record VALUES ('', '', 'sha256:no', 'quarantined', 0, '', '', '', '', 0)",
		"UPDATE block_record SET kind = 'allowed'",
	};
	char err[256] = "";

	for (size_t i = 0; i < 2; i++) {
		struct ledger *l = open_ledger();
		struct blocks *b = open_blocks(l);

		CHECK(change(b, BLOCK_QUARANTINED, true, 'a', 0).ok);
		blocks_free(b);
		ledger_close(l);
		sql(rows[i]);
		l = open_ledger();
		CHECK_ROW(blocks_open(l, err, sizeof err) == NULL && strstr(err, "cannot be read") != NULL, rows[i]);
		ledger_close(l);
		remove_files();
	}
}

/* A ledger from before a quarantine is behind its mark: it takes no new tags. */
static void
put_back(void)
{
	struct ledger_op claim = { .verb = LEDGER_CLAIM, .registry = REGISTRY, .repository = REPO, .tag = SPAN("v1"), .now = 5 };
	struct ledger *l = open_ledger();
	struct blocks *b;
	char text[512];

	ledger_close(l);
	snprintf(text, sizeof text, "cp %s %s", file, copy);
	CHECK(system(text) == 0);
	l = open_ledger();
	b = open_blocks(l);
	CHECK(change(b, BLOCK_QUARANTINED, true, 'a', 0).ok);
	blocks_free(b);
	ledger_close(l);
	snprintf(text, sizeof text, "rm -f %s-wal %s-shm && mv %s %s", file, file, copy, file);
	CHECK(system(text) == 0);
	l = open_ledger();
	digest_of('c', claim.digest);
	CHECK(ask(l, &claim) == LEDGER_RESTORED);
	ledger_close(l);
	remove_files();
}

/* ---- faults; in children, before there are threads ---- */

/* A block that cannot be written counts nevertheless, and who made it hears; the end of one does not. */
static int
no_room(void)
{
	struct rlimit was, none;
	struct block_change x;
	struct ledger *l;
	struct blocks *b;

	signal(SIGXFSZ, SIG_IGN);
	base = event_base_new();
	box = mailbox_new(base);
	l = open_ledger();
	b = open_blocks(l);
	if (!change(b, BLOCK_QUARANTINED, true, 'a', 0).ok || getrlimit(RLIMIT_FSIZE, &was) != 0)
		return 1;
	none = was;
	none.rlim_cur = 1;
	if (setrlimit(RLIMIT_FSIZE, &none) != 0)
		return 2;
	x = change(b, BLOCK_QUARANTINED, true, 'b', 0);
	if (x.ok || blocks_find(b, REGISTRY, REPO, digest('b')) != BLOCK_QUARANTINED)
		return 3;
	x = change(b, BLOCK_NONE, true, 'a', 0);
	if (x.ok || blocks_find(b, REGISTRY, REPO, digest('a')) != BLOCK_QUARANTINED)
		return 4;
	if (setrlimit(RLIMIT_FSIZE, &was) != 0)
		return 5;
	/* of what is in memory alone the end is only said, and that works */
	x = change(b, BLOCK_NONE, true, 'b', 0);
	if (!x.ok || blocks_find(b, REGISTRY, REPO, digest('b')) != BLOCK_NONE)
		return 6;
	if (!change(b, BLOCK_NONE, true, 'a', 0).ok || blocks_any(b))
		return 7;
	return 0;
}

/* Blocks until somebody kills it, each told to the parent once it is done. */
static int
block_on(int out)
{
	struct ledger *l;
	struct blocks *b;

	base = event_base_new();
	box = mailbox_new(base);
	l = open_ledger();
	b = open_blocks(l);
	for (unsigned char i = 0;; i++) {
		struct block_change x = { .kind = BLOCK_QUARANTINED, .everywhere = true, .now = 1, .reply_to = box, .done = on_change };

		memcpy(x.digest, "sha256:", 7);
		for (int k = 0; k < 32; k++)
			snprintf(x.digest + 7 + (size_t)k * 2, 3, "%02x", i);
		blocks_change(b, &x);
		event_base_dispatch(base);
		if (!x.ok || write(out, &i, 1) != 1)
			return 1;
	}
}

static void
killed(unsigned ms)
{
	unsigned char last = 0, c;
	int pipes[2], status;
	struct ledger *l;
	struct blocks *b;
	unsigned n = 0, gone = 0;
	pid_t pid;

	if (pipe(pipes) != 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		close(pipes[0]);
		_exit(block_on(pipes[1]));
	}
	close(pipes[1]);
	/* not before one is done, however slow it is here */
	if (read(pipes[0], &c, 1) == 1)
		n++;
	usleep(ms * 1000);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (read(pipes[0], &c, 1) == 1) {
		last = c;
		n++;
	}
	close(pipes[0]);
	base = event_base_new();
	box = mailbox_new(base);
	l = open_ledger();
	b = open_blocks(l);
	for (unsigned i = 0; n > 0 && i <= last; i++) {
		char text[LEDGER_DIGEST] = "sha256:";

		for (int k = 0; k < 32; k++)
			snprintf(text + 7 + (size_t)k * 2, 3, "%02x", i);
		gone += blocks_find(b, REGISTRY, REPO, span_of(text)) != BLOCK_QUARANTINED;
	}
	CHECK(n > 0 && gone == 0);
	blocks_free(b);
	ledger_close(l);
	mailbox_free(box);
	event_base_free(base);
	remove_files();
}

static void
in_child(int (*run)(void), const char *name)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	CHECK_ROW(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, name);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fprintf(stderr, "    %s: %d\n", name, WEXITSTATUS(status));
	remove_files();
}

/* ---- grants ---- */

static struct manifest
image_of(char self, struct descriptor *layers, size_t n)
{
	struct manifest m = { .kind = MANIFEST_IMAGE, .config = { .digest = digest('c') }, .layers = layers, .n_layers = n };

	digest_of(self, m.digest);
	return m;
}

static void
on_found(struct grants_ask *a)
{
	(void)a;
	event_base_loopbreak(base);
}

static struct grants_ask
look_up(struct grants *g, struct span repository, char c)
{
	struct grants_ask a = { .registry = REGISTRY, .repository = repository, .blob = digest(c), .reply_to = box, .done = on_found };

	grants_ask(g, &a);
	event_base_dispatch(base);
	return a;
}

static void
grants(void)
{
	struct descriptor layers[2] = { { .digest = digest('1') }, { .digest = digest('2') } };
	struct descriptor child[1] = { { .digest = digest('a') } };
	struct manifest one = image_of('a', layers, 2), two = image_of('b', layers, 1);
	struct manifest index = { .kind = MANIFEST_INDEX, .children = child, .n_children = 1 };
	struct ledger *l = open_ledger();
	struct grants *g = grants_open(l);
	struct grant found[GRANTS_MAX];
	struct grants_ask asked;
	bool known = true;

	digest_of('e', index.digest);
	CHECK(grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == 0 && !known);
	grants_note(g, REGISTRY, REPO, SPAN("v1"), &one);
	grants_note(g, REGISTRY, REPO, SPAN_NONE, &two);
	grants_note(g, REGISTRY, REPO, SPAN("multi"), &index);
	CHECK(grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == 2 && !known && found[0].digest[10] == 'b' &&
	    found[1].digest[10] == 'a' && strcmp(found[1].tag, "v1") == 0 && found[0].tag[0] == '\0');
	CHECK(grants_find(g, REGISTRY, REPO, digest('2'), found, &known) == 1 && found[0].digest[10] == 'a');
	CHECK(grants_find(g, REGISTRY, REPO, digest('c'), found, &known) == 2);
	CHECK(grants_find(g, REGISTRY, REPO, digest('a'), found, &known) == 1 && found[0].digest[10] == 'e');
	CHECK(grants_find(g, REGISTRY, SPAN("team/other"), digest('1'), found, &known) == 0);
	/* by digest again: it is the latest, and its tag is kept */
	grants_note(g, REGISTRY, REPO, SPAN_NONE, &one);
	CHECK(grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == 2 && found[0].digest[10] == 'a' && strcmp(found[0].tag, "v1") == 0);
	asked = look_up(g, REPO, '1');
	CHECK(asked.n == 2 && grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == 2 && known);
	/* the next start knows them from the database */
	ledger_stop(l);
	grants_free(g);
	ledger_free(l);
	l = open_ledger();
	g = grants_open(l);
	CHECK(grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == 0 && !known);
	asked = look_up(g, REPO, '1');
	CHECK(asked.n == 2 && (asked.found[0].digest[10] == 'a' || asked.found[1].digest[10] == 'a'));
	CHECK(look_up(g, SPAN("team/other"), '1').n == 0 && look_up(g, REPO, 'f').n == 0);
	CHECK(grants_find(g, REGISTRY, REPO, digest('f'), found, &known) == 0 && known);
	/* more than are kept: the latest */
	for (unsigned i = 0; i < GRANTS_MAX + 4; i++) {
		struct manifest m = image_of("0123456789abcdef"[i % 16], layers, 1);

		m.digest[70] = "0123456789abcdef"[i / 16];
		grants_note(g, REGISTRY, REPO, SPAN("t"), &m);
	}
	CHECK(grants_find(g, REGISTRY, REPO, digest('1'), found, &known) == GRANTS_MAX && found[0].digest[10] == '3' &&
	    found[0].digest[70] == '1');
	ledger_stop(l);
	grants_free(g);
	ledger_free(l);
	remove_files();
}

int
main(void)
{
	if (mkdtemp(dir) == NULL || evthread_use_pthreads() != 0)
		return 1;
	snprintf(file, sizeof file, "%s/tags.db", dir);
	snprintf(url, sizeof url, "sqlite:%s", file);
	snprintf(mark, sizeof mark, "%s/mark", dir);
	snprintf(copy, sizeof copy, "%s/copy", dir);
	in_child(no_room, "no room");
	for (unsigned ms = 40; ms < 200; ms += 40)
		killed(ms);
	base = event_base_new();
	box = mailbox_new(base);
	if (base == NULL || box == NULL)
		return 1;
	migration();
	evidence();
	blocks();
	blocked_again();
	damaged();
	put_back();
	grants();
	mailbox_free(box);
	event_base_free(base);
	remove_files();
	rmdir(dir);
	return check_done();
}
