/*
 * test_ledger_delete.c - deletes, tombstones, shares, imports and restored ledgers: stories over a real SQLite file.
 *
 * A story is steps with what must come of them: "VERB[REGISTER] TAG [DIGEST[FLAGS]] = ANSWER". Tags are words, "@a" stands
 * for digest a instead of a tag. A register keeps a token from the step that got it to the steps that use it. A claim with
 * `+` may overwrite. "look" says none, =a confirmed, #a deleted, ?a unresolved, !a held.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/tags/ledger_store.h"
#include "tests/unit/check.h"

#define SETTLE 900

static const struct story {
	const char *name, *steps;
} stories[] = {
	/* shares */
	{ "a share keeps overwrites and deletes away",
	    "claim1 v a = new; confirm1 v = ok; claim1 v a = same; claim2 v a = same;"
	    " claim3 v b+ = busy; claim3 v b = locked a; begin3 v = busy; begin3 @a = busy;"
	    " release1 v = ok; claim3 v b+ = busy; confirm2 v = ok; claim3 v b+ = over a;"
	    " look v = !b" },
	{ "a share ends once",
	    "claim1 v a = new; confirm1 v = ok; claim1 v a = same; unresolve1 v = ok;"
	    " unresolve1 v = absent; look v = =a; claim2 v a = same; found2 v b = absent;"
	    " claim3 v b+ = over a" },
	{ "a share is gone after a restart",
	    "claim1 v a = new; confirm1 v = ok; claim1 v a = same; restart; claim2 v b+ = over a" },
	{ "no share of a claim",
	    "claim1 v a = new; claim2 v a = busy; begin2 v = busy; begin2 @a = busy" },
	/* a question to policy and an event each: bounded */
	{ "too many tags", "tags 2048; import1 last :a = ok; begin1 @a = many; begin1 last = ok last:a; mark1 last = ok; done1 last = ok" },
	/* delete by tag */
	{ "deleted",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; claim2 v a = busy;"
	    " claim2 v b = busy; claim2 v b+ = busy; begin2 v = busy; begin2 @a = busy;"
	    " look v = =a; mark1 v = ok; look v = #a; claim2 v a = busy; done1 v = ok;"
	    " look v = #a; claim2 v b = locked a; claim2 v b+ = over a; release2 v = ok;"
	    " look v = #a; claim2 v a = over a; look v = !a; confirm2 v = ok; look v = =a" },
	{ "kept",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; mark1 v = ok; kept1 v = ok;"
	    " look v = =a; kept1 v = absent; claim1 v a = same" },
	{ "kept, never marked",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; kept1 v = ok; look v = =a" },
	{ "unsure",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; mark1 v = ok; unsure1 v = ok;"
	    " look v = #a; claim2 v a = over a; unresolve2 v = ok; look v = ?a;"
	    " claim2 v b+ = unresolved a; later; settle v a = ok; look v = #a" },
	{ "a tombstone deleted again, kept",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; mark1 v = ok; done1 v = ok;"
	    " begin1 v = ok v:a#; mark1 v = ok; kept1 v = ok; look v = #a" },
	{ "without a record",
	    "begin1 v = ok; claim2 v a = busy; mark1 v c = ok; look v = #c; done1 v = ok;"
	    " look v = #c; claim1 v a = locked c" },
	{ "without a record, kept",
	    "begin1 v = ok; mark1 v c = ok; kept1 v = ok; look v = none; claim1 v a = new" },
	{ "without a record, nothing found",
	    "begin1 v = ok; mark1 v = ok; done1 v = ok; look v = none" },
	{ "killed before the mark",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; restart; look v = =a;"
	    " mark1 v = absent" },
	{ "killed after the mark",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; mark1 v = ok; restart;"
	    " look v = #a; kept1 v = absent; look v = #a; claim1 v b = locked a;"
	    " claim1 v a = over a" },
	{ "not the deleter",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; claim2 x a = new;"
	    " mark2 v = absent; kept2 v = absent; confirm1 v = absent; look v = =a" },
	{ "under a claim",
	    "claim1 v a = new; begin2 v = busy; unresolve1 v = ok; begin2 v = unresolved" },
	/* delete by digest */
	{ "all names of a digest",
	    "claim1 v a = new; confirm1 v = ok; claim1 w a = new; confirm1 w = ok;"
	    " claim1 x b = new; confirm1 x = ok; begin1 @a = ok v:a w:a; claim2 new a = busy;"
	    " claim2 w b+ = busy; claim2 x c+ = over b; claim3 y b = new; mark1 @a = ok;"
	    " look v = #a; look w = #a; look x = !c; done1 @a = ok; claim1 new a = new" },
	{ "all names, kept",
	    "claim1 v a = new; confirm1 v = ok; claim1 w a = new; confirm1 w = ok;"
	    " begin1 w = ok w:a; mark1 w = ok; done1 w = ok; begin1 @a = ok v:a w:a#;"
	    " mark1 @a = ok; kept1 @a = ok; look v = =a; look w = #a; claim1 v a = same" },
	{ "a digest without names",
	    "begin1 @a = ok; claim2 v a = busy; mark1 @a c = ok; done1 @a = ok; claim2 v a = new" },
	{ "a name under an overwrite",
	    "claim1 v a = new; confirm1 v = ok; claim1 v b+ = over a; begin2 @a = busy;"
	    " begin2 @b = busy; unresolve1 v = ok; begin2 @a = unresolved; begin2 @b = unresolved" },
	{ "two deletes of names that meet",
	    "claim1 v a = new; confirm1 v = ok; begin1 v = ok v:a; begin2 @a = busy;"
	    " begin2 @b = ok; kept1 v = ok; begin1 @a = ok v:a; begin3 @a = busy" },
	{ "found while it is deleted",
	    "claim1 v b = new; begin2 @a = ok; found1 v a = busy; look v = none; mark2 @a = ok;"
	    " done2 @a = ok" },
	{ "adopted while it is deleted",
	    "claim1 v b = new; unresolve1 v = ok; begin2 @a = ok; later; adopt v b:a = busy;"
	    " done2 @a = ok; adopt v b:a = ok; look v = =a" },
	{ "no digest",
	    "begin1 @- = down" },
	/* import */
	{ "imported",
	    "import v a = ok; look v = =a; import v a = same a; import v b = locked a;"
	    " look v = =a; claim1 v b = locked a; claim1 v a = same; import v a = same a" },
	{ "import of nothing",
	    "import v - = down; look v = none" },
	{ "import under a claim",
	    "claim1 v a = new; import v a = busy a; import v b = busy a; unresolve1 v = ok;"
	    " import v a = unresolved a; look v = ?a" },
	{ "import of a tombstone",
	    "begin1 v = ok; import v a = busy; mark1 v a = ok; import v a = busy a#;"
	    " done1 v = ok; import v a = same a#; import v b = locked a#; look v = #a" },
	{ "import of a digest that goes",
	    "begin1 @a = ok; import v a = busy; import v b = ok; done1 @a = ok; import w a = ok" },
	{ "a repository",
	    "repository = nothing; imported; repository = imported; begin1 v = ok imported; drifted;"
	    " repository = nothing" },
	/* restored ledgers */
	{ "put back",
	    "claim1 v a = new; confirm1 v = ok; backup; claim1 w a = new; confirm1 w = ok;"
	    " restore; repository = restored; claim1 new a = restored; claim1 v a = same;"
	    " release1 v = ok; claim1 v b = locked a; claim1 v b+ = over a; release1 v = ok;"
	    " import w a = ok; claim1 w b = locked a; claim1 new a = restored; restart;"
	    " claim1 new a = restored; imported; claim1 new a = new; restart;"
	    " repository = imported" },
	{ "put back, drift",
	    "import v a = ok; backup; import w a = ok; restore; claim1 x a = restored;"
	    " import v b = locked a; drifted; repository = nothing; claim1 x a = new" },
	{ "put back twice",
	    "import v a = ok; backup; import w a = ok; restore; imported; repository = imported;"
	    " backup; import x a = ok; restore; repository = restored" },
	{ "put back, not behind",
	    "import v a = ok; backup; restore; repository = nothing; claim1 new a = new" },
	{ "another ledger",
	    "import v a = ok; lose; repository = restored; claim1 v a = restored;"
	    " import v a = ok; imported; claim1 w a = new" },
	{ "another ledger, no mark either",
	    "import v a = ok; lose mark; lose; repository = nothing; claim1 v a = new" },
	{ "a mark of nonsense",
	    "import v a = ok; spoil mark; restart; repository = restored" },
};

