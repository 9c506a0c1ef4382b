/*
 * fuzz_hold.c - many holds, one tag, the ledger's rules and a model of upstream, in any order of events: messages late
 * or lost, pushes given up, database failures, crashes.
 *
 * What must hold when nobody may overwrite: upstream never moves (or, a tag that grows, only to what may follow), and
 * every 201 is for the digest that it has. Always:
 * every hold ends, once. The one thing that is assumed is what `settle` means: no PUT arrives half of that after it was sent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/tags/hold.h"
#include "gateway/tags/ledger_store.h"

#define HOLDS	6
#define PUTS	32
#define SETTLE	900
#define STEPS	280	/* of up to a second: less than SETTLE / 2 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the store: one record ---- */

struct store {
	struct tag_record kept, pending;
	bool has, has_pending, open;
	bool fails;
};

enum store_found
store_get(struct store *s, const struct ledger_op *key, struct span tag, struct tag_record *out)
{
	(void)key;
	(void)tag;
	memset(out, 0, sizeof *out);
	if (!(s->open ? s->has_pending : s->has))
		return STORE_NONE;
	*out = s->open ? s->pending : s->kept;
	return STORE_RECORD;
}

bool
store_put(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_record *now,
    const struct tag_change *change)
{
	(void)key;
	(void)tag;
	(void)change;
	if (s->fails)
		return false;
	s->open = true;
	s->has_pending = now != NULL;
	if (now != NULL)
		s->pending = *now;
	return true;
}

/* A delete of a digest, as the one record has it. */
enum store_found
store_names(struct store *s, const struct ledger_op *key, const char *digest,
    bool (*each)(void *ctx, struct span tag, const struct tag_record *r), void *ctx)
{
	struct tag_record r;

	if (store_get(s, key, SPAN("v1"), &r) == STORE_NONE)
		return STORE_RECORD;
	if (strcmp(r.digest, digest) != 0 && strcmp(r.old_digest, digest) != 0)
		return STORE_RECORD;
	return each(ctx, SPAN("v1"), &r) ? STORE_RECORD : STORE_NONE;
}

bool
store_repository(struct store *s, const struct ledger_op *key, struct repository_record *out)
{
	(void)s;
	(void)key;
	memset(out, 0, sizeof *out);
	return true;
}

bool
store_put_repository(struct store *s, const struct ledger_op *key, bool imported)
{
	(void)s;
	(void)key;
	return imported;
}

bool
store_evidence(struct store *s, struct ledger_op *op)
{
	(void)s;
	(void)op;
	return true;
}

bool
store_page(struct store *s, struct ledger_op *op)
{
	(void)s;
	return op->page == NULL;
}

/* ---- the world ---- */

enum want {
	WANT_NOTHING = 0,	/* or an answer of the ledger */
	WANT_PROBE,
	WANT_APPEND,
	WANT_TIMER,
	WANT_PUT
};

struct push {
	struct hold *hold;	/* NULL: this place is free */
	enum want want;
	bool sampled;		/* the probe was answered by upstream, and is on its way */
	char digest, sample;
	char follows;		/* WANT_APPEND: what the ledger says is there; 0: nothing */
	bool overwrite, abandoned, stored;
};

struct put {
	char digest;		/* 0: this place is free */
	struct push *by;	/* who waits for its end */
};

struct world {
	struct push push[HOLDS];
	struct put put[PUTS];
	struct store store;
	struct claims *claims;
	struct ledger_op *first, **last;
	char upstream;		/* 0: absent */
	int64_t now;
	bool overwrites;
	bool grows;		/* the tag only grows: a, then b, then c; "d" is what anything may follow */
	const uint8_t *in, *end;
};

static struct world w;

static unsigned
take(unsigned below)
{
	return w.in < w.end && below > 1 ? *w.in++ % below : 0;
}

static void
must(bool what)
{
	if (!what)
		abort();
}

static void
digest_of(char c, char to[static LEDGER_DIGEST])
{
	memset(to, 0, LEDGER_DIGEST);
	if (c == 0)
		return;
	memcpy(to, "sha256:", 7);
	memset(to + 7, c, 64);
}

static int
rank(char digest)
{
	return digest == 'd' ? 0 : digest;
}

static void
upstream_stores(char digest)
{
	must(w.overwrites || w.upstream == 0 || w.upstream == digest || (w.grows && rank(w.upstream) < rank(digest)));
	w.upstream = digest;
}

/* ---- the ledger ---- */

