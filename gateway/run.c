/*
 * run.c - `tidewaiter run`: build the gateway from its configuration, start threads, wait for a signal, drain.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "gateway/adapter/adapter.h"
#include "gateway/operator/admin.h"
#include "gateway/commands/command.h"
#include "gateway/operator/control.h"
#include "gateway/log.h"
#include "gateway/operator/notify.h"
#include "gateway/reload.h"
#include "gateway/worker.h"

struct process {
	struct gateway gateway;
	const struct setup *setup;	/* in force */
	struct reload *reload;
	struct event_base *base;	/* signals and the admin listener */
	struct worker **workers;
	unsigned n_workers;
	struct metrics **metrics;
	struct metrics_view view;
	struct admin *admin;
	struct control *control;	/* NULL: none */
	struct adapter *adapter;	/* NULL: none */
	struct event *sigterm, *sigint, *sighup, *ended;
	bool draining;
};

#define ENDED_EVERY_US	20000	/* while draining: have the workers ended? */

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct process *p = arg;

	(void)what;
	if (p->draining)
		return;
	p->draining = true;
	log_info("msg=signal %d: draining", (int)sig);
	reload_stop(p->reload);
	notify("STOPPING=1");	/* a manager that does not hear it waits for the end all the same */
	if (p->admin != NULL)
		admin_draining(p->admin);
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_drain(p->workers[i]);
	event_add(p->ended, &(struct timeval){ .tv_usec = ENDED_EVERY_US });
}

static void
on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct process *p = arg;

	(void)sig;
	(void)what;
	reload_begin(p->reload);
}

/* The first configuration, and each that a reload puts in its place. */
static void
in_force(void *ctx, struct setup *s)
{
	struct process *p = ctx;

	p->setup = s;
	p->view.setup = s;
	issuers_follow(p->gateway.issuers, s->issuers);
	p->view.policy_hash = policy_hash(s->config->policy);
	if (p->control != NULL)
		control_settle(p->control, s->config->settle);
	if (p->adapter != NULL)
		adapter_follow(p->adapter, s);
}

/* The admin listener says "draining" as long as a worker runs. */
static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;

	(void)fd;
	(void)what;
	if (atomic_load_explicit(&p->gateway.running, memory_order_acquire) == 0)
		event_base_loopexit(p->base, NULL);
}

static void
make_gateway(struct gateway *g, const struct config *c)
{
	struct spool_options spool = { c->audit_directory, c->audit_segment_size };
	char err[256];

	g->spool = spool_open(&spool, err, sizeof err);
	if (g->spool == NULL)
		log_fatal("audit: %s", err);
	g->ledger = ledger_open(c->ledger_url, c->ledger_mark, err, sizeof err);
	if (g->ledger == NULL)
		log_fatal("tags: %s", err);
	g->courier = courier_start(err, sizeof err);
	if (g->courier == NULL)
		log_fatal("courier: %s", err);
	g->credentials = logins_new(g->courier, NULL);
	if (g->credentials == NULL)
		log_fatal("out of memory");
	g->issuers = issuers_new(g->courier, g->spool, c->state_directory);
	if (g->issuers == NULL)
		log_fatal("out of memory");
	g->blocks = blocks_open(g->ledger, err, sizeof err);
	if (g->blocks == NULL)
		log_fatal("%s", err);
	g->grants = grants_open(g->ledger);
	if (g->grants == NULL)
		log_fatal("out of memory");
	g->offload = offload_start();
	g->logins = offload_start();
	if (g->offload == NULL || g->logins == NULL)
		log_fatal("cannot start a thread");
}

/* It may answer into the workers' mailboxes, and asks everybody else: the last to start, the first to stop. */
static void
make_evidence(struct gateway *g, struct setup *s)
{
	struct evidence_env env = { g->courier, g->ledger, g->spool, g->credentials, g->blocks, g->grants };
	char err[256];

	g->evidence = evidence_start(&env, s, err, sizeof err);
	if (g->evidence == NULL)
		log_fatal("evidence: %s", err);
}

