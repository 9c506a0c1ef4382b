/*
 * transfer.c - libcurl's settings, bounds on what comes in, and what the end of a call means.
 * Invariant: a setting that libcurl does not take ends the errand; none is left out quietly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gateway/courier/transfer.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/endpoint.h"

#define HEAD_MAX	32768u
#define CONNECT_MS	3000

/* ---- what comes in ---- */

/* Room for n more bytes and a NUL; what was there is wiped when it moves. */
static bool
grow(char **p, size_t *room, size_t have, size_t n)
{
	size_t want = have + n + 1;
	char *more;

	if (want <= *room)
		return true;
	want = want < 1024 ? 1024 : want * 2;
	more = OPENSSL_clear_realloc(*p, *room, want);
	if (more == NULL)
		return false;
	*p = more;
	*room = want;
	return true;
}

static size_t
on_body(char *p, size_t one, size_t n, void *arg)
{
	struct flight *f = arg;

	(void)one;
	f->too_large |= n > f->max - f->n;
	if (f->too_large || !grow(&f->body, &f->room, f->n, n))
		return CURL_WRITEFUNC_ERROR;
	memcpy(f->body + f->n, p, n);
	f->n += n;
	f->body[f->n] = '\0';
	return n;
}

static size_t
on_field(char *p, size_t one, size_t n, void *arg)
{
	struct flight *f = arg;

	(void)one;
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
		f->head_n = 0;	/* a 100 came before it */
		return n;
	}
	f->too_large |= n > HEAD_MAX - f->head_n;
	if (f->too_large || !grow(&f->head, &f->head_room, f->head_n, n))
		return CURL_WRITEFUNC_ERROR;
	memcpy(f->head + f->head_n, p, n);
	f->head_n += n;
	return n;
}

/* ---- where it may go ---- */

/* Before a connection is made: every address that the name has comes by here. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct flight *f = arg;
	struct endpoint to;

	(void)purpose;
	if (!endpoint_from(&a->addr, &to) || !reach_allows(f->reach, &to.address)) {
		f->out_of_reach = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Before a request is sent: a connection that another errand made may be used again, and that one may have gone further. */
static int
on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct flight *f = arg;
	struct network address;

	(void)local;
	(void)peer_port;
	(void)local_port;
	if (address_parse(span_of(peer), &address) && reach_allows(f->reach, &address))
		return CURL_PREREQFUNC_OK;
	f->out_of_reach = true;
	return CURL_PREREQFUNC_ABORT;
}

