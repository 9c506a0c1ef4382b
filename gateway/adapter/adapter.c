/*
 * adapter.c - the listener: metadata, a scan asked for, its report.
 *
 * Invariant: nothing but a 401 is said to who does not show the Authorization that is configured; at most CLIENTS_MAX connections of one
 * request and DEADLINE_MS each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/adapter/adapter.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/adapter/jobs.h"
#include "gateway/adapter/look.h"
#include "gateway/evidence/modules.h"
#include "gateway/http/body.h"
#include "gateway/http/write.h"
#include "gateway/log.h"
#include "gateway/mailbox.h"
#include "gateway/stream/stream.h"
#include "gateway/stream/tls.h"

#define CLIENTS_MAX  64u
#define DEADLINE_MS  10000u
#define ARENA_MAX    ((size_t)4 * API_REQUEST_MAX)
#define REFRESH_S    2u		/* Refresh-After of a report that is not there yet */
#define BACKLOG	     64

struct client {
	struct adapter *adapter;
	struct stream *stream;
	struct client *next, **prev;
	struct http_scan scan;
	struct arena *arena;		/* NULL until the head is whole */
	struct http_head head;
	struct http_body body;
	bool in_body, answered;
	size_t n;
	char *sent;			/* body so far, room for API_REQUEST_MAX */
};

struct adapter {
	struct loop *loop;
	struct mailbox *mailbox;
	struct mail stop;
	pthread_t thread;
	bool started;
	int fd;
	struct event *accepting;
	struct client *clients;
	unsigned n_clients;
	struct jobs *jobs;
	pthread_mutex_t lock;
	struct setup *setup;		/* (lock) a reference */
	SSL_CTX *tls;			/* (lock) NULL: plain HTTP */
};

static struct setup *
setup_now(struct adapter *a)
{
	struct setup *s;

	pthread_mutex_lock(&a->lock);
	s = setup_ref(a->setup);
	pthread_mutex_unlock(&a->lock);
	return s;
}

/* ---- answers ---- */

static void
client_free(struct client *c)
{
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->adapter->n_clients--;
	stream_close(c->stream);
	arena_free(c->arena);
	free(c->sent);
	free(c);
}

struct answer {
	unsigned status;
	const char *type;
	struct span body;
	struct span field, value;	/* one more; field.n == 0: none */
};

static void
answer(struct client *c, const struct answer *a)
{
	char head[1024];
	struct http_writer w;
	struct span out;

	http_writer_init(&w, head, sizeof head);
	http_write_status_line(&w, a->status, span_of(http_reason(a->status)));
	if (a->type != NULL)
		http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, span_of(a->type));
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, a->body.n);
	http_write_field_id(&w, HTTP_FIELD_CONNECTION, SPAN("close"));
	if (a->field.n > 0)
		http_write_field(&w, a->field, a->value);
	out = http_write_end(&w);
	c->answered = true;
	if (out.p != NULL) {
		stream_write(c->stream, out);
		if (a->body.n > 0 && c->head.method != HTTP_HEAD)
			stream_write(c->stream, a->body);
	}
	stream_shutdown(c->stream);
}

/* body: on the heap, freed here; NULL: there was no memory for it. */
static void
answer_text(struct client *c, unsigned status, const char *type, char *body, size_t n)
{
	struct answer a = { .status = body == NULL ? 500 : status, .type = body == NULL ? NULL : type, .body = { body, n } };

	if (body == NULL)
		a.body = SPAN("");
	answer(c, &a);
	free(body);
}

static void
answer_error(struct client *c, unsigned status, const char *why)
{
	size_t n = 0;
	char *text = api_error_text(span_of(why), &n);

	answer_text(c, status, API_TYPE_ERROR, text, n);
}

/* ---- who asks ---- */

static bool
same_secret(struct span given, const char *wanted)
{
	unsigned char a[EVP_MAX_MD_SIZE], b[EVP_MAX_MD_SIZE];
	unsigned n = 0, m = 0;

	/* of equal length, whatever was given: what is compared tells nothing of where it differs */
	return given.p != NULL && wanted != NULL && EVP_Digest(given.p, given.n, a, &n, EVP_sha256(), NULL) == 1 &&
	    EVP_Digest(wanted, strlen(wanted), b, &m, EVP_sha256(), NULL) == 1 && n == m && CRYPTO_memcmp(a, b, n) == 0;
}

