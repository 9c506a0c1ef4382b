/*
 * admin.h - the admin listener: GET /healthz (200 "ok" while the process serves, 503 "draining"), /metrics.
 *
 * Plain HTTP for a loopback or pod-internal address, on the main thread's event_base; one request a
 * connection, 5 s deadline, at most 64 connections. Heads are read by the strict reader.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADMIN_H
#define TW_ADMIN_H

#include "gateway/operator/metrics.h"

struct event_base;
struct admin;

/* address: "127.0.0.1:5480". NULL with a one-line reason. view is borrowed for the life of the listener. */
struct admin *admin_start(struct event_base *base, const char *address, const struct metrics_view *view,
    char *err, size_t err_size) NONNULL(1, 2, 3, 4) WUNRES;
void admin_draining(struct admin *a) NONNULL(1);
void admin_free(struct admin *a);

#endif
