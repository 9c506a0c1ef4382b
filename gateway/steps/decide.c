/*
 * decide.c - may they: facts to policy, verdict to refusal.
 * Invariant: nothing has been sent upstream yet.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/list.h"
#include "gateway/steps/gate.h"
#include "gateway/steps/recheck.h"
#include "gateway/tags/append.h"
#include "gateway/token/pass.h"
#include "policy/client.h"

/* A fact that is known: present, or known not to exist when empty. All others are unknown, which is never "no". */
static void
know(struct request *r, enum policy_key key, struct span value)
{
	r->facts[key] = (struct fact){ .state = value.n > 0 ? FACT_PRESENT : FACT_ABSENT, .value = value };
}

/* Names of one kind. What could not be read stays unknown. */
static void
know_names(struct request *r, enum policy_key key, const struct certificate_names *names)
{
	if (!names->known)
		return;
	r->facts[key] = (struct fact){ .state = names->n > 0 ? FACT_PRESENT : FACT_ABSENT, .values = names->texts,
	    .n_values = names->n };
}

static void
gather_certificate(struct request *r)
{
	const struct certificate *c = r->conn->certificate;
	int64_t left = c == NULL ? -1 : c->expires_at - r->time_us / 1000000;
	bool verified = left > 0 && c->outcome != CERTIFICATE_DISTRUSTED;

	know(r, KEY_NET_CLIENT_CERTIFICATE, verified ? SPAN("true") : SPAN("false"));
	if (!verified) {
		for (unsigned k = KEY_CERT_SUBJECT; k <= KEY_CERT_DAYS_LEFT; k++)
			know(r, (enum policy_key)k, SPAN_NONE);
		return;
	}
	know(r, KEY_CERT_SUBJECT, c->subject);
	know(r, KEY_CERT_ISSUER, c->issuer);
	know(r, KEY_CERT_SHA256, c->sha256);
	know_names(r, KEY_CERT_SAN_URI, &c->uris);
	know_names(r, KEY_CERT_SAN_DNS, &c->hosts);
	know(r, KEY_CERT_DAYS_LEFT, arena_printf(r->arena, "%" PRId64, left / 86400));
}

static void
gather_connection(struct request *r)
{
	struct stream *s = r->conn->stream;
	bool told = strcmp(r->client.ip, r->conn->peer.ip) != 0;

	know(r, KEY_NET_SOURCE_IP, span_of(r->client.ip));
	know(r, KEY_NET_PEER_IP, span_of(r->conn->peer.ip));
	know(r, KEY_NET_VIA_TRUSTED_PROXY, told ? SPAN("true") : SPAN("false"));
	know(r, KEY_NET_TLS_VERSION, stream_tls_version(s));
	know(r, KEY_NET_TLS_CIPHER, stream_tls_cipher(s));
	know(r, KEY_NET_SNI, stream_sni(s));
	gather_certificate(r);
}

static bool
gather_client(struct request *r)
{
	struct client *c = arena_alloc(r->arena, sizeof *c);

	if (c == NULL)
		return false;
	client_parse(r->head.field[HTTP_FIELD_USER_AGENT], c);
	know(r, KEY_CLIENT_USER_AGENT, r->head.field[HTTP_FIELD_USER_AGENT]);
	know(r, KEY_CLIENT_PRODUCT, c->product);
	know(r, KEY_CLIENT_VERSION, c->version);
	know(r, KEY_CLIENT_OS, c->os);
	return true;
}

static void
gather_registry(struct request *r)
{
	bool tag = r->route.reference_type == REFERENCE_TAG, mount = r->route.op == ROUTE_BLOB_MOUNT;
	bool digest = r->route.reference_type == REFERENCE_DIGEST || mount;

	know(r, KEY_REGISTRY_UPSTREAM, span_of(r->upstream_config->alias));
	know(r, KEY_REGISTRY_REPOSITORY, r->route.repository);
	know(r, KEY_REGISTRY_MOUNT_FROM, r->route.from);
	know(r, KEY_REGISTRY_TAG, tag ? r->route.reference : SPAN_NONE);
	know(r, KEY_REGISTRY_DIGEST, mount ? r->route.mount : digest ? r->route.reference : SPAN_NONE);
	know(r, KEY_REGISTRY_REFERENCE_TYPE, tag ? SPAN("tag") : digest ? SPAN("digest") : SPAN_NONE);
	/* the digest of a pushed manifest is known once it is read */
	if (r->route.op == ROUTE_MANIFEST_PUT && tag)
		r->facts[KEY_REGISTRY_DIGEST].state = FACT_LATER;
	/* each tag of a list is its own question, when policy asks it at all */
	if (r->route.op == ROUTE_TAGS_LIST)
		r->facts[KEY_REGISTRY_TAG].state = FACT_LATER;
}

