/*
 * ledger_sqlite.c - the ledger's rows in SQLite: WAL, synchronous FULL, one process at a time.
 *
 * A row is believed only when it can be one that this file wrote. The file is held with an exclusive lock, and its
 * inode is looked at with every commit: a ledger that was deleted or put back under us refuses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/tags/ledger_sqlite.h"

#define APPLICATION_ID 0x54576c67 /* "TWlg" */
#define SCHEMA_VERSION 3
#define SCHEMA_BEFORE	2 /* brought up to date in place */
#define TEXT_(x)       #x
#define TEXT(x)	       TEXT_(x)
#define SET_VERSION    "PRAGMA user_version = " TEXT(SCHEMA_VERSION)
#define SET_BEFORE     "PRAGMA user_version = " TEXT(SCHEMA_BEFORE)

/* Version 2, which a new database, too, goes through. */
static const char schema[] =
    "BEGIN EXCLUSIVE;"
    "CREATE TABLE tag_record("
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK(state IN ('claimed', 'confirmed', 'deleted')), digest TEXT NOT NULL,"
    "  old_state TEXT NOT NULL CHECK(old_state IN ('', 'confirmed', 'deleted')), old_digest TEXT NOT NULL,"
    "  claimed_at INTEGER NOT NULL, PRIMARY KEY(registry, repository, tag)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX tag_by_digest ON tag_record(registry, repository, digest);"
    "CREATE INDEX tag_by_old_digest ON tag_record(registry, repository, old_digest) WHERE old_digest <> '';"
    "CREATE TABLE tag_history("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, what TEXT NOT NULL,"
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL,"
    "  digest TEXT NOT NULL, old_digest TEXT NOT NULL,"
    "  who TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL) STRICT;"
    "CREATE INDEX tag_history_by_tag ON tag_history(registry, repository, tag);"
    /* imported: every tag has a record; restores: how often this ledger had been put back by then */
    "CREATE TABLE repository_record("
    "  registry TEXT NOT NULL, repository TEXT NOT NULL, imported INTEGER NOT NULL, imported_at INTEGER NOT NULL,"
    "  restores INTEGER NOT NULL, PRIMARY KEY(registry, repository)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE ledger_self(one INTEGER PRIMARY KEY CHECK(one = 1), id TEXT NOT NULL, restores INTEGER NOT NULL) STRICT;"
    "INSERT INTO ledger_self VALUES (1, lower(hex(randomblob(16))), 0);"
    "CREATE TRIGGER tag_history_update BEFORE UPDATE ON tag_history"
    "  BEGIN SELECT RAISE(ABORT, 'tag_history is append-only'); END;"
    "CREATE TRIGGER tag_history_delete BEFORE DELETE ON tag_history"
    "  BEGIN SELECT RAISE(ABORT, 'tag_history is append-only'); END;"
    /* INSERT OR REPLACE deletes without asking the trigger above */
    "CREATE TRIGGER tag_history_replace BEFORE INSERT ON tag_history"
    "  WHEN EXISTS (SELECT 1 FROM tag_history WHERE seq = NEW.seq)"
    "  BEGIN SELECT RAISE(ABORT, 'tag_history is append-only'); END;"
    "PRAGMA application_id = " TEXT(APPLICATION_ID) ";" SET_BEFORE ";"
						    "COMMIT";

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[GET] = "SELECT state, digest, old_state, old_digest, claimed_at FROM tag_record"
		" WHERE registry = ?1 AND repository = ?2 AND tag = ?3",
	[PUT] = "INSERT INTO tag_record(registry, repository, tag, state, digest, old_state, old_digest, claimed_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET state = excluded.state,"
		" digest = excluded.digest, old_state = excluded.old_state, old_digest = excluded.old_digest,"
		" claimed_at = excluded.claimed_at",
	[REMOVE] = "DELETE FROM tag_record WHERE registry = ?1 AND repository = ?2 AND tag = ?3",
	[REMEMBER] = "INSERT INTO tag_history(registry, repository, tag, at, what, digest, old_digest, who, source, event_id)"
		     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	/* old_digest <> '' as it stands: the index is of those rows */
	[NAMES] = "SELECT state, digest, old_state, old_digest, claimed_at, tag FROM tag_record"
		  " WHERE registry = ?1 AND repository = ?2 AND digest = ?3 UNION"
		  " SELECT state, digest, old_state, old_digest, claimed_at, tag FROM tag_record"
		  " WHERE registry = ?1 AND repository = ?2 AND old_digest = ?3 AND old_digest <> ''",
	[REPOSITORY] = "SELECT imported, imported_at, restores FROM repository_record"
		       " WHERE registry = ?1 AND repository = ?2",
	[PUT_REPOSITORY] = "INSERT INTO repository_record(registry, repository, imported, imported_at, restores)"
			   " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET imported = excluded.imported,"
			   " imported_at = excluded.imported_at, restores = excluded.restores",
	[LIST] = "SELECT r.registry, r.repository, r.tag, r.state, r.digest, r.old_state, r.old_digest, h.who, h.source,"
		 " h.event_id, h.seq, h.at, r.claimed_at FROM tag_record r LEFT JOIN tag_history h ON h.seq ="
		 " (SELECT max(seq) FROM tag_history g WHERE g.registry = r.registry AND g.repository = r.repository"
		 " AND g.tag = r.tag) WHERE (r.registry, r.repository, r.tag) >= (?1, ?2, ?3)"
		 " ORDER BY r.registry, r.repository, r.tag LIMIT ?4",
	[HISTORY] = "SELECT registry, repository, tag, what, digest, '', old_digest, who, source, event_id, seq, at, 0"
		    " FROM tag_history WHERE registry = ?1 AND repository = ?2 AND (tag, seq) > (?3, ?5)"
		    " ORDER BY tag, seq LIMIT ?4",
	[TAG_HISTORY] = "SELECT registry, repository, tag, what, digest, '', old_digest, who, source, event_id, seq, at, 0"
			" FROM tag_history WHERE registry = ?1 AND repository = ?2 AND tag = ?3 AND seq > ?5"
			" ORDER BY seq LIMIT ?4",
};

