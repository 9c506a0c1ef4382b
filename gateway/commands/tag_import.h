/*
 * tag_import.h - `tidewaiter tag import`: what the registry already has gets its records.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TAG_IMPORT_H
#define TW_TAG_IMPORT_H

#include "gateway/commands/tag_client.h"

struct tag_import {
	bool all, verify, dry_run, json;
	unsigned jobs;		/* manifests read at once */
};

/* names: repositories, unless all. The exit status: 0, 1 for problems, 3 for drift. */
int tag_import(const struct config *c, struct tag_client *t, const struct tag_import *how, char **names, int n_names)
	NONNULL(1, 2, 3);

#endif
