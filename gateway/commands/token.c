/*
 * token.c - `tidewaiter token`: keys and tokens for tests and demonstrations, and what the gateway makes of a token.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/commands/command.h"
#include "gateway/file.h"
#include "gateway/token/mint.h"
#include "policy/base64url.h"
#include "policy/jws.h"

#define FILE_MAX	((size_t)1 << 20)
#define RSA_BITS	3072u

static const char usage[] =
    "usage: tidewaiter token keygen --alg ALG --kid KID --out PREFIX\n"
    "       tidewaiter token mint --key FILE --kid KID --alg ALG --iss URL --aud NAME --sub NAME [--lifetime SECONDS]\n"
    "                             [--groups A,B] [--claim NAME=TEXT]... [--claim-json NAME=JSON]...\n"
    "       tidewaiter token verify --jwks FILE --iss URL --aud NAME [--alg ALG]... [--now SECONDS] < TOKEN\n"
    "\n"
    "keygen  a new key pair: PREFIX.pem, the private key (mode 0600), and PREFIX.jwks.json, for the option jwks-file\n"
    "mint    a token on standard output, signed by libjwt; lives 3600 seconds unless told otherwise\n"
    "verify  check a token as the gateway does; the identity as one JSON object, or the reason why not\n"
    "\n"
    "ALG is RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA; libjwt mints no PS and no EdDSA.\n"
    "For tests and demonstrations: real identities come from an identity provider.\n"
    "Exit status: 0 fine, 1 a problem, 2 the command line was not understood.\n";

struct options {
	const char *kid, *out, *key, *iss, *aud, *sub, *jwks;
	enum jws_alg alg;
	unsigned algorithms;
	int64_t lifetime, now;
	json_t *claims;
};

PRINTF(1, 2)
static int
problem(const char *fmt, ...)
{
	va_list ap;

	fputs("tidewaiter token: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- files ---- */

/* The caller's to free; {NULL,0} after a message. */
static struct span
text_of(const char *path)
{
	char err[256];
	size_t n = 0;
	const char *text = file_read(path, FILE_MAX, &n, err, sizeof err);

	if (text == NULL)
		problem("%s: %s", path, err);
	return (struct span){ text, n };
}

/* A new file; one that exists is never written over. */
static FILE *
file_new(char *path, size_t size, const char *prefix, const char *suffix, mode_t mode)
{
	int n = snprintf(path, size, "%s%s", prefix, suffix), fd;

	if (n < 0 || (size_t)n >= size) {
		problem("--out is too long");
		return NULL;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) {
		problem("%s: %s", path, strerror(errno));
		return NULL;
	}
	return fdopen(fd, "w");
}

/* ---- keygen ---- */

static bool
member_of(json_t *o, const char *name, const unsigned char *bytes, size_t n)
{
	char text[BASE64URL_ENCODED(RSA_BITS / 8 + 8)];

	return json_object_set_new(o, name, json_stringn(text, base64url_encode(bytes, n, text))) == 0;
}

static bool
number_of(json_t *o, const char *name, const EVP_PKEY *key, const char *param, int size)
{
	unsigned char bytes[RSA_BITS / 8 + 8];
	BIGNUM *bn = NULL;
	bool ok;

	ok = EVP_PKEY_get_bn_param(key, param, &bn) == 1;
	if (size == 0)
		size = bn == NULL ? 0 : BN_num_bytes(bn);
	ok = ok && (size_t)size <= sizeof bytes && BN_bn2binpad(bn, bytes, size) == size &&
	    member_of(o, name, bytes, (size_t)size);
	BN_free(bn);
	return ok;
}

static const char *
curve_of(enum jws_alg alg)
{
	return alg == JWS_ES256 ? "P-256" : alg == JWS_ES384 ? "P-384" : "P-521";
}

static bool
members_of(json_t *o, const EVP_PKEY *key, enum jws_alg alg)
{
	const struct jws_alg_row *row = jws_alg_row(alg);
	unsigned char raw[32];
	size_t n = sizeof raw;

	switch (row->family) {
	case FAMILY_RSA:
	case FAMILY_PSS:
		return json_object_set_new(o, "kty", json_string("RSA")) == 0 &&
		    number_of(o, "n", key, OSSL_PKEY_PARAM_RSA_N, 0) && number_of(o, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	case FAMILY_EC:
		return json_object_set_new(o, "kty", json_string("EC")) == 0 &&
		    json_object_set_new(o, "crv", json_string(curve_of(alg))) == 0 &&
		    number_of(o, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, (int)row->bytes) &&
		    number_of(o, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, (int)row->bytes);
	case FAMILY_ED:
		return EVP_PKEY_get_raw_public_key(key, raw, &n) == 1 && json_object_set_new(o, "kty", json_string("OKP")) == 0 &&
		    json_object_set_new(o, "crv", json_string("Ed25519")) == 0 && member_of(o, "x", raw, n);
	case FAMILY_NONE:
		break;
	}
	return false;
}

static json_t *
jwks_of(const EVP_PKEY *key, const struct options *opt)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "use", "sig", "alg", jws_alg_name(opt->alg), "kid", opt->kid);

	if (members_of(o, key, opt->alg))
		return json_pack("{s:[o]}", "keys", o);
	json_decref(o);
	return NULL;
}

