/*
 * test_append.c - what may follow what under a tag that grows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/append.h"

#include <stdlib.h>

#include "policy/manifest.h"
#include "tests/unit/check.h"

#define HEX  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SIG  "application/vnd.dev.cosign.simplesigning.v1+json"
#define DSSE "application/vnd.dsse.envelope.v1+json"
#define BUNDLE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define OCI  "application/vnd.oci.image.manifest.v1+json"

/* A digest, and entries of both kinds; `more` ends with a comma. */
#define HEX63 "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST(c)	    "\"digest\":\"sha256:" c HEX63 "\",\"size\":7"
#define LAYER(type, c)	    "{\"mediaType\":\"" type "\"," DIGEST(c) "}"
#define NOTED(type, c, text) "{\"mediaType\":\"" type "\"," DIGEST(c) ",\"annotations\":{\"a\":\"" text "\"}}"
#define CHILD(type, c)	    "{\"mediaType\":\"" OCI "\",\"artifactType\":\"" type "\"," DIGEST(c) "}"
#define CONFIG(c)	    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"," DIGEST(c) "}"
#define LAYERS(config, l)   "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," config ",\"layers\":[" l "]}"
#define INDEX(more, l)	    "{\"schemaVersion\":2," more "\"manifests\":[" l "]}"

#define ONE   LAYER(SIG, "1")
#define TWO   LAYER(SIG, "2")
#define A     CHILD(BUNDLE, "1")
#define B     CHILD(BUNDLE, "2")

