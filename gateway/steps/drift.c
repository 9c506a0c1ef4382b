/*
 * drift.c - does upstream still name the digest that the ledger knows?
 *
 * A watch outlives its request: it has copies of all it needs, and frees itself when the ledger has answered.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/drift.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/request.h"

#define SEEN	     1024u	/* slots: a tag may push out another one, which is then asked about again */
#define AGREED_MS    10000
#define DRIFTED_MS   60000	/* the next event about the same difference */
#define WATCHES_MAX  512u	/* of a worker: when the ledger is slow, pulls are not held up and memory does not grow */
#define KEY_LEN	     16

struct seen {
	unsigned char key[KEY_LEN];	/* of registry, repository, tag and the digest upstream named */
	int64_t until;			/* monotonic ms; 0: empty */
};

struct drift {
	unsigned watches;
	bool told;			/* that there are too many */
	struct seen seen[SEEN];
};

struct watch {
	struct ledger_op op;
	struct worker *worker;
	unsigned char key[KEY_LEN];
	unsigned port;
	/* in bytes[] */
	struct span upstream, issuer, subject, method, request, action;
	char bytes[];
};

struct drift *
drift_new(void)
{
	return calloc(1, sizeof(struct drift));
}

void
drift_free(struct drift *d)
{
	free(d);
}

/* ---- what was seen ---- */

