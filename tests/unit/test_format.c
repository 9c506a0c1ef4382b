/*
 * test_format.c - canonical documents: what they mean does not change, and there is one form of each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <glob.h>
#include <stdlib.h>

#include "policy/compiled.h"
#include "policy/format.h"
#include "policy/query.h"
#include "tests/unit/check.h"
#include "tests/unit/reads.h"

#define SOURCES_MAX 8
#define TEXT_MAX    ((size_t)1 << 20)
#define NOW	    1796122800 /* Tuesday, 1 December 2026, 11:00 UTC */

static void
no_problem(void *ctx, const struct policy_finding *f)
{
	const bool *quiet = ctx;

	if (lint_row(f->code)->severity == SEVERITY_ERROR && !*quiet)
		fprintf(stderr, "%s:%d: %s\n", f->file, f->line, f->reason);
}

static struct policy *
load(const struct policy_source *sources, size_t n, bool quiet)
{
	static const struct policy_names names = { .fetch = reads_fetch, .linting = LINTING_OFF };

	return policy_load(sources, n, &names, no_problem, &quiet);
}

static struct policy *
load_text(struct span text)
{
	struct policy_source s = { "policy.json", text };

	return load(&s, 1, true);
}

static struct span
file_text(const char *path, struct arena *a)
{
	FILE *f = fopen(path, "rb");
	char *text = arena_alloc(a, TEXT_MAX);
	size_t n;

	if (!CHECK_ROW(f != NULL && text != NULL, path))
		return SPAN_NONE;
	n = fread(text, 1, TEXT_MAX, f);
	fclose(f);
	return (struct span){ text, n };
}

/* ---- how it looks ---- */

#define HEAD  "{\n  \"Version\": \"2026-11-01\",\n  \"Statement\": [\n    {\n"
#define WHO   "      \"Sid\": \"S\",\n      \"Effect\": \"Deny\",\n      \"Principal\": \"*\",\n"
#define WHERE "      \"Resource\": \"*\""
#define TAIL  "\n    }\n  ]\n}\n"

static void
test_rows(void)
{
	static const struct {
		const char *statement, *out;
	} rows[] = {
		/* members in order, comments first, whatever they are */
		{ "\"Labels\":{\"b\":\"1\",\"a\":\"2\"},\"Message\":\"m\",\"Action\":\"*\",\"//\":[\"x\",{\"y\":1}],\"Mode\":\"Shadow\","
		  "\"Expires\":\"2027-01-01T00:00:00Z\"",
		    "      \"//\": [\"x\", { \"y\": 1 }],\n" WHO "      \"Action\": \"*\",\n" WHERE ",\n      \"Mode\": \"Shadow\",\n"
		    "      \"Expires\": \"2027-01-01T00:00:00Z\",\n      \"Message\": \"m\",\n"
		    "      \"Labels\": {\n        \"b\": \"1\",\n        \"a\": \"2\"\n      }" },
		/* actions in the case of their table, as far as it can be told */
		{ "\"Action\":[\"REGISTRY:pullblob\",\"registry:push*\",\"*BLOB\",\"registry:?ing\",\"*\"]",
		    WHO "      \"Action\": [\"registry:PullBlob\", \"registry:Push*\", \"*Blob\", \"registry:?ing\", "
			"\"*\"],\n" WHERE },
		{ "\"NotAction\":[\"Registry:*mANIFEST\",\"registry:?ULL*L*b\"]",
		    WHO "      \"NotAction\": [\"registry:*Manifest\", \"registry:?ull*L*b\"],\n" WHERE },
		/* keys likewise; claims, names, values and order are the author's; one key on one line */
		{ "\"Action\":\"*\",\"Condition\":{\"StringLike\":{\"REGISTRY:tag\":[\"V*\",\"${NET:sni}\"],\"JWT:Team\":\"x\"},"
		  "\"Bool\":{\"Scan:malware\":true},\"Null\":{}}",
		    NULL }, /* an operator without keys does not load */
		{ "\"Action\":\"*\",\"Condition\":{\"StringLike\":{\"REGISTRY:tag\":[\"V*\",\"${NET:sni}\"],\"JWT:Team\":\"x\"},"
		  "\"NumericEquals\":{\"Scan:critical\":[7.50,1]}}",
		    WHO "      \"Action\": \"*\",\n" WHERE ",\n      \"Condition\": {\n        \"StringLike\": {\n"
			"          \"registry:Tag\": [\"V*\", \"${NET:sni}\"],\n          \"jwt:Team\": \"x\"\n        },\n"
			"        \"NumericEquals\": { \"scan:Critical\": [7.50, 1] }\n      }" },
		/* escapes stay; a name with one is not looked into */
		{ "\"Action\":\"*\",\"Condition\":{\"StringEquals\":{\"registry\\u003atag\":\"\\u0061\\/\"}}",
		    WHO "      \"Action\": \"*\",\n" WHERE ",\n      \"Condition\": {\n"
			"        \"StringEquals\": { \"registry\\u003atag\": \"\\u0061\\/\" }\n      }" },
		{ "\"\\u004dode\":\"Shadow\",\"Action\":\"*\",\"Condition\":{}",
		    WHO "      \"Action\": \"*\",\n" WHERE ",\n      \"Condition\": {},\n      \"\\u004dode\": \"Shadow\"" },
	};
	char text[4096], out[4096];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new(1 << 20);
		struct span formatted;
		struct policy *p;

		snprintf(text, sizeof text, "\t{\"Statement\":[{\"Resource\":\"*\",\"Principal\":\"*\",\"Effect\":\"Deny\",%s,\r\n\"Sid\":\"S\"}],"
		    "\"Version\":\"2026-11-01\"}", rows[i].statement);
		p = load_text(span_of(text));
		CHECK_ROW((p != NULL) == (rows[i].out != NULL), rows[i].statement);
		policy_unref(p);
		formatted = policy_format(a, span_of(text));
		snprintf(out, sizeof out, HEAD "%s" TAIL, rows[i].out == NULL ? "" : rows[i].out);
		if (rows[i].out != NULL && !CHECK_ROW(span_eq(formatted, span_of(out)), rows[i].statement))
			fprintf(stderr, "%.*s", SPAN_FMT(formatted));
		arena_free(a);
	}
}

