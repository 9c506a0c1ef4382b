/*
 * scanners.c - jobs come in, run on the courier's thread, and are told once.
 * Invariant: a job is in the courier's mailbox, or in the list; a state in the list belongs to the courier's thread, and to
 * scanners_free() once that has ended.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/scanners/scanners.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/scanners/state.h"

#define SCRATCH ((size_t)8 << 20)

struct scanners {
	struct courier *courier;
	struct logins *credentials;
	struct mail cancel_mail;
	_Atomic bool cancel_posted;	/* cancel_mail is in the courier's mailbox */
	/* the courier's thread */
	struct mailbox *mailbox;	/* logins answer there; made when the first is needed */
	struct scan_state *states;
	struct scanner_facts *facts;
};

/* ---- the end of a job ---- */

static void
finish(struct scanners_job *j, const char *why)
{
	if (why != NULL) {
		j->report = (struct report){ .status = REPORT_FAILED };
		snprintf(j->report.why, sizeof j->report.why, "%s", why);
	}
	if (j->arena == NULL)
		j->report = (struct report){ .status = REPORT_FAILED, .why = "out of memory" };
	j->done(j);
}

void
state_end(struct scan_state *st)
{
	struct scanners_job *j = st->job;

	*st->at = st->next;
	if (st->next != NULL)
		st->next->at = st->at;
	errand_clear(&st->errand);
	if (st->timer != NULL)
		event_free(st->timer);
	credential_unref(st->credential);
	arena_free(st->scratch);
	j->state = NULL;
	free(st);
	finish(j, NULL);
}

/* ---- a login ---- */

static void
on_login(struct login_wait *w)
{
	struct scan_state *st = w->ctx;

	credential_unref(st->credential);
	st->credential = w->credential;
	w->credential = NULL;
	snprintf(st->login_why, sizeof st->login_why, "%s", w->why);
	login_wait_free(w);
	st->login = NULL;
	if (st->over)
		state_fail(st, REPORT_FAILED, "cancelled, or the gateway stops");
	else
		st->then(st);
}

void
state_login(struct scan_state *st, const char *scope, bool anew, void (*then)(struct scan_state *st))
{
	struct scanners *s = st->owner;

	if (s->mailbox == NULL)
		s->mailbox = mailbox_new(courier_base(s->courier));
	st->login = s->mailbox == NULL ? NULL : login_wait_new(st->job->setup, st->job->upstream, span_of(scope));
	if (st->login == NULL) {
		state_fail(st, REPORT_FAILED, "out of memory");
		return;
	}
	st->then = then;
	st->login->reply_to = s->mailbox;
	st->login->done = on_login;
	st->login->ctx = st;
	st->login->anew = anew;
	logins_ask(s->credentials, st->login);
}

struct scanner_facts **
state_facts(struct scan_state *st)
{
	return &st->owner->facts;
}

struct courier *
state_courier(struct scan_state *st)
{
	return st->owner->courier;
}

/* ---- its beginning ---- */

static struct scan_state *
state_new(struct scanners *s, struct scanners_job *j)
{
	struct scan_state *st = calloc(1, sizeof *st);

	if (st == NULL)
		return NULL;
	st->scratch = arena_new(SCRATCH);
	if (st->scratch == NULL) {
		free(st);
		return NULL;
	}
	st->owner = s;
	st->job = j;
	st->deadline = state_now_ms() + j->scanner->timeout;
	st->next = s->states;
	st->at = &s->states;
	if (st->next != NULL)
		st->next->at = &st->next;
	s->states = st;
	j->state = st;
	return st;
}

static bool
is_digest(const char *s)
{
	if (strlen(s) != 71 || strncmp(s, "sha256:", 7) != 0)
		return false;
	return strspn(s + 7, "0123456789abcdef") == 64;
}

static void
on_start(struct mail *m)
{
	struct scanners_job *j = (struct scanners_job *)(void *)((char *)m - offsetof(struct scanners_job, mail));
	struct scanners *s = j->state;
	struct scan_state *st;

	j->state = NULL;
	j->arena = arena_new(REPORT_ARENA);
	if (atomic_load_explicit(&j->cancelled, memory_order_seq_cst)) {
		finish(j, "cancelled");
		return;
	}
	if (!is_digest(j->digest)) {
		finish(j, "the digest is not of SHA-256");
		return;
	}
	st = j->arena == NULL ? NULL : state_new(s, j);
	if (st == NULL) {
		finish(j, "out of memory");
		return;
	}
	switch (j->scanner->type) {
	case SCANNER_ADAPTER:
		adapter_begin(st);
		return;
	case SCANNER_HARBOR:
		harbor_begin(st);
		return;
	case SCANNER_ECR:
		ecr_begin(st);
		return;
	case SCANNER_DEFENDER:
		defender_begin(st);
		return;
	}
	state_fail(st, REPORT_FAILED, "a scanner of no known type");
}

void
scanners_start(struct scanners *s, struct scanners_job *j)
{
	j->report = (struct report){ 0 };
	j->arena = NULL;
	j->state = s;
	atomic_store_explicit(&j->cancelled, false, memory_order_seq_cst);
	j->mail.deliver = on_start;
	if (courier_post(s->courier, &j->mail))
		return;
	j->state = NULL;
	j->arena = arena_new(REPORT_ARENA);
	finish(j, "the gateway stops");
}

/* ---- cancelling ---- */

/* What is under way is let go; what cannot be comes back soon, and ends then. */
static void
stop(struct scan_state *st)
{
	if (st->over)
		return;
	st->over = true;
	if (st->flying)
		courier_cancel(state_courier(st), &st->errand);
	else if (st->timer != NULL)
		state_fail(st, REPORT_FAILED, "cancelled");
}

static void
on_cancel(struct mail *m)
{
	struct scanners *s = (struct scanners *)(void *)((char *)m - offsetof(struct scanners, cancel_mail));

	atomic_store_explicit(&s->cancel_posted, false, memory_order_seq_cst);
	for (struct scan_state *st = s->states, *next; st != NULL; st = next) {
		next = st->next;
		if (atomic_load_explicit(&st->job->cancelled, memory_order_seq_cst))
			stop(st);
	}
}

void
scanners_cancel(struct scanners *s, struct scanners_job *j)
{
	atomic_store_explicit(&j->cancelled, true, memory_order_seq_cst);
	if (!atomic_exchange_explicit(&s->cancel_posted, true, memory_order_seq_cst) && !courier_post(s->courier, &s->cancel_mail))
		atomic_store_explicit(&s->cancel_posted, false, memory_order_seq_cst);	/* scanners_free() ends all */
}

/* ---- life ---- */

struct scanners *
scanners_new(struct courier *c, struct logins *credentials)
{
	struct scanners *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->courier = c;
	s->credentials = credentials;
	s->cancel_mail.deliver = on_cancel;
	return s;
}

void
scanners_free(struct scanners *s)
{
	if (s == NULL)
		return;
	for (struct scan_state *st = s->states; st != NULL; st = st->next)
		st->over = true;
	if (s->mailbox != NULL)
		mailbox_empty(s->mailbox);
	while (s->states != NULL) {
		struct scan_state *st = s->states;

		if (st->reading)
			pthread_join(st->reader, NULL);
		state_fail(st, REPORT_FAILED, "the gateway stops");
	}
	mailbox_free(s->mailbox);
	scanner_facts_free(s->facts);
	free(s);
}
