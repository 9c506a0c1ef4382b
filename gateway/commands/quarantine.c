/*
 * quarantine.c - `tidewaiter quarantine`: digests that nobody gets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdlib.h>

#include "gateway/commands/command.h"
#include "gateway/commands/tag_client.h"
#include "gateway/tags/ledger.h"

struct options {
	const char *file, *reason;
	bool json;
};

struct command {
	const struct options *options;
	struct config *config;
	struct tag_client *client;
};

static const char usage[] =
    "usage: tidewaiter quarantine add     -c FILE [--reason TEXT] DIGEST\n"
    "       tidewaiter quarantine remove  -c FILE DIGEST\n"
    "       tidewaiter quarantine list    -c FILE [--json]\n"
    "       tidewaiter quarantine release -c FILE [UPSTREAM/]REPOSITORY DIGEST\n"
    "\n"
    "A digest in quarantine is given to nobody, in no repository of no upstream: neither as a manifest nor as a blob,\n"
    "nor an index that lists it. A running gateway is told over its control socket and knows at once, downloads that\n"
    "run are cut; when none runs, the next start knows. What a registry's storage was asked for directly, by a URL that\n"
    "the gateway had passed on before, is out of its reach.\n"
    "\n"
    "add       DIGEST is sha256:..., of an image, an index, a config or a layer\n"
    "remove    it is a digest like any other again\n"
    "list      all that is blocked, the oldest first: what operators quarantined, and pushes whose evidence is not there\n"
    "          yet (pending) or was not good (failed)\n"
    "release   ends a pending or failed block in one repository, whatever its evidence is\n"
    "\n"
    "  --reason TEXT  kept with it, and told in the audit log\n"
    "  --json         one JSON object a line\n"
    "\n"
    "Exit status: 0 fine, 1 a problem, 2 the command line was not understood. After `add` see tidewaiter who-pulled.\n";

static bool
is_digest(const char *text)
{
	char digest[LEDGER_DIGEST] = "";

	if (strlen(text) == LEDGER_DIGEST - 1)
		memcpy(digest, text, LEDGER_DIGEST);
	if (ledger_digest_valid(digest))
		return true;
	fprintf(stderr, "tidewaiter quarantine: %s is no digest: sha256: and 64 hexadecimal digits in lower case\n", text);
	return false;
}

/* Asks, and says what became of it: one text when it was blocked before, another one when not. */
static int
change(struct command *cmd, json_t *request, const char *digest, const char *was_blocked, const char *was_not)
{
	json_t *end;
	bool was;

	if (request == NULL || !tag_ask(cmd->client, request, NULL, NULL, &end))
		return 1;
	was = json_is_true(json_object_get(end, "was"));
	json_decref(end);
	if (cmd->options->json)
		tag_print_json(json_pack("{s:s, s:b}", "digest", digest, "was", was));
	else
		printf("%s %s\n", digest, was ? was_blocked : was_not);
	return 0;
}

static int
end_block(struct command *cmd, json_t *request, const char *digest)
{
	return change(cmd, request, digest, "is no longer blocked", "was not blocked");
}

static int
add(struct command *cmd, char **args)
{
	if (!is_digest(args[0]))
		return 1;
	return change(cmd, json_pack("{s:s, s:s, s:s}", "verb", "quarantine.add", "digest", args[0], "reason",
	    cmd->options->reason == NULL ? "" : cmd->options->reason), args[0], "was quarantined already", "is quarantined");
}

static int
remove_one(struct command *cmd, char **args)
{
	if (!is_digest(args[0]))
		return 1;
	return end_block(cmd, json_pack("{s:s, s:s}", "verb", "quarantine.remove", "digest", args[0]), args[0]);
}

static int
release(struct command *cmd, char **args)
{
	struct tag_name name;
	int status = 1;

	if (!is_digest(args[1]))
		return 1;
	if (!tag_name_parse(cmd->config, args[0], &name))
		fputs("tidewaiter quarantine: out of memory\n", stderr);
	else if (name.registry == NULL)
		fprintf(stderr, "tidewaiter quarantine: no upstream of %s serves %s\n", cmd->options->file, args[0]);
	else
		status = end_block(cmd, json_pack("{s:s, s:s, s:s, s:s}", "verb", "quarantine.release", "registry", name.registry,
		    "repository", name.repository, "digest", args[1]), args[1]);
	tag_name_free(&name);
	return status;
}

static void
print_row(void *ctx, json_t *row)
{
	const struct command *cmd = ctx;
	const char *registry = tag_text(row, "registry");
	char at[32];

	if (cmd->options->json) {
		tag_print_json(json_incref(row));
		return;
	}
	printf("%s  %-11s  %s  %s%s%s  %s%s%s\n", tag_text(row, "digest"), tag_text(row, "kind"),
	    tag_time(json_integer_value(json_object_get(row, "at")), at),
	    *registry == '\0' ? "everywhere" : tag_registry_alias(cmd->config, registry), *registry == '\0' ? "" : "/",
	    tag_text(row, "repository"), tag_text(row, "who"), *tag_text(row, "reason") == '\0' ? "" : ": ", tag_text(row, "reason"));
}

static int
list(struct command *cmd, char **args)
{
	(void)args;
	return tag_ask(cmd->client, json_pack("{s:s}", "verb", "quarantine.list"), print_row, cmd, NULL) ? 0 : 1;
}

static const struct {
	const char *name;
	int (*run)(struct command *cmd, char **args);
	int args;
} tools[] = {
	{ "add", add, 1 },
	{ "remove", remove_one, 1 },
	{ "list", list, 0 },
	{ "release", release, 2 },
};

static int
run(const struct options *o, int argc, char **argv)
{
	struct command cmd = { .options = o };
	int status = 2;

	for (size_t i = 0; i < sizeof tools / sizeof *tools && argc > 0; i++) {
		if (strcmp(argv[0], tools[i].name) != 0 || argc != tools[i].args + 1)
			continue;
		cmd.config = config_load(o->file, false);
		if (cmd.config == NULL)
			return 1;
		cmd.client = tag_connect(cmd.config);
		status = cmd.client == NULL ? 1 : tools[i].run(&cmd, argv + 1);
	}
	if (status == 2)
		fputs(usage, stderr);
	tag_disconnect(cmd.client);
	config_free(cmd.config);
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	return status;
}

int
quarantine_command(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "reason", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options o = { .json = false };
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
		if (opt == 'r')
			o.reason = optarg;
		o.json = o.json || opt == 'j';
		ok = ok && opt != '?';
	}
	if (!ok || o.file == NULL) {
		fputs(usage, stderr);
		return 2;
	}
	return run(&o, argc - optind, argv + optind);
}
