/*
 * rekor.c - entries of a transparency log: that a log of the trust has it, since when, and that it is about this signature.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <openssl/pem.h>
#include <openssl/err.h>
#include <stdio.h>

#include "policy/signature/parts.h"

#define BODY_MAX	(1u << 20)
#define NOTE_MAX	(64u << 10)
#define NOTE_SIGNATURES 16u

/* ---- read ---- */

static bool
read_body(struct arena *a, struct span text, struct log_entry *e)
{
	e->body_text = arena_dup(a, text);
	return unbase64(a, e->body_text, BODY_MAX, &e->body);
}

static bool
read_proof(struct arena *a, const json_t *proof, struct log_entry *e)
{
	const json_t *hashes = json_object_get(proof, "hashes");

	e->n_hashes = json_array_size(hashes);
	e->has_proof = true;
	if (e->n_hashes > sizeof e->hashes / sizeof *e->hashes || !json_int64(proof, "treeSize", &e->tree_size) ||
	    !unbase64(a, json_span(proof, "rootHash"), 64, &e->root) || e->root.n != 32)
		return false;
	/* proto3 leaves out a 0 */
	if (!json_int64(proof, "logIndex", &e->proof_index) && json_object_get(proof, "logIndex") != NULL)
		return false;
	for (size_t i = 0; i < e->n_hashes; i++) {
		const char *text = json_string_value(json_array_get(hashes, i));

		if (text == NULL || !unbase64(a, span_of(text), 64, &e->hashes[i]) || e->hashes[i].n != 32)
			return false;
	}
	e->checkpoint = arena_dup(a, json_span(json_object_get(proof, "checkpoint"), "envelope"));
	return e->checkpoint.n > 0 && e->checkpoint.n <= NOTE_MAX;
}

bool
entry_of_bundle(struct arena *a, const json_t *o, struct log_entry *e)
{
	const json_t *proof = json_object_get(o, "inclusionProof"), *promise = json_object_get(o, "inclusionPromise");

	memset(e, 0, sizeof *e);
	if (!read_body(a, json_span(o, "canonicalizedBody"), e) ||
	    !unbase64(a, json_span(json_object_get(o, "logId"), "keyId"), 64, &e->log_id) || e->log_id.n > 32)
		return false;
	if ((!json_int64(o, "logIndex", &e->index) && json_object_get(o, "logIndex") != NULL) ||
	    (!json_int64(o, "integratedTime", &e->integrated) && json_object_get(o, "integratedTime") != NULL))
		return false;
	if (promise != NULL && !unbase64(a, json_span(promise, "signedEntryTimestamp"), 2048, &e->promise))
		return false;
	return proof == NULL || read_proof(a, proof, e);
}

bool
entry_of_annotation(struct arena *a, const json_t *o, struct log_entry *e)
{
	const json_t *payload = json_object_get(o, "Payload");
	struct span id = json_span(payload, "logID");
	char digest[72];
	unsigned char *bytes = arena_alloc(a, 32);

	memset(e, 0, sizeof *e);
	if (id.n != 64 || bytes == NULL)
		return false;
	memcpy(digest, "sha256:", 7);
	memcpy(digest + 7, id.p, 64);
	e->log_id = (struct span){ (const char *)bytes, 32 };
	return digest_bytes((struct span){ digest, 71 }, bytes) && read_body(a, json_span(payload, "body"), e) &&
	    json_int64(payload, "logIndex", &e->index) && json_int64(payload, "integratedTime", &e->integrated) &&
	    unbase64(a, json_span(o, "SignedEntryTimestamp"), 2048, &e->promise);
}

/* ---- a log has it ---- */

/* What a SET signs: the canonical form (RFC 8785) of these four. */
static bool
promise_good(struct arena *a, const struct trust_key *log, const struct log_entry *e)
{
	char id[72];
	struct span text;

	if (e->log_id.n != 32 || memcmp(e->log_id.p, log->hash, 32) != 0 || e->integrated <= 0)
		return false;
	digest_text((const unsigned char *)e->log_id.p, id);
	text = arena_printf(a, "{\"body\":\"%.*s\",\"integratedTime\":%" PRId64 ",\"logID\":\"%s\",\"logIndex\":%" PRId64 "}",
	    SPAN_FMT(e->body_text), e->integrated, id + 7, e->index);
	return text.n > 0 && signed_by_bytes(log->key, text, e->promise);
}

