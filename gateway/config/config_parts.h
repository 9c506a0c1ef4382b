/*
 * config_parts.h - what the files of the configuration reader share; nobody else includes this.
 *
 * Stages: config_text (bytes libconfig would misread) -> libconfig -> config_table (types, ranges, defaults)
 * -> config_check (values against each other) -> config_files (what the values name). Each stage reports all
 * it finds; only bytes that cannot be parsed end the reading early.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_CONFIG_PARTS_H
#define TW_CONFIG_PARTS_H

#include <libconfig.h>
#include <stdio.h>

#include "gateway/config/config.h"

#define CONFIG_FILE_MAX		(1u << 20)	/* gateway.conf or a JWKS file */

enum config_section {
	SECTION_ROOT = 0,
	SECTION_LISTEN,
	SECTION_UPSTREAM,
	SECTION_ISSUER,
	SECTION_TOKEN_SERVICE,
	SECTION_ACCOUNTS,
	SECTION_POLICY,
	SECTION_TAGS,
	SECTION_EVIDENCE,
	SECTION_MALWARE,
	SECTION_SCANNER,
	SECTION_TRUST,
	SECTION_ADAPTER,
	SECTION_AUDIT,
	SECTION_ADMIN,
	SECTION_LIMITS,
	SECTION_MAX
};

struct config_reader {
	const char *file;
	FILE *out;			/* problems go here; NULL: only counted */
	unsigned problems;
	config_t tree;
	struct config *config;
};

/* Where a setting stands: the group that holds it and what the user calls that group. */
struct config_place {
	enum config_section section;
	const config_setting_t *group;	/* NULL: the file does not have it */
	const char *alias;		/* of an upstream, issuer, scanner or trust */
};

/* ---- config.c ---- */
/*
 * Everything that needs no other file: text -> tree -> table -> checks. False when the text cannot be parsed at
 * all; else look at r->problems. r->tree must be initialised and r->config empty with its arena.
 */
bool config_parse(struct config_reader *r, struct span text) NONNULL(1);
/* An empty configuration with an arena; NULL when out of memory. */
struct config *config_new(void) WUNRES;
/* Write "file:line: section.option: reason". option NULL: the section itself. */
void config_problem(struct config_reader *r, const struct config_place *at, const char *option, const char *fmt, ...)
    NONNULL(1, 2, 4) PRINTF(4, 5);
/* Same for what is unwise but works: it does not count. */
void config_warning(struct config_reader *r, const struct config_place *at, const char *option, const char *fmt, ...)
    NONNULL(1, 2, 4) PRINTF(4, 5);
/* A problem of a file as such. line 0: of the whole file. */
void config_file_problem(struct config_reader *r, const char *file, int line, const char *fmt, ...)
    NONNULL(1, 2, 4) PRINTF(4, 5);
/* Same for what is unwise but works. */
void config_file_warning(struct config_reader *r, const char *file, int line, const char *fmt, ...)
    NONNULL(1, 2, 4) PRINTF(4, 5);
/* The n-th element of a section: n = 0 for those that are one group. */
struct config_place config_place_of(const struct config_reader *r, enum config_section section, size_t n)
    NONNULL(1);
/* Copies in the arena of the configuration; NULL when out of memory. */
char *config_string(struct config *c, struct span s) NONNULL(1) WUNRES;
char *config_printf(struct config *c, const char *fmt, ...) NONNULL(1, 2) PRINTF(2, 3) WUNRES;

/* ---- config_text.c ---- */
/* False, after a problem, for bytes that libconfig would read in another way than a person. */
bool config_text_check(struct config_reader *r, struct span text) NONNULL(1);

/* ---- config_options.c ---- */
enum config_shape { SHAPE_GROUP = 0, SHAPE_NAMED, SHAPE_LIST };	/* {...}, { name = {...} }, ({...}, {...}) */

enum config_type {
	OPTION_STRING = 0,
	OPTION_STRINGS,		/* list of strings: char ** and a size_t */
	OPTION_SIZE,		/* bytes */
	OPTION_TIME,		/* kept in milliseconds by an unsigned, in seconds by an int64_t */
	OPTION_BOOL,
	OPTION_INT,
	OPTION_WORD,		/* one of words */
	OPTION_WORDS,		/* list of words, each a bit */
};

