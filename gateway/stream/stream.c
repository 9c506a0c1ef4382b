/*
 * stream.c - sockets and TLS behind five callbacks.
 *
 * OpenSSL reads from and writes to memory (one BIO of ours); the socket is read into the loop's rx buffer and
 * written from its tx buffer, one system call a batch. Invariants: a stream with bytes in `out` has its write
 * event added; `kept` holds plaintext offered but not taken; `cipher` holds received bytes OpenSSL has not seen,
 * only while paused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/stream/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORD		16384u	/* largest TLS plaintext */
#define RECORD_WIRE	(RECORD + 512u)
#define READ_ROUNDS	8	/* receives a wake-up: then others get their turn */

struct bytes {		/* a heap buffer with a read position */
	char *p;
	size_t at, n, size;	/* unread bytes are p[at..n) */
};

enum state { CONNECTING, HANDSHAKE, OPEN };

struct stream {
	struct loop *loop;
	const struct stream_ops *ops;
	void *ctx;
	int fd;
	enum state state;
	SSL *ssl;
	struct event *read_ev, *write_ev, *timer;
	struct bytes out, kept, cipher;
	struct bytes proxy;	/* a PROXY header that came in pieces, and what came with its end */
	struct span src;	/* received bytes OpenSSL may read now */
	struct loop_task task;	/* deliver kept bytes, report a failed write, or free */
	int64_t deadline;	/* monotonic ms; 0: none */
	int64_t timer_at;	/* when the timer fires; it is re-armed lazily */
	bool paused, resumed, eof, told_eof, closed, fin, wants_fin, was_blocked, wrote;
	bool unwatched;		/* the read event fired while paused and was taken off */
	bool unsendable;	/* a write failed: nothing more is sent, what was received is still read */
	bool broken;		/* on_fail() was called */
	bool awaits_proxy;	/* a PROXY header comes before anything else */
};

/* ---- heap buffers ---- */

