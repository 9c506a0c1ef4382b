/*
 * tag_client.c - the way of `tidewaiter tag` to the ledger.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/commands/tag_client.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gateway/evidence/blocks.h"
#include "gateway/operator/control.h"

struct tag_client {
	FILE *in, *out;
	char user[65];
	/* no gateway runs */
	struct ledger *ledger; /* NULL: one does */
	struct blocks *blocks;
	struct event_base *base;
	struct control *control;
	pthread_t thread;
};

/* ---- serving ourselves ---- */

static void *
serve(void *arg)
{
	struct tag_client *t = arg;

	event_base_dispatch(t->base);
	return NULL;
}

static bool
start_thread(struct tag_client *t)
{
	sigset_t all, old;
	bool ok;

	/* ^C is the command's: what was recorded stays whatever happens to this process */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&t->thread, NULL, serve, t) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

/* One end of a pair whose other end is served by a thread of ours; -1 after a message. */
static int
serve_ourselves(struct tag_client *t, const struct config *c)
{
	struct control_env env = { .settle = c->settle };
	char err[256] = "out of memory";
	int pair[2];

	(void)mkdir(c->audit_directory,
	    0700); /* the mark lives there; what is wrong with it is said by ledger_open() */
	t->ledger = ledger_open(c->ledger_url, c->ledger_mark, err, sizeof err);
	if (t->ledger == NULL) {
		fprintf(stderr, "tidewaiter: %s\n", err);
		if (c->control != NULL)
			fprintf(stderr, "tidewaiter: no gateway answers on %s either\n",
			    c->control);
		return -1;
	}
	if (evthread_use_pthreads() != 0 || (t->base = event_base_new()) == NULL ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		fprintf(stderr, "tidewaiter: %s\n", err);
		return -1;
	}
	env.base = t->base;
	env.ledger = t->ledger;
	t->blocks = env.blocks = blocks_open(t->ledger, err, sizeof err);
	if (t->blocks == NULL) {
		fprintf(stderr, "tidewaiter: %s\n", err);
		return -1;
	}
	t->control = control_serve(&env, pair[1]);
	if (t->control == NULL || !start_thread(t)) {
		fprintf(stderr, "tidewaiter: %s\n", err);
		control_free(t->control);
		t->control = NULL;
		close(pair[0]);
		return -1;
	}
	return pair[0];
}

/* ---- connecting ---- */

/* -1 when no gateway listens, -2 after a message. */
static int
connect_gateway(const struct config *c)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (c->control == NULL)
		return -1;
	memcpy(at.sun_path, c->control, strlen(c->control));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	if (errno == ENOENT || errno == ECONNREFUSED)
		return -1;
	fprintf(stderr,
	    "tidewaiter: %s: %s; only root and the user of the gateway may ask it\n",
	    c->control, strerror(errno));
	return -2;
}

