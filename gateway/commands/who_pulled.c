/*
 * who_pulled.c - `tidewaiter who-pulled`: who got an image or a layer, from the audit log.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <getopt.h>
#include <stdlib.h>

#include "gateway/commands/command.h"
#include "gateway/commands/policy/log.h"
#include "gateway/commands/policy/tool.h"
#include "gateway/commands/tag_client.h"
#include "gateway/tags/ledger.h"

#define LISTS_MAX 10000u /* manifests that list it, one in another */
#define LEVELS	  2u	 /* a layer in an image, an image in an index */

static const char usage[] =
    "usage: tidewaiter who-pulled [-c FILE] [--audit DIR] [--since DATE] [--until DATE] [--json] DIGEST\n"
    "\n"
    "Everybody who got these bytes through the gateway: pulls of the manifest or blob itself, by tag or by digest, that\n"
    "were allowed and answered; a line each: time, who, address, repository and tag, client, event id. With -c (which\n"
    "also tells where the audit log is) the tag ledger is asked for images that list it, and for indexes that list\n"
    "those: pulls of them count, with `in` and their digest, because a client that had the layer did not fetch it again.\n"
    "A HEAD is no pull. Where redirects are passed on to clients, the one who was sent to the storage is meant.\n"
    "\n"
    "  -c FILE       gateway.conf\n"
    LOG_USAGE
    "\n"
    "Exit status: 0 somebody did, 3 nobody, 1 a problem, 2 the command line was not understood. An audit log that was cut or\n"
    "moved away says nothing about what was in it: tidewaiter audit verify.\n";

struct lists {
	char (*digest)[LEDGER_DIGEST];	/* the one asked for is the first */
	size_t n;
	bool cut;	/* there were more */
};

struct search {
	struct lists lists;
	bool json;
	uint64_t pulls, broken;
};

/* ---- what lists it ---- */

static bool
known(const struct lists *l, const char *digest)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->digest[i], digest) == 0)
			return true;
	return false;
}

static void
add(struct lists *l, const char *digest)
{
	if (strlen(digest) != LEDGER_DIGEST - 1 || known(l, digest))
		return;
	if (l->n == LISTS_MAX) {
		l->cut = true;
		return;
	}
	memcpy(l->digest[l->n++], digest, LEDGER_DIGEST);
}

static void
on_row(void *ctx, json_t *row)
{
	add(ctx, tag_text(row, "digest"));
}

/* False after saying why. */
static bool
ask_ledger(struct lists *l, const struct config *c)
{
	struct tag_client *client = tag_connect(c);
	size_t from = 0, to = l->n;
	bool ok = client != NULL;

	for (unsigned level = 0; ok && level < LEVELS; level++, from = to, to = l->n)
		for (size_t i = from; ok && i < to; i++)
			ok = tag_ask(client, json_pack("{s:s, s:s}", "verb", "blob.listed", "digest", l->digest[i]), on_row, l, NULL);
	tag_disconnect(client);
	return ok;
}

/* ---- events ---- */

/* Printable: what clients send may be anything. */
static void
say(const char *text)
{
	for (; *text != '\0'; text++)
		putchar(*text >= ' ' && *text <= '~' ? *text : '?');
}

/* Which of them these bytes are; NULL: none. */
static const char *
digest_of(const struct search *s, const json_t *event)
{
	const char *digest = log_text(event, "registry", "digest", NULL), *reference = log_text(event, "registry", "reference", NULL);

	for (size_t i = 0; i < s->lists.n; i++)
		if (strcmp(digest, s->lists.digest[i]) == 0 || strcmp(reference, s->lists.digest[i]) == 0)
			return s->lists.digest[i];
	return NULL;
}

static bool
is_pull(const json_t *event)
{
	const char *action = log_text(event, "action", NULL);
	json_int_t status = json_integer_value(json_object_get(json_object_get(event, "http"), "status"));

	return (strcmp(action, "manifest.get") == 0 || strcmp(action, "blob.get") == 0) &&
	    strcmp(log_text(event, "http", "method", NULL), "GET") == 0 && strcmp(log_text(event, "decision", NULL), "allow") == 0 &&
	    status >= 200 && status < 400 && status != 304;
}