static const struct row {
	const char *name;
	enum append_kind kind;
	const char *old, *now;	/* old NULL: there is none */
	int fresh;		/* new entries to look at; -1: it may not follow */
} rows[] = {
	/* the first of its kind */
	{ "first signature", APPEND_SIGNATURES, NULL, LAYERS(CONFIG("9"), ONE), 0 },
	{ "two at once", APPEND_SIGNATURES, NULL, LAYERS(CONFIG("9"), ONE "," TWO), 0 },
	{ "an attestation", APPEND_ATTESTATIONS, NULL, LAYERS(CONFIG("9"), LAYER(DSSE, "1")), 0 },
	{ "a bill", APPEND_SBOMS, NULL, LAYERS(CONFIG("9"), LAYER("text/spdx+json", "1")), 0 },
	{ "an image as a signature", APPEND_SIGNATURES, NULL,
	    LAYERS(CONFIG("9"), LAYER("application/vnd.oci.image.layer.v1.tar+gzip", "1")), -1 },
	{ "a signature and a layer", APPEND_SIGNATURES, NULL,
	    LAYERS(CONFIG("9"), ONE "," LAYER("application/vnd.oci.image.layer.v1.tar", "2")), -1 },
	{ "a signature as an attestation", APPEND_ATTESTATIONS, NULL, LAYERS(CONFIG("9"), ONE), -1 },
	{ "an attestation as a bill", APPEND_SBOMS, NULL, LAYERS(CONFIG("9"), LAYER(DSSE, "1")), -1 },
	{ "the type in other letters", APPEND_SIGNATURES, NULL,
	    LAYERS(CONFIG("9"), LAYER("application/VND.dev.cosign.simplesigning.v1+json", "1")), -1 },
	{ "a type that begins like one", APPEND_SIGNATURES, NULL, LAYERS(CONFIG("9"), LAYER(SIG "x", "1")), -1 },
	{ "no layers", APPEND_SIGNATURES, NULL, LAYERS(CONFIG("9"), ""), -1 },
	{ "a config of its own", APPEND_SIGNATURES, NULL,
	    LAYERS("\"config\":{\"mediaType\":\"application/x\"," DIGEST("9") "}", ONE), -1 },
	{ "no config", APPEND_SIGNATURES, NULL, LAYERS("\"x\":1", ONE), -1 },
	{ "foreign signature", APPEND_SIGNATURES, NULL,
	    LAYERS(CONFIG("9"), "{\"mediaType\":\"" SIG "\"," DIGEST("1") ",\"urls\":[\"https://x/\"]}"), -1 },
	{ "signature with data", APPEND_SIGNATURES, NULL,
	    LAYERS(CONFIG("9"), "{\"mediaType\":\"" SIG "\"," DIGEST("1") ",\"data\":\"\"}"), -1 },
	{ "an index as a signature", APPEND_SIGNATURES, NULL, INDEX("", A), -1 },
	{ "first referrer", APPEND_REFERRERS, NULL, INDEX("", A), 1 },
	{ "an empty index", APPEND_REFERRERS, NULL, INDEX("", ""), 0 },
	{ "a manifest as an index", APPEND_REFERRERS, NULL, LAYERS(CONFIG("9"), ONE), -1 },
	{ "an index of images", APPEND_REFERRERS, NULL, INDEX("", "{\"mediaType\":\"" OCI "\"," DIGEST("1") "}"), -1 },
	{ "artifactType of none", APPEND_REFERRERS, NULL, INDEX("", CHILD("application/x", "1")), -1 },
	{ "artifactType empty", APPEND_REFERRERS, NULL, INDEX("", CHILD("", "1")), -1 },
	{ "entry of another type", APPEND_REFERRERS, NULL,
	    INDEX("", "{\"mediaType\":\"application/x\",\"artifactType\":\"" BUNDLE "\"," DIGEST("1") "}"), -1 },
	{ "nine at once", APPEND_REFERRERS, NULL, INDEX("", A "," A "," A "," A "," A "," A "," A "," A "," A), -1 },
	{ "eight at once", APPEND_REFERRERS, NULL, INDEX("", A "," A "," A "," A "," A "," A "," A "," A), 8 },
	/* one more */
	{ "one more signature", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE), LAYERS(CONFIG("8"), ONE "," TWO), 0 },
	{ "the same payload again", APPEND_SIGNATURES, LAYERS(CONFIG("9"), NOTED(SIG, "1", "x")),
	    LAYERS(CONFIG("8"), NOTED(SIG, "1", "x") "," NOTED(SIG, "1", "y")), 0 },
	{ "members in another order", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE),
	    "{\"layers\": [{\"size\":7, \"digest\":\"sha256:1" HEX63 "\",\"mediaType\":\"" SIG "\"}, " TWO "],"
	    CONFIG("8") ",\"mediaType\":\"" OCI "\",\"schemaVersion\":2}", 0 },
	{ "one more referrer", APPEND_REFERRERS, INDEX("", A), INDEX("", A "," B), 1 },
	{ "after what was never ours", APPEND_REFERRERS, INDEX("", CHILD("application/x", "1")),
	    INDEX("", CHILD("application/x", "1") "," B), 1 },
	{ "to an empty index", APPEND_REFERRERS, INDEX("", ""), INDEX("", A), 1 },
	{ "nothing new, another config", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE), LAYERS(CONFIG("8"), ONE), 0 },
	{ "one dropped", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE "," TWO), LAYERS(CONFIG("9"), ONE), -1 },
	{ "one replaced", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE), LAYERS(CONFIG("9"), TWO), -1 },
	{ "another order", APPEND_REFERRERS, INDEX("", A "," B), INDEX("", B "," A "," A), -1 },
	{ "new one in front", APPEND_REFERRERS, INDEX("", A), INDEX("", B "," A), -1 },
	{ "annotation changed", APPEND_SIGNATURES, LAYERS(CONFIG("9"), NOTED(SIG, "1", "x")),
	    LAYERS(CONFIG("9"), NOTED(SIG, "1", "y") "," TWO), -1 },
	{ "annotation dropped", APPEND_SIGNATURES, LAYERS(CONFIG("9"), NOTED(SIG, "1", "x")), LAYERS(CONFIG("9"), ONE "," TWO), -1 },
	{ "annotation added", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE), LAYERS(CONFIG("9"), NOTED(SIG, "1", "x") "," TWO), -1 },
	{ "member added", APPEND_REFERRERS, INDEX("", A), INDEX("\"annotations\":{\"a\":\"b\"},", A "," B), -1 },
	{ "member dropped", APPEND_REFERRERS, INDEX("\"annotations\":{\"a\":\"b\"},", A), INDEX("", A "," B), -1 },
	{ "member changed", APPEND_REFERRERS, INDEX("\"annotations\":{\"a\":\"b\"},", A), INDEX("\"annotations\":{\"a\":\"c\"},", A "," B), -1 },
	{ "type of the config", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE),
	    LAYERS("\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\"," DIGEST("9") "}", ONE "," TWO), -1 },
	{ "the other kind", APPEND_SIGNATURES, LAYERS(CONFIG("9"), ONE), INDEX("", A), -1 },
	{ "over what is no list", APPEND_SIGNATURES, INDEX("", A), LAYERS(CONFIG("9"), ONE), -1 },
	{ "over what is no JSON", APPEND_SIGNATURES, "x", LAYERS(CONFIG("9"), ONE), -1 },
	{ "over a list twice", APPEND_SIGNATURES, "{\"layers\":[],\"layers\":[]}", LAYERS(CONFIG("9"), ONE), -1 },
	{ "an ordinary tag", APPEND_NONE, NULL, LAYERS(CONFIG("9"), ONE), -1 },
	{ "no JSON", APPEND_REFERRERS, NULL, "{", -1 },
};

