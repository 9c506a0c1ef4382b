/*
 * test_accounts.c - htpasswd and group files, logins against them, and what a worker remembers of a login.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <crypt.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/identity/authn.h"
#include "tests/unit/check.h"

#define NOW 1700000000

static char robot[256], ci[256];	/* hashes of "secret" and "hunter2" */

static void
make_hash(const char *setting, const char *password, char *out, size_t size)
{
	static struct crypt_data data;
	const char *made = crypt_r(password, setting, &data);

	CHECK(made != NULL && made[0] != '*');
	snprintf(out, size, "%s", made);
}

static struct accounts *
accounts_of(const char *groups)
{
	struct accounts_problem why;
	char text[1024];
	struct accounts *a;

	snprintf(text, sizeof text, "# robots\n\nrobot:%s\r\nci:%s\n", robot, ci);
	a = accounts_new(span_of(text), span_of(groups), &why);
	CHECK(a != NULL && accounts_count(a) == 2);
	return a;
}

static void
test_files(void)
{
	static const struct {
		const char *file, *groups;
		bool of_groups;
		int line;
	} rows[] = {
		{ "", "", false, 0 },
		{ "# nobody\n", "", false, 1 },
		{ "robot", "", false, 1 },
		{ "robot:", "", false, 1 },
		{ ":$2y$05$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.", "", false, 1 },
		{ "\nrobot:secret\n", "", false, 2 },
		{ "robot:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", "", false, 1 },
		{ "robot:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n", "", false, 1 },
		{ "robot:$1$abcdefgh$1234567890123456789012\n", "", false, 1 },
		{ "robot:$5$abcdefgh$1234567890123456789012345678901234567890123\n", "", false, 1 },
		{ "robot:$2y$05$short\n", "", false, 1 },
		{ "robot:$2y$15$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.\n", "", false, 1 },
		{ "robot:$y$\n", "", false, 1 },
		{ "r\x01:$2y$05$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.\n", "", false, 1 },
		{ "a:$2y$05$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.\n", "x: a\ny: b\n", true, 2 },
		{ "a:$2y$05$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.\n", "x\n", true, 1 },
		{ "a:$2y$05$aaaaaaaaaaaaaaaaaaaaaOjOHCcGZ1ZydhnG2lX11qSmiRJbsbsA.\n", ": a\n", true, 1 },
	};
	const struct account *one;
	const struct identity *who;
	struct accounts *a;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct accounts_problem why;

		a = accounts_new(span_of(rows[i].file), span_of(rows[i].groups), &why);
		CHECK_ROW(a == NULL && why.groups == rows[i].of_groups && why.line == rows[i].line && why.text[0] != '\0', rows[i].file);
		accounts_free(a);
	}
	a = accounts_of("# teams\ndeploy: robot  ci robot\nci:ci\nempty:\n");
	one = accounts_find(a, SPAN("ci"));
	CHECK(one != NULL && one->n_groups == 2 && span_eq(one->groups[0], SPAN("deploy")) && span_eq(one->groups[1], SPAN("ci")));
	CHECK(accounts_find(a, SPAN("c")) == NULL && accounts_find(a, SPAN("ci2")) == NULL && accounts_find(a, SPAN_NONE) == NULL);
	who = account_identity(one);
	CHECK(who != NULL && who->n_ids == 3 && span_eq(who->ids[0], SPAN("basic:ci")) && span_eq(who->ids[1], SPAN("group:basic/deploy")));
	CHECK(who != NULL && who->type == PRINCIPAL_BASIC && who->key_id.n == ACCOUNT_CHECK);
	CHECK(strcmp(one->check, accounts_find(a, SPAN("robot"))->check) != 0);
	identity_unref(who);
	accounts_free(a);
}

/* Would the thread of logins say yes? */
static bool
good(const struct accounts *a, const char *user, struct span password)
{
	struct login *l = login_new(a, span_of(user), password);
	bool ok;

	if (l == NULL)
		return false;
	l->job.work(&l->job);
	ok = l->ok;
	login_free(l);
	return ok;
}

