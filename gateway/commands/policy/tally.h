/*
 * tally.h - decisions of a log counted in groups, each with who it was and a few events to look at.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_POLICY_TALLY_H
#define TW_POLICY_TALLY_H

#include "gateway/commands/policy/log.h"

#define TALLY_SAMPLES	 5u	/* events named, of a group */
#define TALLY_IDENTITIES 50u	/* told apart, of a group; all others count as "others" */

struct tally {
	json_t *groups;		/* by the text of what they have in common */
};

/* False: out of memory. Clear it in either case. */
bool tally_begin(struct tally *t) NONNULL(1) WUNRES;
void tally_clear(struct tally *t) NONNULL(1);
/* One more of those that have `what` in common, an object of texts; steals it. */
void tally_add(struct tally *t, json_t *what, const json_t *event) NONNULL(1, 3);
/* Array of the groups, the largest first: {what ..., "count", "identities":{NAME:COUNT}, "samples":[ID ...]}. Borrows nothing. */
json_t *tally_groups(const struct tally *t) NONNULL(1) WUNRES;
/* Identities and samples, below the lines of a group. */
void tally_print(const json_t *group) NONNULL(1);

/* A tool that is a tally of the log and nothing more. */
struct tally_tool {
	const char *name, *usage;
	const char *only;	/* as in struct log */
	const char *none;	/* what is said when there is nothing */
	log_event *each;	/* its ctx is the struct tally */
	void (*print)(const json_t *group);	/* the lines above tally_print() */
};
/* The tool from its command line to its exit status. --json: {"events","first","last","groups"}. */
int tally_run(const struct tally_tool *tool, int argc, char **argv) NONNULL(1, 3) WUNRES;

/* Text that somebody else chose, for a terminal: without what moves its cursor. */
void say(const char *text) NONNULL(1);

#endif