/* ---- failing ---- */

static bool
same_file(const char *path, const struct stat *was)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_ino == was->st_ino && now.st_dev == was->st_dev;
}

static bool
in_place(struct store *s)
{
	if (same_file(s->path, &s->path_was) && same_file(s->wal, &s->wal_was))
		return true;
	if (!s->told)
		log_error("msg=tag ledger %s was deleted or replaced while in use: restart with the right file", s->path);
	s->told = true;
	return false;
}

/* ---- statements ---- */

static const char *
sql_of(enum statement which)
{
	return sql[which] != NULL ? sql[which] : ledger_evidence_sql[which];
}

bool
store_run(struct store *s, enum statement which)
{
	sqlite3_stmt *q = s->stmt[which];
	int rc = sqlite3_step(q);

	if (rc != SQLITE_DONE)
		(void)failed(s, sql_of(which));
	done(q);
	return rc == SQLITE_DONE;
}

bool
store_begin(struct store *s)
{
	return sqlite3_get_autocommit(s->db) == 0 || store_run(s, BEGIN);
}

/* ---- rows ---- */

bool
store_read_digest(sqlite3_stmt *q, int at, bool none, char out[static LEDGER_DIGEST])
{
	const unsigned char *text;
	int n;

	memset(out, 0, LEDGER_DIGEST);
	if (sqlite3_column_type(q, at) != SQLITE_TEXT)
		return false;
	text = sqlite3_column_text(q, at);
	n = sqlite3_column_bytes(q, at);
	if (text == NULL)
		return false;
	if (n == 0)
		return none;
	if (n != LEDGER_DIGEST - 1)
		return false;
	memcpy(out, text, LEDGER_DIGEST - 1);
	return ledger_digest_valid(out);
}

static const struct span state_names[] = {
	[TAG_CLAIMED] = { "claimed", 7 },
	[TAG_CONFIRMED] = { "confirmed", 9 },
	[TAG_DELETED] = { "deleted", 7 },
};

static bool
read_state(sqlite3_stmt *q, int at, enum tag_state *out)
{
	struct span name = text_at(q, at);

	for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++) {
		if (span_eq(name, state_names[i])) {
			*out = (enum tag_state)i;
			return true;
		}
	}
	return false;
}

