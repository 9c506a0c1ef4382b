/*
 * judge.c - see judge.h.
 * Invariant: what is written is what was asked: facts that changed since are put back for it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/request.h"
#include "policy/json_write.h"

#define ALSO_ROOM	4096u	/* of a record, when there are others beside it */
#define ALSO_END	32u	/* ],"also_more":NNN} */

static void
know_tag(struct request *r, struct span tag)
{
	r->facts[KEY_REGISTRY_TAG] = (struct fact){ .state = FACT_PRESENT, .value = tag };
	r->facts[KEY_REGISTRY_REFERENCE_TYPE] = (struct fact){ .state = FACT_PRESENT, .value = SPAN("tag") };
}

static struct policy_request
question(const struct request *r, const struct judged *j, const struct fact *facts)
{
	return (struct policy_request){
		.action = j->action,
		.upstream = span_of(r->upstream_config->alias),
		.repository = j->repository,
		.who = r->authn.who,
		.now = r->time_us / 1000000,
		.facts = facts,
	};
}

bool
judge_covers(const struct request *r, enum policy_action action, struct span repository)
{
	const struct identity *token = r->authn.token;

	/* the entries of a catalog are asked about one by one: it is the catalog that the token is for */
	return token == NULL ||
	    access_covers(token->access, r->route.op == ROUTE_CATALOG ? ACTION_ListRepositories : action, repository);
}

enum verdict
judge_ask(struct request *r, enum policy_action action, struct span repository, struct span tag, struct judged *out)
{
	struct fact *registry = r->facts + KEY_REGISTRY_UPSTREAM, asked[JUDGED_FACTS];
	struct policy_request q;

	*out = (struct judged){ .action = action, .repository = repository };
	memcpy(asked, registry, sizeof asked);
	/* the source of a mount is another repository: for this one question */
	r->facts[KEY_REGISTRY_REPOSITORY] = (struct fact){ .state = repository.n > 0 ? FACT_PRESENT : FACT_ABSENT,
		.value = repository };
	if (tag.p != NULL)
		know_tag(r, tag);
	q = question(r, out, r->facts);
	policy_decide(r->policy, &q, &out->decision);
	memcpy(out->registry, registry, sizeof asked);
	memcpy(registry, asked, sizeof asked);
	/* what policy denies no token will open, and its answer is the clearer one; what it allows another token would */
	if ((out->decision.verdict == VERDICT_ALLOW || out->decision.verdict == VERDICT_NEED) && !judge_covers(r, action, repository)) {
		out->beyond = true;
		out->decision = (struct decision){ .verdict = VERDICT_DENY };
	}
	return out->decision.verdict;
}

static bool
same_question(const struct judged *a, const struct judged *b)
{
	const unsigned tag = KEY_REGISTRY_TAG - KEY_REGISTRY_UPSTREAM;

	return a->action == b->action && span_eq(a->repository, b->repository) &&
	    span_eq(a->registry[tag].value, b->registry[tag].value);
}

/* A tag may be somebody else's text, that is gone before the event is written. */
static void
own_tag(struct request *r, struct judged *j)
{
	struct fact *tag = &j->registry[KEY_REGISTRY_TAG - KEY_REGISTRY_UPSTREAM];

	if (tag->value.n == 0 || tag->value.p == r->route.reference.p)
		return;
	tag->value = arena_dup(r->arena, tag->value);
	if (tag->value.p == NULL)
		tag->state = FACT_UNKNOWN;
}

void
judge_also(struct request *r, const struct judged *j)
{
	struct judged *kept;

	if (j->beyond)
		return;
	for (unsigned i = 0; i < r->n_also; i++)
		if (same_question(r->also[i], j))
			return;
	kept = r->n_also < JUDGED_ALSO ? arena_alloc(r->arena, sizeof *kept) : NULL;
	if (kept == NULL) {
		r->more_also++;
		return;
	}
	*kept = *j;
	own_tag(r, kept);
	r->also[r->n_also++] = kept;
}

void
judge_decides(struct request *r, const struct judged *j)
{
	/* asked again with more known, it is the same question */
	bool same = same_question(&r->judged, j);

	if (j->beyond)
		return;
	if (r->observed.why != REFUSE_NONE) {
		if (!same)
			judge_also(r, j);
		return;
	}
	if (r->judged.action != ACTION_NONE && !same)
		judge_also(r, &r->judged);
	r->judged = *j;
	own_tag(r, &r->judged);
}

static void
put_back(const struct request *r, const struct judged *j, struct fact facts[static KEY_MAX])
{
	memcpy(facts, r->facts, KEY_MAX * sizeof *facts);
	memcpy(facts + KEY_REGISTRY_UPSTREAM, j->registry, sizeof j->registry);
}

/* Behind the record at buf, n bytes long. */
static size_t
write_also(struct request *r, const struct policy_request *base, char *buf, size_t n, size_t size)
{
	struct json_writer w = { .p = buf + n - 1, .end = buf + size, .comma = true };
	unsigned left = r->more_also;

	json_write_key(&w, "also");
	json_write_open(&w, '[');
	for (unsigned i = 0; i < r->n_also; i++) {
		UNSET struct fact facts[KEY_MAX];
		struct policy_request q = question(r, r->also[i], facts);
		struct json_writer mark = w;
		size_t room;

		put_back(r, r->also[i], facts);
		json_write_next(&w);
		room = (size_t)(w.end - w.p);
		n = room <= ALSO_END ? 0 : policy_record_write(r->policy, &q, &r->also[i]->decision, base, w.p, room - ALSO_END);
		if (n == 0) {
			w = mark;
			left += r->n_also - i;
			break;
		}
		w.p += n;
	}
	json_write_close(&w, ']');
	if (left > 0) {
		json_write_key(&w, "also_more");
		json_write_number(&w, left);
	}
	json_write_close(&w, '}');
	return w.full ? 0 : (size_t)(w.p - buf);
}

size_t
judge_write(struct request *r, char *buf, size_t size)
{
	bool others = r->n_also + r->more_also > 0;
	UNSET struct fact facts[KEY_MAX];
	struct policy_request q;
	size_t n;

	if (r->policy == NULL || r->facts == NULL || r->judged.action == ACTION_NONE)
		return 0;
	put_back(r, &r->judged, facts);
	q = question(r, &r->judged, facts);
	n = policy_record_write(r->policy, &q, &r->judged.decision, NULL, buf, others ? size - ALSO_ROOM : size);
	return n > 0 && others ? write_also(r, &q, buf, n, size) : n;
}
