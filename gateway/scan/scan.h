/*
 * scan.h - one blob looked through for malware and secrets, on a thread that may wait.
 *
 * The blob comes as bytes of whatever it is: a tar, plain or compressed with gzip (of several members, eStargz), zstd (several
 * frames), bzip2 or xz, told by its first bytes as runtimes do, and not by its media type; or anything else, scanned as it is. It
 * is unpacked here, within bounds; libyara and, where it is configured, clamd see what is inside. What a runtime would unpack
 * and this cannot is an error, never a pass.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_SCAN_H
#define TW_SCAN_H

#include "gateway/config/config.h"

/* Rules compiled, clamd known to be fit. Immutable; any number of threads scan with one. */
struct engine;

/*
 * Of malware {} in the configuration. NULL with reasons ("file:line: ...", a line each) when a rule does not compile. An
 * engine without rules and clamd is no engine: config_scans() is false, and this is not called.
 */
struct engine *engine_new(const struct config *c, char *err, size_t err_size) NONNULL(1, 2) WUNRES;
void engine_free(struct engine *e);
/* Names and versions of what scans, and of its rules: "yara:4.2.3:sha256:<of the rules> clamd:1.4.6/27000". A verdict is this one's. */
const char *engine_version(const struct engine *e) RETURNS_NONNULL NONNULL(1);
/*
 * clamd proves itself: finds a sample in a plain tar and one behind its own limits. True when it is fit, or none is configured;
 * else every scan is an ERROR until this is called again and is true. Takes a while; any thread.
 */
bool engine_self_test(struct engine *e, char *err, size_t err_size) NONNULL(1, 2) WUNRES;

enum scan_outcome {
	SCAN_ERROR = 0,		/* could not be finished: the source failed, clamd is away or unfit, no memory */
	SCAN_UNSCANNABLE,	/* over a bound, or broken: the same tomorrow */
	SCAN_FOUND,
	SCAN_CLEAN,
};

#define SCAN_FINDINGS 32u
struct scan_finding {
	bool secret;		/* else malware */
	char rule[128];		/* "yara:EICAR_Test", "clamd:Win.Test.EICAR_HDB-1" */
	char path[512];		/* in the layer; "": the blob itself. Bytes of the layer's: escaped when shown */
};
struct scan_result {
	enum scan_outcome outcome;	/* FOUND: malware or secrets */
	bool malware, secrets;
	char why[200];			/* ERROR, UNSCANNABLE: one line */
	struct scan_finding finding[SCAN_FINDINGS];	/* the first ones */
	unsigned n_findings;
	char digest[72];		/* SHA-256 of the bytes read */
	char diff_id[72];		/* ... of the unpacked tar; "" when it is none */
	uint64_t bytes, unpacked, entries;
};

/*
 * The next bytes of the blob: into *p, valid until the next call. 0: the end; -1: failed, with a reason in err. May wait.
 */
typedef long scan_read(void *ctx, const char **p, char *err, size_t err_size);

/* size: of the blob, if it is known (0: not). `stop` may be set by another thread: then ERROR, soon. */
void scan_blob(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out)
    NONNULL(1, 2, 6);

#endif
