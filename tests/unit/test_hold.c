/*
 * test_hold.c - the hold with a fake ledger and a fake upstream: scenarios, told at once or later, and given up at
 * every point of each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/hold.h"
#include "tests/unit/check.h"

#define NOW	10000
#define SETTLE	900

/*
 * In: what the ledger, upstream, the timer and the request answer, one word each:
 *   new late again same busy other down ok absent        the ledger; over:b again:b locked:b with the present digest
 *   (late: new, and it took so long that it may not be sent)
 *   young:b old:b                                   the ledger: unresolved claim of b, of just now or long ago
 *   p:a p0 p?                                       the probe: has a, is absent, is unknown
 *   ...-:b                                          the present digest is a tombstone's
 *   t                                               the timer
 *   grows shrinks                                   may it follow what is there?
 *   stored refused notsent unsure                   the PUT
 * Out: what the hold did.
 */
enum flag {
	OVERWRITE = 1,
	GROWS = 2,
	BLIND = 4	/* no read-back */
};

static const struct row {
	const char *name;
	unsigned flags;
	const char *in, *out;
} rows[] = {
	{ "new tag", 0, "new p0 stored p:a ok",
	    "claim tag.claimed probe granted probe confirm tag.confirmed done" },
	{ "new tag, not read back", BLIND, "new p0 stored ok",
	    "claim tag.claimed probe granted confirm tag.confirmed done" },
	{ "same digest again", 0, "same stored p:a ok", "claim granted probe confirm done" },
	{ "same digest again, not read back", BLIND, "same stored ok", "claim granted confirm done" },
	{ "same digest, upstream moved", 0, "same stored p:b ok", "claim granted probe unresolve refused:not_confirmed" },
	{ "same digest, upstream silent", 0, "same stored p? ok", "claim granted probe unresolve refused:not_confirmed" },
	{ "same digest, refused by upstream", 0, "same refused ok", "claim granted release done" },
	{ "same digest, timeout", 0, "same unsure ok", "claim granted unresolve done" },
	{ "same digest, ledger down", 0, "same stored p:a down", "claim granted probe confirm done" },
	{ "restored ledger", OVERWRITE, "restored", "claim refused:tag_restored" },
	{ "ledger down", 0, "down", "claim refused:ledger_down" },
	/* confirmed with another digest */
	{ "locked", 0, "locked:b", "claim may? refused:tag_locked" },
	{ "locked, overwrite", OVERWRITE, "locked:b over:b stored p:a ok",
	    "claim may? claim+ tag.claimed granted probe confirm tag.confirmed done" },
	{ "locked, overwrite, 4xx", OVERWRITE, "locked:b over:b refused ok",
	    "claim may? claim+ tag.claimed granted release tag.released done" },
	{ "locked, overwrite, somebody else now", OVERWRITE, "locked:b other", "claim may? claim+ refused:tag_pending" },
	/* upstream had it before the ledger */
	{ "found the same", 0, "new p:a ok same stored p:a ok",
	    "claim tag.claimed probe found:a tag.found claim granted probe confirm done" },
	{ "found another", 0, "new p:b ok locked:b",
	    "claim tag.claimed probe found:b tag.found claim may? refused:tag_locked" },
	{ "found another, overwrite", OVERWRITE, "new p:b ok locked:b over:b stored p:a ok",
	    "claim tag.claimed probe found:b tag.found claim may? claim+ tag.claimed granted probe confirm tag.confirmed done" },
	{ "found, ledger down", 0, "new p:b down", "claim tag.claimed probe found:b refused:ledger_down" },
	{ "found, claim gone", 0, "new p:a absent", "claim tag.claimed probe found:a refused:tag_unknown" },
	{ "unknown", 0, "new p? ok", "claim tag.claimed probe release tag.released refused:tag_unknown" },
	{ "unknown, ledger down", 0, "new p? down", "claim tag.claimed probe release refused:tag_unknown" },
	{ "slow", 0, "late p0 ok", "claim tag.claimed probe release tag.released refused:tag_busy" },
	{ "slow, found", 0, "late p:a ok same stored p:a ok",
	    "claim tag.claimed probe found:a tag.found claim granted probe confirm done" },
	/* another push is at it */
	{ "other digest in flight", 0, "other", "claim refused:tag_pending" },
	{ "other digest in flight, overwrite", OVERWRITE, "other", "claim refused:tag_pending" },
	{ "same digest in flight", 0, "busy t busy t same stored p:a ok",
	    "claim timer claim timer claim granted probe confirm done" },
	{ "same digest in flight for long", 0, "busy t busy t busy t busy t busy t busy t busy t busy t busy t busy t busy",
	    "claim timer claim timer claim timer claim timer claim timer claim timer claim timer claim timer claim timer"
	    " claim timer claim refused:tag_busy" },
	{ "same digest in flight, then another", 0, "busy t locked:b", "claim timer claim may? refused:tag_locked" },
	/* an earlier push of another digest ended nobody knows how */
	{ "unresolved, arrived", 0, "young:b p:b ok locked:b",
	    "claim probe adopt:b/b tag.confirmed claim may? refused:tag_locked" },
	{ "unresolved, arrived, overwrite", OVERWRITE, "old:b p:b ok locked:b over:b stored p:a ok",
	    "claim probe adopt:b/b tag.confirmed claim may? claim+ tag.claimed granted probe confirm tag.confirmed done" },
	{ "unresolved, young", OVERWRITE, "young:b p0", "claim probe refused:tag_pending" },
	{ "unresolved, settled", 0, "old:b p0 ok new p0 stored p:a ok",
	    "claim probe settle:b tag.settled claim tag.claimed probe granted probe confirm tag.confirmed done" },
	{ "unresolved, old, ledger's clock differs", 0, "old:b p0 young:b", "claim probe settle:b refused:tag_pending" },
	{ "unresolved, settled by another", 0, "old:b p0 absent other", "claim probe settle:b claim refused:tag_pending" },
	{ "unresolved, upstream unknown", 0, "old:b p?", "claim probe refused:tag_unknown" },
	{ "unresolved, third digest, young", 0, "young:b p:c", "claim probe refused:tag_pending" },
	{ "unresolved, our digest is there, young", 0, "young:b p:a", "claim probe refused:tag_pending" },
	{ "unresolved, third digest, old", 0, "old:b p:c ok locked:c",
	    "claim probe adopt:b/c tag.settled claim may? refused:tag_locked" },
	{ "unresolved, ledger down", 0, "old:b p0 down", "claim probe settle:b refused:ledger_down" },
	{ "unresolved, for ever anew", 0,
	    "old:b p0 absent old:b p0 absent old:b p0 absent old:b p0 absent old:b p0 absent old:b p0 absent"
	    " old:b p0 absent old:b p0 absent",
	    "claim probe settle:b claim probe settle:b claim probe settle:b claim probe settle:b claim probe settle:b"
	    " claim probe settle:b claim probe settle:b claim probe settle:b refused:tag_busy" },
	/* an earlier push of our digest */
	{ "again", 0, "again p0 stored p:a ok",
	    "claim tag.claimed probe granted probe confirm tag.confirmed done" },
	{ "again, had arrived", 0, "again p:a ok same stored p:a ok",
	    "claim tag.claimed probe found:a tag.found claim granted probe confirm done" },
	{ "again, another is there", 0, "again p:b ok",
	    "claim tag.claimed probe may? release tag.unresolved refused:tag_locked" },
	{ "again, another is there, overwrite", OVERWRITE, "again p:b stored p:a ok",
	    "claim tag.claimed probe may? granted probe confirm tag.confirmed done" },
	{ "again, somebody else's overwrite", 0, "again:b p:b ok",
	    "claim tag.claimed probe may? release tag.unresolved refused:tag_locked" },
	{ "again, somebody else's overwrite, tag lost", 0, "again:b p0 ok",
	    "claim tag.claimed probe may? release tag.unresolved refused:tag_locked" },
	{ "again, own overwrite", OVERWRITE, "again:b p0 refused ok",
	    "claim tag.claimed probe may? granted release tag.unresolved done" },
	{ "again, unknown", 0, "again p? ok", "claim tag.claimed probe release tag.unresolved refused:tag_unknown" },
	{ "again, own tombstone", 0, "again-:a p0 stored p:a ok",
	    "claim tag.claimed probe granted probe confirm tag.confirmed done" },
	/* deleted through us */
	{ "deleted, the same", 0, "over-:a stored p:a ok", "claim tag.claimed granted probe confirm tag.confirmed done" },
	{ "deleted, another", 0, "locked-:b", "claim may? refused:tag_deleted" },
	{ "deleted, another, overwrite", OVERWRITE, "locked-:b over-:b stored p:a ok",
	    "claim may? claim+ tag.claimed granted probe confirm tag.confirmed done" },
	/* a tag that grows */
	{ "grows, first", GROWS, "new p0 grows stored p:a ok",
	    "claim tag.claimed probe append:- granted probe confirm tag.confirmed done" },
	{ "grows, first, of no shape", GROWS, "new p0 shrinks ok",
	    "claim tag.claimed probe append:- release tag.released refused:tag_append_only" },
	{ "grows, the same", GROWS, "same stored p:a ok", "claim granted probe confirm done" },
	{ "grows", GROWS, "locked:b over:b grows stored p:a ok",
	    "claim claim+ tag.claimed append:b granted probe confirm tag.confirmed done" },
	{ "shrinks", GROWS | OVERWRITE, "locked:b over:b shrinks ok",
	    "claim claim+ tag.claimed append:b release tag.released refused:tag_append_only" },
	{ "shrinks, ledger down", GROWS, "locked:b over:b shrinks down",
	    "claim claim+ tag.claimed append:b release refused:tag_append_only" },
	{ "grows, another was quicker", GROWS, "locked:b over:c shrinks ok",
	    "claim claim+ tag.claimed append:c release tag.released refused:tag_append_only" },
	{ "grows, another is at it", GROWS, "other", "claim refused:tag_changed" },
	{ "grows, shared", GROWS, "locked:b busy t over:b grows stored p:a ok",
	    "claim claim+ timer claim+ tag.claimed append:b granted probe confirm tag.confirmed done" },
	{ "grows, found", GROWS, "new p:b ok locked:b over:b grows stored p:a ok",
	    "claim tag.claimed probe found:b tag.found claim claim+ tag.claimed append:b granted probe confirm tag.confirmed done" },
	{ "grows, again", GROWS, "again:b p:b grows stored p:a ok",
	    "claim tag.claimed probe append:b granted probe confirm tag.confirmed done" },
	{ "grows, again, moved meanwhile", GROWS, "again:b p:c shrinks ok",
	    "claim tag.claimed probe append:b release tag.unresolved refused:tag_append_only" },
	{ "grows, again, lost", GROWS, "again:b p0 shrinks ok",
	    "claim tag.claimed probe append:b release tag.unresolved refused:tag_append_only" },
	{ "grows, again, found another", GROWS, "again p:b grows stored p:a ok",
	    "claim tag.claimed probe append:b granted probe confirm tag.confirmed done" },
	{ "grows, deleted", GROWS, "locked-:b", "claim may? refused:tag_deleted" },
	{ "grows, deleted, overwrite", GROWS | OVERWRITE, "locked-:b over-:b grows stored p:a ok",
	    "claim may? claim+ tag.claimed append:- granted probe confirm tag.confirmed done" },
	{ "grows, deleted, the same", GROWS, "over-:a stored p:a ok",
	    "claim tag.claimed granted probe confirm tag.confirmed done" },
	{ "grows, deleted meanwhile", GROWS, "locked:b busy t over-:b ok",
	    "claim claim+ timer claim+ tag.claimed may? release tag.released refused:tag_deleted" },
	{ "grows, deleted meanwhile, overwrite", GROWS | OVERWRITE, "locked:b over-:b grows stored p:a ok",
	    "claim claim+ tag.claimed may? append:- granted probe confirm tag.confirmed done" },
	{ "grows, slow", GROWS, "late p0 grows ok",
	    "claim tag.claimed probe append:- release tag.released refused:tag_busy" },
	{ "grows, timeout", GROWS, "locked:b over:b grows unsure ok",
	    "claim claim+ tag.claimed append:b granted unresolve tag.unresolved done" },
	/* how the PUT ends */
	{ "4xx", 0, "new p0 refused ok", "claim tag.claimed probe granted release tag.released done" },
	{ "4xx, ledger down", 0, "new p0 refused down", "claim tag.claimed probe granted release done" },
	{ "not sent", 0, "new p0 notsent ok", "claim tag.claimed probe granted release tag.released done" },
	{ "timeout", 0, "new p0 unsure ok", "claim tag.claimed probe granted unresolve tag.unresolved done" },
	{ "timeout, ledger down", 0, "new p0 unsure down", "claim tag.claimed probe granted unresolve done" },
	{ "another digest read back", 0, "new p0 stored p:b ok",
	    "claim tag.claimed probe granted probe unresolve tag.unresolved refused:not_confirmed" },
	{ "nothing read back", 0, "new p0 stored p0 ok",
	    "claim tag.claimed probe granted probe unresolve tag.unresolved refused:not_confirmed" },
	{ "read back unknown", 0, "new p0 stored p? down",
	    "claim tag.claimed probe granted probe unresolve refused:not_confirmed" },
	{ "confirmed, ledger down", 0, "new p0 stored p:a down",
	    "claim tag.claimed probe granted probe confirm refused:ledger_down" },
	{ "confirmed, claim gone", 0, "new p0 stored p:a absent",
	    "claim tag.claimed probe granted probe confirm refused:not_confirmed" },
};

