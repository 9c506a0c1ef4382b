/*
 * granted.c - see granted.h: a table of hashes, each row overwritten by the next one that falls there.
 *
 * The hash covers all that policy could look at and that differs between callers and moments: the identity with its claims, the
 * connection's addresses and certificate, the client, and the generation of the configuration.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/steps/granted.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "gateway/request.h"

#define ROWS	    1024u
#define LIFETIME_MS 60000

struct row {
	unsigned char key[32];
	int64_t until; /* monotonic ms; 0: empty */
	bool may;
};
struct granted {
	struct row rows[ROWS];
};

struct granted *
granted_new(void)
{
	return calloc(1, sizeof(struct granted));
}

void
granted_free(struct granted *g)
{
	free(g);
}

/* Texts with their lengths, so that no two sequences are the same bytes. */
static void
add(EVP_MD_CTX *md, struct span s)
{
	uint64_t n = s.n;

	EVP_DigestUpdate(md, &n, sizeof n);
	EVP_DigestUpdate(md, s.p == NULL ? "" : s.p, s.n);
}

static bool
key_of(const struct request *r, const struct grant *m, unsigned char out[static 32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const struct identity *who = r->authn.who;
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	struct span authorization = r->head.field[HTTP_FIELD_AUTHORIZATION];

	if (ok) {
		add(md, span_of(policy_hash(r->policy)));
		add(md, (struct span){ (const char *)&r->serving, sizeof r->serving });
		for (size_t i = 0; i < who->n_ids; i++)
			add(md, who->ids[i]);
		/* claims are the token's */
		add(md, authorization);
		add(md, r->conn->certificate == NULL ? SPAN_NONE : r->conn->certificate->sha256);
		add(md, span_of(r->client.ip));
		add(md, span_of(r->conn->peer.ip));
		add(md, r->head.field[HTTP_FIELD_USER_AGENT]);
		add(md, stream_sni(r->conn->stream));
		add(md, span_of(r->upstream_config->registry));
		add(md, r->route.repository);
		add(md, span_of(m->digest));
		add(md, span_of(m->tag));
		ok = EVP_DigestFinal_ex(md, out, NULL) == 1;
	}
	EVP_MD_CTX_free(md);
	return ok;
}

static size_t
place(const unsigned char key[static 32])
{
	return ((size_t)key[0] << 8 | key[1]) % ROWS;
}

bool
granted_known(const struct granted *g, const struct request *r, const struct grant *m, bool *may)
{
	unsigned char key[32];
	const struct row *row;

	if (!key_of(r, m, key))
		return false;
	row = &g->rows[place(key)];
	if (row->until <= loop_monotonic_ms(r->worker->loop) || memcmp(row->key, key, sizeof key) != 0)
		return false;
	*may = row->may;
	return true;
}

void
granted_remember(struct granted *g, const struct request *r, const struct grant *m, bool may)
{
	unsigned char key[32];
	struct row *row;

	if (!key_of(r, m, key))
		return;
	row = &g->rows[place(key)];
	memcpy(row->key, key, sizeof key);
	row->until = loop_monotonic_ms(r->worker->loop) + (may ? LIFETIME_MS : LIFETIME_MS / 12);
	row->may = may;
}
