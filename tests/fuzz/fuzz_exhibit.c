/*
 * fuzz_exhibit.c - rows of evidence as anybody might have written them: read, told to policy, written and read again.
 *
 * First byte: kind and state. What is read back says the same; malware that was found is never a PASS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/evidence/exhibit.h"

static struct config config;
static struct setup setup = { .refs = 1u << 20, .config = &config };
static struct config_upstream upstream = { .alias = (char[]){ "up" } };

static struct dossier *
dossier_of(struct exhibit *x)
{
	static const char digest[LEDGER_DIGEST] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
	struct exhibit *of[EVIDENCE_KIND_MAX] = { NULL };

	of[x->kind] = x;
	return dossier_new(digest, &setup, &upstream, SPAN("a/b"), 1u << x->kind, of, 0, 1000);
}

static void
tell(struct exhibit *x)
{
	struct arena *a = arena_new(16u << 20);
	struct dossier *d = dossier_of(x);
	struct fact facts[KEY_MAX];

	memset(facts, 0, sizeof facts);
	if (a != NULL && d != NULL && dossier_tell(d, 1000, a, facts) && x->kind == EVIDENCE_MALWARE && x->state == STATE_PASS &&
	    !span_eq(facts[KEY_SCAN_MALWARE].value, SPAN("false")))
		abort();
	if (x->state != STATE_PASS && x->state != STATE_FAIL)
		for (int k = 0; k < KEY_MAX; k++)
			if (facts[k].state == FACT_PRESENT && k != KEY_SCAN_STATUS && k != KEY_SIG_STATUS)
				abort();
	dossier_unref(d);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum evidence_state states[] = { STATE_PASS, STATE_FAIL, STATE_UNSCANNABLE };
	struct exhibit *x, *again;
	char *saved;

	if (n == 0)
		return 0;
	x = exhibit_load((enum evidence_kind)(data[0] % EVIDENCE_KIND_MAX), states[data[0] / EVIDENCE_KIND_MAX % 3],
	    (struct span){ (const char *)data + 1, n - 1 });
	if (x == NULL)
		return 0;
	tell(x);
	saved = exhibit_save(x);
	if (saved != NULL) {
		again = exhibit_load(x->kind, x->state, span_of(saved));
		if (again == NULL || again->malware != x->malware || again->secrets != x->secrets || again->n_configs != x->n_configs ||
		    again->n_reports != x->n_reports)
			abort();
		exhibit_unref(again);
		free(saved);
	}
	exhibit_unref(x);
	return 0;
}
