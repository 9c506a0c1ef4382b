/*
 * test_scanners.c - sources of reports against a server that plays a script: which calls are made, in which order, and what comes
 * of the answers. Then cancelling, the end of the gateway, and a report of 50 MB.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <event2/thread.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/credentials/login.h"
#include "gateway/scanners/scanners.h"
#include "gateway/token/pass.h"
#include "tests/unit/check.h"

#define A64    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST "sha256:" A64
#define OTHER  "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define IMAGE  "application/vnd.oci.image.manifest.v1+json"
#define STEPS  9

/* ---- documents ---- */

#define META \
	"{\"scanner\":{\"name\":\"Trivy\",\"version\":\"0.65.0\"},\"capabilities\":[{\"type\":\"sbom\",\"consumes_mime_types\":[\"x/y\"]," \
	"\"produces_mime_types\":[\"application/vnd.security.sbom.report+json; version=1.0\"]},{\"consumes_mime_types\":[\"" IMAGE "\"]," \
	"\"produces_mime_types\":[\"application/vnd.security.vulnerability.report; version=1.1\"]}],\"properties\":" \
	"{\"harbor.scanner-adapter/vulnerability-database-updated-at\":\"2026-11-26T00:00:00Z\"}}"
#define META_SBOM \
	"{\"scanner\":{\"name\":\"S\"},\"capabilities\":[{\"type\":\"sbom\",\"consumes_mime_types\":[\"" IMAGE "\"]," \
	"\"produces_mime_types\":[\"application/vnd.security.vulnerability.report; version=1.1\"]}]}"
#define REPORT_OF(digest) \
	"{\"generated_at\":\"2026-11-27T11:00:00Z\",\"artifact\":{\"digest\":\"" digest \
	"\"},\"vulnerabilities\":[{\"id\":\"CVE-1\",\"package\":" \
	"\"a\",\"version\":\"1\",\"severity\":\"Critical\"}]}"
#define REPORT REPORT_OF(DIGEST)
#define TYPE_1_1 "application/vnd.security.vulnerability.report; version=1.1"
#define OVERVIEW(status, summary) "{\"digest\":\"" DIGEST "\",\"scan_overview\":{\"" TYPE_1_1 "\":{\"scan_status\":\"" status "\"," \
	summary \
	"\"end_time\":\"2026-11-27T11:00:00Z\",\"scanner\":{\"name\":\"Trivy\"}}}}"
#define ONE_CRITICAL "\"summary\":{\"total\":1,\"fixable\":1,\"summary\":{\"Critical\":1}},"
#define TWO_CRITICAL "\"summary\":{\"total\":2,\"fixable\":1,\"summary\":{\"Critical\":2}},"
#define ARTIFACT "GET /api/v2.0/projects/shop/repositories/a%252Fapp/artifacts/" DIGEST
#define TO_SCAN "POST /api/v2.0/projects/shop/repositories/a%252Fapp/artifacts/" DIGEST "/scan "
#define ECR_PAGE(status, findings, more) "{\"imageId\":{\"imageDigest\":\"" DIGEST "\"},\"imageScanStatus\":{\"status\":\"" status "\"}," \
	"\"imageScanFindings\":{\"imageScanCompletedAt\":1795773600.0,\"findings\":[" findings "],\"findingSeverityCounts\":{}}" more "}"
#define ECR_FINDING "{\"name\":\"CVE-1\",\"severity\":\"CRITICAL\"}"
#define ARG_ROW(code, id) "{\"type\":\"microsoft.security/assessments/subassessments\",\"properties\":{\"id\":\"" id \
	"\",\"status\":{\"code\":\"" \
	code "\",\"severity\":\"High\"},\"additionalData\":{\"artifactDetails\":{\"digest\":\"" DIGEST "\"}}}}"
#define ARG "POST /providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01 "

/* ---- scripts ---- */

