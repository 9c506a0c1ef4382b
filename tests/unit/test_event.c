/*
 * test_event.c - audit events as JSON: every line read back with jansson and compared.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdlib.h>

#include "gateway/audit/event.h"
#include "tests/unit/check.h"

static char line[EVENT_MAX + 1];

/* The line closed and parsed; NULL when it is no JSON, or has a byte that is not printable ASCII. */
static json_t *
parsed(const struct audit_event *e)
{
	size_t n = event_write(e, line, EVENT_MAX);

	for (size_t i = 0; i < n; i++)
		if (line[i] < 0x20 || line[i] > 0x7e)
			return NULL;
	if (n == 0)
		return NULL;
	line[n++] = '}';
	return json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

static struct audit_event
least(void)
{
	return (struct audit_event){ .id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", .event = "request", .action = SPAN("none"), .reason = "ok" };
}

/* ---- text ---- */

#define FFFD	"\xef\xbf\xbd"
#define TEXT(lit)	{ (lit), sizeof(lit) - 1 }	/* a constant, which SPAN() is not */

static const struct {
	const char *name;
	struct span in, out;	/* out: as UTF-8 after JSON was read */
	const char *raw;	/* as it stands in the line; may be NULL */
} texts[] = {
	{ "plain", TEXT("docker/24.0 (linux)"), TEXT("docker/24.0 (linux)"), "docker/24.0 (linux)" },
	{ "every printable", TEXT(" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"), TEXT(" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"), NULL },
	{ "quote", TEXT("a\"b"), TEXT("a\"b"), "a\\\"b" },
	{ "backslash", TEXT("a\\"), TEXT("a\\"), "a\\\\" },
	{ "a member of its own", TEXT("\",\"seq\":1,\"prev\":\"00\"}\n{"), TEXT("\",\"seq\":1,\"prev\":\"00\"}\n{"), NULL },
	{ "newline", TEXT("a\r\nb\tc"), TEXT("a\r\nb\tc"), "a\\u000d\\u000ab\\u0009c" },
	{ "NUL", TEXT("a\0b"), TEXT("a\0b"), "a\\u0000b" },
	{ "escape and DEL", TEXT("\033[31m\x7f"), TEXT("\033[31m\x7f"), "\\u001b[31m\\u007f" },
	{ "two bytes", TEXT("\xc3\xa9"), TEXT("\xc3\xa9"), "\\u00e9" },
	{ "C1 control", TEXT("\xc2\x85"), TEXT("\xc2\x85"), "\\u0085" },
	{ "three bytes", TEXT("\xe2\x82\xac"), TEXT("\xe2\x82\xac"), "\\u20ac" },
	{ "right to left override", TEXT("\xe2\x80\xae"), TEXT("\xe2\x80\xae"), "\\u202e" },
	{ "four bytes", TEXT("\xf0\x9f\x90\x8b"), TEXT("\xf0\x9f\x90\x8b"), "\\ud83d\\udc0b" },
	{ "the last character", TEXT("\xf4\x8f\xbf\xbf"), TEXT("\xf4\x8f\xbf\xbf"), "\\udbff\\udfff" },
	{ "beyond the last", TEXT("\xf4\x90\x80\x80"), TEXT(FFFD FFFD FFFD FFFD), NULL },
	{ "never a byte of UTF-8", TEXT("\xff\xfe\xf5"), TEXT(FFFD FFFD FFFD), "\\ufffd\\ufffd\\ufffd" },
	{ "lead of five and six bytes", TEXT("\xf8\x88\x80\x80\x80\xfc\x80\x80\x80"),
	    TEXT(FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD), NULL },
	{ "continuation alone", TEXT("\x80x"), TEXT(FFFD "x"), NULL },
	{ "cut short by the end", TEXT("x\xe2\x82"), TEXT("x" FFFD FFFD), NULL },
	{ "cut short by ASCII", TEXT("\xe2\x82\"x"), TEXT(FFFD FFFD "\"x"), NULL },
	{ "overlong slash", TEXT("\xc0\xaf"), TEXT(FFFD FFFD), NULL },
	{ "overlong three", TEXT("\xe0\x80\xaf"), TEXT(FFFD FFFD FFFD), NULL },
	{ "overlong four", TEXT("\xf0\x80\x80\xaf"), TEXT(FFFD FFFD FFFD FFFD), NULL },
	{ "half a surrogate", TEXT("\xed\xa0\x80"), TEXT(FFFD FFFD FFFD), NULL },
};

static void
test_texts(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct audit_event e = least();
		char want[128];
		json_t *o, *v;

		e.http.user_agent = texts[i].in;
		o = parsed(&e);
		v = json_object_get(json_object_get(o, "http"), "user_agent");
		CHECK_ROW(span_eq((struct span){ json_string_value(v), json_string_length(v) }, texts[i].out), texts[i].name);
		snprintf(want, sizeof want, "\"user_agent\":\"%s\"", texts[i].raw == NULL ? "" : texts[i].raw);
		CHECK_ROW(texts[i].raw == NULL || strstr(line, want) != NULL, texts[i].name);
		json_decref(o);
	}
}

/* Every byte between two others comes back as itself, or as one U+FFFD. */
static void
test_bytes(void)
{
	for (unsigned b = 0; b < 256; b++) {
		const char in[3] = { 'x', (char)b, 'y' };
		struct audit_event e = least();
		json_t *o, *v;
		struct span out;

		e.http.path = (struct span){ in, 3 };
		o = parsed(&e);
		v = json_object_get(json_object_get(o, "http"), "path");
		out = (struct span){ json_string_value(v), json_string_length(v) };
		CHECK(span_eq(out, b < 0x80 ? e.http.path : SPAN("x" FFFD "y")));
		json_decref(o);
	}
}

/* ---- length ---- */

static const struct {
	const char *name, *piece;
	size_t n, kept;		/* bytes in; bytes of them in the line */
	bool detail;
} lengths[] = {
	{ "exactly", "a", 1024, 1024, false },
	{ "one more", "a", 1025, 1024, false },
	{ "much more", "a", 100000, 1024, false },
	{ "a character across the cut", "\xe2\x82\xac", 1026, 1023, false },
	{ "detail, exactly", "a", 512, 512, true },
	{ "detail, one more", "a", 513, 512, true },
	{ "detail, across the cut", "\xf0\x9f\x90\x8b", 516, 512, true },
	{ "detail, two bytes", "\xc3\xa9", 514, 512, true },
};

static void
test_lengths(void)
{
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		size_t n = lengths[i].n, piece = strlen(lengths[i].piece);
		char *text = malloc(n);
		struct audit_event e = least();
		json_t *o, *in;

		for (size_t at = 0; text != NULL && at < n; at++)
			text[at] = lengths[i].piece[at % piece];
		if (lengths[i].detail)
			e.detail = (struct span){ text, n };
		else
			e.http.path = (struct span){ text, n };
		o = parsed(&e);
		in = lengths[i].detail ? o : json_object_get(o, "http");
		CHECK_ROW(json_string_length(json_object_get(in, lengths[i].detail ? "detail" : "path")) == lengths[i].kept,
		    lengths[i].name);
		CHECK_ROW(json_integer_value(json_object_get(in, lengths[i].detail ? "detail_length" : "path_length")) ==
		    (n > lengths[i].kept && n > (lengths[i].detail ? 512u : 1024u) ? (json_int_t)n : 0), lengths[i].name);
		json_decref(o);
		free(text);
	}
}