static bool
gather_facts(struct request *r)
{
	r->facts = arena_zalloc(r->arena, KEY_MAX, sizeof *r->facts);
	if (r->facts == NULL)
		return false;
	for (unsigned k = 0; k < KEY_MAX; k++)
		r->facts[k].state = FACT_UNKNOWN;
	gate_promise(r);
	gather_connection(r);
	gather_registry(r);
	return gather_client(r);
}

enum verdict
decide(struct request *r, enum policy_action action, struct span repository, struct decision *out)
{
	struct policy_request q = {
		.action = action,
		.upstream = span_of(r->upstream_config->alias),
		.repository = repository,
		.who = r->authn.who,
		.now = r->time_us / 1000000,
		.facts = r->facts,
	};
	struct fact asked = r->facts[KEY_REGISTRY_REPOSITORY];

	*out = (struct decision){ .verdict = VERDICT_DENY };
	if (!judge_covers(r, action, repository))
		return out->verdict;
	/* the source of a mount is another repository: for this one question */
	know(r, KEY_REGISTRY_REPOSITORY, repository);
	policy_decide(r->policy, &q, out);
	r->facts[KEY_REGISTRY_REPOSITORY] = asked;
	return out->verdict;
}

bool
decide_prepare(struct request *r)
{
	r->policy = policy_ref(r->config->policy);
	return gather_facts(r);
}

bool
decide_again(struct request *r, struct judged *out)
{
	struct fact *then = r->facts;

	if (r->scanner)
		return pass_allows(r);
	/* the connection's certificate may have been read anew, and with it what policy is told of it */
	if (!gather_facts(r))
		return false;
	/* what was found out about the image stands */
	for (unsigned k = 0; k < KEY_MAX; k++)
		if (r->facts[k].state == FACT_LATER)
			r->facts[k] = then[k];
	return judge_ask(r, route_action(r->route.op), r->route.repository, SPAN_NONE, out) == VERDICT_ALLOW;
}

bool
decide_anew(struct request *r, struct policy *p)
{
	struct policy *then = r->policy;

	/* what the answers so far point to lives as long as r->serving */
	r->policy = policy_ref(p);
	policy_unref(then);
	return gather_facts(r);
}

/* A right beside the one that decides. */
static bool
may(struct request *r, enum policy_action action, struct span repository)
{
	struct judged j;

	if (judge_ask(r, action, repository, SPAN_NONE, &j) != VERDICT_ALLOW && observe_lifts(r, REFUSE_NOT_ALLOWED, &j))
		return true;
	judge_also(r, &j);
	return j.decision.verdict == VERDICT_ALLOW;
}

/* Both rights: the blob is read there and written here (and both names must be of one upstream). NULL: they are there. */
static const char *
mount_refused(struct request *r)
{
	if (r->route.stripped_mount.p != NULL)
		return "no source named";
	if (config_upstream_for(r->config, r->route.from) != r->upstream_config)
		return "the source is of another upstream";
	if (!may(r, ACTION_MountBlob, r->route.repository))
		return "no right to mount here";
	if (gate_blob_blocked(r, r->route.from, r->route.mount) != BLOCK_NONE)
		return "the blob is of an image that nobody may pull yet";
	if (!may(r, ACTION_PullBlob, r->route.from))
		return "no right to pull there";
	return NULL;
}

/*
 * Clients try mounts unasked. Without the right it is a plain upload, never a refusal: the same answer as for a blob
 * that is not there. The event tells the difference.
 */
static void
judge_mount(struct request *r)
{
	const char *why = mount_refused(r);

	if (why == NULL)
		return;
	if (r->route.op == ROUTE_BLOB_MOUNT)
		route_strip_mount(&r->route);
	gather_registry(r);
	r->detail = arena_printf(r->arena, "mount of %.*s from %.*s made an upload: %s", SPAN_FMT(r->route.stripped_mount),
	    SPAN_FMT(r->route.stripped_from), why);
}