/* ---- the world ---- */

static char dir[] = "/tmp/test_ledger_delete.XXXXXX";
static char file[64], mark[64], kept[64];

static struct {
	struct store *store;
	struct claims *claims;
	uint64_t token[10];
	int64_t now;
	const char *name;
} w;

static void
up(void)
{
	char err[256] = "";

	w.store = store_open(file, mark, err, sizeof err);
	w.claims = claims_new();
	if (w.store == NULL || w.claims == NULL) {
		fprintf(stderr, "%s: %s\n", w.name, err);
		abort();
	}
}

static void
down(void)
{
	claims_free(w.claims);
	store_close(w.store);
}

static void
copy_file(const char *from, const char *to)
{
	char buf[4096];
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	size_t n;

	if (in == NULL || out == NULL)
		abort();
	while ((n = fread(buf, 1, sizeof buf, in)) > 0)
		fwrite(buf, 1, n, out);
	fclose(in);
	fclose(out);
	chmod(to, 0600);
}

static void
digest_of(char c, char out[static LEDGER_DIGEST])
{
	memset(out, 0, LEDGER_DIGEST);
	if (c == '-' || c == '\0')
		return;
	memcpy(out, "sha256:", 7);
	memset(out + 7, c, 64);
}

static bool
apply(struct ledger_op *op)
{
	bool ok;

	op->registry = SPAN("https://r.example");
	op->repository = SPAN("team/app");
	op->who = SPAN("me");
	op->now = w.now;
	op->settle = SETTLE;
	ok = ledger_apply(w.claims, w.store, op);
	ok = store_end(w.store, ok) && ok;
	claims_batch_ended(w.claims, ok);
	return ok;
}

