/*
 * test_route.c - method and target to operation: tests/unit/route.txt, one case a line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "gateway/refuse.h"
#include "gateway/registry/route.h"
#include "tests/unit/check.h"

#define D64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static enum http_method
method_of(const char *name)
{
	for (unsigned m = HTTP_METHOD_NONE + 1; m <= HTTP_DELETE; m++)
		if (span_eq(http_method_name((enum http_method)m), span_of(name)))
			return (enum http_method)m;
	return HTTP_METHOD_NONE;
}

static void
print_span(char *out, size_t size, const char *name, struct span s)
{
	size_t n = strlen(out);

	if (s.p != NULL)
		snprintf(out + n, size - n, " %s=%.*s", name, SPAN_FMT(s));
}

/* The reason of a refusal, or all that was read, and what would be asked upstream. */
static void
describe(enum refuse why, const struct route *r, struct arena *a, char *out, size_t size)
{
	struct span target;

	if (why != REFUSE_NONE) {
		snprintf(out, size, "%s", refusal_of(why)->symbol);
		return;
	}
	snprintf(out, size, "%s", route_audit_name(r->op));
	print_span(out, size, "name", r->repository);
	print_span(out, size, r->reference_type == REFERENCE_TAG ? "tag" : r->reference_type == REFERENCE_LEASE ? "lease" : "ref",
	    r->reference);
	print_span(out, size, "digest", r->digest);
	print_span(out, size, "algorithm", r->digest_algorithm);
	print_span(out, size, "mount", r->mount);
	print_span(out, size, "from", r->from);
	print_span(out, size, "stripped", r->stripped_mount);
	print_span(out, size, "last", r->last);
	print_span(out, size, "type", r->artifact_type);
	print_span(out, size, "ns", r->ns);
	print_span(out, size, "cursor", r->cursor);
	for (size_t i = 0; i < r->n_tags; i++)
		print_span(out, size, "+tag", r->tags[i]);
	if (r->reference_type == REFERENCE_LEASE)
		return;
	target = route_target(r, r->repository, a);
	print_span(out, size, "->", target);
}

/* What is asked upstream reads as the same again, and is already canonical. */
static void
check_again(enum http_method m, const struct route *r, struct arena *a, const char *row)
{
	struct route again;
	struct span target, twice;

	if (r->reference_type == REFERENCE_LEASE)
		return;
	target = route_target(r, r->repository, a);
	if (r->op == ROUTE_TOKEN || r->op == ROUTE_JWKS) {
		CHECK_ROW(target.p == NULL, row);
		return;
	}
	if (!CHECK_ROW(target.p != NULL && route_resolve(m, target, &route_limits_default, a, &again) == REFUSE_NONE, row))
		return;
	twice = route_target(&again, again.repository, a);
	CHECK_ROW(again.op == r->op && span_eq(again.repository, r->repository) && span_eq(again.reference, r->reference), row);
	CHECK_ROW(span_eq(again.digest, r->digest) && span_eq(again.from, r->from) && span_eq(again.mount, r->mount), row);
	CHECK_ROW(again.n_tags == r->n_tags && again.has_n == r->has_n && again.n == r->n, row);
	CHECK_ROW(span_eq(target, twice), row);
}

/* "@" stands for the hex of a digest, "^N" for N letters a. */
static void
expand(const char *in, char *out)
{
	for (; *in != '\0' && *in != '\n'; in++) {
		if (*in == '@') {
			out = stpcpy(out, D64);
		} else if (*in == '^') {
			char *end;
			size_t n = strtoul(in + 1, &end, 10);

			memset(out, 'a', n);
			out += n;
			in = end - 1;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

static void
one(char *line, bool print)
{
	static char target[1 << 16], want[1 << 16], got[1 << 16];
	struct arena *a = arena_new(1 << 20);
	char *tab = strchr(line, '\t'), *second = tab == NULL ? NULL : strchr(tab + 1, '\t');
	struct route r;
	enum refuse why;

	if (tab == NULL || (second == NULL && !print)) {
		CHECK_ROW(false, line);
		arena_free(a);
		return;
	}
	*tab = '\0';
	if (second != NULL)
		*second = '\0';
	expand(tab + 1, target);
	expand(second == NULL ? "" : second + 1, want);
	why = route_resolve(method_of(line), span_of(target), &route_limits_default, a, &r);
	describe(why, &r, a, got, sizeof got);
	if (print)
		printf("%s\t%.*s\t%s\n", line, (int)strcspn(tab + 1, "\n"), tab + 1, got);
	else if (!CHECK_ROW(strcmp(got, want) == 0, target))
		fprintf(stderr, "    got  %s\n    want %s\n", got, want);
	if (why == REFUSE_NONE)
		check_again(method_of(line), &r, a, target);
	arena_free(a);
}

static void
test_file(bool print)
{
	FILE *f = fopen("tests/unit/route.txt", "r");
	static char line[1 << 16];
	size_t n = 0;

	CHECK(f != NULL);
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (line[0] == '#' || line[0] == '\n') {
			if (print)
				fputs(line, stdout);
			continue;
		}
		one(line, print);
		n++;
	}
	if (f != NULL)
		fclose(f);
	CHECK(n > 200);
}

/* Every byte in every place of a target that is served: it stays canonical or is refused. */
static void
test_bytes(void)
{
	static const char *const targets[] = { "/v2/app/manifests/v1", "/v2/a/b/blobs/sha256:" D64, "/v2/app/tags/list?n=5&last=a",
		"/v2/app/blobs/uploads/?mount=sha256:" D64 "&from=a/b" };

	for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
		for (size_t i = 0; i < strlen(targets[t]); i++) {
			for (unsigned c = 0; c < 256; c++) {
				struct arena *a = arena_new(1 << 20);
				char text[512];
				size_t n = strlen(targets[t]);
				struct route r;

				memcpy(text, targets[t], n);
				text[i] = (char)c;
				if (route_resolve(t == 3 ? HTTP_POST : HTTP_GET, (struct span){ text, n }, &route_limits_default, a, &r) ==
				    REFUSE_NONE)
					check_again(t == 3 ? HTTP_POST : HTTP_GET, &r, a, targets[t]);
				arena_free(a);
			}
		}
	}
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--print") == 0) {	/* what it says now, to be read by a human */
		test_file(true);
		return 0;
	}
	test_file(false);
	test_bytes();
	CHECK(repository_valid(SPAN("a/b-c__d.e")) && !repository_valid(SPAN("a/_b")) && !repository_valid(SPAN_NONE));
	CHECK(tag_valid(SPAN("_x"), 128) && !tag_valid(SPAN("-x"), 128) && !tag_valid(SPAN("xxx"), 2) && !tag_valid(SPAN_NONE, 128));
	CHECK(digest_valid(SPAN("sha256:" D64)) && !digest_valid(SPAN("sha256:" D64 "0")) && !digest_valid(SPAN("sha512:" D64)));
	CHECK(strcmp(route_audit_name(ROUTE_NONE), "none") == 0 && route_action(ROUTE_NONE) == ACTION_NONE);
	return check_done();
}
