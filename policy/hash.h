/*
 * hash.h - hashes of texts for tables whose keys come from a policy. Not for keys an attacker may choose.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HASH_H
#define TW_HASH_H

#include "span.h"

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t
hash_mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

/* FNV-1a, a byte at a time: for the beginnings of a text, each on the way to the next. */
static inline uint64_t
hash_byte(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 0x100000001b3u;
}

/* Eight bytes at a time, for a whole text. */
static inline uint64_t
hash_span(struct span s)
{
	uint64_t h = HASH_START ^ s.n, word;

	for (; s.n >= sizeof word; s = span_skip(s, sizeof word)) {
		memcpy(&word, s.p, sizeof word);
		h = (h ^ word) * 0x9fb21c651e98df25u;
		h ^= h >> 29;
	}
	for (size_t i = 0; i < s.n; i++)
		h = hash_byte(h, s.p[i]);
	return hash_mix(h);
}

#endif
