/*
 * source.h - what one source address may do at a time: connections, failed authentications.
 *
 * Process-wide and lock-free: addresses are hashed with a secret into a fixed table of counters. Two addresses
 * that share a slot share its allowance, so a limit may bite early, never late.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SOURCE_H
#define TW_SOURCE_H

#include "policy/address.h"
#include "policy/attr.h"
#include "policy/span.h"

#define SOURCE_SLOTS 16384u

/* The slot of an address: of its /64 when it is IPv6, since one host has all of that. */
unsigned source_slot(const struct network *address) NONNULL(1);
/* One more connection; false (and not counted) when `limit` are open. limit 0: no limit. */
bool source_connect(unsigned slot, unsigned limit) WUNRES;
void source_disconnect(unsigned slot);
/* A failed authentication at `minute`. */
void source_failed(unsigned slot, uint32_t minute);
/* Has the source failed `limit` times this minute already? limit 0: never. */
bool source_blocked(unsigned slot, uint32_t minute, unsigned limit);

#endif