void
ledger_submit(struct ledger *l, struct ledger_op *op)
{
	(void)l;
	op->next = NULL;
	*w.last = op;
	w.last = &op->next;
}

/* The queue, or the first n of it, as one batch. */
static void
run_ledger(unsigned n, bool fails)
{
	struct ledger_op *batch = w.first, **at = &w.first, *next;
	bool ok = true;

	while (*at != NULL && n-- > 0)
		at = &(*at)->next;
	w.first = *at;
	if (w.first == NULL)
		w.last = &w.first;
	*at = NULL;
	if (w.first == batch)
		return;
	w.store.fails = fails;
	for (struct ledger_op *op = batch; op != NULL; op = op->next)
		ok = ledger_apply(w.claims, &w.store, op) && ok;
	ok = ok && !fails;
	if (ok && w.store.open) {
		w.store.kept = w.store.pending;
		w.store.has = w.store.has_pending;
	}
	w.store.open = false;
	claims_batch_ended(w.claims, ok);
	for (struct ledger_op *op = batch; op != NULL; op = next) {
		next = op->next;
		if (!ok)
			op->answer = LEDGER_DOWN;
		op->mail.deliver(&op->mail);
	}
}

/* ---- the environment of a hold ---- */

static void
probe(void *ctx, struct hold *h)
{
	struct push *p = ctx;

	(void)h;
	must(!p->abandoned && p->want == WANT_NOTHING);
	p->want = WANT_PROBE;
	p->sampled = false;
}

static void
append(void *ctx, struct hold *h, const char *old)
{
	struct push *p = ctx;

	(void)h;
	must(w.grows && !p->abandoned && p->want == WANT_NOTHING);
	p->want = WANT_APPEND;
	p->sampled = false;
	p->follows = old[0] == '\0' ? 0 : old[70];
}

static bool
may_overwrite(void *ctx, struct hold *h)
{
	(void)h;
	return ((struct push *)ctx)->overwrite;
}

static void
timer(void *ctx, struct hold *h, unsigned ms)
{
	struct push *p = ctx;

	(void)h;
	must(ms == 0 || p->want == WANT_NOTHING);
	p->want = ms == 0 ? WANT_NOTHING : WANT_TIMER;
}

static int64_t
now(void *ctx)
{
	(void)ctx;
	return w.now;
}

static void
event(void *ctx, struct hold *h, enum hold_event ev, enum refuse why)
{
	struct push *p = ctx;

	(void)h;
	must(!p->abandoned && (ev == HOLD_REFUSED) == (why != REFUSE_NONE));
	if (ev == HOLD_GRANTED) {
		p->want = WANT_PUT;
		for (size_t i = 0; i < PUTS; i++)
			if (w.put[i].digest == 0) {
				w.put[i] = (struct put){ p->digest, p };
				return;
			}
		/* no place: it was never sent */
		p->want = WANT_NOTHING;
		hold_finish(h, PUT_NOT_SENT);
		return;
	}
	/* a 201 to the client */
	if (ev == HOLD_DONE && p->stored)
		must(w.overwrites || w.upstream == p->digest);
}

static void
gone(void *ctx)
{
	struct push *p = ctx;

	must(p->hold != NULL);
	for (size_t i = 0; i < PUTS; i++)
		if (w.put[i].by == p)
			w.put[i].by = NULL;
	memset(p, 0, sizeof *p);
}

/* ---- what may happen ---- */

static void
begin(struct push *p)
{
	struct hold_env env = { .ctx = p, .ledger = (struct ledger *)(void *)&w, .probe = probe, .may_overwrite = may_overwrite,
		.append = append, .timer = timer, .now = now, .event = event, .gone = gone };
	struct hold_request rq = { .tag = SPAN("v1"), .settle = SETTLE };
	unsigned how = take(12);

	if (p->hold != NULL)
		return;
	p->digest = "abc"[how % 3];
	p->overwrite = w.overwrites && how >= 6;
	rq.read_back = how % 2 == 0;
	rq.append_only = w.grows;
	digest_of(p->digest, rq.digest);
	p->hold = hold_new(&env, &rq);
	if (p->hold != NULL)
		hold_start(p->hold);
}

static void
give_up(struct push *p)
{
	if (p->hold == NULL || p->abandoned)
		return;
	p->abandoned = true;
	p->want = WANT_NOTHING;
	for (size_t i = 0; i < PUTS; i++)
		if (w.put[i].by == p)
			w.put[i].by = NULL;	/* what was sent is on its way nevertheless */
	hold_abandon(p->hold);
}