/* Before a socket is open: who sees that we listen may end us in good order. They are answered once the loop runs. */
static void
make_signals(struct process *p)
{
	p->sigterm = evsignal_new(p->base, SIGTERM, on_signal, p);
	p->sigint = evsignal_new(p->base, SIGINT, on_signal, p);
	p->sighup = evsignal_new(p->base, SIGHUP, on_hangup, p);
	p->ended = event_new(p->base, -1, EV_PERSIST, on_ended, p);
	if (p->sigterm == NULL || p->sigint == NULL || p->sighup == NULL || p->ended == NULL ||
	    event_add(p->sigterm, NULL) != 0 || event_add(p->sigint, NULL) != 0 || event_add(p->sighup, NULL) != 0)
		log_fatal("out of memory");
}

/* On the thread that blocked it. */
static void
on_blocked(void *ctx, struct span registry, struct span repository, struct span digest)
{
	struct process *p = ctx;

	(void)registry;
	(void)repository;
	(void)digest;
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_blocked(p->workers[i]);
}

static void
make_workers(struct process *p, struct setup *s)
{
	unsigned n = s->config->workers;
	char err[256];

	p->n_workers = n;
	p->workers = calloc(n, sizeof *p->workers);
	p->metrics = calloc(n, sizeof *p->metrics);
	if (p->workers == NULL || p->metrics == NULL)
		log_fatal("out of memory");
	for (unsigned i = 0; i < n; i++) {
		p->workers[i] = worker_new(&p->gateway, s, i, err, sizeof err);
		if (p->workers[i] == NULL)
			log_fatal("%s", err);
		p->metrics[i] = &p->workers[i]->metrics;
	}
	blocks_on_change(p->gateway.blocks, on_blocked, p);
}

static void
make_reload(struct process *p, struct setup *s)
{
	struct reload_env env = { p->base, p->workers, p->n_workers, p->gateway.spool, p->gateway.issuers, p->gateway.evidence, &p->view,
		in_force, p };
	int64_t now = time(NULL);

	p->view = (struct metrics_view){
		.workers = p->metrics,
		.n_workers = p->n_workers,
		.ledger = p->gateway.ledger,
		.spool = p->gateway.spool,
		.courier = p->gateway.courier,
		.evidence = p->gateway.evidence,
		.blocks = p->gateway.blocks,
		.started = now,
		.reload = { .ok = true, .last = now },
	};
	p->reload = reload_new(&env, s);
	if (p->reload == NULL)
		log_fatal("out of memory");
}

static void
make_admin(struct process *p)
{
	const struct config *c = p->setup->config;
	char err[256];

	if (c->admin_listen == NULL)
		return;
	p->admin = admin_start(p->base, c->admin_listen, &p->view, err, sizeof err);
	if (p->admin == NULL)
		log_fatal("admin: %s", err);
}

static void
make_control(struct process *p)
{
	const struct config *c = p->setup->config;
	struct control_env env = { p->base, p->gateway.ledger, p->gateway.spool, p->gateway.blocks, c->settle };
	char err[256];

	if (c->control == NULL)
		return;
	p->control = control_listen(&env, c->control, err, sizeof err);
	if (p->control == NULL)
		log_fatal("control: %s", err);
}

static void
make_adapter(struct process *p, struct setup *s)
{
	char err[256];

	if (s->config->adapter.listen == NULL)
		return;
	p->adapter = adapter_start(s, err, sizeof err);
	if (p->adapter == NULL)
		log_fatal("adapter: %s", err);
}

/* One descriptor for the client, one for upstream, and some to spare. */
static void
raise_descriptor_limit(unsigned connections)
{
	struct rlimit rl;
	rlim_t want = (rlim_t)connections * 2 + 256;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur >= want)
		return;
	rl.rlim_cur = want < rl.rlim_max ? want : rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur < want)
		log_warn("msg=only %lu file descriptors for %u connections; raise LimitNOFILE to %lu",
		    (unsigned long)rl.rlim_cur, connections, (unsigned long)want);
}

