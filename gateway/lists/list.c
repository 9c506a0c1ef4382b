/*
 * list.c - the step of lists: pages are read from upstream whole, filtered (visible.c), joined, and answered as one.
 * Invariants: no byte of a page reaches the client but by listing.c; no name that the caller may not see is in an
 * answer, its Link included; following the Links from the first page shows every name that may be seen.
 *
 * Clients take an empty page, or one with fewer than n entries, for the last one. So a page is filled: while upstream
 * has more, it is asked for more, within PAGES_MAX and BYTES_MAX. Where the next page of ours begins is told
 *
 * - by name, `last=` the entry shown last, when upstream's own Link is like that (`last` is its page's last entry, as
 *   in distribution and the specification). Hidden entries behind it are read again next time, which costs a little
 *   and tells nothing;
 * - by a sealed cursor, `cursor=`, that holds upstream's own next target, in any other case: Links whose parameters
 *   only upstream understands, and a page without one visible entry when the bounds were hit.
 *
 * With Links of the second kind a page of ours ends where one of upstream's does: nobody else can say what comes
 * between two of its places. A first page is never cut either: an upstream that ignores n is relayed as it is.
 * When a further page cannot be had the answer is what there is, with a Link to that page: asking for it then tells
 * what is wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/list.h"

#include <stdlib.h>

#include "gateway/lists/listing.h"
#include "gateway/lists/next.h"
#include "gateway/log.h"

#define PAGES_MAX	20u		/* of upstream's, for one of ours */
#define BYTES_MAX	(8u << 20)	/* of all of them, checked between pages */
#define PAGE_WANTED	100u		/* entries asked for while filling: what every registry gives */
#define OFFLOAD_PAGE	16384u		/* bytes from which a page is read off the loop: policy is asked for each entry */
#define ERROR_MAX	65536u		/* of an error of upstream's that is relayed */

static const struct span index_type = { "application/vnd.oci.image.index.v1+json", 39 };
static const struct span names_type = { "application/json", 16 };

struct list {
	struct listing listing;
	struct listing_rules rules;
	struct span path;		/* at upstream, without a query */
	const struct http_head *first, *head;	/* of the first page, and of the one being read */
	char *page;			/* being read: heap, at most LISTING_PAGE_MAX */
	size_t n, size;
	unsigned pages;
	size_t bytes;			/* of all pages */
	bool page_read;
	char error[160];
	struct span next;		/* upstream's next page; p == NULL: there is none */
	bool by_name;			/* and it is the one behind the last entry of this page: */
	struct route behind;
	struct offload_job job;
};

static void page_ended(struct request *r);

/* ---- the next page ---- */

static struct span
without_query(struct span target)
{
	const char *mark = target.n == 0 ? NULL : memchr(target.p, '?', target.n);

	return mark == NULL ? target : (struct span){ target.p, (size_t)(mark - target.p) };
}

static void
find_next(struct request *r)
{
	struct list *l = r->list;
	struct span reference = next_link(l->head);

	l->next = SPAN_NONE;
	l->by_name = false;
	if (reference.p != NULL)
		l->next = next_target(reference, l->path, r->arena);
	if (l->next.p == NULL) {
		if (l->head->field[HTTP_FIELD_LINK].p != NULL)
			log_warn("req=%s upstream=%s msg=Link not understood, dropped", r->id, r->upstream_config->alias);
		return;
	}
	l->by_name = route_resolve(HTTP_GET, span_skip(l->next, strlen(r->upstream_config->path)),
	    &r->config->limits.route, r->arena, &l->behind) == REFUSE_NONE && l->behind.last.n > 0 &&
	    span_eq(l->behind.last, listing_name_span(&l->listing.last));
	if (r->route.has_n) {
		l->behind.has_n = true;
		l->behind.n = r->route.n;
	}
}

static bool
goes_on(const struct request *r)
{
	const struct list *l = r->list;

	if (l->next.p == NULL || l->listing.cut || l->pages >= PAGES_MAX || l->bytes >= BYTES_MAX ||
	    (r->route.has_n && r->route.n == 0))
		return false;
	return l->by_name && r->route.has_n ? l->listing.shown < r->route.n : l->listing.shown == 0;
}

/* Where to ask upstream next. */
static struct span
fill_target(struct request *r)
{
	struct route more = r->list->behind;

	if (!r->list->by_name || !more.has_n)
		return r->list->next;
	if (more.n < PAGE_WANTED)
		more.n = PAGE_WANTED;
	return forward_target(r, &more);
}

