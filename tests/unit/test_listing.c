/*
 * test_listing.c - pages of lists: what is shown of them, what is refused; and where the next one is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/lists/listing.h"
#include "gateway/lists/next.h"
#include "tests/unit/check.h"

#define ALL SIZE_MAX
#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define INDEX "\"mediaType\":\"application/vnd.oci.image.index.v1+json\""
#define DESC(d) "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"" d "\",\"size\":7}"

/* What begins with ctx is hidden. */
static bool
not_like(void *ctx, struct span entry)
{
	return !span_starts(entry, span_of(ctx));
}

static char hidden[] = "secret", hidden_digest[] = "sha256:2";

static const struct listing_rules repositories = { LISTING_REPOSITORIES, { NULL, 0 }, 0, not_like, hidden };
static const struct listing_rules tags = { LISTING_TAGS, { "a/b", 3 }, 128, not_like, hidden };
static const struct listing_rules referrers = { LISTING_REFERRERS, { NULL, 0 }, 0, not_like, hidden_digest };

static const struct {
	const char *name;
	const struct listing_rules *rules;
	const char *page;
	size_t max;
	const char *document;	/* NULL: refused */
	const char *last, *last_shown;
	size_t dropped;
} rows[] = {
	{ "catalog", &repositories, "{\"repositories\":[\"a\",\"b/c\"]}", ALL,
	    "{\"repositories\":[\"a\",\"b/c\"]}", "b/c", "b/c", 0 },
	{ "hidden first, middle, last", &repositories,
	    "{\"repositories\":[\"secret/1\",\"a\",\"secret/2\",\"b\",\"secret/3\"]}", ALL,
	    "{\"repositories\":[\"a\",\"b\"]}", "secret/3", "b", 0 },
	{ "all hidden", &repositories, "{\"repositories\":[\"secret\"]}", ALL, "{\"repositories\":[]}", "secret", "", 0 },
	{ "empty", &repositories, "{\"repositories\":[]}", ALL, "{\"repositories\":[]}", "", "", 0 },
	{ "null is empty", &repositories, "{\"repositories\":null}", ALL, "{\"repositories\":[]}", "", "", 0 },
	{ "cut", &repositories, "{\"repositories\":[\"a\",\"b\",\"c\"]}", 2, "{\"repositories\":[\"a\",\"b\"]}", "c", "b", 0 },
	{ "full, the rest hidden", &repositories, "{\"repositories\":[\"a\",\"secret\"]}", 1,
	    "{\"repositories\":[\"a\"]}", "secret", "a", 0 },
	{ "nothing wanted", &repositories, "{\"repositories\":[\"a\"]}", 0, "{\"repositories\":[]}", "a", "", 0 },
	{ "no names of the grammar", &repositories,
	    "{\"repositories\":[\"A\",\"a\",7,\"../b\",\"a//b\",null,\"a\\\"b\"]}", ALL,
	    "{\"repositories\":[\"a\"]}", "", "a", 6 },
	{ "a member more", &repositories, "{\"repositories\":[\"a\"],\"next\":\"x\"}", ALL,
	    "{\"repositories\":[\"a\"]}", "a", "a", 0 },
	{ "another spelling", &repositories, "{\"repositories\":[\"a\"],\"Repositories\":[\"secret\"]}",
	    ALL, NULL, NULL, NULL, 0 },
	{ "twice", &repositories, "{\"repositories\":[\"a\"],\"repositories\":[\"b\"]}", ALL, NULL, NULL, NULL, 0 },
	{ "none", &repositories, "{\"tags\":[\"a\"]}", ALL, NULL, NULL, NULL, 0 },
	{ "no array", &repositories, "{\"repositories\":\"a\"}", ALL, NULL, NULL, NULL, 0 },
	{ "no object", &repositories, "[\"a\"]", ALL, NULL, NULL, NULL, 0 },
	{ "no JSON", &repositories, "<html>", ALL, NULL, NULL, NULL, 0 },
	{ "cut off", &repositories, "{\"repositories\":[\"a\"", ALL, NULL, NULL, NULL, 0 },
	{ "nothing", &repositories, "", ALL, NULL, NULL, NULL, 0 },
	{ "tags", &tags, "{\"name\":\"a/b\",\"tags\":[\"v1\",\"secret-1\",\"v2\"]}", ALL,
	    "{\"name\":\"a/b\",\"tags\":[\"v1\",\"v2\"]}", "v2", "v2", 0 },
	{ "no tags", &tags, "{\"name\":\"a/b\",\"tags\":null}", ALL, "{\"name\":\"a/b\",\"tags\":[]}", "", "", 0 },
	{ "no tag", &tags, "{\"name\":\"a/b\",\"tags\":[\"-x\",\"v 1\",\"v1\"]}", ALL,
	    "{\"name\":\"a/b\",\"tags\":[\"v1\"]}", "v1", "v1", 2 },
	{ "another repository", &tags, "{\"name\":\"a/c\",\"tags\":[\"v1\"]}", ALL, NULL, NULL, NULL, 0 },
	{ "no name", &tags, "{\"tags\":[\"v1\"]}", ALL, NULL, NULL, NULL, 0 },
	{ "two names", &tags, "{\"name\":\"a/b\",\"Name\":\"a/c\",\"tags\":[\"v1\"]}", ALL, NULL, NULL, NULL, 0 },
	{ "referrers", &referrers,
	    "{\"schemaVersion\":2," INDEX ",\"manifests\":[" DESC(D1) "," DESC(D2) "," DESC(D3) "]}", ALL,
	    "{\"schemaVersion\":2," INDEX ",\"manifests\":[" DESC(D1) "," DESC(D3) "]}", D3, D3, 0 },
	{ "no referrers", &referrers, "{\"schemaVersion\":2," INDEX ",\"manifests\":[]}", ALL,
	    "{\"schemaVersion\":2," INDEX ",\"manifests\":[]}", "", "", 0 },
	{ "no media type", &referrers, "{\"schemaVersion\":2,\"manifests\":[]}", ALL,
	    "{\"schemaVersion\":2," INDEX ",\"manifests\":[]}", "", "", 0 },
	{ "an image", &referrers,
	    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"manifests\":[]}", ALL,
	    NULL, NULL, NULL, 0 },
	{ "schema 1", &referrers, "{\"schemaVersion\":1," INDEX ",\"manifests\":[]}", ALL, NULL, NULL, NULL, 0 },
	{ "no digest", &referrers, "{\"schemaVersion\":2,\"manifests\":[" DESC("md5:1") "]}", ALL, NULL, NULL, NULL, 0 },
	{ "two digests", &referrers, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"a/b\",\"size\":1,\"digest\":\"" D1
	    "\",\"Digest\":\"" D2 "\"}]}", ALL, NULL, NULL, NULL, 0 },
	{ "no size", &referrers,
	    "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"a/b\",\"digest\":\"" D1 "\"}]}", ALL, NULL, NULL, NULL, 0 },
	{ "a text for a descriptor", &referrers, "{\"schemaVersion\":2,\"manifests\":[\"" D1 "\"]}", ALL,
	    NULL, NULL, NULL, 0 },
};

