/*
 * log.h - lines for operators on standard error: time level key=value... msg.
 * Tokens, credentials and signed queries never appear. Any thread; one write(2) a line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LOG_H
#define TW_LOG_H

#include "policy/attr.h"

enum log_level { LOG_ERROR = 0, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level max);
enum log_level log_get_level(void);
/* Control bytes in the formatted text are written as \xNN. Longer than 2 KiB is cut with "...". */
void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...)	log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	do { if (log_get_level() >= LOG_DEBUG) log_line(LOG_DEBUG, __VA_ARGS__); } while (0)

/* Print an error to standard error and exit(1): start-up only. */
void log_fatal(const char *fmt, ...) PRINTF(1, 2) NORETURN;

#endif
