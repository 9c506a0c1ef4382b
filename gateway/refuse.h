/*
 * refuse.h - the one vocabulary of refusals (rows in refuse.def).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REFUSE_H
#define TW_REFUSE_H

#include "policy/attr.h"
#include "policy/span.h"

enum refuse {
	REFUSE_NONE = 0,	/* nothing was refused */
#define REFUSE(symbol, http, code, severity, text) REFUSE_##symbol,
#include "gateway/refuse.def"
#undef REFUSE
	REFUSE_MAX
};

enum severity { SEVERITY_INFO, SEVERITY_WARN, SEVERITY_ALERT };

struct refusal {
	const char *symbol;	/* lower case: "tag_locked" */
	unsigned status;	/* HTTP */
	const char *code;	/* OCI distribution-spec error code */
	enum severity severity;
	const char *text;	/* one line; also the HTTP reason phrase */
};

/* Policy denies it, and nothing else: what policy.mode = observe lets through. */
bool refuse_is_policy(enum refuse r) PURE;
/* The row of r; r must be a real refusal. Static storage. */
const struct refusal *refusal_of(enum refuse r) RETURNS_NONNULL PURE;

#endif