static bool
bytes_add(struct bytes *b, const char *p, size_t n)
{
	if (b->at > 0) {
		memmove(b->p, b->p + b->at, b->n - b->at);
		b->n -= b->at;
		b->at = 0;
	}
	if (b->size - b->n < n) {
		size_t size = b->n + n < 4096 ? 4096 : b->n + n + (b->n + n) / 4;
		char *more = realloc(b->p, size);

		if (more == NULL)
			return false;
		b->p = more;
		b->size = size;
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return true;
}

static void
bytes_drop(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}

static size_t
bytes_left(const struct bytes *b)
{
	return b->n - b->at;
}

/* ---- sending ---- */

static void
fail_later(struct stream *s)
{
	s->unsendable = true;
	bytes_drop(&s->out);
	event_del(s->write_ev);
	loop_later(s->loop, &s->task);
}

static void
keep_unsent(struct stream *s, const char *p, size_t n)
{
	if (n == 0 || s->unsendable)
		return;
	if (!bytes_add(&s->out, p, n)) {
		fail_later(s);
		return;
	}
	s->was_blocked = true;
	event_add(s->write_ev, NULL);
}

/* Send n bytes at p; what the socket does not take is kept. */
static void
send_now(struct stream *s, const char *p, size_t n)
{
	while (n > 0 && !s->unsendable) {
		ssize_t sent = send(s->fd, p, n, MSG_NOSIGNAL);

		if (sent == -1 && errno == EINTR)
			continue;
		if (sent == -1 && errno != EAGAIN) {
			fail_later(s);
			return;
		}
		if (sent <= 0)
			break;
		p += sent;
		n -= (size_t)sent;
	}
	keep_unsent(s, p, n);
}

void
stream_flush(struct stream *s)
{
	struct loop *l = s->loop;
	size_t n = l->tx_n;

	if (l->tx_owner != s)
		return;
	l->tx_owner = NULL;
	l->tx_n = 0;
	send_now(s, l->tx, n);
}

/* Bytes for the wire: behind what waits already, else into the thread's batch. */
static void
wire(struct stream *s, const char *p, size_t n)
{
	struct loop *l = s->loop;

	if (s->broken || s->unsendable)
		return;
	if (bytes_left(&s->out) > 0) {
		if (!bytes_add(&s->out, p, n))
			fail_later(s);
		return;
	}
	if (l->tx_owner != s && l->tx_owner != NULL)
		stream_flush(l->tx_owner);
	if (l->tx_owner == s && LOOP_BUFFER - l->tx_n < n)
		stream_flush(s);
	if (bytes_left(&s->out) > 0) {
		wire(s, p, n);
		return;
	}
	if (l->tx_owner == NULL) {
		l->tx_owner = s;
		loop_later(l, &s->task);	/* flushed at the end of the turn at the latest */
	}
	memcpy(l->tx + l->tx_n, p, n);
	l->tx_n += n;
}

static void
send_fin(struct stream *s)
{
	if (!s->wants_fin || s->fin)
		return;
	stream_flush(s);
	if (bytes_left(&s->out) > 0 || s->unsendable)
		return;
	s->fin = true;
	shutdown(s->fd, SHUT_WR);
}

static void
on_writable(struct stream *s)
{
	while (bytes_left(&s->out) > 0) {
		ssize_t sent = send(s->fd, s->out.p + s->out.at, bytes_left(&s->out), MSG_NOSIGNAL);

		if (sent == -1 && errno == EINTR)
			continue;
		if (sent == -1 && errno == EAGAIN)
			return;
		if (sent <= 0) {
			fail_later(s);
			return;
		}
		s->out.at += (size_t)sent;
	}
	bytes_drop(&s->out);
	event_del(s->write_ev);
	send_fin(s);
	if (s->was_blocked && !s->closed) {
		s->was_blocked = false;
		s->ops->on_drain(s->ctx);
	}
}

/* ---- the BIO between OpenSSL and our buffers ---- */

static int
bio_write(BIO *b, const char *p, int n)
{
	BIO_clear_retry_flags(b);
	wire(BIO_get_data(b), p, (size_t)n);
	return n;
}

static int
bio_read(BIO *b, char *p, int n)
{
	struct stream *s = BIO_get_data(b);
	size_t take = (size_t)n < s->src.n ? (size_t)n : s->src.n;

	BIO_clear_retry_flags(b);
	if (take == 0) {
		if (s->eof)
			return 0;
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(p, s->src.p, take);
	s->src = span_skip(s->src, take);
	return (int)take;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return ((struct stream *)BIO_get_data(b))->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

__attribute__((constructor)) static void
make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (bio_method == NULL)
		abort();
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* ---- receiving ---- */

static void
report(struct stream *s, enum stream_fail why)
{
	char text[256] = "connection lost";
	unsigned long e = ERR_peek_last_error();

	if (s->broken || s->closed)
		return;
	if (why == STREAM_FAIL_TLS && e != 0)
		ERR_error_string_n(e, text, sizeof text);
	else if (why == STREAM_FAIL_TLS && s->ssl != NULL && SSL_get_verify_result(s->ssl) != X509_V_OK)
		snprintf(text, sizeof text, "%s", X509_verify_cert_error_string(SSL_get_verify_result(s->ssl)));
	else if (why == STREAM_FAIL_PROXY)
		snprintf(text, sizeof text, "no PROXY header, or one that is refused");
	ERR_clear_error();
	event_del(s->read_ev);
	event_del(s->write_ev);
	s->broken = true;
	s->ops->on_fail(s->ctx, why, text);
}

/* Offer plaintext. Everything not taken is kept. */
static void
offer(struct stream *s, const char *p, size_t n)
{
	size_t taken;

	if (bytes_left(&s->kept) > 0) {
		if (n > 0 && !bytes_add(&s->kept, p, n)) {
			fail_later(s);
			return;
		}
		taken = s->ops->on_data(s->ctx,
		    (struct span){ s->kept.p + s->kept.at, bytes_left(&s->kept) });
		s->kept.at += taken;
		if (bytes_left(&s->kept) == 0)
			bytes_drop(&s->kept);
		return;
	}
	taken = s->ops->on_data(s->ctx, (struct span){ p, n });
	if (taken < n && !s->closed && !bytes_add(&s->kept, p + taken, n - taken))
		fail_later(s);
}

static void
tell_eof(struct stream *s)
{
	/* resumed: what is kept is offered first, then the end is found again */
	if (s->told_eof || s->closed || s->paused || s->resumed)
		return;
	s->told_eof = true;
	event_del(s->read_ev);
	s->ops->on_eof(s->ctx);
}

enum pumped { PUMP_STOP = 0, PUMP_MORE };	/* MORE: received bytes are used up, ask the socket again */

static enum pumped
tls_ended(struct stream *s, int error)
{
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return s->eof ? (report(s, STREAM_FAIL_CUT), PUMP_STOP) : PUMP_MORE;
	case SSL_ERROR_ZERO_RETURN:
		s->eof = true;
		tell_eof(s);
		return PUMP_STOP;
	default:
		/* OpenSSL 3 reports a missing close_notify as an SSL error */
		report(s, s->eof && s->state == OPEN ? STREAM_FAIL_CUT : STREAM_FAIL_TLS);
		return PUMP_STOP;
	}
}

static enum pumped
handshake(struct stream *s)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(s->ssl);
	if (ret != 1)
		return tls_ended(s, SSL_get_error(s->ssl, ret));
	s->state = OPEN;
	s->ops->on_ready(s->ctx);
	return PUMP_MORE;
}

/* Decrypt what is in src and offer it, batch by batch. */
static enum pumped
pump_tls(struct stream *s)
{
	if (s->state == HANDSHAKE) {
		if (handshake(s) == PUMP_STOP || s->closed || s->state == HANDSHAKE)
			return s->closed || s->broken || s->eof ? PUMP_STOP : PUMP_MORE;
	}
	while (!s->paused && !s->closed && !s->broken) {
		size_t n = 0, got;
		int error = SSL_ERROR_NONE;

		ERR_clear_error();
		while (n + RECORD <= LOOP_BUFFER) {
			int ret = SSL_read_ex(s->ssl, s->loop->plain + n, LOOP_BUFFER - n, &got);

			if (ret != 1) {
				/* asked now: offering below may write to this very SSL */
				error = SSL_get_error(s->ssl, ret);
				break;
			}
			n += got;
		}
		if (n > 0)
			offer(s, s->loop->plain, n);
		if (s->closed || s->broken)
			return PUMP_STOP;
		if (error != SSL_ERROR_NONE) {
			/* paused meanwhile: an end found now is found again when resumed */
			if (s->paused && error != SSL_ERROR_WANT_READ)
				return PUMP_STOP;
			return tls_ended(s, error);
		}
	}
	return PUMP_STOP;
}

static enum pumped
pump_plain(struct stream *s)
{
	struct span in = s->src;

	s->src = SPAN_NONE;
	if (in.n > 0)
		offer(s, in.p, in.n);
	if (s->closed || s->broken)
		return PUMP_STOP;
	if (s->eof) {
		tell_eof(s);
		return PUMP_STOP;
	}
	return s->paused ? PUMP_STOP : PUMP_MORE;
}

/* A paused TLS stream keeps what it received but OpenSSL did not take. */
static void
save_cipher(struct stream *s, bool from_cipher)
{
	if (from_cipher) {
		s->cipher.at = s->cipher.n - s->src.n;
		if (s->src.n == 0)
			bytes_drop(&s->cipher);
	} else if (s->src.n > 0 && !bytes_add(&s->cipher, s->src.p, s->src.n)) {
		fail_later(s);
	}
	s->src = SPAN_NONE;
}

/* STOP: there is none. MORE, and the header is not awaited any more: what follows it is in src. */
static enum pumped
read_proxy(struct stream *s)
{
	struct proxy_header h;
	struct span in = s->src;

	s->src = SPAN_NONE;
	if (bytes_left(&s->proxy) > 0) {
		if (!bytes_add(&s->proxy, in.p, in.n)) {
			fail_later(s);
			return PUMP_STOP;
		}
		in = (struct span){ s->proxy.p, bytes_left(&s->proxy) };
	}
	switch (proxy_header_read(in, &h)) {
	case PROXY_BAD:
		break;
	case PROXY_MORE:
		if (s->eof)
			break;
		if (bytes_left(&s->proxy) == 0 && in.n > 0 && !bytes_add(&s->proxy, in.p, in.n))
			fail_later(s);
		return PUMP_MORE;
	case PROXY_DONE:
		s->awaits_proxy = false;
		s->src = span_skip(in, h.length);
		s->ops->on_proxy(s->ctx, &h);
		return s->closed ? PUMP_STOP : PUMP_MORE;
	}
	report(s, STREAM_FAIL_PROXY);
	return PUMP_STOP;
}

static enum pumped
pump(struct stream *s)
{
	if (s->awaits_proxy && (read_proxy(s) == PUMP_STOP || s->awaits_proxy))
		return s->broken || s->closed ? PUMP_STOP : PUMP_MORE;
	return s->ssl != NULL ? pump_tls(s) : pump_plain(s);
}

static void
on_readable(struct stream *s)
{
	for (int round = 0; round < READ_ROUNDS && !s->paused && !s->closed && !s->broken; round++) {
		ssize_t n;

		if (bytes_left(&s->cipher) > 0) {
			s->src = (struct span){ s->cipher.p + s->cipher.at, bytes_left(&s->cipher) };
			(void)pump(s);
			if (!s->closed)
				save_cipher(s, true);
			continue;
		}
		n = recv(s->fd, s->loop->rx, LOOP_BUFFER, 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == -1) {
			report(s, STREAM_FAIL_ERROR);
			return;
		}
		if (n == 0)
			s->eof = true;
		s->src = (struct span){ s->loop->rx, (size_t)n };
		if (pump(s) == PUMP_STOP && !s->closed)
			save_cipher(s, false);
		if (!s->awaits_proxy)
			bytes_drop(&s->proxy);
		if (n < (ssize_t)LOOP_BUFFER)
			return;
	}
}

/* ---- events ---- */

static void
start_open(struct stream *s)
{
	if (s->ssl == NULL) {
		s->state = OPEN;
		s->ops->on_ready(s->ctx);
		return;
	}
	s->state = HANDSHAKE;
	(void)handshake(s);
}

static void
on_connected(struct stream *s)
{
	int err = 0;
	socklen_t len = sizeof err;

	event_del(s->write_ev);
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0) {
		report(s, STREAM_FAIL_ERROR);
		return;
	}
	event_add(s->read_ev, NULL);
	start_open(s);
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	if (s->closed || s->broken)
		return;
	if (s->state == CONNECTING) {
		on_connected(s);
		return;
	}
	if (what & EV_WRITE)
		on_writable(s);
	if (!(what & EV_READ) || s->closed || s->broken)
		return;
	if (s->paused) {
		s->unwatched = true;
		event_del(s->read_ev);
		return;
	}
	on_readable(s);
}