static void
stop(struct process *p)
{
	unsigned n = p->n_workers;

	adapter_free(p->adapter);
	for (unsigned i = 0; i < n; i++)
		worker_join(p->workers[i]);
	offload_stop(p->gateway.offload);	/* it may be reading a request's bytes */
	offload_stop(p->gateway.logins);
	for (unsigned i = 0; i < n; i++)
		worker_end(p->workers[i]);
	/* all of them may still answer into the workers' mailboxes; evidence waits for answers of the others */
	evidence_stop(p->gateway.evidence);
	courier_stop(p->gateway.courier);
	ledger_stop(p->gateway.ledger);
	for (unsigned i = 0; i < n; i++)
		worker_deliver(p->workers[i]);
	spool_close(p->gateway.spool);
	for (unsigned i = 0; i < n; i++)
		worker_settle(p->workers[i]);
	reload_free(p->reload);
	for (unsigned i = 0; i < n; i++)
		worker_free(p->workers[i]);
	evidence_free(p->gateway.evidence);	/* it holds setups, which leave the issuers */
	issuers_free(p->gateway.issuers);
	courier_free(p->gateway.courier);
	grants_free(p->gateway.grants);
	blocks_free(p->gateway.blocks);
	ledger_free(p->gateway.ledger);
	logins_free(p->gateway.credentials);
	admin_free(p->admin);
	control_free(p->control);
	event_free(p->sigterm);
	event_free(p->sigint);
	event_free(p->sighup);
	event_free(p->ended);
	event_base_free(p->base);
	free(p->workers);
	free(p->metrics);
}

static int
serve(struct config *c)
{
	struct process p = { 0 };
	struct setup *s;
	char err[256];

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);	/* until there is something to reload */
	if (evthread_use_pthreads() != 0)
		log_fatal("libevent: no threads");
	raise_descriptor_limit(c->limits.connections);
	s = setup_new(c, err, sizeof err);
	if (s == NULL)
		log_fatal("%s", err);
	make_gateway(&p.gateway, c);
	if (!issuers_join(p.gateway.issuers, s->issuers))
		log_fatal("out of memory");
	p.base = event_base_new();
	if (p.base == NULL)
		log_fatal("out of memory");
	make_signals(&p);
	make_evidence(&p.gateway, s);
	make_workers(&p, s);
	make_reload(&p, s);
	make_admin(&p);
	make_control(&p);
	make_adapter(&p, s);
	for (unsigned i = 0; i < c->workers; i++)
		if (!worker_start(p.workers[i]))
			log_fatal("cannot start worker %u", i);
	for (size_t i = 0; i < c->n_listen; i++)
		log_info("msg=serving %s on %s with %u workers", c->external_url, c->listen[i].address, c->workers);
	if (!notify("READY=1"))
		log_warn("msg=the service manager cannot be told that this gateway is ready: %s", strerror(errno));
	event_base_dispatch(p.base);
	stop(&p);
	log_info("msg=stopped");
	return 0;
}

static const char usage[] =
    "usage: tidewaiter run -c FILE [-v]\n"
    "\n"
    "Serve. Stays in the foreground and logs to standard error; the audit log goes to audit.directory.\n"
    "SIGTERM and SIGINT stop accepting, let requests finish (limits.drain, 30 s) and end.\n"
    "SIGHUP reads FILE and all it names again: everything is taken over, or nothing changes and the log says why.\n"
    "\n"
    "  -c FILE   gateway.conf (see `tidewaiter help options`)\n"
    "  -v        log every step of every request\n";

int
run_command(int argc, char **argv)
{
	const char *file = NULL;
	struct config *c;
	int opt;

	optind = 1;
	while ((opt = getopt(argc, argv, "c:vh")) != -1) {
		switch (opt) {
		case 'c':
			file = optarg;
			break;
		case 'v':
			log_set_level(LOG_DEBUG);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (file == NULL || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	c = config_load(file, true);
	return c == NULL ? 1 : serve(c);
}