static struct span
longest_record(void)
{
	static char record[EVENT_RECORD_MAX];

	memset(record, 'r', sizeof record);
	memcpy(record, "{\"r\":\"", 6);
	memcpy(record + sizeof record - 2, "\"}", 2);
	return (struct span){ record, sizeof record };
}

/* All texts at once, as long and as hostile as they come: the line still fits, and says how long they were. */
static void
fill(struct audit_event *e, char *text, size_t n)
{
	struct span s = { text, n };

	e->event = e->reason = text;
	e->action = e->sid = e->policy = e->detail = s;
	e->actor.issuer = e->actor.subject = e->actor.method = e->source.ip = s;
	e->http.method = e->http.path = e->http.user_agent = e->http.version = s;
	e->tls.version = e->tls.cipher = e->tls.sni = s;
	e->registry.upstream = e->registry.repository = e->registry.reference = e->registry.tag = s;
	e->registry.digest = e->registry.old_digest = e->registry.media_type = s;
	memset(e->id, 1, EVENT_ID_LEN);
	e->time_us = e->duration_us = e->upstream.duration_us = INT64_MAX;
	e->http.status = e->upstream.status = e->source.port = UINT32_MAX;
	e->http.bytes_in = e->http.bytes_out = INT64_MAX;	/* the most jansson reads */
	e->observed.reason = text;
	e->observed.sid = e->old_policy = e->source.peer = s;
	e->record = longest_record();
}