static void
print(const struct search *s, const json_t *event, const char *digest)
{
	const char *tag = log_text(event, "registry", "tag", NULL), *ip = log_text(event, "source", "ip", NULL);
	bool itself = digest == s->lists.digest[0];
	char who[256];

	if (s->json) {
		tag_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s*}", "time", log_text(event, "time", NULL), "who",
		    log_identity(event, who, sizeof who), "ip", ip, "upstream", log_text(event, "registry", "upstream", NULL),
		    "repository", log_text(event, "registry", "repository", NULL), "tag", tag, "action", log_text(event, "action", NULL),
		    "client", log_text(event, "http", "user_agent", NULL), "event", log_text(event, "id", NULL), "in",
		    itself ? NULL : digest));
		return;
	}
	printf("%s  ", log_text(event, "time", NULL));
	say(log_identity(event, who, sizeof who));
	printf("  %s  ", ip);
	say(log_text(event, "registry", "repository", NULL));
	if (*tag != '\0')
		putchar(':');
	say(tag);
	if (!itself)
		printf(" (in %s)", digest);
	printf("  ");
	say(log_text(event, "http", "user_agent", NULL));
	printf("  event %s\n", log_text(event, "id", NULL));
}

static bool
on_line(void *ctx, struct span line)
{
	struct search *s = ctx;
	const char *digest;
	json_t *event;

	/* most lines are neither */
	if (memmem(line.p, line.n, ".get\"", 5) == NULL)
		return true;
	if (s->lists.n == 1 && memmem(line.p, line.n, s->lists.digest[0], LEDGER_DIGEST - 1) == NULL)
		return true;
	event = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	if (event == NULL)
		s->broken++;
	digest = event == NULL || !is_pull(event) ? NULL : digest_of(s, event);
	if (digest != NULL) {
		s->pulls++;
		print(s, event, digest);
	}
	json_decref(event);
	return true;
}

/* ---- the command line ---- */

static int
search(struct log *l, const struct config *c, const char *digest)
{
	struct search s = { .json = l->json };
	char err[512];
	int status = 1;

	s.lists.digest = calloc(LISTS_MAX, sizeof *s.lists.digest);
	if (s.lists.digest == NULL) {
		fputs("tidewaiter who-pulled: out of memory\n", stderr);
		return 1;
	}
	add(&s.lists, digest);
	if (c != NULL && !ask_ledger(&s.lists, c))
		goto done;
	if (s.lists.cut)
		fprintf(stderr, "tidewaiter who-pulled: more than %u manifests list it: not all are looked for\n", LISTS_MAX);
	if (!audit_read(&l->reader, on_line, &s, err, sizeof err)) {
		fprintf(stderr, "tidewaiter who-pulled: %s\n", err);
		goto done;
	}
	if (s.broken + l->reader.broken > 0)
		fputs("tidewaiter who-pulled: some lines are no events: see tidewaiter audit verify\n", stderr);
	status = s.pulls > 0 ? 0 : 3;
	if (fflush(stdout) != 0)
		status = 1;
done:
	free(s.lists.digest);
	return status;
}

static int
run(struct log *l, const char *file, const char *digest)
{
	char text[LEDGER_DIGEST] = "";
	struct config *c = NULL;
	int status;

	if (strlen(digest) == LEDGER_DIGEST - 1)
		memcpy(text, digest, LEDGER_DIGEST);
	if (!ledger_digest_valid(text)) {
		fprintf(stderr, "tidewaiter who-pulled: %s is no digest: sha256: and 64 hexadecimal digits in lower case\n", digest);
		return 2;
	}
	if (file != NULL) {
		c = config_load(file, false);
		if (c == NULL)
			return 1;
		if (l->reader.path == NULL)
			l->reader.path = c->audit_directory;
	}
	status = search(l, c, digest);
	config_free(c);
	return status;
}

int
who_pulled_command(int argc, char **argv)
{
	static const struct option options[] = { LOG_OPTIONS, { 0 } };
	struct log l = { .json = false };
	const char *file = NULL;
	bool ok = true;
	int opt;

	optind = 1;
	while (ok && (opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (opt == 'c')
			file = optarg;
		else
			ok = opt != '?' && log_option(&l, opt, optarg);
	}
	if (!ok || argc - optind != 1 || (file == NULL && l.reader.path == NULL)) {
		fputs(usage, stderr);
		return 2;
	}
	return run(&l, file, argv[optind]);
}
