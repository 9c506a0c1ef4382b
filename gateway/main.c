/*
 * main.c - the command line: which command, and the small ones themselves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include <event2/event.h>
#include <getopt.h>
#include <jansson.h>
#include <libconfig.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "gateway/commands/command.h"
#include "gateway/config/config.h"

static int version_command(int argc, char **argv);
static int help_command(int argc, char **argv);
static int later_command(int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments, *meaning;
} commands[] = {
	{ "run", run_command, "-c FILE [-v]", "serve; SIGTERM drains" },
	{ "check", check_command, "-c FILE", "read the configuration and all it names; change nothing" },
	{ "policy", policy_command, "TOOL ...", "check, test and format policy documents; ask and explain them" },
	{ "tag", tag_command, "list|show|history|release|import ...", "what the tag ledger knows; adopt what a registry has" },
	{ "quarantine", quarantine_command, "add|remove|list|release ...", "digests that nobody gets" },
	{ "who-pulled", who_pulled_command, "DIGEST ...", "who got an image or a layer, when, from where" },
	{ "audit", audit_command, "verify ...", "verify the chain of audit events" },
	{ "detect", later_command, "...", "not served yet" },
	{ "token", token_command, "keygen|mint|verify ...", "keys and tokens for tests and demonstrations" },
	{ "credential-provider", provider_command, "< REQUEST", "for the kubelet: a pod's own token as its login" },
	{ "docker-credential", helper_command, "get ...", "for docker and others: the token of a CI job as a login" },
	{ "probe", probe_command, "[-p PATH] ADDRESS:PORT", "ask the admin listener of a running gateway; 0 if it is well" },
	{ "version", version_command, "", "this program and its libraries" },
	{ "help", help_command, "[options]", "this text; every option of the configuration file" },
};

#define N_COMMANDS	(sizeof commands / sizeof *commands)

static void
print_help(FILE *out)
{
	fputs("tidewaiter - a security gateway in front of an OCI registry\n\n"
	    "usage: tidewaiter COMMAND [ARGUMENTS]\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %-24s %s\n", commands[i].name, commands[i].arguments, commands[i].meaning);
	fputs("\nA first look: copy gateway.conf.example, edit its paths, then\n\n"
	    "  tidewaiter check -c gateway.conf\n"
	    "  tidewaiter run -c gateway.conf\n\n"
	    "Problems are written to standard error as file:line: reason, all of them at once.\n"
	    "Exit status: 0 fine, 1 a problem, 2 the command line was not understood.\n", out);
}

static int
help_command(int argc, char **argv)
{
	if (argc == 1) {
		print_help(stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "options") == 0) {
		config_print_options();
		return 0;
	}
	fputs("usage: tidewaiter help [options]\n", stderr);
	return 2;
}

static int
version_command(int argc, char **argv)
{
	char pcre2[64] = "";

	(void)argv;
	if (argc != 1) {
		fputs("usage: tidewaiter version\n", stderr);
		return 2;
	}
	pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
	printf("tidewaiter %s\n", TW_VERSION);
	printf("libevent %s\n%s\njansson %s\nPCRE2 %s\nlibconfig %d.%d.%d\nSQLite %s\n", event_get_version(),
	    OpenSSL_version(OPENSSL_VERSION), jansson_version_str(), pcre2, LIBCONFIG_VER_MAJOR,
	    LIBCONFIG_VER_MINOR, LIBCONFIG_VER_REVISION, sqlite3_libversion());
	return 0;
}

static int
later_command(int argc, char **argv)
{
	(void)argc;
	fprintf(stderr, "tidewaiter: %s is not served yet; `tidewaiter help` lists what is\n", argv[0]);
	return 2;
}

int
check_command(int argc, char **argv)
{
	static const char usage[] = "usage: tidewaiter check -c FILE\n";
	const char *file = NULL;
	struct config *c;
	int opt;

	optind = 1;
	while ((opt = getopt(argc, argv, "c:h")) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt != 'c') {
			fputs(usage, stderr);
			return 2;
		}
		file = optarg;
	}
	if (file == NULL || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	c = config_load(file, false);
	if (c == NULL)
		return 1;
	printf("%s: ok (%zu upstreams, %zu issuers, %zu statements)\n", file, c->n_upstream, c->n_issuer,
	    policy_statements(c->policy));
	config_free(c);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *name = argc < 2 ? "" : argv[1], *self = argc < 1 ? NULL : strrchr(argv[0], '/');

	/* docker calls its helpers by name */
	self = self != NULL ? self + 1 : argc < 1 ? "" : argv[0];
	if (strncmp(self, "docker-credential-", strlen("docker-credential-")) == 0)
		return helper_command(argc, argv);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (*name != '\0')
		fprintf(stderr, "tidewaiter: no command %s\n\n", name);
	print_help(stderr);
	return 2;
}