/* The first five columns. */
static bool
read_record(sqlite3_stmt *q, struct tag_record *out)
{
	struct span old = text_at(q, 2);
	bool stands_over;

	memset(out, 0, sizeof *out);
	if (!read_state(q, 0, &out->state) || !store_read_digest(q, 1, false, out->digest) ||
	    !store_read_digest(q, 3, true, out->old_digest))
		return false;
	/* what is confirmed or deleted waits for nothing: it has no digest to go back to */
	stands_over = out->old_digest[0] != '\0';
	if (stands_over && out->state != TAG_CLAIMED)
		return false;
	out->old_deleted = span_eq(old, state_names[TAG_DELETED]);
	if (stands_over ? !out->old_deleted && !span_eq(old, state_names[TAG_CONFIRMED]) : old.n > 0)
		return false;
	if (sqlite3_column_type(q, 4) != SQLITE_INTEGER)
		return false;
	out->claimed_at = sqlite3_column_int64(q, 4);
	return out->claimed_at >= 0;
}

static void
tell_damaged(const struct store *s, const struct ledger_op *key, struct span tag)
{
	log_error("msg=tag ledger %s: the record of %.*s:%.*s is damaged; pushes of this tag are refused", s->path,
	    SPAN_FMT(key->repository), SPAN_FMT(tag));
}

enum store_found
store_get(struct store *s, const struct ledger_op *key, struct span tag, struct tag_record *out)
{
	sqlite3_stmt *q = s->stmt[GET];
	enum store_found found = STORE_FAILED;
	int rc;

	memset(out, 0, sizeof *out);
	rc = bind_key(q, key, tag) ? sqlite3_step(q) : SQLITE_ERROR;
	if (rc == SQLITE_ROW && read_record(q, out))
		found = STORE_RECORD;
	else if (rc == SQLITE_ROW)
		found = STORE_DAMAGED;
	else if (rc == SQLITE_DONE)
		found = STORE_NONE;
	else
		(void)failed(s, "read");
	if (found == STORE_DAMAGED) {
		memset(out, 0, sizeof *out);
		tell_damaged(s, key, tag);
	}
	done(q);
	return found;
}

enum store_found
store_names(struct store *s, const struct ledger_op *key, const char *digest,
    bool (*each)(void *ctx, struct span tag, const struct tag_record *r), void *ctx)
{
	sqlite3_stmt *q = s->stmt[NAMES];
	enum store_found found = STORE_RECORD;
	struct tag_record r;
	int rc;

	rc = bind_key(q, key, span_of(digest)) ? sqlite3_step(q) : SQLITE_ERROR;
	for (; rc == SQLITE_ROW && found == STORE_RECORD; rc = found == STORE_RECORD ? sqlite3_step(q) : rc) {
		if (!read_record(q, &r)) {
			tell_damaged(s, key, text_at(q, 5));
			found = STORE_DAMAGED;
		} else if (!each(ctx, text_at(q, 5), &r)) {
			found = STORE_NONE;
		}
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		(void)failed(s, "read");
		found = STORE_FAILED;
	}
	done(q);
	return found;
}

static bool
put_record(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_record *now)
{
	sqlite3_stmt *q = s->stmt[PUT];
	struct span old = SPAN_NONE;

	if (now == NULL)
		return bind_key(s->stmt[REMOVE], key, tag) && store_run(s, REMOVE);
	if (now->old_digest[0] != '\0')
		old = state_names[now->old_deleted ? TAG_DELETED : TAG_CONFIRMED];
	return bind_key(q, key, tag) && bind_span(q, 4, state_names[now->state]) && bind_span(q, 5, span_of(now->digest)) &&
	    bind_span(q, 6, old) && bind_span(q, 7, span_of(now->old_digest)) && bind_number(q, 8, now->claimed_at) &&
	    store_run(s, PUT);
}

