/*
 * ledger_evidence.h - what else the ledger's database keeps: evidence by digest, digests that are blocked, and which manifests
 * list a blob.
 *
 * The same thread, the same transactions: LEDGER_EVIDENCE_*, LEDGER_BLOCK* and LEDGER_GRANT* are operations as all others, each
 * with its structure beside ledger_op's key. Evidence and grants can be made anew and are bounded: the oldest go. A block is
 * kept until somebody ends it; each change of one is a row of tag_history too, with an empty tag, so that a ledger that was put
 * back from before it is behind its mark.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LEDGER_EVIDENCE_H
#define TW_LEDGER_EVIDENCE_H

#include "gateway/tags/ledger.h"

#define EVIDENCE_ROWS_MAX	500000	/* rows; the oldest go */
#define EVIDENCE_VALUE_MAX	(32u << 20)	/* bytes of one value */
#define GRANT_ROWS_MAX		2000000
#define GRANT_TAG		304	/* bytes of a tag and NUL */
#define GRANT_ANSWER		16
#define GRANT_BATCH		1600u	/* blobs of one manifest: layers, config, children */

/*
 * One piece of evidence: key is the operation's registry and repository (both empty: of a blob wherever it is) and digest, with
 * kind and source.
 */
struct ledger_evidence {
	struct span kind, source;	/* "malware" "engine"; "report" and the scanner's alias */
	/* PUT: all of it, borrowed. GET: what was kept, in `bytes`; free it with ledger_evidence_clear() */
	struct span version;		/* of the source: rules, database */
	struct span state;		/* "pass" ... */
	struct span value;		/* text, JSON */
	int64_t at, until;		/* seconds since the epoch: learned; no longer good */
	struct span good;		/* the value that was known last, "" none */
	int64_t good_at;
	char *bytes;			/* private */
};
void ledger_evidence_clear(struct ledger_evidence *e) NONNULL(1);

/* BLOCK_PUT: of the operation's registry, repository and digest. BLOCKS: a row of the answer, free with ledger_blocks_free(). */
struct ledger_block {
	struct ledger_block *next;
	struct span kind;		/* PUT: empty: no longer blocked */
	unsigned kinds;			/* bits: what it waits for; 0: for whoever ends it */
	struct span reason;
	/* of BLOCKS */
	char digest[LEDGER_DIGEST];
	int64_t at;
	struct span registry, repository, who, source, event_id;	/* allocated with it */
};
void ledger_blocks_free(struct ledger_block *first);

struct ledger_grant {
	char digest[LEDGER_DIGEST];	/* of the manifest */
	char tag[GRANT_TAG];
	int64_t at;
};
/* GRANT_PUT: the operation's digest and tag name a manifest that lists `blobs`. GRANT_GET: who lists the operation's digest. */
struct ledger_grants {
	const char (*blobs)[LEDGER_DIGEST];
	size_t n_blobs;
	/* GET: the latest first */
	struct ledger_grant found[GRANT_ANSWER];
	size_t n;
};

#endif
