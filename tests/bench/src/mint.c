/*
 * mint.c - many signed tokens, fast, and the key set that verifies them. Test keys only.
 *
 * mint tokens RS256|ES256 KEY-FILE KID ISSUER COUNT: one compact JWS a line, each with its own jti, about 1 KB
 * mint jwks RSA-KEY-FILE RSA-KID EC-KEY-FILE EC-KID: RFC 7517
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_SIZE	1024	/* as large as CI tokens are */
#define LIFETIME	43200	/* seconds */
#define COORDINATE	32	/* bytes of a P-256 coordinate, and of each half of an ES256 signature */

static void
die(const char *what)
{
	fprintf(stderr, "mint: %s\n", what);
	exit(1);
}

static EVP_PKEY *
key_read(const char *file)
{
	FILE *f = fopen(file, "r");
	EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if (key == NULL)
		die(file);
	fclose(f);
	return key;
}

/* base64url without padding (RFC 7515 appendix C); the length written. */
static size_t
encode(const unsigned char *in, size_t n, char *out)
{
	size_t length = (size_t)EVP_EncodeBlock((unsigned char *)out, in, (int)n);

	while (length > 0 && out[length - 1] == '=')
		length--;
	out[length] = '\0';
	for (size_t i = 0; i < length; i++) {
		if (out[i] == '+')
			out[i] = '-';
		else if (out[i] == '/')
			out[i] = '_';
	}
	return length;
}

/* DER signature to the two halves of RFC 7518 section 3.4. */
static void
join_halves(const unsigned char *der, size_t n, unsigned char *out)
{
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)n);

	if (s == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(s), out, COORDINATE) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(s), out + COORDINATE, COORDINATE) < 0)
		die("signature");
	ECDSA_SIG_free(s);
}

static size_t
sign(EVP_PKEY *key, bool ec, const char *text, size_t n, unsigned char *out, size_t size)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char der[128];
	size_t length = ec ? sizeof der : size;

	if (c == NULL || EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(c, ec ? der : out, &length, (const unsigned char *)text, n) != 1)
		die("sign");
	EVP_MD_CTX_free(c);
	if (!ec)
		return length;
	join_halves(der, length, out);
	return (size_t)2 * COORDINATE;
}

static int
claims(char *out, size_t size, const char *issuer, unsigned long number, int fill)
{
	long long now = (long long)time(NULL);

	return snprintf(out, size, "{\"iss\":\"%s\",\"sub\":\"repo:acme/app:ref:refs/heads/main\","
	    "\"aud\":\"registry\",\"exp\":%lld,\"nbf\":%lld,\"iat\":%lld,\"jti\":\"%016lx\",\"env\":\"prod\","
	    "\"groups\":[\"dev\",\"ops\"],\"repository\":\"acme/app\",\"ref\":\"refs/heads/main\","
	    "\"access\":[{\"type\":\"repository\",\"name\":\"app\",\"actions\":[\"pull\",\"push\"]}],"
	    "\"fill\":\"%*s\"}", issuer, now + LIFETIME, now - 60, now - 60, number, fill, "");
}

static void
mint(EVP_PKEY *key, const char *alg, const char *kid, const char *issuer, unsigned long number)
{
	bool ec = strcmp(alg, "ES256") == 0;
	char header[256], payload[TOKEN_SIZE + 1024], token[2 * TOKEN_SIZE + 2048];
	unsigned char signature[1024];
	size_t length;
	int fill, n = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", alg, kid);

	length = encode((unsigned char *)header, (size_t)n, token);
	/* so that tokens of both algorithms have one size: 4 characters for 3 bytes, signatures of 64 and 256 bytes */
	fill = (TOKEN_SIZE - (int)length - (ec ? 86 : 342)) * 3 / 4 -
	    claims(payload, sizeof payload, issuer, number, 0);
	n = claims(payload, sizeof payload, issuer, number, fill > 0 ? fill : 0);
	if (n >= (int)sizeof payload)
		die("claims are too long");
	token[length++] = '.';
	length += encode((unsigned char *)payload, (size_t)n, token + length);
	n = (int)sign(key, ec, token, length, signature, sizeof signature);
	token[length++] = '.';
	length += encode(signature, (size_t)n, token + length);
	token[length++] = '\n';
	if (fwrite(token, 1, length, stdout) != length)
		die("write");
}

static void
print_number(EVP_PKEY *key, const char *parameter, const char *member, int size)
{
	BIGNUM *number = NULL;
	unsigned char bytes[1024];
	char text[2048];
	int n;

	if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1)
		die(parameter);
	n = size > 0 ? size : BN_num_bytes(number);
	if (n > (int)sizeof bytes || BN_bn2binpad(number, bytes, n) != n)
		die(member);
	encode(bytes, (size_t)n, text);
	printf(",\"%s\":\"%s\"", member, text);
	BN_free(number);
}

static void
print_jwks(const char *rsa_file, const char *rsa_kid, const char *ec_file, const char *ec_kid)
{
	EVP_PKEY *rsa = key_read(rsa_file), *ec = key_read(ec_file);

	printf("{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"%s\"", rsa_kid);
	print_number(rsa, OSSL_PKEY_PARAM_RSA_N, "n", 0);
	print_number(rsa, OSSL_PKEY_PARAM_RSA_E, "e", 0);
	printf("},{\"kty\":\"EC\",\"use\":\"sig\",\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"%s\"", ec_kid);
	print_number(ec, OSSL_PKEY_PARAM_EC_PUB_X, "x", COORDINATE);
	print_number(ec, OSSL_PKEY_PARAM_EC_PUB_Y, "y", COORDINATE);
	puts("}]}");
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

int
main(int argc, char **argv)
{
	if (argc == 7 && strcmp(argv[1], "tokens") == 0) {
		EVP_PKEY *key = key_read(argv[3]);
		unsigned long count = strtoul(argv[6], NULL, 10);

		for (unsigned long i = 0; i < count; i++)
			mint(key, argv[2], argv[4], argv[5], i);
		EVP_PKEY_free(key);
	} else if (argc == 6 && strcmp(argv[1], "jwks") == 0) {
		print_jwks(argv[2], argv[3], argv[4], argv[5]);
	} else {
		return 2;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