static bool
is_known(struct client *c)
{
	struct setup *s = setup_now(c->adapter);
	const char *wanted = s->config->adapter.authorization;
	bool ok = same_secret(c->head.field[HTTP_FIELD_AUTHORIZATION], wanted);
	bool basic = wanted != NULL && span_starts(span_of(wanted), SPAN("Basic "));
	size_t n = 0;
	char *text;

	if (!ok) {
		struct answer a = { .status = 401, .type = API_TYPE_ERROR, .field = SPAN("WWW-Authenticate"),
			.value = basic ? SPAN("Basic realm=\"tidewaiter\"") : SPAN("Bearer realm=\"tidewaiter\"") };

		text = api_error_text(SPAN("this is not who may ask here"), &n);
		a.body = text == NULL ? SPAN("") : (struct span){ text, n };
		answer(c, &a);
		free(text);
	}
	setup_unref(s);
	return ok;
}

/* ---- what is asked ---- */

static void
give_metadata(struct client *c)
{
	struct setup *s = setup_now(c->adapter);
	const struct engine *engine = module_engine(s->config);
	size_t n = 0;
	char *text = engine == NULL ? NULL : api_metadata_text(module_engine_version(engine), &n);

	if (engine == NULL)
		answer_error(c, 500, "nothing is configured that scans");
	else
		answer_text(c, 200, API_TYPE_METADATA, text, n);
	setup_unref(s);
}

static void
begin_scan(struct client *c)
{
	struct setup *s = setup_now(c->adapter);
	struct api_request q;
	char err[256], id[JOB_ID], *text;
	int n;

	switch (api_request_read((struct span){ c->sent, c->n }, c->arena, &q, err, sizeof err)) {
	case API_BAD:
		answer_error(c, 400, err);
		break;
	case API_UNPROCESSABLE:
		answer_error(c, 422, err);
		break;
	case API_READ:
		if (module_engine(s->config) == NULL)
			answer_error(c, 500, "nothing is configured that scans");
		else if (look_upstream(s->config, q.url, q.repository) == NULL)
			answer_error(c, 422, "registry.url: this gateway stands in front of no such registry");
		else if (!jobs_add(c->adapter->jobs, s, &q, id))
			answer_error(c, 500, "too many scans wait: ask again later");
		else {
			n = asprintf(&text, "{\"id\":\"%s\"}", id);
			answer_text(c, 202, API_TYPE_RESPONSE, n < 0 ? NULL : text, n < 0 ? 0 : (size_t)n);
		}
		break;
	}
	setup_unref(s);
}

static void
give_report(struct client *c, struct span id)
{
	struct span accept = c->head.field[HTTP_FIELD_ACCEPT];
	bool now = api_accepts(accept, SPAN("application/vnd.security.vulnerability.report"), SPAN("1.1"));
	bool old = api_accepts(accept, SPAN("application/vnd.scanner.adapter.vuln.report.harbor+json"), SPAN("1.0"));
	char *text, seconds[16];

	if (!now && !old) {
		answer_error(c, 406, "that is no report that is made here");
		return;
	}
	switch (jobs_find(c->adapter->jobs, id, &text)) {
	case JOB_UNKNOWN:
		answer_error(c, 404, "there is no such scan, or it was long ago: ask for it again");
		break;
	case JOB_RUNNING:
		snprintf(seconds, sizeof seconds, "%u", REFRESH_S);
		answer(c, &(struct answer){ .status = 302, .body = SPAN(""), .field = SPAN("Refresh-After"), .value = span_of(seconds) });
		break;
	case JOB_FAILED:
		answer_error(c, 500, text == NULL ? "failed" : text);
		break;
	case JOB_DONE:
		answer_text(c, 200, now ? API_TYPE_REPORT : API_TYPE_HARBOR, text, text == NULL ? 0 : strlen(text));
		text = NULL;
		break;
	}
	free(text);
}

/* "/api/v1/scan/ID/report" */
static bool
is_report(struct span target, struct span *id)
{
	struct span head = SPAN("/api/v1/scan/"), tail = SPAN("/report");

	if (!span_starts(target, head) || !span_ends(target, tail) || target.n != head.n + JOB_ID - 1 + tail.n)
		return false;
	*id = (struct span){ target.p + head.n, JOB_ID - 1 };
	return true;
}

static void
only(struct client *c, const char *method)
{
	size_t n = 0;
	char *text = api_error_text(SPAN("that is not done here"), &n);

	answer(c, &(struct answer){ .status = 405, .type = API_TYPE_ERROR, .body = text == NULL ? SPAN("") : (struct span){ text, n },
	    .field = SPAN("Allow"), .value = span_of(method) });
	free(text);
}