struct step {
	const char *request; /* how it must begin; NULL: no more come */
	const char *holds; /* what must be in it, too */
	unsigned status; /* 0: the connection is closed; 1: no answer ever */
	const char *fields, *body;
};
static const struct row {
	const char *name;
	enum scanner_type type;
	enum credentials_kind credentials;
	unsigned timeout;
	struct step steps[STEPS];
	int status;
	size_t n; /* findings */
	const char *why;
} rows[] = {
	{ "a scan", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "GET /api/v1/metadata ", "Authorization: Bearer key", 200, "", META },
		{ "POST /api/v1/scan ", "{\"registry\":{\"url\":\"https://gw.example\",\"authorization\":\"Bearer pass-of-shop/a/app@" DIGEST
		    "\"},"
		  "\"artifact\":{\"repository\":\"shop/a/app\",\"digest\":\"" DIGEST "\",\"mime_type\":\"" IMAGE "\"}}", 202, "",
		      "{\"id\":\"1/../2\"}" },
		{ "GET /api/v1/scan/1%2F..%2F2/report ", "Accept: " TYPE_1_1, 302, "Refresh-After: 0\r\n", "" },
		{ "GET /api/v1/scan/1%2F..%2F2/report ", "", 302, "Location: http://127.0.0.1:1/x\r\nRefresh-After: 0\r\n", "" },
		{ "GET /api/v1/scan/1%2F..%2F2/report ", "", 200, "", REPORT } }, REPORT_HERE, 1, "" },
	{ "metadata are remembered", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST /api/v1/scan ", "", 202, "", "{\"id\":\"2\"}" }, { "GET /api/v1/scan/2/report ", "", 200, "", REPORT } },
	        REPORT_HERE, 1, "" },
	{ "a report about another image", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST /api/v1/scan ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 200, "", REPORT_OF(OTHER) } }, REPORT_FAILED, 0,
	        "another image" },
	{ "an id that it forgot", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET /api/v1/scan/2/report ", "", 404, "", "" },
		{ "POST ", "", 202, "", "{\"id\":\"3\"}" }, { "GET /api/v1/scan/3/report ", "", 200, "", REPORT } }, REPORT_HERE, 1, "" },
	{ "an id that it forgets always", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 404, "", "" }, { "POST ", "", 202, "", "{\"id\":\"3\"}" },
		{ "GET ", "", 404, "", "" } }, REPORT_FAILED, 0, "answered 404" },
	{ "a scan that failed", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 500, "", "{\"error\":{\"message\":\"no space\nleft\"}}" } },
	    REPORT_FAILED, 0, "answered 500" },
	{ "a scan that failed, and says why", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 500, "", "{\"error\":{\"message\":\"no space left\"}}" } },
	    REPORT_FAILED, 0, "the scanner answered 500: no space left" },
	{ "a request that it refuses", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 422, "", "{\"error\":{\"message\":\"no\"}}" } }, REPORT_FAILED, 0, "answered 422: no" },
	{ "no id", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000, { { "POST ", "", 202, "", "{\"id\":\"..\"}" } }, REPORT_FAILED, 0, "no id" },
	{ "a report that is none", SCANNER_ADAPTER, CREDENTIALS_NONE, 10000,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 200, "", "{}" } }, REPORT_FAILED, 0, "no list" },
	{ "busy, then not", SCANNER_ADAPTER, CREDENTIALS_NONE, 20000,
	    { { "POST ", "", 503, "Retry-After: 0\r\n", "" }, { "POST ", "", 0, "", "" }, { "POST ", "", 202, "", "{\"id\":\"2\"}" },
		{ "GET ", "", 429, "", "" }, { "GET ", "", 200, "", REPORT } }, REPORT_HERE, 1, "" },
	{ "it never comes to an end", SCANNER_ADAPTER, CREDENTIALS_NONE, 1500,
	    { { "POST ", "", 202, "", "{\"id\":\"2\"}" }, { "GET ", "", 302, "Refresh-After: 3600\r\n", "" } }, REPORT_FAILED, 0,
	    "no report within 1500 ms" },
	{ "it never answers", SCANNER_ADAPTER, CREDENTIALS_NONE, 1000, { { "POST ", "", 1, "", "" } }, REPORT_FAILED, 0, "" },

	{ "harbor: scanned", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?with_scan_overview=true", "Authorization: Basic eA==", 200, "", OVERVIEW("Success", ONE_CRITICAL) },
		{ ARTIFACT "/additions/vulnerabilities ", "X-Accept-Vulnerabilities: " TYPE_1_1, 200, "", "{\"" TYPE_1_1 "\":" REPORT "}"
		    } },
	    REPORT_HERE, 1, "" },
	{ "harbor: the report lists less than is counted", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?", "", 200, "", OVERVIEW("Success", TWO_CRITICAL) }, { ARTIFACT "/add", "", 200, "", "{\"" TYPE_1_1 "\":" REPORT
	        "}" } },
	    REPORT_HERE, 0, "" },
	{ "harbor: no report, but counts", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?", "", 200, "", OVERVIEW("Success", ONE_CRITICAL) }, { ARTIFACT "/add", "", 403, "", "" } }, REPORT_HERE, 0, ""
	        },
	{ "harbor: not scanned yet", SCANNER_HARBOR, CREDENTIALS_BASIC, 30000,
	    { { ARTIFACT "?", "", 200, "", "{\"digest\":\"" DIGEST "\",\"scan_overview\":null}" }, { TO_SCAN, "", 202, "", "" },
		{ ARTIFACT "?", "", 200, "", "{\"digest\":\"" DIGEST "\",\"scan_overview\":null}" },
		{ ARTIFACT "?", "", 200, "", OVERVIEW("Running", "") }, { ARTIFACT "?", "", 200, "", OVERVIEW("Success", ONE_CRITICAL) },
		{ ARTIFACT "/add", "", 200, "", "{\"" TYPE_1_1 "\":" REPORT "}" } }, REPORT_HERE, 1, "" },
	{ "harbor: not scannable", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?", "", 200, "", "{\"digest\":\"" DIGEST "\"}" },
		{ TO_SCAN, "", 422, "", "{\"errors\":[{\"code\":\"X\",\"message\":\"not scannable\"}]}" } }, REPORT_UNSUPPORTED, 0, "not scannable"
		    },
	{ "harbor: its scanner is disconnected", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?", "", 200, "", "{\"digest\":\"" DIGEST "\"}" }, { TO_SCAN, "", 500, "", "" } }, REPORT_FAILED, 0, "answered 500"
	        },
	{ "harbor: has no such artifact", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000, { { ARTIFACT "?", "", 404, "", "" } }, REPORT_ABSENT,
	    0, "404" },
	{ "harbor: another artifact", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000,
	    { { ARTIFACT "?", "", 200, "", "{\"digest\":\"" OTHER "\",\"scan_overview\":{}}" } }, REPORT_FAILED, 0, "another artifact" },
	{ "harbor: who are you?", SCANNER_HARBOR, CREDENTIALS_BASIC, 10000, { { ARTIFACT "?", "", 401, "", "" } }, REPORT_FAILED, 0, "401"
	    },

	{ "ecr: two pages", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "{\"repositoryName\":\"shop/a/app\",\"imageId\":{\"imageDigest\":\"" DIGEST "\"},\"maxResults\":1000}", 200, "",
		  ECR_PAGE("COMPLETE", ECR_FINDING, ",\"nextToken\":\"t/1\"") },
		{ "POST / ", "\"nextToken\":\"t/1\"", 200, "", ECR_PAGE("COMPLETE", ECR_FINDING, "") } }, REPORT_HERE, 2, "" },
	{ "ecr: signed", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "Authorization: AWS4-HMAC-SHA256 Credential=AKID/", 200, "", ECR_PAGE("ACTIVE", ECR_FINDING, "") } },
	        REPORT_HERE, 1, "" },
	{ "ecr: for that call", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "x-amz-target: AmazonEC2ContainerRegistry_V20150921.DescribeImageScanFindings", 200, "",
		  ECR_PAGE("ACTIVE", ECR_FINDING, "") } }, REPORT_HERE, 1, "" },
	{ "ecr: in progress", SCANNER_ECR, CREDENTIALS_ECR, 20000,
	    { { "POST / ", "", 200, "", ECR_PAGE("IN_PROGRESS", "", "") }, { "POST / ", "", 200, "", ECR_PAGE("PENDING", "", "") },
		{ "POST / ", "", 200, "", ECR_PAGE("COMPLETE", ECR_FINDING, "") } }, REPORT_HERE, 1, "" },
	{ "ecr: failed", SCANNER_ECR, CREDENTIALS_ECR, 10000, { { "POST / ", "", 200, "", ECR_PAGE("FAILED", "", "") } }, REPORT_FAILED, 0,
	    "FAILED" },
	{ "ecr: unsupported", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "", 200, "", ECR_PAGE("UNSUPPORTED_IMAGE", "", "") } }, REPORT_UNSUPPORTED, 0, "UNSUPPORTED_IMAGE" },
	{ "ecr: never scanned", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "", 400, "", "{\"__type\":\"ScanNotFoundException\",\"message\":\"x\"}" } }, REPORT_ABSENT, 0, "ScanNotFound" },
	{ "ecr: slow down", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "", 400, "", "{\"__type\":\"ThrottlingException\"}" }, { "POST / ", "", 200, "", ECR_PAGE("COMPLETE", "",
	        "") } },
	    REPORT_HERE, 0, "" },
	{ "ecr: keys that ended early", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "", 400, "", "{\"__type\":\"ExpiredTokenException\"}" }, { "POST / ", "", 200, "", ECR_PAGE("COMPLETE", "",
	        "") } },
	    REPORT_HERE, 0, "" },
	{ "ecr: no right", SCANNER_ECR, CREDENTIALS_ECR, 10000, { { "POST / ", "", 400, "", "{\"__type\":\"AccessDeniedException\"}" } },
	    REPORT_FAILED, 0, "AccessDenied" },
	{ "ecr: another image", SCANNER_ECR, CREDENTIALS_ECR, 10000,
	    { { "POST / ", "", 200, "", "{\"imageId\":{\"imageDigest\":\"" OTHER "\"},\"imageScanStatus\":{\"status\":\"COMPLETE\"},"
		"\"imageScanFindings\":{\"findings\":[]}}" } }, REPORT_FAILED, 0, "another image" },

	{ "defender: rows", SCANNER_DEFENDER, CREDENTIALS_NONE, 10000,
	    { { ARG, "Authorization: Bearer key", 200, "", "{\"totalRecords\":2,\"data\":[" ARG_ROW("Unhealthy", "CVE-1")
	        "],\"$skipToken\":\"k1\"}" },
		{ ARG, "\"$skipToken\":\"k1\"", 200, "", "{\"totalRecords\":2,\"data\":[" ARG_ROW("Unhealthy", "CVE-2") "]}" } }, REPORT_HERE, 2,
		    "" },
	{ "defender: the question", SCANNER_DEFENDER, CREDENTIALS_NONE, 10000,
	    { { ARG, "artifactDetails.digest) =~ \\\"" DIGEST "\\\"", 200, "", "{\"data\":[" ARG_ROW("Healthy", "x") "]}" } }, REPORT_HERE,
	        0, "" },
	{ "defender: whose", SCANNER_DEFENDER, CREDENTIALS_NONE, 10000,
	    { { ARG, "\"subscriptions\":[\"sub-1\",\"sub-2\"]", 200, "", "{\"data\":[" ARG_ROW("Healthy", "x") "]}" } }, REPORT_HERE, 0, ""
	        },
	{ "defender: no row", SCANNER_DEFENDER, CREDENTIALS_NONE, 10000, { { ARG, "", 200, "", "{\"totalRecords\":0,\"data\":[]}" } },
	    REPORT_ABSENT, 0, "says nothing" },
	{ "defender: no right", SCANNER_DEFENDER, CREDENTIALS_NONE, 10000,
	    { { ARG, "", 403, "", "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\"}}" } }, REPORT_FAILED, 0, "Azure answered 403: no"
	        },
	{ "defender: with a token of Entra ID", SCANNER_DEFENDER, CREDENTIALS_ACR, 10000,
	    { { "GET /metadata/identity/oauth2/token?", "resource=https%3A%2F%2Fmanagement.azure.com%2F", 200, "",
	        "{\"access_token\":\"aad\"}" },
		{ ARG, "Authorization: Bearer aad", 200, "", "{\"data\":[]}" } }, REPORT_ABSENT, 0, "" },
	{ "defender: a token that it does not take", SCANNER_DEFENDER, CREDENTIALS_ACR, 10000,
	    { { ARG, "Authorization: Bearer aad", 401, "", "{}" },
		{ "GET /metadata/identity/oauth2/token?", "", 200, "", "{\"access_token\":\"bbb\"}" },
		{ ARG, "Authorization: Bearer bbb", 200, "", "{\"data\":[]}" } }, REPORT_ABSENT, 0, "" },
	{ "defender: a token that it never takes", SCANNER_DEFENDER, CREDENTIALS_ACR, 10000,
	    { { ARG, "Authorization: Bearer bbb", 401, "", "{}" },
		{ "GET /metadata/identity/oauth2/token?", "", 200, "", "{\"access_token\":\"ccc\"}" }, { ARG, "", 401, "", "{}" } },
	    REPORT_FAILED, 0, "401" },
};

