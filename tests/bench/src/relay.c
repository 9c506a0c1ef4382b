/*
 * relay.c - the floor: a byte relay, TLS on both sides, that understands nothing of what it carries.
 *
 * relay PORT UPSTREAM-PORT CERTIFICATE KEY [sha]
 * sha: SHA-256 over what upstream sends. One thread on libevent. Own BIOs read from one receive buffer and write to
 * one send buffer of the thread; a connection owns memory only for what it could not get rid of. Each client has
 * its own upstream connection, dialled with its first bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "wire.h"

#define BATCH		131072u		/* bytes of one receive and of one send */
#define PLAIN		65536u		/* decrypted at once */
#define BATCHES		16		/* moved before others get their turn */

enum moved { MOVED_FAILED = 0, MOVED_ALL, MOVED_BLOCKED };

struct left {			/* bytes that had to wait */
	unsigned char *p;
	size_t at, n;
};

struct side {
	int fd;
	SSL *ssl;
	struct event *readable, *writable;
	struct pair *pair;
	bool open;		/* handshake done */
	struct left cipher_in, cipher_out, plain;	/* plain: read here, not yet taken by the other side */
};

struct pair {
	struct side side[2];	/* client, upstream */
	EVP_MD_CTX *hash;
};

static struct event_base *base;
static SSL_CTX *server, *client;
static BIO_METHOD *method;
static int upstream_port;
static bool hashing;

/* The buffers of the thread, and whose bytes are in them right now. */
static unsigned char received[BATCH], batch[BATCH + 32768], plain[PLAIN];
static size_t received_n, received_at, batch_n;
static struct side *reading, *writing;

static void
left_clear(struct left *l)
{
	free(l->p);
	*l = (struct left){ .p = NULL };
}

/* Keep these bytes behind those that already wait. */
static void
left_add(struct left *l, const void *p, size_t n)
{
	size_t old = l->n - l->at;
	unsigned char *all = malloc(old + n);

	if (all == NULL)
		wire_die("malloc");
	if (old > 0)
		memcpy(all, l->p + l->at, old);
	memcpy(all + old, p, n);
	left_clear(l);
	*l = (struct left){ .p = all, .n = old + n };
}

static void
pair_free(struct pair *c)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &c->side[i];

		if (s->readable != NULL)
			event_free(s->readable);
		if (s->writable != NULL)
			event_free(s->writable);
		if (s->ssl != NULL) {
			SSL_set_quiet_shutdown(s->ssl, 1);
			SSL_free(s->ssl);
		}
		if (s->fd >= 0)
			close(s->fd);
		left_clear(&s->cipher_in);
		left_clear(&s->cipher_out);
		left_clear(&s->plain);
	}
	EVP_MD_CTX_free(c->hash);
	free(c);
}

static size_t
take(unsigned char *to, size_t size, const unsigned char *from, size_t *at, size_t n)
{
	size_t k = n - *at < size ? n - *at : size;

	memcpy(to, from + *at, k);
	*at += k;
	return k;
}

static int
bio_read(BIO *b, char *out, int size)
{
	struct side *s = BIO_get_data(b);
	unsigned char *to = (unsigned char *)out;
	ssize_t n;
	size_t k;

	BIO_clear_retry_flags(b);
	if (s->cipher_in.p != NULL) {
		k = take(to, (size_t)size, s->cipher_in.p, &s->cipher_in.at, s->cipher_in.n);
		if (s->cipher_in.at == s->cipher_in.n)
			left_clear(&s->cipher_in);
		return (int)k;
	}
	if (reading == s && received_at < received_n)
		return (int)take(to, (size_t)size, received, &received_at, received_n);
	n = reading == s ? recv(s->fd, received, BATCH, 0) : recv(s->fd, out, (size_t)size, 0);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (n <= 0 || reading != s)
		return (int)n;
	received_n = (size_t)n;
	received_at = 0;
	return (int)take(to, (size_t)size, received, &received_at, received_n);
}