/* ---- what a step says ---- */

static int
by_tag(const void *a, const void *b)
{
	return strcmp((*(const struct ledger_name *const *)a)->bytes, (*(const struct ledger_name *const *)b)->bytes);
}

static void
say_names(struct ledger_op *op, char *out, size_t size)
{
	struct ledger_name *all[16];
	size_t n = 0;

	for (struct ledger_name *m = op->names; m != NULL && n < 16; m = m->next)
		all[n++] = m;
	qsort(all, n, sizeof *all, by_tag);
	for (size_t i = 0; i < n; i++) {
		size_t at = strlen(out);

		snprintf(out + at, size - at, " %s:%c%s", all[i]->bytes, all[i]->digest[70], all[i]->deleted ? "#" : "");
	}
	ledger_names_free(op->names);
	op->names = NULL;
	if (op->imported)
		strncat(out, " imported", size - strlen(out) - 1);
}

static void
say(struct ledger_op *op, char *out, size_t size)
{
	static const char *const words[] = { "down", "absent", "same", "locked", "new", "over", "again", "busy", "other",
		"unresolved", "restored", "many", "ok" };
	bool told = op->verb == LEDGER_IMPORT || op->answer == LEDGER_LOCKED || op->answer == LEDGER_CLAIMED_OVER ||
	    (op->verb == LEDGER_CLAIM && op->answer == LEDGER_UNRESOLVED);

	snprintf(out, size, "%s", words[op->answer]);
	if (op->verb == LEDGER_DELETE_BEGIN)
		say_names(op, out, size);
	else if (told && op->current_digest[0] != '\0')
		snprintf(out, size, "%s %c%s", words[op->answer], op->current_digest[70],
		    op->verb == LEDGER_IMPORT && op->deleted ? "#" : "");
}

static void
look(const char *tag, char *out, size_t size)
{
	struct ledger_op op = { .verb = LEDGER_LOOKUP, .tag = span_of(tag) };
	char sign;

	digest_of('0', op.digest);
	CHECK_ROW(apply(&op), w.name);
	sign = op.answer == LEDGER_CLAIMED_OTHER ? '!' : op.answer == LEDGER_UNRESOLVED ? '?' : op.deleted ? '#' : '=';
	if (op.answer == LEDGER_ABSENT)
		snprintf(out, size, "none");
	else
		snprintf(out, size, "%c%c", op.answer == LEDGER_DOWN ? '*' : sign, op.current_digest[70]);
}

/* ---- steps ---- */

static const struct {
	const char *word;
	enum ledger_verb verb;
	enum ledger_outcome outcome;
} verbs[] = {
	{ "claim", LEDGER_CLAIM, 0 }, { "found", LEDGER_FOUND, 0 }, { "confirm", LEDGER_CONFIRM, 0 }, { "release", LEDGER_RELEASE, 0 },
	{ "unresolve", LEDGER_UNRESOLVE, 0 }, { "settle", LEDGER_SETTLE, 0 }, { "adopt", LEDGER_ADOPT, 0 },
	{ "begin", LEDGER_DELETE_BEGIN, 0 }, { "mark", LEDGER_DELETE_MARK, 0 }, { "done", LEDGER_DELETE_END, LEDGER_DELETE_DONE },
	{ "unsure", LEDGER_DELETE_END, LEDGER_DELETE_UNSURE }, { "kept", LEDGER_DELETE_END, LEDGER_DELETE_KEPT },
	{ "import", LEDGER_IMPORT, 0 },
};

