/*
 * operator.c - the condition operators by name.
 * Invariant: every name comes from operator.def.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "policy/compiled.h"

const struct operator_row operator_rows[] = {
#define OPERATOR(name, kind, compare, negated, flags, meaning) \
	{ #name, OPERATOR_##kind, COMPARE_##compare, negated, flags, meaning },
#include "policy/operator.def"
#undef OPERATOR
};
const size_t operator_count = sizeof operator_rows / sizeof *operator_rows;

const struct operator_row *
operator_find(struct span name)
{
	for (size_t i = 0; i < operator_count; i++)
		if (span_eq(span_of(operator_rows[i].name), name))
			return &operator_rows[i];
	return NULL;
}

bool
operator_compares(enum operator_kind kind, enum key_type type)
{
	switch (kind) {
	case OPERATOR_NONE:
		return true;
	case OPERATOR_BOOL:
		return type == TYPE_BOOL || type == TYPE_ANY;
	case OPERATOR_NUMBER:
		return type == TYPE_NUMBER || type == TYPE_ANY;
	case OPERATOR_DATE:
		return type == TYPE_DATE || type == TYPE_ANY;
	case OPERATOR_VERSION:
		return type == TYPE_VERSION || type == TYPE_ANY;
	case OPERATOR_STRING:
		return type == TYPE_STRING || type == TYPE_VERSION || type == TYPE_ANY;
	case OPERATOR_IP:
		return type == TYPE_IP || type == TYPE_ANY;
	case OPERATOR_REGEX:
		return type == TYPE_STRING || type == TYPE_VERSION || type == TYPE_ANY;
	case OPERATOR_WINDOW:
		return type == TYPE_LOCAL;
	}
	return false;
}
