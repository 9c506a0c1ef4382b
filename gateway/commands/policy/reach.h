/*
 * reach.h - what who-can and what-can share: their options, the question, and the answer in words.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COMMAND_REACH_H
#define TW_COMMAND_REACH_H

#include "gateway/commands/policy/log.h"
#include "gateway/commands/policy/tool.h"
#include "policy/reach.h"

struct reach_command {
	const char *usage;
	struct paths files;
	char **words; /* what stands behind the options */
	size_t n_words;
	json_t *context;
	int64_t now;
	struct log log; /* its json; who can: an audit log, when there is a path */
};
/*
 * Read the command line. -1: go on; else the exit status, after saying why. Whatever the result reach_command_free() it.
 */
int reach_command_read(struct reach_command *c, int argc, char **argv) NONNULL(1, 3) WUNRES;
void reach_command_free(struct reach_command *c) NONNULL(1);
/* Ask the policies of the command line; NULL after saying why. Array of statements (policy/reach.h). */
json_t *reach_command_ask(struct reach_command *c, struct reach_question *question) NONNULL(1, 2) WUNRES;

/*
 * The statement in words, behind its first line: what is left of it, and what takes it back; with resources, of which
 * actions and on which resources that does.
 */
void reach_print_rest(const json_t *statement, bool resources) NONNULL(1);
/* The texts of an array on one line, without `head` in front of each. */
void reach_print_list(const json_t *list, const char *head) NONNULL(2);

#endif