static void
arm_timer(struct stream *s, int64_t now)
{
	int64_t ms = s->deadline - now;
	struct timeval tv;

	if (ms < 1)
		ms = 1;
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	s->timer_at = s->deadline;
	event_add(s->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	int64_t now = loop_monotonic_ms(s->loop);

	(void)fd;
	(void)what;
	s->timer_at = 0;
	if (s->closed || s->deadline == 0)
		return;
	if (now < s->deadline) {
		arm_timer(s, now);
		return;
	}
	s->deadline = 0;
	if (!s->broken)
		s->ops->on_fail(s->ctx, STREAM_FAIL_TIMEOUT, "timed out");
}

static void
stream_destroy(struct stream *s)
{
	stream_flush(s);
	if (s->read_ev != NULL)
		event_free(s->read_ev);
	if (s->write_ev != NULL)
		event_free(s->write_ev);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->ssl != NULL)
		SSL_free(s->ssl);
	ERR_clear_error();
	if (s->fd != -1)
		close(s->fd);
	loop_cancel(s->loop, &s->task);
	bytes_drop(&s->out);
	bytes_drop(&s->kept);
	bytes_drop(&s->cipher);
	bytes_drop(&s->proxy);
	free(s);
}

/* The end of a turn: send, then free, or report, or deliver what was kept. */
static void
on_task(struct loop_task *t)
{
	struct stream *s = (struct stream *)(void *)((char *)t - offsetof(struct stream, task));

	stream_flush(s);
	if (s->closed) {
		stream_destroy(s);
		return;
	}
	if (s->unsendable) {
		/* the peer may have said why before it closed: read that first */
		if (s->state == OPEN && !s->broken)
			on_readable(s);
		report(s, STREAM_FAIL_ERROR);
		return;
	}
	send_fin(s);
	if (!s->resumed || s->paused)
		return;
	s->resumed = false;
	if (bytes_left(&s->kept) > 0) {
		offer(s, "", 0);
		if (s->closed || s->broken || s->paused)
			return;
	}
	/* what OpenSSL, or the socket, holds already will not wake us */
	if (s->state == OPEN)
		on_readable(s);
	if (!s->closed && !s->broken && !s->paused && s->eof && s->ssl == NULL)
		tell_eof(s);
}

