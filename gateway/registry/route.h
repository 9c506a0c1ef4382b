/*
 * route.h - the registry grammar: method and target to what is asked, and back to a canonical target.
 *
 * Default deny: only rows of the table in route.c exist (OCI distribution-spec, reference table rows
 * 1-15). Pure. Target bytes are [A-Za-z0-9._:/=+~-] and a query; '%' in a path, empty and dot segments
 * are refused; a query is decoded once, keys are known and appear once (`tag` excepted), and it is
 * written anew. The client's bytes never go upstream.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_ROUTE_H
#define TW_ROUTE_H

#include "gateway/http/head.h"
#include "gateway/refuse.h"
#include "policy/policy.h"

/*
 * What is asked. ROUTE(symbol, audit action, policy action)
 * A HEAD is the same operation as its GET.
 */
#define ROUTE_OPS(X) \
	X(PING,            "ping",            Ping)             \
	X(BLOB_GET,        "blob.get",        PullBlob)         \
	X(BLOB_DELETE,     "blob.delete",     DeleteBlob)       \
	X(MANIFEST_GET,    "manifest.get",    PullManifest)     \
	X(MANIFEST_PUT,    "manifest.put",    PushManifest)     \
	X(MANIFEST_DELETE, "manifest.delete", DeleteManifest)   /* reference is a digest */ \
	X(TAG_DELETE,      "tag.delete",      DeleteTag)        /* same route, reference is a tag */ \
	X(TAGS_LIST,       "tags.list",       ListTags)         \
	X(UPLOAD_START,    "upload.start",    PushBlob)         /* POST, ?digest= or ?digest-algorithm= too */ \
	X(BLOB_MOUNT,      "blob.mount",      MountBlob)        /* POST ?mount= */ \
	X(UPLOAD_STATUS,   "upload.status",   PushBlob)         \
	X(UPLOAD_CHUNK,    "upload.chunk",    PushBlob)         /* PATCH */ \
	X(UPLOAD_FINISH,   "upload.finish",   PushBlob)         /* PUT ?digest= */ \
	X(UPLOAD_CANCEL,   "upload.cancel",   CancelUpload)     \
	X(REFERRERS,       "referrers.list",  ListReferrers)    \
	X(CATALOG,         "catalog.list",    ListRepositories) \
	X(TOKEN,           "token.issue",     IssueToken)       /* /token: GET, or POST of a form */ \
	X(JWKS,            "keys.get",        NONE)             /* /.well-known/jwks.json */

enum route_op {
	ROUTE_NONE = 0,
#define X(symbol, audit, action) ROUTE_##symbol,
	ROUTE_OPS(X)
#undef X
	ROUTE_MAX
};

enum reference_type { REFERENCE_NONE = 0, REFERENCE_TAG, REFERENCE_DIGEST, REFERENCE_LEASE };

#define ROUTE_TAGS_MAX 16

struct route {
	enum route_op op;
	struct span repository;			/* p == NULL for ping, catalog, token and keys */
	enum reference_type reference_type;
	struct span reference;			/* tag, digest (algorithm:hex) or upload lease */
	/* query, decoded and checked; p == NULL when absent */
	struct span digest, digest_algorithm, mount, from, last, artifact_type, ns;
	struct span cursor;			/* of a Link of ours: where a list goes on, sealed */
	bool has_n;
	unsigned n;				/* page size, capped at 1000 */
	struct span tags[ROUTE_TAGS_MAX];	/* PUT <digest>?tag=a&tag=b */
	size_t n_tags;
	struct span form;			/* TOKEN: the query, as it is (token/form.h reads it) */
	struct span stripped_mount, stripped_from;	/* a mount was asked for; this is the plain upload made of it */
};

struct route_limits {
	size_t target;		/* other targets, default 4096 */
	size_t upload_target;	/* default 8192 */
	size_t tag;		/* default 128, up to 300 when an upstream says so */
};
extern const struct route_limits route_limits_default;

/*
 * Read method and target. Spans point into `target` or the arena (decoded query values).
 * REFUSE_NONE, or why not; out->repository may be set even then (audited).
 * Never sets a row whose method is not in the table: a known path with another method is
 * REFUSE_METHOD.
 */
enum refuse route_resolve(enum http_method method, struct span target, const struct route_limits *limits,
    struct arena *a, struct route *out) NONNULL(3, 4, 5) WUNRES;

/*
 * The canonical upstream target for any op without a lease: path and query written from the fields (a cursor is
 * ours, and only in the targets of our Links). None for what the gateway answers itself.
 * `ns` is dropped; BLOB_MOUNT keeps mount and from. `repository` is what upstream calls it (may differ
 * from r->repository). {NULL,0} when out of memory.
 */
struct span route_target(const struct route *r, struct span repository, struct arena *a) NONNULL(1, 3) WUNRES;

/* A mount becomes the plain upload the specification lets us answer instead. */
void route_strip_mount(struct route *r) NONNULL(1);

const char *route_audit_name(enum route_op op) RETURNS_NONNULL PURE;	/* "manifest.put"; "none" */

/* the same as the enum of policy.h; ACTION_NONE for none */
enum policy_action route_action(enum route_op op) PURE;

/* Grammar pieces other modules need (OCI distribution-spec main, spec.md). */
bool repository_valid(struct span s) PURE;	/* <= 255 bytes, no component named manifests, blobs, tags, referrers, uploads */
bool tag_valid(struct span s, size_t max) PURE;
bool digest_valid(struct span s) PURE;		/* sha256:<64 lower-case hex>: the one algorithm served */

#endif
