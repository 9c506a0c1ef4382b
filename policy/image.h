/*
 * image.h - what a manifest and the config of an image say of it, as facts for policy.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_IMAGE_H
#define TW_IMAGE_H

#include "arena.h"
#include "attr.h"
#include "manifest.h"
#include "policy.h"

#include <jansson.h>

#define IMAGE_CONFIG_MAX (8u << 20)

/* The config of an image (OCI image-spec config.md, Docker's), strictly read: case variants of what Go would fold are refused. */
struct image_config {
	struct span user;			/* "" is root */
	struct span os, architecture, variant;
	struct span *ports, *env, *diff_ids;	/* "8080/tcp"; names of variables; "sha256:..." of each layer's tar */
	struct span *labels;			/* name, value, name, value ... */
	size_t n_ports, n_env, n_diff_ids, n_labels;
	bool secrets;				/* a variable, a label or a command of the build looks as if it held one: secret.h */
	int64_t created;			/* seconds since the epoch; INT64_MIN: not told */
};
/* False with a one-line reason. Spans live in the arena. */
bool image_config_read(struct span bytes, struct arena *a, struct image_config *out, char *err, size_t err_size)
    NONNULL(2, 3, 4) WUNRES;

/*
 * Keys of phase 2: image:MediaType ArtifactType Digests Platforms SizeBytes LayerCount Annotation/ (and what is new in key.def): from the
 * manifest alone. `bytes`: its text. image:Platforms of an image is its config's: FACT_LATER here. False: out of memory, rows UNKNOWN.
 */
bool manifest_tell(const struct manifest *m, struct span bytes, struct arena *a, struct fact facts[static KEY_MAX])
    NONNULL(1, 3, 4) WUNRES;
/*
 * Keys of phase 3 that are image:: Label/ CreatedAgeHours BaseDigests (and what is new): from the configs of one image, or of all
 * images of an index: lists united, the oldest age, the worst of a verdict; a label that they do not share is left out.
 */
bool image_tell(const struct image_config *const *configs, size_t n, int64_t now, struct arena *a, struct fact facts[static KEY_MAX])
    NONNULL(1, 4, 5) WUNRES;
/* To be kept, and back. */
json_t *image_save(const struct image_config *c) NONNULL(1) WUNRES;
bool image_load(const json_t *j, struct arena *a, struct image_config *out) NONNULL(1, 2, 3) WUNRES;

#endif
