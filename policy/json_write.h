/*
 * json_write.h - JSON written by hand into a bounded buffer: printable ASCII, no allocation, no printf, no locale.
 *
 * Every byte that is not printable ASCII becomes \u00XX or \uXXXX (UTF-8 as its characters, \ufffd for what is none);
 * quotes and backslashes are escaped. What does not fit sets `full`, and nothing more is written: who wants to leave a
 * member out instead keeps a copy of the writer from before it, and goes back to that.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_JSON_WRITE_H
#define TW_JSON_WRITE_H

#include "attr.h"
#include "span.h"

struct json_writer {
	char *p, *end;		/* next byte, and behind the last one */
	bool full;		/* sticky: something did not fit */
	bool comma;		/* something stands before the next member or element */
};

void json_write_bytes(struct json_writer *w, const char *p, size_t n) NONNULL(1);
/* The comma before it, when one is due, and "key": with a plain key. */
void json_write_key(struct json_writer *w, const char *key) NONNULL(1, 2);
/* The comma before an element of an array, when one is due. */
void json_write_next(struct json_writer *w) NONNULL(1);
/* '{' or '[', '}' or ']': nothing stands before the next member, something does. */
void json_write_open(struct json_writer *w, char bracket) NONNULL(1);
void json_write_close(struct json_writer *w, char bracket) NONNULL(1);
void json_write_number(struct json_writer *w, uint64_t v) NONNULL(1);
/* At most `cut` bytes of s as a string: whole characters only. */
void json_write_text(struct json_writer *w, struct span s, size_t cut) NONNULL(1);
/* Would json_write_text() with this cut be read back as exactly s? */
bool json_write_exact(struct span s, size_t cut) PURE;

#endif
