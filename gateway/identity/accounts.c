/*
 * accounts.c - robots that log in with a name and a password.
 * Invariant: what a wrong login costs does not tell whether there is such an account.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/identity/accounts.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/arena.h"
#include "policy/base64url.h"
#include "policy/hash.h"

#define BCRYPT_PASSWORD	72u
#define BCRYPT_COST_MAX	14	/* a second, about */
#define GROUPS_MAX	64u	/* of one account */

struct accounts {
	struct arena *arena;
	struct account *list;	/* sorted by name */
	size_t n;
};

/* ---- reading ---- */

static bool
refuse(struct accounts_problem *why, const char *text)
{
	snprintf(why->text, sizeof why->text, "%s", text);
	return false;
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* The next line that counts; p == NULL at the end. */
static struct span
next_line(struct span *text, int *line)
{
	while (text->n > 0) {
		const char *end = memchr(text->p, '\n', text->n);
		size_t n = end == NULL ? text->n : (size_t)(end - text->p);
		struct span s = trimmed((struct span){ text->p, n });

		*text = span_skip(*text, end == NULL ? n : n + 1);
		++*line;
		if (s.n > 0 && s.p[0] != '#')
			return s;
	}
	return SPAN_NONE;
}

static bool
is_bcrypt(struct span hash)
{
	return span_starts(hash, SPAN("$2a$")) || span_starts(hash, SPAN("$2b$")) || span_starts(hash, SPAN("$2y$"));
}

static const char *
hash_problem(struct span hash)
{
	int cost;

	if (!is_bcrypt(hash) && !span_starts(hash, SPAN("$y$")))
		return "the hash must be yescrypt ($y$, as mkpasswd makes it) or bcrypt ($2y$, as htpasswd -B does)";
	if (hash.n > ACCOUNT_HASH_MAX || crypt_checksalt(hash.p) != CRYPT_SALT_OK)
		return "the hash is none of this system's crypt()";
	/* $y$params$salt$, then 256 bits */
	if (!is_bcrypt(hash))
		return hash.n < 50 || hash.p[hash.n - 44] != '$' ? "the hash is cut" : NULL;
	if (hash.n != 60)
		return "the hash is cut";
	cost = (hash.p[4] - '0') * 10 + hash.p[5] - '0';
	return cost > BCRYPT_COST_MAX ? "the cost of the hash is more than 14: a login would take seconds" : NULL;
}

/* 128 bits of SHA-256 of name and hash. */
static bool
make_check(struct account *a)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, a->user.p, a->user.n + 1) == 1 && EVP_DigestUpdate(ctx, a->hash.p, a->hash.n) == 1 &&
	    EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (ok)
		a->check[base64url_encode(digest, 16, a->check)] = '\0';
	return ok;
}

static int
by_name(const void *a, const void *b)
{
	const struct account *x = a, *y = b;
	size_t n = x->user.n < y->user.n ? x->user.n : y->user.n;
	int d = memcmp(x->user.p, y->user.p, n);

	return d != 0 ? d : (x->user.n > y->user.n) - (x->user.n < y->user.n);
}

static bool
add_account(struct accounts *a, struct span line, struct accounts_problem *why)
{
	const char *colon = memchr(line.p, ':', line.n), *problem;
	struct account *one = &a->list[a->n];

	if (colon == NULL)
		return refuse(why, "must be user:hash");
	one->user = arena_dup(a->arena, (struct span){ line.p, (size_t)(colon - line.p) });
	one->hash = arena_dup(a->arena, span_skip(line, (size_t)(colon - line.p) + 1));
	if (one->user.p == NULL || one->hash.p == NULL)
		return refuse(why, "out of memory");
	if (!identity_name_ok(one->user, IDENTITY_SUBJECT_MAX))
		return refuse(why, "a user is 1 to 255 bytes without control characters");
	problem = hash_problem(one->hash);
	if (problem != NULL)
		return refuse(why, problem);
	a->n++;
	return make_check(one) || refuse(why, "out of memory");
}