/* ---- the fake environment ---- */

enum want {
	WANT_NOTHING = 0,
	WANT_LEDGER,
	WANT_PROBE,
	WANT_TIMER,
	WANT_APPEND,
	WANT_PUT
};

struct world {
	const struct row *row;
	struct hold *hold;
	struct ledger_op *op;
	enum want want;		/* what the hold waits for */
	const char *in;		/* what is left */
	const char *rest;	/* the ledger's answer once it was given up; a claim succeeds nevertheless */
	bool at_once;		/* answers come before the call returns */
	int abandon_at;		/* inputs left until it is given up; -1: never */
	bool abandon_in_event;
	bool abandoned, held, sent;
	int gone, ended, late_events;
	enum ledger_verb last_verb;
	uint64_t next_token;
	unsigned waited;
	char out[1024];
};

static struct world *world;

static void
out(const char *word, const char *more)
{
	size_t n = strlen(world->out);

	snprintf(world->out + n, sizeof world->out - n, "%s%s%s", n == 0 ? "" : " ", word, more);
}

static void
digest_of(char c, char to[static LEDGER_DIGEST])
{
	memcpy(to, "sha256:", 7);
	memset(to + 7, c, 64);
	to[71] = '\0';
}

static char
letter(const char digest[static LEDGER_DIGEST])
{
	return digest[0] == '\0' ? '-' : digest[70];
}

