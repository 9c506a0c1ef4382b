/*
 * pulse.h - is there an upstream? Asked for a gateway without traffic: GET /v2/, by one worker, where nothing else was
 * heard lately. Any answer will do, a 401 too: what is asked is whether it can be reached.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PULSE_H
#define TW_PULSE_H

#include "policy/attr.h"

struct worker;
struct pulse;

/* Begins with the worker's loop. NULL when out of memory. */
struct pulse *pulse_new(struct worker *w) NONNULL(1) WUNRES;
/* The loop has stopped. NULL is fine. */
void pulse_free(struct pulse *p);

#endif