struct config_word {		/* the last one has no name */
	const char *name;
	unsigned value;
	bool served;		/* false: known, but not in this release */
};

struct config_option {
	enum config_section section;
	enum config_type type;
	const char *name;
	const char *fallback;	/* NULL: must be given; "" for strings and lists: none */
	const char *min, *max;	/* NULL: no range */
	const struct config_word *words;
	size_t offset, width;	/* in the structure of the section; width 0: checked, not kept */
	size_t count;		/* lists: offset of their length */
	bool later;		/* only the default is served in this release */
	const char *meaning;
};
extern const struct config_option config_options[];
extern const size_t config_n_options;

/* "upstream", "limits", ...; "" for the top level. */
const char *config_section_name(enum config_section s) RETURNS_NONNULL PURE;
enum config_shape config_section_shape(enum config_section s) PURE;
/* "upstream.*.url". */
void config_option_path(const struct config_option *o, char *buf, size_t size) NONNULL(1, 2);
void config_print_options_to(FILE *out) NONNULL(1);

/* ---- config_table.c ---- */
/* Fill r->config from r->tree: types, ranges, defaults. */
void config_table_read(struct config_reader *r) NONNULL(1);

/* ---- config_check.c ---- */
void config_check(struct config_reader *r) NONNULL(1);

/* ---- config_evidence.c ---- */
void config_check_evidence(struct config_reader *r) NONNULL(1);
void config_load_evidence(struct config_reader *r) NONNULL(1);
/* ---- config_exemptions.c ---- */
/* config->exemptions, of the files that the section evidence names. */
void config_load_exemptions(struct config_reader *r) NONNULL(1);

/* ---- config_signers.c ---- */
/* config->trust_store, of the section trust. */
void config_load_signers(struct config_reader *r) NONNULL(1);

/* ---- config_issuer.c ---- */
void config_check_issuers(struct config_reader *r) NONNULL(1);
void config_load_issuers(struct config_reader *r) NONNULL(1);

/* ---- config_files.c ---- */
void config_files_load(struct config_reader *r, bool create) NONNULL(1);

/* Works, but somebody else on this machine may have it: a warning. */
void config_warn_if_open(struct config_reader *r, const struct config_place *at, const char *option, const char *path)
    NONNULL(1, 2, 3, 4);

/* ---- config_tokens.c ---- */
/* Keys of the gateway's own tokens, the deny list. With create, and without a problem so far, a missing key is made. */
void config_tokens_load(struct config_reader *r, bool create) NONNULL(1);

/* ---- config_value.c ---- */
/* "512", "64 KiB"; "500 ms", "30 s", "15 min", "1 h" in milliseconds. False when malformed or too large. */
bool config_size_parse(struct span s, uint64_t *bytes) NONNULL(2) WUNRES;
bool config_time_parse(struct span s, uint64_t *ms) NONNULL(2) WUNRES;

struct config_url {
	bool tls;			/* https */
	bool ipv6;			/* the host stood in brackets */
	struct span host;		/* as written, without brackets */
	unsigned port;			/* the scheme's default when none was written */
	struct span path;		/* as written; may be empty */
};
/* "http(s)://host[:port][/path]", no user information, query or fragment. NULL, or why not. */
const char *config_url_parse(struct span s, struct config_url *out) NONNULL(2) WUNRES;
/* "https://host:port" in lower case, the default port left out; NULL when out of memory. */
char *config_url_origin(struct config *c, const struct config_url *u) NONNULL(1, 2) WUNRES;
/* "10.0.0.1:5443", "[::]:5443". NULL, or why not. */
const char *config_address_check(const char *s) NONNULL(1) WUNRES;
/* A DNS name or an IPv4 address (RFC 1123 section 2.1). */
bool config_host_valid(struct span s) WUNRES;
/* "localhost", 127.0.0.0/8, ::1: a connection to it stays on this machine. */
bool config_host_loopback(struct span s) WUNRES;

#endif
