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
 *   claimed    a push of `digest` may be, or may have been, on its way: only the same digest may be sent.
 *              Held while a live operation owns it (in memory, by token); otherwise unresolved.
 * A claim over a confirmed record (granted OverwriteTag) keeps the old digest until it is confirmed or released.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_H
#define TW_LEDGER_H

#include "gateway/mailbox.h"
#include "policy/attr.h"
#include "policy/span.h"

#define LEDGER_DIGEST 72	/* "sha256:<64 hex>" and NUL */

enum ledger_verb {
	LEDGER_LOOKUP = 0,	/* what is known of the tag? */
	LEDGER_CLAIM,		/* claim (tag, digest), durably */
	LEDGER_FOUND,		/* holder: upstream already has `found` under the tag (trust on first use) */
	LEDGER_CONFIRM,		/* holder: upstream named our digest */
	LEDGER_RELEASE,		/* holder: nothing was sent, or a complete 4xx came back */
	LEDGER_UNRESOLVE,	/* holder gives up: timeout, reset, 5xx. The claim stays, nobody holds it */
	LEDGER_SETTLE,		/* nobody holds: upstream says 404 and the claim is older than `settle`: release it */
	LEDGER_ADOPT,		/* nobody holds: upstream names the claimed digest (confirm) or `found` (record as found) */
};

enum ledger_answer {
	LEDGER_DOWN = 0,	/* database failed: refuse 503, nothing changed as far as we know */
	LEDGER_ABSENT,		/* LOOKUP: no record. FOUND/CONFIRM/RELEASE/...: no such claim any more */
	LEDGER_SAME,		/* confirmed with the digest asked for: push freely, no claim is held */
	LEDGER_LOCKED,		/* confirmed with another digest (current_digest) and no overwrite was granted */
	LEDGER_CLAIMED_NEW,	/* claim made and held by `token`; there was no record: ask upstream before sending */
	LEDGER_CLAIMED_OVER,	/* claim made and held over a confirmed record (overwrite granted); old digest in current_digest */
	LEDGER_CLAIMED_AGAIN,	/* an unresolved claim of the same digest is now held by `token` */
	LEDGER_BUSY,		/* a live claim of the same digest is held by another push: wait and try again */
	LEDGER_CLAIMED_OTHER,	/* a live claim of another digest is held: refuse at once */
	LEDGER_UNRESOLVED,	/* nobody holds it, but another digest was claimed (current_digest, claimed_at) */
	LEDGER_OK,		/* FOUND, CONFIRM, RELEASE, UNRESOLVE, SETTLE, ADOPT: done, durable */
};

/* All spans must stay valid until the answer is delivered. */
struct ledger_op {
	struct mail mail;		/* answer: mail.deliver is called on reply_to's thread */
	struct mailbox *reply_to;
	enum ledger_verb verb;
	/* in */
	struct span registry, repository, tag;
	char digest[LEDGER_DIGEST];	/* CLAIM: the digest to push */
	char found[LEDGER_DIGEST];	/* FOUND, ADOPT: what upstream has */
	bool overwrite;			/* CLAIM: OverwriteTag was granted */
	struct span who, source, event_id;	/* CLAIM: issuer/subject, address, audit event */
	int64_t now;			/* seconds since the epoch */
	int64_t settle;			/* SETTLE: seconds */
	uint64_t token;			/* FOUND, CONFIRM, RELEASE, UNRESOLVE: from CLAIM */
	/* out */
	enum ledger_answer answer;
	/* CLAIM: token is set for LEDGER_CLAIMED_NEW, _OVER, _AGAIN */
	char current_digest[LEDGER_DIGEST];	/* empty when there is none */
	int64_t claimed_at;
	struct ledger_op *next;		/* private */
};

struct ledger;

/*
 * Open (create) "sqlite:<path>" and start the thread. NULL with a one-line reason that says what to do.
 * journal WAL, synchronous FULL; the file is created 0600; a database of another schema version is refused.
 */
struct ledger *ledger_open(const char *url, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
/* Finish what is queued, stop the thread, close. Claims still held stay unresolved. */
void ledger_close(struct ledger *l);
/* Any thread. The answer always comes, LEDGER_DOWN at worst. */
void ledger_submit(struct ledger *l, struct ledger_op *op) NONNULL(1, 2);
/* Last transaction succeeded? For /readyz and metrics. */
bool ledger_healthy(const struct ledger *l) NONNULL(1);

#endif
