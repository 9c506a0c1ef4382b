/*
 * tag_client.h - what the `tidewaiter tag` commands share: the way to the ledger, names, and how things are printed.
 *
 * The ledger is asked over the control socket of the running gateway; when none runs this process opens the ledger
 * and serves itself through the same code on a socket pair.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TAG_CLIENT_H
#define TW_TAG_CLIENT_H

#include <jansson.h>
#include <stdio.h>

#include "gateway/config/config.h"

struct tag_client;

/* NULL after a line on standard error that says what to do. */
struct tag_client *tag_connect(const struct config *c) NONNULL(1) WUNRES;
void tag_disconnect(struct tag_client *t);
/* Is it a running gateway that answers? */
bool tag_gateway_runs(const struct tag_client *t) NONNULL(1) PURE;

/*
 * Ask, and see every row. The request's reference is taken. *end (NULL: not wanted) is the last line's object, the
 * caller's. False after a line on standard error.
 */
bool tag_ask(struct tag_client *t, json_t *request, void (*row)(void *ctx, json_t *row), void *ctx, json_t **end)
	NONNULL(1, 2) WUNRES;

/* "[UPSTREAM/]REPOSITORY[:TAG]", taken apart. */
struct tag_name {
	const struct config_upstream *upstream;	/* NULL: none was named and none serves it */
	bool named;				/* the text began with an upstream */
	char *registry;				/* as the ledger names it; NULL when upstream is */
	char *repository;
	char *tag;				/* NULL: none */
};
/* False when out of memory. */
bool tag_name_parse(const struct config *c, const char *text, struct tag_name *out) NONNULL(1, 2, 3) WUNRES;
void tag_name_free(struct tag_name *n) NONNULL(1);

/* Origin and path: what the ledger calls an upstream. malloc'd; NULL when out of memory. */
char *tag_registry(const struct config_upstream *u) NONNULL(1) WUNRES;
/* What users call it: the alias; a registry that is no upstream of this file as it is. */
const char *tag_registry_alias(const struct config *c, const char *registry) NONNULL(1, 2) RETURNS_NONNULL;
/* "2026-11-01T12:00:00Z" in buf[32]. */
const char *tag_time(json_int_t at, char buf[static 32]) RETURNS_NONNULL;
/* Text of a row, "" when absent. */
const char *tag_text(const json_t *row, const char *key) NONNULL(2) RETURNS_NONNULL;
/* One JSON object on a line of standard output; the reference is taken. */
void tag_print_json(json_t *o);

#endif
