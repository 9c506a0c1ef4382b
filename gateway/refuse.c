/* refuse.c - refuse.def as a table. SPDX-License-Identifier: Apache-2.0 */
#include "gateway/refuse.h"

static const struct refusal rows[REFUSE_MAX] = {
	[REFUSE_NONE] = { "none", 200, "", SEVERITY_INFO, "" },
#define REFUSE(symbol, http, code, severity, text) \
	[REFUSE_##symbol] = { #symbol, http, code, SEVERITY_##severity, text },
#include "gateway/refuse.def"
#undef REFUSE
};

/* The preprocessor cannot lower-case; done once here, before any thread starts. */
static char symbols[REFUSE_MAX][24];
static struct refusal lowered[REFUSE_MAX];

__attribute__((constructor)) static void
lower_symbols(void)
{
	for (size_t r = 0; r < REFUSE_MAX; r++) {
		lowered[r] = rows[r];
		for (size_t i = 0; i + 1 < sizeof symbols[r] && rows[r].symbol[i] != '\0'; i++)
			symbols[r][i] = ascii_lower(rows[r].symbol[i]);
		lowered[r].symbol = symbols[r];
	}
}

const struct refusal *
refusal_of(enum refuse r)
{
	return &lowered[r < REFUSE_MAX ? r : REFUSE_INTERNAL];
}

bool
refuse_is_policy(enum refuse r)
{
	switch ((int)r) {
	case REFUSE_NOT_ALLOWED:
	case REFUSE_DENIED_BY_POLICY:
	case REFUSE_FACT_UNKNOWN:
	case REFUSE_TAG_LOCKED:
	case REFUSE_TAG_DELETED:
		return true;
	default:
		return false;
	}
}