static void next_input(void);

static void
wanted(enum want want)
{
	CHECK_ROW(world->want == WANT_NOTHING, world->row->name);	/* one thing at a time */
	world->want = want;
	if (world->at_once)
		next_input();
}

void
ledger_submit(struct ledger *l, struct ledger_op *op)
{
	static const char *const names[] = { "lookup", "claim", "found", "confirm", "release", "unresolve", "settle", "adopt" };
	char more[8] = "";

	(void)l;
	if (op->verb == LEDGER_CLAIM && op->overwrite)
		snprintf(more, sizeof more, "+");
	if (op->verb == LEDGER_FOUND)
		snprintf(more, sizeof more, ":%c", letter(op->found));
	if (op->verb == LEDGER_SETTLE)
		snprintf(more, sizeof more, ":%c", letter(op->digest));
	if (op->verb == LEDGER_ADOPT)
		snprintf(more, sizeof more, ":%c/%c", letter(op->digest), letter(op->found));
	out(names[op->verb], more);
	CHECK_ROW(op->now == NOW && span_eq(op->tag, SPAN("v1")) && span_eq(op->who, SPAN("me")), world->row->name);
	if (op->verb == LEDGER_CLAIM)
		CHECK_ROW(letter(op->digest) == 'a', world->row->name);
	if (op->verb != LEDGER_CLAIM && op->verb != LEDGER_SETTLE && op->verb != LEDGER_ADOPT) {
		CHECK_ROW(world->held && op->token == world->next_token, world->row->name);
		world->held = false;
	}
	world->last_verb = op->verb;
	world->op = op;
	wanted(WANT_LEDGER);
}

