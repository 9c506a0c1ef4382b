/*
 * ledger_mark.c - "ledger ID SEQ", one line of fixed length, overwritten in place: one sector, never half of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/tags/ledger_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE (7 + LEDGER_ID + 1 + 20 + 1) /* "ledger ", the id, a blank, the number, a newline */

struct mark {
	int fd;
	char line[LINE + 1]; /* as it was found; "" when the file is new */
};

struct mark *
mark_open(const char *path, char *err, size_t err_size)
{
	struct mark *m = calloc(1, sizeof *m);
	ssize_t n = -1;

	if (m == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->fd >= 0)
		n = pread(m->fd, m->line, LINE, 0);
	if (n < 0) {
		snprintf(err, err_size, "%s: %s", path, strerror(errno));
		mark_close(m);
		return NULL;
	}
	return m;
}

void
mark_close(struct mark *m)
{
	if (m == NULL)
		return;
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

enum mark_says
mark_look(const struct mark *m, const char *id, int64_t seq)
{
	char known[LEDGER_ID + 1];
	int64_t came = 0;

	if (m->line[0] == '\0')
		return MARK_NONE;
	/* one that cannot be read may have said anything */
	if (sscanf(m->line, "ledger %32[0-9a-f] %20" SCNd64, known, &came) != 2 || came < 0)
		return MARK_BEHIND;
	return strcmp(known, id) == 0 && came <= seq ? MARK_AGREES : MARK_BEHIND;
}

bool
mark_write(struct mark *m, const char *id, int64_t seq)
{
	char line[LINE + 1];
	int n = snprintf(line, sizeof line, "ledger %.32s %020" PRId64 "\n", id, seq);

	return n == LINE && pwrite(m->fd, line, LINE, 0) == LINE;
}
