/*
 * fuzz_ledger.c - arbitrary rows in the ledger's database, then every verb in any order, batches that are kept or not,
 * crashes.
 *
 * What must hold: a tag with a row is never absent; a row that we cannot have written is never believed nor
 * changed; a tag leaves its digest only by an overwrite that was granted, and comes back to it when that is undone;
 * of one tag there is one claim, or one delete, or shares.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/tags/ledger_sqlite.h"

#define TAGS	4
#define STEPS	64
#define SETTLE	900
#define TOKENS	8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* damaged rows are what this is about: thousands of lines would say so */
void
log_line(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

static char dir[] = "/tmp/fuzz_ledger.XXXXXX", file[64];
static struct store *store;
static sqlite3_stmt *row_of;
static struct claims *claims;
static const uint8_t *in, *end;
static int64_t now;

/* A row as it is, believed by nobody. */
struct row {
	bool is, valid;
	char bytes[5][96];	/* state, digest, old_state, old_digest, claimed_at */
};

/* Who holds what, as the answers said. */
struct holder {
	uint64_t token;		/* 0: this place is free */
	enum { HOLDS_CLAIM, HOLDS_SHARE, HOLDS_DELETE } what;
	bool by_digest, in_batch;
	unsigned tag;		/* or digest */
	unsigned names;		/* bits: the tags that a delete holds */
};
static struct holder holders[TOKENS];

static unsigned
take(unsigned below)
{
	return in < end && below > 1 ? *in++ % below : 0;
}

static void
must(bool what)
{
	if (!what)
		abort();
}

static const char *
tag_name(unsigned i)
{
	static const char *const names[TAGS] = { "v", "w", "x", "latest" };

	return names[i];
}

/* Five digests and none. */
static void
digest_of(unsigned i, char to[static LEDGER_DIGEST])
{
	memset(to, 0, LEDGER_DIGEST);
	if (i == 0)
		return;
	memcpy(to, "sha256:", 7);
	memset(to + 7, (int)('a' + i - 1), 64);
}

/* ---- the world before us ---- */

static void
remove_files(void)
{
	char wal[80];

	sqlite3_finalize(row_of);
	store_close(store);
	snprintf(wal, sizeof wal, "%s-wal", file);
	unlink(wal);
	unlink(file);
	rmdir(dir);
}

static void
open_once(void)
{
	char err[256];

	if (store != NULL)
		return;
	must(freopen("/dev/null", "w", stdout) != NULL && mkdtemp(dir) != NULL);
	snprintf(file, sizeof file, "%s/tags.db", dir);
	store = store_open(file, NULL, err, sizeof err);
	must(store != NULL);
	must(sqlite3_exec(store->db, "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF;"
	    "DROP TRIGGER tag_history_delete", NULL, NULL, NULL) == SQLITE_OK);
	must(sqlite3_prepare_v2(store->db, "SELECT state, hex(digest), old_state, hex(old_digest), claimed_at FROM tag_record"
	    " WHERE registry = 'r' AND repository = 'a/b' AND tag = ?1", -1, &row_of, NULL) == SQLITE_OK);
	atexit(remove_files);
}

/* A text of the file's making, or one that could be ours. */
static void
bind_text(sqlite3_stmt *q, int at, const char *ours)
{
	size_t n = take(4) == 0 ? take(90) : SIZE_MAX;

	if (n == SIZE_MAX) {
		sqlite3_bind_text(q, at, ours, -1, SQLITE_TRANSIENT);
		return;
	}
	if (n > (size_t)(end - in))
		n = (size_t)(end - in);
	sqlite3_bind_text(q, at, (const char *)in, (int)n, SQLITE_TRANSIENT);
	in += n;
}

static void
put_row(unsigned tag)
{
	static const char *const states[] = { "confirmed", "claimed", "deleted", "" };
	char digest[LEDGER_DIGEST];
	sqlite3_stmt *q;

	must(sqlite3_prepare_v2(store->db, "INSERT INTO tag_record VALUES ('r', 'a/b', ?1, ?2, ?3, ?4, ?5, ?6)", -1, &q, NULL) ==
	    SQLITE_OK);
	sqlite3_bind_text(q, 1, tag_name(tag), -1, SQLITE_STATIC);
	bind_text(q, 2, states[take(3)]);
	digest_of(take(6), digest);
	bind_text(q, 3, digest);
	if (take(2) == 0) {
		bind_text(q, 4, "");
		bind_text(q, 5, "");
	} else {
		bind_text(q, 4, states[take(4)]);
		digest_of(take(6), digest);
		bind_text(q, 5, digest);
	}
	sqlite3_bind_int64(q, 6, (int64_t)take(4) - 1 + now);
	if (take(16) == 0)
		sqlite3_bind_int64(q, 6, -1);
	must(sqlite3_step(q) == SQLITE_DONE);
	sqlite3_finalize(q);
}

static void
begin_world(void)
{
	must(sqlite3_exec(store->db, "BEGIN; DELETE FROM tag_record; DELETE FROM repository_record;"
	    "DELETE FROM tag_history", NULL, NULL, NULL) == SQLITE_OK);
	store->restores = take(2);
	for (unsigned i = 0; i < TAGS; i++)
		if (take(2) == 1)
			put_row(i);
	must(sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
}

/* ---- rows, read by another statement than the ledger's ---- */

/* A digest as it must be, in hex of its text; "" too when `none`. */
static bool
is_digest(const char *hex, bool none)
{
	if (*hex == '\0')
		return none;
	if (strlen(hex) != 142 || strncmp(hex, "7368613235363A", 14) != 0)
		return false;
	for (const char *p = hex + 14; *p != '\0'; p += 2)
		if (!(p[0] == '3' && p[1] >= '0' && p[1] <= '9') && !(p[0] == '6' && p[1] >= '1' && p[1] <= '6'))
			return false;
	return true;
}

/* Can it be a row that the ledger wrote? Judged without the ledger's code. */
static bool
is_ours(sqlite3_stmt *q)
{
	const char *text[4];
	bool claimed, over;

	for (int i = 0; i < 4; i++)
		text[i] = (const char *)sqlite3_column_text(q, i);
	claimed = strcmp(text[0], "claimed") == 0;
	over = *text[3] != '\0';
	if (sqlite3_column_bytes(q, 0) != (int)strlen(text[0]) || sqlite3_column_bytes(q, 2) != (int)strlen(text[2]))
		return false;
	return (claimed || strcmp(text[0], "confirmed") == 0 || strcmp(text[0], "deleted") == 0) && is_digest(text[1], false) &&
	    is_digest(text[3], true) && (claimed || !over) && over == (*text[2] != '\0') &&
	    (!over || strcmp(text[2], "confirmed") == 0 || strcmp(text[2], "deleted") == 0) && sqlite3_column_int64(q, 4) >= 0;
}

/* A digest by its last letter; what is not one of ours as it is, in hex. */
static void
read_text(sqlite3_stmt *q, int at, char to[static 96])
{
	const char *text = (const char *)sqlite3_column_text(q, at);
	size_t n = strlen(text);

	snprintf(to, 96, "%s", n == 2 * (LEDGER_DIGEST - 1) ? text + n - 2 : text);
}

static struct row
read_row(unsigned tag)
{
	static const struct ledger_op key = { .registry = { "r", 1 }, .repository = { "a/b", 3 } };
	struct row r = { .is = false };
	struct tag_record unused;

	sqlite3_bind_text(row_of, 1, tag_name(tag), -1, SQLITE_STATIC);
	r.is = sqlite3_step(row_of) == SQLITE_ROW;
	r.valid = r.is && is_ours(row_of);
	for (int i = 0; r.is && i < 5; i++)
		read_text(row_of, i, r.bytes[i]);
	sqlite3_reset(row_of);
	must(r.valid == (store_get(store, &key, span_of(tag_name(tag)), &unused) == STORE_RECORD));
	return r;
}

static bool
is_state(const struct row *r, const char *state)
{
	return r->is && strcmp(r->bytes[0], state) == 0;
}

/* Does the row name, or may it fall back to, another digest than before without anybody's leave? */
static void
check_move(const struct row *was, const struct row *is, const struct ledger_op *op, bool claimed_so)
{
	const char *digest = is->bytes[1], *before = was->bytes[1], *old = was->bytes[3];

	if (memcmp(was, is, sizeof *was) == 0)
		return;
	must(!was->is || was->valid);
	must(!is->is || is->valid);
	if (!was->is) {
		must(op->verb == LEDGER_CLAIM || op->verb == LEDGER_IMPORT || op->verb == LEDGER_DELETE_MARK);
		return;
	}
	if (is_state(was, "claimed")) {
		/* to its digest, back to what it stands over, or still claimed; a first claim may learn what is there */
		must(is->is || old[0] == '\0');
		if (is_state(is, "claimed"))
			must(strcmp(digest, before) == 0 && strcmp(is->bytes[3], old) == 0 && strcmp(is->bytes[2], was->bytes[2]) == 0);
		else if (is->is && strcmp(digest, before) != 0 && old[0] != '\0')
			must(strcmp(digest, old) == 0 && strcmp(is->bytes[0], was->bytes[2]) == 0);
		else if (is->is && strcmp(digest, before) != 0)
			must(op->verb == LEDGER_FOUND || op->verb == LEDGER_ADOPT);
		return;
	}
	/* confirmed or deleted */
	if (is_state(is, "claimed")) {
		must(op->verb == LEDGER_CLAIM && claimed_so);
		must(strcmp(is->bytes[3], before) == 0 && strcmp(is->bytes[2], was->bytes[0]) == 0);
		must(op->overwrite || (is_state(was, "deleted") && strcmp(digest, before) == 0));
		return;
	}
	must(op->verb == LEDGER_DELETE_MARK || op->verb == LEDGER_DELETE_END);
	must(is->is ? strcmp(digest, before) == 0 : op->verb == LEDGER_DELETE_END && is_state(was, "deleted"));
}

/* ---- who holds what ---- */

static bool
holds(const struct holder *h, unsigned tag)
{
	if (h->token == 0)
		return false;
	return h->what == HOLDS_DELETE ? (h->names >> tag & 1) != 0 : h->tag == tag;
}

static void
add_holder(const struct ledger_op *op, int what, bool by_digest, unsigned tag, unsigned names)
{
	for (unsigned i = 0; i < TOKENS; i++) {
		struct holder *h = &holders[i];

		must(h->token != op->token);
		if (h->token != 0)
			continue;
		*h = (struct holder){ .token = op->token, .by_digest = by_digest, .in_batch = true, .tag = tag, .names = names };
		h->what = (unsigned)what;
		return;
	}
}

static unsigned
tag_index(struct span tag)
{
	for (unsigned i = 0; i < TAGS; i++)
		if (span_eq(tag, span_of(tag_name(i))))
			return i;
	abort();
}

/* What was given must not be another's. */
static void
check_grant(struct ledger_op *op, unsigned tag, unsigned digest)
{
	bool claim = op->answer == LEDGER_CLAIMED_NEW || op->answer == LEDGER_CLAIMED_OVER || op->answer == LEDGER_CLAIMED_AGAIN;
	bool share = op->verb == LEDGER_CLAIM && op->answer == LEDGER_SAME;
	bool deletes = op->verb == LEDGER_DELETE_BEGIN && op->answer == LEDGER_OK;
	unsigned names = op->tag.n == 0 ? 0 : 1u << tag;

	if (!claim && !share && !deletes)
		return;
	must(op->token != 0);
	for (struct ledger_name *n = op->names; n != NULL; n = n->next)
		names |= 1u << tag_index(n->tag);
	for (unsigned i = 0; i < TOKENS; i++) {
		const struct holder *h = &holders[i];

		for (unsigned t = 0; t < TAGS; t++)
			if ((names >> t & 1) != 0 && holds(h, t))
				must(share && h->what == HOLDS_SHARE);
		/* a digest that goes is neither pushed nor deleted twice */
		if (h->token != 0 && h->what == HOLDS_DELETE && h->by_digest && h->tag == digest)
			must(!claim && !share && !(deletes && op->tag.n == 0));
	}
	add_holder(op, claim ? HOLDS_CLAIM : share ? HOLDS_SHARE : HOLDS_DELETE, op->tag.n == 0, op->tag.n == 0 ? digest : tag,
	    names);
}

/* ---- steps ---- */

static void
prepare(struct ledger_op *op, struct holder *h, unsigned *tag, unsigned *digest)
{
	static const enum ledger_verb verbs[] = { LEDGER_LOOKUP, LEDGER_CLAIM, LEDGER_CLAIM, LEDGER_FOUND, LEDGER_CONFIRM,
		LEDGER_RELEASE, LEDGER_UNRESOLVE, LEDGER_SETTLE, LEDGER_ADOPT, LEDGER_DELETE_BEGIN, LEDGER_DELETE_MARK,
		LEDGER_DELETE_END, LEDGER_IMPORT, LEDGER_IMPORT_END, LEDGER_REPOSITORY, LEDGER_LIST };

	*op = (struct ledger_op){ .verb = verbs[take(16)], .registry = SPAN("r"), .repository = SPAN("a/b"), .now = now,
		.settle = SETTLE };
	*tag = take(TAGS);
	*digest = take(6);
	op->overwrite = take(2) == 1;
	op->outcome = (enum ledger_outcome)take(3);
	digest_of(take(6), op->found);
	op->tag = span_of(tag_name(*tag));
	if (op->verb == LEDGER_DELETE_BEGIN && take(2) == 0)
		op->tag = SPAN_NONE;
	/* holders come with what they were given, as a rule */
	op->token = h->token;
	if (h->token != 0 && take(8) != 0) {
		if (h->by_digest)
			op->tag = op->verb == LEDGER_DELETE_MARK || op->verb == LEDGER_DELETE_END ? SPAN_NONE : op->tag;
		else if (op->verb >= LEDGER_FOUND && op->verb <= LEDGER_DELETE_END && op->verb != LEDGER_DELETE_BEGIN)
			op->tag = span_of(tag_name(*tag = h->tag));
		if (h->by_digest && op->tag.n == 0)
			*digest = h->tag;
	}
	digest_of(*digest, op->digest);
}

/* Holdings that the operation ended. */
static void
ended(struct holder *h, const struct ledger_op *op, unsigned tag, unsigned digest)
{
	bool of_tag = op->verb >= LEDGER_FOUND && op->verb <= LEDGER_UNRESOLVE && h->what != HOLDS_DELETE && h->tag == tag;
	bool of_delete = op->verb == LEDGER_DELETE_END && h->what == HOLDS_DELETE && h->by_digest == (op->tag.n == 0) &&
	    h->tag == (h->by_digest ? digest : tag);

	if (h->token != 0 && h->token == op->token && (of_tag || of_delete))
		h->token = 0;
}

static bool
step(void)
{
	struct holder *h = &holders[take(TOKENS)];
	struct ledger_page page = { .limit = 2 };
	struct ledger_op op;
	struct row was[TAGS];
	unsigned tag, digest;
	bool ok, absent;

	prepare(&op, h, &tag, &digest);
	op.page = &page;
	for (unsigned i = 0; i < TAGS; i++)
		was[i] = read_row(i);
	ok = ledger_apply(claims, store, &op);
	must(ok);	/* the database is fine */
	absent = op.answer == LEDGER_ABSENT && (op.verb == LEDGER_LOOKUP || op.verb == LEDGER_CLAIM);
	if (absent || op.answer == LEDGER_CLAIMED_NEW)
		must(!was[tag].is);
	if (op.answer == LEDGER_CLAIMED_NEW)
		must(store->restores == 0 || op.verb == LEDGER_CLAIM);
	if (was[tag].is && !was[tag].valid && op.tag.n > 0 && (op.verb <= LEDGER_CLAIM || op.verb == LEDGER_IMPORT))
		must(op.answer == LEDGER_DOWN);
	for (unsigned i = 0; i < TAGS; i++) {
		struct row is = read_row(i);

		check_move(&was[i], &is, &op, i == tag);
	}
	ended(h, &op, tag, digest);
	check_grant(&op, tag, digest);
	ledger_names_free(op.names);
	ledger_rows_free(page.rows);
	ledger_rows_free(page.last);
	return ok;
}

static void
batch(void)
{
	bool keep;

	for (unsigned n = 1 + take(6); n > 0; n--)
		(void)step();
	keep = take(8) != 1;
	must(store_end(store, keep) == keep);
	claims_batch_ended(claims, keep);
	for (unsigned i = 0; i < TOKENS; i++) {
		if (!keep && holders[i].in_batch)
			holders[i].token = 0;
		holders[i].in_batch = false;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_once();
	in = data;
	end = data + size;
	now = 1000000;
	memset(holders, 0, sizeof holders);
	claims = claims_new();
	must(claims != NULL);
	begin_world();
	for (int i = 0; i < STEPS && in < end; i++) {
		batch();
		now += take(16) == 0 ? SETTLE + 1 : 1;
		if (take(24) == 1) {
			claims_free(claims);
			claims = claims_new();
			must(claims != NULL);
			memset(holders, 0, sizeof holders);
		}
	}
	claims_free(claims);
	return 0;
}
