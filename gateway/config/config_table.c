/*
 * config_table.c - the walk of the libconfig tree through the table of options.
 *
 * Every setting of the tree meets its row or is reported; every row meets its setting or its default.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/config/config_parts.h"

#include <stdlib.h>

#define ALIAS_MAX	64u
#define NAME_MAX_BYTES	64u	/* names longer than this are not compared */

/* One setting being read. */
struct reading {
	struct config_reader *r;
	const struct config_place *at;
	const struct config_option *option;
	unsigned char *base;	/* the structure to fill */
};

#define COMPLAIN(rd, ...)	config_problem((rd)->r, (rd)->at, (rd)->option->name, __VA_ARGS__)

/* ---- unknown names ---- */

/* Levenshtein distance. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_BYTES + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > NAME_MAX_BYTES || m > NAME_MAX_BYTES)
		return NAME_MAX_BYTES;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[m];
}

static void
nearer(const char *name, const char *candidate, const char **best, unsigned *best_distance)
{
	unsigned d = distance(name, candidate);

	if (d < *best_distance) {
		*best = candidate;
		*best_distance = d;
	}
}

static void
unknown(struct config_reader *r, const struct config_place *at, const char *name)
{
	unsigned d = (unsigned)strlen(name) / 2 + 1;	/* farther than this is no help */
	const char *best = NULL;

	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == at->section)
			nearer(name, config_options[i].name, &best, &d);
	if (at->section == SECTION_ROOT)
		for (unsigned s = SECTION_ROOT + 1; s < SECTION_MAX; s++)
			nearer(name, config_section_name((enum config_section)s), &best, &d);
	if (best != NULL)
		config_problem(r, at, name, "unknown option, did you mean %s?", best);
	else
		config_problem(r, at, name, "unknown option");
}

static const struct config_option *
option_find(enum config_section section, const char *name)
{
	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == section && strcmp(config_options[i].name, name) == 0)
			return &config_options[i];
	return NULL;
}

static enum config_section
section_find(const char *name)
{
	for (unsigned s = SECTION_ROOT + 1; s < SECTION_MAX; s++)
		if (strcmp(config_section_name((enum config_section)s), name) == 0)
			return (enum config_section)s;
	return SECTION_ROOT;
}

static void
unknown_names(struct config_reader *r, const struct config_place *at)
{
	int n = config_setting_length(at->group);

	for (int i = 0; i < n; i++) {
		const char *name = config_setting_name(config_setting_get_elem(at->group, (unsigned)i));

		if (option_find(at->section, name) == NULL &&
		    (at->section != SECTION_ROOT || section_find(name) == SECTION_ROOT))
			unknown(r, at, name);
	}
}

/* ---- values ---- */

static void
keep(const struct reading *rd, const void *value, size_t size)
{
	if (rd->option->width > 0)
		memcpy(rd->base + rd->option->offset, value, size);
}

/* A string of the file. Escapes can still put control characters in; no option has a use for them. */
static const char *
plain(const struct reading *rd, const config_setting_t *s)
{
	const char *text = config_setting_get_string(s);

	for (const char *p = text; p != NULL && *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			COMPLAIN(rd, "control character in a string");
			return NULL;
		}
	}
	return text;
}

/* The text of a setting that must be a string, or the default. NULL after a problem. */
static const char *
text_of(const struct reading *rd, const config_setting_t *s, const char *expected)
{
	if (s == NULL)
		return rd->option->fallback;
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		COMPLAIN(rd, "must be %s", expected);
		return NULL;
	}
	return plain(rd, s);
}

static bool
not_later(const struct reading *rd, bool is_default)
{
	if (rd->option->later && !is_default)
		COMPLAIN(rd, "not served yet; leave it out");
	return !rd->option->later;
}

static void
read_string(const struct reading *rd, const config_setting_t *s)
{
	const char *text = text_of(rd, s, "a string, in double quotes");
	char *copy;

	if (text == NULL || !not_later(rd, *text == '\0'))
		return;
	if (rd->option->fallback == NULL && *text == '\0') {
		COMPLAIN(rd, "must not be empty");
		return;
	}
	copy = config_string(rd->r->config, span_of(text));
	keep(rd, &copy, sizeof copy);
}