static void
test_longest(void)
{
	static char text[65537];
	static const char *const bytes[] = { "\x01", "\xff", "\"", "a", "\xc2\x80", "\xf0\x9f\x90\x8b" };
	struct audit_event e = least();
	size_t longest = 0;

	for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
		for (size_t n = 1; n < sizeof text; n = n < 1100 ? n + 1 : n * 2) {
			json_t *o;
			size_t piece = strlen(bytes[i]);

			for (size_t at = 0; at < n; at++)
				text[at] = bytes[i][at % piece];
			text[n] = '\0';
			fill(&e, text, n);
			o = parsed(&e);
			if (!CHECK_ROW(o != NULL, bytes[i]))
				printf("    %zu bytes\n", n);
			else if (strlen(line) > longest)
				longest = strlen(line);
			if (n > 1024)
				CHECK(json_integer_value(json_object_get(json_object_get(o, "tls"), "sni_length")) == (json_int_t)n);
			CHECK(json_is_object(json_object_get(o, "policy_record")));
			json_decref(o);
			memset(line, 0, sizeof line);
		}
	CHECK(longest > EVENT_MAX / 2);
}

/* No size makes it write beyond, and what does not fit is nothing. */
static void
test_small(void)
{
	struct audit_event e = least();
	size_t whole = event_write(&e, line, sizeof line);

	CHECK(whole > 0);
	for (size_t size = 0; size <= whole; size++) {
		char *buf = malloc(size > 0 ? size : 1);
		size_t n = buf == NULL ? 1 : event_write(&e, buf, size);

		CHECK(n == (size < whole ? 0 : whole));
		free(buf);
	}
}

/* ---- members ---- */

static void
test_whole(void)
{
	static const char want[] =
	    "{\"time\":\"2026-02-28T23:59:59.000042Z\",\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"event\":\"request\","
	    "\"action\":\"manifest.put\",\"decision\":\"allow\",\"reason\":\"ok\",\"sid\":\"ci\",\"detail\":\"d\","
	    "\"actor\":{\"issuer\":\"i\",\"subject\":\"s\",\"method\":\"bearer\"},\"source\":{\"ip\":\"::1\",\"port\":7},"
	    "\"http\":{\"method\":\"PUT\",\"path\":\"/v2/\",\"version\":\"1.1\",\"status\":201,\"user_agent\":\"u\","
	    "\"bytes_in\":18446744073709551615,\"bytes_out\":1},\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"c\",\"sni\":\"n\"},"
	    "\"registry\":{\"upstream\":\"h\",\"repository\":\"r\",\"reference\":\"t\",\"tag\":\"t\",\"digest\":\"sha256:1\","
	    "\"old_digest\":\"sha256:2\",\"media_type\":\"m\"},\"upstream\":{\"status\":201,\"duration_us\":5},"
	    "\"duration_us\":9,\"policy\":\"p\"";
	struct audit_event e = least();
	size_t n;

	e.time_us = INT64_C(1772323199000042);
	e.action = SPAN("manifest.put");
	e.decision = AUDIT_ALLOW;
	e.sid = SPAN("ci"), e.detail = SPAN("d"), e.policy = SPAN("p");
	e.actor.issuer = SPAN("i"), e.actor.subject = SPAN("s"), e.actor.method = SPAN("bearer");
	e.source.ip = SPAN("::1"), e.source.port = 7;
	e.http.method = SPAN("PUT"), e.http.path = SPAN("/v2/"), e.http.version = SPAN("1.1"), e.http.user_agent = SPAN("u");
	e.http.status = 201, e.http.bytes_in = UINT64_MAX, e.http.bytes_out = 1;
	e.tls.version = SPAN("TLSv1.3"), e.tls.cipher = SPAN("c"), e.tls.sni = SPAN("n");
	e.registry.upstream = SPAN("h"), e.registry.repository = SPAN("r"), e.registry.reference = e.registry.tag = SPAN("t");
	e.registry.digest = SPAN("sha256:1"), e.registry.old_digest = SPAN("sha256:2"), e.registry.media_type = SPAN("m");
	e.upstream.status = 201, e.upstream.duration_us = 5;
	e.duration_us = 9;
	n = event_write(&e, line, sizeof line);
	CHECK(span_eq((struct span){ line, n }, SPAN(want)));

	/* nothing that is absent, no empty group; what every event has is there */
	e = least();
	n = event_write(&e, line, sizeof line);
	CHECK(span_eq((struct span){ line, n }, SPAN("{\"time\":\"1970-01-01T00:00:00.000000Z\","
	    "\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"event\":\"request\",\"action\":\"none\",\"decision\":\"deny\","
	    "\"reason\":\"ok\",\"duration_us\":0")));
}

