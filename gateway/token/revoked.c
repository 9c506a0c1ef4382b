/*
 * revoked.c - the deny list.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/revoked.h"

#include <stdio.h>
#include <stdlib.h>

struct revoked {
	char *text;
	struct span *lines;	/* sorted */
	size_t n;
};

static int
compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int d = memcmp(x->p, y->p, n);

	return d != 0 ? d : (x->n > y->n) - (x->n < y->n);
}

/* A line without blanks around it. */
static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static bool
is_entry(struct span s)
{
	const char *slash = memchr(s.p, '/', s.n);

	if (!identity_name_ok(s, 1024))
		return false;
	if (span_starts(s, SPAN("subject:")))
		return slash != NULL && slash > s.p + strlen("subject:") && slash + 1 < s.p + s.n;
	return (span_starts(s, SPAN("jti:")) && s.n > strlen("jti:")) ||
	    (span_starts(s, SPAN("basic:")) && s.n > strlen("basic:"));
}

static bool
read_lines(struct revoked *l, struct span text, int *line)
{
	for (*line = 1; text.n > 0; ++*line) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end == NULL ? text.n : (size_t)(end - text.p);
		struct span s = trimmed((struct span){ text.p, n });

		text = span_skip(text, end == NULL ? n : n + 1);
		if (s.n == 0 || s.p[0] == '#')
			continue;
		if (!is_entry(s))
			return false;
		l->lines[l->n++] = s;
	}
	return true;
}

struct revoked *
revoked_new(struct span text, char *err, size_t err_size, int *line)
{
	struct revoked *l = calloc(1, sizeof *l);
	size_t lines = 1;

	*line = 0;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (l != NULL) {
		l->text = malloc(text.n + 1);
		l->lines = calloc(lines, sizeof *l->lines);
	}
	if (l == NULL || l->text == NULL || l->lines == NULL) {
		snprintf(err, err_size, "out of memory");
		revoked_free(l);
		return NULL;
	}
	if (text.n > 0)
		memcpy(l->text, text.p, text.n);
	if (!read_lines(l, (struct span){ l->text, text.n }, line)) {
		snprintf(err, err_size, "must be jti:<id>, subject:<issuer alias>/<name> or basic:<user>");
		revoked_free(l);
		return NULL;
	}
	if (l->n > 0)
		qsort(l->lines, l->n, sizeof *l->lines, compare);
	return l;
}

void
revoked_free(struct revoked *l)
{
	if (l == NULL)
		return;
	free(l->lines);
	free(l->text);
	free(l);
}

static bool
has(const struct revoked *l, struct span entry)
{
	return bsearch(&entry, l->lines, l->n, sizeof entry, compare) != NULL;
}

bool
revoked_token(const struct revoked *l, struct span id)
{
	char text[1024 + sizeof "jti:"];

	if (l == NULL || l->n == 0 || id.n == 0 || id.n > 1024)
		return false;
	memcpy(text, "jti:", strlen("jti:"));
	memcpy(text + strlen("jti:"), id.p, id.n);
	return has(l, (struct span){ text, strlen("jti:") + id.n });
}

bool
revoked_has(const struct revoked *l, const struct identity *who)
{
	const json_t *jti = json_object_get(who->claims, "jti");

	if (l == NULL || l->n == 0)
		return false;
	/* its own names come first; groups are not looked for */
	for (size_t i = 0; i < who->n_ids && i < 2; i++)
		if (has(l, who->ids[i]))
			return true;
	return revoked_token(l, who->token_id) ||
	    revoked_token(l, (struct span){ json_string_value(jti), json_string_length(jti) });
}
