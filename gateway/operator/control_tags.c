/*
 * control_tags.c - verbs of the control socket about tags: list, history, repository, release, import.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/operator/control.h"

#define PAGE	 256u /* rows that the ledger looks at in one turn */
#define TEXT_MAX 4096u

/* ---- requests ---- */

/* registry, repository and tag of the request, in all operations. False after an error was answered. */
static bool
key_of(struct control_call *call, struct ledger_op *op)
{
	bool ok = true;

	op->registry = span_of(control_text(call, "registry", TEXT_MAX, &ok));
	op->repository = span_of(control_text(call, "repository", TEXT_MAX, &ok));
	op->tag = span_of(control_text(call, "tag", TEXT_MAX, &ok));
	if (!ok)
		control_error(call, "registry, repository and tag are text");
	return ok;
}

static const char *
answer_name(enum ledger_answer a)
{
	switch (a) {
	case LEDGER_DOWN:
		return "down";
	case LEDGER_ABSENT:
		return "absent";
	case LEDGER_SAME:
		return "same";
	case LEDGER_LOCKED:
		return "differs";
	case LEDGER_BUSY:
		return "busy";
	case LEDGER_UNRESOLVED:
		return "unresolved";
	case LEDGER_OK:
		return "done";
	case LEDGER_CLAIMED_NEW:
	case LEDGER_CLAIMED_OVER:
	case LEDGER_CLAIMED_AGAIN:
	case LEDGER_CLAIMED_OTHER:
	case LEDGER_RESTORED:
	case LEDGER_MANY:
		break;
	}
	return "unknown";
}

static bool
is_down(struct control_call *call, const struct ledger_op *op)
{
	if (op->answer == LEDGER_DOWN)
		control_error(call, "the tag ledger failed; see the log of the gateway");
	return op->answer == LEDGER_DOWN;
}

/* ---- pages ---- */

static void
say_row(struct control_call *call, const struct ledger_row *r, bool history)
{
	json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "registry",
	    control_json_text(r->registry), "repository", control_json_text(r->repository), "tag",
	    control_json_text(r->tag), history ? "what" : "state", control_json_text(r->state),
	    "digest", control_json_text(r->digest), "old_digest", control_json_text(r->old_digest),
	    "who", control_json_text(r->who), "source", control_json_text(r->source), "event_id",
	    control_json_text(r->event_id), "at", (json_int_t)r->at);

	if (row != NULL && history)
		json_object_set_new(row, "seq", json_integer(r->seq));
	if (row != NULL && !history) {
		json_object_set_new(row, "old_state", control_json_text(r->old_state));
		json_object_set_new(row, "claimed_at", json_integer(r->claimed_at));
		json_object_set_new(row, "held", json_boolean(r->held));
	}
	control_row(call, row);
}

/* Rows of the last page; the next one begins after the last row, which stays until it is answered. */
static void
page_more(struct control_call *call)
{
	struct ledger_op *op = &call->ops[0].op;
	struct ledger_page *p = &call->page;
	struct ledger_row *last = p->last, *rows = p->rows, *next;

	if (is_down(call, op))
		return;
	p->rows = p->last = NULL;
	for (; rows != NULL; rows = next) {
		next = rows->next;
		say_row(call, rows, op->verb == LEDGER_HISTORY);
		if (next == NULL && last == NULL)
			last = rows;
		else
			free(rows);
	}
	/* the records of a registry stand together */
	if (!p->more || last == NULL ||
	    (p->registry.n > 0 && !span_eq(p->registry, last->registry))) {
		free(last);
		control_end(call, json_object());
		return;
	}
	/* op's key pointed into the row of the page before */
	json_object_set_new(call->request, "at",
	    json_pack("{s:o, s:o, s:o}", "registry", control_json_text(last->registry),
		"repository", control_json_text(last->repository), "tag",
		control_json_text(last->tag)));
	p->after_seq = last->seq;
	free(last);
	if (op->verb == LEDGER_HISTORY) {
		p->after_tag = span_of(json_string_value(
		    json_object_get(json_object_get(call->request, "at"), "tag")));
	} else {
		json_t *at = json_object_get(call->request, "at");

		op->registry = span_of(json_string_value(json_object_get(at, "registry")));
		op->repository = span_of(json_string_value(json_object_get(at, "repository")));
		op->tag = span_of(json_string_value(json_object_get(at, "tag")));
	}
	control_submit(call);
}

