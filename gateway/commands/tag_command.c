/*
 * tag_command.c - `tidewaiter tag`: what the ledger knows, and what an operator may do about it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/commands/command.h"
#include "gateway/fetch/fetch.h"
#include "gateway/commands/tag_client.h"
#include "gateway/commands/tag_import.h"
#include "policy/manifest.h"

struct options {
	const char *file;
	bool json, force;
	struct tag_import import;
};

struct command {
	const struct options *options;
	struct config *config;
	struct tag_client *client;
};

static const char usage[] =
    "usage: tidewaiter tag list    -c FILE [--json] [[UPSTREAM/]REPOSITORY-PATTERN]\n"
    "       tidewaiter tag show    -c FILE [--json] [UPSTREAM/]REPOSITORY:TAG\n"
    "       tidewaiter tag history -c FILE [--json] [UPSTREAM/]REPOSITORY[:TAG]\n"
    "       tidewaiter tag release -c FILE [--json] [--force] [UPSTREAM/]REPOSITORY:TAG\n"
    "       tidewaiter tag import  -c FILE [--json] [--jobs N] [--verify] [--dry-run]\n"
    "                              --all | [UPSTREAM/]REPOSITORY...\n"
    "\n"
    "The tag ledger is the memory of which digest a tag names. A running gateway is asked over its control\n"
    "socket; when none runs, its ledger is opened directly. FILE is gateway.conf, and names which is meant.\n"
    "\n"
    "list      records, one a line: tag, state, digest, since, by whom. * and ? match as in policies.\n"
    "show      one record, what its state means, and what a push of the tag would meet.\n"
    "history   everything that ever happened to a tag, or to all tags of a repository, oldest first.\n"
    "release   ends a claim that nobody holds: a push that was never answered. The registry is asked first: when\n"
    "          it has the claimed digest the tag is confirmed; when it has not, and the claim is older than\n"
    "          tags.settle, the tag goes back to what it was. --force releases it without asking, however young.\n"
    "import    adopts what the registry already has: reads every tag, hashes the manifests and records them, so\n"
    "          that nobody changes them. Nothing that has a record is changed: a tag that differs is reported as\n"
    "          drift. It may be interrupted and run again: what was recorded stays and is not read twice.\n"
    "          Until a repository is imported, deletes by digest are refused in it; after a restore of the ledger\n"
    "          from a backup, new tags are too.\n"
    "\n"
    "  --all      every repository of the registry's catalog that gateway.conf sends to it\n"
    "  --jobs N   manifests read at once, 1 to 64 (default 8)\n"
    "  --verify   read tags again that are recorded already\n"
    "  --dry-run  say what would be recorded, record nothing\n"
    "  --json     one JSON object a line\n"
    "\n"
    "Exit status: 0 fine, 1 a problem, 2 the command line was not understood, 3 import found drift.\n";

/* ---- printing ---- */

static void
print_name(const struct config *c, const json_t *row)
{
	printf("%s/%s%s%s", tag_registry_alias(c, tag_text(row, "registry")),
	    tag_text(row, "repository"), *tag_text(row, "tag") == '\0' ? "" : ":",
	    tag_text(row, "tag"));
}

