/*
 * pass.h - what a scanner shows to pull one image: a token of ours that names the image, and not a right that policy gives.
 *
 * With it the manifest of exactly that digest is given, pending or failed as it may be, and the blobs that it lists; and nothing
 * else. Policy is not asked: an image that nobody may pull before it was scanned could never be scanned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_PASS_H
#define TW_PASS_H

#include "gateway/config/config.h"

#define PASS_ISSUER  "tidewaiter"	/* what events call it: no issuer of a policy */
#define PASS_SUBJECT "scanner"

struct request;

/*
 * A pass for the image of `digest` in `repository`, as long as token-service.lifetime, into out. False: it does not fit, out of
 * memory, or there is no token service.
 */
bool pass_mint(const struct config *c, struct span repository, const char *digest, int64_t now, const unsigned char random[static 16],
    char *out, size_t size) NONNULL(1, 3, 5, 6) WUNRES;
/* May the request, which shows a pass, do what it asks for? Of a blob only if the image lists it: that is for the step `inspect`. */
bool pass_allows(const struct request *r) NONNULL(1) WUNRES;

#endif