bool
store_remember(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_change *change)
{
	sqlite3_stmt *q = s->stmt[REMEMBER];

	if (!bind_key(q, key, tag) || !bind_number(q, 4, key->now) || !bind_span(q, 5, span_of(change->what)) ||
	    !bind_span(q, 6, span_of(change->digest)) || !bind_span(q, 7, span_of(change->old_digest)) ||
	    !bind_span(q, 8, key->who) || !bind_span(q, 9, key->source) || !bind_span(q, 10, key->event_id) ||
	    !store_run(s, REMEMBER))
		return false;
	s->seq = sqlite3_last_insert_rowid(s->db);
	return true;
}

bool
store_put(struct store *s, const struct ledger_op *key, struct span tag, const struct tag_record *now,
    const struct tag_change *change)
{
	return store_begin(s) && put_record(s, key, tag, now) && store_remember(s, key, tag, change);
}

/* ---- repositories ---- */

bool
store_repository(struct store *s, const struct ledger_op *key, struct repository_record *out)
{
	sqlite3_stmt *q = s->stmt[REPOSITORY];
	bool now = false;
	int rc;

	memset(out, 0, sizeof *out);
	rc = bind_span(q, 1, key->registry) && bind_span(q, 2, key->repository) ? sqlite3_step(q) : SQLITE_ERROR;
	if (rc == SQLITE_ROW) {
		now = sqlite3_column_int64(q, 2) == s->restores;
		out->imported = now && sqlite3_column_int64(q, 0) == 1;
		out->imported_at = sqlite3_column_int64(q, 1);
	}
	out->restored = s->restores != 0 && !now;
	done(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, "read");
}

bool
store_put_repository(struct store *s, const struct ledger_op *key, bool imported)
{
	static const struct tag_change change = { "import-ended", "", "" };
	sqlite3_stmt *q = s->stmt[PUT_REPOSITORY];

	return store_begin(s) && bind_span(q, 1, key->registry) && bind_span(q, 2, key->repository) &&
	    bind_number(q, 3, imported) && bind_number(q, 4, key->now) && bind_number(q, 5, s->restores) &&
	    store_run(s, PUT_REPOSITORY) && store_remember(s, key, SPAN_NONE, &change);
}

/* ---- committing ---- */

/* After every commit: a ledger that is put back from an earlier time is behind this. */
static void
move_mark(struct store *s)
{
	bool ok;

	if (s->mark == NULL || s->marked == s->seq)
		return;
	ok = mark_write(s->mark, s->id, s->seq);
	if (ok)
		s->marked = s->seq;
	else if (!s->mark_told)
		log_error("msg=tag ledger %s: its mark beside the audit log cannot be written: a restore may go unnoticed",
		    s->path);
	s->mark_told = !ok;
}

bool
store_end(struct store *s, bool keep)
{
	bool open = sqlite3_get_autocommit(s->db) == 0;

	if (keep && open && !store_run(s, COMMIT))
		keep = false;
	/* a failed commit may have ended it by itself */
	if (!keep && sqlite3_get_autocommit(s->db) == 0)
		(void)store_run(s, ROLLBACK);
	if (!keep || !in_place(s))
		return false;
	if (open) {
		s->told = false;
		move_mark(s);
	}
	return true;
}

bool
store_works(struct store *s)
{
	/* the version that is there already: a page, a commit and an fsync, and nothing changed */
	if (sqlite3_exec(s->db, SET_VERSION, NULL, NULL, NULL) != SQLITE_OK)
		return failed(s, "write");
	if (!in_place(s))
		return false;
	s->told = false;
	return true;
}

/* ---- opening ---- */

static bool
refuse(char *err, size_t err_size, const char *path, const char *why)
{
	snprintf(err, err_size, "%s: %s", path, why);
	return false;
}

/* A name in a directory is durable when the directory is. */
static bool
sync_directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? strdup(".") : slash == path ? strdup("/")
								: strndup(path, (size_t)(slash - path));
	int fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(dir);
	return ok;
}