/* ---- the server ---- */

static unsigned port;
static _Atomic int talking; /* threads of the server */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct row *playing; /* these under lock */
static unsigned at, wrong;
static bool forever; /* every scan is under way */
static char *big;
static size_t big_n;

static void
put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

static void
answer(int fd, unsigned status, const char *fields, const char *body, size_t n)
{
	char head[512];
	int k = snprintf(head, sizeof head, "HTTP/1.1 %u X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status, fields, n);

	put(fd, head, (size_t)k);
	put(fd, body, n);
}

/* The next step of the script; NULL after a complaint. */
static const struct step *
next_step(const char *request)
{
	const struct step *s = playing == NULL || at == STEPS ? NULL : &playing->steps[at];

	if (s == NULL || s->request == NULL || strncmp(request, s->request, strlen(s->request)) != 0 ||
	    (s->holds != NULL && strstr(request, s->holds) == NULL)) {
		fprintf(stderr, "    unexpected in \"%s\", step %u: %.400s\n", playing == NULL ? "?" : playing->name, at, request);
		wrong++;
		return NULL;
	}
	at++;
	return s;
}

static void
play(int fd, const char *request)
{
	const struct step *s;

	pthread_mutex_lock(&lock);
	if (forever || big != NULL) {
		const char *body = strncmp(request, "POST", 4) == 0 ? "{\"id\":\"1\"}" : strstr(request, "/metadata") != NULL ? META : "";
		bool report = strstr(request, "/report") != NULL;

		pthread_mutex_unlock(&lock);
		if (report && big != NULL)
			answer(fd, 200, "", big, big_n);
		else
			answer(fd, report ? 302 : 200, "Refresh-After: 1\r\n", body, strlen(body));
		return;
	}
	s = next_step(request);
	pthread_mutex_unlock(&lock);
	if (s == NULL)
		answer(fd, 418, "", "", 0);
	else if (s->status == 1)
		usleep(3000000);
	else if (s->status != 0)
		answer(fd, s->status, s->fields, s->body, strlen(s->body));
}

static void *
talk(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[16384];
	size_t n = 0;
	ssize_t k;

	while (n < sizeof text - 1 && (k = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
		const char *end, *length;

		n += (size_t)k;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (end == NULL || (length != NULL && n < (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10)))
			continue;
		play(fd, text);
		break;
	}
	close(fd);
	atomic_fetch_sub(&talking, 1);
	return NULL;
}

static void *
serve(void *arg)
{
	int fd, listener = (int)(intptr_t)arg;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		pthread_t t;

		atomic_fetch_add(&talking, 1);
		if (pthread_create(&t, NULL, talk, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	}
	return NULL;
}

static int
listen_here(pthread_t *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&a,
	    &len) != 0 ||
	    pthread_create(t, NULL, serve, (void *)(intptr_t)fd) != 0)
		return -1;
	port = ntohs(a.sin_port);
	return fd;
}

/* ---- the gateway's side ---- */

static char origin[64];
static struct courier *courier;
static struct logins *logins;
static struct scanners *scanners;
static struct config config = { .external_url = (char *)(uintptr_t)"https://gw.example" };
static struct setup setup = { .refs = 1, .config = &config };
static char *subscriptions[] = { (char *)(uintptr_t)"sub-1", (char *)(uintptr_t)"sub-2" };

struct trial {
	struct scanners_job job;
	struct config_scanner scanner;
	struct config_upstream upstream;
	_Atomic int done;
};

bool
pass_mint(const struct config *c, struct span repository, const char *digest, int64_t now, const unsigned char random[static 16], char *out,
    size_t size)
{
	(void)now;
	(void)random;
	snprintf(out, size, "pass-of-%.*s@%s", SPAN_FMT(repository), digest);
	return c == &config;
}

static const char *
env(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "AWS_ACCESS_KEY_ID") == 0)
		return "AKID";
	if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
		return "secret";
	return strcmp(name, "AZURE_POD_IDENTITY_AUTHORITY_HOST") == 0 ? origin : NULL;
}