/* ---- life ---- */

static struct stream *
stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *ctx)
{
	struct stream *s = calloc(1, sizeof *s);
	int one = 1;

	if (s == NULL) {
		close(fd);
		return NULL;
	}
	s->loop = l;
	s->ops = ops;
	s->ctx = ctx;
	s->fd = fd;
	s->task.run = on_task;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);	/* batches do the corking */
	s->read_ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_fd, s);
	s->write_ev = event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_fd, s);
	s->timer = event_new(l->base, -1, 0, on_timer, s);
	if (s->read_ev == NULL || s->write_ev == NULL || s->timer == NULL) {
		stream_destroy(s);
		return NULL;
	}
	return s;
}

static bool
start_ssl(struct stream *s, SSL_CTX *ssl_ctx)
{
	BIO *bio = BIO_new(bio_method);

	s->ssl = SSL_new(ssl_ctx);
	if (s->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return false;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	return true;
}

struct stream *
stream_accept(struct loop *l, int fd, SSL_CTX *ssl_ctx, const struct stream_ops *ops, void *ctx)
{
	struct stream *s = stream_new(l, fd, ops, ctx);

	if (s == NULL)
		return NULL;
	if (ssl_ctx != NULL) {
		if (!start_ssl(s, ssl_ctx)) {
			stream_destroy(s);
			return NULL;
		}
		SSL_set_accept_state(s->ssl);
		s->state = HANDSHAKE;
	} else {
		s->state = OPEN;
	}
	event_add(s->read_ev, NULL);
	return s;
}

void
stream_expect_proxy(struct stream *s)
{
	s->awaits_proxy = true;
}

/* Which name must the certificate carry? SNI is for names only (RFC 6066 section 3). */
static bool
expect_host(SSL *ssl, const char *host)
{
	unsigned char addr[16];
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* read only; the macro has no const */
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	    SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)host) == 1;
}