/* {"registry": only this one, "pattern": repositories}, or {"registry", "repository", "tag"} for one record. */
static void
list_begin(struct control_call *call)
{
	struct control_op *o;
	bool ok = true;
	struct span registry = span_of(control_text(call, "registry", TEXT_MAX, &ok));

	call->page.pattern = span_of(control_text(call, "pattern", TEXT_MAX, &ok));
	if (!ok) {
		control_error(call, "registry and pattern are text");
		return;
	}
	o = control_ops(call, 1);
	if (o == NULL || !key_of(call, &o->op))
		return;
	call->page.at_key = o->op.tag.n > 0;
	if (!call->page.at_key) {
		/* the records of a registry stand together: begin there */
		call->page.registry = registry;
		o->op.repository = SPAN_NONE;
	}
	call->page.limit = PAGE;
	o->op.verb = LEDGER_LIST;
	o->op.page = &call->page;
	control_submit(call);
}

static void
history_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL || !key_of(call, &o->op))
		return;
	call->page.limit = PAGE;
	o->op.verb = LEDGER_HISTORY;
	o->op.page = &call->page;
	control_submit(call);
}

/* ---- one repository ---- */

static void
repository_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL || !key_of(call, &o->op))
		return;
	o->op.verb = LEDGER_REPOSITORY;
	control_submit(call);
}

static void
repository_more(struct control_call *call)
{
	const struct ledger_op *op = &call->ops[0].op;

	if (!is_down(call, op))
		control_end(call,
		    json_pack("{s:b, s:b, s:I, s:I}", "imported", op->imported, "restored",
			op->restored, "imported_at", (json_int_t)op->claimed_at, "settle",
			(json_int_t)call->env->settle));
}

/* ---- state events ---- */

static void
record(struct control_call *call, const struct ledger_op *op, const char *event, const char *detail)
{
	struct audit_event e = { .event = event, .detail = span_of(detail),
		.registry = { .repository = op->repository, .tag = op->tag, .digest = span_of(op->digest) } };

	control_record(call, &e, op->event_id);
}

/* ---- release ---- */

/*
 * {"digest": claimed, "found": what upstream has or ""} or {"digest": claimed, "force": true}. The ledger says no
 * while the claim is held, or younger than settle.
 */
static void
release_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL || !key_of(call, &o->op) || !control_digest(call, "digest", o->op.digest) ||
	    !control_digest(call, "found", o->op.found))
		return;
	if (o->op.digest[0] == '\0' || o->op.tag.n == 0) {
		control_error(call, "release needs a tag and the digest that is claimed");
		return;
	}
	o->op.verb = o->op.found[0] == '\0' ? LEDGER_SETTLE : LEDGER_ADOPT;
	o->op.settle =
	    json_is_true(json_object_get(call->request, "force")) ? -1 : call->env->settle;
	o->op.event_id = control_event_id(call);
	control_submit(call);
}

