/*
 * stream.h - one byte stream, TCP or TLS, either role: the only file beside loop.c that sees sockets and SSL.
 *
 * Events come as callbacks (struct stream_ops), never from inside a call of this interface and never after
 * stream_close(). Reading: on_data() offers everything not yet taken and is told how much was taken; the rest is
 * kept and offered again with what follows, or after stream_resume(). Writing never fails at once: bytes are
 * encrypted into the thread's send buffer and leave at the end of the turn; when the peer is slow
 * stream_blocked() says so and on_drain() comes when all has gone. Memory for a blocked stream is bounded by its
 * user: one batch (LOOP_BUFFER) each way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_STREAM_H
#define TW_STREAM_H

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "gateway/stream/loop.h"
#include "gateway/stream/proxy_header.h"

enum stream_fail {
	STREAM_FAIL_ERROR = 0,	/* reset, unreachable ... */
	STREAM_FAIL_TLS,	/* handshake refused, certificate not accepted, broken record */
	STREAM_FAIL_TIMEOUT,	/* the deadline passed */
	STREAM_FAIL_CUT,	/* TLS peer closed without close_notify: truncated */
	STREAM_FAIL_PROXY,	/* no PROXY header, or one that is refused */
};

struct stream_ops {
	void (*on_ready)(void *ctx);			/* connected, and TLS is up */
	size_t (*on_data)(void *ctx, struct span in);	/* returns the bytes taken */
	void (*on_drain)(void *ctx);			/* was blocked, nothing is waiting to be sent any more */
	void (*on_eof)(void *ctx);			/* the peer will send nothing more */
	/* After TIMEOUT the stream still works; after anything else it can only be closed. */
	void (*on_fail)(void *ctx, enum stream_fail why, const char *text);
	/* The PROXY header is read, TLS has not begun; only after stream_expect_proxy(). */
	void (*on_proxy)(void *ctx, const struct proxy_header *h);
};

struct stream;

/* A connected socket (taken over); ssl_ctx NULL for plain TCP. NULL (fd closed) when out of memory. */
struct stream *stream_accept(struct loop *l, int fd, SSL_CTX *ssl_ctx, const struct stream_ops *ops, void *ctx)
    NONNULL(1, 4) WUNRES;
/* Right after stream_accept(): a PROXY header comes first. What follows it in the same segment is TLS, and is not lost. */
void stream_expect_proxy(struct stream *s) NONNULL(1);
/*
 * Connect. For TLS the certificate is checked for `host` (a name or an address literal); SNI is sent for names.
 * session may be NULL. NULL when out of memory or descriptors.
 */
struct stream *stream_connect(struct loop *l, const struct sockaddr *sa, socklen_t sa_len, SSL_CTX *ssl_ctx,
    const char *host, SSL_SESSION *session, const struct stream_ops *ops, void *ctx) NONNULL(1, 2, 7) WUNRES;

/* New owner of the callbacks (a pooled connection changes hands). */
void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx) NONNULL(1, 2);

void stream_write(struct stream *s, struct span bytes) NONNULL(1);
/* Send what is batched now, so that stream_blocked() tells the truth. */
void stream_flush(struct stream *s) NONNULL(1);
bool stream_blocked(const struct stream *s) NONNULL(1) PURE;

void stream_pause(struct stream *s) NONNULL(1);		/* no on_data() until resumed */
void stream_resume(struct stream *s) NONNULL(1);	/* offers what was kept, at the end of this turn */

/* on_fail(STREAM_FAIL_TIMEOUT) in ms from now unless changed; 0: no deadline. Cheap to call often. */
void stream_deadline(struct stream *s, unsigned ms) NONNULL(1);

/* End our side in order (close_notify, FIN) after what was written; reading goes on. */
void stream_shutdown(struct stream *s) NONNULL(1);
/* No callback follows; freed at the end of the turn. What was written and fits the socket is sent. */
void stream_close(struct stream *s);

/* Facts; for TLS after on_ready(). Strings live as long as the stream. */
bool stream_is_tls(const struct stream *s) NONNULL(1) PURE;
struct span stream_tls_version(const struct stream *s) NONNULL(1);	/* "1.3"; empty for TCP */
struct span stream_tls_cipher(const struct stream *s) NONNULL(1);
struct span stream_sni(const struct stream *s) NONNULL(1);		/* empty when the client sent none */
/* The peer's certificate and the chain it was verified by, leaf first; borrowed. NULL: it sent none. */
STACK_OF(X509) *stream_peer_chain(const struct stream *s) NONNULL(1);
SSL_SESSION *stream_take_session(struct stream *s) NONNULL(1) WUNRES;	/* client role; caller frees; may be NULL */
bool stream_wrote_nothing(const struct stream *s) NONNULL(1) PURE;	/* no application byte was given to send */

#endif
