/*
 * chain.c - lines hashed one into the next.
 * Invariant: a line counts only when it has its newline, the shape of an event, the next seq and the right prev.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/audit/chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEQ		",\"seq\":"
#define PREV		",\"prev\":\""
#define END		"\"}"
#define TIME		"{\"time\":\""
#define READ_SIZE	(256u * 1024u)

#define LENGTH(lit)	(sizeof(lit) - 1)

_Static_assert(LENGTH(SEQ) + 20 + LENGTH(PREV) + 2 * CHAIN_HASH + LENGTH(END) + 1 <= CHAIN_TAIL, "CHAIN_TAIL");
_Static_assert(CHAIN_LINE < READ_SIZE, "READ_SIZE");

void
chain_hex(const unsigned char hash[static CHAIN_HASH], char out[static 2 * CHAIN_HASH + 1])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < CHAIN_HASH; i++) {
		*out++ = hex[hash[i] >> 4];
		*out++ = hex[hash[i] & 15];
	}
	*out = '\0';
}

size_t
chain_tail(const struct chain *last, char out[static CHAIN_TAIL])
{
	char hash[2 * CHAIN_HASH + 1], digits[20];
	size_t i = sizeof digits;
	char *p = out;

	for (uint64_t v = last->seq + 1; v > 0; v /= 10)
		digits[--i] = (char)('0' + v % 10);
	chain_hex(last->hash, hash);
	p = mempcpy(p, SEQ, LENGTH(SEQ));
	p = mempcpy(p, digits + i, sizeof digits - i);
	p = mempcpy(p, PREV, LENGTH(PREV));
	p = mempcpy(p, hash, sizeof hash - 1);
	p = mempcpy(p, END "\n", LENGTH(END "\n"));
	return (size_t)(p - out);
}

bool
chain_next(struct chain *c, EVP_MD_CTX *md, struct span line)
{
	unsigned char hash[CHAIN_HASH];

	if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(md, line.p, line.n) != 1 ||
	    EVP_DigestFinal_ex(md, hash, NULL) != 1)
		return false;
	memcpy(c->hash, hash, sizeof hash);
	c->seq++;
	return true;
}

/* ---- one line ---- */

/* Take the literal off the end. */
static bool
chop(struct span *s, const char *lit, size_t n)
{
	if (!span_ends(*s, (struct span){ lit, n }))
		return false;
	s->n -= n;
	return true;
}

/* seq and prev (as text, 64 bytes inside the line) of a line that ends as chain_tail() ends it. */
static bool
parse_tail(struct span line, uint64_t *seq, const char **prev)
{
	uint64_t scale = 1, v = 0;
	size_t digits = 0;

	if (!chop(&line, END, LENGTH(END)) || line.n < 2 * CHAIN_HASH)
		return false;
	line.n -= 2 * CHAIN_HASH;
	*prev = line.p + line.n;
	if (!chop(&line, PREV, LENGTH(PREV)))
		return false;
	/* 19 digits do not overflow, and no log is that long */
	for (; line.n > 0 && line.p[line.n - 1] >= '0' && line.p[line.n - 1] <= '9' && digits < 19; digits++) {
		v += scale * (uint64_t)(line.p[--line.n] - '0');
		scale *= 10;
	}
	*seq = v;
	return digits > 0 && v > 0 && line.p[line.n] != '0' && chop(&line, SEQ, LENGTH(SEQ));
}

/* Printable ASCII, {"time":"..."; one object with every string and bracket closed, and nothing behind it. */
static bool
is_event(struct span line)
{
	unsigned depth = 0;
	bool text = false, escaped = false;

	if (!span_starts(line, SPAN(TIME)) || line.n < LENGTH(TIME) + CHAIN_TIME + 1 ||
	    line.p[LENGTH(TIME) + CHAIN_TIME] != '"' || line.p[LENGTH(TIME) + CHAIN_TIME - 1] != 'Z')
		return false;
	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];

		if (c < 0x20 || c >= 0x7f)
			return false;
		if (escaped)
			escaped = false;
		else if (text && c == '\\')
			escaped = true;
		else if (c == '"')
			text = !text;
		else if (!text && c == '{')
			depth++;
		else if (!text && c == '}' && (depth == 0 || (--depth == 0 && i + 1 != line.n)))
			return false;
	}
	return depth == 0 && !text;
}