struct stream *
stream_connect(struct loop *l, const struct sockaddr *sa, socklen_t sa_len, SSL_CTX *ssl_ctx,
    const char *host, SSL_SESSION *session, const struct stream_ops *ops, void *ctx)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stream *s;

	if (fd == -1)
		return NULL;
	s = stream_new(l, fd, ops, ctx);
	if (s == NULL)
		return NULL;
	if (ssl_ctx != NULL) {
		if (!start_ssl(s, ssl_ctx) || !expect_host(s->ssl, host)) {
			stream_destroy(s);
			return NULL;
		}
		if (session != NULL)
			SSL_set_session(s->ssl, session);
		SSL_set_connect_state(s->ssl);
	}
	s->state = CONNECTING;
	if (connect(fd, sa, sa_len) != 0 && errno != EINPROGRESS)
		fail_later(s);
	else
		event_add(s->write_ev, NULL);
	return s;
}

void
stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
}

void
stream_write(struct stream *s, struct span bytes)
{
	if (s->closed || s->broken || s->unsendable || s->wants_fin || bytes.n == 0)
		return;
	s->wrote = true;
	if (s->ssl == NULL && bytes.n >= LOOP_BUFFER / 4 && bytes_left(&s->out) == 0) {
		stream_flush(s);	/* large and plain: the socket can take it from where it is */
		if (bytes_left(&s->out) == 0) {
			send_now(s, bytes.p, bytes.n);
			return;
		}
	}
	if (s->ssl == NULL) {
		while (bytes.n > 0) {
			size_t n = bytes.n < LOOP_BUFFER ? bytes.n : LOOP_BUFFER;

			wire(s, bytes.p, n);
			bytes = span_skip(bytes, n);
		}
		return;
	}
	ERR_clear_error();
	while (bytes.n > 0) {
		size_t n = bytes.n < RECORD ? bytes.n : RECORD, done;

		if (SSL_write_ex(s->ssl, bytes.p, n, &done) != 1) {
			fail_later(s);
			return;
		}
		bytes = span_skip(bytes, done);
	}
}