static EVP_PKEY *
key_new(enum jws_alg alg)
{
	switch (jws_alg_row(alg)->family) {
	case FAMILY_RSA:
	case FAMILY_PSS:
		return EVP_RSA_gen(RSA_BITS);
	case FAMILY_EC:
		return EVP_EC_gen(curve_of(alg));
	case FAMILY_ED:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	case FAMILY_NONE:
		break;
	}
	return NULL;
}

static bool
keys_write(EVP_PKEY *key, const struct options *opt)
{
	char path[4096];
	json_t *jwks = jwks_of(key, opt);
	FILE *f = jwks == NULL ? NULL : file_new(path, sizeof path, opt->out, ".pem", 0600);
	bool ok = f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;

	if (f != NULL)
		ok = fclose(f) == 0 && ok;
	if (ok) {
		printf("%s\n", path);
		f = file_new(path, sizeof path, opt->out, ".jwks.json", 0644);
		ok = f != NULL && json_dumpf(jwks, f, JSON_INDENT(2)) == 0 && fputc('\n', f) != EOF;
		if (f != NULL)
			ok = fclose(f) == 0 && ok;
		if (ok)
			printf("%s\n", path);
	}
	json_decref(jwks);
	return ok;
}

static int
keygen(const struct options *opt)
{
	EVP_PKEY *key;
	bool ok;

	if (opt->kid == NULL || opt->out == NULL || opt->alg == JWS_ALG_NONE) {
		fputs(usage, stderr);
		return 2;
	}
	key = key_new(opt->alg);
	ok = key != NULL && keys_write(key, opt);
	EVP_PKEY_free(key);
	return ok ? 0 : problem("no key was made");
}

/* ---- mint ---- */

static int
mint(const struct options *opt)
{
	unsigned char id[12];
	char jti[BASE64URL_ENCODED(sizeof id) + 1], err[256], *token;
	struct span key;

	if (opt->key == NULL || opt->kid == NULL || opt->iss == NULL || opt->aud == NULL || opt->sub == NULL ||
	    opt->alg == JWS_ALG_NONE) {
		fputs(usage, stderr);
		return 2;
	}
	if (RAND_bytes(id, sizeof id) != 1)
		return problem("no randomness");
	jti[base64url_encode(id, sizeof id, jti)] = '\0';
	if (json_object_set_new(opt->claims, "iss", json_string(opt->iss)) != 0 ||
	    json_object_set_new(opt->claims, "aud", json_string(opt->aud)) != 0 ||
	    json_object_set_new(opt->claims, "sub", json_string(opt->sub)) != 0 ||
	    json_object_set_new(opt->claims, "jti", json_string(jti)) != 0 ||
	    json_object_set_new(opt->claims, "iat", json_integer(opt->now)) != 0 ||
	    json_object_set_new(opt->claims, "exp", json_integer(opt->now + opt->lifetime)) != 0)
		return problem("iss, aud and sub are UTF-8 texts");
	key = text_of(opt->key);
	if (key.p == NULL)
		return 1;
	token = mint_token(key, opt->kid, NULL, opt->alg, opt->claims, err, sizeof err);
	free((char *)(uintptr_t)key.p);
	if (token == NULL)
		return problem("%s: %s", opt->key, err);
	puts(token);
	free(token);
	return fflush(stdout) == 0 ? 0 : problem("standard output cannot be written");
}

/* ---- verify ---- */

static struct issuer_table *
issuer_of(const struct options *opt)
{
	struct span text = text_of(opt->jwks);
	struct issuer_table *t;
	struct keyset *keys;
	char err[512];

	if (text.p == NULL)
		return NULL;
	keys = keyset_parse(text.p, text.n, err, sizeof err);
	free((char *)(uintptr_t)text.p);
	if (keys == NULL) {
		problem("%s: %s", opt->jwks, err);
		return NULL;
	}
	t = issuer_table_new(1);
	if (t != NULL && issuer_table_add(t, &(struct issuer_rule){ .alias = "issuer", .url = opt->iss, .audiences = &opt->aud,
	    .n_audiences = 1, .algorithms = opt->algorithms, .leeway = 60, .keys = keys }))
		return t;
	keyset_free(keys);
	issuer_table_unref(t);
	problem("out of memory");
	return NULL;
}

