/*
 * form.c - application/x-www-form-urlencoded, read strictly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/token/form.h"

#include "gateway/http/chars.h"

/* One name or value. False for a bad escape or a control character. */
static bool
decode(struct span in, struct arena *a, struct span *out)
{
	char *p = arena_alloc(a, in.n);
	size_t n = 0;

	if (p == NULL)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		int high, low;
		char c = in.p[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (in.n - i < 3)
				return false;
			high = http_hex_value(in.p[i + 1]);
			low = http_hex_value(in.p[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if ((unsigned char)c < ' ' || c == 0x7f)
			return false;
		p[n++] = c;
	}
	*out = (struct span){ p, n };
	return true;
}

static bool
read_pair(struct span pair, struct arena *a, struct form *out)
{
	const char *eq = pair.n == 0 ? NULL : memchr(pair.p, '=', pair.n);
	struct form_field *f = &out->fields[out->n];

	if (eq == NULL || eq == pair.p || out->n == FORM_FIELDS_MAX)
		return false;
	out->n++;
	return decode((struct span){ pair.p, (size_t)(eq - pair.p) }, a, &f->name) &&
	    decode(span_skip(pair, (size_t)(eq - pair.p) + 1), a, &f->value);
}

bool
form_read(struct span text, struct arena *a, struct form *out)
{
	out->n = 0;
	if (text.n > FORM_MAX)
		return false;
	while (text.n > 0) {
		const char *and = memchr(text.p, '&', text.n);
		size_t n = and == NULL ? text.n : (size_t)(and - text.p);

		if (!read_pair((struct span){ text.p, n }, a, out))
			return false;
		if (and != NULL && n + 1 == text.n)
			return false;	/* '&' and nothing after it */
		text = span_skip(text, and == NULL ? n : n + 1);
	}
	return true;
}

bool
form_one(const struct form *f, struct span name, struct span *out)
{
	*out = SPAN_NONE;
	for (size_t i = 0; i < f->n; i++) {
		if (!span_eq(f->fields[i].name, name))
			continue;
		if (out->p != NULL)
			return false;
		*out = f->fields[i].value;
	}
	return true;
}
