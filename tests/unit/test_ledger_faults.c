/*
 * test_ledger_faults.c - the ledger over a store that fails on demand: at which call, and what everybody hears.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/tags/ledger_store.h"
#include "tests/unit/check.h"

/* ---- one tag, kept and pending; the n-th call of a kind fails ---- */

enum call {
	CALL_NONE = 0,
	CALL_GET,
	CALL_PUT,
	CALL_END,
	CALL_WORKS
};

struct store {
	struct tag_record kept, pending;
	bool has, has_pending, open;
};

static struct store the_store;
static atomic_int fails, puts_done;

struct store *
store_open(const char *path, const char *mark, char *err, size_t err_size)
{
	(void)path;
	(void)mark;
	(void)err;
	(void)err_size;
	return &the_store;
}

void
store_close(struct store *s)
{
	(void)s;
}

enum store_found
store_get(struct store *s, const struct ledger_op *key, struct span tag, struct tag_record *out)
{
	(void)key;
	(void)tag;
	memset(out, 0, sizeof *out);
	if (atomic_load(&fails) == CALL_GET)
		return STORE_FAILED;
	*out = s->open ? s->pending : s->kept;
	return (s->open ? s->has_pending : s->has) ? STORE_RECORD : STORE_NONE;
}

bool
store_put(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_record *now,
    const struct tag_change *change)
{
	(void)key;
	(void)tag;
	(void)change;
	if (atomic_load(&fails) == CALL_PUT)
		return false;
	s->open = true;
	s->has_pending = now != NULL;
	if (now != NULL)
		s->pending = *now;
	atomic_fetch_add(&puts_done, 1);
	return true;
}

