/*
 * hold.h - the claim protocol for one PUT by tag (DESIGN section 6), as a state machine without I/O of its own.
 *
 * request.c starts a hold before it connects, tells it how the PUT ended, and sends 201 only when the hold says
 * so. The hold talks to the ledger, and asks its environment to GET the tag upstream. Unit tests give it a fake
 * environment.
 *
 *   hold_start -> GRANTED            the PUT may be sent
 *              -> REFUSED(why)       nothing was or will be sent; the claim, if any, is gone
 *   hold_finish(outcome) -> DONE     confirmed (or rightly released): relay upstream's answer
 *                        -> REFUSED  e.g. NOT_CONFIRMED, LEDGER_DOWN: answer that instead
 *   hold_abandon                     client or gateway gives up; safe at any time, from any state
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HOLD_H
#define TW_HOLD_H

#include "gateway/refuse.h"
#include "gateway/tags/ledger.h"
#include "policy/arena.h"

/* What a GET of the tag with every manifest media type said. */
enum probe_result {
	PROBE_UNKNOWN = 0,	/* anything but the two below: timeout, 5xx, odd 404, cut body ... */
	PROBE_ABSENT,		/* 404 with MANIFEST_UNKNOWN or NAME_UNKNOWN */
	PROBE_PRESENT,		/* 200, complete; the digest is our SHA-256 of the bytes */
};

/* How the forwarded PUT ended. */
enum put_outcome {
	PUT_UNSURE = 0,		/* timeout, reset, 5xx, malformed answer: may or may not have been stored */
	PUT_NOT_SENT,		/* not one byte of the request went out */
	PUT_REFUSED,		/* a complete 4xx */
	PUT_STORED,		/* a complete 201 */
};

enum hold_event { HOLD_REFUSED = 0, HOLD_GRANTED, HOLD_DONE };

struct hold;
struct hold_env {
	void *ctx;
	struct ledger *ledger;
	struct mailbox *mailbox;	/* answers of the ledger arrive here */
	/* GET the tag upstream; answer later (or at once) with hold_probed(). */
	void (*probe)(void *ctx, struct hold *h);
	/* May this identity change the tag's digest (OverwriteTag)? Asked only when it matters. */
	bool (*may_overwrite)(void *ctx, struct hold *h);
	/*
	 * append_only: the claim is ours; may the manifest follow `old` ("": nothing), which upstream must still have? Answer
	 * later (or at once) with hold_appended().
	 */
	void (*append)(void *ctx, struct hold *h, const char *old);
	/* Call hold_timer() after `ms`; ms = 0 cancels. */
	void (*timer)(void *ctx, struct hold *h, unsigned ms);
	int64_t (*now)(void *ctx);	/* seconds since the epoch */
	/* The hold's only way up. `why` for REFUSED; never called after hold_abandon(). */
	void (*event)(void *ctx, struct hold *h, enum hold_event ev, enum refuse why);
	/* A state event for the audit log: "tag.claimed", "tag.confirmed", "tag.found", "tag.released", "tag.settled", "tag.unresolved" ... */
	void (*note)(void *ctx, const char *event, const char *digest, const char *old_digest);
	/* The hold frees itself now and uses nothing of ctx any more: the last call, whatever happened. May be NULL. */
	void (*gone)(void *ctx);
};

struct hold_request {
	struct span registry, repository, tag;
	char digest[LEDGER_DIGEST];
	struct span who, source, event_id;
	int64_t settle;			/* seconds, default 900 */
	bool read_back;			/* confirm with a GET after 201 (default true) */
	bool append_only;		/* a tag that grows: no OverwriteTag is asked for, but append() before each PUT */
};

/*
 * Everything is copied; the hold owns itself (it may outlive the request when an answer of the ledger is still on
 * its way) and frees itself after DONE, REFUSED or hold_abandon(). NULL when out of memory.
 */
struct hold *hold_new(const struct hold_env *env, const struct hold_request *rq) NONNULL(1, 2) WUNRES;
void hold_start(struct hold *h) NONNULL(1);
void hold_finish(struct hold *h, enum put_outcome outcome) NONNULL(1);
void hold_abandon(struct hold *h) NONNULL(1);

/* Answers from the environment. digest: what was found (PROBE_PRESENT). */
void hold_probed(struct hold *h, enum probe_result r, const char digest[static LEDGER_DIGEST]) NONNULL(1);
void hold_timer(struct hold *h) NONNULL(1);
/* REFUSE_NONE: it may follow. */
void hold_appended(struct hold *h, enum refuse why) NONNULL(1);

/* GRANTED, but so long ago that it may not be sent any more: hold_finish(PUT_NOT_SENT). */
bool hold_too_old(const struct hold *h) NONNULL(1);
/* Would hold_abandon() leave an unresolved claim behind? */
bool hold_leaves_claim(const struct hold *h) NONNULL(1);
/* For the audit event: the digest the tag had before ("" when none or unknown). Valid during event(). */
const char *hold_old_digest(const struct hold *h) RETURNS_NONNULL NONNULL(1);

#endif
