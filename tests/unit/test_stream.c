/*
 * test_stream.c - streams over loopback: plain and TLS, partial reads, back-pressure, ends, deadlines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/stream/stream.h"
#include "gateway/stream/tls.h"
#include "tests/unit/check.h"

struct end {
	struct stream *s;
	struct loop *loop;
	size_t got, want_take;		/* bytes seen in order; take at most so many a call (0: all) */
	size_t to_send, sent;
	unsigned pauses, drains;
	bool ready, eof, failed, greedy;
	struct proxy_header proxy;
	bool proxied, close_on_proxy;
	enum stream_fail why;
	bool out_of_order;
};

static unsigned char
pattern(size_t i)
{
	return (unsigned char)(i * 31 + (i >> 8) * 7);
}

static void
pour(struct end *e)
{
	char buf[40000];

	while (e->sent < e->to_send && !stream_blocked(e->s)) {
		size_t n = e->to_send - e->sent < sizeof buf ? e->to_send - e->sent : sizeof buf;

		for (size_t i = 0; i < n; i++)
			buf[i] = (char)pattern(e->sent + i);
		stream_write(e->s, (struct span){ buf, n });
		stream_flush(e->s);
		e->sent += n;
	}
	if (e->sent == e->to_send && e->to_send > 0)
		stream_shutdown(e->s);
}

static void
on_ready(void *ctx)
{
	struct end *e = ctx;

	e->ready = true;
	if (e->to_send > 0)
		pour(e);
}

static size_t
on_data(void *ctx, struct span in)
{
	struct end *e = ctx;
	size_t take = e->want_take != 0 && e->want_take < in.n ? e->want_take : in.n;

	for (size_t i = 0; i < take; i++)
		if ((unsigned char)in.p[i] != pattern(e->got + i))
			e->out_of_order = true;
	e->got += take;
	if (take < in.n) {
		/* come again for the rest, as a slow consumer does */
		e->pauses++;
		stream_pause(e->s);
		stream_resume(e->s);
	}
	return take;
}

static void
on_drain(void *ctx)
{
	struct end *e = ctx;

	e->drains++;
	pour(e);
}

static void
stop_when_both_ended(struct end *e)
{
	event_base_loopexit(e->loop->base, NULL);
}

static void
on_eof(void *ctx)
{
	struct end *e = ctx;

	e->eof = true;
	stop_when_both_ended(e);
}

static void
on_fail(void *ctx, enum stream_fail why, const char *text)
{
	struct end *e = ctx;

	(void)text;
	e->failed = true;
	e->why = why;
	stop_when_both_ended(e);
}

static void
on_proxy(void *ctx, const struct proxy_header *h)
{
	struct end *e = ctx;

	e->proxy = *h;
	e->proxied = true;
	if (e->close_on_proxy) {
		stream_close(e->s);
		stop_when_both_ended(e);
	}
}

static const struct stream_ops ops = { on_ready, on_data, on_drain, on_eof, on_fail, on_proxy };

/* A listening socket on a free loopback port. */
static int
listener(struct sockaddr_in *at)
{
	socklen_t len = sizeof *at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (bind(fd, (struct sockaddr *)at, len) != 0 || listen(fd, 1) != 0)
		abort();
	getsockname(fd, (struct sockaddr *)at, &len);
	return fd;
}

static void
make_certificate(const char *name, const char *cert_file, const char *key_file)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509V3_CTX v3;
	X509_EXTENSION *san;
	char text[64];
	FILE *f;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1,
	    -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	snprintf(text, sizeof text, "DNS:%s", name);
	X509V3_set_ctx_nodb(&v3);
	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	san = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, text);
	X509_add_ext(x, san, -1);
	X509_sign(x, key, EVP_sha256());
	f = fopen(cert_file, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key_file, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(key);
}

struct pair {
	struct loop *loop;
	struct end client, server;
};

static void
connect_pair(struct pair *p, SSL_CTX *server, SSL_CTX *client, const char *host)
{
	struct sockaddr_in at;
	int fd = listener(&at);

	p->loop = p->client.loop = p->server.loop = loop_new();
	p->client.s = stream_connect(p->loop, (struct sockaddr *)&at, sizeof at, client, host, NULL, &ops,
	    &p->client);
	p->server.s = stream_accept(p->loop, accept4(fd, NULL, NULL, SOCK_NONBLOCK), server, &ops, &p->server);
	close(fd);
}

static void
end_pair(struct pair *p)
{
	stream_close(p->client.s);
	stream_close(p->server.s);
	loop_free(p->loop);
}