static const struct {
	int64_t us;
	const char *time;
} times[] = {
	{ 0, "1970-01-01T00:00:00.000000Z" },
	{ -5, "1970-01-01T00:00:00.000000Z" },
	{ 951782400000001, "2000-02-29T00:00:00.000001Z" },
	{ 951868799999999, "2000-02-29T23:59:59.999999Z" },
	{ 951868800000000, "2000-03-01T00:00:00.000000Z" },
	{ 1709164800000000, "2024-02-29T00:00:00.000000Z" },
	{ 1735689599000000, "2024-12-31T23:59:59.000000Z" },
	{ 4107542400000000, "2100-03-01T00:00:00.000000Z" },
	{ 4107542399000000, "2100-02-28T23:59:59.000000Z" },
	{ 253402300799999999, "9999-12-31T23:59:59.999999Z" },
	{ 253402300800000000, "9999-12-31T23:59:59.000000Z" },
};

static void
test_times(void)
{
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		struct audit_event e = least();
		json_t *o;

		e.time_us = times[i].us;
		o = parsed(&e);
		CHECK_ROW(span_eq(span_of(json_string_value(json_object_get(o, "time"))), span_of(times[i].time)), times[i].time);
		json_decref(o);
	}
}

static void
test_decisions(void)
{
	struct audit_event e = least();

	e.decision = AUDIT_ALLOW;
	CHECK(event_write(&e, line, sizeof line) > 0 && strstr(line, "\"decision\":\"allow\"") != NULL);
	e.decision = AUDIT_ERROR;
	CHECK(event_write(&e, line, sizeof line) > 0 && strstr(line, "\"decision\":\"error\"") != NULL);
	e.duration_us = e.upstream.duration_us = -1;
	CHECK(event_write(&e, line, sizeof line) > 0 && strstr(line, "-1") == NULL);
}

static void
test_ids(void)
{
	unsigned char zero[10] = { 0 }, ones[10], mixed[10] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23 };
	char id[EVENT_ID_LEN + 1], later[EVENT_ID_LEN + 1];

	memset(ones, 0xff, sizeof ones);
	event_id(0, zero, id);
	CHECK(strcmp(id, "00000000000000000000000000") == 0);
	event_id(INT64_C(0xffffffffffff), ones, id);
	CHECK(strcmp(id, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ") == 0);
	/* the example of the ULID specification */
	event_id(INT64_C(1469918176385), mixed, id);
	CHECK(strncmp(id, "01ARYZ6S41", 10) == 0);
	/* 0x0123456789 and 0xabcdef0123, eight characters each */
	CHECK(strcmp(id + 10, "04HMASW9NF6YY093") == 0);
	event_id(INT64_C(1469918176386), zero, later);
	CHECK(strcmp(id, later) < 0);
}

int
main(void)
{
	test_texts();
	test_bytes();
	test_lengths();
	test_longest();
	test_small();
	test_whole();
	test_times();
	test_decisions();
	test_ids();
	return check_done();
}
