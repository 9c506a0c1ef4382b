/*
 * query.h - a request to the policy, written as JSON: what `policy decide` and the test vectors ask.
 *
 * {"principal":["issuer:gh","subject:gh/x"], "action":"registry:PullBlob", "resource":"repo:local/team/app",
 *  "context":{"net:SourceIp":"192.0.2.1", "jwt:project":"shop", "registry:Tag":{"unknown":true}}}
 * A value is a string, number, boolean, null (absent), an array (several values), {"unknown":true} or
 * {"later":true}; {"unknown":true,"was":"0","age":3600} is not known now, and was so an hour ago.
 * jwt:<path> gives the claim at exactly this path. registry:Upstream and registry:Repository follow from the
 * resource, principal:Type from the ids, client:Product, client:Version and client:Os from client:UserAgent, where
 * they are not given. time:Now sets the time of the request, principal:AuthAgeSeconds when the token was issued.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_QUERY_H
#define TW_QUERY_H

#include "policy/policy.h"

struct policy_query {
	struct policy_request request;	/* valid until policy_query_clear() */
	struct identity who;		/* private, like all that follows */
	struct fact facts[KEY_MAX];
	struct arena *arena;
	json_t *claims;
};

/*
 * Read an object; now: seconds since the epoch, of a request that does not say its time (0: unknown). False with a
 * reason; what it holds may borrow from o. Clear it in either case.
 */
bool policy_query_read(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
    NONNULL(1, 4) WUNRES;
/*
 * Likewise, for a snapshot of any vocabulary: action and resource are any text, context any names; principal may be
 * left out.
 */
bool policy_query_read_any(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
    NONNULL(1, 4) WUNRES;
/*
 * Likewise, for a part of a request, as a record of a decision keeps it (policy_record_write()): what it does not name may
 * have been there all the same, and is LATER. So is {"cut":...}.
 */
bool policy_query_read_part(struct policy_query *q, const json_t *o, int64_t now, char *err, size_t err_size)
    NONNULL(1, 4) WUNRES;
void policy_query_clear(struct policy_query *q) NONNULL(1);

/* "Allow", "ExplicitDeny", "ImplicitDeny", "Need". */
const char *verdict_name(enum verdict v) RETURNS_NONNULL PURE;

#endif
