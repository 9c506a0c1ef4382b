/*
 * window.h - hours of a week: "Mon-Fri 08:00-18:00", "22:00-06:00", "Sat,Sun". Pure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_WINDOW_H
#define TW_WINDOW_H

#include "attr.h"
#include "scalar.h"
#include "span.h"

struct window {
	uint8_t days;		/* bit 0 is Monday: days on which it begins */
	uint16_t start, end;	/* minutes of the day, end excluded; end <= start: it ends on the next day */
};

/*
 * Days ("Mon", "Mon-Fri", "Mon,Wed,Fri", "Fri-Mon"), hours ("08:00-18:00"; up to 24:00), or both with one blank between.
 * False with a reason.
 */
bool window_parse(struct span s, struct window *out, const char **why) NONNULL(2, 3) WUNRES;
/* By the clock on the wall. */
bool window_contains(const struct window *w, const struct civil *local) NONNULL(1, 2) PURE;

#endif