/* Out of memory at any moment: none, never half of it. */
static void
test_memory(void)
{
	static const char text[] = "{\"Version\":\"x\",\"Zones\":{\"a\":\"b\",\"c\":[]},\"Statement\":{\"Action\":[\"REGISTRY:PING\"],"
				   "\"Condition\":{\"Null\":{\"NET:SNI\":\"true\"}}}}";
	bool whole = false;

	for (size_t limit = 0; limit < 16384; limit += 16) {
		struct arena *a = arena_new(limit);
		struct span out = policy_format(a, SPAN(text));

		CHECK((out.p == NULL) == arena_failed(a));
		whole |= out.p != NULL;
		arena_free(a);
	}
	CHECK(whole);
}

/* ---- what it means ---- */

/* The texts formatted, in the arena; each of them once more is itself. */
static void
format_all(struct arena *a, const struct policy_source *sources, size_t n, struct policy_source *out, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		struct span once = policy_format(a, sources[i].text);

		out[i] = (struct policy_source){ sources[i].name, once };
		CHECK_ROW(once.p != NULL && span_eq(policy_format(a, once), once), name);
	}
}

static void
check_decisions(const struct policy *before, const struct policy *after, const json_t *cases)
{
	size_t i;
	json_t *o;

	json_array_foreach ((json_t *)(uintptr_t)cases, i, o) {
		const char *name = json_string_value(json_object_get(o, "name"));
		struct decision one, other;
		struct policy_query q;
		char err[512];

		if (CHECK_ROW(policy_query_read(&q, o, NOW, err, sizeof err), name)) {
			policy_decide(before, &q.request, &one);
			policy_decide(after, &q.request, &other);
			CHECK_ROW(one.verdict == other.verdict && span_eq(one.sid, other.sid) && one.unknown == other.unknown &&
				memcmp(&one.need, &other.need, sizeof one.need) == 0 &&
				one.shadow.verdict == other.shadow.verdict, name);
		}
		policy_query_clear(&q);
	}
}

