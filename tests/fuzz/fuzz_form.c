/*
 * fuzz_form.c - any bytes as a form: what is read holds no control character, and written anew reads as the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/token/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte as an escape: nobody can read that in two ways. */
static size_t
escape(struct span s, char *out)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		out[n++] = '%';
		out[n++] = hex[(unsigned char)s.p[i] >> 4];
		out[n++] = hex[(unsigned char)s.p[i] & 15];
	}
	return n;
}

static void
check_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[3 * FORM_MAX + 2 * FORM_FIELDS_MAX];
	static struct form form, again;
	struct arena *a = arena_new((size_t)1 << 20);
	size_t n = 0;

	if (a == NULL || !form_read((struct span){ (const char *)data, size }, a, &form)) {
		arena_free(a);
		return 0;
	}
	for (size_t i = 0; i < form.n; i++) {
		check_plain(form.fields[i].name);
		check_plain(form.fields[i].value);
		if (i > 0)
			text[n++] = '&';
		n += escape(form.fields[i].name, text + n);
		text[n++] = '=';
		n += escape(form.fields[i].value, text + n);
	}
	if (n <= FORM_MAX) {
		if (!form_read((struct span){ text, n }, a, &again) || again.n != form.n)
			abort();
		for (size_t i = 0; i < form.n; i++)
			if (!span_eq(form.fields[i].name, again.fields[i].name) || !span_eq(form.fields[i].value, again.fields[i].value))
				abort();
	}
	arena_free(a);
	return 0;
}
