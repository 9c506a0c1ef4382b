/*
 * control.c - listener and connections of the control socket.
 *
 * A connection reads a line, runs its verb, and reads no further line before that one is answered. With operations of
 * the ledger under way it outlives its client: their memory is its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/operator/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/spool.h"
#include "gateway/tags/ledger_evidence.h"
#include "gateway/log.h"

#define CLIENTS_MAX 16u
#define OUT_HIGH \
	262144u /* a client that has so much to take gets no further rows before it took most of it */
#define OUT_LOW 65536u

struct client {
	struct control_call call; /* first */
	struct control *control;
	struct bufferevent *io; /* NULL: the client is gone */
	unsigned left; /* operations that the ledger has */
	bool waits; /* control_submit() until the client took what there is */
	bool running; /* a request is being answered */
	struct client *next, **prev;
};

struct control {
	struct control_env env;
	struct mailbox *mailbox;
	struct evconnlistener *listener; /* NULL: control_serve() */
	char *path;
	struct stat was;
	struct client *clients;
	unsigned n_clients;
};

static void next_line(struct client *c);

/* ---- the life of a connection ---- */

static void
request_free(struct client *c)
{
	struct control_call *call = &c->call;

	ledger_rows_free(call->page.rows);
	ledger_rows_free(call->page.last);
	memset(&call->page, 0, sizeof call->page);
	json_decref(call->request);
	call->request = NULL;
	for (unsigned i = 0; i < call->n_ops; i++)
		if (call->ops[i].op.verb == LEDGER_BLOCKS)
			ledger_blocks_free(call->ops[i].op.block);
	free(call->ops);
	call->ops = NULL;
	call->n_ops = 0;
	free(call->extra);
	call->extra = NULL;
	c->running = c->waits = false;
}

static void
client_free(struct client *c)
{
	struct control *k = c->control;

	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	k->n_clients--;
	request_free(c);
	if (c->io != NULL)
		bufferevent_free(c->io);
	free(c);
	if (k->listener == NULL)
		event_base_loopexit(k->env.base, NULL);
}

/* The client is gone; what the ledger has of it comes back first. */
static void
hang_up(struct client *c)
{
	if (c->left > 0) {
		if (c->io != NULL)
			bufferevent_free(c->io);
		c->io = NULL;
		return;
	}
	client_free(c);
}

/* ---- for verbs ---- */

static void
say(struct client *c, const char *key, json_t *value)
{
	json_t *line = value == NULL ? NULL : json_pack("{s:o}", key, value);
	char *text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);

	if (c->io != NULL) {
		struct evbuffer *out = bufferevent_get_output(c->io);

		if (text == NULL)
			evbuffer_add_printf(out, "{\"error\":\"out of memory\"}\n");
		else
			evbuffer_add_printf(out, "%s\n", text);
	}
	free(text);
	json_decref(line);
}

void
control_row(struct control_call *call, json_t *row)
{
	say((struct client *)(void *)call, "row", row);
}

void
control_end(struct control_call *call, json_t *end)
{
	struct client *c = (struct client *)(void *)call;

	say(c, "end", end);
	c->running = false;
}

void
control_error(struct control_call *call, const char *fmt, ...)
{
	struct client *c = (struct client *)(void *)call;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	say(c, "error", control_json_text(span_of(text)));
	c->running = false;
}

