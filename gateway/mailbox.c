/*
 * mailbox.c - a locked list and an eventfd.
 *
 * The eventfd is written only when the list was empty, and once more by the owner when it leaves mail for its
 * next turn: while the list is not empty, a wake-up is always on its way.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAILBOX_TURN 64u /* mails a turn of the loop: others want their turn too */

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first, **last; /* under lock */
	struct event *event;
	int fd;
};

static void
wake(const struct mailbox *b)
{
	uint64_t one = 1;

	/* can fail only when the counter is full: then it is readable anyway */
	if (write(b->fd, &one, sizeof one) < 0)
		return;
}

/* Up to MAILBOX_TURN mails, in order. */
static struct mail *
take(struct mailbox *b)
{
	struct mail *first, **end;
	unsigned n = 0;

	pthread_mutex_lock(&b->lock);
	first = b->first;
	for (end = &b->first; *end != NULL && n < MAILBOX_TURN; n++)
		end = &(*end)->next;
	b->first = *end;
	if (b->first == NULL)
		b->last = &b->first;
	else
		wake(b);
	if (first != NULL)
		*end = NULL;
	pthread_mutex_unlock(&b->lock);
	return first;
}

static void
deliver(struct mail *m)
{
	struct mail *next;

	for (; m != NULL; m = next) {
		next = m->next; /* it belongs to its receiver from now on */
		m->next = NULL;
		m->deliver(m);
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	/* before the list is taken: what is posted from here on wakes us again */
	if (read(fd, &count, sizeof count) < 0)
		return;
	deliver(take(arg));
}

void
mailbox_empty(struct mailbox *b)
{
	struct mail *m;

	while ((m = take(b)) != NULL)
		deliver(m);
}

struct mailbox *
mailbox_new(struct event_base *base)
{
	struct mailbox *b = calloc(1, sizeof *b);

	if (b == NULL)
		return NULL;
	pthread_mutex_init(&b->lock, NULL);
	b->last = &b->first;
	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->fd < 0)
		goto fail;
	b->event = event_new(base, b->fd, EV_READ | EV_PERSIST, on_wake, b);
	if (b->event == NULL || event_add(b->event, NULL) != 0)
		goto fail;
	return b;
fail:
	mailbox_free(b);
	return NULL;
}

void
mailbox_free(struct mailbox *b)
{
	if (b == NULL)
		return;
	if (b->event != NULL)
		event_free(b->event);
	if (b->fd >= 0)
		close(b->fd);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void
mailbox_post(struct mailbox *b, struct mail *m)
{
	m->next = NULL;
	pthread_mutex_lock(&b->lock);
	/* under the lock: the owner may free the mailbox only when it has nothing more to come, not while we write */
	if (b->first == NULL)
		wake(b);
	*b->last = m;
	b->last = &m->next;
	pthread_mutex_unlock(&b->lock);
}
