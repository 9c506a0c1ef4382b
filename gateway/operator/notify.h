/*
 * notify.h - what the service manager is told: sd_notify(3), without its library.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_NOTIFY_H
#define TW_NOTIFY_H

#include <stdbool.h>

#include "policy/attr.h"

/*
 * Send a state ("READY=1", "STOPPING=1") to $NOTIFY_SOCKET. True if it was sent, or if there is no manager to tell;
 * false with errno set. Never waits: a manager that does not read loses the message.
 */
bool notify(const char *state) NONNULL(1);

/* RELOADING=1 with the time that Type=notify-reload asks for; READY=1 ends it. */
bool notify_reloading(void);

#endif
