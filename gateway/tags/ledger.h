/*
 * ledger.h - the write-once store of tags: who claimed which digest for a tag, durably, before upstream hears of it.
 *
 * One ledger thread owns the SQLite database; everybody else sends it operations and gets an answer by mail.
 * Operations queued together commit in one transaction (one fsync). A record is keyed by
 * (registry, repository, tag): `registry` is the upstream's origin and path, never its alias.
 * tag_record holds the present state, tag_history every change (append-only: triggers refuse UPDATE and DELETE).
 *
 * States of a record:
 *   confirmed  upstream has, or had, this digest under the tag
 *   deleted    a tombstone: the digest upstream had when the tag was deleted through us. Upstream may still have it.
 *              Only this digest returns without OverwriteTag
 *   claimed    a push of `digest` may be, or may have been, on its way: only the same digest may be sent.
 *              Held while a live operation owns it (in memory, by token); otherwise unresolved.
 * A claim over a confirmed or deleted record remembers it until it is confirmed; released or settled, it restores it.
 *
 * In memory, gone with the process: who holds a claim (one), who shares a confirmed tag (pushes of the same digest,
 * many), who deletes (one, of a tag or of a digest with every tag that names it). Shares and deletes exclude
 * each other and every claim that would change the tag.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_H
#define TW_LEDGER_H

#include "gateway/mailbox.h"
#include "policy/attr.h"
#include "policy/span.h"

#define LEDGER_DIGEST	 72	/* "sha256:<64 hex>" and NUL */
#define LEDGER_NAMES_MAX 2048u	/* tags of one digest that a delete may remove: each is a question to policy and an event */

enum ledger_verb {
	LEDGER_LOOKUP = 0,	/* what is known of the tag? Writes nothing, holds nothing */
	LEDGER_CLAIM,		/* claim (tag, digest), durably; or share what is confirmed already */
	LEDGER_FOUND,		/* holder: upstream already has `found` under the tag (trust on first use) */
	LEDGER_CONFIRM,		/* holder: upstream named our digest */
	LEDGER_RELEASE,		/* holder: nothing was sent, or a complete 4xx came back */
	LEDGER_UNRESOLVE,	/* holder gives up: timeout, reset, 5xx. The claim stays, nobody holds it */
	LEDGER_SETTLE,		/* nobody holds: upstream says 404 and the claim is older than `settle`: release it */
	LEDGER_ADOPT,		/* nobody holds: upstream names the claimed digest (confirm) or `found` (record as found) */
	LEDGER_DELETE_BEGIN,	/* hold `tag`, or with an empty tag `digest` and all that name it, and say what would go */
	LEDGER_DELETE_MARK,	/* deleter: tombstones for all names of BEGIN (or of `found`), durable before DELETE is sent */
	LEDGER_DELETE_END,	/* deleter: how it ended, `outcome`; the hold is over whatever the answer is */
	LEDGER_IMPORT,		/* upstream has `found` under the tag, says an operator's import */
	LEDGER_IMPORT_END,	/* every tag of the repository was imported: what we do not know is not there */
	LEDGER_REPOSITORY,	/* is it imported, does it wait for an import? */
	LEDGER_LIST,		/* a page of records after the operation's key */
	LEDGER_HISTORY,		/* a page of the history of a repository or of one tag */
	/* see ledger_evidence.h */
	LEDGER_EVIDENCE_PUT,	/* keep it, in the place of what was there */
	LEDGER_EVIDENCE_GET,
	LEDGER_BLOCK_PUT,	/* the digest is blocked there, or is no longer: SAME when it was like that already */
	LEDGER_BLOCKS,		/* all of them */
	LEDGER_GRANT_PUT,	/* a manifest lists blobs */
	LEDGER_GRANT_GET,	/* which manifests list a blob? */
	LEDGER_GRANT_ALL,	/* ... anywhere: rows of `page`, at most its limit */
};

enum ledger_answer {
	LEDGER_DOWN = 0,	/* database failed: refuse 503, nothing changed as far as we know */
	LEDGER_ABSENT,		/* LOOKUP: no record. FOUND/CONFIRM/RELEASE/DELETE_MARK/...: no such claim any more */
	LEDGER_SAME,		/* the digest asked for. CLAIM: confirmed, shared by `token` until it is released */
	LEDGER_LOCKED,		/* confirmed or deleted with another digest (current_digest) and no overwrite was granted */
	LEDGER_CLAIMED_NEW,	/* claim made and held by `token`; there was no record: ask upstream before sending */
	LEDGER_CLAIMED_OVER,	/* held over a confirmed record (overwrite granted) or a tombstone; current_digest: what it had */
	LEDGER_CLAIMED_AGAIN,	/* an unresolved claim of the same digest is now held by `token` */
	LEDGER_BUSY,		/* a push of the same digest, a share or a delete is in flight: wait and try again */
	LEDGER_CLAIMED_OTHER,	/* a live claim of another digest is held: refuse at once */
	LEDGER_UNRESOLVED,	/* nobody holds it, but another digest was claimed (current_digest, claimed_at) */
	LEDGER_RESTORED,	/* CLAIM of a tag without a record: this ledger is a backup; import the repository first */
	LEDGER_MANY,		/* DELETE_BEGIN: more than LEDGER_NAMES_MAX tags would go */
	LEDGER_OK,		/* done, durable; DELETE_BEGIN, REPOSITORY, LIST, HISTORY: the answer is in the operation */
};

enum ledger_outcome {
	LEDGER_DELETE_UNSURE = 0,	/* timeout, reset, 5xx: the tombstones stay */
	LEDGER_DELETE_DONE,		/* a complete 2xx or 404: the tombstones stay */
	LEDGER_DELETE_KEPT,		/* a complete 4xx other than 404, or not one byte was sent: back to what it was */
};

