/*
 * accounts.h - robots that log in with a name and a password: an htpasswd file, and a file of groups.
 *
 * Hashes are yescrypt ($y$) or bcrypt ($2a$, $2b$, $2y$): both cost milliseconds on purpose, so no password is checked on a
 * worker's thread. A check takes a copy of what it needs and is good on any thread. One of a name that nobody has is
 * checked against somebody's hash all the same: it takes as long, and fails.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ACCOUNTS_H
#define TW_ACCOUNTS_H

#include "gateway/offload.h"
#include "policy/identity.h"

#define ACCOUNTS_FILE_MAX	((size_t)1 << 20)
#define ACCOUNT_PASSWORD_MAX	255u	/* bytes; of bcrypt 72, for it ignores the rest */
#define ACCOUNT_HASH_MAX	255u
#define ACCOUNT_CHECK		22u	/* characters */

struct account {
	struct span user;
	struct span hash;			/* NUL behind it */
	char check[ACCOUNT_CHECK + 2];		/* changes with the password; tells nothing of it */
	const struct span *groups;
	size_t n_groups;
};

struct accounts;

/* Where a text is wrong: which of the two, and the line from 1 (0: none). */
struct accounts_problem {
	bool groups;
	int line;
	char text[160];
};
/* "user:hash" a line, and "group: user user" a line (groups may be empty); lines of # do not count. Copies both. */
struct accounts *accounts_new(struct span file, struct span groups, struct accounts_problem *why) NONNULL(3) WUNRES;
void accounts_free(struct accounts *a);
size_t accounts_count(const struct accounts *a) NONNULL(1) PURE;

/* NULL: nobody has that name. */
const struct account *accounts_find(const struct accounts *a, struct span user) NONNULL(1) PURE;
/* New, with one reference: type BASIC, key_id the account's check. NULL when out of memory. */
const struct identity *account_identity(const struct account *a) NONNULL(1) WUNRES;

/* ---- one login ---- */

struct login {
	struct offload_job job;		/* its work is set by login_new(); the rest is the caller's */
	void *owner;			/* whom to tell; NULL: nobody waits any more, whoever gets the mail frees it */
	unsigned char key[32];		/* of the cache of verified passwords */
	bool ok;			/* the answer */
	/* private */
	bool known, bcrypt;
	size_t password_n;
	char user[IDENTITY_SUBJECT_MAX + 1], password[ACCOUNT_PASSWORD_MAX + 1], hash[ACCOUNT_HASH_MAX + 1];
};
/* NULL: not a name and a password that any account could have, or out of memory. */
struct login *login_new(const struct accounts *a, struct span user, struct span password) NONNULL(1) WUNRES;
/* Wipes the password. */
void login_free(struct login *l);

#endif
