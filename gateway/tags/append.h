/*
 * append.h - tags that only grow: the referrers fallback sha256-<hex> and cosign's sha256-<hex>.sig, .att and .sbom.
 *
 * Clients keep a list under such a tag and push it anew with more at its end. What may follow what is decided here, on bytes
 * alone: everything of the old manifest stays as it is and where it is, and what is new has the shape of what belongs there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_APPEND_H
#define TW_APPEND_H

#include "policy/attr.h"
#include "policy/span.h"

#define APPEND_BYTES_MAX   (1u << 20)
#define APPEND_ENTRIES_MAX 256u
#define APPEND_NEW_MAX	   8u	/* new entries of an index in one push: each is fetched and read */

enum append_kind {
	APPEND_NONE = 0,	/* an ordinary tag */
	APPEND_REFERRERS,	/* an index of manifests whose subject is the tag's digest */
	APPEND_SIGNATURES,	/* .sig, .att, .sbom: an image manifest, a layer for each */
	APPEND_ATTESTATIONS,
	APPEND_SBOMS,
};

/* A new entry of an index, as its descriptor has it. */
struct append_entry {
	char digest[72];
	int64_t size;
	char media_type[256], artifact_type[256];
};

struct append {
	char err[200];				/* one line for the client, when it may not follow */
	struct append_entry entries[APPEND_NEW_MAX];	/* APPEND_REFERRERS: what is new */
	size_t n;
};

enum append_kind append_kind_of(struct span tag) PURE;
/* "sha256:<hex>" and NUL of such a tag. */
void append_subject(struct span tag, char out[static 72]) NONNULL(2);

/* Types that artifacts may have beside the known ones: whole, or what stands before a '*' at the end. */
struct append_types {
	char *const *patterns;
	size_t n;
};
bool append_type_matches(const char *pattern, struct span type) NONNULL(1) PURE;

/*
 * May `now` follow `old` under a tag of this kind? An old of no bytes: there is none, all of it is new. `now` was read by
 * manifest_read(); nothing is known of `old`. more: for the entries of an index; NULL for none. For long documents, not
 * for a worker's loop.
 */
bool append_check(enum append_kind kind, struct span old, struct span now, const struct append_types *more,
    struct append *out) NONNULL(5) WUNRES;

#endif
