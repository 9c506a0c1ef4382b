/*
 * source.c - counters per source address.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/source.h"

#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic unsigned connections[SOURCE_SLOTS];
static _Atomic uint64_t failures[SOURCE_SLOTS];	/* minute << 32 | count */
static uint64_t secret[2];

__attribute__((constructor)) static void
choose_secret(void)
{
	/* an attacker who could aim at slots could lock out others */
	if (RAND_bytes((unsigned char *)secret, sizeof secret) != 1)
		abort();
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ (h >> 32);
}

unsigned
source_slot(const struct network *address)
{
	uint64_t w[2] = { 0, address->v4 };

	/* one host owns a /64: counting single addresses would limit nobody */
	memcpy(w, address->address, address->v4 ? 4 : 8);
	return (unsigned)(mix(mix(w[0] ^ secret[0]) ^ w[1] ^ secret[1]) % SOURCE_SLOTS);
}

bool
source_connect(unsigned slot, unsigned limit)
{
	unsigned before = atomic_fetch_add_explicit(&connections[slot], 1, memory_order_relaxed);

	if (limit == 0 || before < limit)
		return true;
	source_disconnect(slot);
	return false;
}

void
source_disconnect(unsigned slot)
{
	atomic_fetch_sub_explicit(&connections[slot], 1, memory_order_relaxed);
}

void
source_failed(unsigned slot, uint32_t minute)
{
	uint64_t old = atomic_load_explicit(&failures[slot], memory_order_relaxed), more;

	do {
		more = old >> 32 == minute ? old + 1 : ((uint64_t)minute << 32) + 1;
	} while (!atomic_compare_exchange_weak_explicit(&failures[slot], &old, more, memory_order_relaxed,
	    memory_order_relaxed));
}

bool
source_blocked(unsigned slot, uint32_t minute, unsigned limit)
{
	uint64_t v = atomic_load_explicit(&failures[slot], memory_order_relaxed);

	return limit != 0 && v >> 32 == minute && (uint32_t)v >= limit;
}
