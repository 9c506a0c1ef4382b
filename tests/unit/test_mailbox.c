/*
 * test_mailbox.c - order of one sender, nothing lost between many, mail from within a delivery, a long queue.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdlib.h>

#include "gateway/mailbox.h"
#include "tests/unit/check.h"

#define SENDERS 8
#define LETTERS 5000

struct letter {
	struct mail mail; /* first */
	struct sender *from;
	int n;
};

struct sender {
	struct mailbox *to;
	struct letter *letters;
	int seen; /* owner's thread */
};

static int delivered, out_of_order;
static struct event_base *base;

static void
on_letter(struct mail *m)
{
	struct letter *l = (struct letter *)(void *)m;

	if (l->n != l->from->seen++)
		out_of_order++;
	if (++delivered == SENDERS * LETTERS)
		event_base_loopbreak(base);
}

static void *
send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < LETTERS; i++)
		mailbox_post(s->to, &s->letters[i].mail);
	return NULL;
}

static void
many_senders(struct mailbox *b)
{
	struct sender s[SENDERS];
	pthread_t t[SENDERS];

	for (int i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ b, calloc(LETTERS, sizeof(struct letter)), 0 };
		if (s[i].letters == NULL)
			abort();
		for (int n = 0; n < LETTERS; n++)
			s[i].letters[n] = (struct letter){ { NULL, on_letter }, &s[i], n };
	}
	for (int i = 0; i < SENDERS; i++)
		if (pthread_create(&t[i], NULL, send_all, &s[i]) != 0)
			abort();
	event_base_dispatch(base);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(t[i], NULL);
	CHECK(delivered == SENDERS * LETTERS);
	CHECK(out_of_order == 0);
	for (int i = 0; i < SENDERS; i++) {
		CHECK(s[i].seen == LETTERS);
		free(s[i].letters);
	}
}

/* ---- a mail may be posted again, or freed, while it is delivered ---- */

static struct mailbox *echo_box;
static int echoes;

static void
on_echo(struct mail *m)
{
	if (++echoes < 1000)
		mailbox_post(echo_box, m);
	else
		free(m);
}

static int others;

static void
on_other(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	others++;
}

int
main(void)
{
	struct mailbox *b;
	struct mail *m = calloc(1, sizeof *m);
	struct event *other;
	struct letter lost = { .n = 0 };

	if (m == NULL || evthread_use_pthreads() != 0)
		return 1;
	base = event_base_new();
	b = mailbox_new(base);
	if (!CHECK(base != NULL && b != NULL))
		return check_done();
	many_senders(b);

	echo_box = b;
	m->deliver = on_echo;
	other = event_new(base, -1, EV_PERSIST, on_other, NULL);
	event_active(other, EV_TIMEOUT, 0);
	mailbox_post(b, m);
	while (echoes < 1000)
		event_base_loop(base, EVLOOP_ONCE);
	CHECK(echoes == 1000);
	CHECK(others == 1); /* mail that posts mail starves nobody */
	event_free(other);

	/* what is inside when it is freed is dropped, not delivered */
	lost.mail.deliver = on_letter;
	mailbox_post(b, &lost.mail);
	mailbox_free(b);
	mailbox_free(NULL);
	CHECK(delivered == SENDERS * LETTERS);
	event_base_free(base);
	return check_done();
}