static void
decide_op(struct request *r, struct judged *out)
{
	struct span repository = r->route.repository;
	enum policy_action action;
	struct judged other;

	if (r->scanner) {
		*out = (struct judged){ .action = route_action(r->route.op), .repository = repository };
		out->beyond = !pass_allows(r);
		out->decision.verdict = out->beyond ? VERDICT_DENY : VERDICT_ALLOW;
		return;
	}
	if (r->route.op == ROUTE_BLOB_MOUNT || r->route.stripped_mount.p != NULL)
		judge_mount(r);
	action = r->route.op == ROUTE_BLOB_MOUNT ? ACTION_PushBlob : route_action(r->route.op);
	if (judge_ask(r, action, repository, SPAN_NONE, out) == VERDICT_ALLOW || r->head.method != HTTP_HEAD)
		return;
	/* a pusher asks what is there already */
	if (out->decision.verdict == VERDICT_EXPLICIT_DENY)
		return;
	action = action == ACTION_PullBlob ? ACTION_PushBlob : ACTION_PushManifest;
	if (judge_ask(r, action, repository, SPAN_NONE, &other) != VERDICT_ALLOW) {
		judge_also(r, &other);
		out->beyond |= other.beyond;	/* another token might do */
		return;
	}
	judge_also(r, out);
	*out = other;
}

enum refuse
decide_refusal(struct request *r, const struct judged *j)
{
	const struct identity *who = r->authn.who;
	const struct decision *d = &j->decision;

	if (j->beyond)
		return REFUSE_INSUFFICIENT_SCOPE;
	if (who->type == PRINCIPAL_ANONYMOUS && config_has_logins(r->config))
		return REFUSE_NO_CREDENTIALS;
	if (d->message.n > 0) {
		struct span text = arena_dup(r->arena, d->message);

		r->message = text.p;
	}
	if (d->verdict == VERDICT_NEED || d->unknown)
		return REFUSE_FACT_UNKNOWN;
	return d->verdict == VERDICT_EXPLICIT_DENY ? REFUSE_DENIED_BY_POLICY : REFUSE_NOT_ALLOWED;
}

enum next
step_decide(struct request *r)
{
	struct judged j;
	enum verdict v;

	if (r->upstream_config == NULL)
		return request_refuse(r, r->authn.who->type == PRINCIPAL_ANONYMOUS &&
		    config_has_logins(r->config) ? REFUSE_NO_CREDENTIALS : REFUSE_NOT_SERVED);
	if (!decide_prepare(r))
		return request_refuse(r, REFUSE_NO_MEMORY);
	decide_op(r, &j);
	judge_decides(r, &j);
	v = j.decision.verdict;
	/* every login may check itself, unless policy says no in so many words */
	if (r->route.op == ROUTE_PING && v == VERDICT_DENY)
		v = VERDICT_ALLOW;
	if (list_some_tags(r))
		v = VERDICT_ALLOW;	/* lists/visible.c says which */
	if (v == VERDICT_NEED && r->route.op == ROUTE_MANIFEST_PUT)
		v = VERDICT_ALLOW;	/* step content asks again */
	else if (gate_waits(r, &j))
		v = VERDICT_ALLOW;	/* step inspect does */
	if (v != VERDICT_ALLOW) {
		enum refuse why = decide_refusal(r, &j);

		if (!observe_lifts(r, why, &j))
			return request_refuse(r, why);
	}
	/* an upload is its holder's only, in its repository, at the upstream it was begun at */
	if (r->route.reference_type == REFERENCE_LEASE &&
	    !seal_open(r, r->route.reference, r->route.repository, &r->lease))
		return request_refuse(r, REFUSE_UPLOAD_UNKNOWN);
	if (request_is_write(r) && !spool_healthy(r->worker->gateway->spool))
		return request_refuse(r, REFUSE_AUDIT_DOWN);
	return NEXT;
}

/* ---- a manifest being pushed ---- */

enum next
step_body(struct request *r)
{
	if (r->route.op != ROUTE_MANIFEST_PUT || r->body_done)
		return NEXT;
	request_want_body(r, SINK_COLLECT);
	return WAIT;
}

static bool
has_foreign_layer(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_layers; i++)
		if (m->layers[i].has_urls)
			return true;
	return false;
}

