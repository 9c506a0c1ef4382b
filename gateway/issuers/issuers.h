/*
 * issuers.h - the issuers of a configuration with the keys they have now.
 *
 * Keys that are fetched change while the gateway runs. Each setup has a view: an immutable table of its issuers that the
 * courier's thread replaces as a whole. Workers take it by reference and look, once a request, whether it is another one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ISSUERS_H
#define TW_ISSUERS_H

#include "gateway/config/config.h"
#include "gateway/mailbox.h"

struct courier;
struct issuers;		/* one a process */
struct issuer_view;	/* one a setup */
struct spool;

/* NULL when out of memory. */
struct issuers *issuers_new(struct courier *c, struct spool *s, const char *directory) NONNULL(1, 2, 3) WUNRES;
/* The courier has stopped, and all views are gone. */
void issuers_free(struct issuers *is);

/* ---- for a configuration: main thread ---- */

/* With the keys from files only. NULL when out of memory. The configuration outlives it. */
struct issuer_view *issuer_view_new(const struct config *c) NONNULL(1) WUNRES;
/*
 * Where keys are fetched: those that are there already, of another view with the same options or kept from before a
 * restart, are in its table at once. Nothing is fetched yet. False when out of memory.
 */
bool issuers_join(struct issuers *is, struct issuer_view *v) NONNULL(1, 2) WUNRES;
/* Its configuration is in force: keys are fetched from now on. */
void issuers_follow(struct issuers *is, struct issuer_view *v) NONNULL(1, 2);
/* Any thread; NULL is fine. */
void issuer_view_free(struct issuer_view *v);

/* ---- any thread that holds the setup ---- */

/* The table of now, as a reference. */
struct issuer_table *issuer_view_take(struct issuer_view *v) RETURNS_NONNULL NONNULL(1);
/* Its generation, by one atomic load. */
uint32_t issuer_view_generation(const struct issuer_view *v) NONNULL(1);

struct issuer_stats {
	bool fetched;		/* false: keys from a file, nothing below but `keys` means anything */
	unsigned keys;
	int64_t age;		/* seconds; -1 without keys */
	int64_t failures;	/* fetches that failed */
	bool fresh;		/* the last fetch went well */
};
/* Of config->issuer[n]. */
void issuer_view_stats(const struct issuer_view *v, size_t n, struct issuer_stats *out) NONNULL(1, 3);

/* Somebody who waits for a key; belongs to the issuers until done(). */
struct key_wait {
	struct mail mail;		/* first; private */
	struct mailbox *reply_to;
	void (*done)(struct key_wait *w);	/* there: a fetch is over, or none is to be expected; look again */
	struct issuers *issuers;	/* private, and below */
	struct key_source *source;
	struct key_wait *next;
};
/*
 * Wait for the next keys of the issuer of that alias, at most 5 s; the view must live until done(). False, and no done(),
 * when its keys are not fetched or the gateway stops.
 */
bool issuers_wait(struct issuers *is, struct issuer_view *v, const char *alias, struct key_wait *w) NONNULL(1, 2, 3, 4) WUNRES;

#endif
