/*
 * answer.c - heads for the client: our refusals, and upstream's answers written anew.
 * Invariant: no field of upstream's reaches a client unless it is in the list here; never a credential, cookie or
 * challenge.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "gateway/log.h"
#include "gateway/request.h"
#include "gateway/token/request.h"
#include "policy/json_write.h"

#define HEAD_MAX	16384u
/* of a refusal */
#define MESSAGE_ROOM	1024u
#define DETAIL_TEXT	256u
#define HEAD_ROOM	(MESSAGE_ROOM + 2048u)
#define BODY_ROOM	(6 * MESSAGE_ROOM + 6 * DETAIL_TEXT * (2 * NEAR_MISSES_MAX + 2) + 512u)	/* all of it escaped */

static const enum http_field_id relayed[] = {
	HTTP_FIELD_CONTENT_TYPE, HTTP_FIELD_CONTENT_RANGE, HTTP_FIELD_DOCKER_CONTENT_DIGEST,
	HTTP_FIELD_DOCKER_UPLOAD_UUID, HTTP_FIELD_DOCKER_API_VERSION, HTTP_FIELD_ETAG, HTTP_FIELD_RANGE,
	HTTP_FIELD_ACCEPT_RANGES, HTTP_FIELD_CACHE_CONTROL, HTTP_FIELD_LAST_MODIFIED, HTTP_FIELD_RETRY_AFTER,
	HTTP_FIELD_WARNING, HTTP_FIELD_OCI_SUBJECT, HTTP_FIELD_OCI_FILTERS_APPLIED,
	HTTP_FIELD_OCI_CHUNK_MIN_LENGTH,
};

static void
write_connection(struct request *r, struct http_writer *w)
{
	if (!r->keep_alive)
		http_write_field_id(w, HTTP_FIELD_CONNECTION, SPAN("close"));
	else if (r->head.minor == 0)
		http_write_field_id(w, HTTP_FIELD_CONNECTION, SPAN("keep-alive"));
}

static void
send_bytes(struct request *r, struct span bytes)
{
	stream_write(r->conn->stream, bytes);
}

/* What failed, for who is known: names of statements and keys, no value. */
static void
write_failed(struct json_writer *w, const struct request *r)
{
	const struct decision *d = &r->judged.decision;

	if (d->sid.n > 0) {
		json_write_key(w, "sid");
		json_write_text(w, d->sid, DETAIL_TEXT);
	}
	if (d->n_near == 0)
		return;
	json_write_key(w, "near");
	json_write_open(w, '[');
	for (unsigned i = 0; i < d->n_near; i++) {
		json_write_next(w);
		json_write_open(w, '{');
		json_write_key(w, "sid");
		json_write_text(w, d->near[i].sid, DETAIL_TEXT);
		json_write_key(w, "key");
		json_write_text(w, d->near[i].key, DETAIL_TEXT);
		json_write_close(w, '}');
	}
	json_write_close(w, ']');
}

/* {"errors":[{"code","message","detail":{"event","reason","sid","near":[{"sid","key"}]}}]} */
static struct span
refusal_body(const struct request *r, enum refuse why, struct span message, char *buf, size_t size)
{
	bool anonymous = r->authn.who == NULL || r->authn.who->type == PRINCIPAL_ANONYMOUS;
	const struct refusal *row = refusal_of(why);
	const char *oauth = token_oauth_error(r);
	struct json_writer w = { .p = buf, .end = buf + size };

	json_write_bytes(&w, "{\"errors\":[{", 12);
	json_write_key(&w, "code");
	json_write_text(&w, span_of(row->code), DETAIL_TEXT);
	json_write_key(&w, "message");
	json_write_text(&w, message, MESSAGE_ROOM);
	json_write_key(&w, "detail");
	json_write_open(&w, '{');
	json_write_key(&w, "event");
	json_write_text(&w, span_of(r->id), DETAIL_TEXT);
	json_write_key(&w, "reason");
	json_write_text(&w, span_of(row->symbol), DETAIL_TEXT);
	if (!anonymous && (refuse_is_policy(why) || why == REFUSE_POLICY_CHANGED || why == REFUSE_EVIDENCE_PENDING ||
	    why == REFUSE_EVIDENCE_UNKNOWN))
		write_failed(&w, r);
	json_write_bytes(&w, "}}]", 3);
	w.comma = true;
	if (oauth != NULL) {
		json_write_key(&w, "error");
		json_write_text(&w, span_of(oauth), DETAIL_TEXT);
	}
	json_write_close(&w, '}');
	return w.full ? SPAN_NONE : (struct span){ buf, (size_t)(w.p - buf) };
}