static struct span
file(void *ctx, const char *path, struct arena *a, char *err, size_t err_size)
{
	(void)ctx;
	(void)path;
	(void)a;
	snprintf(err, err_size, "no file");
	return SPAN_NONE;
}

static void
on_done(struct scanners_job *j)
{
	atomic_fetch_add(&((struct trial *)(void *)j)->done, 1);
}

static void
prepare(struct trial *t, enum scanner_type type, enum credentials_kind credentials, unsigned timeout)
{
	*t = (struct trial){
		.scanner = { .alias = origin, .type = type, .url = origin, .timeout = timeout, .subscriptions = subscriptions,
		    .n_subscriptions = 2 },
		.upstream = { .alias = origin, .origin = origin, .registry = origin, .host = (char *)(uintptr_t)"shop.azurecr.io",
		    .credentials = credentials, .region = (char *)(uintptr_t)"eu-west-1" },
		.job = { .setup = &setup, .repository = SPAN("shop/a/app"), .media_type = SPAN(IMAGE), .digest = DIGEST, .done = on_done },
	};
	if (type == SCANNER_ADAPTER || (type == SCANNER_DEFENDER && credentials == CREDENTIALS_NONE))
		t->scanner.authorization = (char *)(uintptr_t)"Bearer key";
	if (credentials == CREDENTIALS_BASIC) {
		t->upstream.authorization = (char *)(uintptr_t)"Basic eA==";
		t->scanner.url = NULL;	/* the upstream's */
	}
	t->job.scanner = &t->scanner;
	t->job.upstream = &t->upstream;
}