static json_int_t
number(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

static const char *
state_word(const json_t *row)
{
	if (strcmp(tag_text(row, "state"), "claimed") != 0)
		return tag_text(row, "state");
	return json_is_true(json_object_get(row, "held")) ? "in flight" : "unresolved";
}

static bool
json_row(const struct command *cmd, json_t *row)
{
	if (!cmd->options->json)
		return false;
	json_object_set_new(row, "upstream",
	    json_string(tag_registry_alias(cmd->config, tag_text(row, "registry"))));
	tag_print_json(json_incref(row));
	return true;
}

static void
print_record(void *ctx, json_t *row)
{
	const struct command *cmd = ctx;
	char when[32];

	if (json_row(cmd, row))
		return;
	print_name(cmd->config, row);
	printf("  %s  %s  %s  %s\n", state_word(row), tag_text(row, "digest"),
	    tag_time(number(row, "at"), when), tag_text(row, "who"));
}

static void
print_change(void *ctx, json_t *row)
{
	const struct command *cmd = ctx;
	const char *old = tag_text(row, "old_digest");
	char when[32];

	if (json_row(cmd, row))
		return;
	printf("%s  ", tag_time(number(row, "at"), when));
	print_name(cmd->config, row);
	printf("  %s  %s%s%s  %s  %s  %s\n", tag_text(row, "what"), tag_text(row, "digest"),
	    *old == '\0' ? "" : "  was ", old, tag_text(row, "who"), tag_text(row, "source"),
	    tag_text(row, "event_id"));
}

/* ---- list, history ---- */

static int
list(struct command *cmd, const char *what)
{
	struct tag_name name;
	json_t *rq;
	bool ok;

	if (!tag_name_parse(cmd->config, what == NULL ? "*" : what, &name))
		return 1;
	if (name.tag != NULL) {
		fputs(
		    "tidewaiter tag list: patterns are of repositories; see `tag show` for one tag\n",
		    stderr);
		tag_name_free(&name);
		return 2;
	}
	rq = json_pack("{s:s, s:s}", "verb", "tag.list", "pattern", name.repository);
	/* an upstream that was named; a pattern alone is of all of them */
	if (name.named && name.registry != NULL)
		json_object_set_new(rq, "registry", json_string(name.registry));
	ok = rq != NULL && tag_ask(cmd->client, rq, print_record, cmd, NULL);
	tag_name_free(&name);
	return ok ? 0 : 1;
}

/* A name whose upstream is known; false after a message. */
static bool
full_name(const struct command *cmd, const char *text, bool with_tag, struct tag_name *out)
{
	if (!tag_name_parse(cmd->config, text, out) ||
	    (out->registry == NULL && out->upstream != NULL))
		fputs("tidewaiter tag: out of memory\n", stderr);
	else if (out->registry == NULL)
		fprintf(stderr,
		    "tidewaiter tag: no upstream serves %s; begin it with the name of one and /\n",
		    out->repository);
	else if (with_tag && out->tag == NULL)
		fprintf(stderr, "tidewaiter tag: %s names no tag; write REPOSITORY:TAG\n", text);
	else
		return true;
	tag_name_free(out);
	return false;
}

static json_t *
request_of(const char *verb, const struct tag_name *n)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "verb", verb, "registry", n->registry,
	    "repository", n->repository, "tag", n->tag == NULL ? "" : n->tag);
}

static int
history(struct command *cmd, const char *what)
{
	struct tag_name name;
	json_t *rq;
	bool ok;

	if (!full_name(cmd, what, false, &name))
		return 1;
	rq = request_of("tag.history", &name);
	ok = rq != NULL && tag_ask(cmd->client, rq, print_change, cmd, NULL);
	tag_name_free(&name);
	return ok ? 0 : 1;
}

/* ---- show ---- */

static void
keep_row(void *ctx, json_t *row)
{
	json_t **kept = ctx;

	json_decref(*kept);
	*kept = json_incref(row);
}

/* What the state means, and what a push would meet. */
static const char *
explanation(const json_t *row, const json_t *repository, json_int_t now)
{
	bool old;

	if (row == NULL && json_is_true(json_object_get(repository, "restored")))
		return "No record, and the ledger was restored from a backup: a push is refused until `tidewaiter tag import` "
		       "of the repository.";
	if (row == NULL)
		return "No record. A push asks the registry first: what it has under the tag is recorded and kept.";
	if (strcmp(tag_text(row, "state"), "confirmed") == 0)
		return "The tag names this digest for good. A push of the same digest is allowed; of another one only with "
		       "OverwriteTag.";
	if (strcmp(tag_text(row, "state"), "deleted") == 0)
		return "The tag was deleted when it named this digest. This digest may be pushed again; another one only with "
		       "OverwriteTag.";
	if (json_is_true(json_object_get(row, "held")))
		return "A push of this digest is on its way. Another one of the same digest waits for it; of another digest it "
		       "is refused.";
	old = now - number(row, "claimed_at") > number(repository, "settle");
	return old
	    ? "A push of this digest was never answered, and nobody holds it. A push of the same digest goes on; one of another "
	      "digest asks the registry and settles it, as `tidewaiter tag release` does."
	    : "A push of this digest was not answered and may still arrive. Only the same digest may be pushed until tags.settle "
	      "has passed.";
}