static void
test_transfer(SSL_CTX *server, SSL_CTX *client, const char *name)
{
	static const size_t takes[] = { 0, 1000, 70000 };

	for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
		struct pair p = { .client.to_send = takes[i] == 1000 ? 300000 : 20u << 20,
		    .server.want_take = takes[i] };

		connect_pair(&p, server, client, "stream.test");
		stream_deadline(p.server.s, 30000);
		event_base_dispatch(p.loop->base);
		CHECK_ROW(p.server.got == p.client.to_send, name);
		CHECK_ROW(!p.server.out_of_order, name);
		CHECK_ROW(p.server.eof && !p.server.failed, name);
		CHECK_ROW(takes[i] == 0 || p.server.pauses > 0, name);
		end_pair(&p);
	}
}

static void
test_deadline(void)
{
	struct pair p = { .client.to_send = 0 };

	connect_pair(&p, NULL, NULL, NULL);
	stream_deadline(p.server.s, 60000);
	stream_deadline(p.server.s, 20);	/* sooner than the one before */
	event_base_dispatch(p.loop->base);
	CHECK(p.server.failed && p.server.why == STREAM_FAIL_TIMEOUT);
	end_pair(&p);
}

static void
test_refused(void)
{
	struct sockaddr_in at;
	struct end e = { .loop = loop_new() };
	int fd = listener(&at);

	close(fd);
	e.s = stream_connect(e.loop, (struct sockaddr *)&at, sizeof at, NULL, NULL, NULL, &ops, &e);
	event_base_dispatch(e.loop->base);
	CHECK(e.failed && e.why == STREAM_FAIL_ERROR && !e.ready);
	stream_close(e.s);
	loop_free(e.loop);
}

static void
test_wrong_name(SSL_CTX *server, SSL_CTX *client)
{
	struct pair p = { .client.to_send = 10 };

	connect_pair(&p, server, client, "other.test");
	event_base_dispatch(p.loop->base);
	CHECK(!p.client.ready);
	CHECK(p.client.failed && p.client.why == STREAM_FAIL_TLS);
	CHECK(p.server.got == 0);
	end_pair(&p);
}

static void
test_facts(SSL_CTX *server, SSL_CTX *client)
{
	struct pair p = { .client.to_send = 10 };

	connect_pair(&p, server, client, "stream.test");
	event_base_dispatch(p.loop->base);
	CHECK(span_eq(stream_sni(p.server.s), SPAN("stream.test")));
	CHECK(span_eq(stream_tls_version(p.server.s), SPAN("1.3")));
	CHECK(stream_is_tls(p.server.s));
	/* no tickets are sent, so there is nothing to resume */
	SSL_SESSION *session = stream_take_session(p.client.s);
	CHECK(session == NULL);
	SSL_SESSION_free(session);
	end_pair(&p);
}

/* ---- PROXY headers ---- */

static const char v2[] = "\r\n\r\n\0\r\nQUIT\n" "\x21\x11\x00\x0c" "\xc0\x00\x02\x07" "\x7f\x00\x00\x01" "\x30\x39" "\x01\xbb";

/* A raw socket to a stream that expects a header, and the first n bytes of text sent. */
static int
proxied_pair(struct pair *p, SSL_CTX *server, struct span text)
{
	struct sockaddr_in at;
	int fd = listener(&at), raw = socket(AF_INET, SOCK_STREAM, 0);

	p->loop = p->server.loop = loop_new();
	if (connect(raw, (struct sockaddr *)&at, sizeof at) != 0)
		abort();
	p->server.s = stream_accept(p->loop, accept4(fd, NULL, NULL, SOCK_NONBLOCK), server, &ops, &p->server);
	stream_expect_proxy(p->server.s);
	stream_deadline(p->server.s, 20000);
	if (text.n > 0 && send(raw, text.p, text.n, 0) != (ssize_t)text.n)
		abort();
	close(fd);
	return raw;
}

/* The header in two pieces cut at `cut`, plain bytes behind it in the segment of its end: none of them is lost. */
static void
test_proxy_cut(size_t cut, size_t behind)
{
	struct pair p = { .loop = NULL };
	char all[sizeof v2 - 1 + 100];
	int raw = proxied_pair(&p, NULL, (struct span){ v2, cut });

	memcpy(all, v2, sizeof v2 - 1);
	for (size_t i = 0; i < behind; i++)
		all[sizeof v2 - 1 + i] = (char)pattern(i);
	event_base_loop(p.loop->base, EVLOOP_NONBLOCK);
	CHECK(p.server.proxied == (cut == sizeof v2 - 1) && p.server.got == 0);
	CHECK(send(raw, all + cut, sizeof v2 - 1 + behind - cut, 0) >= 0);
	shutdown(raw, SHUT_WR);
	event_base_dispatch(p.loop->base);
	CHECK(p.server.proxied && p.server.proxy.source.v4.sin_addr.s_addr == htonl(0xc0000207));
	CHECK(p.server.got == behind && !p.server.out_of_order && p.server.eof && !p.server.failed);
	close(raw);
	stream_close(p.server.s);
	loop_free(p.loop);
}

