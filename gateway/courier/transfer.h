/*
 * transfer.h - one call on its way, for one errand or several of one key. The courier's own: courier's thread only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TRANSFER_H
#define TW_TRANSFER_H

#include <curl/curl.h>

#include "gateway/courier/courier.h"
#include "gateway/courier/reach.h"

struct flight {
	CURL *curl;			/* CURLOPT_PRIVATE is the flight */
	struct curl_slist *fields;
	struct errand *errands, **end;	/* who waits; the first one says what is done, and is borrowed from */
	struct flight *next, **at;	/* the courier's list */
	enum reach reach;
	bool out_of_reach;		/* an address was refused */
	bool too_large;
	char *body;
	size_t n, room, max;
	char *head;
	size_t head_n, head_room;
	char error[CURL_ERROR_SIZE];	/* libcurl's */
};

/* Ready for curl_multi_add_handle(). NULL when out of memory, or when libcurl does not take what the errand says. */
struct flight *flight_new(struct errand *e) NONNULL(1) WUNRES;
/* Another errand of the same key. */
void flight_join(struct flight *f, struct errand *e) NONNULL(1, 2);
/* Take it out again: not the first, from which is borrowed. False for that. */
bool flight_leave(struct flight *f, struct errand *e) NONNULL(1, 2) WUNRES;
/* It has ended: outcome and answer to each errand. Their done() is the caller's to call. */
void flight_land(struct flight *f, CURLcode rc) NONNULL(1);
/* What an errand hears that never flew. */
void errand_fail(struct errand *e, enum errand_outcome o, const char *why) NONNULL(1, 3);
/* Removed from its multi handle. */
void flight_free(struct flight *f);

#endif
