/*
 * reload.c - read all, check all, then give it to all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/reload.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/audit/event.h"
#include "gateway/log.h"
#include "gateway/operator/notify.h"

/* One worker's share, on its way there and back. */
struct delivery {
	struct mail mail;
	struct reload *reload;
	struct worker *worker;
	struct serving *serving;	/* NULL once the worker has it */
};

struct reload {
	struct reload_env env;
	struct mailbox *mailbox;
	struct setup *in_force;
	struct setup *next;		/* NULL: none under way */
	struct delivery *deliveries;	/* one a worker */
	unsigned left;			/* workers that have not swapped yet */
	bool again, stopped;
};

static struct span
hash_of(const struct setup *s)
{
	return span_of(policy_hash(s->config->policy));
}

/* ---- what came of it ---- */

static void
record(struct reload *r, struct audit_event *e)
{
	char line[EVENT_MAX];
	size_t n;

	e->action = SPAN("none");
	event_now(e);
	n = event_write(e, line, sizeof line);
	if (n == 0 || !spool_put(r->env.spool, (struct span){ line, n }, NULL))
		log_warn("msg=%s could not be recorded", e->event);
}

/* Problems and warnings to the log, a line each. The first problem. */
static struct span
say(struct span problems)
{
	struct span first = SPAN_NONE;

	while (problems.n > 0) {
		const char *end = memchr(problems.p, '\n', problems.n);
		struct span line = { problems.p, end == NULL ? problems.n : (size_t)(end - problems.p) };
		bool warning = memmem(line.p, line.n, ": warning: ", strlen(": warning: ")) != NULL;

		log_line(warning ? LOG_WARN : LOG_ERROR, "%.*s", SPAN_FMT(line));
		if (first.n == 0 && !warning)
			first = line;
		problems = span_skip(problems, end == NULL ? line.n : line.n + 1);
	}
	return first;
}

static void
failed(struct reload *r, struct span problem)
{
	struct audit_event e = { .event = "reload.failed", .decision = AUDIT_ERROR, .reason = "reload_failed",
		.policy = hash_of(r->in_force), .detail = problem };

	log_error("msg=reload failed, nothing has changed");
	record(r, &e);
	r->env.view->reload.failed++;
	r->env.view->reload.ok = false;
	notify("READY=1");
}

static void
done(struct reload *r)
{
	struct setup *old = r->in_force;
	struct audit_event e = { .event = "reload.done", .decision = AUDIT_ALLOW, .reason = "ok",
		.policy = hash_of(r->next), .old_policy = hash_of(old), .detail = span_of(r->next->config->file) };

	r->in_force = r->next;
	r->next = NULL;
	r->env.in_force(r->env.ctx, r->in_force);
	record(r, &e);
	log_info("msg=reloaded %s: policy %.*s, was %.*s", r->in_force->config->file, SPAN_FMT(e.policy),
	    SPAN_FMT(e.old_policy));
	r->env.view->reload.done++;
	r->env.view->reload.ok = true;
	r->env.view->reload.last = e.time_us / 1000000;
	setup_unref(old);
	notify("READY=1");
	if (r->again)
		reload_begin(r);
}

/* ---- to the workers and back ---- */

static void
on_back(struct mail *m)
{
	struct reload *r = ((struct delivery *)(void *)m)->reload;

	if (--r->left == 0)
		done(r);
}

/* On the worker's thread. */
static void
on_delivery(struct mail *m)
{
	struct delivery *d = (struct delivery *)(void *)m;
	struct serving *v = d->serving;

	d->serving = NULL;
	worker_adopt(d->worker, v);
	d->mail.deliver = on_back;
	mailbox_post(d->reload->mailbox, &d->mail);
}

static void
forget(struct reload *r)
{
	for (unsigned i = 0; i < r->env.n_workers; i++) {
		serving_unref(r->deliveries[i].serving);
		r->deliveries[i].serving = NULL;
	}
	setup_unref(r->next);
	r->next = NULL;
}

/* Everything that can fail, before anybody hears of it. */
static bool
prepare(struct reload *r, FILE *out)
{
	struct config *c = config_load_into(r->in_force->config->file, false, out);
	char err[512];

	if (c == NULL)
		return false;
	if (!config_replaces(r->in_force->config, c, out)) {
		config_free(c);
		return false;
	}
	r->next = setup_new(c, err, sizeof err);
	if (r->next == NULL) {
		fprintf(out, "%s: %s\n", r->in_force->config->file, err);
		return false;
	}
	if (!issuers_join(r->env.issuers, r->next->issuers)) {
		fprintf(out, "%s: out of memory\n", r->in_force->config->file);
		forget(r);
		return false;
	}
	for (unsigned i = 0; i < r->env.n_workers; i++) {
		r->deliveries[i].serving = worker_serving(r->env.workers[i], r->next);
		if (r->deliveries[i].serving == NULL) {
			fprintf(out, "%s: out of memory\n", r->in_force->config->file);
			forget(r);
			return false;
		}
	}
	return true;
}

static void
deliver(struct reload *r)
{
	evidence_follow(r->env.evidence, r->next);
	r->left = r->env.n_workers;
	for (unsigned i = 0; i < r->env.n_workers; i++) {
		struct delivery *d = &r->deliveries[i];

		d->mail.deliver = on_delivery;
		mailbox_post(d->worker->mailbox, &d->mail);
	}
}

void
reload_begin(struct reload *r)
{
	char *problems = NULL;
	struct span problem;
	size_t n = 0;
	FILE *out;
	bool ok;

	if (r->stopped)
		return;
	r->again = r->next != NULL;
	if (r->again)
		return;
	notify_reloading();
	out = open_memstream(&problems, &n);
	ok = out != NULL && prepare(r, out);
	if (out != NULL && fclose(out) != 0 && ok) {
		forget(r);
		ok = false;
	}
	problem = say((struct span){ problems, n });
	if (ok)
		deliver(r);
	else
		failed(r, problem);
	free(problems);
}

/* ---- life ---- */

struct reload *
reload_new(const struct reload_env *env, struct setup *in_force)
{
	struct reload *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->env = *env;
	r->in_force = in_force;
	r->mailbox = mailbox_new(env->base);
	r->deliveries = calloc(env->n_workers, sizeof *r->deliveries);
	if (r->mailbox == NULL || r->deliveries == NULL) {
		r->in_force = NULL;	/* still the caller's */
		reload_free(r);
		return NULL;
	}
	for (unsigned i = 0; i < env->n_workers; i++) {
		r->deliveries[i].reload = r;
		r->deliveries[i].worker = env->workers[i];
	}
	env->in_force(env->ctx, in_force);
	return r;
}

void
reload_stop(struct reload *r)
{
	r->stopped = true;
}

const struct setup *
reload_in_force(const struct reload *r)
{
	return r->in_force;
}

void
reload_free(struct reload *r)
{
	if (r == NULL)
		return;
	if (r->deliveries != NULL)
		forget(r);
	if (r->mailbox != NULL)
		mailbox_free(r->mailbox);
	free(r->deliveries);
	setup_unref(r->in_force);
	free(r);
}