/* Lengths keep the parts apart. False: no digest, so nothing is remembered. */
static bool
key_of(const struct config_upstream *u, struct span repository, struct span tag, struct span digest,
    unsigned char out[static KEY_LEN])
{
	const struct span part[] = { span_of(u->registry), repository, tag, digest };
	unsigned char hash[EVP_MAX_MD_SIZE];
	char text[2048];
	size_t n = 0;

	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		if (part[i].n > sizeof text - n || sizeof text - n - part[i].n < sizeof part[i].n)
			return false;
		memcpy(text + n, &part[i].n, sizeof part[i].n);
		n += sizeof part[i].n;
		if (part[i].n > 0)
			memcpy(text + n, part[i].p, part[i].n);
		n += part[i].n;
	}
	if (EVP_Digest(text, n, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(out, hash, KEY_LEN);
	return true;
}

static struct seen *
slot_of(struct drift *d, const unsigned char key[static KEY_LEN])
{
	return &d->seen[(key[0] | (size_t)key[1] << 8) % SEEN];
}

static bool
seen_lately(struct drift *d, const unsigned char key[static KEY_LEN], int64_t now)
{
	const struct seen *s = slot_of(d, key);

	return s->until > now && memcmp(s->key, key, KEY_LEN) == 0;
}

static void
remember(struct worker *w, const unsigned char key[static KEY_LEN], int64_t ms)
{
	struct seen *s = slot_of(w->drift, key);

	memcpy(s->key, key, KEY_LEN);
	s->until = loop_monotonic_ms(w->loop) + ms;
}

/* ---- asking ---- */

static void
tell(struct worker *w, struct span id, struct span repository, struct span tag, struct span found, struct span recorded)
{
	metric_add(&w->metrics, METRIC_TAGS_DRIFTED, 1);
	log_warn("req=%.*s msg=%.*s:%.*s is %.*s upstream, but %.*s was pushed: it was moved behind the gateway", SPAN_FMT(id),
	    SPAN_FMT(repository), SPAN_FMT(tag), SPAN_FMT(found.n > 0 ? found : SPAN("gone")), SPAN_FMT(recorded));
}

void
drift_report(struct request *r, struct span found, struct span recorded)
{
	unsigned char key[KEY_LEN];

	if (key_of(r->upstream_config, r->route.repository, r->route.reference, found, key)) {
		if (seen_lately(r->worker->drift, key, loop_monotonic_ms(r->worker->loop)))
			return;
		remember(r->worker, key, DRIFTED_MS);
	}
	tell(r->worker, span_of(r->id), r->route.repository, r->route.reference, found, recorded);
	record_state(r, "tag.drifted", r->route.reference, found, recorded);
}

static void
report(struct watch *w)
{
	struct audit_event e = {
		.event = "tag.drifted",
		.action = w->action,
		.decision = AUDIT_ALLOW,
		.reason = "ok",
		.detail = w->request,	/* the pull it was seen in */
		.actor = { w->issuer, w->subject, w->method },
		.source = { .ip = w->op.source, .port = w->port },
		.registry = { .upstream = w->upstream, .repository = w->op.repository, .reference = w->op.tag,
		    .tag = w->op.tag, .digest = span_of(w->op.digest), .old_digest = span_of(w->op.current_digest) },
	};

	tell(w->worker, w->request, w->op.repository, w->op.tag, span_of(w->op.digest), span_of(w->op.current_digest));
	record_event(w->worker, &e);
}

static void
on_looked(struct mail *m)
{
	struct watch *w = (struct watch *)(void *)((char *)m - offsetof(struct watch, op.mail));

	w->worker->drift->watches--;
	switch (w->op.answer) {
	case LEDGER_SAME:
		remember(w->worker, w->key, AGREED_MS);
		break;
	case LEDGER_LOCKED:
		remember(w->worker, w->key, DRIFTED_MS);
		report(w);
		break;
	case LEDGER_CLAIMED_OTHER:
	case LEDGER_UNRESOLVED:	/* upstream may have what is claimed, or what stood before it */
		if (w->op.old_digest[0] == '\0' || ledger_digest_same(w->op.old_digest, w->op.digest) ||
		    ledger_digest_same(w->op.current_digest, w->op.digest))
			break;
		memcpy(w->op.current_digest, w->op.old_digest, sizeof w->op.current_digest);
		remember(w->worker, w->key, DRIFTED_MS);
		report(w);
		break;
	case LEDGER_ABSENT:	/* never pushed through here */
	case LEDGER_BUSY:
	case LEDGER_DOWN:	/* said by the ledger itself */
	case LEDGER_RESTORED:
	case LEDGER_MANY:
	case LEDGER_OK:
	case LEDGER_CLAIMED_NEW:
	case LEDGER_CLAIMED_OVER:
	case LEDGER_CLAIMED_AGAIN:
		break;
	}
	free(w);
}

static struct watch *
watch_new(struct request *r, struct span registry)
{
	const struct span issuer = r->authn.who->issuer, subject = r->authn.who->subject;
	const struct span alias = span_of(r->upstream_config->alias), ip = span_of(r->client.ip), id = span_of(r->id);
	const struct span method = span_of(r->authn.method), action = span_of(route_audit_name(r->route.op));
	size_t n = registry.n + r->route.repository.n + r->route.reference.n + ip.n + alias.n + issuer.n + subject.n +
	    method.n + id.n + action.n;
	struct watch *w = calloc(1, sizeof *w + n);
	char *at;

	if (w == NULL)
		return NULL;
	at = w->bytes;
	w->op.registry = span_keep(&at, registry);
	w->op.repository = span_keep(&at, r->route.repository);
	w->op.tag = span_keep(&at, r->route.reference);
	w->op.source = span_keep(&at, ip);
	w->upstream = span_keep(&at, alias);
	w->issuer = span_keep(&at, issuer);
	w->subject = span_keep(&at, subject);
	w->method = span_keep(&at, method);
	w->request = span_keep(&at, id);
	w->action = span_keep(&at, action);
	w->worker = r->worker;
	w->port = r->client.port;
	return w;
}

/* An upstream may answer for a child of an index to a client that takes no indexes: that says nothing about the tag. */
static bool
takes_indexes(const struct request *r)
{
	static const char *const types[] = { "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json" };
	unsigned found = 0;

	for (size_t i = 0; i < r->head.n_fields; i++) {
		const struct http_field *f = &r->head.fields[i];

		for (unsigned t = 0; f->id == HTTP_FIELD_ACCEPT && t < 2; t++)
			if (memmem(f->value.p, f->value.n, types[t], strlen(types[t])) != NULL)
				found |= 1u << t;
	}
	return found == 3;
}

void
drift_watch(struct request *r, struct span digest)
{
	const struct config_upstream *u = r->upstream_config;
	struct drift *d = r->worker->drift;
	unsigned char key[KEY_LEN];
	struct watch *w;

	if (!digest_valid(digest) || !takes_indexes(r) || !key_of(u, r->route.repository, r->route.reference, digest, key) ||
	    seen_lately(d, key, loop_monotonic_ms(r->worker->loop)))
		return;
	if (d->watches >= WATCHES_MAX) {
		if (!d->told)
			log_warn("worker=%u msg=the tag ledger is slow: drift is not looked for in every pull", r->worker->number);
		d->told = true;
		return;
	}
	w = watch_new(r, span_of(u->registry));
	if (w == NULL)
		return;
	memcpy(w->key, key, KEY_LEN);
	memcpy(w->op.digest, digest.p, digest.n);
	w->op.verb = LEDGER_LOOKUP;
	w->op.mail.deliver = on_looked;
	w->op.reply_to = r->worker->mailbox;
	d->watches++;
	ledger_submit(r->worker->gateway->ledger, &w->op);
}
