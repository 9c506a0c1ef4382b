/*
 * mailbox.h - the one door into a worker (or any thread with an event_base).
 *
 * Other threads put mail in; the owner's event loop takes it out and calls mail->deliver(mail) on its own
 * thread. A mail is embedded in whatever it belongs to (no allocation), may be in one mailbox at a time,
 * and belongs to the receiver from the moment it is delivered.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_MAILBOX_H
#define TW_MAILBOX_H

#include "policy/attr.h"

struct event_base;
struct mailbox;

struct mail {
	struct mail *next;			/* private */
	void (*deliver)(struct mail *m);	/* runs on the owner's thread */
};

struct mailbox *mailbox_new(struct event_base *base) NONNULL(1) WUNRES;
/* Owner's thread, loop stopped; mail still inside is dropped without delivery. */
void mailbox_free(struct mailbox *b);
/* Owner's thread, loop stopped: deliver what is inside, and what that makes others put in at once. */
void mailbox_empty(struct mailbox *b) NONNULL(1);
/* Any thread; never blocks longer than a short lock. Order of one sender is kept. */
void mailbox_post(struct mailbox *b, struct mail *m) NONNULL(1, 2);

#endif
