/*
 * test_unknown.c - OnUnknown and OnPush: what becomes of a question when evidence is missing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "check.h"
#include "policy/compiled.h"
#include "policy/policy.h"
#include "policy/query.h"

#define DENY(extra) \
	"{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"All\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"registry:*\"," \
	"\"Resource\":\"*\"},{\"Sid\":\"Bad\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"registry:PullManifest\",\"Resource\":\"*\"," \
	"\"Condition\":{\"NumericGreaterThan\":{\"scan:Critical\":\"0\"}}" extra "}]}"
#define ALLOW(extra) \
	"{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"Signed\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":" \
	"\"registry:PullManifest\",\"Resource\":\"*\",\"Condition\":{\"NumericLessThan\":{\"scan:Critical\":\"1\"}}" extra "}]}"
#define UNKNOWN	   "{\"unknown\":true}"
#define WAS(v, age) "{\"unknown\":true,\"was\":" v ",\"age\":" age "}"

static const struct {
	const char *policy, *fact;
	enum verdict verdict;
	const char *lenient;	/* Sid of the statement that let it pass; NULL: none did */
} rows[] = {
	/* deny, said or not */
	{ DENY(""), UNKNOWN, VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"deny\""), WAS("\"0\"", "1"), VERDICT_EXPLICIT_DENY, NULL },
	{ ALLOW(""), WAS("\"0\"", "1"), VERDICT_DENY, NULL },
	/* what was known last, as long as it is not too old */
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"0\"", "3600"), VERDICT_ALLOW, "Bad" },
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"0\"", "86400"), VERDICT_ALLOW, "Bad" },
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"0\"", "86401"), VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"1\"", "3600"), VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("null", "3600"), VERDICT_ALLOW, "Bad" },
	{ DENY(",\"OnUnknown\":\"allow-stale(24h)\""), UNKNOWN, VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"allow-stale(1m)\""), WAS("\"0\"", "61"), VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"allow-stale(2d)\""), WAS("\"0\"", "172800"), VERDICT_ALLOW, "Bad" },
	{ ALLOW(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"0\"", "60"), VERDICT_ALLOW, "Signed" },
	{ ALLOW(",\"OnUnknown\":\"allow-stale(24h)\""), WAS("\"3\"", "60"), VERDICT_DENY, NULL },
	{ ALLOW(",\"OnUnknown\":\"allow-stale(24h)\""), UNKNOWN, VERDICT_DENY, NULL },
	/* whatever */
	{ DENY(",\"OnUnknown\":\"allow\""), UNKNOWN, VERDICT_ALLOW, "Bad" },
	{ DENY(",\"OnUnknown\":\"allow\""), WAS("\"1\"", "999999999"), VERDICT_EXPLICIT_DENY, NULL },
	{ ALLOW(",\"OnUnknown\":\"allow\""), UNKNOWN, VERDICT_ALLOW, "Signed" },
	/* what is known needs no leniency */
	{ DENY(",\"OnUnknown\":\"allow\""), "\"0\"", VERDICT_ALLOW, NULL },
	{ DENY(",\"OnUnknown\":\"allow\""), "\"1\"", VERDICT_EXPLICIT_DENY, NULL },
	{ DENY(",\"OnUnknown\":\"allow\""), "{\"later\":true}", VERDICT_NEED, NULL },
};

static const struct policy_names unchecked = { .linting = LINTING_OFF };

static void
say(void *ctx, const struct policy_finding *f)
{
	*(bool *)ctx = true;
	(void)f;
}

static struct policy *
load(const char *text)
{
	struct policy_source source = { "p.json", span_of(text) };
	bool said = false;

	return policy_load(&source, 1, &unchecked, say, &said);
}

static json_t *
request(const char *fact)
{
	json_error_t e;
	char text[512];

	snprintf(text, sizeof text, "{\"principal\":[\"issuer:c\",\"subject:c/a\"],\"action\":\"registry:PullManifest\",\"resource\":"
	    "\"repo:up/app\",\"context\":{\"scan:Critical\":%s}}", fact);
	return json_loads(text, 0, &e);
}