static void
release_more(struct control_call *call)
{
	struct ledger_op *op = &call->ops[0].op;
	const char *became = op->verb == LEDGER_ADOPT && ledger_digest_same(op->found, op->digest)
	    ? "confirmed"
	    : "released";

	switch (op->answer) {
	case LEDGER_OK:
		record(call, op, *became == 'c' ? "tag.confirmed" : "tag.released",
		    op->settle < 0 ? "forced" : "");
		control_end(call, json_pack("{s:s}", "became", became));
		return;
	case LEDGER_UNRESOLVED:
		control_error(call,
		    "the claim is younger than settle (%lld s): the push may still arrive; wait, or use --force",
		    (long long)call->env->settle);
		return;
	case LEDGER_BUSY:
		control_error(call, "the digest that upstream has is being deleted; try again");
		return;
	case LEDGER_ABSENT:
		control_error(
		    call, "no such unresolved claim: it is held by a push, or was ended meanwhile");
		return;
	case LEDGER_DOWN:
	case LEDGER_SAME:
	case LEDGER_LOCKED:
	case LEDGER_CLAIMED_NEW:
	case LEDGER_CLAIMED_OVER:
	case LEDGER_CLAIMED_AGAIN:
	case LEDGER_CLAIMED_OTHER:
	case LEDGER_RESTORED:
	case LEDGER_MANY:
		control_error(call, "the tag ledger failed; see the log of the gateway");
		return;
	}
}

/* ---- import ---- */

/* {"tags": [["v1", "sha256:..."], ...]}: one row an entry, in order. */
static void
import_begin(struct control_call *call)
{
	json_t *tags = json_object_get(call->request, "tags"), *pair;
	struct control_op *o = control_ops(
	    call, (unsigned)(json_array_size(tags) > CONTROL_OPS_MAX ? 0 : json_array_size(tags)));
	size_t i;

	if (o == NULL)
		return;
	json_array_foreach(tags, i, pair) {
		const char *tag = json_string_value(json_array_get(pair, 0)),
			   *digest = json_string_value(json_array_get(pair, 1));

		if (!key_of(call, &o[i].op))
			return;
		if (tag == NULL || *tag == '\0' || digest == NULL || strlen(digest) != LEDGER_DIGEST - 1 ||
		    !ledger_digest_valid(memcpy(o[i].op.found, digest, LEDGER_DIGEST))) {
			control_error(call, "tags are pairs of a tag and a sha256 digest");
			return;
		}
		o[i].op.tag = span_of(tag);
		o[i].op.verb = LEDGER_IMPORT;
	}
	control_submit(call);
}

static void
import_more(struct control_call *call)
{
	for (unsigned i = 0; i < call->n_ops; i++) {
		const struct ledger_op *op = &call->ops[i].op;

		control_row(call,
		    json_pack("{s:s, s:s, s:s, s:b}", "tag", op->tag.p, "answer",
			answer_name(op->answer), "recorded", op->current_digest, "deleted",
			op->deleted));
	}
	control_end(call, json_object());
}

/* {"drift": true when a record differs} */
static void
import_end_begin(struct control_call *call)
{
	struct control_op *o = control_ops(call, 1);

	if (o == NULL || !key_of(call, &o->op))
		return;
	if (o->op.repository.n == 0 || o->op.registry.n == 0) {
		control_error(call, "import-end needs a registry and a repository");
		return;
	}
	o->op.tag = SPAN_NONE;
	o->op.verb = LEDGER_IMPORT_END;
	o->op.drift = json_is_true(json_object_get(call->request, "drift"));
	o->op.event_id = control_event_id(call);
	control_submit(call);
}

static void
import_end_more(struct control_call *call)
{
	const struct ledger_op *op = &call->ops[0].op;

	if (is_down(call, op))
		return;
	record(call, op, "tag.imported", op->drift ? "some tags differ from the ledger" : "");
	control_end(call, json_object());
}

const struct control_verb control_tag_verbs[] = {
	{ "tag.list", list_begin, page_more },
	{ "tag.history", history_begin, page_more },
	{ "tag.repository", repository_begin, repository_more },
	{ "tag.release", release_begin, release_more },
	{ "tag.import", import_begin, import_more },
	{ "tag.import-end", import_end_begin, import_end_more },
};
const size_t control_n_tag_verbs = sizeof control_tag_verbs / sizeof *control_tag_verbs;