/* Who is at the keyboard, as well as this machine knows. */
static void
name_user(char user[static 65])
{
	const char *sudo = getuid() == 0 ? getenv("SUDO_USER") : NULL;
	const struct passwd *pw = getpwuid(getuid());

	snprintf(user, 65, "%s",
	    sudo != NULL && *sudo != '\0' ? sudo
		: pw != NULL		  ? pw->pw_name
					  : "unknown");
	for (char *p = user; *p != '\0'; p++)
		if (strspn(p,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@\\-") ==
		    0)
			*p = '_';
}

struct tag_client *
tag_connect(const struct config *c)
{
	struct tag_client *t = calloc(1, sizeof *t);
	int fd, copy = -1;

	if (t == NULL) {
		fputs("tidewaiter: out of memory\n", stderr);
		return NULL;
	}
	signal(SIGPIPE, SIG_IGN);
	name_user(t->user);
	fd = connect_gateway(c);
	if (fd == -1)
		fd = serve_ourselves(t, c);
	if (fd >= 0)
		copy = dup(fd);
	t->in = fd < 0 ? NULL : fdopen(fd, "r");
	t->out = copy < 0 ? NULL : fdopen(copy, "w");
	if (t->in != NULL && t->out != NULL)
		return t;
	if (t->in == NULL && fd >= 0)
		close(fd);
	tag_disconnect(t);
	return NULL;
}

void
tag_disconnect(struct tag_client *t)
{
	if (t == NULL)
		return;
	/* the other end hears of it, and its loop ends */
	if (t->out != NULL)
		fclose(t->out);
	if (t->in != NULL)
		fclose(t->in);
	if (t->control != NULL)
		pthread_join(t->thread, NULL);
	ledger_stop(t->ledger);
	control_free(t->control);
	blocks_free(t->blocks);
	ledger_free(t->ledger);
	if (t->base != NULL)
		event_base_free(t->base);
	free(t);
}

bool
tag_gateway_runs(const struct tag_client *t)
{
	return t->ledger == NULL;
}

/* ---- asking ---- */

static bool
send_request(struct tag_client *t, json_t *request)
{
	bool ok;

	json_object_set_new(request, "user", json_string(t->user));
	ok = json_dumpf(request, t->out, JSON_COMPACT) == 0 && fputc('\n', t->out) != EOF &&
	    fflush(t->out) == 0;
	json_decref(request);
	return ok;
}

/* One line of the answer. True as long as there are more. */
static bool
take_line(json_t *line, void (*row)(void *ctx, json_t *row), void *ctx, json_t **end, bool *ok)
{
	json_t *value;

	if ((value = json_object_get(line, "row")) != NULL) {
		if (row != NULL)
			row(ctx, value);
		return true;
	}
	if ((value = json_object_get(line, "end")) != NULL) {
		*ok = true;
		if (end != NULL)
			*end = json_incref(value);
	} else {
		fprintf(stderr, "tidewaiter: %s\n", tag_text(line, "error"));
	}
	return false;
}

bool
tag_ask(struct tag_client *t, json_t *request, void (*row)(void *ctx, json_t *row), void *ctx,
    json_t **end)
{
	char *text = NULL;
	size_t room = 0;
	ssize_t n = -1;
	bool ok = false, more = true;

	if (end != NULL)
		*end = NULL;
	if (!send_request(t, request))
		more = false;
	while (more && (n = getline(&text, &room, t->in)) > 0) {
		json_t *line = json_loadb(text, (size_t)n, 0, NULL);

		more = take_line(line, row, ctx, end, &ok);
		json_decref(line);
	}
	if (n <= 0)
		fputs("tidewaiter: the gateway hung up; see its log\n", stderr);
	free(text);
	return ok;
}

/* ---- names ---- */

char *
tag_registry(const struct config_upstream *u)
{
	char *s;

	return asprintf(&s, "%s%s", u->origin, u->path) < 0 ? NULL : s;
}

const char *
tag_registry_alias(const struct config *c, const char *registry)
{
	for (size_t i = 0; i < c->n_upstream; i++) {
		size_t n = strlen(c->upstream[i].origin);

		if (strncmp(registry, c->upstream[i].origin, n) == 0 &&
		    strcmp(registry + n, c->upstream[i].path) == 0)
			return c->upstream[i].alias;
	}
	return registry;
}

/* The upstream whose alias and a slash the text begins with. */
static const struct config_upstream *
named_upstream(const struct config *c, const char *text)
{
	for (size_t i = 0; i < c->n_upstream; i++) {
		size_t n = strlen(c->upstream[i].alias);

		if (strncmp(text, c->upstream[i].alias, n) == 0 && text[n] == '/')
			return &c->upstream[i];
	}
	return NULL;
}

bool
tag_name_parse(const struct config *c, const char *text, struct tag_name *out)
{
	const char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');

	memset(out, 0, sizeof *out);
	out->upstream = named_upstream(c, text);
	out->named = out->upstream != NULL;
	if (out->named)
		text += strlen(out->upstream->alias) + 1;
	if (colon != NULL && (slash == NULL || colon > slash)) {
		out->tag = strdup(colon + 1);
		out->repository = strndup(text, (size_t)(colon - text));
	} else {
		out->repository = strdup(text);
	}
	if (out->upstream == NULL && out->repository != NULL)
		out->upstream = config_upstream_for(c, span_of(out->repository));
	out->registry = out->upstream == NULL ? NULL : tag_registry(out->upstream);
	return out->repository != NULL;
}

void
tag_name_free(struct tag_name *n)
{
	free(n->registry);
	free(n->repository);
	free(n->tag);
	memset(n, 0, sizeof *n);
}

/* ---- printing ---- */

const char *
tag_time(json_int_t at, char buf[static 32])
{
	time_t when = (time_t)at;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL || strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(buf, 32, "?");
	return buf;
}

const char *
tag_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text == NULL ? "" : text;
}

void
tag_print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}
