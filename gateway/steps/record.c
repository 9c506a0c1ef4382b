/*
 * record.c - a request, or something that happened on its way, as an audit event.
 * Invariant: no token, no lease and no query value of an upload ever is in an event.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/event.h"

#include <string.h>

#include "gateway/log.h"
#include "gateway/request.h"
#include "gateway/token/request.h"

/* The query of a target we do not serve may hold anything: its names are kept, its values are not. */
static struct span
without_values(struct request *r, struct span target)
{
	char *out = arena_alloc(r->arena, target.n * 4), *to = out;
	bool query = false, value = false;

	if (out == NULL)
		return SPAN_NONE;
	for (size_t i = 0; i < target.n; i++) {
		char c = target.p[i];

		query |= c == '?';
		if (c == '&')
			value = false;
		if (value)
			continue;
		*to++ = c;
		value = query && c == '=';
		if (value)
			to = mempcpy(to, "...", 3);
	}
	return (struct span){ out, (size_t)(to - out) };
}

/* The target without what is a capability or may be a secret: leases, and any query behind them; unknown queries. */
static struct span
audited_path(struct request *r)
{
	static const char uploads[] = "/blobs/uploads/";
	struct span t = r->head.target;
	const char *at = t.n == 0 ? NULL : memmem(t.p, t.n, uploads, sizeof uploads - 1);
	size_t keep;

	/* refused before anybody was asked for; or a cursor, which is long and tells nothing; or somebody's idea of a login */
	if (at == NULL)
		return r->authn.method == NULL || r->route.cursor.p != NULL || r->route.op == ROUTE_TOKEN ? without_values(r, t) : t;
	keep = (size_t)(at - t.p) + sizeof uploads - 1;
	/* a raw id of somebody's probing is short and worth seeing; a lease is neither */
	if (t.n - keep <= 64 && r->route.reference_type != REFERENCE_LEASE)
		return t;
	return t.n == keep ? t : arena_printf(r->arena, "%.*s...", (int)keep, t.p);
}

static enum audit_decision
decision_of(const struct request *r, unsigned status)
{
	if (r->refused == REFUSE_NONE)
		return status >= 500 ? AUDIT_ERROR : AUDIT_ALLOW;
	return refusal_of(r->refused)->status >= 500 || r->refused == REFUSE_CLIENT_GONE ? AUDIT_ERROR : AUDIT_DENY;
}

static void
fill_actor(const struct request *r, struct audit_event *e)
{
	if (r->authn.who != NULL) {
		e->actor.issuer = r->authn.who->issuer;
		e->actor.subject = r->authn.who->subject;
	}
	e->actor.method = span_of(r->authn.method);
	e->source.ip = span_of(r->client.ip);
	e->source.port = r->client.port;
	if (strcmp(r->client.ip, r->conn->peer.ip) != 0)
		e->source.peer = span_of(r->conn->peer.ip);
}

static void
fill_registry(const struct request *r, struct audit_event *e)
{
	if (r->upstream_config != NULL)
		e->registry.upstream = span_of(r->upstream_config->alias);
	e->registry.repository = r->route.repository;
	if (r->route.reference_type == REFERENCE_LEASE) {
		e->registry.digest = r->route.digest;
		return;
	}
	e->registry.reference = r->route.reference;
	e->registry.tag = r->route.reference_type == REFERENCE_TAG ? r->route.reference : r->at_tag;
	if (r->manifest.digest[0] != '\0')
		e->registry.digest = span_of(r->manifest.digest);
	else if (r->route.reference_type == REFERENCE_DIGEST)
		e->registry.digest = r->route.reference;
	else if (r->answer_digest.p != NULL)
		e->registry.digest = r->answer_digest;
	else
		e->registry.digest = r->route.mount.p != NULL ? r->route.mount : r->route.digest;
	e->registry.old_digest = span_of(r->old_digest);
	e->registry.media_type = r->manifest.media_type;
}

