/*
 * keystore.h - the last good key set of an issuer, in a file of its own.
 *
 * Written whole under another name, then renamed; mode 0600. A file that is cut, garbled, of another issuer or of the
 * future is not used.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_KEYSTORE_H
#define TW_KEYSTORE_H

#include "policy/attr.h"
#include "policy/span.h"

struct kept_keys {
	const char *issuer;	/* url */
	const char *source;	/* what the keys were fetched by: another one's are not used */
	int64_t fetched;	/* seconds since the epoch */
	char *document;		/* the key set as it came; keystore_load(): to be freed */
	size_t n;
};

/* False with a reason. */
bool keystore_save(const char *path, const struct kept_keys *k, char *err, size_t err_size) NONNULL(1, 2, 3) WUNRES;
/*
 * k->issuer and k->source say what is wanted; now in seconds. False with a reason, "" when there is no file: k->document
 * is NULL then. The document itself is the caller's to judge.
 */
bool keystore_load(const char *path, struct kept_keys *k, int64_t now, char *err, size_t err_size) NONNULL(1, 2, 4) WUNRES;

#endif