static void
print_show(const struct command *cmd, const struct tag_name *n, const json_t *row,
    const json_t *repository)
{
	const char *text = explanation(row, repository, (json_int_t)time(NULL)),
		   *old = tag_text(row, "old_digest");
	bool imported = json_is_true(json_object_get(repository, "imported"));
	char when[32];

	if (cmd->options->json) {
		json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O}", "upstream",
		    tag_registry_alias(cmd->config, n->registry), "repository", n->repository,
		    "tag", n->tag, "explanation", text, "record", row, "repository_state",
		    repository);

		tag_print_json(o);
		return;
	}
	printf("%s/%s:%s\n", tag_registry_alias(cmd->config, n->registry), n->repository, n->tag);
	if (row != NULL) {
		printf("  state       %s\n  digest      %s\n", state_word(row),
		    tag_text(row, "digest"));
		if (*old != '\0')
			printf("  stands over %s (%s)\n", old, tag_text(row, "old_state"));
		printf("  since       %s\n  by          %s\n  from        %s\n  event       %s\n",
		    tag_time(number(row, "at"), when), tag_text(row, "who"),
		    tag_text(row, "source"), tag_text(row, "event_id"));
	}
	printf("  repository  %s\n",
	    imported ? "imported: every tag of it is known"
		     : "not imported: deletes by digest are refused");
	printf("%s\n", text);
}

/* The record and what is known of its repository; both the caller's, *row NULL for none. */
static bool
read_record(struct command *cmd, const struct tag_name *n, json_t **row, json_t **repository)
{
	json_t *rq = request_of("tag.list", n);

	*row = *repository = NULL;
	if (rq == NULL || !tag_ask(cmd->client, rq, keep_row, row, NULL))
		return false;
	rq = request_of("tag.repository", n);
	return rq != NULL && tag_ask(cmd->client, rq, NULL, NULL, repository);
}

static int
show(struct command *cmd, const char *what)
{
	json_t *row, *repository;
	struct tag_name name;
	bool ok;

	if (!full_name(cmd, what, true, &name))
		return 1;
	ok = read_record(cmd, &name, &row, &repository);
	if (ok)
		print_show(cmd, &name, row, repository);
	json_decref(row);
	json_decref(repository);
	tag_name_free(&name);
	return ok ? 0 : 1;
}

/* ---- release ---- */

struct seen {
	enum fetch_manifest what;
	char digest[72];
	long status;
};

static void
on_manifest(void *ctx, const struct fetch_answer *a)
{
	struct seen *s = ctx;

	s->what = fetch_manifest_of(a, s->digest);
	s->status = a->status;
}

/* What upstream has under the tag, now; false after a message. */
static bool
look_upstream(const struct command *cmd, const struct tag_name *n, struct seen *s)
{
	struct fetch *f = fetch_new(n->upstream, &cmd->config->limits, 1);
	char *path;
	bool ok;

	memset(s, 0, sizeof *s);
	if (f == NULL || asprintf(&path, "%s/manifests/%s", n->repository, n->tag) < 0) {
		fetch_free(f);
		return false;
	}
	ok = fetch_one(f, path, manifest_accept, cmd->config->limits.manifest, on_manifest, s) &&
	    s->what != FETCH_UNKNOWN;
	if (!ok)
		fprintf(stderr,
		    "tidewaiter tag release: what %s has under the tag could not be learned (status %ld); --force does "
		    "not ask it\n",
		    n->upstream->alias, s->status);
	free(path);
	fetch_free(f);
	return ok;
}