static bool
put(struct worker *w, const struct audit_event *e, struct spool_wait *wait)
{
	UNSET char line[EVENT_MAX];
	size_t n = event_write(e, line, sizeof line);

	return n > 0 && spool_put(w->gateway->spool, (struct span){ line, n }, wait);
}

bool
record_request(struct request *r, struct spool_wait *wait)
{
	struct stream *s = r->conn->stream;
	struct audit_event e = {
		.time_us = r->time_us,
		.event = "request",
		.action = span_of(route_audit_name(r->route.op)),
		.reason = "ok",
		.sid = r->observed.why == REFUSE_NONE || r->refused != REFUSE_NONE ? r->judged.decision.sid : SPAN_NONE,
		.policy = r->policy == NULL ? SPAN_NONE : span_of(policy_hash(r->policy)),
		.detail = r->detail,
	};
	UNSET char text[EVENT_RECORD_MAX];
	int64_t now = r->ended_ms != 0 ? r->ended_ms : loop_monotonic_ms(r->worker->loop);

	memcpy(e.id, r->id, sizeof e.id);
	e.http.status = r->status != 0 ? r->status : r->answer.head != NULL ? r->answer.head->status : 0;
	e.decision = decision_of(r, e.http.status);
	if (r->refused != REFUSE_NONE)
		e.reason = refusal_of(r->refused)->symbol;
	else if (r->client_gone)
		e.reason = refusal_of(REFUSE_CLIENT_GONE)->symbol;
	else if (e.http.status >= 400)
		e.reason = "upstream_status";
	else if (r->route.stripped_mount.p != NULL)
		e.reason = "mount_refused";	/* answered as an upload; the detail says why */
	if (r->observed.why != REFUSE_NONE) {
		e.observed.reason = refusal_of(r->observed.why)->symbol;
		e.observed.sid = r->observed.sid;
	}
	if (r->hides && e.observed.reason == NULL)
		e.observed.reason = "entries_hidden";
	fill_actor(r, &e);
	fill_registry(r, &e);
	e.http.method = http_method_name(r->head.method);
	e.http.path = audited_path(r);
	e.http.user_agent = r->head.field[HTTP_FIELD_USER_AGENT];
	e.http.version = r->head.minor == 0 ? SPAN("1.0") : SPAN("1.1");
	e.http.bytes_in = r->bytes_in;
	e.http.bytes_out = r->bytes_out;
	e.token.id = token_event_id(r);
	e.token.scope = token_event_scope(r);
	e.tls.version = stream_tls_version(s);
	e.tls.cipher = stream_tls_cipher(s);
	e.tls.sni = stream_sni(s);
	e.upstream.status = r->upstream_status;
	e.duration_us = (now - r->began_ms) * 1000;
	e.record = (struct span){ text, judge_write(r, text, sizeof text) };
	return put(r->worker, &e, wait);
}

void
record_event(struct worker *w, struct audit_event *e)
{
	unsigned char random[10];

	e->time_us = loop_wall_us(w->loop);
	worker_random(w, random, sizeof random);
	event_id(e->time_us / 1000, random, e->id);
	if (!put(w, e, NULL))
		log_warn("req=%.*s msg=%s could not be recorded", SPAN_FMT(e->detail), e->event);
}

void
record_bypass(struct request *r)
{
	metric_add(&r->worker->metrics, METRIC_BYPASSED, 1);
	record_state(r, "gate.bypass", r->route.reference_type == REFERENCE_TAG ? r->route.reference : SPAN_NONE,
	    r->answer_digest.p != NULL ? r->answer_digest : span_of(r->manifest.digest), SPAN_NONE);
}

void
record_state(struct request *r, const char *event, struct span tag, struct span digest, struct span old_digest)
{
	struct audit_event e = {
		.event = event,
		.action = span_of(route_audit_name(r->route.op)),
		.decision = AUDIT_ALLOW,
		.reason = "ok",
		.detail = span_of(r->id),	/* the request it happened in */
	};

	fill_actor(r, &e);
	fill_registry(r, &e);
	e.registry.tag = tag;
	e.registry.digest = digest;
	e.registry.old_digest = old_digest;
	record_event(r->worker, &e);
}
