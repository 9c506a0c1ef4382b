/*
 * test_image.c - configs of images read, and what policy is told of them and of manifests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "check.h"
#include "policy/image.h"
#include "policy/secret.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIFF "sha256:" HEX
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF "\"]}"

/* ---- secrets ---- */

static const struct {
	const char *text;
	bool secret;
} texts[] = {
	{ "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", true },
	{ "/bin/sh -c curl -H 'Authorization: token ghp_0123456789abcdefghijABCDEFGHIJ012345' x", true },
	{ "glpat-AbCdEfGhIjKlMnOpQrSt", true },
	{ "-----BEGIN RSA PRIVATE KEY-----", true },
	{ "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", true },
	{ "DB_PASSWORD=s3cr3t-Xy9!kQ", true },
	{ "db_password='aG8sk29fkS0x'", true },
	{ "RUN /bin/sh -c export NPM_TOKEN=npm_abcdefghijklmnopqrstuvwxyz0123456789 && npm ci", true },
	{ "API_KEY=\"9f8e7d6c5b4a39281706\" make", true },
	{ "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", false },
	{ "DB_PASSWORD=/run/secrets/db", false },
	{ "DB_PASSWORD=$DB_PASSWORD", false },
	{ "DB_PASSWORD=${PASS:-x1y2z3w4}", false },
	{ "DB_PASSWORD=changeme", false },
	{ "DB_PASSWORD_FILE=/run/s3cr3t/x9", false },
	{ "TOKEN=https://example.com/t0k3n/abc123", false },
	{ "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568", false },	/* a fingerprint: public, and Python's images have it */
	{ "-----BEGIN PUBLIC KEY-----", false },
	{ "-----BEGIN CERTIFICATE-----", false },
	{ "NAKIAIOSFODNN7EXAMPLE", false },
	{ "AKIAIOSFODNN7", false },
	{ "ghp_short", false },
	{ "SECRET=", false },
	{ "=", false },
	{ "", false },
};

static void
test_secrets(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		CHECK_ROW(secret_looks(span_of(texts[i].text)) == texts[i].secret, texts[i].text);
}

/* ---- reading ---- */

static const struct {
	const char *text;
	const char *error;	/* part of it; NULL: it is read */
} configs[] = {
	{ "{\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS "}", NULL },
	{ "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":null,\"history\":null," ROOTFS "}", NULL },
	{ "{\"config\":{\"User\":null,\"Env\":null,\"ExposedPorts\":null,\"Labels\":null}," ROOTFS "}", NULL },
	{ "{\"os\":\"linux\"}", "rootfs is missing" },
	{ "[]", "not a JSON object" },
	{ "{", "" },
	{ "{\"Config\":{\"User\":\"app\"}," ROOTFS "}", "another spelling" },
	{ "{\"config\":{\"user\":\"app\"}," ROOTFS "}", "another spelling" },
	{ "{\"config\":{\"User\":\"app\",\"User\":\"root\"}," ROOTFS "}", "" },
	{ "{\"config\":{\"User\":7}," ROOTFS "}", "User is not a string" },
	{ "{\"config\":{\"Env\":\"A=b\"}," ROOTFS "}", "Env is not a list" },
	{ "{\"config\":{\"Env\":[1]}," ROOTFS "}", "Env[0] is not a string" },
	{ "{\"config\":{\"Labels\":{\"a\":1}}," ROOTFS "}", "Labels" },
	{ "{\"config\":[]," ROOTFS "}", "config is not an object" },
	{ "{\"history\":[1]," ROOTFS "}", "history[0]" },
	{ "{\"history\":[{\"Created_by\":\"x\"}]," ROOTFS "}", "another spelling" },
	{ "{\"rootfs\":{\"diff_ids\":[\"x\"],\"Diff_ids\":[]}}", "another spelling" },
	{ "{\"rootfs\":{\"diff_ids\":{}}}", "diff_ids is not a list" },
};

