/*
 * event.h - one audit event: what happened, to be written as one JSON object on one line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUDIT_EVENT_H
#define TW_AUDIT_EVENT_H

#include "policy/attr.h"
#include "policy/span.h"

#define EVENT_ID_LEN 26		/* ULID, Crockford base 32 */

enum audit_decision { AUDIT_DENY = 0, AUDIT_ALLOW, AUDIT_ERROR };

/* Absent text (n == 0) and numbers of 0 in the optional groups are left out of the line. */
struct audit_event {
	int64_t time_us;		/* microseconds since the epoch, when the request head arrived */
	char id[EVENT_ID_LEN + 1];
	const char *event;		/* "request", or a state event: "tag.claimed", "gateway.start" ... */
	struct span action;		/* "manifest.put"; "none" when the request named none */
	enum audit_decision decision;
	const char *reason;		/* refusal symbol in lower case, "ok" when allowed */
	struct span sid, policy;	/* deciding statement; bundle hash */
	struct span old_policy;		/* a reload: the hash before it */
	struct span record;		/* the decision record: a JSON object in ASCII, at most EVENT_RECORD_MAX bytes, copied as it is */
	struct { const char *reason; struct span sid; } observed;	/* what policy.mode = enforce would have refused it for */
	struct span detail;		/* token outcome, manifest error ...: for the investigator, escaped, cut at 512 */
	struct { struct span issuer, subject, method; } actor;	/* method: bearer, basic, certificate, anonymous */
	/* ip in text form: the client's; peer: of the proxy it came through, when that is another */
	struct { struct span ip, peer; unsigned port; } source;
	struct {
		struct span method, path, user_agent, version;	/* as sent: hostile bytes; path without query values of leases */
		unsigned status;
		uint64_t bytes_in, bytes_out;			/* body bytes */
	} http;
	struct { struct span version, cipher, sni; } tls;
	struct { struct span upstream, repository, reference, tag, digest, old_digest, media_type; } registry;
	struct { struct span id, scope; } token;	/* jti of the one that was issued (then its scope) or shown, of ours */
	struct { unsigned status; int64_t duration_us; } upstream;
	int64_t duration_us;
};

/* Time and id, for events that no worker writes. */
void event_now(struct audit_event *e) NONNULL(1);

/* A ULID from milliseconds and 10 random bytes; NUL-terminated. */
void event_id(int64_t ms, const unsigned char random[static 10], char out[static EVENT_ID_LEN + 1]);

/*
 * Append the event to buf as one JSON object WITHOUT the closing brace and newline: the audit thread completes it
 * with ,"seq":N,"prev":"..."}.  Every byte that is not printable ASCII becomes \u00XX (invalid or valid UTF-8
 * alike becomes \u escapes of its bytes' code points when valid, \ufffd when not), quotes and backslashes are
 * escaped; texts longer than 1024 bytes (detail 512) are cut and "<field>_length" gives the original length. Texts so
 * hostile that all of them together do not fit like this are cut at 512, 256 or 128 bytes instead.
 * Returns the length, or 0 when it does not fit into size (EVENT_MAX always fits).
 */
#define EVENT_RECORD_MAX 16384u
#define EVENT_MAX (32768u + EVENT_RECORD_MAX)
size_t event_write(const struct audit_event *e, char *buf, size_t size) NONNULL(1, 2) WUNRES;

#endif
