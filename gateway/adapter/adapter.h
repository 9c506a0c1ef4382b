/*
 * adapter.h - our own engine behind Harbor's Pluggable Scanner API: adapter {} in the configuration.
 *
 * A listener on a thread of its own, one request a connection, heads read by the strict reader; scans run on threads of jobs.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADAPTER_H
#define TW_ADAPTER_H

#include "gateway/setup.h"

struct adapter;
/* s->config->adapter.listen is given. References to s are taken. NULL with a reason. */
struct adapter *adapter_start(struct setup *s, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
/* A reload: scans that begin from now on, and new connections, are by what it says. Any thread. */
void adapter_follow(struct adapter *a, struct setup *s) NONNULL(1, 2);
/* No connection and no scan goes on. NULL is fine. */
void adapter_free(struct adapter *a);

#endif