static void
test_proxy_bad(struct span text, bool cut)
{
	struct pair p = { .loop = NULL };
	int raw = proxied_pair(&p, NULL, text);

	if (cut)
		shutdown(raw, SHUT_WR);
	event_base_dispatch(p.loop->base);
	CHECK(p.server.failed && p.server.why == STREAM_FAIL_PROXY && !p.server.proxied && p.server.got == 0);
	close(raw);
	stream_close(p.server.s);
	loop_free(p.loop);
}

static void
test_proxy_closed_in_callback(SSL_CTX *server)
{
	struct pair p = { .server.close_on_proxy = true };
	int raw = proxied_pair(&p, server, (struct span){ v2, sizeof v2 - 1 });

	event_base_dispatch(p.loop->base);
	CHECK(p.server.proxied && !p.server.failed && !p.server.ready);
	close(raw);
	loop_free(p.loop);
}

struct hello {	/* a TLS client over a blocking socket that sends a PROXY header and its hello as one segment */
	int fd;
	SSL_CTX *ctx;
	bool ok;
};

static void *
say_hello(void *arg)
{
	struct hello *h = arg;
	SSL *ssl = SSL_new(h->ctx);
	BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new_socket(h->fd, BIO_NOCLOSE);
	char buf[8192], name[] = "stream.test";	/* the macro has no const */
	int n;

	SSL_set_bio(ssl, in, out);
	BIO_write(out, v2, sizeof v2 - 1);
	SSL_set_tlsext_host_name(ssl, name);
	SSL_set_connect_state(ssl);
	SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
	/* the first attempt finds nothing to read, and leaves the hello in memory behind the header */
	evutil_make_socket_nonblocking(h->fd);
	(void)SSL_do_handshake(ssl);
	fcntl(h->fd, F_SETFL, 0);
	n = BIO_read(out, buf, sizeof buf);
	if (n > (int)sizeof v2 && send(h->fd, buf, (size_t)n, 0) == n) {
		BIO_up_ref(in);
		SSL_set0_wbio(ssl, in);
		h->ok = SSL_do_handshake(ssl) == 1 && SSL_write(ssl, (char[]){ (char)pattern(0) }, 1) == 1;
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	shutdown(h->fd, SHUT_WR);
	return NULL;
}

static void
test_proxy_tls(SSL_CTX *server, SSL_CTX *client)
{
	struct pair p = { .loop = NULL };
	struct hello h = { .ctx = client };
	pthread_t thread;

	h.fd = proxied_pair(&p, server, SPAN_NONE);
	if (pthread_create(&thread, NULL, say_hello, &h) != 0)
		abort();
	event_base_dispatch(p.loop->base);
	pthread_join(thread, NULL);
	CHECK(h.ok && p.server.proxied && p.server.ready && p.server.got == 1);
	close(h.fd);
	stream_close(p.server.s);
	loop_free(p.loop);
}

static void
test_proxy(SSL_CTX *server, SSL_CTX *client)
{
	for (size_t cut = 0; cut < sizeof v2; cut++)
		test_proxy_cut(cut, cut % 3 == 0 ? 0 : 100);
	test_proxy_bad(SPAN("GET /v2/ HTTP/1.1\r\n\r\n"), false);
	test_proxy_bad((struct span){ v2, 20 }, true);
	test_proxy_bad(SPAN_NONE, true);
	test_proxy_closed_in_callback(server);
	test_proxy_tls(server, client);
}

int
main(void)
{
	char dir[] = "/tmp/test_stream.XXXXXX", cert[64], key[64], err[256];
	char *certs[] = { cert }, *keys[] = { key };
	SSL_CTX *server, *client;

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(cert, sizeof cert, "%s/c.pem", dir);
	snprintf(key, sizeof key, "%s/k.pem", dir);
	make_certificate("stream.test", cert, key);
	server = tls_server_new(certs, keys, 1, err, sizeof err);
	client = tls_client_new(cert, err, sizeof err);
	CHECK(server != NULL && client != NULL);
	test_transfer(NULL, NULL, "plain");
	test_transfer(server, client, "tls");
	test_deadline();
	test_refused();
	test_wrong_name(server, client);
	test_facts(server, client);
	test_proxy(server, client);
	CHECK(tls_server_new(keys, certs, 1, err, sizeof err) == NULL);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	unlink(cert);
	unlink(key);
	rmdir(dir);
	return check_done();
}
