/*
 * offload.h - work that would keep a worker's loop from its other requests: one thread for all of them.
 *
 * A job is embedded in what it belongs to; the owner must not touch that between offload_submit() and the mail.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_OFFLOAD_H
#define TW_OFFLOAD_H

#include <stdbool.h>

#include "gateway/mailbox.h"

#define OFFLOAD_JSON 65536u	/* bytes of JSON from which on parsing leaves the loop */

struct offload_job {
	void (*work)(struct offload_job *j);	/* on the offload thread */
	struct mail mail;			/* then delivered to reply_to */
	struct mailbox *reply_to;
	struct offload_job *next;		/* private */
};

struct offload;

struct offload *offload_start(void) WUNRES;
/* Finishes what is queued. */
void offload_stop(struct offload *o);
void offload_submit(struct offload *o, struct offload_job *j) NONNULL(1, 2);
/* The same where no more than `most` may wait: false, and nothing is done, when they do. work is set. */
bool offload_try(struct offload *o, unsigned most, struct offload_job *j, void (*deliver)(struct mail *m),
    struct mailbox *reply_to) NONNULL(1, 3, 4, 5) WUNRES;

#endif