json_t *
control_json_text(struct span s)
{
	json_t *text = json_stringn(s.p == NULL ? "" : s.p, s.n);
	char *ascii;

	/* not UTF-8: a subject may be anything */
	if (text == NULL && (ascii = malloc(s.n + 1)) != NULL) {
		for (size_t i = 0; i < s.n; i++)
			ascii[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
		text = json_stringn(ascii, s.n);
		free(ascii);
	}
	return text;
}

const char *
control_text(const struct control_call *call, const char *key, size_t max, bool *ok)
{
	json_t *value = json_object_get(call->request, key);

	if (value == NULL)
		return "";
	if (!json_is_string(value) || json_string_length(value) > max ||
	    strlen(json_string_value(value)) != json_string_length(value)) {
		*ok = false;
		return "";
	}
	return json_string_value(value);
}

bool
control_digest(struct control_call *call, const char *key, char out[static LEDGER_DIGEST])
{
	bool ok = true;
	const char *text = control_text(call, key, LEDGER_DIGEST, &ok);
	size_t n = strlen(text);

	memset(out, 0, LEDGER_DIGEST);
	if (ok && n == LEDGER_DIGEST - 1) {
		memcpy(out, text, n);
		ok = ledger_digest_valid(out);
	} else {
		ok = ok && n == 0;
	}
	if (!ok)
		control_error(call, "%s is not a sha256 digest", key);
	return ok;
}

/* ---- state events ---- */

struct span
control_event_id(struct control_call *call)
{
	struct audit_event e;

	event_now(&e);
	json_object_set_new(call->request, "event_id", json_string(e.id));
	return span_of(json_string_value(json_object_get(call->request, "event_id")));
}

void
control_record(struct control_call *call, struct audit_event *e, struct span id)
{
	char line[EVENT_MAX];
	size_t n;

	if (call->env->spool == NULL)
		return;
	e->action = SPAN("none");
	e->decision = AUDIT_ALLOW;
	e->reason = "ok";
	e->actor.subject = span_of(call->who);
	e->actor.method = SPAN("operator");
	event_now(e);
	if (id.n == EVENT_ID_LEN)
		memcpy(e->id, id.p, EVENT_ID_LEN);
	n = event_write(e, line, sizeof line);
	if (n == 0 || !spool_put(call->env->spool, (struct span){ line, n }, NULL))
		log_warn("msg=%s of %.*s could not be recorded", e->event, SPAN_FMT(e->registry.repository));
}

/* ---- answers ---- */

struct mailbox *
control_wait(struct control_call *call)
{
	struct client *c = (struct client *)(void *)call;

	c->left = 1;
	return c->control->mailbox;
}

void
control_answered(struct control_call *call)
{
	struct client *c = (struct client *)(void *)call;

	if (--c->left > 0)
		return;
	if (c->io == NULL) {
		client_free(c);
		return;
	}
	c->call.verb->more(&c->call);
	next_line(c);
}

static void
on_answer(struct mail *m)
{
	struct control_op *o =
	    (struct control_op *)(void *)((char *)m - offsetof(struct control_op, op.mail));

	control_answered(o->call);
}

struct control_op *
control_ops(struct control_call *call, unsigned n)
{
	struct client *c = (struct client *)(void *)call;

	free(call->ops);
	call->n_ops = 0;
	call->ops = n == 0 || n > CONTROL_OPS_MAX ? NULL : calloc(n, sizeof *call->ops);
	if (call->ops == NULL) {
		control_error(call, "too much at once, or no memory");
		return NULL;
	}
	call->n_ops = n;
	for (unsigned i = 0; i < n; i++) {
		call->ops[i].call = call;
		call->ops[i].op = (struct ledger_op){ .mail.deliver = on_answer,
			.reply_to = c->control->mailbox,
			.who = span_of(call->who),
			.source = span_of(call->source),
			.now = time(NULL) };
	}
	return call->ops;
}

static void
submit(struct client *c)
{
	struct control_call *call = &c->call;

	c->waits = false;
	c->left = call->n_ops;
	for (unsigned i = 0; i < call->n_ops; i++)
		ledger_submit(call->env->ledger, &call->ops[i].op);
}

void
control_submit(struct control_call *call)
{
	struct client *c = (struct client *)(void *)call;

	c->waits = evbuffer_get_length(bufferevent_get_output(c->io)) > OUT_HIGH;
	if (!c->waits)
		submit(c);
}

/* ---- requests ---- */

static const struct {
	const struct control_verb *verb;
	const size_t *n;
} tables[] = {
	{ control_tag_verbs, &control_n_tag_verbs },
	{ control_quarantine_verbs, &control_n_quarantine_verbs },
};

static void
help(struct control_call *call)
{
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (size_t i = 0; i < *tables[t].n; i++)
			control_row(call, control_json_text(span_of(tables[t].verb[i].name)));
	control_end(call, json_object());
}

static const struct control_verb help_verb = { "help", help, NULL };

static const struct control_verb *
verb_of(const char *name)
{
	if (strcmp(name, help_verb.name) == 0)
		return &help_verb;
	for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
		for (size_t i = 0; i < *tables[t].n; i++)
			if (strcmp(name, tables[t].verb[i].name) == 0)
				return &tables[t].verb[i];
	return NULL;
}

/* A name as it may stand in a log line. */
static bool
user_valid(const char *user)
{
	size_t n =
	    strspn(user, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@\\-");

	return user[n] == '\0' && n <= 64;
}

static void
run_line(struct client *c, const char *line, size_t n)
{
	struct control_call *call = &c->call;
	json_error_t e;
	bool ok = true;
	const char *name, *user;

	c->running = true;
	call->request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &e);
	name = control_text(call, "verb", 64, &ok);
	user = control_text(call, "user", 64, &ok);
	call->verb = verb_of(name);
	if (!json_is_object(call->request) || !ok || !user_valid(user)) {
		control_error(call, "not a request: one JSON object a line, with verb and user");
		return;
	}
	if (call->verb == NULL) {
		control_error(call, "no verb %s; this gateway may be of another version", name);
		return;
	}
	snprintf(call->who, sizeof call->who, "operator:%s", *user == '\0' ? "unknown" : user);
	call->verb->begin(call);
}

/* Lines that are there, as long as none of them is under way. */
static void
next_line(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->io);
	size_t n;
	char *line;

	while (!c->running) {
		request_free(c);
		line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF);
		if (line == NULL) {
			if (evbuffer_get_length(in) < CONTROL_LINE_MAX) {
				bufferevent_enable(c->io, EV_READ);
				return;
			}
			hang_up(c);
			return;
		}
		run_line(c, line, n);
		free(line);
	}
	/* the rest stays in the socket */
	bufferevent_disable(c->io, EV_READ);
}

static void
on_read(struct bufferevent *io, void *arg)
{
	(void)io;
	next_line(arg);
}

