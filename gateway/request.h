/*
 * request.h - one request on its walk along the table of steps in request.c.
 *
 * accept -> TLS -> read head -> check -> route -> identify -> known -> decide -> body -> manifest -> content -> login -> evidence
 * -> hold -> remove -> pin -> inspect -> list -> forward -> settle -> commit -> reply -> audit
 *
 * A step does one thing and says what next. A refusal is `return request_refuse(r, REFUSE_...)`; nothing else
 * writes a status of ours. `audit` runs on every path: exactly one event a request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_REQUEST_H
#define TW_REQUEST_H

#include "gateway/audit/event.h"
#include "gateway/conn.h"
#include "gateway/http/body.h"
#include "gateway/http/write.h"
#include "gateway/offload.h"
#include "gateway/registry/route.h"
#include "gateway/steps/judge.h"
#include "gateway/tags/hold.h"
#include "gateway/upstream/exchange.h"
#include "policy/manifest.h"
#include "policy/policy.h"

#define REQUEST_STEPS(X) \
	X(check)	/* what HTTP and this gateway allow of any request */ \
	X(route)	/* method and target to an operation */ \
	X(form)		/* POST /token: its form is read whole */ \
	X(grant)	/* /token: what it asks for */ \
	X(identify)	/* Authorization to an identity */ \
	X(known)	/* ... that stands: nobody on the deny list */ \
	X(token)	/* the token service and its keys answer themselves */ \
	X(decide)	/* policy, on what the head tells */ \
	X(body)		/* a manifest is read whole */ \
	X(manifest)	/* hashed and parsed */ \
	X(content)	/* policy again, on what was read */ \
	X(login)	/* the gateway's own credentials at the registry */ \
	X(evidence)	/* a push: what policy has to know of the image first; staged meanwhile */ \
	X(hold)		/* a PUT: claim the tags it names */ \
	X(remove)	/* a DELETE: may what would go go? tombstones first */ \
	X(pin)		/* a pull by tag, where tags.drift is not alarm: held against the ledger first */ \
	X(inspect)	/* a pull that evidence decides, or where something is blocked: looked at before it is given */ \
	X(list)		/* the catalog, tags, referrers: pages read whole, filtered, answered */ \
	X(forward)	/* to upstream, and its answer */ \
	X(settle)	/* a write: confirm the claim */ \
	X(commit)	/* a write: its event is on disk before the client hears of it */ \
	X(reply)	/* answer what was kept back */

enum request_step {
#define X(name) STEP_##name,
	REQUEST_STEPS(X)
#undef X
	STEP_done
};

enum next { STOP = 0, NEXT, WAIT };	/* over (answered or refused); go on; request_continue() comes later */

enum body_sink {
	SINK_HELD = 0,		/* not wanted yet: the client's stream is paused */
	SINK_COLLECT,		/* a manifest */
	SINK_FORWARD,		/* straight to upstream */
	SINK_DISCARD,		/* the answer does not depend on it any more */
};

/* Upstream's answer, when it is kept until the write is settled. */
struct answer {
	const struct http_head *head;
	char *body;		/* in the arena, at most ANSWER_MAX */
	size_t n;
	bool cut;		/* the body was longer: it is not relayed */
};
#define ANSWER_MAX 65536u

struct request {
	struct conn *conn;
	struct worker *worker;
	struct serving *serving;	/* the worker's when the request began: one configuration to the end */
	const struct config *config;	/* serving's */
	struct arena *arena;
	char id[EVENT_ID_LEN + 1];
	struct endpoint client;		/* who asks: conn->client, or whom its X-Forwarded-For names */
	int64_t time_us;		/* wall clock at the head */
	int64_t began_ms, ended_ms;	/* monotonic */
	enum request_step step;
	bool running;			/* the driver is on the stack */
	enum { WOKEN_NOT = 0, WOKEN_STOP, WOKEN_CONTINUE, WOKEN_AGAIN } woken;	/* while it was */
	struct loop_task task;		/* frees it at the end of a turn */

	struct http_head head;
	enum refuse head_refused;	/* the reader said no */
	struct route route;
	const struct config_upstream *upstream_config;	/* NULL: none serves it */
	struct upstream *upstream;
	struct policy *policy;		/* one snapshot from decide to audit */
	struct authn_result authn;	/* .who is NULL until identified */
	struct token_request *token;	/* what the token service was asked for */
	struct fact *facts;		/* KEY_MAX of them, for asking again */
	bool open;			/* the decision waits for facts: gate.h */
	struct key_set need;		/* ... these */
	enum policy_on_push on_push;	/* ... and what becomes of a push meanwhile */
	struct gate *gate;		/* what fetches them */
	enum refuse failing;		/* ... what they lead to, once it is recorded */
	bool scanner;			/* it shows a pass: token/pass.h */
	struct parking *parking;	/* it waits for keys of its issuer */
	bool parked;			/* ... once */
	struct judged judged;		/* what decided */
	const struct judged *also[JUDGED_ALSO];	/* what was asked beside it */
	unsigned n_also, more_also;	/* more_also: and was not kept */
	struct lease lease;		/* route.reference is a lease */