/* A record that a delete would remove. A list; free it with ledger_names_free(). */
struct ledger_name {
	struct ledger_name *next;
	char digest[LEDGER_DIGEST];
	bool deleted;			/* a tombstone already; upstream may still have it */
	bool fresh;			/* private: had no record before the delete */
	struct span tag;		/* in bytes[] */
	char bytes[];
};

/* A record or a change, as LIST and HISTORY answer. A list; free it with ledger_rows_free(). */
struct ledger_row {
	struct ledger_row *next;
	int64_t seq, at;		/* of the change; LIST: of the last one */
	int64_t claimed_at;		/* LIST */
	bool held;			/* LIST: by a live push */
	/* in bytes[]. state: of the record, or what happened; old_state is LIST's, "" for nothing */
	struct span registry, repository, tag, state, digest, old_state, old_digest, who, source, event_id;
	char bytes[];
};

struct ledger_evidence;
struct ledger_block;
struct ledger_grants;

struct ledger_page {
	/* in */
	bool at_key;			/* LIST: the record of exactly the operation's key */
	unsigned limit;			/* rows looked at: the answer may be shorter */
	struct span registry;		/* LIST: only of this one; empty: all */
	struct span pattern;		/* LIST: `*` and `?` over the repository; empty: all */
	struct span after_tag;		/* HISTORY: the last row of the page before, with ... */
	int64_t after_seq;		/* ... 0 for the first page */
	/* out */
	struct ledger_row *rows;
	bool more;			/* go on after `last` if there is one, else after the last of `rows` */
	struct ledger_row *last;	/* the last row looked at, when it is not in `rows`; free it with ledger_rows_free() */
};

/* All spans must stay valid until the answer is delivered. */
struct ledger_op {
	struct mail mail;		/* answer: mail.deliver is called on reply_to's thread */
	struct mailbox *reply_to;	/* NULL: mail.deliver is called on the ledger's thread, and must not take long */
	enum ledger_verb verb;
	/* in */
	struct span registry, repository, tag;
	char digest[LEDGER_DIGEST];	/* CLAIM: the digest to push. DELETE_*: with an empty tag, the digest to delete */
	char found[LEDGER_DIGEST];	/* FOUND, ADOPT, IMPORT, MARK of a tag without a record: what upstream has */
	bool overwrite;			/* CLAIM: OverwriteTag was granted */
	enum ledger_outcome outcome;	/* DELETE_END */
	bool drift;			/* IMPORT_END: some record differs from upstream: which tags name a digest is not known */
	struct span who, source, event_id;	/* whatever writes: issuer/subject, address, audit event */
	int64_t now;			/* seconds since the epoch */
	int64_t settle;			/* SETTLE, ADOPT: seconds; negative: however young */
	uint64_t token;			/* FOUND, CONFIRM, RELEASE, UNRESOLVE: from CLAIM. DELETE_*: from BEGIN */
	struct ledger_page *page;	/* LIST, HISTORY */
	struct ledger_evidence *evidence;	/* EVIDENCE_* */
	struct ledger_block *block;	/* BLOCK_PUT: to be put; BLOCKS: the answer, the receiver's */
	struct ledger_grants *grants;	/* GRANT_* */
	/* out */
	enum ledger_answer answer;
	/* CLAIM: token is set for LEDGER_SAME, _CLAIMED_NEW, _OVER, _AGAIN */
	char current_digest[LEDGER_DIGEST];	/* empty when there is none */
	int64_t claimed_at;		/* REPOSITORY: imported then */
	char old_digest[LEDGER_DIGEST];	/* LOOKUP: what the claim of current_digest stands over; empty: nothing */
	bool deleted;			/* current_digest is a tombstone's; of a claim: old_digest is */
	bool imported;			/* DELETE_BEGIN, REPOSITORY: all tags of the repository are known */
	bool restored;			/* REPOSITORY: new tags wait for an import */
	struct ledger_name *names;	/* DELETE_BEGIN: the receiver's */
	struct ledger_op *next;		/* private */
};

struct ledger;

/*
 * Open (create) "sqlite:<path>" and start the thread. NULL with a one-line reason that says what to do.
 * journal WAL, synchronous FULL; the file is created 0600; a database of an older schema version is brought up to date, one of a
 * newer is refused.
 * `mark` (NULL: none) is a small file elsewhere that remembers which ledger this is and how far it came: a ledger
 * that is another one, or is behind, was lost or put back from a backup, and takes no new tags before an import.
 */
struct ledger *ledger_open(const char *url, const char *mark, char *err, size_t err_size) NONNULL(1, 3) WUNRES;
/* Finish what is queued, stop the thread. Claims still held stay unresolved; who still asks hears LEDGER_DOWN. NULL is fine. */
void ledger_stop(struct ledger *l);
/* Stopped, and nobody asks any more. NULL is fine. */
void ledger_free(struct ledger *l);
/* Both. */
void ledger_close(struct ledger *l);
/* Any thread. The answer always comes, LEDGER_DOWN at worst. */
void ledger_submit(struct ledger *l, struct ledger_op *op) NONNULL(1, 2);
/* Last transaction succeeded? For /readyz and metrics. */
bool ledger_healthy(const struct ledger *l) NONNULL(1);

void ledger_names_free(struct ledger_name *first);
void ledger_rows_free(struct ledger_row *first);

/* "sha256:" and 64 lower-case hex digits, NUL-terminated. */
bool ledger_digest_valid(const char digest[static LEDGER_DIGEST]) PURE;
/* The same digest, which is one. */
bool ledger_digest_same(const char a[static LEDGER_DIGEST], const char b[static LEDGER_DIGEST]) PURE;

#endif
