/*
 * tool.h - what the tools of `tidewaiter policy` share: the table of them, documents from files, requests from lines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_POLICY_TOOL_H
#define TW_POLICY_TOOL_H

#include <stdio.h>

#include "gateway/config/policy_reads.h"
#include "policy/policy.h"

/* One function each: argv[0] is the tool's name, the result the exit status: 0 fine, 1 a problem, 2 not understood. */
#define TOOL(name, summary) int tool_##name(int argc, char **argv);
#include "gateway/commands/policy/tool.def"
#undef TOOL

/* ---- documents (documents.c) ---- */

#define DOCUMENTS_MAX 1024u

/* Policy documents read from files, together, as the gateway does. */
struct documents {
	struct policy_source sources[DOCUMENTS_MAX];
	char *texts[DOCUMENTS_MAX];
	size_t n;
	struct policy_reads reads;
	bool any_vocabulary;	/* --vocabulary none */
	enum policy_linting linting;
	json_t *problems;	/* with --json: array of findings; NULL: they are said on standard error, file:line: in front */
	size_t warnings;	/* among them */
};
/*
 * NULL when out of memory, said on standard error. json: problems go into an array. linting: ENFORCED as the gateway
 * does; REPORTED for tools that ask what is written, which say errors and keep warnings to themselves.
 */
struct documents *documents_new(bool json, enum policy_linting linting) WUNRES;
void documents_free(struct documents *d);
/* Read and compile; once per documents. NULL after problems; what was read stays until documents_free(). */
struct policy *documents_load(struct documents *d, char **paths, size_t n) NONNULL(1) WUNRES;
/* Other texts of theirs, under the same names (files that they refer to are looked up beside them). */
struct policy *documents_compile(struct documents *d, const struct policy_source *sources, size_t n) NONNULL(1) WUNRES;
/* The errors of the array of problems, on standard error. */
void documents_say(const struct documents *d) NONNULL(1);

/* "error" or "warning". */
const char *severity_name(enum lint_severity s) RETURNS_NONNULL PURE;
/* The findings of documents (their problems) as a SARIF log; NULL when out of memory. */
json_t *sarif_new(const json_t *findings) NONNULL(1) WUNRES;

/* ---- the command line ---- */

/* A list of paths: -p a -p b, and what stands behind the options. False: more than DOCUMENTS_MAX. */
struct paths {
	char *path[DOCUMENTS_MAX];
	size_t n;
};
bool paths_add(struct paths *p, char *path) NONNULL(1, 2) WUNRES;
/* RFC 3339 with zone, or seconds since the epoch. */
bool tool_date(const char *text, int64_t *seconds) NONNULL(1, 2) WUNRES;
/* A JSON value on one line of standard output; steals o. False: it could not be written. */
bool tool_print(json_t *o);

/* ---- requests ---- */

/*
 * Every line of `in` that is not empty, without its end, until `each` says false; number: from 1. False when it said
 * so, when a line is longer than 1 MiB or reading failed (said on standard error).
 */
typedef bool tool_line(void *ctx, struct span line, size_t number);
bool tool_lines(FILE *in, const char *name, tool_line *each, void *ctx) NONNULL(1, 2, 3) WUNRES;

#endif