/* Whoever tries passwords or tokens on the token service learns only that they are none; the event knows why. */
static bool
is_constant(const struct request *r)
{
	return r->route.op == ROUTE_TOKEN && refusal_of(r->refused)->status == 401;
}

/*
 * The text with the id of the event, for docker prints the message alone, and containerd the reason phrase: whoever is
 * refused can hand the id to an administrator. `tidewaiter policy explain` takes it.
 */
static struct span
message_of(const struct request *r, const struct refusal *row, char buf[static MESSAGE_ROOM])
{
	const char *text = r->message != NULL && !is_constant(r) ? r->message : row->text;
	int n = snprintf(buf, MESSAGE_ROOM, "%.*s (event %s)", (int)(MESSAGE_ROOM - 64), text, r->id);

	return (struct span){ buf, n > 0 ? (size_t)n : 0 };
}

/* A status line takes visible ASCII: the rest of a text must not cut the id off. */
static struct span
phrase_of(struct span message, char buf[static MESSAGE_ROOM])
{
	size_t n = 0;

	for (size_t i = 0; i < message.n; i++) {
		unsigned char c = (unsigned char)message.p[i];

		/* one mark a character */
		if ((c & 0xc0) != 0x80)
			buf[n++] = c >= ' ' && c <= '~' ? message.p[i] : '?';
	}
	return (struct span){ buf, n };
}

static void
write_allow(struct request *r, struct http_writer *w)
{
	static const enum http_method methods[] = { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH,
		HTTP_DELETE };
	char allow[64];
	size_t n = 0;

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		struct span name = http_method_name(methods[i]);
		struct route other;

		if (route_resolve(methods[i], r->head.target, &r->config->limits.route, r->arena, &other) !=
		    REFUSE_METHOD && n + name.n + 2 < sizeof allow)
			n += (size_t)snprintf(allow + n, sizeof allow - n, "%s%.*s", n > 0 ? ", " : "",
			    SPAN_FMT(name));
	}
	http_write_field(w, SPAN("Allow"), (struct span){ allow, n });
}

void
answer_refusal(struct request *r, enum refuse why)
{
	enum refuse shown = is_constant(r) ? REFUSE_NO_CREDENTIALS : why;
	const struct refusal *row = refusal_of(shown);
	UNSET char text[MESSAGE_ROOM], phrase[MESSAGE_ROOM], head[HEAD_ROOM], room[BODY_ROOM];
	struct span message = message_of(r, row, text), body, out;
	struct http_writer w;

	body = refusal_body(r, shown, message, room, sizeof room);
	http_writer_init(&w, head, sizeof head);
	http_write_status_line(&w, row->status, phrase_of(message, phrase));
	http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, SPAN("application/json"));
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, body.n);
	if (row->status == 401)
		token_challenge(r, &w);
	if (row->status == 405)
		write_allow(r, &w);
	if (row->status == 429 || row->status == 503)
		http_write_field_id(&w, HTTP_FIELD_RETRY_AFTER, SPAN("1"));
	http_write_field_id(&w, HTTP_FIELD_DOCKER_API_VERSION, SPAN("registry/2.0"));
	write_connection(r, &w);
	out = http_write_end(&w);
	r->status = row->status;
	log_debug("req=%s msg=%s", r->id, row->text);
	if (out.p != NULL)
		send_bytes(r, out);
	if (out.p != NULL && body.n > 0 && r->head.method != HTTP_HEAD) {
		send_bytes(r, body);
		r->bytes_out += body.n;
	}
}

void
answer_json(struct request *r, struct span cache_control, struct span body)
{
	char head[512];
	struct http_writer w;

	r->keep_alive = request_keeps_alive(r);
	http_writer_init(&w, head, sizeof head);
	http_write_status_line(&w, 200, span_of(http_reason(200)));
	http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, SPAN("application/json"));
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, body.n);
	http_write_field_id(&w, HTTP_FIELD_CACHE_CONTROL, cache_control);
	write_connection(r, &w);
	r->status = 200;
	send_bytes(r, http_write_end(&w));
	if (r->head.method != HTTP_HEAD) {
		send_bytes(r, body);
		r->bytes_out += body.n;
	}
	request_replied(r);
}

/* ---- Location ---- */