static int
identity_print(const struct identity *who)
{
	json_t *ids = json_array(), *o;
	bool ok;

	for (size_t i = 0; i < who->n_ids; i++)
		json_array_append_new(ids, json_stringn(who->ids[i].p, who->ids[i].n));
	o = json_pack("{s:s%, s:s%, s:I, s:I, s:o, s:O}", "subject", who->subject.p, who->subject.n, "key_id", who->key_id.p,
	    who->key_id.n, "issued_at", (json_int_t)who->issued_at, "expires_at", (json_int_t)who->expires_at, "ids", ids,
	    "claims", who->claims);
	ok = o != NULL && json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && fputc('\n', stdout) != EOF && fflush(stdout) == 0;
	json_decref(o);
	return ok ? 0 : problem("standard output cannot be written");
}

static int
verify(const struct options *opt)
{
	const struct identity *who = NULL;
	enum token_outcome outcome;
	struct issuer_table *t;
	char text[TOKEN_MAX + 2];
	struct span token = { text, 0 };
	int status;

	if (opt->jwks == NULL || opt->iss == NULL || opt->aud == NULL) {
		fputs(usage, stderr);
		return 2;
	}
	t = issuer_of(opt);
	if (t == NULL)
		return 1;
	token.n = fread(text, 1, sizeof text, stdin);
	while (token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
		token.n--;
	outcome = token_verify(t, token, opt->now, 0, &who);
	status = outcome == TOKEN_OK ? identity_print(who) : problem("%s", token_outcome_text(outcome));
	identity_unref(who);
	issuer_table_unref(t);
	return status;
}

/* ---- the command line ---- */

static bool
seconds_of(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= (int64_t)1 << 40;
}

static bool
groups_of(json_t *claims, const char *text)
{
	json_t *list = json_array();

	while (list != NULL && *text != '\0') {
		size_t n = strcspn(text, ",");

		if (n == 0 || json_array_append_new(list, json_stringn(text, n)) != 0) {
			json_decref(list);
			return false;
		}
		text += n + (text[n] == ',');
	}
	return json_object_set_new(claims, "groups", list) == 0;
}

/* NAME=TEXT, or NAME=JSON. */
static bool
claim_of(json_t *claims, const char *text, bool json)
{
	const char *eq = strchr(text, '=');
	json_t *v;

	if (eq == NULL || eq == text)
		return false;
	v = json ? json_loads(eq + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : json_string(eq + 1);
	return json_object_setn_new(claims, text, (size_t)(eq - text), v) == 0;
}

static bool
option(struct options *o, int opt, const char *arg)
{
	switch (opt) {
	case 'a':
		o->alg = jws_alg_parse(span_of(arg));
		o->algorithms |= 1u << o->alg;
		return o->alg != JWS_ALG_NONE;
	case 'A':
		o->aud = arg;
		return true;
	case 'c':
		return claim_of(o->claims, arg, false);
	case 'C':
		return claim_of(o->claims, arg, true);
	case 'g':
		return groups_of(o->claims, arg);
	case 'i':
		o->iss = arg;
		return true;
	case 'j':
		o->jwks = arg;
		return true;
	case 'k':
		o->kid = arg;
		return true;
	case 'K':
		o->key = arg;
		return true;
	case 'l':
		return seconds_of(arg, &o->lifetime);
	case 'n':
		return seconds_of(arg, &o->now);
	case 'o':
		o->out = arg;
		return true;
	case 's':
		o->sub = arg;
		return true;
	default:
		return false;
	}
}

static int
run(struct options *o, int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "alg", required_argument, NULL, 'a' },
		{ "aud", required_argument, NULL, 'A' },
		{ "claim", required_argument, NULL, 'c' },
		{ "claim-json", required_argument, NULL, 'C' },
		{ "groups", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ "iss", required_argument, NULL, 'i' },
		{ "jwks", required_argument, NULL, 'j' },
		{ "key", required_argument, NULL, 'K' },
		{ "kid", required_argument, NULL, 'k' },
		{ "lifetime", required_argument, NULL, 'l' },
		{ "now", required_argument, NULL, 'n' },
		{ "out", required_argument, NULL, 'o' },
		{ "sub", required_argument, NULL, 's' },
		{ 0 },
	};
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (!option(o, opt, optarg)) {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (o->algorithms == 0)
		o->algorithms = ~(1u << JWS_ALG_NONE);
	if (argc - optind == 1 && strcmp(argv[optind], "keygen") == 0)
		return keygen(o);
	if (argc - optind == 1 && strcmp(argv[optind], "mint") == 0)
		return mint(o);
	if (argc - optind == 1 && strcmp(argv[optind], "verify") == 0)
		return verify(o);
	fputs(usage, stderr);
	return 2;
}

int
token_command(int argc, char **argv)
{
	struct options o = { .lifetime = 3600, .now = (int64_t)time(NULL), .claims = json_object() };
	int status = o.claims == NULL ? problem("out of memory") : run(&o, argc, argv);

	json_decref(o.claims);
	return status;
}
