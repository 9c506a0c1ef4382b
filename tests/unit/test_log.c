/*
 * test_log.c - a line of the log is one line, whatever it quotes; the text of /metrics.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/operator/metrics.h"
#include "tests/unit/check.h"

/* What one call writes to standard error. */
static size_t
logged(enum log_level level, const char *text, char *out, size_t size)
{
	int fds[2], keep = dup(STDERR_FILENO);
	ssize_t n;

	if (pipe(fds) != 0 || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	log_line(level, "msg=%s", text);
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(fds[1]);
	n = read(fds[0], out, size - 1);
	close(fds[0]);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void
test_lines(void)
{
	char hostile[4096], out[16384];
	size_t n;

	n = logged(LOG_WARN, "a\nb\r\x1b[31m\x7f\t", out, sizeof out);
	CHECK(strstr(out, " warn msg=a\\x0ab\\x0d\\x1b[31m\\x7f\\x09\n") != NULL);
	CHECK(strchr(out, '\n') == out + n - 1 && out[10] == 'T' && out[23] == 'Z');
	memset(hostile, '\n', sizeof hostile - 1);
	hostile[sizeof hostile - 1] = '\0';
	n = logged(LOG_ERROR, hostile, out, sizeof out);
	CHECK(n > 8 && strcmp(out + n - 8, "\\x0a...\n") == 0);	/* cut between characters, not within an escape */
	CHECK(strchr(out, '\n') == out + n - 1 && n < 64 + 4 * 2048 + 8);
	CHECK(logged(LOG_DEBUG, "x", out, sizeof out) == 0);
	log_set_level(LOG_DEBUG);
	CHECK(log_get_level() == LOG_DEBUG && logged(LOG_DEBUG, "x", out, sizeof out) > 0);
	log_set_level(LOG_INFO);
}

/* Every line of /metrics is a comment or name{labels} number, every name is announced, counters of workers are summed. */
static void
test_metrics(void)
{
	static struct metrics a, b;
	struct metrics *workers[] = { &a, &b };
	struct metrics_view v = { .workers = workers, .n_workers = 2, .policy_hash = "sha256:00", .started = 1700000000 };
	char *text, *line, *save = NULL;
	size_t n, lines = 0;

	metric_add(&a, METRIC_REQUESTS, 3);
	metric_add(&b, METRIC_REQUESTS, 4);
	atomic_fetch_add(&b.refused[REFUSE_TAG_LOCKED], 2);
	text = metrics_text(&v, &n);
	CHECK(text != NULL && strlen(text) == n && text[n - 1] == '\n');
	if (text == NULL)
		return;
	CHECK(strstr(text, "\ntidewaiter_requests_total 7\n") != NULL);
	CHECK(strstr(text, "\ntidewaiter_refusals_total{reason=\"tag_locked\"} 2\n") != NULL);
	CHECK(strstr(text, "\ntidewaiter_refusals_total{reason=\"no_route\"} 0\n") != NULL);
	CHECK(strstr(text, "sha256:00") != NULL);
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		const char *space = strrchr(line, ' ');

		lines++;
		if (strncmp(line, "# HELP tidewaiter_", 18) == 0 || strncmp(line, "# TYPE tidewaiter_", 18) == 0)
			continue;
		CHECK_ROW(strncmp(line, "tidewaiter_", 11) == 0 && space != NULL && space[1] >= '0' && space[1] <= '9', line);
	}
	CHECK(lines > 60);
	free(text);
}

int
main(void)
{
	test_lines();
	test_metrics();
	return check_done();
}
