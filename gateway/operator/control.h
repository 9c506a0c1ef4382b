/*
 * control.h - the operator's door into a running gateway: a Unix socket of one JSON object a line, both ways.
 *
 * A request is {"verb": "tag.list", ...}; its answer is any number of lines {"row": {...}} and one last line,
 * {"end": {...}} or {"error": "..."}. One request at a time a connection, answered in order; rows are made only as
 * fast as they are taken. The socket is 0600, and only root or our own user is served. What changes something
 * carries "user", the name of the operator, which root and ourselves are believed.
 *
 * It lives on one event base and never blocks it: verbs work by operations of the ledger, whose thread does the
 * work. Further verbs are further rows of the table in control.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CONTROL_H
#define TW_CONTROL_H

#include <jansson.h>

#include "gateway/audit/event.h"
#include "gateway/tags/ledger.h"

#define CONTROL_LINE_MAX 262144u	/* a request */
#define CONTROL_OPS_MAX	 256u		/* operations of the ledger that one request has under way */

struct blocks;
struct event_base;
struct spool;
struct control;
struct control_call;

struct control_env {		/* borrowed for the life of the control */
	struct event_base *base;
	struct ledger *ledger;
	struct spool *spool;	/* for state events; NULL: no gateway runs, and nothing is recorded but history */
	struct blocks *blocks;	/* NULL: verbs about quarantine are errors */
	int64_t settle;		/* tags.settle */
};

/* Listen on `path`; a socket that nobody listens on any more is replaced. NULL with a one-line reason. */
struct control *control_listen(const struct control_env *env, const char *path, char *err, size_t err_size)
	NONNULL(1, 2, 3) WUNRES;
/* Serve one connection that is there already, as its own trusted user; its end ends the loop of env->base. */
struct control *control_serve(const struct control_env *env, int fd) NONNULL(1) WUNRES;
/* tags.settle was reloaded. */
void control_settle(struct control *c, int64_t settle) NONNULL(1);
/* After the loop, and after the ledger was closed or when nothing is under way. */
void control_free(struct control *c);

/* ---- for verbs ---- */

struct control_op {
	struct ledger_op op;
	struct control_call *call;	/* private */
};

struct control_verb {
	const char *name;
	/* A request came: answer it, or prepare operations and submit them. */
	void (*begin)(struct control_call *call);
	/* All submitted operations are answered. NULL: begin() answers at once. */
	void (*more)(struct control_call *call);
};

struct control_call {
	const struct control_verb *verb;
	json_t *request;
	const struct control_env *env;
	char who[80];			/* "operator:root" */
	char source[64];		/* "control uid=0 pid=4711" */
	struct ledger_page page;	/* for verbs of one operation that reads a page; its rows are freed after more() */
	struct control_op *ops;		/* of control_ops() */
	unsigned n_ops;
	void *extra;			/* of the verb; freed with the request */
};

/* n cleared operations for this call, with who, source and the time in; NULL after an error was answered. */
struct control_op *control_ops(struct control_call *call, unsigned n) NONNULL(1) WUNRES;
/* Send them all (as soon as the client took most of what was said): more() comes when they are answered. */
void control_submit(struct control_call *call) NONNULL(1);
/* Somebody else than the ledger answers, into this mailbox: more() comes after control_answered(). */
struct mailbox *control_wait(struct control_call *call) RETURNS_NONNULL NONNULL(1);
void control_answered(struct control_call *call) NONNULL(1);
/* A line of the answer; the reference is taken, NULL is an error of memory and ends the call. */
void control_row(struct control_call *call, json_t *row) NONNULL(1);
/* The last line. */
void control_end(struct control_call *call, json_t *end) NONNULL(1);
void control_error(struct control_call *call, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3);

/* The text of a key; "" when absent. *ok becomes false when it is something else or longer than max. */
const char *control_text(const struct control_call *call, const char *key, size_t max, bool *ok)
	NONNULL(1, 2, 4) RETURNS_NONNULL;
/* Text as JSON whatever its bytes are. */
json_t *control_json_text(struct span s);

/* A sha256 digest of the request; "" when absent. False after an error was answered. */
bool control_digest(struct control_call *call, const char *key, char out[static LEDGER_DIGEST]) NONNULL(1, 2) WUNRES;
/* An event id for a row and its event, kept by the request. */
struct span control_event_id(struct control_call *call) NONNULL(1);
/* A state event of the operator's; `e` names what happened to what, and id is one of control_event_id() or empty. */
void control_record(struct control_call *call, struct audit_event *e, struct span id) NONNULL(1, 2);

/* gateway/operator/control_tags.c */
extern const struct control_verb control_tag_verbs[];
extern const size_t control_n_tag_verbs;
/* gateway/operator/control_quarantine.c */
extern const struct control_verb control_quarantine_verbs[];
extern const size_t control_n_quarantine_verbs;

#endif