/* One more right, for a tag (or none). REFUSE_NONE: granted. */
static enum refuse
ask(struct request *r, enum policy_action action, struct span tag)
{
	enum refuse why;
	struct judged j;

	if (judge_ask(r, action, r->route.repository, tag, &j) != VERDICT_ALLOW) {
		if (gate_waits(r, &j)) {
			judge_decides(r, &j);
			return REFUSE_NONE;
		}
		why = decide_refusal(r, &j);
		if (observe_lifts(r, why, &j))
			return REFUSE_NONE;
		judge_decides(r, &j);
		return why;
	}
	/* the event names the statement that let it be pushed, or the one that did not */
	if (action == ACTION_PushManifest)
		judge_decides(r, &j);
	else
		judge_also(r, &j);
	return REFUSE_NONE;
}

static enum refuse
ask_for_tag(struct request *r, struct span tag)
{
	enum refuse why = ask(r, ACTION_PushManifest, tag);

	if (why == REFUSE_NONE && append_kind_of(tag) != APPEND_NONE)
		why = ask(r, ACTION_AppendReferrer, tag);
	return why;
}

/* Policy again, now that the digest is known, for every tag, and for what the content itself asks. */
enum refuse
decide_push(struct request *r)
{
	enum refuse why;

	know(r, KEY_REGISTRY_DIGEST, span_of(r->manifest.digest));
	if (r->route.reference_type == REFERENCE_TAG)
		why = ask_for_tag(r, r->route.reference);
	else
		why = ask(r, ACTION_PushManifest, SPAN_NONE);
	for (size_t i = 0; why == REFUSE_NONE && i < r->route.n_tags; i++) {
		why = ask_for_tag(r, r->route.tags[i]);
		if (why != REFUSE_NONE)
			r->at_tag = r->route.tags[i];
	}
	if (why == REFUSE_NONE && r->manifest.has_subject)
		why = ask(r, ACTION_AppendReferrer, SPAN_NONE);
	return why;
}

static bool
read_manifest(struct request *r)
{
	return manifest_read((struct span){ r->bytes, r->n_bytes }, r->head.field[HTTP_FIELD_CONTENT_TYPE],
	    r->arena, &r->manifest, r->manifest_error, sizeof r->manifest_error);
}

static void
work(struct offload_job *j)
{
	struct request *r = (struct request *)(void *)((char *)j - offsetof(struct request, job));

	r->manifest_read = read_manifest(r);
}

static void
on_read(struct mail *m)
{
	struct offload_job *j = (struct offload_job *)(void *)((char *)m - offsetof(struct offload_job, mail));

	struct request *r = (struct request *)(void *)((char *)j - offsetof(struct request, job));

	if (request_returned(r))
		request_continue(r);
}

enum next
step_manifest(struct request *r)
{
	if (r->route.op != ROUTE_MANIFEST_PUT)
		return NEXT;
	if (r->n_bytes < OFFLOAD_JSON) {
		r->manifest_read = read_manifest(r);
		return NEXT;
	}
	r->job.work = work;
	r->job.mail.deliver = on_read;
	r->job.reply_to = r->worker->mailbox;
	request_lend(r);
	offload_submit(r->worker->gateway->offload, &r->job);
	return WAIT;
}

enum next
step_content(struct request *r)
{
	enum refuse why;

	if (r->route.op != ROUTE_MANIFEST_PUT)
		return NEXT;
	if (!r->manifest_read) {
		r->detail = span_of(r->manifest_error);
		r->message = r->manifest_error;
		return request_refuse(r, REFUSE_MANIFEST_INVALID);
	}
	if (r->route.reference_type == REFERENCE_DIGEST &&
	    !span_eq(r->route.reference, span_of(r->manifest.digest)))
		return request_refuse(r, REFUSE_DIGEST_MISMATCH);
	why = recheck_push(r);
	if (why == REFUSE_NONE)
		why = decide_push(r);
	if (why == REFUSE_NONE && r->open) {
		/* what the manifest itself says may be enough */
		r->open = false;
		r->need = (struct key_set){ 0 };
		why = gate_tell_manifest(r, &r->manifest, (struct span){ r->bytes, r->n_bytes }) ? decide_push(r) : REFUSE_NO_MEMORY;
	}
	if (why == REFUSE_NONE && has_foreign_layer(&r->manifest))
		why = REFUSE_FOREIGN_LAYER;
	/* its body may have taken a while */
	if (why == REFUSE_NONE && !spool_healthy(r->worker->gateway->spool))
		why = REFUSE_AUDIT_DOWN;
	return why == REFUSE_NONE ? NEXT : request_refuse(r, why);
}
