/*
 * forwarded.c - X-Forwarded-For, read from the right.
 * Invariant: a hop is believed only when all hops behind it, and who brought the request, are trusted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/forwarded.h"

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The hops of one field behind those there are already. False when one is malformed, or one too many. */
static bool
read_field(struct span list, struct endpoint hops[static FORWARDED_HOPS], size_t *n)
{
	for (;;) {
		const char *comma = list.n == 0 ? NULL : memchr(list.p, ',', list.n);
		struct span hop = list;

		if (comma != NULL)
			hop.n = (size_t)(comma - list.p);
		if (*n == FORWARDED_HOPS || !endpoint_parse(trim(hop), &hops[*n]))
			return false;
		++*n;
		if (comma == NULL)
			return true;
		list = span_skip(list, hop.n + 1);
	}
}

bool
forwarded_client(const struct http_head *head, const struct endpoint *from, const struct network *trusted, size_t n,
    struct endpoint *client)
{
	struct endpoint hops[FORWARDED_HOPS];
	size_t n_hops = 0;

	*client = *from;
	if (head->field[HTTP_FIELD_X_FORWARDED_FOR].p == NULL || !endpoint_within(from, trusted, n))
		return true;
	for (size_t i = 0; i < head->n_fields; i++)
		if (head->fields[i].id == HTTP_FIELD_X_FORWARDED_FOR && !read_field(head->fields[i].value, hops, &n_hops))
			return false;
	for (size_t i = n_hops; i-- > 0 && endpoint_within(client, trusted, n);)
		*client = hops[i];
	return true;
}
