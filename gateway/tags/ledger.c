/*
 * ledger.c - the thread of the ledger: drain the queue, apply it as one transaction, one fsync, then answer.
 *
 * Nobody hears of anything before it is durable. When a batch cannot be kept, everybody in it hears LEDGER_DOWN:
 * what one operation saw may be what another one of the same batch wrote.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/ledger.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/log.h"
#include "gateway/tags/ledger_evidence.h"
#include "gateway/tags/ledger_store.h"

#define RETRY_S 2 /* an idle ledger that is down looks this often whether it works again */

struct ledger {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct ledger_op *first, **last; /* under lock */
	bool stopping; /* under lock */
	atomic_bool healthy, stopped;
	/* the thread's own */
	struct store *store;
	struct claims *claims;
};

static void
set_health(struct ledger *l, bool healthy)
{
	if (atomic_load(&l->healthy) == healthy)
		return;
	if (healthy)
		log_warn("msg=tag ledger works again");
	else
		log_error("msg=tag ledger failed: pushes by tag are refused until it works again");
	atomic_store(&l->healthy, healthy);
}

/* Everything queued, in order; NULL and *stop at the end, NULL alone when there was time for nothing. */
static struct ledger_op *
take(struct ledger *l, bool *stop)
{
	struct ledger_op *all;
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_S;
	pthread_mutex_lock(&l->lock);
	while (l->first == NULL && !l->stopping && rc == 0) {
		if (atomic_load(&l->healthy))
			pthread_cond_wait(&l->wake, &l->lock);
		else
			rc = pthread_cond_timedwait(&l->wake, &l->lock, &until);
	}
	all = l->first;
	l->first = NULL;
	l->last = &l->first;
	*stop = all == NULL && l->stopping;
	pthread_mutex_unlock(&l->lock);
	return all;
}

static void
forget_page(struct ledger_page *page)
{
	ledger_rows_free(page->rows);
	ledger_rows_free(page->last);
	page->rows = page->last = NULL;
	page->more = false;
}

void
ledger_evidence_clear(struct ledger_evidence *e)
{
	free(e->bytes);
	e->bytes = NULL;
	e->version = e->state = e->value = e->good = SPAN_NONE;
	e->at = e->until = e->good_at = 0;
}

void
ledger_blocks_free(struct ledger_block *first)
{
	struct ledger_block *next;

	for (; first != NULL; first = next) {
		next = first->next;
		free(first);
	}
}

static void
forget_evidence(struct ledger_op *op)
{
	if (op->verb == LEDGER_EVIDENCE_GET)
		ledger_evidence_clear(op->evidence);
	if (op->verb == LEDGER_GRANT_GET)
		op->grants->n = 0;
	if (op->verb != LEDGER_BLOCKS)
		return;
	ledger_blocks_free(op->block);
	op->block = NULL;
}

static void
answer(struct ledger_op *op, bool kept)
{
	if (!kept) {
		op->answer = LEDGER_DOWN;
		op->current_digest[0] = op->old_digest[0] = '\0';
		/* an end that was not kept has ended the holding nevertheless; MARK keeps it */
		if (op->verb != LEDGER_DELETE_MARK)
			op->token = 0;
		ledger_names_free(op->names);
		op->names = NULL;
		if (op->page != NULL)
			forget_page(op->page);
		forget_evidence(op);
	}
	/* it is the receiver's from here on */
	if (op->reply_to == NULL)
		op->mail.deliver(&op->mail);
	else
		mailbox_post(op->reply_to, &op->mail);
}

static void
run_batch(struct ledger *l, struct ledger_op *batch)
{
	struct ledger_op *op, *next;
	bool ok = true;

	/* to the end whatever happens: holdings end even when the database does not hear of it */
	for (op = batch; op != NULL; op = op->next)
		ok = ledger_apply(l->claims, l->store, op) && ok;
	ok = store_end(l->store, ok) && ok;
	claims_batch_ended(l->claims, ok);
	/* reading alone does not show that writing works again */
	set_health(l, ok && (atomic_load(&l->healthy) || store_works(l->store)));
	for (op = batch; op != NULL; op = next) {
		next = op->next;
		answer(op, ok);
	}
}

static void *
serve(void *arg)
{
	struct ledger *l = arg;
	bool stop = false;

	while (!stop) {
		struct ledger_op *batch = take(l, &stop);

		if (batch != NULL)
			run_batch(l, batch);
		else if (!stop)
			set_health(l, store_works(l->store));
	}
	return NULL;
}

static bool
start(struct ledger *l)
{
	sigset_t all, old;
	bool ok;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&l->thread, NULL, serve, l) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

void
ledger_free(struct ledger *l)
{
	if (l == NULL)
		return;
	claims_free(l->claims);
	store_close(l->store);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct ledger *
ledger_alloc(void)
{
	struct ledger *l = calloc(1, sizeof *l);
	pthread_condattr_t monotonic;

	if (l == NULL)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	l->last = &l->first;
	atomic_init(&l->healthy, true);
	return l;
}

struct ledger *
ledger_open(const char *url, const char *mark, char *err, size_t err_size)
{
	static const char scheme[] = "sqlite:";
	struct ledger *l;

	if (strncmp(url, scheme, sizeof scheme - 1) != 0 || url[sizeof scheme - 1] == '\0') {
		snprintf(err, err_size, "ledger must be sqlite:/path, not %s", url);
		return NULL;
	}
	l = ledger_alloc();
	if (l == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	l->store = store_open(url + sizeof scheme - 1, mark, err, err_size);
	if (l->store == NULL)
		goto fail;
	l->claims = claims_new();
	if (l->claims == NULL || !start(l)) {
		snprintf(err, err_size, "no memory or no thread for the ledger");
		goto fail;
	}
	return l;
fail:
	ledger_free(l);
	return NULL;
}

void
ledger_stop(struct ledger *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	atomic_store(&l->stopped, true);
}

void
ledger_close(struct ledger *l)
{
	ledger_stop(l);
	ledger_free(l);
}

void
ledger_submit(struct ledger *l, struct ledger_op *op)
{
	op->next = NULL;
	if (atomic_load(&l->stopped)) {
		op->answer = LEDGER_DOWN;
		op->names = NULL;
		answer(op, false);
		return;
	}
	pthread_mutex_lock(&l->lock);
	if (l->first == NULL)
		pthread_cond_signal(&l->wake);
	*l->last = op;
	l->last = &op->next;
	pthread_mutex_unlock(&l->lock);
}

bool
ledger_healthy(const struct ledger *l)
{
	return atomic_load(&l->healthy);
}
