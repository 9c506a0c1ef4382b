/*
 * control_quarantine.c - verbs of the control socket about digests that nobody gets, and about who lists a blob.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/evidence/blocks.h"
#include "gateway/operator/control.h"

#define TEXT_MAX   4096u
#define REASON_MAX 512u
#define GRANTS_SHOWN 10000u

/* ---- changes ---- */

struct change {
	struct block_change change;
	struct control_call *call;
};

/* On the control's thread: recorded, whether the client is still there or not. */
static void
on_changed(struct block_change *c)
{
	struct change *x = (struct change *)(void *)c;
	struct audit_event e = { .event = c->kind == BLOCK_NONE ? "quarantine.removed" : "quarantine.added", .detail = c->reason,
		.registry = { .repository = c->repository, .digest = span_of(c->digest) } };

	if (c->ok && (c->kind == BLOCK_NONE ? c->was : !c->was))
		control_record(x->call, &e, c->event_id);
	control_answered(x->call);
}

/* NULL after an error was answered. */
static struct change *
change_new(struct control_call *call, enum block_kind kind)
{
	struct change *x;
	bool ok = true;

	if (call->env->blocks == NULL) {
		control_error(call, "there is no quarantine here");
		return NULL;
	}
	x = calloc(1, sizeof *x);
	if (x == NULL) {
		control_error(call, "out of memory");
		return NULL;
	}
	call->extra = x;
	x->call = call;
	x->change = (struct block_change){ .kind = kind, .who = span_of(call->who), .source = span_of(call->source), .now = time(NULL),
		.reason = span_of(control_text(call, "reason", REASON_MAX, &ok)), .done = on_changed };
	if (!ok) {
		control_error(call, "reason is text of at most %u bytes", REASON_MAX);
		return NULL;
	}
	if (!control_digest(call, "digest", x->change.digest))
		return NULL;
	if (x->change.digest[0] == '\0') {
		control_error(call, "which digest?");
		return NULL;
	}
	return x;
}

static void
submit(struct change *x)
{
	x->change.event_id = control_event_id(x->call);
	x->change.reply_to = control_wait(x->call);
	blocks_change(x->call->env->blocks, &x->change);
}

/* {"digest", "reason"} */
static void
add_begin(struct control_call *call)
{
	struct change *x = change_new(call, BLOCK_QUARANTINED);

	if (x == NULL)
		return;
	x->change.everywhere = true;
	submit(x);
}

/* {"digest"} */
static void
remove_begin(struct control_call *call)
{
	struct change *x = change_new(call, BLOCK_NONE);

	if (x == NULL)
		return;
	x->change.everywhere = true;
	submit(x);
}

/* {"registry", "repository", "digest"}: pending or failed there */
static void
release_begin(struct control_call *call)
{
	struct change *x = change_new(call, BLOCK_NONE);
	bool ok = true;

	if (x == NULL)
		return;
	x->change.registry = span_of(control_text(call, "registry", TEXT_MAX, &ok));
	x->change.repository = span_of(control_text(call, "repository", TEXT_MAX, &ok));
	if (!ok || x->change.registry.n == 0 || x->change.repository.n == 0) {
		control_error(call, "release needs a registry and a repository");
		return;
	}
	submit(x);
}

static void
change_more(struct control_call *call)
{
	const struct change *x = call->extra;

	if (!x->change.ok)
		control_error(call, x->change.kind == BLOCK_NONE ? "it could not be written down, and stays blocked; see the log of the gateway"
								 : "it is blocked, but could not be written down: a restart forgets it");
	else
		control_end(call, json_pack("{s:b}", "was", x->change.was));
}

/* ---- looking ---- */

static void
list_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL)
		return;
	o->op.verb = LEDGER_BLOCKS;
	control_submit(call);
}

static void
list_more(struct control_call *call)
{
	struct ledger_op *op = &call->ops[0].op;

	if (op->answer != LEDGER_OK) {
		control_error(call, "the tag ledger failed; see the log of the gateway");
		return;
	}
	for (const struct ledger_block *b = op->block; b != NULL; b = b->next)
		control_row(call, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "digest", b->digest, "kind",
		    control_json_text(b->kind), "registry", control_json_text(b->registry), "repository", control_json_text(b->repository),
		    "reason", control_json_text(b->reason), "who", control_json_text(b->who), "source", control_json_text(b->source),
		    "event_id", control_json_text(b->event_id), "at", (json_int_t)b->at));
	ledger_blocks_free(op->block);
	op->block = NULL;
	control_end(call, json_object());
}

/* {"digest"}: manifests that list it, anywhere */
static void
listed_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL || !control_digest(call, "digest", o->op.digest))
		return;
	call->page.limit = GRANTS_SHOWN;
	o->op.page = &call->page;
	o->op.verb = LEDGER_GRANT_ALL;
	control_submit(call);
}

static void
listed_more(struct control_call *call)
{
	if (call->ops[0].op.answer != LEDGER_OK) {
		control_error(call, "a digest that is none, or the tag ledger failed; see the log of the gateway");
		return;
	}
	for (const struct ledger_row *r = call->page.rows; r != NULL; r = r->next)
		control_row(call, json_pack("{s:o, s:o, s:o, s:o, s:I}", "registry", control_json_text(r->registry), "repository",
		    control_json_text(r->repository), "tag", control_json_text(r->tag), "digest", control_json_text(r->digest), "at",
		    (json_int_t)r->at));
	control_end(call, json_object());
}

const struct control_verb control_quarantine_verbs[] = {
	{ "quarantine.add", add_begin, change_more },
	{ "quarantine.remove", remove_begin, change_more },
	{ "quarantine.release", release_begin, change_more },
	{ "quarantine.list", list_begin, list_more },
	{ "blob.listed", listed_begin, listed_more },
};
const size_t control_n_quarantine_verbs = sizeof control_quarantine_verbs / sizeof *control_quarantine_verbs;