/* A delete of a digest, as the one record has it. */
enum store_found
store_names(struct store *s, const struct ledger_op *key, const char *digest,
    bool (*each)(void *ctx, struct span tag, const struct tag_record *r), void *ctx)
{
	struct tag_record r;
	enum store_found found = store_get(s, key, SPAN("v1"), &r);

	if (found != STORE_RECORD)
		return found == STORE_NONE ? STORE_RECORD : found;
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

bool
store_end(struct store *s, bool keep)
{
	bool ok = keep && atomic_load(&fails) != CALL_END;

	if (s->open && ok) {
		s->kept = s->pending;
		s->has = s->has_pending;
	}
	s->open = false;
	return ok;
}

bool
store_works(struct store *s)
{
	(void)s;
	return atomic_load(&fails) == CALL_NONE;
}

/* ---- asking ---- */

static struct event_base *base;
static struct mailbox *box;
static int left;

static void
on_answer(struct mail *m)
{
	(void)m;
	if (--left == 0)
		event_base_loopbreak(base);
}

static void
prepare(struct ledger_op *op, enum ledger_verb verb, char digest, uint64_t token)
{
	memset(op, 0, sizeof *op);
	op->mail.deliver = on_answer;
	op->reply_to = box;
	op->verb = verb;
	op->tag = SPAN("v1");
	memcpy(op->digest, "sha256:", 7);
	memset(op->digest + 7, digest, 64);
	op->now = 1000;
	op->token = token;
}

static struct ledger_op
ask(struct ledger *l, enum ledger_verb verb, char digest, uint64_t token)
{
	struct ledger_op op;

	prepare(&op, verb, digest, token);
	left = 1;
	ledger_submit(l, &op);
	while (left > 0)
		event_base_dispatch(base);
	return op;
}

/* A failure while `verb` of a claim of 'a' is done; what a lookup of 'a' and of 'b' says afterwards. */
static const struct row {
	const char *name;
	enum ledger_verb verb;
	enum call fails;
	enum ledger_answer after_a, after_b;
} rows[] = {
	{ "claim, read", LEDGER_CLAIM, CALL_GET, LEDGER_ABSENT, LEDGER_ABSENT },
	{ "claim, write", LEDGER_CLAIM, CALL_PUT, LEDGER_ABSENT, LEDGER_ABSENT },
	{ "claim, commit", LEDGER_CLAIM, CALL_END, LEDGER_ABSENT, LEDGER_ABSENT },
	{ "confirm, read", LEDGER_CONFIRM, CALL_GET, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "confirm, write", LEDGER_CONFIRM, CALL_PUT, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "confirm, commit", LEDGER_CONFIRM, CALL_END, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "release, read", LEDGER_RELEASE, CALL_GET, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "release, write", LEDGER_RELEASE, CALL_PUT, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "release, commit", LEDGER_RELEASE, CALL_END, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "unresolve, write", LEDGER_UNRESOLVE, CALL_PUT, LEDGER_UNRESOLVED, LEDGER_UNRESOLVED },
	{ "lookup, commit", LEDGER_LOOKUP, CALL_END, LEDGER_BUSY, LEDGER_CLAIMED_OTHER },
	/* the control: nothing fails */
	{ "claim", LEDGER_CLAIM, CALL_NONE, LEDGER_BUSY, LEDGER_CLAIMED_OTHER },
	{ "confirm", LEDGER_CONFIRM, CALL_NONE, LEDGER_SAME, LEDGER_LOCKED },
	{ "release", LEDGER_RELEASE, CALL_NONE, LEDGER_ABSENT, LEDGER_ABSENT },
};

static void
one_failure(const struct row *r)
{
	char err[80];
	struct ledger *l;
	struct ledger_op op;
	uint64_t token = 0;

	memset(&the_store, 0, sizeof the_store);
	atomic_store(&fails, CALL_NONE);
	l = ledger_open("sqlite:x", NULL, err, sizeof err);
	if (!CHECK_ROW(l != NULL, r->name))
		return;
	if (r->verb != LEDGER_CLAIM)
		token = ask(l, LEDGER_CLAIM, 'a', 0).token;
	CHECK_ROW(ledger_healthy(l), r->name);
	atomic_store(&fails, (int)r->fails);
	op = ask(l, r->verb, 'a', token);
	CHECK_ROW((op.answer == LEDGER_DOWN) == (r->fails != CALL_NONE), r->name);
	CHECK_ROW(ledger_healthy(l) == (r->fails == CALL_NONE), r->name);
	if (op.answer == LEDGER_DOWN && r->verb == LEDGER_CLAIM)
		CHECK_ROW(op.token == 0, r->name);
	atomic_store(&fails, CALL_NONE);
	CHECK_ROW(ask(l, LEDGER_LOOKUP, 'a', 0).answer == r->after_a, r->name);
	CHECK_ROW(ask(l, LEDGER_LOOKUP, 'b', 0).answer == r->after_b, r->name);
	CHECK_ROW(ledger_healthy(l), r->name);
	ledger_close(l);
}

/* A delete of the tag when 'a' is confirmed; the step at which the store fails; what lookups of 'a' say afterwards. */
static const struct delete_row {
	const char *name;
	enum ledger_verb fails_at;
	enum call fails;
	enum ledger_outcome outcome;
	enum ledger_answer after;
	bool deleted;	/* the tombstone stands */
} delete_rows[] = {
	{ "begin, read", LEDGER_DELETE_BEGIN, CALL_GET, LEDGER_DELETE_DONE, LEDGER_SAME, false },
	{ "begin, commit", LEDGER_DELETE_BEGIN, CALL_END, LEDGER_DELETE_DONE, LEDGER_SAME, false },
	{ "mark, write", LEDGER_DELETE_MARK, CALL_PUT, LEDGER_DELETE_KEPT, LEDGER_SAME, false },
	{ "mark, commit", LEDGER_DELETE_MARK, CALL_END, LEDGER_DELETE_KEPT, LEDGER_SAME, false },
	{ "kept, read", LEDGER_DELETE_END, CALL_GET, LEDGER_DELETE_KEPT, LEDGER_SAME, true },
	{ "kept, write", LEDGER_DELETE_END, CALL_PUT, LEDGER_DELETE_KEPT, LEDGER_SAME, true },
	{ "kept, commit", LEDGER_DELETE_END, CALL_END, LEDGER_DELETE_KEPT, LEDGER_SAME, true },
	{ "done, write", LEDGER_DELETE_END, CALL_PUT, LEDGER_DELETE_DONE, LEDGER_SAME, true },
	/* the control: nothing fails */
	{ "done", LEDGER_LOOKUP, CALL_NONE, LEDGER_DELETE_DONE, LEDGER_SAME, true },
	{ "kept", LEDGER_LOOKUP, CALL_NONE, LEDGER_DELETE_KEPT, LEDGER_SAME, false },
};

static struct ledger_op
delete_step(struct ledger *l, const struct delete_row *r, enum ledger_verb verb, uint64_t token)
{
	struct ledger_op op;

	prepare(&op, verb, 'a', token);
	op.outcome = r->outcome;
	atomic_store(&fails, (int)(verb == r->fails_at ? r->fails : CALL_NONE));
	left = 1;
	ledger_submit(l, &op);
	while (left > 0)
		event_base_dispatch(base);
	atomic_store(&fails, CALL_NONE);
	CHECK_ROW((op.answer == LEDGER_DOWN) == (verb == r->fails_at), r->name);
	/* what was not kept names nothing */
	if (op.answer == LEDGER_DOWN)
		CHECK_ROW(op.names == NULL, r->name);
	ledger_names_free(op.names);
	op.names = NULL;
	return op;
}

/* Whatever fails, END is the end: the next delete begins. */
static void
one_delete(const struct delete_row *r)
{
	char err[80];
	struct ledger *l;
	struct ledger_op op;
	uint64_t token;

	memset(&the_store, 0, sizeof the_store);
	atomic_store(&fails, CALL_NONE);
	l = ledger_open("sqlite:x", NULL, err, sizeof err);
	if (!CHECK_ROW(l != NULL, r->name))
		return;
	token = ask(l, LEDGER_CLAIM, 'a', 0).token;
	ask(l, LEDGER_CONFIRM, 'a', token);
	op = delete_step(l, r, LEDGER_DELETE_BEGIN, 0);
	if (op.answer == LEDGER_OK) {
		token = op.token;
		CHECK_ROW(ask(l, LEDGER_CLAIM, 'a', 0).answer == LEDGER_BUSY, r->name);
		delete_step(l, r, LEDGER_DELETE_MARK, token);
		/* a mark that was not kept did not end the holding */
		CHECK_ROW(ask(l, LEDGER_CLAIM, 'a', 0).answer == LEDGER_BUSY, r->name);
		delete_step(l, r, LEDGER_DELETE_END, token);
	}
	op = ask(l, LEDGER_LOOKUP, 'a', 0);
	CHECK_ROW(op.answer == r->after && op.deleted == r->deleted, r->name);
	op = ask(l, LEDGER_DELETE_BEGIN, 'a', 0);
	CHECK_ROW(op.answer == LEDGER_OK && op.names != NULL && op.names->deleted == r->deleted, r->name);
	ledger_names_free(op.names);
	ledger_close(l);
}

/* Reading works, writing does not: that is not healthy yet. */
static void
reading_is_not_enough(void)
{
	char err[80];
	struct ledger *l = ledger_open("sqlite:x", NULL, err, sizeof err);

	if (!CHECK(l != NULL))
		return;
	atomic_store(&fails, CALL_END);
	ask(l, LEDGER_LOOKUP, 'a', 0);
	CHECK(!ledger_healthy(l));
	atomic_store(&fails, CALL_WORKS);
	CHECK(ask(l, LEDGER_LOOKUP, 'a', 0).answer != LEDGER_DOWN);
	CHECK(!ledger_healthy(l));
	ledger_close(l);
}

/* Whatever batches these end up in: when the commit fails, nobody is told that a claim is theirs. */
static void
everybody_of_a_batch_hears_it(void)
{
	enum { N = 200 };
	static struct ledger_op op[N];
	char err[80];
	struct ledger *l;
	int granted = 0;

	memset(&the_store, 0, sizeof the_store);
	atomic_store(&fails, CALL_END);
	atomic_store(&puts_done, 0);
	l = ledger_open("sqlite:x", NULL, err, sizeof err);
	if (!CHECK(l != NULL))
		return;
	left = N;
	for (int i = 0; i < N; i++) {
		prepare(&op[i], LEDGER_CLAIM, i % 2 == 0 ? 'a' : 'b', 0);
		ledger_submit(l, &op[i]);
	}
	while (left > 0)
		event_base_dispatch(base);
	for (int i = 0; i < N; i++)
		granted += op[i].answer != LEDGER_DOWN;
	CHECK(granted == 0 && atomic_load(&puts_done) > 0 && !the_store.has);
	ledger_close(l);
}

int
main(void)
{
	if (evthread_use_pthreads() != 0 || (base = event_base_new()) == NULL || (box = mailbox_new(base)) == NULL)
		return 1;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		one_failure(&rows[i]);
	for (size_t i = 0; i < sizeof delete_rows / sizeof *delete_rows; i++)
		one_delete(&delete_rows[i]);
	reading_is_not_enough();
	everybody_of_a_batch_hears_it();
	mailbox_free(box);
	event_base_free(base);
	return check_done();
}
