/*
 * backoff.c - how long to wait before the next try.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/courier/courier.h"

int64_t
backoff_ms(unsigned failures, int64_t min, int64_t max, uint32_t random)
{
	int64_t wait = min;

	while (failures-- > 1 && wait < max)
		wait *= 2;
	if (wait > max)
		wait = max;
	return wait - wait / 4 * (int64_t)(random % 1024) / 1024;
}