static void
await(struct trial *t)
{
	for (int i = 0; i < 12000 && atomic_load(&t->done) == 0; i++)
		usleep(5000);
}

/* What the server does from now on; nobody is served as before any more. */
static void
be(const struct row *row, bool always, char *report, size_t n)
{
	char *old;

	pthread_mutex_lock(&lock);
	playing = row;
	at = wrong = 0;
	forever = always;
	old = big;
	big = report;
	big_n = n;
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 2000 && atomic_load(&talking) > 0; i++)
		usleep(5000);
	free(old);
}

static void
scripts(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *row = &rows[i];
		char label[512];
		struct trial t;

		prepare(&t, row->type, row->credentials, row->timeout);
		be(row, false, NULL, 0);
		scanners_start(scanners, &t.job);
		await(&t);
		snprintf(label, sizeof label, "%s: %d: %s", row->name, (int)t.job.report.status, t.job.report.why);
		pthread_mutex_lock(&lock);
		CHECK_ROW(atomic_load(&t.done) == 1 && wrong == 0, label);
		CHECK_ROW(at == STEPS || row->steps[at].request == NULL, label);
		pthread_mutex_unlock(&lock);
		CHECK_ROW((int)t.job.report.status == row->status && t.job.report.n == row->n && strstr(t.job.report.why, row->why) != NULL,
		    label);
		CHECK_ROW(t.job.arena != NULL && (t.job.report.status == REPORT_HERE) == (t.job.report.why[0] == '\0'), label);
		CHECK_ROW(t.job.report.status != REPORT_HERE || strcmp(t.job.report.digest, DIGEST) == 0, label);
		if (i == 0)
			CHECK(span_eq(t.job.report.scanner, SPAN("Trivy 0.65.0")) && span_eq(t.job.report.database,
			    SPAN("2026-11-26T00:00:00Z")));
		arena_free(t.job.arena);
	}
}