static void
test_pages(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct listing l = { 0 };
		char err[160] = "";
		bool ok = listing_begin(&l, rows[i].rules) &&
		    listing_add(&l, rows[i].rules, span_of(rows[i].page), rows[i].max, err, sizeof err);

		CHECK_ROW(ok == (rows[i].document != NULL) && ok == (err[0] == '\0'), rows[i].name);
		if (ok && rows[i].document != NULL) {
			CHECK_ROW(listing_end(&l, rows[i].rules) &&
			    span_eq((struct span){ l.text, l.n }, span_of(rows[i].document)), rows[i].name);
			CHECK_ROW(span_eq(listing_name_span(&l.last), span_of(rows[i].last)) &&
			    span_eq(listing_name_span(&l.last_shown), span_of(rows[i].last_shown)), rows[i].name);
			CHECK_ROW(l.dropped == rows[i].dropped, rows[i].name);
		}
		listing_clear(&l);
	}
}

/* Pages are joined; one that is refused leaves no trace. */
static void
test_joined(void)
{
	struct listing l = { 0 };
	char err[160];

	CHECK(listing_begin(&l, &repositories));
	CHECK(listing_add(&l, &repositories, SPAN("{\"repositories\":[\"a\",\"secret/x\"]}"), 3, err, sizeof err));
	CHECK(!listing_add(&l, &repositories, SPAN("{\"repositories\":[\"b\",\"c\"],\"Repositories\":1}"), 3, err, sizeof err));
	CHECK(l.shown == 1 && !l.cut && span_eq(listing_name_span(&l.last), SPAN("secret/x")));
	CHECK(listing_add(&l, &repositories, SPAN("{\"repositories\":[\"secret/y\"]}"), 3, err, sizeof err) && l.shown == 1);
	CHECK(listing_add(&l, &repositories, SPAN("{\"repositories\":[\"b\",\"c\",\"d\"]}"), 3, err, sizeof err));
	CHECK(l.shown == 3 && l.cut && span_eq(listing_name_span(&l.last_shown), SPAN("c")));
	CHECK(listing_end(&l, &repositories) && span_eq((struct span){ l.text, l.n }, SPAN("{\"repositories\":[\"a\",\"b\",\"c\"]}")));
	listing_clear(&l);

	/* a bad descriptor behind good ones */
	CHECK(listing_begin(&l, &referrers));
	CHECK(!listing_add(&l, &referrers, SPAN("{\"schemaVersion\":2,\"manifests\":[" DESC(D1) ",{}]}"), ALL, err, sizeof err));
	CHECK(l.shown == 0 && l.last_shown.n == 0);
	CHECK(listing_add(&l, &referrers, SPAN("{\"schemaVersion\":2,\"manifests\":[" DESC(D3) "]}"), ALL, err, sizeof err));
	CHECK(listing_end(&l, &referrers) && span_eq((struct span){ l.text, l.n },
	    SPAN("{\"schemaVersion\":2," INDEX ",\"manifests\":[" DESC(D3) "]}")));
	listing_clear(&l);
}

