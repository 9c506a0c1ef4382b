/*
 * log.c - one line, one write(2).
 * Invariant: whatever a text holds, it stays on its line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 2048u

static _Atomic int level_max = LOG_INFO;

void
log_set_level(enum log_level max)
{
	atomic_store_explicit(&level_max, (int)max, memory_order_relaxed);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&level_max, memory_order_relaxed);
}

/* Control bytes as \xNN; returns the length. out has room for four times the text. */
static size_t
escape(const char *text, size_t n, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= ' ' && c != 0x7f) {
			out[len++] = text[i];
			continue;
		}
		out[len++] = '\\';
		out[len++] = 'x';
		out[len++] = "0123456789abcdef"[c >> 4];
		out[len++] = "0123456789abcdef"[c & 15];
	}
	return len;
}

/* Where a line cannot be written there is nobody to tell. */
static void
write_all(const char *p, size_t n)
{
	ssize_t done = write(STDERR_FILENO, p, n);

	(void)done;
}

static void write_line(enum log_level level, const char *fmt, va_list args) PRINTF(2, 0);
static void
write_line(enum log_level level, const char *fmt, va_list args)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	char text[TEXT_MAX + 1], line[64 + 4 * TEXT_MAX + 8];
	struct timespec now;
	struct tm tm;
	size_t n = 0;
	int wrote = vsnprintf(text, sizeof(text), fmt, args);
	bool cut = wrote > (int)TEXT_MAX;

	if (wrote < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(line, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, 32, ".%03ldZ %s ", now.tv_nsec / 1000000, names[level]);
	n += escape(text, cut ? TEXT_MAX : (size_t)wrote, line + n);
	if (cut) {
		memcpy(line + n, "...", 3);
		n += 3;
	}
	line[n++] = '\n';
	write_all(line, n);
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (level > log_get_level())
		return;
	va_start(args, fmt);
	write_line(level, fmt, args);
	va_end(args);
}

void
log_fatal(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line(LOG_ERROR, fmt, args);
	va_end(args);
	exit(1);
}
