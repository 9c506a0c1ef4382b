/*
 * spool.c - two buffers and a thread: workers fill one, the thread writes the other, syncs, answers.
 *
 * Invariants: a line stays in its buffer until it is on the disk, so a write that failed is done again from there.
 * A wait is answered once: durable after the sync of its line; or not, and then its line is never written.
 * While failing nobody but the thread touches a buffer, and only the thread ends it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/spool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/audit/segment.h"
#include "gateway/log.h"

#define BUFFER_SIZE	(8u * 1024u * 1024u)	/* each of two; untouched pages cost nothing */
#define BUFFER_EAGER	(1024u * 1024u)		/* with so much in it the thread does not wait for more */
#define SEGMENT_SIZE	(128u * 1024u * 1024u)
#define LINES_A_WRITE	256
#define GATHER_MS	50			/* lines nobody waits for are collected so long */
#define IDLE_MS		1000			/* look after the file; try again when failing */

/* A line in a buffer; behind it its bytes, then room for its tail, rounded up. */
struct entry {
	struct spool_wait *wait;
	uint32_t n;
	bool refused;		/* its waiter was told no */
};

struct buffer {
	char *bytes;
	size_t n;
};

/* How far the thread has come. */
struct place {
	struct chain chain;
	uint64_t offset;	/* in current.jsonl */
	size_t at;		/* in the buffer */
	uint64_t lines, bytes;	/* written on the way here from `good` */
};

struct spool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct buffer *fill;	/* under lock */
	bool urgent, stopping;	/* under lock */
	_Atomic bool failing, full;
	_Atomic uint64_t events, bytes, syncs, failures, dropped, queued;
	pthread_t thread;
	/* the thread's own from here on */
	struct buffer two[2], *work;
	struct segment segment;
	struct place good;
	EVP_MD_CTX *md;
	char *path;
};

static size_t
entry_size(size_t n)
{
	const size_t align = _Alignof(struct entry);

	return (sizeof(struct entry) + n + CHAIN_TAIL + align - 1) / align * align;
}

static struct entry *
entry_at(const struct buffer *b, size_t at)
{
	return (struct entry *)(void *)(b->bytes + at);
}

static char *
entry_line(struct entry *e)
{
	return (char *)(e + 1);
}

static void
count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static void
answer(struct entry *e, bool durable)
{
	struct spool_wait *w = e->wait;

	if (w == NULL)
		return;
	e->wait = NULL;
	w->durable = durable;
	mailbox_post(w->reply_to, &w->mail);	/* the waiter's from here on */
}

/* ---- writing ---- */

/* Complete the lines from p on, up to LINES_A_WRITE, the end of the buffer or of the segment. -1: SHA-256 failed. */
static int
gather(struct spool *s, struct place *p, struct iovec iov[static LINES_A_WRITE])
{
	int n = 0;

	while (n < LINES_A_WRITE && p->at < s->work->n && p->offset < s->segment.limit) {
		struct entry *e = entry_at(s->work, p->at);
		char *line = entry_line(e);
		size_t length;

		p->at += entry_size(e->n);
		if (e->refused)
			continue;
		length = e->n + chain_tail(&p->chain, line + e->n);
		if (!chain_next(&p->chain, s->md, (struct span){ line, length - 1 })) {
			errno = ENOMEM;
			return -1;
		}
		iov[n++] = (struct iovec){ line, length };
		p->offset += length;
		p->bytes += length;
		p->lines++;
	}
	return n;
}

/* All up to p is durable. */
static void
commit(struct spool *s, struct place p)
{
	/* counted first: who has its answer finds itself in the numbers */
	count(&s->events, p.lines);
	count(&s->bytes, p.bytes);
	atomic_fetch_sub_explicit(&s->queued, p.lines, memory_order_relaxed);
	for (size_t at = s->good.at; at < p.at;) {
		struct entry *e = entry_at(s->work, at);

		at += entry_size(e->n);
		answer(e, true);
	}
	p.lines = p.bytes = 0;
	s->good = p;
}

