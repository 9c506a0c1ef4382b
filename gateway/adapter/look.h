/*
 * look.h - one image looked through for whoever asked by the scanner API, on a thread that may wait.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADAPTER_LOOK_H
#define TW_ADAPTER_LOOK_H

#include "gateway/adapter/api.h"
#include "gateway/fetch/pull.h"

/*
 * The upstream that a scan request means: one with this scheme, host, port and path, or, for the gateway's own external-url, the one that
 * the repository belongs to. NULL: the gateway stands in front of no such registry, and asks nobody else.
 */
const struct config_upstream *look_upstream(const struct config *c, struct span url, struct span repository) NONNULL(1) WUNRES;

/*
 * Manifest, config and layers, with the authorization of the request and never the gateway's own. True: *out says what was found; what
 * cannot be looked through is a finding. False: it could not be done now, with a one-line reason.
 */
bool look_through(const struct config *c, struct puller *p, const struct api_request *q, const _Atomic bool *stop, struct api_report *out,
    char *err, size_t err_size) NONNULL(1, 2, 3, 4, 5, 6) WUNRES;

#endif
