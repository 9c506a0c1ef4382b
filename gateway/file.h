/*
 * file.h - small files that are read whole: configuration, keys, policies.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_FILE_H
#define TW_FILE_H

#include <stdint.h>

#include "policy/attr.h"
#include "policy/span.h"

/*
 * At most max bytes and a NUL, to be freed with free() after cleansing when secret. NULL with a reason in err.
 * Not a FIFO, socket or device: those could keep a reload waiting for ever.
 */
char *file_read(const char *path, size_t max, size_t *n, char *err, size_t err_size) NONNULL(1, 3, 4) WUNRES;

/*
 * A new file (mode 0600) with these bytes. It appears whole under its name or not at all; one that somebody made in the
 * meantime stays, and is no failure. False: errno says why.
 */
bool file_create(const char *path, struct span bytes) NONNULL(1) WUNRES;

#endif
