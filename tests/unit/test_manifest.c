/*
 * test_manifest.c - manifests and indexes: read as everybody reads them, or refused. And strict JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/json.h"
#include "policy/manifest.h"
#include "tests/unit/check.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OCI "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"
#define LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define V1 "application/vnd.docker.distribution.manifest.v1+prettyjws"
#define DESC "{\"mediaType\":\"a/b\",\"digest\":\"" D "\",\"size\":2}"
#define IMAGE(more) "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\",\"config\":" DESC ",\"layers\":[" DESC "]" more "}"
#define INDEX_OF(more) "{\"schemaVersion\":2,\"mediaType\":\"" INDEX "\",\"manifests\":[" DESC "]" more "}"

#define LAYER(more) "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"" D "\",\"size\":2" more "}]}"
#define TYPED(type, digest) "{\"schemaVersion\":2,\"config\":{\"mediaType\":" type ",\"digest\":" digest ",\"size\":2},\"layers\":[]}"

static const struct {
	const char *name, *type, *text;
	enum manifest_kind want;
} rows[] = {
	{ "image", OCI, IMAGE(""), MANIFEST_IMAGE },
	{ "parameters of the type", OCI "; charset=utf-8", IMAGE(""), MANIFEST_IMAGE },
	{ "docker", DOCKER, "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "\",\"config\":" DESC ",\"layers\":[]}", MANIFEST_IMAGE },
	{ "no mediaType inside", OCI, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[]}", MANIFEST_IMAGE },
	{ "index", INDEX, INDEX_OF(""), MANIFEST_INDEX },
	{ "list", LIST, "{\"schemaVersion\":2,\"mediaType\":\"" LIST "\",\"manifests\":[]}", MANIFEST_INDEX },
	{ "artifact with subject", OCI, IMAGE(",\"artifactType\":\"a/b\",\"subject\":" DESC), MANIFEST_IMAGE },
	{ "annotations", OCI, IMAGE(",\"annotations\":{\"x\":\"y\"}"), MANIFEST_IMAGE },
	{ "platform", INDEX, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "\",\"digest\":\"" D "\",\"size\":2,\"platform\":"
	  "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}", MANIFEST_INDEX },

	{ "no type", "", IMAGE(""), MANIFEST_NONE },
	{ "another type", INDEX, IMAGE(""), MANIFEST_NONE },
	{ "application/json", "application/json", IMAGE(""), MANIFEST_NONE },
	{ "schema 1", V1, "{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"b\"}", MANIFEST_NONE },
	{ "schemaVersion 1", OCI, "{\"schemaVersion\":1,\"config\":" DESC ",\"layers\":[]}", MANIFEST_NONE },
	{ "schemaVersion missing", OCI, "{\"config\":" DESC ",\"layers\":[]}", MANIFEST_NONE },
	{ "schemaVersion text", OCI, "{\"schemaVersion\":\"2\",\"config\":" DESC ",\"layers\":[]}", MANIFEST_NONE },
	{ "layers and manifests", OCI, IMAGE(",\"manifests\":[]"), MANIFEST_NONE },
	{ "index with layers", INDEX, INDEX_OF(",\"layers\":[]"), MANIFEST_NONE },
	{ "index with config", INDEX, INDEX_OF(",\"config\":" DESC), MANIFEST_NONE },
	{ "fsLayers", OCI, IMAGE(",\"fsLayers\":[]"), MANIFEST_NONE },
	{ "no config", OCI, "{\"schemaVersion\":2,\"layers\":[]}", MANIFEST_NONE },
	{ "no layers", OCI, "{\"schemaVersion\":2,\"config\":" DESC "}", MANIFEST_NONE },
	{ "layers null", OCI, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":null}", MANIFEST_NONE },
	{ "layer number", OCI, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[1]}", MANIFEST_NONE },
	{ "duplicate key", OCI, IMAGE(",\"config\":" DESC), MANIFEST_NONE },
	{ "Config", OCI, IMAGE(",\"Config\":" DESC), MANIFEST_NONE },
	{ "LAYERS", OCI, IMAGE(",\"LAYERS\":[]"), MANIFEST_NONE },
	{ "layer\\u017f", OCI, IMAGE(",\"layer\\u017f\":[]"), MANIFEST_NONE },
	{ "layer\xc5\xbf", OCI, IMAGE(",\"layer\xc5\xbf\":[]"), MANIFEST_NONE },
	{ "Digest in a layer", OCI, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[{\"mediaType\":\"a/b\",\"digest\":\"" D
	  "\",\"Digest\":\"x\",\"size\":2}]}", MANIFEST_NONE },
	{ "no digest", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"size\":2},\"layers\":[]}", MANIFEST_NONE },
	{ "bad digest", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"sha256:x\",\"size\":2},\"layers\":[]}",
	  MANIFEST_NONE },
	{ "negative size", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D "\",\"size\":-1},\"layers\":[]}",
	  MANIFEST_NONE },
	{ "size real", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D "\",\"size\":2.0},\"layers\":[]}",
	  MANIFEST_NONE },
	{ "size too large", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D
	  "\",\"size\":9223372036854775808},\"layers\":[]}", MANIFEST_NONE },
	{ "no size", OCI, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D "\"},\"layers\":[]}", MANIFEST_NONE },
	{ "subject text", OCI, IMAGE(",\"subject\":\"x\""), MANIFEST_NONE },
	{ "annotations text", OCI, IMAGE(",\"annotations\":\"x\""), MANIFEST_NONE },
	{ "annotation number", OCI, IMAGE(",\"annotations\":{\"x\":1}"), MANIFEST_NONE },
	{ "annotations null", OCI, IMAGE(",\"annotations\":null"), MANIFEST_IMAGE },
	{ "artifactType number", OCI, IMAGE(",\"artifactType\":1"), MANIFEST_NONE },
	{ "artifactType malformed", OCI, IMAGE(",\"artifactType\":\"a b\""), MANIFEST_NONE },
	{ "mediaType inside is another", OCI,
	  "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "\",\"config\":" DESC ",\"layers\":[]}", MANIFEST_NONE },
	{ "urls text", OCI, LAYER(",\"urls\":\"x\""), MANIFEST_NONE },
	{ "urls number", OCI, LAYER(",\"urls\":[1]"), MANIFEST_NONE },
	{ "urls null", OCI, LAYER(",\"urls\":null"), MANIFEST_IMAGE },
	{ "data number", OCI, LAYER(",\"data\":1"), MANIFEST_NONE },
	{ "data", OCI, LAYER(",\"data\":\"e30=\""), MANIFEST_IMAGE },
	{ "annotations of a layer", OCI, LAYER(",\"annotations\":[]"), MANIFEST_NONE },
	{ "platform text", OCI, LAYER(",\"platform\":\"linux\""), MANIFEST_NONE },
	{ "os number", OCI, LAYER(",\"platform\":{\"os\":1}"), MANIFEST_NONE },
	{ "OS", OCI, LAYER(",\"platform\":{\"OS\":\"linux\"}"), MANIFEST_NONE },
	{ "artifactType of a layer", OCI, LAYER(",\"artifactType\":\"x\""), MANIFEST_NONE },
	{ "digest number", OCI, TYPED("\"a/b\"", "1"), MANIFEST_NONE },
	{ "digest in upper case", OCI,
	  TYPED("\"a/b\"", "\"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\""), MANIFEST_NONE },
	{ "type without slash", OCI, TYPED("\"ab\"", "\"" D "\""), MANIFEST_NONE },
	{ "type with two", OCI, TYPED("\"a/b/c\"", "\"" D "\""), MANIFEST_NONE },
	{ "type ends in one", OCI, TYPED("\"a/\"", "\"" D "\""), MANIFEST_NONE },
	{ "type with a space", OCI, TYPED("\"a/b c\"", "\"" D "\""), MANIFEST_NONE },
	{ "bytes behind", OCI, IMAGE("") "x", MANIFEST_NONE },
	{ "byte order mark", OCI, "\xef\xbb\xbf" IMAGE(""), MANIFEST_NONE },
	{ "array", OCI, "[]", MANIFEST_NONE },
	{ "empty", OCI, "", MANIFEST_NONE },
	{ "invalid UTF-8", OCI, IMAGE(",\"annotations\":{\"x\":\"\xff\"}"), MANIFEST_NONE },
};

static enum manifest_kind
kind_of(const char *type, struct span text, struct manifest *m, struct arena *a)
{
	char err[256] = "";
	bool ok = manifest_read(text, span_of(type), a, m, err, sizeof err);

	CHECK(ok == (err[0] == '\0'));
	return ok ? m->kind : MANIFEST_NONE;
}

static void
test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(1 << 20);
		struct manifest m;
		char digest[72];

		CHECK_ROW(kind_of(rows[i].type, span_of(rows[i].text), &m, a) == rows[i].want, rows[i].name);
		digest_sha256(span_of(rows[i].text), digest);
		CHECK_ROW(rows[i].want == MANIFEST_NONE || strcmp(m.digest, digest) == 0, rows[i].name);
		arena_free(a);
	}
}

static void
test_fields(void)
{
	static const char text[] = "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[" DESC ",{\"mediaType\":\"c/d\",\"digest\":\"" D
				   "\",\"size\":7,\"urls\":[\"https://x\"]}],\"artifactType\":\"t/u\",\"subject\":" DESC "}";
	struct arena *a = arena_new(1 << 20);
	struct manifest m;
	char empty[72];

	CHECK(kind_of(OCI, SPAN(text), &m, a) == MANIFEST_IMAGE);
	CHECK(m.n_layers == 2 && m.layers[1].has_urls && !m.layers[0].has_urls && m.layers[1].size == 7);
	CHECK(span_eq(m.layers[1].media_type, SPAN("c/d")) && span_eq(m.config.digest, SPAN(D)));
	CHECK(m.has_subject && span_eq(m.subject.digest, SPAN(D)) && span_eq(m.artifact_type, SPAN("t/u")));
	digest_sha256(SPAN_NONE, empty);
	CHECK(strcmp(empty, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == 0);
	arena_free(a);
}

static void
test_counts(void)
{
	static char text[1 << 20];

	for (unsigned n = MANIFEST_LAYERS_MAX; n <= MANIFEST_LAYERS_MAX + 1; n++) {
		struct arena *a = arena_new(4 << 20);
		struct manifest m;
		size_t at = (size_t)snprintf(text, sizeof text, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[");

		for (unsigned i = 0; i < n; i++)
			at += (size_t)snprintf(text + at, sizeof text - at, "%s" DESC, i > 0 ? "," : "");
		snprintf(text + at, sizeof text - at, "]}");
		CHECK((kind_of(OCI, span_of(text), &m, a) == MANIFEST_IMAGE) == (n == MANIFEST_LAYERS_MAX));
		arena_free(a);
	}
}

/* With less and less memory: read whole, or refused with a reason. */
static void
test_starved(void)
{
	bool read_once = false;

	for (size_t limit = 0; limit < 4096; limit += 16) {
		struct arena *a = arena_new(limit);
		struct manifest m;
		bool ok = kind_of(OCI, SPAN(LAYER(",\"platform\":{\"os\":\"linux\"}")), &m, a) == MANIFEST_IMAGE;

		CHECK(ok ? m.n_layers == 1 && span_eq(m.layers[0].os, SPAN("linux")) : !read_once && arena_failed(a));
		read_once |= ok;
		arena_free(a);
	}
	CHECK(read_once);
}