/* Of many at a time each is told once, cancelled or not. */
static void
cancelled(void)
{
	struct trial t[16];

	be(NULL, true, NULL, 0);
	for (size_t i = 0; i < 16; i++) {
		prepare(&t[i], SCANNER_ADAPTER, CREDENTIALS_NONE, 600000);
		scanners_start(scanners, &t[i].job);
		if (i % 4 == 0)
			usleep(100000);
		if (i % 2 == 0)
			scanners_cancel(scanners, &t[i].job);
	}
	for (size_t i = 1; i < 16; i += 2)
		scanners_cancel(scanners, &t[i].job);
	for (size_t i = 0; i < 16; i++) {
		await(&t[i]);
		CHECK(atomic_load(&t[i].done) == 1 && t[i].job.report.status == REPORT_FAILED);
		arena_free(t[i].job.arena);
	}
}

static void
media_types(void)
{
	static const struct row sbom = { "a scanner without reports", SCANNER_ADAPTER, CREDENTIALS_NONE, 5000,
		{ { "GET /api/v1/metadata ", "", 200, "", META_SBOM } }, REPORT_FAILED, 0, "makes no report" };
	struct trial t;

	be(NULL, false, NULL, 0);
	prepare(&t, SCANNER_ADAPTER, CREDENTIALS_NONE, 5000);
	t.job.media_type = SPAN("application/vnd.oci.image.index.v1+json");
	scanners_start(scanners, &t.job);
	await(&t);
	CHECK(t.job.report.status == REPORT_UNSUPPORTED && strstr(t.job.report.why, "does not read") != NULL);
	arena_free(t.job.arena);
	/* another password: another scanner */
	prepare(&t, SCANNER_ADAPTER, CREDENTIALS_NONE, 5000);
	t.scanner.authorization = (char *)(uintptr_t)"Bearer other";
	be(&sbom, false, NULL, 0);
	scanners_start(scanners, &t.job);
	await(&t);
	CHECK(t.job.report.status == REPORT_FAILED && strstr(t.job.report.why, "makes no report") != NULL);
	arena_free(t.job.arena);
}

