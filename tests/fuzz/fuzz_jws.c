/*
 * fuzz_jws.c - any bytes as a token, and as header and payload that our key signs.
 * A token nobody signed is never good; a signed one is good only when its claims are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "policy/issuer.h"
#include "tests/unit/signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;

static struct issuer_table *
table_new(void)
{
	static const char *const audiences[] = { "gw" };
	struct issuer_rule rule = { .alias = "a", .url = "https://a", .audiences = audiences, .n_audiences = 1,
		.algorithms = 1u << JWS_ES256 | 1u << JWS_RS256, .leeway = 60 };
	char jwk[1024], text[2048], err[256];
	struct issuer_table *t = issuer_table_new(1);

	key = EVP_EC_gen("P-256");
	signer_jwk(key, "\"kid\":\"k\",", jwk, sizeof jwk);
	snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
	rule.keys = keyset_parse(text, strlen(text), err, sizeof err);
	if (t == NULL || rule.keys == NULL || !issuer_table_add(t, &rule))
		abort();
	return t;
}

static void
check_identity(const struct identity *who)
{
	if (who->subject.n == 0 || who->n_ids != 2 + who->n_groups + who->n_roles + who->groups_unknown || !json_is_object(who->claims) ||
	    !span_eq(who->issuer, SPAN("a")) || who->expires_at <= 0)
		abort();
	for (size_t i = 0; i < who->n_ids; i++)
		for (size_t k = 0; k < who->ids[i].n; k++)
			if ((unsigned char)who->ids[i].p[k] < ' ')
				abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct issuer_table *table;
	static char token[SIGNER_MAX];
	const struct identity *who = NULL;
	const uint8_t *cut;
	size_t n;

	if (table == NULL)
		table = table_new();
	if (token_verify(table, (struct span){ (const char *)data, size }, 1700000000, 0, &who) == TOKEN_OK)
		abort();	/* nobody has the key */
	cut = size == 0 ? NULL : memchr(data, '\n', size);
	if (cut == NULL || size > 12000)
		return 0;
	n = signer_token(key, (struct span){ (const char *)data, (size_t)(cut - data) },
	    (struct span){ (const char *)cut + 1, size - (size_t)(cut - data) - 1 }, false, token);
	if (token_verify(table, (struct span){ token, n }, 1700000000, 0, &who) == TOKEN_OK) {
		check_identity(who);
		identity_unref(who);
	}
	return 0;
}
