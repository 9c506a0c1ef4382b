/*
 * drift.h - a tag that upstream serves with another digest than the ledger knows was moved behind the gateway.
 *
 * What is done about it is tags.drift (DESIGN section 6): `alarm` looks after the answer and costs a pull nothing;
 * `refuse` and `pin` look before it. Only a confirmed or deleted record speaks: a tag that the ledger does not know, or
 * whose push is under way, has not drifted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_DRIFT_H
#define TW_DRIFT_H

#include "policy/attr.h"
#include "policy/span.h"

struct drift;
struct request;

/* One worker's memory of tags that were found in order, so that the ledger is asked about each now and then only. */
struct drift *drift_new(void) WUNRES;
void drift_free(struct drift *d);

/*
 * Mode `alarm`: upstream just answered a GET or HEAD of the request's tag with `digest`. Asks the ledger without waiting;
 * a difference becomes the event tag.drifted and a metric, once a minute and worker while it lasts.
 */
void drift_watch(struct request *r, struct span digest) NONNULL(1);

/* Modes `refuse` and `pin`: upstream has `found` (empty: nothing) where the ledger has `recorded`. The same event. */
void drift_report(struct request *r, struct span found, struct span recorded) NONNULL(1);

#endif
