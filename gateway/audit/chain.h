/*
 * chain.h - the hash chain of audit lines: how a line is completed, how a file of them is checked.
 *
 * A complete line is {...,"seq":N,"prev":"<64 hex>"} and a newline; prev is the SHA-256 of the line before it,
 * without its newline.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_AUDIT_CHAIN_H
#define TW_AUDIT_CHAIN_H

#include <openssl/evp.h>

#include "gateway/audit/event.h"
#include "policy/attr.h"
#include "policy/span.h"

#define CHAIN_HASH	32u
#define CHAIN_TAIL	112u	/* no tail is longer: 7 + 20 digits + 9 + 64 + 3 */
#define CHAIN_LINE	(EVENT_MAX + CHAIN_TAIL)
#define CHAIN_TIME	27u	/* 2026-01-31T23:59:59.000000Z */

/* The last line there is; all zero before the first. */
struct chain {
	uint64_t seq;
	unsigned char hash[CHAIN_HASH];
};

/* The tail of the line after `last`, newline included; returns its length. */
size_t chain_tail(const struct chain *last, char out[static CHAIN_TAIL]) NONNULL(1);
/* Go on to a complete line (without its newline), which has to be the next one. False: the digest failed. */
bool chain_next(struct chain *c, EVP_MD_CTX *md, struct span line) NONNULL(1, 2) WUNRES;
void chain_hex(const unsigned char hash[static CHAIN_HASH], char out[static 2 * CHAIN_HASH + 1]);

/* What was found in one file, or in several one after the other. Begin with all zero. */
struct chain_scan {
	struct chain chain;
	bool anchored;			/* chain is known: the next line has to follow it; else any line may be the first */
	uint64_t lines, first_seq;	/* in all files */
	char first_time[CHAIN_TIME + 1], last_time[CHAIN_TIME + 1];
	/* of the file scanned last */
	uint64_t file_first_seq, file_lines;
	uint64_t good, size;		/* bytes: up to the end of the last good line; in the file */
	bool torn;			/* all that follows the last good line is a line without its newline */
	char reason[128];		/* why a line is not good; empty when all are */
	void (*progress)(uint64_t bytes);	/* may be NULL; called now and then */
};

/*
 * Read fd from its start and check every line: shape, seq, prev. Stops at the first that is not good: reason says
 * why, and the line's number in the file is file_lines + 1. False only when reading failed (errno; 0: out of memory).
 */
bool chain_scan_file(struct chain_scan *s, int fd) NONNULL(1) WUNRES;

#endif