static void
probe(void *ctx, struct hold *h)
{
	(void)ctx;
	(void)h;
	CHECK_ROW(!world->abandoned, world->row->name);
	out("probe", "");
	wanted(WANT_PROBE);
}

static bool
may_overwrite(void *ctx, struct hold *h)
{
	(void)ctx;
	(void)h;
	out("may?", "");
	return (world->row->flags & OVERWRITE) != 0;
}

static void
append(void *ctx, struct hold *h, const char *old)
{
	char more[8];

	(void)ctx;
	(void)h;
	CHECK_ROW(!world->abandoned && world->held, world->row->name);
	snprintf(more, sizeof more, ":%c", old[0] == '\0' ? '-' : old[70]);
	out("append", more);
	wanted(WANT_APPEND);
}

static void
timer(void *ctx, struct hold *h, unsigned ms)
{
	(void)ctx;
	(void)h;
	if (ms == 0) {
		world->want = WANT_NOTHING;
		return;
	}
	world->waited += ms;
	CHECK_ROW(world->waited <= 5000, world->row->name);
	out("timer", "");
	wanted(WANT_TIMER);
}

static int64_t
now(void *ctx)
{
	(void)ctx;
	return NOW;
}

static void
event(void *ctx, struct hold *h, enum hold_event ev, enum refuse why)
{
	(void)ctx;
	world->late_events += world->abandoned;
	CHECK_ROW(world->ended == 0 && hold_old_digest(h) != NULL, world->row->name);
	world->ended += ev != HOLD_GRANTED;
	if (ev == HOLD_REFUSED)
		out("refused:", refusal_of(why)->symbol);
	else
		out(ev == HOLD_DONE ? "done" : "granted", "");
	CHECK_ROW((ev == HOLD_REFUSED) == (why != REFUSE_NONE), world->row->name);
	world->sent = world->sent || ev == HOLD_GRANTED;
	if (world->abandon_in_event) {
		world->abandoned = true;
		hold_abandon(h);
		return;
	}
	if (ev == HOLD_GRANTED)
		wanted(WANT_PUT);
}