/* The host as libcurl reads it: nobody else's reading counts. */
static enum reach
reach_of(const struct errand *e)
{
	CURLU *u = curl_url();
	char *host = NULL;
	enum reach r = e->allow_private ? REACH_ANY : REACH_PUBLIC;
	struct span s;

	if (u != NULL && r == REACH_PUBLIC && curl_url_set(u, CURLUPART_URL, e->url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		s = span_of(host);
		if (s.n > 2 && s.p[0] == '[')
			s = (struct span){ s.p + 1, s.n - 2 };
		if (reach_names_loopback(s))
			r = REACH_LOOPBACK;
	}
	curl_free(host);
	curl_url_cleanup(u);
	return r;
}

/* ---- settings ---- */

#define SET(option, value)	(curl_easy_setopt(f->curl, CURLOPT_##option, value) == CURLE_OK)

static bool
set_peer(struct flight *f, const struct errand *e)
{
	return SET(URL, e->url) && SET(PROTOCOLS_STR, e->allow_http ? "https,http" : "https") &&
	    SET(DISALLOW_USERNAME_IN_URL, 1L) && SET(FOLLOWLOCATION, 0L) && SET(PROXY, "") &&
	    SET(NETRC, (long)CURL_NETRC_IGNORED) && SET(SSL_VERIFYPEER, 1L) && SET(SSL_VERIFYHOST, 2L) &&
	    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET(OPENSOCKETFUNCTION, on_open) && SET(OPENSOCKETDATA, f) &&
	    SET(PREREQFUNCTION, on_connected) && SET(PREREQDATA, f) &&
	    (e->ca_file == NULL || (SET(CAINFO, e->ca_file) && SET(CAPATH, NULL))) &&
	    (e->certificate == NULL || (SET(SSLCERT, e->certificate) && SET(SSLKEY, e->private_key)));
}

static bool
set_request(struct flight *f, const struct errand *e)
{
	bool body = e->body.p != NULL;

	for (size_t i = 0; e->fields != NULL && e->fields[i] != NULL; i++) {
		struct curl_slist *more = curl_slist_append(f->fields, e->fields[i]);

		if (more == NULL)
			return false;
		f->fields = more;
	}
	if (body) {
		struct curl_slist *more = curl_slist_append(f->fields, "Expect:");	/* none: see courier.h */

		if (more == NULL)
			return false;
		f->fields = more;
	}
	return SET(HTTPHEADER, f->fields) && SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	    SET(USERAGENT, "tidewaiter/" TW_VERSION) &&
	    (!body || (SET(POSTFIELDSIZE_LARGE, (curl_off_t)e->body.n) && SET(POSTFIELDS, e->body.p))) &&
	    (e->method == NULL || SET(CUSTOMREQUEST, e->method));
}

static bool
set_bounds(struct flight *f, const struct errand *e)
{
	long ms = e->timeout_ms > 0 ? (long)e->timeout_ms : 1;

	/* QUICK_EXIT: a slow name look-up is left behind, not waited for; all others would wait too */
	return SET(NOSIGNAL, 1L) && SET(QUICK_EXIT, 1L) && SET(TIMEOUT_MS, ms) &&
	    SET(CONNECTTIMEOUT_MS, ms < CONNECT_MS ? ms : (long)CONNECT_MS) &&
	    SET(MAXFILESIZE_LARGE, e->max > 0 ? (curl_off_t)e->max : (curl_off_t)1) &&
	    SET(WRITEFUNCTION, on_body) && SET(WRITEDATA, f) && SET(HEADERFUNCTION, on_field) && SET(HEADERDATA, f) &&
	    SET(ERRORBUFFER, f->error) && SET(PRIVATE, f);
}

struct flight *
flight_new(struct errand *e)
{
	struct flight *f = calloc(1, sizeof *f);

	if (f == NULL)
		return NULL;
	f->end = &f->errands;
	f->max = e->max;
	f->reach = reach_of(e);
	f->curl = curl_easy_init();
	if (f->curl != NULL && set_peer(f, e) && set_request(f, e) && set_bounds(f, e)) {
		flight_join(f, e);
		return f;
	}
	flight_free(f);
	return NULL;
}

void
flight_free(struct flight *f)
{
	if (f == NULL)
		return;
	curl_easy_cleanup(f->curl);
	curl_slist_free_all(f->fields);
	OPENSSL_clear_free(f->body, f->room);
	OPENSSL_clear_free(f->head, f->head_room);
	free(f);
}

void
flight_join(struct flight *f, struct errand *e)
{
	e->next = NULL;
	*f->end = e;
	f->end = &e->next;
}

bool
flight_leave(struct flight *f, struct errand *e)
{
	if (f->errands == e)
		return false;
	for (struct errand **at = &f->errands->next; *at != NULL; at = &(*at)->next) {
		if (*at != e)
			continue;
		*at = e->next;
		if (f->end == &e->next)
			f->end = at;
		return true;
	}
	return false;
}

/* ---- the end ---- */

static enum errand_outcome
outcome_of(const struct flight *f, CURLcode rc, long status)
{
	if (f->too_large)
		return ERRAND_TOO_LARGE;
	if (f->out_of_reach && rc != CURLE_OK)
		return ERRAND_ADDRESS;
	switch ((int)rc) {
	case CURLE_OK:
		return status >= 200 && status < 300 ? ERRAND_OK : ERRAND_STATUS;
	case CURLE_OPERATION_TIMEDOUT:
		return ERRAND_TIMEOUT;
	case CURLE_FILESIZE_EXCEEDED:
		return ERRAND_TOO_LARGE;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_WRITE_ERROR:		/* ours: not too large, so there was no room */
		return ERRAND_NO_MEMORY;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return ERRAND_TLS;
	default:
		return ERRAND_FAILED;
	}
}

static void
say_why(struct errand *e, const struct flight *f, CURLcode rc)
{
	switch (e->outcome) {
	case ERRAND_OK:
		e->why[0] = '\0';
		return;
	case ERRAND_STATUS:
		snprintf(e->why, sizeof e->why, "answered with status %u%s", e->status,
		    e->status >= 300 && e->status < 400 ? "; redirects are not followed" : "");
		return;
	case ERRAND_ADDRESS:
		snprintf(e->why, sizeof e->why, "its address is private or of special use, which is not allowed here");
		return;
	case ERRAND_TOO_LARGE:
		snprintf(e->why, sizeof e->why, "the answer is larger than %zu bytes", e->max);
		return;
	case ERRAND_TIMEOUT:
		snprintf(e->why, sizeof e->why, "no complete answer within %u ms", e->timeout_ms);
		return;
	case ERRAND_NO_MEMORY:
		snprintf(e->why, sizeof e->why, "out of memory");
		return;
	case ERRAND_FAILED:
	case ERRAND_TLS:
	case ERRAND_STOPPED:
	case ERRAND_OUTCOME_MAX:
		snprintf(e->why, sizeof e->why, "%s", f->error[0] != '\0' ? f->error : curl_easy_strerror(rc));
		return;
	}
}

static char *
copy(const char *p, size_t n)
{
	char *c = malloc(n + 1);

	if (c == NULL)
		return NULL;
	if (n > 0)
		memcpy(c, p, n);
	c[n] = '\0';
	return c;
}

void
errand_fail(struct errand *e, enum errand_outcome o, const char *why)
{
	e->outcome = o;
	snprintf(e->why, sizeof e->why, "%s", why);
}

/* One errand's own copy of the answer. */
static void
tell(struct errand *e, const struct flight *f, CURLcode rc, long status)
{
	if (atomic_load_explicit(&e->cancelled, memory_order_relaxed)) {
		errand_fail(e, ERRAND_STOPPED, "cancelled");
		return;
	}
	e->outcome = outcome_of(f, rc, status);
	e->status = rc == CURLE_OK ? (unsigned)status : 0;
	if (rc == CURLE_OK) {
		e->answer = copy(f->body, f->n);
		e->head = copy(f->head, f->head_n);
		e->answer_n = f->n;
		e->head_n = f->head_n;
		if (e->answer == NULL || e->head == NULL) {
			errand_clear(e);
			e->outcome = ERRAND_NO_MEMORY;
		}
	}
	say_why(e, f, rc);
}

void
flight_land(struct flight *f, CURLcode rc)
{
	long status = 0;

	if (rc == CURLE_OK)
		curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	for (struct errand *e = f->errands; e != NULL; e = e->next)
		tell(e, f, rc, status);
}