static void
test_reading(void)
{
	for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
		struct arena *a = arena_new(1u << 20);
		struct image_config c;
		char err[200] = "";
		bool ok = image_config_read(span_of(configs[i].text), a, &c, err, sizeof err);

		CHECK_ROW(ok == (configs[i].error == NULL), configs[i].text);
		CHECK_ROW(ok || strstr(err, configs[i].error) != NULL, configs[i].text);
		CHECK_ROW(ok || *err != '\0', configs[i].text);
		arena_free(a);
	}
}

/* ---- telling ---- */

#define NOW 1800000000

static const struct image_config *
config_of(struct arena *a, const char *text)
{
	struct image_config *c = arena_alloc(a, sizeof *c);
	char err[200];

	if (c == NULL || !image_config_read(span_of(text), a, c, err, sizeof err)) {
		fprintf(stderr, "%s\n", text);
		exit(1);
	}
	return c;
}

static bool
is(const struct fact *f, const char *value)
{
	return f->state == FACT_PRESENT && span_eq(f->value, span_of(value));
}

static bool
has(const struct fact *f, const char *value)
{
	for (size_t i = 0; f->state == FACT_PRESENT && i < f->n_values; i++)
		if (span_eq(f->values[i], span_of(value)))
			return true;
	return false;
}

static void
test_users(void)
{
	static const struct {
		const char *user;
		bool root;
	} users[] = { { "", true }, { "root", true }, { "0", true }, { "00", true }, { "0:1000", true }, { "root:app", true }, { ":1000", true },
		{ "app", false }, { "1000", false }, { "1000:0", false }, { "rooty", false }, { "01", false } };

	for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
		struct arena *a = arena_new(1u << 20);
		struct fact facts[KEY_MAX] = { 0 };
		char text[512];
		const struct image_config *c;

		snprintf(text, sizeof text, "{\"config\":{\"User\":\"%s\"}," ROOTFS "}", users[i].user);
		c = config_of(a, text);
		CHECK(image_tell(&c, 1, NOW, a, facts));
		CHECK_ROW(is(&facts[KEY_IMAGE_RUNS_AS_ROOT], users[i].root ? "true" : "false"), users[i].user);
		arena_free(a);
	}
}

static void
test_index(void)
{
	struct arena *a = arena_new(1u << 20);
	struct fact facts[KEY_MAX] = { 0 };
	const struct image_config *c[2] = {
		config_of(a, "{\"created\":\"2027-01-15T07:00:00Z\",\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"User\":\"app\","
		    "\"Env\":[\"A=1\",\"B=2\"],\"ExposedPorts\":{\"80/tcp\":{}},\"Labels\":{\"team\":\"web\",\"v\":\"1\"}}," ROOTFS "}"),
		config_of(a, "{\"created\":\"2027-01-15T05:00:00Z\",\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"config\":{"
		    "\"Env\":[\"A=1\",\"C_TOKEN=aG8sk29fkS0x\"],\"ExposedPorts\":{\"81/udp\":{}},\"Labels\":{\"team\":\"web\",\"v\":\"2\"}}," ROOTFS "}"),
	};

	CHECK(image_tell(c, 2, NOW, a, facts));
	CHECK(is(&facts[KEY_IMAGE_CREATED_AGE], "3"));	/* the oldest */
	CHECK(is(&facts[KEY_IMAGE_RUNS_AS_ROOT], "true") && facts[KEY_IMAGE_USER].state == FACT_ABSENT);
	CHECK(has(&facts[KEY_IMAGE_PLATFORMS], "linux/amd64") && has(&facts[KEY_IMAGE_PLATFORMS], "linux/arm64/v8"));
	CHECK(has(&facts[KEY_IMAGE_EXPOSED_PORTS], "80/tcp") && has(&facts[KEY_IMAGE_EXPOSED_PORTS], "81/udp"));
	CHECK(facts[KEY_IMAGE_ENV_NAMES].n_values == 3 && has(&facts[KEY_IMAGE_ENV_NAMES], "C_TOKEN"));
	CHECK(is(&facts[KEY_IMAGE_SECRETS], "true"));
	CHECK(facts[KEY_IMAGE_LABEL].n_values == 2 && has(&facts[KEY_IMAGE_LABEL], "team") && !has(&facts[KEY_IMAGE_LABEL], "v"));
	CHECK(facts[KEY_IMAGE_DIFF_IDS].state == FACT_UNKNOWN);
	CHECK(image_tell(c, 1, NOW, a, facts) && has(&facts[KEY_IMAGE_DIFF_IDS], DIFF));
	CHECK(!image_tell(c, 0, NOW, a, facts) && facts[KEY_IMAGE_USER].state == FACT_UNKNOWN);
	arena_free(a);
}