static void
note(void *ctx, const char *name, const char *digest, const char *old_digest)
{
	(void)ctx;
	CHECK_ROW(digest[0] != '\0' && old_digest != NULL, world->row->name);
	out(name, "");
}

static void
gone(void *ctx)
{
	((struct world *)ctx)->gone++;
}

/* ---- inputs ---- */

static bool
is(const char *word, const char *name)
{
	return strcmp(word, name) == 0;
}

static void
answer_ledger(const char *word)
{
	static const struct {
		const char *word;
		enum ledger_answer answer;
	} answers[] = { { "new", LEDGER_CLAIMED_NEW }, { "over", LEDGER_CLAIMED_OVER }, { "again", LEDGER_CLAIMED_AGAIN },
		{ "late", LEDGER_CLAIMED_NEW }, { "same", LEDGER_SAME }, { "restored", LEDGER_RESTORED }, { "busy", LEDGER_BUSY },
		{ "other", LEDGER_CLAIMED_OTHER }, { "locked", LEDGER_LOCKED },
		{ "young", LEDGER_UNRESOLVED }, { "old", LEDGER_UNRESOLVED }, { "ok", LEDGER_OK }, { "absent", LEDGER_ABSENT } };
	struct ledger_op *op = world->op;
	size_t n = strcspn(word, "-:");

	op->answer = LEDGER_DOWN;
	op->deleted = word[n] == '-';
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (strlen(answers[i].word) == n && strncmp(word, answers[i].word, n) == 0)
			op->answer = answers[i].answer;
	if (op->verb == LEDGER_CLAIM) {
		op->current_digest[0] = '\0';
		if (word[n] != '\0')
			digest_of(word[strlen(word) - 1], op->current_digest);
		if (is(word, "same"))
			digest_of('a', op->current_digest);
		if (op->answer == LEDGER_UNRESOLVED)
			op->claimed_at = strncmp(word, "old", 3) == 0 ? NOW - SETTLE - 1 : NOW - SETTLE;
		else
			op->claimed_at = strncmp(word, "late", 4) == 0 ? NOW - SETTLE : NOW;
	}
	if (op->verb == LEDGER_CLAIM && (op->answer == LEDGER_SAME || op->answer == LEDGER_CLAIMED_NEW ||
	    op->answer == LEDGER_CLAIMED_OVER || op->answer == LEDGER_CLAIMED_AGAIN)) {
		op->token = ++world->next_token;
		world->held = true;
	}
	op->mail.deliver(&op->mail);
}