static bool
check_line(struct chain_scan *s, EVP_MD_CTX *md, struct span line)
{
	const char *prev = NULL;
	char want[2 * CHAIN_HASH + 1];
	uint64_t seq = 0;

	if (!is_event(line) || !parse_tail(line, &seq, &prev)) {
		snprintf(s->reason, sizeof s->reason, "not an audit event");
		return false;
	}
	chain_hex(s->chain.hash, want);
	if (!s->anchored && seq > 1) {
		s->chain.seq = seq - 1;	/* what came before is elsewhere: taken as it is */
		memcpy(want, prev, sizeof want - 1);
	}
	if (seq != s->chain.seq + 1) {
		snprintf(s->reason, sizeof s->reason, "seq %llu follows seq %llu", (unsigned long long)seq,
		    (unsigned long long)s->chain.seq);
		return false;
	}
	if (memcmp(prev, want, sizeof want - 1) != 0) {
		snprintf(s->reason, sizeof s->reason, "prev is not the hash of the line before: "
		    "that line or this one was changed");
		return false;
	}
	if (!chain_next(&s->chain, md, line)) {
		snprintf(s->reason, sizeof s->reason, "SHA-256 failed");
		return false;
	}
	if (s->lines == 0) {
		s->first_seq = seq;
		memcpy(s->first_time, line.p + LENGTH(TIME), CHAIN_TIME);
	}
	memcpy(s->last_time, line.p + LENGTH(TIME), CHAIN_TIME);
	if (s->file_lines++ == 0)
		s->file_first_seq = seq;
	s->anchored = true;
	s->lines++;
	return true;
}

/* ---- a file ---- */

/* The complete lines of buf[0..n); returns the bytes they take, s->reason is set when one is not good. */
static size_t
check_lines(struct chain_scan *s, EVP_MD_CTX *md, const char *buf, size_t n)
{
	const char *p = buf, *end;

	while ((end = memchr(p, '\n', n - (size_t)(p - buf))) != NULL) {
		if (!check_line(s, md, (struct span){ p, (size_t)(end - p) }))
			break;
		s->good += (uint64_t)(end - p) + 1;
		p = end + 1;
	}
	return (size_t)(p - buf);
}

static bool
scan(struct chain_scan *s, int fd, EVP_MD_CTX *md, char *buf)
{
	size_t held = 0, used;
	off_t at = 0;
	ssize_t n;

	for (;;) {
		n = pread(fd, buf + held, READ_SIZE - held, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += n;
		held += (size_t)n;
		used = check_lines(s, md, buf, held);
		held -= used;
		memmove(buf, buf + used, held);
		if (s->reason[0] == '\0' && held > CHAIN_LINE)
			snprintf(s->reason, sizeof s->reason, "longer than any audit event");
		if (s->reason[0] != '\0')
			break;
		if (s->progress != NULL)
			s->progress((uint64_t)at);
	}
	s->torn = n == 0 && held > 0;
	if (s->torn)
		snprintf(s->reason, sizeof s->reason, "ends in the middle of a line");
	return n >= 0;
}

bool
chain_scan_file(struct chain_scan *s, int fd)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char *buf = malloc(READ_SIZE);
	bool ok = md != NULL && buf != NULL;
	off_t size;

	s->file_first_seq = s->file_lines = s->good = 0;
	s->torn = false;
	s->reason[0] = '\0';
	errno = 0;
	if (ok)
		ok = scan(s, fd, md, buf);
	if (ok) {
		size = lseek(fd, 0, SEEK_END);
		s->size = size < 0 ? s->good : (uint64_t)size;
	}
	EVP_MD_CTX_free(md);
	free(buf);
	return ok;
}