static size_t
count_lines(struct span text)
{
	size_t n = 1;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static bool
read_accounts(struct accounts *a, struct span text, struct accounts_problem *why)
{
	struct span line;

	a->list = arena_zalloc(a->arena, count_lines(text), sizeof *a->list);
	if (a->list == NULL)
		return refuse(why, "out of memory");
	while ((line = next_line(&text, &why->line)).p != NULL)
		if (!add_account(a, line, why))
			return false;
	if (a->n == 0)
		return refuse(why, "there is no account before it");
	qsort(a->list, a->n, sizeof *a->list, by_name);
	for (size_t i = 1; i < a->n; i++)
		if (by_name(&a->list[i - 1], &a->list[i]) == 0)
			return refuse(why, "a user is in it twice");
	return true;
}

static bool
join(struct accounts *a, struct span group, struct span user, struct accounts_problem *why)
{
	struct account *one = (struct account *)(uintptr_t)accounts_find(a, user);
	struct span *groups;

	if (one == NULL)
		return refuse(why, "names a user that is in no line of the accounts file");
	for (size_t i = 0; i < one->n_groups; i++)
		if (span_eq(one->groups[i], group))
			return true;
	if (one->n_groups == GROUPS_MAX)
		return refuse(why, "a user is in more than 64 groups");
	if (one->groups == NULL)
		one->groups = arena_zalloc(a->arena, GROUPS_MAX, sizeof *one->groups);
	groups = (struct span *)(uintptr_t)one->groups;
	if (groups == NULL)
		return refuse(why, "out of memory");
	groups[one->n_groups++] = group;
	return true;
}

static bool
read_groups(struct accounts *a, struct span text, struct accounts_problem *why)
{
	struct span line;

	why->groups = true;
	why->line = 0;
	while ((line = next_line(&text, &why->line)).p != NULL) {
		const char *colon = memchr(line.p, ':', line.n);
		struct span group, users;

		if (colon == NULL)
			return refuse(why, "must be group: user user");
		group = arena_dup(a->arena, trimmed((struct span){ line.p, (size_t)(colon - line.p) }));
		users = span_skip(line, (size_t)(colon - line.p) + 1);
		if (!identity_name_ok(group, IDENTITY_NAME_MAX))
			return refuse(why, "a group is 1 to 512 bytes without control characters");
		while ((users = trimmed(users)).n > 0) {
			size_t n = 0;

			while (n < users.n && users.p[n] != ' ' && users.p[n] != '\t')
				n++;
			if (!join(a, group, (struct span){ users.p, n }, why))
				return false;
			users = span_skip(users, n);
		}
	}
	return true;
}

struct accounts *
accounts_new(struct span file, struct span groups, struct accounts_problem *why)
{
	struct accounts *a = calloc(1, sizeof *a);

	*why = (struct accounts_problem){ .line = 0 };
	if (a != NULL)
		a->arena = arena_new((size_t)256 << 20);
	if (a == NULL || a->arena == NULL) {
		refuse(why, "out of memory");
		accounts_free(a);
		return NULL;
	}
	if (read_accounts(a, file, why) && read_groups(a, groups, why) && !arena_failed(a->arena))
		return a;
	accounts_free(a);
	return NULL;
}

void
accounts_free(struct accounts *a)
{
	if (a == NULL)
		return;
	arena_free(a->arena);
	free(a);
}

size_t
accounts_count(const struct accounts *a)
{
	return a->n;
}

const struct account *
accounts_find(const struct accounts *a, struct span user)
{
	const struct account wanted = { .user = user };

	return user.n == 0 ? NULL : bsearch(&wanted, a->list, a->n, sizeof wanted, by_name);
}

const struct identity *
account_identity(const struct account *a)
{
	const struct identity parts = { .type = PRINCIPAL_BASIC, .issuer = SPAN(IDENTITY_BASIC), .subject = a->user,
		.key_id = span_of(a->check), .groups = a->groups, .n_groups = a->n_groups };

	return identity_new(&parts);
}

/* ---- one login ---- */

static bool
equal(const char *a, const char *b)
{
	size_t n = strlen(a);

	return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

/* On the thread of logins. */
static void
check_password(struct offload_job *j)
{
	struct login *l = (struct login *)(void *)((char *)j - offsetof(struct login, job));
	static struct crypt_data data;	/* of the one thread there is */
	const char *made = crypt_r(l->password, l->hash, &data);
	bool same = made != NULL && made[0] != '*' && equal(made, l->hash);

	l->ok = same && l->known && (!l->bcrypt || l->password_n <= BCRYPT_PASSWORD);
	OPENSSL_cleanse(&data, sizeof data);
}

struct login *
login_new(const struct accounts *a, struct span user, struct span password)
{
	const struct account *one = accounts_find(a, user);
	struct login *l;

	if (!identity_name_ok(user, IDENTITY_SUBJECT_MAX) || password.n == 0 || password.n > ACCOUNT_PASSWORD_MAX ||
	    memchr(password.p, '\0', password.n) != NULL)
		return NULL;
	l = calloc(1, sizeof *l);
	if (l == NULL)
		return NULL;
	l->known = one != NULL;
	/* always the same one for a name, so that a second try tells no more than the first */
	if (one == NULL)
		one = &a->list[hash_span(user) % a->n];
	memcpy(l->user, user.p, user.n);
	memcpy(l->password, password.p, password.n);
	l->password_n = password.n;
	memcpy(l->hash, one->hash.p, one->hash.n);
	l->bcrypt = is_bcrypt(one->hash);
	l->job.work = check_password;
	return l;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	OPENSSL_cleanse(l->password, sizeof l->password);
	free(l);
}
