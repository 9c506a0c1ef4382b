/*
 * grow.c - a push to a tag that grows.
 *
 *   GET the tag: still what the ledger says? -> compare (tags/append.c, off the loop) -> GET each new entry of an index:
 *   is it there, and is its subject what the tag is about?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/grow.h"

#include <stdlib.h>

#include "gateway/steps/peek.h"
#include "gateway/request.h"
#include "gateway/tags/append.h"

struct grow {
	struct offload_job job;
	struct request *request;	/* NULL: over; what is being compared is only to be freed */
	void (*done)(void *ctx, enum refuse why);
	void *ctx;
	struct setup *setup;		/* a reference: `types` are its configuration's */
	struct append_types types;
	struct peek peek;
	enum append_kind kind;
	bool comparing;			/* the offload thread has `old`, `now` and `found` */
	bool may;
	char digest[LEDGER_DIGEST];	/* what the ledger says is there */
	struct span tag, old, now;	/* now: in bytes[]; old: the peek's */
	struct append found;
	size_t at;			/* entry of `found` being looked at */
	char bytes[];
};

static void
grow_free(struct grow *g)
{
	peek_clear(&g->peek);
	setup_unref(g->setup);
	free(g);
}

static void
end(struct grow *g, enum refuse why)
{
	void (*done)(void *ctx, enum refuse why) = g->done;
	void *ctx = g->ctx;

	g->request->grow = NULL;
	grow_free(g);
	done(ctx, why);
}

static void
refuse(struct grow *g, const char *why)
{
	struct request *r = g->request;

	r->detail = arena_dup(r->arena, span_of(why));
	r->message = arena_printf(r->arena, "%.*s only grows: %s; if it changed meanwhile, read it again and retry",
	    SPAN_FMT(g->tag), why).p;
	end(g, REFUSE_TAG_APPEND_ONLY);
}

void
grow_abandon(struct request *r)
{
	struct grow *g = r->grow;

	r->grow = NULL;
	if (g == NULL)
		return;
	g->request = NULL;
	if (!g->comparing)
		grow_free(g);
}

/* ---- what is new ---- */

static void next_entry(struct grow *g);

/* Does the manifest say itself what its descriptor, and the tag, say of it? NULL: it does. */
static const char *
not_as_told(const struct append_entry *e, const struct manifest *m, struct span tag)
{
	struct span artifact = m->artifact_type.n > 0 ? m->artifact_type : m->config.media_type;
	char subject[LEDGER_DIGEST];

	append_subject(tag, subject);
	if (!span_eq(m->media_type, span_of(e->media_type)))
		return "a new entry is of another type than its descriptor says";
	if (!span_eq(artifact, span_of(e->artifact_type)))
		return "a new entry has another artifactType than its descriptor says";
	if (!m->has_subject || !span_eq(m->subject.digest, span_of(subject)))
		return "the subject of a new entry is not the digest in the tag's name";
	return NULL;
}

static void
on_entry(struct peek *p)
{
	struct grow *g = p->request->grow;
	const struct append_entry *e = &g->found.entries[g->at];
	const char *why = NULL;
	struct manifest m;
	char err[160];

	if (p->status == 404) {
		refuse(g, "a new entry is not in this repository: push it first");
		return;
	}
	if (peek_says(p) != PROBE_PRESENT) {
		end(g, REFUSE_TAG_UNKNOWN);
		return;
	}
	/* longer ones would be parsed on the loop; an artifact's manifest lists a blob or two */
	if (strcmp(p->digest, e->digest) != 0 || p->n > OFFLOAD_JSON || (int64_t)p->n != e->size)
		why = "a new entry is too long, or not of the size and digest that its descriptor says";
	else if (!manifest_read((struct span){ p->bytes, p->n }, p->head->field[HTTP_FIELD_CONTENT_TYPE], p->request->arena,
	    &m, err, sizeof err))
		why = "a new entry is no manifest";
	else
		why = not_as_told(e, &m, g->tag);
	if (why != NULL) {
		refuse(g, why);
		return;
	}
	g->at++;
	next_entry(g);
}

static void
next_entry(struct grow *g)
{
	struct request *r = g->request;
	struct route route = { .op = ROUTE_MANIFEST_GET, .repository = r->route.repository, .reference_type = REFERENCE_DIGEST };

	if (g->at == g->found.n) {
		end(g, REFUSE_NONE);
		return;
	}
	route.reference = span_of(g->found.entries[g->at].digest);
	peek_start(&g->peek, r, forward_target(r, &route), on_entry);
}

/* ---- what stays ---- */

static void
work(struct offload_job *j)
{
	struct grow *g = (struct grow *)(void *)((char *)j - offsetof(struct grow, job));

	g->may = append_check(g->kind, g->old, g->now, &g->types, &g->found);
}

static void
on_compared(struct mail *m)
{
	struct offload_job *j = (struct offload_job *)(void *)((char *)m - offsetof(struct offload_job, mail));
	struct grow *g = (struct grow *)(void *)((char *)j - offsetof(struct grow, job));

	g->comparing = false;
	if (g->request == NULL)
		grow_free(g);
	else if (g->may)
		next_entry(g);
	else
		refuse(g, g->found.err);
}

static void
compare(struct grow *g)
{
	g->comparing = true;
	offload_submit(g->request->worker->gateway->offload, &g->job);
}

static void
on_old(struct peek *p)
{
	struct request *r = p->request;
	struct grow *g = r->grow;

	switch (peek_says(p)) {
	case PROBE_UNKNOWN:
		end(g, REFUSE_TAG_UNKNOWN);
		return;
	case PROBE_PRESENT:
	case PROBE_ABSENT:
		break;
	}
	if (strcmp(p->digest, g->digest) != 0) {
		record_state(r, "tag.drifted", g->tag, span_of(p->digest), span_of(g->digest));
		end(g, REFUSE_TAG_DRIFTED);
		return;
	}
	g->old = (struct span){ p->bytes, p->n };
	compare(g);
}

void
grow_start(struct request *r, struct span tag, const char *old, void (*done)(void *ctx, enum refuse why), void *ctx)
{
	struct route route = { .op = ROUTE_MANIFEST_GET, .repository = r->route.repository, .reference_type = REFERENCE_TAG,
		.reference = tag };
	struct grow *g = calloc(1, sizeof *g + r->n_bytes);
	char *at;

	if (g == NULL) {
		done(ctx, REFUSE_NO_MEMORY);
		return;
	}
	r->grow = g;
	at = g->bytes;
	g->now = span_keep(&at, (struct span){ r->bytes, r->n_bytes });
	g->request = r;
	g->done = done;
	g->ctx = ctx;
	g->tag = tag;
	g->kind = append_kind_of(tag);
	g->setup = setup_ref(r->serving->setup);
	g->types = (struct append_types){ r->config->artifact_types, r->config->n_artifact_types };
	g->job.work = work;
	g->job.mail.deliver = on_compared;
	g->job.reply_to = r->worker->mailbox;
	strncpy(g->digest, old, sizeof g->digest - 1);
	if (old[0] == '\0')
		compare(g);
	else
		peek_start(&g->peek, r, forward_target(r, &route), on_old);
}
