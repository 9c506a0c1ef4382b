/*
 * now.c - time and name of an event that no worker writes: workers have a clock and a stock of random bytes of their own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <sys/random.h>
#include <time.h>

#include "gateway/audit/event.h"
#include "gateway/log.h"

void
event_now(struct audit_event *e)
{
	unsigned char random[10] = { 0 };
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	e->time_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	/* not secret: only unlike the others of this millisecond */
	if (getrandom(random, sizeof random, 0) < 0)
		log_warn("msg=no random bytes for an event id");
	event_id(e->time_us / 1000, random, e->id);
}
