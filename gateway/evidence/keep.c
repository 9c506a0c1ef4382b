/*
 * keep.c - exhibits as rows of the ledger's database, and back. What comes back is read as if anybody had written it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/evidence/parts.h"
#include "gateway/tags/ledger_evidence.h"
#include "policy/json.h"

#define DEPTH_MAX 16u

/* ---- one operation, waited for ---- */

struct waiting {
	struct evidence *evidence;
	bool done; /* under the lock */
};

struct asked {
	struct ledger_op op;
	struct waiting waiting;
};

/* On the ledger's thread. */
static void
on_kept(struct mail *m)
{
	struct asked *a = (struct asked *)(void *)((char *)m - offsetof(struct asked, op.mail));
	struct evidence *e = a->waiting.evidence;

	pthread_mutex_lock(&e->lock);
	a->waiting.done = true;
	pthread_cond_broadcast(&e->answered);
	pthread_mutex_unlock(&e->lock);
}

/* The ledger always answers, and soon: it is stopped after us. */
void
keep_ask(struct evidence *e, struct ledger_op *op)
{
	struct asked a = { .op = *op, .waiting = { .evidence = e } };

	a.op.mail.deliver = on_kept;
	a.op.reply_to = NULL;
	ledger_submit(e->env.ledger, &a.op);
	pthread_mutex_lock(&e->lock);
	while (!a.waiting.done)
		pthread_cond_wait(&e->answered, &e->lock);
	pthread_mutex_unlock(&e->lock);
	*op = a.op;
}

/* ---- rows ---- */

static struct ledger_op
op_of(const struct subject *s, enum ledger_verb verb, struct ledger_evidence *row, enum evidence_kind kind)
{
	struct ledger_op op = { .verb = verb, .registry = s->registry, .repository = s->repository, .evidence = row };

	memcpy(op.digest, s->digest, LEDGER_DIGEST);
	row->kind = span_of(evidence_kind_name(kind));
	row->source = SPAN("gateway");
	return op;
}

static enum evidence_state
state_of(struct span name)
{
	static const enum evidence_state states[] = { STATE_PASS, STATE_FAIL, STATE_UNSCANNABLE };

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (span_eq(name, span_of(evidence_state_name(states[i]))))
			return states[i];
	return STATE_NONE;
}

/* A value with the state it was learned with, "pass {...}". */
static struct exhibit *
read_value(enum evidence_kind kind, struct span text)
{
	const char *blank = text.n == 0 ? NULL : memchr(text.p, ' ', text.n);
	enum evidence_state state;

	if (blank == NULL)
		return NULL;
	state = state_of((struct span){ text.p, (size_t)(blank - text.p) });
	if (state == STATE_NONE)
		return NULL;
	return exhibit_load(kind, state, span_skip(text, (size_t)(blank - text.p) + 1));
}

struct exhibit *
keep_find(struct evidence *e, const struct subject *s, enum evidence_kind kind)
{
	struct ledger_evidence row = { .at = 0 };
	struct ledger_op op = op_of(s, LEDGER_EVIDENCE_GET, &row, kind);
	struct exhibit *x = NULL, *good = NULL;

	keep_ask(e, &op);
	if (op.answer == LEDGER_OK) {
		x = read_value(kind, row.value);
		good = row.good.n == 0 ? NULL : read_value(kind, row.good);
	}
	if (good != NULL && !exhibit_known(good)) {
		exhibit_unref(good);
		good = NULL;
	}
	if (good != NULL)
		good->at = row.good_at;
	if (x != NULL) {
		x->at = row.at;
		x->until = row.until;
		if (row.version.n > 0 && row.version.n < sizeof x->version)
			memcpy(x->version, row.version.p, row.version.n);
	}
	if (x != NULL && !exhibit_known(x))
		x->good = good;
	else if (x == NULL)
		x = good;
	else
		exhibit_unref(good);
	ledger_evidence_clear(&row);
	return x;
}

static char *
write_value(const struct exhibit *x)
{
	char *saved = exhibit_save(x), *text;

	if (saved == NULL || asprintf(&text, "%s %s", evidence_state_name(x->state), saved) < 0)
		text = NULL;
	free(saved);
	return text;
}

void
keep_put(struct evidence *e, const struct subject *s, const struct exhibit *x)
{
	struct ledger_evidence row = { .version = span_of(x->version), .state = span_of(evidence_state_name(x->state)), .at = x->at,
		.until = x->until };
	struct ledger_op op = op_of(s, LEDGER_EVIDENCE_PUT, &row, x->kind);
	char *value = write_value(x), *good = x->good == NULL ? NULL : write_value(x->good);

	if (value != NULL) {
		row.value = span_of(value);
		row.good = span_of(good);
		row.good_at = good == NULL ? 0 : x->good->at;
		keep_ask(e, &op);
	}
	free(value);
	free(good);
}

/* ---- values ---- */

char *
exhibit_save(const struct exhibit *x)
{
	json_t *o = json_pack("{s:s%}", "why", x->why, strlen(x->why));
	char *text = NULL;

	if (o == NULL)
		o = json_object();
	if (o != NULL && x->kind == EVIDENCE_MALWARE && exhibit_known(x)) {
		json_object_set_new(o, "malware", json_boolean(x->malware));
		json_object_set_new(o, "secrets", json_boolean(x->secrets));
	}
	if (o != NULL && module_save(x, o))
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static bool
load_malware(struct exhibit *x, const json_t *o)
{
	const json_t *malware = json_object_get(o, "malware"), *secrets = json_object_get(o, "secrets");

	if (!json_is_boolean(malware) || !json_is_boolean(secrets))
		return false;
	x->malware = json_is_true(malware);
	x->secrets = json_is_true(secrets);
	/* what was found makes a FAIL, whatever the row says */
	return x->malware == (x->state == STATE_FAIL);
}

struct exhibit *
exhibit_load(enum evidence_kind kind, enum evidence_state state, struct span text)
{
	struct exhibit *x = exhibit_new(kind, state, 0, 0);
	char err[160];
	json_t *o = x == NULL ? NULL : json_strict(text, DEPTH_MAX, err, sizeof err, NULL);
	bool ok = o != NULL && json_is_object(o);

	if (ok)
		snprintf(x->why, sizeof x->why, "%s", json_string_value(json_object_get(o, "why")) == NULL ? "" :
		    json_string_value(json_object_get(o, "why")));
	if (ok && exhibit_known(x)) {
		x->arena = arena_new(EXHIBIT_MEMORY);
		ok = x->arena != NULL && (kind == EVIDENCE_MALWARE ? load_malware(x, o) : module_load(x, o));
		x->size = x->arena == NULL ? 0 : arena_used(x->arena);
	}
	json_decref(o);
	if (ok)
		return x;
	exhibit_unref(x);
	return NULL;
}
