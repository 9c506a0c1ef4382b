/*
 * test_sigv4.c - vectors of AWS's own test suite (aws-sig-v4-test-suite, version 4, signed headers).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/credentials/sigv4.h"
#include "tests/unit/check.h"

#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define STS_TOKEN \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuw" \
	"thAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNV" \
	"XAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const struct {
	const char *name, *method, *path;
	const char *query[6]; /* name, value ... */
	const char *headers[8]; /* beside host and x-amz-date */
	const char *body, *signature;
} vectors[] = {
	{ "get-vanilla", "GET", "/", { 0 }, { 0 }, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "post-vanilla", "POST", "/", { 0 }, { 0 }, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "get-utf8", "GET", "/\xe1\x88\xb4", { 0 }, { 0 }, "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-space", "GET", "/example space/", { 0 }, { 0 }, "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-vanilla-query-order-key-case", "GET", "/", { "Param2", "value2", "Param1", "value1" }, { 0 }, "",
	    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-vanilla-query-order-encoded", "GET", "/", { "Param-3", "Value3", "Param", "Value2", "\xe1\x88\xb4", "Value1" }, { 0 }, "",
	    "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac" },
	{ "get-vanilla-query-unreserved", "GET", "/", { UNRESERVED, UNRESERVED }, { 0 }, "",
	    "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
	{ "get-vanilla-utf8-query", "GET", "/", { "\xe1\x88\xb4", "bar" }, { 0 }, "",
	    "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
	{ "get-header-value-trim", "GET", "/", { 0 }, { "my-header1", " value1", "my-header2", " \"a   b   c\"" }, "",
	    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "get-vanilla-with-session-token", "GET", "/", { 0 },
	    { "x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267" }, "",
	    "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
	{ "post-sts-header-before", "POST", "/", { 0 }, { "x-amz-security-token", STS_TOKEN }, "",
	    "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
	{ "post-x-www-form-urlencoded", "POST", "/", { 0 },
	    { "content-length", "13", "content-type", "application/x-www-form-urlencoded", "x-amz-content-sha256",
		"9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" },
	    "Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
};

static size_t
pairs(const char *const *text, size_t max, struct sigv4_pair *out)
{
	size_t n = 0;

	for (; 2 * n < max && text[2 * n] != NULL; n++)
		out[n] = (struct sigv4_pair){ span_of(text[2 * n]), span_of(text[2 * n + 1]) };
	return n;
}

static void
check_vectors(void)
{
	static const struct sigv4_keys keys = { { "AKIDEXAMPLE", 11 }, { "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40 }, { NULL, 0 } };

	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		struct arena *a = arena_new(1 << 20);
		struct sigv4_pair query[3], headers[6];
		size_t n = pairs(vectors[i].headers, 8, headers);
		char payload[65], date[SIGV4_DATE_LEN + 1];
		struct sigv4_request r = { .method = span_of(vectors[i].method), .path = span_of(vectors[i].path),
		    .query = query, .n_query = pairs(vectors[i].query, 6, query), .headers = headers };
		struct span said, want;

		sigv4_date(1440938160, date);
		CHECK_ROW(strcmp(date, "20150830T123600Z") == 0, vectors[i].name);
		headers[n++] = (struct sigv4_pair){ SPAN("x-amz-date"), span_of(date) };
		headers[n++] = (struct sigv4_pair){ SPAN("host"), SPAN("example.amazonaws.com") };
		r.n_headers = n;
		CHECK_ROW(sigv4_payload(span_of(vectors[i].body), payload), vectors[i].name);
		r.payload = span_of(payload);
		said = sigv4_authorization(&keys, SPAN("us-east-1"), SPAN("service"), date, &r, a);
		want = arena_printf(a, "Signature=%s", vectors[i].signature);
		CHECK_ROW(span_ends(said, want), vectors[i].name);
		CHECK_ROW(span_starts(said,
		    SPAN("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")),
		    vectors[i].name);
		arena_free(a);
	}
}

static void
check_bounds(void)
{
	struct arena *a = arena_new(1 << 16);
	struct sigv4_keys k = { SPAN("A"), SPAN("s"), SPAN_NONE };
	struct sigv4_pair many[SIGV4_HEADERS_MAX + 1];
	struct sigv4_request r = { SPAN("GET"), SPAN("/"), many, SIGV4_QUERY_MAX + 1, many, 0, SPAN("UNSIGNED-PAYLOAD") };
	char date[SIGV4_DATE_LEN + 1];

	for (size_t i = 0; i <= SIGV4_HEADERS_MAX; i++)
		many[i] = (struct sigv4_pair){ SPAN("a"), SPAN("b") };
	CHECK(sigv4_authorization(&k, SPAN("r"), SPAN("s"), "20150830T123600Z", &r, a).p == NULL);
	r.n_query = 0;
	r.n_headers = SIGV4_HEADERS_MAX + 1;
	CHECK(sigv4_authorization(&k, SPAN("r"), SPAN("s"), "20150830T123600Z", &r, a).p == NULL);
	r.n_headers = SIGV4_HEADERS_MAX;
	CHECK(sigv4_authorization(&k, SPAN("r"), SPAN("s"), "20150830T123600Z", &r, a).p != NULL);
	sigv4_date(INT64_MAX, date);
	CHECK(strlen(date) == SIGV4_DATE_LEN);
	arena_free(a);
}

int
main(void)
{
	check_vectors();
	check_bounds();
	return check_done();
}