/* What waits on this side, then the batch of the thread. */
static enum moved
flush(struct side *s)
{
	struct left *l = &s->cipher_out;
	ssize_t n;

	if (l->p != NULL) {
		n = send(s->fd, l->p + l->at, l->n - l->at, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? MOVED_BLOCKED : MOVED_FAILED;
		l->at += (size_t)n;
		if (l->at < l->n)
			return MOVED_BLOCKED;
		left_clear(l);
	}
	if (writing != s || batch_n == 0)
		return MOVED_ALL;
	n = send(s->fd, batch, batch_n, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		return MOVED_FAILED;
	if (n < 0)
		n = 0;
	if ((size_t)n < batch_n)
		left_add(l, batch + n, batch_n - (size_t)n);
	batch_n = 0;
	return l->p != NULL ? MOVED_BLOCKED : MOVED_ALL;
}

static int
bio_write(BIO *b, const char *p, int size)
{
	struct side *s = BIO_get_data(b);
	size_t n = (size_t)size;
	ssize_t sent;

	BIO_clear_retry_flags(b);
	if (writing == s && s->cipher_out.p == NULL && n <= sizeof batch) {
		if (batch_n + n > sizeof batch && flush(s) != MOVED_ALL) {
			BIO_set_retry_write(b);
			return -1;
		}
		memcpy(batch + batch_n, p, n);
		batch_n += n;
		return size;
	}
	if (s->cipher_out.p != NULL) {
		BIO_set_retry_write(b);
		return -1;
	}
	sent = send(s->fd, p, n, MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)sent;
}

static long
bio_ctrl(BIO *b, int command, long number, void *pointer)
{
	(void)b;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

/* Write plaintext to the other side; what it does not take waits. */
static enum moved
pass_on(struct side *from, struct side *to, const unsigned char *p, size_t n)
{
	while (n > 0) {
		size_t took;

		if (SSL_write_ex(to->ssl, p, n, &took) != 1) {
			if (SSL_get_error(to->ssl, 0) != SSL_ERROR_WANT_WRITE)
				return MOVED_FAILED;
			left_add(&from->plain, p, n);
			return MOVED_BLOCKED;
		}
		p += took;
		n -= took;
	}
	return MOVED_ALL;
}

static bool
hash(struct side *from, size_t n)
{
	struct pair *c = from->pair;

	if (!hashing || from != &c->side[1])
		return true;
	if (c->hash == NULL && ((c->hash = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL) != 1))
		return false;
	return EVP_DigestUpdate(c->hash, plain, n) == 1;
}

static enum moved
move_batches(struct side *from, struct side *to)
{
	for (int i = 0; i < BATCHES; i++) {
		size_t n = 0, k;
		enum moved m;
		int why = SSL_ERROR_NONE;

		while (n < PLAIN && SSL_read_ex(from->ssl, plain + n, PLAIN - n, &k) == 1)
			n += k;
		if (n < PLAIN)
			why = SSL_get_error(from->ssl, 0);
		if (!hash(from, n))
			return MOVED_FAILED;
		m = pass_on(from, to, plain, n);
		if (m == MOVED_ALL)
			m = flush(to);
		if (m != MOVED_ALL)
			return m;
		if (why == SSL_ERROR_WANT_READ)
			return MOVED_ALL;
		if (why != SSL_ERROR_NONE)
			return MOVED_FAILED;
	}
	/* no event tells of what OpenSSL holds decrypted, or of what we hold */
	if (SSL_has_pending(from->ssl) || received_at < received_n)
		event_active(from->readable, EV_READ, 0);
	return MOVED_ALL;
}

static bool
pump(struct side *from)
{
	struct side *to = &from->pair->side[from == &from->pair->side[0]];
	struct left l = from->plain;
	enum moved m = MOVED_ALL;

	reading = from;
	writing = to;
	received_n = received_at = batch_n = 0;
	if (l.p != NULL) {
		from->plain = (struct left){ .p = NULL };
		m = pass_on(from, to, l.p + l.at, l.n - l.at);
		free(l.p);
	}
	if (m == MOVED_ALL)
		m = move_batches(from, to);
	else if (m == MOVED_BLOCKED && flush(to) == MOVED_FAILED)
		m = MOVED_FAILED;
	if (received_at < received_n)
		left_add(&from->cipher_in, received + received_at, received_n - received_at);
	reading = writing = NULL;
	if (m == MOVED_BLOCKED) {
		event_del(from->readable);
		event_add(to->writable, NULL);
	}
	return m != MOVED_FAILED;
}

static void
on_handshake(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct pair *c = s->pair;
	int n = SSL_do_handshake(s->ssl), why = SSL_get_error(s->ssl, n);

	(void)fd;
	(void)what;
	if (n != 1) {
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			pair_free(c);
		else if (event_base_once(base, s->fd, why == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE,
		    on_handshake, s, NULL) != 0)
			wire_die("event");
		return;
	}
	s->open = true;
	event_add(s->readable, NULL);
	if (s == &c->side[1]) {		/* the client's first bytes wait */
		event_add(c->side[0].readable, NULL);
		event_active(c->side[0].readable, EV_READ, 0);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

static void
side_start(struct side *s, int fd, SSL_CTX *ctx)
{
	BIO *b = BIO_new(method);
	int one = 1;

	s->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	s->ssl = SSL_new(ctx);
	s->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->writable = event_new(base, fd, EV_WRITE, on_writable, s);
	if (b == NULL || s->ssl == NULL || s->readable == NULL || s->writable == NULL)
		wire_die("connection");
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(s->ssl, b, b);
}

static bool
dial(struct pair *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)upstream_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static char name[] = "localhost";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	side_start(&c->side[1], fd, client);
	SSL_set_tlsext_host_name(c->side[1].ssl, name);
	SSL_set_connect_state(c->side[1].ssl);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)
		return false;
	event_del(c->side[0].readable);
	return event_base_once(base, fd, EV_WRITE, on_handshake, &c->side[1], NULL) == 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct pair *c = s->pair;

	(void)fd;
	(void)what;
	if (c->side[1].fd < 0) {
		if (!dial(c))
			pair_free(c);
	} else if (!pump(s)) {
		pair_free(c);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg, *from = &s->pair->side[s == &s->pair->side[0]];
	enum moved m = flush(s);

	(void)fd;
	(void)what;
	if (m == MOVED_BLOCKED) {
		event_add(s->writable, NULL);
		return;
	}
	event_add(from->readable, NULL);
	if (m == MOVED_FAILED || !pump(from))
		pair_free(s->pair);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n, void *arg)
{
	struct pair *c = calloc(1, sizeof *c);

	(void)l;
	(void)a;
	(void)n;
	(void)arg;
	if (c == NULL)
		wire_die("calloc");
	c->side[0].pair = c->side[1].pair = c;
	c->side[1].fd = -1;
	side_start(&c->side[0], fd, server);
	SSL_set_accept_state(c->side[0].ssl);
	on_handshake(fd, 0, &c->side[0]);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	(void)arg;
	event_base_loopbreak(base);
}

int
main(int argc, char **argv)
{
	int fd;

	if (argc < 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	upstream_port = atoi(argv[2]);
	hashing = argc > 5;
	base = event_base_new();
	server = wire_server(argv[3], argv[4], false);
	client = wire_client(false);
	SSL_CTX_set_mode(server, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_mode(client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pump");
	if (base == NULL || method == NULL)
		wire_die("start");
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	fd = wire_listen(atoi(argv[1]));
	evutil_make_socket_nonblocking(fd);
	if (evconnlistener_new(base, on_accept, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd) == NULL ||
	    event_add(evsignal_new(base, SIGTERM, on_signal, NULL), NULL) != 0)
		wire_die("listen");
	return event_base_dispatch(base) < 0;
}