static const struct {
	const char *path, *link;
	const char *target;	/* NULL: no next page that we follow */
} links[] = {
	{ "/v2/_catalog", "</v2/_catalog?last=b&n=2>; rel=\"next\"", "/v2/_catalog?last=b&n=2" },
	{ "/v2/_catalog", "</v2/_catalog?n=2&last=b>;rel=next", "/v2/_catalog?n=2&last=b" },
	{ "/v2/_catalog", " </v2/_catalog?n=2> ; title=\"a, b\" ; REL=\"Next\"", "/v2/_catalog?n=2" },
	{ "/v2/_catalog", "<https://harbor.internal/v2/_catalog?n=2&last=b>; rel=\"next\"", "/v2/_catalog?n=2&last=b" },
	{ "/v2/_catalog", "<http://127.0.0.1:5000/v2/_catalog?n=2>; rel=\"next\"", "/v2/_catalog?n=2" },
	{ "/v2/_catalog", "<//harbor.internal/v2/_catalog?n=2>; rel=\"next\"", "/v2/_catalog?n=2" },
	{ "/v2/_catalog", "<?n=2&next_page=gAAA%3D>; rel=\"next\"", "/v2/_catalog?n=2&next_page=gAAA%3D" },
	{ "/p/v2/_catalog", "</v2/_catalog?n=2>; rel=\"next\"", "/p/v2/_catalog?n=2" },
	{ "/p/v2/_catalog", "</p/v2/_catalog?n=2>; rel=\"next\"", "/p/v2/_catalog?n=2" },
	{ "/v2/_catalog", "</v2/_catalog?n=1>; rel=\"prev\", </v2/_catalog?n=2>; rel=\"next\"", "/v2/_catalog?n=2" },
	{ "/v2/_catalog", "</v2/_catalog?n=1>; rel=\"prev\"; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1>; rel=\"prev\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1>", NULL },
	{ "/v2/_catalog", "</v2/_catalog>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/a/tags/list?n=1>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog/x?n=1>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "<http://evil.test>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1 HTTP/1.1>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1#x>; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1; rel=\"next\"", NULL },
	{ "/v2/_catalog", "/v2/_catalog?n=1; rel=\"next\"", NULL },
	{ "/v2/_catalog", "</v2/_catalog?n=1>; rel=\"next", NULL },
	{ "/v2/_catalog", "", NULL },
};

static void
test_links(void)
{
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
		struct http_field field = { HTTP_FIELD_LINK, SPAN("link"), span_of(links[i].link) };
		struct http_head h = { .fields = &field, .n_fields = 1 };
		struct arena *a = arena_new(1 << 16);
		struct span reference = next_link(&h), target = SPAN_NONE;

		if (reference.p != NULL)
			target = next_target(reference, span_of(links[i].path), a);
		CHECK_ROW(span_eq(target, span_of(links[i].target)) && (target.p == NULL) == (links[i].target == NULL), links[i].link);
		arena_free(a);
	}
}

static void
test_long_link(void)
{
	static char text[NEXT_TARGET_MAX + 64] = "?n=1&x=";
	struct arena *a = arena_new(1 << 16);

	memset(text + 7, 'a', NEXT_TARGET_MAX - 12 - 7);
	CHECK(next_target(span_of(text), SPAN("/v2/_catalog"), a).n == NEXT_TARGET_MAX);
	text[strlen(text)] = 'a';
	CHECK(next_target(span_of(text), SPAN("/v2/_catalog"), a).p == NULL);
	arena_free(a);
}

int
main(void)
{
	test_pages();
	test_joined();
	test_links();
	test_long_link();
	return check_done();
}
