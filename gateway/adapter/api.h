/*
 * api.h - the texts of Harbor's Pluggable Scanner API (scanner-adapter-openapi-v1.1): what a client asks for, what it is told. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ADAPTER_API_H
#define TW_ADAPTER_API_H

#include "gateway/scan/scan.h"
#include "policy/arena.h"

#define API_REQUEST_MAX	 65536u		/* bytes of a scan request */
#define API_FINDINGS_MAX 1024u		/* entries of a report: more are counted in one */
#define API_REPORT_MAX	 (4u << 20)

#define API_TYPE_METADATA "application/vnd.scanner.adapter.metadata+json; version=1.0"
#define API_TYPE_REQUEST  "application/vnd.scanner.adapter.scan.request+json"
#define API_TYPE_RESPONSE "application/vnd.scanner.adapter.scan.response+json; version=1.0"
#define API_TYPE_REPORT	  "application/vnd.security.vulnerability.report; version=1.1"
#define API_TYPE_HARBOR	  "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"	/* the same, by its older name */
#define API_TYPE_ERROR	  "application/vnd.scanner.adapter.error+json; version=1.0"

/* What Harbor wants looked at. Spans live in the arena. */
struct api_request {
	struct span url, authorization;		/* of the registry; authorization "" for none */
	struct span repository, digest, tag, media_type;	/* tag and media_type may be "" */
};
enum api_read { API_BAD = 0, API_UNPROCESSABLE, API_READ };
/*
 * Strict: API_BAD is no JSON, or ambiguous (members twice, or differing in case only); API_UNPROCESSABLE has a member that is not what it
 * must be, or wants an index scanned. Both with a one-line reason.
 */
enum api_read api_request_read(struct span body, struct arena *a, struct api_request *out, char *err, size_t err_size)
    NONNULL(2, 3, 4) WUNRES;

/* Does an Accept (or Content-Type) name this type, or any, or is it not there? Its version, when it says one, must be `version`. */
bool api_accepts(struct span header, struct span type, struct span version) WUNRES;

enum api_severity { API_NEGLIGIBLE = 0, API_HIGH, API_CRITICAL };
struct api_finding {
	enum api_severity severity;
	char id[160];		/* "TW-MALWARE-yara:EICAR" */
	char path[512];		/* in the layer; "" */
	char digest[72];	/* of the layer, or the config */
	char description[256];
};
struct api_report {
	char repository[256], digest[72], tag[304], media_type[128];
	int64_t at;			/* seconds since the epoch */
	struct api_finding *finding;
	size_t n_findings, room, dropped;
};
/* False: out of memory. More than API_FINDINGS_MAX are counted only. */
bool api_report_add(struct api_report *r, const struct api_finding *f) NONNULL(1, 2) WUNRES;
void api_report_clear(struct api_report *r) NONNULL(1);
/* JSON on the heap, NUL after it; NULL when out of memory. version: the engine's. */
char *api_report_text(const struct api_report *r, const char *version, size_t *n) NONNULL(1, 2, 3) WUNRES;
char *api_metadata_text(const char *version, size_t *n) NONNULL(1, 2) WUNRES;
char *api_error_text(struct span message, size_t *n) NONNULL(2) WUNRES;

#endif
