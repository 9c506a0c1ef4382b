/*
 * manifest.h - a strict reader of image manifests and indexes (OCI image-spec; Docker schema 2).
 *
 * Says what the registry and every client will read, or refuses: duplicate or case-variant keys, both layers
 * and manifests, a media type that disagrees with Content-Type, schema 1, more than 512 layers or 1024 children,
 * depth over 32, numbers that are not int64 (sizes below 0), data that is not one JSON object.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_MANIFEST_H
#define TW_MANIFEST_H

#include "arena.h"
#include "attr.h"
#include "span.h"

#define MANIFEST_LAYERS_MAX	512u
#define MANIFEST_CHILDREN_MAX	1024u
#define MANIFEST_MAX		(4u << 20)

enum manifest_kind { MANIFEST_NONE = 0, MANIFEST_IMAGE, MANIFEST_INDEX };

struct descriptor {
	struct span media_type, digest, artifact_type;
	int64_t size;
	bool has_urls;			/* foreign layer */
	struct span os, architecture, variant;	/* index children with a platform */
};

struct manifest {
	enum manifest_kind kind;
	struct span media_type;		/* the Content-Type, checked */
	struct span artifact_type;	/* p == NULL when absent */
	struct descriptor config;	/* images */
	struct descriptor *layers;	/* images */
	size_t n_layers;
	struct descriptor *children;	/* indexes */
	size_t n_children;
	bool has_subject;
	struct descriptor subject;
	char digest[72];		/* "sha256:<hex>" of the bytes, NUL-terminated */
};

/*
 * Read `bytes` sent with `content_type` (parameters allowed, ignored; missing is refused). False with a one-line
 * reason in err. Spans live in the arena.
 */
bool manifest_read(struct span bytes, struct span content_type, struct arena *a, struct manifest *out,
    char *err, size_t err_size) NONNULL(3, 4, 5) WUNRES;

/* "sha256:<64 hex>" and NUL of the bytes. */
void digest_sha256(struct span bytes, char out[static 72]);
/* The same of a SHA-256 that was made elsewhere. */
void digest_text(const unsigned char hash[static 32], char out[static 72]);

/* All manifest media types the gateway knows, as one Accept value (for asking whether a tag exists). */
extern const char manifest_accept[];

#endif