	/* the client's body */
	struct http_body body;
	enum body_sink sink;
	bool body_done, body_broken, continued;	/* 100 Continue was sent */
	bool answer_after_body;		/* refused, but the body is read first */
	int64_t waiting_since, waited;	/* ms spent waiting for the body */
	char *bytes;			/* a manifest being read: heap, at most limits.manifest */
	size_t n_bytes, size_bytes;
	size_t held;			/* what it holds of limits.manifests */
	uint64_t discarded;
	struct manifest manifest;
	bool manifest_read;
	char manifest_error[160];	/* what to do about it, for the client */
	struct offload_job job;		/* reads a large one */

	/* upstream */
	struct peek *peek;		/* a GET of our own */
	const struct peek *seen;	/* a manifest that a pull is judged by */
	void (*read_then)(struct request *r);	/* ... once it is read */
	struct get *get;		/* ... waiting for a login */
	struct exchange *exchange;
	struct credential *credential;	/* what the gateway is logged in with there; NULL: nothing, or the configured password */
	struct login_wait *login_wait;	/* ... being fetched */
	void (*login_then)(struct request *r, bool ok);	/* ... and what happens then */
	bool login_repeated;		/* ... once more, after the registry refused it */
	char *head_room;		/* the head that is sent upstream is written here */
	struct removal *removal;	/* what the ledger knows of a DELETE */
	struct pin *pin;		/* what the ledger says of the tag being pulled */
	struct list *list;		/* the list being read */
	struct answer answer;
	bool kept_back;			/* the answer waits for settle */
	struct request_claims *claims;	/* of the tags that a PUT names */
	struct grow *grow;		/* a tag that grows, being compared */
	struct spool_wait wait;		/* the event on its way to the disk */
	enum refuse exchange_failed;	/* a write whose answer did not come */
	bool exchange_sent;		/* ... after bytes of it may have been sent */
	struct span rest;		/* of an answer from memory: not sent yet */
	struct span warning;		/* for the client, as RFC 9111 section 5.5 has it */
	struct span redirect;		/* Location of a redirect that is passed on */
	struct follow *follow;		/* a redirect that is followed */
	struct span answered_by;	/* origin of a host that takes uploads, when it is not upstream's */

	struct { enum refuse why; struct span sid; } observed;	/* what enforcing would have refused */

	bool hides;			/* observe mode: entries of this list, that is */

	/* our answer */
	enum refuse refused;
	struct span detail;		/* for the audit event and the log */
	const char *message;		/* for the client; NULL: the refusal's text */
	struct span at_tag;		/* of several: the one that it failed at */
	const char *old_digest;		/* of the tag, before this push */
	struct span answer_digest;	/* Docker-Content-Digest upstream answered with */
	unsigned status;		/* sent; 0: nothing yet */
	unsigned upstream_status;
	bool chunked, until_close;	/* how our body is framed */
	bool keep_alive;		/* as the answer said */
	bool client_gone, reply_ended, audited, failed, finished;
	bool lent;			/* another thread has memory of it: request_lend() */
	uint64_t bytes_in, bytes_out;
};

/* A head was read into `a` (or refused: then `why`, and head holds what is known). Runs the steps. */
void request_begin(struct conn *c, struct arena *a, const struct http_head *head, enum refuse why)
    NONNULL(1, 2, 3);
/* The client's bytes after the head. Returns what was taken. */
size_t request_body(struct request *r, struct span in) NONNULL(1);
/* The client's stream drained, or is gone, or timed out. */
void request_drained(struct request *r) NONNULL(1);
void request_client_gone(struct request *r, enum refuse why) NONNULL(1);

/* ---- for the steps ---- */
/* The awaited thing happened: the next step. */
void request_continue(struct request *r) NONNULL(1);
/*
 * Another thread is given memory of the request's own (a job, a wait) and sends it back by mail: until then the request does
 * not end, whatever becomes of its client. False from request_returned(): the client went away meanwhile, and so has the request.
 */