/* One group: what fits into the segment, one sync. */
static bool
write_group(struct spool *s)
{
	struct iovec iov[LINES_A_WRITE];
	struct place p;
	uint64_t from;
	int n;

	if (!segment_ready(&s->segment, s->good.chain.seq + 1))
		return false;
	s->good.offset = s->segment.size;	/* 0 in a new one */
	p = s->good;
	while (from = p.offset, (n = gather(s, &p, iov)) > 0)
		if (!segment_write(&s->segment, from, iov, n))
			return false;
	if (n < 0)
		return false;
	if (p.offset > s->good.offset) {
		if (!segment_sync(&s->segment, p.offset))
			return false;
		count(&s->syncs, 1);
	}
	commit(s, p);
	return true;
}

static bool
write_buffer(struct spool *s)
{
	while (s->good.at < s->work->n)
		if (!write_group(s))
			return false;
	s->work->n = s->good.at = 0;
	return true;
}

/* ---- failing ---- */

static void
refuse_waits(struct spool *s, struct buffer *b, size_t from)
{
	while (from < b->n) {
		struct entry *e = entry_at(b, from);

		from += entry_size(e->n);
		if (e->wait == NULL)
			continue;
		e->refused = true;
		count(&s->dropped, 1);
		atomic_fetch_sub_explicit(&s->queued, 1, memory_order_relaxed);
		answer(e, false);
	}
}

/* Who waits is told no, and nothing more is taken; lines nobody waits for are kept for later. */
static void
begin_failing(struct spool *s, int why)
{
	struct buffer *fill;

	count(&s->failures, 1);
	if (atomic_load(&s->failing))
		return;
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->failing, true);
	fill = s->fill;
	pthread_mutex_unlock(&s->lock);
	log_error("msg=audit: %s: %s: writes are refused until events can be written", s->path, strerror(why));
	refuse_waits(s, s->work, s->good.at);
	refuse_waits(s, fill, 0);
}

static void
end_failing(struct spool *s)
{
	if (!atomic_load(&s->failing))
		return;
	atomic_store(&s->failing, false);
	log_warn("msg=audit: %s: events are written again; %llu were not taken so far", s->path,
	    (unsigned long long)atomic_load(&s->dropped));
}

/* ---- the thread ---- */

