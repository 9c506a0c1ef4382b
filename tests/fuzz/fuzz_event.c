/*
 * fuzz_event.c - any bytes as the texts of an event, and as a file of events. What event_write() makes is one line of
 * printable ASCII that jansson reads, and that the check of the chain accepts; no other bytes harm that check.
 *
 * The input is cut at its 0xff bytes into texts; the first byte says how small the buffer is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/audit/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span
next(struct span *rest)
{
	const char *end = rest->n == 0 ? NULL : memchr(rest->p, 0xff, rest->n);
	struct span s = { rest->p, end == NULL ? rest->n : (size_t)(end - rest->p) };

	*rest = span_skip(*rest, end == NULL ? rest->n : s.n + 1);
	return s;
}

static void
fill(struct audit_event *e, struct span rest)
{
	struct span *const text[] = { &e->http.path, &e->http.user_agent, &e->detail, &e->tls.sni, &e->registry.reference,
		&e->action, &e->sid, &e->policy, &e->actor.issuer, &e->actor.subject, &e->actor.method, &e->source.ip,
		&e->http.method, &e->http.version, &e->tls.version, &e->tls.cipher, &e->registry.upstream,
		&e->registry.repository, &e->registry.tag, &e->registry.digest, &e->registry.old_digest,
		&e->registry.media_type };

	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		*text[i] = next(&rest);
	/* the bytes that cut are hostile too: all of them in one text */
	if (e->sid.n == 0)
		e->http.user_agent = (struct span){ e->http.path.p, e->http.path.n + rest.n };
}

/* The bytes as a file: only whole good lines are counted. */
static bool
accepted(int fd, const void *data, size_t size)
{
	struct chain_scan s = { .lines = 0 };

	if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size || !chain_scan_file(&s, fd))
		abort();
	if (s.good > s.size || s.size != size || (s.good < s.size) != (s.reason[0] != '\0') || (s.lines == 0) != (s.good == 0))
		abort();
	return s.reason[0] == '\0';
}

static void
check_event(const struct audit_event *e, int fd)
{
	static char line[EVENT_MAX + CHAIN_TAIL];
	struct chain first = { .seq = 0 };
	size_t n = event_write(e, line, EVENT_MAX);
	json_t *o;

	if (n == 0)
		abort();
	n += chain_tail(&first, line + n);
	o = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (o == NULL || !accepted(fd, line, n))
		abort();
	json_decref(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct audit_event e = { .id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", .event = "request", .reason = "ok" };
	size_t small;
	char *buf;

	if (fd < 0)
		fd = memfd_create("events", MFD_CLOEXEC);
	if (fd < 0 || size == 0)
		return 0;
	(void)accepted(fd, data, size);
	fill(&e, (struct span){ (const char *)data + 1, size - 1 });
	e.time_us = (int64_t)((uint64_t)data[0] << 48 | size);
	e.http.status = data[0];
	check_event(&e, fd);
	small = data[0] * 8u;
	buf = malloc(small > 0 ? small : 1);
	if (buf != NULL && event_write(&e, buf, small) > small)
		abort();
	free(buf);
	return 0;
}