/* The n-th string of a list, or the default as a list of one. NULL after a problem. */
static const char *
item(const struct reading *rd, const config_setting_t *s, unsigned n)
{
	const config_setting_t *e;

	if (s == NULL)
		return rd->option->fallback;
	e = config_setting_get_elem(s, n);
	if (config_setting_type(e) != CONFIG_TYPE_STRING) {
		COMPLAIN(rd, "every element must be a string, in double quotes");
		return NULL;
	}
	if (*config_setting_get_string(e) == '\0') {
		COMPLAIN(rd, "an element must not be empty");
		return NULL;
	}
	return plain(rd, e);
}

/* How many strings a list (or its default) has; SIZE_MAX after a problem. */
static size_t
items(const struct reading *rd, const config_setting_t *s)
{
	if (s == NULL)
		return *rd->option->fallback != '\0';
	if (config_setting_type(s) != CONFIG_TYPE_ARRAY && config_setting_type(s) != CONFIG_TYPE_LIST) {
		COMPLAIN(rd, "must be a list of strings, as in [\"a\", \"b\"]");
		return SIZE_MAX;
	}
	if (rd->option->fallback == NULL && config_setting_length(s) == 0) {
		COMPLAIN(rd, "must not be empty");
		return SIZE_MAX;
	}
	return (size_t)config_setting_length(s);
}

static void
read_strings(const struct reading *rd, const config_setting_t *s)
{
	size_t n = items(rd, s), kept = 0;
	char **list;

	if (n == SIZE_MAX || !not_later(rd, n == 0))
		return;
	list = arena_zalloc(rd->r->config->arena, n + 1, sizeof *list);
	if (list == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		const char *text = item(rd, s, (unsigned)i);

		if (text == NULL)
			continue;
		list[kept] = config_string(rd->r->config, span_of(text));
		if (list[kept] != NULL)
			kept++;
	}
	keep(rd, &list, sizeof list);
	memcpy(rd->base + rd->option->count, &kept, sizeof kept);
}

static void
read_bool(const struct reading *rd, const config_setting_t *s)
{
	bool value = strcmp(rd->option->fallback, "true") == 0;

	if (s != NULL && config_setting_type(s) != CONFIG_TYPE_BOOL) {
		COMPLAIN(rd, "must be true or false, without quotes");
		return;
	}
	if (s != NULL && !not_later(rd, (config_setting_get_bool(s) != 0) == value))
		return;
	if (s != NULL)
		value = config_setting_get_bool(s) != 0;
	keep(rd, &value, sizeof value);
}

static const struct config_word *
word_find(const struct reading *rd, const char *text)
{
	const struct config_word *nearest = NULL;

	for (const struct config_word *w = rd->option->words; w->name != NULL; w++) {
		if (strcmp(w->name, text) == 0) {
			if (w->served)
				return w;
			COMPLAIN(rd, "\"%s\" is not served yet; use \"%s\"", text, rd->option->fallback);
			return NULL;
		}
		if (nearest == NULL && w->served && distance(w->name, text) <= 2)
			nearest = w;
	}
	if (nearest != NULL)
		COMPLAIN(rd, "unknown value \"%s\", did you mean \"%s\"?", text, nearest->name);
	else
		COMPLAIN(rd, "unknown value \"%s\"", text);
	return NULL;
}

static void
read_word(const struct reading *rd, const config_setting_t *s)
{
	const char *text = text_of(rd, s, "a word in double quotes");
	const struct config_word *w = text == NULL ? NULL : word_find(rd, text);

	if (w != NULL)
		keep(rd, &w->value, sizeof w->value);
}

static void
read_words(const struct reading *rd, const config_setting_t *s)
{
	size_t n = items(rd, s);
	unsigned bits = 0;

	if (n == SIZE_MAX)
		return;
	if (n == 0)
		COMPLAIN(rd, "must not be empty");
	for (size_t i = 0; i < n; i++) {
		const char *text = item(rd, s, (unsigned)i);
		const struct config_word *w = text == NULL ? NULL : word_find(rd, text);

		bits |= w == NULL ? 0 : w->value;
	}
	keep(rd, &bits, sizeof bits);
}

/* ---- numbers ---- */

static bool
parse_number(const struct config_option *o, const char *text, uint64_t *out)
{
	if (o->type == OPTION_TIME)
		return config_time_parse(span_of(text), out);
	return config_size_parse(span_of(text), out);	/* a bare number is a size too */
}