static void
test_json(void)
{
	static const struct {
		const char *text;
		unsigned depth;
		bool ok;
		int line;
	} texts[] = { { "{}", 1, true, 0 }, { " {\n} \n", 1, true, 0 }, { "[[[]]]", 3, true, 0 }, { "[[[]]]", 2, false, 1 }, { "7", 1, true, 0 },
		{ "{\"a\":\"[[[[\"}", 1, true, 0 }, { "{\"a\":\"\\\"[[[[\"}", 1, true, 0 },
		{ "{\n\"a\":1,\n\"a\":2}", 1, false, 3 }, { "{\n\n,}", 1, false, 3 },
		{ "{}{}", 1, false, 1 }, { "\"\\u0000\"", 1, false, 1 }, { "\"\\ud800\"", 1, false, 1 }, { "\xff", 1, false, 1 }, { "01", 1, false, 1 },
		{ "NaN", 1, false, 1 }, { "'a'", 1, false, 1 }, { "[1,]", 1, false, 1 }, { "// x\n{}", 1, false, 1 }, { "\n\n[\n[", 1, false, 4 } };
	static const char *const known[] = { "config", "layers", "kind" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char err[256];
		int line = 0;
		json_t *v = json_strict(span_of(texts[i].text), texts[i].depth, err, sizeof err, &line);

		CHECK_ROW((v != NULL) == texts[i].ok, texts[i].text);
		CHECK_ROW(v != NULL || line == texts[i].line, texts[i].text);
		json_decref(v);
	}
	CHECK(!json_key_is_variant("config", known, 3) && json_key_is_variant("Config", known, 3) && !json_key_is_variant("confi", known, 3));
	CHECK(json_key_is_variant("layer\xc5\xbf", known, 3) && json_key_is_variant("\xe2\x84\xaaind", known, 3));
	CHECK(!json_key_is_variant("configs", known, 3) && !json_key_is_variant("", known, 3));
}

int
main(void)
{
	test_rows();
	test_fields();
	test_counts();
	test_starved();
	test_json();
	return check_done();
}
