/*
 * reads.h - what tests hand to policy documents that refer to time zones and sets: made here, nothing of the system.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_READS_H
#define TW_TESTS_READS_H

#include <stdio.h>

#include "policy/policy.h"

/* The data of a zone without a past: everything follows from the rule at its end. RFC 9636 section 3. */
static inline struct span
reads_tzif(const char *rule, char *buf, size_t size)
{
	/* version 2, one type, one designation; the same counts in both blocks */
	static const char header[44] = { 'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4 };
	static const char type[6 + 4] = { 0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0 };
	char *to = buf;

	for (int block = 0; block < 2; block++) {
		to = mempcpy(to, header, sizeof header);
		to = mempcpy(to, type, sizeof type);
	}
	to += snprintf(to, size - (size_t)(to - buf), "\n%s\n", rule);
	return (struct span){ buf, (size_t)(to - buf) };
}

static inline bool
reads_fetch(void *ctx, enum policy_file kind, const char *from, const char *name, struct span *text, char *err, size_t err_size)
{
	static const char *const zones[][2] = {
		{ "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3" },
		{ "America/New_York", "EST5EDT,M3.2.0,M11.1.0" },
		{ "Asia/Kolkata", "IST-5:30" },
		{ "Pacific/Kiritimati", "<+14>-14" },
	};
	static _Thread_local char buf[256];

	(void)ctx;
	(void)from;
	if (kind == POLICY_FILE_SET && strcmp(name, "bad.txt") == 0) {
		*text = SPAN("# quarantined\nsha256:bad1\n\n  sha256:bad2\t\r\n");
		return true;
	}
	if (kind == POLICY_FILE_SET && strcmp(name, "control.txt") == 0) {
		*text = SPAN("one\ntwo\x01\n");
		return true;
	}
	if (kind == POLICY_FILE_ZONE && strcmp(name, "Bad/Data") == 0) {
		*text = SPAN("TZif2");
		return true;
	}
	for (size_t i = 0; kind == POLICY_FILE_ZONE && i < sizeof zones / sizeof *zones; i++) {
		if (strcmp(zones[i][0], name) == 0) {
			*text = reads_tzif(zones[i][1], buf, sizeof buf);
			return true;
		}
	}
	snprintf(err, err_size, "no such file");
	return false;
}

#endif