static void
answer_probe(const char *word)
{
	char digest[LEDGER_DIGEST] = "";

	if (word[1] == ':')
		digest_of(word[2], digest);
	hold_probed(world->hold, word[1] == ':' ? PROBE_PRESENT : word[1] == '0' ? PROBE_ABSENT : PROBE_UNKNOWN, digest);
}

static void
answer(const char *word)
{
	enum want want = world->want;

	world->want = WANT_NOTHING;
	switch (want) {
	case WANT_LEDGER:
		answer_ledger(word);
		return;
	case WANT_PROBE:
		answer_probe(word);
		return;
	case WANT_TIMER:
		CHECK_ROW(is(word, "t"), world->row->name);
		hold_timer(world->hold);
		return;
	case WANT_APPEND:
		hold_appended(world->hold, is(word, "grows") ? REFUSE_NONE : REFUSE_TAG_APPEND_ONLY);
		return;
	case WANT_PUT:
		hold_finish(world->hold, is(word, "stored") ? PUT_STORED : is(word, "refused") ? PUT_REFUSED :
			is(word, "notsent")						       ? PUT_NOT_SENT :
													 PUT_UNSURE);
		return;
	case WANT_NOTHING:
		CHECK_ROW(want != WANT_NOTHING, "an answer that nobody waits for");
		return;
	}
}

static void
next_input(void)
{
	char word[16];
	size_t n = strcspn(world->in, " ");

	if (world->abandon_at == 0) {
		world->abandon_at = -1;
		world->abandoned = true;
		/* requests end their own probe */
		if (world->want == WANT_PROBE || world->want == WANT_APPEND || world->want == WANT_PUT)
			world->want = WANT_NOTHING;
		hold_abandon(world->hold);
		return;
	}
	if (world->abandoned) {
		if (world->want == WANT_LEDGER)
			answer(world->last_verb == LEDGER_CLAIM ? "new" : world->rest);
		return;
	}
	if (world->abandon_at > 0)
		world->abandon_at--;
	if (n == 0 || n >= sizeof word)
		return;
	memcpy(word, world->in, n);
	word[n] = '\0';
	world->in += n + (world->in[n] == ' ');
	answer(word);
}

