/*
 * regex.c - see regex.h.
 * Invariant: a match that was cut short is UNKNOWN, never "no".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/regex.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define NEST_MAX	32u		/* parentheses in parentheses */
#define SCRATCH		1024u		/* for the match block of one capture */

struct regex {
	struct regex *next;
	pcre2_code *code;
	pcre2_match_context *limits;
	bool compiled; /* to machine code */
};

static bool
refuse(char *err, size_t err_size, const char *reason)
{
	snprintf(err, err_size, "%s", reason);
	return false;
}

static pcre2_code *
compile(struct span s, char *err, size_t err_size)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code = NULL;
	PCRE2_SIZE offset = 0;
	PCRE2_UCHAR text[160];
	int error = 0;

	if (context == NULL)
		return refuse(err, err_size, "out of memory"), NULL;
	pcre2_set_parens_nest_limit(context, NEST_MAX);
	code = pcre2_compile((PCRE2_SPTR)s.p, s.n, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY |
	    PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &error, &offset, context);
	pcre2_compile_context_free(context);
	if (code == NULL) {
		pcre2_get_error_message(error, text, sizeof text);
		snprintf(err, err_size, "not a regular expression: %s, at byte %zu", (const char *)text, offset + 1);
	}
	return code;
}

struct regex *
regex_new(struct span s, struct regex **list, size_t *bytes, char *err, size_t err_size)
{
	struct regex *x;
	size_t size = 0, jit = 0;

	if (span_starts(s, SPAN("(*")))
		return refuse(err, err_size, "options in front of a regular expression (\"(*...\") are not taken"), NULL;
	x = calloc(1, sizeof *x);
	if (x == NULL)
		return refuse(err, err_size, "out of memory"), NULL;
	x->code = compile(s, err, err_size);
	x->limits = x->code == NULL ? NULL : pcre2_match_context_create(NULL);
	if (x->limits == NULL) {
		if (x->code != NULL)
			refuse(err, err_size, "out of memory");
		pcre2_code_free(x->code);
		free(x);
		return NULL;
	}
	pcre2_set_match_limit(x->limits, REGEX_MATCH_LIMIT);
	pcre2_set_depth_limit(x->limits, REGEX_MATCH_LIMIT);
	pcre2_jit_compile(x->code, PCRE2_JIT_COMPLETE);	/* without it: slower, by the same limits */
	pcre2_pattern_info(x->code, PCRE2_INFO_SIZE, &size);
	pcre2_pattern_info(x->code, PCRE2_INFO_JITSIZE, &jit);
	x->compiled = jit > 0;
	*bytes += sizeof *x + size + jit;
	x->next = *list;
	*list = x;
	return x;
}

void
regex_free_all(struct regex *list)
{
	while (list != NULL) {
		struct regex *next = list->next;

		pcre2_match_context_free(list->limits);
		pcre2_code_free(list->code);
		free(list);
		list = next;
	}
}

/* ---- matching in memory of the caller's stack ---- */

struct scratch {
	alignas(max_align_t) char bytes[SCRATCH];
	size_t used;
};

static void *
scratch_alloc(PCRE2_SIZE n, void *ctx)
{
	struct scratch *s = ctx;
	size_t rounded = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	char *p = s->bytes + s->used;

	if (n > SCRATCH || rounded > SCRATCH - s->used)
		return malloc(n);
	s->used += rounded;
	return p;
}

static void
scratch_free(void *p, void *ctx)
{
	const struct scratch *s = ctx;
	uintptr_t at = (uintptr_t)p, start = (uintptr_t)s->bytes;

	if (at < start || at >= start + SCRATCH)
		free(p);
}

enum regex_result
regex_match(const struct regex *x, struct span s)
{
	UNSET struct scratch scratch;
	pcre2_general_context *general;
	pcre2_match_data *match;
	int rc = PCRE2_ERROR_NOMEMORY;

	if (s.n > REGEX_SUBJECT_MAX)
		return REGEX_UNKNOWN;
	scratch.used = 0;
	general = pcre2_general_context_create(scratch_alloc, scratch_free, &scratch);
	match = general == NULL ? NULL : pcre2_match_data_create(1, general);
	if (match != NULL && x->compiled)
		rc = pcre2_jit_match(x->code, (PCRE2_SPTR)(s.n == 0 ? "" : s.p), s.n, 0, 0, match, x->limits);
	else if (match != NULL)
		rc = pcre2_match(x->code, (PCRE2_SPTR)(s.n == 0 ? "" : s.p), s.n, 0, 0, match, x->limits);
	pcre2_match_data_free(match);
	pcre2_general_context_free(general);
	if (rc == PCRE2_ERROR_NOMATCH)
		return REGEX_NO;
	return rc >= 0 ? REGEX_YES : REGEX_UNKNOWN;
}
