/* attr.h - compiler attributes, one spelling each. SPDX-License-Identifier: Apache-2.0 */
#ifndef TW_ATTR_H
#define TW_ATTR_H

#define NONNULL(...)	__attribute__((nonnull(__VA_ARGS__)))
#define RETURNS_NONNULL	__attribute__((returns_nonnull))
#define WUNRES		__attribute__((warn_unused_result))
#define PRINTF(a, b)	__attribute__((format(printf, a, b)))
#define PURE		__attribute__((pure))
#define NORETURN	__attribute__((noreturn))
#define UNUSED		__attribute__((unused))
/* A large buffer that is written before it is read: not zeroed first, as HARDEN asks of all others. */
#define UNSET		__attribute__((uninitialized))

#endif