static void
keep_number(const struct reading *rd, uint64_t value)
{
	unsigned narrow = (unsigned)value;
	uint64_t wide = value;

	if (rd->option->type == OPTION_TIME)
		wide = value / 1000;
	if (rd->option->width == sizeof narrow)
		keep(rd, &narrow, sizeof narrow);
	else
		keep(rd, &wide, sizeof wide);
}

/* How a size or a time is written, for those who wrote it otherwise. */
static const char *
examples(enum config_type type)
{
	return type == OPTION_TIME ? "\"500 ms\", \"30 s\", \"15 min\", \"1 h\"" :
	    "\"512\", \"64 KiB\", \"4 MiB\", \"1 GiB\"";
}

static bool
integer_of(const struct reading *rd, const config_setting_t *s, uint64_t *out, char shown[static 40])
{
	long long number;

	if (config_setting_type(s) != CONFIG_TYPE_INT && config_setting_type(s) != CONFIG_TYPE_INT64) {
		COMPLAIN(rd, "must be a number, without quotes");
		return false;
	}
	number = config_setting_get_int64(s);
	snprintf(shown, 40, "%lld", number);
	*out = number < 0 ? UINT64_MAX : (uint64_t)number;	/* out of every range */
	return true;
}

/* The number of a setting; false after a problem. `shown` is how the user wrote it. */
static bool
number_of(const struct reading *rd, const config_setting_t *s, uint64_t *out, char shown[static 40])
{
	enum config_type type = rd->option->type;
	const char *kind = type == OPTION_TIME ? "time" : "size";
	const char *text;

	if (type == OPTION_INT)
		return integer_of(rd, s, out, shown);
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		COMPLAIN(rd, "must be a %s in double quotes, as in %s", kind, examples(type));
		return false;
	}
	text = plain(rd, s);
	if (text == NULL)
		return false;
	snprintf(shown, 40, "\"%.37s\"", text);
	if (parse_number(rd->option, text, out))
		return true;
	COMPLAIN(rd, "%s is not a %s; write it as in %s", shown, kind, examples(type));
	return false;
}

static void
read_number(const struct reading *rd, const config_setting_t *s)
{
	const struct config_option *o = rd->option;
	uint64_t value, fallback, min, max;
	char shown[40];

	if (!parse_number(o, o->fallback, &fallback))
		abort();	/* the table is wrong; test_config reads all of it */
	keep_number(rd, fallback);	/* later checks then have something sensible after a problem too */
	value = fallback;
	if (s != NULL && !number_of(rd, s, &value, shown))
		return;
	if (!not_later(rd, value == fallback))
		return;
	if (!parse_number(o, o->min, &min) || !parse_number(o, o->max, &max))
		abort();
	if (value < min || value > max) {
		COMPLAIN(rd, "%s is out of range (%s to %s)", shown, o->min, o->max);
		return;
	}
	keep_number(rd, value);
}

/* ---- the walk ---- */

static void
read_option(const struct reading *rd, const config_setting_t *s)
{
	if (s == NULL && rd->option->fallback == NULL) {
		config_problem(rd->r, rd->at, NULL, "%s is missing", rd->option->name);
		return;
	}
	switch (rd->option->type) {
	case OPTION_STRING:
		read_string(rd, s);
		break;
	case OPTION_STRINGS:
		read_strings(rd, s);
		break;
	case OPTION_SIZE:
	case OPTION_TIME:
	case OPTION_INT:
		read_number(rd, s);
		break;
	case OPTION_BOOL:
		read_bool(rd, s);
		break;
	case OPTION_WORD:
		read_word(rd, s);
		break;
	case OPTION_WORDS:
		read_words(rd, s);
		break;
	}
}

/* One group with options, to one structure. */
static void
read_group(struct config_reader *r, const struct config_place *at, void *base)
{
	if (at->group != NULL)
		unknown_names(r, at);
	for (size_t i = 0; i < config_n_options; i++) {
		const struct config_option *o = &config_options[i];
		struct reading rd = { r, at, o, base };

		if (o->section == at->section)
			read_option(&rd, at->group == NULL ? NULL : config_setting_get_member(at->group, o->name));
	}
}

/* Where the elements of a section with several are kept; each begins with its alias, but those of listen. */
struct row_store {
	void *rows;		/* where the pointer to the first one is */
	size_t *n, size;
};

