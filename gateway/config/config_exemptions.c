/*
 * config_exemptions.c - evidence.exceptions, vex and kev: what of vulnerabilities does not count, read from their files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <glob.h>
#include <stdlib.h>

#include "gateway/file.h"
#include "policy/report.h"

#define VEX_FILES_MAX	1024u
#define FILE_MAX	((size_t)32 << 20)
#define MESSAGES	8192u

struct files {
	struct config_reader *reader;
	struct exemptions_source source[VEX_FILES_MAX + 2];
	size_t n;
	bool failed;
};

/* One more source; its name and text are freed with the others. */
static void
add_file(struct files *f, const struct config_place *at, const char *option, const char *path)
{
	struct exemptions_source *s = &f->source[f->n];
	char err[256];
	size_t n;
	char *text = file_read(path, FILE_MAX, &n, err, sizeof err);

	if (text == NULL) {
		config_problem(f->reader, at, option, "%s: %s", path, err);
		f->failed = true;
		return;
	}
	s->name = strdup(path);
	s->text = (struct span){ text, n };
	f->n++;
	f->failed |= s->name == NULL;
}

static void
add_vex(struct files *f, const struct config_place *at, const char *pattern)
{
	glob_t found;
	int rc = glob(pattern, 0, NULL, &found);

	if (rc != 0) {
		config_problem(f->reader, at, "vex", "%s: %s", pattern, rc == GLOB_NOMATCH ? "no such file" : "cannot be searched");
		f->failed = true;
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (f->n == VEX_FILES_MAX) {
			config_problem(f->reader, at, "vex", "more than %u files", VEX_FILES_MAX);
			f->failed = true;
			break;
		}
		add_file(f, at, "vex", found.gl_pathv[i]);
	}
	globfree(&found);
}

/* Lines of "file:line: reason" as problems of those files. */
static void
tell(struct files *f, char *messages)
{
	for (char *line = messages, *next; line != NULL && *line != '\0'; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		for (size_t i = 0; i < f->n; i++) {
			size_t n = strlen(f->source[i].name);
			char *reason;
			long at;

			if (strncmp(line, f->source[i].name, n) != 0 || line[n] != ':')
				continue;
			at = strtol(line + n + 1, &reason, 10);
			if (strncmp(reason, ": ", 2) == 0) {
				config_file_problem(f->reader, f->source[i].name, (int)at, "%s", reason + 2);
				line = NULL;
				break;
			}
		}
		if (line != NULL)
			config_file_problem(f->reader, f->reader->file, 0, "%s", line);
	}
}

void
config_load_exemptions(struct config_reader *r)
{
	struct config_place at = config_place_of(r, SECTION_EVIDENCE, 0);
	struct config *c = r->config;
	struct files *f;
	const struct exemptions_source *exceptions = NULL, *kev = NULL;
	size_t vex = 0;
	char *messages;

	if (c->evidence.exceptions == NULL && c->evidence.kev == NULL && c->evidence.n_vex == 0)
		return;
	f = calloc(1, sizeof *f);
	messages = calloc(1, MESSAGES);
	if (f == NULL || messages == NULL) {
		config_file_problem(r, r->file, 0, "out of memory");
		free(f);
		free(messages);
		return;
	}
	f->reader = r;
	for (size_t i = 0; i < c->evidence.n_vex; i++)
		add_vex(f, &at, c->evidence.vex[i]);
	vex = f->n;
	if (c->evidence.exceptions != NULL) {
		add_file(f, &at, "exceptions", c->evidence.exceptions);
		exceptions = f->n > vex ? &f->source[f->n - 1] : NULL;
	}
	if (c->evidence.kev != NULL) {
		add_file(f, &at, "kev", c->evidence.kev);
		kev = f->failed ? NULL : &f->source[f->n - 1];
	}
	if (!f->failed) {
		c->exemptions = exemptions_new(exceptions, f->source, vex, kev, messages, MESSAGES);
		if (c->exemptions == NULL)
			tell(f, messages);
	}
	for (size_t i = 0; i < f->n; i++) {
		free((char *)(uintptr_t)f->source[i].name);
		free((char *)(uintptr_t)f->source[i].text.p);
	}
	free(f);
	free(messages);
}