static void
test_kept(void)
{
	struct arena *a = arena_new(1u << 20);
	const struct image_config *c = config_of(a, "{\"created\":\"2027-01-15T07:00:00Z\",\"os\":\"linux\",\"architecture\":\"amd64\","
	    "\"config\":{\"User\":\"app\",\"Env\":[\"DB_PASSWORD=aG8sk29fkS0x\"],\"Labels\":{\"team\":\"web\"}}," ROOTFS "}");
	struct image_config back;
	json_t *j = image_save(c);
	char *text = json_dumps(j, 0);

	CHECK(text != NULL && strstr(text, "aG8sk29fkS0x") == NULL);	/* what a variable holds is not kept */
	CHECK(j != NULL && image_load(j, a, &back));
	CHECK(span_eq(back.user, SPAN("app")) && back.secrets && back.created == c->created && back.n_labels == 2 && back.n_diff_ids == 1);
	json_object_del(j, "user");
	CHECK(!image_load(j, a, &back));
	free(text);
	json_decref(j);
	arena_free(a);
}

static void
test_manifest(void)
{
	static const char text[] = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{"
	    "\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" DIFF "\",\"size\":10},\"layers\":[{\"mediaType\":"
	    "\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" DIFF "\",\"size\":32},{\"mediaType\":"
	    "\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" DIFF "\",\"size\":9223372036854775807,"
	    "\"urls\":[\"https://x/\"]}],\"annotations\":{\"a\":\"b\"},\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"" DIFF "\",\"size\":1}}";
	struct arena *a = arena_new(1u << 20);
	struct fact facts[KEY_MAX] = { 0 };
	struct manifest m;
	char err[200];

	CHECK(manifest_read(span_of(text), SPAN("application/vnd.oci.image.manifest.v1+json"), a, &m, err, sizeof err));
	CHECK(manifest_tell(&m, span_of(text), a, facts));
	CHECK(is(&facts[KEY_IMAGE_MEDIA_TYPE], "application/vnd.oci.image.manifest.v1+json"));
	CHECK(is(&facts[KEY_IMAGE_ARTIFACT_TYPE], "application/vnd.oci.image.config.v1+json"));
	CHECK(is(&facts[KEY_IMAGE_SIZE_BYTES], "9223372036854775807") && is(&facts[KEY_IMAGE_LAYER_COUNT], "2"));
	CHECK(is(&facts[KEY_IMAGE_FOREIGN_LAYERS], "true") && facts[KEY_IMAGE_LAYER_MEDIA_TYPES].n_values == 1);
	CHECK(has(&facts[KEY_IMAGE_DIGESTS], m.digest) && has(&facts[KEY_IMAGE_DIGESTS], DIFF) && has(&facts[KEY_IMAGE_ANNOTATION], "b"));
	arena_free(a);
}

int
main(void)
{
	test_secrets();
	test_reading();
	test_users();
	test_index();
	test_kept();
	test_manifest();
	return check_done();
}
