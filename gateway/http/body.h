/*
 * body.h - the body of one message as a stream of payload spans (RFC 9112 sections 6 and 7).
 *
 * Pure and without buffers: payload spans point into the caller's input. Chunk extensions and trailers
 * are checked for syntax, bounded and dropped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HTTP_BODY_H
#define TW_HTTP_BODY_H

#include "gateway/http/head.h"

enum http_body_state {
	HTTP_BODY_BAD = 0,	/* framing broken: the connection must be closed */
	HTTP_BODY_MORE,		/* all input used, more is needed */
	HTTP_BODY_DATA,		/* *payload holds bytes; call again with the rest */
	HTTP_BODY_END,		/* the message is over; the rest of the input belongs to the next one */
};

struct http_body {
	enum http_framing framing;
	uint64_t left;		/* payload bytes of the message (LENGTH) or of the chunk (CHUNKED) still to come */
	unsigned phase;		/* private to body.c */
	unsigned digits;	/* private */
	size_t overhead;	/* private: bytes of extensions and trailers so far */
};

/* For the body that follows a parsed head. */
void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length) NONNULL(1);

/*
 * Read from `in`. *used says how many bytes of `in` are finished with (including those of *payload).
 * Call again with the rest while it says DATA. For HTTP_FRAMING_UNTIL_CLOSE END never comes: the caller
 * calls http_body_eof(). After END or BAD further calls return the same and use nothing.
 */
enum http_body_state http_body_read(struct http_body *b, struct span in, size_t *used, struct span *payload)
    NONNULL(1, 3, 4) WUNRES;

/* The peer closed: is the body complete now? */
bool http_body_eof(const struct http_body *b) NONNULL(1) WUNRES;
/* True when nothing of the message is left to read (END was or would be returned without more input). */
bool http_body_done(const struct http_body *b) NONNULL(1) PURE;

/* Longest chunk head http_chunk_head() writes: 16 hex digits CRLF. */
#define HTTP_CHUNK_HEAD_MAX 18
/* Write "<hex>\r\n" for a chunk of n > 0 payload bytes into out; returns its length. "\r\n" follows the payload. */
size_t http_chunk_head(char out[static HTTP_CHUNK_HEAD_MAX], size_t n);
#define HTTP_CHUNK_LAST SPAN("0\r\n\r\n")

#endif
