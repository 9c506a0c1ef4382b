/*
 * judge.h - policy asked for a request, and the answers kept for its event: the one that decided, and the others.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_JUDGE_H
#define TW_JUDGE_H

#include "policy/policy.h"

struct request;

#define JUDGED_FACTS	(KEY_REGISTRY_MOUNT_FROM - KEY_REGISTRY_UPSTREAM + 1)
#define JUDGED_ALSO	8u

/* One question and its answer. What it points to lives as long as the request and r->policy. */
struct judged {
	enum policy_action action;		/* ACTION_NONE: nothing was asked */
	struct span repository;
	struct decision decision;
	bool beyond;				/* policy might allow it, but the caller's token was not issued for this */
	struct fact registry[JUDGED_FACTS];	/* what was asked about: registry:Upstream ... registry:MountFrom */
};

/* Is that what the caller's token was issued for? One that is not of the gateway's own has no such bound. */
bool judge_covers(const struct request *r, enum policy_action action, struct span repository) NONNULL(1) PURE;
/* May this caller do that there, to this tag (p == NULL: to what the request names)? *out says so, and is kept nowhere. */
enum verdict judge_ask(struct request *r, enum policy_action action, struct span repository, struct span tag,
    struct judged *out) NONNULL(1, 5);
/*
 * That is what decides the request: r->judged. The one before it is kept beside it when it was another question. What
 * observe mode has let through stays: enforcing would have ended the request there.
 */
void judge_decides(struct request *r, const struct judged *j) NONNULL(1, 2);
/* Keep it beside; of more than JUDGED_ALSO only their number. */
void judge_also(struct request *r, const struct judged *j) NONNULL(1, 2);
/* The record of r->judged with "also":[RECORD ...] ("also_more": how many are missing) into buf. The length; 0: none. */
size_t judge_write(struct request *r, char *buf, size_t size) NONNULL(1, 2) WUNRES;

#endif
