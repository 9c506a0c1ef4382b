/*
 * modules.h - inside of evidence: what others build, as it is called here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_EVIDENCE_MODULES_H
#define TW_EVIDENCE_MODULES_H

#include "gateway/evidence/exhibit.h"
#include "gateway/scan/scan.h"
#include "gateway/scanners/scanners.h"

struct gathering;
struct hand;

/* NULL: nothing is configured that scans. */
struct engine *module_engine(const struct config *c);
const char *module_engine_version(const struct engine *e);
bool module_engine_test(struct engine *e, char *err, size_t err_size);
void module_scan(const struct engine *e, scan_read *read, void *ctx, uint64_t size, const _Atomic bool *stop, struct scan_result *out);
/* What an exhibit of a kind other than MALWARE holds, into an object and out of it. */
bool module_save(const struct exhibit *x, json_t *o);
bool module_load(struct exhibit *x, const json_t *o);
/* Facts of an exhibit that is known, of a kind other than MALWARE. */
bool module_tell(const struct dossier *d, const struct exhibit *x, int64_t now, struct arena *a, struct fact facts[static KEY_MAX]);

/* Into *h what signatures are trusted by; false: nothing is. */
bool module_trust(const struct config *c, uint64_t *h);
bool module_config_read(struct span bytes, struct arena *a, struct image_config *out, char *err, size_t err_size);
struct exhibit *module_report(struct gathering *g);
struct exhibit *module_signatures(struct gathering *g);

#endif