bool
stream_blocked(const struct stream *s)
{
	return s->out.n > s->out.at;
}

void
stream_pause(struct stream *s)
{
	if (s->paused)
		return;
	s->paused = true;	/* the event stays until it fires: most pauses end before that */
}

void
stream_resume(struct stream *s)
{
	if (!s->paused && bytes_left(&s->kept) == 0)
		return;
	s->paused = false;
	s->resumed = true;
	if (s->unwatched && !s->told_eof && !s->broken) {
		s->unwatched = false;
		event_add(s->read_ev, NULL);
	}
	loop_later(s->loop, &s->task);
}

void
stream_deadline(struct stream *s, unsigned ms)
{
	int64_t now;

	if (ms == 0) {
		s->deadline = 0;
		return;
	}
	now = loop_monotonic_ms(s->loop);
	s->deadline = now + ms;
	if (s->timer_at == 0 || s->timer_at > s->deadline)
		arm_timer(s, now);
}

void
stream_shutdown(struct stream *s)
{
	if (s->wants_fin || s->closed || s->broken)
		return;
	if (s->ssl != NULL && s->state == OPEN)
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
	s->wants_fin = true;
	loop_later(s->loop, &s->task);
}

void
stream_close(struct stream *s)
{
	if (s == NULL || s->closed)
		return;
	if (s->ssl != NULL && s->state == OPEN && !s->wants_fin && !s->broken)
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
	s->closed = true;
	event_del(s->read_ev);
	event_del(s->write_ev);
	event_del(s->timer);
	loop_later(s->loop, &s->task);
}

/* ---- facts ---- */

bool
stream_is_tls(const struct stream *s)
{
	return s->ssl != NULL;
}

struct span
stream_tls_version(const struct stream *s)
{
	if (s->ssl == NULL)
		return SPAN_NONE;
	return SSL_version(s->ssl) == TLS1_3_VERSION ? SPAN("1.3") : SPAN("1.2");
}

struct span
stream_tls_cipher(const struct stream *s)
{
	return s->ssl == NULL ? SPAN_NONE : span_of(SSL_get_cipher_name(s->ssl));
}

struct span
stream_sni(const struct stream *s)
{
	return s->ssl == NULL ? SPAN_NONE : span_of(SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name));
}

STACK_OF(X509) *
stream_peer_chain(const struct stream *s)
{
	/* an SSL without a peer certificate says X509_V_OK too */
	if (s->ssl == NULL || SSL_get0_peer_certificate(s->ssl) == NULL || SSL_get_verify_result(s->ssl) != X509_V_OK)
		return NULL;
	return SSL_get0_verified_chain(s->ssl);
}

SSL_SESSION *
stream_take_session(struct stream *s)
{
	SSL_SESSION *session = s->ssl == NULL ? NULL : SSL_get1_session(s->ssl);

	if (session != NULL && !SSL_SESSION_is_resumable(session)) {
		SSL_SESSION_free(session);
		return NULL;
	}
	return session;
}

bool
stream_wrote_nothing(const struct stream *s)
{
	return !s->wrote;
}