static void
test_rows(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct policy *p = load(rows[i].policy);
		json_t *o = request(rows[i].fact);
		struct policy_query q;
		struct decision d = { 0 }, linear = { 0 };
		char err[200], record[16384] = "";

		if (!CHECK_ROW(p != NULL && o != NULL && policy_query_read(&q, o, 1800000000, err, sizeof err), rows[i].fact))
			exit(1);
		policy_decide(p, &q.request, &d);
		policy_decide_linear(p, &q.request, &linear);
		CHECK_ROW(d.verdict == rows[i].verdict, rows[i].policy);
		CHECK_ROW((d.lenient != NULL) == (rows[i].lenient != NULL), rows[i].policy);
		CHECK_ROW(linear.verdict == d.verdict && linear.lenient == d.lenient, rows[i].policy);
		CHECK(policy_record_write(p, &q.request, &d, NULL, record, sizeof record) > 0);
		CHECK_ROW((strstr(record, "\"lenient\":{\"sid\":") != NULL) == (rows[i].lenient != NULL), record);
		CHECK_ROW(strstr(rows[i].fact, "was") == NULL || strstr(record, "\"was\":") != NULL, record);
		policy_query_clear(&q);
		json_decref(o);
		policy_unref(p);
	}
}

/* ---- OnPush ---- */

#define GATE(sid, condition, mode) \
	"{\"Sid\":\"" sid "\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"registry:PullManifest\",\"Resource\":\"*\",\"Condition\":" \
	"{" condition "}" mode "}"
#define SCAN "\"NumericGreaterThan\":{\"scan:Critical\":\"0\"}"
#define NAME "\"StringEquals\":{\"registry:Repository\":\"bad\"}"
#define MODE(m) ",\"OnPush\":\"" m "\""
#define DOCUMENT(a, b) \
	"{\"Version\":\"2026-11-01\",\"Statement\":[{\"Sid\":\"All\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"registry:*\"," \
	"\"Resource\":\"*\"}," a "," b "]}"

static const struct {
	const char *policy;
	enum policy_on_push mode;
} modes[] = {
	{ DOCUMENT(GATE("A", SCAN, ""), GATE("B", NAME, MODE("hold"))), ON_PUSH_STAGE },
	{ DOCUMENT(GATE("A", SCAN, MODE("hold")), GATE("B", NAME, "")), ON_PUSH_HOLD },
	{ DOCUMENT(GATE("A", SCAN, MODE("quarantine")), GATE("B", NAME, "")), ON_PUSH_QUARANTINE },
	{ DOCUMENT(GATE("A", SCAN, MODE("quarantine")), GATE("B", SCAN, MODE("hold"))), ON_PUSH_HOLD },
	{ DOCUMENT(GATE("A", SCAN, MODE("quarantine")), GATE("B", SCAN, MODE("stage"))), ON_PUSH_STAGE },
};

static void
test_modes(void)
{
	json_t *o = request("{\"later\":true}");

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		struct policy *p = load(modes[i].policy);
		struct policy_query q;
		struct decision d = { 0 };
		char err[200];

		if (!CHECK_ROW(p != NULL && policy_query_read(&q, o, 1800000000, err, sizeof err), modes[i].policy))
			exit(1);
		policy_decide(p, &q.request, &d);
		CHECK_ROW(d.verdict == VERDICT_NEED && d.on_push == modes[i].mode, modes[i].policy);
		CHECK_ROW(policy_asks(p, ACTION_PullManifest, KEY_SCAN_CRITICAL) && !policy_asks(p, ACTION_PullBlob, KEY_SCAN_CRITICAL),
		    modes[i].policy);
		policy_query_clear(&q);
		policy_unref(p);
	}
	json_decref(o);
}

static void
test_wrong(void)
{
	static const char *const wrong[] = { DENY(",\"OnUnknown\":\"maybe\""), DENY(",\"OnUnknown\":\"allow-stale()\""),
		DENY(",\"OnUnknown\":\"allow-stale(0h)\""), DENY(",\"OnUnknown\":\"allow-stale(24)\""), DENY(",\"OnUnknown\":\"allow-stale(24h\""),
		DENY(",\"OnUnknown\":\"allow-stale(-1h)\""), DENY(",\"OnUnknown\":\"allow-stale(9999999h)\""), DENY(",\"OnUnknown\":true"),
		DENY(",\"OnPush\":\"later\""), DENY(",\"OnPush\":1") };

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct policy *p = load(wrong[i]);

		CHECK_ROW(p == NULL, wrong[i]);
		policy_unref(p);
	}
}

int
main(void)
{
	test_rows();
	test_modes();
	test_wrong();
	return check_done();
}