static struct row_store
store_of(struct config *c, enum config_section section)
{
	switch ((int)section) {
	case SECTION_LISTEN:
		return (struct row_store){ &c->listen, &c->n_listen, sizeof *c->listen };
	case SECTION_UPSTREAM:
		return (struct row_store){ &c->upstream, &c->n_upstream, sizeof *c->upstream };
	case SECTION_SCANNER:
		return (struct row_store){ &c->scanner, &c->n_scanner, sizeof *c->scanner };
	case SECTION_TRUST:
		return (struct row_store){ &c->trust, &c->n_trust, sizeof *c->trust };
	default:
		return (struct row_store){ &c->issuer, &c->n_issuer, sizeof *c->issuer };
	}
}

/* The next of them; elements stay in the order of the file. */
static void *
next_room(struct config *c, enum config_section section, const char *alias)
{
	struct row_store s = store_of(c, section);
	char *copy = alias == NULL ? NULL : config_string(c, span_of(alias)), *row;

	memcpy(&row, s.rows, sizeof row);
	row += (*s.n)++ * s.size;
	if (section != SECTION_LISTEN)
		memcpy(row, &copy, sizeof copy);
	return row;
}

/* Aliases stand in policies, as in repo:<alias>/..., where * would be a pattern. */
static void
check_alias(struct config_reader *r, const struct config_place *at)
{
	if (strchr(at->alias, '*') != NULL || strlen(at->alias) > ALIAS_MAX)
		config_problem(r, at, NULL, "a name is at most %u letters, digits, - and _", ALIAS_MAX);
}

/* What an element must have, for who wrote something else. */
static const char *
must_have(enum config_section section)
{
	for (size_t i = 0; i < config_n_options; i++)
		if (config_options[i].section == section)
			return config_options[i].name;
	return "";
}

/* The elements of listen, upstream, issuer, scanner or trust. */
static void
read_elements(struct config_reader *r, enum config_section section, const config_setting_t *all)
{
	size_t n = (size_t)config_setting_length(all);
	struct row_store s = store_of(r->config, section);
	void *rows = arena_zalloc(r->config->arena, n + 1, s.size);

	if (rows == NULL)
		return;
	memcpy(s.rows, &rows, sizeof rows);
	for (size_t i = 0; i < n; i++) {
		struct config_place at = config_place_of(r, section, i);

		void *room = next_room(r->config, section, at.alias);

		if (at.alias != NULL)
			check_alias(r, &at);
		if (config_setting_type(at.group) == CONFIG_TYPE_GROUP)
			read_group(r, &at, room);
		else
			config_problem(r, &at, NULL, "must be a group, as in { %s = ...; }", must_have(section));
	}
}

/* Is the section written in its shape? An empty list may be written [] too. */
static bool
section_fits(struct config_reader *r, const struct config_place *at)
{
	const char *name = config_section_name(at->section);
	int type = config_setting_type(at->group);

	switch (config_section_shape(at->section)) {
	case SHAPE_GROUP:
		if (type == CONFIG_TYPE_GROUP)
			return true;
		config_problem(r, at, NULL, "must be a group, as in %s = { ... };", name);
		return false;
	case SHAPE_NAMED:
		if (type == CONFIG_TYPE_GROUP)
			return true;
		config_problem(r, at, NULL, "must be a group of named groups, as in %s = { name = { ... }; };", name);
		return false;
	case SHAPE_LIST:
		if (type == CONFIG_TYPE_LIST || (type == CONFIG_TYPE_ARRAY && config_setting_length(at->group) == 0))
			return true;
		config_problem(r, at, NULL, "must be a list of groups, as in %s = ( { ... }, { ... } );", name);
		return false;
	}
	return false;
}

static void
read_section(struct config_reader *r, enum config_section section)
{
	const config_setting_t *root = config_root_setting(&r->tree);
	struct config_place at = { section, config_setting_get_member(root, config_section_name(section)), NULL };

	if (at.group != NULL && !section_fits(r, &at))
		return;
	if (config_section_shape(section) == SHAPE_GROUP)
		read_group(r, &at, r->config);
	else if (at.group != NULL)
		read_elements(r, section, at.group);
}

void
config_table_read(struct config_reader *r)
{
	struct config_place root = { SECTION_ROOT, config_root_setting(&r->tree), NULL };

	read_group(r, &root, r->config);
	for (unsigned s = SECTION_ROOT + 1; s < SECTION_MAX; s++)
		read_section(r, (enum config_section)s);
}
