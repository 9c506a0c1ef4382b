/*
 * courier.h - HTTP calls beside the way of a request, on a thread of their own: an errand goes out, its answer comes by mail.
 *
 * An errand is embedded in what it belongs to. The submitter fills in the first part and must not touch the errand from
 * courier_submit() until done(): exactly one call for each submit, cancelled or not. All it points to is borrowed so long.
 *
 * Bounds (libcurl does none of this by itself): https unless allow_http; no redirect, proxy, cookie, .netrc or Expect; the
 * body is counted as it comes, the head is at most 32 KiB; one deadline for all of it, name look-up included; TLS 1.2 or
 * newer; only public addresses, see `allow_private`.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COURIER_H
#define TW_COURIER_H

#include <stdatomic.h>

#include "gateway/mailbox.h"
#include "policy/attr.h"
#include "policy/span.h"

/* X(enum, "label of the metric") */
#define ERRAND_KINDS(X) \
	X(KEYS, "keys")			/* key sets of issuers */ \
	X(CREDENTIALS, "credentials")	/* for registries */ \
	X(SCANNER, "scanners")		/* reports of vulnerabilities */

#define ERRAND_OUTCOMES(X) \
	X(FAILED, "failed")		/* no connection, no name, not HTTP: see why */ \
	X(TLS, "tls")			/* the peer's certificate was not believed, or ours was not */ \
	X(ADDRESS, "address")		/* its name leads to an address that the errand may not reach */ \
	X(TIMEOUT, "timeout")		/* not complete in time */ \
	X(TOO_LARGE, "too_large")	/* more than max */ \
	X(NO_MEMORY, "no_memory")	/* or too many errands at a time */ \
	X(STOPPED, "stopped")		/* cancelled, or the gateway stops */ \
	X(STATUS, "status")		/* a complete answer, not 2xx: redirects too */ \
	X(OK, "ok")			/* a complete answer, 2xx */

enum errand_kind {
#define X(name, label) ERRAND_KIND_##name,
	ERRAND_KINDS(X)
#undef X
	ERRAND_KIND_MAX
};
enum errand_outcome {
#define X(name, label) ERRAND_##name,
	ERRAND_OUTCOMES(X)
#undef X
	ERRAND_OUTCOME_MAX
};

struct courier;

struct errand {
	/* ---- what to do: the submitter's ---- */
	enum errand_kind kind;
	/*
	 * Errands of one key that are under way together share one call, made as the first of them says; NULL: a call of its
	 * own. A key stands for everything below: what differs in any of it, credentials above all, has another key.
	 */
	const char *key;
	const char *method;		/* NULL: GET, or POST with a body */
	const char *url;
	const char *const *fields;	/* "Name: value" each, the last one NULL; may be NULL */
	struct span body;		/* p == NULL: none */
	const char *ca_file;		/* PEM: the only CAs believed; NULL: those of the system */
	const char *certificate, *private_key;	/* PEM files to show; NULL: none */
	size_t max;			/* bytes of the answer's body */
	unsigned timeout_ms;		/* for all of it */
	bool allow_http;		/* http:// too: loopback and metadata services */
	/*
	 * Private, link-local and other special addresses too. Without it only public ones, and those of this machine if the
	 * URL itself says so: localhost, 127.0.0.0/8, [::1].
	 */
	bool allow_private;
	/* ---- who hears of it ---- */
	struct mailbox *reply_to;	/* done() runs there; NULL: on the courier's thread */
	void (*done)(struct errand *e);

	/* ---- what came of it: the courier's until done(), then freed by errand_clear() ---- */
	enum errand_outcome outcome;
	unsigned status;		/* of the answer; 0: none */
	char *answer;			/* its body, with a NUL behind it; NULL: none */
	size_t answer_n;
	char *head;			/* its fields, a CRLF behind each */
	size_t head_n;
	char why[256];			/* one line for the log; "" when OK */

	/* ---- private ---- */
	struct mail mail;
	struct courier *courier;
	struct errand *next;
	_Atomic bool cancelled;
};

/* "ok", "too_large" ... */
const char *errand_outcome_label(enum errand_outcome o) RETURNS_NONNULL PURE;
const char *errand_kind_label(enum errand_kind k) RETURNS_NONNULL PURE;
/* The n-th field of that name (without case), blanks around it left out; {NULL,0} when there is none. */
struct span errand_field(const struct errand *e, struct span name, unsigned n) NONNULL(1) PURE;
/* Cache-Control: max-age in seconds; 0 for no-store and no-cache; -1 when it says nothing. */
int64_t errand_max_age(const struct errand *e) NONNULL(1) PURE;
/* Forget the answer, wiped: it may be a secret. The first part stays, to be submitted again. */
void errand_clear(struct errand *e) NONNULL(1);

/* The thread is running. NULL with a reason. */
struct courier *courier_start(char *err, size_t err_size) NONNULL(1) WUNRES;
/*
 * No further calls: what is under way ends as STOPPED, and the thread has ended when this returns. Errands with a mailbox
 * get their mail all the same, so the mailboxes must still be there.
 */
void courier_stop(struct courier *c) NONNULL(1);
/* Stopped, and nobody submits any more. */
void courier_free(struct courier *c);

/* Any thread. Once the courier has stopped, an errand without a mailbox is done before this returns. */
void courier_submit(struct courier *c, struct errand *e) NONNULL(1, 2);
/*
 * The thread that submitted it, and before done() was called: the answer is not wanted any more. done() still comes, as
 * STOPPED unless it was on its way already: soon, or with the call's end when others share it.
 */
void courier_cancel(struct courier *c, struct errand *e) NONNULL(1, 2);

/* For those that live on the courier's thread (reply_to == NULL): its loop, for timers, and a way to get there. */
struct event_base *courier_base(const struct courier *c) RETURNS_NONNULL NONNULL(1) PURE;
/* False once the courier has stopped: m is not delivered then. */
bool courier_post(struct courier *c, struct mail *m) NONNULL(1, 2) WUNRES;

/* How many errands of a kind ended like that. Any thread. */
int64_t courier_count(const struct courier *c, enum errand_kind k, enum errand_outcome o) NONNULL(1);

/*
 * Milliseconds to wait before try number `failures` + 1: min, doubled for each failure, at most max, less up to a quarter
 * of it by `random`, so that replicas do not come together.
 */
int64_t backoff_ms(unsigned failures, int64_t min, int64_t max, uint32_t random);

#endif
