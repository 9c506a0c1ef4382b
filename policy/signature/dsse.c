/*
 * dsse.c - DSSE envelopes, and the in-toto statements in them.
 * Invariant: what a payload says is read after its signature was found good.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "policy/signature/parts.h"

#define IN_TOTO	    "application/vnd.in-toto+json"
#define SUBJECTS_MAX 4096u

/* "DSSEv1" and lengths and texts of both: what is signed. */
static struct span
pae(struct arena *a, struct span payload)
{
	char head[96];
	int n = snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", strlen(IN_TOTO), IN_TOTO, payload.n);
	char *to = arena_alloc(a, (size_t)n + payload.n);

	if (to == NULL)
		return SPAN_NONE;
	memcpy(to, head, (size_t)n);
	if (payload.n > 0)
		memcpy(to + n, payload.p, payload.n);
	return (struct span){ to, (size_t)n + payload.n };
}

void
envelope_judge(struct review *r, const json_t *envelope, struct signing *s, bool one_only)
{
	const json_t *signatures = json_object_get(envelope, "signatures");
	size_t n = json_array_size(signatures);

	if (!span_eq(json_span(envelope, "payloadType"), SPAN(IN_TOTO))) {
		miss(r, NEAR_BROKEN, NULL, "an envelope whose payload is no in-toto statement");
		return;
	}
	if (n == 0 || n > (one_only ? 1 : SIGNATURES_MAX)) {
		miss(r, NEAR_BROKEN, NULL, "an envelope with %zu signatures", n);
		return;
	}
	if (!unbase64(r->arena, json_span(envelope, "payload"), SIGNATURE_PAYLOAD, &s->payload)) {
		miss(r, NEAR_BROKEN, NULL, "an envelope whose payload is not base64");
		return;
	}
	s->says = SAYS_STATEMENT;
	s->input = pae(r->arena, s->payload);
	for (size_t i = 0; s->input.n > 0 && i < n; i++) {
		if (unbase64(r->arena, json_span(json_array_get(signatures, i), "sig"), 2048, &s->signature))
			judge(r, s);
		else
			miss(r, NEAR_BROKEN, NULL, "an envelope with a signature that is not base64");
	}
}

/* ---- statements ---- */

static bool
names_digest(struct review *r, const json_t *subjects)
{
	const char *hex = r->ask->digest + strlen("sha256:");

	for (size_t i = 0; i < json_array_size(subjects) && i < SUBJECTS_MAX; i++)
		if (span_eq(json_span(json_object_get(json_array_get(subjects, i), "digest"), "sha256"), span_of(hex)))
			return true;
	return false;
}

static struct span
kept(struct review *r, struct span s)
{
	return s.n == 0 || s.n > TYPE_LEN || memchr(s.p, '\0', s.n) != NULL ? SPAN_NONE : arena_dup(r->arena, s);
}

/* Provenance that names its builder is level 1; more is not in it: a verification summary says that. */
static void
read_provenance(struct review *r, const json_t *predicate, struct vote *v)
{
	const json_t *builder;

	if (span_eq(v->type, SPAN("https://slsa.dev/provenance/v1")))
		builder = json_object_get(json_object_get(predicate, "runDetails"), "builder");
	else if (span_starts(v->type, SPAN("https://slsa.dev/provenance/v0.")))
		builder = json_object_get(predicate, "builder");
	else
		return;
	v->builder = kept(r, json_span(builder, "id"));
	v->level = v->builder.n > 0 ? 1 : 0;
}

/* Of a verification summary: the highest SLSA_BUILD_LEVEL_n of those that passed. */
static void
read_summary(const json_t *predicate, struct vote *v)
{
	const json_t *levels = json_object_get(predicate, "verifiedLevels");

	if (!span_eq(v->type, SPAN("https://slsa.dev/verification_summary/v1")) ||
	    !span_eq(json_span(predicate, "verificationResult"), SPAN("PASSED")))
		return;
	for (size_t i = 0; i < json_array_size(levels); i++) {
		const char *text = json_string_value(json_array_get(levels, i));

		if (text != NULL && strncmp(text, "SLSA_BUILD_LEVEL_", 17) == 0 && text[17] >= '0' && text[17] <= '9' && text[18] == '\0' &&
		    text[17] - '0' > v->level)
			v->level = text[17] - '0';
	}
}

static bool
is_sbom(struct span type)
{
	return span_eq(type, SPAN("https://spdx.dev/Document")) || span_starts(type, SPAN("https://spdx.dev/Document/")) ||
	    span_eq(type, SPAN("https://cyclonedx.org/bom")) || span_starts(type, SPAN("https://cyclonedx.org/bom/"));
}

static bool
read_statement(struct review *r, const struct trust_one *t, const json_t *o, struct vote *v)
{
	struct span type = json_span(o, "_type"), predicate = json_span(o, "predicateType");

	if (!span_eq(type, SPAN("https://in-toto.io/Statement/v0.1")) && !span_eq(type, SPAN("https://in-toto.io/Statement/v1")))
		return miss(r, NEAR_SUBJECT, t, "signed a statement that is not in-toto's v0.1 or v1");
	if (!names_digest(r, json_object_get(o, "subject")))
		return miss(r, NEAR_SUBJECT, t, "signed for another digest");
	/* cosign's own statement that says no more than a signature */
	if (span_eq(predicate, SPAN("https://sigstore.dev/cosign/sign/v1")))
		return true;
	v->type = kept(r, predicate);
	if (v->type.n == 0)
		return miss(r, NEAR_SUBJECT, t, "signed a statement without predicateType");
	v->sbom = is_sbom(v->type);
	read_provenance(r, json_object_get(o, "predicate"), v);
	read_summary(json_object_get(o, "predicate"), v);
	return true;
}

bool
statement_read(struct review *r, const struct trust_one *t, struct span payload, struct vote *v)
{
	json_t *o = read_json(payload);
	bool ok;

	if (o == NULL)
		return miss(r, NEAR_SUBJECT, t, "signed a statement that is not JSON as it is to be");
	ok = read_statement(r, t, o, v);
	json_decref(o);
	return ok;
}