static struct timespec
deadline_in(long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/*
 * Sleep until there is something to do; under lock. When lines come that nobody waits for, once more, so that they
 * are written together. Failing: only time and the end wake us.
 */
static void
wait_for_work(struct spool *s)
{
	bool failing = atomic_load(&s->failing), idle = s->fill->n == 0;
	struct timespec t = deadline_in(failing || idle ? IDLE_MS : GATHER_MS);

	while (!s->stopping && (failing || !s->urgent)) {
		if (!failing && idle && s->fill->n > 0) {
			idle = false;
			t = deadline_in(GATHER_MS);
		}
		if (pthread_cond_timedwait(&s->wake, &s->lock, &t) == ETIMEDOUT)
			return;
	}
}

/* Take what the workers filled, unless the last buffer is still to be written. True: this is the end. */
static bool
take(struct spool *s)
{
	struct buffer *full;
	bool stopping;

	pthread_mutex_lock(&s->lock);
	wait_for_work(s);
	if (s->work->n == 0) {
		full = s->fill;
		s->fill = s->work;
		s->work = full;
		s->urgent = false;
		atomic_store(&s->full, false);
	}
	stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return stopping;
}

static void
turn(struct spool *s)
{
	bool ok = s->work->n > 0 ? write_buffer(s) : segment_ready(&s->segment, s->good.chain.seq + 1);

	if (ok)
		end_failing(s);
	else
		begin_failing(s, errno);
}

static void *
serve(void *arg)
{
	struct spool *s = arg;

	while (!take(s))
		turn(s);
	/* the buffer taken last, and the one behind it when a failure kept the first */
	turn(s);
	if (!atomic_load(&s->failing) && s->fill->n > 0 && take(s))
		turn(s);
	return NULL;
}

static bool
start_thread(struct spool *s)
{
	sigset_t all, old;
	bool ok;

	/* signals are the main thread's, and SIGXFSZ has to be an error of write */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ok = pthread_create(&s->thread, NULL, serve, s) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

/* ---- the door ---- */

static void
spool_free(struct spool *s)
{
	segment_close(&s->segment);
	EVP_MD_CTX_free(s->md);
	free(s->two[0].bytes);
	free(s->two[1].bytes);
	free(s->path);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct spool *
spool_new(const struct spool_options *o)
{
	struct spool *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (s == NULL)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	s->segment.dir = s->segment.fd = -1;
	s->md = EVP_MD_CTX_new();
	s->path = strdup(o->directory);
	s->two[0].bytes = malloc(BUFFER_SIZE);
	s->two[1].bytes = malloc(BUFFER_SIZE);
	if (s->md == NULL || s->path == NULL || s->two[0].bytes == NULL || s->two[1].bytes == NULL) {
		spool_free(s);
		return NULL;
	}
	s->fill = &s->two[0];
	s->work = &s->two[1];
	s->segment.path = s->path;
	s->segment.limit = o->segment_size > 0 ? o->segment_size : SEGMENT_SIZE;
	return s;
}

struct spool *
spool_open(const struct spool_options *o, char *err, size_t err_size)
{
	struct spool *s = spool_new(o);

	if (s == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	/* a buffer is the most that is ever written without a sync; an entry is larger than the line it becomes */
	if (!segment_open(&s->segment, &s->good.chain, BUFFER_SIZE, err, err_size)) {
		spool_free(s);
		return NULL;
	}
	if (!start_thread(s)) {
		snprintf(err, err_size, "cannot start a thread; raise the limit of tasks");
		spool_free(s);
		return NULL;
	}
	return s;
}

void
spool_close(struct spool *s)
{
	uint64_t lost;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	lost = atomic_load(&s->queued);
	if (lost > 0)
		log_error("msg=audit: %s: %llu events could not be written", s->path, (unsigned long long)lost);
	spool_free(s);
}

/* Under lock: copy the line in. True when the thread has to be woken for it. */
static bool
append(struct spool *s, struct span line, struct spool_wait *wait)
{
	struct buffer *b = s->fill;
	struct entry *e = entry_at(b, b->n);
	bool was_urgent = s->urgent, first = b->n == 0;

	*e = (struct entry){ .wait = wait, .n = (uint32_t)line.n };
	memcpy(entry_line(e), line.p, line.n);
	b->n += entry_size(line.n);
	s->urgent = was_urgent || wait != NULL || b->n >= BUFFER_EAGER;
	/* full while the longest line may not fit: a reader of `healthy` gets in what it asks for next */
	atomic_store(&s->full, b->n + entry_size(EVENT_MAX) > BUFFER_SIZE);
	count(&s->queued, 1);
	return first || s->urgent != was_urgent;
}

bool
spool_put(struct spool *s, struct span line, struct spool_wait *wait)
{
	bool taken, wake = false;

	if (line.n == 0 || line.n > EVENT_MAX) {
		count(&s->dropped, 1);
		return false;
	}
	pthread_mutex_lock(&s->lock);
	taken = !s->stopping && !atomic_load(&s->failing) && s->fill->n + entry_size(line.n) <= BUFFER_SIZE;
	if (taken)
		wake = append(s, line, wait);
	if (wake)
		pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (!taken)
		count(&s->dropped, 1);
	return taken;
}

bool
spool_healthy(const struct spool *s)
{
	return !atomic_load(&s->failing) && !atomic_load(&s->full);
}

void
spool_stats(const struct spool *s, struct spool_stats *out)
{
	*out = (struct spool_stats){
		.events = atomic_load(&s->events),
		.bytes = atomic_load(&s->bytes),
		.syncs = atomic_load(&s->syncs),
		.failures = atomic_load(&s->failures),
		.dropped = atomic_load(&s->dropped),
		.queue = atomic_load(&s->queued),
	};
}