/* As they are written, without blanks, and with other ones: the same statements, decisions and text. */
static void
check_documents(const json_t *documents, const json_t *cases, const char *name)
{
	static const size_t layouts[] = { JSON_COMPACT, JSON_INDENT(7), JSON_INDENT(1) | JSON_SORT_KEYS };
	struct policy_source sources[SOURCES_MAX], formatted[SOURCES_MAX], first[SOURCES_MAX];
	size_t n = json_array_size(documents);
	struct arena *a = arena_new(64 << 20);

	if (!CHECK_ROW(n <= SOURCES_MAX, name))
		return;
	for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
		struct policy *before, *after;

		for (size_t i = 0; i < n; i++) {
			char *text = json_dumps(json_array_get(documents, i), layouts[k]);

			sources[i] = (struct policy_source){ "vector", arena_dup(a, span_of(text)) };
			free(text);
		}
		format_all(a, sources, n, formatted, name);
		before = load(sources, n, false);
		after = load(formatted, n, false);
		if (CHECK_ROW(before != NULL && after != NULL && policy_same(before, after), name))
			check_decisions(before, after, cases);
		policy_unref(before);
		policy_unref(after);
		/* sorted keys change the order of conditions: that one is the author's */
		for (size_t i = 0; i < n && k < 2; i++) {
			if (k == 0)
				first[i] = formatted[i];
			CHECK_ROW(span_eq(first[i].text, formatted[i].text), name);
		}
	}
	arena_free(a);
}

static void
test_vectors(void)
{
	glob_t files;
	size_t groups = 0;

	CHECK(glob("tests/policy/*.json", 0, NULL, &files) == 0);
	for (size_t f = 0; f < files.gl_pathc; f++) {
		json_t *list = json_load_file(files.gl_pathv[f], JSON_REJECT_DUPLICATES, NULL), *group;
		size_t i;

		json_array_foreach (list, i, group) {
			json_t *policy = json_object_get(group, "policy"), *documents;

			if (policy == NULL || json_object_get(group, "vocabulary") != NULL)
				continue;
			documents = json_is_array(policy) ? json_incref(policy) : json_is_string(policy) ?
			    json_pack("[o]", json_load_file(json_string_value(policy), 0, NULL)) : json_pack("[O]", policy);
			check_documents(documents, json_object_get(group, "cases"), files.gl_pathv[f]);
			json_decref(documents);
			groups++;
		}
		json_decref(list);
	}
	globfree(&files);
	CHECK(groups > 50);
}

/* Those to copy are as `tidewaiter policy fmt` leaves them. */
static void
test_examples(void)
{
	glob_t files;

	CHECK(glob("policy/examples/*.json", 0, NULL, &files) == 0 && files.gl_pathc >= 8);
	for (size_t f = 0; f < files.gl_pathc; f++) {
		bool tests = strstr(files.gl_pathv[f], ".test.json") != NULL; /* no policy */
		struct arena *a = arena_new(16 << 20);
		struct span text = file_text(files.gl_pathv[f], a);

		if (!tests && !CHECK_ROW(span_eq(policy_format(a, text), text), files.gl_pathv[f]))
			fprintf(stderr, "    `tidewaiter policy fmt -w %s` writes it\n", files.gl_pathv[f]);
		arena_free(a);
	}
	globfree(&files);
}

/* ---- documents nobody wrote ---- */

static uint32_t seed = 20261127;

