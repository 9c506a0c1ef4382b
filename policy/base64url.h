/*
 * base64url.h - base64url without padding (RFC 4648 section 5, RFC 7515 appendix C), one encoding of each value only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_BASE64URL_H
#define TW_BASE64URL_H

#include "attr.h"
#include "span.h"

/* Room decode needs at most for n characters. */
#define BASE64URL_DECODED(n)	((n) / 4 * 3 + 3)

/*
 * Decode into out. False for any character outside the alphabet, an impossible length, or unused bits that are
 * not 0: no two texts are the same value.
 */
bool base64url_decode(struct span text, unsigned char *out, size_t *n) NONNULL(2, 3) WUNRES;
/* Room encode needs for n bytes. */
#define BASE64URL_ENCODED(n)	((n) / 3 * 4 + 4)
/* Returns the length. No NUL is written. */
size_t base64url_encode(const unsigned char *in, size_t n, char *out) NONNULL(3);

#endif