void request_lend(struct request *r) NONNULL(1);
bool request_returned(struct request *r) NONNULL(1) WUNRES;
/* The next tag of several: back to `forward`, the one way back. */
void request_forward_again(struct request *r) NONNULL(1);
/* The walk ends here: answer with the row of `why`. */
enum next request_refuse(struct request *r, enum refuse why) NONNULL(1);
/* The same from outside of a step. */
void request_fail(struct request *r, enum refuse why) NONNULL(1);
/* Our answer is complete; the request ends when the client's body is dealt with. */
void request_replied(struct request *r) NONNULL(1);
/* Let the client's body flow to a sink; sends 100 Continue when it waits for that. */
void request_want_body(struct request *r, enum body_sink sink) NONNULL(1);
/* May our answer leave the connection open? */
bool request_keeps_alive(const struct request *r) NONNULL(1);
/* A tag, a manifest or a blob is to go. */
bool request_is_delete(const struct request *r) NONNULL(1) PURE;
/* An operation whose 2xx changes what can be pulled. */
bool request_is_write(const struct request *r) NONNULL(1) PURE;

enum next step_check(struct request *r);
enum next step_route(struct request *r);
enum next step_form(struct request *r);
enum next step_grant(struct request *r);
enum next step_identify(struct request *r);
enum next step_known(struct request *r);
enum next step_token(struct request *r);
enum next step_decide(struct request *r);
enum next step_body(struct request *r);
enum next step_manifest(struct request *r);
enum next step_content(struct request *r);
enum next step_login(struct request *r);
enum next step_evidence(struct request *r);
enum next step_hold(struct request *r);
enum next step_remove(struct request *r);
enum next step_pin(struct request *r);
enum next step_inspect(struct request *r);
enum next step_list(struct request *r);
enum next step_forward(struct request *r);
enum next step_settle(struct request *r);
enum next step_commit(struct request *r);
enum next step_reply(struct request *r);

/* identify.c: the request is over, whatever a password turns out to be. */
void identify_abandon(struct request *r) NONNULL(1);
/* decide.c: take the policy and what the head tells. False: out of memory. */
bool decide_prepare(struct request *r) NONNULL(1) WUNRES;
/* ... for lists, which keep no record of each entry */
enum verdict decide(struct request *r, enum policy_action action, struct span repository, struct decision *out);
/* ... once more about a pull, by r->policy as it is now. False: denied, or out of memory. */
bool decide_again(struct request *r, struct judged *out) NONNULL(1, 2) WUNRES;
/* ... again with `p` and all that is known by now. False: out of memory. */
bool decide_anew(struct request *r, struct policy *p) NONNULL(1, 2) WUNRES;
/* identify.c: the token that the head brought, believed once more, by what `v` serves with. REFUSE_NONE: it is good, or there was none. */
enum refuse identify_again(struct request *r, struct serving *v, int64_t now) NONNULL(1, 2) WUNRES;
/* observe.c: in observe mode, a refusal of policy's is noted, decides the request, and does not stand. */
bool observe_lifts(struct request *r, enum refuse why, const struct judged *j) NONNULL(1, 3) WUNRES;
/* May this manifest be pushed, with all that is known now? r->open: that depends on facts that are not. */
enum refuse decide_push(struct request *r) NONNULL(1) WUNRES;
/* The refusal for an answer that is not ALLOW; sets the statement's message. */
enum refuse decide_refusal(struct request *r, const struct judged *j) NONNULL(1, 2);
/* record.c: one event; wait may be NULL. False: the spool did not take it. */
bool record_request(struct request *r, struct spool_wait *wait);
/* A state event of the worker's; its time and id are filled in. */
void record_event(struct worker *w, struct audit_event *e) NONNULL(1, 2);
/* What happened to a tag on the way of a request. */
void record_state(struct request *r, const char *event, struct span tag, struct span digest, struct span old_digest);
/* A fact was not known, and a statement let that pass: an event and a metric of its own. */
void record_bypass(struct request *r) NONNULL(1);
/* answer.c */
void answer_refusal(struct request *r, enum refuse why);
/* A 200 of the gateway's own with this JSON. */
void answer_json(struct request *r, struct span cache_control, struct span body) NONNULL(1);
/*
 * Write upstream's head as ours. With body: its n bytes follow at once, or by the caller's hand when body->p is NULL; else the
 * body streams.
 */
