/*
 * log.h - the audit log for tools of `tidewaiter policy`: events in a span of time, and the decisions in them as requests
 * that can be asked again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_POLICY_LOG_H
#define TW_POLICY_LOG_H

#include <getopt.h>

#include "gateway/audit/reader.h"
#include "policy/query.h"

/* --audit DIR --since DATE --until DATE --json, and --help. */
#define LOG_OPTIONS \
	{ "audit", required_argument, NULL, 'a' }, { "since", required_argument, NULL, 's' }, \
	{ "until", required_argument, NULL, 'u' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }
#define LOG_USAGE \
	"  --audit DIR   the audit directory, or one file of it\n" \
	"  --since DATE  events from then on: 2026-12-18T17:00:00Z, or seconds since 1970\n" \
	"  --until DATE  events before that\n" \
	"  --json        the result as one JSON object on standard output\n"

struct log {
	struct audit_reader reader;
	bool json;
	const char *only;	/* lines without this text are no business of the tool's; NULL: all are */
	uint64_t events;	/* out: that were handed out */
	char first[32], last[32];	/* out: times of the earliest and the latest of them */
};

/* One of LOG_OPTIONS but --help; false: not understood. */
bool log_option(struct log *l, int opt, const char *value) NONNULL(1) WUNRES;
/*
 * Each event that is one, as JSON, until `each` says false. False after saying on standard error what went wrong, `tool`
 * in front; lines that are no events are told of there, too.
 */
typedef bool log_event(void *ctx, const json_t *event);
bool log_read(struct log *l, const char *tool, log_event *each, void *ctx) NONNULL(1, 2, 3) WUNRES;

/* The decisions of an event: the one that decided (0) and those beside it. NULL: no more. */
const json_t *log_record(const json_t *event, size_t i);
/*
 * The request of decision i for policy_query_read_part(): what its record keeps, and what the event itself says of the
 * connection. NULL: none, out of memory, or the record had no room for the caller's ids. To be json_decref()ed.
 */
json_t *log_request(const json_t *event, size_t i) NONNULL(1) WUNRES;
/* "issuer/subject", or what stands for it; into buf. */
const char *log_identity(const json_t *event, char *buf, size_t size) NONNULL(1, 2) RETURNS_NONNULL;
/* A text member of a chain of objects, NULL-terminated: log_text(e, "http", "path", NULL). "" when there is none. */
const char *log_text(const json_t *o, const char *member, ...) RETURNS_NONNULL;

#endif