/* Upstream reads the tag now; its answer comes later. */
static void
sample(struct push *p)
{
	if ((p->want != WANT_PROBE && p->want != WANT_APPEND) || p->sampled)
		return;
	p->sampled = true;
	p->sample = w.upstream;
}

/* The first of its kind is not compared with upstream: the hold has looked. */
static void
answer_append(struct push *p, bool lost)
{
	enum refuse why = REFUSE_NONE;

	sample(p);
	p->want = WANT_NOTHING;
	if (p->follows != 0 && (lost || p->sample != p->follows))
		why = lost ? REFUSE_TAG_UNKNOWN : REFUSE_TAG_DRIFTED;
	else if (p->follows != 0 && rank(p->follows) >= rank(p->digest))
		why = REFUSE_TAG_APPEND_ONLY;
	hold_appended(p->hold, why);
}

static void
answer_probe(struct push *p, bool lost)
{
	char digest[LEDGER_DIGEST];

	if (p->want == WANT_APPEND)
		answer_append(p, lost);
	if (p->want != WANT_PROBE)
		return;
	sample(p);
	p->want = WANT_NOTHING;
	digest_of(p->sample, digest);
	hold_probed(p->hold, lost ? PROBE_UNKNOWN : p->sample == 0 ? PROBE_ABSENT : PROBE_PRESENT, digest);
}

static void
end_put(struct put *put, enum put_outcome outcome)
{
	struct push *by = put->by;

	if (put->digest == 0)
		return;
	if (outcome == PUT_STORED)
		upstream_stores(put->digest);
	if (outcome != PUT_UNSURE)
		put->digest = 0;	/* else it may still arrive */
	put->by = NULL;
	if (by == NULL)
		return;
	by->want = WANT_NOTHING;
	by->stored = outcome == PUT_STORED;
	hold_finish(by->hold, outcome);
}

/* Everybody who waited is gone, nobody holds anything; what was sent and what was kept stays. */
static void
crash(void)
{
	for (size_t i = 0; i < HOLDS; i++)
		give_up(&w.push[i]);
	while (w.first != NULL)
		run_ledger(PUTS, true);
	for (size_t i = 0; i < HOLDS; i++)
		must(w.push[i].hold == NULL);
	claims_free(w.claims);
	w.claims = claims_new();
	must(w.claims != NULL);
}

/* A long time: everything that was sent has arrived or never will, and no PUT takes that long. */
static void
much_later(void)
{
	bool arrives[PUTS];

	for (size_t i = 0; i < PUTS; i++)
		arrives[i] = take(2) == 1;
	for (size_t i = 0; i < HOLDS; i++)
		if (w.push[i].want == WANT_PUT)
			return;
	for (size_t i = 0; i < PUTS; i++) {
		if (w.put[i].digest != 0 && arrives[i])
			upstream_stores(w.put[i].digest);
		w.put[i].digest = 0;
	}
	w.now += SETTLE + 1;
}

static void
step(void)
{
	unsigned what = take(16), which = take(PUTS);
	struct push *p = &w.push[which % HOLDS];

	w.now += take(2);
	switch (what) {
	case 0:
	case 1:
		begin(p);
		return;
	case 2:
		give_up(p);
		return;
	case 3:
		sample(p);
		return;
	case 4:
	case 5:
		answer_probe(p, false);
		return;
	case 6:
		answer_probe(p, true);
		return;
	case 7:
		if (p->want == WANT_TIMER) {
			p->want = WANT_NOTHING;
			hold_timer(p->hold);
		}
		return;
	case 8:
		end_put(&w.put[which], PUT_STORED);
		return;
	case 9:
		end_put(&w.put[which], which % 2 == 0 ? PUT_REFUSED : PUT_NOT_SENT);
		return;
	case 10:
		end_put(&w.put[which], PUT_UNSURE);
		return;
	case 11:
		crash();
		return;
	case 12:
		run_ledger(which + 1, true);
		return;
	case 13:
		much_later();
		return;
	default:
		run_ledger(which + 1, false);
		return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&w, 0, sizeof w);
	w.last = &w.first;
	w.in = data;
	w.end = data + size;
	w.now = 1000000;
	w.claims = claims_new();
	must(w.claims != NULL);
	switch (take(4)) {
	case 2:
		w.grows = true;
		break;
	case 3:
		w.overwrites = true;
		break;
	default:
		break;
	}
	w.upstream = "\0\0\0d"[take(4)];
	for (int i = 0; i < STEPS && w.in < w.end; i++)
		step();
	crash();
	claims_free(w.claims);
	return 0;
}