static unsigned
below(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

struct text {
	char *p;
	size_t n;
};

static void
put(struct text *t, const char *s)
{
	t->n += (size_t)snprintf(t->p + t->n, TEXT_MAX - t->n, "%s", s);
}

static void
blank(struct text *t, bool wild)
{
	static const char *const blanks[] = { "", "", " ", "\n", "\t", "\r\n  " };

	put(t, wild ? blanks[below(6)] : "");
}

/* In a case of its own when wild. */
static void
put_name(struct text *t, const char *s, bool wild)
{
	size_t at = t->n;

	put(t, s);
	for (; wild && at < t->n; at++)
		if (t->p[at] >= 'a' && t->p[at] <= 'z' && below(3) == 0)
			t->p[at] -= 'a' - 'A';
}

/* The members of an object, in their order or in another. */
static void
put_members(struct text *t, char members[][512], size_t n, bool wild)
{
	for (size_t i = n; wild && i > 1; i--) {
		size_t k = below((unsigned)i);
		char other[512];

		memcpy(other, members[i - 1], sizeof other);
		memcpy(members[i - 1], members[k], sizeof other);
		memcpy(members[k], other, sizeof other);
	}
	put(t, "{");
	for (size_t i = 0; i < n; i++) {
		blank(t, wild);
		put(t, members[i]);
		blank(t, wild);
		put(t, i + 1 < n ? "," : "}");
	}
}

/* The same choices for the same `at`, whether wild or not. */
static void
put_statement(struct text *t, uint32_t at, unsigned number, bool wild)
{
	static const char *const actions[] = { "registry:Pull*", "registry:PullBlob", "*", "registry:PushManifest", "*Blob" };
	static const char *const atoms[][3] = { { "StringEquals", "registry:Tag", "\"V1\"" },
		{ "StringLike", "jwt:Team", "[\"a*\", \"\\u0062\"]" },
		{ "ForAnyValue:StringNotEquals", "image:Digests", "[\"x\"]" }, { "NumericLessThan", "scan:Critical", "7.50" },
		{ "Null", "net:Sni", "false" }, { "TimeWindow", "time:Local/Europe/Berlin", "\"Mon-Fri 08:00-18:00\"" },
		{ "Bool", "breakglass:Active", "\"true\"" } };
	static const char *const rest[] = { "\"Mode\": \"Shadow\"", "\"Message\": \"a \\\"b\\\" \\u00e4\"",
		"\"Labels\": {\"b\":\"1\",\"a\":\"2\"}",
		"\"Expires\": \"2027-01-01T00:00:00Z\"", "\"//\": {\"any\": [1, {}, null]}" };
	char members[16][512];
	struct text m = { members[0], 0 };
	uint32_t kept = seed;
	size_t n = 0;
	unsigned first;

	seed = at;
#define NEXT(...) (m = (struct text){ members[n++], 0 }, m.n = (size_t)snprintf(m.p, sizeof *members, __VA_ARGS__))
	NEXT("\"Sid\": \"s%u\"", number);
	NEXT("\"Effect\": \"%s\"", below(2) ? "Deny" : "Allow");
	NEXT("\"Principal\": %s", below(2) ? "\"*\"" : "[\"issuer:gh\", \"group:gh/x\"]");
	NEXT("\"Resource\": [\"repo:up/a\", \"repo:up/${jwt:team|lower}/*\"]");
	first = below(5);
	NEXT("\"Action\": [\"");
	{
		uint32_t here = seed;

		put_name(&m, actions[first], wild);
		put(&m, "\",\"");
		put_name(&m, actions[(first + 1) % 5], wild);
		put(&m, "\"]");
		seed = here;
	}
	if (below(3) > 0) {
		unsigned k = below(7), many = 1 + below(3);
		uint32_t here = seed;

		NEXT("\"Condition\": {");
		for (unsigned i = 0; i < many; i++) {
			const char *const *atom = atoms[(k + i) % 7];

			blank(&m, wild);
			put(&m, i > 0 ? ",\"" : "\"");
			put(&m, atom[0]);
			put(&m, "\": {\"");
			/* what stands behind jwt: and slashes has a case */
			put_name(&m, atom[1], wild && strchr(atom[1], '/') == NULL && strncmp(atom[1], "jwt:", 4) != 0);
			put(&m, "\":");
			put(&m, atom[2]);
			put(&m, "}");
		}
		put(&m, "}");
		seed = here;
	}
	for (unsigned i = 0; i < 5; i++)
		if (below(3) == 0)
			NEXT("%s", rest[i]);
#undef NEXT
	seed = kept;
	put_members(t, members, n, wild);
}

static void
put_document(struct text *t, uint32_t at, unsigned statements, bool wild)
{
	char members[4][512] = { "\"Version\":\"2026-11-01\"", "\"//\":\"comment\"", "\"Zones\":{\"a\":\"10.0.0.0/8\",\"b\":[]}", "" };

	t->n = 0;
	snprintf(members[2], sizeof members[2], "\"Zones\": {\"a\":\"10.0.0.0/8\",\"b\":[\"192.0.2.0/24\"]}");
	put_members(t, members, 3, wild);
	t->n--; /* the brace */
	put(t, ",\"Statement\":[");
	for (unsigned i = 0; i < statements; i++) {
		put(t, i > 0 ? "," : "");
		blank(t, wild);
		put_statement(t, at + i * 7919u, i, wild);
	}
	put(t, "]}");
}

/* However a document is written, with its members, blanks and cases anywhere: one text comes of it, and it means the same. */
static void
test_property(void)
{
	struct text t = { malloc(TEXT_MAX), 0 };
	unsigned done = 0;

	for (unsigned round = 0; round < 500; round++) {
		struct arena *a = arena_new(64 << 20);
		uint32_t at = seed * 31u + round;
		unsigned statements = below(6);
		struct span plain = SPAN_NONE, one;

		for (unsigned wild = 0; wild < 4; wild++) {
			struct policy *before, *after;

			put_document(&t, at, statements, wild > 0);
			one = policy_format(a, (struct span){ t.p, t.n });
			before = load_text((struct span){ t.p, t.n });
			after = load_text(one);
			if (!CHECK(before != NULL && after != NULL && policy_same(before, after)))
				fprintf(stderr, "    %.*s\n", (int)t.n, t.p);
			CHECK(span_eq(policy_format(a, one), one));
			if (wild == 0)
				plain = one;
			else if (!CHECK(span_eq(plain, one)))
				fprintf(stderr, "    %.*s\n%.*s%.*s", (int)t.n, t.p, SPAN_FMT(plain), SPAN_FMT(one));
			policy_unref(before);
			policy_unref(after);
			done++;
		}
		arena_free(a);
	}
	CHECK(done == 2000);
	free(t.p);
}

/* ---- the same is the same, and nothing else ---- */

static void
test_same(void)
{
	static const char text[] = "{\"Version\":\"2026-11-01\",\"Id\":\"i\",\"Kind\":\"Grant\",\"Scope\":\"repo:up/*\","
	    "\"Zones\":{\"z\":\"10.0.0.0/8\"},\"Sets\":{\"s\":\"file:bad.txt\"},\"Statement\":[{\"Sid\":\"A\",\"Effect\":\"Deny\","
	    "\"Principal\":[\"issuer:gh\",\"anonymous\"],\"Action\":\"registry:Pull*\",\"Resource\":\"repo:up/a\",\"Message\":\"m\","
	    "\"Mode\":\"Shadow\",\"NotBefore\":\"2026-01-01T00:00:00Z\",\"Expires\":\"2027-01-01T00:00:00Z\",\"Labels\":{\"l\":\"v\"},"
	    "\"Condition\":{\"ForAnyValue:StringEqualsIfExists\":{\"jwt:x\":[\"1\",\"2\"]},\"Null\":{\"net:Sni\":\"true\"}}}]}";
	static const char *const changes[][2] = { { "\"i\"", "\"j\"" }, { "up/*\"", "up*\"" }, { "\"z\"", "\"y\"" },
		{ "10.0.0.0/8", "10.0.0.0/9" }, { "10.0.0.0/8", "11.0.0.0/8" }, { "\"s\"", "\"t\"" },
		{ "\"A\"", "\"B\"" }, { "\"Deny\"", "\"Allow\"" }, { "anonymous", "*" }, { "[\"issuer:gh\",\"anonymous\"]", "\"issuer:gh\"" },
		{ "Pull*", "PullBlob" }, { "up/a\"", "up/b\"" }, { "\"m\"", "\"n\"" }, { "Shadow", "Enforce" }, { "2026-01-01", "2026-01-02" },
		{ "2027-01", "2027-02" }, { "\"l\"", "\"k\"" }, { "\"v\"", "\"w\"" }, { "{\"l\":\"v\"}", "{}" }, { "ForAnyValue:", "ForAllValues:" },
		{ "IfExists", "" }, { "ForAnyValue:", "" }, { "StringEquals", "StringLike" }, { "jwt:x", "jwt:y" }, { "\"2\"", "\"3\"" },
		{ "\"true\"", "\"false\"" }, { "net:Sni", "net:Ja4" }, { ",\"Null\":{\"net:Sni\":\"true\"}", "" },
		{ "]}", ",{\"Sid\":\"C\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":\"repo:up/a\"}]}" } };
	struct policy *p = load_text(SPAN(text)), *q = load_text(SPAN(text));
	char changed[2048];

	CHECK(p != NULL && q != NULL && policy_same(p, q));
	policy_unref(q);
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		const char *at = strstr(text, changes[i][0]);

		/* the last "]}" ends the document */
		for (const char *next = at; i + 1 == sizeof changes / sizeof *changes && next != NULL; next = strstr(next + 1, changes[i][0]))
			at = next;
		if (!CHECK_ROW(at != NULL, changes[i][0]))
			continue;
		snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, changes[i][1], at + strlen(changes[i][0]));
		q = load_text(span_of(changed));
		if (CHECK_ROW(q != NULL, changes[i][0]))
			CHECK_ROW(!policy_same(p, q), changes[i][0]);
		policy_unref(q);
	}
	policy_unref(p);
}

int
main(void)
{
	test_rows();
	test_memory();
	test_vectors();
	test_examples();
	test_property();
	test_same();
	return check_done();
}