static char *
long_report(size_t n, size_t *size)
{
	size_t room = n * 2700 + 200, k = 0;
	char *text = malloc(room);

	k += (size_t)snprintf(text, room,
	    "{\"generated_at\":\"2026-11-27T11:00:00Z\",\"artifact\":{\"digest\":\"%s\"},\"vulnerabilities\":[", DIGEST);
	for (size_t i = 0; i < n; i++)
		k += (size_t)snprintf(text + k, room - k,
		    "%s{\"id\":\"CVE-2026-%zu\",\"package\":\"p\",\"severity\":\"High\",\"description\":\"%02500d\"}",
		    i > 0 ? "," : "", i, 7);
	*size = k + (size_t)snprintf(text + k, room - k, "]}");
	return text;
}

/* 50 MB; and twice as much, which is over the bound. */
static void
large(void)
{
	for (size_t n = 20000; n <= 40000; n += 20000) {
		struct trial t;
		size_t size;
		char *text = long_report(n, &size);

		be(NULL, false, text, size);
		prepare(&t, SCANNER_ADAPTER, CREDENTIALS_NONE, 60000);
		scanners_start(scanners, &t.job);
		await(&t);
		if (n == 20000)
			CHECK(size > 50000000 && t.job.report.status == REPORT_HERE && t.job.report.n == n);
		else
			CHECK(t.job.report.status == REPORT_FAILED && strstr(t.job.report.why, "larger than") != NULL);
		arena_free(t.job.arena);
	}
}

/* What is under way when the gateway stops is told, and so is what comes later. */
static void
stopped(void)
{
	struct trial t[4];

	be(NULL, true, NULL, 0);
	for (size_t i = 0; i < 3; i++) {
		prepare(&t[i], i == 2 ? SCANNER_ECR : SCANNER_ADAPTER, i == 2 ? CREDENTIALS_ECR : CREDENTIALS_NONE, 600000);
		scanners_start(scanners, &t[i].job);
		usleep(i == 0 ? 400000 : 0);
	}
	courier_stop(courier);
	prepare(&t[3], SCANNER_ADAPTER, CREDENTIALS_NONE, 600000);
	scanners_start(scanners, &t[3].job);
	scanners_free(scanners);
	for (size_t i = 0; i < 4; i++) {
		CHECK(atomic_load(&t[i].done) == 1 && t[i].job.report.status == REPORT_FAILED && t[i].job.report.why[0] != '\0');
		arena_free(t[i].job.arena);
	}
}

int
main(void)
{
	struct login_world world = { env, file, NULL };
	char err[256];
	pthread_t t;
	int fd;

	evthread_use_pthreads();
	fd = listen_here(&t);
	if (!CHECK(fd >= 0))
		return check_done();
	snprintf(origin, sizeof origin, "http://127.0.0.1:%u", port);
	courier = courier_start(err, sizeof err);
	logins = logins_new(courier, &world);
	scanners = scanners_new(courier, logins);
	if (CHECK(courier != NULL && logins != NULL && scanners != NULL)) {
		scripts();
		cancelled();
		media_types();
		large();
		stopped();
	}
	logins_free(logins);
	courier_free(courier);
	shutdown(fd, SHUT_RDWR);
	close(fd);
	pthread_join(t, NULL);
	return check_done();
}
