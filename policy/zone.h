/*
 * zone.h - time zones: what a clock on the wall says somewhere. Pure: the caller hands in the TZif data (RFC 9636) of
 * the system's tz database, so that an update of tzdata is all that a change of law needs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ZONE_H
#define TW_ZONE_H

#include "arena.h"
#include "attr.h"
#include "scalar.h"
#include "span.h"

struct zone;

/* "Europe/Berlin": letters, digits, _ + - and / between names; never a path that climbs. */
bool zone_name_ok(struct span name) PURE;

/* Read version 2 or later of the format into the arena. NULL with a reason. */
const struct zone *zone_parse(struct span tzif, struct arena *a, char *err, size_t err_size) NONNULL(2, 3) WUNRES;

/* Seconds to add to UTC at this moment; NULL is UTC. */
int32_t zone_offset(const struct zone *z, int64_t seconds) PURE;
/* The local calendar and clock; |seconds| <= CIVIL_MAX. */
void zone_local(const struct zone *z, int64_t seconds, struct civil *out) NONNULL(3);

#endif