/* The request is whole. */
static void
serve(struct client *c)
{
	const struct http_head *h = &c->head;
	struct span id;

	if (!is_known(c))
		return;
	if (span_eq(h->target, SPAN("/api/v1/scan"))) {
		if (h->method != HTTP_POST)
			only(c, "POST");
		else if (h->field[HTTP_FIELD_CONTENT_TYPE].p == NULL ||
		    (!api_accepts(h->field[HTTP_FIELD_CONTENT_TYPE], SPAN(API_TYPE_REQUEST), SPAN("1.0")) &&
		    !api_accepts(h->field[HTTP_FIELD_CONTENT_TYPE], SPAN(API_TYPE_REQUEST), SPAN("1.1"))))
			answer_error(c, 415, "Content-Type must be " API_TYPE_REQUEST "; version=1.0");
		else
			begin_scan(c);
	} else if (span_eq(h->target, SPAN("/api/v1/metadata"))) {
		if (h->method == HTTP_GET)
			give_metadata(c);
		else
			only(c, "GET");
	} else if (is_report(h->target, &id)) {
		if (h->method == HTTP_GET)
			give_report(c, id);
		else
			only(c, "GET");
	} else {
		answer_error(c, 404, "there is nothing here");
	}
}

/* ---- reading ---- */

static size_t
read_body(struct client *c, struct span in)
{
	size_t taken = 0, used;
	struct span payload;

	for (;;) {
		enum http_body_state state = http_body_read(&c->body, span_skip(in, taken), &used, &payload);

		taken += used;
		if (state == HTTP_BODY_DATA && payload.n <= API_REQUEST_MAX - c->n) {
			memcpy(c->sent + c->n, payload.p, payload.n);
			c->n += payload.n;
		} else if (state == HTTP_BODY_DATA) {
			answer_error(c, 413, "that is too long for a scan request");
			return in.n;
		} else if (state == HTTP_BODY_BAD) {
			answer_error(c, 400, "malformed body");
			return in.n;
		} else {
			if (state == HTTP_BODY_END)
				serve(c);
			return taken;
		}
	}
}