static void
begin(struct world *w, const struct row *r)
{
	struct hold_env env = { .ctx = w, .ledger = (struct ledger *)(void *)w, .probe = probe,
		.may_overwrite = may_overwrite, .append = append, .timer = timer, .now = now,
		.event = event, .note = note, .gone = gone };
	struct hold_request rq = { .registry = SPAN("r"), .repository = SPAN("a/b"), .tag = SPAN("v1"), .who = SPAN("me"),
		.settle = SETTLE, .read_back = (r->flags & BLIND) == 0, .append_only = (r->flags & GROWS) != 0 };

	world = w;
	w->row = r;
	w->in = r->in;
	digest_of('a', rq.digest);
	w->hold = hold_new(&env, &rq);
	if (w->hold == NULL)
		abort();
}

static void
scenario(const struct row *r, bool at_once)
{
	struct world w = { .abandon_at = -1, .at_once = at_once };

	begin(&w, r);
	hold_start(w.hold);
	while (w.gone == 0 && w.in[0] != '\0')
		next_input();
	if (!CHECK_ROW(strcmp(w.out, r->out) == 0, r->name))
		fprintf(stderr, "    %s\n", w.out);
	CHECK_ROW(w.gone == 1 && w.ended == 1 && w.in[0] == '\0' && !w.held, r->name);
}

/* Given up after n inputs, or in event() when n < 0; the ledger still answers, with `rest` for what comes after. */
static void
given_up(const struct row *r, int n, const char *rest, bool at_once)
{
	struct world w = { .abandon_at = n, .abandon_in_event = n < 0, .at_once = at_once, .rest = rest };
	bool sent;

	begin(&w, r);
	hold_start(w.hold);
	while (w.gone == 0 && !w.abandoned && (w.in[0] != '\0' || w.abandon_at == 0))
		next_input();
	sent = w.sent;
	for (int i = 0; w.gone == 0 && i < 3; i++)
		next_input();
	CHECK_ROW(w.gone == 1 && w.late_events == 0, r->name);
	CHECK_ROW(!w.held, r->name);
	/* a claim of a PUT that may be on its way is never given back */
	if (w.abandoned && w.last_verb == LEDGER_RELEASE && sent)
		CHECK_ROW(strstr(r->in, "refused") != NULL || strstr(r->in, "notsent") != NULL || strstr(w.out, "probe release"),
		    r->name);
	if (w.abandoned && w.last_verb == LEDGER_UNRESOLVE)
		CHECK_ROW(sent, r->name);
}

static int
words(const char *text)
{
	int n = text[0] != '\0';

	for (; *text != '\0'; text++)
		n += *text == ' ';
	return n;
}

static void
limits(void)
{
	struct hold_env env = { .now = now };
	struct hold_request rq = { .tag = { "", 1u << 20 } };

	CHECK(hold_new(&env, &rq) == NULL);
	rq.tag = (struct span){ "", SIZE_MAX };
	rq.registry = SPAN("x");
	CHECK(hold_new(&env, &rq) == NULL);
}

int
main(void)
{
	static const char *const rests[] = { "ok", "absent", "down" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		scenario(&rows[i], false);
		scenario(&rows[i], true);
		for (size_t k = 0; k < sizeof rests / sizeof *rests; k++)
			for (int n = -1; n <= words(rows[i].in); n++) {
				given_up(&rows[i], n, rests[k], false);
				given_up(&rows[i], n, rests[k], true);
			}
	}
	limits();
	return check_done();
}