/* The Link of our answer; *link stays empty when this is the last page. */
static enum refuse
write_link(struct request *r, struct span *link)
{
	struct list *l = r->list;
	struct route ours = r->route;
	struct span place = l->next;

	if (l->next.p == NULL && !l->listing.cut)
		return REFUSE_NONE;
	ours.last = ours.cursor = SPAN_NONE;
	if (l->by_name && l->behind.has_n) {
		ours.has_n = true;
		ours.n = l->behind.n;
	}
	if (l->listing.cut || (l->by_name && l->listing.shown > 0)) {
		ours.last = listing_name_span(&l->listing.last_shown);
	} else {
		if (l->by_name)
			place = forward_target(r, &l->behind);	/* as many as the client wants, not as we did */
		ours.cursor = place.p == NULL ? SPAN_NONE : seal_target(r, span_of(r->upstream_config->origin), place, l->path);
		if (ours.cursor.p == NULL)
			return REFUSE_NO_MEMORY;	/* without it the rest of the list would be missing */
	}
	place = route_target(&ours, ours.repository, r->arena);
	*link = place.p == NULL ? SPAN_NONE : arena_printf(r->arena, "<%.*s>; rel=\"next\"", SPAN_FMT(place));
	return link->p == NULL ? REFUSE_NO_MEMORY : REFUSE_NONE;
}

/* ---- the answer ---- */

static void
answer(struct request *r)
{
	struct list *l = r->list;
	struct span link = SPAN_NONE;
	enum refuse why = write_link(r, &link);

	if (why == REFUSE_NONE && !listing_end(&l->listing, &l->rules))
		why = REFUSE_NO_MEMORY;
	if (why == REFUSE_NONE)
		why = answer_list(r, l->first, l->rules.kind == LISTING_REFERRERS ? index_type : names_type, link,
		    l->listing.n);
	if (why != REFUSE_NONE) {
		request_fail(r, why);
		return;
	}
	if (l->listing.dropped > 0)
		log_warn("req=%s upstream=%s msg=%zu names of the list are none of the registry grammar, left out", r->id,
		    r->upstream_config->alias, l->listing.dropped);
	if (r->hides && r->observed.why == REFUSE_NONE)
		metric_add(&r->worker->metrics, METRIC_OBSERVED, 1);
	r->rest = (struct span){ l->listing.text, l->listing.n };
	answer_more(r);
}

/*
 * Upstream's first page is an error: the client's business, when it is about what was asked. Behind a cursor the client
 * does not know what that was, and upstream's words might name it.
 */
static void
relay_error(struct request *r)
{
	struct list *l = r->list;
	struct span body = { l->page, l->n > ERROR_MAX ? 0 : l->n };
	enum refuse why = forward_check(r, l->head);

	if (why == REFUSE_NONE)
		why = l->head->status < 400 || r->route.cursor.p != NULL ? REFUSE_UPSTREAM_BAD : answer_relay(r, l->head, &body);
	if (why != REFUSE_NONE)
		request_fail(r, why);
	else
		request_replied(r);
}

/* This page cannot be had. */
static void
page_failed(struct request *r, enum refuse why)
{
	exchange_cancel(r->exchange);
	r->exchange = NULL;
	if (r->list->first == NULL)
		request_fail(r, why);
	else
		answer(r);
}

/* ---- a page of upstream's ---- */

static void
on_head(void *ctx, const struct http_head *h)
{
	struct request *r = ctx;

	r->list->head = h;
	if (r->list->first == NULL)
		r->upstream_status = h->status;
}

static void
on_body(void *ctx, struct span payload)
{
	struct request *r = ctx;
	struct list *l = r->list;

	if (payload.n > LISTING_PAGE_MAX - l->n) {
		r->detail = SPAN("a page of the list is longer than the gateway reads");
		page_failed(r, REFUSE_UPSTREAM_BAD);
		return;
	}
	if (l->size - l->n < payload.n) {
		size_t size = (l->n + payload.n) * 2;
		char *more = realloc(l->page, size);

		if (more == NULL) {
			page_failed(r, REFUSE_NO_MEMORY);
			return;
		}
		l->page = more;
		l->size = size;
	}
	memcpy(l->page + l->n, payload.p, payload.n);
	l->n += payload.n;
}

static void
on_end(void *ctx)
{
	struct request *r = ctx;

	r->exchange = NULL;
	page_ended(r);
}

static void
on_fail(void *ctx, enum refuse why)
{
	struct request *r = ctx;

	r->exchange = NULL;
	page_failed(r, why);
}

static void
on_nothing(void *ctx)
{
	(void)ctx;	/* a GET has no body to send */
}

static const struct exchange_ops list_ops = { on_nothing, on_head, on_body, on_end, on_nothing, on_fail };

