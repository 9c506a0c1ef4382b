/*
 * secret.c - see secret.h.
 *
 * The shapes are those that their issuers document: AWS access key ids, GitHub, GitLab, Slack, Google, Stripe and npm tokens, PEM
 * private keys.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/secret.h"

#include <math.h>

#define VALUE_LEAST   8u	/* a shorter value is no secret worth the name */
#define VALUE_MOST    512u	/* of a value that is looked at */
#define RANDOM_LEAST  2.8	/* bits a byte: words of a language have less, in so short texts */

static bool
is_upper_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_alnum(char c)
{
	return is_upper_digit(c) || (c >= 'a' && c <= 'z');
}

static bool
is_word(char c)
{
	return is_alnum(c) || c == '_' || c == '-';
}

/* Known beginnings, and how many bytes of which kind follow at least. */
static const struct {
	const char *begins;
	size_t follow;
	bool (*kind)(char c);
} shapes[] = {
	{ "AKIA", 16, is_upper_digit },
	{ "ASIA", 16, is_upper_digit },
	{ "ghp_", 36, is_alnum },
	{ "gho_", 36, is_alnum },
	{ "ghu_", 36, is_alnum },
	{ "ghs_", 36, is_alnum },
	{ "ghr_", 36, is_alnum },
	{ "github_pat_", 22, is_word },
	{ "glpat-", 20, is_word },
	{ "xoxb-", 20, is_word },
	{ "xoxp-", 20, is_word },
	{ "xoxa-", 20, is_word },
	{ "xoxs-", 20, is_word },
	{ "AIza", 35, is_word },
	{ "sk_live_", 24, is_alnum },
	{ "rk_live_", 24, is_alnum },
	{ "npm_", 36, is_alnum },
};

static bool
has_shape(struct span at)
{
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		size_t n = strlen(shapes[i].begins), more = 0;

		if (at.n < n + shapes[i].follow || memcmp(at.p, shapes[i].begins, n) != 0)
			continue;
		while (more < shapes[i].follow && shapes[i].kind(at.p[n + more]))
			more++;
		if (more == shapes[i].follow)
			return true;
	}
	return false;
}

static bool
has_private_key(struct span text)
{
	const char *at = text.n == 0 ? NULL : memmem(text.p, text.n, "-----BEGIN ", 11);
	size_t left;

	if (at == NULL)
		return false;
	left = text.n - (size_t)(at - text.p);
	return memmem(at, left < 64 ? left : 64, "PRIVATE KEY", 11) != NULL;
}

/* ---- NAME=value ---- */

static bool
ends_nocase(struct span name, const char *end)
{
	size_t n = strlen(end);

	return name.n >= n && span_eq_nocase((struct span){ name.p + name.n - n, n }, (struct span){ end, n });
}

static bool
names_secret(struct span name)
{
	static const char *const ends[] = { "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "SECRET_KEY", "TOKEN", "API_KEY", "APIKEY",
		"ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS" };

	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
		if (ends_nocase(name, ends[i]))
			return true;
	return false;
}

/* Shannon's, in bits a byte. */
static double
entropy(struct span s)
{
	unsigned count[256] = { 0 };
	double bits = 0;

	for (size_t i = 0; i < s.n; i++)
		count[(unsigned char)s.p[i]]++;
	for (size_t i = 0; i < 256; i++) {
		double p = (double)count[i] / (double)s.n;

		if (count[i] > 0)
			bits -= p * log2(p);
	}
	return bits;
}

/* Not a path, a variable, a word or a number. */
static bool
looks_random(struct span v)
{
	bool letter = false, other = false;

	if (v.n > VALUE_MOST)
		v.n = VALUE_MOST;
	if (v.n < VALUE_LEAST || v.p[0] == '/' || v.p[0] == '$' || v.p[0] == '<' || v.p[0] == '{')
		return false;
	if (memmem(v.p, v.n, "://", 3) != NULL || memmem(v.p, v.n, "${", 2) != NULL)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		bool alpha = (v.p[i] >= 'a' && v.p[i] <= 'z') || (v.p[i] >= 'A' && v.p[i] <= 'Z');

		letter |= alpha;
		other |= !alpha && v.p[i] != '-' && v.p[i] != '_' && v.p[i] != '.';
	}
	return letter && other && entropy(v) >= RANDOM_LEAST;
}

static bool
is_name(char c)
{
	return is_alnum(c) || c == '_';
}

static bool
ends_value(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '"' || c == '\'' || c == ';' || c == '&' || c == '|' || c == '\\';
}

/* The assignment whose '=' is at `at`. */
static bool
assigns_secret(struct span text, size_t at)
{
	size_t begin = at, from = at + 1, to;

	while (begin > 0 && is_name(text.p[begin - 1]))
		begin--;
	if (!names_secret((struct span){ text.p + begin, at - begin }))
		return false;
	if (from < text.n && (text.p[from] == '"' || text.p[from] == '\''))
		from++;
	for (to = from; to < text.n && !ends_value(text.p[to]); to++)
		continue;
	return looks_random((struct span){ text.p + from, to - from });
}

bool
secret_looks(struct span text)
{
	if (has_private_key(text))
		return true;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '=' && assigns_secret(text, i))
			return true;
		/* within a word nothing begins */
		if ((i == 0 || !is_alnum(text.p[i - 1])) && has_shape(span_skip(text, i)))
			return true;
	}
	return false;
}
