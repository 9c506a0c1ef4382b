/*
 * client.c - see client.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/client.h"

/* Products that call themselves otherwise than users call them. */
static const struct {
	const char *said, *product;
} aliases[] = {
	{ "libpod", "podman" },
	{ "oras-go", "oras" },
	{ "go-containerregistry", "crane" },
};

static bool
is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t
token_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && is_token(s.p[n]))
		n++;
	return n;
}

static void
product_set(struct client *out, struct span name)
{
	if (name.n == 0 || name.n > sizeof out->text)
		return;
	for (size_t i = 0; i < name.n; i++)
		out->text[i] = ascii_lower(name.p[i]);
	out->product = (struct span){ out->text, name.n };
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (span_eq(out->product, span_of(aliases[i].said)))
			out->product = span_of(aliases[i].product);
}

/* "v20.10.24+dfsg1" to "20.10.24". */
static struct span
dotted(struct span s)
{
	size_t n = 0;

	if (s.n > 0 && (s.p[0] == 'v' || s.p[0] == 'V'))
		s = span_skip(s, 1);
	while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || (s.p[n] == '.' && n > 0 && s.p[n - 1] != '.')))
		n++;
	if (n > 0 && s.p[n - 1] == '.')
		n--;
	return (struct span){ s.p, n };
}

static bool
has_word(struct span s, struct span word)
{
	for (size_t i = 0; i + word.n <= s.n; i++)
		if (span_eq_nocase((struct span){ s.p + i, word.n }, word))
			return true;
	return false;
}

void
client_parse(struct span user_agent, struct client *out)
{
	static const char *const systems[] = { "linux", "darwin", "windows" };
	struct span rest = user_agent, name = { user_agent.p, token_length(user_agent) };

	out->product = out->version = out->os = SPAN_NONE;
	product_set(out, name);
	rest = span_skip(rest, name.n);
	if (name.n > 0 && rest.n > 1 && rest.p[0] == '/')
		out->version = dotted(span_skip(rest, 1));
	for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
		if (out->os.p == NULL && has_word(user_agent, span_of(systems[i])))
			out->os = span_of(systems[i]);
}
