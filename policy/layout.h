/*
 * layout.h - JSON text as a tree that keeps strings and numbers as they are written, and as text again, for people.
 *
 * Pure; nothing is decoded but where said, so that what is written means what was read.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LAYOUT_H
#define TW_LAYOUT_H

#include "policy/arena.h"
#include "policy/attr.h"
#include "policy/span.h"

enum node_kind {
	NODE_LEAF = 0, /* a string, number, true, false or null */
	NODE_ARRAY,
	NODE_OBJECT,
};
struct node {
	struct node *first, *next; /* elements or members, in order */
	size_t n; /* of them */
	struct span name; /* of a member, with its quotes; p == NULL: none */
	struct span text; /* LEAF: as written */
	enum node_kind kind;
	bool open; /* never on one line */
	size_t width; /* on one line: layout_write()'s */
};

/* The tree of a text that json_strict() accepted, which bounds its depth; borrows from it. NULL when out of memory. */
struct node *layout_read(struct arena *a, struct span text) NONNULL(1) WUNRES;

/*
 * Two blanks a level; an array or object that fits into `columns` stands on one line, unless it or something in it is
 * open. Ends with a line feed. {NULL,0} when out of memory.
 */
struct span layout_write(struct arena *a, struct node *root, size_t columns) NONNULL(1, 2) WUNRES;

#endif
