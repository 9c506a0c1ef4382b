/*
 * fuzz_issuer.c - any bytes as what an issuer answers: a discovery document, then a key set.
 * A document that is taken is of this issuer and leads to a host that may be asked; a set that is taken can be shared.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "policy/preset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
leads_to(const char *uri, const char *origin)
{
	size_t n = strlen(origin);

	if (strncasecmp(uri, origin, n) != 0)
		return false;
	uri += strncmp(uri + n, ":443", 4) == 0 ? n + 4 : n;
	return *uri == '\0' || *uri == '/' || *uri == '?';
}

static void
discovery(struct span s)
{
	static const char *const hosts[] = { "keys.example:8443" };
	char uri[DISCOVERY_URL], err[256] = "";

	if (!discovery_read(s, "https://i.example", hosts, 1, uri, err, sizeof err)) {
		if (err[0] == '\0')
			abort();
		return;
	}
	if (!leads_to(uri, "https://i.example") && !leads_to(uri, "https://keys.example:8443"))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = { (const char *)data, size };
	char err[256] = "";
	struct keyset *ks;

	discovery(s);
	ks = keyset_parse_for("jwt-svid", s.p, s.n, err, sizeof err);
	if (ks == NULL) {
		if (err[0] == '\0')
			abort();
		return 0;
	}
	for (size_t i = 0; i < keyset_count(ks); i++)
		if (*keyset_kid(ks, i) != '\0' && !keyset_has(ks, span_of(keyset_kid(ks, i))))
			abort();
	keyset_free(keyset_ref(ks));
	keyset_free(ks);
	return 0;
}