static void
on_drained(struct bufferevent *io, void *arg)
{
	struct client *c = arg;

	(void)io;
	if (c->waits)
		submit(c);
}

static void
on_end(struct bufferevent *io, short what, void *arg)
{
	(void)io;
	(void)what;
	hang_up(arg);
}

/* fd is ours from here on. */
static bool
client_new(struct control *k, int fd, const struct ucred *who)
{
	struct client *c = k->n_clients < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;

	if (c != NULL)
		c->io = bufferevent_socket_new(k->env.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c == NULL || c->io == NULL) {
		free(c);
		close(fd);
		return false;
	}
	c->control = k;
	c->call.env = &k->env;
	snprintf(c->call.source, sizeof c->call.source, "control uid=%u pid=%d", who->uid,
	    (int)who->pid);
	c->next = k->clients;
	c->prev = &k->clients;
	if (c->next != NULL)
		c->next->prev = &c->next;
	k->clients = c;
	k->n_clients++;
	bufferevent_setcb(c->io, on_read, on_drained, on_end, c);
	bufferevent_setwatermark(c->io, EV_READ, 0, CONTROL_LINE_MAX);
	bufferevent_setwatermark(c->io, EV_WRITE, OUT_LOW, 0);
	bufferevent_enable(c->io, EV_READ | EV_WRITE);
	return true;
}

/* ---- the socket ---- */

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n, void *arg)
{
	struct control *k = arg;
	struct ucred who;
	socklen_t size = sizeof who;

	(void)l;
	(void)sa;
	(void)n;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
	    (who.uid != 0 && who.uid != geteuid())) {
		log_warn("msg=control socket: a process of another user was turned away");
		close(fd);
		return;
	}
	if (!client_new(k, fd, &who))
		log_warn("msg=control socket: too many connections");
}

static bool
refuse(char *err, size_t err_size, const char *path, const char *why)
{
	snprintf(err, err_size, "%s: %s", path, why);
	return false;
}

/* A socket that somebody listens on is somebody's; one that nobody does was left by a gateway that was killed. */
static bool
clear_path(const struct sockaddr_un *at, char *err, size_t err_size)
{
	struct stat st;
	int fd, rc, why;

	if (lstat(at->sun_path, &st) != 0)
		return true;
	if (!S_ISSOCK(st.st_mode))
		return refuse(err, err_size, at->sun_path, "is there and is not a socket");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)at, sizeof *at);
	why = errno;
	if (fd >= 0)
		close(fd);
	if (rc == 0 || why != ECONNREFUSED)
		return refuse(err, err_size, at->sun_path,
		    rc == 0 ? "another gateway listens on it" : strerror(why));
	if (unlink(at->sun_path) != 0)
		return refuse(err, err_size, at->sun_path, strerror(errno));
	return true;
}

static int
bind_path(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof at.sun_path) {
		(void)refuse(err, err_size, path, "is too long for a socket (107 bytes)");
		return -1;
	}
	memcpy(at.sun_path, path, strlen(path));
	if (!clear_path(&at, err, err_size))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* the mode before the name: there is no moment at which others may connect */
	if (fd >= 0 && fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
	    listen(fd, 8) == 0)
		return fd;
	(void)refuse(err, err_size, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct control *
control_new(const struct control_env *env)
{
	struct control *k = calloc(1, sizeof *k);

	if (k == NULL)
		return NULL;
	k->env = *env;
	k->mailbox = mailbox_new(env->base);
	if (k->mailbox == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

struct control *
control_listen(const struct control_env *env, const char *path, char *err, size_t err_size)
{
	struct control *k;
	int fd = bind_path(path, err, err_size);

	if (fd < 0)
		return NULL;
	k = control_new(env);
	if (k != NULL) {
		k->path = strdup(path);
		k->listener =
		    evconnlistener_new(env->base, on_accept, k, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	}
	if (k == NULL || k->listener == NULL || k->path == NULL || lstat(path, &k->was) != 0) {
		(void)refuse(err, err_size, path, "out of memory");
		if (k == NULL || k->listener == NULL)
			close(fd);
		control_free(k);
		return NULL;
	}
	return k;
}

struct control *
control_serve(const struct control_env *env, int fd)
{
	struct control *k = control_new(env);
	const struct ucred self = { .pid = getpid(), .uid = geteuid() };

	if (k == NULL) {
		close(fd);
		return NULL;
	}
	if (evutil_make_socket_nonblocking(fd) != 0 || !client_new(k, fd, &self)) {
		control_free(k);
		return NULL;
	}
	return k;
}

void
control_settle(struct control *c, int64_t settle)
{
	c->env.settle = settle;
}

void
control_free(struct control *k)
{
	struct stat now;

	if (k == NULL)
		return;
	if (k->path != NULL && lstat(k->path, &now) == 0 && now.st_ino == k->was.st_ino &&
	    now.st_dev == k->was.st_dev)
		unlink(k->path);
	while (k->clients != NULL) {
		k->clients->left = 0;
		client_free(k->clients);
	}
	if (k->listener != NULL)
		evconnlistener_free(k->listener);
	mailbox_free(k->mailbox);
	free(k->path);
	free(k);
}
