/*
 * exchange.h - one request to an upstream and its answer.
 *
 * Callbacks never come from inside a call of this interface, and none after exchange_cancel(), on_end() or
 * on_fail(). The exchange lives in the caller's arena and must be over or cancelled before the arena goes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_EXCHANGE_H
#define TW_EXCHANGE_H

#include "gateway/http/body.h"
#include "gateway/upstream/upstream.h"

struct exchange;

struct exchange_ops {
	void (*on_ready)(void *ctx);		/* the head is on its way: exchange_write() may begin */
	void (*on_head)(void *ctx, const struct http_head *h);	/* final answer; lives in the arena */
	void (*on_body)(void *ctx, struct span payload);
	void (*on_end)(void *ctx);		/* answer complete */
	void (*on_drain)(void *ctx);		/* exchange_blocked() is over */
	void (*on_fail)(void *ctx, enum refuse why);
};

struct exchange_request {
	enum http_method method;
	struct span head;		/* as http_write_end() made it; in the arena */
	struct span body;		/* whole body, sent with the head; or */
	bool streams;			/* a body follows with exchange_write(), framed by */
	enum http_framing framing;	/* HTTP_FRAMING_LENGTH or _CHUNKED */
	/*
	 * Sent again once, on a fresh connection, when a kept one turns out dead before a byte of the answer came.
	 * Only for requests that may happen twice; never for streamed bodies.
	 */
	bool repeatable;
};

struct exchange *exchange_start(struct upstream *u, const struct exchange_request *rq, struct arena *a,
    const struct exchange_ops *ops, void *ctx) NONNULL(1, 2, 3, 4) WUNRES;
/*
 * The same question once more, with another head, of an exchange that was cancelled after its answer's head. The body must be
 * whole. False when out of memory.
 */
bool exchange_repeat(struct exchange *x, struct span head) NONNULL(1) WUNRES;
void exchange_write(struct exchange *x, struct span payload) NONNULL(1);
void exchange_finish(struct exchange *x) NONNULL(1);	/* the streamed body is complete */
bool exchange_blocked(const struct exchange *x) NONNULL(1) PURE;
void exchange_pause(struct exchange *x) NONNULL(1);	/* no on_body() until resumed */
void exchange_resume(struct exchange *x) NONNULL(1);
bool exchange_sent(const struct exchange *x) NONNULL(1) PURE;	/* a byte of the request may have reached upstream */
/* It was sent a second time, and upstream may have the first: no answer says that nothing was done. */
bool exchange_repeated(const struct exchange *x) NONNULL(1) PURE;
void exchange_cancel(struct exchange *x);		/* NULL is fine; closes its connection */

#endif
