/*
 * counted.h - how often and how much a program allocates, whoever does it: malloc() and its friends of this program,
 * counted on their way to those of glibc. Include it once. COUNTED is 0 under a sanitizer, which has its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_TESTS_COUNTED_H
#define TW_TESTS_COUNTED_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define COUNTED 0
#endif
#endif
#if !defined(COUNTED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__))
#define COUNTED 0
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

static size_t counted_calls;	/* that gave memory */
static ptrdiff_t counted_bytes; /* held just now */

#if COUNTED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static inline void *
counted_got(void *p)
{
	counted_calls++;
	counted_bytes += p == NULL ? 0 : (ptrdiff_t)malloc_usable_size(p);
	return p;
}

void *
malloc(size_t n)
{
	return counted_got(__libc_malloc(n));
}

void *
calloc(size_t n, size_t size)
{
	return counted_got(__libc_calloc(n, size));
}

void *
realloc(void *p, size_t n)
{
	counted_bytes -= p == NULL ? 0 : (ptrdiff_t)malloc_usable_size(p);
	return counted_got(__libc_realloc(p, n));
}

void
free(void *p)
{
	counted_bytes -= p == NULL ? 0 : (ptrdiff_t)malloc_usable_size(p);
	__libc_free(p);
}
#endif

#endif