enum refuse answer_relay(struct request *r, const struct http_head *h, const struct span *body);
/* The same with a body that stays where it is until the request ends; sent as the client takes it. */
enum refuse answer_whole(struct request *r, const struct http_head *h, struct span body) NONNULL(1, 2) WUNRES;
/* ... the client can take more of it. */
void answer_more(struct request *r) NONNULL(1);
/* remove.c: how the DELETE ended; request_continue() or request_fail() follows. */
void remove_settle(struct request *r) NONNULL(1);
/* remove.c: the request is over, whatever became of the removal. */
void remove_abandon(struct request *r) NONNULL(1);
/* login.c: upstream refused what we are logged in with: a new one is fetched, then(r, it is there) called. False: once only. */
bool login_again(struct request *r, void (*then)(struct request *r, bool ok)) NONNULL(1, 2) WUNRES;
/* login.c: the request is over. */
void login_abandon(struct request *r) NONNULL(1);
/* identify.c: a request that waited for keys: who asks, with the keys of now? */
enum refuse identify_parked(struct request *r) NONNULL(1) WUNRES;
/* park.c: wait for other keys of the token's issuer: identify_parked(), and the walk goes on. False: nothing to wait for. */
bool park(struct request *r) NONNULL(1) WUNRES;
/* park.c: the request is over, whatever keys come. */
void park_abandon(struct request *r) NONNULL(1);
/* pin.c: the request is over, whatever the ledger still has to say. */
void pin_abandon(struct request *r) NONNULL(1);
/* answer.c: the head of a list whose body of `length` bytes follows; some fields of upstream's are kept. */
enum refuse answer_list(struct request *r, const struct http_head *h, struct span type, struct span link,
    size_t length);
/* lists/list.c: the request is over (NULL is fine). */
void list_free(struct list *l);
/*
 * seal.c: a target at upstream, or at a host it sent us to, sealed for this caller and `bound`, a repository (uploads) or a
 * path (lists), for a day. {NULL,0} when too long or out of memory.
 */
struct span seal_target(struct request *r, struct span origin, struct span target, struct span bound) NONNULL(1) WUNRES;
/* False for what was not sealed for this caller, upstream and `bound`, or is too old. */
bool seal_open(struct request *r, struct span text, struct span bound, struct lease *out) NONNULL(1, 4) WUNRES;
/* forward.c: path and query at upstream for what is asked without a lease. {NULL,0}: out of memory. */
struct span forward_target(struct request *r, const struct route *route) NONNULL(1, 2) WUNRES;
/* forward.c: GET a target of upstream's; ctx of the ops is the request. NULL: *why. */
struct exchange *forward_get(struct request *r, struct span target, struct span accept,
    const struct exchange_ops *ops, enum refuse *why) NONNULL(1, 4, 5) WUNRES;
/* forward.c: PUT the manifest that was read there, in the same way. */
struct exchange *forward_put(struct request *r, struct span target, const struct exchange_ops *ops, enum refuse *why)
    NONNULL(1, 3, 4) WUNRES;
/* forward.c: what the client accepts, in one value; {NULL,0}: it does not say. */
struct span forward_accept(struct request *r) NONNULL(1) WUNRES;
/* follow.c: is this answer a redirect that the gateway follows itself? */
bool follow_wanted(const struct request *r, const struct http_head *h) NONNULL(1, 2) PURE;
/* ... where to? The answer's body is then read to its end and forgotten. REFUSE_NONE, or what is wrong with it. */
enum refuse follow_begin(struct request *r, const struct http_head *h) NONNULL(1, 2) WUNRES;
/* ... is a redirect's body being read? */
bool follow_reading(const struct request *r) NONNULL(1) PURE;
/* ... a piece of it came; false: too much of it. */
bool follow_body(struct request *r, size_t n) NONNULL(1) WUNRES;
/* ... it ended: ask there. NULL: *why. */
struct exchange *follow_go(struct request *r, const struct exchange_ops *ops, enum refuse *why) NONNULL(1, 2, 3) WUNRES;
/* ... storage answered: a head to relay; or NULL and REFUSE_NONE: it is asked another way; or NULL and why not. */
const struct http_head *follow_answer(struct request *r, const struct http_head *h, enum refuse *why)
    NONNULL(1, 2, 3) WUNRES;
/* follow.c: may a redirect lead there? place is filled in either case. */
enum refuse redirect_check(struct request *r, const struct http_head *h, struct storage_place *place)
    NONNULL(1, 2, 3) WUNRES;
/* forward.c: may this answer be relayed at all? Notes where a redirect leads. */
enum refuse forward_check(struct request *r, const struct http_head *h) NONNULL(1, 2) WUNRES;
/* claim.c: where the manifest is sent next: path and query at upstream. {NULL,0}: out of memory. */
struct span claim_target(struct request *r) NONNULL(1) WUNRES;
/* claim.c: the tags of ?tag= as OCI-Tag names them; {NULL,0}: none. */
struct span claim_tags(struct request *r) NONNULL(1) WUNRES;
/* claim.c: the request is over, whatever became of its claim. */
void claim_abandon(struct request *r) NONNULL(1);

#endif