/* There is a file that is ours alone. It is opened here only to create it: a close() would end locks on it. */
static bool
prepare_file(struct store *s, char *err, size_t err_size)
{
	int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno != EEXIST)
		return refuse(err, err_size, s->path, strerror(errno));
	if (fd >= 0) {
		bool ok = fchmod(fd, 0600) == 0;

		close(fd);
		if (!ok || !sync_directory_of(s->path))
			return refuse(err, err_size, s->path, strerror(errno));
	}
	if (stat(s->path, &s->path_was) != 0)
		return refuse(err, err_size, s->path, strerror(errno));
	if (!S_ISREG(s->path_was.st_mode))
		return refuse(err, err_size, s->path, "is not a file");
	if ((s->path_was.st_mode & 022) != 0)
		return refuse(err, err_size, s->path, "others may write to it; chmod 600");
	return true;
}

/* The first value of a query's first row as a number; -1 when there is none. */
static int64_t
ask(sqlite3 *db, const char *query)
{
	sqlite3_stmt *q = NULL;
	int64_t n = -1;

	if (sqlite3_prepare_v2(db, query, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
		n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return n;
}

static bool
exec_ok(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;
}

static const char *
why_not(sqlite3 *db)
{
	switch (sqlite3_errcode(db)) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "another process has it open; a ledger belongs to one gateway";
	case SQLITE_NOTADB:
		return "is not a tag ledger";
	case SQLITE_READONLY:
		return "cannot be written to; check the owner of the file and its directory";
	default:
		return sqlite3_errmsg(db);
	}
}

/*
 * DEFENSIVE before anything of the file is read: its schema is data, not instructions. Exclusive before WAL: then
 * there is no shared memory, and a second process meets the lock.
 */
static bool
take_file(struct store *s, char *err, size_t err_size)
{
	int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
	    NULL);

	if (rc != SQLITE_OK)
		return refuse(err, err_size, s->path, s->db == NULL ? "out of memory" : why_not(s->db));
	sqlite3_extended_result_codes(s->db, 0);
	sqlite3_busy_timeout(s->db, 1000);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
	if (!exec_ok(s->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON; PRAGMA journal_mode = WAL;"
			    "PRAGMA synchronous = FULL; BEGIN EXCLUSIVE; COMMIT"))
		return refuse(err, err_size, s->path, why_not(s->db));
	if (ask(s->db, "PRAGMA synchronous") != 2)
		return refuse(err, err_size, s->path, "cannot be made durable");
	return true;
}

/* What a version brings is added in one transaction with its number: there is no moment between two versions. */
static bool
migrate(struct store *s)
{
	if (exec_ok(s->db, "BEGIN EXCLUSIVE") && exec_ok(s->db, ledger_evidence_schema) && exec_ok(s->db, SET_VERSION) &&
	    exec_ok(s->db, "COMMIT"))
		return true;
	if (sqlite3_get_autocommit(s->db) == 0)
		(void)exec_ok(s->db, "ROLLBACK");
	return false;
}

static bool
check_schema(struct store *s, char *err, size_t err_size)
{
	/* nothing in it, and never was: application_id is written with the schema, in one transaction */
	if (ask(s->db, "PRAGMA application_id") == 0 && ask(s->db, "PRAGMA user_version") == 0 &&
	    ask(s->db, "SELECT count(*) FROM sqlite_schema") == 0 && !exec_ok(s->db, schema))
		return refuse(err, err_size, s->path, why_not(s->db));
	if (ask(s->db, "PRAGMA application_id") == APPLICATION_ID && ask(s->db, "PRAGMA user_version") == SCHEMA_BEFORE &&
	    !migrate(s))
		return refuse(err, err_size, s->path, why_not(s->db));
	if (ask(s->db, "PRAGMA application_id") != APPLICATION_ID)
		return refuse(err, err_size, s->path, "is a database, but not a tag ledger");
	if (ask(s->db, "PRAGMA user_version") != SCHEMA_VERSION)
		return refuse(err, err_size, s->path, "was written by another version of tidewaiter");
	if (ask(s->db, "SELECT count(*) FROM sqlite_schema WHERE (type, name, tbl_name) IN (VALUES"
		       " ('table', 'tag_record', 'tag_record'), ('table', 'tag_history', 'tag_history'),"
		       " ('table', 'repository_record', 'repository_record'), ('table', 'ledger_self', 'ledger_self'),"
		       " ('index', 'tag_by_digest', 'tag_record'), ('index', 'tag_by_old_digest', 'tag_record'),"
		       " ('index', 'tag_history_by_tag', 'tag_history'),"
		       " ('trigger', 'tag_history_update', 'tag_history'),"
		       " ('trigger', 'tag_history_delete', 'tag_history'),"
		       " ('trigger', 'tag_history_replace', 'tag_history'), ('table', 'evidence_record', 'evidence_record'),"
		       " ('table', 'block_record', 'block_record'), ('table', 'grant_record', 'grant_record'),"
		       " ('index', 'grant_by_blob', 'grant_record'))") != 14 ||
	    ask(s->db, "SELECT quick_check = 'ok' FROM pragma_quick_check(1)") != 1)
		return refuse(err, err_size, s->path, "is damaged; restore it from a backup");
	return true;
}

