/*
 * lease.h - upload leases: the upstream's Location sealed into a name of our own.
 *
 * "/v2/<repo>/blobs/uploads/<lease>", lease = base64url(version 1 | key id 4 | nonce 12 |
 * AES-256-GCM{expiry, upstream alias origin, upload URL, SHA-256(issuer, subject)} | tag 16), AAD = repository.
 * At most LEASE_MAX characters. Keys: HKDF-SHA-256 from the cluster key, newest first; any key opens,
 * the first seals. No state is kept: replicas with the same cluster key open each other's leases.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEASE_H
#define TW_LEASE_H

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

#define LEASE_MAX	6144u
#define LEASE_URL_MAX	4096u
#define LEASE_BOUND_MAX	512u	/* of the repository or path a lease is bound to */
#define LEASE_NONCE	12u
#define LEASE_HOLDER	32u	/* SHA-256 over issuer and subject, each length-prefixed */

struct lease_keys;

struct lease {
	int64_t expires;		/* seconds since the epoch */
	struct span upstream;		/* upstream alias */
	struct span origin;		/* "https://harbor.internal" the lease was made for */
	struct span url;		/* absolute upload URL at the upstream, query included */
	unsigned char holder[LEASE_HOLDER];
};

/* Keys from cluster secrets of >= 32 bytes each, newest first, at most 4. NULL on a short secret or failure. */
struct lease_keys *lease_keys_new(const struct span *secrets, size_t n) WUNRES;
void lease_keys_free(struct lease_keys *k);

/* False when out of memory. */
bool lease_holder(struct span issuer, struct span subject, unsigned char out[static LEASE_HOLDER]) WUNRES;

/*
 * nonce: fresh random bytes from the caller. {NULL,0} when too long or out of memory.
 *
 * What is sealed is bound to `repository`. A cursor of a list is sealed like a lease and bound to the list's path,
 * which begins with '/' and so is no repository: neither opens as the other.
 */
struct span lease_seal(const struct lease_keys *k, const struct lease *l, struct span repository,
    const unsigned char nonce[static LEASE_NONCE], struct arena *a) NONNULL(1, 2, 5) WUNRES;

/*
 * Open a lease for this repository. False for anything but an authentic, unexpired (now < expires) lease
 * of this repository; the holder is the caller's to compare (CRYPTO_memcmp). Spans point into the arena.
 */
bool lease_open(const struct lease_keys *k, struct span text, struct span repository, int64_t now,
    struct arena *a, struct lease *out) NONNULL(1, 5, 6) WUNRES;

#endif