static enum refuse
fetch(struct request *r, struct span target)
{
	struct list *l = r->list;
	enum refuse why = REFUSE_NO_MEMORY;

	l->n = 0;
	l->head = NULL;
	l->pages++;
	if (target.p != NULL)
		r->exchange = forward_get(r, target, l->rules.kind == LISTING_REFERRERS ? index_type : names_type, &list_ops,
		    &why);
	return r->exchange != NULL ? REFUSE_NONE : why;
}

/* ---- reading it ---- */

static bool
is_type(struct span value, struct span type)
{
	return value.n >= type.n && span_eq_nocase((struct span){ value.p, type.n }, type) &&
	    (value.n == type.n || strchr("; \t", value.p[type.n]) != NULL);
}

static void
read_page(struct request *r)
{
	struct list *l = r->list;
	/* a first page is upstream's own; only what was asked for to fill one may be more than is wanted */
	size_t max = l->first != NULL && l->by_name && r->route.has_n ? r->route.n : SIZE_MAX;

	if (l->rules.kind == LISTING_REFERRERS && !is_type(l->head->field[HTTP_FIELD_CONTENT_TYPE], index_type)) {
		snprintf(l->error, sizeof l->error, "referrers that are no image index by their Content-Type");
		return;
	}
	l->page_read = listing_add(&l->listing, &l->rules, (struct span){ l->page, l->n }, max, l->error,
	    sizeof l->error);
}

static void
use_page(struct request *r)
{
	struct list *l = r->list;

	if (!l->page_read) {
		log_warn("req=%s upstream=%s msg=%s", r->id, r->upstream_config->alias, l->error);
		r->detail = span_of(l->error);
		page_failed(r, REFUSE_UPSTREAM_BAD);
		return;
	}
	if (l->first == NULL)
		l->first = l->head;
	l->bytes += l->n;
	find_next(r);
	if (!goes_on(r) || fetch(r, fill_target(r)) != REFUSE_NONE)
		answer(r);
}

static struct request *
request_of(struct offload_job *j)
{
	struct list *l = (struct list *)(void *)((char *)j - offsetof(struct list, job));

	return l->rules.ctx;
}

static void
work(struct offload_job *j)
{
	read_page(request_of(j));
}

static void
on_read(struct mail *m)
{
	struct request *r = request_of((struct offload_job *)(void *)((char *)m - offsetof(struct offload_job, mail)));

	if (request_returned(r))
		use_page(r);
}

static void
page_ended(struct request *r)
{
	struct list *l = r->list;

	l->page_read = false;
	if (l->head->status != 200) {
		if (l->first == NULL)
			relay_error(r);
		else
			answer(r);
		return;
	}
	if (l->n < OFFLOAD_PAGE) {
		read_page(r);
		use_page(r);
		return;
	}
	request_lend(r);
	l->job.work = work;
	l->job.mail.deliver = on_read;
	l->job.reply_to = r->worker->mailbox;
	offload_submit(r->worker->gateway->offload, &l->job);
}

/* ---- the step ---- */

static bool
kind_of(enum route_op op, enum listing_kind *kind)
{
	if (op == ROUTE_CATALOG)
		*kind = LISTING_REPOSITORIES;
	else if (op == ROUTE_TAGS_LIST)
		*kind = LISTING_TAGS;
	else if (op == ROUTE_REFERRERS)
		*kind = LISTING_REFERRERS;
	else
		return false;
	return true;
}

enum next
step_list(struct request *r)
{
	enum listing_kind kind;
	struct span target;
	struct list *l;
	struct lease place;
	enum refuse why;

	if (!kind_of(r->route.op, &kind))
		return NEXT;
	l = r->list = arena_zalloc(r->arena, 1, sizeof *l);
	target = forward_target(r, &r->route);
	if (l == NULL || target.p == NULL)
		return request_refuse(r, REFUSE_NO_MEMORY);
	l->rules = (struct listing_rules){ kind, r->route.repository, r->upstream_config->tag_max, list_visible, r };
	l->path = without_query(target);
	if (r->route.cursor.p != NULL) {
		if (!seal_open(r, r->route.cursor, l->path, &place))
			return request_refuse(r, REFUSE_BAD_CURSOR);
		target = span_skip(place.url, place.origin.n);
	}
	if (!listing_begin(&l->listing, &l->rules))
		return request_refuse(r, REFUSE_NO_MEMORY);
	why = fetch(r, target);
	return why == REFUSE_NONE ? WAIT : request_refuse(r, why);
}

void
list_free(struct list *l)
{
	if (l == NULL)
		return;
	listing_clear(&l->listing);
	free(l->page);
}