static void
test_logins(void)
{
	static char long_password[ACCOUNT_PASSWORD_MAX + 2], hash[256], file[512];
	struct accounts *a = accounts_of(""), *b;
	struct accounts_problem why;

	CHECK(good(a, "robot", SPAN("secret")) && good(a, "ci", SPAN("hunter2")));
	CHECK(!good(a, "robot", SPAN("hunter2")) && !good(a, "ci", SPAN("secret")) && !good(a, "robot", SPAN("")));
	CHECK(!good(a, "robot", SPAN("Secret")) && !good(a, "robot", SPAN("secret ")) && !good(a, "Robot", SPAN("secret")));
	CHECK(!good(a, "robot", SPAN("secret\0x")) && !good(a, "", SPAN("secret")));
	CHECK(!good(a, "nobody", SPAN("secret")) && !good(a, "nobody", SPAN("hunter2")));	/* some real hash was compared */
	memset(long_password, 'x', sizeof long_password);
	CHECK(!good(a, "robot", (struct span){ long_password, ACCOUNT_PASSWORD_MAX + 1 }));
	/* bcrypt ignores what is behind 72 bytes: two passwords would be one */
	long_password[72] = '\0';
	make_hash("$2y$05$aaaaaaaaaaaaaaaaaaaaaO", long_password, hash, sizeof hash);
	snprintf(file, sizeof file, "long:%s\n", hash);
	b = accounts_new(span_of(file), SPAN_NONE, &why);
	long_password[72] = 'x';
	CHECK(b != NULL && good(b, "long", (struct span){ long_password, 72 }) && !good(b, "long", (struct span){ long_password, 73 }));
	accounts_free(b);
	accounts_free(a);
}

static enum refuse
ask(struct authn *n, const struct accounts *a, const struct issuer_table *t, const char *user, const char *password, int64_t now,
    struct authn_result *out)
{
	const struct authn_ask q = { .issuers = t, .accounts = a, .now = now, .cache_s = 60 };

	return authn_password(n, &q, span_of(user), span_of(password), out);
}

static void
test_memory(void)
{
	struct metrics *m = calloc(1, sizeof *m);
	struct authn *n = authn_new(m);
	struct accounts *a = accounts_of(""), *changed;
	struct issuer_table *t = issuer_table_new(1);
	struct accounts_problem why;
	struct authn_result r;
	struct login *l;
	char text[512];

	CHECK(ask(n, a, t, "robot", "secret", NOW, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL && strcmp(r.method, "basic") == 0);
	l = r.login;
	CHECK(ask(n, a, t, "robot", "secret", NOW, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL);	/* not yet known */
	login_free(r.login);
	authn_remember_login(n, l, NOW, 60);
	login_free(l);
	CHECK(ask(n, a, t, "robot", "secret", NOW + 59, &r) == REFUSE_NONE && r.login == NULL && r.who != NULL);
	identity_unref(r.who);
	CHECK(ask(n, a, t, "robot", "secret", NOW + 60, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL);
	login_free(r.login);
	CHECK(ask(n, a, t, "robot", "other", NOW, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL);
	login_free(r.login);
	CHECK(ask(n, a, t, "ci", "secret", NOW, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL);
	login_free(r.login);
	/* another hash of the same password: what was remembered does not count */
	snprintf(text, sizeof text, "robot:%s\n", ci);
	changed = accounts_new(span_of(text), SPAN_NONE, &why);
	CHECK(ask(n, changed, t, "robot", "secret", NOW, &r) == REFUSE_NONE && r.who == NULL && r.login != NULL);
	login_free(r.login);
	/* a token is none of an account's, and a password nothing without accounts */
	CHECK(ask(n, a, t, "robot", "eyJhbGciOiJub25lIn0.e30.", NOW, &r) == REFUSE_BAD_TOKEN && r.login == NULL);
	CHECK(ask(n, NULL, t, "robot", "secret", NOW, &r) == REFUSE_BAD_TOKEN && r.login == NULL);
	CHECK(ask(n, a, t, "robot", "", NOW, &r) == REFUSE_BAD_CREDENTIALS && ask(n, a, t, "", "x", NOW, &r) == REFUSE_BAD_CREDENTIALS);
	accounts_free(changed);
	accounts_free(a);
	issuer_table_unref(t);
	authn_free(n);
	free(m);
}

/* CPU time of one check, so that a busy machine does not matter. */
static double
cost(const struct accounts *a, const char *user)
{
	struct login *l = login_new(a, span_of(user), SPAN("wrong"));
	struct timespec begun, ended;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun);
	l->job.work(&l->job);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
	login_free(l);
	return (double)(ended.tv_sec - begun.tv_sec) * 1e3 + (double)(ended.tv_nsec - begun.tv_nsec) / 1e6;
}

static void
note_costs(void)
{
	struct accounts *a = accounts_of("");

	printf("note: CPU ms of a check: yescrypt %.2f, bcrypt(5) %.2f, of names nobody has %.2f %.2f\n", cost(a, "ci"), cost(a, "robot"),
	    cost(a, "x"), cost(a, "nobody"));
	accounts_free(a);
}

int
main(void)
{
	make_hash("$2y$05$aaaaaaaaaaaaaaaaaaaaaO", "secret", robot, sizeof robot);
	make_hash("$y$j9T$F5Jx5fExrKuPp53xLKQ..1", "hunter2", ci, sizeof ci);
	test_files();
	test_logins();
	test_memory();
	note_costs();
	return check_done();
}
