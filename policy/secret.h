/*
 * secret.h - does a text look as if it held a secret? For what ends up in the config of an image: variables, and commands of its build.
 *
 * Two kinds: tokens and keys that are known by their shape wherever they stand, and assignments to a name that says what it is
 * (DB_PASSWORD=...) of a value that looks random. Linear in the text; no text is kept.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SECRET_H
#define TW_SECRET_H

#include "attr.h"
#include "span.h"

bool secret_looks(struct span text) PURE;

#endif