static int
release_record(struct command *cmd, const struct tag_name *n, const json_t *row)
{
	struct seen seen = { .what = FETCH_UNKNOWN };
	json_t *rq, *end;
	bool ok;

	if (row == NULL || strcmp(tag_text(row, "state"), "claimed") != 0) {
		fprintf(stderr,
		    "tidewaiter tag release: %s:%s has no claim: there is nothing to release\n",
		    n->repository, n->tag);
		return 1;
	}
	if (json_is_true(json_object_get(row, "held"))) {
		fprintf(stderr,
		    "tidewaiter tag release: a push of %s:%s is on its way: wait for its end\n",
		    n->repository, n->tag);
		return 1;
	}
	if (!cmd->options->force && !look_upstream(cmd, n, &seen))
		return 1;
	rq = request_of("tag.release", n);
	if (rq == NULL)
		return 1;
	json_object_set_new(rq, "digest", json_string(tag_text(row, "digest")));
	json_object_set_new(rq, "found", json_string(seen.digest));
	json_object_set_new(rq, "force", json_boolean(cmd->options->force));
	ok = tag_ask(cmd->client, rq, NULL, NULL, &end);
	if (ok && cmd->options->json)
		tag_print_json(json_pack("{s:s, s:s, s:s, s:s}", "repository", n->repository, "tag",
		    n->tag, "digest", tag_text(row, "digest"), "became", tag_text(end, "became")));
	else if (ok)
		printf("%s:%s: the claim of %s is %s\n", n->repository, n->tag,
		    tag_text(row, "digest"), tag_text(end, "became"));
	json_decref(end);
	return ok ? 0 : 1;
}

static int
release(struct command *cmd, const char *what)
{
	json_t *row, *repository;
	struct tag_name name;
	int status = 1;

	if (!full_name(cmd, what, true, &name))
		return 1;
	if (read_record(cmd, &name, &row, &repository))
		status = release_record(cmd, &name, row);
	json_decref(row);
	json_decref(repository);
	tag_name_free(&name);
	return status;
}

/* ---- the command line ---- */

static int
run(const struct options *o, int argc, char **argv)
{
	struct command cmd = { .options = o };
	const char *what = argv[0];
	bool importing = strcmp(what, "import") == 0;
	int status = 2;

	cmd.config = config_load(o->file, false);
	if (cmd.config == NULL)
		return 1;
	cmd.client = tag_connect(cmd.config);
	if (cmd.client == NULL)
		status = 1;
	else if (importing)
		status = tag_import(cmd.config, cmd.client, &o->import, argv + 1, argc - 1);
	else if (strcmp(what, "list") == 0)
		status = list(&cmd, argc > 1 ? argv[1] : NULL);
	else if (strcmp(what, "show") == 0)
		status = show(&cmd, argv[1]);
	else if (strcmp(what, "history") == 0)
		status = history(&cmd, argv[1]);
	else if (strcmp(what, "release") == 0)
		status = release(&cmd, argv[1]);
	tag_disconnect(cmd.client);
	config_free(cmd.config);
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	return status;
}

/* Is this a command with as many names as it takes? */
static bool
understood(const struct options *o, int argc, char **argv)
{
	static const struct {
		const char *name;
		int min, max;
	} known[] = { { "list", 1, 2 }, { "show", 2, 2 }, { "history", 2, 2 },
		{ "release", 2, 2 } };

	if (o->file == NULL || argc < 1)
		return false;
	if (strcmp(argv[0], "import") == 0)
		return o->import.all == (argc == 1);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].name, argv[0]) == 0)
			return argc >= known[i].min && argc <= known[i].max;
	return false;
}

static bool
read_jobs(const char *text, unsigned *jobs)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*jobs = (unsigned)n;
	return *end == '\0' && n >= 1 && n <= 64;
}

int
tag_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "force", no_argument, NULL, 'f' },
		{ "all", no_argument, NULL, 'a' },
		{ "verify", no_argument, NULL, 'v' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "jobs", required_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options o = { .import.jobs = 8 };
	bool ok = true;
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt == 'c')
			o.file = optarg;
		o.json = o.json || opt == 'j';
		o.force = o.force || opt == 'f';
		o.import.all = o.import.all || opt == 'a';
		o.import.verify = o.import.verify || opt == 'v';
		o.import.dry_run = o.import.dry_run || opt == 'n';
		ok = ok && opt != '?' && (opt != 'J' || read_jobs(optarg, &o.import.jobs));
	}
	o.import.json = o.json;
	if (!ok || !understood(&o, argc - optind, argv + optind)) {
		fputs(usage, stderr);
		return 2;
	}
	return run(&o, argc - optind, argv + optind);
}