/* False: it was answered. */
static bool
begin_body(struct client *c)
{
	if (c->head.framing == HTTP_FRAMING_NONE || (c->head.framing == HTTP_FRAMING_LENGTH && c->head.length == 0)) {
		serve(c);
		return false;
	}
	/* nobody sends us anything before we know them */
	if (!is_known(c))
		return false;
	if (c->head.framing == HTTP_FRAMING_LENGTH && c->head.length > API_REQUEST_MAX) {
		answer_error(c, 413, "that is too long for a scan request");
		return false;
	}
	c->sent = malloc(API_REQUEST_MAX);
	if (c->sent == NULL) {
		answer_error(c, 500, "out of memory");
		return false;
	}
	http_body_init(&c->body, c->head.framing, c->head.length);
	c->in_body = true;
	if (c->head.expect_continue)
		stream_write(c->stream, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
	return true;
}

static size_t
on_data(void *ctx, struct span in)
{
	struct client *c = ctx;
	struct span head;

	if (c->answered)
		return in.n;
	if (c->in_body)
		return read_body(c, in);
	switch (http_scan(&c->scan, in.p, in.n, &http_limits_default)) {
	case HTTP_READ_MORE:
		return 0;
	case HTTP_READ_BAD:
		answer_error(c, 400, "malformed request");
		return in.n;
	case HTTP_READ_DONE:
		break;
	}
	/* it outlives the bytes it is read from */
	c->arena = arena_new(ARENA_MAX);
	head = c->arena == NULL ? SPAN_NONE : arena_dup(c->arena, (struct span){ in.p, c->scan.length });
	if (head.p == NULL)
		answer_error(c, 500, "out of memory");
	else if (http_request_parse(head, &http_limits_default, c->arena, &c->head) != REFUSE_NONE)
		answer_error(c, 400, "malformed request");
	else if (begin_body(c))
		return c->scan.length + read_body(c, span_skip(in, c->scan.length));
	return in.n;
}

static void
on_end(void *ctx)
{
	client_free(ctx);
}

static void
on_ready(void *ctx)
{
	(void)ctx;
}

static void
on_fail(void *ctx, enum stream_fail why, const char *text)
{
	(void)why;
	(void)text;
	client_free(ctx);
}

static const struct stream_ops ops = { .on_ready = on_ready, .on_data = on_data, .on_drain = on_ready, .on_eof = on_end,
	.on_fail = on_fail };

/* ---- connections ---- */

static void
greet(struct adapter *a, int fd)
{
	struct client *c = a->n_clients < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
	SSL_CTX *tls;

	if (c == NULL) {
		close(fd);
		return;
	}
	pthread_mutex_lock(&a->lock);
	tls = a->tls;
	if (tls != NULL)
		SSL_CTX_up_ref(tls);
	pthread_mutex_unlock(&a->lock);
	c->stream = stream_accept(a->loop, fd, tls, &ops, c);
	SSL_CTX_free(tls);
	if (c->stream == NULL) {
		free(c);
		return;
	}
	c->adapter = a;
	c->next = a->clients;
	c->prev = &a->clients;
	if (a->clients != NULL)
		a->clients->prev = &c->next;
	a->clients = c;
	a->n_clients++;
	stream_deadline(c->stream, DEADLINE_MS);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	int c = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (c != -1)
		greet(arg, c);
	else if (errno == EMFILE || errno == ENFILE)
		usleep(1000);	/* this thread has nothing better to do */
}

static void
on_stop(struct mail *m)
{
	struct adapter *a = (struct adapter *)(void *)((char *)m - offsetof(struct adapter, stop));

	while (a->clients != NULL)
		client_free(a->clients);
	event_base_loopbreak(a->loop->base);
}

static void *
run(void *arg)
{
	struct adapter *a = arg;

	event_base_dispatch(a->loop->base);
	return NULL;
}

/* ---- life ---- */

/* NULL and err "": plain HTTP. */
static SSL_CTX *
make_tls(const struct config *c, char *err, size_t err_size)
{
	*err = '\0';
	return c->adapter.certificate == NULL ? NULL :
	    tls_server_new(&(char *){ c->adapter.certificate }, &(char *){ c->adapter.private_key }, 1, err, err_size);
}

static int
listen_at(const char *address, char *err, size_t err_size)
{
	struct sockaddr_storage at;
	int len = sizeof at, on = 1, fd;

	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&at, &len) != 0) {
		snprintf(err, err_size, "\"%s\" is not an address and port", address);
		return -1;
	}
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    bind(fd, (struct sockaddr *)&at, (socklen_t)len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	snprintf(err, err_size, "cannot listen on %s: %s", address, strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

struct adapter *
adapter_start(struct setup *s, char *err, size_t err_size)
{
	const struct config *c = s->config;
	struct adapter *a = calloc(1, sizeof *a);

	if (a == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&a->lock, NULL);
	a->setup = setup_ref(s);
	a->stop.deliver = on_stop;
	a->fd = -1;
	a->tls = make_tls(c, err, err_size);
	if (a->tls == NULL && *err != '\0')
		goto fail;
	a->fd = listen_at(c->adapter.listen, err, err_size);
	if (a->fd == -1)
		goto fail;
	snprintf(err, err_size, "out of memory");
	a->loop = loop_new();
	a->mailbox = a->loop == NULL ? NULL : mailbox_new(a->loop->base);
	a->jobs = jobs_start(c->evidence.threads);
	if (a->mailbox == NULL || a->jobs == NULL)
		goto fail;
	a->accepting = event_new(a->loop->base, a->fd, EV_READ | EV_PERSIST, on_accept, a);
	if (a->accepting == NULL || event_add(a->accepting, NULL) != 0 || pthread_create(&a->thread, NULL, run, a) != 0)
		goto fail;
	a->started = true;
	return a;
fail:
	adapter_free(a);
	return NULL;
}

void
adapter_follow(struct adapter *a, struct setup *s)
{
	char err[256];
	SSL_CTX *tls = make_tls(s->config, err, sizeof err), *old = tls;
	struct setup *was;

	pthread_mutex_lock(&a->lock);
	was = a->setup;
	a->setup = setup_ref(s);
	if (tls != NULL) {
		old = a->tls;
		a->tls = tls;
	}
	pthread_mutex_unlock(&a->lock);
	if (tls == NULL && *err != '\0')
		log_warn("msg=the adapter goes on with the certificate it has: %s", err);
	SSL_CTX_free(old);
	setup_unref(was);
}

void
adapter_free(struct adapter *a)
{
	if (a == NULL)
		return;
	if (a->started) {
		mailbox_post(a->mailbox, &a->stop);
		pthread_join(a->thread, NULL);
	}
	jobs_free(a->jobs);
	if (a->accepting != NULL)
		event_free(a->accepting);
	if (a->fd != -1)
		close(a->fd);
	if (a->mailbox != NULL)
		mailbox_free(a->mailbox);
	if (a->loop != NULL)
		loop_free(a->loop);
	SSL_CTX_free(a->tls);
	setup_unref(a->setup);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