static void
operation(size_t v, unsigned reg, const char *tag, const char *digest, char *out, size_t size)
{
	struct ledger_op op = { .verb = verbs[v].verb, .outcome = verbs[v].outcome, .token = w.token[reg] };
	const char *colon = strchr(digest, ':');

	digest_of(tag[0] == '@' ? tag[1] : digest[0], op.digest);
	digest_of(colon == NULL ? digest[0] : colon[1], op.found);
	op.tag = tag[0] == '@' ? SPAN_NONE : span_of(tag);
	op.overwrite = strchr(digest, '+') != NULL;
	CHECK_ROW(apply(&op), w.name);
	/* a register that is not answered to keeps what it has: "the token of somebody else" */
	if ((op.verb == LEDGER_CLAIM || op.verb == LEDGER_DELETE_BEGIN) && op.token != 0)
		w.token[reg] = op.token;
	say(&op, out, size);
}

static void
repository(char *out, size_t size)
{
	struct ledger_op op = { .verb = LEDGER_REPOSITORY };

	CHECK_ROW(apply(&op) && op.answer == LEDGER_OK, w.name);
	snprintf(out, size, "%s", op.imported ? "imported" : op.restored ? "restored" : "nothing");
}

/* Steps of the world; false: not one of them. */
static bool
world_step(const char *word, const char *what)
{
	struct ledger_op op = { .verb = LEDGER_IMPORT_END, .drift = strcmp(word, "drifted") == 0 };
	FILE *f;

	if (strcmp(word, "imported") == 0 || strcmp(word, "drifted") == 0)
		return CHECK_ROW(apply(&op) && op.answer == LEDGER_OK, w.name), true;
	if (strcmp(word, "tags") == 0) {
		/* so many, each of digest a */
		struct ledger_op add = { .verb = LEDGER_IMPORT };
		char tag[16];

		digest_of('a', add.found);
		for (int i = 0; i < atoi(what); i++) {
			snprintf(tag, sizeof tag, "t%d", i);
			add.tag = span_of(tag);
			CHECK_ROW(apply(&add) && add.answer == LEDGER_OK, w.name);
		}
		return true;
	}
	if (strcmp(word, "later") == 0)
		return w.now += SETTLE + 1, true;
	if (strcmp(word, "lose") == 0 && strcmp(what, "mark") == 0)
		return unlink(mark), true;
	if (strcmp(word, "restart") != 0 && strcmp(word, "backup") != 0 && strcmp(word, "restore") != 0 &&
	    strcmp(word, "lose") != 0 && strcmp(word, "spoil") != 0)
		return false;
	down();
	if (strcmp(word, "backup") == 0)
		copy_file(file, kept);
	else if (strcmp(word, "restore") == 0)
		copy_file(kept, file);
	else if (strcmp(word, "lose") == 0)
		unlink(file);
	else if (strcmp(word, "spoil") == 0 && (f = fopen(mark, "w")) != NULL)
		fputs("ledger what", f), fclose(f);
	up();
	return true;
}

static void
step(const char *text)
{
	char word[16] = "", tag[16] = "", digest[16] = "", got[128] = "", row[256];
	const char *equals = strstr(text, " = ");
	unsigned reg = 0;
	size_t n;

	if (equals == NULL)
		equals = text + strlen(text);
	snprintf(row, sizeof row, "%.*s", (int)(equals - text), text);
	if (sscanf(row, " %15s %15s %15s", word, tag, digest) < 1)
		return;
	n = strlen(word) - 1;
	if (world_step(word, tag))
		return;
	if (word[n] >= '0' && word[n] <= '9') {
		reg = (unsigned)(word[n] - '0');
		word[n] = '\0';
	}
	if (strcmp(word, "look") == 0)
		look(tag, got, sizeof got);
	if (strcmp(word, "repository") == 0)
		repository(got, sizeof got);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (strcmp(word, verbs[i].word) == 0)
			operation(i, reg, tag, digest, got, sizeof got);
	snprintf(row, sizeof row, "%s: %s, not: %s", w.name, text, got);
	CHECK_ROW(*equals != '\0' && strcmp(equals + 3, got) == 0, row);
}

static void
tell(const struct story *s)
{
	char *steps = strdup(s->steps), *rest = steps, *text;

	unlink(file);
	unlink(mark);
	memset(&w, 0, sizeof w);
	w.name = s->name;
	w.now = 1000;
	up();
	while (steps != NULL && (text = strsep(&rest, ";")) != NULL)
		step(text + strspn(text, " "));
	down();
	free(steps);
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	log_set_level(LOG_ERROR);
	snprintf(file, sizeof file, "%s/tags.db", dir);
	snprintf(mark, sizeof mark, "%s/ledger.mark", dir);
	snprintf(kept, sizeof kept, "%s/kept.db", dir);
	for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
		tell(&stories[i]);
	unlink(file);
	unlink(mark);
	unlink(kept);
	rmdir(dir);
	return check_done();
}
