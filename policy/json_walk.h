/*
 * json_walk.h - a long JSON text taken apart member by member, so that no more of it than one member is in memory as values.
 *
 * Only brackets, commas and quotes of the level that is walked are looked at here: each value that comes out must be read with
 * json_strict(), or walked itself, before anything of the text is believed. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_JSON_WALK_H
#define TW_JSON_WALK_H

#include "attr.h"
#include "span.h"

struct json_walk {
	const char *p, *end;
	char open;		/* '{' or '[' */
	bool begun, over;	/* a value came out; the closing bracket was met */
	bool bad;		/* not JSON: nothing comes any more */
};

#define JSON_WALK_KEY 128u

/* text: one value and blanks around it. False when it does not begin with that bracket. */
bool json_walk_open(struct json_walk *w, struct span text, char open) NONNULL(1) WUNRES;
/*
 * The next value, blanks left out; of an object its key too, without escapes and terminated (a key of more than JSON_WALK_KEY - 1
 * bytes is cut, a key with an escape is bad). False behind the last one, and when it is bad.
 */
bool json_walk_next(struct json_walk *w, char key[static JSON_WALK_KEY], struct span *value) NONNULL(1, 2, 3) WUNRES;
/* All came out, and nothing but blanks stands behind the closing bracket. */
bool json_walk_whole(const struct json_walk *w) NONNULL(1) PURE;

#endif