static void
hash_node(unsigned char left[static 32], const unsigned char *a, const unsigned char *b)
{
	char bytes[65];

	bytes[0] = 1;
	memcpy(bytes + 1, a, 32);
	memcpy(bytes + 33, b, 32);
	sha256((struct span){ bytes, sizeof bytes }, left);
}

/* RFC 9162 section 2.1.3.2 (the tree is RFC 6962's). */
static bool
included(struct arena *a, const struct log_entry *e)
{
	uint64_t fn = (uint64_t)e->proof_index, sn = (uint64_t)e->tree_size;
	unsigned char hash[32];
	char *leaf = arena_alloc(a, e->body.n + 1);

	if (leaf == NULL || fn >= sn)
		return false;
	sn--;
	leaf[0] = 0;
	memcpy(leaf + 1, e->body.p, e->body.n);
	sha256((struct span){ leaf, e->body.n + 1 }, hash);
	for (size_t i = 0; i < e->n_hashes; i++) {
		const unsigned char *with = (const unsigned char *)e->hashes[i].p;

		if (sn == 0)
			return false;
		if ((fn & 1) != 0 || fn == sn) {
			hash_node(hash, with, hash);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else
			hash_node(hash, hash, with);
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && memcmp(hash, e->root.p, 32) == 0;
}

/* The next line of a note, without its end. */
static struct span
next_line(struct span *s)
{
	const char *end = s->n == 0 ? NULL : memchr(s->p, '\n', s->n);
	struct span line = { s->p, end == NULL ? s->n : (size_t)(end - s->p) };

	*s = span_skip(*s, end == NULL ? s->n : line.n + 1);
	return line;
}

/* "- name base64": the hint of 4 bytes is not needed, all logs are tried. */
static bool
line_signs(struct arena *a, const struct trust_key *log, struct span line, struct span text)
{
	static const char dash[] = "\xe2\x80\x94 ";
	const char *space;
	struct span signature;

	if (!span_starts(line, SPAN(dash)))
		return false;
	line = span_skip(line, sizeof dash - 1);
	space = line.n == 0 ? NULL : memchr(line.p, ' ', line.n);
	if (space == NULL)
		return false;
	line = span_skip(line, (size_t)(space - line.p) + 1);
	return unbase64(a, line, 2048, &signature) && signature.n > 4 && signed_by_bytes(log->key, text, span_skip(signature, 4));
}

/* A signed note: origin, size, root; the proof is about this tree. */
static bool
checkpoint_good(struct arena *a, const struct trust_key *log, const struct log_entry *e)
{
	struct span rest = e->checkpoint, text = rest, line, root;
	char size[24];

	snprintf(size, sizeof size, "%" PRId64, e->tree_size);
	if (next_line(&rest).n == 0 || !span_eq(next_line(&rest), span_of(size)) || !unbase64(a, next_line(&rest), 64, &root) ||
	    !span_eq(root, e->root))
		return false;
	do {
		line = next_line(&rest);
	} while (line.n > 0 && rest.n > 0);
	if (line.n > 0)
		return false;
	text.n = (size_t)(rest.p - text.p) - 1;
	for (unsigned i = 0; rest.n > 0 && i < NOTE_SIGNATURES; i++)
		if (line_signs(a, log, next_line(&rest), text))
			return true;
	return false;
}

/* ---- it is about this signature ---- */

/* Base64 of the signature, as it stands in JSON. */
static bool
same_bytes(struct arena *a, struct span text, struct span bytes)
{
	struct span got;

	return unbase64(a, text, BODY_MAX, &got) && span_eq(got, bytes);
}

/* Base64 of a PEM certificate: it is the leaf. */
static bool
same_leaf(struct arena *a, struct span text, const X509 *leaf)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	struct span pem;
	bool ok = list != NULL && leaf != NULL && unbase64(a, text, NOTE_MAX, &pem) && certificates_pem(pem, list) &&
	    sk_X509_num(list) == 1 && X509_cmp(sk_X509_value(list, 0), leaf) == 0;

	sk_X509_pop_free(list, X509_free);
	return ok;
}

static bool
same_hash(const json_t *hash, const unsigned char want[static 32])
{
	char digest[72];

	digest_text(want, digest);
	return span_eq(json_span(hash, "algorithm"), SPAN("sha256")) && span_eq(json_span(hash, "value"), span_of(digest + 7));
}

static bool
hashedrekord_about(struct review *r, const json_t *spec, const struct signing *s)
{
	const json_t *signature = json_object_get(spec, "signature");
	unsigned char hash[32];

	if (s->says == SAYS_DIGEST)
		memcpy(hash, r->digest, sizeof hash);
	else
		sha256(s->input, hash);
	return same_hash(json_object_get(json_object_get(spec, "data"), "hash"), hash) &&
	    same_bytes(r->arena, json_span(signature, "content"), s->signature) &&
	    same_leaf(r->arena, json_span(json_object_get(signature, "publicKey"), "content"), s->leaf);
}

static bool
dsse_about(struct review *r, const json_t *spec, const struct signing *s)
{
	const json_t *signatures = json_object_get(spec, "signatures"), *one = json_array_get(signatures, 0);
	unsigned char hash[32];

	sha256(s->payload, hash);
	return s->says == SAYS_STATEMENT && json_array_size(signatures) == 1 && same_hash(json_object_get(spec, "payloadHash"), hash) &&
	    same_bytes(r->arena, json_span(one, "signature"), s->signature) && same_leaf(r->arena, json_span(one, "verifier"), s->leaf);
}

/* 0.0.2: signatures in the envelope, in base64 twice. 0.0.1: the certificate and the payload only. */
static bool
intoto_about(struct review *r, const json_t *spec, const struct signing *s)
{
	const json_t *content = json_object_get(spec, "content"), *envelope = json_object_get(content, "envelope");
	const json_t *signatures = json_object_get(envelope, "signatures"), *one = json_array_get(signatures, 0);
	unsigned char hash[32];
	struct span text;

	sha256(s->payload, hash);
	if (s->says != SAYS_STATEMENT || !same_hash(json_object_get(content, "payloadHash"), hash))
		return false;
	if (envelope == NULL)
		return same_leaf(r->arena, json_span(spec, "publicKey"), s->leaf);
	return json_array_size(signatures) == 1 && unbase64(r->arena, json_span(one, "sig"), NOTE_MAX, &text) &&
	    same_bytes(r->arena, text, s->signature) && same_leaf(r->arena, json_span(one, "publicKey"), s->leaf);
}

static bool
is_about(struct review *r, const struct signing *s, const struct log_entry *e)
{
	json_t *body = read_json(e->body);
	const json_t *spec = json_object_get(body, "spec");
	struct span kind = json_span(body, "kind");
	bool ok = false;

	if (span_eq(kind, SPAN("hashedrekord")))
		ok = hashedrekord_about(r, spec, s);
	else if (span_eq(kind, SPAN("dsse")))
		ok = dsse_about(r, spec, s);
	else if (span_eq(kind, SPAN("intoto")))
		ok = intoto_about(r, spec, s);
	json_decref(body);
	return ok;
}

/* All that is there must hold; a promise alone, or a proof alone, is enough. */
static const char *
log_refused(struct arena *a, const struct trust_key *log, const struct log_entry *e)
{
	if (e->promise.n == 0 && !e->has_proof)
		return "an entry without promise or proof of a log";
	if (e->promise.n > 0 && !promise_good(a, log, e))
		return "the log's promise (SET) is not of a trusted log";
	if (e->has_proof && !included(a, e))
		return "the log's inclusion proof does not hold";
	if (e->has_proof && !checkpoint_good(a, log, e))
		return "the log's checkpoint is not of a trusted log";
	return NULL;
}

bool
entry_proves(struct review *r, const struct trust_one *t, const struct signing *s, const struct log_entry *e, int64_t *when,
    const char **why)
{
	const char *refused = NULL;

	*when = 0;
	for (size_t i = 0; i < t->n_logs; i++) {
		refused = log_refused(r->arena, &t->logs[i], e);
		if (refused == NULL)
			break;
		*why = refused;
	}
	if (refused != NULL || t->n_logs == 0)
		return false;
	if (!is_about(r, s, e)) {
		*why = "the log's entry is about another signature";
		return false;
	}
	if (e->promise.n > 0)
		*when = e->integrated;
	return true;
}
