/*
 * fuzz_report.c - any bytes as a report of a vulnerability scanner, and as exceptions, OpenVEX and KEV.
 *
 * A report that is HERE has all findings that a plain look at the bytes finds; it is told alike after it was kept; and with
 * exemptions it is never told to have more than without.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/report.h"

#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NOW    1795777200

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static bool
read_as(unsigned which, struct span text, struct arena *a, struct report *r)
{
	switch (which) {
	case 0:
		return report_read_adapter(text, a, r);
	case 1:
		return report_read_harbor(text, a, r);
	case 2:
		return report_read_ecr(text, a, r);
	default:
		return report_read_defender(text, SPAN("shop.azurecr.io"), SPAN("shop/app"), DIGEST, a, r);
	}
}

/* An adapter's list as a reader takes it that does not look at case, and lets the last of several win. */
static void
same_number(struct span text, const struct report *r)
{
	json_t *root = json_loadb(text.p, text.n, 0, NULL), *v;
	const char *key;

	must(json_is_object(root));
	json_object_foreach(root, key, v)
		if (strcasecmp(key, "vulnerabilities") == 0)
			must(json_array_size(v) == r->n);
	json_decref(root);
}

static bool
tell(const struct report *r, const struct exemptions *e, struct arena *a, struct fact *facts)
{
	const struct report *list[] = { r };

	return report_tell(list, 1, e, SPAN("acr/shop/app"), DIGEST, NOW, a, facts);
}

static bool
same_facts(const struct fact *x, const struct fact *y)
{
	for (unsigned i = 0; i < KEY_MAX; i++)
		if (x[i].state != y[i].state || !span_eq(x[i].value, y[i].value) || x[i].n_values != y[i].n_values)
			return false;
	return true;
}

static void
check(const struct report *r, struct span text, struct arena *a)
{
	struct fact *one = arena_zalloc(a, KEY_MAX, sizeof *one), *two = arena_zalloc(a, KEY_MAX, sizeof *two);
	struct exemptions_source s = { "x", text };
	json_t *kept = report_save(r);
	struct report back;
	struct exemptions *e;
	char err[512];

	must((r->why[0] == '\0') == (r->status == REPORT_HERE) && (r->status == REPORT_HERE || r->n == 0));
	must(one != NULL && two != NULL && kept != NULL && report_load(kept, a, &back));
	must(tell(r, NULL, a, one) && tell(&back, NULL, a, two) && same_facts(one, two));
	must((r->status == REPORT_HERE) == (one[KEY_SCAN_MAX_CVSS].state == FACT_PRESENT));
	json_decref(kept);
	e = exemptions_new(&s, NULL, 0, NULL, err, sizeof err);
	must((e == NULL) == (err[0] != '\0'));
	exemptions_free(e);
	e = exemptions_new(NULL, NULL, 0, &s, err, sizeof err);
	exemptions_free(e);
	e = exemptions_new(NULL, &s, 1, NULL, err, sizeof err);
	if (e != NULL && tell(r, e, a, two))
		must(two[KEY_SCAN_CVES].n_values <= one[KEY_SCAN_CVES].n_values);
	exemptions_free(e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *plenty = arena_new(64 << 20), *little;
	struct span text;
	struct report r = { 0 };

	if (size < 2 || plenty == NULL) {
		arena_free(plenty);
		return 0;
	}
	text = (struct span){ (const char *)data + 2, size - 2 };
	must(read_as(data[0] % 4, text, plenty, &r));
	if (data[0] % 4 == 0 && r.status == REPORT_HERE)
		same_number(text, &r);
	check(&r, text, plenty);
	little = arena_new((size_t)data[1] * 64);
	r = (struct report){ 0 };
	if (little != NULL && !read_as(data[0] % 4, text, little, &r))
		must(r.status == REPORT_FAILED && r.n == 0);
	arena_free(little);
	arena_free(plenty);
	return 0;
}
