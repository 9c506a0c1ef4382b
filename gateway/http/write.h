/*
 * write.h - heads written from structure; nothing from the wire is copied unchecked.
 *
 * A value that holds a byte a field value may not hold (anything but HTAB, SP..~ and obs-text) makes
 * the whole head fail: response splitting cannot happen here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_HTTP_WRITE_H
#define TW_HTTP_WRITE_H

#include "gateway/http/head.h"

struct http_writer {
	char *p;
	size_t n, size;
	bool failed;		/* sticky: does not fit, or a byte that may not be sent */
};

void http_writer_init(struct http_writer *w, char *buf, size_t size) NONNULL(1, 2);
/* "METHOD target HTTP/1.1\r\n" */
void http_write_request_line(struct http_writer *w, enum http_method m, struct span target) NONNULL(1);
/* "HTTP/1.1 status reason\r\n"; reason is cut at the first byte outside SP..~ */
void http_write_status_line(struct http_writer *w, unsigned status, struct span reason) NONNULL(1);
void http_write_field(struct http_writer *w, struct span name, struct span value) NONNULL(1);
void http_write_field_id(struct http_writer *w, enum http_field_id id, struct span value) NONNULL(1);
void http_write_number(struct http_writer *w, enum http_field_id id, uint64_t value) NONNULL(1);
/* The empty line. Returns the whole head, or {NULL,0} when anything failed. */
struct span http_write_end(struct http_writer *w) NONNULL(1) WUNRES;

#endif