/* Where an absolute or absolute-path reference leads: the upstream itself, or a host that may take uploads. */
static bool
split_location(const struct request *r, struct span url, struct span *origin, struct span *target)
{
	const struct config_upstream *u = r->upstream_config;
	struct span here = r->answered_by.p != NULL ? r->answered_by : span_of(u->origin);
	bool no_scheme = span_starts(url, SPAN("//"));

	*origin = here;
	*target = url;
	if (!no_scheme && span_starts(url, SPAN("/")))
		return true;
	for (size_t i = 0; i <= u->n_upload_hosts; i++) {
		struct span one = span_of(i == 0 ? u->origin : u->upload_hosts[i - 1]), written = one;

		/* a network-path reference has the scheme of who said it */
		if (no_scheme && span_starts(one, SPAN("https:")) != span_starts(here, SPAN("https:")))
			continue;
		if (no_scheme)
			written = span_skip(one, span_starts(one, SPAN("https:")) ? 6 : 5);
		if (url.n <= written.n || url.p[written.n] != '/' ||
		    !span_eq_nocase((struct span){ url.p, written.n }, written))
			continue;
		*origin = one;
		*target = span_skip(url, written.n);
		return true;
	}
	return false;
}

/* Goes into a request line later: visible ASCII only. */
static bool
is_target(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* Upstream's upload URL sealed into a lease of ours. */
static struct span
sealed_location(struct request *r, struct span location)
{
	struct span origin, target, text;

	if (location.p == NULL || !split_location(r, location, &origin, &target) || !is_target(target))
		return SPAN_NONE;
	text = seal_target(r, origin, target, r->route.repository);
	if (text.p == NULL)
		return SPAN_NONE;
	return arena_printf(r->arena, "/v2/%.*s/blobs/uploads/%.*s", SPAN_FMT(r->route.repository),
	    SPAN_FMT(text));
}

static bool
names_upload(const struct request *r, unsigned status)
{
	return (r->route.reference_type == REFERENCE_LEASE && r->route.op != ROUTE_UPLOAD_FINISH) ||
	    ((r->route.op == ROUTE_UPLOAD_START || r->route.op == ROUTE_BLOB_MOUNT) && status != 201);
}

/* Where the thing just made is, in our own words. */
static struct span
made_location(struct request *r)
{
	struct span repo = r->route.repository;
	struct span digest = r->route.op == ROUTE_BLOB_MOUNT ? r->route.mount : r->route.digest;

	if (r->route.op == ROUTE_MANIFEST_PUT)
		return arena_printf(r->arena, "/v2/%.*s/manifests/%.*s", SPAN_FMT(repo),
		    SPAN_FMT(r->route.reference));
	return arena_printf(r->arena, "/v2/%.*s/blobs/%.*s", SPAN_FMT(repo), SPAN_FMT(digest));
}

static enum refuse
write_location(struct request *r, struct http_writer *w, const struct http_head *h)
{
	struct span location = h->field[HTTP_FIELD_LOCATION];
	struct span ours;

	if (h->status >= 300 || (location.p == NULL && h->status != 201))
		return REFUSE_NONE;
	if (names_upload(r, h->status)) {
		ours = sealed_location(r, location);
		if (ours.p == NULL) {
			log_warn("req=%s upstream=%s msg=upload Location is neither at %s nor at one of upload-hosts",
			    r->id, r->upstream_config->alias, r->upstream_config->origin);
			return REFUSE_UPSTREAM_LOCATION;
		}
	} else if (request_is_write(r) && !request_is_delete(r)) {
		ours = made_location(r);
	} else {
		return REFUSE_NONE;
	}
	http_write_field_id(w, HTTP_FIELD_LOCATION, ours);
	return REFUSE_NONE;
}

/* ---- relaying ---- */

static void
write_framing(struct request *r, struct http_writer *w, const struct http_head *h, const struct span *body)
{
	bool no_body = h->status == 204 || h->status == 304;

	if (body != NULL) {
		if (!no_body)
			http_write_number(w, HTTP_FIELD_CONTENT_LENGTH, body->n);
		return;
	}
	if (r->head.method == HTTP_HEAD || no_body) {
		if (h->field[HTTP_FIELD_CONTENT_LENGTH].p != NULL && !no_body)
			http_write_number(w, HTTP_FIELD_CONTENT_LENGTH, h->length);
		return;
	}
	if (h->framing != HTTP_FRAMING_CHUNKED) {
		http_write_number(w, HTTP_FIELD_CONTENT_LENGTH, h->length);
	} else if (r->head.minor == 0) {
		r->until_close = true;	/* HTTP/1.0 has no other way */
		r->keep_alive = false;
	} else {
		r->chunked = true;
		http_write_field_id(w, HTTP_FIELD_TRANSFER_ENCODING, SPAN("chunked"));
	}
}

enum refuse
answer_relay(struct request *r, const struct http_head *h, const struct span *body)
{
	char *buf = arena_alloc(r->arena, HEAD_MAX);
	struct http_writer w;
	struct span out;
	enum refuse why;

	if (buf == NULL)
		return REFUSE_NO_MEMORY;
	r->keep_alive = request_keeps_alive(r);
	http_writer_init(&w, buf, HEAD_MAX);
	http_write_status_line(&w, h->status, span_of(http_reason(h->status)));
	write_framing(r, &w, h, body);
	for (size_t i = 0; i < sizeof relayed / sizeof relayed[0]; i++)
		if (h->field[relayed[i]].p != NULL)
			http_write_field_id(&w, relayed[i], h->field[relayed[i]]);
	if (r->warning.p != NULL)
		http_write_field_id(&w, HTTP_FIELD_WARNING, r->warning);
	if (r->redirect.p != NULL)
		http_write_field_id(&w, HTTP_FIELD_LOCATION, r->redirect);
	why = write_location(r, &w, h);
	if (why != REFUSE_NONE)
		return why;
	/* all of them: each was confirmed */
	if (h->status == 201 && r->route.n_tags > 0)
		http_write_field(&w, SPAN("OCI-Tag"), claim_tags(r));
	write_connection(r, &w);
	out = http_write_end(&w);
	if (out.p == NULL)
		return arena_failed(r->arena) ? REFUSE_NO_MEMORY : REFUSE_UPSTREAM_BAD;
	r->status = h->status;
	send_bytes(r, out);
	if (body != NULL && body->p != NULL && r->head.method != HTTP_HEAD && h->status != 204 && h->status != 304) {
		send_bytes(r, *body);
		r->bytes_out += body->n;
	}
	return REFUSE_NONE;
}

/* ---- from memory ---- */

#define PIECE	65536u

void
answer_more(struct request *r)
{
	struct stream *s = r->conn->stream;

	stream_deadline(s, 0);
	while (r->rest.n > 0) {
		struct span piece = { r->rest.p, r->rest.n < PIECE ? r->rest.n : PIECE };

		stream_write(s, piece);
		stream_flush(s);
		r->bytes_out += piece.n;
		r->rest = span_skip(r->rest, piece.n);
		if (stream_blocked(s) && r->rest.n > 0) {
			stream_deadline(s, r->config->limits.write_idle);
			return;
		}
	}
	request_replied(r);
}

enum refuse
answer_whole(struct request *r, const struct http_head *h, struct span body)
{
	const struct span length = { NULL, body.n };
	enum refuse why = answer_relay(r, h, &length);

	if (why != REFUSE_NONE)
		return why;
	if (r->head.method != HTTP_HEAD && h->status != 204 && h->status != 304)
		r->rest = body;
	answer_more(r);
	return REFUSE_NONE;
}

enum refuse
answer_list(struct request *r, const struct http_head *h, struct span type, struct span link, size_t length)
{
	/* not the others: they may speak of upstream's bytes, and these are ours */
	static const enum http_field_id kept[] = { HTTP_FIELD_DOCKER_API_VERSION, HTTP_FIELD_WARNING,
		HTTP_FIELD_OCI_FILTERS_APPLIED };
	char *buf = arena_alloc(r->arena, HEAD_MAX);
	struct http_writer w;
	struct span out;

	if (buf == NULL)
		return REFUSE_NO_MEMORY;
	r->keep_alive = request_keeps_alive(r);
	http_writer_init(&w, buf, HEAD_MAX);
	http_write_status_line(&w, 200, span_of(http_reason(200)));
	http_write_field_id(&w, HTTP_FIELD_CONTENT_TYPE, type);
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, length);
	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
		if (h->field[kept[i]].p != NULL)
			http_write_field_id(&w, kept[i], h->field[kept[i]]);
	if (link.p != NULL)
		http_write_field_id(&w, HTTP_FIELD_LINK, link);
	write_connection(r, &w);
	out = http_write_end(&w);
	if (out.p == NULL)
		return REFUSE_UPSTREAM_BAD;
	r->status = 200;
	send_bytes(r, out);
	return REFUSE_NONE;
}
