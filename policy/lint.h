/*
 * lint.h - inside of the policy engine: the linter.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_LINT_H
#define TW_LINT_H

#include "policy/compiled.h"

/* Look at all statements, of the vocabulary of key.def; how many errors were reported. */
size_t lint_bundle(const struct bundle *b, const struct policy_names *names, policy_problem *problem, void *ctx)
    NONNULL(1, 2, 3) WUNRES;

#endif