static bool
prepare_statements(struct store *s, char *err, size_t err_size)
{
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->db, sql_of((enum statement)i), -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL) != SQLITE_OK)
			return refuse(err, err_size, s->path, "is damaged; restore it from a backup");
	/* a first write: there is a WAL from here on, and it stays as long as we do */
	if (!exec_ok(s->db, SET_VERSION))
		return refuse(err, err_size, s->path, why_not(s->db));
	if (stat(s->wal, &s->wal_was) != 0)
		return refuse(err, err_size, s->path, "has no write-ahead log; check the file system it is on");
	return true;
}

/* Which ledger this is and how far it came. */
static bool
read_self(struct store *s)
{
	sqlite3_stmt *q = NULL;
	bool ok = sqlite3_prepare_v2(s->db, "SELECT id, restores, (SELECT ifnull(max(seq), 0) FROM tag_history)"
					    " FROM ledger_self", -1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW && text_at(q, 0).n == LEDGER_ID;

	if (ok) {
		memcpy(s->id, text_at(q, 0).p, LEDGER_ID);
		s->restores = sqlite3_column_int64(q, 1);
		s->seq = sqlite3_column_int64(q, 2);
	}
	sqlite3_finalize(q);
	return ok && s->restores >= 0 && strspn(s->id, "0123456789abcdef") == LEDGER_ID;
}

/* Put back from a backup, or another one than it was: what it does not know may exist. Kept before the mark moves. */
static bool
meet_mark(struct store *s, const char *path, char *err, size_t err_size)
{
	if (path == NULL)
		return true;
	s->mark = mark_open(path, err, err_size);
	if (s->mark == NULL)
		return false;
	if (mark_look(s->mark, s->id, s->seq) == MARK_BEHIND) {
		if (!exec_ok(s->db, "UPDATE ledger_self SET restores = restores + 1"))
			return refuse(err, err_size, s->path, why_not(s->db));
		s->restores++;
		log_warn("msg=tag ledger %s was restored from a backup or replaced: it takes no new tags in a repository before "
			 "`tidewaiter tag import` of it; `tidewaiter quarantine list` may lack what was quarantined since", s->path);
	}
	if (!mark_write(s->mark, s->id, s->seq))
		return refuse(err, err_size, path, "cannot be written");
	s->marked = s->seq;
	return true;
}

struct store *
store_open(const char *path, const char *mark, char *err, size_t err_size)
{
	struct store *s = calloc(1, sizeof *s);
	size_t n = strlen(path);

	if (s != NULL) {
		s->path = strdup(path);
		s->wal = malloc(n + sizeof "-wal");
	}
	if (s == NULL || s->path == NULL || s->wal == NULL) {
		(void)refuse(err, err_size, path, "out of memory");
		goto fail;
	}
	memcpy(s->wal, path, n);
	memcpy(s->wal + n, "-wal", sizeof "-wal");
	if (!prepare_file(s, err, err_size) || !take_file(s, err, err_size) || !check_schema(s, err, err_size) ||
	    !prepare_statements(s, err, err_size))
		goto fail;
	if (!read_self(s)) {
		(void)refuse(err, err_size, path, "is damaged; restore it from a backup");
		goto fail;
	}
	if (!meet_mark(s, mark, err, err_size))
		goto fail;
	return s;
fail:
	store_close(s);
	return NULL;
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->stmt[i]);
	sqlite3_close(s->db);
	mark_close(s->mark);
	free(s->path);
	free(s->wal);
	free(s);
}