/* Types of the configuration, for the entries of an index only. */
static void
check_types(void)
{
	static const struct {
		const char *pattern, *type;
		bool matches;
	} types[] = {
		{ "application/vnd.example", "application/vnd.example", true },
		{ "application/vnd.example", "application/vnd.example2", false },
		{ "application/vnd.example*", "application/vnd.example2", true },
		{ "application/vnd.example*", "application/vnd.example", true },
		{ "application/vnd.example.*", "application/vnd.example", false },
		{ "application/vnd.example", "", false },
	};

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		CHECK_ROW(append_type_matches(types[i].pattern, span_of(types[i].type)) == types[i].matches, types[i].type);
}

static void
check_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *r = &rows[i];
		struct append a;
		bool may = append_check(r->kind, span_of(r->old), span_of(r->now), NULL, &a);

		CHECK_ROW(may == (r->fresh >= 0), r->name);
		CHECK_ROW(!may || a.n == (size_t)r->fresh, r->name);
		CHECK_ROW(may == (a.err[0] == '\0'), r->name);
		for (size_t k = 0; may && k < a.n; k++)
			CHECK_ROW(a.entries[k].size == 7 && a.entries[k].digest[71] == '\0' && a.entries[k].artifact_type[0] != '\0',
			    r->name);
	}
}

struct text {
	char *p;
	size_t n;
};

#define TEXT_MAX (3u << 20)

static void
add(struct text *t, const char *more)
{
	size_t n = strlen(more);

	if (n > TEXT_MAX - t->n)
		abort();
	memcpy(t->p + t->n, more, n);
	t->n += n;
}

static bool
follows(struct span old, const struct text *now)
{
	struct append a;

	return append_check(APPEND_SIGNATURES, old, (struct span){ now->p, now->n }, NULL, &a);
}

/* Many entries, and much of it. */
static void
check_bounds(void)
{
	struct text t = { .p = malloc(TEXT_MAX) };
	struct append a;

	if (t.p == NULL)
		abort();
	for (unsigned count = APPEND_ENTRIES_MAX; count <= APPEND_ENTRIES_MAX + 1; count++) {
		t.n = 0;
		add(&t, "{\"schemaVersion\":2," CONFIG("9") ",\"layers\":[" ONE);
		for (unsigned i = 1; i < count; i++)
			add(&t, "," ONE);
		add(&t, "]}");
		CHECK(follows(SPAN_NONE, &t) == (count <= APPEND_ENTRIES_MAX));
	}
	for (size_t size = APPEND_BYTES_MAX; size <= APPEND_BYTES_MAX + 1; size++) {
		t.n = 0;
		add(&t, LAYERS(CONFIG("9"), ONE));
		memset(t.p + t.n, ' ', size - t.n);
		t.n = size;
		CHECK(follows(SPAN_NONE, &t) == (size <= APPEND_BYTES_MAX));
		CHECK(append_check(APPEND_SIGNATURES, (struct span){ t.p, t.n }, SPAN(LAYERS(CONFIG("9"), ONE "," TWO)), NULL, &a) ==
		    (size <= APPEND_BYTES_MAX));
	}
	free(t.p);
}

static void
check_tags(void)
{
	static const struct {
		const char *tag;
		enum append_kind kind;
	} tags[] = {
		{ "sha256-" HEX, APPEND_REFERRERS },
		{ "sha256-" HEX ".sig", APPEND_SIGNATURES },
		{ "sha256-" HEX ".att", APPEND_ATTESTATIONS },
		{ "sha256-" HEX ".sbom", APPEND_SBOMS },
		{ "sha256-" HEX ".sig2", APPEND_NONE },
		{ "sha256-" HEX ".", APPEND_NONE },
		{ "sha256-" HEX "0", APPEND_NONE },
		{ "xsha256-" HEX, APPEND_NONE },
		{ "sha512-" HEX, APPEND_NONE },
		{ "sha256-0123", APPEND_NONE },
		{ "sha256-A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", APPEND_NONE },
		{ "latest.sig", APPEND_NONE },
		{ "", APPEND_NONE },
	};
	char subject[72];

	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
		CHECK_ROW(append_kind_of(span_of(tags[i].tag)) == tags[i].kind, tags[i].tag);
		append_subject(span_of(tags[i].tag), subject);
		CHECK_ROW(strcmp(subject, tags[i].kind == APPEND_NONE ? "" : "sha256:" HEX) == 0, tags[i].tag);
	}
}

int
main(void)
{
	check_types();
	check_rows();
	check_bounds();
	check_tags();
	return check_done();
}
